//! The state machine of one UE.

mod answer;
mod answering;
mod asked;
mod calls;
mod challenge;
mod command;
mod config;
mod events;
mod fault;
mod incoming;
mod nat;
mod news;
mod outside;
mod page;
mod recovery;
mod report;
mod report_users;
mod request;
mod sets;
mod step;
mod subscription;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aka::{DigestResponse, Isim};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sec_agree::{Associations, SaSet, SecurityClient, SpiPool};
use sip::{ClientId, Flow, Instant, Message, Transactions, Transmit};

pub use self::answering::{Answering, CallAnswer};
use self::calls::Calls;
pub use self::command::{Body, Call, CallId, Command, Identity, Request, RequestId};
pub use self::config::{Config, TransportChoice};
use self::events::Events;
pub use self::fault::{Fault, UnknownFault};
pub use self::news::{Answer, CallStep, EndedBy, Headers, ReceivedRequest};
use self::page::Pages;
use self::recovery::Recovery;
pub use self::sets::SetId;
use self::sets::{Sets, Via};
pub use self::step::{Failure, Notice, Registration, Step};
use self::subscription::Subscription;

#[derive(Debug)]
pub enum Input {
    Command(Command),
    Received {
        flow: Flow,
        message: Message,
    },
    /// Something that is no SIP came from the P-CSCF.
    Malformed {
        flow: Flow,
    },
    SasInstalled {
        set: SetId,
    },
    SasFailed {
        set: SetId,
        cause: Box<str>,
    },
    TransportFailed {
        flow: Flow,
    },
    /// The kernel has ended the state that arrives here with this SPI.
    SaExpired {
        spi: u32,
    },
    Timeout,
}

#[derive(Debug)]
pub enum Output {
    Send(Transmit),
    /// Bind the two local ports of the set, install it, and answer with `SasInstalled` or `SasFailed`.
    InstallSas {
        set: SetId,
        sas: SaSet,
        lifetime: Duration,
    },
    ExtendSas {
        associations: Associations,
        age: Duration,
        lifetime: Duration,
    },
    RemoveSas {
        associations: Associations,
    },
    /// Close the connections from this address, while their set still lives.
    Close {
        local: SocketAddr,
    },
    Step(Step),
    WaitUntil(Option<Instant>),
}

/// The command under way.
#[derive(Debug)]
struct Attempt {
    command: Command,
    call_id: Box<str>,
    cseq: u32,
    from_tag: Box<str>,
    /// Registration time asked for, in seconds.
    expires: u32,
    /// The REGISTER that waits for its answer.
    client: Option<ClientId>,
    /// What the REGISTER under way went over.
    via: Via,
    /// What SM1 went over.
    first_via: Via,
    offer: SecurityClient,
    /// What answers the challenge, once the kernel has the set.
    authorization: Option<Box<str>>,
    /// What Authentication-Info must prove, where the 200 has it.
    rspauth: Option<DigestResponse>,
    /// A REGISTER that answers a challenge is under way.
    answering: bool,
    /// The network has shortened the registration to this while we were asking for a longer one.
    bound: Option<Instant>,
    /// The network has ended the registration while we were asking for it.
    ended: bool,
    /// Challenges in a row that the card refused.
    refused: u8,
    /// The card found the network's MAC wrong, and the network has been told.
    distrusted: bool,
    malformed: u32,
    deadline: Instant,
    fault: Option<Fault>,
}

impl Attempt {
    /// SM1 was not protected.
    fn is_initial(&self) -> bool {
        self.first_via == Via::Clear
    }
}

/// One UE as a value.
#[derive(Debug)]
pub struct Ue {
    config: Config,
    isim: Isim,
    rng: ChaCha20Rng,
    transactions: Transactions,
    sets: Sets,
    attempt: Option<Attempt>,
    registration: Option<Registration>,
    /// The last Authorization, which a re-REGISTER repeats.
    last_authorization: Option<Box<str>>,
    subscription: Option<Subscription>,
    /// The registration may be over again: the word of its end came before the 200.
    doubtful: bool,
    /// When to register by itself.
    refresh: Option<Instant>,
    recovery: Recovery,
    pages: Pages,
    calls: Calls,
    events: Events,
    outputs: VecDeque<Output>,
}

