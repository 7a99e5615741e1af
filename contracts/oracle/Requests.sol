// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceConsumer, IPartialInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {Callback} from "./Callback.sol";
import {Escrow} from "./Escrow.sol";
import {Feeds} from "./Feeds.sol";
import {Run, Runs} from "./Run.sol";

/// @title Requests of the oracle
/// @notice Takes requests, refunds them, keeps their results and calls back. How one is answered is for who inherits.
abstract contract Requests is Escrow, Feeds {
    /// @inheritdoc IInferenceOracle
    uint32 public constant MAX_CALLBACK_GAS = 5_000_000;
    /// @dev Addresses up to here are precompiles, present or to come.
    uint256 private constant LAST_PRECOMPILE = 0xffff;

    /// @inheritdoc IInferenceOracle
    IModelRegistry public immutable registry;

    mapping(bytes32 requestId => Run) internal _runs;
    /// @inheritdoc IInferenceOracle
    mapping(address requester => uint256) public nonces;

    constructor(IModelRegistry registry_) {
        if (address(registry_).code.length == 0) revert InvalidDeployment();
        registry = registry_;
    }

    /// @inheritdoc IInferenceOracle
    function request(Request calldata request_, uint256[] calldata words) external payable returns (bytes32 requestId) {
        // A callback may ask again. While a fee token runs, nothing else can be done, and no other token's fee be taken.
        if (_reentrancyGuardEntered()) return _request(request_, words);
        return _guardedRequest(request_, words);
    }

    /// @inheritdoc IInferenceOracle
    function refund(Request calldata request_, address requester, uint256 nonce) external nonReentrant {
        bytes32 requestId = requestIdOf(request_, requester, nonce);
        Run run = _requireOpen(requestId);
        if (block.timestamp <= request_.deadline && _serves(request_.verifier, request_.modelDigest)) {
            revert DeadlineNotPassed(request_.deadline, block.timestamp);
        }
        _refund(requestId, run, requester, request_.feeToken, request_.fee);
    }

    function _refund(bytes32 requestId, Run run, address requester, address feeToken, uint256 fee) internal {
        _runs[requestId] = run.refunded();
        _credit(requester, feeToken, fee);
        emit InferenceRefunded(requestId);
    }

    function _requireOpen(bytes32 requestId) internal view returns (Run run) {
        run = _runs[requestId];
        if (!run.isOpen()) revert NotOpen(requestId, run.status());
    }

    function _requireInTime(Request calldata request_) internal view {
        if (block.timestamp > request_.deadline) revert DeadlinePassed(request_.deadline, block.timestamp);
    }

    /// @dev Reverts unless the model serves and could answer the request. Returns whether all its inputs are private.
    function _requireAnswerable(Request calldata request_, uint256[] calldata words)
        internal
        view
        virtual
        returns (bool allPrivate);

    function _guardedRequest(Request calldata request_, uint256[] calldata words)
        private
        nonReentrant
        returns (bytes32)
    {
        return _request(request_, words);
    }

    function _request(Request calldata request_, uint256[] calldata words)
        internal
        virtual
        returns (bytes32 requestId)
    {
        _requireInTime(request_);
        bytes4 verifier = request_.verifier;
        _requireCallback(request_, _verifierOf(verifier));
        bool allPrivate = _requireAnswerable(request_, words);

        uint256 nonce = nonces[msg.sender]++;
        requestId = requestIdOf(request_, msg.sender, nonce);
        bool hasFeed = _isFeed(feedIdOf(request_.modelDigest, verifier, msg.sender));
        _runs[requestId] = Runs.opened(hasFeed, allPrivate);
        emit InferenceRequested(requestId, request_.modelDigest, msg.sender, nonce, request_, words);
        _take(request_.feeToken, request_.fee);
    }

    /// @dev The target can be nothing of the oracle's own, and its code must exist now: a call to no code succeeds.
    function _requireCallback(Request calldata request_, address verifier) private view {
        (address target, uint32 callbackGas) = (request_.callback, request_.callbackGas);
        if (callbackGas > MAX_CALLBACK_GAS) revert InvalidCallbackGas(callbackGas, MAX_CALLBACK_GAS);
        if (target == address(0)) {
            if (callbackGas != 0) revert InvalidCallbackGas(callbackGas, 0);
            return;
        }
        if (
            target == address(this) || target == address(registry) || target == verifier || target == request_.feeToken
                || uint160(target) <= LAST_PRECOMPILE || target.code.length == 0
        ) revert InvalidCallback(target);
    }

    /// @dev `registry.verifierOf(selector)`, decoded without a copy. Reverts with `VerifierNotActive`.
    function _verifierOf(bytes4 selector) internal view returns (address verifier) {
        (IModelRegistry registry_, bytes4 signature) = (registry, IModelRegistry.verifierOf.selector);
        assembly ("memory-safe") {
            mstore(0x00, signature)
            mstore(0x04, selector)
            // The call is evaluated first.
            if iszero(and(gt(returndatasize(), 0x1f), staticcall(gas(), registry_, 0x00, 0x24, 0x00, 0x20))) {
                let reason := mload(0x40)
                returndatacopy(reason, 0x00, returndatasize())
                revert(reason, returndatasize())
            }
            verifier := mload(0x00)
        }
    }

    /// @dev Whether model and verifier serve. Both did at the request, so if not, one was stopped.
    function _serves(bytes4 verifier, bytes32 modelDigest) internal view returns (bool) {
        // slither-disable-next-line unused-return,calls-loop: the status only, of the trusted registry.
        (IModelRegistry.Status verifierStatus,,) = registry.verifierStatus(verifier);
        // slither-disable-next-line calls-loop: the trusted registry; once per model in a row.
        return verifierStatus == IModelRegistry.Status.Active
            && registry.modelStatus(modelDigest) == IModelRegistry.Status.Active;
    }

    // ------------------------------------------------------------------------------------------------ callbacks

    /// @inheritdoc IInferenceOracle
    function retryCallback(
        Request calldata request_,
        address requester,
        uint256 nonce,
        uint256 coverage,
        uint256[] calldata outputWords
    ) external nonReentrant {
        bytes32 requestId = requestIdOf(request_, requester, nonce);
        Run run = _runs[requestId];
        if (!run.callbackFailed()) revert NoFailedCallback(requestId);
        // The coverage is by the caller's word. A partial result's record is a hash of three words, which must not be
        // taken for outputs of full coverage.
        bool isFull = run.status() == Status.Fulfilled;
        if (isFull != (coverage == 0) || run.outputsHash() != _outputsHash(coverage, outputWords)) {
            revert OutputsMismatch(requestId);
        }
        _runs[requestId] = run.withCallbackFailed(false);
        emit CallbackRetried(requestId);
        (bool ok,) =
            _callBack(request_.callback, request_.callbackGas, requestId, request_.modelDigest, coverage, outputWords);
        if (!ok) revert CallbackFailedAgain(requestId);
    }

    function _callBack(
        address callback,
        uint256 callbackGas,
        bytes32 requestId,
        bytes32 modelDigest,
        uint256 coverage,
        uint256[] calldata outputWords
    ) internal returns (bool ok, bytes memory returndata) {
        bytes memory data = coverage == 0
            ? abi.encodeCall(IInferenceConsumer.onInference, (requestId, modelDigest, outputWords))
            : abi.encodeCall(
                IPartialInferenceConsumer.onPartialInference, (requestId, modelDigest, coverage, outputWords)
            );
        return Callback.call(callback, callbackGas, data);
    }

    // ------------------------------------------------------------------------------------------------ reading

    /// @inheritdoc IInferenceOracle
    function result(bytes32 requestId) external view returns (Status status_, uint64 requestedAt, bytes26 outputsHash) {
        Run run = _runs[requestId];
        return (run.status(), run.requestedAt(), run.outputsHash());
    }

    /// @inheritdoc IInferenceOracle
    function requireOutputs(bytes32 requestId, uint256[] calldata outputWords, uint256 maxAge) external view {
        Run run = _runs[requestId];
        if (run.status() != Status.Fulfilled || run.outputsHash() != _outputsHash(0, outputWords)) {
            revert OutputsMismatch(requestId);
        }
        _requireFresh(run.requestedAt(), maxAge);
    }

    /// @inheritdoc IInferenceOracle
    function status(bytes32 requestId) external view returns (Status) {
        return _runs[requestId].status();
    }

    /// @inheritdoc IInferenceOracle
    function callbackFailed(bytes32 requestId) external view returns (bool) {
        return _runs[requestId].callbackFailed();
    }
}
