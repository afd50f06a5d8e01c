//! Calls that we begin: one UE against messages written out.

use sip::{Method, OptionTags};

use super::*;

pub(super) fn call_steps(outcome: &Outcome) -> Vec<&CallStep> {
    outcome
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Call { step, .. } => Some(step),
            _ => None,
        })
        .collect()
}

pub(super) fn methods(outcome: &Outcome) -> Vec<String> {
    let word = |message: &Message| match message.status() {
        Some(status) => status.to_string(),
        None => message.method().as_str().to_owned(),
    };
    outcome.sent.iter().map(|(_, message)| word(message)).collect()
}

/// The other side's answer to a request of ours in a call.
fn answer(request: &Message, status: u16, tag: &str) -> Draft<'static> {
    // The draft outlives the request it answers.
    let plain = Box::leak(Box::new(Draft::reply(request, status, "Any", Some(tag)).finish()));
    let mut draft = Draft::forward(plain);
    draft
        .push(Name::RecordRoute, "<sip:10.30.0.9:5060;lr>")
        .push(Name::RecordRoute, "<sip:10.9.0.1:6100;lr>")
        .push(Name::Contact, format!("<sip:bob@10.8.0.{}:7100>", tag.len()));
    draft
}

/// A call that has left, and its INVITE.
fn calling(bench: &mut Bench) -> (CallId, Message) {
    let outcome = bench.give(Input::Command(Call::to("sip:bob@other.example").into()));
    let Some(Step::Call { call, step: CallStep::Calling }) = outcome.steps.first() else {
        panic!("{:?}", outcome.steps)
    };
    (*call, outcome.only().1.clone())
}

/// A call that the other side has answered.
fn talking(bench: &mut Bench) -> (CallId, Message) {
    let (call, invite) = calling(bench);
    let outcome = bench.comes(answer(&invite, 200, "b").finish());
    assert!(matches!(call_steps(&outcome)[..], [CallStep::Answered(_)]));
    (call, invite)
}

#[test]
fn prv_1_an_invite_says_of_its_caller_what_it_is_told_to_and_so_do_the_requests_after_it() {
    let (mut bench, _) = Bench::registered(config());
    let mut call = Call::to("tel:+49302");
    call.identity = Identity {
        from: Some("sip:anonymous@anonymous.invalid".into()),
        preferred: vec!["sip:alice@ims.example".into()],
        asserted: Vec::new(),
        privacy: Some("user;id".into()),
    };
    let outcome = bench.give(Input::Command(call.into()));
    let (flow, invite) = outcome.only();
    assert_eq!(flow, towards_p_cscf(&bench.set()));
    assert_eq!((invite.method(), invite.request_uri()), (Method::Invite, Some("tel:+49302")));
    assert_eq!(invite.first(Name::Contact), Some("<sip:alice@10.9.0.2:7100>"));
    assert!(OptionTags::of(invite, Name::Supported).contains("100rel"));
    assert_eq!(invite.values(Name::Route).count(), 3);
    assert_eq!(
        (invite.first(Name::Privacy), invite.body().len()),
        (Some("user;id"), Body::session().octets.len())
    );
    let outcome = bench.comes(answer(invite, 200, "b").finish());
    let call = CallId(1);
    assert_eq!(outcome.only().1.method(), Method::Ack);
    let bye = bench.give(Input::Command(Command::HangUp { call }));
    let bye = bye.only().1;
    assert_eq!(bye.method(), Method::Bye);
    assert_eq!(bye.from().unwrap().uri, "sip:anonymous@anonymous.invalid");
    assert_eq!(
        (bye.first(Name::Privacy), bye.first(Name::PPreferredIdentity)),
        (Some("user;id"), Some("<sip:alice@ims.example>"))
    );
}

