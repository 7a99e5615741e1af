// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {BN254} from "../../contracts/libraries/BN254.sol";
import {KeyBlob} from "../../contracts/libraries/KeyBlob.sol";
import {PublicWords} from "../../contracts/libraries/PublicWords.sol";
import {Deployed} from "./utils/Deployed.sol";

/// @notice `tests/vectors/vectors.json`, which Rust wrote: the contracts compute the same. It is a link into the fixtures,
/// the only files that tests may read.
contract VectorsTest is Deployed {
    string private json;

    function setUp() public override {
        super.setUp();
        json = readFixture("rust-vectors");
    }

    function _at(string memory list, uint256 index, string memory key) private pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(index), "].", key);
    }

    function test_Tags() public view {
        assertEq(KeyBlob.MODEL_TAG, vm.parseJsonBytes32(json, ".tags.model"));
        assertEq(KeyBlob.VK_TAG, vm.parseJsonBytes32(json, ".tags.vk"));
        assertEq(KeyBlob.SETUP_TAG, vm.parseJsonBytes32(json, ".tags.setup"));
        assertEq(keccak256("zkslice/challenge/v2"), vm.parseJsonBytes32(json, ".tags.challenge"));
        assertEq(keccak256("zkslice/batch/v1"), vm.parseJsonBytes32(json, ".tags.batch"));
        assertEq(keccak256("zkslice/context/v1"), vm.parseJsonBytes32(json, ".tags.context"));
    }

    function test_PackedWordsDecode() public view {
        uint256 vectors;
        for (; vm.keyExistsJson(json, _at("packing", vectors, "count")); ++vectors) {
            uint256 count = vm.parseJsonUint(json, _at("packing", vectors, "count"));
            uint256 bits = vm.parseJsonUint(json, _at("packing", vectors, "bits"));
            uint256[] memory words = vm.parseJsonUintArray(json, _at("packing", vectors, "words"));
            uint256[] memory digits = vm.parseJsonUintArray(json, _at("packing", vectors, "digits"));
            (uint256 n, uint256 full, uint256 last) = KeyBlob.packing(count, bits);
            assertEq(words.length, n);
            for (uint256 i = 0; i < n; ++i) {
                assertLt(words[i], 1 << (i + 1 == n ? last : full));
            }
            assertEq(digits.length, count);
            for (uint256 i = 0; i < count; ++i) {
                assertEq(PublicWords.digit(words, i, bits), digits[i]);
            }
        }
        assertGt(vectors, 5);
    }

    /// BundleVerifier exposes neither: its pairing holds for the real bundles only if it derives both as these lines do.
    function test_ChallengesAndFingerprints() public view {
        uint256 vectors;
        for (; vm.keyExistsJson(json, _at("challenges", vectors, "vkHash")); ++vectors) {
            uint256[] memory publics = vm.parseJsonUintArray(json, _at("challenges", vectors, "publics"));
            uint256[] memory words = vm.parseJsonUintArray(json, _at("challenges", vectors, "words"));
            uint256 challenge = uint256(
                keccak256(
                    bytes.concat(
                        keccak256("zkslice/challenge/v2"),
                        vm.parseJsonBytes32(json, _at("challenges", vectors, "vkHash")),
                        _counted(publics),
                        _counted(words),
                        abi.encodePacked(vm.parseJsonUintArray(json, _at("challenges", vectors, "c1")))
                    )
                )
            ) % BN254.R;
            assertEq(challenge, vm.parseJsonUint(json, _at("challenges", vectors, "challenge")));
            uint256 fingerprint;
            uint256 power = challenge;
            for (uint256 j = 0; j < publics.length + words.length; ++j) {
                uint256 e = j < publics.length ? publics[j] : words[j - publics.length];
                fingerprint = addmod(fingerprint, mulmod(e, power, BN254.R), BN254.R);
                power = mulmod(power, challenge, BN254.R);
            }
            assertEq(fingerprint, vm.parseJsonUint(json, _at("challenges", vectors, "fingerprint")));
        }
        assertGt(vectors, 2);
    }

    function _counted(uint256[] memory array) private pure returns (bytes memory) {
        return abi.encodePacked(array.length, array);
    }

    function test_DigestsAndIdentifiers() public {
        uint256 vectors;
        for (; vm.keyExistsJson(json, _at("models", vectors, "fixture")); ++vectors) {
            string memory fixture = readFixture(vm.parseJsonString(json, _at("models", vectors, "fixture")));
            bytes memory blob = vm.parseJsonBytes(fixture, ".blob");
            bytes32 digest = register(blob);
            assertEq(digest, vm.parseJsonBytes32(json, _at("models", vectors, "modelDigest")));
            assertEq(bytes32(wordAt(blob, 4)), vm.parseJsonBytes32(json, _at("models", vectors, "setupDigest")));
            bytes32[] memory hashes = vm.parseJsonBytes32Array(json, _at("models", vectors, "vkHashes"));
            assertEq(hashes.length, wordAt(blob, 1));
            for (uint256 k = 0; k < hashes.length; ++k) {
                uint256 start = recordAt(blob, k);
                assertEq(hashes[k], keccak256(slice(blob, start, recordWords(blob, start))));
            }

            IInferenceOracle.Request memory request;
            request.modelDigest = digest;
            request.verifier = VERIFIER;
            request.inputs = vm.parseJsonBytes32Array(fixture, ".request.inputs");
            request.fee = vm.parseJsonUint(fixture, ".request.fee");
            request.deadline = uint64(vm.parseJsonUint(fixture, ".request.deadline"));
            address requester = vm.parseJsonAddress(fixture, ".requester");
            address beneficiary = vm.parseJsonAddress(fixture, ".beneficiary");
            assertEq(oracle.requestHashOf(request), vm.parseJsonBytes32(json, _at("models", vectors, "requestHash")));
            assertEq(
                oracle.requestIdOf(request, requester, 0),
                vm.parseJsonBytes32(json, _at("models", vectors, "requestId"))
            );
            assertEq(
                oracle.contextOf(request, requester, 0, beneficiary),
                vm.parseJsonUint(json, _at("models", vectors, "context"))
            );
            assertEq(oracle.inputOwnerOf(digest, requester), vm.parseJsonUint(json, _at("models", vectors, "owner")));
        }
        assertEq(vectors, 3);
    }
}
