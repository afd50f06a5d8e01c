//! Requests between users outside of calls: MESSAGE, OPTIONS, SUBSCRIBE and NOTIFY, and whom they do not reach.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::time::Duration;

use lab::plan;
use network::check::{check_answers, check_wire};
use network::plan::Attachment;
use network::{Network, Node, Options};
use sip::{Method, Name};
use ue::core::{Answering, Body, Request, TransportChoice};

/// UE 0 and 1 at one P-CSCF, 2 at the other of their network, 3 and 4 at those of another network.
fn options() -> Options {
    let attached = [(0, 0), (0, 0), (0, 1), (1, 0), (1, 1)].map(|(home, p)| Attachment::at_home(home, p));
    Options { ues: 5, operators: 2, p_cscfs: 2, attached: attached.to_vec(), ..Options::default() }
}

fn network(transport: TransportChoice) -> Network {
    let mut network = Network::new(&Options { transport, ..options() });
    network.register_all();
    network
}

const TRANSPORTS: [TransportChoice; 3] =
    [TransportChoice::Udp, TransportChoice::Tcp, TransportChoice::BySize];

/// Same P-CSCF, other P-CSCF, other network, and all the ways back.
const PAIRS: [(u16, u16); 8] = [(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0), (2, 4), (4, 2)];

fn requests() -> [Request; 3] {
    [
        Request::message("", "How are you?"),
        Request::options(""),
        Request::publish("", "presence", Body::text("here")),
    ]
}

/// Each reaches its user once, in ESP at both ends, and its answer comes back.
#[test]
fn sip_6_message_and_options_reach_every_user() {
    for transport in TRANSPORTS {
        let mut network = network(transport);
        for (from, to) in PAIRS {
            for request in requests().into_iter().take(2) {
                let (method, before) = (request.method, network.received(to).len());
                let request = Request { to: network.impu(to).into(), ..request };
                let answer = network.ask(from, request);
                let what = format!("{transport:?} {method} {from} -> {to}");
                assert_eq!(answer.status, 200, "{what}\n{:#?}", network.trace);
                let received = network.received(to);
                assert_eq!(received.len(), before + 1, "{what}");
                let received = received[before];
                assert_eq!(&*received.method, method.as_str(), "{what}");
                assert_eq!(
                    received.asserted.first().map(|one| &**one),
                    Some(&*format!("<{}>", network.impu(from)))
                );
                if method == Method::Message {
                    assert_eq!(received.text.as_deref(), Some("How are you?"));
                }
            }
        }
        network.check_quiet(&format!("{transport:?}"));
        check_wire(&network);
        check_answers(&network);
        assert_eq!(network.unprotected_drops, 0);
    }
}

/// Each stage of the way, once.
#[test]
fn sip_6_a_message_takes_service_route_and_path() {
    let mut network = network(TransportChoice::Udp);
    let since = network.trace.len();
    let answer = network.ask(0, Request::message(&network.impu(3), "hello"));
    assert_eq!(answer.status, 200);
    let there: Vec<&str> = network.trace[since..]
        .iter()
        .filter_map(|line| line.split(" MESSAGE").next().filter(|head| head.len() < line.len()))
        .collect();
    let expected = [
        "UE0 -> P-CSCF",
        "P-CSCF -> S-CSCF",
        "S-CSCF -> I-CSCF",
        "I-CSCF -> I-CSCF.b",
        "I-CSCF.b -> S-CSCF.b",
        "S-CSCF.b -> P-CSCF.b",
        "P-CSCF.b -> UE3",
    ];
    assert_eq!(there, expected, "{:#?}", &network.trace[since..]);
}

/// The text grows over 1300 octets somewhere on the way: from there TCP, within the same set.
#[test]
fn sip_8_a_large_message_goes_by_tcp() {
    for (from, to) in PAIRS {
        let mut network = network(TransportChoice::BySize);
        let text = "x".repeat(1300);
        let answer = network.ask(from, Request::message(&network.impu(to), &text));
        assert_eq!(answer.status, 200, "{from} -> {to}\n{:#?}", network.trace);
        let received = network.received(to);
        assert_eq!(received.last().map(|one| one.body_length), Some(1300));
        let hops = network
            .sent
            .iter()
            .filter(|sent| sent.message.is_request() && sent.message.method() == Method::Message);
        for sent in hops {
            let via = sent.message.first(Name::Via).unwrap();
            assert!(via.starts_with("SIP/2.0/TCP"), "{} -> {}: {via}", sent.from, sent.to);
        }
        network.check_quiet("large");
        assert_eq!(network.unprotected_drops, 0);
    }
}

