#!/usr/bin/env node
// Runs docs/first-proof.md as it stands: its files and commands, in an empty forge project outside the repository, with the zkslice that
// ZKSLICE_BIN names and a model of the tests. The page has at most 12 commands, which take 5 minutes at most.
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const MOST_COMMANDS = 12;
const MOST_SECONDS = 300;
const root = join(import.meta.dirname, "../..");
const zkslice = process.env.ZKSLICE_BIN;
const work = mkdtempSync(join(tmpdir(), "zkslice-first-proof-"));
const app = join(work, "app");
const started = [];
process.on("exit", () => {
  for (const child of started) process.kill(-child.pid, "SIGKILL");
  rmSync(work, { recursive: true, force: true, maxRetries: 5 });
});
function fail(message) {
  console.error(`docs/first-proof.md: ${message}`);
  process.exit(1);
}

// What `forge init` leaves, and what the page says is there.
mkdirSync(join(app, "lib"), { recursive: true });
writeFileSync(join(app, "foundry.toml"), '[profile.default]\nsrc = "src"\nout = "out"\nlibs = ["lib"]\n');
writeFileSync(join(app, "package.json"), '{ "private": true }\n');
cpSync(join(root, "node_modules/@uniswap/v4-core/lib/forge-std"), join(app, "lib/forge-std"), { recursive: true });
const model = join(root, "tests/models/mlp_digits");
for (const [from, to] of [["model.onnx", "digits.onnx"], ["samples.json", "samples.json"], ["input.json", "input.json"]]) {
  cpSync(join(model, from), join(app, to));
}
symlinkSync(root, join(work, "zkslice"));

// The page's tools, and nothing that this shell has set for them.
const bin = join(work, "bin");
mkdirSync(bin);
symlinkSync(zkslice, join(bin, "zkslice"));
for (const tool of ["anvil", "cast", "forge"]) {
  writeFileSync(join(bin, tool), `#!/bin/sh\nexec "${root}/script/foundry" ${tool} "$@"\n`, { mode: 0o755 });
}
const port = await new Promise((resolve) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(FOUNDRY|DAPP|ETH|ZKSLICE)_/.test(name)));
Object.assign(env, { PATH: `${bin}:${env.PATH}`, FOUNDRY_SOLC: join(root, "script/solc"), NO_COLOR: "1", ANVIL_PORT: `${port}` });
const local = (text) => text.replaceAll("8545", port).replace(/^anvil\b/m, `anvil --port ${port}`);

let [commands, seconds, last] = [0, 0, ""];
async function run(command) {
  commands += 1;
  const begin = Date.now();
  if (command.endsWith("&")) {
    const child = spawn("sh", ["-c", `exec ${local(command.slice(0, -1))}`], { cwd: app, env, detached: true, stdio: ["ignore", "pipe", "ignore"] });
    started.push(child);
    await new Promise((resolve, reject) => {
      child.stdout.on("data", (data) => String(data).includes("Listening on") && resolve());
      child.on("exit", () => reject(new Error(`${command} ended`)));
      setTimeout(() => reject(new Error(`${command} does not listen`)), 60_000).unref();
    });
  } else {
    try {
      last = execFileSync("sh", ["-c", local(command)], { cwd: app, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 1000 * MOST_SECONDS });
    } catch (error) {
      fail(`${command}\n${error.stdout}${error.stderr}${error.message}`);
    }
  }
  const took = (Date.now() - begin) / 1000;
  seconds += took;
  console.log(`${took.toFixed(1).padStart(6)} s  ${command.slice(0, 90)}`);
  // Addresses that the reader copies from what a command printed.
  const printed = (before) => last.match(new RegExp(`${before}.*?(0x[0-9a-fA-F]{40})`))?.[1] ?? fail(`${command} printed no address:\n${last}`);
  if (command.startsWith("zkslice deploy")) env.ORACLE = printed("oracle");
  if (command.startsWith("forge create")) env.READER = printed("Deployed to:");
}

// Files before commands: the reader has the whole page before the first one.
const page = readFileSync(join(root, "docs/first-proof.md"), "utf8");
// Solidity names its file in its first line, others after the language.
const blocks = [...page.matchAll(/^```(\w+) ?([^\n]*)\n(.*?)^```$/gms)].map(([, language, title, body]) => ({
  language,
  name: language === "solidity" ? body.match(/^\/\/ (\S+\.sol)\n/)?.[1] : title,
  body,
}));
const write = ({ name, body }) => {
  mkdirSync(dirname(join(app, name)), { recursive: true });
  writeFileSync(join(app, name), local(body.replaceAll("$ORACLE", env.ORACLE ?? "$ORACLE")), { mode: name.endsWith(".key") ? 0o600 : 0o644 });
};
for (const block of blocks) {
  if (block.name) write(block);
  else if (block.language !== "sh") fail(`a block of ${block.language} names no file`);
  else for (const command of block.body.trim().replace(/\\\n\s*/g, "").split("\n")) await run(command);
}

// The class that the model gives, by another runtime.
const [logits] = JSON.parse(readFileSync(join(model, "expected.json"), "utf8")).output_data;
const expected = logits.flat(Infinity).reduce((best, value, index, all) => (value > all[best] ? index : best), 0);
if (last.trim() !== `${expected}`) fail(`the callback has read class ${last.trim()}, the model gives ${expected}`);
if (commands > MOST_COMMANDS) fail(`${commands} commands, at most ${MOST_COMMANDS}`);
if (seconds > MOST_SECONDS) fail(`its commands take ${seconds.toFixed(0)} s, at most ${MOST_SECONDS}`);
console.log(`docs/first-proof.md: ${commands} commands, ${seconds.toFixed(0)} s`);
process.exit(0);
