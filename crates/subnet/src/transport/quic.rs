//! QUIC: TLS 1.3 with certificates that nobody looks at, since both ends sign the connection's keying material.
//!
//! What is in order goes over one stream, each work over one of its own. The validator listens; it lets nobody in whose address has not been
//! shown to be theirs (RFC 9000 section 8.1.2), and looks at no signature of an address that knocks too often.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming as Knock, ServerConfig, TransportConfig, VarInt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring as provider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::{Ends, HANDSHAKE, Identity, Incoming, Link, Message, Streams, WRITE, greet, read_frames};
use crate::LinkError;

/// Names the protocol, so that nothing else is spoken.
const ALPN: &[u8] = b"zkslice/1";
/// Label of the keying material that both ends sign.
const LABEL: &[u8] = b"EXPORTER-zkslice-session";
/// A connection on which nothing comes for so long is gone.
const IDLE: Duration = Duration::from_secs(20);
/// A miner shows so often that it is there.
const ALIVE: Duration = Duration::from_secs(5);
/// Streams that the other end may have open.
const MOST_STREAMS: u32 = 128;
/// Bytes that a miner may have on the way of one stream, and of all: frames that nobody has looked at yet wait at the sender.
const FROM_MINERS: [u32; 2] = [1 << 16, 1 << 18];
/// The same of a validator, which sends work.
const FROM_VALIDATORS: [u32; 2] = [1 << 21, 1 << 24];
/// Handshakes at a time.
const MOST_HANDSHAKES: usize = 256;
/// Connections that are known and not yet taken.
const MOST_READY: usize = 64;
/// Code of a connection that is closed since the other end is not let in.
const REFUSED: u32 = 1;
/// Characters of a reason that are read.
const MOST_REASON: usize = 300;
/// Addresses whose knocks are counted; beyond, those that have been quiet are forgotten.
const MOST_COUNTED: usize = 1 << 16;

/// Takes any certificate: who is there, its signed session says. That its holder signed the handshake is looked at.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn failed(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> LinkError {
    move |error| LinkError::Transport { what, reason: error.to_string() }
}

fn transport(opens: u32, [of_stream, of_all]: [u32; 2]) -> Result<TransportConfig, LinkError> {
    let mut config = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE).map_err(|e| failed("idle timeout")(&e))?;
    config
        .max_idle_timeout(Some(idle))
        .stream_receive_window(VarInt::from_u32(of_stream))
        .receive_window(VarInt::from_u32(of_all))
        .max_concurrent_bidi_streams(VarInt::from_u32(opens))
        .max_concurrent_uni_streams(VarInt::from_u32(MOST_STREAMS));
    Ok(config)
}

/// A validator's door.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    links: mpsc::Receiver<Link>,
}

impl Listener {
    /// Listens for miners. An address may knock so often in a minute; `room` are the bytes of frames that may be here at a time, of all links.
    /// `refused` hears of each that is not let in, by a word of few.
    ///
    /// # Errors
    /// [`LinkError::Transport`] where the address cannot be listened at.
    pub fn bind(
        address: SocketAddr,
        identity: Identity,
        knocks_per_minute: NonZeroU32,
        room: Arc<Semaphore>,
        refused: impl Fn(&'static str) + Send + Sync + 'static,
    ) -> Result<Self, LinkError> {
        let wrong = failed("the listener");
        let certified = rcgen::generate_simple_self_signed(vec!["zkslice".to_owned()]).map_err(|e| wrong(&e))?;
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| wrong(&e))?
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key.into())
            .map_err(|e| wrong(&e))?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).map_err(|e| wrong(&e))?));
        config.transport_config(Arc::new(transport(1, FROM_MINERS)?));
        // The same after a restart: miners are told at once that their connections are gone (RFC 9000 section 10.3).
        let secret = keccak256(identity.node.sign_hash(keccak256("zkslice/network/stateless-reset/v1"))?);
        let reset_key = Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_slice()));
        let taken = |e| LinkError::Transport { what: "the listener", reason: format!("{address} cannot be listened at: {e}") };
        let socket = std::net::UdpSocket::bind(address).map_err(taken)?;
        let endpoint = Endpoint::new(EndpointConfig::new(reset_key), Some(config), socket, Arc::new(quinn::TokioRuntime)).map_err(taken)?;
        let (ready, links) = mpsc::channel(MOST_READY);
        let knocks = Arc::new(RateLimiter::keyed(Quota::per_minute(knocks_per_minute)));
        tokio::spawn(accept(endpoint.clone(), identity, knocks, room, ready, Arc::new(refused)));
        Ok(Self { endpoint, links })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`LinkError::Io`] of the system's.
    pub fn address(&self) -> Result<SocketAddr, LinkError> {
        Ok(self.endpoint.local_addr()?)
    }

    /// The next miner that is let in.
    pub async fn accept(&mut self) -> Option<Link> {
        self.links.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.endpoint.close(VarInt::from_u32(0), b"the validator stops");
    }
}

