//! How the operators of a virtual network know each other.

use std::sync::Arc;

use hiding::{Hiding, Inside, Keys};
use icscf::{Border, Partner};
use sip::{Instant, Transport};
use trust::{BorderPolicy, Certificate, Interface, Prefix, Protection, Rule, Trust, TrustDomain};

use super::sites::{self, PARTNER, PARTNER_DOMAIN};
use super::{Network, Node, Options};

impl Options {
    /// Other operators are known by their addresses or their certificates; whoever else comes is a stranger.
    pub(super) fn border(&self, operator: u8, which: u8) -> Option<Border> {
        let address = sites::border(operator, which);
        let secure = sites::secure(address);
        let others: Vec<u8> = (0..self.operators).filter(|other| *other != operator).collect();
        let interface = |address| Interface { address, protection: Protection::Physical, role: Trust::Other };
        let tls = Interface { protection: Protection::Tls, ..interface(secure) };
        let rule = Rule::parse(if self.tls { &["tls"] } else { &["addresses"] }).unwrap();
        let trust = TrustDomain {
            incoming: rule.clone(),
            outgoing: rule,
            interfaces: vec![interface(address), tls],
            certificates: others
                .iter()
                .flat_map(|other| [0, 1].map(|which| certificate(*other, which)))
                .collect(),
            other_prefixes: others.iter().flat_map(|other| prefixes(*other)).collect(),
            ..TrustDomain::default()
        };
        let mut partners: Vec<Partner> =
            others.iter().map(|other| self.partner(operator, which, *other)).collect();
        partners.push(Partner {
            domains: vec![PARTNER_DOMAIN.into()],
            next_hop: PARTNER,
            transport: None,
            interface: address,
            addresses: Vec::new(),
            certificate: None,
            role: None,
            hide: true,
        });
        let alike =
            (0..self.i_cscfs).filter(|other| *other != which).map(|other| sites::border(operator, other));
        Some(Border {
            interfaces: vec![address, secure],
            secure: vec![secure],
            alike: alike.collect(),
            partners,
            trust,
            policy: BorderPolicy::default(),
            hiding: self.hiding.contains(&operator).then(|| Arc::new(self.hides(operator))),
        })
    }

    fn partner(&self, operator: u8, which: u8, other: u8) -> Partner {
        let (mine, theirs) = (sites::border(operator, which), sites::border(other, 0));
        let secured = |address| if self.tls { sites::secure(address) } else { address };
        Partner {
            domains: vec![sites::domain(other).into()],
            next_hop: secured(theirs),
            transport: self.tls.then_some(Transport::Tls),
            interface: secured(mine),
            addresses: prefixes(other),
            certificate: self.tls.then(|| sites::host(Node::ICscf(other, 0)).into()),
            role: None,
            hide: true,
        }
    }

    /// The same keys at all I-CSCFs of a network; the second one replaces the first when it is changed.
    fn hides(&self, operator: u8) -> Hiding {
        let inside: Vec<String> = prefixes_inside(operator);
        let borders: Vec<String> =
            (0..2).map(|which| sites::border(operator, which).ip().to_string()).collect();
        let inside = Inside::new(
            [sites::domain(operator)],
            inside.iter().map(String::as_str),
            borders.iter().map(String::as_str),
        );
        let first = "1 = 000102030405060708090a0b0c0d0e0f\n";
        let second = format!("2 = 101112131415161718191a1b1c1d1e1f\n{first}");
        let text = if self.second_key { second.as_str() } else { first };
        let keys = Keys::parse(text, |seconds| Instant::from_epoch(std::time::Duration::from_secs(seconds)));
        Hiding::new(sites::domain(operator), inside.unwrap(), keys.unwrap()).unwrap()
    }
}

impl Network {
    /// The I-CSCFs of this operator start anew, with another key in front of the one they had.
    pub(crate) fn change_keys(&mut self, operator: u8) {
        self.options.second_key = true;
        for which in 0..self.options.i_cscfs {
            let node = Node::ICscf(operator, which);
            let seed = [which; 32];
            self.icscfs.insert(node, icscf::ICscf::new(self.options.icscf(node), seed));
            self.deadlines.remove(&node);
        }
    }
}

fn certificate(operator: u8, which: u8) -> Certificate {
    Certificate { name: sites::host(Node::ICscf(operator, which)).into(), class: Trust::Other }
}

/// Where other networks see this one, its P-CSCFs with users of theirs included.
fn prefixes(operator: u8) -> Vec<Prefix> {
    let border = sites::border(operator, 0).ip();
    let p_cscf = sites::inside(Node::PCscf(operator, 0)).ip();
    [border, p_cscf].map(|address| network_of(address).parse().unwrap()).to_vec()
}

fn prefixes_inside(operator: u8) -> Vec<String> {
    let gm = [sites::gm(operator, 0).ip(), sites::gm(operator, 1).ip()];
    let inside = sites::inside(Node::SCscf(operator, 0)).ip();
    gm.into_iter().chain([inside]).map(network_of).collect()
}

fn network_of(address: std::net::IpAddr) -> String {
    let std::net::IpAddr::V4(address) = address else { panic!("the lab speaks IPv4") };
    let [a, b, c, _] = address.octets();
    format!("{a}.{b}.{c}.0/24")
}
