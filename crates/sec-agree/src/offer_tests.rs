use super::*;
use crate::{Alg, Ealg, Encryption, Port, Spi};

const SM1: [&str; 2] = [
    "ipsec-3gpp;alg=hmac-sha-1-96;ealg=aes-cbc;prot=esp;mod=trans;spi-c=1001;spi-s=1002;port-c=7001;port-s=7002",
    "ipsec-3gpp;alg=hmac-sha-1-96;ealg=null;prot=esp;mod=trans;spi-c=1001;spi-s=1002;port-c=7001;port-s=7002",
];

fn pair(text: &str) -> Algorithms {
    text.parse().unwrap()
}

fn setup(base: u16) -> Setup {
    Setup {
        spi_c: Spi::new(u32::from(base) + 1).unwrap(),
        spi_s: Spi::new(u32::from(base) + 2).unwrap(),
        port_c: Port::new(base + 3).unwrap(),
        port_s: Port::new(base + 4).unwrap(),
    }
}

fn offer_of(algs: &[&str], ealgs: &[&str]) -> SecurityClient {
    let mut lines = Vec::new();
    for alg in algs {
        for ealg in ealgs {
            lines.push(format!(
                "ipsec-3gpp;alg={alg};ealg={ealg};spi-c=1111;spi-s=2222;port-c=8001;port-s=8000"
            ));
        }
    }
    SecurityClient::parse(lines.iter().map(String::as_str)).unwrap()
}

#[test]
fn sec_1_any_order_and_missing_defaults() {
    let offer = SecurityClient::parse(["port-s=1"]).unwrap_err();
    assert_eq!(offer, SecAgreeError::MalformedMechanism);
    let offer = SecurityClient::parse([
        " ipsec-3gpp ; port-s=7002;spi-s=0000001002; port-c=7001;spi-c=4096;alg=hmac-md5-96",
    ])
    .unwrap();
    assert_eq!(offer.algorithms(), [pair("hmac-md5-96/null")]);
    assert_eq!(offer.setup().spi_c.get(), 4096);
    assert_eq!(offer.setup().spi_s.get(), 1002);
}

#[test]
fn sec_2_what_no_ue_may_ask_for() {
    let refused = |changed: &str, by: &str| {
        let line = SM1[0].replace(changed, by);
        assert_ne!(line, SM1[0], "{changed} is in the line");
        SecurityClient::parse([line.as_str()]).unwrap_err()
    };
    assert_eq!(refused("alg=hmac-sha-1-96;", ""), SecAgreeError::MissingParameter { name: "alg" });
    assert_eq!(refused("spi-c=1001;", ""), SecAgreeError::MissingParameter { name: "spi-c" });
    assert_eq!(refused("prot=esp", "prot=ah"), SecAgreeError::NotEsp);
    assert_eq!(refused("mod=trans", "mod=tun"), SecAgreeError::NotTransport);
    assert_eq!(refused("spi-c=1001", "spi-c=255"), SecAgreeError::BadSpi);
    assert_eq!(refused("spi-c=1001", "spi-c=1002"), SecAgreeError::EqualSpis);
    assert_eq!(
        refused("spi-c=1001", "spi-c=1001;spi-c=1003"),
        SecAgreeError::RepeatedParameter { name: "spi-c" }
    );
    assert_eq!(refused("port-c=7001", "port-c=5060"), SecAgreeError::BadPort);
    assert_eq!(refused("port-c=7001", "port-c=7002"), SecAgreeError::EqualPorts);
    assert_eq!(refused("alg=hmac-sha-1-96", "alg=hmac-sha-2"), SecAgreeError::UnknownAlgorithm);
    assert_eq!(
        refused("alg=hmac-sha-1-96", "alg=null"),
        SecAgreeError::AlgorithmMismatch { alg: Alg::Null, ealg: Ealg::AesCbc }
    );
    let other_ports = SM1[1].replace("7001", "7003");
    assert_eq!(SecurityClient::parse([SM1[0], &other_ports]).unwrap_err(), SecAgreeError::DifferentEnds);
    assert_eq!(SecurityClient::parse(["tls;q=0.1"]).unwrap_err(), SecAgreeError::NoIpsec3gpp);
    assert_eq!(SecurityClient::parse([]).unwrap_err(), SecAgreeError::NoIpsec3gpp);
}

