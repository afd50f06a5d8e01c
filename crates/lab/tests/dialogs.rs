//! Calls between users, in every direction: how they come about, change and end.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::time::Duration;

use network::check::{check_answers, check_wire};
use network::plan::Attachment;
use network::{Network, Node, Options};
use sip::{Method, Name};
use ue::core::{
    Answering, Body, Call, CallAnswer, CallId, CallStep, Command, EndedBy, Step, TransportChoice,
};

/// UE 0 and 1 at one P-CSCF, 2 at the other of their network, 3 and 4 at those of another network.
fn network(transport: TransportChoice) -> Network {
    let attached = [(0, 0), (0, 0), (0, 1), (1, 0), (1, 1)].map(|(home, p)| Attachment::at_home(home, p));
    let mut network = Network::new(&Options {
        ues: 5,
        operators: 2,
        p_cscfs: 2,
        attached: attached.to_vec(),
        transport,
        ..Options::default()
    });
    network.register_all();
    network
}

const TRANSPORTS: [TransportChoice; 3] =
    [TransportChoice::Udp, TransportChoice::Tcp, TransportChoice::BySize];

/// Same P-CSCF, other P-CSCF, other network, and all the ways back.
const PAIRS: [(u16, u16); 8] = [(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0), (2, 4), (4, 2)];

/// The steps in short.
fn told(network: &Network, ue: u16, call: CallId) -> Vec<String> {
    let short = |step: &CallStep| match step {
        CallStep::Calling => "calling".to_owned(),
        CallStep::Incoming => "incoming".to_owned(),
        CallStep::Ringing { status, reliable } => format!("{status}{}", if *reliable { " rel" } else { "" }),
        CallStep::Answered(answer) => format!("answered {}", answer.status),
        CallStep::Confirmed => "confirmed".to_owned(),
        CallStep::Refused(answer) => format!("refused {}", answer.status),
        CallStep::Declined { status } => format!("declined {status}"),
        CallStep::Cancelled => "cancelled".to_owned(),
        CallStep::Changed { method, answer } => format!("{method} {}", answer.status),
        CallStep::Ended { by } => format!("ended by {}", by.as_str()),
        CallStep::Failed(failure) => format!("failed: {failure}"),
    };
    network.call_steps(ue, call).into_iter().map(short).collect()
}

/// Does something to a call and runs until it is done.
fn change(network: &mut Network, ue: u16, command: Command) {
    network.until(ue, command, |step| matches!(step, Step::Call { step, .. } if step.ends()));
    // Its ACK is under way.
    network.run(Duration::from_secs(1));
}

/// A whole call: rings reliably, is answered, changed by both sides, and ended by one of them.
#[test]
fn sip_19_a_whole_call_in_every_direction() {
    for transport in TRANSPORTS {
        for (from, to) in PAIRS {
            let what = format!("{transport:?} {from} -> {to}");
            let mut network = network(transport);
            let (call, _) = network.call(from, Call::to(&network.impu(to)));
            network.run(Duration::from_secs(2));
            let at_callee = network.last_call(to).expect("it was called");
            change(&mut network, from, Command::Reinvite { call });
            change(&mut network, to, Command::Reinvite { call: at_callee });
            change(&mut network, from, Command::Update { call });
            change(&mut network, to, Command::Inform { call: at_callee, body: Body::text("still here") });
            let ends = if transport == TransportChoice::Tcp { to } else { from };
            let of = |ue| if ue == from { call } else { at_callee };
            change(&mut network, ends, Command::HangUp { call: of(ends) });
            network.run(Duration::from_secs(2));
            let ends_with = |by| format!("ended by {by}");
            let (by_caller, by_callee) = if ends == from { ("us", "peer") } else { ("peer", "us") };
            let caller = told(&network, from, call);
            let expected = ["calling", "180 rel", "answered 200", "INVITE 200", "UPDATE 200"];
            assert_eq!(caller[..5], expected, "{what}\n{:#?}", network.trace);
            assert_eq!(caller.last(), Some(&ends_with(by_caller)), "{what}");
            let callee = told(&network, to, at_callee);
            let expected = ["incoming", "180 rel", "confirmed", "INVITE 200", "INFO 200"];
            assert_eq!(callee[..5], expected, "{what}\n{:#?}", network.trace);
            assert_eq!(callee.last(), Some(&ends_with(by_callee)), "{what}");
            check_bodies(&network, &what);
            network.check_quiet(&what);
            check_wire(&network);
            check_answers(&network);
            assert_eq!(network.unprotected_drops, 0, "{what}");
        }
    }
}

