// The encoders of `@zkslice/contracts/encode` against what Rust computes, in whatever runs this: Node or a browser.

function same(actual, expected, what) {
  const text = (value) => JSON.stringify(value, (_, part) => (typeof part === "bigint" ? `${part}n` : part));
  if (text(actual) !== text(expected)) throw new Error(`${what}: ${text(actual)}, expected ${text(expected)}`);
}

function refused(run, words, what) {
  let message = "nothing";
  try {
    run();
  } catch (error) {
    if (error instanceof RangeError) message = error.message;
    else throw error;
  }
  if (!message.includes(words)) throw new Error(`${what}: it says ${message}, not ${words}`);
}

const bigints = (list) => list.map(BigInt);
const plain = (count, bits) => ({ count, bits, features: [{ offset: 0, scale: 1 }] });

/** Runs every check; the number of vectors. */
export function check(encoders, vectors) {
  const { commitment, context, decode, encode, FIELD_ORDER, inputHash, inputOwner, opening, pack, randomSalt, requestHash, requestId, unpack } =
    encoders;
  let count = 0;
  for (const { count: values, bits, digits, words } of vectors.packing) {
    const layout = plain(values, bits);
    same(pack(layout, bigints(digits)), bigints(words), `packing of ${values} values`);
    same(unpack(layout, bigints(words)), bigints(digits), `unpacking of ${values} values`);
    count += 1;
  }
  for (const { layout, values, integers, decoded, words, hash } of vectors.encodings) {
    const what = `${layout.features.length} features of shape ${layout.shape}`;
    same(encode(layout, values), bigints(integers), what);
    same(decode(layout, bigints(integers)), decoded, what);
    same(pack(layout, bigints(integers)), bigints(words), what);
    same(unpack(layout, bigints(words)), bigints(integers), what);
    same(inputHash(bigints(words)), hash, what);
    count += 1;
  }
  for (const vector of vectors.commitments.filter(({ owner }) => owner !== null)) {
    const layout = plain(vector.count, vector.bits);
    const integers = unpack(layout, bigints(vector.words));
    same(commitment(layout, integers, vector.salt, vector.owner), vector.commitment, `commitment to ${vector.count} values`);
    count += 1;
  }
  for (const vector of vectors.requests) {
    const { chainId, oracle, requester, beneficiary } = vector;
    const nonce = BigInt(vector.nonce);
    const request = { ...vector.request, minCoverage: BigInt(vector.request.minCoverage), fee: BigInt(vector.request.fee), deadline: BigInt(vector.request.deadline) };
    same(requestHash(request), vector.requestHash, "request hash");
    same(requestId(request, requester, nonce), vector.requestId, "request id");
    same(context(BigInt(chainId), oracle, request, requester, nonce, beneficiary), vector.context, "context");
    same(inputOwner(request.modelDigest, requester), vector.owner, "owner");
    count += 1;
  }

  const salts = Array.from({ length: 50 }, randomSalt);
  same([new Set(salts).size, salts.every((salt) => BigInt(salt) < FIELD_ORDER)], [50, true], "salts");
  const layout = { bits: 8, axis: 1, shape: [2, 2], features: [{ offset: 0, scale: 10n ** 18n }, { offset: 100, scale: 10n ** 17n }] };
  same(encode(layout, [0, -10, 255, 15.54]), [0n, -100n, 255n, 155n], "features");
  same(encode(layout, [2.5, -0.25, 0.49999999999999994, 0.25]), [3n, -3n, 0n, 3n], "halves");
  same(JSON.parse(opening([0n, -100n], salts[0])), { values: [0, -100], salt: salts[0] }, "opening");
  refused(() => encode(layout, [0, -10.06, 0, 0]), "value 1 is -10.06, outside [-10, 15.5", "below the range");
  refused(() => encode(layout, [256, 0, 0, 0]), "value 0 is 256, outside", "above the range");
  refused(() => encode(layout, [Number.NaN, 0, 0, 0]), "value 0 is NaN", "no number");
  refused(() => encode(layout, [0, 0, 0]), "3 values where 4 are needed", "too few");
  refused(() => encode({ ...layout, axis: 0, features: layout.features.slice(1).concat(layout.features, layout.features) }, [0, 0, 0, 0]), "5 features for axis 0", "features of another axis");
  refused(() => encode({ ...layout, axis: undefined }, [0, 0, 0, 0]), "no axis and shape", "no axis");
  refused(() => encode({ ...layout, shape: [2, 3], count: 4 }, [0, 0, 0, 0]), "has not 4 values", "another shape");
  refused(() => encode({ bits: 8, features: layout.features.slice(1), shape: [2, 0] }, []), "a dimension is 0", "no values");
  refused(() => encode({ bits: 8, features: layout.features.slice(1) }, [0]), "without shape and count", "no shape");
  refused(() => pack({ ...layout, bits: 65 }, [0n, 0n, 0n, 0n]), "bits is 65", "wide digits");
  refused(() => pack(layout, [256n, 0n, 0n, 0n]), "integer 0 is 256", "no digit");
  refused(() => unpack(plain(2, 8), [1n << 16n]), "word 0 has more than its 2 digits", "a bit too many");
  refused(() => unpack(plain(2, 8), [0n, 0n]), "2 words where 1 are needed", "a word too many");
  const r = `0x${FIELD_ORDER.toString(16)}`;
  refused(() => commitment(plain(1, 8), [1n], r, salts[0]), "the salt is not below", "a salt of r");
  refused(() => commitment(plain(1, 8), [1n], salts[0], r), "the owner is not below", "an owner of r");
  refused(() => opening([1n], "0x1"), "the salt is 0x1, not 32 bytes", "a short salt");
  const { request, requester } = vectors.requests[0];
  const typed = { ...request, minCoverage: 0n, fee: 0n, deadline: 0n };
  refused(() => requestHash({ ...typed, deadline: 1n << 64n }), "deadline is 18446744073709551616, not a uint64", "a late deadline");
  refused(() => requestHash({ ...typed, verifier: "0x01" }), "verifier is 0x01, not 4 bytes", "a short selector");
  refused(() => context(2 ** 53, requester, typed, requester, 0n, requester), "chainId is 9007199254740992: give it as a bigint", "a rounded chain id");
  refused(() => requestId(typed, requester.slice(0, -1), 0n), "the requester is", "a short address");
  return count;
}