#[test]
fn an_unknown_algorithm_leaves_the_others_usable() {
    let unknown = SM1[0].replace("hmac-sha-1-96", "hmac-sha-256-128");
    let offer = SecurityClient::parse([&unknown, SM1[1], "sdes-srtp;mediasec"]).unwrap();
    assert_eq!(offer.algorithms(), [pair("hmac-sha-1-96/null")]);
    // It still counts when the header is repeated.
    assert!(offer.verify(&SecurityClient::parse([SM1[1]]).unwrap()).is_err());
}

#[test]
fn sec_3_choice_of_the_p_cscf() {
    let samsung = offer_of(&["hmac-md5-96"], &["des-ede3-cbc", "aes-cbc", "null"]);
    let both = offer_of(&["hmac-sha-1-96", "hmac-md5-96"], &["des-ede3-cbc", "aes-cbc", "null"]);
    let null_only = offer_of(&["hmac-sha-1-96"], &["null"]);
    let default = Policy::default();
    let old =
        Policy::new(&[pair("hmac-sha-1-96/aes-cbc"), pair("hmac-md5-96/aes-cbc"), pair("hmac-md5-96/null")]);
    let old = old.unwrap();
    let encrypted = Policy::new(&[pair("null/aes-gcm"), pair("hmac-sha-1-96/aes-cbc")]).unwrap();
    let cases: [(&Policy, &SecurityClient, Option<&str>); 7] = [
        (&default, &samsung, None),
        (&default, &both, Some("hmac-sha-1-96/aes-cbc")),
        (&default, &null_only, Some("hmac-sha-1-96/null")),
        (&old, &samsung, Some("hmac-md5-96/aes-cbc")),
        (&old, &both, Some("hmac-sha-1-96/aes-cbc")),
        (&old, &null_only, None),
        (&encrypted, &null_only, None),
    ];
    for (policy, offer, expected) in cases {
        let expected = expected.map(pair).ok_or(SecAgreeError::NoCommonAlgorithm);
        assert_eq!(policy.choose(offer), expected, "{policy:?} {offer}");
    }
}

/// OVW-5
#[test]
fn sec_3_encryption_is_required_optional_or_never() {
    let all = Policy::new(&Algorithms::ALL).unwrap();
    let names = |policy: &Policy| policy.algorithms().iter().map(ToString::to_string).collect::<Vec<_>>();
    let never = all.clone().with_encryption(Encryption::Never).unwrap();
    assert_eq!(names(&never), ["aes-gmac/null", "hmac-sha-1-96/null", "hmac-md5-96/null"]);
    assert!(!never.advertised().contains("aes-cbc") && !never.advertised().contains("aes-gcm"));
    let required = all.clone().with_encryption(Encryption::Required).unwrap();
    assert!(required.algorithms().iter().all(|pair| pair.encrypts()));
    let without = offer_of(&["hmac-sha-1-96"], &["null"]);
    assert_eq!(required.choose(&without), Err(SecAgreeError::NoCommonAlgorithm));
    let optional = Policy::default().with_encryption(Encryption::Optional).unwrap();
    assert_eq!(optional.choose(&without), Ok(pair("hmac-sha-1-96/null")));
    let with = offer_of(&["hmac-sha-1-96"], &["null", "aes-cbc"]);
    assert_eq!(optional.choose(&with), Ok(pair("hmac-sha-1-96/aes-cbc")), "the order of our own list");
    assert_eq!(never.choose(&with), Ok(pair("hmac-sha-1-96/null")));
    let null_only = Policy::new(&[pair("hmac-sha-1-96/null")]).unwrap();
    assert_eq!(null_only.with_encryption(Encryption::Required), Err(SecAgreeError::NoCommonAlgorithm));
}

/// Weak algorithms and those that share a nonce are off unless they are named.
#[test]
fn sec_3_the_default_list_has_nothing_weak() {
    let names: Vec<_> = Policy::default().algorithms().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["hmac-sha-1-96/aes-cbc", "hmac-sha-1-96/null"]);
}

#[test]
fn sec_4_the_whole_list_is_answered_with_falling_q() {
    let policy = Policy::default();
    let answer = SecurityServer::answer(&policy, setup(6000)).unwrap();
    assert_eq!(
        answer.to_string(),
        "ipsec-3gpp;q=0.2;alg=hmac-sha-1-96;ealg=aes-cbc;prot=esp;mod=trans;spi-c=6001;spi-s=6002;port-c=6003;port-s=6004, \
         ipsec-3gpp;q=0.1;alg=hmac-sha-1-96;ealg=null;prot=esp;mod=trans;spi-c=6001;spi-s=6002;port-c=6003;port-s=6004"
    );
    let never_encrypt = Policy::new(&[pair("hmac-sha-1-96/null")]).unwrap();
    assert!(!SecurityServer::answer(&never_encrypt, setup(6000)).unwrap().to_string().contains("aes"));
}

