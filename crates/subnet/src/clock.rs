//! The time that nodes tell each other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Unix time in milliseconds that runs with tokio's clock: where that is paused, so is this.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    unix_ms: u64,
    since: Instant,
}

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::at(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    /// One that stands at this time now.
    pub fn at(unix_ms: u64) -> Self {
        Self { unix_ms, since: Instant::now() }
    }

    /// Now.
    pub fn now_ms(&self) -> u64 {
        self.unix_ms.saturating_add(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Waits until then.
    pub async fn sleep_until(&self, unix_ms: u64) {
        tokio::time::sleep(Duration::from_millis(unix_ms.saturating_sub(self.now_ms()))).await;
    }
}
