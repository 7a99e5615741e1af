//! Fetches packages into a folder, and keeps the folder within its quota.
//!
//! ```text
//! DIR/<digest>.part/…                           a package until it is known to be the model's: all but proving keys
//! DIR/<digest>/…                                then
//! DIR/<digest>/keys/<setup>/k.proving.key.part  a file of the right length, whose chunks come one by one
//! DIR/<digest>/keys/<setup>/k.proving.key.part.7  what is here of chunk 7: written as it comes, so that a kill loses what was on its way
//! ```
//!
//! Which chunks are here is not written down: whoever goes on after a kill hashes them, and trusts no note that may be older than the bytes.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use alloy::primitives::B256;
use futures_util::StreamExt;
use rand_core::{OsRng, RngCore};
use reqwest::{StatusCode, Url, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use zkslice_chain::http_client;
use zkslice_formats::FileLock;
use zkslice_prover::{ProverError, prove};
use zkslice_slicer::Package;

use super::{Listed, Listing, Sha, Shelf};
use crate::validator::Model;
use crate::{BlobError, ClientError};

/// How long a request may take in all: a chunk of 16 MiB at the least rate.
const PATIENCE: Duration = Duration::from_secs(600);
/// Bytes of a list, and of a validator's models.
const MOST_LIST: usize = 16 << 20;
/// Mirrors that are asked for a chunk before validators are.
const MOST_ASKED: usize = 16;
/// How often a mirror may be away.
const MOST_AWAY: usize = 3;
/// How long to wait where nobody has a chunk now.
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes that are hashed at a time.
const BUFFER: usize = 1 << 20;

/// Where packages come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// HTTP addresses of validators: their lists are taken, and they are asked for what nobody else has.
    pub nodes: Vec<String>,
    /// Addresses at which `/{sha256}` is a file: mirrors, and other miners' `…/v1/blobs`.
    pub mirrors: Vec<String>,
}

/// How fetching goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Chunks at a time.
    pub parallel: usize,
    /// How long a source may say nothing.
    pub stall: Duration,
    /// Bytes in a second that it has to give, after that time.
    pub least_rate: u64,
    /// How long nothing may come from anybody.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { parallel: 4, stall: Duration::from_secs(10), least_rate: 64 << 10, patience: Duration::from_secs(60) }
    }
}

/// How far a fetch is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes that are wanted.
    pub total: AtomicU64,
    /// Bytes that are here and checked.
    pub done: AtomicU64,
    /// Bytes that came, whatever they were.
    pub received: AtomicU64,
}

/// A folder of fetched packages, which one process at a time fetches into.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    quota: u64,
    limits: Limits,
    shelf: Arc<Shelf>,
    _lock: FileLock,
}

/// The models that a validator serves.
///
/// # Errors
/// [`ClientError`].
pub async fn models_of(url: &str) -> Result<Vec<B256>, ClientError> {
    #[derive(Deserialize)]
    struct Model {
        digest: B256,
    }
    let source = Source::new(url, true)?;
    let models: Vec<Model> = source.json("v1/models").await?;
    Ok(models.into_iter().map(|model| model.digest).collect())
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> BlobError {
    let path = path.to_owned();
    move |source| BlobError::Io { path, source }
}

/// Away from the runtime's threads.
async fn blocking<T: Send + 'static>(path: &Path, work: impl FnOnce() -> Result<T, BlobError> + Send + 'static) -> Result<T, BlobError> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io(&path)(std::io::Error::other(error))))
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The place of a file below a folder, whose folders are made. Nothing on the way may be a link.
fn place(folder: &Path, path: &str) -> Result<PathBuf, BlobError> {
    let mut at = folder.to_owned();
    let mut parts = path.split('/').peekable();
    loop {
        if fs::symlink_metadata(&at).is_ok_and(|found| found.is_symlink()) {
            return Err(BlobError::Link(at));
        }
        let Some(part) = parts.next() else { return Ok(at) };
        if at != folder || !at.is_dir() {
            fs::create_dir_all(&at).map_err(io(&at))?;
        }
        at.push(part);
    }
}

/// A new file, or the one that is there; never what a link leads to.
fn opened(path: &Path, length: u64) -> Result<File, BlobError> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(BlobError::Link(path.to_owned()));
    }
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(io(path))?;
    file.set_len(length).map_err(io(path))?;
    Ok(file)
}

