//! Our own subscription to the reg event.

use sip::dialog::event_package;
use sip::reginfo::{ContactEvent, ContactInfo, Reginfo, RegistrationInfo, RegistrationState};

use super::*;

fn document(version: u32, event: ContactEvent, expires: Option<u32>) -> String {
    let contact = ContactInfo {
        id: "c1".into(),
        uri: "sip:alice@10.9.0.2:7100".into(),
        event,
        expires,
        retry_after: None,
    };
    let registration = RegistrationInfo {
        aor: "sip:alice@ims.example".into(),
        id: "r1".into(),
        state: RegistrationState::Active,
        contacts: vec![contact],
    };
    Reginfo { version, full: version == 0, registrations: vec![registration] }.to_xml()
}

fn notify(asked: &Message, cseq: u32, state: &str, body: &str) -> Message {
    let tag = asked.from().unwrap().tag().unwrap();
    let text = format!(
        "NOTIFY sip:10.8.0.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.8.0.3:5060;branch=z9hG4bK-own{cseq}-{}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@ims.example>;tag=s\r\nTo: <sip:pcscf.visited.example>;tag={tag}\r\n\
         Call-ID: {}\r\nCSeq: {cseq} NOTIFY\r\nEvent: reg\r\nSubscription-State: {state}\r\n\
         Contact: <sip:scscf.ims.example:5060>\r\nContent-Type: application/reginfo+xml\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len(),
        asked.call_id(),
        body.len()
    );
    Message::parse(text.into_bytes()).unwrap()
}

fn from_scscf() -> Flow {
    Flow::udp("10.8.0.1:5060".parse().unwrap(), S_CSCF.parse().unwrap())
}

impl Bench {
    fn notify(&mut self, message: Message) -> (Option<u16>, Outcome) {
        let outcome = self.receive(from_scscf(), message);
        (outcome.to(S_CSCF).first().and_then(|message| message.status()), outcome)
    }
}

const ACCEPTED: &str = "Contact: <sip:scscf.ims.example:5060>\r\nExpires: 600600\r\n";

#[test]
fn reg_12_the_first_registration_leads_to_a_subscription_longer_than_it() {
    let mut bench = Bench::new();
    let (first, verify, asked) = bench.registered_with_profile(0);
    assert_eq!(asked.method(), Method::Subscribe);
    assert_eq!(asked.request_uri(), Some("sip:alice@ims.example"));
    assert_eq!((asked.expires(), event_package(&asked)), (Some(600_600), Some("reg")));
    assert_eq!(asked.first(Name::PAssertedIdentity), Some("<sip:term@10.8.0.1:5060>"), "as in Path");
    assert_eq!(asked.first(Name::Route), Some("<sip:orig@scscf.ims.example;lr>"));
    let (second, verify) = bench.re_challenge(&first, 1, &verify, "n");
    let forwarded = bench.over_set(&second, 1, &verify, r#"nonce="n", response="0123""#);
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 200, "", PROFILE));
    assert!(outcome.to(S_CSCF).is_empty(), "one for each user");
}

/// The network has ended the registration, the UE was faster than our NOTIFY of that.
#[test]
fn a_late_word_of_an_earlier_registration_does_not_end_the_new_one() {
    let mut bench = Bench::new();
    let (_, _, earlier) = bench.registered_with_profile(0);
    let registered = document(0, ContactEvent::Registered, None);
    assert_eq!(bench.notify(notify(&earlier, 1, "active", &registered)).0, Some(200));
    let (_, _, asked) = bench.registered_with_profile(1);
    assert_ne!(asked.call_id(), earlier.call_id(), "subscribed anew");
    let over = document(1, ContactEvent::Deactivated, None);
    assert_eq!(bench.notify(notify(&earlier, 2, "terminated", &over)).0, Some(481));
    assert!(bench.pcscf.registration(&device()).is_some());
}

