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
/// First pass: every bundle is checked for form and hashed. Second pass: the curve.
contract BundleVerifier is IBundleVerifier {
    bytes32 private constant CHALLENGE_TAG = keccak256("zkslice/challenge/v2");
    bytes32 private constant BATCH_TAG = keccak256("zkslice/batch/v3");

    /// @dev `BN254.R` and `BN254.Q` once more: inline assembly takes literal constants only.
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    uint256 private constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    /// @dev Words of a slice's proof: A (2), B (4), C1 (2), C2 (2).
    uint256 private constant PROOF_WORDS = 10;
    uint256 private constant PROOF_BYTES = 0x140;
    /// @dev Bytes of a pair in the pairing precompile's input: a G1 point, then a G2 point.
    uint256 private constant PAIR_BYTES = 0xc0;

    IModelRegistry public immutable registry;

    // Gas forwarded to the precompiles. A failing precompile burns what it is given, so it is not given everything.
    uint256 private immutable _ecAddGas;
    uint256 private immutable _ecMulGas;
    uint256 private immutable _pairingBaseGas;
    uint256 private immutable _pairingPerPairGas;

    // Three layouts of raw memory, by their offsets: structs would be allocated anew wherever one is named, and the
    // second pass allocates nothing.

    // A bundle: calldata offsets of its head and of its arrays' lengths; its model's blob, which neighbours of one
    // model share; its equations not combined yet.
    // slither-disable-next-line unused-state: offset 0: nothing is added.
    uint256 private constant HEAD = 0x00;
    uint256 private constant WORDS = 0x20;
    uint256 private constant COMMITMENTS = 0x40;
    uint256 private constant PROOFS = 0x60;
    uint256 private constant BLOB = 0x80;
    uint256 private constant NEXT_EQUATION = 0xa0;
    uint256 private constant LAST_EQUATION = 0xc0;
    uint256 private constant JOB_BYTES = 0xe0;

    // A slice's equation on its way from hashing to the pairing: α in its key record, where β, γ, δ1, δ2 and IC follow;
    // the proof in the transcript; χ and F.
    // slither-disable-next-line unused-state: offset 0: nothing is added.
    uint256 private constant KEY = 0x00;
    uint256 private constant PROOF = 0x20;
    uint256 private constant CHALLENGE = 0x40;
    uint256 private constant FINGERPRINT = 0x60;
    uint256 private constant EQUATION_BYTES = 0x80;
    // From α on.
    uint256 private constant DELTA_1 = 0x140;
    uint256 private constant DELTA_2 = 0x1c0;
    uint256 private constant IC = 0x240;
    uint256 private constant POINT_BYTES = 0x300;

    /// @dev A bundle being hashed. Assembly below knows the offsets.
    struct Statement {
        uint256 bundle;
        uint256 context;
        uint256 owner;
        /// For each tensor, its commitment or where its words are: see `_placeTensors`.
        uint256[] sources;
        uint256 job;
        /// Where the next slice's h0 goes, and where its proof is.
        uint256 entry;
        uint256 proof;
    }

    /// @dev What the pairing will take.
    /// Assembly below knows the offsets.
    struct Combination {
        bytes32 seed;
        /// The equation whose ρ is 1.
        uint256 firstEquation;
        /// Where the next pair goes.
        uint256 end;
        /// Of the setup at hand: the pair of Σρ·L, whether nothing is in it yet, and Σρ.
        uint256 l;
        bool empty;
        uint256 rhoSum;
        /// Of the slice at hand: Σρ, Σρ·χ and Σρ·F.
        uint256 sliceRho;
        uint256 sliceChallenge;
        uint256 sliceFingerprint;
        /// For `_explain`.
        uint256 jobs;
        uint256 jobsEnd;
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
        uint256 jobs = _allocateJobs(1);
        // After the selector, the bundle's offset.
        uint256 end = _place(jobs, 0x24);
        bool canonical;
        assembly ("memory-safe") {
            canonical := and(eq(calldataload(0x04), 0x20), eq(end, calldatasize()))
        }
        if (!canonical) revert NonCanonicalCalldata();
        _verify(jobs, jobs + JOB_BYTES);
    }

    /// @inheritdoc IBundleVerifier
    function verifyBatch(Bundle[] calldata bundles) external view {
        uint256 n = bundles.length;
        if (n == 0) revert EmptyBatch();
        uint256 jobs = _allocateJobs(n);
        // After the selector, the array's offset, its length, and each bundle's offset from there on.
        uint256 head = 0x44 + 32 * n;
        bool canonical;
        assembly ("memory-safe") {
            canonical := eq(bundles.offset, 0x44)
        }
        for (uint256 i = 0; i < n; ++i) {
            assembly ("memory-safe") {
                canonical := and(canonical, eq(calldataload(add(0x44, shl(5, i))), sub(head, 0x44)))
            }
            head = _place(jobs + JOB_BYTES * i, head);
        }
        if (!canonical || head != msg.data.length) revert NonCanonicalCalldata();
        _verify(jobs, jobs + JOB_BYTES * n);
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

    function _verify(uint256 jobs, uint256 jobsEnd) private view {
        Combination memory combination;
        (combination.jobs, combination.jobsEnd) = (jobs, jobsEnd);
        _hash(combination, jobs, jobsEnd);
        _combine(combination, jobs, jobsEnd);
    }

    // ------------------------------------------------------------------------------------------------ statements

    function _allocateJobs(uint256 n) private pure returns (uint256 jobs) {
        assembly ("memory-safe") {
            jobs := mload(0x40)
            mstore(0x40, add(jobs, mul(n, JOB_BYTES)))
        }
    }

    /// @dev Notes where the bundle with this calldata offset is, whose arrays must follow its head and one another: one
    /// encoding for each list of arguments. Returns where it ends.
    function _place(uint256 job, uint256 head) private pure returns (uint256 end) {
        bool canonical;
        assembly ("memory-safe") {
            // Seven words of head; the last three are the arrays' offsets from the head.
            let words := add(head, 0xe0)
            let length := calldataload(words)
            let limit := length
            let commitments := add(words, add(0x20, shl(5, length)))
            length := calldataload(commitments)
            limit := or(limit, length)
            let proofs := add(commitments, add(0x20, shl(5, length)))
            length := calldataload(proofs)
            limit := or(limit, length)
            end := add(proofs, add(0x20, shl(5, length)))

            canonical := and(lt(limit, 0x100000000), eq(calldataload(add(head, 0x80)), 0xe0))
            canonical := and(canonical, eq(calldataload(add(head, 0xa0)), sub(commitments, head)))
            canonical := and(canonical, eq(calldataload(add(head, 0xc0)), sub(proofs, head)))
            mstore(job, head)
            mstore(add(job, WORDS), words)
            mstore(add(job, COMMITMENTS), commitments)
            mstore(add(job, PROOFS), proofs)
        }
        if (!canonical) revert NonCanonicalCalldata();
    }

    function _blobOf(uint256 job) private pure returns (bytes memory blob) {
        assembly ("memory-safe") {
            blob := mload(add(job, BLOB))
        }
    }

    /// @dev The array whose length is at this calldata offset.
    function _arrayAt(uint256 offset) private pure returns (uint256[] calldata array) {
        assembly ("memory-safe") {
            array.offset := add(offset, 0x20)
            array.length := calldataload(offset)
        }
    }

    /// @dev The word at this calldata offset.
    function _calldataAt(uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(offset)
        }
    }

    /// @dev Checks counts and ranges of words and commitments.
    /// @return sources For each tensor its commitment, or the calldata offset of its first word plus 2^128 times the
    /// number of words.
    function _placeTensors(uint256 index, uint256 job, bytes memory blob)
        private
        pure
        returns (uint256[] memory sources)
    {
        unchecked {
            uint256[] calldata words = _arrayAt(KeyBlob.read(job + WORDS));
            uint256 wordCount;
            // Calldata offset of the next commitment. Beyond calldata there are zeros; the count is checked after.
            uint256 commitment = KeyBlob.read(job + COMMITMENTS) + 0x20;
            uint256 tensor = KeyBlob.tensors(blob);
            sources = new uint256[](KeyBlob.tensorCount(blob));
            uint256 source;
            uint256 end;
            assembly ("memory-safe") {
                source := add(sources, 0x20)
                end := add(source, shl(5, mload(sources)))
            }
            // Inputs and outputs come first: boundaries are left to the loop after this one.
            for (; source != end; source += 0x20) {
                uint256 kind = KeyBlob.read(tensor);
                if (kind == KeyBlob.KIND_BOUNDARY) break;
                uint256 value;
                if (kind == KeyBlob.KIND_PRIVATE_INPUT) {
                    value = _calldataAt(commitment);
                    commitment += 0x20;
                } else {
                    value = _placeWords(index, words, wordCount, tensor);
                    wordCount += value >> 128;
                }
                assembly ("memory-safe") {
                    mstore(source, value)
                }
                tensor += 32 * KeyBlob.TENSOR_WORDS;
            }
            assembly ("memory-safe") {
                calldatacopy(source, commitment, sub(end, source))
                commitment := add(commitment, sub(end, source))
            }
            if (wordCount != words.length) revert WordCountMismatch(index, wordCount, words.length);
            _requireCommitments(index, _arrayAt(KeyBlob.read(job + COMMITMENTS)), commitment);
        }
    }

    /// @dev The commitments end at this calldata offset, and each is below r.
    function _requireCommitments(uint256 index, uint256[] calldata commitments, uint256 end) private pure {
        unchecked {
            uint256 expected;
            bool inRange = true;
            assembly ("memory-safe") {
                let cursor := commitments.offset
                expected := shr(5, sub(end, cursor))
                for {} lt(cursor, end) { cursor := add(cursor, 0x20) } {
                    inRange := and(inRange, lt(calldataload(cursor), R))
                }
            }
            if (expected != commitments.length) revert CommitmentCountMismatch(index, expected, commitments.length);
            if (inRange) return;
            for (uint256 i = 0; i < commitments.length; ++i) {
                if (commitments[i] >= R) revert CommitmentOutOfRange(index, i, commitments[i]);
            }
        }
    }

    /// @dev Where the words of a public tensor are, from `start` on. Each has no bits but those of its digits. Words
    /// that are not there are not looked at: the caller will find that they are too few.
    function _placeWords(uint256 index, uint256[] calldata words, uint256 start, uint256 tensor)
        private
        pure
        returns (uint256 place)
    {
        unchecked {
            (uint256 n, uint256 full, uint256 last) =
                KeyBlob.packing(KeyBlob.read(tensor + 0x20), KeyBlob.read(tensor + 0x40));
            bool outOfRange;
            assembly ("memory-safe") {
                let cursor := add(words.offset, shl(5, start))
                place := or(cursor, shl(128, n))
                if iszero(gt(add(start, n), words.length)) {
                    let end := add(cursor, shl(5, sub(n, 1)))
                    let union := 0
                    for { let eights := add(cursor, and(sub(end, cursor), not(0xff))) } lt(cursor, eights) {
                        cursor := add(cursor, 0x100)
                    } {
                        union := or(union, or(calldataload(cursor), calldataload(add(cursor, 0x20))))
                        union := or(union, or(calldataload(add(cursor, 0x40)), calldataload(add(cursor, 0x60))))
                        union := or(union, or(calldataload(add(cursor, 0x80)), calldataload(add(cursor, 0xa0))))
                        union := or(union, or(calldataload(add(cursor, 0xc0)), calldataload(add(cursor, 0xe0))))
                    }
                    for {} lt(cursor, end) { cursor := add(cursor, 0x20) } { union := or(union, calldataload(cursor)) }
                    outOfRange := or(shr(full, union), shr(last, calldataload(end)))
                }
            }
            if (!outOfRange) return place;
            for (uint256 i = start; i < start + n; ++i) {
                uint256 maxBits = i == start + n - 1 ? last : full;
                if (words[i] >> maxBits != 0) revert WordOutOfRange(index, i, words[i], maxBits);
            }
        }
    }

    /// @dev The slices to prove, as a bitmap that names all of them where the bundle says 0; and that there are so many
    /// proofs.
    function _coverageOf(uint256 index, uint256 job, uint256 slices) private pure returns (uint256 covered) {
        unchecked {
            // At most 256 slices, for which the shift gives 0.
            uint256 all = slices == 256 ? type(uint256).max : (1 << slices) - 1;
            covered = _calldataAt(KeyBlob.read(job) + 0x60);
            if (covered >= all) revert CoverageOutOfRange(index, covered, slices);
            uint256 expected = PROOF_WORDS * slices;
            if (covered == 0) {
                covered = all;
            } else {
                expected = 0;
                for (uint256 bits = covered; bits != 0; bits &= bits - 1) {
                    expected += PROOF_WORDS;
                }
            }
            uint256 received = _calldataAt(KeyBlob.read(job + PROOFS));
            if (received != expected) revert ProofLengthMismatch(index, expected, received);
        }
    }

    /// @dev After a precompile failed: names the first proof with a coordinate ≥ q or a G1 point off the curve.
    function _explain(Combination memory combination) private pure {
        uint256 index;
        for (uint256 job = combination.jobs; job != combination.jobsEnd; job += JOB_BYTES) {
            _requirePoints(index++, job);
        }
        revert PrecompileFailed();
    }

    /// @dev All coordinates of a bundle's proofs are below q, and all G1 points on the curve. The precompiles see to it
    /// as well, but say nothing.
    function _requirePoints(uint256 index, uint256 job) private pure {
        uint256[] calldata proofs = _arrayAt(KeyBlob.read(job + PROOFS));
        for (uint256 i = 0; i < proofs.length; i += 2) {
            (uint256 x, uint256 y) = (proofs[i], proofs[i + 1]);
            if (x >= Q) revert CoordinateOutOfRange(index, i, x);
            if (y >= Q) revert CoordinateOutOfRange(index, i + 1, y);
            bool ofB = i % PROOF_WORDS == 2 || i % PROOF_WORDS == 4;
            if (!ofB && x | y != 0 && !BN254.isOnCurve(x, y)) revert PointNotOnCurve(index, i);
        }
    }

    // ------------------------------------------------------------------------------------------------ hashing

    /// @dev First pass. The transcript: BATCH_TAG, the number of bundles, then for each its model's digest, the bitmap of
    /// the slices proven, their h0s, and their proofs with −A in the place of A.
    function _hash(Combination memory combination, uint256 jobs, uint256 jobsEnd) private view {
        unchecked {
            uint256 transcript;
            uint256 entry;
            uint256 equation;
            bytes32 tag = BATCH_TAG;
            assembly ("memory-safe") {
                transcript := mload(0x40)
                mstore(transcript, tag)
                mstore(add(transcript, 0x20), div(sub(jobsEnd, jobs), JOB_BYTES))
                entry := add(transcript, 0x40)
                // Room for the greatest number of proofs; that there are no more, `_coverageOf` checks for each.
                let slices := 0
                for { let job := jobs } lt(job, jobsEnd) { job := add(job, JOB_BYTES) } {
                    slices := add(slices, div(calldataload(mload(add(job, PROOFS))), PROOF_WORDS))
                    entry := add(entry, 0x40)
                }
                equation := add(entry, mul(slices, add(0x20, PROOF_BYTES)))
                mstore(0x40, add(equation, mul(slices, EQUATION_BYTES)))
                entry := add(transcript, 0x40)
            }
            uint256 transcriptEnd = equation;
            combination.firstEquation = equation;
            bytes memory blob;
            bytes32 digest;
            for (uint256 job = jobs; job != jobsEnd; job += JOB_BYTES) {
                bytes32 next = bytes32(_calldataAt(KeyBlob.read(job)));
                if (next != digest || job == jobs) blob = KeyBlob.fetch(registry, next);
                digest = next;
                assembly ("memory-safe") {
                    mstore(add(job, BLOB), blob)
                    mstore(add(job, NEXT_EQUATION), equation)
                }
                (entry, equation) = _hashBundle((job - jobs) / JOB_BYTES, job, entry, equation);
                assembly ("memory-safe") {
                    mstore(add(job, LAST_EQUATION), equation)
                }
            }
            assembly ("memory-safe") {
                mstore(combination, keccak256(transcript, sub(transcriptEnd, transcript)))
            }
        }
    }

    /// @dev Checks a bundle, and writes its part of the transcript at `entry` and its equations at `equation`. Returns
    /// where each ends.
    function _hashBundle(uint256 index, uint256 job, uint256 entry, uint256 equation)
        private
        pure
        returns (uint256, uint256)
    {
        unchecked {
            Statement memory statement;
            uint256 head = KeyBlob.read(job);
            (statement.context, statement.owner) = (_calldataAt(head + 0x20), _calldataAt(head + 0x40));
            if (statement.context == 0 || statement.context >= R) revert ContextOutOfRange(index, statement.context);
            if (statement.owner >= R) revert OwnerOutOfRange(index, statement.owner);
            bytes memory blob = _blobOf(job);
            uint256 covered = _coverageOf(index, job, KeyBlob.sliceCount(blob));
            statement.sources = _placeTensors(index, job, blob);
            (statement.bundle, statement.job, statement.entry) = (index, job, entry + 0x40);
            assembly ("memory-safe") {
                mstore(entry, calldataload(head))
                mstore(add(entry, 0x20), covered)
                let proofs := mload(add(job, PROOFS))
                let words := calldataload(proofs)
                let proof := add(entry, add(0x40, shl(5, div(words, PROOF_WORDS))))
                calldatacopy(proof, add(proofs, 0x20), shl(5, words))
                mstore(add(statement, 0xc0), proof)
            }

            uint256 vkHash = KeyBlob.vkHashes(blob);
            uint256 wiring = KeyBlob.wirings(blob);
            uint256 record = KeyBlob.records(blob, wiring);
            for (uint256 k = 0; covered >> k != 0; ++k) {
                uint256 key = KeyBlob.points(record);
                record = key + POINT_BYTES;
                if ((covered >> k) & 1 == 1) {
                    assembly ("memory-safe") {
                        mstore(equation, key)
                    }
                    _hashSlice(statement, equation, vkHash, wiring);
                    equation += EQUATION_BYTES;
                }
                wiring = KeyBlob.afterWiring(wiring);
                vkHash += 0x20;
            }
            return (statement.proof, equation);
        }
    }

    /// @dev Writes a slice's h0 and the rest of its equation, and moves on to the next.
    function _hashSlice(Statement memory statement, uint256 equation, uint256 vkHash, uint256 wiring) private pure {
        bool ok;
        assembly ("memory-safe") {
            let proof := mload(add(statement, 0xc0))
            mstore(add(statement, 0xc0), add(proof, PROOF_BYTES))
            mstore(add(equation, PROOF), proof)
            // −(x, y) = (x, (q − y) mod q): the outer reduction keeps (0, 0) what it is, and y ≥ q would be y − q.
            let y := mload(add(proof, 0x20))
            ok := lt(y, Q)
            mstore(add(proof, 0x20), mod(sub(Q, y), Q))
            vkHash := mload(vkHash)
        }
        if (!ok) _requirePoints(statement.bundle, statement.job);
        bytes32 h0 = _hashPublics(statement, equation, vkHash, wiring);
        assembly ("memory-safe") {
            let entry := mload(add(statement, 0xa0))
            mstore(entry, h0)
            mstore(add(statement, 0xa0), add(entry, 0x20))
        }
    }

    /// @dev h0 of a slice; notes its χ and F.
    function _hashPublics(Statement memory statement, uint256 equation, uint256 vkHash, uint256 wiring)
        private
        pure
        returns (bytes32 h0)
    {
        bytes32 tag = CHALLENGE_TAG;
        // Memory map, in words, from the free memory pointer on:
        //   0 CHALLENGE_TAG   1 vkHash   2 p   3 x (p words)   3+p n   4+p words (n words)   4+p+n C1 (2 words)
        // It is scratch: nothing of it stays.
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            let x := add(preimage, 0x60)
            let post := add(x, shl(5, mload(wiring)))
            let sources := add(mload(add(statement, 0x60)), 0x20)
            // The registry sees to it that the context comes first, then the owner if it comes at all, then commitments
            // only, read or written.
            mstore(x, mload(add(statement, 0x20)))
            x := add(x, 0x20)
            let slot := add(wiring, 0x40)
            if lt(x, post) {
                if eq(shr(32, mload(slot)), 2) {
                    mstore(x, mload(add(statement, 0x40)))
                    x := add(x, 0x20)
                    slot := add(slot, 0x20)
                }
                for {} lt(x, post) {} {
                    mstore(x, mload(add(sources, shl(5, and(mload(slot), 0xffffffff)))))
                    x := add(x, 0x20)
                    slot := add(slot, 0x20)
                }
            }

            mstore(preimage, tag)
            mstore(add(preimage, 0x20), vkHash)
            mstore(add(preimage, 0x40), mload(wiring))
            let firstWord := add(post, 0x20)
            let end := firstWord
            for { let last := add(slot, shl(5, mload(slot))) } lt(slot, last) {} {
                slot := add(slot, 0x20)
                let source := mload(add(sources, shl(5, mload(slot))))
                let size := shl(5, shr(128, source))
                calldatacopy(end, and(source, 0xffffffffffffffffffffffffffffffff), size)
                end := add(end, size)
            }
            mstore(post, shr(5, sub(end, firstWord)))
            mcopy(end, add(mload(add(equation, PROOF)), 0xc0), 0x40)
            h0 := keccak256(preimage, add(sub(end, preimage), 0x40))

            // F = (e_1 + (e_2 + …)·χ)·χ, from the last word: first those beyond a multiple of four, then four at a time,
            // then x. The sums are below 2^256: terms and r are below 2^254.
            let challenge := mod(h0, R)
            let fingerprint := 0
            for { let fours := add(firstWord, and(sub(end, firstWord), not(0x7f))) } gt(end, fours) {} {
                end := sub(end, 0x20)
                fingerprint := mulmod(add(fingerprint, mload(end)), challenge, R)
            }
            for {} gt(end, firstWord) {} {
                end := sub(end, 0x80)
                fingerprint := mulmod(add(fingerprint, mload(add(end, 0x60))), challenge, R)
                fingerprint := mulmod(add(fingerprint, mload(add(end, 0x40))), challenge, R)
                fingerprint := mulmod(add(fingerprint, mload(add(end, 0x20))), challenge, R)
                fingerprint := mulmod(add(fingerprint, mload(end)), challenge, R)
            }
            for { let firstX := add(preimage, 0x60) } gt(post, firstX) {} {
                post := sub(post, 0x20)
                fingerprint := mulmod(add(fingerprint, mload(post)), challenge, R)
            }
            mstore(add(equation, CHALLENGE), challenge)
            mstore(add(equation, FINGERPRINT), fingerprint)
        }
    }

    // ------------------------------------------------------------------------------------------------ curve

    /// @dev Second pass: writes the pairs from the free memory pointer on, setup by setup, model by model and slice by
    /// slice, and checks their product. A pair's second half is scratch until its G2 point is written.
    function _combine(Combination memory combination, uint256 jobs, uint256 jobsEnd) private view {
        unchecked {
            uint256 pairs;
            assembly ("memory-safe") {
                pairs := mload(0x40)
            }
            combination.end = pairs;
            while (jobs != jobsEnd) {
                bytes32 setupDigest = KeyBlob.setupDigest(_blobOf(jobs));
                // α, β, γ are the same in every slice of the setup.
                uint256 key = KeyBlob.read(KeyBlob.read(jobs + NEXT_EQUATION));
                uint256 alpha = combination.end;
                (combination.l, combination.empty, combination.rhoSum) = (alpha + PAIR_BYTES, true, 0);
                combination.end = alpha + 2 * PAIR_BYTES;
                do {
                    uint256 blob = KeyBlob.read(jobs + BLOB);
                    uint256 from = jobs;
                    do {
                        jobs += JOB_BYTES;
                    } while (jobs != jobsEnd && KeyBlob.read(jobs + BLOB) == blob);
                    _combineModel(combination, from, jobs);
                } while (jobs != jobsEnd && KeyBlob.setupDigest(_blobOf(jobs)) == setupDigest);

                // (Σρ·α, β) and (Σρ·L, γ).
                _multiply(combination, alpha, key, combination.rhoSum);
                assembly ("memory-safe") {
                    mcopy(add(alpha, 0x40), add(key, 0x40), 0x80)
                    mcopy(add(alpha, 0x100), add(key, 0xc0), 0x80)
                }
            }
            _requirePairingProductIsOne(combination, pairs);
        }
    }

    /// @dev Combines the bundles of some jobs, all of one model, slice by slice. Each has its equations in the order of
    /// slices, and so are the key records, whose addresses tell the slices apart.
    function _combineModel(Combination memory combination, uint256 jobs, uint256 jobsEnd) private view {
        unchecked {
            if (jobs + JOB_BYTES == jobsEnd) {
                uint256 last = KeyBlob.read(jobs + LAST_EQUATION);
                for (uint256 e = KeyBlob.read(jobs + NEXT_EQUATION); e != last; e += EQUATION_BYTES) {
                    uint256 rho = _rho(combination, e);
                    _begin(combination, e, rho);
                    _finish(combination, KeyBlob.read(e));
                }
                return;
            }
            while (true) {
                uint256 key = type(uint256).max;
                for (uint256 job = jobs; job != jobsEnd; job += JOB_BYTES) {
                    uint256 equation = KeyBlob.read(job + NEXT_EQUATION);
                    if (equation == KeyBlob.read(job + LAST_EQUATION)) continue;
                    uint256 candidate = KeyBlob.read(equation);
                    if (candidate < key) key = candidate;
                }
                if (key == type(uint256).max) return;
                _combineSlice(combination, jobs, jobsEnd, key);
            }
        }
    }

    /// @dev Combines the equations of the slice with this key.
    function _combineSlice(Combination memory combination, uint256 jobs, uint256 jobsEnd, uint256 key) private view {
        unchecked {
            // The slice's first pair, once there is one.
            uint256 commitments;
            for (uint256 job = jobs; job != jobsEnd; job += JOB_BYTES) {
                uint256 equation = KeyBlob.read(job + NEXT_EQUATION);
                if (equation == KeyBlob.read(job + LAST_EQUATION) || KeyBlob.read(equation) != key) continue;
                assembly ("memory-safe") {
                    mstore(add(job, NEXT_EQUATION), add(equation, EQUATION_BYTES))
                }
                uint256 rho = _rho(combination, equation);
                if (commitments == 0) {
                    commitments = combination.end;
                    _begin(combination, equation, rho);
                } else {
                    _join(combination, commitments, equation, rho);
                }
            }
            _finish(combination, key);
        }
    }

    /// @dev Begins a slice with its first equation: appends (ρ·C1, δ1), (ρ·C2, δ2) and (−ρ·A, B), and sets the sums of
    /// scalars.
    function _begin(Combination memory combination, uint256 equation, uint256 rho) private view {
        uint256 mulGas = _ecMulGas;
        bool ok = true;
        // Memory map of a pair, here and below: G1 point (2 words), G2 point (4), whose first word holds ECMUL's scalar
        // before. Arguments are evaluated from the last to the first: a call comes before its returndatasize().
        assembly ("memory-safe") {
            let pair := mload(add(combination, 0x40))
            let second := add(pair, PAIR_BYTES)
            let a := add(second, PAIR_BYTES)
            let proof := mload(add(equation, PROOF))
            mcopy(pair, add(proof, 0xc0), 0x40)
            mcopy(second, add(proof, 0x100), 0x40)
            mcopy(a, proof, 0x40)
            if iszero(eq(rho, 1)) {
                mstore(add(pair, 0x40), rho)
                mstore(add(second, 0x40), rho)
                mstore(add(a, 0x40), rho)
                ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, pair, 0x60, pair, 0x40))
                ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, second, 0x60, second, 0x40)), ok)
                ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, a, 0x60, a, 0x40)), ok)
            }
            let key := mload(equation)
            mcopy(add(pair, 0x40), add(key, DELTA_1), 0x80)
            mcopy(add(second, 0x40), add(key, DELTA_2), 0x80)
            mcopy(add(a, 0x40), add(proof, 0x40), 0x80)
            mstore(add(combination, 0x40), add(a, PAIR_BYTES))

            mstore(add(combination, 0xc0), rho)
            mstore(add(combination, 0xe0), mulmod(mload(add(equation, CHALLENGE)), rho, R))
            mstore(add(combination, 0x100), mulmod(mload(add(equation, FINGERPRINT)), rho, R))
        }
        if (!ok) _explain(combination);
    }

    /// @dev Adds another equation of the slice, of which the first pair is at `commitments`: its ρ·C1, ρ·C2 and scalars,
    /// and a pair (−ρ·A, B).
    function _join(Combination memory combination, uint256 commitments, uint256 equation, uint256 rho) private view {
        (uint256 addGas, uint256 mulGas) = (_ecAddGas, _ecMulGas);
        bool ok = true;
        assembly ("memory-safe") {
            // Memory map of the scratch, where the next pair goes: the pair's point (2 words), term (2), scalar (1).
            let pair := mload(add(combination, 0x40))
            let term := add(pair, 0x40)
            let proof := mload(add(equation, PROOF))
            let end := add(proof, PROOF_BYTES)
            for { let point := add(proof, 0xc0) } lt(point, end) { point := add(point, 0x40) } {
                mcopy(pair, commitments, 0x40)
                mcopy(term, point, 0x40)
                mstore(add(pair, 0x80), rho)
                ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, term, 0x60, term, 0x40)), ok)
                ok := and(and(eq(returndatasize(), 0x40), staticcall(addGas, 6, pair, 0x80, commitments, 0x40)), ok)
                if iszero(ok) { break }
                commitments := add(commitments, PAIR_BYTES)
            }
            mcopy(pair, proof, 0x40)
            mstore(term, rho)
            ok := and(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, pair, 0x60, pair, 0x40)), ok)
            mcopy(term, add(proof, 0x40), 0x80)
            mstore(add(combination, 0x40), add(pair, PAIR_BYTES))

            let sum := add(combination, 0xc0)
            mstore(sum, addmod(mload(sum), rho, R))
            sum := add(combination, 0xe0)
            mstore(sum, addmod(mload(sum), mulmod(mload(add(equation, CHALLENGE)), rho, R), R))
            sum := add(combination, 0x100)
            mstore(sum, addmod(mload(sum), mulmod(mload(add(equation, FINGERPRINT)), rho, R), R))
        }
        if (!ok) _explain(combination);
    }

    /// @dev Ends a slice: its part of Σρ and of Σρ·L.
    function _finish(Combination memory combination, uint256 key) private view {
        (uint256 addGas, uint256 mulGas) = (_ecAddGas, _ecMulGas);
        bool ok = true;
        combination.rhoSum = addmod(combination.rhoSum, combination.sliceRho, R);
        // Memory map of L's pair: sum (2 words), term (2), scalar (1). ECMUL reads term and scalar and writes the term;
        // ECADD reads sum and term and writes the sum.
        assembly ("memory-safe") {
            let l := mload(add(combination, 0x60))
            let term := add(l, 0x40)
            let ic := add(key, IC)
            let scalar := add(combination, 0xc0)
            if mload(add(combination, 0x80)) {
                mstore(add(combination, 0x80), 0)
                mcopy(l, ic, 0x40)
                if iszero(eq(mload(scalar), 1)) {
                    mstore(term, mload(scalar))
                    ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, l, 0x60, l, 0x40))
                }
                ic := add(ic, 0x40)
                scalar := add(scalar, 0x20)
            }
            for { let end := add(combination, 0x120) } and(lt(scalar, end), ok) {} {
                mcopy(term, ic, 0x40)
                mstore(add(l, 0x80), mload(scalar))
                ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, term, 0x60, term, 0x40))
                ok := and(and(eq(returndatasize(), 0x40), staticcall(addGas, 6, l, 0x80, l, 0x40)), ok)
                ic := add(ic, 0x40)
                scalar := add(scalar, 0x20)
            }
        }
        if (!ok) _explain(combination);
    }

    /// @dev ρ of an equation.
    function _rho(Combination memory combination, uint256 equation) private pure returns (uint256 rho) {
        assembly ("memory-safe") {
            rho := 1
            let index := div(sub(equation, mload(add(combination, 0x20))), EQUATION_BYTES)
            if index {
                mstore(0x00, mload(combination))
                mstore(0x20, index)
                rho := mod(keccak256(0x00, 0x40), R)
            }
        }
    }

    /// @dev pair.G1 = scalar·point.
    function _multiply(Combination memory combination, uint256 pair, uint256 point, uint256 scalar) private view {
        uint256 mulGas = _ecMulGas;
        bool ok = true;
        assembly ("memory-safe") {
            mcopy(pair, point, 0x40)
            if iszero(eq(scalar, 1)) {
                mstore(add(pair, 0x40), scalar)
                ok := and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, pair, 0x60, pair, 0x40))
            }
        }
        if (!ok) _explain(combination);
    }

    /// @dev The pairing precompile on all pairs.
    function _requirePairingProductIsOne(Combination memory combination, uint256 pairs) private view {
        uint256 end = combination.end;
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
        if (!ok) _explain(combination);
        if (product != 1) revert InvalidBundle();
    }
}
