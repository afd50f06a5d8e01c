//! What others ask of this UE outside of calls, and the checks that every request of theirs passes.

use sip::header::Scheme;
use sip::{Flow, Instant, Message, Method, Name, OptionTags, ServerId, Uri};

use super::{Body, CallId, ReceivedRequest, Step, Ue};

/// What this UE understands.
pub(super) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO, MESSAGE, OPTIONS, SUBSCRIBE, NOTIFY";
pub(super) const SUPPORTED: &str = "100rel";

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) status: u16,
    pub(super) reason: Box<str>,
    pub(super) lines: Vec<(Name, String)>,
    pub(super) body: Option<Body>,
}

impl Verdict {
    pub(super) fn new(status: u16, reason: &str) -> Self {
        Self { status, reason: reason.into(), lines: Vec::new(), body: None }
    }

    pub(super) fn ok() -> Self {
        Self::new(200, "OK")
    }

    pub(super) fn no_dialog() -> Self {
        Self::new(481, "Call/Transaction Does Not Exist")
    }

    pub(super) fn with(mut self, name: Name, value: impl Into<String>) -> Self {
        self.lines.push((name, value.into()));
        self
    }
}

/// What came, and where the answer to it goes.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) id: ServerId,
    pub(super) flow: Flow,
    pub(super) request: Message,
}

impl Ue {
    pub(super) fn asked(&mut self, now: Instant, asked: Asked) {
        if let Err(verdict) = check(&asked.request) {
            return self.answer(now, &asked, &verdict, None);
        }
        if asked.request.method() == Method::Subscribe {
            return self.subscribed_to(now, &asked);
        }
        if asked.request.to().is_ok_and(|to| to.tag().is_some()) {
            return self.asked_within(now, asked);
        }
        let verdict = match asked.request.method() {
            Method::Invite => return self.invited(now, asked),
            Method::Message => Verdict::ok(),
            Method::Options => self.abilities(),
            _ => Verdict::no_dialog(),
        };
        self.answer(now, &asked, &verdict, None);
    }

    /// What this UE can do.
    //= RFC 3261 11.2
    pub(super) fn abilities(&self) -> Verdict {
        let verdict = Verdict::ok()
            .with(Name::Allow, ALLOW)
            .with(Name::Accept, "application/sdp, text/plain")
            .with(Name::Supported, SUPPORTED)
            .with(Name::Contact, self.current_contact());
        match self.config.answering.packages.join(", ") {
            packages if packages.is_empty() => verdict,
            packages => verdict.with(Name::AllowEvents, packages),
        }
    }

    /// Answers a request, and tells of it.
    pub(super) fn answer(&mut self, now: Instant, asked: &Asked, verdict: &Verdict, call: Option<CallId>) {
        let tag = self.token();
        let mut draft = self.reply(&asked.request, verdict.status, &verdict.reason, &tag);
        for (name, value) in &verdict.lines {
            draft.push(*name, value.clone());
        }
        if let Some(body) = &verdict.body {
            draft.body(body.content_type.to_string(), body.octets.clone());
        }
        let response = draft.finish();
        self.respond_to(now, asked, response);
        self.received_step(&asked.request, call, Some(verdict.status));
    }

    pub(super) fn respond_to(&mut self, now: Instant, asked: &Asked, response: Message) {
        if let Some(flow) = self.answer_flow(&asked.flow) {
            self.transactions.respond_on(now, asked.id, flow, response);
        }
    }

    pub(super) fn received_step(&mut self, request: &Message, call: Option<CallId>, status: Option<u16>) {
        self.step(Step::Received(Box::new(ReceivedRequest::of(request, call, status))));
    }
}

/// The checks of a UAS in their order: method, Request-URI, Require.
//= RFC 3261 8.2
fn check(request: &Message) -> Result<(), Verdict> {
    if ALLOW.split(", ").all(|method| method != request.method().as_str()) {
        return Err(Verdict::new(405, "Method Not Allowed").with(Name::Allow, ALLOW));
    }
    let uri = Uri::parse(request.request_uri().unwrap_or_default());
    if !uri.is_ok_and(|uri| uri.scheme != Scheme::Other) {
        return Err(Verdict::new(416, "Unsupported URI Scheme"));
    }
    let mut required = OptionTags::of(request, Name::Require);
    required.remove(SUPPORTED);
    match required.value() {
        Some(unsupported) => Err(Verdict::new(420, "Bad Extension").with(Name::Unsupported, unsupported)),
        None => Ok(()),
    }
}
