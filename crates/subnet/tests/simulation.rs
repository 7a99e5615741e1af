//! Hundreds of miners of every kind against the real validator, store and wire, under a paused clock.
//!
//! Proofs are made with the trapdoor of development keys, so that thousands fit into seconds; the validator cannot tell, and verifies every
//! one. `ZKSLICE_SIMULATION=n` has n times as many epochs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};
use alloy::signers::local::PrivateKeySigner;
use ark_bn254::{Fr, G1Projective, G2Affine};
use ark_ec::{CurveGroup, PrimeGroup};
use ark_ff::One;
use ark_std::rand::rngs::StdRng;
use ark_std::rand::{Rng, RngCore, SeedableRng};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use zkslice_groth16::Proof;
use zkslice_subnet::draws::{Draw, DrawFault, faults};
use zkslice_subnet::gateway::{Settings, serve};
use zkslice_subnet::messages::{Acceptance, Assignment, EpochRoot, HandIn, Receipt, Role};
use zkslice_subnet::receipts::contradict;
use zkslice_subnet::score::Parameters;
use zkslice_subnet::transport::{Identity, Link, Outbox, memory};
use zkslice_subnet::validator::{Epoch, Submission, Validator};
use zkslice_subnet::wire::{Body, Capacity, Decline, Kind, Reason, Work, frame};
use zkslice_subnet::{Clock, Node, Signed};

use crate::support::trapdoor::Trapdoor;
use crate::support::*;

const EPOCH: Duration = Duration::from_secs(1);
/// Within which nobody is debited for a miss.
const HELD: Duration = Duration::from_secs(31);
/// Jobs that wait at a time, so that nobody is idle.
const WAITING: usize = 400;
/// Honest miners that have the same machine as those who cheat.
const CONTROL: usize = 10;

/// What a miner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind_ {
    Honest,
    /// Points that are a proof of nothing.
    LiarRandom,
    /// A proof that holds, of another statement.
    LiarOther,
    /// Another miner's proof.
    Copier,
    /// Accepts, and drops some.
    Dropper,
    /// Declines some, at its whim.
    Decliner,
    /// Declares many slots, and has one.
    Inflator,
    /// Many identities on one machine.
    Sybil,
    /// Too slow for any deadline.
    Slow,
    /// Goes and comes back.
    Crasher,
    /// Sends what nobody asked for.
    Flooder,
    /// Accepts, and never hands in.
    Withholder,
}
use Kind_ as Conduct;

/// A miner of the simulation.
#[derive(Clone)]
struct SimMiner {
    conduct: Conduct,
    node: Node,
    /// What it declares.
    slots: u16,
    /// How long a proof takes it.
    takes: Duration,
    /// What it proves on, which may be others' too.
    machine: Arc<Semaphore>,
    /// How many it has at a time at most before it declines.
    able: usize,
    seed: u64,
    world: Arc<World>,
}

struct World {
    trapdoor: Trapdoor,
    validator: Arc<Validator>,
    /// Proofs that were handed in, for those who copy.
    seen: Mutex<Vec<Vec<u8>>>,
    receipts: Mutex<BTreeMap<Address, Vec<Receipt>>>,
    /// Whether nothing gets through between the validator and anybody.
    is_cut: watch::Receiver<bool>,
}

impl SimMiner {
    fn identity(&self) -> Identity {
        Identity { node: self.node.clone(), role: Role::Miner, network: NETWORK, parameters: Parameters::default().hash() }
    }

