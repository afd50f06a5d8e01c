use proptest::prelude::*;

use super::*;
use crate::Auts;

const REALM: &str = "ims.mnc001.mcc001.3gppnetwork.org";
const USERNAME: &str = "001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
const URI: &str = "sip:ims.mnc001.mcc001.3gppnetwork.org";
const NONCE_A: &str = "I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=";
const NONCE_B: &str = "wA1gMQPc7lLER4EZSUIC6Dn5bNmAD68XXfWzGAfiWLA=";

fn input(nonce: &str, with_qop: bool) -> DigestInput<'_> {
    let qop = with_qop.then_some(QopInput { nc: "00000001", cnonce: "0a4f113b" });
    DigestInput { username: USERNAME, realm: REALM, nonce, uri: URI, method: "REGISTER", qop }
}

fn password_a(algorithm: DigestAlgorithm) -> Password {
    let res = Res::from_hex("a54211d5e3ba50bf").unwrap();
    let ck = Ck::from_hex("b40ba9a3c58b2a05bbf0d987b21bf8cb").unwrap();
    let ik = Ik::from_hex("f769bcd751044604127672711c6d3441").unwrap();
    Password::new(algorithm, &res, &ik, &ck)
}

fn password_b(algorithm: DigestAlgorithm) -> Password {
    let res = Res::from_hex("d3a628ed988620f0").unwrap();
    let ck = Ck::from_hex("58c433ff7a7082acd424220f2b67c556").unwrap();
    let ik = Ik::from_hex("21a8c1f929702adb3e738488b9f5c5da").unwrap();
    Password::new(algorithm, &res, &ik, &ck)
}

#[test]
fn dig_1_known_responses() {
    use DigestAlgorithm::{AkaV1Md5, AkaV2Md5, AkaV2Sha256};
    let cases = [
        (NONCE_A, true, password_a(AkaV1Md5), "402ab8df9f3a4d63a9f47c2f90e02938"),
        (NONCE_A, false, password_a(AkaV1Md5), "1125a3c2e293453f07e08957ff235efc"),
        (NONCE_A, true, password_a(AkaV2Md5), "6774a29ced9929f3dd734d9a97e04ebe"),
        (
            NONCE_A,
            true,
            password_a(AkaV2Sha256),
            "896c3d681f1a7099e2113252351d2ce2eec83639f3318cf0356107cfd6a3bf04",
        ),
        (
            NONCE_B,
            true,
            password_b(AkaV2Sha256),
            "ec8637a7149ef3217e5bb4bc8d7f22d70966b6f56bf3a9c579222e22402c36c1",
        ),
        (NONCE_A, true, Password::empty(AkaV1Md5), "da492ad7b08bb89514f214f8c2fdb82b"),
        (NONCE_A, false, Password::empty(AkaV1Md5), "6821238d21754c12bf172c668144dbb6"),
        (NONCE_B, true, password_b(AkaV1Md5), "ddf9e6e7795833f3efad85f3a38c0033"),
        (NONCE_B, false, password_b(AkaV1Md5), "9253dfb8d11604b1ae9f72b12c800564"),
        (NONCE_B, true, password_b(AkaV2Md5), "798b05b5770704cf35f12203651b32bc"),
        (NONCE_B, true, Password::empty(AkaV1Md5), "97875c9e4c016f9076e45943da0cd34a"),
        (NONCE_B, false, Password::empty(AkaV1Md5), "b7ee35a225bc2c0bf202f25d5c7ada16"),
    ];
    for (nonce, with_qop, password, expected) in cases {
        let input = input(nonce, with_qop);
        assert_eq!(input.response(&password).as_str(), expected);
        assert!(input.verify(&password, expected));
    }
}

/// Computed by hand from the formula: A2 is ":" and the URI.
#[test]
fn dig_13_known_rspauth() {
    let password = password_a(DigestAlgorithm::AkaV1Md5);
    for (with_qop, expected) in
        [(false, "26964261c1abaa13206548b64b911ef6"), (true, "cae7bfcdd22912ec0ff1fb31b2a811c5")]
    {
        let rspauth = DigestInput { method: "", ..input(NONCE_A, with_qop) }.response(&password);
        assert_eq!(rspauth.as_str(), expected);
        assert!(rspauth.matches(&expected.to_uppercase()) && !rspauth.matches(&expected[1..]));
    }
}

