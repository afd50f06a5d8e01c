//! Somebody between UE and P-CSCF changes, forges and repeats what crosses in clear.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::time::Duration;

use lab::plan::{self, Family};
use network::check::{check_answers, check_wire};
use network::{Network, Node, Options};
use sec_agree::Algorithms;
use sip::{Draft, Flow, Message, Name};
use ue::core::{Command, Failure, Step, TransportChoice};

const MINUTE: Duration = Duration::from_secs(60);

fn pair(text: &str) -> Algorithms {
    text.parse().unwrap()
}

/// The message with this header changed by `change`, which gets its values one by one.
fn with_values(message: &Message, name: Name, change: impl Fn(Vec<String>) -> Vec<String>) -> Message {
    let values = change(message.values(name).map(str::to_owned).collect());
    let mut draft = Draft::forward(message);
    draft.replace_values(name, values);
    draft.finish()
}

/// Registers the only UE while `change` has its way with one header of what crosses in clear.
fn attacked(
    options: &Options,
    name: Name,
    change: impl Fn(Vec<String>) -> Vec<String> + 'static,
) -> (Network, Vec<Step>) {
    let mut network = Network::new(options);
    network.tamper = Some(Box::new(move |_, _, message: Message| {
        let there = message.first(name).is_some();
        vec![if there { with_values(&message, name, &change) } else { message }]
    }));
    let steps = network.command(0, Command::Register);
    (network, steps)
}

/// The UE is not registered anywhere, and in five minutes nothing is left of it.
fn assert_defeated(mut network: Network, steps: &[Step], what: &str) -> Failure {
    let Some(Step::Failed(failure)) = steps.last() else { panic!("{what}: {steps:?}") };
    assert_eq!(network.scscf().registered(), 0, "{what}");
    network.run(5 * MINUTE);
    assert_eq!(network.pcscf().sets(), 0, "{what}");
    assert!(network.kernels.values().all(|kernel| kernel.states.is_empty()), "{what}");
    check_wire(&network);
    check_answers(&network);
    failure.clone()
}

fn without(word: &'static str) -> impl Fn(Vec<String>) -> Vec<String> + 'static {
    move |values| values.into_iter().filter(|value| !value.contains(word)).collect()
}

fn replaced(from: &'static str, to: &'static str) -> impl Fn(Vec<String>) -> Vec<String> + 'static {
    move |values| values.iter().map(|value| value.replace(from, to)).collect()
}

/// The cipher is taken out of the UE's offer. The P-CSCF makes associations without one, the UE sees in the list that
/// it could have one: they do not understand each other.
#[test]
fn sec_9_a_cipher_stripped_from_the_offer_is_no_downgrade() {
    let (network, steps) = attacked(&Options::default(), Name::SecurityClient, without("aes-cbc"));
    let failure = assert_defeated(network, &steps, "stripped offer");
    assert!(matches!(failure, Failure::NoAnswer { .. }), "{failure:?}");
}

#[test]
fn sec_9_a_cipher_stripped_from_the_list_is_no_downgrade() {
    let (network, steps) = attacked(&Options::default(), Name::SecurityServer, without("aes-cbc"));
    let failure = assert_defeated(network, &steps, "stripped list");
    assert!(matches!(failure, Failure::NoAnswer { .. }), "{failure:?}");
}

/// Both ends would agree on null all the same; that the list was changed is seen in Security-Verify.
#[test]
fn sec_9_a_stripped_list_is_seen_even_where_it_changes_nothing() {
    let algorithms = vec![pair("hmac-sha-1-96/null")];
    let policy = Some(vec![pair("hmac-sha-1-96/aes-cbc"), pair("hmac-sha-1-96/null")]);
    let options = Options { algorithms, policy, ..Options::default() };
    let (network, steps) = attacked(&options, Name::SecurityServer, without("aes-cbc"));
    let failure = assert_defeated(network, &steps, "stripped list, same choice");
    assert_eq!(failure.status(), Some(494));
}

#[test]
fn sec_9_a_reordered_or_reweighted_list_is_seen() {
    let algorithms = vec![pair("hmac-sha-1-96/null")];
    let policy = Some(vec![pair("hmac-sha-1-96/aes-cbc"), pair("hmac-sha-1-96/null")]);
    let options = Options { algorithms, policy, ..Options::default() };
    let reverse = |mut values: Vec<String>| {
        values.reverse();
        values
    };
    let (network, steps) = attacked(&options, Name::SecurityServer, reverse);
    assert_eq!(assert_defeated(network, &steps, "reordered").status(), Some(494));
    let (network, steps) = attacked(&options, Name::SecurityServer, replaced("q=0.2", "q=0.1"));
    assert_eq!(assert_defeated(network, &steps, "reweighted").status(), Some(494));
}

