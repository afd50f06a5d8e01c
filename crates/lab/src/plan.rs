//! Addresses, ports and names of a lab: of its first operator, which is the only one of most labs; each other one's
//! are [`Operator`]'s.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sec_agree::{ClientPorts, Port};

use crate::ladder::{Map, Party};
use crate::operator::Operator;

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

pub(crate) const SIP_PORT: u16 = 5060;

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

pub const P_CSCF_MW: SocketAddr = Operator::FIRST.p_cscf_mw();
pub const I_CSCF: SocketAddr = Operator::FIRST.i_cscf();
pub const S_CSCF: SocketAddr = Operator::FIRST.s_cscf();

/// The P-CSCF's address towards UEs.
pub fn p_cscf(family: Family) -> SocketAddr {
    Operator::FIRST.p_cscf(family)
}

/// The address of the n-th UE: no two share one. 60,000 fit.
pub fn ue_address(family: Family, n: u16) -> IpAddr {
    Operator::FIRST.ue_address(family, n)
}

/// The address that UEs behind a NAT share.
pub const NAT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 40, 0, 1));

/// The network of nobody's trust that stands beside the operators of an internet.
pub const FOREIGN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 90, 0, 99));
pub const FOREIGN_DOMAIN: &str = "foreign.example";

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
    let of = |operator: Operator| {
        [
            (operator.p_cscf(Family::V4).ip(), Party::Pcscf),
            (operator.p_cscf(Family::V6).ip(), Party::Pcscf),
            (operator.p_cscf_mw().ip(), Party::Pcscf),
            (operator.i_cscf().ip(), Party::Icscf),
            (operator.border().ip(), Party::Icscf),
            (operator.s_cscf().ip(), Party::Scscf),
        ]
    };
    let parties = [Operator::FIRST, Operator::SECOND].into_iter().flat_map(of).collect();
    let protected = [ue_ports(), p_cscf_ports()]
        .into_iter()
        .flat_map(|(server, clients)| std::iter::once(server.get()).chain(clients.iter().map(Port::get)));
    Map { parties, protected: protected.collect() }
}

pub fn impi(n: u16) -> String {
    Operator::FIRST.impi(n)
}

pub fn impu(n: u16) -> String {
    Operator::FIRST.impu(n)
}

pub fn tel(n: u16) -> String {
    Operator::FIRST.tel(n)
}
