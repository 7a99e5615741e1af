// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IModelRegistry} from "./IModelRegistry.sol";

/// @title Inference oracle
/// @notice Takes paid requests to run a registered model and pays whoever brings a bundle that proves the run; takes
/// proven runs on inputs that an authorised publisher observed; keeps the newest results of each feed.
/// @dev A result says that its words are the model's outputs on its input. It does not say that the input is true:
/// that is for its source to answer for, so results are kept by source. A refund says nothing about the model's
/// answer: an owner can commit to an input that has no proof, so treat a refund as "no", never as approval.
interface IInferenceOracle {
    /// @notice State of a request.
    enum Status {
        None,
        Open,
        Fulfilled,
        /// Fulfilled with less than full coverage; a bundle of all slices may still replace the result, unpaid.
        PartiallyFulfilled,
        Refunded
    }

    /// @notice What is asked for; only its hash is stored.
    /// @param modelDigest The registered model.
    /// @param inputs For each model input in graph order: keccak256 of its packed words if it is public, its
    /// commitment if it is private.
    /// @param verifier Selector, in the registry, of the verifier that decides.
    /// @param minCoverage Least coverage accepted, a bitmap of slices; 0 is full. Below full, proofs say nothing about
    /// the way from input to output: the result is of a kind of its own, which feeds never serve.
    /// @param feeToken Currency of the fee; the zero address is ether.
    /// @param fee Paid to the beneficiary, in the token's smallest unit.
    /// @param deadline Last second (Unix time) at which the request can be fulfilled.
    /// @param callback Contract that is called with the result, or zero.
    /// @param callbackGas Exactly the gas it is called with; zero without a callback.
    struct Request {
        bytes32 modelDigest;
        bytes32[] inputs;
        bytes4 verifier;
        uint256 minCoverage;
        address feeToken;
        uint256 fee;
        uint64 deadline;
        address callback;
        uint32 callbackGas;
    }

    /// @notice A request and the bundle that answers it.
    /// @param request What was asked for.
    /// @param requester Who asked.
    /// @param nonce The requester's nonce at that time.
    /// @param beneficiary Whom the fee is credited to; part of the context, so that a copied proof pays the one who
    /// made it.
    /// @param coverage Slices proven, as in `IBundleVerifier.Bundle`.
    /// @param words Public inputs' words, then outputs', in tensor order.
    /// @param commitments Private inputs', then boundaries', in tensor order.
    /// @param proofs As in `IBundleVerifier.Bundle`.
    struct Fulfilment {
        Request request;
        address requester;
        uint256 nonce;
        address beneficiary;
        uint256 coverage;
        uint256[] words;
        uint256[] commitments;
        uint256[] proofs;
    }

    /// @notice A run that nobody requested, on inputs that a feed's source observed; always of full coverage.
    /// @param source Whose feed it is for: the caller, or who signed.
    /// @param modelDigest The registered model.
    /// @param inputs As in `Request`.
    /// @param verifier As in `Request`.
    /// @param round The feed's last round plus one.
    /// @param observedAt Unix time at which the source observed the inputs.
    /// @param beneficiary Named in the event as the prover; part of the context.
    struct Publication {
        address source;
        bytes32 modelDigest;
        bytes32[] inputs;
        bytes4 verifier;
        uint64 round;
        uint64 observedAt;
        address beneficiary;
        uint256[] words;
        uint256[] commitments;
        uint256[] proofs;
    }

    /// @notice A feed: the newest results of one model, by one verifier, on inputs of one source.
    /// @param capacity Number of rounds kept; 0 if the feed was never opened.
    /// @param publishWindow Greatest age, in seconds, of an observation that is published; 0 if none is taken.
    /// @param round The newest round; rounds count from 1.
    /// @param observedAt The newest round's observation time: rounds are in its order, strictly.
    struct Feed {
        uint16 capacity;
        uint32 publishWindow;
        uint64 round;
        uint64 observedAt;
    }

    /// @notice Why `fulfilBatch` passed over an item.
    enum SkipReason {
        /// Never requested, fulfilled, or refunded.
        NotOpen,
        DeadlinePassed,
        /// The model or the verifier was stopped.
        Stopped
    }

