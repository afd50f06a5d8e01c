//! AVPs: reading without copying, writing into a buffer that is wiped.

use std::fmt;

use zeroize::Zeroizing;

use super::{Header, LONGEST_MESSAGE, dictionary::Definition};
use crate::{CxError, FailedAvp};

pub(super) const VENDOR_FLAG: u8 = 0x80;
pub(super) const MANDATORY_FLAG: u8 = 0x40;

/// What an AVP is: the code alone is not enough, 3GPP 621 is not IETF 621.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AvpKey {
    pub code: u32,
    /// 0 for the IETF, which never stands on the wire.
    pub vendor: u32,
}

impl fmt::Display for AvpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match super::dictionary::name(*self) {
            Some(name) => write!(f, "{name} ({})", self.code),
            None => write!(f, "{} of vendor {}", self.code, self.vendor),
        }
    }
}

impl fmt::Debug for AvpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One AVP of a message.
#[derive(Clone, Copy)]
pub struct Avp<'a> {
    pub key: AvpKey,
    pub mandatory: bool,
    pub data: &'a [u8],
    /// Header, data and padding, as they stood in the message.
    pub whole: &'a [u8],
}

impl fmt::Debug for Avp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} octets)", self.key, self.data.len())
    }
}

/// The AVPs of a message or a group, in order. Ends after the first error.
#[derive(Clone)]
pub struct Avps<'a> {
    rest: &'a [u8],
}

impl<'a> Avps<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn read(&mut self) -> Result<Avp<'a>, CxError> {
        let rest = std::mem::take(&mut self.rest);
        let broken = || CxError::AvpLength(FailedAvp::broken(rest));
        let (head, after) = rest.split_first_chunk::<8>().ok_or_else(broken)?;
        let [c0, c1, c2, c3, flags, l0, l1, l2] = *head;
        let mut key = AvpKey { code: u32::from_be_bytes([c0, c1, c2, c3]), vendor: 0 };
        let length = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
        let mut header_length = 8;
        if flags & VENDOR_FLAG != 0 {
            key.vendor = u32::from_be_bytes(*after.first_chunk::<4>().ok_or_else(broken)?);
            header_length = 12;
        }
        let data = rest.get(header_length..length).ok_or_else(broken)?;
        // The last AVP of a group may come without its padding.
        let padded = length.next_multiple_of(4).min(rest.len());
        let (whole, remaining) = rest.split_at(padded);
        self.rest = remaining;
        Ok(Avp { key, mandatory: flags & MANDATORY_FLAG != 0, data, whole })
    }
}

impl<'a> Iterator for Avps<'a> {
    type Item = Result<Avp<'a>, CxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() { None } else { Some(self.read()) }
    }
}

impl fmt::Debug for Avps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets of AVPs", self.rest.len())
    }
}

/// A message ready for the wire. May hold keys: wiped on drop, shown as its length only.
#[derive(PartialEq, Eq)]
pub struct Wire(Zeroizing<Vec<u8>>);

impl Wire {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a Diameter message of {} octets", self.0.len())
    }
}

/// Writes one message.
pub struct Writer {
    bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a Diameter message of {} octets so far", self.bytes.len())
    }
}

impl Writer {
    /// `capacity` must cover messages that hold keys, or growing leaves an unwiped copy behind.
    pub fn new(header: Header, capacity: usize) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        bytes.extend_from_slice(&header.to_bytes());
        Self { bytes }
    }

    pub fn octets(&mut self, definition: Definition, data: &[u8]) {
        self.avp(definition, |writer| writer.bytes.extend_from_slice(data));
    }

    pub fn text(&mut self, definition: Definition, text: &str) {
        self.octets(definition, text.as_bytes());
    }

    pub fn number(&mut self, definition: Definition, number: u32) {
        self.octets(definition, &number.to_be_bytes());
    }

    pub fn group(&mut self, definition: Definition, members: impl FnOnce(&mut Self)) {
        self.avp(definition, members);
    }

    /// AVPs that are already in wire form.
    pub fn raw(&mut self, avps: &[u8]) {
        self.bytes.extend_from_slice(avps);
        self.pad();
    }

    fn avp(&mut self, definition: Definition, data: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        let AvpKey { code, vendor } = definition.key;
        let vendor_flag = if vendor == 0 { 0 } else { VENDOR_FLAG };
        let mandatory_flag = if definition.mandatory { MANDATORY_FLAG } else { 0 };
        self.bytes.extend_from_slice(&code.to_be_bytes());
        self.bytes.extend_from_slice(&[vendor_flag | mandatory_flag, 0, 0, 0]);
        if vendor != 0 {
            self.bytes.extend_from_slice(&vendor.to_be_bytes());
        }
        data(self);
        let length = self.bytes.len() - start;
        self.set_length(start + 5, length);
        self.pad();
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }

    /// A length beyond 24 bits is caught in `finish`: the message is then too long as well.
    fn set_length(&mut self, at: usize, length: usize) {
        let [.., a, b, c] = length.to_be_bytes();
        if let Some(field) = self.bytes.get_mut(at..at + 3) {
            field.copy_from_slice(&[a, b, c]);
        }
    }

    pub fn finish(mut self) -> Result<Wire, CxError> {
        let length = self.bytes.len();
        if length > LONGEST_MESSAGE {
            return Err(CxError::TooLong);
        }
        self.set_length(1, length);
        Ok(Wire(self.bytes))
    }
}
