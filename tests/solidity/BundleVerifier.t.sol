// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {BundleVerifier} from "../../contracts/BundleVerifier.sol";
import {BundleVerifier0x09} from "../../contracts/BundleVerifier0x09.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {BN254} from "../../contracts/libraries/BN254.sol";
import {Deployed} from "./utils/Deployed.sol";

contract BundleVerifierTest is Deployed {
    string[5] internal names = ["single", "chain", "private", "skip", "mixed"];

    // ------------------------------------------------------------------------------------------------ accepted

    /// The bundles of `simulate.mjs`: bytes made by independent code.
    function test_FixturesVerify() public {
        for (uint256 i = 0; i < names.length; ++i) {
            Model memory model = install(names[i]);
            verify(model.digest, loadBundle(names[i]));
        }
    }

    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 100
    function testFuzz_SimulatedBundleVerifiesForItsContextOnly(uint256 context, uint256 seed) public {
        context = bound(context, 1, BN254.R - 1);
        string memory name = names[seed % names.length];
        Model memory model = install(name);
        Bundle memory bundle = loadBundle(name);
        bundle.context = context;
        bundle.proofs = simulate(model, bundle, seed);
        verify(model.digest, bundle);
        bundle.context = context == 1 ? 2 : context - 1;
        _requireInvalid(model.digest, bundle);
    }

    /// Any number of words, full or short at the end, in any pitch: hashed, ranged and fingerprinted as by definition.
    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 100
    function testFuzz_AnyLayoutVerifies(uint256[2] memory count, uint256[2] memory bits, uint256 seed) public {
        Model memory model = loadModel("chain");
        uint256 total;
        for (uint256 t = 0; t < 2; ++t) {
            (count[t], bits[t]) = (bound(count[t], 1, 400), bound(bits[t], 1, 253));
            (uint256 tensor, uint256 record) = (tensorAt(model.blob, t), recordAt(model.blob, 2 * t));
            setWord(model.blob, tensor + 1, count[t]);
            setWord(model.blob, tensor + 2, bits[t]);
            setWord(model.blob, record + 5, count[t]);
            setWord(model.blob, record + 6, bits[t]);
            setWord(model.blob, record + 3, wordCountOf(model.blob, t));
            total += wordCountOf(model.blob, t);
        }
        model.digest = rehash(model.blob);
        register(model.blob);

        Bundle memory bundle = loadBundle("chain");
        bundle.words = new uint256[](total);
        uint256[] memory limits = new uint256[](total);
        for ((uint256 i, uint256 t, uint256 left) = (0, 0, count[0]); i < total; ++i) {
            if (left == 0) (t, left) = (1, count[1]);
            uint256 digits = left < 253 / bits[t] ? left : 253 / bits[t];
            left -= digits;
            limits[i] = 1 << (digits * bits[t]);
            bundle.words[i] = uint256(keccak256(abi.encode(seed, i))) % limits[i];
        }
        bundle.proofs = simulate(model, bundle, seed);
        verify(model.digest, bundle);

        uint256 chosen = seed % total;
        bundle.words[chosen] |= limits[chosen];
        bundle.proofs = simulate(model, bundle, seed);
        vm.expectPartialRevert(IBundleVerifier.WordOutOfRange.selector);
        verify(model.digest, bundle);
    }

    /// P6: proofs are malleable, and nothing may depend on their bytes.
    function test_RerandomisedProofVerifies() public {
        Model memory model = install("chain");
        Bundle memory bundle = loadBundle("chain");
        for (uint256 k = 0; k < 3; ++k) {
            (bundle.proofs[10 * k], bundle.proofs[10 * k + 1]) =
                mul(bundle.proofs[10 * k], bundle.proofs[10 * k + 1], model.keys[k].t);
            for (uint256 i = 0; i < 4; ++i) {
                bundle.proofs[10 * k + 2 + i] = model.keys[k].BOverT[i];
            }
        }
        verify(model.digest, bundle);
    }

    /// P16: C1 and C2 at infinity are legal, as in EIP-197. Here C2 = O by choice of C1's exponent.
    function test_SecondCommitmentAtInfinityVerifies() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        // C1 = O fixes χ; then A·b = αβ + L makes C2 = O.
        uint256 right = mulmod(model.alpha, model.beta, BN254.R);
        right = addmod(right, lOf(model, bundle, 0, 0, 0), BN254.R);
        (bundle.proofs[0], bundle.proofs[1]) = g1(mulmod(right, _inverse(model.keys[0].b), BN254.R));
        (bundle.proofs[6], bundle.proofs[7], bundle.proofs[8], bundle.proofs[9]) = (0, 0, 0, 0);
        verify(model.digest, bundle);
    }

    // ------------------------------------------------------------------------------------------------ mutations (P10)

    function test_RevertWhen_AnyWordOfTheStatementOrProofIsMutated() public {
        for (uint256 i = 0; i < names.length; ++i) {
            Model memory model = install(names[i]);
            Bundle memory bundle = loadBundle(names[i]);
            _mutateEach(model.digest, bundle, bundle.words);
            _mutateEach(model.digest, bundle, bundle.commitments);
            _mutateEach(model.digest, bundle, bundle.proofs);
            bundle.context ^= 1;
            _requireInvalid(model.digest, bundle);
            bundle.context ^= 1;
            verify(model.digest, bundle);
        }
    }

    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 200
    function testFuzz_RevertWhen_ABitOfTheProofIsFlipped(uint256 word, uint8 bit) public {
        Model memory model = install("chain");
        Bundle memory bundle = loadBundle("chain");
        bundle.proofs[word % bundle.proofs.length] ^= uint256(1) << bit;
        _requireInvalid(model.digest, bundle);
    }

    /// The owner is bound where a private input is read.
    function test_RevertWhen_OwnerIsAnother() public {
        Model memory model = install("private");
        Bundle memory bundle = loadBundle("private");
        bundle.owner ^= 1;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
    }

    /// Where no private input is read, the owner is in no equation: the oracle states it for every request. Off chain it is 0 then.
    function test_OwnerThatNoSliceReadsIsIgnored() public {
        Model memory model = install("chain");
        Bundle memory bundle = loadBundle("chain");
        uint256[3] memory owners = [uint256(0), 1, BN254.R - 1];
        for (uint256 i = 0; i < owners.length; ++i) {
            bundle.owner = owners[i];
            verify(model.digest, bundle);
        }
    }

    /// B3: words moved between tensors, or swapped in one.
    function test_RevertWhen_WordsAreSwapped() public {
        Model memory model = install("mixed");
        Bundle memory bundle = loadBundle("mixed");
        // Equal layouts within the 100 × 10 bits output: words 4 to 7.
        (bundle.words[4], bundle.words[5]) = (bundle.words[5], bundle.words[4]);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
    }

    function test_RevertWhen_CommitmentsAreSwapped() public {
        Model memory model = install("chain");
        Bundle memory bundle = loadBundle("chain");
        (bundle.commitments[0], bundle.commitments[1]) = (bundle.commitments[1], bundle.commitments[0]);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
    }

    /// Context and owner are neighbours in the fingerprint, each with a power of χ of its own.
    function test_RevertWhen_ContextAndOwnerAreSwapped() public {
        Model memory model = install("private");
        Bundle memory before = loadBundle("private");
        Bundle memory bundle = loadBundle("private");
        (bundle.context, bundle.owner) = (bundle.owner, bundle.context);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
        _requireFingerprintDiffers(model, bundle, before);
    }

    /// x and w share the fingerprint, not their places in it.
    function test_RevertWhen_ACommitmentAndAWordAreExchanged() public {
        Model memory model = install("mixed");
        Bundle memory before = loadBundle("mixed");
        // Small enough for either place: word 0 has 248 bits.
        before.commitments[0] >>= 8;
        before.proofs = simulate(model, before, 1);
        verify(model.digest, before);
        Bundle memory bundle = loadBundle("mixed");
        bundle.proofs = before.proofs;
        (bundle.commitments[0], bundle.words[0]) = (before.words[0], before.commitments[0]);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
        _requireFingerprintDiffers(model, bundle, before);
    }

    /// A prover who hashes a bundle's values, so that χ is right, yet has others in his circuit's first slice: refused
    /// by the fingerprint, and accepted as soon as he has the same.
    function _requireFingerprintDiffers(Model memory model, Bundle memory bundle, Bundle memory others) private {
        bundle.proofs = simulate(model, bundle, 7);
        (uint256 chi,) = challengeOf(model, bundle, 0, bundle.proofs[6], bundle.proofs[7]);
        uint256[] memory valid = bundle.proofs;
        for (uint256 round = 0; round < 2; ++round) {
            uint256 fingerprint = fingerprintOf(model, round == 0 ? others : bundle, 0, chi);
            uint256[10] memory proof = simulateSlice(model, 0, uint256(keccak256(abi.encode(7, 0))), chi, fingerprint);
            bundle.proofs = copy(valid);
            for (uint256 i = 0; i < 10; ++i) {
                bundle.proofs[i] = proof[i];
            }
            if (round == 0) vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
            verify(model.digest, bundle);
        }
    }

    /// x and w are counted apart in the hash. A value that moved from one list to the other has the same place in the
    /// fingerprint, so the hash alone tells: refused by the counts, and by the curve if the prover counts otherwise.
    function test_RevertWhen_AValueMovesBetweenTheLists() public {
        Model memory model = install("narrow");
        Bundle memory bundle = loadBundle("narrow");
        // Small enough for a word.
        bundle.commitments[0] >>= 8;
        (uint256 x, uint256 y) = firstCommitment(7);
        bytes memory start = abi.encode(keccak256("zkslice/challenge/v2"), wordAt(model.blob, 7));
        // p = 3, x, n = 1, w; then p = 2 and n = 2.
        for (uint256 round = 0; round < 2; ++round) {
            bytes memory hashed = round == 0
                ? abi.encode(3, bundle.context, bundle.owner, bundle.commitments[0], 1, bundle.words[0])
                : abi.encode(2, bundle.context, bundle.owner, 2, bundle.commitments[0], bundle.words[0]);
            uint256 chi = uint256(keccak256(bytes.concat(start, hashed, abi.encode(x, y)))) % BN254.R;
            uint256[10] memory proof = simulateSlice(model, 0, 7, chi, fingerprintOf(model, bundle, 0, chi));
            for (uint256 i = 0; i < 10; ++i) {
                bundle.proofs[i] = proof[i];
            }
            if (round == 1) vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
            verify(model.digest, bundle);
        }
        uint256[] memory words = new uint256[](2);
        (words[0], words[1]) = (bundle.commitments[0], bundle.words[0]);
        (bundle.words, bundle.commitments) = (words, new uint256[](0));
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.WordCountMismatch.selector, 0, 1, 2));
        verify(model.digest, bundle);
    }

    function test_RevertWhen_SlicesAreSwapped() public {
        Model memory model = install("chain");
        Bundle memory bundle = loadBundle("chain");
        for (uint256 i = 0; i < 10; ++i) {
            (bundle.proofs[i], bundle.proofs[10 + i]) = (bundle.proofs[10 + i], bundle.proofs[i]);
        }
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
    }

    /// B3: a slice of another bundle for the same request, over other boundaries.
    function test_RevertWhen_ASliceIsFromAnotherBundle() public {
        Model memory model = install("chain");
        Bundle memory bundle = loadBundle("chain");
        Bundle memory other = loadBundle("chain");
        other.commitments[0] ^= 1;
        other.proofs = simulate(model, other, 1);
        verify(model.digest, other);
        for (uint256 i = 10; i < 20; ++i) {
            bundle.proofs[i] = other.proofs[i];
        }
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
    }

    // ------------------------------------------------------------------------------------------------ forgeries

    /// P2: A = L, B = γ, C = 0 satisfies an equation without e(α, β).
    function test_RevertWhen_ThreePairingForgery() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        bundle.proofs = new uint256[](10);
        (bundle.proofs[0], bundle.proofs[1]) = _lPoint(model, bundle, 0);
        _setG2(bundle.proofs, 2);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
    }

    /// P3: with coefficients known in advance, A_1 = ((ρ_1 + ρ_2)/ρ_1)·α, B_1 = β, A_2 = (ρ_1·L_1 + ρ_2·L_2)/ρ_2, B_2
    /// = γ, C = 0 proves any two statements. First as a control, that it does so for coefficients of our choice.
    function test_RevertWhen_CoefficientsWerePredicted() public {
        Model memory model = install("private");
        Bundle memory bundle = loadBundle("private");
        bundle.words[0] ^= 3; // a false output
        uint256[2] memory guesses = [uint256(1), uint256(keccak256("a block hash")) % BN254.R];
        for (uint256 round = 0; round < 2; ++round) {
            bundle.proofs = _forge(model, bundle, guesses[round]);
            assertEq(_batchCheck(model, bundle, guesses[round]), 1, "the forgery is right for its coefficient");
            vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
            verify(model.digest, bundle);
        }
        // The verifier's own coefficient for the last forgery does not help: it changes with what it is put into.
        uint256 rho = _rho(model, bundle, 1);
        bundle.proofs = _forge(model, bundle, rho);
        assertEq(_batchCheck(model, bundle, rho), 1);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
    }

    /// P3, P4: the coefficients that reach the curve are those of the definition.
    function test_CoefficientsHashEverything() public {
        for (uint256 i = 1; i < names.length; ++i) {
            Model memory model = install(names[i]);
            Bundle memory bundle = loadBundle(names[i]);
            for (uint256 k = 1; k < model.keys.length; ++k) {
                uint256 rho = _rho(model, bundle, k);
                (uint256 x, uint256 y) = (bundle.proofs[10 * k], BN254.Q - bundle.proofs[10 * k + 1]);
                vm.expectCall(address(7), abi.encode(x, y, rho));
                (x, y) = (bundle.proofs[10 * k + 8], bundle.proofs[10 * k + 9]);
                vm.expectCall(address(7), abi.encode(x, y, rho));
            }
            verify(model.digest, bundle);
        }
    }

    /// Errors in two slices that cancel under equal coefficients.
    function test_RevertWhen_ErrorsCancelBetweenSlices() public {
        Model memory model = install("private");
        Bundle memory bundle = loadBundle("private");
        // C2_0 + t·δ2_1 and C2_1 − t·δ2_0: the sum of the two equations holds.
        (uint256 x, uint256 y) = g1(mulmod(7, model.keys[1].deltas[1], BN254.R));
        (bundle.proofs[8], bundle.proofs[9]) = add(bundle.proofs[8], bundle.proofs[9], x, y);
        (x, y) = g1(mulmod(BN254.R - 7, model.keys[0].deltas[1], BN254.R));
        (bundle.proofs[18], bundle.proofs[19]) = add(bundle.proofs[18], bundle.proofs[19], x, y);
        assertEq(_batchCheck(model, bundle, 1), 1);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
    }

    // ------------------------------------------------------------------------------------------------ ranges (P5, B4)

    function test_RevertWhen_ContextIsZero() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        bundle.context = 0;
        bundle.proofs = simulate(model, bundle, 1);
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.ContextOutOfRange.selector, 0, 0));
        verify(model.digest, bundle);
    }

    function test_RevertWhen_ContextIsAliased() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        for (uint256 i = 1; i < 5; ++i) {
            bundle.context += BN254.R;
            vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.ContextOutOfRange.selector, 0, bundle.context));
            verify(model.digest, bundle);
        }
    }

    function test_RevertWhen_OwnerIsAliased() public {
        Model memory model = install("private");
        Bundle memory bundle = loadBundle("private");
        bundle.owner += BN254.R;
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.OwnerOutOfRange.selector, 0, bundle.owner));
        verify(model.digest, bundle);
    }

    function test_RevertWhen_CommitmentIsAliased() public {
        Model memory model = install("mixed");
        for (uint256 i = 0; i < 3; ++i) {
            Bundle memory bundle = loadBundle("mixed");
            bundle.commitments[i] += BN254.R;
            // Valid by the curve: the proof is made for this very hash, and ECMUL reduces.
            bundle.proofs = simulate(model, bundle, 1);
            vm.expectRevert(
                abi.encodeWithSelector(IBundleVerifier.CommitmentOutOfRange.selector, 0, i, bundle.commitments[i])
            );
            verify(model.digest, bundle);
        }
    }

    function test_RevertWhen_FieldElementIsTheModulus() public {
        Model memory model = install("private");
        Bundle memory bundle = loadBundle("private");
        bundle.context = BN254.R;
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.ContextOutOfRange.selector, 0, BN254.R));
        verify(model.digest, bundle);
        bundle = loadBundle("private");
        bundle.owner = BN254.R;
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.OwnerOutOfRange.selector, 0, BN254.R));
        verify(model.digest, bundle);
        bundle = loadBundle("private");
        bundle.commitments[1] = BN254.R;
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.CommitmentOutOfRange.selector, 0, 1, BN254.R));
        verify(model.digest, bundle);
    }

    /// B4: w and w + r have the same fingerprint.
    function test_RevertWhen_WordIsAliased() public {
        Model memory model = install("single");
        for (uint256 i = 0; i < 27; ++i) {
            Bundle memory bundle = loadBundle("single");
            bundle.words[i] += BN254.R;
            bundle.proofs = simulate(model, bundle, 1);
            uint256 bits = i == 25 ? 72 : i == 26 ? 250 : 248;
            vm.expectRevert(
                abi.encodeWithSelector(IBundleVerifier.WordOutOfRange.selector, 0, i, bundle.words[i], bits)
            );
            verify(model.digest, bundle);
        }
    }

    /// B4 at the edge: the first bit beyond a word's digits, in full words and in short last ones.
    function test_RevertWhen_WordHasOneBitTooMany() public {
        Model memory model = install("mixed");
        uint256[8] memory bits = [uint256(31 * 8), 9 * 8, 5 * 16, 3 * 20, 25 * 10, 25 * 10, 25 * 10, 25 * 10];
        for (uint256 i = 0; i < 8; ++i) {
            Bundle memory bundle = loadBundle("mixed");
            bundle.words[i] = (uint256(1) << bits[i]) - 1;
            bundle.proofs = simulate(model, bundle, 1);
            verify(model.digest, bundle);
            bundle.words[i] += 1;
            bundle.proofs = simulate(model, bundle, 1);
            vm.expectRevert(
                abi.encodeWithSelector(IBundleVerifier.WordOutOfRange.selector, 0, i, bundle.words[i], bits[i])
            );
            verify(model.digest, bundle);
        }
    }

    // ------------------------------------------------------------------------------------------------ points (P16)

    function test_RevertWhen_CoordinateIsNotBelowQ() public {
        Model memory model = install("chain");
        for (uint256 i = 0; i < 30; ++i) {
            Bundle memory bundle = loadBundle("chain");
            bundle.proofs[i] += BN254.Q;
            vm.expectRevert(
                abi.encodeWithSelector(IBundleVerifier.CoordinateOutOfRange.selector, 0, i, bundle.proofs[i])
            );
            verify(model.digest, bundle);
            bundle.proofs[i] = BN254.Q;
            vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.CoordinateOutOfRange.selector, 0, i, BN254.Q));
            verify(model.digest, bundle);
        }
    }

    /// Of A's y, q − y is taken. In 256 bits, that is the same point for these y ≥ q too.
    function test_RevertWhen_NegationWouldReduceACoordinate() public {
        Model memory model = install("chain");
        for (uint256 i = 0; i < 4; ++i) {
            Bundle memory bundle = loadBundle("chain");
            unchecked {
                // 2^256 − (q − y) − i·q.
                bundle.proofs[1] -= (i + 1) * BN254.Q;
            }
            vm.expectRevert(
                abi.encodeWithSelector(IBundleVerifier.CoordinateOutOfRange.selector, 0, 1, bundle.proofs[1])
            );
            verify(model.digest, bundle);
        }
    }

    function test_RevertWhen_AIsAtInfinity() public {
        _requireInvalidWithout(0, 2);
    }

    function test_RevertWhen_BIsAtInfinity() public {
        _requireInvalidWithout(2, 4);
    }

    function test_RevertWhen_C1IsAtInfinityInstead() public {
        _requireInvalidWithout(6, 2);
    }

    function test_RevertWhen_C2IsAtInfinityInstead() public {
        _requireInvalidWithout(8, 2);
    }

    function test_RevertWhen_EverythingIsZero() public {
        Model memory model = install("chain");
        Bundle memory bundle = loadBundle("chain");
        bundle.proofs = new uint256[](30);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
    }

    function test_RevertWhen_PointIsOffTheCurve() public {
        Model memory model = install("chain");
        for (uint256 i = 0; i < 30; ++i) {
            Bundle memory bundle = loadBundle("chain");
            bundle.proofs[i] = addmod(bundle.proofs[i], 1, BN254.Q);
            // B's curve is checked by the pairing alone.
            bool ofB = i % 10 >= 2 && i % 10 < 6;
            vm.expectRevert(
                ofB
                    ? abi.encodeWithSelector(IBundleVerifier.PrecompileFailed.selector)
                    : abi.encodeWithSelector(IBundleVerifier.PointNotOnCurve.selector, 0, i & ~uint256(1))
            );
            verify(model.digest, bundle);
        }
    }

    function test_RevertWhen_BIsOutsideTheSubgroup() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        uint256[] memory point = vm.parseJsonUintArray(readFixture("points"), ".twistOutsideG2");
        for (uint256 i = 0; i < 4; ++i) {
            bundle.proofs[2 + i] = point[i];
        }
        vm.expectRevert(IBundleVerifier.PrecompileFailed.selector);
        verify(model.digest, bundle);
    }

    /// A failing precompile burns what it is given; it is given little.
    function test_MalformedPointBurnsLittleGas() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        bundle.proofs[0] = addmod(bundle.proofs[0], 1, BN254.Q);
        uint256 before = gasleft();
        try this.verifyExternal{gas: 10_000_000}(model.digest, bundle) {
            fail();
        } catch {}
        assertLt(before - gasleft(), 1_200_000);
    }

    // ------------------------------------------------------------------------------------------------ shape (P15, B6)

    function test_RevertWhen_ModelIsUnknown() public {
        Bundle memory bundle = loadBundle("single");
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.ModelNotActive.selector, bytes32(uint256(1)), IModelRegistry.Status.None
            )
        );
        verify(bytes32(uint256(1)), bundle);
    }

    /// P9: a valid bundle of one model is none of another.
    function test_RevertWhen_BundleIsOfAnotherModel() public {
        Model memory chain = install("chain");
        install("skip");
        Bundle memory bundle = loadBundle("skip");
        // Equal layouts but for a slot of the last slice: the proofs are those of another key.
        bundle.proofs = simulate(loadModel("skip"), bundle, 1);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(chain.digest, bundle);
    }

    /// B6: a bundle without some of the slices, or with one twice.
    function test_RevertWhen_BundleIsPartial() public {
        Model memory model = install("chain");
        for (uint256 length = 0; length < 50; ++length) {
            if (length == 30) continue;
            Bundle memory bundle = loadBundle("chain");
            uint256[] memory proofs = new uint256[](length);
            for (uint256 i = 0; i < length; ++i) {
                proofs[i] = bundle.proofs[i % 30];
            }
            bundle.proofs = proofs;
            vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.ProofLengthMismatch.selector, 0, 30, length));
            verify(model.digest, bundle);
        }
    }

    function test_RevertWhen_WordCountIsWrong() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        for (uint256 length = 0; length < 30; ++length) {
            if (length == 27) continue;
            bundle.words = new uint256[](length);
            vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.WordCountMismatch.selector, 0, 27, length));
            verify(model.digest, bundle);
        }
    }

    function test_RevertWhen_CommitmentCountIsWrong() public {
        Model memory model = install("chain");
        Bundle memory bundle = loadBundle("chain");
        for (uint256 length = 0; length < 5; ++length) {
            if (length == 2) continue;
            bundle.commitments = new uint256[](length);
            vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.CommitmentCountMismatch.selector, 0, 2, length));
            verify(model.digest, bundle);
        }
    }

    function test_RevertWhen_CalldataIsNotCanonical() public {
        Model memory model = install("chain");
        Bundle memory bundle = loadBundle("chain");
        bytes memory data = _encode(model.digest, bundle);
        _requireCall(data, "");
        bytes memory nonCanonical = abi.encodePacked(IBundleVerifier.NonCanonicalCalldata.selector);
        _requireCall(bytes.concat(data, hex"00"), nonCanonical);
        _requireCall(bytes.concat(data, bytes32(0)), nonCanonical);
        // Trailing commitments array, and the head pointing there.
        _requireCall(
            _withHead(bytes.concat(data, abi.encode(2), abi.encodePacked(bundle.commitments)), 6, data.length - 0x24),
            nonCanonical
        );
        // A gap between the head and the first array, with every offset moved along.
        bytes memory head = new bytes(4 + 32 * 8);
        bytes memory tail = new bytes(data.length - head.length);
        for (uint256 i = 0; i < data.length; ++i) {
            if (i < head.length) head[i] = data[i];
            else tail[i - head.length] = data[i];
        }
        bytes memory gap = bytes.concat(head, bytes32(0), tail);
        for (uint256 i = 5; i < 8; ++i) {
            gap = _withHead(gap, i, uint256(_head(data, i)) + 32);
        }
        _requireCall(gap, nonCanonical);
        // Two arrays that are one.
        bytes memory shared = _withHead(data, 6, uint256(_head(data, 5)));
        (bool ok,) = address(verifier).staticcall(shared);
        assertFalse(ok);
        // Cut anywhere.
        for (uint256 cut = 1; cut < data.length; cut += 31) {
            bytes memory short = new bytes(data.length - cut);
            for (uint256 i = 0; i < short.length; ++i) {
                short[i] = data[i];
            }
            (ok,) = address(verifier).staticcall(short);
            assertFalse(ok);
        }
    }

    // ------------------------------------------------------------------------------------------------ precompiles
    // (P13, P14)

    function test_RevertWhen_PrecompileIsMissing() public {
        Model memory model = install("chain");
        Bundle memory bundle = loadBundle("chain");
        for (uint160 precompile = 6; precompile <= 8; ++precompile) {
            vm.mockCall(address(precompile), "", "");
            vm.expectRevert(IBundleVerifier.PrecompileFailed.selector);
            verify(model.digest, bundle);
            vm.clearMockedCalls();
        }
        verify(model.digest, bundle);
    }

    /// Each place that calls a precompile checks the answer's size: nothing comes back from one call alone.
    function test_RevertWhen_OneCallIsNotAnswered() public {
        Model memory single = install("single");
        Bundle memory bundle = loadBundle("single");
        // With one slice nothing is scaled or added up: these are the terms of L.
        for (uint160 precompile = 6; precompile <= 7; ++precompile) {
            _requireFailureWithout(address(precompile), "", single.digest, bundle);
        }
        Model memory model = install("private");
        bundle = loadBundle("private");
        uint256 rho = _rho(model, bundle, 1);
        (uint256 x, uint256 y) = (bundle.proofs[10], BN254.Q - bundle.proofs[11]);
        _requireFailureWithout(address(7), abi.encode(x, y, rho), model.digest, bundle);
        _requireFailureWithout(address(7), abi.encode(bundle.proofs[16], bundle.proofs[17], rho), model.digest, bundle);
        _requireFailureWithout(address(7), abi.encode(bundle.proofs[18], bundle.proofs[19], rho), model.digest, bundle);
        // Slice 1's L comes term by term, onto slice 0's.
        (x, y) = g1(model.keys[1].ic[0]);
        _requireFailureWithout(address(7), abi.encode(x, y, rho), model.digest, bundle);
        (x, y) = mul(x, y, rho);
        (uint256 u, uint256 v) = _lPoint(model, bundle, 0);
        _requireFailureWithout(address(6), abi.encode(u, v, x, y), model.digest, bundle);
        (x, y) = g1(model.keys[1].ic[1]);
        (uint256 chi,) = challengeOf(model, bundle, 1, bundle.proofs[16], bundle.proofs[17]);
        _requireFailureWithout(address(7), abi.encode(x, y, mulmod(rho, chi, BN254.R)), model.digest, bundle);
        (x, y) = g1(model.alpha);
        _requireFailureWithout(address(7), abi.encode(x, y, 1 + rho), model.digest, bundle);
    }

    function _requireFailureWithout(address precompile, bytes memory data, bytes32 digest, Bundle memory bundle)
        private
    {
        vm.mockCall(precompile, data, "");
        vm.expectRevert(IBundleVerifier.PrecompileFailed.selector);
        verify(digest, bundle);
        vm.clearMockedCalls();
    }

    function test_RevertWhen_PrecompileAnswersWithTheWrongSize() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        vm.mockCall(address(8), "", abi.encode(1, 0));
        vm.expectRevert(IBundleVerifier.PrecompileFailed.selector);
        verify(model.digest, bundle);
        vm.mockCall(address(8), "", hex"01");
        vm.expectRevert(IBundleVerifier.PrecompileFailed.selector);
        verify(model.digest, bundle);
        vm.mockCall(address(8), "", abi.encode(2));
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(model.digest, bundle);
    }

    function test_RevertWhen_DeployedWithoutARegistry() public {
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.InvalidRegistry.selector, address(1)));
        new BundleVerifier(IModelRegistry(address(1)), VERIFIER);
    }

    function test_RevertWhen_DeployedWithoutPrecompiles() public {
        for (uint160 precompile = 6; precompile <= 8; ++precompile) {
            vm.mockCall(address(precompile), "", "");
            vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.SelfTestFailed.selector, address(precompile)));
            new BundleVerifier(registry, VERIFIER);
            vm.clearMockedCalls();
        }
    }

    /// Before anything is called: on Bittensor what is at 0x06 runs calls in the caller's name.
    function test_RevertWhen_DeployedOnBittensor() public {
        for (uint160 precompile = 6; precompile <= 9; ++precompile) {
            vm.expectCall(address(precompile), "", 0);
        }
        uint16[2] memory chainIds = [964, 945];
        for (uint256 i = 0; i < 2; ++i) {
            vm.chainId(chainIds[i]);
            vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.AdditionIsAt0x09.selector, chainIds[i]));
            new BundleVerifier(registry, VERIFIER);
        }
    }

    function test_RevertWhen_TheBuildForBittensorIsDeployedElsewhere() public {
        vm.expectCall(address(9), "", 0);
        uint16[6] memory chainIds = [1, 944, 946, 963, 965, 31_337];
        for (uint256 i = 0; i < chainIds.length; ++i) {
            vm.chainId(chainIds[i]);
            vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.AdditionIsAt0x06.selector, chainIds[i]));
            new BundleVerifier0x09(registry, VERIFIER);
        }
    }

    function test_RevertWhen_DeployedWhereThePairingAcceptsOrRefusesEverything() public {
        for (uint256 answer = 0; answer < 2; ++answer) {
            vm.mockCall(address(8), "", abi.encode(answer));
            vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.SelfTestFailed.selector, address(8)));
            new BundleVerifier(registry, VERIFIER);
        }
    }

    function test_RevertWhen_DeployedWhereAPrecompileAnswersWrongly() public {
        for (uint160 precompile = 6; precompile <= 7; ++precompile) {
            vm.mockCall(address(precompile), "", abi.encode(1, 2));
            vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.SelfTestFailed.selector, address(precompile)));
            new BundleVerifier(registry, VERIFIER);
            vm.clearMockedCalls();
        }
    }

    /// P14: with too little gas nothing succeeds, valid or not.
    function test_RevertWhen_GasIsLow() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        bytes memory data = _encode(model.digest, bundle);
        bundle.words[26] ^= 1;
        bytes memory invalid = _encode(model.digest, bundle);
        uint256 enough;
        for (uint256 limit = 1000; enough < 20; limit += 2500) {
            (bool ok,) = address(verifier).staticcall{gas: limit}(data);
            if (ok) ++enough;
            else assertEq(enough, 0, "more gas never hurts");
            (ok,) = address(verifier).staticcall{gas: limit}(invalid);
            assertFalse(ok, "an invalid bundle never succeeds");
            assertTrue(limit < 1_000_000);
        }
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function verifyExternal(bytes32 digest, Bundle memory bundle) external view {
        verify(digest, bundle);
    }

    function _requireInvalid(bytes32 digest, Bundle memory bundle) private view {
        (bool ok,) = address(verifier).staticcall(_encode(digest, bundle));
        assertFalse(ok, "accepted");
    }

    function _requireInvalidWithout(uint256 from, uint256 words) private {
        Model memory model = install("chain");
        for (uint256 k = 0; k < 3; ++k) {
            Bundle memory bundle = loadBundle("chain");
            for (uint256 i = 0; i < words; ++i) {
                bundle.proofs[10 * k + from + i] = 0;
            }
            vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
            verify(model.digest, bundle);
        }
    }

    function _mutateEach(bytes32 digest, Bundle memory bundle, uint256[] memory values) private view {
        for (uint256 i = 0; i < values.length; ++i) {
            uint256 saved = values[i];
            values[i] = saved ^ 1;
            _requireInvalid(digest, bundle);
            values[i] = saved;
        }
    }

    function _encode(bytes32 digest, Bundle memory bundle) private pure returns (bytes memory) {
        return abi.encodeCall(IBundleVerifier.verifyBundle, (covering(digest, bundle, 0)));
    }

    function _head(bytes memory data, uint256 index) private pure returns (bytes32 word) {
        assembly {
            word := mload(add(add(data, 0x24), mul(32, index)))
        }
    }

    function _withHead(bytes memory data, uint256 index, uint256 word) private pure returns (bytes memory out) {
        out = bytes.concat(data);
        assembly {
            mstore(add(add(out, 0x24), mul(32, index)), word)
        }
    }

    function _requireCall(bytes memory data, bytes memory expected) private view {
        (bool ok, bytes memory returned) = address(verifier).staticcall(data);
        assertEq(ok, expected.length == 0);
        assertEq(returned, expected);
    }

    function _inverse(uint256 value) private view returns (uint256 inverse) {
        (bool ok, bytes memory out) = address(5).staticcall(abi.encode(32, 32, 32, value, BN254.R - 2, BN254.R));
        require(ok);
        return abi.decode(out, (uint256));
    }

    function _setG2(uint256[] memory to, uint256 start) private pure {
        (to[start], to[start + 1], to[start + 2], to[start + 3]) = (BN254.G2_X1, BN254.G2_X0, BN254.G2_Y1, BN254.G2_Y0);
    }

    /// L of a slice whose C1 is as in the bundle.
    function _lPoint(Model memory model, Bundle memory bundle, uint256 k) private view returns (uint256, uint256) {
        return g1(_lExponent(model, bundle, k));
    }

    function _lExponent(Model memory model, Bundle memory bundle, uint256 k) private pure returns (uint256) {
        return lOf(model, bundle, k, bundle.proofs[10 * k + 6], bundle.proofs[10 * k + 7]);
    }

    /// The forgery of P3 for two slices and ρ_0 = 1; uses the trapdoor only to add points faster.
    function _forge(Model memory model, Bundle memory bundle, uint256 rho)
        private
        view
        returns (uint256[] memory proofs)
    {
        proofs = new uint256[](20);
        bundle.proofs = proofs;
        (proofs[0], proofs[1]) = g1(mulmod(addmod(1, rho, BN254.R), model.alpha, BN254.R));
        uint256 key = pointsAt(model.blob, recordAt(model.blob, 0));
        for (uint256 i = 0; i < 4; ++i) {
            proofs[2 + i] = wordAt(model.blob, key + 2 + i);
        }
        uint256 l =
            addmod(mulmod(_lExponent(model, bundle, 0), _inverse(rho), BN254.R), _lExponent(model, bundle, 1), BN254.R);
        (proofs[10], proofs[11]) = g1(l);
        _setG2(proofs, 12);
    }

    /// The pairing check of two committed slices with ρ_1 given, written plainly: one pair for each term of each slice.
    function _batchCheck(Model memory model, Bundle memory bundle, uint256 rho) private view returns (uint256) {
        (bool ok, bytes memory out) =
            address(8).staticcall(bytes.concat(_pairsOf(model, bundle, 0, 1), _pairsOf(model, bundle, 1, rho)));
        require(ok && out.length == 32, "pairing");
        return abi.decode(out, (uint256));
    }

    function _pairsOf(Model memory model, Bundle memory bundle, uint256 k, uint256 factor)
        private
        view
        returns (bytes memory pairs)
    {
        uint256[] memory proofs = bundle.proofs;
        uint256 base = 10 * k;
        bytes memory points = slice(model.blob, pointsAt(model.blob, recordAt(model.blob, k)), 18);
        pairs = _pair(proofs[base], proofs[base + 1], BN254.R - factor, _g2Of(proofs, base + 2));
        (uint256 x, uint256 y) = g1(model.alpha);
        pairs = bytes.concat(pairs, _pair(x, y, factor, slice(points, 2, 4)));
        (x, y) = _lPoint(model, bundle, k);
        pairs = bytes.concat(pairs, _pair(x, y, factor, slice(points, 6, 4)));
        pairs = bytes.concat(pairs, _pair(proofs[base + 6], proofs[base + 7], factor, slice(points, 10, 4)));
        pairs = bytes.concat(pairs, _pair(proofs[base + 8], proofs[base + 9], factor, slice(points, 14, 4)));
    }

    function _pair(uint256 x, uint256 y, uint256 factor, bytes memory q) private view returns (bytes memory) {
        (x, y) = mul(x, y, factor);
        return bytes.concat(abi.encode(x, y), q);
    }

    function _g2Of(uint256[] memory proofs, uint256 start) private pure returns (bytes memory) {
        return abi.encode(proofs[start], proofs[start + 1], proofs[start + 2], proofs[start + 3]);
    }

    /// ρ_k, k > 0, by its definition: from everything that is being verified.
    function _rho(Model memory model, Bundle memory bundle, uint256 k) private pure returns (uint256) {
        uint256 n = model.keys.length;
        bytes memory transcript = abi.encode(keccak256("zkslice/batch/v3"), 1, model.digest, (1 << n) - 1);
        for (uint256 i = 0; i < n; ++i) {
            transcript =
                bytes.concat(transcript, h0Of(model, bundle, i, bundle.proofs[10 * i + 6], bundle.proofs[10 * i + 7]));
        }
        for (uint256 i = 0; i < 10 * n; ++i) {
            // −A in the place of A.
            uint256 word = i % 10 == 1 ? BN254.Q - bundle.proofs[i] : bundle.proofs[i];
            transcript = bytes.concat(transcript, abi.encode(word));
        }
        return uint256(keccak256(abi.encode(keccak256(transcript), k))) % BN254.R;
    }
}
