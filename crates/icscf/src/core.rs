//! The state machine. A REGISTER, or a request that begins something with a user of ours: a question to the HSS, the
//! request on to an S-CSCF, the answer back. Every other request goes by its Route, or to the network of its Request-URI.

mod answers;
mod arrive;
mod forward;
mod leave;
mod locate;
mod read;
mod route;
mod watch;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use aka::{Impi, Impu};
use cx::{Answer, LinkError, ServerName};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sip::proxy::Cause;
use sip::transaction::reply_flow;
use sip::{Draft, Flow, Instant, Message, Name, Proxy, Received, ServerId, Transactions, Transmit};

use trust::{MemoryLimits, PrivacyMemory};

use crate::pool::{Choice, Pool, Wanted};
use crate::{Config, Refusal};
use arrive::Origin;
use leave::Exit;
use read::Question;
use watch::Watch;

/// Names a Cx request until its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CxId(pub u64);

#[derive(Debug)]
pub enum Input {
    /// `names`: those of the certificate that the peer has proved to hold on this connection.
    Received {
        flow: Flow,
        message: Message,
        names: Arc<[Box<str>]>,
    },
    CxAnswer {
        id: CxId,
        answer: Result<Answer, LinkError>,
    },
    TransportFailed {
        flow: Flow,
    },
    Timeout,
}

#[derive(Debug)]
pub enum Output {
    Send(Transmit),
    Cx { id: CxId, request: cx::Request },
    Event(Event),
    WaitUntil(Option<Instant>),
}

/// Facts for the log and for tests. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    Forwarded {
        impu: Impu,
        to: ServerName,
    },
    /// It leaves the network.
    Left {
        to: Box<str>,
        trusted: bool,
    },
    Refused {
        impi: Option<Impi>,
        refusal: Refusal,
    },
    /// An S-CSCF did not answer, or wanted the request to go elsewhere.
    Passed {
        name: ServerName,
    },
    /// No request goes there for a while.
    LeftOut {
        name: ServerName,
        /// It said so itself.
        busy: bool,
    },
    /// It answers again.
    BackIn {
        name: ServerName,
    },
}

/// A request under way.
#[derive(Debug, Clone)]
struct Task {
    server: ServerId,
    /// As it came: answers are made of it.
    request: Message,
    /// As it goes on: without what its sender may not say, the hidden restored, our own Route entries taken.
    message: Message,
    origin: Origin,
}

/// A request that goes to an S-CSCF of this network.
#[derive(Debug, Clone)]
struct Search {
    question: Question,
    /// S-CSCFs that did not take it.
    tried: Vec<Choice>,
    /// Once the HSS has answered.
    wanted: Option<Wanted>,
    /// One of those tried said 503.
    busy: bool,
}

/// What is remembered of a request that waits for its answer.
#[derive(Debug, Clone)]
struct Passage {
    task: Task,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    /// To an S-CSCF; to the next where this one does not take it.
    SCscf(Box<Search>),
    /// Along its Route within the network.
    Inside,
    /// Out of the network.
    Exit(Exit),
}

/// The I-CSCF as a value.
#[derive(Debug)]
pub struct ICscf {
    config: Config,
    rng: ChaCha20Rng,
    /// Keeps the loop hash of outsiders' making out.
    loop_key: u64,
    transactions: Transactions,
    proxy: Proxy<Passage>,
    pool: Pool,
    /// What those at the border asked for when their dialogs began.
    memory: PrivacyMemory,
    asking: HashMap<CxId, (Task, Search)>,
    watch: Watch,
    next_cx: u64,
    outputs: VecDeque<Output>,
}

impl ICscf {
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        Self {
            loop_key: rng.next_u64(),
            rng,
            transactions: Transactions::new(config.transactions),
            proxy: Proxy::default(),
            pool: Pool::new(&config.s_cscfs, config.left_out),
            memory: PrivacyMemory::new(MemoryLimits {
                capacity: config.transactions,
                ..MemoryLimits::default()
            }),
            asking: HashMap::new(),
            watch: Watch::default(),
            next_cx: 0,
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Transactions and requests that are open.
    pub fn open(&self) -> usize {
        self.transactions.len() + self.proxy.len() + self.asking.len()
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Received { flow, message, names } => self.received(now, flow, message, names),
            Input::CxAnswer { id, answer } => self.located(now, id, answer),
            Input::TransportFailed { flow } => self.transactions.transport_failed(now, &flow),
            Input::Timeout => {}
        }
        self.transactions.handle_timeout(now);
        while let Some(event) = self.transactions.poll_event() {
            match event {
                sip::Event::ClientTimeout(id) => self.failed(now, id, Cause::Silent),
                sip::Event::ClientTransportError(id) => self.failed(now, id, Cause::Unreachable),
                sip::Event::ServerGone(id) => self.proxy.sender_gone(now, &mut self.transactions, id),
            }
        }
        for failure in self.proxy.handle_timeout(now, &mut self.transactions) {
            if let Some(choice) = self.watch.ended(failure.id) {
                self.pool.ended_untold(choice);
            }
            self.gave_up(now, &failure);
        }
        self.run_deadlines(now);
        self.memory.expire(now);
    }

