use std::time::Duration;

use sip::Instant;

/// The real clock, counted from the start of the daemon: what the shell hands to its core as `now`.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: std::time::Instant,
}

impl Clock {
    pub fn start() -> Self {
        // A core may subtract a little from `now`; so the epoch is never quite now.
        let now = std::time::Instant::now();
        Self { epoch: now.checked_sub(Duration::from_secs(1)).unwrap_or(now) }
    }

    pub fn now(&self) -> Instant {
        Instant::from_epoch(self.epoch.elapsed())
    }

    /// Waits until the core wants to be woken; for ever when it does not.
    pub async fn sleep_until(&self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => {
                tokio::time::sleep_until((self.epoch + deadline.since_epoch()).into()).await;
            }
            None => std::future::pending().await,
        }
    }
}
