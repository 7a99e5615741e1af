#!/usr/bin/env node
// Mutation testing: `script/mutate.mjs [--list] [--mutators RR,ROR] [--from 100] [--survivors] [Contract …]`, all of both by
// default; `--from` goes on after a run that was stopped, `--survivors` takes those that lived in the last one. Fails for every survivor that docs/mutation.md does
// not explain. slither-mutate makes the mutants (script/mutants.py), and so does what is below for operators and Yul.
import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";

const root = join(import.meta.dirname, "..");
const cache = join(root, "cache/mutation");

// Target → its file, the contracts whose code has it, the test files that most likely notice, and all that may.
const tests = (pattern) => new RegExp(`^tests/solidity/(${pattern})\\.t\\.sol$`);
const inOracle = ["contracts/InferenceOracle.sol", "InferenceOracle"];
const oracle = (file, near, ...more) => [file, [inOracle, ...more], tests(near), tests("InferenceOracle.*|attacks/(?!Chunks).*")];
const targets = {
  Escrow: oracle("contracts/oracle/Escrow.sol", "InferenceOracle(.tokens)?"),
  Callback: oracle("contracts/oracle/Callback.sol", "InferenceOracle.call.*", [
    "tests/solidity/InferenceOracle.calls.t.sol",
    "InferenceOracleCallsTest",
  ]),
  Feeds: oracle("contracts/oracle/Feeds.sol", "InferenceOracle.(feeds|publish).*"),
  Fault: oracle("contracts/oracle/Fault.sol", "InferenceOracle(.batch)?"),
  Runs: oracle("contracts/oracle/Run.sol", "InferenceOracle(.callbacks|.coverage)?"),
  Hashes: oracle("contracts/oracle/Hashes.sol", "InferenceOracle(.publish|.records)?"),
  Requests: oracle("contracts/oracle/Requests.sol", "InferenceOracle(.callbacks|.calls|.records)?"),
  Opened: oracle("contracts/oracle/Opened.sol", "InferenceOracle(.batch)?"),
  ModelInputs: oracle("contracts/oracle/ModelInputs.sol", "InferenceOracle(.publish)?"),
  Statements: oracle("contracts/oracle/Statements.sol", "InferenceOracle.(batch|calldata)"),
  InferenceOracle: oracle("contracts/InferenceOracle.sol", "InferenceOracle(.batch|.callbacks|.publish|.records)?"),
  BundleVerifier: [
    "contracts/BundleVerifier.sol",
    [["contracts/BundleVerifier.sol", "BundleVerifier"]],
    tests("BundleVerifier.*"),
    tests("BundleVerifier.*"),
  ],
};

// What is not mutated, and why. Any other source with code must be a target.
const leftOut = {
  "contracts/BundleVerifier0x09.sol": "made from contracts/BundleVerifier.sol, a target, by one constant",
  "contracts/ModelRegistry.sol": "roles and delays: ModelRegistry.invariant.t.sol holds them against a model of its own",
  "contracts/libraries/KeyBlobValidation.sol": "ModelRegistry.t.sol changes every word of a blob, and names each refusal",
  "contracts/libraries/KeyBlob.sol": "readers: a wrong one fails every test of the verifier",
  "contracts/libraries/BN254.sol": "BN254.t.sol holds it against the curve's definition",
  "contracts/libraries/Equivocation.sol": "ModelRegistry.equivocation.t.sol goes through pairs of bundles",
  "contracts/libraries/PublicWords.sol": "PublicWords.t.sol holds it against the definition, for random words",
  "contracts/libraries/ModelLayout.sol": "read when a contract is made, and compared field by field in tests",
  "contracts/InferenceFeed.sol": "reads the oracle's feeds; no money is in it",
  "contracts/InferenceSubscription.sol": "spends its owner's funds only",
  "contracts/InferenceSubscriptionFactory.sol": "has no power over what it makes",
  "contracts/WeightBoard.sol": "WeightBoard.invariant.t.sol holds it against a model of its own, WeightBoard.t.sol names each refusal",
  "contracts/consumers/": "bases for others' contracts, tested through the examples",
  "contracts/examples/": "examples",
  "contracts/testing/": "for tests",
  "contracts/interfaces/": "no code",
  "contracts/generated/": "made from templates/, whose output tests/solidity/Generated.t.sol runs",
};
for (const file of execFileSync("git", ["ls-files", "contracts/*.sol"], { cwd: root, encoding: "utf8" }).trim().split("\n")) {
  const isTarget = Object.values(targets).some(([target]) => target === file);
  if (!isTarget && !Object.keys(leftOut).some((path) => file.startsWith(path))) {
    throw new Error(`mutate: ${file} is no target, and nothing says why`);
  }
}

