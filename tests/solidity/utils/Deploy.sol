// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Vm, VmSafe} from "forge-std/Vm.sol";

/// @notice Deploys a contract of ours, by its name, as it is deployed on a chain: from the optimised build. Tests are compiled
/// without the optimizer, which would take three quarters of the time; so is what they make by `new`.
function deploy(string memory name, bytes memory arguments) returns (address payable) {
    Vm vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    // Coverage is of a build of its own, which is not in out/.
    bool measured = vm.isContext(VmSafe.ForgeContext.Coverage);
    string memory artifact =
        measured ? string.concat(name, ".sol:", name) : string.concat("out/", name, ".sol/", name, ".json");
    return payable(vm.deployCode(artifact, arguments));
}
