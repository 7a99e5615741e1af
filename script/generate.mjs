#!/usr/bin/env node
// Writes every committed file that a program makes, one step after the other: what a step makes, the next may build on.
// `--check` writes nothing, and fails for each file that a program makes otherwise or no longer; that is all that CI compares.
// Names of steps run these alone.
//
// A generator writes what it makes into a folder of its own. A file goes to its place from there, whole, and only when all
// generators of its step are done. docs/conformance.md is not among them: its proofs take long, see `make conformance`.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

const root = join(import.meta.dirname, "..");
const cargo = process.env.CARGO ?? "cargo";
const STEPS = {
  // Comments in the sources that the next step builds, and a source.
  selectors: { makers: ["script/generate/selectors.mjs", "script/generate/layouts.mjs"] },
  // ABIs and creation code, which Rust is built with; the input for explorers; storage layouts and sizes; simulated bundles.
  contracts: {
    build: ["script/forge", "build"],
    makers: ["script/generate/abi.mjs", "script/generate/snapshots.mjs", "tests/solidity/simulate.mjs"],
  },
  // Verifiers, an export, real bundles, vectors, circuits' digests, the table of operators; messages of the network.
  rust: {
    build: [cargo, "build", "--locked", "--release", "--workspace", "--examples"],
    makers: ["target/release/examples/generate", "target/release/examples/network_vectors"],
  },
  // Figures of tests that run on the files above.
  gas: { makers: ["script/generate/gas.mjs"] },
};
// Folders in which every file is made by a program.
const WHOLE = ["contracts/abi", "contracts/generated", "crates/solidity/tests/golden", "snapshots", "tests/solidity/fixtures"];

const names = process.argv.slice(2).filter((name) => name !== "--check");
const check = process.argv.includes("--check");
const unknown = names.find((name) => !(name in STEPS));
if (unknown) fail(`there is no step ${unknown}; there are ${Object.keys(STEPS).join(", ")}`);

mkdirSync(join(root, "cache"), { recursive: true });
// Beside the tree, so that a file is moved and not copied.
const folder = mkdtempSync(join(root, "cache/generate-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

function fail(message) {
  console.error(`generate: ${message}`);
  process.exit(1);
}

function run(program, ...args) {
  const path = program.includes("/") ? resolve(root, program) : program;
  const { status, error } = spawnSync(path, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) fail(`${[program, ...args].join(" ")}: ${error?.message ?? "it failed"}`);
}

const filesIn = (top) =>
  readdirSync(top, { recursive: true })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => statSync(join(top, name)).isFile())
    .sort();
const same = (a, b) => existsSync(b) && readFileSync(a).equals(readFileSync(b));

const [made, changed] = [new Set(), []];
for (const name of names.length > 0 ? names : Object.keys(STEPS)) {
  const { build, makers } = STEPS[name];
  if (build) run(...build);
  const out = join(folder, name);
  mkdirSync(out);
  for (const maker of makers) {
    const before = filesIn(out).length;
    run(maker, out);
    if (filesIn(out).length === before) fail(`${maker} makes nothing`);
  }
  for (const path of filesIn(out)) {
    made.add(path);
    const [from, place] = [join(out, path), join(root, path)];
    if (same(from, place)) continue;
    changed.push(path);
    if (check) continue;
    mkdirSync(dirname(place), { recursive: true });
    renameSync(from, place);
  }
}
const unmade =
  names.length > 0 ? [] : WHOLE.flatMap((top) => filesIn(join(root, top)).map((name) => `${top}/${name}`)).filter((path) => !made.has(path));

const list = (paths) => paths.map((path) => `\n  ${path}`).join("");
if (unmade.length > 0) console.error(`generate: no program makes these any more, remove them:${list(unmade)}`);
if (changed.length > 0 && check) {
  console.error(`generate: these are not what programs make of the code, run \`make generate\` and look at the difference:${list(changed)}`);
} else {
  console.log(`${made.size} files are made by programs${changed.length > 0 ? `; new or changed:${list(changed)}` : ", and are as they make them"}`);
}
if (unmade.length > 0 || (changed.length > 0 && check)) process.exitCode = 1;
