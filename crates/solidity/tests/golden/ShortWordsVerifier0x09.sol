// SPDX-License-Identifier: CC0-1.0
// Written by zkslice from a verifying key; not to be edited: any change to the model or its keys gives another file.
pragma solidity ^0.8.24;

/// @title Verifier of slice 0 of 1 of the model "a circuit made for tests"
/// @notice Checks one proof of this slice. Complete in itself: it reads no storage and calls the precompiles only.
/// @dev Groth16 over BN254 with one commitment round, public inputs x and public words w:
///
///     h0 = keccak256(CHALLENGE_TAG ‖ vkHash ‖ p ‖ x ‖ n ‖ w ‖ C1)
///     χ  = h0 mod r,  F = Σ e_j·χ^j with e = x ‖ w
///     L  = IC_0 + χ·IC_χ + F·IC_F
///     e(−A, B)·e(α, β)·e(L, γ)·e(C1, δ1)·e(C2, δ2) = 1
///
/// Proofs are malleable: from one, anyone makes others of the same statement. Nothing may depend on a proof's bytes.
contract ShortWordsVerifier0x09 {
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
    /// @notice At deployment: this chain has the addition of points at 0x06, as all but Bittensor (chain ids 964, 945)
    /// do. `zkslice export` without `--chain-id` writes a contract for it.
    /// @dev Selector 0xc6f4471c.
    error AdditionIsAt0x06(uint256 chainId);

    /// @notice Hash of the verifying key.
    bytes32 public constant VK_HASH = 0xafc066f9f95e80b7ddf178d58e7dd9d3151bf2c24b63f0cfdb949c93d8008399;

    /// @dev keccak256("zkslice/challenge/v2"), which starts the challenge's preimage.
    bytes32 private constant CHALLENGE_TAG = 0x274ac966bcb8e81a58b2c173a90a0a3d04afaab587ed1012ec9916295235084c;

    /// @dev Order of the groups: the scalar field.
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    /// @dev Modulus of the base field.
    uint256 private constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    address private constant ECADD = 0x0000000000000000000000000000000000000009;
    address private constant ECMUL = 0x0000000000000000000000000000000000000007;
    address private constant PAIRING = 0x0000000000000000000000000000000000000008;

    /// @dev Selector, then the arguments, which are arrays of fixed length and lie one after another.
    uint256 private constant CALLDATA_BYTES = 452;

    // The verifying key. Points of G2 as in EIP-197: x.c1, x.c0, y.c1, y.c0. CHI is IC_χ, FINGERPRINT is IC_F.

    uint256 private constant ALPHA_X = 0x2e7965dd67a9a6004fadedef3fc000c1777b2cadf4634ae02ae59039f214bfb9;
    uint256 private constant ALPHA_Y = 0x1ac62f5850677ef3a59a99ec079563f21d26cf3ce2e478a002bf627c6800e773;

    uint256 private constant IC0_X = 0x056956d2eb2b10f0e6c49e19aad639a68a53b44457a841f04875eedce1c05746;
    uint256 private constant IC0_Y = 0x029a6c36f431cddd68296177ba4431571f5b8abfee09ab17cdf29363a357e65a;

    uint256 private constant CHI_X = 0x2720c9c6ad67451ccd256ff8cc31dea1afb8e7fe1f67b17734d921c03d6fe8b1;
    uint256 private constant CHI_Y = 0x0df0763b16ed95a241015a66d71b12f79801250eda6b75b60b304b21403d8a87;

    uint256 private constant FINGERPRINT_X = 0x1ba525d8f40786797d1388e5246faf5ea7cf60df0d4babe7f00d4458d3bd9863;
    uint256 private constant FINGERPRINT_Y = 0x0d4970d5dfb95e33a9af68d5521b87b124d2874ac0867f0726c12142fda1d6f6;

    uint256 private constant BETA_X1 = 0x2b27a9bdd36d2ba1ed7c8e457add0b78f1011252f16ce3289841ef91601f1148;
    uint256 private constant BETA_X0 = 0x169c942e6b5f11553ac4456dc5184e112788e17dc96e836a8c1cd1084a80fc77;
    uint256 private constant BETA_Y1 = 0x0cd7ca089fef3724943999237dbe30fa02adb4a058f575d01e37c1164b4bb888;
    uint256 private constant BETA_Y0 = 0x08a0bafa668b954bea59ff4c2e31546474a6d99910cfeb3ca512f6437ff615ba;

    uint256 private constant GAMMA_X1 = 0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2;
    uint256 private constant GAMMA_X0 = 0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed;
    uint256 private constant GAMMA_Y1 = 0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b;
    uint256 private constant GAMMA_Y0 = 0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa;

    uint256 private constant DELTA1_X1 = 0x150471e96004d552f87af2e5674d42b06cb34a23816db4497df2e8b416d97088;
    uint256 private constant DELTA1_X0 = 0x279819c75ab5ddb0dd5850be36f251bb5f1ea1aceffb12f66689195a1fb0d6d4;
    uint256 private constant DELTA1_Y1 = 0x24b313273936b3fe18de84503a8fbcb9d745d8bf0422f39376bb792e316b371b;
    uint256 private constant DELTA1_Y0 = 0x2488a42740b7cb74c0357081a1a3161901996f2a924f200c1743305c9d6b2599;

    uint256 private constant DELTA2_X1 = 0x2a110de459578be84596e16d25716eb293908adbdb24cc7551dd21592e0b6576;
    uint256 private constant DELTA2_X0 = 0x109c320b8b48a0d43d2ba702834b2ec2782f99ff131fb9d4989959375bbfa068;
    uint256 private constant DELTA2_Y1 = 0x30258377594f370ddf9660dde1b0f4048e051f0ca97c76ab12b3354ba1e255d9;
    uint256 private constant DELTA2_Y0 = 0x2d89c36ad5a87f8887ac6d10a28c7b180c340e4d95c451a4c15d139392661887;

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
        if (block.chainid != 964 && block.chainid != 945) revert AdditionIsAt0x06(block.chainid);
        (_ecAddGas, _ecMulGas, _pairingGas) = _selfTest();
    }

    /// @notice Returns if the proof is valid for the public inputs and words, and reverts otherwise.
    /// @param publics Below r:
    /// [0] public input 0.
    /// @param words Packed, the first value lowest:
    /// [0] group 0: 3 digits of 6 bits, 42 a word;
    /// [1–2] group 1: 70 digits of 6 bits, 42 a word.
    /// @param proof A (x, y), B (x.c1, x.c0, y.c1, y.c0), C1 (x, y), C2 (x, y).
    function verifyProof(uint256[1] calldata publics, uint256[3] calldata words, uint256[10] calldata proof)
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
        // The fingerprint would take x + r for x, and a word + r for the word.
        uint256 index = _firstNotBelow(R, x, 0, 1);
        if (index != 1) revert PublicInputOutOfRange(index);
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
        //   0x00 CHALLENGE_TAG   0x20 VK_HASH   0x40 p   0x60 x   0x80 n   0xa0 w   0x100 C1   0x140 end
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore(preimage, CHALLENGE_TAG)
            mstore(add(preimage, 0x20), VK_HASH)
            mstore(add(preimage, 0x40), 1)
            calldatacopy(add(preimage, 0x60), x, 0x20)
            mstore(add(preimage, 0x80), 3)
            calldatacopy(add(preimage, 0xa0), w, 0x60)
            calldatacopy(add(preimage, 0x100), add(abc, 0xc0), 0x40)
            challenge := mod(keccak256(preimage, 0x140), R)
            // From the last: F = (e_1 + (e_2 + …)·χ)·χ; w comes just after x. The sums stay below 2^256: F and e_j are below 2^254.
            for { let element := add(x, 0x80) } gt(element, x) {} {
                element := sub(element, 0x20)
                fingerprint := mulmod(add(fingerprint, calldataload(element)), challenge, R)
            }
        }
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
