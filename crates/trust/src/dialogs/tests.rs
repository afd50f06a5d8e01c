use super::*;
use crate::{Service, answer_as_asked};
use proptest::prelude::*;

const ALICE: &str = "\"Alice\" <sip:alice@a.example>";
const BOB: &str = "<sip:bob@b.example>";
const HIDDEN: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

fn request(method: &str, from: &str, to: &str, lines: &str) -> Message {
    let text = format!(
        "{method} sip:x@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: {from}\r\n\
         To: {to}\r\nCall-ID: c@a\r\nCSeq: 7 {method}\r\nP-Asserted-Identity: <sip:whoever@a.example>\r\n\
         User-Agent: phone\r\n{lines}\r\n"
    );
    Message::parse(text).unwrap()
}

fn response(request: &Message, status: u16, to_tag: &str, lines: &[(Name, &'static str)]) -> Message {
    let mut draft = Draft::reply(request, status, "x", Some(to_tag));
    draft.push(Name::PAssertedIdentity, "<sip:whoever@b.example>");
    for (name, value) in lines {
        draft.push(*name, *value);
    }
    Message::parse(draft.finish().bytes()).unwrap()
}

fn memory(capacity: usize) -> PrivacyMemory {
    PrivacyMemory::new(MemoryLimits { capacity, idle: Duration::from_secs(100) })
}

fn at(seconds: u64) -> Instant {
    Instant::from_epoch(Duration::from_secs(seconds))
}

/// A request that goes out, as its receiver sees it.
fn out(memory: &mut PrivacyMemory, now: Instant, request: &Message) -> Message {
    let mut draft = Draft::forward(request);
    if let Some(privacy) = memory.request(now, request).unwrap() {
        privacy.execute(&mut draft, Service::LastHop).unwrap();
    }
    draft.finish()
}

/// A request that comes in.
fn back(memory: &mut PrivacyMemory, now: Instant, request: &Message) -> Message {
    let mut draft = Draft::forward(request);
    memory.inward(now, request, &mut draft);
    draft.finish()
}

fn is_hidden(message: &Message) -> bool {
    let from = message.first(Name::From).unwrap();
    from.starts_with(HIDDEN)
        && message.first(Name::PAssertedIdentity).is_none()
        && message.first(Name::UserAgent).is_none()
}

#[test]
fn prv_8_a_whole_dialog_is_treated_as_its_first_request() {
    let mut memory = memory(10);
    let (alice, bob) = (format!("{ALICE};tag=f1"), format!("{BOB};tag=t1"));
    let hidden = format!("{HIDDEN};tag=f1");
    let invite = request("INVITE", &alice, BOB, "Privacy: user;id\r\n");
    let seen = out(&mut memory, at(0), &invite);
    assert!(is_hidden(&seen));
    let answer = response(&seen, 200, "t1", &[]);
    memory.answered(&invite, &answer);
    // Nothing in these says that Alice wants privacy.
    for method in ["ACK", "INVITE", "UPDATE", "PRACK", "MESSAGE", "INFO"] {
        let later = request(method, &alice, &bob, "");
        let seen = out(&mut memory, at(50), &later);
        assert!(is_hidden(&seen), "{method}");
        assert_eq!(seen.first(Name::From), Some(hidden.as_str()));
        assert_eq!(seen.first(Name::To), later.first(Name::To));
    }
    // Not even when she changes her mind in the middle.
    assert!(is_hidden(&out(&mut memory, at(120), &request("UPDATE", &alice, &bob, "Privacy: none\r\n"))));
    // What Bob sends to "Anonymous" reaches Alice under the name that she gave herself, and his answers are hers.
    let bye = request("BYE", &bob, &hidden, "");
    let seen = back(&mut memory, at(200), &bye);
    assert_eq!(seen.first(Name::To), Some(alice.as_str()));
    assert_eq!(seen.first(Name::From), Some(bob.as_str()));
    let answer = response(&seen, 200, "-", &[]);
    let mut draft = Draft::forward(&answer);
    if let Some(privacy) = memory.response(at(200), &answer) {
        privacy.execute(&mut draft, Service::LastHop).unwrap();
    }
    answer_as_asked(&bye, &mut draft);
    assert_eq!(draft.first(Name::To), Some(hidden.as_str()));
    assert_eq!(draft.first(Name::PAssertedIdentity), None, "a response of Alice carries her identity too");
    memory.answered(&bye, &answer);
    assert!(memory.is_empty());
    assert_eq!(memory.deadline(), None);
}

#[test]
fn prv_8_the_called_party_has_privacy_of_its_own() {
    let mut memory = memory(10);
    let (alice, bob) = (format!("{ALICE};tag=f1"), format!("{BOB};tag=t1"));
    let invite = request("INVITE", &alice, BOB, "");
    assert_eq!(memory.request(at(0), &invite), Ok(None));
    assert!(memory.is_empty(), "nothing to remember");
    let ringing = response(&invite, 180, "t1", &[(Name::Privacy, "id")]);
    let wanted = memory.response(at(1), &ringing).unwrap();
    assert!(wanted.asks(&Value::Id));
    // The 200 and the BYE of Bob say nothing of it.
    let answer = response(&invite, 200, "t1", &[]);
    assert_eq!(memory.response(at(2), &answer), Some(wanted.clone()));
    let bye = request("BYE", &bob, &alice, "");
    assert_eq!(memory.request(at(3), &bye), Ok(Some(wanted)));
    // Alice has none, in either direction.
    assert_eq!(memory.request(at(3), &request("BYE", &alice, &bob, "")), Ok(None));
    // Another branch of the same call is another party.
    assert_eq!(memory.response(at(4), &response(&invite, 180, "t2", &[])), None);
}

#[test]
fn prv_8_none_is_remembered_as_well() {
    let mut memory = memory(10);
    let invite = request("INVITE", "<sip:a@a>;tag=f1", BOB, "Privacy: none\r\n");
    memory.request(at(0), &invite).unwrap();
    let later = request("BYE", "<sip:a@a>;tag=f1", "<sip:b@b>;tag=t1", "");
    assert!(memory.request(at(1), &later).unwrap().unwrap().is_none());
    let stricter = request("UPDATE", "<sip:a@a>;tag=f1", "<sip:b@b>;tag=t1", "Privacy: id\r\n");
    assert!(memory.request(at(1), &stricter).unwrap().unwrap().asks(&Value::Id));
    assert!(memory.request(at(2), &later).unwrap().unwrap().asks(&Value::Id));
}

#[test]
fn prv_17_a_subscription_has_a_dialog_and_a_message_has_none() {
    let mut memory = memory(10);
    let message = request("MESSAGE", "<sip:a@a>;tag=f1", BOB, "Privacy: user\r\n");
    assert!(is_hidden_from(&out(&mut memory, at(0), &message)));
    assert!(memory.is_empty());
    let subscribe = request("SUBSCRIBE", "<sip:a@a>;tag=f2", BOB, "Privacy: user\r\n");
    let seen = out(&mut memory, at(0), &subscribe);
    memory.answered(&subscribe, &response(&seen, 202, "t2", &[]));
    let hidden = format!("{HIDDEN};tag=f2");
    let notify = |state: &str| {
        request("NOTIFY", "<sip:b@b>;tag=t2", &hidden, &format!("Subscription-State: {state}\r\n"))
    };
    let seen = back(&mut memory, at(1), &notify("active"));
    assert_eq!(seen.first(Name::To), Some("<sip:a@a>;tag=f2"));
    memory.answered(&notify("active"), &response(&notify("active"), 200, "-", &[]));
    assert_eq!(memory.len(), 1);
    let bye = request("BYE", "<sip:b@b>;tag=t2", &hidden, "");
    memory.answered(&bye, &response(&bye, 200, "-", &[]));
    assert_eq!(memory.len(), 1, "a BYE is not its end");
    memory.answered(&notify("terminated;reason=timeout"), &response(&notify("terminated"), 200, "-", &[]));
    assert!(memory.is_empty());
}

fn is_hidden_from(message: &Message) -> bool {
    message.first(Name::From).unwrap().starts_with(HIDDEN)
}

#[test]
fn prv_8_a_failed_attempt_is_forgotten_and_a_standing_dialog_is_not() {
    let mut memory = memory(10);
    let invite = request("INVITE", "<sip:a@a>;tag=f1", BOB, "Privacy: id\r\n");
    memory.request(at(0), &invite).unwrap();
    memory.answered(&invite, &response(&invite, 100, "t1", &[]));
    memory.answered(&invite, &response(&invite, 486, "t1", &[]));
    assert!(memory.is_empty());
    // Also when it has rung, and the called one has said what he wants.
    memory.request(at(0), &invite).unwrap();
    let ringing = response(&invite, 180, "t1", &[(Name::Privacy, "id")]);
    memory.response(at(0), &ringing);
    memory.answered(&invite, &ringing);
    memory.answered(&invite, &response(&invite, 486, "t1", &[]));
    assert!(memory.is_empty());
    memory.request(at(0), &invite).unwrap();
    memory.answered(&invite, &response(&invite, 183, "t1", &[]));
    memory.answered(&invite, &response(&invite, 200, "t1", &[]));
    // Bob repeats what he has heard, and is refused somewhere.
    memory.answered(&invite, &response(&invite, 404, "t9", &[]));
    let renewed = request("INVITE", "<sip:a@a>;tag=f1", "<sip:b@b>;tag=t1", "");
    memory.answered(&renewed, &response(&renewed, 488, "-", &[]));
    assert_eq!(memory.len(), 1);
    // And when nothing is heard of it for long, it is over.
    assert_eq!(memory.deadline(), Some(at(100)));
    memory.inward(
        at(90),
        &request("INFO", "<sip:b@b>;tag=t1", "<sip:a@a>;tag=f1", ""),
        &mut Draft::forward(&invite),
    );
    memory.expire(at(189));
    assert_eq!(memory.len(), 1);
    memory.expire(at(190));
    assert!(memory.is_empty());
    assert_eq!(memory.octets, 0);
}

#[test]
fn prv_8_a_full_memory_refuses_and_forgets_nobody() {
    let mut memory = memory(2);
    let invite = |tag: u32| request("INVITE", &format!("<sip:a@a>;tag={tag}"), BOB, "Privacy: id\r\n");
    memory.request(at(0), &invite(1)).unwrap();
    memory.request(at(0), &invite(2)).unwrap();
    let refused = memory.request(at(0), &invite(3)).unwrap_err();
    assert_eq!(refused.status(), (503, "Service Unavailable".to_owned()));
    // Those who are there are served, and so is who wants nothing remembered.
    assert!(memory.request(at(1), &invite(1)).unwrap().is_some());
    assert_eq!(memory.request(at(1), &request("INVITE", "<sip:a@a>;tag=4", BOB, "")), Ok(None));
    // Answers have a reserve.
    for tag in ["t1", "t2", "t3"] {
        let answer = response(&invite(5), 200, tag, &[(Name::Privacy, "id")]);
        assert!(memory.response(at(1), &answer).is_some());
    }
    assert_eq!(memory.len(), 4);
    // Long names count for more than one, and so do long words, also those that come later.
    let long = "x".repeat(2 * OCTETS_EACH);
    let mut memory = self::memory(2);
    let full = Err(MemoryError::Full);
    let named = request("INVITE", &format!("<sip:a@a>;tag={long}"), BOB, "Privacy: id\r\n");
    assert_eq!(memory.request(at(0), &named), full);
    let wordy = format!("Privacy: id;{long}\r\n");
    assert_eq!(memory.request(at(0), &request("INVITE", "<sip:a@a>;tag=1", BOB, &wordy)), full);
    memory.request(at(0), &invite(1)).unwrap();
    let later = request("UPDATE", "<sip:a@a>;tag=1", "<sip:b@b>;tag=t1", &wordy);
    assert_eq!(memory.request(at(0), &later), full);
    assert!(memory.request(at(1), &invite(1)).unwrap().unwrap().asks(&Value::Id), "what was known stays");
}

#[test]
fn prv_11_a_bad_header_is_refused_before_it_is_remembered() {
    let mut memory = memory(2);
    let broken = request("INVITE", "<sip:a@a>;tag=1", BOB, "Privacy: none;id\r\n");
    assert_eq!(memory.request(at(0), &broken).unwrap_err().status().0, 400);
    assert!(memory.is_empty());
}

proptest! {
    /// Whatever comes in whatever order, the tables agree with each other and with the bounds.
    #[test]
    fn prv_8_the_tables_stay_whole(steps in proptest::collection::vec((0_u8..6, 0_u8..4, 0_u64..60), 0..80)) {
        let mut memory = memory(3);
        let mut now = 0;
        for (step, tag, passed) in steps {
            now += passed;
            let from = format!("<sip:a@a>;tag={tag}");
            let invite = request("INVITE", &from, BOB, "Privacy: user\r\n");
            let answer = response(&invite, 200, &format!("t{tag}"), &[(Name::Privacy, "id")]);
            match step {
                0 => { let _ = memory.request(at(now), &invite); }
                1 => { let _ = memory.response(at(now), &answer); }
                2 => memory.answered(&invite, &answer),
                3 => memory.answered(&invite, &response(&invite, 486, "t", &[])),
                4 => {
                    let bye = request("BYE", &from, &format!("<sip:b@b>;tag=t{tag}"), "");
                    memory.answered(&bye, &response(&bye, 200, "-", &[]));
                }
                _ => memory.expire(at(now)),
            }
            prop_assert!(memory.len() <= 6);
            prop_assert_eq!(memory.len(), memory.due.len());
            let octets: usize = memory.parties.values().map(|party| party.octets).sum();
            prop_assert_eq!(octets, memory.octets);
        }
        memory.expire(at(now + 100));
        prop_assert!(memory.is_empty() && memory.due.is_empty());
    }
}

/// Somebody who was called by an anonymous user knows Call-ID and tag, and has a friend use them.
#[test]
fn prv_8_nobody_gets_at_a_party_by_its_call_id_and_tag() {
    let mut memory = memory(10);
    let invite = request("INVITE", "<sip:secret@a>;tag=f1", BOB, "Privacy: user\r\n");
    memory.request(at(0), &invite).unwrap();
    memory.answered(&invite, &response(&invite, 200, "t1", &[]));
    let friend = request("INVITE", "<sip:c@b>;tag=f1", BOB, "");
    assert_eq!(memory.request(at(1), &friend), Err(MemoryError::Taken));
    assert_eq!(MemoryError::Taken.status().0, 400);
    // The first request may come again.
    assert!(memory.request(at(1), &invite).is_ok());
    // An answer that names another dialog than its request ends nothing there.
    let bye = request("BYE", "<sip:c@b>;tag=f9", "<sip:b@b>;tag=t9", "");
    memory.answered(&bye, &response(&invite, 200, "f1", &[]));
    assert_eq!(memory.len(), 1);
}
