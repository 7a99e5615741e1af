// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Test} from "forge-std/Test.sol";
import {BN254} from "../../../contracts/libraries/BN254.sol";

/// @notice Reads fixtures and simulates bundles with the setup's trapdoor: see `simulate.mjs`. Written for plainness:
/// it reads blobs word by word and shares nothing with the contracts but the curve's constants.
abstract contract Simulator is Test {
    struct Key {
        uint256[] slots;
        uint256[] groups;
        uint256[] deltas;
        uint256[] ic;
        uint256 b;
        uint256[] B;
        uint256 t;
        uint256[] BOverT;
    }

    /// @notice A model with its trapdoor.
    struct Model {
        bytes blob;
        bytes32 digest;
        uint256 alpha;
        uint256 beta;
        Key[] keys;
    }

    /// @notice Arguments of `verifyBundle`.
    struct Bundle {
        uint256 context;
        uint256 owner;
        uint256[] words;
        uint256[] commitments;
        uint256[] proofs;
    }

    // ------------------------------------------------------------------------------------------------ fixtures

    function readFixture(string memory file) internal view returns (string memory) {
        return vm.readFile(string.concat(vm.projectRoot(), "/tests/solidity/fixtures/", file, ".json"));
    }

    function loadModel(string memory name) internal view returns (Model memory model) {
        string memory json = readFixture(name);
        model.blob = vm.parseJsonBytes(json, ".blob");
        model.digest = vm.parseJsonBytes32(json, ".modelDigest");
        json = readFixture(string.concat(name, ".trapdoor"));
        model.alpha = vm.parseJsonUint(json, ".alpha");
        model.beta = vm.parseJsonUint(json, ".beta");
        model.keys = new Key[](wordAt(model.blob, 1));
        for (uint256 k = 0; k < model.keys.length; ++k) {
            string memory path = string.concat(".slices[", vm.toString(k), "]");
            model.keys[k] = Key({
                slots: vm.parseJsonUintArray(json, string.concat(path, ".slots")),
                groups: vm.parseJsonUintArray(json, string.concat(path, ".groups")),
                deltas: vm.parseJsonUintArray(json, string.concat(path, ".deltas")),
                ic: vm.parseJsonUintArray(json, string.concat(path, ".ic")),
                b: vm.parseJsonUint(json, string.concat(path, ".b")),
                B: vm.parseJsonUintArray(json, string.concat(path, ".B")),
                t: vm.parseJsonUint(json, string.concat(path, ".t")),
                BOverT: vm.parseJsonUintArray(json, string.concat(path, ".BOverT"))
            });
        }
    }

    function loadBundle(string memory name) internal view returns (Bundle memory) {
        string memory json = readFixture(name);
        return Bundle({
            context: vm.parseJsonUint(json, ".context"),
            owner: vm.parseJsonUint(json, ".owner"),
            words: vm.parseJsonUintArray(json, ".words"),
            commitments: vm.parseJsonUintArray(json, ".commitments"),
            proofs: vm.parseJsonUintArray(json, ".proofs")
        });
    }

    // ------------------------------------------------------------------------------------------------ blobs

    function wordAt(bytes memory data, uint256 index) internal pure returns (uint256 word) {
        require(32 * (index + 1) <= data.length, "no such word");
        assembly {
            word := mload(add(add(data, 0x20), mul(32, index)))
        }
    }

    function setWord(bytes memory data, uint256 index, uint256 word) internal pure {
        require(32 * (index + 1) <= data.length, "no such word");
        assembly {
            mstore(add(add(data, 0x20), mul(32, index)), word)
        }
    }

    function slice(bytes memory data, uint256 firstWord, uint256 words) internal pure returns (bytes memory part) {
        part = new bytes(32 * words);
        for (uint256 i = 0; i < words; ++i) {
            setWord(part, i, wordAt(data, firstWord + i));
        }
    }

    function tensorAt(bytes memory blob, uint256 t) internal pure returns (uint256) {
        return 7 + wordAt(blob, 1) + 6 * t;
    }

    function wiringAt(bytes memory blob, uint256 k) internal pure returns (uint256 start) {
        start = 7 + wordAt(blob, 1) + 6 * wordAt(blob, 2);
        for (uint256 i = 0; i < k; ++i) {
            start += 1 + wordAt(blob, start);
            start += 1 + wordAt(blob, start);
        }
    }

    function recordAt(bytes memory blob, uint256 k) internal pure returns (uint256 start) {
        start = wiringAt(blob, wordAt(blob, 1));
        for (uint256 i = 0; i < k; ++i) {
            start += recordWords(blob, start);
        }
    }

    function recordWords(bytes memory blob, uint256 start) internal pure returns (uint256) {
        return 8 + 2 * wordAt(blob, start + 4) + 10 + 8 + 6;
    }

    /// @notice Where α begins in the record at `start`.
    function pointsAt(bytes memory blob, uint256 start) internal pure returns (uint256) {
        return start + 8 + 2 * wordAt(blob, start + 4);
    }

    /// @notice Recomputes the header's hashes, after a change somewhere in the blob, and the digest.
    function rehash(bytes memory blob) internal pure returns (bytes32 digest) {
        uint256 slices = wordAt(blob, 1);
        setWord(
            blob,
            4,
            uint256(
                keccak256(
                    bytes.concat(keccak256("zkslice/setup/v1"), slice(blob, pointsAt(blob, recordAt(blob, 0)), 10))
                )
            )
        );
        for (uint256 k = 0; k < slices; ++k) {
            uint256 start = recordAt(blob, k);
            setWord(blob, 7 + k, uint256(keccak256(slice(blob, start, recordWords(blob, start)))));
        }
        return keccak256(slice(blob, 0, wiringAt(blob, slices)));
    }

    // ------------------------------------------------------------------------------------------------ proofs

    /// @notice Proofs of a statement, with A and C1 from the seed.
    function simulate(Model memory model, Bundle memory statement, uint256 seed)
        internal
        view
        returns (uint256[] memory proofs)
    {
        proofs = new uint256[](10 * model.keys.length);
        for (uint256 k = 0; k < model.keys.length; ++k) {
            uint256[10] memory proof = _simulateSlice(model, statement, k, uint256(keccak256(abi.encode(seed, k))));
            for (uint256 i = 0; i < 10; ++i) {
                proofs[10 * k + i] = proof[i];
            }
        }
    }

    function _simulateSlice(Model memory model, Bundle memory statement, uint256 k, uint256 seed)
        private
        view
        returns (uint256[10] memory proof)
    {
        (uint256 x, uint256 y) = firstCommitment(seed);
        (uint256 chi, uint256 fingerprint) = challengeOf(model, statement, k, x, y);
        return simulateSlice(model, k, seed, chi, fingerprint);
    }

    /// @notice C1 of the proof with this seed.
    function firstCommitment(uint256 seed) internal view returns (uint256, uint256) {
        return g1(_firstCommitment(seed));
    }

    function _firstCommitment(uint256 seed) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed))) % BN254.R;
    }

    /// @notice A slice's proof that holds for this χ and F, whatever they are of.
    function simulateSlice(Model memory model, uint256 k, uint256 seed, uint256 chi, uint256 fingerprint)
        internal
        view
        returns (uint256[10] memory proof)
    {
        Key memory key = model.keys[k];
        uint256 a = seed % BN254.R;
        (proof[0], proof[1]) = g1(a);
        for (uint256 i = 0; i < 4; ++i) {
            proof[2 + i] = key.B[i];
        }
        (proof[6], proof[7]) = firstCommitment(seed);

        uint256 right = addmod(mulmod(model.alpha, model.beta, BN254.R), _l(key.ic, chi, fingerprint), BN254.R);
        right = addmod(right, mulmod(_firstCommitment(seed), key.deltas[0], BN254.R), BN254.R);
        uint256 rest = addmod(mulmod(a, key.b, BN254.R), BN254.R - right, BN254.R);
        uint256 inverse = Math.invModPrime(key.deltas[key.deltas.length - 1], BN254.R);
        (proof[8], proof[9]) = g1(mulmod(rest, inverse, BN254.R));
    }

    /// @notice h0 of a slice.
    function h0Of(Model memory model, Bundle memory statement, uint256 k, uint256 c1x, uint256 c1y)
        internal
        pure
        returns (bytes32)
    {
        uint256[] memory words = _wordsOf(model.blob, model.keys[k].groups, statement.words);
        return _h0(wordAt(model.blob, 7 + k), _xOf(model, statement, k), words, c1x, c1y);
    }

    function _h0(uint256 vkHash, uint256[] memory x, uint256[] memory words, uint256 c1x, uint256 c1y)
        private
        pure
        returns (bytes32)
    {
        return keccak256(
            bytes.concat(
                abi.encode(keccak256("zkslice/challenge/v2"), vkHash, x.length),
                abi.encodePacked(x),
                abi.encode(words.length),
                abi.encodePacked(words),
                abi.encode(c1x, c1y)
            )
        );
    }

    function _xOf(Model memory model, Bundle memory statement, uint256 k) private pure returns (uint256[] memory x) {
        Key memory key = model.keys[k];
        x = new uint256[](key.slots.length);
        for (uint256 j = 0; j < x.length; ++j) {
            (uint256 role, uint256 tensor) = (key.slots[j] >> 32, key.slots[j] & 0xffffffff);
            x[j] = role == 1
                ? statement.context
                : role == 2 ? statement.owner : statement.commitments[_hiddenIndex(model.blob, tensor)];
        }
    }

    /// @notice Exponent of a slice's L = IC_0 + χ·IC_χ + F·IC_F.
    function lOf(Model memory model, Bundle memory statement, uint256 k, uint256 c1x, uint256 c1y)
        internal
        pure
        returns (uint256)
    {
        (uint256 chi, uint256 fingerprint) = challengeOf(model, statement, k, c1x, c1y);
        return _l(model.keys[k].ic, chi, fingerprint);
    }

    function _l(uint256[] memory ic, uint256 chi, uint256 fingerprint) private pure returns (uint256 l) {
        l = addmod(ic[0], mulmod(chi, ic[1], BN254.R), BN254.R);
        l = addmod(l, mulmod(fingerprint, ic[2], BN254.R), BN254.R);
    }

    /// @notice χ and F of a slice.
    function challengeOf(Model memory model, Bundle memory statement, uint256 k, uint256 c1x, uint256 c1y)
        internal
        pure
        returns (uint256 chi, uint256 fingerprint)
    {
        chi = uint256(h0Of(model, statement, k, c1x, c1y)) % BN254.R;
        fingerprint = fingerprintOf(model, statement, k, chi);
    }

    /// @notice F of a slice under this χ, first over x, then over the words.
    function fingerprintOf(Model memory model, Bundle memory statement, uint256 k, uint256 chi)
        internal
        pure
        returns (uint256 fingerprint)
    {
        uint256[] memory x = _xOf(model, statement, k);
        uint256[] memory words = _wordsOf(model.blob, model.keys[k].groups, statement.words);
        uint256 power = chi;
        for (uint256 j = 0; j < x.length + words.length; ++j) {
            uint256 e = j < x.length ? x[j] : words[j - x.length];
            fingerprint = addmod(fingerprint, mulmod(e, power, BN254.R), BN254.R);
            power = mulmod(power, chi, BN254.R);
        }
    }

    function wordCountOf(bytes memory blob, uint256 t) internal pure returns (uint256) {
        uint256 start = tensorAt(blob, t);
        uint256 perWord = 253 / wordAt(blob, start + 2);
        return (wordAt(blob, start + 1) + perWord - 1) / perWord;
    }

    function _hiddenIndex(bytes memory blob, uint256 tensor) private pure returns (uint256 index) {
        for (uint256 t = 0; t < tensor; ++t) {
            uint256 kind = wordAt(blob, tensorAt(blob, t));
            if (kind == 2 || kind == 4) ++index;
        }
    }

    function _wordsOf(bytes memory blob, uint256[] memory groups, uint256[] memory all)
        private
        pure
        returns (uint256[] memory words)
    {
        uint256 n;
        for (uint256 g = 0; g < groups.length; ++g) {
            n += wordCountOf(blob, groups[g]);
        }
        words = new uint256[](n);
        n = 0;
        for (uint256 g = 0; g < groups.length; ++g) {
            uint256 start;
            for (uint256 t = 0; t < groups[g]; ++t) {
                uint256 kind = wordAt(blob, tensorAt(blob, t));
                if (kind == 1 || kind == 3) start += wordCountOf(blob, t);
            }
            for (uint256 i = 0; i < wordCountOf(blob, groups[g]); ++i) {
                words[n++] = all[start + i];
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ curve

    function g1(uint256 exponent) internal view returns (uint256, uint256) {
        return mul(1, 2, exponent);
    }

    function mul(uint256 x, uint256 y, uint256 scalar) internal view returns (uint256, uint256) {
        (bool ok, bytes memory out) = address(7).staticcall(abi.encode(x, y, scalar));
        require(ok, "ecmul");
        return abi.decode(out, (uint256, uint256));
    }

    function add(uint256 x, uint256 y, uint256 u, uint256 v) internal view returns (uint256, uint256) {
        (bool ok, bytes memory out) = address(6).staticcall(abi.encode(x, y, u, v));
        require(ok, "ecadd");
        return abi.decode(out, (uint256, uint256));
    }

    function copy(uint256[] memory values) internal pure returns (uint256[] memory out) {
        out = new uint256[](values.length);
        for (uint256 i = 0; i < values.length; ++i) {
            out[i] = values[i];
        }
    }
}
