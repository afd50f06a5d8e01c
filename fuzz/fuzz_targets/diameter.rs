//! A Diameter message from a peer, request or answer.
#![no_main]

use cx::diameter::{Avps, Header, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let _ = Header::message_length(octets);
    // Every octet string is also tried as the AVPs of a sound header.
    let header = octets.first().map_or([1, 0, 0, 20, 0xc0, 0, 1, 0x2c], |choice| {
        [1, 0, 0, 20, choice & 0xf0, 0, 1, 0x2c + choice % 6]
    });
    let sound: Vec<u8> = header.into_iter().chain([1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]).collect();
    for message in [octets, &sound] {
        let Ok((header, avps)) = Header::parse(message) else { continue };
        for avps in [avps, octets] {
            let _ = decode::request(&header, avps);
            let _ = decode::answer(&header, avps);
            let _ = (decode::remains(avps), decode::result_code(avps));
        }
    }
    Avps::new(octets).take(10_000).for_each(drop);
});
