// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {BundleVerifier} from "../../contracts/BundleVerifier.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {RecordingConsumer} from "./utils/Consumers.sol";
import {Jobs} from "./utils/Jobs.sol";
import {deploy} from "./utils/Deploy.sol";

/// @notice What mutants of the oracle got away with, before these.
contract InferenceOracleRecordsTest is Jobs {
    /// A refund leaves the time of the request.
    function test_RefundedRecordKeepsItsTime() public {
        install("single");
        Job memory job = open(draft("single"));
        uint256 requestedAt = block.timestamp;
        vm.warp(job.request.deadline + 1);
        oracle.refund(job.request, job.requester, job.nonce);
        (IInferenceOracle.Status status, uint64 time, bytes26 outputsHash) = oracle.result(job.id);
        assertTrue(status == IInferenceOracle.Status.Refunded);
        assertEq(time, requestedAt);
        assertEq(outputsHash, bytes26(0));
    }

    /// Who asks for no callback has none that fails, neither alone nor beside one who does.
    function test_NoCallbackIsNoFailure() public {
        Model memory model = install("single");
        Job memory alone = prove(model, open(draft("single")));
        fulfil(alone);
        assertFalse(oracle.callbackFailed(alone.id));

        RecordingConsumer consumer = new RecordingConsumer();
        Job[] memory jobs = new Job[](2);
        jobs[0] = prove(model, open(draft("single")));
        jobs[1] = draft("single");
        (jobs[1].request.callback, jobs[1].request.callbackGas) = (address(consumer), 300_000);
        jobs[1] = prove(model, open(jobs[1]));
        fulfilBatch(jobs);
        assertEq(consumer.requestId(), jobs[1].id);
        for (uint256 i = 0; i < 2; ++i) {
            assertFalse(oracle.callbackFailed(jobs[i].id));
        }
    }

    /// Errors of a verifier that name a bundle have its index and something more: one word alone is none, nor is a
    /// number that no bundle has.
    function test_OtherErrorsNameNoItem() public {
        Model memory model = install("single");
        Job[] memory jobs = new Job[](2);
        for (uint256 i = 0; i < 2; ++i) {
            jobs[i] = prove(model, open(draft("single")));
        }
        IInferenceOracle.Fulfilment[] memory fulfilments = fulfilmentsOf(jobs);
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory reason = i == 0 ? abi.encodeWithSignature("Panic(uint256)", 1) : bytes("");
            // There is no bundle 2.
            if (i == 2) reason = abi.encodeWithSelector(IBundleVerifier.OwnerOutOfRange.selector, 2, 0);
            vm.mockCallRevert(address(verifier), abi.encodePacked(IBundleVerifier.verifyBatch.selector), reason);
            vm.expectRevert(reason);
            oracle.fulfilBatch(fulfilments);
            vm.clearMockedCalls();
        }
        oracle.fulfilBatch(fulfilments);
    }

    /// P7: what was never requested has no fee to give back.
    function test_RevertWhen_RefundingWhatWasNeverRequested() public {
        install("single");
        Job memory job = open(draft("single"));
        vm.warp(job.request.deadline + 1);
        for (uint256 i = 0; i < 3; ++i) {
            (address requester, uint256 nonce) = (job.requester, job.nonce);
            IInferenceOracle.Request memory request_ = copyOf(job).request;
            if (i == 0) nonce += 1;
            if (i == 1) requester = makeAddr("thief");
            if (i == 2) request_.fee += 1;
            bytes32 id = oracle.requestIdOf(request_, requester, nonce);
            vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NotOpen.selector, id, IInferenceOracle.Status.None));
            oracle.refund(request_, requester, nonce);
            assertEq(oracle.balanceOf(requester, request_.feeToken), 0);
        }
        oracle.refund(job.request, job.requester, job.nonce);
    }

    /// One verifier decides on a batch, whichever selectors its items have, in whichever order.
    function test_RevertWhen_VerifiersDifferInAnyOrder() public {
        Model memory model = install("single");
        bytes4 second = 0x00000002;
        registry.addVerifier(second, deploy("BundleVerifier", abi.encode(registry, second)));
        Job[] memory jobs = new Job[](2);
        for (uint256 i = 0; i < 2; ++i) {
            jobs[i] = draft("single");
            if (i == 0) jobs[i].request.verifier = second;
            jobs[i] = prove(model, open(jobs[i]));
        }
        IInferenceOracle.Fulfilment[] memory fulfilments = fulfilmentsOf(jobs);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.VerifierMismatch.selector, second, VERIFIER));
        oracle.fulfilBatch(fulfilments);
        (fulfilments[0], fulfilments[1]) = (fulfilments[1], fulfilments[0]);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.VerifierMismatch.selector, VERIFIER, second));
        oracle.fulfilBatch(fulfilments);
    }
}
