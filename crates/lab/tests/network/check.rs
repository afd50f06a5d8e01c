//! What must be true of every flow, whatever happened in it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sip::Name;

use super::{Network, Node};

/// Of UEs that say the truth: what crossed the wire.
pub(crate) fn check_wire(network: &Network) {
    let mut challenges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut protected: HashSet<(String, String)> = HashSet::new();
    for sent in &network.sent {
        let message = &sent.message;
        let text = String::from_utf8_lossy(&message.bytes()).to_ascii_lowercase();
        let transaction = (message.call_id().to_owned(), message.first(Name::CSeq).unwrap().to_owned());
        match (sent.from, sent.to) {
            (_, Node::Ue(_)) | (Node::Ue(_), _) => {
                // A nonce may end with what looks like the name of a key.
                let keys = [" ik=", ",ik=", " ck=", ",ck="].iter().any(|name| text.contains(name));
                assert!(!keys, "keys between UE and P-CSCF:\n{text}");
                let clear_answer =
                    !sent.protected && message.status().is_some_and(|s| (200..300).contains(&s));
                assert!(!clear_answer, "a 2xx in clear:\n{text}");
                if sent.protected && message.is_request() {
                    protected.insert(transaction);
                }
            }
            _ => {
                assert!(!text.contains("\r\nsecurity-") && !text.contains("sec-agree"), "on Mw:\n{text}");
                let marked = message.is_request() && text.contains("integrity-protected=\"yes\"");
                assert!(!marked || protected.contains(&transaction), "yes for what came in clear:\n{text}");
            }
        }
        if matches!(sent.from, Node::SCscf(..)) && message.status() == Some(401) {
            let nonce = message.www_authenticate().unwrap().unwrap().nonce.to_string();
            let challenge = format!("{} {}", message.call_id(), message.first(Name::CSeq).unwrap());
            challenges.entry(nonce).or_default().insert(challenge);
        }
    }
    for (nonce, of) in challenges {
        assert_eq!(of.len(), 1, "one vector in several challenges: {nonce} {of:?}");
    }
}

/// Besides, of UEs without a fault: no answer to a challenge leaves in clear.
pub(crate) fn check_answers(network: &Network) {
    for sent in network.sent.iter().filter(|sent| matches!(sent.from, Node::Ue(_)) && !sent.protected) {
        let credentials = sent.message.authorization().and_then(Result::ok);
        let answers = credentials.is_some_and(|one| one.has_response() && one.auts.is_none());
        assert!(!sent.message.is_request() || !answers, "SM7 in clear: {:?}", sent.message);
    }
}

/// Long after the last command each kernel holds what its core knows, and the P-CSCF what its UEs use: no state is
/// without an owner. A UE whose registration the network has ended may not have heard of it.
pub(crate) fn check_kernels(network: &mut Network, seed: u64) {
    let mut held = BTreeMap::new();
    for node in network.pcscfs.keys().copied().collect::<Vec<_>>() {
        let states: BTreeSet<_> = network.kernel(node).states.keys().copied().collect();
        assert_eq!(states.len(), 4 * network.pcscfs[&node].sets(), "seed {seed}: {node}");
        held.insert(node, states);
    }
    let registered = network.registered();
    for ue in (0u16..).take(network.ues.len()) {
        let states: BTreeSet<_> = network.kernel(Node::Ue(ue)).states.keys().copied().collect();
        let p_cscf = &held[&network.p_cscf_of(ue)];
        let member = &network.ues[usize::from(ue)];
        assert_eq!(states.len(), 4 * member.sets(), "seed {seed}: UE {ue}");
        let known = member.registration().map(|registration| registration.associations);
        for sa in known.iter().flat_map(|set| set.iter()) {
            let key = (sa.destination.ip(), sa.spi);
            assert!(states.contains(&key), "seed {seed}: UE {ue} is registered without a set");
            let has = p_cscf.contains(&key) || !registered.contains(&member.config().impi);
            assert!(has, "seed {seed}: UE {ue} uses a set that the P-CSCF has not");
        }
    }
}
