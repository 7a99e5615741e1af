// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "../interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

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
    /// From here on what the verifier is not told: which item of a batch it is; the fulfilment's requester and
    /// beneficiary; where its request and that one's inputs are in calldata, and the request's id; where the outputs'
    /// words start; and whether it became the request's result.
    uint256 index;
    address requester;
    address beneficiary;
    uint256 request;
    uint256 inputs;
    bytes32 requestId;
    uint256 outputStart;
    bool settled;
}

/// @title Statements on their way to a verifier
/// @notice Looks up in calldata, once, what they are made of, and calls `verifyBatch` with arrays that lie there, copied
/// once.
/// @dev Offsets in calldata are checked just as the compiler checks them where it follows them: a member may lie anywhere,
/// before its struct too, but not beyond the end.
///
///     Statement   0x00 modelDigest, context, owner, coverage, 0x80 words, commitments, proofs, 0xe0 index,
///                 0x100 requester, beneficiary, 0x140 request, inputs, 0x180 requestId, outputStart, settled
///     Fulfilment  0x00 request, requester, nonce, 0x60 beneficiary, coverage, 0xa0 words, commitments, proofs
///     Request     0x00 modelDigest, inputs, verifier, minCoverage, 0x80 feeToken, fee, deadline, callback,
///                 0x100 callbackGas
library Statements {
    /// @dev Of a `Statement` in memory.
    uint256 private constant SIZE = 15 * 32;

    /// @notice Statements to which nothing is set yet, not even to zero.
    /// @param count Length of an array in calldata, so what it takes of memory can be paid for.
    function allocate(uint256 count) internal pure returns (Statement[] memory statements) {
        assembly ("memory-safe") {
            // Memory: their number, the address of each, they themselves.
            statements := mload(0x40)
            mstore(statements, count)
            let pointer := add(statements, 0x20)
            let statement := add(pointer, shl(5, count))
            let end := add(statement, mul(SIZE, count))
            mstore(0x40, end)
            for {} lt(statement, end) { statement := add(statement, SIZE) } {
                mstore(pointer, statement)
                pointer := add(pointer, 0x20)
            }
        }
    }

    /// @notice Item `index`, which is below their number.
    function fulfilmentAt(IInferenceOracle.Fulfilment[] calldata fulfilments, uint256 index)
        internal
        pure
        returns (IInferenceOracle.Fulfilment calldata fulfilment)
    {
        assembly ("memory-safe") {
            let offset := calldataload(add(fulfilments.offset, shl(5, index)))
            // A fulfilment is eight words.
            if iszero(slt(offset, sub(sub(calldatasize(), fulfilments.offset), 0xff))) { revert(0x00, 0x00) }
            fulfilment := add(fulfilments.offset, offset)
        }
    }

    /// @notice Sets what a fulfilment says of itself, and where its request is.
    /// @param index Which item it is.
    function bind(Statement memory statement, IInferenceOracle.Fulfilment calldata fulfilment, uint256 index)
        internal
        pure
    {
        assembly ("memory-safe") {
            let offset := calldataload(fulfilment)
            let request := add(fulfilment, offset)
            // A request is nine words, of which the second is the inputs' offset.
            let fault := iszero(slt(offset, sub(sub(calldatasize(), fulfilment), 0x11f)))
            offset := calldataload(add(request, 0x20))
            fault := or(fault, iszero(slt(offset, sub(sub(calldatasize(), request), 0x1f))))
            let inputs := add(request, offset)
            let length := calldataload(inputs)
            fault := or(fault, or(shr(64, length), sgt(add(inputs, 0x20), sub(calldatasize(), shl(5, length)))))
            let requester := calldataload(add(fulfilment, 0x20))
            let beneficiary := calldataload(add(fulfilment, 0x60))
            if or(fault, shr(160, or(requester, beneficiary))) { revert(0x00, 0x00) }
            mstore(add(statement, 0x60), calldataload(add(fulfilment, 0x80)))
            mstore(add(statement, 0xe0), index)
            mstore(add(statement, 0x100), requester)
            mstore(add(statement, 0x120), beneficiary)
            mstore(add(statement, 0x140), request)
            mstore(add(statement, 0x160), inputs)
            mstore(add(statement, 0x1a0), 0)
            mstore(add(statement, 0x1c0), 0)
        }
    }

    /// @notice Sets where the three arrays are, whose offsets follow each other in a struct.
    /// @param base Where the struct is.
    /// @param member Where in it the first offset is.
    function place(Statement memory statement, uint256 base, uint256 member) internal pure {
        assembly ("memory-safe") {
            let least := sub(sub(calldatasize(), base), 0x1f)
            member := add(base, member)
            // Three times the same.
            let offset := calldataload(member)
            let array := add(base, offset)
            let length := calldataload(array)
            mstore(add(statement, 0x80), array)
            let fault := or(shr(64, length), sgt(add(array, 0x20), sub(calldatasize(), shl(5, length))))
            fault := or(fault, iszero(slt(offset, least)))
            offset := calldataload(add(member, 0x20))
            array := add(base, offset)
            length := calldataload(array)
            mstore(add(statement, 0xa0), array)
            fault := or(fault, or(shr(64, length), sgt(add(array, 0x20), sub(calldatasize(), shl(5, length)))))
            fault := or(fault, iszero(slt(offset, least)))
            offset := calldataload(add(member, 0x40))
            array := add(base, offset)
            length := calldataload(array)
            mstore(add(statement, 0xc0), array)
            fault := or(fault, or(shr(64, length), sgt(add(array, 0x20), sub(calldatasize(), shl(5, length)))))
            fault := or(fault, iszero(slt(offset, least)))
            if fault { revert(0x00, 0x00) }
        }
    }

    /// @notice The request that it answers.
    function requestOf(Statement memory statement) internal pure returns (IInferenceOracle.Request calldata request) {
        assembly ("memory-safe") {
            request := mload(add(statement, 0x140))
        }
    }

    /// @notice The request's inputs.
    function inputsOf(Statement memory statement) internal pure returns (bytes32[] calldata inputs) {
        assembly ("memory-safe") {
            let position := mload(add(statement, 0x160))
            inputs.offset := add(position, 0x20)
            inputs.length := calldataload(position)
        }
    }

    /// @notice The words of public inputs and outputs.
    function wordsOf(Statement memory statement) internal pure returns (uint256[] calldata words) {
        assembly ("memory-safe") {
            let position := mload(add(statement, 0x80))
            words.offset := add(position, 0x20)
            words.length := calldataload(position)
        }
    }

    /// @notice The commitments.
    function commitmentsOf(Statement memory statement) internal pure returns (uint256[] calldata commitments) {
        assembly ("memory-safe") {
            let position := mload(add(statement, 0xa0))
            commitments.offset := add(position, 0x20)
            commitments.length := calldataload(position)
        }
    }

    /// @notice The words from `outputStart` on, which is no further than they go.
    function outputsOf(Statement memory statement) internal pure returns (uint256[] calldata outputs) {
        assembly ("memory-safe") {
            let words := mload(add(statement, 0x80))
            let start := mload(add(statement, 0x1a0))
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
                // Three times the same.
                let cursor := add(bundle, 0xe0)
                mstore(add(bundle, 0x80), 0xe0)
                let array := mload(add(statement, 0x80))
                let size := add(0x20, shl(5, calldataload(array)))
                calldatacopy(cursor, array, size)
                cursor := add(cursor, size)
                mstore(add(bundle, 0xa0), sub(cursor, bundle))
                array := mload(add(statement, 0xa0))
                size := add(0x20, shl(5, calldataload(array)))
                calldatacopy(cursor, array, size)
                cursor := add(cursor, size)
                mstore(add(bundle, 0xc0), sub(cursor, bundle))
                array := mload(add(statement, 0xc0))
                size := add(0x20, shl(5, calldataload(array)))
                calldatacopy(cursor, array, size)
                bundle := add(cursor, size)
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
