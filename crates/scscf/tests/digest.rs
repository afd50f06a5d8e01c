//! Digest-AKA at the S-CSCF: known responses, their forms, and that no challenge serves twice.

mod net;

use aka::{AuthVector, Autn, Ck, DigestAlgorithm, Ik, Isim, IsimFailure, Nonce, Rand, Res, Sqn, SqnArray};
use net::{HOME, Net, Register, config, credentials, lines, nonce};
use scscf::{Config, Reauthenticate};
use sip::{Message, Name};
use std::collections::BTreeSet;

/// Milenage set 1 with another RES where wanted: its nonce is the same.
fn vector(xres: &str) -> AuthVector {
    AuthVector {
        rand: Rand::from_hex("23553cbe9637a89d218ae64dae47bf35").unwrap(),
        autn: Autn::from_hex("55f328b43577b9b94a9ffac354dfafb3").unwrap(),
        xres: Res::from_hex(xres).unwrap(),
        ck: Ck::from_hex("b40ba9a3c58b2a05bbf0d987b21bf8cb").unwrap(),
        ik: Ik::from_hex("f769bcd751044604127672711c6d3441").unwrap(),
    }
}

const NONCE: &str = "I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=";

/// Challenges a new user with this vector.
fn challenged(config: Config, vector: AuthVector) -> (Net, Register) {
    let mut net = Net::new(config);
    net.held = Some(Vec::new());
    let first = Register::first();
    assert!(net.send(net::flow(), &first).is_empty());
    let challenge = net.release_with(vector).remove(0);
    assert_eq!((challenge.status(), nonce(&challenge).as_str()), (Some(401), NONCE));
    (net, first)
}

fn answer(first: &Register, rest: &str) -> Register {
    Register { authorization: Some(credentials(NONCE, rest)), protected: Some("yes"), ..first.next() }
}

#[test]
fn dig_1_known_responses_register() {
    let qop = "qop=auth, nc=00000001, cnonce=\"0a4f113b\", ";
    for (algorithm, qop, response) in [
        (DigestAlgorithm::AkaV1Md5, "", "1125a3c2e293453f07e08957ff235efc"),
        (DigestAlgorithm::AkaV1Md5, qop, "402ab8df9f3a4d63a9f47c2f90e02938"),
        (DigestAlgorithm::AkaV2Md5, qop, "6774a29ced9929f3dd734d9a97e04ebe"),
        (
            DigestAlgorithm::AkaV2Sha256,
            qop,
            "896c3d681f1a7099e2113252351d2ce2eec83639f3318cf0356107cfd6a3bf04",
        ),
    ] {
        let config = Config { algorithm, qop: !qop.is_empty(), ..config() };
        let (mut net, first) = challenged(config, vector("a54211d5e3ba50bf"));
        let ok = net.register(&answer(&first, &format!("{qop}response=\"{response}\"")));
        assert_eq!(ok.status(), Some(200), "{algorithm} {qop}");
    }
}

/// The responses were computed apart from this code.
#[test]
fn dig_2_response_octets_that_look_like_text_register() {
    for (xres, response) in [
        ("000a223a000d3a00", "3ab32d6d9196ce20c80fe1bfe3d074a7"),
        ("3a3a3a3a", "446532de791370dc69b860af5148d682"),
        ("00000000000000000000000000000000", "405f62cb39f19d9dee5289170d23462d"),
        ("0a0d0a0d2222", "a7d3b9ca2330588beb573c401e863470"),
    ] {
        let (mut net, first) = challenged(config(), vector(xres));
        let ok = net.register(&answer(&first, &format!("response=\"{response}\"")));
        assert_eq!(ok.status(), Some(200), "{xres}");
        let (mut net, first) = challenged(config(), vector("a54211d5e3ba50bf"));
        let wrong = net.register(&answer(&first, &format!("response=\"{response}\"")));
        assert_eq!(wrong.status(), Some(403), "{xres}");
    }
}

#[test]
fn dig_11_qop_in_every_form_a_phone_writes_it() {
    let response = "response=\"402ab8df9f3a4d63a9f47c2f90e02938\"";
    for rest in [
        format!("qop=auth, nc=00000001, cnonce=\"0a4f113b\", {response}"),
        format!("qop=\"auth\", nc=\"00000001\", cnonce=\"0a4f113b\", {response}"),
        format!("{response},qop = AUTH ,\r\n nc=00000001,\r\n\tcnonce=\"0a4f113b\""),
    ] {
        let (mut net, first) = challenged(Config { qop: true, ..config() }, vector("a54211d5e3ba50bf"));
        assert_eq!(net.register(&answer(&first, &rest)).status(), Some(200), "{rest}");
    }
}

