//! Deployments by the command: the same addresses on every chain, dry runs, kills, and chains that are not as their manifests say.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::chain::{Anvil, KEYS, signer};
use crate::scene::{Scene, ok, refusal, refused, run, succeeded};
use alloy::primitives::{Address, B256, Bytes, address, keccak256};
use alloy::providers::Provider;
use alloy::sol_types::SolCall;
use serde_json::{Value, json};
use zkslice_chain::Manifest;
use zkslice_chain::bindings::ModelRegistry;
use zkslice_chain::constants::VERIFIER_SELECTOR;
use zkslice_tests::{repository, zkslice};

const GUARDIAN: Address = address!("00000000000000000000000000000000000000a1");

/// A chain, its manifest and the deployer's key.
struct World {
    scene: Scene,
    anvil: Anvil,
    chain_id: u64,
}

impl World {
    fn new(chain_id: u64) -> Self {
        Self::with(chain_id, &[])
    }

    fn with(chain_id: u64, anvil_arguments: &[&str]) -> Self {
        let scene = Scene::new();
        let key = scene.write("deployer.key", KEYS[0].as_bytes());
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Self { scene, anvil: Anvil::with(chain_id, anvil_arguments), chain_id }
    }

    /// With a model that has keys.
    fn with_package(chain_id: u64) -> Self {
        let world = Self::new(chain_id);
        world.scene.compile("pkg", 1, "public");
        ok!("setup", world.scene.path("pkg"));
        world
    }

    fn manifest(&self) -> PathBuf {
        self.scene.path("deployments").join(format!("{}.json", self.chain_id))
    }

    fn read(&self) -> Manifest {
        Manifest::load(&self.manifest()).unwrap().unwrap()
    }

