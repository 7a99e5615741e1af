// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";

/// @title Reader of key blobs
/// @notice A key blob is a model as data: a header whose keccak256 is the model's digest, then one verifying key
/// record a slice.
/// @dev Everything is 32-byte words, big-endian.
///
///     Header   MODEL_TAG, S slices, T tensors, coverage policy, setup digest, dev flag, layout digest
///              S × vkHash
///              T × (kind, count, bits, offset, scale, decimals)
///              S × (p, p slots, G, G tensor indexes)        slot = role·2^32 + tensor
///     Record   VK_TAG, 1, p, n, G, G × (count, bits), 2, 1, 2, α (2), β (4), γ (4: the generator), δ1 (4), δ2 (4), IC (6)
///
/// The layout digest hashes the tensors' names and shapes, which no contract reads: so that the model's digest binds them.
///
/// A slice's p slots and n words enter its equation through the challenge χ and the fingerprint F alone, so every key
/// has three IC points: IC_0, IC_χ and IC_F. The fixed words of a record say so: its form (1: with a first commitment),
/// then the number of scalars beside 1 and their codes, 1 for χ and 2 for F.
///
/// A cursor is a memory address inside the blob. Readers trust the blob: the registry validated it before it got a
/// digest.
library KeyBlob {
    bytes32 internal constant MODEL_TAG = keccak256("zkslice/model/v3");
    bytes32 internal constant VK_TAG = keccak256("zkslice/vk/v2");
    bytes32 internal constant SETUP_TAG = keccak256("zkslice/setup/v1");

    uint256 internal constant KIND_PUBLIC_INPUT = 1;
    uint256 internal constant KIND_PRIVATE_INPUT = 2;
    uint256 internal constant KIND_OUTPUT = 3;
    uint256 internal constant KIND_BOUNDARY = 4;

    uint256 internal constant ROLE_CONTEXT = 1;
    uint256 internal constant ROLE_OWNER = 2;
    uint256 internal constant ROLE_READ = 3;
    uint256 internal constant ROLE_WRITTEN = 4;

    uint256 internal constant FORM = 1;
    uint256 internal constant CODES = 2;
    uint256 internal constant CODE_CHALLENGE = 1;
    uint256 internal constant CODE_FINGERPRINT = 2;

    /// @dev Digits are packed into words of at most this many bits, which keeps every word below r.
    uint256 internal constant WORD_BITS = 253;

    uint256 internal constant HEADER_WORDS = 7;
    uint256 internal constant TENSOR_WORDS = 6;
    /// @dev Words of a key's points: α, β, γ (the setup's), then δ1, δ2, then IC.
    uint256 internal constant SETUP_WORDS = 10;
    uint256 internal constant DELTA_WORDS = 8;
    uint256 internal constant IC_WORDS = 6;

    /// @notice How a tensor is packed and what its integers mean: integer = digit − offset, real = integer·scale /
    /// 10^decimals. An input whose features have offsets and scales of their own has zero for both.
    struct Tensor {
        uint256 kind;
        uint256 count;
        uint256 bits;
        uint256 offset;
        uint256 scale;
        uint256 decimals;
    }

    /// @notice Contents of SSTORE2 contracts, concatenated.
    function load(address[] memory chunks) internal view returns (bytes memory blob) {
        assembly ("memory-safe") {
            blob := mload(0x40)
            let end := add(blob, 0x20)
            let chunk := add(chunks, 0x20)
            for { let last := add(chunk, shl(5, mload(chunks))) } lt(chunk, last) { chunk := add(chunk, 0x20) } {
                // The first byte of an SSTORE2 contract is STOP.
                let size := sub(extcodesize(mload(chunk)), 1)
                extcodecopy(mload(chunk), end, 1, size)
                end := add(end, size)
            }
            mstore(blob, sub(end, add(blob, 0x20)))
            mstore(0x40, and(add(end, 0x1f), not(0x1f)))
        }
    }

    /// @notice A model's blob for a verifier: `load(registry.chunksFor(verifier, modelDigest))`, without decoding in
    /// between.
    /// @dev Reverts as the registry does. The registry is trusted to answer with a well-formed array.
    function fetch(IModelRegistry registry, bytes4 verifier, bytes32 modelDigest)
        internal
        view
        returns (bytes memory blob)
    {
        bytes4 selector = IModelRegistry.chunksFor.selector;
        assembly ("memory-safe") {
            // Memory: the question, then over it the answer (offset, length, addresses), the blob's length and contents.
            let answer := mload(0x40)
            mstore(answer, selector)
            mstore(add(answer, 0x04), verifier)
            mstore(add(answer, 0x24), modelDigest)
            let answered := staticcall(gas(), registry, answer, 0x44, 0x00, 0x00)
            let size := returndatasize()
            returndatacopy(answer, 0, size)
            if iszero(answered) { revert(answer, size) }
            blob := add(answer, size)
            let end := add(blob, 0x20)
            for { let chunk := add(answer, 0x40) } lt(chunk, blob) { chunk := add(chunk, 0x20) } {
                let length := sub(extcodesize(mload(chunk)), 1)
                extcodecopy(mload(chunk), end, 1, length)
                end := add(end, length)
            }
            mstore(blob, sub(end, add(blob, 0x20)))
            mstore(0x40, and(add(end, 0x1f), not(0x1f)))
        }
    }

    /// @notice The word at a cursor.
    function read(uint256 cursor) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := mload(cursor)
        }
    }

    /// @notice Cursor of the blob's word with this index.
    function cursorOf(bytes memory blob, uint256 index) internal pure returns (uint256 cursor) {
        assembly ("memory-safe") {
            cursor := add(add(blob, 0x20), shl(5, index))
        }
    }

    /// @notice Digest of the α, β, γ that the model's keys share.
    function setupDigest(bytes memory blob) internal pure returns (bytes32) {
        return bytes32(read(cursorOf(blob, 4)));
    }

    /// @notice Number of slices.
    function sliceCount(bytes memory blob) internal pure returns (uint256) {
        return read(cursorOf(blob, 1));
    }

    /// @notice Number of tensors.
    function tensorCount(bytes memory blob) internal pure returns (uint256) {
        return read(cursorOf(blob, 2));
    }

    /// @notice Cursor of the vkHash of slice 0; the others follow.
    function vkHashes(bytes memory blob) internal pure returns (uint256) {
        return cursorOf(blob, HEADER_WORDS);
    }

    /// @notice Cursor of the record of tensor 0; the others follow.
    function tensors(bytes memory blob) internal pure returns (uint256) {
        unchecked {
            return cursorOf(blob, HEADER_WORDS + sliceCount(blob));
        }
    }

    /// @notice Cursor of the wiring of slice 0; the others follow.
    function wirings(bytes memory blob) internal pure returns (uint256) {
        unchecked {
            return cursorOf(blob, HEADER_WORDS + sliceCount(blob) + TENSOR_WORDS * tensorCount(blob));
        }
    }

    /// @notice Cursor just after a slice's wiring: the next slice's, or the first key record.
    function afterWiring(uint256 wiring) internal pure returns (uint256 next) {
        assembly ("memory-safe") {
            let groups := add(wiring, add(0x20, shl(5, mload(wiring))))
            next := add(groups, add(0x20, shl(5, mload(groups))))
        }
    }

    /// @notice Cursor of slice 0's key record, which comes after the wirings, the first of which is at `cursor`.
    function records(bytes memory blob, uint256 cursor) internal pure returns (uint256) {
        assembly ("memory-safe") {
            for { let lists := shl(1, mload(add(blob, 0x40))) } lists { lists := sub(lists, 1) } {
                // A wiring is two lists, each with its length before it.
                cursor := add(cursor, add(0x20, shl(5, mload(cursor))))
            }
        }
        return cursor;
    }

    /// @notice Cursor of a key record's α; its other points follow.
    function points(uint256 record) internal pure returns (uint256 cursor) {
        assembly ("memory-safe") {
            // Before it: VK_TAG to G, two words a group, the scalars' number and codes.
            cursor := add(add(record, 0x100), shl(6, mload(add(record, 0x80))))
        }
    }

    /// @notice Tensor `index` of the model.
    function tensor(bytes memory blob, uint256 index) internal pure returns (Tensor memory) {
        uint256 cursor;
        unchecked {
            cursor = tensors(blob) + 32 * TENSOR_WORDS * index;
        }
        return Tensor({
            kind: read(cursor),
            count: read(cursor + 0x20),
            bits: read(cursor + 0x40),
            offset: read(cursor + 0x60),
            scale: read(cursor + 0x80),
            decimals: read(cursor + 0xa0)
        });
    }

    /// @notice Number of words that `count` digits of `bits` bits fill.
    function wordsOf(uint256 count, uint256 bits) internal pure returns (uint256) {
        unchecked {
            uint256 digitsPerWord = WORD_BITS / bits;
            return (count + digitsPerWord - 1) / digitsPerWord;
        }
    }

    /// @notice How a tensor is packed.
    /// @return words Number of words.
    /// @return full Bits that every word but the last may have: those of its digits.
    /// @return last Bits that the last word may have, which may hold fewer digits.
    function packing(uint256 count, uint256 bits) internal pure returns (uint256 words, uint256 full, uint256 last) {
        unchecked {
            uint256 digitsPerWord = WORD_BITS / bits;
            words = (count + digitsPerWord - 1) / digitsPerWord;
            // slither-disable-next-line divide-before-multiply: whole digits only.
            full = digitsPerWord * bits;
            // slither-disable-next-line divide-before-multiply: whole digits only.
            last = (count - (words - 1) * digitsPerWord) * bits;
        }
    }
}
