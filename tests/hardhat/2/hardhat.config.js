// As Hardhat's sample has it, but for the compiler: npm's solc, where Hardhat would download one.
const { subtask } = require("hardhat/config");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");

subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async ({ solcVersion }) => ({
  compilerPath: process.env.SOLJSON,
  isSolcJs: true,
  version: solcVersion,
  longVersion: solcVersion,
}));

// Hardhat 2 compiles for "paris" unless told otherwise.
module.exports = { solidity: { version: process.env.SOLC_VERSION, settings: { evmVersion: "cancun" } } };
