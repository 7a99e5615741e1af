// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {KeyBlob} from "../libraries/KeyBlob.sol";
import {PublicWords} from "../libraries/PublicWords.sol";

/// @title Example: a contract that asks which digit an image shows
/// @notice Requests an inference of a classifier with one input and one output, and stores the class when it is
/// called back.
/// @dev Only the owner requests. A proof says that the model answers so on this image, not that the image is worth
/// asking about: if anyone could ask here, anyone could choose an image for the answer they want, and a feed over this
/// contract's requests would serve it.
contract DigitConsumer is IInferenceConsumer, Ownable {
    /// @notice A classified image.
    /// @param known Whether the request is one of ours that was fulfilled.
    /// @param class Index of the largest output; of several, the first.
    struct Classification {
        bool known;
        uint248 class;
    }

    /// @notice An image was classified.
    event DigitClassified(bytes32 indexed requestId, uint256 class);

    /// @notice The caller is not the oracle.
    /// @dev Selector 0xdf4f8240.
    error NotOracle(address caller);
    /// @notice The request is not one of this contract's, or was answered already.
    /// @dev Selector 0x7bbe34c9.
    error UnknownRequest(bytes32 requestId);
    /// @notice The model is not a classifier with one input and one output.
    /// @dev Selector 0xd2890dca.
    error NotAClassifier(bytes32 modelDigest);
    /// @notice The owner refused its ether.
    /// @dev Selector 0x90b8ec18.
    error TransferFailed();

    /// @dev Gas of the callback: some to store the class, and some for each score looked at.
    uint256 private constant GAS_TO_STORE = 190_000;
    uint256 private constant GAS_PER_CLASS = 1000;

    /// @notice Gas that the callback is given.
    uint32 public immutable CALLBACK_GAS;

    IInferenceOracle public immutable oracle;
    bytes32 public immutable modelDigest;
    /// @notice Number of classes.
    uint256 public immutable classes;
    /// @notice Bits of a class's score.
    uint256 public immutable bits;

    /// @notice Whether a request waits for its answer.
    mapping(bytes32 requestId => bool) public pending;
    mapping(bytes32 requestId => Classification) private _classifications;

    constructor(IInferenceOracle oracle_, bytes32 modelDigest_) Ownable(msg.sender) {
        oracle = oracle_;
        modelDigest = modelDigest_;
        bytes memory blob = oracle_.registry().blob(modelDigest_);
        uint256 tensors = KeyBlob.tensorCount(blob);
        bool single = KeyBlob.tensor(blob, 1).kind == KeyBlob.KIND_OUTPUT
            && (tensors == 2 || KeyBlob.tensor(blob, 2).kind == KeyBlob.KIND_BOUNDARY);
        if (!single) revert NotAClassifier(modelDigest_);
        KeyBlob.Tensor memory output = KeyBlob.tensor(blob, 1);
        classes = output.count;
        bits = output.bits;
        CALLBACK_GAS = SafeCast.toUint32(GAS_TO_STORE + GAS_PER_CLASS * output.count);
    }

    /// @notice Requests the class of an image given as public words; the ether sent is the fee.
    function classify(uint256[] calldata words, uint64 deadline)
        external
        payable
        onlyOwner
        returns (bytes32 requestId)
    {
        return _request(keccak256(abi.encodePacked(words)), words, deadline);
    }

    /// @notice Requests the class of an image known to the prover only by its commitment; the ether sent is the fee.
    /// @dev The commitment's owner is this contract: `oracle.inputOwnerOf(modelDigest, address(this))`.
    function classifyCommitted(bytes32 commitment, uint64 deadline)
        external
        payable
        onlyOwner
        returns (bytes32 requestId)
    {
        return _request(commitment, new uint256[](0), deadline);
    }

    /// @inheritdoc IInferenceConsumer
    function onInference(bytes32 requestId, bytes32, uint256[] calldata outputWords) external {
        if (msg.sender != address(oracle)) revert NotOracle(msg.sender);
        if (!pending[requestId]) revert UnknownRequest(requestId);
        delete pending[requestId];
        uint256 class = PublicWords.argMax(outputWords, classes, bits);
        _classifications[requestId] = Classification({known: true, class: SafeCast.toUint248(class)});
        emit DigitClassified(requestId, class);
    }

    /// @notice The class of an image, once known.
    function classOf(bytes32 requestId) external view returns (bool known, uint256 class) {
        Classification memory classification = _classifications[requestId];
        return (classification.known, classification.class);
    }

    /// @notice Collects the fees of refunded requests and passes them to the owner.
    function collectRefunds() external onlyOwner {
        oracle.withdraw();
        (bool ok,) = owner().call{value: address(this).balance}("");
        if (!ok) revert TransferFailed();
    }

    receive() external payable {
        if (msg.sender != address(oracle)) revert NotOracle(msg.sender);
    }

    function _request(bytes32 input, uint256[] memory words, uint64 deadline) private returns (bytes32 requestId) {
        bytes32[] memory inputs = new bytes32[](1);
        inputs[0] = input;
        requestId = oracle.request{value: msg.value}(
            IInferenceOracle.Request({
                modelDigest: modelDigest,
                inputs: inputs,
                minCoverage: 0,
                feeToken: address(0),
                fee: msg.value,
                deadline: deadline,
                callback: address(this),
                callbackGas: CALLBACK_GAS
            }),
            words
        );
        pending[requestId] = true;
    }
}
