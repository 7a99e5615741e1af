// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {FeedConsumer} from "../../contracts/consumers/FeedConsumer.sol";
import {InferenceConsumer} from "../../contracts/consumers/InferenceConsumer.sol";
import {PullConsumer} from "../../contracts/consumers/PullConsumer.sol";
import {AggregatorV3Interface} from "../../contracts/interfaces/IInferenceFeed.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {Aggregator, Mocked} from "./utils/Mocked.sol";

contract Asker is InferenceConsumer {
    error Refused();

    bool public refuses;
    uint256 public answers;
    uint256 public refunds;
    uint256 public lastWord;

    constructor(IInferenceOracle oracle_) InferenceConsumer(oracle_) {}

    function ask(IInferenceOracle.Request memory request, uint256[] memory words) external payable returns (bytes32) {
        return _request(request, words);
    }

    function setRefuses(bool refuses_) external {
        refuses = refuses_;
    }

    function collect(address token, address to) external {
        _collectRefunds(token, to);
    }

    function _onInference(bytes32, uint256[] calldata outputWords) internal override {
        if (refuses) revert Refused();
        ++answers;
        lastWord = outputWords[0];
    }

    function _onRefund(bytes32) internal override {
        ++refunds;
    }
}

/// @dev Leaves `_onRefund` as it is.
contract PlainAsker is InferenceConsumer {
    constructor(IInferenceOracle oracle_) InferenceConsumer(oracle_) {}

    function ask(IInferenceOracle.Request memory request) external payable returns (bytes32) {
        return _request(request, new uint256[](0));
    }

    function _onInference(bytes32, uint256[] calldata) internal override {}
}

