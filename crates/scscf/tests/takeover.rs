//! An S-CSCF that is gone, and the one that goes on with its users (TS 23.380).

mod net;

use aka::Impi;
use cx::RestorationInfo;
use net::subscriber::Subscribe;
use net::{HOME, IMPI, IMPU, Net, Register, config};
use scscf::{Command, Config, Done, Event, Reauthenticate, Scscf};
use sip::reginfo::ContactEvent;
use sip::{Message, Name};
use std::time::Duration;

const UE_CONTACT: &str = "sip:10.9.0.2:7002";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn keeping() -> Config {
    Config { restoration: Some(seconds(2)), ..config() }
}

fn other() -> Config {
    let name = cx::ServerName::new(&format!("sip:scscf2.{HOME}:6060")).unwrap();
    Config { server_name: name, ..keeping() }
}

/// The UE's contact and its SUBSCRIBE belong together by the address and port they name.
fn of_ue() -> Subscribe {
    Subscribe { contact: "<sip:001010000000001@10.9.0.2:7002>".into(), ..Subscribe::of_ue() }
}

/// Registered and watched; the answers to the SUBSCRIBEs of UE and P-CSCF.
fn watched() -> (Net, Register, [Message; 2]) {
    let mut net = Net::new(keeping());
    let second = net.registered();
    let answers = [net.subscribe(&of_ue()), net.subscribe(&Subscribe::of_p_cscf())];
    assert!(answers.iter().all(|answer| answer.status() == Some(200)));
    net.advance(seconds(60));
    (net, second, answers)
}

/// The S-CSCF dies, and another one stands in its place.
fn dies(net: &mut Net, config: Config) {
    net.scscf = Scscf::new(config, [9; 32]);
    net.notifies.clear();
    net.asked.clear();
    net.sent.clear();
    net.events.clear();
    net.wait = None;
}

fn kept(net: &Net) -> RestorationInfo {
    let [info] = net.hss.kept.as_slice() else { panic!("{:?}", net.hss.kept) };
    info.clone()
}

