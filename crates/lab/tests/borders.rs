//! Several operators and somebody outside: who gets across which border, and with what.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::time::Duration;

use network::check::{check_answers, check_kernels, check_wire};
use network::partner::Act;
use network::plan::Attachment;
use network::{Network, Node, Options, sites};
use sip::{Draft, Message, Method, Name, Transport};
use ue::core::{Call, CallStep, Command, Identity, Request, Step};

const MINUTE: Duration = Duration::from_secs(60);

/// Everybody at home, two of them at the second P-CSCF, and the last abroad.
fn attached() -> Vec<Attachment> {
    vec![
        Attachment::at_home(0, 0),
        Attachment::at_home(0, 1),
        Attachment::at_home(1, 0),
        Attachment::at_home(1, 1),
        Attachment { home: 0, visited: 1, p_cscf: 0 },
    ]
}

fn operators() -> Options {
    Options { ues: 5, operators: 2, p_cscfs: 2, i_cscfs: 2, attached: attached(), ..Options::default() }
}

/// Each at the S-CSCF of its own network, through the P-CSCF where it is.
#[test]
fn sip_6_users_of_several_operators_register_at_home_and_abroad() {
    let mut network = Network::new(&Options { subscribe: true, ..operators() });
    for ue in 0..5 {
        let steps = network.command(ue, Command::Register);
        assert!(matches!(steps.last(), Some(Step::Registered(_))), "UE {ue}: {steps:?}");
    }
    network.run(MINUTE);
    let homes: Vec<(Node, String)> = network.registered_where().into_iter().collect();
    let expected = [(0, 0), (0, 1), (0, 4), (1, 2), (1, 3)]
        .map(|(operator, ue)| (Node::SCscf(operator, 0), sites::impi(operator, ue)));
    assert_eq!(homes, expected);
    // The one abroad crossed the border of its home network.
    let crossed = network.sent.iter().filter(|sent| sent.from == Node::PCscf(1, 0));
    assert!(crossed.clone().any(|sent| sent.to == Node::ICscf(0, 0) && sent.message.is_request()));
    assert!(!network.trace.iter().any(|line| line.starts_with("P-CSCF -> I-CSCF.b")));
    for ue in 0..5 {
        assert_eq!(network.command(ue, Command::Deregister).last(), Some(&Step::Deregistered));
    }
    network.run(10 * MINUTE);
    assert!(network.registered().is_empty());
    check_kernels(&mut network, 0);
    check_wire(&network);
    check_answers(&network);
}

/// Nobody outside reaches the inside address of an I-CSCF, or an S-CSCF.
#[test]
fn prv_20_a_stranger_is_refused_inside() {
    for (node, to) in [Node::ICscf(0, 0), Node::SCscf(0, 0)].map(|node| (node, sites::inside(node))) {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut network = Network::new(&operators());
            network.command(0, Command::Register);
            let uri = network.ues[0].config().impu.to_string();
            let request = network.partner.request(Method::Message, &uri).finish();
            network.partner_does(Act::Ask { to, transport, request });
            network.run(MINUTE);
            let statuses: Vec<_> = network.partner.responses.iter().map(Message::status).collect();
            assert_eq!(statuses, [Some(403)], "{node} {transport:?}");
            assert_eq!(network.partner.open_transactions(), 0);
        }
    }
}

const STRANGER: &str = "sip:stranger@partner.example";

fn registered() -> Network {
    let mut network = Network::new(&operators());
    network.register_all();
    network
}

/// What the stranger got of this method, the last of it.
fn at_partner<'a>(network: &'a Network, method: Method<'_>) -> &'a Message {
    network.partner.requests.iter().rev().find(|request| request.method() == method).unwrap()
}

fn with_privacy(privacy: Option<&str>) -> Identity {
    Identity { privacy: privacy.map(Into::into), ..Identity::default() }
}

/// Towards a stranger the asserted identity goes only where the user lets it.
#[test]
fn prv_6_what_a_stranger_hears_of_who_asks() {
    for (privacy, told) in [(None, false), (Some("none"), true), (Some("id"), false), (Some("user"), false)] {
        for from in [0, 1, 2, 4] {
            let mut network = registered();
            let what = format!("{privacy:?} of {from}");
            let identity = with_privacy(privacy);
            let request = Request { identity, ..Request::message(STRANGER, "hello out there") };
            let answer = network.ask(from, request);
            assert_eq!(answer.status, 200, "{what}\n{:#?}", network.trace);
            let message = at_partner(&network, Method::Message);
            assert_eq!(message.first(Name::PAssertedIdentity).is_some(), told, "{what}: {message:?}");
            for name in [Name::PChargingVector, Name::PVisitedNetworkId, Name::PPreferredIdentity] {
                assert!(message.first(name).is_none(), "{what}: {}", name.as_str());
            }
            let from = message.first(Name::From).unwrap();
            assert_eq!(from.contains("anonymous.invalid"), privacy == Some("user"), "{what}: {from}");
            network.check_quiet(&what);
        }
    }
}

