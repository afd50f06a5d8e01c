//! Topology hiding: what other networks see of one that hides itself, and that everything still finds its way.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::time::Duration;

use network::check::{check_answers, check_wire};
use network::plan::{Attachment, Options};
use network::{Network, Node, Sent, sites};
use sip::{Method, Name};
use ue::core::{Body, Call, CallStep, Command, Request, Step, TransportChoice};

/// UE 0 and 1 at home in the network that hides itself, 2 at home in the other, 3 of the first network abroad in the
/// other. Requests leave by one I-CSCF and come in by the other.
fn options() -> Options {
    let abroad = Attachment { home: 0, visited: 1, p_cscf: 0 };
    let attached =
        vec![Attachment::at_home(0, 0), Attachment::at_home(0, 1), Attachment::at_home(1, 0), abroad];
    Options { ues: 4, operators: 2, p_cscfs: 2, i_cscfs: 2, attached, hiding: vec![0], ..Options::default() }
}

fn network(transport: TransportChoice) -> Network {
    let mut network = Network::new(&Options { transport, ..options() });
    network.register_all();
    network
}

fn ends(step: &Step) -> bool {
    matches!(step, Step::Call { step, .. } if step.ends())
}

/// Everything that left the hiding network towards the other.
fn left(network: &Network) -> impl Iterator<Item = &Sent> {
    network.sent.iter().filter(|sent| {
        sent.from.operator() == Some(0) && (sent.to.operator() == Some(1) || sent.to == Node::Partner)
    })
}

/// No name and no address of the inside, anywhere in it.
fn check_hidden(network: &Network, what: &str) {
    let nodes =
        (0..2).flat_map(|which| [Node::PCscf(0, which), Node::SCscf(0, which), Node::ICscf(0, which)]);
    let mut words: Vec<String> = vec!["hss".into()];
    for node in nodes {
        words.push(sites::host(node));
        words.push(sites::inside(node).ip().to_string());
        if let Node::PCscf(operator, which) = node {
            words.push(sites::gm(operator, which).ip().to_string());
        }
    }
    let mut count = 0;
    for sent in left(network) {
        let bytes = sent.message.bytes();
        let text = String::from_utf8_lossy(&bytes);
        for word in &words {
            let found = text
                .match_indices(word.as_str())
                .any(|(at, _)| !text[at + word.len()..].starts_with(|next: char| next.is_ascii_digit()));
            assert!(!found, "{what}: {} -> {} shows {word}:\n{text}", sent.from, sent.to);
        }
        count += 1;
    }
    assert!(count > 0, "{what}: nothing left");
}

/// A whole call out of the hiding network, and one into it; requests and answers leave by one I-CSCF and come back by
/// the other.
#[test]
fn thg_1_thg_2_thg_4_thg_7_thg_15_calls_show_nothing_of_the_inside() {
    for transport in [TransportChoice::Udp, TransportChoice::Tcp, TransportChoice::BySize] {
        for (from, to) in [(0, 2), (1, 2), (2, 0), (2, 1)] {
            let what = format!("{transport:?} {from} -> {to}");
            let mut network = network(transport);
            let (call, step) = network.call(from, Call::to(&network.impu(to)));
            assert!(matches!(step, CallStep::Answered(_)), "{what}: {step:?}\n{:#?}", network.trace);
            network.run(Duration::from_secs(2));
            let at_callee = network.last_call(to).unwrap();
            network.until(from, Command::Reinvite { call }, ends);
            network.until(to, Command::Reinvite { call: at_callee }, ends);
            network.until(to, Command::Inform { call: at_callee, body: Body::text("back") }, ends);
            network.until(to, Command::HangUp { call: at_callee }, ends);
            network.run(Duration::from_secs(2));
            let ended = network.call_steps(from, call);
            assert!(matches!(ended.last(), Some(CallStep::Ended { .. })), "{what}: {ended:?}");
            let tokens = left(&network)
                .any(|sent| String::from_utf8_lossy(&sent.message.bytes()).contains("tokenized-by="));
            assert!(tokens, "{what}");
            check_hidden(&network, &what);
            network.check_quiet(&what);
            check_wire(&network);
            check_answers(&network);
        }
    }
}

