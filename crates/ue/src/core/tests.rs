//! The UE alone: the network's answers are written out.

mod callee;
mod caller;
mod digest;
mod events;
mod fault;
mod nat;
mod notify;
mod overtaking;
mod page;
mod pair;
mod registration;
mod retry;

use aka::{Algorithm, Amf, DigestAlgorithm, Impi, Impu, K, Nonce, Opc, Rand, Sqn, SqnArray};
use sec_agree::{Algorithms, ClientPorts, Policy, Port, SecurityServer, Setup, Spi};
use sip::{Draft, Name, Timers};

use super::*;

struct Bench {
    ue: Ue,
    now: Instant,
    /// Given so far; each has a sequence number of its own.
    challenges: u8,
}

/// What came out of the UE at once.
#[derive(Default)]
struct Outcome {
    sent: Vec<(Flow, Message)>,
    installs: Vec<(SetId, SaSet)>,
    removed: usize,
    /// Of the sets that are extended or shortened in the kernel.
    lifetimes: Vec<Duration>,
    steps: Vec<Step>,
}

impl Outcome {
    fn only(&self) -> (Flow, &Message) {
        let [(flow, message)] = self.sent.as_slice() else { panic!("one message, not {:?}", self.sent) };
        (*flow, message)
    }

    fn failure(&self) -> &Failure {
        let [Step::Failed(failure)] = self.steps.as_slice() else {
            panic!("one failure, not {:?}", self.steps)
        };
        failure
    }
}

fn algorithm() -> Algorithm {
    Algorithm::milenage(K::from_bytes([1; 16]), Opc::from_bytes([2; 16]))
}

fn config() -> Config {
    Config {
        impi: Impi::new("001010000000001@ims.example").unwrap(),
        impu: Impu::new("sip:alice@ims.example").unwrap(),
        home_domain: "ims.example".into(),
        address: "10.9.0.2".parse().unwrap(),
        clear_port: 5060,
        p_cscf: "10.9.0.1:5060".parse().unwrap(),
        transport: TransportChoice::Udp,
        algorithms: Policy::default().algorithms().to_vec(),
        nat_traversal: false,
        server_port: Port::new(7100).unwrap(),
        client_ports: ClientPorts::new(7000, 4).unwrap(),
        spi_first: Spi::new(0x2000).unwrap(),
        spi_last: Spi::new(0x2fff).unwrap(),
        expires: 3600,
        access_network: None,
        timers: Timers::GM,
        patience: Duration::from_secs(60),
        stay_registered: false,
        subscribe: false,
        refresh_subscription: None,
        answering: Answering::default(),
    }
}

fn nonce() -> String {
    nonce_number(0)
}

fn nonce_number(number: u8) -> String {
    let sqn = Sqn::from_parts(5 + u64::from(number), 0).unwrap();
    let vector = algorithm().vector(Rand::from_bytes([9; 16]), sqn, Amf::from_bytes([0; 2]));
    Nonce::new(vector.rand, vector.autn).encode()
}

fn security_server(algorithms: &[Algorithms]) -> String {
    security_server_number(algorithms, 0)
}

/// The list of a P-CSCF whose SPIs and client port are new for every challenge.
fn security_server_number(algorithms: &[Algorithms], number: u8) -> String {
    let setup = Setup {
        spi_c: Spi::new(0x1000 + 2 * u32::from(number)).unwrap(),
        spi_s: Spi::new(0x1001 + 2 * u32::from(number)).unwrap(),
        port_c: Port::new(6000 + u16::from(number)).unwrap(),
        port_s: Port::new(6100).unwrap(),
    };
    SecurityServer::answer(&Policy::new(algorithms).unwrap(), setup).unwrap().to_string()
}

fn digest(nonce: &str, algorithm: &str) -> String {
    format!("Digest realm=\"ims.example\", nonce=\"{nonce}\", algorithm={algorithm}")
}

fn challenge(request: &Message, authenticate: String, server: Option<String>) -> Message {
    let mut draft = Draft::reply(request, 401, "Unauthorized", Some("s"));
    draft.push(Name::WwwAuthenticate, authenticate);
    if let Some(server) = server {
        draft.push(Name::SecurityServer, server);
    }
    draft.finish()
}

fn good_challenge(request: &Message) -> Message {
    challenge_number(request, 0)
}

fn challenge_number(request: &Message, number: u8) -> Message {
    let server = security_server_number(Policy::default().algorithms(), number);
    let nonce = nonce_number(number);
    challenge(request, digest(&nonce, DigestAlgorithm::AkaV1Md5.as_str()), Some(server))
}

