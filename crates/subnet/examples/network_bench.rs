//! Figures of the prover network for `docs/benchmarks.md`: a validator in a process of its own, miners over QUIC on loopback.
//!
//! `cargo run --release -p zkslice-subnet --example network_bench -- throughput|latency|overhead|recovery [--json]`
//!
//! `throughput` and `recovery` take proofs that were made in advance with the trapdoor of development keys: of the miners they measure
//! signatures and frames, of the validator everything. `overhead` proves in earnest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // What fails here fails a measurement.

#[allow(dead_code, unreachable_pub)]
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, keccak256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolValue;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Semaphore, mpsc, watch};
use zkslice_prover::{Bundle, BundleSource, Inference, LocalProver, Verifier, execute};
use zkslice_slicer::Package;
use zkslice_subnet::client::NetworkProver;
use zkslice_subnet::messages::{Acceptance, HandIn, Receipt, Role, Verdict};
use zkslice_subnet::miner::{self, Miner, OnCores};
use zkslice_subnet::score::Parameters;
use zkslice_subnet::transport::quic::{Dialer, Listener};
use zkslice_subnet::transport::{Identity, Link, Outbox};
use zkslice_subnet::validator::{Epoch, Options, Submission, Validator};
use zkslice_subnet::wire::{Body, Cancel, Capacity, Kind, Ping, Work, frame};
use zkslice_subnet::{Clock, Node, gateway};

use support::trapdoor::Trapdoor;
use support::{NETWORK, graph, job_of, package_of};

const MODEL: &str = "lenet5_avg";
/// Of the only caller.
const KEY: &str = "0123456789abcdef0123456789abcdef";
/// Miners of `throughput` and `recovery`, and slices that each has at a time.
const MINERS: u8 = 16;
const SLOTS: u16 = 32;
/// Proofs before `throughput` is measured, so that every miner has as many slices as it can take, and in all.
const WARM: usize = 3_000;
const PROOFS: usize = 15_000;
/// Slices that `recovery` has open, and proofs before, so that every miner has as many as it can take.
const OPEN: usize = 10_000;
const BEFORE: usize = 2_000;
/// How long anything may take; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(300);
/// Jobs of `overhead`, by either way, and pings of each miner of `latency`: a validator hears a thousand frames of a miner in a second.
const JOBS: usize = 31;
const PINGS: u64 = 900;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let is_json = words.iter().any(|word| word == "--json");
    words.retain(|word| word != "--json");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (line, value) = match words[..] {
        ["throughput"] => throughput().await,
        ["latency"] => latency().await,
        ["overhead"] => overhead(3).await,
        ["overhead", "--slices", slices] => overhead(slices.parse().expect("--slices takes a number")).await,
        ["recovery"] => recovery().await,
        ["validator", folder] => return validator(Path::new(folder)).await,
        _ => panic!("name one of: throughput, latency, overhead [--slices n], recovery"),
    };
    println!("{}", if is_json { value.to_string() } else { line });
}

// -------------------------------------------------------------------------------------------------- the validator

/// As the daemon has it, but that no chain says which epoch it is. It says where it listens, and takes commands on its standard input.
async fn validator(folder: &Path) {
    let package = Package::open(&folder.join("pkg")).unwrap();
    let model = Verifier::new(&package).unwrap().model();
    let mut options = Options::new(NETWORK, folder.join("validator.sqlite"));
    (options.settings.probation, options.benchmark_units, options.proves_itself) = (0, 0, false);
    // Paid work has all public words, from which the statement follows.
    (options.price_per_unit, options.most_slices, options.most_jobs) = (1, 1 << 20, 1 << 20);
    (options.job_ms, options.settings.answer_ms) = (3_600_000, 10_000);
    let (_said, epochs) = watch::channel(Epoch { number: 1, beacon: keccak256(model) });
    let validator = Validator::start(node(0), vec![package], options, Clock::system(), epochs).await.unwrap();
    let often = NonZeroU32::new(1_000_000).unwrap();
    let room = Arc::new(Semaphore::new(64 << 20));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut listener = Listener::bind(any, validator.identity(), often, Arc::clone(&room), |_| ()).unwrap();
    let mut settings = gateway::Settings::new([("me".to_owned(), KEY.to_owned())], room);
    (settings.jobs_per_second, settings.requests_per_second) = (often, often);
    let http = tokio::net::TcpListener::bind(any).await.unwrap();
    println!("{} {}", listener.address().unwrap(), http.local_addr().unwrap());
    let router = gateway::serve(Arc::clone(&validator), settings).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(http, router).await });
    let (said, mut commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
    loop {
        tokio::select! {
            Some(link) = listener.accept() => validator.connect(link),
            line = commands.recv() => {
                // Whoever started it has gone.
                let Some(line): Option<String> = line else { return };
                let (first, last): (u64, u64) = line.split_once(' ').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).unwrap();
                let template = job_of(&Package::open(&folder.join("pkg")).unwrap(), graph(MODEL).1, B256::ZERO);
                let contexts: Vec<u64> = (first..last).collect();
                for some in contexts.chunks(256) {
                    let submitted = some.iter().map(|number| {
                        let mut job = template.clone();
                        job.context = context(*number).0;
                        validator.submit(Submission { job, private: None, deadline_ms: None, caller: "me".into(), idempotency: None })
                    });
                    futures_util::future::join_all(submitted).await.into_iter().for_each(|id| assert!(id.is_ok(), "{id:?}"));
                }
                println!("submitted");
            }
        }
        std::io::stdout().flush().unwrap();
    }
}

