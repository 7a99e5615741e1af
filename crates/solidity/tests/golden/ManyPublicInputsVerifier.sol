// SPDX-License-Identifier: CC0-1.0
// Written by zkslice from a verifying key; not to be edited: any change to the model or its keys gives another file.
pragma solidity ^0.8.24;

/// @title Verifier of slice 0 of 1 of the model "a circuit made for tests"
/// @notice Checks one proof of this slice. Complete in itself: it reads no storage and calls the precompiles only.
/// @dev Groth16 over BN254 with one commitment round, public inputs x and public words w:
///
///     h0 = keccak256(CHALLENGE_TAG ‖ vkHash ‖ p ‖ x ‖ n ‖ w ‖ C1),  χ = h0 mod r,  F = Σ w_j·χ^j
///     L  = IC_0 + Σ x_j·IC_j + χ·IC_χ + F·IC_F
///     e(−A, B)·e(α, β)·e(L, γ)·e(C1, δ1)·e(C2, δ2) = 1
///
/// Proofs are malleable: from one, anyone makes others of the same statement. Nothing may depend on a proof's bytes.
contract ManyPublicInputsVerifier {
    /// @notice Calldata has another length than the arguments.
    /// @dev Selector 0xf7b94f0a.
    error CalldataLengthMismatch(uint256 expected, uint256 received);
    /// @notice A public input is not below r.
    /// @dev Selector 0x27f4abcd.
    error PublicInputOutOfRange(uint256 index);
    /// @notice A public word has bits beyond those of its digits.
    /// @dev Selector 0x06b0b72a.
    error WordOutOfRange(uint256 index, uint256 bits);
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

    /// @notice Hash of the verifying key.
    bytes32 public constant VK_HASH = 0x3e06288495d41bc2c1af8777e350e8e4e56e17142cab93e05c90c696bd135946;

    /// @dev keccak256("zkslice/challenge/v1"), which starts the challenge's preimage.
    bytes32 private constant CHALLENGE_TAG = 0x999cc8ccc2c2f17fcfac04fb7c8dcb9f09908be181ede35c62f0d54f9a96f953;

    /// @dev Order of the groups: the scalar field.
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    /// @dev Modulus of the base field.
    uint256 private constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    address private constant ECADD = 0x0000000000000000000000000000000000000006;
    address private constant ECMUL = 0x0000000000000000000000000000000000000007;
    address private constant PAIRING = 0x0000000000000000000000000000000000000008;

    /// @dev Selector, then the arguments, which are arrays of fixed length and lie one after another.
    uint256 private constant CALLDATA_BYTES = 1188;

    // The verifying key. Points of G2 as in EIP-197: x.c1, x.c0, y.c1, y.c0. CHI is IC_χ, FINGERPRINT is IC_F.

    uint256 private constant ALPHA_X = 0x08fe3a8d42ac42d6a0b4cb2c6feb703ba7ef4b76f9609a3821c472bb879c93a3;
    uint256 private constant ALPHA_Y = 0x0745fa4984a605a63a5e1cf7282b9ac299bd42df121f2e5d92103d04e000e3b0;

    uint256 private constant IC0_X = 0x0c2abca37c3ad1cfa9694fde9dc1b50ebd4e4f40f23bc9c2bbaf9a28c654f1f9;
    uint256 private constant IC0_Y = 0x1621aed4f90f6130f42220ee932a354b47d11ce30424d2bd7dbfc74753aa1013;

    uint256 private constant CHI_X = 0x0110edc6d7932c8084a9d01b1ed047c5beb1188b32bb50f6ae09b695340f7dcb;
    uint256 private constant CHI_Y = 0x18da1fbcce6cd04f64fe84e42f2448614e29ad771da349f397546970ef232d48;

    uint256 private constant FINGERPRINT_X = 0x00a18d40c5f1391248eaa7690c9395c3cf87e90ea99e2c09000c6f91be3e91f7;
    uint256 private constant FINGERPRINT_Y = 0x1bed55317d7ae57854fb7c6ac9fe561f342d744bdf077e1d71ed0f2744d14acd;

    uint256 private constant BETA_X1 = 0x144ace229be158777823cad1196d4f7415afab3e90378a09da4c61ab34028932;
    uint256 private constant BETA_X0 = 0x17691d60d911f0d09972ec20945418b7568e005d97dd12cc78ec17f28678daf2;
    uint256 private constant BETA_Y1 = 0x036027aeb47a01f0ea9e90f42bf235ae239eeb7d385576be817e3e71cb013c94;
    uint256 private constant BETA_Y0 = 0x05c51d58db77e8bc2388122a3da06a050af828b66ab141a2804a3320221b2d5f;

    uint256 private constant GAMMA_X1 = 0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2;
    uint256 private constant GAMMA_X0 = 0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed;
    uint256 private constant GAMMA_Y1 = 0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b;
    uint256 private constant GAMMA_Y0 = 0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa;

    uint256 private constant DELTA1_X1 = 0x1f519f9dc1f39b65f492bbc4adc2c8a3ef874a3bcdea95e001310888951290be;
    uint256 private constant DELTA1_X0 = 0x1327d074b779e2f189c455907da3a7b1f859406a7b376292c192ac1253fea124;
    uint256 private constant DELTA1_Y1 = 0x1695a1c306414ebff7f24c96bdf9003e955ea5ba4d6c94171e578df9553b0ec0;
    uint256 private constant DELTA1_Y0 = 0x02509343496bc37f606eb99307b2ed019b182a2e88580f257ce3cc49962ce079;

    uint256 private constant DELTA2_X1 = 0x156cd208c22cca083cc3124806e3606da21266ab76bc9db2dbcb021aba44cb00;
    uint256 private constant DELTA2_X0 = 0x274f7f791d2b96bd95597b07d2e597cbeb850f13a6498102cc8fd376d273863b;
    uint256 private constant DELTA2_Y1 = 0x0af90b94b2cbaff04def5d09d2eef43e6fd3f89081f9342c1bd12a0d20242949;
    uint256 private constant DELTA2_Y0 = 0x098e1cc2d027e44ee8452b7fcb3c88c5de2dad0084aadf05fda5cae097890c22;

    /// @dev IC_1 … IC_24: x and y of each.
    bytes private constant IC = hex"1a5cbfddd4fb8980ae112ac4cade254a172ae7a773d8692529cf05f70888e8f1"
        hex"275752e7da096e2eb4ddaab93c9225ed91c2db8536bbe0ed34a3a88c4651bdcd"
        hex"26e06335de002e7870e4b3e4d1d0072d152a0941e6d0eec0d77c86ee34347d03"
        hex"00e06d514b35e957fca67634448b2dedf6a9aedc321302ded590147987727658"
        hex"013b38245a5332ae36c93d6f2f916d2217c544a3dce343ff594e7417fb52b8b5"
        hex"1b3ce50231c92256763296642fd6763247003290a082472ed05ca69b1a1dc016"
        hex"28708be554ead88be8d32aff117691ccb6a885c39fe35a6fe7bf768fac8bbd1d"
        hex"037ac11d0029ddf57fdcb938d9591c4728e245582dfcfc8829ba9e1fd45faf4c"
        hex"202e27a41d88f7e3fd6f2513da0429c55e104b546ed91fb823a4b295d880dc45"
        hex"166ce85b2df18e1ec53b979d243321d846437a31528356279889527168c31459"
        hex"1d56bde34a9be9009786a4f54c3b4342cb47dbe456ca06154f1a9277a011a2bc"
        hex"2ab4189619e5b49bada411c919f1db0d16b5ac9f71882443acf6ee7f01aaef67"
        hex"087b2fb2f1dc0e2e09c073a895ca984c53c3b2159cb896c3528cdc964d1864c5"
        hex"0117ebd785a156eb95c47509e848cb49e34fb6db5cac50cf5c6e560f1df4ee82"
        hex"10353c95fcc3b421008d70690ae44a9a4f94a6eb287b8407e4f0202521594df0"
        hex"00c13817f9d0d4409e8a5bcc0c2f15925c703fe7cfbe33c83e676972c6eaec54"
        hex"12daef557ca112264f88742512caa93d17a27eb369b9e3a21faf17f268a0dcbd"
        hex"1fb2d90cd661f0dc82ed3bb54b7e27deb4934c693698fc53923bb8fe630ada80"
        hex"2687de1f18a8b280ea24972074e272162f2f5a6295552ee688b8cde5e8e49bf8"
        hex"10baebb581327a27fa9a0ab716fceeb9215e9c1b2b9f7060fb8b908de97dc6ad"
        hex"1d6a9ebd79d0a0e51e52f2b5240cb9b078f78bbd539850a1c17898e8bab9bc0d"
        hex"069cb81d18739169f1e106245f246d0a314a1f4f17ce6704238d5982ff8b34e3"
        hex"05f2d04bd1f8cb3f6d73d2689baed68afd6a057b1601ce0b39b7b389088d4227"
        hex"3011e20b8c57c3cf74774388fe872d4e007d49019319c70a9dd38f308357bea9"
        hex"237ba1c50179a556cc70ba06dbfd96b698f759e34868326e41c1c51d44f04691"
        hex"2f47f3ebf8cc747e829a20b1761733c41b7c8f235b6a0c64c647d76ffbc01f6c"
        hex"1ee0159a8ed5421258b91b9f6d659b579262a2faea5fa346f060860afb8ef923"
        hex"282652e60caa9bee246843f1862d618bfe3f284d434dfa57031f08a098f78291"
        hex"132597f931a2bbf5403ea20dd92819279e2be71e841a18f8f71aad5d96dd56a5"
        hex"293b96c7ca2a43dec2f5d65e5c78aac3958eb82660c7b57b834a99c5215d1d7c"
        hex"0ed8f9d96aeafe76e4a289278baf0b078d67e1aa3dd0997d7e5842dbbd979f4f"
        hex"16ff7c4bdd06d0a47b2bfee1e98489c55e277e0b649461475c3930928b56a652"
        hex"2ac0040a8faf07bfaf7b85477ddc1ffd3c77de93407ca58f596661b31c4d5116"
        hex"11cc7fe53c4ecf6916b581538e81c8b441bea941eb11af1f7f63ddb7b208e079"
        hex"28ab24fbdfd91dedbd851de1c3cb003c05ebdf1fef8911dfd18a7b560d21223f"
        hex"2cd175438f2fd4cb2955cac3e5cc3983d5bd1f6077218bd65186dbc96aa12200"
        hex"0c9cefa9df6941efe61abb8e5bf9296374f5a4a9b471b8ccdf056c85693b7e88"
        hex"15191542276e40db5f43bedcc4630521f728ac3f41240a6f5f7ce9dd24ac9a26"
        hex"194c95a307d086426bbb283c0e05b4e2d0114ee341a1afaf487eee31fbbf4cfa"
        hex"10d4a1009235d86f65c902baff932095187d5eadc4e226b65eca6ec38defa06a"
        hex"24978af0d6481d6ab424b2724d64707a5f687b0ac66bf9825e8f4d7c64687508"
        hex"1fecc1e9a387aa1b09208e6a69672cd129cadadf9c89b7dcbccc8ef15cda552b"
        hex"293fe04ae059cd2fc6771a174498fff7db05a7f0638e96c5293c5a9471e0e8d7"
        hex"2ce927930440bb98ee8f442c12815b2bc491c134d5d9cb5a1a11f6e65c8fa621"
        hex"03973a142ffecf5620590dd6d91f06304cd4fc4291963eb3598554b743e7b0bd"
        hex"269cf839ec161d1e8c43519f99fc620f7290255416514e29caa663d96c049392"
        hex"2a023b297396179bb0feddd7f903e83ed09a4d78a91396852ccf2164e348faa6"
        hex"301f9e6a2d0c0fa8a2e43f8b35b4cf3ccb0dd3d4eb5add5483f701a208a1bd3c";

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

    /// @dev Refuses a chain whose precompiles are missing or err.
    constructor() {
        (_ecAddGas, _ecMulGas, _pairingGas) = _selfTest();
    }

    /// @notice Returns if the proof is valid for the public inputs and words, and reverts otherwise.
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
    /// @param words Packed, the first value lowest:
    /// [0] group 0: 3 digits of 6 bits, 42 a word;
    /// [1–2] group 1: 70 digits of 6 bits, 42 a word.
    /// @param proof A (x, y), B (x.c1, x.c0, y.c1, y.c0), C1 (x, y), C2 (x, y).
    function verifyProof(uint256[24] calldata publics, uint256[3] calldata words, uint256[10] calldata proof)
        external
        view
    {
        if (msg.data.length != CALLDATA_BYTES) revert CalldataLengthMismatch(CALLDATA_BYTES, msg.data.length);

        // From here on by calldata offset.
        uint256 x;
        uint256 w;
        uint256 abc;
        assembly ("memory-safe") {
            x := publics
            w := words
            abc := proof
        }

        // ECMUL would take x + r for x, and the fingerprint a word + r for the word. Public inputs are
        // compared where they are multiplied.
        uint256 index;
        index = _firstNotBelow(1 << 18, w, 0, 1);
        if (index != 1) revert WordOutOfRange(index, 18);
        index = _firstNotBelow(1 << 252, w, 1, 2);
        if (index != 2) revert WordOutOfRange(index, 252);
        index = _firstNotBelow(1 << 168, w, 2, 3);
        if (index != 3) revert WordOutOfRange(index, 168);
        index = _firstNotBelow(Q, abc, 0, 10);
        if (index != 10) revert CoordinateOutOfRange(index);

        uint256[30] memory pairs;
        (pairs[12], pairs[13]) = (IC0_X, IC0_Y);
        _addPublicInputs(pairs, x);
        (uint256 challenge, uint256 fingerprint) = _challenge(x, w, abc);
        _add(pairs, CHI_X, CHI_Y, challenge);
        _add(pairs, FINGERPRINT_X, FINGERPRINT_Y, fingerprint);
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

    /// @dev χ, and F by Horner's rule.
    function _challenge(uint256 x, uint256 w, uint256 abc)
        private
        pure
        returns (uint256 challenge, uint256 fingerprint)
    {
        // Memory map of the preimage, which lies beyond the free memory pointer and is not kept:
        //   0x00 CHALLENGE_TAG   0x20 VK_HASH   0x40 p   0x60 x   0x360 n   0x380 w   0x3e0 C1   0x420 end
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore(preimage, CHALLENGE_TAG)
            mstore(add(preimage, 0x20), VK_HASH)
            mstore(add(preimage, 0x40), 24)
            calldatacopy(add(preimage, 0x60), x, 0x300)
            mstore(add(preimage, 0x360), 3)
            calldatacopy(add(preimage, 0x380), w, 0x60)
            calldatacopy(add(preimage, 0x3e0), add(abc, 0xc0), 0x40)
            challenge := mod(keccak256(preimage, 0x420), R)
            // From the last word: F = (w_1 + (w_2 + …)·χ)·χ. The sums stay below 2^256: F < r < 2^254, w_j < 2^253.
            for { let word := add(w, 0x60) } gt(word, w) {} {
                word := sub(word, 0x20)
                fingerprint := mulmod(add(fingerprint, calldataload(word)), challenge, R)
            }
        }
    }

    /// @dev L = L + Σ x_j·IC_j. Faults are gathered, and told apart at the end.
    function _addPublicInputs(uint256[30] memory pairs, uint256 x) private view {
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
    function _add(uint256[30] memory pairs, uint256 icX, uint256 icY, uint256 scalar) private view {
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
    function _requireProductIsOne(uint256[30] memory pairs, uint256 abc) private view {
        (pairs[6], pairs[7]) = (ALPHA_X, ALPHA_Y);
        (pairs[8], pairs[9], pairs[10], pairs[11]) = (BETA_X1, BETA_X0, BETA_Y1, BETA_Y0);
        (pairs[14], pairs[15], pairs[16], pairs[17]) = (GAMMA_X1, GAMMA_X0, GAMMA_Y1, GAMMA_Y0);
        (pairs[20], pairs[21], pairs[22], pairs[23]) = (DELTA1_X1, DELTA1_X0, DELTA1_Y1, DELTA1_Y0);
        (pairs[26], pairs[27], pairs[28], pairs[29]) = (DELTA2_X1, DELTA2_X0, DELTA2_Y1, DELTA2_Y0);
        // Memory map, a pair (G1, G2) in 0xc0 bytes:
        //   0x000 −A, B   0x0c0 α, β   0x180 L, γ   0x240 C1, δ1   0x300 C2, δ2   0x3c0 end
        uint256 input;
        assembly ("memory-safe") {
            input := pairs
            // −(x, y) = (x, (q − y) mod q): the outer reduction keeps (0, 0) what it is.
            calldatacopy(pairs, abc, 0xc0)
            mstore(add(pairs, 0x20), mod(sub(Q, calldataload(add(abc, 0x20))), Q))
            calldatacopy(add(pairs, 0x240), add(abc, 0xc0), 0x40)
            calldatacopy(add(pairs, 0x300), add(abc, 0x100), 0x40)
        }
        (bool ok, uint256 product) = _pairing(_pairingGas, input);
        if (!ok) revert PrecompileFailed(PAIRING);
        if (product != 1) revert ProofInvalid();
    }

    /// @dev The pairing precompile on 5 pairs.
    function _pairing(uint256 gasCap, uint256 input) private view returns (bool ok, uint256 product) {
        assembly ("memory-safe") {
            // The answer goes to scratch space, apart from the input and zero beforehand: silence is not taken for one.
            mstore(0x00, 0)
            ok := staticcall(gasCap, PAIRING, input, 0x3c0, 0x00, 0x20)
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
        uint256[30] memory io;
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

        // The product of e((1, ±2), G2) with alternating signs, an odd number: not one. Then the last pair's point of G1 is
        // infinity, and it is.
        for (uint256 i = 0; i < 30; i += 6) {
            (io[i], io[i + 1]) = (1, i % 12 == 0 ? 2 : Q - 2);
            (io[i + 2], io[i + 3], io[i + 4], io[i + 5]) = (G2_X1, G2_X0, G2_Y1, G2_Y0);
        }
        gasBefore = gasleft();
        uint256 product;
        (ok, product) = _pairing(gasBefore, input);
        pairingGas = 2 * (gasBefore - gasleft());
        if (!ok || product != 0) revert SelfTestFailed(PAIRING);
        (io[24], io[25]) = (0, 0);
        (ok, product) = _pairing(pairingGas, input);
        if (!ok || product != 1) revert SelfTestFailed(PAIRING);
    }
}
