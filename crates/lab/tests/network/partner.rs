//! Somebody outside of every trust domain: a small user agent that asks what a test tells it, and answers.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use sip::dialog::Dialog;
use sip::{
    ClientId, Draft, Event, Flow, Instant, Message, Method, Name, Received, ServerId, Timers, Transactions,
    Transmit, Transport,
};

use super::sites::{PARTNER, PARTNER_DOMAIN};

/// What it is told to do.
#[derive(Debug)]
pub(crate) enum Act {
    /// Begin something: the request without Via, to this address. An INVITE begins a call.
    Ask { to: SocketAddr, transport: Transport, request: Message },
    /// Something more within the call of this Call-ID.
    Within { call_id: String, method: Method<'static>, body: Option<String> },
    /// Take back the INVITE of this Call-ID.
    Cancel { call_id: String },
}

/// How it answers: a status, when, and with which further headers.
type Answers = Box<dyn FnMut(&Message) -> Vec<(Duration, u16, Vec<(Name, String)>)>>;

pub(crate) struct Partner {
    transactions: Transactions,
    /// What it was asked, without repetitions; ACK too.
    pub(crate) requests: Vec<Message>,
    /// What it was answered.
    pub(crate) responses: Vec<Message>,
    /// Its answers; `None`: 180 and soon 200 to INVITE, 200 to all else.
    pub(crate) answers: Option<Answers>,
    calls: HashMap<String, Call>,
    asked: HashMap<ClientId, (Message, Flow)>,
    /// Answers that are not due.
    later: Vec<(Instant, ServerId, Message)>,
    /// 2xx to an INVITE that nobody has acknowledged.
    unacknowledged: Vec<Repeated>,
    acknowledgements: VecDeque<Transmit>,
    next: u64,
}

struct Call {
    dialog: Dialog,
    flow: Flow,
}

struct Repeated {
    call_id: String,
    transmit: Transmit,
    at: Instant,
    interval: Duration,
    until: Instant,
}

impl Partner {
    pub(super) fn new() -> Self {
        Self {
            transactions: Transactions::new(10_000),
            requests: Vec::new(),
            responses: Vec::new(),
            answers: None,
            calls: HashMap::new(),
            asked: HashMap::new(),
            later: Vec::new(),
            unacknowledged: Vec::new(),
            acknowledgements: VecDeque::new(),
            next: 0,
        }
    }

