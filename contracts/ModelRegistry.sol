// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IBundleVerifier} from "./interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {BN254} from "./libraries/BN254.sol";
import {Equivocation} from "./libraries/Equivocation.sol";
import {KeyBlob} from "./libraries/KeyBlob.sol";
import {KeyBlobValidation} from "./libraries/KeyBlobValidation.sol";

/// @title Registry of models and of verifiers
/// @notice See `IModelRegistry`. The owner adds, after a delay; the guardian and the owner stop, at once; only the
/// guardian freezes. Nobody changes or starts again.
/// @dev Not upgradeable, and behind no proxy: neither the code nor the storage layout ever changes.
///
/// No transaction activates what was added: it serves from a time on. Within the delay before it the guardian, who
/// cannot be replaced any faster, can stop it, or freeze everything: so an owner's stolen key can stop models, and
/// add none that the guardian sees.
contract ModelRegistry is IModelRegistry, Ownable2Step {
    using EnumerableSet for EnumerableSet.Bytes32Set;

    /// @dev Largest content of an SSTORE2 contract: the code limit of EIP-170 less the leading STOP.
    uint256 private constant MAX_CHUNK_BYTES = 24_575;
    /// @dev Least delay of a chain that is not local: time to look at what was added.
    uint256 private constant MIN_DELAY = 1 days;
    /// @dev Verifiers at a time: freezing stops each of them, and must fit into a block.
    uint256 private constant MAX_VERIFIERS = 32;

    /// @inheritdoc IModelRegistry
    uint256 public immutable delay;

    // Gas forwarded to the pairing precompile; see `BN254.GasCaps`.
    uint256 private immutable _pairingBaseGas;
    uint256 private immutable _pairingPerPairGas;

    /// @inheritdoc IModelRegistry
    mapping(bytes32 chunkHash => address) public chunkPointer;

    // slither-disable-next-line uninitialized-state: `register` writes it, by a storage pointer.
    mapping(bytes32 modelDigest => Model) private _models;
    /// @dev See `KeyBlobValidation.validate`.
    mapping(bytes32 deltaX => bytes32 vkHash) private _deltaUsers;

    mapping(bytes4 selector => Verifier) private _verifiers;
    mapping(address verifier => bool) private _hadSelector;
    /// @dev Selectors of the verifiers that are not stopped.
    EnumerableSet.Bytes32Set private _selectors;

    mapping(bytes32 name => Alias) private _aliases;

    /// @dev Guardian before `_nextGuardianAt`; then `_nextGuardian` is.
    address private _guardian;
    address private _nextGuardian;
    uint40 private _nextGuardianAt;

    /// @inheritdoc IModelRegistry
    bool public frozen;

    struct Model {
        Head head;
        bytes32 transcriptHash;
        address[] otherChunks;
    }

    /// @dev What every verification reads of a model, in one slot: most have one chunk.
    struct Head {
        address firstChunk;
        /// 0 as long as the model is not registered.
        uint32 chunkCount;
        uint40 activeAt;
        bool tombstoned;
    }

    struct Verifier {
        address verifier;
        uint40 activeAt;
        bool tombstoned;
    }

    /// @dev Stands for `current` before `nextAt`, then for `next`.
    struct Alias {
        bytes32 current;
        bytes32 next;
        uint40 nextAt;
    }

    /// @dev Tests the pairing, the only precompile that it calls: registration relies on it to refuse points outside G2.
    /// @param delay_ Seconds between adding and serving; at least a day, but on local chains.
    constructor(address initialOwner, address initialGuardian, uint256 delay_) Ownable(initialOwner) {
        if (initialGuardian == address(0)) revert InvalidGuardian();
        if (delay_ < MIN_DELAY && !_isLocalChain()) revert DelayTooShort(delay_, MIN_DELAY);
        delay = SafeCast.toUint32(delay_);
        _nextGuardian = initialGuardian;
        BN254.GasCaps memory caps = BN254.selfTestPairing();
        (_pairingBaseGas, _pairingPerPairGas) = (caps.pairingBase, caps.pairingPerPair);
    }

    modifier onlyGuardianOrOwner() {
        if (msg.sender != guardian() && msg.sender != owner()) revert NotGuardian(msg.sender);
        _;
    }

    modifier whenNotFrozen() {
        if (frozen) revert RegistryFrozen();
        _;
    }

    // ------------------------------------------------------------------------------------------------ adding

    /// @inheritdoc IModelRegistry
    function writeChunk(bytes calldata chunk) external returns (bytes32 chunkHash, address pointer) {
        if (chunk.length == 0 || chunk.length > MAX_CHUNK_BYTES) revert ChunkLengthOutOfRange(chunk.length);
        chunkHash = keccak256(chunk);
        pointer = chunkPointer[chunkHash];
        if (pointer == address(0)) {
            // The code that it runs to make its own: PUSH2 size, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE,
            // RETURN. What follows becomes the contract: STOP, so that nothing runs it, and the chunk.
            bytes memory code = abi.encodePacked(hex"61", uint16(chunk.length + 1), hex"80600a3d393df300", chunk);
            pointer = Create2.deploy(0, chunkHash, code);
            chunkPointer[chunkHash] = pointer;
            emit ChunkWritten(chunkHash, pointer, chunk.length);
        }
    }

    /// @inheritdoc IModelRegistry
    function register(bytes32[] calldata chunkHashes, bytes32 transcriptHash)
        external
        onlyOwner
        whenNotFrozen
        returns (bytes32 modelDigest)
    {
        address[] memory pointers = new address[](chunkHashes.length);
        for (uint256 i = 0; i < chunkHashes.length; ++i) {
            pointers[i] = chunkPointer[chunkHashes[i]];
            if (pointers[i] == address(0)) revert UnknownChunk(chunkHashes[i]);
        }
        KeyBlobValidation.Summary memory summary =
            KeyBlobValidation.validate(KeyBlob.load(pointers), _deltaUsers, _pairingCaps());
        if (summary.dev && !_isLocalChain()) revert DevKeysRefused(block.chainid);
        if (summary.dev != (transcriptHash == 0)) revert TranscriptMismatch(summary.dev, transcriptHash);

        modelDigest = summary.modelDigest;
        Model storage model = _models[modelDigest];
        if (model.head.chunkCount != 0) revert AlreadyRegistered(modelDigest);
        if (model.head.tombstoned) revert AlreadyTombstoned(modelDigest);
        uint40 activeAt = _afterDelay();
        model.head =
            Head({firstChunk: pointers[0], chunkCount: uint32(pointers.length), activeAt: activeAt, tombstoned: false});
        model.transcriptHash = transcriptHash;
        for (uint256 i = 1; i < pointers.length; ++i) {
            model.otherChunks.push(pointers[i]);
        }
        emit ModelRegistered(modelDigest, summary.setupDigest, summary.slices, summary.dev, transcriptHash, activeAt);
    }

    /// @inheritdoc IModelRegistry
    function addVerifier(bytes4 selector, address verifier) external onlyOwner whenNotFrozen {
        if (selector == 0 || _verifiers[selector].verifier != address(0)) revert SelectorNotAvailable(selector);
        if (_hadSelector[verifier] || !_isMadeFor(verifier, selector)) revert InvalidVerifier(verifier);
        if (_selectors.length() == MAX_VERIFIERS) revert TooManyVerifiers(MAX_VERIFIERS);
        uint40 activeAt = _afterDelay();
        _verifiers[selector] = Verifier({verifier: verifier, activeAt: activeAt, tombstoned: false});
        _hadSelector[verifier] = true;
        // slither-disable-next-line unused-return: the selector was never used.
        _selectors.add(selector);
        emit VerifierAdded(selector, verifier, activeAt);
    }

    /// @inheritdoc IModelRegistry
    function setAlias(bytes32 name, bytes32 modelDigest) external onlyOwner whenNotFrozen {
        if (modelDigest != 0 && _models[modelDigest].head.chunkCount == 0) revert NotRegistered(modelDigest);
        uint40 activeAt = _afterDelay();
        _aliases[name] = Alias({current: _modelOf(_aliases[name]), next: modelDigest, nextAt: activeAt});
        emit AliasScheduled(name, modelDigest, activeAt);
    }

    /// @inheritdoc IModelRegistry
    function setGuardian(address guardian_) external onlyOwner whenNotFrozen {
        if (guardian_ == address(0)) revert InvalidGuardian();
        uint40 activeAt = _afterDelay();
        // The one who serves now goes on until then, also if another was to follow before.
        _guardian = guardian();
        (_nextGuardian, _nextGuardianAt) = (guardian_, activeAt);
        emit GuardianScheduled(guardian_, activeAt);
    }

    // ------------------------------------------------------------------------------------------------ stopping

    /// @inheritdoc IModelRegistry
    function tombstone(bytes32 modelDigest) external onlyGuardianOrOwner {
        _tombstone(modelDigest);
    }

    /// @inheritdoc IModelRegistry
    function reportEquivocation(
        bytes4 selector,
        IBundleVerifier.Bundle calldata first,
        IBundleVerifier.Bundle calldata second
    ) external {
        IBundleVerifier verifier = IBundleVerifier(verifierOf(selector));
        bytes32 modelDigest = first.modelDigest;
        if (second.modelDigest != modelDigest) revert NoEquivocation(EquivocationFault.Model);
        if (second.coverage != first.coverage) revert NoEquivocation(EquivocationFault.Coverage);
        verifier.verifyBundle(first);
        verifier.verifyBundle(second);
        Equivocation.requireShown(_activeBlobOf(modelDigest), first, second);

        _tombstone(modelDigest);
        emit EquivocationProven(modelDigest, first.coverage, msg.sender);
    }

    /// @inheritdoc IModelRegistry
    function tombstoneVerifier(bytes4 selector) external onlyGuardianOrOwner {
        (Status status,,) = verifierStatus(selector);
        // slither-disable-next-line incorrect-equality: an enum.
        if (status == Status.None || status == Status.Tombstoned) revert VerifierNotActive(selector, status);
        // slither-disable-next-line unused-return: the verifier was not stopped.
        _selectors.remove(selector);
        _tombstoneVerifier(selector);
    }

    /// @inheritdoc IModelRegistry
    function freeze() external whenNotFrozen {
        if (msg.sender != guardian()) revert NotGuardian(msg.sender);
        frozen = true;
        bytes32[] memory selectors = _selectors.values();
        for (uint256 i = 0; i < selectors.length; ++i) {
            _tombstoneVerifier(bytes4(selectors[i]));
        }
        emit Frozen(msg.sender);
    }

    /// @notice Always reverts.
    function renounceOwnership() public view override onlyOwner {
        revert OwnershipCannotBeRenounced();
    }

    // ------------------------------------------------------------------------------------------------ reading

    /// @inheritdoc IModelRegistry
    function guardian() public view returns (address) {
        return block.timestamp < _nextGuardianAt ? _guardian : _nextGuardian;
    }

    /// @inheritdoc IModelRegistry
    function modelStatus(bytes32 modelDigest) public view returns (Status) {
        (,, Status status) = _headOf(modelDigest);
        return status;
    }

    /// @inheritdoc IModelRegistry
    function modelInfo(bytes32 modelDigest) external view returns (ModelInfo memory info) {
        bytes memory data = blob(modelDigest);
        info.status = modelStatus(modelDigest);
        info.activeAt = _models[modelDigest].head.activeAt;
        info.transcriptHash = _models[modelDigest].transcriptHash;
        info.slices = KeyBlob.sliceCount(data);
        info.coveragePolicy = KeyBlob.read(KeyBlob.cursorOf(data, 3));
        info.setupDigest = bytes32(KeyBlob.read(KeyBlob.cursorOf(data, 4)));
        // slither-disable-next-line incorrect-equality: a flag that registration validated.
        info.dev = KeyBlob.read(KeyBlob.cursorOf(data, 5)) == 1;
    }

    /// @inheritdoc IModelRegistry
    function chunks(bytes32 modelDigest) external view returns (address[] memory) {
        return _activeChunksOf(modelDigest);
    }

    /// @inheritdoc IModelRegistry
    function chunksFor(bytes4 selector, bytes32 modelDigest) external view returns (address[] memory) {
        // slither-disable-next-line unused-return: it is there, or will be.
        (Status status, address verifier,) = verifierStatus(selector);
        if (verifier != msg.sender) status = Status.None;
        if (status != Status.Active) revert VerifierNotActive(selector, status);
        return _activeChunksOf(modelDigest);
    }

    /// @dev The last step of a call: it may answer by itself.
    function _activeChunksOf(bytes32 modelDigest) private view returns (address[] memory) {
        (address firstChunk, uint256 count) = _activeHeadOf(modelDigest);
        if (count != 1) return _chunksOf(modelDigest, firstChunk, count);
        assembly ("memory-safe") {
            // A list of one, as the compiler encodes it: the list's offset, its length, the chunk.
            let answer := mload(0x40)
            mstore(answer, 0x20)
            mstore(add(answer, 0x20), 1)
            mstore(add(answer, 0x40), firstChunk)
            return(answer, 0x60)
        }
    }

    /// @inheritdoc IModelRegistry
    function blob(bytes32 modelDigest) public view returns (bytes memory) {
        (address firstChunk, uint256 count,) = _headOf(modelDigest);
        // slither-disable-next-line incorrect-equality: 0 is what was never written.
        if (count == 0) revert NotRegistered(modelDigest);
        return KeyBlob.load(_chunksOf(modelDigest, firstChunk, count));
    }

    /// @inheritdoc IModelRegistry
    function verifierOf(bytes4 selector) public view returns (address verifier) {
        Status status;
        (status, verifier,) = verifierStatus(selector);
        if (status != Status.Active) revert VerifierNotActive(selector, status);
    }

    /// @inheritdoc IModelRegistry
    function verifierStatus(bytes4 selector) public view returns (Status status, address verifier, uint64 activeAt) {
        Verifier storage entry = _verifiers[selector];
        bool tombstoned;
        // As `_headOf` does.
        assembly ("memory-safe") {
            let word := sload(entry.slot)
            verifier := shr(96, shl(96, word))
            activeAt := and(shr(160, word), 0xffffffffff)
            tombstoned := shr(200, word)
        }
        status = _statusOf(verifier != address(0), activeAt, tombstoned);
    }

    /// @inheritdoc IModelRegistry
    function resolveAlias(bytes32 name) external view returns (bytes32 modelDigest) {
        modelDigest = _modelOf(_aliases[name]);
        if (modelDigest == 0) revert UnknownAlias(name);
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function _tombstone(bytes32 modelDigest) private {
        Head storage head = _models[modelDigest].head;
        if (head.tombstoned) revert AlreadyTombstoned(modelDigest);
        head.tombstoned = true;
        emit ModelTombstoned(modelDigest, msg.sender);
    }

    function _tombstoneVerifier(bytes4 selector) private {
        _verifiers[selector].tombstoned = true;
        emit VerifierTombstoned(selector, msg.sender);
    }

    /// @dev A `Head`, whose slot is read once and unpacked by hand: every verification pays for it.
    function _headOf(bytes32 modelDigest) private view returns (address firstChunk, uint256 count, Status status) {
        Head storage head = _models[modelDigest].head;
        uint256 activeAt;
        bool tombstoned;
        assembly ("memory-safe") {
            let word := sload(head.slot)
            firstChunk := shr(96, shl(96, word))
            count := and(shr(160, word), 0xffffffff)
            activeAt := and(shr(192, word), 0xffffffffff)
            tombstoned := shr(232, word)
        }
        status = _statusOf(count != 0, activeAt, tombstoned);
    }

    function _statusOf(bool added, uint256 activeAt, bool tombstoned) private view returns (Status) {
        if (tombstoned) return Status.Tombstoned;
        if (!added) return Status.None;
        return block.timestamp < activeAt ? Status.Pending : Status.Active;
    }

    function _activeHeadOf(bytes32 modelDigest) private view returns (address firstChunk, uint256 count) {
        Status status;
        (firstChunk, count, status) = _headOf(modelDigest);
        if (status != Status.Active) revert ModelNotActive(modelDigest, status);
    }

    function _activeBlobOf(bytes32 modelDigest) private view returns (bytes memory) {
        (address firstChunk, uint256 count) = _activeHeadOf(modelDigest);
        return KeyBlob.load(_chunksOf(modelDigest, firstChunk, count));
    }

    function _chunksOf(bytes32 modelDigest, address firstChunk, uint256 count)
        private
        view
        returns (address[] memory pointers)
    {
        pointers = new address[](count);
        pointers[0] = firstChunk;
        for (uint256 i = 1; i < count; ++i) {
            pointers[i] = _models[modelDigest].otherChunks[i - 1];
        }
    }

    function _modelOf(Alias storage entry) private view returns (bytes32) {
        return block.timestamp < entry.nextAt ? entry.current : entry.next;
    }

    /// @dev Whether the account answers as a verifier of this registry and selector. One without code does not.
    function _isMadeFor(address verifier, bytes4 selector) private view returns (bool) {
        return _answers(verifier, IBundleVerifier.registry.selector, bytes32(uint256(uint160(address(this)))))
            // Of `IBundleVerifier.selector`, whose `.selector` slither cannot read: it would leave the function out.
            && _answers(verifier, bytes4(keccak256("selector()")), selector);
    }

    function _answers(address account, bytes4 question, bytes32 expected) private view returns (bool) {
        (bool answered, bytes memory answer) = account.staticcall(abi.encodePacked(question));
        return answered && answer.length == 32 && bytes32(answer) == expected;
    }

    function _afterDelay() private view returns (uint40) {
        return SafeCast.toUint40(block.timestamp + delay);
    }

    function _pairingCaps() private view returns (BN254.GasCaps memory caps) {
        (caps.pairingBase, caps.pairingPerPair) = (_pairingBaseGas, _pairingPerPairGas);
    }

    function _isLocalChain() private view returns (bool) {
        return block.chainid == 1337 || (block.chainid >= 31_337 && block.chainid <= 31_346);
    }
}