/// What cannot be done for a user before the network ends is not sent out at all.
#[test]
fn prv_9_what_is_critical_does_not_leave_where_it_cannot_be_done() {
    let mut network = registered();
    let identity = with_privacy(Some("header;critical"));
    let answer = network.ask(0, Request { identity, ..Request::message(STRANGER, "secret") });
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(network.partner.requests.is_empty());
    network.check_quiet("critical");
}

/// What a stranger says of itself, and says that the network has said.
fn forged(network: &mut Network, method: Method<'static>, to: &str) -> Message {
    let mut draft = network.partner.request(method, to);
    draft
        .push(Name::PAssertedIdentity, "<sip:president@ims.mnc001.mcc001.3gppnetwork.org>")
        .push(Name::PPreferredIdentity, "<sip:president@ims.mnc001.mcc001.3gppnetwork.org>")
        .push(Name::PChargingVector, "icid-value=\"forged\"")
        .push(Name::PVisitedNetworkId, "forged.example")
        .push_other("P-Served-User", "<sip:president@ims.mnc001.mcc001.3gppnetwork.org>")
        .push_other("P-Access-Network-Info", "3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=forged");
    if method == Method::Invite {
        draft.body("application/sdp", &b"v=0\r\n"[..]);
    }
    draft.finish()
}

/// Nothing that a stranger asserts gets into the network, and its From is its own affair.
#[test]
fn prv_7_what_a_stranger_asserts_stays_outside() {
    for to in [0, 1, 4] {
        for method in [Method::Message, Method::Invite, Method::Options] {
            for transport in [Transport::Udp, Transport::Tcp] {
                let mut network = registered();
                let what = format!("{method} to {to} {transport:?}");
                let impu = network.impu(to);
                let request = forged(&mut network, method, &impu);
                let call_id = request.call_id().to_owned();
                network.partner_does(Act::Ask { to: sites::border(0, 0), transport, request });
                network.run(Duration::from_secs(10));
                let statuses: Vec<_> = network.partner.responses.iter().filter_map(Message::status).collect();
                assert_eq!(statuses.last(), Some(&200), "{what}: {statuses:?}\n{:#?}", network.trace);
                let received = network.received(to).first().copied().unwrap();
                assert!(received.from.contains("sip:stranger@partner.example"), "{what}: {}", received.from);
                assert!(received.asserted.is_empty(), "{what}: {:?}", received.asserted);
                for sent in network.sent.iter().filter(|sent| sent.message.call_id() == call_id) {
                    let text = String::from_utf8_lossy(&sent.message.bytes()).into_owned();
                    let inside = sent.from != Node::Partner && sent.message.is_request();
                    assert!(
                        !inside || !text.contains("president"),
                        "{what}: {} -> {}\n{text}",
                        sent.from,
                        sent.to
                    );
                    assert!(
                        !inside || !text.contains("forged"),
                        "{what}: {} -> {}\n{text}",
                        sent.from,
                        sent.to
                    );
                }
                if method == Method::Invite {
                    network.partner_does(Act::Within { call_id, method: Method::Bye, body: None });
                }
                network.check_quiet(&what);
            }
        }
    }
}

/// A call to a stranger and one from it, with what belongs to them, ended by either side.
#[test]
fn sip_19_calls_to_and_from_a_stranger() {
    for from in [0, 1, 4, 2] {
        for stranger_ends in [false, true] {
            let mut network = registered();
            let what = format!("{from} {stranger_ends}");
            let (call, step) = network.call(from, Call::to(STRANGER));
            assert!(matches!(step, CallStep::Answered(_)), "{what}: {step:?}\n{:#?}", network.trace);
            network.run(Duration::from_secs(2));
            let ends = |step: &Step| matches!(step, Step::Call { step, .. } if step.ends());
            network.until(from, Command::Reinvite { call }, ends);
            if stranger_ends {
                let call_id = at_partner(&network, Method::Invite).call_id().to_owned();
                network.partner_does(Act::Within { call_id, method: Method::Bye, body: None });
                network.run(Duration::from_secs(5));
            } else {
                network.until(from, Command::HangUp { call }, ends);
            }
            let steps = network.call_steps(from, call);
            assert!(
                matches!(steps.last(), Some(CallStep::Ended { .. })),
                "{what}: {steps:?}\n{:#?}",
                network.trace
            );
            let got: Vec<Method<'_>> = network.partner.requests.iter().map(Message::method).collect();
            assert_eq!(got.iter().filter(|method| **method == Method::Ack).count(), 2, "{what}: {got:?}");
            network.check_quiet(&what);
            check_wire(&network);
        }
    }
}

