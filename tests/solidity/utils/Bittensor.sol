// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// @notice Stands in for Bittensor's precompile of neurons (0x804) on a local chain, and keeps what those of the metagraph and
/// of subnets answer with. One subnet, 7; the checks in the chain's order, epochs by block number, commits by BLAKE2b-256
/// over the SCALE encoding. A refusal is the text of the chain's error, as a reason: a contract has no other way to say it.
contract BittensorNeuron {
    uint16 private constant NETUID = 7;

    struct Rules {
        uint16 tempo;
        uint16 minWeights;
        uint16 maxWeight;
        bool commitReveal;
        uint64 revealPeriod;
        uint64 rateLimit;
        uint64 versionKey;
        uint64 minStake;
    }

    struct Neuron {
        bytes32 hotkey;
        uint64 lastUpdate;
        uint64 stake;
        bool permit;
    }

    struct Commit {
        bytes32 hash;
        uint64 number;
    }

    // The first slot is that of `BittensorReads`, too.
    bool private _disabled;
    Rules private _rules;
    Neuron[] private _neurons;
    mapping(bytes32 hotkey => uint256) private _uidAndOne;
    mapping(bytes32 hotkey => Commit[]) private _commits;
    mapping(uint16 uid => uint16[]) private _uids;
    mapping(uint16 uid => uint16[]) private _values;

    modifier enabled() {
        require(!_disabled, "Precompile Neuron is disabled");
        _;
    }

    // ------------------------------------------------------------------------------------------------ for tests alone

    function disable(bool disabled) external {
        _disabled = disabled;
    }

    function setRules(Rules calldata rules) external {
        _rules = rules;
    }

    /// Registers accounts, by their mirrors, as validators or as miners.
    function add(address[] calldata who, bool permit) external {
        for (uint256 i = 0; i < who.length; ++i) {
            _neurons.push(Neuron({hotkey: mirrorOf(who[i]), lastUpdate: 0, stake: 1000, permit: permit}));
            _uidAndOne[mirrorOf(who[i])] = _neurons.length;
        }
    }

    /// Another has the uid from now on.
    function replace(uint16 uid, address who) external {
        _uidAndOne[_neurons[uid].hotkey] = 0;
        _uidAndOne[mirrorOf(who)] = uint256(uid) + 1;
        _neurons[uid] = Neuron({hotkey: mirrorOf(who), lastUpdate: 0, stake: 1000, permit: false});
    }

    function setNeuron(uint16 uid, bool permit, uint64 stake) external {
        (_neurons[uid].permit, _neurons[uid].stake) = (permit, stake);
    }

    function weightsOf(uint16 uid) external view returns (uint16[] memory, uint16[] memory) {
        return (_uids[uid], _values[uid]);
    }

    function commitCountOf(address who) external view returns (uint256) {
        return _commits[mirrorOf(who)].length;
    }

    function mirrorOf(address who) public view returns (bytes32) {
        return blake2(abi.encodePacked("evm:", who));
    }

    // ------------------------------------------------------------------------------------------------ 0x804

    function setWeights(uint16 netuid, uint16[] memory uids, uint16[] memory values, uint64 versionKey)
        external
        payable
        enabled
    {
        _check(!_rules.commitReveal, "CommitRevealEnabled");
        _set(mirrorOf(msg.sender), netuid, uids, values, versionKey);
    }

    function commitWeights(uint16 netuid, bytes32 hash) external payable enabled {
        bytes32 who = mirrorOf(msg.sender);
        _check(_rules.commitReveal, "CommitRevealDisabled");
        _check(netuid == NETUID && _uidAndOne[who] != 0, "HotKeyNotRegisteredInSubNet");
        Neuron storage neuron = _neurons[_uidAndOne[who] - 1];
        _check(_isSlow(neuron), "CommittingWeightsTooFast");
        _dropExpired(who);
        _check(_commits[who].length < 10, "TooManyUnrevealedCommits");
        _commits[who].push(Commit({hash: hash, number: uint64(block.number)}));
        neuron.lastUpdate = uint64(block.number);
    }

    function revealWeights(
        uint16 netuid,
        uint16[] memory uids,
        uint16[] memory values,
        uint16[] memory salt,
        uint64 versionKey
    ) external payable enabled {
        bytes32 who = mirrorOf(msg.sender);
        _check(_rules.commitReveal, "CommitRevealDisabled");
        Commit[] storage commits = _commits[who];
        _check(commits.length != 0, "NoWeightsCommitFound");
        bytes32 hash = hashOf(who, netuid, uids, values, salt, versionKey);
        bool isExpired = false;
        for (uint256 i = 0; i < commits.length; ++i) {
            isExpired = isExpired || (commits[i].hash == hash && _isExpired(commits[i]));
        }
        _dropExpired(who);
        uint256 at = 0;
        while (at < commits.length && commits[at].hash != hash) ++at;
        if (at == commits.length) {
            _check(!isExpired, "ExpiredWeightCommit");
            _check(commits.length != 0, "NoWeightsCommitFound");
            _check(false, "InvalidRevealCommitHashNotMatch");
        }
        _check(_epochOf(block.number) == _epochOf(commits[at].number) + _rules.revealPeriod, "RevealTooEarly");
        _dropFirst(who, at + 1);
        _set(who, netuid, uids, values, versionKey);
    }

    function _set(bytes32 who, uint16 netuid, uint16[] memory uids, uint16[] memory values, uint64 versionKey) private {
        _check(uids.length == values.length, "WeightVecNotEqualSize");
        _check(netuid == NETUID, "SubNetworkDoesNotExist");
        uint256 count = _neurons.length;
        _check(uids.length <= count, "UidsLengthExceedUidsInSubNet");
        _check(_uidAndOne[who] != 0, "HotKeyNotRegisteredInSubNet");
        uint16 uid = uint16(_uidAndOne[who] - 1);
        Neuron storage neuron = _neurons[uid];
        _check(neuron.stake >= _rules.minStake, "NotEnoughStakeToSetWeights");
        _check(versionKey >= _rules.versionKey, "IncorrectWeightVersionKey");
        _check(_rules.commitReveal || _isSlow(neuron), "SettingWeightsTooFast");
        bool isOwn = uids.length == 1 && uids[0] == uid;
        _check(isOwn || neuron.permit, "NeuronNoValidatorPermit");
        uint256[256] memory seen;
        for (uint256 i = 0; i < uids.length; ++i) {
            uint256 bit = 1 << (uids[i] % 256);
            _check(seen[uids[i] / 256] & bit == 0, "DuplicateUids");
            seen[uids[i] / 256] |= bit;
        }
        uint256 largest = 0;
        for (uint256 i = 0; i < uids.length; ++i) {
            _check(uids[i] < count, "UidVecContainInvalidOne");
            if (values[i] > largest) largest = values[i];
        }
        uint256 least = count < _rules.minWeights ? count : _rules.minWeights;
        _check(isOwn || uids.length >= least, "WeightVecLengthIsLow");
        uint256 sum = 0;
        for (uint256 i = 0; largest != 0 && i < uids.length; ++i) {
            values[i] = uint16((uint256(values[i]) * 65_535 + largest / 2) / largest);
            sum += values[i];
        }
        bool isAny = _rules.maxWeight == 65_535;
        _check(isOwn || isAny || sum == 0 || 65_535 * 65_535 <= _rules.maxWeight * sum, "MaxWeightExceeded");
        (_uids[uid], _values[uid]) = (uids, values);
        if (!_rules.commitReveal) neuron.lastUpdate = uint64(block.number);
    }

    function _isSlow(Neuron storage neuron) private view returns (bool) {
        return neuron.lastUpdate == 0 || block.number - neuron.lastUpdate >= _rules.rateLimit;
    }

    function _isExpired(Commit storage commit) private view returns (bool) {
        return _epochOf(block.number) > _epochOf(commit.number) + _rules.revealPeriod;
    }

    function _dropExpired(bytes32 who) private {
        Commit[] storage commits = _commits[who];
        uint256 count = 0;
        while (count < commits.length && _isExpired(commits[count])) ++count;
        _dropFirst(who, count);
    }

    function _dropFirst(bytes32 who, uint256 count) private {
        Commit[] storage commits = _commits[who];
        for (uint256 i = count; i < commits.length; ++i) {
            commits[i - count] = commits[i];
        }
        for (uint256 i = 0; i < count; ++i) {
            commits.pop();
        }
    }

    function _epochOf(uint256 number) private view returns (uint256) {
        return (number + NETUID + 1) / (uint256(_rules.tempo) + 1);
    }

    function _check(bool holds, string memory name) private pure {
        if (!holds) revert(string.concat("dispatch execution failed: ", name));
    }

    // ------------------------------------------------------------------------------------------------ 0x802, 0x803

    function getUidCount(uint16) external view returns (uint16) {
        return uint16(_neurons.length);
    }

    function getHotkey(uint16, uint16 uid) external view returns (bytes32) {
        return _neurons[uid].hotkey;
    }

    function getValidatorStatus(uint16, uint16 uid) external view returns (bool) {
        return _neurons[uid].permit;
    }

    function getLastUpdate(uint16, uint16 uid) external view returns (uint64) {
        return _neurons[uid].lastUpdate;
    }

    function getCommitRevealWeightsEnabled(uint16) external view returns (bool) {
        return _rules.commitReveal;
    }

    function getCommitRevealWeightsInterval(uint16) external view returns (uint64) {
        return _rules.revealPeriod;
    }

    function getWeightsSetRateLimit(uint16) external view returns (uint64) {
        return _rules.rateLimit;
    }

    function getWeightsVersionKey(uint16) external view returns (uint64) {
        return _rules.versionKey;
    }

    function getMinAllowedWeights(uint16) external view returns (uint16) {
        return _rules.minWeights;
    }

    function getMaxWeightLimit(uint16) external view returns (uint16) {
        return _rules.maxWeight;
    }

    // ------------------------------------------------------------------------------------------------ SCALE, BLAKE2b

    function hashOf(
        bytes32 who,
        uint16 netuid,
        uint16[] memory uids,
        uint16[] memory values,
        uint16[] memory salt,
        uint64 versionKey
    ) public view returns (bytes32) {
        bytes memory lists = abi.encodePacked(_scale(uids), _scale(values), _scale(salt));
        return blake2(abi.encodePacked(who, _little(netuid, 2), lists, _little(versionKey, 8)));
    }

    function _scale(uint16[] memory list) private pure returns (bytes memory encoded) {
        uint256 length = list.length;
        if (length < 64) encoded = _little(length << 2, 1);
        else if (length < 1 << 14) encoded = _little((length << 2) | 1, 2);
        else encoded = _little((length << 2) | 2, 4);
        bytes memory elements = new bytes(2 * length);
        for (uint256 i = 0; i < length; ++i) {
            elements[2 * i] = bytes1(uint8(list[i]));
            elements[2 * i + 1] = bytes1(uint8(list[i] >> 8));
        }
        return abi.encodePacked(encoded, elements);
    }

    function _little(uint256 value, uint256 length) private pure returns (bytes memory encoded) {
        encoded = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            encoded[i] = bytes1(uint8(value >> (8 * i)));
        }
    }

    /// BLAKE2b with 32 bytes of output, by the precompile of its compression (EIP-152).
    function blake2(bytes memory data) public view returns (bytes32) {
        bytes memory state = hex"28c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5"
            hex"d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b";
        uint256 blocks = data.length <= 128 ? 1 : (data.length + 127) / 128;
        for (uint256 i = 0; i < blocks; ++i) {
            bool isLast = i + 1 == blocks;
            uint256 read = isLast ? data.length : 128 * (i + 1);
            bytes memory chunk = new bytes(128);
            for (uint256 j = 128 * i; j < read; ++j) {
                chunk[j - 128 * i] = data[j];
            }
            bytes memory input = abi.encodePacked(uint32(12), state, chunk, _little(read, 16), isLast);
            bool done;
            (done, state) = address(9).staticcall(input);
            require(done && state.length == 64, "no BLAKE2 precompile");
        }
        return bytes32(state);
    }
}

/// @notice Stands in for the precompiles of the metagraph (0x802) and of subnets (0x803): what 0x804 keeps, read by itself.
contract BittensorReads {
    bool private _disabled;

    function disable(bool disabled) external {
        _disabled = disabled;
    }

    fallback() external {
        require(!_disabled, "Precompile Subnet is disabled");
        (bool done, bytes memory answer) = address(0x804).staticcall(msg.data);
        assembly ("memory-safe") {
            if iszero(done) { revert(add(answer, 0x20), mload(answer)) }
            return(add(answer, 0x20), mload(answer))
        }
    }
}
