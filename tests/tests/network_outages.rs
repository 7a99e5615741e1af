//! A contract's requests through relayer, validator and eight miners, each a process of its own, of which one is killed every few seconds:
//! each request is fulfilled exactly once, and each slice is credited once.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256};
use zkslice_chain::Chain;
use zkslice_chain::bindings::InferenceOracle;
use zkslice_subnet::Network;
use zkslice_tests::Random;

use crate::network_kill::{Process, check_store, secret};
use crate::requests::World;
use crate::scene::{Scene, ok, succeeded};

const REQUESTS: usize = 50;
const MINERS: usize = 8;
const KEY: &str = "the-key-of-the-only-caller";
/// So often something is killed; it is away for a moment.
const EVERY: Duration = Duration::from_secs(5);
const AWAY: Duration = Duration::from_millis(300);
/// So often there is a request.
const APART: Duration = Duration::from_secs(1);
/// Nothing is measured by it: it ends a run that does not.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the oracle says: the requests that were fulfilled, one for each event.
async fn fulfilled(chain: &Chain, oracle: Address) -> Vec<B256> {
    let oracle = InferenceOracle::new(oracle, chain.provider());
    let found = oracle.InferenceFulfilled_filter().from_block(0).query().await.unwrap();
    found.into_iter().map(|(event, _)| event.requestId).collect()
}

#[test]
fn requests_are_fulfilled_once_whatever_dies() {
    let seed = std::env::var("ZKSLICE_SEED").ok().map_or(7, |seed| seed.parse().expect("ZKSLICE_SEED takes a number"));
    let scene = Scene::new();
    scene.compile("pkg", 2, "public");
    ok!("setup", scene.path("pkg"));
    let world = World::with(scene, &["pkg"]);
    let (folder, package) = (world.scene.path("network"), world.scene.path("pkg"));
    std::fs::create_dir_all(&folder).unwrap();
    let [http, quic] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let url = format!("http://{http}");
    secret(&folder.join("validator.key"), &hex::encode([7; 32]));
    secret(&folder.join("callers.txt"), &format!("relayer {KEY}\n"));
    secret(&world.scene.path("source.key"), KEY);
    let config = format!(
        "version = 1\nrpc_url = \"{}\"\nchain_id = 31337\nregistry = \"{}\"\nkey_file = \"validator.key\"\ndatabase = \"validator.sqlite\"\n\
         models = [\"{}\"]\nquic = \"{quic}\"\nhttp = \"{http}\"\ncallers = \"callers.txt\"\nprobation = 0\nbenchmark_units_per_minute = 600\n\
         proves_itself = false\nhandshakes_per_minute = 10_000\nanswer_ms = 5_000\n",
        world.anvil.url,
        world.oracle,
        package.display()
    );
    std::fs::write(folder.join("validator.toml"), config).unwrap();
    let relayer = world.relayer(&format!("source = \"{url}\"\nsource_key_file = \"source.key\"\nconfirmations = 0\n"));
    // The validator, the relayer, and miners, every other one by WebSocket.
    let start = |what: usize| match what {
        0 => Process::start(&folder.join("validator.log"), &["validator".into(), "--config".into(), folder.join("validator.toml")]),
        1 => Process::start(&folder.join("relayer.log"), &["relay".into(), "--config".into(), relayer.clone()]),
        _ => {
            let key = folder.join(format!("{what}.key"));
            secret(&key, &hex::encode([what as u8; 32]));
            let own = folder.join(format!("miner-{what}"));
            let mut arguments = vec!["miner".into(), "--validator".into(), url.clone().into(), "--key-file".into(), key];
            arguments.extend(["--models".into(), package.clone(), "--folder".into(), own, "--cores".into(), "1".into()]);
            if what % 2 == 1 {
                arguments.push("--no-quic".into());
            }
            Process::start(&folder.join(format!("miner-{what}.log")), &arguments)
        }
    };
    let mut processes: Vec<Option<Process>> = (0..MINERS + 2).map(|what| Some(start(what))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let chain = runtime.block_on(world.anvil.chain());
    let oracle: Address = world.oracle.parse().unwrap();
    let done = || runtime.block_on(fulfilled(&chain, oracle));

    let (began, gives_up) = (Instant::now(), AtomicBool::new(false));
    let (requested, killed) = std::thread::scope(|scope| {
        let requests = scope.spawn(|| {
            let request = |k: u32| {
                std::thread::sleep((APART * k).saturating_sub(began.elapsed()));
                let made = succeeded(world.request("pkg", &["--fee", "0.01 ether"]));
                made["request"].as_str().unwrap().parse::<B256>().unwrap()
            };
            (0..REQUESTS as u32).take_while(|_| !gives_up.load(Ordering::Relaxed)).map(request).collect::<Vec<_>>()
        });
        let (mut random, mut killed) = (Random(seed), [0; 3]);
        while done().len() < REQUESTS {
            if began.elapsed() > PATIENCE {
                gives_up.store(true, Ordering::Relaxed);
                let log = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
                panic!("{} of {REQUESTS}, seed {seed}\n{}\n{}", done().len(), log("validator.log"), log("relayer.log"));
            }
            let kills: u32 = killed.iter().sum();
            if began.elapsed() < EVERY * (kills + 1) {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
            // The validator, the relayer and a miner in turn, beginning with whichever.
            let kind = (kills as usize + seed as usize) % 3;
            let what = if kind == 2 { 2 + random.below(MINERS) } else { kind };
            processes[what] = None;
            std::thread::sleep(AWAY + Duration::from_millis(random.below(300) as u64));
            processes[what] = Some(start(what));
            killed[kind] += 1;
        }
        (requests.join().unwrap(), killed)
    });
    let seconds = began.elapsed().as_secs_f64();
    let done = done();
    assert_eq!(done.len(), REQUESTS, "an event for each request");
    assert_eq!(done.iter().collect::<BTreeSet<_>>(), requested.iter().collect(), "each of them, and nothing else");
    processes.clear();
    let network = Network { chain_id: 31_337, registry: oracle };
    runtime.block_on(check_store(&folder, network, REQUESTS as i64));
    let [validator, relayer, miners] = killed;
    println!(
        "network ok: {REQUESTS} requests fulfilled once each in {seconds:.0} s by {MINERS} miners; by seed {seed} the validator was killed \
         {validator} times, the relayer {relayer} times, a miner {miners} times"
    );
    assert!(killed.iter().all(|times| *times > 0), "{killed:?}");
}
