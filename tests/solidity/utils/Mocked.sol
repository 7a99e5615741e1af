// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {AggregatorV3Interface} from "../../../contracts/interfaces/IInferenceFeed.sol";
import {KeyBlob} from "../../../contracts/libraries/KeyBlob.sol";
import {MockInferenceOracle} from "../../../contracts/testing/MockInferenceOracle.sol";
import {MockModelRegistry} from "../../../contracts/testing/MockModelRegistry.sol";
import {Token} from "./Tokens.sol";
import {deploy} from "./Deploy.sol";

/// @notice An aggregator that answers whatever the test says.
contract Aggregator is AggregatorV3Interface {
    uint8 public decimals;
    string public description = "test";
    uint256 public version = 1;

    uint80 private _round;
    int256 private _value;
    uint256 private _startedAt;
    uint256 private _updatedAt;
    uint80 private _answeredInRound;

    constructor(uint8 decimals_) {
        decimals = decimals_;
    }

    function set(uint80 round, int256 value, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound) external {
        (_round, _value, _startedAt, _updatedAt, _answeredInRound) =
        (round, value, startedAt, updatedAt, answeredInRound);
    }

    /// @notice A sound round, updated now.
    function set(int256 value) external {
        (_round, _value, _startedAt, _updatedAt, _answeredInRound) =
        (_round + 1, value, block.timestamp, block.timestamp, _round + 1);
    }

    function getRoundData(uint80) external view returns (uint80, int256, uint256, uint256, uint80) {
        return (_round, _value, _startedAt, _updatedAt, _answeredInRound);
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (_round, _value, _startedAt, _updatedAt, _answeredInRound);
    }
}

/// @notice Applications' own logic, on the mock oracle that is published for that. Each has tests on the real one too.
abstract contract Mocked is Test {
    bytes32 internal constant MODEL = keccak256("model");
    bytes4 internal constant VERIFIER = 0x67726f31;
    bytes4 internal constant OTHER_VERIFIER = 0x67726f32;

    MockInferenceOracle internal oracle;
    MockModelRegistry internal registry;
    Token internal token;

    address internal alice = makeAddr("alice");
    address internal mallory = makeAddr("mallory");

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        oracle = MockInferenceOracle(deploy("MockInferenceOracle", ""));
        registry = oracle.mockRegistry();
        token = new Token();
    }

    /// @notice One input of `inputs` bytes, public or private, and one output.
    function setModel(bool privateInput, uint256 inputs, uint256 outputs, uint256 bits, uint256 offset) internal {
        KeyBlob.Tensor[] memory tensors = new KeyBlob.Tensor[](2);
        tensors[0] = KeyBlob.Tensor(privateInput ? 2 : 1, inputs, 8, 0, 1, 0);
        tensors[1] = KeyBlob.Tensor(3, outputs, bits, offset, 1, 0);
        registry.setModel(MODEL, tensors);
    }

    function list(uint256 a) internal pure returns (uint256[] memory words) {
        words = new uint256[](1);
        words[0] = a;
    }

    function list(uint256 a, uint256 b) internal pure returns (uint256[] memory words) {
        words = new uint256[](2);
        (words[0], words[1]) = (a, b);
    }
}
