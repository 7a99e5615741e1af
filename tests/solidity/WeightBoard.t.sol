// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Test} from "forge-std/Test.sol";
import {WeightBoard} from "../../contracts/WeightBoard.sol";
import {IWeightBoard} from "../../contracts/interfaces/IWeightBoard.sol";
import {deploy} from "./utils/Deploy.sol";

/// @notice A board of subnet 7, whose epochs have twenty blocks: epoch e begins in block 20·e − 8.
abstract contract OnBoard is Test {
    uint16 internal constant NETUID = 7;
    uint16 internal constant TEMPO = 19;
    uint64 internal constant RATE = 10;
    uint64 internal constant VERSION = 3;

    WeightBoard internal board;
    address internal validator = makeAddr("validator");
    address internal other = makeAddr("other validator");

    function rules() internal pure returns (IWeightBoard.Parameters memory) {
        return IWeightBoard.Parameters({
            netuid: NETUID,
            tempo: TEMPO,
            minWeights: 1,
            maxWeight: type(uint16).max,
            commitReveal: true,
            revealPeriod: 1,
            rateLimit: RATE,
            versionKey: VERSION
        });
    }

    /// Validators have uids 0 and 1, miners those from 2 on.
    function start(IWeightBoard.Parameters memory parameters, uint256 miners) internal {
        board = WeightBoard(deploy("WeightBoard", abi.encode(address(this), parameters)));
        board.register(validator);
        board.register(other);
        board.setPermit(0, true);
        board.setPermit(1, true);
        for (uint256 i = 0; i < miners; ++i) {
            board.register(minerOf(i));
        }
        vm.roll(firstBlockOf(10));
    }

    function minerOf(uint256 i) internal pure returns (address) {
        return address(uint160(0x10000 + i));
    }

    function firstBlockOf(uint256 epoch) internal pure returns (uint256) {
        return epoch * (uint256(TEMPO) + 1) - NETUID - 1;
    }

    function two(uint16 a, uint16 b) internal pure returns (uint16[] memory list) {
        list = new uint16[](2);
        (list[0], list[1]) = (a, b);
    }

    function one(uint16 a) internal pure returns (uint16[] memory list) {
        list = new uint16[](1);
        list[0] = a;
    }

    function commit(address who, uint16[] memory values, uint16 salt) internal returns (bytes32 hash) {
        hash = board.commitHashOf(who, two(2, 3), values, one(salt), VERSION);
        vm.prank(who);
        board.commitWeights(NETUID, hash);
    }

    function reveal(address who, uint16[] memory values, uint16 salt) internal {
        vm.prank(who);
        board.revealWeights(NETUID, two(2, 3), values, one(salt), VERSION);
    }

    function assertSame(uint16[] memory left, uint16[] memory right) internal pure {
        assertEq(abi.encode(left), abi.encode(right));
    }

    function weightsOf(uint16 uid) internal view returns (uint16[] memory values) {
        (, values) = board.weightsOf(uid);
    }
}