/// What a user says arrives as it was said: every hop of a message has the same body.
fn check_bodies(network: &Network, what: &str) {
    let calls = network.sent.iter().filter(|sent| sent.message.method() != Method::Register);
    let mut bodies = std::collections::HashMap::new();
    for sent in calls.filter(|sent| !sent.message.body().is_empty()) {
        let cseq = sent.message.first(Name::CSeq).unwrap().to_owned();
        let tag = sent.message.from().unwrap().tag().unwrap_or_default().to_owned();
        let key = (sent.message.call_id().to_owned(), tag, cseq, sent.message.status());
        let first = bodies.entry(key).or_insert_with(|| sent.message.body().to_vec());
        assert_eq!(sent.message.body(), first, "{what}: {} -> {}", sent.from, sent.to);
    }
}

/// Requests within the call take the way of its INVITE, both ways, with the P-CSCFs' protected ports towards the UEs.
#[test]
fn sip_7_requests_within_a_call_take_its_way_back_and_forth() {
    let mut network = network(TransportChoice::Udp);
    let (call, _) = network.call(0, Call::to(&network.impu(3)));
    network.run(Duration::from_secs(2));
    let at_callee = network.last_call(3).unwrap();
    change(&mut network, 0, Command::Inform { call, body: Body::text("there") });
    change(&mut network, 3, Command::Inform { call: at_callee, body: Body::text("back") });
    let way: Vec<(Node, Node)> = network
        .sent
        .iter()
        .filter(|sent| sent.message.is_request() && sent.message.method() == Method::Info)
        .map(|sent| (sent.from, sent.to))
        .collect();
    let nodes = [
        Node::Ue(0),
        Node::PCscf(0, 0),
        Node::SCscf(0, 0),
        Node::ICscf(0, 0),
        Node::ICscf(1, 0),
        Node::SCscf(1, 0),
        Node::PCscf(1, 0),
        Node::Ue(3),
    ];
    let there = nodes.windows(2).map(|pair| (pair[0], pair[1]));
    let back = nodes.windows(2).rev().map(|pair| (pair[1], pair[0]));
    assert_eq!(way, there.chain(back).collect::<Vec<_>>(), "{:#?}", network.trace);
    // Each UE sees its own P-CSCF with the protected port, and nobody else sees that port.
    let server = lab::plan::p_cscf_ports().0.get();
    for sent in &network.sent {
        let routes: Vec<&str> = sent.message.values(Name::RecordRoute).collect();
        let ports = routes.iter().filter(|route| route.contains(&format!(":{server};"))).count();
        let gm = matches!(sent.from, Node::Ue(_)) || matches!(sent.to, Node::Ue(_));
        assert_eq!(ports, usize::from(gm && !routes.is_empty()), "{} -> {}: {routes:?}", sent.from, sent.to);
    }
    change(&mut network, 0, Command::HangUp { call });
    network.check_quiet("way");
}

