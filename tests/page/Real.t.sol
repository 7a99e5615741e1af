// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {BundleVerifier} from "@zkslice/contracts/BundleVerifier.sol";
import {InferenceFeed} from "@zkslice/contracts/InferenceFeed.sol";
import {InferenceOracle} from "@zkslice/contracts/InferenceOracle.sol";
import {InferenceSubscription} from "@zkslice/contracts/InferenceSubscription.sol";
import {InferenceSubscriptionFactory} from "@zkslice/contracts/InferenceSubscriptionFactory.sol";
import {ModelRegistry} from "@zkslice/contracts/ModelRegistry.sol";
import {IInferenceFeed} from "@zkslice/contracts/interfaces/IInferenceFeed.sol";
import {IInferenceOracle} from "@zkslice/contracts/interfaces/IInferenceOracle.sol";
import {AverageSource} from "../src/AverageSource.sol";
import {Bounty} from "../src/Bounty.sol";
import {Classifier} from "../src/Classifier.sol";
import {DemoModel} from "../src/DemoModel/DemoModel.sol";
import {RiskGate} from "../src/RiskGate.sol";

/// @notice The page's source, with an image in the place of an average.
contract ImageSource is AverageSource {
    uint256[] private _words;

    constructor(uint256[] memory words) payable {
        _words = words;
    }

    function inputWords() external view returns (uint256[] memory) {
        return _words;
    }

    function subscribeTo(InferenceSubscriptionFactory factory, IInferenceOracle oracle) external returns (address) {
        return address(subscribe(factory, oracle, DemoModel.DIGEST, 0x00000001));
    }
}

