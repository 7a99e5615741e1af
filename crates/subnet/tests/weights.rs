//! Weights onto chains: stand-ins for Bittensor's precompiles at their addresses, and a `WeightBoard`, both on anvil. Epochs have twenty
//! blocks; epoch e begins in block 20·e − 8.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256, address, b256};
use alloy::sol_types::{SolCall, SolValue};
use axum::extract::State as Shared;
use axum::{Json, Router, routing::post};
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use parity_scale_codec::Encode;
use serde_json::{Value, json};
use tempfile::TempDir;
use zkslice_chain::bindings::{WeightBoard, board::IWeightBoard::Parameters};
use zkslice_chain::transaction::Draft;
use zkslice_chain::{Chain, ChainError, http_client};
use zkslice_subnet::weights::{Act, Options, Place, State, Step, Vector, WeightSetter, mirror, refusal, scale_hash};
use zkslice_subnet::{StoreError, WeightError};

#[path = "../../chain/tests/support/mod.rs"]
mod chain;

use chain::{Anvil, signer};

alloy::sol! {
    #[sol(rpc)]
    #[derive(Debug)]
    interface StandIn {
        struct Rules {
            uint16 tempo;
            uint16 minWeights;
            uint16 maxWeight;
            bool commitReveal;
            uint64 revealPeriod;
            uint64 rateLimit;
            uint64 versionKey;
            uint64 minStake;
        }
        function disable(bool disabled) external;
        function setRules(Rules rules) external;
        function add(address[] who, bool permit) external;
        function replace(uint16 uid, address who) external;
        function setNeuron(uint16 uid, bool permit, uint64 stake) external;
        function commitCountOf(address who) external view returns (uint256);
        function mirrorOf(address who) external view returns (bytes32);
        function weightsOf(uint16 uid) external view returns (uint16[] uids, uint16[] values);
        function hashOf(bytes32 who, uint16 netuid, uint16[] uids, uint16[] values, uint16[] salt, uint64 versionKey)
            external view returns (bytes32);
    }
}

const NETUID: u16 = 7;
const TEMPO: u16 = 19;
const METAGRAPH: Address = address!("0x0000000000000000000000000000000000000802");
const SUBNET: Address = address!("0x0000000000000000000000000000000000000803");
const NEURON: Address = address!("0x0000000000000000000000000000000000000804");
const VERSION: u64 = 3;

fn rules() -> StandIn::Rules {
    StandIn::Rules {
        tempo: TEMPO,
        minWeights: 1,
        maxWeight: u16::MAX,
        commitReveal: true,
        revealPeriod: 1,
        rateLimit: 15,
        versionKey: VERSION,
        minStake: 100,
    }
}

const fn first_block(epoch: u64) -> u64 {
    epoch * (TEMPO as u64 + 1) - NETUID as u64 - 1
}

fn validator() -> Address {
    signer(0).address()
}

fn operator() -> Address {
    signer(3).address()
}

fn miner(k: u16) -> Address {
    Address::from_word(B256::from(U256::from(0x1_0000 + u64::from(k))))
}

fn miners(count: u16) -> Vec<Address> {
    (0..count).map(miner).collect()
}

/// A chain on which the validator has uid 0 and the miners those from 1 on. Blocks are mined when a test says so.
struct World {
    anvil: Anvil,
    chain: Chain,
    folder: TempDir,
    place: Place,
}

impl World {
    async fn begin() -> Self {
        let anvil = Anvil::start(31_337);
        let chain = anvil.chain().await;
        anvil.automine(false).await;
        let place = Place::Precompiles { tempo: TEMPO };
        // In memory where that can be: a hundred epochs are hundreds of writes, each of which waits for the disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { anvil, chain, folder, place }
    }

    async fn bittensor(rules: StandIn::Rules, miners: &[Address]) -> Self {
        let world = Self::begin().await;
        let code = chain::fixture("bittensor.json");
        for (at, name) in [(METAGRAPH, "reads"), (SUBNET, "reads"), (NEURON, "neuron")] {
            world.anvil.rpc("anvil_setCode", json!([at, code[name]])).await;
        }
        world.send(NEURON, StandIn::setRulesCall { rules }).await;
        world.send(NEURON, StandIn::addCall { who: vec![validator()], permit: true }).await;
        for some in miners.chunks(64) {
            world.send(NEURON, StandIn::addCall { who: some.to_vec(), permit: false }).await;
        }
        world.mine_to(first_block(10)).await;
        world
    }

    async fn board(rules: StandIn::Rules, miners: &[Address]) -> Self {
        let mut world = Self::begin().await;
        let path = chain::repository().join("contracts/abi/WeightBoard.json");
        let object: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let code: Bytes = object["bytecode"].as_str().unwrap().parse().unwrap();
        let parameters = Parameters {
            netuid: NETUID,
            tempo: rules.tempo,
            minWeights: rules.minWeights,
            maxWeight: rules.maxWeight,
            commitReveal: rules.commitReveal,
            revealPeriod: rules.revealPeriod,
            rateLimit: rules.rateLimit,
            versionKey: rules.versionKey,
        };
        let data = [code.to_vec(), (operator(), parameters).abi_encode_params()].concat();
        let receipt = world.transact(json!({"from": operator(), "data": Bytes::from(data), "gas": "0x1000000"})).await;
        let board: Address = receipt["contractAddress"].as_str().unwrap().parse().unwrap();
        world.place = Place::Board(board);
        for who in [&[validator()], miners].concat() {
            world.send(board, WeightBoard::registerCall { who }).await;
        }
        world.send(board, WeightBoard::setPermitCall { uid: 0, permit: true }).await;
        let head = world.head().await;
        world.mine_to(first_block(head / 20 + 2)).await;
        world
    }

    fn target(&self) -> Address {
        match self.place {
            Place::Precompiles { .. } => NEURON,
            Place::Board(board) => board,
        }
    }

