//! The state machine: a REGISTER in, a question to the HSS, the REGISTER on to an S-CSCF, the answer back.

use std::collections::{HashMap, VecDeque};

use aka::{Impi, Impu};
use cx::{
    Answer, LinkError, ServerName, UserAuthorization, UserAuthorizationRequest, UserAuthorizationType,
    VisitedNetwork,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sip::header::PVisitedNetworkId;
use sip::routing::{self, branch};
use sip::{
    ClientId, Contacts, Draft, Flow, Instant, Message, Method, Name, Received, ServerId, Transactions,
    Transmit, Transport,
};

use crate::{Config, Refusal, SCscf, selection};

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
        impi: Impi,
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
}

/// A REGISTER under way.
#[derive(Debug)]
struct Register {
    server: ServerId,
    message: Message,
    question: UserAuthorizationRequest,
    /// S-CSCFs that did not take it.
    tried: Vec<ServerName>,
    /// S-CSCFs still to try.
    candidates: VecDeque<SCscf>,
}

/// A request over this must not leave by UDP.
//= RFC 3261 18.1.1
const UDP_LIMIT: usize = 1300;

/// The I-CSCF as a value.
#[derive(Debug)]
pub struct ICscf {
    config: Config,
    rng: ChaCha20Rng,
    transactions: Transactions,
    asking: HashMap<CxId, Register>,
    forwarded: HashMap<ClientId, (Register, SCscf)>,
    next_cx: u64,
    outputs: VecDeque<Output>,
}

impl ICscf {
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            rng: ChaCha20Rng::from_seed(seed),
            transactions: Transactions::new(config.transactions),
            asking: HashMap::new(),
            forwarded: HashMap::new(),
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
            let (sip::Event::ClientTimeout(id) | sip::Event::ClientTransportError(id)) = event else {
                continue;
            };
            if let Some((register, s_cscf)) = self.forwarded.remove(&id) {
                self.passed(now, register, s_cscf);
            }
        }
    }

    /// Call until it yields `WaitUntil`.
    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        match self.transactions.poll_transmit() {
            Some(transmit) => Output::Send(transmit),
            None => Output::WaitUntil(self.transactions.next_timeout()),
        }
    }

    fn received(&mut self, now: Instant, flow: Flow, message: Message) {
        let trusted = self.config.trusted_peers.contains(&flow.remote.ip());
        match self.transactions.receive(now, flow, self.config.timers, message) {
            //= TS 33.203 Annex J: a UE must not reach the home network around its P-CSCF
            Received::Request { id, request } if !trusted => {
                self.refuse(now, id, &request, Refusal::UntrustedPeer)
            }
            Received::Request { id, request } => match read(&request, &self.config) {
                Ok(question) => {
                    let (tried, candidates) = (Vec::new(), VecDeque::new());
                    self.ask(Register { server: id, message: request, question, tried, candidates });
                }
                Err(refusal) => self.refuse(now, id, &request, refusal),
            },
            Received::Cancel { id, request, .. } => {
                self.refuse(now, id, &request, Refusal::NoSuchTransaction)
            }
            Received::Response { id, response } => self.answered(now, id, &response),
            Received::Ack { .. } | Received::Absorbed | Received::Stray(_) | Received::Overloaded(_) => {}
        }
    }

    fn ask(&mut self, register: Register) {
        self.next_cx += 1;
        let id = CxId(self.next_cx);
        let request = cx::Request::Uar(register.question.clone());
        self.asking.insert(id, register);
        self.outputs.push_back(Output::Cx { id, request });
    }

    fn cx_answer(&mut self, now: Instant, id: CxId, answer: Result<Answer, LinkError>) {
        let Some(mut register) = self.asking.remove(&id) else { return };
        let (known, tried) = (&self.config.s_cscfs, &register.tried);
        let candidates = match answer {
            Ok(Answer::Uaa(Ok(UserAuthorization::Subsequent { server_name })))
            | Ok(Answer::Uaa(Ok(UserAuthorization::DeRegistration { server_name }))) => {
                Ok(selection::by_name(known, &server_name, tried))
            }
            Ok(Answer::Uaa(Ok(UserAuthorization::FirstRegistration { capabilities })))
            | Ok(Answer::Uaa(Ok(UserAuthorization::Capabilities { capabilities }))) => {
                Ok(selection::by_capabilities(known, &capabilities, tried))
            }
            Ok(Answer::Uaa(Err(failure))) => Err(Refusal::Hss(failure)),
            Ok(_) => Err(Refusal::WrongAnswer),
            Err(error) => Err(Refusal::Link(error)),
        };
        match candidates {
            Ok(candidates) => {
                register.candidates = candidates;
                self.forward(now, register);
            }
            Err(refusal) => self.refuse(now, register.server, &register.message, refusal),
        }
    }

    /// To the next S-CSCF that may take it.
    fn forward(&mut self, now: Instant, mut register: Register) {
        let Some(s_cscf) = register.candidates.pop_front() else { return self.choose_again(now, register) };
        let branch = branch(self.rng.next_u64(), self.rng.next_u64());
        let (message, flow) = match self.toward(&register.message, &s_cscf, &branch) {
            Ok(forward) => forward,
            Err(refusal) => return self.refuse(now, register.server, &register.message, refusal),
        };
        match self.transactions.request(now, flow, self.config.timers, message) {
            Ok(client) => {
                let (impi, to) = (register.question.impi.clone(), s_cscf.name.clone());
                self.outputs.push_back(Output::Event(Event::Forwarded { impi, to }));
                self.forwarded.insert(client, (register, s_cscf));
            }
            Err(_) => self.refuse(now, register.server, &register.message, Refusal::Overloaded),
        }
    }

    /// The S-CSCF the HSS has stored is gone, or is none of ours: another one that fits takes the user, once.
    fn choose_again(&mut self, now: Instant, mut register: Register) {
        match register.question.kind {
            UserAuthorizationType::Registration => {
                //= TS 29.228 6.1.1.1: REGISTRATION_AND_CAPABILITIES asks for what another S-CSCF must be able to do
                register.question.kind = UserAuthorizationType::RegistrationAndCapabilities;
                self.ask(register);
            }
            _ => self.refuse(now, register.server, &register.message, Refusal::NoSCscf),
        }
    }

    /// SM3 and SM9.
    fn toward(&self, request: &Message, s_cscf: &SCscf, branch: &str) -> Result<(Message, Flow), Refusal> {
        let mut draft = Draft::forward(request);
        routing::consume_routes(request, &mut draft, |uri| {
            uri.host.ip() == Some(self.config.address.ip())
                && uri.port.unwrap_or(5060) == self.config.address.port()
        })?;
        //= TS 24.229 5.3.1.2: the Request-URI becomes the S-CSCF's
        draft.set_request_uri(s_cscf.name.as_str().to_owned());
        draft.set(Name::MaxForwards, routing::max_forwards(request)?.to_string());
        let address = self.config.address;
        let via = |transport: Transport| format!("SIP/2.0/{} {address};branch={branch}", transport.as_str());
        draft.push_front(Name::Via, via(Transport::Udp));
        let message = draft.finish();
        if message.bytes().len() <= UDP_LIMIT {
            return Ok((message, Flow::udp(address, s_cscf.address)));
        }
        draft.remove_first_value(Name::Via).push_front(Name::Via, via(Transport::Tcp));
        let any_port = std::net::SocketAddr::new(address.ip(), 0);
        Ok((draft.finish(), Flow::tcp(any_port, s_cscf.address)))
    }

    fn answered(&mut self, now: Instant, id: ClientId, response: &Message) {
        let Some(status) = response.status().filter(|status| *status >= 200) else { return };
        let Some((register, s_cscf)) = self.forwarded.remove(&id) else { return };
        //= TS 24.229 5.3.1.2: 3xx and 480 mean another S-CSCF
        if matches!(status, 300..400 | 480) {
            return self.passed(now, register, s_cscf);
        }
        let mut draft = Draft::forward(response);
        draft.remove_first_value(Name::Via);
        self.transactions.respond(now, register.server, draft.finish());
    }

    fn passed(&mut self, now: Instant, mut register: Register, s_cscf: SCscf) {
        register.tried.push(s_cscf.name.clone());
        self.outputs.push_back(Output::Event(Event::Passed { name: s_cscf.name }));
        self.forward(now, register);
    }

    fn refuse(&mut self, now: Instant, id: ServerId, request: &Message, refusal: Refusal) {
        let (status, reason) = refusal.status();
        let tag = format!("{:016x}", self.rng.next_u64());
        let mut draft = Draft::reply(request, status, reason, Some(&tag));
        match &refusal {
            Refusal::Routing(routing::Refusal::BadExtension { unsupported }) => {
                draft.push(Name::Unsupported, unsupported.to_string());
            }
            Refusal::MethodNotServed => {
                draft.push(Name::Allow, "REGISTER");
            }
            _ => {}
        }
        self.transactions.respond(now, id, draft.finish());
        let impi = identity(request);
        self.outputs.push_back(Output::Event(Event::Refused { impi, refusal }));
    }
}

