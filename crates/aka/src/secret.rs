//! Key material: wiped on drop, compared in constant time, never shown, never copied by accident.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::AkaError;

macro_rules! secret_block {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 16]);

        impl $name {
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// From 32 hex digits in either case.
            pub fn from_hex(text: &str) -> Result<Self, AkaError> {
                let mut secret = Self([0; 16]);
                hex::decode_to_slice(text, &mut secret.0)
                    .map_err(|_| AkaError::NotHex { what: $text, digits: 32 })?;
                Ok(secret)
            }

            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = AkaError;

            fn try_from(bytes: &[u8]) -> Result<Self, AkaError> {
                let wrong = AkaError::WrongLength { what: $text, wanted: 16, found: bytes.len() };
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
    K, "K"
}
secret_block! {
    /// The operator variant configuration field, 128 bits. Turns into an [`Opc`] with one K; never used in its place.
    Op, "OP"
}
secret_block! {
    /// OPc, 128 bits: OP bound to one K. Source: TS 35.206 4.1; see [`Opc::derive`].
    Opc, "OPc"
}
secret_block! {
    /// The confidentiality key of one authentication, 128 bits (f3).
    Ck, "CK"
}
secret_block! {
    /// The integrity key of one authentication, 128 bits (f4).
    Ik, "IK"
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
    fn errors_about_keys_do_not_repeat_them() {
        let text = "465b5ce8b199b49faa5f0a2ee238a6bz";
        let error = K::from_hex(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("465b"));
    }
}
