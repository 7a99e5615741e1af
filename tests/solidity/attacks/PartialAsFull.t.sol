// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";
import {PartialConsumer, RecordingConsumer} from "../utils/Consumers.sol";
import {Jobs} from "../utils/Jobs.sol";

/// @notice A partial result handed over as a full one. Its record is the hash of three words (a tag, the coverage, the
/// hash of the outputs), and `retryCallback` is told by its caller which coverage and words are behind a record: so the
/// three words themselves, with coverage 0, would be "outputs" that nobody proved.
contract PartialAsFullTest is Jobs {
    uint256 private constant POLICY = 4;

    /// A consumer of full results is not called with the partial one, so its callback counts as failed, and anyone may
    /// have it made again.
    function test_RevertWhen_TheRecordIsTakenForOutputs() public {
        RecordingConsumer consumer = new RecordingConsumer();
        Job memory job = _fulfilledInPart(address(consumer));
        assertTrue(oracle.callbackFailed(job.id));

        uint256[] memory forged = _preimage(job);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, job.id));
        oracle.retryCallback(job.request, job.requester, job.nonce, 0, forged);
        assertEq(consumer.requestId(), 0, "nothing was proven in full");
    }

    /// The same with a consumer of both kinds that could not take its partial result at that time.
    function test_RevertWhen_TheRecordIsTakenForOutputsByAConsumerOfBoth() public {
        PartialConsumer consumer = new PartialConsumer();
        consumer.setRefuses(true);
        Job memory job = _fulfilledInPart(address(consumer));
        consumer.setRefuses(false);
        uint256[] memory forged = _preimage(job);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, job.id));
        oracle.retryCallback(job.request, job.requester, job.nonce, 0, forged);
        retry(job);
        assertEq(consumer.fullCalls(), 0);
        assertEq(consumer.partialCalls(), 1);
    }

    /// Nor does the oracle vouch for the three words to a consumer that pulls.
    function test_RevertWhen_TheRecordIsReadAsOutputs() public {
        Job memory job = _fulfilledInPart(address(new RecordingConsumer()));
        uint256[] memory forged = _preimage(job);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, job.id));
        oracle.requireOutputs(job.id, forged, type(uint256).max);
    }

    /// A full result is not handed over as a partial one either, of whatever coverage.
    function test_RevertWhen_AFullResultIsRetriedInPart() public {
        PartialConsumer consumer = new PartialConsumer();
        consumer.setRefuses(true);
        Job memory job = _draft(address(consumer));
        job.coverage = 0;
        job = prove(_model(), open(job));
        fulfil(job);
        consumer.setRefuses(false);
        uint256[] memory words = outputWords(job);
        for (uint256 coverage = 1; coverage < 8; ++coverage) {
            vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, job.id));
            oracle.retryCallback(job.request, job.requester, job.nonce, coverage, words);
        }
        retry(job);
        assertEq(consumer.fullCalls(), 1);
        assertEq(consumer.partialCalls(), 0);
    }

    /// What the record of a partial result is the hash of, as words.
    function _preimage(Job memory job) private view returns (uint256[] memory words) {
        words = new uint256[](3);
        words[0] = uint256(keccak256("zkslice/partial/v1"));
        (words[1], words[2]) = (job.coverage, uint256(hashOf(outputWords(job))));
    }

    function _fulfilledInPart(address callback) private returns (Job memory job) {
        job = prove(_model(), open(_draft(callback)));
        fulfil(job);
        assertTrue(oracle.status(job.id) == IInferenceOracle.Status.PartiallyFulfilled);
    }

    function _draft(address callback) private returns (Job memory job) {
        job = draft("chain");
        job.request.modelDigest = register(_model().blob);
        (job.request.minCoverage, job.coverage) = (POLICY, POLICY);
        (job.request.callback, job.request.callbackGas) = (callback, 300_000);
    }

    function _model() private view returns (Model memory model) {
        model = loadModel("chain");
        setWord(model.blob, 3, POLICY);
        model.digest = rehash(model.blob);
    }
}
