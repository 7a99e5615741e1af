#!/usr/bin/env node
// Makes what the npm package in contracts/ holds beside the committed files: the licences, and its JavaScript twice, in
// dist/esm for `import` and in dist/cjs for `require`, each file with its types beside it, as compilers of TypeScript
// look for them. `abi` has every ABI of contracts/abi as a constant with its literal type, `encode` is js/encode.ts.
// `npm pack contracts` runs it. Where everything is made already it touches nothing: tests that run at once pack at once.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { basename, dirname, join } from "node:path";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const contracts = join(root, "contracts");
const dist = join(contracts, "dist");

const licences = ["LICENSE-APACHE", "LICENSE-MIT"];
const sources = ["abi", "js"].flatMap((folder) => readdirSync(join(contracts, folder)).sort().map((file) => join(contracts, folder, file)));
const hash = createHash("sha256");
for (const file of [...sources, ...licences.map((name) => join(root, name)), fileURLToPath(import.meta.url)]) {
  hash.update(file).update(readFileSync(file));
}
const made = hash.digest("hex");
const tools = join(root, "node_modules");
const mark = join(tools, ".zkslice-package");
const results = [join(dist, "cjs/encode.js"), ...licences.map((name) => join(contracts, name))];
if (results.every(existsSync) && existsSync(mark) && readFileSync(mark, "utf8") === made) process.exit(0);

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
const lines = (line) => header + abis.map(([name, abi]) => `${line(constantOf(name), abi)};\n`).join("");
const types = lines((name, abi) => `export declare const ${name}: ${literalType(abi)}`);

rmSync(dist, { recursive: true, force: true });
for (const [format, type, code] of [
  ["esm", "module", lines((name, abi) => `export const ${name} = ${JSON.stringify(abi)}`)],
  ["cjs", "commonjs", lines((name, abi) => `exports.${name} = ${JSON.stringify(abi)}`)],
]) {
  mkdirSync(join(dist, format), { recursive: true });
  writeFileSync(join(dist, format, "package.json"), `${JSON.stringify({ type })}\n`);
  writeFileSync(join(dist, format, "abi.js"), code);
  writeFileSync(join(dist, format, "abi.d.ts"), types);
}

const strict = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--target", "es2022", "--lib", "es2022,dom"];
for (const [format, ...options] of [
  ["esm", "--module", "es2022", "--moduleResolution", "bundler"],
  ["cjs", "--module", "commonjs"],
]) {
  const to = ["--declaration", "--outDir", join(dist, format)];
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  execFileSync("node", [compiler, ...strict, ...options, ...to, join(contracts, "js/encode.ts")], { stdio: ["ignore", "inherit", "inherit"] });
}
for (const licence of licences) copyFileSync(join(root, licence), join(contracts, licence));
if (existsSync(tools)) writeFileSync(mark, made);
