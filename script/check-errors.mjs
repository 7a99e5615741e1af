#!/usr/bin/env node
// Deploys the committed creation codes on a chain of its own, has calls revert in one contract for an error of another,
// and lets ethers name them by the ABI of the contract that was called, as the package exports it, and by
// zksliceErrorsAbi. viem looks in an ABI by the same selectors.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const root = join(import.meta.dirname, "..");
const { Interface } = createRequire(join(root, "package.json"))("@ethersproject/abi");
const json = (path) => JSON.parse(readFileSync(join(root, path), "utf8"));
const committed = (name) => json(`contracts/abi/${name}.json`);
const every = new Interface(committed("ZksliceErrors").abi);

const anvil = spawn(join(root, "script/foundry"), ["anvil", "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
process.on("exit", () => anvil.kill());
let url;
for await (const line of createInterface(anvil.stdout)) {
  url = line.match(/^Listening on (.*)/)?.[1];
  if (url) break;
}

async function rpc(method, ...params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const { result, error } = await (await fetch(`http://${url}`, { method: "POST", headers: { "content-type": "application/json" }, body })).json();
  if (error) throw Object.assign(new Error(`${method}: ${error.message}`), { data: error.data });
  return result;
}
const [from] = await rpc("eth_accounts");

class Contract {
  constructor(name, address) {
    const { abi, bytecode } = committed(name);
    Object.assign(this, { name, address, bytecode, abi: new Interface(abi) });
  }
  transaction(member, args) {
    if (member) return { from, to: this.address, data: this.abi.encodeFunctionData(member, args), gas: "0x1c9c380" };
    return { from, data: this.bytecode + this.abi.encodeDeploy(args).slice(2), gas: "0x1c9c380" };
  }
  async send(member, ...args) {
    const hash = await rpc("eth_sendTransaction", this.transaction(member, args));
    let receipt = null;
    while (!receipt) receipt = await rpc("eth_getTransactionReceipt", hash);
    if (receipt.status !== "0x1") throw new Error(`${this.name}.${member ?? "constructor"} failed`);
    this.address ??= receipt.contractAddress;
    return receipt;
  }
  // It must revert with this error; a member of `undefined` is the constructor.
  async expect(error, member, ...args) {
    const data = await rpc("eth_call", this.transaction(member, args), "latest").then(
      () => undefined,
      ({ data }) => data,
    );
    const names = [this.abi, every].map((abi) => {
      try {
        return abi.parseError(data).name;
      } catch {
        return `no name for ${data}`;
      }
    });
    if (names.some((name) => name !== error)) {
      throw new Error(`${this.name}.${member ?? "constructor"} reverts with ${names.join(" and ")}, not ${error}`);
    }
    count += 1;
  }
}
let count = 0;

const zero = `0x${"0".repeat(64)}`;
const nobody = `0x${"0".repeat(40)}`;
const selector = "0x00000001";
const [registry, verifier, oracle] = ["ModelRegistry", "BundleVerifier", "InferenceOracle"].map((name) => new Contract(name));
await registry.send(undefined, from, from, 0);
await verifier.send(undefined, registry.address, selector);
await registry.send("addVerifier", selector, verifier.address);
await oracle.send(undefined, registry.address);

// A model of the Solidity tests: one slice.
const { blob, modelDigest } = json("tests/solidity/fixtures/single.json");
const sent = await registry.send("writeChunk", blob);
await registry.send("register", [sent.logs[0].topics[1]], zero);

const bundle = { modelDigest, context: 1, owner: 0, coverage: 0, words: [], commitments: [], proofs: [] };
const request = {
  modelDigest, inputs: [zero], verifier: selector, minCoverage: 0, feeToken: nobody, fee: 0, deadline: "0xffffffff",
  callback: nobody, callbackGas: 0,
};
const feed = {
  oracle: oracle.address, modelDigest, verifier: selector, source: from, outputIndex: 0, decimals: 18, maxAge: 60,
  description: "", sequencerUptimeFeed: nobody, gracePeriod: 0,
};
// Of the registry's, through the verifier, the oracle, a feed and a consumer.
await verifier.expect("ModelNotActive", "verifyBundle", { ...bundle, modelDigest: zero });
await oracle.expect("ModelNotActive", "request", { ...request, modelDigest: zero }, []);
await oracle.expect("VerifierNotActive", "request", { ...request, verifier: "0x00000002" }, []);
await new Contract("InferenceFeed").expect("NotRegistered", undefined, { ...feed, modelDigest: zero });
await new Contract("DigitConsumer").expect("NotRegistered", undefined, oracle.address, zero, selector);
// Of the verifier's, through the registry.
await registry.expect("ProofLengthMismatch", "reportEquivocation", selector, bundle, bundle);
// Of the oracle's, through a feed.
const served = new Contract("InferenceFeed");
await served.send(undefined, feed);
await served.expect("NoRound", "latestRoundData");
// Its own.
await oracle.expect("InputWordCountMismatch", "request", request, []);
// Of a board's, whose names are Bittensor's.
const board = new Contract("WeightBoard");
const rules = {
  netuid: 7, tempo: 19, minWeights: 0, maxWeight: 65535, commitReveal: true, revealPeriod: 1, rateLimit: 0, versionKey: 0,
};
await board.send(undefined, from, rules);
await board.expect("NoWeightsCommitFound", "revealWeights", 7, [], [], [], 0);
// Of a build at deployment on a chain that it is not for.
await new Contract("BundleVerifier0x09").expect("AdditionIsAt0x06", undefined, registry.address, selector);
await rpc("anvil_setChainId", 964);
await new Contract("BundleVerifier").expect("AdditionIsAt0x09", undefined, registry.address, selector);
await rpc("anvil_setChainId", 31337);
await registry.expect("NotGuardian", "freeze").then(
  () => {
    throw new Error("check-errors: a call that does not revert passes");
  },
  () => {},
);
console.log(`${count} reverts named by the ABI of the contract that was called, and by zksliceErrorsAbi`);
process.exit(0);