    /// Calls that stand.
    pub(crate) fn calls(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn open_transactions(&self) -> usize {
        self.transactions.len() + self.later.len() + self.unacknowledged.len()
    }

    /// A request as it writes them: to `uri`, from itself, without Via.
    pub(crate) fn request(&mut self, method: Method<'static>, uri: &str) -> Draft<'static> {
        let number = self.fresh();
        let mut draft = Draft::request(method, uri.to_owned());
        draft
            .push(Name::MaxForwards, "70")
            .push(Name::From, format!("<sip:stranger@{PARTNER_DOMAIN}>;tag=p{number}"))
            .push(Name::To, format!("<{uri}>"))
            .push(Name::CallId, format!("partner-{number}"))
            .push(Name::CSeq, format!("1 {}", method.as_str()))
            .push(Name::Contact, format!("<sip:stranger@{PARTNER}>"));
        draft
    }

    pub(super) fn act(&mut self, now: Instant, act: Act) {
        match act {
            Act::Ask { to, transport, request } => {
                let flow = Flow { transport, local: PARTNER, remote: to, connection: None };
                self.ask(now, flow, &mut Draft::forward(&request));
            }
            Act::Within { call_id, method, body } => {
                let Some(call) = self.calls.get_mut(&call_id) else { panic!("no call {call_id}") };
                let flow = call.flow;
                let mut draft = call.dialog.request(method);
                draft.push(Name::Contact, format!("<sip:stranger@{PARTNER}>"));
                if let Some(body) = body {
                    draft.body("application/sdp", body.into_bytes());
                }
                if method == Method::Bye {
                    self.calls.remove(&call_id);
                }
                self.ask(now, flow, &mut draft);
            }
            Act::Cancel { call_id } => {
                let invite = |(request, _): &&(Message, Flow)| {
                    request.call_id() == call_id && request.method() == Method::Invite
                };
                let Some((invite, flow)) = self.asked.values().find(invite).cloned() else {
                    panic!("no INVITE {call_id}")
                };
                let cancel = cancel(&invite);
                self.transactions.request(now, flow, Timers::CORE, cancel).expect("it is not yet cancelled");
            }
        }
    }

    fn ask(&mut self, now: Instant, flow: Flow, draft: &mut Draft<'_>) {
        let branch = self.fresh();
        let via = format!("SIP/2.0/{} {PARTNER};branch=z9hG4bKp{branch}", flow.transport.as_str());
        draft.push_front(Name::Via, via);
        let request = draft.finish();
        let id = self.transactions.request(now, flow, Timers::CORE, request.clone());
        self.asked.insert(id.expect("a fresh branch"), (request, flow));
    }

    pub(super) fn received(&mut self, now: Instant, flow: Flow, message: Message) {
        match self.transactions.receive(now, flow, Timers::CORE, message) {
            Received::Request { id, request } => self.asked(now, id, &request),
            Received::Cancel { id, invite, request } => {
                let status = if invite.is_some() { 200 } else { 481 };
                self.answer(now, id, &request, status, &[]);
                let waiting = self.later.iter().any(|(_, server, _)| Some(*server) == invite);
                self.later.retain(|(_, server, _)| Some(*server) != invite);
                let of =
                    |one: &&Message| one.method() == Method::Invite && one.call_id() == request.call_id();
                let asked = self.requests.iter().find(of).cloned();
                if let (true, Some(invite), Some(asked)) = (waiting, invite, asked) {
                    self.answer(now, invite, &asked, 487, &[]);
                }
                self.requests.push(request);
            }
            Received::Ack { request } => {
                self.unacknowledged.retain(|one| one.call_id != request.call_id());
                self.requests.push(request);
            }
            Received::Response { id, response } => self.answered(id, response),
            // The 200 again: our ACK was lost.
            Received::Stray(response) => self.acknowledge_again(&response),
            Received::Absorbed | Received::Overloaded(_) => {}
        }
    }

    fn asked(&mut self, now: Instant, id: ServerId, request: &Message) {
        self.requests.push(request.clone());
        let answers = match &mut self.answers {
            Some(answers) => answers(request),
            None if request.method() == Method::Invite && !in_dialog(request) => {
                vec![(Duration::ZERO, 180, Vec::new()), (Duration::from_secs(2), 200, Vec::new())]
            }
            None => vec![(Duration::ZERO, 200, Vec::new())],
        };
        if request.method() == Method::Bye {
            self.calls.remove(request.call_id());
        }
        for (after, status, headers) in answers {
            if after.is_zero() {
                self.answer(now, id, request, status, &headers);
            } else {
                let response = self.response(request, status, &headers);
                self.later.push((now + after, id, response));
            }
        }
    }

    fn answer(
        &mut self,
        now: Instant,
        id: ServerId,
        request: &Message,
        status: u16,
        headers: &[(Name, String)],
    ) {
        let response = self.response(request, status, headers);
        self.respond(now, id, response);
    }

    fn response(&mut self, request: &Message, status: u16, headers: &[(Name, String)]) -> Message {
        // The same tag in every answer of one dialog.
        let tag = format!("p-{}", request.call_id());
        let mut draft = Draft::reply(request, status, "As Told", Some(&tag));
        for route in request.lines(Name::RecordRoute) {
            draft.push(Name::RecordRoute, route);
        }
        draft.push(Name::Contact, format!("<sip:stranger@{PARTNER}>"));
        for (name, value) in headers {
            draft.push(*name, value.clone());
        }
        if request.method() == Method::Invite && (200..300).contains(&status) {
            draft.body("application/sdp", request.body().to_vec());
        }
        draft.finish()
    }

    fn respond(&mut self, now: Instant, id: ServerId, response: Message) {
        let begins = response.method() == Method::Invite && response.status().is_some_and(|s| s / 100 == 2);
        let flow = self.transactions.request_flow(id);
        self.transactions.respond(now, id, response.clone());
        let Some(flow) = flow.filter(|_| begins) else { return };
        let of = |one: &&Message| one.method() == Method::Invite && one.call_id() == response.call_id();
        let Some(request) = self.requests.iter().find(of) else { return };
        let call_id = response.call_id().to_owned();
        self.calls.entry(call_id.clone()).or_insert_with(|| {
            let tag = response.to().ok().and_then(|to| to.tag().map(str::to_owned)).unwrap_or_default();
            let dialog = Dialog::uas(request, &tag).expect("an INVITE that begins a call has a Contact");
            // In the dialog it asks where the INVITE came from.
            Call { dialog, flow: back(flow) }
        });
        let transmit =
            Transmit { flow: sip::transaction::reply_flow(&flow, request), bytes: response.bytes() };
        let (at, until) = (now + Timers::CORE.t1, now + Timers::CORE.t1 * 64);
        self.unacknowledged.push(Repeated { call_id, transmit, at, interval: Timers::CORE.t1, until });
    }

    fn answered(&mut self, id: ClientId, response: Message) {
        self.responses.push(response.clone());
        let Some(status) = response.status().filter(|status| *status >= 200) else { return };
        let Some((request, flow)) = self.asked.get(&id).cloned() else { return };
        if request.method() == Method::Invite && status < 300 {
            let call_id = request.call_id().to_owned();
            self.calls.entry(call_id).or_insert_with(|| {
                let dialog = Dialog::uac(&request, &response).expect("a 2xx to INVITE has Contact and tag");
                Call { dialog, flow }
            });
            self.acknowledge_again(&response);
        } else {
            self.asked.remove(&id);
        }
    }

    fn acknowledge_again(&mut self, response: &Message) {
        let ok = response.status().is_some_and(|status| status / 100 == 2);
        if !ok || response.method() != Method::Invite {
            return;
        }
        let branch = self.fresh();
        let Some(call) = self.calls.get(response.call_id()) else { return };
        let mut dialog = call.dialog.clone();
        let number = response.cseq().map_or(1, |cseq| cseq.number);
        dialog.local_cseq = number.saturating_sub(1);
        let mut draft = dialog.request(Method::Ack);
        let via = format!("SIP/2.0/{} {PARTNER};branch=z9hG4bKp{branch}", call.flow.transport.as_str());
        draft.push_front(Name::Via, via);
        self.acknowledgements.push_back(Transmit { flow: call.flow, bytes: draft.finish().bytes() });
    }

    pub(super) fn flow_ended(&mut self, now: Instant, flow: Flow) {
        self.transactions.transport_failed(now, &flow);
    }

    pub(super) fn time_out(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        while let Some(event) = self.transactions.poll_event() {
            if let Event::ClientTimeout(id) | Event::ClientTransportError(id) = event {
                self.asked.remove(&id);
            }
        }
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, ..)| *at <= now);
        self.later = later;
        let due: Vec<(Instant, ServerId, Message)> = due;
        for (_, id, response) in due {
            self.respond(now, id, response);
        }
        self.unacknowledged.retain(|one| one.until > now);
        for one in self.unacknowledged.iter_mut().filter(|one| one.at <= now) {
            one.interval = (one.interval * 2).min(Timers::CORE.t2);
            one.at = now + one.interval;
            if !one.transmit.flow.transport.is_reliable() {
                self.acknowledgements.push_back(one.transmit.clone());
            }
        }
    }