    fn options(&self) -> Options {
        Options::new(self.folder.path().join("weights.json"), self.place, NETUID)
    }

    async fn open(&self) -> WeightSetter {
        WeightSetter::open(self.anvil.chain().await, signer(0), self.options()).unwrap()
    }

    /// By the operator, in a block of its own.
    async fn send(&self, to: Address, call: impl SolCall) -> Value {
        let data: Bytes = call.abi_encode().into();
        self.transact(json!({"from": operator(), "to": to, "data": data, "gas": "0x1000000"})).await
    }

    async fn transact(&self, transaction: Value) -> Value {
        let hash = self.anvil.rpc("eth_sendTransaction", json!([transaction])).await;
        self.anvil.mine(1).await;
        let receipt = self.anvil.rpc("eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }

    async fn head(&self) -> u64 {
        self.chain.head().await.unwrap().number
    }

    /// The next block is this one.
    async fn mine_to(&self, next: u64) {
        let head = self.head().await;
        assert!(head < next, "block {head} is mined");
        if next - 1 > head {
            self.anvil.mine(next - 1 - head).await;
        }
    }

    /// Goes on until nothing more is to be done in this block, and mines each transaction; says what happened.
    async fn drive(&self, setter: &mut WeightSetter) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            match setter.step().await.unwrap() {
                Step::Waits => return steps,
                alarm @ Step::Alarm(_) => {
                    steps.push(alarm);
                    return steps;
                }
                step => {
                    if matches!(step, Step::Sent(_)) {
                        self.anvil.mine(1).await;
                    }
                    steps.push(step);
                }
            }
        }
    }

    async fn weights(&self) -> (Vec<u16>, Vec<u16>) {
        let found = StandIn::new(self.target(), self.chain.provider()).weightsOf(0).call().await.unwrap();
        (found.uids, found.values)
    }

    async fn transactions(&self) -> u64 {
        self.chain.nonce(validator()).await.unwrap()
    }

    /// The name of the error by which a call of the validator's would be refused.
    async fn refusal(&self, from: Address, call: impl SolCall) -> Option<String> {
        let draft = Draft::call(self.target(), call.abi_encode().into());
        let error = self.chain.simulate("a call", &draft.request(from, Some(16_000_000))).await.err()?;
        Some(refusal(&error).unwrap_or_else(|| panic!("{error}")))
    }
}

fn epoch_of(world_block: u64) -> u64 {
    (world_block + u64::from(NETUID) + 1) / 20
}

fn committed() -> [Step; 3] {
    [Step::Prepared(Act::Commit), Step::Sent(Act::Commit), Step::Became(State::Committed)]
}

fn revealed() -> [Step; 4] {
    [Step::Became(State::Revealable), Step::Prepared(Act::Reveal), Step::Sent(Act::Reveal), Step::Became(State::Revealed)]
}

fn alarm(name: &str) -> Vec<Step> {
    vec![Step::Alarm(name.to_owned())]
}

// ------------------------------------------------------------------------------------------------------ hashes

#[tokio::test]
async fn commits_are_hashed_as_bittensor_does() {
    // Of Bittensor's own tests: the account of the precompile 0x803.
    let of_subnets = b256!("0x3a8618fbbb1bbc478664ff5346180c35d09fac26f2027085b31c56c1063c1cd3");
    assert_eq!(mirror(SUBNET), of_subnets);
    let world = World::bittensor(rules(), &miners(1)).await;
    let stand_in = StandIn::new(NEURON, world.chain.provider());
    assert_eq!(stand_in.mirrorOf(validator()).call().await.unwrap(), mirror(validator()));
    let key = mirror(validator());
    for (count, version) in [(0, 0), (1, 1), (63, 2), (64, 3), (256, u64::MAX), (0x4000, 4)] {
        let list = |shift: u16| (0..count).map(|k: u16| k.wrapping_mul(257).wrapping_add(shift)).collect::<Vec<u16>>();
        let (vector, salt) = (Vector { uids: list(0), values: list(1) }, list(2));
        let hash = scale_hash(key, NETUID, &vector, &salt, version);
        let encoded = (key.0, NETUID, &vector.uids, &vector.values, &salt, version).encode();
        assert_eq!(hash.0, <[u8; 32]>::from(Blake2b::<U32>::digest(encoded)));
        if count <= 256 {
            let Vector { uids, values } = vector;
            assert_eq!(stand_in.hashOf(key, NETUID, uids, values, salt, version).call().await.unwrap(), hash);
        }
    }
}

// ------------------------------------------------------------------------------------------------------ the usual way

/// Committed to in the first quarter of an epoch, revealed from the first block of the next, in both places. Miners that nobody knows are
/// left out; newer weights wait for those on their way.
#[tokio::test]
async fn weights_are_committed_and_revealed() {
    for world in [World::bittensor(rules(), &miners(3)).await, World::board(rules(), &miners(3)).await] {
        let mut setter = world.open().await;
        assert_eq!(world.drive(&mut setter).await, []);
        let stranger = Address::repeat_byte(0x55);
        assert!(setter.compute(4, vec![(miner(0), 100), (stranger, 65_535), (miner(2), 300), (miner(1), 0)]).unwrap());
        let epoch = epoch_of(world.head().await + 1);
        assert_eq!(world.drive(&mut setter).await, committed());
        // Not before its time, whatever is asked for.
        assert!(!setter.compute(4, vec![(miner(1), 1)]).unwrap() && !setter.compute(3, vec![(miner(1), 1)]).unwrap());
        assert!(setter.compute(5, vec![(miner(1), 1)]).unwrap() && setter.compute(6, vec![(miner(1), 2), (miner(0), 1)]).unwrap());
        assert!(!setter.compute(5, vec![(miner(1), 1)]).unwrap());
        while world.head().await + 1 < first_block(epoch + 1) {
            assert_eq!(world.drive(&mut setter).await, []);
            world.anvil.mine(1).await;
        }
        assert_eq!(setter.status().weights, Some((4, State::Committed)));
        assert!(world.weights().await.0.is_empty());
        assert_eq!(world.drive(&mut setter).await, []);
        world.anvil.mine(1).await;
        // Then the next ones have their turn: it is still the first quarter.
        let steps = world.drive(&mut setter).await;
        assert_eq!(steps, [&revealed()[..], &[Step::Became(State::Computed)], &committed()].concat());
        assert_eq!(world.weights().await, (vec![1, 3], vec![21_845, 65_535]));
        assert_eq!(setter.status().weights, Some((6, State::Committed)));
        world.mine_to(first_block(epoch + 2) + 1).await;
        assert_eq!(world.drive(&mut setter).await, revealed());
        assert_eq!(world.weights().await, (vec![1, 2], vec![32_768, 65_535]));
        assert_eq!(world.transactions().await, 4);
        assert_eq!((setter.status().is_next_here, setter.status().alarm), (false, None));
    }
}

