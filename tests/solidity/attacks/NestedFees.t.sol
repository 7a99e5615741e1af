// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";
import {Jobs} from "../utils/Jobs.sol";
import {Token} from "../utils/Tokens.sol";

/// @notice Before it moves anything it calls its sender, if that has code; and it keeps one part in a hundred of every
/// transfer, but not of those of one account. It does not lie: its balances are what they are.
contract TaxingToken is Token {
    address private immutable _exempt;

    constructor(address exempt) {
        _exempt = exempt;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (from.code.length != 0) Mallory(from).tokensToSend();
        super._update(from, to, value);
        if (from != address(0) && from != _exempt && to != address(0)) super._update(to, address(0), value / 100);
    }
}

/// @notice Asks for an inference; while its fee is taken, has an accomplice ask for another, whose fee makes up for the
/// tax on the first.
contract Mallory {
    IInferenceOracle private immutable _oracle;
    Accomplice public immutable accomplice = new Accomplice();
    IInferenceOracle.Request private _inner;
    uint256[] private _words;
    bool public innerSucceeded;
    bytes public innerOutcome;

    constructor(IInferenceOracle oracle) {
        _oracle = oracle;
    }

    function ask(IInferenceOracle.Request memory outer, IInferenceOracle.Request memory inner, uint256[] memory words)
        external
    {
        (_inner, _words) = (inner, words);
        Token(outer.feeToken).approve(address(_oracle), outer.fee);
        _oracle.request(outer, words);
    }

    function tokensToSend() external {
        (innerSucceeded, innerOutcome) =
            address(accomplice).call(abi.encodeCall(Accomplice.ask, (_oracle, _inner, _words)));
    }
}

contract Accomplice {
    function ask(IInferenceOracle oracle, IInferenceOracle.Request memory request, uint256[] memory words) external {
        Token(request.feeToken).approve(address(oracle), request.fee);
        oracle.request(request, words);
    }

    function tokensToSend() external {}
}

/// @notice What comes in is what is owed later, also for tokens with hooks.
contract NestedFeesTest is Jobs {
    uint256 private constant FEE = 100_000;

    function test_OneInflowIsNotCountedTwice() public {
        install("single");
        Mallory mallory = new Mallory(oracle);
        TaxingToken token = new TaxingToken(address(mallory.accomplice()));
        token.mint(address(mallory), FEE);
        token.mint(address(mallory.accomplice()), FEE / 100);

        Job memory outer = draft("single");
        (outer.request.feeToken, outer.request.fee) = (address(token), FEE);
        Job memory inner = copyOf(outer);
        inner.request.fee = FEE / 100;
        uint256[] memory words = inputWords(outer);
        // The first request's fee came in short, whoever made up for it.
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceOracle.UnsupportedFeeToken.selector, address(token), FEE, FEE - FEE / 100)
        );
        mallory.ask(outer.request, inner.request, words);
        assertEq(oracle.nonces(address(mallory)), 0);
    }
}
