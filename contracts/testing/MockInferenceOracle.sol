// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {ModelInputs} from "../oracle/ModelInputs.sol";
import {Requests} from "../oracle/Requests.sol";
import {Run} from "../oracle/Run.sol";
import {MockModelRegistry} from "./MockModelRegistry.sol";

/// @title FOR TESTS ONLY: an oracle that believes whatever the test says
/// @notice It verifies NOTHING. Anyone can answer any request with anything. It cannot be deployed but on a local
/// chain (chain ids 1337 and 31337–31346).
/// @dev Fees, deadlines, refunds, credits, callbacks with exact gas, feeds and hashes are the real oracle's, by the same
/// code. The test plays the prover with `answer`, lets time run out with `expire`, and writes feeds with `setRound`. It
/// does not look at inputs, coverage or proofs, so test against the real oracle too before you trust your encoding.
// slither-disable-next-line unimplemented-functions: `_requireAnswerable` is there, without a name for the words.
contract MockInferenceOracle is Requests {
    /// @dev What an answer must know of the request, of which the test has the id.
    struct Asked {
        address requester;
        bytes32 modelDigest;
        bytes4 verifier;
        address feeToken;
        uint256 fee;
        address callback;
        uint32 callbackGas;
        uint256 inputWords;
    }

    // slither-disable-next-line uninitialized-state: `_request` writes it, by a storage pointer.
    mapping(bytes32 requestId => Asked) private _asked;

    constructor() Requests(IModelRegistry(address(new MockModelRegistry()))) {}

    // ------------------------------------------------------------------------------------------------ for the test

    /// @notice Where the test sets models' layouts and stops models and verifiers.
    function mockRegistry() public view returns (MockModelRegistry) {
        return MockModelRegistry(address(registry));
    }

    /// @notice Answers an open request, in time or not: stores the result, credits the fee to the caller, makes the
    /// requester's feed move on if it is open, and calls back.
    function answer(bytes32 requestId, uint256[] calldata outputWords) external nonReentrant {
        _requireOpen(requestId);
        _fulfil(requestId, msg.sender, outputWords);
    }

    /// @notice Refunds an open request as if its deadline were over.
    function expire(bytes32 requestId) external nonReentrant {
        Run run = _requireOpen(requestId);
        Asked storage asked = _asked[requestId];
        _refund(requestId, run, asked.requester, asked.feeToken, asked.fee);
    }

    /// @notice Adds a round to a feed, observed at any time; opens it with ten rounds if it is not open.
    function setRound(
        bytes32 modelDigest,
        bytes4 verifier,
        address source,
        uint64 observedAt,
        uint256[] calldata outputWords
    ) external returns (uint64 round) {
        bytes32 feedId = feedIdOf(modelDigest, verifier, source);
        if (!_isFeed(feedId)) _openFeed(modelDigest, verifier, source, 10, 0);
        _append(feedId, 0, observedAt, msg.sender, outputWords);
        return feed(feedId).round;
    }

    // ------------------------------------------------------------------------------------------------ the oracle's

    /// @inheritdoc IInferenceOracle
    function fulfil(Fulfilment calldata fulfilment) external nonReentrant {
        Request calldata request_ = fulfilment.request;
        bytes32 requestId = requestIdOf(request_, fulfilment.requester, fulfilment.nonce);
        _requireOpen(requestId);
        _requireInTime(request_);
        _requireServing(request_.modelDigest, request_.verifier);
        _fulfil(requestId, fulfilment);
    }

    /// @inheritdoc IInferenceOracle
    function fulfilBatch(Fulfilment[] calldata fulfilments) external nonReentrant {
        uint256 count;
        for (uint256 i = 0; i < fulfilments.length; ++i) {
            Fulfilment calldata fulfilment = fulfilments[i];
            Request calldata request_ = fulfilment.request;
            bytes32 requestId = requestIdOf(request_, fulfilment.requester, fulfilment.nonce);
            SkipReason reason;
            if (!_runs[requestId].isOpen()) {
                reason = SkipReason.NotOpen;
            } else if (block.timestamp > request_.deadline) {
                reason = SkipReason.DeadlinePassed;
            } else if (!_serves(request_.verifier, request_.modelDigest)) {
                reason = SkipReason.Stopped;
            } else {
                ++count;
                _fulfil(requestId, fulfilment);
                continue;
            }
            emit FulfilmentSkipped(requestId, reason);
        }
        if (count == 0) revert NothingToFulfil();
    }

    /// @inheritdoc IInferenceOracle
    /// @dev The words after those of the inputs are the round's; of a model whose layout was not set, all are.
    function publish(Publication calldata publication, bytes calldata signature) external nonReentrant {
        bytes32 feedId = _requireNextRound(publication, signature);
        uint256 inputWords = _requireServing(publication.modelDigest, publication.verifier);
        _append(feedId, 0, publication.observedAt, publication.beneficiary, publication.words[inputWords:]);
    }

    // ------------------------------------------------------------------------------------------------ inside

    function _request(Request calldata request_, uint256[] calldata words)
        internal
        override
        returns (bytes32 requestId)
    {
        requestId = super._request(request_, words);
        Asked storage asked = _asked[requestId];
        (asked.requester, asked.inputWords) = (msg.sender, words.length);
        (asked.modelDigest, asked.verifier) = (request_.modelDigest, request_.verifier);
        (asked.feeToken, asked.fee) = (request_.feeToken, request_.fee);
        (asked.callback, asked.callbackGas) = (request_.callback, request_.callbackGas);
    }

    /// @inheritdoc Requests
    function _requireAnswerable(Request calldata request_, uint256[] calldata) internal view override returns (bool) {
        _requireServing(request_.modelDigest, request_.verifier);
        return false;
    }

    /// @dev Returns the number of words of the model's public inputs, or 0 if the test did not say it.
    function _requireServing(bytes32 modelDigest, bytes4 verifier) private view returns (uint256) {
        return mockRegistry().requireServing(modelDigest, verifier);
    }

    function _fulfil(bytes32 requestId, Fulfilment calldata fulfilment) private {
        _fulfil(requestId, fulfilment.beneficiary, fulfilment.words[_asked[requestId].inputWords:]);
    }

    function _fulfil(bytes32 requestId, address beneficiary, uint256[] calldata outputWords) private {
        Asked storage asked = _asked[requestId];
        bytes32 modelDigest = asked.modelDigest;
        Run run = _runs[requestId];
        _runs[requestId] = run.fulfilled(false, ModelInputs.hashOf(outputWords));
        emit InferenceFulfilled(requestId, modelDigest, beneficiary, 0, outputWords);
        if (run.hasFeed()) {
            bytes32 feedId = feedIdOf(modelDigest, asked.verifier, asked.requester);
            _advance(feedId, requestId, run.requestedAt(), beneficiary, outputWords);
        }
        _credit(beneficiary, asked.feeToken, asked.fee);
        if (asked.callback == address(0)) return;
        // slither-disable-next-line reentrancy-no-eth: for tests, and guarded.
        (bool ok, bytes memory returndata) =
            _callBack(asked.callback, asked.callbackGas, requestId, modelDigest, 0, outputWords);
        if (ok) return;
        _runs[requestId] = _runs[requestId].withCallbackFailed(true);
        emit CallbackFailed(requestId, returndata);
    }
}
