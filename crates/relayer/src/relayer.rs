//! The loop: settle what is out, read new requests, move one request on.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider;
use alloy::rpc::types::{Filter, TransactionReceipt};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolEvent};
use tokio_util::sync::CancellationToken;
use zkslice_chain::bindings::{
    Fulfilment, InferenceOracle, ModelRegistry, RevertClass, ServiceStatus, Status, classify_revert, decode_revert,
};
use zkslice_chain::blob::read_header;
use zkslice_chain::check::{model_status, verifier_status};
use zkslice_chain::constants::{LOG_RANGE_BLOCKS, LOST_GRACE, verifier_selector};
use zkslice_chain::provider::Head;
use zkslice_chain::transaction::{Broadcast, Draft, Fees, broadcast, with_margin};
use zkslice_chain::{Chain, ChainError, Oracle, context};
use zkslice_formats::KeyBlobHeader;
use zkslice_formats::key_blob::TensorKind;
use zkslice_prover::{Bundle, BundleSource, Job, JobInput, Word};

use crate::constants::{
    DAY_SECONDS, DRY_RUN_PAUSE, HOLD_PAUSE, MAX_FAILURES_ON_CHAIN, MAX_IN_FLIGHT, OVERLAP_BLOCKS, REBROADCAST_EVERY, RETRY_BASE, RETRY_MAX,
};
use crate::state::{AttemptState, State};
use crate::store::{Attempt, Change, NewRequest, QueuedRequest, RequestEvent, Store};
use crate::{Config, RelayError, RequestSummary};

/// What a relayer did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayEvent {
    /// A request is in the queue.
    Seen {
        /// The request.
        id: B256,
    },
    /// A request is not worth it, or not ours to prove.
    Skipped {
        /// The request.
        id: B256,
        /// Why.
        reason: String,
    },
    /// The source is at work on a request.
    Proving {
        /// The request.
        id: B256,
    },
    /// A request's bundle is in the queue.
    Proved {
        /// The request.
        id: B256,
    },
    /// A request waits, through no fault of its own.
    Held {
        /// The request.
        id: B256,
        /// For what.
        reason: String,
    },
    /// A dry run would have sent a transaction.
    WouldSend {
        /// The request.
        id: B256,
        /// Gas limit.
        gas_limit: u64,
        /// Most that it could cost, in wei.
        max_cost: U256,
    },
    /// A transaction is written down, not sent yet.
    Prepared {
        /// The request; none for a withdrawal.
        id: Option<B256>,
        /// The transaction.
        tx_hash: B256,
        /// Its nonce.
        nonce: u64,
    },
    /// A transaction is with the node.
    Sent {
        /// The transaction.
        tx_hash: B256,
    },
    /// The node did not take a transaction; it is sent again later.
    NotTaken {
        /// The transaction.
        tx_hash: B256,
        /// What the node said.
        reason: String,
    },
    /// A request is fulfilled by us, and confirmed.
    Done {
        /// The request.
        id: B256,
        /// The transaction.
        tx_hash: B256,
        /// Gas that it took.
        gas_used: u64,
        /// What that cost, in wei.
        cost: U256,
        /// What the request paid, in wei.
        fee: U256,
    },
    /// Credits were withdrawn.
    Withdrawn {
        /// The transaction.
        tx_hash: B256,
    },
    /// A transaction was mined and reverted.
    Reverted {
        /// The request; none for a withdrawal.
        id: Option<B256>,
        /// The transaction.
        tx_hash: B256,
    },
    /// A transaction's nonce went to another one.
    Lost {
        /// The request; none for a withdrawal.
        id: Option<B256>,
        /// The transaction.
        tx_hash: B256,
    },
    /// A request failed and is tried again.
    Retry {
        /// The request.
        id: B256,
        /// Why.
        reason: String,
        /// When.
        after: Duration,
    },
    /// A request is no longer to be had.
    Dropped {
        /// The request.
        id: B256,
        /// Why.
        reason: String,
    },
    /// A request can never pass; it is left to a person.
    Dead {
        /// The request.
        id: B256,
        /// Why.
        reason: String,
    },
}

/// What a relayer that has nothing else to do waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Blocks on top of one with a request or with a transaction of ours.
    Confirmations {
        /// The block.
        block: u64,
        /// How many blocks are missing.
        missing: u64,
    },
    /// A transaction of ours to be mined.
    Mining {
        /// The transaction.
        tx_hash: B256,
    },
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmations { block, missing } => {
                let blocks = if *missing == 1 { "block" } else { "blocks" };
                write!(
                    f,
                    "waiting for {missing} more {blocks} on top of block {block} (`confirmations`); a chain that mines only on demand needs `confirmations = 0`, or somebody to mine"
                )
            }
            Self::Mining { tx_hash } => write!(f, "waiting for transaction {tx_hash} to be mined"),
        }
    }
}

