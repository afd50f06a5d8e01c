//! The engine against a real kernel. Needs ESP and CAP_NET_ADMIN: `cargo xtask test` runs these where both are.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use sec_agree::{Algorithms, Associations, ClientPorts, End, EspKeys, Port, Role, SaSet, Setup, Spi};
use xfrm::{Engine, Extend, Install, KernelEvent, Lifetime, Monitor, Operation, Protection, XfrmError};

/// Runs `test` in a network namespace of its own, which ends with its thread.
fn in_namespace(test: impl FnOnce(Engine) + Send + 'static) {
    let run = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("CAP_SYS_ADMIN for a network namespace");
        test(Engine::open().expect("an XFRM socket"));
    });
    run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn end(address: &str, base: u16, spi: u32) -> End {
    let (port, spi) = (|offset| Port::new(base + offset).unwrap(), |offset| Spi::new(spi + offset).unwrap());
    let setup = Setup { spi_c: spi(0), spi_s: spi(1), port_c: port(0), port_s: port(1) };
    End { address: address.parse().unwrap(), setup }
}

fn set_with(algorithms: Algorithms, ue: &End, p_cscf: &End) -> SaSet {
    let keys = EspKeys::placeholder(algorithms);
    SaSet::new(Associations::new(ue, p_cscf, algorithms).unwrap(), keys)
}

fn install(set: SaSet, seconds: u64) -> Install {
    Install { set, lifetime: Lifetime::new(Duration::from_secs(seconds)) }
}