/// Folders of a store by their model's digest: what the fetcher made itself.
fn fetched(folder: &Path) -> Vec<(B256, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().to_str()?.to_owned();
        let digest = name.strip_suffix(".part").unwrap_or(&name);
        (digest.len() == 66).then_some(())?;
        Some((digest.parse().ok()?, entry.path()))
    });
    named.collect()
}

/// Bytes of a file, or of those in a folder, as they are on the disk where the system says so: a file that is being fetched has holes.
fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum(),
        #[cfg(unix)]
        Ok(found) => found.len().min(std::os::unix::fs::MetadataExt::blocks(&found) * 512),
        #[cfg(not(unix))]
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}

/// Proving keys below a folder, and what is here of those that are being fetched.
fn proving_keys(folder: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    let is_key = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".proving.key"));
    entries(&folder.join("keys")).iter().flat_map(|setup| entries(setup)).filter(is_key).collect()
}

impl Store {
    /// A folder, made where there is none, for so many bytes. What is fetched is put on the shelf as it comes.
    ///
    /// # Errors
    /// [`BlobError::Busy`] while another process has it; of the system.
    pub fn open(folder: &Path, quota: u64, limits: Limits, shelf: Arc<Shelf>) -> Result<Self, BlobError> {
        fs::create_dir_all(folder).map_err(io(folder))?;
        let lock = FileLock::take(&folder.join("fetch")).map_err(io(folder))?;
        let lock = lock.ok_or_else(|| BlobError::Busy(folder.to_owned()))?;
        Ok(Self { folder: folder.to_owned(), quota, limits, shelf, _lock: lock })
    }

    /// Fetches the package of a model with the proving keys of some slices, or of all, unless it is here; goes on where an earlier fetch
    /// was cut. Models in use keep their keys, whatever the quota.
    ///
    /// # Errors
    /// [`BlobError`]: what became of the last list that was tried.
    pub async fn fetch(
        &self,
        model: B256,
        slices: Option<&BTreeSet<u16>>,
        sources: &Sources,
        in_use: &BTreeSet<B256>,
        progress: &Progress,
    ) -> Result<Package, BlobError> {
        let mut last = None;
        for url in &sources.nodes {
            let node = Source::new(url, true)?;
            let ended = async {
                let listing: Listing = node.json(&format!("v1/models/{model}/files")).await?;
                let refused = |reason| BlobError::List { from: node.shown.clone(), model, reason };
                listing.check(model).map_err(refused)?;
                self.by_list(&node.shown, listing, slices, sources, in_use, progress).await
            };
            match ended.await {
                Ok(package) => return Ok(package),
                // With another list it would be the same.
                Err(error @ (BlobError::Io { .. } | BlobError::Link(_) | BlobError::Broken { .. })) => return Err(error),
                Err(error) => {
                    tracing::warn!(%model, %error, "not fetched from this list");
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| BlobError::Nobody { path: format!("model {model}"), reasons: "no validator is named".into() }))
    }

    /// Fetches the files of a list, each checked against it, into a folder, whatever they are: [`Store::fetch`] asks whether they are a model.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn download(&self, into: &Path, listing: &Listing, sources: &Sources, progress: &Progress) -> Result<(), BlobError> {
        self.begin(listing.chunk_bytes, sources, progress)?.files(into, &listing.files.iter().collect::<Vec<_>>()).await
    }

    fn begin<'a>(&'a self, chunk_bytes: u64, sources: &Sources, progress: &'a Progress) -> Result<Fetch<'a>, ClientError> {
        let nodes = sources.nodes.iter().map(|url| Source::new(url, true));
        let sources = sources.mirrors.iter().map(|url| Source::new(url, false)).chain(nodes).collect::<Result<_, _>>()?;
        Ok(Fetch { sources, chunk_bytes, limits: self.limits, shelf: &self.shelf, last: Semaphore::new(1), progress })
    }