#[test]
fn reg_13_a_shortened_registration_shortens_the_sets() {
    let mut bench = Bench::new();
    let (associations, _, asked) = bench.registered_with_profile(0);
    let accepted = answer(&asked, 200, "", ACCEPTED);
    let accepted = String::from_utf8(accepted.bytes().to_vec()).unwrap();
    let accepted = accepted.replace("To: <sip:alice@ims.example>", "To: <sip:alice@ims.example>;tag=s");
    bench.receive(from_scscf(), Message::parse(accepted.into_bytes()).unwrap());
    let full = document(0, ContactEvent::Registered, Some(600_000));
    assert_eq!(bench.notify(notify(&asked, 1, "active", &full)).0, Some(200));
    let shortened = document(1, ContactEvent::Shortened, Some(300));
    let (status, outcome) = bench.notify(notify(&asked, 2, "active", &shortened));
    assert_eq!(status, Some(200));
    assert_eq!(outcome.extended, [(associations, Duration::from_secs(300 + 30 + 60))]);
    assert!(bench.wait(Duration::from_secs(329)).removed.is_empty());
    assert_eq!(bench.wait(Duration::from_secs(2)).removed, [associations], "the UE did not come back");
    assert_eq!(bench.pcscf.registration(&device()), None);
}

#[test]
fn reg_14_a_registration_that_the_network_ends_takes_its_sets_along_after_a_while() {
    let mut bench = Bench::new();
    let (associations, _, asked) = bench.registered_with_profile(0);
    let over = document(0, ContactEvent::Rejected, None);
    let (status, outcome) = bench.notify(notify(&asked, 1, "terminated;reason=noresource", &over));
    assert_eq!(status, Some(200));
    // SA-15: what still must be said over it is said: the UE's NOTIFY may come after ours.
    assert_eq!(outcome.extended, [(associations, Duration::from_secs(128 + 60))]);
    assert!(outcome.removed.is_empty());
    assert_eq!(bench.pcscf.registration(&device()), None);
    assert_eq!(bench.wait(Duration::from_secs(129)).removed, [associations]);
}

#[test]
fn a_notify_that_is_no_part_of_it_is_refused_and_teaches_nothing() {
    let mut bench = Bench::new();
    let (_, _, asked) = bench.registered_with_profile(0);
    let over = document(5, ContactEvent::Rejected, None);
    let first = notify(&asked, 7, "active", &document(5, ContactEvent::Registered, None));
    assert_eq!(bench.notify(first).0, Some(200));
    let text = |message: Message| String::from_utf8(message.bytes().to_vec()).unwrap();
    let parse = |text: String| Message::parse(text.into_bytes()).unwrap();
    let other_call = text(notify(&asked, 8, "active", &over)).replace(asked.call_id(), "other");
    assert_eq!(bench.notify(parse(other_call)).0, Some(481));
    let other_tag = text(notify(&asked, 9, "active", &over)).replace("tag=s", "tag=z");
    assert_eq!(bench.notify(parse(other_tag)).0, Some(481));
    let other_event = text(notify(&asked, 10, "active", &over)).replace("Event: reg", "Event: presence");
    assert_eq!(bench.notify(parse(other_event)).0, Some(489));
    assert_eq!(bench.notify(notify(&asked, 6, "active", &over)).0, Some(500), "CSeq");
    let garbage = notify(&asked, 11, "active", "<reginfo");
    assert_eq!(bench.notify(garbage).0, Some(200), "the next one may be readable");
    assert_eq!(bench.notify(notify(&asked, 12, "active", &over)).0, Some(200), "an old version is no error");
    assert!(bench.pcscf.registration(&device()).is_some());
}

#[test]
fn a_refused_subscription_is_told_and_costs_nothing() {
    let mut bench = Bench::new();
    let (_, _, asked) = bench.registered_with_profile(0);
    bench.receive(from_scscf(), answer(&asked, 403, "", ""));
    assert!(bench.events.iter().any(|event| matches!(event, Event::NotSubscribed { .. })));
    assert!(bench.pcscf.registration(&device()).is_some());
    let over = document(0, ContactEvent::Rejected, None);
    assert_eq!(bench.notify(notify(&asked, 1, "active", &over)).0, Some(481));
}

/// The UE has registered anew while our first SUBSCRIBE was under way: its answer is none to the second.
#[test]
fn a_late_answer_to_an_earlier_subscribe_does_not_touch_the_new_one() {
    for status in [200, 403] {
        let mut bench = Bench::new();
        let (_, _, earlier) = bench.registered_with_profile(0);
        let (_, _, asked) = bench.registered_with_profile(1);
        assert_ne!(asked.call_id(), earlier.call_id());
        bench.receive(from_scscf(), answer(&earlier, status, "", ACCEPTED));
        let told = bench.events.iter().any(|event| matches!(event, Event::NotSubscribed { .. }));
        assert!(!told, "{status}");
        let full = document(0, ContactEvent::Registered, None);
        assert_eq!(bench.notify(notify(&asked, 1, "active", &full)).0, Some(200), "{status}");
    }
}
