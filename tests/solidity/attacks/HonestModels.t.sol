// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "../../../contracts/interfaces/IBundleVerifier.sol";
import {IModelRegistry} from "../../../contracts/interfaces/IModelRegistry.sol";
import {BN254} from "../../../contracts/libraries/BN254.sol";
import {Deployed} from "../utils/Deployed.sol";

/// @notice Who can prove only what is so (each covered slice is a function of what it reads, a commitment opens to one
/// value) cannot stop a model: not by salts, invented boundaries, cut bundles, or words that no covered slice has.
contract HonestModelsTest is Deployed {
    /// Values and salts are bits, so that two bundles often agree in one thing and differ in another.
    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 100
    function testFuzz_RevertWhen_EverySliceIsAFunction(uint256 seed, uint256 coverage) public {
        Model memory model = install("mixed");
        coverage = bound(coverage, 0, 6);
        IBundleVerifier.Bundle memory first = _bundle(model, coverage, _random(seed, "first"));
        for (uint256 i = 0; i < 2; ++i) {
            IBundleVerifier.Bundle memory second = _bundle(model, coverage, _random(seed, i));
            vm.expectPartialRevert(IModelRegistry.NoEquivocation.selector);
            registry.reportEquivocation(VERIFIER, first, second);
        }
    }

    /// Of `mixed`: slice 0 reads public input 0 (words 0, 1) and the private one, and writes boundary 1; slice 1 reads
    /// it and public input 2 (word 2), writes boundary 2, and puts out word 3; slice 2 reads both boundaries and words
    /// 0 and 1, and puts out words 4 to 7. What no covered slice makes is invented.
    function _bundle(Model memory model, uint256 coverage, uint256 seed)
        private
        view
        returns (IBundleVerifier.Bundle memory)
    {
        uint256 covered = coverage == 0 ? 7 : coverage;
        Bundle memory statement = loadBundle("mixed");
        statement.context = 1 + (seed >> 8) % 2;
        // Inputs are the same most of the time.
        bool otherInput = seed % 4 == 0;
        statement.words[0] = otherInput ? _bit(seed, "word 0") : 0;
        statement.words[1] = 0;
        statement.words[2] = otherInput ? _bit(seed, "word 2") : 0;
        uint256 hidden = otherInput ? _bit(seed, "private") : 0;

        uint256 b1 = covered & 1 != 0 ? _f(0, hidden, statement.words[0]) : _bit(seed, "boundary 1");
        uint256 b2 = covered & 2 != 0 ? _f(1, b1, statement.words[2]) : _bit(seed, "boundary 2");
        statement.words[3] = covered & 2 != 0 ? _f(2, b1, statement.words[2]) : _bit(seed, "word 3");
        for (uint256 i = 4; i < 8; ++i) {
            statement.words[i] = covered & 4 != 0 ? _f(i, b1 + 2 * b2, statement.words[0]) : _bit(seed, i);
        }
        statement.commitments[0] = _commitment(hidden, 0);
        statement.commitments[1] = _commitment(b1, _bit(seed, "salt 1"));
        statement.commitments[2] = _commitment(b2, _bit(seed, "salt 2"));
        statement.proofs = simulate(model, statement, seed);
        return covering(model.digest, statement, coverage);
    }

    function _f(uint256 k, uint256 a, uint256 b) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(k, a, b))) & 1;
    }

    function _commitment(uint256 value, uint256 salt) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(value, salt))) % BN254.R;
    }

    function _bit(uint256 seed, string memory what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what))) & 1;
    }

    function _bit(uint256 seed, uint256 what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what))) & 1;
    }

    function _random(uint256 seed, string memory what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what)));
    }

    function _random(uint256 seed, uint256 what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what)));
    }
}