contract InferenceConsumerTest is Mocked {
    uint32 private constant GAS = 200_000;

    event CallbackFailed(bytes32 indexed requestId, bytes returndata);

    Asker private asker;

    function setUp() public override {
        super.setUp();
        asker = new Asker(oracle);
        vm.deal(alice, 1 ether);
    }

    function _draft() private view returns (IInferenceOracle.Request memory request) {
        request.modelDigest = MODEL;
        request.inputs = new bytes32[](1);
        request.verifier = VERIFIER;
        request.fee = 1000;
        request.deadline = uint64(block.timestamp + 60);
        request.callbackGas = GAS;
    }

    function _ask() private returns (bytes32) {
        vm.prank(alice);
        return asker.ask{value: 1000}(_draft(), list(1, 2));
    }

    /// What the oracle sees: full coverage and a callback here, whatever the draft said.
    function _asMade() private view returns (IInferenceOracle.Request memory request) {
        request = _draft();
        request.callback = address(asker);
    }

    function test_AnswersOnce() public {
        IInferenceOracle.Request memory request = _draft();
        request.minCoverage = 1;
        request.callback = mallory;
        vm.prank(alice);
        bytes32 id = asker.ask{value: 1000}(request, list(1, 2));
        assertEq(id, oracle.requestIdOf(_asMade(), address(asker), 0));
        assertTrue(asker.pending(id));
        oracle.answer(id, list(7));
        assertFalse(asker.pending(id));
        assertEq(asker.answers(), 1);
        assertEq(asker.lastWord(), 7);

        // The result stays in the oracle; it cannot be used again.
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.UnknownRequest.selector, id));
        asker.deliver(id, list(7));
        vm.prank(address(oracle));
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.UnknownRequest.selector, id));
        asker.onInference(id, MODEL, list(7));
        assertEq(asker.answers(), 1);
    }

    function test_RevertWhen_CallerIsNotTheOracle() public {
        bytes32 id = _ask();
        vm.prank(mallory);
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotOracle.selector, mallory));
        asker.onInference(id, MODEL, list(7));
    }

    /// Anyone may name this contract as the target of a request of theirs.
    function test_ForeignRequestsAreRefused() public {
        IInferenceOracle.Request memory request = _asMade();
        vm.deal(mallory, 1000);
        vm.prank(mallory);
        bytes32 id = oracle.request{value: 1000}(request, list(1, 2));
        vm.expectEmit(address(oracle));
        emit CallbackFailed(id, abi.encodeWithSelector(InferenceConsumer.UnknownRequest.selector, id));
        oracle.answer(id, list(7));
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.UnknownRequest.selector, id));
        asker.deliver(id, list(7));
        assertEq(asker.answers(), 0);
    }

    function test_DeliversAfterAFailedCallback() public {
        asker.setRefuses(true);
        bytes32 id = _ask();
        oracle.answer(id, list(7));
        assertTrue(oracle.callbackFailed(id));
        assertTrue(asker.pending(id));
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, id));
        asker.deliver(id, list(8));
        vm.expectRevert(Asker.Refused.selector);
        asker.deliver(id, list(7));
        asker.setRefuses(false);
        vm.prank(mallory);
        asker.deliver(id, list(7));
        assertEq(asker.answers(), 1);
        // The oracle's own retry comes too late.
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.CallbackFailedAgain.selector, id));
        oracle.retryCallback(_asMade(), address(asker), 0, 0, list(7));
        assertEq(asker.answers(), 1);
    }

    function test_RetriesAnswerOnceToo() public {
        asker.setRefuses(true);
        bytes32 id = _ask();
        oracle.answer(id, list(7));
        asker.setRefuses(false);
        oracle.retryCallback(_asMade(), address(asker), 0, 0, list(7));
        assertEq(asker.answers(), 1);
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.UnknownRequest.selector, id));
        asker.deliver(id, list(7));
    }

    function test_RevertWhen_DeliveringWhatIsOpen() public {
        bytes32 id = _ask();
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, id));
        asker.deliver(id, list(7));
    }

    /// A9: a refund closes the request and is told apart from an answer.
    function test_ClosesRefundsOnce() public {
        bytes32 id = _ask();
        vm.expectRevert(
            abi.encodeWithSelector(InferenceConsumer.NotRefunded.selector, id, IInferenceOracle.Status.Open)
        );
        asker.closeRefunded(id);
        IInferenceOracle.Request memory request = _asMade();
        vm.warp(block.timestamp + 61);
        oracle.refund(request, address(asker), 0);
        asker.closeRefunded(id);
        assertEq(asker.refunds(), 1);
        assertEq(asker.answers(), 0);
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.UnknownRequest.selector, id));
        asker.closeRefunded(id);
        asker.collect(address(0), alice);
        assertEq(alice.balance, 1 ether);
    }

    function test_ClosesRefundsWithoutAHook() public {
        PlainAsker plain = new PlainAsker(oracle);
        bytes32 id = plain.ask{value: 1000}(_draft());
        oracle.expire(id);
        plain.closeRefunded(id);
        assertFalse(plain.pending(id));
    }

    function test_PaysInTokens() public {
        token.mint(address(asker), 1000);
        IInferenceOracle.Request memory request = _draft();
        request.feeToken = address(token);
        bytes32 id = asker.ask(request, list(1, 2));
        assertEq(token.balanceOf(address(oracle)), 1000);
        assertEq(token.allowance(address(asker), address(oracle)), 0);
        oracle.expire(id);
        asker.collect(address(token), alice);
        assertEq(token.balanceOf(alice), 1000);
    }

    /// Ether sent beside a fee in tokens stays with the application, not with the oracle.
    function test_TokensAndEtherAreNotMixedUp() public {
        token.mint(address(asker), 1000);
        IInferenceOracle.Request memory request = _draft();
        request.feeToken = address(token);
        vm.prank(alice);
        asker.ask{value: 1000}(request, list(1, 2));
        assertEq(address(asker).balance, 1000);
        assertEq(address(oracle).balance, 0);
    }

    function test_RevertWhen_NotFunded() public {
        vm.expectRevert();
        asker.ask(_draft(), list(1, 2));
    }
}

contract Puller is PullConsumer {
    uint256 public used;

    constructor(IInferenceOracle oracle_, bytes32 model, bytes4 verifier_) PullConsumer(oracle_, model, verifier_) {}

    function useOnce(
        IInferenceOracle.Request calldata request,
        address requester,
        uint256 nonce,
        uint256[] calldata outputWords,
        uint256 maxAge
    ) external returns (bytes32 requestId) {
        requestId = _requireResult(request, requester, nonce, outputWords, maxAge);
        _consume(_statementOf(request));
        ++used;
    }
}

