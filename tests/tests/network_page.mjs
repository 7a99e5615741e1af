#!/usr/bin/env node
// Runs docs/network.md as it stands: its files and commands, in a folder outside the repository, with the zkslice that ZKSLICE_BIN names
// and a model of the tests. From the first command to the first credited slice it takes ten minutes at most.
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MOST_SECONDS = 600;
const root = join(import.meta.dirname, "../..");
const work = mkdtempSync(join(tmpdir(), "zkslice-network-"));
const started = [];
process.on("exit", () => {
  for (const child of started) {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  }
  rmSync(work, { recursive: true, force: true, maxRetries: 5 });
});
function fail(message) {
  console.error(`docs/network.md: ${message}`);
  process.exit(1);
}

const model = join(root, "tests/models/mlp_digits");
for (const [from, to] of [["model.onnx", "digits.onnx"], ["samples.json", "samples.json"], ["input.json", "input.json"]]) {
  cpSync(join(model, from), join(work, to));
}
const bin = join(work, "bin");
mkdirSync(bin);
symlinkSync(process.env.ZKSLICE_BIN, join(bin, "zkslice"));
symlinkSync(join(root, "node_modules"), join(work, "node_modules"));
writeFileSync(join(bin, "anvil"), `#!/bin/sh\nexec "${root}/script/foundry" anvil "$@"\n`, { mode: 0o755 });
const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
const ports = Object.fromEntries(await Promise.all([8545, 7654, 7655].map(async (page) => [page, await freePort()])));
const local = (text) => text.replace(/\b(8545|7654|7655)\b/g, (page) => ports[page]).replace(/^anvil\b/m, `anvil --port ${ports[8545]}`);
const env = { ...process.env, PATH: `${bin}:${process.env.PATH}`, NO_COLOR: "1" };

const begun = Date.now();
let last = "";
async function run(command) {
  const begin = Date.now();
  if (command.endsWith("&")) {
    const child = spawn("sh", ["-c", `exec ${local(command.slice(0, -1))}`], { cwd: work, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    started.push(child);
    let said = "";
    await new Promise((resolve, reject) => {
      // Each says so on standard output when it is up.
      const heard = (data) => ((said += data), /Listening on|QUIC at|slices of/.test(said) && resolve());
      child.stdout.on("data", heard);
      child.stderr.on("data", heard);
      child.on("exit", () => reject(new Error(`${command} ended: ${said}`)));
      setTimeout(() => reject(new Error(`${command} says nothing: ${said}`)), 60_000).unref();
    }).catch((error) => fail(error.message));
  } else {
    try {
      last = execFileSync("sh", ["-c", local(command)], { cwd: work, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 1000 * MOST_SECONDS });
    } catch (error) {
      fail(`${command}\n${error.stdout}${error.stderr}${error.message}`);
    }
  }
  console.log(`${((Date.now() - begin) / 1000).toFixed(1).padStart(6)} s  ${command.slice(0, 110)}`);
  if (command.includes("miner status")) {
    const valid = Number(last.match(/(\d+) valid,/)?.[1] ?? 0);
    const seconds = (Date.now() - begun) / 1000;
    if (valid < 3 || seconds > MOST_SECONDS) fail(`after ${seconds} s the miner has ${valid} credited slices:\n${last}`);
  }
  if (command.startsWith("node caller.mjs") && !/^complete/m.test(last)) fail(`the caller has seen no complete job:\n${last}`);
}

const page = readFileSync(join(root, "docs/network.md"), "utf8");
for (const [, language, name, body] of page.matchAll(/^```(\w+) ?([^\n]*)\n(.*?)^```$/gms)) {
  if (name) writeFileSync(join(work, name), local(body));
  else if (language !== "sh") fail(`a block of ${language} names no file`);
  else for (const command of body.trim().replace(/\\\n\s*/g, "").split("\n")) await run(command);
}
console.log(`docs/network.md: ${((Date.now() - begun) / 1000).toFixed(0)} s`);
process.exit(0);
