#!/usr/bin/env node
// contracts/abi/<Name>.json ({"abi", "bytecode"}) from forge's out/, and contracts/standard-input.json, from which explorers
// verify sources; tests/solidity/fixtures/bittensor.json.
//
// A call can end with an error of any contract that is called on the way, so each ABI holds these too; and
// ZksliceErrors.json holds every error of contracts/, for consumers, whose ABIs users make themselves.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { put, root } from "./put.mjs";

const DEPLOYABLE = [
  "ModelRegistry", "BundleVerifier", "BundleVerifier0x09", "InferenceOracle", "InferenceFeed", "InferenceSubscription",
  "InferenceSubscriptionFactory", "WeightBoard", "DigitConsumer",
];
const INTERFACES = [
  "IModelRegistry", "IBundleVerifier", "IInferenceOracle", "IInferenceConsumer", "IInferenceFeed",
  "IInferenceSubscription", "IWeightBoard",
];

const artifact = (name, file = name) =>
  JSON.parse(readFileSync(join(root, "out", `${file}.sol`, `${name}.json`), "utf8"));

// What stands behind an interface. A contract that imports the interface, however far away, may call it.
const BEHIND = {
  IModelRegistry: "ModelRegistry",
  IBundleVerifier: "BundleVerifier",
  IInferenceOracle: "InferenceOracle",
  IInferenceFeed: "InferenceFeed",
  IInferenceSubscription: "InferenceSubscription",
  IWeightBoard: "WeightBoard",
  IInferenceConsumer: "InferenceConsumer",
};

const REMAPPINGS = readFileSync(join(root, "remappings.txt"), "utf8").trim().split("\n");
const remapped = REMAPPINGS.map((line) => line.split("="));
function imported(from, path) {
  if (path.startsWith(".")) return join(dirname(from), path);
  const [prefix, target] = remapped.find(([prefix]) => path.startsWith(prefix)) ?? ["", ""];
  return target + path.slice(prefix.length);
}
// The sources that a source needs, itself included.
function closure(path, found = new Map()) {
  if (found.has(path)) return found;
  const content = readFileSync(join(root, path), "utf8");
  found.set(path, content);
  for (const [, target] of content.matchAll(/^import\s+(?:[^"';]*?from\s+)?["']([^"']+)["'];/gm)) {
    closure(imported(path, target), found);
  }
  return found;
}
const pathOf = (name) => Object.keys(artifact(name).metadata.settings.compilationTarget)[0];

// Of errors with one selector, which contracts and libraries may each declare, the first.
const signatureOf = ({ name, inputs }) => `${name}(${inputs.map(({ type }) => type).join(",")})`;
function withErrors(abi, more) {
  const seen = new Set();
  return [...abi, ...more].filter((item) => {
    if (item.type !== "error") return true;
    const signature = signatureOf(item);
    return !seen.has(signature) && seen.add(signature);
  });
}
const errorsOf = (name) => artifact(name).abi.filter(({ type }) => type === "error");
function reached(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const path of closure(pathOf(name)).keys()) {
    const behind = BEHIND[basename(path, ".sol")];
    if (behind) reached(behind, found);
  }
  return found;
}
const exported = (name) => withErrors(artifact(name).abi, [...reached(name)].sort().flatMap(errorsOf));

for (const name of DEPLOYABLE) {
  const { bytecode } = artifact(name);
  if (Object.keys(bytecode.linkReferences).length !== 0) throw new Error(`${name} has unlinked libraries`);
  put(`contracts/abi/${name}.json`, JSON.stringify({ abi: exported(name), bytecode: bytecode.object }) + "\n");
}
for (const name of INTERFACES) {
  put(`contracts/abi/${name}.json`, JSON.stringify({ abi: exported(name) }) + "\n");
}
const everywhere = readdirSync(join(root, "contracts"), { recursive: true })
  .filter((entry) => entry.endsWith(".sol"))
  .sort()
  .map((entry) => basename(entry, ".sol"))
  .filter((name) => existsSync(join(root, "out", `${name}.sol`, `${name}.json`))); // Not Run.sol: a type and its library.
put("contracts/abi/ZksliceErrors.json", JSON.stringify({ abi: withErrors([], everywhere.flatMap(errorsOf)) }) + "\n");

// What stands in for Bittensor's precompiles in Rust's tests, as code to be put at their addresses.
const codeOf = (name) => artifact(name, "Bittensor").deployedBytecode.object;
const standIns = { neuron: codeOf("BittensorNeuron"), reads: codeOf("BittensorReads") };
put("tests/solidity/fixtures/bittensor.json", JSON.stringify(standIns) + "\n");

// What explorers verify sources from: one standard JSON input with all that the deployable contracts import, and the
// settings of foundry.toml. `script/check-standard-input.mjs` compiles it.
const contents = new Map();
for (const name of DEPLOYABLE) closure(pathOf(name), contents);
const standardInput = {
  language: "Solidity",
  sources: Object.fromEntries([...contents].sort(([a], [b]) => (a < b ? -1 : 1)).map(([path, content]) => [path, { content }])),
  settings: {
    remappings: REMAPPINGS.filter((line) => !line.startsWith("forge-std/")),
    optimizer: { enabled: true, runs: 1_000_000 },
    viaIR: false,
    evmVersion: "cancun",
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
  },
};
put("contracts/standard-input.json", JSON.stringify(standardInput) + "\n");
