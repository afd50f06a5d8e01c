mod between;

use proptest::prelude::*;

use super::*;
use crate::core::{Command, Failure, Notice, Step};
use sip::Instant;

fn at(seconds: u64) -> Instant {
    Instant::from_epoch(Duration::from_secs(seconds))
}

fn registered(expires: u32) -> Step {
    let algorithms = sec_agree::Algorithms::ALL[0];
    let end = |address: &str, base: u16| sec_agree::End {
        address: address.parse().unwrap(),
        setup: sec_agree::Setup {
            spi_c: sec_agree::Spi::new(u32::from(base)).unwrap(),
            spi_s: sec_agree::Spi::new(u32::from(base) + 1).unwrap(),
            port_c: sec_agree::Port::new(base).unwrap(),
            port_s: sec_agree::Port::new(base + 1).unwrap(),
        },
    };
    let associations =
        sec_agree::Associations::new(&end("10.0.0.1", 7000), &end("10.0.0.2", 6000), algorithms).unwrap();
    let registration = crate::core::Registration {
        expires,
        associated_uris: Vec::new(),
        service_route: Vec::new(),
        associations,
    };
    Step::Registered(Box::new(registration))
}

fn rejected(status: u16) -> Step {
    Step::Failed(Failure::Rejected { status, reason: "No".into(), retry_after: None })
}

fn notified(event: ContactEvent, expires: u32) -> Step {
    Step::Notified(Notice {
        version: Some(0),
        event: Some(event),
        expires: Some(expires),
        retry_after: None,
        last: false,
    })
}

fn run(text: &str) -> Run {
    Run::new(Scenario::parse(text).unwrap())
}

fn reason(run: &mut Run) -> Option<Box<str>> {
    run.report().expect("a step has ended").fault
}

