//! SIPp of Debian's packages as a partner outside the trust domain: it calls and writes, is called and written to.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use lab::{Border, Captured, Link, Operator, plan};
use netns_tests::{Phone, Process, Stage, assert_no_kernel_errors, watch};
use sip::Name;

const A: Operator = Operator::FIRST;
const A1: Phone = Phone(A, 0);
const LIMIT: Duration = Duration::from_secs(60);
const SIPP: &str = "sip:sipp@foreign.example";

/// Operators that hide nothing at A's border but what the trust domain keeps; SIPp stands where the stranger would.
fn stage() -> Result<Stage> {
    watch();
    Stage::without_stranger([Border { hides: true, ..Border::default() }, Border::default()])
}

/// Plays a scenario of `interop/sipp` once.
fn sipp(stage: &Stage, scenario: &str, keys: &[(&str, &str)]) -> Result<Process> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/sipp").join(scenario);
    let mut command = Command::new("/usr/bin/sipp");
    command.arg("-sf").arg(file);
    command.args(["-i", &plan::FOREIGN.to_string(), "-p", "5060", "-m", "1", "-nostdin"]);
    command.args(["-timeout", "50", "-timeout_error"]);
    for (key, value) in keys {
        command.args(["-key", key, value]);
    }
    command.arg(A.border().to_string());
    Process::program(stage.operators.foreign(), "sipp", &mut command)
}

/// Waits until SIPp may be called.
fn listens(stage: &Stage) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    // Port 5060.
    let bound = || Ok(std::fs::read_to_string("/proc/thread-self/net/udp")?.contains(":13C4 "));
    while !stage.operators.foreign().run(bound)? {
        if Instant::now() > deadline {
            bail!("SIPp does not listen");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn ended(mut sipp: Process) -> Result<()> {
    let status = sipp.wait(LIMIT)?;
    ensure!(status.success(), "SIPp: {status}\n{}\n{}", sipp.stdout(), sipp.stderr());
    Ok(())
}

/// PRV-7, PRV-9.
#[test]
#[ignore = "needs sip-tester and a kernel with ESP; cargo xtask test runs it"]
fn operators_prv_7_sipp_calls_and_writes_and_its_word_counts_for_nothing() -> Result<()> {
    let mut stage = stage()?;
    let to = A1.uri();
    for privacy in ["none", "id"] {
        let keys = [("to", &*to), ("privacy", privacy)];
        ended(sipp(&stage, "writes.xml", &keys)?)?;
        let received = stage.received(A1, "MESSAGE")?;
        ensure!(
            received.text.as_deref().is_some_and(|text| text.contains("hello from sipp")),
            "{received:?}"
        );
        ensure!(received.headers.iter().all(|(_, value)| !value.contains("forged")), "{received:?}");
        ended(sipp(&stage, "calls.xml", &keys)?)?;
        let received = stage.received(A1, "INVITE")?;
        ensure!(received.asserted.is_empty(), "{received:?}");
        ensure!(received.headers.iter().all(|(_, value)| !value.contains("forged")), "{received:?}");
        let called = stage.confirmed(A1)?;
        stage.left(A1, called)?;
    }
    assert!(stage.operators.recorded(Link::Border(A)).holds(b"forged-icid"));
    let inside = stage.operators.recorded(Link::Icscf(A));
    let entered = ["MESSAGE", "INVITE"].map(|method| inside.requests(method).count() >= 2);
    assert_eq!((entered, inside.lost), ([true; 2], 0), "the recording has what entered");
    assert!(!inside.holds(b"forged"));
    assert_no_kernel_errors(stage.operators.lab(A)?);
    Ok(())
}

/// PRV-6, PRV-14.
#[test]
#[ignore = "needs sip-tester and a kernel with ESP; cargo xtask test runs it"]
fn operators_prv_6_sipp_is_called_and_written_to_and_learns_what_the_sender_allows() -> Result<()> {
    let mut stage = stage()?;
    for (privacy, shown) in [(None, false), (Some("none"), true), (Some("id"), false)] {
        let written_to = sipp(&stage, "is_written_to.xml", &[])?;
        listens(&stage)?;
        let text = format!("text-{}.", privacy.unwrap_or("absent"));
        let answer = stage.message(A1, SIPP, privacy, &text)?;
        // A stranger's word on who has answered counts no more than one on who has asked.
        ensure!(answer.status == 200 && answer.asserted.is_empty(), "{answer:?}");
        ended(written_to)?;
        let called = sipp(&stage, "is_called.xml", &[])?;
        listens(&stage)?;
        let (call, answer) = stage.call(A1, SIPP, privacy, &text)?;
        ensure!(answer.status == 200 && answer.asserted.is_empty(), "{answer:?}");
        stage.reinvite(A1, call)?;
        stage.hang_up(A1, call)?;
        ended(called)?;
        let crossed = stage.operators.recorded(Link::Foreign);
        for method in ["MESSAGE", "INVITE"] {
            let is_this = |seen: &&Captured| {
                let body = seen.message.body();
                seen.to.ip() == plan::FOREIGN && body.windows(text.len()).any(|part| part == text.as_bytes())
            };
            let seen: Vec<_> = crossed.requests(method).filter(is_this).collect();
            ensure!(!seen.is_empty(), "the {method} of {text} is not in the recording");
            let asserted = seen.iter().any(|seen| seen.message.first(Name::PAssertedIdentity).is_some());
            assert_eq!(asserted, shown, "{method} {privacy:?}");
        }
    }
    assert_no_kernel_errors(stage.operators.lab(A)?);
    Ok(())
}
