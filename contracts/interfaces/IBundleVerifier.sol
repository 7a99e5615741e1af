// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IModelRegistry} from "./IModelRegistry.sol";

/// @title Verifier of bundles
/// @notice Checks the proofs of all slices of one or several inferences of registered models in one pairing call.
/// Everything about a model comes from its registered blob; calldata holds the statements and the proofs only.
/// @dev A bundle of all slices that verifies says: the prover knows an execution of the model on the given public
/// inputs (and on openings of the given commitments) whose outputs are the given words, proven for this context. It
/// does not say where the input came from. A bundle of some slices says that much of each of those slices only, and
/// nothing about the way from input to output.
interface IBundleVerifier {
    /// @notice A statement and its proofs.
    /// @param modelDigest The model.
    /// @param context Placed in every slice; what binds a proof to its use. Not zero.
    /// @param owner Placed in the slices that read a private input; no other slice reads it.
    /// @param coverage Bitmap of the slices proven, slice 0 lowest; 0 stands for all of them, which has no other form.
    /// @param words Words of the public tensors, in tensor order: public inputs, then outputs.
    /// @param commitments Commitments to the private inputs, then to the boundaries, in tensor order.
    /// @param proofs For each slice proven, in order, A (2 words), B (4, as in EIP-197), C1 (2), C2 (2).
    struct Bundle {
        bytes32 modelDigest;
        uint256 context;
        uint256 owner;
        uint256 coverage;
        uint256[] words;
        uint256[] commitments;
        uint256[] proofs;
    }

    /// @notice Calldata is not the one strict encoding of the arguments (offsets, lengths, nothing after the last
    /// array).
    /// @dev Selector 0xf26c0d4b.
    error NonCanonicalCalldata();
    /// @notice The batch has no bundle.
    /// @dev Selector 0xc2e5347d.
    error EmptyBatch();
    /// @notice The context is zero (the off-chain default, never accepted) or ≥ r.
    /// @dev Selector 0xef65aae2.
    error ContextOutOfRange(uint256 bundle, uint256 context);
    /// @notice The owner is ≥ r.
    /// @dev Selector 0x0a60bf90.
    error OwnerOutOfRange(uint256 bundle, uint256 owner);
    /// @notice The coverage names slices that the model has not, or all of them, which is written 0.
    /// @dev Selector 0x71630925.
    error CoverageOutOfRange(uint256 bundle, uint256 coverage, uint256 slices);
    /// @notice The number of public words is not the model's.
    /// @dev Selector 0x08830640.
    error WordCountMismatch(uint256 bundle, uint256 expected, uint256 received);
    /// @notice The number of commitments is not the model's.
    /// @dev Selector 0x0fab4dab.
    error CommitmentCountMismatch(uint256 bundle, uint256 expected, uint256 received);
    /// @notice The number of proof words is not 10 a slice.
    /// @dev Selector 0x577a6722.
    error ProofLengthMismatch(uint256 bundle, uint256 expected, uint256 received);
    /// @notice A public word has bits above those of its digits.
    /// @dev Selector 0xf3533d4e.
    error WordOutOfRange(uint256 bundle, uint256 index, uint256 word, uint256 maxBits);
    /// @notice A commitment is ≥ r.
    /// @dev Selector 0x1c2c028a.
    error CommitmentOutOfRange(uint256 bundle, uint256 index, uint256 commitment);
    /// @notice A proof coordinate (index in `proofs`) is ≥ q.
    /// @dev Selector 0xee3733a1.
    error CoordinateOutOfRange(uint256 bundle, uint256 index, uint256 coordinate);
    /// @notice A point of the proof (index of its x in `proofs`) is not on the curve.
    /// @dev Selector 0xa779cbbb.
    error PointNotOnCurve(uint256 bundle, uint256 index);
    /// @notice A precompile failed, is missing, or returned the wrong number of bytes: too little gas, or a B outside
    /// the curve or the subgroup. `findInvalid` says whose.
    /// @dev Selector 0x84e81692.
    error PrecompileFailed();
    /// @notice The pairing product is not one: at least one proof is not valid for its statement. `findInvalid` says
    /// whose.
    /// @dev Selector 0xf363b677.
    error InvalidBundle();
    /// @notice At deployment: this chain's precompile does not do what EIP-196 and EIP-197 say.
    /// @dev Selector 0x9b0128f7.
    error SelfTestFailed(address precompile);
    /// @notice At deployment: this chain, Bittensor, has the addition of points at 0x09, and at 0x06 what runs calls in
    /// the caller's name. `BundleVerifier0x09` is for it.
    /// @dev Selector 0xd4508881.
    error AdditionIsAt0x09(uint256 chainId);
    /// @notice At deployment: this chain has the addition of points at 0x06, as all but Bittensor (964 and 945) do.
    /// `BundleVerifier` is for it.
    /// @dev Selector 0xc6f4471c.
    error AdditionIsAt0x06(uint256 chainId);
    /// @notice At deployment: there is no code where the registry should be.
    /// @dev Selector 0x540b9601.
    error InvalidRegistry(address registry);

    /// @notice The registry whose blobs are read.
    function registry() external view returns (IModelRegistry);

    /// @notice The only selector under which the registry can add this verifier.
    function selector() external view returns (bytes4);

    /// @notice Checks one bundle. Returns nothing; reverts unless every proof is valid, the model is active, and so is
    /// this verifier: whoever keeps its address is stopped with it.
    function verifyBundle(Bundle calldata bundle) external view;

    /// @notice Checks several bundles in one pairing call. Returns nothing; reverts unless every proof of every bundle
    /// is valid and every model is active, as is this verifier.
    /// @dev Neighbouring bundles of one model share two pairings a slice, neighbouring models of one setup two more:
    /// order by setup, then by model. The verdict does not depend on the order.
    function verifyBatch(Bundle[] calldata bundles) external view;

    /// @notice Indexes of the bundles that do not verify by themselves: all of them where this verifier does not serve.
    /// For `eth_call`: it verifies one by one.
    /// @dev A view's verdict is for people and for relayers to act upon, never for a contract: starved of gas, a good
    /// bundle fails too.
    function findInvalid(Bundle[] calldata bundles) external view returns (uint256[] memory indexes);
}
