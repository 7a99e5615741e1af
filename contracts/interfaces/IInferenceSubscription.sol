// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "./IInferenceOracle.sol";

/// @title Where a subscription's inputs come from
/// @dev Anyone triggers a run, at a moment of their choice and with as much gas as they choose. So the words must not
/// hang on anything that a caller can move for the length of a transaction, such as the spot price of a pool: use
/// averages over time. Nor may the source go on when a call of its own fails, as it does for lack of gas: let it
/// revert.
interface IInputSource {
    /// @notice The model's input now: packed words of its public inputs, concatenated in graph order.
    function inputWords() external view returns (uint256[] memory);
}

/// @title Subscription to a model
/// @notice Asks the oracle to run one model on the words of one source every so often, for as long as it is funded.
/// The answers are the rounds of the subscription's feed: `oracle.feedIdOf(modelDigest, verifier, subscription)`.
/// @dev That feed is as trustworthy as the source, which is fixed for ever. The owner can stop the runs and take the
/// funds, but cannot choose an input, an answer or, beyond stopping, a moment.
interface IInferenceSubscription {
    /// @notice What is run, on what, when and for how much; nothing of it ever changes.
    /// @param oracle The oracle asked.
    /// @param modelDigest The model run; all its inputs are public.
    /// @param verifier Selector of the verifier that decides.
    /// @param source Where the inputs come from.
    /// @param interval Least seconds from one run to the next.
    /// @param window Seconds that provers have for each run.
    /// @param capacity Number of rounds that the feed keeps.
    /// @param feeToken Currency of the fee; the zero address is ether.
    /// @param fee Paid for each answered run.
    struct Config {
        IInferenceOracle oracle;
        bytes32 modelDigest;
        bytes4 verifier;
        IInputSource source;
        uint32 interval;
        uint32 window;
        uint16 capacity;
        address feeToken;
        uint256 fee;
    }

    /// @notice A run was requested.
    event Triggered(bytes32 indexed requestId, address indexed by, uint64 nextRunAt);
    /// @notice No run will be requested any more.
    event Stopped();
    /// @notice The owner took funds.
    event FundsWithdrawn(address indexed token, address indexed to, uint256 amount);

    /// @notice The interval or the window is zero, or the source has no code.
    /// @dev Selector 0x35be3ac8.
    error InvalidConfig();
    /// @notice The next run is due later.
    /// @dev Selector 0x0f5feab6.
    error NotDue(uint64 nextRunAt, uint256 timestamp);
    /// @notice The subscription does not hold the fee of a run.
    /// @dev Selector 0x2305a7aa.
    error Underfunded(uint256 fee, uint256 balance);
    /// @notice The subscription was stopped.
    /// @dev Selector 0x74ccf536.
    error SubscriptionStopped();

    /// @notice Requests a run on the source's words of now; anyone may, when it is due and funded. Runs that nobody
    /// triggered are not made up for.
    function trigger() external returns (bytes32 requestId);

    /// @notice Takes back into the subscription what the oracle credited to it for unanswered runs; anyone may.
    /// @dev `oracle.refund` first credits them, and anyone may call that too.
    function collect() external;

    /// @notice Stops for ever: no run is requested any more. The owner only.
    function stop() external;

    /// @notice Pays out funds in a token (zero for ether). The owner only.
    function withdraw(address token, address to, uint256 amount) external;

    /// @notice What is run, on what, when and for how much.
    function config() external view returns (Config memory);

    /// @notice Number of words of each input of the model.
    function inputWordCounts() external view returns (uint256[] memory);

    /// @notice The oracle's id of the feed of the answers.
    function feedId() external view returns (bytes32);

    /// @notice Unix time from which the next run can be triggered.
    function nextRunAt() external view returns (uint64);

    /// @notice Whether the subscription was stopped.
    function stopped() external view returns (bool);

    /// @notice Whether a run is due, funded and not stopped. The oracle or the source may refuse it all the same.
    function canTrigger() external view returns (bool);
}
