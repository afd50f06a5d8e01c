//! The Cx operations as types. Full names as in TS 29.229; the enums carry the three-letter command names.

mod initiated;
mod location;
mod restoration;

use std::fmt;
use std::sync::Arc;

use aka::{AuthVector, Auts, Impi, Impu, Rand};

pub use initiated::{
    PushProfileRequest, ReasonCode, RegistrationTermination, RegistrationTerminationRequest,
};
pub use location::{LocationInfo, LocationInfoRequest};
pub use restoration::{RestorationInfo, RestoredContact, RestoredSubscription};

use crate::{CxError, CxFailure, UserData};

/// What one end asks: the first four an I-CSCF or S-CSCF, the last two the HSS.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Uar(UserAuthorizationRequest),
    Sar(ServerAssignmentRequest),
    Lir(LocationInfoRequest),
    Mar(MultimediaAuthRequest),
    Rtr(RegistrationTerminationRequest),
    Ppr(PushProfileRequest),
}

/// What the other end answers, in the same order.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Uaa(Result<UserAuthorization, CxFailure>),
    Saa(Result<ServerAssignment, CxFailure>),
    Lia(Result<LocationInfo, CxFailure>),
    Maa(Result<MultimediaAuth, CxFailure>),
    Rta(Result<RegistrationTermination, CxFailure>),
    Ppa(Result<(), CxFailure>),
}

impl Request {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Uar(_) => "UAR",
            Self::Sar(_) => "SAR",
            Self::Lir(_) => "LIR",
            Self::Mar(_) => "MAR",
            Self::Rtr(_) => "RTR",
            Self::Ppr(_) => "PPR",
        }
    }

    pub const fn answer_name(&self) -> &'static str {
        match self {
            Self::Uar(_) => "UAA",
            Self::Sar(_) => "SAA",
            Self::Lir(_) => "LIA",
            Self::Mar(_) => "MAA",
            Self::Rtr(_) => "RTA",
            Self::Ppr(_) => "PPA",
        }
    }

    /// The answer that says no.
    pub fn refused(&self, failure: impl Into<CxFailure>) -> Answer {
        let failure = failure.into();
        match self {
            Self::Uar(_) => Answer::Uaa(Err(failure)),
            Self::Sar(_) => Answer::Saa(Err(failure)),
            Self::Lir(_) => Answer::Lia(Err(failure)),
            Self::Mar(_) => Answer::Maa(Err(failure)),
            Self::Rtr(_) => Answer::Rta(Err(failure)),
            Self::Ppr(_) => Answer::Ppa(Err(failure)),
        }
    }
}

impl Answer {
    /// Why the answer is no.
    pub fn failure(&self) -> Option<&CxFailure> {
        match self {
            Self::Uaa(answer) => answer.as_ref().err(),
            Self::Saa(answer) => answer.as_ref().err(),
            Self::Lia(answer) => answer.as_ref().err(),
            Self::Maa(answer) => answer.as_ref().err(),
            Self::Rta(answer) => answer.as_ref().err(),
            Self::Ppa(answer) => answer.as_ref().err(),
        }
    }
}

/// UAR: may this identity register, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAuthorizationRequest {
    pub impi: Impi,
    pub impu: Impu,
    pub visited_network: VisitedNetwork,
    pub kind: UserAuthorizationType,
    /// UAR-Flags bit 0: an emergency registration, which skips the roaming check.
    pub emergency: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserAuthorizationType {
    Registration,
    DeRegistration,
    RegistrationAndCapabilities,
}

/// UAA, when the answer is yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserAuthorization {
    /// DIAMETER_FIRST_REGISTRATION: nobody serves this user, choose by the capabilities.
    FirstRegistration { capabilities: ServerCapabilities },
    /// DIAMETER_SUBSEQUENT_REGISTRATION.
    Subsequent { server_name: ServerName },
    /// DIAMETER_SUCCESS to a de-registration.
    DeRegistration { server_name: ServerName },
    /// DIAMETER_SUCCESS to REGISTRATION_AND_CAPABILITIES.
    Capabilities { capabilities: ServerCapabilities },
}

/// Server-Capabilities: what an S-CSCF must and should have, and which ones are named outright.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerCapabilities {
    pub mandatory: Vec<u32>,
    pub optional: Vec<u32>,
    pub server_names: Vec<ServerName>,
}

/// MAR: give me vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultimediaAuthRequest {
    pub impi: Impi,
    pub impu: Impu,
    pub server_name: ServerName,
    /// How many vectors are wanted; the HSS may give another number.
    pub items: u32,
    pub scheme: AuthScheme,
    /// The challenge the card refused, and its AUTS.
    pub resync: Option<(Rand, Auts)>,
}

/// SIP-Authentication-Scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthScheme {
    /// `Digest-AKAv1-MD5`, which on Cx also stands for AKAv2.
    DigestAka,
    /// Any other: the HSS refuses it.
    Other(Arc<str>),
}

