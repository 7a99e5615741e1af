// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IInferenceConsumer, IPartialInferenceConsumer} from "../../../contracts/interfaces/IInferenceConsumer.sol";
import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";

/// @notice Records what it is called with, and how much gas it gets.
contract RecordingConsumer is IInferenceConsumer {
    address public caller;
    bytes32 public requestId;
    bytes32 public modelDigest;
    uint256[] public words;
    uint256 public gasAtStart;

    function onInference(bytes32 requestId_, bytes32 modelDigest_, uint256[] calldata words_) external {
        gasAtStart = gasleft();
        (caller, requestId, modelDigest, words) = (msg.sender, requestId_, modelDigest_, words_);
    }
}

/// @notice Takes both kinds of results, and counts them.
contract PartialConsumer is IInferenceConsumer, IPartialInferenceConsumer {
    uint256 public fullCalls;
    uint256 public partialCalls;
    uint256 public coverage;
    uint256 public word;
    bool public refuses;

    error Refused();

    function setRefuses(bool refuses_) external {
        refuses = refuses_;
    }

    function onInference(bytes32, bytes32, uint256[] calldata words_) external {
        if (refuses) revert Refused();
        ++fullCalls;
        word = words_[0];
    }

    function onPartialInference(bytes32, bytes32, uint256 coverage_, uint256[] calldata words_) external {
        if (refuses) revert Refused();
        ++partialCalls;
        (coverage, word) = (coverage_, words_[0]);
    }
}

contract RevertingConsumer is IInferenceConsumer {
    error No(uint256 a, uint256 b, uint256 c, uint256 d, uint256 e);

    function onInference(bytes32, bytes32, uint256[] calldata) external pure {
        revert No(1, 2, 3, 4, 5);
    }
}

/// @notice Refuses until it is opened, and counts.
contract PausedConsumer is IInferenceConsumer {
    error Paused();

    bool public open;
    uint256 public calls;
    uint256 public word;

    function unpause() external {
        open = true;
    }

    function onInference(bytes32, bytes32, uint256[] calldata words_) external {
        if (!open) revert Paused();
        ++calls;
        word = words_[0];
    }
}

contract GasBurningConsumer is IInferenceConsumer {
    function onInference(bytes32, bytes32, uint256[] calldata) external pure {
        while (true) {}
    }
}

/// @notice Returns, or reverts with, a megabyte.
contract BombConsumer is IInferenceConsumer {
    bool private immutable _reverts;

    constructor(bool reverts) {
        _reverts = reverts;
    }

    function onInference(bytes32, bytes32, uint256[] calldata) external view {
        bool reverts = _reverts;
        assembly {
            if reverts { revert(0, 1000000) }
            return(0, 1000000)
        }
    }
}

/// @notice Does something to the oracle when called back, and lets its failure through or not.
contract ReenteringConsumer is IInferenceConsumer {
    bytes public action;
    bytes public outcome;
    bool public succeeded;
    uint256 public value;

    function set(bytes calldata action_, uint256 value_) external payable {
        action = action_;
        value = value_;
    }

    function onInference(bytes32, bytes32, uint256[] calldata) external {
        (succeeded, outcome) = msg.sender.call{value: value}(action);
    }

    receive() external payable {}
}

/// @notice Has credits; when it is paid, it calls back into the oracle.
contract GreedyReceiver {
    IInferenceOracle private immutable _oracle;
    uint256 public received;

    constructor(IInferenceOracle oracle) {
        _oracle = oracle;
    }

    function withdraw() external {
        _oracle.withdraw(address(0), address(this));
    }

    receive() external payable {
        ++received;
        try _oracle.withdraw(address(0), address(this)) {} catch {}
    }
}

contract RefusingReceiver {
    function withdraw(IInferenceOracle oracle, address to) external {
        oracle.withdraw(address(0), to);
    }
}

/// @notice Signs by a flag (EIP-1271).
contract ContractSource is IERC1271 {
    bytes32 public signed;

    function sign(bytes32 hash) external {
        signed = hash;
    }

    function openFeed(
        IInferenceOracle oracle,
        bytes32 modelDigest,
        bytes4 verifier,
        uint16 capacity,
        uint32 publishWindow
    ) external {
        oracle.openFeed(modelDigest, verifier, capacity, publishWindow);
    }

    function isValidSignature(bytes32 hash, bytes calldata) external view returns (bytes4) {
        return hash == signed ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}
