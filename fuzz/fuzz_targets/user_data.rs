//! The XML of a user profile from an HSS: read or refused, and what was read is written so that it reads the same.
#![no_main]

use cx::UserData;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|xml: &[u8]| {
    let Ok(data) = UserData::from_xml(xml) else { return };
    let _ = data.default_impu();
    let written = data.to_xml();
    let again = UserData::from_xml(&written);
    // Escapes may make a profile at the limit larger than the limit.
    assert!(written.len() > 40_000 || again.is_ok());
});
