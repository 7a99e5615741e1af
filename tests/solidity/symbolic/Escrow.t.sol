// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {InferenceOracle} from "../../../contracts/InferenceOracle.sol";
import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../../contracts/interfaces/IModelRegistry.sol";
import {KeyBlob} from "../../../contracts/libraries/KeyBlob.sol";

/// @notice The oracle, with the two private halves of its books within reach.
contract OpenBooks is InferenceOracle {
    constructor(IModelRegistry registry) InferenceOracle(registry) {}

    function take(address token, uint256 fee) external payable {
        _take(token, fee);
    }

    function credit(address account, address token, uint256 amount) external {
        _credit(account, token, amount);
    }
}

/// @notice A registry of one model, of one private input and nothing else, whose verifier accepts everything.
/// @dev Nothing about proofs is at stake here.
contract OneModel {
    address private immutable _chunk;
    bool public stopped;

    constructor() {
        // STOP, seven words of header, a vkHash, six of the input, and one more, as if a wiring followed.
        uint256[15] memory blob;
        (blob[0], blob[1], blob[2]) = (uint256(KeyBlob.MODEL_TAG), 1, 1);
        (blob[8], blob[9], blob[10]) = (KeyBlob.KIND_PRIVATE_INPUT, 1, 1);
        _chunk = address(new Chunk(abi.encodePacked(bytes1(0), blob)));
    }

    function stop() external {
        stopped = true;
    }

    function chunks(bytes32) external view returns (address[] memory list) {
        require(!stopped);
        list = new address[](1);
        list[0] = _chunk;
    }

    function verifierOf(bytes4) external view returns (address) {
        return address(this);
    }

    function verifierStatus(bytes4) external view returns (IModelRegistry.Status, address, uint64) {
        return (IModelRegistry.Status.Active, address(this), 0);
    }

    function modelStatus(bytes32) external view returns (IModelRegistry.Status) {
        return stopped ? IModelRegistry.Status.Tombstoned : IModelRegistry.Status.Active;
    }

    /// `verifyBatch`.
    fallback() external {}
}

contract Chunk {
    constructor(bytes memory code) {
        assembly ("memory-safe") {
            return(add(code, 0x20), mload(code))
        }
    }
}

/// @notice A token that gives and takes what it likes: the receiver's balance goes from one number to another.
contract AnyToken {
    uint256 public balance;
    uint256 private immutable _after;

    constructor(uint256 before, uint256 after_) {
        (balance, _after) = (before, after_);
    }

    function balanceOf(address) external view returns (uint256) {
        return balance;
    }

    function transferFrom(address, address, uint256) external returns (bool) {
        balance = _after;
        return true;
    }
}

