// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {Jobs} from "./utils/Jobs.sol";

/// @notice B7: feeds that are fed by requests.
contract InferenceOracleFeedsTest is Jobs {
    uint16 private constant CAPACITY = 3;

    bytes32 private digest;
    bytes32 private feedId;

    function setUp() public override {
        super.setUp();
        digest = install("single").digest;
        vm.prank(alice);
        feedId = oracle.openFeed(digest, VERIFIER, CAPACITY, 60);
    }

    // ------------------------------------------------------------------------------------------------ opening

    function test_OpensAFeed() public {
        address bob = makeAddr("bob");
        bytes32 id = oracle.feedIdOf(digest, VERIFIER, bob);
        assertEq(id, keccak256(abi.encode(keccak256("zkslice/feed/v2"), digest, VERIFIER, bob)));
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.FeedOpened(id, digest, bob, VERIFIER, 7, 0);
        vm.prank(bob);
        assertEq(oracle.openFeed(digest, VERIFIER, 7, 0), id);
        IInferenceOracle.Feed memory feed = oracle.feed(id);
        assertEq(feed.capacity, 7);
        assertEq(feed.publishWindow, 0);
        assertEq(feed.round, 0);
        assertEq(feed.observedAt, 0);
        assertEq(oracle.feed(oracle.feedIdOf(digest, VERIFIER, prover)).capacity, 0);
        assertEq(oracle.feed(oracle.feedIdOf(digest, OTHER_VERIFIER, bob)).capacity, 0);
    }

    /// Before its model is registered, too.
    function test_OpensAFeedOfAModelToCome() public {
        digest = loadModel("chain").digest;
        vm.prank(alice);
        feedId = oracle.openFeed(digest, VERIFIER, 1, 0);
        install("chain");
        fulfil(prove(loadModel("chain"), open(draft("chain"))));
        assertEq(oracle.feed(feedId).round, 1);
    }

    function test_RevertWhen_OpenedTwiceOrWithoutRoom() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InvalidFeed.selector, feedId));
        oracle.openFeed(digest, VERIFIER, 5, 60);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceOracle.InvalidFeed.selector, oracle.feedIdOf(digest, VERIFIER, address(this))
            )
        );
        oracle.openFeed(digest, VERIFIER, 0, 60);
    }

    // ------------------------------------------------------------------------------------------------ the ring

    /// Rounds come one after the other; the last `CAPACITY` are kept, and the others refused.
    function test_KeepsTheNewestRounds() public {
        _requireNoRound();
        uint256[][] memory outputs = new uint256[][](10);
        for (uint64 round = 1; round < 10; ++round) {
            Job memory job = _nextRequest(round);
            uint64 requestedAt = uint64(block.timestamp);
            vm.warp(block.timestamp + 5);
            outputs[round] = outputWords(job);
            vm.expectEmit(address(oracle));
            emit IInferenceOracle.FeedUpdated(feedId, round, job.id, requestedAt, prover, outputs[round]);
            fulfil(job);
            assertEq(oracle.feed(feedId).round, round);
            assertEq(oracle.feed(feedId).observedAt, requestedAt);
            for (uint64 kept = 0; kept < 12; ++kept) {
                if (kept == 0 || kept > round || kept + CAPACITY <= round) {
                    _requireNotAvailable(kept);
                    continue;
                }
                (uint64 observedAt, uint64 updatedAt, uint256[] memory words) = oracle.roundOf(feedId, kept);
                assertEq(observedAt, requestedAt - 6 * (round - kept));
                assertEq(updatedAt, block.timestamp - 6 * (round - kept));
                assertEq(words, outputs[kept]);
            }
        }
    }

    function test_RoundsOfAFeedNeverOpenedAreRefused() public {
        feedId = oracle.feedIdOf(digest, VERIFIER, prover);
        _requireNotAvailable(0);
        _requireNotAvailable(1);
        _requireNoRound();
    }

    /// The age is the input's: a proof held back does not make it younger.
    function test_LatestIsOfAgeAtMost() public {
        Job memory job = _nextRequest(1);
        (, uint64 requestedAt,) = oracle.result(job.id);
        vm.warp(block.timestamp + 100);
        fulfil(job);
        (uint64 round, uint64 observedAt, uint64 updatedAt, uint256[] memory words) = oracle.latest(feedId, 100);
        assertEq(round, 1);
        assertEq(observedAt, requestedAt);
        assertEq(updatedAt, block.timestamp);
        assertEq(words, outputWords(job));
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.StaleResult.selector, requestedAt, 99, block.timestamp));
        oracle.latest(feedId, 99);
    }

    /// However old, and of any moment: 32 bits are not enough.
    function test_AgesAndTimesAreExact() public {
        uint256[2] memory moments = [block.timestamp, 1 << 33];
        for (uint256 i = 0; i < moments.length; ++i) {
            vm.warp(moments[i]);
            Job memory job = draft("single");
            job.request.deadline = type(uint64).max;
            job = prove(loadModel("single"), open(job));
            uint256 requestedAt = moments[i];
            vm.warp(requestedAt + 5);
            fulfil(job);
            vm.warp(2 * requestedAt);
            (, uint64 observedAt, uint64 updatedAt,) = oracle.latest(feedId, requestedAt);
            assertEq(observedAt, requestedAt);
            assertEq(updatedAt, requestedAt + 5);
            vm.expectRevert(
                abi.encodeWithSelector(
                    IInferenceOracle.StaleResult.selector, requestedAt, requestedAt - 1, block.timestamp
                )
            );
            oracle.latest(feedId, requestedAt - 1);
        }
    }

    // ------------------------------------------------------------------------------------------------ order and source

    function test_MovesToNewerRequestsOnly() public {
        Model memory model = loadModel("single");
        Job memory older = _nextRequest(1);
        Job memory newer = _nextRequest(2);
        Job memory twin = prove(model, open(draft("single")));
        Job memory newest = _nextRequest(3);
        vm.warp(block.timestamp + 10);

        fulfil(newer);
        _requireLatest(1, newer);
        fulfil(older); // Held back, and no newer for it.
        _requireLatest(1, newer);
        fulfil(twin); // Of the same second: the first fulfilled stays.
        _requireLatest(1, newer);
        fulfil(newest);
        _requireLatest(2, newest);
    }

    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 100
    function testFuzz_IsInTheOrderOfRequests(uint256 order) public {
        Job[] memory jobs = new Job[](5);
        for (uint256 i = 0; i < 5; ++i) {
            jobs[i] = _nextRequest(i);
        }
        uint256 newest;
        uint256 rounds;
        for (uint256 left = 5; left > 0; --left) {
            uint256 pick = order % left;
            order /= left;
            fulfil(jobs[pick]);
            if (jobs[pick].nonce + 1 > newest) (newest, rounds) = (jobs[pick].nonce + 1, rounds + 1);
            jobs[pick] = jobs[left - 1];
        }
        assertEq(oracle.feed(feedId).round, rounds);
        assertEq(oracle.feed(feedId).observedAt, block.timestamp);
    }

    /// Whoever asks chooses the input: others' requests count for nothing, whatever they say of the model.
    function test_IsPerSourceAndModel() public {
        Model memory model = loadModel("single");
        Job memory job = _nextRequest(1);
        fulfil(job);
        Job memory mallorys = draft("single");
        mallorys.requester = makeAddr("mallory");
        vm.warp(block.timestamp + 1);
        fulfil(prove(model, open(mallorys)));
        _requireLatest(1, job);
        install("chain");
        fulfil(prove(loadModel("chain"), open(draft("chain"))));
        _requireLatest(1, job);
    }

    /// A result by another verifier, which this one may have refused, does not move the feed: alone, in a batch, nor
    /// once the other verifier's feed was opened.
    function test_OtherVerifiersResultsDoNotCount() public {
        addOtherVerifier();
        Job[] memory jobs = new Job[](1);
        jobs[0] = _nextRequest(1, OTHER_VERIFIER);
        Job memory second = _nextRequest(2, OTHER_VERIFIER);
        Job memory third = _nextRequest(3, OTHER_VERIFIER);
        fulfilBatch(jobs);
        fulfil(second);
        assertEq(uint8(oracle.status(jobs[0].id)), uint8(IInferenceOracle.Status.Fulfilled));
        assertEq(uint8(oracle.status(second.id)), uint8(IInferenceOracle.Status.Fulfilled));
        _requireNoRound();

        vm.prank(alice);
        bytes32 otherId = oracle.openFeed(digest, OTHER_VERIFIER, CAPACITY, 0);
        fulfil(third); // From before its feed was opened.
        _requireNoRound();
        assertEq(oracle.feed(otherId).round, 0);
    }

    /// One source's feeds of one model, each with the rounds, places and times of its own verifier's results.
    function test_FeedsOfTwoVerifiersRunApart() public {
        addOtherVerifier();
        bytes32 ownId = feedId;
        vm.prank(alice);
        bytes32 otherId = oracle.openFeed(digest, OTHER_VERIFIER, 1, 0);
        assertNotEq(otherId, ownId);
        Job memory others = _nextRequest(1, OTHER_VERIFIER);
        Job memory own = _nextRequest(2);
        Job memory ownNext = _nextRequest(3);

        fulfil(own);
        fulfil(ownNext);
        assertEq(oracle.feed(otherId).round, 0);
        fulfil(others); // Older than both, but the first of its feed.
        _requireLatest(2, ownNext);
        feedId = otherId;
        _requireLatest(1, others);

        // What stops one leaves the other.
        own = _nextRequest(4);
        registry.tombstoneVerifier(OTHER_VERIFIER);
        fulfil(own);
        _requireLatest(1, others);
        feedId = ownId;
        _requireLatest(3, own);
    }

    /// Requests from before the feed was opened are no part of it.
    function test_TakesWhatIsRequestedSinceItWasOpened() public {
        Model memory model = install("chain");
        Job memory before = prove(model, open(draft("chain")));
        vm.prank(alice);
        feedId = oracle.openFeed(model.digest, VERIFIER, 1, 0);
        Job memory since = prove(model, open(draft("chain")));
        fulfil(before);
        _requireNoRound();
        fulfil(since);
        assertEq(oracle.feed(feedId).round, 1);
    }

    function test_RefundsAreNoRounds() public {
        Job memory job = _nextRequest(1);
        vm.warp(job.request.deadline + 1);
        oracle.refund(job.request, alice, job.nonce);
        _requireNoRound();
    }

    // ------------------------------------------------------------------------------------------------ helpers

    /// A second later, with outputs of its own.
    function _nextRequest(uint256 variant) private returns (Job memory) {
        return _nextRequest(variant, VERIFIER);
    }

    function _nextRequest(uint256 variant, bytes4 verifier_) private returns (Job memory job) {
        vm.warp(block.timestamp + 1);
        job = draft("single");
        job.request.verifier = verifier_;
        job.bundle.words[26] ^= variant;
        return prove(loadModel("single"), open(job));
    }

    function _requireLatest(uint64 expectedRound, Job memory job) private view {
        (uint64 round,,, uint256[] memory words) = oracle.latest(feedId, type(uint256).max);
        assertEq(round, expectedRound);
        assertEq(words, outputWords(job));
    }

    function _requireNoRound() private {
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NoRound.selector, feedId));
        oracle.latest(feedId, type(uint256).max);
    }

    function _requireNotAvailable(uint64 round) private {
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.RoundNotAvailable.selector, feedId, round));
        oracle.roundOf(feedId, round);
    }
}
