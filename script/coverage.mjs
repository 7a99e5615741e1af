#!/usr/bin/env node
// Runs forge's coverage and fails where a hand-written contract has less than 95 % of its branches or lines covered,
// as in `script/coverage.mjs`; `--report FILE` judges a report that is there already.
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const LEAST = 0.95;
// Not written by hand. The verifier for Bittensor is the usual one with another constant, and runs where forge has no precompiles.
const GENERATED = /^contracts\/(generated\/|BundleVerifier0x09\.sol$)/;
const root = join(import.meta.dirname, "..");
let report = process.argv[2] === "--report" && process.argv[3];
if (!report) {
  report = join(root, "cache/lcov.info");
  // Unoptimised, so aims of gas do not hold, and a callback with just the gas it takes fails. Hundreds of slices take the
  // branches that three take.
  const args = ["coverage", "--report", "lcov", "--report-file", report, "--no-match-contract", "GasTest|ManySlicesTest"];
  args.push("--no-match-test", "test_ClassifiesIntoAThousand|test_GasOf256Uids");
  const env = { ...process.env, FOUNDRY_PROFILE: "coverage" };
  const run = spawnSync(join(root, "script/forge"), args, { encoding: "utf8", env, maxBuffer: 1 << 28 });
  if (run.status !== 0) {
    process.stderr.write(`${run.stdout.slice(-8000)}${run.stderr.slice(-8000)}coverage: forge failed\n`);
    process.exit(1);
  }
}

let low = 0;
// What forge leaves out is not covered.
const missing = new Set(
  readdirSync(join(root, "contracts"), { recursive: true })
    .filter((name) => name.endsWith(".sol") && !name.startsWith("interfaces/"))
    .map((name) => `contracts/${name}`)
    .filter((file) => !GENERATED.test(file)),
);
const files = missing.size;
for (const record of readFileSync(report, "utf8").split("end_of_record")) {
  const file = record.match(/^SF:(.*)$/m)?.[1];
  if (!file?.startsWith("contracts/") || GENERATED.test(file)) continue;
  missing.delete(file);
  const missed = (pattern) => [...record.matchAll(pattern)].map((match) => match[1]);
  const lines = { name: "lines", found: "LF", hit: "LH", missed: missed(/^DA:(\d+),0$/gm) };
  const branches = { name: "branches", found: "BRF", hit: "BRH", missed: missed(/^BRDA:(\d+),\d+,\d+,[0-]$/gm) };
  for (const { name, found, hit, missed } of [lines, branches]) {
    const [all, covered] = [found, hit].map((key) => Number(record.match(new RegExp(`^${key}:(\\d+)$`, "m"))[1]));
    if (missed.length > 0) console.log(`${file}: ${covered} of ${all} ${name}; not line ${missed.join(", ")}`);
    if (covered < LEAST * all) ++low;
  }
}
if (missing.size > 0) console.error(`coverage: not in the report: ${[...missing].join(", ")}`);
if (low > 0) console.error(`coverage: ${low} below ${100 * LEAST} %`);
if (missing.size > 0 || low > 0) {
  process.exit(1);
}
console.log(`coverage of ${files} contracts: lines and branches at least ${100 * LEAST} % each`);
