#!/usr/bin/env node
// `script/left-out.mjs TOOL LOG`: fails for what an analyser says, in its output, that it did not look at or did not
// finish, unless it is listed here with a reason; and for a reason that nothing needs any more.
import { readFileSync } from "node:fs";

// How each says it. Findings are not meant: they make the tool itself fail.
const SAYS = {
  slither: /.*(?:Impossible|Failed) to generate IR for (\S+ \([^#)]*)|\b(?:ERROR|WARNING):(.*)/,
  halmos: /^\W*(?:WARNING|ERROR)\b\W*(.*)|(\[(?:TIMEOUT|ERROR)\].*)/,
};
const REASONS = {
  slither: Object.fromEntries(
    ["constructor", "_EIP712Name", "_EIP712Version"].map((name) => [
      `${name} (node_modules/@openzeppelin/contracts/utils/cryptography/EIP712.sol`,
      "OpenZeppelin's, audited; slither does not follow its `using ShortStrings for *`",
    ]),
  ),
  halmos: {
    "unknown deployed bytecode:": "the chunk of a key blob, which is data: nothing calls it",
  },
};

const [tool, log] = process.argv.slice(2);
const says = SAYS[tool];
if (!says) throw new Error(`left-out: no tool ${tool}`);
// Without colours.
const lines = readFileSync(log, "utf8").replace(/\x1b\[[0-9;]*m/g, "").split("\n");
const said = lines.flatMap((line) => (line.match(says) ?? []).slice(1).filter(Boolean));
// A function by its file, whichever contract inherits it.
const leftOut = new Set(said.map((what) => what.trim().replace(/^\S+\.(?=\w+ \()/, "")));
const reasons = REASONS[tool];
let faults = 0;
for (const what of leftOut) {
  if (reasons[what]) continue;
  console.error(`left-out: ${tool} leaves out, and script/left-out.mjs has no reason for it: ${what}`);
  ++faults;
}
for (const what of Object.keys(reasons)) {
  if (leftOut.has(what)) continue;
  console.error(`left-out: ${tool} no longer leaves out: ${what}`);
  ++faults;
}
if (faults > 0) process.exitCode = 1;
