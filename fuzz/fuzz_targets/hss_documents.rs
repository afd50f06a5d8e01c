//! What a database holds for an HSS: states, profiles and sealed keys.
#![no_main]

use hss::store::document::{read_profile, read_state, write_state};
use hss::store::seal::MasterKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    assert!(!MasterKey::from_bytes(&[0; 32]).matches(octets));
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let _ = read_profile("fuzz", text, Vec::new());
    if let Ok(state) = read_state("fuzz", text) {
        assert_eq!(read_state("fuzz", &write_state(&state)).unwrap(), state);
    }
});
