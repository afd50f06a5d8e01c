//! Two S-CSCFs as processes, of which one is killed: its user goes on at the other, over the SAs it has.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::Network;
use netns_tests::{Daemons, Process, testbed};
use xfrm::Statistics;

const LIMIT: Duration = Duration::from_secs(120);
const FIRST: &str = "scscf.ims.mnc001.mcc001.3gppnetwork.org";
const SECOND: &str = "scscf2.ims.mnc001.mcc001.3gppnetwork.org";

/// A second S-CSCF as a spare, beside the one of the testbed.
fn add_a_spare(folder: &Path) -> Result<()> {
    let change = |from: &str, to: &str, change: &dyn Fn(String) -> String| -> Result<()> {
        let text = std::fs::read_to_string(folder.join(from))?;
        std::fs::write(folder.join(to), change(text)).context("write a file")
    };
    change("scscf.toml", "scscf2.toml", &|text| {
        let moved = text.replace(&format!("sip:{FIRST}:5060"), &format!("sip:{SECOND}:5070"));
        moved.replace("10.30.0.3:5060", "10.30.0.3:5070").replace(FIRST, SECOND)
    })?;
    change("icscf.toml", "icscf.toml", &|text| {
        let patience = "patience_ms = 2000\n";
        let spare =
            format!("\n[[s_cscf]]\nname = \"sip:{SECOND}:5070\"\naddress = \"10.30.0.3:5070\"\nweight = 0\n");
        format!("{patience}{text}{spare}")
    })?;
    change("pcscf.toml", "pcscf.toml", &|text| {
        text.replace("[neighbours]\n", &format!("[neighbours]\n\"{SECOND}\" = \"10.30.0.3:5070\"\n"))
    })?;
    let scenario = "patience_seconds = 40\n\n[[step]]\ndo = \"register\"\n\n[[step]]\ndo = \"wait\"\nseconds = 8\n\n\
                    [[step]]\ndo = \"reregister\"\nregistered = true\n\n[[step]]\ndo = \"reregister\"\n";
    std::fs::write(folder.join("takeover.toml"), scenario).context("write the scenario")
}

/// REG-20, CX-7: `kill -9` of the S-CSCF between two registrations of a user.
#[test]
#[ignore = "needs a kernel with ESP"]
fn reg_20_a_registered_ue_goes_on_at_another_s_cscf() -> Result<()> {
    let (network, folder) = (Network::new()?, testbed());
    add_a_spare(folder.path())?;
    let mut spare = Process::start(&network.core, "scscf", &["--config", "scscf2.toml"], folder.path())?;
    spare.wait_for_log("S-CSCF is ready")?;
    let daemons = Daemons::start(&network, folder.path())?;
    let Daemons { hss, scscf, icscf, pcscf } = daemons;
    let arguments = ["--config", "ue.toml", "--json", "run", "takeover.toml"];
    let mut ue = Process::start(&network.ue, "ue", &arguments, folder.path())?;
    let deadline = Instant::now() + Duration::from_secs(60);
    // The P-CSCF's subscription is part of what the S-CSCF leaves in the HSS, a moment after the registration.
    while !scscf.stderr().contains("subscribed to the reg event") {
        assert!(Instant::now() < deadline, "{}{}", ue.stdout(), scscf.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(4));
    assert!(!spare.stderr().contains("registered"), "a spare takes nobody while there is another");
    scscf.kill()?;

    let status = ue.wait(LIMIT)?;
    let said = format!(
        "{}{}\nspare: {}\nI-CSCF: {}\nP-CSCF: {}\nHSS: {}",
        ue.stdout(),
        ue.stderr(),
        spare.stderr(),
        icscf.stderr(),
        pcscf.stderr(),
        hss.stderr()
    );
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(spare.stderr().contains("taken over from an S-CSCF that is gone"), "{said}");
    assert!(spare.stderr().contains("registered"), "{said}");
    for namespace in [&network.ue, &network.access] {
        let errors = namespace.run(|| Ok(Statistics::read()?))?;
        assert_eq!(errors.errors().collect::<Vec<_>>(), [], "{said}");
    }
    Ok(())
}
