//! Which names a certificate proves.

use rustls::pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

use super::TlsError;

/// The SIP domains that a certificate stands for, once its chain is verified.
///
/// //= RFC 5922 7.1
/// The hosts of `sip:` URIs without a user part; DNS names only where there is no such URI. The subject's common name
/// says nothing.
pub(crate) fn domains(certificate: &CertificateDer<'_>) -> Vec<Box<str>> {
    let Ok(parsed) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let mut names: Vec<Box<str>> = parsed.valid_uri_names().filter_map(host_of).collect();
    if names.is_empty() {
        names = dns_names(&parsed).collect();
    }
    names.sort();
    names.dedup();
    names
}

/// Whether the certificate carries this very DNS name, not through a wildcard.
pub(crate) fn carries(certificate: &CertificateDer<'_>, name: &str) -> bool {
    EndEntityCert::try_from(certificate)
        .is_ok_and(|parsed| dns_names(&parsed).any(|dns| *dns == *normal(name)))
}

/// The name that the certificate of a partner must carry.
pub(crate) fn partner(name: &str) -> Result<(ServerName<'static>, Box<str>), TlsError> {
    match ServerName::try_from(name.to_owned()) {
        Ok(server_name @ ServerName::DnsName(_)) => Ok((server_name, normal(name))),
        _ => Err(TlsError::BadName { name: name.into() }),
    }
}

/// //= RFC 5922 7.2
/// No wildcard stands for a domain.
fn dns_names(certificate: &EndEntityCert<'_>) -> impl Iterator<Item = Box<str>> {
    certificate.valid_dns_names().filter(|name| !name.contains('*')).map(normal)
}

fn host_of(uri: &str) -> Option<Box<str>> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") || rest.contains('@') {
        return None;
    }
    let host = rest.split([':', ';', '?']).next().unwrap_or_default();
    matches!(ServerName::try_from(host), Ok(ServerName::DnsName(_))).then(|| normal(host))
}

fn normal(name: &str) -> Box<str> {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into()
}
