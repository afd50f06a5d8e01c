use std::fmt;

use aka::{Ck, Ik};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{Alg, Algorithms, Ealg, SecAgreeError};

/// Key bytes that wipe themselves and never print.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// The keys of one set of security associations: IK_ESP and CK_ESP of TS 33.203 6.2 and 6.3, in the form ESP
/// takes them. The same keys serve all four associations.
#[derive(Debug)]
pub struct EspKeys {
    /// Key of the integrity algorithm; for aes-gmac the salt follows the key. Empty with aes-gcm.
    pub integrity: Secret,
    /// Key of the cipher; for aes-gcm the salt follows the key. Empty with null.
    pub confidentiality: Secret,
}

impl EspKeys {
    //= TS 33.203 Annex I
    pub fn expand(algorithms: Algorithms, ck: &Ck, ik: &Ik) -> Self {
        let integrity = match algorithms.alg() {
            Alg::HmacMd5_96 => ik.as_bytes().to_vec(),
            // 160 bits: IK and 32 zero bits.
            Alg::HmacSha1_96 => joined(ik.as_bytes(), &[0; 4]),
            Alg::AesGmac => joined(ik.as_bytes(), &derive_salt(0x58, b"AES_GMAC_SALT", ck, ik)),
            Alg::Null => Vec::new(),
        };
        let confidentiality = match algorithms.ealg() {
            Ealg::Null => Vec::new(),
            Ealg::AesCbc => ck.as_bytes().to_vec(),
            // CK1 || CK2 || CK1
            Ealg::DesEde3Cbc => joined(ck.as_bytes(), &ck.as_bytes()[..8]),
            Ealg::AesGcm => joined(ck.as_bytes(), &derive_salt(0x59, b"AES_GCM_SALT", ck, ik)),
        };
        Self { integrity: Secret::new(integrity), confidentiality: Secret::new(confidentiality) }
    }

    /// Keys that an operator has written down, for associations that nothing negotiates.
    pub fn manual(
        algorithms: Algorithms,
        integrity: &[u8],
        confidentiality: &[u8],
    ) -> Result<Self, SecAgreeError> {
        let fits = |key: &[u8], lengths: &[usize]| lengths.contains(&key.len());
        let integrity_fits = match algorithms.alg() {
            Alg::HmacMd5_96 => fits(integrity, &[16]),
            Alg::HmacSha1_96 | Alg::AesGmac => fits(integrity, &[20]),
            Alg::Null => integrity.is_empty(),
        };
        let confidentiality_fits = match algorithms.ealg() {
            Ealg::Null => confidentiality.is_empty(),
            Ealg::AesCbc => fits(confidentiality, &[16, 24, 32]),
            Ealg::DesEde3Cbc => fits(confidentiality, &[24]),
            Ealg::AesGcm => fits(confidentiality, &[20, 28, 36]),
        };
        if !(integrity_fits && confidentiality_fits) {
            return Err(SecAgreeError::KeyLength { algorithms });
        }
        let secret = |key: &[u8]| Secret::new(key.to_vec());
        Ok(Self { integrity: secret(integrity), confidentiality: secret(confidentiality) })
    }

    /// Keys of the right lengths that protect nothing. The kernel asks for keys when only lifetimes of a state
    /// are changed, and keeps the ones it has; so the real ones need not stay in this process.
    pub fn placeholder(algorithms: Algorithms) -> Self {
        let filler = |length: usize| Secret::new((1u8..).take(length).collect());
        Self {
            integrity: filler(match algorithms.alg() {
                Alg::HmacMd5_96 => 16,
                Alg::HmacSha1_96 | Alg::AesGmac => 20,
                Alg::Null => 0,
            }),
            confidentiality: filler(match algorithms.ealg() {
                Ealg::Null => 0,
                Ealg::AesCbc => 16,
                Ealg::DesEde3Cbc => 24,
                Ealg::AesGcm => 20,
            }),
        }
    }
}

fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    // With the exact capacity the vector never moves and leaves no copy of the key behind.
    let mut key = Vec::with_capacity(first.len() + second.len());
    key.extend_from_slice(first);
    key.extend_from_slice(second);
    key
}

//= TS 33.203 Annex I: the salt is the last 32 bits of the KDF of TS 33.220 Annex B over CK || IK
fn derive_salt(fc: u8, p0: &[u8], ck: &Ck, ik: &Ik) -> [u8; 4] {
    let key = Zeroizing::new(joined(ck.as_bytes(), ik.as_bytes()));
    let mut kdf =
        Hmac::<Sha256>::new_from_slice(&key).unwrap_or_else(|_| unreachable!("HMAC takes any key length"));
    kdf.update(&[fc]);
    kdf.update(p0);
    kdf.update(&u16::try_from(p0.len()).unwrap_or(u16::MAX).to_be_bytes());
    let derived = Zeroizing::new(<[u8; 32]>::from(kdf.finalize().into_bytes()));
    [derived[28], derived[29], derived[30], derived[31]]
}

