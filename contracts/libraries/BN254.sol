// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// @title The curve BN254 (alt_bn128) and the EVM's precompiles for it
/// @notice Constants of EIP-196 and EIP-197, point checks, and the test of a chain's precompiles.
library BN254 {
    /// @dev Order of the groups: the scalar field.
    uint256 internal constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    /// @dev Modulus of the base field.
    uint256 internal constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    address internal constant ECADD = address(6);
    /// @dev Where Bittensor has the addition. What it has at 0x06 runs calls of its runtime in the caller's name, within
    /// a static call too.
    address internal constant ECADD_OF_BITTENSOR = address(9);
    address internal constant ECMUL = address(7);
    address internal constant PAIRING = address(8);

    /// @dev The generator of G1 is (1, 2); this is the generator of G2 in EIP-197's order: x.c1, x.c0, y.c1, y.c0.
    uint256 internal constant G2_X1 = 0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2;
    uint256 internal constant G2_X0 = 0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed;
    uint256 internal constant G2_Y1 = 0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b;
    uint256 internal constant G2_Y0 = 0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa;

    /// @dev 2·(1, 2).
    uint256 private constant TWO_G1_X = 0x030644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd3;
    uint256 private constant TWO_G1_Y = 0x15ed738c0e0a7c92e7845f96b2ae9c0a68a6a449e3538fc7ff3ebf7a5a18a2c4;

    /// @dev With x = 1 this is on the twist y² = x³ + 3/(9 + u), outside the subgroup of order r.
    uint256 private constant OUTSIDE_G2_Y1 = 0x0d1271953ed9ea0836846e70a1934187998c7f790cb4d7511b7f8da82de048a4;
    uint256 private constant OUTSIDE_G2_Y0 = 0x2869111d5381f072f8e2728fdb825a51aadd70e52c9830e9ab4b871c0531f1bb;

    /// @notice At deployment: this chain's precompile does not do what EIP-196 and EIP-197 say.
    /// @dev Selector 0x9b0128f7.
    error SelfTestFailed(address precompile);
    /// @notice At deployment: this chain, Bittensor, has the addition of points at 0x09, and at 0x06 what runs calls in
    /// the caller's name. `BundleVerifier0x09` is for it.
    /// @dev Selector 0xd4508881.
    error AdditionIsAt0x09(uint256 chainId);
    /// @notice At deployment: this chain has the addition of points at 0x06, as all but Bittensor (964 and 945) do.
    /// `BundleVerifier` is for it.
    /// @dev Selector 0xc6f4471c.
    error AdditionIsAt0x06(uint256 chainId);

    /// @notice Gas to forward to each precompile: twice what it took at deployment, since chains' schedules differ.
    struct GasCaps {
        uint256 ecAdd;
        uint256 ecMul;
        uint256 pairingBase;
        uint256 pairingPerPair;
    }

    /// @notice Whether (x, y) is a point of G1 other than infinity, with both coordinates below q.
    function isOnCurve(uint256 x, uint256 y) internal pure returns (bool) {
        // Infinity, written (0, 0), does not satisfy the equation.
        if (x >= Q || y >= Q) return false;
        return mulmod(y, y, Q) == addmod(mulmod(mulmod(x, x, Q), x, Q), 3, Q);
    }

    /// @notice Tests the three precompiles on known values, true, false and malformed, and measures what they take.
    /// @dev Reverts on a chain where one is missing, errs, or accepts what it must refuse.
    /// @param ecAdd Where the caller calls the addition. Before any call, a chain that has it elsewhere is refused: what
    /// is there instead may act on what it is given.
    function selfTest(address ecAdd) internal view returns (GasCaps memory caps) {
        bool ofBittensor = block.chainid == 964 || block.chainid == 945;
        if (ofBittensor && ecAdd != ECADD_OF_BITTENSOR) revert AdditionIsAt0x09(block.chainid);
        if (!ofBittensor && ecAdd != ECADD) revert AdditionIsAt0x06(block.chainid);

        caps = selfTestPairing();
        uint256[18] memory io;
        uint256 gasBefore;

        // (1, 2) + (1, 2), and 2·(1, 2).
        (io[0], io[1], io[2], io[3]) = (1, 2, 1, 2);
        gasBefore = gasleft();
        _requireTwoG1(ecAdd, io, 0x80);
        caps.ecAdd = 2 * (gasBefore - gasleft());

        // A full-size scalar, since a chain may charge by the scalar's length: (2r + 2)·G = 2·G.
        (io[0], io[1], io[2]) = (1, 2, 2 * R + 2);
        gasBefore = gasleft();
        _requireTwoG1(ECMUL, io, 0x60);
        caps.ecMul = 2 * (gasBefore - gasleft());

        // (1, 1) is not on the curve: both must fail, without an answer.
        (io[0], io[1], io[2], io[3]) = (1, 1, 1, 2);
        if (_point(ecAdd, io, 0x80, caps.ecAdd)) revert SelfTestFailed(ecAdd);
        (io[0], io[1], io[2]) = (1, 1, 2);
        if (_point(ECMUL, io, 0x60, caps.ecMul)) revert SelfTestFailed(ECMUL);
    }

    /// @notice As `selfTest`, of the pairing alone: for those who call nothing else, and so deploy on every chain.
    function selfTestPairing() internal view returns (GasCaps memory caps) {
        uint256[18] memory io;
        uint256 gasBefore;

        // e(G1, G2)·e(−G1, G2) = 1.
        (io[0], io[1]) = (1, 2);
        (io[2], io[3], io[4], io[5]) = (G2_X1, G2_X0, G2_Y1, G2_Y0);
        (io[6], io[7]) = (1, Q - 2);
        (io[8], io[9], io[10], io[11]) = (G2_X1, G2_X0, G2_Y1, G2_Y0);
        gasBefore = gasleft();
        if (_pairing(io, 2, gasleft()) != 1) revert SelfTestFailed(PAIRING);
        uint256 twoPairs = gasBefore - gasleft();

        // One pair more and the product is e(G1, G2): answered, with 0.
        (io[12], io[13]) = (1, 2);
        (io[14], io[15], io[16], io[17]) = (G2_X1, G2_X0, G2_Y1, G2_Y0);
        gasBefore = gasleft();
        if (_pairing(io, 3, gasleft()) != 0) revert SelfTestFailed(PAIRING);
        uint256 threePairs = gasBefore - gasleft();
        if (threePairs < twoPairs) threePairs = twoPairs;
        caps.pairingPerPair = 2 * (threePairs - twoPairs);
        // Not 2·(twoPairs − 2 pairs), lest a discount on few pairs leave too little: the cap errs upwards.
        caps.pairingBase = 2 * twoPairs;

        // A point of the twist outside G2, then (1, 1), which is not on the curve: it must fail, without an answer.
        uint256 cap = pairingCap(caps, 3);
        (io[14], io[15], io[16], io[17]) = (0, 1, OUTSIDE_G2_Y1, OUTSIDE_G2_Y0);
        if (_pairing(io, 3, cap) != type(uint256).max) revert SelfTestFailed(PAIRING);
        (io[13], io[14], io[15], io[16], io[17]) = (1, G2_X1, G2_X0, G2_Y1, G2_Y0);
        if (_pairing(io, 3, cap) != type(uint256).max) revert SelfTestFailed(PAIRING);
    }

    /// @notice Gas to forward for a pairing of `pairs` pairs.
    function pairingCap(GasCaps memory caps, uint256 pairs) internal pure returns (uint256) {
        return caps.pairingBase + pairs * caps.pairingPerPair;
    }

    /// @notice Whether each G2 point is on the curve and in the subgroup; infinity must be excluded by the caller.
    /// @param input Pairs (G1 generator, point), six words each.
    /// @param cap Gas to forward: the precompile fails on a bad point, whatever the product is, and burns what it has.
    function areInSubgroup(uint256[] memory input, uint256 cap) internal view returns (bool ok) {
        assembly ("memory-safe") {
            ok := staticcall(cap, 8, add(input, 0x20), shl(5, mload(input)), 0x00, 0x20)
            ok := and(ok, eq(returndatasize(), 0x20))
        }
    }

    function _requireTwoG1(address precompile, uint256[18] memory io, uint256 length) private view {
        if (!_point(precompile, io, length, gasleft()) || io[0] != TWO_G1_X || io[1] != TWO_G1_Y) {
            revert SelfTestFailed(precompile);
        }
    }

    function _point(address precompile, uint256[18] memory io, uint256 length, uint256 cap)
        private
        view
        returns (bool ok)
    {
        assembly ("memory-safe") {
            ok := staticcall(cap, precompile, io, length, io, 0x40)
            ok := and(ok, eq(returndatasize(), 0x40))
        }
    }

    /// @dev 0 or 1 as the precompile answered, or 2^256 − 1 if it failed or did not answer with one word.
    function _pairing(uint256[18] memory io, uint256 pairs, uint256 cap) private view returns (uint256 answer) {
        assembly ("memory-safe") {
            mstore(0x00, 0)
            let ok := staticcall(cap, 8, io, mul(pairs, 0xc0), 0x00, 0x20)
            answer := mload(0x00)
            if iszero(and(ok, eq(returndatasize(), 0x20))) { answer := not(0) }
        }
    }
}
