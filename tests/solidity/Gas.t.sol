// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {console2} from "forge-std/console2.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @notice Gas of whole transactions: `script/forge test --match-contract GasTest -vv`.
/// forge-config: default.isolate = true
contract GasTest is Deployed {
    /// One slice with 26 words in and one word out, straight to the verifier, and what each further slice adds.
    function test_VerifyBundle() public {
        uint256 single = _verifyBundle("single");
        console2.log("verifyBundle, 1 slice, 26 + 1 words:", single);
        uint256 pair = _verifyBundle("pair");
        console2.log("verifyBundle, 2 slices, 26 + 1 words:", pair);
        uint256 chain = _verifyBundle("chain");
        console2.log("verifyBundle, 3 slices, 26 + 1 words:", chain);
        console2.log("verifyBundle, 2 slices, private input:", _verifyBundle("private"));
        assertLt(single, 300_000);
        // The second slice brings the first ρ that is not 1, and with it the multiplication of α.
        assertLt(pair - single, 175_000);
        assertLt(chain - pair, 175_000);
    }

    function test_RequestFulfilWithdraw() public {
        Model memory model = install("single");
        Bundle memory bundle = loadBundle("single");
        string memory json = readFixture("single");
        address requester = vm.parseJsonAddress(json, ".requester");
        address beneficiary = vm.parseJsonAddress(json, ".beneficiary");
        IInferenceOracle.Request memory request;
        request.modelDigest = model.digest;
        request.inputs = vm.parseJsonBytes32Array(json, ".request.inputs");
        request.fee = vm.parseJsonUint(json, ".request.fee");
        request.deadline = uint64(vm.parseJsonUint(json, ".request.deadline"));

        uint256[] memory inputWords = new uint256[](26);
        for (uint256 i = 0; i < 26; ++i) {
            inputWords[i] = bundle.words[i];
        }
        vm.deal(requester, 1 ether);
        vm.startPrank(requester);
        bytes memory data = abi.encodeCall(IInferenceOracle.request, (request, inputWords));
        console2.log("request:", _gasOf(address(oracle), data, request.fee));
        vm.stopPrank();
        data = abi.encodeCall(
            IInferenceOracle.fulfil,
            (request, requester, 0, beneficiary, bundle.words, bundle.commitments, bundle.proofs)
        );
        uint256 fulfil = _gasOf(address(oracle), data, 0);
        console2.log("fulfil, 1 slice, 26 + 1 words, first of its kind:", fulfil);
        assertLt(fulfil, 400_000);
        vm.startPrank(beneficiary);
        console2.log("withdraw:", _gasOf(address(oracle), abi.encodeCall(IInferenceOracle.withdraw, ()), 0));
    }

    function _verifyBundle(string memory name) private returns (uint256) {
        Model memory model = install(name);
        Bundle memory bundle = loadBundle(name);
        bytes memory data = abi.encodeCall(
            IBundleVerifier.verifyBundle,
            (model.digest, bundle.context, bundle.owner, bundle.words, bundle.commitments, bundle.proofs)
        );
        return _gasOf(address(verifier), data, 0);
    }

    /// Gas that a transaction pays, with its 21,000, its calldata, and every account and slot cold but the target:
    /// the call is one of its own, since this contract runs isolated.
    function _gasOf(address target, bytes memory data, uint256 value) private returns (uint256) {
        (bool ok,) = target.call{value: value}(data);
        assertTrue(ok);
        return vm.lastCallGas().gasTotalUsed;
    }
}
