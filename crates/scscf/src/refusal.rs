//! Why a request is turned down, and what the peer is told: one table.

/// The texts fit after "failed to …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("trust the sender: it is no CSCF of ours")]
    UntrustedPeer,
    #[error("support every Require tag")]
    BadExtension,
    #[error("read To as a public identity")]
    PublicIdentityMalformed,
    #[error("read Authorization, or derive the private identity from To")]
    PrivateIdentityMalformed,
    #[error("read Contact")]
    ContactMalformed,
    #[error("accept Contact: * without Expires: 0")]
    StarWithoutExpiresZero,
    #[error("bind more than one contact")]
    TooManyContacts,
    #[error("bind another contact: the user has as many as allowed")]
    TooManyBindings,
    #[error("bind one of several flows: the first hop's Path entry has no ob")]
    FirstHopLacksOutbound,
    #[error("serve a user in this visited network")]
    RoamingNotAllowed,
    #[error("register for so short a time")]
    IntervalTooBrief,
    #[error("accept the CSeq: not higher than the last one of its Call-ID")]
    CSeqOutOfOrder,
    #[error("verify the response: it is wrong")]
    ResponseWrong,
    #[error("accept an answer for another public identity than was challenged")]
    IdentityMismatch,
    #[error("verify the response: it is empty, the UE could not authenticate the network")]
    NetworkNotAuthenticated,
    #[error("read AUTS")]
    AutsMalformed,
    #[error("resynchronise once more")]
    TooManyResyncs,
    #[error("accept an answer to the challenge that did not come over the new security associations")]
    AnswerUnprotected,
    #[error("accept an answer under another Call-ID than the challenge")]
    CallIdMismatch,
    #[error("accept an answer to a challenge that is over")]
    ChallengeSpent,
    #[error("find the user of a protected REGISTER")]
    UserUnknown,
    #[error("find the binding to remove")]
    NotBound,
    #[error("go on with an attempt a newer REGISTER has replaced")]
    Superseded,
    #[error("register: the HSS does not allow it")]
    HssRefused,
    #[error("register: the HSS could not comply")]
    HssFailed,
    #[error("register: the HSS did not answer")]
    HssUnreachable,
    #[error("register: the profile has no identity that is not barred")]
    NothingAssociated,
    #[error("register: the profile is larger than what is held for one user")]
    ProfileTooLarge,
    #[error("hold more users or subscriptions: the limit is reached")]
    Overloaded,
    #[error("notify of another event package than reg")]
    BadEvent,
    #[error("notify in a form Accept allows")]
    NotAcceptable,
    #[error("read the SUBSCRIBE")]
    SubscribeMalformed,
    #[error("find itself in Route")]
    RouteForeign,
    #[error("find the identity to watch among those registered here")]
    IdentityNotRegistered,
    #[error("let this subscriber watch the identity")]
    SubscriberNotAllowed,
    #[error("send NOTIFY over the dialog's first hop: it is no address of a CSCF of ours")]
    RouteUnusable,
    #[error("find the subscription of the dialog")]
    DialogUnknown,
    #[error("accept the CSeq: not higher than the last one of its dialog")]
    DialogOutOfOrder,
    #[error("watch for so short a time")]
    SubscriptionTooBrief,
    #[error("read Privacy")]
    PrivacyMalformed,
    #[error("pass one of the checks of a proxy")]
    Routing,
    #[error("find out who makes the request: nobody is asserted")]
    NobodyAsserted,
    #[error("find the asserted caller among the users registered here")]
    CallerNotRegistered,
    #[error("serve the asserted caller: the identity is barred")]
    CallerBarred,
    #[error("follow the Route on from here: after the caller's S-CSCF the way is ours to choose")]
    RouteBeyond,
    #[error("serve a request for ourselves")]
    AimedAtUs,
    #[error("send the request on: the configuration names no icscf")]
    NoInterrogating,
    #[error("find the called user")]
    CalleeUnknown,
    #[error("reach the called user: the identity is barred")]
    CalleeBarred,
    #[error("reach the called user, who is not registered")]
    CalleeNotRegistered,
    #[error("reach the called user: no contact lies behind a CSCF of ours")]
    ContactUnreachable,
    #[error("take a request outside a dialog by the Route of one")]
    OutsideItsDialog,
    #[error("find our entry in the Route of a request within a dialog")]
    RouteMissing,
    #[error("send the request on: its next hop is no address of a CSCF of ours")]
    NextHopForeign,
    #[error("get an answer from the next hop in time")]
    NextHopSilent,
    #[error("deliver the request to the next hop")]
    NextHopUnreachable,
    #[error("find the INVITE to cancel")]
    NothingToCancel,
    #[error("go on with an INVITE that was cancelled")]
    TakenBack,
}

