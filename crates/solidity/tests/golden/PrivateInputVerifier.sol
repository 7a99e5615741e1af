// SPDX-License-Identifier: CC0-1.0
// Written by zkslice from a verifying key; not to be edited: any change to the model or its keys gives another file.
pragma solidity ^0.8.24;

/// @title Verifier of slice 0 of 2 of the model "mlp_digits"
/// @notice Checks one proof of this slice. Complete in itself: it reads no storage and calls the precompiles only.
/// One slice says nothing about the model's output for an input: for that, all slices must be proven over the same
/// commitments and for the same context, as `BundleVerifier` checks.
/// These are development keys: whoever made them can prove anything, so the contract deploys on local chains only.
/// @dev Groth16 over BN254 with one commitment round and public inputs x:
///
///     h0 = keccak256(CHALLENGE_TAG ‖ vkHash ‖ p ‖ x ‖ n ‖ C1)
///     χ  = h0 mod r,  F = Σ e_j·χ^j with e = x
///     L  = IC_0 + χ·IC_χ + F·IC_F
///     e(−A, B)·e(α, β)·e(L, γ)·e(C1, δ1)·e(C2, δ2) = 1
///
/// Proofs are malleable: from one, anyone makes others of the same statement. Nothing may depend on a proof's bytes.
contract PrivateInputVerifier {
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
    /// @notice At deployment: development keys are for chain ids 1337 and 31337–31346.
    /// @dev Selector 0xc3e2e08b.
    error DevKeysRefused(uint256 chainId);

    /// @notice Hash of the verifying key.
    bytes32 public constant VK_HASH = 0x5a1e1093378c77fe1c934f1244f23a630b4923cf705dfae80ccd8e7516fb038f;

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
    uint256 private constant CALLDATA_BYTES = 452;

    // The verifying key. Points of G2 as in EIP-197: x.c1, x.c0, y.c1, y.c0. CHI is IC_χ, FINGERPRINT is IC_F.

    uint256 private constant ALPHA_X = 0x1f69f365526ff0e585668882e714c47ce4bb072f4b0ca3c04cd799ada6a7e2a5;
    uint256 private constant ALPHA_Y = 0x230f96fb5fc7c1537a88b686fb7ffb22e63249445c3e8ecc701a34f1557b12b4;

    uint256 private constant IC0_X = 0x0921a89b72ad0d0be81947691225edcd3757a118eb6382ef6194fe96a7d12ead;
    uint256 private constant IC0_Y = 0x178c518942af155833f4baf8b445602631712ee1acc7ed0b0b47487ed7a2274a;

    uint256 private constant CHI_X = 0x0d74ba2f0208cab68ef39f5b7adcaf2dc15d2291a83e511ebba633fafd1e7ed5;
    uint256 private constant CHI_Y = 0x18bda5e3e238057c56e74ff414f8f202978b8843e62134dabb689d89891656cd;

    uint256 private constant FINGERPRINT_X = 0x276ee6c0a65a979f37e371ee764b342c849b3f7da9e52a3bb95d10cfda22cc8a;
    uint256 private constant FINGERPRINT_Y = 0x12302491d302c50ec75b0160e5ff5e20c7e80c7615d75221e35d25ce3598fc5b;

    uint256 private constant BETA_X1 = 0x1819f4829ecdf2b350e31af85c4d7c6b5a9706f9bb23c152c08b89f76d55c7cf;
    uint256 private constant BETA_X0 = 0x126ddcc32af8a49e20dbe3de1f0e7f46200f40f4054760345d16dfc8f77f1969;
    uint256 private constant BETA_Y1 = 0x17f352be8c8fec5e1169e9acd07ac926525b5d5a7f7e096d23705cefa85f7468;
    uint256 private constant BETA_Y0 = 0x231861c2c50a3d0db8efd2f0595a5bd053ed07f9947925a9f41f2d8b961665d8;

    uint256 private constant GAMMA_X1 = 0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2;
    uint256 private constant GAMMA_X0 = 0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed;
    uint256 private constant GAMMA_Y1 = 0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b;
    uint256 private constant GAMMA_Y0 = 0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa;

    uint256 private constant DELTA1_X1 = 0x269f4f8add70dfb88e3dc819ed8d925befd4190956b4357cdeaca542a218f4ba;
    uint256 private constant DELTA1_X0 = 0x1ab44abe18d0522b641cfa07857d11cdfd1ecc52833ed625d877121ef63fb6ba;
    uint256 private constant DELTA1_Y1 = 0x1154210794161a606033de1ccf36718b924b05eddfc963b13f7a46837c5f66b7;
    uint256 private constant DELTA1_Y0 = 0x2eb5108eff98aeedb90f906de4d2ecf3d1b4610a3eeecf69ff03f69ba1206630;

    uint256 private constant DELTA2_X1 = 0x240c60f788152f5850b8685eca4b768391a4cf02aa34a9e938308aa918ce7056;
    uint256 private constant DELTA2_X0 = 0x26d5b0cf7d6f1ad02383fe781057a633d4c5eb0b9b1c1853ba68ad4eea69bcc3;
    uint256 private constant DELTA2_Y1 = 0x291f50b3a7b7c990eb56479861fbeea2541b3abeb2cacd037bd5f42b4fd6b331;
    uint256 private constant DELTA2_Y0 = 0x124ceba1686b4d06385396352b039eb3453554f9b36f7dbf9e0f5652595a1094;

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

    /// @notice Returns if the proof is valid for the public inputs, and reverts otherwise.
    /// @param publics Below r:
    /// [0] the context: what the proof is made for;
    /// [1] the owner of private inputs;
    /// [2] commitment to "input", which the slice reads;
    /// [3] commitment to "/Relu_output_0", which the slice writes.
    /// @param proof A (x, y), B (x.c1, x.c0, y.c1, y.c0), C1 (x, y), C2 (x, y).
    function verifyProof(uint256[4] calldata publics, uint256[10] calldata proof) external view {
        if (msg.data.length != CALLDATA_BYTES) revert CalldataLengthMismatch(CALLDATA_BYTES, msg.data.length);

        // From here on by calldata offset.
        uint256 x;
        uint256 abc;
        assembly ("memory-safe") {
            x := publics
            abc := proof
        }
        // The fingerprint would take x + r for x.
        uint256 index = _firstNotBelow(R, x, 0, 4);
        if (index != 4) revert PublicInputOutOfRange(index);
        index = _firstNotBelow(Q, abc, 0, 10);
        if (index != 10) revert CoordinateOutOfRange(index);

        uint256[30] memory pairs;
        (pairs[12], pairs[13]) = (IC0_X, IC0_Y);
        (uint256 challenge, uint256 fingerprint) = _challenge(x, abc);
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
    function _challenge(uint256 x, uint256 abc) private pure returns (uint256 challenge, uint256 fingerprint) {
        // Memory map of the preimage, which lies beyond the free memory pointer and is not kept:
        //   0x00 CHALLENGE_TAG   0x20 VK_HASH   0x40 p   0x60 x   0xe0 n   0x100 C1   0x140 end
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore(preimage, CHALLENGE_TAG)
            mstore(add(preimage, 0x20), VK_HASH)
            mstore(add(preimage, 0x40), 4)
            calldatacopy(add(preimage, 0x60), x, 0x80)
            mstore(add(preimage, 0xe0), 0)
            calldatacopy(add(preimage, 0x100), add(abc, 0xc0), 0x40)
            challenge := mod(keccak256(preimage, 0x140), R)
            // From the last: F = (e_1 + (e_2 + …)·χ)·χ. The sums stay below 2^256: F and e_j are below 2^254.
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