#[cfg(test)]
mod tests {
    use super::*;

    // Milenage test set 1, spec/03 section 7.
    fn expand(alg: Alg, ealg: Ealg) -> (String, String) {
        let ck = Ck::from_hex("b40ba9a3c58b2a05bbf0d987b21bf8cb").unwrap();
        let ik = Ik::from_hex("f769bcd751044604127672711c6d3441").unwrap();
        let keys = EspKeys::expand(Algorithms::new(alg, ealg).unwrap(), &ck, &ik);
        let hex = |secret: &Secret| secret.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        (hex(&keys.integrity), hex(&keys.confidentiality))
    }

    #[test]
    fn sec_15_known_keys() {
        let (integrity, cipher) = expand(Alg::HmacSha1_96, Ealg::AesCbc);
        assert_eq!(integrity, "f769bcd751044604127672711c6d344100000000");
        assert_eq!(cipher, "b40ba9a3c58b2a05bbf0d987b21bf8cb");
        let (integrity, cipher) = expand(Alg::HmacMd5_96, Ealg::DesEde3Cbc);
        assert_eq!(integrity, "f769bcd751044604127672711c6d3441");
        assert_eq!(cipher, "b40ba9a3c58b2a05bbf0d987b21bf8cbb40ba9a3c58b2a05");
        let (integrity, cipher) = expand(Alg::AesGmac, Ealg::Null);
        assert_eq!((integrity.as_str(), cipher.as_str()), ("f769bcd751044604127672711c6d3441dbc2b1c2", ""));
        let (integrity, cipher) = expand(Alg::Null, Ealg::AesGcm);
        assert_eq!((integrity.as_str(), cipher.as_str()), ("", "b40ba9a3c58b2a05bbf0d987b21bf8cb89273db6"));
    }

    #[test]
    fn sec_15_known_salts_of_set_2() {
        let ck = Ck::from_hex("58c433ff7a7082acd424220f2b67c556").unwrap();
        let ik = Ik::from_hex("21a8c1f929702adb3e738488b9f5c5da").unwrap();
        assert_eq!(derive_salt(0x58, b"AES_GMAC_SALT", &ck, &ik), [0x33, 0x00, 0x7a, 0x51]);
        assert_eq!(derive_salt(0x59, b"AES_GCM_SALT", &ck, &ik), [0xc6, 0x1c, 0x17, 0xa9]);
    }

    #[test]
    fn placeholders_have_the_lengths_of_the_real_keys() {
        let ck = Ck::from_hex("58c433ff7a7082acd424220f2b67c556").unwrap();
        let ik = Ik::from_hex("21a8c1f929702adb3e738488b9f5c5da").unwrap();
        for algorithms in Algorithms::ALL {
            let (real, filler) = (EspKeys::expand(algorithms, &ck, &ik), EspKeys::placeholder(algorithms));
            assert_eq!(real.integrity.as_bytes().len(), filler.integrity.as_bytes().len());
            assert_eq!(real.confidentiality.as_bytes().len(), filler.confidentiality.as_bytes().len());
        }
    }

    #[test]
    fn manual_keys_have_the_lengths_that_their_algorithms_take() {
        for algorithms in Algorithms::ALL {
            let model = EspKeys::placeholder(algorithms);
            let (integrity, cipher) = (model.integrity.as_bytes(), model.confidentiality.as_bytes());
            let keys = EspKeys::manual(algorithms, integrity, cipher).unwrap();
            assert_eq!((keys.integrity.as_bytes(), keys.confidentiality.as_bytes()), (integrity, cipher));
            let longer = |key: &[u8]| [key, &[0]].concat();
            for (integrity, cipher) in
                [(longer(integrity), cipher.to_vec()), (integrity.to_vec(), longer(cipher))]
            {
                let refused = EspKeys::manual(algorithms, &integrity, &cipher).map(drop);
                assert_eq!(refused, Err(SecAgreeError::KeyLength { algorithms }));
            }
        }
    }

    #[test]
    fn keys_never_print() {
        let keys = EspKeys::placeholder(Algorithms::ALL[1]);
        assert_eq!(format!("{keys:?}"), "EspKeys { integrity: <secret>, confidentiality: <secret> }");
    }
}
