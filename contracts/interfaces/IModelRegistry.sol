// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "./IBundleVerifier.sol";

/// @title Registry of models and of verifiers
/// @notice Keeps, for each model digest, the key blob that verifiers read: header (layouts, wiring, verifying key
/// hashes) and one verifying key record a slice; and, for each selector, a verifier contract. A digest names one blob
/// and a selector one contract, for ever: each can be stopped, none can be changed, started again or used anew.
/// @dev What is added waits for `delay` before it serves; what is stopped stops at once. A registered blob is
/// well-formed: readers of `chunks` need not check it again. What registration cannot see is whether the setup's
/// secrets are gone: a self-made key passes, with a transcript's hash that the owner made up. Consumers pin digests
/// whose keys they, or somebody they trust, checked against the published transcript with that hash.
interface IModelRegistry {
    /// @notice State of a model or of a verifier.
    enum Status {
        None,
        /// Added; serves from its activation time on.
        Pending,
        Active,
        /// Stopped for ever.
        Tombstoned
    }

    /// @notice What is known of a model.
    /// @param status Its state now.
    /// @param activeAt Unix time at which it begins to serve, unless stopped.
    /// @param dev Whether its keys are development keys.
    /// @param slices Number of slices.
    /// @param coveragePolicy 0 if only full coverage is served; else the bitmap of the slices that every partial
    /// coverage must include, those that put out outputs among them.
    /// @param setupDigest Digest of the α, β, γ which its keys share.
    /// @param transcriptHash Hash of the ceremony's transcript, by the word of who registered it; 0 for dev keys.
    struct ModelInfo {
        Status status;
        uint64 activeAt;
        bool dev;
        uint256 slices;
        uint256 coveragePolicy;
        bytes32 setupDigest;
        bytes32 transcriptHash;
    }

    /// @notice A chunk of a key blob was stored.
    event ChunkWritten(bytes32 indexed chunkHash, address pointer, uint256 length);

    /// @notice A model was registered, to serve from `activeAt` on.
    /// @param modelDigest keccak256 of the blob's header.
    /// @param setupDigest Digest of the α, β, γ which the model's keys share.
    /// @param slices Number of slices.
    /// @param dev Whether the keys are development keys.
    /// @param transcriptHash Hash of the ceremony's transcript; 0 for development keys.
    event ModelRegistered(
        bytes32 indexed modelDigest,
        bytes32 indexed setupDigest,
        uint256 slices,
        bool dev,
        bytes32 transcriptHash,
        uint64 activeAt
    );
    /// @notice A model was stopped for ever.
    event ModelTombstoned(bytes32 indexed modelDigest, address indexed by);
    /// @notice Two valid bundles of the slices in `coverage` with equal inputs and different outputs were shown: the
    /// model's keys are worthless, and it was stopped.
    event EquivocationProven(bytes32 indexed modelDigest, uint256 coverage, address indexed reporter);
    /// @notice A verifier was added, to serve from `activeAt` on.
    event VerifierAdded(bytes4 indexed selector, address indexed verifier, uint64 activeAt);
    /// @notice A verifier was stopped for ever.
    event VerifierTombstoned(bytes4 indexed selector, address indexed by);
    /// @notice Every verifier was stopped for ever, and nothing can be added any more.
    event Frozen(address indexed by);
    /// @notice A name will stand for another model from `activeAt` on.
    event AliasScheduled(bytes32 indexed name, bytes32 indexed modelDigest, uint64 activeAt);
    /// @notice The guardian will be another from `activeAt` on.
    event GuardianScheduled(address indexed guardian, uint64 activeAt);

