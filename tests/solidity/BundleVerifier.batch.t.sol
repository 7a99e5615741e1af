// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {BN254} from "../../contracts/libraries/BN254.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @notice Batches and partial coverage.
contract BundleVerifierBatchTest is Deployed {
    string[6] internal names = ["single", "chain", "private", "skip", "mixed", "other"];
    /// Six models, the last of a setup of its own, at even indexes, and of each a second one with the same keys.
    bytes32[12] internal digests;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < names.length; ++i) {
            Model memory model = install(names[i]);
            digests[2 * i] = model.digest;
            // Its outputs have another scale.
            uint256 t;
            while (wordAt(model.blob, tensorAt(model.blob, t)) != 3) {
                ++t;
            }
            setWord(model.blob, tensorAt(model.blob, t) + 4, 12_345);
            digests[2 * i + 1] = register(model.blob);
        }
    }

    // ------------------------------------------------------------------------------------------------ verdicts

    /// The verdict on a batch is that on its bundles one by one, whatever their models and order, and `findInvalid`
    /// names the bad ones.
    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 50
    function testFuzz_VerdictIsThatOfOneByOne(uint256 seed) public view {
        _requireSameVerdict(seed, 1 + seed % 8);
    }

    function test_VerdictIsThatOfOneByOneUpTo64() public view {
        _requireSameVerdict(5, 64);
        _requireSameVerdict(6, 33);
    }

    function _requireSameVerdict(uint256 seed, uint256 n) private view {
        IBundleVerifier.Bundle[] memory bundles = new IBundleVerifier.Bundle[](n);
        // One batch in two is valid, and one in two has neighbours of one model.
        bool honest = _random(seed, "honest") % 2 == 0;
        bool sorted = _random(seed, "sorted") % 2 == 0;
        uint256 invalid;
        for (uint256 i = 0; i < n; ++i) {
            uint256 salt = _random(seed, i);
            uint256 model = sorted ? (i * digests.length) / n : salt % digests.length;
            uint256 flaw = honest || (salt >> 128) % 4 != 0 ? 0 : 1 + (salt >> 64) % 5;
            bundles[i] = _bundle(model, salt, flaw);
            if (flaw != 0) ++invalid;
        }
        uint256[] memory found = verifier.findInvalid(bundles);
        assertEq(found.length, invalid, "found");
        (bool ok, bytes memory reason) =
            address(verifier).staticcall(abi.encodeCall(IBundleVerifier.verifyBatch, (bundles)));
        assertEq(ok, invalid == 0, "verdict");
        if (!ok) assertEq(bytes4(reason), IBundleVerifier.InvalidBundle.selector);
        for (uint256 i = 0; i < n; ++i) {
            (ok,) = address(verifier).staticcall(abi.encodeCall(IBundleVerifier.verifyBundle, (bundles[i])));
            bool named;
            for (uint256 j = 0; j < found.length; ++j) {
                if (found[j] == i) named = true;
            }
            assertEq(ok, !named, "one by one");
        }
    }

    /// A valid bundle, of any coverage, or one with a flaw that only the pairing finds.
    function _bundle(uint256 index, uint256 salt, uint256 flaw)
        private
        view
        returns (IBundleVerifier.Bundle memory bundle)
    {
        Model memory model = loadModel(names[index / 2]);
        Bundle memory statement = loadBundle(names[index / 2]);
        statement.context = 1 + salt % (BN254.R - 1);
        statement.proofs = simulate(model, statement, salt);
        uint256 all = (1 << model.keys.length) - 1;
        uint256 coverage = (salt >> 192) % 2 == 0 ? 0 : (salt >> 200) & all;
        if (coverage == all) coverage = 0;
        bundle = covering(digests[index], statement, coverage);
        if (flaw == 1) bundle.context = 1 + (bundle.context % (BN254.R - 1));
        if (flaw == 2) (bundle.proofs[8], bundle.proofs[9]) = g1(salt | 1);
        if (flaw == 3) (bundle.proofs[0], bundle.proofs[1]) = (1, 2);
        if (flaw == 4) bundle.proofs[1] = BN254.Q - bundle.proofs[1];
        if (flaw == 5) (bundle.proofs[8], bundle.proofs[9]) = (0, 0);
    }

    // ------------------------------------------------------------------------------------------------ forgeries (P3, P4, G9)

    /// Errors in two bundles that would cancel if their coefficients were equal, or known beforehand to be 1 and `rho`.
    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 300
    function testFuzz_RevertWhen_ErrorsCancelUnderKnownCoefficients(uint256 rho, uint256 t) public {
        (rho, t) = (bound(rho, 1, BN254.R - 1), bound(t, 1, BN254.R - 1));
        IBundleVerifier.Bundle[] memory bundles = _pair("single", "single");
        (uint256 x, uint256 y) = g1(mulmod(t, rho, BN254.R));
        (bundles[0].proofs[8], bundles[0].proofs[9]) = add(bundles[0].proofs[8], bundles[0].proofs[9], x, y);
        (x, y) = g1(BN254.R - t);
        (bundles[1].proofs[8], bundles[1].proofs[9]) = add(bundles[1].proofs[8], bundles[1].proofs[9], x, y);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verifier.verifyBatch(bundles);
    }

    /// Each first commitment is its own bundle's: χ hashes it.
    function test_RevertWhen_CommitmentsMoveBetweenBundles() public {
        IBundleVerifier.Bundle[] memory bundles = _pair("single", "single");
        for (uint256 i = 6; i < 8; ++i) {
            (bundles[0].proofs[i], bundles[1].proofs[i]) = (bundles[1].proofs[i], bundles[0].proofs[i]);
        }
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verifier.verifyBatch(bundles);
    }

    function test_RevertWhen_ProofsArePermuted() public {
        IBundleVerifier.Bundle[] memory bundles = _pair("single", "single");
        (bundles[0].proofs, bundles[1].proofs) = (bundles[1].proofs, bundles[0].proofs);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verifier.verifyBatch(bundles);
    }

    /// The parts of two bundles' proofs that share a pairing are exchanged: their plain sums are what they were.
    function test_RevertWhen_LastCommitmentsAreExchanged() public {
        IBundleVerifier.Bundle[] memory bundles = _pair("single", "single");
        for (uint256 i = 8; i < 10; ++i) {
            (bundles[0].proofs[i], bundles[1].proofs[i]) = (bundles[1].proofs[i], bundles[0].proofs[i]);
        }
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verifier.verifyBatch(bundles);
    }

    // ------------------------------------------------------------------------------------------------ sharing

    /// One pairing call, with n·S + 2·S + 2 pairs for n bundles of a model of S slices.
    function test_OneModelSharesItsPairings() public {
        vm.expectCall(address(8), "", 1);
        IBundleVerifier.Bundle[] memory bundles = new IBundleVerifier.Bundle[](4);
        for (uint256 i = 0; i < 4; ++i) {
            bundles[i] = _bundle(2, 2 * i, 0);
            assertEq(bundles[i].coverage, 0);
        }
        _requirePairs(bundles, 4 * 3 + 2 * 3 + 2);
    }

    /// Models of one setup share α, β and γ; of two setups, nothing.
    function test_OneSetupSharesItsPairings() public {
        vm.expectCall(address(8), "", 3);
        IBundleVerifier.Bundle[] memory bundles = new IBundleVerifier.Bundle[](2);
        (bundles[0], bundles[1]) = (_bundle(0, 0, 0), _bundle(1, 2, 0));
        _requirePairs(bundles, 2 * 3 + 2);
        bundles[1] = _bundle(2, 4, 0);
        _requirePairs(bundles, 3 + 3 * 3 + 2);
        bundles[1] = _bundle(10, 4, 0);
        _requirePairs(bundles, 2 * (3 + 2));
    }

    /// Each bundle is held against the α and β of its own setup, whichever came before.
    function test_SetupsMixInAnyOrder() public view {
        uint8[5] memory order = [0, 10, 11, 1, 10];
        IBundleVerifier.Bundle[] memory bundles = new IBundleVerifier.Bundle[](5);
        for (uint256 i = 0; i < 5; ++i) {
            bundles[i] = _bundle(order[i], 2 * i, 0);
        }
        verifier.verifyBatch(bundles);
    }

    function _requirePairs(IBundleVerifier.Bundle[] memory bundles, uint256 pairs) private view {
        uint256 gasBefore = gasleft();
        verifier.verifyBatch(bundles);
        uint256 spent = gasBefore - gasleft();
        assertGt(spent, 45_000 + 34_000 * pairs);
        // Per bundle at most what multiplications take; a pair more would take 34,000.
        uint256 multiplications;
        for (uint256 i = 0; i < bundles.length; ++i) {
            multiplications += bundles[i].proofs.length;
        }
        assertLt(spent, 45_000 + 34_000 * pairs + 6700 * multiplications + 100_000);
    }

    /// P3, P4: the coefficients of a batch in which a slice is not proven: it is counted, from the first one proven on,
    /// and hashed as its bit.
    function test_CoefficientsCountEverySlice() public {
        // Slices 0 and 2 of the first bundle, 1 and 2 of the second; then the other way round.
        _requireCoefficients(5, 6, [uint256(2), 4, 5]);
        _requireCoefficients(6, 5, [uint256(1), 2, 4]);
    }

    /// With the indexes of all ρ but the first, which is 1.
    function _requireCoefficients(uint256 first, uint256 second, uint256[3] memory indexes) private {
        IBundleVerifier.Bundle[] memory bundles = new IBundleVerifier.Bundle[](2);
        Model memory model = loadModel("chain");
        Bundle memory statement = loadBundle("chain");
        (bundles[0], bundles[1]) = (covering(model.digest, statement, first), covering(model.digest, statement, second));
        bytes memory transcript = abi.encode(keccak256("zkslice/batch/v3"), 2);
        for (uint256 i = 0; i < 2; ++i) {
            transcript = bytes.concat(transcript, abi.encode(model.digest, bundles[i].coverage));
            for (uint256 k = 0; k < 3; ++k) {
                if ((bundles[i].coverage >> k) & 1 == 0) continue;
                bytes32 h0 = h0Of(model, statement, k, statement.proofs[10 * k + 6], statement.proofs[10 * k + 7]);
                transcript = bytes.concat(transcript, h0);
            }
            for (uint256 j = 0; j < 20; ++j) {
                uint256 word = bundles[i].proofs[j];
                // −A in the place of A.
                transcript = bytes.concat(transcript, bytes32(j % 10 == 1 ? BN254.Q - word : word));
            }
        }
        for (uint256 j = 1; j < 4; ++j) {
            uint256 rho = uint256(keccak256(abi.encode(keccak256(transcript), indexes[j - 1]))) % BN254.R;
            uint256[] memory proofs = bundles[j / 2].proofs;
            uint256 a = 10 * (j % 2);
            vm.expectCall(address(7), abi.encode(proofs[a], BN254.Q - proofs[a + 1], rho));
            vm.expectCall(address(7), abi.encode(proofs[a + 6], proofs[a + 7], rho));
            vm.expectCall(address(7), abi.encode(proofs[a + 8], proofs[a + 9], rho));
        }
        verifier.verifyBatch(bundles);
    }

    // ------------------------------------------------------------------------------------------------ coverage (B6)

    /// Every subset of slices verifies by its own proofs and by no others.
    function test_EverySubsetOfSlicesVerifies() public {
        for (uint256 m = 1; m < names.length; ++m) {
            Model memory model = loadModel(names[m]);
            Bundle memory statement = loadBundle(names[m]);
            uint256 all = (1 << model.keys.length) - 1;
            for (uint256 coverage = 1; coverage < all; ++coverage) {
                IBundleVerifier.Bundle memory bundle = covering(model.digest, statement, coverage);
                verifier.verifyBundle(bundle);
                for (uint256 other = 1; other < all; ++other) {
                    if (other == coverage || _count(other) != _count(coverage)) continue;
                    bundle.coverage = other;
                    (bool ok,) = address(verifier).staticcall(abi.encodeCall(IBundleVerifier.verifyBundle, (bundle)));
                    assertFalse(ok);
                }
            }
        }
    }

    /// Every word and commitment has a place in calldata, and those that no covered slice touches are nobody's: they
    /// may be anything in range. Off chain a part's bundle leaves them out.
    function test_PartialBundleProvesNothingOfOtherTensors() public {
        // The last slice of three: it reads boundary 1, and puts out the output.
        IBundleVerifier.Bundle memory bundle = covering(digests[2], loadBundle("chain"), 4);
        (bundle.words[0], bundle.commitments[0]) = (bundle.words[0] ^ 1, bundle.commitments[0] ^ 1);
        verifier.verifyBundle(bundle);
        for (uint256 i = 0; i < 2; ++i) {
            bundle = covering(digests[2], loadBundle("chain"), 4);
            if (i == 0) bundle.words[26] ^= 1;
            else bundle.commitments[1] ^= 1;
            vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
            verifier.verifyBundle(bundle);
        }
    }

    function test_RevertWhen_CoverageIsWrittenOut() public {
        IBundleVerifier.Bundle memory bundle = covering(digests[2], loadBundle("chain"), 0);
        bundle.coverage = 7;
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.CoverageOutOfRange.selector, 0, 7, 3));
        verifier.verifyBundle(bundle);
    }

    function testFuzz_RevertWhen_CoverageNamesAbsentSlices(uint256 coverage) public {
        coverage = bound(coverage, 8, type(uint256).max);
        IBundleVerifier.Bundle memory bundle = covering(digests[2], loadBundle("chain"), 0);
        bundle.coverage = coverage;
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.CoverageOutOfRange.selector, 0, coverage, 3));
        verifier.verifyBundle(bundle);
    }

    /// One slice's proof twice is not two slices.
    function test_RevertWhen_ASliceIsProvenTwice() public {
        IBundleVerifier.Bundle memory bundle = covering(digests[2], loadBundle("chain"), 0);
        bundle.coverage = 3;
        uint256[] memory proofs = new uint256[](20);
        for (uint256 i = 0; i < 20; ++i) {
            proofs[i] = bundle.proofs[i % 10];
        }
        bundle.proofs = proofs;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verifier.verifyBundle(bundle);
    }

    function test_RevertWhen_ProofsAreNotAsManyAsCovered() public {
        IBundleVerifier.Bundle memory bundle = covering(digests[2], loadBundle("chain"), 5);
        bundle.coverage = 1;
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.ProofLengthMismatch.selector, 0, 10, 20));
        verifier.verifyBundle(bundle);
    }

    /// A bundle's proofs cannot stand in for its neighbour's: together there are as many as there should be.
    function test_RevertWhen_ProofsAreCountedTogether() public {
        IBundleVerifier.Bundle[] memory bundles = _pair("chain", "chain");
        uint256[] memory all = new uint256[](40);
        uint256[] memory rest = new uint256[](20);
        for (uint256 i = 0; i < 60; ++i) {
            if (i < 40) all[i] = bundles[i / 30].proofs[i % 30];
            else rest[i - 40] = bundles[1].proofs[i - 30];
        }
        (bundles[0].proofs, bundles[1].proofs) = (all, rest);
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.ProofLengthMismatch.selector, 0, 30, 40));
        verifier.verifyBatch(bundles);
    }

    // ------------------------------------------------------------------------------------------------ form

    function test_RevertWhen_BatchIsEmpty() public {
        vm.expectRevert(IBundleVerifier.EmptyBatch.selector);
        verifier.verifyBatch(new IBundleVerifier.Bundle[](0));
    }

    function test_RevertWhen_AModelIsStopped() public {
        IBundleVerifier.Bundle[] memory bundles = _pair("single", "chain");
        registry.tombstone(digests[2]);
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, digests[2], IModelRegistry.Status.Tombstoned)
        );
        verifier.verifyBatch(bundles);
    }

    /// Whatever is wrong with a bundle's form, its index is named.
    function test_RevertWhen_TheSecondBundleIsMalformed() public {
        IBundleVerifier.Bundle[] memory bundles = _pair("single", "chain");
        IBundleVerifier.Bundle memory bundle = bundles[1];
        bundle.context = 0;
        _requireRevert(bundles, abi.encodeWithSelector(IBundleVerifier.ContextOutOfRange.selector, 1, 0));
        bundle.context = 1;
        bundle.owner = BN254.R;
        _requireRevert(bundles, abi.encodeWithSelector(IBundleVerifier.OwnerOutOfRange.selector, 1, BN254.R));
        bundle.owner = 0;
        bundle.words[0] |= 1 << 255;
        _requireRevert(
            bundles, abi.encodeWithSelector(IBundleVerifier.WordOutOfRange.selector, 1, 0, bundle.words[0], 248)
        );
        bundle.words[0] = 0;
        bundle.commitments[1] = BN254.R;
        _requireRevert(bundles, abi.encodeWithSelector(IBundleVerifier.CommitmentOutOfRange.selector, 1, 1, BN254.R));
        bundle.commitments[1] = 0;
        uint256 word = bundle.proofs[21];
        bundle.proofs[21] += BN254.Q;
        _requireRevert(
            bundles, abi.encodeWithSelector(IBundleVerifier.CoordinateOutOfRange.selector, 1, 21, bundle.proofs[21])
        );
        bundle.proofs[21] = addmod(word, 1, BN254.Q);
        _requireRevert(bundles, abi.encodeWithSelector(IBundleVerifier.PointNotOnCurve.selector, 1, 20));
    }

    /// Lengths far from the model's, whichever bundle has them: the room for the transcript is reckoned from them.
    function test_RevertWhen_ABundleHasOtherLengths() public {
        for (uint256 i = 0; i < 2; ++i) {
            for (uint256 length = 0; length < 200; length += 99) {
                IBundleVerifier.Bundle[] memory bundles = _pair("single", "chain");
                bundles[i].words = new uint256[](length);
                _requireRevert(
                    bundles, abi.encodeWithSelector(IBundleVerifier.WordCountMismatch.selector, i, 27, length)
                );
                bundles = _pair("single", "chain");
                bundles[i].commitments = new uint256[](length + 1);
                _requireRevert(
                    bundles,
                    abi.encodeWithSelector(IBundleVerifier.CommitmentCountMismatch.selector, i, 2 * i, length + 1)
                );
                bundles = _pair("single", "chain");
                bundles[i].proofs = new uint256[](length);
                _requireRevert(
                    bundles,
                    abi.encodeWithSelector(IBundleVerifier.ProofLengthMismatch.selector, i, i == 0 ? 10 : 30, length)
                );
            }
        }
    }

    /// The array of bundles begins just after its offset.
    function test_RevertWhen_ThereIsAGapBeforeTheArray() public view {
        bytes memory data = abi.encode(_pair("single", "chain"));
        // Without the array's offset, 32.
        assembly {
            mstore(add(data, 0x20), sub(mload(data), 0x20))
            data := add(data, 0x20)
        }
        bytes4 selector = IBundleVerifier.verifyBatch.selector;
        (bool ok,) = address(verifier).staticcall(bytes.concat(selector, abi.encode(32), data));
        assertTrue(ok);
        bytes memory reason;
        (ok, reason) = address(verifier).staticcall(bytes.concat(selector, abi.encode(64, 0), data));
        assertFalse(ok);
        assertEq(reason, abi.encodePacked(IBundleVerifier.NonCanonicalCalldata.selector));
    }

    /// The list of offsets has one order, and nothing else in it.
    function test_RevertWhen_BundlesAreNotWhereTheyShouldBe() public {
        IBundleVerifier.Bundle[] memory bundles = _pair("single", "single");
        bytes memory data = abi.encodeCall(IBundleVerifier.verifyBatch, (bundles));
        uint256[2] memory offsets;
        assembly {
            mstore(offsets, mload(add(data, 0x64)))
            mstore(add(offsets, 0x20), mload(add(data, 0x84)))
        }
        for (uint256 which = 0; which < 3; ++which) {
            // Exchanged; the first twice; the second twice.
            (uint256 first, uint256 second) = (offsets[which == 1 ? 0 : 1], offsets[which == 2 ? 1 : 0]);
            assembly {
                mstore(add(data, 0x64), first)
                mstore(add(data, 0x84), second)
            }
            (bool ok, bytes memory reason) = address(verifier).staticcall(data);
            assertFalse(ok);
            assertEq(reason, abi.encodePacked(IBundleVerifier.NonCanonicalCalldata.selector));
        }
    }

    function _requireRevert(IBundleVerifier.Bundle[] memory bundles, bytes memory reason) private {
        vm.expectRevert(reason);
        verifier.verifyBatch(bundles);
    }

    /// Every word of the encoding that is an offset or a length has one value only, and nothing follows.
    function test_RevertWhen_EncodingIsNotTheOnlyOne() public view {
        IBundleVerifier.Bundle[] memory bundles = _pair("single", "private");
        bytes memory data = abi.encodeCall(IBundleVerifier.verifyBatch, (bundles));
        (bool ok,) = address(verifier).staticcall(data);
        assertTrue(ok);
        (ok,) = address(verifier).staticcall(bytes.concat(data, bytes32(0)));
        assertFalse(ok);
        (ok,) = address(verifier).staticcall(bytes.concat(data, hex"00"));
        assertFalse(ok);
        for (uint256 i = 0; 4 + 32 * (i + 1) <= data.length; ++i) {
            // The owner of a bundle in which no slice reads a private input: it is in no statement.
            if (i == 6) continue;
            for (uint256 change = 1; change <= 32; change += 31) {
                uint256 word;
                assembly {
                    let place := add(add(data, 0x24), shl(5, i))
                    word := mload(place)
                    mstore(place, add(word, change))
                }
                (ok,) = address(verifier).staticcall(data);
                assertFalse(ok);
                assembly {
                    mstore(add(add(data, 0x24), shl(5, i)), word)
                }
            }
        }
        // Two bundles that are one and the same in calldata.
        bytes memory head = abi.encodePacked(IBundleVerifier.verifyBatch.selector, uint256(32), uint256(2));
        bytes memory one = abi.encode(bundles[0]);
        assembly {
            // Without the leading offset.
            mstore(add(one, 0x20), sub(mload(one), 0x20))
            one := add(one, 0x20)
        }
        (ok,) = address(verifier).staticcall(bytes.concat(head, abi.encode(uint256(64), uint256(64)), one));
        assertFalse(ok);
    }

    /// A bad point costs what a multiplication is given, not the batch's gas, wherever it is.
    function test_MalformedPointBurnsLittleGas() public view {
        for (uint256 bad = 1; bad < 4; ++bad) {
            IBundleVerifier.Bundle[] memory bundles = new IBundleVerifier.Bundle[](4);
            for (uint256 i = 0; i < 4; ++i) {
                bundles[i] = _bundle(0, 2 * i, 0);
            }
            bundles[bad].proofs[8] = addmod(bundles[bad].proofs[8], 1, BN254.Q);
            uint256 gasBefore = gasleft();
            (bool ok, bytes memory reason) =
                address(verifier).staticcall(abi.encodeCall(IBundleVerifier.verifyBatch, (bundles)));
            assertFalse(ok);
            assertEq(reason, abi.encodeWithSelector(IBundleVerifier.PointNotOnCurve.selector, bad, 8));
            assertLt(gasBefore - gasleft(), 250_000);
        }
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function _pair(string memory first, string memory second)
        private
        view
        returns (IBundleVerifier.Bundle[] memory bundles)
    {
        bundles = new IBundleVerifier.Bundle[](2);
        string[2] memory pair = [first, second];
        for (uint256 i = 0; i < 2; ++i) {
            Model memory model = loadModel(pair[i]);
            Bundle memory statement = loadBundle(pair[i]);
            statement.context += i;
            statement.proofs = simulate(model, statement, i);
            bundles[i] = covering(model.digest, statement, 0);
        }
    }

    function _random(uint256 seed, uint256 i) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, i)));
    }

    function _random(uint256 seed, string memory what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what)));
    }

    function _count(uint256 bits) private pure returns (uint256 count) {
        for (; bits != 0; bits &= bits - 1) {
            ++count;
        }
    }
}