/// Whom an address is counted as: whoever has one of IPv6 has 2^64 of them.
pub(crate) fn counted(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
    }
}

async fn accept(
    endpoint: Endpoint,
    identity: Identity,
    knocks: Arc<DefaultKeyedRateLimiter<IpAddr>>,
    room: Arc<Semaphore>,
    ready: mpsc::Sender<Link>,
    refused: Arc<impl Fn(&'static str) + Send + Sync + 'static>,
) {
    let at_once = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    while let Some(knock) = endpoint.accept().await {
        if !knock.remote_address_validated() {
            // The answer is smaller than the question: nobody is flooded with it.
            let _ = knock.retry();
            continue;
        }
        let ip = knock.remote_address().ip().to_canonical();
        if knocks.len() > MOST_COUNTED {
            knocks.retain_recent();
        }
        let permit = Arc::clone(&at_once).try_acquire_owned();
        let (Ok(()), Ok(permit)) = (knocks.check_key(&counted(ip)), permit) else {
            knock.refuse();
            refused("too often");
            continue;
        };
        let (identity, room, ready, refused) = (identity.clone(), Arc::clone(&room), ready.clone(), Arc::clone(&refused));
        tokio::spawn(async move {
            match timeout(HANDSHAKE, let_in(knock, &identity, room)).await {
                Ok(Ok(link)) => drop(ready.send(link).await),
                Ok(Err(error)) => {
                    tracing::debug!(%ip, %error, "not let in");
                    refused(error.kind());
                }
                Err(_) => {
                    tracing::debug!(%ip, "not let in: too slow");
                    refused(LinkError::Slow.kind());
                }
            }
            drop(permit);
        });
    }
}

fn exporter(connection: &Connection) -> Result<B256, LinkError> {
    let mut bytes = [0; 32];
    let wrong = |_| LinkError::Transport { what: "the connection", reason: "it has no keying material".to_owned() };
    connection.export_keying_material(&mut bytes, LABEL, &[]).map_err(wrong)?;
    Ok(bytes.into())
}

async fn let_in(knock: Knock, identity: &Identity, room: Arc<Semaphore>) -> Result<Link, LinkError> {
    let wrong = failed("the connection");
    let connection = knock.await.map_err(|e| wrong(&e))?;
    let streams = connection.accept_bi().await.map_err(|e| wrong(&e))?;
    match greet(identity, &mut Streams(streams.0, streams.1), None, |_| exporter(&connection)).await {
        Ok(peer) => Ok(begin(connection, peer, identity, room)),
        Err(error) => {
            // Whoever has come in good faith learns what to mend.
            connection.close(VarInt::from_u32(REFUSED), error.to_string().as_bytes());
            Err(error)
        }
    }
}

/// A miner's side: where it dials from.
#[derive(Clone, Debug)]
pub struct Dialer {
    endpoint: Endpoint,
    identity: Identity,
}

impl Dialer {
    /// # Errors
    /// [`LinkError::Transport`] where no socket can be had.
    pub fn new(identity: Identity) -> Result<Self, LinkError> {
        let wrong = failed("the dialer");
        let provider = Arc::new(provider::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| wrong(&e))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).map_err(|e| wrong(&e))?));
        let mut transport = transport(0, FROM_VALIDATORS)?;
        transport.keep_alive_interval(Some(ALIVE));
        config.transport_config(Arc::new(transport));
        // Both families where the machine has both.
        let any = [SocketAddr::from(([0u16; 8], 0)), SocketAddr::from(([0u8; 4], 0))];
        let mut endpoint =
            any.into_iter().find_map(|address| Endpoint::client(address).ok()).ok_or_else(|| wrong(&"no socket can be had"))?;
        endpoint.set_default_client_config(config);
        Ok(Self { endpoint, identity })
    }

    /// Connects to a validator, which has to be `expected` if that is known.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn dial(&self, to: SocketAddr, expected: Option<Address>, room: Arc<Semaphore>) -> Result<Link, LinkError> {
        let wrong = failed("the connection");
        let local_is_v6 = self.endpoint.local_addr()?.is_ipv6();
        let to = match to {
            SocketAddr::V4(v4) if local_is_v6 => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
            other => other,
        };
        let connecting = async {
            let connection = self.endpoint.connect(to, "zkslice").map_err(|e| wrong(&e))?.await.map_err(|e| wrong(&e))?;
            let streams = connection.open_bi().await.map_err(|e| wrong(&e))?;
            let greeted = greet(&self.identity, &mut Streams(streams.0, streams.1), expected, |_| exporter(&connection)).await;
            let peer = greeted.map_err(|error| match (&error, connection.close_reason()) {
                (LinkError::Io(_) | LinkError::Closed, Some(quinn::ConnectionError::ApplicationClosed(closed))) => {
                    let reason = String::from_utf8_lossy(&closed.reason).chars().filter(|c| !c.is_control()).take(MOST_REASON).collect();
                    LinkError::Refused(reason)
                }
                _ => error,
            })?;
            Ok(begin(connection, peer, &self.identity, room))
        };
        timeout(HANDSHAKE, connecting).await.map_err(|_| LinkError::Slow)?
    }

    /// Waits until what was sent has arrived, or the other end is gone.
    pub async fn finished(&self) {
        self.endpoint.wait_idle().await;
    }
}