/// A 200 that grants an hour.
fn ok(request: &Message) -> Message {
    granted(request, 3600)
}

fn granted(request: &Message, expires: u32) -> Message {
    let mut draft = Draft::reply(request, 200, "OK", Some("s"));
    draft
        .push(Name::Contact, format!("{};expires={expires}", request.first(Name::Contact).unwrap()))
        .push(Name::PAssociatedUri, "<sip:default@ims.example>, <sip:alice@ims.example>, <tel:+49301>")
        .push(Name::ServiceRoute, "<sip:icscf.ims.example;lr>")
        .push(Name::ServiceRoute, "<sip:orig@scscf.ims.example;lr>");
    draft.finish()
}

/// The flow by which the P-CSCF's UDP datagrams come over a set.
fn towards_ue(set: &Associations) -> Flow {
    Flow::udp(set.pc_to_us.destination, set.pc_to_us.source)
}

/// The flow by which our UDP datagrams leave over a set.
fn towards_p_cscf(set: &Associations) -> Flow {
    Flow::udp(set.uc_to_ps.source, set.uc_to_ps.destination)
}

impl Bench {
    fn new(config: Config) -> Self {
        Self::with_card(config, SqnArray::new())
    }

    fn with_card(config: Config, sqn: SqnArray) -> Self {
        let isim = Isim::new(algorithm(), sqn);
        Self {
            ue: Ue::new(config, isim, [7; 32]),
            now: Instant::from_epoch(Duration::from_secs(1)),
            challenges: 0,
        }
    }

    fn give(&mut self, input: Input) -> Outcome {
        self.ue.handle(self.now, input);
        let mut outcome = Outcome::default();
        loop {
            match self.ue.poll() {
                Output::Send(Transmit { flow, bytes }) => {
                    outcome.sent.push((flow, Message::parse(bytes.to_vec()).unwrap()));
                }
                Output::InstallSas { set, sas, .. } => outcome.installs.push((set, sas)),
                Output::RemoveSas { .. } => outcome.removed += 1,
                Output::ExtendSas { lifetime, .. } => outcome.lifetimes.push(lifetime),
                Output::Close { .. } => {}
                Output::Step(step) => outcome.steps.push(step),
                Output::WaitUntil(_) => return outcome,
            }
        }
    }

    fn register(&mut self) -> (Flow, Message) {
        let outcome = self.give(Input::Command(Command::Register));
        let (flow, message) = outcome.only();
        (flow, message.clone())
    }

    fn receive(&mut self, flow: Flow, message: Message) -> Outcome {
        self.give(Input::Received { flow, message })
    }

    /// What the time brings.
    fn wait(&mut self, seconds: u64) -> Outcome {
        self.now += Duration::from_secs(seconds);
        self.give(Input::Timeout)
    }

    /// SM6, the kernel, SM12 to a REGISTER that is under way; the challenge comes over the set SM1 went over.
    fn authenticate(
        &mut self,
        (flow, sm1): (Flow, Message),
        answer: impl Fn(&Message) -> Message,
    ) -> Outcome {
        let back = self.back(flow);
        let challenge = challenge_number(&sm1, self.challenges);
        self.challenges += 1;
        let outcome = self.receive(back, challenge);
        let (set, sas) = &outcome.installs[0];
        let over = towards_ue(&sas.associations);
        let outcome = self.give(Input::SasInstalled { set: *set });
        let answer = answer(outcome.only().1);
        self.receive(over, answer)
    }

    /// How the answer to what left by `flow` comes back.
    fn back(&self, flow: Flow) -> Flow {
        let registration = self.ue.registration();
        let set = registration.map(|registration| registration.associations);
        set.filter(|set| towards_p_cscf(set) == flow).map_or(flow, |set| towards_ue(&set))
    }

    /// A whole registration.
    fn registered(config: Config) -> (Self, Outcome) {
        let mut bench = Self::new(config);
        let sm1 = bench.register();
        let outcome = bench.authenticate(sm1, ok);
        assert!(bench.ue.registration().is_some(), "{:?}", outcome.steps);
        (bench, outcome)
    }

    fn set(&self) -> Associations {
        self.ue.registration().expect("it is registered").associations
    }

    /// SM1 and this answer to it.
    fn answered(config: Config, answer: impl Fn(&Message) -> Message) -> Outcome {
        let mut bench = Self::new(config);
        let (flow, request) = bench.register();
        bench.receive(flow, answer(&request))
    }
}
