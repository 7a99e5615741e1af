#!/usr/bin/env node
// Uses the npm package as a stranger would: packs it, unpacks it into an empty forge project outside the repository,
// compiles every contract by each of the four settings of optimizer and via_ir (the repository's own with the
// oldest solc, since the newest compiles them in every build here), and with the repository under lib/; and imports its
// JavaScript as every kind of project does. Nothing is fetched. The code of docs/contracts.md is run by
// tests/tests/contracts_page.rs, Hardhat by script/check-hardhat.mjs.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const page = join(root, "docs/contracts.md");

function fail(message) {
  console.error(`check-package: ${message}`);
  process.exit(1);
}

function run(program, args, options = {}) {
  try {
    return execFileSync(program, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], ...options });
  } catch (error) {
    return fail(`${program} ${args.join(" ")}\n${error.stdout ?? ""}${error.stderr ?? error.message}`);
  }
}

const json = (path) => JSON.parse(readFileSync(path, "utf8"));

// The remappings that the page has for a way to install.
function remappings(title) {
  const body = readFileSync(page, "utf8").match(new RegExp(`^\`\`\`text ${title.replace(/[().]/g, "\\$&")}\\n(.*?)^\`\`\`$`, "ms"))?.[1];
  return body ?? fail(`docs/contracts.md has no block "${title}"`);
}

// A project with what `forge init` puts there, and a source that imports all of the package.
function project(folder, title, sources) {
  writeFileSync(join(folder, "foundry.toml"), '[profile.default]\nsrc = "src"\nout = "out"\nlibs = ["lib"]\n');
  writeFileSync(join(folder, "remappings.txt"), remappings(title));
  mkdirSync(join(folder, "src"));
  const imports = sources.map((source) => `import "@zkslice/contracts/${source}";\n`).join("");
  writeFileSync(join(folder, "src/All.sol"), `// SPDX-License-Identifier: MIT\npragma solidity ^0.8.24;\n\n${imports}`);
}

function forge(command, folder, solc, settings = {}, args = []) {
  // Only what the page says, whatever this shell is set to.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(FOUNDRY|DAPP)_/.test(name)));
  Object.assign(env, { FOUNDRY_SOLC: join(root, "script/solc"), ZKSLICE_SOLC: solc, NO_COLOR: "1", ...settings });
  return run(join(root, "script/forge"), [command, "--root", folder, ...args], { env });
}

const manifest = json(join(root, "contracts/package.json"));
const { dependencies: pinned, devDependencies: tools } = json(join(root, "package.json"));
const ranges = (versions) => Object.fromEntries(Object.entries(versions).map(([name, version]) => [name, `^${version}`]));
const needed = Object.fromEntries(["@noble/hashes", "poseidon-lite"].map((name) => [name, tools[name]]));
for (const [kind, versions] of [["peerDependencies", pinned], ["dependencies", needed]]) {
  const expected = JSON.stringify(ranges(versions));
  if (JSON.stringify(manifest[kind]) !== expected) fail(`contracts/package.json: ${kind} must be what the root pins, ${expected}`);
}
const version = readFileSync(join(root, "Cargo.toml"), "utf8").match(/^version = "([^"]+)/m)[1];
if (manifest.version !== version) fail(`contracts/package.json has version ${manifest.version}, Cargo.toml ${version}`);
const install = `openzeppelin-contracts@v${pinned["@openzeppelin/contracts"]}`;
if (!readFileSync(page, "utf8").includes(install)) fail(`docs/contracts.md: forge install is not of ${install}`);

