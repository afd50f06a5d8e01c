//! How many REGISTERs in clear one address may send: each makes the HSS spend a vector and a sequence number.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use sip::Instant;

use super::Rate;

/// Addresses that are watched at once. When there are more, the one that has been quiet longest is forgotten.
const MAX_SOURCES: usize = 65_536;

/// A leaky bucket for each source.
#[derive(Debug)]
pub(super) struct SourceRate {
    rate: Rate,
    /// When the bucket of a source is empty again.
    empty_at: HashMap<IpAddr, Instant>,
    by_time: BTreeSet<(Instant, IpAddr)>,
}

impl SourceRate {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, empty_at: HashMap::new(), by_time: BTreeSet::new() }
    }

    /// Whether one more may come from this address now.
    pub(super) fn take(&mut self, now: Instant, address: IpAddr) -> bool {
        if self.rate.burst == 0 {
            return true;
        }
        self.forget_quiet(now);
        let source = source(address);
        let drop = Duration::from_secs(1) / self.rate.per_second.max(1);
        let before = self.empty_at.get(&source).copied();
        let empty_at = before.unwrap_or(now).max(now) + drop;
        if empty_at > now + drop * self.rate.burst {
            return false;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, source));
        } else if self.empty_at.len() >= MAX_SOURCES
            && let Some((_, quiet)) = self.by_time.pop_first()
        {
            self.empty_at.remove(&quiet);
        }
        self.empty_at.insert(source, empty_at);
        self.by_time.insert((empty_at, source));
        true
    }

    fn forget_quiet(&mut self, now: Instant) {
        while let Some((_, source)) = self.by_time.first().copied().filter(|(at, _)| *at <= now) {
            self.by_time.pop_first();
            self.empty_at.remove(&source);
        }
    }
}

/// Whoever has one address of an IPv6 network has all of them.
fn source(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(milliseconds))
    }

    fn taken(rate: &mut SourceRate, now: Instant, address: &str, times: usize) -> usize {
        let address = address.parse().unwrap();
        (0..times).filter(|_| rate.take(now, address)).count()
    }

    #[test]
    fn sip_17_a_burst_and_then_as_many_as_a_second_allows() {
        let mut rate = SourceRate::new(Rate { burst: 5, per_second: 2 });
        assert_eq!(taken(&mut rate, at(0), "10.0.0.1", 20), 5);
        assert_eq!(taken(&mut rate, at(0), "10.0.0.2", 20), 5, "another source");
        assert_eq!(taken(&mut rate, at(499), "10.0.0.1", 20), 0);
        assert_eq!(taken(&mut rate, at(500), "10.0.0.1", 20), 1);
        assert_eq!(taken(&mut rate, at(1500), "10.0.0.1", 20), 2);
        assert_eq!(taken(&mut rate, at(60_000), "10.0.0.1", 20), 5, "what was quiet starts anew");
        assert_eq!((rate.empty_at.len(), rate.by_time.len()), (1, 1), "and is forgotten meanwhile");
    }

    #[test]
    fn sip_17_an_ipv6_network_is_one_source() {
        let mut rate = SourceRate::new(Rate { burst: 3, per_second: 1 });
        assert_eq!(taken(&mut rate, at(0), "2001:db8::1", 2), 2);
        assert_eq!(taken(&mut rate, at(0), "2001:db8::2", 2), 1);
        assert_eq!(taken(&mut rate, at(0), "2001:db8:0:1::2", 2), 2);
    }

    #[test]
    fn sip_17_the_table_has_an_end() {
        let mut rate = SourceRate::new(Rate { burst: 1, per_second: 1 });
        for n in 0..70_000_u32 {
            assert!(rate.take(at(0), IpAddr::V4(n.into())));
        }
        assert_eq!((rate.empty_at.len(), rate.by_time.len()), (MAX_SOURCES, MAX_SOURCES));
        let mut unlimited = SourceRate::new(Rate { burst: 0, per_second: 0 });
        assert_eq!(taken(&mut unlimited, at(0), "10.0.0.1", 1000), 1000);
    }
}
