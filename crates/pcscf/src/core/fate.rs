//! What befalls a set without any message: an end in the kernel, a restart.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use sip::Instant;
use thiserror::Error;

use super::{Event, PCscf, SetId};

/// What the kernel tells of its own accord. Destination and SPI name a state.
#[derive(Debug)]
pub enum KernelTold {
    /// A state of ours has reached its soft limit, or its hard one, and is gone then.
    Expired { destination: IpAddr, spi: u32, hard: bool },
    /// A packet of this state came from another outer address than those before it.
    Mapped { destination: IpAddr, spi: u32, outer: SocketAddr },
    /// All states of ours that there are: something it told in between is lost.
    Holds(HashSet<(IpAddr, u32)>),
}

/// What befell a set. Each text fits after "a set ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fate {
    #[error("of an earlier run goes on")]
    Adopted,
    #[error("of an earlier run cannot go on: {reason}")]
    Forgotten { reason: &'static str },
    #[error("ends soon in the kernel: state {spi:#x} has reached its soft limit")]
    Expiring { spi: u32 },
    #[error("has expired in the kernel: state {spi:#x} has reached its hard limit")]
    Expired { spi: u32 },
    #[error("is not whole in the kernel any more")]
    Incomplete,
    #[error("reaches its UE through the NAT at {outer} now")]
    Mapped { outer: SocketAddr },
    #[error("hears its UE from another address, {outer}, and cannot follow")]
    Elsewhere { outer: SocketAddr },
}

impl PCscf {
    pub(super) fn kernel_told(&mut self, now: Instant, told: KernelTold) {
        match told {
            KernelTold::Mapped { destination, spi, outer } => {
                if let Some(set) = self.sets.of_state(destination, spi) {
                    self.mapped(now, set, outer);
                }
            }
            KernelTold::Expired { destination, spi, hard } => {
                // The other three of a set whose first has told already have no owner any more.
                let Some(set) = self.sets.of_state(destination, spi) else { return };
                if hard {
                    self.end_set(set, Fate::Expired { spi });
                } else {
                    self.befall(set, Fate::Expiring { spi });
                }
            }
            KernelTold::Holds(held) => {
                for set in self.sets.incomplete(|destination, spi| held.contains(&(destination, spi))) {
                    self.end_set(set, Fate::Incomplete);
                }
            }
        }
    }

    /// What is left of the set protects nothing any more.
    fn end_set(&mut self, set: SetId, fate: Fate) {
        self.befall(set, fate);
        self.remove_set(set);
    }

    pub(super) fn befall(&mut self, set: SetId, fate: Fate) {
        if let Some(entry) = self.sets.get(set) {
            let (impi, ue) = (entry.device.impi.clone(), entry.associations.uc_to_ps.source);
            self.event(Event::SetFate { impi, ue, fate });
        }
    }
}
