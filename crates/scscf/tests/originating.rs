//! Requests that our users make.

mod net;

use net::subscriber::p_cscf_flow;
use net::traffic::{Asks, EXIT, I_CSCF, OTHER, OWN, serving, values, with_user};
use net::{BARRED, HOME, IMPU, Net, TEL};
use scscf::{Config, Event, Input, Refusal};
use sip::{Message, Name, Transport};
use std::time::Duration;

fn from_user(method: &'static str) -> Asks {
    Asks::from_user(method)
}

#[test]
fn sip_5_a_request_goes_to_the_i_cscf_without_our_route() {
    let (mut net, _) = with_user(serving());
    let more = "P-Charging-Vector: icid-value=i1;orig-ioi=visited.example\r\nP-Access-Network-Info: 3GPP\r\n";
    let sent = net.goes_on(&Asks { more: more.into(), body: "hello".into(), ..from_user("MESSAGE") });
    let (flow, message) = &sent;
    assert_eq!((flow.transport, flow.remote), (Transport::Udp, I_CSCF.parse().unwrap()));
    assert_eq!(message.request_uri(), Some(OTHER), "a telephone number in a SIP URI stays as it is");
    assert_eq!(values(message, Name::Route), [format!("<sip:{I_CSCF};lr>")]);
    assert_eq!(message.max_forwards(), Some(68));
    assert_eq!(values(message, Name::RecordRoute), [""; 0], "MESSAGE makes no dialog");
    assert_eq!(message.values(Name::Via).count(), 3);
    assert!(message.first(Name::Via).unwrap().starts_with(&format!("SIP/2.0/UDP {OWN};branch=z9hG4bK")));
    let vector = message.first(Name::PChargingVector).unwrap();
    assert_eq!(vector, format!("icid-value=\"i1\";orig-ioi=\"{HOME}\""));
    assert_eq!(message.first(Name::PAccessNetworkInfo), Some("3GPP"));
    assert_eq!(message.body(), b"hello");
    let answers = net.answers(&sent, 202);
    assert_eq!((answers.len(), answers[0].status()), (1, Some(202)));
    assert_eq!(answers[0].values(Name::Via).count(), 2);
    net.forgets_all();
}

#[test]
fn sip_5_a_foreign_domain_goes_to_the_exit_and_a_number_stays_inside() {
    let (mut net, _) = with_user(Config { domains: vec!["second.example".into()], ..serving() });
    for (uri, to, branch) in [
        ("sip:b@other.example", EXIT, "a"),
        ("sip:b@sub.ims.mnc001.mcc001.3gppnetwork.org", EXIT, "b"),
        ("sip:b@SECOND.example", I_CSCF, "c"),
        ("tel:+4930999", I_CSCF, "d"),
        ("sips:b@other.example", EXIT, "e"),
    ] {
        let sent = net.goes_on(&Asks { uri: uri.into(), branch, ..from_user("OPTIONS") });
        assert_eq!(values(&sent.1, Name::Route), [format!("<sip:{to};lr>")], "{uri}");
        assert_eq!((sent.0.remote, sent.1.request_uri()), (to.parse().unwrap(), Some(uri)));
    }
    let (mut net, _) = with_user(Config { exit: None, ..serving() });
    let sent = net.goes_on(&Asks { uri: "sip:b@other.example".into(), ..from_user("MESSAGE") });
    assert_eq!(sent.0.remote, I_CSCF.parse().unwrap());
    let (mut net, _) = with_user(Config { exit: None, icscf: None, ..serving() });
    assert_eq!(net.refused(&from_user("MESSAGE")), 500);
    assert!(matches!(net.events[..], [Event::Refused { refusal: Refusal::NoInterrogating, .. }]));
}

#[test]
fn prv_19_privacy_and_identity_pass_byte_for_byte() {
    let (mut net, _) = with_user(serving());
    for (privacy, branch) in
        [(None, "a"), (Some("id; critical"), "b"), (Some("none"), "c"), (Some("HEADER"), "d")]
    {
        let asserted = vec![format!("\"A. User\"  <{IMPU}>"), format!("<{TEL}>")];
        let more = privacy.map(|value| format!("Privacy: {value}\r\n")).unwrap_or_default();
        let sent = net.goes_on(&Asks { asserted: asserted.clone(), more, branch, ..from_user("MESSAGE") });
        assert_eq!(net::lines(&sent.1, Name::PAssertedIdentity), asserted);
        assert_eq!(sent.1.first(Name::Privacy), privacy);
        let answers = net.answers_with(
            &sent,
            200,
            &[(Name::PAssertedIdentity, "<sip:b@other.example>"), (Name::Privacy, "id;critical")],
        );
        assert_eq!(answers[0].first(Name::PAssertedIdentity), Some("<sip:b@other.example>"));
        assert_eq!(answers[0].first(Name::Privacy), Some("id;critical"));
    }
}