contract WeightBoardTest is OnBoard {
    event NeuronRegistered(uint16 indexed uid, address indexed who);
    event PermitSet(uint16 indexed uid, bool permit);
    event WeightsCommitted(uint16 indexed uid, bytes32 commitHash);
    event WeightsRevealed(uint16 indexed uid, bytes32 commitHash);
    event WeightsSet(uint16 indexed uid);

    function setUp() public {
        start(rules(), 2);
    }

    // ------------------------------------------------------------------------------------------------ registering

    function test_RegistersOneUidForEachAddress() public {
        vm.expectEmit(address(board));
        emit NeuronRegistered(4, address(99));
        assertEq(board.register(address(99)), 4);
        assertEq(board.uidOf(address(99)), 4);
        assertEq(board.getUidCount(NETUID), 5);
        assertEq(board.getHotkey(NETUID, 4), bytes32(uint256(99)));
        assertFalse(board.getValidatorStatus(NETUID, 4));
        vm.expectRevert(abi.encodeWithSelector(IWeightBoard.NeuronAlreadyRegistered.selector, address(99), 4));
        board.register(address(99));
        vm.expectRevert(IWeightBoard.InvalidNeuron.selector);
        board.register(address(0));
        vm.expectEmit(address(board));
        emit PermitSet(4, true);
        board.setPermit(4, true);
        assertTrue(board.getValidatorStatus(NETUID, 4));
        vm.expectRevert(abi.encodeWithSelector(IWeightBoard.UidVecContainInvalidOne.selector, 5));
        board.setPermit(5, true);
        vm.expectRevert(abi.encodeWithSelector(IWeightBoard.HotKeyNotRegisteredInSubNet.selector, address(98)));
        board.uidOf(address(98));
    }

    function test_RevertWhen_AnotherThanTheOwnerRegisters() public {
        bytes memory denied = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, validator);
        vm.startPrank(validator);
        vm.expectRevert(denied);
        board.register(address(99));
        vm.expectRevert(denied);
        board.setPermit(0, true);
        vm.expectRevert(denied);
        board.renounceOwnership();
        vm.stopPrank();
        vm.expectRevert(IWeightBoard.OwnershipCannotBeRenounced.selector);
        board.renounceOwnership();
    }

    function test_RevertWhen_ThereAreAsManyUidsAsCanBe() public {
        // The list's length is in slot 2, behind the owner and the owner to be.
        vm.store(address(board), bytes32(uint256(2)), bytes32(uint256(type(uint16).max)));
        assertEq(board.getUidCount(NETUID), type(uint16).max);
        vm.expectRevert(IWeightBoard.TooManyUids.selector);
        board.register(address(99));
    }

    function test_RevertWhen_RulesHideNothing() public {
        IWeightBoard.Parameters memory rule = rules();
        rule.revealPeriod = 0;
        vm.expectRevert(IWeightBoard.InvalidParameters.selector);
        new WeightBoard(address(this), rule);
        rule = rules();
        rule.tempo = 0;
        vm.expectRevert(IWeightBoard.InvalidParameters.selector);
        new WeightBoard(address(this), rule);
        rule = rules();
        rule.maxWeight = 0;
        vm.expectRevert(IWeightBoard.InvalidParameters.selector);
        new WeightBoard(address(this), rule);
    }

    function test_SaysItsRules() public {
        assertEq(board.getTempo(NETUID), TEMPO);
        assertEq(board.getMinAllowedWeights(NETUID), 1);
        assertEq(board.getMaxWeightLimit(NETUID), type(uint16).max);
        assertTrue(board.getCommitRevealWeightsEnabled(NETUID));
        assertEq(board.getCommitRevealWeightsInterval(NETUID), 1);
        assertEq(board.getWeightsSetRateLimit(NETUID), RATE);
        assertEq(board.getWeightsVersionKey(NETUID), VERSION);
        assertEq(board.blockNumber(), block.number);
        assertEq(board.subnet(), NETUID);
        bytes memory elsewhere = abi.encodeWithSelector(IWeightBoard.SubNetworkDoesNotExist.selector, NETUID + 1);
        vm.expectRevert(elsewhere);
        board.getUidCount(NETUID + 1);
        vm.expectRevert(elsewhere);
        board.commitWeights(NETUID + 1, 0);
        vm.expectRevert(elsewhere);
        board.revealWeights(NETUID + 1, one(2), one(1), one(0), VERSION);
    }

    // ------------------------------------------------------------------------------------------------ commit, reveal

    function test_CommitsAndReveals() public {
        bytes32 hash = board.commitHashOf(validator, two(2, 3), two(10, 30), one(5), VERSION);
        assertEq(
            hash,
            keccak256(
                abi.encode(block.chainid, address(board), validator, NETUID, two(2, 3), two(10, 30), one(5), VERSION)
            )
        );
        vm.expectEmit(address(board));
        emit WeightsCommitted(0, hash);
        commit(validator, two(10, 30), 5);
        assertEq(board.getLastUpdate(NETUID, 0), block.number);
        assertEq(board.commitsOf(validator).length, 1);
        assertEq(board.commitsOf(validator)[0].commitHash, hash);

        // One block before the next epoch, and its first and its last.
        bytes memory early = abi.encodeWithSelector(IWeightBoard.RevealTooEarly.selector, firstBlockOf(11));
        vm.expectRevert(early);
        reveal(validator, two(10, 30), 5);
        vm.roll(firstBlockOf(11) - 1);
        vm.expectRevert(early);
        reveal(validator, two(10, 30), 5);
        uint256 before = vm.snapshotState();
        for (uint256 i = 0; i < 2; ++i) {
            vm.revertToState(before);
            vm.roll(firstBlockOf(11) + i * TEMPO);
            vm.expectEmit(address(board));
            emit WeightsSet(0);
            vm.expectEmit(address(board));
            emit WeightsRevealed(0, hash);
            reveal(validator, two(10, 30), 5);
            assertSame(weightsOf(0), two(10, 30));
            assertEq(board.commitsOf(validator).length, 0);
        }
        // Once.
        vm.expectRevert(IWeightBoard.NoWeightsCommitFound.selector);
        reveal(validator, two(10, 30), 5);
        vm.revertToState(before);
        vm.roll(firstBlockOf(12));
        vm.expectRevert(IWeightBoard.ExpiredWeightCommit.selector);
        reveal(validator, two(10, 30), 5);
        vm.expectRevert(IWeightBoard.NoWeightsCommitFound.selector);
        reveal(validator, two(10, 31), 5);
        assertEq(weightsOf(0).length, 0);
    }

    function test_ALaterCommitVoidsThoseBefore() public {
        IWeightBoard.Parameters memory rule = rules();
        rule.rateLimit = 1;
        start(rule, 2);
        for (uint16 i = 0; i < 10; ++i) {
            commit(validator, two(i, 1), i);
            vm.roll(block.number + 1);
        }
        bytes32 more = keccak256("more");
        vm.expectRevert(IWeightBoard.TooManyUnrevealedCommits.selector);
        vm.prank(validator);
        board.commitWeights(NETUID, more);
        // Another's are counted apart.
        commit(other, two(1, 1), 1);
        vm.roll(firstBlockOf(11));
        reveal(validator, two(8, 1), 8);
        assertSame(weightsOf(0), two(8, 1));
        vm.expectRevert(IWeightBoard.InvalidRevealCommitHashNotMatch.selector);
        reveal(validator, two(7, 1), 7);
        reveal(validator, two(9, 1), 9);
        // Those out of date make place, and are no longer listed once there is a new one.
        vm.roll(firstBlockOf(12));
        assertEq(board.commitsOf(other).length, 1);
        commit(other, two(2, 2), 2);
        assertEq(board.commitsOf(other).length, 1);
        // One out of date beside one that is open.
        vm.roll(firstBlockOf(12) + 1);
        commit(validator, two(1, 1), 20);
        vm.roll(firstBlockOf(13));
        commit(validator, two(1, 1), 21);
        vm.roll(firstBlockOf(14));
        vm.expectRevert(IWeightBoard.ExpiredWeightCommit.selector);
        reveal(validator, two(1, 1), 20);
        vm.expectRevert(IWeightBoard.InvalidRevealCommitHashNotMatch.selector);
        reveal(validator, two(1, 1), 22);
        reveal(validator, two(1, 1), 21);
    }

    function test_RevertWhen_CommitIsTooFast() public {
        uint256 begin = block.number;
        commit(validator, two(1, 1), 1);
        vm.roll(begin + RATE - 1);
        bytes32 hash = keccak256("another");
        vm.expectRevert(abi.encodeWithSelector(IWeightBoard.CommittingWeightsTooFast.selector, begin + RATE));
        vm.prank(validator);
        board.commitWeights(NETUID, hash);
        vm.roll(begin + RATE);
        vm.prank(validator);
        board.commitWeights(NETUID, hash);
        vm.expectRevert(abi.encodeWithSelector(IWeightBoard.HotKeyNotRegisteredInSubNet.selector, address(99)));
        vm.prank(address(99));
        board.commitWeights(NETUID, hash);
    }

    // ------------------------------------------------------------------------------------------------ sets of weights

    /// A set that breaks every rule, mended one by one: the rules are checked in this order.
    function test_ChecksInTheirOrder() public {
        IWeightBoard.Parameters memory rule = rules();
        (rule.commitReveal, rule.minWeights, rule.maxWeight) = (false, 3, 40_000);
        start(rule, 2);
        vm.prank(validator);
        board.setWeights(NETUID, _three(2, 3, 1), _three(5, 5, 0), VERSION);
        uint256 last = block.number;
        board.setPermit(0, false);
        address who = address(99);
        uint16[] memory uids = new uint16[](5);
        (uids[0], uids[1], uids[2], uids[3], uids[4]) = (2, 2, 9, 9, 9);

        _expect(who, NETUID + 1, uids, new uint16[](4), 0, IWeightBoard.WeightVecNotEqualSize.selector);
        _expect(who, NETUID + 1, uids, new uint16[](5), 0, IWeightBoard.SubNetworkDoesNotExist.selector);
        _expect(who, NETUID, uids, new uint16[](5), 0, IWeightBoard.UidsLengthExceedUidsInSubNet.selector);
        uids = _three(2, 2, 9);
        uint16[] memory values = _three(7, 1, 1);
        _expect(who, NETUID, uids, values, 0, IWeightBoard.HotKeyNotRegisteredInSubNet.selector);
        who = validator;
        _expect(who, NETUID, uids, values, 0, IWeightBoard.IncorrectWeightVersionKey.selector);
        _expect(who, NETUID, uids, values, VERSION, IWeightBoard.SettingWeightsTooFast.selector);
        vm.roll(last + RATE);
        _expect(who, NETUID, uids, values, VERSION, IWeightBoard.NeuronNoValidatorPermit.selector);
        board.setPermit(0, true);
        _expect(who, NETUID, uids, values, VERSION, IWeightBoard.DuplicateUids.selector);
        _expect(who, NETUID, two(2, 9), two(7, 1), VERSION, IWeightBoard.UidVecContainInvalidOne.selector);
        _expect(who, NETUID, two(2, 3), two(7, 1), VERSION, IWeightBoard.WeightVecLengthIsLow.selector);
        _expect(who, NETUID, _three(2, 3, 1), values, VERSION, IWeightBoard.MaxWeightExceeded.selector);
        vm.prank(who);
        board.setWeights(NETUID, _three(2, 3, 1), _three(6, 3, 1), VERSION + 1);
        assertEq(board.getLastUpdate(NETUID, 0), block.number);
        _expectNext(IWeightBoard.CommitRevealDisabled.selector);
        board.commitWeights(NETUID, 0);
        _expectNext(IWeightBoard.CommitRevealDisabled.selector);
        board.revealWeights(NETUID, one(2), one(1), one(0), VERSION);
    }

    function _three(uint16 a, uint16 b, uint16 c) private pure returns (uint16[] memory list) {
        list = new uint16[](3);
        (list[0], list[1], list[2]) = (a, b, c);
    }

    function _expect(
        address who,
        uint16 netuid,
        uint16[] memory uids,
        uint16[] memory values,
        uint64 version,
        bytes4 selector
    ) private {
        _expectNext(selector);
        vm.prank(who);
        board.setWeights(netuid, uids, values, version);
    }

    function _expectNext(bytes4 selector) private {
        vm.expectPartialRevert(selector);
    }

    function test_RevertWhen_WeightsAreSetWithoutACommit() public {
        vm.expectRevert(IWeightBoard.CommitRevealEnabled.selector);
        vm.prank(validator);
        board.setWeights(NETUID, one(2), one(1), VERSION);
    }

    /// A refused reveal leaves its commit, which can be revealed once what was wrong is mended.
    function test_ARefusedRevealKeepsItsCommit() public {
        commit(validator, two(1, 2), 1);
        board.setPermit(0, false);
        vm.roll(firstBlockOf(11));
        vm.expectRevert(abi.encodeWithSelector(IWeightBoard.NeuronNoValidatorPermit.selector, 0));
        reveal(validator, two(1, 2), 1);
        assertEq(board.commitsOf(validator).length, 1);
        board.setPermit(0, true);
        reveal(validator, two(1, 2), 1);
        assertSame(weightsOf(0), two(1, 2));
    }

    function test_FewerUidsThanTheLeastNumberDo() public {
        IWeightBoard.Parameters memory rule = rules();
        (rule.commitReveal, rule.minWeights) = (false, 100);
        start(rule, 0);
        vm.prank(validator);
        board.setWeights(NETUID, two(0, 1), two(0, 0), VERSION);
        assertSame(weightsOf(0), two(0, 0));
    }

    /// The share is exact: no rounding lets a weight through or holds it back.
    function testFuzz_MaxWeightIsExact(uint16 limit, uint16 a, uint16 b) public {
        IWeightBoard.Parameters memory rule = rules();
        (rule.commitReveal, rule.maxWeight) = (false, uint16(bound(limit, 1, type(uint16).max)));
        start(rule, 2);
        uint256 largest = a > b ? a : b;
        if (largest * 65_535 > uint256(rule.maxWeight) * (uint256(a) + b)) {
            _expectNext(IWeightBoard.MaxWeightExceeded.selector);
        }
        vm.prank(validator);
        board.setWeights(NETUID, two(2, 3), two(a, b), VERSION);
    }

    /// What is read is what was set, whatever was there before.
    function testFuzz_WeightsAreThoseThatWereSet(uint16[] memory first, uint16[] memory second, uint256 seed) public {
        IWeightBoard.Parameters memory rule = rules();
        (rule.commitReveal, rule.minWeights, rule.rateLimit) = (false, 0, 0);
        start(rule, 62);
        for (uint256 i = 0; i < 2; ++i) {
            uint16[] memory values = i == 0 ? first : second;
            uint256 length = values.length > 64 ? 64 : values.length;
            assembly ("memory-safe") {
                mstore(values, length)
            }
            uint16[] memory uids = new uint16[](length);
            for (uint256 j = 0; j < length; ++j) {
                uids[j] = uint16((j * 37 + seed % 64) % 64);
            }
            vm.prank(other);
            board.setWeights(NETUID, uids, values, VERSION);
            (uint16[] memory readUids, uint16[] memory readValues) = board.weightsOf(1);
            assertSame(readUids, uids);
            assertSame(readValues, values);
            assertEq(weightsOf(0).length, 0);
        }
    }

    /// Every uid of a full subnet in one call, first into new storage, then over it: well within a block, and a commit costs
    /// the same whatever it is to.
    function test_GasOf256Uids() public {
        start(rules(), 254);
        (uint16[] memory uids, uint16[] memory values) = (new uint16[](256), new uint16[](256));
        for (uint16 i = 0; i < 256; ++i) {
            (uids[i], values[i]) = (255 - i, 65_535 - i);
        }
        uint256[2] memory limits = [uint256(1_200_000), 550_000];
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 hash = board.commitHashOf(validator, uids, values, one(1), VERSION);
            vm.prank(validator);
            board.commitWeights(NETUID, hash);
            assertLt(vm.lastCallGas().gasTotalUsed, 80_000);
            vm.roll(firstBlockOf(11 + i));
            vm.prank(validator);
            board.revealWeights(NETUID, uids, values, one(1), VERSION);
            assertLt(vm.lastCallGas().gasTotalUsed, limits[i]);
        }
    }

    // ------------------------------------------------------------------------------------------------ attacks

    /// A copied commit is of no use to another: the hash has its maker in it.
    function test_RevertWhen_ACopiedCommitIsRevealedByAnother() public {
        bytes32 hash = commit(validator, two(10, 30), 5);
        vm.prank(other);
        board.commitWeights(NETUID, hash);
        vm.roll(firstBlockOf(11));
        reveal(validator, two(10, 30), 5);
        vm.expectRevert(IWeightBoard.InvalidRevealCommitHashNotMatch.selector);
        reveal(other, two(10, 30), 5);
    }

    /// Nor on another board, or on another chain.
    function test_RevertWhen_ACommitIsOfAnotherBoardOrChain() public {
        bytes32 hash = board.commitHashOf(validator, two(2, 3), two(10, 30), one(5), VERSION);
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        assertNotEq(board.commitHashOf(validator, two(2, 3), two(10, 30), one(5), VERSION), hash);
        vm.chainId(chain);
        WeightBoard first = board;
        start(rules(), 2);
        assertNotEq(address(board), address(first));
        vm.prank(validator);
        board.commitWeights(NETUID, hash);
        vm.roll(firstBlockOf(11));
        vm.expectRevert(IWeightBoard.InvalidRevealCommitHashNotMatch.selector);
        reveal(validator, two(10, 30), 5);
    }

    /// Whoever has seen a reveal has no commit to the same weights that could be revealed in the same epoch.
    function test_RevertWhen_WeightsAreCopiedInTheEpochOfTheirReveal() public {
        commit(validator, two(10, 30), 5);
        vm.roll(firstBlockOf(11));
        reveal(validator, two(10, 30), 5);
        commit(other, two(10, 30), 6);
        vm.roll(firstBlockOf(12) - 1);
        vm.expectRevert(abi.encodeWithSelector(IWeightBoard.RevealTooEarly.selector, firstBlockOf(12)));
        reveal(other, two(10, 30), 6);
    }

    /// Whoever commits to several sets could choose among them once others are revealed; where the rate limit is an epoch, there is
    /// one to reveal.
    function test_ARateLimitOfAnEpochLeavesNoChoice() public {
        IWeightBoard.Parameters memory rule = rules();
        rule.rateLimit = TEMPO + 1;
        start(rule, 2);
        commit(validator, two(10, 30), 5);
        vm.roll(firstBlockOf(11) - 1);
        bytes32 another = board.commitHashOf(validator, two(2, 3), two(30, 10), one(6), VERSION);
        vm.expectPartialRevert(IWeightBoard.CommittingWeightsTooFast.selector);
        vm.prank(validator);
        board.commitWeights(NETUID, another);
    }

    /// Moving an element from one list to the next gives another hash.
    function test_ListsAreNotReadAsOne() public view {
        uint16[] memory none = new uint16[](0);
        bytes32 hash = board.commitHashOf(validator, two(2, 3), one(4), none, VERSION);
        assertNotEq(board.commitHashOf(validator, one(2), two(3, 4), none, VERSION), hash);
        assertNotEq(board.commitHashOf(validator, two(2, 3), none, one(4), VERSION), hash);
    }

    /// The owner has no way to a validator's weights or commits: all it can do is to stop new ones.
    function test_TheOwnerCannotTouchWeights() public {
        commit(validator, two(10, 30), 5);
        vm.roll(firstBlockOf(11));
        reveal(validator, two(10, 30), 5);
        commit(validator, two(1, 2), 6);
        board.setPermit(0, false);
        board.register(address(99));
        board.transferOwnership(address(99));
        vm.prank(address(99));
        board.acceptOwnership();
        assertSame(weightsOf(0), two(10, 30));
        assertEq(board.commitsOf(validator).length, 1);
        assertEq(board.uidOf(validator), 0);
    }

    /// A validator's own queue, full or out of date, costs nobody else anything.
    function test_AFullQueueHarmsNobodyElse() public {
        IWeightBoard.Parameters memory rule = rules();
        rule.rateLimit = 1;
        start(rule, 2);
        commit(validator, two(1, 2), 1);
        vm.roll(firstBlockOf(11));
        uint256 before = vm.snapshotState();
        reveal(validator, two(1, 2), 1);
        uint256 alone = vm.lastCallGas().gasTotalUsed;
        vm.revertToState(before);
        for (uint16 i = 0; i < 10; ++i) {
            vm.roll(block.number + 1);
            commit(other, two(i, 1), i);
        }
        reveal(validator, two(1, 2), 1);
        assertEq(vm.lastCallGas().gasTotalUsed, alone);
    }
}
