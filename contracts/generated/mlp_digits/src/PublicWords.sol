// SPDX-License-Identifier: CC0-1.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title Decoder of public words
/// @notice A public tensor is packed into words: ⌊253 / bits⌋ digits of `bits` bits a word, the first value lowest.
/// A digit stands for the integer digit − offset, and that for the real number integer·scale / 10^decimals.
/// @dev Bits, offset, scale and decimals are the model's: by others, words decode to something else, and nothing reverts.
/// Take them from the library that `zkslice export` writes, and compare that with the registered model in your
/// constructor (`ModelLayout.requireSame`), or from the registry (`ModelLayout` and `KeyBlob` on `registry.blob`).
library PublicWords {
    /// @dev Digits are packed into at most this many bits of a word.
    uint256 internal constant WORD_BITS = 253;

    /// @notice The digit is beyond the words.
    /// @dev Selector 0xe1df41aa.
    error DigitOutOfRange(uint256 index, uint256 words);
    /// @notice The pitch is not in 1..253.
    /// @dev Selector 0x543ba8ab.
    error BitsOutOfRange(uint256 bits);
    /// @notice The value has no digit of so many bits.
    /// @dev Selector 0x981b9207.
    error ValueOutOfRange(uint256 index, int256 value);
    /// @notice An arg max over nothing.
    /// @dev Selector 0x22829f72.
    error NoValues();

    /// @notice Digit `index` of a tensor whose words begin at the array's start.
    function digit(uint256[] memory words, uint256 index, uint256 bits) internal pure returns (uint256) {
        if (bits == 0 || bits > WORD_BITS) revert BitsOutOfRange(bits);
        uint256 digitsPerWord = WORD_BITS / bits;
        uint256 word = index / digitsPerWord;
        if (word >= words.length) revert DigitOutOfRange(index, words.length);
        return (words[word] >> ((index % digitsPerWord) * bits)) & ((1 << bits) - 1);
    }

    /// @notice The integer that a digit stands for. Reverts unless both fit an int256.
    function toInt(uint256 digit_, uint256 offset) internal pure returns (int256) {
        return SafeCast.toInt256(digit_) - SafeCast.toInt256(offset);
    }

    /// @notice value·scale / 10^fromDecimals as a fixed-point number with `toDecimals` decimals, rounded towards zero.
    /// Reverts if it does not fit an int256.
    function rescale(int256 value, uint256 scale, uint256 fromDecimals, uint256 toDecimals)
        internal
        pure
        returns (int256)
    {
        uint256 magnitude = SignedMath.abs(value);
        if (toDecimals >= fromDecimals) {
            magnitude = magnitude * scale * 10 ** (toDecimals - fromDecimals);
        } else {
            magnitude = Math.mulDiv(magnitude, scale, 10 ** (fromDecimals - toDecimals));
        }
        int256 scaled = SafeCast.toInt256(magnitude);
        return value < 0 ? -scaled : scaled;
    }

    /// @notice Value `index` of a tensor, as a fixed-point number with `toDecimals` decimals: `digit`, `toInt` and
    /// `rescale` in one, with their errors; rounded towards zero.
    /// @dev The tensor's words must begin at the array's start; bits, offset, scale and decimals are its layout's.
    function valueAt(
        uint256[] memory words,
        uint256 index,
        uint256 bits,
        uint256 offset,
        uint256 scale,
        uint256 fromDecimals,
        uint256 toDecimals
    ) internal pure returns (int256) {
        return rescale(toInt(digit(words, index, bits), offset), scale, fromDecimals, toDecimals);
    }

    /// @notice The first `count` digits as integers.
    function decode(uint256[] memory words, uint256 count, uint256 bits, uint256 offset)
        internal
        pure
        returns (int256[] memory values)
    {
        values = new int256[](count);
        for (uint256 i = 0; i < count; ++i) {
            values[i] = toInt(digit(words, i, bits), offset);
        }
    }

    /// @notice The words of values, `decode`d again by the same bits and offset.
    function encode(int256[] memory values, uint256 bits, uint256 offset)
        internal
        pure
        returns (uint256[] memory words)
    {
        if (bits == 0 || bits > WORD_BITS) revert BitsOutOfRange(bits);
        uint256 digitsPerWord = WORD_BITS / bits;
        words = new uint256[](Math.ceilDiv(values.length, digitsPerWord));
        int256 least = -SafeCast.toInt256(offset);
        for (uint256 i = 0; i < values.length; ++i) {
            // Beyond 2^255 the sum would be negative, which is no digit either.
            if (values[i] < least) revert ValueOutOfRange(i, values[i]);
            uint256 digit_;
            unchecked {
                digit_ = uint256(values[i]) + offset;
            }
            if (digit_ >> bits != 0) revert ValueOutOfRange(i, values[i]);
            words[i / digitsPerWord] |= digit_ << ((i % digitsPerWord) * bits);
        }
    }

    /// @notice Index of the largest of the first `count` digits; of several, the first.
    function argMax(uint256[] memory words, uint256 count, uint256 bits) internal pure returns (uint256 index) {
        if (count == 0) revert NoValues();
        uint256 largest = digit(words, 0, bits);
        for (uint256 i = 1; i < count; ++i) {
            uint256 candidate = digit(words, i, bits);
            if (candidate > largest) (largest, index) = (candidate, i);
        }
    }
}
