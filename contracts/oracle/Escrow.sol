// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {TransientSlot} from "@openzeppelin/contracts/utils/TransientSlot.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

/// @title Money of the oracle
/// @notice Takes fees in, keeps credits, pays out to whoever asks for their own.
/// @dev For each currency: taken = paid out + credits + fees of open requests. Each has books of its own, so a token
/// that lies about its balances harms those who deal in it.
abstract contract Escrow is IInferenceOracle, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using TransientSlot for *;

    /// @dev Transient: whether a token's fee is being taken.
    bytes32 private constant TAKING_SLOT = keccak256("zkslice/escrow/taking");
    /// @dev The fee token that stands for ether.
    address internal constant ETHER = address(0);

    /// @inheritdoc IInferenceOracle
    mapping(address account => mapping(address token => uint256)) public balanceOf;

    /// @inheritdoc IInferenceOracle
    function withdraw(address token, address to) external nonReentrant {
        if (to == address(0)) revert InvalidBeneficiary();
        uint256 amount = balanceOf[msg.sender][token];
        if (amount == 0) revert NothingToWithdraw(msg.sender, token);
        balanceOf[msg.sender][token] = 0;
        emit Withdrawn(msg.sender, token, to, amount);
        if (token == ETHER) _sendEther(to, amount);
        else IERC20(token).safeTransfer(to, amount);
    }

    /// @dev Takes a fee from the caller. Called once all else of the request is written.
    // slither-disable-next-line msg-value-in-nonpayable: `request`, payable, calls it.
    function _take(address token, uint256 fee) internal {
        uint256 expectedEther = token == ETHER ? fee : 0;
        if (msg.value != expectedEther) revert FeeMismatch(expectedEther, msg.value);
        if (token == ETHER || fee == 0) return;
        // A token may call others while it moves. What came in for a fee taken meanwhile would count for both.
        if (TAKING_SLOT.asBoolean().tload()) revert ReentrancyGuardReentrantCall();
        TAKING_SLOT.asBoolean().tstore(true);
        // What comes in is what is owed later: tokens that keep a part, or do nothing, are not taken.
        uint256 before = _held(token);
        IERC20(token).safeTransferFrom(msg.sender, address(this), fee);
        uint256 held = _held(token);
        uint256 received = held > before ? held - before : 0;
        if (received != fee) revert UnsupportedFeeToken(token, fee, received);
        TAKING_SLOT.asBoolean().tstore(false);
    }

    function _held(address token) private view returns (uint256) {
        return IERC20(token).balanceOf(address(this));
    }

    function _credit(address account, address token, uint256 amount) internal {
        balanceOf[account][token] += amount;
    }

    function _sendEther(address to, uint256 amount) private {
        bool ok;
        // No return data is copied: the caller pays for what it returns, and only its own call fails.
        assembly ("memory-safe") {
            ok := call(gas(), to, amount, 0x00, 0x00, 0x00, 0x00)
        }
        if (!ok) revert WithdrawFailed(to);
    }
}
