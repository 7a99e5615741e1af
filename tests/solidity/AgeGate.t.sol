// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {InferenceConsumer} from "../../contracts/consumers/InferenceConsumer.sol";
import {AgeGate} from "../../contracts/examples/AgeGate.sol";
import {Mocked} from "./utils/Mocked.sol";
import {deploy} from "./utils/Deploy.sol";

contract AgeGateTest is Mocked {
    uint256 private constant FEE = 1000;
    bytes32 private constant COMMITMENT = bytes32(uint256(1234));

    event Decided(address indexed subject, bytes32 indexed requestId, bool isOfAge);

    AgeGate private gate;
    address private attester;
    uint256 private attesterKey;
    uint64 private expiry;

    function setUp() public override {
        super.setUp();
        (attester, attesterKey) = makeAddrAndKey("attester");
        setModel(true, 784, 1, 1, 0);
        gate = AgeGate(deploy("AgeGate", abi.encode(oracle, MODEL, VERIFIER, attester, 1)));
        expiry = uint64(block.timestamp + 60);
        vm.deal(alice, 10 * FEE);
        vm.deal(mallory, 10 * FEE);
    }

    function _sign(uint256 key, address subject, bytes32 commitment) private view returns (bytes memory) {
        // Written out from EIP-712, not taken from the contract.
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("AgeGate"),
                keccak256("1"),
                block.chainid,
                address(gate)
            )
        );
        bytes32 message = keccak256(
            abi.encode(
                keccak256("Attestation(bytes32 modelDigest,address subject,bytes32 commitment,uint64 expiry)"),
                MODEL,
                subject,
                commitment,
                expiry
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, keccak256(abi.encodePacked("\x19\x01", domain, message)));
        return abi.encodePacked(r, s, v);
    }

    function _enter(address subject) private returns (bytes32) {
        bytes memory signature = _sign(attesterKey, subject, COMMITMENT);
        vm.prank(subject);
        return gate.enter{value: FEE}(COMMITMENT, expiry, signature);
    }

    function test_LearnsTheBit() public {
        bytes32 id = _enter(alice);
        vm.expectEmit(address(gate));
        emit Decided(alice, id, true);
        oracle.answer(id, list(1));
        assertTrue(gate.isOfAge(alice));
        assertFalse(oracle.callbackFailed(id));
        assertFalse(gate.isOfAge(mallory));
    }

    function test_TurnsAwayTheYoung() public {
        bytes32 id = _enter(alice);
        vm.expectEmit(address(gate));
        emit Decided(alice, id, false);
        oracle.answer(id, list(0));
        assertFalse(gate.isOfAge(alice));
        // A later portrait may say otherwise, and after that no bad picture undoes it.
        oracle.answer(_enter(alice), list(1));
        assertTrue(gate.isOfAge(alice));
        oracle.answer(_enter(alice), list(0));
        assertTrue(gate.isOfAge(alice));
    }

    function test_ThresholdCountsIntegers() public {
        setModel(true, 784, 1, 16, 100);
        gate = AgeGate(deploy("AgeGate", abi.encode(oracle, MODEL, VERIFIER, attester, 18)));
        oracle.answer(_enter(alice), list(117));
        assertFalse(gate.isOfAge(alice));
        oracle.answer(_enter(alice), list(118));
        assertTrue(gate.isOfAge(alice));
    }

    /// A commitment alone is a claim of its owner: somebody else's portrait, or none.
    function test_RevertWhen_NobodyAttests() public {
        bytes[4] memory signatures = [
            bytes(""),
            _sign(attesterKey, alice, COMMITMENT), // Copied from alice.
            _sign(attesterKey, mallory, bytes32(uint256(5678))), // Of another portrait.
            _sign(uint256(1), mallory, COMMITMENT) // By another key.
        ];
        vm.startPrank(mallory);
        for (uint256 i = 0; i < signatures.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(AgeGate.InvalidAttestation.selector, mallory, COMMITMENT));
            gate.enter{value: FEE}(COMMITMENT, expiry, signatures[i]);
        }
        bytes memory good = _sign(attesterKey, mallory, COMMITMENT);
        vm.expectRevert(abi.encodeWithSelector(AgeGate.InvalidAttestation.selector, mallory, COMMITMENT));
        gate.enter{value: FEE}(COMMITMENT, expiry + 1, good);
        gate.enter{value: FEE}(COMMITMENT, expiry, good);
    }

    /// The same attestation is worth nothing to another gate or on another chain.
    function test_RevertWhen_AttestationIsForAnotherGate() public {
        bytes memory signature = _sign(attesterKey, alice, COMMITMENT);
        AgeGate other = AgeGate(deploy("AgeGate", abi.encode(oracle, MODEL, VERIFIER, attester, 1)));
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(AgeGate.InvalidAttestation.selector, alice, COMMITMENT));
        other.enter{value: FEE}(COMMITMENT, expiry, signature);
        vm.chainId(31_338);
        vm.expectRevert(abi.encodeWithSelector(AgeGate.InvalidAttestation.selector, alice, COMMITMENT));
        gate.enter{value: FEE}(COMMITMENT, expiry, signature);
    }

    function test_RevertWhen_AttestationExpired() public {
        bytes memory signature = _sign(attesterKey, alice, COMMITMENT);
        vm.warp(expiry);
        vm.prank(alice);
        gate.enter{value: FEE}(COMMITMENT, expiry, signature);
        vm.warp(expiry + 1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(AgeGate.AttestationExpired.selector, expiry, expiry + 1));
        gate.enter{value: FEE}(COMMITMENT, expiry, signature);
    }

    /// A9: a commitment without a proof ends in a refund, never in a pass; each subject gets their own fee back.
    function test_NoAnswerIsNoPass() public {
        bytes32 first = _enter(alice);
        bytes32 second = _enter(mallory);
        oracle.expire(first);
        oracle.expire(second);
        gate.closeRefunded(first);
        assertFalse(gate.isOfAge(alice));
        assertEq(gate.refundOf(alice), FEE);
        assertEq(gate.refundOf(mallory), 0);
        vm.prank(mallory);
        gate.withdrawRefund();
        assertEq(mallory.balance, 9 * FEE, "nothing of alice's");
        vm.prank(alice);
        gate.withdrawRefund();
        assertEq(alice.balance, 10 * FEE);
        gate.closeRefunded(second);
        vm.startPrank(mallory);
        gate.withdrawRefund();
        gate.withdrawRefund();
        assertEq(mallory.balance, 10 * FEE);
        assertEq(address(gate).balance, 0);
    }

    function test_RevertWhen_EtherIsNotTheOracles() public {
        vm.prank(alice);
        (bool ok, bytes memory reason) = address(gate).call{value: 1}("");
        assertFalse(ok);
        assertEq(reason, abi.encodeWithSelector(InferenceConsumer.NotOracle.selector, alice));
    }

    function test_RevertWhen_ModelDoesNotFit() public {
        bytes memory unfit = abi.encodeWithSelector(AgeGate.NotAnAgeModel.selector, MODEL);
        setModel(false, 784, 1, 1, 0); // The portrait would be public.
        vm.expectRevert(unfit);
        new AgeGate(oracle, MODEL, VERIFIER, attester, 1);
        setModel(true, 784, 2, 1, 0); // More than one value would be.
        vm.expectRevert(unfit);
        new AgeGate(oracle, MODEL, VERIFIER, attester, 1);
    }
}
