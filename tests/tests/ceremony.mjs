// A second implementation of what a ceremony proves, over ffjavascript: it shares no code with the crate that makes ceremonies.
//
//   node ceremony.mjs <powers.ptau> <file.ceremony> <circuits.json>
//
// circuits.json has the matrices: for each circuit name, counts (the layout's numbers in the order of the hash), groups, public wires,
// first wire of the second round, wires, rows, entries (row, matrix, wire, coefficient), and the finished verifying key's record.
// It prints the transcript's hash, or exits with 1 and says what is wrong.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { blake2b } from "@noble/hashes/blake2b";
import { keccak_256 } from "@noble/hashes/sha3";
import { buildBn128, ChaCha } from "ffjavascript";

const [ptauFile, ceremonyFile, circuitsFile] = process.argv.slice(2);
const curve = await buildBn128(true);
const { G1, G2, Fr } = curve;

function require(holds, what) {
  if (!holds) {
    console.error(what);
    process.exit(1);
  }
}

const bytes = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const number = (n) => Uint8Array.from(Buffer.from(BigInt(n).toString(16).padStart(64, "0"), "hex"));
const tag = (text) => keccak_256(new TextEncoder().encode(text));
const text = (text) => keccak_256(new TextEncoder().encode(text));
const sha256 = (data) => Uint8Array.from(createHash("sha256").update(data).digest());
const hexOf = (data) => Buffer.from(data).toString("hex");
const unhex = (data) => Uint8Array.from(Buffer.from(data, "hex"));

// ---------------------------------------------------------------------------------------------------------------- points

const words = (G, point) => {
  const out = new Uint8Array(2 * G.F.n8);
  G.toRprUncompressed(out, 0, G.toAffine(point));
  return out;
};
const raw = (G, points) => bytes(...points.map((point) => {
  const out = new Uint8Array(2 * G.F.n8);
  if (!G.isZero(point)) G.toRprLEM(out, 0, G.toAffine(point));
  return out;
}));
const split = (data, size) => Array.from({ length: data.length / size }, (_, i) => data.slice(i * size, (i + 1) * size));
const sum = (G, terms) => terms.reduce((total, [point, factor]) => G.add(total, G.timesScalar(point, factor)), G.zero);
const sameRatio = async (a, b, c, d) => {
  if ([a, b].some((p) => G1.isZero(p)) || [c, d].some((p) => G2.isZero(p))) return false;
  return curve.pairingEq(a, d, G1.neg(b), c);
};
const inGroup = (G, point) => G.isValid(point) && G.isZero(G.timesScalar(point, curve.r));

// ---------------------------------------------------------------------------------------------------------------- powers

const ptau = readFileSync(ptauFile);
const sections = new Map();
for (let at = 12; at < ptau.length; ) {
  const length = Number(ptau.readBigUInt64LE(at + 4));
  sections.set(ptau.readUInt32LE(at), ptau.subarray(at + 12, at + 12 + length));
  at += 12 + length;
}
const lagrange = (kind, size, n) => split(Uint8Array.from(sections.get(kind).subarray((n - 1) * size, (2 * n - 1) * size)), size);
const alpha = Uint8Array.from(sections.get(4).subarray(0, 64));
const beta = Uint8Array.from(sections.get(5).subarray(0, 64));
const beta2 = Uint8Array.from(sections.get(6));

// ---------------------------------------------------------------------------------------------------------------- ceremony

const file = readFileSync(ceremonyFile);
require(file.subarray(0, 8).toString() === "zkslicP2" && file.readUInt32LE(8) === 1, "no file of a ceremony");
const headerEnd = 16 + file.readUInt32LE(12);
const outer = JSON.parse(file.subarray(16, headerEnd).toString());
const padded = (n) => Math.ceil(n / 64) * 64;
let place = padded(headerEnd);
const parts = outer.sections.map(({ bytes: length, sha256: digest }) => {
  const content = Uint8Array.from(file.subarray(place, place + length));
  require(hexOf(sha256(content)) === digest, "a section has another digest");
  place += padded(length);
  return content;
});
const { beacon, circuits: stated, contributions } = outer.header;
const circuits = JSON.parse(readFileSync(circuitsFile, "utf8"));
require(stated.length === circuits.length && stated.every((c, i) => c.name === circuits[i].name), "other circuits");

