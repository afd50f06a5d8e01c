//! The reg event package: who may watch, what is told, and how subscriptions end.

mod net;

use net::subscriber::{P_CSCF, Subscribe, p_cscf_flow};
use net::{HOME, IMPU, Net, Register, TEL, config, flow, lines};
use scscf::{Event, Reauthenticate, Refusal, SubscriptionEnd};
use sip::reginfo::{ContactEvent, DEFAULT_EXPIRES, Reginfo};
use sip::{Flow, Name, SubscriptionState, Transport};
use std::time::Duration;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn registered() -> (Net, Register) {
    let mut net = Net::new(config());
    let second = net.registered();
    net.sent.clear();
    (net, second)
}

const UE_CONTACT: &str = "sip:10.9.0.2:7002";

/// SIP-18: 200 first, then NOTIFY at once, with the tags of the dialog.
#[test]
fn reg_12_the_first_notify_tells_all_identities_of_the_set() {
    let (mut net, _) = registered();
    let answer = net.subscribe(&Subscribe::of_ue());
    assert_eq!((answer.status(), answer.first(Name::Expires)), (Some(200), Some("600000")));
    let contact = format!("<sip:scscf.{HOME}:6060>");
    assert_eq!(answer.first(Name::Contact), Some(contact.as_str()));
    assert_eq!(lines(&answer, Name::RecordRoute), ["<sip:192.0.2.1:5060;lr>", "<sip:10.9.0.1:6100;lr>"]);
    assert_eq!(net.sent, ["200 SUBSCRIBE", "NOTIFY"], "the answer leaves first, NOTIFY at once");

    let (flow, notify) = &net.notifies[0];
    assert_eq!(*flow, p_cscf_flow());
    assert_eq!(notify.request_uri(), Some("sip:001010000000001@10.9.0.2:7100"));
    assert_eq!(lines(notify, Name::Route), ["<sip:192.0.2.1:5060;lr>", "<sip:10.9.0.1:6100;lr>"]);
    let (from, to) = (notify.from().unwrap(), notify.to().unwrap());
    assert_eq!((from.uri, from.tag()), (IMPU, answer.to().unwrap().tag()));
    assert_eq!((to.uri, to.tag(), notify.call_id()), (IMPU, Some("watcher"), "sub-ue"));
    assert_eq!(notify.first(Name::ContentType), Some("application/reginfo+xml"));
    assert_eq!(
        (notify.first(Name::Event), notify.first(Name::Contact)),
        (Some("reg"), Some(contact.as_str()))
    );
    let state = SubscriptionState::of(notify).unwrap();
    assert_eq!((state.state, state.expires), ("active", Some(600_000)));

    let told = net.take_notifies("sub-ue").remove(0);
    assert_eq!((told.version, told.full), (0, true));
    let contact = |event| vec![(UE_CONTACT.to_owned(), event, Some(600_000), None)];
    assert_eq!(
        told.aors,
        [
            (IMPU.to_owned(), "active".to_owned(), contact(ContactEvent::Registered)),
            (TEL.to_owned(), "active".to_owned(), contact(ContactEvent::Created)),
        ],
        "one element an identity, none for the barred one"
    );
}

#[test]
fn reg_12_versions_count_up_full_then_partial_and_ids_stay() {
    let mut net = Net::new(scscf::Config { reauthenticate: Reauthenticate::Never, ..config() });
    let second = net.registered();
    net.subscribe(&Subscribe::of_ue());
    net.advance(seconds(100));
    net.sent.clear();
    assert_eq!(net.register(&Register { expires: Some(7200), ..second.next() }).status(), Some(200));
    assert_eq!(net.sent, ["200 REGISTER", "NOTIFY"]);
    let ids = |at: usize| -> Vec<(String, String)> {
        let info = Reginfo::parse(net.notifies[at].1.body()).unwrap();
        info.registrations.iter().map(|one| (one.id.clone(), one.contacts[0].id.clone())).collect()
    };
    assert_eq!(ids(0), ids(1));
    let mut all: Vec<String> = ids(0).into_iter().flat_map(|(one, two)| [one, two]).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4, "every id is unique in the document");
    let told = net.take_notifies("sub-ue");
    assert_eq!(told.iter().map(|one| (one.version, one.full)).collect::<Vec<_>>(), [(0, true), (1, false)]);
    assert_eq!(told[1].aors.len(), 2);
    assert_eq!(told[1].aors[1].2, [(UE_CONTACT.to_owned(), ContactEvent::Refreshed, Some(7200), None)]);
}

