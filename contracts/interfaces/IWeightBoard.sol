// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// @title Weights that validators give to miners, for any EVM chain
/// @notice Bittensor's chains have precompiles for weights: 0x804 takes them, 0x802 and 0x803 say who is registered and what
/// the rules are. This is one subnet with the same functions, rules, order of checks and names of errors, so that a
/// validator does the same on both.
///
/// Who is registered has a uid, counted from 0, for ever: weights name uids, and no uid ever becomes somebody else. A
/// validator, who has a permit, gives weights in two acts. It commits to their hash, and reveals them in exactly the epoch
/// that is `revealPeriod` epochs after that of the commit: so nobody can copy weights before they are out of date. An epoch
/// is `tempo + 1` blocks; block b is of epoch (b + netuid + 1) / (tempo + 1).
/// @dev The owner registers and permits; it may be a contract that asks for a bond. It cannot write, change or delete
/// weights or commits, nor change a rule.
interface IWeightBoard {
    /// @notice The rules; none ever changes.
    /// @param netuid Number of the subnet that every call has to name. It shifts epochs.
    /// @param tempo Blocks of an epoch, less one.
    /// @param minWeights Least number of weights, or as many as there are uids if these are fewer.
    /// @param maxWeight The largest share of one uid in the sum of weights, in parts of 65,535.
    /// @param commitReveal Whether weights are committed to first. If not, they are set at once.
    /// @param revealPeriod Epochs from commit to reveal.
    /// @param rateLimit Least blocks from one commit to the next or, without commits, from one set of weights to the next.
    /// @param versionKey Least version that weights have to state.
    struct Parameters {
        uint16 netuid;
        uint16 tempo;
        uint16 minWeights;
        uint16 maxWeight;
        bool commitReveal;
        uint64 revealPeriod;
        uint64 rateLimit;
        uint64 versionKey;
    }

    /// @notice A commit that is not revealed.
    struct Commit {
        bytes32 commitHash;
        uint64 blockNumber;
    }

    /// @notice An address has got a uid.
    event NeuronRegistered(uint16 indexed uid, address indexed who);
    /// @notice A uid may set weights from now on, or may not.
    event PermitSet(uint16 indexed uid, bool permit);
    /// @notice A uid committed to weights.
    event WeightsCommitted(uint16 indexed uid, bytes32 commitHash);
    /// @notice A uid revealed what it had committed to.
    event WeightsRevealed(uint16 indexed uid, bytes32 commitHash);
    /// @notice A uid has new weights.
    event WeightsSet(uint16 indexed uid);

    /// @notice The epoch, the reveal period or the largest share is zero.
    /// @dev Selector 0xe5239090.
    error InvalidParameters();
    /// @notice The zero address cannot be registered.
    /// @dev Selector 0x777ef61f.
    error InvalidNeuron();
    /// @notice The address has a uid.
    /// @dev Selector 0x6f9138c2.
    error NeuronAlreadyRegistered(address who, uint16 uid);
    /// @notice There are as many uids as there can be.
    /// @dev Selector 0xcdf30273.
    error TooManyUids();
    /// @notice Ownership cannot be renounced.
    /// @dev Selector 0x2fab92ca.
    error OwnershipCannotBeRenounced();