    /// @notice An inference was requested; the event holds all that a prover needs, private inputs excepted.
    event InferenceRequested(
        bytes32 indexed requestId,
        bytes32 indexed modelDigest,
        address indexed requester,
        uint256 nonce,
        Request request,
        uint256[] words
    );
    /// @notice A request was fulfilled and, unless a partial result was replaced, its fee credited.
    event InferenceFulfilled(
        bytes32 indexed requestId,
        bytes32 indexed modelDigest,
        address indexed beneficiary,
        uint256 coverage,
        uint256[] outputWords
    );
    /// @notice `fulfilBatch` passed over an item that could not be fulfilled any more.
    event FulfilmentSkipped(bytes32 indexed requestId, SkipReason reason);
    /// @notice A request was closed unfulfilled and its fee credited back.
    event InferenceRefunded(bytes32 indexed requestId);
    /// @notice A fulfilled request's callback failed; the result is stored all the same.
    /// @param returndata At most the first 132 bytes of what it reverted with.
    event CallbackFailed(bytes32 indexed requestId, bytes returndata);
    /// @notice A failed callback was made again, and succeeded.
    event CallbackRetried(bytes32 indexed requestId);
    /// @notice A source opened its feed of a model and a verifier.
    event FeedOpened(
        bytes32 indexed feedId,
        bytes32 indexed modelDigest,
        address indexed source,
        bytes4 verifier,
        uint16 capacity,
        uint32 publishWindow
    );
    /// @notice A feed has a new round. `requestId` is zero if it was published.
    event FeedUpdated(
        bytes32 indexed feedId,
        uint64 indexed round,
        bytes32 indexed requestId,
        uint64 observedAt,
        address beneficiary,
        uint256[] outputWords
    );
    /// @notice Credits were paid out.
    event Withdrawn(address indexed account, address indexed token, address to, uint256 amount);

