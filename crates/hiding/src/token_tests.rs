use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const WHOLE: &str = "a6qkdivduss2nj5ivgvkxlfnv2x63e3fnvjjedla2hbvyqvttpufgzfs54mt.\
    deozax5usa42mv2m5p6xxad57earbtk3iyhlcmqg2lnp";
const ENTRY: &str = "<sip:orig@scscf1.home1.net:5060;lr>";

fn keys() -> Keys {
    Keys::one(7, Key::new(&[0x42; 16]))
}

fn now() -> Instant {
    Instant::from_epoch(Duration::from_secs(1))
}

fn sealed(text: &str, iv: [u8; 16]) -> Token {
    seal(&keys(), Kind::Route, text, iv)
}

fn opened(token: &Token) -> Result<Opened, TokenRefused> {
    open(&keys(), now(), &token.host, &token.rest)
}

/// `count` IVs that a generator of 64 bits makes of one number: as random as a test needs them.
fn ivs(count: usize) -> impl Iterator<Item = [u8; 16]> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    std::iter::repeat_with(move || (u128::from(next()) << 64 | u128::from(next())).to_be_bytes()).take(count)
}

/// The worked example of TS 33.203 6.4's algorithm: key 00..0f, IV a0..af, PKCS#7, no head and no tag.
#[test]
fn thg_11_the_worked_example() {
    let plain = b"SIP/2.0/UDP scscf1.home1.net:5060;branch=z9hG4bK351g45.1";
    let key: Vec<u8> = (0..16).collect();
    let iv: Vec<u8> = (0xa0..0xb0).collect();
    let iv: [u8; 16] = iv.try_into().unwrap();
    let key = Key::new(&key.try_into().unwrap());
    let mut octets = plain.to_vec();
    octets.resize(64, 8);
    key.encrypt(&iv, &mut octets);
    assert_eq!(
        hex::encode(&octets),
        "a9eec4f5d7507f2bc135fa7d9fc4dd3c7d65a9df9dd8c77059a3035ce2d8ab03\
         fa1db1bc82fa72b074eb189486560a59f4373ee767bc1620b22d74311b8e4ab0"
    );
    let token = written(&[iv.as_slice(), &octets].concat());
    assert_eq!(
        (token.host.as_str(), token.rest.as_str()),
        (
            "ucq2fi5euwtkpkfjvkv2zlnov6u65rhv25ih6k6bgx5h3h6e3u6h2znj36o5.\
             rr3qlgrqgxhc3cvqh6q5wg6if6tswb2owgeuqzlauwpug47ooz54cyqlellu.geny4svq",
            ""
        )
    );
    let mut back = read(&token.host, "").unwrap().split_off(16);
    key.decrypt(&iv, &mut back);
    assert_eq!(back, [plain.as_slice(), &[8; 8]].concat());
}

/// A whole token, computed apart from this code (openssl, HMAC and base 32 of Python).
#[test]
fn thg_11_a_whole_token() {
    let key: Vec<u8> = (0..16).collect();
    let keys = Keys::one(7, Key::new(&key.try_into().unwrap()));
    let iv: Vec<u8> = (0xa0..0xb0).collect();
    let token = seal(&keys, Kind::Route, ENTRY, iv.try_into().unwrap());
    assert_eq!(token.host, WHOLE);
    assert_eq!(token.rest, "");
}

#[test]
fn thg_3_the_same_entry_never_looks_the_same() {
    let mut tokens = HashSet::new();
    let mut first_blocks = HashSet::new();
    let mut ones = vec![0_u32; 0];
    for iv in ivs(10_000) {
        let token = sealed(ENTRY, iv);
        let octets = read(&token.host, &token.rest).unwrap();
        assert_eq!(octets[1..17], iv, "16 octets of IV");
        first_blocks.insert(octets[17..33].to_vec());
        let cipher = &octets[17..];
        ones.resize(cipher.len() * 8, 0);
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += u32::from(cipher[bit / 8] >> (bit % 8) & 1);
        }
        assert!(tokens.insert(token.host));
    }
    assert_eq!((tokens.len(), first_blocks.len()), (10_000, 10_000));
    // Each bit of the cipher text is as often 1 as 0: a coin thrown 10 000 times is within six deviations (300).
    assert!(ones.iter().all(|count| (4_700..=5_300).contains(count)), "{ones:?}");
}

