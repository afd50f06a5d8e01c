//! The AVPs of a message that its type has no place for.

use std::fmt;

use zeroize::Zeroizing;

use super::dictionary as d;
use super::fields::group;
use super::{Avp, Avps};
use crate::CxError;

/// In wire form and in their order; at most as long as the message they came in. Wiped on drop: nobody knows what
/// they are, so they may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extra(Zeroizing<Vec<u8>>);

impl Extra {
    pub(super) fn collect<'a>(avps: impl Iterator<Item = Avp<'a>> + Clone) -> Self {
        // Sized before it is filled: a buffer that grows leaves copies behind.
        let length = avps.clone().map(|avp| avp.whole.len().next_multiple_of(4)).sum();
        let mut wire = Zeroizing::new(Vec::with_capacity(length));
        for avp in avps {
            wire.extend_from_slice(avp.whole);
            let padded = wire.len().next_multiple_of(4);
            wire.resize(padded, 0);
        }
        Self(wire)
    }

    pub fn avps(&self) -> impl Iterator<Item = Avp<'_>> {
        Avps::new(&self.0).map_while(Result::ok)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The Supported-Features among them.
    pub fn supported_features(&self) -> Result<Vec<SupportedFeatures>, CxError> {
        self.avps().filter(|avp| avp.key == d::SUPPORTED_FEATURES.key).map(SupportedFeatures::read).collect()
    }
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.avps()).finish()
    }
}

/// One Supported-Features AVP (TS 29.229 6.3.29 and 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupportedFeatures {
    pub vendor: u32,
    pub list: u32,
    pub features: u32,
    /// In a request: it cannot be carried out without them.
    pub required: bool,
}

impl SupportedFeatures {
    /// Feature bits of list 1. Source: TS 29.229 table 7.1.1.
    pub const SHARED_IFC_SETS: u32 = 1;
    pub const ALIAS_INDICATION: u32 = 1 << 1;
    pub const IMS_RESTORATION: u32 = 1 << 2;
    pub const P_CSCF_RESTORATION: u32 = 1 << 3;
    /// What this implementation does.
    pub const OURS: Self = Self {
        vendor: d::VENDOR_3GPP,
        list: 1,
        features: Self::ALIAS_INDICATION | Self::IMS_RESTORATION,
        required: false,
    };

    fn read(avp: Avp<'_>) -> Result<Self, CxError> {
        group(avp, |fields| {
            Ok(Self {
                vendor: fields.number(d::VENDOR_ID)?,
                list: fields.number(d::FEATURE_LIST_ID)?,
                features: fields.number(d::FEATURE_LIST)?,
                required: avp.mandatory,
            })
        })
    }

    /// Whether a request with these must be refused.
    //= TS 29.229 7.2.1
    pub(super) fn ask_too_much(self) -> bool {
        let ours = (self.vendor, self.list) == (Self::OURS.vendor, Self::OURS.list);
        let missing = if ours { self.features & !Self::OURS.features } else { self.features };
        self.required && missing != 0
    }
}
