//! The state machine of one UE.

mod answer;
mod challenge;
mod report;
mod request;
mod sets;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aka::{Impi, Impu, Isim};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sec_agree::{
    Algorithms, Associations, ClientPorts, Port, SaSet, SecAgreeError, SecurityClient, Spi, SpiPool,
};
use sip::{ClientId, Flow, Instant, Message, Method, Received, Timers, Transactions, Transmit};
use thiserror::Error;

pub use self::sets::SetId;
use self::sets::{Sets, Via};

/// What a UE is told to be.
#[derive(Debug, Clone)]
pub struct Config {
    pub impi: Impi,
    pub impu: Impu,
    pub home_domain: Box<str>,
    pub address: IpAddr,
    /// Local port of unprotected requests.
    pub clear_port: u16,
    /// The P-CSCF's unprotected address.
    pub p_cscf: SocketAddr,
    pub transport: TransportChoice,
    /// The offer, and what is taken of the P-CSCF's list.
    pub algorithms: Vec<Algorithms>,
    pub server_port: Port,
    pub client_ports: ClientPorts,
    pub spi_first: Spi,
    pub spi_last: Spi,
    /// Registration time asked for, in seconds.
    pub expires: u32,
    /// P-Access-Network-Info of protected requests.
    pub access_network: Option<Box<str>>,
    pub timers: Timers,
    /// A step that takes longer has failed.
    pub patience: Duration,
    /// Re-registers in time by itself.
    pub stay_registered: bool,
}

/// Which transport requests leave by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportChoice {
    /// UDP, or TCP for a request over 1300 octets (RFC 3261 18.1.1).
    #[default]
    BySize,
    Udp,
    Tcp,
}

/// What a UE is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Over the current set where there is one, else unprotected.
    Register,
    Deregister,
}

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
}

