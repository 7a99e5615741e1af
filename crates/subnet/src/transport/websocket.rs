//! One WebSocket, for miners that cannot speak UDP. It may go through a proxy that ends TLS, so there is no keying material to sign: each
//! message carries a signature over the session, who speaks, its number and its bytes. A proxy can read, and break off; it can change, leave
//! out, repeat or add nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Message as ClientMessage;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::{Draws, Ends, HANDSHAKE, Identity, Incoming, Link, Message, Pipe, WRITE, greet, read_frames};
use crate::identity::recover;
use crate::messages::Role;
use crate::wire::Kind;
use crate::{LinkError, Node, Peer};

/// Each end shows so often that it is there, and a connection on which nothing comes for so long is gone.
const ALIVE: Duration = Duration::from_secs(15);
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of a signature.
const SIGNATURE: usize = 65;
/// The most that a miner sends in one message: the largest kind that it may send, with room to spare.
const MOST_FROM_MINERS: usize = 1 << 16;
/// The most that a validator sends: an assignment and its work.
const MOST_FROM_VALIDATORS: usize = (64 << 20) + (1 << 12);

/// Bytes of messages, whatever makes the WebSocket.
trait Bytes: Sized {
    fn new(bytes: Vec<u8>) -> Self;
    /// One that the other end's library answers.
    fn ping() -> Self;
    /// None for what is no binary message.
    fn bytes(self) -> Option<Vec<u8>>;
    /// Whether it is answered by the library.
    fn is_control(&self) -> bool;
}

impl Bytes for ClientMessage {
    fn new(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }

    fn ping() -> Self {
        Self::Ping(Vec::new().into())
    }

    fn bytes(self) -> Option<Vec<u8>> {
        if let Self::Binary(bytes) = self { Some(bytes.into()) } else { None }
    }

    fn is_control(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Pong(_))
    }
}

impl Bytes for axum::extract::ws::Message {
    fn new(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }

    fn ping() -> Self {
        Self::Ping(Vec::new().into())
    }

    fn bytes(self) -> Option<Vec<u8>> {
        if let Self::Binary(bytes) = self { Some(bytes.into()) } else { None }
    }

    fn is_control(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Pong(_))
    }
}

struct Socket<S>(S);

impl<S, M, E> Socket<S>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Bytes,
    E: std::fmt::Display,
{
    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), LinkError> {
        self.0.send(M::new(bytes)).await.map_err(|e| failed(&e))
    }
}

fn failed(error: &dyn std::fmt::Display) -> LinkError {
    LinkError::Transport { what: "the WebSocket", reason: error.to_string() }
}

/// The next binary message; none at the end.
async fn next<S, M, E>(stream: &mut S) -> Result<Option<Vec<u8>>, LinkError>
where
    S: Stream<Item = Result<M, E>> + Unpin,
    M: Bytes,
    E: std::fmt::Display,
{
    while let Some(message) = timeout(IDLE, stream.next()).await.map_err(|_| LinkError::Slow)? {
        let message = message.map_err(|e| failed(&e))?;
        if !message.is_control() {
            return Ok(message.bytes());
        }
    }
    Ok(None)
}

impl<S, M, E> Pipe for Socket<S>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Bytes,
    E: std::fmt::Display,
{
    async fn say(&mut self, frame: Vec<u8>) -> Result<(), LinkError> {
        self.send(frame).await
    }

    async fn hear(&mut self, kind: Kind) -> Result<Vec<u8>, LinkError> {
        let bytes = next(&mut self.0).await?.ok_or(LinkError::Closed)?;
        let mut rest = bytes.as_slice();
        let frame = super::read_frame(&mut rest, &[kind], None).await?.ok_or(LinkError::Closed)?;
        if rest.is_empty() { Ok(frame.body) } else { Err(LinkError::Closed) }
    }
}

/// In place of keying material: what both have drawn, so that a session is worth nothing on another connection. No TLS connection exports it.
fn session(draws: Draws) -> B256 {
    keccak256([keccak256("zkslice/network/no-exporter/v1"), draws[0], draws[1]].concat())
}

/// What is signed of a message.
fn seal(session: B256, speaker: Role, number: u64, bytes: &[u8]) -> B256 {
    let mut of = Vec::with_capacity(160);
    of.extend_from_slice(keccak256("zkslice/network/message/v1").as_slice());
    of.extend_from_slice(session.as_slice());
    of.push(speaker as u8);
    of.extend_from_slice(&number.to_be_bytes());
    of.extend_from_slice(keccak256(bytes).as_slice());
    keccak256(of)
}

const fn other(role: Role) -> Role {
    match role {
        Role::Validator => Role::Miner,
        Role::Miner => Role::Validator,
    }
}

async fn begin<S, M, E>(
    socket: S,
    identity: &Identity,
    expected: Option<Address>,
    ip: Option<IpAddr>,
    room: Arc<Semaphore>,
) -> Result<Link, LinkError>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin + Send + 'static,
    M: Bytes + Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    let mut socket = Socket(socket);
    let mut id = B256::ZERO;
    let peer = greet(identity, &mut socket, expected, |draws| {
        id = session(draws);
        Ok(id)
    })
    .await?;
    let (link, ends) = Link::new(peer, ip, identity.role, room);
    tokio::spawn(serve(socket, identity.node.clone(), identity.role, link.peer.clone(), id, ends));
    Ok(link)
}

