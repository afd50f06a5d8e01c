//! Certificates of operators, signed by one authority that all of them believe.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;
use node::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// Files in `folder` for each of the names, in their order.
pub fn certify<const N: usize>(folder: &Path, names: [String; N]) -> Result<[TlsFiles; N]> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let authority = folder.join("ca.pem");
    std::fs::write(&authority, params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    let mut files = Vec::new();
    for name in names {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![name.clone()])?.signed_by(&key, &issuer)?;
        let [certificate_file, key_file] = ["pem", "key"].map(|kind| folder.join(format!("{name}.{kind}")));
        std::fs::write(&certificate_file, certificate.pem())?;
        std::fs::write(&key_file, key.serialize_pem())?;
        std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600))?;
        files.push(TlsFiles { ca: authority.clone(), certificate: certificate_file, key: key_file });
    }
    files.try_into().map_err(|_| anyhow::anyhow!("as many files as names"))
}
