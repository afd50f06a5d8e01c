//! Requests outside of calls, both ways.

use sip::{Method, OptionTags, Transport};

use super::*;

/// A request of another user as it comes from the P-CSCF.
pub(super) fn from_peer(method: Method<'static>, branch: &str) -> Draft<'static> {
    let mut draft = Draft::request(method, "sip:alice@10.9.0.2:7100");
    draft
        .push(Name::Via, format!("SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bK{branch}"))
        .push(Name::Via, "SIP/2.0/UDP 10.30.0.2:5060;branch=z9hG4bKcore")
        .push(Name::MaxForwards, "66")
        .push(Name::From, "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=bob")
        .push(Name::To, "<sip:alice@ims.example>")
        .push(Name::CallId, format!("call-{branch}"))
        .push(Name::CSeq, format!("1 {method}"));
    draft
}

impl Bench {
    /// A message of the P-CSCF over the current set.
    pub(super) fn comes(&mut self, message: Message) -> Outcome {
        let over = towards_ue(&self.set());
        self.receive(over, message)
    }
}

fn only_step(outcome: &Outcome) -> &Step {
    let [step] = outcome.steps.as_slice() else { panic!("one step, not {:?}", outcome.steps) };
    step
}

pub(super) fn received(outcome: &Outcome) -> &ReceivedRequest {
    let found = outcome.steps.iter().find_map(|step| match step {
        Step::Received(request) => Some(&**request),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no request told of: {:?}", outcome.steps))
}

#[test]
fn prv_1_a_message_says_of_its_sender_what_it_is_told_to_and_takes_the_service_route() {
    let (mut bench, _) = Bench::registered(config());
    let mut request = Request::message("sip:bob@other.example", "hello");
    request.identity = Identity {
        from: Some("\"Anonymous\" <sip:anonymous@anonymous.invalid>".into()),
        preferred: vec!["sip:alice@ims.example".into(), "tel:+49301".into()],
        asserted: vec!["<sip:ceo@ims.example>".into()],
        privacy: Some("id;critical".into()),
    };
    request.headers = vec![("Subject".into(), "dinner".into()), ("max-forwards".into(), "3".into())];
    let outcome = bench.give(Input::Command(request.into()));
    let (flow, message) = outcome.only();
    assert_eq!(flow, towards_p_cscf(&bench.set()));
    assert_eq!(*only_step(&outcome), Step::Sent { request: RequestId(1), method: Method::Message });
    assert_eq!((message.method(), message.request_uri()), (Method::Message, Some("sip:bob@other.example")));
    assert_eq!(message.first(Name::To), Some("<sip:bob@other.example>"));
    let from = message.from().unwrap();
    assert_eq!((from.display, from.uri), (Some("\"Anonymous\""), "sip:anonymous@anonymous.invalid"));
    assert!(from.tag().is_some());
    let values = |name| message.values(name).collect::<Vec<_>>();
    assert_eq!(values(Name::PPreferredIdentity), ["<sip:alice@ims.example>", "<tel:+49301>"]);
    assert_eq!(values(Name::PAssertedIdentity), ["<sip:ceo@ims.example>"]);
    assert_eq!(values(Name::Privacy), ["id;critical"]);
    assert_eq!(
        values(Name::Route),
        ["<sip:10.9.0.1:6100;lr>", "<sip:icscf.ims.example;lr>", "<sip:orig@scscf.ims.example;lr>"]
    );
    assert_eq!(values(Name::SecurityVerify).join(", "), security_server(Policy::default().algorithms()));
    for name in [Name::Require, Name::ProxyRequire] {
        assert!(OptionTags::of(message, name).contains("sec-agree"));
    }
    assert_eq!((values(Name::Subject), values(Name::MaxForwards)), (vec!["dinner"], vec!["3"]));
    assert_eq!((message.body(), message.first(Name::ContentType)), (&b"hello"[..], Some("text/plain")));
    assert_eq!(message.first(Name::Contact), None, "RFC 3428 4");
}

#[test]
fn prv_17_the_answer_to_a_message_tells_who_answered() {
    let (mut bench, _) = Bench::registered(config());
    let message = bench.give(Input::Command(Request::message("sip:bob@ims.example", "x").into()));
    let message = message.only().1.clone();
    assert!(message.from().unwrap().uri == "sip:default@ims.example", "the default identity");
    let mut answer = Draft::reply(&message, 200, "OK", Some("b"));
    answer.push(Name::PAssertedIdentity, "<sip:bob@ims.example>, <tel:+49302>").push(Name::Privacy, "none");
    let answer = answer.finish();
    let outcome = bench.comes(answer.clone());
    let Step::Answered { request: RequestId(1), method: Method::Message, answer: told } = only_step(&outcome)
    else {
        panic!("{:?}", outcome.steps)
    };
    assert!(told.is_success() && !told.local);
    assert_eq!(told.asserted, ["<sip:bob@ims.example>".into(), "<tel:+49302>".into()]);
    assert_eq!(told.privacy.as_deref(), Some("none"));
    assert_eq!(told.headers.first("privacy"), Some("none"));
    assert_eq!(bench.comes(answer).steps, [], "an answer that comes again says nothing new");
}

#[test]
fn sip_1_a_message_that_nobody_answers_is_repeated_and_ends_as_408() {
    let (mut bench, _) = Bench::registered(config());
    let first = bench.give(Input::Command(Request::message("sip:bob@ims.example", "x").into()));
    let bytes = first.only().1.bytes();
    let repeated = bench.wait(2);
    assert_eq!(repeated.only().1.bytes(), bytes);
    let outcome = bench.wait(126);
    let told = outcome.steps.iter().find_map(|step| match step {
        Step::Answered { answer, .. } => Some((answer.status, answer.local)),
        _ => None,
    });
    assert_eq!(told, Some((408, true)));
}

#[test]
fn sip_8_a_large_message_goes_over_tcp_and_over_udp_where_tcp_is_refused() {
    let (mut bench, _) = Bench::registered(Config { transport: TransportChoice::BySize, ..config() });
    let large = "x".repeat(1300);
    let outcome = bench.give(Input::Command(Request::message("sip:bob@ims.example", &large).into()));
    let (flow, message) = outcome.only();
    assert_eq!(flow, Flow { transport: Transport::Tcp, ..towards_p_cscf(&bench.set()) });
    assert_eq!(message.top_via().unwrap().transport(), Some(Transport::Tcp));
    let branch = message.top_via().unwrap().branch().map(str::to_owned);
    let outcome = bench.give(Input::TransportFailed { flow });
    let (flow, message) = outcome.only();
    assert_eq!(flow, towards_p_cscf(&bench.set()));
    let via = message.top_via().unwrap();
    assert_eq!(via.transport(), Some(Transport::Udp));
    assert_ne!(via.branch(), branch.as_deref(), "another transaction");
    assert_eq!(message.body().len(), 1300);
    let answer = Draft::reply(message, 202, "Accepted", Some("b")).finish();
    let outcome = bench.comes(answer);
    assert!(matches!(only_step(&outcome), Step::Answered { answer, .. } if answer.status == 202));
}

#[test]
fn prv_2_who_is_not_registered_sends_nothing() {
    let mut bench = Bench::new(config());
    let outcome = bench.give(Input::Command(Request::message("sip:bob@ims.example", "x").into()));
    assert!(outcome.sent.is_empty());
    let failure = Failure::NotRegistered;
    assert_eq!(*only_step(&outcome), Step::NotSent { request: RequestId(1), failure });
}

#[test]
fn no_more_than_64_messages_wait_for_their_answers() {
    let (mut bench, _) = Bench::registered(config());
    for _ in 0..64 {
        bench.give(Input::Command(Request::message("sip:bob@ims.example", "x").into()));
    }
    let outcome = bench.give(Input::Command(Request::message("sip:bob@ims.example", "x").into()));
    let failure = Failure::TooMany;
    assert_eq!(*only_step(&outcome), Step::NotSent { request: RequestId(65), failure });
}

#[test]
fn prv_4_a_message_is_answered_with_our_identity_and_tells_whose_it_is() {
    let answering = Answering {
        privacy: Some("id".into()),
        preferred: Some("sip:alice@ims.example".into()),
        ..Answering::default()
    };
    let (mut bench, _) = Bench::registered(Config { answering, ..config() });
    let mut draft = from_peer(Method::Message, "m1");
    draft
        .push(Name::PAssertedIdentity, "<sip:bob@ims.example>")
        .push(Name::PAssertedIdentity, "<tel:+49302>")
        .push(Name::PCalledPartyId, "<sip:alice@ims.example>")
        .push(Name::Privacy, "none")
        .body("text/plain", b"hello".as_slice());
    let message = draft.finish();
    let outcome = bench.comes(message.clone());
    let (flow, answer) = outcome.only();
    assert_eq!(flow, towards_p_cscf(&bench.set()));
    assert_eq!(answer.status(), Some(200));
    assert!(answer.to().unwrap().tag().is_some());
    assert_eq!(answer.first(Name::Privacy), Some("id"));
    assert_eq!(answer.first(Name::PPreferredIdentity), Some("<sip:alice@ims.example>"));
    let told = received(&outcome);
    assert_eq!((&*told.method, &*told.request_uri), ("MESSAGE", "sip:alice@10.9.0.2:7100"));
    assert_eq!(told.asserted, ["<sip:bob@ims.example>".into(), "<tel:+49302>".into()]);
    assert_eq!(told.called_party.as_deref(), Some("<sip:alice@ims.example>"));
    assert_eq!((told.text.as_deref(), told.body_length, told.status), (Some("hello"), 5, Some(200)));
    let again = bench.comes(message);
    assert_eq!(again.only().1.bytes(), answer.bytes(), "the same answer");
    assert_eq!(again.steps, [], "and it is told once");
}

#[test]
fn sip_4_what_the_ue_cannot_take_is_refused_with_the_reason() {
    let (mut bench, _) = Bench::registered(config());
    let refused = |bench: &mut Bench, draft: Draft<'static>| {
        let outcome = bench.comes(draft.finish());
        outcome.only().1.clone()
    };
    let publish = refused(&mut bench, from_peer(Method::Publish, "p"));
    assert_eq!(publish.status(), Some(405));
    assert!(publish.values(Name::Allow).any(|method| method == "MESSAGE"));
    let mut draft = from_peer(Method::Message, "r");
    draft.push(Name::Require, "precondition, 100rel");
    let bad = refused(&mut bench, draft);
    assert_eq!((bad.status(), bad.first(Name::Unsupported)), (Some(420), Some("precondition")));
    let mut draft = from_peer(Method::Message, "u");
    draft.set_request_uri("mailto:alice@ims.example");
    assert_eq!(refused(&mut bench, draft).status(), Some(416));
    let mut draft = from_peer(Method::Message, "d");
    draft.set(Name::To, "<sip:alice@ims.example>;tag=gone");
    assert_eq!(refused(&mut bench, draft).status(), Some(481));
    let cancel = refused(&mut bench, from_peer(Method::Cancel, "c"));
    assert_eq!(cancel.status(), Some(481));
}

#[test]
fn options_are_answered_with_what_the_ue_can() {
    let (mut bench, _) = Bench::registered(config());
    let outcome = bench.comes(from_peer(Method::Options, "o").finish());
    let answer = outcome.only().1;
    assert_eq!(answer.status(), Some(200));
    assert!(answer.values(Name::Allow).any(|method| method == "PRACK"));
    assert_eq!(answer.first(Name::Supported), Some("100rel"));
    assert_eq!(answer.first(Name::Contact), Some("<sip:alice@10.9.0.2:7100>"));
}

#[test]
fn in_clear_nobody_is_heard() {
    let (mut bench, _) = Bench::registered(config());
    for local in ["10.9.0.2:5060", "10.9.0.2:7100"] {
        let clear = Flow::udp(local.parse().unwrap(), "10.9.0.1:5060".parse().unwrap());
        let outcome = bench.receive(clear, from_peer(Method::Message, "m").finish());
        assert!(outcome.sent.is_empty() && outcome.steps.is_empty());
    }
}
