//! Who is where, and which ports are protected.

use std::net::SocketAddr;

use lab::plan::{self, Family};
use sip::Message;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Node {
    Ue(u16),
    PCscf,
    ICscf,
    SCscf,
    SCscf2,
}

pub(crate) fn owner(address: SocketAddr) -> Node {
    let ip = address.ip();
    if ip == plan::p_cscf(Family::V4).ip() || ip == plan::P_CSCF_MW.ip() {
        Node::PCscf
    } else if ip == plan::I_CSCF.ip() {
        Node::ICscf
    } else if ip == plan::S_CSCF.ip() {
        Node::SCscf
    } else if ip == super::plan::S_CSCF_2.ip() {
        Node::SCscf2
    } else {
        let ue = (0..1000).find(|n| plan::ue_address(Family::V4, *n) == ip);
        Node::Ue(ue.unwrap_or_else(|| panic!("nobody is at {address}")))
    }
}

/// Whether the policies of the kernel want ESP at this end.
pub(crate) fn protects(end: SocketAddr) -> bool {
    let ports = match owner(end) {
        Node::Ue(_) => plan::ue_ports(),
        Node::PCscf if end.ip() != plan::P_CSCF_MW.ip() => plan::p_cscf_ports(),
        _ => return false,
    };
    end.port() == ports.0.get() || ports.1.contains(end.port())
}

pub(crate) fn line(from: Node, to: Node, message: &Message, protected: bool) -> String {
    let name = |node| match node {
        Node::Ue(n) => format!("UE{n}"),
        Node::PCscf => "P-CSCF".into(),
        Node::ICscf => "I-CSCF".into(),
        Node::SCscf => "S-CSCF".into(),
        Node::SCscf2 => "S-CSCF2".into(),
    };
    let what = message.status().map_or_else(|| message.method().as_str().to_owned(), |s| s.to_string());
    let esp = if protected { " in ESP" } else { "" };
    format!("{} -> {} {what}{esp}", name(from), name(to))
}
