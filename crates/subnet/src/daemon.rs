//! Validators and miners as they run for months: addresses that they listen at, and connections that are made again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use alloy::signers::local::PrivateKeySigner;
use axum::http::header::CONTENT_TYPE;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zkslice_chain::{Chain, ChainError};
use zkslice_slicer::Package;

use crate::blobs::{Progress, Sources, Store, models_of};
use crate::client::{About, about};
use crate::config::{Fetch, MinerConfig, ValidatorConfig, callers};
use crate::gateway::{self, Connections, Settings, listen};
use crate::metrics::MEDIA_TYPE;
use crate::miner::Miner;
use crate::transport::quic::{Dialer, Listener};
use crate::transport::{Link, websocket};
use crate::validator::{Epoch, Validator};
use crate::weights::{WeightSetter, keep};
use crate::{Clock, ConfigError, DaemonError, LinkError, Network, Node, WeightError};

/// How often the chain is asked for its newest block.
const POLL: Duration = Duration::from_secs(2);
/// Bytes of miners' frames that a validator has at a time.
const ROOM: usize = 64 << 20;
/// How long a connection is left alone after it broke: doubled each time, up to the last.
const AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// How often it is said how far a package is.
const SAID: Duration = Duration::from_secs(2);
/// How often it is looked whether validators serve another model.
const FETCHED_AGAIN: Duration = Duration::from_secs(60);
/// Whoever was connected for so long begins anew.
const LONG: Duration = Duration::from_secs(10);

/// A validator that listens.
#[derive(Debug)]
pub struct Running {
    /// The validator.
    pub validator: Arc<Validator>,
    /// Where it listens for HTTP.
    pub http: SocketAddr,
    /// Where it listens for QUIC.
    pub quic: SocketAddr,
    stop: CancellationToken,
    keeping: Option<JoinHandle<()>>,
}

impl Running {
    /// Connects to the chain, opens the store and listens.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn start(config: &ValidatorConfig, signer: PrivateKeySigner) -> Result<Self, DaemonError> {
        let keys = config.callers.as_deref().map(callers).transpose()?.unwrap_or_default();
        let packages = config.models.iter().map(|path| Package::open(path)).collect::<Result<Vec<_>, _>>()?;
        let chain = Chain::connect(&config.rpc_url, Some(config.chain_id)).await?;
        let (said, epochs) = watch::channel(first_epoch(&chain, config.epoch_blocks).await?);
        let stop = CancellationToken::new();
        tokio::spawn(follow(chain.clone(), config.epoch_blocks, said, stop.clone()));
        let room = Arc::new(Semaphore::new(ROOM));
        let setter = setter(config, &chain, &signer).await?;
        let validator = Validator::start(Node::new(signer), packages, config.options(), Clock::system(), epochs).await?;
        let of = Arc::downgrade(&validator);
        let refused = move |reason| {
            if let Some(validator) = of.upgrade() {
                validator.handshake_refused(reason);
            }
        };
        let mut listener = Listener::bind(config.quic, validator.identity(), config.handshakes_per_minute, Arc::clone(&room), refused)?;
        let quic = listener.address()?;
        let http = TcpListener::bind(config.http).await.map_err(|error| DaemonError::Listen(config.http, error.to_string()))?;
        let at = http.local_addr().map_err(|error| DaemonError::Listen(config.http, error.to_string()))?;
        let handshakes_per_minute = config.handshakes_per_minute;
        let settings = Settings { quic_port: Some(quic.port()), handshakes_per_minute, ..Settings::new(keys, room) };
        let of_an_address = usize::try_from(config.connections_per_address.get()).unwrap_or(usize::MAX);
        let most = Connections { of_an_address, ..Connections::default() };
        tokio::spawn(listen(http, gateway::serve(Arc::clone(&validator), settings), most, stop.clone()));
        let keeping = setter.map(|setter| tokio::spawn(keep(setter, Arc::clone(&validator), stop.clone())));
        let (of, stopped) = (Arc::clone(&validator), stop.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    link = listener.accept() => match link {
                        Some(link) => of.connect(link),
                        None => return,
                    },
                    () = stopped.cancelled() => return,
                }
            }
        });
        Ok(Self { validator, http: at, quic, stop, keeping })
    }

    /// Listens no more, and waits until everything that was begun has ended.
    pub async fn stop(self) {
        self.stop.cancel();
        self.validator.stop();
        self.validator.ended().await;
        if let Some(keeping) = self.keeping {
            let _ = keeping.await.inspect_err(|error| tracing::error!(%error, "the weights have not been kept to the end"));
        }
    }
}

