//! The state machine: one REGISTER in, a decision, Cx and SIP out.

mod carry_out;
mod decide;

use crate::challenge::{Attempt, State};
use crate::register::Register;
use crate::registrar::{RegisteredUser, Registrar};
use crate::{Config, Refusal, answer};
use aka::{Impi, Impu};
use cx::{ServerAssignmentRequest, ServerAssignmentType};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sip::transaction::reply_flow;
use sip::{Flow, Instant, Message, Method, Received, ServerId, Transactions, Transmit};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

/// How long the nonce of a finished challenge is remembered: the UE repeats its answer no longer (64 T1 on Gm).
const SPENT: Duration = Duration::from_secs(128);

/// Names a Cx request until its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CxId(pub u64);

/// What the shell tells the core.
#[derive(Debug)]
pub enum Input {
    Received { flow: Flow, message: Message },
    CxAnswer { id: CxId, answer: Result<cx::Answer, cx::LinkError> },
    TransportFailed { flow: Flow },
    Timeout,
}

/// What the core wants of the shell.
#[derive(Debug)]
pub enum Output {
    Send(Transmit),
    Cx {
        id: CxId,
        request: cx::Request,
    },
    Event(Event),
    /// Nothing more now; call again at this instant at the latest.
    WaitUntil(Option<Instant>),
}

/// Facts for the log and for tests. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    Challenged {
        impi: Impi,
        impu: Impu,
    },
    Resynchronising {
        impi: Impi,
    },
    Registered {
        impi: Impi,
        impu: Impu,
        contact: String,
        expires: u32,
    },
    /// Prolonged without a challenge.
    Refreshed {
        impi: Impi,
        impu: Impu,
        expires: u32,
    },
    Deregistered {
        impi: Impi,
        impu: Impu,
        cause: Deregistration,
    },
    /// reg-await-auth expired.
    AuthenticationTimedOut {
        impi: Impi,
        impu: Impu,
    },
    Refused {
        impi: Option<Impi>,
        status: u16,
        refusal: Refusal,
    },
    /// The HSS did not take a report of a failed authentication or an expiry.
    ReportFailed,
}

/// Who ended a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deregistration {
    User,
    Expiry,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Attempt(Impi),
    Expiry(Impi),
}

/// What a Cx answer continues.
#[derive(Debug)]
enum Pending {
    Vector {
        register: Register,
        attempt: u64,
        resync: bool,
    },
    Register(Register),
    Deregister(Register),
    /// The answer changes nothing.
    Report,
}

/// The S-CSCF.
#[derive(Debug)]
pub struct Scscf {
    config: Config,
    rng: ChaCha20Rng,
    transactions: Transactions,
    attempts: HashMap<Impi, Attempt>,
    registrar: Registrar,
    pending: HashMap<CxId, Pending>,
    timers: BTreeSet<(Instant, Timer)>,
    next_cx: u64,
    next_attempt: u64,
    outputs: VecDeque<Output>,
}

