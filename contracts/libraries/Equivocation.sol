// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "../interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {KeyBlob} from "./KeyBlob.sol";

/// @title Proof of a broken key
/// @notice A slice is a function of its inputs, and a commitment opens to one tensor only. So two bundles that verify,
/// cover the same slices and agree in all that these slices take in from outside also agree in their outputs, unless
/// somebody can prove what is not so.
/// @dev What comes from outside: the public inputs that a covered slice reads, the private inputs, and the boundaries
/// which no covered slice writes. Boundaries that a covered slice writes may differ: their commitments are salted anew
/// every time, which proves nothing. Context and owner may differ too: the first is in no equation of the model, and
/// the second is part of what a private input's commitment opens to.
library Equivocation {
    /// @notice Reverts with `NoEquivocation` unless the bundles agree in their inputs and differ in an output word.
    /// @param blob Blob of the model of both.
    /// @param first Verified, so that its arrays have the lengths which the blob says.
    /// @param second Verified, with the same coverage.
    function requireShown(
        bytes memory blob,
        IBundleVerifier.Bundle calldata first,
        IBundleVerifier.Bundle calldata second
    ) internal pure {
        uint256[] memory places = _places(blob);
        bool[] memory written = new bool[](places.length);
        bool outputDiffers;
        uint256 wiring = KeyBlob.wirings(blob);
        for (uint256 k = 0; k < KeyBlob.sliceCount(blob); ++k) {
            if (first.coverage == 0 || (first.coverage >> k) & 1 == 1) {
                _requireSameCommitments(first.commitments, second.commitments, places, written, wiring);
                if (_outputDiffers(blob, first.words, second.words, places, wiring)) outputDiffers = true;
            }
            wiring = KeyBlob.afterWiring(wiring);
        }
        if (!outputDiffers) revert IModelRegistry.NoEquivocation(IModelRegistry.EquivocationFault.OutputEqual);
    }

    /// @dev Compares the commitments that a slice reads, but for those that an earlier covered slice wrote; marks those
    /// that it writes.
    function _requireSameCommitments(
        uint256[] calldata first,
        uint256[] calldata second,
        uint256[] memory places,
        bool[] memory written,
        uint256 wiring
    ) private pure {
        for (uint256 j = KeyBlob.read(wiring); j != 0; --j) {
            uint256 slot = KeyBlob.read(wiring + 32 * j);
            (uint256 role, uint256 index) = (slot >> 32, slot & type(uint32).max);
            if (role == KeyBlob.ROLE_WRITTEN) {
                written[index] = true;
            } else if (role == KeyBlob.ROLE_READ && !written[index]) {
                if (first[places[index]] != second[places[index]]) _inputDiffers();
            }
        }
    }

    /// @dev Compares the words of a slice: those of an input must be equal. Returns whether one of an output differs.
    function _outputDiffers(
        bytes memory blob,
        uint256[] calldata first,
        uint256[] calldata second,
        uint256[] memory places,
        uint256 wiring
    ) private pure returns (bool differs) {
        uint256 groups = wiring + 32 * (1 + KeyBlob.read(wiring));
        for (uint256 g = KeyBlob.read(groups); g != 0; --g) {
            uint256 index = KeyBlob.read(groups + 32 * g);
            KeyBlob.Tensor memory tensor = KeyBlob.tensor(blob, index);
            uint256 end = places[index] + KeyBlob.wordsOf(tensor.count, tensor.bits);
            for (uint256 i = places[index]; i < end; ++i) {
                if (first[i] == second[i]) continue;
                if (tensor.kind != KeyBlob.KIND_OUTPUT) _inputDiffers();
                differs = true;
            }
        }
    }

    /// @dev For each tensor, the index of its first word, or of its commitment.
    function _places(bytes memory blob) private pure returns (uint256[] memory places) {
        places = new uint256[](KeyBlob.tensorCount(blob));
        (uint256 words, uint256 commitments) = (0, 0);
        for (uint256 t = 0; t < places.length; ++t) {
            KeyBlob.Tensor memory tensor = KeyBlob.tensor(blob, t);
            if (tensor.kind == KeyBlob.KIND_PUBLIC_INPUT || tensor.kind == KeyBlob.KIND_OUTPUT) {
                places[t] = words;
                words += KeyBlob.wordsOf(tensor.count, tensor.bits);
            } else {
                places[t] = commitments++;
            }
        }
    }

    function _inputDiffers() private pure {
        revert IModelRegistry.NoEquivocation(IModelRegistry.EquivocationFault.InputDiffers);
    }
}
