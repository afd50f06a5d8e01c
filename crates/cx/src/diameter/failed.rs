//! What goes back to a peer whose AVP was not accepted (RFC 6733 clause 7.5).

use std::fmt;

use zeroize::Zeroizing;

use super::avp::{MANDATORY_FLAG, VENDOR_FLAG};
use super::dictionary::{self as d, Definition};
use super::{Avp, AvpKey};

/// An AVP in wire form for Failed-AVP. Its content never shows and is wiped: it may be a key.
#[derive(Clone, PartialEq, Eq)]
pub struct FailedAvp {
    /// The AVP at fault, also where `wire` is the group around it.
    pub key: AvpKey,
    wire: Zeroizing<Vec<u8>>,
}

impl FailedAvp {
    /// The AVP as it came, flags and all.
    pub(super) fn whole(avp: Avp<'_>) -> Self {
        let mut failed = Self { key: avp.key, wire: Zeroizing::new(avp.whole.to_vec()) };
        failed.pad();
        failed
    }

    /// The AVP with zeros in the place of its content: an error must not carry a key about.
    pub(super) fn blank(avp: Avp<'_>) -> Self {
        let mut failed = Self::whole(avp);
        let header = header_length(avp.whole);
        failed.wire.iter_mut().skip(header).for_each(|octet| *octet = 0);
        failed
    }

    /// An example of an AVP that should have been there.
    pub(super) fn example(definition: Definition) -> Self {
        let AvpKey { code, vendor } = definition.key;
        let vendor_flag = if vendor == 0 { 0 } else { VENDOR_FLAG };
        let flags = vendor_flag | if definition.mandatory { MANDATORY_FLAG } else { 0 };
        let mut header = [&code.to_be_bytes()[..], &[flags, 0, 0, 0]].concat();
        if vendor != 0 {
            header.extend_from_slice(&vendor.to_be_bytes());
        }
        Self::shortest(definition.key, header)
    }

    /// For an AVP whose length leads out of its message: its header, and zeros where it should have a value.
    pub(super) fn broken(rest: &[u8]) -> Self {
        let mut header = rest.get(..8).unwrap_or(rest).to_vec();
        header.resize(8, 0);
        let mut key = AvpKey { code: 0, vendor: 0 };
        if let [c0, c1, c2, c3, flags, ..] = *header {
            key.code = u32::from_be_bytes([c0, c1, c2, c3]);
            if flags & VENDOR_FLAG != 0 {
                let vendor = rest.get(8..).and_then(|after| after.first_chunk()).copied().unwrap_or_default();
                key.vendor = u32::from_be_bytes(vendor);
                header.extend_from_slice(&vendor);
            }
        }
        Self::shortest(key, header)
    }

    fn shortest(key: AvpKey, mut wire: Vec<u8>) -> Self {
        wire.resize(wire.len() + d::shortest(key), 0);
        let mut failed = Self { key, wire: Zeroizing::new(wire) };
        failed.set_length();
        failed.pad();
        failed
    }

    /// Alone in the group whose AVP `group` starts.
    pub(crate) fn inside(self, group: &[u8]) -> Self {
        let header = group.get(..header_length(group)).unwrap_or_default();
        let mut wire = Zeroizing::new(Vec::with_capacity(header.len() + self.wire.len()));
        wire.extend_from_slice(header);
        wire.extend_from_slice(&self.wire);
        let mut failed = Self { key: self.key, wire };
        failed.set_length();
        failed
    }

    pub(super) fn wire(&self) -> &[u8] {
        &self.wire
    }

    fn set_length(&mut self) {
        let [.., a, b, c] = self.wire.len().to_be_bytes();
        if let Some(field) = self.wire.get_mut(5..8) {
            field.copy_from_slice(&[a, b, c]);
        }
    }

    fn pad(&mut self) {
        let padded = self.wire.len().next_multiple_of(4);
        self.wire.resize(padded, 0);
    }
}

fn header_length(avp: &[u8]) -> usize {
    if avp.get(4).is_some_and(|flags| flags & VENDOR_FLAG != 0) { 12 } else { 8 }
}

impl fmt::Debug for FailedAvp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} octets in all)", self.key, self.wire.len())
    }
}