/// Before the first quarter of an epoch is over a commit gets in, and no later.
#[tokio::test]
async fn commits_wait_for_the_first_quarter() {
    let world = World::bittensor(rules(), &miners(1)).await;
    let mut setter = world.open().await;
    // The next block is the sixth of twenty, then the last.
    for position in [5, 19] {
        world.mine_to(first_block(10) + position).await;
        setter.compute(position, vec![(miner(0), 1)]).unwrap();
        assert_eq!(world.drive(&mut setter).await, []);
    }
    assert_eq!(setter.status().weights, Some((19, State::Computed)));
    world.mine_to(first_block(11) + 4).await;
    assert_eq!(world.drive(&mut setter).await, committed());
    assert_eq!(world.head().await, first_block(11) + 4);
}

/// A reveal is made until nine tenths of its epoch are over; then, and once the epoch is over, the weights are computed anew.
#[tokio::test]
async fn reveals_that_come_too_late_are_made_anew() {
    for world in [World::bittensor(rules(), &miners(2)).await, World::board(rules(), &miners(2)).await] {
        let mut setter = world.open().await;
        setter.compute(1, vec![(miner(0), 1)]).unwrap();
        let epoch = epoch_of(world.head().await + 1);
        assert_eq!(world.drive(&mut setter).await, committed());
        world.mine_to(first_block(epoch + 1) + 18).await;
        assert_eq!(world.drive(&mut setter).await, [Step::Became(State::Revealable)]);
        world.mine_to(first_block(epoch + 2) - 1).await;
        assert_eq!(world.drive(&mut setter).await, []);
        // The first block after it.
        world.anvil.mine(1).await;
        assert_eq!(world.drive(&mut setter).await, [&[Step::Became(State::Computed)][..], &committed()].concat());
        world.mine_to(first_block(epoch + 3) + 17).await;
        assert_eq!(world.drive(&mut setter).await, revealed());
        assert_eq!(world.weights().await, (vec![1], vec![65_535]));
        // Newer ones take the place of a void commit's.
        world.mine_to(first_block(epoch + 4)).await;
        setter.compute(2, vec![(miner(0), 1)]).unwrap();
        assert_eq!(world.drive(&mut setter).await, committed());
        setter.compute(3, vec![(miner(1), 1)]).unwrap();
        world.mine_to(first_block(epoch + 6)).await;
        assert_eq!(world.drive(&mut setter).await, [&[Step::Became(State::Computed)][..], &committed()].concat());
        assert_eq!(setter.status().weights, Some((3, State::Committed)));
        assert!(!setter.status().is_next_here);
    }
}

/// Where a subnet has no commits, weights are set, no faster than it allows.
#[tokio::test]
async fn weights_are_set_where_there_are_no_commits() {
    let rules = StandIn::Rules { commitReveal: false, ..rules() };
    for world in [World::bittensor(rules.clone(), &miners(2)).await, World::board(rules.clone(), &miners(2)).await] {
        let mut setter = world.open().await;
        let set = [Step::Prepared(Act::Set), Step::Sent(Act::Set), Step::Became(State::Revealed)];
        setter.compute(1, vec![(miner(0), 1)]).unwrap();
        assert_eq!(world.drive(&mut setter).await, set);
        let at = world.head().await;
        assert_eq!(world.weights().await, (vec![1], vec![65_535]));
        setter.compute(2, vec![(miner(1), 1)]).unwrap();
        world.mine_to(at + 15).await;
        assert_eq!(world.drive(&mut setter).await, []);
        world.anvil.mine(1).await;
        assert_eq!(world.drive(&mut setter).await, set);
        assert_eq!(world.weights().await, (vec![2], vec![65_535]));
    }
}

#[tokio::test]
async fn all_256_uids_fit_into_one_call() {
    let all = miners(255);
    let weights = |by: u16| all.iter().zip(0u16..).map(|(miner, k)| (*miner, (k + 1) * by)).collect::<Vec<_>>();
    for world in [World::bittensor(rules(), &all).await, World::board(rules(), &all).await] {
        let mut setter = world.open().await;
        setter.compute(1, [weights(1), vec![(validator(), 128)]].concat()).unwrap();
        let epoch = epoch_of(world.head().await + 1);
        assert_eq!(world.drive(&mut setter).await, committed());
        world.mine_to(first_block(epoch + 1) + 1).await;
        assert_eq!(world.drive(&mut setter).await, revealed());
        let (uids, values) = world.weights().await;
        assert_eq!(uids, (0..256).collect::<Vec<u16>>());
        assert_eq!((values[0], values[1], values[255]), (32_896, 257, 65_535));
    }
}

