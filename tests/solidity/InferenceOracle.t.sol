// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {BundleVerifier} from "../../contracts/BundleVerifier.sol";
import {InferenceOracle} from "../../contracts/InferenceOracle.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {BN254} from "../../contracts/libraries/BN254.sol";
import {GreedyReceiver, RefusingReceiver} from "./utils/Consumers.sol";
import {Jobs} from "./utils/Jobs.sol";
import {deploy} from "./utils/Deploy.sol";

contract InferenceOracleTest is Jobs {
    string[5] internal names = ["single", "chain", "private", "skip", "mixed"];

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
            emit IInferenceOracle.InferenceFulfilled(
                job.id, job.request.modelDigest, job.beneficiary, 0, outputWords(job)
            );
            fulfil(job);
            _requireResult(job, uint64(block.timestamp));
            oracle.requireOutputs(job.id, outputWords(job), 0);
            assertEq(oracle.balanceOf(job.beneficiary, address(0)), job.request.fee);
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
        assertEq(oracle.balanceOf(prover, address(0)), 2 * first.request.fee);
    }

    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 300
    function testFuzz_FulfilsForAnyBeneficiaryAndTime(address beneficiary, uint64 wait) public {
        vm.assume(beneficiary != address(0));
        Model memory model = install("single");
        Job memory job = draft("single");
        job.beneficiary = beneficiary;
        job = open(job);
        uint64 requestedAt = uint64(block.timestamp);
        vm.warp(bound(wait, block.timestamp, job.request.deadline));
        fulfil(prove(model, job));
        assertEq(oracle.balanceOf(beneficiary, address(0)), job.request.fee);
        _requireResult(job, requestedAt);
    }

    function testFuzz_RequestHashIsThatOfItsEncoding(IInferenceOracle.Request memory request) public view {
        assertEq(oracle.requestHashOf(request), keccak256(abi.encode(request)));
    }

    /// Bits where there should be none: such a request cannot be made, and is no other spelling of one that was.
    function test_RevertWhen_CalldataHasDirtyBits() public {
        Model memory model = install("single");
        Job memory job = draft("single");
        bytes memory requesting = abi.encodeCall(IInferenceOracle.request, (job.request, inputWords(job)));
        job = prove(model, open(job));
        bytes memory fulfilling = abi.encodeCall(IInferenceOracle.fulfil, (fulfilmentOf(job)));
        // Verifier, fee token, deadline, callback, its gas: words of the request that are not full.
        uint256[5] memory members = [uint256(2), 4, 6, 7, 8];
        vm.deal(alice, job.request.fee);
        for (uint256 i = 0; i < members.length; ++i) {
            // What is left of a bytes4 is its end.
            uint256 place = 32 * members[i] + (members[i] == 2 ? 31 : 0);
            (bool ok,) = _callDirty(requesting, 4 + 64 + place, job.request.fee);
            assertFalse(ok);
            (ok,) = _callDirty(fulfilling, 4 + 32 + 256 + place, 0);
            assertFalse(ok);
        }
        (bool clean,) = _callDirty(fulfilling, 0, 0);
        assertTrue(clean);
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
        oracle = InferenceOracle(deploy("InferenceOracle", abi.encode(registry)));
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
        assertEq(oracle.balanceOf(prover, address(0)), job.request.fee);
    }

    /// The fee, the callback, the deadline: everything of a request is in its id.
    function test_RevertWhen_RequestIsAltered() public {
        Model memory model = install("single");
        Job memory original = prove(model, open(draft("single")));
        for (uint256 i = 0; i < 10; ++i) {
            Job memory job = prove(model, copyOf(original));
            if (i == 0) job.request.fee += 1;
            if (i == 1) job.request.deadline += 1;
            if (i == 2) job.request.callback = address(this);
            if (i == 3) job.request.callbackGas = 1;
            if (i == 4) job.request.minCoverage = 1;
            if (i == 5) job.request.feeToken = address(this);
            if (i == 6) job.requester = prover;
            if (i == 7) job.nonce = 1;
            if (i == 8) job.request.inputs[0] = bytes32(uint256(1));
            if (i == 9) job.request.verifier = 0x00000002;
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

    function test_RevertWhen_PrivateInputIsMissing() public {
        Model memory model = install("private");
        Job memory job = prove(model, open(draft("private")));
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
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.ProofLengthMismatch.selector, 0, 30, 20));
        fulfil(job);
    }

    // ------------------------------------------------------------------------------------------------ requests refused

    function test_RevertWhen_ModelOrVerifierDoesNotServe() public {
        install("single");
        Job memory job = draft("single");
        uint256[] memory words = inputWords(job);
        bytes32 digest = job.request.modelDigest;
        job.request.modelDigest = bytes32(uint256(1));
        _refuse(job, words, abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, 1, 0));
        job.request.modelDigest = digest;
        job.request.verifier = 0x00000002;
        _refuse(job, words, abi.encodeWithSelector(IModelRegistry.VerifierNotActive.selector, bytes4(0x00000002), 0));
        job.request.verifier = VERIFIER;
        registry.tombstone(digest);
        _refuse(
            job,
            words,
            abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, digest, IModelRegistry.Status.Tombstoned)
        );
        registry.tombstoneVerifier(VERIFIER);
        _refuse(
            job,
            words,
            abi.encodeWithSelector(
                IModelRegistry.VerifierNotActive.selector, VERIFIER, IModelRegistry.Status.Tombstoned
            )
        );
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
        assertEq(oracle.balanceOf(alice, address(0)), job.request.fee);
        assertEq(oracle.balanceOf(prover, address(0)), 0);
        assertTrue(oracle.status(job.id) == IInferenceOracle.Status.Refunded);
        _requireNoResult(job);
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

    // ------------------------------------------------------------------------------------------------ stopping (G8)

    /// Model tombstoned, verifier tombstoned, everything frozen: nothing is fulfilled any more, and fees come back at
    /// once.
    function test_StoppedRequestsAreRefundedAtOnce() public {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            Model memory model = install("single");
            Job memory job = prove(model, open(draft("single")));
            vm.expectPartialRevert(IInferenceOracle.DeadlineNotPassed.selector);
            oracle.refund(job.request, alice, job.nonce);

            if (i == 0) registry.tombstone(model.digest);
            if (i == 1) registry.tombstoneVerifier(VERIFIER);
            if (i == 2) registry.freeze();
            vm.expectPartialRevert(
                i == 0 ? IModelRegistry.ModelNotActive.selector : IModelRegistry.VerifierNotActive.selector
            );
            fulfil(job);
            oracle.refund(job.request, alice, job.nonce);
            assertEq(oracle.balanceOf(alice, address(0)), job.request.fee);
            vm.revertToState(snapshot);
        }
    }

    /// Another verifier of the registry, or one added later, is not the one that was asked for.
    function test_RequestsStayWithTheirVerifier() public {
        Model memory model = install("single");
        Job memory job = prove(model, open(draft("single")));
        registry.addVerifier(0x00000002, deploy("BundleVerifier", abi.encode(registry, bytes4(0x00000002))));
        registry.tombstoneVerifier(VERIFIER);
        vm.expectPartialRevert(IModelRegistry.VerifierNotActive.selector);
        fulfil(job);
        job.request.verifier = 0x00000002;
        vm.expectPartialRevert(IInferenceOracle.NotOpen.selector);
        fulfil(job);
    }

    /// A verifier whose code is gone accepts nothing.
    function test_RevertWhen_VerifierHasNoCode() public {
        Model memory model = install("single");
        Job memory job = prove(model, open(draft("single")));
        vm.etch(address(verifier), "");
        vm.expectRevert(bytes(""));
        fulfil(job);
    }

    // ------------------------------------------------------------------------------------------------ reading

    function test_RequireOutputs() public {
        Model memory model = install("single");
        Job memory job = prove(model, open(draft("single")));
        _requireNoResult(job);
        vm.warp(block.timestamp + 100);
        fulfil(job);
        uint256[] memory words = outputWords(job);
        oracle.requireOutputs(job.id, words, 100);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.StaleResult.selector, block.timestamp - 100, 99, block.timestamp)
        );
        oracle.requireOutputs(job.id, words, 99);
        words[0] ^= 1;
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, job.id));
        oracle.requireOutputs(job.id, words, 100);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, job.id));
        oracle.requireOutputs(job.id, new uint256[](0), 100);
    }

    /// The header is read from however many chunks it lies in.
    function test_HeaderInSmallChunks() public {
        for (uint256 size = 32; size <= 1056; size += 256) {
            uint256 snapshot = vm.snapshotState();
            Model memory model = loadModel("mixed");
            bytes32[] memory hashes = new bytes32[]((model.blob.length + size - 1) / size);
            for (uint256 i = 0; i < hashes.length; ++i) {
                bytes memory chunk = new bytes(i + 1 < hashes.length ? size : model.blob.length - i * size);
                for (uint256 j = 0; j < chunk.length; ++j) {
                    chunk[j] = model.blob[i * size + j];
                }
                (hashes[i],) = registry.writeChunk(chunk);
            }
            registry.register(hashes, 0);
            fulfil(prove(model, open(draft("mixed"))));
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------------------------------------------ money

    function test_WithdrawPaysOnce() public {
        Model memory model = install("single");
        Job memory job = prove(model, open(draft("single")));
        fulfil(job);
        vm.startPrank(prover);
        address to = makeAddr("purse");
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.Withdrawn(prover, address(0), to, job.request.fee);
        oracle.withdraw(address(0), to);
        assertEq(to.balance, job.request.fee);
        assertEq(address(oracle).balance, 0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NothingToWithdraw.selector, prover, address(0)));
        oracle.withdraw(address(0), to);
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
        refusing.withdraw(oracle, address(refusing));
        assertEq(oracle.balanceOf(address(refusing), address(0)), job.request.fee);
        refusing.withdraw(oracle, alice);
        assertEq(alice.balance, job.request.fee);
    }

    function test_RevertWhen_WithdrawnToNobody() public {
        Model memory model = install("single");
        fulfil(prove(model, open(draft("single"))));
        vm.prank(prover);
        vm.expectRevert(IInferenceOracle.InvalidBeneficiary.selector);
        oracle.withdraw(address(0), address(0));
    }

    function test_RevertWhen_EtherIsSentOutright() public {
        vm.deal(alice, 1);
        vm.prank(alice);
        (bool ok,) = address(oracle).call{value: 1}("");
        assertFalse(ok);
    }

    // ------------------------------------------------------------------------------------------------ deployment

    function test_RevertWhen_DeployedOnStrangeParts() public {
        vm.expectRevert(IInferenceOracle.InvalidDeployment.selector);
        new InferenceOracle(IModelRegistry(address(1)));
    }

    // ------------------------------------------------------------------------------------------------ helpers

    /// Sets a bit of the byte at `place`, unless that is 0.
    function _callDirty(bytes memory data, uint256 place, uint256 value) private returns (bool, bytes memory) {
        bytes memory dirty = bytes.concat(data);
        if (place != 0) dirty[place] |= 0x01;
        vm.prank(alice);
        return address(oracle).call{value: value}(dirty);
    }

    function _requireResult(Job memory job, uint64 expectedRequestedAt) private view {
        (IInferenceOracle.Status status, uint64 requestedAt, bytes26 outputsHash) = oracle.result(job.id);
        assertTrue(status == IInferenceOracle.Status.Fulfilled);
        assertTrue(oracle.status(job.id) == status);
        assertEq(requestedAt, expectedRequestedAt);
        assertEq(outputsHash, bytes26(hashOf(outputWords(job))));
    }

    function _requireNoResult(Job memory job) private {
        (,, bytes26 outputsHash) = oracle.result(job.id);
        assertEq(outputsHash, bytes26(0));
        uint256[] memory words = outputWords(job);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, job.id));
        oracle.requireOutputs(job.id, words, type(uint256).max);
    }

    function _refuse(Job memory job, bytes memory revertData) private {
        _refuse(job, inputWords(job), revertData);
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
}
