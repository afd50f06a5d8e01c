//! T1, T2 and T4.

use std::time::Duration;

/// The base values every timer of RFC 3261 table 4 derives from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    pub t1: Duration,
    pub t2: Duration,
    pub t4: Duration,
}

impl Timers {
    /// Between network elements (RFC 3261 table 4).
    pub const CORE: Self =
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) };

    /// Between UE and P-CSCF, both ends.
    //= TS 24.229 7.7
    pub const GM: Self =
        Self { t1: Duration::from_secs(2), t2: Duration::from_secs(16), t4: Duration::from_secs(17) };

    /// B, F, H, J, L, M.
    pub(crate) const fn give_up(self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// D: more than 32 s over UDP, and no less than the peer repeats its final response.
    pub(crate) fn d(self) -> Duration {
        self.give_up().max(Duration::from_secs(33))
    }

    /// When Timer E of the peer reaches T2: T1 + 2 T1 + ... up to the interval T2 (3.5 s core, 14 s Gm).
    //= RFC 4320 4.1
    pub(crate) fn trying(self) -> Duration {
        let mut at = Duration::ZERO;
        let mut interval = self.t1.max(Duration::from_millis(1));
        while interval < self.t2 {
            at += interval;
            interval *= 2;
        }
        at
    }
}
