//! A P-CSCF that ends in any way and comes back; states that end in the kernel.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use lab::{Lab, Options};
use netns_tests::{Process, assert_no_kernel_errors, clear_sip, held, register, registered, watch};
use sec_agree::{Algorithms, Associations, End, EspKeys, Port, SaSet, Setup, Spi};
use ue::core::Command;
use xfrm::{Engine, Extend, Install, Lifetime};

const UES: u16 = 200;
const STATE: &str = "pcscf.state";

/// The testbed's P-CSCF, with a state file and without.
fn configurations(folder: &Path) -> Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/testbed/pcscf.toml");
    let text = std::fs::read_to_string(example)?;
    std::fs::write(folder.join("unsaved.toml"), &text)?;
    std::fs::write(folder.join("saved.toml"), format!("state = \"{STATE}\"\n{text}"))?;
    Ok(())
}

fn p_cscf(lab: &Lab, folder: &Path, config: &str) -> Result<Process> {
    let mut p_cscf = Process::start(&lab.network().access, "pcscf", &["--config", config], folder)?;
    p_cscf.wait_for_log("P-CSCF is ready")?;
    Ok(p_cscf)
}

fn forget(lab: &Lab, folder: &Path) -> Result<(bool, String)> {
    let arguments = ["--config", "saved.toml", "--forget"];
    let mut forget = Process::start(&lab.network().access, "pcscf", &arguments, folder)?;
    let ended = forget.wait(Duration::from_secs(20))?;
    Ok((ended.success(), forget.stdout() + &forget.stderr()))
}

/// A set on the P-CSCF's own ports that no run has made.
fn foreign_set() -> Associations {
    let end = |address: &str, client, server, first| {
        let (port, spi) = (|port| Port::new(port).expect("a port"), |spi| Spi::new(spi).expect("an SPI"));
        let setup =
            Setup { spi_c: spi(first), spi_s: spi(first + 1), port_c: port(client), port_s: port(server) };
        End { address: address.parse().expect("an address"), setup }
    };
    let (ue, p_cscf) = (end("10.20.99.99", 7000, 7100, 9000), end("10.10.0.1", 6000, 6100, 9010));
    Associations::new(&ue, &p_cscf, Algorithms::ALL[1]).expect("a set")
}

fn all_registered(lab: &mut Lab, members: std::ops::Range<usize>) -> Vec<Associations> {
    let count = members.len();
    let mut sets = vec![None; count];
    lab.run(Command::Register, members, 50, |finished| {
        sets[finished.member] = Some(registered(&finished).0.associations);
    })
    .expect("the UEs answer");
    sets.into_iter().map(|set| set.expect("every UE has told")).collect()
}

