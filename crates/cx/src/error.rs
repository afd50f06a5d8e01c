//! What a peer sent wrong, and which Result-Code tells it so.

use std::fmt;

use crate::BaseCode;
use crate::diameter::AvpKey;

/// Every decoding error of this crate. The texts fit after "failed to …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CxError {
    #[error("read a Diameter message: version {0} instead of 1")]
    Version(u8),
    #[error("read a Diameter message: its length is not a multiple of four between 20 and 65536")]
    MessageLength,
    #[error("read AVP {0}: its length does not fit its message")]
    AvpLength(AvpKey),
    #[error("read a Diameter message: AVP {0} is missing")]
    AvpMissing(AvpKey),
    #[error("read a Diameter message: AVP {0} occurs too often")]
    AvpTooOften(AvpKey),
    #[error("read AVP {}: the value is not allowed", .0.key)]
    AvpValue(FailedAvp),
    #[error("read AVP {}: unknown and mandatory", .0.key)]
    AvpUnsupported(FailedAvp),
    #[error("read a Diameter answer: Result-Code and Experimental-Result together")]
    TwoResults,
    #[error("read a Diameter message: command {0} unknown")]
    CommandUnsupported(u32),
    #[error("read a Diameter message: application {0} not served")]
    ApplicationUnsupported(u32),
    #[error("write a Diameter message: longer than 65536 octets")]
    TooLong,
    #[error("read user data: not well-formed XML in UTF-8 (near octet {at})")]
    UserDataXml { at: u64 },
    #[error("read user data: {0} is missing or not allowed")]
    UserDataElement(&'static str),
    #[error("read user data: larger than 49152 octets")]
    UserDataTooLarge,
    #[error("read a server name: a sip or sips URI of at most 255 characters wanted")]
    ServerNameInvalid,
    #[error("read a visited network: 1 to 255 visible characters wanted")]
    VisitedNetworkInvalid,
}

impl CxError {
    /// What to answer to a request that fails this way.
    pub fn code(&self) -> BaseCode {
        match self {
            Self::Version(_) => BaseCode::UnsupportedVersion,
            Self::MessageLength => BaseCode::InvalidMessageLength,
            Self::AvpLength(_) => BaseCode::InvalidAvpLength,
            Self::AvpMissing(_) => BaseCode::MissingAvp,
            Self::AvpTooOften(_) => BaseCode::AvpOccursTooManyTimes,
            Self::AvpUnsupported(_) => BaseCode::AvpUnsupported,
            Self::TwoResults => BaseCode::ContradictingAvps,
            Self::CommandUnsupported(_) => BaseCode::CommandUnsupported,
            Self::ApplicationUnsupported(_) => BaseCode::ApplicationUnsupported,
            Self::TooLong => BaseCode::UnableToComply,
            Self::AvpValue(_)
            | Self::UserDataXml { .. }
            | Self::UserDataElement(_)
            | Self::UserDataTooLarge
            | Self::ServerNameInvalid
            | Self::VisitedNetworkInvalid => BaseCode::InvalidAvpValue,
        }
    }

    /// What Failed-AVP carries. For a missing AVP that is its header alone.
    pub(crate) fn failed_avp(&self) -> Option<FailedAvp> {
        match self {
            Self::AvpValue(failed) | Self::AvpUnsupported(failed) => Some(failed.clone()),
            Self::AvpLength(key) | Self::AvpMissing(key) | Self::AvpTooOften(key) => {
                Some(FailedAvp { key: *key, data: Vec::new() })
            }
            _ => None,
        }
    }
}

/// An AVP that is sent back to whoever sent it. Its content never shows: it may be a key.
#[derive(Clone, PartialEq, Eq)]
pub struct FailedAvp {
    pub key: AvpKey,
    pub data: Vec<u8>,
}

impl fmt::Debug for FailedAvp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} octets)", self.key, self.data.len())
    }
}
