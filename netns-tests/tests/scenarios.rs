//! The scenarios of `examples/scenarios` and the commands of `ue`, with the real binaries on the real kernel.

use std::time::{Duration, Instant};

use anyhow::Result;
use lab::Network;
use netns_tests::{Daemons, Process, testbed};
use xfrm::Engine;

const LIMIT: Duration = Duration::from_secs(120);

/// The steps that `ue --json` printed.
fn steps(ue: &Process) -> Vec<serde_json::Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    ue.stdout().lines().map(parse).collect()
}

fn of_kind<'a>(steps: &'a [serde_json::Value], kind: &str) -> Vec<&'a serde_json::Value> {
    steps.iter().filter(|step| step["step"] == kind).collect()
}

/// OVW-10, SEC-9, SA-13: every fault of the files ends as the file says, on the real kernel.
#[test]
#[ignore = "needs a kernel with ESP"]
fn ovw_10_the_scenarios_of_the_examples_go_as_they_say() -> Result<()> {
    for (name, number) in [("life", 5), ("failures", 7), ("attack", 7)] {
        // A P-CSCF of its own: one that holds sets of an earlier UE may refuse a port of the next.
        let (network, folder) = (Network::new()?, testbed());
        let mut daemons = Daemons::start(&network, folder.path())?;
        let file = format!("{name}.toml");
        let arguments = ["--config", "ue.toml", "--json", "run", &file];
        let mut ue = Process::start(&network.ue, "ue", &arguments, folder.path())?;
        let status = ue.wait(LIMIT)?;
        let said = format!("{name}:\n{}{}\n{}", ue.stdout(), ue.stderr(), daemons.logs());
        assert_eq!(status.code(), Some(0), "{said}");
        let steps = steps(&ue);
        let verdicts = of_kind(&steps, "scenario");
        assert_eq!(verdicts.len(), number, "{said}");
        assert!(verdicts.iter().all(|step| step["verdict"] == "pass"), "{said}");
        assert_eq!(steps.iter().filter(|step| step["step"] == "verdict").count(), 1, "{said}");
        let left = network.ue.run(|| Ok(Engine::open()?.states()?.len()))?;
        assert_eq!(left, 0, "{name}: the UE has taken its states with it");
        for daemon in daemons.all() {
            assert!(daemon.terminate()?.success(), "{}", daemon.stderr());
        }
    }
    Ok(())
}

/// Two phones of the testbed talk to each other, each as its scenario says.
#[test]
#[ignore = "needs a kernel with ESP"]
fn the_phones_of_the_examples_write_to_and_call_each_other() -> Result<()> {
    let (network, folder) = (Network::new()?, testbed());
    let mut daemons = Daemons::start(&network, folder.path())?;
    let start = |config: &str, file: &str| {
        Process::start(&network.ue, "ue", &["--config", config, "--json", "run", file], folder.path())
    };
    let mut called = start("bob.toml", "called.toml")?;
    let limit = Instant::now() + LIMIT;
    while !called.stdout().contains("\"registered\"") {
        assert!(Instant::now() < limit, "{}\n{}\n{}", called.stdout(), called.stderr(), daemons.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut caller = start("ue.toml", "call.toml")?;
    let ended = [caller.wait(LIMIT)?.code(), called.wait(LIMIT)?.code()];
    let said = [&caller, &called].map(|ue| format!("{}{}", ue.stdout(), ue.stderr())).join("\n");
    assert_eq!(ended, [Some(0); 2], "{said}\n{}", daemons.logs());
    for daemon in daemons.all() {
        assert!(daemon.terminate()?.success(), "{}", daemon.stderr());
    }
    Ok(())
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn a_command_is_a_small_scenario_and_ends_with_the_status_of_its_outcome() -> Result<()> {
    let wrong = "[[step]]\ndo = \"register\"\nexpect = \"rejected\"\n";
    for (arguments, code, last) in [
        (["register"].as_slice(), 0, "registered"),
        (&["reregister"], 0, "registered"),
        (&["deregister"], 0, "deregistered"),
        (&["resync"], 0, "registered"),
        (&["reregister", "--fault", "res"], 3, "failed"),
        (&["register", "--fault", "mac"], 4, "failed"),
        (&["run", "wrong.toml"], 1, "registered"),
        (&["run", "broken.toml"], 1, ""),
        (&["deregister", "--fault", "res"], 2, ""),
        (&["register", "--fault", "unknown"], 2, ""),
    ] {
        let (network, folder) = (Network::new()?, testbed());
        std::fs::write(folder.path().join("wrong.toml"), wrong)?;
        std::fs::write(folder.path().join("broken.toml"), "[[step]]\ndo = \"register\"\nfault = \"x\"\n")?;
        let _daemons = Daemons::start(&network, folder.path())?;
        let arguments = [&["--config", "ue.toml", "--json"], arguments].concat();
        let mut ue = Process::start(&network.ue, "ue", &arguments, folder.path())?;
        let status = ue.wait(LIMIT)?;
        let said = format!("{arguments:?}:\n{}{}", ue.stdout(), ue.stderr());
        assert_eq!(status.code(), Some(code), "{said}");
        let steps = steps(&ue);
        let ending = ["registered", "deregistered", "failed"];
        let ended = steps.iter().rfind(|step| ending.iter().any(|kind| step["step"] == *kind));
        let ended = ended.and_then(|step| step["step"].as_str()).unwrap_or_default();
        assert_eq!(ended, last, "{said}");
        if code == 3 {
            assert_eq!(of_kind(&steps, "failed")[0]["status"], 403, "{said}");
        }
        if arguments.contains(&"broken.toml") {
            assert!(ue.stderr().contains("line 3") && ue.stderr().contains("no fault is called"), "{said}");
        }
    }
    Ok(())
}

/// SA-16: from a new address, while the P-CSCF still holds the sets of the old one.
#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_16_a_scenario_moves_a_ue_to_another_address() -> Result<()> {
    let (network, folder) = (Network::new()?, testbed());
    let _daemons = Daemons::start(&network, folder.path())?;
    let scenario = "[[step]]\ndo = \"register\"\n[[step]]\ndo = \"move\"\naddress = \"10.20.0.2\"\n\
                    [[step]]\ndo = \"reregister\"\n[[step]]\ndo = \"deregister\"\n";
    std::fs::write(folder.path().join("move.toml"), scenario)?;
    let arguments = ["--config", "ue.toml", "--json", "run", "move.toml"];
    let mut ue = Process::start(&network.ue, "ue", &arguments, folder.path())?;
    let status = ue.wait(LIMIT)?;
    assert_eq!(status.code(), Some(0), "{}{}", ue.stdout(), ue.stderr());
    let steps = steps(&ue);
    let sources: Vec<_> =
        of_kind(&steps, "challenged").iter().map(|step| step["sas"][0]["src"].clone()).collect();
    assert_eq!(sources.first(), Some(&"10.20.0.1".into()));
    assert!(sources.len() >= 3 && sources[1..].iter().all(|source| source == "10.20.0.2"), "{sources:?}");
    assert_eq!(network.ue.run(|| Ok(Engine::open()?.states()?.len()))?, 0);
    Ok(())
}
