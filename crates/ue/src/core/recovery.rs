//! What follows a failure: another try after a while, or one without protection, or nothing.

use std::time::Duration;

use rand_chacha::rand_core::Rng;
use sip::Instant;

use super::sets::Via;
use super::{Failure, Step, Ue};

/// What a UE remembers of its failures.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// Registrations that failed in a row, for the time to the next.
    failures: u32,
    /// Protected requests in a row that nobody answered.
    unanswered: u8,
    /// Protected requests in a row that the network could do nothing with (500, 504).
    failed_there: u8,
    /// The shortest registration time that the network takes (423).
    min_expires: u32,
    /// When a successful registration has to be renewed.
    renewal: Option<Instant>,
}

const BASE: Duration = Duration::from_secs(30);
const MAX: Duration = Duration::from_secs(1800);

/// So many protected requests without an answer, and the sets are held to be lost at the other end.
const LOST: u8 = 2;

impl Recovery {
    /// Something came over a set in force.
    pub(super) fn heard(&mut self) {
        self.unanswered = 0;
    }

    /// The P-CSCF seems to have lost our sets, or the network our registration: the next REGISTER goes unprotected (`spec/04` section 5).
    pub(super) fn sets_are_lost(&self) -> bool {
        self.unanswered >= LOST || self.failed_there >= LOST
    }

    /// Never shorter than the network takes.
    pub(super) fn expires(&self, wanted: u32) -> u32 {
        wanted.max(self.min_expires)
    }

    /// Whether asking for this long is something new: the answer to a 423.
    pub(super) fn raise(&mut self, min_expires: u32, asked: u32) -> bool {
        let higher = min_expires > asked;
        if higher {
            self.min_expires = min_expires;
        }
        higher
    }

    pub(super) fn registered(&mut self, renewal: Option<Instant>) {
        (self.failures, self.unanswered, self.failed_there, self.renewal) = (0, 0, 0, renewal);
    }

    /// How long to wait before the next registration; `random` spreads it between half and all of the time.
    //= RFC 5626 4.5
    fn wait(&mut self, random: u64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let longest = BASE.saturating_mul(2u32.saturating_pow(self.failures)).min(MAX);
        let half = longest / 2;
        let millis = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        half + Duration::from_millis(random % millis)
    }
}

/// How long the wait for a registration that the network puts off, when it does not say how long.
pub(super) const PROBATION: Duration = BASE;

impl Ue {
    /// The network refused the REGISTER under way.
    //= TS 24.229 5.1.1.4.1: after 500 and 504 to a re-registration the UE registers initially
    pub(super) fn note_refusal(&mut self, status: u16) {
        let current = self.sets.current().map(|set| Via::Set(set.id));
        let over_current = self.attempt.as_ref().is_some_and(|attempt| Some(attempt.first_via) == current);
        if over_current && matches!(status, 500 | 504) {
            self.recovery.failed_there = self.recovery.failed_there.saturating_add(1);
        }
    }

    /// Nobody answered the REGISTER under way.
    pub(super) fn unanswered(&mut self, now: Instant, patience: Duration, malformed: u32) {
        let current = self.sets.current().map(|set| Via::Set(set.id));
        let over_current = self.attempt.as_ref().is_some_and(|attempt| Some(attempt.via) == current);
        if over_current {
            self.recovery.unanswered = self.recovery.unanswered.saturating_add(1);
        }
        let distrusted = self.attempt.as_ref().is_some_and(|attempt| attempt.distrusted);
        self.fail(
            now,
            if distrusted {
                Failure::NetworkAuthentication
            } else {
                Failure::NoAnswer { patience, malformed }
            },
        );
    }

    /// After a failure of a UE that wants to stay registered: when it tries again, if it does.
    pub(super) fn plan_retry(&mut self, now: Instant, failure: &Failure) {
        if !self.config.stay_registered {
            return;
        }
        let random = self.rng.next_u64();
        let after = match failure {
            Failure::Rejected { status: 408 | 500.., retry_after, .. } => {
                let own = self.recovery.wait(random);
                Some(retry_after.map_or(own, |seconds| Duration::from_secs(seconds.into())))
            }
            // The same identities would be refused again.
            Failure::Rejected { .. }
            | Failure::NotRegistered
            | Failure::Busy
            | Failure::Moved
            | Failure::Withheld => None,
            _ => Some(self.recovery.wait(random)),
        };
        match after {
            Some(after) => {
                self.refresh = Some(now + after);
                self.step(Step::Retrying { after });
            }
            None => self.resume(now),
        }
    }

    /// What was registered before is still renewed in time.
    pub(super) fn resume(&mut self, now: Instant) {
        self.refresh = self.recovery.renewal.filter(|at| *at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reg_7_the_wait_doubles_from_a_minute_to_half_an_hour() {
        let mut recovery = Recovery::default();
        let longest: Vec<u64> = (0..8).map(|_| recovery.wait(u64::MAX - 1).as_secs()).collect();
        assert!(longest.windows(2).all(|pair| pair[0] <= pair[1] || pair[1] >= 900), "{longest:?}");
        for random in [0, 1, u64::MAX, 29_999, 12_345_678] {
            let mut recovery = Recovery::default();
            for upper in [60, 120, 240, 480, 960, 1800, 1800, 1800] {
                let wait = recovery.wait(random);
                assert!(wait >= Duration::from_secs(upper) / 2 && wait <= Duration::from_secs(upper));
            }
        }
        let mut recovery = Recovery { failures: u32::MAX, ..Recovery::default() };
        assert!(recovery.wait(7) <= MAX, "the count of failures does not overflow");
    }
}
