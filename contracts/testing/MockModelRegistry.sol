// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {KeyBlob} from "../libraries/KeyBlob.sol";
import {ModelLayout} from "../libraries/ModelLayout.sol";

/// @title FOR TESTS ONLY: stands in for a registry beside `MockInferenceOracle`
/// @notice Answers what consumers and feeds ask of a registry, and nothing else. Every model and verifier serves until
/// the test stops it. It cannot be deployed but on a local chain, as `MockInferenceOracle`.
contract MockModelRegistry {
    /// @notice The chain is not a local one.
    /// @dev Selector 0x77cfdcb8.
    error TestOnly(uint256 chainId);

    mapping(bytes32 modelDigest => bytes) private _headers;
    mapping(bytes32 modelDigest => IModelRegistry.Status) private _modelStatus;
    mapping(bytes4 selector => IModelRegistry.Status) private _verifierStatus;

    constructor() {
        bool local = block.chainid == 1337 || (block.chainid >= 31_337 && block.chainid <= 31_346);
        if (!local) revert TestOnly(block.chainid);
    }

    /// @notice Says how a model's tensors are packed: inputs, then outputs, in graph order.
    function setModel(bytes32 modelDigest, KeyBlob.Tensor[] calldata tensors) external {
        bytes memory layout;
        for (uint256 t = 0; t < tensors.length; ++t) {
            layout = bytes.concat(layout, abi.encode(tensors[t]));
        }
        setModel(modelDigest, layout);
    }

    /// @notice The same, as the library that `zkslice export` writes has it.
    /// @param layout The library's `LAYOUT`.
    function setModel(bytes32 modelDigest, bytes memory layout) public {
        // A header of no slices; readers of layouts look no further.
        uint256 tensors = layout.length / (32 * KeyBlob.TENSOR_WORDS);
        _headers[modelDigest] = bytes.concat(abi.encode(KeyBlob.MODEL_TAG, 0, tensors, 0, 0, 1, 0), layout);
    }

    /// @notice Stops a model, or lets it wait or serve again.
    function setModelStatus(bytes32 modelDigest, IModelRegistry.Status status) external {
        _modelStatus[modelDigest] = status;
    }

    /// @notice Stops a verifier, or lets it wait or serve again.
    function setVerifierStatus(bytes4 selector, IModelRegistry.Status status) external {
        _verifierStatus[selector] = status;
    }

    /// @notice As `IModelRegistry.blob`, without records.
    function blob(bytes32 modelDigest) external view returns (bytes memory) {
        if (_headers[modelDigest].length == 0) revert IModelRegistry.NotRegistered(modelDigest);
        return _headers[modelDigest];
    }

    /// @notice As `IModelRegistry.modelStatus`.
    function modelStatus(bytes32 modelDigest) public view returns (IModelRegistry.Status) {
        return _orActive(_modelStatus[modelDigest]);
    }

    /// @notice As `IModelRegistry.verifierOf`; the address is this contract's.
    function verifierOf(bytes4 selector) external view returns (address) {
        _requireVerifier(selector);
        return address(this);
    }

    /// @notice As `IModelRegistry.verifierStatus`; it always served.
    function verifierStatus(bytes4 selector) external view returns (IModelRegistry.Status, address, uint64) {
        return (_orActive(_verifierStatus[selector]), address(this), 0);
    }

    /// @notice Reverts unless model and verifier serve.
    /// @return inputWords Words of the model's public inputs, or 0 if the test did not say how it is packed.
    function requireServing(bytes32 modelDigest, bytes4 verifier) external view returns (uint256 inputWords) {
        IModelRegistry.Status status = modelStatus(modelDigest);
        if (status != IModelRegistry.Status.Active) revert IModelRegistry.ModelNotActive(modelDigest, status);
        _requireVerifier(verifier);
        bytes memory header = _headers[modelDigest];
        if (header.length == 0) return 0;
        uint256 inputs = ModelLayout.inputCount(header);
        for (uint256 i = 0; i < inputs; ++i) {
            KeyBlob.Tensor memory tensor = KeyBlob.tensor(header, i);
            if (tensor.kind == KeyBlob.KIND_PUBLIC_INPUT) inputWords += KeyBlob.wordsOf(tensor.count, tensor.bits);
        }
    }

    function _requireVerifier(bytes4 selector) private view {
        IModelRegistry.Status status = _orActive(_verifierStatus[selector]);
        if (status != IModelRegistry.Status.Active) revert IModelRegistry.VerifierNotActive(selector, status);
    }

    function _orActive(IModelRegistry.Status status) private pure returns (IModelRegistry.Status) {
        return status == IModelRegistry.Status.None ? IModelRegistry.Status.Active : status;
    }
}
