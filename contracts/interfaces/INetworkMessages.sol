// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// @title Signed messages of the prover network
/// @notice What validators and miners sign by EIP-712, so that a contract can judge it. The domain has the name
/// "zkslice network", the version "1", the chain's id and the address that the network is registered at.
/// @dev `crates/subnet/src/messages.rs` binds these structs. A signature is r ‖ s ‖ v with the lower s and v of 27 or 28.
interface INetworkMessages {
    /// @notice Says who is at the end of a connection.
    /// @dev The exporter is 32 bytes of keying material of the connection's TLS session (RFC 5705, RFC 8446 section 7.5),
    /// so that the signature is worth nothing on another connection.
    /// @param role 1 of a validator, 2 of a miner.
    /// @param signer Who signs.
    /// @param peer Who the signer takes the other end for.
    /// @param challenge 32 bytes that the validator drew for the connection.
    /// @param nonce 32 bytes that the miner drew for the connection.
    /// @param exporter Keying material of the connection.
    struct Session {
        uint8 role;
        address signer;
        address peer;
        bytes32 challenge;
        bytes32 nonce;
        bytes32 exporter;
    }

    /// @notice A validator gives a slice of a job to a miner.
    /// @param job The job.
    /// @param model The model's digest.
    /// @param slice The slice.
    /// @param attempt How many times the slice was given to somebody before.
    /// @param validator Who gives it.
    /// @param miner Whose it is.
    /// @param statement What the proof has to state: keccak256 of tag, model, context, owner, coverage, words and commitments.
    /// @param units The slice's domain in units of 1,024 rows.
    /// @param price What it pays, in the smallest unit of the network's currency; 0 for benchmarks.
    /// @param issuedMs Unix time in milliseconds.
    /// @param deadlineMs Unix time in milliseconds until which a proof counts.
    /// @param epoch Epoch that it counts in.
    struct Assignment {
        bytes32 job;
        bytes32 model;
        uint16 slice;
        uint8 attempt;
        address validator;
        address miner;
        bytes32 statement;
        uint32 units;
        uint128 price;
        uint64 issuedMs;
        uint64 deadlineMs;
        uint64 epoch;
    }

    /// @notice A miner takes on an assignment, which it can miss from then on.
    /// @param assignment EIP-712 hash of the assignment.
    struct Acceptance {
        bytes32 assignment;
    }

    /// @notice A miner hands in a proof.
    /// @param assignment EIP-712 hash of the assignment.
    /// @param proofHash keccak256 of the proof's words.
    struct HandIn {
        bytes32 assignment;
        bytes32 proofHash;
    }

    /// @notice A validator says what became of an assignment, and what it owes the miner. Totals are over all assignments of
    /// this miner, so that the newest receipt alone says everything.
    /// @param validator Who owes.
    /// @param miner Whom.
    /// @param assignment EIP-712 hash of the assignment.
    /// @param proofHash keccak256 of the proof's words; 0 without one.
    /// @param verdict 1 valid, 2 invalid, 3 missed, 4 late after it was missed, 5 superseded.
    /// @param ms Milliseconds from assignment to hand-in.
    /// @param credit Credit for it.
    /// @param debit Debit for it.
    /// @param epoch Epoch that it counts in: the assignment's, or that of the receipt before if that is later.
    /// @param seq Number of receipts of this validator for this miner, this one included.
    /// @param epochCredit Credits of the epoch so far.
    /// @param epochDebit Debits of the epoch so far.
    /// @param owed Everything that was ever owed.
    struct Receipt {
        address validator;
        address miner;
        bytes32 assignment;
        bytes32 proofHash;
        uint8 verdict;
        uint32 ms;
        uint32 credit;
        uint32 debit;
        uint64 epoch;
        uint64 seq;
        uint64 epochCredit;
        uint64 epochDebit;
        uint128 owed;
    }

    /// @notice A validator closes an epoch.
    /// @param epoch The epoch.
    /// @param beacon What its draws were seeded with.
    /// @param parameters Hash of the constants that it scores by.
    /// @param receipts Merkle root of its receipts.
    /// @param scores Merkle root of its scores.
    /// @param weights Hash of its weights.
    /// @param count Receipts of the epoch.
    /// @param previous EIP-712 hash of the epoch root before; 0 for the first.
    struct EpochRoot {
        uint64 epoch;
        bytes32 beacon;
        bytes32 parameters;
        bytes32 receipts;
        bytes32 scores;
        bytes32 weights;
        uint64 count;
        bytes32 previous;
    }
}
