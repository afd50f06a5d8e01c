//! The I-CSCF alone: a P-CSCF, an HSS and S-CSCFs written out.

use std::time::Duration;

use cx::{
    BaseCode, CxFailure, ExperimentalCode, LocationInfo, Request, ServerCapabilities, UserAuthorization,
    UserAuthorizationType,
};
use sip::{Method, Transport};

use super::*;
use crate::SCscf;

mod border;

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
    SCscf { capabilities: capabilities.to_vec(), ..SCscf::new(name, address) }
}

impl Bench {
    fn new() -> Self {
        Self::with(vec![s_cscf('a', 11, &[1]), s_cscf('b', 12, &[1, 2])])
    }

    fn with(s_cscfs: Vec<SCscf>) -> Self {
        let config = Config {
            trusted_peers: vec!["10.30.0.1".parse().unwrap()],
            s_cscfs,
            transactions: 100,
            ..Config::new("10.30.0.2:5060".parse().unwrap(), "home.example")
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
        self.give(Input::Received {
            flow: from("10.30.0.1:5060"),
            message: register(extra),
            names: [].into(),
        })
    }

    fn uaa(&mut self, id: CxId, answer: Result<UserAuthorization, CxFailure>) -> Outcome {
        self.give(Input::CxAnswer { id, answer: Ok(Answer::Uaa(answer)) })
    }

    fn lia(&mut self, id: CxId, answer: Result<LocationInfo, CxFailure>) -> Outcome {
        self.give(Input::CxAnswer { id, answer: Ok(Answer::Lia(answer)) })
    }

    /// Another REGISTER of somebody, to the S-CSCF that the HSS names.
    fn register_at(&mut self, branch: &str, letter: char) -> Outcome {
        let text = String::from_utf8(register("").bytes().to_vec()).unwrap();
        let message = Message::parse(text.replace("z9hG4bKp", branch).into_bytes()).unwrap();
        let id =
            self.give(Input::Received { flow: from("10.30.0.1:5060"), message, names: [].into() }).asked[0].0;
        self.uaa(id, Ok(UserAuthorization::Subsequent { server_name: named(letter) }))
    }

    fn answer(&mut self, of: &str, response: Message) -> Outcome {
        self.give(Input::Received { flow: from(of), message: response, names: [].into() })
    }

    /// Lets time pass until an S-CSCF has been passed over.
    fn silence(&mut self) -> Outcome {
        self.seconds(5)
    }

    fn seconds(&mut self, seconds: u32) -> Outcome {
        let mut all = Outcome::default();
        for _ in 0..seconds * 10 {
            self.now += Duration::from_millis(100);
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
    let outcome = bench.give(Input::Received { flow, message: answer(sm3, 401), names: [].into() });
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
    let outcome =
        bench.give(Input::Received { flow: from("10.20.0.9:5060"), message: register(""), names: [].into() });
    assert!(outcome.asked.is_empty());
    assert_eq!(outcome.sent[0].1.status(), Some(403));
}

#[test]
fn reg_20_a_dead_s_cscf_makes_room_for_the_next() {
    let mut bench = Bench::new();
    let id = bench.register("").asked[0].0;
    let one = bench.uaa(id, Ok(first(&[1]))).sent[0].0.remote;
    let outcome = bench.silence();
    let last = outcome.sent.last().unwrap().0.remote;
    let mut both = [one, last];
    both.sort_unstable();
    assert_eq!(both, ["10.30.0.11:5060".parse().unwrap(), "10.30.0.12:5060".parse().unwrap()]);
    let name = named(if one == both[0] { 'a' } else { 'b' });
    assert!(bench.events.contains(&Event::Passed { name: name.clone() }));
    assert!(bench.events.contains(&Event::LeftOut { name, busy: false }));
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
    let answered = bench.silence().sent.pop().unwrap();
    assert_eq!((answered.0.remote, answered.1.status()), ("10.30.0.1:5060".parse().unwrap(), Some(504)));
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
        bench.give(Input::Received { flow: from("10.30.0.1:5060"), message, names: [].into() }).sent[0]
            .1
            .status()
    };
    assert_eq!(refused(&mut bench, "Max-Forwards: 69", "Max-Forwards: 0", 1), Some(483));
    assert_eq!(refused(&mut bench, "Require: path", "Proxy-Require: magic", 2), Some(420));
    assert_eq!(refused(&mut bench, "alice@private.example", "sip:alice", 4), Some(400));
}

/// REG-20: every later user of the dead one is reassigned at once, and one request at a time looks whether it is back.
#[test]
fn reg_20_users_of_a_dead_s_cscf_are_reassigned_without_waiting() {
    let mut bench = Bench::new();
    let to_the_dead = bench.register_at("z9hG4bK1", 'a').sent.remove(0).1;
    let outcome = bench.silence();
    let [(id, Request::Uar(question))] = outcome.asked.as_slice() else { panic!("a second UAR") };
    assert_eq!(question.kind, UserAuthorizationType::RegistrationAndCapabilities);
    let capabilities = ServerCapabilities { mandatory: vec![1], ..ServerCapabilities::default() };
    let granted = || Ok(UserAuthorization::Capabilities { capabilities: capabilities.clone() });
    let sm3 = bench.uaa(*id, granted()).sent.remove(0).1;
    assert_eq!(sm3.request_uri(), Some("sip:b.home.example"));
    // What the dead one says now is an answer to nobody.
    let old = answer(&to_the_dead, 200);
    assert!(bench.answer("10.30.0.11:5060", old).sent.is_empty());
    assert_eq!(bench.answer("10.30.0.12:5060", answer(&sm3, 401)).sent[0].1.status(), Some(401));
    // The next one does not wait.
    let outcome = bench.register_at("z9hG4bK2", 'a');
    assert!(outcome.sent.is_empty() && outcome.asked.len() == 1);
    let sm3 = bench.uaa(outcome.asked[0].0, granted()).sent.remove(0).1;
    bench.answer("10.30.0.12:5060", answer(&sm3, 401));
    // After a while one is let through to it, a second one not.
    bench.seconds(30);
    let probe = bench.register_at("z9hG4bK3", 'a').sent.remove(0);
    assert_eq!(probe.0.remote, "10.30.0.11:5060".parse().unwrap());
    assert_eq!(bench.register_at("z9hG4bK4", 'a').asked.len(), 1);
    bench.answer("10.30.0.11:5060", answer(&probe.1, 401));
    assert_eq!(bench.events.last(), Some(&Event::BackIn { name: named('a') }));
    let again = bench.register_at("z9hG4bK5", 'a').sent.remove(0);
    assert_eq!(again.0.remote, "10.30.0.11:5060".parse().unwrap());
}

#[test]
fn one_that_says_100_is_alive_and_waited_for() {
    let mut bench = Bench::new();
    let sm3 = bench.register_at("z9hG4bK1", 'a').sent.remove(0).1;
    bench.seconds(4);
    bench.answer("10.30.0.11:5060", answer(&sm3, 100));
    assert!(bench.seconds(20).asked.is_empty());
    assert_eq!(bench.answer("10.30.0.11:5060", answer(&sm3, 401)).sent[0].1.status(), Some(401));
}

/// RFC 3261 16.7: a 503 does not go on, and 500 is said only when nobody else helps.
#[test]
fn reg_20_a_busy_s_cscf_makes_room_and_its_503_stays_here() {
    let mut bench = Bench::new();
    let sm3 = bench.register_at("z9hG4bK1", 'a').sent.remove(0).1;
    let mut draft = Draft::reply(&sm3, 503, "Service Unavailable", Some("t"));
    draft.push(Name::RetryAfter, "7 (soon);duration=60");
    let outcome = bench.answer("10.30.0.11:5060", draft.finish());
    assert!(bench.events.contains(&Event::LeftOut { name: named('a'), busy: true }));
    let answered = bench.uaa(outcome.asked[0].0, Ok(first(&[]))).sent.remove(0).1;
    assert_eq!(answered.request_uri(), Some("sip:b.home.example"));
    let last = bench.answer("10.30.0.12:5060", answer(&answered, 503)).sent.remove(0).1;
    assert_eq!(last.status(), Some(500));
    bench.seconds(6);
    assert_eq!(bench.register_at("z9hG4bK2", 'a').asked.len(), 1, "not yet");
    bench.seconds(1);
    assert_eq!(bench.register_at("z9hG4bK3", 'a').sent.len(), 1);
}

#[test]
fn the_transport_of_a_name_is_used_and_tcp_chosen_for_size_falls_back() {
    let address = "10.30.0.11:5070".parse().unwrap();
    let tcp = SCscf::new(ServerName::new("sip:10.30.0.11:5070;transport=tcp").unwrap(), address);
    assert_eq!(tcp.transport, Some(Transport::Tcp));
    let mut bench = Bench::with(vec![tcp.clone(), s_cscf('b', 12, &[])]);
    let id = bench.register("").asked[0].0;
    let stored = UserAuthorization::Subsequent { server_name: tcp.name.clone() };
    let (flow, sm3) = bench.uaa(id, Ok(stored)).sent.remove(0);
    assert_eq!((flow.transport, flow.remote), (Transport::Tcp, address));
    assert!(sm3.first(Name::Via).unwrap().starts_with("SIP/2.0/TCP "));
    // Refused: this one speaks TCP only, so another one is asked for at once.
    let outcome = bench.give(Input::TransportFailed { flow });
    assert!(outcome.sent.is_empty() && outcome.asked.len() == 1);
    assert!(bench.events.contains(&Event::LeftOut { name: tcp.name, busy: false }));

    let mut bench = Bench::new();
    let id = bench.register(&format!("X-Long: {}\r\n", "x".repeat(1300))).asked[0].0;
    let (flow, _) =
        bench.uaa(id, Ok(UserAuthorization::Subsequent { server_name: named('b') })).sent.remove(0);
    assert_eq!(flow.transport, Transport::Tcp);
    let (flow, sm3) = bench.give(Input::TransportFailed { flow }).sent.remove(0);
    assert_eq!((flow.transport, flow.remote), (Transport::Udp, "10.30.0.12:5060".parse().unwrap()));
    assert!(sm3.first(Name::Via).unwrap().starts_with("SIP/2.0/UDP "));
    assert_eq!(bench.answer("10.30.0.12:5060", answer(&sm3, 401)).sent[0].1.status(), Some(401));
}

fn subscribe(branch: u32, extra: &str, to: &str) -> Message {
    let text = format!(
        "SUBSCRIBE sip:Alice@HOME.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.30.0.1:5060;branch=z9hG4bKs{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:pcscf.example>;tag=f\r\nTo: <sip:alice@home.example>{to}\r\n\
         Call-ID: s{branch}\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:10.30.0.1:5060>\r\nEvent: reg\r\n{extra}Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into_bytes()).unwrap()
}

impl Bench {
    fn subscribe(&mut self, branch: u32) -> (CxId, cx::LocationInfoRequest) {
        let message = subscribe(branch, "Route: <sip:10.30.0.2:5060;lr>\r\n", "");
        let outcome = self.give(Input::Received { flow: from("10.30.0.1:5060"), message, names: [].into() });
        let [(id, Request::Lir(lir))] = outcome.asked.as_slice() else { panic!("one LIR") };
        (*id, lir.clone())
    }
}

/// CX-11 at the I-CSCF: where a request that is no REGISTER goes.
#[test]
fn cx_11_other_requests_go_where_the_lir_says() {
    let mut bench = Bench::new();
    let (id, lir) = bench.subscribe(1);
    assert_eq!(
        (lir.impu.as_str(), lir.originating, lir.capabilities),
        ("sip:Alice@home.example", false, false)
    );
    let (flow, out) = bench.lia(id, Ok(LocationInfo::Served { server_name: named('b') })).sent.remove(0);
    assert_eq!(flow.remote, "10.30.0.12:5060".parse().unwrap());
    assert_eq!(out.method(), Method::Subscribe);
    assert_eq!(out.request_uri(), Some("sip:Alice@HOME.example"));
    assert_eq!(out.values(Name::Route).collect::<Vec<_>>(), ["<sip:b.home.example;lr>"]);
    assert_eq!((out.first(Name::MaxForwards), out.values(Name::Via).count()), (Some("69"), 2));
    assert!(out.first(Name::RecordRoute).is_none());
    let back = bench.answer("10.30.0.12:5060", answer(&out, 480)).sent.remove(0).1;
    assert_eq!(back.status(), Some(480), "it is the answer, and no word about the S-CSCF");

    // Nobody serves the user, but somebody may: by capabilities.
    let (id, _) = bench.subscribe(2);
    let capabilities = ServerCapabilities { mandatory: vec![2], ..ServerCapabilities::default() };
    let (flow, _) = bench.lia(id, Ok(LocationInfo::UnregisteredService { capabilities })).sent.remove(0);
    assert_eq!(flow.remote, "10.30.0.12:5060".parse().unwrap());

    // The one that serves the user is dead.
    let (id, _) = bench.subscribe(3);
    bench.lia(id, Ok(LocationInfo::Served { server_name: named('a') }));
    let outcome = bench.silence();
    let again = outcome.asked.iter().find_map(|(id, request)| match request {
        Request::Lir(lir) if lir.capabilities => Some(*id),
        _ => None,
    });
    let capabilities = ServerCapabilities::default();
    let outcome = bench.lia(again.unwrap(), Ok(LocationInfo::Capabilities { capabilities }));
    assert_eq!(outcome.sent[0].0.remote, "10.30.0.12:5060".parse().unwrap());
}

#[test]
fn cx_11_refusals_of_a_location() {
    for (failure, status) in [
        (CxFailure::from(ExperimentalCode::UserUnknown), 404),
        (ExperimentalCode::IdentityNotRegistered.into(), 480),
        (BaseCode::AuthorizationRejected.into(), 403),
        (BaseCode::UnableToComply.into(), 500),
        (ExperimentalCode::Other(5999).into(), 500),
    ] {
        let mut bench = Bench::new();
        let (id, _) = bench.subscribe(1);
        assert_eq!(bench.lia(id, Err(failure.clone())).sent[0].1.status(), Some(status), "{failure:?}");
    }
    let mut bench = Bench::new();
    let (id, _) = bench.subscribe(1);
    let outcome = bench.give(Input::CxAnswer { id, answer: Err(LinkError::Timeout) });
    assert_eq!(outcome.sent[0].1.status(), Some(480));
    // An answer to another question, and a request that is in a dialog.
    let (id, _) = bench.subscribe(2);
    assert_eq!(bench.uaa(id, Ok(first(&[]))).sent[0].1.status(), Some(500));
    let message = subscribe(3, "", ";tag=there");
    let outcome = bench.give(Input::Received { flow: from("10.30.0.1:5060"), message, names: [].into() });
    assert_eq!(outcome.sent[0].1.status(), Some(481));
}

#[test]
fn over_the_limit_503_is_said_without_a_transaction() {
    let mut bench = Bench::new();
    for n in 0..100 {
        let message = subscribe(n, "", "");
        assert_eq!(
            bench
                .give(Input::Received { flow: from("10.30.0.1:5060"), message, names: [].into() })
                .asked
                .len(),
            1
        );
    }
    let message = subscribe(100, "", "");
    let outcome = bench.give(Input::Received { flow: from("10.30.0.1:5060"), message, names: [].into() });
    assert!(outcome.asked.is_empty());
    let said = &outcome.sent[0].1;
    assert_eq!((said.status(), said.first(Name::RetryAfter)), (Some(503), Some("30")));
}
