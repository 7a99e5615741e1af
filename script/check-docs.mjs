#!/usr/bin/env node
// What pages and comments refer to exists: rules in docs/rules.md, and the tests that it and other pages name; pages,
// their sections, headings and files; commands of the Makefile; domain tags in the changelog. `--root` reads another folder.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const flag = process.argv.indexOf("--root");
const root = flag < 0 ? join(import.meta.dirname, "..") : process.argv[flag + 1];
const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: root, encoding: "utf8" })
  .trim()
  .split("\n")
  .filter((file) => existsSync(join(root, file)));
const folders = new Set(files.flatMap((file) => file.split("/").map((_, i, parts) => parts.slice(0, i).join("/"))));
const text = (file) => readFileSync(join(root, file), "utf8");
const faults = [];

// Made by others, or copied from what is read here anyway.
const SKIPPED = /node_modules|^(contracts\/generated|contracts\/abi|crates\/solidity\/tests\/golden|tests\/corpus|snapshots|LICENSE)/;
const pages = files.filter((file) => file.endsWith(".md") && !SKIPPED.test(file));
const sources = files.filter((file) => /(\.(rs|sol|tera|mjs|js|ts|py|sh|toml)|Makefile|script\/\w+)$/.test(file) && !SKIPPED.test(file));

