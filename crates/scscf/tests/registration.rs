//! Registration, renewal and de-registration.

mod net;

use aka::DigestAlgorithm;
use cx::{BaseCode, CxFailure, ExperimentalCode};
use net::{HOME, IMPU, Net, Register, TEL, config, credentials, flow, lines, nonce};
use scscf::{Event, Reauthenticate, Refusal};
use sip::{Flow, Name, NameAddr};
use std::time::Duration;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn ovw_1_one_registration_end_to_end() {
    let mut net = Net::new(config());
    let first = Register::first();
    let challenge = net.register(&first);
    assert_eq!((challenge.status(), challenge.reason()), (Some(401), Some("Unauthorized")));
    let parsed = challenge.www_authenticate().unwrap().unwrap();
    assert_eq!(
        (parsed.realm.as_ref(), parsed.algorithm.as_deref(), parsed.qop),
        (HOME, Some("AKAv1-MD5"), None)
    );
    assert!(parsed.keys.is_some());
    let second = net.protected(&first, &challenge);
    let ok = net.register(&second);
    assert_eq!(ok.status(), Some(200));
    assert_eq!(lines(&ok, Name::Via).len(), 2);
    assert_eq!(
        ok.values(Name::Path).collect::<Vec<_>>(),
        ["<sip:term@pcscf.visited.example;lr>", "<sip:second.example;lr>"]
    );
    let service_route = format!("<sip:orig@scscf.{HOME}:6060;lr>");
    assert_eq!(lines(&ok, Name::ServiceRoute), [service_route.as_str()]);
    let contact = NameAddr::parse(ok.first(Name::Contact).unwrap()).unwrap();
    assert_eq!((contact.uri, contact.expires()), ("sip:10.9.0.2:7002", Some(600_000)));
    assert_eq!(contact.params.value("+sip.instance"), Some("\"<urn:gsma:imei:1-2-0>\""));
    let vector = sip::PChargingVector::parse(ok.first(Name::PChargingVector).unwrap()).unwrap();
    assert_eq!(
        (vector.icid_value.as_ref(), vector.orig_ioi.as_deref(), vector.term_ioi.as_deref()),
        ("icid1", Some("visited.example"), Some(HOME))
    );
    assert_eq!(net.asked, ["MAR", "Registration"]);
    assert!(matches!(net.events[..], [Event::Challenged { .. }, Event::Registered { expires: 600_000, .. }]));
    let users: Vec<_> = net.scscf.registrations(net.now).collect();
    let contact = &users[0].contacts[0];
    assert_eq!((users.len(), contact.path.len(), contact.remaining), (1, 2, seconds(600_000)));
}

#[test]
fn reg_10_associated_uris_default_first_barred_excluded() {
    for (barred, expected) in [(false, format!("<{IMPU}>, <{TEL}>")), (true, format!("<{TEL}>"))] {
        let mut net = Net::new(config());
        net.hss.barred = barred;
        let first = Register::first();
        let challenge = net.register(&first);
        let second = net.protected(&first, &challenge);
        let ok = net.register(&second);
        assert_eq!(ok.first(Name::PAssociatedUri), Some(expected.as_str()));
    }
}

#[test]
fn dig_11_qop_and_both_algorithms() {
    for algorithm in DigestAlgorithm::ALL {
        for qop in [false, true] {
            let mut net = Net::new(scscf::Config { algorithm, qop, ..config() });
            net.registered();
            assert_eq!(net.scscf.registered(), 1);
        }
    }
}

#[test]
fn dig_3_missing_authorization_derives_the_impi_from_to() {
    let mut net = Net::new(config());
    let first = Register { authorization: None, ..Register::first() };
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    assert_eq!(net.register(&second).status(), Some(200));
}

