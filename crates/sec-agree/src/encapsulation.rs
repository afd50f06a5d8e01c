use std::net::{IpAddr, SocketAddr};

/// The outer ends of a set in UDP-enc-tun, as one end sees them: a NAT between the two makes the UE's differ.
//= TS 33.203 Annex M: ESP in tunnel mode inside UDP
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Encapsulation {
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
    pub fn between(ue: IpAddr, p_cscf: IpAddr) -> Self {
        Self { ue: SocketAddr::new(ue, Self::PORT), p_cscf: SocketAddr::new(p_cscf, Self::PORT) }
    }
}