impl Step {
    /// Whether the command that led here is done.
    pub fn ends(&self) -> bool {
        matches!(self, Self::Registered(_) | Self::Deregistered | Self::Failed(_))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub expires: u32,
    /// Default identity first.
    pub associated_uris: Vec<Box<str>>,
    pub service_route: Vec<Box<str>>,
    /// The set that now protects what is sent.
    pub associations: Associations,
}

/// Why a command failed. Each text fits after "failed to register: ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Failure {
    #[error("the network answered {status} {reason}")]
    Rejected { status: u16, reason: Box<str> },
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
    #[error("no SPI or protected client port is free")]
    NothingFree,
    #[error("the kernel did not take the security associations: {cause}")]
    Kernel { cause: Box<str> },
    #[error("the answer cannot be used: {0}")]
    BadAnswer(&'static str),
    #[error("the REGISTER cannot be sent: its set is gone, or too many are under way")]
    CannotSend,
    #[error("not registered")]
    NotRegistered,
    #[error("another command is under way")]
    Busy,
}

fn garbage(malformed: u32) -> String {
    match malformed {
        0 => String::new(),
        count => format!(" ({count} messages came that are no SIP)"),
    }
}

/// The command under way.
#[derive(Debug)]
struct Attempt {
    command: Command,
    call_id: Box<str>,
    cseq: u32,
    from_tag: Box<str>,
    /// The REGISTER that waits for its answer.
    client: Option<ClientId>,
    /// What the REGISTER under way went over.
    via: Via,
    offer: SecurityClient,
    /// SM1 was not protected.
    initial: bool,
    /// What answers the challenge, until the kernel has the set.
    authorization: Option<Box<str>>,
    /// A REGISTER that answers a challenge is under way.
    answering: bool,
    /// Challenges in a row that the card refused.
    refused: u8,
    malformed: u32,
    deadline: Instant,
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
    refresh: Option<Instant>,
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
            transactions: Transactions::new(16),
            attempt: None,
            registration: None,
            last_authorization: None,
            refresh: None,
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
                    self.fail(Failure::Kernel { cause });
                }
            }
            Input::TransportFailed { flow } => self.transactions.transport_failed(now, &flow),
            Input::Timeout => self.timeout(now),
        }
        self.transaction_events();
    }

    /// Takes every set out of the kernel: the end of the UE.
    pub fn end(&mut self) {
        self.attempt = None;
        for associations in self.sets.remove_all() {
            self.outputs.push_back(Output::RemoveSas { associations });
        }
    }

    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if let Some(transmit) = self.transactions.poll_transmit() {
            return Output::Send(transmit);
        }
        let attempt = self.attempt.as_ref().map(|attempt| attempt.deadline);
        let deadlines = [self.transactions.next_timeout(), self.sets.next_timeout(), attempt, self.refresh];
        Output::WaitUntil(deadlines.into_iter().flatten().min())
    }

    fn start(&mut self, now: Instant, command: Command) {
        if self.attempt.is_some() {
            return self.step(Step::Failed(Failure::Busy));
        }
        if command == Command::Deregister && self.registration.is_none() {
            return self.step(Step::Failed(Failure::NotRegistered));
        }
        self.refresh = None;
        self.first_register(now, command, 0, None);
    }

    fn received(&mut self, now: Instant, flow: Flow, message: Message) {
        if message.is_request() {
            // Requests to the UE come with the issue on requests between users; until then they are answered so
            // that nobody repeats them.
            if let Received::Request { id, request } =
                self.transactions.receive(now, flow, self.config.timers, message)
                && request.method() != Method::Ack
            {
                let response = sip::Draft::reply(&request, 405, "Method Not Allowed", Some("ue")).finish();
                self.transactions.respond(now, id, response);
            }
            return;
        }
        //= TS 33.203 7.4.1a: an answer must arrive over the set its request went over
        if !self
            .attempt
            .as_ref()
            .is_some_and(|attempt| attempt.via.may_answer(&self.config, &self.sets, &flow))
        {
            return;
        }
        if let Received::Response { id, response } =
            self.transactions.receive(now, flow, self.config.timers, message)
        {
            let expected = self.attempt.as_ref().is_some_and(|attempt| attempt.client == Some(id));
            match response.status() {
                Some(401) if expected => self.challenged(now, &response),
                Some(status) if expected && status >= 200 => self.answered(now, status, &response),
                _ => {}
            }
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        while let Some(set) = self.sets.take_expired(now) {
            if set.was_current {
                self.registration = None;
            }
            self.outputs.push_back(Output::RemoveSas { associations: set.associations });
        }
        if let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.deadline <= now) {
            let (patience, malformed) = (self.config.patience, attempt.malformed);
            self.fail(Failure::NoAnswer { patience, malformed });
        }
        if self.refresh.is_some_and(|at| at <= now) {
            self.refresh = None;
            self.start(now, Command::Register);
        }
    }

    fn transaction_events(&mut self) {
        while let Some(event) = self.transactions.poll_event() {
            let (sip::Event::ClientTimeout(id) | sip::Event::ClientTransportError(id)) = event else {
                continue;
            };
            let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.client == Some(id)) else {
                continue;
            };
            let failure = match event {
                sip::Event::ClientTimeout(_) => {
                    Failure::NoAnswer { patience: self.config.timers.t1 * 64, malformed: attempt.malformed }
                }
                _ => Failure::Unreachable { p_cscf: self.config.p_cscf },
            };
            self.fail(failure);
        }
    }

    /// Ends the command; what an earlier registration brought stays.
    fn fail(&mut self, failure: Failure) {
        let attempt = self.attempt.take();
        if let Some(set) = self.sets.remove_temporary(None) {
            self.outputs.push_back(Output::RemoveSas { associations: set.associations });
        } else if let Some(attempt) = attempt {
            self.sets.give_back(&attempt.offer.setup());
        }
        self.step(Step::Failed(failure));
    }

    fn step(&mut self, step: Step) {
        self.outputs.push_back(Output::Step(step));
    }

    fn token(&mut self) -> Box<str> {
        format!("{:016x}", self.rng.next_u64()).into()
    }
}
