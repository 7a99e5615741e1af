//! Packages over HTTP: what is cut goes on, what lies is found out, what is served is what was hashed.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy::primitives::B256;
use ark_std::rand::{RngCore, SeedableRng, rngs::StdRng};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use zkslice_groth16::ProvingKey;
use zkslice_prover::{BundleSource, Verifier};
use zkslice_slicer::{Package, setup};
use zkslice_subnet::blobs::{CHUNK, Limits, Listing, Progress, Shelf, Sources, Store};
use zkslice_subnet::config::{Fetch, MinerConfig};
use zkslice_subnet::daemon::{fetch, packages};
use zkslice_subnet::gateway::{Settings, serve, serve_blobs};
use zkslice_subnet::validator::{self, Validator};
use zkslice_subnet::{BlobError, Clock};

use crate::support::*;

const SMALL: u64 = 64 << 10;

/// Serves at an address of its own, and counts the bytes of bodies; a body goes in pieces, with a pause before each.
async fn at(router: Router, pause: Duration) -> (String, Arc<AtomicU64>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = {
        let sent = Arc::clone(&sent);
        move |request: Request, next: Next| {
            let sent = Arc::clone(&sent);
            async move {
                let (parts, body) = next.run(request).await.into_parts();
                let pieces = body.into_data_stream().flat_map(|piece| {
                    let piece = piece.unwrap();
                    futures_util::stream::iter(
                        (0..piece.len()).step_by(16 << 10).map(move |k| piece.slice(k..piece.len().min(k + (16 << 10)))),
                    )
                });
                let body = pieces.then(move |piece: Bytes| {
                    let sent = Arc::clone(&sent);
                    async move {
                        if pause > Duration::ZERO {
                            tokio::time::sleep(pause).await;
                        }
                        sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                        Ok::<_, std::io::Error>(piece)
                    }
                });
                Response::from_parts(parts, Body::from_stream(body))
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = router.layer(from_fn(counted)).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, sent)
}

fn random_file(path: &Path, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    StdRng::seed_from_u64(5).fill_bytes(&mut content);
    std::fs::write(path, &content).unwrap();
    content
}

fn digest(package: &Package) -> B256 {
    package.key_blob().unwrap().model_digest().into()
}

/// A node that serves packages in small chunks.
async fn node(packages: &[Package]) -> (String, Arc<AtomicU64>) {
    let shelf = Arc::new(Shelf::default());
    packages.iter().for_each(|package| shelf.put(package, SMALL).unwrap());
    at(serve_blobs(shelf), Duration::ZERO).await
}

fn store(folder: &Path) -> Store {
    store_of(folder, u64::MAX, Limits::default())
}

fn store_of(folder: &Path, quota: u64, limits: Limits) -> Store {
    Store::open(folder, quota, limits, Arc::new(Shelf::default())).unwrap()
}

fn from(nodes: &[&str], mirrors: &[&str]) -> Sources {
    let owned = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect();
    Sources { nodes: owned(nodes), mirrors: owned(mirrors) }
}

async fn fetch_all(store: &Store, model: B256, sources: &Sources) -> Result<Package, BlobError> {
    store.fetch(model, None, sources, &BTreeSet::new(), &Progress::default()).await
}

/// Files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned()) }
        }
    }
    found.sort();
    found
}

fn is_same(one: &Package, other: &Package) {
    for (name, _) in one.files().unwrap() {
        assert_eq!(
            std::fs::read(one.folder().join(&name)).unwrap(),
            std::fs::read(other.folder().join(&name)).unwrap(),
            "{}",
            name.display()
        );
    }
}

// ------------------------------------------------------------------------------------------------ cuts

/// What the process does that is killed below.
async fn fetch_as_child(url: &str) {
    let folder = PathBuf::from(std::env::var("ZKSLICE_TEST_FOLDER").unwrap());
    let listing: Listing = serde_json::from_slice(&std::fs::read(folder.join("list.json")).unwrap()).unwrap();
    let store = store(&folder);
    store.download(&folder.join("to"), &listing, &from(&[url], &[]), &Progress::default()).await.unwrap();
}

