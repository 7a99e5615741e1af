// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {BundleVerifier} from "../../contracts/BundleVerifier.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {Registered} from "./utils/Registered.sol";
import {deploy} from "./utils/Deploy.sol";

/// @notice Owner and guardian doing whatever they may, in any order and at any time, and a record of what they did.
contract RegistryHandler is Registered {
    uint256 private constant DELAY = 1 days;
    uint32 private constant SELECTORS = 6;

    address private immutable OWNER = makeAddr("owner");
    address private immutable GUARDIAN = makeAddr("guardian");

    bytes[] private _blobs;
    bytes32[] private _digests;
    BundleVerifier[] private _verifiers;

    // What was done: when each was added (0: never), and whether it was stopped.
    mapping(bytes32 => uint256) private _registeredAt;
    mapping(bytes32 => bool) private _stopped;
    mapping(bytes4 => uint256) private _addedAt;
    mapping(bytes4 => address) private _addressOf;
    mapping(bytes4 => bool) private _verifierStopped;
    bool private _frozen;
    uint256 public added;

    function setUp() public override {}

    constructor() {
        vm.warp(1_800_000_000);
        registry = ModelRegistry(deploy("ModelRegistry", abi.encode(OWNER, GUARDIAN, DELAY)));
        string[2] memory names = ["single", "private"];
        for (uint256 i = 0; i < 2; ++i) {
            Model memory model = loadModel(names[i]);
            _blobs.push(model.blob);
            _digests.push(model.digest);
            // The same keys with other decimals.
            setWord(model.blob, tensorAt(model.blob, 1) + 5, 1);
            _digests.push(rehash(model.blob));
            _blobs.push(model.blob);
        }
        for (uint256 i = 0; i < SELECTORS; ++i) {
            _verifiers.push(BundleVerifier(deploy("BundleVerifier", abi.encode(registry, bytes4(uint32(i + 1))))));
        }
    }

    function wait_(uint256 time) external {
        vm.warp(block.timestamp + time % (DELAY + 1 hours));
    }

    function register_(uint256 which) external {
        bytes32 expected = _digests[which % _digests.length];
        bytes32[] memory chunks = writeChunks(_blobs[which % _blobs.length]);
        vm.prank(OWNER);
        try registry.register(chunks, 0) returns (bytes32 digest) {
            assertEq(digest, expected);
            assertFalse(_frozen, "registered after a freeze");
            assertFalse(_stopped[digest], "registered after a tombstone");
            assertEq(_registeredAt[digest], 0, "registered twice");
            _registeredAt[digest] = block.timestamp;
            ++added;
        } catch {
            assertTrue(_frozen || _stopped[expected] || _registeredAt[expected] != 0, "could not register");
        }
    }

    function tombstone_(uint256 which, bool byGuardian) external {
        bytes32 digest = _digests[which % _digests.length];
        vm.prank(byGuardian ? GUARDIAN : OWNER);
        try registry.tombstone(digest) {
            _stopped[digest] = true;
        } catch {
            assertTrue(_stopped[digest], "could not stop");
        }
    }

    function addVerifier_(uint256 which, uint32 selector) external {
        bytes4 name = bytes4(selector % SELECTORS + 1);
        // Mostly the one that is made for it.
        BundleVerifier verifier_ = _verifiers[which % 4 == 0 ? which % SELECTORS : selector % SELECTORS];
        address verifier = address(verifier_);
        bool fits = verifier_.selector() == name;
        vm.prank(OWNER);
        try registry.addVerifier(name, verifier) {
            assertTrue(fits, "added under another selector");
            assertFalse(_frozen, "added after a freeze");
            assertEq(_addedAt[name], 0, "added twice");
            (_addedAt[name], _addressOf[name]) = (block.timestamp, verifier);
            ++added;
        } catch {}
    }

    function tombstoneVerifier_(uint32 selector, bool byGuardian) external {
        bytes4 name = bytes4(selector % SELECTORS + 1);
        vm.prank(byGuardian ? GUARDIAN : OWNER);
        try registry.tombstoneVerifier(name) {
            _verifierStopped[name] = true;
        } catch {
            assertTrue(_verifierStopped[name] || _addedAt[name] == 0, "could not stop");
        }
    }

    /// Rarely: nothing happens afterwards.
    function freeze_(uint256 seed) external {
        if (seed % 4 != 0) return;
        vm.prank(GUARDIAN);
        try registry.freeze() {
            assertFalse(_frozen, "frozen twice");
            _frozen = true;
            for (uint32 i = 1; i <= SELECTORS; ++i) {
                if (_addedAt[bytes4(i)] != 0) _verifierStopped[bytes4(i)] = true;
            }
        } catch {
            assertTrue(_frozen, "could not freeze");
        }
    }

    /// The registry is what was done to it and the time: stops are for ever, and nothing serves before its delay.
    function check() external view {
        assertEq(registry.frozen(), _frozen, "frozen");
        for (uint256 i = 0; i < _digests.length; ++i) {
            bytes32 digest = _digests[i];
            IModelRegistry.Status expected = _expected(_registeredAt[digest], _stopped[digest]);
            assertEq(uint8(registry.modelStatus(digest)), uint8(expected), "model");
            (bool serves,) = address(registry).staticcall(abi.encodeCall(IModelRegistry.chunks, (digest)));
            assertEq(serves, expected == IModelRegistry.Status.Active, "chunks");
        }
        for (uint32 i = 1; i <= SELECTORS; ++i) {
            bytes4 name = bytes4(i);
            IModelRegistry.Status expected = _expected(_addedAt[name], _verifierStopped[name]);
            (IModelRegistry.Status status, address verifier, uint64 activeAt) = registry.verifierStatus(name);
            assertEq(uint8(status), uint8(expected), "verifier");
            assertEq(verifier, _addressOf[name], "a selector is one contract");
            assertEq(activeAt, _addedAt[name] == 0 ? 0 : _addedAt[name] + DELAY, "activation");
            (bool serves,) = address(registry).staticcall(abi.encodeCall(IModelRegistry.verifierOf, (name)));
            assertEq(serves, expected == IModelRegistry.Status.Active, "verifierOf");
            if (_frozen) assertFalse(serves, "frozen");
        }
    }

    function _expected(uint256 addedAt, bool stopped) private view returns (IModelRegistry.Status) {
        if (stopped) return IModelRegistry.Status.Tombstoned;
        if (addedAt == 0) return IModelRegistry.Status.None;
        return block.timestamp < addedAt + DELAY ? IModelRegistry.Status.Pending : IModelRegistry.Status.Active;
    }
}