const work = mkdtempSync(join(tmpdir(), "zkslice-package-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));

// By npm.
const npm = join(work, "npm");
const installed = join(npm, "node_modules/@zkslice/contracts");
mkdirSync(installed, { recursive: true });
run("npm", ["pack", join(root, "contracts"), "--pack-destination", work]);
const tarball = join(work, `zkslice-contracts-${version}.tgz`);
run("tar", ["-xzf", tarball, "--strip-components=1", "-C", installed]);
for (const dependency of Object.keys({ ...pinned, ...needed })) {
  cpSync(join(root, "node_modules", dependency), join(npm, "node_modules", dependency), { recursive: true });
}
const sources = readdirSync(installed, { recursive: true }).filter((file) => file.endsWith(".sol")).sort();
project(npm, "remappings.txt", sources);
for (const [optimizer, viaIr, solc] of [
  ["false", "false", "solc"],
  ["true", "false", "solc-oldest"],
  ["false", "true", "solc"],
  ["true", "true", "solc"],
]) {
  forge("build", npm, solc, { FOUNDRY_OPTIMIZER: optimizer, FOUNDRY_VIA_IR: viaIr }, ["--offline", "--force"]);
  if (optimizer === "true" || viaIr === "true") continue;
  // What tests deploy must fit a chain by forge's own settings too; what `zkslice deploy` deploys has its own.
  const artifact = join(npm, "out/MockInferenceOracle.sol/MockInferenceOracle.json");
  const size = json(artifact).deployedBytecode.object.length / 2 - 1;
  if (size > 24_576) fail(`the mock oracle has ${size} bytes without the optimizer`);
}

// By forge: the files that git has, under lib/.
const lib = join(work, "lib-project");
const clone = join(lib, "lib/zkslice");
for (const file of run("git", ["ls-files", "contracts", "foundry.toml", "remappings.txt"]).trim().split("\n")) {
  cpSync(join(root, file), join(clone, file), { recursive: true });
}
cpSync(join(root, "node_modules/@openzeppelin/contracts"), join(lib, "lib/openzeppelin-contracts/contracts"), { recursive: true });
project(lib, "remappings.txt (forge)", ["testing/MockInferenceOracle.sol", "examples/AgeGate.sol"]);
forge("build", lib, "solc", {}, ["--offline"]);

// The package's JavaScript, as every kind of project imports it: literal types, and constants that are what
// contracts/abi has. TypeScript's name for how it looks for modules, with the project's own type.
const names = readdirSync(join(root, "contracts/abi")).map((file) => file.replace(".json", ""));
const usage = `import { inferenceOracleAbi, iInferenceConsumerAbi } from "@zkslice/contracts/abi";

type NamesOf<Abi extends readonly { type: string }[], Type> = Extract<Abi[number], { type: Type; name: string }>["name"];
type Inputs<Name> = Extract<(typeof inferenceOracleAbi)[number], { type: "function"; name: Name }>["inputs"];

export const event: NamesOf<typeof inferenceOracleAbi, "event"> = "InferenceFulfilled";
export const callback: NamesOf<typeof iInferenceConsumerAbi, "function"> = "onInference";
export const first: Inputs<"withdraw">[0]["type"] = "address";
// @ts-expect-error: no such function
export const missing: NamesOf<typeof inferenceOracleAbi, "function"> = "fulfill";
`;
const ask = readFileSync(page, "utf8").match(/^```ts ask\.ts\n(.*?)^```$/ms)?.[1] ?? fail("docs/contracts.md has no ask.ts");
const tsc = join(root, "node_modules/typescript/bin/tsc");
for (const [type, ...options] of [
  ["commonjs", "--module", "commonjs", "--moduleResolution", "node10"],
  ["module", "--module", "esnext", "--moduleResolution", "node10"],
  ["commonjs", "--module", "node16"],
  ["module", "--module", "node16"],
  ["commonjs", "--module", "nodenext"],
  ["module", "--module", "nodenext"],
  ["module", "--module", "esnext", "--moduleResolution", "bundler"],
  ["commonjs", "--module", "preserve"],
]) {
  writeFileSync(join(npm, "package.json"), JSON.stringify({ type, private: true }));
  writeFileSync(join(npm, "abi.ts"), usage);
  writeFileSync(join(npm, "ask.ts"), ask);
  run("node", [tsc, "--noEmit", "--strict", "--target", "es2022", ...options, "abi.ts", "ask.ts"], { cwd: npm });
}
const print = "if (!encoders.commitment) throw new Error('no encoders');\nconsole.log(JSON.stringify(abis));\n";
const [abis, encoders] = ["abi", "encode"].map((part) => JSON.stringify(`@zkslice/contracts/${part}`));
for (const [file, code, ...options] of [
  ["print.mjs", `import * as abis from ${abis};\nimport * as encoders from ${encoders};\n${print}`],
  ["print.cjs", `const abis = require(${abis});\nconst encoders = require(${encoders});\n${print}`, "--no-experimental-require-module"],
]) {
  writeFileSync(join(npm, file), code);
  const constants = JSON.parse(run("node", [...options, file], { cwd: npm }));
  for (const name of names) {
    const constant = constants[`${name[0].toLowerCase()}${name.slice(1)}Abi`];
    if (JSON.stringify(constant) !== JSON.stringify(json(join(root, `contracts/abi/${name}.json`)).abi)) {
      fail(`${file}: ABI of ${name} differs`);
    }
  }
}
console.log(`package ${manifest.name}@${version}: ${sources.length} sources by four settings, ${names.length} ABIs`);