/// The least number of weights is reached with zeros, and the largest share is kept, as each subnet says just then.
#[tokio::test]
async fn the_subnets_switches_are_followed() {
    let strict = StandIn::Rules { minWeights: 4, maxWeight: 26_214, ..rules() };
    for world in [World::bittensor(strict.clone(), &miners(5)).await, World::board(strict.clone(), &miners(5)).await] {
        let mut setter = world.open().await;
        // One alone would have everything, two half.
        setter.compute(1, vec![(miner(3), 9), (miner(4), 1)]).unwrap();
        assert_eq!(world.drive(&mut setter).await, alarm("MaxWeightExceeded"));
        assert_eq!(setter.status().alarm.as_deref(), Some("MaxWeightExceeded"));
        setter.compute(2, vec![(miner(2), 60_000), (miner(3), 900), (miner(4), 800)]).unwrap();
        let epoch = epoch_of(world.head().await + 1);
        assert_eq!(world.drive(&mut setter).await, committed());
        assert_eq!(setter.status().alarm, None);
        world.mine_to(first_block(epoch + 1) + 1).await;
        assert_eq!(world.drive(&mut setter).await, revealed());
        let (uids, values) = world.weights().await;
        assert_eq!((uids, values[0]), (vec![0, 3, 4, 5], 0));
        let (sum, most) = (values.iter().map(|value| u64::from(*value)).sum::<u64>(), values.iter().copied().max().unwrap());
        assert!(u64::from(most) * 65_535 <= 26_214 * sum, "{values:?}");
    }
}

// ------------------------------------------------------------------------------------------------------ refusals

/// Every refusal that a subnet has, seen by its name, in its order: a call that breaks all rules, mended rule by rule.
#[tokio::test]
async fn every_refusal_has_its_name() {
    let world = World::bittensor(StandIn::Rules { rateLimit: 100, minWeights: 3, maxWeight: 40_000, ..rules() }, &miners(4)).await;
    let set = |netuid, uids: &[u16], values: &[u16], version| WeightBoard::setWeightsCall {
        netuid,
        uids: uids.to_vec(),
        values: values.to_vec(),
        versionKey: version,
    };
    let stranger = Address::repeat_byte(0x55);
    let strict = StandIn::Rules { rateLimit: 100, minWeights: 3, maxWeight: 40_000, ..rules() };
    let open = StandIn::Rules { commitReveal: false, ..strict.clone() };
    let is = |name: &str| Some(name.to_owned());
    assert_eq!(world.refusal(validator(), set(NETUID, &[1], &[1], VERSION)).await, is("CommitRevealEnabled"));

    // Sets of weights, where there are no commits.
    world.send(NEURON, StandIn::setRulesCall { rules: open.clone() }).await;
    let first = Draft::call(NEURON, set(NETUID, &[1, 2, 3], &[1, 1, 1], VERSION).abi_encode().into());
    world.transact(serde_json::to_value(first.request(validator(), Some(16_000_000))).unwrap()).await;
    world.send(NEURON, StandIn::setNeuronCall { uid: 0, permit: false, stake: 99 }).await;
    let (six, five) = (&[1, 1, 9, 9, 9, 9], &[7, 1, 1, 1, 1]);
    assert_eq!(world.refusal(stranger, set(8, six, five, 0)).await, is("WeightVecNotEqualSize"));
    let values = &[7, 1, 1, 1, 1, 1];
    assert_eq!(world.refusal(stranger, set(8, six, values, 0)).await, is("SubNetworkDoesNotExist"));
    assert_eq!(world.refusal(stranger, set(NETUID, six, values, 0)).await, is("UidsLengthExceedUidsInSubNet"));
    let (uids, values) = (&[1, 1, 9], &[7, 1, 1]);
    assert_eq!(world.refusal(stranger, set(NETUID, uids, values, 0)).await, is("HotKeyNotRegisteredInSubNet"));
    assert_eq!(world.refusal(validator(), set(NETUID, uids, values, 0)).await, is("NotEnoughStakeToSetWeights"));
    world.send(NEURON, StandIn::setNeuronCall { uid: 0, permit: false, stake: 100 }).await;
    assert_eq!(world.refusal(validator(), set(NETUID, uids, values, 0)).await, is("IncorrectWeightVersionKey"));
    assert_eq!(world.refusal(validator(), set(NETUID, uids, values, VERSION)).await, is("SettingWeightsTooFast"));
    world.anvil.mine(100).await;
    assert_eq!(world.refusal(validator(), set(NETUID, uids, values, VERSION)).await, is("NeuronNoValidatorPermit"));
    world.send(NEURON, StandIn::setNeuronCall { uid: 0, permit: true, stake: 100 }).await;
    assert_eq!(world.refusal(validator(), set(NETUID, uids, values, VERSION)).await, is("DuplicateUids"));
    assert_eq!(world.refusal(validator(), set(NETUID, &[1, 9], &[7, 1], VERSION)).await, is("UidVecContainInvalidOne"));
    assert_eq!(world.refusal(validator(), set(NETUID, &[1, 2], &[7, 1], VERSION)).await, is("WeightVecLengthIsLow"));
    assert_eq!(world.refusal(validator(), set(NETUID, &[1, 2, 3], values, VERSION)).await, is("MaxWeightExceeded"));
    assert_eq!(world.refusal(validator(), set(NETUID, &[1, 2, 3], &[6, 3, 1], VERSION)).await, None);

    // Commits, and their reveals.
    let commit = |hash| WeightBoard::commitWeightsCall { netuid: NETUID, commitHash: hash };
    let reveal = |salt| WeightBoard::revealWeightsCall {
        netuid: NETUID,
        uids: vec![1, 2, 3],
        values: vec![1, 1, 1],
        salt: vec![salt],
        versionKey: VERSION,
    };
    let hash = |salt| scale_hash(mirror(validator()), NETUID, &Vector { uids: vec![1, 2, 3], values: vec![1, 1, 1] }, &[salt], VERSION);
    let make = |salt| Draft::call(NEURON, commit(hash(salt)).abi_encode().into()).request(validator(), Some(1_000_000));
    assert_eq!(world.refusal(validator(), commit(B256::ZERO)).await, is("CommitRevealDisabled"));
    assert_eq!(world.refusal(validator(), reveal(1)).await, is("CommitRevealDisabled"));
    world.send(NEURON, StandIn::setRulesCall { rules: strict.clone() }).await;
    assert_eq!(world.refusal(stranger, commit(B256::ZERO)).await, is("HotKeyNotRegisteredInSubNet"));
    assert_eq!(world.refusal(validator(), reveal(1)).await, is("NoWeightsCommitFound"));
    world.anvil.mine(100).await;
    world.transact(serde_json::to_value(make(0)).unwrap()).await;
    assert_eq!(world.refusal(validator(), commit(B256::ZERO)).await, is("CommittingWeightsTooFast"));
    world.send(NEURON, StandIn::setRulesCall { rules: StandIn::Rules { rateLimit: 0, ..strict } }).await;
    let next = first_block(epoch_of(world.head().await) + 1);
    world.mine_to(next).await;
    for salt in 1..=9 {
        world.transact(serde_json::to_value(make(salt)).unwrap()).await;
    }
    assert_eq!(world.refusal(validator(), commit(B256::ZERO)).await, is("TooManyUnrevealedCommits"));
    assert_eq!(world.refusal(validator(), reveal(3)).await, is("RevealTooEarly"));
    assert_eq!(world.refusal(validator(), reveal(11)).await, is("InvalidRevealCommitHashNotMatch"));
    world.mine_to(next + 21).await;
    assert_eq!(world.refusal(validator(), reveal(3)).await, None);
    world.mine_to(next + 41).await;
    assert_eq!(world.refusal(validator(), reveal(3)).await, is("ExpiredWeightCommit"));
    world.send(NEURON, StandIn::disableCall { disabled: true }).await;
    assert_eq!(world.refusal(validator(), reveal(3)).await, is("PrecompileDisabled"));

    // A board has the same names, without a reason in words.
    let world = World::board(rules(), &miners(2)).await;
    assert_eq!(world.refusal(validator(), set(NETUID, &[1], &[1], VERSION)).await, is("CommitRevealEnabled"));
    assert_eq!(world.refusal(stranger, commit(B256::ZERO)).await, is("HotKeyNotRegisteredInSubNet"));
    assert_eq!(world.refusal(validator(), reveal(1)).await, is("NoWeightsCommitFound"));
}

