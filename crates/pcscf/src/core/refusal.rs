use std::borrow::Cow;

use sec_agree::SecAgreeError;
use sip::Name;
use sip::routing;
use thiserror::Error;
use trust::{MemoryError, PrivacyError};

use super::Config;

/// Why a request of a UE is turned down. Each text fits after "refused: ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("{0}")]
    Routing(#[from] routing::Refusal),
    #[error("the request has more than one Via: it did not come straight from a UE")]
    NotFirstHop,
    #[error("sec-agree is not offered, and this network asks for IPsec")]
    NoSecAgree,
    #[error("Security-Client is missing")]
    NoSecurityClient,
    #[error("Security-Client: {0}")]
    BadSecurityClient(SecAgreeError),
    #[error("the UE cannot be served behind its NAT: {0}")]
    BehindNat(SecAgreeError),
    #[error("Security-Verify is missing or cannot be read")]
    NoSecurityVerify,
    #[error("{0}")]
    NotAsAgreed(SecAgreeError),
    #[error("the private identity is missing or malformed")]
    NoIdentity,
    #[error("the private identity is not the one of the security association")]
    WrongIdentity,
    #[error("the Via names another address than the one of the security association")]
    WrongAddress,
    #[error("the answer to the challenge is missing")]
    NoAnswer,
    #[error("the answer to the challenge came in clear")]
    AnswerUnprotected,
    /// Never told to anybody: such a message is discarded.
    #[error("the answer to the challenge came over another set of security associations")]
    WrongSet,
    #[error("a set of security associations already uses this client port of the UE")]
    PortInUse,
    #[error("this subscriber already has three sets of security associations")]
    TooManySets,
    #[error("the home domain of the Request-URI is not served here")]
    UnknownDomain,
    #[error("only REGISTER is taken outside a security association")]
    Unprotected,
    #[error("this method is not served")]
    MethodNotServed,
    #[error("this contact is not registered")]
    NotRegistered,
    #[error("the UE is not reachable over a security association")]
    Unreachable,
    #[error("the UE did not answer")]
    UeSilent,
    #[error("the next hop is not a neighbour of this P-CSCF")]
    NoRoute,
    #[error("the sender is no neighbour of this P-CSCF")]
    UntrustedPeer,
    #[error("the dialog does not exist")]
    NoSuchDialog,
    #[error("the CSeq is not higher than the last one")]
    OutOfOrder,
    #[error("the event package is not served")]
    BadEvent,
    #[error("the transaction to cancel does not exist")]
    NoSuchTransaction,
    #[error("no SPI or protected port is free")]
    NothingFree,
    #[error("the kernel did not take the security associations")]
    Kernel,
    #[error("the challenge of the core network has no keys or came at the wrong time")]
    BadChallenge,
    #[error("the core network did not answer")]
    CoreSilent,
    #[error("the core network did not answer the INVITE")]
    NoAnswerToInvite,
    #[error("the core network cannot be reached")]
    CoreUnreachable,
    #[error("the INVITE was cancelled")]
    Cancelled,
    #[error("none of the identities of this UE may be asserted")]
    NoIdentityToAssert,
    #[error("cannot {0}")]
    Privacy(#[from] MemoryError),
    #[error("too many REGISTERs come from this address")]
    TooFast,
    #[error("too many registrations are under way")]
    Overloaded,
}

impl From<PrivacyError> for Refusal {
    fn from(error: PrivacyError) -> Self {
        Self::Privacy(error.into())
    }
}

impl Refusal {
    /// Why nothing of an offer can be taken.
    pub(super) fn of_offer(error: SecAgreeError) -> Self {
        match error {
            SecAgreeError::NoUdpEncTun | SecAgreeError::UdpEncTunNotAllowed => Self::BehindNat(error),
            _ => Self::BadSecurityClient(error),
        }
    }

    /// The one table from cause to SIP status and reason phrase (`spec/03` section 3, `spec/05` section 2).
    pub fn status(&self) -> (u16, Cow<'static, str>) {
        if let Self::Privacy(error) = self {
            let (status, reason) = error.status();
            return (status, reason.into());
        }
        let (status, reason) = self.plain_status();
        (status, reason.into())
    }

    fn plain_status(&self) -> (u16, &'static str) {
        match self {
            Self::Routing(refusal) => refusal.status(),
            Self::NotFirstHop => (502, "Bad Gateway"),
            // Annex M has a P-CSCF say nothing; whoever set up the UE shall know (see docs/deviations.md).
            Self::BehindNat(SecAgreeError::UdpEncTunNotAllowed) => (403, "NAT Traversal Not Allowed"),
            Self::BehindNat(_) => (403, "UE Behind NAT Offers No UDP-enc-tun"),
            //= RFC 3329 2.3.1
            Self::NoSecAgree => (421, "Extension Required"),
            Self::BadSecurityClient(SecAgreeError::NoCommonAlgorithm)
            | Self::WrongIdentity
            | Self::WrongAddress
            | Self::AnswerUnprotected
            | Self::WrongSet
            | Self::NotRegistered
            | Self::UntrustedPeer
            | Self::PortInUse
            | Self::TooManySets
            | Self::NoIdentityToAssert
            | Self::Unprotected => (403, "Forbidden"),
            Self::NoSecurityClient | Self::BadSecurityClient(_) | Self::NoIdentity | Self::NoAnswer => {
                (400, "Bad Request")
            }
            Self::NoSecurityVerify | Self::NotAsAgreed(_) => (494, "Security Agreement Required"),
            Self::NoRoute | Self::UnknownDomain => (404, "Not Found"),
            Self::MethodNotServed => (405, "Method Not Allowed"),
            Self::UeSilent | Self::NoAnswerToInvite => (408, "Request Timeout"),
            Self::Unreachable => (480, "Temporarily Unavailable"),
            Self::NoSuchTransaction | Self::NoSuchDialog => (481, "Call/Transaction Does Not Exist"),
            Self::Cancelled => (487, "Request Terminated"),
            Self::BadEvent => (489, "Bad Event"),
            Self::NothingFree | Self::Overloaded | Self::TooFast => (503, "Service Unavailable"),
            Self::Kernel
            | Self::BadChallenge
            | Self::OutOfOrder
            | Self::CoreUnreachable
            | Self::Privacy(_) => (500, "Server Internal Error"),
            Self::CoreSilent => (504, "Server Time-out"),
        }
    }

    pub(super) fn headers(&self, config: &Config) -> Vec<(Name, String)> {
        match self {
            Self::Routing(routing::Refusal::BadExtension { unsupported }) => {
                vec![(Name::Unsupported, unsupported.to_string())]
            }
            Self::NoSecAgree => {
                vec![(Name::Require, "sec-agree".into()), (Name::SecurityServer, config.policy.advertised())]
            }
            Self::NoSecurityVerify | Self::NotAsAgreed(_) => {
                vec![(Name::SecurityServer, config.policy.advertised())]
            }
            Self::MethodNotServed => {
                vec![(Name::Allow, "NOTIFY".into())]
            }
            Self::BadEvent => vec![(Name::AllowEvents, sip::reginfo::PACKAGE.into())],
            Self::NothingFree | Self::Overloaded | Self::TooFast => {
                vec![(Name::RetryAfter, "30".into())]
            }
            _ => Vec::new(),
        }
    }
}
