// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "./interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {BN254} from "./libraries/BN254.sol";
import {KeyBlob} from "./libraries/KeyBlob.sol";

/// @title Verifier of bundles
/// @notice See `IBundleVerifier`.
/// @dev For a slice k with public inputs x_1 … x_p (from the wiring) and public words w_1 … w_n:
///
///     h0 = keccak256(CHALLENGE_TAG ‖ vkHash ‖ p ‖ x ‖ n ‖ w ‖ C1),  χ = h0 mod r,  F = Σ w_j·χ^j
///     L  = IC_0 + Σ x_j·IC_j + χ·IC_χ + F·IC_F
///     e(−A, B)·e(α, β)·e(L, γ)·e(C1, δ1)·e(C2, δ2) = 1
///
/// and in plain form (no challenge) h0 = keccak256(vkHash ‖ x), L = IC_0 + Σ x_j·IC_j, without C1. All slices share
/// α, β, γ. The equations are checked at once, to the powers ρ_0 = 1 and ρ_k = keccak256(seed ‖ k) mod r, where the
/// seed hashes the model's digest and every h0, A, B, C1, C2: nobody knows a ρ before all that it multiplies is fixed.
contract BundleVerifier is IBundleVerifier {
    bytes32 private constant CHALLENGE_TAG = keccak256("zkslice/challenge/v1");
    bytes32 private constant BATCH_TAG = keccak256("zkslice/batch/v1");

    /// @dev `BN254.R` and `BN254.Q` once more: inline assembly takes literal constants only.
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    uint256 private constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    /// @dev Words of a slice's proof: A (2), B (4), C1 (2), C2 (2).
    uint256 private constant PROOF_WORDS = 10;
    /// @dev Words of a pair in the pairing precompile's input.
    uint256 private constant PAIR_WORDS = 6;

    IModelRegistry public immutable registry;

    // Gas forwarded to the precompiles. A failing precompile burns what it is given, so it is not given everything.
    uint256 private immutable _ecAddGas;
    uint256 private immutable _ecMulGas;
    uint256 private immutable _pairingBaseGas;
    uint256 private immutable _pairingPerPairGas;

    /// @dev What is being verified.
    struct Statement {
        bytes32 modelDigest;
        uint256 context;
        uint256 owner;
        bytes blob;
        /// For each tensor, where its words or its commitment are: see `_placeTensors`.
        uint256[] sources;
        /// Calldata offset of slice 0's proof; the others follow.
        uint256 proofs;
    }

    /// @dev A slice on its way from hashing to the pairing.
    struct Slice {
        /// Memory address of IC_0 in the key record.
        uint256 ic;
        /// Memory address of the first delta in the key record: one in plain form, two in committed form, then IC.
        uint256 deltas;
        /// `KeyBlob.FORM_PLAIN` or `KeyBlob.FORM_COMMITTED`.
        uint256 form;
        /// Scalars of IC_1 …: x, then χ and F where the slice has them.
        uint256[] scalars;
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
    function verifyBundle(
        bytes32 modelDigest,
        uint256 context,
        uint256 owner,
        uint256[] calldata words,
        uint256[] calldata commitments,
        uint256[] calldata proofs
    ) external view {
        _requireCanonicalCalldata(words, commitments, proofs);
        if (context == 0 || context >= R) revert ContextOutOfRange(context);
        if (owner >= R) revert OwnerOutOfRange(owner);

        Statement memory statement;
        (statement.modelDigest, statement.context, statement.owner) = (modelDigest, context, owner);
        statement.blob = KeyBlob.fetch(registry, modelDigest);
        statement.sources = _placeTensors(statement.blob, words, commitments);
        statement.proofs = _placeProofs(statement.blob, proofs);

        (Slice[] memory slices, bytes32 seed) = _hashSlices(statement);
        _checkPairing(slices, seed, statement.proofs);
    }

    // ------------------------------------------------------------------------------------------------ statement

    /// @dev The arrays follow one another in calldata, which ends with the last: one encoding for each list of
    /// arguments.
    function _requireCanonicalCalldata(
        uint256[] calldata words,
        uint256[] calldata commitments,
        uint256[] calldata proofs
    ) private pure {
        bool canonical;
        assembly ("memory-safe") {
            // Selector, six words of head, the first array's length.
            canonical := eq(words.offset, 0xe4)
            canonical := and(canonical, eq(commitments.offset, add(add(words.offset, shl(5, words.length)), 0x20)))
            canonical := and(
                canonical,
                eq(proofs.offset, add(add(commitments.offset, shl(5, commitments.length)), 0x20))
            )
            canonical := and(canonical, eq(calldatasize(), add(proofs.offset, shl(5, proofs.length))))
        }
        if (!canonical) revert NonCanonicalCalldata();
    }

    /// @dev Checks counts and ranges of words and commitments.
    /// @return sources For each tensor, the calldata offset of its first word or its commitment, and 2^128 times its
    /// length in words.
    function _placeTensors(bytes memory blob, uint256[] calldata words, uint256[] calldata commitments)
        private
        pure
        returns (uint256[] memory sources)
    {
        sources = new uint256[](KeyBlob.tensorCount(blob));
        uint256 tensor = KeyBlob.tensors(blob);
        uint256 wordCount;
        uint256 commitmentCount;
        unchecked {
            for (uint256 t = 0; t < sources.length; ++t) {
                uint256 kind = KeyBlob.read(tensor);
                uint256 place;
                if (kind == KeyBlob.KIND_PUBLIC_INPUT || kind == KeyBlob.KIND_OUTPUT) {
                    (uint256 n, uint256 full, uint256 last) =
                        KeyBlob.packing(KeyBlob.read(tensor + 0x20), KeyBlob.read(tensor + 0x40));
                    if (wordCount + n <= words.length) _requireWords(words, wordCount, n, full, last);
                    assembly ("memory-safe") {
                        place := or(add(words.offset, shl(5, wordCount)), shl(128, n))
                    }
                    wordCount += n;
                } else {
                    assembly ("memory-safe") {
                        place := or(add(commitments.offset, shl(5, commitmentCount)), shl(128, 1))
                    }
                    ++commitmentCount;
                }
                assembly ("memory-safe") {
                    mstore(add(add(sources, 0x20), shl(5, t)), place)
                }
                tensor += 32 * KeyBlob.TENSOR_WORDS;
            }
            if (wordCount != words.length) revert WordCountMismatch(wordCount, words.length);
            if (commitmentCount != commitments.length) {
                revert CommitmentCountMismatch(commitmentCount, commitments.length);
            }
            for (uint256 i = 0; i < commitmentCount; ++i) {
                if (commitments[i] >= R) revert CommitmentOutOfRange(i, commitments[i]);
            }
        }
    }

    /// @dev Each of a tensor's words has no bits but those of its digits.
    function _requireWords(uint256[] calldata words, uint256 start, uint256 n, uint256 full, uint256 last)
        private
        pure
    {
        bool outOfRange;
        assembly ("memory-safe") {
            let cursor := add(words.offset, shl(5, start))
            let end := add(cursor, shl(5, sub(n, 1)))
            let union := 0
            for { let fours := add(cursor, and(sub(end, cursor), not(0x7f))) } lt(cursor, fours) {
                cursor := add(cursor, 0x80)
            } {
                let low := or(calldataload(cursor), calldataload(add(cursor, 0x20)))
                let high := or(calldataload(add(cursor, 0x40)), calldataload(add(cursor, 0x60)))
                union := or(union, or(low, high))
            }
            for {} lt(cursor, end) { cursor := add(cursor, 0x20) } { union := or(union, calldataload(cursor)) }
            outOfRange := or(shr(full, union), shr(last, calldataload(end)))
        }
        if (!outOfRange) return;
        for (uint256 i = 0; i < n; ++i) {
            uint256 maxBits = i == n - 1 ? last : full;
            if (words[start + i] >> maxBits != 0) revert WordOutOfRange(start + i, words[start + i], maxBits);
        }
    }

    /// @dev Checks that there is the right number of proof words, each below q. Returns their calldata offset.
    function _placeProofs(bytes memory blob, uint256[] calldata proofs) private pure returns (uint256 offset) {
        unchecked {
            uint256 expected = PROOF_WORDS * KeyBlob.sliceCount(blob);
            if (proofs.length != expected) revert ProofLengthMismatch(expected, proofs.length);
            bool inRange = true;
            assembly ("memory-safe") {
                offset := proofs.offset
                let cursor := offset
                // Five at a time: a proof has ten.
                for { let end := add(cursor, shl(5, expected)) } lt(cursor, end) { cursor := add(cursor, 0xa0) } {
                    let low := and(lt(calldataload(cursor), Q), lt(calldataload(add(cursor, 0x20)), Q))
                    let high := and(lt(calldataload(add(cursor, 0x40)), Q), lt(calldataload(add(cursor, 0x60)), Q))
                    inRange := and(inRange, and(lt(calldataload(add(cursor, 0x80)), Q), and(low, high)))
                }
            }
            if (inRange) return offset;
            for (uint256 i = 0; i < expected; ++i) {
                if (proofs[i] >= Q) revert CoordinateOutOfRange(i, proofs[i]);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ hashing

    /// @dev Gathers each slice's public inputs by the wiring, derives χ and F, and hashes everything into the seed of
    /// the ρs.
    function _hashSlices(Statement memory statement) private pure returns (Slice[] memory slices, bytes32 seed) {
        unchecked {
            bytes memory blob = statement.blob;
            slices = new Slice[](KeyBlob.sliceCount(blob));
            uint256 wiring = KeyBlob.wirings(blob);
            uint256 record = wiring;
            for (uint256 k = 0; k < slices.length; ++k) {
                record = KeyBlob.afterWiring(record);
            }

            // Transcript: BATCH_TAG, model digest, then for each slice h0 and its proof.
            uint256[] memory transcript = new uint256[](2 + (1 + PROOF_WORDS) * slices.length);
            transcript[0] = uint256(BATCH_TAG);
            transcript[1] = uint256(statement.modelDigest);
            uint256 entry;
            assembly ("memory-safe") {
                entry := add(transcript, 0x60)
            }
            uint256 proof = statement.proofs;
            for (uint256 k = 0; k < slices.length; ++k) {
                uint256 vkHash = KeyBlob.read(KeyBlob.vkHashes(blob) + 32 * k);
                bytes32 h0;
                (record, h0) = _hashSlice(statement, slices[k], vkHash, record, wiring, proof);
                wiring = KeyBlob.afterWiring(wiring);

                uint256 c1;
                assembly ("memory-safe") {
                    mstore(entry, h0)
                    calldatacopy(add(entry, 0x20), proof, mul(32, PROOF_WORDS))
                    c1 := or(mload(add(entry, 0xe0)), mload(add(entry, 0x100)))
                }
                if (slices[k].form == KeyBlob.FORM_PLAIN && c1 != 0) revert UnexpectedFirstCommitment(k);
                entry += 32 * (1 + PROOF_WORDS);
                proof += 32 * PROOF_WORDS;
            }
            assembly ("memory-safe") {
                seed := keccak256(add(transcript, 0x20), shl(5, mload(transcript)))
            }
        }
    }

    /// @dev Fills in the slice. Returns the cursor after its key record, and h0.
    function _hashSlice(
        Statement memory statement,
        Slice memory slice,
        uint256 vkHash,
        uint256 record,
        uint256 wiring,
        uint256 proof
    ) private pure returns (uint256 next, bytes32 h0) {
        unchecked {
            uint256 publics = KeyBlob.read(wiring);
            slice.form = KeyBlob.read(record + 0x20);
            uint256 codeCount = record + 32 * (5 + 2 * KeyBlob.read(record + 0x80));
            uint256 posts = KeyBlob.read(codeCount);
            slice.deltas = codeCount + 32 * (11 + posts);
            slice.ic = slice.deltas + 0x80 * (1 + slice.form);
            next = slice.ic + 0x40 * (1 + publics + posts);

            slice.scalars = new uint256[](publics + posts);
            _gatherPublics(statement, slice.scalars, wiring);
            h0 = slice.form == KeyBlob.FORM_PLAIN
                ? _hashPlain(slice.scalars, vkHash)
                : _hashCommitted(statement.sources, slice.scalars, vkHash, wiring, proof);
        }
    }

    /// @dev Puts x_1 … x_p at the start of `scalars`.
    function _gatherPublics(Statement memory statement, uint256[] memory scalars, uint256 wiring) private pure {
        uint256 context = statement.context;
        uint256 owner = statement.owner;
        uint256[] memory sources = statement.sources;
        assembly ("memory-safe") {
            let x := add(scalars, 0x20)
            let slot := add(wiring, 0x20)
            for { let end := add(slot, shl(5, mload(wiring))) } lt(slot, end) { slot := add(slot, 0x20) } {
                let role := shr(32, mload(slot))
                switch role
                case 1 { mstore(x, context) }
                case 2 { mstore(x, owner) }
                default {
                    // A commitment, read or written: `sources[tensor]` has its calldata offset in the low half.
                    let source := mload(add(add(sources, 0x20), shl(5, and(mload(slot), 0xffffffff))))
                    mstore(x, calldataload(and(source, 0xffffffffffffffffffffffffffffffff)))
                }
                x := add(x, 0x20)
            }
        }
    }

    /// @dev h0 of a slice without a challenge, whose scalars are x alone.
    function _hashPlain(uint256[] memory scalars, uint256 vkHash) private pure returns (bytes32 h0) {
        assembly ("memory-safe") {
            let size := shl(5, mload(scalars))
            let buffer := mload(0x40)
            mstore(buffer, vkHash)
            mcopy(add(buffer, 0x20), add(scalars, 0x20), size)
            h0 := keccak256(buffer, add(size, 0x20))
        }
    }

    /// @dev h0 of a slice with a challenge; puts χ, and F if there are words, after x in `scalars`.
    function _hashCommitted(
        uint256[] memory sources,
        uint256[] memory scalars,
        uint256 vkHash,
        uint256 wiring,
        uint256 proof
    ) private pure returns (bytes32 h0) {
        bytes32 tag = CHALLENGE_TAG;
        // Memory map of the buffer, in words, beyond the free memory pointer (nothing is allocated before it is
        // hashed):
        //   0 CHALLENGE_TAG   1 vkHash   2 p   3 x (p words)   3+p n   4+p words (n words)   4+p+n C1 (2 words)
        assembly ("memory-safe") {
            let publics := mload(wiring)
            let buffer := mload(0x40)
            mstore(buffer, tag)
            mstore(add(buffer, 0x20), vkHash)
            mstore(add(buffer, 0x40), publics)
            mcopy(add(buffer, 0x60), add(scalars, 0x20), shl(5, publics))
            let wordsLength := add(buffer, add(0x60, shl(5, publics)))
            let firstWord := add(wordsLength, 0x20)

            let end := firstWord
            let group := add(wiring, shl(5, add(publics, 1)))
            for { let last := add(group, shl(5, mload(group))) } lt(group, last) {} {
                group := add(group, 0x20)
                let source := mload(add(add(sources, 0x20), shl(5, mload(group))))
                let size := shl(5, shr(128, source))
                calldatacopy(end, and(source, 0xffffffffffffffffffffffffffffffff), size)
                end := add(end, size)
            }
            mstore(wordsLength, shr(5, sub(end, firstWord)))
            calldatacopy(end, add(proof, 0xc0), 0x40)
            h0 := keccak256(buffer, sub(add(end, 0x40), buffer))

            let challenge := mod(h0, R)
            let post := add(add(scalars, 0x20), shl(5, publics))
            mstore(post, challenge)
            if gt(end, firstWord) {
                // F = (w_1 + (w_2 + …)·χ)·χ, from the last word: first those beyond a multiple of four, then four at
                // a time. The sums are below 2^256: a word has at most 253 bits, r has 254.
                let fingerprint := 0
                let cursor := end
                for { let fours := add(firstWord, and(sub(end, firstWord), not(0x7f))) } gt(cursor, fours) {} {
                    cursor := sub(cursor, 0x20)
                    fingerprint := mulmod(add(fingerprint, mload(cursor)), challenge, R)
                }
                for {} gt(cursor, firstWord) {} {
                    cursor := sub(cursor, 0x80)
                    fingerprint := mulmod(add(fingerprint, mload(add(cursor, 0x60))), challenge, R)
                    fingerprint := mulmod(add(fingerprint, mload(add(cursor, 0x40))), challenge, R)
                    fingerprint := mulmod(add(fingerprint, mload(add(cursor, 0x20))), challenge, R)
                    fingerprint := mulmod(add(fingerprint, mload(cursor)), challenge, R)
                }
                mstore(add(post, 0x20), fingerprint)
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ curve

    /// @dev Combines the slices' equations and checks their pairing product.
    function _checkPairing(Slice[] memory slices, bytes32 seed, uint256 proof) private view {
        unchecked {
            uint256[] memory pairs = new uint256[](PAIR_WORDS * (2 + 3 * slices.length));
            uint256 end;
            assembly ("memory-safe") {
                end := add(pairs, 0x20)
            }
            // Σ ρ_k·L_k, and scratch for the terms.
            uint256[2] memory sum;
            uint256[5] memory work;
            uint256 rhoSum;
            for (uint256 k = 0; k < slices.length; ++k) {
                uint256 rho = 1;
                if (k != 0) {
                    assembly ("memory-safe") {
                        mstore(0x00, seed)
                        mstore(0x20, k)
                        rho := mod(keccak256(0x00, 0x40), R)
                    }
                }
                rhoSum = addmod(rhoSum, rho, R);

                _linearCombination(work, slices[k]);
                if (k == 0) {
                    assembly ("memory-safe") {
                        mcopy(sum, work, 0x40)
                    }
                } else {
                    _scale(work, rho);
                    _accumulate(sum, work);
                }

                end = _appendProof(end, work, rho, proof, slices[k]);
                proof += 32 * PROOF_WORDS;
            }

            // α, β, γ come just before the first slice's deltas, as in every slice of the setup.
            uint256 key = slices[0].deltas - 0x140;
            assembly ("memory-safe") {
                mcopy(work, key, 0x40)
            }
            _scale(work, rhoSum);
            assembly ("memory-safe") {
                mcopy(end, work, 0x40)
                mcopy(add(end, 0x40), add(key, 0x40), 0x80)
                mcopy(add(end, 0xc0), sum, 0x40)
                mcopy(add(end, 0x100), add(key, 0xc0), 0x80)
                end := add(end, 0x180)
            }
            _requirePairingProductIsOne(pairs, end);
        }
    }

    /// @dev work[0..1] = L = IC_0 + Σ scalar_j·IC_j.
    function _linearCombination(uint256[5] memory work, Slice memory slice) private view {
        (uint256 addGas, uint256 mulGas) = (_ecAddGas, _ecMulGas);
        uint256 ic = slice.ic;
        uint256[] memory scalars = slice.scalars;
        uint256 failed;
        // Memory map of work: sum (2 words), term (2), scalar (1). ECMUL reads term and scalar and writes the term;
        // ECADD reads sum and term and writes the sum.
        assembly ("memory-safe") {
            mcopy(work, ic, 0x40)
            let term := add(work, 0x40)
            let scalar := add(scalars, 0x20)
            for { let last := add(scalar, shl(5, mload(scalars))) } lt(scalar, last) { scalar := add(scalar, 0x20) } {
                ic := add(ic, 0x40)
                mcopy(term, ic, 0x40)
                mstore(add(work, 0x80), mload(scalar))
                // Arguments are evaluated from the last to the first: the call comes before its returndatasize().
                if iszero(and(eq(returndatasize(), 0x40), staticcall(mulGas, 7, term, 0x60, term, 0x40))) {
                    failed := 7
                    break
                }
                if iszero(and(eq(returndatasize(), 0x40), staticcall(addGas, 6, work, 0x80, work, 0x40))) {
                    failed := 6
                    break
                }
            }
        }
        if (failed != 0) revert PrecompileFailed(failed == 6 ? BN254.ECADD : BN254.ECMUL);
    }

    /// @dev work[0..1] = scalar·work[0..1].
    function _scale(uint256[5] memory work, uint256 scalar) private view {
        if (scalar == 1) return;
        uint256 mulGas = _ecMulGas;
        bool ok;
        assembly ("memory-safe") {
            mstore(add(work, 0x40), scalar)
            ok := staticcall(mulGas, 7, work, 0x60, work, 0x40)
            ok := and(ok, eq(returndatasize(), 0x40))
        }
        if (!ok) revert PrecompileFailed(BN254.ECMUL);
    }

    /// @dev sum = sum + work[0..1].
    function _accumulate(uint256[2] memory sum, uint256[5] memory work) private view {
        uint256 addGas = _ecAddGas;
        bool ok;
        assembly ("memory-safe") {
            mcopy(add(work, 0x40), sum, 0x40)
            ok := staticcall(addGas, 6, work, 0x80, sum, 0x40)
            ok := and(ok, eq(returndatasize(), 0x40))
        }
        if (!ok) revert PrecompileFailed(BN254.ECADD);
    }

    /// @dev Appends the pairs (−ρA, B), (ρC1, δ1) and (ρC2, δ2), without the second in plain form. Returns the new end.
    function _appendProof(uint256 end, uint256[5] memory work, uint256 rho, uint256 proof, Slice memory slice)
        private
        view
        returns (uint256)
    {
        unchecked {
            assembly ("memory-safe") {
                // −(x, y) = (x, (q − y) mod q): the outer reduction keeps (0, 0) what it is.
                calldatacopy(work, proof, 0x20)
                mstore(add(work, 0x20), mod(sub(Q, calldataload(add(proof, 0x20))), Q))
                calldatacopy(add(end, 0x40), add(proof, 0x40), 0x80)
            }
            _scale(work, rho);
            assembly ("memory-safe") {
                mcopy(end, work, 0x40)
            }
            end += 0xc0;

            // The last commitment goes with the last delta, so a plain proof skips the first.
            uint256 delta = slice.deltas;
            uint256 point = proof + 0xc0 + 0x40 * (1 - slice.form);
            for (; delta < slice.ic; delta += 0x80) {
                assembly ("memory-safe") {
                    calldatacopy(work, point, 0x40)
                }
                _scale(work, rho);
                assembly ("memory-safe") {
                    mcopy(end, work, 0x40)
                    mcopy(add(end, 0x40), delta, 0x80)
                }
                point += 0x40;
                end += 0xc0;
            }
            return end;
        }
    }

    /// @dev The pairing precompile on all pairs up to `end`.
    function _requirePairingProductIsOne(uint256[] memory pairs, uint256 end) private view {
        uint256 size;
        assembly ("memory-safe") {
            size := sub(end, add(pairs, 0x20))
        }
        uint256 cap;
        unchecked {
            cap = _pairingBaseGas + _pairingPerPairGas * (size / 0xc0);
        }
        bool ok;
        uint256 product;
        assembly ("memory-safe") {
            // A word apart from the input, and zero beforehand: without a precompile nothing would be written.
            mstore(0x00, 0)
            ok := staticcall(cap, 8, add(pairs, 0x20), size, 0x00, 0x20)
            ok := and(ok, eq(returndatasize(), 0x20))
            product := mload(0x00)
        }
        if (!ok) revert PrecompileFailed(BN254.PAIRING);
        if (product != 1) revert InvalidBundle();
    }
}