#[test]
fn sec_7_changed_spis_and_ports_end_in_no_registration_whichever_way_they_travel() {
    for (name, from, to) in [
        (Name::SecurityClient, "spi-c=", "spi-c=9"),
        (Name::SecurityClient, "spi-s=", "spi-s=9"),
        (Name::SecurityClient, "port-c=700", "port-c=701"),
        (Name::SecurityClient, "port-s=7100", "port-s=7101"),
        (Name::SecurityServer, "spi-c=", "spi-c=9"),
        (Name::SecurityServer, "spi-s=", "spi-s=9"),
        (Name::SecurityServer, "port-c=600", "port-c=601"),
        (Name::SecurityServer, "port-s=6100", "port-s=6101"),
    ] {
        let (network, steps) = attacked(&Options::default(), name, replaced(from, to));
        assert_defeated(network, &steps, &format!("{} {to}", name.as_str()));
    }
}

#[test]
fn sec_6_a_list_with_something_added_is_seen() {
    let added = |mut values: Vec<String>| {
        values.push(values[0].replace("hmac-sha-1-96", "hmac-md5-96").replace("q=0.2", "q=0.05"));
        values
    };
    let (network, steps) = attacked(&Options::default(), Name::SecurityServer, added);
    assert_eq!(assert_defeated(network, &steps, "added").status(), Some(494));
}

/// REG-1: a UE's list and keys that a stranger puts into the challenge.
#[test]
fn a_challenge_of_somebody_else_is_not_answered() {
    let (network, steps) =
        attacked(&Options::default(), Name::WwwAuthenticate, replaced("nonce=\"", "nonce=\"AAAA"));
    let failure = assert_defeated(network, &steps, "another nonce");
    assert_eq!(failure, Failure::NetworkAuthentication);
}

/// Everything that crossed in clear or in ESP comes once more, in clear, to every port of the P-CSCF, from the UE's
/// own address: nobody is registered, de-registered or answered for it.
#[test]
fn sa_12_what_is_repeated_in_clear_changes_nothing() {
    let mut network = Network::new(&Options { subscribe: true, ..Options::default() });
    network.command(0, Command::Register);
    network.run(MINUTE);
    network.command(0, Command::Register);
    network.run(MINUTE);
    let mut requests: Vec<Message> = network
        .sent
        .iter()
        .filter(|sent| sent.from == Node::Ue(0))
        .map(|sent| sent.message.clone())
        .collect();
    // A forged de-registration among them.
    let last = requests.iter().rev().find(|message| message.is_request()).unwrap().clone();
    let mut forged = Draft::forward(&last);
    forged.set(Name::Expires, "0");
    requests.push(forged.finish());
    let before = (network.pcscf().sets(), network.scscf().registered());
    let registered: Vec<String> = network.scscf_events.iter().map(|event| format!("{event:?}")).collect();
    let (server, clients) = plan::p_cscf_ports();
    let address = plan::p_cscf(Family::V4).ip();
    let ports: Vec<u16> =
        std::iter::once(server.get()).chain(clients.iter().map(|port| port.get())).collect();
    let set = network.ues[0].registration().unwrap().associations;
    for message in &requests {
        for port in &ports {
            let local = std::net::SocketAddr::new(address, *port);
            for remote in [set.uc_to_ps.source, set.pc_to_us.destination] {
                network.inject(Node::P_CSCF, Flow::udp(local, remote), message.clone());
            }
        }
        let clear = std::net::SocketAddr::new(plan::ue_address(Family::V4, 0), 5060);
        network.inject(Node::P_CSCF, Flow::udp(plan::p_cscf(Family::V4), clear), message.clone());
    }
    network.run(10 * MINUTE);
    assert!(network.unprotected_drops > 0, "the policies dropped what came to protected ports");
    assert_eq!((network.pcscf().sets(), network.scscf().registered()), before);
    let new: Vec<String> =
        network.scscf_events.iter().map(|event| format!("{event:?}")).skip(registered.len()).collect();
    let changed = |event: &&String| {
        ["Registered", "Refreshed", "Deregistered"].iter().any(|word| event.starts_with(word))
    };
    assert_eq!(new.iter().find(changed), None, "{new:?}");
    // The UE goes on as if nothing had been.
    assert!(matches!(network.command(0, Command::Register).last(), Some(Step::Registered(_))));
}

