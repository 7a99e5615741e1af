// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";
import {Deployed} from "./Deployed.sol";

/// @notice Requests and their bundles, simulated for whatever context the request has.
abstract contract Jobs is Deployed {
    /// @notice Arguments of `fulfil`, and what is needed to make them.
    struct Job {
        IInferenceOracle.Request request;
        address requester;
        uint256 nonce;
        address beneficiary;
        Bundle bundle;
        bytes32 id;
    }

    address internal alice = makeAddr("alice");
    address internal prover = makeAddr("prover");

    /// @notice A request like the fixture's, not made yet.
    function draft(string memory name) internal view returns (Job memory job) {
        string memory json = readFixture(name);
        job.request.modelDigest = vm.parseJsonBytes32(json, ".modelDigest");
        job.request.inputs = vm.parseJsonBytes32Array(json, ".request.inputs");
        job.request.fee = vm.parseJsonUint(json, ".request.fee");
        job.request.deadline = uint64(vm.parseJsonUint(json, ".request.deadline"));
        job.requester = alice;
        job.beneficiary = prover;
        job.bundle = loadBundle(name);
    }

    /// @notice Makes the request, from the job's requester.
    function open(Job memory job) internal returns (Job memory) {
        vm.deal(job.requester, job.requester.balance + job.request.fee);
        job.nonce = oracle.nonces(job.requester);
        uint256[] memory words = inputWords(job);
        vm.prank(job.requester);
        job.id = oracle.request{value: job.request.fee}(job.request, words);
        return job;
    }

    /// @notice Proofs for the request's own context.
    function prove(Model memory model, Job memory job) internal view returns (Job memory) {
        job.bundle.context = oracle.contextOf(job.request, job.requester, job.nonce, job.beneficiary);
        job.bundle.owner = oracle.inputOwnerOf(job.request.modelDigest, job.requester);
        job.bundle.proofs = simulate(model, job.bundle, job.nonce);
        return job;
    }

    function fulfil(Job memory job) internal {
        oracle.fulfil(
            job.request,
            job.requester,
            job.nonce,
            job.beneficiary,
            job.bundle.words,
            job.bundle.commitments,
            job.bundle.proofs
        );
    }

    function inputWords(Job memory job) internal view returns (uint256[] memory words) {
        return _words(job, 1);
    }

    function outputWords(Job memory job) internal view returns (uint256[] memory words) {
        return _words(job, 3);
    }

    function _words(Job memory job, uint256 wanted) private view returns (uint256[] memory words) {
        bytes memory blob = registry.blob(job.request.modelDigest);
        words = new uint256[](job.bundle.words.length);
        uint256 count;
        uint256 position;
        for (uint256 t = 0; t < wordAt(blob, 2); ++t) {
            uint256 kind = wordAt(blob, tensorAt(blob, t));
            if (kind != 1 && kind != 3) continue;
            for (uint256 i = 0; i < wordCountOf(blob, t); ++i) {
                if (kind == wanted) words[count++] = job.bundle.words[position];
                ++position;
            }
        }
        assembly {
            mstore(words, count)
        }
    }
}
