// snarkjs as the peer of tests/snarkjs.rs. It is run, and nothing of it is copied.
//
//   node snarkjs.mjs verify <folder>   verifying_key.json, proof.json, publics.json → prints true or false
//   node snarkjs.mjs make <folder>     writes these three for a small circuit, and unfinished_key.json, a key without a
//                                      contribution to its second phase
//
// The circuit, written by hand in the formats of iden3's r1csfile and of .wtns files (both little-endian):
// t = a·b, out = (t + c)·a; public out and c, private a and b.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { groth16, powersOfTau, zKey, curves } from "snarkjs";

const r = 21888242871839275222246405745257275088548364400416034343698204186575808495617n;
const [command, folder] = process.argv.slice(2);
const read = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));
const write = (name, value) => writeFileSync(join(folder, name), JSON.stringify(value));

const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32LE(n); return b; };
const u64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(n)); return b; };
const word = (n) => Buffer.from(n.toString(16).padStart(64, "0"), "hex").reverse();
const file = (magic, version, sections) =>
  Buffer.concat([
    Buffer.from(magic),
    u32(version),
    u32(sections.length),
    ...sections.flatMap((parts, i) => {
      const body = Buffer.concat(parts);
      return [u32(i + 1), u64(body.length), body];
    }),
  ]);

// Wires: 0 one, 1 out, 2 c, 3 a, 4 b, 5 t.
const wires = 6;
const rows = [
  [[3], [4], [5]],
  [[5, 2], [3], [1]],
];
const r1cs = file("r1cs", 1, [
  [u32(32), word(r), u32(wires), u32(1), u32(1), u32(2), u64(wires), u32(rows.length)],
  rows.flat().flatMap((side) => [u32(side.length), ...side.flatMap((wire) => [u32(wire), word(1n)])]),
  Array.from({ length: wires }, (_, wire) => u64(wire)),
]);
const [a, b, c] = [3n, 11n, 5n];
const witness = [1n, (a * b + c) * a, c, a, b, a * b];
const wtns = file("wtns", 2, [[u32(32), word(r), u32(wires)], witness.map(word)]);

if (command === "verify") {
  console.log(await groth16.verify(read("verifying_key.json"), read("publics.json"), read("proof.json")));
} else if (command === "make") {
  const memory = (data) => ({ type: "mem", ...(data && { data: new Uint8Array(data) }) });
  const curve = await curves.getCurveFromName("bn128");
  const [fresh, contributed, prepared] = [memory(), memory(), memory()];
  await powersOfTau.newAccumulator(curve, 4, fresh);
  await powersOfTau.contribute(fresh, contributed, "tests", "entropy of phase one");
  await powersOfTau.preparePhase2(contributed, prepared);
  const [unfinished, key] = [memory(), memory()];
  await zKey.newZKey(memory(r1cs), prepared, unfinished);
  write("unfinished_key.json", await zKey.exportVerificationKey(unfinished));
  await zKey.contribute(unfinished, key, "tests", "entropy of phase two");
  write("verifying_key.json", await zKey.exportVerificationKey(key));
  const { proof, publicSignals } = await groth16.prove(key, memory(wtns));
  write("proof.json", proof);
  write("publics.json", publicSignals);
} else {
  throw new Error(`unknown command ${command}`);
}
// Its worker threads would keep the process alive.
process.exit(0);
