// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

/// @title Request and callback
/// @notice Inherit it if your contract asks for an inference itself and acts on the answer when it comes. Each request
/// is answered at most once, by the callback or by `deliver`, or closed after its refund.
/// @dev If others ask and you act on their results, see `PullConsumer`; for numbers that are kept current, see
/// `FeedConsumer`.
abstract contract InferenceConsumer is IInferenceConsumer {
    using SafeERC20 for IERC20;

    /// @notice The caller is not the oracle.
    /// @dev Selector 0xdf4f8240.
    error NotOracle(address caller);
    /// @notice The request is not one of this contract's, or was answered or closed already.
    /// @dev Selector 0x7bbe34c9.
    error UnknownRequest(bytes32 requestId);
    /// @notice The request was not refunded.
    /// @dev Selector 0x9ec38214.
    error NotRefunded(bytes32 requestId, IInferenceOracle.Status status);

    /// @notice The oracle asked.
    IInferenceOracle public immutable oracle;

    /// @notice Whether a request waits for its answer.
    mapping(bytes32 requestId => bool) public pending;

    constructor(IInferenceOracle oracle_) {
        oracle = oracle_;
    }

    /// @inheritdoc IInferenceConsumer
    function onInference(bytes32 requestId, bytes32, uint256[] calldata outputWords) external {
        if (msg.sender != address(oracle)) revert NotOracle(msg.sender);
        _answer(requestId, outputWords);
    }

    /// @notice Hands over the stored result of a request whose callback failed; anyone may.
    /// @dev The way out if the callback gas proves too low: the oracle's retry gives the same gas again.
    /// @param outputWords Words of all outputs, from the oracle's `InferenceFulfilled`.
    function deliver(bytes32 requestId, uint256[] calldata outputWords) external {
        oracle.requireOutputs(requestId, outputWords, type(uint256).max);
        _answer(requestId, outputWords);
    }

    /// @notice Closes a request that the oracle refunded; anyone may.
    function closeRefunded(bytes32 requestId) external {
        if (!pending[requestId]) revert UnknownRequest(requestId);
        IInferenceOracle.Status status = oracle.status(requestId);
        if (status != IInferenceOracle.Status.Refunded) revert NotRefunded(requestId, status);
        delete pending[requestId];
        _onRefund(requestId);
    }

    /// @notice What the application does with an answer, once for each request.
    /// @dev A proof says that the model answers so on this input, not that the input is true: ask only about inputs
    /// whose origin you know. If this reverts, anyone may try again until it does not, even once the model was
    /// stopped: if answers can come late here, ask `oracle.registry()` for the model's state. Give `callbackGas` for
    /// its worst case and 10,000 more.
    function _onInference(bytes32 requestId, uint256[] calldata outputWords) internal virtual;

    /// @notice What the application does when nobody answered in time. The fee is in the oracle, to be collected.
    /// @dev Silence is no answer. Whoever chose the input may have seen to it that there is none, so treat it as "no",
    /// never as approval.
    function _onRefund(bytes32 requestId) internal virtual {}

    /// @notice Makes a request of full coverage that calls back here, and pays its fee from this contract's ether or
    /// tokens.
    /// @param request What is asked for; `callback` and `minCoverage` are set here.
    /// @param words Words of the public inputs, concatenated in graph order.
    function _request(IInferenceOracle.Request memory request, uint256[] memory words)
        internal
        returns (bytes32 requestId)
    {
        request.callback = address(this);
        request.minCoverage = 0;
        uint256 value = request.fee;
        if (request.feeToken != address(0)) {
            IERC20(request.feeToken).forceApprove(address(oracle), request.fee);
            value = 0;
        }
        // slither-disable-next-line reentrancy-benign: the id comes from the trusted oracle.
        requestId = oracle.request{value: value}(request, words);
        pending[requestId] = true;
    }

    /// @notice Pays all that the oracle holds for this contract in a token (zero for ether) to `to`.
    function _collectRefunds(address token, address to) internal {
        oracle.withdraw(token, to);
    }

    function _answer(bytes32 requestId, uint256[] calldata outputWords) private {
        if (!pending[requestId]) revert UnknownRequest(requestId);
        delete pending[requestId];
        _onInference(requestId, outputWords);
    }
}