#[test]
fn sip_2_loss_and_retransmission_cost_no_second_vector() {
    let mut net = Net::new(config());
    let first = Register { branch: Some(1), ..Register::first() };
    net.held = Some(Vec::new());
    assert!(net.send(flow(), &first).is_empty());
    assert!(net.send(flow(), &first).is_empty(), "before the HSS answers");
    let challenge = net.release().remove(0);
    for _ in 0..3 {
        net.advance(seconds(1));
        let again = net.register(&first);
        assert_eq!(again.bytes(), challenge.bytes(), "the 401 was lost");
    }
    assert_eq!(net.mars(), 1);
    let second = Register { branch: Some(2), ..net.protected(&first, &challenge) };
    let ok = net.register(&second);
    assert_eq!(net.register(&second).bytes(), ok.bytes(), "the 200 was lost");
    assert_eq!(net.asked, ["MAR", "Registration"]);
}

#[test]
fn sip_12_a_slow_hss_draws_a_100_at_3_5_s() {
    let mut net = Net::new(config());
    net.held = Some(Vec::new());
    assert!(net.send(flow(), &Register::first()).is_empty());
    assert!(net.advance(Duration::from_millis(3499)).is_empty());
    let trying = net.advance(Duration::from_millis(1));
    assert_eq!(trying[0].status(), Some(100));
    assert_eq!(net.release()[0].status(), Some(401));
}

#[test]
fn reg_3_dig_9_renewal_without_challenge() {
    let mut net = Net::new(scscf::Config { reauthenticate: Reauthenticate::Never, ..config() });
    let second = net.registered();
    net.advance(seconds(1000));
    // The stale nonce and response are still in it.
    let ok = net.register(&Register { expires: Some(7200), ..second.next() });
    assert_eq!(ok.status(), Some(200));
    assert_eq!(NameAddr::parse(ok.first(Name::Contact).unwrap()).unwrap().expires(), Some(7200));
    assert_eq!(net.asked, ["MAR", "Registration"], "nothing was asked");
    net.advance(seconds(7200 + 9));
    assert_eq!(net.scscf.registered(), 1);
    net.advance(seconds(1));
    assert_eq!(net.scscf.registered(), 0);
    assert_eq!(net.asked[2..], ["TimeoutDeregistration"]);
}

#[test]
fn reg_4_renewal_with_challenge_ignores_stale_material() {
    let mut net = Net::new(config());
    let second = net.registered();
    net.advance(seconds(500));
    let third = second.next();
    let challenge = net.register(&third);
    assert_eq!(challenge.status(), Some(401));
    let fourth = net.protected(&third, &challenge);
    assert_eq!(net.register(&fourth).status(), Some(200));
    assert_eq!(net.asked, ["MAR", "Registration", "MAR", "ReRegistration"]);
}

#[test]
fn reg_2_an_unprotected_register_is_challenged_and_changes_nothing() {
    let mut net = Net::new(scscf::Config { reauthenticate: Reauthenticate::Never, ..config() });
    net.registered();
    let before: Vec<_> = net.scscf.registrations(net.now).collect();
    for protected in [Some("no"), None, Some("maybe")] {
        let unprotected = Register {
            call_id: "other".into(),
            protected,
            contact: "<sip:10.66.6.6>".into(),
            ..Register::first()
        };
        assert_eq!(net.register(&unprotected).status(), Some(401));
    }
    let after: Vec<_> = net.scscf.registrations(net.now).collect();
    assert_eq!(before, after);
}

#[test]
fn reg_16_only_trusted_peers_are_served() {
    let mut net = Net::new(config());
    let ue = Flow::udp("192.0.2.3:6060".parse().unwrap(), "203.0.113.9:5060".parse().unwrap());
    let answers = net.send(ue, &Register { protected: Some("yes"), ..Register::first() });
    assert_eq!(answers[0].status(), Some(403));
    assert!(net.asked.is_empty());
}

