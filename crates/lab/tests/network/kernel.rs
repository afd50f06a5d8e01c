//! What stands in for the kernel of one node: its security associations.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sec_agree::{Associations, EspKeys, SaSet, Spi};
use sip::Instant;

/// One unidirectional state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    keys: Keys,
    installed: Instant,
    until: Instant,
}

#[derive(Clone, PartialEq, Eq)]
struct Keys(Vec<u8>, Vec<u8>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

impl Keys {
    fn of(keys: &EspKeys) -> Self {
        Self(keys.integrity.as_bytes().to_vec(), keys.confidentiality.as_bytes().to_vec())
    }
}

/// States found by destination and SPI, as the receiver of a packet finds them.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) states: BTreeMap<(IpAddr, Spi), State>,
    /// Sets that it will not take.
    pub(crate) refusals: u32,
    /// Those: a core may take a set back before it hears that there is none.
    refused: Vec<Associations>,
    /// The most states there ever were.
    pub(crate) most: usize,
}

impl Kernel {
    /// All four or none.
    pub(crate) fn install(
        &mut self,
        now: Instant,
        set: &SaSet,
        lifetime: Duration,
    ) -> Result<(), &'static str> {
        if self.refusals > 0 {
            self.refusals -= 1;
            self.refused.push(set.associations);
            return Err("told to refuse");
        }
        if set.associations.iter().any(|sa| self.states.contains_key(&(sa.destination.ip(), sa.spi))) {
            return Err("File exists");
        }
        for sa in set.associations.iter() {
            let state = State {
                source: sa.source,
                destination: sa.destination,
                keys: Keys::of(&set.keys),
                installed: now,
                until: now + lifetime,
            };
            self.states.insert((sa.destination.ip(), sa.spi), state);
        }
        self.most = self.most.max(self.states.len());
        Ok(())
    }

    pub(crate) fn extend(&mut self, now: Instant, set: &Associations, age: Duration, lifetime: Duration) {
        for sa in set.iter() {
            let state = self.states.get_mut(&(sa.destination.ip(), sa.spi));
            let state = state.unwrap_or_else(|| panic!("{sa:?} is prolonged and is not there"));
            assert_eq!(now - state.installed, age, "the core knows when it had the state installed");
            state.until = now + lifetime;
        }
    }

    /// Answers whether all four were there.
    pub(crate) fn remove(&mut self, now: Instant, set: &Associations) -> bool {
        if let Some(at) = self.refused.iter().position(|refused| refused == set) {
            self.refused.remove(at);
            return true;
        }
        let mut there = true;
        for sa in set.iter() {
            let state = self.states.remove(&(sa.destination.ip(), sa.spi));
            if let Some(state) = &state {
                assert!(
                    now <= state.until,
                    "the kernel's own timer would have come before the core's: {sa:?}"
                );
            }
            there &= state.is_some();
        }
        there
    }

    /// What a packet between these two leaves in: the SPI and keys of the newest state.
    pub(crate) fn outgoing(&self, source: SocketAddr, destination: SocketAddr) -> Option<(Spi, &State)> {
        let fits = |state: &&State| (state.source, state.destination) == (source, destination);
        let states = self.states.iter().map(|((_, spi), state)| (*spi, state));
        states.filter(|(_, state)| fits(state)).max_by_key(|(_, state)| state.installed)
    }

    /// Whether a packet that left in `state` of the peer is taken.
    pub(crate) fn takes(&self, spi: Spi, state: &State) -> bool {
        let own = self.states.get(&(state.destination.ip(), spi));
        own.is_some_and(|own| {
            (own.source, own.destination, &own.keys) == (state.source, state.destination, &state.keys)
        })
    }
}
