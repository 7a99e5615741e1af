// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {INetworkMessages} from "../../contracts/interfaces/INetworkMessages.sol";
import {Simulator} from "./utils/Simulator.sol";

/// @notice `tests/solidity/fixtures/network.json`, which `crates/subnet/examples/network_vectors.rs` wrote: what Rust signs is what
/// contracts hash, struct by struct.
contract NetworkMessagesTest is Simulator {
    string private json;
    bytes32 private domain;
    address private signer;

    function setUp() public {
        json = readFixture("network");
        domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("zkslice network"),
                keccak256("1"),
                vm.parseJsonUint(json, ".chainId"),
                vm.parseJsonAddress(json, ".registry")
            )
        );
        signer = vm.parseJsonAddress(json, ".signer");
    }

    function _at(uint256 index, string memory key) private pure returns (string memory) {
        return string.concat(".messages[", vm.toString(index), "].", key);
    }

    /// @dev All fields are of one word, so that a struct's encoding is that of its fields, as EIP-712 hashes them.
    function _check(uint256 index, string memory name, string memory fields, bytes memory encoded) private view {
        string memory encodeType = string.concat(name, "(", fields, ")");
        assertEq(vm.parseJsonString(json, _at(index, "name")), name);
        assertEq(vm.parseJsonString(json, _at(index, "type")), encodeType);
        assertEq(vm.parseJsonBytes(json, _at(index, "encoded")), encoded, name);
        bytes32 structHash = keccak256(bytes.concat(keccak256(bytes(encodeType)), encoded));
        bytes32 hash = keccak256(bytes.concat("\x19\x01", domain, structHash));
        assertEq(vm.parseJsonBytes32(json, _at(index, "hash")), hash, name);
        assertEq(ECDSA.recover(hash, vm.parseJsonBytes(json, _at(index, "signature"))), signer, name);
    }

    function _encoded(uint256 index) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, _at(index, "encoded"));
    }

    function test_RustSignsWhatContractsHash() public view {
        _check(
            0,
            "Session",
            "uint8 role,address signer,address peer,bytes32 challenge,bytes32 nonce,bytes32 exporter",
            abi.encode(abi.decode(_encoded(0), (INetworkMessages.Session)))
        );
        _check(
            1,
            "Assignment",
            "bytes32 job,bytes32 model,uint16 slice,uint8 attempt,address validator,address miner,bytes32 statement,uint32 units,uint128 price,uint64 issuedMs,uint64 deadlineMs,uint64 epoch",
            abi.encode(abi.decode(_encoded(1), (INetworkMessages.Assignment)))
        );
        _check(
            2, "Acceptance", "bytes32 assignment", abi.encode(abi.decode(_encoded(2), (INetworkMessages.Acceptance)))
        );
        _check(
            3,
            "HandIn",
            "bytes32 assignment,bytes32 proofHash",
            abi.encode(abi.decode(_encoded(3), (INetworkMessages.HandIn)))
        );
        _check(
            4,
            "Receipt",
            "address validator,address miner,bytes32 assignment,bytes32 proofHash,uint8 verdict,uint32 ms,uint32 credit,uint32 debit,uint64 epoch,uint64 seq,uint64 epochCredit,uint64 epochDebit,uint128 owed",
            abi.encode(abi.decode(_encoded(4), (INetworkMessages.Receipt)))
        );
        _check(
            5,
            "EpochRoot",
            "uint64 epoch,bytes32 beacon,bytes32 parameters,bytes32 receipts,bytes32 scores,bytes32 weights,uint64 count,bytes32 previous",
            abi.encode(abi.decode(_encoded(5), (INetworkMessages.EpochRoot)))
        );
        assertFalse(vm.keyExistsJson(json, _at(6, "name")));
    }

    /// What an assignment states is what `verifyBundle` is given, hashed.
    function test_StatementsAreHashedAlike() public view {
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("zkslice/network/statement/v1"),
                vm.parseJsonBytes32(json, ".statement.model"),
                vm.parseJsonBytes32(json, ".statement.context"),
                vm.parseJsonBytes32(json, ".statement.owner"),
                uint256(1 << 5),
                keccak256(abi.encodePacked(vm.parseJsonBytes32Array(json, ".statement.words"))),
                keccak256(abi.encodePacked(vm.parseJsonBytes32Array(json, ".statement.commitments")))
            )
        );
        assertEq(vm.parseJsonUint(json, ".statement.coverage"), 1 << 5);
        assertEq(vm.parseJsonBytes32(json, ".statement.hash"), hash);
    }

    /// Fields are where they are: a decoded struct has the values that Rust wrote.
    function test_FieldsAreInPlace() public view {
        INetworkMessages.Assignment memory assignment = abi.decode(_encoded(1), (INetworkMessages.Assignment));
        assertEq(assignment.slice, 0xfedc);
        assertEq(assignment.attempt, 3);
        assertEq(assignment.units, 0xfeedbeef);
        assertEq(assignment.price, type(uint128).max - 5);
        assertEq(assignment.deadlineMs, type(uint64).max - 7);
        INetworkMessages.Receipt memory receipt = abi.decode(_encoded(4), (INetworkMessages.Receipt));
        assertEq(receipt.assignment, vm.parseJsonBytes32(json, _at(1, "hash")));
        assertEq(receipt.verdict, 5);
        assertEq(receipt.debit, type(uint32).max - 3);
        assertEq(receipt.owed, type(uint128).max - 8);
    }
}
