// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {console2} from "forge-std/console2.sol";
import {Vm, VmSafe} from "forge-std/Vm.sol";
import {Jobs} from "./Jobs.sol";

/// @notice Measures whole transactions or counts what in them the price list has a price for; `script/generate/gas.mjs` makes the
/// tables of docs/gas.md of both. For isolated tests only.
/// @dev Never both in one test: forge's recorder of state warms slots and accounts, for every later call too.
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

    /// @notice Whether to count, not to measure.
    function counting() internal pure virtual returns (bool);

    /// @notice Gas that a transaction pays, with its 21,000, its calldata, and every account and slot cold but the
    /// target: the call is one of its own, since this contract runs isolated. 0 when counting.
    function meter(string memory label, address target, bytes memory data, uint256 value)
        internal
        returns (uint256 gas)
    {
        if (counting()) {
            _count(label, target, data, value);
            return 0;
        }
        (bool ok,) = target.call{value: value}(data);
        assertTrue(ok);
        VmSafe.Gas memory used = vm.lastCallGas();
        assertEq(used.gasRefunded, 0, "refunds are not priced");
        gas = used.gasTotalUsed;
        vm.snapshotValue("gas", label, gas);
        console2.log(string.concat("gas of ", label, ":"), gas);
    }

    function _count(string memory label, address target, bytes memory data, uint256 value) private {
        vm.recordLogs();
        vm.startStateDiffRecording();
        (bool ok,) = target.call{value: value}(data);
        VmSafe.AccountAccess[] memory accesses = vm.stopAndReturnStateDiff();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertTrue(ok);

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
        _print(label, counts);
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

    function _print(string memory label, Counts memory counts) private {
        string memory key = "counts";
        vm.serializeString(key, "label", label);
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
