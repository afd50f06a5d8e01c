//! Digest-AKA: how an AKA challenge and its answer travel in SIP headers (RFC 3310, RFC 4169).
//!
//! qop is `auth` or absent; `auth-int` is not offered, since nothing here hashes a body.

use std::fmt;

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac as _};
use md5::{Digest, Md5};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::types::BASE64;
use crate::{AkaError, Autn, Ck, Ik, Rand, Res};

/// Longer nonces are no challenge of any server we know, and are refused before they are decoded.
const LONGEST_NONCE: usize = 1024;

/// The digest algorithm of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    AkaV1Md5,
    AkaV2Md5,
}

impl DigestAlgorithm {
    /// The token of the `algorithm` parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AkaV1Md5 => "AKAv1-MD5",
            Self::AkaV2Md5 => "AKAv2-MD5",
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
        let known = [Self::AkaV1Md5, Self::AkaV2Md5].into_iter();
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
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// AKAv1 takes RES as it is; AKAv2 also binds IK and CK.
    //= RFC 3310 3.3
    //= RFC 4169 3
    pub fn new(algorithm: DigestAlgorithm, res: &Res, ik: &Ik, ck: &Ck) -> Self {
        match algorithm {
            DigestAlgorithm::AkaV1Md5 => Self(Zeroizing::new(res.as_bytes().to_vec())),
            DigestAlgorithm::AkaV2Md5 => {
                // With capacity for the longest RES the vector never moves, so no unwiped copy stays behind.
                let mut key = Zeroizing::new(Vec::with_capacity(48));
                key.extend_from_slice(res.as_bytes());
                key.extend_from_slice(ik.as_bytes());
                key.extend_from_slice(ck.as_bytes());
                let prf = Zeroizing::new(hmac_md5(&key, b"http-digest-akav2-password"));
                Self(Zeroizing::new(BASE64.encode(*prf).into_bytes()))
            }
        }
    }

    /// What a UE hashes when it answers with `auts`.
    //= RFC 3310 3.4
    pub fn empty() -> Self {
        Self(Zeroizing::new(Vec::new()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

fn hmac_md5(key: &[u8], text: &[u8]) -> [u8; 16] {
    // HMAC takes keys of every length: the error type is there for other MACs.
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(key) else { unreachable!("HMAC takes any key") };
    mac.update(text);
    mac.finalize().into_bytes().into()
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
        let a1 = Zeroizing::new(hash(&[self.username.as_bytes(), self.realm.as_bytes(), &password.0]));
        let a2 = hash(&[self.method.as_bytes(), self.uri.as_bytes()]);
        let nonce = self.nonce.as_bytes();
        DigestResponse(match self.qop {
            Some(qop) => hash(&[&*a1, nonce, qop.nc.as_bytes(), qop.cnonce.as_bytes(), b"auth", &a2]),
            None => hash(&[&*a1, nonce, &a2]),
        })
    }

    /// Whether `received` is the right response, in either case of its hex digits and in constant time.
    pub fn verify(&self, password: &Password, received: &str) -> bool {
        self.response(password).matches(received)
    }
}

/// A response: 32 hex digits in lower case.
#[derive(Clone, Copy)]
pub struct DigestResponse([u8; 32]);

impl DigestResponse {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether `received` is the same, in either case of its hex digits and in constant time.
    pub fn matches(&self, received: &str) -> bool {
        let Ok(received) = <[u8; 32]>::try_from(received.as_bytes()) else { return false };
        lower_case(received).ct_eq(&self.0).into()
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

/// MD5 over the parts joined by ':', as hex in lower case.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut md5 = Md5::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            md5.update(b":");
        }
        md5.update(part);
    }
    let mut text = [0; 32];
    let digits = b"0123456789abcdef";
    for (pair, octet) in text.chunks_exact_mut(2).zip(md5.finalize()) {
        for (digit, nibble) in pair.iter_mut().zip([octet >> 4, octet & 15]) {
            *digit = digits[usize::from(nibble)];
        }
    }
    text
}

fn lower_case(mut text: [u8; 32]) -> [u8; 32] {
    for digit in &mut text {
        let is_upper = u8::from(matches!(*digit, b'A'..=b'F')).into();
        digit.conditional_assign(&(*digit | 0x20), is_upper);
    }
    text
}

#[cfg(test)]
mod tests;
