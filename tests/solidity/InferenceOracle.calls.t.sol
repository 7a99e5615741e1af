// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {Callback} from "../../contracts/oracle/Callback.sol";

contract Caller {
    function call(address target, uint256 callbackGas, bytes memory data)
        external
        returns (bool ok, bytes memory returndata, bytes memory next)
    {
        (ok, returndata) = Callback.call(target, callbackGas, data);
        next = abi.encode(type(uint256).max, type(uint256).max);
    }
}

/// @notice Returns or reverts with as many bytes of a pattern as it is told; keeps what it was called with.
contract Answerer {
    bytes public received;
    uint256 public gasAtStart;

    fallback() external payable {
        gasAtStart = gasleft();
        received = msg.data;
        (bool reverts, uint256 size) = abi.decode(msg.data, (bool, uint256));
        bytes memory answer = new bytes(size);
        for (uint256 i = 0; i < size; ++i) {
            answer[i] = bytes1(uint8(i + 1));
        }
        assembly ("memory-safe") {
            if reverts { revert(add(answer, 0x20), size) }
            return(add(answer, 0x20), size)
        }
    }
}

/// @notice P11: `Callback` by itself.
contract InferenceOracleCallsTest is Test {
    Caller private _caller = new Caller();
    Answerer private _answerer = new Answerer();

    function test_SendsTheDataAndNoEther() public {
        vm.deal(address(_caller), 1 ether);
        bytes memory data = abi.encode(false, 64);
        (bool ok, bytes memory returndata,) = _caller.call(address(_answerer), 300_000, data);
        assertTrue(ok);
        assertEq(returndata.length, 0, "nobody needs what it returns");
        assertEq(_answerer.received(), data);
        assertEq(address(_caller).balance, 1 ether);
    }

    /// What it reverts with comes up to 132 bytes, in memory of its own.
    function test_ReturnsTheStartOfWhatItRevertsWith() public {
        uint256[10] memory sizes = [uint256(0), 1, 4, 31, 32, 33, 131, 132, 133, 1000];
        for (uint256 i = 0; i < sizes.length; ++i) {
            (bool ok, bytes memory returndata, bytes memory next) =
                _caller.call(address(_answerer), 1_000_000, abi.encode(true, sizes[i]));
            assertFalse(ok);
            assertEq(returndata.length, sizes[i] < 132 ? sizes[i] : 132);
            for (uint256 j = 0; j < returndata.length; ++j) {
                assertEq(uint8(returndata[j]), uint8(j + 1));
            }
            assertEq(next, abi.encode(type(uint256).max, type(uint256).max));
        }
    }

    function test_NoCodeIsAFailure() public {
        (bool ok, bytes memory returndata,) = _caller.call(makeAddr("no code"), 300_000, "");
        assertFalse(ok);
        assertEq(returndata.length, 0);
    }

    /// A fulfiller with this much gas, and no more than it takes, is not turned away; with less it is, and is told.
    function test_AsksForTheGasThatItTakes() public {
        uint256 callbackGas = 1_000_000;
        bytes memory data = abi.encode(false, 0);
        // EIP-150 keeps a 64th back, that is, a 63rd of what is forwarded.
        uint256 least = callbackGas + callbackGas / 63;
        (, bytes memory reason) =
            address(_caller).call{gas: least}(abi.encodeCall(Caller.call, (address(_answerer), callbackGas, data)));
        assertEq(bytes4(reason), IInferenceOracle.InsufficientCallbackGas.selector);
        (uint256 required, uint256 left) = this.decode(reason);
        assertGe(required, least + 2600, "a cold delegate");
        assertLe(required, least + 5000);
        assertLe(left, least);
        assertGt(left, least - 10_000);
        (bool ok,,) = _caller.call{gas: required + 10_000}(address(_answerer), callbackGas, data);
        assertTrue(ok);
        assertLe(_answerer.gasAtStart(), callbackGas);
        assertGt(_answerer.gasAtStart(), callbackGas - 1000);
    }

    function decode(bytes calldata reason) external pure returns (uint256 required, uint256 left) {
        return abi.decode(reason[4:], (uint256, uint256));
    }
}
