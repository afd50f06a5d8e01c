//! Subscriber keys at rest: sealed with AES-256-GCM under one key of the operator, each bound to its owner.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, Key, KeyInit, Nonce};
use aka::{Algorithm, Impi, K, Opc, Topc, Tuak, TuakK, TuakSettings};
use zeroize::Zeroizing;

use crate::StoreError;

const NONCE: usize = 12;
const FORM: u8 = 1;
/// What the octets are for: one that was made for another purpose, or another subscriber, does not open.
const KEYS: &[u8] = b"akasec hss subscriber keys 1\0";
const CHECK: &[u8] = b"akasec hss key check 1\0";

/// The key that seals all others. It exists in memory, in a file of its own, and nowhere else.
pub struct MasterKey(Aes256Gcm);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

/// Why there is no master key. The texts fit after "failed to …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    #[error("read the key file {path}: {source}; `hss new-key --out {path}` makes one")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "use the key file {path}: others than its owner may read or write it; `chmod 600 {path}`, and consider a new key"
    )]
    Permissions { path: PathBuf },
    #[error("use the key file {path}: 64 hex digits wanted")]
    Content { path: PathBuf },
    #[error("write the key file {path}: it exists, and may be in use; give the path of a new file")]
    Exists { path: PathBuf },
    #[error("write the key file {path}: {source}")]
    Unwritable { path: PathBuf, source: io::Error },
    #[error(
        "find the credential {name}: CREDENTIALS_DIRECTORY is not set; give the unit LoadCredential={name}:FILE"
    )]
    NoCredentials { name: Box<str> },
    #[error("use the credential {name:?}: a file name wanted, without a folder")]
    CredentialName { name: Box<str> },
    #[error("make a key: {0}")]
    Random(#[from] getrandom::Error),
}

impl MasterKey {
    pub fn from_bytes(octets: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(&Key::<Aes256Gcm>::from(*octets)))
    }

    /// From a file of 64 hex digits that only its owner may touch.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        Self::read(path, 0o077)
    }

    /// From `LoadCredential=` or `LoadCredentialEncrypted=` of a systemd unit.
    pub fn from_credential(name: &str) -> Result<Self, KeyError> {
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(KeyError::CredentialName { name: name.into() });
        }
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
        let folder = folder.ok_or_else(|| KeyError::NoCredentials { name: name.into() })?;
        // systemd guards that folder itself; with ACLs the group bits of a file there say nothing.
        Self::read(&Path::new(&folder).join(name), 0o007)
    }

    fn read(path: &Path, forbidden: u32) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.mode() & forbidden != 0 {
            return Err(KeyError::Permissions { path: path.to_owned() });
        }
        let mut text = Zeroizing::new(Vec::with_capacity(256));
        file.take(128).read_to_end(&mut text).map_err(unreadable)?;
        let mut octets = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_ascii(), &mut *octets)
            .map_err(|_| KeyError::Content { path: path.to_owned() })?;
        Ok(Self::from_bytes(&octets))
    }

    /// Makes a new key and writes it to a new file, mode 0600. One that is there stays: it may be in use.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let unwritable = |source| KeyError::Unwritable { path: path.to_owned(), source };
        let mut octets = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *octets)?;
        let text = Zeroizing::new(hex::encode(*octets));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = made.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
            _ => unwritable(error),
        })?;
        file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(unwritable)?;
        file.sync_all().map_err(unwritable)?;
        sync_folder(path).map_err(unwritable)?;
        Ok(Self::from_bytes(&octets))
    }

    /// For the database: tells later whether a key is the one that has sealed it.
    pub fn check_value(&self) -> Result<Vec<u8>, StoreError> {
        self.seal_octets(CHECK, b"")
    }

    /// Whether `value` was made by [`MasterKey::check_value`] of this very key.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.open_octets(CHECK, value).is_some_and(|plain| plain.is_empty())
    }

    /// The keys of a subscriber, for the database.
    pub fn seal(&self, impi: &Impi, algorithm: &Algorithm) -> Result<Vec<u8>, StoreError> {
        self.seal_octets(&purpose(impi), &plain(algorithm))
    }

    pub fn open(&self, impi: &Impi, sealed: &[u8]) -> Result<Algorithm, StoreError> {
        let plain = self.open_octets(&purpose(impi), sealed);
        plain.and_then(|plain| parse(&plain)).ok_or_else(|| StoreError::damaged(impi, "sealed key"))
    }

    /// A random nonce each: safe for 2^32 sealings under one key, more than there are subscribers.
    fn seal_octets(&self, purpose: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Database {
            doing: "seal a key",
            source,
            remedy: "",
        };
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| failed(error.into()))?;
        let payload = Payload { msg: plain, aad: purpose };
        let sealed = self.0.encrypt(&Nonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| failed("the cipher refused it".into()))?;
        Ok([&[FORM], &nonce[..], &sealed].concat())
    }

    fn open_octets(&self, purpose: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (form, rest) = sealed.split_first()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        if *form != FORM {
            return None;
        }
        let payload = Payload { msg: rest, aad: purpose };
        self.0.decrypt(&Nonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }
}