    async fn by_list(
        &self,
        from: &str,
        mut listing: Listing,
        slices: Option<&BTreeSet<u16>>,
        sources: &Sources,
        in_use: &BTreeSet<B256>,
        progress: &Progress,
    ) -> Result<Package, BlobError> {
        let model = listing.model;
        let refused = |reason: String| BlobError::List { from: from.to_owned(), model, reason };
        listing.files.retain(|file| file.slice.is_none_or(|k| slices.is_none_or(|slices| slices.contains(&k))));
        let needed = listing.files.iter().map(|file| file.bytes).sum();
        let folder = self.folder.join(model.to_string());
        let partial = suffixed(&folder, ".part");
        self.make_room(&model, needed, in_use)?;
        progress.total.store(needed, Ordering::Relaxed);
        progress.done.store(0, Ordering::Relaxed);
        let fetch = self.begin(listing.chunk_bytes, sources, progress)?;
        let (keys, others): (Vec<&Listed>, Vec<&Listed>) = listing.files.iter().partition(|file| file.slice.is_some());
        if folder.join("manifest.json").is_file() {
            progress.done.fetch_add(others.iter().map(|file| file.bytes).sum(), Ordering::Relaxed);
        } else {
            fetch.files(&partial, &others).await?;
            // Large keys are fetched only for what is the model that is worked for, and nothing else gets its name.
            if let Err(error) = checked(&partial, model).await {
                let _ = fs::remove_dir_all(&partial);
                return Err(refused(error));
            }
            fs::rename(&partial, &folder).map_err(io(&folder))?;
        }
        let broken = |reason| BlobError::Broken { folder: folder.clone(), reason };
        let package = Arc::new(checked(&folder, model).await.map_err(broken)?);
        used(&folder);
        let names: Vec<(String, Option<u16>)> = {
            let path = |name: &Path| name.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
            package.files()?.iter().map(|(name, slice)| (path(name), slice.map(|k| k as u16))).collect()
        };
        if let Some(odd) = listing.files.iter().find(|file| !names.iter().any(|(name, slice)| *name == file.path && *slice == file.slice)) {
            return Err(refused(format!("'{}' is no file of this package", odd.path)));
        }
        for file in &others {
            self.shelf.whole(&folder.join(&file.path), file.sha256);
        }
        let mut missing = Vec::new();
        for file in &keys {
            let (k, package) = (file.slice.unwrap_or_default(), Arc::clone(&package));
            let is_here =
                folder.join(&file.path).is_file() && blocking(&folder, move || Ok(package.proving_key(usize::from(k)).is_ok())).await?;
            if is_here {
                progress.done.fetch_add(file.bytes, Ordering::Relaxed);
                self.shelf.whole(&folder.join(&file.path), file.sha256);
            } else {
                missing.push(*file);
            }
        }
        fetch.files(&folder, &missing).await?;
        if let Err((k, reason)) = usable(&package, missing.iter().filter_map(|file| file.slice).collect()).await? {
            let _ = missing.iter().filter(|file| file.slice == Some(k)).try_for_each(|file| fs::remove_file(folder.join(&file.path)));
            return Err(refused(format!("its proving key of slice {k} is not the model's: {reason}")));
        }
        self.shelf.publish(&listing);
        Ok(Package::open(&folder)?)
    }

    /// Removes the proving keys of models that are not in use, those first that were used longest ago, until there is room.
    fn make_room(&self, model: &B256, needed: u64, in_use: &BTreeSet<B256>) -> Result<(), BlobError> {
        let is_kept = |digest: &B256| digest == model || in_use.contains(digest);
        let mut others: Vec<(SystemTime, PathBuf)> = Vec::new();
        let mut total = needed;
        for (digest, folder) in fetched(&self.folder) {
            if &digest != model {
                total = total.saturating_add(size(&folder));
            }
            if !is_kept(&digest) {
                let last = fs::metadata(folder.join("keys.json")).and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                others.push((last, folder));
            }
        }
        others.sort();
        let mut removed = Vec::new();
        let mut left = total;
        for (_, folder) in others {
            if left <= self.quota {
                break;
            }
            let before = size(&folder);
            // Of what never became a package, nothing is of use.
            let gone = if folder.extension().is_some() { before } else { proving_keys(&folder).iter().map(|path| size(path)).sum() };
            left -= gone.min(left);
            removed.push(folder);
        }
        // Nothing is lost for what does not fit in any case.
        if left > self.quota {
            return Err(BlobError::Quota { needed: left, quota: self.quota });
        }
        for folder in removed {
            tracing::info!(folder = %folder.display(), "its proving keys make room");
            if folder.extension().is_some() {
                fs::remove_dir_all(&folder).map_err(io(&folder))?;
            }
            for key in proving_keys(&folder) {
                fs::remove_file(&key).map_err(io(&key))?;
            }
        }
        Ok(())
    }
}