// The key that each circuit begins with.
const initial = circuits.map(({ counts, groups, public_wires: p, second_round: early, wires, rows, entries }) => {
  let n = 1;
  while (n < rows) n *= 2;
  const [l1, l2, la, lb, double] =
    [lagrange(12, 64, n), lagrange(13, 128, n), lagrange(14, 64, n), lagrange(15, 64, n), lagrange(12, 64, 2 * n)];
  const empty = (count) => Array.from({ length: count }, () => []);
  const [a, b, k] = [empty(wires), empty(wires), empty(wires)];
  for (const [row, matrix, wire, coefficient] of entries) {
    const factor = BigInt(coefficient);
    if (matrix === 0) a[wire].push([row, factor]);
    if (matrix === 1) b[wire].push([row, factor]);
    k[wire].push([[lb[row], la[row], double[2 * row]][matrix], factor]);
  }
  const of = (G, points, list) => sum(G, list.map(([row, factor]) => [points[row], factor]));
  const key = {
    a: a.map((list) => of(G1, l1, list)),
    b1: b.slice(0, early).map((list) => of(G1, l1, list)),
    b2: b.slice(0, early).map((list) => of(G2, l2, list)),
    k: k.map((list) => sum(G1, list)),
    h: double.filter((_, i) => i % 2 === 1),
  };
  require(b.slice(early).every((list) => list.length === 0), "a wire of the second round is on the B side");
  const lists = [
    raw(G1, [alpha, beta, G1.g, G1.g]),
    raw(G2, [beta2, G2.g, G2.g]),
    raw(G1, key.k.slice(0, p)),
    raw(G1, key.a),
    raw(G1, key.b1),
    raw(G2, key.b2),
    raw(G1, key.k.slice(p, early)),
    raw(G1, key.k.slice(early)),
    raw(G1, key.h),
  ];
  const preimage = bytes(
    tag("zkslice/ceremony/circuit/v1"),
    ...counts.map(number),
    number(groups.length),
    ...groups.flat().map(number),
    ...lists.map(sha256),
  );
  return { statement: preimage, hash: keccak_256(preimage), ic: key.k.slice(0, p), changed: [key.k.slice(p, early), key.k.slice(early), key.h] };
});
initial.forEach(({ statement }, i) => require(hexOf(statement) === stated[i].initial, `${stated[i].name} begins with another key`));

const hashToG2 = (preimage) => {
  const seed = Buffer.from(blake2b(preimage, { dkLen: 64 }));
  return G2.fromRng(new ChaCha(Array.from({ length: 8 }, (_, i) => seed.readUInt32BE(4 * i))));
};