#[test]
fn prv_19_a_sip_uri_alone_gets_its_number_beside_it() {
    let (mut net, _) = with_user(serving());
    let sent = net.goes_on(&from_user("MESSAGE"));
    assert_eq!(
        net::lines(&sent.1, Name::PAssertedIdentity),
        [format!("\"A. User\" <{IMPU}>"), format!("<{TEL}>")]
    );
    let number = Asks { asserted: vec![format!("<{TEL}>")], branch: "two", ..from_user("MESSAGE") };
    let sent = net.goes_on(&number);
    assert_eq!(net::lines(&sent.1, Name::PAssertedIdentity), [format!("<{TEL}>")]);
}

#[test]
fn prv_20_only_an_asserted_registered_user_of_a_trusted_peer_is_served() {
    let (mut net, _) = with_user(serving());
    let stranger = from_user("INVITE");
    let answers = net.send_text(Net::stranger(), &stranger.text());
    assert_eq!((answers[0].status(), answers.len(), net.forwarded.len()), (Some(403), 1, 0));
    for (asserted, branch, refusal) in [
        (vec![], "a", Refusal::NobodyAsserted),
        (vec!["<sip:nobody@ims.mnc001.mcc001.3gppnetwork.org>".into()], "b", Refusal::CallerNotRegistered),
        (vec![format!("<{BARRED}>")], "c", Refusal::CallerBarred),
    ] {
        assert_eq!(net.refused(&Asks { asserted, branch, ..from_user("MESSAGE") }), 403);
        assert!(matches!(net.events.last(), Some(Event::Refused { refusal: one, .. }) if *one == refusal));
    }
    // The one that is registered counts.
    let asserted = vec!["<sip:x@y.example>".into(), format!("<{IMPU}>")];
    net.goes_on(&Asks { asserted, branch: "d", ..from_user("MESSAGE") });
    let beyond = vec![from_user("MESSAGE").routes[0].clone(), "<sip:192.0.2.1;lr>".into()];
    assert_eq!(net.refused(&Asks { routes: beyond, branch: "e", ..from_user("MESSAGE") }), 403);
    let aimed = Asks { uri: format!("sip:scscf.{HOME}:6060"), branch: "f", ..from_user("MESSAGE") };
    assert_eq!(net.refused(&aimed), 404);
}

#[test]
fn sip_19_a_call_with_its_ack_and_all_2xx() {
    let (mut net, _) = with_user(serving());
    let invite = net.goes_on(&from_user("INVITE"));
    assert_eq!(values(&invite.1, Name::RecordRoute), [format!("<sip:caller@{OWN};lr>")]);
    assert!(net.answers(&invite, 100).is_empty());
    assert_eq!(net.answers(&invite, 180)[0].status(), Some(180));
    let accepted = net.answers(&invite, 200);
    assert_eq!((accepted[0].status(), accepted[0].values(Name::Via).count()), (Some(200), 2));
    net.advance(Duration::from_secs(5));
    assert_eq!(net.answers(&invite, 200).len(), 1, "a repetition passes too");
    net.forwarded.clear();
    let ack = Asks {
        uri: "sip:10.9.0.7:7002".into(),
        routes: vec![
            format!("<sip:caller@{OWN};lr>"),
            format!("<sip:{I_CSCF};lr>"),
            "<sip:far.example;lr>".into(),
        ],
        asserted: vec![],
        to_tag: Some("callee"),
        branch: "ack",
        ..from_user("ACK")
    };
    let (flow, passed) = net.goes_on(&ack);
    assert_eq!((flow.remote, passed.request_uri()), (I_CSCF.parse().unwrap(), Some("sip:10.9.0.7:7002")));
    assert_eq!(values(&passed, Name::Route), [format!("<sip:{I_CSCF};lr>"), "<sip:far.example;lr>".into()]);
    // An ACK by nobody's Route, and one from outside, go nowhere.
    let lost = Asks { routes: vec![], branch: "ack2", ..ack.clone() };
    assert!(net.ask(&lost).is_empty() && net.forwarded.is_empty());
    assert!(net.send_text(Net::stranger(), &Asks { branch: "ack3", ..ack }.text()).is_empty());
    assert!(net.forwarded.is_empty());
    net.forgets_all();
}

#[test]
fn sip_19_an_invite_is_cancelled_on_its_way_and_while_the_hss_is_asked() {
    let (mut net, _) = with_user(serving());
    let invite = net.goes_on(&from_user("INVITE"));
    assert_eq!(net.answers(&invite, 180).len(), 1);
    let answers = net.ask(&from_user("CANCEL"));
    assert_eq!((answers.len(), answers[0].status()), (1, Some(200)));
    let cancel = net.next_forwarded();
    assert_eq!(cancel.1.method(), sip::Method::Cancel);
    assert_eq!(cancel.1.first(Name::Via), invite.1.first(Name::Via));
    assert_eq!(net.answers(&invite, 487)[0].status(), Some(487));
    assert_eq!((net.next_forwarded().1.method(), net.scscf.under_way()), (sip::Method::Ack, 0));
    assert_eq!(net.refused(&Asks { branch: "none", ..from_user("CANCEL") }), 481);
    let mut net = Net::new(Config { restoration: Some(Duration::from_secs(2)), ..serving() });
    net.held = Some(Vec::new());
    assert!(net.ask(&from_user("INVITE")).is_empty());
    assert_eq!((net.asked.as_slice(), net.scscf.under_way()), (&["NoAssignment".to_owned()][..], 1));
    let answers = net.ask(&from_user("CANCEL"));
    let mut statuses: Vec<_> = answers.iter().filter_map(Message::status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 487]);
    assert!(net.release().is_empty() && net.forwarded.is_empty());
    net.forgets_all();
}

