// SPDX-License-Identifier: CC0-1.0
// Written by zkslice from a model package; not to be edited: any change to the model or its keys gives another file.
pragma solidity ^0.8.24;

import {PublicWords} from "./PublicWords.sol";

/// @title The model "mlp_digits"
/// @notice Its id, how its tensors are packed, and its outputs decoded. integer = digit − offset, and the real number
/// is integer·scale / 10^decimals.
library MlpDigitsModel {
    /// @notice The words are not as many as the model's outputs have.
    /// @dev Selector 0x6386fbb3.
    error OutputWordCountMismatch(uint256 expected, uint256 received);
    /// @notice The values are not as many as the output has.
    /// @dev Selector 0x2800bf77.
    error ValueCountMismatch(uint256 expected, uint256 received);

    /// @dev The model's id: what a registry and an oracle know it by. It binds keys, wiring and layouts.
    bytes32 internal constant DIGEST = 0x497417bfcf2c2273c5e0e4d418b8683ba08363885fb6434c23d5aaf85a5da486;
    /// @dev Digest of the setup whose α, β, γ all slices share: a development setup, for local chains only.
    bytes32 internal constant SETUP_DIGEST = 0x536ca2cb67ff01e3d1c2fd6ae308a5a08140f27d36e9851f141ecfa58f253c72;
    /// @dev Number of slices, each with a verifying key.
    uint256 internal constant SLICES = 1;
    /// @dev Words of all outputs.
    uint256 internal constant OUTPUT_WORDS = 1;
    /// @dev Records of inputs and outputs as a registry has them: a consumer's constructor compares them with the model's,
    /// by `ModelLayout.requireSame`, and a test gives them to a mock.
    bytes internal constant LAYOUT = hex"0000000000000000000000000000000000000000000000000000000000000001"
        hex"0000000000000000000000000000000000000000000000000000000000000040"
        hex"0000000000000000000000000000000000000000000000000000000000000008"
        hex"0000000000000000000000000000000000000000000000000000000000000000"
        hex"000000000000000000000000000000000000000000000000000deea5aacfd400"
        hex"0000000000000000000000000000000000000000000000000000000000000012"
        hex"0000000000000000000000000000000000000000000000000000000000000003"
        hex"000000000000000000000000000000000000000000000000000000000000000a"
        hex"000000000000000000000000000000000000000000000000000000000000000a"
        hex"0000000000000000000000000000000000000000000000000000000000000200"
        hex"00000000000000000000000000000000000000000000000000e2d6df770d0000"
        hex"0000000000000000000000000000000000000000000000000000000000000012";

    /// @dev input 0, "input", shape 1×64.
    uint256 internal constant INPUT_0_COUNT = 64;
    uint256 internal constant INPUT_0_BITS = 8;
    uint256 internal constant INPUT_0_OFFSET = 0;
    uint256 internal constant INPUT_0_SCALE = 3_921_570_000_000_000;
    uint256 internal constant INPUT_0_DECIMALS = 18;
    uint256 internal constant INPUT_0_WORDS = 3;

    /// @dev output 0, "output", shape 1×10.
    uint256 internal constant OUTPUT_0_COUNT = 10;
    uint256 internal constant OUTPUT_0_BITS = 10;
    uint256 internal constant OUTPUT_0_OFFSET = 512;
    uint256 internal constant OUTPUT_0_SCALE = 63_849_600_000_000_000;
    uint256 internal constant OUTPUT_0_DECIMALS = 18;
    uint256 internal constant OUTPUT_0_WORDS = 1;

    /// @notice All integers of output 0, "output".
    /// @param outputWords Words of all outputs, as an oracle hands them over.
    function output0(uint256[] memory outputWords) internal pure returns (int256[] memory) {
        uint256[] memory words = _part(outputWords, 0, 1);
        return PublicWords.decode(words, OUTPUT_0_COUNT, OUTPUT_0_BITS, OUTPUT_0_OFFSET);
    }

    /// @notice One value of output 0, "output" as a fixed-point number.
    function output0At(uint256[] memory outputWords, uint256 index, uint256 decimals) internal pure returns (int256) {
        uint256[] memory words = _part(outputWords, 0, 1);
        int256 value = PublicWords.toInt(PublicWords.digit(words, index, OUTPUT_0_BITS), OUTPUT_0_OFFSET);
        return PublicWords.rescale(value, OUTPUT_0_SCALE, OUTPUT_0_DECIMALS, decimals);
    }

    /// @notice Index of the largest value of output 0, "output"; of several, the first.
    function output0ArgMax(uint256[] memory outputWords) internal pure returns (uint256) {
        uint256[] memory words = _part(outputWords, 0, 1);
        return PublicWords.argMax(words, OUTPUT_0_COUNT, OUTPUT_0_BITS);
    }

    /// @notice The words of output 0, "output" that hold these integers: for tests.
    function output0Words(int256[] memory values) internal pure returns (uint256[] memory) {
        if (values.length != OUTPUT_0_COUNT) revert ValueCountMismatch(OUTPUT_0_COUNT, values.length);
        return PublicWords.encode(values, OUTPUT_0_BITS, OUTPUT_0_OFFSET);
    }

    /// @dev `count` words from `first` on.
    function _part(uint256[] memory outputWords, uint256 first, uint256 count)
        private
        pure
        returns (uint256[] memory words)
    {
        if (outputWords.length != OUTPUT_WORDS) revert OutputWordCountMismatch(OUTPUT_WORDS, outputWords.length);
        if (count == OUTPUT_WORDS) return outputWords;
        words = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            words[i] = outputWords[first + i];
        }
    }
}
