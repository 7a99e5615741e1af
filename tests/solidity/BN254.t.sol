// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {BN254} from "../../contracts/libraries/BN254.sol";

/// @dev Library functions are internal: a call gives them a frame that can revert.
contract SelfTester {
    function run() external view returns (BN254.GasCaps memory) {
        return BN254.selfTest(BN254.ECADD);
    }
}

/// @notice A chain whose precompiles are right on most inputs is refused for each that they err on.
contract BN254Test is Test {
    SelfTester private tester;
    bytes private g2;

    function setUp() public {
        tester = new SelfTester();
        g2 = abi.encode(BN254.G2_X1, BN254.G2_X0, BN254.G2_Y1, BN254.G2_Y0);
    }

    /// Twice what each takes, and what a pair adds, of which the prices are EIP-1108's.
    function test_CapsAreAboutTwiceThePrices() public view {
        BN254.GasCaps memory caps = tester.run();
        assertApproxEqAbs(caps.ecAdd, 2 * 150, 1200);
        assertApproxEqAbs(caps.ecMul, 2 * 6000, 1200);
        assertApproxEqAbs(caps.pairingBase, 2 * 113_000, 1200);
        assertApproxEqAbs(caps.pairingPerPair, 2 * 34_000, 1200);
    }

    /// Where three pairs take less than two, a pair adds nothing, and nothing underflows.
    function test_PairsThatAreFreeAddNothing() public {
        vm.mockCall(BN254.PAIRING, bytes.concat(_two(), abi.encode(1, 2), g2), abi.encode(0));
        BN254.GasCaps memory caps = tester.run();
        assertEq(caps.pairingPerPair, 0);
        assertApproxEqAbs(caps.pairingBase, 2 * 113_000, 1200);
    }

    function test_RevertWhen_ATrueProductIsNotOne() public {
        _refuses(BN254.PAIRING, _two(), abi.encode(0));
    }

    function test_RevertWhen_AFalseProductIsOne() public {
        _refuses(BN254.PAIRING, bytes.concat(_two(), abi.encode(1, 2), g2), abi.encode(1));
    }

    function test_RevertWhen_APointOutsideTheSubgroupIsTaken() public {
        bytes memory outside = abi.encode(
            0,
            1,
            0x0d1271953ed9ea0836846e70a1934187998c7f790cb4d7511b7f8da82de048a4,
            0x2869111d5381f072f8e2728fdb825a51aadd70e52c9830e9ab4b871c0531f1bb
        );
        _refuses(BN254.PAIRING, bytes.concat(_two(), abi.encode(1, 2), outside), abi.encode(0));
    }

    function test_RevertWhen_ThePairingTakesAPointOffTheCurve() public {
        _refuses(BN254.PAIRING, bytes.concat(_two(), abi.encode(1, 1), g2), abi.encode(0));
    }

    function test_RevertWhen_AdditionTakesAPointOffTheCurve() public {
        _refuses(BN254.ECADD, abi.encode(1, 1, 1, 2), abi.encode(1, 2));
    }

    function test_RevertWhen_MultiplicationTakesAPointOffTheCurve() public {
        _refuses(BN254.ECMUL, abi.encode(1, 1, 2), abi.encode(1, 2));
    }

    /// (G1, G2) and (−G1, G2).
    function _two() private view returns (bytes memory) {
        return bytes.concat(abi.encode(1, 2), g2, abi.encode(1, BN254.Q - 2), g2);
    }

    function _refuses(address precompile, bytes memory input, bytes memory answer) private {
        vm.mockCall(precompile, input, answer);
        vm.expectRevert(abi.encodeWithSelector(BN254.SelfTestFailed.selector, precompile));
        tester.run();
    }
}