impl Ue {
    pub fn new(config: Config, isim: Isim, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let pool = SpiPool::new(config.spi_first, config.spi_last, rng.next_u32());
        let pool = pool.unwrap_or_else(|_| unreachable!("the configuration refuses an empty SPI range"));
        Self {
            sets: Sets::new(pool),
            isim,
            rng,
            transactions: Transactions::new(TRANSACTIONS),
            attempt: None,
            registration: None,
            last_authorization: None,
            subscription: None,
            doubtful: false,
            refresh: None,
            recovery: Recovery::default(),
            pages: Pages::default(),
            calls: Calls::default(),
            events: Events::default(),
            outputs: VecDeque::new(),
            config,
        }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    /// Whether a command is under way.
    pub fn is_busy(&self) -> bool {
        self.attempt.is_some()
    }

    /// Whether it registers by itself some time.
    pub fn will_register(&self) -> bool {
        self.refresh.is_some()
    }

    /// Whether the network is about to say something: the answer to a SUBSCRIBE, or that a subscription has ended.
    pub fn is_settling(&self) -> bool {
        let waits = self.subscription.as_ref().is_some_and(Subscription::waits);
        waits || (self.subscription.is_some() && self.registration.is_none())
    }

    /// Whether the network tells of our registration state, or has been asked to.
    pub fn is_subscribed(&self) -> bool {
        self.subscription.is_some()
    }

    /// Transactions held now.
    pub fn open_transactions(&self) -> usize {
        self.transactions.len()
    }

    /// Sets held now, whatever their stage.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Command(command) => self.start(now, command),
            Input::Received { flow, message } => self.received(now, flow, message),
            Input::Malformed { flow } => {
                if let Some(attempt) =
                    self.attempt.as_mut().filter(|_| flow.remote.ip() == self.config.p_cscf.ip())
                {
                    attempt.malformed += 1;
                }
            }
            Input::SasInstalled { set } => self.sas_installed(now, set),
            Input::SasFailed { set, cause } => {
                // The kernel holds nothing of it, so there is nothing to remove there.
                if self.sets.remove_temporary(Some(set)).is_some() {
                    self.fail(now, Failure::Kernel { cause });
                }
            }
            Input::TransportFailed { flow } => self.transactions.transport_failed(now, &flow),
            Input::SaExpired { spi } => {
                if self.sets.end(spi) {
                    self.timeout(now);
                }
            }
            Input::Timeout => self.timeout(now),
        }
        self.transaction_events(now);
    }

    /// SPIs of the states that arrive here.
    pub fn spis(&self) -> impl Iterator<Item = u32> {
        self.sets.spis()
    }

    /// Takes every set out of the kernel: the end of the UE.
    pub fn end(&mut self) {
        self.attempt = None;
        self.forget();
    }

    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if let Some(transmit) = self.transactions.poll_transmit() {
            return Output::Send(transmit);
        }
        let attempt = self.attempt.as_ref().map(|attempt| attempt.deadline);
        // A registration of its own accord waits for the command under way.
        let refresh = self.refresh.filter(|_| attempt.is_none());
        let subscription = self.subscription.as_ref().map(Subscription::next_timeout);
        let (calls, events) = (self.calls_next_timeout(), self.events_next_timeout());
        let deadlines = [
            self.transactions.next_timeout(),
            self.sets.next_timeout(),
            attempt,
            refresh,
            subscription,
            calls,
            events,
        ];
        Output::WaitUntil(deadlines.into_iter().flatten().min())
    }

    fn start(&mut self, now: Instant, command: Command) {
        match command {
            Command::Move { address } => return self.moved(now, address),
            Command::Request(request) => return self.ask(now, &request),
            Command::Answer(answering) => {
                self.config.answering = *answering;
                return;
            }
            Command::Call(_)
            | Command::HangUp { .. }
            | Command::Cancel { .. }
            | Command::Reinvite { .. }
            | Command::Update { .. }
            | Command::Inform { .. } => return self.call_command(now, command),
            _ => {}
        }
        if self.attempt.is_some() {
            return self.step(Step::Failed(Failure::Busy));
        }
        if command == Command::Deregister && self.registration.is_none() {
            return self.step(Step::Failed(Failure::NotRegistered));
        }
        if command == Command::Deregister {
            self.hang_up_all(now);
        }
        self.refresh = None;
        self.first_register(now, command);
    }

    //= TS 33.203 7.5: a UE with a new address deletes its SAs and registers unprotected
    fn moved(&mut self, now: Instant, address: IpAddr) {
        if self.attempt.is_some() {
            self.fail(now, Failure::Moved);
        }
        self.forget();
        self.config.address = address;
        self.first_register(now, Command::Move { address });
    }

    fn timeout(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        let closing = self.sets.take_closing(now);
        self.outputs.extend(closing);
        while let Some(set) = self.sets.take_expired(now) {
            if set.was_current {
                self.subscription = None;
                self.last_authorization = None;
                if self.registration.take().is_some() {
                    self.step(Step::Lapsed);
                }
                self.drop_between_users();
            }
            self.outputs.push_back(Output::RemoveSas { associations: set.associations });
        }
        if let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.deadline <= now) {
            let (patience, malformed) = (self.config.patience, attempt.malformed);
            self.unanswered(now, patience, malformed);
        }
        self.subscription_timeout(now);
        self.calls_timeout(now);
        self.events_timeout(now);
        if self.attempt.is_none() && self.refresh.is_some_and(|at| at <= now) {
            self.start(now, Command::Register);
        }
    }

    fn transaction_events(&mut self, now: Instant) {
        while let Some(event) = self.transactions.poll_event() {
            let (id, failed) = match event {
                sip::Event::ClientTimeout(id) => (id, false),
                sip::Event::ClientTransportError(id) => (id, true),
                sip::Event::ServerGone(id) => {
                    self.invite_gone(id);
                    continue;
                }
            };
            if self.page_failed(now, id, failed) {
                continue;
            }
            let patience = self.config.timers.t1 * 64;
            let unreachable = Failure::Unreachable { p_cscf: self.config.p_cscf };
            if let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.client == Some(id)) {
                let malformed = attempt.malformed;
                if failed {
                    self.fail(now, unreachable);
                } else {
                    self.unanswered(now, patience, malformed);
                }
            } else if self.subscription.as_ref().is_some_and(|subscription| subscription.waits_for(id)) {
                let silence = Failure::NoAnswer { patience, malformed: 0 };
                self.subscribe_failed(if failed { unreachable } else { silence });
            } else {
                //= RFC 6665 4.2.2: a NOTIFY that nobody answers ends its subscription
                self.notify_answered(id, 408);
                self.call_failed(now, id, failed);
            }
        }
    }

    /// Nothing of an earlier registration is left, here and in the kernel.
    fn forget(&mut self) {
        for associations in self.sets.remove_all() {
            self.outputs.push_back(Output::RemoveSas { associations });
        }
        self.transactions = Transactions::new(TRANSACTIONS);
        self.drop_pages();
        self.drop_between_users();
        self.registration = None;
        self.last_authorization = None;
        self.subscription = None;
        self.refresh = None;
        self.recovery = Recovery::default();
    }

    /// Ends the command; what an earlier registration brought stays.
    fn fail(&mut self, now: Instant, failure: Failure) {
        let attempt = self.attempt.take();
        if let Some(attempt) = &attempt {
            self.abandon(&attempt.offer);
            if attempt.command == Command::Deregister && attempt.ended {
                // The network was faster: what we wanted is so.
                return self.deregistered(now);
            }
        }
        self.step(Step::Failed(failure.clone()));
        match attempt.map(|attempt| attempt.command) {
            Some(Command::Deregister | Command::Misbehave(_)) => self.resume(now),
            _ => self.plan_retry(now, &failure),
        }
    }

    /// An offer that becomes nothing, and the set that was made of it.
    fn abandon(&mut self, offer: &SecurityClient) {
        match self.sets.remove_temporary(None) {
            Some(set) => self.outputs.push_back(Output::RemoveSas { associations: set.associations }),
            None => self.sets.give_back(&offer.setup()),
        }
    }

    /// What stands on the registration ends with it.
    fn drop_between_users(&mut self) {
        self.drop_calls();
        self.events = Events::default();
    }

    fn step(&mut self, step: Step) {
        self.outputs.push_back(Output::Step(step));
    }

    fn token(&mut self) -> Box<str> {
        format!("{:016x}", self.rng.next_u64()).into()
    }
}

/// Transactions at once. One that is over is kept for 128 s to know repetitions (Timer J where T1 is 2 s).
const TRANSACTIONS: usize = 4096;