/// SA-19: all UEs have the same port numbers.
#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_17_two_hundred_ues_go_on_after_kill_9() -> Result<()> {
    watch();
    let folder = tempfile::tempdir()?;
    configurations(folder.path())?;
    let mut lab = Lab::start(Options { ues: UES + 3, p_cscf: false, ..Options::default() })?;
    let first_run = p_cscf(&lab, folder.path(), "saved.toml")?;
    let sets = all_registered(&mut lab, 0..usize::from(UES));
    assert_no_kernel_errors(&lab);
    let before = lab.kernel_states()?.1;
    assert_eq!(before.len(), usize::from(UES) * 4);
    first_run.kill()?;
    let left = lab.kernel_states()?.1;
    assert_eq!(left.len(), before.len(), "the kernel keeps what the daemon leaves");

    // One set that only the file knows, and one that only the kernel knows.
    let (lost, foreign) = (*sets.last().expect("a set"), foreign_set());
    let install = Install {
        set: SaSet::new(foreign, EspKeys::placeholder(foreign.algorithms)),
        lifetime: Lifetime::new(Duration::from_secs(600)),
    };
    lab.network().access.run(move || {
        let mut engine = Engine::open()?;
        engine.remove(&[lost]).remove(0)?;
        Ok(engine.install(&[install]).remove(0)?)
    })?;
    let mut second_run = p_cscf(&lab, folder.path(), "saved.toml")?;
    second_run.wait_for_log("cannot go on")?;
    let told = second_run.stderr();
    for words in ["adopted=199", "forgotten=1", "does not hold all four of its states", "states=4"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let adopted = lab.kernel_states()?.1;
    assert_eq!((held(&adopted, &foreign), held(&adopted, &lost)), (0, 0));
    assert_eq!(adopted.len(), before.len() - 4);

    // Each of the others goes on over the association it had.
    let second = all_registered(&mut lab, 0..usize::from(UES) - 1);
    assert_no_kernel_errors(&lab);
    let (wire, after) = (lab.wire(), lab.kernel_states()?.1);
    for (member, (old, new)) in (0u16..).zip(sets.iter().zip(&second)) {
        assert_eq!(clear_sip(&lab, &wire, member).len(), 2, "only SM1 and SM6 of the first registration");
        assert_eq!((held(&after, old), held(&after, new)), (4, 4), "UE {member}");
        // The replay window would have refused the packets of a sequence that had started over.
        let packets = |states: &[xfrm::KernelState]| {
            let spi = old.uc_to_ps.spi.get();
            states
                .iter()
                .find(|state| state.spi == spi && state.destination == old.uc_to_ps.destination)
                .map(|state| state.packets)
        };
        assert!(packets(&after) > packets(&before), "UE {member}");
    }

    // While it runs, nothing is forgotten; told to end, it leaves everything.
    assert!(!forget(&lab, folder.path())?.0);
    assert!(second_run.terminate()?.success());
    assert_eq!(lab.kernel_states()?.1.len(), after.len());
    let (done, told) = forget(&lab, folder.path())?;
    assert!(done && told.contains(&format!("removed {} states", after.len())), "{told}");
    assert!(lab.kernel_states()?.1.is_empty() && !folder.path().join(STATE).exists());

    // States of a dead run that saved nothing are in nobody's way.
    let unsaved = p_cscf(&lab, folder.path(), "unsaved.toml")?;
    register(&mut lab, usize::from(UES));
    unsaved.kill()?;
    let mut last_run = p_cscf(&lab, folder.path(), "unsaved.toml")?;
    assert!(last_run.stderr().contains("states=4"), "{}", last_run.stderr());
    register(&mut lab, usize::from(UES) + 1);
    assert!(last_run.terminate()?.success());
    assert!(lab.kernel_states()?.1.is_empty(), "without a file everything ends with the process");
    Ok(())
}

/// Has the kernel of an end believe that the time of a set is over.
fn age(namespace: &lab::Namespace, associations: Associations) -> Result<()> {
    let extend = Extend { associations, age: Duration::ZERO, lifetime: Duration::from_secs(1) };
    namespace.run(move || Ok(Engine::open()?.extend(&[extend]).remove(0)?))
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn when_one_of_two_kernels_ends_a_set_its_owner_ends_it_too() -> Result<()> {
    let log = watch();
    let mut lab = Lab::start(Options::default())?;
    let (first, _) = register(&mut lab, 0);
    age(&lab.network().access, first.associations)?;
    wait_until("the P-CSCF hears of it", || log.text().contains("has expired in the kernel"));
    wait_until("nothing is left of the set", || {
        lab.kernel_states().is_ok_and(|(_, states)| states.is_empty())
    });
    assert_eq!(held(&lab.kernel_states()?.0, &first.associations), 4, "the UE does not know yet");

    // The UE's kernel ends it too; so it registers in clear, as one that has no set.
    age(&lab.network().ue, first.associations)?;
    wait_until("the UE drops its set", || lab.kernel_states().is_ok_and(|(states, _)| states.is_empty()));
    let (second, _) = register(&mut lab, 0);
    let (at_ue, at_p_cscf) = lab.kernel_states()?;
    assert_eq!((held(&at_ue, &second.associations), held(&at_p_cscf, &second.associations)), (4, 4));
    assert_eq!(clear_sip(&lab, &lab.wire(), 0).len(), 4, "SM1 and SM6 twice");
    Ok(())
}
