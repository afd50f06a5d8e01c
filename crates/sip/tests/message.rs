//! What a reader of phones' messages must take, and what it must refuse.

use proptest::prelude::*;
use sip::{Contacts, Draft, Message, Method, Name, ParseError};

mod samples;

fn with(line: &str, instead: &str) -> String {
    let text = samples::register();
    let old = text.split("\r\n").find(|found| found.starts_with(line)).unwrap().to_owned();
    text.replacen(&old, instead, 1)
}

fn without(line: &str) -> String {
    with(line, "X-Gone: 1")
}

#[test]
fn sip_14_compact_folded_lower_case_duplicate_and_odd_white_space() {
    let text = "\r\nREGISTER sip:home.example SIP/2.0\r\n\
        v:SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa , SIP/2.0/TCP x.example;branch=z9hG4bKb\r\n\
        f : <sip:a@home.example>;tag=1\r\n\
        t:  <sip:a@home.example>  \r\n\
        i: c1\r\n\
        cseq: 1 REGISTER\r\n\
        k: path\r\n\
        m: <sip:192.0.2.1:7002>;expires=10\r\n\
        SUPPORTED: gruu, outbound\r\n\
        Authorization: Digest username=\"a\",\r\n\t nc=00000001,\r\n nonce=\"\"\r\n\
        l: 0\r\n\r\n";
    let message = Message::parse(text).unwrap();
    assert_eq!(message.values(Name::Supported).collect::<Vec<_>>(), ["path", "gruu", "outbound"]);
    assert_eq!(message.values(Name::Via).count(), 2);
    assert_eq!(message.to().unwrap().uri, "sip:a@home.example");
    let credentials = message.authorization().unwrap().unwrap();
    assert_eq!(credentials.nc.as_deref(), Some("00000001"));
    assert!(message.fields().all(|(_, _, value)| !value.contains(['\r', '\n'])));
    let Contacts::List(contacts) = message.contacts().unwrap() else { panic!("a list") };
    assert_eq!(contacts[0].expires(), Some(10));
    assert_eq!(message.named("supported"), Some("path").filter(|_| false).or(Some("gruu, outbound")));
}

#[test]
fn sip_4_mandatory_headers() {
    for (line, name) in [
        ("Via", Name::Via),
        ("From", Name::From),
        ("To", Name::To),
        ("Call-ID", Name::CallId),
        ("CSeq", Name::CSeq),
    ] {
        assert_eq!(Message::parse(without(line)).unwrap_err(), ParseError::Missing(name));
    }
    for (line, instead, error) in [
        ("Via", "Via: SIP/2.0/UDP", ParseError::Malformed(Name::Via)),
        ("Via", "Via: ,", ParseError::Malformed(Name::Via)),
        ("From", "From: nobody", ParseError::Malformed(Name::From)),
        ("Call-ID", "Call-ID: a b", ParseError::Malformed(Name::CallId)),
        ("CSeq", "CSeq: 99999999999 REGISTER", ParseError::Malformed(Name::CSeq)),
        ("CSeq", "CSeq: 1 INVITE", ParseError::MethodMismatch),
        ("Max", "Max-Forwards: many", ParseError::Malformed(Name::MaxForwards)),
        ("Max", "CSeq: 2 REGISTER", ParseError::Repeated(Name::CSeq)),
        ("Max", "i: other", ParseError::Repeated(Name::CallId)),
        ("Max", "l: 0", ParseError::Repeated(Name::ContentLength)),
        ("Content-Length", "Content-Length: 1", ParseError::BodyTruncated),
        ("Content-Length", "Content-Length: +0", ParseError::Malformed(Name::ContentLength)),
        ("Max", "No colon", ParseError::HeaderName),
        ("Max", "Ma x: 1", ParseError::HeaderName),
        ("Max", "X: a\rb", ParseError::BareLineEnd),
        ("Max", "X: a\nb: c", ParseError::BareLineEnd),
        ("Max", "X: a\0b", ParseError::Nul),
        ("REGISTER", "REGISTER  sip:a SIP/2.0", ParseError::StartLine),
        ("REGISTER", "REGISTER sip:a SIP/3.0", ParseError::StartLine),
        ("REGISTER", "SIP/2.0 99 X", ParseError::StartLine),
        ("REGISTER", "SIP/2.0 2000 X", ParseError::StartLine),
        ("REGISTER", " REGISTER sip:a SIP/2.0", ParseError::StartLine),
        ("REGISTER", "REGISTER sip:a SIP/2.0\r\n folded", ParseError::StartLine),
    ] {
        assert_eq!(Message::parse(with(line, instead)).unwrap_err(), error, "{instead:?}");
    }
}

