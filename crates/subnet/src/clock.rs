//! The time that nodes tell each other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep};

/// Unix time in milliseconds that runs with tokio's clock: where that is paused, so is this.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    unix_ms: u64,
    since: Instant,
    /// How long what other threads do takes at least.
    apart: Duration,
}

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Self { unix_ms, since: Instant::now(), apart: Duration::ZERO }
    }

    /// One that stands at this time now, for simulations under tokio's paused clock. That does not go on while another thread works; what it
    /// has done is seen a millisecond later, so that which of several is done first depends on nothing that cannot be repeated.
    pub fn at(unix_ms: u64) -> Self {
        Self { unix_ms, since: Instant::now(), apart: Duration::from_millis(1) }
    }

    /// Now.
    pub fn now_ms(&self) -> u64 {
        self.unix_ms.saturating_add(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Does work that takes long on a thread of its own.
    pub(crate) async fn apart<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
        let working = spawn_blocking(work);
        if self.apart.is_zero() { working.await } else { tokio::join!(working, sleep(self.apart)).0 }
    }

    /// Waits until then.
    pub async fn sleep_until(&self, unix_ms: u64) {
        tokio::time::sleep(Duration::from_millis(unix_ms.saturating_sub(self.now_ms()))).await;
    }
}
