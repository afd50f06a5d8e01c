//! A datagram of the kernel's about states that end or move.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xfrm::KernelEvent;

fuzz_target!(|octets: &[u8]| {
    let events = KernelEvent::read(octets);
    // The shortest message that says something has 80 bytes.
    assert!(events.len() <= octets.len() / 80);
    // Every octet string is also tried as the payload of a sound header.
    for kind in [0x18u16, 0x26] {
        let Ok(length) = u32::try_from(octets.len() + 16) else { return };
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.resize(16, 0);
        message.extend_from_slice(octets);
        assert!(KernelEvent::read(&message).len() <= 1);
    }
});
