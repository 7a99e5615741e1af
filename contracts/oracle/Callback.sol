// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

/// @title Calls with exact gas
/// @notice Calls a contract that may do its worst: it gets exactly the gas it was promised, no ether, and cannot make
/// the caller pay for what it returns.
library Callback {
    /// @dev Of what a callback returns or reverts with: a selector and four words.
    uint256 private constant MAX_RETURNDATA = 132;
    /// @dev Gas for what comes between the check of the gas left and the callback: its account is warm by then, but
    /// if that account's code is delegated (EIP-7702), the delegate may be cold.
    uint256 private constant CALL_OVERHEAD = 4000;

    /// @return ok Whether there was code and it succeeded.
    /// @return returndata If not, the start of what it reverted with.
    function call(address target, uint256 callbackGas, bytes memory data)
        internal
        returns (bool ok, bytes memory returndata)
    {
        // The code may have gone since the request, and a call to no code succeeds.
        if (target.code.length == 0) return (false, "");
        // A call forwards at most 63/64 of what is left (EIP-150): with less than this the callback would get less
        // than it was promised, and a fulfiller could make it fail at will.
        uint256 required = callbackGas + callbackGas / 63 + CALL_OVERHEAD;
        if (gasleft() < required) revert IInferenceOracle.InsufficientCallbackGas(required, gasleft());
        assembly ("memory-safe") {
            ok := call(callbackGas, target, 0, add(data, 0x20), mload(data), 0x00, 0x00)
        }
        if (ok) return (ok, "");
        assembly ("memory-safe") {
            let size := returndatasize()
            if gt(size, MAX_RETURNDATA) { size := MAX_RETURNDATA }
            returndata := mload(0x40)
            mstore(returndata, size)
            returndatacopy(add(returndata, 0x20), 0, size)
            mstore(0x40, and(add(add(returndata, 0x3f), size), not(0x1f)))
        }
    }
}