/// What may pass is waited out, what makes the commit void is a reason to compute anew, and each has its name.
#[tokio::test]
async fn refusals_are_alarms_or_reasons_to_compute_anew() {
    let world = World::bittensor(rules(), &miners(2)).await;
    let mut setter = world.open().await;
    setter.compute(1, vec![(Address::repeat_byte(0x55), 1)]).unwrap();
    assert_eq!(world.drive(&mut setter).await, alarm("NoWeights"));
    setter.compute(2, vec![(miner(0), 1)]).unwrap();
    assert_eq!(world.drive(&mut setter).await, committed());

    // Stake and permit may come back.
    world.mine_to(first_block(11) + 1).await;
    world.send(NEURON, StandIn::setNeuronCall { uid: 0, permit: true, stake: 0 }).await;
    assert_eq!(world.drive(&mut setter).await, [Step::Became(State::Revealable), Step::Alarm("NotEnoughStakeToSetWeights".to_owned())]);
    world.send(NEURON, StandIn::setNeuronCall { uid: 0, permit: false, stake: 1000 }).await;
    assert_eq!(world.drive(&mut setter).await, alarm("NeuronNoValidatorPermit"));
    // Another version does not: what was committed to says the former.
    world.send(NEURON, StandIn::setNeuronCall { uid: 0, permit: true, stake: 1000 }).await;
    world.send(NEURON, StandIn::setRulesCall { rules: StandIn::Rules { versionKey: VERSION + 1, ..rules() } }).await;
    assert_eq!(world.drive(&mut setter).await, [Step::Became(State::Computed)]);
    world.mine_to(first_block(12)).await;
    assert_eq!(world.drive(&mut setter).await, committed());
    world.mine_to(first_block(13) + 1).await;
    assert_eq!(world.drive(&mut setter).await, revealed());
    assert_eq!(world.weights().await.0, [1]);

    // Commits are switched off on the way: the weights are set.
    world.mine_to(first_block(14)).await;
    setter.compute(3, vec![(miner(1), 1)]).unwrap();
    assert_eq!(world.drive(&mut setter).await, committed());
    world.send(NEURON, StandIn::setRulesCall { rules: StandIn::Rules { commitReveal: false, ..rules() } }).await;
    world.mine_to(first_block(15) + 1).await;
    let set = [Step::Prepared(Act::Set), Step::Sent(Act::Set), Step::Became(State::Revealed)];
    assert_eq!(world.drive(&mut setter).await, [&[Step::Became(State::Revealable), Step::Became(State::Computed)][..], &set].concat());
    assert_eq!(world.weights().await.0, [2]);

    // Its uid is another's.
    world.send(NEURON, StandIn::replaceCall { uid: 0, who: Address::repeat_byte(0x66) }).await;
    world.anvil.mine(20).await;
    setter.compute(4, vec![(miner(0), 1)]).unwrap();
    assert_eq!(world.drive(&mut setter).await, alarm("HotKeyNotRegisteredInSubNet"));
    world.send(NEURON, StandIn::addCall { who: vec![validator()], permit: true }).await;
    assert_eq!(world.drive(&mut setter).await, set);
    assert_eq!(setter.status().alarm, None);
}