/// What brings weights onto the chain, if the operator wants it.
async fn setter(config: &ValidatorConfig, chain: &Chain, signer: &PrivateKeySigner) -> Result<Option<WeightSetter>, DaemonError> {
    let Some(weights) = &config.weights else { return Ok(None) };
    let wrong = |reason| ConfigError { path: weights.file.clone(), reason };
    let options = weights.options(config.chain_id).map_err(wrong)?;
    let mut setter = WeightSetter::open(chain.clone(), signer.clone(), options).map_err(WeightError::from)?;
    setter.check().await?;
    Ok(Some(setter))
}

/// The epoch of the newest final block, seeded by the hash of its first one: no reorganisation changes what was drawn by it. None while the
/// node does not have that block.
async fn epoch(chain: &Chain, blocks: u64) -> Result<Option<Epoch>, ChainError> {
    let number = chain.final_block().await? / blocks;
    let first = number * blocks;
    let beacon = chain.block_hash(first).await?;
    if beacon.is_none() {
        tracing::warn!(block = first, "the node lacks the first block of the epoch, which seeds its draws: waiting for it");
    }
    Ok(beacon.map(|beacon| Epoch { number, beacon }))
}

async fn first_epoch(chain: &Chain, blocks: u64) -> Result<Epoch, ChainError> {
    loop {
        if let Some(epoch) = epoch(chain, blocks).await? {
            return Ok(epoch);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn follow(chain: Chain, blocks: u64, said: watch::Sender<Epoch>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => return,
        }
        match epoch(&chain, blocks).await {
            // The epoch before goes on.
            Ok(None) => {}
            Ok(Some(now)) => drop(said.send_if_modified(|epoch| {
                let is_later = now.number > epoch.number;
                if is_later {
                    *epoch = now;
                }
                is_later
            })),
            Err(error) => tracing::warn!(%error, "the chain does not say which epoch it is"),
        }
    }
}

/// Serves a miner's metrics at `/metrics`, and nothing else, until it is stopped. Returns where.
///
/// # Errors
/// [`DaemonError::Listen`].
pub async fn show_metrics(miner: Arc<Miner>, at: SocketAddr, stop: CancellationToken) -> Result<SocketAddr, DaemonError> {
    let wrong = |error: std::io::Error| DaemonError::Listen(at, error.to_string());
    let listener = TcpListener::bind(at).await.map_err(wrong)?;
    let bound = listener.local_addr().map_err(wrong)?;
    let text = move || {
        let text = miner.metrics();
        async move { ([(CONTENT_TYPE, MEDIA_TYPE)], text) }
    };
    let router = axum::Router::new().route("/metrics", axum::routing::get(text));
    tokio::spawn(listen(listener, router, Connections::default(), stop));
    Ok(bound)
}

/// A validator that a miner works for: its HTTP address, and who it has to be, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Employer {
    url: String,
    address: Option<Address>,
}

