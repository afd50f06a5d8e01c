//! The I-CSCF alone: a P-CSCF, an HSS and S-CSCFs written out.

use std::time::Duration;

use cx::{BaseCode, CxFailure, ExperimentalCode, Request, ServerCapabilities};
use sip::Timers;

use super::*;

struct Bench {
    icscf: ICscf,
    now: Instant,
    events: Vec<Event>,
}

#[derive(Default)]
struct Outcome {
    sent: Vec<(Flow, Message)>,
    asked: Vec<(CxId, Request)>,
}

fn s_cscf(letter: char, last: u8, capabilities: &[u32]) -> SCscf {
    let address = format!("10.30.0.{last}:5060").parse().unwrap();
    let name = ServerName::new(&format!("sip:{letter}.home.example")).unwrap();
    SCscf { name, address, capabilities: capabilities.to_vec() }
}

impl Bench {
    fn new() -> Self {
        let config = Config {
            address: "10.30.0.2:5060".parse().unwrap(),
            home_domain: "home.example".into(),
            trusted_peers: vec!["10.30.0.1".parse().unwrap()],
            s_cscfs: vec![s_cscf('a', 11, &[1]), s_cscf('b', 12, &[1, 2])],
            timers: Timers::CORE,
            transactions: 100,
        };
        Self { icscf: ICscf::new(config, [3; 32]), now: Instant::ZERO, events: Vec::new() }
    }

    fn give(&mut self, input: Input) -> Outcome {
        self.icscf.handle(self.now, input);
        let mut outcome = Outcome::default();
        loop {
            match self.icscf.poll() {
                Output::Send(Transmit { flow, bytes }) => {
                    outcome.sent.push((flow, Message::parse(bytes.to_vec()).unwrap()));
                }
                Output::Cx { id, request } => outcome.asked.push((id, request)),
                Output::Event(event) => self.events.push(event),
                Output::WaitUntil(_) => return outcome,
            }
        }
    }

    fn register(&mut self, extra: &str) -> Outcome {
        self.give(Input::Received { flow: from("10.30.0.1:5060"), message: register(extra) })
    }

    fn uaa(&mut self, id: CxId, answer: Result<UserAuthorization, CxFailure>) -> Outcome {
        self.give(Input::CxAnswer { id, answer: Ok(Answer::Uaa(answer)) })
    }

    /// Lets time pass until a REGISTER has been given up.
    fn silence(&mut self) -> Outcome {
        let mut all = Outcome::default();
        for _ in 0..33 {
            self.now += Duration::from_secs(1);
            let outcome = self.give(Input::Timeout);
            all.sent.extend(outcome.sent);
            all.asked.extend(outcome.asked);
        }
        all
    }
}

fn from(remote: &str) -> Flow {
    Flow::udp("10.30.0.2:5060".parse().unwrap(), remote.parse().unwrap())
}

