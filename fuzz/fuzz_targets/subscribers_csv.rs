//! The file of subscribers that an operator writes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Ok(imported) = hss::csv::parse(octets) {
        for entry in &imported {
            assert!(!entry.subscriber.impus.is_empty(), "a subscriber without public identity");
        }
    }
});