fn node(number: u8) -> Node {
    Node::new(PrivateKeySigner::from_bytes(&keccak256([number])).unwrap())
}

fn context(number: u64) -> B256 {
    B256::left_padding_from(&(number + 1).to_be_bytes())
}

/// A validator's process, killed when dropped.
struct Process {
    child: Child,
    commands: ChildStdin,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
    quic: SocketAddr,
    http: SocketAddr,
}

impl Process {
    async fn start(folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("validator").arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the validator has ended");
        let (quic, http) = line.split_once(' ').unwrap();
        Self { commands: child.stdin.take().unwrap(), lines, quic: quic.parse().unwrap(), http: http.parse().unwrap(), child }
    }

    async fn submit(&mut self, jobs: std::ops::Range<usize>) {
        self.commands.write_all(format!("{} {}\n", jobs.start, jobs.end).as_bytes()).await.unwrap();
        assert_eq!(self.lines.next_line().await.unwrap().as_deref(), Some("submitted"));
    }

    fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// A line of `/proc/…/status` in MiB.
    fn mebibytes(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
    }
}

/// Processor time of a process so far, of all its threads, in seconds.
fn processor(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // In hundredths of a second, on every Linux.
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) as f64 / 100.0
}

// -------------------------------------------------------------------------------------------------- miners without a prover

/// Miners that have every proof already.
struct Swarm {
    model: B256,
    proofs: HashMap<B256, Vec<u8>>,
    state: Mutex<State>,
    changed: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    /// After so many assignments proofs are held back.
    holds_at: Option<usize>,
    held: Vec<(Outbox, Vec<u8>)>,
    /// By assignment, the job's context.
    contexts: HashMap<B256, B256>,
    /// Valid receipts of each job's slice.
    paid: HashMap<B256, u32>,
    /// Receipts of other kinds.
    others: BTreeMap<u8, u32>,
    credit: u64,
    /// Of each miner the newest receipt, and what it has no receipt for.
    newest: HashMap<Address, u64>,
    unanswered: HashMap<Address, HashMap<B256, Vec<u8>>>,
    /// When the first assignment came since this was empty.
    assigned: Option<Instant>,
}

impl Swarm {
    fn new(package: &Package, proofs: usize) -> Arc<Self> {
        let trapdoor = Trapdoor::new(Package::open(package.folder()).unwrap());
        let mut inference = Inference::of_inputs(package, graph(MODEL).1).unwrap();
        let bound = execute(package, &mut inference, &mut ark_std::rand::rngs::OsRng).unwrap();
        let model = trapdoor.verifier.model();
        let mut bundle = Bundle {
            version: 1,
            model,
            context: [0; 32],
            owner: [0; 32],
            tensors: bound.into_iter().map(Some).collect(),
            proofs: Vec::new(),
        };
        let proofs = (0..proofs).map(|number| {
            let context = context(number as u64);
            bundle.context = context.0;
            (context, trapdoor.proof(&trapdoor.verifier.statement(&bundle, 0).unwrap(), number))
        });
        Arc::new(Self { model: B256::from(model), proofs: proofs.collect(), state: Mutex::default(), changed: watch::Sender::new(0) })
    }

