// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {Run, Runs} from "../../contracts/oracle/Run.sol";
import {Statement, Statements} from "../../contracts/oracle/Statements.sol";

/// @notice What a reader of calldata finds, and where.
struct Found {
    address requester;
    address beneficiary;
    uint256 coverage;
    uint256 request;
    uint256[2] inputs;
    uint256[2] words;
    uint256[2] commitments;
}

interface IReader {
    function item(IInferenceOracle.Fulfilment[] calldata fulfilments, uint256 index)
        external
        pure
        returns (Found memory);
    function alone(IInferenceOracle.Fulfilment calldata fulfilment) external pure returns (Found memory);
    function published(IInferenceOracle.Publication calldata publication) external pure returns (uint256[6] memory);
}

/// @notice As the compiler does it.
contract PlainReader is IReader {
    function item(IInferenceOracle.Fulfilment[] calldata fulfilments, uint256 index)
        external
        pure
        returns (Found memory)
    {
        require(index < fulfilments.length);
        return _find(fulfilments[index]);
    }

    function alone(IInferenceOracle.Fulfilment calldata fulfilment) external pure returns (Found memory) {
        return _find(fulfilment);
    }

    function published(IInferenceOracle.Publication calldata publication)
        external
        pure
        returns (uint256[6] memory places)
    {
        (places[0], places[1]) = _place(publication.words);
        (places[2], places[3]) = _place(publication.commitments);
        (places[4], places[5]) = _place(publication.proofs);
    }

    function _find(IInferenceOracle.Fulfilment calldata fulfilment) private pure returns (Found memory found) {
        IInferenceOracle.Request calldata request = fulfilment.request;
        bytes32[] calldata inputs = request.inputs;
        (found.requester, found.beneficiary) = (fulfilment.requester, fulfilment.beneficiary);
        found.coverage = fulfilment.coverage;
        uint256 position;
        assembly ("memory-safe") {
            position := request
        }
        found.request = position;
        assembly ("memory-safe") {
            position := inputs.offset
        }
        found.inputs = [position, inputs.length];
        (found.words[0], found.words[1]) = _place(fulfilment.words);
        (found.commitments[0], found.commitments[1]) = _place(fulfilment.commitments);
        _place(fulfilment.proofs);
    }

    function _place(uint256[] calldata array) private pure returns (uint256 position, uint256 length) {
        assembly ("memory-safe") {
            position := array.offset
        }
        length = array.length;
    }
}

/// @notice As the oracle does it.
contract OracleReader is IReader {
    using Statements for Statement;

    function item(IInferenceOracle.Fulfilment[] calldata fulfilments, uint256 index)
        external
        pure
        returns (Found memory)
    {
        require(index < fulfilments.length);
        return _find(Statements.fulfilmentAt(fulfilments, index));
    }

    function alone(IInferenceOracle.Fulfilment calldata fulfilment) external pure returns (Found memory) {
        return _find(fulfilment);
    }

    function published(IInferenceOracle.Publication calldata publication)
        external
        pure
        returns (uint256[6] memory places)
    {
        Statement memory statement;
        uint256 position;
        assembly ("memory-safe") {
            position := publication
        }
        statement.place(position, 0xe0);
        (places[0], places[1]) = _place(statement.wordsOf());
        (places[2], places[3]) = _place(statement.commitmentsOf());
        uint256 proofs = statement.proofs;
        assembly ("memory-safe") {
            mstore(add(places, 0x80), add(proofs, 0x20))
            mstore(add(places, 0xa0), calldataload(proofs))
        }
    }

    function _find(IInferenceOracle.Fulfilment calldata fulfilment) private pure returns (Found memory found) {
        // Dirty memory: everything that is read must have been set.
        assembly ("memory-safe") {
            let free := mload(0x40)
            for { let i := 0 } lt(i, 0x800) { i := add(i, 0x20) } { mstore(add(free, i), not(0)) }
        }
        Statement[] memory statements = Statements.allocate(2);
        Statement memory statement = statements[1];
        statement.bind(fulfilment, 7);
        require(statement.index == 7 && !statement.settled && statement.outputStart == 0);
        uint256 position;
        assembly ("memory-safe") {
            position := fulfilment
        }
        statement.place(position, 0xa0);
        (found.requester, found.beneficiary) = (statement.requester, statement.beneficiary);
        (found.coverage, found.request) = (statement.coverage, statement.request);
        bytes32[] calldata inputs = statement.inputsOf();
        assembly ("memory-safe") {
            position := inputs.offset
        }
        found.inputs = [position, inputs.length];
        (found.words[0], found.words[1]) = _place(statement.wordsOf());
        (found.commitments[0], found.commitments[1]) = _place(statement.commitmentsOf());
    }

    function _place(uint256[] calldata array) private pure returns (uint256 position, uint256 length) {
        assembly ("memory-safe") {
            position := array.offset
        }
        length = array.length;
    }
}

