//! WWW-Authenticate and Authorization: the keys never pass, and integrity-protected is ours alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::header::{AuthenticationInfo, Challenge, Credentials, strip_keys, with_integrity_protected};

/// Names of parameters as a simple reader finds them: whatever stands before '=' outside quotes, back to a blank, a
/// comma or the start. Written without the reader under test.
fn names(value: &str) -> Vec<String> {
    let (mut names, mut word, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    let mut in_value = false;
    for octet in value.chars() {
        if quoted {
            match octet {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match octet {
            // A value ends with its closing quote, also without a comma.
            '"' => (quoted, in_value) = (true, false),
            '=' if !in_value => {
                names.push(std::mem::take(&mut word).to_ascii_lowercase());
                in_value = true;
            }
            ' ' | '\t' | ',' => {
                word.clear();
                in_value = false;
            }
            _ if in_value => {}
            other => word.push(other),
        }
    }
    names
}

fuzz_target!(|value: &str| {
    // No header value of a parsed message holds these (`sip_message` asserts it).
    if value.contains(['\r', '\n', '\0']) {
        return;
    }
    let (clean, _) = strip_keys(value);
    let left = names(&clean);
    assert!(!left.iter().any(|name| matches!(name.as_str(), "ik" | "ck")), "{clean:?}");
    // A lone word reads as a scheme or as nothing, depending on what follows it, so the text itself may shrink again.
    let (twice, keys) = strip_keys(&clean);
    assert!(keys.is_none() && names(&twice) == left, "something was left to strip: {clean:?}");
    let _ = (Challenge::parse(value), Challenge::parse(&clean));

    let _ = Credentials::parse(value);
    let _ = AuthenticationInfo::parse(value);
    for (mark, count) in [(None, 0), (Some("yes"), 1)] {
        let marked = with_integrity_protected(value, mark);
        let marks = names(&marked).into_iter().filter(|name| name == "integrity-protected").count();
        assert_eq!(marks, count, "{marked:?}");
        if let Ok(credentials) = Credentials::parse(&marked) {
            assert_eq!(credentials.integrity_protected.as_deref(), mark, "{marked:?}");
        }
    }
});
