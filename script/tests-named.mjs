#!/usr/bin/env node
// docs/security.md names, for every pitfall, the tests that run it: each of them exists, and no pitfall is left out.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const PITFALLS = 24;
const root = join(import.meta.dirname, "..");
const document = readFileSync(join(root, "docs/security.md"), "utf8");
const table = document.split("| pitfall | tests |")[1]?.split("\n\n")[0] ?? "";

const faults = [];
for (let i = 1; i <= PITFALLS; ++i) {
  const row = table.split("\n").find((line) => line.startsWith(`| P${i} `));
  const named = [...(row ?? "").matchAll(/`([^`]+)::([^`]+)`/g)];
  if (named.length === 0) faults.push(`P${i} has no test`);
  for (const [, path, test] of named) {
    let source = "";
    try {
      source = readFileSync(join(root, path), "utf8");
    } catch {
      // Reported below.
    }
    // A Rust test, not a helper, or a forge test.
    const exists = path.endsWith(".rs")
      ? new RegExp(`#\\[(tokio::)?test(\\([^\\n]*\\))?\\]\\s*(async )?fn ${test}\\(`).test(source)
      : source.includes(`function ${test}(`) && path.endsWith(".t.sol");
    if (!exists) faults.push(`P${i}: ${path} has no test ${test}`);
  }
}
if (faults.length > 0) {
  console.error(`docs/security.md:\n${faults.join("\n")}`);
  process.exit(1);
}
console.log(`every pitfall of docs/security.md has its tests`);