#[test]
fn sec_5_the_ue_takes_the_highest_q_it_supports() {
    let line = |q: &str, ealg: &str| {
        format!("ipsec-3gpp;{q}alg=hmac-sha-1-96;ealg={ealg};spi-c=2001;spi-s=2002;port-c=6000;port-s=6100")
    };
    let lines = [line("q=0.1;", "null"), line("q=0.5;", "aes-cbc"), line("q=0.3;", "des-ede3-cbc")];
    let server = SecurityServer::parse(lines.iter().map(String::as_str)).unwrap();
    assert_eq!(server.choose(&Algorithms::ALL), Ok(pair("hmac-sha-1-96/aes-cbc")));
    let old = [pair("hmac-sha-1-96/null"), pair("hmac-sha-1-96/des-ede3-cbc")];
    assert_eq!(server.choose(&old), Ok(pair("hmac-sha-1-96/des-ede3-cbc")));
    assert_eq!(server.choose(&[pair("hmac-md5-96/null")]), Err(SecAgreeError::NoCommonAlgorithm));
}

#[test]
fn sec_6_every_change_of_security_verify_is_seen() {
    let server = SecurityServer::answer(&Policy::default(), setup(6000)).unwrap();
    let echo = SecurityVerify::echo(&server);
    let sent = echo.to_string();
    let lines: Vec<&str> = sent.split(", ").collect();
    let verify = |lines: &[&str]| server.verify(&SecurityVerify::parse(lines.iter().copied()).unwrap());
    assert_eq!(verify(&lines), Ok(()));
    let changed = lines[0].replace("6001", "6009");
    let more_q = lines[0].replace("q=0.2", "q=0.3");
    let added = format!("{};x=y", lines[0]);
    let cases: [&[&str]; 7] = [
        &[],
        &lines[..1],
        &[lines[1], lines[0]],
        &[lines[0], lines[1], lines[1]],
        &[&changed, lines[1]],
        &[&more_q, lines[1]],
        &[&added, lines[1]],
    ];
    for case in cases {
        assert_eq!(verify(case), Err(SecAgreeError::SecurityVerifyMismatch), "{case:?}");
    }
}

#[test]
fn sec_7_every_change_of_security_client_is_seen() {
    let first = SecurityClient::parse(SM1).unwrap();
    assert_eq!(first.verify(&SecurityClient::parse(SM1).unwrap()), Ok(()));
    for (from, to) in [("1001", "1003"), ("7002", "7004"), ("hmac-sha-1-96", "hmac-md5-96")] {
        let lines = SM1.map(|line| line.replace(from, to));
        let repeated = SecurityClient::parse(lines.iter().map(String::as_str)).unwrap();
        assert_eq!(first.verify(&repeated), Err(SecAgreeError::SecurityClientMismatch));
    }
}

#[test]
fn sec_9_downgrade_ends_in_different_algorithms_not_in_weaker_ones() {
    // The encrypting entry is stripped from SM1: the P-CSCF takes null, the UE takes aes-cbc by the P-CSCF's list.
    let policy = Policy::default();
    let stripped = SecurityClient::parse([SM1[1]]).unwrap();
    let at_p_cscf = policy.choose(&stripped).unwrap();
    let answer = SecurityServer::answer(&policy, setup(6000)).unwrap();
    let at_ue = answer.choose(SecurityClient::parse(SM1).unwrap().algorithms()).unwrap();
    assert_ne!(at_p_cscf, at_ue);
    // An entry is stripped from SM6: the echo differs from what was sent.
    let all = answer.to_string();
    let weakened = SecurityServer::parse([all.split(", ").nth(1).unwrap()]).unwrap();
    assert!(answer.verify(&SecurityVerify::echo(&weakened)).is_err());
}

#[test]
fn an_offer_prints_and_parses() {
    let offer = SecurityClient::offer(&Algorithms::ALL, setup(7000)).unwrap();
    let text = offer.to_string();
    assert_eq!(SecurityClient::parse(text.split(", ")).unwrap(), offer);
    assert_eq!(offer.algorithms(), Algorithms::ALL);
}

