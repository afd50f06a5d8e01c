use std::borrow::Cow;

use cx::{BaseCode, CxFailure, ExperimentalCode, LinkError};
use sip::routing;
use thiserror::Error;

/// Why a request is turned down. Each text fits after "refused: ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("{0}")]
    Routing(#[from] routing::Refusal),
    #[error("the sender is not a CSCF of ours")]
    UntrustedPeer,
    #[error("the private or public identity is missing or malformed")]
    NoIdentity,
    #[error("the visited network's name is malformed")]
    BadVisitedNetwork,
    #[error("a request within a dialog does not come this way")]
    InDialog,
    #[error("no network that is known here serves the address")]
    NoPartner,
    #[error("a request of one network for another does not come this way")]
    Transit,
    #[error("who is outside the trust domain does not choose the way inside")]
    UntrustedRoute,
    #[error("a hidden entry of this network cannot be read")]
    BadToken,
    #[error("{0}")]
    Privacy(#[from] trust::MemoryError),
    #[error("nobody has answered")]
    Silent,
    /// To anything but INVITE.
    #[error("the next hop has not answered")]
    NoAnswer,
    #[error("the next hop cannot be reached")]
    Unreachable,
    #[error("the sender has taken it back")]
    Cancelled,
    #[error("the transaction to cancel does not exist")]
    NoSuchTransaction,
    #[error("{0}")]
    Hss(CxFailure),
    /// In answer to LIR.
    #[error("{0}")]
    NotLocated(CxFailure),
    #[error("{0}")]
    Link(LinkError),
    #[error("the HSS answered another question")]
    WrongAnswer,
    #[error("no S-CSCF that fits the user answers")]
    NoSCscf,
    #[error("every S-CSCF that fits the user is overloaded")]
    AllBusy,
    #[error("too many requests are under way")]
    Overloaded,
}

impl Refusal {
    /// The one table from cause to SIP status and reason phrase (`spec/05` section 3).
    //= TS 24.229 5.3.1.2
    pub fn status(&self) -> (u16, Cow<'static, str>) {
        if let Self::Privacy(error) = self {
            let (status, reason) = error.status();
            return (status, reason.into());
        }
        let (status, reason) = self.fixed();
        (status, reason.into())
    }

    fn fixed(&self) -> (u16, &'static str) {
        match self {
            Self::Routing(refusal) => refusal.status(),
            Self::UntrustedPeer | Self::Transit | Self::UntrustedRoute => (403, "Forbidden"),
            Self::NoIdentity | Self::BadVisitedNetwork | Self::BadToken | Self::Privacy(_) => {
                (400, "Bad Request")
            }
            Self::NoPartner => (404, "Not Found"),
            Self::Silent => (408, "Request Timeout"),
            Self::Cancelled => (487, "Request Terminated"),
            Self::NoSuchTransaction | Self::InDialog => (481, "Call/Transaction Does Not Exist"),
            Self::Hss(failure) => of_failure(failure),
            Self::NotLocated(failure) => of_location(failure),
            Self::Link(_) => (480, "Temporarily Unavailable"),
            Self::WrongAnswer | Self::AllBusy | Self::Unreachable => (500, "Server Internal Error"),
            Self::NoSCscf | Self::NoAnswer => (504, "Server Time-out"),
            Self::Overloaded => (503, "Service Unavailable"),
        }
    }
}

fn of_failure(failure: &CxFailure) -> (u16, &'static str) {
    use ExperimentalCode::{IdentitiesDontMatch, IdentityNotRegistered, RoamingNotAllowed, UserUnknown};
    match failure {
        CxFailure::Experimental(
            UserUnknown | IdentitiesDontMatch | IdentityNotRegistered | RoamingNotAllowed,
        )
        | CxFailure::Base(BaseCode::AuthorizationRejected) => (403, "Forbidden"),
        CxFailure::Base(BaseCode::MissingAvp) => (480, "Temporarily Unavailable"),
        _ => (500, "Server Internal Error"),
    }
}

//= TS 24.229 5.3.2.1
fn of_location(failure: &CxFailure) -> (u16, &'static str) {
    match failure {
        CxFailure::Experimental(ExperimentalCode::UserUnknown) => (404, "Not Found"),
        CxFailure::Experimental(ExperimentalCode::IdentityNotRegistered)
        | CxFailure::Base(BaseCode::MissingAvp) => (480, "Temporarily Unavailable"),
        CxFailure::Base(BaseCode::AuthorizationRejected) => (403, "Forbidden"),
        _ => (500, "Server Internal Error"),
    }
}