#[test]
fn sip_19_every_2xx_gets_an_ack_along_the_route_set_also_after_the_call() {
    let (mut bench, _) = Bench::registered(config());
    let (call, invite) = calling(&mut bench);
    let ok = answer(&invite, 200, "b").finish();
    let outcome = bench.comes(ok.clone());
    let ack = outcome.only().1.clone();
    assert_eq!((ack.method(), ack.request_uri()), (Method::Ack, Some("sip:bob@10.8.0.1:7100")));
    assert_eq!(
        ack.values(Name::Route).collect::<Vec<_>>(),
        ["<sip:10.9.0.1:6100;lr>", "<sip:10.30.0.9:5060;lr>"]
    );
    assert_ne!(ack.top_via().unwrap().branch(), invite.top_via().unwrap().branch());
    assert_eq!(ack.first(Name::SecurityVerify), None, "RFC 3329 2.6");
    let again = bench.comes(ok.clone());
    assert_eq!(again.only().1.bytes(), ack.bytes());
    assert!(again.steps.is_empty());
    let bye = bench.give(Input::Command(Command::HangUp { call }));
    let outcome = bench.comes(Draft::reply(bye.only().1, 200, "OK", None).finish());
    assert_eq!(call_steps(&outcome), [&CallStep::Ended { by: EndedBy::Us }]);
    assert_eq!(bench.ue.calls(), 0);
    assert_eq!(bench.comes(ok.clone()).only().1.bytes(), ack.bytes(), "its ACK was lost");
    bench.wait(200);
    assert!(bench.comes(ok).sent.is_empty(), "the transaction is over");
}

#[test]
fn sip_19_another_phone_that_answers_as_well_is_hung_up() {
    let (mut bench, _) = Bench::registered(config());
    let (_, invite) = talking(&mut bench);
    let outcome = bench.comes(answer(&invite, 200, "other").finish());
    assert_eq!(methods(&outcome), ["ACK", "BYE"]);
    for (_, message) in &outcome.sent {
        assert_eq!(message.to().unwrap().tag(), Some("other"));
    }
    assert!(outcome.steps.is_empty());
    assert_eq!(bench.ue.calls(), 1);
}

#[test]
fn sip_1_an_invite_that_nobody_answers_is_repeated_and_ends_as_408() {
    let (mut bench, _) = Bench::registered(config());
    calling(&mut bench);
    let mut sent = 0;
    for _ in 0..127 {
        sent += bench.wait(1).sent.len();
    }
    assert_eq!(sent, 6, "at 2, 6, 14, 30, 62 and 126 s");
    let outcome = bench.wait(1);
    let [CallStep::Refused(answer)] = call_steps(&outcome)[..] else { panic!("{:?}", outcome.steps) };
    assert_eq!((answer.status, answer.local), (408, true));
    assert_eq!(bench.ue.calls(), 0);
}

#[test]
fn a_refusal_is_told_with_its_status_and_confirmed_hop_by_hop() {
    let (mut bench, _) = Bench::registered(config());
    let (_, invite) = calling(&mut bench);
    let mut refusal = answer(&invite, 500, "b");
    refusal.push(Name::RetryAfter, "7");
    let outcome = bench.comes(refusal.finish());
    let ack = outcome.only().1;
    assert_eq!(ack.method(), Method::Ack);
    assert_eq!(ack.top_via().unwrap().branch(), invite.top_via().unwrap().branch());
    let [CallStep::Refused(answer)] = call_steps(&outcome)[..] else { panic!("{:?}", outcome.steps) };
    assert_eq!((answer.status, answer.retry_after, answer.local), (500, Some(7), false));
}

#[test]
fn sip_19_a_cancel_waits_for_a_sign_of_life_and_is_the_invite_s() {
    let (mut bench, _) = Bench::registered(config());
    let (call, invite) = calling(&mut bench);
    let outcome = bench.give(Input::Command(Command::Cancel { call }));
    assert!(outcome.sent.is_empty() && outcome.steps.is_empty());
    let outcome = bench.comes(Draft::reply(&invite, 100, "Trying", None).finish());
    let (flow, cancel) = outcome.only();
    assert_eq!((flow, cancel.method()), (towards_p_cscf(&bench.set()), Method::Cancel));
    assert_eq!(cancel.first(Name::CSeq), Some("1 CANCEL"));
    let line = |message: &Message, name| message.first(name).map(str::to_owned);
    for name in [Name::Via, Name::From, Name::To, Name::CallId] {
        assert_eq!(line(cancel, name), line(&invite, name), "{name:?}");
    }
    assert_eq!(cancel.values(Name::Route).count(), 3);
    assert_eq!(cancel.first(Name::Require), None, "RFC 3261 8.2.2.3");
    bench.comes(Draft::reply(cancel, 200, "OK", Some("p")).finish());
    let outcome = bench.comes(answer(&invite, 487, "b").finish());
    assert_eq!(methods(&outcome), ["ACK"]);
    assert!(matches!(call_steps(&outcome)[..], [CallStep::Refused(answer)] if answer.status == 487));
}