#[test]
fn limits_of_section_7() {
    let many = |value: &str, count: usize| vec![value; count].join(",");
    for (line, error) in [
        (format!("X: {}", "a".repeat(8200)), ParseError::LineTooLong),
        (format!("X: a\r\n {}", "a".repeat(8200)), ParseError::LineTooLong),
        (format!("Route: {}", many("<sip:a;lr>", 101)), ParseError::TooManyValues(Name::Route)),
        (format!("Via: {}", many("SIP/2.0/UDP a", 100)), ParseError::TooManyValues(Name::Via)),
        (vec!["X: a"; 1100].join("\r\n"), ParseError::TooManyLines),
        (
            vec!["X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; 1000].join("\r\n"),
            ParseError::HeadTooLarge,
        ),
    ] {
        assert_eq!(Message::parse(with("Max", &line)).unwrap_err(), error);
    }
    let mut bytes = samples::register().into_bytes();
    bytes[60] = 0xff;
    assert_eq!(Message::parse(bytes).unwrap_err(), ParseError::NotUtf8);
    assert_eq!(Message::parse("REGISTER sip:a SIP/2.0\r\n").unwrap_err(), ParseError::HeadUnterminated);
}

#[test]
fn udp_body_is_cut_to_content_length() {
    let text = with("Content-Length", "Content-Length: 2\r\nContent-Type: a/b") + "hithere";
    let message = Message::parse(text.as_str()).unwrap();
    assert_eq!(message.body(), b"hi");
    assert!(message.bytes().ends_with(b"\r\n\r\nhi"));
    let text = with("Content-Length", "Content-Type: a/b") + "hithere";
    assert_eq!(Message::parse(text).unwrap().body(), b"hithere");
}

#[test]
fn a_400_is_answered_where_it_can_be() {
    let text = with("Content-Length", "Content-Length: 9");
    let answer = sip::refusal(text, "t1").unwrap();
    assert_eq!((answer.status(), answer.to().unwrap().tag()), (Some(400), Some("t1")));
    Message::parse(answer.bytes()).unwrap();
    assert!(sip::refusal(without("Via"), "t1").is_none());
    assert!(sip::refusal("garbage\r\n\r\n", "t1").is_none());
    let ack = with("REGISTER", "ACK sip:a SIP/2.0").replace("2 REGISTER", "2 ACK");
    assert!(sip::refusal(ack.replace("Content-Length: 0", "Content-Length: 7"), "t1").is_none());
}

#[test]
fn debug_shows_the_start_line_and_the_call_id_only() {
    let message = Message::parse(samples::register()).unwrap();
    let shown = format!("{message:?}");
    assert!(shown.starts_with("REGISTER sip:ims.") && shown.contains("apb03a0s09dkjdfglkj49111"));
    assert!(!shown.contains("1125a3c2") && !shown.contains("Digest"));
}

#[test]
fn reply_copies_what_8_2_6_2_names() {
    let request = Message::parse(samples::register()).unwrap();
    let reply = Draft::reply(&request, 401, "Unauthorized", Some("x1")).finish();
    assert_eq!(
        (reply.status(), reply.reason(), reply.method()),
        (Some(401), Some("Unauthorized"), Method::Register)
    );
    assert_eq!(reply.first(Name::Via), request.first(Name::Via));
    assert_eq!(reply.to().unwrap().tag(), Some("x1"));
    let names: Vec<_> = reply.fields().map(|(name, ..)| name).collect();
    assert_eq!(names, [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq, Name::ContentLength]);
    let again = Draft::reply(&request, 200, "OK", None).finish();
    assert_eq!(again.to().unwrap().tag(), None);
}

#[test]
fn forwarding_edits() {
    let text = with("Max", "Route: <sip:p1;lr>, <sip:p2;lr>\r\nRoute: <sip:p3;lr>\r\nx-private: 1");
    let request = Message::parse(text).unwrap();
    let mut draft = Draft::forward(&request);
    draft.set_request_uri("sip:next.example").remove_first_value(Name::Route);
    draft.push_front(Name::Via, "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKnew");
    draft.set(Name::MaxForwards, "70").remove(Name::Authorization).remove_named("X-PRIVATE");
    draft.replace_values(Name::Supported, ["path", "gruu"]).push_other("x-new", "2");
    let sent = Message::parse(draft.finish().bytes()).unwrap();
    assert_eq!(sent.request_uri(), Some("sip:next.example"));
    assert_eq!(sent.values(Name::Route).collect::<Vec<_>>(), ["<sip:p2;lr>", "<sip:p3;lr>"]);
    assert_eq!(sent.top_via().unwrap().branch(), Some("z9hG4bKnew"));
    assert_eq!(sent.values(Name::Via).count(), 2);
    assert_eq!(
        (sent.max_forwards(), sent.authorization().is_some(), sent.named("x-private")),
        (Some(70), false, None)
    );
    assert_eq!(sent.lines(Name::Supported).collect::<Vec<_>>(), ["path", "gruu"]);
    assert_eq!(sent.named("X-New"), Some("2"));
    draft.remove_first_value(Name::Route).remove_first_value(Name::Route).remove_first_value(Name::Route);
    assert_eq!(draft.finish().first(Name::Route), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn header_injection_is_impossible(name in "[\\PC\\r\\n:]{0,12}", value in "[\\PC\\r\\n\\x00 ]{0,40}", uri in "[\\PC\\r\\n ]{1,20}", reason in "[\\PC\\r\\n]{0,20}") {
        let request = Message::parse(samples::register()).unwrap();
        let mut draft = Draft::forward(&request);
        draft.set_request_uri(format!("sip:{uri}"));
        draft.push(Name::UserAgent, value.as_str()).push_other(format!("X{name}"), value.as_str());
        draft.push(Name::Subject, format!("a\r\nVia: x\r\n\r\n{value}"));
        let written = draft.finish();
        let read = Message::parse(written.bytes()).unwrap();
        prop_assert_eq!(read.fields().count(), request.fields().count() + 3);
        prop_assert!(read.fields().zip(written.fields()).all(|(one, two)| one == two));
        prop_assert_eq!(read.request_uri(), written.request_uri());
        let reply = Draft::reply(&request, 500, reason, Some("t\r\nX: 1")).finish();
        let read = Message::parse(reply.bytes()).unwrap();
        prop_assert_eq!(read.fields().count(), 6);
    }

    #[test]
    fn print_parse(values in proptest::collection::vec("[!-~]([ -~]{0,20}[!-~])?", 0..8), body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let request = Message::parse(samples::register()).unwrap();
        let mut draft = Draft::forward(&request);
        for value in &values {
            draft.push_other("X-Value", value.as_str());
        }
        draft.body("application/octet-stream", body.as_slice());
        let printed = draft.finish();
        let read = Message::parse(printed.bytes()).unwrap();
        let found: Vec<_> = read.fields().filter(|(_, name, _)| *name == "X-Value").map(|(.., value)| value).collect();
        prop_assert_eq!(found, values);
        prop_assert_eq!(read.body(), body.as_slice());
        prop_assert_eq!(Draft::forward(&read).finish().bytes(), read.bytes());
    }

    #[test]
    fn sip_16_never_panics_on_noise(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = sip::refusal(bytes.clone(), "t");
        let _ = Message::parse(bytes);
    }

    #[test]
    fn sip_16_never_panics_on_mutations(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6)) {
        let mut bytes = samples::register().into_bytes();
        for (at, octet, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = octet,
                1 => bytes.insert(at, octet),
                _ => { bytes.remove(at); }
            }
        }
        let _ = sip::refusal(bytes.clone(), "t");
        if let Ok(message) = Message::parse(bytes) {
            let _ = (message.authorization(), message.www_authenticate(), message.contacts(), message.expires());
            let _ = (sip::routing::next_hop(&message), sip::routing::max_forwards(&message));
            let _ = message.address(Name::Route);
            let forwarded = Draft::forward(&message).finish();
            prop_assert!(Message::parse(forwarded.bytes()).is_ok());
        }
    }
}
