// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {Jobs} from "./utils/Jobs.sol";
import {Token} from "./utils/Tokens.sol";

/// @notice Does to the oracle what anyone may, at random times, and keeps the books by itself.
/// @dev Proofs have their own tests, so the verifier accepts everything here: what is at stake is the money.
contract EscrowHandler is Test {
    /// Slice 2 of `chain`, which puts out its outputs.
    uint256 private constant LAST = 4;

    struct Made {
        IInferenceOracle.Request request;
        address requester;
        uint256 nonce;
        bytes32 id;
        IInferenceOracle.Status status;
    }

    IInferenceOracle private immutable _oracle;
    IInferenceOracle.Request private _template;
    uint256[] private _inputWords;
    uint256[] private _words;
    uint256[] private _commitments;
    Made[] private _made;

    address[4] public actors = [address(0xa1), address(0xa2), address(0xa3), address(0xa4)];
    address[3] public currencies;
    mapping(address currency => uint256) public deposited;
    mapping(address currency => uint256) public withdrawn;
    mapping(address currency => uint256) public escrowed;

    constructor(
        IInferenceOracle oracle,
        IInferenceOracle.Request memory template,
        uint256[] memory inputWords,
        uint256[] memory words,
        uint256[] memory commitments
    ) {
        (_oracle, _template, _inputWords, _words, _commitments) = (oracle, template, inputWords, words, commitments);
        currencies = [address(0), address(new Token()), address(new Token())];
        for (uint256 i = 0; i < 4; ++i) {
            for (uint256 j = 1; j < 3; ++j) {
                vm.prank(actors[i]);
                Token(currencies[j]).approve(address(oracle), type(uint256).max);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ what anyone may

    function request(uint256 actor, uint256 currency, uint96 fee, uint32 duration, bool partial_) external {
        Made memory made;
        made.request = _template;
        made.requester = actors[actor % 4];
        made.request.feeToken = currencies[currency % 3];
        made.request.fee = fee;
        made.request.minCoverage = partial_ ? LAST : 0;
        made.request.deadline = uint64(block.timestamp + duration % 1000);
        made.nonce = _oracle.nonces(made.requester);
        bool isEther = made.request.feeToken == address(0);
        if (isEther) vm.deal(made.requester, made.requester.balance + fee);
        else Token(made.request.feeToken).mint(made.requester, fee);
        vm.prank(made.requester);
        made.id = _oracle.request{value: isEther ? fee : 0}(made.request, _inputWords);
        made.status = IInferenceOracle.Status.Open;
        _made.push(made);
        deposited[made.request.feeToken] += fee;
        escrowed[made.request.feeToken] += fee;
    }

    function fulfil(uint256 index, uint256 actor, bool partial_) external {
        if (_made.length == 0) return;
        index %= _made.length;
        uint256 coverage = partial_ ? LAST : 0;
        bool enough = !partial_ || _made[index].request.minCoverage == LAST;
        bool succeeds = enough && _isFulfillable(index, coverage);
        if (!succeeds) vm.expectRevert();
        _oracle.fulfil(_fulfilment(index, actor, coverage));
        if (succeeds) _settle(index, coverage);
    }

    /// Some of them twice, and some closed or expired.
    function fulfilBatch(uint256 seed, uint256 actor) external {
        if (_made.length == 0) return;
        uint256 n = 1 + seed % 5;
        IInferenceOracle.Fulfilment[] memory fulfilments = new IInferenceOracle.Fulfilment[](n);
        uint256[] memory indexes = new uint256[](n);
        bool some;
        for (uint256 i = 0; i < n; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            // The newest, mostly: the others are closed.
            uint256 back = seed % 6;
            indexes[i] = back < _made.length ? _made.length - 1 - back : seed % _made.length;
            uint256 coverage = (seed >> 128) % 2 == 0 ? _made[indexes[i]].request.minCoverage : 0;
            fulfilments[i] = _fulfilment(indexes[i], actor, coverage);
            some = some || _isFulfillable(indexes[i], coverage);
        }
        if (!some) vm.expectRevert(IInferenceOracle.NothingToFulfil.selector);
        _oracle.fulfilBatch(fulfilments);
        for (uint256 i = 0; i < n; ++i) {
            if (_isFulfillable(indexes[i], fulfilments[i].coverage)) _settle(indexes[i], fulfilments[i].coverage);
        }
    }

    function refund(uint256 index) external {
        if (_made.length == 0) return;
        Made storage made = _made[index % _made.length];
        bool succeeds = made.status == IInferenceOracle.Status.Open && block.timestamp > made.request.deadline;
        if (!succeeds) vm.expectRevert();
        _oracle.refund(made.request, made.requester, made.nonce);
        if (!succeeds) return;
        made.status = IInferenceOracle.Status.Refunded;
        escrowed[made.request.feeToken] -= made.request.fee;
    }

    function withdraw(uint256 actor, uint256 currency) external {
        (address account, address token) = (actors[actor % 4], currencies[currency % 3]);
        uint256 amount = _oracle.balanceOf(account, token);
        if (amount == 0) vm.expectPartialRevert(IInferenceOracle.NothingToWithdraw.selector);
        vm.prank(account);
        _oracle.withdraw(token, account);
        withdrawn[token] += amount;
    }

    function openFeed(uint256 actor, uint16 capacity) external {
        address account = actors[actor % 4];
        bytes32 feedId = _oracle.feedIdOf(_template.modelDigest, _template.verifier, account);
        bool succeeds = capacity % 5 != 0 && _oracle.feed(feedId).capacity == 0;
        vm.prank(account);
        if (!succeeds) vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InvalidFeed.selector, feedId));
        _oracle.openFeed(_template.modelDigest, _template.verifier, capacity % 5, 0);
    }

    function warp(uint16 seconds_) external {
        vm.warp(block.timestamp + seconds_ % 600);
    }

    // ------------------------------------------------------------------------------------------------ the books

    function _isFulfillable(uint256 index, uint256 coverage) private view returns (bool) {
        Made storage made = _made[index];
        if (block.timestamp > made.request.deadline) return false;
        return made.status == IInferenceOracle.Status.Open
            || (made.status == IInferenceOracle.Status.PartiallyFulfilled && coverage == 0);
    }

    function _settle(uint256 index, uint256 coverage) private {
        Made storage made = _made[index];
        if (made.status == IInferenceOracle.Status.Open) escrowed[made.request.feeToken] -= made.request.fee;
        made.status = coverage == 0 ? IInferenceOracle.Status.Fulfilled : IInferenceOracle.Status.PartiallyFulfilled;
    }

    function _fulfilment(uint256 index, uint256 actor, uint256 coverage)
        private
        view
        returns (IInferenceOracle.Fulfilment memory)
    {
        return IInferenceOracle.Fulfilment({
            request: _made[index].request,
            requester: _made[index].requester,
            nonce: _made[index].nonce,
            beneficiary: actors[actor % 4],
            coverage: coverage,
            words: _words,
            commitments: _commitments,
            proofs: new uint256[](0)
        });
    }

    function count() external view returns (uint256) {
        return _made.length;
    }

    function stateOf(uint256 index) external view returns (bytes32 id, IInferenceOracle.Status status) {
        return (_made[index].id, _made[index].status);
    }
}

contract InferenceOracleInvariantTest is Jobs {
    EscrowHandler private handler;
    bytes32 private digest;
    uint64[4] private newestRound;
    uint64[4] private newestObservedAt;

    function setUp() public override {
        super.setUp();
        bytes memory blob = loadModel("chain").blob;
        setWord(blob, 3, 4); // The coverage policy: the last slice.
        rehash(blob);
        digest = register(blob);
        vm.mockCall(address(verifier), abi.encodeWithSelector(IBundleVerifier.verifyBatch.selector), "");
        Job memory job = draft("chain");
        job.request.modelDigest = digest;
        handler = new EscrowHandler(oracle, job.request, inputWords(job), job.bundle.words, job.bundle.commitments);
        targetContract(address(handler));
    }

    /// For each currency: in = paid out + credited + escrowed, and the oracle holds the last two.
    function invariant_MoneyIsAccountedFor() public view {
        for (uint256 c = 0; c < 3; ++c) {
            address currency = handler.currencies(c);
            uint256 credits;
            for (uint256 i = 0; i < 4; ++i) {
                credits += oracle.balanceOf(handler.actors(i), currency);
            }
            uint256 escrowed = handler.escrowed(currency);
            assertEq(handler.deposited(currency), handler.withdrawn(currency) + credits + escrowed);
            uint256 held = currency == address(0) ? address(oracle).balance : Token(currency).balanceOf(address(oracle));
            assertEq(held, credits + escrowed);
        }
    }

    /// Each request is in the state that the books say, and no other.
    function invariant_StatesAreThoseOfTheBooks() public view {
        for (uint256 i = 0; i < handler.count(); ++i) {
            (bytes32 id, IInferenceOracle.Status status) = handler.stateOf(i);
            assertEq(uint8(oracle.status(id)), uint8(status));
        }
    }

    /// Rounds and their inputs' times never go back, and the newest round can be read.
    function invariant_FeedsMoveForward() public {
        for (uint256 i = 0; i < 4; ++i) {
            bytes32 feedId = oracle.feedIdOf(digest, VERIFIER, handler.actors(i));
            IInferenceOracle.Feed memory feed = oracle.feed(feedId);
            if (feed.round == newestRound[i]) {
                assertEq(feed.observedAt, newestObservedAt[i]);
            } else {
                assertGt(feed.round, newestRound[i]);
                assertGt(feed.observedAt, newestObservedAt[i]);
                (uint64 observedAt,,) = oracle.roundOf(feedId, feed.round);
                assertEq(observedAt, feed.observedAt);
            }
            (newestRound[i], newestObservedAt[i]) = (feed.round, feed.observedAt);
        }
    }
}
