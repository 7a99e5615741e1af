//! A miner behind a TLS proxy: HTTPS for what it asks, one WebSocket over TLS for its work.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use zkslice_subnet::client::about;
use zkslice_tests::zkslice;

use crate::chain::Anvil;
use crate::https_rpc::{Authority, tls_proxy};
use crate::scene::{Scene, ok};

struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        Self(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_miner_comes_by_tls() {
    let scene = Scene::new();
    scene.compile("pkg", 1, "public");
    ok!("setup", scene.path("pkg"));
    let anvil = Anvil::start(31_337);
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (http, quic) = (free(), free());
    for (name, key) in [("validator.key", "07".repeat(32)), ("miner.key", "08".repeat(32))] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(scene.write(name, key.as_bytes()), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let config = format!(
        "version = 1\nrpc_url = \"{}\"\nchain_id = 31337\nregistry = \"0x7777777777777777777777777777777777777777\"\n\
         key_file = \"validator.key\"\ndatabase = \"validator.sqlite\"\nmodels = [\"pkg\"]\nquic = \"{quic}\"\nhttp = \"{http}\"\n\
         handshakes_per_minute = 1_000\nanswer_ms = 10_000\n",
        anvil.url
    );
    let config = scene.write("validator.toml", config.as_bytes());
    let mut command = Command::new(zkslice());
    let _validator = Process::start(command.args(["validator", "--config"]).arg(config), &scene.path("validator.log"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    while runtime.block_on(about(&format!("http://{http}"))).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let authority = Authority::new("ours", &scene.path("ours.pem"));
    Authority::new("theirs", &scene.path("theirs.pem"));
    let port = tls_proxy(authority.server(|_| ()), http.port());
    let miner = |authorities: &str, folder: &str| {
        let mut command = Command::new(zkslice());
        command.env("SSL_CERT_FILE", scene.path(authorities)).env_remove("SSL_CERT_DIR").args(["miner", "--no-quic", "--fetch", "none"]);
        command.args(["--validator", &format!("https://localhost:{port}"), "--key-file"]).arg(scene.path("miner.key"));
        command.arg("--models").arg(scene.path("pkg")).arg("--folder").arg(scene.path(folder));
        Process::start(&mut command, &scene.path(&format!("{folder}.log")))
    };
    let log = |folder: &str| std::fs::read_to_string(scene.path(&format!("{folder}.log"))).unwrap();
    let until = |what: &str, folder: &str, holds: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(60), "never: {what}\n{}", log(folder));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    {
        let _miner = miner("theirs.pem", "stranger");
        until("it is said that nobody trusts it", "stranger", &|| log("stranger").contains("does not answer"));
    }
    // By HTTPS it learns where it is, by the WebSocket it is credited.
    let _miner = miner("ours.pem", "miner");
    let credited = || {
        let status: Value = serde_json::from_slice(&std::fs::read(scene.path("miner/status.json")).unwrap_or_default()).unwrap_or_default();
        status["accounts"][0]["account"]["valid"].as_u64() > Some(0)
    };
    until("a slice is credited", "miner", &credited);
}
