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
/// @notice Serves one feed of the oracle: the rounds that one source made of one model, proven to one verifier. A proof
/// shows the computation, not where the input came from, so a feed is as good as its source.
/// @dev Round ids are the oracle's. A round's `startedAt` and `updatedAt` are both the time of its input: a late proof
/// does not make old data new. Newest reads (`latestRoundData`, `valueNoOlderThan`) revert rather than answer with
/// something that should not be acted upon: no round, a stale one, a stopped model or verifier (the oracle's and the
/// registry's errors), or a sequencer that is down. Reads of history (`getRoundData`) and `valueUnsafe` check none of
/// this but that the round is kept.
interface IInferenceFeed is AggregatorV3Interface {
    /// @notice What a feed serves, and when it refuses to.
    /// @param oracle The oracle read.
    /// @param modelDigest The model whose output is served.
    /// @param source The one account whose rounds are served.
    /// @param verifier Selector of the one verifier whose rounds are served; its stop stops this feed.
    /// @param outputIndex Index of the element, over all output tensors in graph order.
    /// @param decimals Decimals of the answers, which are rounded towards zero.
    /// @param maxAge Greatest age of a newest answer, in seconds, from the time of its input.
    /// @param description What the answers are, for people.
    /// @param sequencerUptimeFeed On a rollup, the feed that says whether its sequencer is up; zero elsewhere.
    /// @param gracePeriod Seconds after the sequencer's return in which nothing is served yet.
    struct Config {
        IInferenceOracle oracle;
        bytes32 modelDigest;
        address source;
        bytes4 verifier;
        uint256 outputIndex;
        uint8 decimals;
        uint256 maxAge;
        string description;
        AggregatorV3Interface sequencerUptimeFeed;
        uint256 gracePeriod;
    }

    /// @notice An answer for those who pull: value·10^expo.
    /// @param publishTime Unix time of the input.
    struct Value {
        int256 value;
        int32 expo;
        uint64 publishTime;
    }

    /// @notice The oracle has no rounds with so large an id.
    /// @dev Selector 0xf968a76f.
    error RoundIdOutOfRange(uint80 roundId);
    /// @notice The feed would have more decimals than its arithmetic holds.
    /// @dev Selector 0xf6f3acb9.
    error DecimalsOutOfRange(uint8 decimals);
    /// @notice The rollup's sequencer is down: those who cannot force transactions could not act on an answer.
    /// @dev Selector 0x1323efd1.
    error SequencerDown(uint256 since);
    /// @notice The sequencer is back for too short a time.
    /// @dev Selector 0x018cce43.
    error SequencerGracePeriod(uint256 startedAt, uint256 gracePeriod, uint256 timestamp);
    /// @notice The sequencer's uptime feed has no valid round yet.
    /// @dev Selector 0xd5f7fd9c.
    error SequencerStatusUnknown();

    /// @notice The newest answer, if its input is no older than `age` seconds; the caller's limit takes the place of
    /// the feed's.
    function valueNoOlderThan(uint256 age) external view returns (Value memory);

    /// @notice The newest answer, however old it is and whatever has been stopped since.
    function valueUnsafe() external view returns (Value memory);

    /// @notice The oracle read.
    function oracle() external view returns (IInferenceOracle);
    /// @notice The model whose output is served.
    function modelDigest() external view returns (bytes32);
    /// @notice The one account whose rounds are served.
    function source() external view returns (address);
    /// @notice The oracle's id of the feed served.
    function feedId() external view returns (bytes32);
    /// @notice Selector of the one verifier whose rounds are served; its stop stops this feed.
    function verifier() external view returns (bytes4);
    /// @notice Index of the element, over all output tensors in graph order.
    function outputIndex() external view returns (uint256);
    /// @notice Greatest age of a newest answer, in seconds, from the time of its input.
    function maxAge() external view returns (uint256);
    /// @notice The feed that says whether the rollup's sequencer is up, or zero.
    function sequencerUptimeFeed() external view returns (AggregatorV3Interface);
    /// @notice Seconds after the sequencer's return in which nothing is served yet.
    function gracePeriod() external view returns (uint256);
}
