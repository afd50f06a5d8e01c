//! Registration flows over the cores of all roles, on a virtual clock.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::collections::BTreeSet;
use std::time::Duration;

use aka::{IndRange, Sqn, SqnGenerator};
use cx::LinkError;
use network::check::check_wire;
use network::{Network, Node, Options};
use sec_agree::Algorithms;
use sip::Name;
use ue::core::{Command, Failure, Registration, Step, TransportChoice};

const MINUTE: Duration = Duration::from_secs(60);

fn registered(steps: &[Step]) -> &Registration {
    match steps.last() {
        Some(Step::Registered(registration)) => registration,
        other => panic!("not registered: {other:?}"),
    }
}

fn failure(steps: &[Step]) -> &Failure {
    match steps.last() {
        Some(Step::Failed(failure)) => failure,
        other => panic!("not failed: {other:?}"),
    }
}

/// What both ends hold of the first UE: states at the UE, states at the P-CSCF, sets at the P-CSCF.
fn held(network: &mut Network) -> (usize, usize, usize) {
    let states = [Node::Ue(0), Node::P_CSCF].map(|node| network.kernel(node).states.len());
    (states[0], states[1], network.pcscf().sets())
}

#[test]
fn ovw_1_the_messages_of_a_first_registration_in_their_order() {
    let mut network = Network::new(&Options::default());
    registered(&network.command(0, Command::Register));
    let expected = [
        "UE0 -> P-CSCF REGISTER",
        "P-CSCF -> I-CSCF REGISTER",
        "I-CSCF UAR",
        "I-CSCF -> S-CSCF REGISTER",
        "S-CSCF MAR",
        "S-CSCF -> I-CSCF 401",
        "I-CSCF -> P-CSCF 401",
        "P-CSCF -> UE0 401",
        "UE0 -> P-CSCF REGISTER in ESP",
        "P-CSCF -> I-CSCF REGISTER",
        "I-CSCF UAR",
        "I-CSCF -> S-CSCF REGISTER",
        "S-CSCF SAR",
        "S-CSCF -> I-CSCF 200",
        "I-CSCF -> P-CSCF 200",
        "P-CSCF -> UE0 200 in ESP",
        "P-CSCF -> S-CSCF SUBSCRIBE",
    ];
    assert_eq!(network.trace, expected);
}

#[test]
fn ovw_2_ik_and_ck_reach_the_p_cscf_and_not_the_ue() {
    let mut network = Network::new(&Options::default());
    registered(&network.command(0, Command::Register));
    let challenge = |from: Node, to: Node| {
        let found = network
            .sent
            .iter()
            .find(|sent| (sent.from, sent.to, sent.message.status()) == (from, to, Some(401)));
        found.unwrap().message.first(Name::WwwAuthenticate).unwrap().to_owned()
    };
    let inside = challenge(Node::I_CSCF, Node::P_CSCF);
    assert!(inside.contains("ik=\"") && inside.contains("ck=\""), "{inside}");
    let outside = challenge(Node::P_CSCF, Node::Ue(0));
    assert!(outside.contains("nonce="), "{outside}");
    check_wire(&network);
}

#[test]
fn ovw_3_security_agreement_stays_between_ue_and_p_cscf() {
    let mut network = Network::new(&Options::default());
    registered(&network.command(0, Command::Register));
    let with_agreement = |inside: bool| {
        let messages = network.sent.iter().filter(|sent| {
            let gm = matches!((sent.from, sent.to), (Node::Ue(_), _) | (_, Node::Ue(_)));
            gm != inside
        });
        let names = [Name::SecurityClient, Name::SecurityServer, Name::SecurityVerify];
        messages.filter(|sent| names.iter().any(|name| sent.message.first(*name).is_some())).count()
    };
    assert_eq!((with_agreement(false), with_agreement(true)), (3, 0));
    check_wire(&network);
}