fn contacts(net: &mut Net) -> Vec<(String, Duration)> {
    match net.command(Command::List { user: None, most: 9 }) {
        Ok(Done::Users { users, .. }) => {
            users.into_iter().flat_map(|user| user.contacts).map(|one| (one.contact, one.remaining)).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The last NOTIFY's CSeq and whole text of one dialog.
fn last_notify<'a>(net: &'a Net, call_id: &str) -> (u32, &'a Message) {
    let notify = net.notifies.iter().rev().map(|(_, one)| one).find(|one| one.call_id() == call_id);
    let notify = notify.unwrap_or_else(|| panic!("no NOTIFY in {call_id}"));
    (notify.cseq().unwrap().number, notify)
}

#[test]
fn what_another_needs_is_kept_with_few_questions() {
    let (mut net, _, _) = watched();
    // One with the registration, and one for both subscriptions.
    assert_eq!(net.asked, ["MAR", "Registration", "ReRegistration"]);
    let info = kept(&net);
    assert_eq!(info.impi, Impi::new(IMPI).unwrap());
    let [contact] = info.contacts.as_slice() else { panic!("{info:?}") };
    assert!(contact.contact.starts_with(&format!("<{UE_CONTACT}>;+sip.instance=")));
    assert!(contact.contact.ends_with(";expires=600000"));
    assert_eq!(contact.path, "<sip:term@pcscf.visited.example;lr>, <sip:second.example;lr>");
    assert_eq!((contact.initial_cseq, contact.call_id.as_deref()), (Some(2), Some("call-1")));
    let ue = contact.subscription.as_ref().unwrap();
    assert_eq!((ue.call_id.as_str(), ue.from.as_str()), ("sub-ue", &*format!("<{IMPU}>;tag=watcher")));
    assert!(ue.to.starts_with(&format!("<{IMPU}>;tag=")));
    assert_eq!(ue.record_route, "<sip:192.0.2.1:5060;lr>, <sip:10.9.0.1:6100;lr>");
    assert_eq!(ue.contact, "<sip:001010000000001@10.9.0.2:7002>");
    // The P-CSCF of this test has a Path with a name and a Contact with an address: it is not found, and not guessed.
    assert_eq!(contact.p_cscf_subscription, None);
    // Nothing has changed: nothing is asked.
    net.advance(seconds(10_000));
    assert_eq!(net.asked.len(), 3);
}

#[test]
fn the_p_cscf_is_known_by_its_address_on_the_path() {
    let mut net = Net::new(keeping());
    let first = Register { path: Some("<sip:term@192.0.2.1:5060;lr>"), ..Register::first() };
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    net.register(&second);
    let asks = Subscribe { asserted: Some("<sip:p.example>".into()), ..Subscribe::of_p_cscf() };
    // By way of the I-CSCF: what it asserts, and its Contact, are all that is seen of it.
    assert_eq!(net.subscribe_over(net::flow(), &asks).status(), Some(200));
    net.advance(seconds(3));
    let subscription = kept(&net).contacts[0].p_cscf_subscription.clone().unwrap();
    assert_eq!(
        (subscription.call_id.as_str(), &*subscription.contact),
        ("sub-pcscf", "<sip:192.0.2.1:5060>")
    );
    dies(&mut net, other());
    assert_eq!(net.register(&second.next()).status(), Some(401));
    let (cseq, notify) = last_notify(&net, "sub-pcscf");
    assert!(cseq > 1 << 24);
    assert_eq!(notify.request_uri(), Some("sip:192.0.2.1:5060"));
}

/// The UE registers again over its SA: it is challenged as always, and everything lives on at another S-CSCF.
#[test]
fn a_protected_register_brings_the_user_over_to_another_s_cscf() {
    let (mut net, second, answers) = watched();
    dies(&mut net, other());
    let third = second.next();
    let challenge = net.register(&third);
    assert_eq!(challenge.status(), Some(401));
    assert_eq!(net.asked, ["NoAssignment", "MAR"]);
    assert!(
        net.events.iter().any(|event| matches!(event, Event::Restored { contacts: 1, subscriptions: 1, .. }))
    );
    assert_eq!(net.scscf.registered(), 1, "whatever becomes of the challenge");
    // The subscriber learns in its old dialog where that lives now.
    let (cseq, notify) = last_notify(&net, "sub-ue");
    assert!(cseq > 1 << 24, "above everything that the first one has sent");
    assert_eq!(notify.first(Name::Contact), Some(&*format!("<sip:scscf2.{HOME}:6060>")));
    let tag = answers[0].to().unwrap().tag().map(str::to_owned);
    assert_eq!(notify.from().unwrap().tag().map(str::to_owned), tag);
    assert_eq!(notify.values(Name::Route).count(), 2);
    let told = net.take_notifies("sub-ue").remove(0);
    assert_eq!((told.full, told.state.as_str()), (true, "active"));
    assert!(told.version >= 1 << 24);
    let answer = net.protected(&third, &challenge);
    let ok = net.register(&answer);
    assert_eq!(ok.status(), Some(200));
    assert_eq!(net.asked, ["NoAssignment", "MAR", "ReRegistration"]);
    assert_eq!(contacts(&mut net).len(), 1);
    let told = net.take_notifies("sub-ue").remove(0);
    assert_eq!(told.events(), [(UE_CONTACT, ContactEvent::Refreshed)]);
    // A SUBSCRIBE in the old dialog is taken.
    let again = Subscribe { cseq: 7, ..of_ue().next(&answers[0]) };
    assert_eq!(net.subscribe(&again).status(), Some(200));
    // And a third S-CSCF goes higher still.
    net.advance(seconds(3));
    dies(&mut net, Config { reauthenticate: Reauthenticate::Never, ..keeping() });
    assert_eq!(net.register(&answer.next()).status(), Some(200), "with this policy not even a challenge");
    assert!(last_notify(&net, "sub-ue").0 > 2 << 24);
}

#[test]
fn a_subscribe_brings_the_user_over_too() {
    let (mut net, second, _) = watched();
    dies(&mut net, other());
    let fresh = Subscribe { call_id: "sub-new".into(), route: None, ..Subscribe::of_p_cscf() };
    assert_eq!(net.subscribe_over(net::flow(), &fresh).status(), Some(200));
    assert_eq!(net.asked, ["NoAssignment"]);
    assert_eq!(contacts(&mut net).len(), 1);
    assert_eq!(last_notify(&net, "sub-ue").1.first(Name::SubscriptionState).map(|_| ()), Some(()));
    assert_eq!(last_notify(&net, "sub-new").0, 1);
    // A de-registration is known here now.
    let removal = Register { expires: Some(0), ..second.next() };
    assert_eq!(net.register(&removal).status(), Some(200));
    let told = net.take_notifies("sub-ue").pop().unwrap();
    assert_eq!(told.events(), [(UE_CONTACT, ContactEvent::Unregistered)]);
}

/// The same S-CSCF after a restart: also a SUBSCRIBE within a dialog finds it again.
#[test]
fn an_s_cscf_that_lost_its_memory_goes_on() {
    let (mut net, _, answers) = watched();
    dies(&mut net, keeping());
    let again = Subscribe { cseq: 2, ..of_ue().next(&answers[0]) };
    assert_eq!(net.subscribe(&again).status(), Some(200));
    assert!(last_notify(&net, "sub-ue").0 > 1 << 24);
}

/// REG-9: nobody knows this user.
#[test]
fn reg_9_a_user_the_hss_does_not_know_as_registered_gets_500() {
    let mut net = Net::new(keeping());
    let protected = Register { protected: Some("yes"), ..Register::first() };
    assert_eq!(net.register(&protected).status(), Some(500));
    assert_eq!(net.asked, ["NoAssignment"]);
    let removal = Register { expires: Some(0), ..protected.next() };
    assert_eq!(net.register(&removal).status(), Some(481));
    assert_eq!(net.subscribe(&of_ue()).status(), Some(404));
    assert_eq!(net.subscribe(&Subscribe { to_tag: Some("x".into()), ..of_ue() }).status(), Some(481));
    net.hss.unreachable = true;
    assert_eq!(net.register(&protected.next().next()).status(), Some(480));
    assert_eq!(net.scscf.registered(), 0);
}

/// A second device's contact and subscription are not lost when the first registers anew in clear.
#[test]
fn what_other_flows_had_lives_on_when_one_registers_anew() {
    let mut net = Net::new(keeping());
    let flow = |instance: u8, port: u16| Register {
        contact: format!("<sip:10.9.0.2:{port}>;+sip.instance=\"<urn:gsma:imei:{instance}>\";reg-id=1"),
        call_id: format!("call-{instance}"),
        path: Some("<sip:term@192.0.2.1:5060;lr;ob>"),
        ..Register::first()
    };
    for one in [flow(1, 7002), flow(2, 7012)] {
        let challenge = net.register(&one);
        let answer = net.protected(&one, &challenge);
        assert_eq!(net.register(&answer).status(), Some(200));
    }
    net.subscribe(&of_ue());
    net.advance(seconds(3));
    assert_eq!(kept(&net).contacts.len(), 2);
    dies(&mut net, other());
    let anew = flow(2, 7022);
    let challenge = net.register(&anew);
    let answer = net.protected(&anew, &challenge);
    assert_eq!(net.register(&answer).status(), Some(200));
    assert_eq!(net.asked, ["MAR", "Registration"]);
    let mut found: Vec<String> = contacts(&mut net).into_iter().map(|(contact, _)| contact).collect();
    found.sort();
    assert!(found[0].contains(":7002>") && found[1].contains(":7022>"), "{found:?}");
    let told = net.take_notifies("sub-ue").pop().unwrap();
    let events = told.events();
    assert!(events.contains(&("sip:10.9.0.2:7012", ContactEvent::Deactivated)), "{events:?}");
    // Nobody renews what was restored: it ends in its time.
    net.advance(seconds(700_000));
    assert_eq!((net.scscf.registered(), net.wait), (0, None));
}

/// Somebody else who shares the identity has a profile of his own, so the HSS is asked once more; and only once.
#[test]
fn others_of_the_identity_are_asked_for() {
    let (net, second, _) = watched();
    let names = ["b@home.example", "c@home.example"].map(|name| Impi::new(name).unwrap());
    let mut both = Net::new(other());
    both.hss.registered = true;
    both.hss.kept = [kept(&net).impi]
        .into_iter()
        .chain(names)
        .map(|impi| RestorationInfo { impi, ..kept(&net) })
        .collect();
    assert_eq!(both.register(&second.next()).status(), Some(401));
    assert_eq!(both.asked, ["NoAssignment", "NoAssignment", "NoAssignment", "MAR"]);
    assert_eq!(both.scscf.registered(), 3);
}

/// What the HSS hands over is another program's text.
#[test]
fn what_makes_no_sense_is_not_restored() {
    let (net, second, _) = watched();
    let good = kept(&net);
    let spoilt: [fn(&mut RestorationInfo); 4] = [
        |info| info.contacts[0].contact = "<sip:a@b>\r\nX: y".into(),
        |info| info.contacts[0].contact = "nonsense".into(),
        |info| info.contacts[0].path = "x".repeat(5000),
        |info| info.contacts.clear(),
    ];
    for spoil in spoilt {
        let mut info = good.clone();
        spoil(&mut info);
        let mut net = Net::new(other());
        (net.hss.registered, net.hss.kept) = (true, vec![info]);
        assert_eq!(net.register(&second.next()).status(), Some(500));
        assert_eq!(net.scscf.registered(), 0);
        assert_eq!(net.asked, ["NoAssignment"]);
    }
    let subscriptions: [fn(&mut cx::RestoredSubscription); 4] = [
        |one| one.to = "<sip:a@b>;tag=other-vendor".into(),
        |one| one.to = one.to.replace("notify-cseq=0", "notify-cseq=4294967295"),
        |one| one.record_route = "<sip:198.51.100.1;lr>".into(),
        |one| one.from = "<sip:a@b>".into(),
    ];
    for spoil in subscriptions {
        let mut info = good.clone();
        spoil(info.contacts[0].subscription.as_mut().unwrap());
        let mut net = Net::new(other());
        (net.hss.registered, net.hss.kept) = (true, vec![info]);
        assert_eq!(net.register(&second.next()).status(), Some(401), "the contact is there");
        assert!(net.notifies.is_empty());
    }
}
