// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {InferenceFeed} from "../../contracts/InferenceFeed.sol";
import {InferenceSubscription} from "../../contracts/InferenceSubscription.sol";
import {FeedConsumer} from "../../contracts/consumers/FeedConsumer.sol";
import {PullConsumer} from "../../contracts/consumers/PullConsumer.sol";
import {AgeGate} from "../../contracts/examples/AgeGate.sol";
import {InsuranceClaim} from "../../contracts/examples/InsuranceClaim.sol";
import {LendingMarket} from "../../contracts/examples/LendingMarket.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {AggregatorV3Interface, IInferenceFeed} from "../../contracts/interfaces/IInferenceFeed.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IInferenceSubscription} from "../../contracts/interfaces/IInferenceSubscription.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {ModelLayout} from "../../contracts/libraries/ModelLayout.sol";
import {Puller} from "./Consumers.t.sol";
import {Source} from "./InferenceSubscription.t.sol";
import {Jobs} from "./utils/Jobs.sol";
import {Token} from "./utils/Tokens.sol";
import {deploy} from "./utils/Deploy.sol";

/// Each application on registry, verifier and oracle as they are, with simulated proofs. Their own logic has tests of
/// its own, on the mock oracle.
contract ApplicationsTest is Jobs {
    uint256 private constant FEE = 1e15;

    function setUp() public override {
        super.setUp();
        vm.deal(alice, 10 ether);
    }

    // ------------------------------------------------------------------------------------------------ subscription

    function _subscription(bytes32 digest, Source source, address feeToken) private returns (InferenceSubscription) {
        return InferenceSubscription(
            deploy(
                "InferenceSubscription",
                abi.encode(
                    IInferenceSubscription.Config({
                        oracle: oracle,
                        modelDigest: digest,
                        verifier: VERIFIER,
                        source: source,
                        interval: 3600,
                        window: 600,
                        capacity: 4,
                        feeToken: feeToken,
                        fee: FEE
                    }),
                    address(this)
                )
            )
        );
    }

    /// The request that the subscription makes now.
    function _runOf(InferenceSubscription subscription) private view returns (Job memory job) {
        job = draft("chain");
        job.requester = address(subscription);
        job.nonce = oracle.nonces(address(subscription));
        job.request.fee = FEE;
        job.request.feeToken = subscription.config().feeToken;
        job.request.deadline = uint64(block.timestamp) + 600;
    }

    /// Triggered, proven, paid, and read as a feed.
    function test_SubscriptionFeeds() public {
        Model memory model = install("chain");
        Source source = new Source();
        source.set(inputWords(draft("chain")));
        InferenceSubscription subscription = _subscription(model.digest, source, address(0));
        payable(address(subscription)).transfer(2 * FEE);

        Job memory job = _runOf(subscription);
        job.id = subscription.trigger();
        assertEq(job.id, oracle.requestIdOf(job.request, job.requester, job.nonce));
        fulfil(prove(model, job));
        assertEq(oracle.balanceOf(prover, address(0)), FEE);
        (uint64 round, uint64 observedAt,, uint256[] memory words) = oracle.latest(subscription.feedId(), 0);
        assertEq(round, 1);
        assertEq(observedAt, block.timestamp);
        assertEq(words, outputWords(job));

        // The next run goes unanswered; its fee comes back.
        vm.warp(block.timestamp + 3600);
        job = _runOf(subscription);
        subscription.trigger();
        vm.warp(block.timestamp + 601);
        oracle.refund(job.request, job.requester, job.nonce);
        subscription.collect();
        assertEq(address(subscription).balance, FEE);
    }

    function test_SubscriptionPaysInTokens() public {
        Model memory model = install("chain");
        Source source = new Source();
        source.set(inputWords(draft("chain")));
        Token token = new Token();
        InferenceSubscription subscription = _subscription(model.digest, source, address(token));
        token.mint(address(subscription), FEE);
        Job memory job = _runOf(subscription);
        job.id = subscription.trigger();
        fulfil(prove(model, job));
        assertEq(oracle.balanceOf(prover, address(token)), FEE);
        vm.prank(prover);
        oracle.withdraw(address(token), prover);
        assertEq(token.balanceOf(prover), FEE);
    }

    function test_RevertWhen_SubscriptionsModelOrWordsDoNotFit() public {
        bytes32 digest = install("private").digest;
        Source source = new Source();
        vm.expectRevert(abi.encodeWithSelector(ModelLayout.PrivateInput.selector, digest, 0));
        _subscription(digest, source, address(0));

        digest = install("chain").digest;
        InferenceSubscription subscription = _subscription(digest, source, address(0));
        payable(address(subscription)).transfer(FEE);
        uint256[] memory words = inputWords(draft("chain"));
        words[0] |= 1 << 255;
        source.set(words);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InputWordOutOfRange.selector, 0, words[0], 248));
        subscription.trigger();
        registry.tombstone(digest);
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, digest, IModelRegistry.Status.Tombstoned)
        );
        subscription.trigger();
        subscription.withdraw(address(0), alice, FEE);
    }

    // ------------------------------------------------------------------------------------------------ pull

    function test_PullerReadsOnce() public {
        Model memory model = install("chain");
        Puller puller = new Puller(oracle, model.digest, VERIFIER);
        Job memory job = prove(model, open(draft("chain")));
        uint256[] memory words = outputWords(job);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, job.id));
        puller.useOnce(job.request, job.requester, job.nonce, words, 60);
        fulfil(job);
        assertEq(puller.useOnce(job.request, job.requester, job.nonce, words, 60), job.id);

        // Asked and proven again by anyone, it is the same statement.
        job = draft("chain");
        job.requester = makeAddr("mallory");
        job = prove(model, open(job));
        fulfil(job);
        bytes32 key = keccak256(abi.encode(model.digest, job.request.inputs));
        vm.expectRevert(abi.encodeWithSelector(PullConsumer.AlreadyConsumed.selector, key));
        puller.useOnce(job.request, job.requester, job.nonce, words, 60);
    }

    // ------------------------------------------------------------------------------------------------ examples

    /// A score signed by its source, proven by whoever borrows, read in the same transaction.
    function test_LendingMarketUpdatesAndBorrows() public {
        Model memory model = install("mixed");
        (address source, uint256 key) = makeAddrAndKey("source");
        vm.prank(source);
        oracle.openFeed(model.digest, VERIFIER, 4, 600);
        (Token collateral, Token loan) = (new Token(), new Token());
        LendingMarket market =
            LendingMarket(deploy("LendingMarket", abi.encode(collateral, loan, _riskFeed(model.digest, source), 300)));
        collateral.mint(alice, 1000e18);
        loan.mint(address(market), 1000e18);

        IInferenceOracle.Publication memory publication = publicationOf("mixed", source);
        // Output 0, value 1: (digit − 1000)·2 / 1000 = 0.5.
        publication.words[3] = (publication.words[3] & ~uint256(0xfffff << 20)) | (1250 << 20);
        publication = prove(model, publication);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, oracle.publicationHashOf(publication));
        bytes memory signature = abi.encodePacked(r, s, v);
        vm.startPrank(alice);
        collateral.approve(address(market), 1000e18);
        market.deposit(1000e18);
        market.updateAndBorrow(publication, signature, 400e18);
        vm.expectRevert(abi.encodeWithSelector(LendingMarket.AboveLimit.selector, 400e18 + 1, 400e18));
        market.updateAndBorrow(publication, signature, 1);
        vm.stopPrank();
        // Signed for the next round, with the last one's proof.
        publication.round = 2;
        publication.observedAt += 1;
        vm.warp(block.timestamp + 1);
        (v, r, s) = vm.sign(key, oracle.publicationHashOf(publication));
        vm.startPrank(alice);
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        market.updateAndBorrow(publication, abi.encodePacked(r, s, v), 1);
        uint256 observedAt = publication.observedAt - 1;
        vm.warp(observedAt + 301);
        vm.expectRevert(
            abi.encodeWithSelector(
                FeedConsumer.StaleAnswer.selector, address(market.riskFeed()), observedAt, 300, observedAt + 301
            )
        );
        market.borrow(0);
    }

    function _riskFeed(bytes32 digest, address source) private returns (IInferenceFeed) {
        return InferenceFeed(
            deploy(
                "InferenceFeed",
                abi.encode(
                    IInferenceFeed.Config({
                        oracle: oracle,
                        modelDigest: digest,
                        source: source,
                        verifier: VERIFIER,
                        outputIndex: 1,
                        decimals: 8,
                        maxAge: 600,
                        description: "risk",
                        sequencerUptimeFeed: AggregatorV3Interface(address(0)),
                        gracePeriod: 0
                    })
                )
            )
        );
    }

    function test_InsuranceClaimIsSettledByTheModel() public {
        Model memory model = install("chain");
        Job memory job = draft("chain");
        uint256 word = outputWords(job)[0];
        uint256 class;
        for (uint256 i = 1; i < 10; ++i) {
            if ((word >> (25 * i)) % 2 ** 25 > (word >> (25 * class)) % 2 ** 25) class = i;
        }
        for (uint256 i = 0; i < 2; ++i) {
            InsuranceClaim insurance = InsuranceClaim(
                deploy(
                    "InsuranceClaim",
                    abi.encode(oracle, model.digest, VERIFIER, i == 0 ? class : (class + 1) % 10, alice)
                )
            );
            uint256 policyId = insurance.insure{value: 1 ether}(alice, uint64(block.timestamp) + 60);
            uint256[] memory photo = inputWords(job);
            vm.prank(alice);
            bytes32 id = insurance.file{value: FEE}(policyId, photo);

            job = draft("chain");
            job.requester = address(insurance);
            (job.request.callback, job.request.callbackGas) = (address(insurance), 300_000);
            job.request.fee = FEE;
            job.request.deadline = uint64(block.timestamp) + 1 days;
            fulfil(prove(model, job));
            assertFalse(oracle.callbackFailed(id));
            assertEq(insurance.owed(alice), i == 0 ? 1 ether : 0);
            assertEq(insurance.owed(address(this)), i == 0 ? 0 : 1 ether);
        }
    }

    /// The portrait stays a commitment; what comes on chain is one value.
    function test_AgeGateLearnsOneValue() public {
        Model memory model = loadModel("private");
        // One output value of 25 bits in the place of ten.
        setWord(model.blob, tensorAt(model.blob, 1) + 1, 1);
        setWord(model.blob, recordAt(model.blob, 1) + 5, 1);
        model.digest = rehash(model.blob);
        register(model.blob);
        (address attester, uint256 key) = makeAddrAndKey("attester");
        AgeGate gate = AgeGate(deploy("AgeGate", abi.encode(oracle, model.digest, VERIFIER, attester, 18)));

        for (uint256 i = 0; i < 2; ++i) {
            Job memory job = draft("private");
            bytes32 commitment = bytes32(job.bundle.commitments[0]);
            uint64 expiry = uint64(block.timestamp) + 60;
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, gate.attestationHashOf(alice, commitment, expiry));
            vm.prank(alice);
            bytes32 id = gate.enter{value: FEE}(commitment, expiry, abi.encodePacked(r, s, v));

            job.requester = address(gate);
            job.nonce = i;
            job.request.modelDigest = model.digest;
            (job.request.callback, job.request.callbackGas) = (address(gate), 150_000);
            job.request.fee = FEE;
            job.request.deadline = uint64(block.timestamp) + 1 days;
            job.bundle.words = new uint256[](1);
            job.bundle.words[0] = 2 ** 24 + 17 + i; // Offset 2^24: seventeen, then eighteen.
            fulfil(prove(model, job));
            assertFalse(oracle.callbackFailed(id));
            assertEq(gate.isOfAge(alice), i == 1);
        }
    }
}
