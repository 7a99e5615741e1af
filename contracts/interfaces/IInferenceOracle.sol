// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "./IBundleVerifier.sol";
import {IModelRegistry} from "./IModelRegistry.sol";

/// @title Inference oracle
/// @notice Takes paid requests to run a registered model, and pays whoever brings a bundle that proves the run.
/// @dev A fulfilled request says that the stored words are the model's outputs on the requested input. It does not say
/// that the input is true: that is for the requester to know. A refund says nothing about the model's answer: an
/// owner can commit to an input that has no proof, so treat a refund as "no", never as approval.
interface IInferenceOracle {
    /// @notice State of a request.
    enum Status {
        None,
        Open,
        Fulfilled,
        Refunded
    }

    /// @notice What is asked for; only its hash is stored.
    /// @param modelDigest The registered model.
    /// @param inputs For each model input in graph order: keccak256 of its packed words if it is public, its
    /// commitment if it is private.
    /// @param minCoverage Least coverage accepted; 0 is full, the only one there is.
    /// @param feeToken Currency of the fee; the zero address is ether, the only one there is.
    /// @param fee Paid to the beneficiary, in wei.
    /// @param deadline Last second (Unix time) at which the request can be fulfilled.
    /// @param callback Contract whose `onInference` is called, or zero.
    /// @param callbackGas Exactly the gas it is called with; zero without a callback.
    struct Request {
        bytes32 modelDigest;
        bytes32[] inputs;
        uint256 minCoverage;
        address feeToken;
        uint256 fee;
        uint64 deadline;
        address callback;
        uint32 callbackGas;
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
    /// @notice A request was fulfilled and its fee credited.
    event InferenceFulfilled(
        bytes32 indexed requestId, bytes32 indexed modelDigest, address indexed beneficiary, uint256[] outputWords
    );
    /// @notice A request passed its deadline and its fee was credited back.
    event InferenceRefunded(bytes32 indexed requestId);
    /// @notice A fulfilled request's callback failed; the result is stored all the same.
    /// @param returndata At most the first 132 bytes of what it reverted with.
    event CallbackFailed(bytes32 indexed requestId, bytes returndata);
    /// @notice A failed callback was made again, and succeeded.
    event CallbackRetried(bytes32 indexed requestId);
    /// @notice Credits were paid out.
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice No model with this digest is registered.
    /// @dev Selector 0xa2dc0625.
    error UnknownModel(bytes32 modelDigest);
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
    /// @notice Partial coverage is not served.
    /// @dev Selector 0x6d8530d9.
    error UnsupportedCoverage(uint256 minCoverage);
    /// @notice Only ether is taken.
    /// @dev Selector 0xeef78497.
    error UnsupportedFeeToken(address feeToken);
    /// @notice The ether sent is not the request's fee.
    /// @dev Selector 0xe1065931.
    error FeeMismatch(uint256 expected, uint256 received);
    /// @notice The deadline is over.
    /// @dev Selector 0x3dee80f2.
    error DeadlinePassed(uint64 deadline, uint256 timestamp);
    /// @notice The deadline is not over yet.
    /// @dev Selector 0x43c5d47b.
    error DeadlineNotPassed(uint64 deadline, uint256 timestamp);
    /// @notice The callback target is the oracle, its registry or verifier, a precompile, or has no code.
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
    /// @notice The account has no credits.
    /// @dev Selector 0xdc69dc16.
    error NothingToWithdraw(address account);
    /// @notice The account refused its ether.
    /// @dev Selector 0x7ae187a0.
    error WithdrawFailed(address account);
    /// @notice The oracle has no code where its registry or verifier should be, or the two do not belong together.
    /// @dev Selector 0x7483e907.
    error InvalidDeployment();

    /// @notice Opens a request and escrows its fee.
    /// @param request_ What is asked for.
    /// @param words Words of the public inputs, concatenated in graph order.
    function request(Request calldata request_, uint256[] calldata words) external payable returns (bytes32 requestId);

    /// @notice Verifies a bundle for an open request, stores its outputs, credits the beneficiary and calls back.
    /// @param request_ What was asked for.
    /// @param requester Who asked.
    /// @param nonce The requester's nonce at that time.
    /// @param beneficiary Whom the fee is credited to; part of the context, so that a copied proof pays the one who
    /// made it.
    /// @param words Public inputs' words, then outputs', in tensor order.
    /// @param commitments Private inputs', then boundaries', in tensor order.
    /// @param proofs As in `IBundleVerifier.verifyBundle`.
    function fulfil(
        Request calldata request_,
        address requester,
        uint256 nonce,
        address beneficiary,
        uint256[] calldata words,
        uint256[] calldata commitments,
        uint256[] calldata proofs
    ) external;

    /// @notice Closes an open request after its deadline and credits its fee to the requester; anyone may call.
    function refund(Request calldata request_, address requester, uint256 nonce) external;

    /// @notice Makes a failed callback again, with exactly the same gas; anyone may, at any time. Reverts if it fails.
    /// @dev Whoever fulfils chooses the moment, and may choose one at which the callback fails.
    function retryCallback(Request calldata request_, address requester, uint256 nonce) external;

    /// @notice Pays out the caller's credits.
    function withdraw() external;

    /// @notice Credits of an account, in wei.
    function balanceOf(address account) external view returns (uint256);

    /// @notice A request's state and, once fulfilled, its outputs. The words are those of all outputs in graph order.
    function result(bytes32 requestId)
        external
        view
        returns (Status status, uint64 requestedAt, uint64 fulfilledAt, uint256[] memory outputWords);

    /// @notice The fulfilled request with the newest request time, of a model and a requester: all zero if there is
    /// none.
    function latest(bytes32 modelDigest, address requester)
        external
        view
        returns (bytes32 requestId, uint64 requestedAt, uint64 fulfilledAt, uint256[] memory outputWords);

    /// @notice A request's state.
    function status(bytes32 requestId) external view returns (Status);

    /// @notice Whether a fulfilled request's callback failed, with no successful retry since.
    function callbackFailed(bytes32 requestId) external view returns (bool);

    /// @notice The nonce of a requester's next request.
    function nonces(address requester) external view returns (uint256);

    /// @notice Hash of a request.
    function requestHashOf(Request calldata request_) external pure returns (bytes32);

    /// @notice Id of a request.
    function requestIdOf(Request calldata request_, address requester, uint256 nonce) external pure returns (bytes32);

    /// @notice Context that the proofs of a request must carry to pay this beneficiary.
    function contextOf(Request calldata request_, address requester, uint256 nonce, address beneficiary)
        external
        view
        returns (uint256);

    /// @notice Owner that is part of commitments to private inputs for this model and requester.
    function inputOwnerOf(bytes32 modelDigest, address requester) external pure returns (uint256);

    /// @notice Largest callback gas of a request.
    function MAX_CALLBACK_GAS() external view returns (uint32);

    /// @notice The registry of the models served.
    function registry() external view returns (IModelRegistry);

    /// @notice The verifier of bundles.
    function verifier() external view returns (IBundleVerifier);
}
