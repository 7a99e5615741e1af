// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {BundleVerifier} from "../../../contracts/BundleVerifier.sol";
import {InferenceOracle} from "../../../contracts/InferenceOracle.sol";
import {ModelRegistry} from "../../../contracts/ModelRegistry.sol";
import {Simulator} from "./Simulator.sol";

/// @notice Registry and verifier, and the oracle at the address that fixtures are bound to.
abstract contract Deployed is Simulator {
    uint256 internal constant MAX_CHUNK = 24_575;

    ModelRegistry internal registry;
    BundleVerifier internal verifier;
    InferenceOracle internal oracle;

    function setUp() public virtual {
        registry = new ModelRegistry(address(this));
        verifier = new BundleVerifier(registry);
        oracle = InferenceOracle(vm.parseJsonAddress(readFixture("single"), ".oracle"));
        // The oracle's constructor writes immutables only, so its code is all there is to it.
        vm.etch(address(oracle), address(new InferenceOracle(registry, verifier)).code);
        vm.warp(1_800_000_000);
    }

    function install(string memory name) internal returns (Model memory model) {
        model = loadModel(name);
        assertEq(register(model.blob), model.digest, "digest");
    }

    function writeChunks(bytes memory blob) internal returns (bytes32[] memory hashes) {
        hashes = new bytes32[]((blob.length + MAX_CHUNK - 1) / MAX_CHUNK);
        for (uint256 i = 0; i < hashes.length; ++i) {
            uint256 size = blob.length - i * MAX_CHUNK;
            bytes memory chunk = new bytes(size < MAX_CHUNK ? size : MAX_CHUNK);
            for (uint256 j = 0; j < chunk.length; ++j) {
                chunk[j] = blob[i * MAX_CHUNK + j];
            }
            (hashes[i],) = registry.writeChunk(chunk);
        }
    }

    function register(bytes memory blob) internal returns (bytes32) {
        return registry.register(writeChunks(blob));
    }

    function verify(bytes32 digest, Bundle memory bundle) internal view {
        verifier.verifyBundle(digest, bundle.context, bundle.owner, bundle.words, bundle.commitments, bundle.proofs);
    }
}
