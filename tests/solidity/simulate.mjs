#!/usr/bin/env node
// Makes tests/solidity/fixtures/, all but rust-*.json: key blobs, and bundles that verify, made by a simulator that knows the setup's
// secrets. It shares no code with the Rust prover or with the contracts, so it is also a second reading of every byte
// format.
//
// A Groth16 proof can be simulated by whoever knows the trapdoor: choose A, B and C1 freely, then solve the equation
//     A·B = α·β + γ·L + δ1·C1 + δ2·C2        (exponents, mod r)
// for C2. Nothing is proven, but the verifier cannot tell, which is all its tests need.
//
// <name>.json, the schema that bundles of the real prover use too (all words 0x-prefixed hex, 32 bytes; big integers
// so that no JSON number is rounded):
//     chainId, oracle, requester, nonce, beneficiary     what the context binds
//     modelDigest, setupDigest, blob                     the key blob, whole
//     request { modelDigest, inputs[], verifier, minCoverage, feeToken, fee, deadline, callback, callbackGas }
//     requestHash, requestId, context, owner             derived
//     words[], commitments[], proofs[]                   as `fulfil` and `verifyBundle` take them
// <name>.trapdoor.json (simulated models only): the exponents, with which the Solidity tests simulate bundles for
// other contexts:
//     alpha, beta, slices[] { slots[], groups[], deltas[], ic[], b, B[4], t, BOverT[4] }: with A·t, B/t re-randomises
//     a proof
// points.json: a point of the twist outside G2.
import { utils } from "ethers";
import { getCurveFromName } from "ffjavascript";
import { put } from "../../script/generate/put.mjs";

const curve = await getCurveFromName("bn128", true);
const R = curve.r;

// --------------------------------------------------------------------------------------------------------- words

const hex = (value) => "0x" + BigInt(value).toString(16).padStart(64, "0");
const concat = (words) => "0x" + words.map((word) => hex(word).slice(2)).join("");
const hash = (words) => BigInt(utils.keccak256(concat(words)));
const tag = (name) => BigInt(utils.id(`zkslice/${name}`));
const mod = (value) => ((value % R) + R) % R;
const encode = (types, values) => BigInt(utils.keccak256(utils.defaultAbiCoder.encode(types, values)));

function invert(value) {
  let [a, b, x, y] = [mod(value), R, 1n, 0n];
  while (b) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return mod(x);
}

/// Exponents from a seed: fixtures must not change from run to run.
function random(seed) {
  let count = 0;
  return () => BigInt(utils.id(`zkslice simulator/${seed}/${count++}`)) % R;
}

// --------------------------------------------------------------------------------------------------------- points

const g1 = (exponent) => {
  const [x, y] = curve.G1.toObject(curve.G1.toAffine(curve.G1.timesFr(curve.G1.g, curve.Fr.e(mod(exponent)))));
  return [x, y];
};
const eip197 = ([x, y]) => [x[1], x[0], y[1], y[0]];
const g2 = (exponent) =>
  eip197(curve.G2.toObject(curve.G2.toAffine(curve.G2.timesFr(curve.G2.g, curve.Fr.e(mod(exponent))))));

// --------------------------------------------------------------------------------------------------------- models

const PUBLIC = 1n, PRIVATE = 2n, OUTPUT = 3n, BOUNDARY = 4n;
const tensor = (kind, count, bits, offset = 0, scale = kind === BOUNDARY ? 0 : 1, decimals = 0) => ({
  kind, count: BigInt(count), bits: BigInt(bits), offset: BigInt(offset), scale: BigInt(scale), decimals: BigInt(decimals),
});
const context = 1n << 32n, owner = 2n << 32n;
const read = (t) => (3n << 32n) + BigInt(t), written = (t) => (4n << 32n) + BigInt(t);
const slice = (slots, groups) => ({ slots, groups });

