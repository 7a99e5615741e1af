#!/usr/bin/env node
// snapshots/gas.json, and the tables of docs/gas.md from what GasTest measures and counts, and from out/. Whether an aim is met
// is for the test to say.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { put, root } from "./put.mjs";

const page = "docs/gas.md";

// What the price list has a price for: count, its name, gas today, and gas more under EIP-8037 and 8038.
const NEW_SLOT_STATE_GAS = 64 * 1530;
const ITEMS = [
  [() => 1, "transaction", 21_000, 0],
  ["zeroBytes", "zero byte of calldata", 4, 0],
  ["nonZeroBytes", "other byte of calldata", 16, 0],
  [(c) => (c.pairs === 0 ? 0 : 1), "pairing", 45_000, 0],
  ["pairs", "pair of points in it", 34_000, 0],
  ["ecMul", "ECMUL", 6_000, 0],
  ["ecAdd", "ECADD", 150, 0],
  ["warmCalls", "call or code read of a warm address, precompiles too", 100, 0],
  ["coldAccounts", "cold account", 2_600, 400],
  ["codeReads", "code read, beside its account", 0, 100],
  ["coldSlots", "cold slot", 2_100, 900],
  ["updatedSlots", "slot updated", 2_900, 7_200],
  ["newSlots", "slot new", 20_000, NEW_SLOT_STATE_GAS + 10_000 + 100 - 20_000],
  ["logs", "event", 375, 0],
  ["topics", "topic", 375, 0],
  ["logBytes", "byte of event data", 8, 0],
];
const countOf = (c, count) => (typeof count === "function" ? count(c) : c[count]);
const sum = (c, price) => ITEMS.reduce((total, item) => total + countOf(c, item[0]) * item[price], 0);
const floorOf = (c) => sum(c, 2);
// Calldata pays at least 64 a byte then (EIP-7976), which is more than what we do with it only if the rest is cheap.
const repriced = (c) => Math.max(c.gas + sum(c, 3), 21_000 + 64 * (c.zeroBytes + c.nonZeroBytes));

// forge writes the snapshot itself: into a folder of its own, not over the committed one.
const folder = mkdtempSync(join(root, "cache/gas-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const test = spawnSync(join(root, "script/forge"), ["test", "--match-contract", "^Gas(Counts)?Test$", "-vv"], {
  encoding: "utf8",
  env: { ...process.env, FORGE_SNAPSHOT_EMIT: "true", FOUNDRY_SNAPSHOTS: folder },
});
if (test.status !== 0) throw new Error(`the tests of gas fail:\n${test.stdout}${test.stderr}`);
put("snapshots/gas.json", readFileSync(join(folder, "gas.json")));

const gasOfLabel = new Map([...test.stdout.matchAll(/^ *gas of (.*): (\d+)$/gm)].map(([, label, gas]) => [label, Number(gas)]));
const runs = [...test.stdout.matchAll(/^ *counts (\{.*\})$/gm)]
  .map(([, counts]) => JSON.parse(counts))
  .map((counts) => ({ ...counts, gas: gasOfLabel.get(counts.label) ?? Number.NaN }));
const run = (label) => {
  const found = runs.find((counts) => counts.label === label);
  if (found === undefined || Number.isNaN(found.gas)) throw new Error(`GasTest and GasCountsTest printed no gas and counts of '${label}':\n${test.stdout}${test.stderr}`);
  return found;
};

const number = (n) => Math.round(n).toLocaleString("en-US");
const table = (head, rows) =>
  [`| ${head.join(" | ")} |`, `|${head.map((_, i) => (i === 0 ? "---" : "--:")).join("|")}|`, ...rows.map((row) => `| ${row.join(" | ")} |`)].join("\n");

const one = run("fulfil, 1 slice, committed input, 16 words out");
const batch = run("fulfilBatch of 16 such, 16 words out");
const [narrow, narrowBatch] = [run("fulfil, 1 slice, committed input, 1 word out"), run("fulfilBatch of 16 such, 1 word out")];
const [first, , third] = ["1 slice", "2 slices", "3 slices"].map((slices) => run(`fulfil, ${slices}, 26 + 1 words`));
const perSlice = (of) => (of(third) - of(first)) / 2;
const gasOf = (c) => c.gas;
const aims = table(
  ["what", "aim, at most", "measured", "floor", "repriced"],
  [
    ["fulfil, one slice, input committed, 16 words out, the request's storage reused, fee credited, no callback", 320_000, gasOf(one), floorOf(one), repriced(one)],
    ["the same, 1 word out", 320_000, gasOf(narrow), floorOf(narrow), repriced(narrow)],
    ["each further slice of the bundle", 170_000, perSlice(gasOf), perSlice(floorOf), perSlice(repriced)],
    ["batch of 16 such inferences of one model, 16 words out, each", 100_000, ...[gasOf, floorOf, repriced].map((of) => of(batch) / 16)],
    ["the same, 1 word out", 100_000, ...[gasOf, floorOf, repriced].map((of) => of(narrowBatch) / 16)],
  ].map(([what, ...figures]) => [what, ...figures.map(number)]),
);

const items = table(
  ["", "gas today", "repriced", ...["one slice", "3 slices", "batch of 16"]],
  [
    ...ITEMS.map(([count, name, price, more]) => [
      name,
      ...[price, price + more].map(number),
      ...[one, third, batch].map((c) => (countOf(c, count) === 0 ? "" : `${number(countOf(c, count))} → ${number(countOf(c, count) * price)}`)),
    ]),
    ["**floor**", "", "", ...[one, third, batch].map((c) => number(floorOf(c)))],
    ["hashing, checks, memory, copying: what is left", "", "", ...[one, third, batch].map((c) => number(c.gas - floorOf(c)))],
    ["**measured**", "", "", ...[one, third, batch].map((c) => number(c.gas))],
  ],
);

const all = table(
  ["transaction", "measured", "floor", "over", "repriced"],
  runs
    .sort((a, b) => (a.label < b.label ? -1 : 1))
    .map((c) => [c.label, number(c.gas), number(floorOf(c)), `${(100 * (c.gas / floorOf(c) - 1)).toFixed(1)} %`, number(repriced(c))]),
);

const CONTRACTS = ["BundleVerifier", "BundleVerifier0x09", "InferenceFeed", "InferenceOracle", "InferenceSubscription", "InferenceSubscriptionFactory", "ModelRegistry", "WeightBoard"];
const sizes = table(
  ["contract", "bytes", "left of 24,576"],
  CONTRACTS.map((name) => {
    const { object } = JSON.parse(readFileSync(join(root, "out", `${name}.sol`, `${name}.json`), "utf8")).deployedBytecode;
    const bytes = (object.length - 2) / 2;
    if (bytes >= 24_576) throw new Error(`${name} is too large: ${bytes} bytes`);
    return [name, number(bytes), number(24_576 - bytes)];
  }),
);

let text = readFileSync(join(root, page), "utf8");
for (const [name, content] of Object.entries({ aims, items, all, sizes })) {
  const block = new RegExp(`(<!-- ${name} -->\\n)[^]*?(<!-- /${name} -->)`);
  if (!block.test(text)) throw new Error(`docs/gas.md has no place for ${name}`);
  text = text.replace(block, (_, begin, end) => `${begin}\n${content}\n\n${end}`);
}
put(page, text);
