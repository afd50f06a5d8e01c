//! A NAT between us and the P-CSCF (TS 33.203 Annex M): how it is seen, and what a set is like then.

use std::net::IpAddr;

use sec_agree::{Encapsulation, Mode, SecAgreeError, Side};
use sip::Message;

use super::sets::Via;
use super::{Config, Failure, Ue};

/// What a set between us and the P-CSCF has for addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// Ours as the P-CSCF sees it.
    pub(super) address: IpAddr,
    /// Around a NAT.
    pub(super) encapsulation: Option<Encapsulation>,
}

impl Way {
    pub(super) fn mode(&self) -> Mode {
        if self.encapsulation.is_some() { Mode::UdpEncTun } else { Mode::Trans }
    }
}

impl Config {
    /// What is offered: without a NAT transport mode is taken, with one nothing else than UDP-enc-tun works.
    pub(super) fn modes(&self) -> &'static [Mode] {
        if self.nat_traversal { &Mode::ALL } else { &[Mode::Trans] }
    }
}

impl Ue {
    /// Our address as it stands in what goes over `via`.
    //= TS 33.203 Annex M: over a set in UDP-enc-tun, Via and Contact have the public address
    pub(super) fn address_over(&self, via: Via) -> IpAddr {
        match via {
            Via::Clear => self.config.address,
            Via::Set(id) => {
                self.sets.get(id).map_or(self.config.address, |set| set.associations.ue_address())
            }
        }
    }

    /// The same for what goes over the current set.
    pub(super) fn current_address(&self) -> IpAddr {
        self.sets.current().map_or(self.config.address, |set| set.associations.ue_address())
    }

    /// The way of a set that a challenge leads to. The challenge of a protected REGISTER leads to one like the set it
    /// came over; another is the first to tell of a NAT.
    pub(super) fn way(&self, first_via: Via, challenge: &Message) -> Result<Way, Failure> {
        let own = self.config.address;
        if let Via::Set(id) = first_via
            && let Some(set) = self.sets.get(id)
        {
            let address = set.associations.ue_address();
            return Ok(Way { address, encapsulation: set.associations.encapsulation });
        }
        //= TS 33.203 Annex M: a received parameter that differs from the UE's address tells of a NAT
        let seen = challenge.top_via().ok().and_then(|via| via.received()).unwrap_or(own);
        if seen == own {
            return Ok(Way { address: own, encapsulation: None });
        }
        let p_cscf = self.config.p_cscf.ip();
        let cause = if !self.config.nat_traversal {
            Some(SecAgreeError::UdpEncTunNotAllowed)
        } else {
            // Nobody has signed the parameter, and its address becomes one of our host's.
            (!is_host(seen) || seen == p_cscf || seen.is_ipv4() != own.is_ipv4())
                .then_some(SecAgreeError::BadEncapsulation)
        };
        match cause {
            Some(cause) => Err(Failure::BehindNat { seen, cause }),
            None => {
                let encapsulation = Some(Encapsulation::new(Side::Ue, own, p_cscf));
                Ok(Way { address: seen, encapsulation })
            }
        }
    }
}

/// Whether a NAT could have this address.
fn is_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast)
}
