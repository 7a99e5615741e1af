// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {PartialConsumer, RecordingConsumer} from "./utils/Consumers.sol";
import {Jobs} from "./utils/Jobs.sol";

/// @notice B6: coverage below full, of `chain`, whose outputs are slice 2's.
contract InferenceOracleCoverageTest is Jobs {
    uint256 private constant POLICY = 4;

    bytes32 private digest;
    uint256 private policy;
    PartialConsumer private consumer;

    function setUp() public override {
        super.setUp();
        _installWith(POLICY);
        consumer = new PartialConsumer();
    }

    // ------------------------------------------------------------------------------------------------ requests

    /// The model must have a policy; what is asked for includes it, has no slices that do not exist, and is not all.
    function test_RevertWhen_CoverageIsNotServed() public {
        uint256[6] memory refused = [uint256(1), 2, 3, 7, 12, type(uint256).max];
        for (uint256 i = 0; i < refused.length; ++i) {
            _refuse(refused[i], POLICY);
        }
        for (uint256 least = 4; least < 7; ++least) {
            assertTrue(oracle.status(open(_draft(least)).id) == IInferenceOracle.Status.Open);
        }
        _installWith(0);
        _refuse(4, 0);
    }

    // ------------------------------------------------------------------------------------------------ fulfilments

    /// Each coverage of a bundle against each that is asked for.
    function test_CoverageIsAtLeastWhatIsAskedFor() public {
        for (uint256 least = 4; least < 7; ++least) {
            for (uint256 coverage = 0; coverage < 7; ++coverage) {
                uint256 snapshot = vm.snapshotState();
                Job memory job = _proven(least, coverage);
                bool enough = coverage == 0 || coverage & least == least;
                if (!enough) {
                    vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.CoverageTooLow.selector, least, coverage));
                }
                fulfil(job);
                if (enough) {
                    assertTrue(
                        oracle.status(job.id)
                            == (coverage == 0
                                    ? IInferenceOracle.Status.Fulfilled
                                    : IInferenceOracle.Status.PartiallyFulfilled)
                    );
                    assertEq(oracle.balanceOf(prover, address(0)), job.request.fee);
                }
                vm.revertToState(snapshot);
            }
        }
    }

    function test_RevertWhen_FullWasAskedFor() public {
        for (uint256 coverage = 1; coverage < 7; ++coverage) {
            Job memory job = _proven(0, coverage);
            vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.CoverageTooLow.selector, 0, coverage));
            fulfil(job);
        }
    }

    /// All slices are written 0, in bundles too.
    function test_RevertWhen_AllSlicesAreSpelledOut() public {
        Job memory job = _proven(4, 0);
        job.coverage = 7;
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.CoverageOutOfRange.selector, 0, 7, 3));
        fulfil(job);
    }

    /// Slice 2 alone is bound to its boundary; the output is, too.
    function test_RevertWhen_PartialOutputIsAltered() public {
        Job memory job = _proven(4, 4);
        job.bundle.words[26] ^= 1;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        fulfil(job);
    }

    // ------------------------------------------------------------------------------------------------ a kind of its own

    /// No reader of full results takes a partial one.
    function test_PartialResultIsServedToNobodyElse() public {
        vm.prank(alice);
        bytes32 feedId = oracle.openFeed(digest, VERIFIER, 4, 0);
        Job memory job = _proven(4, 4);
        uint256[] memory words = outputWords(job);
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.InferenceFulfilled(job.id, digest, prover, 4, words);
        fulfil(job);
        (,, bytes26 outputsHash) = oracle.result(job.id);
        assertNotEq(outputsHash, bytes26(0));
        assertNotEq(outputsHash, bytes26(hashOf(words)));
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, job.id));
        oracle.requireOutputs(job.id, words, type(uint256).max);
        assertEq(oracle.feed(feedId).round, 0);
    }

    function test_PartialResultHasACallbackOfItsOwn() public {
        Job memory job = _fulfilledInPart();
        assertEq(consumer.partialCalls(), 1);
        assertEq(consumer.fullCalls(), 0);
        assertEq(consumer.coverage(), 4);
        assertEq(consumer.word(), outputWords(job)[0]);
    }

    /// A consumer that takes full results only is never handed a partial one.
    function test_ConsumersOfFullResultsAreNotCalled() public {
        RecordingConsumer recording = new RecordingConsumer();
        Job memory job = _draft(4);
        (job.request.callback, job.coverage) = (address(recording), 4);
        job = prove(_model(), open(job));
        fulfil(job);
        assertEq(recording.requestId(), 0);
        assertTrue(oracle.callbackFailed(job.id));
    }

    function test_FailedPartialCallbackIsRetried() public {
        consumer.setRefuses(true);
        Job memory job = _fulfilledInPart();
        assertTrue(oracle.callbackFailed(job.id));
        consumer.setRefuses(false);

        // The coverage is part of what is passed on.
        uint256[] memory words = outputWords(job);
        bytes memory mismatch = abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, job.id);
        for (uint256 coverage = 0; coverage < 7; ++coverage) {
            if (coverage == 4) continue;
            vm.expectRevert(mismatch);
            oracle.retryCallback(job.request, job.requester, job.nonce, coverage, words);
        }
        retry(job);
        assertEq(consumer.partialCalls(), 1);
        assertFalse(oracle.callbackFailed(job.id));
    }

    // ------------------------------------------------------------------------------------------------ replaced

    /// Else a partial bundle would block the right one.
    function test_FullBundleReplacesAPartialResultUnpaid() public {
        vm.prank(alice);
        bytes32 feedId = oracle.openFeed(digest, VERIFIER, 4, 0);
        Job memory job = _fulfilledInPart();
        uint256 partialWord = outputWords(job)[0];
        address other = makeAddr("other prover");
        job.bundle.words[26] ^= 1;
        (job.coverage, job.beneficiary) = (0, other);
        job = prove(_model(), job);
        fulfil(job);
        oracle.requireOutputs(job.id, outputWords(job), 0);
        assertNotEq(outputWords(job)[0], partialWord);
        assertEq(oracle.balanceOf(prover, address(0)), job.request.fee);
        assertEq(oracle.balanceOf(other, address(0)), 0);
        assertEq(consumer.fullCalls(), 1);
        assertEq(consumer.word(), outputWords(job)[0]);
        assertEq(oracle.feed(feedId).round, 1);

        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.NotOpen.selector, job.id, IInferenceOracle.Status.Fulfilled)
        );
        fulfil(job);
    }

    /// Not by a partial one, were it of more slices; not after the deadline; and the fee is gone.
    function test_RevertWhen_PartialResultIsReplacedOrRefunded() public {
        Job memory job = _fulfilledInPart();
        bytes memory notOpen = abi.encodeWithSelector(
            IInferenceOracle.NotOpen.selector, job.id, IInferenceOracle.Status.PartiallyFulfilled
        );
        for (uint256 coverage = 4; coverage < 7; ++coverage) {
            job.coverage = coverage;
            job = prove(_model(), job);
            vm.expectRevert(notOpen);
            fulfil(job);
        }
        job.coverage = 0;
        job = prove(_model(), job);
        vm.warp(job.request.deadline + 1);
        vm.expectPartialRevert(IInferenceOracle.DeadlinePassed.selector);
        fulfil(job);
        vm.expectRevert(notOpen);
        oracle.refund(job.request, alice, job.nonce);
    }

    /// A failed partial callback is not made any more once the result is full, whose own has not failed.
    function test_ReplacementForgetsTheFailedCallback() public {
        consumer.setRefuses(true);
        Job memory job = _fulfilledInPart();
        consumer.setRefuses(false);
        job.coverage = 0;
        job = prove(_model(), job);
        fulfil(job);
        assertFalse(oracle.callbackFailed(job.id));
        assertEq(consumer.fullCalls(), 1);
        uint256[] memory words = outputWords(job);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NoFailedCallback.selector, job.id));
        oracle.retryCallback(job.request, job.requester, job.nonce, 4, words);
    }

    /// Both in one batch: paid once, and called back once, with the full result.
    function test_PartialThenFullInOneBatch() public {
        // Several, since what tells the results apart are hashes, of which now one and now the other is greater.
        for (uint256 variant = 0; variant < 6; ++variant) {
            uint256 snapshot = vm.snapshotState();
            _requireFullCalledBackOnly(variant);
            vm.revertToState(snapshot);
        }
    }

    function _requireFullCalledBackOnly(uint256 variant) private {
        Job[] memory jobs = new Job[](3);
        jobs[0] = open(_draft(4));
        jobs[0].bundle.words[jobs[0].bundle.words.length - 1] ^= variant;
        jobs[0].coverage = 4;
        jobs[0] = prove(_model(), jobs[0]);
        jobs[1] = copyOf(jobs[0]);
        jobs[1].coverage = 0;
        jobs[1] = prove(_model(), jobs[1]);
        jobs[2] = copyOf(jobs[0]);
        fulfilBatch(jobs);
        assertTrue(oracle.status(jobs[0].id) == IInferenceOracle.Status.Fulfilled);
        assertEq(oracle.balanceOf(prover, address(0)), jobs[0].request.fee);
        assertEq(consumer.partialCalls(), 0);
        assertEq(consumer.fullCalls(), 1);
    }

    /// A partial item for what is fulfilled in part already is passed over; a full one is not.
    function test_BatchPassesOverPartialAgain() public {
        Job[] memory jobs = new Job[](2);
        jobs[0] = _fulfilledInPart();
        jobs[1] = _proven(4, 5);
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.FulfilmentSkipped(jobs[0].id, IInferenceOracle.SkipReason.NotOpen);
        fulfilBatch(jobs);
        jobs[0].coverage = 0;
        jobs[0] = prove(_model(), jobs[0]);
        fulfilBatch(jobs);
        assertTrue(oracle.status(jobs[0].id) == IInferenceOracle.Status.Fulfilled);
        assertTrue(oracle.status(jobs[1].id) == IInferenceOracle.Status.PartiallyFulfilled);
        assertEq(oracle.balanceOf(prover, address(0)), 2 * jobs[0].request.fee);
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function _installWith(uint256 policy_) private {
        policy = policy_;
        digest = register(_model().blob);
    }

    /// `chain` with a coverage policy, which is in its digest.
    function _model() private view returns (Model memory model) {
        model = loadModel("chain");
        setWord(model.blob, 3, policy);
        model.digest = rehash(model.blob);
    }

    function _draft(uint256 least) private view returns (Job memory job) {
        job = draft("chain");
        job.request.modelDigest = digest;
        job.request.minCoverage = least;
        (job.request.callback, job.request.callbackGas) = (address(consumer), 200_000);
    }

    function _proven(uint256 least, uint256 coverage) private returns (Job memory job) {
        job = open(_draft(least));
        job.coverage = coverage;
        return prove(_model(), job);
    }

    function _fulfilledInPart() private returns (Job memory job) {
        job = _proven(4, 4);
        fulfil(job);
    }

    function _refuse(uint256 least, uint256 expectedPolicy) private {
        Job memory job = _draft(least);
        uint256[] memory words = inputWords(job);
        fund(job);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.UnsupportedCoverage.selector, least, expectedPolicy));
        oracle.request{value: job.request.fee}(job.request, words);
    }
}
