//! The quantities of an authentication that may be seen: they travel in the clear or identify nothing secret.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use subtle::ConstantTimeEq;

use crate::AkaError;

/// Writes padding, reads base64 with or without it: stacks differ.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

macro_rules! octets {
    ($(#[$doc:meta])* $name:ident, $len:literal, $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// From hex digits in either case, two an octet.
            pub fn from_hex(text: &str) -> Result<Self, AkaError> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| AkaError::NotHex { what: $text, digits: 2 * $len })?;
                Ok(Self(bytes))
            }

            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = AkaError;

            fn try_from(bytes: &[u8]) -> Result<Self, AkaError> {
                let wrong = AkaError::WrongLength { what: $text, wanted: $len, found: bytes.len() };
                Ok(Self(bytes.try_into().map_err(|_| wrong)?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

octets! {
    /// The random challenge, 128 bits.
    Rand, 16, "RAND"
}
octets! {
    /// The network's authentication token: SQN xor AK (6 octets), AMF (2), MAC-A (8).
    Autn, 16, "AUTN"
}
octets! {
    /// The card's resynchronisation token: SQN_MS xor AK* (6 octets), MAC-S (8).
    Auts, 14, "AUTS"
}
octets! {
    /// The authentication management field, 16 bits, an input of f1. Bit 0 (0x8000) is the separation bit.
    Amf, 2, "AMF"
}

impl Amf {
    /// What f1* takes in AUTS, whatever AMF the challenge had.
    pub const RESYNCHRONISATION: Self = Self([0, 0]);
}

impl Autn {
    pub(crate) fn from_parts(concealed_sqn: [u8; 6], amf: Amf, mac: Mac) -> Self {
        let ([s0, s1, s2, s3, s4, s5], [a0, a1]) = (concealed_sqn, amf.0);
        let [m0, m1, m2, m3, m4, m5, m6, m7] = mac.0;
        Self([s0, s1, s2, s3, s4, s5, a0, a1, m0, m1, m2, m3, m4, m5, m6, m7])
    }

    pub(crate) fn concealed_sqn(&self) -> [u8; 6] {
        let [sqn @ .., _, _, _, _, _, _, _, _, _, _] = self.0;
        sqn
    }

    pub fn amf(&self) -> Amf {
        Amf([self.0[6], self.0[7]])
    }

    pub fn mac(&self) -> Mac {
        let [_, _, _, _, _, _, _, _, mac @ ..] = self.0;
        Mac(mac)
    }
}

impl Auts {
    pub(crate) fn from_parts(concealed_sqn: [u8; 6], mac: Mac) -> Self {
        let [s0, s1, s2, s3, s4, s5] = concealed_sqn;
        let [m0, m1, m2, m3, m4, m5, m6, m7] = mac.0;
        Self([s0, s1, s2, s3, s4, s5, m0, m1, m2, m3, m4, m5, m6, m7])
    }

    pub(crate) fn concealed_sqn(&self) -> [u8; 6] {
        let [sqn @ .., _, _, _, _, _, _, _, _] = self.0;
        sqn
    }

    pub fn mac(&self) -> Mac {
        let [_, _, _, _, _, _, mac @ ..] = self.0;
        Mac(mac)
    }

    /// As the `auts` parameter carries it: 20 characters.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.0)
    }

    pub fn from_base64(text: &str) -> Result<Self, AkaError> {
        // 20 characters are 14 octets; the bound keeps a long header from being decoded at all.
        if text.len() > 20 {
            return Err(AkaError::AutsEncoding);
        }
        let bytes = BASE64.decode(text).map_err(|_| AkaError::AutsEncoding)?;
        Ok(Self(bytes.try_into().map_err(|_| AkaError::AutsEncoding)?))
    }
}

/// MAC-A or MAC-S, 64 bits. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Mac([u8; 8]);

impl Mac {
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl PartialEq for Mac {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Mac {}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(")?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
        f.write_str(")")
    }
}

/// The sequence number: 48 bits, SEQ (43) || IND (5). Source: TS 33.102 C.1.1.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Sqn(u64);

impl Sqn {
    pub const IND_BITS: u32 = 5;
    pub const MAX_SEQ: u64 = (1 << 43) - 1;
    pub const MAX_IND: u8 = 31;

    pub fn from_parts(seq: u64, ind: u8) -> Result<Self, AkaError> {
        if seq > Self::MAX_SEQ || ind > Self::MAX_IND {
            return Err(AkaError::SqnParts);
        }
        Ok(Self(seq << Self::IND_BITS | u64::from(ind)))
    }

    pub const fn from_bytes(bytes: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = bytes;
        Self(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    pub const fn to_bytes(self) -> [u8; 6] {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// From 12 hex digits in either case.
    pub fn from_hex(text: &str) -> Result<Self, AkaError> {
        let mut bytes = [0; 6];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| AkaError::NotHex { what: "SQN", digits: 12 })?;
        Ok(Self::from_bytes(bytes))
    }

    pub const fn seq(self) -> u64 {
        self.0 >> Self::IND_BITS
    }

    pub const fn ind(self) -> u8 {
        self.to_bytes()[5] & Self::MAX_IND
    }
}

impl fmt::Display for Sqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for Sqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sqn({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqn_is_seq_then_ind() {
        let sqn = Sqn::from_hex("ff9bb4d0b607").unwrap();
        assert_eq!(sqn.ind(), 7);
        assert_eq!(Sqn::from_parts(sqn.seq() + 1, 7).unwrap(), Sqn::from_hex("ff9bb4d0b627").unwrap());
        assert_eq!(Sqn::from_parts(Sqn::MAX_SEQ, 31).unwrap(), Sqn::from_bytes([0xff; 6]));
        assert_eq!(Sqn::from_parts(Sqn::MAX_SEQ + 1, 0), Err(AkaError::SqnParts));
        assert_eq!(Sqn::from_parts(0, 32), Err(AkaError::SqnParts));
    }

    #[test]
    fn aka_2_autn_and_auts_fall_into_their_parts() {
        let autn = Autn::from_hex("55f328b43577b9b94a9ffac354dfafb3").unwrap();
        assert_eq!(autn.amf(), Amf::from_hex("b9b9").unwrap());
        assert_eq!(Autn::from_parts(autn.concealed_sqn(), autn.amf(), autn.mac()), autn);
        let auts = Auts::from_hex("ba853f3c121cb55edb820040ab41").unwrap();
        assert_eq!(Auts::from_parts(auts.concealed_sqn(), auts.mac()), auts);
    }

    #[test]
    fn dig_6_auts_text_must_be_14_octets_of_base64() {
        let auts = Auts::from_hex("ba853f3c121cb55edb820040ab41").unwrap();
        assert_eq!(auts.to_base64(), "uoU/PBIctV7bggBAq0E=");
        assert_eq!(Auts::from_base64("uoU/PBIctV7bggBAq0E="), Ok(auts));
        assert_eq!(Auts::from_base64("uoU/PBIctV7bggBAq0E"), Ok(auts));
        for wrong in [
            "",
            "uoU/PBIctV7bggBAq0",
            "uoU/PBIctV7bggBAq0EA",
            "uoU/PBIctV7bggBAq0E=====",
            "uo-_PBIctV7bggBAq0E=",
        ] {
            assert_eq!(Auts::from_base64(wrong), Err(AkaError::AutsEncoding), "{wrong}");
        }
    }
}
