// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";
import {InferenceConsumer} from "../../contracts/consumers/InferenceConsumer.sol";
import {InsuranceClaim} from "../../contracts/examples/InsuranceClaim.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {KeyBlob} from "../../contracts/libraries/KeyBlob.sol";
import {ModelLayout} from "../../contracts/libraries/ModelLayout.sol";
import {Mocked} from "./utils/Mocked.sol";
import {deploy} from "./utils/Deploy.sol";

contract RefusingHolder {}

contract InsuranceClaimTest is Mocked {
    uint256 private constant PAYOUT = 1 ether;
    uint256 private constant FEE = 1000;

    event Settled(uint256 indexed policyId, InsuranceClaim.State outcome);

    InsuranceClaim private insurance;
    address private inspector = makeAddr("inspector");
    uint64 private end;

    receive() external payable {}

    function setUp() public override {
        super.setUp();
        setModel(false, 31, 3, 8, 128); // Three classes; the second is covered.
        insurance = InsuranceClaim(deploy("InsuranceClaim", abi.encode(oracle, MODEL, VERIFIER, 1, inspector)));
        end = uint64(block.timestamp + 30 days);
        vm.deal(inspector, 10 * FEE);
    }

    function _scores(uint256 a, uint256 b, uint256 c) private pure returns (uint256[] memory) {
        return list(a | (b << 8) | (c << 16));
    }

    function _insured(address holder) private returns (uint256) {
        return insurance.insure{value: PAYOUT}(holder, end);
    }

    function _file(uint256 policyId, uint256 photo) private returns (bytes32) {
        vm.prank(inspector);
        return insurance.file{value: FEE}(policyId, list(photo));
    }

    function _state(uint256 policyId) private view returns (uint256) {
        (InsuranceClaim.State state,,,,) = insurance.policyOf(policyId);
        return uint256(state);
    }

    function test_PaysForTheCoveredClass() public {
        uint256 id = _insured(alice);
        bytes32 requestId = _file(id, 42);
        assertEq(_state(id), uint256(InsuranceClaim.State.Filed));
        vm.expectEmit(address(insurance));
        emit Settled(id, InsuranceClaim.State.Paid);
        oracle.answer(requestId, _scores(10, 200, 199));
        assertFalse(oracle.callbackFailed(requestId));
        assertEq(insurance.owed(alice), PAYOUT);
        vm.prank(alice);
        insurance.withdraw();
        assertEq(alice.balance, PAYOUT);
        vm.prank(alice);
        insurance.withdraw();
        assertEq(alice.balance, PAYOUT, "once");
    }

    function test_DeniesAnyOtherClass() public {
        uint256 id = _insured(alice);
        oracle.answer(_file(id, 42), _scores(200, 200, 200)); // Of equals, the first.
        assertEq(_state(id), uint256(InsuranceClaim.State.Denied));
        assertEq(insurance.owed(alice), 0);
        uint256 before = address(this).balance;
        insurance.withdraw();
        assertEq(address(this).balance, before + PAYOUT);
        vm.prank(inspector);
        vm.expectRevert(abi.encodeWithSelector(InsuranceClaim.WrongState.selector, id, InsuranceClaim.State.Denied));
        insurance.file{value: FEE}(id, list(43));
    }

    /// A9: no answer is never a "yes"; the claim can be filed again.
    function test_NoAnswerPaysNobody() public {
        uint256 id = _insured(alice);
        bytes32 requestId = _file(id, 42);
        oracle.expire(requestId);
        insurance.closeRefunded(requestId);
        assertEq(_state(id), uint256(InsuranceClaim.State.Insured));
        assertEq(insurance.owed(alice), 0);
        insurance.collectRefunds();
        assertEq(inspector.balance, 10 * FEE);
        bytes32 again = _file(id, 42);
        oracle.answer(again, _scores(0, 1, 0));
        assertEq(insurance.owed(alice), PAYOUT);
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.UnknownRequest.selector, requestId));
        insurance.closeRefunded(requestId);
    }

    function test_RefusingHolderDoesNotBlockTheCallback() public {
        address holder = address(new RefusingHolder());
        bytes32 requestId = _file(_insured(holder), 42);
        oracle.answer(requestId, _scores(0, 1, 0));
        assertFalse(oracle.callbackFailed(requestId));
        assertEq(insurance.owed(holder), PAYOUT);
        vm.prank(holder);
        vm.expectRevert(Errors.FailedCall.selector);
        insurance.withdraw();
        assertEq(insurance.owed(holder), PAYOUT);
    }

    function test_RevertWhen_OnePhotoIsFiledTwice() public {
        (uint256 first, uint256 second) = (_insured(alice), _insured(mallory));
        _file(first, 42);
        vm.prank(inspector);
        vm.expectRevert(
            abi.encodeWithSelector(InsuranceClaim.PhotoUsed.selector, keccak256(abi.encodePacked(uint256(42))))
        );
        insurance.file{value: FEE}(second, list(42));
    }

    function test_RevertWhen_CallersAreOthers() public {
        uint256 id = _insured(alice);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(InsuranceClaim.Unauthorized.selector, alice));
        insurance.file(id, list(42));
        vm.expectRevert(abi.encodeWithSelector(InsuranceClaim.Unauthorized.selector, alice));
        insurance.insure(alice, end);
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotOracle.selector, alice));
        insurance.onInference(0, MODEL, _scores(0, 1, 0));
    }

    /// The holder's own request with a picture of their choice does not settle the claim.
    function test_ForeignRequestsSettleNothing() public {
        uint256 id = _insured(alice);
        _file(id, 42);
        IInferenceOracle.Request memory request;
        request.modelDigest = MODEL;
        request.inputs = new bytes32[](1);
        request.verifier = VERIFIER;
        request.deadline = uint64(block.timestamp);
        (request.callback, request.callbackGas) = (address(insurance), 300_000);
        vm.prank(alice);
        bytes32 foreign = oracle.request(request, list(43));
        oracle.answer(foreign, _scores(0, 1, 0));
        assertTrue(oracle.callbackFailed(foreign));
        assertEq(insurance.owed(alice), 0);
        assertEq(_state(id), uint256(InsuranceClaim.State.Filed));
    }

    function test_EndsUnclaimed() public {
        uint256 id = _insured(alice);
        vm.expectRevert(abi.encodeWithSelector(InsuranceClaim.NotEnded.selector, id, end));
        insurance.close(id);
        vm.warp(end + 1);
        vm.prank(inspector);
        vm.expectRevert(abi.encodeWithSelector(InsuranceClaim.AlreadyEnded.selector, id, end));
        insurance.file{value: FEE}(id, list(42));
        insurance.close(id);
        assertEq(insurance.owed(address(this)), PAYOUT);
        vm.expectRevert(abi.encodeWithSelector(InsuranceClaim.WrongState.selector, id, InsuranceClaim.State.Ended));
        insurance.close(id);
    }

    /// A claim filed in time cannot be closed under way.
    function test_RevertWhen_ClosedWhileFiled() public {
        uint256 id = _insured(alice);
        vm.warp(end);
        bytes32 requestId = _file(id, 42);
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(InsuranceClaim.WrongState.selector, id, InsuranceClaim.State.Filed));
        insurance.close(id);
        oracle.answer(requestId, _scores(0, 1, 0));
        assertEq(insurance.owed(alice), PAYOUT);
    }

    function test_RevertWhen_ModelIsNoClassifier() public {
        KeyBlob.Tensor[] memory tensors = new KeyBlob.Tensor[](3);
        tensors[0] = KeyBlob.Tensor(1, 31, 8, 0, 1, 0);
        tensors[1] = KeyBlob.Tensor(3, 1, 8, 0, 1, 0);
        tensors[2] = KeyBlob.Tensor(3, 1, 8, 0, 1, 0);
        registry.setModel(MODEL, tensors);
        vm.expectRevert(abi.encodeWithSelector(InsuranceClaim.NotAClassifier.selector, MODEL));
        new InsuranceClaim(oracle, MODEL, VERIFIER, 1, inspector);
        tensors[1].kind = 1;
        registry.setModel(MODEL, tensors);
        vm.expectRevert(abi.encodeWithSelector(InsuranceClaim.NotAClassifier.selector, MODEL));
        new InsuranceClaim(oracle, MODEL, VERIFIER, 1, inspector);
        setModel(true, 31, 3, 8, 128);
        vm.expectRevert(abi.encodeWithSelector(ModelLayout.PrivateInput.selector, MODEL, 0));
        new InsuranceClaim(oracle, MODEL, VERIFIER, 1, inspector);
    }
}
