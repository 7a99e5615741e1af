// Compiles the verifier that snarkjs wrote into a folder, and writes its code and the calldata of its proof there, as hexadecimal text.

import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(import.meta.url);
const solc = require("solc");
const { groth16 } = require("snarkjs");
const { Interface } = require("@ethersproject/abi");

const folder = process.argv[2];
const read = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));
const input = {
  language: "Solidity",
  sources: { "verifier.sol": { content: readFileSync(join(folder, "verifier.sol"), "utf8") } },
  settings: { optimizer: { enabled: true, runs: 200 }, outputSelection: { "*": { "*": ["abi", "evm.deployedBytecode.object"] } } },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const contract = output.contracts?.["verifier.sol"].Groth16Verifier;
if (!contract) throw new Error(output.errors.map((error) => error.formattedMessage).join("\n"));
const call = JSON.parse(`[${await groth16.exportSolidityCallData(read("proof.json"), read("public.json"))}]`);
writeFileSync(join(folder, "code.hex"), `0x${contract.evm.deployedBytecode.object}`);
writeFileSync(join(folder, "calldata.hex"), new Interface(contract.abi).encodeFunctionData("verifyProof", call));
process.exit(0);
