// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {BundleVerifier} from "../../contracts/BundleVerifier.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {Registered} from "./utils/Registered.sol";
import {deploy} from "./utils/Deploy.sol";

/// @notice G10: pairs of bundles that the verifier accepts, made with the setup's trapdoor, which is what stopping a
/// model is for.
contract ModelRegistryEquivocationTest is Registered {
    bytes4 private constant VERIFIER = 0x00000001;
    address private immutable REPORTER = makeAddr("reporter");

    BundleVerifier private verifier;

    function setUp() public override {
        super.setUp();
        verifier = BundleVerifier(deploy("BundleVerifier", abi.encode(registry, VERIFIER)));
        registry.addVerifier(VERIFIER, address(verifier));
    }

    // ------------------------------------------------------------------------------------------------ shown

    function test_StopsAModelOfOneSlice() public {
        Model memory model = install("single");
        (Bundle memory first, Bundle memory second) = (loadBundle("single"), loadBundle("single"));
        second.words[26] ^= 1; // The logits' only word, after 26 of the image.
        _requireStops(model, first, second, 0);
    }

    /// Boundaries within what is covered are salted anew by every prover, context and owner are every request's own.
    function test_StopsAModelByWholeBundles() public {
        Model memory model = install("chain");
        (Bundle memory first, Bundle memory second) = (loadBundle("chain"), loadBundle("chain"));
        second.words[26] ^= 1;
        second.commitments[0] ^= 1;
        second.commitments[1] ^= 1;
        second.context ^= 1;
        second.owner ^= 1;
        _requireStops(model, first, second, 0);
    }

    function test_StopsAModelWithAPrivateInput() public {
        Model memory model = install("private");
        (Bundle memory first, Bundle memory second) = (loadBundle("private"), loadBundle("private"));
        second.words[0] ^= 1;
        second.commitments[1] ^= 1;
        _requireStops(model, first, second, 0);
    }

    /// The last slice alone, on one boundary commitment.
    function test_StopsAModelByOneSlice() public {
        Model memory model = install("chain");
        (Bundle memory first, Bundle memory second) = (loadBundle("chain"), loadBundle("chain"));
        second.words[26] ^= 1;
        _requireStops(model, first, second, 4);
    }

    /// What no covered slice touches is not proven, and does not count as input.
    function test_StopsAModelWhateverOtherSlicesHave() public {
        Model memory model = install("chain");
        (Bundle memory first, Bundle memory second) = (loadBundle("chain"), loadBundle("chain"));
        second.words[26] ^= 1;
        second.words[0] ^= 1;
        second.commitments[0] ^= 1;
        _requireStops(model, first, second, 4);
    }

    /// The slices at the end, which take one boundary from outside and have one between them.
    function test_StopsAModelByNeighbouringSlices() public {
        Model memory model = install("chain");
        (Bundle memory first, Bundle memory second) = (loadBundle("chain"), loadBundle("chain"));
        second.words[26] ^= 1;
        second.commitments[1] ^= 1;
        _requireStops(model, first, second, 6);
    }

    // ------------------------------------------------------------------------------------------------ not shown

    function test_RevertWhen_APublicInputDiffers() public {
        Model memory model = install("single");
        (Bundle memory first, Bundle memory second) = (loadBundle("single"), loadBundle("single"));
        second.words[26] ^= 1;
        for (uint256 i = 0; i < 26; i += 5) {
            second.words[i] ^= 1;
            _requireFault(model, first, second, 0, IModelRegistry.EquivocationFault.InputDiffers);
            second.words[i] ^= 1;
        }
    }

    function test_RevertWhen_APrivateInputDiffers() public {
        Model memory model = install("private");
        (Bundle memory first, Bundle memory second) = (loadBundle("private"), loadBundle("private"));
        second.words[0] ^= 1;
        second.commitments[0] ^= 1;
        _requireFault(model, first, second, 0, IModelRegistry.EquivocationFault.InputDiffers);
    }

    /// Two honest bundles for different inputs, of which only the last slices are shown.
    function test_RevertWhen_ABoundaryFromOutsideDiffers() public {
        Model memory model = install("chain");
        (Bundle memory first, Bundle memory second) = (loadBundle("chain"), loadBundle("chain"));
        second.words[26] ^= 1;
        second.commitments[1] ^= 1;
        _requireFault(model, first, second, 4, IModelRegistry.EquivocationFault.InputDiffers);
        // Slice 1 is what would link the two.
        _requireFault(model, first, second, 5, IModelRegistry.EquivocationFault.InputDiffers);
        second.commitments[0] ^= 1;
        _requireFault(model, first, second, 6, IModelRegistry.EquivocationFault.InputDiffers);
    }

    /// The false positive to fear: two honest proofs of one inference differ in their salts, context and proofs.
    function test_RevertWhen_OnlySaltsDiffer() public {
        Model memory model = install("chain");
        (Bundle memory first, Bundle memory second) = (loadBundle("chain"), loadBundle("chain"));
        second.commitments[0] ^= 1;
        second.commitments[1] ^= 1;
        second.context ^= 1;
        _requireFault(model, first, second, 0, IModelRegistry.EquivocationFault.OutputEqual);
        // The slice that writes, alone.
        _requireFault(model, first, second, 1, IModelRegistry.EquivocationFault.OutputEqual);
        second.commitments[0] ^= 1;
        _requireFault(model, first, second, 2, IModelRegistry.EquivocationFault.OutputEqual);
    }

    /// Outputs of slices that are not covered are whatever the bundle's maker wrote.
    function test_RevertWhen_OnlyUnprovenOutputsDiffer() public {
        Model memory model = install("mixed");
        (Bundle memory first, Bundle memory second) = (loadBundle("mixed"), loadBundle("mixed"));
        uint256 output = _firstWordOf(model, 4);
        second.words[output] ^= 1;
        _requireFault(model, first, second, 2, IModelRegistry.EquivocationFault.OutputEqual);
        _requireFault(model, first, second, 3, IModelRegistry.EquivocationFault.OutputEqual);
        second.commitments[1] ^= 1;
        _requireFault(model, first, second, 4, IModelRegistry.EquivocationFault.InputDiffers);
        second.commitments[1] ^= 1;
        _requireStops(model, first, second, 4);
    }

    function test_RevertWhen_BundlesAreOne() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        _requireFault(model, bundle, bundle, 0, IModelRegistry.EquivocationFault.OutputEqual);
    }

    function test_RevertWhen_CoverageDiffers() public {
        Model memory model = install("chain");
        IBundleVerifier.Bundle memory first = _prove(model, loadBundle("chain"), 0, 1);
        IBundleVerifier.Bundle memory second = _prove(model, loadBundle("chain"), 4, 2);
        _requireFault(first, second, IModelRegistry.EquivocationFault.Coverage);
        _requireFault(second, first, IModelRegistry.EquivocationFault.Coverage);
    }

    /// Two models of one key, with different scales: the same proofs, but not one model.
    function test_RevertWhen_ModelsDiffer() public {
        Model memory model = install("single");
        Model memory other = loadModel("single");
        setWord(other.blob, tensorAt(other.blob, 1) + 5, 2);
        other.digest = register(other.blob);
        (Bundle memory first, Bundle memory second) = (loadBundle("single"), loadBundle("single"));
        second.words[26] ^= 1;
        _requireFault(_prove(model, first, 0, 1), _prove(other, second, 0, 2), IModelRegistry.EquivocationFault.Model);
    }

    /// A pair that would do, but for one word of one proof, in either bundle.
    function test_RevertWhen_AProofIsInvalid() public {
        Model memory model = install("chain");
        (Bundle memory first, Bundle memory second) = (loadBundle("chain"), loadBundle("chain"));
        second.words[26] ^= 1;
        for (uint256 i = 0; i < 2; ++i) {
            IBundleVerifier.Bundle[2] memory pair = [_prove(model, first, 0, 1), _prove(model, second, 0, 2)];
            // A foreign point of the curve for C2 of slice 1.
            (pair[i].proofs[18], pair[i].proofs[19]) = g1(12_345);
            vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
            registry.reportEquivocation(VERIFIER, pair[0], pair[1]);
        }
        // Other output words over good proofs.
        IBundleVerifier.Bundle memory good = _prove(model, first, 0, 1);
        IBundleVerifier.Bundle memory bad = _prove(model, first, 0, 1);
        bad.words = second.words;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        registry.reportEquivocation(VERIFIER, good, bad);
    }

    /// Lengths and ranges are the verifier's to check: nothing is compared before.
    function test_RevertWhen_LengthsAreWrong() public {
        Model memory model = install("single");
        IBundleVerifier.Bundle memory good = _prove(model, loadBundle("single"), 0, 1);
        IBundleVerifier.Bundle memory bad = _prove(model, loadBundle("single"), 0, 1);
        bad.words = new uint256[](0);
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.WordCountMismatch.selector, 0, 27, 0));
        registry.reportEquivocation(VERIFIER, good, bad);
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.WordCountMismatch.selector, 0, 27, 0));
        registry.reportEquivocation(VERIFIER, bad, good);
        (good.coverage, bad.coverage) = (2, 2);
        vm.expectRevert(abi.encodeWithSelector(IBundleVerifier.CoverageOutOfRange.selector, 0, 2, 1));
        registry.reportEquivocation(VERIFIER, good, bad);
    }

    function test_RevertWhen_TheVerifierDoesNotServe() public {
        Model memory model = install("single");
        IBundleVerifier.Bundle memory bundle = _prove(model, loadBundle("single"), 0, 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.VerifierNotActive.selector, bytes4(0x00000002), IModelRegistry.Status.None
            )
        );
        registry.reportEquivocation(0x00000002, bundle, bundle);
        registry.tombstoneVerifier(VERIFIER);
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.VerifierNotActive.selector, VERIFIER, IModelRegistry.Status.Tombstoned
            )
        );
        registry.reportEquivocation(VERIFIER, bundle, bundle);
    }

    function test_RevertWhen_TheModelDoesNotServe() public {
        Model memory model = loadModel("single");
        (Bundle memory first, Bundle memory second) = (loadBundle("single"), loadBundle("single"));
        second.words[26] ^= 1;
        IBundleVerifier.Bundle memory one = _prove(model, first, 0, 1);
        IBundleVerifier.Bundle memory other = _prove(model, second, 0, 2);
        bytes4 fault = IModelRegistry.ModelNotActive.selector;
        vm.expectRevert(abi.encodeWithSelector(fault, model.digest, IModelRegistry.Status.None));
        registry.reportEquivocation(VERIFIER, one, other);
        register(model.blob);
        registry.reportEquivocation(VERIFIER, one, other);
        vm.expectRevert(abi.encodeWithSelector(fault, model.digest, IModelRegistry.Status.Tombstoned));
        registry.reportEquivocation(VERIFIER, one, other);
    }

    // ------------------------------------------------------------------------------------------------ both ways

    /// Whatever differs, and whatever is covered: stopped exactly if a reading of the wiring, written apart from the
    /// contract's, says so.
    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 100
    function testFuzz_StopsExactlyIfShown(uint256 wordsChanged, uint256 commitmentsChanged, uint256 coverage) public {
        Model memory model = install("mixed");
        (Bundle memory first, Bundle memory second) = (loadBundle("mixed"), loadBundle("mixed"));
        coverage = bound(coverage, 0, 6);
        // Sparse changes, so that both answers are met.
        wordsChanged &= wordsChanged >> 8;
        commitmentsChanged &= commitmentsChanged >> 8;
        for (uint256 i = 0; i < first.words.length; ++i) {
            second.words[i] ^= (wordsChanged >> i) & 1;
        }
        for (uint256 i = 0; i < first.commitments.length; ++i) {
            second.commitments[i] ^= (commitmentsChanged >> i) & 1;
        }
        (bool inputs, bool outputs) = _differences(model, wordsChanged, commitmentsChanged, coverage);
        if (inputs) {
            _requireFault(model, first, second, coverage, IModelRegistry.EquivocationFault.InputDiffers);
        } else if (!outputs) {
            _requireFault(model, first, second, coverage, IModelRegistry.EquivocationFault.OutputEqual);
        } else {
            _requireStops(model, first, second, coverage);
        }
    }

    /// For each tensor: who covered reads it, who covered writes it, does it differ.
    function _differences(Model memory model, uint256 words, uint256 commitments, uint256 coverage)
        private
        pure
        returns (bool inputs, bool outputs)
    {
        uint256 hidden;
        for (uint256 t = 0; t < wordAt(model.blob, 2); ++t) {
            uint256 kind = wordAt(model.blob, tensorAt(model.blob, t));
            bool isPublic = kind == 1 || kind == 3;
            uint256 differs = isPublic
                ? (words >> _firstWordOf(model, t)) & ((1 << wordCountOf(model.blob, t)) - 1)
                : (commitments >> hidden++) & 1;
            if (differs == 0) continue;
            bool read;
            bool written;
            for (uint256 k = 0; k < model.keys.length; ++k) {
                if (coverage != 0 && (coverage >> k) & 1 == 0) continue;
                if (isPublic && _has(model.keys[k].groups, t)) (read, written) = (true, kind == 3);
                if (!isPublic && _has(model.keys[k].slots, (3 << 32) + t)) read = true;
                if (!isPublic && _has(model.keys[k].slots, (4 << 32) + t)) written = true;
            }
            if (read && !written) inputs = true;
            if (kind == 3 && written) outputs = true;
        }
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function _requireStops(Model memory model, Bundle memory first, Bundle memory second, uint256 coverage) private {
        IBundleVerifier.Bundle memory one = _prove(model, first, coverage, 1);
        IBundleVerifier.Bundle memory other = _prove(model, second, coverage, 2);
        uint256 snapshot = vm.snapshotState();
        // Either way round.
        registry.reportEquivocation(VERIFIER, other, one);
        vm.revertToState(snapshot);
        vm.expectEmit();
        emit IModelRegistry.ModelTombstoned(model.digest, REPORTER);
        vm.expectEmit();
        emit IModelRegistry.EquivocationProven(model.digest, coverage, REPORTER);
        vm.prank(REPORTER);
        registry.reportEquivocation(VERIFIER, one, other);
        assertEq(uint8(registry.modelStatus(model.digest)), uint8(IModelRegistry.Status.Tombstoned));
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.ModelNotActive.selector, model.digest, IModelRegistry.Status.Tombstoned
            )
        );
        verifier.verifyBundle(one);
    }

    /// Both bundles verify; the fault is in what they say together.
    function _requireFault(
        Model memory model,
        Bundle memory first,
        Bundle memory second,
        uint256 coverage,
        IModelRegistry.EquivocationFault fault
    ) private {
        _requireFault(_prove(model, first, coverage, 1), _prove(model, second, coverage, 2), fault);
    }

    function _requireFault(
        IBundleVerifier.Bundle memory first,
        IBundleVerifier.Bundle memory second,
        IModelRegistry.EquivocationFault fault
    ) private {
        verifier.verifyBundle(first);
        verifier.verifyBundle(second);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NoEquivocation.selector, fault));
        registry.reportEquivocation(VERIFIER, first, second);
        assertEq(uint8(registry.modelStatus(first.modelDigest)), uint8(IModelRegistry.Status.Active));
    }

    /// Simulated proofs of the covered slices.
    function _prove(Model memory model, Bundle memory statement, uint256 coverage, uint256 seed)
        private
        view
        returns (IBundleVerifier.Bundle memory)
    {
        uint256[] memory all = simulate(model, statement, seed);
        uint256[] memory proofs = new uint256[](all.length);
        uint256 count;
        for (uint256 i = 0; i < all.length; ++i) {
            if (coverage == 0 || (coverage >> (i / 10)) & 1 == 1) proofs[count++] = all[i];
        }
        assembly ("memory-safe") {
            mstore(proofs, count)
        }
        return IBundleVerifier.Bundle({
            modelDigest: model.digest,
            context: statement.context,
            owner: statement.owner,
            coverage: coverage,
            words: statement.words,
            commitments: statement.commitments,
            proofs: proofs
        });
    }

    function _firstWordOf(Model memory model, uint256 tensor) private pure returns (uint256 index) {
        for (uint256 t = 0; t < tensor; ++t) {
            uint256 kind = wordAt(model.blob, tensorAt(model.blob, t));
            if (kind == 1 || kind == 3) index += wordCountOf(model.blob, t);
        }
    }

    function _has(uint256[] memory values, uint256 value) private pure returns (bool) {
        for (uint256 i = 0; i < values.length; ++i) {
            if (values[i] == value) return true;
        }
        return false;
    }
}
