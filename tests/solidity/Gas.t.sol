// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {Metered} from "./utils/Metered.sol";

/// @notice Gas of whole transactions, with their 21,000 and calldata of full entropy.
abstract contract GasCases is Metered {
    /// One slice with 26 words in and one word out, straight to the verifier, and what each further slice adds.
    function test_VerifyBundle() public {
        uint256 single = _verifyBundle("verifyBundle, 1 slice, 26 + 1 words", "single");
        uint256 pair = _verifyBundle("verifyBundle, 2 slices, 26 + 1 words", "pair");
        uint256 chain = _verifyBundle("verifyBundle, 3 slices, 26 + 1 words", "chain");
        _verifyBundle("verifyBundle, 2 slices, private input", "private");
        assertLt(single, 294_000);
        // The second slice brings the first ρ that is not 1, and with it the multiplication of α.
        assertLt(pair - single, 155_500);
        assertLt(chain - pair, 149_500);
    }

    /// The aims of docs/gas.md: one slice, a committed input, a beneficiary who has credits, no callback; alone, and in
    /// a batch of 16. Why one figure is above its aim, `docs/gas.md` says.
    function test_FulfilOneSliceOfACommittedInput() public {
        (uint256 single, uint256 each) = _fulfilCommitted("narrow", "1 word out");
        assertLt(single, 303_500);
        assertLt(each, 96_500);
        (single, each) = _fulfilCommitted("wide", "16 words out");
        assertLt(single, 317_000);
        assertLt(each, 109_500);
    }

    function _fulfilCommitted(string memory name, string memory outputs)
        private
        returns (uint256 single, uint256 each)
    {
        Job[] memory jobs = _jobs(install(name), name, 18);
        fulfil(jobs[0]);
        single = _fulfil(string.concat("fulfil, 1 slice, committed input, ", outputs), jobs[1]);
        Job[] memory rest = new Job[](16);
        for (uint256 i = 0; i < 16; ++i) {
            rest[i] = jobs[i + 2];
        }
        bytes memory data = abi.encodeCall(IInferenceOracle.fulfilBatch, (fulfilmentsOf(rest)));
        each = meter(string.concat("fulfilBatch of 16 such, ", outputs), address(oracle), data, 0) / 16;
    }

    function test_Request() public {
        string[2] memory names = ["single", "narrow"];
        string[2] memory labels = ["request, 26 words in", "request, committed input"];
        for (uint256 i = 0; i < 2; ++i) {
            install(names[i]);
            Job memory job = open(draft(names[i]));
            fund(job);
            bytes memory data = abi.encodeCall(IInferenceOracle.request, (job.request, inputWords(job)));
            vm.startPrank(job.requester);
            meter(labels[i], address(oracle), data, job.request.fee);
            vm.stopPrank();
        }
    }

    function test_FulfilFurtherSlices() public {
        uint256[3] memory gas;
        string[3] memory names = ["single", "pair", "chain"];
        string[3] memory slices = ["1 slice", "2 slices", "3 slices"];
        for (uint256 i = 0; i < 3; ++i) {
            Job[] memory jobs = _jobs(install(names[i]), names[i], 2);
            fulfil(jobs[0]);
            gas[i] = _fulfil(string.concat("fulfil, ", slices[i], ", 26 + 1 words"), jobs[1]);
        }
        assertLt((gas[2] - gas[0]) / 2, 153_000);
    }

    function _jobs(Model memory model, string memory name, uint256 n) private returns (Job[] memory jobs) {
        jobs = new Job[](n);
        for (uint256 i = 0; i < n; ++i) {
            jobs[i] = prove(model, open(draft(name)));
        }
    }

    function _verifyBundle(string memory label, string memory name) private returns (uint256) {
        Model memory model = install(name);
        bytes memory data = abi.encodeCall(IBundleVerifier.verifyBundle, (covering(model.digest, loadBundle(name), 0)));
        return meter(label, address(verifier), data, 0);
    }

    function _fulfil(string memory label, Job memory job) private returns (uint256) {
        return meter(label, address(oracle), abi.encodeCall(IInferenceOracle.fulfil, (fulfilmentOf(job))), 0);
    }
}

/// @notice The figures. `make generate` writes them into snapshots/gas.json, and `make test` compares.
/// forge-config: default.isolate = true
contract GasTest is GasCases {
    function counting() internal pure override returns (bool) {
        return false;
    }
}

/// @notice What the transactions consist of, for docs/gas.md; it asserts nothing of its own.
/// forge-config: default.isolate = true
contract GasCountsTest is GasCases {
    function counting() internal pure override returns (bool) {
        return true;
    }
}
