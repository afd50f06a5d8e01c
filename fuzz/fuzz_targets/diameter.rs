//! One Diameter message of Cx.
#![no_main]

use cx::diameter::{Avps, Header, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let _ = Header::message_length(octets);
    // Also without a sound header: whatever the length, the AVPs are read.
    if let Ok((header, avps)) = Header::parse(octets) {
        let _ = decode::request(&header, avps);
        let _ = decode::answer(&header, avps);
        let _ = decode::result_code(avps);
        let _ = decode::remains(avps);
    }
    // Each step takes octets, so there are no more AVPs than octets.
    assert!(Avps::new(octets).take(octets.len() + 2).count() <= octets.len() + 1);
});
