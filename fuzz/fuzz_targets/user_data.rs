//! The Cx user profile: what is read is written the way it is read.
#![no_main]

use cx::UserData;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|xml: &[u8]| {
    if let Ok(data) = UserData::from_xml(xml) {
        let _ = (data.default_impu(), data.identities().count());
        let again = UserData::from_xml(&data.to_xml()).expect("a written profile is a profile");
        assert_eq!(data, again);
    }
});
