// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IWeightBoard} from "./interfaces/IWeightBoard.sol";

/// @title Board of weights
/// @notice See `IWeightBoard`.
/// @dev No call goes through all uids or to another contract. What somebody pays grows with the weights that it gives, and
/// with its own commits, of which it has at most ten.
contract WeightBoard is IWeightBoard, Ownable2Step {
    /// @dev What a share of everything is.
    uint256 private constant WHOLE = type(uint16).max;
    uint256 private constant MAX_UNREVEALED = 10;

    uint16 private immutable _netuid;
    uint16 private immutable _tempo;
    uint16 private immutable _minWeights;
    uint16 private immutable _maxWeight;
    bool private immutable _commitReveal;
    uint64 private immutable _revealPeriod;
    uint64 private immutable _rateLimit;
    uint64 private immutable _versionKey;

    struct Neuron {
        address who;
        uint64 lastUpdate;
        bool permit;
    }

    /// @dev Commits of one address, by a number that counts up: those from `first` to before `next` are not revealed.
    struct Queue {
        uint64 first;
        uint64 next;
        mapping(uint256 number => Commit) commits;
    }

    Neuron[] private _neurons;
    mapping(address who => uint256) private _uidAndOne;
    mapping(address who => Queue) private _queues;
    /// @dev uid · 2^16 + value each: eight weights in a slot.
    mapping(uint256 uid => uint32[]) private _weights;

    constructor(address initialOwner, Parameters memory parameters) Ownable(initialOwner) {
        // A reveal in the epoch of its commit would hide nothing.
        if (parameters.tempo == 0 || parameters.revealPeriod == 0 || parameters.maxWeight == 0) {
            revert InvalidParameters();
        }
        _netuid = parameters.netuid;
        _tempo = parameters.tempo;
        _minWeights = parameters.minWeights;
        _maxWeight = parameters.maxWeight;
        _commitReveal = parameters.commitReveal;
        _revealPeriod = parameters.revealPeriod;
        _rateLimit = parameters.rateLimit;
        _versionKey = parameters.versionKey;
    }

    modifier onSubnet(uint16 netuid) {
        _requireSubnet(netuid);
        _;
    }

    // ------------------------------------------------------------------------------------------------ registering

    /// @inheritdoc IWeightBoard
    function register(address who) external onlyOwner returns (uint16 uid) {
        if (who == address(0)) revert InvalidNeuron();
        uint256 known = _uidAndOne[who];
        if (known != 0) revert NeuronAlreadyRegistered(who, uint16(known - 1));
        uint256 count = _neurons.length;
        if (count == type(uint16).max) revert TooManyUids();
        uid = uint16(count);
        _uidAndOne[who] = count + 1;
        _neurons.push(Neuron({who: who, lastUpdate: 0, permit: false}));
        emit NeuronRegistered(uid, who);
    }

    /// @inheritdoc IWeightBoard
    function setPermit(uint16 uid, bool permit) external onlyOwner {
        _neuronAt(uid).permit = permit;
        emit PermitSet(uid, permit);
    }

    /// @notice Always reverts.
    function renounceOwnership() public view override onlyOwner {
        revert OwnershipCannotBeRenounced();
    }

    // ------------------------------------------------------------------------------------------------ weights

    /// @inheritdoc IWeightBoard
    function setWeights(uint16 netuid, uint16[] calldata uids, uint16[] calldata values, uint64 versionKey) external {
        if (_commitReveal) revert CommitRevealEnabled();
        _setWeights(netuid, uids, values, versionKey);
    }

    /// @inheritdoc IWeightBoard
    function commitWeights(uint16 netuid, bytes32 commitHash) external onSubnet(netuid) {
        if (!_commitReveal) revert CommitRevealDisabled();
        uint16 uid = uidOf(msg.sender);
        Neuron storage neuron = _neurons[uid];
        uint256 fromBlock = _nextUpdateOf(neuron);
        if (block.number < fromBlock) revert CommittingWeightsTooFast(fromBlock);

        Queue storage queue = _queues[msg.sender];
        (uint64 first, uint64 next) = (queue.first, queue.next);
        uint256 epoch = _epochOf(block.number);
        while (first < next && epoch > _dueEpochOf(queue.commits[first])) {
            delete queue.commits[first];
            ++first;
        }
        if (next - first == MAX_UNREVEALED) revert TooManyUnrevealedCommits();
        queue.commits[next] = Commit({commitHash: commitHash, blockNumber: blockNumber()});
        (queue.first, queue.next) = (first, next + 1);
        neuron.lastUpdate = blockNumber();
        emit WeightsCommitted(uid, commitHash);
    }

    /// @inheritdoc IWeightBoard
    function revealWeights(
        uint16 netuid,
        uint16[] calldata uids,
        uint16[] calldata values,
        uint16[] calldata salt,
        uint64 versionKey
    ) external onSubnet(netuid) {
        if (!_commitReveal) revert CommitRevealDisabled();
        bytes32 commitHash = commitHashOf(msg.sender, uids, values, salt, versionKey);
        _takeCommit(commitHash);
        emit WeightsRevealed(_setWeights(netuid, uids, values, versionKey), commitHash);
    }

    /// @dev Removes a commit of the caller that is to be revealed now, and all before it.
    function _takeCommit(bytes32 commitHash) private {
        Queue storage queue = _queues[msg.sender];
        (uint64 first, uint64 next) = (queue.first, queue.next);
        uint256 epoch = _epochOf(block.number);
        bool isExpired = false;
        bool isOneOpen = false;
        for (uint64 i = first; i < next; ++i) {
            Commit storage entry = queue.commits[i];
            bool isThis = entry.commitHash == commitHash;
            uint256 due = _dueEpochOf(entry);
            if (epoch > due) {
                isExpired = isExpired || isThis;
                continue;
            }
            isOneOpen = true;
            if (!isThis) continue;
            if (epoch < due) revert RevealTooEarly(due * (uint256(_tempo) + 1) - _netuid - 1);
            for (uint64 j = first; j <= i; ++j) {
                delete queue.commits[j];
            }
            queue.first = i + 1;
            return;
        }
        if (isExpired) revert ExpiredWeightCommit();
        if (!isOneOpen) revert NoWeightsCommitFound();
        revert InvalidRevealCommitHashNotMatch();
    }

    function _setWeights(uint16 netuid, uint16[] calldata uids, uint16[] calldata values, uint64 versionKey)
        private
        returns (uint16 uid)
    {
        if (uids.length != values.length) revert WeightVecNotEqualSize(uids.length, values.length);
        _requireSubnet(netuid);
        uint256 count = _neurons.length;
        if (uids.length > count) revert UidsLengthExceedUidsInSubNet(uids.length, count);
        uid = uidOf(msg.sender);
        Neuron storage neuron = _neurons[uid];
        if (versionKey < _versionKey) revert IncorrectWeightVersionKey(versionKey, _versionKey);
        if (!_commitReveal) {
            uint256 fromBlock = _nextUpdateOf(neuron);
            if (block.number < fromBlock) revert SettingWeightsTooFast(fromBlock);
        }
        if (!neuron.permit) revert NeuronNoValidatorPermit(uid);
        _requireDistinct(uids);
        uint256 least = count < _minWeights ? count : _minWeights;
        uint32[] memory weights = new uint32[](uids.length);
        uint256 sum = 0;
        uint16 largest = 0;
        for (uint256 i = 0; i < uids.length; ++i) {
            (uint16 to, uint16 value) = (uids[i], values[i]);
            if (to >= count) revert UidVecContainInvalidOne(to);
            if (value > largest) largest = value;
            sum += value;
            weights[i] = (uint32(to) << 16) | value;
        }
        if (uids.length < least) revert WeightVecLengthIsLow(uids.length, least);
        if (largest * WHOLE > _maxWeight * sum) revert MaxWeightExceeded(largest, sum);

        _weights[uid] = weights;
        if (!_commitReveal) neuron.lastUpdate = blockNumber();
        emit WeightsSet(uid);
    }

    function _requireDistinct(uint16[] calldata uids) private pure {
        // A bit for each uid that there can be.
        uint256[256] memory seen;
        for (uint256 i = 0; i < uids.length; ++i) {
            uint16 uid = uids[i];
            uint256 bit = 1 << (uid & 0xff);
            if (seen[uid >> 8] & bit != 0) revert DuplicateUids(uid);
            seen[uid >> 8] |= bit;
        }
    }

    // ------------------------------------------------------------------------------------------------ reading

    /// @inheritdoc IWeightBoard
    function commitHashOf(
        address who,
        uint16[] calldata uids,
        uint16[] calldata values,
        uint16[] calldata salt,
        uint64 versionKey
    ) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, this, who, _netuid, uids, values, salt, versionKey));
    }

    /// @inheritdoc IWeightBoard
    function commitsOf(address who) external view returns (Commit[] memory commits) {
        Queue storage queue = _queues[who];
        uint256 first = queue.first;
        commits = new Commit[](queue.next - first);
        for (uint256 i = 0; i < commits.length; ++i) {
            commits[i] = queue.commits[first + i];
        }
    }

    /// @inheritdoc IWeightBoard
    function weightsOf(uint16 uid) external view returns (uint16[] memory uids, uint16[] memory values) {
        uint32[] memory weights = _weights[uid];
        uids = new uint16[](weights.length);
        values = new uint16[](weights.length);
        for (uint256 i = 0; i < weights.length; ++i) {
            (uids[i], values[i]) = (uint16(weights[i] >> 16), uint16(weights[i]));
        }
    }

    /// @inheritdoc IWeightBoard
    function uidOf(address who) public view returns (uint16) {
        uint256 uidAndOne = _uidAndOne[who];
        // slither-disable-next-line incorrect-equality: 0 is what was never written.
        if (uidAndOne == 0) revert HotKeyNotRegisteredInSubNet(who);
        return uint16(uidAndOne - 1);
    }

    /// @inheritdoc IWeightBoard
    function subnet() external view returns (uint16) {
        return _netuid;
    }

    /// @inheritdoc IWeightBoard
    function blockNumber() public view returns (uint64) {
        return SafeCast.toUint64(block.number);
    }

    /// @inheritdoc IWeightBoard
    function getUidCount(uint16 netuid) external view onSubnet(netuid) returns (uint16) {
        return uint16(_neurons.length);
    }

    /// @inheritdoc IWeightBoard
    function getHotkey(uint16 netuid, uint16 uid) external view onSubnet(netuid) returns (bytes32) {
        return bytes32(uint256(uint160(_neuronAt(uid).who)));
    }

    /// @inheritdoc IWeightBoard
    function getValidatorStatus(uint16 netuid, uint16 uid) external view onSubnet(netuid) returns (bool) {
        return _neuronAt(uid).permit;
    }

    /// @inheritdoc IWeightBoard
    function getLastUpdate(uint16 netuid, uint16 uid) external view onSubnet(netuid) returns (uint64) {
        return _neuronAt(uid).lastUpdate;
    }

    /// @inheritdoc IWeightBoard
    function getTempo(uint16 netuid) external view onSubnet(netuid) returns (uint16) {
        return _tempo;
    }

    /// @inheritdoc IWeightBoard
    function getMinAllowedWeights(uint16 netuid) external view onSubnet(netuid) returns (uint16) {
        return _minWeights;
    }

    /// @inheritdoc IWeightBoard
    function getMaxWeightLimit(uint16 netuid) external view onSubnet(netuid) returns (uint16) {
        return _maxWeight;
    }

    /// @inheritdoc IWeightBoard
    function getCommitRevealWeightsEnabled(uint16 netuid) external view onSubnet(netuid) returns (bool) {
        return _commitReveal;
    }

    /// @inheritdoc IWeightBoard
    function getCommitRevealWeightsInterval(uint16 netuid) external view onSubnet(netuid) returns (uint64) {
        return _revealPeriod;
    }

    /// @inheritdoc IWeightBoard
    function getWeightsSetRateLimit(uint16 netuid) external view onSubnet(netuid) returns (uint64) {
        return _rateLimit;
    }

    /// @inheritdoc IWeightBoard
    function getWeightsVersionKey(uint16 netuid) external view onSubnet(netuid) returns (uint64) {
        return _versionKey;
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function _requireSubnet(uint16 netuid) private view {
        if (netuid != _netuid) revert SubNetworkDoesNotExist(netuid);
    }

    function _neuronAt(uint16 uid) private view returns (Neuron storage) {
        if (uid >= _neurons.length) revert UidVecContainInvalidOne(uid);
        return _neurons[uid];
    }

    /// @dev First block in which a neuron may commit or, without commits, set weights.
    function _nextUpdateOf(Neuron storage neuron) private view returns (uint256) {
        uint256 last = neuron.lastUpdate;
        // slither-disable-next-line incorrect-equality: 0 is what was never written.
        return last == 0 ? 0 : last + _rateLimit;
    }

    function _dueEpochOf(Commit storage entry) private view returns (uint256) {
        return _epochOf(entry.blockNumber) + _revealPeriod;
    }

    function _epochOf(uint256 number) private view returns (uint256) {
        return (number + _netuid + 1) / (uint256(_tempo) + 1);
    }
}
