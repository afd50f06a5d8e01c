//! When to connect to a peer: at once, and after a loss with pauses that grow.

use std::time::Duration;

use super::Now;
use super::node::Settings;
use super::random::Random;
use super::watchdog::Watchdog;

/// A peer of the configuration. Its watchdog remembers across connections.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) watchdog: Watchdog,
    step: Step,
    pause: Duration,
    shortest: Duration,
    longest: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Dialling,
    Connected { since: Now },
    Pausing { until: Now },
}

impl Dial {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            watchdog: Watchdog::new(settings.watchdog),
            step: Step::Dialling,
            pause: settings.shortest_pause,
            shortest: settings.shortest_pause,
            longest: settings.longest_pause,
        }
    }

    pub(super) const fn connected(&mut self, now: Now) {
        self.step = Step::Connected { since: now };
    }

    /// The attempt failed, or the connection is lost. When to try again.
    pub(super) fn failed(&mut self, now: Now, random: &mut Random) -> Option<Now> {
        match self.step {
            Step::Pausing { .. } => return None,
            // Only a connection that has lasted proves that the next one is worth a quick attempt.
            Step::Connected { since } if now.saturating_sub(since) >= self.longest => {
                self.pause = self.shortest;
            }
            Step::Connected { .. } | Step::Dialling => {}
        }
        let until = now + random.around(self.pause, self.pause / 4);
        self.pause = (self.pause * 2).min(self.longest);
        self.step = Step::Pausing { until };
        Some(until)
    }

    /// Whether to connect now.
    pub(super) fn due(&mut self, now: Now) -> bool {
        let due = self.deadline().is_some_and(|until| until <= now);
        if due {
            self.step = Step::Dialling;
        }
        due
    }

    pub(super) const fn deadline(&self) -> Option<Now> {
        match self.step {
            Step::Pausing { until } => Some(until),
            Step::Dialling | Step::Connected { .. } => None,
        }
    }
}
