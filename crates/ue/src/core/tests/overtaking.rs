//! The network's word of a registration may overtake the answer to the REGISTER that it is about.

use sip::reginfo::ContactEvent;

use super::notify::{contact, notice, subscribed, subscribing};
use super::*;

const OURS: &str = "sip:alice@ims.example";

/// What the UE sends for a command, over its current set.
fn sends(bench: &mut Bench, command: Command) -> (Flow, Message) {
    let outcome = bench.give(Input::Command(command));
    let (flow, request) = outcome.only();
    (flow, request.clone())
}

/// REG-13: shortened after the 200 left, heard before it came: the 200 is the older word.
#[test]
fn reg_13_a_200_that_was_overtaken_does_not_prolong_what_was_shortened() {
    let (mut bench, mut notifier) = subscribed(subscribing(), true);
    let (flow, request) = sends(&mut bench, Command::Register);
    let shortened = [(OURS, contact(ContactEvent::Shortened, Some(120)))];
    let (_, outcome) = bench.notified(&notifier.notify(true, &shortened));
    assert_eq!(notice(&outcome).expires, Some(120));
    let back = bench.back(flow);
    let outcome = bench.receive(back, granted(&request, 3600));
    let [Step::Registered(registration)] = outcome.steps.as_slice() else { panic!("{:?}", outcome.steps) };
    assert_eq!(registration.expires, 120);
}

/// The network has ended what we wanted to end: its refusal is no failure.
#[test]
fn reg_15_a_de_registration_that_the_network_was_faster_with_has_succeeded() {
    let (mut bench, mut notifier) = subscribed(subscribing(), true);
    let (flow, request) = sends(&mut bench, Command::Deregister);
    bench.notified(&notifier.notify(true, &[(OURS, contact(ContactEvent::Rejected, None))]));
    let back = bench.back(flow);
    let refused = Draft::reply(&request, 403, "Forbidden", Some("s")).finish();
    let outcome = bench.receive(back, refused);
    assert_eq!(outcome.steps, [Step::Deregistered]);
    assert!(bench.ue.registration().is_none());
}

/// Who asks for news of a registration and hears that there is none has lost it unheard.
#[test]
fn reg_12_a_subscribe_to_nothing_ends_the_registration() {
    for (status, ends) in [(404, true), (403, false), (500, false)] {
        let (mut bench, outcome) = Bench::registered(subscribing());
        let [.., (_, subscribe)] = outcome.sent.as_slice() else { panic!("no SUBSCRIBE") };
        let over = towards_ue(&bench.set());
        let refused = Draft::reply(subscribe, status, "No", Some("n")).finish();
        bench.receive(over, refused);
        assert_eq!(bench.ue.registration().is_none(), ends, "{status}");
    }
}

/// SA-6: the old set stays until the P-CSCF has sent over the new one, however long that takes, and 128 s more.
#[test]
fn sa_6_the_old_set_stays_until_the_new_one_is_heard_over() {
    let (mut bench, mut notifier) = subscribed(subscribing(), true);
    let old = bench.set();
    let first = sends(&mut bench, Command::Register);
    let outcome = bench.authenticate(first, ok);
    assert!(matches!(outcome.steps.as_slice(), [Step::Registered(_)]), "{:?}", outcome.steps);
    assert_ne!(bench.set(), old);
    bench.wait(1000);
    assert_eq!(bench.ue.sets(), 2, "the P-CSCF may still send over the old one");
    // It does; that changes nothing.
    let late = notifier.notify(true, &[(OURS, contact(ContactEvent::Refreshed, Some(3600)))]);
    assert_eq!(bench.receive(towards_ue(&old), late).sent.len(), 1);
    bench.wait(200);
    assert_eq!(bench.ue.sets(), 2);
    let next = notifier.notify(false, &[(OURS, contact(ContactEvent::Refreshed, Some(3600)))]);
    assert_eq!(bench.notified(&next).0, 200);
    bench.wait(127);
    assert_eq!(bench.ue.sets(), 2);
    assert_eq!((bench.wait(2).removed, bench.ue.sets()), (1, 1));
}