/// Notes when a package was last used, where the quota looks for it.
fn used(folder: &Path) {
    // Best effort: whatever is removed too early is fetched again.
    let _ = File::options().append(true).open(folder.join("keys.json")).and_then(|file| file.set_modified(SystemTime::now()));
}

/// The package in a folder, if it is the model's. What others sent is read where a panic ends nothing.
async fn checked(folder: &Path, model: B256) -> Result<Package, String> {
    let folder = folder.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let package = Package::open(&folder).map_err(|error| error.to_string())?;
        if package.foreign().is_some() {
            return Err("its package holds no model".to_owned());
        }
        let found = B256::from(package.key_blob().map_err(|error| error.to_string())?.model_digest());
        if found == model { Ok(package) } else { Err(format!("its package is of model {found}")) }
    });
    opened.await.unwrap_or_else(|_| Err("its package cannot be read".into()))
}

/// Whether keys are the model's: each is what `keys.json` says, and makes a proof that the model's verifying key accepts. Which is not, and why.
async fn usable(package: &Arc<Package>, slices: BTreeSet<u16>) -> Result<Result<(), (u16, String)>, BlobError> {
    let (package, folder) = (Arc::clone(package), package.folder().to_owned());
    let Some(&first) = slices.first() else { return Ok(Ok(())) };
    let tried = tokio::task::spawn_blocking(move || {
        for k in &slices {
            package.proving_key(usize::from(*k)).map_err(|error| (*k, error.to_string()))?;
        }
        let wrong = |error: &dyn std::fmt::Display| (first, error.to_string());
        let model = Package::open(package.folder()).and_then(Model::new).map_err(|error| wrong(&error))?;
        let mut seed = B256::ZERO;
        OsRng.fill_bytes(&mut seed.0);
        let executed = match model.execute_random(seed) {
            Ok((executed, _)) => executed,
            Err(error) => {
                tracing::warn!(folder = %package.folder().display(), %error, "its keys are not tried: the model does not run on random values");
                return Ok(());
            }
        };
        for k in slices {
            let of = |error: ProverError| (k, error.to_string());
            let inference = model.inference(&executed, k, [B256::ZERO; 2]).map_err(of)?;
            let k = usize::from(k);
            prove(&model.package, inference, k..k + 1, &mut OsRng, |_| ()).map_err(of)?;
        }
        Ok(())
    });
    let panicked = |_| io(&folder)(std::io::Error::other("the prover panics on its keys"));
    tried.await.map_err(panicked)
}

/// Somebody who has files.
#[derive(Debug)]
struct Source {
    client: reqwest::Client,
    url: Url,
    /// Without what precedes or follows host and port, which may be secret.
    shown: String,
    is_node: bool,
    away: AtomicUsize,
    /// Why it is asked no more.
    dropped: Mutex<Option<String>>,
}

/// Why a chunk, or its rest, did not come.
enum Miss {
    /// It does not have it, or has no time, now.
    Not,
    /// It does not answer, or breaks off.
    Away(String),
    /// It is slower than it may be.
    Slow(String),
    /// What it does is wrong.
    Fault(String),
    /// The disk.
    Here(BlobError),
}

