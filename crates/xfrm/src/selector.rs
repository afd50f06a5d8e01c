use std::net::{IpAddr, SocketAddr};

use netlink_packet_xfrm::{Address, Selector};
use sec_agree::Association;

/// Written into the `user` field of every selector of ours. The kernel does not match packets on it; it says whose
/// an object is. ("aka" and a version.)
pub const MARK: u32 = 0x616b_6101;

const ANY_PORT: u16 = 0;
const EXACT_PORT: u16 = 0xffff;

/// The selector of a state: exact addresses and ports, protocol 0, which with ports means both UDP and TCP.
//= TS 33.203 7.1: one SA serves UDP and TCP between its two ports
pub(crate) fn of_association(association: &Association) -> Selector {
    between(association.source, association.destination)
}

/// Everything from one host to another.
pub(crate) fn between_hosts(source: IpAddr, destination: IpAddr, user: u32) -> Selector {
    let mut selector = Selector { user, ..Selector::default() };
    selector.source_prefix(&source, host_prefix(source));
    selector.destination_prefix(&destination, host_prefix(destination));
    selector
}

/// Source and destination of a selector of hosts.
pub(crate) fn ends(selector: &Selector) -> (IpAddr, IpAddr) {
    (address_of(&selector.saddr, selector.family), address_of(&selector.daddr, selector.family))
}

/// The same for a state that was read from the kernel.
pub(crate) fn between(source: SocketAddr, destination: SocketAddr) -> Selector {
    let mut selector = Selector {
        sport: source.port(),
        sport_mask: EXACT_PORT,
        dport: destination.port(),
        dport_mask: EXACT_PORT,
        user: MARK,
        ..Selector::default()
    };
    selector.source_prefix(&source.ip(), host_prefix(source.ip()));
    selector.destination_prefix(&destination.ip(), host_prefix(destination.ip()));
    selector
}

/// The direction a policy looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// The selector of a policy: everything that leaves from, or arrives at, a local port, whoever the other end is.
pub(crate) fn of_local_port(
    direction: Direction,
    local: IpAddr,
    prefix: u8,
    port: u16,
    port_mask: u16,
) -> Selector {
    let mut selector = Selector { user: MARK, family: family(local), ..Selector::default() };
    match direction {
        Direction::In => {
            selector.daddr = Address::from_ip(&local);
            selector.prefixlen_d = prefix;
            (selector.dport, selector.dport_mask) = (port, port_mask);
            (selector.sport, selector.sport_mask) = (ANY_PORT, 0);
        }
        Direction::Out => {
            selector.saddr = Address::from_ip(&local);
            selector.prefixlen_s = prefix;
            (selector.sport, selector.sport_mask) = (port, port_mask);
            (selector.dport, selector.dport_mask) = (ANY_PORT, 0);
        }
    }
    selector
}

pub(crate) fn family(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => netlink_packet_xfrm::AF_INET,
        IpAddr::V6(_) => netlink_packet_xfrm::AF_INET6,
    }
}

pub(crate) fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

pub(crate) fn address_of(address: &Address, family: u16) -> IpAddr {
    if family == netlink_packet_xfrm::AF_INET6 {
        IpAddr::V6(address.to_ipv6())
    } else {
        IpAddr::V4(address.to_ipv4())
    }
}