const names = process.argv.slice(2);
const [list] = names.includes("--list") ? names.splice(names.indexOf("--list"), 1) : [];
if (list) {
  console.log(Object.keys(targets).join("\n"));
  process.exit(0);
}
const take = (flag, count) => (names.includes(flag) ? names.splice(names.indexOf(flag), count) : []);
const [again] = take("--survivors", 1);
const mutators = take("--mutators", 2)[1]?.split(",");
const from = Number(take("--from", 2)[1] ?? 0);
const unknown = names.find((name) => !targets[name]);
if (unknown) throw new Error(`mutate: no target ${unknown}; there are ${Object.keys(targets).join(", ")}`);

// Text by bytes, since solc counts bytes.
const read = (path) => readFileSync(path, "latin1");

// ---------------------------------------------------------------------------------------------- mutants of our own

// slither-mutate replaces the first operator of a statement only, and knows no Yul. A replacement that ends in "(("
// is closed once more.
const signs = { "==": ["!="], "!=": ["=="], "<": ["<=", ">"], ">": [">=", "<"], "<=": ["<", ">"], ">=": [">", "<"] };
Object.assign(signs, { "&&": ["||"], "||": ["&&"], "+": ["-"], "-": ["+"], "*": ["+"], "/": ["*"], "%": ["/"] });
Object.assign(signs, { "<<": [">>"], ">>": ["<<"], "&": ["|"], "|": ["&"] });
const yul = { lt: ["gt(", "iszero(gt(("], gt: ["lt(", "iszero(lt(("], eq: ["iszero(eq((", "lt("], iszero: ["("] };
Object.assign(yul, { add: ["sub("], sub: ["add("], mul: ["add("], div: ["mul("], mod: ["div("], and: ["or("], or: ["and("] });
Object.assign(yul, { shl: ["shr("], shr: ["shl("], addmod: ["mulmod("], mulmod: ["addmod("] });
const words = { "0x20": "0x40", "0x40": "0x20", "0x60": "0x40", "0x80": "0xa0", "0xa0": "0xc0", "0xc0": "0xe0" };

function closing(text, open, [left, right] = "()") {
  let depth = 1;
  let end = open;
  while (depth > 0) depth += { [left]: 1, [right]: -1 }[text[++end]] ?? 0;
  return end;
}