/// The caller takes its call back while it rings: CANCEL hop by hop, and 487 at the end.
#[test]
fn sip_19_a_call_taken_back_is_cancelled_at_every_hop() {
    for transport in TRANSPORTS {
        for (from, to) in PAIRS {
            let what = format!("{transport:?} {from} -> {to}");
            let mut network = network(transport);
            network.answers_with(to, CallAnswer::Silence);
            network.command_at(network.now, from, Call::to(&network.impu(to)).into());
            network.run(Duration::from_secs(20));
            let (call, at_callee) = (network.last_call(from).unwrap(), network.last_call(to).unwrap());
            change(&mut network, from, Command::Cancel { call });
            network.run(Duration::from_secs(5));
            assert_eq!(told(&network, from, call), ["calling", "180 rel", "refused 487"], "{what}");
            assert_eq!(told(&network, to, at_callee), ["incoming", "180 rel", "cancelled"], "{what}");
            let count = |method| {
                let of = |sent: &&network::Sent| sent.message.is_request() && sent.message.method() == method;
                network.sent.iter().filter(of).map(|sent| (sent.from, sent.to)).collect::<Vec<_>>()
            };
            assert_eq!(count(Method::Cancel), count(Method::Invite), "{what}\n{:#?}", network.trace);
            network.check_quiet(&what);
            check_wire(&network);
        }
    }
}

/// Busy, declined, elsewhere: the caller gets just that.
#[test]
fn sip_19_refusals_of_the_callee_reach_the_caller() {
    let answers = [
        (CallAnswer::Busy, 486),
        (CallAnswer::Decline, 603),
        (CallAnswer::Redirect("<sip:elsewhere@b.example>".into()), 302),
        (CallAnswer::Refuse { status: 488, reason: "Not Acceptable Here".into() }, 488),
    ];
    for transport in TRANSPORTS {
        let mut network = network(transport);
        for (from, to) in PAIRS {
            for (with, status) in &answers {
                network.answers_with(to, with.clone());
                let what = format!("{transport:?} {from} -> {to} {status}");
                let (_, step) = network.call(from, Call::to(&network.impu(to)));
                let CallStep::Refused(answer) = step else { panic!("{what}: {step:?}") };
                assert_eq!(answer.status, *status, "{what}");
                network.run(Duration::from_secs(2));
                let callee = told(&network, to, network.last_call(to).unwrap());
                assert_eq!(callee.last(), Some(&format!("declined {status}")), "{what}");
            }
        }
        network.check_quiet(&format!("{transport:?}"));
        check_wire(&network);
    }
}

/// A callee of whom nothing is heard any more.
#[test]
fn sip_19_a_silent_callee_is_408() {
    for to in [1, 2, 3] {
        let mut network = network(TransportChoice::Udp);
        network.silence(Node::Ue(to));
        let (_, step) = network.call(0, Call::to(&network.impu(to)));
        let CallStep::Refused(answer) = step else { panic!("{step:?}") };
        assert_eq!((answer.status, answer.local), (408, false), "{to}\n{:#?}", network.trace);
        network.check_quiet("silent");
    }
}

/// It rings until the network gives up (Timer C): both ends hear of it.
#[test]
fn sip_19_a_call_that_nobody_answers_ends_by_timer_c() {
    for to in [1, 3] {
        let mut network = network(TransportChoice::Udp);
        network.answers_with(to, CallAnswer::Silence);
        let (call, step) = network.call(0, Call::to(&network.impu(to)));
        let CallStep::Refused(answer) = step else { panic!("{step:?}") };
        assert!([408, 480, 487].contains(&answer.status), "{answer:?}");
        network.run(Duration::from_secs(10));
        assert_eq!(told(&network, 0, call)[..2], ["calling", "180 rel"]);
        let callee = told(&network, to, network.last_call(to).unwrap());
        assert_eq!(callee.last().map(String::as_str), Some("cancelled"), "{:#?}", network.trace);
        network.check_quiet("Timer C");
    }
}

