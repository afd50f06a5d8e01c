//! A Diameter message from a peer, request or answer of every Cx command: read or refused, and what was read is
//! written so that it reads the same.
#![no_main]

use cx::{CxError, Origin};
use cx::diameter::{Avps, Header, Ids, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let _ = Header::message_length(octets);
    if let Ok((header, avps)) = Header::parse(octets) {
        read(&header, avps);
    }
    // Every octet string is also tried as the AVPs of a sound header.
    let (choice, avps) = octets.split_first().map_or((0, octets), |(choice, avps)| (*choice, avps));
    let sound = [
        &[1, 0, 0, 20, choice & 0xf0, 0, 1, 0x2c + choice % 6, 1, 0, 0, 0][..],
        &[0, 0, 0, 1, 0, 0, 0, 2],
    ]
    .concat();
    let (header, _) = Header::parse(&sound).expect("the header is sound");
    read(&header, avps);
    Avps::new(octets).take(10_000).for_each(drop);
});

fn read(header: &Header, avps: &[u8]) {
    let (session_id, repeated) = decode::remains(avps);
    let _ = decode::result_code(avps);
    let origin = Origin { host: "a.example".into(), realm: "example".into() };
    let ids = Ids { hop_by_hop: 1, end_to_end: 2 };
    let context = encode::AnswerContext { ids, session_id: &session_id, origin: &origin, repeated: &repeated };
    match decode::request(header, avps) {
        Ok(incoming) => {
            let context = encode::RequestContext {
                ids,
                retransmitted: header.retransmitted,
                session_id: &incoming.session_id,
                origin: &incoming.origin,
                destination_realm: "example",
                destination_host: Some("b.example"),
            };
            // What was read may need more room than the message it came in.
            let Ok(wire) = encode::request_with(&incoming.request, &context, &incoming.extra) else { return };
            let (header, avps) = Header::parse(wire.as_bytes()).expect("our own message");
            let again = decode::request(&header, avps).expect("our own request");
            assert_eq!((again.request, again.extra), (incoming.request, incoming.extra));
        }
        Err(error) => {
            if let Ok(wire) = encode::refusal(header.command, &context, &error) {
                let (header, avps) = Header::parse(wire.as_bytes()).expect("our own message");
                let read = decode::answer(&header, avps);
                // A command that is not of Cx has no answer that could be read as one.
                assert!(matches!(read, Ok(_) | Err(CxError::CommandUnsupported(_))), "our own refusal: {read:?}");
            }
        }
    }
    if let Ok(incoming) = decode::whole_answer(header, avps) {
        let Ok(wire) = encode::answer_with(&incoming.answer, &context, &incoming.extra) else { return };
        let (header, avps) = Header::parse(wire.as_bytes()).expect("our own message");
        let again = decode::whole_answer(&header, avps).expect("our own answer");
        assert_eq!((again.answer, again.extra), (incoming.answer, incoming.extra));
    }
}
