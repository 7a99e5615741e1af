//! Miners' connections.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::Address;
use tokio::time::{Instant, sleep_until};

use crate::transport::{Frame, Link};
use crate::wire::{Body, Cancel, Capacity, Decline, Kind, Ping, Progress, frame};
use crate::{PeerError, WireError};

use super::{Core, Validator};

/// Receipts that a miner gets again when it comes back: those before, it can ask for.
const MOST_AGAIN: u32 = 1_024;
/// What does not belong to a miner, until it is let go: a race with the validator's own clock is none of its faults.
const MOST_STRIKES: u32 = 64;
/// Frames of a miner that are heard in a second: each may take a signature, and others' are to be heard too.
const MOST_FRAMES: u32 = 1_000;
const SECOND: Duration = Duration::from_secs(1);
/// What a miner can do counts as so many: all that waits is looked at anew.
const OF_CAPACITY: u32 = 100;

impl Validator {
    /// Takes a miner's connection, until it ends.
    pub fn connect(self: &Arc<Self>, link: Link) {
        let this = Arc::clone(self);
        self.spawn(async move { this.serve(link).await });
    }

    async fn serve(self: &Arc<Self>, mut link: Link) {
        let (miner, outbox) = (link.peer.address, link.outbox.clone());
        if self.options.miners.as_ref().is_some_and(|allowed| !allowed.contains(&miner)) {
            tracing::info!(%miner, "a miner that is not on the list is let go");
            return outbox.close();
        }
        let number = self.turn(|core, _| {
            if !core.peers.contains_key(&miner) && !self.has_place(core, miner) {
                return None;
            }
            core.numbers += 1;
            // Of two connections the newer one holds: the other may be dead without knowing.
            if let Some((_, older)) = core.peers.insert(miner, (core.numbers, outbox.clone())) {
                older.close();
            }
            Some(core.numbers)
        });
        let Some(number) = number else {
            tracing::warn!(%miner, "there are as many miners as are taken");
            return outbox.close();
        };
        tracing::info!(%miner, software = %link.peer.software, "a miner has come");
        let (mut strikes, mut is_known) = (0, false);
        let (mut second, mut heard) = (Instant::now(), 0);
        while let Some(frame) = link.inbox.recv().await {
            heard += if frame.kind == Kind::Capacity { OF_CAPACITY } else { 1 };
            if heard > MOST_FRAMES {
                sleep_until(second + SECOND).await;
            }
            if second.elapsed() >= SECOND {
                (second, heard) = (Instant::now(), 0);
            }
            match self.hear(&link, frame, &mut is_known).await.inspect_err(|error| self.metrics.frame_refused(error.kind())) {
                Ok(()) => {}
                Err(PeerError::Unknown(assignment)) if strikes < MOST_STRIKES => {
                    strikes += 1;
                    // It may not have heard that this is over: it should not prove for nothing.
                    if let Ok(frame) = (Cancel { assignment }).to_frame() {
                        outbox.send(frame);
                    }
                }
                Err(error) => {
                    tracing::info!(%miner, %error, "a miner is let go");
                    break;
                }
            }
        }
        if let Some(error) = link.error() {
            if error.is_the_peers() {
                tracing::info!(%miner, %error, "a miner is let go");
                self.metrics.frame_refused(error.kind());
            } else {
                tracing::debug!(%miner, %error, "a connection has broken");
            }
        }
        outbox.close();
        self.turn(|core, turn| {
            if core.peers.get(&miner).is_some_and(|(current, _)| *current == number) {
                core.peers.remove(&miner);
                core.dispatch.leave(miner, turn.now);
            }
        });
        tracing::info!(%miner, "a miner has gone");
    }

    /// Whether there is a place for a miner: half of all are for those who have shown something, so that strangers cannot fill them.
    fn has_place(&self, core: &Core, miner: Address) -> bool {
        let most = self.options.most_miners;
        let is_stranger = |miner: &Address| core.dispatch.standing(*miner).0 < self.options.settings.probation;
        core.peers.len() < most && (!is_stranger(&miner) || core.peers.keys().filter(|miner| is_stranger(miner)).count() < most.div_ceil(2))
    }

    async fn hear(self: &Arc<Self>, link: &Link, Frame { kind, body, .. }: Frame, is_known: &mut bool) -> Result<(), PeerError> {
        let miner = link.peer.address;
        match kind {
            Kind::Capacity => {
                let capacity = Capacity::from_body(&body)?;
                self.turn(|core, _| core.dispatch.join(miner, link.ip, &capacity));
                // Once a connection: they are many for one small frame.
                if std::mem::replace(is_known, true) {
                    return Ok(());
                }
                for receipt in self.store.receipts_after(miner, capacity.receipts, MOST_AGAIN).await? {
                    link.outbox.send(frame(Kind::Receipt, &receipt)?);
                }
                Ok(())
            }
            Kind::Accept => self.accepted(miner, &body),
            Kind::Decline => self.declined(miner, &Decline::from_body(&body)?),
            Kind::HandIn => self.handed_in(miner, &body).await,
            Kind::Progress => Progress::from_body(&body).map(drop).map_err(PeerError::from),
            Kind::Ping => {
                link.outbox.send(Ping::from_body(&body)?.to_frame()?);
                Ok(())
            }
            // What validators send is not due here: nothing else comes.
            other => Err(WireError::NotDue(other).into()),
        }
    }
}