/// A precompile that the chain has switched off is an alarm with a name; whatever was on its way goes on when it is back.
#[tokio::test]
async fn a_precompile_switched_off_loses_nothing() {
    let world = World::bittensor(rules(), &miners(1)).await;
    let mut setter = world.open().await;
    setter.compute(1, vec![(miner(0), 1)]).unwrap();
    let off = alarm("PrecompileDisabled");
    for precompile in [METAGRAPH, SUBNET, NEURON] {
        let before = setter.status().weights;
        world.send(precompile, StandIn::disableCall { disabled: true }).await;
        world.mine_to(first_block(epoch_of(world.head().await) + 1)).await;
        assert_eq!(world.drive(&mut setter).await, off, "{precompile}");
        assert_eq!((setter.status().weights, setter.status().alarm.as_deref()), (before, Some("PrecompileDisabled")));
        world.send(precompile, StandIn::disableCall { disabled: false }).await;
    }
    assert_eq!(world.transactions().await, 0);
    assert_eq!(world.drive(&mut setter).await, committed());
    let epoch = epoch_of(world.head().await);

    // In the due epoch, then until it is over.
    world.send(NEURON, StandIn::disableCall { disabled: true }).await;
    world.mine_to(first_block(epoch + 1) + 1).await;
    assert_eq!(world.drive(&mut setter).await, [&[Step::Became(State::Revealable)][..], &off].concat());
    world.mine_to(first_block(epoch + 2)).await;
    assert_eq!(world.drive(&mut setter).await, [&[Step::Became(State::Computed)][..], &off].concat());
    world.send(NEURON, StandIn::disableCall { disabled: false }).await;
    assert_eq!(world.drive(&mut setter).await, committed());
    world.mine_to(first_block(epoch + 3) + 1).await;
    assert_eq!(world.drive(&mut setter).await, revealed());
    assert_eq!(world.weights().await.0, [1]);
}

/// In a hundred epochs nothing is ever sent too fast, whether the limit is shorter than an epoch or longer: each transaction does what it
/// should.
#[tokio::test]
async fn the_rate_limit_is_never_hit() {
    for (limit, epochs, commits) in [(15, 100, 100), (45, 30, 10)] {
        let world = World::bittensor(StandIn::Rules { rateLimit: limit, ..rules() }, &miners(2)).await;
        let mut setter = world.open().await;
        let mut made = 0;
        for epoch in 10..10 + epochs {
            for position in [1, 3] {
                if world.head().await + 1 < first_block(epoch) + position {
                    world.mine_to(first_block(epoch) + position).await;
                }
                setter.compute(epoch, vec![(miner((epoch % 2) as u16), 1)]).unwrap();
                let steps = world.drive(&mut setter).await;
                assert!(!steps.iter().any(|step| matches!(step, Step::Alarm(_) | Step::Failed(_))), "{steps:?}");
                made += steps.iter().filter(|step| **step == Step::Became(State::Committed)).count();
            }
        }
        assert_eq!(made, commits);
        // The last one is not due yet, or just revealed.
        let revealed = world.transactions().await as usize - made;
        assert!(revealed + 1 >= made && revealed <= made, "{revealed} of {made}");
    }
}

/// A tempo that is not the subnet's shows by name.
#[tokio::test]
async fn a_wrong_tempo_is_noticed() {
    let world = World::bittensor(rules(), &miners(1)).await;
    for (tempo, after, found) in [
        (9, 10, [&[Step::Became(State::Revealable)][..], &alarm("RevealTooEarly")].concat()),
        (39, 40, [&[Step::Became(State::Revealable), Step::Became(State::Computed)][..], &committed()].concat()),
    ] {
        let place = Place::Precompiles { tempo };
        let path = world.folder.path().join(format!("{tempo}.json"));
        let mut setter = WeightSetter::open(world.chain.clone(), signer(0), Options { path, place, ..world.options() }).unwrap();
        setter.compute(1, vec![(miner(0), 1)]).unwrap();
        let next = first_block(epoch_of(world.head().await + 1).next_multiple_of(2) + 2);
        world.mine_to(next).await;
        assert_eq!(world.drive(&mut setter).await, committed());
        world.mine_to(next + after + 1).await;
        assert_eq!(world.drive(&mut setter).await, found, "{tempo}");
    }
}

// ------------------------------------------------------------------------------------------------------ kills

/// Killed, which is to be opened again from its file, at each point from the weights' computing to their reveal, and left alone for some
/// time or none: they are revealed in time, or computed anew and revealed in the next, by no transaction more than is needed.
#[tokio::test]
async fn killed_at_any_point() {
    // After how many steps, how many blocks it is away, and the transactions that it takes all in all.
    let points = [
        ("computed", 0, 0, 2),
        ("the commit signed, not sent", 1, 0, 2),
        ("the commit signed, and away beyond its epoch", 1, 30, 2),
        ("the commit sent, not mined", 2, 0, 2),
        ("the commit sent, and away until it is due", 2, 20, 2),
        ("committed", 3, 0, 2),
        ("committed, and away until it is due", 3, 20, 2),
        ("committed, and away until it is out of date", 3, 40, 3),
        ("revealable", 4, 0, 2),
        ("revealable, and away until it is out of date", 4, 25, 3),
        ("the reveal signed, not sent", 5, 0, 2),
        ("the reveal signed, and away until it is out of date", 5, 25, 3),
        ("the reveal sent, not mined", 6, 0, 2),
        ("the reveal sent, and away for an epoch", 6, 20, 2),
        ("revealed", 7, 20, 2),
    ];
    for (name, steps, away, transactions) in points {
        let world = World::bittensor(rules(), &miners(1)).await;
        let mut setter = world.open().await;
        setter.compute(1, vec![(miner(0), 1)]).unwrap();
        let mut done = 0;
        while done < steps {
            let step = setter.step().await.unwrap();
            if step == Step::Waits {
                // Nothing is mined by waiting but what was sent before.
                world.anvil.mine(1).await;
                continue;
            }
            done += 1;
            if matches!(step, Step::Sent(_)) && done < steps {
                world.anvil.mine(1).await;
            }
        }
        drop(setter);
        if away > 0 {
            world.anvil.mine(away).await;
        }
        let mut setter = world.open().await;
        assert!(!setter.compute(1, vec![]).unwrap(), "{name}");
        for _ in 0..90 {
            let steps = world.drive(&mut setter).await;
            assert!(!steps.iter().any(|step| matches!(step, Step::Alarm(_) | Step::Failed(_))), "{name}: {steps:?}");
            if setter.status().weights == Some((1, State::Revealed)) {
                break;
            }
            world.anvil.mine(1).await;
        }
        assert_eq!(setter.status().weights, Some((1, State::Revealed)), "{name}");
        assert_eq!(world.weights().await.0, [1], "{name}");
        assert_eq!(world.transactions().await, transactions, "{name}");
    }
}

