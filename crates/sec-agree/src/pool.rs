use std::collections::HashSet;

use crate::{Port, SecAgreeError, Spi};

/// The SPIs of one end: drawn from a range, each handed out once until it is given back.
///
/// Starts at a place the caller draws, so that two runs do not meet on the same numbers.
#[derive(Debug)]
pub struct SpiPool {
    first: u32,
    last: u32,
    next: u32,
    taken: HashSet<Spi>,
}

impl SpiPool {
    pub fn new(first: Spi, last: Spi, start: u32) -> Result<Self, SecAgreeError> {
        let (first, last) = (first.get(), last.get());
        if last < first {
            return Err(SecAgreeError::BadSpi);
        }
        let size = u64::from(last - first) + 1;
        let offset = u32::try_from(u64::from(start) % size).unwrap_or(0);
        Ok(Self { first, last, next: first + offset, taken: HashSet::new() })
    }

    /// A free SPI that is none of `avoid`; `None` when the range is used up.
    pub fn draw(&mut self, avoid: &[Spi]) -> Option<Spi> {
        // Every failed try meets a taken or avoided number, so a free one is found within this many.
        let tries = self.taken.len() + avoid.len() + 1;
        for _ in 0..tries {
            let candidate = Spi::new(self.next).ok()?;
            self.next = if self.next == self.last { self.first } else { self.next + 1 };
            if !avoid.contains(&candidate) && self.taken.insert(candidate) {
                return Some(candidate);
            }
        }
        None
    }

    /// Keeps a number that something else uses, such as a state found in the kernel, out of the draw.
    pub fn reserve(&mut self, spi: Spi) {
        self.taken.insert(spi);
    }

    pub fn give_back(&mut self, spi: Spi) {
        self.taken.remove(&spi);
    }

    pub fn taken(&self) -> usize {
        self.taken.len()
    }
}

/// An aligned range of client ports: a power of two many, so that one kernel policy covers it through a port mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientPorts {
    first: u16,
    count: u16,
}

impl ClientPorts {
    /// `None` unless `count` is a power of two, `first` a multiple of it, and no port in it unfit for protection.
    pub fn new(first: u16, count: u16) -> Option<Self> {
        let aligned =
            count.is_power_of_two() && first.is_multiple_of(count) && first.checked_add(count - 1).is_some();
        let usable = aligned && (0..count).all(|offset| Port::new(first + offset).is_ok());
        usable.then_some(Self { first, count })
    }

    pub fn iter(self) -> impl Iterator<Item = Port> {
        (0..self.count).filter_map(move |offset| Port::new(self.first + offset).ok())
    }

    pub fn contains(self, port: u16) -> bool {
        port >= self.first && port - self.first < self.count
    }

    pub fn first(self) -> u16 {
        self.first
    }

    /// The bits of a port that tell whether it is in the range.
    pub fn mask(self) -> u16 {
        !(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spi(value: u32) -> Spi {
        Spi::new(value).unwrap()
    }

    #[test]
    fn sec_12_no_spi_is_drawn_twice_or_against_the_peer() {
        let mut pool = SpiPool::new(spi(1000), spi(1009), 7).unwrap();
        let avoid = [spi(1003), spi(1004)];
        let drawn: Vec<u32> = std::iter::from_fn(|| pool.draw(&avoid)).map(Spi::get).collect();
        assert_eq!(drawn, [1007, 1008, 1009, 1000, 1001, 1002, 1005, 1006]);
        assert_eq!(pool.draw(&avoid), None, "used up");
        pool.give_back(spi(1001));
        assert_eq!(pool.draw(&avoid), Some(spi(1001)));
        assert_eq!(pool.draw(&[]), Some(spi(1003)));
        pool.reserve(spi(1004));
        assert_eq!(pool.draw(&[]), None);
    }

    #[test]
    fn a_pool_reaches_both_ends_of_all_numbers() {
        let mut pool = SpiPool::new(spi(256), spi(u32::MAX), u32::MAX).unwrap();
        for _ in 0..1000 {
            assert!(pool.draw(&[]).is_some());
        }
        assert!(SpiPool::new(spi(300), spi(299), 0).is_err());
    }

    #[test]
    fn client_ports_are_aligned_and_hold_no_sip_port() {
        assert!(ClientPorts::new(6000, 4).is_some());
        assert!(ClientPorts::new(6001, 4).is_none(), "not aligned");
        assert!(ClientPorts::new(6000, 3).is_none(), "not a power of two");
        assert!(ClientPorts::new(5060, 4).is_none(), "holds 5060");
        assert!(ClientPorts::new(0, 4).is_none(), "holds 0");
        assert!(ClientPorts::new(65532, 4).is_some(), "the last four");
        let ports = ClientPorts::new(6000, 4).unwrap();
        assert_eq!(ports.mask(), 0xfffc);
        assert!(ports.contains(6003) && !ports.contains(6004) && !ports.contains(5999));
    }
}
