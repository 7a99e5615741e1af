// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {InferenceConsumer} from "../consumers/InferenceConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {KeyBlob} from "../libraries/KeyBlob.sol";
import {ModelLayout} from "../libraries/ModelLayout.sol";
import {PublicWords} from "../libraries/PublicWords.sol";

/// @title Example: insurance whose claims a classifier settles
/// @notice The insurer locks a payout for a holder. An inspector, whom both trust to photograph and not to judge, files
/// the photo; the model judges, and its class alone decides whether the holder is paid.
/// @dev The holder cannot file: a photo that whoever gains can choose proves nothing. No answer is never a "yes": after
/// a refund the claim can be filed again until the policy ends, and then the payout is the insurer's. So the holder
/// trusts that somebody proves, and that the model is not stopped meanwhile.
contract InsuranceClaim is InferenceConsumer {
    enum State {
        None,
        Insured,
        Filed,
        Paid,
        Denied,
        Ended
    }

    /// @param end Unix time until which a claim can be filed.
    /// @param photo keccak256 of the packed words of the photo filed; a photo settles one claim only.
    struct Policy {
        State state;
        uint64 end;
        address holder;
        uint256 payout;
        bytes32 photo;
    }

    /// @notice A holder was insured.
    event Insured(uint256 indexed policyId, address indexed holder, uint256 payout, uint64 end);
    /// @notice A claim waits for its answer.
    event Filed(uint256 indexed policyId, bytes32 indexed requestId);
    /// @notice A policy is over: paid, denied or ended unclaimed.
    event Settled(uint256 indexed policyId, State outcome);

    /// @notice The caller is not the one who may do this.
    /// @dev Selector 0x8e4a23d6.
    error Unauthorized(address caller);
    /// @notice The policy's state does not allow this.
    /// @dev Selector 0x800b0615.
    error WrongState(uint256 policyId, State state);
    /// @notice The policy still runs.
    /// @dev Selector 0xc652ce3a.
    error NotEnded(uint256 policyId, uint64 end);
    /// @notice The policy ran out.
    /// @dev Selector 0x718526f3.
    error AlreadyEnded(uint256 policyId, uint64 end);
    /// @notice The photo was filed for another claim, or waits for its answer.
    /// @dev Selector 0x26e0594f.
    error PhotoUsed(bytes32 photo);
    /// @notice The model is not a classifier with one public input and one output.
    /// @dev Selector 0xd2890dca.
    error NotAClassifier(bytes32 modelDigest);

    uint32 private constant CALLBACK_GAS = 300_000;
    uint64 private constant ANSWER_WINDOW = 1 days;

    address public immutable insurer;
    address public immutable inspector;
    bytes32 public immutable modelDigest;
    bytes4 public immutable verifier;
    /// @notice The class that is paid for; of equal scores, the first class counts.
    uint256 public immutable coveredClass;
    uint256 private immutable _classes;
    uint256 private immutable _bits;

    uint256 public policies;
    mapping(uint256 policyId => Policy) public policyOf;
    mapping(bytes32 requestId => uint256 policyId) public policyOfRequest;
    mapping(bytes32 photo => bool) public photoUsed;
    /// @notice Ether that an account can take out.
    mapping(address account => uint256) public owed;

    constructor(
        IInferenceOracle oracle_,
        bytes32 modelDigest_,
        bytes4 verifier_,
        uint256 coveredClass_,
        // slither-disable-next-line missing-zero-check: without an inspector, no claim is filed.
        address inspector_
    ) InferenceConsumer(oracle_) {
        (insurer, inspector) = (msg.sender, inspector_);
        (modelDigest, verifier, coveredClass) = (modelDigest_, verifier_, coveredClass_);
        bytes memory blob = oracle_.registry().blob(modelDigest_);
        if (ModelLayout.inputWordCounts(modelDigest_, blob).length != 1 || ModelLayout.outputCount(blob) != 1) {
            revert NotAClassifier(modelDigest_);
        }
        KeyBlob.Tensor memory output = KeyBlob.tensor(blob, 1);
        (_classes, _bits) = (output.count, output.bits);
    }

    /// @notice Insures a holder until `end`; the ether sent is the payout, locked from now on.
    function insure(address holder, uint64 end) external payable returns (uint256 policyId) {
        if (msg.sender != insurer) revert Unauthorized(msg.sender);
        policyId = ++policies;
        policyOf[policyId] = Policy({state: State.Insured, end: end, holder: holder, payout: msg.value, photo: 0});
        emit Insured(policyId, holder, msg.value, end);
    }

    /// @notice Files the photo of a damage; the ether sent is the prover's fee.
    function file(uint256 policyId, uint256[] calldata photoWords) external payable returns (bytes32 requestId) {
        if (msg.sender != inspector) revert Unauthorized(msg.sender);
        _move(policyId, State.Insured, State.Filed);
        Policy storage policy = policyOf[policyId];
        if (block.timestamp > policy.end) revert AlreadyEnded(policyId, policy.end);
        bytes32 photo = keccak256(abi.encodePacked(photoWords));
        if (photoUsed[photo]) revert PhotoUsed(photo);
        photoUsed[photo] = true;
        policy.photo = photo;

        IInferenceOracle.Request memory request;
        request.modelDigest = modelDigest;
        request.inputs = new bytes32[](1);
        request.inputs[0] = photo;
        request.verifier = verifier;
        request.fee = msg.value;
        request.deadline = uint64(block.timestamp) + ANSWER_WINDOW;
        request.callbackGas = CALLBACK_GAS;
        // slither-disable-next-line reentrancy-benign,reentrancy-events: the id comes from the trusted oracle.
        requestId = _request(request, photoWords);
        policyOfRequest[requestId] = policyId;
        emit Filed(policyId, requestId);
    }

    /// @notice Ends a policy that ran out unclaimed; anyone may.
    function close(uint256 policyId) external {
        Policy storage policy = policyOf[policyId];
        if (block.timestamp <= policy.end) revert NotEnded(policyId, policy.end);
        _move(policyId, State.Insured, State.Ended);
        owed[insurer] += policy.payout;
        emit Settled(policyId, State.Ended);
    }

    /// @notice Takes out what the caller is owed.
    function withdraw() external {
        uint256 amount = owed[msg.sender];
        owed[msg.sender] = 0;
        Address.sendValue(payable(msg.sender), amount);
    }

    /// @notice Returns the fees of unanswered requests to the inspector, who paid them.
    function collectRefunds() external {
        _collectRefunds(address(0), inspector);
    }

    /// @inheritdoc InferenceConsumer
    function _onInference(bytes32 requestId, uint256[] calldata outputWords) internal override {
        uint256 policyId = policyOfRequest[requestId];
        bool covered = PublicWords.argMax(outputWords, _classes, _bits) == coveredClass;
        State outcome = covered ? State.Paid : State.Denied;
        _move(policyId, State.Filed, outcome);
        // Owed, not sent: a holder that refuses ether must not make the callback fail.
        owed[covered ? policyOf[policyId].holder : insurer] += policyOf[policyId].payout;
        emit Settled(policyId, outcome);
    }

    /// @inheritdoc InferenceConsumer
    function _onRefund(bytes32 requestId) internal override {
        uint256 policyId = policyOfRequest[requestId];
        _move(policyId, State.Filed, State.Insured);
        delete photoUsed[policyOf[policyId].photo];
    }

    function _move(uint256 policyId, State from, State to) private {
        State state = policyOf[policyId].state;
        if (state != from) revert WrongState(policyId, state);
        policyOf[policyId].state = to;
    }
}
