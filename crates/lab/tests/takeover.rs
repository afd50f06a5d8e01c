//! Several S-CSCFs: one dies, another goes on; and what the HSS does of its own accord, end to end.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aka::Impi;
use cx::ReasonCode;
use hss::store::Key;
use lab::plan;
use network::check::{check_answers, check_kernels, check_wire};
use network::{Network, Node, Options};
use sip::reginfo::{ContactEvent, Reginfo};
use sip::{Method, Name};
use ue::core::{Command, Step, TransportChoice};

const MINUTE: Duration = Duration::from_secs(60);

fn network(transport: TransportChoice, stay_registered: bool) -> Network {
    let options =
        Options { ues: 3, s_cscfs: 2, subscribe: true, transport, stay_registered, ..Options::default() };
    let mut network = Network::new(&options);
    for ue in 0..3 {
        assert!(matches!(network.command(ue, Command::Register).last(), Some(Step::Registered(_))));
    }
    network.run(MINUTE);
    network
}

fn impi(ue: u16) -> Impi {
    Impi::new(&plan::impi(ue)).unwrap()
}

/// The S-CSCF at which this UE is registered.
fn home(network: &Network, ue: u16) -> Node {
    let at_second = network.second().registrations(network.now).any(|user| user.impi == impi(ue));
    if at_second { Node::S_CSCF_2 } else { Node::S_CSCF }
}

fn other(node: Node) -> Node {
    if node == Node::S_CSCF { Node::S_CSCF_2 } else { Node::S_CSCF }
}

/// The SUBSCRIBEs that this node has sent since.
fn subscribes(network: &Network, from: Node, since: usize) -> usize {
    let sent = network.sent[since..].iter().filter(|sent| sent.from == from);
    sent.filter(|sent| sent.message.is_request() && sent.message.method() == Method::Subscribe).count()
}

/// The NOTIFYs that reached this node from that one since, as documents.
fn notified(network: &Network, to: Node, since: usize) -> Vec<Reginfo> {
    let sent = network.sent[since..].iter().filter(|sent| sent.to == to && sent.message.is_request());
    let notifies = sent.filter(|sent| sent.message.method() == Method::Notify);
    notifies.map(|sent| Reginfo::parse(sent.message.body()).unwrap()).collect()
}

/// REG-20 with users that are registered: the next re-registration goes to the other S-CSCF over the SAs there are,
/// and every subscription lives on in its dialog.
#[test]
fn reg_20_users_of_a_dead_s_cscf_go_on_at_the_other() {
    for transport in [TransportChoice::Udp, TransportChoice::Tcp] {
        let mut network = network(transport, false);
        let dead = home(&network, 0);
        let left: Vec<u16> = (0..3).filter(|ue| home(&network, *ue) == dead).collect();
        network.kill(dead);
        for ue in &left {
            let since = network.sent.len();
            let steps = network.command(*ue, Command::Register);
            let last = steps.last();
            assert!(matches!(last, Some(Step::Registered(_))), "{last:?}\n{:#?}", network.trace);
            network.run(MINUTE);
            assert_eq!(home(&network, *ue), other(dead));
            // Not one REGISTER in clear: the UE was never unregistered.
            let mut of_ue = network.sent[since..].iter().filter(|sent| sent.from == Node::Ue(*ue));
            assert!(of_ue.all(|sent| sent.protected), "{:#?}", network.trace);
            // Nobody had to subscribe anew.
            assert_eq!(subscribes(&network, Node::Ue(*ue), since), 0);
            assert_eq!(subscribes(&network, Node::P_CSCF, since), 0);
            assert!(!notified(&network, Node::Ue(*ue), since).is_empty(), "{:#?}", network.trace);
            // What happens next is told in the same dialogs.
            let since = network.sent.len();
            let user = scscf::User::Impi(impi(*ue));
            let demand = scscf::Command::Reauthenticate { user, expires: 300 };
            network.operator_at(network.now, demand);
            network.run(Duration::from_secs(2));
            let told = notified(&network, Node::Ue(*ue), since).pop().unwrap();
            assert_eq!(told.registrations[0].contacts[0].event, ContactEvent::Shortened);
            let rest = network.command(*ue, Command::Register);
            assert!(matches!(rest.last(), Some(Step::Registered(_))));
        }
        network.run(MINUTE);
        assert_eq!(network.registered().len(), 3);
        check_kernels(&mut network, 0);
        // The dead one comes back without a memory, and the other dies: once more the other way.
        network.revive(dead);
        network.run(MINUTE);
        network.kill(other(dead));
        for ue in 0..3 {
            let last = network.command(ue, Command::Register).last().cloned();
            assert!(matches!(last, Some(Step::Registered(_))), "{last:?}\n{:#?}", network.trace);
            assert_eq!(home(&network, ue), dead);
        }
        for ue in 0..3 {
            assert_eq!(network.command(ue, Command::Deregister).last(), Some(&Step::Deregistered));
        }
        network.run(10 * MINUTE);
        assert!(network.registered().is_empty());
        check_kernels(&mut network, 0);
        check_wire(&network);
        check_answers(&network);
    }
}

