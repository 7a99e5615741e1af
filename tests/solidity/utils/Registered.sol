// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {ModelRegistry} from "../../../contracts/ModelRegistry.sol";
import {Simulator} from "./Simulator.sol";
import {deploy} from "./Deploy.sol";

/// @notice A registry in which everything serves at once, owned and guarded by the test.
abstract contract Registered is Simulator {
    uint256 internal constant MAX_CHUNK = 24_575;
    bytes32 internal constant TRANSCRIPT = keccak256("transcript");

    ModelRegistry internal registry;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        registry = ModelRegistry(deploy("ModelRegistry", abi.encode(address(this), address(this), 0)));
    }

    function install(string memory name) internal returns (Model memory model) {
        model = loadModel(name);
        assertEq(register(model.blob), model.digest, "digest");
    }

    function register(bytes memory blob) internal returns (bytes32) {
        return registry.register(writeChunks(blob), wordAt(blob, 5) == 1 ? bytes32(0) : TRANSCRIPT);
    }

    function writeChunks(bytes memory blob) internal returns (bytes32[] memory hashes) {
        hashes = new bytes32[]((blob.length + MAX_CHUNK - 1) / MAX_CHUNK);
        for (uint256 i = 0; i < hashes.length; ++i) {
            uint256 size = blob.length - i * MAX_CHUNK;
            bytes memory chunk = new bytes(size < MAX_CHUNK ? size : MAX_CHUNK);
            uint256 start = i * MAX_CHUNK;
            assembly ("memory-safe") {
                mcopy(add(chunk, 0x20), add(add(blob, 0x20), start), mload(chunk))
            }
            (hashes[i],) = registry.writeChunk(chunk);
        }
    }
}
