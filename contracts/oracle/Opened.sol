// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

/// @title Members of requests that were made
/// @notice Reads words of a request as they are in calldata.
/// @dev Only of a request that has a record. Its hash is that of what `request` took, which reverts on bits where there
/// should be none; the compiler would look for them at every read, for 100 gas.
library Opened {
    function verifierOf(IInferenceOracle.Request calldata request) internal pure returns (bytes4 verifier) {
        assembly ("memory-safe") {
            verifier := calldataload(add(request, 0x40))
        }
    }

    function feeTokenOf(IInferenceOracle.Request calldata request) internal pure returns (address feeToken) {
        assembly ("memory-safe") {
            feeToken := calldataload(add(request, 0x80))
        }
    }

    function deadlineOf(IInferenceOracle.Request calldata request) internal pure returns (uint64 deadline) {
        assembly ("memory-safe") {
            deadline := calldataload(add(request, 0xc0))
        }
    }

    function callbackOf(IInferenceOracle.Request calldata request) internal pure returns (address callback) {
        assembly ("memory-safe") {
            callback := calldataload(add(request, 0xe0))
        }
    }
}