const SHA1_AES: Algorithms = Algorithms::ALL[1];

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_21_the_probe_finds_every_pair_of_algorithms_on_both_families() {
    in_namespace(|mut engine| {
        let capabilities = engine.probe().unwrap();
        assert_eq!(capabilities.ipv4, Algorithms::ALL);
        assert_eq!(capabilities.ipv6, Algorithms::ALL);
        assert!(engine.states().unwrap().is_empty(), "the probe leaves nothing behind");
    });
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_1_four_states_with_their_selectors_keys_and_lifetimes() {
    in_namespace(|mut engine| {
        for (at, algorithms) in (0u16..).zip(Algorithms::ALL) {
            for (ue, p_cscf) in [("10.9.0.2", "10.9.0.1"), ("fd00::2", "fd00::1")] {
                let (ue, p_cscf) =
                    (end(ue, 7000, 1000 + u32::from(at) * 10), end(p_cscf, 6000, 2000 + u32::from(at) * 10));
                let set = set_with(algorithms, &ue, &p_cscf);
                let associations = set.associations;
                engine.install(&[install(set, 240)]).remove(0).unwrap();
                let states = engine.states().unwrap();
                assert_eq!(states.len(), 4);
                let keys = EspKeys::placeholder(algorithms);
                for sa in associations.iter() {
                    let state =
                        states.iter().find(|state| state.spi == sa.spi.get()).expect("a state with that SPI");
                    assert_eq!((state.source, state.destination), (sa.source, sa.destination), "{}", sa.role);
                    assert_eq!((state.soft_expires, state.hard_expires), (216, 240));
                    assert_eq!(state.replay_window, 32);
                    for key in [&keys.integrity, &keys.confidentiality] {
                        let held = state.algorithms.iter().any(|algorithm| algorithm.has_key(key.as_bytes()));
                        assert!(held || key.as_bytes().is_empty(), "{algorithms}: the kernel holds the key");
                    }
                    // RFC 2403, RFC 2404: 96 bits; RFC 4106, RFC 4543: 128 bits.
                    let icv: u32 = state.algorithms.iter().map(|algorithm| algorithm.icv_bits).sum();
                    let aead = algorithms.to_string().contains("aes-g");
                    assert_eq!(icv, if aead { 128 } else { 96 }, "{algorithms}");
                }
                engine.remove(&[associations]).remove(0).unwrap();
                assert!(engine.states().unwrap().is_empty());
            }
        }
    });
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn a_refused_state_takes_the_other_three_with_it_and_says_why() {
    in_namespace(|mut engine| {
        let p_cscf = end("10.9.0.1", 6000, 2000);
        let first = set_with(SHA1_AES, &end("10.9.0.2", 7000, 1000), &p_cscf);
        engine.install(&[install(first, 60)]).remove(0).unwrap();
        // The second UE's set has one SPI of the first at the same destination; a third is fine.
        for role in [Role::UcToPs, Role::UsToPc] {
            let mut clash = end("10.9.0.1", 6000, 3000);
            match role {
                Role::UcToPs => clash.setup.spi_s = p_cscf.setup.spi_s,
                _ => clash.setup.spi_c = p_cscf.setup.spi_c,
            }
            let second = set_with(SHA1_AES, &end("10.9.0.3", 7000, 1100), &clash);
            let third = set_with(SHA1_AES, &end("10.9.0.4", 7000, 1200), &end("10.9.0.1", 6000, 4000));
            let third_associations = third.associations;
            let results = engine.install(&[install(second, 60), install(third, 60)]);
            let Err(XfrmError::StateRefused { operation, errno, spi, source_address, .. }) =
                results[0].clone()
            else {
                panic!("refused, not {:?}", results[0])
            };
            assert_eq!((operation, errno), (Operation::AddState, Errno::EEXIST));
            assert!([2000, 2001].contains(&spi));
            assert_eq!(source_address, "10.9.0.3".parse::<IpAddr>().unwrap());
            assert_eq!(results[1], Ok(()));
            let states = engine.states().unwrap();
            assert_eq!(states.len(), 8, "the first and the third set");
            assert!(states.iter().all(|state| state.source.ip() != source_address));
            engine.remove(&[third_associations]).remove(0).unwrap();
        }
    });
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_8_a_lifetime_is_moved_and_the_keys_stay() {
    in_namespace(|mut engine| {
        let set = set_with(SHA1_AES, &end("10.9.0.2", 7000, 1000), &end("10.9.0.1", 6000, 2000));
        let associations = set.associations;
        engine.install(&[install(set, 240)]).remove(0).unwrap();
        let (age, lifetime) = (Duration::from_secs(10), Duration::from_secs(600_030));
        engine.extend(&[Extend { associations, age, lifetime }]).remove(0).unwrap();
        for state in engine.states().unwrap() {
            assert_eq!(state.hard_expires, 600_040);
            let keys = EspKeys::placeholder(SHA1_AES);
            assert!(state.algorithms.iter().any(|algorithm| algorithm.has_key(keys.integrity.as_bytes())));
        }
        engine.remove(&[associations]).remove(0).unwrap();
        let error = engine.extend(&[Extend { associations, age, lifetime }]).remove(0).unwrap_err();
        assert!(matches!(error, XfrmError::StateRefused { errno: Errno::ESRCH, .. }), "{error}");
        assert_eq!(engine.remove(&[associations]).remove(0), Ok(()), "what is gone is gone");
    });
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn the_kernel_ends_what_a_dead_daemon_leaves() {
    in_namespace(|mut engine| {
        let set = set_with(SHA1_AES, &end("10.9.0.2", 7000, 1000), &end("10.9.0.1", 6000, 2000));
        engine.install(&[install(set, 1)]).remove(0).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !engine.states().unwrap().is_empty() {
            assert!(Instant::now() < deadline, "the hard limit of one second has passed long ago");
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn policies_are_constant_and_taken_over_from_a_dead_run() {
    in_namespace(|mut engine| {
        let server = Port::new(6100).unwrap();
        let clients = ClientPorts::new(6000, 4).unwrap();
        for local in ["10.9.0.1", "fd00::1"] {
            let protection = Protection::of_address(local.parse().unwrap(), server, clients);
            engine.protect(&protection).unwrap();
            Engine::open().unwrap().protect(&protection).unwrap();
            engine.unprotect(&protection).unwrap();
            engine.unprotect(&protection).unwrap();
        }
    });
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn a_hundred_sets_in_batches() {
    in_namespace(|mut engine| {
        let sets: Vec<Install> = (0..100u16)
            .map(|at| {
                let address = format!("10.9.{}.2", at + 1);
                let spi = 100_000 + u32::from(at) * 4;
                install(set_with(SHA1_AES, &end(&address, 7000, 1000), &end("10.9.0.1", 6000, spi)), 60)
            })
            .collect();
        let associations: Vec<Associations> = sets.iter().map(|install| install.set.associations).collect();
        assert!(engine.install(&sets).iter().all(Result::is_ok));
        assert_eq!(engine.states().unwrap().len(), 400);
        assert_eq!(engine.spis_towards("10.9.0.1".parse().unwrap()).unwrap().len(), 200);
        assert!(engine.remove(&associations).iter().all(Result::is_ok));
        assert!(engine.states().unwrap().is_empty());
    });
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn the_kernel_tells_when_a_state_ends() {
    in_namespace(|mut engine| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut monitor = Monitor::open().unwrap();
            for (ue, p_cscf) in [("10.9.0.2", "10.9.0.1"), ("fd00::2", "fd00::1")] {
                let set = set_with(SHA1_AES, &end(ue, 7000, 1000), &end(p_cscf, 6000, 2000));
                let associations = set.associations;
                engine.install(&[install(set, 2)]).remove(0).unwrap();
                let mut ended = Vec::new();
                while ended.len() < 4 {
                    let next = tokio::time::timeout(Duration::from_secs(30), monitor.next()).await;
                    match next.expect("the hard limit has passed long ago").unwrap() {
                        KernelEvent::Expired { spi, destination, hard: true } => {
                            ended.push((destination, spi))
                        }
                        KernelEvent::Expired { .. } => {}
                        other => panic!("{other:?}"),
                    }
                }
                for sa in associations.iter() {
                    assert!(ended.contains(&(sa.destination.ip(), sa.spi.get())), "{} {ended:?}", sa.role);
                }
                assert!(engine.states().unwrap().is_empty());
            }
            assert_eq!(monitor.try_next(), Ok(None));
        });
    });
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn events_that_nobody_reads_in_time_are_reported_as_lost() {
    in_namespace(|mut engine| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut monitor = Monitor::with_receive_buffer(4096).unwrap();
            let sets: Vec<Install> = (0..20u8)
                .map(|at| {
                    let address = format!("10.9.1.{}", at + 1);
                    let p_cscf = end("10.9.0.1", 6000, 5000 + u32::from(at) * 4);
                    install(set_with(SHA1_AES, &end(&address, 7000, 1000), &p_cscf), 1)
                })
                .collect();
            assert!(engine.install(&sets).iter().all(Result::is_ok));
            let deadline = Instant::now() + Duration::from_secs(30);
            while !engine.states().unwrap().is_empty() {
                assert!(Instant::now() < deadline, "the hard limit of one second has passed long ago");
                std::thread::sleep(Duration::from_millis(100));
            }
            let mut events = Vec::new();
            while let Some(event) = monitor.try_next().unwrap() {
                events.push(event);
            }
            assert!(events.contains(&KernelEvent::Overflow), "{events:?}");
            assert!(events.len() < 80, "some were lost");
        });
    });
}
