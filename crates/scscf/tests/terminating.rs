//! Requests to our users, and those within dialogs.

mod net;

use net::subscriber::p_cscf_flow;
use net::traffic::{Asks, EXIT, I_CSCF, OWN, serving, values, with_user};
use net::{BARRED, HOME, IMPU, Net, Register, TEL};
use scscf::{Config, Event, Refusal};
use sip::{Method, Name};
use std::time::Duration;

const CONTACT: &str = "sip:10.9.0.2:7002";

fn to_user(method: &'static str) -> Asks {
    Asks::to_user(method)
}

#[test]
fn sip_6_a_request_follows_the_path_to_the_contact() {
    let mut net = Net::new(serving());
    let path = "<sip:term@192.0.2.1:5060;lr>, <sip:second.example;lr>";
    let first = Register { path: Some(path), ..Register::first() };
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    net.register(&second);
    let invite = net.goes_on(&to_user("INVITE"));
    let (flow, message) = &invite;
    assert_eq!((flow.remote, message.request_uri()), ("192.0.2.1:5060".parse().unwrap(), Some(CONTACT)));
    assert_eq!(values(message, Name::Route), ["<sip:term@192.0.2.1:5060;lr>", "<sip:second.example;lr>"]);
    assert_eq!(message.first(Name::PCalledPartyId), Some(&*format!("<{IMPU}>")));
    assert_eq!(values(message, Name::RecordRoute), [format!("<sip:callee@{OWN};lr>")]);
    assert_eq!(values(message, Name::PAssertedIdentity), ["<sip:caller@other.example>"]);
    assert_eq!(message.max_forwards(), Some(68));
    assert_eq!(net.answers(&invite, 200)[0].status(), Some(200));
    // The user moves: the new Path counts.
    let moved = Register { path: Some("<sip:term@192.0.2.2:5062;lr>"), ..second.next() };
    let challenge = net.register(&moved);
    let answer = net.protected(&moved, &challenge);
    assert_eq!(net.register(&answer).status(), Some(200));
    let sent = net.goes_on(&Asks { branch: "two", ..to_user("MESSAGE") });
    assert_eq!(sent.0.remote, "192.0.2.2:5062".parse().unwrap());
    assert_eq!(values(&sent.1, Name::Route), ["<sip:term@192.0.2.2:5062;lr>"]);
    net.answers(&sent, 200);
    net.forgets_all();
}

#[test]
fn sip_6_every_form_of_the_identity_finds_the_user() {
    let (mut net, _) = with_user(serving());
    for (uri, branch) in [
        (TEL, "a"),
        ("tel:+49-30-123", "b"),
        ("sip:+4930123@ims.mnc001.mcc001.3gppnetwork.org;user=phone", "c"),
        ("sip:001010000000001@IMS.mnc001.mcc001.3gppnetwork.org:5060", "d"),
    ] {
        let sent = net.goes_on(&Asks { uri: uri.into(), branch, routes: vec![], ..to_user("MESSAGE") });
        assert_eq!(sent.1.request_uri(), Some(CONTACT));
        assert_eq!(sent.1.first(Name::PCalledPartyId), Some(&*format!("<{uri}>")));
    }
}

#[test]
fn sip_6_who_cannot_be_reached_has_a_status() {
    let (mut net, second) = with_user(serving());
    let nobody = "sip:nobody@ims.mnc001.mcc001.3gppnetwork.org";
    for (uri, branch, status, refusal) in [
        (BARRED.to_owned(), "a", 404, Refusal::CalleeBarred),
        (nobody.to_owned(), "b", 480, Refusal::CalleeNotRegistered),
        (format!("sip:scscf.{HOME}:6060"), "c", 404, Refusal::AimedAtUs),
        (format!("sip:x@{OWN}"), "d", 404, Refusal::AimedAtUs),
    ] {
        assert_eq!(net.refused(&Asks { uri: uri.clone(), branch, ..to_user("MESSAGE") }), status, "{uri}");
        assert!(matches!(net.events.last(), Some(Event::Refused { refusal: one, .. }) if *one == refusal));
    }
    // A Path that does not lead to a CSCF of ours is not followed.
    let mut net = Net::new(serving());
    net.registered();
    assert_eq!(net.refused(&to_user("MESSAGE")), 480);
    assert!(matches!(net.events.last(), Some(Event::Refused { refusal: Refusal::ContactUnreachable, .. })));
    let _ = second;
}