/// REG-2, OVW-4: an unprotected de-registration of a registered user, forged from what anybody can see.
#[test]
fn reg_2_a_forged_de_registration_in_clear_is_challenged_and_changes_nothing() {
    let mut network = Network::new(&Options::default());
    network.command(0, Command::Register);
    let sm1 = network.sent.iter().find(|sent| sent.from == Node::Ue(0)).unwrap().message.clone();
    let mut forged = Draft::forward(&sm1);
    forged
        .set(Name::Expires, "0")
        .set(Name::CallId, "forged")
        .set(Name::Via, "SIP/2.0/UDP 10.20.0.1:5060;branch=z9hG4bKforged");
    let spoofed = with_values(&forged.finish(), Name::SecurityClient, |values| {
        let other = [("port-c=700", "port-c=705"), ("spi-c=", "spi-c=9"), ("spi-s=", "spi-s=9")];
        let change =
            |value: &String| other.iter().fold(value.clone(), |value, (from, to)| value.replace(from, to));
        values.iter().map(change).collect()
    });
    let clear = std::net::SocketAddr::new(plan::ue_address(Family::V4, 0), 5060);
    network.inject(Node::P_CSCF, Flow::udp(plan::p_cscf(Family::V4), clear), spoofed);
    network.run(10 * MINUTE);
    let challenged = network.trace.iter().filter(|line| *line == "P-CSCF -> UE0 401").count();
    assert_eq!(challenged, 2, "{:#?}", network.trace);
    assert_eq!((network.scscf().registered(), network.pcscf().sets()), (1, 1));
    assert!(matches!(network.command(0, Command::Register).last(), Some(Step::Registered(_))));
}

/// REG-16: a UE that goes around the P-CSCF is refused by I-CSCF and S-CSCF.
#[test]
fn reg_16_a_register_from_a_ue_straight_to_the_core_is_refused() {
    for (node, local) in [(Node::I_CSCF, plan::I_CSCF), (Node::S_CSCF, plan::S_CSCF)] {
        let mut network = Network::new(&Options::default());
        network.command(0, Command::Register);
        network.run(MINUTE);
        // Marked as only a P-CSCF may.
        let sm8 = network.sent.iter().rev().find(|sent| sent.from == Node::P_CSCF && sent.to == Node::I_CSCF);
        let mut forged = Draft::forward(&sm8.unwrap().message);
        forged.set(Name::CallId, "bypass").set(Name::Via, "SIP/2.0/UDP 10.20.0.1:5060;branch=z9hG4bKbypass");
        let ue = std::net::SocketAddr::new(plan::ue_address(Family::V4, 0), 5060);
        let before = network.sent.len();
        network.inject(node, Flow::udp(local, ue), forged.finish());
        network.run(MINUTE);
        let statuses: Vec<_> =
            network.sent[before..].iter().filter_map(|sent| sent.message.status()).collect();
        assert_eq!(statuses, [403], "{node:?}");
        assert_eq!(network.scscf().registered(), 1);
    }
}

/// SEC-10: what a UE without sec-agree hears.
#[test]
fn sec_10_a_ue_without_sec_agree_is_told_what_it_needs() {
    for transport in [TransportChoice::Udp, TransportChoice::Tcp] {
        let mut network = Network::new(&Options { transport, ..Options::default() });
        network.tamper = Some(Box::new(|from, _, message: Message| {
            if from == Node::P_CSCF {
                return vec![message];
            }
            let mut draft = Draft::forward(&message);
            draft.remove(Name::Require).remove(Name::ProxyRequire).remove(Name::SecurityClient);
            vec![draft.finish()]
        }));
        let steps = network.command(0, Command::Register);
        let Some(Step::Failed(failure)) = steps.last() else { panic!("{steps:?}") };
        assert_eq!(failure.status(), Some(421));
        let answer = network.sent.iter().find(|sent| sent.message.status() == Some(421)).unwrap();
        assert_eq!(answer.message.first(Name::Require), Some("sec-agree"));
        assert!(answer.message.first(Name::SecurityServer).is_some());
        assert_eq!(
            network.trace.iter().filter(|line| line.contains("I-CSCF")).count(),
            0,
            "it went no further"
        );
    }
}