impl Scscf {
    /// `seed` comes from the system's source of randomness, and is used once.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            rng: ChaCha20Rng::from_seed(seed),
            transactions: Transactions::new(config.limits.transactions),
            attempts: HashMap::new(),
            registrar: Registrar::default(),
            pending: HashMap::new(),
            timers: BTreeSet::new(),
            next_cx: 0,
            next_attempt: 0,
            outputs: VecDeque::new(),
            config,
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Received { flow, message } => self.received(now, flow, message),
            Input::CxAnswer { id, answer } => self.cx_answer(now, id, answer),
            Input::TransportFailed { flow } => self.transactions.transport_failed(now, &flow),
            Input::Timeout => {}
        }
        self.run_timers(now);
    }

    /// Call until it yields `WaitUntil`.
    pub fn poll(&mut self) -> Output {
        // A server transaction nobody answered needs no care: its Cx answer will find it gone.
        while self.transactions.poll_event().is_some() {}
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if let Some(transmit) = self.transactions.poll_transmit() {
            return Output::Send(transmit);
        }
        let own = self.timers.first().map(|(at, _)| *at);
        let transactions = self.transactions.next_timeout();
        Output::WaitUntil(own.into_iter().chain(transactions).min())
    }

    /// The registered users, for the operator. Walks all of them.
    pub fn registrations(&self, now: Instant) -> impl Iterator<Item = RegisteredUser> {
        self.registrar.list(now)
    }

    /// Number of registered private identities.
    pub fn registered(&self) -> usize {
        self.registrar.len()
    }

    fn received(&mut self, now: Instant, flow: Flow, message: Message) {
        match self.transactions.receive(now, flow, self.config.timers, message) {
            Received::Request { id, request } => self.request(now, flow, id, request),
            Received::Cancel { id, request, .. } => {
                let answer =
                    sip::Draft::reply(&request, 481, "Call/Transaction Does Not Exist", Some(&self.tag()));
                self.transactions.respond(now, id, answer.finish());
            }
            Received::Overloaded(request) => {
                let tag = self.tag();
                let answer = answer::refusal(&request, &self.config, Refusal::Overloaded, &tag);
                let flow = reply_flow(&flow, &request);
                self.outputs.push_back(Output::Send(Transmit { flow, bytes: answer.bytes() }));
            }
            Received::Ack { .. } | Received::Absorbed | Received::Response { .. } | Received::Stray(_) => {}
        }
    }

    fn request(&mut self, now: Instant, flow: Flow, id: ServerId, request: Message) {
        let checked = if !self.config.trusted_peers.contains(&flow.remote.ip()) {
            Err((request, Refusal::UntrustedPeer))
        } else if request.method() != Method::Register {
            Err((request, Refusal::MethodNotAllowed))
        } else {
            Register::read(id, request, &self.config)
        };
        match checked {
            Ok(register) => self.register(now, register),
            Err((request, refusal)) => self.refuse_message(now, id, &request, None, refusal),
        }
    }

    fn refuse(&mut self, now: Instant, register: &Register, refusal: Refusal) {
        self.refuse_message(now, register.id, &register.message, Some(register.impi.clone()), refusal);
    }

    fn refuse_message(
        &mut self,
        now: Instant,
        id: ServerId,
        request: &Message,
        impi: Option<Impi>,
        refusal: Refusal,
    ) {
        let tag = self.tag();
        let answer = answer::refusal(request, &self.config, refusal, &tag);
        self.transactions.respond(now, id, answer);
        let (status, _) = refusal.status();
        self.event(Event::Refused { impi, status, refusal });
    }

    fn run_timers(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        while let Some((at, _)) = self.timers.first()
            && *at <= now
            && let Some((_, timer)) = self.timers.pop_first()
        {
            match timer {
                Timer::Attempt(impi) => self.attempt_ended(now, impi),
                Timer::Expiry(impi) => self.registration_ended(&impi),
            }
        }
    }

    /// reg-await-auth, or the memory of a spent nonce, is over.
    fn attempt_ended(&mut self, now: Instant, impi: Impi) {
        let Some(mut attempt) = self.attempts.remove(&impi) else { return };
        let State::Waiting(challenge) = attempt.state else { return };
        let impu = attempt.impu.clone();
        attempt.state = State::Spent { nonce: challenge.nonce };
        attempt.deadline = None;
        self.attempts.insert(impi.clone(), attempt);
        self.arm_attempt(&impi, Some(now + SPENT));
        //= TS 24.229 5.4.1.2.3
        self.report(ServerAssignmentType::AuthenticationTimeout, &impi, &impu);
        self.event(Event::AuthenticationTimedOut { impi, impu });
    }

    fn registration_ended(&mut self, impi: &Impi) {
        let Some(registration) = self.registrar.remove(impi) else { return };
        let request = self.assignment(ServerAssignmentType::TimeoutDeregistration, impi, &registration.impu);
        self.ask(cx::Request::Sar(request), Pending::Report);
        let cause = Deregistration::Expiry;
        self.event(Event::Deregistered { impi: impi.clone(), impu: registration.impu, cause });
    }

    /// Tells the HSS of a failed authentication, but only of a user who is not registered: the name of the S-CSCF
    /// and the registration of the others must stay.
    //= TS 33.203 6.1.2.2
    fn report(&mut self, kind: ServerAssignmentType, impi: &Impi, impu: &Impu) {
        if !self.registrar.is_registered(impu) {
            let request = self.assignment(kind, impi, impu);
            self.ask(cx::Request::Sar(request), Pending::Report);
        }
    }

    fn assignment(&self, kind: ServerAssignmentType, impi: &Impi, impu: &Impu) -> ServerAssignmentRequest {
        ServerAssignmentRequest {
            impi: Some(impi.clone()),
            impus: vec![impu.clone()],
            server_name: self.config.server_name.clone(),
            assignment: kind,
            user_data_already_available: self.registrar.holds(impi, impu),
        }
    }

    fn ask(&mut self, request: cx::Request, pending: Pending) {
        self.next_cx += 1;
        let id = CxId(self.next_cx);
        self.pending.insert(id, pending);
        self.outputs.push_back(Output::Cx { id, request });
    }

    fn arm_attempt(&mut self, impi: &Impi, deadline: Option<Instant>) {
        let Some(attempt) = self.attempts.get_mut(impi) else { return };
        if let Some(old) = std::mem::replace(&mut attempt.deadline, deadline) {
            self.timers.remove(&(old, Timer::Attempt(impi.clone())));
        }
        if let Some(at) = deadline {
            self.timers.insert((at, Timer::Attempt(impi.clone())));
        }
    }

    fn tag(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
