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
/// χ hashes x and w, and F is that of the slice's own x and w (wires under C1) for at most p + n values of χ that are
/// not: so both are fixed by χ and F, whatever their number. The equations of all slices of all bundles are checked at once, to the powers ρ_0 = 1 and ρ_i = keccak256(seed ‖ i) mod r, where the
/// seed hashes every model digest, coverage, h0, A, B, C1 and C2: nobody knows a ρ before all that it multiplies is
/// fixed. Equal second arguments share a pairing: β and γ in neighbouring models of one setup, the deltas in
/// neighbouring bundles of one model. So n bundles of one model of S slices take n·S + 2·S + 2 pairings.
///
/// Three passes: which models there are, and what their blobs say of a bundle (`_load`); every bundle is checked and
/// hashed (`_hash`); the curve (`_combine`).
contract BundleVerifier is IBundleVerifier {
    bytes32 private constant CHALLENGE_TAG = keccak256("zkslice/challenge/v2");
    bytes32 private constant BATCH_TAG = keccak256("zkslice/batch/v3");

    /// @dev `BN254.R` and `BN254.Q` once more: inline assembly takes literal constants only.
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    uint256 private constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    /// @dev Words of a slice's proof: A (2), B (4), C1 (2), C2 (2).
    uint256 private constant PROOF_WORDS = 10;
    // In bytes from A.
    uint256 private constant B = 0x40;
    uint256 private constant C1 = 0xc0;
    uint256 private constant C2 = 0x100;
    uint256 private constant PROOF_BYTES = 0x140;
    /// @dev Bytes of a pair in the pairing precompile's input: a G1 point, then a G2 point.
    uint256 private constant PAIR_BYTES = 0xc0;

    IModelRegistry public immutable registry;

    // A bundle's only encoding, in bytes from its head: seven words, then the arrays, each after its length: words,
    // commitments, proofs.
    uint256 private constant CONTEXT = 0x20;
    uint256 private constant OWNER = 0x40;
    uint256 private constant COVERAGE = 0x60;
    uint256 private constant WORDS_OFFSET = 0x80;
    uint256 private constant COMMITMENTS_OFFSET = 0xa0;
    uint256 private constant PROOFS_OFFSET = 0xc0;
    uint256 private constant WORDS_LENGTH = 0xe0;
    uint256 private constant WORDS = 0x100;

    // A slice's key, in bytes from its α, behind which are β and γ.
    uint256 private constant DELTA_1 = 0x140;
    uint256 private constant DELTA_2 = 0x1c0;
    uint256 private constant IC = 0x240;
    uint256 private constant KEY_BYTES = 0x300;

    // A slice's equation on its way from hashing to the pairing: α in its key record; its proof in the transcript; the
    // next equation of the same slice, or 0; ρ; χ and F, later ρ·χ and ρ·F.
    // slither-disable-next-line unused-state: offset 0: nothing is added.
    uint256 private constant KEY = 0x00;
    uint256 private constant PROOF = 0x20;
    uint256 private constant NEXT = 0x40;
    uint256 private constant RHO = 0x60;
    uint256 private constant CHALLENGE = 0x80;
    uint256 private constant FINGERPRINT = 0xa0;
    uint256 private constant EQUATION_BYTES = 0xc0;

    // Gas forwarded to the precompiles. A failing precompile burns what it is given, so it is not given everything.
    uint256 private immutable _ecAddGas;
    uint256 private immutable _ecMulGas;
    uint256 private immutable _pairingBaseGas;
    uint256 private immutable _pairingPerPairGas;

    /// @dev Neighbouring bundles of one model, and what their checks need of it. Assembly below knows the offsets.
    struct Run {
        bytes32 digest;
        /// Index just after the last bundle.
        uint256 end;
        bytes blob;
        uint256 slices;
        /// How many words and commitments a bundle has, and where the lengths of its commitments and of its proofs are,
        /// in bytes from its head.
        uint256 words;
        uint256 commitments;
        uint256 commitmentsOffset;
        uint256 proofsOffset;
        /// Memory: for each tensor where it is in a bundle; the first boundary's; then for each slice its first and its
        /// last equation. See `_layOut`.
        uint256 places;
        uint256 boundaries;
        uint256 equations;
        /// Cursors of slice 0's wiring and key record.
        uint256 wiring;
        uint256 record;
    }

    /// @dev All bundles. Assembly below knows the offsets.
    struct Batch {
        /// Calldata offset of the list of the bundles' offsets, which count from here, and how many there are.
        uint256 base;
        uint256 bundles;
        /// While hashing: where the next h0, the next slice's proof and the next equation go.
        uint256 entry;
        uint256 proof;
        uint256 equation;
        /// While combining: where the next pair goes.
        uint256 end;
        /// Of the setup at hand: the pair of Σρ·L, whether nothing is in it yet, and Σρ.
        uint256 l;
        bool empty;
        uint256 rhoSum;
    }

    constructor(IModelRegistry registry_) {
        if (address(registry_).code.length == 0) revert InvalidRegistry(address(registry_));
        registry = registry_;
        BN254.GasCaps memory caps = BN254.selfTest();
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
        Batch memory batch;
        (batch.base, batch.bundles) = (base, n);
        Run[] memory runs = _load(base, n);
        _hash(batch, runs);
        _combine(batch, runs);
    }

    // ------------------------------------------------------------------------------------------------ models

    /// @dev Loads the models of the bundles, which are not checked yet: whatever stands where a digest should be is one.
    function _load(uint256 base, uint256 n) private view returns (Run[] memory runs) {
        unchecked {
            assembly ("memory-safe") {
                // At most a run a bundle.
                runs := mload(0x40)
                mstore(runs, 0)
                mstore(0x40, add(runs, shl(5, add(n, 1))))
            }
            Run memory run = _addRun(runs, _digestOf(base, 0));
            for (uint256 i = 1; i < n; ++i) {
                bytes32 digest = _digestOf(base, i);
                if (digest == run.digest) continue;
                run.end = i;
                run = _addRun(runs, digest);
            }
            run.end = n;
        }
    }

    /// @dev Digest in the bundle whose offset stands at this place of the list.
    function _digestOf(uint256 base, uint256 index) private pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            digest := calldataload(add(base, calldataload(add(base, shl(5, index)))))
        }
    }

    function _addRun(Run[] memory runs, bytes32 digest) private view returns (Run memory run) {
        run.digest = digest;
        // slither-disable-next-line calls-loop: the registry is trusted.
        run.blob = KeyBlob.fetch(registry, digest);
        _layOut(run);
        assembly ("memory-safe") {
            let count := add(mload(runs), 1)
            mstore(runs, count)
            mstore(add(runs, shl(5, count)), run)
        }
    }

    /// @dev Notes what every bundle of the model needs of its blob. A tensor's place, from low to high: where it begins
    /// among the words or among the commitments, in bytes (128 bits); for a public tensor the bytes of its words (112)
    /// and how many bits a word may have, all but the last (8) and the last (8).
    function _layOut(Run memory run) private pure {
        unchecked {
            bytes memory blob = run.blob;
            uint256 tensor = KeyBlob.tensors(blob);
            uint256 tensors = KeyBlob.tensorCount(blob);
            run.slices = KeyBlob.sliceCount(blob);
            run.wiring = tensor + 32 * KeyBlob.TENSOR_WORDS * tensors;
            run.record = KeyBlob.records(blob, run.wiring);
            uint256 place;
            uint256 end;
            assembly ("memory-safe") {
                place := mload(0x40)
                end := add(place, shl(5, tensors))
                let size := shl(6, mload(add(run, 0x60)))
                calldatacopy(end, calldatasize(), size) // zeros
                mstore(0x40, add(end, size))
            }
            (run.places, run.equations) = (place, end);

            uint256 words;
            uint256 commitments;
            for (; place != end; place += 0x20) {
                uint256 kind = KeyBlob.read(tensor);
                if (kind == KeyBlob.KIND_BOUNDARY) break;
                uint256 value;
                if (kind == KeyBlob.KIND_PRIVATE_INPUT) {
                    value = 32 * commitments++;
                } else {
                    (uint256 n, uint256 full, uint256 last) =
                        KeyBlob.packing(KeyBlob.read(tensor + 0x20), KeyBlob.read(tensor + 0x40));
                    value = last << 248 | full << 240 | n << 133 | 32 * words;
                    words += n;
                }
                assembly ("memory-safe") {
                    mstore(place, value)
                }
                tensor += 32 * KeyBlob.TENSOR_WORDS;
            }
            run.boundaries = place;
            for (; place != end; place += 0x20) {
                assembly ("memory-safe") {
                    mstore(place, shl(5, commitments))
                }
                ++commitments;
            }
            (run.words, run.commitments) = (words, commitments);
            run.commitmentsOffset = WORDS + 32 * words;
            run.proofsOffset = WORDS + 32 * (words + 1 + commitments);
        }
    }

    // ------------------------------------------------------------------------------------------------ checks

    /// @dev Checks that the bundle begins at `head` and that its arrays follow one another, with as many words and
    /// commitments as the model has. The number of proofs is checked with the coverage.
    function _requireEncoding(Batch memory batch, Run memory run, uint256 index, uint256 head) private pure {
        uint256 wrong;
        assembly ("memory-safe") {
            let base := mload(batch)
            let commitments := mload(add(run, 0xc0))
            wrong := xor(calldataload(add(base, shl(5, index))), sub(head, base))
            wrong := or(wrong, xor(calldataload(add(head, WORDS_OFFSET)), WORDS_LENGTH))
            wrong := or(wrong, xor(calldataload(add(head, COMMITMENTS_OFFSET)), commitments))
            wrong := or(wrong, xor(calldataload(add(head, PROOFS_OFFSET)), mload(add(run, 0xe0))))
            wrong := or(wrong, xor(calldataload(add(head, WORDS_LENGTH)), mload(add(run, 0x80))))
            wrong := or(wrong, xor(calldataload(add(head, commitments)), mload(add(run, 0xa0))))
        }
        if (wrong != 0) _explainEncoding(batch, run, index, head);
    }

    /// @dev Tells lengths that are not the model's from an encoding that fits no lengths.
    function _explainEncoding(Batch memory batch, Run memory run, uint256 index, uint256 head) private pure {
        uint256 words = _calldataAt(head + WORDS_LENGTH);
        bool canonical = _headOf(batch, index) == head && words < 2 ** 32;
        if (canonical && _calldataAt(head + WORDS_OFFSET) == WORDS_LENGTH) {
            uint256 offset = WORDS + 32 * words;
            uint256 commitments = _calldataAt(head + offset);
            if (_calldataAt(head + COMMITMENTS_OFFSET) == offset && commitments < 2 ** 32) {
                offset += 32 * (1 + commitments);
                if (_calldataAt(head + PROOFS_OFFSET) == offset) {
                    if (words != run.words) revert WordCountMismatch(index, run.words, words);
                    revert CommitmentCountMismatch(index, run.commitments, commitments);
                }
            }
        }
        revert NonCanonicalCalldata();
    }

    /// @dev Checks context, owner and coverage.
    /// @return covered Bitmap of the slices to prove, all of them where the bundle says 0.
    /// @return proofWords How many words of proofs there are: ten a slice.
    function _coverageOf(Run memory run, uint256 index, uint256 head)
        private
        pure
        returns (uint256 covered, uint256 proofWords)
    {
        unchecked {
            uint256 element = _calldataAt(head + CONTEXT);
            if (element == 0 || element >= R) revert ContextOutOfRange(index, element);
            element = _calldataAt(head + OWNER);
            if (element >= R) revert OwnerOutOfRange(index, element);

            uint256 slices = run.slices;
            uint256 all = type(uint256).max >> (256 - slices);
            covered = _calldataAt(head + COVERAGE);
            if (covered >= all) revert CoverageOutOfRange(index, covered, slices);
            uint256 expected;
            if (covered == 0) {
                (covered, expected) = (all, PROOF_WORDS * slices);
            } else {
                for (uint256 bits = covered; bits != 0; bits &= bits - 1) {
                    expected += PROOF_WORDS;
                }
            }
            proofWords = _calldataAt(head + run.proofsOffset);
            if (proofWords != expected) revert ProofLengthMismatch(index, expected, proofWords);
        }
    }

    /// @dev Calldata offset of the head of this bundle, as calldata says.
    function _headOf(Batch memory batch, uint256 index) private pure returns (uint256) {
        unchecked {
            return batch.base + _calldataAt(batch.base + 32 * index);
        }
    }

    /// @dev The word at this calldata offset.
    function _calldataAt(uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(offset)
        }
    }

    /// @dev Each word has no bits but those of its digits, each commitment is below r.
    function _requireRanges(Run memory run, uint256 index, uint256 head) private pure {
        bool outOfRange;
        assembly ("memory-safe") {
            let words := add(head, WORDS)
            let end := mload(add(run, 0x120))
            for { let cursor := mload(add(run, 0x100)) } lt(cursor, end) { cursor := add(cursor, 0x20) } {
                let place := mload(cursor)
                // A private input has no words.
                if shr(240, place) {
                    let word := add(words, and(place, 0xffffffffffffffffffffffffffffffff))
                    let size := and(shr(128, place), 0xffffffffffff)
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
                        outOfRange := or(outOfRange, shr(and(shr(240, place), 0xff), union))
                    }
                    outOfRange := or(outOfRange, shr(shr(248, place), calldataload(last)))
                }
            }
            end := add(head, mload(add(run, 0xe0)))
            for { let commitment := add(add(head, mload(add(run, 0xc0))), 0x20) } lt(commitment, end) {
                commitment := add(commitment, 0x20)
            } { outOfRange := or(outOfRange, iszero(lt(calldataload(commitment), R))) }
        }
        if (outOfRange) _explainRanges(run, index, head);
    }

    /// @dev Names the first word or commitment out of range.
    function _explainRanges(Run memory run, uint256 index, uint256 head) private pure {
        uint256 i;
        for (uint256 cursor = run.places; cursor != run.boundaries; cursor += 0x20) {
            uint256 place = KeyBlob.read(cursor);
            uint256 end = i + (place >> 133) % 2 ** 32;
            for (; i < end; ++i) {
                uint256 word = _calldataAt(head + WORDS + 32 * i);
                uint256 maxBits = i + 1 == end ? place >> 248 : (place >> 240) & 0xff;
                if (word >> maxBits != 0) revert WordOutOfRange(index, i, word, maxBits);
            }
        }
        for (i = 0; i < run.commitments; ++i) {
            uint256 commitment = _calldataAt(head + run.commitmentsOffset + 32 * (1 + i));
            if (commitment >= R) revert CommitmentOutOfRange(index, i, commitment);
        }
    }

    /// @dev After a precompile failed, or would: names the first proof with a coordinate ≥ q or a G1 point off the
    /// curve. The precompiles see to it as well, but say nothing. Bundles up to the faulty one are checked already.
    function _explain(Batch memory batch) private pure {
        for (uint256 index = 0; index < batch.bundles; ++index) {
            uint256 head = _headOf(batch, index);
            uint256[] calldata proofs;
            assembly ("memory-safe") {
                proofs.offset := add(head, calldataload(add(head, PROOFS_OFFSET)))
                proofs.length := calldataload(proofs.offset)
                proofs.offset := add(proofs.offset, 0x20)
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
    function _hash(Batch memory batch, Run[] memory runs) private pure {
        unchecked {
            (uint256 transcript, uint256 equations) = _allocate(batch, runs);
            uint256 head = batch.base + 32 * batch.bundles;
            uint256 index;
            for (uint256 i = 0; i < runs.length; ++i) {
                Run memory run = runs[i];
                for (uint256 end = run.end; index != end; ++index) {
                    head = _hashBundle(batch, run, index, head);
                }
            }
            if (head != msg.data.length) revert NonCanonicalCalldata();
            _weigh(equations, batch.equation, transcript);
        }
    }

    /// @dev Begins the transcript, and makes room for it and for the equations.
    function _allocate(Batch memory batch, Run[] memory runs)
        private
        pure
        returns (uint256 transcript, uint256 equations)
    {
        unchecked {
            // What calldata has left for proofs, once every bundle has what its model asks for; if a bundle has
            // anything else, it will not get past the checks, whatever is written where until then.
            uint256 others = batch.base;
            uint256 index;
            for (uint256 i = 0; i < runs.length; ++i) {
                Run memory run = runs[i];
                others += (run.end - index) * (run.proofsOffset + 0x40);
                index = run.end;
            }
            uint256 slices = others < msg.data.length ? (msg.data.length - others) / PROOF_BYTES : 0;
            bytes32 tag = BATCH_TAG;
            assembly ("memory-safe") {
                let bundles := mload(add(batch, 0x20))
                transcript := mload(0x40)
                mstore(transcript, tag)
                mstore(add(transcript, 0x20), bundles)
                equations := add(add(transcript, 0x40), add(shl(6, bundles), mul(slices, add(0x20, PROOF_BYTES))))
                mstore(0x40, add(equations, mul(slices, EQUATION_BYTES)))
            }
            (batch.entry, batch.equation) = (transcript + 0x40, equations);
        }
    }

    /// @dev Checks the bundle whose head is here, and writes its part of the transcript and its equations.
    /// @return Where the next one's head is.
    function _hashBundle(Batch memory batch, Run memory run, uint256 index, uint256 head)
        private
        pure
        returns (uint256)
    {
        unchecked {
            _requireEncoding(batch, run, index, head);
            (uint256 covered, uint256 proofWords) = _coverageOf(run, index, head);
            _requireRanges(run, index, head);
            uint256 proofs;
            assembly ("memory-safe") {
                let entry := mload(add(batch, 0x40))
                mstore(entry, calldataload(head))
                mstore(add(entry, 0x20), covered)
                entry := add(entry, 0x40)
                let proof := add(entry, shl(5, div(proofWords, PROOF_WORDS)))
                proofs := add(add(head, mload(add(run, 0xe0))), 0x20)
                calldatacopy(proof, proofs, shl(5, proofWords))
                mstore(add(batch, 0x40), entry)
                mstore(add(batch, 0x60), proof)
            }

            (uint256 wiring, uint256 record) = (run.wiring, run.record);
            uint256 k;
            while (true) {
                uint256 key = KeyBlob.points(record);
                if ((covered >> k) & 1 == 1) _hashSlice(batch, run, k, head, wiring, key);
                if (covered >> ++k == 0) break;
                wiring = KeyBlob.afterWiring(wiring);
                record = key + KEY_BYTES;
            }
            // The next bundle's entry follows this one's proofs.
            batch.entry = batch.proof;
            return proofs + 32 * proofWords;
        }
    }

    /// @dev Writes a slice's h0 and its equation, which goes to the end of the slice's list, and negates A.
    function _hashSlice(Batch memory batch, Run memory run, uint256 k, uint256 head, uint256 wiring, uint256 key)
        private
        pure
    {
        uint256 proof = batch.proof;
        uint256 end = _writePreimage(run, k, head, wiring, proof);
        bool ok;
        assembly ("memory-safe") {
            let equation := mload(add(batch, 0x80))
            mstore(add(batch, 0x80), add(equation, EQUATION_BYTES))
            let list := add(mload(add(run, 0x140)), shl(6, k))
            let last := mload(add(list, 0x20))
            mstore(add(list, 0x20), equation)
            // The first one's own list is the slice's.
            if iszero(last) { last := sub(list, NEXT) }
            mstore(add(last, NEXT), equation)
            mstore(equation, key)
            mstore(add(equation, PROOF), proof)
            mstore(add(equation, NEXT), 0)

            let preimage := mload(0x40)
            let h0 := keccak256(preimage, sub(end, preimage))
            let entry := mload(add(batch, 0x40))
            mstore(entry, h0)
            mstore(add(batch, 0x40), add(entry, 0x20))

            // F = (e_1 + (e_2 + …)·χ)·χ with e = x ‖ w: x moves up by a word to where w begins. From the last one on,
            // first those beyond a multiple of four, then four at a time. The sums are below 2^256: terms and r are
            // below 2^254.
            let e := add(preimage, 0x80)
            mcopy(e, add(preimage, 0x60), shl(5, mload(wiring)))
            end := sub(end, 0x40)
            let challenge := mod(h0, R)
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
            mstore(add(equation, CHALLENGE), challenge)
            mstore(add(equation, FINGERPRINT), fingerprint)

            // −(x, y) = (x, (q − y) mod q): the outer reduction keeps (0, 0) what it is, and y ≥ q would be y − q.
            mstore(add(batch, 0x60), add(proof, PROOF_BYTES))
            let y := mload(add(proof, 0x20))
            ok := lt(y, Q)
            mstore(add(proof, 0x20), mod(sub(Q, y), Q))
        }
        if (!ok) _explain(batch);
    }

    /// @dev Writes what h0 hashes from the free memory pointer on, and returns where it ends. It is scratch.
    function _writePreimage(Run memory run, uint256 k, uint256 head, uint256 wiring, uint256 proof)
        private
        pure
        returns (uint256 end)
    {
        bytes32 tag = CHALLENGE_TAG;
        // Memory map, in words:
        //   0 CHALLENGE_TAG   1 vkHash   2 p   3 x (p words)   3+p n   4+p w (n words)   4+p+n C1 (2 words)
        assembly ("memory-safe") {
            let places := mload(add(run, 0x100))
            end := mload(0x40)
            mstore(end, tag)
            // The vkHashes follow the blob's length and the six words of the header.
            mstore(add(end, 0x20), mload(add(add(mload(add(run, 0x40)), 0xe0), shl(5, k))))
            let count := mload(wiring)
            mstore(add(end, 0x40), count)
            end := add(end, 0x60)
            count := add(end, shl(5, count))
            // The registry sees to it that the context comes first, then the owner if it comes at all, then commitments
            // only, read or written. What is no owner is written over. The word after the last slot is a count, too
            // small to look like an owner's.
            calldatacopy(end, add(head, CONTEXT), 0x40)
            let slot := add(wiring, 0x40)
            let owner := shl(5, eq(shr(32, mload(slot)), 2))
            end := add(add(end, 0x20), owner)
            slot := add(slot, owner)
            let commitments := add(add(head, 0x20), mload(add(run, 0xc0)))
            for {} lt(end, count) { end := add(end, 0x20) } {
                let place := mload(add(places, shl(5, and(mload(slot), 0xffffffff))))
                mstore(end, calldataload(add(commitments, place)))
                slot := add(slot, 0x20)
            }

            // The word groups: their number, then their tensors.
            let words := add(head, WORDS)
            end := add(end, 0x20)
            for { let last := add(slot, shl(5, mload(slot))) } lt(slot, last) {} {
                slot := add(slot, 0x20)
                let place := mload(add(places, shl(5, mload(slot))))
                let size := and(shr(128, place), 0xffffffffffff)
                calldatacopy(end, add(words, and(place, 0xffffffffffffffffffffffffffffffff)), size)
                end := add(end, size)
            }
            mstore(count, sub(shr(5, sub(end, count)), 1))
            mcopy(end, add(proof, C1), 0x40)
            end := add(end, 0x40)
        }
    }

    /// @dev Gives each equation its ρ, from the hash of the transcript, which ends where the equations begin.
    function _weigh(uint256 equations, uint256 end, uint256 transcript) private pure {
        assembly ("memory-safe") {
            mstore(add(equations, RHO), 1)
            mstore(0x00, keccak256(transcript, sub(equations, transcript)))
            let i := 0
            for { let equation := add(equations, EQUATION_BYTES) } lt(equation, end) {
                equation := add(equation, EQUATION_BYTES)
            } {
                i := add(i, 1)
                mstore(0x20, i)
                let rho := mod(keccak256(0x00, 0x40), R)
                mstore(add(equation, RHO), rho)
                let scalar := add(equation, CHALLENGE)
                mstore(scalar, mulmod(mload(scalar), rho, R))
                scalar := add(equation, FINGERPRINT)
                mstore(scalar, mulmod(mload(scalar), rho, R))
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ curve

    /// @dev Writes the pairs from the free memory pointer on, setup by setup, model by model and slice by slice, and
    /// checks their product. A pair's second half is scratch until its G2 point is written.
    function _combine(Batch memory batch, Run[] memory runs) private view {
        unchecked {
            uint256 pairs;
            assembly ("memory-safe") {
                pairs := mload(0x40)
            }
            batch.end = pairs;
            uint256 i;
            while (i != runs.length) {
                bytes32 setupDigest = KeyBlob.setupDigest(runs[i].blob);
                // α, β, γ are the same in every slice of the setup.
                uint256 key = KeyBlob.points(runs[i].record);
                uint256 alpha = batch.end;
                (batch.l, batch.empty, batch.rhoSum) = (alpha + PAIR_BYTES, true, 0);
                batch.end = alpha + 2 * PAIR_BYTES;
                do {
                    _combineModel(batch, runs[i]);
                } while (++i != runs.length && KeyBlob.setupDigest(runs[i].blob) == setupDigest);

                // (Σρ·α, β) and (Σρ·L, γ).
                _multiply(batch, alpha, key, batch.rhoSum);
                assembly ("memory-safe") {
                    mcopy(add(alpha, 0x40), add(key, 0x40), 0x80)
                    mcopy(add(alpha, 0x100), add(key, 0xc0), 0x80)
                }
            }
            _requirePairingProductIsOne(batch, pairs);
        }
    }

    /// @dev Combines the bundles of a model, slice by slice.
    function _combineModel(Batch memory batch, Run memory run) private view {
        unchecked {
            uint256 end = run.equations + 64 * run.slices;
            for (uint256 list = run.equations; list != end; list += 64) {
                uint256 sum = KeyBlob.read(list);
                // No bundle covers it.
                if (sum == 0) continue;
                uint256 pair = batch.end;
                _begin(batch, sum);
                for (uint256 e = KeyBlob.read(sum + NEXT); e != 0; e = KeyBlob.read(e + NEXT)) {
                    _join(batch, pair, sum, e);
                }
                _finish(batch, pair, sum);
            }
        }
    }

    /// @dev Begins a slice with its first equation: appends (ρ·C1, δ1), (ρ·C2, δ2) and (−ρ·A, B), without the deltas.
    function _begin(Batch memory batch, uint256 equation) private view {
        uint256 mulGas = _ecMulGas;
        bool ok = true;
        // Memory map of a pair, here and below: G1 point (2 words), G2 point (4), whose first word holds ECMUL's scalar
        // before. Arguments are evaluated from the last to the first: a call comes before its returndatasize().
        assembly ("memory-safe") {
            let pair := mload(add(batch, 0xa0))
            let second := add(pair, PAIR_BYTES)
            let a := add(second, PAIR_BYTES)
            let proof := mload(add(equation, PROOF))
            let rho := mload(add(equation, RHO))
            mcopy(pair, add(proof, C1), 0x40)
            mcopy(second, add(proof, C2), 0x40)
            mcopy(a, proof, 0x40)
            if iszero(eq(rho, 1)) {
                mstore(add(pair, 0x40), rho)
                mstore(add(second, 0x40), rho)
                mstore(add(a, 0x40), rho)
                ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, pair, 0x60, pair, 0x40))
                ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, second, 0x60, second, 0x40)), ok)
                ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, a, 0x60, a, 0x40)), ok)
            }
            mcopy(add(a, 0x40), add(proof, B), 0x80)
            mstore(add(batch, 0xa0), add(a, PAIR_BYTES))
        }
        if (!ok) _explain(batch);
    }

    /// @dev Adds another equation of the slice, whose first pair is at `pair`: its ρ·C1 and ρ·C2, a pair (−ρ·A, B), and
    /// its scalars to those of the first equation.
    function _join(Batch memory batch, uint256 pair, uint256 sum, uint256 equation) private view {
        (uint256 addGas, uint256 mulGas) = (_ecAddGas, _ecMulGas);
        bool ok;
        // Memory map of a pair without its G2 point: sum (2 words), term (2), scalar (1). ECMUL reads term and scalar
        // and writes the term; ECADD reads sum and term and writes the sum.
        assembly ("memory-safe") {
            let proof := mload(add(equation, PROOF))
            let rho := mload(add(equation, RHO))
            let term := add(pair, 0x40)
            mcopy(term, add(proof, C1), 0x40)
            mstore(add(term, 0x40), rho)
            ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, term, 0x60, term, 0x40))
            ok := and(and(eq(returndatasize(), 0x40), staticcall(addGas, 6, pair, 0x80, pair, 0x40)), ok)

            pair := add(pair, PAIR_BYTES)
            term := add(pair, 0x40)
            mcopy(term, add(proof, C2), 0x40)
            mstore(add(term, 0x40), rho)
            ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, term, 0x60, term, 0x40)), ok)
            ok := and(and(eq(returndatasize(), 0x40), staticcall(addGas, 6, pair, 0x80, pair, 0x40)), ok)

            pair := mload(add(batch, 0xa0))
            mcopy(pair, proof, 0x40)
            mstore(add(pair, 0x40), rho)
            ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, pair, 0x60, pair, 0x40)), ok)
            mcopy(add(pair, 0x40), add(proof, B), 0x80)
            mstore(add(batch, 0xa0), add(pair, PAIR_BYTES))

            let scalar := add(sum, RHO)
            mstore(scalar, addmod(mload(scalar), rho, R))
            scalar := add(sum, CHALLENGE)
            mstore(scalar, addmod(mload(scalar), mload(add(equation, CHALLENGE)), R))
            scalar := add(sum, FINGERPRINT)
            mstore(scalar, addmod(mload(scalar), mload(add(equation, FINGERPRINT)), R))
        }
        if (!ok) _explain(batch);
    }

    /// @dev Ends a slice: its deltas, and its part of Σρ and of Σρ·L.
    function _finish(Batch memory batch, uint256 pair, uint256 sum) private view {
        (uint256 addGas, uint256 mulGas) = (_ecAddGas, _ecMulGas);
        bool ok = true;
        // L's pair is as in `_join`.
        assembly ("memory-safe") {
            let ic := mload(sum)
            mcopy(add(pair, 0x40), add(ic, DELTA_1), 0x80)
            mcopy(add(pair, add(PAIR_BYTES, 0x40)), add(ic, DELTA_2), 0x80)

            let l := mload(add(batch, 0xc0))
            let term := add(l, 0x40)
            ic := add(ic, IC)
            let scalar := add(sum, RHO)
            let end := add(sum, EQUATION_BYTES)
            mstore(add(batch, 0x100), addmod(mload(add(batch, 0x100)), mload(scalar), R))
            if mload(add(batch, 0xe0)) {
                mstore(add(batch, 0xe0), 0)
                mcopy(l, ic, 0x40)
                if iszero(eq(mload(scalar), 1)) {
                    mstore(term, mload(scalar))
                    ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, l, 0x60, l, 0x40))
                }
                ic := add(ic, 0x40)
                scalar := add(scalar, 0x20)
            }
            for {} and(lt(scalar, end), ok) {} {
                mcopy(term, ic, 0x40)
                mstore(add(l, 0x80), mload(scalar))
                ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, term, 0x60, term, 0x40))
                ok := and(and(eq(returndatasize(), 0x40), staticcall(addGas, 6, l, 0x80, l, 0x40)), ok)
                ic := add(ic, 0x40)
                scalar := add(scalar, 0x20)
            }
        }
        if (!ok) _explain(batch);
    }

    /// @dev pair.G1 = scalar·point.
    function _multiply(Batch memory batch, uint256 pair, uint256 point, uint256 scalar) private view {
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
    function _requirePairingProductIsOne(Batch memory batch, uint256 pairs) private view {
        uint256 end = batch.end;
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
