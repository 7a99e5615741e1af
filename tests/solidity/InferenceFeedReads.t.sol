// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {InferenceFeed} from "../../contracts/InferenceFeed.sol";
import {AggregatorV3Interface, IInferenceFeed} from "../../contracts/interfaces/IInferenceFeed.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {KeyBlob} from "../../contracts/libraries/KeyBlob.sol";
import {ModelLayout} from "../../contracts/libraries/ModelLayout.sol";
import {Aggregator, Mocked} from "./utils/Mocked.sol";
import {deploy} from "./utils/Deploy.sol";

/// What a feed makes of whatever rounds an oracle has; `InferenceFeed.t.sol` reads proven ones.
contract InferenceFeedReadsTest is Mocked {
    uint256 private constant MAX_AGE = 3600;
    uint256 private constant GRACE = 600;

    Aggregator private sequencer;

    function setUp() public override {
        super.setUp();
        // Two outputs: 3 values of 100 bits (2 a word), then 2 of 253 bits (1 a word).
        KeyBlob.Tensor[] memory tensors = new KeyBlob.Tensor[](4);
        tensors[0] = KeyBlob.Tensor(1, 40, 8, 0, 1, 0);
        tensors[1] = KeyBlob.Tensor(2, 40, 8, 0, 1, 0);
        tensors[2] = KeyBlob.Tensor(3, 3, 100, 1000, 7, 3);
        tensors[3] = KeyBlob.Tensor(3, 2, 253, 0, 1, 0);
        registry.setModel(MODEL, tensors);
        sequencer = new Aggregator(0);
    }

    function _config(uint256 index, uint8 decimals) private view returns (IInferenceFeed.Config memory) {
        return IInferenceFeed.Config({
            oracle: oracle,
            modelDigest: MODEL,
            source: alice,
            verifier: VERIFIER,
            outputIndex: index,
            decimals: decimals,
            maxAge: MAX_AGE,
            description: "a feed",
            sequencerUptimeFeed: AggregatorV3Interface(address(0)),
            gracePeriod: GRACE
        });
    }

    function _feed(uint256 index, uint8 decimals) private returns (InferenceFeed) {
        return InferenceFeed(deploy("InferenceFeed", abi.encode(_config(index, decimals))));
    }

    function _sequencedFeed() private returns (InferenceFeed) {
        IInferenceFeed.Config memory config = _config(0, 0);
        config.sequencerUptimeFeed = sequencer;
        return InferenceFeed(deploy("InferenceFeed", abi.encode(config)));
    }

    function _words(uint256 first, uint256 second, uint256 third) private pure returns (uint256[] memory words) {
        words = new uint256[](4);
        words[0] = first | (second << 100);
        words[1] = third;
        (words[2], words[3]) = (11, 2 ** 253 - 1);
    }

    function _push(uint64 observedAt, uint256 first) private returns (uint64) {
        return oracle.setRound(MODEL, VERIFIER, alice, observedAt, _words(first, 999, 2 ** 100 - 1));
    }

    function _answer(InferenceFeed feed) private view returns (int256 answer) {
        (, answer,,,) = feed.latestRoundData();
    }

    function test_FindsEachElement() public {
        _push(uint64(block.timestamp), 1001);
        assertEq(_answer(_feed(0, 3)), 7);
        assertEq(_answer(_feed(1, 3)), -7, "the offset makes it negative");
        assertEq(_answer(_feed(2, 3)), (2 ** 100 - 1001) * 7);
        assertEq(_answer(_feed(3, 0)), 11);
        assertEq(_answer(_feed(4, 0)), 2 ** 253 - 1);
    }

    /// P20: decimals and sign, rounded towards zero on both sides of it.
    function test_ConvertsDecimals() public {
        _push(uint64(block.timestamp), 1283); // 283·7 = 1.981
        assertEq(_answer(_feed(0, 0)), 1);
        assertEq(_answer(_feed(0, 2)), 198);
        assertEq(_answer(_feed(0, 8)), 198_100_000);
        assertEq(_answer(_feed(0, 36)), 1981 * 10 ** 33);
        vm.warp(block.timestamp + 1);
        _push(uint64(block.timestamp), 1000 - 283);
        assertEq(_answer(_feed(0, 0)), -1);
        assertEq(_answer(_feed(0, 2)), -198);
        assertEq(_answer(_feed(0, 8)), -198_100_000);
    }

    function testFuzz_ConvertsDecimals(uint256 digit, uint8 decimals) public {
        digit = bound(digit, 0, 2 ** 100 - 1);
        decimals = uint8(bound(decimals, 0, 36));
        _push(uint64(block.timestamp), digit);
        int256 integer = (int256(digit) - 1000) * 7;
        int256 expected = decimals < 3 ? integer / int256(10 ** (3 - decimals)) : integer * int256(10 ** (decimals - 3));
        assertEq(_answer(_feed(0, decimals)), expected);
    }

    function test_TimesAreTheInputs() public {
        InferenceFeed feed = _feed(0, 0);
        uint64 observedAt = uint64(block.timestamp) - 100;
        _push(observedAt, 1000);
        (uint80 id,, uint256 startedAt, uint256 updatedAt, uint80 answeredIn) = feed.latestRoundData();
        assertEq(id, 1);
        assertEq(answeredIn, 1);
        assertEq(startedAt, observedAt);
        assertEq(updatedAt, observedAt, "the input's time, not the proof's");
    }

    /// P20: history is answered as it was, whatever its age, and refused once overwritten.
    function test_HistoryIsTruthful() public {
        InferenceFeed feed = _feed(0, 3);
        uint64 start = uint64(block.timestamp);
        for (uint64 i = 1; i <= 12; ++i) {
            assertEq(_push(start + i, 1000 + i), i);
        }
        vm.warp(start + 365 days);
        registry.setModelStatus(MODEL, IModelRegistry.Status.Tombstoned);
        for (uint80 i = 3; i <= 12; ++i) {
            (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredIn) = feed.getRoundData(i);
            assertEq(id, i);
            assertEq(answer, int256(uint256(i)) * 7);
            assertEq(startedAt, start + i);
            assertEq(updatedAt, start + i);
            assertEq(answeredIn, i);
        }
        uint64[3] memory refused = [uint64(0), 2, 13];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IInferenceOracle.RoundNotAvailable.selector, feed.feedId(), refused[i])
            );
            feed.getRoundData(refused[i]);
        }
    }

    /// An id that would be cut down to an existing round's.
    function test_RevertWhen_RoundIdHasMoreThan64Bits() public {
        InferenceFeed feed = _feed(0, 3);
        _push(uint64(block.timestamp), 1001);
        feed.getRoundData(1);
        uint80 id = 1 + (1 << 64);
        vm.expectRevert(abi.encodeWithSelector(IInferenceFeed.RoundIdOutOfRange.selector, id));
        feed.getRoundData(id);
    }

    function test_RevertWhen_Empty() public {
        InferenceFeed feed = _feed(0, 0);
        bytes memory empty = abi.encodeWithSelector(IInferenceOracle.NoRound.selector, feed.feedId());
        vm.expectRevert(empty);
        feed.latestRoundData();
        vm.expectRevert(empty);
        feed.valueNoOlderThan(1);
        vm.expectRevert(empty);
        feed.valueUnsafe();
    }

    function test_RevertWhen_Stale() public {
        InferenceFeed feed = _feed(0, 0);
        uint64 observedAt = uint64(block.timestamp);
        _push(observedAt, 1000);
        vm.warp(observedAt + MAX_AGE);
        feed.latestRoundData();
        vm.warp(observedAt + MAX_AGE + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.StaleResult.selector, observedAt, MAX_AGE, observedAt + MAX_AGE + 1)
        );
        feed.latestRoundData();
        feed.getRoundData(1);
    }

    function test_PullsWithTheCallersAge() public {
        InferenceFeed feed = _feed(1, 8);
        uint64 observedAt = uint64(block.timestamp);
        _push(observedAt, 1000);
        vm.warp(observedAt + 2 * MAX_AGE);
        IInferenceFeed.Value memory value = feed.valueNoOlderThan(2 * MAX_AGE);
        assertEq(value.value, -7 * 10 ** 5);
        assertEq(value.expo, -8);
        assertEq(value.publishTime, observedAt);
        bytes memory stale =
            abi.encodeWithSelector(IInferenceOracle.StaleResult.selector, observedAt, 2 * MAX_AGE - 1, block.timestamp);
        vm.expectRevert(stale);
        feed.valueNoOlderThan(2 * MAX_AGE - 1);
        vm.warp(observedAt + 3650 days);
        assertEq(feed.valueUnsafe().value, -7 * 10 ** 5);
        assertEq(feed.valueUnsafe().publishTime, observedAt);
    }

    /// A stop says that rounds may be forged: no newest read outlives it, though the round is kept.
    function test_RevertWhen_ModelOrVerifierIsStopped() public {
        InferenceFeed feed = _feed(0, 0);
        _push(uint64(block.timestamp), 1000);
        registry.setVerifierStatus(VERIFIER, IModelRegistry.Status.Tombstoned);
        bytes memory stopped = abi.encodeWithSelector(
            IModelRegistry.VerifierNotActive.selector, VERIFIER, IModelRegistry.Status.Tombstoned
        );
        vm.expectRevert(stopped);
        feed.latestRoundData();
        vm.expectRevert(stopped);
        feed.valueNoOlderThan(1);
        feed.valueUnsafe();

        registry.setVerifierStatus(VERIFIER, IModelRegistry.Status.Active);
        feed.latestRoundData();
        registry.setModelStatus(MODEL, IModelRegistry.Status.Tombstoned);
        stopped =
            abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, MODEL, IModelRegistry.Status.Tombstoned);
        vm.expectRevert(stopped);
        feed.latestRoundData();
        vm.expectRevert(stopped);
        feed.valueNoOlderThan(1);
    }

    function test_RevertWhen_SequencerIsDown() public {
        InferenceFeed feed = _sequencedFeed();
        _push(uint64(block.timestamp), 1000);
        sequencer.set(1, 1, block.timestamp - 5, block.timestamp, 1);
        bytes memory down = abi.encodeWithSelector(IInferenceFeed.SequencerDown.selector, block.timestamp - 5);
        vm.expectRevert(down);
        feed.latestRoundData();
        vm.expectRevert(down);
        feed.valueNoOlderThan(1);
        feed.valueUnsafe();
        feed.getRoundData(1);
        // Any other answer than "up" is "down".
        sequencer.set(1, -1, block.timestamp - GRACE - 1, block.timestamp, 1);
        vm.expectRevert(abi.encodeWithSelector(IInferenceFeed.SequencerDown.selector, block.timestamp - GRACE - 1));
        feed.latestRoundData();
    }

    function test_RevertWhen_SequencerIsBackTooShort() public {
        InferenceFeed feed = _sequencedFeed();
        _push(uint64(block.timestamp), 1000);
        uint256 back = block.timestamp - GRACE;
        sequencer.set(2, 0, back, block.timestamp, 2);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceFeed.SequencerGracePeriod.selector, back, GRACE, block.timestamp)
        );
        feed.latestRoundData();
        vm.warp(block.timestamp + 1);
        feed.latestRoundData();
    }

    function test_RevertWhen_SequencersUptimeFeedHasNoRound() public {
        InferenceFeed feed = _sequencedFeed();
        _push(uint64(block.timestamp), 1000);
        sequencer.set(0, 0, 0, 0, 0);
        vm.expectRevert(IInferenceFeed.SequencerStatusUnknown.selector);
        feed.latestRoundData();
    }

    function test_Metadata() public {
        InferenceFeed feed = _sequencedFeed();
        assertEq(feed.feedId(), oracle.feedIdOf(MODEL, VERIFIER, alice));
        assertEq(feed.verifier(), VERIFIER);
        assertEq(address(feed.sequencerUptimeFeed()), address(sequencer));
        assertEq(feed.gracePeriod(), GRACE);
    }

    function test_RevertWhen_ElementOrDecimalsAreOutOfRange() public {
        vm.expectRevert(abi.encodeWithSelector(ModelLayout.OutputIndexOutOfRange.selector, 5, 5));
        new InferenceFeed(_config(5, 8));
        vm.expectRevert(abi.encodeWithSelector(ModelLayout.OutputIndexOutOfRange.selector, 1000, 5));
        new InferenceFeed(_config(1000, 8));
        vm.expectRevert(abi.encodeWithSelector(IInferenceFeed.DecimalsOutOfRange.selector, 37));
        new InferenceFeed(_config(0, 37));
        _feed(4, 36);
    }

    function test_RevertWhen_ModelIsUnknown() public {
        IInferenceFeed.Config memory config = _config(0, 0);
        config.modelDigest = keccak256("another");
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotRegistered.selector, config.modelDigest));
        new InferenceFeed(config);
    }
}
