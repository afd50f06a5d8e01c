//! Kamailio's I-CSCF and S-CSCF with our HSS: Cx over Diameter with a peer of somebody else's.

use anyhow::Result;
use lab::{Network, plan};
use netns_tests::{Answer, Core, Registrant, Whose, interop};
use sip::Name;

struct Stand {
    network: Network,
    core: Core,
    _folder: tempfile::TempDir,
}

impl Stand {
    fn start(subscribers: u16) -> Result<Self> {
        let (network, folder) = (Network::new()?, interop());
        std::fs::write(folder.path().join("subscribers.csv"), Registrant::csv(subscribers))?;
        let core = Core::start(&network, folder.path(), Whose::Kamailios, Whose::Kamailios)?;
        Ok(Self { network, core, _folder: folder })
    }

    fn said(&self) -> String {
        self.core.logs()
    }

    /// Ends all three; no key of the first `count` cards may stand in the HSS's log.
    fn end(self, count: u16) -> Result<()> {
        let log = self.core.own_logs();
        for number in 0..count {
            for key in Registrant::keys_as_hex(number) {
                assert!(!log.contains(&key), "a key is in the log");
            }
        }
        self.core.end()
    }
}

/// Initial registration, re-registration and de-registration, each with a challenge, of several UEs side by side.
#[test]
#[ignore = "needs Kamailio; cargo xtask interop runs it"]
fn ues_register_renew_and_leave() -> Result<()> {
    let stand = Stand::start(3)?;
    let ues = (0..3).map(|number| Registrant::new(&stand.network, number, 0));
    let mut ues = ues.collect::<Result<Vec<_>>>()?;
    for _ in 0..2 {
        for (number, ue) in (0..).zip(&mut ues) {
            let (ok, challenges) = ue.register(3600, Answer::Right)?;
            assert!(ok.status() == Some(200) && challenges > 0, "{ok:?}\n{}", stand.said());
            // The profile is the HSS's.
            let identities: Vec<_> = ok.values(Name::PAssociatedUri).collect();
            assert_eq!(identities, [format!("<{}>", plan::impu(number)), format!("<{}>", plan::tel(number))]);
        }
    }
    for ue in &mut ues {
        let (ok, challenges) = ue.register(0, Answer::Right)?;
        assert!(ok.status() == Some(200) && challenges > 0, "{ok:?}\n{}", stand.said());
        // The HSS has heard of it: it knows of no registration that could end.
        let (refused, challenges) = ue.register(0, Answer::Right)?;
        assert_eq!((refused.status(), challenges), (Some(403), 0), "{refused:?}\n{}", stand.said());
    }
    stand.end(3)
}

#[test]
#[ignore = "needs Kamailio; cargo xtask interop runs it"]
fn a_wrong_res_is_refused_and_ends_no_registration() -> Result<()> {
    let stand = Stand::start(1)?;
    let mut ue = Registrant::new(&stand.network, 0, 0)?;
    let (refused, challenges) = ue.register(3600, Answer::WrongRes)?;
    assert!(refused.status() == Some(403) && challenges > 0, "{refused:?}\n{}", stand.said());
    for (answer, status) in [(Answer::Right, 200), (Answer::WrongRes, 403)] {
        let (response, challenges) = ue.register(3600, answer)?;
        assert!(response.status() == Some(status) && challenges > 0, "{response:?}\n{}", stand.said());
    }
    let (ok, challenges) = ue.register(0, Answer::Right)?;
    assert!(ok.status() == Some(200) && challenges > 0, "{ok:?}\n{}", stand.said());
    stand.end(1)
}

#[test]
#[ignore = "needs Kamailio; cargo xtask interop runs it"]
fn a_card_that_is_ahead_resynchronises_the_hss() -> Result<()> {
    let stand = Stand::start(1)?;
    let mut ue = Registrant::new(&stand.network, 0, 70_000)?;
    // A challenge that the card refuses, AUTS, one that it takes; from then on the HSS is in step.
    for synchronisations in [1, 1] {
        let (ok, _) = ue.register(3600, Answer::Right)?;
        assert_eq!(
            (ok.status(), ue.synchronised()),
            (Some(200), synchronisations),
            "{ok:?}\n{}",
            stand.said()
        );
    }
    stand.end(1)
}

#[test]
#[ignore = "needs Kamailio; cargo xtask interop runs it"]
fn a_user_whom_the_hss_does_not_know_is_refused() -> Result<()> {
    let stand = Stand::start(1)?;
    let (refused, challenges) = Registrant::new(&stand.network, 1, 0)?.register(3600, Answer::Right)?;
    assert_eq!((refused.status(), challenges), (Some(403), 0), "{refused:?}\n{}", stand.said());
    stand.end(2)
}
