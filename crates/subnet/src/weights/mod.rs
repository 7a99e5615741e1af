//! What miners earned, onto a chain: on Bittensor by the precompile of neurons, elsewhere by a `WeightBoard`, which has the same functions.
//!
//! ```text
//! computed ▶ committed ▶ revealable ▶ revealed
//!     ▲──────────┴────────────┘  expired, or refused for good
//! ```
//!
//! A commit, in the first quarter of an epoch, hides the weights behind a salt of the operating system's. They are revealed in exactly the
//! due epoch: from its first block on, until nine tenths of it are over, since what is mined too late is void. Where a subnet has no
//! commits, weights are set at once.
//!
//! Each call of [`WeightSetter::step`] looks at the chain and does one thing. What it signs is on disk before it is sent, and whoever comes
//! back after a kill sends the same bytes again. A call is run on the newest block before it is signed: where the subnet would refuse it,
//! nothing is sent, and the error's name is an alarm or a reason to compute anew. Weights are forgotten only once they are on the chain,
//! or when newer ones take their place.
//!
//! One set of weights is on its way at a time, so with a reveal period of n epochs the chain has new ones every n epochs. A transaction
//! that is stuck below the market's price is not replaced: it is given up with its epoch.

mod keeper;
mod place;
mod record;
mod vector;

use std::collections::HashMap;
use std::path::PathBuf;

use alloy::primitives::{Address, B256, Bytes, U64};
use alloy::providers::Provider as _;
use alloy::signers::local::PrivateKeySigner;
use serde::{Deserialize, Serialize};
use zkslice_chain::transaction::{Broadcast, Draft, Fees, broadcast};
use zkslice_chain::{Chain, ChainError};

use crate::transport::random;
use crate::{StoreError, WeightError};
use place::{Subnet, UNREGISTERED};
use record::{Commit, Pending, Record, Weights, Work};

pub(crate) use keeper::keep;
pub use place::{Place, mirror, refusal, scale_hash};
pub use vector::Vector;

/// Transactions of one epoch that may be mined and fail: what the chain took in a simulation and refuses all the same is paid for.
const MOST_FAILURES: u32 = 3;
/// Blocks after which a transaction without a receipt, whose nonce is used, is taken for lost: nodes behind one address need not agree at
/// once.
const LOST_BLOCKS: u64 = 2;
/// Refusals of a reveal that no other reveal of these weights can get round.
const VOID: [&str; 11] = [
    "CommitRevealDisabled",
    "NoWeightsCommitFound",
    "ExpiredWeightCommit",
    "InvalidRevealCommitHashNotMatch",
    "WeightVecNotEqualSize",
    "UidsLengthExceedUidsInSubNet",
    "IncorrectWeightVersionKey",
    "DuplicateUids",
    "UidVecContainInvalidOne",
    "WeightVecLengthIsLow",
    "MaxWeightExceeded",
];

/// Where weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The chain has nothing of them.
    Computed,
    /// The chain has their hash.
    Committed,
    /// It is the epoch in which they are to be revealed.
    Revealable,
    /// The chain has them.
    Revealed,
}

impl State {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Committed => "committed",
            Self::Revealable => "revealable",
            Self::Revealed => "revealed",
        }
    }
}

/// A transaction's purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Setting weights at once.
    Set,
    /// Committing to them.
    Commit,
    /// Revealing them.
    Reveal,
}

impl Act {
    const fn function(self) -> &'static str {
        match self {
            Self::Set => "setWeights",
            Self::Commit => "commitWeights",
            Self::Reveal => "revealWeights",
        }
    }
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it is not time yet, or there is nothing to do.
    Waits,
    /// A transaction is signed and on disk, not sent yet.
    Prepared(Act),
    /// It is sent.
    Sent(Act),
    /// The weights are somewhere else now.
    Became(State),
    /// A transaction did not do what it should: mined and failed, or its nonce went to another.
    Failed(Act),
    /// The weights do not get on, for the reason with this name: the subnet's error, `PrecompileDisabled`, `NoWeights` where no miner with
    /// a weight is registered, `TransactionsFail`, or `NotTaken` with what the node says.
    Alarm(String),
}

