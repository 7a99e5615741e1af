// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {BundleVerifier} from "../../../contracts/BundleVerifier.sol";
import {InferenceOracle} from "../../../contracts/InferenceOracle.sol";
import {IBundleVerifier} from "../../../contracts/interfaces/IBundleVerifier.sol";
import {Registered} from "./Registered.sol";

/// @notice Registry and verifier, and the oracle at the address that fixtures are bound to.
abstract contract Deployed is Registered {
    bytes4 internal constant VERIFIER = 0x00000001;

    BundleVerifier internal verifier;
    InferenceOracle internal oracle;

    function setUp() public virtual override {
        super.setUp();
        verifier = new BundleVerifier(registry);
        registry.addVerifier(VERIFIER, address(verifier));
        oracle = InferenceOracle(vm.parseJsonAddress(readFixture("single"), ".oracle"));
        // The oracle's constructor writes immutables only, so its code is all there is to it.
        vm.etch(address(oracle), address(new InferenceOracle(registry)).code);
    }

    function verify(bytes32 digest, Bundle memory bundle) internal view {
        verifier.verifyBundle(
            IBundleVerifier.Bundle({
                modelDigest: digest,
                context: bundle.context,
                owner: bundle.owner,
                coverage: 0,
                words: bundle.words,
                commitments: bundle.commitments,
                proofs: bundle.proofs
            })
        );
    }
}
