//! Who may come to the gateway and how: requests that are signed, clients that take their time, and floods.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::hex;
use alloy::primitives::{Address, B256, keccak256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use zkslice_prover::{BundleSource, Verifier};
use zkslice_subnet::client::NetworkProver;
use zkslice_subnet::gateway::{Connections, Settings, listen, serve};
use zkslice_subnet::{Clock, Network};

use crate::gateway::{Api, KEY, api, body};
use crate::support::*;

// As the page has it, and not as the gateway does.
alloy::sol! {
    struct Request {
        address validator;
        string method;
        string path;
        bytes32 body;
        uint64 expiresMs;
        bytes32 nonce;
    }
}

const SIGNER: u8 = 0x51;

fn signer(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(number)).unwrap()
}

/// A request as it is signed, for any part of which another can be signed.
#[derive(Clone)]
struct Signing {
    by: u8,
    network: Network,
    validator: Address,
    method: Method,
    path: String,
    body: Vec<u8>,
    expires_ms: u64,
    nonce: B256,
}

impl Signing {
    fn new(method: Method, path: &str, body: &[u8], nonce: u8) -> Self {
        let (validator, expires_ms) = (node(0xaa).address(), Clock::system().now_ms() + 299_990);
        let (path, body, nonce) = (path.to_owned(), body.to_vec(), B256::repeat_byte(nonce));
        Self { by: SIGNER, network: NETWORK, validator, method, path, body, expires_ms, nonce }
    }

    fn header(&self) -> String {
        let Self { by, network, validator, method, path, body, expires_ms, nonce } = self.clone();
        let body = keccak256(body);
        let request = Request { validator, method: method.to_string(), path, body, expiresMs: expires_ms, nonce };
        let signature = signer(by).sign_hash_sync(&network.hash(&request)).unwrap();
        format!("EIP712 nonce={nonce}, expires={expires_ms}, body={body}, signature={}", hex::encode_prefixed(signature.as_bytes()))
    }
}

