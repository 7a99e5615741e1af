// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {KeyBlob} from "../../contracts/libraries/KeyBlob.sol";
import {PublicWords} from "../../contracts/libraries/PublicWords.sol";

/// @notice External, so that reverts can be expected.
contract PublicWordsHarness {
    function digit(uint256[] memory words, uint256 index, uint256 bits) external pure returns (uint256) {
        return PublicWords.digit(words, index, bits);
    }

    function toInt(uint256 digit_, uint256 offset) external pure returns (int256) {
        return PublicWords.toInt(digit_, offset);
    }

    function rescale(int256 value, uint256 scale, uint256 from, uint256 to) external pure returns (int256) {
        return PublicWords.rescale(value, scale, from, to);
    }

    function valueAt(
        uint256[] memory words,
        uint256 index,
        uint256 bits,
        uint256 offset,
        uint256 scale,
        uint256 from,
        uint256 to
    ) external pure returns (int256) {
        return PublicWords.valueAt(words, index, bits, offset, scale, from, to);
    }

    function encode(int256[] memory values, uint256 bits, uint256 offset) external pure returns (uint256[] memory) {
        return PublicWords.encode(values, bits, offset);
    }

    function argMax(uint256[] memory words, uint256 count, uint256 bits) external pure returns (uint256) {
        return PublicWords.argMax(words, count, bits);
    }
}