#[test]
fn reg_12_the_subscription_ends_with_the_last_contact() {
    let (mut net, second) = registered();
    net.watched();
    net.sent.clear();
    assert_eq!(net.register(&Register { expires: Some(0), ..second.next() }).status(), Some(200));
    assert_eq!(net.sent, ["200 REGISTER", "NOTIFY", "NOTIFY"], "the answer leaves before the NOTIFYs");
    for call_id in ["sub-ue", "sub-pcscf"] {
        let told = net.take_notifies(call_id).remove(0);
        assert_eq!((told.version, told.full, told.state.as_str()), (1, false, "noresource"));
        assert_eq!(told.events(), [(UE_CONTACT, ContactEvent::Unregistered)]);
        assert!(told.aors.iter().all(|(_, state, _)| state == "terminated"));
    }
    net.advance(seconds(200));
    assert_eq!(net.wait, None, "nothing of the subscriptions is left");
}

#[test]
fn reg_12_expiry_is_told() {
    let (mut net, _) = registered();
    net.subscribe(&Subscribe { expires: Some(700_000), ..Subscribe::of_ue() });
    net.notifies.clear();
    net.advance(seconds(600_009));
    assert!(net.notifies.is_empty());
    net.advance(seconds(1));
    let told = net.take_notifies("sub-ue").remove(0);
    assert_eq!(
        (told.state.as_str(), told.events()),
        ("noresource", vec![(UE_CONTACT, ContactEvent::Expired)])
    );
}

#[test]
fn reg_12_the_p_cscf_of_the_registration_may_watch() {
    let (mut net, _) = registered();
    let answer = net.subscribe(&Subscribe::of_p_cscf());
    assert_eq!(answer.status(), Some(200));
    let (flow, notify) = &net.notifies[0];
    assert_eq!((*flow, notify.request_uri()), (p_cscf_flow(), Some("sip:192.0.2.1:5060")));
    assert_eq!(notify.to().unwrap().uri, P_CSCF);
    assert!(
        net.events
            .iter()
            .any(|event| matches!(event, Event::Subscribed { subscriber, .. } if subscriber == P_CSCF))
    );
    // By the URI of Path as well.
    let asserted = Some("<sip:term@pcscf.visited.example>".to_owned());
    assert_eq!(net.subscribe(&Subscribe { asserted, ..Subscribe::of_p_cscf() }).status(), Some(200));
}

#[test]
fn reg_12_nobody_else_may_watch() {
    let (mut net, _) = registered();
    let cases = [
        (Some("<sip:somebody.else.example>"), 403),
        (Some("<sip:001010000000002@ims.mnc001.mcc001.3gppnetwork.org>"), 403),
        // The name of the P-CSCF with a user part is not the P-CSCF.
        (Some("<sip:eve@pcscf.visited.example>"), 403),
        // A barred identity of the set says nothing for anybody.
        (Some("<sip:barred@ims.mnc001.mcc001.3gppnetwork.org>"), 403),
        (None, 403),
        (Some("<tel:+4930123>"), 200),
    ];
    for (asserted, status) in cases {
        let asserted = asserted.map(str::to_owned);
        let answer = net.subscribe(&Subscribe { asserted: asserted.clone(), ..Subscribe::of_ue() });
        assert_eq!(answer.status(), Some(status), "{asserted:?}");
    }
    let barred = "sip:barred@ims.mnc001.mcc001.3gppnetwork.org";
    assert_eq!(net.subscribe(&Subscribe { uri: barred.into(), ..Subscribe::of_ue() }).status(), Some(403));
    let outside = Flow::udp("192.0.2.3:6060".parse().unwrap(), "203.0.113.9:5060".parse().unwrap());
    assert_eq!(net.subscribe_over(outside, &Subscribe::of_ue()).status(), Some(403));
    assert_eq!(net.notifies.len(), 1, "for the one that was allowed");
}

#[test]
fn a_subscribe_that_makes_no_sense_is_refused() {
    let (mut net, _) = registered();
    let of_ue = Subscribe::of_ue;
    let unknown = "sip:nobody@ims.mnc001.mcc001.3gppnetwork.org";
    for (subscribe, status) in [
        (Subscribe { event: None, ..of_ue() }, 489),
        (Subscribe { uri: unknown.into(), ..of_ue() }, 404),
        (Subscribe { uri: "http://x".into(), ..of_ue() }, 400),
        (Subscribe { more: "Require: sec-agree\r\n".into(), ..of_ue() }, 420),
        (Subscribe { more: "Accept: text/plain\r\n".into(), ..of_ue() }, 406),
        (Subscribe { more: "Accept: text/plain, application/*;q=0.5\r\n".into(), ..of_ue() }, 200),
        (Subscribe { more: String::new(), ..of_ue() }, 200),
        (Subscribe { route: Some("<sip:other.example;lr>".into()), ..of_ue() }, 400),
        (Subscribe { route: None, ..of_ue() }, 200),
        (Subscribe { contact: "nonsense".into(), ..of_ue() }, 400),
        // NOTIFY goes to CSCFs of ours only, and needs an address.
        (Subscribe { record_route: vec!["<sip:203.0.113.9;lr>"], ..of_ue() }, 403),
        (Subscribe { record_route: vec!["<sip:pcscf.visited.example;lr>"], ..of_ue() }, 403),
        (Subscribe { record_route: Vec::new(), ..of_ue() }, 403),
        (Subscribe { to_tag: Some("0123456789abcdef".into()), ..of_ue() }, 481),
        (Subscribe { to_tag: Some("strange".into()), ..of_ue() }, 481),
    ] {
        let answer = net.subscribe(&subscribe);
        assert_eq!(answer.status(), Some(status), "{:?} {}", subscribe.event, subscribe.more);
        match status {
            489 => assert_eq!(answer.first(Name::AllowEvents), Some("reg")),
            406 => assert_eq!(answer.first(Name::Accept), Some("application/reginfo+xml")),
            420 => assert_eq!(answer.first(Name::Unsupported), Some("sec-agree")),
            _ => {}
        }
    }
    assert_eq!(net.notifies.len(), 3);
}