/// What a setter is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its file.
    pub path: PathBuf,
    /// Where the subnet is.
    pub place: Place,
    /// The subnet's number.
    pub netuid: u16,
    /// Most that a unit of gas may cost, in wei.
    pub max_fee_per_gas: Option<u128>,
    /// Gas of a commit. Fixed, since Bittensor's node does not estimate such calls reliably; what is not used is not paid for.
    pub commit_gas: u64,
    /// Gas of weights, set or revealed.
    pub weights_gas: u64,
}

impl Options {
    /// With enough gas for 256 weights in either place: a board takes 1.3 million for that, Bittensor counted 4.7 million in its earlier
    /// versions and less since.
    pub const fn new(path: PathBuf, place: Place, netuid: u16) -> Self {
        Self { path, place, netuid, max_fee_per_gas: None, commit_gas: 500_000, weights_gas: 8_000_000 }
    }
}

/// Where a setter is, for whoever watches it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The epoch whose weights are on their way, or were last, and where they are.
    pub weights: Option<(u64, State)>,
    /// Whether newer ones wait for them.
    pub is_next_here: bool,
    /// Why they do not get on.
    pub alarm: Option<String>,
}

/// Brings weights onto a chain.
#[derive(Debug)]
pub struct WeightSetter {
    subnet: Subnet,
    signer: PrivateKeySigner,
    options: Options,
    record: Record,
    /// The account's own uid, as it was last seen.
    uid: Option<u16>,
    /// What this process has sent.
    sent: Option<B256>,
    /// The block in which a nonce was first seen used without a receipt.
    lost_since: Option<u64>,
    alarm: Option<String>,
}

impl WeightSetter {
    /// Opens the file, and goes on where it was left.
    ///
    /// # Errors
    /// [`StoreError`]: the file cannot be read, is in use, or is another account's.
    pub fn open(chain: Chain, signer: PrivateKeySigner, options: Options) -> Result<Self, StoreError> {
        let subnet = Subnet::new(chain, options.place, options.netuid, signer.address());
        let record = Record::open(&options.path, &subnet)?;
        Ok(Self { subnet, signer, options, record, uid: None, sent: None, lost_since: None, alarm: None })
    }

    /// Looks whether the subnet is where the options say. What keeps a chain of Bittensor's from answering may pass, and is no reason not to
    /// begin there.
    ///
    /// # Errors
    /// [`WeightError::NoBoard`]; [`WeightError::Chain`] where the node is away.
    pub async fn check(&mut self) -> Result<(), WeightError> {
        let Place::Board(address) = self.options.place else { return Ok(()) };
        let (chain_id, netuid) = (self.subnet.chain.id(), self.options.netuid);
        match self.subnet.epochs().await {
            Ok(_) => Ok(()),
            Err(error) if error.is_transient() && !matches!(error, ChainError::InvalidAnswer { .. }) => Err(error.into()),
            Err(_) => Err(WeightError::NoBoard { address, chain_id, netuid }),
        }
    }

    /// Takes the weights of an epoch of the validator's: at once, or once those on their way are through. Weights of an epoch that is not
    /// newer than all before are ignored; returns whether these were taken.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was taken.
    pub fn compute(&mut self, epoch: u64, weights: Vec<(Address, u16)>) -> Result<bool, StoreError> {
        let newest = [self.record.work.as_ref().map(|work| work.weights.epoch), self.record.next.as_ref().map(|next| next.epoch)];
        if newest.into_iter().flatten().any(|known| epoch <= known) {
            return Ok(false);
        }
        let weights = Weights { epoch, of: weights };
        let before = (self.record.work.clone(), self.record.next.clone());
        match &mut self.record.work {
            Some(work) if work.state == State::Computed && work.pending.is_none() => work.weights = weights,
            Some(work) if work.state != State::Revealed => self.record.next = Some(weights),
            work => *work = Some(Work::new(weights)),
        }
        self.save_or(before)?;
        Ok(true)
    }

    /// Where the weights are.
    pub fn status(&self) -> Status {
        Status {
            weights: self.record.work.as_ref().map(|work| (work.weights.epoch, work.state)),
            is_next_here: self.record.next.is_some(),
            alarm: self.alarm.clone(),
        }
    }

    /// Goes on as far as it can without waiting for a block: to be called every few seconds.
    ///
    /// # Errors
    /// As of [`Self::step`].
    pub async fn advance(&mut self) -> Result<Step, WeightError> {
        loop {
            match self.step().await? {
                Step::Prepared(_) | Step::Became(_) => {}
                other => return Ok(other),
            }
        }
    }

