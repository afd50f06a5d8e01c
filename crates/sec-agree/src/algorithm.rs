use std::fmt;
use std::str::FromStr;

use crate::SecAgreeError;

/// Integrity algorithm, the `alg` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Alg {
    HmacMd5_96,
    HmacSha1_96,
    AesGmac,
    /// Only together with [`Ealg::AesGcm`], which brings its own integrity.
    Null,
}

/// Encryption algorithm, the `ealg` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ealg {
    Null,
    DesEde3Cbc,
    AesCbc,
    AesGcm,
}

impl Alg {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::HmacMd5_96, "hmac-md5-96"),
        (Self::HmacSha1_96, "hmac-sha-1-96"),
        (Self::AesGmac, "aes-gmac"),
        (Self::Null, "null"),
    ];

    pub fn as_str(self) -> &'static str {
        spelling(&Self::NAMES, self)
    }
}

impl Ealg {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Null, "null"),
        (Self::DesEde3Cbc, "des-ede3-cbc"),
        (Self::AesCbc, "aes-cbc"),
        (Self::AesGcm, "aes-gcm"),
    ];

    pub fn as_str(self) -> &'static str {
        spelling(&Self::NAMES, self)
    }
}

fn spelling<T: Copy + PartialEq>(names: &[(T, &'static str)], value: T) -> &'static str {
    names.iter().find(|(candidate, _)| *candidate == value).map_or("", |(_, name)| name)
}

fn by_spelling<T: Copy>(names: &[(T, &'static str)], text: &str) -> Result<T, SecAgreeError> {
    names
        .iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(text))
        .map(|(value, _)| *value)
        .ok_or(SecAgreeError::UnknownAlgorithm)
}

impl FromStr for Alg {
    type Err = SecAgreeError;
    fn from_str(text: &str) -> Result<Self, SecAgreeError> {
        by_spelling(&Self::NAMES, text)
    }
}

impl FromStr for Ealg {
    type Err = SecAgreeError;
    fn from_str(text: &str) -> Result<Self, SecAgreeError> {
        by_spelling(&Self::NAMES, text)
    }
}

impl fmt::Display for Alg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Ealg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pair of algorithms that may stand together; one that exists is legal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Algorithms {
    alg: Alg,
    ealg: Ealg,
}

impl Algorithms {
    /// Every legal pair, strongest first.
    pub const ALL: [Self; 8] = [
        Self { alg: Alg::Null, ealg: Ealg::AesGcm },
        Self { alg: Alg::HmacSha1_96, ealg: Ealg::AesCbc },
        Self { alg: Alg::HmacSha1_96, ealg: Ealg::DesEde3Cbc },
        Self { alg: Alg::HmacMd5_96, ealg: Ealg::AesCbc },
        Self { alg: Alg::HmacMd5_96, ealg: Ealg::DesEde3Cbc },
        Self { alg: Alg::AesGmac, ealg: Ealg::Null },
        Self { alg: Alg::HmacSha1_96, ealg: Ealg::Null },
        Self { alg: Alg::HmacMd5_96, ealg: Ealg::Null },
    ];

    //= TS 33.203 Annex H: null integrity only with aes-gcm, aes-gcm only with null integrity
    pub fn new(alg: Alg, ealg: Ealg) -> Result<Self, SecAgreeError> {
        let legal = match (alg, ealg) {
            (Alg::Null, Ealg::AesGcm) | (Alg::AesGmac, Ealg::Null) => true,
            (Alg::HmacMd5_96 | Alg::HmacSha1_96, ealg) => ealg != Ealg::AesGcm,
            (Alg::Null | Alg::AesGmac, _) => false,
        };
        if legal { Ok(Self { alg, ealg }) } else { Err(SecAgreeError::AlgorithmMismatch { alg, ealg }) }
    }

    pub fn alg(self) -> Alg {
        self.alg
    }

    pub fn ealg(self) -> Ealg {
        self.ealg
    }

    pub fn encrypts(self) -> bool {
        self.ealg != Ealg::Null
    }
}

impl fmt::Display for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.alg, self.ealg)
    }
}

/// The form of the configuration file: `hmac-sha-1-96/aes-cbc`.
impl FromStr for Algorithms {
    type Err = SecAgreeError;
    fn from_str(text: &str) -> Result<Self, SecAgreeError> {
        let (alg, ealg) = text.split_once('/').ok_or(SecAgreeError::UnknownAlgorithm)?;
        Self::new(alg.trim().parse()?, ealg.trim().parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_2_illegal_pairs_cannot_be_built() {
        let mut legal = 0;
        for (alg, _) in Alg::NAMES {
            for (ealg, _) in Ealg::NAMES {
                legal += usize::from(Algorithms::new(alg, ealg).is_ok());
            }
        }
        assert_eq!(legal, Algorithms::ALL.len());
        assert!(Algorithms::new(Alg::Null, Ealg::AesCbc).is_err());
        assert!(Algorithms::new(Alg::HmacSha1_96, Ealg::AesGcm).is_err());
    }

    #[test]
    fn a_pair_prints_and_parses() {
        for pair in Algorithms::ALL {
            assert_eq!(pair.to_string().parse(), Ok(pair));
        }
        assert_eq!("HMAC-SHA-1-96/AES-CBC".parse(), Ok(Algorithms::ALL[1]));
        assert!("hmac-sha-1-96".parse::<Algorithms>().is_err());
    }
}