#[test]
fn reg_7_interval_too_brief_then_accepted_and_clamped() {
    let mut net = Net::new(scscf::Config { min_expires: 300, max_expires: 3600, ..config() });
    let refused = net.register(&Register { expires: Some(299), ..Register::first() });
    assert_eq!((refused.status(), refused.first(Name::MinExpires)), (Some(423), Some("300")));
    let first = Register { cseq: 2, expires: Some(300), ..Register::first() };
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    let ok = net.register(&Register { expires: Some(9000), ..second });
    assert_eq!(NameAddr::parse(ok.first(Name::Contact).unwrap()).unwrap().expires(), Some(3600));
}

#[test]
fn sip_13_expires_of_the_contact_wins_and_the_default_is_configured() {
    for (contact, expires, told) in [
        ("<sip:10.9.0.2:7002>;expires=1000", Some(2000), 1000),
        ("<sip:10.9.0.2:7002>", Some(2000), 2000),
        ("<sip:10.9.0.2:7002>", None, 3600),
        ("<sip:10.9.0.2:7002>;expires=oops", None, 3600),
    ] {
        let mut net = Net::new(config());
        let first = Register { contact: contact.into(), expires, ..Register::first() };
        let challenge = net.register(&first);
        let second = net.protected(&first, &challenge);
        let ok = net.register(&second);
        assert_eq!(NameAddr::parse(ok.first(Name::Contact).unwrap()).unwrap().expires(), Some(told));
    }
}

#[test]
fn sip_13_star_needs_expires_zero_and_loneliness() {
    let mut net = Net::new(config());
    let second = net.registered();
    for (contact, expires) in
        [("*", Some(60)), ("*", None), ("*, <sip:a@b>", Some(0)), ("nonsense", Some(60))]
    {
        let refused = net.register(&Register { contact: contact.into(), expires, ..second.next() });
        assert_eq!(refused.status(), Some(400), "{contact}");
    }
    let two = net.register(&Register { contact: "<sip:a@b>, <sip:c@d>".into(), ..second.next() });
    assert_eq!(two.status(), Some(403));
    assert_eq!(net.scscf.registered(), 1);
    let ok = net.register(&Register { contact: "*".into(), expires: Some(0), ..second.next() });
    assert_eq!((ok.status(), ok.first(Name::Contact)), (Some(200), None));
    assert_eq!(net.scscf.registered(), 0);
}

#[test]
fn sip_13_cseq_must_grow_within_a_call_id() {
    let mut net = Net::new(config());
    let second = net.registered();
    for cseq in [1, 2] {
        let refused = net.register(&Register { cseq, branch: None, ..second.clone() });
        assert_eq!(refused.status(), Some(500));
    }
    let other = Register { cseq: 1, call_id: "new".into(), ..second };
    assert_eq!(net.register(&other).status(), Some(401));
}

#[test]
fn sip_13_no_contact_lists_the_bindings() {
    let mut net = Net::new(config());
    let second = net.registered();
    net.advance(seconds(100));
    let ok = net.register(&Register { contact: String::new(), expires: None, ..second.next() });
    assert_eq!(ok.status(), Some(200));
    assert_eq!(NameAddr::parse(ok.first(Name::Contact).unwrap()).unwrap().expires(), Some(599_900));
}

#[test]
fn reg_15_user_deregistration_and_a_second_one() {
    let mut net = Net::new(config());
    let second = net.registered();
    let stranger = Register { contact: "<sip:10.9.0.99>".into(), expires: Some(0), ..second.next() };
    assert_eq!(net.register(&stranger).status(), Some(481));
    let third = Register { expires: Some(0), ..second.next() };
    assert_eq!(net.register(&third).status(), Some(200));
    assert_eq!(net.asked[2..], ["UserDeregistration"]);
    assert_eq!(net.register(&third.next()).status(), Some(481));
    net.advance(seconds(700_000));
    assert_eq!(net.asked.len(), 3, "no expiry of what is gone");
}