impl Source {
    fn new(url: &str, is_node: bool) -> Result<Self, ClientError> {
        let (client, url, shown) = http_client(url, PATIENCE)?;
        Ok(Self { client, url, shown, is_node, away: AtomicUsize::new(0), dropped: Mutex::new(None) })
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        url
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let away = || ClientError::Away(self.shown.clone());
        let begun = Instant::now();
        loop {
            let sent = timeout(Duration::from_secs(10), self.client.get(self.at(path)).send()).await;
            let mut answer = sent.ok().and_then(Result::ok).ok_or_else(away)?;
            let status = answer.status();
            let mut bytes = Vec::new();
            while let Some(piece) = timeout(Duration::from_secs(10), answer.chunk()).await.map_err(|_| away())?.map_err(|_| away())? {
                if bytes.len() + piece.len() > MOST_LIST {
                    return Err(ClientError::Answer(self.shown.clone(), "it is too long".into()));
                }
                bytes.extend_from_slice(&piece);
            }
            // A validator that has just started hashes its files first.
            let is_later = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
            if is_later && begun.elapsed() < PATIENCE {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            if !status.is_success() {
                let detail = format!("it has no /{path}");
                return Err(ClientError::Refused { url: self.shown.clone(), status: status.as_u16(), detail });
            }
            return serde_json::from_slice(&bytes).map_err(|error| ClientError::Answer(self.shown.clone(), error.to_string()));
        }
    }

    fn is_dropped(&self) -> bool {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn drop_for(&self, reason: &str) {
        tracing::warn!(source = %self.shown, %reason, "asked no more");
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| reason.to_owned());
    }

    /// Appends these bytes of a file to what is here of a chunk.
    async fn ask(&self, file: &Listed, range: Range<u64>, piece: &Path, limits: &Limits, progress: &Progress) -> Result<(), Miss> {
        let path = if self.is_node { format!("v1/blobs/{}", file.sha256) } else { file.sha256.to_string() };
        let asked = self.client.get(self.at(&path)).header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        let silent = |_| Miss::Slow(format!("it says nothing for {} s", limits.stall.as_secs_f32()));
        let away = |error: reqwest::Error| Miss::Away(error.without_url().to_string());
        let begun = Instant::now();
        let mut answer = timeout(limits.stall, asked.send()).await.map_err(silent)?.map_err(away)?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK if range == (0..file.bytes) => {}
            StatusCode::OK => return Err(Miss::Fault("it does not know `Range`".into())),
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                return Err(Miss::Not);
            }
            other => return Err(Miss::Fault(format!("it answers with status {other}"))),
        }
        let here = |error| Miss::Here(io(piece)(error));
        let mut to = tokio::fs::OpenOptions::new().create(true).append(true).open(piece).await.map_err(here)?;
        let (wanted, mut got) = (range.end - range.start, 0);
        while let Some(bytes) = timeout(limits.stall, answer.chunk()).await.map_err(silent)?.map_err(away)? {
            progress.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            got += bytes.len() as u64;
            if got > wanted {
                return Err(Miss::Fault("it sends more than it was asked for".into()));
            }
            to.write_all(&bytes).await.map_err(here)?;
            // To the system, which outlives this process.
            to.flush().await.map_err(here)?;
            let elapsed = begun.elapsed();
            if got < wanted && elapsed > limits.stall && (got as f64) < limits.least_rate as f64 * elapsed.as_secs_f64() {
                return Err(Miss::Slow(format!("it sent {got} bytes in {:.1} s", elapsed.as_secs_f64())));
            }
        }
        if got < wanted { Err(Miss::Away("it broke off".into())) } else { Ok(()) }
    }
}

/// A fetch by one list.
struct Fetch<'a> {
    sources: Vec<Source>,
    chunk_bytes: u64,
    limits: Limits,
    shelf: &'a Shelf,
    /// Where others may have a chunk, validators are asked for one at a time: so they send each but a few times, however many fetch at once.
    last: Semaphore,
    progress: &'a Progress,
}

/// A file that is being fetched.
struct Wanted<'a> {
    file: &'a Listed,
    place: PathBuf,
    partial: PathBuf,
    missing: AtomicUsize,
}