#[test]
fn thg_11_a_token_is_a_host_name() {
    for length in 0..400 {
        let text = "x".repeat(length);
        let token = sealed(&text, [9; 16]);
        assert!(token.host.len() <= 253, "{}", token.host.len());
        assert!(token.host.split('.').all(|label| (1..=60).contains(&label.len())), "{}", token.host);
        assert_eq!(token.rest.is_empty(), length <= ROOM, "{length}");
        assert_eq!(opened(&token), Ok(Opened { kind: Kind::Route, text }));
        let shouted = Token { host: token.host.to_uppercase(), rest: token.rest.to_uppercase() };
        assert!(opened(&shouted).is_ok(), "host names know no case");
    }
}

/// Every octet of a token, changed in every bit.
#[test]
fn thg_8_no_bit_can_be_changed() {
    let token = sealed(ENTRY, [3; 16]);
    let octets = read(&token.host, &token.rest).unwrap();
    for bit in 0..octets.len() * 8 {
        let mut changed = octets.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opened(&written(&changed)), Err(TokenRefused), "bit {bit}");
    }
}

#[test]
fn thg_8_all_that_is_wrong_gives_one_error() {
    let token = sealed(ENTRY, [3; 16]);
    let octets = read(&token.host, &token.rest).unwrap();
    let other_key = Keys::one(7, Key::new(&[0x43; 16]));
    assert_eq!(open(&other_key, now(), &token.host, &token.rest), Err(TokenRefused));
    let other_id = Keys::one(8, Key::new(&[0x42; 16]));
    assert_eq!(open(&other_id, now(), &token.host, &token.rest), Err(TokenRefused));
    for length in 0..octets.len() {
        assert_eq!(opened(&written(&octets[..length])), Err(TokenRefused), "cut to {length}");
    }
    assert_eq!(opened(&written(&[octets.as_slice(), &[0]].concat())), Err(TokenRefused));
    assert_eq!(opened(&written(&[octets.as_slice(), &[0; 16]].concat())), Err(TokenRefused));
    for host in ["", ".", "x", "scscf1.home1.net", "0189", "a-b"] {
        assert_eq!(open(&keys(), now(), host, ""), Err(TokenRefused), "{host}");
    }
}

/// Blocks that the right key encrypted, with each thing wrong that can be.
#[test]
fn thg_8_padding_tag_version_and_kind() {
    let key = Key::new(&[0x42; 16]);
    let iv = [5; 16];
    let made = |plain: &[u8]| {
        let mut octets = [&[7], iv.as_slice(), plain].concat();
        key.encrypt(&iv, &mut octets[17..]);
        opened(&written(&octets))
    };
    let tagged = |content: &[u8], padding: u8| {
        let mut plain = content.to_vec();
        plain.resize(content.len() + TAG + usize::from(padding), 0);
        let tag = key.tag(&[&[7], &iv, &[padding], &plain]);
        plain[content.len()..][..TAG].copy_from_slice(&tag);
        plain[content.len() + TAG..].fill(padding);
        plain
    };
    let good = tagged(b"\x01Rabc", 3);
    assert_eq!(made(&good), Ok(Opened { kind: Kind::Route, text: "abc".to_owned() }));
    for (bad, why) in [
        (tagged(b"\x02Rabc", 3), "version"),
        (tagged(b"\x01Xabc", 3), "kind"),
        (tagged(b"\x01R\xff\xff\xff", 3), "not UTF-8"),
        (tagged(b"\x01", 7), "no kind"),
        (tagged(b"", 8), "nothing"),
        (tagged(b"\x01R12345", 17), "a padding of more than a block"),
    ] {
        assert_eq!(bad.len() % 16, 0);
        assert_eq!(made(&bad), Err(TokenRefused), "{why}");
    }
    for padding in 0..=u8::MAX {
        let mut bad = good.clone();
        bad[15] = padding;
        assert_eq!(made(&bad).is_ok(), padding == 3, "{padding}");
    }
    for at in 0..15 {
        let mut bad = good.clone();
        bad[at] ^= 0x80;
        assert_eq!(made(&bad), Err(TokenRefused), "octet {at}");
    }
}

proptest! {
    #[test]
    fn thg_13_whatever_is_sealed_opens(text in "\\PC{0,300}", iv: [u8; 16], kind in 0_usize..4) {
        let kind = Kind::ALL[kind];
        let token = seal(&keys(), kind, &text, iv);
        prop_assert_eq!(opened(&token), Ok(Opened { kind, text }));
    }

    #[test]
    fn thg_13_no_host_panics(host in "[a-z2-7.]{0,260}", rest in "[a-zA-Z0-9.=]{0,20}") {
        prop_assert_eq!(open(&keys(), now(), &host, &rest), Err(TokenRefused));
    }

    #[test]
    fn thg_13_no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(opened(&written(&octets)), Err(TokenRefused));
    }
}
