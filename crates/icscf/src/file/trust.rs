//! The trust domain in the I-CSCF's file: `[trust]`, and the certificate names of each `[[partner]]`.
//!
//! ```toml
//! [trust]
//! incoming = ["IV", "I"]      # alternatives; "II+V": both must agree
//! outgoing = ["IV", "I"]
//! own_prefixes = ["10.0.0.0/8"]
//! other_prefixes = []
//! without_privacy = "remove"  # or "send": the asserted identity of who asks for no privacy, to untrusted networks
//! # dedicated = "untrusted"   # the whole node is for the Internet
//!
//! [[trust.interface]]
//! address = "10.30.0.2:5060"
//! protection = "Zb"           # Za, Zb, TLS, physical, none
//! role = "own"                # own, other, untrusted
//!
//! [[partner]]
//! domain = "partner.example"
//! class = "other"
//! certificate = "icscf.partner.example"
//! ```

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use trust::{BorderPolicy, Certificate, Interface, Prefix, Rule, Trust, TrustDomain, WithoutPrivacy};

use super::border::TransportWord;

/// `[trust]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFile {
    #[serde(default)]
    pub incoming: Rule,
    #[serde(default)]
    pub outgoing: Rule,
    #[serde(default)]
    pub own_prefixes: Vec<Prefix>,
    #[serde(default)]
    pub other_prefixes: Vec<Prefix>,
    /// The role of everything round this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedicated: Option<Trust>,
    #[serde(default)]
    pub without_privacy: WithoutPrivacy,
    #[serde(default)]
    pub interface: Vec<Interface>,
}

/// `[[partner]]`: another network, by the domain in its users' URIs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerFile {
    pub domain: String,
    #[serde(default = "other")]
    pub class: Trust,
    /// The name in the certificate of its nodes; without one, TLS proves nothing for this partner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// "HOST:PORT" of its entry; without one nothing is sent there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<String>,
    /// Ours, where requests to it leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<SocketAddr>,
    /// Without it UDP, or TCP where a request is too large for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportWord>,
    /// Where its nodes are, beside the next hop.
    #[serde(default)]
    pub addresses: Vec<Prefix>,
    /// It sees tokens in place of our nodes.
    #[serde(default)]
    pub hide: bool,
}

fn other() -> Trust {
    Trust::Other
}

impl TrustFile {
    /// The domain with these partners in it.
    pub fn domain(&self, partners: &[PartnerFile]) -> TrustDomain {
        let named = |partner: &PartnerFile| {
            let name = partner.certificate.as_deref()?;
            Some(Certificate { name: name.into(), class: partner.class })
        };
        TrustDomain {
            incoming: self.incoming.clone(),
            outgoing: self.outgoing.clone(),
            interfaces: self.interface.clone(),
            certificates: partners.iter().filter_map(named).collect(),
            own_prefixes: self.own_prefixes.clone(),
            other_prefixes: self.other_prefixes.clone(),
            dedicated: self.dedicated,
        }
    }

    pub fn policy(&self) -> BorderPolicy {
        BorderPolicy { without_privacy: self.without_privacy }
    }
}

#[cfg(test)]
mod tests {
    use sip::Transport;
    use trust::{Direction, Peer, Protection};

    use super::*;
    use crate::file::File;

    const LEAST: &str = r#"
        address = "10.30.0.2:5060"
        home_domain = "home.example"
        trusted_peers = ["10.30.0.1"]
        [cx]
        peer = "10.30.0.9:3868"
        origin_host = "icscf.home.example"
        origin_realm = "home.example"
        destination_realm = "home.example"
        [[s_cscf]]
        name = "sip:10.30.0.3:5060"
    "#;

    fn read(extra: &str) -> Result<File, String> {
        toml::from_str(&format!("{LEAST}\n{extra}")).map_err(|error| error.to_string())
    }

    #[test]
    fn prv_18_the_page_shows_a_file_that_is_read() {
        let page = include_str!("trust.rs").lines().filter_map(|line| line.strip_prefix("//!"));
        let page: Vec<_> = page.skip_while(|line| line.trim() != "```toml").skip(1).collect();
        let example: Vec<_> = page.iter().take_while(|line| line.trim() != "```").copied().collect();
        let file = read(&example.join("\n")).unwrap();
        let domain = file.trust.as_ref().unwrap().domain(&file.partner);
        assert_eq!(domain.interfaces[0].protection, Protection::Zb);
        let names = ["icscf.partner.example".into()];
        let border: SocketAddr = "192.0.2.1:5061".parse().unwrap();
        let mut peer = Peer {
            interface: Some(border),
            remote: "198.51.100.1".parse().unwrap(),
            transport: Transport::Tls,
            names: &names,
            route: None,
        };
        assert_eq!(domain.decide(Direction::Incoming, &peer), Trust::Other);
        peer.interface = Some("10.30.0.2:5060".parse().unwrap());
        peer.names = &[];
        assert_eq!(domain.decide(Direction::Outgoing, &peer), Trust::Own);
        // What is in force is printed as it can be read again.
        let printed = toml::to_string(&file).unwrap();
        let again: File = toml::from_str(&printed).unwrap();
        assert_eq!(again.trust.unwrap().domain(&again.partner), domain);
    }

    #[test]
    fn prv_12_a_file_that_trusts_by_reverse_dns_is_refused() {
        let error = read("[trust]\nincoming = [\"IV\", \"reverse-dns\"]").unwrap_err();
        assert!(error.contains("reverse DNS") && error.contains("use I (tls)"), "{error}");
        for bad in [
            "[trust]\nincoming = []",
            "[trust]\noutgoing = [\"VII\"]",
            "[trust]\nown_prefixes = [\"10.0.0.1/8\"]",
            "[trust]\nwithout_privacy = \"maybe\"",
            "[trust]\ntrusted = true",
            "[[trust.interface]]\naddress = \"10.30.0.2:5060\"\nprotection = \"Zc\"\nrole = \"own\"",
            "[[partner]]\ndomain = \"p.example\"\nclass = \"friend\"",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("").unwrap().trust.is_none());
    }
}