contract PullConsumerTest is Mocked {
    Puller private puller;

    function setUp() public override {
        super.setUp();
        puller = new Puller(oracle, MODEL, VERIFIER);
    }

    function _made(bytes32 input, bytes32 model, bytes4 verifier)
        private
        returns (IInferenceOracle.Request memory request, bytes32 id, uint256 nonce)
    {
        request.modelDigest = model;
        request.inputs = new bytes32[](1);
        request.inputs[0] = input;
        request.verifier = verifier;
        request.deadline = uint64(block.timestamp + 60);
        nonce = oracle.nonces(alice);
        vm.prank(alice);
        id = oracle.request(request, new uint256[](0));
    }

    function test_ReadsAResultBroughtInCalldata() public {
        (IInferenceOracle.Request memory request, bytes32 id, uint256 nonce) = _made("x", MODEL, VERIFIER);
        oracle.answer(id, list(7, 8));
        assertEq(puller.useOnce(request, alice, nonce, list(7, 8), 0), id);
        assertEq(puller.used(), 1);
    }

    /// The same question asked again is another request, and counts no second time.
    function test_RevertWhen_ConsumedTwice() public {
        for (uint256 i = 0; i < 2; ++i) {
            (IInferenceOracle.Request memory request, bytes32 id, uint256 nonce) = _made("x", MODEL, VERIFIER);
            oracle.answer(id, list(7));
            bytes32 key = keccak256(abi.encode(MODEL, request.inputs));
            assertEq(puller.consumed(key), i == 1);
            if (i == 1) vm.expectRevert(abi.encodeWithSelector(PullConsumer.AlreadyConsumed.selector, key));
            puller.useOnce(request, alice, nonce, list(7), 60);
        }
        (IInferenceOracle.Request memory other, bytes32 otherId, uint256 otherNonce) = _made("y", MODEL, VERIFIER);
        oracle.answer(otherId, list(7));
        puller.useOnce(other, alice, otherNonce, list(7), 60);
        assertEq(puller.used(), 2);
    }

    function test_RevertWhen_ItIsNotTheResult() public {
        (IInferenceOracle.Request memory request, bytes32 id, uint256 nonce) = _made("x", MODEL, VERIFIER);
        bytes memory mismatch = abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, id);
        vm.expectRevert(mismatch);
        puller.useOnce(request, alice, nonce, list(7), 60); // Not answered yet.
        oracle.answer(id, list(7));
        vm.expectRevert(mismatch);
        puller.useOnce(request, alice, nonce, list(8), 60);
        // Of another requester, nonce or input: another request's id, of a request that never was.
        _expectMismatch(request, mallory, nonce);
        puller.useOnce(request, mallory, nonce, list(7), 60);
        _expectMismatch(request, alice, nonce + 1);
        puller.useOnce(request, alice, nonce + 1, list(7), 60);
        request.inputs[0] = "y";
        _expectMismatch(request, alice, nonce);
        puller.useOnce(request, alice, nonce, list(7), 60);
    }

    function _expectMismatch(IInferenceOracle.Request memory request, address requester, uint256 nonce) private {
        bytes32 id = oracle.requestIdOf(request, requester, nonce);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, id));
    }

    function test_RevertWhen_Stale() public {
        (IInferenceOracle.Request memory request, bytes32 id, uint256 nonce) = _made("x", MODEL, VERIFIER);
        uint256 requestedAt = block.timestamp;
        vm.warp(requestedAt + 50);
        oracle.answer(id, list(7));
        vm.warp(requestedAt + 61);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.StaleResult.selector, requestedAt, 60, requestedAt + 61)
        );
        puller.useOnce(request, alice, nonce, list(7), 60);
        puller.useOnce(request, alice, nonce, list(7), 61);
    }

    /// P9: a result of any other model or verifier proves nothing here.
    function test_RevertWhen_ModelOrVerifierIsAnother() public {
        (IInferenceOracle.Request memory request, bytes32 id, uint256 nonce) = _made("x", "other", VERIFIER);
        oracle.answer(id, list(7));
        vm.expectRevert(abi.encodeWithSelector(PullConsumer.WrongModel.selector, MODEL, bytes32("other")));
        puller.useOnce(request, alice, nonce, list(7), 60);
        (request, id, nonce) = _made("x", MODEL, 0x01020304);
        oracle.answer(id, list(7));
        vm.expectRevert(abi.encodeWithSelector(PullConsumer.WrongVerifier.selector, VERIFIER, bytes4(0x01020304)));
        puller.useOnce(request, alice, nonce, list(7), 60);
    }

    /// A result proven before the stop may be forged.
    function test_RevertWhen_ModelOrVerifierIsStopped() public {
        (IInferenceOracle.Request memory request, bytes32 id, uint256 nonce) = _made("x", MODEL, VERIFIER);
        oracle.answer(id, list(7));
        registry.setVerifierStatus(VERIFIER, IModelRegistry.Status.Tombstoned);
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.VerifierNotActive.selector, VERIFIER, IModelRegistry.Status.Tombstoned
            )
        );
        puller.useOnce(request, alice, nonce, list(7), 60);
        registry.setVerifierStatus(VERIFIER, IModelRegistry.Status.Active);
        registry.setModelStatus(MODEL, IModelRegistry.Status.Tombstoned);
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, MODEL, IModelRegistry.Status.Tombstoned)
        );
        puller.useOnce(request, alice, nonce, list(7), 60);
    }
}