/// @notice The examples of docs/contracts.md on the real oracle, with real proofs: `tests/tests/contracts_page.rs` makes
/// the project, the model's package and the input, and lets this call `zkslice prove`.
contract RealTest is Test {
    bytes4 private constant VERIFIER = 0x00000001;
    address private constant PROVER = address(0x50);

    InferenceOracle private oracle;
    uint256 private class;

    function setUp() public {
        vm.warp(1_800_000_000);
        class = vm.envUint("PAGE_CLASS");
        ModelRegistry registry = new ModelRegistry(address(this), address(this), 0);
        registry.addVerifier(VERIFIER, address(new BundleVerifier(registry, VERIFIER)));
        oracle = new InferenceOracle(registry);
        string memory json = vm.readFile("src/DemoModel/key-blob.json");
        bytes[] memory chunks = vm.parseJsonBytesArray(json, ".chunks");
        for (uint256 i = 0; i < chunks.length; ++i) {
            registry.writeChunk(chunks[i]);
        }
        bytes32 digest = registry.register(vm.parseJsonBytes32Array(json, ".chunk_hashes"), 0);
        assertEq(digest, DemoModel.DIGEST, "the library's model");
    }

    /// @dev A bundle for this context, as the command proves and writes it.
    function _prove(uint256 context) private returns (string memory) {
        string[] memory command = new string[](3);
        (command[0], command[1]) = ("sh", vm.envString("PAGE_PROVE"));
        command[2] = vm.toString(bytes32(context));
        return string(vm.ffi(command));
    }

    /// @dev Words of the input (0) or the output (1).
    function _words(string memory bundle, uint256 tensor) private pure returns (uint256[] memory) {
        return vm.parseJsonUintArray(bundle, string.concat(".tensors[", vm.toString(tensor), "].words"));
    }

    /// @dev Commitments to the boundaries, which come after.
    function _commitments(string memory bundle) private pure returns (uint256[] memory list) {
        list = new uint256[](DemoModel.SLICES - 1);
        for (uint256 i = 0; i < list.length; ++i) {
            list[i] = vm.parseJsonUint(bundle, string.concat(".tensors[", vm.toString(2 + i), "].commitment"));
        }
    }

    function _proofs(string memory bundle) private pure returns (uint256[] memory list) {
        list = new uint256[](10 * DemoModel.SLICES);
        for (uint256 k = 0; k < DemoModel.SLICES; ++k) {
            uint256[] memory proof = vm.parseJsonUintArray(bundle, string.concat(".proofs[", vm.toString(k), "].proof"));
            for (uint256 i = 0; i < 10; ++i) {
                list[10 * k + i] = proof[i];
            }
        }
    }

    function _fulfil(IInferenceOracle.Request memory request, address requester, uint256 nonce)
        private
        returns (uint256[] memory outputWords)
    {
        string memory bundle = _prove(oracle.contextOf(request, requester, nonce, PROVER));
        IInferenceOracle.Fulfilment memory fulfilment;
        fulfilment.request = request;
        (fulfilment.requester, fulfilment.nonce, fulfilment.beneficiary) = (requester, nonce, PROVER);
        outputWords = _words(bundle, 1);
        fulfilment.words = abi.decode(
            bytes.concat(
                abi.encode(0x20, DemoModel.INPUT_0_WORDS + outputWords.length),
                abi.encodePacked(_words(bundle, 0)),
                abi.encodePacked(outputWords)
            ),
            (uint256[])
        );
        (fulfilment.commitments, fulfilment.proofs) = (_commitments(bundle), _proofs(bundle));
        oracle.fulfil(fulfilment);
    }

    function _image() private returns (uint256[] memory) {
        return _words(_prove(0), 0);
    }

    function _request(uint256[] memory words) private view returns (IInferenceOracle.Request memory request) {
        request.modelDigest = DemoModel.DIGEST;
        request.inputs = new bytes32[](1);
        request.inputs[0] = keccak256(abi.encodePacked(words));
        request.verifier = VERIFIER;
        request.deadline = uint64(block.timestamp + 1 hours);
    }

    function test_ClassifierStoresTheModelsClass() public {
        uint256[] memory image = _image();
        Classifier classifier = new Classifier(oracle, DemoModel.DIGEST, VERIFIER);
        bytes32 id = classifier.ask{value: 1 ether}(image);
        IInferenceOracle.Request memory request = _request(image);
        (request.fee, request.callback, request.callbackGas) = (1 ether, address(classifier), 100_000);
        _fulfil(request, address(classifier), 0);
        assertEq(classifier.classPlusOne(id), 1 + class);
        assertEq(oracle.balanceOf(PROVER, address(0)), 1 ether);
    }

    function test_BountyPaysForTheModelsClass() public {
        assertEq(class, 8, "the class that the page pays for");
        uint256[] memory image = _image();
        address inspector = makeAddr("inspector");
        Bounty bounty = new Bounty{value: 1 ether}(oracle, DemoModel.DIGEST, VERIFIER, inspector);
        IInferenceOracle.Request memory request = _request(image);
        vm.prank(inspector);
        oracle.request(request, image);
        uint256[] memory outputWords = _fulfil(request, inspector, 0);
        address holder = makeAddr("holder");
        vm.prank(holder);
        bounty.claim(request, 0, outputWords);
        assertEq(holder.balance, 0.1 ether);
    }

    /// What the subscription has proven, the feed serves and the gate reads.
    function test_SubscriptionFeedsTheGate() public {
        ImageSource source = new ImageSource{value: 1 ether}(_image());
        address subscription = source.subscribeTo(new InferenceSubscriptionFactory(), oracle);
        vm.recordLogs();
        InferenceSubscription(payable(subscription)).trigger();
        // The oracle's event has the request.
        (uint256 nonce, IInferenceOracle.Request memory request,) =
            abi.decode(vm.getRecordedLogs()[0].data, (uint256, IInferenceOracle.Request, uint256[]));
        uint256[] memory outputWords = _fulfil(request, subscription, nonce);

        IInferenceFeed.Config memory config;
        (config.oracle, config.modelDigest, config.verifier) = (oracle, DemoModel.DIGEST, VERIFIER);
        (config.source, config.outputIndex, config.decimals, config.maxAge) = (subscription, class, 18, 1 days);
        InferenceFeed feed = new InferenceFeed(config);
        int256 score = DemoModel.output0At(outputWords, class, 18);
        (, int256 answer,,,) = feed.latestRoundData();
        assertEq(answer, score);
        // The largest score is no risk below 1.
        assertGt(score, 1e18);
        assertEq(new RiskGate(feed).limitOf(100 ether), 0);
    }
}