    /// Call until it yields `WaitUntil`.
    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        match self.transactions.poll_transmit() {
            Some(transmit) => Output::Send(transmit),
            None => {
                let deadlines = [
                    self.transactions.next_timeout(),
                    self.proxy.next_timeout(),
                    self.watch.next_timeout(),
                    self.memory.deadline(),
                ];
                Output::WaitUntil(deadlines.into_iter().flatten().min())
            }
        }
    }

    fn received(&mut self, now: Instant, flow: Flow, message: Message, names: Arc<[Box<str>]>) {
        match self.transactions.receive(now, flow, self.config.timers, message) {
            Received::Request { id, request } => self.asked(now, id, flow, names, request),
            Received::Ack { request } => self.acknowledged(now, flow, names, &request),
            Received::Cancel { id, invite, request } => self.cancelled(now, id, invite, &request),
            Received::Response { id, response } => self.answered(now, id, flow, &names, response),
            Received::Stray(message) => self.stray(now, flow, &names, &message),
            Received::Overloaded(request) => {
                let (bytes, flow) =
                    (self.refusal(&request, &Refusal::Overloaded).bytes(), reply_flow(&flow, &request));
                self.outputs.push_back(Output::Send(Transmit { flow, bytes }));
            }
            Received::Absorbed => {}
        }
    }

    fn asked(
        &mut self,
        now: Instant,
        server: ServerId,
        flow: Flow,
        names: Arc<[Box<str>]>,
        request: Message,
    ) {
        let origin = match self.origin(flow, names) {
            Ok(origin) => origin,
            Err(refusal) => return self.refuse(now, server, &request, refusal),
        };
        match self.route(now, &origin, &request) {
            Ok((message, target)) => self.go(now, Task { server, request, message, origin }, target),
            Err(refusal) => self.refuse(now, server, &request, refusal),
        }
    }

    /// The ACK of a 2xx: no transaction, nothing answers it.
    //= RFC 3261 16.11
    fn acknowledged(&mut self, now: Instant, flow: Flow, names: Arc<[Box<str>]>, request: &Message) {
        let Ok(origin) = self.origin(flow, names) else { return };
        let Ok((message, target)) = self.route(now, &origin, request) else { return };
        if let Ok(hop) = self.hop(now, request, &message, &origin, &target) {
            self.transactions.pass(hop.flow, &hop.message);
        }
    }

    //= RFC 3261 16.10
    fn cancelled(&mut self, now: Instant, id: ServerId, invite: Option<ServerId>, request: &Message) {
        let Some(invite) = invite else {
            return self.refuse(now, id, request, Refusal::NoSuchTransaction);
        };
        let answer = Draft::reply(request, 200, "OK", Some(&self.tag())).finish();
        self.transactions.respond(now, id, answer);
        if self.proxy.cancel(now, &mut self.transactions, invite, request).is_none() {
            return;
        }
        // It still waits for the HSS.
        let asking = self.asking.iter().find(|(_, (task, _))| task.server == invite).map(|(id, _)| *id);
        if let Some((task, _)) = asking.and_then(|id| self.asking.remove(&id)) {
            self.refuse(now, invite, &task.request, Refusal::Cancelled);
        }
    }

    fn refuse(&mut self, now: Instant, id: ServerId, request: &Message, refusal: Refusal) {
        let answer = self.refusal(request, &refusal);
        self.memory.answered(request, &answer);
        self.transactions.respond(now, id, answer);
        let impi = read::identity(request);
        self.event(Event::Refused { impi, refusal });
    }

    fn refusal(&mut self, request: &Message, refusal: &Refusal) -> Message {
        let (status, reason) = refusal.status();
        let tag = self.tag();
        let mut draft = Draft::reply(request, status, reason, Some(&tag));
        match refusal {
            Refusal::Routing(sip::routing::Refusal::BadExtension { unsupported }) => {
                draft.push(Name::Unsupported, unsupported.to_string());
            }
            Refusal::Overloaded => {
                draft.push(Name::RetryAfter, "30");
            }
            _ => {}
        }
        draft.finish()
    }

    fn tag(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

#[cfg(test)]
mod tests;
