// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {KeyBlob} from "./KeyBlob.sol";

/// @title Where a model's values are
/// @notice For contracts that look once, when they are made, at how a model's public tensors are packed.
/// @dev Tensors are in the blob's order: inputs, outputs, boundaries.
library ModelLayout {
    /// @notice The model reads a private input, whose words no contract can know.
    /// @dev Selector 0xbc4fe3b2.
    error PrivateInput(bytes32 modelDigest, uint256 input);
    /// @notice The model has no such output element.
    /// @dev Selector 0xab553ef5.
    error OutputIndexOutOfRange(uint256 outputIndex, uint256 elements);

    /// @notice The registered model's input or output `tensor`, in graph order, is not there or packed otherwise than this
    /// contract was written for.
    /// @dev Selector 0xf365769c.
    error LayoutMismatch(bytes32 modelDigest, uint256 tensor);

    /// @notice Reverts unless a registered model's inputs and outputs are packed as a library that `zkslice export` wrote
    /// says. For constructors: a consumer that decodes words by another layout would take one answer for another.
    /// @dev What outputs mean, and the scales of an input's features where they have their own, is not in a layout: the
    /// model digest alone binds names and shapes. Whoever may choose `modelDigest` chooses that.
    /// @param layout The library's `LAYOUT`.
    function requireSame(IModelRegistry registry, bytes32 modelDigest, bytes memory layout) internal view {
        bytes memory blob = registry.blob(modelDigest);
        uint256 found = inputCount(blob) + outputCount(blob);
        uint256 size = 32 * KeyBlob.TENSOR_WORDS;
        uint256 expected = layout.length / size;
        uint256 cursor = KeyBlob.tensors(blob);
        for (uint256 t = 0; t < found || t < expected; ++t) {
            bool same = t < found && t < expected;
            if (same) {
                assembly ("memory-safe") {
                    let offset := mul(t, size)
                    same := eq(keccak256(add(cursor, offset), size), keccak256(add(add(layout, 0x20), offset), size))
                }
            }
            if (!same) revert LayoutMismatch(modelDigest, t);
        }
    }

    /// @notice Number of words of each input, in graph order. Reverts if one is private.
    function inputWordCounts(bytes32 modelDigest, bytes memory blob) internal pure returns (uint256[] memory counts) {
        uint256 inputs = inputCount(blob);
        counts = new uint256[](inputs);
        for (uint256 i = 0; i < inputs; ++i) {
            KeyBlob.Tensor memory tensor = KeyBlob.tensor(blob, i);
            if (tensor.kind == KeyBlob.KIND_PRIVATE_INPUT) revert PrivateInput(modelDigest, i);
            counts[i] = KeyBlob.wordsOf(tensor.count, tensor.bits);
        }
    }

    /// @notice Number of inputs, public and private.
    function inputCount(bytes memory blob) internal pure returns (uint256 count) {
        uint256 tensors = KeyBlob.tensorCount(blob);
        while (count < tensors && KeyBlob.tensor(blob, count).kind <= KeyBlob.KIND_PRIVATE_INPUT) ++count;
    }

    /// @notice Number of outputs.
    function outputCount(bytes memory blob) internal pure returns (uint256 count) {
        uint256 tensors = KeyBlob.tensorCount(blob);
        uint256 first = inputCount(blob);
        while (first + count < tensors && KeyBlob.tensor(blob, first + count).kind == KeyBlob.KIND_OUTPUT) ++count;
    }

    /// @notice Where an output element is, counted over all output tensors in graph order.
    /// @return tensor The output tensor that holds it.
    /// @return word The tensor's first word among the outputs' words.
    /// @return element The element's index in the tensor.
    function outputElement(bytes memory blob, uint256 outputIndex)
        internal
        pure
        returns (KeyBlob.Tensor memory tensor, uint256 word, uint256 element)
    {
        element = outputIndex;
        uint256 first = inputCount(blob);
        uint256 end = first + outputCount(blob);
        for (uint256 t = first; t < end; ++t) {
            tensor = KeyBlob.tensor(blob, t);
            if (element < tensor.count) return (tensor, word, element);
            element -= tensor.count;
            word += KeyBlob.wordsOf(tensor.count, tensor.bits);
        }
        revert OutputIndexOutOfRange(outputIndex, outputIndex - element);
    }
}
