//! K_v: the keys that all I-CSCFs of the network share, and the file they stand in.

use std::fmt;

use aes::Aes128;
use cbc::cipher::array::Array;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sip::Instant;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Octets of a block and of an IV.
pub(crate) const BLOCK: usize = 16;
/// Octets of the tag inside a token.
pub(crate) const TAG: usize = 8;
/// Old keys that may still decrypt, and the newest.
const MOST_KEYS: usize = 16;

/// One K_v, wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct Key {
    encryption: [u8; BLOCK],
    /// Of the tag, derived from K_v: one key for one purpose.
    integrity: [u8; 32],
}

impl Key {
    pub fn new(octets: &[u8; BLOCK]) -> Self {
        let mut integrity = hmac(octets, &[b"akasec topology hiding: tag"]);
        let key = Self { encryption: *octets, integrity };
        integrity.zeroize();
        key
    }

    /// AES-128-CBC in place. `octets` are whole blocks.
    //= TS 33.203 6.4
    pub(crate) fn encrypt(&self, iv: &[u8; BLOCK], octets: &mut [u8]) {
        let (blocks, _) = Array::slice_as_chunks_mut(octets);
        cbc::Encryptor::<Aes128>::new(&self.encryption.into(), &(*iv).into()).encrypt_blocks(blocks);
    }

    pub(crate) fn decrypt(&self, iv: &[u8; BLOCK], octets: &mut [u8]) {
        let (blocks, _) = Array::slice_as_chunks_mut(octets);
        cbc::Decryptor::<Aes128>::new(&self.encryption.into(), &(*iv).into()).decrypt_blocks(blocks);
    }

    /// HMAC-SHA-256 over the pieces, its first octets.
    pub(crate) fn tag(&self, pieces: &[&[u8]]) -> [u8; TAG] {
        let mut tag = [0; TAG];
        tag.copy_from_slice(&hmac(&self.integrity, pieces)[..TAG]);
        tag
    }
}

fn hmac(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    #[allow(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().into()
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// The newest key, which encrypts, and those before it, which only decrypt.
#[derive(Debug)]
pub struct Keys {
    newest: Held,
    older: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    id: u8,
    key: Key,
    /// When it stops to decrypt; without one it does so as long as it is there.
    until: Option<Instant>,
}

/// What is wrong with a key file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    #[error(
        "read line {line}: it must be ID = KEY or ID = KEY until SECONDS (ID 0 to 255, KEY 32 hex digits)"
    )]
    Line { line: usize },
    #[error("take line {line}: another key has this id")]
    RepeatedId { line: usize },
    #[error("take line {line}: the first key encrypts and has no end")]
    FirstEnds { line: usize },
    #[error("take line {line}: there are more than {MOST_KEYS} keys; old ones whose time is over can go")]
    TooMany { line: usize },
    #[error("find a key: the file has none (make one with: akasec hiding-key FILE)")]
    Empty,
}

impl Keys {
    /// One key, which has the id.
    pub fn one(id: u8, key: Key) -> Self {
        Self { newest: Held { id, key, until: None }, older: Vec::new() }
    }

    /// A key file: newest key first, one `ID = KEY` a line, behind which an old one may have `until SECONDS` (since
    /// 1970, which `instant` translates). Empty lines and those that start with `#` are left out.
    pub fn parse(text: &str, instant: impl Fn(u64) -> Instant) -> Result<Self, KeyFileError> {
        let mut newest: Option<Held> = None;
        let mut older: Vec<Held> = Vec::new();
        for (line, written) in text.lines().enumerate().map(|(at, written)| (at + 1, written.trim())) {
            if written.is_empty() || written.starts_with('#') {
                continue;
            }
            let held = Held::parse(written, &instant).ok_or(KeyFileError::Line { line })?;
            let Some(first) = &newest else {
                if held.until.is_some() {
                    return Err(KeyFileError::FirstEnds { line });
                }
                newest = Some(held);
                continue;
            };
            if first.id == held.id || older.iter().any(|other| other.id == held.id) {
                return Err(KeyFileError::RepeatedId { line });
            }
            if older.len() + 1 >= MOST_KEYS {
                return Err(KeyFileError::TooMany { line });
            }
            older.push(held);
        }
        newest.map(|newest| Self { newest, older }).ok_or(KeyFileError::Empty)
    }

    pub(crate) fn newest(&self) -> (u8, &Key) {
        (self.newest.id, &self.newest.key)
    }