    /// @notice The number of inputs is not the model's.
    /// @dev Selector 0xf070b4b9.
    error InputCountMismatch(uint256 expected, uint256 received);
    /// @notice The number of public input words is not the model's.
    /// @dev Selector 0xfebd375b.
    error InputWordCountMismatch(uint256 expected, uint256 received);
    /// @notice A public input word has bits above those of its digits: no bundle could prove it.
    /// @dev Selector 0x0928781c.
    error InputWordOutOfRange(uint256 index, uint256 word, uint256 maxBits);
    /// @notice The words of a public input do not hash to what the request says.
    /// @dev Selector 0x2a10d875.
    error InputHashMismatch(uint256 input, bytes32 expected, bytes32 computed);
    /// @notice There are fewer commitments than private inputs.
    /// @dev Selector 0x1ec4b1cd.
    error InputCommitmentCountMismatch(uint256 expected, uint256 received);
    /// @notice The commitment to a private input is not the request's.
    /// @dev Selector 0xeba8e8db.
    error InputCommitmentMismatch(uint256 input, bytes32 expected, bytes32 received);
    /// @notice The commitment to a private input is ≥ r: no bundle could prove it.
    /// @dev Selector 0x479001ee.
    error InputCommitmentOutOfRange(uint256 input, bytes32 commitment);
    /// @notice The model does not serve this coverage (0 is full): see `IModelRegistry.ModelInfo.coveragePolicy`.
    /// @dev Selector 0x351639af.
    error UnsupportedCoverage(uint256 minCoverage, uint256 coveragePolicy);
    /// @notice The bundle does not cover what the request asks for at least.
    /// @dev Selector 0x6812fc1e.
    error CoverageTooLow(uint256 minCoverage, uint256 coverage);
    /// @notice The ether sent is not the request's fee, or is sent beside a fee in a token.
    /// @dev Selector 0xe1065931.
    error FeeMismatch(uint256 expected, uint256 received);
    /// @notice The token passed on another amount than the fee: tokens that charge for transfers are not taken.
    /// @dev Selector 0x7a07ddff.
    error UnsupportedFeeToken(address feeToken, uint256 expected, uint256 received);
    /// @notice The deadline is over.
    /// @dev Selector 0x3dee80f2.
    error DeadlinePassed(uint64 deadline, uint256 timestamp);
    /// @notice The deadline is not over yet, and model and verifier still serve.
    /// @dev Selector 0x43c5d47b.
    error DeadlineNotPassed(uint64 deadline, uint256 timestamp);
    /// @notice The callback target is the oracle, its registry, verifier or fee token, a precompile, or has no code.
    /// @dev Selector 0xb028a63a.
    error InvalidCallback(address callback);
    /// @notice The callback gas is above the limit, or given without a callback.
    /// @dev Selector 0x383f3f7c.
    error InvalidCallbackGas(uint32 callbackGas, uint32 limit);
    /// @notice The transaction has too little gas left to call back with exactly the requested gas.
    /// @dev Selector 0x588700c7.
    error InsufficientCallbackGas(uint256 required, uint256 available);
    /// @notice The request has no failed callback: it is not fulfilled, has no callback, or the callback succeeded.
    /// @dev Selector 0x5f59668e.
    error NoFailedCallback(bytes32 requestId);
    /// @notice The callback failed once more.
    /// @dev Selector 0x3818e9b3.
    error CallbackFailedAgain(bytes32 requestId);
    /// @notice The request is not open: never made, fulfilled or refunded.
    /// @dev Selector 0x09b9bfa8.
    error NotOpen(bytes32 requestId, Status status);
    /// @notice The beneficiary is the zero address.
    /// @dev Selector 0x5566df5c.
    error InvalidBeneficiary();
    /// @notice The items of a batch name different verifiers.
    /// @dev Selector 0xf587b715.
    error VerifierMismatch(bytes4 expected, bytes4 received);
    /// @notice Of a batch's items none can be fulfilled any more.
    /// @dev Selector 0x65b62d65.
    error NothingToFulfil();
    /// @notice An item of a batch is not as it must be, whenever it is sent.
    /// @param reason The error that `fulfil` gives for it.
    /// @dev Selector 0x890cf1c5.
    error InvalidFulfilment(uint256 item, bytes reason);
    /// @notice The account has no credits in this token.
    /// @dev Selector 0xac46653e.
    error NothingToWithdraw(address account, address token);
    /// @notice The account refused its ether.
    /// @dev Selector 0x7ae187a0.
    error WithdrawFailed(address account);
    /// @notice These are not the outputs of a fulfilled request of full coverage.
    /// @dev Selector 0xff5e1904.
    error OutputsMismatch(bytes32 requestId);
    /// @notice The result's input is older than the reader allows.
    /// @dev Selector 0xa91b60d6.
    error StaleResult(uint256 observedAt, uint256 maxAge, uint256 timestamp);
    /// @notice The feed was opened before, or its capacity is zero.
    /// @dev Selector 0xa25b0b96.
    error InvalidFeed(bytes32 feedId);
    /// @notice The feed takes no publications, or the observation is in the future or too old.
    /// @dev Selector 0x30ad20df.
    error ObservationOutOfWindow(uint64 observedAt, uint32 publishWindow, uint256 timestamp);
    /// @notice The publication is not for the round after the newest, or not of a later observation.
    /// @dev Selector 0x5ab2ed8c.
    error NotNextRound(uint64 expectedRound, uint64 round, uint64 newestObservedAt, uint64 observedAt);
    /// @notice The publication is neither sent nor signed by the feed's source.
    /// @dev Selector 0xae1b844c.
    error NotSource(address source);
    /// @notice The feed has no round yet.
    /// @dev Selector 0x9c34c127.
    error NoRound(bytes32 feedId);
    /// @notice The round is not kept: it is to come, or was overwritten.
    /// @dev Selector 0x82f8b274.
    error RoundNotAvailable(bytes32 feedId, uint64 round);
    /// @notice The oracle has no code where its registry should be.
    /// @dev Selector 0x7483e907.
    error InvalidDeployment();

    /// @notice Opens a request and escrows its fee: the ether sent, or tokens that the caller approved.
    /// @param request_ What is asked for.
    /// @param words Words of the public inputs, concatenated in graph order.
    function request(Request calldata request_, uint256[] calldata words) external payable returns (bytes32 requestId);

    /// @notice Verifies a bundle for an open request, stores its result, credits the beneficiary and calls back.
    function fulfil(Fulfilment calldata fulfilment) external;

    /// @notice Verifies the bundles of several open requests with one pairing call. Items that cannot be fulfilled any
    /// more are passed over, whatever else they hold; any other fault reverts and names its item.
    /// @dev Order items by model: neighbours share pairings.
    function fulfilBatch(Fulfilment[] calldata fulfilments) external;

    /// @notice Closes an open request after its deadline, or as soon as its model or verifier was stopped, and credits
    /// its fee to the requester; anyone may call.
    function refund(Request calldata request_, address requester, uint256 nonce) external;

