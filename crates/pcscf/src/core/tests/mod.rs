//! The P-CSCF alone: a UE on one side and a core network on the other, both written out.

mod dialogs;
mod failures;
mod invite;
mod keys;
mod nat;
mod privacy;
mod quirks;
mod registration;
mod relay;
mod restart;
mod subscription;

use std::time::Duration;

use sec_agree::{Policy, Spi};

use super::*;

const KEYS: &str = r#", ik="f769bcd751044604127672711c6d3441", ck="b40ba9a3c58b2a05bbf0d987b21bf8cb""#;
const IMPI: &str = "001010000000001@ims.example";

struct Bench {
    pcscf: PCscf,
    now: Instant,
    cseq: u32,
    events: Vec<Event>,
}

/// What came out of the P-CSCF at once.
#[derive(Default)]
struct Outcome {
    sent: Vec<(Flow, Message)>,
    installs: Vec<(SetId, SaSet, Duration)>,
    extended: Vec<(Associations, Duration)>,
    removed: Vec<Associations>,
    saved: Vec<SavedDevice>,
}

impl Outcome {
    /// What went to this address.
    fn to(&self, remote: &str) -> Vec<&Message> {
        let remote: SocketAddr = remote.parse().unwrap();
        self.sent.iter().filter(|(flow, _)| flow.remote == remote).map(|(_, message)| message).collect()
    }

    fn only(&self) -> (Flow, &Message) {
        let [(flow, message)] = self.sent.as_slice() else { panic!("one message, not {:?}", self.sent) };
        (*flow, message)
    }
}

fn config() -> Config {
    let client_ports = sec_agree::ClientPorts::new(6000, 4).unwrap();
    let server_port = sec_agree::Port::new(6100).unwrap();
    Config {
        host: "pcscf.visited.example".into(),
        network: "visited.example".into(),
        gm: vec![GmAddress { clear: "10.9.0.1:5060".parse().unwrap(), server_port, client_ports }],
        mw: "10.8.0.1:5060".parse().unwrap(),
        entry_points: vec![("ims.example".into(), "10.8.0.2:5060".parse().unwrap())],
        neighbours: vec![("scscf.ims.example".into(), "10.8.0.3:5060".parse().unwrap())],
        policy: Policy::default(),
        spi_first: Spi::new(0x1000).unwrap(),
        spi_last: Spi::new(0x1fff).unwrap(),
        reg_await_auth: Duration::from_secs(240),
        limits: Limits { transactions: 1000, sets: 100, registers: Rate::default() },
    }
}

fn device() -> Device {
    Device { impi: Impi::new(IMPI).unwrap(), flow: None }
}

fn clear() -> Flow {
    Flow::udp("10.9.0.1:5060".parse().unwrap(), "10.9.0.2:5060".parse().unwrap())
}

/// The Security-Client of the n-th authentication of a UE.
fn offer(n: u32) -> String {
    let line = |ealg: &str| {
        let (spi, port) = (1000 + n * 10, 7000 + n);
        format!(
            "ipsec-3gpp;alg=hmac-sha-1-96;ealg={ealg};spi-c={spi};spi-s={};port-c={port};port-s=7100",
            spi + 1
        )
    };
    format!("{}, {}", line("aes-cbc"), line("null"))
}

