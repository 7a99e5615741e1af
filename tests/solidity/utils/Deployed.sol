// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {BundleVerifier} from "../../../contracts/BundleVerifier.sol";
import {InferenceOracle} from "../../../contracts/InferenceOracle.sol";
import {IBundleVerifier} from "../../../contracts/interfaces/IBundleVerifier.sol";
import {Registered} from "./Registered.sol";
import {deploy} from "./Deploy.sol";

/// @notice Registry and verifier, and the oracle at the address that fixtures are bound to.
abstract contract Deployed is Registered {
    bytes4 internal constant VERIFIER = 0x00000001;

    BundleVerifier internal verifier;
    InferenceOracle internal oracle;

    function setUp() public virtual override {
        super.setUp();
        verifier = BundleVerifier(deploy("BundleVerifier", abi.encode(registry, VERIFIER)));
        registry.addVerifier(VERIFIER, address(verifier));
        oracle = InferenceOracle(vm.parseJsonAddress(readFixture("single"), ".oracle"));
        // The oracle's constructor writes immutables only, so its code is all there is to it.
        vm.etch(address(oracle), deploy("InferenceOracle", abi.encode(registry)).code);
    }

    function verify(bytes32 digest, Bundle memory bundle) internal view {
        verifier.verifyBundle(covering(digest, bundle, 0));
    }

    /// @notice The bundle with the proofs of the slices covered only; 0 for all.
    function covering(bytes32 digest, Bundle memory bundle, uint256 coverage)
        internal
        pure
        returns (IBundleVerifier.Bundle memory)
    {
        uint256[] memory proofs = bundle.proofs;
        if (coverage != 0) {
            proofs = new uint256[](bundle.proofs.length);
            uint256 count;
            for (uint256 i = 0; i < proofs.length; ++i) {
                if ((coverage >> (i / 10)) & 1 == 1) proofs[count++] = bundle.proofs[i];
            }
            assembly ("memory-safe") {
                mstore(proofs, count)
            }
        }
        return IBundleVerifier.Bundle({
            modelDigest: digest,
            context: bundle.context,
            owner: bundle.owner,
            coverage: coverage,
            words: bundle.words,
            commitments: bundle.commitments,
            proofs: proofs
        });
    }
}
