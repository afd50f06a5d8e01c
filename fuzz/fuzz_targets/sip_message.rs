//! One datagram: parsed, looked at from all sides, written again, parsed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{Draft, Message, Name};

fuzz_target!(|datagram: &[u8]| {
    let Ok(message) = Message::parse(datagram) else {
        let _ = sip::refusal(datagram, "fuzz");
        return;
    };
    let _ = (message.top_via().map(|via| (via.branch(), via.rport(), via.received())), message.cseq());
    let _ = (message.expires(), message.max_forwards(), message.call_id(), message.body());
    let _ = (message.contacts(), message.authorization(), message.www_authenticate());
    for address in [message.from(), message.to()].into_iter().flatten() {
        let _ = address.parse_uri().map(|uri| (uri.identity(), uri.user_at_host(), uri.transport()));
    }
    for name in [Name::Route, Name::Path, Name::ServiceRoute, Name::PAssociatedUri] {
        message.addresses(name).for_each(|address| drop(address.map(|address| address.expires())));
    }
    let again = Draft::forward(&message).finish();
    let reread = Message::parse(again.bytes().to_vec()).expect("what was parsed and written is SIP");
    assert_eq!(
        (message.is_request(), message.status(), message.request_uri()),
        (reread.is_request(), reread.status(), reread.request_uri())
    );
    assert_eq!((message.call_id(), message.body()), (reread.call_id(), reread.body()));
    if message.is_request() {
        let reply = Draft::reply(&message, 400, "Bad Request", Some("fuzz")).finish();
        Message::parse(reply.bytes().to_vec()).expect("an answer to what was parsed is SIP");
    }
});