    fn deploy_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(zkslice());
        command.args(["deploy", "--json", "--rpc-url", &self.anvil.url, "--private-key-file"]).arg(self.scene.path("deployer.key"));
        command.arg("--deployments").arg(self.scene.path("deployments")).args(arguments);
        command
    }

    fn deploy(&self, arguments: &[&str]) -> Value {
        succeeded(self.deploy_command(arguments).output().unwrap().into())
    }

    fn deploy_package(&self, arguments: &[&str]) -> Value {
        let package = self.scene.path("pkg");
        self.deploy(&[&[package.to_str().unwrap()], arguments].concat())
    }

    /// The differences between the chain and the manifest, of which there must be some.
    fn differences(&self) -> Vec<String> {
        differences(&self.anvil.url, &self.manifest())
    }

    fn assert_differs(&self, expected: &str) {
        let found = self.differences();
        assert!(found.iter().any(|difference| difference.starts_with(expected)), "'{expected}' is not among {found:?}");
    }

    fn assert_fits(&self) {
        let checked = ok!("deployments", "check", "--rpc-url", self.anvil.url, self.manifest());
        assert_eq!(
            checked,
            json!({ "ok": true, "manifests": [{ "manifest": self.manifest(), "chain_id": self.chain_id, "differences": [] }] })
        );
    }

    fn rpc(&self, method: &'static str, parameters: Value) -> Value {
        block_on(self.anvil.rpc(method, parameters))
    }

    /// A call of the deployer's account, for which the node signs.
    fn call(&self, to: Address, call: &impl SolCall) {
        let (from, data) = (signer(0).address(), Bytes::from(call.abi_encode()));
        self.send(json!({ "from": from, "to": to, "data": data, "gas": "0x4c4b40" }));
    }

    /// Sends what the node signs, and waits until it is mined.
    fn send(&self, transaction: Value) {
        let hash = self.rpc("eth_sendTransaction", json!([transaction]));
        let receipt = loop {
            match self.rpc("eth_getTransactionReceipt", json!([hash])) {
                Value::Null => std::thread::sleep(Duration::from_millis(5)),
                receipt => break receipt,
            }
        };
        assert_eq!(receipt["status"], "0x1");
    }

    /// The code at an address becomes other code, until the next change.
    fn with_code(&self, address: Address, code: &[u8], test: impl FnOnce(&Self)) {
        let before = self.rpc("eth_getCode", json!([address, "latest"]));
        self.rpc("anvil_setCode", json!([address, Bytes::copy_from_slice(code)]));
        test(self);
        self.rpc("anvil_setCode", json!([address, before]));
        self.assert_fits();
    }

    fn transactions(&self) -> u64 {
        block_on(async { self.anvil.chain().await.nonce(signer(0).address()).await.unwrap() })
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn differences(url: &str, manifest: &Path) -> Vec<String> {
    let ran = run!("deployments", "check", "--rpc-url", url, manifest, "--json");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(value["ok"], false);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found = value["manifests"][0]["differences"].as_array().unwrap();
    let found: Vec<String> = found.iter().map(|d| format!("{}: {}", text(&d["subject"]), text(&d["what"]))).collect();
    assert!(!found.is_empty());
    found
}

/// For chains of every kind: the delay of public ones.
const PARAMETERS: [&str; 6] = [
    "--owner",
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "--guardian",
    "0x00000000000000000000000000000000000000a1",
    "--delay",
    "86400",
];

#[test]
fn the_same_parameters_give_the_same_addresses_on_every_chain() {
    let worlds = [World::new(31337), World::new(1), World::new(42161)];
    // What was sent before changes nothing.
    worlds[1].rpc("anvil_setNonce", json!([signer(0).address(), "0x64"]));
    let deployed = worlds.each_ref().map(|world| world.deploy(&PARAMETERS));
    for (world, value) in worlds.iter().zip(&deployed) {
        assert_eq!((&value["chain_id"], &value["transactions"]), (&world.chain_id.into(), &4.into()));
        for contract in ["registry", "verifier", "oracle"] {
            assert_eq!(value[contract], deployed[0][contract], "{contract}");
        }
        world.assert_fits();
        let manifest = world.read();
        for record in [manifest.model_registry, manifest.bundle_verifier, manifest.inference_oracle] {
            let record = record.unwrap();
            assert!(record.block.is_some() && record.tx_hash.is_some());
        }
        // Sources and settings, for explorers, beside it.
        let input = world.manifest().with_extension("standard-input.json");
        let input: Value = serde_json::from_slice(&std::fs::read(input).unwrap()).unwrap();
        assert!(input["sources"]["contracts/InferenceOracle.sol"]["content"].as_str().unwrap().contains("contract InferenceOracle"));
    }
    // The oracle's code has the chain in it, and its address has not.
    let [local, main, _] = worlds.each_ref().map(|world| world.read().inference_oracle.unwrap());
    assert_eq!((local.address, local.init_code_hash), (main.address, main.init_code_hash));
    assert_ne!(local.code_hash, main.code_hash);

    // Without a manifest, what is on the chain is found, and nothing is sent.
    std::fs::remove_file(worlds[1].manifest()).unwrap();
    assert_eq!(worlds[1].deploy(&PARAMETERS)["transactions"], 0);
    worlds[1].assert_fits();
    assert_eq!(worlds[1].read().bundle_verifier.unwrap().tx_hash, None);

    // Other parameters are another registry, and everything else with it.
    let other = World::new(31338);
    let value = other.deploy(&["--guardian", "0x00000000000000000000000000000000000000a2", "--delay", "86400"]);
    for contract in ["registry", "verifier", "oracle"] {
        assert_ne!(value[contract], deployed[0][contract]);
    }

    // Several manifests at once, each with its chain.
    let urls = worlds.each_ref().map(|world| world.anvil.url.as_str());
    let manifests = worlds.each_ref().map(World::manifest);
    let all = ok!("deployments", "check", "--rpc-url", urls[0], "--rpc-url", urls[1], manifests[1], manifests[0]);
    assert_eq!(all["manifests"].as_array().unwrap().len(), 2);
    let ran = run!("deployments", "check", "--rpc-url", urls[0], "--rpc-url", urls[1], manifests[2]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("no --rpc-url is of its chain, 42161"), "{ran:?}");
}

#[test]
fn a_dry_run_says_all_and_does_nothing() {
    let world = World::with_package(31337);
    let dry = world.deploy_package(&["--dry-run", "--consumer"]);
    assert_eq!((&dry["ok"], world.transactions(), world.manifest().exists()), (&json!(true), 0, false));
    let deployed = world.deploy_package(&["--consumer"]);
    for contract in ["registry", "verifier", "oracle"] {
        assert_eq!(dry[contract], deployed[contract]);
    }
    assert_eq!(dry["steps"].as_array().unwrap().len() as u64, deployed["transactions"].as_u64().unwrap());
    // The same transactions on the same state; addresses of other nonces have other zero bytes.
    let (expected, gas) = (dry["gas"].as_u64().unwrap(), deployed["gas"].as_u64().unwrap());
    assert!(expected.abs_diff(gas) < gas / 200, "{expected} and {gas}");
    let wei = |key: &str| dry[key].as_str().unwrap().parse::<u128>().unwrap();
    assert!(0 < wei("cost_wei") && wei("cost_wei") < wei("max_cost_wei") && wei("max_cost_wei") < wei("balance_wei"));

    // Once all is there, nothing is left.
    let again = world.deploy_package(&["--dry-run", "--consumer"]);
    assert_eq!((&again["gas"], &again["ok"]), (&json!(0), &json!(true)));
    assert!(again["steps"].as_array().unwrap().iter().all(|step| step["outcome"]["outcome"] == "done"));

    // Steps that another owner would have to take, and steps that fail.
    let theirs = World::with_package(31337);
    let owner = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    let package = theirs.scene.path("pkg");
    let ran = theirs.deploy_command(&[package.to_str().unwrap(), "--dry-run", "--owner", owner]).output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    let dry: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let outcomes: Vec<&str> = dry["steps"].as_array().unwrap().iter().map(|step| step["outcome"]["outcome"].as_str().unwrap()).collect();
    assert_eq!((&dry["ok"], &outcomes[..]), (&json!(false), &["sent", "sent", "sent", "sent", "owner", "owner"][..]));
    // The real run does what anybody may do, then says what is left, as calldata that the owner can send.
    let refused =
        refusal(theirs.deploy_command(&[package.to_str().unwrap(), "--owner", owner]).output().unwrap().into(), 1, &["ZKS-CHAIN-038"]);
    assert_eq!(theirs.transactions(), 4);
    for step in &dry["steps"].as_array().unwrap()[4..] {
        let data = step["outcome"]["data"].as_str().unwrap();
        assert!(refused.contains(data), "{refused}");
        theirs.send(json!({ "from": owner, "to": dry["registry"], "data": data, "gas": "0x4c4b40" }));
    }
    assert_eq!(theirs.deploy_package(&["--owner", owner])["transactions"], 0);
    theirs.assert_fits();
}

#[test]
fn every_difference_is_named() {
    let world = World::with_package(31337);
    world.deploy_package(&["--consumer", "--guardian", &GUARDIAN.to_string()]);
    world.assert_fits();
    let text = std::fs::read_to_string(world.manifest()).unwrap();
    let manifest = world.read();
    let [registry, verifier, oracle] =
        [&manifest.model_registry, &manifest.bundle_verifier, &manifest.inference_oracle].map(|record| record.clone().unwrap());
    let consumer = manifest.consumers[0].contract.clone();
    let digest = *manifest.models.keys().next().unwrap();

    // Code that changed, and code that is gone.
    for (name, record) in [("ModelRegistry", &registry), ("BundleVerifier", &verifier), ("InferenceOracle", &oracle)] {
        world.with_code(record.address, &[0xfe], |world| {
            world.assert_differs(&format!("{name}: its code hash is {}", keccak256([0xfe])));
            world.assert_differs(&format!("{name}: its creation code makes code {} here", record.code_hash));
        });
        world.with_code(record.address, &[], |world| world.assert_differs(&format!("{name}: there is no code at {}", record.address)));
    }
    world.with_code(consumer.address, &[0xfe], |world| world.assert_differs(&format!("DigitConsumer of {digest}: its code hash is")));

    // A manifest that goes along with the change: the code is still not what the creation code makes.
    world.with_code(oracle.address, &[0xfe], |world| {
        std::fs::write(world.manifest(), text.replace(&oracle.code_hash.to_string(), &keccak256([0xfe]).to_string())).unwrap();
        assert_eq!(world.differences().len(), 1);
        world.assert_differs("InferenceOracle: its creation code makes code");
        std::fs::write(world.manifest(), &text).unwrap();
    });
    // Manifests that say what cannot be.
    let digest_text = digest.to_string();
    for (from, to, difference) in [
        (oracle.address.to_string().to_lowercase(), verifier.address.to_string().to_lowercase(), "InferenceOracle: "),
        (oracle.init_code_hash.to_string(), B256::repeat_byte(7).to_string(), "InferenceOracle: it is of another build"),
        (oracle.init_code_hash.to_string(), B256::repeat_byte(7).to_string(), "InferenceOracle: 0x"),
        ("\"delay\": 0".to_owned(), "\"delay\": 1".to_owned(), "ModelRegistry: the manifest's parameters"),
        ("\"dev\": true".to_owned(), "\"dev\": false".to_owned(), &format!("model {digest}: its dev flag is true on the chain")),
        (digest_text, B256::repeat_byte(7).to_string(), &format!("model {}: it is unknown", B256::repeat_byte(7))),
        ("\"0x00000001\"".to_owned(), "\"0x00000002\"".to_owned(), "verifier 0x00000002: it is unknown"),
    ] {
        assert!(text.contains(&from), "{from}");
        std::fs::write(world.manifest(), text.replace(&from, &to)).unwrap();
        world.assert_differs(difference);
    }
    std::fs::write(world.manifest(), &text).unwrap();
    world.assert_fits();

    // Another chain, with the very same contracts or with nothing.
    let other = World::new(31338);
    assert_eq!(differences(&other.anvil.url, &world.manifest()), ["manifest: it is of chain 31337, the node of chain 31338"]);
    let fresh = World::new(31337);
    let found = differences(&fresh.anvil.url, &world.manifest());
    assert_eq!(found.iter().filter(|difference| difference.contains("there is no code at")).count(), 4, "{found:?}");

    // What those in charge did. It is for ever, so one after the other, least first.
    world.call(registry.address, &ModelRegistry::setGuardianCall { guardian_: signer(2).address() });
    world.assert_differs(&format!("ModelRegistry: its guardian is {}", signer(2).address()));
    world.call(registry.address, &ModelRegistry::tombstoneCall { modelDigest: digest });
    world.assert_differs(&format!("model {digest}: it is tombstoned"));
    world.call(registry.address, &ModelRegistry::tombstoneVerifierCall { selector: VERIFIER_SELECTOR });
    world.assert_differs(&format!("verifier {VERIFIER_SELECTOR}: it is tombstoned"));
    world.call(registry.address, &ModelRegistry::setGuardianCall { guardian_: signer(0).address() });
    world.call(registry.address, &ModelRegistry::freezeCall {});
    world.assert_differs("ModelRegistry: it was frozen");
    assert_eq!(world.differences().len(), 4);

    // Nothing to compare, and nothing to compare with.
    refused!(2, ["no such manifest"], "deployments", "check", "--rpc-url", world.anvil.url, world.scene.path("absent.json"));
    refused!(1, ["ZKS-CHAIN-002"], "deployments", "check", "--rpc-url", "http://127.0.0.1:1", world.manifest());
}

#[test]
fn a_deployment_killed_again_and_again_ends_as_one_that_was_not() {
    let whole = World::with_package(31337);
    let expected = whole.deploy_package(&["--consumer"]);
    let world = World::with(31337, &["--block-time", "1"]);
    copy(&whole.scene.path("pkg"), &world.scene.path("pkg"));
    let package = world.scene.path("pkg");
    let arguments = [package.to_str().unwrap(), "--consumer"];
    for round in 0..12_u64 {
        let mut child = world.deploy_command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150 + 97 * round));
        // SIGKILL.
        let _ = child.kill();
        child.wait().unwrap();
    }
    let ended = world.deploy(&arguments);
    for contract in ["registry", "verifier", "oracle"] {
        assert_eq!(ended[contract], expected[contract]);
    }
    assert_eq!(world.transactions(), whole.transactions(), "nothing was sent twice");
    assert_eq!(world.read().pending, None);
    world.assert_fits();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The same by code that shares nothing with the command: `tests/deployment/Manifest.t.sol`.