function ownMutants(source, from, to) {
  const text = source.replace(/\/\/.*|"[^"\n]*"/g, (comment) => " ".repeat(comment.length));
  const blocks = [...text.matchAll(/assembly [^{]*{/g)].map(({ index, 0: { length } }) => [index, closing(text, index + length - 1, "{}")]);
  const inYul = (at) => blocks.some(([start, end]) => start < at && at < end);
  const found = [];
  const add = (name, start, end, after) => {
    if (from < start && end < to) found.push([name, start, end, after]);
  };
  for (const { index, 1: sign } of text.matchAll(/(?<= )([=!<>]=|[<>]{1,2}|&&?|\|\|?|[-+*\/%])(?= )/g)) {
    for (const other of signs[sign] ?? []) add("OPS", index, index + sign.length, other);
  }
  for (const { index, 0: call, 1: name } of text.matchAll(/\b(\w+)\(/g)) {
    if (!inYul(index)) continue;
    const open = index + call.length;
    for (const other of yul[name] ?? []) {
      if (!other.endsWith("((")) add("YUL", index, open, other);
      else add("YUL", index, closing(text, open - 1) + 1, `${other.slice(0, -1)}${source.slice(open, closing(text, open - 1))}))`);
    }
  }
  for (const { index, 0: word } of text.matchAll(/\b0x[2468ac]0\b/g)) {
    if (inYul(index)) add("YUL", index, index + 4, words[word]);
  }
  return found;
}

// ---------------------------------------------------------------------------------------------- tests

/** Without what makes no difference: numbers are unsigned, start as 0, and loops count up to a length. */
const plain = (text) =>
  text
    .replace(/ <= 0\b/g, " == 0")
    .replace(/ > 0\b/g, " != 0")
    .replace(/\bimmutable\b/g, "constant")
    .replace(/(\buint\d+ \w+) = 0;/g, "$1 ;")
    .replace(/for \(uint\d+ i ; i (?:<|!=) ([^;]*); (?:\+\+i|i\+\+)\)/g, "for (uint256 i ; i < $1; ++i)");

const utf8 = (text) => Buffer.from(text, "latin1").toString();
const oneLine = (text) => utf8(text).replace(/\s+/g, " ").trim();

/** Names a mutant by its function and by the lines that differ. */
function describe(name, mutator, source, mutant, start) {
  const [before, after] = [source.split("\n"), mutant.split("\n")];
  let first = 0;
  while (before[first] === after[first]) ++first;
  let last = 0;
  while (last < Math.min(before.length, after.length) - first && before.at(-1 - last) === after.at(-1 - last)) ++last;
  const [old, new_] = [before, after].map((lines) => oneLine(lines.slice(first, lines.length - last).join("\n")));
  const scope = [...source.slice(0, start + 9).matchAll(/\b(?:function (\w+)|(constructor)\()/g)].at(-1);
  return `${name}.${scope?.[1] ?? scope?.[2] ?? "–"} ${mutator}: ${old} ⇒ ${new_}`;
}

let solc;
let compilations = 0;

function compile(input) {
  // It does not give all of its memory back.
  if (compilations++ % 500 === 0) {
    const require = createRequire(import.meta.url);
    for (const path of Object.keys(require.cache)) delete require.cache[path];
    solc = require("solc");
  }
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  return output.errors?.some(({ severity }) => severity === "error") ? undefined : output;
}

/** A third do not parse: that takes milliseconds. */
function parses(file, mutant) {
  const content = utf8(mutant).replace(/^import [^;]*;/gm, "");
  return compile({ language: "Solidity", sources: { [file]: { content } }, settings: { stopAfter: "parsing" } }) !== undefined;
}

/** A function that compiles mutants of a file: to the creation code of each of some contracts. */
async function compilerOf(copy, profile, file, contracts) {
  const folders = { FOUNDRY_OUT: `info-${profile}`, FOUNDRY_CACHE_PATH: `info-${profile}/cache` };
  const paths = contracts.map(([path]) => path);
  await run(copy, ["script/forge", "build", "--build-info", ...paths], { FOUNDRY_PROFILE: profile, ...folders });
  const folder = join(copy, `info-${profile}/build-info`);
  const { language, sources, settings } = JSON.parse(readFileSync(join(folder, readdirSync(folder)[0]), "utf8")).input;
  const input = { language, sources, settings: { ...settings, outputSelection: {} } };
  for (const [path, contract] of contracts) input.settings.outputSelection[path] = { [contract]: ["evm.bytecode.object"] };
  return (mutant) => {
    input.sources[file] = { content: utf8(mutant) };
    const output = compile(input);
    return output && contracts.map(([path, contract]) => output.contracts[path][contract].evm.bytecode.object);
  };
}

/** A copy with these tests. Mutants change its artifacts only, so that forge has nothing to compile. */
function prepare(copy, tests) {
  rmSync(copy, { recursive: true, force: true });
  for (const file of execFileSync("git", ["ls-files"], { cwd: root, encoding: "utf8" }).split("\n")) {
    if (!/^(contracts|tests\/solidity|script)\/|^(foundry\.toml|remappings\.txt)$/.test(file)) continue;
    if (/\.t\.sol$/.test(file) && !tests.test(file)) continue;
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    // Some tests ask for hundreds of random cases.
    const text = read(join(root, file));
    writeFileSync(join(copy, file), tests.test(file) ? text.replace(/^ *\/\/\/ forge-config: .*fuzz\.runs.*\n/gm, "") : text, "latin1");
    if (file.startsWith("script/")) chmodSync(join(copy, file), 0o755);
  }
  for (const folder of ["node_modules", ".venv"]) symlinkSync(join(root, folder), join(copy, folder));
  return copy;
}

function run(copy, args, settings) {
  const env = { ...process.env, FOUNDRY_PROFILE: "mutation", PATH: `${join(copy, "script")}:${process.env.PATH}`, ...settings };
  const child = spawn(args[0], args.slice(1), { cwd: copy, env, timeout: 300_000, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status, signal, output }));
  });
}

async function fateOf(copy, contracts, codes, settings) {
  contracts.forEach(([path, contract], i) => {
    const artifact = join(copy, "out", basename(path), `${contract}.json`);
    if (!existsSync(artifact)) return;
    const json = JSON.parse(readFileSync(artifact, "utf8"));
    json.bytecode.object = `0x${codes[i]}`;
    writeFileSync(artifact, JSON.stringify(json));
  });
  const { status, signal, output } = await run(copy, ["script/forge", "test", "--fail-fast"], settings);
  if (output.includes("Compiling")) throw new Error(`mutate: forge compiled what it should take as it is\n${output.slice(0, 2000)}`);
  if (status === 0) return "survives";
  if (signal || output.includes("[FAIL")) return "caught";
  throw new Error(`mutate: forge ended without a failing test\n${output}`);
}

/** Mutant → its name. */
async function mutantsOf(copy, name, file, source) {
  const { status, output } = await run(copy, [".venv/bin/python", "script/mutants.py", file, name]);
  if (status !== 0) throw new Error(`mutate: ${output}`);
  const bytes = (text) => Buffer.from(text).toString("latin1");
  const theirs = JSON.parse(output).map(([mutator, begin, end, text]) => [mutator, begin, end, bytes(text)]);
  const start = source.search(new RegExp(`^(abstract )?(contract|library) ${name}\\b`, "m"));
  // Two mutators may do the same.
  const mutants = new Map();
  for (const [mutator, begin, end, text] of [...theirs, ...ownMutants(source, start, source.length)]) {
    if (mutators && !mutators.includes(mutator)) continue;
    const mutant = source.slice(0, begin) + text + source.slice(end);
    if (plain(mutant) === plain(source) || mutants.has(mutant) || !parses(file, mutant)) continue;
    mutants.set(mutant, describe(name, mutator, source, mutant, begin));
  }
  return mutants;
}

// ---------------------------------------------------------------------------------------------- run

const explained = readFileSync(join(root, "docs/mutation.md"), "utf8");

async function mutate(name) {
  const [file, contracts, nearTests, allTests] = targets[name];
  const near = prepare(join(cache, name, "near"), nearTests);
  const all = prepare(join(cache, name, "all"), allTests);
  const source = read(join(all, file));
  const mutants = await mutantsOf(all, name, file, source);
  const compileForTests = await compilerOf(all, "mutation", file, contracts);
  const compileForUse = await compilerOf(all, "default", file, contracts);
  const [originalForTests, originalForUse] = [compileForTests(source), compileForUse(source)];
  const log = join(cache, `${name}.log`);
  const list = join(cache, `${name}.json`);
  const only = again && new Set(JSON.parse(readFileSync(list, "utf8")));
  writeFileSync(log, "");
  const survivors = [];

  for (const copy of [near, all]) await run(copy, ["script/forge", "build"]);
  // Before and after: a toolchain that broke on the way would have caught every mutant since.
  const check = async () => {
    for (const copy of [near, all]) {
      if ((await fateOf(copy, contracts, originalForTests)) !== "survives") throw new Error(`mutate: the tests of ${name} fail`);
      if ((await fateOf(copy, contracts, contracts.map(() => "fe"))) !== "caught") throw new Error(`mutate: no test of ${name} sees it`);
    }
  };
  await check();
  console.log(`${name}: ${mutants.size} mutants`);
  const counts = { caught: 0, survives: 0, "does not compile": 0, "is the same code": 0 };
  for (const [mutant, key] of [...mutants].slice(from)) {
    if (only && !only.has(key)) continue;
    const codes = compileForTests(mutant);
    let fate = codes ? "survives" : "does not compile";
    if (String(codes) === String(originalForTests)) fate = "is the same code";
    // Few random cases find most.
    if (fate === "survives") fate = await fateOf(near, contracts, codes, { FOUNDRY_FUZZ_RUNS: "1", FOUNDRY_INVARIANT_RUNS: "1" });
    if (fate === "survives" && String(compileForUse(mutant)) === String(originalForUse)) fate = "is the same code";
    if (fate === "survives") fate = await fateOf(all, contracts, codes);
    ++counts[fate];
    appendFileSync(log, `${new Date().toISOString()} ${fate}: ${key}\n`);
    if (fate !== "survives") continue;
    survivors.push(key);
    writeFileSync(list, JSON.stringify(survivors));
  }
  await check();
  rmSync(join(cache, name), { recursive: true });

  console.log(`${name}: ${Object.entries(counts).map(([fate, count]) => `${count} ${fate}`).join(", ")}`);
  const unexplained = survivors.filter((key) => !explained.includes(`\`${key}\``));
  for (const key of unexplained) console.log(`  UNEXPLAINED: ${key}`);
  return unexplained.length;
}

let unexplained = 0;
for (const name of names.length > 0 ? names : Object.keys(targets)) unexplained += await mutate(name);
if (unexplained > 0) {
  console.error(`mutate: docs/mutation.md does not explain ${unexplained} of them`);
  process.exitCode = 1;
}
