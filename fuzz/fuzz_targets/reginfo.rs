//! A document of the reg event package: read or refused, and what was read is written so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::reginfo::Reginfo;

fuzz_target!(|body: &[u8]| {
    let Ok(document) = Reginfo::parse(body) else { return };
    let written = document.to_xml();
    // What is left out in the original, and escapes, may make a document larger than the largest that is read.
    if written.len() <= 64 * 1024 {
        assert_eq!(Reginfo::parse(written.as_bytes()), Ok(document), "{written}");
    }
});
