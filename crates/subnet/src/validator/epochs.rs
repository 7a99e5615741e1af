//! Epochs: when the last assignment of one is settled, its receipts are added up to scores, and their root is signed.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};
use alloy::sol_types::SolValue;
use tokio::sync::watch;

use super::store::{Change, EpochSums};
use super::{Epoch, Then, Validator};
use crate::messages::EpochRoot;
use crate::score::weights;
use crate::weights::Status;
use crate::wire::{Kind, frame};
use crate::{Signed, StoreError};

/// How often it is looked whether an epoch can be closed.
const PAUSE: Duration = Duration::from_secs(2);

/// Root of a binary tree of keccak256: leaves are hashed twice, so that none is taken for a node; an odd one goes up as it is.
pub(crate) fn merkle_root(leaves: impl IntoIterator<Item = B256>) -> B256 {
    let mut level: Vec<B256> = leaves.into_iter().map(keccak256).collect();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| if let [a, b] = pair { keccak256([*a, *b].concat()) } else { pair[0] }).collect();
    }
    level.first().copied().unwrap_or_default()
}

impl Validator {
    /// Follows epochs as they are said, and closes those that are over.
    pub(crate) async fn run_epochs(self: Arc<Self>, mut epochs: watch::Receiver<Epoch>) {
        let mut are_said = true;
        loop {
            let said = *epochs.borrow_and_update();
            let epoch = self.turn(|core, turn| {
                // None begins a second time: what was signed of it, and drawn by its beacon, stays so.
                if said.number > core.epoch.number {
                    core.epoch = said;
                    core.dispatch.begin_epoch(said.beacon);
                }
                let epoch = core.epoch;
                if core.noted != Some(epoch) {
                    core.noted = Some(epoch);
                    turn.change(Change::Beacon { epoch: epoch.number, beacon: epoch.beacon });
                }
                epoch
            });
            self.metrics.sort();
            if let Err(error) = self.close_epochs(epoch.number).await {
                tracing::error!(%error, "an epoch cannot be closed");
            }
            tokio::select! {
                biased;
                // Where nobody says it any more, the last one goes on.
                changed = epochs.changed(), if are_said => are_said = changed.is_ok(),
                () = tokio::time::sleep(PAUSE) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Closes what is before this epoch and has no open assignment any more.
    async fn close_epochs(&self, now: u64) -> Result<(), StoreError> {
        // What was closed a moment ago is closed in the store when this is.
        self.store.keep(self.clock.now_ms(), Vec::new()).await?;
        let epochs = self.store.open_epochs().await?;
        self.metrics.epoch_lag.set(epochs.first().map_or(0, |oldest| now.saturating_sub(*oldest)) as f64);
        for epoch in epochs {
            // What comes late is in the root, or is not signed.
            let _one = self.settling_late.lock().await;
            // A miss that is not debited yet is in `given` too.
            let is_open = self.locked().given.values().any(|given| given.assignment.epoch <= epoch);
            if epoch >= now || is_open {
                return Ok(());
            }
            // What was signed a moment ago is in the store when this is.
            self.store.keep(self.clock.now_ms(), Vec::new()).await?;
            let (sums, previous) = (self.store.epoch(epoch).await?, self.store.epoch_root(None).await?);
            let network = &self.options.network;
            let before = previous.as_deref().and_then(|root| Signed::<EpochRoot>::from_bytes(root, network, Some(self.address())).ok());
            let (root, scores) = self.root(
                Epoch { number: epoch, beacon: sums.beacon },
                &sums,
                before.map(|root| network.hash(root.message())).unwrap_or_default(),
            );
            let Ok(root) = self.node.sign(network, root).map(|root| root.to_bytes()) else { return Ok(()) };
            let message = frame(Kind::EpochRoot, &root);
            self.turn(|core, turn| {
                turn.change(Change::Epoch { epoch, root, scores });
                if let Ok(message) = message {
                    core.peers.keys().for_each(|miner| turn.then(Then::Send(*miner, message.clone())));
                }
            });
            tracing::info!(epoch, receipts = sums.receipts.len(), miners = sums.sums.len(), "an epoch is closed");
        }
        Ok(())
    }

    /// The epoch that was closed last, and the weights of its scores.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn weights(&self) -> Result<Option<(u64, Vec<(Address, u16)>)>, StoreError> {
        Ok(self.store.scores().await?.map(|(epoch, scores)| {
            let (miners, scores): (Vec<_>, Vec<_>) = scores.into_iter().unzip();
            (epoch, miners.into_iter().zip(weights(&scores)).collect())
        }))
    }

    /// Weights are somewhere else on their way to a chain.
    pub(crate) fn weights_are(&self, status: Status) {
        self.metrics.weights_are(&status);
        *self.on_chain.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// Where weights are on their way to a chain; none where this validator sets none.
    pub fn on_chain(&self) -> Option<Status> {
        self.on_chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The root of an epoch, and the scores after it.
    fn root(&self, epoch: Epoch, sums: &EpochSums, previous: B256) -> (EpochRoot, Vec<(Address, u64)>) {
        let miners: std::collections::BTreeSet<Address> = sums.sums.keys().chain(sums.scores.keys()).copied().collect();
        let score = |miner: &Address| {
            let (credits, debits) = sums.sums.get(miner).copied().unwrap_or_default();
            self.options.parameters.next(sums.scores.get(miner).copied().unwrap_or_default(), credits, debits)
        };
        let scores: Vec<(Address, u64)> = miners.iter().map(|miner| (*miner, score(miner))).filter(|(_, score)| *score > 0).collect();
        let leaf = |(miner, score): &(Address, u64)| {
            let (credits, debits) = sums.sums.get(miner).copied().unwrap_or_default();
            keccak256((*miner, *score, credits, debits).abi_encode_params())
        };
        let each = weights(&scores.iter().map(|(_, score)| *score).collect::<Vec<_>>());
        let addresses: Vec<Address> = scores.iter().map(|(miner, _)| *miner).collect();
        let root = EpochRoot {
            epoch: epoch.number,
            beacon: epoch.beacon,
            parameters: self.options.parameters.hash(),
            receipts: merkle_root(sums.receipts.iter().map(keccak256)),
            scores: merkle_root(scores.iter().map(leaf)),
            weights: keccak256((addresses, each).abi_encode_params()),
            count: sums.receipts.len() as u64,
            previous,
        };
        (root, scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_of_all_leaves_in_order() {
        let leaf = |k: u8| B256::repeat_byte(k);
        let [a, b, c] = [1, 2, 3].map(|k| keccak256(leaf(k)));
        assert_eq!(merkle_root([]), B256::ZERO);
        assert_eq!(merkle_root([leaf(1)]), a);
        assert_eq!(merkle_root([leaf(1), leaf(2), leaf(3)]), keccak256([keccak256([a, b].concat()), c].concat()));
        assert_ne!(merkle_root([leaf(2), leaf(1)]), merkle_root([leaf(1), leaf(2)]));
    }
}
