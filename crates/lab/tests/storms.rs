//! Many calls at once, over wires that lose, repeat and delay: both ends agree in the end, and nothing is left.
//! `AKASEC_SEEDS` sets the number of runs, `AKASEC_FIRST_SEED` the first.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::collections::BTreeMap;
use std::time::Duration;

use network::check::{check_answers, check_wire};
use network::plan::Attachment;
use network::{Network, Options, Wire};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use ue::core::{
    Answering, Body, Call, CallAnswer, CallId, CallStep, Command, Request, Step, TransportChoice,
};

const UES: u16 = 6;

/// Two operators with two P-CSCFs each.
fn attached(ues: u16) -> Vec<Attachment> {
    let at = |n: u16| Attachment::at_home(u8::try_from(n % 2).unwrap(), u8::try_from(n / 2 % 2).unwrap());
    (0..ues).map(at).collect()
}

/// SIP-19: no call, transaction or dialog survives what it belongs to, whatever the wire does.
#[test]
fn sip_19_random_calls_end_alike_at_both_ends_and_leave_nothing() {
    let number =
        |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (first, seeds): (u64, u64) = (number("AKASEC_FIRST_SEED", 0), number("AKASEC_SEEDS", 60));
    let threads =
        std::thread::available_parallelism().map_or(1, |count| u64::try_from(count.get()).unwrap_or(1));
    let runs = |thread: u64| {
        let mut sum = Outcome::default();
        for seed in (first + thread..first + seeds).step_by(usize::try_from(threads).unwrap()) {
            match std::panic::catch_unwind(|| random_run(seed)) {
                Ok(outcome) => sum = sum.and(outcome),
                Err(_) => panic!("seed {seed}; again with AKASEC_FIRST_SEED={seed} AKASEC_SEEDS=1"),
            }
        }
        sum
    };
    let sum = std::thread::scope(|scope| {
        let runs = &runs;
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || runs(thread))).collect();
        handles.into_iter().fold(Outcome::default(), |sum, handle| sum.and(handle.join().unwrap()))
    });
    eprintln!("{seeds} runs from seed {first}: {sum:?}");
    assert!(sum.answered > 0 && sum.refused > 0 && sum.pages > 0, "{sum:?}");
}

#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    answered: usize,
    refused: usize,
    pages: usize,
}

impl Outcome {
    fn and(self, other: Self) -> Self {
        Self {
            answered: self.answered + other.answered,
            refused: self.refused + other.refused,
            pages: self.pages + other.pages,
        }
    }
}

struct Chance(ChaCha20Rng);

impl Chance {
    fn below(&mut self, limit: u32) -> u32 {
        self.0.next_u32() % limit
    }

    fn milliseconds(&mut self, limit: u32) -> Duration {
        Duration::from_millis(self.below(limit).into())
    }

    fn ue(&mut self) -> u16 {
        u16::try_from(self.below(UES.into())).unwrap()
    }
}