impl Fetch<'_> {
    /// Fetches files, each checked, into a folder.
    async fn files(&self, folder: &Path, files: &[&Listed]) -> Result<(), BlobError> {
        let mut wanted = Vec::new();
        let mut chunks = Vec::new();
        for (at, file) in files.iter().enumerate() {
            let place = place(folder, &file.path)?;
            let partial = suffixed(&place, ".part");
            let missing = {
                let (place, partial, file, chunk_bytes) = (place.clone(), partial.clone(), (*file).clone(), self.chunk_bytes);
                blocking(folder, move || missing(&place, &partial, &file, chunk_bytes)).await?
            };
            let Some(mut missing) = missing else {
                self.progress.done.fetch_add(file.bytes, Ordering::Relaxed);
                self.shelf.whole(&place, file.sha256);
                continue;
            };
            let here = (0..file.chunks.len()).filter(|k| !missing.contains(k)).collect::<BTreeSet<_>>();
            let bytes = here.iter().map(|k| file.span(*k, self.chunk_bytes)).map(|span| span.end - span.start).sum();
            self.progress.done.fetch_add(bytes, Ordering::Relaxed);
            self.shelf.begin(&partial, file, self.chunk_bytes, here);
            // Whoever else fetches begins with other chunks, so that each has what another lacks.
            for k in (1..missing.len()).rev() {
                missing.swap(k, OsRng.next_u64() as usize % (k + 1));
            }
            let index = wanted.len();
            chunks.extend(missing.iter().map(|k| (index, Some(*k))));
            if missing.is_empty() {
                chunks.push((index, None));
            }
            wanted.push(Wanted { file: files[at], place, partial, missing: AtomicUsize::new(missing.len().max(1)) });
        }
        let wanted = &wanted;
        let each = async |(index, k): (usize, Option<usize>)| {
            let of: &Wanted<'_> = &wanted[index];
            if let Some(k) = k {
                self.chunk(of, k).await?;
            }
            if of.missing.fetch_sub(1, Ordering::Relaxed) == 1 { self.finish(of).await } else { Ok(()) }
        };
        let mut each = futures_util::stream::iter(chunks).map(each).buffer_unordered(self.limits.parallel.max(1));
        while let Some(ended) = each.next().await {
            ended?;
        }
        Ok(())
    }

    /// Fetches a chunk: from whoever has it, until it is right.
    async fn chunk(&self, of: &Wanted<'_>, k: usize) -> Result<(), BlobError> {
        let span = of.file.span(k, self.chunk_bytes);
        let length = span.end - span.start;
        let piece = suffixed(&of.partial, &format!(".{k}"));
        let mut have = fs::symlink_metadata(&piece).map_or(0, |found| if found.is_file() { found.len() } else { u64::MAX });
        if have > length {
            fs::remove_file(&piece).map_err(io(&piece))?;
            have = 0;
        }
        // Who sent what is here: nobody is blamed for what an earlier process left.
        let (mut senders, mut is_of_others) = (Vec::new(), have > 0);
        let mut asked = BTreeSet::new();
        let mut since = Instant::now();
        loop {
            if have == length {
                if self.settle(of, k, &piece, &span).await? {
                    self.shelf.chunk(&of.file.sha256, k);
                    self.progress.done.fetch_add(length, Ordering::Relaxed);
                    return Ok(());
                }
                let wrong = format!("chunk {k} of {} is not what the list says", of.file.path);
                match (&senders[..], is_of_others) {
                    ([one], false) => self.drop_for(*one, &wrong),
                    // Of several it may have been any: those who broke off have that against them already.
                    ([broke @ .., _], _) => broke.iter().for_each(|source| self.drop_for(*source, &wrong)),
                    ([], _) => {}
                }
                (have, is_of_others) = (0, false);
                senders.clear();
                asked.clear();
            }
            let Some(source) = self.pick(&asked) else {
                let is_left = self.sources.iter().any(|source| !source.is_dropped());
                if !is_left || since.elapsed() > self.limits.patience {
                    return Err(self.nobody(of.file));
                }
                tokio::time::sleep(PAUSE).await;
                asked.clear();
                continue;
            };
            let from = &self.sources[source];
            let _one = if from.is_node && self.sources.iter().any(|other| !other.is_node && !other.is_dropped()) {
                self.last.acquire().await.ok()
            } else {
                None
            };
            let ended = from.ask(of.file, span.start + have..span.end, &piece, &self.limits, self.progress).await;
            let now = fs::symlink_metadata(&piece).map_or(0, |found| found.len());
            if now > have {
                senders.retain(|sender| *sender != source);
                senders.push(source);
                (have, since) = (now.min(length), Instant::now());
            }
            match ended {
                Ok(()) => from.away.store(0, Ordering::Relaxed),
                Err(Miss::Not) => drop(asked.insert(source)),
                Err(Miss::Away(reason)) => {
                    asked.insert(source);
                    tracing::debug!(source = %from.shown, %reason, "a chunk did not come");
                    // A validator may be restarting.
                    if from.away.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_AWAY && !from.is_node {
                        from.drop_for(&reason);
                    }
                }
                Err(Miss::Slow(reason)) => {
                    asked.insert(source);
                    // Whoever has no other goes on with it.
                    if self.sources.iter().enumerate().any(|(other, each)| other != source && !each.is_dropped()) {
                        from.drop_for(&reason);
                    }
                }
                Err(Miss::Fault(reason)) => from.drop_for(&reason),
                Err(Miss::Here(error)) => return Err(error),
            }
        }
    }

    fn drop_for(&self, source: usize, reason: &str) {
        self.sources[source].drop_for(reason);
    }

    /// Whom to ask for a chunk: any mirror, then any validator.
    fn pick(&self, asked: &BTreeSet<usize>) -> Option<usize> {
        let of = |is_node: bool| {
            let is_left = |(k, source): &(usize, &Source)| source.is_node == is_node && !asked.contains(k) && !source.is_dropped();
            let left: Vec<usize> = self.sources.iter().enumerate().filter(is_left).map(|(k, _)| k).collect();
            (!left.is_empty()).then(|| left[OsRng.next_u64() as usize % left.len()])
        };
        let mirror = if asked.len() < MOST_ASKED { of(false) } else { None };
        mirror.or_else(|| of(true))
    }

    fn nobody(&self, file: &Listed) -> BlobError {
        let reason = |source: &Source| {
            let dropped = source.dropped.lock().unwrap_or_else(PoisonError::into_inner).clone();
            format!("{}: {}", source.shown, dropped.unwrap_or_else(|| "it does not answer, or does not have it".into()))
        };
        let reasons: Vec<String> = self.sources.iter().map(reason).collect();
        BlobError::Nobody { path: file.path.clone(), reasons: reasons.join("; ") }
    }

    /// Puts a chunk in its place if it is right, and says whether.
    async fn settle(&self, of: &Wanted<'_>, k: usize, piece: &Path, span: &Range<u64>) -> Result<bool, BlobError> {
        let (piece, partial, hash, bytes, from) = (piece.to_owned(), of.partial.clone(), of.file.chunks[k], of.file.bytes, span.start);
        blocking(&of.place, move || {
            let chunk = fs::read(&piece).map_err(io(&piece))?;
            let is_right = Sha(Sha256::digest(&chunk).into()) == hash;
            if is_right {
                let mut file = opened(&partial, bytes)?;
                file.seek(SeekFrom::Start(from)).and_then(|_| file.write_all(&chunk)).map_err(io(&partial))?;
            }
            fs::remove_file(&piece).map_err(io(&piece))?;
            Ok(is_right)
        })
        .await
    }

    /// Gives a file its name if it is right.
    async fn finish(&self, of: &Wanted<'_>) -> Result<(), BlobError> {
        let (partial, place, hash) = (of.partial.clone(), of.place.clone(), of.file.sha256);
        let is_right = blocking(&of.place, move || {
            let mut file = File::open(&partial).map_err(io(&partial))?;
            let is_right = hash_of(&mut file).map_err(io(&partial))? == hash;
            if is_right {
                file.sync_all().map_err(io(&partial))?;
                fs::rename(&partial, &place).map_err(io(&place))?;
            } else {
                fs::remove_file(&partial).map_err(io(&partial))?;
            }
            Ok(is_right)
        });
        if is_right.await? {
            self.shelf.whole(&of.place, of.file.sha256);
            return Ok(());
        }
        let reasons = "each chunk is what the list says, and the whole is not: the list is wrong".into();
        Err(BlobError::Nobody { path: of.file.path.clone(), reasons })
    }
}

