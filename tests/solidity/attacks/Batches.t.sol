// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../../contracts/interfaces/IModelRegistry.sol";
import {PartialConsumer} from "../utils/Consumers.sol";
import {Jobs} from "../utils/Jobs.sol";
import {Token} from "../utils/Tokens.sol";

/// @notice A batch leaves what its items leave one by one: records, credits and feeds. Items of several models and of
/// any coverage, one request's more than once (in part, then in full, or the other way round, to several payees), some
/// too late, some of a stopped model; fees in two currencies, of nothing too; the oracle itself as a payee.
contract BatchesTest is Jobs {
    uint16 private constant CAPACITY = 3;

    string[4] private names = ["chain", "private", "mixed", "other"];
    /// Slices that a partial bundle must cover, 0 for all.
    uint256[4] private policies = [4, 0, 6, 0];
    bytes32[4] private digests;
    bytes32[4] private feeds;
    address[2] private tokens;
    address[3] private payees;
    address private consumer;

    function setUp() public override {
        super.setUp();
        for (uint256 m = 0; m < names.length; ++m) {
            digests[m] = register(_model(m).blob);
            vm.prank(alice);
            feeds[m] = oracle.openFeed(digests[m], VERIFIER, CAPACITY, 0);
        }
        tokens[1] = address(new Token());
        payees = [prover, makeAddr("another payee"), address(oracle)];
        consumer = address(new PartialConsumer());
    }

    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 60
    function testFuzz_BatchLeavesWhatItsItemsLeave(uint256 seed) public {
        (Job[] memory jobs, Job[] memory items) = _made(seed);
        uint256 snapshot = vm.snapshotState();
        uint256 fulfilled;
        for (uint256 i = 0; i < items.length; ++i) {
            try oracle.fulfil(fulfilmentOf(items[i])) {
                ++fulfilled;
            } catch (bytes memory reason) {
                bytes4 why = bytes4(reason);
                assertTrue(
                    why == IInferenceOracle.NotOpen.selector || why == IInferenceOracle.DeadlinePassed.selector
                        || why == IModelRegistry.ModelNotActive.selector
                );
            }
        }
        bytes32 expected = _stateOf(jobs);
        vm.revertToState(snapshot);
        IInferenceOracle.Fulfilment[] memory fulfilments = fulfilmentsOf(items);
        if (fulfilled == 0) vm.expectRevert(IInferenceOracle.NothingToFulfil.selector);
        oracle.fulfilBatch(fulfilments);
        assertEq(_stateOf(jobs), expected);
    }

    /// @dev Up to four requests and up to six items, each of any of them.
    function _made(uint256 seed) private returns (Job[] memory jobs, Job[] memory items) {
        jobs = new Job[](1 + _random(seed, 0, "jobs") % 4);
        uint256[] memory models = new uint256[](jobs.length);
        for (uint256 i = 0; i < jobs.length; ++i) {
            models[i] = _random(seed, i, "model") % 4;
            jobs[i] = open(_draft(models[i], seed, i));
            skip(_random(seed, i, "pause") % 2);
        }
        if (_random(seed, 0, "stop") % 4 == 0) registry.tombstone(digests[_random(seed, 0, "stopped") % 4]);
        skip(5);
        items = new Job[](1 + _random(seed, 0, "items") % 6);
        for (uint256 i = 0; i < items.length; ++i) {
            uint256 j = _random(seed, i, "job") % jobs.length;
            items[i] = copyOf(jobs[j]);
            if (_random(seed, i, "in part") % 2 == 0) items[i].coverage = items[i].request.minCoverage;
            items[i].beneficiary = payees[_random(seed, i, "payee") % 3];
            items[i] = prove(_model(models[j]), items[i]);
        }
    }

    function _draft(uint256 m, uint256 seed, uint256 i) private view returns (Job memory job) {
        job = draft(names[m]);
        job.request.modelDigest = digests[m];
        if (_random(seed, i, "least") % 4 != 0) job.request.minCoverage = policies[m];
        (job.request.feeToken, job.request.fee) = (tokens[_random(seed, i, "token") % 2], _random(seed, i, "fee") % 4);
        if (_random(seed, i, "callback") % 2 == 0) {
            (job.request.callback, job.request.callbackGas) = (consumer, 300_000);
        }
        job.request.deadline = uint64(block.timestamp + (_random(seed, i, "late") % 5 == 0 ? 4 : 1000));
    }

    function _model(uint256 m) private view returns (Model memory model) {
        model = loadModel(names[m]);
        setWord(model.blob, 3, policies[m]);
        model.digest = rehash(model.blob);
    }

    function _stateOf(Job[] memory jobs) private view returns (bytes32 state) {
        for (uint256 i = 0; i < jobs.length; ++i) {
            (IInferenceOracle.Status status, uint64 requestedAt, bytes26 outputsHash) = oracle.result(jobs[i].id);
            bool failed = oracle.callbackFailed(jobs[i].id);
            state = keccak256(abi.encode(state, status, requestedAt, outputsHash, failed));
        }
        for (uint256 i = 0; i < 6; ++i) {
            state = keccak256(abi.encode(state, oracle.balanceOf(payees[i / 2], tokens[i % 2])));
        }
        for (uint256 m = 0; m < feeds.length; ++m) {
            IInferenceOracle.Feed memory feed = oracle.feed(feeds[m]);
            state = keccak256(abi.encode(state, feed));
            for (uint64 round = feed.round; round != 0 && round + CAPACITY > feed.round; --round) {
                (uint64 observedAt, uint64 updatedAt, uint256[] memory words) = oracle.roundOf(feeds[m], round);
                state = keccak256(abi.encode(state, observedAt, updatedAt, words));
            }
        }
    }

    function _random(uint256 seed, uint256 i, string memory what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, i, what)));
    }
}
