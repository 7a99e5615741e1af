// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {InferenceFeed} from "../../contracts/InferenceFeed.sol";
import {IInferenceFeed} from "../../contracts/interfaces/IInferenceFeed.sol";
import {Jobs} from "./utils/Jobs.sol";

contract InferenceFeedTest is Jobs {
    uint256 private constant MAX_AGE = 3600;

    bytes32 private digest;

    function _feed(uint256 index, uint8 decimals) private returns (InferenceFeed) {
        return new InferenceFeed(oracle, digest, alice, index, decimals, MAX_AGE, "a feed");
    }

    function setUp() public override {
        super.setUp();
        digest = install("mixed").digest;
    }

    function _proven(Job memory job) private view returns (Job memory) {
        return prove(loadModel("mixed"), job);
    }

    function test_ServesTheElement() public {
        Job memory job = _proven(open(draft("mixed")));
        uint64 requestedAt = uint64(block.timestamp);
        vm.warp(block.timestamp + 100);
        fulfil(job);
        // Output 0 has 3 values of 20 bits, offset 1000, scale 2, decimals 3; output 1 has 100 of 10 bits, offset
        // 512, scale 1, decimals 2; the words before are 3 of inputs.
        for (uint256 i = 0; i < 103; ++i) {
            InferenceFeed feed = _feed(i, 8);
            (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredIn) = feed.latestRoundData();
            int256 expected = i < 3
                ? (int256((job.bundle.words[3] >> (20 * i)) % 2 ** 20) - 1000) * 2 * 10 ** 5
                : (int256((job.bundle.words[4 + (i - 3) / 25] >> (10 * ((i - 3) % 25))) % 2 ** 10) - 512) * 10 ** 6;
            assertEq(answer, expected);
            assertEq(id, requestedAt);
            assertEq(answeredIn, id);
            assertEq(startedAt, requestedAt);
            assertEq(updatedAt, requestedAt, "the input's time, not the proof's");
        }
    }

    function test_Metadata() public {
        InferenceFeed feed = _feed(2, 8);
        assertEq(feed.decimals(), 8);
        assertEq(feed.description(), "a feed");
        assertEq(feed.version(), 1);
        assertEq(address(feed.oracle()), address(oracle));
        assertEq(feed.modelDigest(), digest);
        assertEq(feed.requester(), alice);
        assertEq(feed.outputIndex(), 2);
        assertEq(feed.maxAge(), MAX_AGE);
    }

    function test_RoundsOtherThanTheNewestAreRefused() public {
        InferenceFeed feed = _feed(0, 8);
        Job memory first = _proven(open(draft("mixed")));
        fulfil(first);
        uint80 round = uint80(block.timestamp);
        (uint80 id,,,,) = feed.getRoundData(round);
        assertEq(id, round);
        vm.warp(block.timestamp + 1);
        fulfil(_proven(open(draft("mixed"))));
        vm.expectRevert(abi.encodeWithSelector(IInferenceFeed.RoundNotAvailable.selector, round));
        feed.getRoundData(round);
        feed.getRoundData(round + 1);
        vm.expectRevert(abi.encodeWithSelector(IInferenceFeed.RoundNotAvailable.selector, round + 2));
        feed.getRoundData(round + 2);
    }

    function test_RevertWhen_Empty() public {
        InferenceFeed feed = _feed(0, 8);
        vm.expectRevert(IInferenceFeed.NoAnswer.selector);
        feed.latestRoundData();
        open(draft("mixed")); // Asked is not answered.
        vm.expectRevert(IInferenceFeed.NoAnswer.selector);
        feed.latestRoundData();
    }

    /// B7: a proof held back does not make its input new.
    function test_RevertWhen_Stale() public {
        InferenceFeed feed = _feed(0, 8);
        Job memory job = _proven(open(draft("mixed")));
        uint256 requestedAt = block.timestamp;
        vm.warp(requestedAt + MAX_AGE);
        fulfil(job);
        feed.latestRoundData();
        vm.warp(requestedAt + MAX_AGE + 1);
        bytes memory stale = abi.encodeWithSelector(
            IInferenceFeed.StaleAnswer.selector, requestedAt, MAX_AGE, requestedAt + MAX_AGE + 1
        );
        vm.expectRevert(stale);
        feed.latestRoundData();
        vm.expectRevert(stale);
        feed.getRoundData(uint80(requestedAt));
    }

    /// B7: anyone's paid request on an input of their choice does not move the feed.
    function test_OthersRequestsDoNotCount() public {
        InferenceFeed feed = _feed(0, 8);
        Job memory job = draft("mixed");
        job.requester = makeAddr("mallory");
        fulfil(_proven(open(job)));
        vm.expectRevert(IInferenceFeed.NoAnswer.selector);
        feed.latestRoundData();
    }

    function test_RevertWhen_ElementOrDecimalsAreOutOfRange() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceFeed.OutputIndexOutOfRange.selector, 103, 103));
        _feed(103, 8);
        vm.expectRevert(abi.encodeWithSelector(IInferenceFeed.DecimalsOutOfRange.selector, 37));
        _feed(0, 37);
        _feed(102, 36);
    }
}
