//! The state machine: a request in, a question to the HSS, the request on to an S-CSCF, the answer back.

mod forward;
mod read;

use std::collections::{BTreeSet, HashMap, VecDeque};

use aka::{Impi, Impu};
use cx::{Answer, LinkError, LocationInfo, ServerName, UserAuthorization};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sip::routing;
use sip::transaction::reply_flow;
use sip::{ClientId, Draft, Flow, Instant, Message, Name, Received, ServerId, Transactions, Transmit};

use crate::pool::{Choice, Pool, Wanted};
use crate::{Config, Refusal};
use read::Question;

/// Names a Cx request until its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CxId(pub u64);

#[derive(Debug)]
pub enum Input {
    Received { flow: Flow, message: Message },
    CxAnswer { id: CxId, answer: Result<Answer, LinkError> },
    TransportFailed { flow: Flow },
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
#[derive(Debug)]
struct Task {
    server: ServerId,
    message: Message,
    question: Question,
    /// S-CSCFs that did not take it.
    tried: Vec<Choice>,
    /// Once the HSS has answered.
    wanted: Option<Wanted>,
    /// One of those tried said 503.
    busy: bool,
}

/// A request that waits for the answer of an S-CSCF.
#[derive(Debug)]
struct Forwarded {
    task: Task,
    choice: Choice,
    /// When silence has lasted too long.
    deadline: Instant,
    may_fall_back: bool,
}

/// The I-CSCF as a value.
#[derive(Debug)]
pub struct ICscf {
    config: Config,
    rng: ChaCha20Rng,
    transactions: Transactions,
    pool: Pool,
    asking: HashMap<CxId, Task>,
    forwarded: HashMap<ClientId, Forwarded>,
    deadlines: BTreeSet<(Instant, ClientId)>,
    next_cx: u64,
    outputs: VecDeque<Output>,
}

impl ICscf {
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            rng: ChaCha20Rng::from_seed(seed),
            transactions: Transactions::new(config.transactions),
            pool: Pool::new(&config.s_cscfs, config.left_out),
            asking: HashMap::new(),
            forwarded: HashMap::new(),
            deadlines: BTreeSet::new(),
            next_cx: 0,
            outputs: VecDeque::new(),
            config,
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Received { flow, message } => self.received(now, flow, message),
            Input::CxAnswer { id, answer } => self.cx_answer(now, id, answer),
            Input::TransportFailed { flow } => self.transactions.transport_failed(now, &flow),
            Input::Timeout => self.transactions.handle_timeout(now),
        }
        while let Some(event) = self.transactions.poll_event() {
            match event {
                sip::Event::ClientTimeout(id) => self.failed(now, id, false),
                sip::Event::ClientTransportError(id) => self.failed(now, id, true),
                sip::Event::ServerGone(_) => {}
            }
        }
        self.run_deadlines(now);
    }

    /// Call until it yields `WaitUntil`.
    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        match self.transactions.poll_transmit() {
            Some(transmit) => Output::Send(transmit),
            None => {
                let own = self.deadlines.first().map(|(at, _)| *at);
                Output::WaitUntil(own.into_iter().chain(self.transactions.next_timeout()).min())
            }
        }
    }

    fn received(&mut self, now: Instant, flow: Flow, message: Message) {
        let trusted = self.config.trusted_peers.contains(&flow.remote.ip());
        match self.transactions.receive(now, flow, self.config.timers, message) {
            //= TS 33.203 Annex J: a UE must not reach the home network around its P-CSCF
            Received::Request { id, request } if !trusted => {
                self.refuse(now, id, &request, Refusal::UntrustedPeer)
            }
            Received::Request { id, request } => match Question::of(&request, &self.config) {
                Ok(question) => {
                    let (server, message, tried) = (id, request, Vec::new());
                    self.ask(now, Task { server, message, question, tried, wanted: None, busy: false });
                }
                Err(refusal) => self.refuse(now, id, &request, refusal),
            },
            Received::Cancel { id, request, .. } => {
                self.refuse(now, id, &request, Refusal::NoSuchTransaction)
            }
            Received::Response { id, response } => self.answered(now, id, &response),
            Received::Overloaded(request) => {
                let (bytes, flow) =
                    (self.refusal(&request, &Refusal::Overloaded).bytes(), reply_flow(&flow, &request));
                self.outputs.push_back(Output::Send(Transmit { flow, bytes }));
            }
            Received::Ack { .. } | Received::Absorbed | Received::Stray(_) => {}
        }
    }

    fn ask(&mut self, now: Instant, task: Task) {
        if self.asking.len() + self.forwarded.len() >= self.config.transactions {
            return self.refuse(now, task.server, &task.message, Refusal::Overloaded);
        }
        self.next_cx += 1;
        let id = CxId(self.next_cx);
        let request = task.question.request();
        self.asking.insert(id, task);
        self.outputs.push_back(Output::Cx { id, request });
    }

    fn cx_answer(&mut self, now: Instant, id: CxId, answer: Result<Answer, LinkError>) {
        let Some(mut task) = self.asking.remove(&id) else { return };
        let wanted = match (&task.question, answer) {
            (Question::Authorization(_), Ok(Answer::Uaa(answer))) => match answer {
                Ok(
                    UserAuthorization::Subsequent { server_name }
                    | UserAuthorization::DeRegistration { server_name },
                ) => Ok(Wanted::Named(server_name)),
                Ok(
                    UserAuthorization::FirstRegistration { capabilities }
                    | UserAuthorization::Capabilities { capabilities },
                ) => Ok(Wanted::Capable(capabilities)),
                Err(failure) => Err(Refusal::Hss(failure)),
            },
            (Question::Location(_), Ok(Answer::Lia(answer))) => match answer {
                Ok(LocationInfo::Served { server_name }) => Ok(Wanted::Named(server_name)),
                Ok(
                    LocationInfo::Capabilities { capabilities }
                    | LocationInfo::UnregisteredService { capabilities },
                ) => Ok(Wanted::Capable(capabilities)),
                Err(failure) => Err(Refusal::NotLocated(failure)),
            },
            (_, Ok(_)) => Err(Refusal::WrongAnswer),
            (_, Err(error)) => Err(Refusal::Link(error)),
        };
        match wanted {
            Ok(wanted) => {
                task.wanted = Some(wanted);
                self.forward(now, task);
            }
            Err(refusal) => self.refuse(now, task.server, &task.message, refusal),
        }
    }

    fn refuse(&mut self, now: Instant, id: ServerId, request: &Message, refusal: Refusal) {
        let answer = self.refusal(request, &refusal);
        self.transactions.respond(now, id, answer);
        let impi = read::identity(request);
        self.event(Event::Refused { impi, refusal });
    }

    fn refusal(&mut self, request: &Message, refusal: &Refusal) -> Message {
        let (status, reason) = refusal.status();
        let tag = format!("{:016x}", self.rng.next_u64());
        let mut draft = Draft::reply(request, status, reason, Some(&tag));
        match refusal {
            Refusal::Routing(routing::Refusal::BadExtension { unsupported }) => {
                draft.push(Name::Unsupported, unsupported.to_string());
            }
            Refusal::MethodNotServed => {
                draft.push(Name::Allow, read::SERVED);
            }
            Refusal::Overloaded => {
                draft.push(Name::RetryAfter, "30");
            }
            _ => {}
        }
        draft.finish()
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

#[cfg(test)]
mod tests;
