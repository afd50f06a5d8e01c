//! What a UE tells of requests between users.

use sip::{Message, Method, Name};

use super::{CallId, Failure};

/// The final answer to a request of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub reason: Box<str>,
    /// Nobody answered: it is what RFC 3261 8.1.3.1 has us believe then.
    pub local: bool,
    /// P-Asserted-Identity: who has answered.
    pub asserted: Vec<Box<str>>,
    pub privacy: Option<Box<str>>,
    pub retry_after: Option<u32>,
    pub headers: Headers,
    pub body_length: usize,
}

/// All header lines of a message, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(Box<str>, Box<str>)>);

/// A request that came to this UE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRequest {
    /// The call it begins or belongs to.
    pub call: Option<CallId>,
    pub method: Box<str>,
    pub request_uri: Box<str>,
    /// As it stands there.
    pub from: Box<str>,
    pub to: Box<str>,
    /// Every P-Asserted-Identity: who the network says has sent it.
    pub asserted: Vec<Box<str>>,
    pub privacy: Option<Box<str>>,
    /// P-Called-Party-ID: by which of our identities we were called.
    pub called_party: Option<Box<str>>,
    pub subject: Option<Box<str>>,
    pub headers: Headers,
    pub body_length: usize,
    /// The beginning of a body of plain text.
    pub text: Option<Box<str>>,
    /// What it was answered with; nothing for an ACK, and for an INVITE whose answer follows.
    pub status: Option<u16>,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallStep {
    /// Our INVITE has left.
    Calling,
    /// Somebody calls us. Who, a `Step::Received` has told.
    Incoming,
    /// A provisional answer other than 100: of the other side, or ours.
    Ringing {
        status: u16,
        reliable: bool,
    },
    /// The other side has answered our call, and has our ACK.
    Answered(Box<Answer>),
    /// We have answered a call, and have the other side's ACK.
    Confirmed,
    /// The other side, or somebody on the way, has refused our call; or we have taken it back (487).
    Refused(Box<Answer>),
    /// We have refused a call.
    Declined {
        status: u16,
    },
    /// The caller has taken its call back.
    Cancelled,
    /// What came of our re-INVITE, UPDATE or INFO.
    Changed {
        method: Method<'static>,
        answer: Box<Answer>,
    },
    Ended {
        by: EndedBy,
    },
    /// A command could not be carried out. The call, where there is one, goes on.
    Failed(Failure),
}

/// Who or what has ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// We have hung up.
    Us,
    /// The other side has hung up.
    Peer,
    /// Nobody confirmed our answer with ACK.
    NoAck,
    /// The other side, or the network, does not know the call any more (408, 481).
    Lost,
    /// The registration it stood on has ended.
    Registration,
}

/// So much of a text is told.
const TEXT: usize = 1024;

impl Answer {
    pub(super) fn of(response: &Message) -> Self {
        Self {
            status: response.status().unwrap_or_default(),
            reason: response.reason().unwrap_or_default().into(),
            local: false,
            asserted: values(response, Name::PAssertedIdentity),
            privacy: line(response, Name::Privacy),
            retry_after: super::subscription::retry_after(response),
            headers: Headers::of(response),
            body_length: response.body().len(),
        }
    }

    /// What silence and a transport that fails stand for.
    //= RFC 3261 8.1.3.1: a timeout is treated as a 408, a transport error as a 503
    pub(super) fn local(transport_failed: bool) -> Self {
        let (status, reason) =
            if transport_failed { (503, "Service Unavailable") } else { (408, "Request Timeout") };
        Self {
            status,
            reason: reason.into(),
            local: true,
            asserted: Vec::new(),
            privacy: None,
            retry_after: None,
            headers: Headers::default(),
            body_length: 0,
        }
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl ReceivedRequest {
    pub(super) fn of(request: &Message, call: Option<CallId>, status: Option<u16>) -> Self {
        let is_text = request.first(Name::ContentType).is_some_and(|kind| kind.starts_with("text/plain"));
        let text = std::str::from_utf8(request.body()).ok().filter(|text| is_text && !text.is_empty());
        Self {
            call,
            method: request.method().as_str().into(),
            request_uri: request.request_uri().unwrap_or_default().into(),
            from: line(request, Name::From).unwrap_or_default(),
            to: line(request, Name::To).unwrap_or_default(),
            asserted: values(request, Name::PAssertedIdentity),
            privacy: line(request, Name::Privacy),
            called_party: line(request, Name::PCalledPartyId),
            subject: line(request, Name::Subject),
            headers: Headers::of(request),
            body_length: request.body().len(),
            text: text.map(|text| text.chars().take(TEXT).collect::<String>().into()),
            status,
        }
    }
}

impl Headers {
    fn of(message: &Message) -> Self {
        let named = |(name, spelling, value): (Name, &str, &str)| {
            let name = if name == Name::Other { spelling } else { name.as_str() };
            (name.into(), value.into())
        };
        Self(message.fields().map(named).collect())
    }

    /// Names in their long form.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The first line of that name, in whatever case.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

fn line(message: &Message, name: Name) -> Option<Box<str>> {
    message.first(name).map(Into::into)
}

fn values(message: &Message, name: Name) -> Vec<Box<str>> {
    message.values(name).map(Into::into).collect()
}

impl CallStep {
    /// Whether a command of ours ends with it. A call's first end is its answer or refusal.
    pub fn ends(&self) -> bool {
        match self {
            Self::Answered(_) | Self::Refused(_) | Self::Changed { .. } | Self::Failed(_) => true,
            Self::Ended { by } => *by == EndedBy::Us,
            _ => false,
        }
    }
}

impl CallStep {
    /// Of an answer, a refusal or a provisional answer, theirs or ours.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(answer) | Self::Refused(answer) | Self::Changed { answer, .. } => {
                Some(answer.status)
            }
            Self::Ringing { status, .. } | Self::Declined { status } => Some(*status),
            _ => None,
        }
    }
}

impl EndedBy {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Peer => "peer",
            Self::NoAck => "no-ack",
            Self::Lost => "lost",
            Self::Registration => "registration",
        }
    }
}
