//! Known answers. The six sets are those of TS 35.233 (6.3 to 6.8), numbers as published in the test data of two other
//! implementations. MACs, RES, CK and IK longer than IMS uses are read out of the permuted state, so that every line
//! of every set counts. The cross-check is ours, made with OpenSSL's SHAKE256: one iteration of TUAK is SHAKE256 of
//! the 96 octets from TOPc to K.

use super::*;

/// K, RAND, SQN, AMF, TOP, TOPc, f1, f1*, f2, f3, f4, f5, f5*.
type Set = [&'static str; 13];

/// With the number of iterations.
#[rustfmt::skip]
const PUBLISHED: [(u8, Set); 6] = [
    (1, ["abababababababababababababababab", "42424242424242424242424242424242", "111111111111", "ffff",
         "5555555555555555555555555555555555555555555555555555555555555555",
         "bd04d9530e87513c5d837ac2ad954623a8e2330c115305a73eb45d1f40cccbff",
         "f9a54e6aeaa8618d", "e94b4dc6c7297df3", "657acd64",
         "d71a1e5c6caffe986a26f783e5c78be1", "be849fa2564f869aecee6f62d4337e72", "719f1e9b9054", "e7af6b3d0e38"]),
    (1, ["fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0",
         "0123456789abcdef0123456789abcdef", "0123456789ab", "abcd",
         "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
         "305425427e18c503c8a4b294ea72c95d0c36c6c6b29d0c65de5974d5977f8524",
         "c0b8c2d4148ec7aa5f1d78a97e4d1d58", "ef81af7290f7842c6ceafa537fa0745b", "e9d749dc4eea0035",
         "a4cb6f6529ab17f8337f27baa8234d47", "2274155ccf4199d5e2abcbf621907f90", "480a9345cc1e", "f84eb338848c"]),
    (1, ["fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0",
         "0123456789abcdef0123456789abcdef", "0123456789ab", "abcd",
         "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
         "305425427e18c503c8a4b294ea72c95d0c36c6c6b29d0c65de5974d5977f8524",
         "d97b75a1776065271b1e212bc3b1bf173f438b21e6c64a55a96c372e085e5cc5",
         "427bbf07c6e3a86c54f8c5216499f3909a6fd4a164c9fe235b1550258111b821", "07021c73e7635c7d",
         "4d59ac796834eb85d11fa148a5058c3c", "126d47500136fdc5ddfd14f19ebf16749ce4b6435323fbb5715a3a796a6082bd",
         "1d6622c4e59a", "f84eb338848c"]),
    (1, ["b8da837a50652d6ac7c97da14f6acc61", "6887e55425a966bd86c9661a5fa72be8", "0dea2ee2c5af", "df1e",
         "0952be13556c32ebc58195d9dd930493e12a9003669988ffde5fa1f0fe35cc01",
         "2bc16eb657a68e1f446f08f57c0efb1d493527a2e652ce281eb6ca0e4487760a",
         "749214087958dd8f58bfcdf869d8ae3f", "619e865afe80e382aee13063f9dfb56d", "4041ce438e3e38e8aa96562eed83ac43",
         "3e3bc01bea0cd914c4c2c83ce2d92757", "666a8e6f577b1aa77b7fd53cebb8a3d6", "1f880d005119", "45e617d77fe5"]),
    (1, ["1574ca56881d05c189c82880f789c9cd4244955f4426aa2b69c29f15770e5aa5",
         "c570aac68cde651fb1e3088322498bef", "c89bb71f3a41", "297d",
         "e59f6eb10ea406813f4991b0b9e02f181edf4c7e17b480f66d34da35ee88c95e",
         "3c6052e41532a28a47aa3cbb89f223e8f3aaa976aecd48bc3e7d6165a55eff62",
         "d7340dad02b4cb01", "c6021e2e66accb15",
         "84d89b41db1867ffd4c7ba1d82163f4d526a20fbae5418fbb526940b1eeb905c",
         "d419676afe5ab58c1d8bee0d43523a4d2f52ef0b31a4676a0c334427a988fe65", "205533e505661b61d05cc0eac87818f4",
         "d7b3d2d4980a", "ca9655264986"]),
    (2, ["1574ca56881d05c189c82880f789c9cd4244955f4426aa2b69c29f15770e5aa5",
         "c570aac68cde651fb1e3088322498bef", "c89bb71f3a41", "297d",
         "e59f6eb10ea406813f4991b0b9e02f181edf4c7e17b480f66d34da35ee88c95e",
         "b04a66f26c62fcd6c82de22a179ab65506ecf47f56245cd149966cfa9cec7a51",
         "90d2289ed1ca1c3dbc2247bb480d431ac71d2e4a7677f6e997cfddb0cbad88b7",
         "427355dbac30e825063aba61b556e87583abac638e3ab01c4c884ad9d458dc2f",
         "d67e6e64590d22eecba7324afa4af4460c93f01b24506d6e12047d789a94c867",
         "ede57edfc57cdffe1aae75066a1b7479bbc3837438e88d37a801cccc9f972b89",
         "48ed9299126e5057402fe01f9201cf25249f9c5c0ed2afcf084755daff1d3999", "6aae8d18c448", "8c5f33b61f4e"]),
];

#[rustfmt::skip]
const CROSS_CHECKED: [(ResLength, u8, Set); 6] = [
    (ResLength::Octets4, 1,
     ["c91574591989f81487c8c0b15b120ff8",
      "f98f55ff6005b37aefe50e0db5fcc058", "6d67212d5de7", "9489",
      "62b8240d7c37fa2029c5bbd8ec50a68e0bb4d7b98bbd28fac11fa401cfac48d4",
      "6db640e8efd910b12f47331b492bf8a6c3feb49956cacf7afe0323596ac727ca",
      "ed46175c0f4b89bc", "c60efea57745c626", "e5188773",
      "84cd77e2daaa18ca79f9682247ff77a1", "dba5bdff443fc46e8e45b83a5b1e8f0e", "4721a71864e1", "9aa6ac75896b"]),
    (ResLength::Octets8, 1,
     ["f67b54d15f6e281e11a6faeee90c88a5",
      "74aad2f740e87c08b3461f9216b12ad1", "27d8b2da3728", "5774",
      "644e69b6d1f8537db6c83b017801a0f3decf4343cd42ffd306a2f7c2e6af21b8",
      "d1f5cea3bfa3f3e58dce89d03e4274fc79032180d49f5f961e8e0e386eac6811",
      "fe0018a04e703824", "a39b1cadfff64734", "8923f159b216110d",
      "37d274de2e9bba2d85843408a7d4707b", "e67ac4b34ac0f5f0212787ddae018345", "efca23c93ca5", "9725cac9d6d0"]),
    (ResLength::Octets16, 1,
     ["1d52ba31e4bcf1701a2f2a10db79b791",
      "43ec5279bc19352c547cc19e8f09796d", "7ba8d4fcd59d", "9916",
      "2a3d7116c88171c965be30e01195e629160f357dcbd81481524a5bbf199154b1",
      "35888f4d8e8402f4318dafeaab5163a1b298dfe001d36929ab4bcf7f7c78c418",
      "53f4f1440d13497a", "ae6a92d164191540", "a405588edbc03f9935b0f36d59945ba5",
      "18a5ec1bf4b9a070e03015855ad2cb8d", "61cde60db7b20feee32b522e4feed319", "a2d1fc4b411c", "1734c59e7317"]),
    (ResLength::Octets4, 1,
     ["1cfdeb9a1ef6fa2e3913a004503e8c7a48164693fcac438a8e1221f8c1dc2e9c",
      "d5910c8db7bfb65b082bc63d661b2013", "a132110e5a7e", "b26a",
      "55b34f55f824cc09cfc5f0cca5c7bfe79c6d2c0d3557571321fd1741f8c083a2",
      "def7483bd8d5d93cb6d60057333d470b35842b18057cc73b6be15a23897f185b",
      "42690c695afcc4a5", "414b0cad500c4c9d", "7682b05f",
      "c8bcec69535c4163babc98b91e1df160", "4f213a2bd88059e821af3bd2b8a68d7a", "c1e832c44dd3", "fd34bbde88b3"]),
    (ResLength::Octets8, 1,
     ["fef5c0636ffe91ba2c60b596ff2ad29a1a41c7c0523d5d4400f4d6f875908a2a",
      "21cbab78786af6e44956c87cbaa52224", "f585c15c6ad3", "679a",
      "103b01fcb153d479f00c2ddaed6b41cb6ebf4a77338ead3fe46ee3536e90770d",
      "61639586215c0df77c90d9de3bf8d8fc38f8580aa067f5071dda3e827f718c7f",
      "fc8b059fc7d2e27e", "00a738a35908859f", "a300b181987fb4e9",
      "7fede54347bad47ff0ce8b448bb7375a", "40f06d804c7123fd0e25955daa48c4ef", "33c11fd6f8c7", "fbbe8d20866a"]),
    (ResLength::Octets16, 1,
     ["761abe5e96fded6db898af2b4a293ed9c657c62bcc61ade65c6a0c340883e7f2",
      "ae6a923a8a32235f42e07fb0d1605002", "3c5afe1a003a", "5a9d",
      "1782fd88d2076f3aa6b98893991574b88e9206bd4947de3fc11e084ba76bfca5",
      "26e979840ff5795f070da24d0178ac294072139b499b7b6fccc823b0686e199c",
      "6b4f8ecfabf3f674", "0043a058a80e9da8", "ae640c9aa24666a27f9194cce1470969",
      "0f782df5e96446dbf5dea5a59ff199bb", "5e887940d4af0dd21a59a908c95d64b8", "4a534dd8c4a5", "ead9c5988a1e"]),
];

fn settings(res_length: ResLength, iterations: u8) -> TuakSettings {
    TuakSettings { res_length, iterations: NonZeroU8::new(iterations).unwrap() }
}

fn field(state: &State, at: usize, like: &str) -> String {
    let mut octets = vec![0; like.len() / 2];
    state.copy_to(&mut octets, at);
    hex::encode(octets)
}

/// The bits of INSTANCE that stand for the length of a MAC or RES in hex digits.
fn length_code(text: &str) -> u8 {
    match text.len() {
        8 => 0x00,
        16 => 0x08,
        32 => 0x10,
        64 => 0x20,
        other => panic!("{other} digits"),
    }
}

#[test]
fn aka_14_every_line_of_the_published_sets() {
    for (number, (iterations, set)) in (1..).zip(PUBLISHED) {
        let [k, rand, sqn, amf, top, topc, f1, f1_star, f2, f3, f4, f5, f5_star] = set;
        let settings = settings(ResLength::Octets8, iterations);
        let tuak = Tuak::with_top(TuakK::from_hex(k).unwrap(), &Top::from_hex(top).unwrap(), settings);
        assert_eq!(tuak.topc, Topc::from_hex(topc).unwrap(), "TOPc of set {number}");
        let rand = Rand::from_hex(rand).unwrap();
        let message =
            Message { rand: &rand, amf: Amf::from_hex(amf).unwrap(), sqn: Sqn::from_hex(sqn).unwrap() };
        let mac = tuak.permuted(F1 | length_code(f1), &message);
        assert_eq!(field(&mac, FIRST, f1), f1, "f1 of set {number}");
        let mac = tuak.permuted(F1_STAR | length_code(f1_star), &message);
        assert_eq!(field(&mac, FIRST, f1_star), f1_star, "f1* of set {number}");
        let long = |text: &str, bit| if text.len() == 64 { bit } else { 0 };
        let instance = F2345 | length_code(f2) | long(f3, 0x04) | long(f4, 0x02);
        let responses = tuak.permuted(instance, &Message::of(&rand));
        for (name, at, wanted) in [("f2", FIRST, f2), ("f3", CK, f3), ("f4", IK, f4), ("f5", AK, f5)] {
            assert_eq!(field(&responses, at, wanted), wanted, "{name} of set {number}");
        }
        assert_eq!(hex::encode(tuak.f5_star(&rand).as_bytes()), f5_star, "f5* of set {number}");
    }
}

/// The functions as the rest of the crate calls them, where a published set has their lengths.
#[test]
fn aka_14_published_sets_of_the_lengths_of_ims() {
    let lengths = [Some(ResLength::Octets4), Some(ResLength::Octets8), None, Some(ResLength::Octets16), None];
    for (number, ((iterations, set), res_length)) in (1..).zip(PUBLISHED.into_iter().zip(lengths)) {
        let [k, rand, sqn, amf, _, topc, f1, f1_star, f2, f3, f4, f5, _] = set;
        let settings = settings(res_length.unwrap_or(ResLength::Octets8), iterations);
        let tuak = Tuak::new(TuakK::from_hex(k).unwrap(), Topc::from_hex(topc).unwrap(), settings);
        let (rand, sqn, amf) =
            (Rand::from_hex(rand).unwrap(), Sqn::from_hex(sqn).unwrap(), Amf::from_hex(amf).unwrap());
        if f1.len() == 16 {
            assert_eq!(hex::encode(tuak.f1(&rand, sqn, amf).as_bytes()), f1, "f1 of set {number}");
            assert_eq!(hex::encode(tuak.f1_star(&rand, sqn, amf).as_bytes()), f1_star, "f1* of set {number}");
        }
        if res_length.is_some() {
            let made = tuak.f2345(&rand);
            let made = [made.res.as_bytes(), made.ck.as_bytes(), made.ik.as_bytes(), made.ak.as_bytes()];
            assert_eq!(made.map(hex::encode), [f2, f3, f4, f5], "f2 to f5 of set {number}");
        }
    }
}

#[test]
fn aka_14_every_length_of_k_and_res_against_shake256() {
    for (number, (res_length, iterations, set)) in (1..).zip(CROSS_CHECKED) {
        let [k, rand, sqn, amf, top, topc, f1, f1_star, f2, f3, f4, f5, f5_star] = set;
        let settings = settings(res_length, iterations);
        let tuak = Tuak::with_top(TuakK::from_hex(k).unwrap(), &Top::from_hex(top).unwrap(), settings);
        assert_eq!(tuak.topc, Topc::from_hex(topc).unwrap(), "TOPc of set {number}");
        let (rand, sqn, amf) =
            (Rand::from_hex(rand).unwrap(), Sqn::from_hex(sqn).unwrap(), Amf::from_hex(amf).unwrap());
        assert_eq!(hex::encode(tuak.f1(&rand, sqn, amf).as_bytes()), f1, "f1 of set {number}");
        assert_eq!(hex::encode(tuak.f1_star(&rand, sqn, amf).as_bytes()), f1_star, "f1* of set {number}");
        let made = tuak.f2345(&rand);
        let made = [made.res.as_bytes(), made.ck.as_bytes(), made.ik.as_bytes(), made.ak.as_bytes()];
        assert_eq!(made.map(hex::encode), [f2, f3, f4, f5], "f2 to f5 of set {number}");
        assert_eq!(hex::encode(tuak.f5_star(&rand).as_bytes()), f5_star, "f5* of set {number}");
    }
}

#[test]
fn aka_13_debug_of_tuak_shows_no_key() {
    let tuak = Tuak::new(TuakK::from([0x5a; 32]), Topc::from_bytes([0x5b; 32]), TuakSettings::default());
    let shown = format!("{tuak:?}");
    assert!(shown.starts_with("Tuak { k: <secret>, topc: <secret>, settings:"), "{shown}");
    assert!(!shown.contains("5a") && !shown.contains("90") && !shown.contains("91"), "{shown}");
}