/// @notice The oracle follows offsets in calldata by hand. It must find what the compiler finds, in the same places, and
/// refuse what the compiler refuses, with no reason either.
contract StatementsTest is Test {
    /// @dev Where the one argument is.
    uint256 private constant HEAD = 4 + 32;

    PlainReader private plain = new PlainReader();
    OracleReader private lean = new OracleReader();

    function testFuzz_FindsAFulfilmentAsTheCompilerDoes(uint256 seed) public view {
        _compareMutants(abi.encodeCall(IReader.alone, (_fulfilment(seed))), seed);
    }

    function testFuzz_FindsAnItemAsTheCompilerDoes(uint256 seed) public view {
        IInferenceOracle.Fulfilment[] memory fulfilments = new IInferenceOracle.Fulfilment[](2);
        (fulfilments[0], fulfilments[1]) = (_fulfilment(seed), _fulfilment(uint256(keccak256(abi.encode(seed)))));
        _compareMutants(abi.encodeCall(IReader.item, (fulfilments, seed % 2)), seed);
    }

    function testFuzz_FindsAPublicationAsTheCompilerDoes(uint256 seed) public view {
        IInferenceOracle.Publication memory publication;
        (publication.words, publication.commitments) = (new uint256[](seed % 4), new uint256[](seed % 3));
        publication.proofs = new uint256[](seed % 2);
        _compareMutants(abi.encodeCall(IReader.published, (publication)), seed);
    }

    /// Each word of the calldata by itself, at each of the values at which a check may turn.
    function test_FindsWhatTheCompilerFindsAtEveryLimit() public view {
        _compareAtEveryLimit(abi.encodeCall(IReader.alone, (_fulfilment(11))));
        IInferenceOracle.Fulfilment[] memory fulfilments = new IInferenceOracle.Fulfilment[](1);
        fulfilments[0] = _fulfilment(11);
        _compareAtEveryLimit(abi.encodeCall(IReader.item, (fulfilments, 0)));
    }

    /// An item at the very end, whose members are all before it.
    function test_FindsAnItemAtTheVeryEnd() public view {
        IInferenceOracle.Fulfilment[] memory fulfilments = new IInferenceOracle.Fulfilment[](1);
        fulfilments[0] = _fulfilment(11);
        bytes memory data = abi.encodeCall(IReader.item, (fulfilments, 0));
        (uint256 offset, uint256 first) = (HEAD + 0x40, HEAD + 0x60);
        bytes memory moved = bytes.concat(data, new bytes(0x100));
        for (uint256 i = 0; i < 8; ++i) {
            uint256 word = uint256(this.wordAt(data, first + 32 * i));
            // Its offsets, less what it was moved by.
            bool isOffset = i == 0 || i > 4;
            unchecked {
                moved = _with(moved, data.length + 32 * i, isOffset ? word + first - data.length : word);
            }
        }
        moved = _with(moved, offset, data.length - offset);
        assertTrue(_compare(moved));
        assembly ("memory-safe") {
            mstore(moved, sub(mload(moved), 1))
        }
        assertFalse(_compare(moved));
    }

    function wordAt(bytes calldata data, uint256 place) external pure returns (bytes32) {
        return bytes32(data[place:place + 32]);
    }

    /// A record's writer and its questions, against what they are made of.
    function testFuzz_RecordsKeepWhatTheyMust(uint40 time, bool hasFeed, bool allPrivate, bool isPartial, bytes32 hash)
        public
    {
        vm.warp(bound(time, 0, (1 << 37) - 1));
        Run run = Runs.opened(hasFeed, allPrivate);
        assertTrue(run.isOpen() && run.isOpenFor(0) && run.isOpenFor(1));
        Run done = run.withCallbackFailed(true).fulfilled(isPartial, hash);
        IInferenceOracle.Status expected =
            isPartial ? IInferenceOracle.Status.PartiallyFulfilled : IInferenceOracle.Status.Fulfilled;
        assertTrue(done.status() == expected);
        assertEq(done.outputsHash(), bytes26(hash));
        assertEq(done.requestedAt(), block.timestamp);
        assertEq(done.hasFeed(), hasFeed);
        assertEq(done.allPrivate(), allPrivate);
        assertFalse(done.callbackFailed());
        assertFalse(done.isOpen() || done.isOpenFor(1));
        assertEq(done.isOpenFor(0), isPartial);
        Run again = done.fulfilled(false, ~hash);
        assertEq(again.outputsHash(), bytes26(~hash));
        assertFalse(again.isOpenFor(0) || run.refunded().isOpenFor(0) || Run.wrap(0).isOpenFor(0));
    }

    function _fulfilment(uint256 seed) private pure returns (IInferenceOracle.Fulfilment memory fulfilment) {
        fulfilment.request.inputs = new bytes32[](seed % 3);
        (fulfilment.requester, fulfilment.beneficiary) = (address(1), address(2));
        fulfilment.coverage = seed;
        (fulfilment.words, fulfilment.commitments) = (new uint256[](seed % 4), new uint256[](seed % 5));
        fulfilment.proofs = new uint256[](seed % 7);
    }

    function _compareAtEveryLimit(bytes memory data) private view {
        for (uint256 place = 4; place + 32 <= data.length; place += 32) {
            for (uint256 choice = 0; choice < 14; ++choice) {
                for (uint256 k = 0; k < 4; ++k) {
                    _compare(_with(data, place, _value(data, choice, k)));
                }
            }
        }
    }

    function _compareMutants(bytes memory data, uint256 seed) private view {
        assertTrue(_compare(data));
        uint256 words = (data.length - 4) / 32;
        for (uint256 i = 0; i < 24; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            bytes memory mutant =
                _with(data, 4 + 32 * (seed % words), _value(data, (seed >> 32) % 14, (seed >> 64) % 600));
            // One change, or two of which one may hide the other.
            if (i % 2 == 0) {
                mutant = _with(
                    mutant, 4 + 32 * ((seed >> 96) % words), _value(data, (seed >> 128) % 14, (seed >> 160) % 600)
                );
            }
            _compare(mutant);
        }
    }

    /// A value near where a check may turn.
    function _value(bytes memory data, uint256 choice, uint256 k) private pure returns (uint256) {
        unchecked {
            uint256[14] memory values = [
                k,
                32 * k,
                data.length - k,
                data.length + k,
                type(uint256).max - k,
                type(uint256).max - 32 * k,
                (1 << 64) - 1 - k,
                (1 << 64) + k,
                (1 << 255) - k,
                (1 << 255) + k,
                (1 << 160) - 1 - k,
                (1 << 160) + k,
                // Where a request and one of an item still fit, by one byte more or less.
                data.length - HEAD - 0x120 + 1 - k,
                data.length - HEAD - 0x60 - 0x120 + 1 - k
            ];
            return values[choice];
        }
    }

    function _compare(bytes memory data) private view returns (bool) {
        (bool ok, bytes memory answer) = address(plain).staticcall(data);
        (bool leanOk, bytes memory leanAnswer) = address(lean).staticcall(data);
        assertEq(leanOk, ok);
        assertEq(leanAnswer, answer);
        return ok;
    }

    function _with(bytes memory data, uint256 place, uint256 word) private pure returns (bytes memory changed) {
        changed = bytes.concat(data);
        assembly ("memory-safe") {
            mstore(add(add(changed, 0x20), place), word)
        }
    }
}
