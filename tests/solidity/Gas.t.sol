// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {console2} from "forge-std/console2.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {Jobs} from "./utils/Jobs.sol";

/// @notice Gas of whole transactions, with their 21,000 and calldata of full entropy; docs/gas.md:
/// `script/forge test --match-contract GasTest -vv`.
/// `make snapshots` writes them into snapshots/gas.json, and every run compares.
/// forge-config: default.isolate = true
contract GasTest is Jobs {
    /// One slice with 26 words in and one word out, straight to the verifier, and what each further slice adds.
    function test_VerifyBundle() public {
        uint256 single = _verifyBundle("single");
        _record("verifyBundle, 1 slice, 26 + 1 words", single);
        uint256 pair = _verifyBundle("pair");
        _record("verifyBundle, 2 slices, 26 + 1 words", pair);
        uint256 chain = _verifyBundle("chain");
        _record("verifyBundle, 3 slices, 26 + 1 words", chain);
        _record("verifyBundle, 2 slices, private input", _verifyBundle("private"));
        assertLt(single, 300_000);
        // The second slice brings the first ρ that is not 1, and with it the multiplication of α.
        assertLt(pair - single, 175_000);
        assertLt(chain - pair, 165_000);
    }

    /// One slice, a committed input, a beneficiary who has credits, no callback; alone, and in a batch of 16.
    function test_FulfilOneSliceOfACommittedInput() public {
        (uint256 single, uint256 each) = _fulfilCommitted("narrow");
        _record("fulfil, 1 slice, committed input, 1 word out", single);
        _record("fulfilBatch of 16 such, each", each);
        assertLt(single, 327_000);
        assertLt(each, 105_500);
        (single, each) = _fulfilCommitted("wide");
        _record("fulfil, 1 slice, committed input, 16 words out", single);
        _record("fulfilBatch of 16 such, each, 16 words out", each);
        assertLt(single, 340_000);
        assertLt(each, 118_500);
    }

    function _fulfilCommitted(string memory name) private returns (uint256 single, uint256 each) {
        Job[] memory jobs = _jobs(install(name), name, 18);
        fulfil(jobs[0]);
        single = _gasOf(address(oracle), abi.encodeCall(IInferenceOracle.fulfil, (fulfilmentOf(jobs[1]))), 0);
        Job[] memory rest = new Job[](16);
        for (uint256 i = 0; i < 16; ++i) {
            rest[i] = jobs[i + 2];
        }
        each = _gasOf(address(oracle), abi.encodeCall(IInferenceOracle.fulfilBatch, (fulfilmentsOf(rest))), 0) / 16;
    }

    function test_Request() public {
        string[2] memory names = ["single", "narrow"];
        for (uint256 i = 0; i < 2; ++i) {
            install(names[i]);
            Job memory job = open(draft(names[i]));
            fund(job);
            bytes memory data = abi.encodeCall(IInferenceOracle.request, (job.request, inputWords(job)));
            vm.prank(job.requester);
            _record(
                i == 0 ? "request, 26 words in" : "request, committed input",
                _gasOf(address(oracle), data, job.request.fee)
            );
        }
    }

    function test_FulfilFurtherSlices() public {
        uint256[3] memory gas;
        string[3] memory names = ["single", "pair", "chain"];
        for (uint256 i = 0; i < 3; ++i) {
            Job[] memory jobs = _jobs(install(names[i]), names[i], 2);
            fulfil(jobs[0]);
            gas[i] = _gasOf(address(oracle), abi.encodeCall(IInferenceOracle.fulfil, (fulfilmentOf(jobs[1]))), 0);
            _record(string.concat("fulfil, 26 + 1 words, slices: ", vm.toString(i + 1)), gas[i]);
        }
        assertLt((gas[2] - gas[0]) / 2, 170_000);
    }

    function _record(string memory what, uint256 gas) private {
        console2.log(what, gas);
        vm.snapshotValue("gas", what, gas);
    }

    function _jobs(Model memory model, string memory name, uint256 n) private returns (Job[] memory jobs) {
        jobs = new Job[](n);
        for (uint256 i = 0; i < n; ++i) {
            jobs[i] = prove(model, open(draft(name)));
        }
    }

    function _verifyBundle(string memory name) private returns (uint256) {
        Model memory model = install(name);
        bytes memory data = abi.encodeCall(IBundleVerifier.verifyBundle, (covering(model.digest, loadBundle(name), 0)));
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