// The transcript.
let before = keccak_256(bytes(
  tag("zkslice/ceremony/v1"),
  text(beacon.source),
  number(beacon.exponent),
  number(circuits.length),
  ...circuits.flatMap(({ name }, i) => [text(name), initial[i].hash]),
));
let deltas = circuits.map(() => [[G1.g, G2.g], [G1.g, G2.g]]);
for (const [index, contribution] of contributions.entries()) {
  const { name, beacon: value, parts } = contribution;
  const of = `contribution ${index + 1} (${name})`;
  require(parts.length === circuits.length && parts.every((pair) => pair.length === 2), `${of}: not all deltas`);
  require(value === undefined || (index > 0 && index === contributions.length - 1), `${of}: a beacon is last`);
  let stream;
  if (value !== undefined) {
    let hash = Buffer.from(value, "hex");
    for (let i = 0; i < 2 ** beacon.exponent; i++) hash = createHash("sha256").update(hash).digest();
    stream = new ChaCha(Array.from({ length: 8 }, (_, i) => hash.readUInt32BE(4 * i)));
  }
  const secrets = stream && parts.map(() => [Fr.fromRng(stream), Fr.fromRng(stream)]);
  const next = [];
  const hashed = [];
  for (const [circuit, pair] of parts.entries()) {
    next.push([]);
    for (const [delta, hex] of pair.entries()) {
      const data = unhex(hex);
      hashed.push(data);
      const point = (G, at) => {
        const size = 2 * G.F.n8;
        const read = G.fromRprUncompressed(data, at);
        require(hexOf(words(G, read)) === hexOf(data.subarray(at, at + size)) && !G.isZero(read) && inGroup(G, read), `${of}: no point`);
        return read;
      };
      const [d1, d2, s, sx, spx] = [point(G1, 0), point(G2, 64), point(G1, 192), point(G1, 256), point(G2, 320)];
      const sp = hashToG2(bytes(
        tag("zkslice/ceremony/knowledge/v1"), before, text(name), number(circuit), number(delta), words(G1, s), words(G1, sx),
      ));
      const [old] = deltas[circuit][delta];
      require(await sameRatio(s, sx, sp, spx), `${of}: no proof of knowledge`);
      require(await sameRatio(old, d1, sp, spx), `${of}: a delta does not build on the one before`);
      require(await sameRatio(G1.g, d1, G2.g, d2), `${of}: the groups differ`);
      require(!G1.eq(old, d1) && !G1.eq(G1.neg(old), d1), `${of}: a delta is what it was`);
      if (secrets) {
        const x = secrets[circuit][delta];
        const random = G1.fromRng(stream);
        require(G1.eq(random, s) && G1.eq(G1.timesFr(s, x), sx) && G2.eq(G2.timesFr(sp, x), spx), `${of}: not the beacon's`);
      }
      next[circuit].push([d1, d2]);
    }
  }
  const all = next.flat().map(([d1]) => d1).concat([G1.g]);
  all.forEach((x, i) => all.slice(0, i).forEach((y) => require(!G1.eq(x, y) && !G1.eq(G1.neg(x), y), `${of}: equal deltas`)));
  before = keccak_256(bytes(
    tag("zkslice/ceremony/contribution/v1"), before, number(value === undefined ? 0 : 1), text(name), keccak_256(unhex(value ?? "")),
    ...hashed,
  ));
  require(hexOf(before) === contribution.hash, `${of}: another hash`);
  deltas = next;
}

// Whole sections: a random combination of each.
for (const [circuit, { changed }] of initial.entries()) {
  for (const [section, old] of changed.entries()) {
    const what = `section ${section} of ${circuits[circuit].name}`;
    require(hexOf(raw(G1, old)) === hexOf(parts[6 * circuit + section]), `${what}: it began otherwise`);
    const now = split(parts[6 * circuit + 3 + section], 64);
    require(now.length === old.length, `${what}: another length`);
    now.forEach((p, i) => require(G1.isZero(p) === G1.isZero(old[i]) && (G1.isZero(p) || G1.isValid(p)), `${what}: no point`));
    const rho = now.map(() => Fr.toObject(Fr.random()));
    const [, d2] = deltas[circuit][section === 0 ? 0 : 1];
    const [left, right] = [sum(G1, now.map((p, i) => [p, rho[i]])), sum(G1, old.map((p, i) => [p, rho[i]]))];
    require(await sameRatio(left, right, G2.g, d2), `${what}: not what it began with over its delta`);
  }
  // The points of the finished verifying key: α, β, γ, δ1, δ2, IC.
  const [[, first], [, second]] = deltas[circuit];
  const points = bytes(
    words(G1, alpha), words(G2, beta2), words(G2, G2.g), words(G2, first), words(G2, second),
    ...initial[circuit].ic.map((point) => words(G1, point)),
  );
  require(circuits[circuit].record.endsWith(hexOf(points)), `the verifying key of ${circuits[circuit].name} is another`);
}
console.log(hexOf(before));
await curve.terminate();
