// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {InferenceFeed} from "../../contracts/InferenceFeed.sol";
import {InferenceConsumer} from "../../contracts/consumers/InferenceConsumer.sol";
import {DigitConsumer} from "../../contracts/examples/DigitConsumer.sol";
import {AggregatorV3Interface, IInferenceFeed} from "../../contracts/interfaces/IInferenceFeed.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {PublicWords} from "../../contracts/libraries/PublicWords.sol";
import {Jobs} from "./utils/Jobs.sol";
import {deploy} from "./utils/Deploy.sol";

contract DigitConsumerTest is Jobs {
    uint256 private constant FEE = 1e15;

    event DigitClassified(bytes32 indexed requestId, uint256 class);

    receive() external payable {}

    /// The main job: a request with its input as public words, the answer in the callback, and the same answer in a
    /// feed.
    function test_ClassifiesPublicWords() public {
        Model memory model = install("chain");
        DigitConsumer consumer = DigitConsumer(deploy("DigitConsumer", abi.encode(oracle, model.digest, VERIFIER)));
        assertEq(consumer.classes(), 10);
        assertEq(consumer.bits(), 25);
        Job memory job = _job("chain", consumer);
        job.id = consumer.classify{value: FEE}(inputWords(job), job.request.deadline);
        assertEq(job.id, oracle.requestIdOf(job.request, address(consumer), 0));
        (bool known,) = consumer.classOf(job.id);
        assertFalse(known);
        assertTrue(consumer.pending(job.id));

        _fulfilAndCheck(model, job, consumer);
        uint256[] memory words = outputWords(job);
        InferenceFeed feed = InferenceFeed(
            deploy(
                "InferenceFeed",
                abi.encode(
                    IInferenceFeed.Config({
                        oracle: oracle,
                        modelDigest: model.digest,
                        source: address(consumer),
                        verifier: VERIFIER,
                        outputIndex: 3,
                        decimals: 6,
                        maxAge: 60,
                        description: "score of 3",
                        sequencerUptimeFeed: AggregatorV3Interface(address(0)),
                        gracePeriod: 0
                    })
                )
            )
        );
        (, int256 answer,,,) = feed.latestRoundData();
        assertEq(answer, PublicWords.toInt(PublicWords.digit(words, 3, 25), 2 ** 24) * 37);
    }

    function test_ClassifiesByCommitment() public {
        Model memory model = install("private");
        DigitConsumer consumer = DigitConsumer(deploy("DigitConsumer", abi.encode(oracle, model.digest, VERIFIER)));
        Job memory job = _job("private", consumer);
        job.id = consumer.classifyCommitted{value: FEE}(bytes32(job.bundle.commitments[0]), job.request.deadline);
        _fulfilAndCheck(model, job, consumer);
    }

    /// The callback's gas grows with the classes.
    function test_ClassifiesIntoAThousand() public {
        Model memory model = loadModel("chain");
        (uint256 tensor, uint256 record) = (tensorAt(model.blob, 1), recordAt(model.blob, 2));
        setWord(model.blob, tensor + 1, 1000);
        setWord(model.blob, record + 5, 1000);
        setWord(model.blob, record + 3, 100);
        model.digest = rehash(model.blob);
        register(model.blob);
        DigitConsumer consumer = DigitConsumer(deploy("DigitConsumer", abi.encode(oracle, model.digest, VERIFIER)));

        Job memory job = _job("chain", consumer);
        job.request.modelDigest = model.digest;
        uint256[] memory words = new uint256[](126);
        for (uint256 i = 0; i < 26; ++i) {
            words[i] = job.bundle.words[i];
        }
        words[26 + 73] = 1 << 75; // Class 733.
        job.bundle.words = words;
        job.id = consumer.classify{value: FEE}(inputWords(job), job.request.deadline);
        fulfil(prove(model, job));
        (bool known, uint256 class) = consumer.classOf(job.id);
        assertTrue(known);
        assertEq(class, 733);
    }

    function test_RefundsAreCollected() public {
        Model memory model = install("chain");
        DigitConsumer consumer = DigitConsumer(deploy("DigitConsumer", abi.encode(oracle, model.digest, VERIFIER)));
        Job memory job = _job("chain", consumer);
        consumer.classify{value: FEE}(inputWords(job), job.request.deadline);
        vm.warp(job.request.deadline + 1);
        oracle.refund(job.request, address(consumer), 0);
        uint256 before = address(this).balance;
        consumer.collectRefunds();
        assertEq(address(this).balance, before + FEE);
    }

    function test_RevertWhen_CallerIsNotTheOwner() public {
        DigitConsumer consumer =
            DigitConsumer(deploy("DigitConsumer", abi.encode(oracle, install("chain").digest, VERIFIER)));
        bytes memory unauthorized = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice);
        vm.startPrank(alice);
        vm.expectRevert(unauthorized);
        consumer.classify(new uint256[](0), 0);
        vm.expectRevert(unauthorized);
        consumer.classifyCommitted(0, 0);
        vm.expectRevert(unauthorized);
        consumer.collectRefunds();
    }

    function test_RevertWhen_CallbackIsNotTheOracles() public {
        DigitConsumer consumer =
            DigitConsumer(deploy("DigitConsumer", abi.encode(oracle, install("chain").digest, VERIFIER)));
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotOracle.selector, address(this)));
        consumer.onInference(0, 0, new uint256[](1));
    }

    /// Anyone may name the consumer as the target of a request of theirs: it is recorded as a failed callback.
    function test_OthersRequestsAreRefused() public {
        Model memory model = install("chain");
        DigitConsumer consumer = DigitConsumer(deploy("DigitConsumer", abi.encode(oracle, model.digest, VERIFIER)));
        Job memory job = draft("chain");
        (job.request.callback, job.request.callbackGas) = (address(consumer), 200_000);
        job = prove(model, open(job));
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.CallbackFailed(
            job.id, abi.encodeWithSelector(InferenceConsumer.UnknownRequest.selector, job.id)
        );
        fulfil(job);
        (bool known,) = consumer.classOf(job.id);
        assertFalse(known);
    }

    function test_RevertWhen_ModelIsNoClassifier() public {
        Model memory model = install("mixed");
        vm.expectRevert(abi.encodeWithSelector(DigitConsumer.NotAClassifier.selector, model.digest));
        new DigitConsumer(oracle, model.digest, VERIFIER);
    }

    function test_RevertWhen_EtherIsSent() public {
        DigitConsumer consumer =
            DigitConsumer(deploy("DigitConsumer", abi.encode(oracle, install("chain").digest, VERIFIER)));
        (bool ok,) = address(consumer).call{value: 1}("");
        assertFalse(ok);
    }

    function _job(string memory name, DigitConsumer consumer) private view returns (Job memory job) {
        job = draft(name);
        job.requester = address(consumer);
        job.request.callback = address(consumer);
        job.request.callbackGas = consumer.CALLBACK_GAS();
        job.request.fee = FEE;
    }

    function _fulfilAndCheck(Model memory model, Job memory job, DigitConsumer consumer) private {
        uint256 expected;
        uint256[] memory words = outputWords(job);
        for (uint256 i = 1; i < 10; ++i) {
            if ((words[0] >> (25 * i)) % 2 ** 25 > (words[0] >> (25 * expected)) % 2 ** 25) expected = i;
        }
        job = prove(model, job);
        vm.expectEmit(address(consumer));
        emit DigitClassified(job.id, expected);
        fulfil(job);
        (bool known, uint256 class) = consumer.classOf(job.id);
        assertTrue(known);
        assertEq(class, expected);
        assertFalse(oracle.callbackFailed(job.id));
        assertFalse(consumer.pending(job.id));
    }
}