async fn send(api: &Api, method: Method, path: &str, body: &[u8], authorization: String) -> (StatusCode, Value) {
    let request = api.client.request(method, format!("{}{path}", api.url)).header("authorization", authorization);
    let answer = request.header("content-type", "application/json").body(body.to_vec()).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

/// Signed for one thing it is taken once, of those whom the operator lists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a_signed_request_is_for_one_thing() {
    let folder = tempfile::tempdir().unwrap();
    let listed = signer(SIGNER).address();
    let api = api(options(folder.path()), 1, |settings| {
        settings.signers = Settings::new([("signer".to_owned(), listed.to_string())], Arc::clone(&settings.room)).signers;
    })
    .await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let text = body(&job(&package(1), 1)).to_string();
    let signing = |nonce| Signing::new(Method::POST, "/v1/jobs", text.as_bytes(), nonce);
    let post = async |header: String| send(&api, Method::POST, "/v1/jobs", text.as_bytes(), header).await;
    let first = signing(1).header();
    let (status, accepted) = post(first.clone()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let (status, problem) = post(first).await;
    assert_eq!((status, problem["detail"].as_str().unwrap().contains("another nonce")), (StatusCode::CONFLICT, true), "{problem}");
    // It is the caller's: nobody else sees it.
    let path = format!("/v1/jobs/{}", accepted["id"].as_str().unwrap());
    assert_eq!(api.get(&path, KEY).await.0, StatusCode::NOT_FOUND);
    let get = |nonce| Signing::new(Method::GET, &path, b"", nonce);
    assert_eq!(send(&api, Method::GET, &path, b"", get(2).header()).await.0, StatusCode::OK);
    assert_eq!(send(&api, Method::DELETE, &path, b"", get(3).header()).await.0, StatusCode::UNAUTHORIZED);

    let now = Clock::system().now_ms();
    let network = |chain_id, registry| Network { chain_id, registry };
    for (what, signed, named) in [
        ("nobody", Signing { by: 0x52, ..signing(4) }, "not listed"),
        ("another method", Signing { method: Method::PUT, ..signing(4) }, "POST /v1/jobs"),
        ("another path", Signing { path: "/v1/jobs?a".into(), ..signing(4) }, "POST /v1/jobs"),
        ("another body", Signing { body: b"{}".to_vec(), ..signing(4) }, "keccak256"),
        ("another validator", Signing { validator: Address::repeat_byte(1), ..signing(5) }, "validator"),
        ("another chain", Signing { network: network(1, NETWORK.registry), ..signing(5) }, "chain 31337"),
        ("another registry", Signing { network: network(31_337, Address::ZERO), ..signing(5) }, "registry"),
        ("past", Signing { expires_ms: now - 1, ..signing(5) }, "at most 300000 ms ahead"),
        ("far ahead", Signing { expires_ms: now + 400_000, ..signing(5) }, "at most 300000 ms ahead"),
    ] {
        let (status, problem) = post(signed.header()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{what}: {problem}");
    }
    for header in ["EIP712", "EIP712 nonce=0x00", "EIP712 ", "Basic QQ==", "", "bearer x"] {
        assert_eq!(post(header.to_owned()).await.0, StatusCode::UNAUTHORIZED, "{header}");
    }
    // What may have been signed before this validator was started is not taken: its nonce is forgotten.
    let early = api.client.post(format!("{}/v1/jobs", api.url)).header("content-type", "application/json").body(text.clone());
    let early = early.header("authorization", Signing { expires_ms: now + 100_000, ..signing(6) }.header()).send().await.unwrap();
    let after: u64 = early.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(early.status() == StatusCode::SERVICE_UNAVAILABLE && (195..=201).contains(&after), "{after}");
    assert_eq!(post(signing(6).header()).await.0, StatusCode::ACCEPTED, "the nonce of what was refused is not used");
    api.stop().await;
}

/// A relayer elsewhere that signs is served as one that shows a key, by the validator that it means and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayer_that_signs_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let mut alone = options(folder.path());
    (alone.proves_itself, alone.settings.starved_ms) = (true, 20);
    let listed = signer(SIGNER).address();
    let api = api(alone, 1, |settings| drop(settings.signers.insert(listed, "signer".into()))).await;
    let other = NetworkProver::connect_signing(&api.url, Address::ZERO, node(SIGNER)).await.unwrap_err();
    assert!(other.to_string().contains("it is validator"), "{other}");
    let source = NetworkProver::connect_signing(&api.url, node(0xaa).address(), node(SIGNER)).await.unwrap();
    // In the first seconds it is told to wait, and does.
    let bundle = source.bundle(job(&package(1), 3)).await.unwrap();
    Verifier::new(&package(1)).unwrap().verify(&bundle).unwrap();
    let stranger = NetworkProver::connect_signing(&api.url, node(0xaa).address(), node(0x52)).await.unwrap();
    let refused = stranger.bundle(job(&package(1), 4)).await.unwrap_err();
    assert!(refused.to_string().contains("not listed"), "{refused}");
    api.stop().await;
}

/// A line of the callers' file names a key or an address; one with a mistake is not taken for a key.
#[test]
fn callers_are_keys_or_addresses() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callers.txt");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        zkslice_subnet::config::callers(&path)
    };
    let address = signer(SIGNER).address().to_string();
    let text = format!("# names\nme {address}\nyou {}\nthey 0123456789abcdef\n", address.to_lowercase());
    let settings = Settings::new(read(&text).unwrap(), Arc::new(tokio::sync::Semaphore::new(1)));
    assert_eq!((settings.callers.len(), settings.signers.len()), (1, 1));
    let flipped: String =
        address.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect();
    for wrong in [flipped.replacen('X', "x", 1), address.replace(&address[40..], "zz")] {
        let error = read(&format!("me {wrong}\n")).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("checksum"), "{error}");
    }
    assert!(read("me\n").unwrap_err().to_string().contains("a name and an address"));
}

/// The gateway with connections as they are in earnest, but more impatient.
async fn impatient(api: &Api, most: Connections) -> (SocketAddr, CancellationToken) {
    let settings = Settings::new([("first".to_owned(), KEY.to_owned())], Arc::new(tokio::sync::Semaphore::new(1 << 20)));
    let requests_per_second = settings.requests_per_second.saturating_add(100_000);
    let settings = Settings { body: Duration::from_secs(1), requests_per_second, ..settings };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::spawn(listen(listener, serve(Arc::clone(&api.validator), settings), most, stop.clone()));
    (at, stop)
}

