// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "./interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {BN254} from "./libraries/BN254.sol";
import {KeyBlob} from "./libraries/KeyBlob.sol";

/// @title Verifier of bundles
/// @notice See `IBundleVerifier`.
/// @dev For a slice with public inputs x_1 … x_p (from the wiring: context, owner, commitments) and public words w_1 …
/// w_n:
///
///     h0 = keccak256(CHALLENGE_TAG ‖ vkHash ‖ p ‖ x ‖ n ‖ w ‖ C1),  χ = h0 mod r,  F = Σ e_j·χ^j with e = x ‖ w
///     L  = IC_0 + χ·IC_χ + F·IC_F
///     e(−A, B)·e(α, β)·e(L, γ)·e(C1, δ1)·e(C2, δ2) = 1
///
/// χ hashes x and w; and a slice whose circuit has other x or w (wires under C1) has another F, but for at most p + n
/// values of χ. So two scalars fix them all.
///
/// The equations of all slices of all bundles are checked at once, to the powers ρ_0 = 1 and ρ_i = keccak256(seed ‖ i)
/// mod r: i counts the slices of all bundles, proven or not, from the first one proven; the seed hashes every model
/// digest, coverage, h0, A, B, C1 and C2, so that nobody knows a ρ before all that it multiplies is fixed. Equal second
/// arguments share a pairing: β and γ in neighbouring models of one setup, the deltas in neighbouring bundles of one
/// model. So n bundles of one model of S slices take n·S + 2·S + 2 pairings.
///
/// Three passes: which models there are, and what their blobs say of a bundle (`_load`); every bundle is checked and
/// hashed (`_hash`); the curve (`_combine`).
contract BundleVerifier is IBundleVerifier {
    bytes32 private constant CHALLENGE_TAG = keccak256("zkslice/challenge/v2");
    bytes32 private constant BATCH_TAG = keccak256("zkslice/batch/v3");

    /// @dev `BN254.R` and `BN254.Q` once more: inline assembly takes literal constants only.
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    uint256 private constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    /// @dev Where the addition of points is. `BundleVerifier0x09` is this contract with another value here.
    uint256 private constant ECADD = 6;

    // A bundle's only encoding, in bytes from its head: seven words, then the arrays, each after its length: words,
    // commitments, proofs.
    uint256 private constant BUNDLE_CONTEXT = 0x20;
    uint256 private constant BUNDLE_OWNER = 0x40;
    uint256 private constant BUNDLE_COVERAGE = 0x60;
    uint256 private constant BUNDLE_WORDS_OFFSET = 0x80;
    uint256 private constant BUNDLE_COMMITMENTS_OFFSET = 0xa0;
    uint256 private constant BUNDLE_PROOFS_OFFSET = 0xc0;
    uint256 private constant BUNDLE_WORDS_LENGTH = 0xe0;
    uint256 private constant BUNDLE_WORDS = 0x100;

    // A slice's proof: A (2 words), B (4), C1 (2), C2 (2).
    uint256 private constant PROOF_WORDS = 10;
    uint256 private constant PROOF_BYTES = 0x140;
    uint256 private constant PROOF_B = 0x40;
    uint256 private constant PROOF_C1 = 0xc0;
    uint256 private constant PROOF_C2 = 0x100;

    // A slice's key, from its α on.
    uint256 private constant KEY_BETA = 0x40;
    uint256 private constant KEY_GAMMA = 0xc0;
    uint256 private constant KEY_DELTA_1 = 0x140;
    uint256 private constant KEY_DELTA_2 = 0x1c0;
    uint256 private constant KEY_IC_0 = 0x240;
    uint256 private constant KEY_IC_CHALLENGE = 0x280;
    uint256 private constant KEY_IC_FINGERPRINT = 0x2c0;
    uint256 private constant KEY_BYTES = 0x300;

    // The pairing precompile's input: pairs of a G1 point (2 words) and a G2 point (4).
    uint256 private constant PAIR_BYTES = 0xc0;
    uint256 private constant PAIR_G2 = 0x40;

    // Three layouts of raw memory, by their offsets: structs would be allocated anew wherever one is named, and
    // assembly would not know the names.

    // All bundles. Calldata offset of the list of their offsets, which count from here; how many there are; the first
    // run. The hash of the transcript; the equation whose ρ is 1, from which they are counted. While hashing: where the
    // next bundle's part of the transcript and its equations go. While combining: where the next pair goes, and of the
    // setup at hand the pair of Σρ·L, whether something is in it, and Σρ.
    uint256 private constant BATCH_BASE = 0x00;
    uint256 private constant BATCH_BUNDLES = 0x20;
    uint256 private constant BATCH_FIRST_RUN = 0x40;
    uint256 private constant BATCH_SEED = 0x60;
    uint256 private constant BATCH_FIRST_EQUATION = 0x80;
    uint256 private constant BATCH_NEXT_PART = 0xa0;
    uint256 private constant BATCH_NEXT_EQUATION = 0xc0;
    uint256 private constant BATCH_NEXT_PAIR = 0xe0;
    uint256 private constant BATCH_L = 0x100;
    uint256 private constant BATCH_L_BEGUN = 0x120;
    uint256 private constant BATCH_RHO_SUM = 0x140;
    uint256 private constant BATCH_BYTES = 0x160;

    // A run: neighbouring bundles of one model, and what their checks need of it. Index just after the last bundle; the
    // next run, or 0; the blob. How many words and commitments a bundle has, and where the lengths of its commitments
    // and proofs are, from its head. How many slices there are, and the bitmap of all. For each tensor its place, the
    // public ones' once more, and their end: see `_placeTensors`. The equations and their end: for each bundle one a
    // slice, and how many bytes these are. Cursors of slice 0's vkHash, wiring and key record.
    uint256 private constant RUN_END = 0x00;
    uint256 private constant RUN_NEXT = 0x20;
    uint256 private constant RUN_BLOB = 0x40;
    uint256 private constant RUN_WORD_COUNT = 0x60;
    uint256 private constant RUN_COMMITMENT_COUNT = 0x80;
    uint256 private constant RUN_COMMITMENTS_LENGTH = 0xa0;
    uint256 private constant RUN_PROOFS_LENGTH = 0xc0;
    uint256 private constant RUN_SLICES = 0xe0;
    uint256 private constant RUN_ALL = 0x100;
    uint256 private constant RUN_PLACES = 0x120;
    uint256 private constant RUN_PUBLICS = 0x140;
    uint256 private constant RUN_PUBLICS_END = 0x160;
    uint256 private constant RUN_EQUATIONS = 0x180;
    uint256 private constant RUN_EQUATIONS_END = 0x1a0;
    uint256 private constant RUN_STRIDE = 0x1c0;
    uint256 private constant RUN_VK_HASHES = 0x1e0;
    uint256 private constant RUN_WIRING = 0x200;
    uint256 private constant RUN_RECORD = 0x220;
    uint256 private constant RUN_BYTES = 0x240;

    // A slice's equation on its way from hashing to the pairing: α in its key record, or 0 if the bundle does not cover
    // the slice; its proof in the transcript; χ and F. In the first equation of a slice, at last, Σρ, Σρ·χ and Σρ·F.
    uint256 private constant EQUATION_KEY = 0x00;
    uint256 private constant EQUATION_PROOF = 0x20;
    uint256 private constant EQUATION_RHO = 0x40;
    uint256 private constant EQUATION_CHALLENGE = 0x60;
    uint256 private constant EQUATION_FINGERPRINT = 0x80;
    uint256 private constant EQUATION_BYTES = 0xa0;

    // Fields of a tensor's place.
    uint256 private constant PLACE_START = 0xffffffffffffffffffffffffffffffff;
    uint256 private constant PLACE_SIZE_SHIFT = 128;
    uint256 private constant PLACE_SIZE = 0xffffffffffff;
    uint256 private constant PLACE_FULL_SHIFT = 240;
    uint256 private constant PLACE_LAST_SHIFT = 248;

    /// @inheritdoc IBundleVerifier
    IModelRegistry public immutable registry;
    /// @inheritdoc IBundleVerifier
    bytes4 public immutable selector;

    // Gas forwarded to the precompiles. A failing precompile burns what it is given, so it is not given everything.
    uint256 private immutable _ecAddGas;
    uint256 private immutable _ecMulGas;
    uint256 private immutable _pairingBaseGas;
    uint256 private immutable _pairingPerPairGas;

    /// @param selector_ Under which the registry will have it. Other than by it the registry tells it nothing.
    constructor(IModelRegistry registry_, bytes4 selector_) {
        if (address(registry_).code.length == 0) revert InvalidRegistry(address(registry_));
        (registry, selector) = (registry_, selector_);
        BN254.GasCaps memory caps = BN254.selfTest(address(uint160(ECADD)));
        _ecAddGas = caps.ecAdd;
        _ecMulGas = caps.ecMul;
        _pairingBaseGas = caps.pairingBase;
        _pairingPerPairGas = caps.pairingPerPair;
    }

    /// @inheritdoc IBundleVerifier
    function verifyBundle(Bundle calldata) external view {
        // After the selector, a list of one offset.
        _verify(0x04, 1);
    }

    /// @inheritdoc IBundleVerifier
    function verifyBatch(Bundle[] calldata bundles) external view {
        uint256 n = bundles.length;
        if (n == 0) revert EmptyBatch();
        uint256 base;
        assembly ("memory-safe") {
            base := bundles.offset
        }
        // After the selector, the array's offset and its length.
        if (base != 0x44) revert NonCanonicalCalldata();
        _verify(base, n);
    }

    /// @inheritdoc IBundleVerifier
    function findInvalid(Bundle[] calldata bundles) external view returns (uint256[] memory indexes) {
        indexes = new uint256[](bundles.length);
        uint256 count;
        for (uint256 i = 0; i < bundles.length; ++i) {
            // slither-disable-next-line calls-loop: itself; off chain only.
            try this.verifyBundle(bundles[i]) {}
            catch {
                indexes[count++] = i;
            }
        }
        assembly ("memory-safe") {
            mstore(indexes, count)
        }
    }

    function _verify(uint256 base, uint256 n) private view {
        uint256 batch = _allocate(BATCH_BYTES);
        assembly ("memory-safe") {
            mstore(add(batch, BATCH_BASE), base)
            mstore(add(batch, BATCH_BUNDLES), n)
        }
        _load(batch, base, n);
        _hash(batch, base, n);
        _combine(batch);
    }

    function _allocate(uint256 size) private pure returns (uint256 place) {
        assembly ("memory-safe") {
            place := mload(0x40)
            mstore(0x40, add(place, size))
        }
    }

    function _get(uint256 place) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := mload(place)
        }
    }

    function _calldataAt(uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(offset)
        }
    }

    // ------------------------------------------------------------------------------------------------ models

    /// @dev Finds the runs and loads their models. The bundles are not checked yet: whatever stands where a digest
    /// should be is taken for one.
    function _load(uint256 batch, uint256 base, uint256 n) private view {
        unchecked {
            // Where the next run is to be noted, and the run at hand.
            uint256 link = batch + BATCH_FIRST_RUN;
            uint256 run;
            bytes32 digest;
            for (uint256 i = 0; i < n; ++i) {
                bytes32 last = digest;
                assembly ("memory-safe") {
                    digest := calldataload(add(base, calldataload(add(base, shl(5, i)))))
                }
                if (digest != last || run == 0) {
                    run = _addRun(link, digest);
                    link = run + RUN_NEXT;
                }
                assembly ("memory-safe") {
                    mstore(add(run, RUN_END), add(i, 1))
                }
            }
        }
    }

    /// @dev Calldata offset of the head of this bundle, by what calldata says.
    function _headOf(uint256 batch, uint256 index) private pure returns (uint256 head) {
        assembly ("memory-safe") {
            head := mload(add(batch, BATCH_BASE))
            head := add(head, calldataload(add(head, shl(5, index))))
        }
    }

    function _blobOf(uint256 run) private pure returns (bytes memory blob) {
        assembly ("memory-safe") {
            blob := mload(add(run, RUN_BLOB))
        }
    }

    function _addRun(uint256 link, bytes32 digest) private view returns (uint256 run) {
        run = _allocate(RUN_BYTES);
        assembly ("memory-safe") {
            mstore(link, run)
            mstore(add(run, RUN_NEXT), 0)
        }
        // slither-disable-next-line calls-loop: the registry is trusted.
        _layOut(run, KeyBlob.fetch(registry, selector, digest));
    }

    /// @dev Notes what every bundle of the model needs of its blob.
    function _layOut(uint256 run, bytes memory blob) private pure {
        uint256 slices = KeyBlob.sliceCount(blob);
        uint256 vkHashes = KeyBlob.vkHashes(blob);
        uint256 wiring = KeyBlob.wirings(blob);
        uint256 record = KeyBlob.records(blob, wiring);
        assembly ("memory-safe") {
            mstore(add(run, RUN_BLOB), blob)
            mstore(add(run, RUN_SLICES), slices)
            mstore(add(run, RUN_ALL), shr(sub(256, slices), not(0)))
            mstore(add(run, RUN_STRIDE), mul(slices, EQUATION_BYTES))
            mstore(add(run, RUN_VK_HASHES), vkHashes)
            mstore(add(run, RUN_WIRING), wiring)
            mstore(add(run, RUN_RECORD), record)
        }
        _placeTensors(run, KeyBlob.tensors(blob), KeyBlob.tensorCount(blob));
    }

    /// @dev A tensor's place, from low to high: where it begins among the words or among the commitments, in bytes (128
    /// bits); for a public tensor the bytes of its words (112), and how many bits a word may have, any but the last (8)
    /// and the last (8).
    function _placeTensors(uint256 run, uint256 tensor, uint256 tensors) private pure {
        unchecked {
            uint256 words;
            uint256 commitments;
            uint256 place = _allocate(64 * tensors);
            uint256 end = place + 32 * tensors;
            uint256 publics = end;
            assembly ("memory-safe") {
                mstore(add(run, RUN_PLACES), place)
                mstore(add(run, RUN_PUBLICS), publics)
            }
            for (; place != end; place += 32) {
                // The public kinds are odd.
                if (KeyBlob.read(tensor) & 1 == 0) {
                    assembly ("memory-safe") {
                        mstore(place, commitments)
                    }
                    commitments += 32;
                } else {
                    (uint256 n, uint256 full, uint256 last) =
                        KeyBlob.packing(KeyBlob.read(tensor + 0x20), KeyBlob.read(tensor + 0x40));
                    n *= 32;
                    assembly ("memory-safe") {
                        let value :=
                            or(
                                or(shl(PLACE_LAST_SHIFT, last), shl(PLACE_FULL_SHIFT, full)),
                                or(shl(PLACE_SIZE_SHIFT, n), words)
                            )
                        mstore(place, value)
                        mstore(publics, value)
                    }
                    publics += 32;
                    words += n;
                }
                tensor += 32 * KeyBlob.TENSOR_WORDS;
            }
            assembly ("memory-safe") {
                mstore(add(run, RUN_PUBLICS_END), publics)
                mstore(add(run, RUN_WORD_COUNT), shr(5, words))
                mstore(add(run, RUN_COMMITMENT_COUNT), shr(5, commitments))
                words := add(words, BUNDLE_WORDS)
                mstore(add(run, RUN_COMMITMENTS_LENGTH), words)
                mstore(add(run, RUN_PROOFS_LENGTH), add(add(words, 0x20), commitments))
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ checks

    /// @dev Checks all but ranges of words and commitments, and points: that the bundle begins at `head` and its arrays
    /// follow one another, with as many words and commitments as the model has and ten words a slice proven; context,
    /// owner and coverage.
    /// @return covered Bitmap of the slices to prove, all of them where the bundle says 0.
    /// @return slices How many these are.
    function _requireForm(uint256 batch, uint256 run, uint256 index, uint256 head)
        private
        pure
        returns (uint256 covered, uint256 slices)
    {
        uint256 wrong;
        assembly ("memory-safe") {
            let base := mload(add(batch, BATCH_BASE))
            let commitments := mload(add(run, RUN_COMMITMENTS_LENGTH))
            let proofs := mload(add(run, RUN_PROOFS_LENGTH))
            wrong := xor(calldataload(add(base, shl(5, index))), sub(head, base))
            wrong := or(wrong, xor(calldataload(add(head, BUNDLE_WORDS_OFFSET)), BUNDLE_WORDS_LENGTH))
            wrong := or(wrong, xor(calldataload(add(head, BUNDLE_COMMITMENTS_OFFSET)), commitments))
            wrong := or(wrong, xor(calldataload(add(head, BUNDLE_PROOFS_OFFSET)), proofs))
            wrong := or(wrong, xor(calldataload(add(head, BUNDLE_WORDS_LENGTH)), mload(add(run, RUN_WORD_COUNT))))
            wrong := or(wrong, xor(calldataload(add(head, commitments)), mload(add(run, RUN_COMMITMENT_COUNT))))

            // Zero less one is the greatest word.
            wrong := or(wrong, iszero(lt(sub(calldataload(add(head, BUNDLE_CONTEXT)), 1), sub(R, 1))))
            wrong := or(wrong, iszero(lt(calldataload(add(head, BUNDLE_OWNER)), R)))

            let all := mload(add(run, RUN_ALL))
            covered := calldataload(add(head, BUNDLE_COVERAGE))
            wrong := or(wrong, iszero(lt(covered, all)))
            switch covered
            case 0 {
                covered := all
                slices := mload(add(run, RUN_SLICES))
            }
            default {
                for { let bits := covered } bits { bits := and(bits, sub(bits, 1)) } { slices := add(slices, 1) }
            }
            wrong := or(wrong, xor(calldataload(add(head, proofs)), mul(slices, PROOF_WORDS)))
        }
        if (wrong != 0) _explainForm(batch, run, index, head, slices);
    }

    /// @dev Names what is wrong. Counts that are not the model's are told from an encoding that is right for no counts.
    function _explainForm(uint256 batch, uint256 run, uint256 index, uint256 head, uint256 slices) private pure {
        unchecked {
            uint256 words = _calldataAt(head + BUNDLE_WORDS_LENGTH);
            bool canonical = _headOf(batch, index) == head && words >> 32 == 0;
            uint256 offset = BUNDLE_WORDS + 32 * words;
            uint256 commitments = _calldataAt(head + offset);
            canonical =
                canonical && commitments >> 32 == 0 && _calldataAt(head + BUNDLE_WORDS_OFFSET) == BUNDLE_WORDS_LENGTH;
            canonical = canonical && _calldataAt(head + BUNDLE_COMMITMENTS_OFFSET) == offset;
            offset += 32 * (1 + commitments);
            if (!canonical || _calldataAt(head + BUNDLE_PROOFS_OFFSET) != offset) revert NonCanonicalCalldata();

            uint256 word = _calldataAt(head + BUNDLE_CONTEXT);
            if (word == 0 || word >= R) revert ContextOutOfRange(index, word);
            word = _calldataAt(head + BUNDLE_OWNER);
            if (word >= R) revert OwnerOutOfRange(index, word);
            word = _calldataAt(head + BUNDLE_COVERAGE);
            if (word >= _get(run + RUN_ALL)) revert CoverageOutOfRange(index, word, _get(run + RUN_SLICES));

            uint256 expected = PROOF_WORDS * slices;
            word = _calldataAt(head + offset);
            if (word != expected) revert ProofLengthMismatch(index, expected, word);
            if (words != _get(run + RUN_WORD_COUNT)) {
                revert WordCountMismatch(index, _get(run + RUN_WORD_COUNT), words);
            }
            revert CommitmentCountMismatch(index, _get(run + RUN_COMMITMENT_COUNT), commitments);
        }
    }

    /// @dev Each word has no bits but those of its digits, each commitment is below r.
    function _requireRanges(uint256 run, uint256 index, uint256 head) private pure {
        bool outOfRange;
        assembly ("memory-safe") {
            let end := mload(add(run, RUN_PUBLICS_END))
            for { let cursor := mload(add(run, RUN_PUBLICS)) } lt(cursor, end) { cursor := add(cursor, 0x20) } {
                let place := mload(cursor)
                let size := and(shr(PLACE_SIZE_SHIFT, place), PLACE_SIZE)
                let word := add(add(head, BUNDLE_WORDS), and(place, PLACE_START))
                let last := sub(add(word, size), 0x20)
                if gt(size, 0x20) {
                    let union := 0
                    for { let eights := add(word, and(sub(last, word), not(0xff))) } lt(word, eights) {
                        word := add(word, 0x100)
                    } {
                        union := or(union, or(calldataload(word), calldataload(add(word, 0x20))))
                        union := or(union, or(calldataload(add(word, 0x40)), calldataload(add(word, 0x60))))
                        union := or(union, or(calldataload(add(word, 0x80)), calldataload(add(word, 0xa0))))
                        union := or(union, or(calldataload(add(word, 0xc0)), calldataload(add(word, 0xe0))))
                    }
                    for {} lt(word, last) { word := add(word, 0x20) } { union := or(union, calldataload(word)) }
                    outOfRange := or(outOfRange, shr(and(shr(PLACE_FULL_SHIFT, place), 0xff), union))
                }
                outOfRange := or(outOfRange, shr(shr(PLACE_LAST_SHIFT, place), calldataload(last)))
            }
            end := add(head, mload(add(run, RUN_PROOFS_LENGTH)))
            let commitment := add(add(head, mload(add(run, RUN_COMMITMENTS_LENGTH))), 0x20)
            for {} lt(commitment, end) { commitment := add(commitment, 0x20) } {
                outOfRange := or(outOfRange, iszero(lt(calldataload(commitment), R)))
            }
        }
        if (outOfRange) _explainRanges(run, index, head);
    }

    /// @dev Names the first word or commitment out of range.
    function _explainRanges(uint256 run, uint256 index, uint256 head) private pure {
        uint256 i;
        uint256 publicsEnd = _get(run + RUN_PUBLICS_END);
        for (uint256 cursor = _get(run + RUN_PUBLICS); cursor != publicsEnd; cursor += 32) {
            uint256 place = _get(cursor);
            uint256 end = i + ((place >> PLACE_SIZE_SHIFT) & PLACE_SIZE) / 32;
            for (; i < end; ++i) {
                uint256 word = _calldataAt(head + BUNDLE_WORDS + 32 * i);
                uint256 maxBits = i + 1 == end ? place >> PLACE_LAST_SHIFT : (place >> PLACE_FULL_SHIFT) & 0xff;
                if (word >> maxBits != 0) revert WordOutOfRange(index, i, word, maxBits);
            }
        }
        uint256 commitments = head + _get(run + RUN_COMMITMENTS_LENGTH) + 32;
        for (i = 0; i < _get(run + RUN_COMMITMENT_COUNT); ++i) {
            uint256 commitment = _calldataAt(commitments + 32 * i);
            if (commitment >= R) revert CommitmentOutOfRange(index, i, commitment);
        }
    }

    /// @dev After a precompile failed: names the first proof with a coordinate ≥ q or a G1 point off the curve. The
    /// precompiles see to it, but say nothing.
    function _explain(uint256 batch) private pure {
        uint256 n = _get(batch + BATCH_BUNDLES);
        for (uint256 index = 0; index < n; ++index) {
            uint256 head = _headOf(batch, index);
            uint256[] calldata proofs;
            assembly ("memory-safe") {
                let length := add(head, calldataload(add(head, BUNDLE_PROOFS_OFFSET)))
                proofs.offset := add(length, 0x20)
                proofs.length := calldataload(length)
            }
            for (uint256 i = 0; i < proofs.length; i += 2) {
                (uint256 x, uint256 y) = (proofs[i], proofs[i + 1]);
                if (x >= Q) revert CoordinateOutOfRange(index, i, x);
                if (y >= Q) revert CoordinateOutOfRange(index, i + 1, y);
                bool ofB = i % PROOF_WORDS == 2 || i % PROOF_WORDS == 4;
                if (!ofB && x | y != 0 && !BN254.isOnCurve(x, y)) revert PointNotOnCurve(index, i);
            }
        }
        revert PrecompileFailed();
    }

    // ------------------------------------------------------------------------------------------------ hashing

    /// @dev Checks and hashes every bundle. The transcript: BATCH_TAG, the number of bundles, then for each its model's
    /// digest, the bitmap of the slices proven, their h0s, and their proofs with −A in the place of A.
    function _hash(uint256 batch, uint256 base, uint256 n) private pure {
        unchecked {
            (uint256 transcript, uint256 equations) = _begin(batch, base, n);
            uint256 head = base + 32 * n;
            uint256 index;
            for (uint256 run = _get(batch + BATCH_FIRST_RUN); index != n; run = _get(run + RUN_NEXT)) {
                assembly ("memory-safe") {
                    mstore(add(run, RUN_EQUATIONS), mload(add(batch, BATCH_NEXT_EQUATION)))
                }
                uint256 end = _get(run + RUN_END);
                do {
                    head = _hashBundle(batch, run, index, head);
                } while (++index != end);
                assembly ("memory-safe") {
                    mstore(add(run, RUN_EQUATIONS_END), mload(add(batch, BATCH_NEXT_EQUATION)))
                }
            }
            if (head != msg.data.length) revert NonCanonicalCalldata();
            assembly ("memory-safe") {
                mstore(add(batch, BATCH_SEED), keccak256(transcript, sub(equations, transcript)))
                for {} iszero(mload(add(equations, EQUATION_KEY))) {} { equations := add(equations, EQUATION_BYTES) }
                mstore(add(batch, BATCH_FIRST_EQUATION), equations)
            }
        }
    }

    /// @dev Begins the transcript, and makes room for it and, just after it, for the equations.
    function _begin(uint256 batch, uint256 base, uint256 n)
        private
        pure
        returns (uint256 transcript, uint256 equations)
    {
        (uint256 slices, uint256 size) = _measure(batch, base, n);
        bytes32 tag = BATCH_TAG;
        assembly ("memory-safe") {
            transcript := mload(0x40)
            equations := add(add(transcript, 0x40), add(shl(6, n), mul(slices, add(0x20, PROOF_BYTES))))
            calldatacopy(equations, calldatasize(), size) // zeros: no slice is covered
            mstore(0x40, add(equations, size))
            mstore(transcript, tag)
            mstore(add(transcript, 0x20), n)
            mstore(add(batch, BATCH_NEXT_PART), add(transcript, 0x40))
            mstore(add(batch, BATCH_NEXT_EQUATION), equations)
        }
    }

    /// @return slices How many proofs calldata has room for, once each bundle has what its model asks for. If one of
    /// them has anything else, it does not pass its checks, and it does not matter what was written where until then.
    /// @return equations Bytes of all equations.
    function _measure(uint256 batch, uint256 base, uint256 n) private pure returns (uint256 slices, uint256 equations) {
        unchecked {
            uint256 others = base;
            uint256 index;
            for (uint256 run = _get(batch + BATCH_FIRST_RUN); index != n; run = _get(run + RUN_NEXT)) {
                uint256 bundles = _get(run + RUN_END) - index;
                // An offset before the head, and the proofs' length.
                others += bundles * (_get(run + RUN_PROOFS_LENGTH) + 0x40);
                equations += bundles * _get(run + RUN_STRIDE);
                index += bundles;
            }
            if (others < msg.data.length) slices = (msg.data.length - others) / PROOF_BYTES;
        }
    }

    /// @dev Checks the bundle whose head is here, and writes its part of the transcript and its equations.
    /// @return Where the next one's head is.
    function _hashBundle(uint256 batch, uint256 run, uint256 index, uint256 head) private pure returns (uint256) {
        (uint256 covered, uint256 slices) = _requireForm(batch, run, index, head);
        _requireRanges(run, index, head);
        uint256 h0;
        uint256 proof;
        uint256 equation;
        uint256 next;
        assembly ("memory-safe") {
            h0 := mload(add(batch, BATCH_NEXT_PART))
            equation := mload(add(batch, BATCH_NEXT_EQUATION))
            let size := mul(slices, PROOF_BYTES)
            let proofs := add(add(head, mload(add(run, RUN_PROOFS_LENGTH))), 0x20)
            next := add(proofs, size)
            mstore(h0, calldataload(head))
            mstore(add(h0, 0x20), covered)
            h0 := add(h0, 0x40)
            proof := add(h0, shl(5, slices))
            calldatacopy(proof, proofs, size)
            mstore(add(batch, BATCH_NEXT_PART), add(proof, size))
            mstore(add(batch, BATCH_NEXT_EQUATION), add(equation, mload(add(run, RUN_STRIDE))))
        }
        _hashSlices(run, head, covered, h0, proof, equation);
        return next;
    }

    /// @dev Writes the h0s and the equations of the slices covered.
    function _hashSlices(uint256 run, uint256 head, uint256 covered, uint256 h0, uint256 proof, uint256 equation)
        private
        pure
    {
        unchecked {
            uint256 vkHash = _get(run + RUN_VK_HASHES);
            uint256 wiring = _get(run + RUN_WIRING);
            uint256 record = _get(run + RUN_RECORD);
            while (true) {
                uint256 key = KeyBlob.points(record);
                if (covered & 1 != 0) {
                    assembly ("memory-safe") {
                        mstore(add(equation, EQUATION_KEY), key)
                    }
                    _hashSlice(run, head, vkHash, h0, proof, equation, wiring);
                    h0 += 32;
                    proof += PROOF_BYTES;
                }
                covered >>= 1;
                if (covered == 0) return;
                equation += EQUATION_BYTES;
                vkHash += 32;
                wiring = KeyBlob.afterWiring(wiring);
                record = key + KEY_BYTES;
            }
        }
    }

    /// @dev Writes a slice's h0 and the rest of its equation, and negates A.
    function _hashSlice(
        uint256 run,
        uint256 head,
        uint256 vkHash,
        uint256 h0,
        uint256 proof,
        uint256 equation,
        uint256 wiring
    ) private pure {
        uint256 end = _writePreimage(run, head, vkHash, proof, wiring);
        assembly ("memory-safe") {
            mstore(add(equation, EQUATION_PROOF), proof)
            let preimage := mload(0x40)
            let challenge := keccak256(preimage, sub(end, preimage))
            mstore(h0, challenge)
            challenge := mod(challenge, R)

            // F = (e_1 + (e_2 + …)·χ)·χ with e = x ‖ w: x moves up by a word, to where w begins. From the last one on,
            // first those beyond a multiple of four, then four at a time. The sums are below 2^256: terms and r are
            // below 2^254.
            let e := add(preimage, 0x80)
            mcopy(e, add(preimage, 0x60), shl(5, mload(wiring)))
            end := sub(end, 0x40)
            let fingerprint := 0
            for { let fours := add(e, and(sub(end, e), not(0x7f))) } gt(end, fours) {} {
                end := sub(end, 0x20)
                fingerprint := mulmod(add(fingerprint, mload(end)), challenge, R)
            }
            for {} gt(end, e) {} {
                end := sub(end, 0x80)
                fingerprint := mulmod(add(fingerprint, mload(add(end, 0x60))), challenge, R)
                fingerprint := mulmod(add(fingerprint, mload(add(end, 0x40))), challenge, R)
                fingerprint := mulmod(add(fingerprint, mload(add(end, 0x20))), challenge, R)
                fingerprint := mulmod(add(fingerprint, mload(end)), challenge, R)
            }
            mstore(add(equation, EQUATION_CHALLENGE), challenge)
            mstore(add(equation, EQUATION_FINGERPRINT), fingerprint)

            // −(x, y) = (x, (q − y) mod q): the outer reduction keeps (0, 0) what it is. Where y ≥ q it is 2^256 − 1,
            // which the precompiles refuse.
            let y := mload(add(proof, 0x20))
            mstore(add(proof, 0x20), or(mod(sub(Q, y), Q), sub(lt(y, Q), 1)))
        }
    }

    /// @dev Writes what h0 hashes from the free memory pointer on, and returns where it ends. It is scratch.
    function _writePreimage(uint256 run, uint256 head, uint256 vkHash, uint256 proof, uint256 wiring)
        private
        pure
        returns (uint256 end)
    {
        bytes32 tag = CHALLENGE_TAG;
        // Memory map, in words:
        //   0 CHALLENGE_TAG   1 vkHash   2 p   3 x (p words)   3+p n   4+p w (n words)   4+p+n C1 (2 words)
        assembly ("memory-safe") {
            end := mload(0x40)
            mstore(end, tag)
            mstore(add(end, 0x20), mload(vkHash))
            let count := mload(wiring)
            mstore(add(end, 0x40), count)
            end := add(end, 0x60)
            count := add(end, shl(5, count))
            // The registry sees to it that the context comes first, then the owner if it comes at all, then commitments
            // only, read or written. Where there is no owner, he is written over; the word after the last slot is a
            // count, too small for an owner's slot.
            calldatacopy(end, add(head, BUNDLE_CONTEXT), 0x40)
            let slot := add(wiring, 0x40)
            let owner := shl(5, eq(shr(32, mload(slot)), 2))
            end := add(add(end, 0x20), owner)
            slot := add(slot, owner)
            let places := mload(add(run, RUN_PLACES))
            let values := add(add(head, mload(add(run, RUN_COMMITMENTS_LENGTH))), 0x20)
            for {} lt(end, count) { end := add(end, 0x20) } {
                let place := mload(add(places, shl(5, and(mload(slot), 0xffffffff))))
                mstore(end, calldataload(add(values, place)))
                slot := add(slot, 0x20)
            }

            // The word groups: their number, then their tensors.
            values := add(head, BUNDLE_WORDS)
            end := add(end, 0x20)
            for { let last := add(slot, shl(5, mload(slot))) } lt(slot, last) {} {
                slot := add(slot, 0x20)
                let place := mload(add(places, shl(5, mload(slot))))
                let size := and(shr(PLACE_SIZE_SHIFT, place), PLACE_SIZE)
                calldatacopy(end, add(values, and(place, PLACE_START)), size)
                end := add(end, size)
            }
            mstore(count, sub(shr(5, sub(end, count)), 1))
            mcopy(end, add(proof, PROOF_C1), 0x40)
            end := add(end, 0x40)
        }
    }

    // ------------------------------------------------------------------------------------------------ curve

    /// @dev Writes the pairs from the free memory pointer on, setup by setup, model by model and slice by slice, and
    /// checks their product. A pair's second half is scratch until its G2 point is written.
    function _combine(uint256 batch) private view {
        unchecked {
            uint256 pairs;
            assembly ("memory-safe") {
                pairs := mload(0x40)
            }
            uint256 alpha = pairs;
            uint256 run = _get(batch + BATCH_FIRST_RUN);
            while (run != 0) {
                // α, β, γ are the same in every slice of the setup.
                uint256 key = KeyBlob.points(_get(run + RUN_RECORD));
                assembly ("memory-safe") {
                    let l := add(alpha, PAIR_BYTES)
                    mstore(add(batch, BATCH_L), l)
                    mstore(add(batch, BATCH_L_BEGUN), 0)
                    mstore(add(batch, BATCH_RHO_SUM), 0)
                    mstore(add(batch, BATCH_NEXT_PAIR), add(l, PAIR_BYTES))
                }
                run = _combineSetup(batch, run);
                // (Σρ·α, β) and (Σρ·L, γ).
                _multiply(batch, alpha, key, _get(batch + BATCH_RHO_SUM));
                assembly ("memory-safe") {
                    mcopy(add(alpha, PAIR_G2), add(key, KEY_BETA), 0x80)
                    mcopy(add(alpha, add(PAIR_BYTES, PAIR_G2)), add(key, KEY_GAMMA), 0x80)
                    alpha := mload(add(batch, BATCH_NEXT_PAIR))
                }
            }
            _requirePairingProductIsOne(batch, pairs, alpha);
        }
    }

    /// @dev Combines neighbouring models of one setup. Returns the first run of another one, or 0.
    function _combineSetup(uint256 batch, uint256 run) private view returns (uint256 next) {
        while (true) {
            _combineModel(batch, run);
            next = _get(run + RUN_NEXT);
            if (next == 0 || KeyBlob.setupDigest(_blobOf(next)) != KeyBlob.setupDigest(_blobOf(run))) return next;
            run = next;
        }
    }

    /// @dev Combines the bundles of a model, slice by slice.
    function _combineModel(uint256 batch, uint256 run) private view {
        unchecked {
            uint256 slice = _get(run + RUN_EQUATIONS);
            uint256 end = _get(run + RUN_EQUATIONS_END);
            uint256 stride = _get(run + RUN_STRIDE);
            for (uint256 slicesEnd = slice + stride; slice != slicesEnd; slice += EQUATION_BYTES) {
                // The first bundle's that covers the slice, and the slice's first pair.
                uint256 first = 0;
                uint256 pair = _get(batch + BATCH_NEXT_PAIR);
                for (uint256 equation = slice; equation < end; equation += stride) {
                    if (_get(equation + EQUATION_KEY) == 0) continue;
                    if (first != 0) {
                        _join(batch, pair, first, equation);
                    } else {
                        first = equation;
                        _beginSlice(batch, pair, first);
                    }
                }
                if (first != 0) _endSlice(batch, pair, first);
            }
        }
    }

    /// @dev ρ of an equation.
    function _rho(uint256 batch, uint256 equation) private pure returns (uint256 rho) {
        assembly ("memory-safe") {
            rho := 1
            let index := div(sub(equation, mload(add(batch, BATCH_FIRST_EQUATION))), EQUATION_BYTES)
            if index {
                mstore(0x00, mload(add(batch, BATCH_SEED)))
                mstore(0x20, index)
                rho := mod(keccak256(0x00, 0x40), R)
            }
        }
    }

    /// @dev Begins a slice with its first equation: at `pair` (ρ·C1, δ1), (ρ·C2, δ2) and (−ρ·A, B), the first two
    /// without their deltas.
    function _beginSlice(uint256 batch, uint256 pair, uint256 equation) private view {
        uint256 rho = _rho(batch, equation);
        uint256 mulGas = _ecMulGas;
        bool ok = true;
        // Memory map of a pair, here and below: G1 point (2 words), G2 point (4), whose first word holds ECMUL's scalar
        // before. Arguments are evaluated from the last to the first: a call comes before its returndatasize().
        assembly ("memory-safe") {
            let second := add(pair, PAIR_BYTES)
            let a := add(second, PAIR_BYTES)
            let proof := mload(add(equation, EQUATION_PROOF))
            mstore(add(batch, BATCH_NEXT_PAIR), add(a, PAIR_BYTES))
            mcopy(pair, add(proof, PROOF_C1), 0x40)
            mcopy(second, add(proof, PROOF_C2), 0x40)
            mcopy(a, proof, 0x40)
            mstore(add(equation, EQUATION_RHO), rho)
            if iszero(eq(rho, 1)) {
                mstore(add(pair, 0x40), rho)
                mstore(add(second, 0x40), rho)
                mstore(add(a, 0x40), rho)
                ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, pair, 0x60, pair, 0x40))
                ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, second, 0x60, second, 0x40)), ok)
                ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, a, 0x60, a, 0x40)), ok)
                let scalar := add(equation, EQUATION_CHALLENGE)
                mstore(scalar, mulmod(mload(scalar), rho, R))
                scalar := add(equation, EQUATION_FINGERPRINT)
                mstore(scalar, mulmod(mload(scalar), rho, R))
            }
            mcopy(add(a, PAIR_G2), add(proof, PROOF_B), 0x80)
        }
        if (!ok) _explain(batch);
    }

    /// @dev Adds another equation of the slice that begins with the pair and the equation `first`: ρ·C1 and ρ·C2 to its
    /// pairs, a pair (−ρ·A, B), and ρ times 1, χ and F to the first equation's.
    function _join(uint256 batch, uint256 pair, uint256 first, uint256 equation) private view {
        uint256 rho = _rho(batch, equation);
        (uint256 addGas, uint256 mulGas) = (_ecAddGas, _ecMulGas);
        bool ok;
        // Memory map of a pair without its G2 point: sum (2 words), term (2), scalar (1). ECMUL reads term and scalar
        // and writes the term; ECADD reads sum and term and writes the sum.
        assembly ("memory-safe") {
            let proof := mload(add(equation, EQUATION_PROOF))
            let term := add(pair, 0x40)
            mcopy(term, add(proof, PROOF_C1), 0x40)
            mstore(add(term, 0x40), rho)
            ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, term, 0x60, term, 0x40))
            ok := and(and(eq(returndatasize(), 0x40), staticcall(addGas, ECADD, pair, 0x80, pair, 0x40)), ok)

            pair := add(pair, PAIR_BYTES)
            term := add(pair, 0x40)
            mcopy(term, add(proof, PROOF_C2), 0x40)
            mstore(add(term, 0x40), rho)
            ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, term, 0x60, term, 0x40)), ok)
            ok := and(and(eq(returndatasize(), 0x40), staticcall(addGas, ECADD, pair, 0x80, pair, 0x40)), ok)

            let a := mload(add(batch, BATCH_NEXT_PAIR))
            mstore(add(batch, BATCH_NEXT_PAIR), add(a, PAIR_BYTES))
            mcopy(a, proof, 0x40)
            mstore(add(a, 0x40), rho)
            ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, a, 0x60, a, 0x40)), ok)
            mcopy(add(a, PAIR_G2), add(proof, PROOF_B), 0x80)

            let scalar := add(first, EQUATION_RHO)
            mstore(scalar, addmod(mload(scalar), rho, R))
            scalar := add(first, EQUATION_CHALLENGE)
            mstore(scalar, addmod(mload(scalar), mulmod(mload(add(equation, EQUATION_CHALLENGE)), rho, R), R))
            scalar := add(first, EQUATION_FINGERPRINT)
            mstore(scalar, addmod(mload(scalar), mulmod(mload(add(equation, EQUATION_FINGERPRINT)), rho, R), R))
        }
        if (!ok) _explain(batch);
    }

    /// @dev Ends a slice: writes its deltas, and adds its part of Σρ and of Σρ·L.
    function _endSlice(uint256 batch, uint256 pair, uint256 first) private view {
        (uint256 addGas, uint256 mulGas) = (_ecAddGas, _ecMulGas);
        bool ok = true;
        // L's pair is as in `_join`.
        assembly ("memory-safe") {
            let key := mload(add(first, EQUATION_KEY))
            mcopy(add(pair, PAIR_G2), add(key, KEY_DELTA_1), 0x80)
            mcopy(add(pair, add(PAIR_BYTES, PAIR_G2)), add(key, KEY_DELTA_2), 0x80)

            let l := mload(add(batch, BATCH_L))
            // What comes next is in scopes of its own: more variables at once than here are too many for some compilers.
            {
                let rho := mload(add(first, EQUATION_RHO))
                {
                    let sum := add(batch, BATCH_RHO_SUM)
                    mstore(sum, addmod(mload(sum), rho, R))
                }
                switch mload(add(batch, BATCH_L_BEGUN))
                case 0 {
                    mstore(add(batch, BATCH_L_BEGUN), 1)
                    mcopy(l, add(key, KEY_IC_0), 0x40)
                    if iszero(eq(rho, 1)) {
                        mstore(add(l, 0x40), rho)
                        ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, l, 0x60, l, 0x40))
                    }
                }
                default {
                    let term := add(l, 0x40)
                    mcopy(term, add(key, KEY_IC_0), 0x40)
                    mstore(add(l, 0x80), rho)
                    ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, term, 0x60, term, 0x40))
                    ok := and(and(eq(returndatasize(), 0x40), staticcall(addGas, ECADD, l, 0x80, l, 0x40)), ok)
                }
            }
            let term := add(l, 0x40)
            mcopy(term, add(key, KEY_IC_CHALLENGE), 0x40)
            mstore(add(l, 0x80), mload(add(first, EQUATION_CHALLENGE)))
            ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, term, 0x60, term, 0x40)), ok)
            ok := and(and(eq(returndatasize(), 0x40), staticcall(addGas, ECADD, l, 0x80, l, 0x40)), ok)
            mcopy(term, add(key, KEY_IC_FINGERPRINT), 0x40)
            mstore(add(l, 0x80), mload(add(first, EQUATION_FINGERPRINT)))
            ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, term, 0x60, term, 0x40)), ok)
            ok := and(and(eq(returndatasize(), 0x40), staticcall(addGas, ECADD, l, 0x80, l, 0x40)), ok)
        }
        if (!ok) _explain(batch);
    }

    /// @dev pair.G1 = scalar·point.
    function _multiply(uint256 batch, uint256 pair, uint256 point, uint256 scalar) private view {
        uint256 mulGas = _ecMulGas;
        bool ok = true;
        assembly ("memory-safe") {
            mcopy(pair, point, 0x40)
            if iszero(eq(scalar, 1)) {
                mstore(add(pair, 0x40), scalar)
                ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, pair, 0x60, pair, 0x40))
            }
        }
        if (!ok) _explain(batch);
    }

    /// @dev The pairing precompile on all pairs.
    function _requirePairingProductIsOne(uint256 batch, uint256 pairs, uint256 end) private view {
        uint256 cap;
        unchecked {
            // slither-disable-next-line divide-before-multiply: an exact division.
            cap = _pairingBaseGas + _pairingPerPairGas * ((end - pairs) / PAIR_BYTES);
        }
        bool ok;
        uint256 product;
        assembly ("memory-safe") {
            // A word apart from the input, and zero beforehand: without a precompile nothing would be written.
            mstore(0x00, 0)
            ok := and(eq(returndatasize(), 0x20), staticcall(cap, 8, pairs, sub(end, pairs), 0x00, 0x20))
            product := mload(0x00)
        }
        if (!ok) _explain(batch);
        if (product != 1) revert InvalidBundle();
    }
}
