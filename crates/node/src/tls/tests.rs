use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

use super::*;

/// An authority for one test, with its PEM files in a temporary folder.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).unwrap())
}

pub(crate) fn uri(uri: &str) -> SanType {
    SanType::URI(Ia5String::try_from(uri).unwrap())
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = folder.path().to_string_lossy().into_owned();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The files of a node with these names in subjectAltName, signed as `change` wants.
    pub(crate) fn sign(&self, names: &[SanType], change: impl FnOnce(&mut CertificateParams)) -> TlsFiles {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let files = TlsFiles {
            ca: self.certificate(),
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        set_mode(&files.key, 0o600);
        files
    }

    /// A node whose only name is a DNS name.
    pub(crate) fn host(&self, name: &str) -> TlsFiles {
        self.sign(&[dns(name)], |_| {})
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn files_that_are_wrong_are_told_apart() {
    let authority = Authority::new();
    let good = authority.host("border.a.example");
    let load = |files: &TlsFiles| files.load().map(drop);
    assert_eq!(good.load().unwrap().names(), ["border.a.example".into()]);

    for mode in [0o604, 0o644, 0o620, 0o666] {
        set_mode(&good.key, mode);
        let error = load(&good).unwrap_err();
        assert!(matches!(error, TlsError::Exposed { mode: found, .. } if found == mode), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    set_mode(&good.key, 0o640);
    load(&good).unwrap();

    let mixed = TlsFiles { key: authority.host("other.a.example").key, ..good.clone() };
    assert!(matches!(load(&mixed), Err(TlsError::Mismatch { .. })));
    let swapped = TlsFiles { certificate: good.key.clone(), ..good.clone() };
    assert!(matches!(load(&swapped), Err(TlsError::NoCertificate { .. })));
    let no_key = authority.folder.path().join("no-key.pem");
    std::fs::copy(&good.certificate, &no_key).unwrap();
    set_mode(&no_key, 0o600);
    assert!(matches!(load(&TlsFiles { key: no_key, ..good.clone() }), Err(TlsError::NoKey { .. })));
    let missing = TlsFiles { ca: authority.folder.path().join("missing.pem"), ..good };
    assert!(load(&missing).unwrap_err().to_string().contains("missing.pem"));
    let nameless =
        authority.sign(&[], |params| params.distinguished_name.push(DnType::CommonName, "a.example"));
    let error = load(&nameless).unwrap_err();
    assert!(error.to_string().contains("subjectAltName"), "a common name is none: {error}");
}

#[test]
fn which_names_a_certificate_proves() {
    let authority = Authority::new();
    let names = |names: &[SanType]| {
        let files = authority.sign(names, |params| {
            params.distinguished_name.push(DnType::CommonName, "common.example");
        });
        domains(&certificates(&files.certificate).unwrap()[0])
    };
    let only_dns = [dns("Border.A.example"), dns("a.example"), dns("a.example"), dns("*.a.example")];
    assert_eq!(names(&only_dns), ["a.example".into(), "border.a.example".into()]);
    let with_uri = [dns("border.a.example"), uri("SIP:A.example"), uri("sip:b.example:5061;transport=tls")];
    assert_eq!(names(&with_uri), ["a.example".into(), "b.example".into()], "a SIP URI hides DNS names");
    let users = [
        uri("sip:alice@a.example"),
        uri("https://a.example"),
        uri("sips:a.example"),
        uri("sip:"),
        uri("sip:192.0.2.1"),
        uri("sip:a b"),
        uri("sip"),
        dns("c.example"),
    ];
    assert_eq!(names(&users), ["c.example".into()], "none of these URIs names a domain");
    let address = SanType::IpAddress("192.0.2.1".parse().unwrap());
    assert!(names(&[address]).is_empty());
    assert!(domains(&CertificateDer::from(vec![0x30, 0x82, 0xff])).is_empty(), "not a certificate");
}

#[test]
fn a_partner_is_named_by_a_dns_name() {
    assert_eq!(&*partner("Border.B.example.").unwrap().1, "border.b.example");
    for name in ["", "192.0.2.1", "::1", "a b", "*.b.example", "sip:b.example"] {
        let error = partner(name).unwrap_err();
        assert!(error.to_string().contains("DNS name"), "{name}: {error}");
    }
}

#[test]
fn an_identity_prints_its_names_and_no_key() {
    let identity = Authority::new().host("border.a.example").load().unwrap();
    assert_eq!(format!("{identity:?}"), "TlsIdentity { names: [\"border.a.example\"], .. }");
}