#[test]
fn nat_offers_with_both_modes_print_parse_and_are_chosen_by_mode() {
    let pairs = [pair("hmac-sha-1-96/aes-cbc"), pair("hmac-sha-1-96/null")];
    let offer = SecurityClient::offer_in(&Mode::ALL, &pairs, setup(7000)).unwrap();
    let text = offer.to_string();
    assert_eq!(text.matches("mod=trans").count(), 2);
    assert_eq!(text.matches("mod=UDP-enc-tun").count(), 2);
    assert_eq!(SecurityClient::parse(text.split(", ")).unwrap(), offer);
    assert_eq!((offer.algorithms(), offer.algorithms_in(Mode::UdpEncTun)), (&pairs[..], &pairs[..]));
    let (refuses, allows) = (Policy::default(), Policy::default().with_nat_traversal());
    assert_eq!(allows.choose_in(Mode::UdpEncTun, &offer), Ok(pairs[0]));
    assert_eq!(allows.choose(&offer), Ok(pairs[0]));
    assert_eq!(refuses.choose_in(Mode::UdpEncTun, &offer), Err(SecAgreeError::UdpEncTunNotAllowed));
    let plain = SecurityClient::offer(&pairs, setup(7000)).unwrap();
    assert_eq!(allows.choose_in(Mode::UdpEncTun, &plain), Err(SecAgreeError::NoUdpEncTun));
}

#[test]
fn nat_the_two_modes_may_offer_different_algorithms() {
    let tunnel = SM1[1].replace("mod=trans", "mod=udp-ENC-tun");
    let offer = SecurityClient::parse([SM1[0], &tunnel]).unwrap();
    let allows = Policy::default().with_nat_traversal();
    assert_eq!(allows.choose(&offer), Ok(pair("hmac-sha-1-96/aes-cbc")));
    assert_eq!(allows.choose_in(Mode::UdpEncTun, &offer), Ok(pair("hmac-sha-1-96/null")));
    let only = SecurityClient::parse([tunnel.as_str()]).unwrap();
    assert_eq!(allows.choose(&only), Err(SecAgreeError::NoCommonAlgorithm));
}

#[test]
fn nat_udp_enc_tun_is_listed_only_where_it_is_allowed() {
    let refuses = SecurityServer::answer(&Policy::default(), setup(6000)).unwrap();
    assert!(!refuses.to_string().contains("UDP-enc-tun"));
    assert_eq!(
        refuses.choose_in(Mode::UdpEncTun, &Algorithms::ALL),
        Err(SecAgreeError::NoUdpEncTun),
        "a UE behind a NAT gives up"
    );
    let allows = SecurityServer::answer(&Policy::default().with_nat_traversal(), setup(6000)).unwrap();
    let modes: Vec<(String, bool)> = allows
        .to_string()
        .split(", ")
        .map(|line| (line[11..16].to_owned(), line.contains("mod=UDP-enc-tun")))
        .collect();
    let expected = [("q=0.4", false), ("q=0.3", true), ("q=0.2", false), ("q=0.1", true)];
    assert_eq!(modes, expected.map(|(q, tunnel)| (q.to_owned(), tunnel)));
    let null = [pair("hmac-sha-1-96/null")];
    assert_eq!(allows.choose_in(Mode::UdpEncTun, &Algorithms::ALL), Ok(pair("hmac-sha-1-96/aes-cbc")));
    assert_eq!(allows.choose_in(Mode::UdpEncTun, &null), Ok(null[0]));
    assert_eq!(allows.choose(&null), Ok(null[0]));
}

#[test]
fn nat_sixteen_entries_keep_their_order_by_q() {
    let all = Policy::new(&Algorithms::ALL).unwrap().with_nat_traversal();
    let answer = SecurityServer::answer(&all, setup(6000)).unwrap();
    assert_eq!(answer.to_string().split(", ").count(), 2 * Algorithms::ALL.len());
    for mode in Mode::ALL {
        let chosen = Algorithms::ALL.iter().map(|pair| answer.choose_in(mode, &[*pair]).unwrap());
        assert_eq!(chosen.collect::<Vec<_>>(), Algorithms::ALL);
        for rest in 0..Algorithms::ALL.len() {
            let supported = &Algorithms::ALL[rest..];
            assert_eq!(answer.choose_in(mode, supported), Ok(supported[0]), "the first of the list");
        }
    }
}

#[test]
fn a_flood_of_mechanisms_is_refused() {
    let flood = std::iter::repeat_n(SM1[0], 513);
    assert_eq!(SecurityClient::parse(flood).unwrap_err(), SecAgreeError::TooManyMechanisms { limit: 512 });
}
