// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// @title What an inference oracle calls back
/// @notice The one function that an oracle ever calls on a request's callback target, with no ether.
interface IInferenceConsumer {
    /// @notice An inference was fulfilled; its result is stored in the oracle already.
    /// @dev Check that `msg.sender` is the oracle and that `requestId` is a request of yours: anyone may name you as
    /// a target. To refuse an answer for good, return: after a revert anyone may have the call made again, at any time,
    /// until it succeeds once. So a consumer that reads the result from the oracle by itself must remember that it did.
    function onInference(bytes32 requestId, bytes32 modelDigest, uint256[] calldata outputWords) external;
}
