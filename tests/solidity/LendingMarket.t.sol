// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {stdError} from "forge-std/StdError.sol";
import {InferenceFeed} from "../../contracts/InferenceFeed.sol";
import {FeedConsumer} from "../../contracts/consumers/FeedConsumer.sol";
import {LendingMarket} from "../../contracts/examples/LendingMarket.sol";
import {AggregatorV3Interface, IInferenceFeed} from "../../contracts/interfaces/IInferenceFeed.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {KeyBlob} from "../../contracts/libraries/KeyBlob.sol";
import {Mocked} from "./utils/Mocked.sol";
import {Token} from "./utils/Tokens.sol";
import {deploy} from "./utils/Deploy.sol";

contract LendingMarketTest is Mocked {
    uint256 private constant MAX_AGE = 300;

    Token private collateral;
    LendingMarket private market;
    address private source;
    uint256 private sourceKey;

    function setUp() public override {
        super.setUp();
        (source, sourceKey) = makeAddrAndKey("source");
        // One score in hundredths; offset 100.
        KeyBlob.Tensor[] memory tensors = new KeyBlob.Tensor[](2);
        tensors[0] = KeyBlob.Tensor(1, 31, 8, 0, 1, 0);
        tensors[1] = KeyBlob.Tensor(3, 1, 16, 100, 1, 2);
        registry.setModel(MODEL, tensors);
        vm.prank(source);
        oracle.openFeed(MODEL, VERIFIER, 4, 600);
        IInferenceFeed feed = InferenceFeed(
            deploy(
                "InferenceFeed",
                abi.encode(
                    IInferenceFeed.Config({
                        oracle: oracle,
                        modelDigest: MODEL,
                        source: source,
                        verifier: VERIFIER,
                        outputIndex: 0,
                        decimals: 8,
                        maxAge: 600,
                        description: "risk",
                        sequencerUptimeFeed: AggregatorV3Interface(address(0)),
                        gracePeriod: 0
                    })
                )
            )
        );
        collateral = new Token();
        market = LendingMarket(deploy("LendingMarket", abi.encode(collateral, token, feed, MAX_AGE)));
        token.mint(address(market), 1e24);
        collateral.mint(alice, 1000e18);
        vm.startPrank(alice);
        collateral.approve(address(market), type(uint256).max);
        token.approve(address(market), type(uint256).max);
        market.deposit(1000e18);
        vm.stopPrank();
    }

    /// @param risk In hundredths.
    function _score(int256 risk) private {
        oracle.setRound(MODEL, VERIFIER, source, uint64(block.timestamp), list(uint256(risk + 100)));
    }

    function test_LimitFollowsTheScore() public {
        _score(0);
        assertEq(market.limitOf(alice), 800e18);
        _score(25);
        assertEq(market.limitOf(alice), 600e18);
        _score(100);
        assertEq(market.limitOf(alice), 0);
        _score(300);
        assertEq(market.limitOf(alice), 0, "above one is no more than one");
        assertEq(market.limitOf(mallory), 0);
    }

    function test_BorrowsUpToTheLimit() public {
        _score(25);
        vm.startPrank(alice);
        market.borrow(600e18);
        vm.expectRevert(abi.encodeWithSelector(LendingMarket.AboveLimit.selector, 600e18 + 1, 600e18));
        market.borrow(1);
        assertEq(token.balanceOf(alice), 600e18);
        assertEq(market.debtOf(alice), 600e18);
        // Risk fell: more can be borrowed. Risk rose: nothing can, nor can collateral leave.
        vm.stopPrank();
        _score(0);
        vm.prank(alice);
        market.borrow(1e18);
        _score(50);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(LendingMarket.AboveLimit.selector, 601e18, 400e18 - 0.4e18));
        market.withdraw(1e18);
        market.repay(601e18);
        market.withdraw(1000e18);
        assertEq(collateral.balanceOf(alice), 1000e18);
    }

    function test_RevertWhen_ScoreIsStaleOrMissing() public {
        bytes32 feedId = oracle.feedIdOf(MODEL, VERIFIER, source);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.NoRound.selector, feedId));
        market.borrow(1);
        _score(0);
        market.borrow(1e18);
        uint256 observedAt = block.timestamp;
        vm.warp(observedAt + MAX_AGE + 1);
        bytes memory stale = abi.encodeWithSelector(
            FeedConsumer.StaleAnswer.selector, address(market.riskFeed()), observedAt, MAX_AGE, block.timestamp
        );
        vm.expectRevert(stale);
        market.borrow(1);
        vm.expectRevert(stale);
        market.withdraw(1);
        // The feed's own limit is wider, and holds too.
        vm.warp(observedAt + 601);
        vm.expectRevert(abi.encodeWithSelector(IInferenceOracle.StaleResult.selector, observedAt, 600, block.timestamp));
        market.borrow(1);
        // Debts can be repaid, and collateral without a debt leaves, feed or no feed.
        market.repay(1e18);
        market.withdraw(1000e18);
    }

    function test_RevertWhen_ScoreIsNegative() public {
        _score(-1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(LendingMarket.RiskOutOfRange.selector, -0.01e18));
        market.borrow(1);
    }

    function test_RevertWhen_ModelIsStopped() public {
        _score(0);
        registry.setModelStatus(MODEL, IModelRegistry.Status.Tombstoned);
        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.ModelNotActive.selector, MODEL, IModelRegistry.Status.Tombstoned)
        );
        market.borrow(1);
    }

    function test_UpdatesAndBorrowsInOneTransaction() public {
        IInferenceOracle.Publication memory publication;
        publication.source = source;
        publication.modelDigest = MODEL;
        publication.inputs = new bytes32[](1);
        publication.verifier = VERIFIER;
        publication.round = 1;
        publication.observedAt = uint64(block.timestamp) - 10;
        publication.beneficiary = alice;
        publication.words = list(0, 150); // One word of input, then a risk of 0.5.
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(sourceKey, oracle.publicationHashOf(publication));
        bytes memory signature = abi.encodePacked(r, s, v);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(LendingMarket.AboveLimit.selector, 400e18 + 1, 400e18));
        market.updateAndBorrow(publication, signature, 400e18 + 1);
        market.updateAndBorrow(publication, signature, 300e18);
        market.updateAndBorrow(publication, signature, 100e18); // There already: read only.
        assertEq(market.debtOf(alice), 400e18);
    }

    function test_RevertWhen_MoreIsTakenThanThere() public {
        _score(0);
        vm.startPrank(alice);
        vm.expectRevert(stdError.arithmeticError);
        market.withdraw(1000e18 + 1);
        vm.expectRevert(stdError.arithmeticError);
        market.repay(1);
    }

    /// Whatever the score, nobody owes more than 80 % of the collateral right after borrowing.
    function testFuzz_NeverAboveTheCap(uint16 digit, uint256 amount) public {
        amount = bound(amount, 0, 2000e18);
        oracle.setRound(MODEL, VERIFIER, source, uint64(block.timestamp), list(digit));
        vm.prank(alice);
        try market.borrow(amount) {
            assertLe(market.debtOf(alice), 800e18);
            assertGe(digit, 100);
            assertLe(market.debtOf(alice), 8e18 * (digit > 200 ? 0 : 200 - uint256(digit)));
        } catch {
            assertEq(market.debtOf(alice), 0);
        }
    }
}
