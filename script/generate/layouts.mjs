#!/usr/bin/env node
// contracts/BundleVerifier0x09.sol: contracts/BundleVerifier.sol for Bittensor, which has the addition of points at 0x09. A
// source of its own, so that nobody chooses the address while the contract runs, and the usual build pays nothing for it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { put, root } from "./put.mjs";

const EDITS = [
  [
    "/// @title Verifier of bundles\n/// @notice See `IBundleVerifier`.\n",
    "// Written by script/generate/layouts.mjs from BundleVerifier.sol; not to be edited.\n\n" +
      "/// @title Verifier of bundles, for Bittensor (chain ids 964 and 945), which has the addition of points at 0x09\n" +
      "/// @notice See `IBundleVerifier`.\n",
  ],
  ["contract BundleVerifier is ", "contract BundleVerifier0x09 is "],
  [
    "    /// @dev Where the addition of points is. `BundleVerifier0x09` is this contract with another value here.\n" +
      "    uint256 private constant ECADD = 6;\n",
    "    /// @dev Where the addition of points is. `BundleVerifier` is this contract with another value here.\n" +
      "    uint256 private constant ECADD = 9;\n",
  ],
];

let source = readFileSync(join(root, "contracts/BundleVerifier.sol"), "utf8");
for (const [from, to] of EDITS) {
  if (source.split(from).length !== 2) throw new Error(`layouts: BundleVerifier.sol has not once: ${from}`);
  source = source.replace(from, () => to);
}
put("contracts/BundleVerifier0x09.sol", source);