fn register(extra: &str) -> Message {
    let text = format!(
        "REGISTER sip:home.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.30.0.1:5060;branch=z9hG4bKp\r\n\
         Max-Forwards: 69\r\nFrom: <sip:alice@home.example>;tag=f\r\nTo: <sip:alice@home.example>\r\n\
         Call-ID: c\r\nCSeq: 1 REGISTER\r\nContact: <sip:alice@10.9.0.2:7100>\r\n\
         Authorization: Digest username=\"alice@private.example\", realm=\"home.example\", nonce=\"\", response=\"\"\r\n\
         Require: path\r\nPath: <sip:term@10.30.0.1:5060;lr>\r\n{extra}Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into_bytes()).unwrap()
}

fn answer(request: &Message, status: u16) -> Message {
    Draft::reply(request, status, "Whatever", Some("t")).finish()
}

fn named(letter: char) -> ServerName {
    s_cscf(letter, 11, &[]).name
}

fn first(mandatory: &[u32]) -> UserAuthorization {
    let capabilities = ServerCapabilities { mandatory: mandatory.to_vec(), ..ServerCapabilities::default() };
    UserAuthorization::FirstRegistration { capabilities }
}

#[test]
fn reg_1_a_register_goes_to_the_s_cscf_of_the_capabilities_and_its_answer_back() {
    let mut bench = Bench::new();
    let outcome = bench.register("P-Visited-Network-ID: \"visited.example\"\r\nX-Unknown: kept\r\n");
    let [(id, Request::Uar(question))] = outcome.asked.as_slice() else { panic!("one UAR") };
    assert_eq!(question.impi.as_str(), "alice@private.example");
    assert_eq!(question.impu.as_str(), "sip:alice@home.example");
    assert_eq!(question.visited_network.as_str(), "visited.example");
    assert_eq!(question.kind, UserAuthorizationType::Registration);
    let outcome = bench.uaa(*id, Ok(first(&[2])));
    let [(flow, sm3)] = outcome.sent.as_slice() else { panic!("one REGISTER") };
    assert_eq!(flow.remote, "10.30.0.12:5060".parse().unwrap(), "the one with capability 2");
    assert_eq!(sm3.request_uri(), Some("sip:b.home.example"));
    assert_eq!(sm3.first(Name::MaxForwards), Some("68"));
    assert_eq!(sm3.values(Name::Via).count(), 2);
    assert_eq!(sm3.named("X-Unknown"), Some("kept"));
    let flow = from("10.30.0.12:5060");
    let outcome = bench.give(Input::Received { flow, message: answer(sm3, 401) });
    let [(flow, sm5)] = outcome.sent.as_slice() else { panic!("one answer") };
    assert_eq!((flow.remote, sm5.status()), ("10.30.0.1:5060".parse().unwrap(), Some(401)));
    assert_eq!(sm5.values(Name::Via).count(), 1);
}

#[test]
fn ovw_7_the_second_register_needs_nothing_of_the_first() {
    // A fresh I-CSCF sends SM8 where the HSS says.
    let mut bench = Bench::new();
    let id = bench.register("").asked[0].0;
    let outcome = bench.uaa(id, Ok(UserAuthorization::Subsequent { server_name: named('b') }));
    assert_eq!(outcome.sent[0].0.remote, "10.30.0.12:5060".parse().unwrap());
}

#[test]
fn refusals_of_the_hss() {
    let status = |failure: CxFailure| {
        let mut bench = Bench::new();
        let id = bench.register("").asked[0].0;
        bench.uaa(id, Err(failure)).sent[0].1.status().unwrap()
    };
    for code in [
        ExperimentalCode::UserUnknown,
        ExperimentalCode::IdentitiesDontMatch,
        ExperimentalCode::IdentityNotRegistered,
        ExperimentalCode::RoamingNotAllowed,
    ] {
        assert_eq!(status(code.into()), 403, "{code:?}");
    }
    assert_eq!(status(BaseCode::AuthorizationRejected.into()), 403);
    assert_eq!(status(BaseCode::UnableToComply.into()), 500);
    assert_eq!(status(ExperimentalCode::Other(5999).into()), 500);
    let mut bench = Bench::new();
    let id = bench.register("").asked[0].0;
    let outcome = bench.give(Input::CxAnswer { id, answer: Err(LinkError::Timeout) });
    assert_eq!(outcome.sent[0].1.status(), Some(480), "CX-12");
}

#[test]
fn reg_16_a_ue_around_its_p_cscf_is_refused() {
    let mut bench = Bench::new();
    let outcome = bench.give(Input::Received { flow: from("10.20.0.9:5060"), message: register("") });
    assert!(outcome.asked.is_empty());
    assert_eq!(outcome.sent[0].1.status(), Some(403));
}

#[test]
fn reg_20_a_dead_s_cscf_makes_room_for_the_next() {
    let mut bench = Bench::new();
    let id = bench.register("").asked[0].0;
    assert_eq!(bench.uaa(id, Ok(first(&[1]))).sent[0].0.remote, "10.30.0.11:5060".parse().unwrap());
    let outcome = bench.silence();
    let last = outcome.sent.last().unwrap();
    assert_eq!(last.0.remote, "10.30.0.12:5060".parse().unwrap());
    assert!(bench.events.contains(&Event::Passed { name: named('a') }));
}

#[test]
fn a_stored_s_cscf_that_is_dead_is_replaced_by_one_that_fits_else_504() {
    let mut bench = Bench::new();
    let id = bench.register("").asked[0].0;
    bench.uaa(id, Ok(UserAuthorization::Subsequent { server_name: named('a') }));
    let outcome = bench.silence();
    let [(id, Request::Uar(question))] = outcome.asked.as_slice() else { panic!("a second UAR") };
    assert_eq!(question.kind, UserAuthorizationType::RegistrationAndCapabilities);
    let capabilities = ServerCapabilities { mandatory: vec![1], ..ServerCapabilities::default() };
    let outcome = bench.uaa(*id, Ok(UserAuthorization::Capabilities { capabilities }));
    assert_eq!(outcome.sent[0].0.remote, "10.30.0.12:5060".parse().unwrap());
    // By now the P-CSCF has given up as well, so nobody is left to hear the 504.
    bench.silence();
    let impi = Some(Impi::new("alice@private.example").unwrap());
    assert_eq!(bench.events.last(), Some(&Event::Refused { impi, refusal: Refusal::NoSCscf }));
    assert_eq!(Refusal::NoSCscf.status().0, 504);
}

#[test]
fn expires_0_is_a_de_registration() {
    for (extra, kind) in [
        ("Expires: 0\r\n", UserAuthorizationType::DeRegistration),
        ("Expires: 60\r\n", UserAuthorizationType::Registration),
    ] {
        let mut bench = Bench::new();
        let outcome = bench.register(extra);
        let Request::Uar(question) = &outcome.asked[0].1 else { panic!("a UAR") };
        assert_eq!(question.kind, kind);
    }
}

#[test]
fn sip_4_a_request_that_cannot_go_on_is_refused() {
    let mut bench = Bench::new();
    let text = String::from_utf8(register("").bytes().to_vec()).unwrap();
    let refused = |bench: &mut Bench, from_text: &str, to: &str, n: usize| {
        let text = text.replace(from_text, to).replace("z9hG4bKp", &format!("z9hG4bK{n}"));
        let message = Message::parse(text.into_bytes()).unwrap();
        bench.give(Input::Received { flow: from("10.30.0.1:5060"), message }).sent[0].1.status()
    };
    assert_eq!(refused(&mut bench, "Max-Forwards: 69", "Max-Forwards: 0", 1), Some(483));
    assert_eq!(refused(&mut bench, "Require: path", "Proxy-Require: magic", 2), Some(420));
    assert_eq!(refused(&mut bench, "REGISTER", "OPTIONS", 3), Some(405));
    assert_eq!(refused(&mut bench, "alice@private.example", "sip:alice", 4), Some(400));
}
