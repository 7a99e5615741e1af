// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IInferenceConsumer, IPartialInferenceConsumer} from "./interfaces/IInferenceConsumer.sol";
import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {BN254} from "./libraries/BN254.sol";
import {KeyBlob} from "./libraries/KeyBlob.sol";
import {Callback} from "./oracle/Callback.sol";
import {Escrow} from "./oracle/Escrow.sol";
import {Fault} from "./oracle/Fault.sol";
import {Feeds} from "./oracle/Feeds.sol";
import {ModelInputs} from "./oracle/ModelInputs.sol";
import {Statements} from "./oracle/Statements.sol";

/// @title Inference oracle
/// @notice See `IInferenceOracle`. Nobody owns it and nothing in it can be changed.
/// @dev Every path checks, then writes all state, then calls out. The registry and its verifiers are trusted; what
/// requesters name (fee tokens, callback targets) and sources (contracts that sign) is not.
contract InferenceOracle is Escrow, Feeds, EIP712 {
    using Statements for Statements.Statement;
    using Statements for Statements.Statement[];

    bytes32 private constant CONTEXT_TAG = keccak256("zkslice/context/v1");
    bytes32 private constant PUBLISH_TAG = keccak256("zkslice/publish/v1");
    bytes32 private constant PARTIAL_TAG = keccak256("zkslice/partial/v1");
    bytes32 private constant PUBLICATION_TYPEHASH = keccak256(
        "Publication(address source,bytes32 modelDigest,bytes32[] inputs,bytes4 verifier,uint64 round,uint64 observedAt)"
    );

    /// @inheritdoc IInferenceOracle
    uint32 public constant MAX_CALLBACK_GAS = 5_000_000;
    /// @dev Addresses up to here are precompiles, present or to come.
    uint256 private constant LAST_PRECOMPILE = 0xffff;

    /// @inheritdoc IInferenceOracle
    IModelRegistry public immutable registry;

    /// @dev A request's one record. Both slots are filled by `request`, so that `fulfil` only overwrites.
    struct Run {
        Status status;
        bool callbackFailed;
        uint64 requestedAt;
        uint64 fulfilledAt;
        /// While open the model's digest, which only fills the slot; then see `_outputsHash`.
        bytes32 outputsHash;
    }

    /// @dev An item of a batch that can be fulfilled.
    struct Item {
        uint256 index;
        bytes32 requestId;
        /// Where the words of the outputs start.
        uint256 outputStart;
        /// Whether it was; the batch may hold a request twice.
        bool settled;
    }

    /// @dev What was looked up for a batch's last item: neighbours of one model share it.
    struct Lookup {
        bytes4 verifier;
        bytes32 modelDigest;
        bool serves;
        bytes header;
    }

    mapping(bytes32 requestId => Run) private _runs;
    /// @inheritdoc IInferenceOracle
    mapping(address requester => uint256) public nonces;

    constructor(IModelRegistry registry_) EIP712("zkslice InferenceOracle", "1") {
        if (address(registry_).code.length == 0) revert InvalidDeployment();
        registry = registry_;
    }

    // ------------------------------------------------------------------------------------------------ requests

    /// @inheritdoc IInferenceOracle
    function request(Request calldata request_, uint256[] calldata words) external payable returns (bytes32 requestId) {
        // While a fee token runs nothing but another request can be made; that, a callback may do as well.
        if (_reentrancyGuardEntered()) return _request(request_, words);
        return _guardedRequest(request_, words);
    }

    /// @inheritdoc IInferenceOracle
    function refund(Request calldata request_, address requester, uint256 nonce) external nonReentrant {
        bytes32 requestId = requestIdOf(request_, requester, nonce);
        Status current = _runs[requestId].status;
        if (current != Status.Open) revert NotOpen(requestId, current);
        if (block.timestamp <= request_.deadline && _serves(request_.verifier, request_.modelDigest)) {
            revert DeadlineNotPassed(request_.deadline, block.timestamp);
        }
        _runs[requestId].status = Status.Refunded;
        _credit(requester, request_.feeToken, request_.fee);
        emit InferenceRefunded(requestId);
    }

    function _guardedRequest(Request calldata request_, uint256[] calldata words)
        private
        nonReentrant
        returns (bytes32)
    {
        return _request(request_, words);
    }

    function _request(Request calldata request_, uint256[] calldata words) private returns (bytes32 requestId) {
        if (block.timestamp > request_.deadline) revert DeadlinePassed(request_.deadline, block.timestamp);
        _requireCallback(request_, _verifierOf(request_.verifier));
        bytes memory header = ModelInputs.load(registry, request_.modelDigest, type(uint256).max);
        _requireServedCoverage(header, request_.minCoverage);
        ModelInputs.requireCount(header, request_.inputs.length);
        ModelInputs.requireProvable(header, request_.inputs, words);

        uint256 nonce = nonces[msg.sender]++;
        requestId = requestIdOf(request_, msg.sender, nonce);
        _runs[requestId] = Run({
            status: Status.Open,
            callbackFailed: false,
            requestedAt: uint64(block.timestamp),
            fulfilledAt: 0,
            outputsHash: request_.modelDigest
        });
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

    /// @dev Below full, the model must have a policy, and the coverage must include it. Full is written 0 only.
    function _requireServedCoverage(bytes memory header, uint256 minCoverage) private pure {
        if (minCoverage == 0) return;
        uint256 policy = KeyBlob.read(KeyBlob.cursorOf(header, 3));
        // A registered model has at most 256 slices.
        uint256 full = type(uint256).max >> (256 - KeyBlob.sliceCount(header));
        if (policy == 0 || minCoverage & policy != policy || minCoverage >= full) {
            revert UnsupportedCoverage(minCoverage, policy);
        }
    }

    // ------------------------------------------------------------------------------------------------ fulfilment

    /// @inheritdoc IInferenceOracle
    function fulfil(Fulfilment calldata fulfilment) external nonReentrant {
        Request calldata request_ = fulfilment.request;
        (bytes32 requestId, uint256 context) = _bind(fulfilment);
        Status current = _runs[requestId].status;
        if (!_isOpenFor(current, fulfilment.coverage)) revert NotOpen(requestId, current);
        if (block.timestamp > request_.deadline) revert DeadlinePassed(request_.deadline, block.timestamp);
        address verifier = _verifierOf(request_.verifier);
        bytes memory header = ModelInputs.load(registry, request_.modelDigest, request_.inputs.length);
        uint256 outputStart = _requireAnswer(fulfilment, header, Fault.ALONE);
        _verify(verifier, _statementOf(fulfilment, context));

        _settle(fulfilment, requestId, outputStart);
        if (request_.callback != address(0)) _callBackOrRecord(fulfilment, requestId, outputStart);
    }

    /// @inheritdoc IInferenceOracle
    function fulfilBatch(Fulfilment[] calldata fulfilments) external nonReentrant {
        (Item[] memory items, Statements.Statement[] memory statements) = _gather(fulfilments);
        _verifyBatch(_verifierOf(fulfilments[items[0].index].request.verifier), items, statements);

        for (uint256 i = 0; i < items.length; ++i) {
            Item memory item = items[i];
            Fulfilment calldata fulfilment = fulfilments[item.index];
            item.settled = _isOpenFor(_runs[item.requestId].status, fulfilment.coverage);
            if (item.settled) _settle(fulfilment, item.requestId, item.outputStart);
            else emit FulfilmentSkipped(item.requestId, SkipReason.NotOpen);
        }
        for (uint256 i = 0; i < items.length; ++i) {
            Item memory item = items[i];
            Fulfilment calldata fulfilment = fulfilments[item.index];
            if (!item.settled || fulfilment.request.callback == address(0)) continue;
            _callBackOrRecord(fulfilment, item.requestId, item.outputStart);
        }
    }

    /// @dev Passes over what cannot be fulfilled any more, before anything else of it is looked at: a bundle copied
    /// from the batch and sent first must not take the others with it. Checks the rest, and that one verifier decides.
    function _gather(Fulfilment[] calldata fulfilments)
        private
        returns (Item[] memory items, Statements.Statement[] memory statements)
    {
        items = new Item[](fulfilments.length);
        statements = new Statements.Statement[](fulfilments.length);
        Lookup memory lookup;
        uint256 count;
        for (uint256 i = 0; i < fulfilments.length; ++i) {
            Fulfilment calldata fulfilment = fulfilments[i];
            (bytes32 requestId, uint256 context) = _bind(fulfilment);
            (bool fulfillable, SkipReason reason) = _isFulfillable(fulfilment, requestId, lookup);
            if (!fulfillable) {
                emit FulfilmentSkipped(requestId, reason);
                continue;
            }
            bytes4 lane = fulfilments[count == 0 ? i : items[0].index].request.verifier;
            if (fulfilment.request.verifier != lane) revert VerifierMismatch(lane, fulfilment.request.verifier);
            items[count] = Item(i, requestId, _requireAnswer(fulfilment, lookup.header, i), false);
            statements[count] = _statementOf(fulfilment, context);
            ++count;
        }
        if (count == 0) revert NothingToFulfil();
        assembly ("memory-safe") {
            mstore(items, count)
            mstore(statements, count)
        }
    }

    /// @dev Whether the request can be fulfilled with this coverage now; if so, `lookup` has the model's header.
    function _isFulfillable(Fulfilment calldata fulfilment, bytes32 requestId, Lookup memory lookup)
        private
        view
        returns (bool, SkipReason)
    {
        Request calldata request_ = fulfilment.request;
        if (!_isOpenFor(_runs[requestId].status, fulfilment.coverage)) return (false, SkipReason.NotOpen);
        if (block.timestamp > request_.deadline) return (false, SkipReason.DeadlinePassed);
        if (lookup.verifier != request_.verifier || lookup.modelDigest != request_.modelDigest) {
            (lookup.verifier, lookup.modelDigest) = (request_.verifier, request_.modelDigest);
            lookup.serves = _serves(lookup.verifier, lookup.modelDigest);
            if (lookup.serves) {
                lookup.header = ModelInputs.load(registry, lookup.modelDigest, request_.inputs.length);
            }
        }
        return (lookup.serves, SkipReason.Stopped);
    }

    function _verify(address verifier, Statements.Statement memory statement) private view {
        Statements.Statement[] memory statements = new Statements.Statement[](1);
        statements[0] = statement;
        (bool ok, bytes memory reason) = statements.verify(verifier);
        if (!ok) Fault.raise(Fault.ALONE, reason);
    }

    /// @dev Where the verifier names a bundle, the error names the item.
    function _verifyBatch(address verifier, Item[] memory items, Statements.Statement[] memory statements)
        private
        view
    {
        (bool ok, bytes memory reason) = statements.verify(verifier);
        if (ok) return;
        // Errors that name a bundle have its index first, and something more.
        uint256 bundle = type(uint256).max;
        if (reason.length >= 68) {
            assembly ("memory-safe") {
                bundle := mload(add(reason, 0x24))
            }
        }
        if (bundle >= items.length) Fault.raise(Fault.ALONE, reason);
        // As `fulfil` gives it: there the bundle is the only one.
        assembly ("memory-safe") {
            mstore(add(reason, 0x24), 0)
        }
        Fault.raise(items[bundle].index, reason);
    }

    /// @dev What must hold of a bundle beside that it verifies: it answers the request.
    /// @return outputStart Where the words of the outputs start.
    function _requireAnswer(Fulfilment calldata fulfilment, bytes memory header, uint256 item)
        private
        pure
        returns (uint256 outputStart)
    {
        if (fulfilment.beneficiary == address(0)) {
            Fault.raise(item, abi.encodeWithSelector(InvalidBeneficiary.selector));
        }
        (uint256 least, uint256 coverage) = (fulfilment.request.minCoverage, fulfilment.coverage);
        // 0 is full: it satisfies everything, and asks for nothing less.
        if (coverage != 0 && (least == 0 || coverage & least != least)) {
            Fault.raise(item, abi.encodeWithSelector(CoverageTooLow.selector, least, coverage));
        }
        return
            ModelInputs.requireSame(header, fulfilment.request.inputs, fulfilment.words, fulfilment.commitments, item);
    }

    /// @dev Overwrites the request's record with its result, credits the fee unless it was paid for a partial result,
    /// and moves the requester's feed on.
    function _settle(Fulfilment calldata fulfilment, bytes32 requestId, uint256 outputStart) private {
        Request calldata request_ = fulfilment.request;
        uint256[] calldata outputWords = fulfilment.words[outputStart:];
        Run storage run = _runs[requestId];
        if (run.status == Status.Open) _credit(fulfilment.beneficiary, request_.feeToken, request_.fee);
        run.status = fulfilment.coverage == 0 ? Status.Fulfilled : Status.PartiallyFulfilled;
        run.callbackFailed = false;
        run.fulfilledAt = uint64(block.timestamp);
        run.outputsHash = _outputsHash(fulfilment.coverage, outputWords);
        emit InferenceFulfilled(
            requestId, request_.modelDigest, fulfilment.beneficiary, fulfilment.coverage, outputWords
        );
        if (fulfilment.coverage == 0) {
            bytes32 feedId = feedIdOf(request_.modelDigest, fulfilment.requester);
            _advance(feedId, requestId, run.requestedAt, fulfilment.beneficiary, outputWords);
        }
    }

    /// @dev An open request takes any bundle, one fulfilled in part a full one.
    function _isOpenFor(Status current, uint256 coverage) private pure returns (bool) {
        return current == Status.Open || (current == Status.PartiallyFulfilled && coverage == 0);
    }

    /// @dev Reverts with `VerifierNotActive`.
    function _verifierOf(bytes4 selector) private view returns (address) {
        return registry.verifierOf(selector);
    }

    /// @dev Whether model and verifier serve. Both did at the request, so if not, one was stopped.
    function _serves(bytes4 verifier, bytes32 modelDigest) private view returns (bool) {
        (IModelRegistry.Status verifierStatus,,) = registry.verifierStatus(verifier);
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
        Run storage run = _runs[requestId];
        if (!run.callbackFailed) revert NoFailedCallback(requestId);
        if (run.outputsHash != _outputsHash(coverage, outputWords)) revert OutputsMismatch(requestId);
        run.callbackFailed = false;
        emit CallbackRetried(requestId);
        (bool ok,) = _callBack(request_, requestId, coverage, outputWords);
        if (!ok) revert CallbackFailedAgain(requestId);
    }

    /// @dev A failing callback is recorded and blocks nothing.
    function _callBackOrRecord(Fulfilment calldata fulfilment, bytes32 requestId, uint256 outputStart) private {
        uint256[] calldata outputWords = fulfilment.words[outputStart:];
        // A full bundle of the same batch may have replaced this partial result.
        if (_runs[requestId].outputsHash != _outputsHash(fulfilment.coverage, outputWords)) return;
        (bool ok, bytes memory returndata) = _callBack(fulfilment.request, requestId, fulfilment.coverage, outputWords);
        if (ok) return;
        _runs[requestId].callbackFailed = true;
        emit CallbackFailed(requestId, returndata);
    }

    function _callBack(Request calldata request_, bytes32 requestId, uint256 coverage, uint256[] calldata outputWords)
        private
        returns (bool ok, bytes memory returndata)
    {
        bytes memory data = coverage == 0
            ? abi.encodeCall(IInferenceConsumer.onInference, (requestId, request_.modelDigest, outputWords))
            : abi.encodeCall(
                IPartialInferenceConsumer.onPartialInference, (requestId, request_.modelDigest, coverage, outputWords)
            );
        return Callback.call(request_.callback, request_.callbackGas, data);
    }

    // ------------------------------------------------------------------------------------------------ publication

    /// @inheritdoc IInferenceOracle
    function publish(Publication calldata publication, bytes calldata signature) external nonReentrant {
        bytes32 feedId = feedIdOf(publication.modelDigest, publication.source);
        _requireNextRound(publication, feed(feedId));
        if (msg.sender != publication.source) {
            bytes32 hash = publicationHashOf(publication);
            if (!SignatureChecker.isValidSignatureNowCalldata(publication.source, hash, signature)) {
                revert NotSource(publication.source);
            }
        }
        address verifier = _verifierOf(publication.verifier);
        uint256 outputStart = _requireObservedInputs(publication);
        _verify(verifier, _statementOf(publication));
        _advance(feedId, 0, publication.observedAt, publication.beneficiary, publication.words[outputStart:]);
    }

    /// @dev Once only (the round after the newest), of a later observation, and of a recent one.
    function _requireNextRound(Publication calldata publication, Feed memory feed_) private view {
        (uint64 round, uint64 observedAt) = (publication.round, publication.observedAt);
        if (
            feed_.publishWindow == 0 || observedAt > block.timestamp
                || block.timestamp - observedAt > feed_.publishWindow
        ) revert ObservationOutOfWindow(observedAt, feed_.publishWindow, block.timestamp);
        if (round != feed_.round + 1 || observedAt <= feed_.observedAt) {
            revert NotNextRound(feed_.round + 1, round, feed_.observedAt, observedAt);
        }
    }

    function _requireObservedInputs(Publication calldata publication) private view returns (uint256 outputStart) {
        bytes memory header = ModelInputs.load(registry, publication.modelDigest, type(uint256).max);
        ModelInputs.requireCount(header, publication.inputs.length);
        return
            ModelInputs.requireSame(header, publication.inputs, publication.words, publication.commitments, Fault.ALONE);
    }

    // ------------------------------------------------------------------------------------------------ reading

    /// @inheritdoc IInferenceOracle
    function result(bytes32 requestId)
        external
        view
        returns (Status status_, uint64 requestedAt, uint64 fulfilledAt, bytes32 outputsHash)
    {
        Run memory run = _runs[requestId];
        (status_, requestedAt, fulfilledAt) = (run.status, run.requestedAt, run.fulfilledAt);
        if (fulfilledAt != 0) outputsHash = run.outputsHash;
    }

    /// @inheritdoc IInferenceOracle
    function requireOutputs(bytes32 requestId, uint256[] calldata outputWords, uint256 maxAge) external view {
        Run memory run = _runs[requestId];
        if (run.status != Status.Fulfilled || run.outputsHash != _outputsHash(0, outputWords)) {
            revert OutputsMismatch(requestId);
        }
        _requireFresh(run.requestedAt, maxAge);
    }

    /// @inheritdoc IInferenceOracle
    function status(bytes32 requestId) external view returns (Status) {
        return _runs[requestId].status;
    }

    /// @inheritdoc IInferenceOracle
    function callbackFailed(bytes32 requestId) external view returns (bool) {
        return _runs[requestId].callbackFailed;
    }

    // ------------------------------------------------------------------------------------------------ hashes

    /// @inheritdoc IInferenceOracle
    function requestHashOf(Request calldata request_) public pure returns (bytes32) {
        return keccak256(abi.encode(request_));
    }

    /// @inheritdoc IInferenceOracle
    function requestIdOf(Request calldata request_, address requester, uint256 nonce) public pure returns (bytes32) {
        return _requestId(requestHashOf(request_), requester, nonce);
    }

    /// @inheritdoc IInferenceOracle
    function contextOf(Request calldata request_, address requester, uint256 nonce, address beneficiary)
        external
        view
        returns (uint256)
    {
        bytes32 requestHash = requestHashOf(request_);
        return _context(_requestId(requestHash, requester, nonce), requestHash, beneficiary);
    }

    /// @inheritdoc IInferenceOracle
    function publicationContextOf(Publication calldata publication) public view returns (uint256) {
        return uint256(
            keccak256(
            abi.encode(
            PUBLISH_TAG,
            block.chainid,
            address(this),
            feedIdOf(publication.modelDigest, publication.source),
            publication.round,
            publication.modelDigest,
            keccak256(abi.encode(publication.inputs)),
            publication.observedAt,
            publication.beneficiary
        )
        )
        ) % BN254.R;
    }

    /// @inheritdoc IInferenceOracle
    function publicationHashOf(Publication calldata publication) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    PUBLICATION_TYPEHASH,
                    publication.source,
                    publication.modelDigest,
                    keccak256(abi.encodePacked(publication.inputs)),
                    publication.verifier,
                    publication.round,
                    publication.observedAt
                )
            )
        );
    }

    /// @inheritdoc IInferenceOracle
    function inputOwnerOf(bytes32 modelDigest, address requester) public pure returns (uint256) {
        return uint256(keccak256(abi.encode(modelDigest, requester))) % BN254.R;
    }

    /// @dev What binds a fulfilment: its request's id, and the context that its proofs must carry.
    function _bind(Fulfilment calldata fulfilment) private view returns (bytes32 requestId, uint256 context) {
        bytes32 requestHash = requestHashOf(fulfilment.request);
        requestId = _requestId(requestHash, fulfilment.requester, fulfilment.nonce);
        context = _context(requestId, requestHash, fulfilment.beneficiary);
    }

    function _statementOf(Fulfilment calldata fulfilment, uint256 context)
        private
        pure
        returns (Statements.Statement memory statement)
    {
        statement.modelDigest = fulfilment.request.modelDigest;
        statement.context = context;
        statement.owner = inputOwnerOf(statement.modelDigest, fulfilment.requester);
        statement.coverage = fulfilment.coverage;
        statement.place(fulfilment.words, fulfilment.commitments, fulfilment.proofs);
    }

    /// @dev Coverage stays 0: full.
    function _statementOf(Publication calldata publication)
        private
        view
        returns (Statements.Statement memory statement)
    {
        statement.modelDigest = publication.modelDigest;
        statement.context = publicationContextOf(publication);
        statement.owner = inputOwnerOf(statement.modelDigest, publication.source);
        statement.place(publication.words, publication.commitments, publication.proofs);
    }

    function _requestId(bytes32 requestHash, address requester, uint256 nonce) private pure returns (bytes32) {
        return keccak256(abi.encode(requester, nonce, requestHash));
    }

    function _context(bytes32 requestId, bytes32 requestHash, address beneficiary) private view returns (uint256) {
        return uint256(
            keccak256(abi.encode(CONTEXT_TAG, block.chainid, address(this), requestId, requestHash, beneficiary))
        ) % BN254.R;
    }

    /// @dev A partial result has a hash of another kind: who compares hashes only cannot take it for a full one.
    function _outputsHash(uint256 coverage, uint256[] calldata outputWords) private pure returns (bytes32 hash) {
        hash = keccak256(abi.encodePacked(outputWords));
        if (coverage != 0) hash = keccak256(abi.encode(PARTIAL_TAG, coverage, hash));
    }
}
