// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {InferenceConsumer} from "../consumers/InferenceConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {KeyBlob} from "../libraries/KeyBlob.sol";
import {ModelLayout} from "../libraries/ModelLayout.sol";
import {PublicWords} from "../libraries/PublicWords.sol";

/// @title Example: a contract that asks which digit an image shows
/// @notice Requests an inference of a classifier with one input and one output, and stores the class when it is
/// called back. The scores are a feed of the oracle's as well, with this contract as its source.
/// @dev Only the owner requests. A proof says that the model answers so on this image, not that the image is worth
/// asking about: if anyone could ask here, anyone could choose an image for the answer they want, and the feed would
/// serve it.
contract DigitConsumer is InferenceConsumer, Ownable {
    /// @notice A classified image.
    /// @param known Whether the request is one of ours that was fulfilled.
    /// @param class Index of the largest output; of several, the first.
    struct Classification {
        bool known;
        uint248 class;
    }

    /// @notice An image was classified.
    event DigitClassified(bytes32 indexed requestId, uint256 class);

    /// @notice The model is not a classifier with one input and one output.
    /// @dev Selector 0xd2890dca.
    error NotAClassifier(bytes32 modelDigest);

    /// @dev Gas of the callback: some to store the class, and some for each score looked at.
    uint256 private constant GAS_TO_STORE = 190_000;
    uint256 private constant GAS_PER_CLASS = 1000;
    /// @dev Rounds that the feed keeps.
    uint16 private constant FEED_CAPACITY = 16;

    /// @notice Gas that the callback is given.
    uint32 public immutable CALLBACK_GAS;

    bytes32 public immutable modelDigest;
    /// @notice Selector of the verifier that decides.
    bytes4 public immutable verifier;
    /// @notice Number of classes.
    uint256 public immutable classes;
    /// @notice Bits of a class's score.
    uint256 public immutable bits;

    mapping(bytes32 requestId => Classification) private _classifications;

    constructor(IInferenceOracle oracle_, bytes32 modelDigest_, bytes4 verifier_)
        InferenceConsumer(oracle_)
        Ownable(msg.sender)
    {
        modelDigest = modelDigest_;
        verifier = verifier_;
        bytes memory blob = oracle_.registry().blob(modelDigest_);
        if (ModelLayout.inputCount(blob) != 1 || ModelLayout.outputCount(blob) != 1) {
            revert NotAClassifier(modelDigest_);
        }
        KeyBlob.Tensor memory output = KeyBlob.tensor(blob, 1);
        classes = output.count;
        bits = output.bits;
        CALLBACK_GAS = SafeCast.toUint32(GAS_TO_STORE + GAS_PER_CLASS * output.count);
        // slither-disable-next-line unused-return: the feed's id follows from model, verifier and source.
        oracle_.openFeed(modelDigest_, verifier_, FEED_CAPACITY, 0);
    }

    /// @notice Requests the class of an image given as public words; the ether sent is the fee.
    function classify(uint256[] calldata words, uint64 deadline)
        external
        payable
        onlyOwner
        returns (bytes32 requestId)
    {
        return _ask(keccak256(abi.encodePacked(words)), words, deadline);
    }

    /// @notice Requests the class of an image known to the prover only by its commitment; the ether sent is the fee.
    /// @dev The commitment's owner is this contract: `oracle.inputOwnerOf(modelDigest, address(this))`.
    function classifyCommitted(bytes32 commitment, uint64 deadline)
        external
        payable
        onlyOwner
        returns (bytes32 requestId)
    {
        return _ask(commitment, new uint256[](0), deadline);
    }

    /// @notice The class of an image, once known.
    function classOf(bytes32 requestId) external view returns (bool known, uint256 class) {
        Classification memory classification = _classifications[requestId];
        return (classification.known, classification.class);
    }

    /// @notice Collects the fees of refunded requests for the owner.
    function collectRefunds() external onlyOwner {
        _collectRefunds(address(0), owner());
    }

    function _ask(bytes32 input, uint256[] memory words, uint64 deadline) private returns (bytes32) {
        IInferenceOracle.Request memory request;
        request.modelDigest = modelDigest;
        request.inputs = new bytes32[](1);
        request.inputs[0] = input;
        request.verifier = verifier;
        request.fee = msg.value;
        request.deadline = deadline;
        request.callbackGas = CALLBACK_GAS;
        return _request(request, words);
    }

    /// @inheritdoc InferenceConsumer
    function _onInference(bytes32 requestId, uint256[] calldata outputWords) internal override {
        uint256 class = PublicWords.argMax(outputWords, classes, bits);
        _classifications[requestId] = Classification({known: true, class: SafeCast.toUint248(class)});
        emit DigitClassified(requestId, class);
    }
}
