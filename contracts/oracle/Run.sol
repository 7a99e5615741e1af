// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

/// @notice A request's one record, in one slot: what a request and its fulfilment cost is mostly this.
///
///     bits 0–7     status
///     bit  8       the requester had a feed of the model at the request
///     bit  9       all inputs of the model are private
///     bit  10      the callback failed
///     bits 11–47   Unix time of the request
///     bits 48–255  first 26 bytes of the outputs' hash
///
/// Two lists of outputs with one such hash take about 2^104 hashes to find, no less than a forged proof takes.
type Run is uint256;

using Runs for Run global;

/// @title Reader and writer of records
library Runs {
    uint256 private constant STATUS = 0xff;
    uint256 private constant OPEN = uint256(IInferenceOracle.Status.Open);
    uint256 private constant FULFILLED = uint256(IInferenceOracle.Status.Fulfilled);
    uint256 private constant PARTIALLY_FULFILLED = uint256(IInferenceOracle.Status.PartiallyFulfilled);
    uint256 private constant HAS_FEED = 1 << 8;
    uint256 private constant ALL_PRIVATE = 1 << 9;
    uint256 private constant CALLBACK_FAILED = 1 << 10;
    uint256 private constant REQUESTED_AT_SHIFT = 11;
    uint256 private constant HASH_SHIFT = 48;
    /// @dev All but the hash.
    uint256 private constant KEPT = 0xffffffffffff;

    /// @notice The record of a request that is made now.
    function opened(bool hasFeed_, bool allPrivate_) internal view returns (Run) {
        uint256 run = uint256(IInferenceOracle.Status.Open) | (block.timestamp << REQUESTED_AT_SHIFT);
        if (hasFeed_) run |= HAS_FEED;
        if (allPrivate_) run |= ALL_PRIVATE;
        return Run.wrap(run);
    }

    /// @notice The record with a result, or another result; its callback has not failed yet.
    /// @param outputsHash_ Of which the first 26 bytes are kept.
    function fulfilled(Run run, bool isPartial, bytes32 outputsHash_) internal pure returns (Run) {
        uint256 kept = Run.unwrap(run) & (KEPT ^ STATUS ^ CALLBACK_FAILED);
        return Run.wrap((uint256(outputsHash_) & ~KEPT) | kept | (isPartial ? PARTIALLY_FULFILLED : FULFILLED));
    }

    function refunded(Run run) internal pure returns (Run) {
        return Run.wrap((Run.unwrap(run) & ~STATUS) | uint256(IInferenceOracle.Status.Refunded));
    }

    function withCallbackFailed(Run run, bool failed) internal pure returns (Run) {
        uint256 rest = Run.unwrap(run) & ~CALLBACK_FAILED;
        return Run.wrap(failed ? rest | CALLBACK_FAILED : rest);
    }

    function status(Run run) internal pure returns (IInferenceOracle.Status) {
        return IInferenceOracle.Status(Run.unwrap(run) & STATUS);
    }

    /// @notice Whether the request waits for its first result.
    function isOpen(Run run) internal pure returns (bool) {
        return Run.unwrap(run) & STATUS == OPEN;
    }

    /// @notice Whether the request takes a bundle of this coverage: an open one any, one fulfilled in part a full one.
    function isOpenFor(Run run, uint256 coverage) internal pure returns (bool) {
        uint256 current = Run.unwrap(run) & STATUS;
        return current == OPEN || (current == PARTIALLY_FULFILLED && coverage == 0);
    }

    function hasFeed(Run run) internal pure returns (bool) {
        return Run.unwrap(run) & HAS_FEED != 0;
    }

    function allPrivate(Run run) internal pure returns (bool) {
        return Run.unwrap(run) & ALL_PRIVATE != 0;
    }

    function callbackFailed(Run run) internal pure returns (bool) {
        return Run.unwrap(run) & CALLBACK_FAILED != 0;
    }

    function requestedAt(Run run) internal pure returns (uint64) {
        // 48 bits less 11 fit.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint64(uint256(uint48(Run.unwrap(run))) >> REQUESTED_AT_SHIFT);
    }

    /// @notice Zero before there is a result.
    function outputsHash(Run run) internal pure returns (bytes26) {
        // 256 bits less 48 fit.
        // forge-lint: disable-next-line(unsafe-typecast)
        return bytes26(uint208(Run.unwrap(run) >> HASH_SHIFT));
    }
}