    /// The key of that id, and whether it may decrypt now. There is always a key: a token with an id of nobody is
    /// worked on like any other, with the newest one.
    pub(crate) fn find(&self, id: u8, now: Instant) -> (&Key, Choice) {
        let mut all = std::iter::once(&self.newest).chain(&self.older);
        let held = all.find(|held| held.id == id).unwrap_or(&self.newest);
        let in_time = held.until.is_none_or(|until| now < until);
        (&held.key, held.id.ct_eq(&id) & Choice::from(u8::from(in_time)))
    }
}

impl Held {
    fn parse(line: &str, instant: impl Fn(u64) -> Instant) -> Option<Self> {
        let (id, rest) = line.split_once('=')?;
        let mut words = rest.split_ascii_whitespace();
        let mut octets = Zeroizing::new([0; BLOCK]);
        hex::decode_to_slice(words.next()?, octets.as_mut()).ok()?;
        let until = match (words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some("until"), Some(seconds), None) => Some(instant(seconds.parse().ok()?)),
            _ => return None,
        };
        Some(Self { id: id.trim_end().parse().ok()?, key: Key::new(&octets), until })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FILE: &str = "# newest first\n\n 7 = 000102030405060708090a0b0c0d0e0f\n\
                        6=101112131415161718191A1B1C1D1E1F until 1000\r\n5 = 202122232425262728292a2b2c2d2e2f\n";

    fn at(seconds: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(seconds))
    }

    fn parse(text: &str) -> Result<Keys, KeyFileError> {
        Keys::parse(text, at)
    }

    /// NIST SP 800-38A F.2.1 and F.2.2.
    #[test]
    fn thg_11_cbc_of_sp_800_38a() {
        let octets = |text: &str| hex::decode(text).unwrap();
        let key = Key::new(&octets("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap());
        let iv = octets("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
        let plain = octets(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
             30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
        );
        let cipher = octets(
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2\
             73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
        );
        let mut octets = plain.clone();
        key.encrypt(&iv, &mut octets);
        assert_eq!(octets, cipher);
        key.decrypt(&iv, &mut octets);
        assert_eq!(octets, plain);
    }

    #[test]
    fn a_key_is_not_shown() {
        let shown = format!("{:?}", parse(FILE).unwrap());
        assert_eq!(shown.matches("<secret>").count(), 3, "{shown}");
        assert!(!shown.contains("01, 2") && !shown.contains("0102") && !shown.contains("16, 17"), "{shown}");
    }

    #[test]
    fn thg_9_a_key_file_newest_first() {
        let keys = parse(FILE).unwrap();
        assert_eq!(keys.newest().0, 7);
        let usable = |id, now| bool::from(keys.find(id, at(now)).1);
        assert!(usable(7, 5000) && usable(5, 5000));
        assert!(usable(6, 999) && !usable(6, 1000));
        assert!(!usable(8, 0));
        // The one asked for, not just one that may.
        assert_eq!(keys.find(6, at(0)).0.encryption[0], 0x10);
    }

    #[test]
    fn mistakes_in_a_key_file_have_their_line() {
        let line = |line| KeyFileError::Line { line };
        let key = "000102030405060708090a0b0c0d0e0f";
        for (text, error) in [
            (String::new(), KeyFileError::Empty),
            ("# none\n".to_owned(), KeyFileError::Empty),
            (format!("1 = {key}\n256 = {key}"), line(2)),
            (format!("-1 = {key}"), line(1)),
            (format!("1 {key}"), line(1)),
            ("1 = 0001".to_owned(), line(1)),
            (format!("1 = {key}00"), line(1)),
            (format!("1 = {key} 9"), line(1)),
            (format!("1 = {key}\n2 = {key} until x"), line(2)),
            (format!("1 = {key}\n2 = {key} until 1 2"), line(2)),
            (format!("1 = {key} until 9"), KeyFileError::FirstEnds { line: 1 }),
            (format!("1 = {key}\n#\n1 = {key}"), KeyFileError::RepeatedId { line: 3 }),
            (format!("1 = {key}\n2 = {key}\n2 = {key}"), KeyFileError::RepeatedId { line: 3 }),
            (
                (0..17).map(|id| format!("{id} = {key}\n")).collect(),
                KeyFileError::TooMany { line: MOST_KEYS + 1 },
            ),
        ] {
            assert_eq!(parse(&text).err(), Some(error), "{text}");
        }
    }
}