/// A file that was made in a folder is there after a crash only once the folder is on the disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

fn purpose(impi: &Impi) -> Vec<u8> {
    [KEYS, impi.as_str().as_bytes()].concat()
}

const MILENAGE: u8 = 1;
const TUAK: u8 = 2;

/// Milenage: 1, K, OPc. TUAK: 2, iterations, bits of RES, TOPc, K.
fn plain(algorithm: &Algorithm) -> Zeroizing<Vec<u8>> {
    // As large as the largest: a buffer that grows leaves an unwiped copy behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(128));
    match algorithm {
        Algorithm::Milenage(milenage) => {
            octets.push(MILENAGE);
            octets.extend_from_slice(milenage.k().as_bytes());
            octets.extend_from_slice(milenage.opc().as_bytes());
        }
        Algorithm::Tuak(tuak) => {
            let TuakSettings { res_length, iterations } = tuak.settings();
            octets.extend_from_slice(&[TUAK, iterations.get(), res_length.bits()]);
            octets.extend_from_slice(tuak.topc().as_bytes());
            octets.extend_from_slice(tuak.k().as_bytes());
        }
    }
    octets
}

fn parse(octets: &[u8]) -> Option<Algorithm> {
    let (kind, rest) = octets.split_first()?;
    match *kind {
        MILENAGE => {
            let (k, opc) = rest.split_at_checked(16)?;
            Some(Algorithm::milenage(K::try_from(k).ok()?, Opc::try_from(opc).ok()?))
        }
        TUAK => {
            let ([iterations, bits], rest) = rest.split_first_chunk::<2>()?;
            let (topc, k) = rest.split_at_checked(32)?;
            let k = match k.len() {
                16 => TuakK::from(<[u8; 16]>::try_from(k).ok()?),
                _ => TuakK::from(<[u8; 32]>::try_from(k).ok()?),
            };
            let settings = TuakSettings {
                res_length: aka::ResLength::from_str(&bits.to_string()).ok()?,
                iterations: (*iterations).try_into().ok()?,
            };
            Some(Algorithm::Tuak(Tuak::new(k, Topc::try_from(topc).ok()?, settings)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use aka::{Amf, Rand, ResLength, Sqn};

    use super::*;

    fn impi(user: &str) -> Impi {
        Impi::new(&format!("{user}@home.example")).unwrap()
    }

    fn algorithms() -> Vec<Algorithm> {
        let tuak = |k: TuakK, res_length| {
            let settings = TuakSettings { res_length, iterations: 3.try_into().unwrap() };
            Algorithm::Tuak(Tuak::new(k, Topc::from_bytes([3; 32]), settings))
        };
        vec![
            Algorithm::milenage(K::from_bytes([1; 16]), Opc::from_bytes([2; 16])),
            tuak(TuakK::from([4; 16]), ResLength::Octets4),
            tuak(TuakK::from([5; 32]), ResLength::Octets16),
        ]
    }

    #[test]
    fn what_is_sealed_opens_to_the_same_keys() {
        let key = MasterKey::from_bytes(&[9; 32]);
        let vector = |algorithm: &Algorithm| {
            algorithm.vector(Rand::from_bytes([7; 16]), Sqn::default(), Amf::from_bytes([0, 0]))
        };
        for algorithm in algorithms() {
            let sealed = key.seal(&impi("a"), &algorithm).unwrap();
            assert_ne!(sealed, key.seal(&impi("a"), &algorithm).unwrap(), "another nonce");
            let opened = key.open(&impi("a"), &sealed).unwrap();
            assert_eq!(vector(&opened), vector(&algorithm));
            assert_eq!(*plain(&opened), *plain(&algorithm));
        }
    }

    #[test]
    fn what_is_damaged_moved_or_sealed_under_another_key_does_not_open() {
        let key = MasterKey::from_bytes(&[9; 32]);
        for algorithm in algorithms() {
            let sealed = key.seal(&impi("a"), &algorithm).unwrap();
            assert!(key.open(&impi("b"), &sealed).is_err(), "of another subscriber");
            assert!(MasterKey::from_bytes(&[8; 32]).open(&impi("a"), &sealed).is_err());
            assert!(!key.matches(&sealed), "of another purpose");
            assert!(key.open(&impi("a"), &key.check_value().unwrap()).is_err());
            for at in 0..sealed.len() {
                let mut damaged = sealed.clone();
                damaged[at] ^= 0x40;
                assert!(key.open(&impi("a"), &damaged).is_err(), "octet {at}");
                assert!(key.open(&impi("a"), &sealed[..at]).is_err(), "cut at {at}");
            }
        }
        let error = key.open(&impi("a"), b"").unwrap_err().to_string();
        assert!(error.contains("a@home.example"), "{error}");
    }

    #[test]
    fn plain_octets_of_any_kind_are_read_or_refused() {
        for length in 0..80 {
            for kind in 0..4 {
                let octets: Vec<u8> = std::iter::once(kind).chain(vec![32; length]).collect();
                if let Some(algorithm) = parse(&octets) {
                    assert_eq!(*plain(&algorithm), octets);
                }
            }
        }
    }

    #[test]
    fn a_key_checks_itself() {
        let key = MasterKey::from_bytes(&[9; 32]);
        let value = key.check_value().unwrap();
        assert!(key.matches(&value));
        assert!(!MasterKey::from_bytes(&[8; 32]).matches(&value));
        assert!(!key.matches(b"") && !key.matches(&value[1..]));
        assert_eq!(format!("{key:?}"), "<secret>");
    }

    #[test]
    fn a_key_file_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hss.key");
        let unreadable = MasterKey::from_file(&path).unwrap_err();
        assert!(unreadable.to_string().contains("hss new-key"), "{unreadable}");
        let value = MasterKey::create(&path).unwrap().check_value().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(MasterKey::from_file(&path).unwrap().matches(&value));
        assert!(matches!(MasterKey::create(&path), Err(KeyError::Exists { .. })), "one that is there stays");
        for mode in [0o640, 0o604, 0o620, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(MasterKey::from_file(&path), Err(KeyError::Permissions { .. })), "{mode:o}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for wrong in ["", "00", &"0".repeat(63), &"0".repeat(66), &"x".repeat(64), &"0".repeat(4096)] {
            std::fs::write(&path, wrong).unwrap();
            let error = MasterKey::from_file(&path).unwrap_err();
            assert!(matches!(error, KeyError::Content { .. }), "{wrong}");
        }
        for name in ["", "a/b", "..", ".hidden"] {
            assert!(matches!(MasterKey::from_credential(name), Err(KeyError::CredentialName { .. })));
        }
    }
}