const image = tensor(PUBLIC, 784, 8, 0, 1, 0);
const logits = tensor(OUTPUT, 10, 25, 1 << 24, 37, 6);
const MODELS = {
  // One slice, 26 words in, 1 word out: the shape of the gas target.
  single: { tensors: [image, logits], slices: [slice([context], [0, 1])] },
  // The same in a setup of its own: neither α nor β is that of the others.
  other: { setup: "other setup", tensors: [image, logits], slices: [slice([context], [0, 1])] },
  // One slice and a committed input, with 1 word out and with 16: the shapes of the oracle's gas targets.
  narrow: { tensors: [tensor(PRIVATE, 784, 8), logits], slices: [slice([context, owner, read(0)], [1])] },
  wide: {
    tensors: [tensor(PRIVATE, 784, 8), tensor(OUTPUT, 16, 253, 0, 1, 0)],
    slices: [slice([context, owner, read(0)], [1])],
  },
  // The same in two slices: what the second adds.
  pair: {
    tensors: [image, logits, tensor(BOUNDARY, 300, 12)],
    slices: [slice([context, written(2)], [0]), slice([context, read(2)], [1])],
  },
  // Three slices in a row.
  chain: {
    tensors: [image, logits, tensor(BOUNDARY, 300, 12), tensor(BOUNDARY, 84, 12)],
    slices: [
      slice([context, written(2)], [0]),
      slice([context, read(2), written(3)], []),
      slice([context, read(3)], [1]),
    ],
  },
  // A private input, with its owner.
  private: {
    tensors: [tensor(PRIVATE, 784, 8), logits, tensor(BOUNDARY, 300, 12)],
    slices: [slice([context, owner, read(0), written(2)], []), slice([context, read(2)], [1])],
  },
  // A skip branch: the last slice reads what both others wrote.
  skip: {
    tensors: [image, logits, tensor(BOUNDARY, 300, 12), tensor(BOUNDARY, 300, 12)],
    slices: [
      slice([context, written(2)], [0]),
      slice([context, read(2), written(3)], []),
      slice([context, read(2), read(3)], [1]),
    ],
  },
  // Several inputs and outputs, of both kinds, one input read twice, words of two tensors in one slice.
  mixed: {
    tensors: [
      tensor(PUBLIC, 40, 8), tensor(PRIVATE, 16, 8), tensor(PUBLIC, 5, 16, 32768, 5, 3),
      tensor(OUTPUT, 3, 20, 1000, 2, 3), tensor(OUTPUT, 100, 10, 512, 1, 2),
      tensor(BOUNDARY, 64, 12), tensor(BOUNDARY, 64, 13, 4096),
    ],
    slices: [
      slice([context, owner, read(1), written(5)], [0]),
      slice([context, read(5), written(6)], [2, 3]),
      slice([context, read(5), read(6)], [0, 4]),
    ],
  },
};

const digitsPerWord = (t) => 253n / t.bits;
const wordCount = (t) => (t.count + digitsPerWord(t) - 1n) / digitsPerWord(t);

/// Random digits, packed: the first value lowest.
function pack(t, next) {
  const words = [];
  for (let done = 0n; done < t.count; done += digitsPerWord(t)) {
    let word = 0n;
    for (let i = 0n; i < digitsPerWord(t) && done + i < t.count; i++) word += (next() % (1n << t.bits)) << (i * t.bits);
    words.push(word);
  }
  return words;
}

function makeSetup(name) {
  const next = random(name);
  const [alpha, beta, gamma] = [next(), next(), 1n];
  const points = [...g1(alpha), ...g2(beta), ...g2(gamma)];
  return { alpha, beta, points, digest: hash([tag("setup/v1"), ...points]) };
}
/// Of the model at hand.
let setup;

/// Of names and shapes, which no contract reads: one dimension each, and a name that says its place.
const layoutDigest = (model) => hash([
  tag("layout/v1"),
  ...model.tensors.flatMap((t, i) => [BigInt(utils.id(`tensor ${i}`)), 1, t.count, 0, 1, t.offset, t.scale]),
]);

function makeKeys(model, next) {
  for (const s of model.slices) {
    const layout = s.groups.flatMap((t) => [model.tensors[t].count, model.tensors[t].bits]);
    const n = s.groups.reduce((sum, t) => sum + wordCount(model.tensors[t]), 0n);
    s.deltas = [next(), next()];
    s.ic = [next(), next(), next()];
    [s.b, s.t] = [next(), next()];
    s.record = [
      // Form 1; two scalars beside 1: χ (code 1) and F (code 2).
      tag("vk/v2"), 1, s.slots.length, n, s.groups.length, ...layout, 2, 1, 2,
      ...setup.points, ...s.deltas.flatMap(g2), ...s.ic.flatMap(g1),
    ];
    s.vkHash = hash(s.record);
  }
  model.header = [
    tag("model/v3"), model.slices.length, model.tensors.length, 0, setup.digest, 1, layoutDigest(model),
    ...model.slices.map((s) => s.vkHash),
    ...model.tensors.flatMap((t) => [t.kind, t.count, t.bits, t.offset, t.scale, t.decimals]),
    ...model.slices.flatMap((s) => [s.slots.length, ...s.slots, s.groups.length, ...s.groups]),
  ];
  model.digest = hash(model.header);
}

// --------------------------------------------------------------------------------------------------------- proofs