/// No policy here asks for nc=00000001, so another count is hashed as it came.
#[test]
fn dig_11_another_nonce_count_is_hashed_as_it_came() {
    let (mut net, first) = challenged(Config { qop: true, ..config() }, vector("a54211d5e3ba50bf"));
    // Computed apart from this code, for nc=00000002.
    let rest = "qop=auth, nc=00000002, cnonce=\"0a4f113b\", response=\"01d7b82e500e76057ab972a9819fba84\"";
    assert_eq!(net.register(&answer(&first, rest)).status(), Some(200));
    let (mut net, first) = challenged(Config { qop: true, ..config() }, vector("a54211d5e3ba50bf"));
    let rest = rest.replace("00000002", "00000001");
    assert_eq!(net.register(&answer(&first, &rest)).status(), Some(403), "the count is part of the hash");
}

#[test]
fn dig_14_either_case_of_hex_registers() {
    for response in ["1125A3C2E293453F07E08957FF235EFC", "1125a3c2E293453F07e08957ff235efc"] {
        let (mut net, first) = challenged(config(), vector("a54211d5e3ba50bf"));
        let ok = net.register(&answer(&first, &format!("response=\"{response}\"")));
        assert_eq!(ok.status(), Some(200));
    }
    for response in ["1125a3c2e293453f07e08957ff235ef", "1125a3c2e293453f07e08957ff235efc0", "x"] {
        let (mut net, first) = challenged(config(), vector("a54211d5e3ba50bf"));
        let wrong = net.register(&answer(&first, &format!("response=\"{response}\"")));
        assert_eq!(wrong.status(), Some(403));
    }
}

#[test]
fn dig_13_rspauth_is_sent_only_where_configured() {
    let known = "response=\"402ab8df9f3a4d63a9f47c2f90e02938\", qop=auth, nc=00000001, cnonce=\"0a4f113b\"";
    let info = |authentication_info, rest: &str| {
        let config = Config { authentication_info, qop: true, ..config() };
        let (mut net, first) = challenged(config, vector("a54211d5e3ba50bf"));
        let ok = net.register(&answer(&first, rest));
        assert_eq!(ok.status(), Some(200));
        ok.first(Name::AuthenticationInfo).map(str::to_owned)
    };
    // The digests were computed apart from this code.
    let expected = "qop=auth, rspauth=\"cae7bfcdd22912ec0ff1fb31b2a811c5\", cnonce=\"0a4f113b\", nc=00000001";
    assert_eq!(info(true, known).as_deref(), Some(expected));
    let without_qop = info(true, "response=\"1125a3c2e293453f07e08957ff235efc\"");
    assert_eq!(without_qop.as_deref(), Some("rspauth=\"26964261c1abaa13206548b64b911ef6\""));
    assert_eq!(info(false, known), None);
}

#[test]
fn dig_13_a_renewal_without_challenge_proves_nothing() {
    let config = Config { authentication_info: true, reauthenticate: Reauthenticate::Never, ..config() };
    let mut net = Net::new(config);
    let second = net.registered();
    let ok = net.register(&second.next());
    assert_eq!((ok.status(), ok.first(Name::AuthenticationInfo)), (Some(200), None));
}

#[test]
fn dig_12_an_answer_to_a_replaced_challenge_draws_a_new_one() {
    let mut net = Net::new(config());
    let second = net.registered();
    let old = net.register(&second.next());
    let old_answer = net.protected(&second.next(), &old);
    let new = net.register(&second.next().next());
    assert_eq!(new.status(), Some(401), "another REGISTER replaces the challenge");
    let nonces = [nonce(&old), nonce(&new)];
    // The answer to the replaced challenge comes late: it is one more beginning.
    let late = net.register(&Register { cseq: 9, ..old_answer.clone() });
    assert_eq!(late.status(), Some(401));
    assert!(!nonces.contains(&nonce(&late)));
    let mars = net.mars();
    let right = net.protected(&Register { cseq: 10, ..old_answer }, &late);
    assert_eq!(net.register(&right).status(), Some(200));
    assert_eq!(net.mars(), mars);
}