#[test]
fn reg_7_bounds_of_a_subscription() {
    let (mut net, _) = registered();
    let brief = net.subscribe(&Subscribe { expires: Some(59), ..Subscribe::of_ue() });
    assert_eq!((brief.status(), brief.first(Name::MinExpires)), (Some(423), Some("60")));
    for (asked, given) in [(Some(60), 60), (Some(900_000), 700_000), (None, DEFAULT_EXPIRES)] {
        let answer = net.subscribe(&Subscribe { expires: asked, ..Subscribe::of_ue() });
        assert_eq!(answer.first(Name::Expires), Some(given.to_string().as_str()));
    }
}

#[test]
fn expires_0_outside_a_dialog_fetches_once() {
    let (mut net, second) = registered();
    let answer = net.subscribe(&Subscribe { expires: Some(0), ..Subscribe::of_ue() });
    assert_eq!((answer.status(), answer.first(Name::Expires)), (Some(200), Some("0")));
    let told = net.take_notifies("sub-ue").remove(0);
    assert_eq!((told.version, told.full, told.state.as_str(), told.aors.len()), (0, true, "timeout", 2));
    net.register(&Register { expires: Some(0), ..second.next() });
    assert!(net.notifies.is_empty());
}

/// SIP-18: Expires 0 ends with a last NOTIFY.
#[test]
fn a_refresh_prolongs_and_tells_all_again_and_0_ends() {
    let (mut net, second) = registered();
    let first = Subscribe { expires: Some(1000), ..Subscribe::of_ue() };
    let answer = net.subscribe(&first);
    net.advance(seconds(900));
    let refresh = first.next(&answer);
    assert_eq!(net.subscribe(&refresh).status(), Some(200));
    let told = net.take_notifies("sub-ue");
    assert_eq!((told.len(), told[1].version, told[1].full), (2, 1, true));
    assert_eq!(net.subscribe(&refresh).status(), Some(500), "its CSeq was there before");
    let stranger = Subscribe { call_id: "stranger".into(), cseq: 9, ..refresh.clone() };
    assert_eq!(net.subscribe(&stranger).status(), Some(481), "the tag alone is no dialog");
    net.advance(seconds(999));
    assert!(net.notifies.is_empty());
    let end = Subscribe { expires: Some(0), cseq: 10, ..refresh };
    assert_eq!(net.subscribe(&end).status(), Some(200));
    assert_eq!(net.take_notifies("sub-ue").remove(0).state, "timeout");
    assert_eq!(net.subscribe(&Subscribe { cseq: 11, ..end }).status(), Some(481));
    net.register(&Register { expires: Some(0), ..second.next() });
    assert!(net.notifies.is_empty());
}

#[test]
fn a_subscription_that_is_not_refreshed_ends() {
    let (mut net, _) = registered();
    net.subscribe(&Subscribe { expires: Some(1000), ..Subscribe::of_ue() });
    net.notifies.clear();
    net.advance(seconds(1000));
    let told = net.take_notifies("sub-ue");
    assert_eq!((told.len(), told[0].state.as_str(), told[0].full), (1, "timeout", true));
}

#[test]
fn one_notify_in_flight_and_what_comes_meanwhile_is_merged() {
    let mut net = Net::new(scscf::Config { reauthenticate: Reauthenticate::Never, ..config() });
    let second = net.registered();
    net.notify_status = None;
    net.subscribe(&Subscribe::of_ue());
    let third = Register { expires: Some(7200), ..second.next() };
    net.register(&third);
    net.register(&Register { expires: Some(3600), ..third.next() });
    assert_eq!(net.notifies.len(), 1, "the first has no answer yet");
    let first = net.notifies.remove(0).1;
    net.answer_notify(&first, 180);
    assert!(net.notifies.is_empty());
    net.answer_notify(&first, 200);
    let told = net.take_notifies("sub-ue");
    assert_eq!((told.len(), told[0].version), (1, 1));
    assert_eq!(told[0].aors[0].2, [(UE_CONTACT.to_owned(), ContactEvent::Refreshed, Some(3600), None)]);
}

