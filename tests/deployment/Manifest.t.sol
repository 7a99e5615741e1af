// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {InferenceOracle} from "../../contracts/InferenceOracle.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";

/// @notice A chain against its manifest, by other code than `zkslice deployments check`. Of the environment:
/// `RPC_URL`, the chain, and `MANIFEST`, the contents of `deployments/<chain id>.json`. Not among the other tests,
/// since it needs a chain: `FOUNDRY_TEST=tests/deployment script/forge test`; `tests/tests/deployments.rs` runs it.
contract ManifestTest is Test {
    address private constant FACTORY = 0x4e59b44847b379578588920cA78FbF26c0B4956C;

    string private manifest;
    ModelRegistry private registry;
    IBundleVerifier private verifier;
    InferenceOracle private oracle;

    function setUp() public {
        vm.createSelectFork(vm.envString("RPC_URL"));
        manifest = vm.envString("MANIFEST");
        registry = ModelRegistry(vm.parseJsonAddress(manifest, ".model_registry.address"));
        verifier = IBundleVerifier(vm.parseJsonAddress(manifest, ".bundle_verifier.address"));
        oracle = InferenceOracle(vm.parseJsonAddress(manifest, ".inference_oracle.address"));
    }

    function test_ChainIsTheManifests() public {
        // Of the node, not `block.chainid`, which foundry.toml sets.
        bytes memory chainId = vm.rpc("eth_chainId", "[]");
        assertEq(uint256(bytes32(chainId)) >> (256 - 8 * chainId.length), vm.parseJsonUint(manifest, ".chain_id"));
    }

    /// Code and address of each contract; the address follows from salt and init code alone, on any chain.
    function test_ContractsAreTheManifests() public view {
        string[3] memory contracts = [".model_registry", ".bundle_verifier", ".inference_oracle"];
        for (uint256 i = 0; i < contracts.length; ++i) {
            address deployed = vm.parseJsonAddress(manifest, string.concat(contracts[i], ".address"));
            assertEq(
                deployed.codehash,
                vm.parseJsonBytes32(manifest, string.concat(contracts[i], ".code_hash")),
                contracts[i]
            );
            bytes32 salt = vm.parseJsonBytes32(manifest, string.concat(contracts[i], ".salt"));
            bytes32 initCodeHash = vm.parseJsonBytes32(manifest, string.concat(contracts[i], ".init_code_hash"));
            assertEq(deployed, vm.computeCreate2Address(salt, initCodeHash, FACTORY), contracts[i]);
        }
    }

    function test_PartsBelongTogether() public view {
        assertEq(address(verifier.registry()), address(registry));
        assertEq(address(oracle.registry()), address(registry));
        bytes4 selector = bytes4(vm.parseJsonBytes(manifest, ".verifier.selector"));
        assertEq(verifier.selector(), selector);
        assertEq(registry.verifierOf(selector), address(verifier));
        assertEq(vm.parseJsonAddress(manifest, ".verifier.address"), address(verifier));
    }

    function test_RolesAreTheManifests() public view {
        assertEq(registry.owner(), vm.parseJsonAddress(manifest, ".parameters.owner"));
        assertEq(registry.guardian(), vm.parseJsonAddress(manifest, ".parameters.guardian"));
        assertEq(registry.delay(), vm.parseJsonUint(manifest, ".parameters.delay"));
        assertFalse(registry.frozen());
    }

    function test_ModelsServe() public view {
        string[] memory digests = vm.parseJsonKeys(manifest, ".models");
        assertGt(digests.length, 0);
        for (uint256 i = 0; i < digests.length; ++i) {
            string memory path = string.concat(".models.", digests[i]);
            IModelRegistry.ModelInfo memory info = registry.modelInfo(vm.parseBytes32(digests[i]));
            assertEq(uint256(info.status), uint256(IModelRegistry.Status.Active));
            assertEq(info.setupDigest, vm.parseJsonBytes32(manifest, string.concat(path, ".setup_digest")));
            assertEq(info.dev, vm.parseJsonBool(manifest, string.concat(path, ".dev")));
            assertEq(info.transcriptHash, vm.parseJsonBytes32(manifest, string.concat(path, ".transcript_hash")));
        }
    }
}
