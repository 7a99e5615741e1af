// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {BN254} from "../../contracts/libraries/BN254.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {Registered} from "./utils/Registered.sol";

contract ModelRegistryTest is Registered {
    string[5] internal names = ["single", "chain", "private", "skip", "mixed"];

    // Word indexes of a record's points, from α: see KeyBlob.
    uint256 private constant BETA = 2;
    uint256 private constant GAMMA = 6;
    uint256 private constant DELTA_1 = 10;
    uint256 private constant DELTA_2 = 14;
    uint256 private constant IC = 18;

    // ------------------------------------------------------------------------------------------------ accepted

    function test_RegistersEveryFixture() public {
        for (uint256 i = 0; i < names.length; ++i) {
            Model memory model = loadModel(names[i]);
            bytes32[] memory chunks = writeChunks(model.blob);
            bytes32 setup = vm.parseJsonBytes32(readFixture(names[i]), ".setupDigest");
            vm.expectEmit();
            emit IModelRegistry.ModelRegistered(
                model.digest, setup, model.keys.length, true, 0, uint64(block.timestamp)
            );
            assertEq(registry.register(chunks, 0), model.digest);
            IModelRegistry.ModelInfo memory info = registry.modelInfo(model.digest);
            assertEq(uint8(info.status), uint8(IModelRegistry.Status.Active));
            assertEq(info.activeAt, block.timestamp);
            assertTrue(info.dev);
            assertEq(info.slices, model.keys.length);
            assertEq(info.coveragePolicy, 0);
            assertEq(info.setupDigest, setup);
            assertEq(info.transcriptHash, 0);
            assertEq(registry.blob(model.digest), model.blob);
        }
    }

    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 150
    function testFuzz_ChunkingDoesNotMatter(uint256 seed) public {
        Model memory model = loadModel("chain");
        bytes32[] memory hashes = new bytes32[](model.blob.length);
        uint256 count;
        for (uint256 start = 0; start < model.blob.length;) {
            uint256 size = bound(uint256(keccak256(abi.encode(seed, count))), 1, 900);
            if (start + size > model.blob.length) size = model.blob.length - start;
            bytes memory chunk = new bytes(size);
            for (uint256 i = 0; i < size; ++i) {
                chunk[i] = model.blob[start + i];
            }
            (hashes[count++],) = registry.writeChunk(chunk);
            start += size;
        }
        assembly {
            mstore(hashes, count)
        }
        assertEq(registry.register(hashes, 0), model.digest);
        assertEq(registry.blob(model.digest), model.blob);
        address[] memory pointers = registry.chunks(model.digest);
        assertEq(pointers.length, count);
        for (uint256 i = 0; i < count; ++i) {
            assertEq(pointers[i], registry.chunkPointer(hashes[i]));
        }
        _requireCanonicalAnswer(model.digest, pointers);
    }

    /// One chunk is answered by hand: the answer is the compiler's, to the byte.
    function test_AnswersAreCanonical() public {
        Model memory model = install("single");
        address[] memory pointers = registry.chunks(model.digest);
        assertEq(pointers.length, 1);
        assertEq(pointers[0].code, bytes.concat(hex"00", model.blob));
        _requireCanonicalAnswer(model.digest, pointers);
    }

    function _requireCanonicalAnswer(bytes32 digest, address[] memory pointers) private view {
        (bool ok, bytes memory answer) = address(registry).staticcall(abi.encodeCall(registry.chunks, (digest)));
        assertTrue(ok);
        assertEq(answer, abi.encode(pointers));
    }

    function test_WriteChunkIsIdempotentAndOpen() public {
        vm.prank(address(1));
        (bytes32 hash, address pointer) = registry.writeChunk(hex"0102");
        assertEq(hash, keccak256(hex"0102"));
        assertEq(pointer.code, hex"000102");
        vm.recordLogs();
        (bytes32 again, address same) = registry.writeChunk(hex"0102");
        assertEq(again, hash);
        assertEq(same, pointer);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(registry.chunkPointer(hash), pointer);
    }

    function test_LargestChunk() public {
        bytes memory chunk = new bytes(MAX_CHUNK);
        (, address pointer) = registry.writeChunk(chunk);
        assertEq(pointer.code.length, 24_576);
    }

    /// One key may serve two models: the same circuit with other decimals.
    function test_KeyIsSharedByTwoModelsOfASetup() public {
        Model memory model = install("chain");
        setWord(model.blob, tensorAt(model.blob, 1) + 5, 2);
        bytes32 digest = rehash(model.blob);
        assertNotEq(digest, model.digest);
        assertEq(register(model.blob), digest);
    }

    function test_ProductionKeysAreRegisteredAnywhere() public {
        Model memory model = loadModel("single");
        setWord(model.blob, 5, 0);
        vm.chainId(1);
        bytes32 digest = rehash(model.blob);
        bytes32[] memory chunks = writeChunks(model.blob);
        vm.expectEmit();
        emit IModelRegistry.ModelRegistered(
            digest, bytes32(wordAt(model.blob, 4)), 1, false, TRANSCRIPT, uint64(block.timestamp)
        );
        assertEq(registry.register(chunks, TRANSCRIPT), digest);
        assertEq(registry.modelInfo(digest).transcriptHash, TRANSCRIPT);
        assertFalse(registry.modelInfo(digest).dev);
    }

    function test_DevKeysAreRegisteredOnLocalChains() public {
        uint256[3] memory chains = [uint256(1337), 31_337, 31_346];
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            vm.chainId(chains[i]);
            register(loadModel("single").blob);
            vm.revertToState(snapshot);
        }
    }

    // ------------------------------------------------------------------------------------------------ who and what

    function test_RevertWhen_ChunkLengthIsOutOfRange() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ChunkLengthOutOfRange.selector, 0));
        registry.writeChunk("");
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ChunkLengthOutOfRange.selector, MAX_CHUNK + 1));
        registry.writeChunk(new bytes(MAX_CHUNK + 1));
    }

    function test_RevertWhen_ChunkIsUnknown() public {
        bytes32[] memory chunks = new bytes32[](1);
        chunks[0] = bytes32(uint256(1));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownChunk.selector, chunks[0]));
        registry.register(chunks, 0);
    }

    function test_RevertWhen_ModelIsRegisteredAlready() public {
        Model memory model = install("single");
        _expect(model.blob, abi.encodeWithSelector(IModelRegistry.AlreadyRegistered.selector, model.digest));
    }

    function test_RevertWhen_ReadingAnUnknownModel() public {
        assertEq(uint8(registry.modelStatus(0)), uint8(IModelRegistry.Status.None));
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, bytes32(0), IModelRegistry.Status.None)
        );
        registry.chunks(0);
        bytes memory fault = abi.encodeWithSelector(IModelRegistry.NotRegistered.selector, bytes32(0));
        vm.expectRevert(fault);
        registry.blob(0);
        vm.expectRevert(fault);
        registry.modelInfo(0);
    }

    /// P24: a ceremony has a transcript; development keys have none, and cannot borrow one.
    function test_RevertWhen_TranscriptDoesNotFitTheDevFlag() public {
        bytes memory blob = loadModel("single").blob;
        bytes32[] memory chunks = writeChunks(blob);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.TranscriptMismatch.selector, true, TRANSCRIPT));
        registry.register(chunks, TRANSCRIPT);
        setWord(blob, 5, 0);
        chunks = writeChunks(blob);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.TranscriptMismatch.selector, false, bytes32(0)));
        registry.register(chunks, 0);
    }

    /// P1: development keys on a foreign chain.
    function test_RevertWhen_DevKeysOnAForeignChain() public {
        bytes memory blob = loadModel("single").blob;
        uint256[5] memory chains = [uint256(1), 1336, 31_336, 31_347, 10];
        for (uint256 i = 0; i < chains.length; ++i) {
            vm.chainId(chains[i]);
            _expect(blob, abi.encodeWithSelector(IModelRegistry.DevKeysRefused.selector, chains[i]));
        }
    }

    // ------------------------------------------------------------------------------------------------ layout

    /// B10: each word of the blob is under a hash or checked; with any bit changed it is refused or another model.
    function test_RevertWhen_AnyWordIsMutated() public {
        Model memory model = loadModel("mixed");
        uint256 header = wiringAt(model.blob, 3);
        for (uint256 i = 0; i < model.blob.length / 32; ++i) {
            bytes memory blob = bytes.concat(model.blob);
            setWord(blob, i, wordAt(blob, i) ^ 1);
            bytes32[] memory chunks = writeChunks(blob);
            uint256 snapshot = vm.snapshotState();
            try registry.register(chunks, 0) returns (bytes32 digest) {
                assertLt(i, header, "records are pinned by the header");
                assertNotEq(digest, model.digest, "another model");
            } catch {}
            vm.revertToState(snapshot);
        }
    }

    /// B10: form, counts and layouts are part of the digest.
    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 500
    function testFuzz_RevertWhen_ABitIsFlippedInARecord(uint256 bit) public {
        bytes memory blob = loadModel("chain").blob;
        uint256 start = 256 * recordAt(blob, 0);
        bit = bound(bit, start, 8 * blob.length - 1);
        setWord(blob, bit / 256, wordAt(blob, bit / 256) ^ (1 << (bit % 256)));
        bytes32[] memory chunks = writeChunks(blob);
        vm.expectRevert();
        registry.register(chunks, 0);
    }

    function test_RevertWhen_BlobIsCutOrExtended() public {
        bytes memory blob = loadModel("chain").blob;
        for (uint256 words = 1; words < blob.length / 32; ++words) {
            bytes32[] memory chunks = writeChunks(slice(blob, 0, words));
            vm.expectRevert();
            registry.register(chunks, 0);
        }
        _expect(
            bytes.concat(blob, bytes32(0)),
            abi.encodeWithSelector(IModelRegistry.BlobLengthMismatch.selector, blob.length, blob.length + 32)
        );
        _expect(
            bytes.concat(blob, hex"00"),
            abi.encodeWithSelector(IModelRegistry.BlobLengthMismatch.selector, blob.length, blob.length + 1)
        );
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.BlobLengthMismatch.selector, 224, 0));
        registry.register(new bytes32[](0), 0);
    }

    function test_RevertWhen_HeaderIsMalformed() public {
        _refuseWord(0, uint256(keccak256("zkslice/model/v2")));
        _refuseWord(1, 0);
        _refuseWord(1, 257);
        _refuseWord(1, 1 << 32);
        _refuseWord(1, type(uint256).max);
        _refuseWord(2, 0);
        _refuseWord(2, type(uint256).max);
        _refuseWord(5, 2);
    }

    /// B6: a policy has the slices that put out outputs; full coverage has one form, 0.
    function test_CoveragePolicyHasTheOutputSlices() public {
        bytes memory blob = loadModel("mixed").blob; // Outputs in slices 1 and 2 of three.
        for (uint256 policy = 0; policy < 9; ++policy) {
            setWord(blob, 3, policy);
            if (policy == 0 || policy == 6) {
                assertEq(registry.modelInfo(register(blob)).coveragePolicy, policy);
            } else {
                _expect(blob, abi.encodeWithSelector(IModelRegistry.MalformedBlob.selector, 3, policy));
            }
        }
        uint256[4] memory beyond = [uint256(6 + 8), 6 + 256, 6 + (1 << 255), type(uint256).max];
        for (uint256 i = 0; i < beyond.length; ++i) {
            setWord(blob, 3, beyond[i]);
            _expect(blob, abi.encodeWithSelector(IModelRegistry.MalformedBlob.selector, 3, beyond[i]));
        }
        // A model of one slice has nothing to choose.
        blob = loadModel("single").blob;
        setWord(blob, 3, 1);
        _expect(blob, abi.encodeWithSelector(IModelRegistry.MalformedBlob.selector, 3, 1));
    }

    /// The counts of a wiring, on which every later cursor depends.
    function test_RevertWhen_WiringCountsAreMalformed() public {
        uint256 wiring = wiringAt(loadModel("chain").blob, 0);
        uint256[4] memory counts = [uint256(1 << 32), type(uint256).max, 1 << 251, type(uint32).max];
        for (uint256 i = 0; i < counts.length; ++i) {
            _refuseWord(wiring, counts[i]);
            _refuseWord(wiring + 3, counts[i]);
        }
        _refuseWord(wiring, 0);
    }

    function test_RevertWhen_TensorIsMalformed() public {
        bytes memory blob = loadModel("chain").blob;
        uint256 tensor = tensorAt(blob, 1);
        _refuseWord(tensor, 0);
        _refuseWord(tensor, 5);
        _refuseWord(tensor + 1, 0);
        _refuseWord(tensor + 1, 1 << 32);
        _refuseWord(tensor + 2, 0);
        _refuseWord(tensor + 2, 254);
        _refuseWord(tensor + 3, 1 << 253);
        _refuseWord(tensor + 4, 0);
        _refuseWord(tensor + 4, 1 << 128);
        _refuseWord(tensor + 5, 78);
        // Order: inputs, outputs, boundaries; a first tensor that is no input.
        uint256[2][4] memory order = [[uint256(0), 3], [uint256(0), 4], [uint256(2), 1], [uint256(3), 3]];
        for (uint256 i = 0; i < 4; ++i) {
            bytes memory disordered = bytes.concat(blob);
            uint256 position = tensorAt(blob, order[i][0]);
            setWord(disordered, position, order[i][1]);
            _expect(disordered, abi.encodeWithSelector(IModelRegistry.MalformedBlob.selector, position, order[i][1]));
        }
        // A boundary has neither scale nor decimals.
        _refuseWord(tensorAt(blob, 2) + 4, 1);
        _refuseWord(tensorAt(blob, 2) + 5, 1);
    }

    /// An input whose features have scales of their own states neither: the layout digest binds them. An output always has one.
    function test_InputMayLeaveItsScaleToItsFeatures() public {
        bytes memory blob = loadModel("chain").blob;
        setWord(blob, tensorAt(blob, 0) + 3, 0);
        setWord(blob, tensorAt(blob, 0) + 4, 0);
        bytes32 digest = register(blob);
        assertNotEq(digest, loadModel("chain").digest);
    }

    function test_RevertWhen_RecordIsMalformed() public {
        bytes memory blob = loadModel("chain").blob;
        uint256 record = recordAt(blob, 0);
        _refuseWord(record, uint256(keccak256("zkslice/vk/v1")));
        _refuseWord(record + 1, 2);
        // p and n: a value must not be read as one of the other list.
        _refuseWord(record + 2, 1);
        _refuseWord(record + 2, 3);
        _refuseWord(record + 3, 25);
        _refuseWord(record + 3, 27);
        _refuseWord(record + 4, 2);
        // How many scalars there are, and which.
        _refuseWord(record + 7, 1);
        _refuseWord(record + 7, 3);
        _refuseWord(record + 8, 2);
        _refuseWord(record + 9, 1);
    }

    /// B10: a key of another form, as plain Groth16, or with an IC point a public input, is none of a slice: without a
    /// challenge all its lookups would be void. With words and without.
    function test_RevertWhen_RecordIsPlain() public {
        for (uint256 k = 0; k < 2; ++k) {
            bytes memory blob = loadModel("chain").blob;
            uint256 position = recordAt(blob, k) + 1;
            setWord(blob, position, 0);
            _expect(blob, abi.encodeWithSelector(IModelRegistry.MalformedBlob.selector, position, 0));
        }
        // As such a key was written: no codes, one delta, IC_0 and one more for each slot.
        bytes memory original = loadModel("chain").blob;
        (uint256 start, uint256 end) = (recordAt(original, 1), recordAt(original, 2));
        bytes memory plain = bytes.concat(slice(original, 0, start + 5), bytes32(0), slice(original, start + 8, 14));
        setWord(plain, start + 1, 0);
        plain = bytes.concat(plain, slice(original, start + 8 + IC, 6), slice(original, start + 8 + IC, 2));
        plain = bytes.concat(plain, slice(original, end, original.length / 32 - end));
        _expect(plain, abi.encodeWithSelector(IModelRegistry.MalformedBlob.selector, start + 1, 0));
    }

    /// P21: of a key with a point for each slot there is one too many.
    function test_RevertWhen_KeyHasAnotherIcPoint() public {
        bytes memory blob = loadModel("chain").blob;
        uint256 end = blob.length / 32;
        bytes memory longer = bytes.concat(blob, slice(blob, end - 2, 2));
        _expect(
            longer, abi.encodeWithSelector(IModelRegistry.BlobLengthMismatch.selector, blob.length, blob.length + 64)
        );
    }

    function test_RevertWhen_VkHashIsAnothers() public {
        bytes memory blob = loadModel("chain").blob;
        bytes32 hash = bytes32(wordAt(blob, 8));
        setWord(blob, 8, 1);
        _expect(blob, abi.encodeWithSelector(IModelRegistry.VkHashMismatch.selector, 1, bytes32(uint256(1)), hash));
    }

    /// A slice's α differs from the setup's.
    function test_RevertWhen_SliceIsOfAnotherSetup() public {
        bytes memory blob = loadModel("chain").blob;
        uint256 position = pointsAt(blob, recordAt(blob, 1));
        (uint256 x, uint256 y) = g1(12_345);
        setWord(blob, position, x);
        setWord(blob, position + 1, y);
        rehash(blob);
        _expectSelector(blob, IModelRegistry.SetupDigestMismatch.selector);
    }

    // ------------------------------------------------------------------------------------------------ points (P1, P21)

    function test_RevertWhen_IcIsAtInfinity() public {
        bytes memory original = loadModel("chain").blob;
        uint256 ic = pointsAt(original, recordAt(original, 0)) + IC;
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory blob = bytes.concat(original);
            setWord(blob, ic + 2 * i, 0);
            setWord(blob, ic + 2 * i + 1, 0);
            rehash(blob);
            _expect(blob, abi.encodeWithSelector(IModelRegistry.InvalidG1.selector, ic + 2 * i));
        }
    }

    function test_RevertWhen_G1PointIsInvalid() public {
        bytes memory original = loadModel("chain").blob;
        uint256 ic = pointsAt(original, recordAt(original, 0)) + IC;
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory blob = bytes.concat(original);
            setWord(blob, ic + i, wordAt(blob, ic + i) + BN254.Q);
            rehash(blob);
            _expect(blob, abi.encodeWithSelector(IModelRegistry.InvalidG1.selector, ic));
            setWord(blob, ic + i, wordAt(original, ic + i) ^ 1);
            rehash(blob);
            _expect(blob, abi.encodeWithSelector(IModelRegistry.InvalidG1.selector, ic));
        }
    }

    function test_RevertWhen_AlphaIsAtInfinity() public {
        bytes memory blob = _withEverywhere(loadModel("single").blob, 0, abi.encode(0, 0));
        _expectSelector(blob, IModelRegistry.InvalidG1.selector);
    }

    function test_RevertWhen_G2PointIsInvalid() public {
        bytes memory original = loadModel("single").blob;
        uint256[3] memory starts = [BETA, DELTA_1, DELTA_2];
        bytes memory outside = abi.encodePacked(vm.parseJsonUintArray(readFixture("points"), ".twistOutsideG2"));
        bytes memory fault = abi.encodeWithSelector(IModelRegistry.InvalidG2.selector, 0);
        for (uint256 i = 0; i < starts.length; ++i) {
            _expect(_withEverywhere(original, starts[i], outside), fault);
            _expect(_withEverywhere(original, starts[i], abi.encode(0, 0, 0, 0)), fault);
            _expect(_withEverywhere(original, starts[i], abi.encode(1, 2, 3, 4)), fault);
            bytes memory point = _g2(original, starts[i]);
            setWord(point, 1, wordAt(point, 1) + BN254.Q);
            _expect(_withEverywhere(original, starts[i], point), fault);
        }
    }

    /// P1: keys nobody contributed to.
    function test_RevertWhen_DeltaIsTheGenerator() public {
        bytes memory blob = loadModel("single").blob;
        bytes memory generator = _generator();
        _refuseDelta(blob, DELTA_1, generator);
        _refuseDelta(blob, DELTA_2, generator);
        _refuseDelta(blob, DELTA_1, _negated(generator));
        _refuseDelta(blob, DELTA_2, _negated(generator));
    }

    /// P1, B9: β = δ, δ1 = ±δ2.
    function test_RevertWhen_DeltaEqualsAnotherPointOfItsKey() public {
        bytes memory blob = loadModel("single").blob;
        _refuseDelta(blob, DELTA_1, _g2(blob, BETA));
        _refuseDelta(blob, DELTA_2, _negated(_g2(blob, BETA)));
        _refuseDelta(blob, DELTA_1, _g2(blob, DELTA_2));
        _refuseDelta(blob, DELTA_1, _negated(_g2(blob, DELTA_2)));
    }

    /// B9: δ shared by slices of a model, crosswise too.
    function test_RevertWhen_DeltaIsSharedBetweenSlices() public {
        bytes memory original = loadModel("chain").blob;
        uint256 first = pointsAt(original, recordAt(original, 0));
        uint256 second = pointsAt(original, recordAt(original, 2));
        for (uint256 i = 0; i < 4; ++i) {
            bytes memory blob = bytes.concat(original);
            bytes memory delta = slice(blob, first + (i % 2 == 0 ? DELTA_1 : DELTA_2), 4);
            _set(blob, second + (i / 2 == 0 ? DELTA_1 : DELTA_2), i == 3 ? _negated(delta) : delta);
            rehash(blob);
            _expectSelector(blob, IModelRegistry.DeltaNotDistinct.selector);
        }
    }

    /// B9: δ shared by two models of a setup.
    function test_RevertWhen_DeltaIsSharedBetweenModelsOfASetup() public {
        bytes memory other = install("skip").blob;
        bytes memory original = loadModel("single").blob;
        uint256 start = pointsAt(other, recordAt(other, 1)) + DELTA_1;
        _refuseDelta(original, DELTA_1, slice(other, start, 4));
        _refuseDelta(original, DELTA_2, _negated(slice(other, start, 4)));
        start = pointsAt(other, recordAt(other, 2)) + DELTA_2;
        _refuseDelta(original, DELTA_1, slice(other, start, 4));
        register(original);
    }

    /// B9: γ is the generator, and nothing else: β or a δ equal to another γ would let anybody prove anything.
    function test_RevertWhen_GammaIsNotTheGenerator() public {
        bytes memory blob = loadModel("single").blob;
        uint256 gamma = pointsAt(blob, recordAt(blob, 0)) + GAMMA;
        bytes memory other = _g2(loadModel("chain").blob, DELTA_1);
        bytes[4] memory points = [other, _g2(blob, BETA), _negated(_g2(blob, BETA)), _g2(blob, DELTA_1)];
        for (uint256 i = 0; i < points.length; ++i) {
            bytes memory fault =
                abi.encodeWithSelector(IModelRegistry.MalformedBlob.selector, gamma, wordAt(points[i], 0));
            _expect(_withEverywhere(blob, GAMMA, points[i]), fault);
        }
        bytes memory negated = _negated(_generator());
        bytes memory sign = abi.encodeWithSelector(IModelRegistry.MalformedBlob.selector, gamma + 2, wordAt(negated, 2));
        _expect(_withEverywhere(blob, GAMMA, negated), sign);
    }

    /// The same key for two slices of one model.
    function test_RevertWhen_KeyIsUsedTwiceInAModel() public {
        _expectSelector(_twoMiddles(loadModel("chain").blob), IModelRegistry.DeltaNotDistinct.selector);
    }

    function test_RevertWhen_SetupIsUncontributed() public {
        bytes memory blob = loadModel("single").blob;
        bytes memory fault = abi.encodeWithSelector(IModelRegistry.UncontributedSetup.selector);
        _expect(_withEverywhere(blob, BETA, _generator()), fault);
        _expect(_withEverywhere(blob, BETA, _negated(_generator())), fault);
        _expect(_withEverywhere(blob, 0, abi.encode(1, 2)), fault);
        _expect(_withEverywhere(blob, 0, abi.encode(1, BN254.Q - 2)), fault);
    }

    /// P13: a pairing precompile that does not check its points would let a bad key in.
    function test_RevertWhen_DeployedWithoutPrecompiles() public {
        vm.mockCall(address(8), "", "");
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.SelfTestFailed.selector, address(8)));
        new ModelRegistry(address(this), address(this), 0);
    }

    /// The pairing is all that it calls, so that it is one code on every chain, Bittensor too.
    function test_DeploysWhereTheAdditionIsElsewhere() public {
        vm.expectCall(address(6), "", 0);
        vm.expectCall(address(7), "", 0);
        vm.chainId(964);
        new ModelRegistry(address(this), address(this), 1 days);
    }

    // ------------------------------------------------------------------------------------------------ wiring (G8)

    function test_RevertWhen_ContextSlotIsMissing() public {
        bytes memory blob = loadModel("chain").blob;
        uint256 slot = wiringAt(blob, 1) + 1;
        _refuseWiring(blob, slot, (3 << 32) + 2, 1, 0, IModelRegistry.WiringFault.ContextSlotMissing);
        _refuseWiring(blob, slot, (1 << 32) + 1, 1, 0, IModelRegistry.WiringFault.ContextSlotMissing);
    }

    function test_RevertWhen_OwnerSlotDoesNotFit() public {
        bytes memory blob = loadModel("private").blob;
        uint256 wiring = wiringAt(blob, 0);
        // The owner's slot is another role.
        _refuseWiring(blob, wiring + 2, 1 << 32, 0, 0, IModelRegistry.WiringFault.RoleMismatch);
        // A private input read without an owner.
        blob = loadModel("chain").blob;
        setWord(blob, tensorAt(blob, 0), 2);
        _refuseWiring(blob, wiringAt(blob, 0) + 2, 3 << 32, 0, 0, IModelRegistry.WiringFault.OwnerSlotMismatch);
        // An owner where no private input is read.
        blob = loadModel("chain").blob;
        wiring = wiringAt(blob, 2);
        _refuseWiring(blob, wiring + 2, 2 << 32, 2, 0, IModelRegistry.WiringFault.OwnerSlotMismatch);
    }

    function test_RevertWhen_SlotsAreNotAscending() public {
        bytes memory blob = loadModel("chain").blob;
        uint256 wiring = wiringAt(blob, 1);
        setWord(blob, wiring + 2, (4 << 32) + 3);
        _refuseWiring(blob, wiring + 3, (3 << 32) + 2, 1, 2, IModelRegistry.WiringFault.NotAscending);
        blob = loadModel("mixed").blob;
        wiring = wiringAt(blob, 2);
        _refuseWiring(blob, wiring + 3, (3 << 32) + 5, 2, 5, IModelRegistry.WiringFault.NotAscending);
    }

    function test_RevertWhen_RoleDoesNotFitTheTensor() public {
        bytes memory blob = loadModel("chain").blob;
        uint256 slot = wiringAt(blob, 1) + 2;
        uint256[6] memory slots = [
            uint256(3 << 32), // a public input as a commitment
            (3 << 32) + 1, // an output as a commitment
            (4 << 32) + 1,
            (3 << 32) + 4, // no such tensor
            (5 << 32) + 2, // no such role
            (1 << 64) + (3 << 32) + 2
        ];
        for (uint256 i = 0; i < slots.length; ++i) {
            _refuseWiring(blob, slot, slots[i], 1, slots[i] & 0xffffffff, IModelRegistry.WiringFault.RoleMismatch);
        }
    }

    /// G8: with a cycle two slices could certify each other's invented tensors.
    function test_RevertWhen_BoundaryIsReadBeforeItIsWritten() public {
        bytes memory blob = loadModel("chain").blob;
        _refuseWiring(blob, wiringAt(blob, 0) + 2, (3 << 32) + 3, 0, 3, IModelRegistry.WiringFault.ReadBeforeWrite);
        _refuseWiring(blob, wiringAt(blob, 0) + 2, (4 << 32) + 3, 1, 2, IModelRegistry.WiringFault.ReadBeforeWrite);
    }

    function test_RevertWhen_BoundaryIsWrittenTwice() public {
        bytes memory blob = loadModel("chain").blob;
        _refuseWiring(blob, wiringAt(blob, 1) + 2, (4 << 32) + 2, 1, 2, IModelRegistry.WiringFault.WrittenTwice);
    }

    function test_RevertWhen_BoundaryIsNeverWritten() public {
        bytes memory blob = _withExtraTensor(loadModel("single").blob);
        rehash(blob);
        _expect(
            blob,
            abi.encodeWithSelector(IModelRegistry.InvalidWiring.selector, 1, 2, IModelRegistry.WiringFault.NeverWritten)
        );
    }

    function test_RevertWhen_WordGroupIsNotPublicOrOfAnotherLayout() public {
        bytes memory blob = loadModel("chain").blob;
        uint256 group = wiringAt(blob, 0) + 4;
        _refuseWiring(blob, group, 1, 0, 1, IModelRegistry.WiringFault.LayoutMismatch);
        _refuseWiring(blob, group, 9, 0, 9, IModelRegistry.WiringFault.NotPublic);
        // A boundary with the input's layout.
        setWord(blob, tensorAt(blob, 2) + 1, 784);
        setWord(blob, tensorAt(blob, 2) + 2, 8);
        _refuseWiring(blob, group, 2, 0, 2, IModelRegistry.WiringFault.NotPublic);
        // Layouts of the header alone changed: the circuit packs otherwise.
        blob = loadModel("chain").blob;
        _refuseWiring(blob, tensorAt(blob, 0) + 2, 9, 0, 0, IModelRegistry.WiringFault.LayoutMismatch);
    }

    function test_RevertWhen_GroupsAreNotAscending() public {
        bytes memory blob = loadModel("single").blob;
        uint256 group = wiringAt(blob, 0) + 3;
        uint256 record = recordAt(blob, 0) + 5;
        setWord(blob, group, 1);
        setWord(blob, group + 1, 0);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 saved = wordAt(blob, record + i);
            setWord(blob, record + i, wordAt(blob, record + 2 + i));
            setWord(blob, record + 2 + i, saved);
        }
        _refuseWiring(blob, group, 1, 0, 0, IModelRegistry.WiringFault.NotAscending);
    }

    function test_RevertWhen_OutputIsInTwoSlicesOrNone() public {
        bytes memory blob = loadModel("chain").blob;
        // Slice 0's group becomes the output, with its layout in the key: then the last slice's is the second.
        bytes memory twice = bytes.concat(blob);
        uint256 record = recordAt(twice, 0);
        setWord(twice, wiringAt(twice, 0) + 4, 1);
        setWord(twice, record + 5, 10);
        setWord(twice, record + 6, 25);
        setWord(twice, record + 3, 1);
        _refuseWiring(twice, 3, 0, 2, 1, IModelRegistry.WiringFault.OutputTwice);
        // The last slice's group becomes the input: the output is nowhere.
        record = recordAt(blob, 2);
        setWord(blob, wiringAt(blob, 2) + 4, 0);
        setWord(blob, record + 5, 784);
        setWord(blob, record + 6, 8);
        setWord(blob, record + 3, 26);
        _refuseWiring(blob, 3, 0, 3, 1, IModelRegistry.WiringFault.OutputMissing);
    }

    function test_RevertWhen_ThereIsNoOutput() public {
        bytes memory blob = loadModel("single").blob;
        _refuseWiring(blob, tensorAt(blob, 1), 1, 0, 2, IModelRegistry.WiringFault.OutputMissing);
    }

    function test_RevertWhen_InputIsUnread() public {
        bytes memory blob = _withUnreadInput(loadModel("single").blob);
        rehash(blob);
        _expect(
            blob, abi.encodeWithSelector(IModelRegistry.InvalidWiring.selector, 1, 1, IModelRegistry.WiringFault.Unread)
        );
    }

    /// A package with such a boundary is refused off chain, too.
    function test_RevertWhen_BoundaryIsUnread() public {
        bytes memory blob = loadModel("chain").blob;
        uint256 slot = wiringAt(blob, 2) + 2;
        _refuseWiring(blob, slot, (3 << 32) + 2, 3, 3, IModelRegistry.WiringFault.Unread);
    }

    /// What readers rely on, stated once more and plainly: it holds for whatever hostile blob is accepted.
    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 500
    function testFuzz_AcceptedBlobIsWellFormed(uint256 which, uint256[3] memory places, uint256[3] memory values)
        public
    {
        bytes memory blob = loadModel(names[which % 5]).blob;
        (uint256 start, uint256 end) = (1, recordAt(blob, 0));
        for (uint256 i = 0; i < 1 + which / 5 % 3; ++i) {
            uint256 value = values[i] % 8;
            // A slot, or a count, kind or index.
            if (values[i] / 8 % 2 == 0) value = (1 + values[i] / 16 % 4 << 32) + value;
            setWord(blob, bound(places[i], start, end - 1), value);
        }
        // Hashes that match, where the blob can be read at all.
        try this.rehashExternal(blob) returns (bytes memory hashed) {
            blob = hashed;
        } catch {}
        bytes32[] memory chunks = writeChunks(blob);
        bytes32 transcript = which / 15 % 2 == 0 ? bytes32(0) : TRANSCRIPT;
        try registry.register(chunks, transcript) returns (bytes32 digest) {
            this.requireWellFormed(blob);
            assertEq(digest, keccak256(slice(blob, 0, recordAt(blob, 0))));
            assertEq(wordAt(blob, 5), transcript == 0 ? 1 : 0, "dev keys have no transcript, others one");
        } catch {}
    }

    function rehashExternal(bytes memory blob) external pure returns (bytes memory) {
        require(wordAt(blob, 1) < 10 && wordAt(blob, 2) < 10);
        rehash(blob);
        return blob;
    }

    function requireWellFormed(bytes memory blob) external pure {
        uint256 tensors = wordAt(blob, 2);
        uint256[] memory written = new uint256[](tensors);
        uint256[] memory read = new uint256[](tensors);
        for (uint256 k = 0; k < wordAt(blob, 1); ++k) {
            uint256 slot = wiringAt(blob, k);
            uint256 slots = wordAt(blob, slot);
            assertEq(wordAt(blob, slot + 1), 1 << 32, "context first");
            bool owner;
            bool private_;
            for (uint256 j = 2; j <= slots; ++j) {
                (uint256 role, uint256 t) = (wordAt(blob, slot + j) >> 32, wordAt(blob, slot + j) % 2 ** 32);
                if (role == 2) {
                    assertTrue(j == 2 && t == 0, "owner second");
                    owner = true;
                    continue;
                }
                uint256 kind = wordAt(blob, tensorAt(blob, t));
                if (role == 4) {
                    assertEq(kind, 4);
                    assertEq(written[t]++, 0, "one writer");
                } else {
                    assertEq(role, 3);
                    assertTrue(kind == 2 || kind == 4);
                    if (kind == 4) assertEq(written[t], 1, "written before");
                    if (kind == 2) private_ = true;
                    ++read[t];
                }
            }
            assertEq(owner, private_, "owner iff private");
            _requireGroups(blob, slot + slots + 1, recordAt(blob, k), written, read);
            _requireInPolicy(blob, k, slot + slots + 1);
        }
        assertTrue(wordAt(blob, 3) == 0 || wordAt(blob, 3) < 2 ** wordAt(blob, 1) - 1, "policy");
        for (uint256 t = 0; t < tensors; ++t) {
            uint256 kind = wordAt(blob, tensorAt(blob, t));
            assertTrue(kind != 0 && kind < 5);
            if (t != 0) assertTrue(kind >= wordAt(blob, tensorAt(blob, t - 1)) || kind < 3, "order");
            if (t != 0 && kind < 3) assertLt(wordAt(blob, tensorAt(blob, t - 1)), 3, "inputs first");
            if (kind >= 3) assertEq(written[t], 1, "one source");
            if (kind != 3) assertGt(read[t], 0, "no idle input or boundary");
        }
        assertEq(recordAt(blob, wordAt(blob, 1)), blob.length / 32, "nothing after the records");
    }

    function _requireInPolicy(bytes memory blob, uint256 k, uint256 list) private pure {
        if (wordAt(blob, 3) == 0) return;
        for (uint256 g = 1; g <= wordAt(blob, list); ++g) {
            if (wordAt(blob, tensorAt(blob, wordAt(blob, list + g))) == 3) assertEq(wordAt(blob, 3) / 2 ** k % 2, 1);
        }
    }

    function _requireGroups(
        bytes memory blob,
        uint256 list,
        uint256 record,
        uint256[] memory written,
        uint256[] memory read
    ) private pure {
        uint256 words;
        for (uint256 g = 0; g < wordAt(blob, list); ++g) {
            uint256 t = wordAt(blob, list + 1 + g);
            if (g != 0) assertLt(wordAt(blob, list + g), t, "ascending");
            uint256 kind = wordAt(blob, tensorAt(blob, t));
            assertTrue(kind == 1 || kind == 3, "public");
            if (kind == 3) assertEq(written[t]++, 0, "put out once");
            else ++read[t];
            assertEq(wordAt(blob, record + 5 + 2 * g), wordAt(blob, tensorAt(blob, t) + 1));
            assertEq(wordAt(blob, record + 6 + 2 * g), wordAt(blob, tensorAt(blob, t) + 2));
            words += wordCountOf(blob, t);
        }
        assertEq(wordAt(blob, record + 4), wordAt(blob, list));
        assertEq(wordAt(blob, record + 3), words, "public words");
        uint256 codes = record + 5 + 2 * wordAt(blob, list);
        assertEq(wordAt(blob, record + 1), 1, "form");
        assertEq(slice(blob, codes, 3), abi.encode(2, 1, 2), "codes");
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function _expect(bytes memory blob, bytes memory revertData) private {
        bytes32[] memory chunks = writeChunks(blob);
        vm.expectRevert(revertData);
        registry.register(chunks, 0);
    }

    function _expectSelector(bytes memory blob, bytes4 selector) private {
        bytes32[] memory chunks = writeChunks(blob);
        vm.expectPartialRevert(selector);
        registry.register(chunks, 0);
    }

    /// A value that the format does not allow in `chain`, whatever the hashes: refused with any error of the
    /// registry's own.
    function _refuseWord(uint256 index, uint256 value) private {
        bytes memory blob = loadModel("chain").blob;
        setWord(blob, index, value);
        bytes32[] memory chunks = writeChunks(blob);
        (bool ok, bytes memory data) = address(registry).call(abi.encodeCall(IModelRegistry.register, (chunks, 0)));
        assertFalse(ok);
        bytes4 selector = bytes4(data);
        assertTrue(
            selector == IModelRegistry.MalformedBlob.selector || selector == IModelRegistry.InvalidWiring.selector
                || selector == IModelRegistry.BlobLengthMismatch.selector
        );
    }

    function _refuseWiring(
        bytes memory original,
        uint256 index,
        uint256 value,
        uint256 slice_,
        uint256 tensor,
        IModelRegistry.WiringFault fault
    ) private {
        bytes memory blob = bytes.concat(original);
        setWord(blob, index, value);
        rehash(blob);
        _expect(blob, abi.encodeWithSelector(IModelRegistry.InvalidWiring.selector, slice_, tensor, fault));
    }

    function _refuseDelta(bytes memory original, uint256 start, bytes memory point) private {
        bytes memory blob = bytes.concat(original);
        _set(blob, pointsAt(blob, recordAt(blob, 0)) + start, point);
        rehash(blob);
        _expectSelector(blob, IModelRegistry.DeltaNotDistinct.selector);
    }

    function _set(bytes memory blob, uint256 index, bytes memory words) private pure {
        for (uint256 i = 0; i < words.length / 32; ++i) {
            setWord(blob, index + i, wordAt(words, i));
        }
    }

    /// With a point (index from α) replaced in every record.
    function _withEverywhere(bytes memory original, uint256 start, bytes memory point)
        private
        pure
        returns (bytes memory blob)
    {
        blob = bytes.concat(original);
        for (uint256 k = 0; k < wordAt(blob, 1); ++k) {
            _set(blob, pointsAt(blob, recordAt(blob, k)) + start, point);
        }
        rehash(blob);
    }

    function _g2(bytes memory blob, uint256 start) private pure returns (bytes memory) {
        return slice(blob, pointsAt(blob, recordAt(blob, 0)) + start, 4);
    }

    function _generator() private pure returns (bytes memory) {
        return abi.encode(BN254.G2_X1, BN254.G2_X0, BN254.G2_Y1, BN254.G2_Y0);
    }

    function _negated(bytes memory point) private pure returns (bytes memory out) {
        out = bytes.concat(point);
        setWord(out, 2, BN254.Q - wordAt(out, 2));
        setWord(out, 3, BN254.Q - wordAt(out, 3));
    }

    /// Slices 0, 1, 1, 2 of `chain`, with a boundary more: 2 → 3 → 4.
    function _twoMiddles(bytes memory blob) private pure returns (bytes memory out) {
        uint256 wirings = wiringAt(blob, 0);
        out =
            bytes.concat(slice(blob, 0, 9), bytes32(0), slice(blob, 9, wirings - 9), slice(blob, tensorAt(blob, 3), 6));
        out = bytes.concat(out, slice(blob, wirings, 5), slice(blob, wiringAt(blob, 1), 5));
        bytes memory wiring = slice(blob, wiringAt(blob, 1), 5);
        setWord(wiring, 2, (3 << 32) + 3);
        setWord(wiring, 3, (4 << 32) + 4);
        out = bytes.concat(out, wiring);
        wiring = slice(blob, wiringAt(blob, 2), 5);
        setWord(wiring, 2, (3 << 32) + 4);
        out = bytes.concat(out, wiring);

        for (uint256 i = 0; i < 4; ++i) {
            uint256 record = recordAt(blob, i < 2 ? i : i - 1);
            out = bytes.concat(out, slice(blob, record, recordWords(blob, record)));
        }
        setWord(out, 1, 4);
        setWord(out, 2, 5);
        rehash(out);
    }

    function _withExtraTensor(bytes memory blob) private pure returns (bytes memory out) {
        uint256 wirings = wiringAt(blob, 0);
        out = bytes.concat(
            slice(blob, 0, wirings), abi.encode(4, 10, 8, 0, 0, 0), slice(blob, wirings, blob.length / 32 - wirings)
        );
        setWord(out, 2, 3);
    }

    /// A second input, which the slice's groups pass over.
    function _withUnreadInput(bytes memory blob) private pure returns (bytes memory out) {
        uint256 second = tensorAt(blob, 1);
        out = bytes.concat(
            slice(blob, 0, second), abi.encode(1, 10, 8, 0, 1, 0), slice(blob, second, blob.length / 32 - second)
        );
        setWord(out, 2, 3);
        setWord(out, wiringAt(out, 0) + 4, 2);
    }
}