impl AuthScheme {
    pub fn as_str(&self) -> &str {
        match self {
            Self::DigestAka => "Digest-AKAv1-MD5",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for AuthScheme {
    fn from(name: &str) -> Self {
        if name == Self::DigestAka.as_str() { Self::DigestAka } else { Self::Other(name.into()) }
    }
}

/// MAA: the vectors, in the order they must be used. None is possible.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MultimediaAuth {
    pub vectors: Vec<AuthVector>,
}

/// SAR: this S-CSCF now serves, or no longer serves, these identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAssignmentRequest {
    pub impi: Option<Impi>,
    pub impus: Vec<Impu>,
    pub server_name: ServerName,
    pub assignment: ServerAssignmentType,
    pub user_data_already_available: bool,
    /// For the HSS to keep, in the place of what it had.
    pub restoration: Option<RestorationInfo>,
}

/// Server-Assignment-Type. 12 to 14 belong to SWx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerAssignmentType {
    NoAssignment,
    Registration,
    ReRegistration,
    UnregisteredUser,
    TimeoutDeregistration,
    UserDeregistration,
    TimeoutDeregistrationStoreServerName,
    UserDeregistrationStoreServerName,
    AdministrativeDeregistration,
    AuthenticationFailure,
    AuthenticationTimeout,
    DeregistrationTooMuchData,
}

impl ServerAssignmentType {
    pub const ALL: [Self; 12] = [
        Self::NoAssignment,
        Self::Registration,
        Self::ReRegistration,
        Self::UnregisteredUser,
        Self::TimeoutDeregistration,
        Self::UserDeregistration,
        Self::TimeoutDeregistrationStoreServerName,
        Self::UserDeregistrationStoreServerName,
        Self::AdministrativeDeregistration,
        Self::AuthenticationFailure,
        Self::AuthenticationTimeout,
        Self::DeregistrationTooMuchData,
    ];

    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Whether the request may name one public identity only.
    //= TS 29.228 6.1.2.1
    pub const fn takes_one_identity(self) -> bool {
        matches!(
            self,
            Self::NoAssignment
                | Self::Registration
                | Self::ReRegistration
                | Self::UnregisteredUser
                | Self::AuthenticationFailure
                | Self::AuthenticationTimeout
        )
    }
}

/// SAA, when the answer is yes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerAssignment {
    /// A private identity of the user, when the request named none.
    pub impi: Option<Impi>,
    pub user_data: Option<UserData>,
    /// Boxed because it is large and rare.
    pub charging: Option<Box<ChargingInformation>>,
    /// DIAMETER_SUCCESS_SERVER_NAME_NOT_STORED: done, but the HSS does not keep the S-CSCF name.
    pub server_name_not_stored: bool,
    /// What an S-CSCF that is gone has left, for the one that takes over.
    pub restoration: Vec<RestorationInfo>,
}

/// Charging-Information: Diameter URIs of the charging functions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChargingInformation {
    pub primary_event: Option<String>,
    pub secondary_event: Option<String>,
    pub primary_collection: Option<String>,
    pub secondary_collection: Option<String>,
}

macro_rules! short_text {
    ($(#[$doc:meta])* $name:ident, $error:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: &str) -> Result<Self, CxError> {
                let is_plain = text.len() <= 255
                    && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'<' | b'>'));
                let check: fn(&str) -> bool = $check;
                if is_plain && check(text) { Ok(Self(text.into())) } else { Err(CxError::$error) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

short_text! {
    /// The SIP URI of an S-CSCF. Compared as it is written: the HSS stores what the S-CSCF sent.
    ServerName, ServerNameInvalid, |text| {
        let scheme = text.split_once(':').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
        scheme.is_some_and(|(scheme, rest)| matches!(scheme.as_str(), "sip" | "sips") && !rest.is_empty())
    }
}
short_text! {
    /// The text of P-Visited-Network-ID without its quotes.
    VisitedNetwork, VisitedNetworkInvalid, |text| !text.is_empty()
}

impl VisitedNetwork {
    /// As an AVP holds it: Kamailio's I-CSCF leaves the header's quotes on.
    pub(crate) fn received(text: &str) -> Result<Self, CxError> {
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        Self::new(inner.unwrap_or(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignment_types_have_their_codes() {
        for (code, kind) in (0u32..).zip(ServerAssignmentType::ALL) {
            assert_eq!((kind.code(), ServerAssignmentType::from_code(code)), (code, Some(kind)));
        }
        assert_eq!(ServerAssignmentType::from_code(12), None);
        assert_eq!(ServerAssignmentType::AuthenticationFailure.code(), 9);
    }

    #[test]
    fn names_are_checked() {
        assert!(ServerName::new("sip:scscf.home.example:6060").is_ok());
        for wrong in ["", "sip:", "scscf.home.example", "sip:a b", "sip:a\r\nb", "tel:1"] {
            assert_eq!(ServerName::new(wrong), Err(CxError::ServerNameInvalid), "{wrong:?}");
        }
        assert!(VisitedNetwork::new("ims.visited.example").is_ok());
        assert_eq!(VisitedNetwork::new(""), Err(CxError::VisitedNetworkInvalid));
    }

    #[test]
    fn a_visited_network_may_come_with_the_quotes_of_its_header() {
        let plain = VisitedNetwork::new("ims.visited.example").unwrap();
        for text in ["ims.visited.example", "\"ims.visited.example\""] {
            assert_eq!(VisitedNetwork::received(text), Ok(plain.clone()), "{text}");
        }
        for wrong in ["", "\"", "\"\"", "\"\"a\"\"", "a\"", "\"a"] {
            assert_eq!(VisitedNetwork::received(wrong), Err(CxError::VisitedNetworkInvalid), "{wrong}");
        }
    }
}