#[test]
fn a_lost_notify_is_repeated_byte_for_byte_and_silence_ends_the_subscription() {
    let (mut net, second) = registered();
    net.notify_status = None;
    net.subscribe(&Subscribe::of_ue());
    net.advance(seconds(31));
    assert!(net.notifies.len() > 5);
    let first = net.notifies[0].1.bytes();
    assert!(net.notifies.iter().all(|(_, notify)| notify.bytes() == first));
    net.advance(seconds(1));
    let ended = SubscriptionEnd::Unreachable;
    assert!(
        net.events
            .iter()
            .any(|event| matches!(event, Event::SubscriptionEnded { cause, .. } if *cause == ended))
    );
    net.notifies.clear();
    net.register(&Register { expires: Some(0), ..second.next() });
    assert!(net.notifies.is_empty());
}

/// SIP-18: 481 ends it.
#[test]
fn reg_12_an_answer_that_ends_the_dialog_ends_the_subscription() {
    for (status, lives) in [(481, false), (489, false), (408, false), (500, true), (200, true)] {
        let (mut net, second) = registered();
        net.notify_status = Some(status);
        net.subscribe(&Subscribe::of_ue());
        net.notify_status = Some(200);
        net.notifies.clear();
        let challenge = net.register(&second.next());
        let answer = net.protected(&second.next(), &challenge);
        assert_eq!(net.register(&answer).status(), Some(200));
        let told = net.take_notifies("sub-ue");
        assert_eq!(told.len(), usize::from(lives), "{status}");
        if status == 500 {
            assert!(told[0].full, "what was not taken is told again");
        }
    }
}

#[test]
fn a_large_document_goes_over_tcp() {
    let (mut net, _) = registered();
    let long = "x".repeat(700);
    net.subscribe(&Subscribe { contact: format!("<sip:{long}@10.9.0.2:7100>"), ..Subscribe::of_ue() });
    let (flow, notify) = &net.notifies[0];
    assert!(notify.bytes().len() > 1300);
    assert_eq!(
        (flow.transport, flow.local.port(), flow.remote),
        (Transport::Tcp, 0, "192.0.2.1:5060".parse().unwrap())
    );
    assert_eq!(notify.top_via().unwrap().transport(), Some(Transport::Tcp));
}

#[test]
fn the_subscriptions_of_one_subscriber_are_bounded_and_never_push_out_another() {
    let mut config = config();
    config.limits.subscriptions_each = 4;
    let mut net = Net::new(config);
    net.registered();
    net.subscribe(&Subscribe::of_p_cscf());
    for n in 0..6 {
        let call_id = format!("sub-{n}");
        assert_eq!(net.subscribe(&Subscribe { call_id, ..Subscribe::of_ue() }).status(), Some(200));
    }
    for n in 0..6 {
        let told = net.take_notifies(&format!("sub-{n}"));
        let ended = told.iter().filter(|one| one.state == "rejected").count();
        assert_eq!(ended, usize::from(n < 2), "{n}");
    }
    assert!(net.take_notifies("sub-pcscf").iter().all(|one| one.state == "active"));
}

#[test]
fn the_table_of_subscriptions_is_bounded() {
    let mut config = config();
    config.limits.subscriptions = 1;
    let mut net = Net::new(config);
    net.registered();
    assert_eq!(net.subscribe(&Subscribe::of_ue()).status(), Some(200));
    let refused = net.subscribe(&Subscribe::of_p_cscf());
    assert_eq!((refused.status(), refused.first(Name::RetryAfter)), (Some(503), Some("30")));
}

#[test]
fn reg_2_a_failed_authentication_tells_nobody() {
    let (mut net, second) = registered();
    net.watched();
    let challenge = net.register(&second.next());
    let wrong = net::credentials(&net::nonce(&challenge), "response=\"0123456789abcdef0123456789abcdef\"");
    let wrong = Register { authorization: Some(wrong), ..second.next().next() };
    assert_eq!(net.register(&wrong).status(), Some(403));
    assert!(
        net.events
            .iter()
            .any(|event| matches!(event, Event::Refused { refusal: Refusal::ResponseWrong, .. }))
    );
    let unprotected =
        Register { expires: Some(0), protected: Some("no"), call_id: "x".into(), ..Register::first() };
    assert_eq!(net.send(flow(), &unprotected)[0].status(), Some(401));
    assert!(net.notifies.is_empty());
}
