#!/usr/bin/env node
// Mutation testing: `script/mutate.mjs [--mutators RR,ROR] [--survivors] [Contract …]`, all of both by default;
// `--survivors` takes only those mutants that lived in the last run. Fails for every survivor that docs/mutation.md does
// not explain. slither-mutate makes the mutants (script/mutants.py), and so does what is below for operators and Yul.
import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const root = join(import.meta.dirname, "..");
const cache = join(root, "cache/mutation");
const solc = createRequire(import.meta.url)("solc");

// Contract → its file, the contract whose code has it, and the test files that are to notice.
const oracle = ["InferenceOracle", /^tests\/solidity\/(InferenceOracle|attacks\/(?!Chunks)).*\.t\.sol$/];
const verifier = ["BundleVerifier", /^tests\/solidity\/BundleVerifier.*\.t\.sol$/];
const targets = {
  Escrow: ["contracts/oracle/Escrow.sol", ...oracle],
  Callback: ["contracts/oracle/Callback.sol", ...oracle],
  Feeds: ["contracts/oracle/Feeds.sol", ...oracle],
  Fault: ["contracts/oracle/Fault.sol", ...oracle],
  Runs: ["contracts/oracle/Run.sol", ...oracle],
  ModelInputs: ["contracts/oracle/ModelInputs.sol", ...oracle],
  Statements: ["contracts/oracle/Statements.sol", ...oracle],
  InferenceOracle: ["contracts/InferenceOracle.sol", ...oracle],
  BundleVerifier: ["contracts/BundleVerifier.sol", ...verifier],
};

const names = process.argv.slice(2);
const take = (flag, count) => (names.includes(flag) ? names.splice(names.indexOf(flag), count) : []);
const [again] = take("--survivors", 1);
const mutators = take("--mutators", 2)[1]?.split(",");
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

const oneLine = (text) => Buffer.from(text, "latin1").toString().replace(/\s+/g, " ").trim();

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

/** A third do not parse: that takes milliseconds. */
function parses(file, mutant) {
  const content = Buffer.from(mutant, "latin1").toString().replace(/^import [^;]*;/gm, "");
  const settings = { stopAfter: "parsing" };
  const { errors } = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources: { [file]: { content } }, settings })));
  return !errors?.some(({ severity }) => severity === "error");
}

function prepare(name, tests) {
  const copy = join(cache, name);
  rmSync(copy, { recursive: true, force: true });
  for (const file of execFileSync("git", ["ls-files"], { cwd: root, encoding: "utf8" }).split("\n")) {
    if (!/^(contracts|tests\/solidity|script)\/|^(foundry\.toml|remappings\.txt)$/.test(file)) continue;
    if (/\.t\.sol$/.test(file) && !tests.test(file)) continue;
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    // Some tests ask for hundreds of cases.
    const text = read(join(root, file));
    writeFileSync(join(copy, file), tests.test(file) ? text.replace(/^ *\/\/\/ forge-config: .*fuzz\.runs.*\n/gm, "") : text, "latin1");
    if (file.startsWith("script/")) chmodSync(join(copy, file), 0o755);
  }
  for (const folder of ["node_modules", ".venv"]) symlinkSync(join(root, folder), join(copy, folder));
  return copy;
}

function test(copy, settings) {
  const env = { ...process.env, FOUNDRY_PROFILE: "mutation", ...settings };
  const run = spawnSync("script/forge", ["test", "--fail-fast"], { cwd: copy, env, encoding: "utf8", timeout: 300_000 });
  if (run.status === 0) return "survives";
  if (/Compiler run failed|Solar/.test(run.stdout + run.stderr)) return "does not compile";
  if (run.signal || run.stdout.includes("[FAIL")) return "caught";
  throw new Error(`mutate: forge ended without a failing test\n${run.stdout}\n${run.stderr}`);
}

