//! A validator that is killed again and again, at whatever point it is: nothing is lost, nothing is paid twice.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use alloy::signers::local::PrivateKeySigner;
use sqlx::{Connection, Row};
use tokio_util::sync::CancellationToken;
use zkslice_prover::{Bound, BundleSource, Inference, Job, JobInput, Verifier, encode_request};
use zkslice_slicer::Package;
use zkslice_subnet::client::{NetworkProver, about};
use zkslice_subnet::daemon::{Employer, work_for};
use zkslice_subnet::messages::{Assignment, Receipt, Verdict};
use zkslice_subnet::miner::{Miner, OnCores, Options};
use zkslice_subnet::receipts::contradict;
use zkslice_subnet::score::Parameters;
use zkslice_subnet::{Clock, Network, Node, Signed};
use zkslice_tests::{Random, zkslice};

use crate::chain::Anvil;
use crate::scene::Scene;

const KILLS: usize = 40;
const JOBS: u8 = 24;
const MINERS: u8 = 3;
const KEY: &str = "the key of the only caller";
const REGISTRY: Address = Address::repeat_byte(0x77);

/// A process of the command, killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// With a log that it appends to.
    pub(crate) fn start(log: &Path, arguments: &[PathBuf]) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(zkslice());
        command.args(arguments).stdin(Stdio::null());
        Self(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }
}

fn validator(folder: &Path) -> Process {
    Process::start(&folder.join("validator.log"), &["validator".into(), "--config".into(), folder.join("validator.toml")])
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

pub(crate) fn secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A job for a context of its own.
fn job(package: &Package, inputs: &[Vec<i64>], context: u8) -> Job {
    let mut inference = Inference::of_inputs(package, inputs.to_vec()).unwrap();
    let bound = encode_request(package, &mut inference, &mut ark_std::rand::rngs::OsRng).unwrap();
    let inputs = bound.into_iter().map(|bound| match bound {
        Bound::Words(words) => JobInput::Words(words),
        Bound::Commitment(_) => unreachable!("a public model"),
    });
    let mut word = [0; 32];
    word[31] = context;
    Job { model: Verifier::new(package).unwrap().model(), context: word, owner: [0; 32], inputs: inputs.collect() }
}

#[test]
fn a_killed_validator_loses_nothing() {
    let scene = Scene::new();
    scene.compile("pkg", 2, "public");
    let made = zkslice_tests::run(["setup".as_ref(), scene.path("pkg").as_os_str()]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let anvil = Anvil::start(31_337);
        let folder = scene.path("network");
        std::fs::create_dir_all(&folder).unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (http, quic) = (free(), free());
        secret(&folder.join("validator.key"), &hex::encode([7; 32]));
        secret(&folder.join("callers.txt"), &format!("me {}\n", KEY.replace(' ', "-")));
        let config = format!(
            "version = 1\nrpc_url = \"{}\"\nchain_id = 31337\nregistry = \"{REGISTRY}\"\nkey_file = \"validator.key\"\n\
             database = \"validator.sqlite\"\nmodels = [\"{}\"]\nquic = \"{quic}\"\nhttp = \"{http}\"\ncallers = \"callers.txt\"\nprobation = 0\n\
             benchmark_units_per_minute = 600\nproves_itself = false\nhandshakes_per_minute = 10_000\nanswer_ms = 5_000\n",
            anvil.url,
            scene.path("pkg").display()
        );
        std::fs::write(folder.join("validator.toml"), config).unwrap();
        let url = format!("http://{http}");
        let mut process = validator(&folder);
        while about(&url).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let network = Network { chain_id: 31_337, registry: REGISTRY };
        let stop = CancellationToken::new();
        let mut miners = Vec::new();
        for k in 1..=MINERS {
            let ledger = folder.join(format!("{k}.jsonl"));
            let options = Options { network, parameters: Parameters::default(), slots: 2, memory_mib: 64, ledger };
            let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(k)).unwrap();
            let prover = Box::new(OnCores::new(1).unwrap());
            let packages = vec![Package::open(&scene.path("pkg")).unwrap()];
            let miner = Miner::start(Node::new(signer), packages, options, prover, Clock::system()).unwrap();
            tokio::spawn(work_for(Arc::clone(&miner), Employer::parse(&url).unwrap(), network, k == 2, stop.clone()));
            miners.push(miner);
        }
        let package = Package::open(&scene.path("pkg")).unwrap();
        let input = zkslice_graph::Input::from_json(&std::fs::read(zkslice_tests::model("mlp_digits").join("input.json")).unwrap()).unwrap();
        let inputs = package.encode(&input).unwrap();
        let source = Arc::new(NetworkProver::connect(&url, KEY.replace(' ', "-").into()).await.unwrap());
        let wanted: Vec<_> = (1..=JOBS)
            .map(|context| {
                let (source, job) = (Arc::clone(&source), job(&package, &inputs, context));
                tokio::spawn(async move {
                    // Some come at once, some while it is killed.
                    tokio::time::sleep(Duration::from_millis(300 * u64::from(context))).await;
                    source.bundle(job).await
                })
            })
            .collect();
        let mut random = Random(5);
        for _ in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(60 + random.below(300) as u64)).await;
            drop(process);
            process = validator(&folder);
        }
        let verifier = Verifier::new(&package).unwrap();
        for (k, bundle) in wanted.into_iter().enumerate() {
            let bundle = tokio::time::timeout(Duration::from_secs(60), bundle).await;
            let log = || std::fs::read_to_string(folder.join("validator.log")).unwrap();
            let bundle = bundle.unwrap_or_else(|_| panic!("job {k} has no bundle\n{}", log())).unwrap();
            verifier.verify(&bundle.unwrap_or_else(|error| panic!("job {k}: {error}\n{}", log()))).unwrap();
        }
        // What miners have handed in is answered.
        for miner in &miners {
            let answered = async {
                // Benchmarks go on: none of what is open now is open for long.
                while miner.unanswered() > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), answered).await.expect("each hand-in has its receipt");
            assert!(miner.accounts().iter().all(|(_, account)| account.invalid == 0), "{:?}", miner.accounts());
        }
        stop.cancel();
        miners.iter().for_each(|miner| miner.kill());
        drop(process);
        check_store(&folder, network, i64::from(JOBS)).await;
    });
}