impl Employer {
    /// From `http://host:port`, or with `#0x…` behind it.
    ///
    /// # Errors
    /// [`DaemonError::Employer`].
    pub fn parse(text: &str) -> Result<Self, DaemonError> {
        let wrong = || DaemonError::Employer(text.to_owned());
        let (url, address) = text.split_once('#').map_or((text, None), |(url, address)| (url, Some(address)));
        let is_http = ["http://", "https://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
        let address = address.map(str::parse).transpose().map_err(|_| wrong())?;
        if is_http { Ok(Self { url: url.trim_end_matches('/').to_owned(), address }) } else { Err(wrong()) }
    }

    /// Its HTTP address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks it which network it is of.
    ///
    /// # Errors
    /// [`DaemonError`]: it is away, or somebody else.
    pub async fn about(&self) -> Result<About, DaemonError> {
        let about = about(&self.url).await?;
        match self.address {
            Some(expected) if expected != about.validator => {
                Err(DaemonError::Another { url: self.url.clone(), expected, found: about.validator })
            }
            _ => Ok(about),
        }
    }
}

/// Keeps a miner connected to a validator, until it is stopped: by QUIC, and where that does not get through, or is not wanted, by one
/// WebSocket.
pub async fn work_for(miner: Arc<Miner>, employer: Employer, network: Network, no_quic: bool, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(miner.room()));
    let mut again = AGAIN[0];
    while !stop.is_cancelled() {
        let began = tokio::time::Instant::now();
        let ended = tokio::select! {
            ended = once(&miner, &employer, network, no_quic, &room) => ended,
            () = stop.cancelled() => return,
        };
        match ended {
            Ok(()) if began.elapsed() < LONG => tracing::warn!(
                validator = %employer.url,
                "the validator has ended the connection: it stops, or another miner has this key, which only one may have"
            ),
            Ok(()) => tracing::info!(validator = %employer.url, "the connection has ended"),
            Err(error) => tracing::warn!(validator = %employer.url, %error, "no connection"),
        }
        again = if began.elapsed() > LONG { AGAIN[0] } else { (again * 2).min(AGAIN[1]) };
        // Not all at once after a validator was away.
        let jitter = again.mul_f64(f64::from(rand_core::RngCore::next_u32(&mut rand_core::OsRng)) / f64::from(u32::MAX));
        tokio::select! {
            () = tokio::time::sleep(again / 2 + jitter / 2) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn once(miner: &Arc<Miner>, employer: &Employer, network: Network, no_quic: bool, room: &Arc<Semaphore>) -> Result<(), DaemonError> {
    let about = employer.about().await?;
    let found = Network { chain_id: about.chain_id, registry: about.registry };
    if found != network {
        return Err(DaemonError::Network { url: employer.url.clone(), found, expected: network });
    }
    // Only said: whoever has too many questions to answer may have work all the same.
    let served = models_of(&employer.url).await.unwrap_or_else(|_| miner.models());
    for model in miner.models().iter().filter(|model| !served.contains(model)) {
        tracing::warn!(validator = %employer.url, %model, "the validator does not serve this model: no work comes for it; was it set up by others?");
    }
    let by_quic = if no_quic { None } else { Some(by_quic(miner, employer, &about, room).await) };
    let link = match by_quic {
        Some(Ok(link)) => link,
        // Whoever is refused is refused by the other way too.
        Some(Err(error @ (LinkError::Refused(_) | LinkError::Handshake(_)))) => return Err(error.into()),
        other => {
            if let Some(Err(error)) = other {
                tracing::info!(validator = %employer.url, %error, "no QUIC: by WebSocket");
            }
            let url = format!("{}/v1/network", employer.url.replacen("http", "ws", 1));
            websocket::dial(&url, &miner.identity(), Some(about.validator), Arc::clone(room)).await?
        }
    };
    tracing::info!(validator = %about.validator, "connected");
    Ok(miner.serve(link).await?)
}

async fn by_quic(miner: &Arc<Miner>, employer: &Employer, about: &About, room: &Arc<Semaphore>) -> Result<Link, LinkError> {
    let away = |reason: String| LinkError::Transport { what: "QUIC", reason };
    let port = about.quic_port.ok_or_else(|| away("the validator does not speak it".into()))?;
    let url: reqwest::Url = employer.url.parse().map_err(|_| away("the address does not parse".into()))?;
    let host = url.host_str().ok_or_else(|| away("the address has no host".into()))?.trim_matches(['[', ']']).to_owned();
    let to = tokio::net::lookup_host((host.as_str(), port)).await?.next().ok_or_else(|| away("the host has no address".into()))?;
    Dialer::new(miner.identity())?.dial(to, Some(about.validator), Arc::clone(room)).await
}

fn is_package(path: &Path) -> bool {
    path.join("manifest.json").is_file()
}

/// Whether a folder is a package, or has one that was not fetched: those have their model's digest as their name.
pub fn has_own_packages(folder: &Path) -> bool {
    is_package(folder) || folders(folder).is_ok_and(|folders| folders.iter().any(|path| !is_fetched(path)))
}

fn is_fetched(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().parse::<B256>().is_ok_and(|digest| *digest.to_string() == *name))
}

fn folders(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    // What is being fetched is none yet.
    let mut folders: Vec<_> = entries.filter(|path| is_package(path) && path.extension().is_none_or(|end| end != "part")).collect();
    folders.sort();
    Ok(folders)
}

/// Fetches what is wanted of the models that validators serve, and is not in the folder under a name of its own, or worked for already. What
/// cannot be had is left out, with a warning: the others are worked for. `said` is told of each model: it begins, or is here with so many
/// bytes received. Returns what was fetched.
///
/// # Errors
/// [`DaemonError`] for a folder that is a package itself, or that another process fetches into.
pub async fn fetch(
    store: &Store,
    config: &MinerConfig,
    sources: &Sources,
    wanted: &Fetch,
    worked_for: &BTreeSet<B256>,
    said: &(dyn Fn(Fetching<'_>) + Sync),
) -> Result<Vec<Package>, DaemonError> {
    let folder = &config.models;
    let mut served = BTreeSet::new();
    for node in &sources.nodes {
        match models_of(node).await {
            Ok(models) => served.extend(models),
            Err(error) => tracing::warn!(%error, "its models are not fetched"),
        }
    }
    let own = folders(folder).unwrap_or_default().into_iter().filter(|path| !is_fetched(path));
    let own: BTreeSet<B256> = own.filter_map(|path| Some(B256::from(Package::open(&path).ok()?.key_blob().ok()?.model_digest()))).collect();
    served.retain(|model| !own.contains(model));
    let wanted: BTreeSet<B256> = match wanted {
        Fetch::All => served,
        Fetch::None => BTreeSet::new(),
        Fetch::Models(named) => {
            for model in named.difference(&served).filter(|model| !own.contains(*model)) {
                tracing::warn!(%model, "no validator serves it");
            }
            named.intersection(&served).copied().collect()
        }
    };
    let mut fetched = Vec::new();
    // These keep their keys, whatever the quota.
    let in_use = wanted.union(worked_for).copied().collect();
    for model in wanted.difference(worked_for) {
        let progress = Progress::default();
        let fetching = store.fetch(*model, config.slices.as_ref(), sources, &in_use, &progress);
        tokio::pin!(fetching);
        let ended = loop {
            tokio::select! {
                ended = &mut fetching => break ended,
                () = tokio::time::sleep(SAID) => said(Fetching { model: *model, progress: &progress, is_over: false }),
            }
        };
        match ended {
            Ok(package) => {
                said(Fetching { model: *model, progress: &progress, is_over: true });
                fetched.push(package);
            }
            Err(error) => tracing::warn!(%model, %error, "not fetched"),
        }
    }
    Ok(fetched)
}

/// Fetches what validators begin to serve while the miner proves, and has it work for that too, until it is stopped. `came` is told of each
/// package.
pub async fn keep_fetching(
    miner: Arc<Miner>,
    store: Store,
    config: MinerConfig,
    sources: Sources,
    wanted: Fetch,
    came: impl Fn(&Package),
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(FETCHED_AGAIN) => {}
            () = stop.cancelled() => return,
        }
        let worked_for = miner.models().into_iter().collect();
        let fetched = tokio::select! {
            fetched = fetch(&store, &config, &sources, &wanted, &worked_for, &|_| ()) => fetched,
            () = stop.cancelled() => return,
        };
        for package in fetched.inspect_err(|error| tracing::warn!(%error, "nothing is fetched")).unwrap_or_default() {
            came(&package);
            let folder = package.folder().to_owned();
            if let Err(error) = miner.add(package) {
                tracing::warn!(folder = %folder.display(), %error, "a package is not worked for");
            }
        }
    }
}

/// A model that is being fetched.
#[derive(Clone, Copy, Debug)]
pub struct Fetching<'a> {
    /// Which.
    pub model: B256,
    /// How far.
    pub progress: &'a Progress,
    /// Whether it is here.
    pub is_over: bool,
}

/// Folders of packages in a folder; the folder itself where it is one.
///
/// # Errors
/// [`DaemonError`] for a folder that cannot be read, or holds none.
pub fn packages(folder: &Path) -> Result<Vec<Package>, DaemonError> {
    let unreadable = |error: std::io::Error| DaemonError::Models { folder: folder.to_owned(), reason: error.to_string() };
    let folders = if is_package(folder) { vec![folder.to_owned()] } else { folders(folder).map_err(unreadable)? };
    if folders.is_empty() {
        let reason =
            "it holds no package; `zkslice compile` and `zkslice setup` make one, `zkslice miner` fetches what its validators serve";
        return Err(DaemonError::Models { folder: folder.to_owned(), reason: reason.to_owned() });
    }
    Ok(folders.iter().map(|path| Package::open(path)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

    use axum::Json;
    use serde_json::{Value, json};

    use super::*;

    /// What a node says: its newest block, what it answers for the final one, and from which block on it has blocks.
    #[derive(Clone)]
    struct Says {
        head: u64,
        finalized: Value,
        since: u64,
    }

    fn block(number: u64) -> Value {
        let [hash, zero] = [B256::with_last_byte(number as u8), B256::ZERO];
        json!({ "number": format!("0x{number:x}"), "hash": hash, "parentHash": zero, "sha3Uncles": zero, "miner": Address::ZERO,
            "stateRoot": zero, "transactionsRoot": zero, "receiptsRoot": zero, "logsBloom": format!("0x{}", "00".repeat(256)),
            "difficulty": "0x0", "gasLimit": "0x1", "gasUsed": "0x0", "timestamp": "0x1", "extraData": "0x", "mixHash": zero,
            "nonce": "0x0000000000000000", "uncles": [], "transactions": [] })
    }

    /// A node that anvil cannot be: one without finality, and one that lacks blocks.
    async fn node(says: Arc<Mutex<Says>>) -> Chain {
        let answer = async move |Json(request): Json<Value>| {
            let Says { head, finalized, since } = says.lock().unwrap().clone();
            let result = match (request["method"].as_str(), request["params"][0].as_str()) {
                (Some("eth_chainId"), _) => json!({ "result": "0x7a69" }),
                (_, Some("latest")) => json!({ "result": block(head) }),
                (_, Some("finalized")) if finalized.is_u64() => json!({ "result": block(finalized.as_u64().unwrap()) }),
                (_, Some("finalized")) => finalized,
                (_, Some(number)) => {
                    let number = u64::from_str_radix(number.trim_start_matches("0x"), 16).unwrap();
                    json!({ "result": if number >= since { block(number) } else { Value::Null } })
                }
                other => unreachable!("{other:?}"),
            };
            let mut answer = json!({ "jsonrpc": "2.0", "id": request["id"] });
            answer.as_object_mut().unwrap().extend(result.as_object().unwrap().clone());
            Json(answer)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/", axum::routing::post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Chain::connect(&url, None).await.unwrap()
    }

    /// What a node says is final counts; where it says nothing, what is far enough behind.
    #[tokio::test]
    async fn an_epoch_begins_with_a_final_block() {
        let refused = json!({ "error": { "code": -32602, "message": "unknown block tag" } });
        let of = |number| Some(Epoch { number, beacon: B256::with_last_byte(10 * number as u8) });
        for (finalized, expected) in [
            (json!(99), of(9)),
            (json!(100), of(10)),
            (json!(0), of(0)),
            (refused, of((119 - zkslice_chain::constants::FINAL_DEPTH) / 10)),
            (json!({ "result": null }), of(5)),
        ] {
            let chain = node(Arc::new(Mutex::new(Says { head: 119, finalized: finalized.clone(), since: 0 }))).await;
            assert_eq!(epoch(&chain, 10).await.unwrap(), expected, "{finalized}");
        }
    }

    /// A block that is not there gives no beacon: it is waited for.
    #[tokio::test]
    async fn a_missing_block_is_waited_for() {
        let says = Arc::new(Mutex::new(Says { head: 29, finalized: json!(25), since: 26 }));
        let chain = node(Arc::clone(&says)).await;
        assert_eq!(epoch(&chain, 10).await.unwrap(), None);
        let first = tokio::spawn({
            let chain = chain.clone();
            async move { first_epoch(&chain, 10).await.unwrap() }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!first.is_finished());
        says.lock().unwrap().since = 0;
        let first = first.await.unwrap();
        assert_eq!(first, Epoch { number: 2, beacon: B256::with_last_byte(20) });
        // While the next one's is not there, this one goes on.
        *says.lock().unwrap() = Says { head: 39, finalized: json!(31), since: 31 };
        let (said, mut heard) = watch::channel(first);
        let stop = CancellationToken::new();
        let following = tokio::spawn(follow(chain, 10, said, stop.clone()));
        tokio::time::sleep(POLL + POLL / 4).await;
        assert_eq!(*heard.borrow_and_update(), first);
        says.lock().unwrap().since = 0;
        heard.changed().await.unwrap();
        assert_eq!(*heard.borrow(), Epoch { number: 3, beacon: B256::with_last_byte(30) });
        stop.cancel();
        following.await.unwrap();
    }
}
