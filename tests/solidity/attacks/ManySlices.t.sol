// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "../../../contracts/interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "../../../contracts/interfaces/IModelRegistry.sol";
import {Deployed} from "../utils/Deployed.sol";

/// @notice A model of 256 slices, the most that there may be: its coverages fill a word, so that "all" cannot be one
/// more than a power of two less one, and every shift by the number of slices is one by the width of a word.
/// @dev The registry would want 512 deltas. It is made to answer with a blob that has one key for all slices but the
/// first, which is all the same to the verifier.
contract ManySlicesTest is Deployed {
    uint256 private constant SLICES = 256;
    /// @dev Words of a record's points.
    uint256 private constant POINTS = 24;

    /// @dev The words of a blob, as far as they are written.
    struct Writer {
        uint256[] words;
        uint256 count;
    }

    function setUp() public override {
        super.setUp();
        Model memory model = _model();
        address[] memory chunks = new address[]((model.blob.length + MAX_CHUNK - 1) / MAX_CHUNK);
        for (uint256 i = 0; i < chunks.length; ++i) {
            (, chunks[i]) = registry.writeChunk(_chunk(model.blob, i * MAX_CHUNK));
        }
        vm.mockCall(
            address(registry), abi.encodeCall(IModelRegistry.chunksFor, (VERIFIER, model.digest)), abi.encode(chunks)
        );
    }

    /// All, none but one at either end, all but one at either end, and some.
    function test_EveryEndOfACoverageVerifies() public view {
        uint256[] memory coverages = new uint256[](8);
        (coverages[1], coverages[2], coverages[3]) = (1, 1 << 255, (1 << 255) | 1);
        (coverages[4], coverages[5]) = (type(uint256).max >> 1, type(uint256).max - 1);
        (coverages[6], coverages[7]) = (uint256(keccak256("some")), ~uint256(keccak256("some")));
        IBundleVerifier.Bundle[] memory bundles = _bundles(coverages);
        for (uint256 i = 0; i < 8; ++i) {
            verifier.verifyBundle(bundles[i]);
        }
        verifier.verifyBatch(bundles);
    }

    function test_RevertWhen_AllSlicesAreSpelledOut() public {
        IBundleVerifier.Bundle memory bundle = _bundle(0);
        bundle.coverage = type(uint256).max;
        vm.expectRevert(
            abi.encodeWithSelector(IBundleVerifier.CoverageOutOfRange.selector, 0, type(uint256).max, SLICES)
        );
        verifier.verifyBundle(bundle);
    }

    /// The last slice's own boundary and the output's word are no other slice's.
    function test_RevertWhen_TheLastSliceIsFalse() public {
        IBundleVerifier.Bundle memory bundle = _bundle(0);
        bundle.commitments[SLICES - 1] ^= 1;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verifier.verifyBundle(bundle);
        bundle = _bundle(1 << 255);
        bundle.words[1] ^= 1;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verifier.verifyBundle(bundle);
        // Nor is its proof.
        bundle = _bundle(1 << 255);
        bundle.coverage = 1 << 254;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verifier.verifyBundle(bundle);
    }

    function _bundles(uint256[] memory coverages) private view returns (IBundleVerifier.Bundle[] memory bundles) {
        Model memory model = _model();
        Bundle memory statement;
        statement.context = 1;
        statement.words = new uint256[](2);
        statement.commitments = new uint256[](SLICES);
        for (uint256 k = 0; k < SLICES; ++k) {
            statement.commitments[k] = 100 + k;
        }
        statement.proofs = simulate(model, statement, 7);
        bundles = new IBundleVerifier.Bundle[](coverages.length);
        for (uint256 i = 0; i < coverages.length; ++i) {
            bundles[i] = covering(model.digest, statement, coverages[i]);
        }
    }

    function _bundle(uint256 coverage) private view returns (IBundleVerifier.Bundle memory) {
        uint256[] memory coverages = new uint256[](1);
        coverages[0] = coverage;
        return _bundles(coverages)[0];
    }

    // ------------------------------------------------------------------------------------------------ the model

    /// @dev Slice k reads boundary k − 1 and writes boundary k; the first has the input's word, the last the output's.
    function _model() private view returns (Model memory model) {
        Model memory chain = loadModel("chain");
        (model.alpha, model.beta, model.keys) = (chain.alpha, chain.beta, new Key[](SLICES));
        Writer memory writer = Writer(new uint256[](16_384), 0);
        uint256[7] memory head =
            [wordAt(chain.blob, 0), SLICES, SLICES + 2, 0, wordAt(chain.blob, 4), 1, wordAt(chain.blob, 6)];
        for (uint256 i = 0; i < head.length; ++i) {
            _write(writer, head[i]);
        }
        // Room for the hashes; then one word in, one word out, and a boundary a slice.
        writer.count += SLICES;
        for (uint256 t = 0; t < SLICES + 2; ++t) {
            uint256 kind = t == 0 ? 1 : t == 1 ? 3 : 4;
            uint256[6] memory tensor = [kind, 1, 253, 0, kind == 4 ? 0 : 1, 0];
            for (uint256 i = 0; i < 6; ++i) {
                _write(writer, tensor[i]);
            }
        }
        for (uint256 k = 0; k < SLICES; ++k) {
            model.keys[k] = _keyOf(chain, k);
            _writeList(writer, model.keys[k].slots);
            _writeList(writer, model.keys[k].groups);
        }
        uint256 headerWords = writer.count;
        for (uint256 k = 0; k < SLICES; ++k) {
            uint256 start = writer.count;
            _writeRecord(writer, chain.blob, k, model.keys[k]);
            writer.words[7 + k] = uint256(_hash(writer.words, start, writer.count));
        }
        model.digest = _hash(writer.words, 0, headerWords);
        model.blob = new bytes(32 * writer.count);
        for (uint256 i = 0; i < writer.count; ++i) {
            setWord(model.blob, i, writer.words[i]);
        }
    }

    function _keyOf(Model memory chain, uint256 k) private pure returns (Key memory key) {
        Key memory taken = chain.keys[k == 0 ? 0 : 1];
        (key.deltas, key.ic, key.b, key.B) = (taken.deltas, taken.ic, taken.b, taken.B);
        key.slots = new uint256[](k == 0 ? 2 : 3);
        key.slots[0] = 1 << 32;
        if (k != 0) key.slots[1] = (3 << 32) + 1 + k;
        key.slots[key.slots.length - 1] = (4 << 32) + 2 + k;
        key.groups = new uint256[](k == 0 || k == SLICES - 1 ? 1 : 0);
        if (k == SLICES - 1) key.groups[0] = 1;
    }

    /// @dev With the points of one of `chain`'s.
    function _writeRecord(Writer memory writer, bytes memory blob, uint256 k, Key memory key) private pure {
        uint256 from = recordAt(blob, k == 0 ? 0 : 1);
        uint256 n = key.groups.length;
        uint256[5] memory head = [wordAt(blob, from), 1, key.slots.length, n, n];
        for (uint256 i = 0; i < 5; ++i) {
            _write(writer, head[i]);
        }
        if (n == 1) {
            _write(writer, 1);
            _write(writer, 253);
        }
        // Two scalars beside 1: χ and F.
        _write(writer, 2);
        _write(writer, 1);
        _write(writer, 2);
        from = pointsAt(blob, from);
        for (uint256 i = 0; i < POINTS; ++i) {
            _write(writer, wordAt(blob, from + i));
        }
    }

    function _writeList(Writer memory writer, uint256[] memory list) private pure {
        _write(writer, list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            _write(writer, list[i]);
        }
    }

    function _write(Writer memory writer, uint256 word) private pure {
        writer.words[writer.count++] = word;
    }

    function _hash(uint256[] memory words, uint256 from, uint256 to) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(add(add(words, 0x20), shl(5, from)), shl(5, sub(to, from)))
        }
    }

    function _chunk(bytes memory blob, uint256 start) private pure returns (bytes memory chunk) {
        chunk = new bytes(blob.length - start < MAX_CHUNK ? blob.length - start : MAX_CHUNK);
        assembly ("memory-safe") {
            mcopy(add(chunk, 0x20), add(add(blob, 0x20), start), mload(chunk))
        }
    }
}
