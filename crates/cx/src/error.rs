//! What a peer sent wrong, and which Result-Code tells it so.

use crate::diameter::FailedAvp;
use crate::{BaseCode, ExperimentalCode};

/// Every decoding error of this crate. The texts fit after "failed to …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CxError {
    #[error("read a Diameter message: version {0} instead of 1")]
    Version(u8),
    #[error("read a Diameter message: its length is not a multiple of four between 20 and 65536")]
    MessageLength,
    #[error("read AVP {}: its length fits neither its type nor its message", .0.key)]
    AvpLength(FailedAvp),
    #[error("read a Diameter message: AVP {} is missing", .0.key)]
    AvpMissing(FailedAvp),
    #[error("read a Diameter message: AVP {} occurs too often", .0.key)]
    AvpTooOften(FailedAvp),
    #[error("read AVP {}: the value is not allowed", .0.key)]
    AvpValue(FailedAvp),
    #[error("read AVP {}: unknown and mandatory", .0.key)]
    AvpUnsupported(FailedAvp),
    #[error("read a Diameter answer: Result-Code and Experimental-Result together")]
    TwoResults,
    #[error("read a Diameter message: a request with the flag of an error")]
    HeaderFlags,
    #[error("read a Diameter request: it needs a feature that is not supported")]
    FeatureUnsupported,
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
    #[error("read user data: more than 500 identities or filter criteria")]
    UserDataTooMany,
    #[error("read a server name: a sip or sips URI of at most 255 characters wanted")]
    ServerNameInvalid,
    #[error("read a visited network: 1 to 255 visible characters wanted")]
    VisitedNetworkInvalid,
}

impl CxError {
    /// What to answer to a request that fails this way. [`Self::experimental_code`] goes before it.
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
            Self::HeaderFlags => BaseCode::InvalidHeaderBits,
            Self::FeatureUnsupported => BaseCode::UnableToComply,
            Self::TooLong => BaseCode::UnableToComply,
            Self::AvpValue(_)
            | Self::UserDataXml { .. }
            | Self::UserDataElement(_)
            | Self::UserDataTooLarge
            | Self::UserDataTooMany
            | Self::ServerNameInvalid
            | Self::VisitedNetworkInvalid => BaseCode::InvalidAvpValue,
        }
    }

    /// The code of Cx that says it better than one of the base protocol.
    pub fn experimental_code(&self) -> Option<ExperimentalCode> {
        match self {
            Self::FeatureUnsupported => Some(ExperimentalCode::FeatureUnsupported),
            Self::UserDataXml { .. } | Self::UserDataElement(_) => {
                Some(ExperimentalCode::NotSupportedUserData)
            }
            Self::UserDataTooLarge | Self::UserDataTooMany => Some(ExperimentalCode::TooMuchData),
            _ => None,
        }
    }

    /// What Failed-AVP carries.
    pub(crate) fn failed_avp(&self) -> Option<&FailedAvp> {
        match self {
            Self::AvpLength(failed)
            | Self::AvpMissing(failed)
            | Self::AvpTooOften(failed)
            | Self::AvpValue(failed)
            | Self::AvpUnsupported(failed) => Some(failed),
            _ => None,
        }
    }

    /// The same, of an AVP inside the group whose AVP starts with `header`.
    pub(crate) fn inside(self, header: &[u8]) -> Self {
        match self {
            Self::AvpLength(failed) => Self::AvpLength(failed.inside(header)),
            Self::AvpMissing(failed) => Self::AvpMissing(failed.inside(header)),
            Self::AvpTooOften(failed) => Self::AvpTooOften(failed.inside(header)),
            Self::AvpValue(failed) => Self::AvpValue(failed.inside(header)),
            Self::AvpUnsupported(failed) => Self::AvpUnsupported(failed.inside(header)),
            other => other,
        }
    }
}
