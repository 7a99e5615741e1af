// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "./IInferenceOracle.sol";

/// @title Chainlink's aggregator interface, declared here from its public description
interface AggregatorV3Interface {
    function decimals() external view returns (uint8);
    function description() external view returns (string memory);
    function version() external view returns (uint256);
    function getRoundData(uint80 roundId)
        external
        view
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
    function latestRoundData()
        external
        view
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}

/// @title One element of a model's output as a feed
/// @notice Serves the newest fulfilled request that one trusted requester made of one model. A proof shows the
/// computation, not where the input came from, so a feed is as good as its requester.
/// @dev A round's id is its request time, which only grows. Only the newest round can be answered.
interface IInferenceFeed is AggregatorV3Interface {
    /// @notice There is no fulfilled request yet.
    /// @dev Selector 0x2b0bb828.
    error NoAnswer();
    /// @notice The newest answer's input is older than the feed allows.
    /// @dev Selector 0x5f725aba.
    error StaleAnswer(uint256 requestedAt, uint256 maxAge, uint256 timestamp);
    /// @notice The round is not the newest one; older rounds are not kept.
    /// @dev Selector 0xca5aaa2c.
    error RoundNotAvailable(uint80 roundId);
    /// @notice The model has no such output element.
    /// @dev Selector 0xab553ef5.
    error OutputIndexOutOfRange(uint256 outputIndex, uint256 elements);
    /// @notice The feed would have more decimals than its arithmetic holds.
    /// @dev Selector 0xf6f3acb9.
    error DecimalsOutOfRange(uint8 decimals);

    /// @notice The oracle read.
    function oracle() external view returns (IInferenceOracle);
    /// @notice The model whose output is served.
    function modelDigest() external view returns (bytes32);
    /// @notice The one account whose requests are served.
    function requester() external view returns (address);
    /// @notice Index of the element, over all output tensors in graph order.
    function outputIndex() external view returns (uint256);
    /// @notice Greatest age of an answer, in seconds, from the time of its request.
    function maxAge() external view returns (uint256);
}
