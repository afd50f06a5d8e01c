//! The kernel says no.

use std::time::Duration;

use lab::{Lab, Options, plan};
use netns_tests::{held, register, watch};
use sec_agree::{Algorithms, Associations, End, EspKeys, Port, SaSet, Setup, Spi};
use ue::core::{Command, Failure, Step};
use xfrm::{Engine, Install, Lifetime};

/// Every second SPI of the P-CSCF's four is taken by a state that is not the P-CSCF's.
fn occupy(lab: &Lab, first: u32) -> Associations {
    let port = |port| Port::new(port).expect("a port");
    let spi = |spi| Spi::new(spi).expect("an SPI");
    let setup = Setup { spi_c: spi(9000), spi_s: spi(9001), port_c: port(9000), port_s: port(9001) };
    let foreigner = End { address: "10.20.99.99".parse().expect("an address"), setup };
    let setup = Setup { spi_c: spi(first), spi_s: spi(first + 2), port_c: port(9002), port_s: port(9003) };
    let p_cscf = End { address: plan::p_cscf(lab.options().family).ip(), setup };
    let set = Associations::new(&foreigner, &p_cscf, Algorithms::ALL[1]).expect("a set");
    let install = || Install {
        set: SaSet::new(set, EspKeys::placeholder(set.algorithms)),
        lifetime: Lifetime::new(Duration::from_secs(600)),
    };
    lab.network()
        .access
        .run(|| Ok(Engine::open()?.install(&[install()]).remove(0)?))
        .expect("occupy the SPIs");
    set
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn a_collision_of_one_spi_leaves_nothing_and_tells_the_cause() {
    let log = watch();
    let first = 0x0100_0000;
    // The P-CSCF draws two neighbours of four: one of them always collides.
    let mut lab =
        Lab::start(Options { p_cscf_spis: (first, first + 3), ..Options::default() }).expect("a lab");
    let foreign = occupy(&lab, first);
    let finished = lab.command(0, Command::Register).expect("the UE answers");
    let Some(Step::Failed(Failure::Rejected { status, .. })) = finished.last() else {
        panic!("refused, not {:?}", finished.steps)
    };
    assert_eq!(*status, 500);
    let (at_ue, at_p_cscf) = lab.kernel_states().expect("the states");
    assert!(at_ue.is_empty(), "{at_ue:?}");
    assert_eq!(held(&at_p_cscf, &foreign), 4, "what is not ours is not touched");
    assert_eq!(at_p_cscf.len(), 4, "the other three states of the set are gone: {at_p_cscf:?}");
    let text = log.text();
    assert!(
        text.contains("the kernel did not take the security associations") && text.contains("EEXIST"),
        "{text}"
    );

    // With the obstacle gone the same UE registers.
    lab.network().access.run(|| Ok(Engine::open()?.remove(&[foreign]).remove(0)?)).expect("free the SPIs");
    register(&mut lab, 0);
}
