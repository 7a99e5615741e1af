#!/usr/bin/env node
// snapshots/storage/<Name>.json (storage layouts) and snapshots/sizes.json (bytes of runtime code) from forge's out/. Fails
// where a contract is over the limit of EIP-170.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { put, root } from "./put.mjs";

const LIMIT = 24_576;
const snapshot = (path, value) => put(`snapshots/${path}`, JSON.stringify(value, null, 2) + "\n");

// The numbers in type names are of the compiler's syntax tree, and change with anything else.
const plain = (type) => type.replace(/\)\d+/g, ")");
const slots = (members) =>
  members.map(({ slot, offset, label, type }) => `${slot}.${offset} ${label}: ${plain(type)}`);

const sizes = {};
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
  snapshot(`storage/${name}.json`, {
    storage: slots(storageLayout.storage),
    structs: Object.fromEntries(structs.map(([type, { members }]) => [plain(type), slots(members)]).sort()),
  });
}
snapshot("sizes.json", sizes);

const large = Object.entries(sizes).filter(([, size]) => size >= LIMIT);
if (large.length > 0) throw new Error(`snapshots: at or over ${LIMIT} bytes: ${large.join("; ")}`);