type Observer = Box<dyn Fn(&RelayEvent) -> ControlFlow<()> + Send + Sync>;

/// A relayer of one oracle, by one key, with one queue.
pub struct Relayer<S> {
    config: Config,
    chain: Chain,
    signer: PrivateKeySigner,
    beneficiary: Address,
    registry: Address,
    source: S,
    store: Store,
    /// Headers of key blobs: what is registered never changes.
    models: HashMap<B256, KeyBlobHeader>,
    /// When each transaction was sent last; a restart sends all again at once, which does no harm.
    sent: HashMap<B256, Instant>,
    /// Since when a transaction's nonce is used and it has no receipt; a restart looks as long once more.
    lost_since: HashMap<B256, Instant>,
    cancel: CancellationToken,
    observer: Option<Observer>,
    events: VecDeque<RelayEvent>,
}

impl<S> fmt::Debug for Relayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relayer").field("chain", &self.chain).field("signer", &self.signer.address()).finish_non_exhaustive()
    }
}

impl<S: BundleSource> Relayer<S> {
    /// Connects, checks all that can be checked before the first request, and takes the queue.
    ///
    /// # Errors
    /// The node is away or another chain; there is no oracle; the signer has no ether (unless in a dry run); the queue is in use,
    /// newer, broken, or of another chain, oracle or key.
    pub async fn new(config: Config, source: S, signer: PrivateKeySigner) -> Result<Self, RelayError> {
        let chain = Chain::connect(&config.rpc_url, Some(config.chain_id)).await?;
        let (oracle, chain_id) = (config.oracle, chain.id());
        let registry = Oracle::open(chain.clone(), oracle).await?.registry();
        let account = signer.address();
        if !config.dry_run && chain.balance(account).await?.is_zero() {
            return Err(RelayError::NoBalance { account, chain_id });
        }
        let genesis = chain.block_hash(0).await?.unwrap_or_default();
        let belongs_to = [
            ("chain", chain_id.to_string()),
            ("the chain that begins with block", genesis.to_string()),
            ("oracle", oracle.to_string()),
            ("signer", account.to_string()),
        ];
        let store = Store::open(&config.database, &belongs_to).await?;
        store.reconsider().await?;
        tracing::info!(%oracle, chain_id, signer = %account, models = source.models().len(), dry_run = config.dry_run, "relayer ready");
        Ok(Self {
            beneficiary: config.beneficiary.unwrap_or(account),
            config,
            chain,
            signer,
            registry,
            source,
            store,
            models: HashMap::new(),
            sent: HashMap::new(),
            lost_since: HashMap::new(),
            cancel: CancellationToken::new(),
            observer: None,
            events: VecDeque::new(),
        })
    }

