//! Result codes. The base protocol and Cx both use 5001 to 5012 with different meanings, so they are two types.

use crate::ServerName;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($variant,)*
            /// A code without a name here.
            Other(u32),
        }

        impl $name {
            pub const fn from_code(code: u32) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            pub const fn code(self) -> u32 {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Other(code) => code,
                }
            }
        }
    };
}

codes! {
    /// Result-Code (268) of the base protocol. Source: RFC 6733 7.1.
    BaseCode {
        Success = 2001,
        LimitedSuccess = 2002,
        CommandUnsupported = 3001,
        UnableToDeliver = 3002,
        RealmNotServed = 3003,
        TooBusy = 3004,
        LoopDetected = 3005,
        RedirectIndication = 3006,
        ApplicationUnsupported = 3007,
        InvalidHeaderBits = 3008,
        InvalidAvpBits = 3009,
        UnknownPeer = 3010,
        AuthenticationRejected = 4001,
        OutOfSpace = 4002,
        AvpUnsupported = 5001,
        UnknownSessionId = 5002,
        AuthorizationRejected = 5003,
        InvalidAvpValue = 5004,
        MissingAvp = 5005,
        ResourcesExceeded = 5006,
        ContradictingAvps = 5007,
        AvpNotAllowed = 5008,
        AvpOccursTooManyTimes = 5009,
        NoCommonApplication = 5010,
        UnsupportedVersion = 5011,
        UnableToComply = 5012,
        InvalidBitInHeader = 5013,
        InvalidAvpLength = 5014,
        InvalidMessageLength = 5015,
        InvalidAvpBitCombo = 5016,
        NoCommonSecurity = 5017,
    }
}

impl BaseCode {
    /// Protocol errors set the E bit and use the generic answer.
    pub const fn is_protocol_error(self) -> bool {
        matches!(self.code(), 3000..=3999)
    }

    pub const fn is_success(self) -> bool {
        matches!(self.code(), 2000..=2999)
    }
}

codes! {
    /// Experimental-Result-Code (298) of vendor 10415. Source: TS 29.229 6.2.
    ExperimentalCode {
        FirstRegistration = 2001,
        SubsequentRegistration = 2002,
        UnregisteredService = 2003,
        ServerNameNotStored = 2004,
        UserUnknown = 5001,
        IdentitiesDontMatch = 5002,
        IdentityNotRegistered = 5003,
        RoamingNotAllowed = 5004,
        IdentityAlreadyRegistered = 5005,
        AuthSchemeNotSupported = 5006,
        InAssignmentType = 5007,
        TooMuchData = 5008,
        NotSupportedUserData = 5009,
        FeatureUnsupported = 5011,
        ServingNodeFeatureUnsupported = 5012,
    }
}

/// Why the HSS said no. The texts fit after "failed to …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CxFailure {
    #[error("get Cx data: the HSS answered {0:?}")]
    Base(BaseCode),
    #[error("get Cx data: the HSS answered {0:?}")]
    Experimental(ExperimentalCode),
    /// ERROR_IDENTITY_ALREADY_REGISTERED, with the S-CSCF that holds the registration.
    #[error("get Cx data: the identity is registered at {server_name}")]
    AlreadyRegistered { server_name: ServerName },
}

impl From<BaseCode> for CxFailure {
    fn from(code: BaseCode) -> Self {
        Self::Base(code)
    }
}

impl From<ExperimentalCode> for CxFailure {
    fn from(code: ExperimentalCode) -> Self {
        Self::Experimental(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for code in 0..7000 {
            assert_eq!(BaseCode::from_code(code).code(), code);
            assert_eq!(ExperimentalCode::from_code(code).code(), code);
        }
        assert_eq!(ExperimentalCode::from_code(2005), ExperimentalCode::Other(2005), "void");
        assert!(BaseCode::CommandUnsupported.is_protocol_error());
        assert!(!BaseCode::UnableToComply.is_protocol_error());
    }
}
