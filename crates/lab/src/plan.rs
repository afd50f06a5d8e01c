//! Addresses, ports and names of a lab.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sec_agree::{ClientPorts, Port};

use crate::ladder::{Map, Party};
use crate::links::Prefix;

pub const HOME_DOMAIN: &str = "ims.mnc001.mcc001.3gppnetwork.org";
pub const VISITED_NETWORK: &str = "ims.mnc001.mcc001.3gppnetwork.org";
pub const P_CSCF_NAME: &str = "pcscf.ims.mnc001.mcc001.3gppnetwork.org";
pub const S_CSCF_NAME: &str = "sip:scscf.ims.mnc001.mcc001.3gppnetwork.org:5060";

/// As the Service-Route names the S-CSCF.
pub const S_CSCF_HOST: &str = "scscf.ims.mnc001.mcc001.3gppnetwork.org";

/// The link between UEs and P-CSCF as the P-CSCF calls it: where the tap listens.
pub const ACCESS_LINK: &str = "to-ue";
/// The same link as a NAT calls it, where there is one.
pub const NAT_LINK: &str = "to-access";

const SIP_PORT: u16 = 5060;

/// The IP version between UE and P-CSCF. The core speaks IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

const fn v4(b: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, b, 0, d))
}

const fn v6(net: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(net, 0, 0, 0, 0, 0, 0, host))
}

pub const P_CSCF_MW: SocketAddr = SocketAddr::new(v4(30, 1), SIP_PORT);
pub const I_CSCF: SocketAddr = SocketAddr::new(v4(30, 2), SIP_PORT);
pub const S_CSCF: SocketAddr = SocketAddr::new(v4(30, 3), SIP_PORT);

/// The P-CSCF's address towards UEs.
pub fn p_cscf(family: Family) -> SocketAddr {
    SocketAddr::new(link(family).0.0, SIP_PORT)
}

/// The two ends of the access link: P-CSCF, host of the UEs.
pub(crate) fn link(family: Family) -> (Prefix, Prefix) {
    match family {
        Family::V4 => ((v4(10, 1), 24), (v4(10, 2), 24)),
        Family::V6 => ((v6(0xfd10, 1), 64), (v6(0xfd10, 2), 64)),
    }
}

/// All addresses of UEs.
pub(crate) fn ue_prefix(family: Family) -> Prefix {
    match family {
        Family::V4 => (v4(20, 0), 16),
        Family::V6 => (v6(0xfd20, 0), 64),
    }
}

/// The address of the n-th UE: no two share one. 60,000 fit.
pub fn ue_address(family: Family, n: u16) -> IpAddr {
    match family {
        Family::V4 => {
            let [high, low] = (n + 1).to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(10, 20, high, low))
        }
        Family::V6 => v6(0xfd20, n + 1),
    }
}

/// The address that UEs behind a NAT share.
pub const NAT: IpAddr = v4(40, 1);

/// Protected ports of the n-th UE behind a NAT: the P-CSCF sees one address, so no two share a port.
pub fn ue_ports_behind_nat(n: u16) -> (Port, ClientPorts) {
    let step = (n % 64) * 16;
    ports(7100 + step, 7000 + step)
}

/// Protected ports: the server port and the client ports.
pub fn ue_ports() -> (Port, ClientPorts) {
    ports(7100, 7000)
}

pub fn p_cscf_ports() -> (Port, ClientPorts) {
    ports(6100, 6000)
}

fn ports(server: u16, first_client: u16) -> (Port, ClientPorts) {
    match (Port::new(server), ClientPorts::new(first_client, 4)) {
        (Ok(server), Some(clients)) => (server, clients),
        _ => unreachable!("the ports of the plan are fit for protection"),
    }
}

/// Who is where, for ladders.
pub fn map() -> Map {
    let parties = vec![
        (p_cscf(Family::V4).ip(), Party::Pcscf),
        (p_cscf(Family::V6).ip(), Party::Pcscf),
        (P_CSCF_MW.ip(), Party::Pcscf),
        (I_CSCF.ip(), Party::Icscf),
        (S_CSCF.ip(), Party::Scscf),
    ];
    let protected = [ue_ports(), p_cscf_ports()]
        .into_iter()
        .flat_map(|(server, clients)| std::iter::once(server.get()).chain(clients.iter().map(Port::get)));
    Map { parties, protected: protected.collect() }
}

pub fn impi(n: u16) -> String {
    format!("00101{:010}@{HOME_DOMAIN}", n + 1)
}

pub fn impu(n: u16) -> String {
    format!("sip:user{}@{HOME_DOMAIN}", n + 1)
}

pub fn tel(n: u16) -> String {
    format!("tel:+4930{:07}", n + 1)
}

/// The I-CSCF of the plan.
pub(crate) fn icscf() -> anyhow::Result<icscf::Config> {
    let name = cx::ServerName::new(S_CSCF_NAME)?;
    Ok(icscf::Config {
        trusted_peers: vec![P_CSCF_MW.ip()],
        s_cscfs: vec![icscf::SCscf::new(name, S_CSCF)],
        ..icscf::Config::new(I_CSCF, HOME_DOMAIN)
    })
}
