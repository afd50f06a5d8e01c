//! The reg event package on a real kernel: what the network wants reaches the UE inside ESP, and traffic that flows while
//! one set of associations takes over from another loses nothing.

use std::path::Path;
use std::process::Command as Program;
use std::time::{Duration, Instant};

use lab::ladder::{Party, Rung};
use lab::{Lab, Options, plan};
use netns_tests::{assert_no_kernel_errors, binary, clear_sip, held, register, watch};
use ue::core::{Command, Step, TransportChoice};

/// Re-registrations of one UE while it talks.
const TAKE_OVERS: usize = 12;

fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} within {limit:?}");
        std::thread::sleep(Duration::from_millis(13));
    }
}

/// How many messages with this label went from one to the other.
fn count(rungs: &[Rung], from: Party, to: Party, wanted: impl Fn(&str) -> bool) -> usize {
    let fits = |rung: &&Rung| matches!(rung, Rung::Message { from: a, to: b, label, .. } if (*a, *b) == (from, to) && wanted(label));
    rungs.iter().filter(fits).count()
}

/// SA-6: with requests in both directions all the time, set after set takes over: every request is answered, once, and
/// neither kernel drops a packet.
fn take_over_with_traffic(transport: TransportChoice) {
    let log = watch();
    let options = Options {
        transport,
        subscribe: true,
        refresh_subscription: Some(Duration::from_millis(5)),
        ..Options::default()
    };
    let mut lab = Lab::start(options).expect("a lab");
    let mut sets = vec![register(&mut lab, 0).0.associations];
    let mut during = 0;
    for _ in 0..TAKE_OVERS {
        std::thread::sleep(Duration::from_millis(200));
        let finished = lab.command(0, Command::Register).expect("the UE answers");
        let failed = |step: &&Step| matches!(step, Step::Failed(_) | Step::NotSubscribed(_) | Step::Lapsed);
        assert_eq!(finished.steps.iter().find(failed), None, "{:?}", finished.steps);
        during += finished.steps.iter().filter(|step| matches!(step, Step::Notified(_))).count();
        let Some(Step::Registered(registration)) = finished.last() else { panic!("{:?}", finished.steps) };
        sets.push(registration.associations);
    }
    let (ue, p_cscf) = (Party::Ue, Party::Pcscf);
    let counts = || {
        let rungs = log.rungs();
        let asked = count(&rungs, ue, p_cscf, |label| label == "SUBSCRIBE");
        let registers = count(&rungs, ue, p_cscf, |label| label == "REGISTER");
        let told = count(&rungs, p_cscf, ue, |label| label == "NOTIFY");
        let heard = count(&rungs, ue, p_cscf, |label| label.starts_with("200"));
        let answered = count(&rungs, p_cscf, ue, |label| label.starts_with("200"));
        (asked, registers, told, heard, answered)
    };
    // Between two refreshes nothing is under way; were something lost, there would be no such moment.
    let mut settled = counts();
    wait_until("every request has its answer", Duration::from_secs(10), || {
        settled = counts();
        let (asked, _, told, heard, answered) = settled;
        answered == asked + TAKE_OVERS + 1 && told == heard
    });
    let (asked, registers, told, _, _) = settled;
    let summary =
        format!("{asked} SUBSCRIBE, {registers} REGISTER, {told} NOTIFY, {during} NOTIFY within take-overs");
    eprintln!("{transport:?}: {summary}");
    assert_eq!(registers, 2 * (TAKE_OVERS + 1), "no REGISTER was repeated: {summary}");
    assert!(
        asked > 3 * TAKE_OVERS && told >= asked && during > 0,
        "there was traffic all the time: {summary}"
    );
    assert_no_kernel_errors(&lab);
    assert_eq!(clear_sip(&lab, &lab.wire(), 0).len(), 2, "SM1 and SM6 crossed in clear, nothing else");
    // The UE talks over the last set; the one before it lives 64*T1 longer, those before that are gone.
    let (at_ue, at_p_cscf) = lab.kernel_states().expect("the states");
    let [.., before, last] = &sets[..] else { panic!("{sets:?}") };
    assert_eq!((held(&at_ue, last), held(&at_p_cscf, last)), (4, 4));
    assert_eq!((held(&at_ue, before), held(&at_p_cscf, before)), (4, 4));
    assert_eq!((at_ue.len(), at_p_cscf.len()), (8, 8));
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_6_udp_traffic_survives_every_take_over() {
    take_over_with_traffic(TransportChoice::Udp);
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_6_tcp_traffic_survives_every_take_over() {
    take_over_with_traffic(TransportChoice::Tcp);
}

fn operator(socket: &Path, arguments: &[&str]) {
    let mut program = Program::new(binary("akasec"));
    program.arg("reg").args(arguments).arg("--socket").arg(socket);
    let output = program.output().expect("akasec runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// REG-13, REG-14: the operator asks for a new authentication, and gets it over ESP; then ends the registration, and both
/// kernels are empty in the end.
#[test]
#[ignore = "needs a kernel with ESP"]
fn reg_13_the_network_re_authenticates_and_at_last_de_registers_a_ue() {
    let log = watch();
    // The guest has a tmpfs there; elsewhere any folder will do.
    let folder = tempfile::tempdir_in("/run").or_else(|_| tempfile::tempdir()).expect("a folder");
    let socket = folder.path().join("scscf.sock");
    let options = Options {
        subscribe: true,
        stay_registered: true,
        scscf_control: Some(socket.clone()),
        ..Options::default()
    };
    let mut lab = Lab::start(options).expect("a lab");
    let first = register(&mut lab, 0).0.associations;
    let is_notified = || count(&log.rungs(), Party::Pcscf, Party::Ue, |label| label == "NOTIFY") > 0;
    wait_until("the first NOTIFY comes", Duration::from_secs(10), is_notified);
    let impi = plan::impi(0);
    operator(&socket, &["reauthenticate", &impi, "--expires", "6"]);
    let challenges = || count(&log.rungs(), Party::Pcscf, Party::Ue, |label| label.starts_with("401"));
    wait_until("the UE is challenged again", Duration::from_secs(10), || challenges() == 2);
    let states = |lab: &Lab| lab.kernel_states().expect("the states");
    wait_until("a second set is there", Duration::from_secs(10), || {
        let (at_ue, at_p_cscf) = states(&lab);
        at_ue.len() == 8 && at_p_cscf.len() == 8
    });
    // Past the end of the shortened registration, which the new one has replaced.
    std::thread::sleep(Duration::from_secs(18));
    let (at_ue, _) = states(&lab);
    assert!(at_ue.len() >= 4 && at_ue.len() > held(&at_ue, &first), "the new set lives on");
    assert_eq!(clear_sip(&lab, &lab.wire(), 0).len(), 2, "all of it crossed inside ESP");
    operator(&socket, &["deregister", &impi, "--how", "rejected"]);
    wait_until("the UE lets go of its sets", Duration::from_secs(20), || states(&lab).0.is_empty());
    assert_eq!(clear_sip(&lab, &lab.wire(), 0).len(), 2, "the word of the end crossed inside ESP too");
    assert_no_kernel_errors(&lab);
}
