//! The border of the network: the interfaces that other networks reach, who they are, and what they may see.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hiding::Hiding;
use sip::{Host, Transport, Uri};
use trust::{BorderPolicy, Prefix, Trust, TrustDomain};

/// An I-CSCF without one serves the inside of its network only.
#[derive(Debug, Clone)]
pub struct Border {
    /// Our addresses there; another host than the inside one.
    pub interfaces: Vec<SocketAddr>,
    /// Those of them that speak TLS.
    pub secure: Vec<SocketAddr>,
    /// Border addresses of the other I-CSCFs of this network: any of us may get what belongs to another.
    pub alike: Vec<SocketAddr>,
    pub partners: Vec<Partner>,
    pub trust: TrustDomain,
    pub policy: BorderPolicy,
    /// `None`: this network hides nothing.
    pub hiding: Option<Arc<Hiding>>,
}

/// Another network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// Requests for users of these, and of the domains below them, go there.
    pub domains: Vec<Box<str>>,
    pub next_hop: SocketAddr,
    /// `None`: UDP, or TCP where a request is too large for that.
    pub transport: Option<Transport>,
    /// Ours, where they leave.
    pub interface: SocketAddr,
    /// Where its nodes are, beside the next hop: requests within dialogs go to no others.
    pub addresses: Vec<Prefix>,
    /// The name that its certificate must have (TLS).
    pub certificate: Option<Box<str>>,
    /// What the routing table says of it (method III).
    pub role: Option<Trust>,
    /// Whether it sees tokens in place of our nodes.
    pub hide: bool,
}

impl Border {
    /// Who serves the users of this URI's domain: the longest name wins.
    pub(crate) fn partner_for(&self, uri: &Uri<'_>) -> Option<&Partner> {
        let served = |partner: &Partner| {
            partner.domains.iter().filter(|domain| below(uri.host, domain)).map(|domain| domain.len()).max()
        };
        self.partners
            .iter()
            .filter_map(|partner| Some((served(partner)?, partner)))
            .max_by_key(|(length, _)| *length)
            .map(|(_, partner)| partner)
    }

    /// Whose node this URI names.
    pub(crate) fn partner_of(&self, uri: &Uri<'_>) -> Option<&Partner> {
        match uri.host.ip() {
            Some(address) => self.partner_at(address),
            None => self.partner_for(uri),
        }
    }

    pub(crate) fn partner_at(&self, address: IpAddr) -> Option<&Partner> {
        self.partners.iter().find(|partner| {
            let known = || partner.addresses.iter().any(|prefix| prefix.contains(address));
            partner.next_hop.ip() == address || known()
        })
    }

    /// What the network at this address does not see; who is no partner sees nothing.
    pub(crate) fn hides_from(&self, address: IpAddr) -> Option<&Hiding> {
        match self.partner_at(address) {
            Some(partner) => self.hides(partner),
            None => self.hiding.as_deref(),
        }
    }

    pub(crate) fn hides(&self, partner: &Partner) -> Option<&Hiding> {
        self.hiding.as_deref().filter(|_| partner.hide)
    }
}

/// The domain itself, or a name below it.
fn below(host: Host<'_>, domain: &str) -> bool {
    let Host::Name(name) = host else { return false };
    let Some(at) = name.len().checked_sub(domain.len()) else { return false };
    let (Some(head), Some(tail)) = (name.get(..at), name.get(at..)) else { return false };
    tail.eq_ignore_ascii_case(domain) && (head.is_empty() || head.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_itself_and_what_is_below() {
        for (name, is) in
            [("b.example", true), ("x.B.example", true), ("xb.example", false), ("example", false)]
        {
            assert_eq!(below(Host::Name(name), "b.example"), is, "{name}");
        }
    }
}
