// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {KeyBlob} from "./libraries/KeyBlob.sol";
import {Fault} from "./oracle/Fault.sol";
import {ModelInputs} from "./oracle/ModelInputs.sol";
import {Opened} from "./oracle/Opened.sol";
import {Requests} from "./oracle/Requests.sol";
import {Run} from "./oracle/Run.sol";
import {Statement, Statements} from "./oracle/Statements.sol";

/// @title Inference oracle
/// @notice See `IInferenceOracle`. Nobody owns it and nothing in it can be changed.
/// @dev Every path checks, then writes all state, then calls out. The registry and its verifiers are trusted; what
/// requesters name (fee tokens, callback targets) and sources (contracts that sign) is not.
contract InferenceOracle is Requests {
    using Opened for Request;
    using Statements for Statement;
    using Statements for Statement[];

    /// @dev Where in a `Fulfilment` and in a `Publication` the words' offset is; those of commitments and proofs follow.
    uint256 private constant WORDS_OF_FULFILMENT = 0xa0;
    uint256 private constant WORDS_OF_PUBLICATION = 0xe0;

    /// @dev What was looked up for a batch's last item: neighbours of one model share it.
    struct Lookup {
        bytes4 verifier;
        bytes32 modelDigest;
        bool serves;
        bytes header;
        /// The verifier of the batch's first item that can be fulfilled, once there is one.
        bytes4 lane;
        bool hasLane;
    }

    /// @dev What a batch's last items are to be credited.
    struct Due {
        address account;
        address token;
        uint256 amount;
    }

    constructor(IModelRegistry registry_) Requests(registry_) {}

    // ------------------------------------------------------------------------------------------------ requests

    /// @inheritdoc Requests
    function _requireAnswerable(Request calldata request_, uint256[] calldata words)
        internal
        view
        override
        returns (bool allPrivate)
    {
        bytes memory header = ModelInputs.load(registry, request_.modelDigest, type(uint256).max);
        _requireServedCoverage(header, request_.minCoverage);
        ModelInputs.requireCount(header, request_.inputs.length);
        return ModelInputs.requireProvable(header, request_.inputs, words);
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
        Statement[] memory statements = Statements.allocate(1);
        Statement memory statement = statements[0];
        _bind(statement, fulfilment, Fault.ALONE);
        Run run = _runs[statement.requestId];
        if (!run.isOpenFor(statement.coverage)) revert NotOpen(statement.requestId, run.status());
        Request calldata request_ = statement.requestOf();
        uint64 deadline = request_.deadlineOf();
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
        address verifier = _verifierOf(request_.verifierOf());
        bytes memory header;
        if (!run.allPrivate()) {
            header = ModelInputs.load(registry, request_.modelDigest, statement.inputsOf().length);
        }
        _state(statement, fulfilment, header);
        _verify(statements, verifier);

        _settle(statement, run);
        if (run.isOpen()) _credit(statement.beneficiary, request_.feeTokenOf(), request_.fee);
        if (request_.callbackOf() != address(0)) _callBackOrRecord(statement);
    }

    /// @inheritdoc IInferenceOracle
    function fulfilBatch(Fulfilment[] calldata fulfilments) external nonReentrant {
        (Statement[] memory statements, bytes4 lane) = _gather(fulfilments);
        _verify(statements, _verifierOf(lane));

        bool callsBack;
        Due memory due;
        for (uint256 i = 0; i < statements.length; i = _next(i)) {
            Statement memory statement = statements[i];
            Run run = _runs[statement.requestId];
            // The batch may hold a request twice.
            if (!run.isOpenFor(statement.coverage)) {
                emit FulfilmentSkipped(statement.requestId, SkipReason.NotOpen);
                continue;
            }
            statement.settled = true;
            _settle(statement, run);
            Request calldata request_ = statement.requestOf();
            if (run.isOpen()) _creditLater(due, statement.beneficiary, request_.feeTokenOf(), request_.fee);
            if (request_.callbackOf() != address(0)) callsBack = true;
        }
        _creditNow(due);
        if (callsBack) _callBackAll(statements);
    }

    /// @dev Passes over what cannot be fulfilled any more, before anything else of it is looked at: a bundle copied
    /// from the batch and sent first must not take the others with it. Checks the rest, and that one verifier decides.
    function _gather(Fulfilment[] calldata fulfilments) private returns (Statement[] memory statements, bytes4 lane) {
        statements = Statements.allocate(fulfilments.length);
        Lookup memory lookup;
        uint256 count;
        for (uint256 i = 0; i < fulfilments.length; i = _next(i)) {
            Fulfilment calldata fulfilment = Statements.fulfilmentAt(fulfilments, i);
            Statement memory statement = statements[count];
            _bind(statement, fulfilment, i);
            (bool fulfillable, SkipReason reason) = _isFulfillable(statement, lookup);
            if (!fulfillable) {
                emit FulfilmentSkipped(statement.requestId, reason);
                continue;
            }
            _state(statement, fulfilment, lookup.header);
            count = _next(count);
        }
        if (count == 0) revert NothingToFulfil();
        assembly ("memory-safe") {
            mstore(statements, count)
        }
        return (statements, lookup.lane);
    }

    /// @dev Sums up what neighbours in a batch have to get, if it is one account's and in one currency. A sum that is
    /// too large is not made here, so that it fails as any credit does.
    function _creditLater(Due memory due, address account, address token, uint256 amount) private {
        uint256 sum;
        bool fits;
        assembly ("memory-safe") {
            sum := add(mload(add(due, 0x40)), amount)
            fits := iszero(or(lt(sum, amount), or(xor(account, mload(due)), xor(token, mload(add(due, 0x20))))))
        }
        if (fits) {
            due.amount = sum;
            return;
        }
        _creditNow(due);
        (due.account, due.token, due.amount) = (account, token, amount);
    }

    function _creditNow(Due memory due) private {
        if (due.amount != 0) _credit(due.account, due.token, due.amount);
    }

    /// @dev The index after this one, which never comes near the largest number.
    function _next(uint256 i) private pure returns (uint256) {
        unchecked {
            return i + 1;
        }
    }

    /// @dev Whether the request can be fulfilled with this coverage now; if so, `lookup` is of its model and verifier.
    function _isFulfillable(Statement memory statement, Lookup memory lookup) private view returns (bool, SkipReason) {
        Run run = _runs[statement.requestId];
        if (!run.isOpenFor(statement.coverage)) return (false, SkipReason.NotOpen);
        Request calldata request_ = statement.requestOf();
        if (block.timestamp > request_.deadlineOf()) return (false, SkipReason.DeadlinePassed);
        (bytes4 verifier, bytes32 modelDigest) = (request_.verifierOf(), request_.modelDigest);
        if (lookup.verifier != verifier || lookup.modelDigest != modelDigest) {
            (lookup.verifier, lookup.modelDigest) = (verifier, modelDigest);
            _lookUp(lookup, run.allPrivate() ? 0 : statement.inputsOf().length);
        }
        return (lookup.serves, SkipReason.Stopped);
    }

    /// @dev Whether model and verifier serve; if so, the verifier must be that of all items before which could be
    /// fulfilled.
    /// @param inputs Number of the model's inputs of which the header is needed.
    function _lookUp(Lookup memory lookup, uint256 inputs) private view {
        (bytes4 verifier, bytes32 modelDigest) = (lookup.verifier, lookup.modelDigest);
        lookup.serves = _serves(verifier, modelDigest);
        lookup.header = lookup.serves && inputs != 0 ? ModelInputs.load(registry, modelDigest, inputs) : bytes("");
        if (!lookup.serves) return;
        if (!lookup.hasLane) (lookup.hasLane, lookup.lane) = (true, verifier);
        if (verifier != lookup.lane) revert VerifierMismatch(lookup.lane, verifier);
    }

    /// @dev Which request the statement answers, and the context that its proofs must carry.
    function _bind(Statement memory statement, Fulfilment calldata fulfilment, uint256 index) private view {
        statement.bind(fulfilment, index);
        bytes32 requestHash = _requestHash(statement.request, statement.inputs);
        bytes32 requestId = _requestId(requestHash, statement.requester, fulfilment.nonce);
        statement.requestId = requestId;
        statement.context = _context(requestId, requestHash, statement.beneficiary);
    }

    /// @dev What must hold of a bundle beside that it verifies: it answers the request. Fills in the rest of the
    /// statement.
    /// @param header Of the model, or nothing if all its inputs are private.
    function _state(Statement memory statement, Fulfilment calldata fulfilment, bytes memory header) private pure {
        if (statement.beneficiary == address(0)) {
            Fault.raise(statement.index, abi.encodeWithSelector(InvalidBeneficiary.selector));
        }
        Request calldata request_ = statement.requestOf();
        // 0 is full: it satisfies everything.
        if (statement.coverage != 0) _requireCoverage(request_.minCoverage, statement.coverage, statement.index);
        bytes32 modelDigest = request_.modelDigest;
        (statement.modelDigest, statement.owner) = (modelDigest, _owner(modelDigest, statement.requester));
        uint256 position;
        assembly ("memory-safe") {
            position := fulfilment
        }
        statement.place(position, WORDS_OF_FULFILMENT);
        if (header.length == 0) {
            ModelInputs.requireSamePrivate(statement.inputsOf(), statement.commitmentsOf(), statement.index);
        } else {
            statement.outputStart = ModelInputs.requireSame(
                header, statement.inputsOf(), statement.wordsOf(), statement.commitmentsOf(), statement.index
            );
        }
    }

    /// @dev A request for 0, which is full, takes nothing less.
    function _requireCoverage(uint256 least, uint256 coverage, uint256 item) private pure {
        if (least != 0 && coverage & least == least) return;
        Fault.raise(item, abi.encodeWithSelector(CoverageTooLow.selector, least, coverage));
    }

    /// @dev Where the verifier names a bundle of a batch, the error names the item.
    function _verify(Statement[] memory statements, address verifier) private view {
        (bool ok, bytes memory reason) = statements.verify(verifier);
        if (ok) return;
        // Errors that name a bundle have its index first, and something more.
        uint256 bundle = type(uint256).max;
        if (reason.length >= 68) {
            assembly ("memory-safe") {
                bundle := mload(add(reason, 0x24))
            }
        }
        if (bundle >= statements.length) Fault.raise(Fault.ALONE, reason);
        // As `fulfil` gives it: there the bundle is the only one.
        assembly ("memory-safe") {
            mstore(add(reason, 0x24), 0)
        }
        Fault.raise(statements[bundle].index, reason);
    }

    /// @dev Overwrites the request's record with its result, and moves the requester's feed on.
    /// @param run The record.
    function _settle(Statement memory statement, Run run) private {
        uint256[] calldata outputWords = statement.outputsOf();
        (bytes32 requestId, uint256 coverage) = (statement.requestId, statement.coverage);
        bytes32 hash = _emitFulfilled(statement, outputWords);
        if (coverage != 0) hash = _partialHash(coverage, hash);
        _runs[requestId] = run.fulfilled(coverage != 0, hash);
        if (run.hasFeed() && coverage == 0) {
            bytes4 verifier = statement.requestOf().verifierOf();
            bytes32 feedId = feedIdOf(statement.modelDigest, verifier, statement.requester);
            _advance(feedId, requestId, run.requestedAt(), statement.beneficiary, outputWords);
        }
    }

    /// @dev Emits `InferenceFulfilled`, and hashes the words of which it has a copy.
    function _emitFulfilled(Statement memory statement, uint256[] calldata outputWords) private returns (bytes32 hash) {
        bytes32 topic = InferenceFulfilled.selector;
        (bytes32 requestId, bytes32 modelDigest) = (statement.requestId, statement.modelDigest);
        (address beneficiary, uint256 coverage) = (statement.beneficiary, statement.coverage);
        assembly ("memory-safe") {
            // Memory: coverage, the words' offset, their number, the words.
            let data := mload(0x40)
            let size := shl(5, outputWords.length)
            mstore(data, coverage)
            mstore(add(data, 0x20), 0x40)
            mstore(add(data, 0x40), outputWords.length)
            calldatacopy(add(data, 0x60), outputWords.offset, size)
            hash := keccak256(add(data, 0x60), size)
            log4(data, add(size, 0x60), topic, requestId, modelDigest, beneficiary)
        }
    }

    // ------------------------------------------------------------------------------------------------ callbacks

    /// @dev Once all state is written.
    function _callBackAll(Statement[] memory statements) private {
        for (uint256 i = 0; i < statements.length; ++i) {
            Statement memory statement = statements[i];
            if (statement.settled && statement.requestOf().callbackOf() != address(0)) _callBackOrRecord(statement);
        }
    }

    /// @dev A failing callback is recorded and blocks nothing.
    function _callBackOrRecord(Statement memory statement) private {
        Request calldata request_ = statement.requestOf();
        uint256[] calldata outputWords = statement.outputsOf();
        (bytes32 requestId, uint256 coverage) = (statement.requestId, statement.coverage);
        Run run = _runs[requestId];
        // A full bundle of the same batch may have replaced this partial result.
        if (run.outputsHash() != _outputsHash(coverage, outputWords)) return;
        (bool ok, bytes memory returndata) =
            _callBack(request_.callback, request_.callbackGas, requestId, request_.modelDigest, coverage, outputWords);
        if (ok) return;
        _runs[requestId] = run.withCallbackFailed(true);
        emit CallbackFailed(requestId, returndata);
    }

    // ------------------------------------------------------------------------------------------------ publication

    /// @inheritdoc IInferenceOracle
    function publish(Publication calldata publication, bytes calldata signature) external nonReentrant {
        bytes32 feedId = _requireNextRound(publication, signature);
        Statement[] memory statements = new Statement[](1);
        _state(statements[0], publication);
        _verify(statements, _verifierOf(publication.verifier));
        _advance(feedId, 0, publication.observedAt, publication.beneficiary, statements[0].outputsOf());
    }

    /// @dev As for fulfilments; coverage stays 0, full.
    function _state(Statement memory statement, Publication calldata publication) private view {
        bytes32 modelDigest = publication.modelDigest;
        statement.index = Fault.ALONE;
        statement.modelDigest = modelDigest;
        statement.context = publicationContextOf(publication);
        statement.owner = inputOwnerOf(modelDigest, publication.source);
        uint256 position;
        assembly ("memory-safe") {
            position := publication
        }
        statement.place(position, WORDS_OF_PUBLICATION);
        bytes memory header = ModelInputs.load(registry, modelDigest, type(uint256).max);
        ModelInputs.requireCount(header, publication.inputs.length);
        statement.outputStart = ModelInputs.requireSame(
            header, publication.inputs, statement.wordsOf(), statement.commitmentsOf(), Fault.ALONE
        );
    }
}
