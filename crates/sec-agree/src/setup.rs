use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::{Mechanism, SecAgreeError};

/// Security parameter index that may stand on the wire.
//= RFC 4303 2.1: 0 is for local use and 1 to 255 are reserved. The kernel accepts them, so the check is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spi(NonZeroU32);

impl Spi {
    pub const MIN: u32 = 256;

    pub fn new(value: u32) -> Result<Self, SecAgreeError> {
        NonZeroU32::new(value).filter(|value| value.get() >= Self::MIN).map(Self).ok_or(SecAgreeError::BadSpi)
    }

    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl FromStr for Spi {
    type Err = SecAgreeError;
    /// The grammar asks for ten digits, phones send fewer: one to ten are taken.
    fn from_str(text: &str) -> Result<Self, SecAgreeError> {
        Self::new(decimal(text, 10).ok_or(SecAgreeError::BadSpi)?)
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A port that may be protected.
//= TS 33.203 7.1: the protected ports are not the SIP default ports
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port(u16);

impl Port {
    pub fn new(value: u16) -> Result<Self, SecAgreeError> {
        if matches!(value, 0 | 5060 | 5061) { Err(SecAgreeError::BadPort) } else { Ok(Self(value)) }
    }

    pub fn get(self) -> u16 {
        self.0
    }
}

impl FromStr for Port {
    type Err = SecAgreeError;
    fn from_str(text: &str) -> Result<Self, SecAgreeError> {
        let value = decimal(text, 5).and_then(|value| u16::try_from(value).ok());
        Self::new(value.ok_or(SecAgreeError::BadPort)?)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn decimal(text: &str, max_digits: usize) -> Option<u32> {
    let digits = (1..=max_digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// What one end brings to a set of associations: its protected client and server port, and the SPI it chose for
/// what arrives at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Setup {
    pub spi_c: Spi,
    pub spi_s: Spi,
    pub port_c: Port,
    pub port_s: Port,
}

impl Setup {
    pub(crate) fn of(mechanism: &Mechanism) -> Result<Self, SecAgreeError> {
        let setup = Self {
            spi_c: mechanism.mandatory("spi-c")?.parse()?,
            spi_s: mechanism.mandatory("spi-s")?.parse()?,
            port_c: mechanism.mandatory("port-c")?.parse()?,
            port_s: mechanism.mandatory("port-s")?.parse()?,
        };
        if setup.spi_c == setup.spi_s {
            return Err(SecAgreeError::EqualSpis);
        }
        if setup.port_c == setup.port_s {
            return Err(SecAgreeError::EqualPorts);
        }
        Ok(setup)
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spi_c, spi_s, port_c, port_s } = self;
        write!(f, "spi-c={spi_c};spi-s={spi_s};port-c={port_c};port-s={port_s}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_2_reserved_spis_and_sip_ports_are_refused() {
        for text in ["0", "255", "4294967296", "00000000256", "-1", "+300", "", "0x200", "12 "] {
            assert_eq!(text.parse::<Spi>(), Err(SecAgreeError::BadSpi), "{text}");
        }
        for text in ["0", "5060", "5061", "65536", "", "+1", "006000"] {
            assert_eq!(text.parse::<Port>(), Err(SecAgreeError::BadPort), "{text}");
        }
        assert_eq!("0000000256".parse::<Spi>().unwrap().get(), 256);
        assert_eq!("65535".parse::<Port>().unwrap().get(), 65535);
    }
}
