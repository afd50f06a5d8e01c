//! The state machine: one request in, a decision, Cx and SIP out.

mod backup;
mod bind;
mod carry_out;
mod command;
mod decide;
mod event;
mod hss;
mod lifetime;
mod notify;
mod restore;
mod serve;
mod subscribe;

pub use command::{Command, CommandError, CommandId, Done, Initiator, Removal, User};
pub use event::{Deregistration, Event, SubscriptionEnd};
pub use hss::CxRequestId;

use crate::challenge::Attempt;
use crate::register::Register;
use crate::registrar::{RegisteredUser, Registrar};
use crate::subscribe::Subscribe;
use crate::subscriptions::{SubscriptionId, Subscriptions};
use crate::vectors::Vectors;
use crate::{Config, Refusal, answer};
use aka::{Impi, Impu};
use cx::{ServerAssignmentRequest, ServerAssignmentType};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sip::dialog::event_package;
use sip::transaction::reply_flow;
use sip::{
    ClientId, Flow, Instant, Message, Method, Proxy, Received, ServerId, Transactions, Transmit, reginfo,
};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use restore::Waiting;
pub(crate) use serve::ORIGINATING;
use serve::{Inbound, Leg};

/// Names a Cx request until its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CxId(pub u64);

/// What the shell tells the core.
#[derive(Debug)]
pub enum Input {
    Received {
        flow: Flow,
        message: Message,
    },
    CxAnswer {
        id: CxId,
        answer: Result<cx::Answer, cx::LinkError>,
    },
    /// The HSS asks of its own accord.
    CxRequest {
        id: CxRequestId,
        request: cx::Request,
    },
    TransportFailed {
        flow: Flow,
    },
    Command {
        id: CommandId,
        command: Command,
    },
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
    /// To what the HSS has asked.
    CxAnswer {
        id: CxRequestId,
        answer: cx::Answer,
    },
    Event(Event),
    /// The result of a command.
    Done {
        id: CommandId,
        result: Result<Done, CommandError>,
    },
    /// Nothing more now; call again at this instant at the latest.
    WaitUntil(Option<Instant>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Attempt(Impi),
    /// The end of a binding, by its number.
    Expiry(Impi, u64),
    Subscription(SubscriptionId),
    Backup(Impi),
}

/// What a Cx answer continues.
#[derive(Debug)]
enum Pending {
    Vector {
        register: Register,
        attempt: u64,
        resync: bool,
    },
    Register {
        register: Register,
        /// The registration was ended meanwhile.
        cancelled: Option<Initiator>,
        /// The fingerprint of what the HSS shall keep.
        backup: Option<u64>,
    },
    Deregister(Register),
    /// What there is of a user who is unknown here.
    Restore {
        impi: Option<Impi>,
        impu: Impu,
        waiting: Waiting,
        first: bool,
    },
    /// What another S-CSCF would need is being stored.
    Backup {
        impi: Impi,
        impu: Impu,
        fingerprint: u64,
    },
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
    vectors: Vectors,
    registrar: Registrar,
    subscriptions: Subscriptions,
    /// The NOTIFYs that wait for their answers.
    notifies: HashMap<ClientId, SubscriptionId>,
    pending: HashMap<CxId, Pending>,
    /// The requests of and to users that are under way.
    proxy: Proxy<Leg>,
    /// Those that wait for the HSS.
    waiting: HashMap<ServerId, Message>,
    /// INVITEs under way that were cancelled: no other contact is tried.
    taken_back: HashSet<ServerId>,
    /// Keeps outsiders from making up what tells a loop.
    loop_key: u64,
    timers: BTreeSet<(Instant, Timer)>,
    next_cx: u64,
    next_attempt: u64,
    outputs: VecDeque<Output>,
}

impl Scscf {
    /// `seed` comes from the system's source of randomness, and is used once.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        Self {
            loop_key: rng.next_u64(),
            rng,
            transactions: Transactions::new(config.limits.transactions),
            attempts: HashMap::new(),
            vectors: Vectors::new(config.limits.challenges),
            registrar: Registrar::default(),
            subscriptions: Subscriptions::default(),
            notifies: HashMap::new(),
            pending: HashMap::new(),
            proxy: Proxy::default(),
            waiting: HashMap::new(),
            taken_back: HashSet::new(),
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
            Input::CxRequest { id, request } => self.cx_request(now, id, request),
            Input::TransportFailed { flow } => self.transactions.transport_failed(now, &flow),
            Input::Command { id, command } => self.command(now, id, command),
            Input::Timeout => {}
        }
        self.run_timers(now);
        self.transaction_events(now);
    }

    /// Call until it yields `WaitUntil`.
    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if let Some(transmit) = self.transactions.poll_transmit() {
            return Output::Send(transmit);
        }
        let own = self.timers.first().map(|(at, _)| *at);
        let others = self.transactions.next_timeout().into_iter().chain(self.proxy.next_timeout());
        Output::WaitUntil(own.into_iter().chain(others).min())
    }

    /// The registered users, for the operator. Walks all of them.
    pub fn registrations(&self, now: Instant) -> impl Iterator<Item = RegisteredUser> {
        self.registrar.list(now)
    }

    /// Number of registered private identities.
    pub fn registered(&self) -> usize {
        self.registrar.len()
    }

    /// Transactions held now.
    pub fn open_transactions(&self) -> usize {
        self.transactions.len()
    }

    /// Requests of and to users that are under way, with INVITEs whose 2xx may still be repeated. For tests of leaks.
    pub fn under_way(&self) -> usize {
        self.proxy.len() + self.waiting.len() + self.taken_back.len()
    }

    fn received(&mut self, now: Instant, flow: Flow, message: Message) {
        // A branch is no secret: whoever has seen it could answer, and assert what it likes.
        if !message.is_request() && !self.config.knows(flow.remote.ip()) {
            return;
        }
        match self.transactions.receive(now, flow, self.config.timers, message) {
            Received::Request { id, request } => self.request(now, flow, id, request),
            Received::Cancel { id, invite, request } => self.cancelled(now, &flow, id, invite, &request),
            Received::Overloaded(request) => {
                let tag = self.tag();
                let answer = answer::refusal(&request, &self.config, Refusal::Overloaded, &tag);
                let flow = reply_flow(&flow, &request);
                self.outputs.push_back(Output::Send(Transmit { flow, bytes: answer.bytes() }));
            }
            Received::Response { id, response } if self.notifies.contains_key(&id) => {
                self.notify_answered(now, id, response.status());
            }
            Received::Response { id, response } => self.relay_answered(now, id, &response),
            Received::Ack { request } => self.pass_ack(&flow, &request),
            Received::Absorbed | Received::Stray(_) => {}
        }
    }

    /// Registrations, and who watches them, are ours; the rest goes on.
    fn request(&mut self, now: Instant, flow: Flow, id: ServerId, request: Message) {
        let package = event_package(&request).unwrap_or(reginfo::PACKAGE);
        let about_registration = package.eq_ignore_ascii_case(reginfo::PACKAGE);
        let trusted = self.config.trusted_peers.contains(&flow.remote.ip());
        let refused = match request.method() {
            Method::Register | Method::Subscribe if !trusted => Err((request, Refusal::UntrustedPeer)),
            Method::Register => {
                Register::read(id, request, &self.config).map(|register| self.register(now, register))
            }
            Method::Subscribe if about_registration => Subscribe::read(id, flow, request, &self.config)
                .map(|subscribe| self.subscribe(now, subscribe)),
            _ => {
                self.serve(now, Inbound { server: id, flow, request, asked: None });
                Ok(())
            }
        };
        if let Err((request, refusal)) = refused {
            self.refuse_message(now, id, &request, None, refusal);
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

    /// Tells the HSS of a failed authentication, but only of a user who is not registered: the name of the S-CSCF
    /// and the registration of the others must stay.
    //= TS 33.203 6.1.2.2
    fn report(&mut self, kind: ServerAssignmentType, impi: &Impi, impu: &Impu) {
        if !self.registrar.is_registered(impu) {
            // The HSS forgets that we serve the user: the next vectors may go to another S-CSCF.
            self.vectors.forget(impi);
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
            restoration: None,
        }
    }

    fn ask(&mut self, request: cx::Request, pending: Pending) {
        self.next_cx += 1;
        let id = CxId(self.next_cx);
        self.pending.insert(id, pending);
        self.outputs.push_back(Output::Cx { id, request });
    }

    fn tag(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
