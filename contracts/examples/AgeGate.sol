// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {InferenceConsumer} from "../consumers/InferenceConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {KeyBlob} from "../libraries/KeyBlob.sol";
import {ModelLayout} from "../libraries/ModelLayout.sol";
import {PublicWords} from "../libraries/PublicWords.sol";

/// @title Example: a gate that learns that someone is of age, and not what they look like
/// @notice A model reads an age from a portrait. The chain sees a commitment to the portrait and, once proven, the
/// model's one output value; whoever reaches the threshold may pass.
/// @dev A private input is a claim of whoever made the commitment: alone, it would prove that *some* picture looks old
/// enough. So an attester whom the gate trusts (a camera's vendor, a notary) sees the subject and the portrait and
/// signs that this commitment is of this person's picture.
///
/// The output words are public. What they hold beyond the bit, everyone learns too: the model should end in a step, so
/// that its value is 0 or 1. The portrait is known to the subject, the attester and whoever proves.
contract AgeGate is InferenceConsumer, EIP712 {
    /// @notice The subject's wish, waiting for its answer.
    struct Application {
        address subject;
        uint256 fee;
    }

    /// @notice A subject asked to pass.
    event Applied(address indexed subject, bytes32 indexed requestId, bytes32 commitment);
    /// @notice The model answered.
    event Decided(address indexed subject, bytes32 indexed requestId, bool isOfAge);

    /// @notice The model is not one of a private input and a single output value.
    /// @dev Selector 0xaeb9054c.
    error NotAnAgeModel(bytes32 modelDigest);
    /// @notice The attestation is too old.
    /// @dev Selector 0x6b3df692.
    error AttestationExpired(uint64 expiry, uint256 timestamp);
    /// @notice The attester did not sign that this is the subject's portrait.
    /// @dev Selector 0xe555bc51.
    error InvalidAttestation(address subject, bytes32 commitment);

    bytes32 private constant ATTESTATION_TYPE =
        keccak256("Attestation(bytes32 modelDigest,address subject,bytes32 commitment,uint64 expiry)");
    uint32 private constant CALLBACK_GAS = 150_000;
    uint64 private constant ANSWER_WINDOW = 1 days;

    bytes32 public immutable modelDigest;
    bytes4 public immutable verifier;
    /// @notice Whose signature says that a commitment is of a subject's portrait: a key, or a contract (EIP-1271).
    address public immutable attester;
    /// @notice Least integer output that counts as being of age.
    int256 public immutable threshold;
    uint256 private immutable _bits;
    uint256 private immutable _offset;

    /// @notice Who may pass.
    mapping(address subject => bool) public isOfAge;
    mapping(bytes32 requestId => Application) public applicationOf;
    /// @notice Fees of unanswered requests that a subject can take out.
    mapping(address subject => uint256) public refundOf;

    // slither-disable-next-line missing-zero-check: nobody signs for 0, so nobody would enter.
    constructor(IInferenceOracle oracle_, bytes32 modelDigest_, bytes4 verifier_, address attester_, int256 threshold_)
        InferenceConsumer(oracle_)
        EIP712("AgeGate", "1")
    {
        (modelDigest, verifier, attester, threshold) = (modelDigest_, verifier_, attester_, threshold_);
        bytes memory blob = oracle_.registry().blob(modelDigest_);
        bool fits = ModelLayout.inputCount(blob) == 1 && ModelLayout.outputCount(blob) == 1
            && KeyBlob.tensor(blob, 0).kind == KeyBlob.KIND_PRIVATE_INPUT && KeyBlob.tensor(blob, 1).count == 1;
        if (!fits) revert NotAnAgeModel(modelDigest_);
        KeyBlob.Tensor memory output = KeyBlob.tensor(blob, 1);
        (_bits, _offset) = (output.bits, output.offset);
    }

    /// @dev Refunds come from the oracle.
    receive() external payable {
        if (msg.sender != address(oracle)) revert NotOracle(msg.sender);
    }

    /// @notice Asks to pass; the ether sent is the prover's fee.
    /// @param commitment To the portrait, with `oracle.inputOwnerOf(modelDigest, address(this))` as its owner.
    /// @param expiry Unix time until which the attestation can be used.
    /// @param signature The attester's over `attestationHashOf`.
    function enter(bytes32 commitment, uint64 expiry, bytes calldata signature)
        external
        payable
        returns (bytes32 requestId)
    {
        if (block.timestamp > expiry) revert AttestationExpired(expiry, block.timestamp);
        // The subject is the sender, so that a copied attestation lets nobody else in.
        bytes32 hash = attestationHashOf(msg.sender, commitment, expiry);
        if (!SignatureChecker.isValidSignatureNow(attester, hash, signature)) {
            revert InvalidAttestation(msg.sender, commitment);
        }

        IInferenceOracle.Request memory request;
        request.modelDigest = modelDigest;
        request.inputs = new bytes32[](1);
        request.inputs[0] = commitment;
        request.verifier = verifier;
        request.fee = msg.value;
        request.deadline = uint64(block.timestamp) + ANSWER_WINDOW;
        request.callbackGas = CALLBACK_GAS;
        // slither-disable-next-line reentrancy-benign,reentrancy-events: the id comes from the trusted oracle.
        requestId = _request(request, new uint256[](0));
        applicationOf[requestId] = Application({subject: msg.sender, fee: msg.value});
        emit Applied(msg.sender, requestId, commitment);
    }

    /// @notice Takes out the caller's refunded fees; `closeRefunded` first makes them the caller's.
    function withdrawRefund() external {
        uint256 amount = refundOf[msg.sender];
        refundOf[msg.sender] = 0;
        if (oracle.balanceOf(address(this), address(0)) != 0) _collectRefunds(address(0), address(this));
        Address.sendValue(payable(msg.sender), amount);
    }

    /// @notice EIP-712 hash that the attester signs.
    function attestationHashOf(address subject, bytes32 commitment, uint64 expiry) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(ATTESTATION_TYPE, modelDigest, subject, commitment, expiry)));
    }

    /// @inheritdoc InferenceConsumer
    function _onInference(bytes32 requestId, uint256[] calldata outputWords) internal override {
        address subject = applicationOf[requestId].subject;
        bool ofAge = PublicWords.toInt(PublicWords.digit(outputWords, 0, _bits), _offset) >= threshold;
        // A "no" takes nothing away: people do not grow younger.
        if (ofAge) isOfAge[subject] = true;
        emit Decided(subject, requestId, ofAge);
    }

    /// @inheritdoc InferenceConsumer
    function _onRefund(bytes32 requestId) internal override {
        Application memory application = applicationOf[requestId];
        refundOf[application.subject] += application.fee;
    }
}
