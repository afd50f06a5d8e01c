use std::cell::Cell;
use std::time::Duration;

use sip::Instant;

/// The real clock, counted from the start of the daemon: what the shell hands to its core as `now`.
///
/// It is read once a wake-up, not once a message: where there is no vDSO a look at the clock is a system call.
#[derive(Debug)]
pub struct Clock {
    epoch: std::time::Instant,
    now: Cell<Instant>,
}

impl Clock {
    pub fn start() -> Self {
        let clock = Self { epoch: std::time::Instant::now(), now: Cell::new(Instant::ZERO) };
        clock.tick();
        clock
    }

    /// Looks at the clock; to be called after every wait.
    pub fn tick(&self) {
        // A core may subtract a little from `now`; so the epoch is never quite now.
        self.now.set(Instant::from_epoch(self.epoch.elapsed() + HEAD_START));
    }

    /// The time of the last tick.
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// Waits until the core wants to be woken; for ever when it does not.
    pub async fn sleep_until(&self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => {
                let since_start = deadline - Instant::from_epoch(HEAD_START);
                tokio::time::sleep_until((self.epoch + since_start).into()).await;
            }
            None => std::future::pending().await,
        }
    }
}

const HEAD_START: Duration = Duration::from_secs(1);
