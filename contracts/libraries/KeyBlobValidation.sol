// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {BN254} from "./BN254.sol";
import {KeyBlob} from "./KeyBlob.sol";

/// @title Validator of key blobs
/// @notice Refuses every blob that is not what `KeyBlob` says, or whose keys or wiring are unsafe. What readers of
/// registered blobs rely on is checked here and nowhere else.
library KeyBlobValidation {
    /// @dev Bound on each count in a blob, so that sums and products of counts cannot overflow.
    uint256 private constant MAX_COUNT = type(uint32).max;
    /// @dev A coverage is a bitmap in one word.
    uint256 private constant MAX_SLICES = 256;
    /// @dev Powers of ten up to 10^77 fit a word.
    uint256 private constant MAX_DECIMALS = 77;

    /// @notice What the header of a valid blob says of the model as a whole.
    struct Summary {
        bytes32 modelDigest;
        bytes32 setupDigest;
        uint256 slices;
        bool dev;
    }

    /// @dev What validation carries from one step to the next. `end` and the cursors are memory addresses in the blob.
    struct Validation {
        uint256 start;
        uint256 end;
        uint256 slices;
        uint256 tensors;
        uint256 coveragePolicy;
        uint256 vkHashes;
        uint256 tensorTable;
        bytes32 setupDigest;
        bool dev;
        /// Bitmap of the slices that put out outputs.
        uint256 outputSlices;
        /// For each tensor, how many slices read, write or put it out.
        uint256[] uses;
        BN254.GasCaps caps;
    }

    /// @notice Reverts unless the blob is well-formed and its keys are apart from all keys seen before.
    /// @param deltaUsers Who uses a delta, by its x coordinate (which a point shares with its negative only); the
    /// blob's are added. One key may serve several models, two keys never share a delta: a proof of one circuit could
    /// then be turned into one of the other. Not by setup: −α and −β would make another setup of the same powers.
    /// @param caps Gas for the precompiles; registration relies on the pairing to refuse points outside G2.
    function validate(
        bytes memory data,
        mapping(bytes32 deltaX => bytes32 vkHash) storage deltaUsers,
        BN254.GasCaps memory caps
    ) internal returns (Summary memory summary) {
        Validation memory v;
        v.caps = caps;
        uint256 record = _readHeader(v, data);
        summary.modelDigest = keccak256(_slice(v.start, record));

        uint256 wiring = KeyBlob.wirings(data);
        for (uint256 k = 0; k < v.slices; ++k) {
            uint256 next = _checkRecord(v, k, record, wiring);
            _checkKey(v, deltaUsers, k, record, next, bytes32(KeyBlob.read(v.vkHashes + 32 * k)));
            _checkWiring(v, k, wiring);
            wiring = KeyBlob.afterWiring(wiring);
            record = next;
        }
        if (record != v.end) revert IModelRegistry.BlobLengthMismatch(record - v.start, data.length);
        _checkUses(v);
        // A partial bundle's outputs are proven by the slices that put them out, or by nobody.
        if (v.coveragePolicy != 0 && v.outputSlices & ~v.coveragePolicy != 0) _malformed(v, v.start + 0x60);
        (summary.setupDigest, summary.slices, summary.dev) = (v.setupDigest, v.slices, v.dev);
    }

    // ------------------------------------------------------------------------------------------------ header

    /// @dev Checks the header's own values and that it ends within the blob. Returns the cursor just after it.
    function _readHeader(Validation memory v, bytes memory data) private pure returns (uint256 cursor) {
        v.start = KeyBlob.cursorOf(data, 0);
        v.end = v.start + data.length;
        if (data.length % 32 != 0) {
            revert IModelRegistry.BlobLengthMismatch(data.length - data.length % 32, data.length);
        }
        cursor = _advance(v, v.start, KeyBlob.HEADER_WORDS);

        _requireWord(v, v.start, uint256(KeyBlob.MODEL_TAG));
        v.slices = _count(v, v.start + 0x20);
        if (v.slices > MAX_SLICES) _malformed(v, v.start + 0x20);
        v.tensors = _count(v, v.start + 0x40);
        v.coveragePolicy = KeyBlob.read(v.start + 0x60);
        // Only slices that there are, and not all of them: that is written 0.
        if (v.coveragePolicy >= type(uint256).max >> (MAX_SLICES - v.slices)) _malformed(v, v.start + 0x60);
        v.setupDigest = bytes32(KeyBlob.read(v.start + 0x80));
        uint256 dev = KeyBlob.read(v.start + 0xa0);
        if (dev > 1) _malformed(v, v.start + 0xa0);
        v.dev = dev == 1;

        v.vkHashes = cursor;
        v.tensorTable = _advance(v, cursor, v.slices);
        cursor = _advance(v, v.tensorTable, KeyBlob.TENSOR_WORDS * v.tensors);
        v.uses = new uint256[](v.tensors);
        _checkTensors(v);
        for (uint256 k = 0; k < v.slices; ++k) {
            cursor = _advance(v, _advance(v, cursor, 1), _count(v, cursor));
            _advance(v, cursor, 1);
            uint256 groups = KeyBlob.read(cursor);
            if (groups > MAX_COUNT) _malformed(v, cursor);
            cursor = _advance(v, cursor, 1 + groups);
        }
    }

    /// @dev Inputs, at least one, then outputs, at least one, then boundaries; values within what readers rely on.
    function _checkTensors(Validation memory v) private pure {
        uint256 stage;
        bool hasOutput;
        for (uint256 t = 0; t < v.tensors; ++t) {
            uint256 cursor = _tensorCursor(v, t);
            uint256 kind = KeyBlob.read(cursor);
            if (kind < KeyBlob.KIND_PUBLIC_INPUT || kind > KeyBlob.KIND_BOUNDARY) _malformed(v, cursor);
            uint256 kindStage = kind <= KeyBlob.KIND_PRIVATE_INPUT ? 0 : kind;
            if (kindStage < stage || (t == 0 && kindStage != 0)) _malformed(v, cursor);
            stage = kindStage;
            if (kind == KeyBlob.KIND_OUTPUT) hasOutput = true;

            _count(v, cursor + 0x20);
            uint256 bits = KeyBlob.read(cursor + 0x40);
            if (bits == 0 || bits > KeyBlob.WORD_BITS) _malformed(v, cursor + 0x40);
            if (KeyBlob.read(cursor + 0x60) >> KeyBlob.WORD_BITS != 0) _malformed(v, cursor + 0x60);
            if (kind == KeyBlob.KIND_BOUNDARY) {
                _requireWord(v, cursor + 0x80, 0);
                _requireWord(v, cursor + 0xa0, 0);
            } else {
                // Zero where an input's features have scales of their own, which the layout digest binds.
                uint256 scale = KeyBlob.read(cursor + 0x80);
                if ((scale == 0 && kind == KeyBlob.KIND_OUTPUT) || scale > type(uint128).max) {
                    _malformed(v, cursor + 0x80);
                }
                if (KeyBlob.read(cursor + 0xa0) > MAX_DECIMALS) _malformed(v, cursor + 0xa0);
            }
        }
        if (!hasOutput) revert IModelRegistry.InvalidWiring(0, v.tensors, IModelRegistry.WiringFault.OutputMissing);
    }

    // ------------------------------------------------------------------------------------------------ key records

    /// @dev Checks a record's counts and layouts against the slice's wiring. Returns the cursor just after the record.
    function _checkRecord(Validation memory v, uint256 k, uint256 record, uint256 wiring)
        private
        pure
        returns (uint256 cursor)
    {
        cursor = _advance(v, record, 5);
        _requireWord(v, record, uint256(KeyBlob.VK_TAG));
        _requireWord(v, record + 0x20, KeyBlob.FORM);
        uint256 publics = KeyBlob.read(wiring);
        _requireWord(v, record + 0x40, publics);

        uint256 groupList = wiring + 32 * (1 + publics);
        uint256 groups = KeyBlob.read(groupList);
        _requireWord(v, record + 0x80, groups);
        _advance(v, cursor, 2 * groups);
        uint256 words;
        for (uint256 g = 0; g < groups; ++g) {
            uint256 index = KeyBlob.read(groupList + 32 * (1 + g));
            if (index >= v.tensors) {
                revert IModelRegistry.InvalidWiring(k, index, IModelRegistry.WiringFault.NotPublic);
            }
            uint256 tensor = _tensorCursor(v, index);
            (uint256 count, uint256 bits) = (KeyBlob.read(tensor + 0x20), KeyBlob.read(tensor + 0x40));
            if (KeyBlob.read(cursor) != count || KeyBlob.read(cursor + 0x20) != bits) {
                revert IModelRegistry.InvalidWiring(k, index, IModelRegistry.WiringFault.LayoutMismatch);
            }
            words += KeyBlob.wordsOf(count, bits);
            cursor += 0x40;
        }
        _requireWord(v, record + 0x60, words);

        _advance(v, cursor, 3);
        _requireWord(v, cursor, KeyBlob.CODES);
        _requireWord(v, cursor + 0x20, KeyBlob.CODE_CHALLENGE);
        _requireWord(v, cursor + 0x40, KeyBlob.CODE_FINGERPRINT);
        return _advance(v, cursor, 3 + KeyBlob.SETUP_WORDS + KeyBlob.DELTA_WORDS + KeyBlob.IC_WORDS);
    }

    /// @dev Checks a record's hash and points, and claims its deltas.
    function _checkKey(
        Validation memory v,
        mapping(bytes32 => bytes32) storage deltaUsers,
        uint256 k,
        uint256 record,
        uint256 end,
        bytes32 vkHash
    ) private {
        bytes32 computed = keccak256(_slice(record, end));
        if (computed != vkHash) revert IModelRegistry.VkHashMismatch(k, vkHash, computed);
        uint256 key = KeyBlob.points(record);

        computed = keccak256(abi.encodePacked(KeyBlob.SETUP_TAG, _slice(key, key + 32 * KeyBlob.SETUP_WORDS)));
        if (computed != v.setupDigest) revert IModelRegistry.SetupDigestMismatch(k, v.setupDigest, computed);

        _requireG1(v, key);
        for (uint256 ic = end - 32 * KeyBlob.IC_WORDS; ic < end; ic += 0x40) {
            _requireG1(v, ic);
        }
        // γ is the generator: the security argument knows no other.
        _requireWord(v, key + 0xc0, BN254.G2_X1);
        _requireWord(v, key + 0xe0, BN254.G2_X0);
        _requireWord(v, key + 0x100, BN254.G2_Y1);
        _requireWord(v, key + 0x120, BN254.G2_Y0);
        _requireG2(v, k, key + 0x40, 4);

        // With β = ±γ anybody proves anything: A = α ± L, B = β.
        if (KeyBlob.read(key) == 1 || _x(key + 0x40) == _generatorX()) revert IModelRegistry.UncontributedSetup();
        _claimDelta(deltaUsers, k, key, key + 0x140, vkHash);
        if (_x(key + 0x140) == _x(key + 0x1c0)) revert IModelRegistry.DeltaNotDistinct(k, _x(key + 0x1c0));
        _claimDelta(deltaUsers, k, key, key + 0x1c0, vkHash);
        // The same key twice in one model claims nothing twice, so it is refused by name.
        for (uint256 other = v.vkHashes; other < v.vkHashes + 32 * k; other += 32) {
            if (bytes32(KeyBlob.read(other)) == vkHash) revert IModelRegistry.DeltaNotDistinct(k, _x(key + 0x140));
        }
    }

    /// @dev A delta is not ±G2, which is γ, nor ±β, nor ± a delta of another key.
    function _claimDelta(
        mapping(bytes32 => bytes32) storage deltaUsers,
        uint256 k,
        uint256 key,
        uint256 cursor,
        bytes32 vkHash
    ) private {
        bytes32 delta = _x(cursor);
        bytes32 user = deltaUsers[delta];
        if (delta == _generatorX() || delta == _x(key + 0x40) || (user != 0 && user != vkHash)) {
            revert IModelRegistry.DeltaNotDistinct(k, delta);
        }
        deltaUsers[delta] = vkHash;
    }

    function _requireG1(Validation memory v, uint256 cursor) private pure {
        if (!BN254.isOnCurve(KeyBlob.read(cursor), KeyBlob.read(cursor + 0x20))) {
            revert IModelRegistry.InvalidG1((cursor - v.start) / 32);
        }
    }

    /// @dev Checks `n` G2 points in a row.
    function _requireG2(Validation memory v, uint256 k, uint256 cursor, uint256 n) private view {
        uint256[] memory input = new uint256[](6 * n);
        for (uint256 i = 0; i < n; ++i) {
            uint256 pair;
            assembly ("memory-safe") {
                pair := add(add(input, 0x20), mul(0xc0, i))
                mstore(pair, 1)
                mstore(add(pair, 0x20), 2)
                mcopy(add(pair, 0x40), add(cursor, shl(7, i)), 0x80)
            }
            if (!_isG2Canonical(pair + 0x40)) revert IModelRegistry.InvalidG2(k);
        }
        if (!BN254.areInSubgroup(input, BN254.pairingCap(v.caps, n))) revert IModelRegistry.InvalidG2(k);
    }

    /// @dev Whether four coordinates are below q, and not all 0, which is infinity.
    function _isG2Canonical(uint256 cursor) private pure returns (bool) {
        uint256 nonZero;
        for (uint256 end = cursor + 0x80; cursor < end; cursor += 0x20) {
            uint256 coordinate = KeyBlob.read(cursor);
            if (coordinate >= BN254.Q) return false;
            nonZero |= coordinate;
        }
        return nonZero != 0;
    }

    // ------------------------------------------------------------------------------------------------ wiring

    /// @dev Checks a slice's slots and word groups, in slice order: what a slice reads was written by an earlier one.
    function _checkWiring(Validation memory v, uint256 k, uint256 wiring) private pure {
        uint256 publics = KeyBlob.read(wiring);
        uint256 cursor = wiring + 0x20;
        uint256 end = cursor + 32 * publics;
        if (KeyBlob.read(cursor) != KeyBlob.ROLE_CONTEXT << 32) {
            revert IModelRegistry.InvalidWiring(k, 0, IModelRegistry.WiringFault.ContextSlotMissing);
        }
        cursor += 0x20;
        bool hasOwner = cursor < end && KeyBlob.read(cursor) == KeyBlob.ROLE_OWNER << 32;
        if (hasOwner) cursor += 0x20;

        bool readsPrivate;
        uint256 next; // Least tensor index allowed.
        for (; cursor < end; cursor += 0x20) {
            (uint256 role, uint256 index) = (KeyBlob.read(cursor) >> 32, KeyBlob.read(cursor) & type(uint32).max);
            if (index >= v.tensors) {
                revert IModelRegistry.InvalidWiring(k, index, IModelRegistry.WiringFault.RoleMismatch);
            }
            if (index < next) revert IModelRegistry.InvalidWiring(k, index, IModelRegistry.WiringFault.NotAscending);
            next = index + 1;
            uint256 kind = KeyBlob.read(_tensorCursor(v, index));
            if (role == KeyBlob.ROLE_READ && kind == KeyBlob.KIND_PRIVATE_INPUT) {
                readsPrivate = true;
            } else if (role == KeyBlob.ROLE_READ && kind == KeyBlob.KIND_BOUNDARY) {
                if (v.uses[index] == 0) {
                    revert IModelRegistry.InvalidWiring(k, index, IModelRegistry.WiringFault.ReadBeforeWrite);
                }
            } else if (role == KeyBlob.ROLE_WRITTEN && kind == KeyBlob.KIND_BOUNDARY) {
                if (v.uses[index] != 0) {
                    revert IModelRegistry.InvalidWiring(k, index, IModelRegistry.WiringFault.WrittenTwice);
                }
            } else {
                revert IModelRegistry.InvalidWiring(k, index, IModelRegistry.WiringFault.RoleMismatch);
            }
            v.uses[index] += 1;
        }
        if (readsPrivate != hasOwner) {
            revert IModelRegistry.InvalidWiring(k, 0, IModelRegistry.WiringFault.OwnerSlotMismatch);
        }

        next = 0;
        uint256 groups = KeyBlob.read(cursor);
        for (uint256 g = 1; g <= groups; ++g) {
            uint256 index = KeyBlob.read(cursor + 32 * g);
            if (index < next) revert IModelRegistry.InvalidWiring(k, index, IModelRegistry.WiringFault.NotAscending);
            next = index + 1;
            uint256 kind = KeyBlob.read(_tensorCursor(v, index));
            if (kind != KeyBlob.KIND_PUBLIC_INPUT && kind != KeyBlob.KIND_OUTPUT) {
                revert IModelRegistry.InvalidWiring(k, index, IModelRegistry.WiringFault.NotPublic);
            }
            if (kind == KeyBlob.KIND_OUTPUT && v.uses[index] != 0) {
                revert IModelRegistry.InvalidWiring(k, index, IModelRegistry.WiringFault.OutputTwice);
            }
            if (kind == KeyBlob.KIND_OUTPUT) v.outputSlices |= 1 << k;
            v.uses[index] += 1;
        }
    }

    /// @dev After all slices: every input is read, every output put out, every boundary written and read.
    function _checkUses(Validation memory v) private pure {
        for (uint256 t = 0; t < v.tensors; ++t) {
            uint256 kind = KeyBlob.read(_tensorCursor(v, t));
            // A boundary's first use is that it is written.
            if (v.uses[t] > (kind == KeyBlob.KIND_BOUNDARY ? 1 : 0)) continue;
            IModelRegistry.WiringFault fault = kind == KeyBlob.KIND_OUTPUT
                ? IModelRegistry.WiringFault.OutputMissing
                : kind == KeyBlob.KIND_BOUNDARY && v.uses[t] == 0
                    ? IModelRegistry.WiringFault.NeverWritten
                    : IModelRegistry.WiringFault.Unread;
            revert IModelRegistry.InvalidWiring(v.slices, t, fault);
        }
    }

    // ------------------------------------------------------------------------------------------------ helpers

    /// @dev Cursor `words` further on, which must not be beyond the blob's end.
    function _advance(Validation memory v, uint256 cursor, uint256 words) private pure returns (uint256) {
        cursor += 32 * words;
        if (cursor > v.end) revert IModelRegistry.BlobLengthMismatch(cursor - v.start, v.end - v.start);
        return cursor;
    }

    /// @dev A count between 1 and MAX_COUNT.
    function _count(Validation memory v, uint256 cursor) private pure returns (uint256 count) {
        count = KeyBlob.read(cursor);
        if (count == 0 || count > MAX_COUNT) _malformed(v, cursor);
    }

    function _requireWord(Validation memory v, uint256 cursor, uint256 expected) private pure {
        if (KeyBlob.read(cursor) != expected) _malformed(v, cursor);
    }

    function _malformed(Validation memory v, uint256 cursor) private pure {
        revert IModelRegistry.MalformedBlob((cursor - v.start) / 32, KeyBlob.read(cursor));
    }

    function _tensorCursor(Validation memory v, uint256 index) private pure returns (uint256) {
        return v.tensorTable + 32 * KeyBlob.TENSOR_WORDS * index;
    }

    /// @dev Hash of a G2 point's x coordinate.
    function _x(uint256 cursor) private pure returns (bytes32) {
        return keccak256(abi.encode(KeyBlob.read(cursor), KeyBlob.read(cursor + 0x20)));
    }

    function _generatorX() private pure returns (bytes32) {
        return keccak256(abi.encode(BN254.G2_X1, BN254.G2_X0));
    }

    /// @dev A copy of the memory between two cursors.
    function _slice(uint256 from, uint256 to) private pure returns (bytes memory data) {
        data = new bytes(to - from);
        assembly ("memory-safe") {
            mcopy(add(data, 0x20), from, sub(to, from))
        }
    }
}
