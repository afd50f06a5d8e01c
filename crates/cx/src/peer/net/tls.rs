//! TLS from the first octet, with certificates on both ends that name the node's Origin-Host.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CommonState, RootCertStore};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use zeroize::{Zeroize, Zeroizing};

use crate::peer::connection::Proof;

/// A file larger than this is no PEM file of ours.
const LONGEST_FILE: u64 = 1024 * 1024;

/// The PEM files of `[cx.tls]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFile {
    /// Certificates of the authorities that sign for our peers.
    pub ca: PathBuf,
    /// Ours, and what stands between it and the authority; its subjectAltName holds our Origin-Host.
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
    #[error("use {certificate}: it does not name {host} (in subjectAltName)")]
    WrongName { certificate: PathBuf, host: Box<str> },
    #[error("use {path}: no peer can be checked with it: {source}")]
    Authority { path: PathBuf, source: rustls::server::VerifierBuilderError },
}

/// One node's certificate and whom it trusts.
#[derive(Debug, Clone)]
pub struct Tls {
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
}

impl TlsFile {
    /// Reads and checks all three. `host` is the Origin-Host the certificate must name.
    pub fn load(&self, host: &str) -> Result<Tls, TlsError> {
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
        let chain = certificates(&self.certificate)?;
        if !chain.first().is_some_and(|certificate| names(certificate, host)) {
            return Err(TlsError::WrongName { certificate: self.certificate.clone(), host: host.into() });
        }
        let mut key = private_key(&self.key)?;
        let signing = ring::sign::any_supported_type(&key).map_err(failed(&self.key));
        key.zeroize();
        let certified = CertifiedKey::new(chain, signing?);
        match certified.keys_match() {
            // Some kinds of key cannot be compared.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                let (certificate, key) = (self.certificate.clone(), self.key.clone());
                return Err(TlsError::Mismatch { certificate, key });
            }
            Err(error) => return Err(failed(&self.certificate)(error)),
        }
        let ours = Arc::new(SingleCertAndKey::from(certified));
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|source| TlsError::Authority { path: self.ca.clone(), source })?;
        let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(failed(&self.certificate))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::<SingleCertAndKey>::clone(&ours));
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed(&self.certificate))?
            .with_root_certificates(roots)
            .with_client_cert_resolver(ours);
        Ok(Tls { client: Arc::new(client), server: Arc::new(server) })
    }
}

impl Tls {
    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.client))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.server))
    }
}

/// What the other end has proved to be. Nothing, when it showed no certificate.
pub(super) fn proof(connection: &CommonState) -> Proof {
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    let shown = shown.map(|certificate| certificate.clone().into_owned());
    Box::new(move |host| shown.as_ref().is_some_and(|certificate| names(certificate, host)))
}

fn names(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
    ServerName::try_from(host).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
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