#[test]
fn reg_9_deregistration_needs_protection() {
    let mut net = Net::new(config());
    let second = net.registered();
    let unprotected = Register { expires: Some(0), protected: Some("no"), ..second.next() };
    let challenge = net.register(&unprotected);
    assert_eq!((challenge.status(), net.scscf.registered()), (Some(401), 1));
    let answer = net.protected(&unprotected, &challenge);
    assert_eq!((net.register(&answer).status(), net.scscf.registered()), (Some(200), 0));
}

#[test]
fn reg_9_a_protected_register_of_an_unknown_user() {
    let mut net = Net::new(config());
    let refused = net.register(&Register { protected: Some("yes"), ..Register::first() });
    assert_eq!(refused.status(), Some(500));
    assert_eq!(net.mars(), 0);
}

#[test]
fn reg_8_hss_and_roaming_refusals() {
    let base = |code| CxFailure::Base(code);
    let cx = |code| CxFailure::Experimental(code);
    for (failure, status) in [
        (cx(ExperimentalCode::UserUnknown), 403),
        (cx(ExperimentalCode::IdentitiesDontMatch), 403),
        (cx(ExperimentalCode::AuthSchemeNotSupported), 403),
        (base(BaseCode::AuthorizationRejected), 403),
        (base(BaseCode::UnableToComply), 500),
    ] {
        let mut net = Net::new(config());
        net.hss.failure = Some(failure);
        assert_eq!(net.register(&Register::first()).status(), Some(status));
    }
    let allowed = Some(vec!["home.example".to_owned()]);
    let mut net = Net::new(scscf::Config { visited_networks: allowed, ..config() });
    assert_eq!(net.register(&Register::first()).status(), Some(403));
    assert_eq!(net.mars(), 0);
}

#[test]
fn cx_12_a_lost_hss_leaves_no_half_registration() {
    let mut net = Net::new(config());
    net.hss.unreachable = true;
    let first = Register::first();
    assert_eq!(net.register(&first).status(), Some(480));
    net.hss.unreachable = false;
    let first = first.next();
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    net.hss.unreachable = true;
    assert_eq!(net.register(&second).status(), Some(480));
    assert_eq!(net.scscf.registered(), 0);
}

#[test]
fn an_unknown_require_and_a_request_for_the_s_cscf() {
    let mut net = Net::new(config());
    let refused = net.register(&Register { more: "Require: outbound, x\r\n".into(), ..Register::first() });
    assert_eq!((refused.status(), refused.first(Name::Unsupported)), (Some(420), Some("outbound, x")));
    let options = Register::first().text(5).replace("REGISTER", "OPTIONS");
    let refused = net.send_text(flow(), &options).remove(0);
    assert_eq!(refused.status(), Some(404), "it is for the S-CSCF itself");
}

#[test]
fn tables_are_bounded() {
    let mut config = config();
    config.limits.challenges = 1;
    let mut net = Net::new(config);
    assert_eq!(net.register(&Register::first()).status(), Some(401));
    let other = credentials("", "response=\"\"").replace("001010000000001@", "001010000000002@");
    let other = Register { authorization: Some(other), ..Register::first() };
    let refused = net.register(&other);
    assert_eq!((refused.status(), refused.first(Name::RetryAfter)), (Some(503), Some("30")));
    assert!(
        net.events.iter().any(|event| matches!(event, Event::Refused { refusal: Refusal::Overloaded, .. }))
    );
    assert_eq!(
        net.register(&Register::first().next()).status(),
        Some(401),
        "a known user still gets through"
    );
}

#[test]
fn reg_6_a_second_initial_register_while_the_first_is_fetching() {
    let mut net = Net::new(config());
    net.held = Some(Vec::new());
    assert!(net.send(flow(), &Register::first()).is_empty());
    assert!(net.send(flow(), &Register { call_id: "call-2".into(), ..Register::first() }).is_empty());
    let answers = net.release();
    assert_eq!(answers.iter().map(|answer| answer.status()).collect::<Vec<_>>(), [Some(500), Some(401)]);
    assert!(!nonce(&answers[1]).is_empty());
}