    pub(super) fn poll(&mut self) -> Option<Transmit> {
        self.transactions.poll_transmit().or_else(|| self.acknowledgements.pop_front())
    }

    pub(super) fn next_timeout(&mut self) -> Option<Instant> {
        let later = self.later.iter().map(|(at, ..)| *at);
        let repeated = self.unacknowledged.iter().map(|one| one.at.min(one.until));
        later.chain(repeated).chain(self.transactions.next_timeout()).min()
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

fn in_dialog(request: &Message) -> bool {
    request.to().is_ok_and(|to| to.tag().is_some())
}

/// The flow by which something goes back to where a request came from.
fn back(flow: Flow) -> Flow {
    let remote = SocketAddr::new(flow.remote.ip(), 5060);
    match flow.transport {
        Transport::Udp => Flow::udp(PARTNER, remote),
        transport => Flow { transport, local: PARTNER, remote, connection: None },
    }
}

//= RFC 3261 9.1
fn cancel(invite: &Message) -> Message {
    let mut draft = Draft::request(Method::Cancel, invite.request_uri().unwrap_or_default().to_owned());
    draft.push(Name::Via, invite.values(Name::Via).next().unwrap_or_default().to_owned());
    for route in invite.values(Name::Route) {
        draft.push(Name::Route, route.to_owned());
    }
    for name in [Name::MaxForwards, Name::From, Name::To, Name::CallId] {
        draft.push(name, invite.first(name).unwrap_or_default().to_owned());
    }
    let number = invite.cseq().map_or(1, |cseq| cseq.number);
    draft.push(Name::CSeq, format!("{number} CANCEL"));
    draft.finish()
}