async fn from(ip: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((ip, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// Until the other end closes; returns what it said.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // One that is closed with something unread is reset.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.expect("it is closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A thousand clients that take all the time that they get: they are cut, and others are answered meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_clients_that_take_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(options(folder.path()), 1, |_| ()).await;
    let most = Connections { in_all: 2_000, of_an_address: 256, patience: Duration::from_secs(3) };
    let (at, stop) = impatient(&api, most).await;
    let slow: Vec<_> = (0..1_000u32)
        .map(|k| {
            tokio::spawn(async move {
                let mut stream = from([127, 0, 1, (k / 250) as u8 + 1], at).await;
                let began = Instant::now();
                let dribble = async {
                    for byte in b"GET /v1/models HTTP/1.1\r\nhost: a\r\nx-slow: ".iter().chain(std::iter::repeat(&b'a')) {
                        if stream.write_all(&[*byte]).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(30), dribble).await.expect("it is cut");
                began.elapsed()
            })
        })
        .collect();
    let mut times = Vec::new();
    while times.len() < 100 {
        let asked = Instant::now();
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(b"GET /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
        times.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    times.sort_unstable();
    assert!(times[98] < Duration::from_secs(1), "{:?}", times[98]);
    let cut = futures_util::future::join_all(slow).await.into_iter().map(Result::unwrap).max().unwrap();
    assert!(cut < Duration::from_secs(12), "{cut:?}");

    // An address has so many, and the next one is closed at once.
    let mut kept = Vec::new();
    for _ in 0..256 {
        kept.push(from([127, 0, 2, 1], at).await);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    assert_eq!(rest(&mut from([127, 0, 2, 1], at).await).await, "");
    assert!(began.elapsed() < Duration::from_secs(1));
    let mut other = from([127, 0, 2, 2], at).await;
    other.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // Between two requests one does not stay for ever either.
    let said = rest(&mut other).await;
    assert!(said.starts_with("HTTP/1.1 200") && began.elapsed() < Duration::from_secs(9), "{said}");
    drop(kept);
    stop.cancel();
    api.stop().await;
}

/// Whoever asks and asks, and reads no answer, is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_clients_that_read_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(options(folder.path()), 1, |_| ()).await;
    let (at, stop) = impatient(&api, Connections { patience: Duration::from_secs(2), ..Connections::default() }).await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    let asked = async { while stream.write_all(b"GET /v1/openapi.json HTTP/1.1\r\nhost: a\r\n\r\n").await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("it is cut");
    stop.cancel();
    api.stop().await;
}

/// A body that does not come: whoever is known is told so, whoever is not is not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_bodies_that_take_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(options(folder.path()), 1, |_| ()).await;
    let (at, stop) = impatient(&api, Connections::default()).await;
    for (key, status) in [(KEY, "HTTP/1.1 408"), ("nobody's", "HTTP/1.1 401")] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(at).await.unwrap();
        let head = format!(
            "POST /v1/jobs HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let said = rest(&mut stream).await;
        assert!(said.starts_with(status) && began.elapsed() < Duration::from_secs(3), "{:?} {said}", began.elapsed());
    }
    stop.cancel();
    api.stop().await;
}

/// A thousand requests a second that are none cost those who ask for something little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_junk_costs_others_little() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.most_jobs = 10_000;
    let api = api(options, 1, |settings| settings.requests_per_second = std::num::NonZeroU32::new(100).unwrap()).await;
    let package = package(1);
    let jobs: Vec<Value> = (1..=240).map(|context| body(&job(&package, context))).collect();
    // A caller behind an address of its own, which asks for ten jobs a second.
    let client = reqwest::Client::builder().local_address(Some([127, 0, 3, 1].into())).build().unwrap();
    let p90 = async |jobs: &[Value]| {
        let mut times = Vec::new();
        for job in jobs {
            let asked = Instant::now();
            let answer = client.post(format!("{}/v1/jobs", api.url)).bearer_auth(KEY).json(job).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::ACCEPTED);
            times.push(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        times.sort_unstable();
        times[times.len() * 9 / 10]
    };
    p90(&jobs[..40]).await;
    let alone = p90(&jobs[40..140]).await;
    let (stop, to) = (CancellationToken::new(), api.url.strip_prefix("http://").unwrap().parse().unwrap());
    let junk: Vec<_> = (0..10u8)
        .map(|k| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let (mut answers, mut requests) = from([127, 0, 4, k + 1], to).await.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await });
                let text = "POST /v1/jobs HTTP/1.1\r\nhost: a\r\nauthorization: Bearer nobody\r\ncontent-type: application/json\r\n\
                            content-length: 2\r\n\r\n{}";
                let mut tick = tokio::time::interval(Duration::from_millis(10));
                let (began, mut sent) = (Instant::now(), 0u32);
                while !stop.is_cancelled() {
                    tick.tick().await;
                    requests.write_all(text.as_bytes()).await.unwrap();
                    sent += 1;
                }
                f64::from(sent) / began.elapsed().as_secs_f64()
            })
        })
        .collect();
    let beside = p90(&jobs[140..]).await;
    stop.cancel();
    let rate: f64 = futures_util::future::join_all(junk).await.into_iter().map(Result::unwrap).sum();
    println!("{rate:.0} requests/s of junk: p90 {alone:?} alone, {beside:?} beside it");
    // It is made on the same cores, and other tests run beside this one.
    assert!(rate > 800.0 && beside < alone * 4 + Duration::from_millis(20), "{rate} {alone:?} {beside:?}");
    api.stop().await;
}
