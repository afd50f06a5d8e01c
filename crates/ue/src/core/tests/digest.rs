//! Digest-AKA at the UE: known responses, nonces with more in them, and the network's proof.

use aka::{DigestInput, IsimFailure, Password};

use super::*;

/// Milenage set 1, whose responses are known for this user.
const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";
const NONCE: &str = "I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=";

fn known(sqn_ms: Sqn) -> Bench {
    let config = Config {
        impi: Impi::new(&format!("001010000000001@{HOME}")).unwrap(),
        home_domain: HOME.into(),
        ..config()
    };
    let k = K::from_hex("465b5ce8b199b49faa5f0a2ee238a6bc").unwrap();
    let opc = Opc::from_hex("cd63cb71954a9f4e48a5994e37a02baf").unwrap();
    let isim = Isim::new(Algorithm::milenage(k, opc), SqnArray::starting_at(sqn_ms));
    Bench { ue: Ue::new(config, isim, [7; 32]), ..Bench::new(super::config()) }
}

fn known_challenge(request: &Message, nonce: &str) -> Message {
    let server = security_server(Policy::default().algorithms());
    let digest = format!("Digest realm=\"{HOME}\", nonce=\"{nonce}\", algorithm=AKAv1-MD5");
    challenge(request, digest, Some(server))
}

/// What the UE sends to the challenge with this nonce.
fn answered(bench: &mut Bench, nonce: &str) -> Message {
    let (flow, sm1) = bench.register();
    let outcome = bench.receive(flow, known_challenge(&sm1, nonce));
    let outcome = match outcome.installs.first() {
        Some((set, _)) => bench.give(Input::SasInstalled { set: *set }),
        None => outcome,
    };
    outcome.only().1.clone()
}

fn fresh() -> Sqn {
    // One SEQ before that of the set, in the same slot.
    Sqn::from_hex("ff9bb4d0b5e7").unwrap()
}

#[test]
fn dig_1_the_known_response_of_a_card() {
    let sm7 = answered(&mut known(fresh()), NONCE);
    let credentials = sm7.authorization().unwrap().unwrap();
    assert_eq!(credentials.response.as_deref(), Some("1125a3c2e293453f07e08957ff235efc"));
    assert_eq!((&*credentials.nonce, &*credentials.realm), (NONCE, HOME));
    assert_eq!(credentials.auts, None);
}

#[test]
fn dig_1_the_known_auts_of_a_card_and_its_response() {
    let sm1 = answered(&mut known(Sqn::from_hex("ff9bb4d0b627").unwrap()), NONCE);
    let credentials = sm1.authorization().unwrap().unwrap();
    assert_eq!(credentials.auts.as_deref(), Some("uoU/PBIctV7bggBAq0E="));
    assert_eq!(credentials.response.as_deref(), Some("6821238d21754c12bf172c668144dbb6"));
}

#[test]
fn dig_4_server_data_in_the_nonce_is_echoed_and_otherwise_ignored() {
    let bare = Nonce::decode(NONCE).unwrap();
    for len in [0, 1, 2, 8, 32] {
        let nonce = Nonce { server_data: vec![0xa5; len], ..bare.clone() }.encode();
        for nonce in [nonce.as_str(), nonce.trim_end_matches('=')] {
            let sm7 = answered(&mut known(fresh()), nonce);
            let credentials = sm7.authorization().unwrap().unwrap();
            assert!(credentials.has_response() && credentials.auts.is_none(), "{nonce}");
            assert_eq!(credentials.nonce, nonce);
        }
    }
}

/// SM12 with this Authentication-Info, made from the right rspauth.
fn proven(info: impl Fn(&str) -> String) -> Outcome {
    let mut bench = Bench::new(config());
    let sm1 = bench.register();
    bench.authenticate(sm1, |sm7| {
        let credentials = sm7.authorization().unwrap().unwrap();
        let nonce = Nonce::decode(&credentials.nonce).unwrap();
        let answer = Isim::new(algorithm(), SqnArray::new()).authenticate(&nonce.rand, &nonce.autn);
        let answer = answer.unwrap_or_else(|failure: IsimFailure| panic!("{failure:?}"));
        let password = Password::new(DigestAlgorithm::AkaV1Md5, &answer.res, &answer.ik, &answer.ck);
        let input = DigestInput {
            username: &credentials.username,
            realm: &credentials.realm,
            nonce: &credentials.nonce,
            uri: &credentials.uri,
            method: "",
            qop: None,
        };
        let plain = ok(sm7);
        let mut draft = Draft::forward(&plain);
        draft.push(Name::AuthenticationInfo, info(input.response(&password).as_str()));
        draft.finish()
    })
}

#[test]
fn dig_13_a_right_rspauth_registers() {
    for info in [
        |rspauth: &str| format!("rspauth=\"{rspauth}\""),
        |rspauth: &str| format!("nextnonce=\"n\", RSPAUTH = {}", rspauth.to_uppercase()),
        |_: &str| "nextnonce=\"n\"".to_owned(),
    ] {
        let outcome = proven(info);
        assert!(matches!(outcome.steps.last(), Some(Step::Registered(_))), "{:?}", outcome.steps);
    }
}

#[test]
fn dig_13_a_wrong_rspauth_ends_the_attempt_and_its_set() {
    for info in [
        |_: &str| "rspauth=\"00112233445566778899aabbccddeeff\"".to_owned(),
        |rspauth: &str| format!("rspauth=\"{}\"", &rspauth[1..]),
        |rspauth: &str| format!("rspauth=\"{rspauth}\", rspauth=\"{rspauth}\""),
        |rspauth: &str| format!("Digest rspauth=\"{rspauth}\""),
    ] {
        let outcome = proven(info);
        assert_eq!(outcome.failure(), &Failure::BadAnswer("its rspauth is wrong"));
        assert_eq!(outcome.removed, 1);
    }
}
