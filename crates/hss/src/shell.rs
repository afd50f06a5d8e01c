//! What the daemon, and a lab, give the HSS of the outside world.

use std::time::SystemTime;

use crate::{Clock, UnixTime};

/// The date of this machine. Several HSSs on one database should agree on it to a minute.
pub fn wall_clock() -> Clock {
    Box::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        UnixTime(since.map(|since| since.as_secs()).unwrap_or_default())
    })
}
