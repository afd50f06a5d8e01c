//! SIP-16: whatever a datagram holds, reading it, forwarding it and answering it must not panic, and what we write
//! must be readable again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::header::{strip_keys, with_integrity_protected};
use sip::{Draft, Message, Name, routing};

fuzz_target!(|datagram: &[u8]| {
    let _ = sip::refusal(datagram, "t");
    let Ok(message) = Message::parse(datagram) else { return };
    for (name, spelling, value) in message.fields() {
        assert!(!value.contains(['\r', '\n', '\0']));
        assert!(name == Name::Other || name.as_str().eq_ignore_ascii_case(spelling) || spelling.len() == 1);
        let (stripped, _) = strip_keys(value);
        assert!(strip_keys(&stripped).1.is_none());
        let _ = with_integrity_protected(value, Some("yes"));
        for address in message.addresses(name).flatten() {
            let _ = (address.tag(), address.expires(), address.parse_uri().map(|uri| uri.identity()));
        }
    }
    let _ = (message.authorization(), message.www_authenticate(), message.contacts(), message.expires());
    let _ =
        (routing::next_hop(&message), routing::max_forwards(&message), routing::strict_next_hop(&message));
    let mut draft = Draft::forward(&message);
    let _ = routing::consume_routes(&message, &mut draft, |uri| uri.lr());
    draft.push_front(Name::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1");
    let forwarded = draft.finish();
    let again = Message::parse(forwarded.bytes());
    // One Via more may be one too many.
    let full = message.values(Name::Via).count() >= 100;
    assert!(full || again.is_ok_and(|again| again.fields().eq(forwarded.fields())));
    if message.is_request() {
        assert!(
            Message::parse(Draft::reply(&message, 401, "Unauthorized", Some("t")).finish().bytes()).is_ok()
        );
    }
});
