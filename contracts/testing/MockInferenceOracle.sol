// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {BN254} from "../libraries/BN254.sol";
import {KeyBlob} from "../libraries/KeyBlob.sol";
import {ModelLayout} from "../libraries/ModelLayout.sol";
import {MockModelRegistry} from "./MockModelRegistry.sol";

/// @title FOR TESTS ONLY: an oracle that believes whatever the test says
/// @notice It verifies NOTHING. Anyone can answer any request with anything. It cannot be deployed but on a local
/// chain (chain ids 1337 and 31337–31346).
/// @dev Towards a consumer it behaves as `InferenceOracle` does: fees, deadlines, refunds, credits, callbacks with
/// exact gas, feeds and their errors. The test plays the prover with `answer`, lets time run out with `expire`, and
/// writes feeds with `setRound`. It does not look at inputs, coverage or proofs, so test against the real oracle too
/// before you trust your encoding.
contract MockInferenceOracle is IInferenceOracle {
    using SafeERC20 for IERC20;

    /// @notice The chain is not a local one.
    /// @dev Selector 0x77cfdcb8.
    error TestOnly(uint256 chainId);

    struct Run {
        Status status;
        bool callbackFailed;
        bool hasFeed;
        uint64 requestedAt;
        bytes26 outputsHash;
        address requester;
        uint256 inputWords;
        Request request;
    }

    struct Round {
        uint64 observedAt;
        uint64 updatedAt;
        uint256[] outputWords;
    }

    uint256 private constant MAX_RETURNDATA = 132;

    /// @inheritdoc IInferenceOracle
    uint32 public constant MAX_CALLBACK_GAS = 5_000_000;
    /// @notice Where the test sets models' layouts and stops models and verifiers.
    MockModelRegistry public immutable mockRegistry;

    /// @inheritdoc IInferenceOracle
    mapping(address account => mapping(address token => uint256)) public balanceOf;
    /// @inheritdoc IInferenceOracle
    mapping(address requester => uint256) public nonces;
    mapping(bytes32 requestId => Run) private _runs;
    mapping(bytes32 feedId => Feed) private _feeds;
    mapping(bytes32 feedId => mapping(uint64 round => Round)) private _rounds;

    constructor() {
        bool local = block.chainid == 1337 || (block.chainid >= 31_337 && block.chainid <= 31_346);
        if (!local) revert TestOnly(block.chainid);
        mockRegistry = new MockModelRegistry();
    }

    // ------------------------------------------------------------------------------------------------ for the test

    /// @notice Answers an open request, in time or not: stores the result, credits the fee to the caller, makes the
    /// requester's feed move on if it is open, and calls back.
    function answer(bytes32 requestId, uint256[] calldata outputWords) external {
        _requireOpen(requestId);
        _fulfil(requestId, msg.sender, outputWords);
    }

    /// @notice Refunds an open request as if its deadline were over.
    function expire(bytes32 requestId) external {
        _refund(requestId);
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
        if (_feeds[feedId].capacity == 0) _openFeed(modelDigest, verifier, source, 10, 0);
        _addRound(feedId, 0, observedAt, msg.sender, outputWords);
        return _feeds[feedId].round;
    }

    // ------------------------------------------------------------------------------------------------ the oracle's

    /// @inheritdoc IInferenceOracle
    function request(Request calldata request_, uint256[] calldata words) external payable returns (bytes32 requestId) {
        _requireServing(request_.modelDigest, request_.verifier);
        if (block.timestamp > request_.deadline) revert DeadlinePassed(request_.deadline, block.timestamp);
        bool calls = request_.callback != address(0);
        uint32 limit = calls ? MAX_CALLBACK_GAS : 0;
        if (request_.callbackGas > limit) revert InvalidCallbackGas(request_.callbackGas, limit);
        if (calls && request_.callback.code.length == 0) revert InvalidCallback(request_.callback);
        _takeFee(request_.feeToken, request_.fee);

        uint256 nonce = nonces[msg.sender]++;
        requestId = requestIdOf(request_, msg.sender, nonce);
        Run storage run = _runs[requestId];
        run.status = Status.Open;
        run.requestedAt = uint64(block.timestamp);
        run.requester = msg.sender;
        run.hasFeed = _feeds[feedIdOf(request_.modelDigest, request_.verifier, msg.sender)].capacity != 0;
        run.inputWords = words.length;
        run.request = request_;
        emit InferenceRequested(requestId, request_.modelDigest, msg.sender, nonce, request_, words);
    }

    /// @inheritdoc IInferenceOracle
    function fulfil(Fulfilment calldata fulfilment) external {
        bytes32 requestId = requestIdOf(fulfilment.request, fulfilment.requester, fulfilment.nonce);
        _requireOpen(requestId);
        if (block.timestamp > fulfilment.request.deadline) {
            revert DeadlinePassed(fulfilment.request.deadline, block.timestamp);
        }
        _requireServing(fulfilment.request.modelDigest, fulfilment.request.verifier);
        _fulfil(requestId, fulfilment.beneficiary, fulfilment.words[_runs[requestId].inputWords:]);
    }

    /// @inheritdoc IInferenceOracle
    function fulfilBatch(Fulfilment[] calldata fulfilments) external {
        uint256 count;
        for (uint256 i = 0; i < fulfilments.length; ++i) {
            Fulfilment calldata fulfilment = fulfilments[i];
            bytes32 requestId = requestIdOf(fulfilment.request, fulfilment.requester, fulfilment.nonce);
            if (_runs[requestId].status != Status.Open) {
                emit FulfilmentSkipped(requestId, SkipReason.NotOpen);
            } else if (block.timestamp > fulfilment.request.deadline) {
                emit FulfilmentSkipped(requestId, SkipReason.DeadlinePassed);
            } else if (!_serves(fulfilment.request.modelDigest, fulfilment.request.verifier)) {
                emit FulfilmentSkipped(requestId, SkipReason.Stopped);
            } else {
                ++count;
                // slither-disable-next-line reentrancy-events: for tests; the real oracle guards.
                _fulfil(requestId, fulfilment.beneficiary, fulfilment.words[_runs[requestId].inputWords:]);
            }
        }
        if (count == 0) revert NothingToFulfil();
    }

    /// @inheritdoc IInferenceOracle
    function refund(Request calldata request_, address requester, uint256 nonce) external {
        bytes32 requestId = requestIdOf(request_, requester, nonce);
        _requireOpen(requestId);
        if (block.timestamp <= request_.deadline && _serves(request_.modelDigest, request_.verifier)) {
            revert DeadlineNotPassed(request_.deadline, block.timestamp);
        }
        _refund(requestId);
    }

    /// @inheritdoc IInferenceOracle
    function retryCallback(
        Request calldata request_,
        address requester,
        uint256 nonce,
        uint256,
        uint256[] calldata outputWords
    ) external {
        bytes32 requestId = requestIdOf(request_, requester, nonce);
        Run storage run = _runs[requestId];
        if (!run.callbackFailed) revert NoFailedCallback(requestId);
        requireOutputs(requestId, outputWords, type(uint256).max);
        run.callbackFailed = false;
        emit CallbackRetried(requestId);
        _callBack(requestId, outputWords);
        if (run.callbackFailed) revert CallbackFailedAgain(requestId);
    }

    /// @inheritdoc IInferenceOracle
    function withdraw(address token, address to) external {
        if (to == address(0)) revert InvalidBeneficiary();
        uint256 amount = balanceOf[msg.sender][token];
        if (amount == 0) revert NothingToWithdraw(msg.sender, token);
        balanceOf[msg.sender][token] = 0;
        emit Withdrawn(msg.sender, token, to, amount);
        if (token != address(0)) {
            IERC20(token).safeTransfer(to, amount);
            return;
        }
        (bool ok,) = to.call{value: amount}("");
        if (!ok) revert WithdrawFailed(to);
    }

    /// @inheritdoc IInferenceOracle
    function openFeed(bytes32 modelDigest, bytes4 verifier, uint16 capacity, uint32 publishWindow)
        external
        returns (bytes32)
    {
        return _openFeed(modelDigest, verifier, msg.sender, capacity, publishWindow);
    }

    /// @inheritdoc IInferenceOracle
    /// @dev The words after those of the inputs are the round's; of a model whose layout was not set, all are.
    function publish(Publication calldata publication, bytes calldata signature) external {
        _requireServing(publication.modelDigest, publication.verifier);
        bytes32 feedId = feedIdOf(publication.modelDigest, publication.verifier, publication.source);
        Feed memory feed_ = _feeds[feedId];
        uint64 observedAt = publication.observedAt;
        if (
            feed_.publishWindow == 0 || observedAt > block.timestamp
                || block.timestamp - observedAt > feed_.publishWindow
        ) revert ObservationOutOfWindow(observedAt, feed_.publishWindow, block.timestamp);
        if (publication.round != feed_.round + 1 || observedAt <= feed_.observedAt) {
            revert NotNextRound(feed_.round + 1, publication.round, feed_.observedAt, observedAt);
        }
        bool signed = msg.sender == publication.source
            || SignatureChecker.isValidSignatureNow(publication.source, publicationHashOf(publication), signature);
        if (!signed) revert NotSource(publication.source);
        uint256 inputs = _inputWordCount(publication.modelDigest);
        _addRound(feedId, 0, observedAt, publication.beneficiary, publication.words[inputs:]);
    }

    // ------------------------------------------------------------------------------------------------ reading

    /// @inheritdoc IInferenceOracle
    function result(bytes32 requestId) external view returns (Status status_, uint64 requestedAt, bytes26 outputsHash) {
        Run storage run = _runs[requestId];
        return (run.status, run.requestedAt, run.outputsHash);
    }

    /// @inheritdoc IInferenceOracle
    function requireOutputs(bytes32 requestId, uint256[] calldata outputWords, uint256 maxAge) public view {
        Run storage run = _runs[requestId];
        bool matches =
            run.status == Status.Fulfilled && bytes26(keccak256(abi.encodePacked(outputWords))) == run.outputsHash;
        if (!matches) revert OutputsMismatch(requestId);
        if (block.timestamp - run.requestedAt > maxAge) revert StaleResult(run.requestedAt, maxAge, block.timestamp);
    }

    /// @inheritdoc IInferenceOracle
    function status(bytes32 requestId) external view returns (Status) {
        return _runs[requestId].status;
    }

    /// @inheritdoc IInferenceOracle
    function callbackFailed(bytes32 requestId) external view returns (bool) {
        return _runs[requestId].callbackFailed;
    }

    /// @inheritdoc IInferenceOracle
    function feed(bytes32 feedId) external view returns (Feed memory) {
        return _feeds[feedId];
    }

    /// @inheritdoc IInferenceOracle
    function roundOf(bytes32 feedId, uint64 round)
        public
        view
        returns (uint64 observedAt, uint64 updatedAt, uint256[] memory outputWords)
    {
        Feed memory feed_ = _feeds[feedId];
        if (round == 0 || round > feed_.round || feed_.round - round >= feed_.capacity) {
            revert RoundNotAvailable(feedId, round);
        }
        Round storage kept = _rounds[feedId][round];
        return (kept.observedAt, kept.updatedAt, kept.outputWords);
    }

    /// @inheritdoc IInferenceOracle
    function latest(bytes32 feedId, uint256 maxAge)
        external
        view
        returns (uint64 round, uint64 observedAt, uint64 updatedAt, uint256[] memory outputWords)
    {
        round = _feeds[feedId].round;
        if (round == 0) revert NoRound(feedId);
        (observedAt, updatedAt, outputWords) = roundOf(feedId, round);
        if (block.timestamp - observedAt > maxAge) revert StaleResult(observedAt, maxAge, block.timestamp);
    }

    /// @inheritdoc IInferenceOracle
    function feedIdOf(bytes32 modelDigest, bytes4 verifier, address source) public pure returns (bytes32) {
        return keccak256(abi.encode(modelDigest, verifier, source));
    }

    /// @inheritdoc IInferenceOracle
    function requestHashOf(Request calldata request_) public pure returns (bytes32) {
        return keccak256(abi.encode(request_));
    }

    /// @inheritdoc IInferenceOracle
    function requestIdOf(Request calldata request_, address requester, uint256 nonce) public pure returns (bytes32) {
        return keccak256(abi.encode(requester, nonce, requestHashOf(request_)));
    }

    /// @inheritdoc IInferenceOracle
    function contextOf(Request calldata request_, address requester, uint256 nonce, address beneficiary)
        external
        view
        returns (uint256)
    {
        bytes32 requestId = requestIdOf(request_, requester, nonce);
        return uint256(keccak256(abi.encode(block.chainid, address(this), requestId, beneficiary))) % BN254.R;
    }

    /// @inheritdoc IInferenceOracle
    function publicationContextOf(Publication calldata publication) external view returns (uint256) {
        return uint256(keccak256(abi.encode(publicationHashOf(publication), publication.beneficiary))) % BN254.R;
    }

    /// @inheritdoc IInferenceOracle
    /// @dev Another hash than the real oracle's: ask for it, do not compute it.
    function publicationHashOf(Publication calldata publication) public view returns (bytes32) {
        return keccak256(
            abi.encode(
                address(this),
                publication.modelDigest,
                publication.inputs,
                publication.verifier,
                publication.round,
                publication.observedAt
            )
        );
    }

    /// @inheritdoc IInferenceOracle
    function inputOwnerOf(bytes32 modelDigest, address requester) external pure returns (uint256) {
        return uint256(keccak256(abi.encode(modelDigest, requester))) % BN254.R;
    }

    /// @inheritdoc IInferenceOracle
    function registry() external view returns (IModelRegistry) {
        return IModelRegistry(address(mockRegistry));
    }

    // ------------------------------------------------------------------------------------------------ inside

    function _serves(bytes32 modelDigest, bytes4 verifier) private view returns (bool) {
        // slither-disable-next-line calls-loop: the mock's own registry.
        return mockRegistry.modelStatus(modelDigest) == IModelRegistry.Status.Active
            && mockRegistry.verifierStatus(verifier) == IModelRegistry.Status.Active;
    }

    /// @dev Words of the public inputs, or 0 if the test did not say how the model is packed.
    function _inputWordCount(bytes32 modelDigest) private view returns (uint256 words) {
        if (!mockRegistry.isKnown(modelDigest)) return 0;
        bytes memory blob = mockRegistry.blob(modelDigest);
        uint256 inputs = ModelLayout.inputCount(blob);
        for (uint256 i = 0; i < inputs; ++i) {
            KeyBlob.Tensor memory tensor = KeyBlob.tensor(blob, i);
            if (tensor.kind == KeyBlob.KIND_PUBLIC_INPUT) words += KeyBlob.wordsOf(tensor.count, tensor.bits);
        }
    }

    function _requireServing(bytes32 modelDigest, bytes4 verifier) private view {
        IModelRegistry.Status status_ = mockRegistry.modelStatus(modelDigest);
        if (status_ != IModelRegistry.Status.Active) revert IModelRegistry.ModelNotActive(modelDigest, status_);
        // slither-disable-next-line unused-return: reverts unless the verifier serves.
        mockRegistry.verifierOf(verifier);
    }

    function _requireOpen(bytes32 requestId) private view {
        Status status_ = _runs[requestId].status;
        if (status_ != Status.Open) revert NotOpen(requestId, status_);
    }

    function _takeFee(address token, uint256 fee) private {
        uint256 value = token == address(0) ? fee : 0;
        if (msg.value != value) revert FeeMismatch(value, msg.value);
        if (token != address(0)) IERC20(token).safeTransferFrom(msg.sender, address(this), fee);
    }

    function _fulfil(bytes32 requestId, address beneficiary, uint256[] calldata outputWords) private {
        Run storage run = _runs[requestId];
        run.status = Status.Fulfilled;
        run.outputsHash = bytes26(keccak256(abi.encodePacked(outputWords)));
        balanceOf[beneficiary][run.request.feeToken] += run.request.fee;
        emit InferenceFulfilled(requestId, run.request.modelDigest, beneficiary, 0, outputWords);

        bytes32 feedId = feedIdOf(run.request.modelDigest, run.request.verifier, run.requester);
        if (run.hasFeed && run.requestedAt > _feeds[feedId].observedAt) {
            _addRound(feedId, requestId, run.requestedAt, beneficiary, outputWords);
        }
        if (run.request.callback != address(0)) _callBack(requestId, outputWords);
    }

    function _refund(bytes32 requestId) private {
        _requireOpen(requestId);
        Run storage run = _runs[requestId];
        run.status = Status.Refunded;
        balanceOf[run.requester][run.request.feeToken] += run.request.fee;
        emit InferenceRefunded(requestId);
    }

    function _callBack(bytes32 requestId, uint256[] calldata outputWords) private {
        Run storage run = _runs[requestId];
        uint256 gas_ = run.request.callbackGas;
        uint256 required = gas_ + gas_ / 63 + 10_000;
        if (gasleft() < required) revert InsufficientCallbackGas(required, gasleft());
        bytes memory data =
            abi.encodeCall(IInferenceConsumer.onInference, (requestId, run.request.modelDigest, outputWords));
        // slither-disable-next-line calls-loop,reentrancy-no-eth,reentrancy-events: for tests; the real oracle guards.
        (bool ok, bytes memory returndata) = run.request.callback.call{gas: gas_}(data);
        if (ok) return;
        run.callbackFailed = true;
        if (returndata.length > MAX_RETURNDATA) {
            assembly ("memory-safe") {
                mstore(returndata, MAX_RETURNDATA)
            }
        }
        emit CallbackFailed(requestId, returndata);
    }

    function _openFeed(bytes32 modelDigest, bytes4 verifier, address source, uint16 capacity, uint32 publishWindow)
        private
        returns (bytes32 feedId)
    {
        feedId = feedIdOf(modelDigest, verifier, source);
        if (capacity == 0 || _feeds[feedId].capacity != 0) revert InvalidFeed(feedId);
        _feeds[feedId] = Feed({capacity: capacity, publishWindow: publishWindow, round: 0, observedAt: 0});
        emit FeedOpened(feedId, modelDigest, source, verifier, capacity, publishWindow);
    }

    function _addRound(
        bytes32 feedId,
        bytes32 requestId,
        uint64 observedAt,
        address beneficiary,
        uint256[] calldata outputWords
    ) private {
        uint64 round = ++_feeds[feedId].round;
        _feeds[feedId].observedAt = observedAt;
        _rounds[feedId][round] = Round(observedAt, uint64(block.timestamp), outputWords);
        emit FeedUpdated(feedId, round, requestId, observedAt, beneficiary, outputWords);
    }
}
