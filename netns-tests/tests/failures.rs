//! Failures of authentication, provoked by the UE and seen in both kernels.

use std::time::{Duration, Instant};

use lab::{Finished, Lab, Options};
use netns_tests::{held, register, watch};
use sec_agree::Associations;
use ue::core::{Command, Failure, Fault, Step, TransportChoice};

const AWAIT_AUTH: Duration = Duration::from_secs(4);

fn lab() -> Lab {
    let options = Options {
        // An answer that never comes is given up soon.
        patience: Duration::from_secs(6),
        reg_await_auth: AWAIT_AUTH,
        transport: TransportChoice::Udp,
        ..Options::default()
    };
    Lab::start(options).expect("a lab")
}

fn misbehave(lab: &mut Lab, fault: Fault) -> Finished {
    lab.command(0, Command::Misbehave(fault)).expect("the UE answers")
}

fn status(finished: &Finished) -> Option<u16> {
    match finished.last() {
        Some(Step::Failed(failure)) => failure.status(),
        _ => None,
    }
}

/// The set of the challenge that a command met.
fn challenged(finished: &Finished) -> Option<Associations> {
    finished.steps.iter().find_map(|step| match step {
        Step::Challenged { associations, .. } => Some(**associations),
        _ => None,
    })
}

fn states(lab: &Lab) -> (usize, usize) {
    let (at_ue, at_p_cscf) = lab.kernel_states().expect("the states");
    (at_ue.len(), at_p_cscf.len())
}

/// Waits for the timer of unanswered challenges.
fn wait_for_states(lab: &Lab, wanted: usize, fault: Fault) {
    let deadline = Instant::now() + AWAIT_AUTH + Duration::from_secs(20);
    while states(lab) != (wanted, wanted) {
        assert!(Instant::now() < deadline, "{fault}: {:?} states, not {wanted}", states(lab));
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_13_a_wrong_res_is_told_over_the_new_set_which_then_goes() {
    watch();
    let mut lab = lab();
    let finished = misbehave(&mut lab, Fault::Res);
    assert_eq!(status(&finished), Some(403), "{:?}", finished.steps);
    assert!(challenged(&finished).is_some(), "both kernels had the set");
    // The UE has its answer over ESP: in clear crossed only SM1 and SM6.
    assert_eq!(netns_tests::clear_sip(&lab, &lab.wire(), 0).len(), 2);
    wait_for_states(&lab, 0, Fault::Res);
    netns_tests::assert_no_kernel_errors(&lab);
    register(&mut lab, 0);
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_13_a_wrong_ik_is_dropped_by_the_kernel_and_the_timer_ends_the_set() {
    watch();
    let mut lab = lab();
    let finished = misbehave(&mut lab, Fault::Ik);
    assert!(matches!(finished.last(), Some(Step::Failed(Failure::NoAnswer { .. }))), "{:?}", finished.steps);
    let (_, errors) = lab.kernel_errors().expect("the counters");
    assert!(errors.counter("XfrmInStateProtoError") > 0);
    wait_for_states(&lab, 0, Fault::Ik);
    register(&mut lab, 0);
}

/// SA-14: a failure of the UE to accept the challenge ends its set at once. SEC-13, SEC-14: an agreement that is not
/// what was agreed ends the attempt.
#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_14_a_registered_user_stays_registered_through_every_failure() {
    watch();
    let mut lab = lab();
    let (registration, _) = register(&mut lab, 0);
    let current = registration.associations;
    let faults = [
        (Fault::Res, Some(403)),
        (Fault::Mac, None),
        (Fault::Verify, Some(494)),
        (Fault::ClearAnswer, None),
        (Fault::Silent, None),
        (Fault::Ik, None),
    ];
    for (fault, wanted) in faults {
        let finished = misbehave(&mut lab, fault);
        assert!(matches!(finished.last(), Some(Step::Failed(_))), "{fault}: {:?}", finished.steps);
        if wanted.is_some() {
            assert_eq!(status(&finished), wanted, "{fault}: {:?}", finished.steps);
        }
        let (at_ue, at_p_cscf) = lab.kernel_states().expect("the states");
        assert_eq!((held(&at_ue, &current), held(&at_p_cscf, &current)), (4, 4), "{fault}");
        if fault == Fault::Mac {
            assert_eq!(at_p_cscf.len(), 4, "{fault}: the set of the attempt is gone at once");
        }
        wait_for_states(&lab, 4, fault);
    }
    // A number that the card refuses leads to another challenge, and that to a registration.
    let finished = misbehave(&mut lab, Fault::Sqn);
    assert!(matches!(finished.last(), Some(Step::Registered(_))), "{:?}", finished.steps);
    assert!(finished.steps.contains(&Step::SynchronisationFailure), "{:?}", finished.steps);
    let (at_ue, at_p_cscf) = lab.kernel_states().expect("the states");
    assert_eq!((held(&at_ue, &current), held(&at_p_cscf, &current)), (4, 4), "the old set still receives");
    assert_eq!((at_ue.len(), at_p_cscf.len()), (8, 8), "no set of a failed attempt is left");
}
