//! Random commands, faults of the wire, of timers, of the HSS and of kernels, strangers and operators: whatever
//! happens, what must hold holds. `AKASEC_SEEDS` sets the number of runs, `AKASEC_FIRST_SEED` the first.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use aka::Impi;
use cx::{LinkError, ReasonCode};
use hss::store::Key;
use lab::plan::{self, Family};
use network::check::{check_answers, check_kernels, check_wire};
use network::{Network, Node, Options, Wire};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use scscf::{Deregistration, Initiator, Removal, User};
use sip::{Draft, Flow, Name};
use ue::core::{Command, Fault, Step, TransportChoice};

const MINUTE: Duration = Duration::from_secs(60);
const UES: u16 = 4;

/// AKA-8: no vector in two challenges. OVW-4: no registered user is lost through a failed authentication. Besides: nobody
/// is ever stuck, no state is without an owner, no message is accepted outside its association, no more than three sets
/// are held for a contact, and all are gone at the end.
#[test]
fn aka_8_ovw_4_random_runs_keep_the_invariants() {
    let number =
        |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (first, seeds): (u64, u64) = (number("AKASEC_FIRST_SEED", 0), number("AKASEC_SEEDS", 400));
    let threads =
        std::thread::available_parallelism().map_or(1, |count| u64::try_from(count.get()).unwrap_or(1));
    let runs = |thread: u64| {
        let (mut successes, mut failures) = (0, 0);
        for seed in (first + thread..first + seeds).step_by(usize::try_from(threads).unwrap()) {
            match std::panic::catch_unwind(|| random_run(seed)) {
                Ok((good, bad)) => (successes, failures) = (successes + good, failures + bad),
                Err(_) => panic!("seed {seed}; again with AKASEC_FIRST_SEED={seed} AKASEC_SEEDS=1"),
            }
        }
        (successes, failures)
    };
    let (successes, failures) = std::thread::scope(|scope| {
        let runs = &runs;
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || runs(thread))).collect();
        handles.into_iter().fold((0, 0), |(good, bad), handle| {
            let (more, worse) = handle.join().unwrap();
            (good + more, bad + worse)
        })
    });
    eprintln!("{seeds} runs from seed {first}: {successes} commands succeeded, {failures} failed");
    // With all that goes wrong here most commands still succeed.
    assert!(successes > failures, "{successes} commands succeeded, {failures} failed");
}

struct Chance(ChaCha20Rng);

impl Chance {
    fn below(&mut self, limit: u32) -> u32 {
        self.0.next_u32() % limit
    }

    fn milliseconds(&mut self, limit: u32) -> Duration {
        Duration::from_millis(self.below(limit).into())
    }
}

