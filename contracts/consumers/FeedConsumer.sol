// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {AggregatorV3Interface} from "../interfaces/IInferenceFeed.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {PublicWords} from "../libraries/PublicWords.sol";

/// @title Feed
/// @notice Inherit it if your contract reads a number that others keep current: an `InferenceFeed` or any other
/// `AggregatorV3Interface`, or all words of one of the oracle's feeds.
/// @dev On a rollup, give the `InferenceFeed` its sequencer's uptime feed; feeds read otherwise need that check too.
/// Within your `maxAge`, whoever calls chooses the moment, and for feeds that anyone may push, whether to push first.
abstract contract FeedConsumer {
    /// @notice The feed's round was not completed, or claims a time to come.
    /// @dev Selector 0x79fe7d8d.
    error IncompleteRound(address feed, uint80 round, uint256 updatedAt, uint80 answeredInRound);
    /// @notice The feed's answer is older than this contract allows.
    /// @dev Selector 0x57d624ca.
    error StaleAnswer(address feed, uint256 updatedAt, uint256 maxAge, uint256 timestamp);
    /// @notice The feed's answer is zero or negative.
    /// @dev Selector 0xd4a02aea.
    error AnswerNotPositive(address feed, int256 answer);

    /// @notice A feed's newest answer of any sign, in `decimals` decimals, rounded towards zero; no older than
    /// `maxAge` seconds, whatever the feed itself allows.
    function _answerOf(AggregatorV3Interface feed, uint256 maxAge, uint8 decimals)
        internal
        view
        returns (int256 answer)
    {
        answer = _checkedAnswer(feed, maxAge);
        return PublicWords.rescale(answer, 1, feed.decimals(), decimals);
    }

    /// @notice `_answerOf`, for quantities that make sense above zero only, such as prices.
    function _positiveAnswerOf(AggregatorV3Interface feed, uint256 maxAge, uint8 decimals)
        internal
        view
        returns (uint256)
    {
        int256 answer = _answerOf(feed, maxAge, decimals);
        // After the conversion, which can round a small answer to zero.
        if (answer <= 0) revert AnswerNotPositive(address(feed), answer);
        return SafeCast.toUint256(answer);
    }

    /// @notice All output words of the newest round of one of the oracle's feeds, no older than `maxAge` seconds.
    function _wordsOf(IInferenceOracle oracle, bytes32 feedId, uint256 maxAge)
        internal
        view
        returns (uint256[] memory outputWords)
    {
        // slither-disable-next-line unused-return: the oracle checks the age.
        (,,, outputWords) = oracle.latest(feedId, maxAge);
    }

    /// @notice Brings a feed to the publication's round, to be read next in the same transaction. Returns whether it
    /// had to: if someone was faster, there is nothing to do, and nothing fails.
    function _publishIfNewer(
        IInferenceOracle oracle,
        IInferenceOracle.Publication calldata publication,
        bytes calldata signature
    ) internal returns (bool published) {
        bytes32 feedId = oracle.feedIdOf(publication.modelDigest, publication.verifier, publication.source);
        if (oracle.feed(feedId).round >= publication.round) return false;
        oracle.publish(publication, signature);
        return true;
    }

    function _checkedAnswer(AggregatorV3Interface feed, uint256 maxAge) private view returns (int256) {
        (uint80 round, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound) =
            feed.latestRoundData();
        if (startedAt == 0 || updatedAt == 0 || updatedAt > block.timestamp || answeredInRound < round) {
            revert IncompleteRound(address(feed), round, updatedAt, answeredInRound);
        }
        if (block.timestamp - updatedAt > maxAge) {
            revert StaleAnswer(address(feed), updatedAt, maxAge, block.timestamp);
        }
        return answer;
    }
}
