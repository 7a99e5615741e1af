//! Weights of a validator that runs, on a board that the command line made: committed, killed, revealed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alloy::primitives::Address;
use serde_json::{Value, json};
use zkslice_chain::http_client;
use zkslice_tests::zkslice;

use crate::chain::{Anvil, signer};
use crate::scene::{Scene, ok, refused};

/// Blocks of the board's epochs: epoch e begins in block 20·e − 8.
const LENGTH: u64 = 20;
const NETUID: u64 = 7;

struct Process(Child);

impl Process {
    fn start(role: &str, folder: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(folder.join(format!("{role}.log"))).unwrap();
        let mut command = Command::new(zkslice());
        command.arg(role).arg("--config").arg(folder.join(format!("{role}.toml"))).stdin(Stdio::null());
        Self(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

struct Network {
    anvil: Anvil,
    url: String,
    log: PathBuf,
}

impl Network {
    async fn get(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&self.text(path).await?).ok()
    }

    async fn text(&self, path: &str) -> Option<String> {
        let (client, url, _) = http_client(&format!("{}{path}", self.url), Duration::from_secs(5)).unwrap();
        client.get(url).send().await.ok()?.error_for_status().ok()?.text().await.ok()
    }

    /// Waits until the validator says so.
    async fn until(&self, what: &str, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            match self.get(path).await {
                Some(value) if is_so(&value) => return value,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("not {what}: {:?}\n{}", self.get(path).await, std::fs::read_to_string(&self.log).unwrap())
    }

    /// Mines until the newest block has this place in one of the board's epochs.
    async fn mine_to(&self, place: u64) {
        let head = self.anvil.chain().await.head().await.unwrap().number;
        let now = (head + NETUID + 1) % LENGTH;
        self.anvil.mine((LENGTH + place - 1 - now) % LENGTH + 1).await;
    }
}

fn config_of(folder: &Path, role: &str, lines: &[String]) {
    std::fs::write(folder.join(format!("{role}.toml")), lines.join("\n")).unwrap();
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn weights_reach_a_board() {
    let scene = Scene::new();
    scene.compile("pkg", 2, "public");
    ok!("setup", scene.path("pkg"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let anvil = Anvil::start(31_337);
        let keys = [0, 1, 2].map(|k| scene.secret(&format!("{k}.key"), &hex::encode(signer(k).to_bytes())));
        let [validator, miner] = [0, 2].map(|k| signer(k).address());
        let (rpc, owner) = (anvil.url.clone(), &keys[1]);
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (http, quic) = (free(), free());

        // The board, by the command line.
        let netuid = NETUID.to_string();
        let made = ok!("weights", "deploy", "--netuid", netuid, "--tempo", "19", "--rpc-url", rpc, "--private-key-file", owner);
        let board = made["board"].as_str().unwrap().to_owned();
        let register = |who: Address, permit: bool| {
            let who = who.to_string();
            let mut arguments =
                vec!["weights", "register", &board, &who, "--rpc-url", &rpc, "--private-key-file", owner.to_str().unwrap(), "--json"];
            arguments.extend(permit.then_some("--permit"));
            crate::scene::succeeded(zkslice_tests::run(arguments))["registered"][0].clone()
        };
        assert_eq!(register(validator, true), json!({ "address": validator, "uid": 0, "transactions": 2 }));
        assert_eq!(register(miner, false), json!({ "address": miner, "uid": 1, "transactions": 1 }));
        assert_eq!(register(miner, false)["transactions"], 0, "it has its uid");
        refused!(
            1,
            ["OwnableUnauthorizedAccount"],
            "weights",
            "register",
            board,
            signer(1).address().to_string(),
            "--rpc-url",
            rpc,
            "--private-key-file",
            keys[2]
        );
        refused!(1, ["no WeightBoard at", "correct the address"], "weights", "show", validator.to_string(), "--rpc-url", rpc);

        // A validator and a miner.
        let folder = scene.path("network");
        std::fs::create_dir_all(&folder).unwrap();
        let (key, package) = (text(&keys[0]), text(&scene.path("pkg")));
        let validator_lines = |weights: &str| {
            let lines = [
                "version = 1".to_owned(),
                format!("rpc_url = \"{rpc}\"\nchain_id = 31337\nregistry = \"{}\"", Address::repeat_byte(0x77)),
                format!("key_file = \"{key}\"\ndatabase = \"validator.sqlite\"\nmodels = [\"{package}\"]"),
                format!("quic = \"{quic}\"\nhttp = \"{http}\"\nprobation = 2\nepoch_blocks = 50\nbenchmark_units_per_minute = 600"),
                format!("handshakes_per_minute = 10000\n{weights}"),
            ];
            config_of(&folder, "validator", &lines);
        };
        let config = folder.join("validator.toml");
        for (weights, words) in [
            (format!("[weights]\nnetuid = 7\nboard = \"{validator}\""), "is no WeightBoard of subnet 7"),
            (format!("[weights]\nnetuid = 8\nboard = \"{board}\""), "is no WeightBoard of subnet 8"),
            ("[weights]\nnetuid = 7".to_owned(), "`zkslice weights deploy` makes one"),
            (format!("[weights]\nnetuid = 7\nboard = \"{board}\"\ntempo = 19"), "a board says its own"),
        ] {
            validator_lines(&weights);
            let ran = zkslice_tests::run(["validator".as_ref(), "--config".as_ref(), config.as_os_str()]);
            assert!(ran.code != Some(0) && ran.stderr.contains(words), "{}", ran.stderr);
        }
        validator_lines(&format!("[weights]\nnetuid = 7\nboard = \"{board}\""));
        let url = format!("http://{http}");
        config_of(
            &folder,
            "miner",
            &[format!("version = 1\nvalidators = [\"{url}\"]\nkey_file = \"{}\"\nmodels = \"{package}\"\nslots = 2", text(&keys[2]))],
        );
        let network = Network { anvil, url, log: folder.join("validator.log") };
        let mut process = Process::start("validator", &folder);
        let _miner = Process::start("miner", &folder);
        network.until("credited", "/v1/miners", |miners| miners[0]["credit"].as_u64() > Some(0)).await;
        let none = network.get("/v1/weights").await.unwrap();
        assert_eq!(none, json!({ "epoch": null, "state": null, "next_waits": false, "alarm": null }));

        // An epoch of the validator's is closed: its weights wait for the board's next epoch, in which they are committed to.
        network.mine_to(LENGTH / 2).await;
        network.anvil.mine(8 * LENGTH).await;
        network.until("computed", "/v1/weights", |weights| weights["state"] == "computed").await;
        network.mine_to(0).await;
        let committed = network.until("committed", "/v1/weights", |weights| weights["state"] == "committed").await;
        let shown = || ok!("weights", "show", board, "--rpc-url", network.anvil.url)["neurons"].clone();
        assert_eq!(shown()[0]["weights"], json!([]), "nobody can copy what is committed to");

        // Killed, it still knows its salt, and reveals in the due epoch.
        drop(process);
        process = Process::start("validator", &folder);
        network.until("as before", "/v1/weights", |weights| weights["epoch"] == committed["epoch"]).await;
        network.mine_to(0).await;
        network.until("revealed", "/v1/weights", |weights| weights["state"] == "revealed" || weights["epoch"] != committed["epoch"]).await;
        assert_eq!(
            shown(),
            json!([
                { "uid": 0, "address": validator, "permit": true, "weights": [[1, 65_535]] },
                { "uid": 1, "address": miner, "permit": false, "weights": [] },
            ])
        );
        let metrics = network.text("/metrics").await.unwrap();
        assert!(metrics.contains("zkslice_validator_weights_alarm 0"), "{metrics}");
        drop(process);

        // A file whose epochs are numbered otherwise would keep all weights back: that is said.
        let file = folder.join("weights.json");
        let mut content: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        content["work"]["weights"]["epoch"] = json!(1_000_000);
        std::fs::write(&file, content.to_string()).unwrap();
        process = Process::start("validator", &folder);
        let is_said = |weights: &Value| weights["alarm"].as_str().is_some_and(|alarm| alarm.contains("move the file away"));
        network.until("said", "/v1/weights", is_said).await;
        drop(process);
    });
}
