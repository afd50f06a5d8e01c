//! Users who do not want to be known: by their subscription, and under a pseudonym.

mod net;

use cx::Anonymity;
use net::subscriber::Subscribe;
use net::traffic::{Asks, serving, values, with_user};
use net::{IMPU, Net, Register, TEL};
use scscf::{Config, Event, Refusal, Scscf};
use sip::{Message, Name};
use std::time::Duration;

const PSEUDONYM: &str = "sip:somebody@ims.mnc001.mcc001.3gppnetwork.org";

/// A user whose subscription wants this.
fn wants(anonymity: &str) -> Net {
    let mut net = Net::new(serving());
    net.hss.anonymity = Anonymity::parse(anonymity).unwrap();
    net.registered();
    net
}

#[test]
fn prv_10_the_subscription_adds_to_privacy_and_none_is_obeyed() {
    for (anonymity, said, expected) in [
        ("none", None, None),
        ("user", None, Some("user")),
        ("id", None, Some("id")),
        ("both", None, Some("user;id")),
        ("id", Some("user;critical"), Some("user;id;critical")),
        ("both", Some("id"), Some("id;user")),
        ("both", Some("none"), Some("none")),
        ("none", Some("header"), Some("header")),
    ] {
        let mut net = wants(anonymity);
        let more = said.map(|value| format!("Privacy: {value}\r\n")).unwrap_or_default();
        let (_, sent) = net.goes_on(&Asks { more, ..Asks::from_user("MESSAGE") });
        assert_eq!(sent.first(Name::Privacy), expected, "{anonymity} {said:?}");
        assert_eq!(sent.from().unwrap().uri, IMPU, "the last hop replaces it, not the S-CSCF");
        assert_eq!(sent.values(Name::PAssertedIdentity).count(), 2);
    }
    let mut net = wants("id");
    let wrong = Asks { more: "Privacy: none;id\r\n".into(), ..Asks::from_user("MESSAGE") };
    assert_eq!(net.refused(&wrong), 400);
    assert!(matches!(net.events.last(), Some(Event::Refused { refusal: Refusal::PrivacyMalformed, .. })));
}

#[test]
fn prv_10_a_user_taken_over_stays_anonymous() {
    let config = Config { restoration: Some(Duration::from_secs(2)), ..serving() };
    let (mut net, _) = with_user(config.clone());
    net.hss.anonymity = Anonymity::parse("both").unwrap();
    net.scscf = Scscf::new(config, [9; 32]);
    net.wait = None;
    let (_, sent) = net.goes_on(&Asks::from_user("INVITE"));
    assert_eq!(sent.first(Name::Privacy), Some("user;id"));
}

#[test]
fn prv_10_calls_to_a_user_are_not_touched() {
    let mut net = Net::new(serving());
    net.hss.anonymity = Anonymity::parse("both").unwrap();
    let first = Register { path: Some("<sip:term@192.0.2.1:5060;lr>"), ..Register::first() };
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    net.register(&second);
    let (_, sent) = net.goes_on(&Asks::to_user("MESSAGE"));
    assert_eq!(sent.first(Name::Privacy), None);
}

/// Neither the one name nor the other, or only one of the two.
fn tells_no_link(message: &Message) -> bool {
    let text = String::from_utf8(message.bytes().to_vec()).unwrap();
    let real = text.contains(IMPU) || text.contains(TEL);
    !(real && text.contains(PSEUDONYM))
}

#[test]
fn prv_16_a_pseudonym_in_its_own_set_is_told_with_no_other_name() {
    let mut net = Net::new(serving());
    let path = Some("<sip:term@192.0.2.1:5060;lr>");
    let first = Register { path, ..Register::first() };
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    let real = net.register(&second);
    assert_eq!(real.first(Name::PAssociatedUri), Some(&*format!("<{IMPU}>, <{TEL}>")));
    net.watched();
    // The same private identity.
    net.hss.identities = Some(vec![(PSEUDONYM, false)]);
    let first = Register { impu: PSEUDONYM.into(), call_id: "call-2".into(), path, ..Register::first() };
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    let answer = net.register(&second);
    assert_eq!(answer.first(Name::PAssociatedUri), Some(&*format!("<{PSEUDONYM}>")));
    let watching = Subscribe {
        uri: PSEUDONYM.into(),
        call_id: "sub-2".into(),
        asserted: Some(format!("<{PSEUDONYM}>")),
        ..Subscribe::of_ue()
    };
    assert_eq!(net.subscribe(&watching).status(), Some(200));
    assert!(!net.notifies.is_empty());
    let told: Vec<_> = net.notifies.iter().filter(|(_, notify)| !body_tells_no_link(notify)).collect();
    assert!(told.is_empty(), "{told:?}");
    let asks = Asks { asserted: vec![format!("<{PSEUDONYM}>")], ..Asks::from_user("MESSAGE") };
    let (_, sent) = net.goes_on(&asks);
    assert_eq!(values(&sent, Name::PAssertedIdentity), [format!("<{PSEUDONYM}>")]);
    assert!(tells_no_link(&answer) && tells_no_link(&real));
}

/// PRV-16: over the associations of the real identity, with the last answer repeated: a challenge, and no word of the other.
#[test]
fn prv_16_a_protected_register_of_a_pseudonym_is_challenged() {
    let mut net = Net::new(serving());
    let first = Register::first();
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    net.register(&second);
    net.hss.identities = Some(vec![(PSEUDONYM, false)]);
    let beside = Register { impu: PSEUDONYM.into(), call_id: "call-2".into(), ..second.next() };
    let challenge = net.register(&beside);
    assert_eq!(challenge.status(), Some(401));
    let answering = net.protected(&beside, &challenge);
    let answer = net.register(&answering);
    assert_eq!(answer.first(Name::PAssociatedUri), Some(&*format!("<{PSEUDONYM}>")));
    assert!(tells_no_link(&answer));
}

fn body_tells_no_link(notify: &Message) -> bool {
    let text = String::from_utf8(notify.body().to_vec()).unwrap();
    !((text.contains(IMPU) || text.contains(TEL)) && text.contains(PSEUDONYM))
}
