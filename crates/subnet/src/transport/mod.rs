//! How frames get from one node to another.
//!
//! A [`Link`] is a connection to a peer that has signed its session: frames that are sent in order come in order, and work, which is large,
//! goes beside them. What is read is bounded before it is there: each frame by its kind, all of them together by the link's room.

pub mod memory;
pub mod quic;
pub mod websocket;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use alloy::primitives::B256;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::messages::Role;
use crate::wire::{Body, HEADER, Header, Hello, Kind, frame};
use crate::{Handshake, LinkError, Network, Node, Peer};

/// How long a handshake may take in all.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a message may take to be written: whoever reads more slowly is let go.
const WRITE: Duration = Duration::from_secs(20);
/// How long a frame that has begun may take to come.
const READ: Duration = Duration::from_secs(20);
/// Messages in order that may wait to be written; a peer that leaves more unread is let go.
const MOST_UNREAD: usize = 4_096;
/// Frames that were read and that nobody has looked at yet; beyond, no more are read.
const MOST_READ: usize = 64;
/// Bytes of frames of one miner that a validator has at a time, so that one who sends slowly keeps none of the others' room.
const OF_MINER: usize = 1 << 16;

/// Who a node is on its links.
#[derive(Clone, Debug)]
pub struct Identity {
    /// With its key.
    pub node: Node,
    /// What it does.
    pub role: Role,
    /// Where.
    pub network: Network,
    /// Hash of what it scores by.
    pub parameters: B256,
}

/// A frame that has come.
#[derive(Debug)]
pub struct Frame {
    /// Its kind.
    pub kind: Kind,
    /// Its body.
    pub body: Vec<u8>,
    /// Its share of the link's room, until it is dropped.
    pub room: Option<Room>,
}

/// A frame's bytes in the room of its link, and in that of all links.
#[derive(Debug)]
pub struct Room {
    _of_link: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    /// Whether it goes beside those that are in order.
    is_beside: bool,
    written: Option<oneshot::Sender<()>>,
}

/// Where to put what a peer should get. Cloned freely; the link ends when [`Outbox::close`] is called or the peer goes.
#[derive(Clone, Debug)]
pub struct Outbox {
    messages: mpsc::Sender<Message>,
    closed: CancellationToken,
}

impl Outbox {
    /// Sends a frame after those that were sent before. A peer that has left too many unread is let go.
    pub fn send(&self, bytes: Vec<u8>) {
        if self.messages.try_send(Message { bytes, is_beside: false, written: None }).is_err() {
            self.close();
        }
    }

    /// Sends frames beside those that are in order, and waits until they have left.
    ///
    /// # Errors
    /// [`LinkError::Closed`] where the link ends before.
    pub async fn send_beside(&self, bytes: Vec<u8>) -> Result<(), LinkError> {
        let (written, done) = oneshot::channel();
        let message = Message { bytes, is_beside: true, written: Some(written) };
        self.messages.send(message).await.map_err(|_| LinkError::Closed)?;
        done.await.map_err(|_| LinkError::Closed)
    }

    /// Ends the link.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }
}

/// A connection to a known peer.
#[derive(Debug)]
pub struct Link {
    /// Who it is.
    pub peer: Peer,
    /// Where it comes from, if that is known.
    pub ip: Option<IpAddr>,
    /// What it gets.
    pub outbox: Outbox,
    /// What comes from it; nothing more once the link has ended.
    pub inbox: mpsc::Receiver<Frame>,
    why: Why,
}

/// The ends of a link that its transport serves.
struct Ends {
    outgoing: mpsc::Receiver<Message>,
    incoming: Incoming,
    closed: CancellationToken,
    why: Why,
}

/// Why a link has ended, if it was not closed.
type Why = Arc<OnceLock<LinkError>>;

/// Where a transport puts frames.
#[derive(Clone, Debug)]
struct Incoming {
    frames: mpsc::Sender<Frame>,
    due: &'static [Kind],
    /// Bytes that this link may have here, and all together.
    rooms: [Arc<Semaphore>; 2],
}

impl Link {
    /// `room` are the bytes of frames that may be here at a time.
    fn new(peer: Peer, ip: Option<IpAddr>, own: Role, room: Arc<Semaphore>) -> (Self, Ends) {
        let (messages, outgoing) = mpsc::channel(MOST_UNREAD);
        let (frames, inbox) = mpsc::channel(MOST_READ);
        let closed = CancellationToken::new();
        // Whoever mines has chosen its validators.
        let of_link = if own == Role::Validator { OF_MINER } else { Semaphore::MAX_PERMITS };
        let incoming = Incoming { frames, due: due(own), rooms: [Arc::new(Semaphore::new(of_link)), room] };
        let why = Why::default();
        let outbox = Outbox { messages, closed: closed.clone() };
        (Self { peer, ip, outbox, inbox, why: Arc::clone(&why) }, Ends { outgoing, incoming, closed, why })
    }

    /// Why it has ended; none before, and where either end has closed it.
    pub fn error(&self) -> Option<&LinkError> {
        self.why.get()
    }
}

