// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {BundleVerifier} from "../../contracts/BundleVerifier.sol";
import {IBundleVerifier} from "../../contracts/interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {Registered} from "./utils/Registered.sol";
import {deploy} from "./utils/Deploy.sol";

/// @notice Who may add and stop what, and when it serves. Owner is the test.
contract ModelRegistryLifecycleTest is Registered {
    uint256 private constant DELAY = 2 days;
    bytes4 private constant SELECTOR = 0x11223344;
    bytes32 private constant NAME = "digits";

    address private immutable GUARDIAN = makeAddr("guardian");
    address private immutable STRANGER = makeAddr("stranger");

    BundleVerifier private verifier;

    function setUp() public override {
        super.setUp();
        registry = ModelRegistry(deploy("ModelRegistry", abi.encode(address(this), GUARDIAN, DELAY)));
        verifier = BundleVerifier(deploy("BundleVerifier", abi.encode(registry, SELECTOR)));
    }

    // ------------------------------------------------------------------------------------------------ deployment

    function test_DeploymentSaysWhoAndHowLong() public view {
        assertEq(registry.owner(), address(this));
        assertEq(registry.guardian(), GUARDIAN);
        assertEq(registry.delay(), DELAY);
        assertFalse(registry.frozen());
    }

    function test_DelayIsAtLeastADayBeyondLocalChains() public {
        uint256[5] memory foreign = [uint256(1), 10, 1336, 31_336, 31_347];
        for (uint256 i = 0; i < foreign.length; ++i) {
            vm.chainId(foreign[i]);
            for (uint256 delay = 0; delay < 1 days; delay += 1 days - 1) {
                vm.expectRevert(abi.encodeWithSelector(IModelRegistry.DelayTooShort.selector, delay, 1 days));
                new ModelRegistry(address(this), GUARDIAN, delay);
            }
            assertEq(
                ModelRegistry(deploy("ModelRegistry", abi.encode(address(this), GUARDIAN, 1 days))).delay(), 1 days
            );
        }
        uint256[3] memory local = [uint256(1337), 31_337, 31_346];
        for (uint256 i = 0; i < local.length; ++i) {
            vm.chainId(local[i]);
            assertEq(ModelRegistry(deploy("ModelRegistry", abi.encode(address(this), GUARDIAN, 0))).delay(), 0);
        }
    }

    /// A delay that would make the sum of time and delay wrap around is none.
    function test_RevertWhen_DelayIsBeyondEveryCalendar() public {
        vm.expectRevert(abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 32, 1 << 32));
        new ModelRegistry(address(this), GUARDIAN, 1 << 32);
    }

    function test_RevertWhen_GuardianIsZero() public {
        vm.expectRevert(IModelRegistry.InvalidGuardian.selector);
        new ModelRegistry(address(this), address(0), DELAY);
        vm.expectRevert(IModelRegistry.InvalidGuardian.selector);
        registry.setGuardian(address(0));
    }

    // ------------------------------------------------------------------------------------------------ owner

    function test_RevertWhen_CallerIsNotTheOwner() public {
        bytes32[] memory chunks = writeChunks(loadModel("single").blob);
        address[2] memory callers = [GUARDIAN, STRANGER];
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory fault = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, callers[i]);
            vm.startPrank(callers[i]);
            vm.expectRevert(fault);
            registry.register(chunks, 0);
            vm.expectRevert(fault);
            registry.addVerifier(SELECTOR, address(verifier));
            vm.expectRevert(fault);
            registry.setAlias(NAME, 0);
            vm.expectRevert(fault);
            registry.setGuardian(callers[i]);
            vm.expectRevert(fault);
            registry.renounceOwnership();
            vm.stopPrank();
        }
    }

    function test_OwnershipMovesInTwoSteps() public {
        registry.transferOwnership(STRANGER);
        assertEq(registry.owner(), address(this));
        vm.prank(STRANGER);
        registry.acceptOwnership();
        assertEq(registry.owner(), STRANGER);
    }

    function test_RevertWhen_OwnershipIsRenounced() public {
        vm.expectRevert(IModelRegistry.OwnershipCannotBeRenounced.selector);
        registry.renounceOwnership();
    }

    // ------------------------------------------------------------------------------------------------ models

    function test_ModelServesAfterTheDelay() public {
        Model memory model = loadModel("single");
        bytes32[] memory chunks = writeChunks(model.blob);
        uint64 activeAt = uint64(block.timestamp + DELAY);
        vm.expectEmit();
        emit IModelRegistry.ModelRegistered(model.digest, bytes32(wordAt(model.blob, 4)), 1, true, 0, activeAt);
        registry.register(chunks, 0);

        IModelRegistry.ModelInfo memory info = registry.modelInfo(model.digest);
        assertEq(uint8(info.status), uint8(IModelRegistry.Status.Pending));
        assertEq(info.activeAt, activeAt);
        _requireStopped(model.digest, IModelRegistry.Status.Pending);
        vm.warp(activeAt - 1);
        _requireStopped(model.digest, IModelRegistry.Status.Pending);
        vm.warp(activeAt);
        _requireServed(model);
        vm.warp(activeAt + 1000 days);
        _requireServed(model);
    }

    /// Nobody can make it sooner, and registering again does not change when.
    function test_RevertWhen_PendingModelIsRegisteredAgain() public {
        Model memory model = install("single");
        uint256 activeAt = registry.modelInfo(model.digest).activeAt;
        vm.warp(block.timestamp + 1 days);
        bytes32[] memory chunks = writeChunks(model.blob);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyRegistered.selector, model.digest));
        registry.register(chunks, 0);
        assertEq(registry.modelInfo(model.digest).activeAt, activeAt);
    }

    function test_TombstoneStopsAnActiveModelForEver() public {
        Model memory model = install("single");
        skip(DELAY);
        _requireServed(model);
        vm.expectEmit();
        emit IModelRegistry.ModelTombstoned(model.digest, GUARDIAN);
        vm.prank(GUARDIAN);
        registry.tombstone(model.digest);
        _requireStoppedForEver(model.digest);
        // What was, can still be looked at.
        assertEq(registry.blob(model.digest), model.blob);
        assertEq(uint8(registry.modelInfo(model.digest).status), uint8(IModelRegistry.Status.Tombstoned));

        bytes32[] memory chunks = writeChunks(model.blob);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyRegistered.selector, model.digest));
        registry.register(chunks, 0);
    }

    function test_TombstoneCancelsAPendingModel() public {
        Model memory model = install("single");
        registry.tombstone(model.digest);
        _requireStoppedForEver(model.digest);
    }

    /// The guardian hears of a digest before it is registered.
    function test_TombstoneBarsAnUnknownModel() public {
        Model memory model = loadModel("single");
        vm.prank(GUARDIAN);
        registry.tombstone(model.digest);
        bytes32[] memory chunks = writeChunks(model.blob);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyTombstoned.selector, model.digest));
        registry.register(chunks, 0);
        _requireStoppedForEver(model.digest);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotRegistered.selector, model.digest));
        registry.blob(model.digest);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotRegistered.selector, model.digest));
        registry.modelInfo(model.digest);
    }

    function test_TombstoneOfAModelLeavesOthers() public {
        Model memory model = install("single");
        Model memory other = install("skip");
        registry.tombstone(model.digest);
        skip(DELAY);
        _requireServed(other);
    }

    function test_RevertWhen_TombstoneIsNotGuardiansOrOwners() public {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotGuardian.selector, STRANGER));
        registry.tombstone(bytes32(uint256(1)));
    }

    function test_RevertWhen_TombstonedTwice() public {
        registry.tombstone(bytes32(uint256(1)));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyTombstoned.selector, bytes32(uint256(1))));
        registry.tombstone(bytes32(uint256(1)));
    }

    /// What every verification costs of the registry: one slot for a model of one chunk, one for a verifier.
    function test_ServingReadsOneSlot() public {
        Model memory model = install("mixed");
        registry.addVerifier(SELECTOR, address(verifier));
        skip(DELAY);
        vm.record();
        registry.chunks(model.digest);
        _requireOneSlotRead();
        vm.record();
        registry.verifierOf(SELECTOR);
        _requireOneSlotRead();
    }

    // ------------------------------------------------------------------------------------------------ verifiers (P18)

    function test_VerifierServesAfterTheDelay() public {
        _requireStatus(SELECTOR, IModelRegistry.Status.None, address(0), 0);
        uint64 activeAt = uint64(block.timestamp + DELAY);
        vm.expectEmit();
        emit IModelRegistry.VerifierAdded(SELECTOR, address(verifier), activeAt);
        registry.addVerifier(SELECTOR, address(verifier));
        _requireStatus(SELECTOR, IModelRegistry.Status.Pending, address(verifier), activeAt);
        vm.warp(activeAt - 1);
        _requireStatus(SELECTOR, IModelRegistry.Status.Pending, address(verifier), activeAt);
        vm.warp(activeAt);
        _requireStatus(SELECTOR, IModelRegistry.Status.Active, address(verifier), activeAt);
    }

    function test_TombstoneStopsAVerifierForEver() public {
        registry.addVerifier(SELECTOR, address(verifier));
        uint64 activeAt = uint64(block.timestamp + DELAY);
        vm.warp(activeAt);
        vm.expectEmit();
        emit IModelRegistry.VerifierTombstoned(SELECTOR, GUARDIAN);
        vm.prank(GUARDIAN);
        registry.tombstoneVerifier(SELECTOR);
        _requireStatus(SELECTOR, IModelRegistry.Status.Tombstoned, address(verifier), activeAt);
        skip(1000 days);
        _requireStatus(SELECTOR, IModelRegistry.Status.Tombstoned, address(verifier), activeAt);
    }

    function test_TombstoneCancelsAPendingVerifier() public {
        registry.addVerifier(SELECTOR, address(verifier));
        uint64 activeAt = uint64(block.timestamp + DELAY);
        registry.tombstoneVerifier(SELECTOR);
        vm.warp(activeAt);
        _requireStatus(SELECTOR, IModelRegistry.Status.Tombstoned, address(verifier), activeAt);
    }

    function test_RevertWhen_VerifierTombstoneIsNotGuardiansOrOwners() public {
        registry.addVerifier(SELECTOR, address(verifier));
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotGuardian.selector, STRANGER));
        registry.tombstoneVerifier(SELECTOR);
    }

    function test_RevertWhen_TombstonedVerifierIsUnknownOrStopped() public {
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.VerifierNotActive.selector, SELECTOR, IModelRegistry.Status.None)
        );
        registry.tombstoneVerifier(SELECTOR);
        registry.addVerifier(SELECTOR, address(verifier));
        registry.tombstoneVerifier(SELECTOR);
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.VerifierNotActive.selector, SELECTOR, IModelRegistry.Status.Tombstoned
            )
        );
        registry.tombstoneVerifier(SELECTOR);
    }

    /// A selector in somebody's calldata must never come to mean another contract: pending, active or stopped.
    function test_RevertWhen_SelectorIsReused() public {
        address other = deploy("BundleVerifier", abi.encode(registry, SELECTOR));
        bytes memory fault = abi.encodeWithSelector(IModelRegistry.SelectorNotAvailable.selector, SELECTOR);
        registry.addVerifier(SELECTOR, address(verifier));
        vm.expectRevert(fault);
        registry.addVerifier(SELECTOR, other);
        skip(DELAY);
        vm.expectRevert(fault);
        registry.addVerifier(SELECTOR, other);
        registry.tombstoneVerifier(SELECTOR);
        vm.expectRevert(fault);
        registry.addVerifier(SELECTOR, other);
        vm.expectRevert(fault);
        registry.addVerifier(SELECTOR, address(verifier));
    }

    /// Calldata cut short reads as selector zero.
    function test_RevertWhen_SelectorIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.SelectorNotAvailable.selector, bytes4(0)));
        registry.addVerifier(0, address(verifier));
    }

    /// A contract that was stopped does not come back under another selector, nor serves under two of which only one
    /// is stopped.
    function test_RevertWhen_VerifierHadASelector() public {
        registry.addVerifier(SELECTOR, address(verifier));
        bytes memory fault = abi.encodeWithSelector(IModelRegistry.InvalidVerifier.selector, address(verifier));
        vm.expectRevert(fault);
        registry.addVerifier(0x00000002, address(verifier));
        registry.tombstoneVerifier(SELECTOR);
        vm.expectRevert(fault);
        registry.addVerifier(0x00000002, address(verifier));
    }

    /// No code, code that is no verifier, precompiles that answer everything, a verifier of another registry or selector.
    function test_RevertWhen_VerifierIsNotOfThisRegistry() public {
        ModelRegistry foreign = ModelRegistry(deploy("ModelRegistry", abi.encode(address(this), GUARDIAN, DELAY)));
        address[7] memory wrong = [
            STRANGER,
            address(0),
            address(2),
            address(4),
            address(registry),
            deploy("BundleVerifier", abi.encode(foreign, SELECTOR)),
            deploy("BundleVerifier", abi.encode(registry, bytes4(0x00000002)))
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.InvalidVerifier.selector, wrong[i]));
            registry.addVerifier(SELECTOR, wrong[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.InvalidVerifier.selector, address(verifier)));
        foreign.addVerifier(SELECTOR, address(verifier));
    }

    /// So that freezing fits into a block; one stopped makes room for one more.
    function test_RevertWhen_ThereAreTooManyVerifiers() public {
        _addVerifiers(32);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.TooManyVerifiers.selector, 32));
        registry.addVerifier(SELECTOR, address(verifier));
        registry.tombstoneVerifier(bytes4(uint32(7)));
        registry.addVerifier(SELECTOR, address(verifier));

        vm.prank(GUARDIAN);
        uint256 gasBefore = gasleft();
        registry.freeze();
        assertLt(gasBefore - gasleft(), 1_000_000);
        skip(DELAY);
        for (uint32 i = 1; i <= 32; ++i) {
            (IModelRegistry.Status status,,) = registry.verifierStatus(bytes4(i));
            assertEq(uint8(status), uint8(IModelRegistry.Status.Tombstoned));
        }
        (IModelRegistry.Status last,,) = registry.verifierStatus(SELECTOR);
        assertEq(uint8(last), uint8(IModelRegistry.Status.Tombstoned));
    }

    /// Who keeps a verifier's address goes past `verifierOf`, and is stopped by models' tombstones all the same.
    function test_PinnedVerifierStopsWithTheModel() public {
        _serve();
        Model memory model = install("single");
        IBundleVerifier.Bundle memory bundle = _bundle(model);
        _requireRefused(bundle, IModelRegistry.Status.Pending);
        skip(DELAY);
        verifier.verifyBundle(bundle);
        registry.tombstone(model.digest);
        _requireRefused(bundle, IModelRegistry.Status.Tombstoned);
    }

    /// And by the verifier's own: it serves from when the selector does until that is stopped, whoever calls it.
    function test_PinnedVerifierStopsWithItsSelector() public {
        Model memory model = install("single");
        IBundleVerifier.Bundle memory bundle = _bundle(model);
        skip(DELAY);
        _requireNotServing(bundle, IModelRegistry.Status.None);
        registry.addVerifier(SELECTOR, address(verifier));
        _requireNotServing(bundle, IModelRegistry.Status.Pending);
        skip(DELAY);
        verifier.verifyBundle(bundle);
        uint256 serving = vm.snapshotState();
        registry.tombstoneVerifier(SELECTOR);
        _requireNotServing(bundle, IModelRegistry.Status.Tombstoned);
        assertTrue(vm.revertToState(serving));
        vm.prank(GUARDIAN);
        registry.freeze();
        _requireNotServing(bundle, IModelRegistry.Status.Tombstoned);
    }

    /// A second contract of the same code and selector is not the one that was added.
    function test_RevertWhen_VerifierIsACopy() public {
        _serve();
        Model memory model = install("single");
        IBundleVerifier.Bundle memory bundle = _bundle(model);
        skip(DELAY);
        verifier.verifyBundle(bundle);
        verifier = BundleVerifier(deploy("BundleVerifier", abi.encode(registry, SELECTOR)));
        _requireNotServing(bundle, IModelRegistry.Status.None);
        // Nor is anybody else.
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.VerifierNotActive.selector, SELECTOR, IModelRegistry.Status.None)
        );
        registry.chunksFor(SELECTOR, model.digest);
    }

    // ------------------------------------------------------------------------------------------------ freeze

    function test_FreezeStopsEveryVerifierForEver() public {
        _addVerifiers(2);
        skip(DELAY);
        registry.addVerifier(SELECTOR, address(verifier));
        for (uint32 i = 1; i <= 2; ++i) {
            vm.expectEmit();
            emit IModelRegistry.VerifierTombstoned(bytes4(i), GUARDIAN);
        }
        vm.expectEmit();
        emit IModelRegistry.VerifierTombstoned(SELECTOR, GUARDIAN);
        vm.expectEmit();
        emit IModelRegistry.Frozen(GUARDIAN);
        vm.prank(GUARDIAN);
        registry.freeze();
        assertTrue(registry.frozen());
        for (uint256 i = 0; i < 2; ++i) {
            _requireVerifierStopped(0x00000001);
            _requireVerifierStopped(0x00000002);
            _requireVerifierStopped(SELECTOR);
            skip(1000 days);
        }
    }

    function test_NothingIsAddedAfterAFreeze() public {
        Model memory model = loadModel("single");
        bytes32[] memory chunks = writeChunks(model.blob);
        vm.prank(GUARDIAN);
        registry.freeze();
        // By a new owner neither.
        registry.transferOwnership(STRANGER);
        vm.startPrank(STRANGER);
        registry.acceptOwnership();
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(IModelRegistry.RegistryFrozen.selector);
            registry.register(chunks, 0);
            vm.expectRevert(IModelRegistry.RegistryFrozen.selector);
            registry.addVerifier(SELECTOR, address(verifier));
            vm.expectRevert(IModelRegistry.RegistryFrozen.selector);
            registry.setAlias(NAME, 0);
            vm.expectRevert(IModelRegistry.RegistryFrozen.selector);
            registry.setGuardian(STRANGER);
            skip(1000 days);
        }
        vm.stopPrank();
        vm.prank(GUARDIAN);
        vm.expectRevert(IModelRegistry.RegistryFrozen.selector);
        registry.freeze();
        // Stopping goes on, and chunks harm nobody.
        vm.prank(GUARDIAN);
        registry.tombstone(model.digest);
        registry.writeChunk("chunk");
    }

    /// Not by the owner: his stolen key must not be able to end everything.
    function test_RevertWhen_FrozenByAnotherThanTheGuardian() public {
        address[2] memory callers = [address(this), STRANGER];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotGuardian.selector, callers[i]));
            registry.freeze();
        }
    }

    // ------------------------------------------------------------------------------------------------ guardian

    function test_GuardianIsReplacedAfterTheDelay() public {
        uint64 activeAt = uint64(block.timestamp + DELAY);
        vm.expectEmit();
        emit IModelRegistry.GuardianScheduled(STRANGER, activeAt);
        registry.setGuardian(STRANGER);
        vm.warp(activeAt - 1);
        assertEq(registry.guardian(), GUARDIAN);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotGuardian.selector, STRANGER));
        registry.freeze();
        vm.warp(activeAt);
        assertEq(registry.guardian(), STRANGER);
        vm.startPrank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotGuardian.selector, GUARDIAN));
        registry.freeze();
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotGuardian.selector, GUARDIAN));
        registry.tombstone(0);
        vm.stopPrank();
        // And once more: the new one serves until the next.
        registry.setGuardian(GUARDIAN);
        assertEq(registry.guardian(), STRANGER);
        skip(DELAY);
        assertEq(registry.guardian(), GUARDIAN);
    }

    /// However often the owner names others, the guardian stays until a whole delay after the last time.
    function testFuzz_GuardianOutlastsEveryReschedule(uint256[8] memory pauses) public {
        uint256 named;
        address expected = GUARDIAN;
        address next = GUARDIAN;
        for (uint256 i = 0; i < pauses.length; ++i) {
            skip(bound(pauses[i], 0, DELAY + 1 days));
            if (block.timestamp >= named + DELAY) expected = next;
            assertEq(registry.guardian(), expected);
            next = address(uint160(i + 1));
            registry.setGuardian(next);
            named = block.timestamp;
            assertEq(registry.guardian(), expected);
        }
    }

    /// A stolen owner's key: names itself guardian, adds a model of its own and a verifier that lets all pass. The
    /// guardian has until the last second of the delay, and neither time nor the new guardian undo it.
    function test_StolenOwnerKeyLosesAgainstTheGuardian() public {
        registry.setGuardian(STRANGER);
        registry.addVerifier(SELECTOR, address(verifier));
        Model memory model = install("single");
        skip(DELAY - 1);
        vm.startPrank(GUARDIAN);
        registry.freeze();
        registry.tombstone(model.digest);
        vm.stopPrank();
        skip(1);
        assertEq(registry.guardian(), STRANGER);
        assertTrue(registry.frozen());
        _requireVerifierStopped(SELECTOR);
        _requireStopped(model.digest, IModelRegistry.Status.Tombstoned);
    }

    // ------------------------------------------------------------------------------------------------ aliases (G8)

    function test_AliasChangesAfterTheDelay() public {
        bytes32 first = install("single").digest;
        bytes32 second = install("skip").digest;
        _requireNoAlias();
        uint64 activeAt = uint64(block.timestamp + DELAY);
        vm.expectEmit();
        emit IModelRegistry.AliasScheduled(NAME, first, activeAt);
        registry.setAlias(NAME, first);
        vm.warp(activeAt - 1);
        _requireNoAlias();
        vm.warp(activeAt);
        assertEq(registry.resolveAlias(NAME), first);

        registry.setAlias(NAME, second);
        skip(DELAY - 1);
        assertEq(registry.resolveAlias(NAME), first);
        skip(1);
        assertEq(registry.resolveAlias(NAME), second);

        // Changed twice within the delay: what served goes on.
        registry.setAlias(NAME, first);
        skip(DELAY - 1);
        registry.setAlias(NAME, 0);
        skip(DELAY - 1);
        assertEq(registry.resolveAlias(NAME), second);
        skip(1);
        _requireNoAlias();
    }

    function test_RevertWhen_AliasIsOfAnUnregisteredModel() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotRegistered.selector, bytes32(uint256(1))));
        registry.setAlias(NAME, bytes32(uint256(1)));
        registry.tombstone(bytes32(uint256(1)));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotRegistered.selector, bytes32(uint256(1))));
        registry.setAlias(NAME, bytes32(uint256(1)));
    }

    /// A name that comes to stand for another model, or for none, is read by nothing that verifies.
    function test_AliasDoesNotTouchVerification() public {
        Model memory model = install("single");
        Model memory other = install("skip");
        registry.addVerifier(SELECTOR, address(verifier));
        registry.setAlias(NAME, model.digest);
        // A name that looks like a digest stands for nothing but itself.
        registry.setAlias(model.digest, other.digest);
        skip(DELAY);
        IBundleVerifier.Bundle memory bundle = _bundle(model);
        assertEq(registry.resolveAlias(model.digest), other.digest);
        verifier.verifyBundle(bundle);

        registry.setAlias(NAME, other.digest);
        skip(DELAY);
        bundle.modelDigest = NAME;
        _requireRefused(bundle, IModelRegistry.Status.None);
        bundle.modelDigest = other.digest;
        vm.expectPartialRevert(IBundleVerifier.ProofLengthMismatch.selector);
        verifier.verifyBundle(bundle);
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function _addVerifiers(uint32 count) private {
        for (uint32 i = 1; i <= count; ++i) {
            registry.addVerifier(bytes4(i), deploy("BundleVerifier", abi.encode(registry, bytes4(i))));
        }
    }

    function _serve() private {
        registry.addVerifier(SELECTOR, address(verifier));
        skip(DELAY);
    }

    function _requireServed(Model memory model) private view {
        assertEq(uint8(registry.modelStatus(model.digest)), uint8(IModelRegistry.Status.Active));
        assertGt(registry.chunks(model.digest)[0].code.length, model.blob.length);
    }

    function _requireStopped(bytes32 digest, IModelRegistry.Status status) private {
        assertEq(uint8(registry.modelStatus(digest)), uint8(status));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, digest, status));
        registry.chunks(digest);
    }

    function _requireStoppedForEver(bytes32 digest) private {
        for (uint256 i = 0; i < 2; ++i) {
            _requireStopped(digest, IModelRegistry.Status.Tombstoned);
            skip(1000 days);
        }
    }

    function _requireStatus(bytes4 selector, IModelRegistry.Status expected, address address_, uint64 activeAt)
        private
    {
        (IModelRegistry.Status status, address found, uint64 since) = registry.verifierStatus(selector);
        assertEq(uint8(status), uint8(expected));
        assertEq(found, address_);
        assertEq(since, activeAt);
        if (expected != IModelRegistry.Status.Active) {
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.VerifierNotActive.selector, selector, expected));
            registry.verifierOf(selector);
        } else {
            assertEq(registry.verifierOf(selector), address_);
        }
    }

    function _requireVerifierStopped(bytes4 selector) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.VerifierNotActive.selector, selector, IModelRegistry.Status.Tombstoned
            )
        );
        registry.verifierOf(selector);
    }

    function _requireNoAlias() private {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownAlias.selector, NAME));
        registry.resolveAlias(NAME);
    }

    function _requireRefused(IBundleVerifier.Bundle memory bundle, IModelRegistry.Status status) private {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, bundle.modelDigest, status));
        verifier.verifyBundle(bundle);
    }

    function _requireNotServing(IBundleVerifier.Bundle memory bundle, IModelRegistry.Status status) private {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.VerifierNotActive.selector, SELECTOR, status));
        verifier.verifyBundle(bundle);
    }

    function _requireOneSlotRead() private {
        (bytes32[] memory reads,) = vm.accesses(address(registry));
        assertGt(reads.length, 0);
        for (uint256 i = 1; i < reads.length; ++i) {
            assertEq(reads[i], reads[0]);
        }
    }

    function _bundle(Model memory model) private view returns (IBundleVerifier.Bundle memory) {
        Bundle memory fixture = loadBundle("single");
        return IBundleVerifier.Bundle({
            modelDigest: model.digest,
            context: fixture.context,
            owner: fixture.owner,
            coverage: 0,
            words: fixture.words,
            commitments: fixture.commitments,
            proofs: fixture.proofs
        });
    }
}