    /// Has each event shown to `observer` as it happens, after what it tells of is durable. `Break` stops the relayer there, as a kill would.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&RelayEvent) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Relays until `cancel`; then finishes the step at hand (proving is broken off: it leaves nothing behind) and returns.
    ///
    /// A node that is away is waited for. All else that a person must mend ends the run.
    ///
    /// # Errors
    /// Any [`RelayError`] that is not transient.
    pub async fn run(&mut self, cancel: CancellationToken) -> Result<(), RelayError> {
        self.cancel = cancel.clone();
        let mut failures = 0;
        while !cancel.is_cancelled() {
            let pause = match self.step().await {
                Ok(events) if !events.is_empty() => {
                    failures = 0;
                    continue;
                }
                Ok(_) => {
                    failures = 0;
                    self.config.poll_interval()
                }
                Err(error) if error.is_transient() => {
                    let pause = backoff(failures);
                    failures += 1;
                    tracing::warn!(%error, pause_ms = pause.as_millis(), "the chain cannot be reached; waiting");
                    pause
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.store.close().await;
        Ok(())
    }

    /// Relays until there is nothing left to do now: no new request, none due, no transaction out. Returns what happened.
    ///
    /// # Errors
    /// Any [`RelayError`], transient ones too.
    pub async fn run_until_idle(&mut self) -> Result<Vec<RelayEvent>, RelayError> {
        let mut all = Vec::new();
        loop {
            let events = self.step().await?;
            let quiet = events.is_empty();
            all.extend(events);
            if !quiet {
                continue;
            }
            if !self.store.open_attempts().await?.iter().any(|attempt| attempt.state == AttemptState::Live) {
                return Ok(all);
            }
            tokio::time::sleep(self.config.poll_interval()).await;
        }
    }

    /// As [`Relayer::run_until_idle`], and waits for the confirmations of requests that are there already; `waits` is told each time
    /// what for.
    ///
    /// # Errors
    /// Any [`RelayError`], transient ones too.
    pub async fn run_until_confirmed(&mut self, mut waits: impl FnMut(Waiting)) -> Result<Vec<RelayEvent>, RelayError> {
        let mut all = Vec::new();
        loop {
            let events = self.step().await?;
            if !events.is_empty() {
                all.extend(events);
                continue;
            }
            let Some(waiting) = self.waiting().await? else { return Ok(all) };
            waits(waiting);
            tokio::time::sleep(self.config.poll_interval()).await;
        }
    }

    async fn waiting(&self) -> Result<Option<Waiting>, RelayError> {
        let head = self.chain.head().await?;
        let confirmations = |block: u64| {
            let missing = block.saturating_add(self.config.confirmations).saturating_sub(head.number);
            Waiting::Confirmations { block, missing }
        };
        if let Some(attempt) = self.store.open_attempts().await?.iter().find(|attempt| attempt.state == AttemptState::Live) {
            let block = self.chain.receipt(attempt.tx_hash).await?.and_then(|receipt| receipt.block_number);
            return Ok(Some(block.map_or(Waiting::Mining { tx_hash: attempt.tx_hash }, confirmations)));
        }
        let first = self.safe_block(&head).map_or(0, |safe| safe + 1).max(self.config.start_block);
        if first > head.number {
            return Ok(None);
        }
        let newest = self.read_requests(first, head.number).await?.iter().map(|request| request.block).max();
        Ok(newest.map(confirmations))
    }

    /// One round: settles what is out, reads new requests, moves one request on. Returns what happened; nothing, if there was nothing to do.
    ///
    /// # Errors
    /// Any [`RelayError`]; after one the relayer may be asked again.
    pub async fn step(&mut self) -> Result<Vec<RelayEvent>, RelayError> {
        let result = self.round().await;
        let events = self.events.drain(..).collect();
        result.map(|()| events)
    }

    /// All requests in the queue, oldest first.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub async fn requests(&self) -> Result<Vec<RequestSummary>, RelayError> {
        self.store.summaries().await
    }

    /// Spent on gas today (UTC), in wei; what is out counts with the most that it can cost.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub async fn spent_today(&self) -> Result<U256, RelayError> {
        self.store.spent(today()).await
    }

    /// Withdraws the signer's credits, under the same caps as everything else, and waits for the confirmation. Returns the amount in
    /// wei; 0 where there was none.
    ///
    /// Only the signer's: where `beneficiary` is another account, that one withdraws for itself.
    ///
    /// # Errors
    /// [`RelayError::Withdrawal`] where a cap forbids it or it is mined and reverts, and any other.
    pub async fn withdraw(&mut self) -> Result<U256, RelayError> {
        let account = self.signer.address();
        let is_withdrawal = |attempt: &Attempt| attempt.request.is_none() && attempt.state == AttemptState::Live;
        let amount = InferenceOracle::new(self.config.oracle, self.chain.provider())
            .balanceOf(account, Address::ZERO)
            .call()
            .await
            .map_err(|e| self.chain.contract_error("InferenceOracle.balanceOf", &e))?;
        let refused = |reason: String| RelayError::Withdrawal { account, amount, reason };
        if !self.store.open_attempts().await?.iter().any(is_withdrawal) {
            if amount.is_zero() {
                return Ok(amount);
            }
            let call = InferenceOracle::withdrawCall { token: Address::ZERO, to: account };
            let draft = Draft::call(self.config.oracle, call.abi_encode().into());
            match self.transact("InferenceOracle.withdraw", None, &draft, None).await? {
                Submission::Written => {}
                Submission::DryRun { .. } => return Err(refused("this is a dry run".to_owned())),
                Submission::TooMuchGas(reason) | Submission::Hold(reason) => return Err(refused(reason)),
                Submission::Reverts(data) => return Err(refused(decode_revert(&data))),
            }
        }
        loop {
            self.settle().await?;
            let ends: Vec<RelayEvent> = self.events.drain(..).collect();
            for event in &ends {
                match event {
                    RelayEvent::Withdrawn { .. } => return Ok(amount),
                    RelayEvent::Reverted { id: None, tx_hash } => {
                        return Err(refused(format!("transaction {tx_hash} was mined and reverted")));
                    }
                    RelayEvent::Lost { id: None, tx_hash } => {
                        return Err(refused(format!("the nonce of transaction {tx_hash} went to another")));
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(self.config.poll_interval()).await;
        }
    }

    // ---------------------------------------------------------------------------------------------- one round

    async fn round(&mut self) -> Result<(), RelayError> {
        self.settle().await?;
        self.scan().await?;
        if self.cancel.is_cancelled() {
            return Ok(());
        }
        match self.store.due(now_millis()).await? {
            Some(request) => self.advance(request).await,
            None => Ok(()),
        }
    }

    fn report(&mut self, event: RelayEvent) -> Result<(), RelayError> {
        match &event {
            RelayEvent::Dead { id, reason } => tracing::error!(%id, %reason, "request is left to a person"),
            RelayEvent::Retry { id, reason, .. } => tracing::warn!(%id, %reason, "request failed, will be tried again"),
            RelayEvent::NotTaken { tx_hash, reason } => tracing::warn!(%tx_hash, %reason, "the node did not take a transaction"),
            event => tracing::info!(?event, "relay"),
        }
        let flow = self.observer.as_ref().map_or(ControlFlow::Continue(()), |observer| observer(&event));
        self.events.push_back(event);
        if flow.is_break() { Err(RelayError::Stopped) } else { Ok(()) }
    }

    /// The newest block that is relied on, if there is one.
    fn safe_block(&self, head: &Head) -> Option<u64> {
        head.number.checked_sub(self.config.confirmations)
    }

    // ---------------------------------------------------------------------------------------------- what is out

    /// Looks after every transaction that may still land.
    async fn settle(&mut self) -> Result<(), RelayError> {
        let attempts = self.store.open_attempts().await?;
        if attempts.is_empty() {
            return Ok(());
        }
        let head = self.chain.head().await?;
        let Some(safe) = self.safe_block(&head) else { return Ok(()) };
        // Before the receipts: a nonce that was used before we looked, without a receipt, went to another transaction.
        let used = self.chain.nonce_at(self.signer.address(), safe).await?;
        let highest_live = attempts.iter().filter(|a| a.state == AttemptState::Live).map(|a| a.nonce).max();
        for attempt in &attempts {
            match self.chain.receipt(attempt.tx_hash).await? {
                Some(receipt) => {
                    let confirmed = match receipt.block_number {
                        Some(block) if block <= safe => self.chain.block_hash(block).await? == receipt.block_hash,
                        _ => false,
                    };
                    if confirmed {
                        self.settle_mined(attempt, &receipt).await?;
                    }
                }
                None if used > attempt.nonce => {
                    // Nodes behind one address need not agree at once: believed only when it stays so.
                    if self.lost_since.entry(attempt.tx_hash).or_insert_with(Instant::now).elapsed() >= LOST_GRACE {
                        self.settle_lost(attempt).await?;
                    }
                }
                None => self.settle_unmined(attempt, &head, safe, highest_live).await?,
            }
        }
        Ok(())
    }

    async fn settle_mined(&mut self, attempt: &Attempt, receipt: &TransactionReceipt) -> Result<(), RelayError> {
        let cost = U256::from(receipt.gas_used).saturating_mul(U256::from(receipt.effective_gas_price));
        let (tx_hash, gas_used) = (attempt.tx_hash, receipt.gas_used);
        self.sent.remove(&tx_hash);
        self.lost_since.remove(&tx_hash);
        let outcome = if receipt.status() { AttemptState::Succeeded } else { AttemptState::Reverted };
        let Some(id) = attempt.request else {
            self.store.settle(attempt, outcome, Some(cost), None).await?;
            return self.report(match outcome {
                AttemptState::Succeeded => RelayEvent::Withdrawn { tx_hash },
                _ => RelayEvent::Reverted { id: None, tx_hash },
            });
        };
        let Some(request) = self.store.request(id).await? else { return Ok(()) };
        if outcome == AttemptState::Succeeded {
            let change = Change { to: State::Done, reason: "", failed: false, next_try: 0 };
            self.store.settle(attempt, outcome, Some(cost), Some((request.state, change))).await?;
            return self.report(RelayEvent::Done { id, tx_hash, gas_used, cost, fee: request.event.request.fee });
        }
        if request.state != State::Submitted {
            self.store.settle(attempt, outcome, Some(cost), None).await?;
            return self.report(RelayEvent::Reverted { id: Some(id), tx_hash });
        }
        // Why is found out by the simulation that comes before the next attempt.
        let failures = self.store.failures_on_chain(id).await? + 1;
        let reason = format!("transaction {tx_hash} was mined and reverted, as {failures} so far");
        let dead = failures >= MAX_FAILURES_ON_CHAIN;
        let to = if dead { State::Dead } else { State::Proved };
        let change = Change { to, reason: &reason, failed: true, next_try: 0 };
        self.store.settle(attempt, outcome, Some(cost), Some((State::Submitted, change))).await?;
        self.report(RelayEvent::Reverted { id: Some(id), tx_hash })?;
        if dead { self.report(RelayEvent::Dead { id, reason }) } else { Ok(()) }
    }

    async fn settle_lost(&mut self, attempt: &Attempt) -> Result<(), RelayError> {
        self.sent.remove(&attempt.tx_hash);
        self.lost_since.remove(&attempt.tx_hash);
        let reason = format!("the nonce {} of transaction {} went to another", attempt.nonce, attempt.tx_hash);
        let change = Change { to: State::Proved, reason: &reason, failed: true, next_try: 0 };
        let change = (attempt.state == AttemptState::Live).then_some((State::Submitted, change));
        self.store.settle(attempt, AttemptState::Lost, Some(U256::ZERO), change).await?;
        self.report(RelayEvent::Lost { id: attempt.request, tx_hash: attempt.tx_hash })
    }

    /// Sends again what is not mined, or gives it up where it could only revert.
    async fn settle_unmined(&mut self, attempt: &Attempt, head: &Head, safe: u64, highest_live: Option<u64>) -> Result<(), RelayError> {
        if let (AttemptState::Live, Some(id)) = (attempt.state, attempt.request)
            && let Some(request) = self.store.request(id).await?
            && let Some(reason) = self.gone(&request, head, safe).await?
        {
            // In the block in which others fulfilled it, our nonce is unused; else it may have been us, and the receipt is late.
            if self.chain.nonce_at(self.signer.address(), safe).await? > attempt.nonce {
                return Ok(());
            }
            // The most that it can cost stays counted as spent until its nonce is used: it may still land.
            let change = Change { to: State::Dropped, reason: &reason, failed: false, next_try: 0 };
            self.store.settle(attempt, AttemptState::Abandoned, None, Some((State::Submitted, change))).await?;
            return self.report(RelayEvent::Dropped { id, reason });
        }
        // An abandoned transaction is sent again only where others wait behind its nonce.
        if attempt.state == AttemptState::Abandoned && highest_live.is_none_or(|live| live <= attempt.nonce) {
            return Ok(());
        }
        if self.sent.get(&attempt.tx_hash).is_some_and(|at| at.elapsed() < REBROADCAST_EVERY) {
            return Ok(());
        }
        self.send(attempt.tx_hash, &attempt.raw).await
    }

    async fn send(&mut self, tx_hash: B256, raw: &Bytes) -> Result<(), RelayError> {
        let first = self.sent.insert(tx_hash, Instant::now()).is_none();
        match broadcast(&self.chain, raw).await {
            Ok(Broadcast::Accepted | Broadcast::NonceUsed) if first => self.report(RelayEvent::Sent { tx_hash }),
            Ok(Broadcast::Accepted | Broadcast::NonceUsed) => Ok(()),
            Ok(Broadcast::Refused(reason)) => self.report(RelayEvent::NotTaken { tx_hash, reason }),
            // It may have arrived all the same. It is written down, so nothing is lost either way.
            Err(error) => self.report(RelayEvent::NotTaken { tx_hash, reason: error.to_string() }),
        }
    }

    // ---------------------------------------------------------------------------------------------- new requests

    async fn scan(&mut self) -> Result<(), RelayError> {
        let head = self.chain.head().await?;
        let Some(safe) = self.safe_block(&head) else { return Ok(()) };
        let start = self.config.start_block;
        let mut next = self.store.next_block().await?.unwrap_or(start);
        if next > safe {
            return Ok(());
        }
        let mut from = next.saturating_sub(OVERLAP_BLOCKS).max(start);
        while next <= safe && !self.cancel.is_cancelled() {
            let to = safe.min(from.saturating_add(LOG_RANGE_BLOCKS - 1));
            let requests = self.read_requests(from, to).await?;
            next = to + 1;
            from = next;
            for id in self.store.record(&requests, next).await? {
                self.report(RelayEvent::Seen { id })?;
            }
        }
        Ok(())
    }

    async fn read_requests(&self, from: u64, to: u64) -> Result<Vec<NewRequest>, RelayError> {
        let oracle = self.config.oracle;
        let filter = Filter::new()
            .address(oracle)
            .event_signature(InferenceOracle::InferenceRequested::SIGNATURE_HASH)
            .from_block(from)
            .to_block(to);
        let logs = self.chain.provider().get_logs(&filter).await.map_err(|e| self.chain.error("requests", &e))?;
        let mut requests = Vec::with_capacity(logs.len());
        for log in logs {
            let (Some(block), Some(log_index), false, true) = (log.block_number, log.log_index, log.removed, log.address() == oracle)
            else {
                continue;
            };
            let Ok(event) = InferenceOracle::InferenceRequested::decode_log(&log.inner) else {
                tracing::warn!(block, log_index, "a log is not a request; is the oracle of another version?");
                continue;
            };
            let event = event.data;
            // Whatever a node says: an id is the hash of what it stands for.
            if context::request_id(&event.request, event.requester, event.nonce) != event.requestId {
                tracing::warn!(id = %event.requestId, "the node's log does not hash to its request id; ignored");
                continue;
            }
            let id = event.requestId;
            let event = RequestEvent { request: event.request, requester: event.requester, nonce: event.nonce, words: event.words };
            requests.push(NewRequest { id, block, log_index, event, beneficiary: self.beneficiary });
        }
        Ok(requests)
    }

    // ---------------------------------------------------------------------------------------------- one request

    async fn advance(&mut self, request: QueuedRequest) -> Result<(), RelayError> {
        let head = self.chain.head().await?;
        let Some(safe) = self.safe_block(&head) else { return Ok(()) };
        if let Some(reason) = self.gone(&request, &head, safe).await? {
            return self.drop_request(&request, reason).await;
        }
        if self.status(&request, None).await? != Status::Open {
            let reason = "it is no longer open, which is not confirmed yet".to_owned();
            return self.hold(&request, reason, HOLD_PAUSE).await;
        }
        match request.state {
            State::Seen => self.prove(request).await,
            _ => self.submit(request).await,
        }
    }

    /// Why a request is no longer to be had, if it is not: by confirmed state, so that no reorganisation brings it back unseen.
    async fn gone(&self, request: &QueuedRequest, head: &Head, safe: u64) -> Result<Option<String>, RelayError> {
        let deadline = request.event.request.deadline;
        if head.timestamp > deadline {
            return Ok(Some(format!("its deadline, {deadline}, is over")));
        }
        Ok(match self.status(request, Some(safe)).await? {
            Status::Fulfilled => Some("it was fulfilled by somebody else".to_owned()),
            Status::PartiallyFulfilled => {
                Some("it was fulfilled in part by somebody else; what is left to prove is not paid for".to_owned())
            }
            Status::Refunded => Some("it was refunded".to_owned()),
            Status::Open => self.stopped(request, safe).await?,
            Status::None => None,
        })
    }

    /// Why a request can only be refunded, if its model or its verifier was stopped: both served when it was made.
    async fn stopped(&self, request: &QueuedRequest, safe: u64) -> Result<Option<String>, RelayError> {
        let asked = &request.event.request;
        if model_status(&self.chain, self.registry, asked.modelDigest, Some(safe)).await? == ServiceStatus::Tombstoned {
            return Ok(Some(format!("its model {} was stopped", asked.modelDigest)));
        }
        let (status, _) = verifier_status(&self.chain, self.registry, asked.verifier, Some(safe)).await?;
        Ok((status == ServiceStatus::Tombstoned).then(|| format!("its verifier {} was stopped", asked.verifier)))
    }

    async fn status(&self, request: &QueuedRequest, block: Option<u64>) -> Result<Status, RelayError> {
        let oracle = InferenceOracle::new(self.config.oracle, self.chain.provider());
        let mut call = oracle.status(request.id);
        if let Some(block) = block {
            call = call.block(block.into());
        }
        let value = call.call().await.map_err(|e| self.chain.contract_error("InferenceOracle.status", &e))?;
        Ok(Status::from_u8(value).ok_or_else(|| ChainError::InvalidAnswer {
            url: self.chain.url().to_owned(),
            what: "InferenceOracle.status".to_owned(),
            reason: format!("there is no status {value}"),
        })?)
    }

    async fn prove(&mut self, request: QueuedRequest) -> Result<(), RelayError> {
        let asked = &request.event.request;
        let model = asked.modelDigest;
        let selector = verifier_selector(self.chain.id());
        if asked.verifier != selector {
            return self.skip(&request, format!("its verifier is {}, proofs here are for {selector}", asked.verifier)).await;
        }
        if !asked.feeToken.is_zero() {
            return self.skip(&request, format!("its fee is in token {}, only ether is taken here", asked.feeToken)).await;
        }
        if asked.fee < self.config.min_fee {
            let reason = format!("its fee is {} wei, below `min_fee`, {} wei", asked.fee, self.config.min_fee);
            return self.skip(&request, reason).await;
        }
        if !self.source.models().contains(&model.0) {
            return self.skip(&request, format!("there is no package of model {model} here")).await;
        }
        let header = self.header(model).await?;
        let job = match self.job(&request, &header) {
            Ok(job) => job,
            Err(reason) => return self.bury(&request, reason).await,
        };
        self.report(RelayEvent::Proving { id: request.id })?;
        let expected = (job.model, job.context, job.owner);
        let result = tokio::select! {
            result = self.source.bundle(job) => result,
            // Left as it is: the next start proves it.
            () = self.cancel.cancelled() => return Ok(()),
        };
        let bundle = match result {
            Ok(bundle) => bundle,
            Err(error) if error.is_permanent() => return self.bury(&request, error.to_string()).await,
            Err(error) => return self.retry(&request, error.to_string()).await,
        };
        if (bundle.model, bundle.context, bundle.owner) != expected {
            return self.retry(&request, "the bundle is for another model, context or owner than asked for".to_owned()).await;
        }
        match bundle.to_json() {
            Ok(bytes) => self.store.keep_bundle(request.id, &bytes).await?,
            Err(error) => return self.retry(&request, error.to_string()).await,
        }
        self.report(RelayEvent::Proved { id: request.id })
    }

    /// A model's layout, from the registry; its digest says that it is the right one.
    async fn header(&mut self, model: B256) -> Result<KeyBlobHeader, RelayError> {
        if let Some(header) = self.models.get(&model) {
            return Ok(header.clone());
        }
        let registry = ModelRegistry::new(self.registry, self.chain.provider());
        let blob = registry.blob(model).call().await.map_err(|e| self.chain.contract_error("ModelRegistry.blob", &e))?;
        let header = read_header(model, &blob)?;
        self.models.insert(model, header.clone());
        Ok(header)
    }

    fn job(&self, request: &QueuedRequest, header: &KeyBlobHeader) -> Result<Job, String> {
        let RequestEvent { request: asked, requester, nonce, words } = &request.event;
        let layouts: Vec<_> = header.inputs().collect();
        if layouts.len() != asked.inputs.len() {
            return Err(format!("it has {} inputs, the model {}", asked.inputs.len(), layouts.len()));
        }
        let mut rest = words.as_slice();
        let mut inputs = Vec::with_capacity(layouts.len());
        let mut private = false;
        for (index, (layout, expected)) in layouts.iter().zip(&asked.inputs).enumerate() {
            if layout.kind == TensorKind::PrivateInput {
                private = true;
                inputs.push(JobInput::Commitment(expected.0));
                continue;
            }
            let Some((own, others)) = rest.split_at_checked(layout.words()) else {
                return Err(format!("it has too few words for input {index}"));
            };
            if context::input_hash(own) != *expected {
                return Err(format!("the words of input {index} do not hash to what it says"));
            }
            inputs.push(JobInput::Words(own.iter().map(U256::to_be_bytes).collect()));
            rest = others;
        }
        let context = context::context(self.chain.id(), self.config.oracle, asked, *requester, *nonce, request.beneficiary);
        let owner = if private { context::owner(asked.modelDigest, *requester) } else { B256::ZERO };
        Ok(Job { model: asked.modelDigest.0, context: context.0, owner: owner.0, inputs })
    }

    async fn submit(&mut self, request: QueuedRequest) -> Result<(), RelayError> {
        let bundle = match request.bundle.as_deref().map(Bundle::from_json) {
            Some(Ok(bundle)) => bundle,
            Some(Err(error)) => return self.bury(&request, format!("its stored bundle cannot be read: {error}")).await,
            None => return self.bury(&request, "its stored bundle is missing".to_owned()).await,
        };
        let numbers = |words: Vec<Word>| words.into_iter().map(U256::from_be_bytes).collect::<Vec<_>>();
        let RequestEvent { request: asked, requester, nonce, .. } = &request.event;
        let fulfilment = Fulfilment {
            request: asked.clone(),
            requester: *requester,
            nonce: *nonce,
            beneficiary: request.beneficiary,
            // All slices, which satisfies every request.
            coverage: U256::ZERO,
            words: numbers(bundle.words()),
            commitments: numbers(bundle.commitments()),
            proofs: numbers(bundle.proof_words()),
        };
        let call = InferenceOracle::fulfilCall { fulfilment };
        let draft = Draft::call(self.config.oracle, call.abi_encode().into());
        match self.transact("InferenceOracle.fulfil", Some(request.id), &draft, Some(asked.fee)).await? {
            Submission::Written => Ok(()),
            Submission::DryRun { gas_limit, max_cost } => {
                self.change(&request, State::Proved, "a dry run would have sent it", false, DRY_RUN_PAUSE).await?;
                self.report(RelayEvent::WouldSend { id: request.id, gas_limit, max_cost })
            }
            Submission::TooMuchGas(reason) => self.skip(&request, reason).await,
            Submission::Hold(reason) => self.hold(&request, reason, HOLD_PAUSE).await,
            Submission::Reverts(data) => {
                let reason = decode_revert(&data);
                match classify_revert(&data) {
                    RevertClass::Permanent => self.bury(&request, reason).await,
                    RevertClass::Retry => self.retry(&request, reason).await,
                    // The next round drops it, once that is confirmed.
                    RevertClass::Drop => self.hold(&request, reason, self.config.poll_interval()).await,
                }
            }
        }
    }

    /// Simulates, checks every cap, signs, writes down, sends. `fee` is what the transaction earns, where that matters.
    async fn transact(&mut self, what: &str, id: Option<B256>, draft: &Draft, fee: Option<U256>) -> Result<Submission, RelayError> {
        let sender = self.signer.address();
        let attempts = self.store.open_attempts().await?;
        let live: Vec<u64> = attempts.iter().filter(|a| a.state == AttemptState::Live).map(|a| a.nonce).collect();
        if live.len() >= MAX_IN_FLIGHT {
            return Ok(Submission::Hold(format!("{} transactions are out already", live.len())));
        }
        let fees = match Fees::now(&self.chain, Some(self.config.max_fee())).await {
            Ok(fees) => fees,
            Err(error @ ChainError::FeeAboveLimit { .. }) => return Ok(Submission::Hold(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let gas = match self.chain.estimate_gas(what, &draft.request(sender, None)).await {
            Ok(gas) => gas,
            Err(ChainError::Reverted { data, .. }) => return Ok(Submission::Reverts(data)),
            Err(error) => return Err(error.into()),
        };
        if gas > self.config.max_gas {
            return Ok(Submission::TooMuchGas(format!("it takes {gas} gas, above `max_gas`, {}", self.config.max_gas)));
        }
        let gas_limit = with_margin(gas).min(self.config.max_gas);
        // The very calldata with the very gas limit, as it will run.
        match self.chain.simulate(what, &draft.request(sender, Some(gas_limit))).await {
            Ok(()) => {}
            Err(ChainError::Reverted { data, .. }) => return Ok(Submission::Reverts(data)),
            Err(error) => return Err(error.into()),
        }
        let expected_cost = U256::from(gas).saturating_mul(U256::from(fees.expected()));
        if let Some(fee) = fee.filter(|fee| *fee < expected_cost) {
            let reason = format!("its gas would cost {expected_cost} wei, its fee is {fee} wei");
            if self.config.require_profit {
                return Ok(Submission::Hold(reason));
            }
            tracing::warn!(?id, %reason, "a request costs more than it pays; set `require_profit` to wait instead");
        }

        let latest = self.chain.nonce(sender).await?.max(self.store.nonce_after_mined().await?);
        let nonce = (latest..).find(|nonce| !live.contains(nonce)).unwrap_or(latest);
        let signed = draft.sign(self.chain.id(), &self.signer, nonce, gas_limit, &fees)?;
        let day = today();
        let spent = self.store.spent(day).await?;
        let cap = self.config.daily_spend_cap;
        if spent.saturating_add(signed.max_cost) > cap {
            let reason = format!("it could cost {} wei, {spent} wei of today's cap, {cap} wei, are spent", signed.max_cost);
            return Ok(Submission::Hold(reason));
        }
        if self.config.dry_run {
            return Ok(Submission::DryRun { gas_limit, max_cost: signed.max_cost });
        }
        let balance = self.chain.balance(sender).await?;
        if balance < signed.max_cost {
            return Ok(Submission::Hold(format!("{sender} has {balance} wei, it could cost {} wei; send it some", signed.max_cost)));
        }
        self.store.prepare(id, &signed, now_millis(), day).await?;
        self.report(RelayEvent::Prepared { id, tx_hash: signed.hash, nonce })?;
        self.send(signed.hash, &signed.raw).await?;
        Ok(Submission::Written)
    }

    // ---------------------------------------------------------------------------------------------- outcomes

    async fn change(&self, request: &QueuedRequest, to: State, reason: &str, failed: bool, pause: Duration) -> Result<(), RelayError> {
        let next_try = if pause.is_zero() { 0 } else { now_millis().saturating_add(millis(pause)) };
        self.store.change(request.id, request.state, &Change { to, reason, failed, next_try }).await
    }

    async fn skip(&mut self, request: &QueuedRequest, reason: String) -> Result<(), RelayError> {
        self.change(request, State::Skipped, &reason, false, Duration::ZERO).await?;
        self.report(RelayEvent::Skipped { id: request.id, reason })
    }

    async fn drop_request(&mut self, request: &QueuedRequest, reason: String) -> Result<(), RelayError> {
        self.change(request, State::Dropped, &reason, false, Duration::ZERO).await?;
        self.report(RelayEvent::Dropped { id: request.id, reason })
    }

    async fn bury(&mut self, request: &QueuedRequest, reason: String) -> Result<(), RelayError> {
        self.change(request, State::Dead, &reason, true, Duration::ZERO).await?;
        self.report(RelayEvent::Dead { id: request.id, reason })
    }

    async fn hold(&mut self, request: &QueuedRequest, reason: String, pause: Duration) -> Result<(), RelayError> {
        self.change(request, request.state, &reason, false, pause).await?;
        self.report(RelayEvent::Held { id: request.id, reason })
    }

    async fn retry(&mut self, request: &QueuedRequest, reason: String) -> Result<(), RelayError> {
        let after = backoff(u32::try_from(request.tries).unwrap_or(u32::MAX));
        self.change(request, request.state, &reason, true, after).await?;
        self.report(RelayEvent::Retry { id: request.id, reason, after })
    }
}

/// What came of an attempt to send.
enum Submission {
    /// Written down and, if the node took it, sent.
    Written,
    /// All is well, and this is a dry run.
    DryRun { gas_limit: u64, max_cost: U256 },
    /// It would take more gas than allowed.
    TooMuchGas(String),
    /// Not now.
    Hold(String),
    /// It would revert, with this data.
    Reverts(Vec<u8>),
}

/// A token that SIGTERM and SIGINT cancel: for [`Relayer::run`].
///
/// # Errors
/// The system's, where signals cannot be listened to.
pub fn cancel_on_signals() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let on_signal = token.clone();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("asked to stop; finishing the step at hand");
            on_signal.cancel();
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_signal.cancel();
        }
    });
    Ok(token)
}

fn backoff(failures: u32) -> Duration {
    RETRY_BASE.saturating_mul(1 << failures.min(16)).min(RETRY_MAX)
}

fn now_millis() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY_SECONDS
}
