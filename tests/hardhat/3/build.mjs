// `hardhat build`, without the command line, which wants Node 22. All that Node 20 lacks is iterators' methods.
import "core-js/actual/iterator/index.js";
import { createHardhatRuntimeEnvironment } from "hardhat/hre";

const solidity = { profiles: { default: { version: process.env.SOLC_VERSION, path: process.env.SOLJSON } } };
const hre = await createHardhatRuntimeEnvironment({ solidity }, { config: "hardhat.config.js" }, process.cwd());
await hre.tasks.getTask("build").run({});