    /// @notice The board is of another subnet.
    /// @dev Selector 0x181762a1.
    error SubNetworkDoesNotExist(uint16 netuid);
    /// @notice Weights are committed to first here.
    /// @dev Selector 0xe617c9d9.
    error CommitRevealEnabled();
    /// @notice Weights are set without a commit here.
    /// @dev Selector 0x12681873.
    error CommitRevealDisabled();
    /// @notice There are not as many values as uids.
    /// @dev Selector 0x5941df55.
    error WeightVecNotEqualSize(uint256 uids, uint256 values);
    /// @notice There are more weights than uids of the subnet.
    /// @dev Selector 0xa6eba84e.
    error UidsLengthExceedUidsInSubNet(uint256 length, uint256 uids);
    /// @notice The caller has no uid.
    /// @dev Selector 0xb89503af.
    error HotKeyNotRegisteredInSubNet(address who);
    /// @notice The stated version is too old.
    /// @dev Selector 0x80c13ab0.
    error IncorrectWeightVersionKey(uint64 given, uint64 least);
    /// @notice Weights were set a moment ago.
    /// @dev Selector 0x84cf252e.
    error SettingWeightsTooFast(uint256 fromBlock);
    /// @notice The last commit was a moment ago.
    /// @dev Selector 0x1465cd19.
    error CommittingWeightsTooFast(uint256 fromBlock);
    /// @notice The uid has no permit.
    /// @dev Selector 0xdeb098cd.
    error NeuronNoValidatorPermit(uint16 uid);
    /// @notice A uid has two weights.
    /// @dev Selector 0x342df56a.
    error DuplicateUids(uint16 uid);
    /// @notice A weight's uid is nobody's.
    /// @dev Selector 0x64788bfa.
    error UidVecContainInvalidOne(uint16 uid);
    /// @notice There are too few weights.
    /// @dev Selector 0xbbed9e7c.
    error WeightVecLengthIsLow(uint256 length, uint256 least);
    /// @notice One weight has too large a share in the sum.
    /// @dev Selector 0x56bc75c6.
    error MaxWeightExceeded(uint16 largest, uint256 sum);
    /// @notice The caller has as many commits as it can have that are neither revealed nor out of date.
    /// @dev Selector 0x80b4d374.
    error TooManyUnrevealedCommits();
    /// @notice The caller has no commit that could be revealed.
    /// @dev Selector 0xde853ad3.
    error NoWeightsCommitFound();
    /// @notice The commit's epoch of revealing is over.
    /// @dev Selector 0x52f94d83.
    error ExpiredWeightCommit();
    /// @notice The commit's epoch of revealing has not begun.
    /// @dev Selector 0xee669619.
    error RevealTooEarly(uint256 fromBlock);
    /// @notice None of the caller's commits is to these weights.
    /// @dev Selector 0x2823a9ce.
    error InvalidRevealCommitHashNotMatch();

    /// @notice Gives an address the next uid. The owner only.
    function register(address who) external returns (uint16 uid);

    /// @notice Lets a uid set weights, or no longer. Weights that it has set stay. The owner only.
    function setPermit(uint16 uid, bool permit) external;

    /// @notice Sets the caller's weights, where they are not committed to first. Only their ratios count.
    function setWeights(uint16 netuid, uint16[] calldata uids, uint16[] calldata values, uint64 versionKey) external;

    /// @notice Commits the caller to weights by their hash.
    function commitWeights(uint16 netuid, bytes32 commitHash) external;

    /// @notice Sets the weights that the caller committed to. Its earlier commits are void from then on.
    function revealWeights(
        uint16 netuid,
        uint16[] calldata uids,
        uint16[] calldata values,
        uint16[] calldata salt,
        uint64 versionKey
    ) external;

    /// @notice The hash by which somebody commits to weights on this board.
    function commitHashOf(
        address who,
        uint16[] calldata uids,
        uint16[] calldata values,
        uint16[] calldata salt,
        uint64 versionKey
    ) external view returns (bytes32);

    /// @notice Somebody's commits that were not revealed, oldest first, those that are out of date too.
    function commitsOf(address who) external view returns (Commit[] memory);

    /// @notice A uid's weights as they were last set.
    function weightsOf(uint16 uid) external view returns (uint16[] memory uids, uint16[] memory values);

    /// @notice An address's uid; reverts if it has none.
    function uidOf(address who) external view returns (uint16);

    /// @notice The subnet's number.
    function subnet() external view returns (uint16);

    /// @notice The block as the board counts them: some chains show other numbers to their nodes.
    function blockNumber() external view returns (uint64);

    /// @notice Number of uids.
    function getUidCount(uint16 netuid) external view returns (uint16);

    /// @notice A uid's address.
    function getHotkey(uint16 netuid, uint16 uid) external view returns (bytes32);

    /// @notice Whether a uid has a permit.
    function getValidatorStatus(uint16 netuid, uint16 uid) external view returns (bool);

    /// @notice Block of a uid's last commit or, without commits, of its last weights; 0 if there was none.
    function getLastUpdate(uint16 netuid, uint16 uid) external view returns (uint64);

    /// @notice `Parameters.tempo`.
    function getTempo(uint16 netuid) external view returns (uint16);

    /// @notice `Parameters.minWeights`.
    function getMinAllowedWeights(uint16 netuid) external view returns (uint16);

    /// @notice `Parameters.maxWeight`.
    function getMaxWeightLimit(uint16 netuid) external view returns (uint16);

    /// @notice `Parameters.commitReveal`.
    function getCommitRevealWeightsEnabled(uint16 netuid) external view returns (bool);

    /// @notice `Parameters.revealPeriod`.
    function getCommitRevealWeightsInterval(uint16 netuid) external view returns (uint64);

    /// @notice `Parameters.rateLimit`.
    function getWeightsSetRateLimit(uint16 netuid) external view returns (uint64);

    /// @notice `Parameters.versionKey`.
    function getWeightsVersionKey(uint16 netuid) external view returns (uint64);
}
