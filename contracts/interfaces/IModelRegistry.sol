// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// @title Registry of models by digest
/// @notice Keeps, for each model digest, the key blob that the bundle verifier reads: header (layouts, wiring,
/// verifying key hashes) and one verifying key record a slice. A digest names one blob for ever: nothing here can be
/// changed.
/// @dev A registered blob is well-formed: readers of `chunks` need not check it again. What registration cannot see is
/// whether the setup's secrets are gone: a self-made key passes. Consumers pin digests whose setup they trust.
interface IModelRegistry {
    /// @notice A chunk of a key blob was stored.
    event ChunkWritten(bytes32 indexed chunkHash, address pointer, uint256 length);

    /// @notice A model was registered.
    /// @param modelDigest keccak256 of the blob's header.
    /// @param setupDigest Digest of the α, β, γ which the model's keys share.
    /// @param slices Number of slices.
    /// @param dev Whether the keys are development keys.
    event ModelRegistered(bytes32 indexed modelDigest, bytes32 indexed setupDigest, uint256 slices, bool dev);

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
    /// @notice α or β is the curve's generator (up to sign), or β is ±γ: the setup had no contribution.
    /// @dev Selector 0x5e845e24.
    error UncontributedSetup();
    /// @notice A delta of this slice is, up to sign, the generator, β, γ, or a delta of another key.
    /// @dev Selector 0xf83b8d37.
    error DeltaNotDistinct(uint256 slice, bytes32 deltaX);

    /// @notice At deployment: this chain's precompile does not do what EIP-196 and EIP-197 say.
    /// @dev Selector 0x9b0128f7.
    error SelfTestFailed(address precompile);

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
        /// A model input is read by no slice.
        InputUnread,
        /// The key record's word layout differs from the header's.
        LayoutMismatch
    }

    /// @notice Stores a chunk of a key blob; anyone may. Writing the same chunk again changes nothing.
    /// @return chunkHash keccak256 of the chunk.
    /// @return pointer The SSTORE2 contract that holds it.
    function writeChunk(bytes calldata chunk) external returns (bytes32 chunkHash, address pointer);

    /// @notice Validates the blob made of the chunks in order, and registers its model.
    /// @return modelDigest keccak256 of the blob's header.
    function register(bytes32[] calldata chunkHashes) external returns (bytes32 modelDigest);

    /// @notice The SSTORE2 contract of a chunk, or zero.
    function chunkPointer(bytes32 chunkHash) external view returns (address);

    /// @notice Whether a model is registered.
    function isRegistered(bytes32 modelDigest) external view returns (bool);

    /// @notice The SSTORE2 contracts whose contents make the model's blob, in order. Reverts with `NotRegistered`.
    function chunks(bytes32 modelDigest) external view returns (address[] memory);

    /// @notice The model's blob. Reverts with `NotRegistered`.
    function blob(bytes32 modelDigest) external view returns (bytes memory);
}