/// 64 MiB stand for 300: what is lost by a kill is what was on its way, which does not grow with the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cut_goes_on() {
    const BYTES: u64 = 64 << 20;
    const CUTS: u64 = 20;
    // This test is the process, too.
    if let Ok(url) = std::env::var("ZKSLICE_TEST_URL") {
        return fetch_as_child(&url).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.proving.key");
    let content = random_file(&path, BYTES as usize);
    let shelf = Arc::new(Shelf::default());
    let name = "keys/0123456789abcdef/0.proving.key";
    let listing = Listing { model: B256::ZERO, chunk_bytes: CHUNK, files: vec![shelf.put_file(&path, name, Some(0), CHUNK).unwrap()] };
    listing.check(B256::ZERO).unwrap();
    std::fs::write(folder.path().join("list.json"), serde_json::to_vec(&listing).unwrap()).unwrap();
    // The link is what is slow, as it is between machines.
    let (url, sent) = at(serve_blobs(shelf), Duration::from_millis(1)).await;
    let start = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "blobs::what_is_cut_goes_on", "--quiet"]);
        child.env("ZKSLICE_TEST_URL", &url).env("ZKSLICE_TEST_FOLDER", folder.path());
        child.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    };
    let mut killed = 0;
    for cut in 1..=CUTS {
        let mut child = start();
        while sent.load(Ordering::Relaxed) < cut * BYTES / (CUTS + 2) {
            assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
    }
    let mut child = start();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(status.success() && killed == CUTS);
    assert!(std::fs::read(folder.path().join("to").join(name)).unwrap() == content);
    assert_eq!(files(&folder.path().join("to")), [name], "nothing else is left");
    let lost = sent.load(Ordering::Relaxed).checked_sub(BYTES).unwrap();
    assert!(lost <= (300 << 20) / 20, "{lost} bytes were sent for nothing, more than a twentieth of 300 MiB");
}

// ------------------------------------------------------------------------------------------------ sources