    /// @notice The chunk is empty or longer than 24,575 bytes (an SSTORE2 contract's largest content).
    /// @dev Selector 0xab2fb586.
    error ChunkLengthOutOfRange(uint256 length);
    /// @notice No chunk with this hash was written.
    /// @dev Selector 0x331540a6.
    error UnknownChunk(bytes32 chunkHash);
    /// @notice The model is registered already.
    /// @dev Selector 0x77caf672.
    error AlreadyRegistered(bytes32 modelDigest);
    /// @notice No model with this digest is registered.
    /// @dev Selector 0x8cc00d16.
    error NotRegistered(bytes32 modelDigest);
    /// @notice The blob's length is not what its header and records say.
    /// @dev Selector 0x2a9bfe2d.
    error BlobLengthMismatch(uint256 expected, uint256 received);
    /// @notice A word of the blob (index from its start) has a value that the format does not allow there.
    /// @dev Selector 0x98735169.
    error MalformedBlob(uint256 wordIndex, uint256 value);
    /// @notice Development keys are accepted on local chains only (chain ids 1337 and 31337–31346).
    /// @dev Selector 0xc3e2e08b.
    error DevKeysRefused(uint256 chainId);
    /// @notice The record of this slice does not hash to the verifying key hash in the header.
    /// @dev Selector 0x53829f90.
    error VkHashMismatch(uint256 slice, bytes32 expected, bytes32 computed);
    /// @notice α, β, γ of this slice's record do not hash to the header's setup digest.
    /// @dev Selector 0xa19125b7.
    error SetupDigestMismatch(uint256 slice, bytes32 expected, bytes32 computed);
    /// @notice The wiring is wrong at this slice and tensor: see `WiringFault`.
    /// @dev Selector 0x96f04d8d.
    error InvalidWiring(uint256 slice, uint256 tensor, WiringFault fault);
    /// @notice A G1 point (word index in the blob) is at infinity, off the curve or has a coordinate ≥ q.
    /// @dev Selector 0x37d3f683.
    error InvalidG1(uint256 wordIndex);
    /// @notice A G2 point of this slice's record is at infinity, off the curve, outside the subgroup or has a
    /// coordinate ≥ q.
    /// @dev Selector 0x7335a6e8.
    error InvalidG2(uint256 slice);
    /// @notice α or β is, up to sign, the generator, which γ is: the setup had no contribution.
    /// @dev Selector 0x5e845e24.
    error UncontributedSetup();
    /// @notice A delta of this slice is, up to sign, the generator, which γ is, or β, or a delta of another key.
    /// @dev Selector 0xf83b8d37.
    error DeltaNotDistinct(uint256 slice, bytes32 deltaX);

    /// @notice At deployment: this chain's precompile does not do what EIP-196 and EIP-197 say.
    /// @dev Selector 0x9b0128f7.
    error SelfTestFailed(address precompile);

    /// @notice The model does not serve: it is unknown, waits for its activation, or was stopped.
    /// @dev Selector 0xdf535de3.
    error ModelNotActive(bytes32 modelDigest, Status status);
    /// @notice The verifier does not serve: it is unknown, waits for its activation, or was stopped.
    /// @dev Selector 0x31ba890e.
    error VerifierNotActive(bytes4 selector, Status status);
    /// @notice The selector is zero, or was given to a verifier before, stopped or not.
    /// @dev Selector 0x072c086b.
    error SelectorNotAvailable(bytes4 selector);
    /// @notice The contract has no code, reads another registry, was made for another selector, or was added before,
    /// stopped or not.
    /// @dev Selector 0x44c6515e.
    error InvalidVerifier(address verifier);
    /// @notice As many verifiers as there may be at a time are added and not stopped.
    /// @dev Selector 0x842ed7de.
    error TooManyVerifiers(uint256 limit);
    /// @notice Keys of a ceremony come with its transcript's hash, development keys without one.
    /// @dev Selector 0x6e94d633.
    error TranscriptMismatch(bool dev, bytes32 transcriptHash);
    /// @notice The model is stopped already, and cannot be stopped again or registered.
    /// @dev Selector 0x2e8754be.
    error AlreadyTombstoned(bytes32 modelDigest);
    /// @notice The registry was frozen: nothing can be added.
    /// @dev Selector 0xb81274ce.
    error RegistryFrozen();
    /// @notice The caller is neither the guardian nor the owner.
    /// @dev Selector 0xa252c151.
    error NotGuardian(address caller);
    /// @notice The two bundles do not show an equivocation of the slice: see `EquivocationFault`.
    /// @dev Selector 0x6c0c1425.
    error NoEquivocation(EquivocationFault fault);
    /// @notice The name stands for no model.
    /// @dev Selector 0xa69cf323.
    error UnknownAlias(bytes32 name);
    /// @notice At deployment: less than the least delay of a chain that is not local.
    /// @dev Selector 0xd6ef4a31.
    error DelayTooShort(uint256 delay, uint256 minimum);
    /// @notice At deployment, or as guardian: the zero address.
    /// @dev Selector 0xa6c1146b.
    error InvalidGuardian();

    /// @notice Ownership can be handed over, not given up: nobody could register any more.
    /// @dev Selector 0x2fab92ca.
    error OwnershipCannotBeRenounced();

    /// @notice What is wrong with a wiring.
    enum WiringFault {
        /// Slot 0 is not the context.
        ContextSlotMissing,
        /// The owner slot is missing from a slice that reads a private input, or present in one that does not.
        OwnerSlotMismatch,
        /// Commitment slots or word groups are not in strictly ascending tensor order.
        NotAscending,
        /// A slot's role does not fit the tensor's kind, or the tensor does not exist.
        RoleMismatch,
        /// A boundary is read before any slice wrote it.
        ReadBeforeWrite,
        /// A boundary is written twice.
        WrittenTwice,
        /// A boundary is never written.
        NeverWritten,
        /// A word group is not a public tensor.
        NotPublic,
        /// An output tensor is in the word groups of two slices.
        OutputTwice,
        /// An output tensor is in no slice's word groups.
        OutputMissing,
        /// A model input or a boundary is read by no slice.
        Unread,
        /// The key record's word layout differs from the header's.
        LayoutMismatch
    }

