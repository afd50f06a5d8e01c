//! The reg event package end to end: what the network wants of a registered UE, and how UE and P-CSCF hear of it.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::time::Duration;

use aka::Impi;
use lab::plan;
use network::check::{check_answers, check_kernels, check_wire};
use network::{Network, Node, Options};
use scscf::{Initiator, Removal, User};
use sip::reginfo::{ContactEvent, Reginfo};
use sip::{Message, Method, Name};
use ue::core::{Command, Step, TransportChoice};

const MINUTE: Duration = Duration::from_secs(60);

fn network(stay_registered: bool, transport: TransportChoice) -> Network {
    let mut network =
        Network::new(&Options { subscribe: true, stay_registered, transport, ..Options::default() });
    assert!(matches!(network.command(0, Command::Register).last(), Some(Step::Registered(_))));
    network.run(MINUTE);
    network
}

fn user() -> User {
    User::Impi(Impi::new(&plan::impi(0)).unwrap())
}

fn deregister(removal: Removal) -> scscf::Command {
    scscf::Command::Deregister { user: user(), removal, by: Initiator::Operator }
}

/// The documents that a node was sent, in their order, without repetitions.
fn documents(network: &Network, to: Node) -> Vec<Reginfo> {
    let mut documents: Vec<Reginfo> = Vec::new();
    let notifies = network
        .sent
        .iter()
        .filter(|sent| sent.to == to && sent.message.method() == Method::Notify && sent.message.is_request());
    for message in notifies.map(|sent| &sent.message).filter(|message| is_for(message, to)) {
        let document = Reginfo::parse(message.body()).unwrap();
        if documents.last() != Some(&document) {
            documents.push(document);
        }
    }
    documents
}

/// Whether a NOTIFY ends at this node, and does not only pass it.
fn is_for(message: &Message, node: Node) -> bool {
    let at_p_cscf = message.request_uri().is_some_and(|uri| uri.contains(&plan::P_CSCF_MW.to_string()));
    (node == Node::P_CSCF) == at_p_cscf
}

#[test]
fn reg_12_ue_and_p_cscf_are_told_the_whole_set_first_and_changes_later() {
    for transport in [TransportChoice::Udp, TransportChoice::Tcp, TransportChoice::BySize] {
        let mut network = network(false, transport);
        for node in [Node::Ue(0), Node::P_CSCF] {
            let [first] = &documents(&network, node)[..] else { panic!("{:#?}", network.trace) };
            assert_eq!((first.version, first.full), (0, true), "{node:?}");
            let aors: Vec<&str> = first.registrations.iter().map(|one| one.aor.as_str()).collect();
            assert_eq!(aors, [plan::impu(0), plan::tel(0)]);
        }
        assert!(matches!(network.command(0, Command::Register).last(), Some(Step::Registered(_))));
        network.run(MINUTE);
        for node in [Node::Ue(0), Node::P_CSCF] {
            let documents = documents(&network, node);
            let versions: Vec<u32> = documents.iter().map(|document| document.version).collect();
            assert_eq!(versions, (0..u32::try_from(versions.len()).unwrap()).collect::<Vec<_>>());
            assert!(documents.len() >= 2 && documents[1..].iter().all(|document| !document.full), "{node:?}");
        }
        check_kernels(&mut network, 0);
        check_wire(&network);
        check_answers(&network);
        assert_eq!(network.unprotected_drops, 0);
    }
}

/// TS 33.203 6.1.4
#[test]
fn reg_13_the_network_asks_for_a_new_authentication_and_gets_it() {
    for transport in [TransportChoice::Udp, TransportChoice::Tcp] {
        let mut network = network(true, transport);
        let before = network.ues[0].registration().unwrap().associations;
        let expires = 300;
        network.operator_at(network.now, scscf::Command::Reauthenticate { user: user(), expires });
        network.run(Duration::from_secs(5));
        assert!(network.done[0].is_ok(), "{:?}", network.done);
        for node in [Node::Ue(0), Node::P_CSCF] {
            let documents = documents(&network, node);
            let contact = &documents.last().unwrap().registrations[0].contacts[0];
            assert_eq!((contact.event, contact.expires), (ContactEvent::Shortened, Some(300)), "{node:?}");
        }
        network.run(5 * MINUTE);
        let after = network.ues[0].registration().expect("it has come back").associations;
        assert_ne!(before, after, "new SAs");
        let challenges = network.trace.iter().filter(|line| *line == "S-CSCF MAR").count();
        assert_eq!(challenges, 2, "challenged again");
        network.run(10 * MINUTE);
        assert_eq!(network.scscf().registered(), 1);
        check_kernels(&mut network, 0);
        check_wire(&network);
    }
}