/// A mirror of a folder's files whose answers are changed, and how many there were.
async fn mirror(
    package: &Package,
    change: impl Fn(Vec<u8>) -> Option<Vec<u8>> + Clone + Send + Sync + 'static,
) -> (String, Arc<AtomicU64>) {
    let shelf = Arc::new(Shelf::default());
    shelf.put(package, SMALL).unwrap();
    let answers = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&answers);
    let router = serve_blobs(shelf).layer(from_fn(move |request: Request, next: Next| {
        let (answers, change) = (Arc::clone(&counted), change.clone());
        async move {
            let (mut parts, body) = next.run(request).await.into_parts();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
            answers.fetch_add(1, Ordering::Relaxed);
            let Some(bytes) = change(bytes) else { std::future::pending().await };
            parts.headers.remove("content-length");
            Response::from_parts(parts, Body::from(bytes))
        }
    }));
    (format!("{}/v1/blobs", at(router, Duration::ZERO).await.0), answers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrors_that_lie_or_sleep_are_asked_once() {
    let package = package(2);
    let (honest, _) = node(&[super::support::package(2)]).await;
    type Change = fn(Vec<u8>) -> Option<Vec<u8>>;
    let changes: [(&str, Change); 4] = [
        ("flips a bit", |mut bytes| {
            bytes[0] ^= 1;
            Some(bytes)
        }),
        ("sends more", |mut bytes| {
            bytes.push(0);
            Some(bytes)
        }),
        ("sends less", |mut bytes| {
            bytes.pop();
            Some(bytes)
        }),
        ("sleeps", |_| None),
    ];
    for (what, change) in changes {
        let (liar, asked) = mirror(&package, change).await;
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { parallel: 1, stall: Duration::from_millis(1_500), ..Limits::default() };
        let store = store_of(folder.path(), u64::MAX, limits);
        let progress = Progress::default();
        let got = store.fetch(digest(&package), None, &from(&[&honest], &[&liar]), &BTreeSet::new(), &progress).await.unwrap();
        is_same(&package, &got);
        // Whoever breaks off may do that three times.
        let most = if what == "sends less" { 3 } else { 1 };
        assert!((1..=most).contains(&asked.load(Ordering::Relaxed)), "{what}: {asked:?}");
        let (total, received) = (progress.total.load(Ordering::Relaxed), progress.received.load(Ordering::Relaxed));
        assert!(received <= total + 2 * SMALL && progress.done.load(Ordering::Relaxed) == total, "{what}: {received} for {total}");
    }
    // Whoever is alone and lies leaves nobody, and is named.
    let (liar, _) = mirror(&package, changes[0].1).await;
    let alone = liar.strip_suffix("/v1/blobs").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listing: Listing =
        Client::new().get(format!("{honest}/v1/models/{}/files", digest(&package))).send().await.unwrap().json().await.unwrap();
    let error = store(folder.path()).download(folder.path(), &listing, &from(&[alone], &[]), &Progress::default()).await.unwrap_err();
    assert!(error.to_string().contains("is not what the list says") && error.to_string().contains(alone), "{error}");
}

/// Twenty at once, each serving what it has so far: the validator sends five copies at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetchers_share() {
    const BYTES: usize = 4 << 20;
    const FETCHERS: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let content = random_file(&path, BYTES);
    let shelf = Arc::new(Shelf::default());
    let name = "keys/0123456789abcdef/0.proving.key";
    let file = shelf.put_file(&path, name, Some(0), 2 * SMALL).unwrap();
    let listing = Listing { model: B256::ZERO, chunk_bytes: 2 * SMALL, files: vec![file] };
    let (validator, sent) = at(serve_blobs(shelf), Duration::ZERO).await;
    let mut peers = Vec::new();
    for k in 0..FETCHERS {
        let shelf = Arc::new(Shelf::default());
        let (url, _) = at(serve_blobs(Arc::clone(&shelf)), Duration::ZERO).await;
        peers.push((format!("{url}/v1/blobs"), folder.path().join(k.to_string()), shelf));
    }
    let all = peers.iter().enumerate().map(|(k, (_, folder, shelf))| {
        let others: Vec<&str> = peers.iter().enumerate().filter(|(other, _)| *other != k).map(|(_, (url, ..))| url.as_str()).collect();
        let (sources, listing) = (from(&[&validator], &others), &listing);
        async move {
            let store = Store::open(folder, u64::MAX, Limits::default(), Arc::clone(shelf)).unwrap();
            store.download(folder, listing, &sources, &Progress::default()).await.unwrap();
        }
    });
    futures_util::future::join_all(all).await;
    for (_, folder, _) in &peers {
        assert!(std::fs::read(folder.join(name)).unwrap() == content);
    }
    let copies = sent.load(Ordering::Relaxed) as f64 / BYTES as f64;
    assert!((1.0..=5.0).contains(&copies), "{copies}");
}

/// A miner may want the keys of some slices alone, and the others later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_are_chosen() {
    let package = package(2);
    let (url, sent) = node(&[super::support::package(2)]).await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let (model, sources, none) = (digest(&package), from(&[&url], &[]), BTreeSet::new());
    let got = store.fetch(model, Some(&BTreeSet::from([1])), &sources, &none, &Progress::default()).await.unwrap();
    assert!(got.proving_key(1).is_ok() && got.proving_key(0).is_err());
    is_same(&package, &fetch_all(&store, model, &sources).await.unwrap());
    // What is here is not fetched again.
    let before = sent.load(Ordering::Relaxed);
    fetch_all(&store, model, &sources).await.unwrap();
    assert!(sent.load(Ordering::Relaxed) - before < 20_000, "the list alone");
    // One process at a time.
    let error = Store::open(folder.path(), 0, Limits::default(), Arc::default()).unwrap_err();
    assert!(error.to_string().contains("another miner"), "{error}");
}

// ------------------------------------------------------------------------------------------------ lies

/// A copy of a package whose files may be changed.
fn copy(package: &Package) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in package.files().unwrap() {
        let to = folder.path().join(&name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(package.folder().join(&name), to).unwrap();
    }
    folder
}

