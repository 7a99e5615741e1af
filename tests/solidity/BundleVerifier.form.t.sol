// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {BN254} from "../../contracts/libraries/BN254.sol";
import {VmSafe} from "forge-std/Vm.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @notice What mutants of `BundleVerifier` got away with, before these.
contract BundleVerifierFormTest is Deployed {
    /// The list may not begin in the word that says where it begins. (An offset of 1 makes that word's last byte the
    /// length's last but one: 256 bundles.)
    function test_RevertWhen_TheListOverlapsItsOffset() public {
        bytes memory data = abi.encodePacked(IBundleVerifier.verifyBatch.selector, uint256(1), new bytes(100_000));
        _requireRefused(data, abi.encodePacked(IBundleVerifier.NonCanonicalCalldata.selector));
    }

    /// No model has the digest 0, with which what is not there yet would be equal.
    function test_RevertWhen_TheFirstDigestIsZero() public {
        bytes memory reason =
            abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, bytes32(0), IModelRegistry.Status.None);
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        IBundleVerifier.Bundle[] memory bundles = new IBundleVerifier.Bundle[](1);
        bundles[0] = covering(0, bundle, 0);
        _requireRefused(abi.encodeCall(IBundleVerifier.verifyBatch, (bundles)), reason);
        _requireRefused(abi.encodeCall(IBundleVerifier.verifyBundle, (bundles[0])), reason);
        bundles = new IBundleVerifier.Bundle[](2);
        (bundles[0], bundles[1]) = (covering(0, bundle, 0), covering(model.digest, bundle, 0));
        _requireRefused(abi.encodeCall(IBundleVerifier.verifyBatch, (bundles)), reason);
    }

    /// Lengths whose bytes, taken modulo 2^256, are those of the right ones.
    function test_RevertWhen_LengthsWrapAround() public {
        Model memory model = install("chain");
        Bundle memory bundle = loadBundle("chain");
        bytes memory data = abi.encodeCall(IBundleVerifier.verifyBundle, (covering(model.digest, bundle, 0)));
        // After the selector and the bundle's offset, seven words of head; then the arrays.
        uint256[2] memory lengths;
        lengths[0] = 0x24 + 0xe0;
        lengths[1] = lengths[0] + 32 * (1 + bundle.words.length);
        for (uint256 i = 0; i < lengths.length; ++i) {
            bytes memory wrapped = bytes.concat(data);
            uint256 place = lengths[i];
            assembly ("memory-safe") {
                let length := add(add(wrapped, 0x20), place)
                mstore(length, add(mload(length), shl(251, 1)))
            }
            _requireRefused(wrapped, abi.encodePacked(IBundleVerifier.NonCanonicalCalldata.selector));
        }
    }

    /// Each array where it would be in another encoding: before and after its place.
    function test_RevertWhen_AnArrayIsElsewhere() public {
        Model memory model = install("chain");
        bytes memory data =
            abi.encodeCall(IBundleVerifier.verifyBundle, (covering(model.digest, loadBundle("chain"), 0)));
        for (uint256 i = 0; i < 12; ++i) {
            bytes memory moved = bytes.concat(data);
            uint256 place = 0x24 + 0x80 + 32 * (i / 4);
            uint256 distance = i % 2 == 0 ? 1 : 32;
            bool later = i % 4 < 2;
            assembly ("memory-safe") {
                let offset := add(add(moved, 0x20), place)
                switch later
                case 0 { mstore(offset, sub(mload(offset), distance)) }
                default { mstore(offset, add(mload(offset), distance)) }
            }
            _requireRefused(moved, abi.encodePacked(IBundleVerifier.NonCanonicalCalldata.selector));
        }
    }

    /// P4: no place among neighbours of one model, and no slice, is left out of the product.
    function test_RevertWhen_AnyProofOfARunIsFalse() public {
        install("chain");
        for (uint256 i = 0; i < 9; ++i) {
            IBundleVerifier.Bundle[] memory bundles = _run("chain", 3);
            uint256[] memory proofs = bundles[i / 3].proofs;
            uint256 y = 10 * (i % 3) + 1;
            proofs[y] = BN254.Q - proofs[y];
            _requireRefused(
                abi.encodeCall(IBundleVerifier.verifyBatch, (bundles)),
                abi.encodePacked(IBundleVerifier.InvalidBundle.selector)
            );
        }
    }

    /// A point off the curve is named though its coordinates have no bit in common.
    function test_RevertWhen_APointIsOffTheCurve() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        (bundle.proofs[8], bundle.proofs[9]) = (4, 3);
        bytes memory data = abi.encodeCall(IBundleVerifier.verifyBundle, (covering(model.digest, bundle, 0)));
        _requireRefused(data, abi.encodeWithSelector(IBundleVerifier.PointNotOnCurve.selector, 0, 8));
    }

    /// What is noted of a model, all of whose tensors are public, stays when the next one is laid out.
    function test_RevertWhen_AWordOfTheFirstModelIsOutOfRange() public {
        install("single");
        install("chain");
        IBundleVerifier.Bundle[] memory bundles = _join(_run("single", 1), _run("chain", 1));
        bundles[0].words[26] = 1 << 255;
        _requireRefused(
            abi.encodeCall(IBundleVerifier.verifyBatch, (bundles)),
            abi.encodeWithSelector(IBundleVerifier.WordOutOfRange.selector, 0, 26, bundles[0].words[26], 250)
        );
    }

    /// Every word is looked at, those that are read eight at a time too.
    function test_RevertWhen_AnyWordIsOutOfRange() public {
        Model memory model = install("single");
        for (uint256 i = 0; i < 27; ++i) {
            Bundle memory bundle = loadBundle("single");
            bundle.context = 1; // Which does not make words look greater, if it is taken for one.
            // 784 digits of 8 bits, 31 in a word, 9 in the last; then 10 of 25 bits.
            uint256 maxBits = i < 25 ? 248 : i == 25 ? 72 : 250;
            bundle.words[i] |= 1 << maxBits;
            bytes memory data = abi.encodeCall(IBundleVerifier.verifyBundle, (covering(model.digest, bundle, 0)));
            _requireRefused(
                data, abi.encodeWithSelector(IBundleVerifier.WordOutOfRange.selector, 0, i, bundle.words[i], maxBits)
            );
        }
    }

    /// What a statement says is not taken for what a model says: owner and commitments may be a setup's digest.
    function test_StatementsMayHoldASetupDigest() public {
        string[2] memory names = ["private", "chain"];
        for (uint256 i = 0; i < names.length; ++i) {
            Model memory model = install(names[i]);
            Bundle memory bundle = loadBundle(names[i]);
            bundle.owner = wordAt(model.blob, 4);
            assertLt(bundle.owner, BN254.R);
            for (uint256 j = 0; j < bundle.commitments.length; ++j) {
                bundle.commitments[j] = bundle.owner;
            }
            bundle.proofs = simulate(model, bundle, i);
            verify(model.digest, bundle);
        }
    }

    /// n·S + 2·S + 2 pairs for n bundles of a model of S slices; the 2 once for neighbouring models of one setup.
    function test_PairsAreCounted() public {
        install("chain");
        install("single");
        install("other");
        assertEq(_pairs(_run("chain", 4)), 4 * 3 + 2 * 3 + 2);
        assertEq(_pairs(_join(_run("chain", 2), _run("single", 2))), (2 * 3 + 2 * 3) + (2 + 2) + 2);
        assertEq(_pairs(_join(_run("single", 1), _run("other", 1))), 2 * (1 + 2 + 2));
    }

    /// Infinity is a point like any other: if something else makes the precompile fail, it is not blamed.
    function test_InfinityIsNotNamed() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        (bundle.proofs[6], bundle.proofs[7]) = (0, 0);
        bundle.proofs[2] ^= 1; // B is not on its curve any more, which only the precompile looks at.
        bytes memory data = abi.encodeCall(IBundleVerifier.verifyBundle, (covering(model.digest, bundle, 0)));
        _requireRefused(data, abi.encodePacked(IBundleVerifier.PrecompileFailed.selector));
    }

    /// Bundles of one model, with proofs of their own.
    function _run(string memory name, uint256 n) private view returns (IBundleVerifier.Bundle[] memory bundles) {
        bundles = new IBundleVerifier.Bundle[](n);
        Model memory model = loadModel(name);
        for (uint256 i = 0; i < n; ++i) {
            Bundle memory bundle = loadBundle(name);
            bundle.context = i + 1;
            bundle.proofs = simulate(model, bundle, i);
            bundles[i] = covering(model.digest, bundle, 0);
        }
    }

    function _join(IBundleVerifier.Bundle[] memory a, IBundleVerifier.Bundle[] memory b)
        private
        pure
        returns (IBundleVerifier.Bundle[] memory joined)
    {
        joined = new IBundleVerifier.Bundle[](a.length + b.length);
        for (uint256 i = 0; i < joined.length; ++i) {
            joined[i] = i < a.length ? a[i] : b[i - a.length];
        }
    }

    function _pairs(IBundleVerifier.Bundle[] memory bundles) private returns (uint256 pairs) {
        vm.startStateDiffRecording();
        verifier.verifyBatch(bundles);
        VmSafe.AccountAccess[] memory accesses = vm.stopAndReturnStateDiff();
        for (uint256 i = 0; i < accesses.length; ++i) {
            if (accesses[i].account == address(8)) pairs += accesses[i].data.length / 192;
        }
    }

    function _requireRefused(bytes memory data, bytes memory reason) private view {
        (bool ok, bytes memory returndata) = address(verifier).staticcall(data);
        assertFalse(ok);
        assertEq(returndata, reason);
    }
}
