// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {BN254} from "../libraries/BN254.sol";
import {KeyBlob} from "../libraries/KeyBlob.sol";
import {Fault} from "./Fault.sol";

/// @title Inputs of a registered model
/// @notice Holds what requests and bundles say of a model's inputs against the model's header.
library ModelInputs {
    /// @notice The header of an active model, as far as its first tensors (inputs come first): `KeyBlob`'s readers of
    /// counts and tensors read it like a blob. Reverts with `ModelNotActive`.
    /// @param tensors How many tensors to read at most.
    function load(IModelRegistry registry, bytes32 modelDigest, uint256 tensors)
        internal
        view
        returns (bytes memory header)
    {
        address first = _firstChunk(registry, modelDigest);
        uint256 slices;
        uint256 count;
        assembly ("memory-safe") {
            // Words 1 and 2 of the header; the first byte of an SSTORE2 contract is STOP.
            extcodecopy(first, 0x00, 0x21, 0x40)
            slices := mload(0x00)
            count := mload(0x20)
        }
        if (count > tensors) count = tensors;
        uint256 size = 32 * (KeyBlob.HEADER_WORDS + slices + KeyBlob.TENSOR_WORDS * count);
        // Almost always one chunk has it all. One that ends before word 2 is shorter than the least size.
        if (size >= first.code.length) return KeyBlob.fetch(registry, modelDigest);
        assembly ("memory-safe") {
            header := mload(0x40)
            mstore(header, size)
            extcodecopy(first, add(header, 0x20), 1, size)
            mstore(0x40, add(add(header, 0x20), size))
        }
    }

    /// @notice Reverts unless there are as many inputs as the model has.
    /// @param header With all tensors.
    function requireCount(bytes memory header, uint256 received) internal pure {
        uint256 tensors = KeyBlob.tensorCount(header);
        uint256 cursor = KeyBlob.tensors(header);
        uint256 expected;
        while (expected < tensors && KeyBlob.read(cursor) <= KeyBlob.KIND_PRIVATE_INPUT) {
            ++expected;
            cursor += 32 * KeyBlob.TENSOR_WORDS;
        }
        if (expected != received) revert IInferenceOracle.InputCountMismatch(expected, received);
    }

    /// @notice Reverts unless a bundle can exist for these inputs: public words in range, hashing to what the inputs
    /// say, none left over; commitments below r. The number of inputs is right.
    /// @return allPrivate Whether all inputs are private.
    function requireProvable(bytes memory header, bytes32[] calldata inputs, uint256[] calldata words)
        internal
        pure
        returns (bool allPrivate)
    {
        allPrivate = true;
        uint256 cursor = KeyBlob.tensors(header);
        uint256 start;
        for (uint256 i = 0; i < inputs.length; ++i) {
            if (KeyBlob.read(cursor) == KeyBlob.KIND_PRIVATE_INPUT) {
                if (uint256(inputs[i]) >= BN254.R) revert IInferenceOracle.InputCommitmentOutOfRange(i, inputs[i]);
            } else {
                (uint256 n, uint256 full, uint256 last) = _packing(cursor);
                uint256 end = start + n;
                allPrivate = false;
                _requireHash(i, inputs[i], words, start, end, Fault.ALONE);
                for (uint256 w = start; w < end; ++w) {
                    uint256 maxBits = w + 1 == end ? last : full;
                    if (words[w] >> maxBits != 0) revert IInferenceOracle.InputWordOutOfRange(w, words[w], maxBits);
                }
                start = end;
            }
            cursor += 32 * KeyBlob.TENSOR_WORDS;
        }
        if (words.length != start) revert IInferenceOracle.InputWordCountMismatch(start, words.length);
    }

    /// @notice Reverts unless a bundle's public and private inputs are these. Ranges, and that nothing is left over,
    /// are for the verifier to check. The number of inputs is right.
    /// @param item Whose fault it is: see `Fault`.
    /// @return start Where the words of the outputs start.
    function requireSame(
        bytes memory header,
        bytes32[] calldata inputs,
        uint256[] calldata words,
        uint256[] calldata commitments,
        uint256 item
    ) internal pure returns (uint256 start) {
        uint256 cursor = KeyBlob.tensors(header);
        uint256 commitment;
        for (uint256 i = 0; i < inputs.length; ++i) {
            if (KeyBlob.read(cursor) == KeyBlob.KIND_PRIVATE_INPUT) {
                _requireCommitment(i, inputs[i], commitments, commitment++, item);
            } else {
                (uint256 n,,) = _packing(cursor);
                _requireHash(i, inputs[i], words, start, start + n, item);
                start += n;
            }
            cursor += 32 * KeyBlob.TENSOR_WORDS;
        }
    }

    /// @notice The same for a model whose inputs are all private, for which no header is needed.
    function requireSamePrivate(bytes32[] calldata inputs, uint256[] calldata commitments, uint256 item) internal pure {
        uint256 same;
        assembly ("memory-safe") {
            let end := inputs.length
            if gt(end, commitments.length) { end := commitments.length }
            for {} lt(same, end) { same := add(same, 1) } {
                let place := shl(5, same)
                if sub(calldataload(add(inputs.offset, place)), calldataload(add(commitments.offset, place))) {
                    break
                }
            }
        }
        if (same != inputs.length) _requireCommitment(same, inputs[same], commitments, same, item);
    }

    /// @notice keccak256 of words as they are, without a length.
    function hashOf(uint256[] calldata words) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, words.offset, shl(5, words.length))
            hash := keccak256(data, shl(5, words.length))
        }
    }

    /// @dev `registry.chunks(modelDigest)[0]`, with nothing else decoded. The registry is trusted to answer with a list.
    function _firstChunk(IModelRegistry registry, bytes32 modelDigest) private view returns (address first) {
        bytes4 selector = IModelRegistry.chunks.selector;
        assembly ("memory-safe") {
            mstore(0x00, selector)
            mstore(0x04, modelDigest)
            // Memory: the list's offset, its length, its first item.
            let answer := mload(0x40)
            // The call is evaluated first.
            if iszero(and(gt(returndatasize(), 0x5f), staticcall(gas(), registry, 0x00, 0x24, answer, 0x60))) {
                returndatacopy(answer, 0x00, returndatasize())
                revert(answer, returndatasize())
            }
            first := mload(add(answer, 0x40))
        }
    }

    function _packing(uint256 cursor) private pure returns (uint256 words, uint256 full, uint256 last) {
        return KeyBlob.packing(KeyBlob.read(cursor + 0x20), KeyBlob.read(cursor + 0x40));
    }

    function _requireCommitment(
        uint256 i,
        bytes32 expected,
        uint256[] calldata commitments,
        uint256 index,
        uint256 item
    ) private pure {
        if (index >= commitments.length) {
            Fault.raise(
                item,
                abi.encodeWithSelector(
                    IInferenceOracle.InputCommitmentCountMismatch.selector, index + 1, commitments.length
                )
            );
        }
        bytes32 received = bytes32(commitments[index]);
        if (received == expected) return;
        Fault.raise(
            item, abi.encodeWithSelector(IInferenceOracle.InputCommitmentMismatch.selector, i, expected, received)
        );
    }

    function _requireHash(
        uint256 i,
        bytes32 expected,
        uint256[] calldata words,
        uint256 start,
        uint256 end,
        uint256 item
    ) private pure {
        if (words.length < end) {
            Fault.raise(
                item, abi.encodeWithSelector(IInferenceOracle.InputWordCountMismatch.selector, end, words.length)
            );
        }
        bytes32 computed = hashOf(words[start:end]);
        if (computed == expected) return;
        Fault.raise(item, abi.encodeWithSelector(IInferenceOracle.InputHashMismatch.selector, i, expected, computed));
    }
}
