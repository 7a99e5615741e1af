// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";
import {Jobs} from "../utils/Jobs.sol";

/// @notice Offsets in the oracle's calldata are the sender's. The compiler takes negative ones, so members may overlap,
/// come before their struct, or lie around address zero, where CALLDATALOAD (which wraps with its operand's sum) and
/// CALLDATACOPY (which does not) read different bytes: what is hashed is then not what is read.
contract CalldataTest is Jobs {
    uint256 private constant HEAD = 4 + 32;

    function setUp() public override {
        super.setUp();
        install("single");
    }

    /// The request's head from −k on: hashed as zeros, read as the calldata's start. Nothing is open under that hash.
    function test_RevertWhen_TheRequestLiesAroundAddressZero() public {
        Job memory job = _job();
        bytes memory data = abi.encodeCall(IInferenceOracle.fulfil, (fulfilmentOf(job)));
        for (uint256 k = 1; k <= 0x200; ++k) {
            bytes memory shifted = _with(data, HEAD, type(uint256).max - k - HEAD + 1);
            (bool ok,) = address(oracle).call(shifted);
            assertFalse(ok);
        }
        assertTrue(oracle.status(job.id) == IInferenceOracle.Status.Open);
        (bool sound,) = address(oracle).call(data);
        assertTrue(sound);
    }

    /// Arrays that start around address zero are empty, for the verifier too.
    function test_RevertWhen_AnArrayLiesAroundAddressZero() public {
        Job memory job = _job();
        bytes memory data = abi.encodeCall(IInferenceOracle.fulfil, (fulfilmentOf(job)));
        for (uint256 member = 5; member < 8; ++member) {
            // Commitments, of which the model has none, may well be empty there.
            bool harmless = member == 6;
            for (uint256 k = 1; k <= 0x80; ++k) {
                uint256 snapshot = vm.snapshotState();
                (bool ok,) = address(oracle).call(_with(data, HEAD + 32 * member, type(uint256).max - k - HEAD + 1));
                if (ok) assertTrue(harmless);
                assertEq(oracle.status(job.id) == IInferenceOracle.Status.Fulfilled, ok);
                vm.revertToState(snapshot);
            }
        }
    }

    /// Members may come in any order, before their struct too: what counts is what is read.
    function test_MembersMayComeBeforeTheirStruct() public {
        Job memory job = _job();
        IInferenceOracle.Fulfilment memory fulfilment = fulfilmentOf(job);
        bytes memory request_ = abi.encode(fulfilment.request); // 0x20, then the request.
        bytes memory whole = abi.encodeCall(IInferenceOracle.fulfil, (fulfilment));
        uint256 gap = request_.length - 32;
        bytes memory tail = _from(whole, HEAD);
        // The request, then the fulfilment, whose request is at −gap.
        bytes memory data = bytes.concat(
            IInferenceOracle.fulfil.selector,
            bytes32(32 + gap),
            _from(request_, 32),
            _with(tail, 0, type(uint256).max - gap + 1)
        );
        (bool ok, bytes memory reason) = address(oracle).call(data);
        assertTrue(ok, string(reason));
        assertEq(oracle.balanceOf(prover, address(0)), job.request.fee);
        oracle.requireOutputs(job.id, outputWords(job), 0);
    }

    /// Many items of a batch in one place are one item, paid once.
    function test_ItemsInOnePlaceArePaidOnce() public {
        Job memory job = _job();
        Job memory other = open(draft("single"));
        bytes memory one = abi.encode(fulfilmentOf(job)); // 0x20, then the fulfilment.
        bytes memory data = abi.encodePacked(
            IInferenceOracle.fulfilBatch.selector,
            uint256(0x20),
            uint256(3),
            uint256(0x60),
            uint256(0x60),
            uint256(0x60),
            _from(one, 32)
        );
        (bool ok, bytes memory reason) = address(oracle).call(data);
        assertTrue(ok, string(reason));
        assertEq(oracle.balanceOf(prover, address(0)), job.request.fee);
        assertTrue(oracle.status(other.id) == IInferenceOracle.Status.Open);
    }

    function _job() private returns (Job memory) {
        return prove(loadModel("single"), open(draft("single")));
    }

    function _with(bytes memory data, uint256 place, uint256 word) private pure returns (bytes memory changed) {
        changed = bytes.concat(data);
        assembly ("memory-safe") {
            mstore(add(add(changed, 0x20), place), word)
        }
    }

    function _from(bytes memory data, uint256 start) private pure returns (bytes memory part) {
        part = new bytes(data.length - start);
        for (uint256 i = 0; i < part.length; ++i) {
            part[i] = data[start + i];
        }
    }
}