#[test]
fn forge_finds_two_chains_as_their_manifests_say_and_a_changed_one_not() {
    let worlds = [World::with_package(31337), World::with_package(31339)];
    for world in &worlds {
        world.deploy_package(&["--guardian", &GUARDIAN.to_string()]);
    }
    assert_eq!(worlds[0].read().inference_oracle.unwrap().address, worlds[1].read().inference_oracle.unwrap().address);
    let forge = |chain: &World, manifest: &World| {
        let mut command = Command::new(repository().join("script/forge"));
        // A build of its own: `make test` runs the contracts' tests at the same time. Nothing compiled here is deployed.
        let settings = [("SRC", "tests/deployment"), ("TEST", "tests/deployment"), ("OUT", "cache/deployment/out")];
        let settings = settings.into_iter().chain([("CACHE_PATH", "cache/deployment"), ("OPTIMIZER", "false")]);
        command.arg("test").envs(settings.map(|(name, value)| (format!("FOUNDRY_{name}"), value)));
        command.env("RPC_URL", &chain.anvil.url);
        command.env("MANIFEST", std::fs::read_to_string(manifest.manifest()).unwrap()).output().unwrap()
    };
    for world in &worlds {
        let out = forge(world, world);
        assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(String::from_utf8_lossy(&out.stdout).contains("5 passed; 0 failed"));
    }
    assert!(!forge(&worlds[0], &worlds[1]).status.success(), "another chain's manifest");
    let oracle = worlds[0].read().inference_oracle.unwrap().address;
    worlds[0].rpc("anvil_setCode", json!([oracle, "0xfe"]));
    assert!(!forge(&worlds[0], &worlds[0]).status.success(), "changed code");
}

