#!/usr/bin/env node
// Compiles contracts/standard-input.json, as an explorer would, and compares each contract with its committed
// creation code. Fails if any differs.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { join, dirname } from "node:path";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const solc = createRequire(join(root, "package.json"))("solc");
const folder = join(root, "contracts/abi");
const input = readFileSync(join(root, "contracts/standard-input.json"), "utf8");

const { errors = [], contracts = {} } = JSON.parse(solc.compile(input));
const faults = errors.filter(({ severity }) => severity === "error").map(({ formattedMessage }) => formattedMessage);
const compiled = Object.assign({}, ...Object.entries(contracts).map(([path, of]) =>
  Object.fromEntries(Object.entries(of).map(([name, contract]) => [name, { path, code: contract.evm.bytecode.object }]))));
let count = 0;
for (const file of readdirSync(folder)) {
  const { bytecode } = JSON.parse(readFileSync(join(folder, file), "utf8"));
  if (bytecode === undefined) continue;
  const name = file.replace(/\.json$/, "");
  if (`0x${compiled[name]?.code}` !== bytecode) faults.push(`${name}: the sources do not compile to the committed code`);
  count += 1;
}
if (count === 0) faults.push("no contract was compared");
if (faults.length !== 0) {
  console.error(faults.join("\n"));
  process.exitCode = 1;
} else {
  console.log(`standard-input.json compiles to the committed code of ${count} contracts`);
}
