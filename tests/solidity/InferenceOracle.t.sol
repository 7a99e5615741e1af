// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {BundleVerifier} from "../../contracts/BundleVerifier.sol";
import {InferenceOracle} from "../../contracts/InferenceOracle.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {BN254} from "../../contracts/libraries/BN254.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {
    BombConsumer,
    GasBurningConsumer,
    GreedyReceiver,
    PausedConsumer,
    RecordingConsumer,
    ReenteringConsumer,
    RefusingReceiver,
    RevertingConsumer
} from "./utils/Consumers.sol";
import {Jobs} from "./utils/Jobs.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

contract InferenceOracleTest is Jobs {
    string[5] internal names = ["single", "chain", "private", "plain", "mixed"];

    // ------------------------------------------------------------------------------------------------ the whole way

    /// Ids, context and owner as `simulate.mjs` derives them with another ABI encoder, and its proofs.
    function test_FulfilsEveryFixture() public {
        for (uint256 i = 0; i < names.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            string memory json = readFixture(names[i]);
            install(names[i]);
            Job memory job = draft(names[i]);
            job.requester = vm.parseJsonAddress(json, ".requester");
            job.beneficiary = vm.parseJsonAddress(json, ".beneficiary");
            job = open(job);
            assertEq(job.id, vm.parseJsonBytes32(json, ".requestId"), "request id");
            assertEq(oracle.requestHashOf(job.request), vm.parseJsonBytes32(json, ".requestHash"), "request hash");
            assertEq(oracle.requestIdOf(job.request, job.requester, 0), job.id);
            assertEq(oracle.contextOf(job.request, job.requester, 0, job.beneficiary), job.bundle.context, "context");
            assertEq(oracle.inputOwnerOf(job.request.modelDigest, job.requester), job.bundle.owner, "owner");

            vm.expectEmit(address(oracle));
            emit IInferenceOracle.InferenceFulfilled(job.id, job.request.modelDigest, job.beneficiary, outputWords(job));
            fulfil(job);
            (IInferenceOracle.Status status, uint64 requestedAt, uint64 fulfilledAt, uint256[] memory words) =
                oracle.result(job.id);
            assertTrue(status == IInferenceOracle.Status.Fulfilled);
            assertEq(requestedAt, block.timestamp);
            assertEq(fulfilledAt, block.timestamp);
            assertEq(words, outputWords(job));
            assertEq(oracle.balanceOf(job.beneficiary), job.request.fee);
            vm.revertToState(snapshot);
        }
    }

    function test_RequestEmitsWhatAProverNeeds() public {
        install("mixed");
        Job memory job = draft("mixed");
        vm.deal(alice, job.request.fee);
        uint256[] memory words = inputWords(job);
        bytes32 id = oracle.requestIdOf(job.request, alice, 0);
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.InferenceRequested(id, job.request.modelDigest, alice, 0, job.request, words);
        vm.prank(alice);
        assertEq(oracle.request{value: job.request.fee}(job.request, words), id);
        assertTrue(oracle.status(id) == IInferenceOracle.Status.Open);
        assertEq(oracle.nonces(alice), 1);
        assertEq(address(oracle).balance, job.request.fee);
    }

    function test_EqualRequestsAreDistinct() public {
        Model memory model = install("single");
        Job memory first = open(draft("single"));
        Job memory second = open(draft("single"));
        assertNotEq(first.id, second.id);
        fulfil(prove(model, first));
        assertTrue(oracle.status(second.id) == IInferenceOracle.Status.Open);
        fulfil(prove(model, second));
        assertEq(oracle.balanceOf(prover), 2 * first.request.fee);
    }

    function testFuzz_FulfilsForAnyBeneficiaryAndTime(address beneficiary, uint64 wait) public {
        vm.assume(beneficiary != address(0));
        Model memory model = install("single");
        Job memory job = draft("single");
        job.beneficiary = beneficiary;
        job = open(job);
        uint64 requestedAt = uint64(block.timestamp);
        vm.warp(bound(wait, block.timestamp, job.request.deadline));
        fulfil(prove(model, job));
        assertEq(oracle.balanceOf(beneficiary), job.request.fee);
        (, uint64 storedRequestedAt, uint64 fulfilledAt,) = oracle.result(job.id);
        assertEq(storedRequestedAt, requestedAt);
        assertEq(fulfilledAt, block.timestamp);
    }

    // ------------------------------------------------------------------------------------------------ replays (P6–P8)

    /// P7: a copied bundle pays the one who made it.
    function test_RevertWhen_BeneficiaryIsSwapped() public {
        Model memory model = install("chain");
        Job memory job = prove(model, open(draft("chain")));
        job.beneficiary = makeAddr("thief");
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        fulfil(job);
    }

    function test_RevertWhen_BundleIsReplayedForAnotherRequest() public {
        Model memory model = install("chain");
        Job memory job = prove(model, open(draft("chain")));
        fulfil(job);
        Job memory again = open(draft("chain"));
        again.bundle = job.bundle;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        fulfil(again);
    }

    function test_RevertWhen_BundleIsReplayedOnAnotherChain() public {
        Model memory model = install("chain");
        Job memory job = prove(model, open(draft("chain")));
        vm.chainId(31_338);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        fulfil(job);
    }

    function test_RevertWhen_BundleIsReplayedAtAnotherOracle() public {
        Model memory model = install("chain");
        Job memory job = prove(model, open(draft("chain")));
        oracle = new InferenceOracle(registry, verifier);
        Job memory there = open(draft("chain"));
        assertEq(there.id, job.id, "the same request");
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        fulfil(job);
    }

    /// P6: proofs are malleable; a request is paid once.
    function test_RevertWhen_FulfilledTwiceWithARerandomisedProof() public {
        Model memory model = install("single");
        Job memory job = prove(model, open(draft("single")));
        fulfil(job);
        (job.bundle.proofs[0], job.bundle.proofs[1]) = mul(job.bundle.proofs[0], job.bundle.proofs[1], model.keys[0].t);
        for (uint256 i = 0; i < 4; ++i) {
            job.bundle.proofs[2 + i] = model.keys[0].BOverT[i];
        }
        verify(model.digest, job.bundle);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.NotOpen.selector, job.id, IInferenceOracle.Status.Fulfilled)
        );
        fulfil(job);
        assertEq(oracle.balanceOf(prover), job.request.fee);
    }

    /// The fee, the callback, the deadline: everything of a request is in its id.
    function test_RevertWhen_RequestIsAltered() public {
        Model memory model = install("single");
        Job memory original = prove(model, open(draft("single")));
        for (uint256 i = 0; i < 9; ++i) {
            Job memory job = prove(model, _copyOf(original));
            if (i == 0) job.request.fee += 1;
            if (i == 1) job.request.deadline += 1;
            if (i == 2) job.request.callback = address(this);
            if (i == 3) job.request.callbackGas = 1;
            if (i == 4) job.request.minCoverage = 1;
            if (i == 5) job.request.feeToken = address(this);
            if (i == 6) job.requester = prover;
            if (i == 7) job.nonce = 1;
            if (i == 8) job.request.inputs[0] = bytes32(uint256(1));
            bytes32 id = oracle.requestIdOf(job.request, job.requester, job.nonce);
            vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NotOpen.selector, id, IInferenceOracle.Status.None));
            fulfil(job);
        }
        fulfil(original);
    }

    // ------------------------------------------------------------------------------------------------ the statement
    // (B3, B4)

    /// B3: the model run on another input than the one asked for, honestly proven.
    function test_RevertWhen_PublicInputIsAnother() public {
        Model memory model = install("single");
        Job memory job = open(draft("single"));
        bytes32 expected = job.request.inputs[0];
        job.bundle.words[3] ^= 1;
        job = prove(model, job);
        verify(model.digest, job.bundle);
        bytes32 computed = keccak256(abi.encodePacked(inputWords(job)));
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InputHashMismatch.selector, 0, expected, computed));
        fulfil(job);
    }

    function test_RevertWhen_SecondPublicInputIsAnother() public {
        Model memory model = install("mixed");
        Job memory job = open(draft("mixed"));
        job.bundle.words[2] ^= 1;
        job = prove(model, job);
        vm.expectPartialRevert(IInferenceOracle.InputHashMismatch.selector);
        fulfil(job);
    }

    function test_RevertWhen_PrivateInputIsAnother() public {
        Model memory model = install("private");
        Job memory job = open(draft("private"));
        bytes32 expected = bytes32(job.bundle.commitments[0]);
        job.bundle.commitments[0] ^= 1;
        job = prove(model, job);
        verify(model.digest, job.bundle);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceOracle.InputCommitmentMismatch.selector, 0, expected, bytes32(job.bundle.commitments[0])
            )
        );
        fulfil(job);
    }

    /// B8: Alice's commitment in Mallory's request is opened under Mallory's owner, which the circuit refuses.
    function test_RevertWhen_OwnerIsAnotherRequesters() public {
        Model memory model = install("private");
        Job memory job = open(draft("private"));
        job = prove(model, job);
        job.bundle.owner = oracle.inputOwnerOf(model.digest, prover);
        job.bundle.proofs = simulate(model, job.bundle, 1);
        verify(model.digest, job.bundle);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        fulfil(job);
        assertNotEq(oracle.inputOwnerOf(model.digest, alice), oracle.inputOwnerOf(bytes32(uint256(1)), alice), "model");
    }

    /// B3: the output is what the proof covers.
    function test_RevertWhen_OutputIsAltered() public {
        for (uint256 i = 0; i < names.length; ++i) {
            Model memory model = install(names[i]);
            Job memory job = prove(model, open(draft(names[i])));
            job.bundle.words[job.bundle.words.length - 1] ^= 1;
            vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
            fulfil(job);
        }
    }

    function test_RevertWhen_OutputsOfTwoRequestsAreSwapped() public {
        Model memory model = install("single");
        Job memory first = prove(model, open(draft("single")));
        Job memory second = draft("single");
        second.bundle.words[26] ^= 5;
        second = prove(model, open(second));
        (first.bundle.words, second.bundle.words) = (second.bundle.words, first.bundle.words);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        fulfil(first);
    }

    function test_RevertWhen_ArraysHaveWrongLengths() public {
        Model memory model = install("mixed");
        Job memory job = prove(model, open(draft("mixed")));
        uint256[] memory words = job.bundle.words;
        for (uint256 length = 0; length < 10; ++length) {
            if (length == words.length) continue;
            job.bundle.words = new uint256[](length);
            for (uint256 i = 0; i < length && i < words.length; ++i) {
                job.bundle.words[i] = words[i];
            }
            vm.expectPartialRevert(
                length < 3
                    ? IInferenceOracle.InputWordCountMismatch.selector
                    : IBundleVerifier.WordCountMismatch.selector
            );
            fulfil(job);
        }
        job.bundle.words = words;
        job.bundle.commitments = new uint256[](0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InputCommitmentCountMismatch.selector, 1, 0));
        fulfil(job);
    }

    function test_RevertWhen_BundleIsPartial() public {
        Model memory model = install("chain");
        Job memory job = prove(model, open(draft("chain")));
        uint256[] memory proofs = new uint256[](20);
        for (uint256 i = 0; i < 20; ++i) {
            proofs[i] = job.bundle.proofs[10 + i];
        }
        job.bundle.proofs = proofs;
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.ProofLengthMismatch.selector, 30, 20));
        fulfil(job);
    }

    // ------------------------------------------------------------------------------------------------ requests refused

    function test_RevertWhen_ModelIsUnknown() public {
        install("single");
        Job memory job = draft("single");
        job.request.modelDigest = bytes32(uint256(1));
        _refuse(job, new uint256[](0), abi.encodeWithSelector(IInferenceOracle.UnknownModel.selector, 1));
    }

    function test_RevertWhen_CoverageOrTokenIsUnsupported() public {
        install("single");
        Job memory job = draft("single");
        job.request.minCoverage = 1;
        _refuse(job, abi.encodeWithSelector(IInferenceOracle.UnsupportedCoverage.selector, 1));
        job = draft("single");
        job.request.feeToken = address(this);
        _refuse(job, abi.encodeWithSelector(IInferenceOracle.UnsupportedFeeToken.selector, address(this)));
    }

    function test_RevertWhen_FeeIsNotSent() public {
        install("single");
        Job memory job = draft("single");
        uint256[] memory words = inputWords(job);
        vm.deal(alice, 1 ether);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 sent = i == 0 ? job.request.fee - 1 : job.request.fee + 1;
            vm.prank(alice);
            vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.FeeMismatch.selector, job.request.fee, sent));
            oracle.request{value: sent}(job.request, words);
        }
    }

    function test_RevertWhen_DeadlineIsOverAtRequest() public {
        install("single");
        Job memory job = draft("single");
        job.request.deadline = uint64(block.timestamp - 1);
        _refuse(
            job, abi.encodeWithSelector(IInferenceOracle.DeadlinePassed.selector, block.timestamp - 1, block.timestamp)
        );
        job.request.deadline = uint64(block.timestamp);
        open(job);
    }

    function test_RevertWhen_InputsDoNotFitTheModel() public {
        install("mixed");
        Job memory job = draft("mixed");
        job.request.inputs = new bytes32[](2);
        _refuse(job, abi.encodeWithSelector(IInferenceOracle.InputCountMismatch.selector, 3, 2));
        job.request.inputs = new bytes32[](4);
        _refuse(job, abi.encodeWithSelector(IInferenceOracle.InputCountMismatch.selector, 3, 4));
        job = draft("mixed");
        _refuse(job, new uint256[](1), abi.encodeWithSelector(IInferenceOracle.InputWordCountMismatch.selector, 2, 1));
        uint256[] memory words = new uint256[](4);
        for (uint256 i = 0; i < 3; ++i) {
            words[i] = job.bundle.words[i];
        }
        _refuse(job, words, abi.encodeWithSelector(IInferenceOracle.InputWordCountMismatch.selector, 3, 4));
    }

    function test_RevertWhen_WordsDoNotHashToTheRequest() public {
        install("mixed");
        Job memory job = draft("mixed");
        bytes32 expected = job.request.inputs[2];
        job.request.inputs[2] = bytes32(uint256(7));
        _refuse(job, abi.encodeWithSelector(IInferenceOracle.InputHashMismatch.selector, 2, 7, expected));
    }

    /// B4: a request that no bundle could prove is not escrowed.
    function test_RevertWhen_InputWordIsOutOfRange() public {
        install("mixed");
        uint256[3] memory bits = [uint256(248), 72, 80];
        for (uint256 i = 0; i < 3; ++i) {
            Job memory job = draft("mixed");
            uint256[] memory words = inputWords(job);
            words[i] = 1 << bits[i];
            _hashInputs(job, words);
            _refuse(
                job, words, abi.encodeWithSelector(IInferenceOracle.InputWordOutOfRange.selector, i, words[i], bits[i])
            );
            words[i] -= 1;
            _hashInputs(job, words);
            vm.deal(alice, job.request.fee);
            vm.prank(alice);
            oracle.request{value: job.request.fee}(job.request, words);
        }
    }

    function test_RevertWhen_InputCommitmentIsOutOfRange() public {
        install("private");
        Job memory job = draft("private");
        job.request.inputs[0] = bytes32(BN254.R);
        _refuse(job, abi.encodeWithSelector(IInferenceOracle.InputCommitmentOutOfRange.selector, 0, BN254.R));
        job.request.inputs[0] = bytes32(BN254.R - 1);
        open(job);
    }

    // ------------------------------------------------------------------------------------------------ deadline and
    // refund

    function test_FulfilAndRefundMeetAtTheDeadline() public {
        Model memory model = install("single");
        Job memory job = prove(model, open(draft("single")));
        vm.warp(job.request.deadline);
        uint256 snapshot = vm.snapshotState();
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceOracle.DeadlineNotPassed.selector, job.request.deadline, job.request.deadline
            )
        );
        oracle.refund(job.request, alice, job.nonce);
        fulfil(job);
        vm.revertToState(snapshot);

        vm.warp(job.request.deadline + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceOracle.DeadlinePassed.selector, job.request.deadline, job.request.deadline + 1
            )
        );
        fulfil(job);
        vm.prank(prover); // Anyone may.
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.InferenceRefunded(job.id);
        oracle.refund(job.request, alice, job.nonce);
        assertEq(oracle.balanceOf(alice), job.request.fee);
        assertEq(oracle.balanceOf(prover), 0);
        assertTrue(oracle.status(job.id) == IInferenceOracle.Status.Refunded);
        (bytes32 newest,,,) = oracle.latest(job.request.modelDigest, alice);
        assertEq(newest, 0, "a refund is no answer");
    }

    function test_RevertWhen_RefundedTwiceOrAfterFulfilment() public {
        Model memory model = install("single");
        Job memory refunded = open(draft("single"));
        Job memory fulfilled = prove(model, open(draft("single")));
        fulfil(fulfilled);
        vm.warp(refunded.request.deadline + 1);
        oracle.refund(refunded.request, alice, refunded.nonce);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.NotOpen.selector, refunded.id, IInferenceOracle.Status.Refunded)
        );
        oracle.refund(refunded.request, alice, refunded.nonce);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.NotOpen.selector, fulfilled.id, IInferenceOracle.Status.Fulfilled)
        );
        oracle.refund(fulfilled.request, alice, fulfilled.nonce);
    }

    function test_RevertWhen_FulfilledAfterRefund() public {
        Model memory model = install("single");
        Job memory job = prove(model, open(draft("single")));
        vm.warp(job.request.deadline + 1);
        oracle.refund(job.request, alice, job.nonce);
        vm.warp(job.request.deadline);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.NotOpen.selector, job.id, IInferenceOracle.Status.Refunded)
        );
        fulfil(job);
    }

    function test_RevertWhen_BeneficiaryIsZero() public {
        Model memory model = install("single");
        Job memory job = draft("single");
        job.beneficiary = address(0);
        job = prove(model, open(job));
        vm.expectRevert(IInferenceOracle.InvalidBeneficiary.selector);
        fulfil(job);
    }

    // ------------------------------------------------------------------------------------------------ money

    function test_WithdrawPaysOnce() public {
        Model memory model = install("single");
        Job memory job = prove(model, open(draft("single")));
        fulfil(job);
        vm.startPrank(prover);
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.Withdrawn(prover, job.request.fee);
        oracle.withdraw();
        assertEq(prover.balance, job.request.fee);
        assertEq(address(oracle).balance, 0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NothingToWithdraw.selector, prover));
        oracle.withdraw();
    }

    function test_ReenteringWithdrawPaysOnce() public {
        Model memory model = install("single");
        GreedyReceiver greedy = new GreedyReceiver(oracle);
        Job memory job = draft("single");
        job.beneficiary = address(greedy);
        fulfil(prove(model, open(job)));
        open(draft("single")); // Somebody else's fee, there to be stolen.
        greedy.withdraw();
        assertEq(address(greedy).balance, job.request.fee);
        assertEq(greedy.received(), 1);
        assertEq(address(oracle).balance, job.request.fee);
    }

    function test_RevertWhen_ReceiverRefuses() public {
        Model memory model = install("single");
        RefusingReceiver refusing = new RefusingReceiver();
        Job memory job = draft("single");
        job.beneficiary = address(refusing);
        fulfil(prove(model, open(job))); // Does not block the fulfilment.
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.WithdrawFailed.selector, address(refusing)));
        refusing.withdraw(oracle);
        assertEq(oracle.balanceOf(address(refusing)), job.request.fee);
    }

    function test_RevertWhen_EtherIsSentOutright() public {
        vm.deal(alice, 1);
        vm.prank(alice);
        (bool ok,) = address(oracle).call{value: 1}("");
        assertFalse(ok);
    }

    // ------------------------------------------------------------------------------------------------ latest (B7)

    function test_LatestMovesToNewerRequestsOnly() public {
        Model memory model = install("single");
        (bytes32 newest, uint64 requestedAt, uint64 fulfilledAt, uint256[] memory words) =
            oracle.latest(model.digest, alice);
        assertEq(newest, 0);
        assertEq(uint256(requestedAt) + fulfilledAt + words.length, 0);

        Job memory older = prove(model, open(draft("single")));
        vm.warp(block.timestamp + 10);
        Job memory newer = prove(model, open(draft("single")));
        Job memory twin = prove(model, open(draft("single")));
        vm.warp(block.timestamp + 10);
        Job memory newestOfAll = prove(model, open(draft("single")));

        fulfil(newer);
        _requireLatest(newer.id);
        fulfil(older); // Held back, and no newer for it.
        _requireLatest(newer.id);
        fulfil(twin); // Of the same second: the first fulfilled stays.
        _requireLatest(newer.id);
        fulfil(newestOfAll);
        _requireLatest(newestOfAll.id);
        (, requestedAt,, words) = oracle.latest(model.digest, alice);
        assertEq(requestedAt, block.timestamp);
        assertEq(words, outputWords(newestOfAll));
    }

    function test_LatestIsPerRequesterAndModel() public {
        Model memory model = install("single");
        Model memory other = install("chain");
        Job memory job = prove(model, open(draft("single")));
        fulfil(job);
        Job memory mallorys = draft("single");
        mallorys.requester = makeAddr("mallory");
        vm.warp(block.timestamp + 1);
        fulfil(prove(model, open(mallorys)));
        _requireLatest(job.id);
        (bytes32 newest,,,) = oracle.latest(other.digest, alice);
        assertEq(newest, 0);
    }

    // ------------------------------------------------------------------------------------------------ callbacks
    // (P11, B11)

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

    function test_ReenteringFulfilAndRefundAndWithdrawFail() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            ReenteringConsumer consumer = new ReenteringConsumer();
            Job memory job = _prepareWith(address(consumer), 3_000_000);
            bytes memory action = i == 0
                ? _fulfilData(job)
                : i == 1
                    ? abi.encodeCall(IInferenceOracle.refund, (job.request, job.requester, job.nonce))
                    : abi.encodeCall(IInferenceOracle.withdraw, ());
            consumer.set(action, 0);
            fulfil(job);
            assertFalse(consumer.succeeded());
            assertEq(
                consumer.outcome(),
                abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
            );
            assertEq(oracle.balanceOf(prover), job.request.fee);
            vm.revertToState(snapshot);
        }
    }

    /// P11: who fulfils chooses the moment, perhaps one at which the callback fails; that is not the end of it.
    function test_FailedCallbackIsRetried() public {
        PausedConsumer consumer = new PausedConsumer();
        Job memory job = _fulfilWith(address(consumer), 100_000);
        _requireFulfilledDespiteCallback(job);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.CallbackFailedAgain.selector, job.id));
        oracle.retryCallback(job.request, job.requester, job.nonce);
        assertTrue(oracle.callbackFailed(job.id));

        consumer.unpause();
        vm.warp(job.request.deadline + 1);
        vm.prank(makeAddr("anyone"));
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.CallbackRetried(job.id);
        oracle.retryCallback(job.request, job.requester, job.nonce);
        assertEq(consumer.calls(), 1);
        assertEq(consumer.word(), job.bundle.words[26]);
        assertFalse(oracle.callbackFailed(job.id));
        assertEq(oracle.balanceOf(prover), job.request.fee, "the fee is paid once");
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

    /// Nor can a retry starve the callback.
    function test_RevertWhen_GasIsTooLowForTheRetry() public {
        PausedConsumer consumer = new PausedConsumer();
        Job memory job = _fulfilWith(address(consumer), 1_000_000);
        consumer.unpause();
        vm.expectPartialRevert(IInferenceOracle.InsufficientCallbackGas.selector);
        oracle.retryCallback{gas: 1_010_000}(job.request, job.requester, job.nonce);
        assertTrue(oracle.callbackFailed(job.id));
    }

    function test_ReenteringRetryFails() public {
        ReenteringConsumer consumer = new ReenteringConsumer();
        Job memory job = _prepareWith(address(consumer), 3_000_000);
        bytes memory code = address(consumer).code;
        vm.etch(address(consumer), "");
        fulfil(job);
        vm.etch(address(consumer), code);
        consumer.set(abi.encodeCall(IInferenceOracle.retryCallback, (job.request, job.requester, job.nonce)), 0);
        oracle.retryCallback(job.request, job.requester, job.nonce);
        assertFalse(consumer.succeeded());
        assertEq(
            consumer.outcome(), abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
        );
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
        address[8] memory targets = [
            address(oracle),
            address(registry),
            address(verifier),
            address(1),
            address(8),
            address(0x100),
            address(0xffff),
            makeAddr("no code")
        ];
        for (uint256 i = 0; i < targets.length; ++i) {
            if (i == 5 || i == 6) vm.etch(targets[i], hex"00");
            Job memory job = draft("single");
            (job.request.callback, job.request.callbackGas) = (targets[i], 100_000);
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

    // ------------------------------------------------------------------------------------------------ deployment

    function test_RevertWhen_DeployedOnStrangeParts() public {
        vm.expectRevert(IInferenceOracle.InvalidDeployment.selector);
        new InferenceOracle(IModelRegistry(address(1)), verifier);
        vm.expectRevert(IInferenceOracle.InvalidDeployment.selector);
        new InferenceOracle(registry, IBundleVerifier(makeAddr("nothing")));
        ModelRegistry other = new ModelRegistry(address(this));
        vm.expectRevert(IInferenceOracle.InvalidDeployment.selector);
        new InferenceOracle(other, verifier);
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
        (IInferenceOracle.Status status,,, uint256[] memory words) = oracle.result(job.id);
        assertTrue(status == IInferenceOracle.Status.Fulfilled);
        assertEq(words, outputWords(job));
        assertEq(oracle.balanceOf(prover), job.request.fee);
    }

    function _refuseRetry(Job memory job, bytes memory revertData) private {
        vm.expectRevert(revertData);
        oracle.retryCallback(job.request, job.requester, job.nonce);
    }

    function _requireLatest(bytes32 id) private view {
        (bytes32 newest,,,) = oracle.latest(loadModelDigest("single"), alice);
        assertEq(newest, id);
    }

    function loadModelDigest(string memory name) private view returns (bytes32) {
        return vm.parseJsonBytes32(readFixture(name), ".modelDigest");
    }

    function _refuse(Job memory job, bytes memory revertData) private {
        _refuse(job, job.request.modelDigest == 0 ? new uint256[](0) : inputWords(job), revertData);
    }

    function _refuse(Job memory job, uint256[] memory words, bytes memory revertData) private {
        vm.deal(alice, job.request.fee);
        vm.prank(alice);
        vm.expectRevert(revertData);
        oracle.request{value: job.request.fee}(job.request, words);
    }

    /// Input hashes of `mixed` for these words.
    function _hashInputs(Job memory job, uint256[] memory words) private pure {
        job.request.inputs[0] = keccak256(abi.encode(words[0], words[1]));
        job.request.inputs[2] = keccak256(abi.encode(words[2]));
    }

    function _fulfilData(Job memory job) private pure returns (bytes memory) {
        return abi.encodeCall(
            IInferenceOracle.fulfil,
            (
                job.request,
                job.requester,
                job.nonce,
                job.beneficiary,
                job.bundle.words,
                job.bundle.commitments,
                job.bundle.proofs
            )
        );
    }

    function _copyOf(Job memory job) private pure returns (Job memory) {
        return abi.decode(abi.encode(job), (Job));
    }
}
