// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {
    BombConsumer,
    GasBurningConsumer,
    PausedConsumer,
    RecordingConsumer,
    ReenteringConsumer,
    RevertingConsumer
} from "./utils/Consumers.sol";
import {Jobs} from "./utils/Jobs.sol";
import {Token} from "./utils/Tokens.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @notice P11, B11: callbacks at their worst.
contract InferenceOracleCallbacksTest is Jobs {
    function test_CallbackGetsTheResultWithExactlyItsGas() public {
        RecordingConsumer consumer = new RecordingConsumer();
        Job memory job = _fulfilWith(address(consumer), 300_000);
        assertEq(consumer.caller(), address(oracle));
        assertEq(consumer.requestId(), job.id);
        assertEq(consumer.modelDigest(), job.request.modelDigest);
        assertEq(consumer.words(0), job.bundle.words[26]);
        // Less what its own dispatch takes.
        assertLe(consumer.gasAtStart(), 300_000);
        assertGt(consumer.gasAtStart(), 299_000);
        assertFalse(oracle.callbackFailed(job.id));
    }

    /// A fulfiller cannot starve the callback: with too little gas the whole fulfilment reverts.
    function test_RevertWhen_GasIsTooLowForTheCallback() public {
        RecordingConsumer consumer = new RecordingConsumer();
        Model memory model = install("single");
        Job memory job = draft("single");
        (job.request.callback, job.request.callbackGas) = (address(consumer), 1_000_000);
        job = prove(model, open(job));
        _requireLeastGasSuffices(job, consumer);
    }

    /// An account with delegated code costs more to call (EIP-7702), and the callback is not who pays for it.
    /// forge-config: default.evm_version = "prague"
    /// forge-config: default.isolate = true
    function test_DelegatedCallbackHasAllItsGas() public {
        address code = address(new RecordingConsumer());
        address account = makeAddr("delegating");
        vm.etch(account, abi.encodePacked(hex"ef0100", code));
        Job memory job = _prepareWith(account, 1_000_000);
        _requireLeastGasSuffices(job, RecordingConsumer(account));
    }

    function test_RevertingCallbackIsRecorded() public {
        Job memory job = _prepareWith(address(new RevertingConsumer()), 100_000);
        bytes memory full = abi.encodeWithSelector(RevertingConsumer.No.selector, 1, 2, 3, 4, 5);
        bytes memory capped = new bytes(132);
        for (uint256 i = 0; i < 132; ++i) {
            capped[i] = full[i];
        }
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.CallbackFailed(job.id, capped);
        fulfil(job);
        _requireFulfilledDespiteCallback(job);
    }

    function test_GasBurningCallbackIsRecorded() public {
        Job memory job = _prepareWith(address(new GasBurningConsumer()), 500_000);
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.CallbackFailed(job.id, "");
        uint256 before = gasleft();
        fulfil(job);
        assertLt(before - gasleft(), 1_000_000);
        _requireFulfilledDespiteCallback(job);
    }

    function test_ReturnBombCostsTheOracleNothing() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            Job memory job = _prepareWith(address(new BombConsumer(i == 1)), 3_000_000);
            uint256 before = gasleft();
            fulfil(job);
            // The callback pays for its megabyte (2.2 million) from its own gas; copying it would cost as much again.
            assertLt(before - gasleft(), 3_000_000);
            assertEq(oracle.callbackFailed(job.id), i == 1);
            vm.revertToState(snapshot);
        }
    }

    function test_CallbackToVanishedCodeIsRecorded() public {
        RecordingConsumer consumer = new RecordingConsumer();
        Job memory job = _prepareWith(address(consumer), 100_000);
        vm.etch(address(consumer), "");
        fulfil(job);
        _requireFulfilledDespiteCallback(job);
    }

    function test_ReenteringAnythingButRequestFails() public {
        for (uint256 i = 0; i < 5; ++i) {
            uint256 snapshot = vm.snapshotState();
            ReenteringConsumer consumer = new ReenteringConsumer();
            Job memory job = _prepareWith(address(consumer), 3_000_000);
            bytes memory action;
            if (i == 0) action = abi.encodeCall(IInferenceOracle.fulfil, (fulfilmentOf(job)));
            if (i == 1) action = abi.encodeCall(IInferenceOracle.refund, (job.request, job.requester, job.nonce));
            if (i == 2) action = abi.encodeCall(IInferenceOracle.withdraw, (address(0), address(consumer)));
            if (i == 3) {
                action = abi.encodeCall(IInferenceOracle.fulfilBatch, (new IInferenceOracle.Fulfilment[](0)));
            }
            if (i == 4) {
                action = abi.encodeCall(IInferenceOracle.publish, (publicationOf("single", address(consumer)), ""));
            }
            consumer.set(action, 0);
            fulfil(job);
            assertFalse(consumer.succeeded());
            assertEq(
                consumer.outcome(),
                abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
            );
            assertEq(oracle.balanceOf(prover, address(0)), job.request.fee);
            vm.revertToState(snapshot);
        }
    }

    /// P11: who fulfils chooses the moment, perhaps one at which the callback fails; that is not the end of it.
    function test_FailedCallbackIsRetried() public {
        PausedConsumer consumer = new PausedConsumer();
        Job memory job = _fulfilWith(address(consumer), 100_000);
        _requireFulfilledDespiteCallback(job);
        _refuseRetry(job, abi.encodeWithSelector(IInferenceOracle.CallbackFailedAgain.selector, job.id));
        uint256[] memory words = outputWords(job);
        assertTrue(oracle.callbackFailed(job.id));

        consumer.unpause();
        vm.warp(job.request.deadline + 1);
        vm.prank(makeAddr("anyone"));
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.CallbackRetried(job.id);
        oracle.retryCallback(job.request, job.requester, job.nonce, 0, words);
        assertEq(consumer.calls(), 1);
        assertEq(consumer.word(), job.bundle.words[26]);
        assertFalse(oracle.callbackFailed(job.id));
        assertEq(oracle.balanceOf(prover, address(0)), job.request.fee, "the fee is paid once");
        _refuseRetry(job, abi.encodeWithSelector(IInferenceOracle.NoFailedCallback.selector, job.id));
    }

    function test_RevertWhen_RetryingWhatDidNotFail() public {
        Model memory model = install("single");
        RecordingConsumer consumer = new RecordingConsumer();
        Job memory job = draft("single");
        (job.request.callback, job.request.callbackGas) = (address(consumer), 300_000);
        job = prove(model, open(job));
        bytes memory none = abi.encodeWithSelector(IInferenceOracle.NoFailedCallback.selector, job.id);
        _refuseRetry(job, none);
        fulfil(job);
        _refuseRetry(job, none);
        job.request.callbackGas += 1;
        bytes32 id = oracle.requestIdOf(job.request, job.requester, job.nonce);
        _refuseRetry(job, abi.encodeWithSelector(IInferenceOracle.NoFailedCallback.selector, id));
    }

    /// A retry passes on the outputs that were proven, and no others.
    function test_RevertWhen_RetryingWithOtherOutputs() public {
        PausedConsumer consumer = new PausedConsumer();
        Job memory job = _fulfilWith(address(consumer), 100_000);
        consumer.unpause();
        bytes memory mismatch = abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, job.id);
        job.bundle.words[26] ^= 1;
        _refuseRetry(job, mismatch);
        job.bundle.words[26] ^= 1;
        job.coverage = 1;
        _refuseRetry(job, mismatch);
        assertEq(consumer.calls(), 0);
    }

    /// Nor can a retry starve the callback.
    function test_RevertWhen_GasIsTooLowForTheRetry() public {
        PausedConsumer consumer = new PausedConsumer();
        Job memory job = _fulfilWith(address(consumer), 1_000_000);
        consumer.unpause();
        uint256[] memory words = outputWords(job);
        vm.expectPartialRevert(IInferenceOracle.InsufficientCallbackGas.selector);
        oracle.retryCallback{gas: 1_010_000}(job.request, job.requester, job.nonce, 0, words);
        assertTrue(oracle.callbackFailed(job.id));
    }

    function test_ReenteringRetryFails() public {
        ReenteringConsumer consumer = new ReenteringConsumer();
        Job memory job = _prepareWith(address(consumer), 3_000_000);
        bytes memory code = address(consumer).code;
        vm.etch(address(consumer), "");
        fulfil(job);
        vm.etch(address(consumer), code);
        consumer.set(
            abi.encodeCall(
                IInferenceOracle.retryCallback, (job.request, job.requester, job.nonce, 0, outputWords(job))
            ),
            0
        );
        retry(job);
        assertFalse(consumer.succeeded());
        assertEq(
            consumer.outcome(), abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
        );
    }

    /// Opening a feed moves nothing: what is fulfilled already has no round in it.
    function test_CallbackMayOpenAFeed() public {
        ReenteringConsumer consumer = new ReenteringConsumer();
        Job memory job = _prepareWith(address(consumer), 3_000_000);
        consumer.set(abi.encodeCall(IInferenceOracle.openFeed, (job.request.modelDigest, VERIFIER, 2, 0)), 0);
        fulfil(job);
        assertTrue(consumer.succeeded());
        IInferenceOracle.Feed memory feed = oracle.feed(abi.decode(consumer.outcome(), (bytes32)));
        assertEq(feed.capacity, 2);
        assertEq(feed.round, 0);
    }

    /// A callback may well ask the next question.
    function test_CallbackMayRequestAgain() public {
        ReenteringConsumer consumer = new ReenteringConsumer();
        Job memory job = _prepareWith(address(consumer), 3_000_000);
        Job memory next = draft("single");
        vm.deal(address(consumer), next.request.fee);
        consumer.set(abi.encodeCall(IInferenceOracle.request, (next.request, inputWords(next))), next.request.fee);
        fulfil(job);
        assertTrue(consumer.succeeded());
        assertTrue(oracle.status(abi.decode(consumer.outcome(), (bytes32))) == IInferenceOracle.Status.Open);
    }

    /// B11: nothing of the oracle's own can be the target.
    function test_RevertWhen_CallbackTargetIsForbidden() public {
        install("single");
        address token = address(new Token());
        address[9] memory targets = [
            address(oracle),
            address(registry),
            address(verifier),
            token,
            address(1),
            address(8),
            address(0x100),
            address(0xffff),
            makeAddr("no code")
        ];
        for (uint256 i = 0; i < targets.length; ++i) {
            if (i == 6 || i == 7) vm.etch(targets[i], hex"00");
            Job memory job = draft("single");
            (job.request.callback, job.request.callbackGas) = (targets[i], 100_000);
            if (targets[i] == token) job.request.feeToken = token;
            _refuse(job, abi.encodeWithSelector(IInferenceOracle.InvalidCallback.selector, targets[i]));
        }
    }

    function test_RevertWhen_CallbackGasIsOutOfRange() public {
        install("single");
        Job memory job = draft("single");
        job.request.callbackGas = 1;
        _refuse(job, abi.encodeWithSelector(IInferenceOracle.InvalidCallbackGas.selector, 1, 0));
        (job.request.callback, job.request.callbackGas) = (address(new RecordingConsumer()), 5_000_001);
        _refuse(job, abi.encodeWithSelector(IInferenceOracle.InvalidCallbackGas.selector, 5_000_001, 5_000_000));
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function fulfilExternal(Job memory job) external {
        fulfil(job);
    }

    function _prepareWith(address callback, uint32 callbackGas) private returns (Job memory job) {
        Model memory model = install("single");
        job = draft("single");
        (job.request.callback, job.request.callbackGas) = (callback, callbackGas);
        return prove(model, open(job));
    }

    /// The least gas that succeeds, by bisection: even then the callback has all of its 1,000,000.
    function _requireLeastGasSuffices(Job memory job, RecordingConsumer consumer) private {
        (uint256 fails, uint256 succeeds) = (1_000_000, 2_000_000);
        uint256 snapshot = vm.snapshotState();
        while (succeeds - fails > 1) {
            uint256 limit = (fails + succeeds) / 2;
            try this.fulfilExternal{gas: limit}(job) {
                assertFalse(oracle.callbackFailed(job.id));
                assertGt(consumer.gasAtStart(), 999_000);
                succeeds = limit;
            } catch {
                assertTrue(oracle.status(job.id) == IInferenceOracle.Status.Open);
                fails = limit;
            }
            vm.revertToState(snapshot);
        }
        vm.expectPartialRevert(IInferenceOracle.InsufficientCallbackGas.selector);
        this.fulfilExternal{gas: fails}(job);
    }

    function _fulfilWith(address callback, uint32 callbackGas) private returns (Job memory job) {
        job = _prepareWith(callback, callbackGas);
        fulfil(job);
    }

    function _requireFulfilledDespiteCallback(Job memory job) private view {
        assertTrue(oracle.callbackFailed(job.id));
        oracle.requireOutputs(job.id, outputWords(job), type(uint256).max);
        assertEq(oracle.balanceOf(prover, address(0)), job.request.fee);
    }

    function _refuseRetry(Job memory job, bytes memory revertData) private {
        uint256[] memory words = outputWords(job);
        vm.expectRevert(revertData);
        oracle.retryCallback(job.request, job.requester, job.nonce, job.coverage, words);
    }

    function _refuse(Job memory job, bytes memory revertData) private {
        uint256[] memory words = inputWords(job);
        uint256 value = job.request.feeToken == address(0) ? job.request.fee : 0;
        vm.deal(alice, value);
        vm.prank(alice);
        vm.expectRevert(revertData);
        oracle.request{value: value}(job.request, words);
    }
}
