// SPDX-License-Identifier: CC0-1.0
// Written by zkslice from a verifying key; not to be edited: any change to the model or its keys gives another file.
pragma solidity ^0.8.24;

/// @title Verifier of slice 0 of 1 of the model "a circuit made for tests"
/// @notice Checks one proof of this slice. Complete in itself: it reads no storage and calls the precompiles only.
/// @dev Groth16 over BN254 with public inputs x:
///
///     L = IC_0 + Σ x_j·IC_j
///     e(−A, B)·e(α, β)·e(L, γ)·e(C, δ) = 1
///
/// Proofs are malleable: from one, anyone makes others of the same statement. Nothing may depend on a proof's bytes.
contract PlainVerifier {
    /// @notice Calldata has another length than the arguments.
    /// @dev Selector 0xf7b94f0a.
    error CalldataLengthMismatch(uint256 expected, uint256 received);
    /// @notice A public input is not below r.
    /// @dev Selector 0x27f4abcd.
    error PublicInputOutOfRange(uint256 index);
    /// @notice A coordinate of the proof is not below q.
    /// @dev Selector 0xf27af4eb.
    error CoordinateOutOfRange(uint256 index);
    /// @notice A precompile is missing, failed, or answered with another length: a point off its curve or subgroup, or
    /// too little gas.
    /// @dev Selector 0xeb8d043a.
    error PrecompileFailed(address precompile);
    /// @notice The pairing product is not one: the proof is not valid for this statement.
    /// @dev Selector 0x7fcdd1f4.
    error ProofInvalid();
    /// @notice At deployment: this chain's precompile does not do what EIP-196 and EIP-197 say.
    /// @dev Selector 0x9b0128f7.
    error SelfTestFailed(address precompile);
    /// @notice At deployment: this chain, Bittensor, has the addition of points at 0x09, and at 0x06 what runs calls in
    /// the caller's name. `zkslice export --chain-id` writes a contract for it.
    /// @dev Selector 0xd4508881.
    error AdditionIsAt0x09(uint256 chainId);

    /// @notice Hash of the verifying key.
    bytes32 public constant VK_HASH = 0x76a91a48accd707bce42fca8d37d951445b919785ce5c3fec0745c2e83797b5b;

    /// @dev Order of the groups: the scalar field.
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    /// @dev Modulus of the base field.
    uint256 private constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    address private constant ECADD = 0x0000000000000000000000000000000000000006;
    address private constant ECMUL = 0x0000000000000000000000000000000000000007;
    address private constant PAIRING = 0x0000000000000000000000000000000000000008;

    /// @dev Selector, then the arguments, which are arrays of fixed length and lie one after another.
    uint256 private constant CALLDATA_BYTES = 324;

    // The verifying key. Points of G2 as in EIP-197: x.c1, x.c0, y.c1, y.c0.

    uint256 private constant ALPHA_X = 0x1731b867250755f3f2ba24f900323e47217775cc3c8ed232be09e89ffd5a58ac;
    uint256 private constant ALPHA_Y = 0x105b4506582da1a658bbce4883f1e6f71c290c43a65b9f6d5a6571068be60227;

    uint256 private constant IC0_X = 0x07f0700b503fbe85ef2ad0266b345c330d9019cdf7dc8036e072f51ed42683a4;
    uint256 private constant IC0_Y = 0x062e63f2876bd663bfc0e3b41cde4293c1602214609f0ceb0222822ce3b4e1fc;

    uint256 private constant IC1_X = 0x1c0e2df8bbc63a115934ed544ff89be6d0d7248323abffcc1d0c81692e6eceac;
    uint256 private constant IC1_Y = 0x116ecac9d267f2ec61ac8fdef872d629a02f44ce02f32e9b38895a2ed83c6bd5;

    uint256 private constant IC2_X = 0x05d73fc9098659e76803641789a66a78e26e81cc5acae28758b48b2ba1a6efc6;
    uint256 private constant IC2_Y = 0x0120393a20303a5ffe93dd1e333689847edc2e0864d8a8f5bee5d0a7742d0449;

    uint256 private constant BETA_X1 = 0x2f3bb440bab412ff0924f5c8fc8943be453defb3003ad4684bf04129caed5273;
    uint256 private constant BETA_X0 = 0x1c582afce2c2b16b66e1f43fcbdf77bdfb0383e9926eaa3e98d9639e9a6586be;
    uint256 private constant BETA_Y1 = 0x1340c63cbd9ecf75f4c310d95faab1a9486547bef8f8a4ff56da708d59ad9fac;
    uint256 private constant BETA_Y0 = 0x0fccb69ad904a7ed2fe8a7c77248d2190b47d48e8bae87c792f96fa0ae622f51;

    uint256 private constant GAMMA_X1 = 0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2;
    uint256 private constant GAMMA_X0 = 0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed;
    uint256 private constant GAMMA_Y1 = 0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b;
    uint256 private constant GAMMA_Y0 = 0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa;

    uint256 private constant DELTA_X1 = 0x1e07118ea765dafce1c067f14727f8a818bf50124854b84b02031a5b73199c04;
    uint256 private constant DELTA_X0 = 0x2d9d94ba522b183b129c67141bc2291c989188bee62b392923bd54508b431e02;
    uint256 private constant DELTA_Y1 = 0x00886d2d5e509c8e55b6f607357d1e5b18b2e6a6b1c3892d165bf9dc15acfaf6;
    uint256 private constant DELTA_Y0 = 0x24e7313c930fcd49458cc0ee7bc598c271e1bc21a45c3754125e1434881af77e;

    // The generator of G2, and 2·(1, 2), for the self-test.

    uint256 private constant G2_X1 = 0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2;
    uint256 private constant G2_X0 = 0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed;
    uint256 private constant G2_Y1 = 0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b;
    uint256 private constant G2_Y0 = 0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa;

    uint256 private constant TWO_G1_X = 0x030644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd3;
    uint256 private constant TWO_G1_Y = 0x15ed738c0e0a7c92e7845f96b2ae9c0a68a6a449e3538fc7ff3ebf7a5a18a2c4;

    // Gas forwarded to the precompiles: twice what they took at deployment, since chains' schedules differ. A failing
    // precompile burns what it is given, so it is not given everything.
    uint256 private immutable _ecAddGas;
    uint256 private immutable _ecMulGas;
    uint256 private immutable _pairingGas;

    /// @dev Refuses a chain whose precompiles are missing or err; before it calls any, one that has them elsewhere.
    constructor() {
        if (block.chainid == 964 || block.chainid == 945) revert AdditionIsAt0x09(block.chainid);
        (_ecAddGas, _ecMulGas, _pairingGas) = _selfTest();
    }

    /// @notice Returns if the proof is valid for the public inputs, and reverts otherwise.
    /// @param publics Below r:
    /// [0] public input 0;
    /// [1] public input 1.
    /// @param proof A (x, y), B (x.c1, x.c0, y.c1, y.c0), C (x, y).
    function verifyProof(uint256[2] calldata publics, uint256[8] calldata proof) external view {
        if (msg.data.length != CALLDATA_BYTES) revert CalldataLengthMismatch(CALLDATA_BYTES, msg.data.length);

        // From here on by calldata offset.
        uint256 x;
        uint256 abc;
        assembly ("memory-safe") {
            x := publics
            abc := proof
        }
        // ECMUL would take x + r for x.
        uint256 index = _firstNotBelow(R, x, 0, 2);
        if (index != 2) revert PublicInputOutOfRange(index);
        index = _firstNotBelow(Q, abc, 0, 8);
        if (index != 8) revert CoordinateOutOfRange(index);

        uint256[24] memory pairs;
        (pairs[12], pairs[13]) = (IC0_X, IC0_Y);
        _add(pairs, IC1_X, IC1_Y, publics[0]);
        _add(pairs, IC2_X, IC2_Y, publics[1]);
        _requireProductIsOne(pairs, abc);
    }

    /// @dev Index of the first word of calldata in [`from`, `to`) of the array at `offset` that is not below `bound`; `to`
    /// if there is none.
    function _firstNotBelow(uint256 bound, uint256 offset, uint256 from, uint256 to)
        private
        pure
        returns (uint256 index)
    {
        assembly ("memory-safe") {
            let word := add(offset, shl(5, from))
            let end := add(offset, shl(5, to))
            for {} and(lt(word, end), lt(calldataload(word), bound)) {} { word := add(word, 0x20) }
            index := shr(5, sub(word, offset))
        }
    }

    /// @dev L = L + scalar·(icX, icY).
    function _add(uint256[24] memory pairs, uint256 icX, uint256 icY, uint256 scalar) private view {
        (uint256 addGas, uint256 mulGas) = (_ecAddGas, _ecMulGas);
        bool multiplied;
        bool added;
        // Memory map of the third pair, whose G2 point is not there yet: 0x00 L   0x40 term   0x80 scalar.
        assembly ("memory-safe") {
            let sum := add(pairs, 0x180)
            let term := add(pairs, 0x1c0)
            mstore(term, icX)
            mstore(add(term, 0x20), icY)
            mstore(add(term, 0x40), scalar)
            // Where there is no precompile, the call succeeds without an answer.
            multiplied := staticcall(mulGas, ECMUL, term, 0x60, term, 0x40)
            multiplied := and(multiplied, eq(returndatasize(), 0x40))
            added := staticcall(addGas, ECADD, sum, 0x80, sum, 0x40)
            added := and(added, eq(returndatasize(), 0x40))
        }
        if (!multiplied) revert PrecompileFailed(ECMUL);
        if (!added) revert PrecompileFailed(ECADD);
    }

    /// @dev Completes the pairs, of which L is there, and checks their product.
    function _requireProductIsOne(uint256[24] memory pairs, uint256 abc) private view {
        (pairs[6], pairs[7]) = (ALPHA_X, ALPHA_Y);
        (pairs[8], pairs[9], pairs[10], pairs[11]) = (BETA_X1, BETA_X0, BETA_Y1, BETA_Y0);
        (pairs[14], pairs[15], pairs[16], pairs[17]) = (GAMMA_X1, GAMMA_X0, GAMMA_Y1, GAMMA_Y0);
        (pairs[20], pairs[21], pairs[22], pairs[23]) = (DELTA_X1, DELTA_X0, DELTA_Y1, DELTA_Y0);
        // Memory map, a pair (G1, G2) in 0xc0 bytes:
        //   0x000 −A, B   0x0c0 α, β   0x180 L, γ   0x240 C, δ   0x300 end
        uint256 input;
        assembly ("memory-safe") {
            input := pairs
            // −(x, y) = (x, (q − y) mod q): the outer reduction keeps (0, 0) what it is.
            calldatacopy(pairs, abc, 0xc0)
            mstore(add(pairs, 0x20), mod(sub(Q, calldataload(add(abc, 0x20))), Q))
            calldatacopy(add(pairs, 0x240), add(abc, 0xc0), 0x40)
        }
        (bool ok, uint256 product) = _pairing(_pairingGas, input);
        if (!ok) revert PrecompileFailed(PAIRING);
        if (product != 1) revert ProofInvalid();
    }

    /// @dev The pairing precompile on 4 pairs.
    function _pairing(uint256 gasCap, uint256 input) private view returns (bool ok, uint256 product) {
        assembly ("memory-safe") {
            // The answer goes to scratch space, apart from the input and zero beforehand: silence is not taken for one.
            mstore(0x00, 0)
            ok := staticcall(gasCap, PAIRING, input, 0x300, 0x00, 0x20)
            ok := and(ok, eq(returndatasize(), 0x20))
            product := mload(0x00)
        }
    }

    /// @dev Calls a precompile that answers with a point, which goes where the input is.
    function _point(address precompile, uint256 gasCap, uint256 input, uint256 inputBytes)
        private
        view
        returns (bool ok)
    {
        assembly ("memory-safe") {
            ok := staticcall(gasCap, precompile, input, inputBytes, input, 0x40)
            ok := and(ok, eq(returndatasize(), 0x40))
        }
    }

    /// @dev Asks the precompiles for what is known, and returns twice the gas that each took.
    function _selfTest() private view returns (uint256 ecAddGas, uint256 ecMulGas, uint256 pairingGas) {
        uint256[24] memory io;
        uint256 input;
        assembly ("memory-safe") {
            input := io
        }
        // (1, 2) + (1, 2), and 2·(1, 2) by a scalar of full length: a chain may charge by it.
        (io[0], io[1], io[2], io[3]) = (1, 2, 1, 2);
        uint256 gasBefore = gasleft();
        bool ok = _point(ECADD, gasBefore, input, 0x80);
        ecAddGas = 2 * (gasBefore - gasleft());
        if (!ok || io[0] != TWO_G1_X || io[1] != TWO_G1_Y) revert SelfTestFailed(ECADD);

        (io[0], io[1], io[2]) = (1, 2, R + 2);
        gasBefore = gasleft();
        ok = _point(ECMUL, gasBefore, input, 0x60);
        ecMulGas = 2 * (gasBefore - gasleft());
        if (!ok || io[0] != TWO_G1_X || io[1] != TWO_G1_Y) revert SelfTestFailed(ECMUL);

        // The product of e((1, ±2), G2) with alternating signs: one. Then the last pair's point of G1 is infinity, and
        // it is not.
        for (uint256 i = 0; i < 24; i += 6) {
            (io[i], io[i + 1]) = (1, i % 12 == 0 ? 2 : Q - 2);
            (io[i + 2], io[i + 3], io[i + 4], io[i + 5]) = (G2_X1, G2_X0, G2_Y1, G2_Y0);
        }
        gasBefore = gasleft();
        uint256 product;
        (ok, product) = _pairing(gasBefore, input);
        pairingGas = 2 * (gasBefore - gasleft());
        if (!ok || product != 1) revert SelfTestFailed(PAIRING);
        (io[18], io[19]) = (0, 0);
        (ok, product) = _pairing(pairingGas, input);
        if (!ok || product != 0) revert SelfTestFailed(PAIRING);
    }
}
