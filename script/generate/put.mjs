// What the generators share: each is given a folder, and writes under it what it makes, by the paths from the repository's root.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export const root = join(import.meta.dirname, "../..");
const folder = process.argv[2];
if (!folder) throw new Error("give the folder to write under; `make generate` runs this");

export function put(path, text) {
  const target = join(folder, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
}