fn hash_of(file: &mut File) -> std::io::Result<Sha> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; BUFFER]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Sha(hash.finalize().into())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Chunks of a file that are not here; none where it is here and right.
fn missing(place: &Path, partial: &Path, file: &Listed, chunk_bytes: u64) -> Result<Option<Vec<usize>>, BlobError> {
    match File::open(place) {
        Ok(mut whole) => {
            if hash_of(&mut whole).map_err(io(place))? == file.sha256 {
                return Ok(None);
            }
            fs::remove_file(place).map_err(io(place))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(io(place)(error)),
    }
    let is_begun = fs::symlink_metadata(partial).is_ok_and(|found| found.len() == file.bytes);
    let mut part = opened(partial, file.bytes)?;
    let mut missing = Vec::new();
    for (k, hash) in file.chunks.iter().enumerate() {
        let span = file.span(k, chunk_bytes);
        let mut chunk = vec![0; (span.end - span.start) as usize];
        let is_here = is_begun && {
            part.seek(SeekFrom::Start(span.start)).and_then(|_| part.read_exact(&mut chunk)).map_err(io(partial))?;
            Sha(Sha256::digest(&chunk).into()) == *hash
        };
        if !is_here {
            missing.push(k);
        }
    }
    Ok(Some(missing))
}