#[test]
fn sip_19_an_answer_that_overtakes_the_cancel_is_confirmed_and_hung_up() {
    let (mut bench, _) = Bench::registered(config());
    let (call, invite) = calling(&mut bench);
    bench.comes(answer(&invite, 180, "b").finish());
    let cancel = bench.give(Input::Command(Command::HangUp { call }));
    assert_eq!(methods(&cancel), ["CANCEL"]);
    let outcome = bench.comes(answer(&invite, 200, "b").finish());
    assert_eq!(methods(&outcome), ["ACK", "BYE"]);
    let outcome = bench.comes(Draft::reply(&outcome.sent[1].1, 200, "OK", None).finish());
    assert_eq!(call_steps(&outcome), [&CallStep::Ended { by: EndedBy::Us }]);
}

#[test]
fn sip_19_a_cancelled_call_that_stays_unanswered_ends_after_64_t1() {
    let (mut bench, _) = Bench::registered(config());
    let (call, invite) = calling(&mut bench);
    bench.comes(answer(&invite, 180, "b").finish());
    bench.give(Input::Command(Command::Cancel { call }));
    assert!(call_steps(&bench.wait(127)).is_empty());
    let outcome = bench.wait(1);
    assert!(matches!(call_steps(&outcome)[..], [CallStep::Refused(answer)] if answer.local));
    assert!(bench.comes(answer(&invite, 487, "b").finish()).steps.is_empty());
}

#[test]
fn a_provisional_answer_that_is_sent_reliably_gets_one_prack_in_order() {
    let (mut bench, _) = Bench::registered(config());
    let (call, invite) = calling(&mut bench);
    let rings = |rseq: &'static str| {
        let mut draft = answer(&invite, 180, "b");
        draft.push(Name::Require, "100rel").push(Name::RSeq, rseq);
        draft.finish()
    };
    let outcome = bench.comes(rings("21"));
    let prack = outcome.only().1;
    assert_eq!((prack.method(), prack.first(Name::RAck)), (Method::Prack, Some("21 1 INVITE")));
    assert_eq!((prack.first(Name::CSeq), prack.to().unwrap().tag()), (Some("2 PRACK"), Some("b")));
    assert_eq!(prack.request_uri(), Some("sip:bob@10.8.0.1:7100"));
    assert_eq!(call_steps(&outcome), [&CallStep::Ringing { status: 180, reliable: true }]);
    assert!(bench.comes(rings("21")).sent.is_empty(), "once");
    assert!(bench.comes(rings("23")).sent.is_empty(), "22 is missing");
    assert_eq!(bench.comes(rings("22")).only().1.first(Name::RAck), Some("22 1 INVITE"));
    // The other side has answered our offer: we may make another before the call is answered.
    let update = bench.give(Input::Command(Command::Update { call }));
    assert_eq!(update.only().1.first(Name::CSeq), Some("4 UPDATE"));
    let outcome = bench.comes(Draft::reply(update.only().1, 200, "OK", None).finish());
    assert!(matches!(call_steps(&outcome)[..], [CallStep::Changed { method: Method::Update, .. }]));
    bench.comes(answer(&invite, 200, "b").finish());
    let bye = bench.give(Input::Command(Command::HangUp { call }));
    assert_eq!(bye.only().1.first(Name::CSeq), Some("5 BYE"), "the count goes on from the early dialog");
}

