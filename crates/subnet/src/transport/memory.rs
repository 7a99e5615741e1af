//! Links inside one process: the same frames, over pipes. Tests and the simulator talk over them.

use alloy::primitives::B256;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, mpsc};

use super::{Ends, Identity, Link, Message, Streams, greet, random, read_frames};
use crate::LinkError;

/// Bytes that are on the way at a time.
const ON_THE_WAY: usize = 1 << 16;

/// Two nodes greet each other. `room` are the bytes of frames that either has at a time.
///
/// # Errors
/// [`LinkError`] of either.
pub async fn connect(a: &Identity, b: &Identity, room: usize) -> Result<(Link, Link), LinkError> {
    let exporter = random()?;
    let (to_a, from_a) = tokio::io::duplex(ON_THE_WAY);
    let end = |identity: Identity, stream| async move {
        let (read, write) = tokio::io::split(stream);
        let mut streams = Streams(write, read);
        let peer = greet(&identity, &mut streams, None, |_| Ok::<B256, LinkError>(exporter)).await?;
        let (link, ends) = Link::new(peer, None, identity.role, Arc::new(Semaphore::new(room)));
        tokio::spawn(serve(streams, ends));
        Ok(link)
    };
    tokio::try_join!(end(a.clone(), to_a), end(b.clone(), from_a))
}

type Halves = Streams<tokio::io::WriteHalf<tokio::io::DuplexStream>, tokio::io::ReadHalf<tokio::io::DuplexStream>>;

async fn serve(Streams(mut write, read): Halves, Ends { outgoing, incoming, closed, why }: Ends) {
    let ended = tokio::select! {
        // The same each time a simulation is run.
        biased;
        ended = write_all(&mut write, outgoing) => ended,
        ended = read_frames(read, &incoming) => ended,
        () = closed.cancelled() => Ok(()),
    };
    if let Err(error) = ended {
        let _ = why.set(error);
    }
    closed.cancel();
    let _ = write.shutdown().await;
}

async fn write_all(to: &mut (impl tokio::io::AsyncWrite + Unpin), mut outgoing: mpsc::Receiver<Message>) -> Result<(), LinkError> {
    while let Some(Message { bytes, written, .. }) = outgoing.recv().await {
        to.write_all(&bytes).await?;
        written.map(|written| written.send(()));
    }
    Ok(())
}