/// Nobody to call: 404, 480; and what goes no further: 483.
#[test]
fn sip_4_calls_to_nobody() {
    let identities = vec![(1, "sip:barred@ims.mnc001.mcc001.3gppnetwork.org", true)];
    let attached = [(0, 0), (0, 0), (0, 0), (1, 0), (1, 0)].map(|(home, p)| Attachment::at_home(home, p));
    let options =
        Options { ues: 5, operators: 2, attached: attached.to_vec(), identities, ..Options::default() };
    let mut network = Network::new(&options);
    for ue in [0, 1, 3] {
        network.command(ue, Command::Register);
    }
    network.run(Duration::from_secs(60));
    let cases = [
        ("sip:nobody@ims.mnc001.mcc001.3gppnetwork.org".to_owned(), 404),
        ("sip:nobody@b.example".to_owned(), 404),
        (network.impu(2), 480),
        (network.impu(4), 480),
        ("sip:barred@ims.mnc001.mcc001.3gppnetwork.org".to_owned(), 404),
    ];
    for (to, status) in cases {
        let (_, step) = network.call(0, Call::to(&to));
        let CallStep::Refused(answer) = step else { panic!("{to}: {step:?}") };
        assert_eq!((answer.status, answer.local), (status, false), "{to}");
    }
    for hops in 0..6 {
        let headers = vec![("Max-Forwards".into(), hops.to_string().into())];
        let (_, step) = network.call(0, Call { headers, ..Call::to(&network.impu(3)) });
        let CallStep::Refused(answer) = step else { panic!("{hops}: {step:?}") };
        assert_eq!(answer.status, 483, "{hops}");
    }
    network.check_quiet("nobody");
}

/// An INVITE over 1300 octets goes by TCP, with the rest of its call as it is.
#[test]
fn sip_8_a_call_with_a_large_offer() {
    for (from, to) in PAIRS {
        let mut network = network(TransportChoice::BySize);
        let mut session = Body::session();
        session.octets.extend(b"a=x-padding:".iter().chain([b'x'; 1200].iter()).chain(b"\r\n"));
        let (call, step) = network.call(from, Call { session, ..Call::to(&network.impu(to)) });
        assert!(matches!(step, CallStep::Answered(_)), "{from} -> {to}: {step:?}\n{:#?}", network.trace);
        let invites = network
            .sent
            .iter()
            .filter(|sent| sent.message.is_request() && sent.message.method() == Method::Invite);
        for sent in invites {
            assert!(sent.message.first(Name::Via).unwrap().starts_with("SIP/2.0/TCP"), "{}", sent.from);
        }
        network.run(Duration::from_secs(2));
        change(&mut network, from, Command::HangUp { call });
        network.run(Duration::from_secs(2));
        let callee = told(&network, to, network.last_call(to).unwrap());
        assert_eq!(callee.last().map(String::as_str), Some("ended by peer"), "{from} -> {to}");
        network.check_quiet("large offer");
        assert_eq!(network.unprotected_drops, 0);
    }
}

/// Ringing is not made reliable for a caller that cannot take it.
#[test]
fn sip_19_a_caller_without_100rel_hears_it_ring_too() {
    let mut network = network(TransportChoice::Udp);
    network.answers(3, Answering { reliable: false, ..Answering::default() });
    for reliable in [true, false] {
        let (call, _) = network.call(0, Call { reliable, ..Call::to(&network.impu(3)) });
        network.run(Duration::from_secs(2));
        assert_eq!(told(&network, 0, call), ["calling", "180", "answered 200"]);
        change(&mut network, 0, Command::HangUp { call });
    }
    assert!(network.requests(Node::Ue(0), Node::P_CSCF, Method::Prack).is_empty());
    network.check_quiet("unreliable");
    assert_eq!(EndedBy::Us.as_str(), "us");
}

/// A re-INVITE of which nothing more than 100 is heard does not outlive its call.
#[test]
fn sip_19_an_offer_that_nobody_answers_ends_with_its_call() {
    let mut network = network(TransportChoice::Udp);
    let (call, _) = network.call(0, Call::to(&network.impu(1)));
    network.run(Duration::from_secs(2));
    network.silence(Node::Ue(1));
    network.command_at(network.now, 0, Command::Reinvite { call });
    network.run(Duration::from_secs(1));
    network.silence(Node::P_CSCF);
    network.command_at(network.now, 0, Command::HangUp { call });
    network.run(Duration::from_secs(600));
    assert_eq!(told(&network, 0, call).last().map(String::as_str), Some("ended by us"));
    assert!(network.trace.iter().any(|line| line == "P-CSCF -> UE0 100 in ESP"));
    assert!(!network.open().iter().any(|(node, _)| *node == Node::Ue(0)), "{:?}", network.open());
}
