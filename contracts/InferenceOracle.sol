// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IBundleVerifier} from "./interfaces/IBundleVerifier.sol";
import {IInferenceConsumer} from "./interfaces/IInferenceConsumer.sol";
import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {BN254} from "./libraries/BN254.sol";
import {KeyBlob} from "./libraries/KeyBlob.sol";

/// @title Inference oracle
/// @notice See `IInferenceOracle`. Nobody owns it and nothing in it can be changed.
/// @dev Every path checks, then writes all state, then calls out. Ether held = fees of open requests + credits.
contract InferenceOracle is IInferenceOracle, ReentrancyGuardTransient {
    bytes32 private constant CONTEXT_TAG = keccak256("zkslice/context/v1");

    /// @inheritdoc IInferenceOracle
    uint32 public constant MAX_CALLBACK_GAS = 5_000_000;
    /// @dev Of what a callback returns or reverts with: a selector and four words.
    uint256 private constant MAX_RETURNDATA = 132;
    /// @dev Gas for what comes between the check of the gas left and the callback: its account is warm by then, but
    /// if that account's code is delegated (EIP-7702), the delegate may be cold.
    uint256 private constant CALL_OVERHEAD = 4000;
    /// @dev Addresses up to here are precompiles, present or to come.
    uint256 private constant LAST_PRECOMPILE = 0xffff;

    IModelRegistry public immutable registry;
    IBundleVerifier public immutable verifier;

    /// @dev A request's one record; its output words are in `_outputs`.
    struct Run {
        Status status;
        bool callbackFailed;
        uint64 requestedAt;
        uint64 fulfilledAt;
        uint32 outputWords;
    }

    mapping(bytes32 requestId => Run) private _runs;
    mapping(bytes32 requestId => mapping(uint256 index => uint256)) private _outputs;
    mapping(bytes32 modelDigest => mapping(address requester => bytes32 requestId)) private _latest;
    mapping(address account => uint256) public balanceOf;
    mapping(address requester => uint256) public nonces;

    constructor(IModelRegistry registry_, IBundleVerifier verifier_) {
        if (address(registry_).code.length == 0 || address(verifier_).code.length == 0) revert InvalidDeployment();
        if (verifier_.registry() != registry_) revert InvalidDeployment();
        registry = registry_;
        verifier = verifier_;
    }

    // ------------------------------------------------------------------------------------------------ writing

    /// @inheritdoc IInferenceOracle
    function request(Request calldata request_, uint256[] calldata words) external payable returns (bytes32 requestId) {
        if (!registry.isRegistered(request_.modelDigest)) revert UnknownModel(request_.modelDigest);
        if (request_.minCoverage != 0) revert UnsupportedCoverage(request_.minCoverage);
        if (request_.feeToken != address(0)) revert UnsupportedFeeToken(request_.feeToken);
        if (request_.fee != msg.value) revert FeeMismatch(request_.fee, msg.value);
        if (block.timestamp > request_.deadline) revert DeadlinePassed(request_.deadline, block.timestamp);
        _requireCallback(request_.callback, request_.callbackGas);

        bytes memory blob = KeyBlob.fetch(registry, request_.modelDigest);
        _requireProvableInputs(blob, request_.inputs, words);

        uint256 nonce = nonces[msg.sender]++;
        requestId = requestIdOf(request_, msg.sender, nonce);
        _runs[requestId] = Run(Status.Open, false, uint64(block.timestamp), 0, 0);
        emit InferenceRequested(requestId, request_.modelDigest, msg.sender, nonce, request_, words);
    }

    /// @inheritdoc IInferenceOracle
    function fulfil(
        Request calldata request_,
        address requester,
        uint256 nonce,
        address beneficiary,
        uint256[] calldata words,
        uint256[] calldata commitments,
        uint256[] calldata proofs
    ) external nonReentrant {
        (bytes32 requestId, uint256 context) = _requireOpenFor(request_, requester, nonce, beneficiary);
        if (block.timestamp > request_.deadline) {
            revert DeadlinePassed(request_.deadline, block.timestamp);
        }
        if (beneficiary == address(0)) revert InvalidBeneficiary();
        uint256[] memory outputWords = _requireRequestedInputs(request_, words, commitments);
        _verify(request_.modelDigest, context, requester, words, commitments, proofs);
        _settle(request_, requestId, requester, beneficiary, outputWords);
        if (request_.callback != address(0)) _callBackOrRecord(requestId, request_, outputWords);
    }

    /// @inheritdoc IInferenceOracle
    function retryCallback(Request calldata request_, address requester, uint256 nonce) external nonReentrant {
        bytes32 requestId = requestIdOf(request_, requester, nonce);
        if (!_runs[requestId].callbackFailed) revert NoFailedCallback(requestId);
        _runs[requestId].callbackFailed = false;
        emit CallbackRetried(requestId);
        (,,, uint256[] memory outputWords) = result(requestId);
        (bool ok,) = _callBack(requestId, request_, outputWords);
        if (!ok) revert CallbackFailedAgain(requestId);
    }

    /// @inheritdoc IInferenceOracle
    function refund(Request calldata request_, address requester, uint256 nonce) external nonReentrant {
        bytes32 requestId = _requireOpen(requestHashOf(request_), requester, nonce);
        if (block.timestamp <= request_.deadline) revert DeadlineNotPassed(request_.deadline, block.timestamp);
        _runs[requestId].status = Status.Refunded;
        balanceOf[requester] += request_.fee;
        emit InferenceRefunded(requestId);
    }

    /// @inheritdoc IInferenceOracle
    function withdraw() external nonReentrant {
        uint256 amount = balanceOf[msg.sender];
        if (amount == 0) revert NothingToWithdraw(msg.sender);
        balanceOf[msg.sender] = 0;
        emit Withdrawn(msg.sender, amount);
        bool ok;
        // No return data is copied: the caller pays for what it returns, and only its own call fails.
        assembly ("memory-safe") {
            ok := call(gas(), caller(), amount, 0x00, 0x00, 0x00, 0x00)
        }
        if (!ok) revert WithdrawFailed(msg.sender);
    }

    // ------------------------------------------------------------------------------------------------ reading

    /// @inheritdoc IInferenceOracle
    function result(bytes32 requestId)
        public
        view
        returns (Status status_, uint64 requestedAt, uint64 fulfilledAt, uint256[] memory outputWords)
    {
        Run memory run = _runs[requestId];
        (status_, requestedAt, fulfilledAt) = (run.status, run.requestedAt, run.fulfilledAt);
        outputWords = new uint256[](run.outputWords);
        for (uint256 i = 0; i < outputWords.length; ++i) {
            outputWords[i] = _outputs[requestId][i];
        }
    }

    /// @inheritdoc IInferenceOracle
    function latest(bytes32 modelDigest, address requester)
        external
        view
        returns (bytes32 requestId, uint64 requestedAt, uint64 fulfilledAt, uint256[] memory outputWords)
    {
        requestId = _latest[modelDigest][requester];
        (, requestedAt, fulfilledAt, outputWords) = result(requestId);
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
    function requestHashOf(Request calldata request_) public pure returns (bytes32) {
        return keccak256(
            abi.encode(
                request_.modelDigest,
                request_.inputs,
                request_.minCoverage,
                request_.feeToken,
                request_.fee,
                request_.deadline,
                request_.callback,
                request_.callbackGas
            )
        );
    }

    /// @inheritdoc IInferenceOracle
    function requestIdOf(Request calldata request_, address requester, uint256 nonce) public pure returns (bytes32) {
        return _requestId(requestHashOf(request_), requester, nonce);
    }

    /// @inheritdoc IInferenceOracle
    function contextOf(Request calldata request_, address requester, uint256 nonce, address beneficiary)
        public
        view
        returns (uint256)
    {
        bytes32 requestHash = requestHashOf(request_);
        return _context(_requestId(requestHash, requester, nonce), requestHash, beneficiary);
    }

    /// @inheritdoc IInferenceOracle
    function inputOwnerOf(bytes32 modelDigest, address requester) public pure returns (uint256) {
        return uint256(keccak256(abi.encode(modelDigest, requester))) % BN254.R;
    }

    // ------------------------------------------------------------------------------------------------ checks

    function _requestId(bytes32 requestHash, address requester, uint256 nonce) private pure returns (bytes32) {
        return keccak256(abi.encode(requester, nonce, requestHash));
    }

    function _context(bytes32 requestId, bytes32 requestHash, address beneficiary) private view returns (uint256) {
        return uint256(
            keccak256(abi.encode(CONTEXT_TAG, block.chainid, address(this), requestId, requestHash, beneficiary))
        ) % BN254.R;
    }

    function _requireOpen(bytes32 requestHash, address requester, uint256 nonce)
        private
        view
        returns (bytes32 requestId)
    {
        requestId = _requestId(requestHash, requester, nonce);
        Status current = _runs[requestId].status;
        if (current != Status.Open) revert NotOpen(requestId, current);
    }

    function _requireOpenFor(Request calldata request_, address requester, uint256 nonce, address beneficiary)
        private
        view
        returns (bytes32 requestId, uint256 context)
    {
        bytes32 requestHash = requestHashOf(request_);
        requestId = _requireOpen(requestHash, requester, nonce);
        context = _context(requestId, requestHash, beneficiary);
    }

    function _verify(
        bytes32 modelDigest,
        uint256 context,
        address requester,
        uint256[] calldata words,
        uint256[] calldata commitments,
        uint256[] calldata proofs
    ) private view {
        verifier.verifyBundle(modelDigest, context, inputOwnerOf(modelDigest, requester), words, commitments, proofs);
    }

    /// @dev The target can be nothing of the oracle's own, and its code must exist now: a call to no code succeeds.
    function _requireCallback(address target, uint32 callbackGas) private view {
        if (callbackGas > MAX_CALLBACK_GAS) revert InvalidCallbackGas(callbackGas, MAX_CALLBACK_GAS);
        if (target == address(0)) {
            if (callbackGas != 0) revert InvalidCallbackGas(callbackGas, 0);
            return;
        }
        if (
            target == address(this) || target == address(registry) || target == address(verifier)
                || uint160(target) <= LAST_PRECOMPILE || target.code.length == 0
        ) revert InvalidCallback(target);
    }

    /// @dev What `request` checks of its inputs: as many as the model has; words in range and hashing to what the
    /// request says; commitments below r. A request that passes can be proven.
    function _requireProvableInputs(bytes memory blob, bytes32[] calldata inputs, uint256[] calldata words)
        private
        pure
    {
        uint256 expected = _inputCount(blob);
        if (inputs.length != expected) revert InputCountMismatch(expected, inputs.length);
        uint256 start;
        for (uint256 i = 0; i < inputs.length; ++i) {
            KeyBlob.Tensor memory tensor = KeyBlob.tensor(blob, i);
            if (tensor.kind == KeyBlob.KIND_PRIVATE_INPUT) {
                if (uint256(inputs[i]) >= BN254.R) revert InputCommitmentOutOfRange(i, inputs[i]);
                continue;
            }
            uint256 end = _requirePublicInput(tensor, i, inputs[i], words, start);
            (, uint256 full, uint256 last) = KeyBlob.packing(tensor.count, tensor.bits);
            for (uint256 w = start; w < end; ++w) {
                uint256 maxBits = w + 1 == end ? last : full;
                if (words[w] >> maxBits != 0) revert InputWordOutOfRange(w, words[w], maxBits);
            }
            start = end;
        }
        if (words.length != start) revert InputWordCountMismatch(start, words.length);
    }

    /// @dev What `fulfil` checks: the bundle's public and private inputs are the request's. The verifier checks all
    /// lengths and ranges. Returns the words after the inputs': the outputs'.
    function _requireRequestedInputs(
        Request calldata request_,
        uint256[] calldata words,
        uint256[] calldata commitments
    ) private view returns (uint256[] memory outputWords) {
        bytes memory blob = KeyBlob.fetch(registry, request_.modelDigest);
        uint256 start;
        uint256 commitment;
        for (uint256 i = 0; i < request_.inputs.length; ++i) {
            KeyBlob.Tensor memory tensor = KeyBlob.tensor(blob, i);
            bytes32 expected = request_.inputs[i];
            if (tensor.kind == KeyBlob.KIND_PRIVATE_INPUT) {
                if (commitment >= commitments.length) {
                    revert InputCommitmentCountMismatch(commitment + 1, commitments.length);
                }
                bytes32 received = bytes32(commitments[commitment++]);
                if (received != expected) revert InputCommitmentMismatch(i, expected, received);
            } else {
                start = _requirePublicInput(tensor, i, expected, words, start);
            }
        }
        return words[start:];
    }

    /// @dev The words of public input `i`, from `start`, hash to what the request says. Returns where they end.
    function _requirePublicInput(
        KeyBlob.Tensor memory tensor,
        uint256 i,
        bytes32 expected,
        uint256[] calldata words,
        uint256 start
    ) private pure returns (uint256 end) {
        end = start + KeyBlob.wordsOf(tensor.count, tensor.bits);
        if (words.length < end) revert InputWordCountMismatch(end, words.length);
        bytes32 computed = keccak256(abi.encodePacked(words[start:end]));
        if (computed != expected) revert InputHashMismatch(i, expected, computed);
    }

    /// @dev Inputs come first among a model's tensors.
    function _inputCount(bytes memory blob) private pure returns (uint256 count) {
        uint256 tensors = KeyBlob.tensorCount(blob);
        while (count < tensors && KeyBlob.tensor(blob, count).kind <= KeyBlob.KIND_PRIVATE_INPUT) ++count;
    }

    // ------------------------------------------------------------------------------------------------ effects

    /// @dev Overwrites the request's record with its result, credits the fee, and moves `latest` on if this request
    /// is newer.
    function _settle(
        Request calldata request_,
        bytes32 requestId,
        address requester,
        address beneficiary,
        uint256[] memory outputWords
    ) private {
        Run storage run = _runs[requestId];
        uint64 requestedAt = run.requestedAt;
        _runs[requestId] =
            Run(Status.Fulfilled, false, requestedAt, uint64(block.timestamp), uint32(outputWords.length));
        for (uint256 i = 0; i < outputWords.length; ++i) {
            _outputs[requestId][i] = outputWords[i];
        }
        balanceOf[beneficiary] += request_.fee;

        bytes32 modelDigest = request_.modelDigest;
        // Strictly newer: a fulfiller who holds a proof back, or orders two of one block, cannot move it backwards.
        bytes32 newest = _latest[modelDigest][requester];
        if (newest == 0 || requestedAt > _runs[newest].requestedAt) _latest[modelDigest][requester] = requestId;
        emit InferenceFulfilled(requestId, modelDigest, beneficiary, outputWords);
    }

    /// @dev A failing callback is recorded and blocks nothing.
    function _callBackOrRecord(bytes32 requestId, Request calldata request_, uint256[] memory outputWords) private {
        (bool ok, bytes memory returndata) = _callBack(requestId, request_, outputWords);
        if (ok) return;
        _runs[requestId].callbackFailed = true;
        emit CallbackFailed(requestId, returndata);
    }

    /// @dev Calls back with exactly the requested gas, or reverts for lack of it. Returns whether the callback
    /// succeeded, and if not, the start of what it reverted with.
    function _callBack(bytes32 requestId, Request calldata request_, uint256[] memory outputWords)
        private
        returns (bool ok, bytes memory returndata)
    {
        address target = request_.callback;
        uint256 callbackGas = request_.callbackGas;
        bytes memory data =
            abi.encodeCall(IInferenceConsumer.onInference, (requestId, request_.modelDigest, outputWords));

        // The code may have gone since the request, and a call to no code succeeds.
        ok = target.code.length != 0;
        if (ok) {
            // A call forwards at most 63/64 of what is left (EIP-150): with less than this the callback would get
            // less than it was promised, and a fulfiller could make it fail at will.
            uint256 required = callbackGas + callbackGas / 63 + CALL_OVERHEAD;
            if (gasleft() < required) revert InsufficientCallbackGas(required, gasleft());
            assembly ("memory-safe") {
                ok := call(callbackGas, target, 0, add(data, 0x20), mload(data), 0x00, 0x00)
            }
            if (!ok) {
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
    }
}
