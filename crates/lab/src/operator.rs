//! An operator as a value: its domain, its names, its addresses. All of them share one scheme, and no two an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::links::Prefix;
use crate::plan::{Family, SIP_PORT};

/// The n-th operator of a lab, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Operator(u8);

const fn v4(b: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, b, 0, d))
}

const fn v6(net: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(net, 0, 0, 0, 0, 0, 0, host))
}

impl Operator {
    /// Of every lab with one operator, and of `examples/testbed`.
    pub const FIRST: Self = Self(0);
    pub const SECOND: Self = Self(1);

    /// Networks of addresses lie ten apart, so that ten operators fit between them.
    const fn network(self, first: u8) -> u8 {
        first + self.0
    }

    /// Whose border it meets.
    pub(crate) fn partner(self) -> Self {
        if self == Self::FIRST { Self::SECOND } else { Self::FIRST }
    }

    pub fn home_domain(self) -> String {
        format!("ims.mnc{:03}.mcc001.3gppnetwork.org", u16::from(self.0) + 1)
    }

    pub fn p_cscf_name(self) -> String {
        format!("pcscf.{}", self.home_domain())
    }

    pub fn i_cscf_name(self) -> String {
        format!("icscf.{}", self.home_domain())
    }

    /// As the Service-Route names the S-CSCF.
    pub fn s_cscf_host(self) -> String {
        format!("scscf.{}", self.home_domain())
    }

    pub fn s_cscf_name(self) -> String {
        format!("sip:{}:{SIP_PORT}", self.s_cscf_host())
    }

    /// The addresses of the core.
    pub const fn core_prefix(self) -> (IpAddr, u8) {
        (v4(self.network(30), 0), 24)
    }

    pub const fn p_cscf_mw(self) -> SocketAddr {
        SocketAddr::new(v4(self.network(30), 1), SIP_PORT)
    }

    pub const fn i_cscf(self) -> SocketAddr {
        SocketAddr::new(v4(self.network(30), 2), SIP_PORT)
    }

    pub const fn s_cscf(self) -> SocketAddr {
        SocketAddr::new(v4(self.network(30), 3), SIP_PORT)
    }

    /// The I-CSCF towards other networks.
    pub const fn border(self) -> SocketAddr {
        SocketAddr::new(v4(90, self.0 + 1), SIP_PORT)
    }

    /// The P-CSCF's address towards UEs.
    pub const fn p_cscf(self, family: Family) -> SocketAddr {
        SocketAddr::new(self.link(family).0.0, SIP_PORT)
    }

    /// The two ends of the access link: P-CSCF, host of the UEs.
    pub(crate) const fn link(self, family: Family) -> (Prefix, Prefix) {
        match family {
            Family::V4 => ((v4(self.network(10), 1), 24), (v4(self.network(10), 2), 24)),
            Family::V6 => {
                let net = 0xfd10 + self.0 as u16;
                ((v6(net, 1), 64), (v6(net, 2), 64))
            }
        }
    }

    /// All addresses of UEs.
    pub const fn ue_prefix(self, family: Family) -> (IpAddr, u8) {
        match family {
            Family::V4 => (v4(self.network(20), 0), 16),
            Family::V6 => (v6(0xfd20 + self.0 as u16, 0), 64),
        }
    }

    /// The address of the n-th UE: no two share one. 60,000 fit.
    pub fn ue_address(self, family: Family, n: u16) -> IpAddr {
        match family {
            Family::V4 => {
                let [high, low] = (n + 1).to_be_bytes();
                IpAddr::V4(Ipv4Addr::new(10, self.network(20), high, low))
            }
            Family::V6 => v6(0xfd20 + u16::from(self.0), n + 1),
        }
    }

    pub fn impi(self, n: u16) -> String {
        let mnc = u16::from(self.0) + 1;
        format!("001{mnc:02}{:010}@{}", n + 1, self.home_domain())
    }

    pub fn impu(self, n: u16) -> String {
        format!("sip:user{}@{}", n + 1, self.home_domain())
    }

    pub fn tel(self, n: u16) -> String {
        format!("tel:+493{}{:07}", self.0, n + 1)
    }

    /// Whose the n-th card of another operator's is not.
    pub(crate) fn seed(self, seed: u64) -> u64 {
        seed ^ (u64::from(self.0) << 56)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_operator_shares_nothing_with_the_first() {
        let all = |of: Operator| {
            let addresses = [of.p_cscf_mw(), of.i_cscf(), of.s_cscf(), of.border()].map(|at| at.to_string());
            let names = [of.home_domain(), of.impi(0), of.impu(0), of.tel(0), of.s_cscf_name()];
            let gm = [Family::V4, Family::V6].map(|family| of.p_cscf(family).to_string());
            let ues = [Family::V4, Family::V6].map(|family| of.ue_address(family, 0).to_string());
            addresses.into_iter().chain(names).chain(gm).chain(ues).collect::<Vec<_>>()
        };
        let (first, second) = (all(Operator::FIRST), all(Operator::SECOND));
        assert!(first.iter().all(|one| !second.contains(one)), "{first:?} {second:?}");
        assert_eq!(Operator::FIRST.home_domain(), crate::plan::HOME_DOMAIN);
        assert_eq!(Operator::FIRST.p_cscf_name(), crate::plan::P_CSCF_NAME);
        assert_eq!(Operator::FIRST.s_cscf_name(), crate::plan::S_CSCF_NAME);
        assert_eq!(Operator::FIRST.s_cscf_host(), crate::plan::S_CSCF_HOST);
    }
}
