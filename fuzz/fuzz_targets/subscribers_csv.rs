//! A file of subscribers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Err((_, error)) = hss::csv::parse(octets) {
        // The words of an error never repeat a value of 32 hex digits: it may be a key.
        let words = error.to_string();
        let longest = words.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max();
        assert!(longest.unwrap_or(0) < 32, "a key is in the error");
    }
});
