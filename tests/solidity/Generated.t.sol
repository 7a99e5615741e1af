// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {MlpDigitsModel} from "../../contracts/generated/mlp_digits/src/MlpDigitsModel.sol";
import {MlpDigitsSlice0Verifier} from "../../contracts/generated/mlp_digits/src/MlpDigitsSlice0Verifier.sol";
import {PublicWords} from "../../contracts/libraries/PublicWords.sol";
import {BN254} from "../../contracts/libraries/BN254.sol";
import {Deployed} from "./utils/Deployed.sol";
import {deploy} from "./utils/Deploy.sol";

/// @notice External, so that reverts can be expected.
contract ModelHarness {
    function decode(uint256[] memory words) external pure returns (int256[] memory) {
        return MlpDigitsModel.output0(words);
    }

    function valueAt(uint256[] memory words, uint256 index, uint256 decimals) external pure returns (int256) {
        return MlpDigitsModel.output0At(words, index, decimals);
    }

    function argMax(uint256[] memory words) external pure returns (uint256) {
        return MlpDigitsModel.output0ArgMax(words);
    }
}

/// @notice Bundles of the Rust prover, and the verifier and library generated for the same model: see
/// `make generate`.
contract GeneratedTest is Deployed {
    string[3] internal names = ["rust-single", "rust-chain", "rust-private"];
    ModelHarness private harness = new ModelHarness();

    function _install(string memory name) private returns (bytes32 digest) {
        string memory json = readFixture(name);
        digest = vm.parseJsonBytes32(json, ".modelDigest");
        assertEq(register(vm.parseJsonBytes(json, ".blob")), digest);
    }

    // ------------------------------------------------------------------------------------------------ bundles

    function test_RealBundlesVerify() public {
        for (uint256 i = 0; i < names.length; ++i) {
            verify(_install(names[i]), loadBundle(names[i]));
        }
    }

    function test_RevertWhen_AnyWordOfARealBundleIsMutated() public {
        for (uint256 i = 0; i < names.length; ++i) {
            bytes32 digest = _install(names[i]);
            Bundle memory bundle = loadBundle(names[i]);
            _mutateEach(digest, bundle, bundle.words);
            _mutateEach(digest, bundle, bundle.commitments);
            _mutateEach(digest, bundle, bundle.proofs);
            bundle.context ^= 1;
            _requireRefused(digest, bundle);
        }
    }

    function test_RevertWhen_OwnerOfARealPrivateInputIsAnother() public {
        bytes32 digest = _install("rust-private");
        Bundle memory bundle = loadBundle("rust-private");
        bundle.owner ^= 1;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        verify(digest, bundle);
    }

    function _mutateEach(bytes32 digest, Bundle memory bundle, uint256[] memory array) private view {
        for (uint256 i = 0; i < array.length; ++i) {
            array[i] ^= 1;
            _requireRefused(digest, bundle);
            array[i] ^= 1;
        }
    }

    function _requireRefused(bytes32 digest, Bundle memory b) private view {
        try verifier.verifyBundle(covering(digest, b, 0)) {
            revert("accepted");
        } catch {}
    }

    // ------------------------------------------------------------------------------------------------ oracle

    /// From a request to the stored output, with proofs that the Rust prover made for this very request.
    function test_RealBundlesFulfil() public {
        for (uint256 i = 0; i < names.length; ++i) {
            string memory json = readFixture(names[i]);
            bytes32 digest = _install(names[i]);
            Bundle memory bundle = loadBundle(names[i]);
            IInferenceOracle.Request memory request;
            request.modelDigest = digest;
            request.verifier = VERIFIER;
            request.inputs = vm.parseJsonBytes32Array(json, ".request.inputs");
            request.fee = vm.parseJsonUint(json, ".request.fee");
            request.deadline = uint64(vm.parseJsonUint(json, ".request.deadline"));
            address requester = vm.parseJsonAddress(json, ".requester");
            address beneficiary = vm.parseJsonAddress(json, ".beneficiary");

            uint256 snapshot = vm.snapshotState();
            uint256 outputs = i == 1 ? 1 : MlpDigitsModel.OUTPUT_WORDS;
            uint256[] memory inputs = _head(bundle.words, bundle.words.length - outputs);
            vm.deal(requester, 1 ether);
            vm.prank(requester);
            bytes32 id = oracle.request{value: request.fee}(request, inputs);
            assertEq(id, vm.parseJsonBytes32(json, ".requestId"));
            oracle.fulfil(
                IInferenceOracle.Fulfilment({
                    request: request,
                    requester: requester,
                    nonce: 0,
                    beneficiary: beneficiary,
                    coverage: 0,
                    words: bundle.words,
                    commitments: bundle.commitments,
                    proofs: bundle.proofs
                })
            );
            assertEq(uint256(oracle.status(id)), uint256(IInferenceOracle.Status.Fulfilled));
            uint256[] memory outputWords = new uint256[](outputs);
            for (uint256 w = 0; w < outputs; ++w) {
                outputWords[w] = bundle.words[bundle.words.length - outputs + w];
            }
            oracle.requireOutputs(id, outputWords, 0);
            assertEq(oracle.balanceOf(beneficiary, address(0)), request.fee);
            vm.revertToState(snapshot);
        }
    }

    function _head(uint256[] memory words, uint256 count) private pure returns (uint256[] memory head) {
        head = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            head[i] = words[i];
        }
    }

    // ------------------------------------------------------------------------------------------------ slice verifier

    function _arguments()
        private
        view
        returns (uint256[1] memory publics, uint256[4] memory words, uint256[10] memory proof)
    {
        Bundle memory bundle = loadBundle("rust-single");
        publics[0] = bundle.context;
        for (uint256 i = 0; i < 4; ++i) {
            words[i] = bundle.words[i];
        }
        for (uint256 i = 0; i < 10; ++i) {
            proof[i] = bundle.proofs[i];
        }
    }

    function test_GeneratedVerifierAccepts() public {
        (uint256[1] memory publics, uint256[4] memory words, uint256[10] memory proof) = _arguments();
        MlpDigitsSlice0Verifier generated = MlpDigitsSlice0Verifier(deploy("MlpDigitsSlice0Verifier", ""));
        generated.verifyProof(publics, words, proof);
        assertEq(generated.VK_HASH(), bytes32(wordAt(vm.parseJsonBytes(readFixture("rust-single"), ".blob"), 7)));
    }

    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 300
    function testFuzz_RevertWhen_AnyBitIsFlipped(uint256 word, uint8 bit) public {
        (uint256[1] memory publics, uint256[4] memory words, uint256[10] memory proof) = _arguments();
        MlpDigitsSlice0Verifier generated = MlpDigitsSlice0Verifier(deploy("MlpDigitsSlice0Verifier", ""));
        word = bound(word, 0, 14);
        if (word == 0) publics[0] ^= 1 << bit;
        else if (word < 5) words[word - 1] ^= 1 << bit;
        else proof[word - 5] ^= 1 << bit;
        try generated.verifyProof(publics, words, proof) {
            revert("accepted");
        } catch {}
    }

    function test_RevertWhen_OutOfRange() public {
        (uint256[1] memory publics, uint256[4] memory words, uint256[10] memory proof) = _arguments();
        MlpDigitsSlice0Verifier generated = MlpDigitsSlice0Verifier(deploy("MlpDigitsSlice0Verifier", ""));
        publics[0] += BN254.R;
        vm.expectRevert(abi.encodeWithSelector(MlpDigitsSlice0Verifier.PublicInputOutOfRange.selector, 0));
        generated.verifyProof(publics, words, proof);
        publics[0] -= BN254.R;
        words[3] += 1 << 100;
        vm.expectRevert(abi.encodeWithSelector(MlpDigitsSlice0Verifier.WordOutOfRange.selector, 3, 100));
        generated.verifyProof(publics, words, proof);
        words[3] -= 1 << 100;
        proof[9] += BN254.Q;
        vm.expectRevert(abi.encodeWithSelector(MlpDigitsSlice0Verifier.CoordinateOutOfRange.selector, 9));
        generated.verifyProof(publics, words, proof);
    }

    /// P13: a call to nothing succeeds, with no answer.
    function test_RevertWhen_PairingIsMissing() public {
        (uint256[1] memory publics, uint256[4] memory words, uint256[10] memory proof) = _arguments();
        MlpDigitsSlice0Verifier generated = MlpDigitsSlice0Verifier(deploy("MlpDigitsSlice0Verifier", ""));
        vm.mockCall(address(8), "", "");
        vm.expectRevert(abi.encodeWithSelector(MlpDigitsSlice0Verifier.PrecompileFailed.selector, address(8)));
        generated.verifyProof(publics, words, proof);
        vm.expectRevert(abi.encodeWithSelector(MlpDigitsSlice0Verifier.SelfTestFailed.selector, address(8)));
        new MlpDigitsSlice0Verifier();
    }

    function test_RevertWhen_DevKeysMeetAPublicChain() public {
        vm.chainId(1);
        vm.expectRevert(abi.encodeWithSelector(MlpDigitsSlice0Verifier.DevKeysRefused.selector, 1));
        new MlpDigitsSlice0Verifier();
    }

    // ------------------------------------------------------------------------------------------------ model library

    function test_ModelLibraryKnowsTheModel() public view {
        string memory json = readFixture("rust-single");
        assertEq(MlpDigitsModel.DIGEST, vm.parseJsonBytes32(json, ".modelDigest"));
        assertEq(MlpDigitsModel.SETUP_DIGEST, vm.parseJsonBytes32(json, ".setupDigest"));
        bytes memory blob = vm.parseJsonBytes(json, ".blob");
        uint256[2] memory counts = [MlpDigitsModel.INPUT_0_COUNT, MlpDigitsModel.OUTPUT_0_COUNT];
        uint256[2] memory bits = [MlpDigitsModel.INPUT_0_BITS, MlpDigitsModel.OUTPUT_0_BITS];
        uint256[2] memory offsets = [MlpDigitsModel.INPUT_0_OFFSET, MlpDigitsModel.OUTPUT_0_OFFSET];
        uint256[2] memory scales = [MlpDigitsModel.INPUT_0_SCALE, MlpDigitsModel.OUTPUT_0_SCALE];
        for (uint256 t = 0; t < 2; ++t) {
            uint256 start = tensorAt(blob, t);
            assertEq(wordAt(blob, start + 1), counts[t]);
            assertEq(wordAt(blob, start + 2), bits[t]);
            assertEq(wordAt(blob, start + 3), offsets[t]);
            assertEq(wordAt(blob, start + 4), scales[t]);
            assertEq(wordAt(blob, start + 5), MlpDigitsModel.OUTPUT_0_DECIMALS);
        }
    }

    function test_ModelLibraryDecodes() public {
        uint256[] memory outputs = new uint256[](MlpDigitsModel.OUTPUT_WORDS);
        outputs[0] = loadBundle("rust-single").words[3];
        int256[] memory values = harness.decode(outputs);
        assertEq(values.length, 10);
        uint256 largest;
        for (uint256 i = 0; i < 10; ++i) {
            uint256 digit = PublicWords.digit(outputs, i, MlpDigitsModel.OUTPUT_0_BITS);
            assertEq(values[i], int256(digit) - int256(MlpDigitsModel.OUTPUT_0_OFFSET));
            assertEq(harness.valueAt(outputs, i, 18), values[i] * int256(MlpDigitsModel.OUTPUT_0_SCALE));
            if (values[i] > values[largest]) largest = i;
        }
        assertEq(harness.argMax(outputs), largest);
        vm.expectRevert(abi.encodeWithSelector(MlpDigitsModel.OutputWordCountMismatch.selector, 1, 2));
        harness.decode(new uint256[](2));
    }
}