/// 404 for whom nobody knows, 480 for who is not there, 404 for who may not be called.
#[test]
fn sip_4_whom_nobody_reaches() {
    let identities = vec![(1, "sip:barred@ims.mnc001.mcc001.3gppnetwork.org", true)];
    let mut network = Network::new(&Options { identities, ..options() });
    for ue in [0, 1, 3] {
        network.command(ue, ue::core::Command::Register);
    }
    network.run(Duration::from_secs(60));
    let cases = [
        ("sip:nobody@ims.mnc001.mcc001.3gppnetwork.org".to_owned(), vec![404]),
        ("sip:nobody@b.example".to_owned(), vec![404]),
        (network.impu(2), vec![480]),
        (network.impu(4), vec![480]),
        ("sip:barred@ims.mnc001.mcc001.3gppnetwork.org".to_owned(), vec![404]),
        ("tel:+4999999".to_owned(), vec![404]),
        ("sip:somebody@nowhere.example".to_owned(), vec![404, 502]),
    ];
    for (to, statuses) in cases {
        for request in requests() {
            let method = request.method;
            let answer = network.ask(0, Request { to: to.as_str().into(), ..request });
            assert!(statuses.contains(&answer.status), "{method} {to}: {}", answer.status);
            assert!(!answer.local);
        }
    }
    network.check_quiet("whom nobody reaches");
}

/// By telephone number, of the own network.
#[test]
fn sip_6_a_telephone_number_is_reached() {
    let mut network = network(TransportChoice::Udp);
    for to in [1, 2] {
        let answer = network.ask(0, Request::message(&plan::tel(to), "by number"));
        assert_eq!(answer.status, 200, "{:#?}", network.trace);
        assert_eq!(network.received(to).last().unwrap().text.as_deref(), Some("by number"));
    }
    network.check_quiet("number");
}

#[test]
fn sip_4_max_forwards_ends_with_483() {
    let mut network = network(TransportChoice::Udp);
    let mut statuses = Vec::new();
    for hops in 0..8 {
        let headers = vec![("Max-Forwards".into(), hops.to_string().into())];
        let to = network.impu(3).into();
        let answer = network.ask(0, Request { to, headers, ..Request::message("", "so far") });
        statuses.push(answer.status);
    }
    // P-CSCF, S-CSCF, I-CSCF, I-CSCF, S-CSCF, P-CSCF.
    assert_eq!(statuses, [483, 483, 483, 483, 483, 483, 200, 200]);
    assert_eq!(network.received(3).len(), 2);
    network.check_quiet("Max-Forwards");
}

/// No 408 to a MESSAGE, and the sender hears something all the same.
#[test]
fn sip_12_a_silent_callee_is_no_408() {
    for to in [1, 3] {
        let mut network = network(TransportChoice::Udp);
        network.silence(Node::Ue(to));
        let answer = network.ask(0, Request::message(&network.impu(to), "are you there?"));
        assert!(!answer.is_success(), "{answer:?}");
        let timeouts = network.sent.iter().filter(|sent| sent.message.status() == Some(408)).count();
        assert_eq!(timeouts, 0, "{:#?}", network.trace);
        network.check_quiet("silent");
    }
}

/// A subscription of one user to what another tells: the NOTIFY comes back in its dialog, by the way of the SUBSCRIBE.
#[test]
fn sip_7_sip_18_a_notify_takes_the_way_of_its_subscription_back() {
    for transport in TRANSPORTS {
        for (from, to) in PAIRS {
            let mut network = network(transport);
            network.answers(to, Answering { packages: vec!["presence".into()], ..Answering::default() });
            let what = format!("{transport:?} {from} -> {to}");
            let answer = network.ask(from, Request::subscribe(&network.impu(to), "presence", 600));
            assert_eq!(answer.status, 200, "{what}\n{:#?}", network.trace);
            network.run(Duration::from_secs(5));
            let notified: Vec<_> =
                network.received(from).into_iter().filter(|one| &*one.method == "NOTIFY").collect();
            assert_eq!(notified.len(), 1, "{what}\n{:#?}", network.trace);
            assert_eq!(notified[0].status, Some(200), "{what}");
            let of_users = |sent: &&network::Sent| {
                sent.message.is_request() && sent.message.first(Name::Event) == Some("presence")
            };
            let hops = |method| {
                let sent = network.sent.iter().filter(of_users);
                sent.filter(|sent| sent.message.method() == method).map(|sent| (sent.from, sent.to)).collect()
            };
            let (there, back): (Vec<_>, Vec<_>) = (hops(Method::Subscribe), hops(Method::Notify));
            // I-CSCFs within one network do not stay on the way.
            let border = from.max(to) > 2 && from.min(to) <= 2;
            let stays =
                |hop: &&(Node, Node)| border || ![hop.0, hop.1].iter().any(|n| matches!(n, Node::ICscf(..)));
            let inner: Vec<(Node, Node)> = there.iter().rev().map(|(a, b)| (*b, *a)).collect();
            let expected: Vec<_> = inner.iter().filter(stays).copied().collect();
            let got: Vec<_> = back.iter().filter(|hop| expected.contains(hop)).copied().collect();
            assert_eq!(got, expected, "{what}: {there:?} {back:?}");
            assert!(
                !network
                    .sent
                    .iter()
                    .any(|sent| of_users(&sent) && !sent.protected && matches!(sent.to, Node::Ue(_)))
            );
        }
    }
}