contract FeedReader is FeedConsumer {
    function answerOf(AggregatorV3Interface feed, uint256 maxAge, uint8 decimals) external view returns (int256) {
        return _answerOf(feed, maxAge, decimals);
    }

    function positiveAnswerOf(AggregatorV3Interface feed, uint256 maxAge, uint8 decimals)
        external
        view
        returns (uint256)
    {
        return _positiveAnswerOf(feed, maxAge, decimals);
    }

    function wordsOf(IInferenceOracle oracle, bytes32 feedId, uint256 maxAge) external view returns (uint256[] memory) {
        return _wordsOf(oracle, feedId, maxAge);
    }

    function publishAndRead(
        IInferenceOracle oracle,
        IInferenceOracle.Publication calldata publication,
        bytes calldata signature
    ) external returns (bool published, uint256[] memory words) {
        published = _publishIfNewer(oracle, publication, signature);
        words = _wordsOf(oracle, oracle.feedIdOf(publication.modelDigest, publication.verifier, publication.source), 60);
    }
}

contract FeedConsumerTest is Mocked {
    FeedReader private reader;
    Aggregator private feed;

    function setUp() public override {
        super.setUp();
        reader = new FeedReader();
        feed = new Aggregator(8);
    }

    function test_ReadsASoundAnswer() public {
        feed.set(-123_456_789);
        assertEq(reader.answerOf(feed, 0, 8), -123_456_789);
        assertEq(reader.answerOf(feed, 0, 18), -123_456_789 * 10 ** 10);
        assertEq(reader.answerOf(feed, 0, 0), -1, "towards zero");
        feed.set(123_456_789);
        assertEq(reader.positiveAnswerOf(feed, 0, 2), 123);
    }

    function test_RevertWhen_Stale() public {
        feed.set(1);
        uint256 updatedAt = block.timestamp;
        vm.warp(updatedAt + 60);
        reader.answerOf(feed, 60, 8);
        vm.warp(updatedAt + 61);
        bytes memory stale =
            abi.encodeWithSelector(FeedConsumer.StaleAnswer.selector, address(feed), updatedAt, 60, updatedAt + 61);
        vm.expectRevert(stale);
        reader.answerOf(feed, 60, 8);
        vm.expectRevert(stale);
        reader.positiveAnswerOf(feed, 60, 8);
    }

    function test_RevertWhen_RoundIsIncomplete() public {
        uint256 t = block.timestamp;
        uint256[4][4] memory rounds =
            [[uint256(5), 0, t, 5], [uint256(5), t, 0, 5], [uint256(5), t, t + 1, 5], [5, t, t, 4]];
        for (uint256 i = 0; i < 4; ++i) {
            feed.set(uint80(rounds[i][0]), 1, rounds[i][1], rounds[i][2], uint80(rounds[i][3]));
            vm.expectRevert(
                abi.encodeWithSelector(
                    FeedConsumer.IncompleteRound.selector, address(feed), 5, rounds[i][2], rounds[i][3]
                )
            );
            reader.answerOf(feed, type(uint256).max, 8);
        }
        feed.set(5, 1, t, t, 5);
        assertEq(reader.answerOf(feed, 0, 8), 1);
    }

    function test_RevertWhen_NotPositive() public {
        int256[2] memory answers = [int256(0), -1];
        for (uint256 i = 0; i < 2; ++i) {
            feed.set(answers[i]);
            vm.expectRevert(abi.encodeWithSelector(FeedConsumer.AnswerNotPositive.selector, address(feed), answers[i]));
            reader.positiveAnswerOf(feed, 60, 8);
        }
        // Positive in the feed's decimals, and nothing in ours.
        feed.set(99_999);
        vm.expectRevert(abi.encodeWithSelector(FeedConsumer.AnswerNotPositive.selector, address(feed), 0));
        reader.positiveAnswerOf(feed, 60, 2);
    }

    function test_ReadsTheOraclesFeed() public {
        bytes32 feedId = oracle.feedIdOf(MODEL, VERIFIER, alice);
        oracle.setRound(MODEL, VERIFIER, alice, uint64(block.timestamp) - 10, list(7, 8));
        assertEq(reader.wordsOf(oracle, feedId, 10), list(7, 8));
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.StaleResult.selector, block.timestamp - 10, 9, block.timestamp)
        );
        reader.wordsOf(oracle, feedId, 9);
    }

    function test_UpdatesThenReads() public {
        (address source, uint256 key) = makeAddrAndKey("source");
        vm.prank(source);
        oracle.openFeed(MODEL, VERIFIER, 4, 60);
        IInferenceOracle.Publication memory publication;
        publication.source = source;
        publication.modelDigest = MODEL;
        publication.verifier = VERIFIER;
        publication.round = 1;
        publication.observedAt = uint64(block.timestamp);
        publication.beneficiary = alice;
        publication.words = list(7);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, oracle.publicationHashOf(publication));
        (bool published, uint256[] memory words) = reader.publishAndRead(oracle, publication, abi.encodePacked(r, s, v));
        assertTrue(published);
        assertEq(words, list(7));
        // Someone was faster: nothing to do, and nothing fails.
        (published, words) = reader.publishAndRead(oracle, publication, abi.encodePacked(r, s, v));
        assertFalse(published);
        assertEq(words, list(7));
        // Nobody else's word counts.
        publication.round = 2;
        publication.observedAt += 1;
        vm.warp(block.timestamp + 1);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NotSource.selector, source));
        reader.publishAndRead(oracle, publication, abi.encodePacked(r, s, v));
    }

    /// A round of another verifier's feed is not the one that the publication brings.
    function test_UpdatesTheFeedOfThePublicationsVerifier() public {
        (address source, uint256 key) = makeAddrAndKey("source");
        oracle.setRound(MODEL, VERIFIER, source, uint64(block.timestamp), list(6));
        vm.prank(source);
        oracle.openFeed(MODEL, OTHER_VERIFIER, 4, 60);
        IInferenceOracle.Publication memory publication;
        (publication.source, publication.modelDigest, publication.verifier) = (source, MODEL, OTHER_VERIFIER);
        (publication.round, publication.observedAt) = (1, uint64(block.timestamp));
        publication.words = list(7);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, oracle.publicationHashOf(publication));
        (bool published, uint256[] memory words) = reader.publishAndRead(oracle, publication, abi.encodePacked(r, s, v));
        assertTrue(published);
        assertEq(words, list(7));
        assertEq(oracle.feed(oracle.feedIdOf(MODEL, VERIFIER, source)).round, 1);
    }
}
