//! Authentication failures. None of them may touch a registration.

mod net;

use aka::{Auts, Isim, SqnArray};
use net::{IMPU, Net, Register, config, credentials, nonce};
use scscf::{Event, Refusal};
use std::time::Duration;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs `attack` on a new user and on a registered one: the second must stay as he was.
fn both(attack: impl Fn(&mut Net, &Register)) {
    let mut net = Net::new(config());
    attack(&mut net, &Register::first());
    assert_eq!(net.scscf.registered(), 0);
    assert_eq!(net.asked.last().map(String::as_str), Some("AuthenticationFailure"));

    let mut net = Net::new(config());
    let second = net.registered();
    let before: Vec<_> = net.scscf.registrations(net.now).collect();
    attack(&mut net, &second.next());
    let after: Vec<_> = net.scscf.registrations(net.now).collect();
    assert_eq!(before, after);
    assert!(!net.asked.iter().any(|asked| asked.starts_with("Authentication")), "{:?}", net.asked);
}

fn with(first: &Register, authorization: String, protected: &'static str) -> Register {
    Register { authorization: Some(authorization), protected: Some(protected), ..first.next() }
}

#[test]
fn dig_8_wrong_response() {
    both(|net, first| {
        let challenge = net.register(first);
        let wrong = credentials(&nonce(&challenge), "response=\"0123456789abcdef0123456789abcdef\"");
        assert_eq!(net.register(&with(first, wrong, "yes")).status(), Some(403));
    });
}

#[test]
fn dig_7_empty_response() {
    for protected in ["yes", "no"] {
        both(|net, first| {
            let challenge = net.register(first);
            let empty = credentials(&nonce(&challenge), "response=\"\"");
            assert_eq!(net.register(&with(first, empty, protected)).status(), Some(403));
            assert_eq!(net.mars(), if first.cseq == 1 { 1 } else { 2 });
        });
    }
}

#[test]
fn dig_6_malformed_auts_is_403_without_mar() {
    for auts in ["", "AAAA", "not base64 at all!!!", "AAAAAAAAAAAAAAAAAAAAAAAA"] {
        both(|net, first| {
            let challenge = net.register(first);
            let mars = net.mars();
            let rest = format!("response=\"0123456789abcdef0123456789abcdef\", auts=\"{auts}\"");
            let answer = with(first, credentials(&nonce(&challenge), &rest), "no");
            assert_eq!(net.register(&answer).status(), Some(403));
            assert_eq!(net.mars(), mars);
        });
    }
}

#[test]
fn dig_6_a_real_resynchronisation() {
    let mut net = Net::new(config());
    // The card is far ahead of the AuC.
    let ahead = aka::Sqn::from_parts(5000, 3).unwrap();
    let k = aka::Algorithm::milenage(aka::K::from_bytes([0x46; 16]), aka::Opc::from_bytes([0xcd; 16]));
    let mut array = SqnArray::starting_at(ahead);
    for ind in 0..32 {
        array.accept(aka::Sqn::from_parts(5001 + u64::from(ind), ind).unwrap());
    }
    net.card = Isim::new(k, array);
    let first = Register::first();
    let challenge = net.register(&first);
    let auts = net.answer(&challenge);
    assert!(auts.contains("auts="));
    let second = with(&first, auts, "no");
    let challenge = net.register(&second);
    assert_eq!(challenge.status(), Some(401));
    assert_eq!(net.asked, ["MAR", "MAR+AUTS"]);
    assert!(net.events.iter().any(|event| matches!(event, Event::Resynchronising { .. })));
    let third = net.protected(&second, &challenge);
    assert_eq!(net.register(&third).status(), Some(200));
}

#[test]
fn dig_6_auts_comes_before_the_response_and_bad_auts_ends_in_403() {
    let mut net = Net::new(config());
    let first = Register::first();
    let challenge = net.register(&first);
    // A right response next to a forged AUTS: the AUTS decides.
    let right = net.answer(&challenge);
    let forged = format!("{right}, auts=\"{}\"", Auts::from_bytes([9; 14]).to_base64());
    assert_eq!(net.register(&with(&first, forged, "yes")).status(), Some(403));
    assert_eq!(net.asked, ["MAR", "MAR+AUTS", "AuthenticationFailure"]);
    assert_eq!(net.scscf.registered(), 0);
}

#[test]
fn resynchronisation_has_an_end() {
    let mut net = Net::new(config());
    let stale = SqnArray::starting_at(aka::Sqn::from_parts(50, 0).unwrap());
    let k = || aka::Algorithm::milenage(aka::K::from_bytes([0x46; 16]), aka::Opc::from_bytes([0xcd; 16]));
    let mut register = Register::first();
    let mut challenge = net.register(&register);
    for round in 0..3 {
        // A card that refuses whatever comes, with a valid AUTS.
        let parsed = challenge.www_authenticate().unwrap().unwrap();
        let rand = aka::Nonce::decode(&parsed.nonce).unwrap().rand;
        let vector = k().vector(rand, aka::Sqn::from_parts(1, 0).unwrap(), aka::Amf::from_bytes([0, 0]));
        let mut card = Isim::new(k(), stale.clone());
        let Err(aka::IsimFailure::SyncFailure(auts)) = card.authenticate(&vector.rand, &vector.autn) else {
            panic!("stale")
        };
        register = with(&register, net.sync_failure(&parsed.nonce, &auts), "no");
        drop(parsed);
        challenge = net.register(&register);
        assert_eq!(challenge.status(), Some(if round < 2 { 401 } else { 403 }), "round {round}");
    }
    assert_eq!(net.asked, ["MAR", "MAR+AUTS", "MAR+AUTS", "AuthenticationFailure"]);
}

