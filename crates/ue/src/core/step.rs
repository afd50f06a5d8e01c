//! What a UE tells of itself.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sec_agree::{Associations, SecAgreeError};
use sip::Method;
use sip::reginfo::ContactEvent;
use thiserror::Error;

use super::{Answer, CallId, CallStep, ReceivedRequest, RequestId};

/// What has happened; the last step of a command is one that [`Step::ends`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The card accepted the challenge with this RAND.
    Challenged {
        rand: aka::Rand,
        associations: Box<Associations>,
    },
    /// The card answered the challenge with AUTS: the network's sequence number is behind.
    SynchronisationFailure,
    Registered(Box<Registration>),
    Deregistered,
    Failed(Failure),
    /// The network tells of our registration state, for so many seconds.
    Subscribed {
        expires: u32,
    },
    /// The subscription did not come about, or could not be refreshed. The registration is not touched.
    NotSubscribed(Failure),
    /// The network told something of our registration state.
    Notified(Notice),
    /// The registration has run out.
    Lapsed,
    /// A registration of its own accord follows after this time.
    Retrying {
        after: Duration,
    },
    /// A request outside of calls has left.
    Sent {
        request: RequestId,
        method: Method<'static>,
    },
    /// What came of it.
    Answered {
        request: RequestId,
        method: Method<'static>,
        answer: Box<Answer>,
    },
    /// It could not leave.
    NotSent {
        request: RequestId,
        failure: Failure,
    },
    /// Somebody has sent us a request.
    Received(Box<ReceivedRequest>),
    Call {
        call: CallId,
        step: CallStep,
    },
}

impl Step {
    /// Whether the command that led here is done.
    pub fn ends(&self) -> bool {
        match self {
            Self::Registered(_) | Self::Deregistered | Self::Failed(_) => true,
            Self::Answered { .. } | Self::NotSent { .. } => true,
            Self::Call { step, .. } => step.ends(),
            _ => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub expires: u32,
    /// Default identity first.
    pub associated_uris: Vec<Box<str>>,
    /// As received, top first.
    pub service_route: Vec<Box<str>>,
    /// The set that now protects what is sent.
    pub associations: Associations,
}

/// A NOTIFY of the event package reg, as far as it is about our own contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Of the document, where there was one.
    pub version: Option<u32>,
    /// What happened to our contact; nothing when the document does not name it.
    pub event: Option<ContactEvent>,
    /// Seconds the contact has left.
    pub expires: Option<u32>,
    /// Seconds to wait before registering again.
    pub retry_after: Option<u32>,
    /// The network has ended the subscription.
    pub last: bool,
}

/// Why a command failed. Each text fits after "failed to register: ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Failure {
    #[error("the network answered {status} {reason}")]
    Rejected { status: u16, reason: Box<str>, retry_after: Option<u32> },
    #[error("no answer came within {} s{}", patience.as_secs(), garbage(*malformed))]
    NoAnswer { patience: Duration, malformed: u32 },
    #[error("the P-CSCF at {p_cscf} cannot be reached")]
    Unreachable { p_cscf: SocketAddr },
    #[error("the challenge has no usable WWW-Authenticate: {0}")]
    BadChallenge(&'static str),
    #[error("the network could not authenticate itself: the MAC of its challenge is wrong")]
    NetworkAuthentication,
    #[error("the network's sequence number was refused twice")]
    Synchronisation,
    #[error("the challenge has no usable Security-Server: {0}")]
    SecurityAgreement(SecAgreeError),
    #[error("the P-CSCF sees us as {seen}: {cause}")]
    BehindNat { seen: IpAddr, cause: SecAgreeError },
    #[error("no SPI or protected client port is free")]
    NothingFree,
    #[error("the kernel did not take the security associations: {cause}")]
    Kernel { cause: Box<str> },
    #[error("the answer cannot be used: {0}")]
    BadAnswer(&'static str),
    #[error("the request cannot be sent: its set is gone, or too many are under way")]
    CannotSend,
    #[error("not registered")]
    NotRegistered,
    #[error("another command is under way")]
    Busy,
    #[error("too many requests or calls of this UE are under way")]
    TooMany,
    #[error("there is no such call")]
    NoSuchCall,
    #[error("the call is not where this can be done: {0}")]
    NotNow(&'static str),
    #[error("the UE has moved to another address")]
    Moved,
    #[error("the UE cannot live at its new address: {cause}")]
    Address { cause: Box<str> },
    #[error("the UE kept its answer to the challenge back, as it was told")]
    Withheld,
}

impl Failure {
    /// The status of the network's refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Rejected { status, .. } => Some(*status),
            _ => None,
        }
    }
}

fn garbage(malformed: u32) -> String {
    match malformed {
        0 => String::new(),
        count => format!(" ({count} messages came that are no SIP)"),
    }
}