    /// @notice Makes a failed callback again, with exactly the same gas; anyone may, at any time. Reverts if it fails.
    /// @dev Whoever fulfils chooses the moment, and may choose one at which the callback fails.
    function retryCallback(
        Request calldata request_,
        address requester,
        uint256 nonce,
        uint256 coverage,
        uint256[] calldata outputWords
    ) external;

    /// @notice Pays out the caller's credits in a token (zero for ether).
    function withdraw(address token, address to) external;

    /// @notice Opens the caller's feed of a model and a verifier: what the caller requests of them from then on becomes
    /// its rounds once fulfilled, and what the caller publishes.
    /// @param capacity Number of rounds kept.
    /// @param publishWindow Greatest age of an observation that is published, in seconds; 0 to take none.
    function openFeed(bytes32 modelDigest, bytes4 verifier, uint16 capacity, uint32 publishWindow)
        external
        returns (bytes32 feedId);

    /// @notice Verifies a run and makes it the feed's next round.
    /// @param signature The source's over `publicationHashOf`, unless the source is the caller. Contracts sign by
    /// EIP-1271.
    function publish(Publication calldata publication, bytes calldata signature) external;

    /// @notice Credits of an account in a token (zero for ether).
    function balanceOf(address account, address token) external view returns (uint256);

    /// @notice A request's state.
    /// @return status_ Its state.
    /// @return requestedAt Unix time at which it was made; zero if never.
    /// @return outputsHash First 26 bytes of keccak256 of the output words, once fulfilled; zero before. Of a partial
    /// result, another hash, of words and coverage. `requireOutputs` compares.
    function result(bytes32 requestId) external view returns (Status status_, uint64 requestedAt, bytes26 outputsHash);

    /// @notice Reverts unless these are the outputs of a request that was fulfilled with full coverage, and its input
    /// is no older than `maxAge` seconds.
    /// @param outputWords Words of all outputs in graph order; `InferenceFulfilled` has them.
    function requireOutputs(bytes32 requestId, uint256[] calldata outputWords, uint256 maxAge) external view;

    /// @notice A request's state.
    function status(bytes32 requestId) external view returns (Status);

    /// @notice Whether a fulfilled request's callback failed, with no successful retry since.
    function callbackFailed(bytes32 requestId) external view returns (bool);

    /// @notice The nonce of a requester's next request.
    function nonces(address requester) external view returns (uint256);

    /// @notice A feed.
    function feed(bytes32 feedId) external view returns (Feed memory);

    /// @notice A round that is still kept.
    /// @return observedAt Time of its input: of the request, or of the source's observation.
    /// @return updatedAt Time at which it was proven here.
    /// @return outputWords Words of all outputs in graph order.
    function roundOf(bytes32 feedId, uint64 round)
        external
        view
        returns (uint64 observedAt, uint64 updatedAt, uint256[] memory outputWords);

    /// @notice The newest round, if its input is no older than `maxAge` seconds.
    function latest(bytes32 feedId, uint256 maxAge)
        external
        view
        returns (uint64 round, uint64 observedAt, uint64 updatedAt, uint256[] memory outputWords);

    /// @notice Id of a source's feed of a model and a verifier.
    function feedIdOf(bytes32 modelDigest, bytes4 verifier, address source) external pure returns (bytes32);

    /// @notice Hash of a request.
    function requestHashOf(Request calldata request_) external pure returns (bytes32);

    /// @notice Id of a request.
    function requestIdOf(Request calldata request_, address requester, uint256 nonce) external pure returns (bytes32);

    /// @notice Context that the proofs of a request must carry to pay this beneficiary.
    function contextOf(Request calldata request_, address requester, uint256 nonce, address beneficiary)
        external
        view
        returns (uint256);

    /// @notice Context that the proofs of a publication must carry.
    function publicationContextOf(Publication calldata publication) external view returns (uint256);

    /// @notice EIP-712 hash that the source signs for others to publish: source, model, inputs, verifier, round and
    /// observation time.
    function publicationHashOf(Publication calldata publication) external view returns (bytes32);

    /// @notice Owner that is part of commitments to private inputs for this model and requester (or source).
    function inputOwnerOf(bytes32 modelDigest, address requester) external pure returns (uint256);

    /// @notice Largest callback gas of a request.
    function MAX_CALLBACK_GAS() external view returns (uint32);

    /// @notice The registry of the models and verifiers served.
    function registry() external view returns (IModelRegistry);
}
