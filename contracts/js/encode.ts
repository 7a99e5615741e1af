/**
 * What a front end needs of zkslice: inputs as the words or the commitment that a request carries, outputs as numbers,
 * and the hashes and ids that the oracle computes. Words are bigints, as viem and ethers take uint256; hashes are hex.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { poseidon3 } from "poseidon-lite/poseidon3";
import { poseidon12 } from "poseidon-lite/poseidon12";

export type Hex = `0x${string}`;

/** Order of BN254's scalar field: commitments, owners and contexts are below it. */
export const FIELD_ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617n;

/** Digits fill at most this many bits of a word, which keeps every word below the field's order. */
const WORD_BITS = 253;
/** Words that one step of a commitment takes. */
const CHAIN_WORDS = 11;
/** A scale is a whole number of 10^-18. */
const SCALE_DECIMALS = 1e18;

/** What a digit of a feature stands for: digit − offset is an integer, and that times scale / 10^18 a real number. */
export interface Feature {
  readonly offset: number | bigint | string;
  readonly scale: number | bigint | string;
}

/**
 * How a tensor becomes words: an entry of `tensors` in the package's `manifest.json`. The model's key blob says the same of a
 * tensor with one feature, and neither offset nor scale of one with several.
 */
export interface Layout {
  /** Bits of a digit, from 1 to 64. */
  readonly bits: number;
  /** The tensor's dimensions. */
  readonly shape?: readonly number[];
  /** Number of values, where there is no shape. */
  readonly count?: number;
  /** The axis that features differ along, where there are several. */
  readonly axis?: number;
  /** One for all values, or one for each index of `axis`. */
  readonly features: readonly Feature[];
}

/** `IInferenceOracle.Request`. */
export interface Request {
  readonly modelDigest: Hex;
  /** For each input the hash of its words, or its commitment. */
  readonly inputs: readonly Hex[];
  readonly verifier: Hex;
  readonly minCoverage: bigint;
  readonly feeToken: Hex;
  readonly fee: bigint;
  readonly deadline: bigint;
  readonly callback: Hex;
  readonly callbackGas: number;
}

function fail(message: string): never {
  throw new RangeError(`@zkslice/contracts: ${message}`);
}

function whole(value: number, least: number, most: number, what: string): number {
  return Number.isInteger(value) && value >= least && value <= most ? value : fail(`${what} is ${value}, not ${least} to ${most}`);
}

interface Checked {
  bits: number;
  count: number;
  digitsPerWord: number;
  /** Offset and scale of a value. */
  of(index: number): { offset: bigint; scale: bigint };
}

function check(layout: Layout): Checked {
  const { axis, shape } = layout;
  const bits = whole(layout.bits, 1, 64, "bits");
  const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * whole(size, 1, 2 ** 31, "a dimension"), 1);
  const count = whole(layout.count ?? product(shape ?? fail("a layout without shape and count")), 1, 2 ** 31, "count");
  if (shape !== undefined && product(shape) !== count) fail(`shape [${shape}] has not ${count} values`);
  const features = layout.features.map((feature) => ({ offset: BigInt(feature.offset), scale: BigInt(feature.scale) }));
  if (features.some(({ offset, scale }) => offset < 0n || scale < 0n)) fail("an offset or a scale is negative");
  const digitsPerWord = Math.floor(WORD_BITS / bits);
  if (features.length === 1) return { bits, count, digitsPerWord, of: () => features[0]! };
  if (axis === undefined || shape === undefined) fail(`${features.length} features, but no axis and shape`);
  if (shape[whole(axis, 0, shape.length - 1, "axis")] !== features.length) {
    fail(`${features.length} features for axis ${axis} of shape [${shape}]`);
  }
  const inner = product(shape.slice(axis + 1));
  return { bits, count, digitsPerWord, of: (index) => features[Math.floor(index / inner) % features.length]! };
}

function sized<T>(values: ArrayLike<T>, expected: number, what: string): T[] {
  return values.length === expected ? Array.from(values) : fail(`${values.length} ${what} where ${expected} are needed`);
}