#[test]
fn a_re_invite_is_confirmed_and_a_peer_that_does_not_know_the_call_ends_it() {
    let (mut bench, _) = Bench::registered(config());
    let (call, _) = talking(&mut bench);
    let reinvite = bench.give(Input::Command(Command::Reinvite { call }));
    let reinvite = reinvite.only().1.clone();
    assert_eq!((reinvite.method(), reinvite.first(Name::CSeq)), (Method::Invite, Some("2 INVITE")));
    let outcome = bench.give(Input::Command(Command::Update { call }));
    assert!(matches!(call_steps(&outcome)[..], [CallStep::Failed(Failure::NotNow(_))]));
    let mut ok = answer(&reinvite, 200, "b");
    ok.set(Name::Contact, "<sip:bob@10.8.0.77:7100>");
    let outcome = bench.comes(ok.finish());
    let ack = outcome.only().1;
    assert_eq!(ack.first(Name::CSeq), Some("2 ACK"));
    assert_eq!(ack.request_uri(), Some("sip:bob@10.8.0.77:7100"), "the target is another");
    assert!(matches!(call_steps(&outcome)[..], [CallStep::Changed { method: Method::Invite, .. }]));
    let update = bench.give(Input::Command(Command::Update { call }));
    let outcome = bench.comes(answer(update.only().1, 481, "b").finish());
    assert_eq!(methods(&outcome), ["BYE"]);
    let outcome = bench.comes(Draft::reply(outcome.only().1, 481, "No", None).finish());
    assert_eq!(call_steps(&outcome), [&CallStep::Ended { by: EndedBy::Lost }]);
}

#[test]
fn calls_end_with_the_registration() {
    let (mut bench, _) = Bench::registered(config());
    talking(&mut bench);
    calling(&mut bench);
    let outcome = bench.give(Input::Command(Command::Deregister));
    assert_eq!(methods(&outcome), ["BYE", "REGISTER"], "who cannot cancel yet waits");
    let (flow, register) = outcome.sent.last().unwrap().clone();
    let back = bench.back(flow);
    let ok = Draft::reply(&register, 200, "OK", Some("s")).finish();
    let outcome = bench.receive(back, ok);
    assert_eq!(
        call_steps(&outcome),
        [&CallStep::Ended { by: EndedBy::Us }, &CallStep::Ended { by: EndedBy::Registration }]
    );
    assert_eq!(outcome.steps.last(), Some(&Step::Deregistered));
    assert_eq!(bench.ue.calls(), 0);
    let outcome = bench.wait(300);
    assert!(call_steps(&outcome).is_empty(), "nothing is heard of them any more");
}

#[test]
fn a_call_goes_on_over_the_set_of_a_re_registration() {
    let (mut bench, _) = Bench::registered(config());
    let (call, _) = talking(&mut bench);
    let before = bench.set();
    let sm1 = bench.register();
    bench.authenticate(sm1, ok);
    let after = bench.set();
    assert_ne!(towards_p_cscf(&before), towards_p_cscf(&after));
    let reinvite = bench.give(Input::Command(Command::Reinvite { call }));
    let (flow, message) = reinvite.only();
    assert_eq!(flow, towards_p_cscf(&after));
    assert!(message.values(Name::SecurityVerify).any(|value| value.contains("port-c=6001")), "the new list");
    let outcome = bench.comes(answer(message, 200, "b").finish());
    let (flow, ack) = outcome.only();
    assert_eq!((flow, ack.method()), (towards_p_cscf(&after), Method::Ack));
}

#[test]
fn commands_for_calls_that_are_not_there_fail() {
    let (mut bench, _) = Bench::registered(config());
    let call = CallId(7);
    for command in [
        Command::HangUp { call },
        Command::Cancel { call },
        Command::Reinvite { call },
        Command::Update { call },
        Command::Inform { call, body: Body::text("x") },
    ] {
        let outcome = bench.give(Input::Command(command));
        assert_eq!(outcome.steps, [Step::Call { call, step: CallStep::Failed(Failure::NoSuchCall) }]);
    }
}