fn random_run(seed: u64) -> Outcome {
    let mut chance = Chance(ChaCha20Rng::seed_from_u64(seed));
    let transports =
        [TransportChoice::Udp, TransportChoice::Udp, TransportChoice::Tcp, TransportChoice::BySize];
    let options = Options {
        ues: UES,
        seed,
        operators: 2,
        p_cscfs: 2,
        i_cscfs: 2,
        attached: attached(UES),
        transport: transports[usize::try_from(chance.below(4)).unwrap()],
        ..Options::default()
    };
    let mut network = Network::new(&options);
    network.register_all();
    network.wire = Wire {
        latency: Duration::from_millis(20),
        jitter: chance.milliseconds(500),
        loss_percent: chance.below(11),
        duplicate_percent: chance.below(11),
        lateness: chance.milliseconds(200),
        cx_latency: Duration::from_millis(30),
        kernel_latency: Duration::ZERO,
    };
    for ue in 0..UES {
        let answering = random_answering(&mut chance);
        network.answers(ue, answering);
    }
    let begin = network.now;
    for _ in 0..12 {
        let (from, to) = (chance.ue(), chance.ue());
        let to = if from == to { (to + 1) % UES } else { to };
        let at = begin + chance.milliseconds(20_000);
        let impu = network.impu(to);
        let command: Command = match chance.below(3) {
            0 => Request::message(&impu, "hello").into(),
            _ => Call { reliable: chance.below(2) == 0, ..Call::to(&impu) }.into(),
        };
        network.command_at(at, from, command);
    }
    for _ in 0..30 {
        let call = CallId(1 + chance.below(5));
        let command = match chance.below(6) {
            0 => Command::Cancel { call },
            1 => Command::HangUp { call },
            2 => Command::Update { call },
            3 => Command::Inform { call, body: Body::text("between") },
            _ => Command::Reinvite { call },
        };
        network.command_at(begin + chance.milliseconds(60_000), chance.ue(), command);
    }
    network.run(Duration::from_secs(400));
    end_all(&mut network);
    if std::env::var_os("AKASEC_TRACE").is_some() {
        trace(&network);
    }
    network.check_quiet(&format!("seed {seed}"));
    check_wire(&network);
    check_answers(&network);
    check_ends(&network, seed)
}

fn random_answering(chance: &mut Chance) -> Answering {
    let with = match chance.below(6) {
        0 => CallAnswer::Busy,
        1 => CallAnswer::Silence,
        _ => CallAnswer::Answer,
    };
    Answering {
        ring_after: chance.milliseconds(1_000),
        answer_after: chance.milliseconds(8_000),
        reliable: chance.below(2) == 0,
        with,
        ..Answering::default()
    }
}

/// Whoever is in a call hangs up, on a wire that loses nothing.
fn end_all(network: &mut Network) {
    network.mend();
    for (ue, calls) in calls(network).into_iter().enumerate() {
        for (call, steps) in calls {
            if !over(&steps) {
                let ue = u16::try_from(ue).unwrap();
                network.command_at(network.now, ue, Command::HangUp { call });
                network.run(Duration::from_secs(40));
            }
        }
    }
}

/// The calls of each UE with what has happened to them.
fn calls(network: &Network) -> Vec<BTreeMap<CallId, Vec<CallStep>>> {
    let of = |steps: &Vec<Step>| {
        let mut calls: BTreeMap<CallId, Vec<CallStep>> = BTreeMap::new();
        for step in steps {
            if let Step::Call { call, step } = step {
                calls.entry(*call).or_default().push(step.clone());
            }
        }
        // Commands to calls that were not there yet, or never were.
        let begins = |step: &CallStep| matches!(step, CallStep::Calling | CallStep::Incoming);
        for steps in calls.values_mut() {
            let before = steps.iter().position(begins).unwrap_or(steps.len());
            steps.drain(..before);
        }
        calls.retain(|_, steps| !steps.is_empty());
        calls
    };
    network.steps.iter().map(of).collect()
}

fn over(steps: &[CallStep]) -> bool {
    steps.iter().any(|step| {
        matches!(
            step,
            CallStep::Refused(_) | CallStep::Declined { .. } | CallStep::Cancelled | CallStep::Ended { .. }
        )
    })
}