/// A stranger takes its call back.
#[test]
fn sip_19_a_stranger_cancels() {
    let mut network = registered();
    network.answers_with(0, ue::core::CallAnswer::Silence);
    let impu = network.impu(0);
    let request = forged(&mut network, Method::Invite, &impu);
    let call_id = request.call_id().to_owned();
    network.partner_does(Act::Ask { to: sites::border(0, 0), transport: Transport::Udp, request });
    network.run(Duration::from_secs(10));
    network.partner_does(Act::Cancel { call_id });
    network.run(Duration::from_secs(10));
    let statuses: Vec<_> = network.partner.responses.iter().filter_map(Message::status).collect();
    assert_eq!(statuses.last(), Some(&487), "{statuses:?}\n{:#?}", network.trace);
    let steps = network.call_steps(0, network.last_call(0).unwrap());
    assert!(matches!(steps.last(), Some(CallStep::Cancelled)), "{steps:?}");
    network.check_quiet("a stranger cancels");
}

/// A request that comes round to where it was is not sent round again.
#[test]
fn sip_4_a_loop_is_482() {
    let mut network = registered();
    let uri = network.impu(0);
    let request = network.partner.request(Method::Message, &uri).finish();
    let (to, transport) = (sites::border(0, 0), Transport::Udp);
    network.partner_does(Act::Ask { to, transport, request: request.clone() });
    network.run(Duration::from_secs(2));
    let once = network.requests(Node::ICscf(0, 0), Node::SCscf(0, 0), Method::Message);
    let mut again = Draft::forward(&request);
    again.replace_values(Name::Via, once[0].values(Name::Via).map(str::to_owned).collect::<Vec<_>>());
    let request = again.finish();
    network.partner_does(Act::Ask { to, transport, request });
    network.run(Duration::from_secs(2));
    let statuses: Vec<_> = network.partner.responses.iter().filter_map(Message::status).collect();
    assert_eq!(statuses, [200, 482], "{:#?}", network.trace);
    assert_eq!(network.received(0).len(), 1);
    network.check_quiet("loop");
}

/// Nobody uses a network as the way between two others, and no stranger registers or chooses its way inside.
#[test]
fn prv_7_a_stranger_gets_no_further_than_to_users() {
    let mut network = registered();
    let inside = sites::inside(Node::SCscf(0, 0));
    let own = network.impu(0);
    let mut refused = Vec::new();
    for (method, uri, route) in [
        (Method::Message, "sip:user3@b.example", None),
        (Method::Message, "sip:somebody@nowhere.example", None),
        (Method::Message, own.as_str(), Some(format!("<sip:orig@{inside};lr>"))),
        (Method::Register, "sip:ims.mnc001.mcc001.3gppnetwork.org", None),
    ] {
        let mut draft = network.partner.request(method, uri);
        if let Some(route) = route {
            draft.push(Name::Route, route);
        }
        let request = draft.finish();
        network.partner_does(Act::Ask { to: sites::border(0, 0), transport: Transport::Udp, request });
        network.run(Duration::from_secs(10));
        refused.push(network.partner.responses.last().and_then(Message::status));
    }
    assert!(
        refused.iter().all(|status| status.is_some_and(|status| (400..500).contains(&status))),
        "{refused:?}"
    );
    assert!(network.received(0).is_empty() && network.received(2).is_empty());
    network.check_quiet("no further");
}

/// Operators that know each other by certificates: TLS on the border, and nothing lost of who asks.
#[test]
fn prv_15_operators_that_speak_tls_trust_each_other() {
    let attached = vec![Attachment::at_home(0, 0), Attachment::at_home(1, 0)];
    let mut network = Network::new(&Options {
        ues: 2,
        operators: 2,
        i_cscfs: 2,
        attached,
        tls: true,
        ..Options::default()
    });
    network.register_all();
    for (from, to) in [(0, 1), (1, 0)] {
        let (call, step) = network.call(from, Call::to(&network.impu(to)));
        let CallStep::Answered(answer) = step else { panic!("{step:?}\n{:#?}", network.trace) };
        assert_eq!(answer.asserted.first().map(|one| &**one), Some(&*format!("<{}>", network.impu(to))));
        let invite = network.received(to).into_iter().rev().find(|one| &*one.method == "INVITE").unwrap();
        assert_eq!(invite.asserted.first().map(|one| &**one), Some(&*format!("<{}>", network.impu(from))));
        network.run(Duration::from_secs(2));
        network.until(
            from,
            Command::HangUp { call },
            |step| matches!(step, Step::Call { step, .. } if step.ends()),
        );
    }
    let mut crossed = 0;
    for sent in &network.sent {
        if matches!((sent.from, sent.to), (Node::ICscf(one, _), Node::ICscf(other, _)) if one != other) {
            let via = sent.message.first(Name::Via).unwrap();
            assert!(via.starts_with("SIP/2.0/TLS"), "{} -> {}: {via}", sent.from, sent.to);
            crossed += 1;
        }
    }
    assert!(crossed > 10, "{crossed}");
    network.check_quiet("TLS");
}