/** Real numbers as the integers that the model takes, rounded to the nearest; refuses what the layout has no digit for. */
export function encode(layout: Layout, values: ArrayLike<number>): bigint[] {
  const { bits, count, of } = check(layout);
  const top = (1n << BigInt(bits)) - 1n;
  return sized(values, count, "values").map((value, index) => {
    const { offset, scale } = of(index);
    if (scale === 0n) fail("a boundary between slices has no real numbers");
    const unit = Number(scale) / SCALE_DECIMALS;
    const quotient = value / unit;
    if (!Number.isFinite(quotient)) fail(`value ${index} is ${value}`);
    // Halves go away from zero.
    const integer = BigInt(Math.sign(quotient) * Math.round(Math.abs(quotient)));
    if (integer < -offset || integer > top - offset) {
      fail(`value ${index} is ${value}, outside [${-Number(offset) * unit}, ${Number(top - offset) * unit}]`);
    }
    return integer;
  });
}

/** The real numbers that integers stand for, to a double's precision. */
export function decode(layout: Layout, integers: readonly bigint[]): number[] {
  const { count, of } = check(layout);
  return sized(integers, count, "integers").map((integer, index) => Number(integer) * (Number(of(index).scale) / SCALE_DECIMALS));
}

/** Integers as a public tensor's words. */
export function pack(layout: Layout, integers: readonly bigint[]): bigint[] {
  const { bits, count, digitsPerWord, of } = check(layout);
  const words = new Array<bigint>(Math.ceil(count / digitsPerWord)).fill(0n);
  sized(integers, count, "integers").forEach((integer, index) => {
    const digit = integer + of(index).offset;
    if (digit < 0n || digit >> BigInt(bits) !== 0n) fail(`integer ${index} is ${integer}, which has no digit of ${bits} bits`);
    words[Math.floor(index / digitsPerWord)]! |= digit << BigInt((index % digitsPerWord) * bits);
  });
  return words;
}

/** A public tensor's words as integers; refuses words that no tensor of the layout has. */
export function unpack(layout: Layout, words: readonly bigint[]): bigint[] {
  const { bits, count, digitsPerWord, of } = check(layout);
  sized(words, Math.ceil(count / digitsPerWord), "words").forEach((word, index) => {
    const digits = Math.min(digitsPerWord, count - index * digitsPerWord);
    if (word < 0n || word >> BigInt(digits * bits) !== 0n) fail(`word ${index} has more than its ${digits} digits of ${bits} bits`);
  });
  const mask = (1n << BigInt(bits)) - 1n;
  return Array.from({ length: count }, (_, index) => {
    const word = words[Math.floor(index / digitsPerWord)]!;
    return ((word >> BigInt((index % digitsPerWord) * bits)) & mask) - of(index).offset;
  });
}

function bytesOf(hex: Hex, length: number, what: string): Uint8Array {
  if (!new RegExp(`^0x[0-9a-fA-F]{${2 * length}}$`).test(hex)) fail(`${what} is ${hex}, not ${length} bytes in hex`);
  return Uint8Array.from({ length }, (_, i) => Number.parseInt(hex.slice(2 + 2 * i, 4 + 2 * i), 16));
}

function hexOf(bytes: Uint8Array): Hex {
  return `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function hexWord(value: bigint): Hex {
  return `0x${value.toString(16).padStart(64, "0")}`;
}

/** A number as a word of calldata. */
function number(value: bigint | number, bits: number, what: string): Uint8Array {
  if (typeof value === "number" && !Number.isSafeInteger(value)) fail(`${what} is ${value}: give it as a bigint`);
  const integer = BigInt(value);
  if (integer < 0n || integer >> BigInt(bits) !== 0n) fail(`${what} is ${value}, not a uint${bits}`);
  return bytesOf(hexWord(integer), 32, what);
}

function address(value: Hex, what: string): Uint8Array {
  return concat([new Uint8Array(12), bytesOf(value, 20, what)]);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const keccak = (...parts: Uint8Array[]): Uint8Array => keccak_256(concat(parts));

const reduced = (hash: Uint8Array): Hex => hexWord(BigInt(hexOf(hash)) % FIELD_ORDER);

/** A public input's hash, as a request carries it. */
export function inputHash(words: readonly bigint[]): Hex {
  return hexOf(keccak(...words.map((word, index) => number(word, 256, `word ${index}`))));
}

/** The owner in commitments of a requester for a model: `inputOwnerOf` of the oracle. */
export function inputOwner(modelDigest: Hex, requester: Hex): Hex {
  return reduced(keccak(bytesOf(modelDigest, 32, "the model digest"), address(requester, "the requester")));
}

/** A fresh salt, uniform below the field's order. One for each commitment: a salt that is used again links requests. */
export function randomSalt(): Hex {
  for (;;) {
    const salt = BigInt(hexOf(crypto.getRandomValues(new Uint8Array(32)))) >> 2n;
    if (salt < FIELD_ORDER) return hexWord(salt);
  }
}

function field(hex: Hex, what: string): bigint {
  const value = BigInt(hexOf(bytesOf(hex, 32, what)));
  return value < FIELD_ORDER ? value : fail(`${what} is not below the field's order`);
}

