// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {InferenceOracle} from "../../contracts/InferenceOracle.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {KeyBlob} from "../../contracts/libraries/KeyBlob.sol";
import {MockInferenceOracle} from "../../contracts/testing/MockInferenceOracle.sol";
import {PausedConsumer} from "./utils/Consumers.sol";
import {Jobs} from "./utils/Jobs.sol";
import {Token} from "./utils/Tokens.sol";
import {deploy} from "./utils/Deploy.sol";

/// What a consumer sees of the mock is what it sees of the oracle: one scenario on both, step by step.
contract MockParityTest is Jobs {
    bytes32 private digest;
    bytes[] private trace;
    address private mallory = makeAddr("mallory");

    function setUp() public override {
        super.setUp();
        digest = install("chain").digest;
        addOtherVerifier();
    }

    function _useMock() private {
        MockInferenceOracle mock = MockInferenceOracle(deploy("MockInferenceOracle", ""));
        KeyBlob.Tensor[] memory tensors = new KeyBlob.Tensor[](2);
        tensors[0] = KeyBlob.Tensor(1, 784, 8, 0, 1, 0);
        tensors[1] = KeyBlob.Tensor(3, 10, 25, 2 ** 24, 37, 6);
        mock.mockRegistry().setModel(digest, tensors);
        // The helpers speak to it as to the oracle.
        oracle = InferenceOracle(address(mock));
    }

    /// @dev Records what the call returned, or the selector of what it reverted with: ids differ.
    function _try(address sender, bytes memory call) private {
        vm.prank(sender);
        (bool ok, bytes memory data) = address(oracle).call(call);
        trace.push(ok ? data : abi.encode(bytes4(data)));
    }

    function _see(Job memory job) private {
        bytes32 feedId = oracle.feedIdOf(digest, VERIFIER, alice);
        bytes32 otherId = oracle.feedIdOf(digest, OTHER_VERIFIER, alice);
        _try(mallory, abi.encodeCall(oracle.status, (job.id)));
        _try(mallory, abi.encodeCall(oracle.result, (job.id)));
        _try(mallory, abi.encodeCall(oracle.callbackFailed, (job.id)));
        _try(mallory, abi.encodeCall(oracle.requireOutputs, (job.id, outputWords(job), 1000)));
        _try(mallory, abi.encodeCall(oracle.requireOutputs, (job.id, outputWords(job), 0)));
        _try(mallory, abi.encodeCall(oracle.requireOutputs, (job.id, new uint256[](1), 1000)));
        _try(mallory, abi.encodeCall(oracle.nonces, (alice)));
        _try(mallory, abi.encodeCall(oracle.feed, (feedId)));
        _try(mallory, abi.encodeCall(oracle.latest, (feedId, 50)));
        _try(mallory, abi.encodeCall(oracle.feed, (otherId)));
        _try(mallory, abi.encodeCall(oracle.latest, (otherId, 50)));
        for (uint64 round = 0; round < 6; ++round) {
            _try(mallory, abi.encodeCall(oracle.roundOf, (feedId, round)));
        }
        address[3] memory accounts = [alice, prover, mallory];
        for (uint256 i = 0; i < 3; ++i) {
            _try(mallory, abi.encodeCall(oracle.balanceOf, (accounts[i], address(0))));
            _try(mallory, abi.encodeCall(oracle.balanceOf, (accounts[i], job.request.feeToken)));
        }
    }

    function _proven(Job memory job) private view returns (Job memory) {
        return prove(loadModel("chain"), job);
    }

    function _next() private returns (Job memory job) {
        vm.warp(block.timestamp + 10);
        job = draft("chain");
        job.request.deadline = uint64(block.timestamp) + 100;
    }

    function _scenario() private {
        delete trace;
        PausedConsumer consumer = new PausedConsumer();
        Job memory early = open(_next());
        _see(early);
        _try(alice, abi.encodeCall(oracle.openFeed, (digest, VERIFIER, 0, 60)));
        vm.prank(alice);
        oracle.openFeed(digest, VERIFIER, 3, 60);
        _try(alice, abi.encodeCall(oracle.openFeed, (digest, VERIFIER, 3, 60)));
        fulfil(_proven(early));
        _see(early);

        // A callback that fails, its retries.
        Job memory job = _next();
        (job.request.callback, job.request.callbackGas) = (address(consumer), 100_000);
        job = _proven(open(job));
        fulfil(job);
        _see(job);
        bytes memory retrying =
            abi.encodeCall(oracle.retryCallback, (job.request, alice, job.nonce, 0, outputWords(job)));
        _try(mallory, retrying);
        consumer.unpause();
        _try(mallory, retrying);
        _try(mallory, retrying);
        trace.push(abi.encode(consumer.calls(), consumer.word()));
        _try(mallory, abi.encodeCall(oracle.fulfil, (fulfilmentOf(job))));
        _see(job);

        // Rounds until the ring is full and further, of requests and published, with a held-back proof among them.
        Job memory held = _proven(open(_next()));
        for (uint256 i = 0; i < 2; ++i) {
            job = _proven(open(_next()));
            fulfil(job);
        }
        fulfil(held);
        _see(held);
        vm.warp(block.timestamp + 10);
        IInferenceOracle.Publication memory publication = prove(loadModel("chain"), publicationOf("chain", alice));
        _try(mallory, abi.encodeCall(oracle.publish, (publication, "")));
        _try(alice, abi.encodeCall(oracle.publish, (publication, "")));
        _try(alice, abi.encodeCall(oracle.publish, (publication, "")));
        _see(held);
        vm.warp(block.timestamp + 51);
        _see(held);
        _try(alice, abi.encodeCall(oracle.publish, (publication, "")));
        vm.warp(block.timestamp + 10);
        _try(alice, abi.encodeCall(oracle.publish, (publication, "")));

        // Another verifier's feed, of requests and published.
        for (uint256 i = 0; i < 2; ++i) {
            job = _next();
            job.request.verifier = OTHER_VERIFIER;
            job = _proven(open(job));
            if (i == 0) {
                vm.prank(alice);
                oracle.openFeed(digest, OTHER_VERIFIER, 3, 60);
            }
            fulfil(job);
            _see(job);
        }
        vm.warp(block.timestamp + 10);
        publication = prove(loadModel("chain"), publicationOf("chain", OTHER_VERIFIER, alice));
        _try(alice, abi.encodeCall(oracle.publish, (publication, "")));
        _try(alice, abi.encodeCall(oracle.publish, (publication, "")));
        _see(job);

        // Tokens, deadlines, refunds, payments.
        job = _next();
        job.request.feeToken = address(new Token());
        job = _proven(open(job));
        bytes memory refunding = abi.encodeCall(oracle.refund, (job.request, alice, job.nonce));
        _try(mallory, refunding);
        vm.warp(job.request.deadline + 1);
        _try(mallory, abi.encodeCall(oracle.fulfil, (fulfilmentOf(job))));
        Job[] memory jobs = new Job[](2);
        (jobs[0], jobs[1]) = (job, held);
        _try(mallory, abi.encodeCall(oracle.fulfilBatch, (fulfilmentsOf(jobs))));
        _try(mallory, refunding);
        _try(mallory, refunding);
        _see(job);
        _try(alice, abi.encodeCall(oracle.withdraw, (job.request.feeToken, alice)));
        _try(alice, abi.encodeCall(oracle.withdraw, (job.request.feeToken, alice)));
        _try(prover, abi.encodeCall(oracle.withdraw, (address(0), address(0))));
        _try(prover, abi.encodeCall(oracle.withdraw, (address(0), mallory)));
        _see(job);
        trace.push(abi.encode(mallory.balance, Token(job.request.feeToken).balanceOf(alice)));

        // Requests that are refused.
        job = _next();
        job.request.fee = 0;
        uint256[] memory words = inputWords(job);
        job.request.callbackGas = 1;
        _try(alice, abi.encodeCall(oracle.request, (job.request, words)));
        job.request.callback = mallory;
        _try(alice, abi.encodeCall(oracle.request, (job.request, words)));
        job.request.callbackGas = 5_000_001;
        _try(alice, abi.encodeCall(oracle.request, (job.request, words)));
        (job.request.callback, job.request.callbackGas, job.request.fee) = (address(0), 0, 1);
        _try(alice, abi.encodeCall(oracle.request, (job.request, words)));
        job.request.deadline = uint64(block.timestamp) - 1;
        _try(alice, abi.encodeCall(oracle.request, (job.request, words)));
    }

    function test_MockBehavesAsTheOracle() public {
        uint256 snapshot = vm.snapshotState();
        _scenario();
        bytes[] memory expected = trace;
        vm.revertToState(snapshot);
        _useMock();
        _scenario();
        assertEq(trace.length, expected.length);
        for (uint256 i = 0; i < expected.length; ++i) {
            assertEq(trace[i], expected[i], vm.toString(i));
        }
    }
}
