//! De-registration and re-authentication by the network.

mod net;

use aka::{Impi, Impu};
use net::{IMPI, IMPU, Net, Register, TEL, config};
use scscf::{
    Command, CommandError, Deregistration, Done, Event, Initiator, Reauthenticate, Removal, Unanswered, User,
};
use sip::reginfo::ContactEvent;
use std::time::Duration;

const UE_CONTACT: &str = "sip:10.9.0.2:7002";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn by_impi() -> User {
    User::Impi(Impi::new(IMPI).unwrap())
}

fn by_impu(impu: &str) -> User {
    User::Impu(Impu::new(impu).unwrap())
}

fn watched(config: scscf::Config) -> (Net, Register) {
    let mut net = Net::new(config);
    let second = net.registered();
    net.watched();
    net.asked.clear();
    net.sent.clear();
    (net, second)
}

fn deregister(user: User, removal: Removal, by: Initiator) -> Command {
    Command::Deregister { user, removal, by }
}

#[test]
fn reg_12_the_operator_de_registers_and_both_watchers_hear_how() {
    for (removal, event, retry_after, state) in [
        (Removal::Deactivated, ContactEvent::Deactivated, None, "deactivated"),
        (Removal::Probation { retry_after: 120 }, ContactEvent::Probation, Some(120), "noresource"),
        (Removal::Rejected, ContactEvent::Rejected, None, "noresource"),
    ] {
        for user in [by_impi(), by_impu(IMPU), by_impu(TEL)] {
            let (mut net, second) = watched(config());
            let done = net.command(deregister(user, removal, Initiator::Operator)).unwrap();
            let users = vec![Impi::new(IMPI).unwrap()];
            assert_eq!(done, Done::Deregistered { users, contacts: 1, watchers: 2 });
            assert_eq!(net.asked, ["AdministrativeDeregistration"]);
            for call_id in ["sub-ue", "sub-pcscf"] {
                let told = net.take_notifies(call_id).remove(0);
                assert_eq!((told.version, told.full, told.state.as_str()), (1, false, state));
                assert_eq!(told.aors.len(), 2);
                for (_, aor_state, contacts) in told.aors {
                    assert_eq!(aor_state, "terminated");
                    assert_eq!(contacts, [(UE_CONTACT.to_owned(), event, None, retry_after)]);
                }
            }
            assert_eq!(net.scscf.registered(), 0);
            let again = net.command(deregister(by_impi(), removal, Initiator::Operator));
            assert_eq!(again, Err(CommandError::UserUnknown));
            assert_eq!(net.register(&second.next()).status(), Some(500), "the UE must begin anew");
            net.advance(seconds(700_000));
            assert_eq!((net.asked.len(), net.wait), (1, None), "no timer is left");
        }
    }
}

#[test]
fn a_command_in_the_name_of_the_hss_is_not_told_to_it() {
    let (mut net, _) = watched(config());
    net.command(deregister(by_impi(), Removal::Rejected, Initiator::Hss)).unwrap();
    assert!(net.asked.is_empty());
    let told = net.take_notifies("sub-ue").remove(0);
    assert_eq!(told.events(), [(UE_CONTACT, ContactEvent::Rejected)]);
    let cause = Deregistration::Hss;
    assert!(
        net.events
            .iter()
            .any(|event| matches!(event, Event::Deregistered { cause: found, .. } if *found == cause))
    );
}

#[test]
fn a_de_registration_ends_what_is_under_way() {
    // Challenged: the right answer comes too late.
    let (mut net, second) = watched(config());
    let third = second.next();
    let challenge = net.register(&third);
    net.command(deregister(by_impi(), Removal::Rejected, Initiator::Operator)).unwrap();
    let answer = net.protected(&third, &challenge);
    assert_eq!(net.register(&answer).status(), Some(500));
    assert_eq!(net.scscf.registered(), 0);

    // The vector is on its way.
    let (mut net, second) = watched(config());
    net.held = Some(Vec::new());
    assert!(net.send(net::flow(), &second.next()).is_empty());
    net.command(deregister(by_impi(), Removal::Rejected, Initiator::Hss)).unwrap();
    assert_eq!(net.release()[0].status(), Some(500));

    // The HSS is about to say yes.
    let (mut net, second) = watched(config());
    let third = second.next();
    let challenge = net.register(&third);
    let answer = net.protected(&third, &challenge);
    net.held = Some(Vec::new());
    assert!(net.send(net::flow(), &answer).is_empty());
    net.command(deregister(by_impi(), Removal::Rejected, Initiator::Operator)).unwrap();
    assert_eq!(net.release()[0].status(), Some(500));
    assert_eq!(net.scscf.registered(), 0);
}

/// The user leaves while an operator ends the registration: it ends once.
#[test]
fn reg_15_a_registration_that_two_end_ends_once() {
    let (mut net, second) = watched(config());
    net.held = Some(Vec::new());
    let leaving = Register { expires: Some(0), ..second.next() };
    assert!(net.send(net::flow(), &leaving).is_empty());
    net.command(deregister(by_impi(), Removal::Rejected, Initiator::Operator)).unwrap();
    assert_eq!(net.release()[0].status(), Some(200), "what the user wanted is so");
    let ended = net.events.iter().filter(|event| matches!(event, Event::Deregistered { .. }));
    assert_eq!((ended.count(), net.scscf.registered()), (1, 0));
}

