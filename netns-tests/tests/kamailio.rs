//! Our P-CSCF and UE, over ESP, with Kamailio's I-CSCF and S-CSCF behind, and with one of them and one of ours.

use std::time::Duration;

use anyhow::Result;
use lab::{Network, plan};
use netns_tests::{Answer, Core, Process, Registrant, Whose, interop};
use xfrm::Engine;

/// Plays `interop/life.toml`: the whole life of a registration, a wrong RES and a resynchronisation in it.
fn lives(icscf: Whose, scscf: Whose) -> Result<()> {
    let (network, folder) = (Network::new()?, interop());
    let core = Core::start(&network, folder.path(), icscf, scscf)?;
    let arguments = ["--config", "pcscf.toml", "--log", "trace"];
    let mut pcscf = Process::start(&network.access, "pcscf", &arguments, folder.path())?;
    pcscf.wait_for_log("P-CSCF is ready")?;
    let arguments = ["--config", "ue.toml", "--json", "--log", "trace", "run", "life.toml"];
    let mut ue = Process::start(&network.ue, "ue", &arguments, folder.path())?;
    let status = ue.wait(Duration::from_secs(180))?;
    let said = || {
        let (stdout, stderr) = (ue.stdout(), ue.stderr());
        format!("{stdout}UE:\n{stderr}\nP-CSCF:\n{}\n{}", pcscf.stderr(), core.logs())
    };
    assert_eq!(status.code(), Some(0), "{}", said());
    assert!(!pcscf.stderr().contains("cannot subscribe"), "{}", said());
    // The UE's sets are gone with it.
    assert_eq!(network.ue.run(|| Ok(Engine::open()?.states()?.len()))?, 0);
    // The HSS has heard of the de-registration: it knows of no registration that could end.
    let impi = plan::impi(0);
    let alice = format!("sip:alice@{}", plan::HOME_DOMAIN);
    let mut alice = Registrant::new(&network, 0, 0)?.named(&impi, &alice);
    let (refused, challenges) = alice.register(0, Answer::Right)?;
    assert_eq!((refused.status(), challenges), (Some(403), 0), "{refused:?}\n{}", said());
    for log in [core.own_logs(), pcscf.stderr(), ue.stderr(), ue.stdout()] {
        assert!(!log.contains("465b5ce8") && !log.contains("cd63cb71"), "a key is in a log");
    }
    assert!(pcscf.terminate()?.success(), "{}", pcscf.stderr());
    core.end()
}

#[test]
#[ignore = "needs Kamailio and ESP; cargo xtask interop runs it"]
fn our_p_cscf_stands_before_kamailios_i_cscf_and_s_cscf() -> Result<()> {
    lives(Whose::Kamailios, Whose::Kamailios)
}

#[test]
#[ignore = "needs Kamailio and ESP; cargo xtask interop runs it"]
fn our_i_cscf_finds_kamailios_s_cscf() -> Result<()> {
    lives(Whose::Ours, Whose::Kamailios)
}

#[test]
#[ignore = "needs Kamailio and ESP; cargo xtask interop runs it"]
fn kamailios_i_cscf_finds_our_s_cscf() -> Result<()> {
    lives(Whose::Kamailios, Whose::Ours)
}
