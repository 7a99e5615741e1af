// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IModelRegistry} from "./IModelRegistry.sol";

/// @title Verifier of bundles
/// @notice Checks the proofs of all slices of a registered model in one pairing call. Everything about the model
/// comes from its registered blob; calldata holds the statement and the proofs only.
/// @dev A bundle that verifies says: the prover knows an execution of the model on the given public inputs (and on
/// openings of the given commitments) whose outputs are the given words, proven for this context. It does not say
/// where the input came from.
interface IBundleVerifier {
    /// @notice Calldata is not the one strict encoding of the arguments (offsets, lengths, nothing after the last
    /// array).
    /// @dev Selector 0xf26c0d4b.
    error NonCanonicalCalldata();
    /// @notice The context is zero (the off-chain default, never accepted) or ≥ r.
    /// @dev Selector 0xf4e79759.
    error ContextOutOfRange(uint256 context);
    /// @notice The owner is ≥ r.
    /// @dev Selector 0x8dcfb92f.
    error OwnerOutOfRange(uint256 owner);
    /// @notice The number of public words is not the model's.
    /// @dev Selector 0x1b10636a.
    error WordCountMismatch(uint256 expected, uint256 received);
    /// @notice The number of commitments is not the model's.
    /// @dev Selector 0x33474d08.
    error CommitmentCountMismatch(uint256 expected, uint256 received);
    /// @notice The number of proof words is not 10 a slice.
    /// @dev Selector 0x74cfd446.
    error ProofLengthMismatch(uint256 expected, uint256 received);
    /// @notice A public word has bits above those of its digits.
    /// @dev Selector 0x9dc5f143.
    error WordOutOfRange(uint256 index, uint256 word, uint256 maxBits);
    /// @notice A commitment is ≥ r.
    /// @dev Selector 0xf38e4ec8.
    error CommitmentOutOfRange(uint256 index, uint256 commitment);
    /// @notice A proof coordinate (index in `proofs`) is ≥ q.
    /// @dev Selector 0xae32bc57.
    error CoordinateOutOfRange(uint256 index, uint256 coordinate);
    /// @notice A slice without a challenge has no first commitment: C1 must be (0, 0).
    /// @dev Selector 0xed585b28.
    error UnexpectedFirstCommitment(uint256 slice);
    /// @notice A point of the proof (index of its x in `proofs`) is not on the curve.
    /// @dev Selector 0x8be2934e.
    error PointNotOnCurve(uint256 index);
    /// @notice A precompile failed, is missing, or returned the wrong number of bytes: too little gas, or a B outside
    /// the curve or the subgroup.
    /// @dev Selector 0x84e81692.
    error PrecompileFailed();
    /// @notice The pairing product is not one: at least one proof is not valid for this statement.
    /// @dev Selector 0xf363b677.
    error InvalidBundle();
    /// @notice At deployment: this chain's precompile does not do what EIP-196 and EIP-197 say.
    /// @dev Selector 0x9b0128f7.
    error SelfTestFailed(address precompile);

    /// @notice At deployment: there is no code where the registry should be.
    /// @dev Selector 0x540b9601.
    error InvalidRegistry(address registry);

    /// @notice The registry whose blobs are read.
    function registry() external view returns (IModelRegistry);

    /// @notice Checks a bundle of all the model's slices. Returns nothing; reverts unless every proof is valid.
    /// @param modelDigest The model.
    /// @param context Placed in every slice; what binds a proof to its use. Not zero.
    /// @param owner Placed in the slices that read a private input; no other slice reads it.
    /// @param words Words of the public tensors, in tensor order: public inputs, then outputs.
    /// @param commitments Commitments to the private inputs, then to the boundaries, in tensor order.
    /// @param proofs For each slice A (2 words), B (4, as in EIP-197), C1 (2), C2 (2); C1 is (0, 0) without a
    /// challenge.
    function verifyBundle(
        bytes32 modelDigest,
        uint256 context,
        uint256 owner,
        uint256[] calldata words,
        uint256[] calldata commitments,
        uint256[] calldata proofs
    ) external view;
}