/// The same bytes are sent again where the node has lost them; where another transaction takes the nonce, the weights go on by a new one.
#[tokio::test]
async fn lost_transactions_are_sent_again_or_made_anew() {
    let world = World::bittensor(rules(), &miners(1)).await;
    let mut setter = world.open().await;
    setter.compute(1, vec![(miner(0), 1)]).unwrap();
    let pool = || async { world.anvil.rpc("txpool_content", json!([])).await["pending"].clone() };
    assert_eq!(setter.advance().await.unwrap(), Step::Sent(Act::Commit));
    let first = pool().await;
    world.anvil.rpc("anvil_dropAllTransactions", json!([])).await;
    assert_eq!(setter.step().await.unwrap(), Step::Waits);
    assert_eq!(pool().await, first);
    // Another by the same key, with the same nonce.
    world.anvil.rpc("anvil_dropAllTransactions", json!([])).await;
    world.transact(json!({"from": validator(), "to": operator(), "value": "0x1"})).await;
    assert_eq!(setter.step().await.unwrap(), Step::Waits);
    world.anvil.mine(2).await;
    // Newer weights need not wait for a commit that there is not.
    assert!(setter.compute(2, vec![(miner(0), 2)]).unwrap());
    assert_eq!(setter.status().weights, Some((1, State::Computed)));
    assert_eq!(setter.step().await.unwrap(), Step::Failed(Act::Commit));
    assert_eq!((setter.status().weights, setter.status().is_next_here), (Some((2, State::Computed)), false));
    assert_eq!(world.drive(&mut setter).await, committed());
    // A reveal, too; and one that is not mined in its epoch.
    world.mine_to(first_block(11) + 1).await;
    assert_eq!(setter.advance().await.unwrap(), Step::Sent(Act::Reveal));
    world.anvil.rpc("anvil_dropAllTransactions", json!([])).await;
    world.transact(json!({"from": validator(), "to": operator(), "value": "0x1"})).await;
    assert_eq!(setter.step().await.unwrap(), Step::Waits);
    world.anvil.mine(2).await;
    assert_eq!(setter.step().await.unwrap(), Step::Failed(Act::Reveal));
    assert_eq!(setter.advance().await.unwrap(), Step::Sent(Act::Reveal));
    world.anvil.rpc("anvil_dropAllTransactions", json!([])).await;
    world.mine_to(first_block(12) + 2).await;
    assert_eq!(world.drive(&mut setter).await, [&[Step::Became(State::Computed)][..], &committed()].concat());
}

/// Transactions that are mined and fail, though they passed before, are not tried again and again in one epoch.
#[tokio::test]
async fn failing_transactions_are_not_paid_for_without_end() {
    let world = World::bittensor(rules(), &miners(1)).await;
    let mut setter = world.open().await;
    setter.compute(1, vec![(miner(0), 1)]).unwrap();
    for k in 0..3 {
        assert_eq!(setter.step().await.unwrap(), Step::Prepared(Act::Commit), "{k}");
        assert_eq!(setter.step().await.unwrap(), Step::Sent(Act::Commit));
        // Before it, in the same block, the operator switches the precompile off.
        let off: Bytes = StandIn::disableCall { disabled: true }.abi_encode().into();
        let first = json!({"from": operator(), "to": NEURON, "data": off, "gas": "0x100000", "gasPrice": "0x2e90edd000"});
        world.anvil.rpc("eth_sendTransaction", json!([first])).await;
        world.anvil.mine(1).await;
        assert_eq!(setter.step().await.unwrap(), Step::Failed(Act::Commit));
        // Back without a block: an epoch has few.
        world.anvil.rpc("anvil_setStorageAt", json!([NEURON, B256::ZERO, B256::ZERO])).await;
    }
    assert_eq!(setter.step().await.unwrap(), Step::Alarm("TransactionsFail".to_owned()));
    assert_eq!(world.transactions().await, 3);
    world.mine_to(first_block(11)).await;
    assert_eq!(world.drive(&mut setter).await, committed());
}

// ------------------------------------------------------------------------------------------------------ the file

#[tokio::test]
async fn the_file_is_its_accounts_own() {
    let world = World::bittensor(rules(), &miners(1)).await;
    let mut setter = world.open().await;
    let path = world.options().path;
    let open = |signer, options| WeightSetter::open(world.chain.clone(), signer, options).unwrap_err();
    assert!(matches!(open(signer(0), world.options()), StoreError::Locked { .. }));
    setter.compute(1, vec![(miner(0), 1)]).unwrap();
    assert_eq!(setter.step().await.unwrap(), Step::Prepared(Act::Commit));
    // The salt is in it.
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(setter);
    assert!(matches!(open(signer(1), world.options()), StoreError::Foreign { .. }));
    assert!(matches!(open(signer(0), Options { netuid: 8, ..world.options() }), StoreError::Foreign { .. }));
    assert!(matches!(open(signer(0), Options { place: Place::Board(NEURON), ..world.options() }), StoreError::Foreign { .. }));
    let text = std::fs::read_to_string(&path).unwrap();
    for (bad, is_newer) in [
        (text.replacen("\"version\": 1", "\"version\": 2", 1), true),
        (text.replacen("\"version\": 1", "\"version\": 0", 1), false),
        (text[..text.len() / 2].to_owned(), false),
        (text.replacen("\"computed\"", "\"confused\"", 1), false),
    ] {
        std::fs::write(&path, bad).unwrap();
        let error = open(signer(0), world.options());
        assert_eq!(matches!(error, StoreError::Newer { .. }), is_newer, "{error}");
        assert!(error.to_string().contains("weights.json"), "{error}");
    }
    // What cannot be written is not done: nothing is sent that is not on disk.
    std::fs::write(&path, text).unwrap();
    let folder = path.parent().unwrap().join("gone");
    std::fs::create_dir(&folder).unwrap();
    let mut setter =
        WeightSetter::open(world.chain.clone(), signer(0), Options { path: folder.join("weights.json"), ..world.options() }).unwrap();
    setter.compute(1, vec![(miner(0), 1)]).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(setter.compute(2, vec![]).is_err());
    assert!(matches!(setter.step().await, Err(WeightError::Store(StoreError::Io { .. }))));
    assert!(matches!(setter.step().await, Err(WeightError::Store(StoreError::Io { .. }))));
    assert_eq!(setter.status().weights, Some((1, State::Computed)));
    assert_eq!(world.transactions().await, 0);
}

