use std::collections::BTreeMap;

use nix::errno::Errno;

use crate::XfrmError;

/// The error counters of `/proc/net/xfrm_stat` for the network namespace of the calling thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics(BTreeMap<String, u64>);

impl Statistics {
    pub fn read() -> Result<Self, XfrmError> {
        const PATH: &str = "/proc/thread-self/net/xfrm_stat";
        let text = std::fs::read_to_string(PATH).map_err(|error| XfrmError::ProcFile {
            path: PATH,
            errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
        })?;
        let counters = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        });
        Ok(Self(counters.collect()))
    }

    /// 0 for a counter that this kernel does not have.
    pub fn counter(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Counters that are not zero. All of them count errors.
    pub fn errors(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().filter(|(_, count)| **count > 0).map(|(name, count)| (name.as_str(), *count))
    }

    /// What has been counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let grown =
            self.0.iter().map(|(name, count)| (name.clone(), count.saturating_sub(earlier.counter(name))));
        Self(grown.collect())
    }
}
