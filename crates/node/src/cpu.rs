//! CPU time of the calling thread: with one thread a role, the cost of a role.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

/// User and system time spent by this thread so far; zero where the kernel does not say.
pub fn thread_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else { return Duration::ZERO };
    let (user, system) = (usage.user_time(), usage.system_time());
    let microseconds =
        [user, system].iter().map(|time| time.tv_sec() * 1_000_000 + time.tv_usec()).sum::<i64>();
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}
