//! Who is there, and which ports are protected.

use std::net::SocketAddr;

use lab::plan;
use sip::Message;

use super::sites;

/// CSCFs by operator, and which of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Node {
    Ue(u16),
    PCscf(u8, u8),
    ICscf(u8, u8),
    SCscf(u8, u8),
    /// A user agent outside of every operator's network.
    Partner,
}

/// The first of their kind at the first operator, which is all there is unless the options say more.
impl Node {
    pub(crate) const P_CSCF: Self = Self::PCscf(0, 0);
    pub(crate) const I_CSCF: Self = Self::ICscf(0, 0);
    pub(crate) const S_CSCF: Self = Self::SCscf(0, 0);
    pub(crate) const S_CSCF_2: Self = Self::SCscf(0, 1);

    /// Whose network it is in; a UE is in nobody's.
    pub(crate) fn operator(self) -> Option<u8> {
        match self {
            Self::PCscf(operator, _) | Self::ICscf(operator, _) | Self::SCscf(operator, _) => Some(operator),
            Self::Ue(_) | Self::Partner => None,
        }
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (role, operator, which) = match *self {
            Self::Ue(n) => return write!(f, "UE{n}"),
            Self::Partner => return f.write_str("Partner"),
            Self::PCscf(operator, which) => ("P-CSCF", operator, which),
            Self::ICscf(operator, which) => ("I-CSCF", operator, which),
            Self::SCscf(operator, which) => ("S-CSCF", operator, which),
        };
        f.write_str(role)?;
        if which > 0 {
            write!(f, "{}", which + 1)?;
        }
        match operator {
            0 => Ok(()),
            _ => write!(f, ".{}", char::from(b'a' + operator)),
        }
    }
}

/// Whether the policies of the kernel want ESP at this end.
pub(crate) fn protects(end: SocketAddr) -> bool {
    let ports = match sites::owner(end) {
        Node::Ue(_) => plan::ue_ports(),
        Node::PCscf(..) if sites::is_gm(end) => plan::p_cscf_ports(),
        _ => return false,
    };
    end.port() == ports.0.get() || ports.1.contains(end.port())
}

pub(crate) fn line(from: Node, to: Node, message: &Message, protected: bool) -> String {
    let what = message.status().map_or_else(|| message.method().as_str().to_owned(), |s| s.to_string());
    let esp = if protected { " in ESP" } else { "" };
    format!("{from} -> {to} {what}{esp}")
}
