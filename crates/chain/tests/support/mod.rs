//! An anvil on a free port, and the simulated models of the Solidity tests.

#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider;
use alloy::signers::local::PrivateKeySigner;
use zkslice_chain::{Chain, ModelKeys};

/// anvil's first accounts, from its published mnemonic.
pub const KEYS: [&str; 4] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];

pub fn signer(index: usize) -> PrivateKeySigner {
    KEYS[index].parse().unwrap()
}

pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).unwrap().to_owned()
}

/// A local chain; ends with this.
pub struct Anvil {
    child: Child,
    pub port: u16,
    pub url: String,
}

impl Anvil {
    pub fn start(chain_id: u64) -> Self {
        Self::with(chain_id, &[])
    }

    pub fn with(chain_id: u64, arguments: &[&str]) -> Self {
        let program = repository().join("script/foundry");
        let mut child = Command::new(&program)
            .args(["anvil", "--port", "0", "--chain-id", &chain_id.to_string()])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().expect("anvil ended").unwrap();
            if let Some(address) = line.strip_prefix("Listening on ") {
                break address.rsplit(':').next().unwrap().trim().parse().unwrap();
            }
        };
        // A full pipe would stop anvil.
        std::thread::spawn(move || for _ in lines {});
        Self { child, port, url: format!("http://127.0.0.1:{port}") }
    }

    pub async fn chain(&self) -> Chain {
        Chain::connect(&self.url, None).await.unwrap()
    }

    pub async fn rpc(&self, method: &'static str, parameters: serde_json::Value) -> serde_json::Value {
        self.chain().await.provider().raw_request(method.into(), parameters).await.unwrap()
    }

    /// Mines empty blocks.
    pub async fn mine(&self, blocks: u64) {
        self.rpc("anvil_mine", serde_json::json!([format!("0x{blocks:x}")])).await;
    }

    pub async fn automine(&self, on: bool) {
        self.rpc("evm_setAutomine", serde_json::json!([on])).await;
    }

    pub async fn set_balance(&self, account: Address, wei: U256) {
        self.rpc("anvil_setBalance", serde_json::json!([account, wei])).await;
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A simulated model, as `tests/solidity/simulate.mjs` wrote it.
pub fn fixture(file: &str) -> serde_json::Value {
    let path = repository().join("tests/solidity/fixtures").join(file);
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

pub fn word(value: &serde_json::Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

pub fn words(value: &serde_json::Value) -> Vec<B256> {
    value.as_array().unwrap().iter().map(word).collect()
}

/// The keys of a simulated model.
pub fn model(name: &str) -> ModelKeys {
    let value = fixture(&format!("{name}.json"));
    let blob: Bytes = value["blob"].as_str().unwrap().parse().unwrap();
    ModelKeys::from_blob(word(&value["modelDigest"]), blob.to_vec()).unwrap()
}