contract PublicWordsTest is Test {
    PublicWordsHarness private harness = new PublicWordsHarness();

    /// Against packing by repeated addition and decoding by the definition.
    function testFuzz_DecodesWhatWasPacked(uint256[] memory raw, uint256 bits, uint256 offset) public pure {
        bits = bound(bits, 1, 253);
        offset = bound(offset, 0, 2 ** 253 - 1);
        vm.assume(raw.length != 0);
        uint256 perWord = 253 / bits;
        uint256[] memory words = new uint256[]((raw.length + perWord - 1) / perWord);
        assertEq(words.length, KeyBlob.wordsOf(raw.length, bits));
        for (uint256 i = 0; i < raw.length; ++i) {
            raw[i] %= 2 ** bits;
            words[i / perWord] += raw[i] * 2 ** (bits * (i % perWord));
        }
        int256[] memory values = PublicWords.decode(words, raw.length, bits, offset);
        uint256 largest;
        for (uint256 i = 0; i < raw.length; ++i) {
            assertEq(PublicWords.digit(words, i, bits), raw[i]);
            assertEq(values[i], int256(raw[i]) - int256(offset));
            if (raw[i] > raw[largest]) largest = i;
        }
        assertEq(PublicWords.argMax(words, raw.length, bits), largest);
        assertEq(PublicWords.encode(values, bits, offset), words);

        (uint256 n, uint256 full, uint256 last) = KeyBlob.packing(raw.length, bits);
        assertEq(n, words.length);
        for (uint256 i = 0; i < words.length; ++i) {
            assertLt(words[i], 2 ** (i + 1 == words.length ? last : full));
        }
    }

    function testFuzz_RevertWhen_AValueHasNoDigit(int256 value, uint256 bits, uint256 offset) public {
        bits = bound(bits, 1, 253);
        offset = bound(offset, 0, 2 ** 253 - 1);
        bool fits = value >= -int256(offset) && value < int256(2 ** bits) - int256(offset);
        int256[] memory values = new int256[](2);
        values[0] = -int256(offset);
        values[1] = value;
        if (!fits) vm.expectRevert(abi.encodeWithSelector(PublicWords.ValueOutOfRange.selector, 1, value));
        uint256[] memory words = harness.encode(values, bits, offset);
        if (fits) assertEq(PublicWords.decode(words, 2, bits, offset), values);
    }

    function test_RevertWhen_EncodingInNoBits() public {
        vm.expectRevert(abi.encodeWithSelector(PublicWords.BitsOutOfRange.selector, 0));
        harness.encode(new int256[](1), 0, 0);
        vm.expectRevert(abi.encodeWithSelector(PublicWords.BitsOutOfRange.selector, 254));
        harness.encode(new int256[](1), 254, 0);
    }

    function testFuzz_Rescale(int128 value, uint64 scale, uint256 from, uint256 to) public pure {
        from = bound(from, 0, 18);
        to = bound(to, 0, 18);
        int256 exact = int256(value) * int256(uint256(scale)) * int256(10 ** to);
        assertEq(PublicWords.rescale(value, scale, from, to), exact / int256(10 ** from));
    }

    /// The largest scale that the registry takes, with the widest digits that are compiled and a feed's most decimals.
    function test_RescaleHoldsTheLargestScales() public view {
        int256 widest = int256(uint256(type(uint32).max));
        uint256 scale = type(uint128).max;
        assertEq(harness.rescale(-widest, scale, 18, 36), -widest * int256(scale) * 1e18);
        assertEq(harness.rescale(widest, scale, 18, 0), widest * int256(scale) / 1e18);
        // A step of 1953.13, 512 of them.
        assertEq(harness.rescale(512, 1_953_130_000_000_000_000_000, 18, 2), 100_000_256);
    }

    function test_ArgMaxTakesTheFirstOfEquals() public view {
        uint256[] memory words = new uint256[](1);
        words[0] = 1 + (7 << 8) + (7 << 16) + (7 << 24);
        assertEq(harness.argMax(words, 4, 8), 1);
    }

    function test_RescaleRoundsTowardsZero() public view {
        assertEq(harness.rescale(-19, 1, 1, 0), -1);
        assertEq(harness.rescale(19, 1, 1, 0), 1);
        assertEq(harness.rescale(-19, 3, 1, 2), -570);
        assertEq(harness.rescale(0, 3, 77, 0), 0);
    }

    /// In one what `digit`, `toInt` and `rescale` are in three: value 20 of 12 bits is the last of the first word.
    function test_ValueAt() public {
        uint256[] memory words = new uint256[](2);
        words[0] = 2047 << 240;
        words[1] = 2049;
        assertEq(harness.valueAt(words, 20, 12, 2048, 15, 1, 0), -1, "-1.5 towards zero");
        assertEq(harness.valueAt(words, 20, 12, 2048, 15, 1, 18), -1.5e18);
        assertEq(harness.valueAt(words, 21, 12, 2048, 15, 1, 2), 150);
        assertEq(harness.valueAt(words, 19, 12, 0, 15, 1, 2), 0);
        vm.expectRevert(abi.encodeWithSelector(PublicWords.DigitOutOfRange.selector, 42, 2));
        harness.valueAt(words, 42, 12, 2048, 15, 1, 2);
    }

    function testFuzz_ValueAt(uint256 word, uint256 index, uint256 bits, uint64 scale, uint256 from, uint256 to)
        public
        view
    {
        (bits, from, to) = (bound(bits, 1, 64), bound(from, 0, 18), bound(to, 0, 18));
        index = bound(index, 0, 253 / bits - 1);
        uint256[] memory words = new uint256[](1);
        words[0] = word >> 3;
        uint256 offset = 1 << (bits - 1);
        int256 integer = int256((words[0] / 2 ** (bits * index)) % 2 ** bits) - int256(offset);
        int256 exact = integer * int256(uint256(scale)) * int256(10 ** to);
        assertEq(harness.valueAt(words, index, bits, offset, scale, from, to), exact / int256(10 ** from));
    }

    function test_RevertWhen_DigitIsBeyondTheWords() public {
        uint256[] memory words = new uint256[](2);
        assertEq(harness.digit(words, 61, 8), 0);
        vm.expectRevert(abi.encodeWithSelector(PublicWords.DigitOutOfRange.selector, 62, 2));
        harness.digit(words, 62, 8);
    }

    function test_RevertWhen_BitsAreOutOfRange() public {
        uint256[] memory words = new uint256[](1);
        vm.expectRevert(abi.encodeWithSelector(PublicWords.BitsOutOfRange.selector, 0));
        harness.digit(words, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(PublicWords.BitsOutOfRange.selector, 254));
        harness.digit(words, 0, 254);
    }

    function test_RevertWhen_ArgMaxOfNothing() public {
        vm.expectRevert(PublicWords.NoValues.selector);
        harness.argMax(new uint256[](1), 0, 8);
    }

    function test_RevertWhen_IntOverflows() public {
        vm.expectRevert();
        harness.toInt(2 ** 255, 0);
        vm.expectRevert();
        harness.toInt(0, 2 ** 255);
    }

    function test_RevertWhen_RescaleOverflows() public {
        vm.expectRevert();
        harness.rescale(2 ** 250, 2 ** 10, 0, 0);
        vm.expectRevert();
        harness.rescale(1, 1, 0, 78);
        vm.expectRevert();
        harness.rescale(type(int256).min, 1, 0, 0);
    }
}