impl Refusal {
    /// Status and reason phrase of the answer.
    pub const fn status(self) -> (u16, &'static str) {
        match self {
            Self::PublicIdentityMalformed
            | Self::PrivateIdentityMalformed
            | Self::ContactMalformed
            | Self::StarWithoutExpiresZero
            | Self::SubscribeMalformed
            | Self::Routing
            | Self::PrivacyMalformed
            | Self::RouteForeign => (400, "Bad Request"),
            Self::UntrustedPeer
            | Self::TooManyContacts
            | Self::TooManyBindings
            | Self::SubscriberNotAllowed
            | Self::RouteUnusable
            | Self::RoamingNotAllowed
            | Self::ResponseWrong
            | Self::IdentityMismatch
            | Self::NetworkNotAuthenticated
            | Self::AutsMalformed
            | Self::TooManyResyncs
            | Self::AnswerUnprotected
            | Self::CallIdMismatch
            | Self::ChallengeSpent
            | Self::HssRefused
            | Self::NobodyAsserted
            | Self::CallerNotRegistered
            | Self::CallerBarred
            | Self::RouteBeyond
            | Self::OutsideItsDialog
            | Self::NextHopForeign
            | Self::NothingAssociated => (403, "Forbidden"),
            Self::IdentityNotRegistered | Self::AimedAtUs | Self::CalleeUnknown | Self::CalleeBarred => {
                (404, "Not Found")
            }
            Self::NextHopSilent => (408, "Request Timeout"),
            Self::NotAcceptable => (406, "Not Acceptable"),
            Self::BadExtension => (420, "Bad Extension"),
            Self::FirstHopLacksOutbound => (439, "First Hop Lacks Outbound Support"),
            Self::IntervalTooBrief | Self::SubscriptionTooBrief => (423, "Interval Too Brief"),
            Self::HssUnreachable | Self::CalleeNotRegistered | Self::ContactUnreachable => {
                (480, "Temporarily Unavailable")
            }
            Self::NotBound | Self::DialogUnknown | Self::RouteMissing | Self::NothingToCancel => {
                (481, "Call/Transaction Does Not Exist")
            }
            Self::TakenBack => (487, "Request Terminated"),
            Self::BadEvent => (489, "Bad Event"),
            Self::CSeqOutOfOrder
            | Self::DialogOutOfOrder
            | Self::UserUnknown
            | Self::ProfileTooLarge
            | Self::Superseded
            | Self::NoInterrogating
            | Self::NextHopUnreachable
            | Self::HssFailed => (500, "Server Internal Error"),
            Self::Overloaded => (503, "Service Unavailable"),
        }
    }

    /// Whether it is a failed authentication, which the HSS is told when the user is not registered.
    pub(crate) const fn is_authentication_failure(self) -> bool {
        matches!(
            self,
            Self::ResponseWrong
                | Self::IdentityMismatch
                | Self::NetworkNotAuthenticated
                | Self::AutsMalformed
                | Self::TooManyResyncs
                | Self::AnswerUnprotected
        )
    }
}