/// The lives of the sets end with the shortened registration, at both ends.
#[test]
fn reg_13_a_ue_that_does_not_come_back_is_de_registered() {
    let mut network = network(false, TransportChoice::Udp);
    network.operator_at(network.now, scscf::Command::Reauthenticate { user: user(), expires: 300 });
    network.run(4 * MINUTE);
    assert_eq!((network.scscf().registered(), network.pcscf().sets()), (1, 1));
    network.run(6 * MINUTE);
    assert_eq!((network.scscf().registered(), network.pcscf().sets()), (0, 0));
    assert!(network.ues[0].registration().is_none());
    assert!(network.kernels.values().all(|kernel| kernel.states.is_empty()));
    let last = documents(&network, Node::P_CSCF).pop().unwrap();
    assert_eq!(last.registrations[0].contacts[0].event, ContactEvent::Expired);
}

#[test]
fn reg_14_a_user_that_the_network_rejects_is_gone_everywhere_and_stays_away() {
    for transport in [TransportChoice::Udp, TransportChoice::Tcp] {
        let mut network = network(true, transport);
        network.operator_at(network.now, deregister(Removal::Rejected));
        network.run(Duration::from_secs(10));
        assert!(network.done[0].is_ok(), "{:?}", network.done);
        assert_eq!(network.scscf().registered(), 0);
        assert!(network.ues[0].registration().is_none(), "{:?}", network.steps);
        let last = network.sent.iter().rev().find(|sent| {
            sent.to == Node::Ue(0) && sent.message.method() == Method::Notify && sent.message.is_request()
        });
        let last = last.unwrap();
        assert!(last.protected, "the NOTIFY that ends it is inside ESP");
        assert!(last.message.first(Name::SubscriptionState).unwrap().starts_with("terminated"));
        network.run(20 * MINUTE);
        assert_eq!((network.scscf().registered(), network.pcscf().sets()), (0, 0));
        assert!(network.kernels.values().all(|kernel| kernel.states.is_empty()));
        check_wire(&network);
    }
}

#[test]
fn reg_14_a_deactivated_user_registers_anew() {
    let mut network = network(true, TransportChoice::Udp);
    let before = network.ues[0].registration().unwrap().associations;
    network.operator_at(network.now, deregister(Removal::Deactivated));
    network.run(5 * MINUTE);
    assert!(network.done[0].is_ok(), "{:?}", network.done);
    let after = network.ues[0].registration().expect("registered anew").associations;
    assert_ne!(before, after);
    assert_eq!(network.scscf().registered(), 1);
    check_kernels(&mut network, 0);
    // It subscribes anew too, and hears of the next change.
    network.operator_at(network.now, deregister(Removal::Rejected));
    network.run(5 * MINUTE);
    assert!(network.ues[0].registration().is_none(), "{:?}", network.steps);
}

/// REG-15: the 200 is inside ESP, the sets go afterwards, and the subscriptions end.
#[test]
fn reg_15_a_de_registration_by_the_user_ends_the_subscriptions() {
    let mut network = network(false, TransportChoice::Udp);
    assert_eq!(network.command(0, Command::Deregister).last(), Some(&Step::Deregistered));
    network.run(5 * MINUTE);
    assert_eq!((network.scscf().registered(), network.pcscf().sets()), (0, 0));
    let states: Vec<String> = network
        .sent
        .iter()
        .filter(|sent| sent.to == Node::P_CSCF && is_for(&sent.message, Node::P_CSCF))
        .filter_map(|sent| sent.message.first(Name::SubscriptionState).map(str::to_owned))
        .collect();
    assert!(states.last().is_some_and(|state| state.starts_with("terminated")), "{states:?}");
    let answer = network
        .sent
        .iter()
        .rev()
        .find(|sent| sent.to == Node::Ue(0) && sent.message.method() == Method::Register);
    assert!(answer.is_some_and(|sent| sent.protected && sent.message.status() == Some(200)));
}
