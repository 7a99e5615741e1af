// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceConsumer} from "../../contracts/interfaces/IInferenceConsumer.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {KeyBlob} from "../../contracts/libraries/KeyBlob.sol";
import {MockInferenceOracle} from "../../contracts/testing/MockInferenceOracle.sol";
import {MockModelRegistry} from "../../contracts/testing/MockModelRegistry.sol";
import {Mocked} from "./utils/Mocked.sol";
import {deploy} from "./utils/Deploy.sol";

contract Callee is IInferenceConsumer {
    uint256 public gasSeen;
    uint256 public word;
    uint256 public bomb;

    function setBomb(uint256 size) external {
        bomb = size;
    }

    function onInference(bytes32, bytes32, uint256[] calldata words) external {
        gasSeen = gasleft();
        word = words[0];
        uint256 size = bomb;
        if (size != 0) {
            assembly {
                revert(0, size)
            }
        }
    }
}

contract MockInferenceOracleTest is Mocked {
    event CallbackFailed(bytes32 indexed requestId, bytes returndata);
    event FulfilmentSkipped(bytes32 indexed requestId, IInferenceOracle.SkipReason reason);

    Callee private callee;

    receive() external payable {}

    function setUp() public override {
        super.setUp();
        callee = new Callee();
    }

    function _request() private view returns (IInferenceOracle.Request memory request) {
        request.modelDigest = MODEL;
        request.inputs = new bytes32[](1);
        request.verifier = VERIFIER;
        request.fee = 10;
        request.deadline = uint64(block.timestamp + 60);
        (request.callback, request.callbackGas) = (address(callee), 100_000);
    }

    function _open(IInferenceOracle.Request memory request) private returns (bytes32) {
        return oracle.request{value: request.fee}(request, list(1));
    }

    function _fulfilment(IInferenceOracle.Request memory request, uint256 nonce, uint256 word)
        private
        view
        returns (IInferenceOracle.Fulfilment memory fulfilment)
    {
        fulfilment.request = request;
        fulfilment.requester = address(this);
        fulfilment.nonce = nonce;
        fulfilment.beneficiary = alice;
        fulfilment.words = list(1, word);
    }

    /// It believes anyone, so it must not exist where money is.
    function test_RevertWhen_ChainIsNotLocal() public {
        uint256[7] memory chains = [uint256(1), 10, 1336, 1338, 31_336, 31_347, 42_161];
        for (uint256 i = 0; i < chains.length; ++i) {
            vm.chainId(chains[i]);
            vm.expectRevert(abi.encodeWithSelector(MockModelRegistry.TestOnly.selector, chains[i]));
            new MockInferenceOracle();
            vm.expectRevert(abi.encodeWithSelector(MockModelRegistry.TestOnly.selector, chains[i]));
            new MockModelRegistry();
        }
        uint256[3] memory local = [uint256(1337), 31_337, 31_346];
        for (uint256 i = 0; i < local.length; ++i) {
            vm.chainId(local[i]);
            MockInferenceOracle(deploy("MockInferenceOracle", ""));
        }
    }

    function test_AnswersWithExactGas() public {
        bytes32 id = _open(_request());
        vm.prank(alice);
        oracle.answer(id, list(7));
        assertEq(callee.word(), 7);
        assertLe(callee.gasSeen(), 100_000);
        assertGt(callee.gasSeen(), 98_000);
        (IInferenceOracle.Status status, uint64 requestedAt, bytes26 hash) = oracle.result(id);
        assertEq(uint256(status), uint256(IInferenceOracle.Status.Fulfilled));
        assertEq(requestedAt, block.timestamp);
        assertEq(hash, bytes26(keccak256(abi.encodePacked(uint256(7)))));
        assertEq(oracle.balanceOf(alice, address(0)), 10);
        vm.prank(alice);
        oracle.withdraw(address(0), alice);
        assertEq(alice.balance, 10);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.NotOpen.selector, id, IInferenceOracle.Status.Fulfilled)
        );
        oracle.answer(id, list(8));
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.NotOpen.selector, id, IInferenceOracle.Status.Fulfilled)
        );
        oracle.expire(id);
    }

    function test_RecordsFailedCallbacks() public {
        callee.setBomb(100_000);
        bytes32 id = _open(_request());
        oracle.answer(id, list(7));
        assertTrue(oracle.callbackFailed(id));
        callee.setBomb(1000);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.CallbackFailedAgain.selector, id));
        oracle.retryCallback(_request(), address(this), 0, 0, list(7));
        callee.setBomb(0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.OutputsMismatch.selector, id));
        oracle.retryCallback(_request(), address(this), 0, 0, list(8));
        oracle.retryCallback(_request(), address(this), 0, 0, list(7));
        assertEq(callee.word(), 7);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NoFailedCallback.selector, id));
        oracle.retryCallback(_request(), address(this), 0, 0, list(7));
    }

    function test_ReturndataIsCut() public {
        callee.setBomb(1000);
        bytes32 id = _open(_request());
        vm.recordLogs();
        oracle.answer(id, list(7));
        bytes memory returndata = abi.decode(vm.getRecordedLogs()[1].data, (bytes));
        assertEq(returndata.length, 132);
    }

    function test_RevertWhen_GasIsTooLittleToCallBack() public {
        bytes32 id = _open(_request());
        (bool ok, bytes memory reason) =
            address(oracle).call{gas: 130_000}(abi.encodeCall(oracle.answer, (id, list(7))));
        assertFalse(ok);
        assertEq(bytes4(reason), IInferenceOracle.InsufficientCallbackGas.selector);
        assertEq(uint256(oracle.status(id)), uint256(IInferenceOracle.Status.Open));
    }

    function test_FulfilsWithoutProofs() public {
        bytes32 id = _open(_request());
        oracle.fulfil(_fulfilment(_request(), 0, 7));
        oracle.requireOutputs(id, list(7), 0);
        assertEq(oracle.balanceOf(alice, address(0)), 10);
        IInferenceOracle.Request memory request = _request();
        _open(request);
        vm.warp(block.timestamp + 61);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.DeadlinePassed.selector, request.deadline, block.timestamp)
        );
        oracle.fulfil(_fulfilment(request, 1, 7));
    }

    function test_BatchesPassOver() public {
        IInferenceOracle.Request memory request = _request();
        bytes32 first = _open(request);
        oracle.answer(first, list(7));
        _open(request);
        IInferenceOracle.Request memory late = _request();
        late.deadline = uint64(block.timestamp);
        bytes32 third = _open(late);
        vm.warp(block.timestamp + 1);
        IInferenceOracle.Fulfilment[] memory items = new IInferenceOracle.Fulfilment[](3);
        items[0] = _fulfilment(request, 0, 8);
        items[1] = _fulfilment(request, 1, 9);
        items[2] = _fulfilment(late, 2, 9);
        vm.expectEmit(address(oracle));
        emit FulfilmentSkipped(first, IInferenceOracle.SkipReason.NotOpen);
        vm.expectEmit(address(oracle));
        emit FulfilmentSkipped(third, IInferenceOracle.SkipReason.DeadlinePassed);
        oracle.fulfilBatch(items);
        assertEq(callee.word(), 9);
    }

    function test_StoppedIsNotFulfilledButRefundedAtOnce() public {
        IInferenceOracle.Request memory request = _request();
        bytes32 id = _open(request);
        registry.setVerifierStatus(VERIFIER, IModelRegistry.Status.Tombstoned);
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.VerifierNotActive.selector, VERIFIER, IModelRegistry.Status.Tombstoned
            )
        );
        oracle.fulfil(_fulfilment(request, 0, 7));
        IInferenceOracle.Fulfilment[] memory items = new IInferenceOracle.Fulfilment[](1);
        items[0] = _fulfilment(request, 0, 7);
        vm.expectRevert(IInferenceOracle.NothingToFulfil.selector);
        oracle.fulfilBatch(items);
        oracle.refund(request, address(this), 0);
        assertEq(uint256(oracle.status(id)), uint256(IInferenceOracle.Status.Refunded));
        vm.expectRevert(IInferenceOracle.InvalidBeneficiary.selector);
        oracle.withdraw(address(0), address(0));
    }

    function test_RefundsAfterTheDeadline() public {
        IInferenceOracle.Request memory request = _request();
        bytes32 id = _open(request);
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.DeadlineNotPassed.selector, request.deadline, block.timestamp)
        );
        oracle.refund(request, address(this), 0);
        vm.warp(request.deadline + 1);
        oracle.refund(request, address(this), 0);
        assertEq(uint256(oracle.status(id)), uint256(IInferenceOracle.Status.Refunded));
        uint256 before = address(this).balance;
        oracle.withdraw(address(0), address(this));
        assertEq(address(this).balance, before + 10);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NothingToWithdraw.selector, address(this), address(0)));
        oracle.withdraw(address(0), address(this));
    }

    function test_RevertWhen_EtherIsRefused() public {
        bytes32 id = _open(_request());
        oracle.expire(id);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.WithdrawFailed.selector, address(callee)));
        oracle.withdraw(address(0), address(callee));
    }

    function test_TakesAndPaysTokens() public {
        IInferenceOracle.Request memory request = _request();
        request.feeToken = address(token);
        token.mint(address(this), 10);
        token.approve(address(oracle), 10);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.FeeMismatch.selector, 0, 1));
        oracle.request{value: 1}(request, list(1));
        bytes32 id = oracle.request(request, list(1));
        vm.startPrank(alice);
        oracle.answer(id, list(7));
        oracle.withdraw(address(token), mallory);
        assertEq(token.balanceOf(mallory), 10);
    }

    function test_RevertWhen_RequestIsRefused() public {
        IInferenceOracle.Request memory request = _request();
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.FeeMismatch.selector, 10, 9));
        oracle.request{value: 9}(request, list(1));
        request.deadline = uint64(block.timestamp) - 1;
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.DeadlinePassed.selector, request.deadline, block.timestamp)
        );
        _open(request);
        request = _request();
        request.callback = alice;
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InvalidCallback.selector, alice));
        _open(request);
        request = _request();
        request.callbackGas = 5_000_001;
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InvalidCallbackGas.selector, 5_000_001, 5_000_000));
        _open(request);
        request.callback = address(0);
        request.callbackGas = 1;
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InvalidCallbackGas.selector, 1, 0));
        _open(request);
        request = _request();
        registry.setModelStatus(MODEL, IModelRegistry.Status.Pending);
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, MODEL, IModelRegistry.Status.Pending)
        );
        _open(request);
        registry.setModelStatus(MODEL, IModelRegistry.Status.Active);
        registry.setVerifierStatus(VERIFIER, IModelRegistry.Status.Pending);
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.VerifierNotActive.selector, VERIFIER, IModelRegistry.Status.Pending)
        );
        _open(request);
        registry.setVerifierStatus(VERIFIER, IModelRegistry.Status.Active);
        assertEq(registry.verifierOf(VERIFIER), address(registry));
    }

    /// Newer requests' results move the feed on, older ones' do not.
    function test_RequestsMoveTheFeed() public {
        bytes32 early = _open(_request());
        bytes32 feedId = oracle.openFeed(MODEL, VERIFIER, 2, 0);
        oracle.answer(early, list(9)); // Asked for before the feed was opened.
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NoRound.selector, feedId));
        oracle.latest(feedId, 0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.InvalidFeed.selector, feedId));
        oracle.openFeed(MODEL, VERIFIER, 2, 0);
        IInferenceOracle.Request memory request = _request();
        bytes32 first = _open(request);
        vm.warp(block.timestamp + 1);
        bytes32 second = _open(request);
        oracle.answer(second, list(2));
        oracle.answer(first, list(1));
        (uint64 round, uint64 observedAt, uint64 updatedAt, uint256[] memory words) = oracle.latest(feedId, 0);
        assertEq(round, 1);
        assertEq(observedAt, block.timestamp);
        assertEq(updatedAt, block.timestamp);
        assertEq(words, list(2));
    }

    function test_FeedsArePerVerifier() public {
        bytes32 own = oracle.openFeed(MODEL, VERIFIER, 2, 0);
        bytes32 others = oracle.openFeed(MODEL, OTHER_VERIFIER, 2, 60);
        oracle.answer(_open(_request()), list(1));
        assertEq(oracle.feed(own).round, 1);
        assertEq(oracle.feed(others).round, 0);
        IInferenceOracle.Request memory request = _request();
        request.verifier = OTHER_VERIFIER;
        oracle.answer(_open(request), list(2));
        assertEq(oracle.feed(own).round, 1);
        assertEq(oracle.feed(others).round, 1);
        vm.warp(block.timestamp + 1);
        IInferenceOracle.Publication memory publication = _publication();
        (publication.verifier, publication.round) = (OTHER_VERIFIER, 2);
        oracle.publish(publication, "");
        oracle.setRound(MODEL, OTHER_VERIFIER, address(this), uint64(block.timestamp), list(4));
        assertEq(oracle.feed(own).round, 1);
        assertEq(oracle.feed(others).round, 3);
        (,,, uint256[] memory words) = oracle.latest(own, 1);
        assertEq(words, list(1));
    }

    function _publication() private view returns (IInferenceOracle.Publication memory publication) {
        publication.source = address(this);
        publication.modelDigest = MODEL;
        publication.verifier = VERIFIER;
        publication.round = 1;
        publication.observedAt = uint64(block.timestamp);
        publication.words = list(1, 7);
    }

    function test_PublishesWithoutProofs() public {
        KeyBlob.Tensor[] memory tensors = new KeyBlob.Tensor[](3);
        tensors[0] = KeyBlob.Tensor(2, 31, 8, 0, 1, 0); // Private: no words.
        tensors[1] = KeyBlob.Tensor(1, 31, 8, 0, 1, 0); // One word.
        tensors[2] = KeyBlob.Tensor(3, 1, 16, 0, 1, 0);
        registry.setModel(MODEL, tensors);
        bytes32 feedId = oracle.openFeed(MODEL, VERIFIER, 2, 60);
        IInferenceOracle.Publication memory publication = _publication();
        oracle.publish(publication, "");
        (,,, uint256[] memory words) = oracle.latest(feedId, 0);
        assertEq(words, list(7));
        publication.round = 2;
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceOracle.NotNextRound.selector, 2, 2, block.timestamp, publication.observedAt
            )
        );
        oracle.publish(publication, "");
        publication.observedAt += 1;
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceOracle.ObservationOutOfWindow.selector, publication.observedAt, 60, block.timestamp
            )
        );
        oracle.publish(publication, "");
        vm.warp(publication.observedAt + 61);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceOracle.ObservationOutOfWindow.selector, publication.observedAt, 60, block.timestamp
            )
        );
        oracle.publish(publication, "");
        publication.observedAt = uint64(block.timestamp);
        publication.round = 3;
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.NotNextRound.selector, 2, 3, 1_800_000_000, publication.observedAt)
        );
        oracle.publish(publication, "");
        publication.round = 2;
        vm.prank(mallory);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NotSource.selector, address(this)));
        oracle.publish(publication, "");
    }

    function test_RevertWhen_FeedTakesNoPublications() public {
        oracle.openFeed(MODEL, VERIFIER, 2, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceOracle.ObservationOutOfWindow.selector, block.timestamp, 0, block.timestamp
            )
        );
        oracle.publish(_publication(), "");
    }

    function test_HashesTellApart() public {
        IInferenceOracle.Request memory request = _request();
        uint256 context = oracle.contextOf(request, address(this), 0, alice);
        assertNotEq(context, oracle.contextOf(request, address(this), 0, mallory));
        assertNotEq(context, oracle.contextOf(request, address(this), 1, alice));
        assertNotEq(oracle.inputOwnerOf(MODEL, alice), oracle.inputOwnerOf(MODEL, mallory));
        IInferenceOracle.Publication memory publication = _publication();
        uint256 before = oracle.publicationContextOf(publication);
        publication.round = 2;
        assertNotEq(before, oracle.publicationContextOf(publication));
        publication.round = 1;
        publication.verifier = OTHER_VERIFIER;
        assertNotEq(before, oracle.publicationContextOf(publication));
        assertEq(oracle.MAX_CALLBACK_GAS(), 5_000_000);
        assertEq(address(oracle.registry()), address(registry));
    }
}
