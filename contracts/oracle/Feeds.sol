// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {Hashes} from "./Hashes.sol";

/// @title Feeds of the oracle
/// @notice Keeps the newest rounds of each feed in a ring of slots that are used again.
/// @dev A feed belongs to a source and has results of full coverage, of one model by one verifier, only. Its rounds are
/// in the order of their inputs' times, strictly: a proof that was held back, or an old one sent again, never makes an
/// old input look new.
abstract contract Feeds is Hashes {
    /// @dev A place in a ring; its words are in `_roundWords`.
    struct Round {
        uint64 round;
        uint64 observedAt;
        uint64 updatedAt;
        uint32 words;
    }

    mapping(bytes32 feedId => Feed) private _feeds;
    mapping(bytes32 feedId => mapping(uint256 place => Round)) private _rounds;
    mapping(bytes32 feedId => mapping(uint256 place => mapping(uint256 index => uint256))) private _roundWords;

    /// @inheritdoc IInferenceOracle
    function openFeed(bytes32 modelDigest, bytes4 verifier, uint16 capacity, uint32 publishWindow)
        external
        returns (bytes32 feedId)
    {
        return _openFeed(modelDigest, verifier, msg.sender, capacity, publishWindow);
    }

    /// @inheritdoc IInferenceOracle
    function feed(bytes32 feedId) public view returns (Feed memory) {
        return _feeds[feedId];
    }

    /// @inheritdoc IInferenceOracle
    function roundOf(bytes32 feedId, uint64 round)
        public
        view
        returns (uint64 observedAt, uint64 updatedAt, uint256[] memory outputWords)
    {
        uint256 capacity = _feeds[feedId].capacity;
        // A feed never opened has no places.
        uint256 place = capacity == 0 ? 0 : round % capacity;
        Round storage kept = _rounds[feedId][place];
        // An empty place has round 0, which never was.
        if (round == 0 || kept.round != round) revert RoundNotAvailable(feedId, round);
        outputWords = new uint256[](kept.words);
        for (uint256 i = 0; i < outputWords.length; ++i) {
            outputWords[i] = _roundWords[feedId][place][i];
        }
        return (kept.observedAt, kept.updatedAt, outputWords);
    }

    /// @inheritdoc IInferenceOracle
    function latest(bytes32 feedId, uint256 maxAge)
        external
        view
        returns (uint64 round, uint64 observedAt, uint64 updatedAt, uint256[] memory outputWords)
    {
        round = _feeds[feedId].round;
        if (round == 0) revert NoRound(feedId);
        (observedAt, updatedAt, outputWords) = roundOf(feedId, round);
        _requireFresh(observedAt, maxAge);
    }

    /// @dev The age is that of the input, not of the proof.
    function _requireFresh(uint256 observedAt, uint256 maxAge) internal view {
        if (block.timestamp - observedAt > maxAge) revert StaleResult(observedAt, maxAge, block.timestamp);
    }

    function _isFeed(bytes32 feedId) internal view returns (bool) {
        return _feeds[feedId].capacity != 0;
    }

    function _openFeed(bytes32 modelDigest, bytes4 verifier, address source, uint16 capacity, uint32 publishWindow)
        internal
        returns (bytes32 feedId)
    {
        feedId = feedIdOf(modelDigest, verifier, source);
        Feed storage feed_ = _feeds[feedId];
        if (capacity == 0 || feed_.capacity != 0) revert InvalidFeed(feedId);
        (feed_.capacity, feed_.publishWindow) = (capacity, publishWindow);
        emit FeedOpened(feedId, modelDigest, source, verifier, capacity, publishWindow);
    }

    /// @dev Once only (the round after the newest), of a later observation, and of a recent one, by the source's word.
    function _requireNextRound(Publication calldata publication, bytes calldata signature)
        internal
        view
        returns (bytes32 feedId)
    {
        address source = publication.source;
        feedId = feedIdOf(publication.modelDigest, publication.verifier, source);
        Feed memory feed_ = feed(feedId);
        (uint64 round, uint64 observedAt) = (publication.round, publication.observedAt);
        if (
            feed_.publishWindow == 0 || observedAt > block.timestamp
                || block.timestamp - observedAt > feed_.publishWindow
        ) revert ObservationOutOfWindow(observedAt, feed_.publishWindow, block.timestamp);
        if (round != feed_.round + 1 || observedAt <= feed_.observedAt) {
            revert NotNextRound(feed_.round + 1, round, feed_.observedAt, observedAt);
        }
        bool signed = msg.sender == source
            || SignatureChecker.isValidSignatureNowCalldata(source, publicationHashOf(publication), signature);
        if (!signed) revert NotSource(source);
    }

    /// @dev Appends a round, if the input is newer than that of the feed's newest. The feed was opened.
    function _advance(
        bytes32 feedId,
        bytes32 requestId,
        uint64 observedAt,
        address beneficiary,
        uint256[] calldata outputWords
    ) internal {
        if (observedAt > _feeds[feedId].observedAt) {
            _append(feedId, requestId, observedAt, beneficiary, outputWords);
        }
    }

    /// @dev Appends a round. The feed was opened.
    function _append(
        bytes32 feedId,
        bytes32 requestId,
        uint64 observedAt,
        address beneficiary,
        uint256[] calldata outputWords
    ) internal {
        Feed storage feed_ = _feeds[feedId];
        uint64 round = feed_.round + 1;
        (feed_.round, feed_.observedAt) = (round, observedAt);

        uint256 place = round % feed_.capacity;
        Round storage kept = _rounds[feedId][place];
        (kept.round, kept.observedAt) = (round, observedAt);
        (kept.updatedAt, kept.words) = (uint64(block.timestamp), uint32(outputWords.length));
        mapping(uint256 index => uint256) storage words = _roundWords[feedId][place];
        for (uint256 i = 0; i < outputWords.length; ++i) {
            words[i] = outputWords[i];
        }
        emit FeedUpdated(feedId, round, requestId, observedAt, beneficiary, outputWords);
    }
}
