//! What the netns suite shares: one set of namespaces a test, the kernel's own counters, the wire.
//!
//! Every test here needs a kernel with ESP and is `#[ignore]`d elsewhere; `cargo xtask test` runs all of them on the
//! host's kernel or in the guest. Tests of one binary run one after the other: they share the log.

#![forbid(unsafe_code)]

mod certificates;
mod kamailio;
mod log;
mod probe;
mod process;
mod registrant;
mod stage;
mod stranger;
mod testbed;

pub use certificates::certify;
pub use kamailio::{Core, Whose, interop};
pub use log::{Log, watch};
pub use probe::{capture_esp, inject, send_udp};
pub use process::{Process, binary};
pub use registrant::{Answer, Registrant};
pub use stage::{Phone, Stage, carried, session};
pub use stranger::{SESSION, Stranger};
pub use testbed::{Daemons, testbed};

use lab::{Finished, Lab, Wire, plan};
use sec_agree::Associations;
use ue::core::{Command, Registration, Step};

/// Registers a UE and fails the test with its steps when that fails.
pub fn register(lab: &mut Lab, member: usize) -> (Registration, aka::Rand) {
    let finished = lab.command(member, Command::Register).expect("the UE answers");
    registered(&finished)
}

/// What a registration brought, and the RAND of its challenge.
pub fn registered(finished: &Finished) -> (Registration, aka::Rand) {
    let rand = finished.steps.iter().find_map(|step| match step {
        Step::Challenged { rand, .. } => Some(*rand),
        _ => None,
    });
    match (finished.last(), rand) {
        (Some(Step::Registered(registration)), Some(rand)) => ((**registration).clone(), rand),
        _ => panic!("UE {} did not register: {:?}", finished.member, finished.steps),
    }
}

/// First lines of what crossed in clear for a UE.
pub fn clear_sip(lab: &Lab, wire: &Wire, member: u16) -> Vec<String> {
    let address = plan::ue_address(lab.options().family, member);
    wire.get(&address).map(|traffic| traffic.clear_sip.clone()).unwrap_or_default()
}

/// Fails unless no XFRM error was counted at either end.
pub fn assert_no_kernel_errors(lab: &Lab) {
    let (ue, p_cscf) = lab.kernel_errors().expect("the counters");
    for (name, statistics) in [("ue", ue), ("access", p_cscf)] {
        let errors: Vec<_> = statistics.errors().map(|(name, count)| format!("{name}={count}")).collect();
        assert!(errors.is_empty(), "XFRM errors in {name}: {errors:?}");
    }
}

/// How many of a set's four states an end holds, each with the right addresses, ports and SPI.
pub fn held(states: &[xfrm::KernelState], set: &Associations) -> usize {
    let holds = |sa: &&sec_agree::Association| {
        states.iter().any(|state| {
            (state.spi, state.source, state.destination) == (sa.spi.get(), sa.source, sa.destination)
        })
    };
    set.iter().filter(holds).count()
}
