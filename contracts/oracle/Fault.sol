// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

/// @title Faults of items
/// @notice Reverts for a fault of something sent alone, or of one item of a batch, which is then named.
library Fault {
    /// @dev The "item" of what is sent alone.
    uint256 internal constant ALONE = type(uint256).max;

    /// @param reason The encoded error.
    function raise(uint256 item, bytes memory reason) internal pure {
        if (item != ALONE) revert IInferenceOracle.InvalidFulfilment(item, reason);
        assembly ("memory-safe") {
            revert(add(reason, 0x20), mload(reason))
        }
    }
}
