//! From a package to an answer on a chain, by the command alone: requests, relaying once, results; and a forge project's own test with a
//! real proof.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::chain::{Anvil, KEYS, signer};
use crate::scene::{Scene, files, ok, refusal, refused, run, succeeded};
use alloy::primitives::{Address, U256};
use alloy::sol_types::{SolCall, SolValue};
use serde_json::{Value, json};
use zkslice_chain::bindings::InferenceOracle::requestCall;
use zkslice_slicer::Package;
use zkslice_tests::{repository, zkslice};

/// A chain with a deployed model, and keys: 0 deploys and asks, 1 relays.
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) anvil: Anvil,
    pub(crate) oracle: String,
}

impl World {
    fn new(input: &str) -> Self {
        let scene = Scene::new();
        scene.compile("pkg", 2, input);
        ok!("setup", scene.path("pkg"));
        Self::with(scene, &["pkg"])
    }

    /// With packages of the scene that have keys.
    pub(crate) fn with(scene: Scene, packages: &[&str]) -> Self {
        let packages: Vec<String> = packages.iter().map(|package| scene.path(package).display().to_string()).collect();
        let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
        let mut world = Self { scene, anvil: Anvil::start(31337), oracle: String::new() };
        for (name, key) in ["my.key", "relayer.key"].iter().zip(KEYS) {
            let path = world.scene.write(name, key.as_bytes());
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        world.oracle = world.deploy(&packages)["oracle"].as_str().unwrap().to_owned();
        world
    }

    fn deploy(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(zkslice());
        command.args(["deploy", "--json", "--rpc-url", &self.anvil.url, "--private-key-file"]).arg(self.scene.path("my.key"));
        succeeded(command.arg("--deployments").arg(self.scene.path("deployments")).args(arguments).output().unwrap().into())
    }

    pub(crate) fn request(&self, package: &str, arguments: &[&str]) -> zkslice_tests::Ran {
        let mut command = Command::new(zkslice());
        command
            .args(["request", &self.oracle, "--json", "--rpc-url", &self.anvil.url, "--private-key-file"])
            .arg(self.scene.path("my.key"));
        command.arg("--model").arg(self.scene.path(package)).args(arguments);
        if !arguments.contains(&"--input") {
            command.arg("--input").arg(self.scene.input());
        }
        command.output().unwrap().into()
    }

    fn result(&self, id: &str) -> Value {
        self.result_of("pkg", id)
    }

    pub(crate) fn result_of(&self, package: &str, id: &str) -> Value {
        ok!("result", self.oracle, id, "--rpc-url", self.anvil.url, "--model", self.scene.path(package))
    }

    /// A relayer's configuration; `more` are further lines.
    pub(crate) fn relayer(&self, more: &str) -> PathBuf {
        let text = format!(
            "version = 1\nrpc_url = \"{}\"\nchain_id = 31337\noracle = \"{}\"\nkey_file = \"relayer.key\"\ndatabase = \"relayer.sqlite\"\n\
             max_fee_per_gas = \"50 gwei\"\nmax_gas = 5_000_000\ndaily_spend_cap = \"1 ether\"\nmin_fee = 0\npoll_interval_ms = 50\n{more}",
            self.anvil.url, self.oracle
        );
        self.scene.write("relayer.toml", text.as_bytes())
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_request_is_made_relayed_and_read() {
    let world = World::new("public");
    let made = succeeded(world.request("pkg", &["--fee", "0.01 ether"]));
    let id = made["request"].as_str().unwrap();
    assert_eq!(made["requester"], json!(signer(0).address()));
    let open = world.result(id);
    assert_eq!((&open["status"], &open["overdue"], &open["outputs"]), (&json!("open"), &json!(false), &Value::Null));
    assert_eq!(open["fee_wei"], "10000000000000000");
    // The request's block may be some seconds later than the block from which the deadline was counted.
    let time = |field: &str| open[field].as_u64().unwrap();
    assert!((3500..=3600).contains(&(time("deadline") - time("requested_at"))), "{open}");

    let config = world.relayer("models = [\"pkg\"]\nconfirmations = 0\n");
    let relayed = ok!("relay", "--config", config, "--once");
    assert!(relayed["events"].as_array().unwrap().iter().any(|event| event.as_str().unwrap().starts_with("Done")), "{relayed}");
    // Blocks of no interest, more than a node gives logs of at once.
    block_on(world.anvil.mine(1500));
    let done = world.result(id);
    assert_eq!((&done["status"], &done["callback_failed"]), (&json!("fulfilled"), &json!(false)));
    assert_eq!(done["answer"]["beneficiary"], json!(signer(1).address()));
    // The same numbers as without a chain.
    let evaluated = ok!("run", world.scene.path("pkg"), "--inputs", world.scene.input());
    assert_eq!(done["outputs"], evaluated["answers"][0]);
    // Without the package, the words as cast takes them.
    let text = run!("result", world.oracle, id, "--rpc-url", world.anvil.url).stdout;
    let words: Vec<&str> = done["output_words"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert!(text.contains(&format!("[{}]", words.join(","))) && text.contains("fulfilled"), "{text}");

    // A request that nobody answers in time, then is refunded.
    let late = succeeded(world.request("pkg", &["--deadline", "+5"]));
    let late = late["request"].as_str().unwrap();
    block_on(async {
        world.anvil.rpc("evm_increaseTime", json!([10])).await;
        world.anvil.mine(1).await;
    });
    assert_eq!(world.result(late)["overdue"], true);
    assert!(run!("result", world.oracle, late, "--rpc-url", world.anvil.url).stdout.contains("anyone may refund"));

    let absent = format!("0x{}", "7".repeat(64));
    refused!(1, ["ZKS-CHAIN-053", "no request"], "result", world.oracle, absent, "--rpc-url", world.anvil.url);
    let nobody = "0x00000000000000000000000000000000000000aa";
    refused!(1, ["ZKS-CHAIN-050", "there is no code"], "result", nobody, id, "--rpc-url", world.anvil.url);
}

/// Functions, products of computed values, quotients and roots, from ONNX to an answer: to the contracts a model is words and slices,
/// whatever its circuits compute.
#[test]
fn recurrent_and_attention_models_are_answered_for_the_same_gas() {
    let scene = Scene::new();
    let cases =
        [("plain", "mlp_digits", "1"), ("recurrent", "lstm_s8h16", "1"), ("attention", "tblock_d64s8", "1"), ("cut", "lstm_s8h16", "2")];
    for (package, model, slices) in cases {
        let folder = zkslice_tests::model(model);
        let path = scene.path(package);
        ok!("compile", folder.join("model.onnx"), "--samples", folder.join("samples.json"), "--slices", slices, "-o", path);
    }
    let packages = ["plain", "recurrent", "attention", "cut"];
    let [plain, recurrent, attention, cut] = packages.map(|package| scene.path(package));
    ok!("setup", plain, recurrent, attention, cut);
    for (package, operators) in [("recurrent", &["Table", "Product"][..]), ("attention", &["Table", "MatMul", "Divide", "Sqrt"])] {
        let package = Package::open(&scene.path(package)).unwrap();
        let has = |name: &&&str| package.slices()[0].graph.nodes.iter().any(|node| format!("{:?}", node.op).starts_with(**name));
        assert!(operators.iter().all(|name| has(&name)), "{operators:?}");
    }
    let world = World::with(scene, &packages);
    let config = world.relayer(&format!("models = {packages:?}\nconfirmations = 0\n"));
    let mut gas = Vec::new();
    // The plain one twice: a relayer's first credit is a new slot, which later ones need not pay for.
    for (package, model, _) in cases.iter().take(1).chain(&cases) {
        let folder = zkslice_tests::model(model);
        let input = folder.join("input.json");
        let made = succeeded(world.request(package, &["--fee", "0.01 ether", "--input", input.to_str().unwrap()]));
        ok!("relay", "--config", config, "--once");
        let done = world.result_of(package, made["request"].as_str().unwrap());
        assert_eq!(done["status"], "fulfilled", "{package}: {done}");
        // The integer model's answer, which is ONNX Runtime's.
        assert_eq!(done["outputs"], ok!("run", world.scene.path(package), "--inputs", input)["answers"][0]);
        let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let numbers = |value: &Value| -> Vec<f64> { serde_json::from_value(value[0].clone()).unwrap() };
        let (answer, expected) = (numbers(&done["outputs"]), numbers(&expected["output_data"]));
        assert_eq!(zkslice_compiler::arg_max(&answer), zkslice_compiler::arg_max(&expected));
        assert!(answer.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 0.3), "{package}: {answer:?} where {expected:?}");
        let receipt = block_on(world.anvil.rpc("eth_getTransactionReceipt", json!([done["answer"]["transaction"]])));
        let used = receipt["gasUsed"].as_str().unwrap();
        gas.push(u64::from_str_radix(used.trim_start_matches("0x"), 16).unwrap());
    }
    println!("gas of fulfilments: {gas:?}");
    let [_, plain, recurrent, attention, _] = gas[..] else { unreachable!("five fulfilments") };
    // Zero bytes of a proof and of words are cheaper than others.
    assert!(plain.abs_diff(recurrent) < 600 && plain.abs_diff(attention) < 600, "{gas:?}");
}

#[test]
fn private_inputs_are_requested_by_commitment() {
    let world = World::new("private");
    refusal(world.request("pkg", &[]), 2, &["private", "--openings"]);
    let openings = world.scene.path("openings");
    let made = succeeded(world.request("pkg", &["--fee", "0.01 ether", "--openings", openings.to_str().unwrap()]));
    assert_eq!(files(&openings).len(), 1);
    let config = world.relayer("models = [\"pkg\"]\nopenings = \"openings\"\nconfirmations = 0\n");
    ok!("relay", "--config", config, "--once");
    assert_eq!(world.result(made["request"].as_str().unwrap())["status"], "fulfilled");
}

#[test]
fn requests_that_cannot_be_are_not_sent() {
    let world = World::new("public");
    let nonce = || block_on(async { world.anvil.chain().await.nonce(signer(0).address()).await.unwrap() });
    let before = nonce();
    // A model that the registry does not know: what to run is said.
    let other = Scene::of("mlp_digits");
    other.compile("pkg", 1, "public");
    ok!("setup", other.path("pkg"));
    let package = other.path("pkg");
    refusal(world.request(package.to_str().unwrap(), &[]), 1, &["ZKS-CHAIN-051", "is unknown", "zkslice deploy <package>"]);
    refusal(world.request("pkg", &["--deadline", "1000"]), 1, &["InferenceOracle.request reverts: DeadlinePassed"]);
    refusal(world.request("pkg", &["--deadline", "soon"]), 2, &["--deadline", "+3600"]);
    refusal(world.request("pkg", &["--fee", "1 eth"]), 2, &["--fee", "0.001 ether"]);
    refusal(world.request("pkg", &["--fee", "20000 ether"]), 1, &["ZKS-CHAIN-014"]);
    refusal(world.request("pkg", &["--min-coverage", "1"]), 2, &["--coverage-policy"]);
    refusal(world.request("pkg", &["--chain-id", "1"]), 1, &["ZKS-CHAIN-003"]);
    let nan = world.scene.write("nan.json", br#"{"input_data": [[NaN]]}"#);
    refusal(world.request("pkg", &["--input", nan.to_str().unwrap()]), 2, &["nan.json", "element 0: NaN is not a finite number"]);
    assert_eq!(nonce(), before);
    // Results of another model are not decoded by this package.
    let made = succeeded(world.request("pkg", &[]));
    let id = made["request"].as_str().unwrap();
    refused!(2, ["the request is of model"], "result", world.oracle, id, "--rpc-url", world.anvil.url, "--model", package);
}

/// The words that `encode` prints are one argument: here as cast gives it to the oracle.
#[test]
fn words_are_an_argument_of_cast() {
    let world = World::new("public");
    let printed = run!("encode", world.scene.path("pkg"), "--input", world.scene.input(), "--words").stdout;
    let foundry = repository().join("script/foundry");
    let out = Command::new(foundry).args(["cast", "calldata", "f(uint256[])", printed.trim()]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let calldata = hex::decode(String::from_utf8(out.stdout).unwrap().trim().trim_start_matches("0x")).unwrap();
    let words = <Vec<U256>>::abi_decode(&calldata[4..]).unwrap();
    let encoded = ok!("encode", world.scene.path("pkg"), "--input", world.scene.input(), "--deadline", "4000000000");
    let call = hex::decode(&encoded["calldata"].as_str().unwrap()[2..]).unwrap();
    assert_eq!(requestCall::abi_decode(&call).unwrap().words, words);
    assert!(run!("encode", world.scene.path("pkg"), "--input", world.scene.input()).stdout.contains(printed.trim()));
}

/// On a chain that has just begun, and mines only on demand, the relayer says what it waits for, and goes on once that is there.
#[test]
fn relaying_once_waits_for_confirmations_and_says_so() {
    let world = World::new("public");
    let made = succeeded(world.request("pkg", &["--fee", "0.01 ether"]));
    let config = world.relayer("models = [\"pkg\"]\nconfirmations = 3\n");
    let mut child = Command::new(zkslice())
        .args(["relay", "--once", "--json", "--config"])
        .arg(config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let block = made["block"].as_u64().unwrap();
    // The log as it comes, until a line says what is waited for.
    let mut log = child.stderr.take().unwrap();
    let mut heard = String::new();
    let mut listen = |until: &str| {
        let mut buffer = [0; 4096];
        while !heard.contains(until) {
            let count = log.read(&mut buffer).unwrap();
            assert!(count > 0, "the relayer ended without `{until}`:\n{heard}");
            heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    listen(&format!("waiting for 3 more blocks on top of block {block}"));
    block_on(world.anvil.mine(3));
    // Then its own transaction has to be confirmed.
    listen("waiting for 3 more blocks on top of block");
    listen(&format!("on top of block {}", block + 4));
    block_on(world.anvil.mine(3));
    std::thread::spawn(move || log.read_to_string(&mut String::new()));
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    assert_eq!(world.result(made["request"].as_str().unwrap())["status"], "fulfilled");
}

#[test]
fn a_relayer_that_can_do_nothing_says_why() {
    let world = World::new("public");
    let config = world.relayer("confirmations = 0\n");
    refused!(2, ["relayer.toml", "`models` is empty", "models = [\"pkg\"]"], "relay", "--config", config, "--once");
    ok!("relay", "--config", config, "--withdraw");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("50 gwei", "50")).unwrap();
    refused!(2, ["`50` has no unit", "\"50 gwei\""], "relay", "--config", config, "--once");
    // A package whose model is not registered: said, and not fatal, since it may yet be.
    let other = Scene::of("mlp_digits");
    other.compile("pkg", 1, "public");
    ok!("setup", other.path("pkg"));
    let config = world.relayer(&format!("confirmations = 0\nmodels = [{:?}]\n", other.path("pkg")));
    let ran = run!("relay", "--config", config, "--once");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("is unknown in the registry") && ran.stderr.contains("zkslice deploy"), "{}", ran.stderr);
}

/// By default nothing is sent at a loss.
#[test]
fn an_unprofitable_request_waits() {
    let world = World::new("public");
    let made = succeeded(world.request("pkg", &["--fee", "1 wei"]));
    let config = world.relayer("models = [\"pkg\"]\nconfirmations = 0\n");
    let events = ok!("relay", "--config", config, "--once");
    assert!(events.to_string().contains("its fee is 1 wei"), "{events}");
    assert_eq!(world.result(made["request"].as_str().unwrap())["status"], "open");
    let config = world.relayer("models = [\"pkg\"]\nconfirmations = 0\nrequire_profit = false\n");
    ok!("relay", "--config", config, "--once");
    assert_eq!(world.result(made["request"].as_str().unwrap())["status"], "fulfilled");
}

#[test]
fn a_feed_names_the_outputs_that_there_are() {
    let world = World::new("public");
    let source = Address::repeat_byte(7).to_string();
    let package = world.scene.path("pkg");
    let feed = format!("{source},10,8,3600");
    let key = world.scene.path("my.key");
    let words = ["--feed", "no output element 10", "0 to 9 are output 'output'"];
    refused!(2, words, "deploy", package, "--rpc-url", world.anvil.url, "--private-key-file", key, "--feed", feed);
}

/// A forge project as docs/contracts.md makes it, with forge's default settings.
fn project(folder: &Path) {
    let link = |to: PathBuf, name: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, path).unwrap();
    };
    for (to, name) in [
        ("contracts", "node_modules/@zkslice/contracts"),
        ("node_modules/@openzeppelin/contracts", "node_modules/@openzeppelin/contracts"),
        ("node_modules/@uniswap/v4-core/lib/forge-std", "lib/forge-std"),
    ] {
        link(repository().join(to), name);
    }
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("foundry.toml", "[profile.default]\nsrc = \"src\"\nout = \"out\"\nlibs = [\"lib\"]\n");
    write(
        "remappings.txt",
        "@zkslice/contracts/=node_modules/@zkslice/contracts/\n@openzeppelin/contracts/=node_modules/@openzeppelin/contracts/\nforge-std/=lib/forge-std/src/\n",
    );
    write("src/Digits.sol", CONSUMER);
    write("test/Digits.t.sol", CONSUMER_TEST);
}

/// Somebody's consumer, which decodes the answer by the model's exported library.
const CONSUMER: &str = r#"// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {InferenceConsumer} from "@zkslice/contracts/consumers/InferenceConsumer.sol";
import {IInferenceOracle} from "@zkslice/contracts/interfaces/IInferenceOracle.sol";
import {MlpDigitsModel} from "./MlpDigits/MlpDigitsModel.sol";

contract Digits is InferenceConsumer {
    mapping(bytes32 requestId => uint256) public classPlusOne;

    constructor(IInferenceOracle oracle_) InferenceConsumer(oracle_) {}

    function ask(uint256[] calldata words) external payable returns (bytes32 requestId) {
        IInferenceOracle.Request memory request;
        request.modelDigest = MlpDigitsModel.DIGEST;
        request.inputs = new bytes32[](1);
        request.inputs[0] = keccak256(abi.encodePacked(words));
        request.verifier = 0x00000001;
        request.fee = msg.value;
        request.deadline = uint64(block.timestamp + 1 hours);
        request.callbackGas = 100_000;
        return _request(request, words);
    }

    function _onInference(bytes32 requestId, uint256[] calldata outputWords) internal override {
        classPlusOne[requestId] = 1 + MlpDigitsModel.output0ArgMax(outputWords);
    }
}
"#;

/// As the fixture's comment shows.
const CONSUMER_TEST: &str = r#"// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Digits} from "../src/Digits.sol";
import {MlpDigitsFixture} from "./MlpDigitsFixture.t.sol";

contract DigitsTest is MlpDigitsFixture {
    Digits digits;

    function ask(uint256 fee) internal returns (bytes32 id) {
        vm.startPrank(DEPLOYER);
        digits = new Digits(oracle);
        id = digits.ask{value: fee}(inputWords());
        vm.stopPrank();
    }

    function fulfilExternally(bytes32 id) external {
        fulfil(id);
    }

    function test_RealProof() public {
        bytes32 id = ask(FEE);
        fulfil(id);
        assertFalse(oracle.callbackFailed(id));
        assertEq(digits.classPlusOne(id), 1 + OUTPUT_0_ARG_MAX);
    }

    function test_AnotherFeeIsAnotherRequest() public {
        bytes32 id = ask(FEE / 2);
        try this.fulfilExternally(id) {
            revert("taken");
        } catch Error(string memory reason) {
            assertNotEq(vm.indexOf(reason, "--fee"), type(uint256).max);
        }
    }

    function test_AnotherConsumerIsNamed() public {
        digits = new Digits(oracle);
        vm.deal(address(this), FEE);
        bytes32 id = digits.ask{value: FEE}(inputWords());
        try this.fulfilExternally(id) {
            revert("taken");
        } catch Error(string memory reason) {
            assertNotEq(vm.indexOf(reason, "DEPLOYER"), type(uint256).max);
        }
    }
}
"#;

fn forge(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(repository().join("script/foundry"));
    command
        .arg("forge")
        .args(arguments)
        .arg("--root")
        .arg(folder)
        .env("FOUNDRY_SOLC", repository().join("script/solc"))
        .env("NO_COLOR", "1");
    let out = command.output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
fn a_fixture_proves_to_a_consumer_in_a_project_of_its_own() {
    let scene = Scene::new();
    let folder = scene.path("project");
    project(&folder);
    for (name, input) in [("digits", "public"), ("hidden", "private")] {
        let compiled =
            ok!("compile", scene.model(), "--samples", scene.samples(), "--slices", "2", "--input", input, "-o", scene.path(name));
        assert_eq!(compiled["name"], "mlp_digits");
    }
    ok!("setup", scene.path("digits"), scene.path("hidden"));
    let written = ok!("fixture", scene.path("digits"), "--input", scene.input(), "-o", folder.join("test"));
    let file = folder.join("test/MlpDigitsFixture.t.sol");
    assert_eq!((&written["contract"], Path::new(written["file"].as_str().unwrap())), (&json!("MlpDigitsFixture"), file.as_path()));
    ok!("export", scene.path("digits"), "--into", folder);
    let hidden = folder.join("test/Hidden.t.sol");
    ok!("fixture", scene.path("hidden"), "--input", scene.input(), "--fee", "0", "--deadline", "+60", "-o", hidden);
    // Both fixtures are of one name.
    let text = std::fs::read_to_string(&hidden).unwrap().replace("MlpDigitsFixture", "HiddenFixture");
    std::fs::write(&hidden, text).unwrap();
    let log = forge(&folder, &["test", "--offline"]);
    assert!(log.contains("7 tests passed, 0 failed"), "{log}");
    let log = forge(&folder, &["fmt", "--check", file.to_str().unwrap()]);
    assert!(!log.contains("Diff") && !log.contains("rror"), "{log}");

    // An earlier fixture is replaced; what is somebody's own is not.
    ok!("fixture", scene.path("digits"), "--input", scene.input(), "-o", file);
    let own = folder.join("test/Digits.t.sol");
    refused!(2, ["Digits.t.sol", "not an earlier fixture"], "fixture", scene.path("digits"), "--input", scene.input(), "-o", own);
}
