// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {BundleVerifier} from "../../../contracts/BundleVerifier.sol";
import {IBundleVerifier} from "../../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../../contracts/interfaces/IModelRegistry.sol";
import {Jobs} from "../utils/Jobs.sol";
import {deploy} from "../utils/Deploy.sol";

/// @notice Two verifiers of one code under two selectors: neither is told what the other is, and to stop one leaves the
/// other as it was.
contract TwoVerifiersTest is Jobs {
    bytes4 private constant OTHER = 0x00000002;

    bytes32 private digest;
    BundleVerifier private other;

    function setUp() public override {
        super.setUp();
        digest = install("single").digest;
        other = BundleVerifier(deploy("BundleVerifier", abi.encode(registry, OTHER)));
        registry.addVerifier(OTHER, address(other));
    }

    function test_EachIsToldUnderItsOwnSelectorOnly() public {
        (address[2] memory verifiers, bytes4[2] memory selectors) =
            ([address(verifier), address(other)], [VERIFIER, OTHER]);
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(verifiers[i]);
            assertEq(registry.chunksFor(selectors[i], digest), registry.chunks(digest));
            vm.prank(verifiers[i]);
            _expectNotActive(selectors[1 - i], IModelRegistry.Status.None);
            registry.chunksFor(selectors[1 - i], digest);
        }
        // Of a selector without a verifier, nobody is the verifier, not even the account that nobody is.
        vm.prank(address(0));
        _expectNotActive(0x00000003, IModelRegistry.Status.None);
        registry.chunksFor(0x00000003, digest);
    }

    function test_TheOtherServesOn() public {
        Model memory model = loadModel("single");
        Job[] memory jobs = new Job[](2);
        for (uint256 i = 0; i < 2; ++i) {
            jobs[i] = draft("single");
            if (i == 1) jobs[i].request.verifier = OTHER;
            jobs[i] = prove(model, open(jobs[i]));
        }
        registry.tombstoneVerifier(VERIFIER);
        IBundleVerifier.Bundle memory first = covering(digest, loadBundle("single"), 0);
        _expectNotActive(VERIFIER, IModelRegistry.Status.Tombstoned);
        verifier.verifyBundle(first);
        other.verifyBundle(first);

        vm.expectEmit(address(oracle));
        emit IInferenceOracle.FulfilmentSkipped(jobs[0].id, IInferenceOracle.SkipReason.Stopped);
        fulfilBatch(jobs);
        assertTrue(oracle.status(jobs[1].id) == IInferenceOracle.Status.Fulfilled);
        oracle.refund(jobs[0].request, jobs[0].requester, jobs[0].nonce);

        Bundle memory statement = loadBundle("single");
        statement.words[26] ^= 1;
        statement.proofs = simulate(model, statement, 1);
        IBundleVerifier.Bundle memory second = covering(digest, statement, 0);
        _expectNotActive(VERIFIER, IModelRegistry.Status.Tombstoned);
        registry.reportEquivocation(VERIFIER, first, second);
        registry.reportEquivocation(OTHER, first, second);
        assertTrue(registry.modelStatus(digest) == IModelRegistry.Status.Tombstoned);
    }

    function _expectNotActive(bytes4 selector, IModelRegistry.Status status) private {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.VerifierNotActive.selector, selector, status));
    }
}
