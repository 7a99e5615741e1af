#!/usr/bin/env node
// Checks the Poseidon hashes and tensor commitments of vectors.json against circomlibjs; `--write` puts circomlibjs's
// values in their place.
//
// A commitment is a chain: h = Poseidon(salt, tag[, owner]), then for every eleven words, the last ones zero-padded,
// h = Poseidon(h, word_1 … word_11). The tag is "zkslice/tensor/1" in ASCII, then the count (8 bytes), digits a word (2)
// and bits a digit (2), as one number.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildPoseidon } from "circomlibjs";

const file = join(dirname(fileURLToPath(import.meta.url)), "vectors.json");
const vectors = JSON.parse(readFileSync(file, "utf8"));
const poseidon = await buildPoseidon();
const hash = (inputs) => poseidon.F.toObject(poseidon(inputs));
const hex = (value) => "0x" + value.toString(16).padStart(64, "0");

function tag(count, bits) {
  const number = (value, bytes) => BigInt(value).toString(16).padStart(2 * bytes, "0");
  const ascii = Buffer.from("zkslice/tensor/1").toString("hex");
  return BigInt("0x" + ascii + number(count, 8) + number(Math.floor(253 / bits), 2) + number(bits, 2));
}

function commitment({ salt, count, bits, owner, words }) {
  let h = hash([BigInt(salt), tag(count, bits), ...(owner === null ? [] : [BigInt(owner)])]);
  for (let i = 0; i < words.length; i += 11) {
    const block = words.slice(i, i + 11).map(BigInt);
    h = hash([h, ...block, ...Array(11 - block.length).fill(0n)]);
  }
  return h;
}

let wrong = 0;
function expect(vector, key, value) {
  if (vector[key] !== hex(value)) {
    console.error(`${key}: ${vector[key]}, circomlibjs has ${hex(value)}`);
    wrong += 1;
  }
  vector[key] = hex(value);
}
for (const vector of vectors.poseidon) expect(vector, "hash", hash(vector.inputs.map(BigInt)));
for (const vector of vectors.commitments) {
  expect(vector, "tag", tag(vector.count, vector.bits));
  expect(vector, "commitment", commitment(vector));
}
if (process.argv.includes("--write")) writeFileSync(file, JSON.stringify(vectors, null, 2) + "\n");
else if (wrong) process.exitCode = 1;
else console.log(`${vectors.poseidon.length + vectors.commitments.length} vectors agree`);