// Comments alone, so that no string or name of code is taken for a citation.
const COMMENT = /(?:^|\s)(?:\/\/[/!]?|\/?\*+|#)\s(.*)$/;
const lines = [
  ...pages.flatMap((file) =>
    text(file)
      .replace(/^```.*?^```$/gms, (block) => block.replace(/[^\n]/g, ""))
      .split("\n")
      .map((line, i) => ({ file, number: i + 1, line })),
  ),
  ...sources.flatMap((file) =>
    text(file)
      .split("\n")
      .map((line, i) => ({ file, number: i + 1, line: line.match(COMMENT)?.[1] ?? "" })),
  ),
];

// Headings of a page: their anchors, as GitHub makes them, and the numbers that they start with.
const headings = new Map(
  pages.map((file) => {
    const titles = [...text(file).replace(/^```.*?^```$/gms, "").matchAll(/^#+ (.*)$/gm)].map(([, title]) => title);
    const anchors = titles.map((title) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    );
    return [file, { anchors, numbers: titles.flatMap((title) => title.match(/^\d+(\.\d+)*/)?.[0] ?? []) }];
  }),
);

// Each family of rules counts from 1, and each rule has a test or says that it is not built.
const rules = new Set();
for (const [, family, number, cells] of text("docs/rules.md").matchAll(/^\| ([A-Z])(\d+) \|(.*)\|$/gm)) {
  if (Number(number) > 1 && !rules.has(`${family}${number - 1}`)) faults.push(`docs/rules.md: ${family}${number} out of order`);
  rules.add(`${family}${number}`);
  const [says, tests] = cells.split(" | ");
  if (!says?.trim()) faults.push(`docs/rules.md: ${family}${number} says nothing`);
  if (!/`[^`]+::[^`]+`/.test(tests ?? "") && !tests?.includes("not built")) faults.push(`docs/rules.md: ${family}${number} has no test`);
}

// A path as a page may write it: from its own folder, from the root, or the end of one.
const all = [...files, ...folders].map((name) => `/${name}`);
function exists(path, from) {
  const own = `/${normalize(join(dirname(from), path)).replace(/\/$/, "")}`;
  return all.some((name) => name === own || name.endsWith(`/${path.replace(/\/$/, "")}`));
}

let rulesCited = 0;
for (const { file, number, line } of lines) {
  const fault = (message) => faults.push(`${file}:${number}: ${message}`);
  for (const [rule] of line.matchAll(/(?<![\w.\\-])[BGAP]\d{1,2}\b/g)) {
    if (rule === "P0") continue; // a set of wires
    rulesCited += 1;
    if (!rules.has(rule)) fault(`docs/rules.md has no rule ${rule}`);
  }
  for (const [, page, section] of line.matchAll(/(?<![\w/.-])((?:[\w-]+\/)*[\w-]+\.md)\b`?(?: (\d+(?:\.\d+)*))?/g)) {
    const target = [normalize(join(dirname(file), page)), page].find((name) => headings.has(name));
    if (!target && !exists(page, file)) fault(`there is no ${page}`);
    if (target && section && !headings.get(target).numbers.includes(section)) fault(`${page} has no section ${section}`);
  }
  for (const [, path] of line.matchAll(/(?<![\w/.@-])((?:contracts|crates|demo|deployments|docs|script|snapshots|templates|tests)\/[\w./-]*\w\/?)(?![\w<*{$…])/g)) {
    if (!exists(path, file)) fault(`there is no ${path}`);
  }
  if (!file.endsWith(".md")) continue;
  for (const [, path, test] of line.matchAll(/`([\w./-]+\.(?:rs|sol))::(\w+)`/g)) {
    // A test that is run, not a helper.
    const body = exists(path, file) ? text(path) : "";
    const found = path.endsWith(".rs")
      ? new RegExp(`#\\[(tokio::)?test(\\([^\\n]*\\))?\\]\\s*(async )?fn ${test}\\(`).test(body)
      : path.endsWith(".t.sol") && body.includes(`function ${test}(`);
    if (!found) fault(`${path} has no test ${test}`);
  }
  for (const [, path] of line.matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.(?:sol|rs|mjs|toml|onnx|npz|py))`/g)) {
    if (!exists(path, file)) fault(`there is no ${path}`);
  }
  for (const [, list] of line.matchAll(/\bsections? (\d+(?:\.\d+)?(?:(?:, | and | to )\d+(?:\.\d+)?)*)/gi)) {
    for (const section of list.split(/, | and | to /)) {
      if (!headings.get(file).numbers.includes(section)) fault(`there is no section ${section} here`);
    }
  }
  for (const [, target] of line.matchAll(/\]\(([^)\s]+)\)/g)) {
    const own = target.replace("https://github.com/zkslice/zkslice/blob/main/", `${"../".repeat(file.split("/").length - 1)}`);
    if (/^[a-z]+:/.test(own)) continue;
    const [path, anchor] = own.split("#");
    const page = path === "" ? file : normalize(join(dirname(file), path)).replace(/\/$/, "");
    if (!files.includes(page) && !folders.has(page)) fault(`the link to ${target} leads nowhere`);
    if (anchor && !headings.get(page)?.anchors.includes(anchor)) fault(`${path || file} has no heading #${anchor}`);
  }
  for (const [, goal] of line.matchAll(/`make ([\w-]+)/g)) {
    if (!new RegExp(`^${goal}:`, "m").test(text("Makefile"))) fault(`the Makefile has no ${goal}`);
  }
}

// Every domain tag of the code is in the changelog, and no other.
const TAG = /zkslice\/[a-z]+\/v?\d+\b/g;
const code = sources.filter((file) => /^(contracts|crates\/\w+\/src)\/.*\.(sol|rs)$/.test(file));
const tags = { code: new Set(code.flatMap((file) => text(file).match(TAG) ?? [])), page: new Set(text("CHANGELOG.md").match(TAG)) };
for (const tag of tags.code) if (!tags.page.has(tag)) faults.push(`CHANGELOG.md does not name the tag ${tag}`);
for (const tag of tags.page) if (!tags.code.has(tag)) faults.push(`CHANGELOG.md: no code has the tag ${tag}`);

if (rulesCited < 100) faults.push(`only ${rulesCited} citations of rules were found`);
if (faults.length > 0) {
  console.error(`check-docs:\n${[...new Set(faults)].join("\n")}`);
  process.exit(1);
}
console.log(`${pages.length} pages: every rule, test, page, section, link and file that is cited exists`);
