// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {stdError} from "forge-std/StdError.sol";
import {BundleVerifier} from "../../contracts/BundleVerifier.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {BN254} from "../../contracts/libraries/BN254.sol";
import {PausedConsumer, RecordingConsumer, ReenteringConsumer, RevertingConsumer} from "./utils/Consumers.sol";
import {Jobs} from "./utils/Jobs.sol";
import {Token} from "./utils/Tokens.sol";
import {deploy} from "./utils/Deploy.sol";

/// @notice Takes any sum, and forgets it when told to.
contract BoundlessToken {
    uint256 private _taken;

    function balanceOf(address) external view returns (uint256) {
        return _taken;
    }

    function transferFrom(address, address, uint256 amount) external returns (bool) {
        _taken = amount;
        return true;
    }

    function forget() external {
        _taken = 0;
    }
}

/// @notice G9: what one item of a batch can do to the others.
contract InferenceOracleBatchTest is Jobs {
    address private immutable THIEF = makeAddr("thief");

    // ------------------------------------------------------------------------------------------------ the whole way

    function test_FulfilsABatchOfSeveralModels() public {
        Job[] memory jobs = new Job[](5);
        jobs[0] = _made("single", 0);
        jobs[1] = _made("single", 1);
        jobs[2] = _made("chain", 0);
        jobs[3] = _made("private", 0);
        jobs[4] = _made("mixed", 0);
        uint256 fees;
        for (uint256 i = 0; i < jobs.length; ++i) {
            fees += jobs[i].request.fee;
            vm.expectEmit(address(oracle));
            emit IInferenceOracle.InferenceFulfilled(
                jobs[i].id, jobs[i].request.modelDigest, prover, 0, outputWords(jobs[i])
            );
        }
        fulfilBatch(jobs);
        for (uint256 i = 0; i < jobs.length; ++i) {
            oracle.requireOutputs(jobs[i].id, outputWords(jobs[i]), 0);
        }
        assertEq(oracle.balanceOf(prover, address(0)), fees);
    }

    /// One at a time or all at once: the same result.
    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 100
    function testFuzz_BatchIsLikeFulfilments(uint256 seed) public {
        Job[] memory jobs = new Job[](bound(seed, 1, 4));
        for (uint256 i = 0; i < jobs.length; ++i) {
            jobs[i] = _made(uint256(keccak256(abi.encode(seed, i))) % 2 == 0 ? "single" : "private", i);
        }
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < jobs.length; ++i) {
            fulfil(jobs[i]);
        }
        bytes32 expected = _stateOf(jobs);
        vm.revertToState(snapshot);
        fulfilBatch(jobs);
        assertEq(_stateOf(jobs), expected);
    }

    /// What neighbours have to get is credited in one sum: to each account, in each currency, as one at a time.
    /// Fewer cases, as above.
    /// forge-config: ci.fuzz.runs = 100
    function testFuzz_BatchCreditsLikeFulfilments(uint256 seed) public {
        Model memory model = install("single");
        address[3] memory tokens = [address(0), address(new Token()), address(new Token())];
        address[2] memory provers = [prover, makeAddr("another prover")];
        Job[] memory jobs = new Job[](bound(seed, 1, 6));
        for (uint256 i = 0; i < jobs.length; ++i) {
            uint256 choice = uint256(keccak256(abi.encode(seed, i)));
            jobs[i] = _varied("single", i);
            (jobs[i].request.feeToken, jobs[i].request.fee) = (tokens[choice % 3], (choice >> 8) % 3);
            jobs[i].beneficiary = provers[(choice >> 16) % 2];
            jobs[i] = prove(model, open(jobs[i]));
        }
        // One of them again.
        if (jobs.length > 2) jobs[jobs.length - 1] = copyOf(jobs[0]);
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < jobs.length - (jobs.length > 2 ? 1 : 0); ++i) {
            fulfil(jobs[i]);
        }
        uint256[6] memory credits = _credits(tokens, provers);
        vm.revertToState(snapshot);
        fulfilBatch(jobs);
        assertEq(keccak256(abi.encode(_credits(tokens, provers))), keccak256(abi.encode(credits)));
    }

    /// A token that lies takes fees whose sum is beyond all numbers: the second is never paid, alone or in a batch.
    function test_RevertWhen_CreditsOverflow() public {
        Model memory model = install("single");
        BoundlessToken token = new BoundlessToken();
        Job[] memory jobs = new Job[](3);
        for (uint256 i = 0; i < 3; ++i) {
            jobs[i] = _varied("single", i);
            if (i != 0) (jobs[i].request.feeToken, jobs[i].request.fee) = (address(token), 1 << 255);
            uint256 value = i == 0 ? jobs[i].request.fee : 0;
            uint256[] memory words = inputWords(jobs[i]);
            vm.deal(alice, value);
            jobs[i].nonce = oracle.nonces(alice);
            vm.prank(alice);
            jobs[i].id = oracle.request{value: value}(jobs[i].request, words);
            jobs[i] = prove(model, jobs[i]);
            token.forget();
        }
        IInferenceOracle.Fulfilment[] memory fulfilments = fulfilmentsOf(jobs);
        vm.expectRevert(stdError.arithmeticError);
        oracle.fulfilBatch(fulfilments);
        fulfil(jobs[1]);
        vm.expectRevert(stdError.arithmeticError);
        this.fulfilExternal(jobs[2]);
        vm.expectRevert(stdError.arithmeticError);
        oracle.fulfilBatch(fulfilments);
        assertEq(oracle.balanceOf(prover, address(token)), 1 << 255);
    }

    function test_RoundsOfAFeedComeInTheOrderOfRequests() public {
        Model memory model = install("single");
        vm.prank(alice);
        bytes32 feedId = oracle.openFeed(model.digest, VERIFIER, 4, 0);
        Job[] memory jobs = new Job[](3);
        for (uint256 i = 0; i < 3; ++i) {
            vm.warp(block.timestamp + 1);
            jobs[i] = prove(model, open(_varied("single", i)));
        }
        (jobs[0], jobs[1]) = (jobs[1], jobs[0]); // The first request's proof comes after the second's.
        fulfilBatch(jobs);
        assertEq(oracle.feed(feedId).round, 2);
        (,, uint256[] memory words) = oracle.roundOf(feedId, 1);
        assertEq(words, outputWords(jobs[0]));
        (,, words) = oracle.roundOf(feedId, 2);
        assertEq(words, outputWords(jobs[2]));
    }

    // ------------------------------------------------------------------------------------------------ passed over

    /// A bundle copied from the mempool and sent first does not take the others with it.
    function test_CopiedBundleHarmsNobody() public {
        Job[] memory jobs = _batch(3);
        vm.prank(THIEF);
        fulfil(jobs[1]);
        _expectSkipped(jobs[1], IInferenceOracle.SkipReason.NotOpen);
        fulfilBatch(jobs);
        _requireFulfilled(jobs);
        assertEq(oracle.balanceOf(prover, address(0)), 3 * jobs[0].request.fee);
        assertEq(oracle.balanceOf(THIEF, address(0)), 0);
    }

    function test_RequestTwiceInABatchIsPaidOnce() public {
        RecordingConsumer consumer = new RecordingConsumer();
        Model memory model = install("single");
        Job[] memory jobs = new Job[](3);
        jobs[0] = _varied("single", 0);
        (jobs[0].request.callback, jobs[0].request.callbackGas) = (address(consumer), 300_000);
        jobs[0] = prove(model, open(jobs[0]));
        jobs[1] = copyOf(jobs[0]);
        jobs[2] = copyOf(jobs[0]);
        jobs[2].beneficiary = THIEF; // An honest proof of his own, but the second.
        jobs[2] = prove(model, jobs[2]);
        vm.expectCall(address(consumer), abi.encodePacked(consumer.onInference.selector), 1);
        _expectSkipped(jobs[1], IInferenceOracle.SkipReason.NotOpen);
        _expectSkipped(jobs[2], IInferenceOracle.SkipReason.NotOpen);
        fulfilBatch(jobs);
        assertEq(oracle.balanceOf(prover, address(0)), jobs[0].request.fee);
        assertEq(oracle.balanceOf(THIEF, address(0)), 0);
    }

    function test_ExpiredRefundedAndUnknownArePassedOver() public {
        Model memory model = install("single");
        Job[] memory jobs = new Job[](4);
        for (uint256 i = 0; i < 4; ++i) {
            jobs[i] = _varied("single", i);
            if (i < 2) jobs[i].request.deadline = uint64(block.timestamp + 10);
            if (i != 2) jobs[i] = open(jobs[i]);
            jobs[i].id = oracle.requestIdOf(jobs[i].request, alice, jobs[i].nonce);
            jobs[i] = prove(model, jobs[i]);
        }
        vm.warp(block.timestamp + 11);
        oracle.refund(jobs[0].request, alice, jobs[0].nonce);
        _expectSkipped(jobs[0], IInferenceOracle.SkipReason.NotOpen);
        _expectSkipped(jobs[1], IInferenceOracle.SkipReason.DeadlinePassed);
        _expectSkipped(jobs[2], IInferenceOracle.SkipReason.NotOpen);
        fulfilBatch(jobs);
        assertEq(oracle.balanceOf(prover, address(0)), jobs[3].request.fee);
        oracle.requireOutputs(jobs[3].id, outputWords(jobs[3]), 11);
    }

    function test_StoppedModelsArePassedOver() public {
        Job[] memory jobs = new Job[](4);
        jobs[0] = _made("single", 0);
        jobs[1] = _made("chain", 1);
        jobs[2] = _made("chain", 2);
        jobs[3] = _made("single", 3);
        registry.tombstone(jobs[1].request.modelDigest);
        _expectSkipped(jobs[1], IInferenceOracle.SkipReason.Stopped);
        _expectSkipped(jobs[2], IInferenceOracle.SkipReason.Stopped);
        fulfilBatch(jobs);
        assertEq(oracle.balanceOf(prover, address(0)), 2 * jobs[0].request.fee);
    }

    /// The lane is that of the first item that counts.
    function test_StoppedVerifiersArePassedOver() public {
        Model memory model = install("single");
        registry.addVerifier(0x00000002, deploy("BundleVerifier", abi.encode(registry, bytes4(0x00000002))));
        Job[] memory jobs = new Job[](3);
        for (uint256 i = 0; i < 3; ++i) {
            jobs[i] = _varied("single", i);
            if (i == 0) jobs[i].request.verifier = 0x00000002;
            jobs[i] = prove(model, open(jobs[i]));
        }
        registry.tombstoneVerifier(0x00000002);
        _expectSkipped(jobs[0], IInferenceOracle.SkipReason.Stopped);
        fulfilBatch(jobs);
        assertEq(oracle.balanceOf(prover, address(0)), 2 * jobs[1].request.fee);
    }

    /// What is passed over is not looked at.
    function test_PassedOverWhateverElseItHolds() public {
        for (uint256 i = 0; i < 5; ++i) {
            uint256 snapshot = vm.snapshotState();
            Job[] memory jobs = _batch(2);
            fulfil(jobs[0]);
            if (i == 0) jobs[0].beneficiary = address(0);
            if (i == 1) jobs[0].bundle.words = new uint256[](0);
            if (i == 2) jobs[0].bundle.proofs = new uint256[](3);
            if (i == 3) jobs[0].coverage = 1;
            if (i == 4) jobs[0].bundle.commitments = new uint256[](9);
            _expectSkipped(jobs[0], IInferenceOracle.SkipReason.NotOpen);
            fulfilBatch(jobs);
            oracle.requireOutputs(jobs[1].id, outputWords(jobs[1]), 0);
            vm.revertToState(snapshot);
        }
    }

    function test_RevertWhen_NothingIsLeft() public {
        Job[] memory jobs = _batch(2);
        fulfilBatch(jobs);
        vm.expectRevert(IInferenceOracle.NothingToFulfil.selector);
        fulfilBatch(jobs);
        vm.expectRevert(IInferenceOracle.NothingToFulfil.selector);
        fulfilBatch(new Job[](0));
    }

    // ------------------------------------------------------------------------------------------------ named

    /// Every fault names its item, with the error that it gives alone; also one that the verifier finds, which counts
    /// only what was not passed over.
    function test_RevertWhen_AnItemIsMalformed() public {
        for (uint256 i = 0; i < 10; ++i) {
            uint256 snapshot = vm.snapshotState();
            Job[] memory jobs = new Job[](4);
            jobs[0] = _made("mixed", 0);
            jobs[1] = _made("mixed", 1);
            jobs[2] = _made("mixed", 2);
            jobs[3] = _made("mixed", 3);
            fulfil(jobs[1]);
            Job memory bad = jobs[2];
            if (i == 0) bad.beneficiary = address(0);
            if (i == 1) bad.coverage = 4;
            if (i == 2) bad.bundle.words[0] ^= 1;
            if (i == 3) bad.bundle.commitments[0] ^= 1;
            if (i == 4) bad.bundle.words = new uint256[](1);
            if (i == 5) bad.bundle.commitments = new uint256[](0);
            if (i == 6) bad.bundle.proofs = new uint256[](10);
            if (i == 7) bad.bundle.proofs[0] ^= 1;
            if (i == 8) bad.bundle.commitments[1] = BN254.R;
            if (i == 9) bad.bundle.words[bad.bundle.words.length - 1] = type(uint256).max;
            bytes memory reason = _errorOf(bad);
            vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InvalidFulfilment.selector, 2, reason));
            fulfilBatch(jobs);
            vm.revertToState(snapshot);
        }
    }

    /// A false statement has no name in the pairing: the verifier's view finds it.
    function test_RevertWhen_AProofIsFalse() public {
        Job[] memory jobs = _batch(3);
        jobs[1].bundle.words[26] ^= 1;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        fulfilBatch(jobs);
        jobs[1].bundle.words[26] ^= 1;
        fulfilBatch(jobs);
    }

    function test_RevertWhen_BeneficiariesAreSwapped() public {
        Job[] memory jobs = _batch(2);
        jobs[1].beneficiary = THIEF;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        fulfilBatch(jobs);
    }

    /// The bundles of two requests for equal inputs, each in the other's place.
    function test_RevertWhen_BundlesAreSwapped() public {
        Model memory model = install("single");
        Job[] memory jobs = new Job[](2);
        jobs[0] = prove(model, open(draft("single")));
        jobs[1] = prove(model, open(draft("single")));
        (jobs[0].bundle, jobs[1].bundle) = (jobs[1].bundle, jobs[0].bundle);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        fulfilBatch(jobs);
    }

    function test_RevertWhen_VerifiersDiffer() public {
        Model memory model = install("single");
        registry.addVerifier(0x00000002, deploy("BundleVerifier", abi.encode(registry, bytes4(0x00000002))));
        Job[] memory jobs = new Job[](3);
        for (uint256 i = 0; i < 3; ++i) {
            jobs[i] = _varied("single", i);
            if (i == 2) jobs[i].request.verifier = 0x00000002;
            jobs[i] = prove(model, open(jobs[i]));
        }
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.VerifierMismatch.selector, VERIFIER, bytes4(0x00000002))
        );
        fulfilBatch(jobs);
    }

    // ------------------------------------------------------------------------------------------------ callbacks

    /// Everything is written before the first callback runs, and one that fails harms none.
    function test_CallbacksComeLast() public {
        ReenteringConsumer curious = new ReenteringConsumer();
        RecordingConsumer recording = new RecordingConsumer();
        Job[] memory jobs = new Job[](3);
        jobs[0] = _madeWith(address(curious), 3_000_000, 0);
        jobs[1] = _madeWith(address(new RevertingConsumer()), 100_000, 1);
        jobs[2] = _madeWith(address(recording), 300_000, 2);
        curious.set(abi.encodeCall(IInferenceOracle.status, (jobs[2].id)), 0);
        fulfilBatch(jobs);
        assertEq(abi.decode(curious.outcome(), (uint8)), uint8(IInferenceOracle.Status.Fulfilled));
        assertTrue(oracle.callbackFailed(jobs[1].id));
        assertEq(recording.requestId(), jobs[2].id);
        _requireFulfilled(jobs);
    }

    function test_CallbackCannotReenterTheBatch() public {
        ReenteringConsumer consumer = new ReenteringConsumer();
        Job[] memory jobs = new Job[](2);
        jobs[0] = _madeWith(address(consumer), 5_000_000, 0);
        jobs[1] = _made("single", 1);
        consumer.set(abi.encodeCall(IInferenceOracle.fulfilBatch, (fulfilmentsOf(jobs))), 0);
        fulfilBatch(jobs);
        assertFalse(consumer.succeeded());
        assertEq(oracle.balanceOf(prover, address(0)), 2 * jobs[0].request.fee);
    }

    /// Each callback has all its gas, or the batch reverts.
    function test_RevertWhen_GasIsTooLowForACallback() public {
        Job[] memory jobs = new Job[](2);
        jobs[0] = _madeWith(address(new RecordingConsumer()), 300_000, 0);
        jobs[1] = _madeWith(address(new RecordingConsumer()), 4_000_000, 1);
        IInferenceOracle.Fulfilment[] memory fulfilments = fulfilmentsOf(jobs);
        vm.expectPartialRevert(IInferenceOracle.InsufficientCallbackGas.selector);
        oracle.fulfilBatch{gas: 4_000_000}(fulfilments);
        fulfilBatch(jobs);
        assertFalse(oracle.callbackFailed(jobs[1].id));
    }

    function test_FailedCallbackOfABatchIsRetried() public {
        PausedConsumer consumer = new PausedConsumer();
        Job[] memory jobs = new Job[](2);
        jobs[0] = _made("single", 0);
        jobs[1] = _madeWith(address(consumer), 100_000, 1);
        fulfilBatch(jobs);
        assertTrue(oracle.callbackFailed(jobs[1].id));
        consumer.unpause();
        retry(jobs[1]);
        assertEq(consumer.calls(), 1);
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function fulfilExternal(Job memory job) external {
        fulfil(job);
    }

    function _credits(address[3] memory tokens, address[2] memory provers)
        private
        view
        returns (uint256[6] memory credits)
    {
        for (uint256 i = 0; i < 6; ++i) {
            credits[i] = oracle.balanceOf(provers[i % 2], tokens[i / 2]);
        }
    }

    function _batch(uint256 n) private returns (Job[] memory jobs) {
        jobs = new Job[](n);
        for (uint256 i = 0; i < n; ++i) {
            jobs[i] = _made("single", i);
        }
    }

    /// A job with other outputs than the last.
    function _varied(string memory name, uint256 variant) private view returns (Job memory job) {
        job = draft(name);
        job.bundle.words[job.bundle.words.length - 1] ^= variant;
    }

    /// A job whose request is made and whose proofs are.
    function _made(string memory name, uint256 variant) private returns (Job memory) {
        return prove(_model(name), open(_varied(name, variant)));
    }

    function _madeWith(address callback, uint32 callbackGas, uint256 variant) private returns (Job memory job) {
        Model memory model = _model("single");
        job = _varied("single", variant);
        (job.request.callback, job.request.callbackGas) = (callback, callbackGas);
        return prove(model, open(job));
    }

    function _model(string memory name) private returns (Model memory model) {
        model = loadModel(name);
        if (uint8(registry.modelStatus(model.digest)) == 0) install(name);
    }

    function _expectSkipped(Job memory job, IInferenceOracle.SkipReason reason) private {
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.FulfilmentSkipped(job.id, reason);
    }

    function _requireFulfilled(Job[] memory jobs) private view {
        for (uint256 i = 0; i < jobs.length; ++i) {
            oracle.requireOutputs(jobs[i].id, outputWords(jobs[i]), 0);
        }
    }

    function _errorOf(Job memory job) private returns (bytes memory reason) {
        try this.fulfilExternal(job) {
            fail();
        } catch (bytes memory returndata) {
            reason = returndata;
        }
    }

    function _stateOf(Job[] memory jobs) private view returns (bytes32 hash) {
        for (uint256 i = 0; i < jobs.length; ++i) {
            (IInferenceOracle.Status status, uint64 requestedAt, bytes26 outputsHash) = oracle.result(jobs[i].id);
            hash = keccak256(abi.encode(hash, status, requestedAt, outputsHash));
        }
        return keccak256(abi.encode(hash, oracle.balanceOf(prover, address(0))));
    }
}
