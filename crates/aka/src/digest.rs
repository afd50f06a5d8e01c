//! Digest-AKA: how an AKA challenge and its answer travel in SIP headers (RFC 3310, RFC 4169).
//!
//! qop is `auth` or absent; `auth-int` is not offered, since nothing here hashes a body.

use std::fmt;

use base64::Engine;
use hmac::{Hmac, KeyInit};
use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

use crate::types::BASE64;
use crate::{AkaError, Autn, Ck, Ik, Rand, Res};

/// Longer nonces are no challenge of any server we know, and are refused before they are decoded.
const LONGEST_NONCE: usize = 1024;

/// The digest algorithm of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    AkaV1Md5,
    AkaV2Md5,
    /// Of AKA over TLS; any access may be told to use it here.
    AkaV2Sha256,
}

impl DigestAlgorithm {
    pub const ALL: [Self; 3] = [Self::AkaV1Md5, Self::AkaV2Md5, Self::AkaV2Sha256];

    /// The token of the `algorithm` parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AkaV1Md5 => "AKAv1-MD5",
            Self::AkaV2Md5 => "AKAv2-MD5",
            Self::AkaV2Sha256 => "AKAv2-SHA-256",
        }
    }

    fn hash(self) -> Hash {
        match self {
            Self::AkaV1Md5 | Self::AkaV2Md5 => Hash::Md5,
            Self::AkaV2Sha256 => Hash::Sha256,
        }
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for DigestAlgorithm {
    type Err = AkaError;

    fn from_str(token: &str) -> Result<Self, AkaError> {
        let known = Self::ALL.into_iter();
        let mut matching = known.filter(|algorithm| algorithm.as_str().eq_ignore_ascii_case(token));
        matching.next().ok_or(AkaError::UnknownDigestAlgorithm)
    }
}

/// A nonce: RAND || AUTN || server data, in base64 on the wire.
///
/// The response hashes the text as it came, so keep that text too; `encode` may differ from it in padding.
//= RFC 3310 3.2
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce {
    pub rand: Rand,
    pub autn: Autn,
    pub server_data: Vec<u8>,
}

impl Nonce {
    pub fn new(rand: Rand, autn: Autn) -> Self {
        Self { rand, autn, server_data: Vec::new() }
    }

    pub fn encode(&self) -> String {
        BASE64.encode([self.rand.as_bytes(), self.autn.as_bytes(), self.server_data.as_slice()].concat())
    }

    pub fn decode(text: &str) -> Result<Self, AkaError> {
        if text.len() > LONGEST_NONCE {
            return Err(AkaError::NonceTooLong);
        }
        let octets = BASE64.decode(text).map_err(|_| AkaError::NonceEncoding)?;
        let too_short = AkaError::NonceTooShort { found: octets.len() };
        let (rand, rest) = octets.split_first_chunk().ok_or(too_short)?;
        let (autn, server_data) = rest.split_first_chunk().ok_or(too_short)?;
        Ok(Self {
            rand: Rand::from_bytes(*rand),
            autn: Autn::from_bytes(*autn),
            server_data: server_data.to_vec(),
        })
    }
}

/// What stands in for the password. Made from RES; octets, not text.
pub struct Password {
    octets: Zeroizing<Vec<u8>>,
    /// What the response is hashed with.
    hash: Hash,
}

impl Password {
    /// AKAv1 takes RES as it is; AKAv2 also binds IK and CK.
    //= RFC 3310 3.3
    //= RFC 4169 3
    pub fn new(algorithm: DigestAlgorithm, res: &Res, ik: &Ik, ck: &Ck) -> Self {
        let hash = algorithm.hash();
        let octets = match algorithm {
            DigestAlgorithm::AkaV1Md5 => res.as_bytes().to_vec(),
            DigestAlgorithm::AkaV2Md5 | DigestAlgorithm::AkaV2Sha256 => {
                // With capacity for the longest RES the vector never moves, so no unwiped copy stays behind.
                let mut key = Zeroizing::new(Vec::with_capacity(48));
                key.extend_from_slice(res.as_bytes());
                key.extend_from_slice(ik.as_bytes());
                key.extend_from_slice(ck.as_bytes());
                hash.prf(&key, b"http-digest-akav2-password").into_bytes()
            }
        };
        Self { octets: Zeroizing::new(octets), hash }
    }

    /// What a UE hashes when it answers with `auts`.
    //= RFC 3310 3.4
    pub fn empty(algorithm: DigestAlgorithm) -> Self {
        Self { octets: Zeroizing::new(Vec::new()), hash: algorithm.hash() }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// H of the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha256,
}

impl Hash {
    /// Over the parts joined by ':', as hex in lower case.
    fn of(self, parts: &[&[u8]]) -> HexDigits {
        match self {
            Self::Md5 => HexDigits::new(&joined::<Md5>(parts)),
            Self::Sha256 => HexDigits::new(&joined::<Sha256>(parts)),
        }
    }

    /// HMAC in base64.
    fn prf(self, key: &[u8], text: &[u8]) -> String {
        match self {
            Self::Md5 => BASE64.encode(*Zeroizing::new(hmac::<Hmac<Md5>, 16>(key, text))),
            Self::Sha256 => BASE64.encode(*Zeroizing::new(hmac::<Hmac<Sha256>, 32>(key, text))),
        }
    }
}

fn joined<D: Digest>(parts: &[&[u8]]) -> sha2::digest::Output<D> {
    let mut digest = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            digest.update(b":");
        }
        digest.update(part);
    }
    digest.finalize()
}

