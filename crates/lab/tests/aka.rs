//! AKA and Digest-AKA end to end, over the cores of all roles on a virtual clock.

#[allow(dead_code, reason = "each test file uses a part of the network")]
mod network;

use aka::{Amf, DigestAlgorithm, ResLength, Sqn, TuakSettings};
use network::{Network, Node, Options};
use sip::Name;
use ue::core::{Command, Step};

fn registers(network: &mut Network) {
    let steps = network.command(0, Command::Register);
    assert!(matches!(steps.last(), Some(Step::Registered(_))), "{steps:?}");
}

/// How many messages the S-CSCF answered with a challenge.
fn challenges(network: &Network) -> usize {
    let of_scscf = network.sent.iter().filter(|sent| sent.from == Node::SCscf);
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
    for (digest, qop) in [(DigestAlgorithm::AkaV1Md5, false), (DigestAlgorithm::AkaV2Md5, true)] {
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
