// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {console2} from "forge-std/console2.sol";
import {Vm, VmSafe} from "forge-std/Vm.sol";
import {Jobs} from "./Jobs.sol";

/// @notice Measures whole transactions, and counts what the price list has a price for. `script/gas.mjs` reads the
/// counts, and makes the tables of docs/gas.md of them. For isolated tests only.
abstract contract Metered is Jobs {
    struct Counts {
        uint256 zeroBytes;
        uint256 nonZeroBytes;
        uint256 pairs;
        uint256 ecMul;
        uint256 ecAdd;
        uint256 coldAccounts;
        uint256 warmCalls;
        uint256 codeReads;
        uint256 coldSlots;
        uint256 updatedSlots;
        uint256 newSlots;
        uint256 logs;
        uint256 topics;
        uint256 logBytes;
    }

    mapping(bytes32 => bool) private _seen;

    /// @notice Gas that a transaction pays, with its 21,000, its calldata, and every account and slot cold but the
    /// target: the call is one of its own, since this contract runs isolated.
    function meter(string memory label, address target, bytes memory data, uint256 value)
        internal
        returns (uint256 gas)
    {
        vm.recordLogs();
        vm.startStateDiffRecording();
        (bool ok,) = target.call{value: value}(data);
        VmSafe.Gas memory used = vm.lastCallGas();
        VmSafe.AccountAccess[] memory accesses = vm.stopAndReturnStateDiff();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertTrue(ok);
        assertEq(used.gasRefunded, 0, "refunds are not priced");
        gas = used.gasTotalUsed;

        Counts memory counts;
        for (uint256 i = 0; i < data.length; ++i) {
            if (data[i] == 0) ++counts.zeroBytes;
            else ++counts.nonZeroBytes;
        }
        for (uint256 i = 0; i < logs.length; ++i) {
            counts.topics += logs[i].topics.length;
            counts.logBytes += logs[i].data.length;
        }
        counts.logs = logs.length;
        _seen[keccak256(abi.encode(label, target))] = true;
        bool entered;
        for (uint256 i = 0; i < accesses.length; ++i) {
            // The transaction itself, and what is not the chain's.
            if (accesses[i].account == address(vm)) continue;
            if (!entered && accesses[i].account == target) entered = true;
            else _countAccount(label, accesses[i], counts);
            _countSlots(label, accesses[i].storageAccesses, counts);
        }
        _print(label, gas, counts);
    }

    function _countAccount(string memory label, VmSafe.AccountAccess memory access, Counts memory counts) private {
        VmSafe.AccountAccessKind kind = access.kind;
        if (kind == VmSafe.AccountAccessKind.Resume) return;
        if (access.account == address(6)) ++counts.ecAdd;
        else if (access.account == address(7)) ++counts.ecMul;
        else if (access.account == address(8)) counts.pairs += access.data.length / 192;
        if (kind == VmSafe.AccountAccessKind.Extcodesize || kind == VmSafe.AccountAccessKind.Extcodecopy) {
            ++counts.codeReads;
        }
        if (uint160(access.account) <= 10 || !_isFirst(keccak256(abi.encode(label, access.account)))) {
            ++counts.warmCalls;
        } else {
            ++counts.coldAccounts;
        }
    }

    function _countSlots(string memory label, VmSafe.StorageAccess[] memory slots, Counts memory counts) private {
        for (uint256 i = 0; i < slots.length; ++i) {
            bytes32 slot = keccak256(abi.encode(label, slots[i].account, slots[i].slot));
            if (_isFirst(slot)) ++counts.coldSlots;
            bool writes = slots[i].isWrite && slots[i].previousValue != slots[i].newValue;
            if (!writes || !_isFirst(keccak256(abi.encode("written", slot)))) continue;
            if (slots[i].previousValue == 0) ++counts.newSlots;
            else ++counts.updatedSlots;
        }
    }

    function _isFirst(bytes32 key) private returns (bool first) {
        first = !_seen[key];
        _seen[key] = true;
    }

    function _print(string memory label, uint256 gas, Counts memory counts) private {
        string memory key = "counts";
        vm.serializeString(key, "label", label);
        vm.serializeUint(key, "gas", gas);
        vm.serializeUint(key, "zeroBytes", counts.zeroBytes);
        vm.serializeUint(key, "nonZeroBytes", counts.nonZeroBytes);
        vm.serializeUint(key, "pairs", counts.pairs);
        vm.serializeUint(key, "ecMul", counts.ecMul);
        vm.serializeUint(key, "ecAdd", counts.ecAdd);
        vm.serializeUint(key, "coldAccounts", counts.coldAccounts);
        vm.serializeUint(key, "warmCalls", counts.warmCalls);
        vm.serializeUint(key, "codeReads", counts.codeReads);
        vm.serializeUint(key, "coldSlots", counts.coldSlots);
        vm.serializeUint(key, "updatedSlots", counts.updatedSlots);
        vm.serializeUint(key, "newSlots", counts.newSlots);
        vm.serializeUint(key, "logs", counts.logs);
        vm.serializeUint(key, "topics", counts.topics);
        console2.log("counts", vm.serializeUint(key, "logBytes", counts.logBytes));
    }
}
