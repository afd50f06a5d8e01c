//! At the border: what leaves, what is believed, what is hidden.

use std::sync::Arc;

use hiding::{Hiding, Inside, Key, Keys};
use trust::{BorderPolicy, Certificate, Interface, Protection, Rule, Trust, TrustDomain};

use super::*;
use crate::{Border, Partner};

const S_CSCF: &str = "10.30.0.11:5060";
/// A partner in the trust domain, over TLS.
const B: &str = "198.51.100.1:5061";
/// Somebody outside.
const X: &str = "203.0.113.5:5060";

fn partner(domain: &str, next_hop: &str, transport: Option<Transport>, interface: &str) -> Partner {
    Partner {
        domains: vec![domain.into()],
        next_hop: next_hop.parse().unwrap(),
        transport,
        interface: interface.parse().unwrap(),
        addresses: Vec::new(),
        certificate: (transport == Some(Transport::Tls)).then(|| format!("icscf.{domain}").into()),
        role: None,
        hide: true,
    }
}

fn border(hides: bool) -> Border {
    let interface =
        |address: &str, protection, role| Interface { address: address.parse().unwrap(), protection, role };
    let inside = Inside::new(["home.example"], ["10.30.0.0/16"], ["192.0.2.1", "192.0.2.2"]).unwrap();
    let hiding = Hiding::new("home.example", inside, Keys::one(1, Key::new(&[7; 16]))).unwrap();
    Border {
        interfaces: vec!["192.0.2.1:5060".parse().unwrap(), "192.0.2.1:5061".parse().unwrap()],
        secure: vec!["192.0.2.1:5061".parse().unwrap()],
        alike: vec!["192.0.2.2:5060".parse().unwrap()],
        partners: vec![
            partner("b.example", B, Some(Transport::Tls), "192.0.2.1:5061"),
            partner("x.example", X, None, "192.0.2.1:5060"),
        ],
        trust: TrustDomain {
            incoming: Rule::default(),
            outgoing: Rule::default(),
            interfaces: vec![
                interface("10.30.0.2:5060", Protection::Zb, Trust::Own),
                interface("192.0.2.1:5060", Protection::None, Trust::Untrusted),
                interface("192.0.2.1:5061", Protection::Tls, Trust::Untrusted),
            ],
            certificates: vec![Certificate { name: "icscf.b.example".into(), class: Trust::Other }],
            ..TrustDomain::default()
        },
        policy: BorderPolicy::default(),
        hiding: hides.then(|| Arc::new(hiding)),
    }
}

fn new_bench(hides: bool) -> Bench {
    let mut bench = Bench::new();
    let config = Config {
        trusted_peers: ["10.30.0.1", "10.30.0.11"].map(|peer| peer.parse().unwrap()).to_vec(),
        border: Some(border(hides)),
        ..bench.icscf.config.clone()
    };
    bench.icscf = ICscf::new(config, [3; 32]);
    bench
}

fn at(local: &str, remote: &str, transport: Transport) -> Flow {
    Flow { transport, local: local.parse().unwrap(), remote: remote.parse().unwrap(), connection: None }
}

fn from_x() -> Flow {
    at("192.0.2.1:5060", X, Transport::Udp)
}

/// On a connection whose peer has shown the partner's certificate.
fn from_b() -> Flow {
    Flow {
        connection: Some(sip::ConnectionId(1)),
        ..at("192.0.2.1:5061", "198.51.100.1:40000", Transport::Tls)
    }
}

impl Bench {
    fn take(&mut self, flow: Flow, message: Message) -> Outcome {
        let names: &[&str] = if flow.transport == Transport::Tls { &["icscf.b.example"] } else { &[] };
        let names = names.iter().map(|name| (*name).into()).collect();
        self.give(Input::Received { flow, message, names })
    }