#[test]
fn dig_12_an_answer_is_never_accepted_twice() {
    let mut net = Net::new(config());
    let second = net.registered();
    // The same answer in a new transaction, a new CSeq, even a new Call-ID: always a new challenge.
    assert_eq!(net.register(&second.next()).status(), Some(401));
    assert_eq!(net.register(&Register { call_id: "replay".into(), ..second.next() }).status(), Some(401));
    let removed = Register { expires: Some(0), ..second.next().next() };
    assert_eq!(net.register(&removed).status(), Some(200));
    let replay = Register { cseq: 9, ..second };
    assert_ne!(net.register(&replay).status(), Some(200));
    assert_eq!(net.scscf.registered(), 0);
}

#[test]
fn dig_12_reg_5_reg_await_auth_expires() {
    let mut net = Net::new(config());
    let first = Register::first();
    let challenge = net.register(&first);
    let answer = net.protected(&first, &challenge);
    net.advance(seconds(239));
    assert_eq!(net.asked, ["MAR"]);
    net.advance(seconds(1));
    assert_eq!(net.asked, ["MAR", "AuthenticationTimeout"]);
    assert_eq!(net.register(&answer).status(), Some(403), "too late");
    assert_eq!(net.scscf.registered(), 0);
    net.advance(seconds(1000));
    assert_eq!(net.wait, None, "nothing is left");
    assert_eq!(net.register(&answer.next()).status(), Some(500), "nothing is remembered for ever");
}

#[test]
fn reg_5_expiry_of_reg_await_auth_leaves_a_registered_user_alone() {
    let mut net = Net::new(config());
    let second = net.registered();
    assert_eq!(net.register(&second.next()).status(), Some(401));
    net.advance(seconds(600));
    assert_eq!(net.asked, ["MAR", "Registration", "MAR"]);
    assert_eq!(net.scscf.registered(), 1);
}

#[test]
fn reg_6_a_second_initial_register_ends_the_first_attempt() {
    let mut net = Net::new(config());
    let first = Register::first();
    let old = net.register(&first);
    let old_answer = net.protected(&first, &old);
    let again = Register { call_id: "call-2".into(), ..Register::first() };
    let new = net.register(&again);
    assert_ne!(nonce(&old), nonce(&new));
    assert_eq!(net.register(&old_answer).status(), Some(500), "protected, no such challenge, no such user");
    let answer = net.protected(&again, &new);
    assert_eq!(net.register(&answer).status(), Some(200));
}

#[test]
fn dig_15_another_call_id_is_no_answer() {
    let mut net = Net::new(config());
    let first = Register::first();
    let challenge = net.register(&first);
    let answer = net.protected(&first, &challenge);
    let other = Register { call_id: "other".into(), ..answer.clone() };
    assert_eq!(net.register(&other).status(), Some(403));
    assert_eq!(net.asked, ["MAR"]);
    assert_eq!(net.register(&answer).status(), Some(200), "the attempt goes on");
}

#[test]
fn an_unprotected_answer_is_refused() {
    let mut net = Net::new(config());
    let first = Register::first();
    let challenge = net.register(&first);
    let answer = net.protected(&first, &challenge);
    let refused = net.register(&Register { protected: Some("no"), ..answer.clone() });
    assert_eq!(refused.status(), Some(403));
    assert_eq!(net.register(&answer.next()).status(), Some(403), "the challenge is spent");
}

#[test]
fn reg_8_the_answer_must_be_for_the_challenged_identity() {
    let mut net = Net::new(config());
    let first = Register::first();
    let challenge = net.register(&first);
    let answer = net.protected(&first, &challenge);
    let other = Register { impu: IMPU.replace("0001@", "0002@"), ..answer };
    assert_eq!(net.register(&other).status(), Some(403));
    let refused = Refusal::IdentityMismatch;
    assert!(
        net.events.iter().any(|event| matches!(event, Event::Refused { refusal, .. } if *refusal == refused))
    );
}

#[test]
fn wrong_realm_algorithm_and_half_a_qop_do_not_verify() {
    for change in [
        ("realm=\"ims", "realm=\"xms"),
        ("AKAv1-MD5", "MD5"),
        ("algorithm", "qop=auth, algorithm"),
        ("algorithm", "qop=auth-int, nc=00000001, cnonce=\"a\", algorithm"),
        ("uri=\"sip:ims", "uri=\"sip:other"),
    ] {
        let mut net = Net::new(config());
        let first = Register::first();
        let challenge = net.register(&first);
        let mut answer = net.protected(&first, &challenge);
        answer.authorization = answer.authorization.map(|value| value.replace(change.0, change.1));
        assert_eq!(net.register(&answer).status(), Some(403), "{change:?}");
    }
}

#[test]
fn secrets_stay_out_of_events_and_debug() {
    let mut net = Net::new(config());
    let first = Register::first();
    let challenge = net.register(&first);
    let keys = challenge.www_authenticate().unwrap().unwrap().keys.unwrap();
    let shown = format!("{:?} {:?} {challenge:?}", net.scscf, net.events);
    for key in [keys.ik, keys.ck] {
        let hex: String = key.iter().map(|octet| format!("{octet:02x}")).collect();
        assert!(!shown.contains(&hex) && !shown.contains(&format!("{key:?}")));
    }
}