#[test]
fn reg_13_a_demand_shortens_and_the_next_register_is_challenged() {
    let (mut net, second) = watched(scscf::Config { reauthenticate: Reauthenticate::Never, ..config() });
    net.advance(seconds(1000));
    let done = net.command(Command::Reauthenticate { user: by_impu(IMPU), expires: 300 }).unwrap();
    assert_eq!(
        done,
        Done::Reauthenticating { users: vec![Impi::new(IMPI).unwrap()], contacts: 1, watchers: 2 }
    );
    for call_id in ["sub-ue", "sub-pcscf"] {
        let told = net.take_notifies(call_id).remove(0);
        assert_eq!((told.version, told.full, told.state.as_str()), (1, false, "active"));
        for (_, state, contacts) in &told.aors {
            assert_eq!(state, "active");
            assert_eq!(contacts, &[(UE_CONTACT.to_owned(), ContactEvent::Shortened, Some(300), None)]);
        }
    }
    let third = second.next();
    let challenge = net.register(&third);
    assert_eq!(challenge.status(), Some(401), "although the policy is never to challenge");
    let fourth = net.protected(&third, &challenge);
    assert_eq!(net.register(&fourth).status(), Some(200));
    net.advance(seconds(1000));
    assert_eq!(net.scscf.registered(), 1, "the registration is long again");
    assert_eq!(net.register(&fourth.next()).status(), Some(200), "and the policy holds again");
    assert_eq!(net.asked, ["MAR", "ReRegistration"]);
}

#[test]
fn reg_13_a_silent_ue_is_de_registered() {
    let (mut net, _) = watched(config());
    net.command(Command::Reauthenticate { user: by_impi(), expires: 300 }).unwrap();
    net.notifies.clear();
    net.advance(seconds(309));
    assert_eq!((net.scscf.registered(), net.notifies.len()), (1, 0));
    net.advance(seconds(1));
    assert_eq!(net.scscf.registered(), 0);
    assert_eq!(net.asked, ["TimeoutDeregistration"]);
    for call_id in ["sub-ue", "sub-pcscf"] {
        let told = net.take_notifies(call_id).remove(0);
        assert_eq!(
            (told.state.as_str(), told.events()),
            ("noresource", vec![(UE_CONTACT, ContactEvent::Expired)])
        );
    }
}

#[test]
fn reg_13_a_silent_ue_is_told_again_by_policy() {
    let unanswered = Unanswered::NotifyAgain { times: 2 };
    let (mut net, _) = watched(scscf::Config { unanswered, ..config() });
    net.command(Command::Reauthenticate { user: by_impi(), expires: 300 }).unwrap();
    for _ in 0..2 {
        net.notifies.clear();
        net.advance(seconds(330));
        let told = net.take_notifies("sub-ue").remove(0);
        assert_eq!(told.aors[0].2, [(UE_CONTACT.to_owned(), ContactEvent::Shortened, Some(300), None)]);
        assert_eq!(net.scscf.registered(), 1);
    }
    net.advance(seconds(330));
    assert_eq!(net.scscf.registered(), 0);
    assert_eq!(net.asked, ["TimeoutDeregistration"]);
}

#[test]
fn reg_13_a_demand_never_prolongs() {
    let mut net = Net::new(config());
    let first = Register { expires: Some(100), ..Register::first() };
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    net.register(&second);
    net.watched();
    net.command(Command::Reauthenticate { user: by_impi(), expires: 300 }).unwrap();
    let told = net.take_notifies("sub-ue").remove(0);
    assert_eq!(told.aors[0].2[0].2, Some(100));
    net.advance(seconds(130));
    assert_eq!(net.scscf.registered(), 0);
}

#[test]
fn commands_that_make_no_sense_say_so() {
    let (mut net, _) = watched(config());
    let nobody = || by_impu("sip:nobody@ims.mnc001.mcc001.3gppnetwork.org");
    let unknown = Err(CommandError::UserUnknown);
    assert_eq!(net.command(deregister(nobody(), Removal::Rejected, Initiator::Operator)), unknown);
    assert_eq!(net.command(Command::Reauthenticate { user: nobody(), expires: 300 }), unknown);
    assert_eq!(net.command(Command::List { user: Some(nobody()), most: 9 }), unknown);
    for expires in [0, 600_001] {
        let refused = net.command(Command::Reauthenticate { user: by_impi(), expires });
        assert_eq!(refused, Err(CommandError::ExpiresOutOfBounds));
    }
    assert!(net.notifies.is_empty() && net.asked.is_empty());
}

#[test]
fn the_list_is_bounded_and_finds_a_user() {
    let (mut net, _) = watched(config());
    for (user, most, found) in [(None, 9, 1), (None, 0, 0), (Some(by_impu(TEL)), 9, 1)] {
        let Ok(Done::Users { registered, users }) = net.command(Command::List { user, most }) else {
            panic!("a list")
        };
        assert_eq!((registered, users.len()), (1, found));
        assert!(users.iter().all(|user| user.contacts[0].remaining == seconds(600_000)));
    }
}
