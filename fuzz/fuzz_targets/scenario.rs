//! A scenario file: read, or refused with one of its lines; and what was read is played to its end.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sip::Instant;
use ue::core::{Failure, Step};
use ue::scenario::{Order, Run, Scenario};

const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

fuzz_target!(|text: &str| {
    let lines = 1..=text.matches('\n').count() + 1;
    let scenario = match Scenario::parse(text) {
        Ok(scenario) => scenario,
        Err(error) => return assert!(lines.contains(&error.line), "{error}"),
    };
    assert!((1..=1000).contains(&scenario.steps.len()));
    for action in &scenario.steps {
        assert!(lines.contains(&action.line) && action.within.is_none_or(|within| within <= LONGEST));
    }
    // A UE that does what it is told, in vain.
    let failure = Step::Failed(Failure::Withheld);
    // A step has an order and a pause.
    let orders = 2 * scenario.steps.len() + 1;
    let mut run = Run::new(scenario);
    let mut now = Instant::from_epoch(Duration::from_secs(1));
    for _ in 0..orders {
        match run.poll(now, true) {
            Order::Done => return,
            Order::Command(_) => run.hear(now, &failure, true),
            Order::Pause(until) => {
                let until = until.expect("nothing else is awaited without a time");
                assert!(now < until && until <= now + LONGEST);
                now = until;
            }
        }
    }
    panic!("it never ends");
});