/// Kinds that may come once a link stands.
const fn due(own: Role) -> &'static [Kind] {
    match own {
        Role::Validator => &[Kind::Capacity, Kind::Accept, Kind::Decline, Kind::HandIn, Kind::Progress, Kind::Ping],
        Role::Miner => &[Kind::Assignment, Kind::Work, Kind::Receipt, Kind::Cancel, Kind::Ping, Kind::EpochRoot],
    }
}

/// Reads a frame; none where the bytes end before one begins.
async fn read_frame(
    from: &mut (impl AsyncRead + Unpin),
    due: &[Kind],
    rooms: Option<&[Arc<Semaphore>; 2]>,
) -> Result<Option<Frame>, LinkError> {
    let mut header = [0; HEADER];
    let first = from.read(&mut header).await?;
    if first == 0 {
        return Ok(None);
    }
    let rest = async {
        from.read_exact(&mut header[first..]).await?;
        let Header { kind, length } = Header::read(&header, due)?;
        let room = match rooms {
            Some([of_link, of_all]) => {
                // Lengths are far below 2^32: their kinds have caps.
                let acquire = async |room: &Arc<Semaphore>| {
                    Arc::clone(room).acquire_many_owned(length.max(1) as u32).await.map_err(|_| LinkError::Closed)
                };
                Some(Room { _of_link: acquire(of_link).await?, _of_all: acquire(of_all).await? })
            }
            None => None,
        };
        let mut body = vec![0; length];
        from.read_exact(&mut body).await?;
        Ok::<_, LinkError>(Frame { kind, body, room })
    };
    timeout(READ, rest).await.map_err(|_| LinkError::Slow)?.map(Some)
}

/// Reads frames until there are no more.
async fn read_frames(mut from: impl AsyncRead + Unpin, incoming: &Incoming) -> Result<(), LinkError> {
    while let Some(frame) = read_frame(&mut from, incoming.due, Some(&incoming.rooms)).await? {
        incoming.frames.send(frame).await.map_err(|_| LinkError::Closed)?;
    }
    Ok(())
}

/// What handshakes are spoken over: frames, one after the other.
trait Pipe {
    async fn say(&mut self, frame: Vec<u8>) -> Result<(), LinkError>;
    async fn hear(&mut self, kind: Kind) -> Result<Vec<u8>, LinkError>;
}

/// A pair of byte streams.
struct Streams<W, R>(W, R);

impl<W: AsyncWrite + Unpin, R: AsyncRead + Unpin> Pipe for Streams<W, R> {
    async fn say(&mut self, frame: Vec<u8>) -> Result<(), LinkError> {
        self.0.write_all(&frame).await?;
        Ok(self.0.flush().await?)
    }

    async fn hear(&mut self, kind: Kind) -> Result<Vec<u8>, LinkError> {
        let frame = read_frame(&mut self.1, &[kind], None).await?;
        Ok(frame.ok_or(LinkError::Closed)?.body)
    }
}

/// What both ends of a handshake have drawn: the validator's, then the miner's.
type Draws = [B256; 2];

/// Greets whoever is at the other end. `exporter` gets the connection's keying material, for which a transport that has none uses what both
/// have drawn.
async fn greet(
    identity: &Identity,
    pipe: &mut impl Pipe,
    expected: Option<alloy::primitives::Address>,
    exporter: impl FnOnce(Draws) -> Result<B256, LinkError>,
) -> Result<Peer, LinkError> {
    let random = random()?;
    let handshake = Handshake::new(&identity.node, identity.role, identity.network, identity.parameters, random, 0);
    let spoken = async {
        // Whoever dials speaks first: a validator tells strangers nothing that they did not ask for.
        let hello = handshake.hello().to_frame()?;
        let other = match identity.role {
            Role::Miner => {
                pipe.say(hello).await?;
                Hello::from_body(&pipe.hear(Kind::Hello).await?)?
            }
            Role::Validator => {
                let other = Hello::from_body(&pipe.hear(Kind::Hello).await?)?;
                pipe.say(hello).await?;
                other
            }
        };
        let draws = if identity.role == Role::Validator { [random, other.random] } else { [other.random, random] };
        let greeted = handshake.greeted(&other, expected, exporter(draws)?)?;
        // The miner signs first: a validator signs nothing for those who have not.
        match identity.role {
            Role::Miner => {
                pipe.say(frame(Kind::Session, &greeted.session()?)?).await?;
                let session = pipe.hear(Kind::Session).await?;
                Ok(greeted.confirmed(&session)?)
            }
            Role::Validator => {
                let session = pipe.hear(Kind::Session).await?;
                let own = frame(Kind::Session, &greeted.session()?)?;
                let peer = greeted.confirmed(&session)?;
                pipe.say(own).await?;
                Ok(peer)
            }
        }
    };
    timeout(HANDSHAKE, spoken).await.map_err(|_| LinkError::Slow)?
}

/// 32 bytes of the operating system's.
pub(crate) fn random() -> Result<B256, LinkError> {
    let mut bytes = B256::ZERO;
    rand_core::RngCore::try_fill_bytes(&mut rand_core::OsRng, bytes.as_mut_slice()).map_err(|_| LinkError::NoRandomness)?;
    Ok(bytes)
}
