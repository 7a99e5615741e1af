#!/usr/bin/env node
// Writes snapshots/storage/<Name>.json (storage layouts) and snapshots/sizes.json (bytes of runtime code) from forge's
// out/; `--check` writes nothing and fails if anything would change, or if a contract is over the limit of EIP-170.
// Run `script/forge build` first. snapshots/gas.json is forge's own: see `vm.snapshotValue` in tests/solidity/Gas.t.sol.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const LIMIT = 24_576;
const root = join(import.meta.dirname, "..");
const check = process.argv.includes("--check");
const stale = [];

function put(path, value) {
  const text = JSON.stringify(value, null, 2) + "\n";
  path = join(root, "snapshots", path);
  if (existsSync(path) && readFileSync(path, "utf8") === text) return;
  stale.push(path);
  if (check) return;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

// The numbers in type names are of the compiler's syntax tree, and change with anything else.
const plain = (type) => type.replace(/\)\d+/g, ")");
const slots = (members) =>
  members.map(({ slot, offset, label, type }) => `${slot}.${offset} ${label}: ${plain(type)}`);

const sizes = {};
const stored = [];
for (const entry of readdirSync(join(root, "contracts"), { recursive: true }).sort()) {
  const file = entry.split("/").pop();
  if (!file.endsWith(".sol") || /^(interfaces|generated)\//.test(entry)) continue;
  const artifact = join(root, "out", file, file.replace(/sol$/, "json"));
  if (!existsSync(artifact)) continue; // Run.sol: a type and its library.
  const { deployedBytecode, storageLayout } = JSON.parse(readFileSync(artifact, "utf8"));
  const name = file.slice(0, -4);
  const size = deployedBytecode.object.length / 2 - 1;
  // Abstract contracts have no code; a library of internal functions has a stub.
  if (size > 128) sizes[name] = size;
  if (size <= 128 || storageLayout.storage.length === 0) continue;
  const structs = Object.entries(storageLayout.types ?? {}).filter(([, { members }]) => members);
  stored.push(`${name}.json`);
  put(`storage/${name}.json`, {
    storage: slots(storageLayout.storage),
    structs: Object.fromEntries(structs.map(([type, { members }]) => [plain(type), slots(members)]).sort()),
  });
}
put("sizes.json", sizes);
for (const file of readdirSync(join(root, "snapshots/storage"))) {
  if (!stored.includes(file)) throw new Error(`snapshots: storage/${file} is of no contract`);
}

const large = Object.entries(sizes).filter(([, size]) => size >= LIMIT);
if (large.length > 0) throw new Error(`snapshots: at or over ${LIMIT} bytes: ${large.join("; ")}`);
if (check && stale.length > 0) {
  console.error(`snapshots: not as committed (make snapshots, then look at the difference):\n${stale.join("\n")}`);
  process.exit(1);
}
console.log(`snapshots of ${Object.keys(sizes).length} contracts' sizes and ${stored.length} storage layouts hold`);
