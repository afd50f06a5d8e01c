//! Calls that come in: one UE against messages written out.

use sip::{Dialog, Method, OptionTags};

use super::caller::{call_steps, methods};
use super::page::{from_peer, received};
use super::*;

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
