#!/usr/bin/env node
// The npm package's encoders against the vectors that Rust wrote: in Node, by `import` and by `require`, and bundled in
// headless Chromium. The browser is an npm package for Linux on x86-64; elsewhere CHROMIUM names one. It is installed into
// tests/js/.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const root = join(import.meta.dirname, "..");
const tests = join(root, "tests/js");
const require = createRequire(import.meta.url);
execFileSync("node", [join(root, "script/package.mjs")]);
const vectors = JSON.parse(readFileSync(join(root, "tests/vectors/vectors.json"), "utf8"));
const { check } = await import(pathToFileURL(join(tests, "vectors.mjs")));

const dist = join(root, "contracts/dist");
const counts = [
  check(await import(pathToFileURL(join(dist, "esm/encode.js"))), vectors),
  check(require(join(dist, "cjs/encode.js")), vectors),
];

// Tools of these tests alone, pinned beside them.
const done = join(tests, "node_modules/.installed");
if (!existsSync(done) || statSync(done).mtimeMs < statSync(join(tests, "package-lock.json")).mtimeMs) {
  execFileSync("npm", ["ci", "--prefix", tests, "--ignore-scripts", "--no-audit", "--no-fund"], { stdio: ["ignore", "ignore", "inherit"] });
  writeFileSync(done, "");
}
const ofTests = createRequire(join(tests, "package.json"));
const { buildSync } = ofTests("esbuild");
const bundle = buildSync({
  stdin: {
    contents: `import * as encoders from "../../contracts/dist/esm/encode.js";
      import { check } from "./vectors.mjs";
      export const run = (vectors) => check(encoders, vectors);`,
    resolveDir: tests,
  },
  bundle: true,
  format: "iife",
  globalName: "tests",
  write: false,
}).outputFiles[0].text;

// Unpacked afresh each time: what a killed run left is no browser.
const folder = mkdtempSync(join(tmpdir(), "zkslice-chromium-"));
async function browser() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  if (process.platform !== "linux" || process.arch !== "x64") throw new Error("set CHROMIUM to a Chromium of this machine");
  process.env.TMPDIR = folder;
  const { default: chromium } = await import(pathToFileURL(ofTests.resolve("@sparticuz/chromium")));
  return chromium.executablePath();
}

// Chromium's own protocol, by pipe: a message ends in a zero byte.
const child = spawn(
  await browser(),
  [
    ...["--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"],
    `--user-data-dir=${join(folder, "profile")}`,
    "about:blank",
  ],
  { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] },
);
let said = "";
child.stderr.on("data", (data) => (said = (said + data).slice(-2000)));
const [, , , out, back] = child.stdio;
const answered = new Map();
let rest = "";
back.on("data", (data) => {
  const messages = (rest + data).split("\0");
  rest = messages.pop();
  for (const message of messages.map((text) => JSON.parse(text))) answered.get(message.id)?.(message);
});
function call(method, params, sessionId) {
  const id = answered.size + 1;
  out.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  return new Promise((resolve) => answered.set(id, resolve));
}

async function inBrowser() {
  const { result: target } = await call("Target.createTarget", { url: "about:blank" });
  const { result: session } = await call("Target.attachToTarget", { targetId: target.targetId, flatten: true });
  const expression = `${bundle}\ntests.run(${JSON.stringify(vectors)})`;
  const { result } = await call("Runtime.evaluate", { expression, returnByValue: true }, session.sessionId);
  if (result?.exceptionDetails) throw new Error(`in Chromium: ${result.exceptionDetails.exception.description}`);
  return result?.result.value;
}
const ended = new Promise((_, reject) => {
  child.on("error", reject);
  child.on("exit", (code) => reject(new Error(`Chromium ended with ${code}: ${said}`)));
  setTimeout(() => reject(new Error(`Chromium did not answer within 60 s: ${said}`)), 60_000).unref();
});
ended.catch(() => {});
try {
  counts.push(await Promise.race([inBrowser(), ended]));
} finally {
  child.removeAllListeners("exit");
  child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
if (!counts.every((count) => count === counts[0] && count > 15)) throw new Error(`vectors checked: ${counts}`);
console.log(`${counts[0]} vectors, by import, by require and in Chromium`);
