//! Where the nodes of each operator are, and what they are called. Operator 0 is the lab's plan.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lab::plan::{self, Family};

use super::Node;

/// Somebody outside, at an address that no border knows as a partner of the trust domain.
pub(crate) const PARTNER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)), SIP_PORT);
pub(crate) const PARTNER_DOMAIN: &str = "partner.example";

const SIP_PORT: u16 = 5060;

/// As many operators as there are domains.
const DOMAINS: [&str; 3] = [plan::HOME_DOMAIN, "b.example", "c.example"];

pub(crate) fn domain(operator: u8) -> &'static str {
    DOMAINS[usize::from(operator)]
}

/// The address inside the operator's network.
pub(crate) fn inside(node: Node) -> SocketAddr {
    let (operator, host) = host_number(node);
    let network = if operator == 0 { 30 } else { 60 + operator };
    at(network, host)
}

/// The I-CSCF's address towards other networks.
pub(crate) fn border(operator: u8, which: u8) -> SocketAddr {
    at(130 + operator, host_number(Node::ICscf(operator, which)).1)
}

/// The same, where it speaks TLS.
pub(crate) fn secure(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), 5061)
}

/// The P-CSCF's address towards UEs.
pub(crate) fn gm(operator: u8, which: u8) -> SocketAddr {
    match (operator, which) {
        (0, 0) => plan::p_cscf(Family::V4),
        _ => at(100 + operator, host_number(Node::PCscf(operator, which)).1),
    }
}

/// The host name of a CSCF.
pub(crate) fn host(node: Node) -> String {
    let (role, operator, which) = match node {
        Node::PCscf(operator, which) => ("pcscf", operator, which),
        Node::ICscf(operator, which) => ("icscf", operator, which),
        Node::SCscf(operator, which) => ("scscf", operator, which),
        Node::Ue(_) | Node::Partner => panic!("{node:?} has no host name"),
    };
    let number = if which == 0 { String::new() } else { (which + 1).to_string() };
    format!("{role}{number}.{}", domain(operator))
}

/// The S-CSCF's name as the HSS stores it.
pub(crate) fn server_name(node: Node) -> String {
    format!("sip:{}:{SIP_PORT}", host(node))
}

pub(crate) fn impi(operator: u8, ue: u16) -> String {
    match operator {
        0 => plan::impi(ue),
        _ => format!("00101{:010}@{}", ue + 1, domain(operator)),
    }
}

pub(crate) fn impu(operator: u8, ue: u16) -> String {
    match operator {
        0 => plan::impu(ue),
        _ => format!("sip:user{}@{}", ue + 1, domain(operator)),
    }
}

/// Who has this address, and of which port it is not asked.
pub(crate) fn owner(address: SocketAddr) -> Node {
    let IpAddr::V4(ip) = address.ip() else { panic!("nobody is at {address}") };
    if ip == PARTNER.ip() {
        return Node::Partner;
    }
    let found = match ip.octets() {
        [10, 20, high, low] => u16::from_be_bytes([high, low]).checked_sub(1).map(Node::Ue),
        [10, 10, 0, host] | [10, 30, 0, host] => of(0, host),
        [10, network @ 61..70, 0, host] => of(network - 60, host),
        [10, network @ 100..110, 0, host] => of(network - 100, host),
        [10, network @ 130..140, 0, host] => of(network - 130, host),
        _ => None,
    };
    found.unwrap_or_else(|| panic!("nobody is at {address}"))
}

/// Whether UEs send to this address of a P-CSCF.
pub(crate) fn is_gm(address: SocketAddr) -> bool {
    match owner(address) {
        Node::PCscf(operator, which) => gm(operator, which).ip() == address.ip(),
        _ => false,
    }
}

fn host_number(node: Node) -> (u8, u8) {
    match node {
        Node::PCscf(operator, which) => (operator, [1, 5][usize::from(which)]),
        Node::ICscf(operator, which) => (operator, [2, 6][usize::from(which)]),
        Node::SCscf(operator, which) => (operator, [3, 4][usize::from(which)]),
        Node::Ue(_) | Node::Partner => panic!("{node:?} is in no core network"),
    }
}

fn of(operator: u8, host: u8) -> Option<Node> {
    Some(match host {
        1 => Node::PCscf(operator, 0),
        5 => Node::PCscf(operator, 1),
        2 => Node::ICscf(operator, 0),
        6 => Node::ICscf(operator, 1),
        3 => Node::SCscf(operator, 0),
        4 => Node::SCscf(operator, 1),
        _ => return None,
    })
}

fn at(network: u8, host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, network, 0, host)), SIP_PORT)
}