    /// Does the next thing, if it is time for it. After an error it is as if it had not been called; the next call tries again.
    ///
    /// # Errors
    /// [`WeightError`]: the node is away, the account cannot pay, the file cannot be written.
    pub async fn step(&mut self) -> Result<Step, WeightError> {
        let step = match self.act().await {
            Err(WeightError::Chain(error)) => match refusal(&error) {
                Some(name) => self.refused(name)?,
                None => return Err(error.into()),
            },
            other => other?,
        };
        let epoch = self.record.work.as_ref().map(|work| work.weights.epoch);
        match &step {
            Step::Waits => {}
            Step::Alarm(name) => {
                if self.alarm.as_ref() != Some(name) {
                    tracing::error!(epoch, alarm = %name, "the weights do not get onto the chain");
                }
                self.alarm = Some(name.clone());
            }
            other => {
                tracing::info!(epoch, step = ?other, "weights");
                self.alarm = None;
            }
        }
        Ok(step)
    }

    async fn act(&mut self) -> Result<Step, WeightError> {
        let Some(work) = self.record.work.clone() else { return Ok(Step::Waits) };
        if let Some(pending) = work.pending.clone() {
            return self.follow(work, pending).await;
        }
        match work.state {
            State::Computed => self.begin(work).await,
            State::Committed | State::Revealable => self.reveal(work).await,
            State::Revealed => match self.record.next.clone() {
                Some(next) => self.put(Work::new(next)),
                None => Ok(Step::Waits),
            },
        }
    }

    // ---------------------------------------------------------------------------------------------- from state to state

    /// Commits to weights or, where there are no commits, sets them.
    async fn begin(&mut self, work: Work) -> Result<Step, WeightError> {
        let (epochs, head) = (self.subnet.epochs().await?, self.subnet.head().await?);
        if work.failures.1 >= MOST_FAILURES && work.failures.0 == epochs.of(head + 1) {
            return Ok(Step::Alarm("TransactionsFail".to_owned()));
        }
        let rules = self.subnet.rules().await?;
        if rules.commit_reveal && epochs.position(head + 1) * 4 >= epochs.length {
            return Ok(Step::Waits);
        }
        let Some(uid) = self.own_uid().await? else { return Ok(Step::Alarm(UNREGISTERED.to_owned())) };
        let last = self.subnet.last_update(uid).await?;
        // By the newest block, not the one that a transaction gets into: the simulation is run on that one.
        if last != 0 && head.saturating_sub(last) < rules.rate_limit {
            return Ok(Step::Waits);
        }
        let miners: Vec<Address> = work.weights.of.iter().map(|(miner, _)| *miner).collect();
        let uids = self.subnet.uids(&miners).await?;
        let weights = known(&work.weights, &uids);
        let count = self.subnet.uid_count().await?;
        let Some(vector) = Vector::new(&weights, count, rules.least, rules.largest_share) else {
            let is_nobody_known = weights.iter().all(|(_, weight)| *weight == 0);
            return Ok(Step::Alarm(if is_nobody_known { "NoWeights" } else { "MaxWeightExceeded" }.to_owned()));
        };
        let version_key = rules.version_key;
        if !rules.commit_reveal {
            let call = self.subnet.set_call(&vector, version_key);
            let commit = Commit { uid, vector, salt: Vec::new(), version_key, after: last, block: None };
            return self.prepare(Act::Set, call, Work { commit: Some(commit), ..work }).await;
        }
        // 256 bits.
        let salt: Vec<u16> = random()?.as_chunks().0.iter().map(|word| u16::from_le_bytes(*word)).collect();
        let call = self.subnet.commit_call(self.subnet.commit_hash(&vector, &salt, version_key));
        let commit = Commit { uid, vector, salt, version_key, after: last, block: None };
        self.prepare(Act::Commit, call, Work { commit: Some(commit), ..work }).await
    }