    fn begin(self: &Arc<Self>, to: SocketAddr) {
        for number in 1..=MINERS {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.mine(node(number), to).await });
        }
    }

    /// Is connected as long as somebody listens there.
    async fn mine(&self, node: Node, to: SocketAddr) {
        let identity = Identity { node: node.clone(), role: Role::Miner, network: NETWORK, parameters: Parameters::default().hash() };
        let dialer = Dialer::new(identity).unwrap();
        while let Ok(link) = dialer.dial(to, None, Arc::new(Semaphore::new(8 << 20))).await {
            self.serve(&node, link).await;
        }
    }

    async fn serve(&self, node: &Node, mut link: Link) {
        let (me, outbox) = (node.address(), link.outbox.clone());
        let (receipts, again) = {
            let state = self.state.lock().unwrap();
            let again: Vec<Vec<u8>> = state.unanswered.get(&me).into_iter().flat_map(|of| of.values().cloned()).collect();
            (state.newest.get(&me).copied().unwrap_or_default(), again)
        };
        let keys = vec![(self.model, vec![1])];
        outbox.send((Capacity { slots: SLOTS, memory_mib: 64, keys, queue_ms: 0, receipts }).to_frame().unwrap());
        again.into_iter().for_each(|frame| outbox.send(frame));
        while let Some(came) = link.inbox.recv().await {
            match came.kind {
                Kind::Work => {
                    let Work { assignment, context, .. } = Work::from_body(&came.body).unwrap();
                    let accept = node.sign(&NETWORK, Acceptance { assignment }).unwrap().to_bytes();
                    outbox.send(frame(Kind::Accept, &accept).unwrap());
                    let proof = &self.proofs[&context];
                    let hand_in = node.sign(&NETWORK, HandIn { assignment, proofHash: keccak256(proof) }).unwrap().to_bytes();
                    let hand_in = frame(Kind::HandIn, &[hand_in.as_slice(), proof].concat()).unwrap();
                    let mut state = self.state.lock().unwrap();
                    state.assigned.get_or_insert_with(Instant::now);
                    state.contexts.insert(assignment, context);
                    if state.holds_at.is_some_and(|assignments| state.contexts.len() > assignments) {
                        state.held.push((outbox.clone(), hand_in.clone()));
                    } else {
                        outbox.send(hand_in.clone());
                    }
                    state.unanswered.entry(me).or_default().insert(assignment, hand_in);
                }
                Kind::Receipt => {
                    // Its signature is the miner's to look at, and not measured here.
                    let receipt = Receipt::abi_decode(&came.body[..came.body.len() - 65]).unwrap();
                    self.receipt(me, &receipt);
                }
                // It is over, and nobody says what became of it.
                Kind::Cancel => {
                    let Cancel { assignment } = Cancel::from_body(&came.body).unwrap();
                    if let Some(of) = self.state.lock().unwrap().unanswered.get_mut(&me) {
                        of.remove(&assignment);
                    }
                }
                _ => {}
            }
        }
    }

    fn receipt(&self, me: Address, receipt: &Receipt) {
        let mut state = self.state.lock().unwrap();
        let newest = state.newest.entry(me).or_default();
        // It comes again after a restart.
        if receipt.seq <= *newest {
            return;
        }
        *newest = receipt.seq;
        if let Some(of) = state.unanswered.get_mut(&me) {
            of.remove(&receipt.assignment);
        }
        if receipt.verdict == Verdict::Valid as u8 {
            let context = state.contexts[&receipt.assignment];
            *state.paid.entry(context).or_default() += 1;
            state.credit += u64::from(receipt.credit);
            let paid = state.paid.len();
            self.changed.send_replace(paid);
        } else {
            *state.others.entry(receipt.verdict).or_default() += 1;
        }
    }

    /// Waits until so many jobs are paid.
    async fn paid(&self, jobs: usize) {
        let waits = async { self.changed.subscribe().wait_for(|paid| *paid >= jobs).await.map(drop) };
        let so_far = || {
            let state = self.state.lock().unwrap();
            (state.paid.len(), state.others.clone())
        };
        tokio::time::timeout(PATIENCE, waits).await.unwrap_or_else(|_| panic!("not {jobs} are paid, but {:?}", so_far())).unwrap();
    }
}

// -------------------------------------------------------------------------------------------------- what is measured

/// A folder with a package of the model.
fn made(slices: usize) -> (tempfile::TempDir, Package) {
    let folder = tempfile::tempdir().unwrap();
    let package = package_of(&graph(MODEL).0, slices, &folder.path().join("pkg"));
    (folder, package)
}

