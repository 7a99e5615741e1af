//! Links over QUIC and over one WebSocket: who is at the other end is known, and what may not come does not.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::get;
use tokio::sync::{Semaphore, mpsc};
use zkslice_prover::{BundleSource, Verifier};
use zkslice_subnet::messages::Role;
use zkslice_subnet::score::Parameters;
use zkslice_subnet::transport::quic::{Dialer, Listener};
use zkslice_subnet::transport::{Identity, Link, memory, websocket};
use zkslice_subnet::wire::{Body, Kind, Ping, frame};
use zkslice_subnet::{HandshakeError, LinkError};

use crate::support::*;

fn identity(number: u8, role: Role) -> Identity {
    Identity { node: node(number), role, network: NETWORK, parameters: Parameters::default().hash() }
}

fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1 << 20))
}

fn listener(knocks: u32) -> Listener {
    counted(knocks, |_| ())
}

fn counted(knocks: u32, refused: impl Fn(&'static str) + Send + Sync + 'static) -> Listener {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Listener::bind(any, identity(1, Role::Validator), NonZeroU32::new(knocks).unwrap(), room(), refused).unwrap()
}

async fn goes_both_ways(mut miner: Link, mut validator: Link) {
    let ping = |nonce| (Ping { nonce }).to_frame().unwrap();
    for nonce in 0..200 {
        miner.outbox.send(ping(nonce));
        validator.outbox.send(ping(nonce + 1_000));
    }
    // In order, each way.
    for nonce in 0..200 {
        let [at_validator, at_miner] = [validator.inbox.recv().await.unwrap(), miner.inbox.recv().await.unwrap()];
        assert_eq!(Ping::from_body(&at_validator.body).unwrap().nonce, nonce);
        assert_eq!(Ping::from_body(&at_miner.body).unwrap().nonce, nonce + 1_000);
    }
    // Large ones beside them, more at a time than there are streams.
    let work = frame(Kind::Work, &vec![7; 300_000]).unwrap();
    let sent: Vec<_> = (0..200)
        .map(|_| {
            let (outbox, work) = (validator.outbox.clone(), work.clone());
            tokio::spawn(async move { outbox.send_beside(work).await })
        })
        .collect();
    for _ in 0..200 {
        let frame = miner.inbox.recv().await.unwrap();
        assert_eq!((frame.kind, frame.body.len()), (Kind::Work, 300_000));
    }
    for sent in sent {
        sent.await.unwrap().unwrap();
    }
    // What a miner may not send ends the link, at either end.
    miner.outbox.send(frame(Kind::Work, &[7]).unwrap());
    assert!(validator.inbox.recv().await.is_none());
    assert!(miner.inbox.recv().await.is_none());
    assert!(miner.outbox.is_closed() && validator.outbox.is_closed());
    assert!(matches!(miner.outbox.send_beside(work).await, Err(LinkError::Closed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_go_over_quic() {
    let mut listener = listener(100);
    let dialer = Dialer::new(identity(2, Role::Miner)).unwrap();
    let dialed = dialer.dial(listener.address().unwrap(), Some(node(1).address()), room()).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    assert_eq!((dialed.peer.address, accepted.peer.address), (node(1).address(), node(2).address()));
    assert!(accepted.ip.unwrap().is_loopback());
    goes_both_ways(dialed, accepted).await;
}

#[tokio::test]
async fn frames_go_in_memory() {
    let (miner, validator) = memory::connect(&identity(2, Role::Miner), &identity(1, Role::Validator), 1 << 20).await.unwrap();
    goes_both_ways(miner, validator).await;
}

/// A validator's HTTP address: links come out.
async fn http() -> (SocketAddr, mpsc::Receiver<Result<Link, LinkError>>) {
    async fn upgrade(State(links): State<mpsc::Sender<Result<Link, LinkError>>>, socket: WebSocketUpgrade) -> axum::response::Response {
        socket.max_message_size(websocket::most_from_miners()).on_upgrade(async move |socket| {
            let link = websocket::accept(socket, &identity(1, Role::Validator), None, room()).await;
            let _ = links.send(link).await;
        })
    }
    let (links, taken) = mpsc::channel(8);
    let router = axum::Router::new().route("/v1/network", get(upgrade)).with_state(links);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_go_over_a_websocket() {
    let (address, mut links) = http().await;
    let url = format!("ws://{address}/v1/network");
    let dialed = websocket::dial(&url, &identity(2, Role::Miner), Some(node(1).address()), room()).await.unwrap();
    let accepted = links.recv().await.unwrap().unwrap();
    assert_eq!((dialed.peer.address, accepted.peer.address), (node(1).address(), node(2).address()));
    goes_both_ways(dialed, accepted).await;
}

/// Whoever is not expected, is of another network, or scores otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused() {
    let listener = listener(100);
    let (http, _links) = http().await;
    let url = format!("ws://{http}/v1/network");
    let to = listener.address().unwrap();
    let honest = identity(2, Role::Miner);
    let refused = |error: LinkError, what: &str| assert!(error.to_string().contains(what), "{error}");
    let dial = async |identity: Identity, expected: Option<Address>| Dialer::new(identity).unwrap().dial(to, expected, room()).await;
    let unexpected = dial(honest.clone(), Some(node(3).address())).await.unwrap_err();
    assert!(matches!(unexpected, LinkError::Handshake(HandshakeError::Unexpected { .. })), "{unexpected}");
    let unexpected = websocket::dial(&url, &honest, Some(node(3).address()), room()).await.unwrap_err();
    assert!(matches!(unexpected, LinkError::Handshake(HandshakeError::Unexpected { .. })), "{unexpected}");
    let mut of_other = honest.clone();
    of_other.network.chain_id = 1;
    refused(dial(of_other.clone(), None).await.unwrap_err(), "chain");
    refused(websocket::dial(&url, &of_other, None, room()).await.unwrap_err(), "chain");
    let mut scores_otherwise = honest.clone();
    scores_otherwise.parameters = alloy::primitives::B256::ZERO;
    refused(dial(scores_otherwise, None).await.unwrap_err(), "parameters");
    // Oneself.
    refused(dial(identity(1, Role::Miner), None).await.unwrap_err(), "own address");
}

/// An address that knocks too often is not listened to, before anything of it is verified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_are_refused_before_signatures() {
    let refused = Arc::new(Mutex::new(Vec::new()));
    let counts = Arc::clone(&refused);
    let mut listener = counted(5, move |reason| counts.lock().unwrap().push(reason));
    let to = listener.address().unwrap();
    let (mut let_in, mut kept) = (0, Vec::new());
    for k in 0..20 {
        let dialer = Dialer::new(identity(10 + k, Role::Miner)).unwrap();
        match dialer.dial(to, None, room()).await {
            Ok(link) => {
                let_in += 1;
                kept.push((link, listener.accept().await.unwrap(), dialer));
            }
            Err(error) => assert!(matches!(error, LinkError::Transport { .. }), "{error}"),
        }
    }
    assert_eq!(let_in, 5);
    assert_eq!(*refused.lock().unwrap(), vec!["too often"; 15], "each is counted");
}

/// A proxy between the two can break off, and nothing else: what it changes, repeats, leaves out or sends back ends the link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a_proxy_between() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    type Tamper = fn(usize, Vec<u8>) -> Vec<Vec<u8>>;
    let tampers: [(&str, Tamper); 6] = [
        ("nothing", |_, bytes| vec![bytes]),
        ("a bit", |k, mut bytes| {
            bytes[6] ^= u8::from(k == 3);
            vec![bytes]
        }),
        ("the signature", |k, mut bytes| {
            let last = bytes.len() - 2;
            bytes[last] ^= u8::from(k == 3);
            vec![bytes]
        }),
        ("twice", |k, bytes| if k == 3 { vec![bytes.clone(), bytes] } else { vec![bytes] }),
        ("left out", |k, bytes| if k == 3 { vec![] } else { vec![bytes] }),
        ("unsigned", |k, bytes| if k == 3 { vec![bytes[..bytes.len() - 65].to_vec()] } else { vec![bytes] }),
    ];
    for (what, tamper) in tampers {
        let (address, mut links) = http().await;
        let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = proxy.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = proxy.accept().await.unwrap();
            let (mut to_miner, mut from_miner) = tokio_tungstenite::accept_async(stream).await.unwrap().split();
            let upstream = tokio_tungstenite::connect_async(format!("ws://{address}/v1/network")).await.unwrap().0;
            let (mut to_validator, mut from_validator) = upstream.split();
            tokio::spawn(async move {
                while let Some(Ok(message)) = from_validator.next().await {
                    let _ = to_miner.send(message).await;
                }
            });
            // Hello and session are the first two.
            let mut number = 0;
            while let Some(Ok(message)) = from_miner.next().await {
                let Message::Binary(bytes) = message else { continue };
                let sent = if number < 2 { vec![bytes.to_vec()] } else { tamper(number, bytes.to_vec()) };
                number += 1;
                for bytes in sent {
                    let _ = to_validator.send(Message::Binary(bytes.into())).await;
                }
            }
        });
        let miner = websocket::dial(&format!("ws://{at}/v1/network"), &identity(2, Role::Miner), None, room()).await.unwrap();
        let mut validator = links.recv().await.unwrap().unwrap();
        for nonce in 0..4 {
            miner.outbox.send((Ping { nonce }).to_frame().unwrap());
        }
        let mut came = Vec::new();
        while let Ok(Some(frame)) = tokio::time::timeout(Duration::from_millis(300), validator.inbox.recv()).await {
            came.push(Ping::from_body(&frame.body).unwrap().nonce);
        }
        match what {
            "nothing" => assert_eq!(came, [0, 1, 2, 3]),
            "twice" => assert_eq!(came, [0, 1], "{what}"),
            _ => assert_eq!(came, [0], "{what}"),
        }
        assert_eq!(validator.outbox.is_closed(), what != "nothing", "{what}");
    }
}

/// A whole job, by one miner over QUIC and one over HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_over_both() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path()), 2).await;
    let mut listener = Listener::bind(
        SocketAddr::from(([127, 0, 0, 1], 0)),
        validator.identity(),
        NonZeroU32::new(100).unwrap(),
        Arc::new(Semaphore::new(1 << 20)),
        |_| (),
    )
    .unwrap();
    let to = listener.address().unwrap();
    let by_quic = miner_with(1, folder.path(), 2, honest());
    let by_http = miner_with(2, folder.path(), 2, honest());
    let dialer = Dialer::new(by_quic.identity()).unwrap();
    let link = dialer.dial(to, Some(validator.address()), Arc::new(Semaphore::new(by_quic.room()))).await.unwrap();
    validator.connect(listener.accept().await.unwrap());
    tokio::spawn({
        let miner = Arc::clone(&by_quic);
        async move { miner.serve(link).await }
    });
    let router = axum::Router::new().route(
        "/",
        get({
            let validator = Arc::clone(&validator);
            async move |socket: WebSocketUpgrade| {
                socket.on_upgrade(async move |socket| {
                    let link = websocket::accept(socket, &validator.identity(), None, room()).await.unwrap();
                    validator.connect(link);
                })
            }
        }),
    );
    let http = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", http.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(http, router).await });
    let link = websocket::dial(&url, &by_http.identity(), None, Arc::new(Semaphore::new(by_http.room()))).await.unwrap();
    tokio::spawn({
        let miner = Arc::clone(&by_http);
        async move { miner.serve(link).await }
    });
    let package = package(2);
    let began = Instant::now();
    for context in 1..=8 {
        let bundle = validator.bundle(job(&package, context)).await.unwrap();
        Verifier::new(&package).unwrap().verify(&bundle).unwrap();
    }
    println!("8 jobs in {:?}", began.elapsed());
    for miner in [&by_quic, &by_http] {
        tokio::time::timeout(Duration::from_secs(5), async {
            while miner.accounts().first().is_none_or(|(_, account)| account.valid < 4) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
    }
    validator.stop();
    validator.ended().await;
}
