// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {Jobs} from "./utils/Jobs.sol";

/// @notice What mutants of the oracle got away with, before these.
contract InferenceOracleRecordsTest is Jobs {
    /// A refund leaves the time of the request.
    function test_RefundedRecordKeepsItsTime() public {
        install("single");
        Job memory job = open(draft("single"));
        uint256 requestedAt = block.timestamp;
        vm.warp(job.request.deadline + 1);
        oracle.refund(job.request, job.requester, job.nonce);
        (IInferenceOracle.Status status, uint64 time, bytes26 outputsHash) = oracle.result(job.id);
        assertTrue(status == IInferenceOracle.Status.Refunded);
        assertEq(time, requestedAt);
        assertEq(outputsHash, bytes26(0));
    }
}