    /// Is connected, again and again.
    async fn run(self) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut is_cut = self.world.is_cut.clone();
        loop {
            if is_cut.wait_for(|is_cut| !is_cut).await.is_err() {
                return;
            }
            let Ok((link, of_validator)) = memory::connect(&self.identity(), &self.world.validator.identity(), 8 << 20).await else {
                return;
            };
            self.world.validator.connect(of_validator);
            if self.conduct == Conduct::Crasher {
                let _ = tokio::time::timeout(Duration::from_millis(rng.gen_range(2_000..6_000)), self.serve(link, &mut rng)).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            } else {
                tokio::select! {
                    biased;
                    () = self.serve(link, &mut rng) => {}
                    _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    async fn serve(&self, mut link: Link, rng: &mut StdRng) {
        let outbox = link.outbox.clone();
        let newest = self.world.receipts.lock().unwrap().get(&self.node.address()).map_or(0, |receipts| receipts.len() as u64);
        let keys = vec![(B256::from(self.world.trapdoor.verifier.model()), vec![1])];
        outbox.send((Capacity { slots: self.slots, memory_mib: 64, keys, queue_ms: 0, receipts: newest }).to_frame().unwrap());
        let mut assignments: HashMap<B256, Assignment> = HashMap::new();
        let open = Arc::new(Mutex::new(0usize));
        while let Some(frame) = link.inbox.recv().await {
            match frame.kind {
                Kind::Assignment => {
                    let signed = Signed::<Assignment>::from_bytes(&frame.body, &NETWORK, Some(link.peer.address)).unwrap();
                    assignments.insert(NETWORK.hash(signed.message()), signed.message().clone());
                }
                Kind::Work => {
                    let work = Work::from_body(&frame.body).unwrap();
                    if let Some(assignment) = assignments.remove(&work.assignment) {
                        self.offered(&outbox, &assignment, work, &open, rng);
                    }
                }
                Kind::Receipt => {
                    let signed = Signed::<Receipt>::from_bytes(&frame.body, &NETWORK, Some(link.peer.address)).unwrap();
                    let mut all = self.world.receipts.lock().unwrap();
                    let receipts = all.entry(self.node.address()).or_default();
                    if signed.message().seq == receipts.len() as u64 + 1 {
                        receipts.push(signed.message().clone());
                    }
                }
                _ => {}
            }
        }
    }

    fn offered(&self, outbox: &Outbox, assignment: &Assignment, work: Work, open: &Arc<Mutex<usize>>, rng: &mut StdRng) {
        let hash = work.assignment;
        let declines = match self.conduct {
            Conduct::Decliner => rng.gen_bool(0.5),
            Conduct::Sybil => self.machine.available_permits() == 0,
            _ => *open.lock().unwrap() >= self.able,
        };
        if declines {
            return outbox.send((Decline { assignment: hash, reason: Reason::Busy, retry_ms: 50 }).to_frame().unwrap());
        }
        let accept = self.node.sign(&NETWORK, Acceptance { assignment: hash }).unwrap().to_bytes();
        outbox.send(frame(Kind::Accept, &accept).unwrap());
        if self.conduct == Conduct::Withholder || self.conduct == Conduct::Dropper && rng.gen_bool(0.3) {
            return;
        }
        if self.conduct == Conduct::Flooder {
            for _ in 0..20 {
                outbox.send(
                    (Decline { assignment: B256::from(rng.r#gen::<[u8; 32]>()), reason: Reason::Busy, retry_ms: 0 }).to_frame().unwrap(),
                );
            }
        }
        *open.lock().unwrap() += 1;
        let takes = self.takes.mul_f64(rng.gen_range(0.95..1.05));
        let number = rng.next_u32() as usize;
        let (this, outbox, open, _units) = (self.clone(), outbox.clone(), Arc::clone(open), assignment.units);
        tokio::spawn(async move {
            let turn = this.machine.acquire().await;
            tokio::time::sleep(takes).await;
            drop(turn);
            *open.lock().unwrap() -= 1;
            if let Some(proof) = this.proof(&work, number) {
                let signed = this.node.sign(&NETWORK, HandIn { assignment: hash, proofHash: keccak256(&proof) }).unwrap();
                outbox.send(frame(Kind::HandIn, &[signed.to_bytes(), proof].concat()).unwrap());
            }
        });
    }

    fn proof(&self, work: &Work, number: usize) -> Option<Vec<u8>> {
        let mut statement = self.world.trapdoor.statement(work);
        match self.conduct {
            Conduct::LiarOther => statement.publics[0] += Fr::one(),
            Conduct::Copier => return self.world.seen.lock().unwrap().last().cloned(),
            _ => {}
        }
        let mut proof = self.world.trapdoor.proof(&statement, number);
        if self.conduct == Conduct::LiarRandom {
            // C2 is another point of the curve.
            let other = (G1Projective::generator() * Fr::from(number as u64 + 2)).into_affine();
            let other = Proof { c2: other, ..Proof { a: other, b: G2Affine::default(), c1: Some(other), c2: other } }.to_words();
            proof[8 * 32..].copy_from_slice(&other[8..].concat());
        }
        if self.conduct == Conduct::Honest {
            let mut seen = self.world.seen.lock().unwrap();
            seen.clear();
            seen.push(proof.clone());
        }
        Some(proof)
    }
}

struct Outcome {
    /// By miner: conduct, what it could do in a second, and its score.
    miners: Vec<(Conduct, f64, u64, Vec<Receipt>)>,
    /// Jobs that were done in the measured time.
    jobs: usize,
    /// The signed roots of its epochs.
    roots: Vec<Signed<EpochRoot>>,
    /// Where the validator's store is.
    folder: tempfile::TempDir,
}

fn plan(honest: usize, bad: usize, seed: u64) -> Vec<(Conduct, u16, u64, usize)> {
    let mut rng = StdRng::seed_from_u64(seed);
    // Conduct, slots, milliseconds of a proof, machine: those of one number share it.
    // The first are what cheats are compared with: honest ones on machines like theirs. All are fast enough for full credit.
    let mut plan: Vec<_> =
        (0..honest)
            .map(|k| {
                if k < CONTROL { (Conduct::Honest, 1, 500, k) } else { (Conduct::Honest, rng.gen_range(1..=3), rng.gen_range(500..950), k) }
            })
            .collect();
    let kinds = [
        Conduct::LiarRandom,
        Conduct::LiarOther,
        Conduct::Copier,
        Conduct::Dropper,
        Conduct::Decliner,
        Conduct::Inflator,
        Conduct::Sybil,
        Conduct::Slow,
        Conduct::Crasher,
        Conduct::Flooder,
        Conduct::Withholder,
    ];
    plan.extend((0..bad).map(|k| {
        let conduct = kinds[k % kinds.len()];
        match conduct {
            Conduct::Slow => (conduct, 1, 2_500, honest + k),
            Conduct::Inflator => (conduct, 64, 500, honest + k),
            // All of them on the first one's machine.
            Conduct::Sybil => (conduct, 1, 500, honest + 6),
            _ => (conduct, 1, 500, honest + k),
        }
    }));
    plan
}

fn simulate(plan: &[(Conduct, u16, u64, usize)], epochs: u64, seed: u64) -> Outcome {
    simulate_with(plan, epochs, seed, WAITING, 0..0)
}

/// So many jobs wait at a time; in the epochs of `cut` nothing gets through between the validator and anybody.
fn simulate_with(plan: &[(Conduct, u16, u64, usize)], epochs: u64, seed: u64, waiting: usize, cut: Range<u64>) -> Outcome {
    // What threads do is done in the order in which it is asked for, or it would not be the same again.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path());
        options.settings.hedge_percent = 5;
        (options.most_slices, options.most_jobs) = (1 << 20, 1 << 20);
        options.seed = Some(B256::left_padding_from(&seed.to_be_bytes()));
        let clock = Clock::at(1_800_000_000_000);
        let (said, heard) = watch::channel(Epoch { number: 1, beacon: keccak256(seed.to_be_bytes()) });
        let validator = Validator::start(node(0xaa), vec![package(1)], options, clock, heard).await.unwrap();
        let (cut_off, is_cut) = watch::channel(false);
        let world = Arc::new(World {
            trapdoor: Trapdoor::new(package(1)),
            validator: Arc::clone(&validator),
            seen: Mutex::default(),
            receipts: Mutex::default(),
            is_cut,
        });
        let mut machines: HashMap<usize, Arc<Semaphore>> = HashMap::new();
        let mut miners = Vec::new();
        for (k, (conduct, slots, ms, machine)) in plan.iter().enumerate() {
            let key = keccak256([&seed.to_be_bytes()[..], &(k as u64).to_be_bytes()].concat());
            let able = if matches!(conduct, Conduct::Inflator | Conduct::Sybil) { 1 } else { usize::from(*slots) };
            let machine = machines.entry(*machine).or_insert_with(|| Arc::new(Semaphore::new(able)));
            let miner = SimMiner {
                conduct: *conduct,
                node: Node::new(PrivateKeySigner::from_bytes(&key).unwrap()),
                slots: *slots,
                takes: Duration::from_millis(*ms),
                machine: Arc::clone(machine),
                able: if *conduct == Conduct::Inflator { usize::MAX } else { able },
                seed: seed ^ (k as u64) << 8,
                world: Arc::clone(&world),
            };
            tokio::spawn(miner.clone().run());
            miners.push((miner, able as f64 * 1_000.0 / *ms as f64));
        }
        let package = package(1);
        let template = job(&package, 1);
        let mut jobs = 0u64;
        let mut ids = Vec::new();
        for epoch in 1..=epochs {
            cut_off.send_replace(cut.contains(&epoch));
            let until = tokio::time::Instant::now() + EPOCH;
            while tokio::time::Instant::now() < until {
                // Together, as they come from many callers.
                let new = (0..waiting.saturating_sub(validator.waiting())).map(|_| {
                    jobs += 1;
                    let mut job = template.clone();
                    job.context[16..24].copy_from_slice(&jobs.to_be_bytes());
                    validator.submit(Submission { job, private: None, deadline_ms: None, caller: "simulation".into(), idempotency: None })
                });
                ids.extend(futures_util::future::join_all(new).await.into_iter().map(Result::unwrap));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            said.send_replace(Epoch { number: epoch + 1, beacon: keccak256([&seed.to_be_bytes()[..], &epoch.to_be_bytes()].concat()) });
        }
        // What still waits is nobody's any more.
        ids.iter().for_each(|id| validator.cancel(*id));
        let mut done = 0;
        for id in ids {
            done += usize::from(validator.view(id, "simulation").await.unwrap().slices[0].0.as_str() == "proven");
        }
        // Misses are debited when it is known that the validator was there, and epochs are closed after that.
        tokio::time::sleep(HELD + HELD / 2).await;
        let mut roots = Vec::new();
        for epoch in 1..=epochs {
            if let Some(root) = validator.epoch_root(epoch).await.unwrap() {
                roots.push(Signed::<EpochRoot>::from_bytes(&root, &NETWORK, Some(validator.address())).unwrap());
            }
        }
        let scores: HashMap<Address, u64> =
            validator.miners(None).await.unwrap().into_iter().map(|miner| (miner.address, miner.score)).collect();
        validator.stop();
        validator.ended().await;
        let receipts = world.receipts.lock().unwrap();
        let miners = miners.iter().map(|(miner, able)| {
            let of_miner = receipts.get(&miner.node.address()).cloned().unwrap_or_default();
            (miner.conduct, *able, scores.get(&miner.node.address()).copied().unwrap_or_default(), of_miner)
        });
        Outcome { miners: miners.collect(), jobs: done, roots, folder }
    })
}

fn rank(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let mut last = first;
        while last + 1 < order.len() && values[order[last + 1]] == values[order[first]] {
            last += 1;
        }
        (first..=last).for_each(|k| ranks[order[k]] = (first + last) as f64 / 2.0);
        first = last + 1;
    }
    ranks
}

/// Spearman's rank correlation.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (rank(a), rank(b));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let covariance: f64 = a.iter().zip(&b).map(|(x, y)| (x - mean_a) * (y - mean_b)).sum();
    let spread = |values: &[f64], mean: f64| values.iter().map(|x| (x - mean).powi(2)).sum::<f64>().sqrt();
    covariance / spread(&a, mean_a) / spread(&b, mean_b)
}

/// What receipts come to.
fn earned(receipts: &[Receipt]) -> f64 {
    receipts.iter().map(|receipt| i64::from(receipt.credit) - i64::from(receipt.debit)).sum::<i64>() as f64
}

fn times() -> u64 {
    std::env::var("ZKSLICE_SIMULATION").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

#[test]
fn cheating_earns_nothing() {
    let began = std::time::Instant::now();
    let outcome = simulate(&plan(210, 90, 1), 24 * times(), 1);
    println!("{} jobs by 300 miners in {:?}", outcome.jobs, began.elapsed());
    let of = |conduct: Conduct| outcome.miners.iter().filter(move |(other, ..)| *other == conduct);
    let control = outcome.miners[..CONTROL].iter().map(|(.., receipts)| earned(receipts)).sum::<f64>() / CONTROL as f64;
    // By conduct: the most that a machine earns of what an honest one does.
    for (conduct, most) in [
        (Conduct::LiarRandom, 0.0),
        (Conduct::LiarOther, 0.0),
        (Conduct::Copier, 0.0),
        (Conduct::Withholder, 0.0),
        (Conduct::Slow, 0.0),
        (Conduct::Dropper, 1.0),
        (Conduct::Decliner, 1.0),
        (Conduct::Inflator, 1.0),
        (Conduct::Flooder, 1.0),
        (Conduct::Crasher, 1.0),
        (Conduct::Sybil, 1.0),
    ] {
        let machines = if conduct == Conduct::Sybil { 1.0 } else { of(conduct).count() as f64 };
        let share = of(conduct).map(|(.., receipts)| earned(receipts)).sum::<f64>() / machines / control;
        let score: u64 = of(conduct).map(|(_, _, score, _)| score).sum();
        let count = |verdict: u8| of(conduct).flat_map(|(.., receipts)| receipts).filter(|receipt| receipt.verdict == verdict).count();
        let counts = [1, 2, 3, 4, 5].map(count);
        println!("{conduct:?}: {share:.3} of honest, score {score}; valid, invalid, missed, late, superseded: {counts:?}");
        // Half of a slice more or less is the end of the measured time.
        assert!(share <= most + 0.02, "{conduct:?} earns {share} of what is honest");
        if most == 0.0 {
            assert_eq!((counts[0], score), (0, 0), "{conduct:?}");
        }
    }
    let honest: Vec<_> = of(Conduct::Honest).collect();
    assert!(honest.iter().all(|(.., receipts)| receipts.iter().all(|receipt| receipt.debit == 0)), "honest miners are debited for nothing");
    let scores: Vec<f64> = honest.iter().map(|(_, _, score, _)| *score as f64).collect();
    let able: Vec<f64> = honest.iter().map(|(_, able, ..)| *able).collect();
    let correlation = spearman(&scores, &able);
    println!("rank correlation of score and ability: {correlation:.4}");
    assert!(correlation >= 0.98, "{correlation}");
    let (all_scores, all_able) = (scores.iter().sum::<f64>(), able.iter().sum::<f64>());
    assert!(scores.iter().zip(&able).all(|(score, able)| (score / all_scores - able / all_able).abs() <= 0.03));
    // Everybody's receipts are a chain in which nothing contradicts anything.
    for (.., receipts) in &outcome.miners {
        assert!(receipts.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq && !contradict(&pair[0], &pair[1])));
    }
}

/// Three in ten cheat: the others get as much done as without them, but for a tenth.
#[test]
fn cheating_hinders_few() {
    let honest = plan(70, 0, 2);
    let mixed = plan(70, 30, 2);
    assert_eq!(honest[..], mixed[..70]);
    let [alone, together] = [&honest, &mixed].map(|plan| simulate(plan, 12, 2));
    let of_honest = |outcome: &Outcome| outcome.miners[..70].iter().map(|(.., receipts)| earned(receipts)).sum::<f64>();
    let share = of_honest(&together) / of_honest(&alone);
    println!("honest miners earn {share:.3} of what they earn alone; {} jobs, {} alone", together.jobs, alone.jobs);
    assert!(share >= 0.9 && together.jobs as f64 >= 0.9 * alone.jobs as f64, "{share}");
}

/// The same seed gives the same history, to the last signature.
#[test]
fn a_seed_gives_one_history() {
    let plan = plan(20, 11, 3);
    let [first, second, other] = [3, 3, 4].map(|seed| simulate(&plan, 4, seed));
    assert!(first.jobs > 50);
    assert_eq!(first.roots.len(), 4, "an epoch is not closed");
    let receipts = |outcome: &Outcome| outcome.miners.iter().map(|(.., receipts)| receipts.clone()).collect::<Vec<_>>();
    assert_eq!(receipts(&first), receipts(&second));
    for (one, again) in first.roots.iter().zip(&second.roots) {
        println!("epoch {}: {} receipts, root {}", one.message().epoch, one.message().count, one.message().receipts);
        assert_eq!(one.to_bytes(), again.to_bytes());
    }
    assert_ne!(first.roots[0].message().receipts, other.roots[0].message().receipts);
}

/// Nobody is debited for the time that the validator was cut off, and soon after it everything is as before.
#[test]
fn a_cut_debits_nobody() {
    let plan = plan(20, 0, 5);
    let outcome = simulate_with(&plan, 70, 5, WAITING, 5..45);
    let receipts = || outcome.miners.iter().flat_map(|(.., receipts)| receipts);
    let valid = |epochs: Range<u64>| receipts().filter(|receipt| receipt.verdict == 1 && epochs.contains(&receipt.epoch)).count();
    let debits = receipts().filter(|receipt| receipt.debit > 0).count();
    println!("valid before, while and after: {}, {}, {}; debits {debits}", valid(3..5), valid(7..45), valid(68..70));
    assert_eq!((debits, valid(8..45)), (0, 0));
    assert!(valid(68..70) * 10 >= valid(3..5) * 9, "it is not as before within 25 seconds");
}

/// What whoever asks the API is answered, with no key, page by page.
async fn draws_of(url: &str, client: &reqwest::Client, epoch: u64) -> (EpochRoot, Vec<Draw>) {
    let get = async |path: String| -> Value { client.get(format!("{url}{path}")).send().await.unwrap().json().await.unwrap() };
    let root = get(format!("/v1/epochs/{epoch}")).await;
    let root = alloy::hex::decode(root["messages"][0].as_str().unwrap()).unwrap();
    let root = Signed::<EpochRoot>::from_bytes(&root, &NETWORK, Some(node(0xaa).address())).unwrap().message().clone();
    let mut draws: Vec<Draw> = Vec::new();
    loop {
        let after = draws.last().map_or(0, |draw| draw.number);
        let page = get(format!("/v1/epochs/{epoch}/draws?after={after}")).await;
        let page: Vec<Draw> = serde_json::from_value(page["draws"].clone()).unwrap();
        if page.is_empty() {
            return (root, draws);
        }
        draws.extend(page);
    }
}

/// A third party that has the API's answers alone makes every draw again, and sees whom a validator favours.
#[test]
fn a_third_party_makes_all_draws_again() {
    // With less to do than they can, so that several are free for each slice.
    let epochs = 5;
    let Outcome { miners, folder, .. } = simulate_with(&plan(24, 11, 6), epochs, 6, 1, 0..0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // The validator as it is after a restart, in an epoch that is not closed.
        let (_, heard) = watch::channel(Epoch { number: epochs + 2, beacon: B256::ZERO });
        let validator = Validator::start(node(0xaa), vec![package(1)], options(folder.path()), Clock::system(), heard).await.unwrap();
        let settings = Settings::new([], Arc::new(Semaphore::new(1 << 20)));
        let router = serve(Arc::clone(&validator), settings).into_make_service_with_connect_info::<SocketAddr>();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        let open = client.get(format!("{url}/v1/epochs/{}/draws", epochs + 2)).send().await.unwrap();
        assert_eq!(open.status(), 404, "draws of an epoch that is not closed");

        let mut seen = HashSet::new();
        let (mut all, mut noticed) = (0, 0);
        for epoch in 1..=epochs {
            let (root, draws) = draws_of(&url, &client, epoch).await;
            assert_eq!(faults(root.beacon, &draws), []);
            assert!(draws.len() > 10, "{} draws", draws.len());
            all += draws.len();
            // Another beacon gives other draws.
            assert!(faults(B256::ZERO, &draws).len() * 2 > draws.len());
            seen.extend(draws.iter().map(|draw| draw.assignment));
            // A validator that gives its favourite whatever it could have drawn: each such draw is noticed.
            let favourite = draws[0].miner;
            let suits = |draw: &Draw| draw.candidates.contains(&favourite) && draw.miner != favourite;
            let expected: Vec<u64> = draws.iter().filter(|draw| suits(draw)).map(|draw| draw.number).collect();
            let favoured = draws.iter().cloned().map(|draw| Draw { miner: if suits(&draw) { favourite } else { draw.miner }, ..draw });
            let found = faults(root.beacon, &favoured.collect::<Vec<_>>());
            let found: Vec<u64> =
                found.iter().filter(|(_, fault)| matches!(fault, DrawFault::Another { .. })).map(|(number, _)| *number).collect();
            assert_eq!(found, expected);
            noticed += found.len();
        }
        println!("{all} draws made again, all as they were; {noticed} of a favourite's noticed");
        assert!(noticed > 0);
        // Those of which miners have receipts are all among them.
        let receipts = miners.iter().flat_map(|(.., receipts)| receipts);
        let count = receipts.inspect(|receipt| assert!(seen.contains(&receipt.assignment), "a draw is not shown")).count();
        assert!(count > 50, "{count}");
        validator.stop();
        validator.ended().await;
    });
}