fn random_run(seed: u64) -> (u32, u32) {
    let mut chance = Chance(ChaCha20Rng::seed_from_u64(seed));
    let wire = Wire {
        latency: Duration::from_millis(20),
        jitter: chance.milliseconds(800),
        loss_percent: chance.below(16),
        duplicate_percent: chance.below(11),
        lateness: chance.milliseconds(500),
        cx_latency: Duration::from_millis(30),
        kernel_latency: chance.milliseconds(50),
    };
    let transports =
        [TransportChoice::Udp, TransportChoice::Udp, TransportChoice::Tcp, TransportChoice::BySize];
    let transport = transports[usize::try_from(chance.below(4)).unwrap()];
    let options = Options {
        ues: UES,
        seed,
        transport,
        wire,
        subscribe: chance.below(4) > 0,
        stay_registered: chance.below(4) == 0,
        vectors: 1 + chance.below(3),
        s_cscfs: 2,
        ..Options::default()
    };
    let mut network = Network::new(&options);
    for _ in 0..3 {
        let before: Vec<usize> = network.steps.iter().map(Vec::len).collect();
        for ue in 0..UES {
            let command = random_command(&mut chance);
            network.command_at(network.now + chance.milliseconds(30_000), ue, command);
        }
        disturb(&mut network, &options, &mut chance);
        network.run(12 * MINUTE);
        network.cx_failure = None;
        for (ue, steps) in network.steps.iter().enumerate() {
            let ended = steps[before[ue]..].iter().any(Step::ends);
            assert!(ended, "seed {seed}: UE {ue} is stuck: {steps:?}\n{:#?}", network.trace);
        }
        if std::env::var_os("AKASEC_TRACE").is_some() {
            trace(&network);
        }
        check_kernels(&mut network, seed);
        check_registrations(&network, seed);
    }
    // On a good wire everybody gets in again, at the latest when what it held has proved to be dead.
    network.mend();
    for ue in 0..UES {
        let mut outcomes = Vec::new();
        while !outcomes.iter().any(|outcome| matches!(outcome, Some(Step::Registered(_)))) {
            assert!(outcomes.len() < 4, "seed {seed}: UE {ue} is locked out: {outcomes:?}");
            outcomes.push(network.command(ue, Command::Register).last().cloned());
            network.run(5 * MINUTE);
        }
    }
    check_kernels(&mut network, seed);
    check_registrations(&network, seed);
    // Nobody registers again of its own accord after the end.
    for ue in 0..UES {
        network.command_at(network.now, ue, Command::Deregister);
    }
    network.run(10 * MINUTE);
    network.ues.iter_mut().for_each(ue::core::Ue::end);
    // Longer than any registration lasts.
    network.run(Duration::from_secs(600_000) + 30 * MINUTE);
    assert_eq!(network.pcscf().sets(), 0, "seed {seed}: the P-CSCF still holds sets");
    for (node, kernel) in &network.kernels {
        assert!(kernel.states.is_empty(), "seed {seed}: {node:?} still holds {:?}", kernel.states);
        let limit = if *node == Node::P_CSCF { 3 * 4 * usize::from(UES) } else { 3 * 4 };
        assert!(kernel.most <= limit, "seed {seed}: {node:?} held {} states", kernel.most);
    }
    assert!(network.registered().is_empty(), "seed {seed}");
    check_wire(&network);
    check_answers(&network);
    let outcomes = network.steps.iter().flatten().filter(|step| step.ends());
    let failed = outcomes.clone().filter(|step| matches!(step, Step::Failed(_))).count();
    let all = outcomes.count();
    (u32::try_from(all - failed).unwrap(), u32::try_from(failed).unwrap())
}

fn random_command(chance: &mut Chance) -> Command {
    match chance.below(8) {
        0 => Command::Deregister,
        1 | 2 => {
            let faults = [
                Fault::Mac,
                Fault::Sqn,
                Fault::Auts,
                Fault::Res,
                Fault::Ik,
                Fault::Silent,
                Fault::Verify,
                Fault::Client,
            ];
            Command::Misbehave(faults[usize::try_from(chance.below(8)).unwrap()])
        }
        _ => Command::Register,
    }
}

/// Something goes wrong, or somebody interferes.
fn disturb(network: &mut Network, options: &Options, chance: &mut Chance) {
    if chance.below(4) == 0 {
        let node = if chance.below(2) == 0 { Node::P_CSCF } else { Node::Ue(0) };
        network.kernel(node).refusals = 1;
    }
    if chance.below(5) == 0 {
        network.run(chance.milliseconds(30_000));
        network.cx_failure = Some(LinkError::ConnectionLost);
        network.run(chance.milliseconds(20_000));
        network.cx_failure = None;
    }
    // A UE that does not subscribe would never hear of it.
    if options.subscribe && chance.below(3) == 0 {
        let user =
            User::Impi(Impi::new(&plan::impi(u16::try_from(chance.below(UES.into())).unwrap())).unwrap());
        let command = match chance.below(4) {
            0 => scscf::Command::Deregister { user, removal: Removal::Rejected, by: Initiator::Operator },
            1 => scscf::Command::Deregister { user, removal: Removal::Deactivated, by: Initiator::Operator },
            _ => scscf::Command::Reauthenticate { user, expires: 120 + chance.below(600) },
        };
        network.operator_at(network.now + chance.milliseconds(40_000), command);
    }
    if chance.below(3) == 0 {
        network.run(chance.milliseconds(20_000));
        strangers(network, chance);
    }
    // One S-CSCF dies, at some other time than its HSS: what it knew of its users is at the other then.
    if chance.below(3) == 0 {
        let node = [Node::S_CSCF, Node::S_CSCF_2][usize::try_from(chance.below(2)).unwrap()];
        network.run(chance.milliseconds(20_000));
        network.kill(node);
        network.run(chance.milliseconds(40_000));
        network.revive(node);
    }
    if options.subscribe && chance.below(4) == 0 {
        network.run(chance.milliseconds(20_000));
        let impi = Impi::new(&plan::impi(u16::try_from(chance.below(UES.into())).unwrap())).unwrap();
        let reasons = [ReasonCode::PermanentTermination, ReasonCode::ServerChange];
        let reason = reasons[usize::try_from(chance.below(2)).unwrap()];
        network.at_hss(|hss| hss.deregister(Key::Impi(impi), reason, None, Box::new(|_| ())));
    }
}