    /// Reveals once it is time, and computes anew once it is too late.
    async fn reveal(&mut self, work: Work) -> Result<Step, WeightError> {
        let Some((commit, block)) = work.commit.as_ref().and_then(|commit| Some((commit, commit.block?))) else {
            return self.compute_anew("nothing is known of its commit");
        };
        let (epochs, head) = (self.subnet.epochs().await?, self.subnet.head().await?);
        // Most of the time, and nothing else need be asked for.
        if epochs.of(head) == epochs.of(block) {
            return Ok(Step::Waits);
        }
        let due = epochs.of(block).saturating_add(self.subnet.rules().await?.reveal_period);
        if epochs.of(head + 1) > due {
            return self.compute_anew("its epoch of revealing is over");
        }
        if epochs.of(head) < due {
            return Ok(Step::Waits);
        }
        if work.state == State::Committed {
            return self.put(Work { state: State::Revealable, ..work });
        }
        if epochs.position(head + 1) * 10 >= epochs.length * 9 {
            return Ok(Step::Waits);
        }
        if work.failures.1 >= MOST_FAILURES && work.failures.0 == due {
            return Ok(Step::Alarm("TransactionsFail".to_owned()));
        }
        let call = self.subnet.reveal_call(&commit.vector, &commit.salt, commit.version_key);
        self.prepare(Act::Reveal, call, work).await
    }

    /// Runs a call on the newest block, signs it, and writes it down.
    async fn prepare(&mut self, act: Act, call: Bytes, work: Work) -> Result<Step, WeightError> {
        let (chain, account) = (self.subnet.chain.clone(), self.subnet.account);
        let chain = &chain;
        let gas = if act == Act::Commit { self.options.commit_gas } else { self.options.weights_gas };
        let draft = Draft::call(self.subnet.target(), call);
        chain.simulate(act.function(), &draft.request(account, Some(gas))).await?;
        let fees = Fees::now(chain, self.options.max_fee_per_gas).await?;
        let nonce = chain.pending_nonce(account).await?;
        let signed = draft.sign(chain.id(), &self.signer, nonce, gas, &fees)?;
        let balance = chain.balance(account).await?;
        if balance < signed.max_cost {
            return Err(ChainError::InsufficientBalance { account, chain_id: chain.id(), balance, needed: signed.max_cost }.into());
        }
        let (epochs, head) = (self.subnet.epochs().await?, self.subnet.head().await?);
        let until = epochs.first(epochs.of(head + 1) + 1).saturating_sub(1);
        let pending = Pending { act, nonce, until, hash: signed.hash, raw: signed.raw };
        self.put(Work { pending: Some(pending), ..work })?;
        Ok(Step::Prepared(act))
    }

    /// Sees a written-down transaction to its outcome.
    async fn follow(&mut self, work: Work, pending: Pending) -> Result<Step, WeightError> {
        let (chain, act) = (&self.subnet.chain, pending.act);
        // In this order: if the nonce was used before anybody looked for the receipt, and there is no receipt, there never will be.
        let is_used = chain.nonce(self.subnet.account).await? > pending.nonce;
        let outcome = outcome(chain, pending.hash).await?;
        let head = self.subnet.head().await?;
        let is_over = head >= pending.until.saturating_add(LOST_BLOCKS);
        match outcome {
            Some(true) if act == Act::Commit => return self.committed(work, is_over).await,
            Some(true) => return self.put(Work { state: State::Revealed, commit: None, pending: None, ..work }),
            Some(false) => return self.failed(work, act, Some(head)).await,
            None => {}
        }
        if is_used {
            if head < self.lost_since.get_or_insert(head).saturating_add(LOST_BLOCKS) {
                return Ok(Step::Waits);
            }
            return self.failed(work, act, None).await;
        }
        // Sent now, it would be of no use: a reveal would fail, and for a commit there may be newer weights. If it is mined all the same, no
        // harm is done.
        if is_over {
            return self.compute_anew("its transaction was not mined within its epoch");
        }
        match broadcast(chain, &pending.raw).await? {
            Broadcast::Accepted | Broadcast::NonceUsed if self.sent == Some(pending.hash) => Ok(Step::Waits),
            Broadcast::Accepted | Broadcast::NonceUsed => {
                self.sent = Some(pending.hash);
                Ok(Step::Sent(act))
            }
            Broadcast::Refused(reason) => Ok(Step::Alarm(format!("NotTaken: {reason}"))),
        }
    }

    /// A commit is mined. In which block, as the subnet counts them, the subnet says.
    async fn committed(&mut self, work: Work, is_over: bool) -> Result<Step, WeightError> {
        let Some(commit) = work.commit else { return self.compute_anew("nothing is known of its commit") };
        let block = self.subnet.last_update(commit.uid).await?;
        if block > commit.after {
            let commit = Commit { block: Some(block), ..commit };
            return self.put(Work { state: State::Committed, commit: Some(commit), pending: None, ..work });
        }
        // Nodes behind one address need not agree at once; but they would by now.
        if is_over { self.compute_anew("the subnet does not know its commit") } else { Ok(Step::Waits) }
    }