/// A node whose list is of the files that are in a folder, whatever they are, under a model's name.
async fn lying_node(folder: &Path, package: &Package, change: impl FnOnce(&mut Value)) -> String {
    let shelf = Arc::new(Shelf::default());
    let mut listed = Vec::new();
    for (name, slice) in package.files().unwrap() {
        let slice = slice.map(|k| k as u16);
        listed.push(shelf.put_file(&folder.join(&name), &name.to_string_lossy(), slice, SMALL).unwrap());
    }
    let mut list = json!(Listing { model: digest(package), chunk_bytes: SMALL, files: listed });
    change(&mut list);
    let list = list.to_string();
    let answer = move || async move { ([("content-type", "application/json")], list).into_response() };
    let router = serve_blobs(shelf).layer(from_fn(move |request: Request, next: Next| {
        let answer = answer.clone();
        async move { if request.uri().path().ends_with("/files") { answer().await } else { next.run(request).await } }
    }));
    at(router, Duration::ZERO).await.0
}

/// Keys of another setup, and keys that fit every digest that whoever changed them could change too: none is worked with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_swapped_keys() {
    let package = package(1);
    let (model, keys) = (digest(&package), package.keys().unwrap());
    let key_file = package.files().unwrap().into_iter().find(|(_, slice)| slice.is_some()).unwrap().0;
    // Of another setup.
    let other = copy(&package);
    std::fs::remove_file(other.path().join("keys.json")).unwrap();
    let again = Package::open(other.path()).unwrap();
    setup(std::slice::from_ref(&again), &mut StdRng::seed_from_u64(4), |_, _| {}).unwrap();
    let other_key = again.files().unwrap().into_iter().find(|(_, slice)| slice.is_some()).unwrap().0;
    let swapped = copy(&package);
    std::fs::copy(other.path().join(other_key), swapped.path().join(&key_file)).unwrap();
    // With the header of the right one, two points changed for each other, and every digest of that computed again.
    let forged = copy(&package);
    let path = forged.path().join(&key_file);
    let mut bytes = std::fs::read(&path).unwrap();
    let header_end = 16 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[16..header_end]).unwrap();
    let sections: Vec<usize> = header["sections"].as_array().unwrap().iter().map(|s| s["bytes"].as_u64().unwrap() as usize).collect();
    let largest = (0..sections.len()).max_by_key(|k| sections[*k]).unwrap();
    let padded = |n: usize| n.div_ceil(64) * 64;
    let at = padded(header_end) + sections[..largest].iter().map(|n| padded(*n)).sum::<usize>();
    for k in 0..sections[largest] / 128 {
        let (one, two) = bytes[at + 128 * k..at + 128 * (k + 1)].split_at_mut(64);
        one.swap_with_slice(two);
    }
    let section: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&bytes[at..at + sections[largest]]).into();
    let old = header["sections"][largest]["sha256"].as_str().unwrap().to_owned();
    let text = String::from_utf8(bytes[16..header_end].to_vec()).unwrap().replace(&old, &alloy::hex::encode(section));
    bytes[16..header_end].copy_from_slice(text.as_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let digest_of_forged = ProvingKey::open(&path).unwrap().digest();
    let json = std::fs::read_to_string(forged.path().join("keys.json")).unwrap();
    let json = json.replace(&keys.slices[0].proving_key, &alloy::hex::encode_prefixed(digest_of_forged));
    std::fs::write(forged.path().join("keys.json"), json).unwrap();
    assert!(Package::open(forged.path()).unwrap().proving_key(0).is_ok(), "no digest shows it");
    for (what, folder) in [("swapped", &swapped), ("forged", &forged)] {
        let url = lying_node(folder.path(), &package, |_| ()).await;
        let to = tempfile::tempdir().unwrap();
        let error = fetch_all(&store(to.path()), model, &from(&[&url], &[])).await.unwrap_err();
        assert!(error.to_string().contains("proving key of slice 0 is not the model's"), "{what}: {error}");
        assert!(!files(to.path()).iter().any(|path| path.contains("proving")), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_lists_that_lie() {
    let (package, other) = (package(1), package(2));
    let model = digest(&package);
    type Change = Box<dyn FnOnce(&mut Value)>;
    let set = |at: &'static str, value: Value| -> Change { Box::new(move |list: &mut Value| *list.pointer_mut(at).unwrap() = value) };
    let twice = |list: &mut Value| {
        let files = list["files"].as_array_mut().unwrap();
        files.push(files[0].clone());
    };
    let many = |list: &mut Value| {
        let files = list["files"].as_array_mut().unwrap();
        *files = vec![files[0].clone(); 5_000];
    };
    let without = |list: &mut Value| drop(list["files"].as_array_mut().unwrap().pop());
    let cases: Vec<(&str, Change)> = vec![
        ("no file of a package", set("/files/0/path", json!("../manifest.json"))),
        ("no file of a package", set("/files/0/path", json!("/tmp/manifest.json"))),
        ("no file of a package", set("/files/0/path", json!("slices/../../x/graph.bin"))),
        ("no file of a package", set("/files/0/path", json!("slices//graph.bin"))),
        ("no file of a package", set("/files/0/path", json!("slices/00/graph.bin"))),
        ("no file of a package", set("/files/0/path", json!("keys/..aaaaaaaaaaaaaa/0.proving.key"))),
        ("no file of a package", set("/files/0/path", json!("manifest.json\u{0}"))),
        ("no file of a package", set("/files/0/path", json!("slices\\0\\graph.bin"))),
        ("\\u{1b}", set("/files/0/path", json!("\u{1b}[2J"))),
        ("is not of slice", set("/files/3/slice", json!(3))),
        ("is in it twice", Box::new(twice)),
        ("5000 files", Box::new(many)),
        ("it is of 0x0909", set("/model", json!(B256::repeat_byte(9)))),
        ("its chunks have", set("/chunk_bytes", json!(1))),
        ("its chunks have", set("/chunk_bytes", json!(1u64 << 40))),
        ("in 1 chunks", set("/files/0/bytes", json!(60 << 20))),
        ("bytes, and not 1 to", set("/files/0/bytes", json!(u64::MAX))),
        ("bytes, and not 1 to", set("/files/0/bytes", json!(0))),
        ("invalid value", set("/files/0/bytes", json!(-1))),
        ("64 hexadecimal digits", set("/files/0/sha256", json!("../../x"))),
        ("does not have it", set("/files/0/sha256", json!("0".repeat(64)))),
        ("is not what the list says", set("/files/0/chunks/0", json!("0".repeat(64)))),
        // Without `keys.json`.
        ("no keys", Box::new(without)),
    ];
    let parent = tempfile::tempdir().unwrap();
    for (k, (named, change)) in cases.into_iter().enumerate() {
        let url = lying_node(package.folder(), &package, change).await;
        let folder = parent.path().join(format!("{k}/models"));
        let store = store_of(&folder, 1 << 30, Limits { patience: Duration::from_millis(300), ..Limits::default() });
        let error = fetch_all(&store, model, &from(&[&url], &[])).await.unwrap_err();
        assert!(error.to_string().contains(named), "{k}, {named}: {error}");
        assert!(!folder.join(model.to_string()).exists(), "{k}");
        let outside = files(parent.path()).into_iter().filter(|path| !path.starts_with(&format!("{k}/models/"))).collect::<Vec<_>>();
        assert!(outside.iter().all(|path| path.contains("/models/fetch.lock") || path.contains(".part/")), "{k}: {outside:?}");
    }
    // Another model's package under this one's name; the next list is right, and taken.
    let url = lying_node(other.folder(), &other, |list| list["model"] = json!(model)).await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let error = fetch_all(&store, model, &from(&[&url], &[])).await.unwrap_err();
    assert!(error.to_string().contains(&format!("its package is of model {}", digest(&other))), "{error}");
    assert_eq!(files(folder.path()), ["fetch.lock"]);
    let (honest, _) = node(&[super::support::package(1)]).await;
    is_same(&package, &fetch_all(&store, model, &from(&[&url, &honest], &[])).await.unwrap());
}

/// A link that somebody put where files are written leads nowhere.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_links_are_not_followed() {
    let package = package(1);
    let model = digest(&package);
    let (url, _) = node(&[super::support::package(1)]).await;
    for link in [format!("{model}.part"), format!("{model}.part/slices"), format!("{model}.part/manifest.json.part")] {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = folder.path().join(link);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        let to = if at.extension().is_some() && at.to_string_lossy().contains("json") {
            outside.path().join("x")
        } else {
            outside.path().to_owned()
        };
        std::os::unix::fs::symlink(to, &at).unwrap();
        let error = fetch_all(&store(folder.path()), model, &from(&[&url], &[])).await.unwrap_err();
        assert!(matches!(error, BlobError::Link(_)), "{error}");
        assert_eq!(files(outside.path()), [""; 0]);
    }
}

// ------------------------------------------------------------------------------------------------ quota

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_is_kept() {
    let (one, two) = (package(1), package(2));
    let bytes = |package: &Package, with_keys: bool| -> u64 {
        let files = package.files().unwrap().into_iter().filter(|(_, slice)| with_keys || slice.is_none());
        files.map(|(name, _)| std::fs::metadata(package.folder().join(name)).unwrap().len()).sum()
    };
    let (url, _) = node(&[package(1), package(2)]).await;
    let sources = from(&[&url], &[]);
    let folder = tempfile::tempdir().unwrap();
    let keys = |package: &Package| {
        let folder = folder.path().join(digest(package).to_string());
        package.files().unwrap().iter().filter(|(name, slice)| slice.is_some() && folder.join(name).is_file()).count()
    };
    // Less than either.
    let error = fetch_all(&store_of(folder.path(), 10_000, Limits::default()), digest(&one), &sources).await.unwrap_err();
    assert!(matches!(error, BlobError::Quota { quota: 10_000, .. }), "{error}");
    assert_eq!(files(folder.path()), ["fetch.lock"]);
    // Either with the other's small files, and not both.
    let quota = (bytes(&one, true) + bytes(&two, false)).max(bytes(&two, true) + bytes(&one, false));
    let store = store_of(folder.path(), quota, Limits::default());
    fetch_all(&store, digest(&one), &sources).await.unwrap();
    let in_use = BTreeSet::from([digest(&one), digest(&two)]);
    let error = store.fetch(digest(&two), None, &sources, &in_use, &Progress::default()).await.unwrap_err();
    assert!(matches!(error, BlobError::Quota { .. }) && keys(&one) == 1, "what is in use stays: {error}");
    fetch_all(&store, digest(&two), &sources).await.unwrap();
    assert_eq!([keys(&one), keys(&two)], [0, 2]);
    // What is left of it is a package that goes on where it is wanted again.
    fetch_all(&store, digest(&one), &sources).await.unwrap();
    assert_eq!([keys(&one), keys(&two)], [1, 0]);
}

// ------------------------------------------------------------------------------------------------ the server

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let content = random_file(&path, 200_000);
    let shelf = Arc::new(Shelf::default());
    let file = shelf.put_file(&path, "manifest.json", None, SMALL).unwrap();
    let (url, _) = at(serve_blobs(shelf), Duration::ZERO).await;
    let (client, blob) = (Client::new(), format!("{url}/v1/blobs/{}", file.sha256));
    let get = async |headers: &[(&'static str, &str)]| {
        let mut request = client.get(&blob);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let (status, headers): (StatusCode, HeaderMap) = (answer.status(), answer.headers().clone());
        (status, headers, answer.bytes().await.unwrap())
    };
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=0-199999", 0..200_000),
        ("bytes=5-", 5..200_000),
        ("bytes=199999-", 199_999..200_000),
        ("bytes=-1", 199_999..200_000),
        ("bytes=-900000", 0..200_000),
        ("bytes=70000-99999999999999999999999", 70_000..200_000),
        ("Bytes= 65535-65536", 65_535..65_537),
    ] {
        let (status, headers, bytes) = get(&[("range", range)]).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(headers["content-range"], format!("bytes {}-{}/200000", expected.start, expected.end - 1));
        assert_eq!(headers["accept-ranges"], "bytes");
        assert!(bytes == content[expected], "{range}");
    }
    for range in ["bytes=200000-", "bytes=200000-200001", "bytes=-0", "bytes=99999999999999999999-"] {
        let (status, headers, _) = get(&[("range", range)]).await;
        assert_eq!((status, headers["content-range"].to_str().unwrap()), (StatusCode::RANGE_NOT_SATISFIABLE, "bytes */200000"), "{range}");
    }
    // What is not understood is as if it were not there.
    for range in ["bytes=2-1", "bytes=-", "bytes=", "lines=1-2", "bytes=0-1,4-5", "bytes=a-b", "bytes=0x1-2", "bytes=+1-2", "x"] {
        let (status, headers, bytes) = get(&[("range", range)]).await;
        assert_eq!((status, headers["content-length"].to_str().unwrap()), (StatusCode::OK, "200000"), "{range}");
        assert!(bytes == content);
    }
    let tag = format!("\"{}\"", file.sha256);
    let (status, headers, _) = get(&[("range", "bytes=0-1"), ("if-range", &tag)]).await;
    assert_eq!((status, headers["etag"].to_str().unwrap()), (StatusCode::PARTIAL_CONTENT, &*tag));
    assert_eq!(get(&[("range", "bytes=0-1"), ("if-range", "\"another\"")]).await.0, StatusCode::OK);
    let head = client.head(&blob).send().await.unwrap();
    assert_eq!((head.status(), head.headers()["content-length"].to_str().unwrap()), (StatusCode::OK, "200000"));
    for (path, status) in [
        ("v1/blobs/..%2f..%2fetc%2fpasswd".to_owned(), StatusCode::BAD_REQUEST),
        (format!("v1/blobs/0x{}", file.sha256), StatusCode::BAD_REQUEST),
        (format!("v1/blobs/{}", file.sha256.to_string().to_uppercase()), StatusCode::BAD_REQUEST),
        (format!("v1/blobs/{}", "0".repeat(64)), StatusCode::NOT_FOUND),
        (format!("v1/models/{}/files", B256::repeat_byte(1)), StatusCode::NOT_FOUND),
        ("v1/models/x/files".to_owned(), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(client.get(format!("{url}/{path}")).send().await.unwrap().status(), status, "{path}");
    }
    // A file that is another since is not served, also where its length is the same.
    std::fs::File::options().write(true).open(&path).unwrap().write_all(b"x").unwrap();
    assert_eq!(get(&[]).await.0, StatusCode::NOT_FOUND);
}

/// Whoever reads slowly has a place for a while, and an address has not all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_slow_readers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    random_file(&path, 16 << 20);
    let shelf = Arc::new(Shelf::new(Duration::from_millis(700)));
    let file = shelf.put_file(&path, "manifest.json", None, CHUNK).unwrap();
    let (url, _) = at(serve_blobs(shelf), Duration::ZERO).await;
    let (client, blob) = (Client::new(), format!("{url}/v1/blobs/{}", file.sha256));
    let mut held = Vec::new();
    for _ in 0..16 {
        // With a small buffer of its own: the system's may hold the whole file.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let mut stream = socket.connect(url.strip_prefix("http://").unwrap().parse().unwrap()).await.unwrap();
        let request = format!("GET /v1/blobs/{} HTTP/1.1\r\nhost: x\r\n\r\n", file.sha256);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut first = [0; 15];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        held.push(stream);
    }
    let refused = client.get(&blob).send().await.unwrap();
    assert_eq!((refused.status(), refused.headers()["retry-after"].to_str().unwrap()), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    let begun = std::time::Instant::now();
    while client.get(&blob).header("range", "bytes=0-1").send().await.unwrap().status() != StatusCode::PARTIAL_CONTENT {
        assert!(begun.elapsed() < Duration::from_secs(5), "the places are never free again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Their answers are broken off.
    for mut stream in held {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.len() < 16 << 20, "{}", rest.len());
    }
}

// ------------------------------------------------------------------------------------------------ all of it

/// A miner with an empty folder and a validator's address earns its first slice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_miner_earns() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path()), 2).await;
    let router = serve(Arc::clone(&validator), Settings::new([], Arc::new(Semaphore::new(1 << 20))));
    let (url, _) = at(router, Duration::ZERO).await;
    let path = folder.path().join("miner.toml");
    let text = format!(
        "version = 1\nvalidators = [\"{url}\"]\nkey_file = \"miner.key\"\nmodels = \"models\"\nquota = \"100MB\"\nfetch = \"all\"\n"
    );
    std::fs::write(&path, text).unwrap();
    let config = MinerConfig::load(&path).unwrap();
    let store = store_of(&config.models, config.quota.0, Limits::default());
    fetch(&store, &config, &from(&[&url], &[]), config.fetch.as_ref().unwrap(), &BTreeSet::new(), &|_| ()).await.unwrap();
    let fetched = packages(&config.models).unwrap();
    assert_eq!(fetched.iter().map(digest).collect::<Vec<_>>(), [digest(&package(2))]);
    let miner = miner_of(1, folder.path(), fetched, honest());
    assert_eq!(miner.slices(), 2);
    connect(&miner, &validator).await;
    let bundle = validator.bundle(job(&package(2), 1)).await.unwrap();
    Verifier::new(&package(2)).unwrap().verify(&bundle).unwrap();
    for _ in 0..200 {
        if miner.accounts().first().is_some_and(|(_, account)| account.valid == 2 && account.credit > 0) {
            validator.stop();
            return validator.ended().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no receipts: {:?}", miner.accounts());
}

/// What its validators begin to serve while a miner works is fetched and worked for too, and what it works for keeps its keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_learns_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let (_, epochs) = tokio::sync::watch::channel(validator::Epoch::default());
    let packages = vec![package(1), package(2)];
    let validator = Validator::start(crate::support::node(0xaa), packages, options(folder.path()), Clock::system(), epochs).await.unwrap();
    let router = serve(Arc::clone(&validator), Settings::new([], Arc::new(Semaphore::new(1 << 20))));
    let (url, _) = at(router, Duration::ZERO).await;
    let [one, two] = [package(1), package(2)].map(|package| digest(&package));
    let path = folder.path().join("miner.toml");
    let text = format!("version = 1\nvalidators = [\"{url}\"]\nkey_file = \"miner.key\"\nmodels = \"models\"\n");
    std::fs::write(&path, text).unwrap();
    let (config, sources) = (MinerConfig::load(&path).unwrap(), from(&[&url], &[]));
    let store = store_of(&config.models, 100_000_000, Limits::default());
    let first = fetch(&store, &config, &sources, &Fetch::Models([one].into()), &BTreeSet::new(), &|_| ()).await.unwrap();
    let miner = miner_of(1, folder.path(), first, honest());
    assert_eq!(miner.models(), [one]);
    connect(&miner, &validator).await;
    validator.bundle(job(&package(1), 1)).await.unwrap();
    let worked_for = BTreeSet::from([one]);
    let next = fetch(&store, &config, &sources, &Fetch::All, &worked_for, &|_| ()).await.unwrap();
    assert_eq!(next.iter().map(digest).collect::<Vec<_>>(), [two], "the other is here");
    // No room for it beside what is worked for: nothing goes.
    drop((next, store));
    std::fs::remove_dir_all(config.models.join(two.to_string())).unwrap();
    let small = store_of(&config.models, 1_000, Limits::default());
    assert!(fetch(&small, &config, &sources, &Fetch::All, &worked_for, &|_| ()).await.unwrap().is_empty());
    validator.bundle(job(&package(1), 2)).await.unwrap();
    drop(small);
    let store = store_of(&config.models, 100_000_000, Limits::default());
    for package in fetch(&store, &config, &sources, &Fetch::All, &worked_for, &|_| ()).await.unwrap() {
        miner.add(package).unwrap();
    }
    assert_eq!(miner.slices(), 3);
    let bundle = validator.bundle(job(&package(2), 1)).await.unwrap();
    Verifier::new(&package(2)).unwrap().verify(&bundle).unwrap();
    validator.stop();
    validator.ended().await;
}
