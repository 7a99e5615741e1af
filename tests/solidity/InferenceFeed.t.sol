// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {InferenceFeed} from "../../contracts/InferenceFeed.sol";
import {AggregatorV3Interface, IInferenceFeed} from "../../contracts/interfaces/IInferenceFeed.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {Jobs} from "./utils/Jobs.sol";
import {deploy} from "./utils/Deploy.sol";

/// A feed over proven rounds; `InferenceFeedReads.t.sol` has the edges of reading.
contract InferenceFeedTest is Jobs {
    uint256 private constant MAX_AGE = 3600;
    uint16 private constant CAPACITY = 3;

    bytes32 private digest;
    bytes32 private feedId;

    function _feed(uint256 index, uint8 decimals) private returns (InferenceFeed) {
        return _feed(index, decimals, VERIFIER);
    }

    function _feed(uint256 index, uint8 decimals, bytes4 verifier_) private returns (InferenceFeed) {
        return InferenceFeed(
            deploy(
                "InferenceFeed",
                abi.encode(
                    IInferenceFeed.Config({
                        oracle: oracle,
                        modelDigest: digest,
                        source: alice,
                        verifier: verifier_,
                        outputIndex: index,
                        decimals: decimals,
                        maxAge: MAX_AGE,
                        description: "a feed",
                        sequencerUptimeFeed: AggregatorV3Interface(address(0)),
                        gracePeriod: 0
                    })
                )
            )
        );
    }

    function setUp() public override {
        super.setUp();
        digest = install("mixed").digest;
        vm.prank(alice);
        feedId = oracle.openFeed(digest, VERIFIER, CAPACITY, 600);
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
            assertEq(feed.valueNoOlderThan(100).value, expected);
            assertEq(id, 1);
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
        assertEq(feed.source(), alice);
        assertEq(feed.feedId(), feedId);
        assertEq(feed.outputIndex(), 2);
        assertEq(feed.maxAge(), MAX_AGE);
    }

    /// P20: each round that the ring still has is answered with its own words and time, others are refused.
    function test_HistoryComesFromTheRing() public {
        InferenceFeed feed = _feed(0, 8);
        uint64 start = uint64(block.timestamp);
        for (uint256 i = 1; i <= 4; ++i) {
            Job memory job = draft("mixed");
            job.bundle.words[3] = (job.bundle.words[3] >> 20 << 20) | (1000 + i);
            job = open(job);
            fulfil(_proven(job));
            vm.warp(block.timestamp + 10);
        }
        for (uint80 i = 2; i <= 4; ++i) {
            (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt,) = feed.getRoundData(i);
            assertEq(id, i);
            assertEq(answer, int256(uint256(i)) * 2 * 10 ** 5);
            assertEq(startedAt, start + 10 * (i - 1));
            assertEq(updatedAt, startedAt);
        }
        uint64[3] memory refused = [uint64(0), 1, 5];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.RoundNotAvailable.selector, feedId, refused[i]));
            feed.getRoundData(refused[i]);
        }
    }

    function test_PublishedRoundsCountToo() public {
        InferenceFeed feed = _feed(0, 8);
        IInferenceOracle.Publication memory publication = publicationOf("mixed", alice);
        publication.observedAt -= 100;
        publication = prove(loadModel("mixed"), publication);
        vm.prank(alice);
        oracle.publish(publication, "");
        (uint80 id,, uint256 startedAt,,) = feed.latestRoundData();
        assertEq(id, 1);
        assertEq(startedAt, block.timestamp - 100);
    }

    function test_RevertWhen_Empty() public {
        InferenceFeed feed = _feed(0, 8);
        bytes memory empty = abi.encodeWithSelector(IInferenceOracle.NoRound.selector, feedId);
        vm.expectRevert(empty);
        feed.latestRoundData();
        open(draft("mixed")); // Asked is not answered.
        vm.expectRevert(empty);
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
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceOracle.StaleResult.selector, requestedAt, MAX_AGE, requestedAt + MAX_AGE + 1
            )
        );
        feed.latestRoundData();
        feed.getRoundData(1);
    }

    /// B7: anyone's paid request on an input of their choice does not move the feed.
    function test_OthersRequestsDoNotCount() public {
        InferenceFeed feed = _feed(0, 8);
        Job memory job = draft("mixed");
        job.requester = makeAddr("mallory");
        fulfil(_proven(open(job)));
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NoRound.selector, feedId));
        feed.latestRoundData();
    }

    /// Whoever trusts one verifier is not served what another one accepted.
    function test_OtherVerifiersRoundsAreNotServed() public {
        addOtherVerifier();
        vm.prank(alice);
        bytes32 otherId = oracle.openFeed(digest, OTHER_VERIFIER, CAPACITY, 0);
        Job memory job = draft("mixed");
        job.request.verifier = OTHER_VERIFIER;
        fulfil(_proven(open(job)));
        InferenceFeed other = _feed(0, 8, OTHER_VERIFIER);
        assertEq(other.feedId(), otherId);
        (uint80 id,,,,) = other.latestRoundData();
        assertEq(id, 1);
        InferenceFeed feed = _feed(0, 8);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NoRound.selector, feedId));
        feed.latestRoundData();
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.RoundNotAvailable.selector, feedId, 1));
        feed.getRoundData(1);
    }

    /// What stops proofs stops answers, at once.
    function test_RevertWhen_Stopped() public {
        InferenceFeed feed = _feed(0, 8);
        fulfil(_proven(open(draft("mixed"))));
        uint256 snapshot = vm.snapshotState();
        registry.tombstone(digest);
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, digest, IModelRegistry.Status.Tombstoned)
        );
        feed.latestRoundData();
        feed.getRoundData(1);
        vm.revertToState(snapshot);
        registry.freeze();
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.VerifierNotActive.selector, VERIFIER, IModelRegistry.Status.Tombstoned
            )
        );
        feed.latestRoundData();
        feed.getRoundData(1);
    }
}