/// What to ask the HSS about a REGISTER.
fn read(request: &Message, config: &Config) -> Result<UserAuthorizationRequest, Refusal> {
    if request.method() != Method::Register {
        return Err(Refusal::MethodNotServed);
    }
    routing::proxy_require(request, &["path"])?;
    routing::max_forwards(request)?;
    let impi = identity(request).ok_or(Refusal::NoIdentity)?;
    let to = request.to().and_then(|to| to.parse_uri()).map_err(|_| Refusal::NoIdentity)?;
    let impu = Impu::new(&to.identity()).map_err(|_| Refusal::NoIdentity)?;
    let named = PVisitedNetworkId::of(request);
    let visited = named.as_ref().map_or(&*config.home_domain, |network| &network.0);
    let visited_network = VisitedNetwork::new(visited).map_err(|_| Refusal::BadVisitedNetwork)?;
    let kind = if ends_registration(request) {
        UserAuthorizationType::DeRegistration
    } else {
        UserAuthorizationType::Registration
    };
    Ok(UserAuthorizationRequest { impi, impu, visited_network, kind, emergency: false })
}

/// The private identity: from Authorization, else derived from To.
//= TS 24.229 5.3.1.2
fn identity(request: &Message) -> Option<Impi> {
    let username = match request.authorization() {
        Some(credentials) => credentials.ok()?.username.into_owned(),
        None => request.to().ok()?.parse_uri().ok()?.user_at_host()?,
    };
    Impi::new(&username).ok()
}

/// Expires 0, in the contact or, where that says nothing, in the header.
fn ends_registration(request: &Message) -> bool {
    let of_header = request.expires();
    match request.contacts() {
        Ok(Contacts::Star) => true,
        Ok(Contacts::List(list)) if !list.is_empty() => {
            list.iter().all(|contact| contact.expires().or(of_header) == Some(0))
        }
        _ => of_header == Some(0),
    }
}

#[cfg(test)]
mod tests;