#[test]
fn prv_20_after_a_restart_the_hss_knows_who_is_registered() {
    let config = Config { restoration: Some(Duration::from_secs(2)), ..serving() };
    let (mut net, _) = with_user(config.clone());
    net.scscf = scscf::Scscf::new(config, [9; 32]);
    net.wait = None;
    let sent = net.goes_on(&from_user("MESSAGE"));
    assert_eq!(net.asked, ["NoAssignment"]);
    assert_eq!(sent.1.method(), sip::Method::Message);
    assert_eq!(net.answers(&sent, 200).len(), 1);
    // One whom the HSS does not know is refused.
    let mut net = Net::new(Config { restoration: Some(Duration::from_secs(2)), ..serving() });
    assert_eq!(net.refused(&from_user("MESSAGE")), 403);
    net.hss.unreachable = true;
    assert_eq!(net.refused(&Asks { branch: "two", ..from_user("MESSAGE") }), 480);
    assert_eq!(net.scscf.under_way(), 0);
}

#[test]
fn sip_4_the_checks_of_a_proxy_in_their_order() {
    let (mut net, _) = with_user(serving());
    let worst = Asks {
        uri: "http://x".into(),
        hops: 0,
        more: "Proxy-Require: b, a\r\n".into(),
        routes: vec!["<sip:orig@192.0.2.3:6060;lr>".into()],
        ..from_user("MESSAGE")
    };
    let status = |net: &mut Net, asks: &Asks| {
        let answers = net.send_text(Net::stranger(), &asks.text());
        assert_eq!((answers.len(), net.forwarded.len()), (1, 0));
        answers.into_iter().next().unwrap()
    };
    assert_eq!(status(&mut net, &worst).status(), Some(416));
    let hops = Asks { uri: OTHER.into(), branch: "2", ..worst };
    assert_eq!(status(&mut net, &hops).status(), Some(483));
    let required = Asks { hops: 1, branch: "3", ..hops };
    let refused = status(&mut net, &required);
    assert_eq!((refused.status(), refused.first(Name::Unsupported)), (Some(420), Some("b, a")));
    let untrusted = Asks { more: String::new(), branch: "4", ..required };
    assert_eq!(status(&mut net, &untrusted).status(), Some(403));
}

#[test]
fn sip_4_a_loop_ends_and_a_spiral_goes_on() {
    let (mut net, _) = with_user(serving());
    let (_, sent) = net.goes_on(&from_user("MESSAGE"));
    // As it came, with our Via in between.
    let ours = sent.first(Name::Via).unwrap();
    let again = from_user("MESSAGE").text().replacen(
        "\r\nVia: ",
        &format!("\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKl\r\nVia: {ours}\r\nVia: "),
        1,
    );
    let answers = net.send_text(p_cscf_flow(), &again);
    assert_eq!((answers[0].status(), net.forwarded.len()), (Some(482), 0));
    // To a user of ours by the I-CSCF: another Route, another visit.
    let back = again.replace("<sip:orig@", "<sip:").replace(OTHER, IMPU).replace("bKl", "bKs");
    assert!(net.send_text(p_cscf_flow(), &back).is_empty());
    assert_eq!(net.next_forwarded().1.request_uri(), Some("sip:10.9.0.2:7002"));
}

#[test]
fn sip_11_no_503_goes_back_and_silence_has_its_answer() {
    let (mut net, _) = with_user(serving());
    let sent = net.goes_on(&from_user("MESSAGE"));
    let answers = net.answers_with(&sent, 503, &[(Name::RetryAfter, "30")]);
    assert_eq!((answers[0].status(), answers[0].first(Name::RetryAfter)), (Some(500), None));
    let _ = net.goes_on(&Asks { branch: "two", ..from_user("INVITE") });
    let answers = net.advance(Duration::from_secs(40));
    assert_eq!(answers.iter().filter_map(Message::status).collect::<Vec<_>>()[..2], [100, 408]);
    net.forwarded.clear();
    let (flow, _) = net.goes_on(&Asks { branch: "three", ..from_user("MESSAGE") });
    net.scscf.handle(net.now, Input::TransportFailed { flow });
    assert_eq!(net.drain()[0].status(), Some(500));
    net.forgets_all();
}
