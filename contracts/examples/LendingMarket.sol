// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {FeedConsumer} from "../consumers/FeedConsumer.sol";
import {IInferenceFeed} from "../interfaces/IInferenceFeed.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

/// @title Example: a lending market whose limit follows a model's risk score
/// @notice Lends one token against another at par, up to 80 % of the collateral times (1 − risk). The risk, from 0 to
/// 1, is an element of a model's output, read from a feed: with a bad score nothing new is lent, and without a fresh
/// one nothing risky can be done at all. Repaying never needs the feed.
/// @dev The score is as good as the feed's source: its inputs must be beyond a borrower's reach. Price feeds, interest
/// and liquidation are left out; a price would be read with the same checks (`_positiveAnswerOf`).
contract LendingMarket is FeedConsumer {
    using SafeERC20 for IERC20;

    event Deposited(address indexed account, uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);
    event Borrowed(address indexed account, uint256 amount);
    event Repaid(address indexed account, uint256 amount);

    /// @notice The account would owe more than its collateral and today's risk allow.
    /// @dev Selector 0xbaf684fe.
    error AboveLimit(uint256 debt, uint256 limit);
    /// @notice The score is negative: it is not the risk that this market was made for.
    /// @dev Selector 0x507e5129.
    error RiskOutOfRange(int256 risk);

    uint256 private constant ONE = 1e18;
    uint256 private constant MAX_LOAN_TO_VALUE = 0.8e18;

    IERC20 public immutable collateral;
    IERC20 public immutable loan;
    IInferenceFeed public immutable riskFeed;
    /// @notice Greatest age of a score that is acted upon, in seconds.
    uint256 public immutable maxAge;

    mapping(address account => uint256) public collateralOf;
    mapping(address account => uint256) public debtOf;

    constructor(IERC20 collateral_, IERC20 loan_, IInferenceFeed riskFeed_, uint256 maxAge_) {
        (collateral, loan, riskFeed, maxAge) = (collateral_, loan_, riskFeed_, maxAge_);
    }

    function deposit(uint256 amount) external {
        collateralOf[msg.sender] += amount;
        emit Deposited(msg.sender, amount);
        collateral.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Takes collateral back; with a debt left, only as far as today's limit allows.
    function withdraw(uint256 amount) external {
        collateralOf[msg.sender] -= amount;
        if (debtOf[msg.sender] != 0) _requireWithinLimit(msg.sender);
        emit Withdrawn(msg.sender, amount);
        collateral.safeTransfer(msg.sender, amount);
    }

    function borrow(uint256 amount) public {
        debtOf[msg.sender] += amount;
        _requireWithinLimit(msg.sender);
        emit Borrowed(msg.sender, amount);
        loan.safeTransfer(msg.sender, amount);
    }

    /// @notice Brings the score up to date first, with a proven run signed by the feed's source.
    function updateAndBorrow(
        IInferenceOracle.Publication calldata publication,
        bytes calldata signature,
        uint256 amount
    ) external {
        // slither-disable-next-line reentrancy-benign,reentrancy-events: `borrow` checks all anew.
        _publishIfNewer(riskFeed.oracle(), publication, signature);
        borrow(amount);
    }

    function repay(uint256 amount) external {
        debtOf[msg.sender] -= amount;
        emit Repaid(msg.sender, amount);
        loan.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice The most that an account may owe now. Reverts without a fresh score.
    function limitOf(address account) public view returns (uint256) {
        int256 score = _answerOf(riskFeed, maxAge, 18);
        if (score < 0) revert RiskOutOfRange(score);
        uint256 risk = SafeCast.toUint256(score);
        if (risk >= ONE) return 0;
        return collateralOf[account] * MAX_LOAN_TO_VALUE * (ONE - risk) / (ONE * ONE);
    }

    function _requireWithinLimit(address account) private view {
        uint256 limit = limitOf(account);
        if (debtOf[account] > limit) revert AboveLimit(debtOf[account], limit);
    }
}
