//! K_v: the keys that all I-CSCFs of the network share, and what is done with one.

use std::fmt;

use aes::Aes128;
use cbc::cipher::array::Array;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sip::Instant;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Octets of a block and of an IV.
pub(crate) const BLOCK: usize = 16;
/// Octets of the tag inside a token.
pub(crate) const TAG: usize = 8;

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
    pub(crate) newest: Held,
    pub(crate) older: Vec<Held>,
}

#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: u8,
    pub(crate) key: Key,
    /// When it stops to decrypt; without one it does so as long as it is there.
    pub(crate) until: Option<Instant>,
}

impl Keys {
    /// One key, which has the id.
    pub fn one(id: u8, key: Key) -> Self {
        Self { newest: Held { id, key, until: None }, older: Vec::new() }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