#[test]
fn sip_6_the_hss_is_asked_about_an_unknown_user() {
    let config = Config { restoration: Some(Duration::from_secs(2)), ..serving() };
    let (mut net, _) = with_user(config.clone());
    net.scscf = scscf::Scscf::new(config.clone(), [9; 32]);
    net.wait = None;
    let sent = net.goes_on(&to_user("MESSAGE"));
    assert_eq!(
        (net.asked.as_slice(), sent.1.request_uri()),
        (&["NoAssignment".to_owned()][..], Some(CONTACT))
    );
    // Nobody registered, nobody known.
    let mut net = Net::new(config);
    assert_eq!(net.refused(&to_user("MESSAGE")), 480);
    net.hss.failure = Some(cx::ExperimentalCode::UserUnknown.into());
    assert_eq!(net.refused(&Asks { branch: "two", ..to_user("MESSAGE") }), 404);
    assert_eq!(net.asked, ["NoAssignment", "NoAssignment"]);
}

#[test]
fn sip_11_the_next_contact_is_tried_and_the_best_answer_goes_back() {
    let (mut net, mut calls) = two_contacts();
    let mut call = |net: &mut Net, method: &'static str| {
        calls += 1;
        let branch = ["0", "1", "2", "3", "4", "5", "6", "7"][calls];
        net.forwarded.clear();
        net.goes_on(&Asks { branch, ..to_user(method) })
    };
    let (preferred, other) = ("sip:10.9.0.2:7002", "sip:10.9.0.3:7004");
    for status in [408, 430, 480, 503] {
        let sent = call(&mut net, "MESSAGE");
        assert_eq!(sent.1.request_uri(), Some(preferred));
        assert!(net.answers(&sent, status).is_empty());
        let next = net.next_forwarded();
        assert_eq!(next.1.request_uri(), Some(other));
        assert_ne!(next.1.first(Name::Via), sent.1.first(Name::Via));
        // The lower class says more.
        let last = if status == 480 { 503 } else { 404 };
        let expected = if status == 480 { 480 } else { 404 };
        assert_eq!(net.answers(&next, last)[0].status(), Some(expected));
    }
    for status in [200, 486, 603] {
        let sent = call(&mut net, "MESSAGE");
        assert_eq!(net.answers(&sent, status)[0].status(), Some(status));
        assert!(net.forwarded.is_empty());
    }
    net.forgets_all();
}

#[test]
fn sip_19_a_cancelled_invite_is_not_tried_elsewhere() {
    let (mut net, _) = two_contacts();
    let invite = net.goes_on(&to_user("INVITE"));
    net.answers(&invite, 180);
    assert_eq!(net.ask(&to_user("CANCEL"))[0].status(), Some(200));
    assert_eq!(net.next_forwarded().1.method(), Method::Cancel);
    // It said so before the CANCEL came.
    assert_eq!(net.answers(&invite, 480)[0].status(), Some(480));
    assert_eq!(net.next_forwarded().1.method(), Method::Ack);
    net.forgets_all();
    // Silence ends at the next contact.
    let mut net = two_contacts().0;
    let first = net.goes_on(&Asks { branch: "two", ..to_user("INVITE") });
    let _ = net.advance(Duration::from_secs(33));
    let second = net.forwarded.pop().unwrap();
    assert_ne!(first.1.request_uri(), second.1.request_uri());
    assert_eq!(net.answers(&second, 200)[0].status(), Some(200));
    net.forgets_all();
}

/// Two devices of one user; the first is preferred by its q.
fn two_contacts() -> (Net, usize) {
    let mut net = Net::new(serving());
    let one = |id: u8, contact: &str, q: &str| Register {
        path: Some("<sip:term@192.0.2.1:5060;lr;ob>"),
        contact: format!("<{contact}>;+sip.instance=\"<urn:gsma:imei:1-2-{id}>\";reg-id={id};q={q}"),
        call_id: format!("call-{id}"),
        more: "Supported: outbound\r\n".into(),
        ..Register::first()
    };
    for register in [one(1, CONTACT, "0.9"), one(2, "sip:10.9.0.3:7004", "0.25")] {
        let challenge = net.register(&register);
        assert_eq!(challenge.status(), Some(401));
        let second = net.protected(&register, &challenge);
        assert_eq!(net.register(&second).status(), Some(200));
    }
    (net, 0)
}

fn within(method: &'static str, branch: &'static str) -> Asks {
    Asks {
        uri: "sip:10.9.0.7:7002".into(),
        routes: vec![
            format!("<sip:caller@{OWN};lr>"),
            format!("<sip:{EXIT};lr>"),
            "<sip:far.example;lr>".into(),
        ],
        asserted: vec![],
        to_tag: Some("callee"),
        branch,
        ..to_user(method)
    }
}

