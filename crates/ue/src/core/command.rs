//! What a UE is told to do.

use std::fmt;
use std::net::IpAddr;

use sip::Method;

use super::{Answering, Fault};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Over the current set where there is one, else unprotected.
    Register,
    Deregister,
    /// The UE has this address now: every set ends, and it registers anew from there.
    Move {
        address: IpAddr,
    },
    /// As `Register`, with one thing done wrong on purpose.
    Misbehave(Fault),
    /// Sends a request outside of calls; `Step::Answered` tells what came of it.
    Request(Box<Request>),
    /// Calls somebody; `Step::Call` tells what comes of it.
    Call(Box<Call>),
    /// Ends a call with BYE; one of ours that nobody has answered yet with CANCEL, one that rings here with 480.
    HangUp {
        call: CallId,
    },
    /// Takes a call of ours back, as soon as the other side has given a sign of life.
    Cancel {
        call: CallId,
    },
    /// Offers the session again within the call.
    Reinvite {
        call: CallId,
    },
    /// As `Reinvite`, with UPDATE: also while the call still rings, once the other side rings reliably.
    Update {
        call: CallId,
    },
    /// Says something within a call, with INFO.
    Inform {
        call: CallId,
        body: Body,
    },
    /// From now on it answers so.
    Answer(Box<Answering>),
}

/// A call of this UE, from 1 in the order they began, whoever began them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u32);

/// A request of this UE outside of calls, from 1 in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

/// What a request says of its sender. Everything leaves as it stands here, so that a UE can lie; an address without
/// angle brackets gets them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Address in From; by default our default public identity. A tag is added.
    pub from: Option<Box<str>>,
    /// P-Preferred-Identity, a line each.
    pub preferred: Vec<Box<str>>,
    /// P-Asserted-Identity, which no UE may write, a line each.
    pub asserted: Vec<Box<str>>,
    /// Value of Privacy.
    pub privacy: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    pub content_type: Box<str>,
    pub octets: Vec<u8>,
}

impl Body {
    pub fn text(text: &str) -> Self {
        Self { content_type: "text/plain".into(), octets: text.as_bytes().to_vec() }
    }
}

/// MESSAGE, OPTIONS, PUBLISH or SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method<'static>,
    /// Request-URI, and the address in To.
    pub to: Box<str>,
    pub identity: Identity,
    pub body: Option<Body>,
    /// Of SUBSCRIBE and PUBLISH.
    pub event: Option<Box<str>>,
    /// Of SUBSCRIBE and PUBLISH, in seconds.
    pub expires: Option<u32>,
    /// More lines; one replaces every line of its name that the UE has made.
    pub headers: Vec<(Box<str>, Box<str>)>,
}

impl Request {
    pub fn new(method: Method<'static>, to: &str) -> Self {
        Self {
            method,
            to: to.into(),
            identity: Identity::default(),
            body: None,
            event: None,
            expires: None,
            headers: Vec::new(),
        }
    }

    pub fn message(to: &str, text: &str) -> Self {
        Self { body: Some(Body::text(text)), ..Self::new(Method::Message, to) }
    }

    pub fn options(to: &str) -> Self {
        Self::new(Method::Options, to)
    }

    pub fn subscribe(to: &str, package: &str, expires: u32) -> Self {
        Self { event: Some(package.into()), expires: Some(expires), ..Self::new(Method::Subscribe, to) }
    }

    pub fn publish(to: &str, package: &str, body: Body) -> Self {
        Self {
            event: Some(package.into()),
            expires: Some(3600),
            body: Some(body),
            ..Self::new(Method::Publish, to)
        }
    }
}

impl From<Request> for Command {
    fn from(request: Request) -> Self {
        Self::Request(Box::new(request))
    }
}

/// An INVITE and the call that comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Request-URI, and the address in To.
    pub to: Box<str>,
    /// Also of the requests within the call.
    pub identity: Identity,
    /// The offer; what it says is nobody's business on the way.
    pub session: Body,
    /// Takes provisional answers reliably (100rel), and confirms them with PRACK.
    pub reliable: bool,
    /// More lines of the INVITE; one replaces every line of its name that the UE has made.
    pub headers: Vec<(Box<str>, Box<str>)>,
}

impl Call {
    pub fn to(to: &str) -> Self {
        Self {
            to: to.into(),
            identity: Identity::default(),
            session: Body::session(),
            reliable: true,
            headers: Vec::new(),
        }
    }
}

impl From<Call> for Command {
    fn from(call: Call) -> Self {
        Self::Call(Box::new(call))
    }
}

impl Body {
    /// A session of one audio stream that nobody sends: without an address of the UE, of which others might see it.
    pub fn session() -> Self {
        let session = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
                       m=audio 49170 RTP/AVP 0\r\na=inactive\r\n";
        Self { content_type: "application/sdp".into(), octets: session.into() }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address as a header has it.
pub(super) fn in_brackets(address: &str) -> String {
    if address.contains('<') { address.to_owned() } else { format!("<{address}>") }
}
