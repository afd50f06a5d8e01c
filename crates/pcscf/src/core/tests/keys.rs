//! IK and CK stop at the P-CSCF, in whatever form the core writes them.

use super::*;

const IK: &str = "f769bcd751044604127672711c6d3441";
const CK: &str = "b40ba9a3c58b2a05bbf0d987b21bf8cb";
const REST: &str = r#"realm="ims.example", nonce="n", algorithm=AKAv1-MD5"#;

/// What the P-CSCF makes of a 401 with these header lines: the 401 towards the UE, or the refusal.
fn forwarded(lines: &str) -> (Message, usize) {
    let mut bench = Bench::new();
    let request = bench.sm1(0);
    let forwarded = bench.receive(clear(), request);
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 401, "", lines));
    let installs = outcome.installs.len();
    let outcome = match outcome.installs.first() {
        Some((set, ..)) => bench.give(Input::SasInstalled { set: *set }),
        None => outcome,
    };
    (outcome.only().1.clone(), installs)
}

fn assert_clean(message: &Message, lines: &str) {
    let text = String::from_utf8_lossy(&message.bytes()).to_ascii_lowercase();
    assert!(!text.contains(IK) && !text.contains(CK), "{lines}\n{text}");
    for line in message.lines(Name::WwwAuthenticate) {
        let names = sip::header::AuthParams::digest(line).into_iter().flatten();
        assert!(!names.map(|param| param.name).any(|name| name.eq_ignore_ascii_case("ik")), "{lines}");
    }
}

#[test]
fn dig_5_no_key_leaves_whatever_its_order_case_and_quoting() {
    let mut tried = 0;
    for (ik, ck) in [("ik", "ck"), ("IK", "CK"), ("Ik", "cK")] {
        for quote in ["\"", ""] {
            for equals in ["=", " = ", "\t=\r\n "] {
                let ik = format!("{ik}{equals}{quote}{IK}{quote}");
                let ck = format!("{ck}{equals}{quote}{}{quote}", CK.to_uppercase());
                for order in [
                    format!("{REST}, {ik}, {ck}"),
                    format!("{ck},{ik},{REST}"),
                    format!("{ik} , {REST} ,{ck}"),
                    format!("{ik}, {REST},\r\n\t{ck}"),
                ] {
                    let lines = format!("www-authenticate : Digest {order}\r\n");
                    let (message, installs) = forwarded(&lines);
                    assert_eq!((message.status(), installs), (Some(401), 1), "{lines}");
                    assert_clean(&message, &lines);
                    let challenge = message.www_authenticate().unwrap().unwrap();
                    assert_eq!((&*challenge.realm, &*challenge.nonce), ("ims.example", "n"), "{lines}");
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 72);
}

#[test]
fn dig_5_several_headers_are_cleaned_and_one_has_the_keys() {
    let keys = format!(r#"ik="{IK}", ck="{CK}""#);
    for lines in [
        format!(
            "WWW-Authenticate: Digest {REST}, {keys}\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"m\"\r\n"
        ),
        format!("WWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Digest {REST}, {keys}\r\n"),
        // Half a pair elsewhere is a key all the same.
        format!(
            "WWW-Authenticate: Digest {REST}, {keys}\r\nWWW-Authenticate: Digest realm=\"x\", ck=\"{CK}\"\r\n"
        ),
    ] {
        let (message, installs) = forwarded(&lines);
        assert_eq!((message.status(), installs), (Some(401), 1), "{lines}");
        assert_eq!(message.lines(Name::WwwAuthenticate).count(), 2);
        assert_clean(&message, &lines);
    }
}

#[test]
fn dig_5_a_challenge_whose_keys_are_doubtful_is_not_forwarded() {
    let keys = format!(r#"ik="{IK}", ck="{CK}""#);
    for lines in [
        // Two pairs: which one would the kernel get?
        format!(
            "WWW-Authenticate: Digest {REST}, {keys}\r\nWWW-Authenticate: Digest realm=\"x\", {keys}\r\n"
        ),
        format!("WWW-Authenticate: Digest {REST}, {keys}, Digest realm=\"x\", nonce=\"m\", {keys}\r\n"),
        format!("WWW-Authenticate: Digest {REST}, {keys}, ck=\"{IK}\"\r\n"),
        format!("WWW-Authenticate: Digest {REST}, ik=\"{IK}\", ck=\"{CK}\r\n"),
        format!("WWW-Authenticate: Digest {REST}, ik=\"{IK}\", ck=\"{}\"\r\n", &CK[2..]),
        format!("WWW-Authenticate: Digest {REST}, ik=\"{IK}\"\r\n"),
        format!(
            "WWW-Authenticate: Digest {REST}, ik=\"{IK}\"\r\nWWW-Authenticate: Digest {REST}, ck=\"{CK}\"\r\n"
        ),
        String::new(),
    ] {
        let (message, installs) = forwarded(&lines);
        assert_eq!((message.status(), installs), (Some(500), 0), "{lines}");
        assert_eq!(message.first(Name::WwwAuthenticate), None, "{lines}");
        assert_clean(&message, &lines);
    }
}

/// Keys in an answer that is no challenge reach nobody either.
#[test]
fn dig_5_keys_in_another_answer_do_not_pass() {
    let mut bench = Bench::new();
    let request = bench.sm1(0);
    let forwarded = bench.receive(clear(), request);
    let lines = format!(r#"WWW-Authenticate: Digest {REST}, ik="{IK}", ck="{CK}""#) + "\r\n";
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 403, "", &lines));
    let (_, message) = outcome.only();
    assert_eq!(message.status(), Some(403));
    assert_clean(message, &lines);
}
