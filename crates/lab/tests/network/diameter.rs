//! Cx as octets: every request and answer of the lab is written and read again, so that a value which does not pass
//! the wire fails the flow that uses it.

use cx::diameter::{Header, Ids, decode, encode};
use cx::{Answer, Origin, Request};

/// The answer to `request` as the caller reads it.
pub(super) fn carried(from: &Origin, request: Request, answer: impl FnOnce(Request) -> Answer) -> Answer {
    let hss = Origin { host: "hss.example".into(), realm: from.realm.clone() };
    let context = encode::RequestContext {
        ids: Ids { hop_by_hop: 1, end_to_end: 2 },
        retransmitted: false,
        session_id: "lab;1;2",
        origin: from,
        destination_realm: &from.realm,
        destination_host: None,
    };
    let wire = encode::request(&request, &context).expect("a request fits a message");
    let (header, avps) = Header::parse(wire.as_bytes()).expect("our own message");
    let incoming = decode::request(&header, avps).expect("our own request");
    assert_eq!(incoming.request, request);
    assert_eq!(&incoming.origin, from);

    let answer = answer(incoming.request);
    let context = encode::AnswerContext {
        ids: incoming.ids,
        session_id: &incoming.session_id,
        origin: &hss,
        repeated: &incoming.repeated,
    };
    let wire = encode::answer(&answer, &context).expect("an answer fits a message");
    let (header, avps) = Header::parse(wire.as_bytes()).expect("our own message");
    let read = decode::answer(&header, avps).expect("our own answer");
    assert_eq!(read, answer);
    read
}