fn hmac<M: hmac::Mac + KeyInit, const N: usize>(key: &[u8], text: &[u8]) -> [u8; N] {
    // HMAC takes keys of every length: the error type is there for other MACs.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { unreachable!("HMAC takes any key") };
    mac.update(text);
    let mut octets = [0; N];
    octets.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(to, from)| *to = from);
    octets
}

/// The header values a response covers, each as it stands on the wire without its quotes.
#[derive(Debug, Clone, Copy)]
pub struct DigestInput<'a> {
    pub username: &'a str,
    pub realm: &'a str,
    pub nonce: &'a str,
    pub uri: &'a str,
    /// `REGISTER`; empty for the `rspauth` of Authentication-Info.
    pub method: &'a str,
    /// Present exactly when the challenge offered qop.
    pub qop: Option<QopInput<'a>>,
}

/// What `qop=auth` adds.
#[derive(Debug, Clone, Copy)]
pub struct QopInput<'a> {
    pub nc: &'a str,
    pub cnonce: &'a str,
}

impl DigestInput<'_> {
    //= RFC 2617 3.2.2
    pub fn response(&self, password: &Password) -> DigestResponse {
        let hash = password.hash;
        let a1 =
            Zeroizing::new(hash.of(&[self.username.as_bytes(), self.realm.as_bytes(), &password.octets]));
        let a2 = hash.of(&[self.method.as_bytes(), self.uri.as_bytes()]);
        let (nonce, a1, a2) = (self.nonce.as_bytes(), a1.as_bytes(), a2.as_bytes());
        DigestResponse(match self.qop {
            Some(qop) => hash.of(&[a1, nonce, qop.nc.as_bytes(), qop.cnonce.as_bytes(), b"auth", a2]),
            None => hash.of(&[a1, nonce, a2]),
        })
    }

    /// Whether `received` is the right response, in either case of its hex digits and in constant time.
    pub fn verify(&self, password: &Password, received: &str) -> bool {
        self.response(password).matches(received)
    }
}

/// A response: 32 hex digits in lower case, with SHA-256 64.
#[derive(Clone, Copy)]
pub struct DigestResponse(HexDigits);

impl DigestResponse {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }

    /// Whether `received` is the same, in either case of its hex digits and in constant time.
    pub fn matches(&self, received: &str) -> bool {
        HexDigits::received(received)
            .is_some_and(|received| received.as_bytes().ct_eq(self.0.as_bytes()).into())
    }
}

impl fmt::Display for DigestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A response that has not left yet lets whoever reads the log answer the challenge.
impl fmt::Debug for DigestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A hash as text in lower case.
#[derive(Clone, Copy, Zeroize)]
struct HexDigits {
    digits: [u8; 64],
    len: usize,
}

impl HexDigits {
    fn new(octets: &[u8]) -> Self {
        let mut text = Self { digits: [0; 64], len: 2 * octets.len().min(32) };
        let digits = b"0123456789abcdef";
        for (pair, octet) in text.digits.chunks_exact_mut(2).zip(octets) {
            for (digit, nibble) in pair.iter_mut().zip([octet >> 4, octet & 15]) {
                *digit = digits[usize::from(nibble)];
            }
        }
        text
    }

    /// What came over the wire, with its letters in lower case; `None` when it is longer than any hash.
    fn received(text: &str) -> Option<Self> {
        let mut received = Self { digits: [0; 64], len: text.len() };
        received.digits.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        for digit in &mut received.digits {
            let is_upper = u8::from(matches!(*digit, b'A'..=b'F')).into();
            digit.conditional_assign(&(*digit | 0x20), is_upper);
        }
        Some(received)
    }

    fn as_bytes(&self) -> &[u8] {
        self.digits.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
