// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IBundleVerifier} from "../../../contracts/interfaces/IBundleVerifier.sol";
import {BN254} from "../../../contracts/libraries/BN254.sol";
import {Deployed} from "../utils/Deployed.sol";

/// @notice The verifier against another reading of the same rules, which shares no code with it: each slice's equation
/// by itself, with no coefficients, no runs and no shared pairings. Batches of repeated and neighbouring bundles, several
/// models and setups, any coverage, and faults of which some cancel each other in a plain sum and some are none.
contract OneByOneTest is Deployed {
    string[6] private names = ["mixed", "skip", "private", "chain", "other", "single"];
    /// Models with their bundles, encoded: to parse a fixture takes longer than to verify it.
    bytes[6] private parsed;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < names.length; ++i) {
            parsed[i] = abi.encode(install(names[i]), loadBundle(names[i]));
        }
    }

    /// Fewer cases, since each takes long: 100,000 in `make deep`.
    /// forge-config: ci.fuzz.runs = 50
    function testFuzz_BatchIsWhatItsEquationsAre(uint256 seed) public view {
        IBundleVerifier.Bundle[] memory bundles = new IBundleVerifier.Bundle[](1 + _random(seed, "size") % 8);
        bool[] memory sound = new bool[](bundles.length);
        bool allSound = true;
        for (uint256 i = 0; i < bundles.length; ++i) {
            uint256 salt = uint256(keccak256(abi.encode(seed, i)));
            if (i != 0 && _random(salt, "again") % 8 == 0) {
                (bundles[i], sound[i]) = (_copyOf(bundles[i - 1]), sound[i - 1]);
                if (sound[i] && _random(salt, "errors") % 2 == 0) {
                    // Errors in both, whose plain sum is none.
                    _addToLast(bundles[i - 1].proofs, 0, salt);
                    _addToLast(bundles[i].proofs, 0, BN254.R - salt % BN254.R);
                    (sound[i - 1], sound[i], allSound) = (false, false, false);
                }
            } else {
                // Up to three models, of which some are neighbours.
                uint256 model = (_random(seed, "model") + salt % 3) % names.length;
                (bundles[i], sound[i]) = _made(model, salt, _random(seed, "faults") % 3);
            }
            allSound = allSound && sound[i];
        }
        (bool accepted,) = address(verifier).staticcall(abi.encodeCall(IBundleVerifier.verifyBatch, (bundles)));
        assertEq(accepted, allSound, "batch");
        uint256[] memory invalid = verifier.findInvalid(bundles);
        uint256 next;
        for (uint256 i = 0; i < bundles.length; ++i) {
            bool named = next < invalid.length && invalid[next] == i;
            if (named) ++next;
            assertEq(named, !sound[i], "one by one");
        }
    }

    /// @param faults 0: none; else one bundle in twice as many has one.
    function _made(uint256 index, uint256 salt, uint256 faults)
        private
        view
        returns (IBundleVerifier.Bundle memory bundle, bool sound)
    {
        (Model memory model, Bundle memory statement) = abi.decode(parsed[index], (Model, Bundle));
        statement.context = 1 + salt % (BN254.R - 1);
        statement.owner = _random(salt, "owner") % BN254.R;
        statement.proofs = simulate(model, statement, salt);
        uint256 all = (1 << model.keys.length) - 1;
        uint256 coverage = _random(salt, "coverage") % all; // 0 is all.
        bundle = _copyOf(covering(model.digest, statement, coverage));
        if (faults != 0 && _random(salt, "faulty") % (2 * faults) == 0) _spoil(model, bundle, salt);
        sound = _holds(model, statement, bundle);
    }

    /// @dev Changes something, which may not matter: an owner or a commitment that no covered slice has.
    function _spoil(Model memory model, IBundleVerifier.Bundle memory bundle, uint256 salt) private view {
        uint256 kind = _random(salt, "kind") % 9;
        uint256 value = _random(salt, "value");
        uint256 slices = bundle.proofs.length / 10;
        if (kind == 0) bundle.owner = value % BN254.R;
        if (kind == 1) bundle.context = 1 + value % (BN254.R - 1);
        // The lowest bit is in range in every word.
        if (kind == 2) bundle.words[value % bundle.words.length] ^= 1;
        if (kind == 3 && bundle.commitments.length != 0) {
            bundle.commitments[value % bundle.commitments.length] = (value >> 8) % BN254.R;
        }
        if (kind == 4) bundle.coverage = value % 16;
        if (kind == 5) _replacePoint(bundle.proofs, 10 * (value % slices) + [0, 6, 8][(value >> 8) % 3], value >> 16);
        if (kind == 6) bundle.proofs[value % bundle.proofs.length] = value;
        if (kind == 7) _exchange(bundle.proofs, 10 * (value % slices), 10 * ((value >> 8) % slices));
        if (kind == 8 && slices > 1) _cancel(model, bundle, value);
    }

    /// @dev Errors in the C2 of the first two slices covered that δ2 makes opposites of each other.
    function _cancel(Model memory model, IBundleVerifier.Bundle memory bundle, uint256 value) private view {
        uint256[2] memory delta;
        for ((uint256 k, uint256 count) = (0, 0); count < 2; ++k) {
            if (bundle.coverage == 0 || (bundle.coverage >> k) & 1 == 1) delta[count++] = model.keys[k].deltas[1];
        }
        _addToLast(bundle.proofs, 0, mulmod(value, delta[1], BN254.R));
        _addToLast(bundle.proofs, 1, BN254.R - mulmod(value, delta[0], BN254.R));
    }

    /// @dev Adds to C2 of a proof.
    function _addToLast(uint256[] memory proofs, uint256 which, uint256 exponent) private view {
        (uint256 x, uint256 y) = g1(exponent);
        (proofs[10 * which + 8], proofs[10 * which + 9]) = add(proofs[10 * which + 8], proofs[10 * which + 9], x, y);
    }

    function _replacePoint(uint256[] memory proofs, uint256 i, uint256 value) private view {
        (proofs[i], proofs[i + 1]) = value % 4 == 0 ? (uint256(0), uint256(0)) : g1(value);
    }

    function _exchange(uint256[] memory proofs, uint256 i, uint256 j) private pure {
        for (uint256 end = i + 10; i < end; (++i, ++j)) {
            (proofs[i], proofs[j]) = (proofs[j], proofs[i]);
        }
    }

    // ------------------------------------------------------------------------------------------------ by definition

    /// @dev Whether the bundle's coverage is one, and the equation of each slice covered holds.
    function _holds(Model memory model, Bundle memory statement, IBundleVerifier.Bundle memory bundle)
        private
        view
        returns (bool)
    {
        uint256 all = (1 << model.keys.length) - 1;
        if (bundle.coverage >= all) return false;
        uint256 covered = bundle.coverage == 0 ? all : bundle.coverage;
        (statement.context, statement.owner) = (bundle.context, bundle.owner);
        (statement.words, statement.commitments) = (bundle.words, bundle.commitments);
        uint256 start;
        for (uint256 k = 0; k < model.keys.length; ++k) {
            if ((covered >> k) & 1 == 0) continue;
            if (start == bundle.proofs.length || !_holdsFor(model, statement, k, bundle.proofs, start)) return false;
            start += 10;
        }
        return start == bundle.proofs.length;
    }

    /// @dev e(−A, B)·e(α, β)·e(L, γ)·e(C1, δ1)·e(C2, δ2) = 1 for the slice whose proof is at `start`.
    function _holdsFor(Model memory model, Bundle memory statement, uint256 k, uint256[] memory proofs, uint256 start)
        private
        view
        returns (bool)
    {
        for (uint256 i = start; i < start + 10; ++i) {
            if (proofs[i] >= BN254.Q) return false;
        }
        uint256 key = pointsAt(model.blob, recordAt(model.blob, k));
        uint256[] memory pairs = new uint256[](30);
        (pairs[0], pairs[1]) = (proofs[start], proofs[start + 1] == 0 ? 0 : BN254.Q - proofs[start + 1]);
        (pairs[6], pairs[7]) = (wordAt(model.blob, key), wordAt(model.blob, key + 1));
        (pairs[12], pairs[13]) = g1(lOf(model, statement, k, proofs[start + 6], proofs[start + 7]));
        (pairs[18], pairs[19]) = (proofs[start + 6], proofs[start + 7]);
        (pairs[24], pairs[25]) = (proofs[start + 8], proofs[start + 9]);
        for (uint256 i = 0; i < 4; ++i) {
            pairs[2 + i] = proofs[start + 2 + i];
            // β, γ, δ1, δ2.
            for (uint256 j = 0; j < 4; ++j) {
                pairs[8 + 6 * j + i] = wordAt(model.blob, key + 2 + 4 * j + i);
            }
        }
        // A precompile that fails takes all that it is given.
        (bool ok, bytes memory answer) = address(8).staticcall{gas: 1_000_000}(abi.encodePacked(pairs));
        return ok && abi.decode(answer, (uint256)) == 1;
    }

    function _copyOf(IBundleVerifier.Bundle memory bundle) private pure returns (IBundleVerifier.Bundle memory) {
        return abi.decode(abi.encode(bundle), (IBundleVerifier.Bundle));
    }

    function _random(uint256 seed, string memory what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what)));
    }
}
