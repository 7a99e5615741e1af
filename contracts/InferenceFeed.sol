// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {AggregatorV3Interface, IInferenceFeed} from "./interfaces/IInferenceFeed.sol";
import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {KeyBlob} from "./libraries/KeyBlob.sol";
import {PublicWords} from "./libraries/PublicWords.sol";

/// @title One element of a model's output as a feed
/// @notice See `IInferenceFeed`.
contract InferenceFeed is IInferenceFeed {
    /// @dev With the model's own decimals (at most 77) this keeps every power of ten in a word.
    uint8 private constant MAX_DECIMALS = 36;

    IInferenceOracle public immutable oracle;
    bytes32 public immutable modelDigest;
    address public immutable requester;
    uint256 public immutable outputIndex;
    uint256 public immutable maxAge;
    /// @inheritdoc AggregatorV3Interface
    uint8 public immutable decimals;
    /// @inheritdoc AggregatorV3Interface
    uint256 public constant version = 1;
    /// @inheritdoc AggregatorV3Interface
    string public description;

    // Where the element is in the output words, and what its digit means.
    uint256 private immutable _word;
    uint256 private immutable _digit;
    uint256 private immutable _bits;
    uint256 private immutable _offset;
    uint256 private immutable _scale;
    uint256 private immutable _modelDecimals;

    constructor(
        IInferenceOracle oracle_,
        bytes32 modelDigest_,
        address requester_,
        uint256 outputIndex_,
        uint8 decimals_,
        uint256 maxAge_,
        string memory description_
    ) {
        if (decimals_ > MAX_DECIMALS) revert DecimalsOutOfRange(decimals_);
        oracle = oracle_;
        modelDigest = modelDigest_;
        requester = requester_;
        outputIndex = outputIndex_;
        decimals = decimals_;
        maxAge = maxAge_;
        description = description_;

        (KeyBlob.Tensor memory tensor, uint256 word, uint256 element) =
            _locate(oracle_.registry().blob(modelDigest_), outputIndex_);
        uint256 digitsPerWord = KeyBlob.WORD_BITS / tensor.bits;
        _word = word + element / digitsPerWord;
        _digit = element % digitsPerWord;
        _bits = tensor.bits;
        _offset = tensor.offset;
        _scale = tensor.scale;
        _modelDecimals = tensor.decimals;
    }

    /// @inheritdoc AggregatorV3Interface
    function latestRoundData()
        public
        view
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        (bytes32 requestId, uint64 requestedAt,, uint256[] memory words) = oracle.latest(modelDigest, requester);
        if (requestId == 0) revert NoAnswer();
        // The age is that of the input, not of the proof: a late proof does not make old data new.
        if (block.timestamp - requestedAt > maxAge) revert StaleAnswer(requestedAt, maxAge, block.timestamp);

        uint256 digit = (words[_word] >> (_digit * _bits)) & ((1 << _bits) - 1);
        answer = PublicWords.rescale(PublicWords.toInt(digit, _offset), _scale, _modelDecimals, decimals);
        return (requestedAt, answer, requestedAt, requestedAt, requestedAt);
    }

    /// @inheritdoc AggregatorV3Interface
    function getRoundData(uint80 roundId)
        external
        view
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        (id, answer, startedAt, updatedAt, answeredInRound) = latestRoundData();
        if (id != roundId) revert RoundNotAvailable(roundId);
    }

    /// @dev The output tensor that holds the element, its first word among the outputs' words, and the element's
    /// index in it.
    function _locate(bytes memory blob, uint256 index)
        private
        pure
        returns (KeyBlob.Tensor memory tensor, uint256 word, uint256 element)
    {
        element = index;
        uint256 elements;
        uint256 tensors = KeyBlob.tensorCount(blob);
        for (uint256 t = 0; t < tensors; ++t) {
            tensor = KeyBlob.tensor(blob, t);
            if (tensor.kind != KeyBlob.KIND_OUTPUT) continue;
            if (element < tensor.count) return (tensor, word, element);
            element -= tensor.count;
            elements += tensor.count;
            word += KeyBlob.wordsOf(tensor.count, tensor.bits);
        }
        revert OutputIndexOutOfRange(index, elements);
    }
}