async fn serve<S, M, E>(
    socket: Socket<S>,
    node: Node,
    role: Role,
    peer: Peer,
    session: B256,
    Ends { outgoing, incoming, closed, why }: Ends,
) where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin + Send + 'static,
    M: Bytes + Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    let (sink, stream) = socket.0.split();
    let mut sink = sink;
    let ended = tokio::select! {
        ended = write(&mut sink, outgoing, &node, role, session) => ended,
        ended = read(stream, &incoming, peer.address, other(role), session) => ended,
        () = closed.cancelled() => Ok(()),
    };
    if let Err(error) = ended {
        let _ = why.set(error);
    }
    closed.cancel();
    let _ = timeout(WRITE, sink.close()).await;
}

async fn write<S, M, E>(
    sink: &mut S,
    mut outgoing: mpsc::Receiver<Message>,
    node: &Node,
    role: Role,
    session: B256,
) -> Result<(), LinkError>
where
    S: Sink<M, Error = E> + Unpin,
    M: Bytes,
    E: std::fmt::Display,
{
    let mut number = 0;
    loop {
        let message = match timeout(ALIVE, outgoing.recv()).await {
            Ok(message) => message,
            Err(_) => {
                timeout(WRITE, sink.send(M::ping())).await.map_err(|_| LinkError::Slow)?.map_err(|e| failed(&e))?;
                continue;
            }
        };
        let Some(Message { mut bytes, written, .. }) = message else { return Ok(()) };
        let signature = node.sign_hash(seal(session, role, number, &bytes))?;
        bytes.extend_from_slice(&signature);
        number += 1;
        timeout(WRITE, sink.send(M::new(bytes))).await.map_err(|_| LinkError::Slow)?.map_err(|e| failed(&e))?;
        written.map(|written| written.send(()));
    }
}

async fn read<S, M, E>(mut stream: S, incoming: &Incoming, from: Address, speaker: Role, session: B256) -> Result<(), LinkError>
where
    S: Stream<Item = Result<M, E>> + Unpin,
    M: Bytes,
    E: std::fmt::Display,
{
    let mut number = 0;
    while let Some(bytes) = next(&mut stream).await? {
        let (bytes, signature) = bytes.split_last_chunk::<SIGNATURE>().ok_or(LinkError::Unsigned)?;
        if recover(signature, seal(session, speaker, number, bytes)) != Some(from) {
            return Err(LinkError::Unsigned);
        }
        number += 1;
        read_frames(bytes, incoming).await?;
    }
    Ok(())
}

/// The size that a validator takes at most in a message.
pub const fn most_from_miners() -> usize {
    MOST_FROM_MINERS
}

/// Takes a WebSocket that was asked for over HTTP.
///
/// # Errors
/// [`LinkError`].
pub async fn accept(
    socket: axum::extract::ws::WebSocket,
    identity: &Identity,
    ip: Option<IpAddr>,
    room: Arc<Semaphore>,
) -> Result<Link, LinkError> {
    timeout(HANDSHAKE, begin(socket, identity, None, ip, room)).await.map_err(|_| LinkError::Slow)?
}

/// Connects to a validator at a `ws://` or `wss://` address, which has to be `expected` if that is known. Certificates are those that HTTPS
/// trusts; who is at the other end, its signature says.
///
/// # Errors
/// [`LinkError`].
pub async fn dial(url: &str, identity: &Identity, expected: Option<Address>, room: Arc<Semaphore>) -> Result<Link, LinkError> {
    let config = WebSocketConfig::default().max_message_size(Some(MOST_FROM_VALIDATORS)).max_frame_size(Some(MOST_FROM_VALIDATORS));
    let connecting = async {
        let request = url.into_client_request().map_err(|e| failed(&e))?;
        let (uri, no_host) = (request.uri(), || failed(&"its address has no host"));
        let is_tls = uri.scheme_str() == Some("wss");
        let host = uri.host().ok_or_else(no_host)?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        if is_tls {
            let stream = by_tls(stream, host).await?;
            let (socket, _) = client_async_with_config(request, stream, Some(config)).await.map_err(|e| failed(&e))?;
            begin(socket, identity, expected, None, room).await
        } else {
            let (socket, _) = client_async_with_config(request, stream, Some(config)).await.map_err(|e| failed(&e))?;
            begin(socket, identity, expected, None, room).await
        }
    };
    timeout(HANDSHAKE, connecting).await.map_err(|_| LinkError::Slow)?
}

async fn by_tls(stream: TcpStream, host: String) -> Result<TlsStream<TcpStream>, LinkError> {
    let untrusted = |error: &dyn std::fmt::Display| LinkError::Transport {
        what: "TLS",
        reason: format!(
            "{error}; certificates are checked against the system's authorities, or those of the file that SSL_CERT_FILE names"
        ),
    };
    let config = zkslice_chain::tls(true).map_err(|e| untrusted(&e))?;
    let name = ServerName::try_from(host).map_err(|e| untrusted(&e))?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|e| untrusted(&e))
}