#[test]
fn dig_12_a_wrong_answer_spends_the_challenge() {
    let (mut net, first) = challenged(config(), vector("a54211d5e3ba50bf"));
    let wrong = answer(&first, "response=\"0025a3c2e293453f07e08957ff235efc\"");
    assert_eq!(net.register(&wrong).status(), Some(403));
    let right = Register { cseq: 9, ..answer(&first, "response=\"1125a3c2e293453f07e08957ff235efc\"") };
    assert_ne!(net.register(&right).status(), Some(200), "a second guess");
    assert_eq!(net.scscf.registered(), 0);
}

/// A card that is ahead, its AUTS for this challenge, and the challenge.
fn out_of_step() -> (Net, Register, Message, String) {
    let mut net = Net::new(config());
    let algorithm =
        aka::Algorithm::milenage(aka::K::from_bytes([0x46; 16]), aka::Opc::from_bytes([0xcd; 16]));
    let mut ahead = SqnArray::new();
    (0..32).for_each(|ind| assert!(ahead.accept(Sqn::from_parts(5001, ind).unwrap())));
    net.card = Isim::new(algorithm, ahead);
    let first = Register::first();
    let challenge = net.register(&first);
    let decoded = Nonce::decode(&nonce(&challenge)).unwrap();
    let Err(IsimFailure::SyncFailure(auts)) = net.card.authenticate(&decoded.rand, &decoded.autn) else {
        panic!("a stale challenge must fail")
    };
    (net, first, challenge, auts.to_base64())
}

#[test]
fn aka_7_resynchronisation_uses_the_rand_that_was_stored() {
    let (mut net, first, challenge, auts) = out_of_step();
    let stored = Nonce::decode(&nonce(&challenge)).unwrap().rand;
    let rest = format!("response=\"\", auts=\"{auts}\"");
    let answer = Register { authorization: Some(credentials(&nonce(&challenge), &rest)), ..first.next() };
    assert_eq!(net.register(&answer).status(), Some(401));
    assert_eq!(net.resync_rands, [stored]);
}

#[test]
fn aka_7_a_modified_nonce_beside_auts_puts_no_rand_into_a_mar() {
    let (_, _, challenge, _) = out_of_step();
    let original = Nonce::decode(&nonce(&challenge)).unwrap();
    let other_rand = Nonce::new(Rand::from_bytes([0x66; 16]), original.autn).encode();
    let with_data = Nonce { server_data: vec![1; 8], ..original }.encode();
    for modified in [other_rand, with_data, String::new(), "AAAA".into()] {
        let (mut net, first, challenge, auts) = out_of_step();
        let rest = format!("response=\"\", auts=\"{auts}\"");
        let echo = Register { authorization: Some(credentials(&modified, &rest)), ..first.next() };
        let again = net.register(&echo);
        // To the S-CSCF it is a new beginning: a new vector, no AUTS towards the HSS.
        assert_eq!(again.status(), Some(401), "{modified}");
        assert_ne!(nonce(&again), nonce(&challenge));
        assert_eq!(net.resync_rands, [], "{modified}");
        assert_eq!(net.asked, ["MAR", "MAR"]);
    }
}

#[test]
fn aka_8_a_retransmitted_401_is_the_same_and_every_new_one_has_its_own_rand() {
    let mut net = Net::new(config());
    let mut nonces = BTreeSet::new();
    for cseq in 1..=20 {
        let register = Register { cseq, branch: Some(cseq.into()), ..Register::first() };
        let challenge = net.register(&register);
        assert_eq!(net.register(&register).bytes(), challenge.bytes(), "the 401 was lost");
        assert_eq!(lines(&challenge, Name::WwwAuthenticate).len(), 1);
        let rand = Nonce::decode(&nonce(&challenge)).unwrap().rand;
        assert!(nonces.insert(rand.to_string()), "{rand} twice");
    }
    assert_eq!(net.mars(), 20);
}

/// RES of every length, with the realm of the home network.
#[test]
fn aka_12_every_length_of_res_registers() {
    for (xres, response) in [
        ("3a3a3a3a", "446532de791370dc69b860af5148d682"),
        ("a54211d5e3ba50bf", "1125a3c2e293453f07e08957ff235efc"),
        ("00000000000000000000000000000000", "405f62cb39f19d9dee5289170d23462d"),
    ] {
        let (mut net, first) = challenged(config(), vector(xres));
        let ok = net.register(&answer(&first, &format!("response=\"{response}\"")));
        assert_eq!(ok.status(), Some(200), "{xres} in {HOME}");
    }
}
