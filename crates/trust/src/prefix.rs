//! A range of addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// All addresses that begin with the same bits. The bits behind them are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why a text is not a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    #[error("read an address, alone or with /LENGTH behind it")]
    Malformed,
    #[error("accept a length over the {0} bits of the address")]
    TooLong(u8),
    #[error("accept an address with bits set behind the prefix: write {0}")]
    HostBits(Prefix),
}

impl Prefix {
    /// An IPv4 address that came in an IPv6 socket is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.length) == self.address
    }

    /// How many bits are fixed: of two prefixes the one with more says more.
    pub const fn length(&self) -> u8 {
        self.length
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| PrefixError::Malformed)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length = match length.map(str::trim) {
            None => bits,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit()) => {
                digits.parse().map_err(|_| PrefixError::TooLong(bits))?
            }
            Some(_) => return Err(PrefixError::Malformed),
        };
        if length > bits {
            return Err(PrefixError::TooLong(bits));
        }
        let prefix = Self { address: masked(address, length), length };
        if prefix.address != address {
            return Err(PrefixError::HostBits(prefix));
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl Serialize for Prefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        written.parse().map_err(|error| serde::de::Error::custom(format!("cannot {error}")))
    }
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contains(prefix: &str, address: &str) -> bool {
        prefix.parse::<Prefix>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn prv_12_ranges_of_addresses() {
        assert!(contains("192.0.2.0/24", "192.0.2.255") && !contains("192.0.2.0/24", "192.0.3.0"));
        assert!(contains("192.0.2.1", "192.0.2.1") && !contains("192.0.2.1", "192.0.2.2"));
        assert!(contains("0.0.0.0/0", "255.1.2.3") && !contains("0.0.0.0/0", "::1"));
        assert!(
            contains("2001:db8::/33", "2001:db8:7fff::1") && !contains("2001:db8::/33", "2001:db8:8000::")
        );
        assert!(contains("::/0", "2001:db8::1"));
        // What an IPv6 socket hands over for an IPv4 peer is the IPv4 peer, and not an IPv6 one.
        assert!(contains("192.0.2.0/24", "::ffff:192.0.2.9") && !contains("::/0", "::ffff:192.0.2.9"));
    }

    #[test]
    fn what_is_no_prefix_is_refused_with_what_to_write() {
        for bad in ["", "/", "192.0.2.0/", "192.0.2/24", "host/24", "192.0.2.0/+4", "192.0.2.0/24/1"] {
            assert_eq!(bad.parse::<Prefix>(), Err(PrefixError::Malformed), "{bad}");
        }
        assert_eq!("192.0.2.0/33".parse::<Prefix>(), Err(PrefixError::TooLong(32)));
        assert_eq!("::/999".parse::<Prefix>(), Err(PrefixError::TooLong(128)));
        let error = "192.0.2.7/24".parse::<Prefix>().unwrap_err();
        assert!(error.to_string().ends_with("write 192.0.2.0/24"), "{error}");
    }

    proptest! {
        #[test]
        fn print_parse_and_contains_itself(bits in any::<u128>(), length in 0_u8..=128) {
            let address = masked(IpAddr::V6(bits.into()), length);
            let prefix: Prefix = format!("{address}/{length}").parse().unwrap();
            prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
            let inside = IpAddr::V6(bits.into());
            prop_assert!(prefix.contains(inside) || inside.to_canonical().is_ipv4());
        }
    }
}
