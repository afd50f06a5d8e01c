//! Calls, both ways: one UE against messages written out.

use sip::{Dialog, Method, OptionTags};

use super::page::{from_peer, received};
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

fn methods(outcome: &Outcome) -> Vec<String> {
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

/// The other side's end of a call that it began, once it knows our tag.
fn caller(invite: &Message, ours: &Message) -> Dialog {
    Dialog::uac(invite, ours).unwrap()
}

fn invite(branch: &str) -> Draft<'static> {
    let mut draft = from_peer(Method::Invite, branch);
    draft
        .push(Name::RecordRoute, "<sip:10.9.0.1:6100;lr>, <sip:10.30.0.9:5060;lr>")
        .push(Name::Contact, "<sip:bob@10.8.0.2:7100>")
        .body("application/sdp", b"v=0\r\n".as_slice());
    draft
}

/// A request of the other side within a call.
fn within(dialog: &mut Dialog, method: Method<'static>) -> Draft<'static> {
    let mut draft = dialog.request(method);
    draft.remove(Name::Route);
    let branch = format!("SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bK{method}{}", dialog.local_cseq);
    draft.push_front(Name::Via, branch);
    draft
}

fn ack(dialog: &Dialog, invite: &Message) -> Message {
    let mut draft = dialog.ack(invite.cseq().unwrap().number);
    draft.remove(Name::Route);
    draft.push_front(Name::Via, "SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bKack").finish()
}

fn answering(answering: Answering) -> Bench {
    Bench::registered(Config { answering, ..config() }).0
}

fn at_once() -> Answering {
    Answering { answer_after: Duration::ZERO, reliable: false, ..Answering::default() }
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
fn sip_19_our_answer_is_repeated_until_its_ack_comes() {
    let mut bench = answering(at_once());
    let invite = invite("i").finish();
    let outcome = bench.comes(invite.clone());
    assert_eq!(methods(&outcome), ["180", "200"]);
    let ok = outcome.sent[1].1.clone();
    assert_eq!(
        ok.values(Name::RecordRoute).collect::<Vec<_>>(),
        ["<sip:10.9.0.1:6100;lr>", "<sip:10.30.0.9:5060;lr>"]
    );
    assert_eq!(ok.first(Name::Contact), Some("<sip:alice@10.9.0.2:7100>"));
    assert_eq!(ok.body(), Body::session().octets);
    assert_eq!(outcome.sent[0].1.to().unwrap().tag(), ok.to().unwrap().tag(), "one dialog");
    assert!(bench.comes(invite.clone()).sent.is_empty(), "an INVITE that comes again is absorbed");
    let mut at = Vec::new();
    for second in 1..=40 {
        if methods(&bench.wait(1)) == ["200"] {
            at.push(second);
        }
    }
    assert_eq!(at, [2, 6, 14, 30], "T1, doubling up to T2");
    let dialog = caller(&invite, &ok);
    let outcome = bench.comes(ack(&dialog, &invite));
    assert_eq!(call_steps(&outcome), [&CallStep::Confirmed]);
    assert!(bench.comes(ack(&dialog, &invite)).steps.is_empty(), "an ACK may come again");
    assert!(bench.wait(20).sent.is_empty());
}

#[test]
fn sip_19_without_an_ack_the_call_ends_with_bye() {
    let mut bench = answering(at_once());
    bench.comes(invite("i").finish());
    let hang_up = bench.give(Input::Command(Command::HangUp { call: CallId(1) }));
    assert!(hang_up.sent.is_empty(), "no BYE before the ACK");
    let mut byes = Vec::new();
    for _ in 0..140 {
        byes.extend(methods(&bench.wait(1)).into_iter().filter(|word| word == "BYE"));
    }
    assert!(!byes.is_empty());
    let outcome = bench.wait(130);
    assert_eq!(call_steps(&outcome), [&CallStep::Ended { by: EndedBy::NoAck }]);
}

#[test]
fn a_hang_up_before_the_ack_follows_it() {
    let mut bench = answering(at_once());
    let invite = invite("i").finish();
    let outcome = bench.comes(invite.clone());
    bench.give(Input::Command(Command::HangUp { call: CallId(1) }));
    let dialog = caller(&invite, &outcome.sent[1].1);
    let outcome = bench.comes(ack(&dialog, &invite));
    assert_eq!(methods(&outcome), ["BYE"]);
    let bye = outcome.only().1;
    assert_eq!(bye.request_uri(), Some("sip:bob@10.8.0.2:7100"));
    assert_eq!(
        bye.values(Name::Route).collect::<Vec<_>>(),
        ["<sip:10.9.0.1:6100;lr>", "<sip:10.30.0.9:5060;lr>"]
    );
    assert_eq!(bye.first(Name::CSeq), Some("1 BYE"));
}

#[test]
fn sip_19_a_cancelled_call_is_answered_with_487_and_a_late_cancel_changes_nothing() {
    let mut bench = answering(Answering { with: CallAnswer::Silence, ..at_once() });
    let cancel = |branch| {
        let mut draft = from_peer(Method::Cancel, branch);
        draft.remove(Name::MaxForwards);
        draft.finish()
    };
    let outcome = bench.comes(invite("i").finish());
    assert_eq!(methods(&outcome), ["180"]);
    let outcome = bench.comes(cancel("i"));
    assert_eq!(methods(&outcome), ["200", "487"]);
    assert_eq!(outcome.sent[1].1.method(), Method::Invite, "by its CSeq");
    assert_eq!(call_steps(&outcome), [&CallStep::Cancelled]);
    assert_eq!(bench.ue.calls(), 0);
    assert_eq!(methods(&bench.wait(2)), ["487"], "until the ACK comes");
    bench.give(Input::Command(Command::Answer(Box::new(at_once()))));
    let outcome = bench.comes(invite("j").finish());
    assert_eq!(methods(&outcome), ["180", "200"]);
    assert_eq!(methods(&bench.comes(cancel("j"))), ["200"]);
    assert_eq!(bench.ue.calls(), 1);
}

#[test]
fn a_reliable_180_is_repeated_until_its_prack_comes_and_the_answer_waits_for_it() {
    let mut bench = answering(Answering { reliable: true, ..at_once() });
    let mut draft = invite("i");
    draft.push(Name::Supported, "100rel");
    let invite = draft.finish();
    let outcome = bench.comes(invite.clone());
    assert_eq!(methods(&outcome), ["180"]);
    let rings = outcome.only().1.clone();
    assert!(OptionTags::of(&rings, Name::Require).contains("100rel"));
    assert_eq!(methods(&bench.wait(2)), ["180"]);
    assert_eq!(methods(&bench.wait(4)), ["180"]);
    let mut dialog = caller(&invite, &rings);
    let prack = |dialog: &mut Dialog, rack: String| {
        let mut draft = within(dialog, Method::Prack);
        draft.push(Name::RAck, rack);
        draft.finish()
    };
    let rseq: u32 = rings.first(Name::RSeq).unwrap().parse().unwrap();
    for wrong in [format!("{} 1 INVITE", rseq + 1), format!("{rseq} 2 INVITE"), format!("{rseq} 1 BYE")] {
        let outcome = bench.comes(prack(&mut dialog, wrong));
        assert_eq!(methods(&outcome), ["481"]);
    }
    let early = |dialog: &mut Dialog| {
        let mut draft = within(dialog, Method::Update);
        draft.body("application/sdp", b"v=0\r\n".as_slice());
        draft.finish()
    };
    let outcome = bench.comes(early(&mut dialog));
    assert_eq!(methods(&outcome), ["500"], "our answer to the first offer has not arrived");
    assert!(outcome.only().1.first(Name::RetryAfter).is_some());
    let outcome = bench.comes(prack(&mut dialog, format!("{rseq} 1 INVITE")));
    assert_eq!(methods(&outcome), ["200", "200"]);
    assert_eq!((outcome.sent[0].1.method(), outcome.sent[1].1.method()), (Method::Prack, Method::Invite));
    assert_eq!(methods(&bench.comes(early(&mut dialog))), ["200"]);
}

#[test]
fn a_reliable_180_that_nobody_confirms_ends_the_call() {
    let mut bench = answering(Answering { reliable: true, ..at_once() });
    let mut draft = invite("i");
    draft.push(Name::Require, "100rel");
    bench.comes(draft.finish());
    let mut steps = Vec::new();
    for _ in 0..128 {
        steps.extend(bench.wait(1).steps);
    }
    let step = CallStep::Declined { status: 504 };
    assert_eq!(steps, [Step::Call { call: CallId(1), step }]);
}

#[test]
fn calls_are_refused_as_configured_and_answers_say_who_we_are() {
    for (with, status, rings) in [
        (CallAnswer::Busy, 486, false),
        (CallAnswer::Decline, 603, true),
        (CallAnswer::Redirect("sip:mailbox@ims.example".into()), 302, false),
        (CallAnswer::Refuse { status: 488, reason: "Not Acceptable Here".into() }, 488, false),
    ] {
        let mut bench = answering(Answering {
            with,
            privacy: Some("id".into()),
            preferred: Some("tel:+49301".into()),
            ..at_once()
        });
        let outcome = bench.comes(invite("i").finish());
        let (_, last) = outcome.sent.last().unwrap();
        assert_eq!(last.status(), Some(status));
        assert_eq!(outcome.sent.len(), if rings { 2 } else { 1 });
        for (_, message) in &outcome.sent {
            assert_eq!(message.first(Name::Privacy), Some("id"));
            assert_eq!(message.first(Name::PPreferredIdentity), Some("<tel:+49301>"));
        }
        assert_eq!(*call_steps(&outcome)[call_steps(&outcome).len() - 1], CallStep::Declined { status });
        let told = received(&outcome);
        assert_eq!((&*told.method, told.call, told.status), ("INVITE", Some(CallId(1)), None));
        if status == 302 {
            assert_eq!(last.first(Name::Contact), Some("<sip:mailbox@ims.example>"));
        }
    }
}

#[test]
fn within_a_call_requests_are_answered_in_their_order_and_glare_is_refused() {
    let mut bench = answering(at_once());
    let invite = invite("i").finish();
    let outcome = bench.comes(invite.clone());
    let mut dialog = caller(&invite, &outcome.sent[1].1);
    bench.comes(ack(&dialog, &invite));
    let call = CallId(1);
    assert_eq!(methods(&bench.comes(within(&mut dialog, Method::Info).finish())), ["200"]);
    let late = Dialog { local_cseq: 1, ..dialog.clone() };
    let mut late = late;
    let mut draft = within(&mut late, Method::Info);
    draft.set(Name::Via, "SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bKlate");
    assert_eq!(methods(&bench.comes(draft.finish())), ["500"], "its CSeq is not higher");
    bench.give(Input::Command(Command::Reinvite { call }));
    let mut draft = within(&mut dialog, Method::Invite);
    draft.push(Name::Contact, "<sip:bob@10.8.0.2:7100>");
    assert_eq!(methods(&bench.comes(draft.finish())), ["491"]);
    let mut update = within(&mut dialog, Method::Update);
    update.body("application/sdp", b"v=0\r\n".as_slice());
    assert_eq!(methods(&bench.comes(update.finish())), ["491"]);
    let outcome = bench.comes(within(&mut dialog, Method::Bye).finish());
    assert_eq!(methods(&outcome), ["200"]);
    assert_eq!(call_steps(&outcome), [&CallStep::Ended { by: EndedBy::Peer }]);
    let outcome = bench.comes(within(&mut dialog, Method::Info).finish());
    assert_eq!(methods(&outcome), ["481"]);
}

#[test]
fn a_re_invite_of_the_other_side_is_answered_and_repeated_until_its_ack() {
    let mut bench = answering(at_once());
    let first = invite("i").finish();
    let outcome = bench.comes(first.clone());
    let mut dialog = caller(&first, &outcome.sent[1].1);
    bench.comes(ack(&dialog, &first));
    let mut draft = within(&mut dialog, Method::Invite);
    draft.push(Name::Contact, "<sip:bob@10.8.0.99:7100>");
    let again = draft.finish();
    let outcome = bench.comes(again.clone());
    assert_eq!(methods(&outcome), ["200"]);
    assert_eq!(methods(&bench.wait(2)), ["200"]);
    let outcome = bench.comes(ack(&dialog, &again));
    assert!(outcome.steps.is_empty(), "the call was confirmed before");
    assert!(bench.wait(30).sent.is_empty());
    let bye = bench.give(Input::Command(Command::HangUp { call: CallId(1) }));
    assert_eq!(bye.only().1.request_uri(), Some("sip:bob@10.8.0.99:7100"), "its target has moved");
}

#[test]
fn a_bye_before_the_answer_ends_the_invite_too() {
    let mut bench = answering(Answering { with: CallAnswer::Silence, ..at_once() });
    let invite = invite("i").finish();
    let outcome = bench.comes(invite.clone());
    let mut dialog = caller(&invite, outcome.only().1);
    let outcome = bench.comes(within(&mut dialog, Method::Bye).finish());
    assert_eq!(methods(&outcome), ["200", "487"]);
    assert_eq!(call_steps(&outcome), [&CallStep::Ended { by: EndedBy::Peer }]);
}

#[test]
fn an_invite_that_came_two_ways_is_taken_once_and_no_more_than_64_calls_are_held() {
    let mut bench = answering(Answering { with: CallAnswer::Silence, ..at_once() });
    bench.comes(invite("0").finish());
    let mut copy = invite("0");
    copy.set(Name::Via, "SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bKother");
    assert_eq!(methods(&bench.comes(copy.finish())), ["482"]);
    for n in 1..64 {
        assert_eq!(methods(&bench.comes(invite(&n.to_string()).finish())), ["180"]);
    }
    assert_eq!(methods(&bench.comes(invite("64").finish())), ["486"]);
    let outcome = bench.give(Input::Command(Call::to("sip:bob@ims.example").into()));
    assert!(matches!(call_steps(&outcome)[..], [CallStep::Failed(Failure::TooMany)]));
    assert_eq!(bench.ue.calls(), 64);
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
