#!/usr/bin/env node
// Compiles the npm package in a Hardhat 2 and a Hardhat 3 project: every import resolves, by no remapping, and the mock
// oracle is small enough for a chain, by Hardhat's defaults. Their packages are installed into tests/hardhat/.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const LIMIT = 24_576;
const root = join(import.meta.dirname, "..");
const version = createRequire(join(root, "package.json"))("solc/package.json").version;
const env = { ...process.env, SOLJSON: join(root, "node_modules/solc/soljson.js"), SOLC_VERSION: version, HARDHAT_DISABLE_TELEMETRY_PROMPT: "true" };

function run(cwd, program, ...args) {
  try {
    execFileSync(program, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    console.error(`check-hardhat: ${cwd}: ${program} ${args.join(" ")}\n${error.stdout}${error.stderr}`);
    process.exit(1);
  }
}

const work = mkdtempSync(join(tmpdir(), "zkslice-hardhat-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));
run(root, "npm", "pack", join(root, "contracts"), "--pack-destination", work);
const tarball = readdirSync(work).find((name) => name.endsWith(".tgz"));
run(work, "tar", "-xzf", tarball);

for (const [major, ...build] of [
  ["2", "node_modules/hardhat/internal/cli/cli.js", "compile"],
  ["3", "build.mjs"],
]) {
  const tools = join(root, "tests/hardhat", major);
  const lock = statSync(join(tools, "package-lock.json")).mtimeMs;
  const done = join(tools, "node_modules/.installed");
  if (!existsSync(done) || statSync(done).mtimeMs < lock) {
    run(tools, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund");
    writeFileSync(done, "");
  }
  // A project whose node_modules are the tools' and, in place, the package and what it asks for.
  const project = join(work, major);
  mkdirSync(join(project, "node_modules/@zkslice"), { recursive: true });
  mkdirSync(join(project, "contracts"));
  for (const name of readdirSync(join(tools, "node_modules"))) {
    if (!name.startsWith(".")) symlinkSync(join(tools, "node_modules", name), join(project, "node_modules", name));
  }
  cpSync(join(work, "package"), join(project, "node_modules/@zkslice/contracts"), { recursive: true });
  cpSync(join(root, "node_modules/@openzeppelin"), join(project, "node_modules/@openzeppelin"), { recursive: true });
  for (const name of readdirSync(tools).filter((name) => /\.(json|m?js)$/.test(name))) cpSync(join(tools, name), join(project, name));
  const sources = readdirSync(join(work, "package"), { recursive: true }).filter((name) => name.endsWith(".sol"));
  const imports = sources.sort().map((source) => `import "@zkslice/contracts/${source}";\n`).join("");
  const mock = 'import {MockInferenceOracle} from "@zkslice/contracts/testing/MockInferenceOracle.sol";\n\ncontract Mock is MockInferenceOracle {}\n';
  writeFileSync(join(project, "contracts/All.sol"), `// SPDX-License-Identifier: MIT\npragma solidity ^0.8.24;\n\n${imports}${mock}`);
  run(project, "node", ...build);
  const artifact = join(project, "artifacts/contracts/All.sol/Mock.json");
  const size = JSON.parse(readFileSync(artifact, "utf8")).deployedBytecode.length / 2 - 1;
  if (size > LIMIT) {
    console.error(`check-hardhat: Hardhat ${major}: the mock oracle has ${size} bytes, a chain takes ${LIMIT}`);
    process.exit(1);
  }
  console.log(`Hardhat ${major}: ${sources.length} sources compile; the mock oracle has ${size} bytes`);
}
