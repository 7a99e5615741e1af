//! `zkslice verify --receipt`: a validator, a miner and two jobs; what was signed of them is looked at where neither is, and what is not as
//! it was signed is refused by name.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alloy::primitives::{Address, B256, hex};
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use zkslice_chain::http_client;
use zkslice_prover::Bundle;
use zkslice_slicer::Package;
use zkslice_subnet::client::about;
use zkslice_subnet::daemon::{Employer, work_for};
use zkslice_subnet::messages::{HandIn, Receipt};
use zkslice_subnet::miner::{Miner, OnCores, Options};
use zkslice_subnet::score::Parameters;
use zkslice_subnet::{Clock, Network, Node, Signed};
use zkslice_tests::zkslice;

use crate::chain::Anvil;
use crate::scene::{Scene, ok, refused};

const KEY: &str = "the-key-of-the-only-caller";
const NETWORK: Network = Network { chain_id: 31_337, registry: Address::repeat_byte(0x77) };

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn node(number: u8) -> Node {
    Node::new(PrivateKeySigner::from_bytes(&B256::repeat_byte(number)).unwrap())
}

/// Has two jobs proven by a validator's process and one miner. Leaves in the scene a bundle of each job and what was signed of each of its
/// slices, `JOB-SLICE.json`; and the miner's own receipts.
async fn prove(scene: &Scene) {
    let anvil = Anvil::start(NETWORK.chain_id);
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (http, quic) = (free(), free());
    for (name, secret) in [("validator.key", hex::encode([7; 32])), ("callers.txt", format!("me {KEY}\n"))] {
        use std::os::unix::fs::PermissionsExt;
        let path = scene.write(name, secret.as_bytes());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let config = format!(
        "version = 1\nrpc_url = \"{}\"\nchain_id = 31337\nregistry = \"{}\"\nkey_file = \"validator.key\"\ndatabase = \"validator.sqlite\"\n\
         models = [\"pkg\"]\nquic = \"{quic}\"\nhttp = \"{http}\"\ncallers = \"callers.txt\"\nprobation = 0\nprice_per_unit = \"5 wei\"\n\
         benchmark_units_per_minute = 0\nproves_itself = false\nhandshakes_per_minute = 1_000\nanswer_ms = 10_000\n",
        anvil.url, NETWORK.registry
    );
    let config = scene.write("validator.toml", config.as_bytes());
    let log = std::fs::File::create(scene.path("validator.log")).unwrap();
    let mut command = Command::new(zkslice());
    let command = command.args(["validator", "--config"]).arg(config).stdin(Stdio::null());
    let _process = Process(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    let url = format!("http://{http}");
    while about(&url).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let options =
        Options { network: NETWORK, parameters: Parameters::default(), slots: 1, memory_mib: 64, ledger: scene.path("receipts.jsonl") };
    let packages = vec![Package::open(&scene.path("pkg")).unwrap()];
    let miner = Miner::start(node(1), packages, options, Box::new(OnCores::new(2).unwrap()), Clock::system()).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(work_for(miner.clone(), Employer::parse(&url).unwrap(), NETWORK, false, stop.clone()));

    let (client, ..) = http_client(&url, Duration::from_secs(60)).unwrap();
    let get = async |path: String| {
        let answer = client.get(format!("{url}{path}")).bearer_auth(KEY).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().await.unwrap().to_vec()
    };
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let mut asked = ok!("encode", scene.path("pkg"), "--input", scene.input(), "--job");
    for job in ["one", "two"] {
        // What pays is bound to something.
        asked["context"] = json!(B256::with_last_byte(if job == "one" { 1 } else { 2 }));
        let body =
            client.post(format!("{url}/v1/jobs")).bearer_auth(KEY).header("content-type", "application/json").body(asked.to_string());
        let id = read(&body.send().await.unwrap().bytes().await.unwrap())["id"].as_str().unwrap().to_owned();
        scene.write(&format!("{job}.json"), &get(format!("/v1/jobs/{id}/bundle")).await);
        let status = read(&get(format!("/v1/jobs/{id}")).await);
        for (k, slice) in status["slices"].as_array().unwrap().iter().enumerate() {
            assert_eq!(slice["miner"], json!(node(1).address()));
            let signed = get(format!("/v1/receipts/{}", slice["assignment"].as_str().unwrap())).await;
            scene.write(&format!("{job}-{k}.json"), &signed);
        }
    }
    for _ in 0..200 {
        if miner.accounts().iter().any(|(_, account)| account.receipts == 4) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    miner.kill();
}

#[test]
fn who_proved_what_is_checked_offline() {
    let scene = Scene::new();
    scene.compile("pkg", 2, "public");
    ok!("setup", scene.path("pkg"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(prove(&scene));
    let (package, bundle) = (scene.path("pkg"), scene.path("one.json"));
    let [validator, miner] = [7, 1].map(|k| node(k).address());
    let by = validator.to_string();
    let file = |name: &str| serde_json::from_slice::<Value>(&std::fs::read(scene.path(name)).unwrap()).unwrap();
    let model = ok!("inspect", bundle)["model"].clone();

    // Alone, with the bundle, with the package too: each says more.
    for slice in 0..2 {
        let receipt = scene.path(&format!("one-{slice}.json"));
        let alone = ok!("verify", "--receipt", receipt, "--validator", by);
        for (key, expected) in [
            ("valid", json!(true)),
            ("model", model.clone()),
            ("slice", json!(slice)),
            ("miner", json!(miner)),
            ("validator", json!(validator)),
            ("verdict", json!("valid")),
            ("signed_by_miner", json!(true)),
            ("chain_id", json!(31_337)),
            ("proof_in_bundle", Value::Null),
        ] {
            assert_eq!(alone[key], expected, "{key}");
        }
        assert!(alone["credit"].as_u64().unwrap() > 0 && alone["issued_ms"].as_u64().unwrap() > 1_600_000_000_000);
        let tied = ok!("verify", "--receipt", receipt, "--validator", by, "--bundle", bundle);
        assert_eq!((&tied["proof_in_bundle"], &tied["proof_hash"]), (&json!(true), &alone["proof_hash"]));
        let whole = ok!("verify", package, bundle, "--receipt", receipt, "--validator", by);
        assert_eq!(whole["proof_in_bundle"], true);
        let encoded = ok!("encode", package, "--input", scene.input());
        assert_eq!(whole["inputs"].as_object().unwrap().values().next(), Some(&encoded["inputs"][0]["hash"]));
        assert_eq!(whole["outputs"].as_object().unwrap().len(), 1);
    }
    let text = zkslice_tests::run([
        "verify".as_ref(),
        "--receipt".as_ref(),
        scene.path("one-0.json").as_os_str(),
        "--validator".as_ref(),
        by.as_ref(),
    ]);
    assert!(text.stdout.contains("genuine, of slice 0 of model 0x") && text.stdout.contains(&miner.to_string()), "{}", text.stdout);
    assert!(text.stdout.contains("signed by the miner too") && text.stdout.contains("valid after"), "{}", text.stdout);

    let wrong = |what: &str, value: &Value, words: &[&str]| {
        let path = scene.write("wrong.json", value.to_string().as_bytes());
        let said = refused!(1, words, "verify", "--receipt", path, "--validator", by);
        assert!(!said.is_empty(), "{what}");
    };
    let good = file("one-0.json");
    let with = |key: &str, value: Value| {
        let mut changed = good.clone();
        changed[key] = value;
        changed
    };
    // One byte of what was signed, wherever: another signer comes out, or no message.
    let flipped = |text: &Value, at: usize| {
        let mut bytes = hex::decode(text.as_str().unwrap()).unwrap();
        let at = if at == usize::MAX { bytes.len() - 2 } else { at };
        bytes[at] ^= 1;
        json!(hex::encode_prefixed(bytes))
    };
    wrong("job", &with("assignment", flipped(&good["assignment"], 31)), &["Assignment is signed by", "not by", &by]);
    wrong("credit", &with("messages", json!([flipped(&good["messages"][0], 32 * 7 - 1)])), &["Receipt is signed by"]);
    wrong("signature", &with("messages", json!([flipped(&good["messages"][0], usize::MAX)])), &["Receipt"]);
    wrong("hand-in", &with("hand_in", flipped(&good["hand_in"], 63)), &["HandIn is signed by", &miner.to_string()]);
    wrong("network", &with("chain_id", json!(1)), &["Assignment is signed by"]);
    wrong("no receipt", &with("messages", json!([])), &["nothing is signed yet"]);
    // Of another slice, and of another job.
    for other in ["one-1.json", "two-0.json"] {
        wrong(other, &with("messages", file(other)["messages"].clone()), &["is of assignment", "another job"]);
        wrong(other, &with("hand_in", file(other)["hand_in"].clone()), &["hand-in is of assignment"]);
    }
    let (two, strange) = (scene.path("two-0.json"), Address::repeat_byte(5).to_string());
    refused!(1, ["another job than the bundle"], "verify", package, bundle, "--receipt", two, "--validator", by);
    refused!(1, ["another job than the bundle"], "verify", "--receipt", two, "--validator", by, "--bundle", bundle);
    refused!(1, ["is signed by", &by, "not by", &strange], "verify", "--receipt", two, "--validator", strange);
    let on = ["--chain-id", "31337", "--registry", &NETWORK.registry.to_string()].map(str::to_owned);
    ok!("verify", "--receipt", two, "--validator", by, on[0], on[1], on[2], on[3]);
    refused!(1, ["it is of network", "on chain 1"], "verify", "--receipt", two, "--validator", by, "--chain-id", "1", on[2], on[3]);

    // A validator that signs twice is shown: by whoever has both.
    let bytes = hex::decode(good["messages"][0].as_str().unwrap()).unwrap();
    let receipt = Signed::<Receipt>::from_bytes(&bytes, &NETWORK, Some(validator)).unwrap().message().clone();
    let sign = |receipt: Receipt| json!(hex::encode_prefixed(node(7).sign(&NETWORK, receipt).unwrap().to_bytes()));
    let another = sign(Receipt { owed: receipt.owed + 1, ..receipt.clone() });
    wrong(
        "two histories",
        &with("messages", json!([good["messages"][0], another])),
        &["the validator contradicts itself", "cannot both be right"],
    );
    // One that signs what its own rules do not give.
    wrong("too much", &with("messages", json!([sign(Receipt { credit: receipt.credit + 1, ..receipt.clone() })])), &["its credit"]);
    // One that says the miner handed in something else than the miner has signed.
    let hand_in = HandIn { assignment: receipt.assignment, proofHash: B256::ZERO };
    let hand_in = json!(hex::encode_prefixed(node(1).sign(&NETWORK, hand_in).unwrap().to_bytes()));
    wrong("another proof", &with("hand_in", hand_in), &["the miner handed in proof", "and the receipt is of proof"]);

    // The same statement by another proof is as good, and it is said that it is another.
    let mut other = Bundle::from_json(&std::fs::read(&bundle).unwrap()).unwrap();
    let (a, b) = other.proofs.split_at_mut(1);
    std::mem::swap(&mut a[0].proof, &mut b[0].proof);
    let path = scene.write("other.json", &other.to_json().unwrap());
    let tied = ok!("verify", "--receipt", scene.path("one-0.json"), "--validator", by, "--bundle", path);
    assert_eq!(tied["proof_in_bundle"], false);
    refused!(1, ["the bundle: slice 0"], "verify", package, path, "--receipt", scene.path("one-0.json"), "--validator", by);

    // What a miner keeps.
    let kept = scene.path("receipts.jsonl");
    let account = ok!("verify", "--receipt", kept, "--validator", by, on[0], on[1], on[2], on[3]);
    assert_eq!((&account["receipts"], &account["seq"], &account["miner"]), (&json!(4), &json!(4), &json!(miner)));
    assert_eq!(account["debit"], 0);
    refused!(2, ["--chain-id and --registry"], "verify", "--receipt", kept, "--validator", by);
    refused!(1, ["none of its 4 receipts"], "verify", "--receipt", kept, "--validator", strange, on[0], on[1], on[2], on[3]);

    // What is something else.
    for (text, words) in [
        ("{}", "neither"),
        ("", "neither"),
        ("{\"chain_id\":1,\"registry\":\"0x7777777777777777777777777777777777777777\",\"messages\":[]}", "no assignment"),
    ] {
        let path = scene.write("else.json", text.as_bytes());
        refused!(2, ["else.json", words], "verify", "--receipt", path, "--validator", by);
    }
    refused!(
        2,
        ["not hexadecimal"],
        "verify",
        "--receipt",
        scene.write("else.json", with("assignment", json!("0xzz")).to_string().as_bytes()),
        "--validator",
        by
    );
    refused!(2, ["--validator"], "verify", "--receipt", kept);
}
