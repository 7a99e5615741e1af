// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";
import {InferenceSubscription} from "../../contracts/InferenceSubscription.sol";
import {InferenceSubscriptionFactory} from "../../contracts/InferenceSubscriptionFactory.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IInferenceSubscription, IInputSource} from "../../contracts/interfaces/IInferenceSubscription.sol";
import {KeyBlob} from "../../contracts/libraries/KeyBlob.sol";
import {ModelLayout} from "../../contracts/libraries/ModelLayout.sol";
import {Mocked} from "./utils/Mocked.sol";
import {HookedToken} from "./utils/Tokens.sol";
import {deploy} from "./utils/Deploy.sol";

contract Source is IInputSource {
    uint256[] private _words;

    function set(uint256[] memory words) external {
        _words = words;
    }

    function inputWords() external view returns (uint256[] memory) {
        return _words;
    }
}

/// @notice Burns all gas, returns a megabyte, or tries to trigger again.
contract EvilSource is IInputSource {
    enum Mode {
        Burn,
        Bomb,
        Reenter
    }

    Mode public mode;
    InferenceSubscription public subscription;

    function set(Mode mode_, InferenceSubscription subscription_) external {
        (mode, subscription) = (mode_, subscription_);
    }

    function inputWords() external view returns (uint256[] memory words) {
        if (mode == Mode.Burn) while (true) {}
        if (mode == Mode.Bomb) return new uint256[](31_250);
        (bool ok,) = address(subscription).staticcall(abi.encodeCall(InferenceSubscription.trigger, ()));
        words = new uint256[](3);
        words[0] = ok ? 1 : 0;
    }
}

