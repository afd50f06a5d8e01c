//! Every pair of algorithms, over UDP and TCP, IPv4 and IPv6: first registration and re-registration on a real kernel.

use lab::plan::{self, Family};
use lab::{Lab, Options};
use netns_tests::{assert_no_kernel_errors, clear_sip, held, register, watch};
use sec_agree::{Alg, Algorithms, Associations, Ealg, EspKeys};
use ue::core::{Command, Step, TransportChoice};

/// One UE for each pair of algorithms.
fn lab(family: Family, transport: TransportChoice) -> Lab {
    let ues = u16::try_from(Algorithms::ALL.len()).expect("eight pairs");
    let offers = Algorithms::ALL.iter().map(|pair| vec![*pair]).collect();
    let policy = Algorithms::ALL.to_vec();
    Lab::start(Options { ues, family, transport, policy, offers, ..Options::default() }).expect("a lab")
}

/// SA-1, SEC-15: both kernels hold the four states with the keys of TS 33.203 Annex I and nothing else in their place.
fn assert_states(lab: &Lab, set: &Associations, member: u16, rand: aka::Rand) {
    let (at_ue, at_p_cscf) = lab.kernel_states().expect("the states");
    let vector = lab.vector(member, rand);
    let keys = EspKeys::expand(set.algorithms, &vector.ck, &vector.ik);
    for (end, states) in [("ue", at_ue), ("access", at_p_cscf)] {
        assert_eq!(held(&states, set), 4, "{end} {}", set.algorithms);
        for sa in set.iter() {
            let state =
                states.iter().find(|state| state.spi == sa.spi.get() && state.destination == sa.destination);
            let state = state.expect("a state with that SPI");
            let has = |key: &[u8]| state.algorithms.iter().any(|algorithm| algorithm.has_key(key));
            assert!(
                has(keys.integrity.as_bytes()) || set.algorithms.alg() == Alg::Null,
                "{end} {}",
                set.algorithms
            );
            assert!(
                has(keys.confidentiality.as_bytes()) || set.algorithms.ealg() == Ealg::Null,
                "{end} {}",
                set.algorithms
            );
            assert_eq!(state.replay_window, 32);
            assert!(state.hard_expires > 0, "no state lives for ever");
        }
    }
}

fn first_and_second_registration(family: Family, transport: TransportChoice) {
    watch();
    let mut lab = lab(family, transport);
    let mut first_sets = Vec::new();
    for (member, pair) in (0u16..).zip(Algorithms::ALL) {
        let (registration, rand) = register(&mut lab, member.into());
        assert_eq!(registration.associations.algorithms, pair);
        assert_eq!(registration.associated_uris, [plan::impu(member).into(), plan::tel(member).into()]);
        assert_eq!(registration.service_route.len(), 1);
        assert_states(&lab, &registration.associations, member, rand);
        first_sets.push(registration.associations);
    }
    let wire = lab.wire();
    for (member, pair) in (0u16..).zip(Algorithms::ALL) {
        let clear = clear_sip(&lab, &wire, member);
        assert_eq!(clear.len(), 2, "{pair}: {clear:?}");
        assert!(
            clear[0].starts_with("REGISTER ") && clear[1].starts_with("SIP/2.0 401 "),
            "{pair}: {clear:?}"
        );
        let traffic = &wire[&plan::ue_address(family, member)];
        assert!(traffic.esp_packets >= 2, "{pair}: {traffic:?}");
    }
    assert_no_kernel_errors(&lab);

    for (member, first) in (0u16..).zip(&first_sets) {
        let (registration, rand) = register(&mut lab, member.into());
        let second = registration.associations;
        // SA-9: new SPIs and client ports, the server ports stay.
        assert_ne!(first.uc_to_ps.source.port(), second.uc_to_ps.source.port());
        assert_ne!(first.pc_to_us.source.port(), second.pc_to_us.source.port());
        assert_eq!(first.uc_to_ps.destination, second.uc_to_ps.destination);
        assert_eq!(first.pc_to_us.destination, second.pc_to_us.destination);
        for (old, new) in first.iter().zip(second.iter()) {
            assert_ne!(old.spi, new.spi);
        }
        assert_states(&lab, &second, member, rand);
        // SA-6: the old set still receives.
        let (at_ue, at_p_cscf) = lab.kernel_states().expect("the states");
        assert_eq!((held(&at_ue, first), held(&at_p_cscf, first)), (4, 4));
    }
    let again = lab.wire();
    for member in 0..lab.options().ues {
        assert_eq!(clear_sip(&lab, &again, member).len(), 2, "the re-registration crossed in ESP only");
        let address = plan::ue_address(family, member);
        assert!(again[&address].esp_packets >= wire[&address].esp_packets + 4);
    }
    assert_no_kernel_errors(&lab);
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_2_udp_over_ipv4() {
    first_and_second_registration(Family::V4, TransportChoice::Udp);
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_3_tcp_over_ipv4() {
    first_and_second_registration(Family::V4, TransportChoice::Tcp);
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_18_udp_over_ipv6() {
    first_and_second_registration(Family::V6, TransportChoice::Udp);
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_18_tcp_over_ipv6() {
    first_and_second_registration(Family::V6, TransportChoice::Tcp);
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_15_the_answer_to_a_de_registration_is_protected_and_the_sets_go_afterwards() {
    watch();
    let mut lab = Lab::start(Options::default()).expect("a lab");
    let (registration, _) = register(&mut lab, 0);
    let before = lab.wire();
    let finished = lab.command(0, Command::Deregister).expect("the UE answers");
    assert_eq!(finished.last(), Some(&Step::Deregistered), "{:?}", finished.steps);
    let wire = lab.wire();
    assert_eq!(clear_sip(&lab, &wire, 0), clear_sip(&lab, &before, 0), "nothing more in clear");
    assert_no_kernel_errors(&lab);
    // The UE's states end after T1, the P-CSCF's after 64*T1.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !lab.kernel_states().expect("the states").0.is_empty() {
        assert!(std::time::Instant::now() < deadline, "the UE still holds states");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(held(&lab.kernel_states().expect("the states").1, &registration.associations), 4);
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn aka_13_no_key_is_in_any_log_at_any_level() {
    let log = watch();
    let mut lab = Lab::start(Options::default()).expect("a lab");
    let (registration, rand) = register(&mut lab, 0);
    let vector = lab.vector(0, rand);
    let keys = EspKeys::expand(registration.associations.algorithms, &vector.ck, &vector.ik);
    drop(lab);
    let text = log.text().to_lowercase();
    assert!(text.contains("registered"), "the log was read");
    let secrets: [&[u8]; 5] = [
        vector.ck.as_bytes(),
        vector.ik.as_bytes(),
        vector.xres.as_bytes(),
        keys.integrity.as_bytes(),
        keys.confidentiality.as_bytes(),
    ];
    for secret in secrets {
        let hex: String = secret.iter().map(|octet| format!("{octet:02x}")).collect();
        let list = format!("{secret:?}");
        assert!(!text.contains(&hex) && !text.contains(&list), "a key is in the log");
    }
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn dig_11_akav2_and_qop_register_too() {
    watch();
    let digest = aka::DigestAlgorithm::AkaV2Md5;
    let mut lab = Lab::start(Options { digest, qop: true, ..Options::default() }).expect("a lab");
    register(&mut lab, 0);
    register(&mut lab, 0);
    assert_no_kernel_errors(&lab);
}
