// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {InferenceOracle} from "../../contracts/InferenceOracle.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {BN254} from "../../contracts/libraries/BN254.sol";
import {ContractSource} from "./utils/Consumers.sol";
import {Jobs} from "./utils/Jobs.sol";
import {deploy} from "./utils/Deploy.sol";

/// @notice B7: feeds that their source publishes, and what others might publish in its name.
contract InferenceOraclePublishTest is Jobs {
    uint32 private constant WINDOW = 60;

    address private source;
    uint256 private sourceKey;
    bytes32 private digest;
    bytes32 private feedId;

    function setUp() public override {
        super.setUp();
        (source, sourceKey) = makeAddrAndKey("source");
        digest = install("single").digest;
        vm.prank(source);
        feedId = oracle.openFeed(digest, VERIFIER, 4, WINDOW);
    }

    // ------------------------------------------------------------------------------------------------ the whole way

    function test_SourcePublishes() public {
        IInferenceOracle.Publication memory publication = _proven();
        publication.observedAt -= 7;
        publication = prove(loadModel("single"), publication);
        uint256[] memory words = _outputsOf(publication);
        vm.expectEmit(address(oracle));
        emit IInferenceOracle.FeedUpdated(feedId, 1, 0, publication.observedAt, prover, words);
        vm.prank(source);
        oracle.publish(publication, "");
        (uint64 round, uint64 observedAt, uint64 updatedAt, uint256[] memory outputs) = oracle.latest(feedId, 7);
        assertEq(round, 1);
        assertEq(observedAt, block.timestamp - 7);
        assertEq(updatedAt, block.timestamp);
        assertEq(outputs, words);
    }

    function test_AnyonePublishesWhatTheSourceSigned() public {
        IInferenceOracle.Publication memory publication = _proven();
        bytes memory signature = _sign(publication);
        vm.prank(makeAddr("anyone"));
        oracle.publish(publication, signature);
        assertEq(oracle.feed(feedId).round, 1);
    }

    /// EIP-1271.
    function test_ContractSigns() public {
        ContractSource signer = new ContractSource();
        signer.openFeed(oracle, digest, VERIFIER, 4, WINDOW);
        IInferenceOracle.Publication memory publication =
            prove(loadModel("single"), publicationOf("single", address(signer)));
        _refuse(publication, "", abi.encodeWithSelector(IInferenceOracle.NotSource.selector, address(signer)));
        signer.sign(oracle.publicationHashOf(publication));
        oracle.publish(publication, "");
        assertEq(oracle.feed(oracle.feedIdOf(digest, VERIFIER, address(signer))).round, 1);
    }

    /// The owner of private inputs is the source; of other models several inputs, of both kinds.
    function test_PublishesOtherModels() public {
        string[3] memory names = ["private", "chain", "mixed"];
        for (uint256 i = 0; i < names.length; ++i) {
            Model memory model = install(names[i]);
            vm.startPrank(source);
            feedId = oracle.openFeed(model.digest, VERIFIER, 1, WINDOW);
            oracle.publish(prove(model, publicationOf(names[i], source)), "");
            vm.stopPrank();
            assertEq(oracle.feed(feedId).round, 1);
        }
    }

    /// The EIP-712 hash, put together by hand.
    function test_PublicationHash() public view {
        IInferenceOracle.Publication memory publication = publicationOf("single", source);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("zkslice InferenceOracle"),
                keccak256("1"),
                block.chainid,
                address(oracle)
            )
        );
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "Publication(address source,bytes32 modelDigest,bytes32[] inputs,bytes4 verifier,uint64 round,uint64 observedAt)"
                ),
                source,
                digest,
                keccak256(abi.encodePacked(publication.inputs)),
                VERIFIER,
                publication.round,
                publication.observedAt
            )
        );
        assertEq(oracle.publicationHashOf(publication), keccak256(abi.encodePacked(hex"1901", domain, structHash)));
    }

    function test_PublicationContext() public view {
        IInferenceOracle.Publication memory publication = publicationOf("single", source);
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("zkslice/publish/v1"),
                block.chainid,
                address(oracle),
                feedId,
                publication.round,
                digest,
                keccak256(abi.encode(publication.inputs)),
                publication.observedAt,
                prover
            )
        );
        assertEq(oracle.publicationContextOf(publication), uint256(hash) % BN254.R);
    }

    /// Requests and publications of one source are rounds of one feed.
    function test_RequestsAndPublicationsShareAFeed() public {
        Job memory job = draft("single");
        job.requester = source;
        job = prove(loadModel("single"), open(job));
        vm.warp(block.timestamp + 1);
        IInferenceOracle.Publication memory publication = _proven();
        vm.prank(source);
        oracle.publish(publication, "");
        fulfil(job); // Older, so no round.
        assertEq(oracle.feed(feedId).round, 1);
        vm.warp(block.timestamp + 1);
        job = draft("single");
        job.requester = source;
        fulfil(prove(loadModel("single"), open(job)));
        assertEq(oracle.feed(feedId).round, 2);
        assertEq(oracle.feed(feedId).observedAt, block.timestamp);
    }

    /// A publication is a round of its verifier's feed, and of no other.
    function test_PublishesToTheFeedOfItsVerifier() public {
        addOtherVerifier();
        vm.prank(source);
        bytes32 otherId = oracle.openFeed(digest, OTHER_VERIFIER, 4, WINDOW);
        IInferenceOracle.Publication memory publication =
            prove(loadModel("single"), publicationOf("single", OTHER_VERIFIER, source));
        oracle.publish(publication, _sign(publication));
        assertEq(oracle.feed(otherId).round, 1);
        assertEq(oracle.feed(feedId).round, 0);
        // Of the same second, and the first of its feed.
        publication = _proven();
        oracle.publish(publication, _sign(publication));
        assertEq(oracle.feed(otherId).round, 1);
        assertEq(oracle.feed(feedId).round, 1);
    }

    // ------------------------------------------------------------------------------------------------ once, in order

    /// An old bundle does not make an old input look new: sent again as it was, or for the next round.
    function test_RevertWhen_OldBundleIsReplayed() public {
        IInferenceOracle.Publication memory publication = _proven();
        vm.startPrank(source);
        oracle.publish(publication, "");
        vm.warp(block.timestamp + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInferenceOracle.NotNextRound.selector, 2, 1, publication.observedAt, publication.observedAt
            )
        );
        oracle.publish(publication, "");
        publication.round = 2;
        vm.expectPartialRevert(IInferenceOracle.NotNextRound.selector);
        oracle.publish(publication, "");
        publication.observedAt += 1;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        oracle.publish(publication, "");
        oracle.publish(prove(loadModel("single"), publication), "");
        assertEq(oracle.feed(feedId).round, 2);
    }

    /// Nor is an older observation, within the window, a next round.
    function test_RevertWhen_TheObservationIsOlder() public {
        IInferenceOracle.Publication memory publication = _proven();
        vm.startPrank(source);
        oracle.publish(publication, "");
        uint64 newest = publication.observedAt;
        (publication.round, publication.observedAt) = (2, newest - 1);
        publication = prove(loadModel("single"), publication);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NotNextRound.selector, 2, 2, newest, newest - 1));
        oracle.publish(publication, "");
    }

    function test_RevertWhen_RoundIsNotTheNext() public {
        for (uint64 round = 0; round < 4; ++round) {
            if (round == 1) continue;
            IInferenceOracle.Publication memory publication = publicationOf("single", source);
            publication.round = round;
            publication = prove(loadModel("single"), publication);
            vm.prank(source);
            vm.expectRevert(
                abi.encodeWithSelector(IInferenceOracle.NotNextRound.selector, 1, round, 0, publication.observedAt)
            );
            oracle.publish(publication, "");
        }
    }

    function test_ObservationWindow() public {
        vm.warp(block.timestamp + 1000);
        uint256 snapshot = vm.snapshotState();
        for (uint64 age = WINDOW - 1; age <= WINDOW + 1; ++age) {
            _publishObservedAt(uint64(block.timestamp) - age, age <= WINDOW);
            vm.revertToState(snapshot);
        }
        _publishObservedAt(uint64(block.timestamp), true);
        vm.revertToState(snapshot);
        _publishObservedAt(uint64(block.timestamp) + 1, false);
        _publishObservedAt(type(uint64).max, false);
    }

    function test_RevertWhen_FeedTakesNoPublications() public {
        digest = install("chain").digest;
        vm.prank(source);
        oracle.openFeed(digest, VERIFIER, 4, 0);
        IInferenceOracle.Publication memory publication = prove(loadModel("chain"), publicationOf("chain", source));
        bytes memory closed = abi.encodeWithSelector(
            IInferenceOracle.ObservationOutOfWindow.selector, publication.observedAt, 0, block.timestamp
        );
        vm.prank(source);
        vm.expectRevert(closed);
        oracle.publish(publication, "");
        // Nor does one that was never opened, whatever the source's feed of another verifier takes.
        addOtherVerifier();
        publication = prove(loadModel("single"), publicationOf("single", OTHER_VERIFIER, source));
        vm.prank(source);
        vm.expectRevert(closed);
        oracle.publish(publication, "");
        publication = prove(loadModel("single"), publicationOf("single", prover));
        vm.prank(prover);
        vm.expectRevert(closed);
        oracle.publish(publication, "");
    }

    // ------------------------------------------------------------------------------------------------ in whose name

    /// A prover with a proof of an input of his choice is not the source.
    function test_RevertWhen_NotSigned() public {
        IInferenceOracle.Publication memory publication = _proven();
        bytes memory notSource = abi.encodeWithSelector(IInferenceOracle.NotSource.selector, source);
        _refuse(publication, "", notSource);
        _refuse(publication, new bytes(65), notSource);
        (, uint256 otherKey) = makeAddrAndKey("another");
        _refuse(publication, _signWith(otherKey, publication), notSource);
        bytes memory signature = _sign(publication);
        signature[10] ^= 0x01;
        _refuse(publication, signature, notSource);
    }

    /// Everything that the source answers for is under its signature.
    function test_RevertWhen_SignedForSomethingElse() public {
        addOtherVerifier();
        vm.prank(source);
        oracle.openFeed(digest, OTHER_VERIFIER, 4, WINDOW);
        bytes memory signature = _sign(_proven());
        for (uint256 i = 0; i < 3; ++i) {
            IInferenceOracle.Publication memory publication = publicationOf("single", source);
            if (i == 0) {
                publication.words[0] ^= 1;
                uint256[] memory input = new uint256[](26);
                for (uint256 w = 0; w < 26; ++w) {
                    input[w] = publication.words[w];
                }
                publication.inputs[0] = hashOf(input);
            }
            if (i == 1) publication.verifier = OTHER_VERIFIER;
            if (i == 2) publication.observedAt -= 1;
            publication = prove(loadModel("single"), publication);
            _refuse(publication, signature, abi.encodeWithSelector(IInferenceOracle.NotSource.selector, source));
        }
    }

    /// A signature for one round is none for the next, nor for another source's feed, oracle or chain.
    function test_RevertWhen_SignatureIsReplayed() public {
        IInferenceOracle.Publication memory publication = _proven();
        bytes memory signature = _sign(publication);
        bytes memory notSource = abi.encodeWithSelector(IInferenceOracle.NotSource.selector, source);
        uint256 snapshot = vm.snapshotState();

        vm.chainId(31_338);
        _refuse(prove(loadModel("single"), publication), signature, notSource);
        vm.chainId(31_337);

        oracle = InferenceOracle(deploy("InferenceOracle", abi.encode(registry)));
        vm.prank(source);
        oracle.openFeed(digest, VERIFIER, 4, WINDOW);
        _refuse(prove(loadModel("single"), publication), signature, notSource);
        vm.revertToState(snapshot);
        oracle = InferenceOracle(vm.parseJsonAddress(readFixture("single"), ".oracle"));

        vm.prank(prover);
        oracle.openFeed(digest, VERIFIER, 4, WINDOW);
        publication.source = prover;
        _refuse(
            prove(loadModel("single"), publication),
            signature,
            abi.encodeWithSelector(IInferenceOracle.NotSource.selector, prover)
        );
        publication.source = source;
        publication = prove(loadModel("single"), publication);
        oracle.publish(publication, signature);
        vm.warp(block.timestamp + 1);
        publication.round = 2;
        publication.observedAt += 1;
        _refuse(prove(loadModel("single"), publication), signature, notSource);
    }

    // ------------------------------------------------------------------------------------------------ the proof

    /// Proofs carry the publication's context, and no other: not none, not a request's, not that of another round,
    /// time, payee, feed (source or verifier), oracle or chain.
    function test_RevertWhen_ContextIsAnother() public {
        Model memory model = loadModel("single");
        Job memory job = draft("single");
        job.requester = source;
        job = prove(model, open(job));
        IInferenceOracle.Publication memory publication = publicationOf("single", source);
        uint256[9] memory contexts;
        contexts[0] = 1;
        contexts[1] = job.bundle.context;
        for (uint256 i = 2; i < 9; ++i) {
            IInferenceOracle.Publication memory other = publicationOf("single", source);
            if (i == 2) other.round = 2;
            if (i == 3) other.observedAt -= 1;
            if (i == 4) other.beneficiary = source;
            if (i == 5) other.source = prover;
            if (i == 6) other.verifier = OTHER_VERIFIER;
            if (i == 7) vm.chainId(31_338);
            contexts[i] = i == 8
                ? InferenceOracle(deploy("InferenceOracle", abi.encode(registry))).publicationContextOf(other)
                : oracle.publicationContextOf(other);
            vm.chainId(31_337);
        }
        for (uint256 i = 0; i < contexts.length; ++i) {
            publication = proveFor(model, publication, contexts[i]);
            vm.prank(source);
            vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
            oracle.publish(publication, "");
        }
        publication = prove(model, publication);
        vm.prank(source);
        oracle.publish(publication, "");
    }

    /// And a publication's bundle fulfils no request.
    function test_RevertWhen_PublicationIsSentAsFulfilment() public {
        Job memory job = draft("single");
        job.requester = source;
        job = open(job);
        job.bundle.proofs = _proven().proofs;
        vm.expectRevert(IBundleVerifier.InvalidBundle.selector);
        fulfil(job);
    }

    /// Whose beneficiary is changed by who copies it verifies no more.
    function test_RevertWhen_BeneficiaryIsSwapped() public {
        IInferenceOracle.Publication memory publication = _proven();
        bytes memory signature = _sign(publication);
        publication.beneficiary = makeAddr("thief");
        _refuse(publication, signature, abi.encodeWithSelector(IBundleVerifier.InvalidBundle.selector));
    }

    function test_RevertWhen_InputsAreOthers() public {
        Model memory model = loadModel("single");
        IInferenceOracle.Publication memory publication = publicationOf("single", source);
        publication.words[3] ^= 1;
        _refuseFromSource(prove(model, publication), IInferenceOracle.InputHashMismatch.selector);
        publication = publicationOf("single", source);
        publication.inputs = new bytes32[](0);
        _refuseFromSource(prove(model, publication), IInferenceOracle.InputCountMismatch.selector);
        publication.inputs = new bytes32[](2);
        _refuseFromSource(prove(model, publication), IInferenceOracle.InputCountMismatch.selector);
        publication = publicationOf("single", source);
        publication.words[26] ^= 1;
        vm.warp(block.timestamp + 1);
        publication.proofs = _proven().proofs;
        _refuseFromSource(publication, IBundleVerifier.InvalidBundle.selector);
    }

    function test_RevertWhen_PrivateInputIsAnother() public {
        Model memory model = install("private");
        vm.prank(source);
        oracle.openFeed(model.digest, VERIFIER, 4, WINDOW);
        IInferenceOracle.Publication memory publication = publicationOf("private", source);
        publication.commitments[0] ^= 1;
        _refuseFromSource(prove(model, publication), IInferenceOracle.InputCommitmentMismatch.selector);
        publication.commitments = new uint256[](0);
        _refuseFromSource(publication, IInferenceOracle.InputCommitmentCountMismatch.selector);
    }

    /// Full coverage only.
    function test_RevertWhen_BundleIsPartial() public {
        Model memory model = install("chain");
        vm.prank(source);
        oracle.openFeed(model.digest, VERIFIER, 4, WINDOW);
        IInferenceOracle.Publication memory publication = prove(model, publicationOf("chain", source));
        publication.proofs = cut(publication.proofs, 4);
        _refuseFromSource(publication, IBundleVerifier.ProofLengthMismatch.selector);
    }

    function test_RevertWhen_ModelOrVerifierWasStopped() public {
        IInferenceOracle.Publication memory publication = _proven();
        uint256 snapshot = vm.snapshotState();
        registry.tombstone(digest);
        _refuseFromSource(publication, IModelRegistry.ModelNotActive.selector);
        vm.revertToState(snapshot);
        registry.tombstoneVerifier(VERIFIER);
        _refuseFromSource(publication, IModelRegistry.VerifierNotActive.selector);
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function _proven() private view returns (IInferenceOracle.Publication memory) {
        return prove(loadModel("single"), publicationOf("single", source));
    }

    function _publishObservedAt(uint64 observedAt, bool taken) private {
        IInferenceOracle.Publication memory publication = publicationOf("single", source);
        publication.observedAt = observedAt;
        publication = prove(loadModel("single"), publication);
        vm.prank(source);
        if (!taken) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    IInferenceOracle.ObservationOutOfWindow.selector, observedAt, WINDOW, block.timestamp
                )
            );
        }
        oracle.publish(publication, "");
    }

    function _sign(IInferenceOracle.Publication memory publication) private view returns (bytes memory) {
        return _signWith(sourceKey, publication);
    }

    function _signWith(uint256 key, IInferenceOracle.Publication memory publication)
        private
        view
        returns (bytes memory)
    {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, oracle.publicationHashOf(publication));
        return abi.encodePacked(r, s, v);
    }

    function _refuse(IInferenceOracle.Publication memory publication, bytes memory signature, bytes memory revertData)
        private
    {
        vm.prank(makeAddr("anyone"));
        vm.expectRevert(revertData);
        oracle.publish(publication, signature);
    }

    function _refuseFromSource(IInferenceOracle.Publication memory publication, bytes4 selector) private {
        vm.prank(source);
        vm.expectPartialRevert(selector);
        oracle.publish(publication, "");
    }

    function _outputsOf(IInferenceOracle.Publication memory publication) private pure returns (uint256[] memory words) {
        words = new uint256[](1);
        words[0] = publication.words[26];
    }
}
