// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {BN254} from "../libraries/BN254.sol";
import {ModelInputs} from "./ModelInputs.sol";

/// @title Hashes of the oracle
/// @notice What requests, results, publications and feeds are known by.
abstract contract Hashes is IInferenceOracle, EIP712 {
    bytes32 private constant CONTEXT_TAG = keccak256("zkslice/context/v1");
    bytes32 private constant FEED_TAG = keccak256("zkslice/feed/v2");
    bytes32 private constant PARTIAL_TAG = keccak256("zkslice/partial/v1");
    bytes32 private constant PUBLISH_TAG = keccak256("zkslice/publish/v1");
    bytes32 private constant PUBLICATION_TYPEHASH = keccak256(
        "Publication(address source,bytes32 modelDigest,bytes32[] inputs,bytes4 verifier,uint64 round,uint64 observedAt)"
    );

    constructor() EIP712("zkslice InferenceOracle", "1") {}

    /// @inheritdoc IInferenceOracle
    function requestHashOf(Request calldata request_) public pure returns (bytes32 hash) {
        bytes32[] calldata inputs = request_.inputs;
        (uint256 position, uint256 inputsPosition) = (0, 0);
        assembly ("memory-safe") {
            position := request_
            inputsPosition := sub(inputs.offset, 0x20)
        }
        hash = _requestHash(position, inputsPosition);
    }

    /// @inheritdoc IInferenceOracle
    function requestIdOf(Request calldata request_, address requester, uint256 nonce) public pure returns (bytes32) {
        return _requestId(requestHashOf(request_), requester, nonce);
    }

    /// @inheritdoc IInferenceOracle
    function contextOf(Request calldata request_, address requester, uint256 nonce, address beneficiary)
        external
        view
        returns (uint256)
    {
        bytes32 requestHash = requestHashOf(request_);
        return _context(_requestId(requestHash, requester, nonce), requestHash, beneficiary);
    }

    /// @inheritdoc IInferenceOracle
    function publicationContextOf(Publication calldata publication) public view returns (uint256) {
        return uint256(
            keccak256(
            abi.encode(
            PUBLISH_TAG,
            block.chainid,
            address(this),
            feedIdOf(publication.modelDigest, publication.verifier, publication.source),
            publication.round,
            publication.modelDigest,
            keccak256(abi.encode(publication.inputs)),
            publication.observedAt,
            publication.beneficiary
        )
        )
        ) % BN254.R;
    }

    /// @inheritdoc IInferenceOracle
    function publicationHashOf(Publication calldata publication) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    PUBLICATION_TYPEHASH,
                    publication.source,
                    publication.modelDigest,
                    keccak256(abi.encodePacked(publication.inputs)),
                    publication.verifier,
                    publication.round,
                    publication.observedAt
                )
            )
        );
    }

    /// @inheritdoc IInferenceOracle
    function inputOwnerOf(bytes32 modelDigest, address requester) public pure returns (uint256) {
        return _owner(modelDigest, requester);
    }

    /// @dev keccak256(abi.encode(request)), copied as it is. Bits where there should be none make the hash of no request:
    /// `request` reverts on them.
    /// @param position Where the request is in calldata.
    /// @param inputs Where the length of its inputs is.
    function _requestHash(uint256 position, uint256 inputs) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            // Memory: 0x20, the request's nine words, the second of which is the inputs' offset, the inputs.
            let data := mload(0x40)
            let size := shl(5, add(calldataload(inputs), 1))
            mstore(data, 0x20)
            calldatacopy(add(data, 0x20), position, 0x120)
            mstore(add(data, 0x40), 0x120)
            calldatacopy(add(data, 0x140), inputs, size)
            hash := keccak256(data, add(size, 0x140))
        }
    }

    function _requestId(bytes32 requestHash, address requester, uint256 nonce) internal pure returns (bytes32 id) {
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, requester)
            mstore(add(data, 0x20), nonce)
            mstore(add(data, 0x40), requestHash)
            id := keccak256(data, 0x60)
        }
    }

    function _context(bytes32 requestId, bytes32 requestHash, address beneficiary)
        internal
        view
        returns (uint256 context)
    {
        (bytes32 tag, uint256 r) = (CONTEXT_TAG, BN254.R);
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, tag)
            mstore(add(data, 0x20), chainid())
            mstore(add(data, 0x40), address())
            mstore(add(data, 0x60), requestId)
            mstore(add(data, 0x80), requestHash)
            mstore(add(data, 0xa0), beneficiary)
            context := mod(keccak256(data, 0xc0), r)
        }
    }

    function _owner(bytes32 modelDigest, address requester) internal pure returns (uint256 owner) {
        uint256 r = BN254.R;
        assembly ("memory-safe") {
            mstore(0x00, modelDigest)
            mstore(0x20, requester)
            owner := mod(keccak256(0x00, 0x40), r)
        }
    }

    /// @inheritdoc IInferenceOracle
    function feedIdOf(bytes32 modelDigest, bytes4 verifier, address source) public pure returns (bytes32 feedId) {
        bytes32 tag = FEED_TAG;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, tag)
            mstore(add(data, 0x20), modelDigest)
            mstore(add(data, 0x40), verifier)
            mstore(add(data, 0x60), source)
            feedId := keccak256(data, 0x80)
        }
    }

    /// @dev A partial result has a hash of another kind: the same words do not pass for outputs of full coverage. Other
    /// words, which no model puts out, do: who compares hashes looks at the status too.
    function _outputsHash(uint256 coverage, uint256[] calldata outputWords) internal pure returns (bytes26) {
        bytes32 hash = ModelInputs.hashOf(outputWords);
        if (coverage != 0) hash = _partialHash(coverage, hash);
        // Cut on purpose: see `Run`.
        // forge-lint: disable-next-line(unsafe-typecast)
        return bytes26(hash);
    }

    function _partialHash(uint256 coverage, bytes32 wordsHash) internal pure returns (bytes32 hash) {
        bytes32 tag = PARTIAL_TAG;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, tag)
            mstore(add(data, 0x20), coverage)
            mstore(add(data, 0x40), wordsHash)
            hash := keccak256(data, 0x60)
        }
    }
}
