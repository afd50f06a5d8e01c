use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use nix::errno::Errno;
use sec_agree::{Algorithms, Associations, End, EspKeys, Port, SaSet, Setup, Spi};

use crate::{Engine, Install, Lifetime, XfrmError};

/// What the kernel of this network namespace can do, found out by doing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    pub ipv4: Vec<Algorithms>,
    pub ipv6: Vec<Algorithms>,
}

impl Engine {
    /// Installs and removes one set for each pair of algorithms and family, between addresses nobody uses.
    pub fn probe(&mut self) -> Result<Capabilities, XfrmError> {
        let ipv4 = self.able(PROBE_V4, &Algorithms::ALL)?;
        // A kernel without IPv6 still serves IPv4.
        let ipv6 = match self.able(PROBE_V6, &Algorithms::ALL) {
            Err(XfrmError::NoEsp) => Vec::new(),
            answer => answer?,
        };
        Ok(Capabilities { ipv4, ipv6 })
    }

    /// Fails unless the kernel can do all these pairs in the family of `address`.
    pub fn require(&mut self, address: IpAddr, wanted: &[Algorithms]) -> Result<(), XfrmError> {
        let able = self.able(if address.is_ipv4() { PROBE_V4 } else { PROBE_V6 }, wanted)?;
        match wanted.iter().find(|pair| !able.contains(pair)) {
            Some(pair) => Err(XfrmError::AlgorithmMissing { algorithms: *pair }),
            None => Ok(()),
        }
    }

    /// Those of `wanted` that the kernel takes.
    fn able(
        &mut self,
        (ue, p_cscf): (IpAddr, IpAddr),
        wanted: &[Algorithms],
    ) -> Result<Vec<Algorithms>, XfrmError> {
        let mut able = Vec::new();
        for algorithms in wanted.iter().copied() {
            let Some(associations) = probe_associations(ue, p_cscf, algorithms) else { continue };
            let set = SaSet::new(associations, EspKeys::placeholder(algorithms));
            let lifetime = Lifetime::new(Duration::from_secs(1));
            match self.install(&[Install { set, lifetime }]).remove(0) {
                Ok(()) => {
                    able.push(algorithms);
                    self.remove(&[associations]).remove(0)?;
                }
                Err(XfrmError::StateRefused { errno: Errno::EPERM, .. }) => {
                    return Err(XfrmError::NoCapNetAdmin);
                }
                Err(XfrmError::StateRefused { errno: Errno::EPROTONOSUPPORT, .. }) => {
                    return Err(XfrmError::NoEsp);
                }
                // This pair is beyond the kernel; the others may not be.
                Err(XfrmError::StateRefused { errno, explanation, .. }) => {
                    tracing::debug!(%algorithms, %errno, ?explanation, "the kernel cannot do this pair");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(able)
    }
}

/// TEST-NET-1 of RFC 5737 and the documentation prefix of RFC 3849: no packet has these.
const PROBE_V4: (IpAddr, IpAddr) = (v4(1), v4(2));
const PROBE_V6: (IpAddr, IpAddr) = (v6(1), v6(2));

const fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

const fn v6(last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))
}

fn probe_associations(ue: IpAddr, p_cscf: IpAddr, algorithms: Algorithms) -> Option<Associations> {
    let end = |address, base: u32| {
        let spi = |offset| Spi::new(base + offset).ok();
        let port = |offset| u16::try_from(base + offset).ok().and_then(|port| Port::new(port).ok());
        Some(End {
            address,
            setup: Setup { spi_c: spi(0)?, spi_s: spi(1)?, port_c: port(0)?, port_s: port(1)? },
        })
    };
    Associations::new(&end(ue, 61000)?, &end(p_cscf, 62000)?, algorithms).ok()
}