/// From work to a receipt, and to a bundle: 15,000 jobs of one slice, of which the last 12,000 are measured.
async fn throughput() -> (String, Value) {
    let (folder, package) = made(1);
    let swarm = Swarm::new(&package, PROOFS);
    let mut process = Process::start(folder.path()).await;
    process.submit(0..PROOFS).await;
    let now = || (Instant::now(), processor(process.id()), processor(std::process::id()), swarm.state.lock().unwrap().paid.len());
    swarm.begin(process.quic);
    swarm.paid(WARM).await;
    let before = now();
    swarm.paid(PROOFS).await;
    // Each proof is a bundle of its own, which is looked at once more.
    while complete(process.http).await < PROOFS {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after = now();
    let proofs = (after.3 - before.3) as f64;
    let (seconds, of_validator, of_miners) = ((after.0 - before.0).as_secs_f64(), after.1 - before.1, after.2 - before.2);
    let (rate, alone) = (proofs / seconds, 2.0 * proofs / of_validator);
    let state = swarm.state.lock().unwrap();
    let full = state.credit as f64 / (state.paid.len() as f64 * f64::from(units(&package)) * 256.0);
    let line = format!(
        "throughput: {proofs} trapdoor proofs verified, scored and receipted, and their bundles verified, in {seconds:.2} s: {rate:.0} a second with \
         {MINERS} miners on the same cores; the validator takes {:.3} ms of a core for each, which is {alone:.0} a second on two cores of its own; \
         the miners take {:.3} ms; {:.1} % of full credit",
        1e3 * of_validator / proofs,
        1e3 * of_miners / proofs,
        100.0 * full
    );
    // A slow one may go to a second miner, of whom the later one is superseded.
    let superseded = state.others.get(&(Verdict::Superseded as u8)).copied().unwrap_or_default();
    assert!(state.paid.values().all(|times| *times == 1) && state.others.values().sum::<u32>() == superseded, "{line}, {:?}", state.others);
    let value = json!({
        "proofs": proofs, "seconds": seconds, "per_second": rate, "validator_core_seconds": of_validator, "per_second_on_two_cores": alone,
        "miners_core_seconds": of_miners, "credit": full, "superseded": superseded,
    });
    (line, value)
}

fn units(package: &Package) -> u32 {
    zkslice_subnet::score::units(package.manifest().slices[0].constraints.next_power_of_two() as u64)
}

/// Jobs whose bundles are there, by the validator's own count.
async fn complete(http: SocketAddr) -> usize {
    let text = zkslice_chain::http_client(&format!("http://{http}"), Duration::from_secs(10))
        .unwrap()
        .0
        .get(format!("http://{http}/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("zkslice_validator_jobs_total{state=\"complete\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

/// A small frame and its answer, on authenticated sessions.
async fn latency() -> (String, Value) {
    let (folder, _) = made(1);
    let process = Process::start(folder.path()).await;
    let mut times = Vec::new();
    for number in 1..=5 {
        let identity = Identity { node: node(number), role: Role::Miner, network: NETWORK, parameters: Parameters::default().hash() };
        let mut link = Dialer::new(identity).unwrap().dial(process.quic, None, Arc::new(Semaphore::new(1 << 20))).await.unwrap();
        for nonce in 0..PINGS {
            let began = Instant::now();
            link.outbox.send((Ping { nonce }).to_frame().unwrap());
            let answer = link.inbox.recv().await.expect("an answer");
            times.push(began.elapsed().as_secs_f64() * 1e3);
            assert_eq!(Ping::from_body(&answer.body).unwrap().nonce, nonce);
        }
    }
    let [p50, p99] = [50, 99].map(|percent| percentile(&mut times, percent));
    let line = format!("latency: {} pings over QUIC on loopback: p50 {p50:.3} ms, p99 {p99:.3} ms", times.len());
    (line, json!({ "pings": times.len(), "p50_ms": p50, "p99_ms": p99 }))
}

fn percentile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// A job by the network's API against the same job by the local prover, by turns, both on all cores.
async fn overhead(slices: usize) -> (String, Value) {
    let (folder, package) = made(slices);
    let process = Process::start(folder.path()).await;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = miner::Options {
        network: NETWORK,
        parameters: Parameters::default(),
        slots: 2,
        memory_mib: 256,
        ledger: folder.path().join("receipts.jsonl"),
    };
    let opened = || Package::open(package.folder()).unwrap();
    let miner = Miner::start(node(1), vec![opened()], options, Box::new(OnCores::new(cores).unwrap()), Clock::system()).unwrap();
    let link = Dialer::new(miner.identity()).unwrap().dial(process.quic, None, Arc::new(Semaphore::new(miner.room()))).await.unwrap();
    tokio::spawn({
        let miner = Arc::clone(&miner);
        async move { miner.serve(link).await }
    });
    let local = LocalProver::new(vec![(opened(), None)], None).unwrap();
    let network = NetworkProver::connect(&format!("http://{}", process.http), KEY.to_owned().into()).await.unwrap();
    let template = job_of(&package, graph(MODEL).1, B256::ZERO);
    let verifier = Verifier::new(&package).unwrap();
    let (mut by_local, mut by_network) = (Vec::new(), Vec::new());
    for number in 0..JOBS as u64 + 3 {
        let job = zkslice_prover::Job { context: context(number).0, ..template.clone() };
        let began = Instant::now();
        let one = local.bundle(job.clone()).await.unwrap();
        let between = Instant::now();
        let other = network.bundle(job).await.unwrap();
        let after = Instant::now();
        verifier.verify(&one).unwrap();
        verifier.verify(&other).unwrap();
        // Keys are read in, and times learned.
        if number >= 3 {
            by_local.push((between - began).as_secs_f64() * 1e3);
            by_network.push((after - between).as_secs_f64() * 1e3);
        }
    }
    let [of_local, of_network] = [&mut by_local, &mut by_network].map(|times| percentile(times, 50));
    let more = of_network - of_local;
    let line = format!(
        "overhead: {JOBS} jobs of {MODEL} in {slices} slices, p50 {of_network:.0} ms by API, validator and one miner over QUIC, {of_local:.0} ms \
         by the local prover: {more:.0} ms more"
    );
    (line, json!({ "jobs": JOBS, "slices": slices, "network_ms": of_network, "local_ms": of_local, "overhead_ms": more }))
}

/// A validator with 10,000 open slices is killed while proofs come in, and started again.
async fn recovery() -> (String, Value) {
    let (folder, package) = made(1);
    let all = BEFORE + OPEN + 2 * usize::from(MINERS) * usize::from(SLOTS);
    let swarm = Swarm::new(&package, all);
    swarm.state.lock().unwrap().holds_at = Some(BEFORE);
    let mut process = Process::start(folder.path()).await;
    process.submit(0..all).await;
    let before = process.mebibytes("VmRSS");
    swarm.begin(process.quic);
    // Some go to a second miner.
    swarm.paid(BEFORE * 9 / 10).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let with_miners = process.mebibytes("VmRSS");
    let peak = process.mebibytes("VmHWM");
    let (open, accepted) = {
        let mut state = swarm.state.lock().unwrap();
        let held = std::mem::take(&mut state.held);
        // Half of what is accepted is handed in right before.
        held.iter().step_by(2).for_each(|(outbox, hand_in)| outbox.send(hand_in.clone()));
        (all - state.paid.len(), held.len())
    };
    assert!(open >= OPEN && accepted > 0, "{open} open, {accepted} accepted");
    tokio::time::sleep(Duration::from_millis(20)).await;
    process.child.kill().await.unwrap();
    {
        let mut state = swarm.state.lock().unwrap();
        (state.holds_at, state.assigned) = (None, None);
    }
    let began = Instant::now();
    process = Process::start(folder.path()).await;
    let listens = began.elapsed();
    swarm.begin(process.quic);
    let assigned = async {
        loop {
            if let Some(at) = swarm.state.lock().unwrap().assigned {
                return at - began;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let dispatches = tokio::time::timeout(PATIENCE, assigned).await.expect("it dispatches again");
    let after = process.mebibytes("VmRSS");
    swarm.paid(all).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let state = swarm.state.lock().unwrap();
    let twice = state.paid.values().filter(|times| **times > 1).count();
    let peak = peak.max(process.mebibytes("VmHWM"));
    let line = format!(
        "recovery: {open} open slices, {accepted} of them accepted, killed: listens after {:.2} s, dispatches after {:.2} s, {twice} slices \
         paid twice of {all}; resident {before} MiB with all open, {with_miners} MiB with {MINERS} miners, {after} MiB after the restart, {peak} \
         MiB at most",
        listens.as_secs_f64(),
        dispatches.as_secs_f64()
    );
    assert_eq!(twice, 0, "{line}");
    let value = json!({
        "open": open, "accepted": accepted, "listens_seconds": listens.as_secs_f64(), "dispatches_seconds": dispatches.as_secs_f64(),
        "paid_twice": twice, "jobs": all, "resident_mib": before, "resident_with_miners_mib": with_miners, "resident_after_mib": after,
        "peak_mib": peak,
    });
    (line, value)
}