#[test]
fn a_chain_without_the_proxy_gets_it_and_the_same_addresses() {
    let with = World::new(31337);
    let without = World::with(31337, &["--disable-default-create2-deployer"]);
    let dry = without.deploy(&["--dry-run"]);
    assert_eq!(dry["ok"], true);
    assert!(dry["steps"][1]["step"].as_str().unwrap().contains("create the deterministic deployment proxy"), "{dry}");
    let [expected, deployed] = [&with, &without].map(|world| world.deploy(&[]));
    for contract in ["registry", "verifier", "oracle"] {
        assert_eq!(deployed[contract], expected[contract]);
        assert_eq!(dry[contract], expected[contract]);
    }
    assert_eq!(without.transactions(), with.transactions() + 1, "one pays for the proxy");
    without.assert_fits();
    assert_eq!(without.deploy(&[])["transactions"], 0);

    // Where it cannot be made, that is said, and nothing is sent.
    let refuse = |world: &World, reason: &str| {
        refusal(world.deploy_command(&[]).output().unwrap().into(), 1, &["ZKS-CHAIN-046", reason]);
        assert_eq!(world.transactions(), 0);
    };
    let used = World::with(31337, &["--disable-default-create2-deployer"]);
    used.rpc("anvil_setNonce", json!([zkslice_chain::factory::CREATOR, "0x1"]));
    refuse(&used, "mined there, and failed");
    let foreign = World::new(31337);
    foreign.rpc("anvil_setCode", json!([zkslice_chain::factory::FACTORY, "0xfe"]));
    refuse(&foreign, "another contract's");
    assert!(block_on(async { foreign.anvil.chain().await.provider().get_block_number().await.unwrap() }) == 0);
}