#[test]
fn the_scenarios_of_the_examples_are_read() {
    for (text, steps) in [
        (include_str!("../../../../examples/scenarios/life.toml"), 5),
        (include_str!("../../../../examples/scenarios/failures.toml"), 7),
        (include_str!("../../../../examples/scenarios/attack.toml"), 7),
        (include_str!("../../../../examples/scenarios/call.toml"), 8),
        (include_str!("../../../../examples/scenarios/called.toml"), 6),
    ] {
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.steps.len(), steps);
        assert!(scenario.about.is_some());
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_line() {
    let with = |step: &str| format!("about = \"x\"\n\n[[step]]\n{step}\n");
    for (text, line, words) in [
        (String::new(), 1, "entries [[step]]"),
        (with("do = \"dance\""), 4, "nothing is called \"dance\""),
        (with("do = \"register\"\nfault = \"bad\""), 5, "no fault is called \"bad\"; there are mac, sqn"),
        (with("do = \"register\"\nexpect = \"fame\""), 5, "no outcome is called \"fame\""),
        (with("do = \"wait\""), 4, "\"wait\" needs seconds"),
        (with("do = \"move\""), 4, "\"move\" needs address"),
        (with("do = \"expect-notify\""), 4, "\"expect-notify\" needs event"),
        (with("do = \"expect-notify\"\nevent = \"x\""), 5, "no event is called \"x\"; there are registered"),
        (with("do = \"wait\"\nseconds = 1\nfault = \"res\""), 4, "fault has no meaning for \"wait\""),
        (with("do = \"deregister\"\nfault = \"res\""), 4, "fault has no meaning"),
        (with("do = \"register\"\nseconds = 1"), 4, "seconds has no meaning"),
        (with("do = \"register\"\nstatus = 403"), 4, "status has no meaning"),
        (with("do = \"deregister\"\nexpires = 1"), 4, "expires has no meaning"),
        (with("do = \"wait\"\nseconds = 1\nexpect = \"registered\""), 4, "expect has no meaning"),
        (with("do = \"register\"\nsecond = 1"), 5, "second"),
        (with("do = \"register\"\nwithin_seconds = -1"), 5, "invalid value"),
        ("[[step]\n".into(), 1, ""),
        ("x".repeat(LARGEST + 1), 1, "too long"),
    ] {
        let error = Scenario::parse(&text).unwrap_err();
        assert_eq!(error.line, line, "{text:.200}: {error}");
        assert!(error.cause.contains(words), "{error} lacks {words}");
    }
}

#[test]
fn a_scenario_goes_from_command_to_command() {
    let mut run = run("[[step]]\ndo = \"register\"\nexpires = 3600\n[[step]]\ndo = \"wait\"\nseconds = 5\n\
         [[step]]\ndo = \"reregister\"\nfault = \"res\"\nexpect = \"rejected\"\nstatus = 403\nregistered = true\n\
         [[step]]\ndo = \"deregister\"\nregistered = false\n");
    assert_eq!(run.poll(at(1), false), Order::Command(Command::Register));
    assert_eq!(run.poll(at(1), false), Order::Pause(None));
    run.hear(at(2), &Step::SynchronisationFailure, false);
    run.hear(at(2), &registered(3600), true);
    assert_eq!(run.poll(at(2), true), Order::Pause(Some(at(7))));
    assert_eq!(run.poll(at(6), true), Order::Pause(Some(at(7))));
    assert_eq!(run.poll(at(7), true), Order::Command(Command::Misbehave(Fault::Res)));
    run.hear(at(8), &rejected(403), true);
    assert_eq!(run.poll(at(8), true), Order::Command(Command::Deregister));
    run.hear(at(9), &Step::Deregistered, false);
    assert_eq!(run.poll(at(9), false), Order::Done);
    let reports: Vec<_> = std::iter::from_fn(|| run.report()).collect();
    assert_eq!(reports.iter().map(|report| report.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(run.passed() && reports.iter().all(|report| report.fault.is_none()));
    assert_eq!(run.outcome(), Some(Outcome::Deregistered));
    assert_eq!(reports[2].to_json()["outcome"], "rejected");
    assert_eq!(reports[2].action.line, 8);
}

#[test]
fn the_first_step_that_is_not_as_it_must_be_ends_the_scenario() {
    let two = |first: &str| format!("[[step]]\n{first}\n[[step]]\ndo = \"deregister\"\n");
    for (first, step, is_registered, words) in [
        ("do = \"register\"", rejected(403), false, "registered was expected, not rejected"),
        ("do = \"register\"\nexpires = 60", registered(3600), true, "expires is 3600, not 60"),
        ("do = \"register\"\nregistered = false", registered(60), true, "still registered"),
        (
            "do = \"register\"\nfault = \"res\"\nexpect = \"rejected\"\nstatus = 403",
            rejected(494),
            false,
            "status is 494, not 403",
        ),
        (
            "do = \"register\"\nfault = \"res\"\nexpect = \"failed\"",
            registered(60),
            true,
            "failed was expected",
        ),
    ] {
        let mut run = run(&two(first));
        assert!(matches!(run.poll(at(1), false), Order::Command(_)));
        run.hear(at(2), &step, is_registered);
        assert_eq!(run.poll(at(2), is_registered), Order::Done, "{first}");
        let found = reason(&mut run).unwrap();
        assert!(found.contains(words) && !run.passed(), "{found} lacks {words}");
    }
    let mut run = run("[[step]]\ndo = \"reregister\"\n");
    assert_eq!(run.poll(at(1), false), Order::Done);
    assert_eq!(reason(&mut run).as_deref(), Some("the UE is not registered"));
}

#[test]
fn a_command_that_takes_too_long_has_failed() {
    let text = "[[step]]\ndo = \"register\"\nwithin_seconds = 10\n";
    let mut silent = run(text);
    silent.poll(at(1), false);
    assert_eq!(silent.poll(at(2), false), Order::Pause(Some(at(11))));
    assert_eq!(silent.poll(at(11), false), Order::Done);
    assert_eq!(reason(&mut silent).as_deref(), Some("it took too long"));
    let mut late = run(text);
    late.poll(at(1), false);
    late.hear(at(12), &registered(60), true);
    assert_eq!(reason(&mut late).as_deref(), Some("it took too long"));
}

#[test]
fn a_notify_counts_whenever_it_came_and_only_once() {
    let mut run = run("stay_registered = true\n[[step]]\ndo = \"register\"\n\
         [[step]]\ndo = \"expect-notify\"\nevent = \"shortened\"\nexpires = 60\n\
         [[step]]\ndo = \"await\"\nwithin_seconds = 40\n\
         [[step]]\ndo = \"expect-notify\"\nevent = \"shortened\"\n");
    run.poll(at(1), false);
    // Before the answer to the command, too.
    run.hear(at(1), &notified(ContactEvent::Registered, 3600), false);
    run.hear(at(1), &notified(ContactEvent::Shortened, 60), false);
    run.hear(at(2), &registered(3600), true);
    assert_eq!(run.poll(at(2), true), Order::Pause(Some(at(42))), "the NOTIFY was there already");
    run.hear(at(32), &registered(3600), true);
    assert_eq!(run.poll(at(32), true), Order::Pause(Some(at(92))));
    assert_eq!(run.poll(at(92), true), Order::Done);
    let faults: Vec<_> = std::iter::from_fn(|| run.report()).map(|report| report.fault).collect();
    assert_eq!(faults, [None, None, None, Some("it took too long".into())]);
}

#[test]
fn a_move_is_not_ended_by_the_command_it_interrupts() {
    let mut run = run("[[step]]\ndo = \"move\"\naddress = \"10.0.0.9\"\n");
    let address = "10.0.0.9".parse().unwrap();
    assert_eq!(run.poll(at(1), true), Order::Command(Command::Move { address }));
    run.hear(at(1), &Step::Failed(Failure::Moved), false);
    run.hear(at(2), &registered(60), true);
    assert_eq!(run.poll(at(2), true), Order::Done);
    assert!(run.passed());
}

#[test]
fn outcomes_have_names_and_an_exit_status_each() {
    for outcome in Outcome::ALL {
        assert_eq!(outcome.as_str().parse(), Ok(outcome));
    }
    let status = |failure| Outcome::of_failure(&failure).exit_status();
    let patience = Duration::from_secs(1);
    assert_eq!(status(Failure::Rejected { status: 403, reason: "".into(), retry_after: None }), 3);
    assert_eq!(status(Failure::NetworkAuthentication), 4);
    assert_eq!(status(Failure::NoAnswer { patience, malformed: 0 }), 5);
    assert_eq!(status(Failure::Kernel { cause: "".into() }), 6);
    assert_eq!(status(Failure::NothingFree), 1);
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC{0,200}") {
        let _ = Scenario::parse(&text);
    }

    /// What is near a scenario is read or refused, and what is read is played to its end whatever the UE says.
    #[test]
    fn what_is_read_comes_to_an_end(
        steps in proptest::collection::vec(
            "do = \"(register|reregister|deregister|resync|wait|move|expect-notify|await|x)\"\n\
             (fault = \"(res|mac|sqn|x)\"\n)?(seconds = [0-9]{1,20}\n)?(address = \"10.0.0.[0-9]\"\n)?\
             (event = \"(shortened|x)\"\n)?(expect = \"(registered|failed|rejected)\"\n)?\
             (within_seconds = [0-9]{1,3}\n)?(registered = (true|false)\n)?",
            0..6),
        heard in proptest::collection::vec((0..5u8, any::<bool>()), 0..20),
    ) {
        let text: String = steps.iter().map(|step| format!("[[step]]\n{step}")).collect();
        let Ok(scenario) = Scenario::parse(&text) else { return Ok(()) };
        let mut run = Run::new(scenario);
        let mut now = at(1);
        let mut heard = heard.into_iter();
        for _ in 0..1000 {
            match run.poll(now, true) {
                Order::Done => return Ok(()),
                Order::Command(_) => {}
                Order::Pause(until) => match (heard.next(), until) {
                    (Some((what, is_registered)), _) => {
                        let step = match what {
                            0 => registered(60),
                            1 => rejected(403),
                            2 => Step::Deregistered,
                            3 => Step::Lapsed,
                            _ => notified(ContactEvent::Shortened, 60),
                        };
                        run.hear(now, &step, is_registered);
                    }
                    (None, Some(until)) => now = until,
                    (None, None) => run.hear(now, &registered(60), true),
                },
            }
        }
        prop_assert!(false, "it never ends:\n{text}");
    }
}
