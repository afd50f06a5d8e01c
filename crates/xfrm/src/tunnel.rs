//! The policies of a set in UDP-enc-tun.
//!
//! A tunnel has outer addresses, which the constant policies of a local address cannot name: so such a set brings four
//! of its own, before those in priority. When they go the constant ones are met again, and nothing passes in clear.

use std::net::SocketAddr;

use netlink_packet_xfrm::{Address, EncapTmpl, UDP_ENCAP_ESPINUDP, XFRM_MODE_TUNNEL, XfrmAttrs, XfrmMessage};
use sec_agree::{Association, Associations, Side};

use crate::policy::{self, PRIORITY};
use crate::selector::{self, Direction};
use crate::{KernelState, Lifetime};

/// Above the constant policies.
const TUNNEL_PRIORITY: u32 = PRIORITY / 2;

/// The local end of each policy and the message that puts it in place, or moves its end; empty for a set that is not
/// encapsulated. A policy counts its life from this message on.
pub(crate) fn add_messages(set: &Associations, lifetime: Lifetime) -> Vec<(SocketAddr, XfrmMessage)> {
    of_set(set)
        .map(|Policy { sa, direction, outer: (source, destination) }| {
            let mut template = policy::template(XFRM_MODE_TUNNEL, selector::family(destination.ip()));
            template.saddr = Address::from_ip(&source.ip());
            template.id.daddr = Address::from_ip(&destination.ip());
            let selector = selector::of_association(sa);
            let lifetime = lifetime.hard_only();
            let message = policy::update(direction, selector, TUNNEL_PRIORITY, lifetime, Some(template));
            (local(sa, direction), message)
        })
        .collect()
}

pub(crate) fn delete_messages(set: &Associations) -> Vec<(SocketAddr, XfrmMessage)> {
    of_set(set)
        .map(|Policy { sa, direction, .. }| {
            (local(sa, direction), delete_message(direction, sa.source, sa.destination))
        })
        .collect()
}

/// The policy that a state of a dead run has left, whichever direction it looked at; nothing for transport mode.
pub(crate) fn delete_messages_of(state: &KernelState) -> Vec<(SocketAddr, XfrmMessage)> {
    if state.outer.is_none() {
        return Vec::new();
    }
    let ends = [(Direction::In, state.destination), (Direction::Out, state.source)];
    ends.map(|(direction, local)| (local, delete_message(direction, state.source, state.destination))).into()
}

fn delete_message(direction: Direction, source: SocketAddr, destination: SocketAddr) -> XfrmMessage {
    policy::delete(direction, selector::between(source, destination))
}

/// What makes a state one of a tunnel inside UDP.
pub(crate) fn template((source, destination): (SocketAddr, SocketAddr)) -> XfrmAttrs {
    XfrmAttrs::EncapsulationTemplate(EncapTmpl {
        encap_type: UDP_ENCAP_ESPINUDP,
        encap_sport: source.port(),
        encap_dport: destination.port(),
        ..EncapTmpl::default()
    })
}

struct Policy<'a> {
    sa: &'a Association,
    direction: Direction,
    outer: (SocketAddr, SocketAddr),
}

fn of_set(set: &Associations) -> impl Iterator<Item = Policy<'_>> {
    let at_ue = set.encapsulation.is_some_and(|encapsulation| encapsulation.side == Side::Ue);
    set.iter().filter_map(move |sa| {
        let outer = set.outer(sa.role)?;
        let arrives = sa.role.towards_ue() == at_ue;
        Some(Policy { sa, direction: if arrives { Direction::In } else { Direction::Out }, outer })
    })
}

fn local(sa: &Association, direction: Direction) -> SocketAddr {
    match direction {
        Direction::In => sa.destination,
        Direction::Out => sa.source,
    }
}
