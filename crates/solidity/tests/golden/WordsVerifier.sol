// SPDX-License-Identifier: CC0-1.0
// Written by zkslice from a verifying key; not to be edited: any change to the model or its keys gives another file.
pragma solidity ^0.8.24;

/// @title Verifier of slice 0 of 1 of the model "mlp_digits"
/// @notice Checks one proof of this slice. Complete in itself: it reads no storage and calls the precompiles only.
/// These are development keys: whoever made them can prove anything, so the contract deploys on local chains only.
/// @dev Groth16 over BN254 with one commitment round, public inputs x and public words w:
///
///     h0 = keccak256(CHALLENGE_TAG ‖ vkHash ‖ p ‖ x ‖ n ‖ w ‖ C1)
///     χ  = h0 mod r,  F = Σ e_j·χ^j with e = x ‖ w
///     L  = IC_0 + χ·IC_χ + F·IC_F
///     e(−A, B)·e(α, β)·e(L, γ)·e(C1, δ1)·e(C2, δ2) = 1
///
/// Proofs are malleable: from one, anyone makes others of the same statement. Nothing may depend on a proof's bytes.
contract WordsVerifier {
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
    /// @notice At deployment: development keys are for chain ids 1337 and 31337–31346.
    /// @dev Selector 0xc3e2e08b.
    error DevKeysRefused(uint256 chainId);

    /// @notice Hash of the verifying key.
    bytes32 public constant VK_HASH = 0x21e4c428391e46c5b636e9d28e3ace04548cfbefebceeff68f70d0f97a36d72d;

    /// @dev keccak256("zkslice/challenge/v2"), which starts the challenge's preimage.
    bytes32 private constant CHALLENGE_TAG = 0x274ac966bcb8e81a58b2c173a90a0a3d04afaab587ed1012ec9916295235084c;

    /// @dev Order of the groups: the scalar field.
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    /// @dev Modulus of the base field.
    uint256 private constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    address private constant ECADD = 0x0000000000000000000000000000000000000006;
    address private constant ECMUL = 0x0000000000000000000000000000000000000007;
    address private constant PAIRING = 0x0000000000000000000000000000000000000008;

    /// @dev Selector, then the arguments, which are arrays of fixed length and lie one after another.
    uint256 private constant CALLDATA_BYTES = 484;

    // The verifying key. Points of G2 as in EIP-197: x.c1, x.c0, y.c1, y.c0. CHI is IC_χ, FINGERPRINT is IC_F.

    uint256 private constant ALPHA_X = 0x1ec3cebe121a48196e71e65aee3638ec7f402f76e0c51962acfc840908096297;
    uint256 private constant ALPHA_Y = 0x0c9764559fc70456ca58ba3be34f9ea2de2336a3c1c74aeced5cb59bb53f6707;

    uint256 private constant IC0_X = 0x101d36c2ea51b563dcfee57b54e7e877f4da70c8aa3c8deba74b7afe114b6ce0;
    uint256 private constant IC0_Y = 0x0349fae17f4f84ffc02d66477e8a7d67abed386512472c364227d619a237cec7;

    uint256 private constant CHI_X = 0x2a30f44d0b926b0ca442bad302f98297d226e322c4174dee5a30870b19310af2;
    uint256 private constant CHI_Y = 0x23bb1c36067343792184244194a96b70adfa4cabfc28def4c23aa07c9fd2721c;

    uint256 private constant FINGERPRINT_X = 0x2709cced39a4942b1b13510e10ca57375322d5ef365059269d152859c6d89489;
    uint256 private constant FINGERPRINT_Y = 0x0c99abac1cdc62765a6893bde5f3ec233d7112f6665f6f930b65682ce2de63f5;

    uint256 private constant BETA_X1 = 0x0f06abef6c85947edbda9f1fe34517db0b6ef77a14f2d88fc54e285a795750f9;
    uint256 private constant BETA_X0 = 0x22908ee6c1d46257294969ae61db36ef7b39dadeead11ae05ca8109bbdeeb2d7;
    uint256 private constant BETA_Y1 = 0x1296d68bf8ec3f9fad647118db86d1e135b6900323af9151c81b2c06f410e918;
    uint256 private constant BETA_Y0 = 0x2aa8920ea62b2a3925e2b8f20d9a996032e82ee0dfe6037c742db8fbdc90f3c1;

    uint256 private constant GAMMA_X1 = 0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2;
    uint256 private constant GAMMA_X0 = 0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed;
    uint256 private constant GAMMA_Y1 = 0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b;
    uint256 private constant GAMMA_Y0 = 0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa;

    uint256 private constant DELTA1_X1 = 0x10a49540eb8d4ce57e8a0db4a95a0069dd0599d8e8d888e8385d39445b05940c;
    uint256 private constant DELTA1_X0 = 0x09a0e4ba8c884ed9f5bc00df8f1b59c9cec89d05eddf70578232fdca017dc02b;
    uint256 private constant DELTA1_Y1 = 0x1fe415644f563858d72966157ed699d94d9efbb90744bf40afee990d457d025f;
    uint256 private constant DELTA1_Y0 = 0x06242fdcb9678ca3772d3717c1646ceabb8c31fb0b0d8d8598da0fd8c3f9f5b3;

    uint256 private constant DELTA2_X1 = 0x2032c5f59bf52eb69e1aef9e96529f9c9812a16f153470014d53b987fdebd510;
    uint256 private constant DELTA2_X0 = 0x224b4b7fd57d5d9635ad45759fa6fc9cd31c43d8a60f31e7343aae908829485f;
    uint256 private constant DELTA2_Y1 = 0x25a2a50b24dd26ccc13e53360c275f3f5428acc0d24b6213c1fd9820e2718de6;
    uint256 private constant DELTA2_Y0 = 0x176e79be97a183de23b643c29e2f27fd84d8b6d51008ad02b964c955452a2fd9;

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

    /// @dev Refuses a chain whose precompiles are missing or err, and any chain but a local one.
    constructor() {
        bool local = block.chainid == 1337 || (block.chainid >= 31_337 && block.chainid <= 31_346);
        if (!local) revert DevKeysRefused(block.chainid);
        (_ecAddGas, _ecMulGas, _pairingGas) = _selfTest();
    }

    /// @notice Returns if the proof is valid for the public inputs and words, and reverts otherwise.
    /// @param publics Below r:
    /// [0] the context: what the proof is made for.
    /// @param words Packed, the first value lowest:
    /// [0–2] input "input": 64 digits of 8 bits, 31 a word;
    /// [3] output "output": 10 digits of 10 bits, 25 a word.
    /// @param proof A (x, y), B (x.c1, x.c0, y.c1, y.c0), C1 (x, y), C2 (x, y).
    function verifyProof(uint256[1] calldata publics, uint256[4] calldata words, uint256[10] calldata proof)
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
        index = _firstNotBelow(1 << 248, w, 0, 2);
        if (index != 2) revert WordOutOfRange(index, 248);
        index = _firstNotBelow(1 << 16, w, 2, 3);
        if (index != 3) revert WordOutOfRange(index, 16);
        index = _firstNotBelow(1 << 100, w, 3, 4);
        if (index != 4) revert WordOutOfRange(index, 100);
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
        //   0x00 CHALLENGE_TAG   0x20 VK_HASH   0x40 p   0x60 x   0x80 n   0xa0 w   0x120 C1   0x160 end
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore(preimage, CHALLENGE_TAG)
            mstore(add(preimage, 0x20), VK_HASH)
            mstore(add(preimage, 0x40), 1)
            calldatacopy(add(preimage, 0x60), x, 0x20)
            mstore(add(preimage, 0x80), 4)
            calldatacopy(add(preimage, 0xa0), w, 0x80)
            calldatacopy(add(preimage, 0x120), add(abc, 0xc0), 0x40)
            challenge := mod(keccak256(preimage, 0x160), R)
            // From the last: F = (e_1 + (e_2 + …)·χ)·χ; w comes just after x. The sums stay below 2^256: F and e_j are below 2^254.
            for { let element := add(x, 0xa0) } gt(element, x) {} {
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