    /// @notice Why two bundles show no equivocation.
    enum EquivocationFault {
        /// The bundles cover different slices.
        Coverage,
        /// The bundles are of different models.
        Model,
        /// A public input, or a commitment that no covered slice writes, differs in a covered slice that reads it.
        InputDiffers,
        /// No output word of a covered slice differs.
        OutputEqual
    }

    /// @notice Stores a chunk of a key blob; anyone may. Writing the same chunk again changes nothing.
    /// @return chunkHash keccak256 of the chunk.
    /// @return pointer The SSTORE2 contract that holds it.
    function writeChunk(bytes calldata chunk) external returns (bytes32 chunkHash, address pointer);

    /// @notice Validates the blob made of the chunks in order, and registers its model; it serves after the delay.
    /// The owner only.
    /// @param transcriptHash Hash of the ceremony's transcript; 0 exactly for development keys.
    /// @return modelDigest keccak256 of the blob's header.
    function register(bytes32[] calldata chunkHashes, bytes32 transcriptHash) external returns (bytes32 modelDigest);

    /// @notice Stops a model for ever, registered or not yet: the digest can never serve. Guardian or owner.
    function tombstone(bytes32 modelDigest) external;

    /// @notice Stops a model for ever by two valid bundles of the same slices with equal inputs and different output
    /// words. Anyone.
    /// @dev Of one slice, of all or of some: a bundle of fewer slices can be cut out of any bundle. Inputs are what the
    /// covered slices take in from outside: public inputs, private inputs, and boundaries that no covered slice writes.
    /// Whoever can make the verifier accept a false proof can stop models by it, which he should.
    /// @param selector The verifier to check them with, which must be active.
    function reportEquivocation(
        bytes4 selector,
        IBundleVerifier.Bundle calldata first,
        IBundleVerifier.Bundle calldata second
    ) external;

    /// @notice Adds a verifier under a selector never used before; it serves after the delay. The owner only.
    /// @dev That its code cannot change is by the word of the owner: the registry cannot see through a proxy.
    function addVerifier(bytes4 selector, address verifier) external;

    /// @notice Stops a verifier for ever. Guardian or owner.
    /// @dev It stops for all: for those who find it by `verifierOf`, and, since `chunksFor` answers it no more, for
    /// those who keep its address.
    function tombstoneVerifier(bytes4 selector) external;

    /// @notice Stops every verifier for ever and lets nothing be added again. The guardian only.
    function freeze() external;

    /// @notice Makes a name stand for a registered model, or for none (0), after the delay. Names are for people:
    /// nothing that verifies or pays looks at them. The owner only.
    function setAlias(bytes32 name, bytes32 modelDigest) external;

    /// @notice Names another guardian, after the delay. The owner only.
    // slither-disable-next-line shadowing-local: without a body.
    function setGuardian(address guardian) external;

    /// @notice Seconds between adding and serving.
    function delay() external view returns (uint256);

    /// @notice Who may stop things, beside the owner.
    function guardian() external view returns (address);

    /// @notice Whether the registry was frozen.
    function frozen() external view returns (bool);

    /// @notice The SSTORE2 contract of a chunk, or zero.
    function chunkPointer(bytes32 chunkHash) external view returns (address);

    /// @notice A model's state.
    function modelStatus(bytes32 modelDigest) external view returns (Status);

    /// @notice What is known of a registered model. Reverts with `NotRegistered`.
    function modelInfo(bytes32 modelDigest) external view returns (ModelInfo memory);

    /// @notice The SSTORE2 contracts whose contents make an active model's blob, in order. Reverts with
    /// `ModelNotActive`.
    function chunks(bytes32 modelDigest) external view returns (address[] memory);

    /// @notice The same for the verifier of this selector, and for nobody else. Reverts with `VerifierNotActive` unless
    /// it serves (state `None`: the caller is not that verifier), then as `chunks`.
    function chunksFor(bytes4 selector, bytes32 modelDigest) external view returns (address[] memory);

    /// @notice A registered model's blob, whatever its state. Reverts with `NotRegistered`.
    function blob(bytes32 modelDigest) external view returns (bytes memory);

    /// @notice The verifier of a selector. Reverts with `VerifierNotActive`.
    function verifierOf(bytes4 selector) external view returns (address);

    /// @notice A verifier's state, its address and when it begins to serve.
    function verifierStatus(bytes4 selector) external view returns (Status status, address verifier, uint64 activeAt);

    /// @notice The model that a name stands for now. Reverts with `UnknownAlias`.
    function resolveAlias(bytes32 name) external view returns (bytes32 modelDigest);
}
