//! What an operator of several does at its border, as its I-CSCF's configuration.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use hiding::{Hiding, Inside, Key, Keys};
use node::TlsFiles;
use node::sip_shell::TlsListeners;
use sip::Transport;
use trust::{
    BorderPolicy, Certificate, Interface, Prefix, Protection, Rule, Trust, TrustDomain, WithoutPrivacy,
};

use crate::operator::Operator;
use crate::plan;

/// What an operator does at its border.
#[derive(Debug, Clone, Default)]
pub struct Border {
    /// Others see tokens in the place of its nodes.
    pub hides: bool,
    /// What strangers hear of a user who says nothing of privacy.
    pub without_privacy: WithoutPrivacy,
    /// TLS between the operators. Without: TCP in clear, each believing the other's address.
    pub tls: Option<TlsFiles>,
}

const TLS_PORT: u16 = 5061;

impl Border {
    /// The I-CSCF's part in clear and what it needs for TLS.
    pub(crate) fn config(&self, own: Operator) -> Result<(icscf::Border, Vec<TlsListeners>)> {
        let other = own.partner();
        let (clear, secure) = (own.border(), SocketAddr::new(own.border().ip(), TLS_PORT));
        let (next_hop, interface, transport) = match &self.tls {
            Some(_) => (SocketAddr::new(other.border().ip(), TLS_PORT), secure, Transport::Tls),
            None => (other.border(), clear, Transport::Tcp),
        };
        let certificate: Box<str> = other.i_cscf_name().into();
        let partner = icscf::Partner {
            domains: vec![other.home_domain().into()],
            next_hop,
            transport: Some(transport),
            interface,
            addresses: Vec::new(),
            certificate: self.tls.is_some().then(|| certificate.clone()),
            role: Some(Trust::Other),
            hide: self.hides,
        };
        let stranger = icscf::Partner {
            domains: vec![plan::FOREIGN_DOMAIN.into()],
            next_hop: SocketAddr::new(plan::FOREIGN, plan::SIP_PORT),
            transport: None,
            interface: clear,
            addresses: Vec::new(),
            certificate: None,
            role: Some(Trust::Untrusted),
            hide: self.hides,
        };
        let listeners = match &self.tls {
            Some(files) => vec![TlsListeners {
                identity: files.load()?,
                listen: vec![secure],
                partners: vec![(next_hop, certificate.clone())],
            }],
            None => Vec::new(),
        };
        let border = icscf::Border {
            interfaces: if self.tls.is_some() { vec![clear, secure] } else { vec![clear] },
            secure: if self.tls.is_some() { vec![secure] } else { Vec::new() },
            alike: Vec::new(),
            partners: vec![partner, stranger],
            trust: self.trust(own, other, certificate)?,
            policy: BorderPolicy { without_privacy: self.without_privacy },
            hiding: if self.hides { Some(Arc::new(hiding(own)?)) } else { None },
        };
        Ok((border, listeners))
    }

    fn trust(&self, own: Operator, other: Operator, certificate: Box<str>) -> Result<TrustDomain> {
        let interface = |address, protection, role| Interface { address, protection, role };
        let (border, inside) = (own.border().ip(), own.i_cscf());
        let rule = Rule::parse(if self.tls.is_some() { &["I"] } else { &["V"] })?;
        let prefix = |text: String| text.parse::<Prefix>();
        Ok(TrustDomain {
            incoming: rule.clone(),
            outgoing: rule,
            interfaces: vec![
                interface(inside, Protection::Physical, Trust::Own),
                // The lab's switch is a wire of theirs.
                interface(SocketAddr::new(border, plan::SIP_PORT), Protection::Physical, Trust::Untrusted),
                interface(SocketAddr::new(border, TLS_PORT), Protection::Tls, Trust::Untrusted),
            ],
            certificates: vec![Certificate { name: certificate, class: Trust::Other }],
            own_prefixes: Vec::new(),
            other_prefixes: vec![prefix(format!("{}/32", other.border().ip()))?],
            dedicated: None,
        })
    }
}

/// Hides what [`inside`] says.
fn hiding(operator: Operator) -> Result<Hiding> {
    Ok(Hiding::new(&operator.home_domain(), inside(operator)?, Keys::one(1, Key::new(&[0x5a; 16])))?)
}

/// What nobody else needs to know of an operator: its core, and the P-CSCF also as UEs know it.
pub fn inside(operator: Operator) -> Result<Inside> {
    let ((core, core_length), p_cscf) = (operator.core_prefix(), operator.p_cscf(plan::Family::V4).ip());
    let p_cscf_v6 = operator.p_cscf(plan::Family::V6).ip();
    let prefixes = [format!("{core}/{core_length}"), format!("{p_cscf}/32"), format!("{p_cscf_v6}/128")];
    let border = operator.border().ip().to_string();
    Ok(Inside::new([&*operator.home_domain()], prefixes.iter().map(String::as_str), [&*border])?)
}