/// @notice The escrow's arithmetic, for all amounts, accounts and times: `script/tool halmos`, which takes functions
/// `check_…` for theorems and their arguments for all values. For forge there is nothing to run here.
contract EscrowSymbolicTest is Test {
    address private constant ETHER = address(0);

    OneModel private registry;
    OpenBooks private oracle;

    function setUp() public {
        vm.warp(1_700_000_000);
        registry = new OneModel();
        oracle = new OpenBooks(IModelRegistry(address(registry)));
    }

    // ------------------------------------------------------------------------------------------------ the books

    /// A fee in ether is taken if and only if just that is sent.
    function check_EtherTakenIsTheFee(uint256 fee, uint256 value) public {
        vm.deal(address(this), value);
        (bool ok,) = address(oracle).call{value: value}(abi.encodeCall(OpenBooks.take, (ETHER, fee)));
        assert(ok == (value == fee));
        assert(address(oracle).balance == (ok ? fee : 0));
    }

    /// A fee in a token is taken if and only if the oracle's balance grows by just that, and no ether comes along.
    function check_TokensTakenAreTheFee(uint256 fee, uint256 value, uint256 before, uint256 after_) public {
        AnyToken token = new AnyToken(before, after_);
        vm.deal(address(this), value);
        (bool ok,) = address(oracle).call{value: value}(abi.encodeCall(OpenBooks.take, (address(token), fee)));
        bool grew;
        unchecked {
            grew = fee == 0 || (after_ > before && after_ - before == fee);
        }
        assert(ok == (value == 0 && grew));
    }

    /// A credit adds its amount to one account in one currency, or reverts where that would overflow; no other changes.
    function check_CreditAddsToOneAccountOnly(
        uint256 before,
        uint256 amount,
        address account,
        address token,
        address other,
        address otherToken
    ) public {
        vm.assume(other != account || otherToken != token);
        oracle.credit(account, token, before);
        uint256 others = oracle.balanceOf(other, otherToken);
        (bool ok,) = address(oracle).call(abi.encodeCall(OpenBooks.credit, (account, token, amount)));
        bool fits = amount <= type(uint256).max - before;
        assert(ok == fits);
        unchecked {
            assert(oracle.balanceOf(account, token) == (fits ? before + amount : before));
        }
        assert(oracle.balanceOf(other, otherToken) == others);
    }

    /// A withdrawal pays the caller's credits, all of them, once, and nobody else's.
    function check_WithdrawalPaysTheCallersCreditsOnce(
        uint128 amount,
        uint128 others,
        address account,
        address other,
        address to
    ) public {
        vm.assume(other != account && to != address(oracle) && to.code.length == 0);
        oracle.credit(account, ETHER, amount);
        oracle.credit(other, ETHER, others);
        vm.deal(address(oracle), uint256(amount) + others);
        uint256 had = to.balance;
        bool ok = _withdraws(account, to);
        assert(ok == (amount != 0 && to != address(0)));
        if (!ok) return;
        assert(to.balance == had + amount);
        assert(address(oracle).balance == others);
        assert(oracle.balanceOf(account, ETHER) == 0);
        assert(oracle.balanceOf(other, ETHER) == others);
        assert(!_withdraws(account, to));
    }

    // ------------------------------------------------------------------------------------------------ a request's life

    /// A request is made if and only if its fee is sent and its deadline is to come.
    function check_RequestEscrowsItsFee(uint128 fee, uint128 value, address requester, uint64 deadline) public {
        // The oracle asks for nothing itself.
        vm.assume(requester != address(oracle));
        IInferenceOracle.Request memory request = _request(fee, deadline);
        vm.deal(requester, value);
        vm.prank(requester);
        (bool ok,) =
            address(oracle).call{value: value}(abi.encodeCall(IInferenceOracle.request, (request, new uint256[](0))));
        assert(ok == (value == fee && deadline >= block.timestamp));
        assert(address(oracle).balance == (ok ? fee : 0));
    }

    /// Whoever comes first, when: the beneficiary is credited the fee until the deadline, the requester after it or
    /// once the model was stopped; never both, never twice, and nobody else.
    function check_FeeIsCreditedOnceToTheRightOne(
        uint128 fee,
        address requester,
        address beneficiary,
        address other,
        uint64 deadline,
        uint64 later,
        bool stops,
        bool refundFirst
    ) public {
        vm.assume(requester != beneficiary && other != requester && other != beneficiary);
        vm.assume(deadline >= block.timestamp && later >= block.timestamp);
        IInferenceOracle.Request memory request = _request(fee, deadline);
        vm.deal(requester, fee);
        vm.prank(requester);
        oracle.request{value: fee}(request, new uint256[](0));

        vm.warp(later);
        if (stops) registry.stop();
        bool refunded = refundFirst && _refunds(request, requester);
        bool fulfilled = _fulfils(request, requester, beneficiary);
        if (!refundFirst) refunded = _refunds(request, requester);

        assert(!(refunded && fulfilled));
        assert(!refundFirst || refunded == (later > deadline || stops));
        assert(!fulfilled || (beneficiary != address(0) && later <= deadline));
        assert(oracle.balanceOf(requester, ETHER) == (refunded ? fee : 0));
        assert(oracle.balanceOf(beneficiary, ETHER) == (fulfilled ? fee : 0));
        assert(oracle.balanceOf(other, ETHER) == 0);
        assert(address(oracle).balance == fee);
        assert(!refunded && !fulfilled || !_refunds(request, requester) && !_fulfils(request, requester, beneficiary));
    }

    // ------------------------------------------------------------------------------------------------ helpers

    function _request(uint256 fee, uint64 deadline) private pure returns (IInferenceOracle.Request memory request) {
        request.inputs = new bytes32[](1);
        (request.fee, request.deadline) = (fee, deadline);
    }

    function _withdraws(address account, address to) private returns (bool ok) {
        vm.prank(account);
        (ok,) = address(oracle).call(abi.encodeCall(IInferenceOracle.withdraw, (ETHER, to)));
    }

    function _refunds(IInferenceOracle.Request memory request, address requester) private returns (bool ok) {
        (ok,) = address(oracle).call(abi.encodeCall(IInferenceOracle.refund, (request, requester, 0)));
    }

    function _fulfils(IInferenceOracle.Request memory request, address requester, address beneficiary)
        private
        returns (bool ok)
    {
        IInferenceOracle.Fulfilment memory fulfilment;
        (fulfilment.request, fulfilment.requester, fulfilment.beneficiary) = (request, requester, beneficiary);
        fulfilment.commitments = new uint256[](1);
        (ok,) = address(oracle).call(abi.encodeCall(IInferenceOracle.fulfil, (fulfilment)));
    }
}
