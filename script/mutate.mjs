#!/usr/bin/env node
// Mutation testing with slither-mutate: `script/mutate.mjs [--mutators RR,ROR] [Contract …]`, all of both by default.
// Fails for every surviving mutant that docs/mutation.md does not explain. Works on a copy of the tracked files, since
// slither-mutate changes sources in place.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";

const root = join(import.meta.dirname, "..");
const copy = join(root, "cache/mutation", String(process.pid));

// Contract → its file, and the test files that are to notice. `Statements` is Yul through and through, in which
// slither-mutate changes nothing.
const oracle = "tests/solidity/InferenceOracle*.t.sol";
const targets = {
  Escrow: ["contracts/oracle/Escrow.sol", "tests/solidity/InferenceOracle.{t,tokens.t,invariant.t,batch.t,coverage.t}.sol"],
  Callback: ["contracts/oracle/Callback.sol", "tests/solidity/InferenceOracle.{callbacks.t,batch.t,t}.sol"],
  Fault: ["contracts/oracle/Fault.sol", oracle],
  Feeds: ["contracts/oracle/Feeds.sol", oracle],
  Runs: ["contracts/oracle/Run.sol", oracle],
  ModelInputs: ["contracts/oracle/ModelInputs.sol", oracle],
  InferenceOracle: ["contracts/InferenceOracle.sol", oracle],
  BundleVerifier: ["contracts/BundleVerifier.sol", "tests/solidity/BundleVerifier*.t.sol"],
};

const names = process.argv.slice(2);
const flag = names.indexOf("--mutators");
const [, mutators] = flag < 0 ? [] : names.splice(flag, 2);
const unknown = names.find((name) => !targets[name]);
if (unknown) throw new Error(`mutate: no target ${unknown}; there are ${Object.keys(targets).join(", ")}`);

for (const file of execFileSync("git", ["ls-files"], { cwd: root, encoding: "utf8" }).split("\n")) {
  if (!/^(contracts|tests\/solidity|script)\/|^(foundry\.toml|remappings\.txt)$/.test(file)) continue;
  mkdirSync(dirname(join(copy, file)), { recursive: true });
  copyFileSync(join(root, file), join(copy, file));
}
for (const folder of ["node_modules", ".venv"]) symlinkSync(join(root, folder), join(copy, folder));

const explained = existsSync(join(root, "docs/mutation.md")) ? readFileSync(join(root, "docs/mutation.md"), "utf8") : "";
const oneLine = (text) => text.replace(/\s+/g, " ").trim();
let unexplained = 0;
for (const name of names.length > 0 ? names : Object.keys(targets)) {
  const [file, tests] = targets[name];
  // slither-mutate cleans forge's folders before each mutant; with folders of its own the test run keeps its cache.
  const test = `FOUNDRY_OUT=tests-out FOUNDRY_CACHE_PATH=tests-cache script/forge test --match-path '${tests}'`;
  const args = [file, "--contract-names", name, "--test-cmd", test];
  args.push("--output-dir", "survivors", "--comprehensive", "--verbose", "--timeout", "600");
  if (mutators) args.push("--mutators-to-run", mutators);
  const env = { ...process.env, FOUNDRY_PROFILE: "mutation" };
  const path = join(root, `cache/mutation/${name}.log`);
  const output = openSync(path, "w");
  const run = spawnSync("script/tool", ["slither-mutate", ...args], { cwd: copy, env, stdio: ["ignore", output, output] });
  const log = readFileSync(path, "utf8").replace(/\x1b\[[0-9;]*m/g, "");
  // A toolchain that broke on the way would have caught every mutant since.
  const after = spawnSync("sh", ["-c", `forge build ${file} && ${test}`], {
    cwd: copy,
    env: { ...env, PATH: `${join(copy, "script")}:${process.env.PATH}` },
  });
  if (after.status !== 0) throw new Error(`mutate: the tests of ${name} fail without a mutant\n${after.stderr}`);
  const caught = log.split("--> CAUGHT").length - 1;
  const survivors = [...log.matchAll(/\[(\w+)\] Line (\d+): '((?:(?!--> )[^])*?)' ==> '((?:(?!--> )[^])*?)' --> UNCAUGHT/g)];
  if (run.status !== 0 || caught + survivors.length === 0) throw new Error(`mutate: ${name}\n${log.slice(-4000)}`);
  // A mutator that slither-mutate itself stumbles over has tested nothing.
  const broken = [...log.matchAll(/ERROR:Slither-Mutate:(\w+) mutator failed/g)].map(([, mutator]) => mutator);
  for (const mutator of broken) survivors.push([, mutator, "–", "the mutator", "fails itself"]);
  console.log(`${name}: ${caught + survivors.length} mutants, ${survivors.length} survive or were not made`);
  for (const [, mutator, line, before, after] of survivors) {
    const mutant = `${name} ${mutator}: ${oneLine(before)} ⇒ ${oneLine(after)}`;
    const known = explained.includes(`\`${mutant}\``);
    if (!known) ++unexplained;
    console.log(`  ${known ? "explained" : "UNEXPLAINED"}, line ${line}: ${mutant}`);
  }
}
rmSync(copy, { recursive: true });
if (unexplained > 0) {
  console.error(`mutate: docs/mutation.md does not explain ${unexplained} of them`);
  process.exitCode = 1;
}