    /// A transaction has done nothing: mined in vain up to some block, or not at all.
    async fn failed(&mut self, work: Work, act: Act, mined: Option<u64>) -> Result<Step, WeightError> {
        let mut failures = work.failures;
        if let Some(head) = mined {
            let epoch = self.subnet.epochs().await?.of(head + 1);
            failures = (epoch, if failures.0 == epoch { failures.1 + 1 } else { 1 });
        }
        self.put(match act {
            Act::Reveal => Work { pending: None, failures, ..work },
            Act::Set | Act::Commit => Work { failures, ..Work::new(self.newest(&work)) },
        })?;
        Ok(Step::Failed(act))
    }

    /// The subnet does not take a call, or does not say what it was asked.
    fn refused(&mut self, name: String) -> Result<Step, WeightError> {
        let state = self.record.work.as_ref().map(|work| work.state);
        match name.as_str() {
            "CommittingWeightsTooFast" | "SettingWeightsTooFast" => Ok(Step::Waits),
            void if state == Some(State::Revealable) && VOID.contains(&void) => self.compute_anew(void),
            _ => Ok(Step::Alarm(name)),
        }
    }

    /// Gives a commit up: newer weights, or the same ones of uids as they are then, are committed to.
    fn compute_anew(&mut self, why: &str) -> Result<Step, WeightError> {
        let Some(work) = &self.record.work else { return Ok(Step::Waits) };
        tracing::warn!(epoch = work.weights.epoch, why, "a commit to weights is void");
        self.put(Work { failures: work.failures, ..Work::new(self.newest(work)) })
    }

    // ---------------------------------------------------------------------------------------------- helpers

    fn newest(&self, work: &Work) -> Weights {
        self.record.next.as_ref().unwrap_or(&work.weights).clone()
    }

    /// Changes what is on disk; says where the weights are then.
    fn put(&mut self, work: Work) -> Result<Step, WeightError> {
        let before = (self.record.work.clone(), self.record.next.clone());
        let state = work.state;
        // What waited has its turn.
        if self.record.next.as_ref() == Some(&work.weights) {
            self.record.next = None;
        }
        self.record.work = Some(work);
        self.save_or(before)?;
        self.lost_since = None;
        Ok(Step::Became(state))
    }

    /// Nothing is as it is not on disk.
    fn save_or(&mut self, before: (Option<Work>, Option<Weights>)) -> Result<(), StoreError> {
        self.record.save().inspect_err(|_| (self.record.work, self.record.next) = before)
    }

    /// The account's own uid: asked for again only where it is somebody else's now.
    async fn own_uid(&mut self) -> Result<Option<u16>, ChainError> {
        let account = self.subnet.account;
        // Of a uid that is nobody's any more there is no key, but an error.
        if let Some(uid) = self.uid
            && self.subnet.is_of(uid, account).await.unwrap_or(false)
        {
            return Ok(self.uid);
        }
        self.uid = self.subnet.uids(&[account]).await?.get(&account).copied();
        Ok(self.uid)
    }
}

/// Weights by uid; miners without one are named in the log, and left out.
fn known(weights: &Weights, uids: &HashMap<Address, u16>) -> Vec<(u16, u16)> {
    let uid_of = |(miner, weight): &(Address, u16)| {
        let uid = uids.get(miner);
        if uid.is_none() {
            tracing::warn!(%miner, weight, epoch = weights.epoch, "a miner has no uid on the chain, and gets no weight");
        }
        uid.map(|uid| (*uid, *weight))
    };
    weights.of.iter().filter_map(uid_of).collect()
}

/// Whether a transaction did what it should, once it is mined. Of a receipt no more is read than that: nodes that are not Ethereum's leave
/// fields out that others want.
async fn outcome(chain: &Chain, hash: B256) -> Result<Option<bool>, ChainError> {
    #[derive(Debug, Deserialize)]
    struct Receipt {
        status: U64,
    }
    let receipt: Result<Option<Receipt>, _> = chain.provider().raw_request("eth_getTransactionReceipt".into(), (hash,)).await;
    Ok(receipt.map_err(|error| chain.error("a receipt", &error))?.map(|receipt| receipt.status == U64::from(1)))
}