contract ModelRegistryInvariantTest is Registered {
    RegistryHandler private handler;

    function setUp() public override {
        handler = new RegistryHandler();
        bytes4[] memory actions = new bytes4[](6);
        actions[0] = RegistryHandler.wait_.selector;
        actions[1] = RegistryHandler.register_.selector;
        actions[2] = RegistryHandler.tombstone_.selector;
        actions[3] = RegistryHandler.addVerifier_.selector;
        actions[4] = RegistryHandler.tombstoneVerifier_.selector;
        actions[5] = RegistryHandler.freeze_.selector;
        targetSelector(FuzzSelector({addr: address(handler), selectors: actions}));
        targetContract(address(handler));
    }

    function invariant_StopsAreForEverAndNothingServesBeforeItsDelay() public view {
        handler.check();
    }

    /// The handler can do everything that the invariant is about.
    function test_HandlerReachesEveryState() public {
        handler.register_(0);
        handler.addVerifier_(0, 0);
        handler.check();
        handler.wait_(1 days);
        handler.check();
        handler.tombstone_(0, true);
        handler.register_(0);
        handler.tombstone_(1, false);
        handler.register_(1);
        handler.register_(2);
        handler.tombstoneVerifier_(0, false);
        handler.addVerifier_(1, 1);
        handler.check();
        assertEq(handler.added(), 4);
        handler.freeze_(0);
        handler.register_(3);
        handler.addVerifier_(2, 2);
        handler.freeze_(0);
        handler.wait_(1 days);
        handler.check();
        assertEq(handler.added(), 4);
    }
}
