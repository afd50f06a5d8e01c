//! Every fault of the UE against the whole network: nobody gets in by it, and nobody who was in gets lost.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::time::Duration;

use network::check::{check_kernels, check_wire};
use network::{Network, Options};
use ue::core::{Command, Fault, Step, TransportChoice};

const MINUTE: Duration = Duration::from_secs(60);

/// What the network answers, where it answers at all.
fn status(fault: Fault) -> &'static [u16] {
    match fault {
        Fault::Verify | Fault::Client | Fault::StripEalg | Fault::StripServer | Fault::Spi | Fault::Port => {
            &[494]
        }
        // Over a set the agreement stands; what is missing there is the offer.
        Fault::NoSecAgree => &[421, 400],
        Fault::NoSecurityClient | Fault::BadSpi | Fault::EqualPorts => &[400],
        Fault::Ah | Fault::Tun => &[400, 403],
        Fault::Res
        | Fault::Auts
        | Fault::CallId
        | Fault::Impi
        | Fault::Replay
        | Fault::ClearAnswer
        | Fault::Uncover => &[403, 400],
        Fault::Mac | Fault::Sqn | Fault::Ik | Fault::Silent => &[],
    }
}

fn misbehaves(network: &mut Network, fault: Fault) -> Option<Step> {
    let last = network.command(0, Command::Misbehave(fault)).last().cloned();
    match &last {
        // The card takes the next challenge: this one ends well.
        Some(Step::Registered(_)) => assert_eq!(fault, Fault::Sqn),
        Some(Step::Failed(failure)) => {
            if let Some(found) = failure.status() {
                assert!(status(fault).contains(&found), "{fault}: {found}");
            }
        }
        other => panic!("{fault}: {other:?}"),
    }
    last
}

/// OVW-10
#[test]
fn ovw_10_no_fault_registers_anybody_and_none_leaves_anything() {
    for transport in [TransportChoice::Udp, TransportChoice::Tcp] {
        for fault in Fault::all() {
            let mut network = Network::new(&Options { transport, ..Options::default() });
            misbehaves(&mut network, fault);
            network.run(5 * MINUTE);
            let registered = usize::from(fault == Fault::Sqn);
            assert_eq!(
                (network.scscf().registered(), network.pcscf().sets()),
                (registered, registered),
                "{fault}"
            );
            check_kernels(&mut network, 0);
            check_wire(&network);
            let steps = network.command(0, Command::Register);
            assert!(matches!(steps.last(), Some(Step::Registered(_))), "{fault}: {steps:?}");
        }
    }
}

/// OVW-4: a registered user stays registered through all of them, and so do its sets.
#[test]
fn ovw_4_no_fault_costs_a_registered_user_anything() {
    for transport in [TransportChoice::Udp, TransportChoice::Tcp] {
        let mut network = Network::new(&Options { transport, subscribe: true, ..Options::default() });
        network.command(0, Command::Register);
        network.run(MINUTE);
        for fault in Fault::all() {
            let before = network.ues[0].registration().expect("registered").associations;
            misbehaves(&mut network, fault);
            network.run(5 * MINUTE);
            assert_eq!(network.scscf().registered(), 1, "{fault}");
            let after = network.ues[0].registration().map(|registration| registration.associations);
            if fault != Fault::Sqn {
                assert_eq!(after, Some(before), "{fault}: the set stays");
            }
            check_kernels(&mut network, 0);
            let steps = network.command(0, Command::Register);
            assert!(matches!(steps.last(), Some(Step::Registered(_))), "{fault}: {steps:?}");
            network.run(5 * MINUTE);
        }
        check_wire(&network);
    }
}