fn begin(connection: Connection, peer: crate::Peer, identity: &Identity, room: Arc<Semaphore>) -> Link {
    let (link, ends) = Link::new(peer, Some(connection.remote_address().ip().to_canonical()), identity.role, room);
    tokio::spawn(serve(connection, ends));
    link
}

/// Until either end is done.
async fn serve(connection: Connection, Ends { outgoing, incoming, closed, why }: Ends) {
    let ended = tokio::select! {
        ended = write(&connection, outgoing) => ended,
        ended = read(&connection, &incoming) => ended,
        () = closed.cancelled() => Ok(()),
    };
    if let Err(error) = ended {
        let _ = why.set(error);
    }
    closed.cancel();
    connection.close(VarInt::from_u32(0), b"");
}

async fn write(connection: &Connection, mut outgoing: mpsc::Receiver<Message>) -> Result<(), LinkError> {
    let wrong = failed("the connection");
    let mut in_order = connection.open_uni().await.map_err(|e| wrong(&e))?;
    let mut beside = tokio::task::JoinSet::new();
    loop {
        let message = tokio::select! {
            message = outgoing.recv() => message,
            Some(sent) = beside.join_next() => {
                sent.map_err(|e| wrong(&e))??;
                continue;
            }
        };
        let Some(Message { bytes, is_beside, written }) = message else { break };
        if is_beside {
            let connection = connection.clone();
            beside.spawn(async move {
                let sent = async {
                    let mut stream = connection.open_uni().await.map_err(|e| failed("the connection")(&e))?;
                    stream.write_all(&bytes).await.map_err(|e| failed("the connection")(&e))?;
                    stream.finish().map_err(|e| failed("the connection")(&e))
                };
                timeout(WRITE, sent).await.map_err(|_| LinkError::Slow)??;
                written.map(|written| written.send(()));
                Ok::<_, LinkError>(())
            });
        } else {
            timeout(WRITE, in_order.write_all(&bytes)).await.map_err(|_| LinkError::Slow)?.map_err(|e| wrong(&e))?;
            timeout(WRITE, in_order.flush()).await.map_err(|_| LinkError::Slow)??;
            written.map(|written| written.send(()));
        }
    }
    in_order.finish().map_err(|e| wrong(&e))?;
    // What was sent last arrives before the connection ends.
    let _ = timeout(WRITE, in_order.stopped()).await;
    Ok(())
}

async fn read(connection: &Connection, incoming: &Incoming) -> Result<(), LinkError> {
    let mut streams = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept_uni() => {
                let stream = stream.map_err(|e| failed("the connection")(&e))?;
                let incoming = incoming.clone();
                streams.spawn(async move { read_frames(stream, &incoming).await });
            }
            Some(ended) = streams.join_next() => ended.map_err(|e| failed("the connection")(&e))??,
        }
    }
}
