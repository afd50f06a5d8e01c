use std::net::{IpAddr, SocketAddr};

/// Which end of a set one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Ue,
    PCscf,
}

/// The outer ends of a set in UDP-enc-tun, as one of the two sees them: the NAT between them makes the UE's differ.
//= TS 33.203 Annex M: ESP in tunnel mode inside UDP
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Encapsulation {
    /// Whose view this is.
    pub side: Side,
    /// At the UE its own address and [`Encapsulation::PORT`]; at the P-CSCF the NAT's address, and the NAT's port once
    /// a packet has told it.
    pub ue: SocketAddr,
    pub p_cscf: SocketAddr,
}

impl Encapsulation {
    /// Of ESP inside UDP.
    //= RFC 3948 2.1
    pub const PORT: u16 = 4500;

    /// Between these two addresses, before any port is known to be another one.
    pub fn new(side: Side, ue: IpAddr, p_cscf: IpAddr) -> Self {
        let at = |address| SocketAddr::new(address, Self::PORT);
        Self { side, ue: at(ue), p_cscf: at(p_cscf) }
    }
}