/// CX-9, REG-14: the HSS de-registers; UE and P-CSCF hear it from the S-CSCF, and no SA is left.
#[test]
fn cx_9_reg_14_the_hss_ends_a_registration_end_to_end() {
    for (reason, event) in [
        (ReasonCode::PermanentTermination, ContactEvent::Rejected),
        (ReasonCode::ServerChange, ContactEvent::Deactivated),
    ] {
        let back = reason == ReasonCode::ServerChange;
        let mut network = network(TransportChoice::Udp, back);
        let since = network.sent.len();
        let report = Arc::new(Mutex::new(None));
        let told = Arc::clone(&report);
        network.at_hss(|hss| {
            let done = Box::new(move |result| *told.lock().unwrap() = Some(result));
            hss.deregister(Key::Impi(impi(0)), reason, None, done);
        });
        network.run(Duration::from_secs(5));
        let report = report.lock().unwrap().take().unwrap().unwrap();
        assert!(report.told.iter().all(|told| told.delivery == hss::Delivery::Delivered), "{report:?}");
        // One that shall come back may have done so by now.
        let mut documents = notified(&network, Node::Ue(0), since).into_iter();
        let ends = |one: &Reginfo| one.registrations.iter().all(|one| one.contacts[0].event == event);
        assert!(documents.any(|document| ends(&document)));
        network.run(10 * MINUTE);
        assert_eq!(network.registered().contains(&impi(0)), back, "{:#?}", network.trace);
        assert_eq!(network.pcscf().sets(), if back { 3 } else { 2 });
        check_kernels(&mut network, 0);
    }
}

/// CX-10: barred at the HSS, gone from what UE and P-CSCF are told, and from the next 200.
#[test]
fn cx_10_a_barred_identity_disappears_end_to_end() {
    let mut network = network(TransportChoice::Udp, false);
    let since = network.sent.len();
    network.at_hss(|hss| {
        let bar = |before: &hss::Profile| {
            let mut profile = before.clone();
            let tel = profile.public.iter_mut().find(|held| held.impu.as_str() == plan::tel(0));
            tel.unwrap().barred = true;
            Ok(profile)
        };
        hss.change_profile(Key::Impi(impi(0)), Box::new(bar), Box::new(|result| assert!(result.is_ok())));
    });
    network.run(Duration::from_secs(5));
    for node in [Node::Ue(0), Node::P_CSCF] {
        let document = notified(&network, node, since).pop().unwrap();
        let aors: Vec<&str> = document.registrations.iter().map(|one| one.aor.as_str()).collect();
        assert_eq!((document.full, aors), (true, vec![plan::impu(0).as_str()]), "{node:?}");
    }
    let since = network.sent.len();
    assert!(matches!(network.command(0, Command::Register).last(), Some(Step::Registered(_))));
    let ok = network.sent[since..]
        .iter()
        .find(|sent| sent.to == Node::Ue(0) && sent.message.status() == Some(200))
        .unwrap();
    let associated: Vec<&str> = ok.message.values(Name::PAssociatedUri).collect();
    assert_eq!(associated, [format!("<{}>", plan::impu(0))]);
}
