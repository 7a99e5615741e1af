#!/usr/bin/env node
// Makes what the npm package in contracts/ holds beside the committed files: dist/abi.js with every ABI of contracts/abi
// as a constant, dist/abi.d.ts with its literal type, and the licences. `npm pack contracts` runs it.
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { basename, dirname, join } from "node:path";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const contracts = join(root, "contracts");
const dist = join(contracts, "dist");

// As `as const` would infer it.
function literalType(value) {
  if (Array.isArray(value)) return `readonly [${value.map(literalType).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const fields = Object.entries(value).map(([key, field]) => `readonly ${JSON.stringify(key)}: ${literalType(field)}`);
  return `{ ${fields.join("; ")} }`;
}

// InferenceOracle → inferenceOracleAbi, IInferenceOracle → iInferenceOracleAbi.
const constantOf = (name) => `${name[0].toLowerCase()}${name.slice(1)}Abi`;

const abis = readdirSync(join(contracts, "abi"))
  .filter((file) => file.endsWith(".json"))
  .sort()
  .map((file) => [basename(file, ".json"), JSON.parse(readFileSync(join(contracts, "abi", file), "utf8")).abi]);
const header = "// Written by script/package.mjs from contracts/abi.\n";

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
writeFileSync(
  join(dist, "abi.js"),
  header + abis.map(([name, abi]) => `export const ${constantOf(name)} = ${JSON.stringify(abi)};\n`).join(""),
);
writeFileSync(
  join(dist, "abi.d.ts"),
  header + abis.map(([name, abi]) => `export declare const ${constantOf(name)}: ${literalType(abi)};\n`).join(""),
);
for (const licence of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(join(root, licence), join(contracts, licence));
