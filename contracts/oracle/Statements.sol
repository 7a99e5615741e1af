// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "../interfaces/IBundleVerifier.sol";

/// @notice An `IBundleVerifier.Bundle` whose arrays are in calldata: for each, where its length is, just before
/// its items.
struct Statement {
    bytes32 modelDigest;
    uint256 context;
    uint256 owner;
    uint256 coverage;
    uint256 words;
    uint256 commitments;
    uint256 proofs;
    /// From here on what the verifier is not told: which item of a batch it is, which request it answers, where the
    /// outputs' words start, and whether it became the request's result.
    uint256 index;
    bytes32 requestId;
    uint256 outputStart;
    bool settled;
}

/// @title Statements on their way to a verifier
/// @notice Calls `verifyBatch` with arrays that lie in calldata, copied once.
library Statements {
    /// @notice Sets the arrays: dynamic arrays of an external function's arguments, no slices of such.
    function place(
        Statement memory statement,
        uint256[] calldata words,
        uint256[] calldata commitments,
        uint256[] calldata proofs
    ) internal pure {
        assembly ("memory-safe") {
            mstore(add(statement, 0x80), sub(words.offset, 0x20))
            mstore(add(statement, 0xa0), sub(commitments.offset, 0x20))
            mstore(add(statement, 0xc0), sub(proofs.offset, 0x20))
        }
    }

    /// @notice The words from `outputStart` on, which is no further than they go.
    function outputsOf(Statement memory statement) internal pure returns (uint256[] calldata outputs) {
        (uint256 words, uint256 start) = (statement.words, statement.outputStart);
        assembly ("memory-safe") {
            outputs.offset := add(add(words, 0x20), shl(5, start))
            outputs.length := sub(calldataload(words), start)
        }
    }

    /// @notice Whether the verifier accepts, and if not, what it reverted with.
    function verify(Statement[] memory statements, address verifier)
        internal
        view
        returns (bool ok, bytes memory reason)
    {
        bytes4 selector = IBundleVerifier.verifyBatch.selector;
        assembly ("memory-safe") {
            // Memory from `data` on: selector, 0x20, number of bundles, offset of each from the first of these, then
            // each bundle: four words, three offsets from the first of these, three arrays with their lengths.
            let data := mload(0x40)
            let count := mload(statements)
            mstore(data, selector)
            mstore(add(data, 0x04), 0x20)
            mstore(add(data, 0x24), count)
            let offsets := add(data, 0x44)
            let bundle := add(offsets, shl(5, count))
            for { let i := 0 } lt(i, count) { i := add(i, 1) } {
                mstore(add(offsets, shl(5, i)), sub(bundle, offsets))
                let statement := mload(add(add(statements, 0x20), shl(5, i)))
                mcopy(bundle, statement, 0x80)
                let cursor := add(bundle, 0xe0)
                for { let member := 0x80 } lt(member, 0xe0) { member := add(member, 0x20) } {
                    mstore(add(bundle, member), sub(cursor, bundle))
                    let array := mload(add(statement, member))
                    let size := shl(5, add(calldataload(array), 1))
                    calldatacopy(cursor, array, size)
                    cursor := add(cursor, size)
                }
                bundle := cursor
            }
            // A call to no code succeeds, but is no verification.
            ok := staticcall(gas(), verifier, data, sub(bundle, data), 0x00, 0x00)
            ok := and(ok, iszero(iszero(extcodesize(verifier))))
            if iszero(ok) {
                reason := data
                mstore(reason, returndatasize())
                returndatacopy(add(reason, 0x20), 0, returndatasize())
                mstore(0x40, and(add(add(reason, 0x3f), returndatasize()), not(0x1f)))
            }
        }
    }
}