contract InferenceSubscriptionTest is Mocked {
    uint32 private constant INTERVAL = 3600;
    uint32 private constant WINDOW = 600;
    uint256 private constant FEE = 1000;

    event Triggered(bytes32 indexed requestId, address indexed by, uint64 nextRunAt);
    event Stopped();
    event FundsWithdrawn(address indexed token, address indexed to, uint256 amount);
    event SubscriptionCreated(
        address indexed subscription,
        bytes32 indexed modelDigest,
        address indexed owner,
        IInputSource source,
        IInferenceSubscription.Config config
    );

    Source private source;
    InferenceSubscription private subscription;

    receive() external payable {}

    function setUp() public override {
        super.setUp();
        // Inputs of 1 and 2 words: 31 and 62 bytes.
        KeyBlob.Tensor[] memory tensors = new KeyBlob.Tensor[](3);
        tensors[0] = KeyBlob.Tensor(1, 31, 8, 0, 1, 0);
        tensors[1] = KeyBlob.Tensor(1, 62, 8, 0, 1, 0);
        tensors[2] = KeyBlob.Tensor(3, 1, 16, 0, 1, 0);
        registry.setModel(MODEL, tensors);
        source = new Source();
        source.set(_words());
        subscription = InferenceSubscription(deploy("InferenceSubscription", abi.encode(_config(), address(this))));
        vm.deal(alice, 1 ether);
    }

    function _words() private pure returns (uint256[] memory words) {
        words = new uint256[](3);
        (words[0], words[1], words[2]) = (11, 22, 33);
    }

    function _config() private view returns (IInferenceSubscription.Config memory) {
        return IInferenceSubscription.Config({
            oracle: oracle,
            modelDigest: MODEL,
            verifier: VERIFIER,
            source: source,
            interval: INTERVAL,
            window: WINDOW,
            capacity: 4,
            feeToken: address(0),
            fee: FEE
        });
    }

    function _fund(uint256 amount) private {
        vm.prank(alice);
        (bool ok,) = address(subscription).call{value: amount}("");
        assertTrue(ok);
    }

    /// The request that a trigger of now makes, written out independently.
    function _request() private view returns (IInferenceOracle.Request memory request) {
        request.modelDigest = MODEL;
        request.inputs = new bytes32[](2);
        request.inputs[0] = keccak256(abi.encodePacked(uint256(11)));
        request.inputs[1] = keccak256(abi.encodePacked(uint256(22), uint256(33)));
        request.verifier = VERIFIER;
        request.fee = FEE;
        request.deadline = uint64(block.timestamp) + WINDOW;
    }

    function test_RunsAndFeeds() public {
        _fund(2 * FEE);
        bytes32 expected = oracle.requestIdOf(_request(), address(subscription), 0);
        uint64 requestedAt = uint64(block.timestamp);
        assertTrue(subscription.canTrigger());
        vm.expectEmit(address(subscription));
        emit Triggered(expected, mallory, requestedAt + INTERVAL);
        vm.prank(mallory);
        assertEq(subscription.trigger(), expected);
        assertEq(address(subscription).balance, FEE);
        assertFalse(subscription.canTrigger());

        vm.warp(block.timestamp + 100);
        oracle.answer(expected, list(7));
        (uint64 round, uint64 observedAt,, uint256[] memory words) = oracle.latest(subscription.feedId(), 100);
        assertEq(round, 1);
        assertEq(observedAt, requestedAt);
        assertEq(words, list(7));
        assertEq(subscription.feedId(), oracle.feedIdOf(MODEL, VERIFIER, address(subscription)));
    }

    function test_RevertWhen_TriggeredTwiceInOneInterval() public {
        _fund(10 * FEE);
        subscription.trigger();
        uint64 next = uint64(block.timestamp) + INTERVAL;
        assertEq(subscription.nextRunAt(), next);
        vm.expectRevert(abi.encodeWithSelector(IInferenceSubscription.NotDue.selector, next, block.timestamp));
        subscription.trigger();
        vm.warp(next - 1);
        assertFalse(subscription.canTrigger());
        vm.expectRevert(abi.encodeWithSelector(IInferenceSubscription.NotDue.selector, next, next - 1));
        subscription.trigger();
        vm.warp(next);
        subscription.trigger();
        assertEq(address(subscription).balance, 8 * FEE);
    }

    /// Nobody can spend the funds faster by having waited.
    function test_MissedIntervalsAreNotMadeUpFor() public {
        _fund(10 * FEE);
        subscription.trigger();
        vm.warp(block.timestamp + 5 * INTERVAL);
        subscription.trigger();
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceSubscription.NotDue.selector, block.timestamp + INTERVAL, block.timestamp)
        );
        subscription.trigger();
        assertEq(subscription.nextRunAt(), block.timestamp + INTERVAL);
    }

    function test_RevertWhen_Underfunded() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceSubscription.Underfunded.selector, FEE, 0));
        subscription.trigger();
        _fund(FEE - 1);
        assertFalse(subscription.canTrigger());
        vm.expectRevert(abi.encodeWithSelector(IInferenceSubscription.Underfunded.selector, FEE, FEE - 1));
        subscription.trigger();
        assertEq(subscription.nextRunAt(), 0, "a refused trigger uses nothing up");
        _fund(1);
        subscription.trigger();
    }

    function test_RefundsComeBack() public {
        _fund(FEE);
        IInferenceOracle.Request memory request = _request();
        subscription.trigger();
        assertEq(address(subscription).balance, 0);
        vm.warp(block.timestamp + WINDOW + 1);
        vm.startPrank(mallory);
        oracle.refund(request, address(subscription), 0);
        subscription.collect();
        assertEq(address(subscription).balance, FEE);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.NothingToWithdraw.selector, address(subscription), address(0))
        );
        subscription.collect();
        vm.warp(block.timestamp + INTERVAL);
        subscription.trigger();
    }

    function test_RunsOnTokens() public {
        IInferenceSubscription.Config memory config = _config();
        config.feeToken = address(token);
        subscription = InferenceSubscription(deploy("InferenceSubscription", abi.encode(config, address(this))));
        _fund(FEE); // Ether is not its currency.
        assertFalse(subscription.canTrigger());
        vm.expectRevert(abi.encodeWithSelector(IInferenceSubscription.Underfunded.selector, FEE, 0));
        subscription.trigger();
        token.mint(address(subscription), FEE);
        bytes32 id = subscription.trigger();
        assertEq(token.balanceOf(address(oracle)), FEE);
        assertEq(token.allowance(address(subscription), address(oracle)), 0);
        assertEq(address(subscription).balance, FEE, "the ether is untouched");
        oracle.expire(id);
        subscription.collect();
        assertEq(token.balanceOf(address(subscription)), FEE);

        subscription.withdraw(address(token), alice, FEE);
        assertEq(token.balanceOf(alice), FEE);
        subscription.withdraw(address(0), alice, FEE);
        assertEq(alice.balance, 1 ether);
    }

    function test_StopIsFinal() public {
        _fund(2 * FEE);
        bytes32 id = subscription.trigger();
        vm.expectEmit(address(subscription));
        emit Stopped();
        subscription.stop();
        assertTrue(subscription.stopped());
        vm.warp(block.timestamp + INTERVAL);
        assertFalse(subscription.canTrigger());
        vm.expectRevert(IInferenceSubscription.SubscriptionStopped.selector);
        subscription.trigger();
        vm.expectRevert(IInferenceSubscription.SubscriptionStopped.selector);
        subscription.stop();
        // What was asked for can still be answered, or comes back.
        oracle.expire(id);
        subscription.collect();
        vm.expectEmit(address(subscription));
        emit FundsWithdrawn(address(0), alice, 2 * FEE);
        subscription.withdraw(address(0), alice, 2 * FEE);
        assertEq(alice.balance, 1 ether);
    }

    /// Nobody but the owner takes funds or stops.
    function test_RevertWhen_OthersDrain() public {
        _fund(10 * FEE);
        bytes memory unauthorized = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, mallory);
        vm.startPrank(mallory);
        vm.expectRevert(unauthorized);
        subscription.withdraw(address(0), mallory, FEE);
        vm.expectRevert(unauthorized);
        subscription.stop();
        vm.expectRevert(unauthorized);
        subscription.transferOwnership(mallory);
        vm.expectRevert(unauthorized);
        subscription.acceptOwnership();
        // In a day a run every interval at most, whatever is tried in between.
        uint256 start = block.timestamp;
        uint256 runs;
        while (block.timestamp < start + 1 days) {
            try subscription.trigger() returns (bytes32) {
                ++runs;
            } catch {}
            vm.warp(block.timestamp + 599);
        }
        assertLe(runs, 24);
        assertEq(address(subscription).balance, runs > 10 ? 0 : (10 - runs) * FEE);
    }

    function test_RevertWhen_MoreIsWithdrawnThanHeld() public {
        _fund(FEE);
        vm.expectRevert(abi.encodeWithSelector(Errors.InsufficientBalance.selector, FEE, FEE + 1));
        subscription.withdraw(address(0), alice, FEE + 1);
    }

    function test_RevertWhen_SourceGivesAnotherNumberOfWords() public {
        _fund(FEE);
        source.set(list(1, 2));
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InputWordCountMismatch.selector, 3, 2));
        subscription.trigger();
        source.set(new uint256[](4));
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InputWordCountMismatch.selector, 3, 4));
        subscription.trigger();
        source.set(new uint256[](0));
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InputWordCountMismatch.selector, 3, 0));
        subscription.trigger();
        assertEq(address(subscription).balance, FEE);
    }

    /// A source can stop the runs that it feeds, at the cost of whoever triggers; it cannot spend or lock anything.
    function test_EvilSourceOnlyStopsItself() public {
        EvilSource evil = new EvilSource();
        IInferenceSubscription.Config memory config = _config();
        config.source = evil;
        subscription = InferenceSubscription(deploy("InferenceSubscription", abi.encode(config, address(this))));
        _fund(2 * FEE);
        evil.set(EvilSource.Mode.Burn, subscription);
        (bool ok,) = address(subscription).call{gas: 3_000_000}(abi.encodeCall(InferenceSubscription.trigger, ()));
        assertFalse(ok);
        evil.set(EvilSource.Mode.Bomb, subscription);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InputWordCountMismatch.selector, 3, 31_250));
        subscription.trigger();
        assertEq(subscription.nextRunAt(), 0);
        // It is called statically: no second run from inside, and its word says that the attempt failed.
        evil.set(EvilSource.Mode.Reenter, subscription);
        bytes32 id = subscription.trigger();
        IInferenceOracle.Request memory request = _request();
        request.inputs[0] = keccak256(abi.encodePacked(uint256(0)));
        request.inputs[1] = keccak256(abi.encodePacked(uint256(0), uint256(0)));
        assertEq(id, oracle.requestIdOf(request, address(subscription), 0));
        assertEq(address(subscription).balance, FEE);
        subscription.withdraw(address(0), alice, FEE);
    }

    function test_ReentrantTokenFindsNothingDue() public {
        HookedToken hooked = new HookedToken();
        IInferenceSubscription.Config memory config = _config();
        config.feeToken = address(hooked);
        subscription = InferenceSubscription(deploy("InferenceSubscription", abi.encode(config, address(this))));
        hooked.mint(address(subscription), 10 * FEE);
        hooked.set(address(subscription), abi.encodeCall(InferenceSubscription.trigger, ()));
        subscription.trigger();
        assertFalse(hooked.succeeded());
        assertEq(
            hooked.outcome(),
            abi.encodeWithSelector(IInferenceSubscription.NotDue.selector, block.timestamp + INTERVAL, block.timestamp)
        );
        assertEq(hooked.balanceOf(address(subscription)), 9 * FEE);
    }

    function test_ConfigIsAsGiven() public view {
        IInferenceSubscription.Config memory config = subscription.config();
        assertEq(keccak256(abi.encode(config)), keccak256(abi.encode(_config())));
        uint256[] memory counts = subscription.inputWordCounts();
        assertEq(counts, list(1, 2));
        assertEq(oracle.feed(subscription.feedId()).capacity, 4);
        assertEq(oracle.feed(subscription.feedId()).publishWindow, 0);
    }

    function test_RevertWhen_ConfigIsInvalid() public {
        for (uint256 i = 0; i < 3; ++i) {
            IInferenceSubscription.Config memory config = _config();
            if (i == 0) config.interval = 0;
            if (i == 1) config.window = 0;
            if (i == 2) config.source = IInputSource(mallory);
            vm.expectRevert(IInferenceSubscription.InvalidConfig.selector);
            new InferenceSubscription(config, address(this));
        }
        IInferenceSubscription.Config memory noFeed = _config();
        noFeed.capacity = 0;
        bytes32 id =
            oracle.feedIdOf(MODEL, VERIFIER, vm.computeCreateAddress(address(this), vm.getNonce(address(this))));
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InvalidFeed.selector, id));
        new InferenceSubscription(noFeed, address(this));
    }

    function test_RevertWhen_AnInputIsPrivate() public {
        setModel(true, 31, 1, 16, 0);
        vm.expectRevert(abi.encodeWithSelector(ModelLayout.PrivateInput.selector, MODEL, 0));
        new InferenceSubscription(_config(), address(this));
    }

    function test_FactoryAnnouncesAndFunds() public {
        InferenceSubscriptionFactory factory = InferenceSubscriptionFactory(deploy("InferenceSubscriptionFactory", ""));
        vm.expectEmit(false, true, true, true);
        emit SubscriptionCreated(address(0), MODEL, alice, source, _config());
        vm.prank(alice);
        InferenceSubscription made = factory.create{value: FEE}(_config(), "salt");
        assertEq(made.owner(), alice);
        assertTrue(factory.isSubscription(address(made)));
        assertFalse(factory.isSubscription(address(subscription)));
        assertEq(address(made).balance, FEE);
        made.trigger();
        // The caller is part of the address: nobody can take it before.
        vm.prank(mallory);
        assertNotEq(address(factory.create(_config(), "salt")), address(made));
        vm.prank(alice);
        vm.expectRevert();
        factory.create(_config(), "salt");
        vm.prank(alice);
        factory.create(_config(), "other salt");
    }

    /// Whoever triggers, whenever: fees spent are those of runs, and no two runs are closer than the interval.
    function testFuzz_SpendsOnlyOnDueRuns(uint16[24] memory waits, uint8 funded) public {
        vm.deal(alice, uint256(funded) * FEE);
        _fund(uint256(funded) * FEE);
        uint256 runs;
        uint256 lastRun;
        for (uint256 i = 0; i < waits.length; ++i) {
            vm.warp(block.timestamp + waits[i]);
            bool due = runs == 0 || block.timestamp >= lastRun + INTERVAL;
            bool expected = due && runs < funded;
            assertEq(subscription.canTrigger(), expected);
            vm.prank(mallory);
            try subscription.trigger() {
                assertTrue(expected);
                (runs, lastRun) = (runs + 1, block.timestamp);
            } catch {
                assertFalse(expected);
            }
            assertEq(address(subscription).balance, (funded - runs) * FEE);
        }
    }
}
