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
contract ManyPublicInputsVerifier {
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
    bytes32 public constant VK_HASH = 0x5b6a6d268a4dfb312937c3c4ed82ffb8ae6f3bbe88487cbb7b401a39c3dcc0ae;

    /// @dev Order of the groups: the scalar field.
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    /// @dev Modulus of the base field.
    uint256 private constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    address private constant ECADD = 0x0000000000000000000000000000000000000006;
    address private constant ECMUL = 0x0000000000000000000000000000000000000007;
    address private constant PAIRING = 0x0000000000000000000000000000000000000008;

    /// @dev Selector, then the arguments, which are arrays of fixed length and lie one after another.
    uint256 private constant CALLDATA_BYTES = 1028;

    // The verifying key. Points of G2 as in EIP-197: x.c1, x.c0, y.c1, y.c0.

    uint256 private constant ALPHA_X = 0x08fe3a8d42ac42d6a0b4cb2c6feb703ba7ef4b76f9609a3821c472bb879c93a3;
    uint256 private constant ALPHA_Y = 0x0745fa4984a605a63a5e1cf7282b9ac299bd42df121f2e5d92103d04e000e3b0;

    uint256 private constant IC0_X = 0x1d286e2f8af2aded7eb7414a248f196ba4b908065e0f3f60a04a36c7148e9737;
    uint256 private constant IC0_Y = 0x201846c1a9317f3dd724fb634955ede1cbd61a3aa6ca98dff6e9c47f21596da1;

    uint256 private constant BETA_X1 = 0x144ace229be158777823cad1196d4f7415afab3e90378a09da4c61ab34028932;
    uint256 private constant BETA_X0 = 0x17691d60d911f0d09972ec20945418b7568e005d97dd12cc78ec17f28678daf2;
    uint256 private constant BETA_Y1 = 0x036027aeb47a01f0ea9e90f42bf235ae239eeb7d385576be817e3e71cb013c94;
    uint256 private constant BETA_Y0 = 0x05c51d58db77e8bc2388122a3da06a050af828b66ab141a2804a3320221b2d5f;

    uint256 private constant GAMMA_X1 = 0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2;
    uint256 private constant GAMMA_X0 = 0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed;
    uint256 private constant GAMMA_Y1 = 0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b;
    uint256 private constant GAMMA_Y0 = 0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa;

    uint256 private constant DELTA_X1 = 0x156cd208c22cca083cc3124806e3606da21266ab76bc9db2dbcb021aba44cb00;
    uint256 private constant DELTA_X0 = 0x274f7f791d2b96bd95597b07d2e597cbeb850f13a6498102cc8fd376d273863b;
    uint256 private constant DELTA_Y1 = 0x0af90b94b2cbaff04def5d09d2eef43e6fd3f89081f9342c1bd12a0d20242949;
    uint256 private constant DELTA_Y0 = 0x098e1cc2d027e44ee8452b7fcb3c88c5de2dad0084aadf05fda5cae097890c22;

    /// @dev IC_1 … IC_24: x and y of each.
    bytes private constant IC = hex"279d8b17e76f5c7003e077c210011f9f9e789dc2ca710d2c5e57f7445cd1de2e"
        hex"06c06160e4d973b87bd78e359f3d2304c34419ce94b580a6d2cfe4f4cfc2ab15"
        hex"0d3899bffa9af82ef8034de5bf6e68503d5b83fc09744059862d332975bedecb"
        hex"004a4cdaf9e3c8f1bec92b8190474fa2f67777f46537710892c0577ee745da4f"
        hex"0f12541e92a20e4910ed5b6dd7a64bd200991244b2fb981f84b7a72ae6737c34"
        hex"11cb6dac78b9bc495bc2b4e9e5213e1bfb8dc8b6b82e3174b4cfa7913df48ada"
        hex"0a4e81201b04296015d80ec998e6be6d20dab7a509dfe3b1960ebef3110611b3"
        hex"047d1e32112fe3c1d8e257127bb5412896dcdc11a1a90d880797b2901e5905ed"
        hex"2973f61425b37c31a922b92f2b088d610eb50a15a8e2bd301e98dad87576cc73"
        hex"1d5d5c016fe2edb9996e554b1319512d85b0c0d3755a11f4a70ebacb66aaa50c"
        hex"162d91ecb67a2945296264b5cab05bc59452043ebf60f78c795b0ac4496d7445"
        hex"2aa01f5da0da778a0ee088329b777d0fcc4133231bfefd88e68ac012b4a7a051"
        hex"100ed534041054ea7333fe1bdbbd515f9513a5077080602901c3afc0090f0d1b"
        hex"03c3616d3abb398611a301a7ffc47ff108176f9cac3b2dffe6fa74215d01db94"
        hex"1e695446c272a9445b2ff1028b7153a6d2954c9d5a461222fcec5bad4f4762f4"
        hex"1d1fc112b5d5e3059745c0ecd3076ca5f68b72e8ad80302ba94fd4ce64704d97"
        hex"218944474284536d54a48c44bfdc43a5b5815b52c963acbc018e3465c787c882"
        hex"0f307039d0e7256ce2e9fb45d5a39a7bde84f5c89103ef384be5623f5144d9a1"
        hex"18a25a08726dbb5a5fe5a429e3f03dd4a9531a361f12376777ecd20d200176a3"
        hex"1af9bfc7e09f3e9d5afa9acc5d8f79fbaf4233d05dfbbf492dca26c12d5e4506"
        hex"016ba763fe9feebd21ce2169eef9d9190c84aaac6a48d6887441bf0f98963e03"
        hex"22b47cb931c41a97cc710071e760324ad5043ec754304266f09101a69b60e8c5"
        hex"039cb8683fac46e074f871036eb2c56fdaa4790bca3ad8dbfac41398f538a659"
        hex"234516e3222d8c32afff5bce97e114f970ed9bd792983cfec773dcd1f0262fa7"
        hex"26f00f8e7f17011aca35ac9143d0cec6e4fd82ac802dd7c9c77115e695a6216d"
        hex"2903f91893ffab23731039a994ed07b9dea24c193db60eeceb61ca0a9c92855b"
        hex"07931c8cdaf1159a83951e9e0f05f817f917da33fb028fee8d93bbad7ad4c9ae"
        hex"2fc57aefb15c3170f06398f53084fce6030923b2e90682c0d4870861cf3a81ad"
        hex"2dfebab50c0053691f940db4a6479eac4a16fac486a2a1d12dac51dff3ab0123"
        hex"1c94d36348c49f1780276c44277e70fd645632701aad9e5df84f297509588b99"
        hex"222162a826f9017d46f576bcdf67c659366368f3902ba4f17d420a3d8e891315"
        hex"24f1b495527a5212dcc974533fc4917896b1056a664ba949a447398f897a86bc"
        hex"1e59b3200c3991daf752ea37bef8c5700060d65bd977f0c970640f80fa377849"
        hex"0aa604319301f3f602211a627b6251f232ec5d1bbe76aca8c7b73f9bb72aaadb"
        hex"2f69ca8ef0df96395ab5782ab97fff3b2072cd3a7dbca8891f25920089e659ce"
        hex"0323613d8c2ab8598c92b5c1e9fa74406947b89ba17d06241d53c74b5b0ba414"
        hex"2053f007e6b894ed25c2013c0cca025f3af68adf6a2be3ed1f13db7e05ac077a"
        hex"271ce95889a856c2d05afa29c5a917de8de8091daf3800bb1e1331174943144a"
        hex"242bf404fa4e980f444c9ec0f8e174f2bc4cab38eb805ceb0c8b28a7671d3d24"
        hex"1725e26eece3db31eb2e02378900fa9e47e683382e15830e8758a9fd3b19f594"
        hex"087ee5560b28a92df36016c4595620ef03a3664a2425386bc00e8b4b2bd44d82"
        hex"1cf9981189b8af2103af742ac98545e1432961533d5017eed963849d6bb53b5f"
        hex"0db3273afe5ed12b60b8f1c853156c5f93674b9a1e2f39ea6118374432e17f43"
        hex"2d5b1e336f3ac1e52e8d13a72a2b4496015018c656059a963d6ef6da3b47552d"
        hex"088ef8dc1db944b2e6c67c6d0a9ba0e67eea2f428fcb03529d5f0c05bab01890"
        hex"24e8af00fe98f9cf48170bcbc56cb999aba432d48cd41b86a70db1e543c66da5"
        hex"0fe34eb9684d710d9088086f2e53870d0f27cfc8b0113488e7e00bfc762c536f"
        hex"16732f3f19096e5fd6897cb6dd8b56b43306ba032ec0b3340f185661934d46b7";

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
    /// [1] public input 1;
    /// [2] public input 2;
    /// [3] public input 3;
    /// [4] public input 4;
    /// [5] public input 5;
    /// [6] public input 6;
    /// [7] public input 7;
    /// [8] public input 8;
    /// [9] public input 9;
    /// [10] public input 10;
    /// [11] public input 11;
    /// [12] public input 12;
    /// [13] public input 13;
    /// [14] public input 14;
    /// [15] public input 15;
    /// [16] public input 16;
    /// [17] public input 17;
    /// [18] public input 18;
    /// [19] public input 19;
    /// [20] public input 20;
    /// [21] public input 21;
    /// [22] public input 22;
    /// [23] public input 23.
    /// @param proof A (x, y), B (x.c1, x.c0, y.c1, y.c0), C (x, y).
    function verifyProof(uint256[24] calldata publics, uint256[8] calldata proof) external view {
        if (msg.data.length != CALLDATA_BYTES) revert CalldataLengthMismatch(CALLDATA_BYTES, msg.data.length);

        // From here on by calldata offset.
        uint256 x;
        uint256 abc;
        assembly ("memory-safe") {
            x := publics
            abc := proof
        }
        // ECMUL would take x + r for x. Public inputs are
        // compared where they are multiplied.
        uint256 index;
        index = _firstNotBelow(Q, abc, 0, 8);
        if (index != 8) revert CoordinateOutOfRange(index);

        uint256[24] memory pairs;
        (pairs[12], pairs[13]) = (IC0_X, IC0_Y);
        _addPublicInputs(pairs, x);
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

    /// @dev L = L + Σ x_j·IC_j. Faults are gathered, and told apart at the end.
    function _addPublicInputs(uint256[24] memory pairs, uint256 x) private view {
        bytes memory ic = IC;
        (uint256 addGas, uint256 mulGas) = (_ecAddGas, _ecMulGas);
        bool below = true;
        bool multiplied = true;
        bool added = true;
        // Memory map as in `_add`.
        assembly ("memory-safe") {
            let sum := add(pairs, 0x180)
            let term := add(pairs, 0x1c0)
            let point := add(ic, 0x20)
            for { let word := x } lt(word, add(x, 0x300)) { word := add(word, 0x20) } {
                let scalar := calldataload(word)
                below := and(below, lt(scalar, R))
                mstore(term, mload(point))
                mstore(add(term, 0x20), mload(add(point, 0x20)))
                mstore(add(term, 0x40), scalar)
                point := add(point, 0x40)
                multiplied := and(multiplied, staticcall(mulGas, ECMUL, term, 0x60, term, 0x40))
                multiplied := and(multiplied, eq(returndatasize(), 0x40))
                added := and(added, staticcall(addGas, ECADD, sum, 0x80, sum, 0x40))
                added := and(added, eq(returndatasize(), 0x40))
            }
        }
        if (!below) revert PublicInputOutOfRange(_firstNotBelow(R, x, 0, 24));
        if (!multiplied) revert PrecompileFailed(ECMUL);
        if (!added) revert PrecompileFailed(ECADD);
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
