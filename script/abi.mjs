#!/usr/bin/env node
// Writes contracts/abi/<Name>.json ({"abi", "bytecode"}) from forge's out/, and each error's selector into the
// natspec above it, and contracts/standard-input.json, from which explorers verify sources. `--check` writes nothing and fails if anything would change. Run `script/forge build` first.
import { readFileSync, writeFileSync, readdirSync, existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { join, dirname } from "node:path";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const { keccak256 } = createRequire(join(root, "package.json"))("js-sha3");
const check = process.argv.includes("--check");
const stale = [];

const DEPLOYABLE = [
  "ModelRegistry", "BundleVerifier", "InferenceOracle", "InferenceFeed", "InferenceSubscription",
  "InferenceSubscriptionFactory", "DigitConsumer",
];
const INTERFACES = [
  "IModelRegistry", "IBundleVerifier", "IInferenceOracle", "IInferenceConsumer", "IInferenceFeed",
  "IInferenceSubscription",
];

function put(path, text) {
  if (existsSync(path) && readFileSync(path, "utf8") === text) return;
  if (check) stale.push(path);
  else writeFileSync(path, text);
}

const artifact = (name, file = name) =>
  JSON.parse(readFileSync(join(root, "out", `${file}.sol`, `${name}.json`), "utf8"));

mkdirSync(join(root, "contracts/abi"), { recursive: true });
for (const name of DEPLOYABLE) {
  const { abi, bytecode } = artifact(name);
  if (Object.keys(bytecode.linkReferences).length !== 0) throw new Error(`${name} has unlinked libraries`);
  put(join(root, "contracts/abi", `${name}.json`), JSON.stringify({ abi, bytecode: bytecode.object }) + "\n");
}
for (const name of INTERFACES) {
  put(join(root, "contracts/abi", `${name}.json`), JSON.stringify({ abi: artifact(name).abi }) + "\n");
}

// Natspec: each `error Name(type name, …);` is preceded by `/// @dev Selector 0x…`.
const CANONICAL = {
  Status: "uint8", WiringFault: "uint8", EquivocationFault: "uint8", State: "uint8", "IInferenceOracle.Status": "uint8",
};
function selectorOf(declaration) {
  const [, name, params] = declaration.match(/error (\w+)\(([^)]*)\)/);
  const types = params.split(",").map((p) => p.trim().split(/\s+/)[0]).filter(Boolean);
  return keccak256(`${name}(${types.map((t) => CANONICAL[t] ?? t).join(",")})`).slice(0, 8);
}
function sources(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".sol"))
    .map((entry) => join(root, folder, entry.name));
}
for (const path of [
  "contracts/interfaces", "contracts/libraries", "contracts/consumers", "contracts/testing", "contracts/examples",
].flatMap(sources)) {
  const lines = readFileSync(path, "utf8").split("\n").filter((line) => !/^\s*\/\/\/ @dev [Ss]elector/.test(line));
  const out = lines.flatMap((line) =>
    /^\s*error \w+\(.*\);/.test(line)
      ? [`${line.match(/^\s*/)[0]}/// @dev Selector 0x${selectorOf(line)}.`, line]
      : [line],
  );
  put(path, out.join("\n"));
}

// What explorers verify sources from: one standard JSON input with all that the deployable contracts import, and the
// settings of foundry.toml. `script/check-standard-input.mjs` compiles it.
const REMAPPINGS = readFileSync(join(root, "remappings.txt"), "utf8").trim().split("\n");
const remapped = REMAPPINGS.map((line) => line.split("="));
function imported(from, path) {
  if (path.startsWith(".")) return join(dirname(from), path);
  const [prefix, target] = remapped.find(([prefix]) => path.startsWith(prefix)) ?? ["", ""];
  return target + path.slice(prefix.length);
}
const contents = {};
function collect(path) {
  if (path in contents) return;
  const content = readFileSync(join(root, path), "utf8");
  contents[path] = { content };
  for (const [, target] of content.matchAll(/^import\s+(?:[^"';]*?from\s+)?["']([^"']+)["'];/gm)) {
    collect(imported(path, target));
  }
}
for (const name of DEPLOYABLE) {
  collect(Object.keys(artifact(name).metadata.settings.compilationTarget)[0]);
}
const standardInput = {
  language: "Solidity",
  sources: Object.fromEntries(Object.entries(contents).sort(([a], [b]) => (a < b ? -1 : 1))),
  settings: {
    remappings: REMAPPINGS.filter((line) => !line.startsWith("forge-std/")),
    optimizer: { enabled: true, runs: 1_000_000 },
    viaIR: false,
    evmVersion: "cancun",
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
  },
};
put(join(root, "contracts/standard-input.json"), JSON.stringify(standardInput) + "\n");

if (stale.length !== 0) {
  console.error(`out of date (run script/forge build && script/abi.mjs):\n  ${stale.join("\n  ")}`);
  process.exitCode = 1;
}
