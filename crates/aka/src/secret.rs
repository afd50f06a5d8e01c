//! Key material: wiped on drop, compared in constant time, never shown, never copied by accident.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::AkaError;

macro_rules! secret_block {
    ($(#[$doc:meta])* $name:ident, $len:literal, $text:literal) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; $len]);

        impl $name {
            pub fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// From hex digits in either case, two an octet.
            pub fn from_hex(text: &str) -> Result<Self, AkaError> {
                let mut secret = Self([0; $len]);
                hex::decode_to_slice(text, &mut secret.0)
                    .map_err(|_| AkaError::NotHex { what: $text, digits: 2 * $len })?;
                Ok(secret)
            }

            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// For what is filled in place, so that no unwiped copy stays behind.
            #[allow(dead_code)]
            pub(crate) fn as_mut_bytes(&mut self) -> &mut [u8; $len] {
                &mut self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = AkaError;

            fn try_from(bytes: &[u8]) -> Result<Self, AkaError> {
                let wrong = AkaError::WrongLength { what: $text, wanted: $len, found: bytes.len() };
                Ok(Self(bytes.try_into().map_err(|_| wrong)?))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("<secret>")
            }
        }
    };
}

secret_block! {
    /// The subscriber key, 128 bits, shared by the AuC and the card. Source: TS 33.102 6.3.
    K, 16, "K"
}
secret_block! {
    /// The operator variant configuration field, 128 bits. Turns into an [`Opc`] with one K; never used in its place.
    Op, 16, "OP"
}
secret_block! {
    /// OPc, 128 bits: OP bound to one K. Source: TS 35.206 4.1; see [`Opc::derive`].
    Opc, 16, "OPc"
}
secret_block! {
    /// TUAK's operator variant field, 256 bits. Turns into a [`Topc`] with one K; never used in its place.
    Top, 32, "TOP"
}
secret_block! {
    /// TOPc, 256 bits: TOP bound to one K. Source: TS 35.231 6.2; see [`Topc::derive`].
    Topc, 32, "TOPc"
}
secret_block! {
    /// The confidentiality key of one authentication, 128 bits (f3).
    Ck, 16, "CK"
}
secret_block! {
    /// The integrity key of one authentication, 128 bits (f4).
    Ik, 16, "IK"
}

/// The subscriber key of TUAK, 128 or 256 bits. Source: TS 35.231 5.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct TuakK {
    octets: [u8; 32],
    is_long: bool,
}

impl TuakK {
    /// From 32 or 64 hex digits in either case.
    pub fn from_hex(text: &str) -> Result<Self, AkaError> {
        let mut k = Self { octets: [0; 32], is_long: text.len() == 64 };
        hex::decode_to_slice(text, k.as_mut_bytes()).map_err(|_| AkaError::TuakKNotHex)?;
        Ok(k)
    }

    /// 16 or 32 octets.
    pub fn as_bytes(&self) -> &[u8] {
        let (short, _) = self.octets.split_at(16);
        if self.is_long { &self.octets } else { short }
    }

    fn as_mut_bytes(&mut self) -> &mut [u8] {
        let len = if self.is_long { 32 } else { 16 };
        self.octets.get_mut(..len).unwrap_or_default()
    }
}

impl From<[u8; 16]> for TuakK {
    fn from(bytes: [u8; 16]) -> Self {
        let mut k = Self { octets: [0; 32], is_long: false };
        k.octets.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        k
    }
}

impl From<[u8; 32]> for TuakK {
    fn from(octets: [u8; 32]) -> Self {
        Self { octets, is_long: true }
    }
}

impl fmt::Debug for TuakK {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// The lengths of RES that a card can be set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResLength {
    Octets4,
    Octets8,
    Octets16,
}

impl ResLength {
    pub const fn bits(self) -> u8 {
        match self {
            Self::Octets4 => 32,
            Self::Octets8 => 64,
            Self::Octets16 => 128,
        }
    }
}

impl std::str::FromStr for ResLength {
    type Err = AkaError;

    /// From the number of bits: `32`, `64` or `128`.
    fn from_str(bits: &str) -> Result<Self, AkaError> {
        match bits {
            "32" => Ok(Self::Octets4),
            "64" => Ok(Self::Octets8),
            "128" => Ok(Self::Octets16),
            _ => Err(AkaError::ResBits),
        }
    }
}

/// RES, and equally XRES: 4 to 16 octets (f2; Milenage makes 8).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Res {
    octets: [u8; 16],
    len: usize,
}

