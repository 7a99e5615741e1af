// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {Jobs} from "./utils/Jobs.sol";

/// @notice Follows the offsets of fulfilments with the compiler's code, as the oracle does with its own.
contract Follower {
    function fulfil(IInferenceOracle.Fulfilment calldata fulfilment) external pure returns (uint256) {
        return _follow(fulfilment);
    }

    function fulfilBatch(IInferenceOracle.Fulfilment[] calldata fulfilments) external pure returns (uint256 sum) {
        for (uint256 i = 0; i < fulfilments.length; ++i) {
            unchecked {
                sum += _follow(fulfilments[i]);
            }
        }
    }

    function _follow(IInferenceOracle.Fulfilment calldata fulfilment) private pure returns (uint256) {
        unchecked {
            return fulfilment.request.inputs.length + uint160(fulfilment.requester) + uint160(fulfilment.beneficiary)
                + fulfilment.words.length + fulfilment.commitments.length + fulfilment.proofs.length;
        }
    }
}

/// @notice Where the compiler refuses calldata, the oracle does, and nowhere else: both revert with nothing.
contract InferenceOracleCalldataTest is Jobs {
    Follower private _follower = new Follower();

    function setUp() public override {
        super.setUp();
        install("private");
    }

    function test_FulfilFollowsOffsetsLikeTheCompiler() public {
        bytes memory data = abi.encodeCall(IInferenceOracle.fulfil, (fulfilmentOf(_job())));
        // Zeros behind, so that what begins there is empty and in range; no multiple of 32, to see each byte.
        data = bytes.concat(data, new bytes(0x210));
        _compareOffset(data, 0x04, 0x04, 0x100);
        _compareFulfilment(data, 0x24);
    }

    function test_FulfilBatchFollowsOffsetsLikeTheCompiler() public {
        IInferenceOracle.Fulfilment[] memory fulfilments = new IInferenceOracle.Fulfilment[](2);
        (fulfilments[0], fulfilments[1]) = (fulfilmentOf(_job()), fulfilmentOf(_job()));
        bytes memory data = bytes.concat(abi.encodeCall(IInferenceOracle.fulfilBatch, (fulfilments)), new bytes(0x210));
        for (uint256 i = 0; i < 2; ++i) {
            _compareOffset(data, 0x44 + 32 * i, 0x44, 0x100);
            _compareFulfilment(data, 0x44 + _wordAt(data, 0x44 + 32 * i));
        }
    }

    /// A fulfilment that is the last of calldata, its members before it, is refused if a byte of it is cut off, though
    /// zero stands for that byte.
    function test_RevertWhen_TheLastByteOfAFulfilmentIsMissing() public {
        IInferenceOracle.Fulfilment memory fulfilment = fulfilmentOf(_job());
        bytes[4] memory members =
            [abi.encode(fulfilment.request), abi.encode(fulfilment.words), abi.encode(fulfilment.commitments), ""];
        bytes memory proofs = abi.encode(fulfilment.proofs);
        // Up to a multiple of 256, which ends in a zero byte.
        members[3] = bytes.concat(proofs, new bytes((256 - (proofs.length - 32) % 256) % 256));
        bytes memory body;
        uint256[4] memory places;
        for (uint256 i = 0; i < 4; ++i) {
            places[i] = body.length;
            body = bytes.concat(body, _from(members[i], 32));
        }
        bytes memory head;
        unchecked {
            head = abi.encode(
                places[0] - body.length,
                fulfilment.requester,
                fulfilment.nonce,
                fulfilment.beneficiary,
                fulfilment.coverage,
                places[1] - body.length,
                places[2] - body.length,
                places[3] - body.length
            );
        }
        bytes4 selector = IInferenceOracle.fulfilBatch.selector;
        bytes memory data = abi.encodePacked(selector, uint256(0x20), uint256(1), 32 + body.length, body, head);
        bytes memory cut = bytes.concat(data);
        assertEq(cut[cut.length - 1], bytes1(0));
        assembly ("memory-safe") {
            mstore(cut, sub(mload(cut), 1))
        }
        (bool ok, bytes memory reason) = address(_follower).staticcall(cut);
        assertFalse(ok);
        (ok, reason) = address(oracle).call(cut);
        assertFalse(ok);
        assertEq(reason.length, 0);
        (ok, reason) = address(oracle).call(data);
        assertTrue(ok, string(reason));
    }

    function _from(bytes memory data, uint256 start) private pure returns (bytes memory part) {
        part = new bytes(data.length - start);
        for (uint256 i = 0; i < part.length; ++i) {
            part[i] = data[start + i];
        }
    }

    function _compareFulfilment(bytes memory data, uint256 fulfilment) private {
        uint256 request = fulfilment + _wordAt(data, fulfilment);
        _compareOffset(data, fulfilment, fulfilment, 0x120);
        _compareOffset(data, request + 0x20, request, 0x20);
        _compareLength(data, request + _wordAt(data, request + 0x20));
        for (uint256 i = 0; i < 3; ++i) {
            uint256 member = fulfilment + 0xa0 + 32 * i;
            _compareOffset(data, member, fulfilment, 0x20);
            _compareLength(data, fulfilment + _wordAt(data, member));
        }
        // Requester and beneficiary.
        for (uint256 bit = 160; bit < 256; bit += 19) {
            _compare(data, fulfilment + 0x20, _wordAt(data, fulfilment + 0x20) | (1 << bit));
            _compare(data, fulfilment + 0x60, _wordAt(data, fulfilment + 0x60) | (1 << bit));
        }
    }

    /// An offset from `base` to something of at least so many bytes.
    function _compareOffset(bytes memory data, uint256 place, uint256 base, uint256 size) private {
        uint256 last = data.length - base - size;
        uint256[10] memory offsets =
            [last - 1, last, last + 1, last + 32, last + 2 * size, data.length, 1 << 64, 1 << 255, (1 << 255) - 1, 0];
        for (uint256 i = 0; i < offsets.length; ++i) {
            _compare(data, place, offsets[i]);
        }
        unchecked {
            _compare(data, place, last + 2 * base);
            _compare(data, place, uint256(0) - base);
            _compare(data, place, type(uint256).max);
        }
    }

    /// The length of an array that is here.
    function _compareLength(bytes memory data, uint256 place) private {
        uint256 most = (data.length - place - 32) / 32;
        uint256[10] memory lengths =
            [most - 1, most, most + 1, most + 2, most + 3, 2 * most, 1 << 64, (1 << 64) - 1, 1 << 251, 1 << 255];
        for (uint256 i = 0; i < lengths.length; ++i) {
            _compare(data, place, lengths[i]);
        }
        _compare(data, place, (1 << 251) + _wordAt(data, place));
    }

    function _compare(bytes memory data, uint256 place, uint256 word) private {
        bytes memory changed = bytes.concat(data);
        assembly ("memory-safe") {
            mstore(add(add(changed, 0x20), place), word)
        }
        (bool follows,) = address(_follower).staticcall(changed);
        uint256 snapshot = vm.snapshotState();
        (bool ok, bytes memory reason) = address(oracle).call(changed);
        vm.revertToState(snapshot);
        assertEq(!ok && reason.length == 0, !follows, string.concat(vm.toString(place), ": ", vm.toString(word)));
    }

    function _wordAt(bytes memory data, uint256 place) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 0x20), place))
        }
    }

    function _job() private returns (Job memory) {
        return prove(loadModel("private"), open(draft("private")));
    }
}