#[test]
fn every_algorithm_pair_over_udp_and_tcp_registers_and_registers_again() {
    for transport in [TransportChoice::Udp, TransportChoice::Tcp, TransportChoice::BySize] {
        for algorithms in Algorithms::ALL {
            let options = Options { transport, algorithms: vec![algorithms], ..Options::default() };
            let mut network = Network::new(&options);
            let first = registered(&network.command(0, Command::Register)).clone();
            assert_eq!(first.associations.algorithms, algorithms);
            network.run(MINUTE);
            let second = registered(&network.command(0, Command::Register)).clone();
            let spis =
                |registration: &Registration| registration.associations.iter().map(|sa| sa.spi).collect();
            let (before, after): (BTreeSet<_>, BTreeSet<_>) = (spis(&first), spis(&second));
            assert!(before.is_disjoint(&after), "a new set has new SPIs");
            assert_eq!(network.unprotected_drops, 0, "{transport:?} {algorithms}");
            check_wire(&network);
        }
    }
}

/// SA-8: the old sets end, and no more than three are ever held.
#[test]
fn sa_8_three_rounds_and_a_de_registration_leave_nothing() {
    for transport in [TransportChoice::Udp, TransportChoice::Tcp] {
        let mut network = Network::new(&Options { transport, ..Options::default() });
        registered(&network.command(0, Command::Register));
        for round in 1..=3 {
            registered(&network.command(0, Command::Register));
            assert!(held(&mut network).2 <= 3, "{transport:?} round {round}");
            network.run(3 * MINUTE);
            // Each end keeps the old set until the other has used the new one.
            let (ue, p_cscf, sets) = held(&mut network);
            assert_eq!((ue, p_cscf), (4 * sets, 4 * sets), "{transport:?} round {round}");
            assert!(sets <= 2, "{transport:?} round {round}: {sets} sets");
        }
        assert!(network.kernel(Node::P_CSCF).most <= 12);
        assert_eq!(network.command(0, Command::Deregister).last(), Some(&Step::Deregistered));
        network.run(5 * MINUTE);
        assert_eq!(held(&mut network), (0, 0, 0), "{transport:?}");
        assert_eq!((network.scscf().registered(), network.unprotected_drops), (0, 0));
        check_wire(&network);
    }
}

/// The P-CSCF keeps the old set until the new one is used, the UE for 128 s: the UE must not choose its port meanwhile.
#[test]
fn a_client_port_is_not_chosen_while_the_p_cscf_may_still_hold_it() {
    for seed in 0..50 {
        let mut network = Network::new(&Options { seed, ..Options::default() });
        for _ in 0..4 {
            registered(&network.command(0, Command::Register));
            network.run(5 * MINUTE);
        }
        assert_eq!(network.command(0, Command::Deregister).last(), Some(&Step::Deregistered), "seed {seed}");
    }
}

#[test]
fn a_registration_that_nobody_renews_ends_everywhere() {
    let mut network = Network::new(&Options { expires: 3600, ..Options::default() });
    assert_eq!(registered(&network.command(0, Command::Register)).expires, 3600);
    network.run(59 * MINUTE);
    assert_eq!(held(&mut network), (4, 4, 1));
    network.run(5 * MINUTE);
    assert_eq!(held(&mut network), (0, 0, 0));
    assert_eq!(network.scscf().registered(), 0);
    assert!(network.ues[0].registration().is_none());
}

#[test]
fn without_new_challenges_the_set_stays() {
    let reauthenticate = scscf::Reauthenticate::Never;
    let mut network = Network::new(&Options { reauthenticate, ..Options::default() });
    let first = registered(&network.command(0, Command::Register)).associations;
    network.run(MINUTE);
    let steps = network.command(0, Command::Register);
    assert_eq!(steps.len(), 1, "no challenge: {steps:?}");
    assert_eq!(registered(&steps).associations, first);
    assert_eq!(held(&mut network), (4, 4, 1));
}

#[test]
fn a_kernel_that_refuses_at_the_p_cscf_means_500_and_nothing_left() {
    let mut network = Network::new(&Options::default());
    network.kernel(Node::P_CSCF).refusals = 1;
    let steps = network.command(0, Command::Register);
    assert!(matches!(failure(&steps), Failure::Rejected { status: 500, .. }), "{steps:?}");
    assert_eq!(held(&mut network), (0, 0, 0));
    // The next attempt is a new one.
    registered(&network.command(0, Command::Register));
    assert_eq!(held(&mut network), (4, 4, 1));
    check_wire(&network);
}

