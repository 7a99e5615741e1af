// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {InferenceSubscription} from "./InferenceSubscription.sol";
import {IInferenceSubscription, IInputSource} from "./interfaces/IInferenceSubscription.sol";

/// @title Factory of subscriptions
/// @notice Makes subscriptions and announces them, so that whoever triggers and proves finds them. It has no power over
/// them; a subscription made otherwise is just as good.
contract InferenceSubscriptionFactory {
    /// @notice A subscription was made.
    event SubscriptionCreated(
        address indexed subscription,
        bytes32 indexed modelDigest,
        address indexed owner,
        IInputSource source,
        IInferenceSubscription.Config config
    );

    /// @notice Whether a subscription was made here, and so is known to run the code of `InferenceSubscription`.
    mapping(address subscription => bool) public isSubscription;

    /// @notice Makes a subscription owned by the caller; the ether sent funds it.
    /// @dev The address hangs on caller, salt and configuration, so that it can be funded before, and stays the same
    /// if the chain reorganises.
    function create(IInferenceSubscription.Config calldata config, bytes32 salt)
        external
        payable
        returns (InferenceSubscription subscription)
    {
        // slither-disable-next-line reentrancy-benign,reentrancy-events: its constructor hands on no control.
        subscription = new InferenceSubscription{value: msg.value, salt: keccak256(abi.encode(msg.sender, salt))}(
            config, msg.sender
        );
        isSubscription[address(subscription)] = true;
        emit SubscriptionCreated(address(subscription), config.modelDigest, msg.sender, config.source, config);
    }
}
