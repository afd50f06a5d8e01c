use std::cell::Cell;
use std::time::Duration;

use sip::Instant;

/// The real clock, counted from the start of the machine: what the shell hands to its core as `now`. So an instant
/// that one run has written down means the same to the next one, whatever was done to the date in between; only a
/// reboot ends it, see [`boot_id`].
///
/// It is read once a wake-up, not once a message: where there is no vDSO a look at the clock is a system call.
#[derive(Debug)]
pub struct Clock {
    started: std::time::Instant,
    /// From the machine's start to ours.
    before: Duration,
    now: Cell<Instant>,
}

impl Clock {
    pub fn start() -> Self {
        let before = since_boot() + HEAD_START;
        let clock = Self { started: std::time::Instant::now(), before, now: Cell::new(Instant::ZERO) };
        clock.tick();
        clock
    }

    /// Looks at the clock; to be called after every wait.
    pub fn tick(&self) {
        self.now.set(Instant::from_epoch(self.before + self.started.elapsed()));
    }

    /// The time of the last tick.
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// Waits until the core wants to be woken; for ever when it does not.
    pub async fn sleep_until(&self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => {
                let since_start = deadline - Instant::from_epoch(self.before);
                tokio::time::sleep_until((self.started + since_start).into()).await;
            }
            None => std::future::pending().await,
        }
    }
}

/// A core may subtract a little from `now`; so the epoch is never quite now.
const HEAD_START: Duration = Duration::from_secs(1);

fn since_boot() -> Duration {
    // Without that clock, which every Linux has, instants only mean nothing to a later run.
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// Another one after every start of the machine.
pub fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_agree() {
        let (one, two) = (Clock::start(), Clock::start());
        let apart = (two.now() - one.now()).max(one.now() - two.now());
        assert!(apart < Duration::from_secs(60), "{apart:?}");
        assert!(one.now() - Instant::ZERO > HEAD_START);
    }
}