#[test]
fn a_kernel_that_refuses_at_the_ue_ends_the_attempt_at_both_ends() {
    let mut network = Network::new(&Options::default());
    network.kernel(Node::Ue(0)).refusals = 1;
    let steps = network.command(0, Command::Register);
    assert!(matches!(failure(&steps), Failure::Kernel { .. }), "{steps:?}");
    assert_eq!(held(&mut network), (0, 4, 1), "the P-CSCF waits for SM7");
    network.run(3 * MINUTE);
    assert_eq!(held(&mut network), (0, 4, 1));
    // reg-await-auth
    network.run(2 * MINUTE);
    assert_eq!(held(&mut network), (0, 0, 0));
    registered(&network.command(0, Command::Register));
}

#[test]
fn an_hss_out_of_reach_is_a_5xx_or_480_and_the_next_attempt_succeeds() {
    for error in [LinkError::NotConnected, LinkError::ConnectionLost, LinkError::Timeout, LinkError::Busy] {
        let mut network = Network::new(&Options::default());
        network.cx_failure = Some(error);
        let steps = network.command(0, Command::Register);
        let Failure::Rejected { status, .. } = failure(&steps) else { panic!("{steps:?}") };
        assert!(matches!(status, 480 | 500..600), "{error}: {status}");
        assert_eq!(held(&mut network), (0, 0, 0));
        network.cx_failure = None;
        registered(&network.command(0, Command::Register));
        check_wire(&network);
    }
}

#[test]
fn an_hss_lost_between_challenge_and_answer_leaves_no_set() {
    let mut network = Network::new(&Options::default());
    network.command_at(network.now, 0, Command::Register);
    while !network.steps[0].iter().any(|step| matches!(step, Step::Challenged { .. })) {
        network.run(Duration::from_millis(1));
    }
    network.cx_failure = Some(LinkError::ConnectionLost);
    network.run(MINUTE);
    let Failure::Rejected { status, .. } = failure(&network.steps[0]) else { panic!() };
    assert!(matches!(status, 480 | 500..600), "{status}");
    assert_eq!(held(&mut network), (0, 0, 0));
}

#[test]
fn aka_6_a_card_that_is_ahead_resynchronises_the_hss_and_registers() {
    // Ahead in the slot that the HSS uses first.
    let first = SqnGenerator::new(Sqn::from_bytes([0; 6]), IndRange::new(0, 31).unwrap()).next().unwrap();
    let card_sqn = Some(Sqn::from_parts(first.seq() + 1000, first.ind()).unwrap());
    let mut network = Network::new(&Options { card_sqn, ..Options::default() });
    let steps = network.command(0, Command::Register);
    assert_eq!(steps.first(), Some(&Step::SynchronisationFailure));
    registered(&steps);
    let auts = |sent: &&network::Sent| {
        let authorization = sent.message.first(Name::Authorization);
        sent.from == Node::Ue(0) && authorization.is_some_and(|value| value.contains("auts="))
    };
    assert_eq!(network.sent.iter().filter(auts).count(), 1);
    assert_eq!(network.trace.iter().filter(|line| *line == "S-CSCF MAR").count(), 2);
    network.run(5 * MINUTE);
    assert_eq!(held(&mut network), (4, 4, 1), "the set of the refused challenge is gone");
    check_wire(&network);
}

#[test]
fn aka_4_a_network_with_another_key_is_refused_and_gets_no_response() {
    let mut network = Network::new(&Options { wrong_k: true, ..Options::default() });
    let steps = network.command(0, Command::Register);
    assert_eq!(steps, [Step::Failed(Failure::NetworkAuthentication)]);
    network.run(10 * MINUTE);
    assert_eq!(held(&mut network), (0, 0, 0));
    assert_eq!(network.scscf().registered(), 0);
    check_wire(&network);
}
