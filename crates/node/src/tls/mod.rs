//! Who we are and whom we believe, in TLS between operators: certificates and keys from PEM files.

mod names;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use zeroize::{Zeroize, Zeroizing};

pub(crate) use names::{carries, domains, partner};

/// A file larger than this is no PEM file of ours.
const LONGEST_FILE: u64 = 1024 * 1024;

/// The names a peer has proved in TLS, in lower case; see `names.rs` for which.
pub type PeerNames = Arc<[Box<str>]>;

/// The PEM files of a `[tls]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Certificates of the authorities that sign for our partners.
    pub ca: PathBuf,
    /// Ours, and what stands between it and the authority; its subjectAltName holds our domain.
    pub certificate: PathBuf,
    /// Its private key. Others must not be able to read the file.
    pub key: PathBuf,
}

/// Why TLS cannot be used. The texts fit after "failed to …".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    #[error("read {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("read {path}: no certificate in PEM (-----BEGIN CERTIFICATE-----) is in it")]
    NoCertificate { path: PathBuf },
    #[error("read {path}: no private key in PEM (-----BEGIN PRIVATE KEY-----) is in it")]
    NoKey { path: PathBuf },
    #[error("use {path}: others may read or change this private key (mode {mode:o}); run chmod 600 {path}")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("use {path}: {source}")]
    Certificate { path: PathBuf, source: rustls::Error },
    #[error("use {certificate}: it is for another private key than the one in {key}")]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error(
        "use {certificate}: it names no domain; have it signed anew with DNS:our.domain or URI:sip:our.domain in \
         subjectAltName"
    )]
    NoName { certificate: PathBuf },
    #[error("use {path}: no peer can be checked with it: {source}")]
    Authority { path: PathBuf, source: rustls::server::VerifierBuilderError },
    #[error("expect the certificate name {name}: it must be a DNS name, such as border.partner.example")]
    BadName { name: Box<str> },
}

/// One node's certificate and whom it believes. Cheap to clone.
#[derive(Clone)]
pub struct TlsIdentity {
    names: PeerNames,
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsIdentity").field("names", &self.names).finish_non_exhaustive()
    }
}

impl TlsFiles {
    /// Reads and checks all three.
    pub fn load(&self) -> Result<TlsIdentity, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Certificate { path, source }
        };
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.ca)? {
            roots.add(authority).map_err(failed(&self.ca))?;
        }
        let roots = Arc::new(roots);
        let (names, ours) = self.certified()?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|source| TlsError::Authority { path: self.ca.clone(), source })?;
        let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(failed(&self.certificate))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::<SingleCertAndKey>::clone(&ours));
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed(&self.certificate))?
            .with_root_certificates(roots)
            .with_client_cert_resolver(ours);
        // A resumed session would bring the names of a certificate that has expired since.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        client.resumption = Resumption::disabled();
        Ok(TlsIdentity { names, client: Arc::new(client), server: Arc::new(server) })
    }

    fn certified(&self) -> Result<(PeerNames, Arc<SingleCertAndKey>), TlsError> {
        let chain = certificates(&self.certificate)?;
        let names = chain.first().map(domains).unwrap_or_default();
        if names.is_empty() {
            return Err(TlsError::NoName { certificate: self.certificate.clone() });
        }
        let failed = |path: &Path, source| TlsError::Certificate { path: path.to_owned(), source };
        let mut key = private_key(&self.key)?;
        let signing = ring::sign::any_supported_type(&key);
        key.zeroize();
        let certified = CertifiedKey::new(chain, signing.map_err(|source| failed(&self.key, source))?);
        match certified.keys_match() {
            // Some kinds of key cannot be compared.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                let (certificate, key) = (self.certificate.clone(), self.key.clone());
                return Err(TlsError::Mismatch { certificate, key });
            }
            Err(source) => return Err(failed(&self.certificate, source)),
        }
        Ok((names.into(), Arc::new(SingleCertAndKey::from(certified))))
    }
}

impl TlsIdentity {
    /// What our own certificate says we are.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.client))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.server))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let (_, pem) = read(path)?;
    let no_certificate = || TlsError::NoCertificate { path: path.to_owned() };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|_| no_certificate())?;
    if found.is_empty() { Err(no_certificate()) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (file, pem) = read(path)?;
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    // Of the file that was read, whatever the path means by now. Its group may read it, as Debian's ssl-cert does.
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o037 != 0 {
        return Err(TlsError::Exposed { path: path.to_owned(), mode });
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::NoKey { path: path.to_owned() })
}

fn read(path: &Path) -> Result<(File, Zeroizing<Vec<u8>>), TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len().min(LONGEST_FILE);
    // In one piece: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    (&file).take(length).read_to_end(&mut text).map_err(unreadable)?;
    Ok((file, text))
}

#[cfg(test)]
pub(crate) mod tests;
