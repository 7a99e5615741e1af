//! What is here and may be fetched from here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, Metadata};
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use alloy::primitives::B256;
use axum::body::Bytes;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use zkslice_slicer::{Package, PackageError};

use super::{CHUNK, Listed, Listing, Sha};

/// Downloads at a time, and of one address.
const DOWNLOADS: usize = 64;
const OF_ADDRESS: usize = 16;
/// Bytes that are read and sent at a time.
const PIECE: usize = 64 << 10;
/// How long a reader may take nothing, and how many bytes it has to take in a second on average, or it loses its place.
const GRACE: Duration = Duration::from_secs(10);
const LEAST_RATE: u64 = 32 << 10;

/// What a file was when its hash was taken: one that is another since is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    bytes: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: (u64, u64),
}

impl Seen {
    fn of(found: &Metadata) -> Self {
        Self {
            bytes: found.len(),
            modified: found.modified().ok(),
            #[cfg(unix)]
            inode: (std::os::unix::fs::MetadataExt::dev(found), std::os::unix::fs::MetadataExt::ino(found)),
        }
    }
}

/// A file, or what is here of one.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    path: PathBuf,
    pub(crate) bytes: u64,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Whole(Seen),
    /// Chunks that are here and were checked.
    Part(u64, BTreeSet<usize>),
}

impl Held {
    /// Whether these bytes are here.
    pub(crate) fn has(&self, range: &std::ops::Range<u64>) -> bool {
        match &self.state {
            State::Whole(_) => true,
            State::Part(chunk_bytes, chunks) => {
                (range.start / chunk_bytes..range.end.div_ceil(*chunk_bytes)).all(|k| chunks.contains(&(k as usize)))
            }
        }
    }

    /// Opens it; none where it is gone, or another file than the one whose hash was taken. Blocks.
    pub(crate) fn open(&self) -> Option<File> {
        let file = File::open(&self.path).ok()?;
        let found = file.metadata().ok()?;
        let is_same = match &self.state {
            State::Whole(seen) => *seen == Seen::of(&found),
            State::Part(..) => found.len() == self.bytes,
        };
        (found.is_file() && is_same).then_some(file)
    }
}

#[derive(Debug, Default)]
struct Contents {
    files: BTreeMap<Sha, Held>,
    /// By model, as JSON.
    lists: BTreeMap<B256, Bytes>,
    /// Models whose files are being read.
    awaited: BTreeSet<B256>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Shelf {
    contents: Mutex<Contents>,
    downloads: Arc<Semaphore>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    grace: Duration,
}

impl Default for Shelf {
    fn default() -> Self {
        Self::new(GRACE)
    }
}

/// Where one of the downloads is; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    grace: Duration,
    of: Option<(Weak<Shelf>, IpAddr)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((shelf, ip)) = self.of.take().and_then(|(shelf, ip)| Some((shelf.upgrade()?, ip))) else { return };
        let mut by_address = shelf.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let left = by_address.get(&ip).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            by_address.remove(&ip)
        } else {
            by_address.insert(ip, left)
        };
    }
}

impl Shelf {
    /// An empty one, whose readers may take nothing for so long.
    pub fn new(grace: Duration) -> Self {
        Self { contents: Mutex::default(), downloads: Arc::new(Semaphore::new(DOWNLOADS)), by_address: Mutex::default(), grace }
    }