impl Res {
    pub fn new(bytes: &[u8]) -> Result<Self, AkaError> {
        if !(4..=16).contains(&bytes.len()) {
            return Err(AkaError::ResLength { found: bytes.len() });
        }
        let mut res = Self { octets: [0; 16], len: bytes.len() };
        for (to, from) in res.octets.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(res)
    }

    /// From 8 to 32 hex digits in either case.
    pub fn from_hex(text: &str) -> Result<Self, AkaError> {
        let mut octets = zeroize::Zeroizing::new([0u8; 16]);
        let found = text.len() / 2;
        let part = octets.get_mut(..found).ok_or(AkaError::ResLength { found })?;
        hex::decode_to_slice(text, part).map_err(|_| AkaError::NotHex { what: "RES", digits: 32 })?;
        Self::new(part)
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    /// All zero, to be filled in place.
    pub(crate) fn empty(length: ResLength) -> Self {
        let len = match length {
            ResLength::Octets4 => 4,
            ResLength::Octets8 => 8,
            ResLength::Octets16 => 16,
        };
        Self { octets: [0; 16], len }
    }

    pub(crate) fn as_mut_bytes(&mut self) -> &mut [u8] {
        self.octets.get_mut(..self.len).unwrap_or_default()
    }
}

impl From<[u8; 8]> for Res {
    /// The length Milenage makes.
    fn from(bytes: [u8; 8]) -> Self {
        let mut res = Self { octets: [0; 16], len: 8 };
        res.octets.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        res
    }
}

impl PartialEq for Res {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Res {}

impl fmt::Debug for Res {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aka_13_debug_of_secrets_says_secret() {
        let octets = [0x5a; 16];
        let shown = [
            format!("{:?}", K::from_bytes(octets)),
            format!("{:#?}", Op::from_bytes(octets)),
            format!("{:?}", Opc::from_bytes(octets)),
            format!("{:?}", Ck::from_bytes(octets)),
            format!("{:?}", Ik::from_bytes(octets)),
            format!("{:x?}", Res::new(&octets).unwrap()),
            format!("{:?}", Top::from_bytes([0x5a; 32])),
            format!("{:#?}", Topc::from_bytes([0x5a; 32])),
            format!("{:?}", TuakK::from(octets)),
            format!("{:x?}", TuakK::from([0x5a; 32])),
        ];
        for text in shown {
            assert_eq!(text, "<secret>");
        }
    }

    #[test]
    fn secrets_compare_by_content() {
        assert_eq!(K::from_bytes([1; 16]), K::from_hex("01010101010101010101010101010101").unwrap());
        assert_ne!(K::from_bytes([1; 16]), K::from_bytes([2; 16]));
        assert_ne!(Res::new(&[0; 4]).unwrap(), Res::new(&[0; 5]).unwrap());
    }

    #[test]
    fn aka_12_res_takes_4_to_16_octets() {
        for len in 0..40 {
            let bytes = vec![7; len];
            assert_eq!(Res::new(&bytes).is_ok(), (4..=16).contains(&len), "{len}");
            assert_eq!(Res::from_hex(&hex::encode(&bytes)).is_ok(), (4..=16).contains(&len), "{len}");
        }
        assert_eq!(Res::from_hex("0011aaFF5").unwrap_err(), AkaError::NotHex { what: "RES", digits: 32 });
    }

    #[test]
    fn aka_14_k_of_tuak_has_one_of_two_lengths() {
        for digits in 0..130 {
            let k = TuakK::from_hex(&"5".repeat(digits));
            assert_eq!(k.is_ok(), [32, 64].contains(&digits), "{digits}");
            if let Ok(k) = k {
                assert_eq!(k.as_bytes(), vec![0x55; digits / 2]);
            }
        }
    }

    #[test]
    fn errors_about_keys_do_not_repeat_them() {
        let text = "465b5ce8b199b49faa5f0a2ee238a6bz";
        let error = K::from_hex(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("465b"));
    }
}
