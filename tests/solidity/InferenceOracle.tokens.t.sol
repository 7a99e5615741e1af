// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {Jobs} from "./utils/Jobs.sol";
import {
    FalseToken,
    FeeOnTransferToken,
    GenerousToken,
    HookedToken,
    SilentToken,
    TakingToken,
    Token
} from "./utils/Tokens.sol";

/// @notice Fees in tokens, good ones and bad ones.
contract InferenceOracleTokensTest is Jobs {
    uint256 private constant FEE = 1000;

    Token private token;

    function setUp() public override {
        super.setUp();
        install("single");
        token = new Token();
    }

    // ------------------------------------------------------------------------------------------------ the whole way

    function test_FeeInATokenIsEscrowedAndPaid() public {
        Job memory job = open(_draft(address(token)));
        assertEq(token.balanceOf(address(oracle)), FEE);
        assertEq(token.balanceOf(alice), 0);
        fulfil(prove(loadModel("single"), job));
        assertEq(oracle.balanceOf(prover, address(token)), FEE);
        assertEq(oracle.balanceOf(prover, address(0)), 0);

        address to = makeAddr("purse");
        vm.startPrank(prover);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NothingToWithdraw.selector, prover, address(0)));
        oracle.withdraw(address(0), to);
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.Withdrawn(prover, address(token), to, FEE);
        oracle.withdraw(address(token), to);
        assertEq(token.balanceOf(to), FEE);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NothingToWithdraw.selector, prover, address(token)));
        oracle.withdraw(address(token), to);
    }

    function test_FeeInATokenIsRefunded() public {
        Job memory job = open(_draft(address(token)));
        vm.warp(job.request.deadline + 1);
        oracle.refund(job.request, alice, job.nonce);
        assertEq(oracle.balanceOf(alice, address(token)), FEE);
        vm.prank(alice);
        oracle.withdraw(address(token), alice);
        assertEq(token.balanceOf(alice), FEE);
    }

    function test_TokenThatReturnsNothing() public {
        SilentToken silent = new SilentToken();
        fulfil(prove(loadModel("single"), open(_draft(address(silent)))));
        vm.prank(prover);
        oracle.withdraw(address(silent), prover);
        assertEq(silent.balanceOf(prover), FEE);
    }

    /// No fee, no transfer: some tokens revert on none.
    function test_RequestForNothing() public {
        Job memory job = _draft(makeAddr("not even a token"));
        job.request.fee = 0;
        uint256[] memory words = inputWords(job);
        vm.prank(alice);
        job.id = oracle.request(job.request, words);
        fulfil(prove(loadModel("single"), job));
        assertEq(oracle.balanceOf(prover, job.request.feeToken), 0);
    }

    // ------------------------------------------------------------------------------------------------ refused

    function test_RevertWhen_EtherIsSentBesideATokenFee() public {
        Job memory job = _draft(address(token));
        fund(job);
        vm.deal(alice, FEE);
        uint256[] memory words = inputWords(job);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.FeeMismatch.selector, 0, FEE));
        oracle.request{value: FEE}(job.request, words);
    }

    function test_RevertWhen_NothingIsApproved() public {
        Job memory job = _draft(address(token));
        token.mint(alice, FEE);
        _refuse(job, abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(oracle), 0, FEE));
    }

    function test_RevertWhen_TokenIsNoContract() public {
        Job memory job = _draft(makeAddr("nothing"));
        _refuse(job, bytes(""));
    }

    function test_RevertWhen_TokenTakesAPart() public {
        _refuseAsToken(address(new FeeOnTransferToken()), FEE - FEE / 100);
    }

    function test_RevertWhen_TokenGivesMore() public {
        _refuseAsToken(address(new GenerousToken()), FEE + 1);
    }

    function test_RevertWhen_TokenTakesFromTheOracle() public {
        TakingToken taking = new TakingToken();
        taking.mint(address(oracle), FEE);
        _refuseAsToken(address(taking), 0);
    }

    function test_RevertWhen_TokenReturnsFalse() public {
        FalseToken refusing = new FalseToken();
        Job memory job = _draft(address(refusing));
        fund(job);
        refusing.setRefuses(true);
        bytes memory failed = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(refusing));
        _refuse(job, failed);

        refusing.setRefuses(false);
        fulfil(prove(loadModel("single"), open(_draft(address(refusing)))));
        refusing.setRefuses(true);
        vm.prank(prover);
        vm.expectRevert(failed);
        oracle.withdraw(address(refusing), prover);
        assertEq(oracle.balanceOf(prover, address(refusing)), FEE, "still owed");
    }

    // ------------------------------------------------------------------------------------------------ re-entering

    /// While a token's fee is taken, nothing of the oracle's but another request can run.
    function test_TokenCannotReenterWhileItsFeeIsTaken() public {
        HookedToken hooked = new HookedToken();
        Job memory expired = _draft(address(token));
        expired.request.deadline = uint64(block.timestamp);
        expired = open(expired);
        Job memory ready = prove(loadModel("single"), open(_draft(address(token))));
        vm.warp(block.timestamp + 1);
        bytes[4] memory actions = [
            abi.encodeCall(IInferenceOracle.refund, (expired.request, alice, expired.nonce)),
            abi.encodeCall(IInferenceOracle.fulfil, (fulfilmentOf(ready))),
            abi.encodeCall(IInferenceOracle.withdraw, (address(token), address(hooked))),
            abi.encodeCall(IInferenceOracle.publish, (publicationOf("single", address(hooked)), ""))
        ];
        for (uint256 i = 0; i < actions.length; ++i) {
            hooked.set(address(oracle), actions[i]);
            open(_draft(address(hooked)));
            assertFalse(hooked.succeeded());
            assertEq(
                hooked.outcome(), abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
            );
        }
        assertEq(hooked.balanceOf(address(oracle)), 4 * FEE);
    }

    /// While a token's fee is taken, no other token's fee is: what came in would count for both requests.
    function test_OneTransferIsForOneRequest() public {
        HookedToken hooked = new HookedToken();
        Job memory inner = _draft(address(hooked));
        hooked.mint(address(hooked), FEE);
        vm.prank(address(hooked));
        hooked.approve(address(oracle), FEE);
        hooked.set(address(oracle), abi.encodeCall(IInferenceOracle.request, (inner.request, inputWords(inner))));
        open(_draft(address(hooked)));
        assertFalse(hooked.succeeded());
        assertEq(
            hooked.outcome(), abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
        );
        assertEq(hooked.balanceOf(address(oracle)), FEE);
        assertEq(oracle.nonces(address(hooked)), 0);

        // One after the other is as it should be, in one transaction too.
        hooked.set(address(0), "");
        open(_draft(address(hooked)));
        assertEq(hooked.balanceOf(address(oracle)), 2 * FEE);
    }

    function test_TokenCannotReenterWhileItIsPaidOut() public {
        HookedToken hooked = new HookedToken();
        fulfil(prove(loadModel("single"), open(_draft(address(hooked)))));
        open(_draft(address(hooked)));
        hooked.set(address(oracle), abi.encodeCall(IInferenceOracle.withdraw, (address(hooked), prover)));
        vm.prank(prover);
        oracle.withdraw(address(hooked), prover);
        assertFalse(hooked.succeeded());
        assertEq(hooked.balanceOf(prover), FEE);
        assertEq(hooked.balanceOf(address(oracle)), FEE);
    }

    /// A token whose balances are its own invention harms those who deal in it, and no other currency.
    function test_LyingTokenHarmsItsOwnOnly() public {
        Job memory honest = open(_draft(address(token)));
        Job memory inEther = open(draft("single"));
        HookedToken lying = new HookedToken();
        Job memory job = open(_draft(address(lying)));
        vm.mockCall(address(lying), abi.encodeCall(lying.balanceOf, (address(oracle))), abi.encode(type(uint256).max));
        fulfil(prove(loadModel("single"), job));
        vm.prank(prover);
        oracle.withdraw(address(lying), prover);
        assertEq(token.balanceOf(address(oracle)), honest.request.fee);
        assertEq(address(oracle).balance, inEther.request.fee);
        assertEq(oracle.balanceOf(prover, address(token)), 0);
        assertEq(oracle.balanceOf(prover, address(0)), 0);
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function _draft(address feeToken) private view returns (Job memory job) {
        job = draft("single");
        (job.request.feeToken, job.request.fee) = (feeToken, FEE);
    }

    function _refuseAsToken(address feeToken, uint256 received) private {
        Job memory job = _draft(feeToken);
        fund(job);
        _refuse(job, abi.encodeWithSelector(IInferenceOracle.UnsupportedFeeToken.selector, feeToken, FEE, received));
    }

    function _refuse(Job memory job, bytes memory revertData) private {
        uint256[] memory words = inputWords(job);
        vm.prank(alice);
        vm.expectRevert(revertData);
        oracle.request(job.request, words);
        assertEq(oracle.nonces(alice), 0);
    }
}