// ------------------------------------------------------------------------------------------------------ Frontier's answers

/// A node in front of anvil that answers as Frontier does: a call that fails is an error without data, whose message has the name; a receipt
/// says nothing of prices.
#[derive(Clone)]
struct Frontier {
    anvil: String,
    client: reqwest::Client,
    /// Calls that were refused.
    refused: Arc<AtomicU32>,
}

async fn answer(Shared(node): Shared<Frontier>, Json(call): Json<Value>) -> Json<Value> {
    let answer = node.client.post(&node.anvil).header("content-type", "application/json").body(call.to_string()).send().await.unwrap();
    let mut answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    if let Some((_, reason)) = answer["error"]["message"].as_str().and_then(|message| message.split_once("execution reverted: ")) {
        let message = format!("evm error: Other({reason:?})");
        answer["error"] = json!({"code": -32603, "message": message, "data": "0x"});
        node.refused.fetch_add(1, Ordering::Relaxed);
    }
    if call["method"] == "eth_getTransactionReceipt"
        && let Some(receipt) = answer["result"].as_object_mut()
    {
        for field in ["effectiveGasPrice", "logsBloom", "type", "cumulativeGasUsed"] {
            receipt.remove(field);
        }
    }
    // Its estimates of such calls cannot be relied on.
    assert_ne!(call["method"], "eth_estimateGas");
    Json(answer)
}

#[tokio::test]
async fn frontiers_answers_are_understood() {
    let world = World::bittensor(rules(), &miners(1)).await;
    let (client, ..) = http_client(&world.anvil.url, Duration::from_secs(10)).unwrap();
    let node = Frontier { anvil: world.anvil.url.clone(), client, refused: Arc::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(answer)).with_state(node.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let through = Chain::connect(&url, None).await.unwrap();
    let mut setter = WeightSetter::open(through.clone(), signer(0), world.options()).unwrap();
    setter.compute(1, vec![(miner(0), 1)]).unwrap();
    for precompile in [METAGRAPH, SUBNET, NEURON] {
        world.send(precompile, StandIn::disableCall { disabled: true }).await;
        assert_eq!(world.drive(&mut setter).await, alarm("PrecompileDisabled"));
        world.anvil.rpc("anvil_setStorageAt", json!([precompile, B256::ZERO, B256::ZERO])).await;
    }
    world.mine_to(first_block(11)).await;
    assert_eq!(world.drive(&mut setter).await, committed());
    world.mine_to(first_block(12) + 1).await;
    world.send(NEURON, StandIn::setNeuronCall { uid: 0, permit: false, stake: 1000 }).await;
    let steps = world.drive(&mut setter).await;
    assert_eq!(steps, [Step::Became(State::Revealable), Step::Alarm("NeuronNoValidatorPermit".to_owned())]);
    world.send(NEURON, StandIn::setNeuronCall { uid: 0, permit: true, stake: 1000 }).await;
    assert_eq!(world.drive(&mut setter).await, revealed()[1..]);
    assert_eq!(world.weights().await.0, [1]);
    assert!(node.refused.load(Ordering::Relaxed) >= 4);
    // alloy alone does not read such a receipt.
    let block = world.head().await;
    let mined: Value = world.anvil.rpc("eth_getBlockByNumber", json!([format!("0x{block:x}"), false])).await;
    let hash: B256 = mined["transactions"][0].as_str().unwrap().parse().unwrap();
    assert!(through.receipt(hash).await.is_err());
}

/// The sentences of the node's answers, with and without a name.
#[test]
fn names_are_taken_from_answers() {
    let refused = |reason: &str| ChainError::Refused { url: String::new(), what: String::new(), reason: reason.to_owned() };
    for (reason, name) in [
        (r#"evm error: Other("dispatch execution failed: CommittingWeightsTooFast")"#, Some("CommittingWeightsTooFast")),
        (r#"evm error: Other("Precompile Neuron is disabled")"#, Some("PrecompileDisabled")),
        ("evm error: OutOfGas", None),
        ("dispatch execution failed: ", None),
        ("VM Exception while processing transaction: revert", None),
        ("gas limit exceeds block gas limit", None),
    ] {
        assert_eq!(refusal(&refused(reason)).as_deref(), name, "{reason}");
    }
    let silent = ChainError::Reverted { what: String::new(), data: Vec::new() };
    assert_eq!(refusal(&silent), None);
    // Nothing but a name is taken over into logs.
    assert_eq!(refusal(&refused("dispatch execution failed: Bad\nline: 1")).as_deref(), Some("Bad"));
}

/// A validator's loop can be moved between threads.
#[test]
fn setters_can_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    fn check(setter: &mut WeightSetter) {
        is_send(setter.advance());
    }
    let _ = check;
}