/** The commitment of a private input. Who knows values and salt can prove the request; nobody else learns them. */
export function commitment(layout: Layout, integers: readonly bigint[], salt: Hex, owner: Hex): Hex {
  const { bits, count, digitsPerWord } = check(layout);
  const tag = concat([
    new TextEncoder().encode("zkslice/tensor/1"),
    number(count, 64, "count").slice(24),
    number(digitsPerWord, 16, "digits a word").slice(30),
    number(bits, 16, "bits").slice(30),
  ]);
  const words = pack(layout, integers);
  let h = poseidon3([field(salt, "the salt"), BigInt(hexOf(tag)), field(owner, "the owner")]);
  for (let i = 0; i < words.length; i += CHAIN_WORDS) {
    const block = words.slice(i, i + CHAIN_WORDS);
    h = poseidon12([h, ...block, ...new Array<bigint>(CHAIN_WORDS - block.length).fill(0n)]);
  }
  return hexWord(h);
}

/** What the prover of a private request needs, and nobody else: the JSON text of `<commitment without 0x>.json`. */
export function opening(integers: readonly bigint[], salt: Hex): string {
  field(salt, "the salt");
  return `{"values":[${integers.join(",")}],"salt":"${salt}"}`;
}

/** `requestHashOf` of the oracle: keccak256 of the request's ABI encoding. */
export function requestHash(request: Request): Hex {
  const inputs = request.inputs.map((input, index) => bytesOf(input, 32, `input ${index}`));
  const fields = [
    bytesOf(request.modelDigest, 32, "modelDigest"),
    number(9 * 32, 256, "the offset of inputs"),
    concat([bytesOf(request.verifier, 4, "verifier"), new Uint8Array(28)]),
    number(request.minCoverage, 256, "minCoverage"),
    address(request.feeToken, "feeToken"),
    number(request.fee, 256, "fee"),
    number(request.deadline, 64, "deadline"),
    address(request.callback, "callback"),
    number(request.callbackGas, 32, "callbackGas"),
  ];
  return hexOf(keccak(number(32, 256, "the offset of the request"), ...fields, number(inputs.length, 256, "inputs"), ...inputs));
}

/** `requestIdOf` of the oracle. The nonce is `nonces(requester)` before the request. */
export function requestId(request: Request, requester: Hex, nonce: bigint): Hex {
  const hash = bytesOf(requestHash(request), 32, "the request's hash");
  return hexOf(keccak(address(requester, "the requester"), number(nonce, 256, "nonce"), hash));
}

/** `contextOf` of the oracle: what a proof for this request and beneficiary carries. */
export function context(
  chainId: number | bigint,
  oracle: Hex,
  request: Request,
  requester: Hex,
  nonce: bigint,
  beneficiary: Hex,
): Hex {
  return reduced(
    keccak(
      keccak(new TextEncoder().encode("zkslice/context/v1")),
      number(chainId, 256, "chainId"),
      address(oracle, "the oracle"),
      bytesOf(requestId(request, requester, nonce), 32, "the request's id"),
      bytesOf(requestHash(request), 32, "the request's hash"),
      address(beneficiary, "the beneficiary"),
    ),
  );
}
