// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A token as it should be; anyone may mint.
contract Token is ERC20 {
    constructor() ERC20("Token", "TOK") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @notice Keeps one part in a hundred of every transfer.
contract FeeOnTransferToken is Token {
    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(0xdead), value / 100);
    }
}

/// @notice Gives one unit more than it was asked for.
contract GenerousToken is Token {
    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0)) super._update(address(0), to, 1);
    }
}

/// @notice Takes from the receiver instead of giving.
contract TakingToken is Token {
    function transferFrom(address, address to, uint256 value) public override returns (bool) {
        _burn(to, value);
        return true;
    }
}

/// @notice Answers false where others revert.
contract FalseToken is Token {
    bool public refuses;

    function setRefuses(bool refuses_) external {
        refuses = refuses_;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        return !refuses && super.transfer(to, value);
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        return !refuses && super.transferFrom(from, to, value);
    }
}

/// @notice Returns nothing, as some old tokens do.
contract SilentToken {
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Before it moves anything, calls whoever it was told to, like a token with hooks.
contract HookedToken is Token {
    address public target;
    bytes public action;
    bool public succeeded;
    bytes public outcome;
    bool private _running;

    function set(address target_, bytes calldata action_) external {
        (target, action) = (target_, action_);
    }

    function _update(address from, address to, uint256 value) internal override {
        if (from != address(0) && target != address(0) && !_running) {
            _running = true;
            (succeeded, outcome) = target.call(action);
            _running = false;
        }
        super._update(from, to, value);
    }
}