/** The code as it would be deployed. Mutants with the same are no mutants. */
function code(copy, contract) {
  const env = { ...process.env, FOUNDRY_PROFILE: "default", FOUNDRY_OUT: "deployed/out", FOUNDRY_CACHE_PATH: "deployed/cache" };
  execFileSync("script/forge", ["build", `contracts/${contract}.sol`], { cwd: copy, env, stdio: "ignore" });
  return JSON.parse(read(join(copy, `deployed/out/${contract}.sol/${contract}.json`))).deployedBytecode.object;
}

const explained = readFileSync(join(root, "docs/mutation.md"), "utf8");
let unexplained = 0;
for (const name of names.length > 0 ? names : Object.keys(targets)) {
  const [file, contract, tests] = targets[name];
  const copy = prepare(name, tests);
  const path = join(copy, file);
  const source = read(path);
  const list = join(cache, `${name}.json`);
  const only = again && new Set(JSON.parse(readFileSync(list, "utf8")));

  const slither = execFileSync(".venv/bin/python", ["script/mutants.py", file, name], {
    cwd: copy,
    env: { ...process.env, PATH: `${join(copy, "script")}:${process.env.PATH}` },
    maxBuffer: 2 ** 28,
  });
  const start = source.search(new RegExp(`^(abstract )?(contract|library) ${name}\\b`, "m"));
  const theirs = JSON.parse(slither).map(([mutator, from, to, text]) => [mutator, from, to, Buffer.from(text).toString("latin1")]);
  const all = [...theirs, ...ownMutants(source, start, source.length)];
  // Two mutators may do the same; and some change nothing: all numbers are unsigned, and a constant may be immutable.
  const same = (text) => text.replace(/ <= 0\b(?!x)/g, " == 0").replace(/ > 0\b(?!x)/g, " != 0").replace(/\bimmutable\b/g, "constant");
  const mutants = new Map();
  for (const [mutator, from, to, text] of all) {
    if (mutators && !mutators.includes(mutator)) continue;
    const mutant = source.slice(0, from) + text + source.slice(to);
    if (same(mutant) !== same(source) && !mutants.has(mutant)) mutants.set(mutant, describe(name, mutator, source, mutant, from));
  }

  rmSync(join(cache, `${name}.log`), { force: true });
  const original = code(copy, contract);
  if (test(copy, {}) !== "survives") throw new Error(`mutate: the tests of ${name} fail without a mutant`);
  const counts = { caught: 0, survives: 0, "does not compile": 0, "is the same code": 0 };
  const survivors = [];
  for (const [mutant, key] of mutants) {
    if (only && !only.has(key)) continue;
    if (!parses(file, mutant)) continue;
    writeFileSync(path, mutant, "latin1");
    // Few random cases find most.
    let fate = test(copy, { FOUNDRY_FUZZ_RUNS: "1", FOUNDRY_INVARIANT_RUNS: "1" });
    if (fate === "survives" && code(copy, contract) === original) fate = "is the same code";
    if (fate === "survives") fate = test(copy, {});
    ++counts[fate];
    appendFileSync(join(cache, `${name}.log`), `${new Date().toISOString()} ${fate}: ${key}\n`);
    if (fate !== "survives") continue;
    survivors.push(key);
    const known = explained.includes(`\`${key}\``);
    if (!known) ++unexplained;
    console.log(`${known ? "explained" : "UNEXPLAINED"}: ${key}`);
  }
  writeFileSync(list, JSON.stringify(survivors));
  // A toolchain that broke on the way would have caught every mutant since.
  writeFileSync(path, source, "latin1");
  if (test(copy, {}) !== "survives") throw new Error(`mutate: the tests of ${name} fail without a mutant`);
  rmSync(copy, { recursive: true });
  console.log(`${name}: ${Object.entries(counts).map(([fate, count]) => `${count} ${fate}`).join(", ")}`);
}
if (unexplained > 0) {
  console.error(`mutate: docs/mutation.md does not explain ${unexplained} of them`);
  process.exitCode = 1;
}
