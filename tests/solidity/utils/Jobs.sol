// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {BundleVerifier} from "../../../contracts/BundleVerifier.sol";
import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";
import {Deployed} from "./Deployed.sol";
import {SilentToken} from "./Tokens.sol";
import {deploy} from "./Deploy.sol";

/// @notice Requests, publications and their bundles, simulated for whatever context they have.
abstract contract Jobs is Deployed {
    /// @notice A fulfilment, and what is needed to make it.
    struct Job {
        IInferenceOracle.Request request;
        address requester;
        uint256 nonce;
        address beneficiary;
        uint256 coverage;
        Bundle bundle;
        bytes32 id;
    }

    /// @notice Selector of a verifier that `addOtherVerifier` adds.
    bytes4 internal constant OTHER_VERIFIER = 0x00000002;

    address internal alice = makeAddr("alice");
    address internal prover = makeAddr("prover");

    /// @notice A second verifier, which takes the same proofs.
    function addOtherVerifier() internal {
        registry.addVerifier(OTHER_VERIFIER, deploy("BundleVerifier", abi.encode(registry, OTHER_VERIFIER)));
    }

    // ------------------------------------------------------------------------------------------------ requests

    /// @notice A request like the fixture's, not made yet.
    function draft(string memory name) internal view returns (Job memory job) {
        string memory json = readFixture(name);
        job.request.modelDigest = vm.parseJsonBytes32(json, ".modelDigest");
        job.request.inputs = vm.parseJsonBytes32Array(json, ".request.inputs");
        job.request.verifier = VERIFIER;
        job.request.fee = vm.parseJsonUint(json, ".request.fee");
        job.request.deadline = uint64(vm.parseJsonUint(json, ".request.deadline"));
        job.requester = alice;
        job.beneficiary = prover;
        job.bundle = loadBundle(name);
    }

    /// @notice Makes the request, from the job's requester, who is given the fee.
    function open(Job memory job) internal returns (Job memory) {
        fund(job);
        job.nonce = oracle.nonces(job.requester);
        uint256[] memory words = inputWords(job);
        uint256 value = job.request.feeToken == address(0) ? job.request.fee : 0;
        vm.prank(job.requester);
        job.id = oracle.request{value: value}(job.request, words);
        return job;
    }

    /// @notice Gives the requester the fee, and the oracle the allowance.
    function fund(Job memory job) internal {
        if (job.request.feeToken == address(0)) {
            vm.deal(job.requester, job.requester.balance + job.request.fee);
            return;
        }
        // Its `approve` returns nothing, so what any token's returns is left alone.
        SilentToken token = SilentToken(job.request.feeToken);
        token.mint(job.requester, job.request.fee);
        vm.prank(job.requester);
        token.approve(address(oracle), job.request.fee);
    }

    /// @notice Proofs, of the slices that the job covers, for the request's own context.
    function prove(Model memory model, Job memory job) internal view returns (Job memory) {
        job.bundle.context = oracle.contextOf(job.request, job.requester, job.nonce, job.beneficiary);
        job.bundle.owner = oracle.inputOwnerOf(job.request.modelDigest, job.requester);
        job.bundle.proofs = cut(simulate(model, job.bundle, job.nonce), job.coverage);
        return job;
    }

    function fulfil(Job memory job) internal {
        oracle.fulfil(fulfilmentOf(job));
    }

    function fulfilBatch(Job[] memory jobs) internal {
        oracle.fulfilBatch(fulfilmentsOf(jobs));
    }

    function retry(Job memory job) internal {
        oracle.retryCallback(job.request, job.requester, job.nonce, job.coverage, outputWords(job));
    }

    function fulfilmentOf(Job memory job) internal pure returns (IInferenceOracle.Fulfilment memory) {
        return IInferenceOracle.Fulfilment({
            request: job.request,
            requester: job.requester,
            nonce: job.nonce,
            beneficiary: job.beneficiary,
            coverage: job.coverage,
            words: job.bundle.words,
            commitments: job.bundle.commitments,
            proofs: job.bundle.proofs
        });
    }

    function fulfilmentsOf(Job[] memory jobs) internal pure returns (IInferenceOracle.Fulfilment[] memory fulfilments) {
        fulfilments = new IInferenceOracle.Fulfilment[](jobs.length);
        for (uint256 i = 0; i < jobs.length; ++i) {
            fulfilments[i] = fulfilmentOf(jobs[i]);
        }
    }

    // ------------------------------------------------------------------------------------------------ publications

    /// @notice The feed's next round, on the fixture's inputs, observed now.
    function publicationOf(string memory name, address source)
        internal
        view
        returns (IInferenceOracle.Publication memory)
    {
        return publicationOf(name, VERIFIER, source);
    }

    function publicationOf(string memory name, bytes4 verifier_, address source)
        internal
        view
        returns (IInferenceOracle.Publication memory publication)
    {
        Job memory job = draft(name);
        publication.source = source;
        publication.modelDigest = job.request.modelDigest;
        publication.inputs = job.request.inputs;
        publication.verifier = verifier_;
        publication.round = oracle.feed(oracle.feedIdOf(publication.modelDigest, verifier_, source)).round + 1;
        publication.observedAt = uint64(block.timestamp);
        publication.beneficiary = prover;
        (publication.words, publication.commitments) = (job.bundle.words, job.bundle.commitments);
    }

    function prove(Model memory model, IInferenceOracle.Publication memory publication)
        internal
        view
        returns (IInferenceOracle.Publication memory)
    {
        return proveFor(model, publication, oracle.publicationContextOf(publication));
    }

    function proveFor(Model memory model, IInferenceOracle.Publication memory publication, uint256 context)
        internal
        view
        returns (IInferenceOracle.Publication memory)
    {
        Bundle memory bundle;
        bundle.context = context;
        bundle.owner = oracle.inputOwnerOf(publication.modelDigest, publication.source);
        (bundle.words, bundle.commitments) = (publication.words, publication.commitments);
        publication.proofs = simulate(model, bundle, publication.round);
        return publication;
    }

    // ------------------------------------------------------------------------------------------------ parts

    /// @notice The proofs of the slices in `coverage`, or of all.
    function cut(uint256[] memory proofs, uint256 coverage) internal pure returns (uint256[] memory kept) {
        if (coverage == 0) return proofs;
        kept = new uint256[](proofs.length);
        uint256 count;
        for (uint256 i = 0; i < proofs.length; ++i) {
            if ((coverage >> (i / 10)) & 1 == 1) kept[count++] = proofs[i];
        }
        assembly {
            mstore(kept, count)
        }
    }

    function inputWords(Job memory job) internal view returns (uint256[] memory words) {
        return _words(job, 1);
    }

    function outputWords(Job memory job) internal view returns (uint256[] memory words) {
        return _words(job, 3);
    }

    function hashOf(uint256[] memory words) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(words));
    }

    function copyOf(Job memory job) internal pure returns (Job memory) {
        return abi.decode(abi.encode(job), (Job));
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