#[test]
fn sip_5_requests_within_dialogs_follow_the_route() {
    // Nobody is registered any more: the dialog lives.
    let mut net = Net::new(serving());
    let sent = net.goes_on(&within("BYE", "a"));
    assert_eq!((sent.0.remote, sent.1.request_uri()), (EXIT.parse().unwrap(), Some("sip:10.9.0.7:7002")));
    assert_eq!(values(&sent.1, Name::Route), [format!("<sip:{EXIT};lr>"), "<sip:far.example;lr>".into()]);
    assert!(values(&sent.1, Name::RecordRoute).is_empty());
    assert_eq!(net.answers(&sent, 200)[0].status(), Some(200));
    // We stand beside both users.
    let both = Asks {
        routes: vec![
            format!("<sip:caller@{OWN};lr>"),
            format!("<sip:callee@{OWN};lr>"),
            "<sip:192.0.2.1;lr>".into(),
        ],
        ..within("UPDATE", "b")
    };
    let sent = net.goes_on(&both);
    assert_eq!(
        (sent.0.remote, values(&sent.1, Name::Route)),
        (p_cscf_flow().remote, vec!["<sip:192.0.2.1;lr>"])
    );
    net.answers(&sent, 200);
    // To a UE's address, or a foreign proxy's, nothing goes.
    for (routes, branch) in [
        (vec![format!("<sip:caller@{OWN};lr>")], "c"),
        (vec![format!("<sip:caller@{OWN};lr>"), "<sip:203.0.113.9;lr>".into()], "d"),
        (vec![format!("<sip:caller@{OWN};lr>"), "<sip:192.0.2.1;lr;transport=tls>".into()], "e"),
        (vec![format!("<sip:caller@{OWN};lr>"), "<sip:pcscf.visited.example;lr>".into()], "f"),
    ] {
        assert_eq!(net.refused(&Asks { routes, ..within("BYE", branch) }), 403);
    }
    let lost = Asks { routes: vec![], ..within("BYE", "g") };
    assert_eq!(net.refused(&lost), 481);
    let outside = Asks { to_tag: None, ..within("INVITE", "h") };
    assert_eq!(net.refused(&outside), 403);
    net.forgets_all();
}

#[test]
fn sip_5_strict_routers_on_either_side() {
    let mut net = Net::new(serving());
    // Before us: our entry is the Request-URI, the target the last Route.
    let before = Asks {
        uri: format!("sip:callee@{OWN};lr"),
        routes: vec!["<sip:192.0.2.1;lr>".into(), "<sip:10.9.0.7:7002>".into()],
        ..within("BYE", "a")
    };
    let sent = net.goes_on(&before);
    assert_eq!((sent.0.remote, sent.1.request_uri()), (p_cscf_flow().remote, Some("sip:10.9.0.7:7002")));
    assert_eq!(values(&sent.1, Name::Route), ["<sip:192.0.2.1;lr>"]);
    // After us: the next Route becomes the Request-URI.
    let after = Asks {
        routes: vec![
            format!("<sip:callee@{OWN};lr>"),
            format!("<sip:{I_CSCF}>"),
            "<sip:far.example;lr>".into(),
        ],
        ..within("BYE", "b")
    };
    let sent = net.goes_on(&after);
    assert_eq!(
        (sent.0.remote, sent.1.request_uri()),
        (I_CSCF.parse().unwrap(), Some(&*format!("sip:{I_CSCF}")))
    );
    assert_eq!(values(&sent.1, Name::Route), ["<sip:far.example;lr>", "<sip:10.9.0.7:7002>"]);
}

#[test]
fn sip_18_other_packages_are_not_ours() {
    let (mut net, _) = with_user(serving());
    let presence = Asks { more: "Event: presence\r\n".into(), ..Asks::from_user("SUBSCRIBE") };
    let sent = net.goes_on(&presence);
    assert_eq!(sent.0.remote, I_CSCF.parse().unwrap());
    assert_eq!(values(&sent.1, Name::RecordRoute), [format!("<sip:caller@{OWN};lr>")]);
    let sent = net.goes_on(&Asks { more: presence.more, branch: "two", ..to_user("SUBSCRIBE") });
    assert_eq!(sent.1.request_uri(), Some(CONTACT));
    assert_eq!(net.goes_on(&within("NOTIFY", "three")).0.remote, EXIT.parse().unwrap());
}
