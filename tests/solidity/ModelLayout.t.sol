// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {KeyBlob} from "../../contracts/libraries/KeyBlob.sol";
import {ModelLayout} from "../../contracts/libraries/ModelLayout.sol";
import {Mocked} from "./utils/Mocked.sol";

/// @notice As a consumer's constructor does it.
contract Consumer {
    constructor(IModelRegistry registry, bytes32 modelDigest, bytes memory layout) {
        ModelLayout.requireSame(registry, modelDigest, layout);
    }
}

contract ModelLayoutTest is Mocked {
    KeyBlob.Tensor[] private tensors;

    function setUp() public override {
        super.setUp();
        tensors.push(KeyBlob.Tensor(KeyBlob.KIND_PUBLIC_INPUT, 784, 8, 0, 5, 6));
        tensors.push(KeyBlob.Tensor(KeyBlob.KIND_OUTPUT, 10, 11, 1024, 7, 18));
        registry.setModel(MODEL, tensors);
    }

    /// @dev Records of tensors, as an exported library has them.
    function _layout(KeyBlob.Tensor[] memory list) private pure returns (bytes memory layout) {
        for (uint256 t = 0; t < list.length; ++t) {
            layout = bytes.concat(layout, abi.encode(list[t]));
        }
    }

    function _refuse(bytes memory layout, uint256 tensor) private {
        vm.expectRevert(abi.encodeWithSelector(ModelLayout.LayoutMismatch.selector, MODEL, tensor));
        new Consumer(IModelRegistry(address(registry)), MODEL, layout);
    }

    function test_TheModelsLayoutPasses() public {
        bytes memory layout = _layout(tensors);
        new Consumer(IModelRegistry(address(registry)), MODEL, layout);
        // The mock takes either form.
        bytes memory blob = registry.blob(MODEL);
        registry.setModel(MODEL, layout);
        assertEq(registry.blob(MODEL), blob);
        // Boundaries are of no concern.
        tensors.push(KeyBlob.Tensor(KeyBlob.KIND_BOUNDARY, 3, 8, 0, 0, 0));
        registry.setModel(MODEL, tensors);
        new Consumer(IModelRegistry(address(registry)), MODEL, layout);
    }

    /// By 25 bits where the model has 11, class 8 would be read as class 0.
    function test_RevertWhen_AnyFieldDiffers() public {
        for (uint256 t = 0; t < 2; ++t) {
            for (uint256 field = 0; field < KeyBlob.TENSOR_WORDS; ++field) {
                bytes memory layout = _layout(tensors);
                layout[32 * (KeyBlob.TENSOR_WORDS * t + field) + 31] ^= 0x01;
                _refuse(layout, t);
            }
        }
    }

    function test_RevertWhen_TensorsAreMissingOrLeftOver() public {
        bytes memory layout = _layout(tensors);
        _refuse("", 0);
        _refuse(bytes.concat(layout, abi.encode(tensors[1])), 2);
        tensors.pop();
        _refuse(_layout(tensors), 1);
    }

    function test_RevertWhen_TheModelIsNotRegistered() public {
        bytes memory layout = _layout(tensors);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotRegistered.selector, bytes32(uint256(1))));
        new Consumer(IModelRegistry(address(registry)), bytes32(uint256(1)), layout);
    }
}
