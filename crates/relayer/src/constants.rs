//! Constants of the relayer, each with where its value comes from.

use std::time::Duration;

/// Blocks whose logs are read once more with each new block: logs are cheap, and a node that was behind may have missed some.
pub(crate) const OVERLAP_BLOCKS: u64 = 16;

/// Transactions out at one time: what nodes commonly queue for one account without dropping (geth's `accountslots`).
pub(crate) const MAX_IN_FLIGHT: usize = 16;

/// Pause after the first failure; doubles with each.
pub(crate) const RETRY_BASE: Duration = Duration::from_secs(2);

/// Longest pause after failures.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(300);

/// Pause of a request that waits for gas to get cheaper, ether to arrive, or others' transactions to be confirmed.
pub(crate) const HOLD_PAUSE: Duration = Duration::from_secs(15);

/// Pause of a request that a dry run would have sent.
pub(crate) const DRY_RUN_PAUSE: Duration = Duration::from_secs(3600);

/// A transaction that is not mined is sent again this often: pools forget.
pub(crate) const REBROADCAST_EVERY: Duration = Duration::from_secs(10);

/// Mined reverts after which a request is left to a person: each cost gas although its simulation passed.
pub(crate) const MAX_FAILURES_ON_CHAIN: i64 = 3;

/// Largest number of confirmations: nodes without an archive keep the state of 128 blocks, and old state is read.
pub(crate) const MAX_CONFIRMATIONS: u64 = 100;

/// Seconds of a day of the spending ledger, which is UTC.
pub(crate) const DAY_SECONDS: u64 = 86_400;

/// Gas above which no transaction goes (EIP-7825).
pub(crate) const TRANSACTION_GAS_CAP: u64 = 16_777_216;
