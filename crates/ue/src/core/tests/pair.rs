//! Two UEs joined back to back, by a relay that plays everything between them and loses and repeats messages.

use std::collections::VecDeque;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sip::Method;

use super::*;

struct Pair {
    sides: [Bench; 2],
    steps: [Vec<Step>; 2],
    on_the_way: VecDeque<(usize, Message)>,
    rng: ChaCha20Rng,
    /// Of a hundred messages so many are lost, and as many come twice.
    trouble: u64,
}

/// The message as it comes out at the other end.
fn relayed(message: &Message) -> Message {
    let mut draft = Draft::forward(message);
    if !message.is_request() {
        return draft.remove_first_value(Name::Via).finish();
    }
    // By the branch below: repetitions, CANCEL and the ACK of a refusal must be the same transaction.
    let below = message.top_via().unwrap().branch().unwrap().trim_start_matches("z9hG4bK").to_owned();
    draft
        .remove(Name::Route)
        .push_front(Name::Via, format!("SIP/2.0/UDP 10.9.0.1:6100;branch=z9hG4bKr{below}"));
    // As a P-CSCF does with what concerns only its own hop.
    draft.remove(Name::Require).remove(Name::ProxyRequire).remove(Name::SecurityVerify);
    if message.to().unwrap().tag().is_none() {
        draft.set_request_uri("sip:alice@10.9.0.2:7100");
        draft.push_front(Name::RecordRoute, "<sip:10.9.0.1:6100;lr>");
    }
    draft.finish()
}

impl Pair {
    fn new(seed: u64, trouble: u64, answering: Answering) -> Self {
        let side = || Bench::registered(Config { answering: answering.clone(), ..config() }).0;
        let mut sides = [side(), side()];
        // Two phones do not draw the same tags.
        sides[1].ue.rng = ChaCha20Rng::from_seed([9; 32]);
        Self {
            sides,
            steps: [Vec::new(), Vec::new()],
            on_the_way: VecDeque::new(),
            rng: ChaCha20Rng::seed_from_u64(seed),
            trouble,
        }
    }

    fn take(&mut self, side: usize, outcome: Outcome) {
        for (_, message) in outcome.sent {
            let fate = self.rng.next_u64() % 100;
            let copies = if fate < self.trouble { 0 } else { 1 + usize::from(fate >= 100 - self.trouble) };
            for _ in 0..copies {
                self.on_the_way.push_back((1 - side, relayed(&message)));
            }
        }
        self.steps[side].extend(outcome.steps);
    }

    fn command(&mut self, side: usize, command: Command) {
        let outcome = self.sides[side].give(Input::Command(command));
        self.take(side, outcome);
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..=seconds {
            while let Some((to, message)) = self.on_the_way.pop_front() {
                let outcome = self.sides[to].comes(message);
                self.take(to, outcome);
            }
            for side in 0..2 {
                let outcome = self.sides[side].wait(1);
                self.take(side, outcome);
            }
        }
    }

    fn calls(&self, side: usize) -> Vec<&CallStep> {
        let steps = self.steps[side].iter();
        steps
            .filter_map(|step| match step {
                Step::Call { step, .. } => Some(step),
                _ => None,
            })
            .collect()
    }

    fn is_quiet(&self) -> bool {
        self.sides.iter().all(|side| side.ue.calls() == 0 && side.ue.transactions.is_empty())
    }
}

fn answered(steps: &[&CallStep]) -> bool {
    steps.iter().any(|step| matches!(step, CallStep::Answered(answer) if answer.is_success()))
}

