//! A NAT between UEs and P-CSCF, on a real kernel.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lab::plan::{self, Family};
use lab::{Lab, Options, Traffic};
use netns_tests::{assert_no_kernel_errors, held, register, watch};
use sec_agree::{Mode, Policy, SecAgreeError};
use ue::core::{Command, Failure, Step, TransportChoice};

fn behind_nat() -> Options {
    Options {
        nat: true,
        ue_nat_traversal: true,
        p_cscf_nat_traversal: true,
        transport: TransportChoice::Udp,
        ..Options::default()
    }
}

/// What the P-CSCF's side of the NAT has seen.
fn outside(lab: &Lab) -> Traffic {
    let wire = lab.wire();
    let strangers: Vec<&IpAddr> = wire
        .keys()
        .filter(|address| **address != plan::NAT && **address != plan::p_cscf(Family::V4).ip())
        .collect();
    let ipv4 = strangers.iter().filter(|address| address.is_ipv4()).count();
    assert_eq!(ipv4, 0, "only the NAT's address shows outside: {strangers:?}");
    wire.get(&plan::NAT).cloned().unwrap_or_default()
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn nat_a_ue_registers_and_re_registers_over_esp_in_udp() {
    watch();
    // One pair of algorithms: no message needs a fragment, which would not show what it is part of.
    let pairs = vec![Policy::default().algorithms()[0]];
    let options = Options { policy: pairs.clone(), offers: vec![pairs], ..behind_nat() };
    let mut lab = Lab::start(options).expect("a lab");
    let (registration, _) = register(&mut lab, 0);
    let set = registration.associations;
    assert_eq!((set.mode(), set.ue_address()), (Mode::UdpEncTun, plan::NAT));
    let first = outside(&lab);
    assert_eq!(first.clear_sip.len(), 2, "{first:?}");
    assert!(first.clear_sip[0].starts_with("REGISTER ") && first.clear_sip[1].starts_with("SIP/2.0 401 "));
    assert!(first.udp_encapsulated >= 2, "{first:?}");
    assert_eq!((first.esp_packets, first.other), (0, 0), "nothing but ESP in UDP: {first:?}");
    // Both kernels hold the set; the P-CSCF's has learned a port that the NAT chose.
    let (at_ue, at_p_cscf) = lab.kernel_states().expect("the states");
    assert_eq!((held(&at_ue, &set), held(&at_p_cscf, &set)), (4, 4));
    let nat_port =
        at_p_cscf[0].outer.map(|(one, other)| if one.ip() == plan::NAT { one } else { other }.port());
    assert!(nat_port.is_some_and(|port| port != 4500), "{nat_port:?}");
    for state in &at_p_cscf {
        let (source, destination) = state.outer.expect("a tunnel");
        assert!([source, destination].contains(&(plan::NAT, nat_port.expect("a port")).into()), "{state:?}");
    }
    assert_no_kernel_errors(&lab);

    let (again, _) = register(&mut lab, 0);
    assert_eq!(again.associations.mode(), Mode::UdpEncTun);
    assert_ne!(again.associations.uc_to_ps.spi, set.uc_to_ps.spi);
    // The NAT loses its memory; what the UE sends next tells the P-CSCF the new port.
    lab.nat_forgets();
    let (last, _) = register(&mut lab, 0);
    let (_, at_p_cscf) = lab.kernel_states().expect("the states");
    let current = at_p_cscf.iter().find(|state| state.spi == last.associations.pc_to_us.spi.get());
    let moved = current.and_then(|state| state.outer).map(|(_, destination)| destination.port());
    assert!(moved.is_some() && moved != nat_port, "{moved:?} after {nat_port:?}");
    // RFC 3948 4: the UE tells the NAT every 20 s that it is still there.
    let deadline = Instant::now() + Duration::from_secs(120);
    while outside(&lab).keep_alives == 0 {
        assert!(Instant::now() < deadline, "no keep-alive");
        std::thread::sleep(Duration::from_secs(1));
    }
    let finished = lab.command(0, Command::Deregister).expect("the UE answers");
    assert_eq!(finished.last(), Some(&Step::Deregistered), "{:?}", finished.steps);
    let all = outside(&lab);
    assert_eq!(all.clear_sip, first.clear_sip, "nothing more in clear");
    assert_eq!((all.esp_packets, all.other), (0, 0), "{all:?}");
    assert_no_kernel_errors(&lab);
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn nat_two_ues_share_its_address_with_ports_of_their_own() {
    watch();
    let mut lab = Lab::start(Options { ues: 2, ..behind_nat() }).expect("a lab");
    let sets = [0, 1].map(|member| register(&mut lab, member).0.associations);
    assert_eq!(sets.map(|set| set.ue_address()), [plan::NAT; 2]);
    assert_ne!(sets[0].pc_to_us.destination, sets[1].pc_to_us.destination);
    for member in [0, 1] {
        register(&mut lab, member);
    }
    let (_, at_p_cscf) = lab.kernel_states().expect("the states");
    let nat_port = |set: &sec_agree::Associations| {
        let state = at_p_cscf.iter().find(|state| state.spi == set.pc_to_us.spi.get());
        state.and_then(|state| state.outer).expect("a tunnel").1.port()
    };
    assert_ne!(nat_port(&sets[0]), nat_port(&sets[1]), "each has a way of its own through the NAT");
    assert_no_kernel_errors(&lab);
}

/// Fails at the UE with what this function answers; nothing is left in the kernels.
fn failure(options: Options) -> (Failure, Vec<String>) {
    let mut lab = Lab::start(options).expect("a lab");
    let finished = lab.command(0, Command::Register).expect("the UE answers");
    let Some(Step::Failed(failure)) = finished.last() else { panic!("failed, not {:?}", finished.steps) };
    let (at_ue, at_p_cscf) = lab.kernel_states().expect("the states");
    assert!(at_ue.is_empty() && at_p_cscf.is_empty());
    assert_no_kernel_errors(&lab);
    (failure.clone(), outside(&lab).clear_sip)
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn nat_without_udp_enc_tun_on_both_sides_the_refusal_says_why_at_both_ends() {
    let log = watch();
    let cases = [
        (false, true, "UE Behind NAT Offers No UDP-enc-tun", SecAgreeError::NoUdpEncTun),
        (false, false, "UE Behind NAT Offers No UDP-enc-tun", SecAgreeError::NoUdpEncTun),
        (true, false, "NAT Traversal Not Allowed", SecAgreeError::UdpEncTunNotAllowed),
    ];
    for (ue_nat_traversal, p_cscf_nat_traversal, words, cause) in cases {
        let (failure, clear) = failure(Options { ue_nat_traversal, p_cscf_nat_traversal, ..behind_nat() });
        let Failure::Rejected { status, reason, .. } = failure else { panic!("a refusal, not {failure}") };
        assert_eq!((status, &*reason), (403, words));
        assert_eq!(clear.len(), 2, "SM1 and the refusal: {clear:?}");
        assert!(clear[1].starts_with("SIP/2.0 403 "), "{clear:?}");
        assert!(log.text().contains(&cause.to_string()), "the P-CSCF's log says {cause}");
    }
}