/// What UEs have sent comes again in clear, some of it changed, from anywhere to anywhere at the P-CSCF.
fn strangers(network: &mut Network, chance: &mut Chance) {
    let from_ues: Vec<_> = network.sent.iter().filter(|sent| matches!(sent.from, Node::Ue(_))).collect();
    let mut forged = Vec::new();
    for _ in 0..8 {
        let Ok(count) = u32::try_from(from_ues.len()) else { return };
        if count == 0 {
            return;
        }
        let sent = from_ues[usize::try_from(chance.below(count)).unwrap()];
        let Node::Ue(ue) = sent.from else { continue };
        let mut draft = Draft::forward(&sent.message);
        let branch = format!("SIP/2.0/UDP 10.20.0.{}:7100;branch=z9hG4bK{:x}", ue + 1, chance.0.next_u64());
        match chance.below(3) {
            0 => drop(draft.set(Name::Via, branch).set(Name::Expires, "0")),
            1 => drop(draft.set(Name::Via, branch)),
            _ => {}
        }
        let (server, _) = plan::p_cscf_ports();
        let port = [5060, server.get()][usize::try_from(chance.below(2)).unwrap()];
        let local = SocketAddr::new(plan::p_cscf(Family::V4).ip(), port);
        let remote = SocketAddr::new(
            plan::ue_address(Family::V4, ue),
            [5060, 7000, 7001, 7100][usize::try_from(chance.below(4)).unwrap()],
        );
        forged.push((Flow::udp(local, remote), draft.finish()));
    }
    for (flow, message) in forged {
        network.inject(Node::P_CSCF, flow, message);
    }
}

/// Who is registered at the S-CSCF is who registered and has not been de-registered by itself, the operator or time:
/// nobody was lost to a failure or a stranger.
fn check_registrations(network: &Network, seed: u64) {
    let mut expected: BTreeSet<(Node, String)> = BTreeSet::new();
    for (node, event) in network.scscf_nodes.iter().zip(&network.scscf_events) {
        match event {
            scscf::Event::Registered { impi, .. } | scscf::Event::Restored { impi, .. } => {
                expected.insert((*node, impi.to_string()));
            }
            scscf::Event::Deregistered { impi, cause, .. } => {
                // By the user, an operator or time; or an S-CSCF is gone, or no longer asked.
                assert!(expected.remove(&(*node, impi.to_string())), "seed {seed}: {event:?} {cause:?}");
            }
            _ => {}
        }
    }
    let registered: BTreeSet<String> = network.registered().iter().map(ToString::to_string).collect();
    assert_eq!(network.registered_where(), expected, "seed {seed}");
    for (ue, member) in network.ues.iter().enumerate() {
        let impi = plan::impi(u16::try_from(ue).unwrap());
        let said = network.steps[ue].iter().filter(|step| **step == Step::Deregistered).count();
        let done = network.scscf_events.iter().filter(|event| {
            matches!(event, scscf::Event::Deregistered { impi: whose, cause: Deregistration::User, .. } if whose.to_string() == impi)
        });
        // A de-registration whose 200 was lost is the UE's too; one that it never asked for is not.
        let asked = network.sent.iter().any(|sent| {
            sent.from == Node::Ue(u16::try_from(ue).unwrap())
                && sent.protected
                && sent.message.expires() == Some(0)
        });
        assert!(done.count() <= said || asked, "seed {seed}: UE {ue} was de-registered by a stranger");
        if member.registration().is_some() {
            let impi = Impi::new(&impi).unwrap();
            let known = network.pcscf().is_registered(&impi) || !registered.contains(impi.as_str());
            assert!(known, "seed {seed}: UE {ue} is registered and the P-CSCF does not know");
        }
    }
}

/// What happened so far, for whoever looks into one seed.
fn trace(network: &Network) {
    eprintln!("at {:?}\n{}", network.now, network.trace.join("\n"));
    for event in &network.events {
        eprintln!("P-CSCF {event:?}");
    }
    for event in &network.scscf_events {
        eprintln!("S-CSCF {event:?}");
    }
    for (ue, steps) in network.steps.iter().enumerate() {
        steps.iter().for_each(|step| eprintln!("UE{ue} {step}"));
    }
}