/// Every call is over, and both of its ends say the same of it.
fn check_ends(network: &Network, seed: u64) -> Outcome {
    let mut outcome = Outcome::default();
    let callees = callees(network);
    for (ue, calls) in calls(network).into_iter().enumerate() {
        for (call, steps) in calls {
            assert!(over(&steps), "seed {seed}: UE {ue} call {call}: {steps:?}");
            let answered = steps.iter().find_map(|step| match step {
                CallStep::Answered(answer) => Some(answer),
                _ => None,
            });
            if let Some(answer) = answered {
                outcome.answered += 1;
                let there = callees.get(answer.headers.first("Call-ID").unwrap()).expect("it was called");
                let took =
                    there.iter().any(|step| matches!(step, CallStep::Confirmed | CallStep::Ended { .. }));
                assert!(took, "seed {seed}: UE {ue} call {call}: {steps:?}, but there {there:?}");
            }
            let refused = steps.iter().find_map(|step| match step {
                CallStep::Refused(answer) => Some(answer),
                _ => None,
            });
            if let Some(answer) = refused {
                outcome.refused += 1;
                // What the caller hears at last, and what the callee does at the same time, may differ; a call that
                // the caller takes for over is never one that goes on there.
                let there = answer.headers.first("Call-ID").and_then(|call_id| callees.get(call_id));
                let stands = there.is_some_and(|there| !over(there));
                assert!(!stands, "seed {seed}: UE {ue} call {call}: {steps:?}, but there {there:?}");
            }
        }
    }
    let pages = network.steps.iter().flatten().filter(|step| matches!(step, Step::Answered { .. }));
    outcome.pages = pages.count();
    outcome
}

/// The calls that came in, by Call-ID.
fn callees(network: &Network) -> BTreeMap<String, Vec<CallStep>> {
    let mut callees = BTreeMap::new();
    for (steps, calls) in network.steps.iter().zip(calls(network)) {
        for step in steps {
            let Step::Received(request) = step else { continue };
            let (Some(call), Some(call_id)) = (request.call, request.headers.first("Call-ID")) else {
                continue;
            };
            let incoming = calls.get(&call).filter(|steps| matches!(steps.first(), Some(CallStep::Incoming)));
            if let Some(steps) = incoming {
                callees.insert(call_id.to_owned(), steps.clone());
            }
        }
    }
    callees
}

fn trace(network: &Network) {
    eprintln!("at {:?}\n{}", network.now, network.trace.join("\n"));
    for (ue, steps) in network.steps.iter().enumerate() {
        steps.iter().for_each(|step| eprintln!("UE{ue} {step}"));
    }
}

/// 1,000 calls at once between the users of two operators, all hung up: not one transaction is left anywhere.
#[test]
fn sip_19_a_thousand_calls_at_once_leave_no_transaction() {
    const USERS: u16 = 50;
    const EACH: u32 = 20;
    let options = Options {
        ues: USERS,
        operators: 2,
        p_cscfs: 2,
        i_cscfs: 2,
        attached: attached(USERS),
        ..Options::default()
    };
    let mut network = Network::new(&options);
    network.register_all();
    network.keep = false;
    let begin = network.now;
    for round in 0..EACH {
        for from in 0..USERS {
            let to = (from + 1 + u16::try_from(round).unwrap()) % USERS;
            let at = begin + Duration::from_millis(u64::from(round) * 200);
            network.command_at(at, from, Call::to(&network.impu(to)).into());
        }
    }
    network.run(Duration::from_secs(60));
    let standing: usize = calls(&network)
        .iter()
        .flat_map(BTreeMap::values)
        .filter(|steps| steps.iter().any(|step| matches!(step, CallStep::Answered(_))) && !over(steps))
        .count();
    assert_eq!(standing, 1_000, "calls that stand at the same time");
    let dialogs: usize = network.pcscfs.values().map(pcscf::core::PCscf::open_dialogs).sum();
    assert!(dialogs >= 1_000, "{dialogs} dialogs");
    for (ue, calls) in (0u16..).zip(calls(&network)) {
        for (call, steps) in calls {
            if matches!(steps.first(), Some(CallStep::Calling)) {
                network.command_at(network.now, ue, Command::HangUp { call });
            }
        }
    }
    network.run(Duration::from_secs(60));
    for (ue, calls) in calls(&network).into_iter().enumerate() {
        assert!(calls.values().all(|steps| over(steps)), "UE {ue}");
    }
    network.check_quiet("a thousand");
}
