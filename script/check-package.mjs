#!/usr/bin/env node
// Uses the contracts as a stranger would: packs the npm package, unpacks it into an empty forge project outside the
// repository, writes the files of docs/contracts.md there, compiles them with the newest and the oldest solc and runs
// their tests; the same with the repository under lib/; and type-checks the ABI constants. Nothing is fetched.
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

// Code blocks of the page by file: Solidity ones name it in their first line, and all must; others after the language.
function pageFiles() {
  const files = new Map();
  for (const [, language, title, body] of readFileSync(page, "utf8").matchAll(/^```(\w+) ?([^\n]*)\n(.*?)^```$/gms)) {
    const name = language === "solidity" ? body.match(/^\/\/ (\S+\.sol)\n/)?.[1] : title;
    if (language === "solidity" && !name) fail(`a block of docs/contracts.md names no file:\n${body}`);
    if (name && files.has(name)) fail(`docs/contracts.md has ${name} twice`);
    if (name) files.set(name, body);
  }
  return files;
}

// A project with what `forge init` puts there, the page's files, and nothing else.
function project(folder, files, remappings) {
  writeFileSync(join(folder, "foundry.toml"), '[profile.default]\nsrc = "src"\nout = "out"\nlibs = ["lib"]\n');
  writeFileSync(join(folder, "remappings.txt"), files.get(remappings));
  for (const [name, text] of files) {
    if (!name.endsWith(".sol")) continue;
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  cpSync(join(root, "node_modules/@uniswap/v4-core/lib/forge-std"), join(folder, "lib/forge-std"), { recursive: true });
}

function forge(command, folder, solc, settings = {}, args = []) {
  // Only what the page says, whatever this shell is set to.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(FOUNDRY|DAPP)_/.test(name)));
  Object.assign(env, { FOUNDRY_SOLC: join(root, "script/solc"), ZKSLICE_SOLC: solc, NO_COLOR: "1", ...settings });
  return run(join(root, "script/forge"), [command, "--root", folder, ...args], { env });
}

const manifest = json(join(root, "contracts/package.json"));
const pinned = json(join(root, "package.json")).dependencies;
const peers = Object.fromEntries(Object.entries(pinned).map(([name, version]) => [name, `^${version}`]));
if (JSON.stringify(manifest.peerDependencies) !== JSON.stringify(peers)) {
  fail(`contracts/package.json: peerDependencies must be the root's dependencies, ${JSON.stringify(peers)}`);
}
const version = run("grep", ["-m1", "-oP", '^version = "\\K[^"]+', join(root, "Cargo.toml")]).trim();
if (manifest.version !== version) fail(`contracts/package.json has version ${manifest.version}, Cargo.toml ${version}`);
const install = `openzeppelin-contracts@v${pinned["@openzeppelin/contracts"]}`;
if (!readFileSync(page, "utf8").includes(install)) fail(`docs/contracts.md: forge install is not of ${install}`);

const files = pageFiles();
const work = mkdtempSync(join(tmpdir(), "zkslice-package-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));

// By npm.
const npm = join(work, "npm");
const installed = join(npm, "node_modules/@zkslice/contracts");
mkdirSync(installed, { recursive: true });
run("npm", ["pack", join(root, "contracts"), "--pack-destination", work]);
const tarball = join(work, `zkslice-contracts-${version}.tgz`);
run("tar", ["-xzf", tarball, "--strip-components=1", "-C", installed]);
for (const dependency of Object.keys(pinned)) {
  cpSync(join(root, "node_modules", dependency), join(npm, "node_modules", dependency), { recursive: true });
}
project(npm, files, "remappings.txt");
const expected = [...files.values()].flatMap((text) => text.match(/function test\w*/g) ?? []).length;
const output = forge("test", npm, "solc", {}, ["--offline"]);
if (!output.includes(`${expected} tests passed, 0 failed`)) fail(`not ${expected} tests passed:\n${output}`);
forge("fmt", npm, "solc", {}, ["--check"]);
// Every contract of the package and the page's; optimised, as they are deployed.
const sources = run("find", [installed, "-name", "*.sol", "-printf", "%P\\n"]).trim().split("\n").sort();
const imports = sources.map((source) => `@zkslice/contracts/${source}`);
imports.push(...[...files.keys()].filter((name) => name.startsWith("src/")).map((name) => name.replace("src/", "./")));
writeFileSync(join(npm, "src/All.sol"), imports.map((path) => `import "${path}";\n`).join(""));
for (const solc of ["solc", "solc-oldest"]) forge("build", npm, solc, { FOUNDRY_OPTIMIZER: "true" }, ["--offline", "src/All.sol"]);

// By forge: the files that git has, under lib/.
const lib = join(work, "lib-project");
const clone = join(lib, "lib/zkslice");
for (const file of run("git", ["ls-files", "contracts", "foundry.toml", "remappings.txt"]).trim().split("\n")) {
  cpSync(join(root, file), join(clone, file), { recursive: true });
}
cpSync(join(root, "node_modules/@openzeppelin/contracts"), join(lib, "lib/openzeppelin-contracts/contracts"), { recursive: true });
project(lib, files, "remappings.txt (forge)");
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
  run("node", [tsc, "--noEmit", "--strict", "--target", "es2022", ...options, "abi.ts"], { cwd: npm });
}
const print = "console.log(JSON.stringify(abis))";
for (const [file, code, ...options] of [
  ["print.mjs", `import * as abis from "@zkslice/contracts/abi";\n${print};\n`],
  ["print.cjs", `const abis = require("@zkslice/contracts/abi");\n${print};\n`, "--no-experimental-require-module"],
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
console.log(`package ${manifest.name}@${version}: ${sources.length} sources, ${expected} tests of docs/contracts.md, ${names.length} ABIs`);
