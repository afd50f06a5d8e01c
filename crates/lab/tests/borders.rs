//! Several operators and somebody outside: who gets across which border, and with what.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::time::Duration;

use network::check::{check_answers, check_kernels, check_wire};
use network::partner::Act;
use network::plan::Attachment;
use network::{Network, Node, Options, sites};
use sip::{Method, Transport};
use ue::core::{Command, Step};

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
            let statuses: Vec<_> = network.partner.responses.iter().map(sip::Message::status).collect();
            assert_eq!(statuses, [Some(403)], "{node} {transport:?}");
            assert_eq!(network.partner.open_transactions(), 0);
        }
    }
}