    fn locked(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts packages on it, on a thread of its own: keys are large, and all of each file is read. Until then their lists are asked for in
    /// vain.
    pub fn fill<'a>(self: &Arc<Self>, packages: impl IntoIterator<Item = (B256, &'a Package)>) {
        let with_names = |(digest, package): (B256, &Package)| match package.files() {
            Ok(names) => Some((digest, package.folder().to_owned(), names)),
            Err(error) => {
                tracing::warn!(%error, "a package is not served to miners");
                None
            }
        };
        let mut packages: Vec<_> = packages.into_iter().filter_map(with_names).collect();
        {
            let mut contents = self.locked();
            packages.retain(|(digest, ..)| !contents.lists.contains_key(digest));
            contents.awaited.extend(packages.iter().map(|(digest, ..)| *digest));
        }
        // Nobody waits for a process that ends, and a shelf that is gone needs no hashes.
        let shelf = Arc::downgrade(self);
        let read = move || {
            for (digest, folder, names) in packages {
                if read(&shelf, digest, &folder, &names, CHUNK).is_none() {
                    return;
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("blobs".into()).spawn(read) {
            tracing::error!(%error, "no thread: nothing is served to miners");
        }
    }

    /// Puts a package on it, in chunks of so many bytes. Blocks until all of it is read.
    ///
    /// # Errors
    /// [`PackageError`]: it has no keys.
    pub fn put(self: &Arc<Self>, package: &Package, chunk_bytes: u64) -> Result<(), PackageError> {
        let digest = B256::from(package.key_blob()?.model_digest());
        read(&Arc::downgrade(self), digest, package.folder(), &package.files()?, chunk_bytes);
        Ok(())
    }

    /// Puts a file on it, by its name in its package. Blocks until all of it is read.
    ///
    /// # Errors
    /// Of the system; it changed meanwhile.
    pub fn put_file(&self, path: &Path, name: &str, slice: Option<u16>, chunk_bytes: u64) -> std::io::Result<Listed> {
        let (seen, sha256, chunks) = hashes(path, chunk_bytes)?;
        self.locked().files.insert(sha256, Held { path: path.to_owned(), bytes: seen.bytes, state: State::Whole(seen) });
        Ok(Listed { path: name.to_owned(), bytes: seen.bytes, sha256, chunks, slice })
    }

    /// The list of a model, as JSON; `Err` while it is being made.
    pub(crate) fn list(&self, model: &B256) -> Result<Option<Bytes>, ()> {
        let contents = self.locked();
        if contents.awaited.contains(model) { Err(()) } else { Ok(contents.lists.get(model).cloned()) }
    }

    pub(super) fn publish(&self, listing: &Listing) {
        if let Ok(json) = serde_json::to_vec(listing) {
            let mut contents = self.locked();
            contents.awaited.remove(&listing.model);
            contents.lists.insert(listing.model, json.into());
        }
    }

    pub(crate) fn held(&self, sha256: &Sha) -> Option<Held> {
        self.locked().files.get(sha256).cloned()
    }

    /// A file that is being fetched, and the chunks of it that are here.
    pub(super) fn begin(&self, path: &Path, file: &Listed, chunk_bytes: u64, chunks: BTreeSet<usize>) {
        let held = Held { path: path.to_owned(), bytes: file.bytes, state: State::Part(chunk_bytes, chunks) };
        self.locked().files.insert(file.sha256, held);
    }

    pub(super) fn chunk(&self, sha256: &Sha, chunk: usize) {
        if let Some(Held { state: State::Part(_, chunks), .. }) = self.locked().files.get_mut(sha256) {
            chunks.insert(chunk);
        }
    }

    /// A file whose hash is known to be right.
    pub(super) fn whole(&self, path: &Path, sha256: Sha) {
        if let Ok(found) = std::fs::metadata(path) {
            let held = Held { path: path.to_owned(), bytes: found.len(), state: State::Whole(Seen::of(&found)) };
            self.locked().files.insert(sha256, held);
        }
    }

    /// A place for a download; none while all are taken, or too many by the same address.
    pub(crate) fn admit(self: &Arc<Self>, ip: Option<IpAddr>) -> Option<Place> {
        let permit = Arc::clone(&self.downloads).try_acquire_owned().ok()?;
        if let Some(ip) = ip {
            let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_address.entry(ip).or_default();
            if *count >= OF_ADDRESS {
                return None;
            }
            *count += 1;
        }
        Some(Place { _permit: permit, grace: self.grace, of: ip.map(|ip| (Arc::downgrade(self), ip)) })
    }
}

/// Reads the files of a package and puts them on a shelf; none when that is gone. Proving keys may be missing, other files not.
fn read(shelf: &Weak<Shelf>, digest: B256, folder: &Path, names: &[(PathBuf, Option<usize>)], chunk_bytes: u64) -> Option<()> {
    let mut listing = Listing { model: digest, chunk_bytes, files: Vec::new() };
    let mut is_whole = true;
    for (name, slice) in names {
        let path = folder.join(name);
        let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
        match shelf.upgrade()?.put_file(&path, &parts.join("/"), slice.map(|k| k as u16), chunk_bytes) {
            Ok(file) => listing.files.push(file),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a file is not served to miners");
                is_whole &= slice.is_some();
            }
        }
    }
    let shelf = shelf.upgrade()?;
    if is_whole {
        shelf.publish(&listing);
    } else {
        shelf.locked().awaited.remove(&digest);
    }
    Some(())
}

fn hashes(path: &Path, chunk_bytes: u64) -> std::io::Result<(Seen, Sha, Vec<Sha>)> {
    let mut file = File::open(path)?;
    let seen = Seen::of(&file.metadata()?);
    let (mut whole, mut chunks) = (Sha256::new(), Vec::new());
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        (&mut file).take(chunk_bytes).read_to_end(&mut buffer)?;
        if buffer.is_empty() {
            break;
        }
        whole.update(&buffer);
        chunks.push(Sha(Sha256::digest(&buffer).into()));
    }
    if Seen::of(&file.metadata()?) != seen {
        return Err(std::io::Error::other("it changed while it was read"));
    }
    Ok((seen, Sha(whole.finalize().into()), chunks))
}

/// Reads a file into a channel, until its end or until whoever takes from it is too slow; the place is free then, whatever becomes of the
/// connection.
pub(crate) async fn pump(file: File, mut left: u64, to: mpsc::Sender<std::io::Result<Bytes>>, place: Place) {
    let mut file = tokio::fs::File::from_std(file);
    // How long it may wait: what it takes earns it time, and no more than it had, since buffers take much at once.
    let mut credit = place.grace;
    while left > 0 {
        let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
        // An answer that is shorter than its head says is broken off.
        if file.read_exact(&mut piece).await.is_err() {
            break;
        }
        let (length, begun) = (piece.len() as u64, Instant::now());
        if !matches!(timeout(credit, to.send(Ok(piece.into()))).await, Ok(Ok(()))) {
            break;
        }
        let earned = Duration::from_millis(length * 1_000 / LEAST_RATE);
        credit = (credit.saturating_sub(begun.elapsed()) + earned).min(place.grace);
        left -= length;
    }
    drop(place);
}
