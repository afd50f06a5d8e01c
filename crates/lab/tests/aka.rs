//! AKA and Digest-AKA end to end, over the cores of all roles on a virtual clock.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use std::time::Duration;

use aka::{Amf, DigestAlgorithm, ResLength, Sqn, TuakSettings};
use network::{Network, Node, Options};
use sip::Name;
use ue::core::{Command, Fault, Step};

fn registers(network: &mut Network) {
    let steps = network.command(0, Command::Register);
    assert!(matches!(steps.last(), Some(Step::Registered(_))), "{steps:?}");
}

/// How many messages the S-CSCF answered with a challenge.
fn challenges(network: &Network) -> usize {
    let of_scscf = network.sent.iter().filter(|sent| sent.from == Node::S_CSCF);
    of_scscf.filter(|sent| sent.message.status() == Some(401)).count()
}

/// AKA-12: RES of every length goes from the HSS through MAA, S-CSCF and digest to the card and back.
/// AKA-14: with TUAK, one iteration and more.
#[test]
fn aka_12_aka_14_tuak_registers_with_every_length_of_res() {
    for res_length in [ResLength::Octets4, ResLength::Octets8, ResLength::Octets16] {
        for iterations in [1, 3] {
            for (digest, qop) in [(DigestAlgorithm::AkaV1Md5, false), (DigestAlgorithm::AkaV2Md5, true)] {
                let tuak = TuakSettings { res_length, iterations: iterations.try_into().unwrap() };
                let options = Options { tuak: Some(tuak), digest, qop, ..Options::default() };
                let mut network = Network::new(&options);
                registers(&mut network);
                registers(&mut network);
                assert_eq!(challenges(&network), 2, "{tuak:?} {digest} {qop}");
            }
        }
    }
}

#[test]
fn aka_14_a_card_with_another_tuak_key_is_refused() {
    let options = Options { tuak: Some(TuakSettings::default()), wrong_k: true, ..Options::default() };
    let mut network = Network::new(&options);
    let steps = network.command(0, Command::Register);
    assert!(matches!(steps.last(), Some(Step::Failed(_))), "{steps:?}");
}

#[test]
fn aka_14_tuak_resynchronises() {
    let options = Options {
        tuak: Some(TuakSettings::default()),
        card_sqn: Some(Sqn::from_parts(5000, 1).unwrap()),
        ..Options::default()
    };
    let mut network = Network::new(&options);
    registers(&mut network);
    assert_eq!(challenges(&network), 2, "a stale vector, then a fresh one");
    registers(&mut network);
    assert_eq!(challenges(&network), 3, "the HSS goes on from where the card is");
}

#[test]
fn aka_11_every_amf_registers() {
    for amf in ["0000", "8000", "b9b9"] {
        let options = Options { amf: Amf::from_hex(amf).unwrap(), ..Options::default() };
        registers(&mut Network::new(&options));
    }
}

#[test]
fn dig_13_rspauth_verifies_from_s_cscf_to_ue() {
    for (digest, qop) in [(DigestAlgorithm::AkaV1Md5, false), (DigestAlgorithm::AkaV2Sha256, true)] {
        let options = Options { authentication_info: true, digest, qop, ..Options::default() };
        let mut network = Network::new(&options);
        registers(&mut network);
        registers(&mut network);
        let proofs = network.sent.iter().filter(|sent| {
            matches!(sent.to, Node::Ue(_)) && sent.message.first(Name::AuthenticationInfo).is_some()
        });
        assert_eq!(proofs.count(), 2, "{digest}");
    }
}

/// States at the UE and at the P-CSCF, and sets at the P-CSCF.
fn held(network: &mut Network) -> (usize, usize, usize) {
    let states = [Node::Ue(0), Node::P_CSCF].map(|node| network.kernel(node).states.len());
    (states[0], states[1], network.pcscf().sets())
}

/// One failed authentication of a new user leaves nothing; one of a registered user leaves all as it was.
fn fails_without_a_trace(fault: Fault) {
    let mut network = Network::new(&Options::default());
    let steps = network.command(0, Command::Misbehave(fault));
    assert!(matches!(steps.last(), Some(Step::Failed(_))), "{fault}: {steps:?}");
    assert_eq!(network.scscf().registered(), 0, "{fault}");
    network.run(Duration::from_secs(300));
    assert_eq!(held(&mut network), (0, 0, 0), "{fault}: of a new user");

    let mut network = Network::new(&Options::default());
    registers(&mut network);
    let spis = |network: &mut Network| {
        let mut spis: Vec<_> = network.kernel(Node::P_CSCF).states.keys().copied().collect();
        spis.sort_unstable();
        spis
    };
    let before = spis(&mut network);
    let steps = network.command(0, Command::Misbehave(fault));
    assert!(matches!(steps.last(), Some(Step::Failed(_))), "{fault}: {steps:?}");
    assert_eq!(network.scscf().registered(), 1, "{fault}");
    network.run(Duration::from_secs(300));
    assert_eq!(held(&mut network), (4, 4, 1), "{fault}: of a registered user");
    assert_eq!(spis(&mut network), before, "{fault}: the set is the one from before");
    registers(&mut network);
}

#[test]
fn dig_8_a_wrong_response_leaves_no_new_set_at_either_end() {
    fails_without_a_trace(Fault::Res);
}

#[test]
fn dig_7_an_empty_response_changes_nothing() {
    fails_without_a_trace(Fault::Mac);
}

#[test]
fn dig_6_an_auts_that_does_not_verify_changes_nothing() {
    fails_without_a_trace(Fault::Auts);
}

#[test]
fn dig_15_an_answer_under_another_call_id_changes_nothing() {
    fails_without_a_trace(Fault::CallId);
}

/// The answer to an earlier challenge, of which only a registered UE has one.
#[test]
fn dig_12_a_replayed_answer_changes_nothing() {
    let mut network = Network::new(&Options::default());
    registers(&mut network);
    let steps = network.command(0, Command::Misbehave(Fault::Replay));
    assert!(matches!(steps.last(), Some(Step::Failed(_))), "{steps:?}");
    network.run(Duration::from_secs(300));
    assert_eq!((network.scscf().registered(), held(&mut network)), (1, (4, 4, 1)));
    registers(&mut network);
}