    fn one(&mut self, flow: Flow, message: Message) -> (Flow, Message) {
        let mut sent = self.take(flow, message).sent;
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    fn status(&mut self, flow: Flow, message: Message) -> Option<u16> {
        self.one(flow, message).1.status()
    }

    /// A request for alice from outside, as far as her S-CSCF.
    fn inward(&mut self, flow: Flow, message: Message) -> (Flow, Message) {
        let id = self.take(flow, message).asked[0].0;
        self.lia(id, Ok(LocationInfo::Served { server_name: named('a') })).sent.remove(0)
    }
}

/// From the S-CSCF, with the Vias and Record-Routes of the inside.
fn outbound(method: &str, target: &str, extra: &str) -> Message {
    let text = format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 10.30.0.11:5060;branch=z9hG4bKs\r\n\
         Via: SIP/2.0/UDP 10.30.0.1:5060;branch=z9hG4bKp\r\nVia: SIP/2.0/UDP 10.20.0.7:7100;branch=z9hG4bKu\r\n\
         Record-Route: <sip:a.home.example;lr>\r\nRecord-Route: <sip:10.30.0.1:5060;lr>\r\n\
         Max-Forwards: 68\r\nFrom: \"Alice\" <sip:alice@home.example>;tag=f\r\nTo: <{target}>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\
         Route: <sip:10.30.0.2:5060;lr>\r\nP-Asserted-Identity: <sip:alice@home.example>\r\n\
         P-Charging-Vector: icid-value=1;icid-generated-at=10.30.0.1;orig-ioi=home.example\r\n\
         Contact: <sip:alice@10.20.0.7:7100>\r\n{extra}Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into_bytes()).unwrap()
}

/// From outside, for alice.
fn inbound(method: &str, extra: &str) -> Message {
    let text = format!(
        "{method} sip:alice@home.example SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bKx{method}\r\n\
         Max-Forwards: 68\r\nFrom: <sip:eve@x.example>;tag=f\r\nTo: <sip:alice@home.example>\r\nCall-ID: c\r\n\
         CSeq: 1 {method}\r\nContact: <sip:eve@203.0.113.5:5060>\r\n{extra}Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into_bytes()).unwrap()
}

fn inside(remote: &str) -> Flow {
    from(remote)
}

fn text(message: &Message) -> String {
    String::from_utf8(message.bytes().to_vec()).unwrap()
}

fn values(message: &Message, name: Name) -> Vec<String> {
    message.values(name).map(str::to_owned).collect()
}

#[test]
fn prv_6_what_an_untrusted_network_gets_to_know() {
    for (privacy, kept) in [
        ("", false),
        ("Privacy: none\r\n", true),
        ("Privacy: id\r\n", false),
        ("Privacy: user;id\r\n", false),
        ("Privacy: id;critical\r\n", false),
    ] {
        let mut bench = new_bench(false);
        let request = outbound("INVITE", "sip:eve@x.example", privacy);
        let (flow, left) = bench.one(inside(S_CSCF), request);
        assert_eq!((flow.local, flow.remote), ("192.0.2.1:5060".parse().unwrap(), X.parse().unwrap()));
        assert_eq!(left.first(Name::PAssertedIdentity).is_some(), kept, "{privacy}");
        assert_eq!(left.first(Name::PChargingVector), None);
        let anonymous = privacy.contains("user");
        assert_eq!(left.first(Name::From).unwrap().contains("anonymous.invalid"), anonymous);
        assert!(bench.events.contains(&Event::Left { to: "x.example".into(), trusted: false }));
    }
}

#[test]
fn prv_8_a_whole_dialog_is_treated_as_it_began() {
    let mut bench = new_bench(false);
    let (_, invite) =
        bench.one(inside(S_CSCF), outbound("INVITE", "sip:eve@x.example", "Privacy: user;id\r\n"));
    let ok = Draft::reply(&invite, 200, "OK", Some("x"))
        .push(Name::Contact, "<sip:eve@203.0.113.5:5060>")
        .finish();
    let (_, back) = bench.one(from_x(), ok);
    assert_eq!(back.first(Name::From), Some("\"Alice\" <sip:alice@home.example>;tag=f"), "as she sent it");
    // She says nothing of privacy any more.
    let bye = text(&outbound("BYE", "sip:eve@203.0.113.5:5060", ""))
        .replace("To: <sip:eve@203.0.113.5:5060>", "To: <sip:eve@x.example>;tag=x")
        .replace("CSeq: 1", "CSeq: 2");
    let (flow, left) = bench.one(inside(S_CSCF), Message::parse(bye.into_bytes()).unwrap());
    assert_eq!(flow.remote, X.parse().unwrap());
    assert!(left.first(Name::From).unwrap().contains("anonymous.invalid"));
    assert_eq!(left.first(Name::PAssertedIdentity), None);
}

#[test]
fn prv_9_privacy_that_cannot_be_had_stops_the_request() {
    let mut bench = new_bench(false);
    let request = outbound("INVITE", "sip:eve@x.example", "Privacy: header;critical\r\n");
    let (flow, answer) = bench.one(inside(S_CSCF), request);
    assert_eq!(flow.remote, S_CSCF.parse().unwrap());
    assert_eq!((answer.status(), answer.reason()), (Some(500), Some("Privacy required: header")));
}

#[test]
fn prv_19_a_partner_of_the_trust_domain_gets_identity_and_privacy_as_they_are() {
    let mut bench = new_bench(false);
    let (flow, left) =
        bench.one(inside(S_CSCF), outbound("INVITE", "sip:bob@b.example", "Privacy: id;user\r\n"));
    assert_eq!((flow.transport, flow.remote), (Transport::Tls, B.parse().unwrap()));
    assert_eq!(left.first(Name::PAssertedIdentity), Some("<sip:alice@home.example>"));
    assert_eq!(left.first(Name::Privacy), Some("id;user"));
    assert_eq!(left.first(Name::From), Some("\"Alice\" <sip:alice@home.example>;tag=f"));
    assert_eq!(left.first(Name::PChargingVector), Some("icid-value=1;orig-ioi=home.example"));
    let routes = values(&left, Name::RecordRoute);
    assert_eq!(routes[..2], ["<sip:192.0.2.1:5061;transport=tls;lr>", "<sip:10.30.0.2:5060;lr>"]);
}

#[test]
fn prv_7_what_an_untrusted_sender_may_not_say() {
    let mut bench = new_bench(false);
    let forged = "P-Asserted-Identity: <sip:boss@home.example>\r\nP-Charging-Vector: icid-value=1\r\n\
                  P-Called-Party-ID: <sip:boss@home.example>\r\nPrivacy: none\r\n";
    let (flow, entered) = bench.inward(from_x(), inbound("INVITE", forged));
    assert_eq!(flow.remote, S_CSCF.parse().unwrap());
    for name in [Name::PAssertedIdentity, Name::PChargingVector, Name::PCalledPartyId] {
        assert_eq!(entered.first(name), None);
    }
    assert_eq!(entered.first(Name::From), Some("<sip:eve@x.example>;tag=f"));
    assert_eq!(values(&entered, Name::RecordRoute), ["<sip:10.30.0.2:5060;lr>", "<sip:192.0.2.1:5060;lr>"]);
    // Over TLS with a partner's certificate it is believed.
    let mut bench = new_bench(false);
    let (_, entered) = bench.inward(from_b(), inbound("INVITE", forged));
    assert_eq!(entered.first(Name::PAssertedIdentity), Some("<sip:boss@home.example>"));
}

#[test]
fn prv_13_a_name_in_via_or_from_is_no_proof() {
    let mut bench = new_bench(false);
    let forged = text(&inbound("INVITE", "P-Asserted-Identity: <sip:bob@b.example>\r\n"))
        .replace("Via: SIP/2.0/UDP 203.0.113.5:5060", "Via: SIP/2.0/TLS icscf.b.example:5061")
        .replace("eve@x.example", "bob@b.example");
    let (_, entered) = bench.inward(from_x(), Message::parse(forged.into_bytes()).unwrap());
    assert_eq!(entered.first(Name::PAssertedIdentity), None);
}

/// The answer with the called user's identity goes where its request came from.
#[test]
fn prv_14_prv_15_an_answer_is_judged_by_its_own_way() {
    for (flow, kept) in [(from_x(), false), (from_b(), true)] {
        let mut bench = new_bench(false);
        let (_, entered) = bench.inward(flow, inbound("INVITE", ""));
        let ok = Draft::reply(&entered, 200, "OK", Some("t"))
            .push(Name::PAssertedIdentity, "<sip:alice@home.example>")
            .finish();
        let (back, answer) = bench.one(inside(S_CSCF), ok);
        assert_eq!(back.transport, flow.transport);
        assert_eq!(answer.first(Name::PAssertedIdentity).is_some(), kept);
        assert_eq!(answer.values(Name::Via).count(), 1);
    }
    // The request to a partner went over TLS; what answers over UDP is not believed.
    let mut bench = new_bench(false);
    let (_, left) = bench.one(inside(S_CSCF), outbound("INVITE", "sip:bob@b.example", ""));
    let ok = Draft::reply(&left, 200, "OK", Some("t"))
        .push(Name::PAssertedIdentity, "<sip:bob@b.example>")
        .finish();
    let over_udp = at("192.0.2.1:5060", "198.51.100.1:5061", Transport::Udp);
    assert_eq!(bench.one(over_udp, ok.clone()).1.first(Name::PAssertedIdentity), None);
    assert!(bench.one(from_b(), ok).1.first(Name::PAssertedIdentity).is_some());
}

#[test]
fn prv_20_nobody_outside_uses_the_network_as_its_own() {
    let mut bench = new_bench(false);
    let refused = |bench: &mut Bench, from: &str, to: &str| {
        let text = text(&inbound("INVITE", "Route: <sip:192.0.2.1:5060;lr>\r\n"));
        let request = Message::parse(text.replace(from, to).into_bytes()).unwrap();
        bench.status(from_x(), request)
    };
    // A way for others: no.
    assert_eq!(refused(&mut bench, "INVITE sip:alice@home.example", "INVITE sip:bob@b.example"), Some(403));
    // As a user of ours: no.
    let originating = "Route: <sip:192.0.2.1:5060;lr>, <sip:orig@a.home.example;lr>";
    let mut bench = new_bench(false);
    assert_eq!(refused(&mut bench, "Route: <sip:192.0.2.1:5060;lr>", originating), Some(403));
    // Registrations: from the trust domain.
    let mut bench = new_bench(false);
    assert_eq!(bench.status(from_x(), register("")), Some(403));
    // From an address inside that is no node of ours.
    let mut bench = new_bench(false);
    assert_eq!(bench.status(inside("10.30.0.77:5060"), inbound("INVITE", "")), Some(403));
}

#[test]
fn a_network_that_nobody_knows_is_404() {
    let mut bench = new_bench(false);
    assert_eq!(bench.status(inside(S_CSCF), outbound("MESSAGE", "sip:a@nowhere.example", "")), Some(404));
}

#[test]
fn thg_1_nothing_of_the_inside_leaves() {
    let mut bench = new_bench(true);
    let (_, left) = bench.one(inside(S_CSCF), outbound("INVITE", "sip:bob@b.example", ""));
    let bytes = text(&left);
    assert!(!bytes.contains("10.30.") && !bytes.contains("a.home.example"), "{bytes}");
    assert!(bytes.contains("tokenized-by=home.example"));
    let vias = values(&left, Name::Via);
    assert!(vias[0].starts_with("SIP/2.0/TLS 192.0.2.1:5061;branch="));
    assert_eq!(vias.last().map(String::as_str), Some("SIP/2.0/UDP 10.20.0.7:7100;branch=z9hG4bKu"));
    assert_eq!(values(&left, Name::RecordRoute)[0], "<sip:192.0.2.1:5061;transport=tls;lr>");
}

#[test]
fn thg_2_the_answer_from_outside_finds_its_way_back() {
    let mut bench = new_bench(true);
    let request = outbound("INVITE", "sip:eve@x.example", "");
    let (_, left) = bench.one(inside(S_CSCF), request.clone());
    let mut ok = Draft::reply(&left, 200, "OK", Some("x"));
    for route in left.values(Name::RecordRoute) {
        ok.push(Name::RecordRoute, route.to_owned());
    }
    let (flow, back) = bench.one(from_x(), ok.finish());
    assert_eq!(flow.remote, S_CSCF.parse().unwrap());
    assert_eq!(values(&back, Name::Via), values(&request, Name::Via));
    let routes = values(&back, Name::RecordRoute);
    assert_eq!(routes[2..], ["<sip:a.home.example;lr>", "<sip:10.30.0.1:5060;lr>"], "{routes:?}");
    assert_eq!(routes[0], "<sip:192.0.2.1:5060;lr>");
}

#[test]
fn thg_4_another_i_cscf_takes_the_answer() {
    let (mut one, mut two) = (new_bench(true), new_bench(true));
    let config = two.icscf.config.clone();
    let mut border = config.border.clone().unwrap();
    (border.interfaces, border.alike) = (vec!["192.0.2.2:5060".parse().unwrap()], border.interfaces);
    two.icscf = ICscf::new(Config { border: Some(border), ..config }, [4; 32]);
    let request = outbound("INVITE", "sip:eve@x.example", "");
    let (_, left) = one.one(inside(S_CSCF), request.clone());
    let ok = Draft::reply(&left, 200, "OK", Some("x")).finish();
    let (flow, back) = two.one(at("192.0.2.2:5060", X, Transport::Udp), ok);
    assert_eq!(flow.remote, S_CSCF.parse().unwrap());
    assert_eq!(values(&back, Name::Via), values(&request, Name::Via));
    // SIP-20: what has a foreign Via on top is nobody's.
    let foreign = Draft::reply(&request, 200, "OK", Some("x")).finish();
    assert!(two.take(at("192.0.2.2:5060", X, Transport::Udp), foreign).sent.is_empty());
}

/// A UE of ours at another network's P-CSCF: it and that P-CSCF route by what they cannot read.
#[test]
fn thg_5_thg_6_thg_12_a_roaming_user_is_served_through_hidden_routes() {
    let mut bench = new_bench(true);
    let id = bench.take(from_b(), register("")).asked[0].0;
    let (_, sm3) =
        bench.uaa(id, Ok(UserAuthorization::Subsequent { server_name: named('a') })).sent.remove(0);
    let path = values(&sm3, Name::Path);
    assert_eq!(path[0], "<sip:10.30.0.2:5060;lr>", "requests to the user leave by this border");
    let ok = Draft::reply(&sm3, 200, "OK", Some("t"))
        .push(Name::Path, path.join(", "))
        .push(Name::ServiceRoute, "<sip:orig@a.home.example;lr>")
        .finish();
    let (_, answer) = bench.one(inside(S_CSCF), ok);
    let bytes = text(&answer);
    assert!(!bytes.contains("a.home.example") && !bytes.contains("10.30.0.2"), "{bytes}");
    let service_route = values(&answer, Name::ServiceRoute);
    assert_eq!(service_route[0], "<sip:192.0.2.1:5061;transport=tls;lr>", "the way to the token");
    // The visited P-CSCF uses it as it stands.
    let invite = text(&inbound("INVITE", &format!("Route: {}\r\n", service_route.join(", "))))
        .replace("INVITE sip:alice@home.example", "INVITE sip:carol@home.example");
    let (flow, entered) = bench.one(from_b(), Message::parse(invite.into_bytes()).unwrap());
    assert_eq!(flow.remote, S_CSCF.parse().unwrap());
    assert_eq!(values(&entered, Name::Route), ["<sip:orig@a.home.example;lr>"]);
}

#[test]
fn thg_7_a_request_within_the_dialog_takes_the_hidden_way_in_the_right_order() {
    let mut bench = new_bench(true);
    let (_, entered) = bench.inward(from_x(), inbound("INVITE", ""));
    // What the S-CSCF and the P-CSCF put in front of ours.
    let mut ok = Draft::reply(&entered, 200, "OK", Some("t"));
    ok.push(Name::RecordRoute, "<sip:10.30.0.1:5060;lr>").push(Name::RecordRoute, "<sip:a.home.example;lr>");
    for route in entered.values(Name::RecordRoute) {
        ok.push(Name::RecordRoute, route.to_owned());
    }
    let (_, answer) = bench.one(inside(S_CSCF), ok.finish());
    assert!(!text(&answer).contains("10.30."), "{}", text(&answer));
    let mut routes = values(&answer, Name::RecordRoute);
    routes.reverse();
    let bye = text(&inbound("BYE", &format!("Route: {}\r\n", routes.join(", "))))
        .replace("To: <sip:alice@home.example>", "To: <sip:alice@home.example>;tag=t")
        .replace("BYE sip:alice@home.example", "BYE sip:alice@10.20.0.7:7100");
    let (flow, entered) = bench.one(from_x(), Message::parse(bye.into_bytes()).unwrap());
    assert_eq!(flow.remote, S_CSCF.parse().unwrap());
    assert_eq!(values(&entered, Name::Route), ["<sip:a.home.example;lr>", "<sip:10.30.0.1:5060;lr>"]);
}

#[test]
fn thg_8_a_broken_token_is_400_and_goes_nowhere() {
    let mut bench = new_bench(true);
    let token =
        "<sip:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;tokenized-by=home.example;lr>";
    let bye = text(&inbound("BYE", &format!("Route: <sip:192.0.2.1:5060;lr>, {token}\r\n")))
        .replace("To: <sip:alice@home.example>", "To: <sip:alice@home.example>;tag=t");
    assert_eq!(bench.status(from_x(), Message::parse(bye.into_bytes()).unwrap()), Some(400));
}

/// What is hidden from a network is not reached by it in clear either: not even in what looks like a dialog.
#[test]
fn prv_20_a_stranger_does_not_name_the_nodes_of_the_inside() {
    for (hides, status) in [(true, Some(403)), (false, None)] {
        let mut bench = new_bench(hides);
        let bye = text(&inbound("BYE", "Route: <sip:192.0.2.1:5060;lr>, <sip:10.30.0.1:9;lr>\r\n"))
            .replace("To: <sip:alice@home.example>", "To: <sip:alice@home.example>;tag=t");
        assert_eq!(bench.status(from_x(), Message::parse(bye.into_bytes()).unwrap()), status);
    }
}

/// SIP-20: also who has seen the branch does not answer inside, unless he is a node of the network.
#[test]
fn sip_20_a_stranger_inside_answers_nothing() {
    let mut bench = new_bench(false);
    let (_, entered) = bench.inward(from_x(), inbound("INVITE", ""));
    assert!(bench.take(inside("10.30.0.77:5060"), answer(&entered, 200)).sent.is_empty());
    assert_eq!(bench.status(inside(S_CSCF), answer(&entered, 200)), Some(200));
}

#[test]
fn thg_10_a_partner_that_may_see_sees() {
    let mut bench = new_bench(false);
    let (_, left) = bench.one(inside(S_CSCF), outbound("INVITE", "sip:eve@x.example", ""));
    assert!(!text(&left).contains("tokenized-by"));
    assert_eq!(values(&left, Name::Via)[1], "SIP/2.0/UDP 10.30.0.11:5060;branch=z9hG4bKs");
}

#[test]
fn thg_14_what_has_grown_too_large_for_udp_leaves_over_tcp() {
    let mut bench = new_bench(true);
    let padding = format!("Subject: {}\r\n", "x".repeat(440));
    let (flow, _) = bench.one(inside(S_CSCF), outbound("INVITE", "sip:eve@x.example", &padding));
    assert_eq!(flow.transport, Transport::Tcp);
    let mut bench = new_bench(false);
    let (flow, _) = bench.one(inside(S_CSCF), outbound("INVITE", "sip:eve@x.example", &padding));
    assert_eq!(flow.transport, Transport::Udp, "it is the tokens that make it so");
}

#[test]
fn sip_19_cancel_before_and_after_the_hss_has_answered() {
    let mut bench = new_bench(false);
    let asked = bench.take(from_x(), inbound("INVITE", "")).asked[0].0;
    let cancel = text(&inbound("CANCEL", "")).replace("z9hG4bKxCANCEL", "z9hG4bKxINVITE");
    let cancel = Message::parse(cancel.into_bytes()).unwrap();
    let statuses: Vec<_> =
        bench.take(from_x(), cancel.clone()).sent.iter().map(|(_, answer)| answer.status()).collect();
    assert_eq!(statuses, [Some(200), Some(487)]);
    assert!(bench.lia(asked, Ok(LocationInfo::Served { server_name: named('a') })).sent.is_empty());

    let mut bench = new_bench(false);
    let (_, entered) = bench.inward(from_x(), inbound("INVITE", ""));
    bench.answer(S_CSCF, answer(&entered, 180));
    let sent = bench.take(from_x(), cancel).sent;
    let methods: Vec<_> = sent.iter().map(|(flow, message)| (flow.remote, message.status())).collect();
    assert_eq!(methods, [(X.parse().unwrap(), Some(200)), (S_CSCF.parse().unwrap(), None)]);
    assert_eq!(sent[1].1.method(), Method::Cancel);
    let sent = bench.answer(S_CSCF, answer(&entered, 487)).sent;
    assert!(
        sent.iter().any(|(flow, message)| flow.remote == X.parse().unwrap() && message.status() == Some(487))
    );
}

#[test]
fn sip_19_the_ack_of_a_2xx_goes_by_its_route_and_leaves_nothing_behind() {
    let mut bench = new_bench(false);
    let (_, left) = bench.one(inside(S_CSCF), outbound("INVITE", "sip:eve@x.example", ""));
    let ok = Draft::reply(&left, 200, "OK", Some("x")).finish();
    for _ in 0..2 {
        assert_eq!(bench.one(from_x(), ok.clone()).1.status(), Some(200), "repeated until the ACK");
    }
    let ack = text(&outbound("ACK", "sip:eve@203.0.113.5:5060", ""))
        .replace("To: <sip:eve@203.0.113.5:5060>", "To: <sip:eve@x.example>;tag=x")
        .replace("z9hG4bKs", "z9hG4bKack");
    let (flow, ack) = bench.one(inside(S_CSCF), Message::parse(ack.into_bytes()).unwrap());
    assert_eq!((flow.remote, ack.method()), (X.parse().unwrap(), Method::Ack));
    bench.seconds(40);
    assert_eq!(bench.icscf.open(), 0);
}

#[test]
fn sip_11_a_503_of_another_network_is_500_here() {
    let mut bench = new_bench(false);
    let (_, left) = bench.one(inside(S_CSCF), outbound("MESSAGE", "sip:eve@x.example", ""));
    assert_eq!(bench.one(from_x(), answer(&left, 503)).1.status(), Some(500));
}

#[test]
fn sip_4_a_loop_is_482() {
    let mut bench = new_bench(false);
    let (_, left) = bench.one(inside(S_CSCF), outbound("MESSAGE", "sip:eve@x.example", ""));
    // The other side sends it back as it is, and the S-CSCF sends it here again.
    let mut again = Draft::forward(&left);
    again.push_front(Name::Route, "<sip:10.30.0.2:5060;lr>");
    again.push_front(Name::Via, "SIP/2.0/UDP 10.30.0.11:5060;branch=z9hG4bKagain");
    assert_eq!(bench.status(inside(S_CSCF), again.finish()), Some(482));
}
