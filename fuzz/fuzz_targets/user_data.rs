//! The XML of a user profile from an HSS: read or refused, and what was read is written so that it reads the same.
#![no_main]

use cx::UserData;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|xml: &[u8]| {
    let Ok(data) = UserData::from_xml(xml) else { return };
    let _ = data.default_impu();
    for criteria in data.profiles.iter().flat_map(|profile| &profile.filter_criteria) {
        let _ = criteria.summary().to_string();
    }
    let written = data.to_xml();
    // Escapes may make a profile at the limit larger than the limit.
    if written.len() <= UserData::LARGEST {
        assert_eq!(UserData::from_xml(&written), Ok(data));
    }
});
