//! The first thing a new run does: what the file says and what the kernel holds become one again.

use std::collections::HashMap;
use std::net::SocketAddr;

use sec_agree::Spi;
use sip::Instant;

use super::{Device, Event, Fate, PCscf, SavedDevice, SavedSet};

/// A state of ours that the kernel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeldState {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub spi: u32,
}

/// What became of the sets of the earlier run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Sets that go on as if nothing had happened.
    pub adopted: usize,
    /// Sets of the file that cannot go on.
    pub forgotten: usize,
    /// Places in `held` of states that belong to no set that goes on: they must leave the kernel.
    pub orphans: Vec<usize>,
}

/// States by what must be equal between file and kernel, with their places.
type Unclaimed = HashMap<HeldState, usize>;

impl PCscf {
    /// Keeps the SPI of a state that the kernel already holds out of use.
    pub fn reserve_spi(&mut self, spi: Spi) {
        self.sets.reserve_spi(spi);
    }

    /// Takes over what an earlier run has left. A set goes on when the file knows it as confirmed, its time is not
    /// over, and the kernel holds all four of its states; whatever else there is ends, and is reported.
    ///
    /// `held` are our states in the kernel, on any address. Call it before anything is handled.
    pub fn restore(&mut self, now: Instant, saved: Vec<SavedDevice>, held: &[HeldState]) -> Restored {
        let mut unclaimed: Unclaimed =
            held.iter().copied().enumerate().map(|(at, held)| (held, at)).collect();
        let mut restored = Restored::default();
        for SavedDevice { device, registration, sets, dialogs } in saved {
            let mut goes_on = false;
            for set in sets {
                match self.claim(now, &set, &mut unclaimed) {
                    Ok(()) => {
                        goes_on = true;
                        restored.adopted += 1;
                        self.adopt(now, device.clone(), set);
                    }
                    Err(reason) => {
                        restored.forgotten += 1;
                        // Also where our ports have changed since, so that nobody would look for them.
                        let rest = states(&set).filter_map(|state| unclaimed.remove(&state));
                        restored.orphans.extend(rest);
                        let (impi, ue) = (device.impi.clone(), set.associations.uc_to_ps.source);
                        self.event(Event::SetFate { impi, ue, fate: Fate::Forgotten { reason } });
                    }
                }
            }
            if let Some(registration) = registration.filter(|_| goes_on) {
                self.registrations.insert(device.clone(), registration);
                for dialog in dialogs {
                    self.privacy.restore(now, &dialog);
                    self.dialogs.insert(&device, dialog);
                }
                self.subscribe_again(now, &device);
            }
        }
        let ours = |end| self.config.gm.iter().any(|gm| gm.protects(end));
        let orphans =
            unclaimed.into_iter().filter(|(state, _)| ours(state.source) || ours(state.destination));
        restored.orphans.extend(orphans.map(|(_, at)| at));
        restored.orphans.sort_unstable();
        restored
    }

    /// Takes the four states of a set out of `unclaimed`, if all is well with it.
    fn claim(&self, now: Instant, set: &SavedSet, unclaimed: &mut Unclaimed) -> Result<(), &'static str> {
        if set.stage.is_attempt() {
            return Err("no registration has confirmed it");
        }
        if set.expires <= now {
            return Err("its time is over");
        }
        let (gate, client) = (set.associations.uc_to_ps.destination, set.associations.pc_to_us.source);
        let gm = self.config.gm_address(gate.ip()).ok_or("its address is not served any more")?;
        if gate.port() != gm.server_port.get() || !gm.client_ports.contains(client.port()) {
            return Err("its ports are not served any more");
        }
        if self.sets.find(set.associations.uc_to_ps.source).is_some() {
            return Err("another set has its ports");
        }
        if self.sets.len() >= self.config.limits.sets {
            return Err("there are too many sets");
        }
        if !states(set).all(|state| unclaimed.contains_key(&state)) {
            return Err("the kernel does not hold all four of its states");
        }
        for state in states(set) {
            unclaimed.remove(&state);
        }
        Ok(())
    }

    fn adopt(&mut self, now: Instant, device: Device, saved: SavedSet) {
        let (impi, ue) = (device.impi.clone(), saved.associations.uc_to_ps.source);
        let change = self.sets.adopt(now, device, saved);
        self.outputs.push_back(change);
        self.event(Event::SetFate { impi, ue, fate: Fate::Adopted });
    }

    /// The subscription of the earlier run has ended with it: what its notifier still sends finds no dialog here.
    fn subscribe_again(&mut self, now: Instant, device: &Device) {
        let longest = self.sets.saved(device).into_iter().map(|set| set.expires - now).max();
        let seconds = longest.and_then(|longest| u32::try_from(longest.as_secs()).ok());
        self.subscribe(now, device, seconds.unwrap_or_default());
    }
}

/// The states that the kernel must hold for a set.
fn states(set: &SavedSet) -> impl Iterator<Item = HeldState> {
    set.associations.iter().map(|sa| HeldState {
        source: sa.source,
        destination: sa.destination,
        spi: sa.spi.get(),
    })
}