#[test]
fn dig_1_akav2_passwords() {
    assert_eq!(*password_a(DigestAlgorithm::AkaV2Md5).octets, b"shzt3q8CWaZnCAWqs3WmEQ==");
    assert_eq!(*password_b(DigestAlgorithm::AkaV2Md5).octets, b"SPm4KbygyM5ajfwCry1oYA==");
    let sha256 = DigestAlgorithm::AkaV2Sha256;
    assert_eq!(*password_a(sha256).octets, b"wpC+5dv/7kC35JEI2hluv8XcBd+vf8XcfedJBan1buk=");
    assert_eq!(*password_b(sha256).octets, b"glupm0GfvJkAmj5nc1Vi0Zi5iQkdxAaMrsEE0oniIF8=");
}

#[test]
fn dig_1_hashes_of_a1_and_a2() {
    let password = password_a(DigestAlgorithm::AkaV1Md5);
    let a1 = Hash::Md5.of(&[USERNAME.as_bytes(), REALM.as_bytes(), &password.octets]);
    assert_eq!(a1.as_bytes(), b"da00069eb0de6587da7e09ef503c29db");
    let a2 = [b"REGISTER", URI.as_bytes()];
    assert_eq!(Hash::Md5.of(&a2).as_bytes(), b"df94ff42c4e05afeddd46c372e8208b4");

    let password = password_a(DigestAlgorithm::AkaV2Md5);
    let a1 = Hash::Md5.of(&[USERNAME.as_bytes(), REALM.as_bytes(), &password.octets]);
    assert_eq!(a1.as_bytes(), b"5f16eac3c7cb97f22cbfb39ba2210495");
    let a1 = Hash::Md5.of(&[USERNAME.as_bytes(), REALM.as_bytes(), b""]);
    assert_eq!(a1.as_bytes(), b"6580ce225d6806500bf0e45504f9a545");

    let password = password_a(DigestAlgorithm::AkaV2Sha256);
    let a1 = Hash::Sha256.of(&[USERNAME.as_bytes(), REALM.as_bytes(), &password.octets]);
    assert_eq!(a1.as_bytes(), b"6781a3ece6c12ae787d79daf9944e2774076a3cccd3cece81cb865c5a610da3b");
    let sha256 = b"6c5e92ee64f62f28cf3edbea89a850d80a07ff32892e18b0263eb5aadf1a768e";
    assert_eq!(Hash::Sha256.of(&a2).as_bytes(), sha256);
}

#[test]
fn dig_1_nonces_of_the_examples() {
    let rand = Rand::from_hex("23553cbe9637a89d218ae64dae47bf35").unwrap();
    let autn = Autn::from_hex("55f328b43577b9b94a9ffac354dfafb3").unwrap();
    assert_eq!(Nonce::new(rand, autn).encode(), NONCE_A);
    assert_eq!(Nonce::decode(NONCE_A), Ok(Nonce::new(rand, autn)));
    assert_eq!(Nonce::decode(NONCE_A.trim_end_matches('=')), Ok(Nonce::new(rand, autn)));
    let auts = Auts::from_hex("cd7ff630be5c2a4f8ab30b6ae9e1").unwrap();
    assert_eq!(auts.to_base64(), "zX/2ML5cKk+Kswtq6eE=");
}

#[test]
fn dig_2_response_octets_that_look_like_text() {
    let ik = Ik::from_bytes([0; 16]);
    let ck = Ck::from_bytes([0; 16]);
    let all = [0x00, 0x0a, 0x22, 0x3a, 0x00, 0x0d, 0x3a, 0x00];
    // Cutting the password at its first NUL, or splitting it at a colon, would make some of these equal.
    let lengths = [4, 5, 6, 7, 8];
    let mut seen = std::collections::BTreeSet::new();
    for len in lengths {
        let res = Res::new(&all[..len]).unwrap();
        let password = Password::new(DigestAlgorithm::AkaV1Md5, &res, &ik, &ck);
        assert_eq!(*password.octets, all[..len]);
        let response = input(NONCE_A, true).response(&password);
        assert!(input(NONCE_A, true).verify(&password, response.as_str()));
        seen.insert(response.to_string());
    }
    assert_eq!(seen.len(), lengths.len());
}