#[test]
fn a_whole_call_with_everything_a_call_may_hold() {
    let answer_after = Duration::from_secs(5);
    let mut pair = Pair::new(1, 0, Answering { answer_after, ..Answering::default() });
    let call = CallId(1);
    pair.command(0, Call::to("sip:bob@ims.example").into());
    pair.run(1);
    pair.command(0, Command::Update { call });
    pair.run(8);
    for command in [
        Command::Reinvite { call },
        Command::Inform { call, body: Body::text("x") },
        Command::HangUp { call },
    ] {
        pair.command(0, command);
        pair.run(3);
    }
    let told: Vec<String> = pair.calls(0).iter().map(|step| step.to_string()).collect();
    assert_eq!(
        told,
        [
            "calling",
            "rings (180, reliably)",
            "UPDATE answered with 200 OK",
            "answered with 200 OK",
            "INVITE answered with 200 OK",
            "INFO answered with 200 OK",
            "ended: us"
        ]
    );
    let told: Vec<String> = pair.calls(1).iter().map(|step| step.to_string()).collect();
    assert_eq!(told, ["somebody calls", "rings (180, reliably)", "answered and confirmed", "ended: peer"]);
    pair.run(140);
    assert!(pair.is_quiet(), "no transaction is left");
}

#[test]
fn sip_19_calls_live_and_end_on_a_wire_that_loses_and_repeats() {
    for seed in 0..40 {
        let mut pair = Pair::new(seed, 20, Answering { reliable: seed % 2 == 0, ..Answering::default() });
        let call = CallId(1);
        pair.command(0, Call::to("sip:bob@ims.example").into());
        pair.run(120);
        // With one message in five lost an INVITE that is sent seven times gets through.
        assert!(answered(&pair.calls(0)), "seed {seed}: {:?}", pair.calls(0));
        let by = usize::from(seed % 3 == 0);
        pair.command(by, Command::HangUp { call });
        pair.run(130);
        assert_eq!(pair.sides.iter().map(|side| side.ue.calls()).sum::<usize>(), 0, "seed {seed}");
        pair.run(400);
        assert!(pair.is_quiet(), "seed {seed}");
    }
}

#[test]
fn sip_19_a_cancel_and_an_answer_that_cross_leave_no_call() {
    for seed in 0..40 {
        let answer_after = Duration::from_secs(seed % 5);
        let mut pair = Pair::new(seed, 15, Answering { answer_after, ..Answering::default() });
        pair.command(0, Call::to("sip:bob@ims.example").into());
        pair.run(seed % 4);
        // CANCEL while it rings, BYE where the answer was faster.
        pair.command(0, Command::HangUp { call: CallId(1) });
        pair.run(600);
        assert!(pair.is_quiet(), "seed {seed}: {:?} {:?}", pair.calls(0), pair.calls(1));
        let last = pair.calls(0).last().map(|step| step.ends());
        assert_eq!(last, Some(true), "seed {seed}");
    }
}

#[test]
fn both_sides_offer_at_once_and_the_call_survives() {
    let mut pair = Pair::new(1, 0, Answering::default());
    pair.command(0, Call::to("sip:bob@ims.example").into());
    pair.run(3);
    for side in 0..2 {
        pair.command(side, Command::Reinvite { call: CallId(1) });
    }
    pair.run(5);
    for side in 0..2 {
        let glare = pair.calls(side).iter().any(|step| {
            matches!(step, CallStep::Changed { method: Method::Invite, answer } if answer.status == 491)
        });
        assert!(glare, "{:?}", pair.calls(side));
    }
    pair.command(1, Command::Reinvite { call: CallId(1) });
    pair.run(3);
    assert!(matches!(pair.calls(1).last(), Some(CallStep::Changed { answer, .. }) if answer.is_success()));
    pair.command(1, Command::HangUp { call: CallId(1) });
    pair.run(140);
    assert!(pair.is_quiet());
}

#[test]
fn no_answer_of_a_message_is_lost_for_good() {
    for seed in 0..40 {
        let mut pair = Pair::new(seed, 25, Answering::default());
        pair.command(0, Request::message("sip:bob@ims.example", "x").into());
        pair.run(130);
        let received = pair.steps[1].iter().filter(|step| matches!(step, Step::Received(_))).count();
        assert_eq!(received, 1, "seed {seed}: told once, however often it came");
        let ok = |step: &&Step| matches!(step, Step::Answered { answer, .. } if answer.status == 200);
        let told = pair.steps[0].iter().filter(ok).count();
        assert_eq!(told, 1, "seed {seed}");
    }
}
