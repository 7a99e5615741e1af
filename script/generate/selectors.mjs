#!/usr/bin/env node
// Each `error Name(type name, …);` of the contracts, preceded by `/// @dev Selector 0x…`.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { put, root } from "./put.mjs";

const { keccak256 } = createRequire(join(root, "package.json"))("js-sha3");

const CANONICAL = {
  Status: "uint8", WiringFault: "uint8", EquivocationFault: "uint8", State: "uint8", "IInferenceOracle.Status": "uint8",
};
function selectorOf(declaration) {
  const [, name, params] = declaration.match(/error (\w+)\(([^)]*)\)/);
  const types = params.split(",").map((p) => p.trim().split(/\s+/)[0]).filter(Boolean);
  return keccak256(`${name}(${types.map((t) => CANONICAL[t] ?? t).join(",")})`).slice(0, 8);
}

for (const folder of ["interfaces", "libraries", "consumers", "testing", "examples"].map((name) => `contracts/${name}`)) {
  for (const name of readdirSync(join(root, folder)).filter((name) => name.endsWith(".sol"))) {
    const lines = readFileSync(join(root, folder, name), "utf8").split("\n").filter((line) => !/^\s*\/\/\/ @dev [Ss]elector/.test(line));
    const out = lines.flatMap((line) =>
      /^\s*error \w+\(.*\);/.test(line)
        ? [`${line.match(/^\s*/)[0]}/// @dev Selector 0x${selectorOf(line)}.`, line]
        : [line],
    );
    put(`${folder}/${name}`, out.join("\n"));
  }
}