/// The same nodes see a request within the call in each direction, whoever hides.
#[test]
fn thg_7_requests_within_a_call_pass_the_inside_in_its_order() {
    let way = |hiding: Vec<u8>, from: u16, to: u16| {
        let mut network = Network::new(&Options { hiding, ..options() });
        network.register_all();
        let (call, step) = network.call(from, Call::to(&network.impu(to)));
        assert!(matches!(step, CallStep::Answered(_)), "{step:?}\n{:#?}", network.trace);
        network.run(Duration::from_secs(2));
        network.until(from, Command::Inform { call, body: Body::text("there") }, ends);
        let at_callee = network.last_call(to).unwrap();
        network.until(to, Command::Inform { call: at_callee, body: Body::text("back") }, ends);
        let informed = network.sent.iter().filter(|sent| sent.message.method() == Method::Info);
        informed.filter(|sent| sent.message.is_request()).map(|sent| (sent.from, sent.to)).collect::<Vec<_>>()
    };
    for (from, to) in [(0, 2), (2, 0)] {
        let open = way(Vec::new(), from, to);
        assert_eq!(way(vec![0], from, to), open);
        assert_eq!(way(vec![1], from, to), open);
        assert_eq!(way(vec![0, 1], from, to), open);
    }
}

/// A user of the hiding network who is abroad: its way home and the way to it are tokens to whoever is between.
#[test]
fn thg_5_thg_6_a_user_abroad_is_served_through_tokens() {
    for transport in [TransportChoice::Udp, TransportChoice::Tcp] {
        let mut network = Network::new(&Options { transport, subscribe: true, ..options() });
        network.register_all();
        let registered = network
            .sent
            .iter()
            .find(|sent| sent.to == Node::Ue(3) && sent.message.status() == Some(200) && sent.protected);
        let service: Vec<&str> = registered.unwrap().message.values(Name::ServiceRoute).collect();
        assert!(service.iter().any(|route| route.contains("tokenized-by=")), "{service:?}");
        for to in [0, 1, 2] {
            let (call, step) = network.call(3, Call::to(&network.impu(to)));
            assert!(matches!(step, CallStep::Answered(_)), "3 -> {to}: {step:?}\n{:#?}", network.trace);
            network.run(Duration::from_secs(2));
            network.until(3, Command::HangUp { call }, ends);
            let (call, step) = network.call(to, Call::to(&network.impu(3)));
            assert!(matches!(step, CallStep::Answered(_)), "{to} -> 3: {step:?}\n{:#?}", network.trace);
            network.run(Duration::from_secs(2));
            network.until(to, Command::HangUp { call }, ends);
        }
        let notified = network.requests(Node::PCscf(1, 0), Node::Ue(3), Method::Notify);
        assert!(!notified.is_empty(), "its subscription to its own registration");
        for ue in 0..4 {
            assert_eq!(network.command(ue, Command::Deregister).last(), Some(&Step::Deregistered));
        }
        check_hidden(&network, "abroad");
        network.check_quiet("abroad");
    }
}

/// A change of the key between a call's beginning and its end.
#[test]
fn thg_9_calls_outlive_a_change_of_the_key() {
    let mut network = network(TransportChoice::Udp);
    let (call, _) = network.call(0, Call::to(&network.impu(2)));
    network.run(Duration::from_secs(2));
    let at_callee = network.last_call(2).unwrap();
    network.change_keys(0);
    for (ue, call) in [(0, call), (2, at_callee)] {
        let steps = network.until(ue, Command::Inform { call, body: Body::text("still") }, ends);
        let Some(Step::Call { step: CallStep::Changed { answer, .. }, .. }) = steps.last() else {
            panic!("{steps:?}")
        };
        assert_eq!(answer.status, 200, "{:#?}", network.trace);
    }
    network.until(2, Command::HangUp { call: at_callee }, ends);
    network.check_quiet("keys");
}

/// MESSAGE, and OPTIONS with what its answer says.
#[test]
fn thg_1_requests_outside_of_calls_show_nothing_either() {
    let mut network = network(TransportChoice::Udp);
    for (from, to) in [(0, 2), (2, 0), (1, 2), (2, 1)] {
        assert_eq!(network.ask(from, Request::message(&network.impu(to), "hello")).status, 200);
        assert_eq!(network.ask(from, Request::options(&network.impu(to))).status, 200);
    }
    check_hidden(&network, "outside of calls");
    network.check_quiet("outside of calls");
}
