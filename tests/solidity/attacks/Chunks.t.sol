// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";
import {Jobs} from "../utils/Jobs.sol";

/// @notice The oracle reads headers from a blob's first chunk if it reaches far enough, and whoever registers chooses
/// where it ends: wherever that is, even within the header's counts, the same is read.
contract ChunksTest is Jobs {
    /// forge-config: ci.fuzz.runs = 64
    function testFuzz_FirstChunkMayEndAnywhere(uint256 end) public {
        // Up to the end of the tensors and a little further.
        _requireServed(bound(end, 1, 32 * (7 + 3 + 6 * 7) + 64));
    }

    function test_FirstChunkMayEndWithinTheCounts() public {
        uint256[12] memory ends = [uint256(1), 31, 32, 33, 63, 64, 65, 95, 96, 97, 191, 193];
        for (uint256 i = 0; i < ends.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            _requireServed(ends[i]);
            vm.revertToState(snapshot);
        }
    }

    function _requireServed(uint256 end) private {
        Model memory model = loadModel("mixed");
        bytes32[] memory hashes = new bytes32[](2);
        (hashes[0],) = registry.writeChunk(_part(model.blob, 0, end));
        (hashes[1],) = registry.writeChunk(_part(model.blob, end, model.blob.length));
        assertEq(registry.register(hashes, wordAt(model.blob, 5) == 1 ? bytes32(0) : TRANSCRIPT), model.digest);

        Job memory job = draft("mixed");
        job.request.inputs[0] ^= bytes32(uint256(1));
        fund(job);
        uint256[] memory words = inputWords(job);
        vm.prank(alice);
        vm.expectPartialRevert(IInferenceOracle.InputHashMismatch.selector);
        oracle.request{value: job.request.fee}(job.request, words);

        job = prove(model, open(draft("mixed")));
        fulfil(job);
        oracle.requireOutputs(job.id, outputWords(job), 0);
    }

    function _part(bytes memory data, uint256 from, uint256 to) private pure returns (bytes memory part) {
        part = new bytes(to - from);
        assembly ("memory-safe") {
            mcopy(add(part, 0x20), add(add(data, 0x20), from), mload(part))
        }
    }
}
