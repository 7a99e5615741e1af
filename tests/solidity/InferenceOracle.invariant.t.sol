// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {InferenceOracle} from "../../contracts/InferenceOracle.sol";
import {Test} from "forge-std/Test.sol";
import {Jobs} from "./utils/Jobs.sol";

/// @notice Does to the oracle what anyone may, at random times, and keeps the books by itself.
/// @dev Proofs have their own tests, so the verifier accepts everything here: what is at stake is the money.
contract EscrowHandler is Test {
    IInferenceOracle private immutable _oracle;
    IInferenceOracle.Request private _template;
    uint256[] private _inputWords;
    uint256[] private _words;

    struct Open {
        IInferenceOracle.Request request;
        address requester;
        uint256 nonce;
        bytes32 id;
    }

    Open[] private _open;
    bytes32[] public closed;
    address[4] public actors = [address(0xa1), address(0xa2), address(0xa3), address(0xa4)];
    uint256 public deposited;
    uint256 public withdrawn;
    uint256 public escrowed;
    uint64 public newest;

    constructor(
        IInferenceOracle oracle,
        IInferenceOracle.Request memory template,
        uint256[] memory inputWords,
        uint256[] memory words
    ) {
        (_oracle, _template, _inputWords, _words) = (oracle, template, inputWords, words);
    }

    function request(uint256 actor, uint96 fee, uint32 duration) external {
        address requester = actors[actor % 4];
        IInferenceOracle.Request memory made = _template;
        made.fee = fee;
        made.deadline = uint64(block.timestamp + duration % 1000);
        uint256 nonce = _oracle.nonces(requester);
        vm.deal(requester, requester.balance + fee);
        vm.prank(requester);
        bytes32 id = _oracle.request{value: fee}(made, _inputWords);
        _open.push(Open(made, requester, nonce, id));
        deposited += fee;
        escrowed += fee;
    }

    function fulfil(uint256 index, uint256 actor) external {
        if (_open.length == 0) return;
        Open memory job = _open[index % _open.length];
        bool late = block.timestamp > job.request.deadline;
        if (late) vm.expectPartialRevert(IInferenceOracle.DeadlinePassed.selector);
        _oracle.fulfil(
            job.request, job.requester, job.nonce, actors[actor % 4], _words, new uint256[](0), new uint256[](0)
        );
        if (late) return;
        _close(index % _open.length);
    }

    function refund(uint256 index) external {
        if (_open.length == 0) return;
        Open memory job = _open[index % _open.length];
        bool early = block.timestamp <= job.request.deadline;
        if (early) vm.expectPartialRevert(IInferenceOracle.DeadlineNotPassed.selector);
        _oracle.refund(job.request, job.requester, job.nonce);
        if (early) return;
        _close(index % _open.length);
    }

    function withdraw(uint256 actor) external {
        address account = actors[actor % 4];
        uint256 amount = _oracle.balanceOf(account);
        if (amount == 0) vm.expectPartialRevert(IInferenceOracle.NothingToWithdraw.selector);
        vm.prank(account);
        _oracle.withdraw();
        withdrawn += amount;
    }

    function warp(uint16 seconds_) external {
        vm.warp(block.timestamp + seconds_ % 600);
    }

    function _close(uint256 index) private {
        escrowed -= _open[index].request.fee;
        closed.push(_open[index].id);
        _open[index] = _open[_open.length - 1];
        _open.pop();
    }

    function closedCount() external view returns (uint256) {
        return closed.length;
    }

    function openCount() external view returns (uint256) {
        return _open.length;
    }

    function openId(uint256 i) external view returns (bytes32) {
        return _open[i].id;
    }
}

contract InferenceOracleInvariantTest is Jobs {
    EscrowHandler private handler;
    bytes32 private digest;
    uint64[4] private newestSeen;

    function setUp() public override {
        super.setUp();
        digest = install("single").digest;
        vm.mockCall(address(verifier), abi.encodeWithSelector(IBundleVerifier.verifyBundle.selector), "");
        Job memory job = draft("single");
        handler = new EscrowHandler(oracle, job.request, inputWords(job), job.bundle.words);
        targetContract(address(handler));
    }

    /// Ether in = paid out + credited + escrowed, and the oracle holds the last two.
    function invariant_EtherIsAccountedFor() public view {
        uint256 credits;
        for (uint256 i = 0; i < 4; ++i) {
            credits += oracle.balanceOf(handler.actors(i));
        }
        assertEq(handler.deposited(), handler.withdrawn() + credits + handler.escrowed());
        assertEq(address(oracle).balance, credits + handler.escrowed());
    }

    /// A closed request stays closed, an open one is open.
    function invariant_StatesAreFinal() public view {
        for (uint256 i = 0; i < handler.closedCount(); ++i) {
            IInferenceOracle.Status status = oracle.status(handler.closed(i));
            assertTrue(status == IInferenceOracle.Status.Fulfilled || status == IInferenceOracle.Status.Refunded);
        }
        for (uint256 i = 0; i < handler.openCount(); ++i) {
            assertTrue(oracle.status(handler.openId(i)) == IInferenceOracle.Status.Open);
        }
    }

    /// `latest` never goes back.
    function invariant_LatestIsMonotone() public {
        for (uint256 i = 0; i < 4; ++i) {
            (, uint64 requestedAt,,) = oracle.latest(digest, handler.actors(i));
            assertGe(requestedAt, newestSeen[i]);
            newestSeen[i] = requestedAt;
        }
    }
}