function simulate(model, statement, next) {
  const wordsOf = (index) => {
    let start = 0;
    for (const [i, t] of model.tensors.entries()) {
      if (t.kind !== PUBLIC && t.kind !== OUTPUT) continue;
      const n = Number(wordCount(t));
      if (i === index) return statement.words.slice(start, start + n);
      start += n;
    }
  };
  const hidden = model.tensors.flatMap((t, i) => (t.kind === PRIVATE || t.kind === BOUNDARY ? [i] : []));
  return model.slices.flatMap((s) => {
    const x = s.slots.map((slot) => {
      if (slot === context) return statement.context;
      if (slot === owner) return statement.owner;
      return statement.commitments[hidden.indexOf(Number(slot & 0xffffffffn))];
    });
    const [a, c1] = [next(), next()];
    const C1 = g1(c1);
    const words = s.groups.flatMap(wordsOf);
    const chi = hash([tag("challenge/v2"), s.vkHash, x.length, ...x, words.length, ...words, ...C1]) % R;
    let [power, fingerprint] = [chi, 0n];
    for (const e of [...x, ...words]) [fingerprint, power] = [mod(fingerprint + e * power), mod(power * chi)];
    const l = s.ic[0] + chi * s.ic[1] + fingerprint * s.ic[2];
    const c2 = mod(a * s.b - setup.alpha * setup.beta - l - c1 * s.deltas[0]) * invert(s.deltas[1]);
    return [...g1(a), ...g2(s.b), ...C1, ...g1(c2)];
  });
}

const address = (name) => utils.getAddress("0x" + utils.id(`zkslice simulator/${name}`).slice(-40));
const write = (name, value) =>
  put(`tests/solidity/fixtures/${name}`, JSON.stringify(value, (_, v) => (typeof v === "bigint" ? hex(v) : v), 1) + "\n");

for (const [name, model] of Object.entries(MODELS)) {
  const next = random(name);
  setup = makeSetup(model.setup ?? "setup");
  makeKeys(model, next);

  const words = model.tensors.flatMap((t) => (t.kind === PUBLIC || t.kind === OUTPUT ? pack(t, next) : []));
  const commitments = model.tensors.flatMap((t) => (t.kind === PRIVATE || t.kind === BOUNDARY ? [next()] : []));
  let [start, hidden] = [0, 0];
  const inputs = model.tensors.flatMap((t) => {
    if (t.kind === PRIVATE) return [hex(commitments[hidden++])];
    if (t.kind !== PUBLIC) return [];
    return [hex(hash(words.slice(start, (start += Number(wordCount(t))))))];
  });

  const [oracle, requester, beneficiary] = [address("oracle"), address("requester"), address("beneficiary")];
  const [chainId, nonce] = [31337n, 0n];
  const request = {
    modelDigest: hex(model.digest), inputs, verifier: "0x00000001", minCoverage: 0n, feeToken: utils.getAddress("0x" + "00".repeat(20)),
    fee: 10n ** 15n, deadline: 2_000_000_000n, callback: utils.getAddress("0x" + "00".repeat(20)), callbackGas: 0n,
  };
  const requestHash = encode(
    ["tuple(bytes32, bytes32[], bytes4, uint256, address, uint256, uint64, address, uint32)"],
    [Object.values(request)],
  );
  const requestId = encode(["address", "uint256", "bytes32"], [requester, nonce, hex(requestHash)]);
  const statement = {
    context: encode(
      ["bytes32", "uint256", "address", "bytes32", "bytes32", "address"],
      [hex(tag("context/v1")), chainId, oracle, hex(requestId), hex(requestHash), beneficiary],
    ) % R,
    owner: encode(["bytes32", "address"], [hex(model.digest), requester]) % R,
    words,
    commitments,
  };
  write(`${name}.json`, {
    chainId, oracle, requester, nonce, beneficiary,
    modelDigest: hex(model.digest), setupDigest: hex(setup.digest),
    blob: concat([...model.header, ...model.slices.flatMap((s) => s.record)]),
    request, requestHash, requestId, ...statement,
    proofs: simulate(model, statement, next),
  });
  write(`${name}.trapdoor.json`, {
    alpha: setup.alpha,
    beta: setup.beta,
    slices: model.slices.map((s) => ({
      slots: s.slots, groups: s.groups.map(BigInt), deltas: s.deltas, ic: s.ic, b: s.b, B: g2(s.b), t: s.t,
      BOverT: g2(s.b * invert(s.t)),
    })),
  });
}

// The twist y² = x³ + 3/(9 + u) has a cofactor: the first x with a root almost surely gives a point outside the
// subgroup.
for (let c0 = 1n; ; c0++) {
  const F2 = curve.F2;
  const x = F2.fromObject([c0, 0n]);
  const y2 = F2.add(F2.mul(F2.square(x), x), curve.G2.b);
  const y = F2.sqrt(y2);
  if (y === null || !F2.eq(F2.square(y), y2)) continue;
  const point = [F2.toObject(x), F2.toObject(y)];
  write("points.json", { twistOutsideG2: eip197(point) });
  break;
}
await curve.terminate();