/// Each slice is paid once, nothing is missed that came in time, and receipts are a chain for each miner, of which no two contradict each other.
pub(crate) async fn check_store(folder: &Path, network: Network, jobs: i64) {
    let path = folder.join("validator.sqlite");
    let mut store = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let twice = sqlx::query(
        "SELECT count(*) FROM (SELECT job, slice FROM assignments WHERE state = 'valid' GROUP BY job, slice HAVING count(*) > 1)",
    );
    assert_eq!(twice.fetch_one(&mut store).await.unwrap().get::<i64, _>(0), 0);
    // A machine with much else to do may be late in earnest; no kill makes it so.
    let late = sqlx::query("SELECT message, ms, state FROM assignments WHERE state IN ('missed', 'late') AND hand_in IS NOT NULL");
    for row in late.fetch_all(&mut store).await.unwrap() {
        let message: Vec<u8> = row.get("message");
        let assignment = Signed::<Assignment>::from_bytes(&message, &network, None).unwrap().message().clone();
        let (ms, state) = (row.get::<i64, _>("ms") as u64, row.get::<String, _>("state"));
        assert!(state == "late" && assignment.issuedMs + ms >= assignment.deadlineMs, "{state} after {ms} ms: {assignment:?}");
    }
    let done = sqlx::query("SELECT count(*) FROM jobs WHERE kind = 'request' AND state IN ('complete', 'delivered', 'settled')");
    assert_eq!(done.fetch_one(&mut store).await.unwrap().get::<i64, _>(0), jobs);
    let rows = sqlx::query("SELECT miner, seq, message FROM receipts ORDER BY miner, seq").fetch_all(&mut store).await.unwrap();
    let mut of_miner: BTreeMap<Vec<u8>, Vec<Receipt>> = BTreeMap::new();
    for row in &rows {
        let message: Vec<u8> = row.get("message");
        let receipt = Signed::<Receipt>::from_bytes(&message, &network, None).unwrap().message().clone();
        of_miner.entry(row.get("miner")).or_default().push(receipt);
    }
    let mut valid = 0;
    for receipts in of_miner.values() {
        assert!(receipts.iter().map(|receipt| receipt.seq).eq(1..=receipts.len() as u64));
        for (k, first) in receipts.iter().enumerate() {
            valid += i64::from(first.verdict == Verdict::Valid as u8);
            assert!(receipts[k + 1..].iter().all(|second| !contradict(first, second)));
        }
    }
    let paid = sqlx::query("SELECT count(*) FROM assignments WHERE state = 'valid'");
    assert_eq!(paid.fetch_one(&mut store).await.unwrap().get::<i64, _>(0), valid, "each valid assignment has its receipt");
}
