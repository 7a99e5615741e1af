// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceConsumer} from "../../../contracts/interfaces/IInferenceConsumer.sol";
import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";
import {Jobs} from "../utils/Jobs.sol";

/// @notice Takes next to nothing while somebody estimates, and all it gets afterwards.
contract ThriftyConsumer is IInferenceConsumer {
    bool private _burns;

    function turn() external {
        _burns = true;
    }

    function onInference(bytes32, bytes32, uint256[] calldata) external view {
        while (_burns) {}
    }
}

/// @notice Each callback of a batch is promised its gas when its turn comes. One before it that was thrifty when the
/// batch's gas was estimated, and is not when it runs, takes what was to be promised to the next: the batch reverts,
/// nobody is called with less. Who sends gas for all callbacks is not harmed.
contract ThriftyCallbackTest is Jobs {
    uint256 private constant ITEMS = 3;
    uint32 private constant CALLBACK_GAS = 1_000_000;

    function test_GasForEveryCallbackIsEnough() public {
        ThriftyConsumer mallory = new ThriftyConsumer();
        Model memory model = install("single");
        Job[] memory jobs = new Job[](ITEMS);
        for (uint256 i = 0; i < ITEMS; ++i) {
            jobs[i] = draft("single");
            (jobs[i].request.callback, jobs[i].request.callbackGas) = (address(mallory), CALLBACK_GAS);
            jobs[i] = prove(model, open(jobs[i]));
        }
        bytes memory batch = abi.encodeCall(IInferenceOracle.fulfilBatch, (fulfilmentsOf(jobs)));
        uint256 least = _estimate(batch);
        mallory.turn();
        (bool ok, bytes memory reason) = address(oracle).call{gas: least}(batch);
        assertFalse(ok);
        assertEq(bytes4(reason), IInferenceOracle.InsufficientCallbackGas.selector);

        // What was estimated had room for one callback.
        (ok,) = address(oracle).call{gas: least + (ITEMS - 1) * (CALLBACK_GAS + CALLBACK_GAS / 63 + 10_000)}(batch);
        assertTrue(ok);
        for (uint256 i = 0; i < ITEMS; ++i) {
            assertTrue(oracle.callbackFailed(jobs[i].id));
        }
    }

    /// @dev The least gas with which the call succeeds now, as nodes estimate it.
    function _estimate(bytes memory data) private returns (uint256 least) {
        uint256 tooLittle = 0;
        least = 10_000_000;
        while (least - tooLittle > 1000) {
            uint256 middle = (least + tooLittle) / 2;
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = address(oracle).call{gas: middle}(data);
            assertTrue(vm.revertToState(snapshot));
            if (ok) least = middle;
            else tooLittle = middle;
        }
    }
}
