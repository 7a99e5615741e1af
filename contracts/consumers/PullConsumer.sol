// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";

/// @title Pull
/// @notice Inherit it if others ask for inferences and bring the results to your contract in calldata. The oracle
/// keeps a hash only; whoever calls brings the request and the words behind it.
/// @dev Anyone can have anything proven. So check, beside what is checked here, that the request is about what your
/// application means: who asked (`requester`), or what about (`request.inputs`).
abstract contract PullConsumer {
    /// @notice The result is of another model than this contract reads.
    /// @dev Selector 0x5e18269c.
    error WrongModel(bytes32 expected, bytes32 received);
    /// @notice The result was proven to another verifier than this contract trusts.
    /// @dev Selector 0x5a447d56.
    error WrongVerifier(bytes4 expected, bytes4 received);
    /// @notice The key was consumed before.
    /// @dev Selector 0x0f50872f.
    error AlreadyConsumed(bytes32 key);

    /// @notice The oracle read.
    IInferenceOracle public immutable oracle;
    /// @notice The only model whose results are read.
    bytes32 public immutable modelDigest;
    /// @notice Selector of the only verifier whose results are read.
    bytes4 public immutable verifier;

    /// @notice What was consumed.
    mapping(bytes32 key => bool) public consumed;

    constructor(IInferenceOracle oracle_, bytes32 modelDigest_, bytes4 verifier_) {
        oracle = oracle_;
        modelDigest = modelDigest_;
        verifier = verifier_;
    }

    /// @notice Reverts unless the request was fulfilled in full with these outputs, of this model by this verifier,
    /// neither of them stopped since, on an input no older than `maxAge` seconds.
    /// @return requestId The request's id. It is no once-only key: the same question can be asked again.
    function _requireResult(
        IInferenceOracle.Request calldata request,
        address requester,
        uint256 nonce,
        uint256[] calldata outputWords,
        uint256 maxAge
    ) internal view returns (bytes32 requestId) {
        if (request.modelDigest != modelDigest) revert WrongModel(modelDigest, request.modelDigest);
        if (request.verifier != verifier) revert WrongVerifier(verifier, request.verifier);
        // A stopped model's or verifier's results stay in the oracle, and may be forged.
        IModelRegistry registry = oracle.registry();
        IModelRegistry.Status status = registry.modelStatus(modelDigest);
        if (status != IModelRegistry.Status.Active) revert IModelRegistry.ModelNotActive(modelDigest, status);
        // slither-disable-next-line unused-return: reverts unless the verifier serves.
        registry.verifierOf(verifier);

        requestId = oracle.requestIdOf(request, requester, nonce);
        oracle.requireOutputs(requestId, outputWords, maxAge);
    }

    /// @notice Uses a key up; reverts if it was used before.
    /// @param key What may count once: `_statementOf` for "each input once", or an id of your own such as a claim's. A
    /// request's id lets the same input count again in another request.
    function _consume(bytes32 key) internal {
        if (consumed[key]) revert AlreadyConsumed(key);
        consumed[key] = true;
    }

    /// @notice Key of what was asked: the model and its inputs, whoever asked and whenever.
    /// @dev Two commitments to one private input differ, so this tells public inputs apart only.
    function _statementOf(IInferenceOracle.Request calldata request) internal pure returns (bytes32) {
        return keccak256(abi.encode(request.modelDigest, request.inputs));
    }
}
