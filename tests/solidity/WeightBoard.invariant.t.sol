// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IWeightBoard} from "../../contracts/interfaces/IWeightBoard.sol";
import {OnBoard} from "./WeightBoard.t.sol";

/// @notice Two validators that commit and reveal whatever and whenever, and an owner that permits and does not; beside them a
/// record of what was done, by which each call has to pass or fail.
contract BoardHandler is OnBoard {
    struct Done {
        bytes32 hash;
        uint256 epoch;
        uint16 value;
        bool isGone;
    }

    mapping(address who => Done[]) private _commits;
    mapping(address who => uint16) private _value;
    mapping(address who => uint256) private _last;
    mapping(address who => bool) private _permit;

    constructor() {
        IWeightBoard.Parameters memory rule = rules();
        rule.rateLimit = 3;
        start(rule, 2);
        (_permit[validator], _permit[other]) = (true, true);
    }

    function wait_(uint256 blocks) external {
        vm.roll(block.number + blocks % 12);
    }

    function setPermit_(bool first, bool permit) external {
        board.setPermit(first ? 0 : 1, permit);
        _permit[_who(first)] = permit;
    }

    function commit_(bool first, uint16 value) external {
        address who = _who(first);
        bytes32 hash = board.commitHashOf(who, two(2, 3), two(value % 4, 1), one(0), VERSION);
        uint256 open = 0;
        for (uint256 i = 0; i < _commits[who].length; ++i) {
            if (!_commits[who][i].isGone && _epoch() <= _commits[who][i].epoch + 1) ++open;
        }
        bool may = open < 10 && (_last[who] == 0 || block.number >= _last[who] + 3);
        vm.prank(who);
        try board.commitWeights(NETUID, hash) {
            assertTrue(may, "committed");
            _commits[who].push(Done({hash: hash, epoch: _epoch(), value: value % 4, isGone: false}));
            _last[who] = block.number;
        } catch {
            assertFalse(may, "not committed");
        }
    }

    function reveal_(bool first, uint16 value) external {
        address who = _who(first);
        Done[] storage made = _commits[who];
        // The first of this value that is neither revealed nor before one that was, nor out of date.
        uint256 k = 0;
        while (k < made.length && (made[k].isGone || made[k].value != value % 4 || _epoch() > made[k].epoch + 1)) {
            ++k;
        }
        bool may = k < made.length && _epoch() == made[k].epoch + 1 && _permit[who];
        vm.prank(who);
        try board.revealWeights(NETUID, two(2, 3), two(value % 4, 1), one(0), VERSION) {
            assertTrue(may, "revealed");
            for (uint256 i = 0; i <= k; ++i) {
                made[i].isGone = true;
            }
            _value[who] = value % 4;
        } catch {
            assertFalse(may, "not revealed");
        }
    }

    function check() external view {
        address[2] memory all = [validator, other];
        for (uint16 uid = 0; uid < 2; ++uid) {
            address who = all[uid];
            assertEq(board.uidOf(who), uid);
            assertEq(board.getLastUpdate(NETUID, uid), _last[who]);
            uint16[] memory values = weightsOf(uid);
            if (values.length > 0) assertSame(values, two(_value[who], 1));
            // The open ones are listed, in their order.
            IWeightBoard.Commit[] memory listed = board.commitsOf(who);
            uint256 next = 0;
            for (uint256 i = 0; i < _commits[who].length; ++i) {
                Done storage done = _commits[who][i];
                if (done.isGone || _epoch() > done.epoch + 1) continue;
                while (listed[next].commitHash != done.hash || _epochOf(listed[next].blockNumber) != done.epoch) ++next;
            }
            assertLe(listed.length, 10);
        }
    }

    function _who(bool first) private view returns (address) {
        return first ? validator : other;
    }

    function _epoch() private view returns (uint256) {
        return _epochOf(block.number);
    }

    function _epochOf(uint256 number) private pure returns (uint256) {
        return (number + NETUID + 1) / (uint256(TEMPO) + 1);
    }
}

contract WeightBoardInvariantTest is OnBoard {
    BoardHandler private handler;

    function setUp() public {
        handler = new BoardHandler();
        bytes4[] memory actions = new bytes4[](4);
        actions[0] = BoardHandler.wait_.selector;
        actions[1] = BoardHandler.setPermit_.selector;
        actions[2] = BoardHandler.commit_.selector;
        actions[3] = BoardHandler.reveal_.selector;
        targetContract(address(handler));
        targetSelector(FuzzSelector({addr: address(handler), selectors: actions}));
    }

    /// Only what was committed to is revealed, in its epoch, once, by its maker; nothing else writes weights.
    function invariant_WeightsAreThoseRevealedInTime() public view {
        handler.check();
    }
}