impl Bench {
    fn new() -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1));
        Self { pcscf: PCscf::new(config(), [7; 32]), now, cseq: 0, events: Vec::new() }
    }

    fn give(&mut self, input: Input) -> Outcome {
        self.pcscf.handle(self.now, input);
        let mut outcome = Outcome::default();
        loop {
            match self.pcscf.poll() {
                Output::Send(Transmit { flow, bytes }) => {
                    outcome.sent.push((flow, Message::parse(bytes.to_vec()).unwrap()));
                }
                Output::InstallSas { set, sas, lifetime } => outcome.installs.push((set, sas, lifetime)),
                Output::ExtendSas { associations, lifetime, .. } => {
                    outcome.extended.push((associations, lifetime))
                }
                Output::RemoveSas { associations } => outcome.removed.push(associations),
                Output::Save(device) => outcome.saved.push(*device),
                Output::Event(event) => self.events.push(event),
                Output::WaitUntil(_) => return outcome,
            }
        }
    }

    fn receive(&mut self, flow: Flow, message: Message) -> Outcome {
        self.give(Input::Received { flow, message })
    }

    fn wait(&mut self, time: Duration) -> Outcome {
        self.now += time;
        self.give(Input::Timeout)
    }

    /// A REGISTER with these headers besides the usual ones.
    fn register(&mut self, sent_by: &str, authorization: &str, headers: &[(&str, &str)]) -> Message {
        self.cseq += 1;
        let cseq = self.cseq;
        let mut text = format!(
            "REGISTER sip:ims.example SIP/2.0\r\n\
             Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK-ue-{cseq}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:alice@ims.example>;tag=f\r\nTo: <sip:alice@ims.example>\r\n\
             Call-ID: c1@10.9.0.2\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:alice@10.9.0.2:7100>\r\nExpires: 600000\r\n\
             Authorization: Digest username=\"{IMPI}\", realm=\"ims.example\", uri=\"sip:ims.example\", {authorization}\r\n\
             Supported: path\r\nRequire: sec-agree\r\nProxy-Require: sec-agree\r\n"
        );
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        Message::parse(text.into_bytes()).unwrap()
    }

    fn sm1(&mut self, n: u32) -> Message {
        let offer = offer(n);
        self.register("10.9.0.2:5060", r#"nonce="", response="""#, &[("Security-Client", &offer)])
    }

    /// SM1 to SM6 of the n-th authentication.
    fn challenge(&mut self, n: u32) -> (Associations, String) {
        let request = self.sm1(n);
        let forwarded = self.receive(clear(), request);
        let outcome = self.receive(from_core(), answer(forwarded.only().1, 401, KEYS, ""));
        let [(set, sas, _)] = outcome.installs.as_slice() else { panic!("one set") };
        let challenge = self.give(Input::SasInstalled { set: *set });
        (sas.associations, challenge.only().1.first(Name::SecurityServer).unwrap().to_owned())
    }

    fn sm7(&mut self, associations: &Associations, n: u32, verify: &str) -> Outcome {
        let offer = offer(n);
        let headers = [("Security-Client", offer.as_str()), ("Security-Verify", verify)];
        let request = self.register("10.9.0.2:7100", r#"nonce="n", response="0123""#, &headers);
        self.receive(over(associations), request)
    }

    fn registered(&mut self, n: u32) -> (Associations, String) {
        let (associations, verify) = self.challenge(n);
        let forwarded = self.sm7(&associations, n, &verify);
        let ok = answer(forwarded.only().1, 200, "", "Contact: <sip:alice@10.9.0.2:7100>;expires=600000\r\n");
        self.receive(from_core(), ok);
        (associations, verify)
    }

    /// As [`Self::registered`], with identities and a Service-Route; answers our own SUBSCRIBE too.
    fn registered_with_profile(&mut self, n: u32) -> (Associations, String, Message) {
        let (associations, verify) = self.challenge(n);
        let forwarded = self.sm7(&associations, n, &verify);
        let outcome = self.receive(from_core(), answer(forwarded.only().1, 200, "", PROFILE));
        (associations, verify, outcome.to(S_CSCF)[0].clone())
    }

    /// A re-REGISTER over this set, which answers the challenge `nonce` with `response`.
    fn over_set(&mut self, set: &Associations, n: u32, verify: &str, authorization: &str) -> Outcome {
        let offer = offer(n);
        let headers = [("Security-Client", offer.as_str()), ("Security-Verify", verify)];
        let request = self.register("10.9.0.2:7100", authorization, &headers);
        self.receive(over(set), request)
    }

    /// The challenge `nonce` to the n-th authentication, asked for over a set.
    fn re_challenge(
        &mut self,
        set: &Associations,
        n: u32,
        verify: &str,
        nonce: &str,
    ) -> (Associations, String) {
        let forwarded = self.over_set(set, n, verify, r#"nonce="old", response="0123""#);
        let challenge = answer(forwarded.only().1, 401, KEYS, "");
        let text = String::from_utf8(challenge.bytes().to_vec()).unwrap();
        let challenge = text.replace("nonce=\"n\"", &format!("nonce=\"{nonce}\""));
        let outcome = self.receive(from_core(), Message::parse(challenge.into_bytes()).unwrap());
        let [(set, sas, _)] = outcome.installs.as_slice() else { panic!("one set") };
        let challenge = self.give(Input::SasInstalled { set: *set });
        (sas.associations, challenge.only().1.first(Name::SecurityServer).unwrap().to_owned())
    }
}

/// The Service-Route and identities of a 200.
const PROFILE: &str = "Contact: <sip:alice@10.9.0.2:7100>;expires=600000\r\n\
     P-Associated-URI: <sip:alice@ims.example>, <tel:+491>\r\nService-Route: <sip:orig@scscf.ims.example;lr>\r\n";
const S_CSCF: &str = "10.8.0.3:5060";

fn from_core() -> Flow {
    Flow::udp("10.8.0.1:5060".parse().unwrap(), "10.8.0.2:5060".parse().unwrap())
}

/// The flow a UDP request takes over a set.
fn over(associations: &Associations) -> Flow {
    Flow::udp(associations.uc_to_ps.destination, associations.uc_to_ps.source)
}

/// What the core network answers to a forwarded request.
fn answer(request: &Message, status: u16, challenge: &str, headers: &str) -> Message {
    let mut text = format!("SIP/2.0 {status} Whatever\r\n");
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        for line in request.lines(name) {
            text.push_str(&format!("{}: {line}\r\n", name.as_str()));
        }
    }
    if !challenge.is_empty() {
        text.push_str(&format!(
            "WWW-Authenticate: Digest realm=\"ims.example\", nonce=\"n\", algorithm=AKAv1-MD5{challenge}\r\n"
        ));
    }
    text.push_str(headers);
    text.push_str("Content-Length: 0\r\n\r\n");
    Message::parse(text.into_bytes()).unwrap()
}

/// As [`answer`], from an end that has this tag.
fn answer_of(request: &Message, status: u16, tag: &str, headers: &str) -> Message {
    let tagged = |to: &str| if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag={tag}") };
    let response = answer(request, status, "", headers);
    Draft::forward(&response).set(Name::To, tagged(request.first(Name::To).unwrap())).finish()
}
