// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// @title What an inference oracle calls back
/// @notice The functions that an oracle calls on a request's callback target, with no ether.
/// @dev Check that `msg.sender` is the oracle and that `requestId` is a request of yours: anyone may name you as a
/// target. To refuse an answer for good, return: after a revert anyone may have the call made again, at any time, until
/// it succeeds once. So a consumer that reads the result from the oracle by itself must remember that it did.
interface IInferenceConsumer {
    /// @notice An inference was fulfilled with full coverage; its result is stored in the oracle already.
    function onInference(bytes32 requestId, bytes32 modelDigest, uint256[] calldata outputWords) external;
}

/// @title What an inference oracle calls back with partial results
/// @notice Only for consumers that ask for less than full coverage and know what that means: nothing shows that the
/// outputs follow from the input.
interface IPartialInferenceConsumer {
    /// @notice An inference was fulfilled with the slices of `coverage` proven, and no others.
    function onPartialInference(
        bytes32 requestId,
        bytes32 modelDigest,
        uint256 coverage,
        uint256[] calldata outputWords
    ) external;
}
