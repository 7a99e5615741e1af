// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {IInferenceSubscription, IInputSource} from "./interfaces/IInferenceSubscription.sol";
import {ModelLayout} from "./libraries/ModelLayout.sol";

/// @title Subscription to a model
/// @notice See `IInferenceSubscription`. Fund it by sending it ether or tokens.
/// @dev It asks in its own name, so that the feed is of its requests alone, and a callback is not needed. Nothing is
/// spent but the fee of a due run, and nothing paid out but to the owner's order. The source is called statically.
contract InferenceSubscription is IInferenceSubscription, Ownable2Step {
    using SafeERC20 for IERC20;

    IInferenceOracle private immutable _oracle;
    bytes32 private immutable _modelDigest;
    bytes4 private immutable _verifier;
    IInputSource private immutable _source;
    uint32 private immutable _interval;
    uint32 private immutable _window;
    uint16 private immutable _capacity;
    address private immutable _feeToken;
    uint256 private immutable _fee;

    /// @inheritdoc IInferenceSubscription
    bytes32 public immutable feedId;
    /// @inheritdoc IInferenceSubscription
    uint64 public nextRunAt;
    /// @inheritdoc IInferenceSubscription
    bool public stopped;

    uint256[] private _inputWordCounts;

    constructor(Config memory config_, address owner_) payable Ownable(owner_) {
        if (config_.interval == 0 || config_.window == 0 || address(config_.source).code.length == 0) {
            revert InvalidConfig();
        }
        _oracle = config_.oracle;
        _modelDigest = config_.modelDigest;
        _verifier = config_.verifier;
        _source = config_.source;
        _interval = config_.interval;
        _window = config_.window;
        _capacity = config_.capacity;
        _feeToken = config_.feeToken;
        _fee = config_.fee;
        _inputWordCounts =
            ModelLayout.inputWordCounts(config_.modelDigest, config_.oracle.registry().blob(config_.modelDigest));
        // The feed takes no publications: its rounds are the runs asked for here.
        feedId = config_.oracle.openFeed(config_.modelDigest, config_.verifier, config_.capacity, 0);
    }

    receive() external payable {}

    /// @inheritdoc IInferenceSubscription
    function trigger() external returns (bytes32 requestId) {
        if (stopped) revert SubscriptionStopped();
        if (block.timestamp < nextRunAt) revert NotDue(nextRunAt, block.timestamp);
        uint256 balance = _balance();
        if (balance < _fee) revert Underfunded(_fee, balance);
        // Before any call: a token that calls back finds nothing due.
        nextRunAt = uint64(block.timestamp) + _interval;

        uint256[] memory words = _source.inputWords();
        // slither-disable-next-line reentrancy-events: `nextRunAt` was moved on before.
        requestId = _request(words);
        emit Triggered(requestId, msg.sender, nextRunAt);
    }

    /// @inheritdoc IInferenceSubscription
    function collect() external {
        _oracle.withdraw(_feeToken, address(this));
    }

    /// @inheritdoc IInferenceSubscription
    function stop() external onlyOwner {
        if (stopped) revert SubscriptionStopped();
        stopped = true;
        emit Stopped();
    }

    /// @inheritdoc IInferenceSubscription
    function withdraw(address token, address to, uint256 amount) external onlyOwner {
        emit FundsWithdrawn(token, to, amount);
        if (token == address(0)) Address.sendValue(payable(to), amount);
        else IERC20(token).safeTransfer(to, amount);
    }

    /// @inheritdoc IInferenceSubscription
    function config() external view returns (Config memory) {
        return Config({
            oracle: _oracle,
            modelDigest: _modelDigest,
            verifier: _verifier,
            source: _source,
            interval: _interval,
            window: _window,
            capacity: _capacity,
            feeToken: _feeToken,
            fee: _fee
        });
    }

    /// @inheritdoc IInferenceSubscription
    function inputWordCounts() external view returns (uint256[] memory) {
        return _inputWordCounts;
    }

    /// @inheritdoc IInferenceSubscription
    function canTrigger() external view returns (bool) {
        return !stopped && block.timestamp >= nextRunAt && _balance() >= _fee;
    }

    function _balance() private view returns (uint256) {
        return _feeToken == address(0) ? address(this).balance : IERC20(_feeToken).balanceOf(address(this));
    }

    function _request(uint256[] memory words) private returns (bytes32) {
        uint256 value = _fee;
        if (_feeToken != address(0)) {
            IERC20(_feeToken).forceApprove(address(_oracle), _fee);
            value = 0;
        }
        return _oracle.request{value: value}(
            IInferenceOracle.Request({
                modelDigest: _modelDigest,
                inputs: _inputHashes(words),
                verifier: _verifier,
                minCoverage: 0,
                feeToken: _feeToken,
                fee: _fee,
                deadline: uint64(block.timestamp) + _window,
                callback: address(0),
                callbackGas: 0
            }),
            words
        );
    }

    /// @dev keccak256 of each input's words. The oracle checks their ranges.
    function _inputHashes(uint256[] memory words) private view returns (bytes32[] memory inputs) {
        uint256[] memory counts = _inputWordCounts;
        uint256 expected;
        for (uint256 i = 0; i < counts.length; ++i) {
            expected += counts[i];
        }
        if (words.length != expected) revert IInferenceOracle.InputWordCountMismatch(expected, words.length);

        inputs = new bytes32[](counts.length);
        uint256 start;
        for (uint256 i = 0; i < counts.length; ++i) {
            uint256 count = counts[i];
            bytes32 hash;
            // Memory: words start .. start + count lie within the array, as the sum of the counts is its length.
            assembly ("memory-safe") {
                hash := keccak256(add(add(words, 0x20), shl(5, start)), shl(5, count))
            }
            inputs[i] = hash;
            start += count;
        }
    }
}