#[test]
fn aka_12_res_lengths_pass_the_digest() {
    let ik = Ik::from_bytes([1; 16]);
    let ck = Ck::from_bytes([2; 16]);
    for algorithm in DigestAlgorithm::ALL {
        for len in [4, 8, 16] {
            let res = Res::new(&[9; 16][..len]).unwrap();
            let password = Password::new(algorithm, &res, &ik, &ck);
            let response = input(NONCE_A, false).response(&password);
            assert!(input(NONCE_A, false).verify(&password, response.as_str()));
            let shorter = Res::new(&[9; 16][..len.max(5) - 1]).unwrap();
            let other = Password::new(algorithm, &shorter, &ik, &ck);
            assert_eq!(input(NONCE_A, false).verify(&other, response.as_str()), shorter == res);
        }
    }
}

#[test]
fn dig_4_server_data_is_kept_and_short_nonces_refused() {
    for len in 0..=64usize {
        let octets: Vec<u8> = (0u8..).take(len).collect();
        let decoded = Nonce::decode(&BASE64.encode(&octets));
        match len {
            0..=31 => assert_eq!(decoded, Err(AkaError::NonceTooShort { found: len })),
            _ => assert_eq!(decoded.unwrap().server_data, octets[32..]),
        }
    }
    assert_eq!(Nonce::decode("!"), Err(AkaError::NonceEncoding));
    assert_eq!(Nonce::decode(&"A".repeat(2000)), Err(AkaError::NonceTooLong));
}

#[test]
fn dig_14_any_case_of_hex_but_nothing_else() {
    let password = password_a(DigestAlgorithm::AkaV1Md5);
    let input = input(NONCE_A, true);
    let right = "402ab8df9f3a4d63a9f47c2f90e02938";
    assert!(input.verify(&password, right));
    assert!(input.verify(&password, &right.to_uppercase()));
    for position in 0..32 {
        let mut wrong = right.as_bytes().to_vec();
        wrong[position] = if wrong[position] == b'0' { b'1' } else { b'0' };
        assert!(!input.verify(&password, std::str::from_utf8(&wrong).unwrap()));
        // A digit with bit 5 cleared must not pass for the digit itself.
        let mut cleared = right.as_bytes().to_vec();
        if cleared[position].is_ascii_digit() {
            cleared[position] &= !0x20;
            assert!(!input.verify(&password, std::str::from_utf8(&cleared).unwrap()));
        }
    }
    for wrong in
        ["", "402ab8df", "402ab8df9f3a4d63a9f47c2f90e0293800", "\u{e4}02ab8df9f3a4d63a9f47c2f90e0293"]
    {
        assert!(!input.verify(&password, wrong));
    }
}

#[test]
fn algorithm_tokens() {
    assert_eq!("akaV1-md5".parse(), Ok(DigestAlgorithm::AkaV1Md5));
    assert_eq!("AKAv2-MD5".parse(), Ok(DigestAlgorithm::AkaV2Md5));
    assert_eq!("AKAv2-sha-256".parse(), Ok(DigestAlgorithm::AkaV2Sha256));
    assert_eq!("MD5".parse::<DigestAlgorithm>(), Err(AkaError::UnknownDigestAlgorithm));
}

#[test]
fn aka_13_debug_of_password_and_response() {
    let password = password_a(DigestAlgorithm::AkaV2Md5);
    assert_eq!(format!("{password:?} {:?}", input(NONCE_A, true).response(&password)), "<secret> <secret>");
}

proptest! {
    #[test]
    fn nonce_round_trip(rand: [u8; 16], autn: [u8; 16], server_data in proptest::collection::vec(any::<u8>(), 0..64)) {
        let nonce = Nonce { rand: Rand::from_bytes(rand), autn: Autn::from_bytes(autn), server_data };
        prop_assert_eq!(Nonce::decode(&nonce.encode()), Ok(nonce));
    }

    #[test]
    fn nonce_decode_never_panics(text in "\\PC{0,80}") {
        let _ = Nonce::decode(&text);
        let _ = Auts::from_base64(&text);
    }
}
