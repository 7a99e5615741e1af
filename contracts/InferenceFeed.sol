// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {AggregatorV3Interface, IInferenceFeed} from "./interfaces/IInferenceFeed.sol";
import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {KeyBlob} from "./libraries/KeyBlob.sol";
import {ModelLayout} from "./libraries/ModelLayout.sol";
import {PublicWords} from "./libraries/PublicWords.sol";

/// @title One element of a model's output as a feed
/// @notice See `IInferenceFeed`. Nobody owns it and nothing in it can be changed.
contract InferenceFeed is IInferenceFeed {
    /// @dev With the model's own decimals (at most 77) this keeps every power of ten in a word.
    uint8 private constant MAX_DECIMALS = 36;

    /// @inheritdoc IInferenceFeed
    IInferenceOracle public immutable oracle;
    /// @inheritdoc IInferenceFeed
    bytes32 public immutable modelDigest;
    /// @inheritdoc IInferenceFeed
    address public immutable source;
    /// @inheritdoc IInferenceFeed
    bytes32 public immutable feedId;
    /// @inheritdoc IInferenceFeed
    bytes4 public immutable verifier;
    /// @inheritdoc IInferenceFeed
    uint256 public immutable outputIndex;
    /// @inheritdoc IInferenceFeed
    uint256 public immutable maxAge;
    /// @inheritdoc IInferenceFeed
    AggregatorV3Interface public immutable sequencerUptimeFeed;
    /// @inheritdoc IInferenceFeed
    uint256 public immutable gracePeriod;
    /// @inheritdoc AggregatorV3Interface
    uint8 public immutable decimals;
    /// @inheritdoc AggregatorV3Interface
    uint256 public constant version = 1;
    /// @inheritdoc AggregatorV3Interface
    string public description;

    IModelRegistry private immutable _registry;
    // Where the element is in the output words, and what its digit means.
    uint256 private immutable _word;
    uint256 private immutable _digit;
    uint256 private immutable _bits;
    uint256 private immutable _offset;
    uint256 private immutable _scale;
    uint256 private immutable _modelDecimals;

    constructor(Config memory config) {
        if (config.decimals > MAX_DECIMALS) revert DecimalsOutOfRange(config.decimals);
        oracle = config.oracle;
        modelDigest = config.modelDigest;
        source = config.source;
        feedId = config.oracle.feedIdOf(config.modelDigest, config.verifier, config.source);
        verifier = config.verifier;
        outputIndex = config.outputIndex;
        decimals = config.decimals;
        maxAge = config.maxAge;
        description = config.description;
        sequencerUptimeFeed = config.sequencerUptimeFeed;
        gracePeriod = config.gracePeriod;

        _registry = config.oracle.registry();
        (KeyBlob.Tensor memory tensor, uint256 word, uint256 element) =
            ModelLayout.outputElement(_registry.blob(config.modelDigest), config.outputIndex);
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
        external
        view
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        _requireServing();
        // slither-disable-next-line unused-return: the time of writing is not the answer's.
        (uint64 round, uint64 observedAt,, uint256[] memory words) = oracle.latest(feedId, maxAge);
        return (round, _answerIn(words), observedAt, observedAt, round);
    }

    /// @inheritdoc AggregatorV3Interface
    function getRoundData(uint80 roundId)
        external
        view
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        // Cut to 64 bits, a large id would be answered with another round.
        if (roundId > type(uint64).max) revert RoundIdOutOfRange(roundId);
        // slither-disable-next-line unused-return: the time of writing is not the answer's.
        (uint64 observedAt,, uint256[] memory words) = oracle.roundOf(feedId, uint64(roundId)); // forge-lint: disable-line(unsafe-typecast)
        return (roundId, _answerIn(words), observedAt, observedAt, roundId);
    }

    /// @inheritdoc IInferenceFeed
    function valueNoOlderThan(uint256 age) external view returns (Value memory) {
        _requireServing();
        return _newest(age);
    }

    /// @inheritdoc IInferenceFeed
    function valueUnsafe() external view returns (Value memory) {
        return _newest(type(uint256).max);
    }

    function _newest(uint256 age) private view returns (Value memory) {
        // slither-disable-next-line unused-return: the words and their time are the value.
        (, uint64 observedAt,, uint256[] memory words) = oracle.latest(feedId, age);
        return Value({value: _answerIn(words), expo: -int32(uint32(decimals)), publishTime: observedAt});
    }

    /// @dev The oracle verified the words against the model, so they are as many as its layout says.
    function _answerIn(uint256[] memory words) private view returns (int256) {
        uint256 digit = (words[_word] >> (_digit * _bits)) & ((1 << _bits) - 1);
        return PublicWords.rescale(PublicWords.toInt(digit, _offset), _scale, _modelDecimals, decimals);
    }

    /// @dev A round stays in the oracle when its model or verifier is stopped, which says that it may be forged.
    function _requireServing() private view {
        _requireSequencer();
        IModelRegistry.Status status = _registry.modelStatus(modelDigest);
        if (status != IModelRegistry.Status.Active) revert IModelRegistry.ModelNotActive(modelDigest, status);
        // slither-disable-next-line unused-return: reverts unless the verifier serves.
        _registry.verifierOf(verifier);
    }

    function _requireSequencer() private view {
        if (address(sequencerUptimeFeed) == address(0)) return;
        // slither-disable-next-line unused-return: an uptime feed says no more that matters.
        (, int256 down, uint256 startedAt,,) = sequencerUptimeFeed.latestRoundData();
        // Chainlink: zero on Arbitrum until the uptime feed's first report.
        if (startedAt == 0) revert SequencerStatusUnknown();
        if (down != 0) revert SequencerDown(startedAt);
        if (block.timestamp <= startedAt + gracePeriod) {
            revert SequencerGracePeriod(startedAt, gracePeriod, block.timestamp);
        }
    }
}
