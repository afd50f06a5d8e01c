//! The border in the I-CSCF's file: `[border]`, and where the nodes of each `[[partner]]` are.
//!
//! ```toml
//! [border]
//! listen = ["192.0.2.1:5060"]                  # UDP and TCP
//! listen_tls = ["192.0.2.1:5061"]
//! alike = ["192.0.2.2:5060"]                   # the other I-CSCFs of this network
//!
//! [border.tls]
//! ca = "/etc/akasec/tls/partners.pem"
//! certificate = "/etc/akasec/tls/icscf.pem"
//! key = "/etc/akasec/tls/icscf.key"
//!
//! [[partner]]
//! domain = "partner.example"
//! next_hop = "198.51.100.1:5061"
//! interface = "192.0.2.1:5061"                 # ours; TLS where it is one of listen_tls
//! addresses = ["198.51.100.0/24"]
//! certificate = "icscf.partner.example"
//! hide = true
//!
//! [[partner]]
//! domain = "internet.example"
//! class = "untrusted"
//! next_hop = "203.0.113.5:5060"
//! interface = "192.0.2.1:5060"
//! transport = "udp"
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use node::TlsFiles;
use node::config::{ConfigError, resolve};
use node::sip_shell::TlsListeners;
use serde::{Deserialize, Serialize};
use sip::Transport;

use super::{File, PartnerFile, bad};
use crate::{Border, Partner};

/// `[border]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BorderFile {
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    #[serde(default)]
    pub listen_tls: Vec<SocketAddr>,
    #[serde(default)]
    pub alike: Vec<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
}

/// The word for a partner's transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportWord {
    Udp,
    Tcp,
}

impl BorderFile {
    pub(super) async fn core(&self, file: &File) -> Result<Border, ConfigError> {
        let interfaces: Vec<SocketAddr> = self.listen.iter().chain(&self.listen_tls).copied().collect();
        if let Some(same) = interfaces.iter().find(|interface| interface.ip() == file.address.ip()) {
            return Err(bad(
                "border.listen",
                &same.to_string(),
                "another host address than the inside `address` has",
            ));
        }
        if interfaces.is_empty() {
            return Err(bad("border.listen", "nothing", "at least one address in listen or listen_tls"));
        }
        let trust = file
            .trust
            .as_ref()
            .ok_or_else(|| bad("trust", "nothing", "a [trust] section: a border must say who is trusted"))?;
        if let Some(hidden) = file.partner.iter().find(|partner| partner.hide && file.hiding.is_none()) {
            return Err(bad("partner.hide", &hidden.domain, "a [hiding] section beside it"));
        }
        let mut partners = Vec::new();
        for written in &file.partner {
            partners.extend(self.partner(written).await?);
        }
        // A way through another I-CSCF of ours must be seen too.
        let visible: Vec<SocketAddr> = interfaces.iter().chain(&self.alike).copied().collect();
        Ok(Border {
            secure: self.listen_tls.clone(),
            alike: self.alike.clone(),
            partners,
            trust: trust.domain(&file.partner),
            policy: trust.policy(),
            hiding: file.hiding(&visible)?.map(Arc::new),
            interfaces,
        })
    }

    /// `None`: it is known by its certificate only, and nothing is sent there.
    async fn partner(&self, written: &PartnerFile) -> Result<Option<Partner>, ConfigError> {
        let Some(next_hop) = &written.next_hop else { return Ok(None) };
        let interface = written.interface.ok_or_else(|| {
            bad("partner.interface", "nothing", "one of border.listen or border.listen_tls")
        })?;
        let secure = self.listen_tls.contains(&interface);
        if !secure && !self.listen.contains(&interface) {
            let wanted = "one of border.listen or border.listen_tls";
            return Err(bad("partner.interface", &interface.to_string(), wanted));
        }
        if secure && written.certificate.is_none() {
            return Err(bad("partner.certificate", "nothing", "the name its certificate has, for TLS"));
        }
        if secure && written.transport.is_some() {
            return Err(bad(
                "partner.transport",
                "udp or tcp",
                "nothing: the interface is one of listen_tls",
            ));
        }
        let transport = written.transport.map(|word| match word {
            TransportWord::Udp => Transport::Udp,
            TransportWord::Tcp => Transport::Tcp,
        });
        Ok(Some(Partner {
            domains: vec![written.domain.as_str().into()],
            next_hop: resolve(next_hop).await?,
            transport: if secure { Some(Transport::Tls) } else { transport },
            interface,
            addresses: written.addresses.clone(),
            certificate: written.certificate.as_deref().map(Into::into),
            role: Some(written.class),
            hide: written.hide,
        }))
    }

    /// What the sockets need beside the core's own configuration.
    pub(super) fn listeners(&self, border: &Border) -> Result<Vec<TlsListeners>, ConfigError> {
        if self.listen_tls.is_empty() {
            return Ok(Vec::new());
        }
        let files = self.tls.as_ref().ok_or_else(|| {
            bad("border.tls", "nothing", "ca, certificate and key: listen_tls has an address")
        })?;
        let identity = files.load().map_err(|error| {
            let text = error.to_string();
            bad("border.tls", &text, "readable PEM files that belong together")
        })?;
        let over_tls = border.partners.iter().filter(|partner| partner.transport == Some(Transport::Tls));
        let partners =
            over_tls.filter_map(|partner| Some((partner.next_hop, partner.certificate.clone()?))).collect();
        Ok(vec![TlsListeners { identity, listen: self.listen_tls.clone(), partners }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        [trust]
    "#;

    fn read(extra: &str) -> Result<Border, String> {
        let file: File = toml::from_str(&format!("{LEAST}\n{extra}")).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let config = runtime.block_on(file.core()).map_err(|error| error.to_string())?;
        config.border.ok_or_else(|| "no border".into())
    }

    #[test]
    fn the_page_shows_a_border_that_is_read() {
        let page = include_str!("border.rs").lines().filter_map(|line| line.strip_prefix("//!"));
        let page: Vec<_> = page.skip_while(|line| line.trim() != "```toml").skip(1).collect();
        let example: Vec<_> = page.iter().take_while(|line| line.trim() != "```").copied().collect();
        // The keys of what is hidden are not here.
        let border = read(&example.join("\n").replace("hide = true", "")).unwrap();
        assert_eq!(border.interfaces.len(), 2);
        assert_eq!(border.partners[0].transport, Some(Transport::Tls));
        assert_eq!(border.partners[1].transport, Some(Transport::Udp));
    }

    #[test]
    fn mistakes_are_named() {
        for (extra, word) in [
            ("[border]\nlisten = []", "border.listen"),
            ("[border]\nlisten = [\"10.30.0.2:5070\"]", "another host"),
            (
                "[border]\nlisten = [\"192.0.2.1:5060\"]\n[[partner]]\ndomain = \"p\"\nnext_hop = \"198.51.100.1:5060\"",
                "partner.interface",
            ),
            (
                "[border]\nlisten_tls = [\"192.0.2.1:5061\"]\n[[partner]]\ndomain = \"p\"\nnext_hop = \"198.51.100.1:5060\"\n\
                 interface = \"192.0.2.1:5061\"",
                "partner.certificate",
            ),
        ] {
            let error = read(extra).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
