//! `rsip` as an independent reader: where both accept a message they must see the same; and one test for each
//! reason why it is not the engine, which fails when `rsip` has caught up.

use rsip::prelude::*;
use sip::{Message, Name};

mod samples;

#[test]
fn both_see_the_same_register() {
    let text = samples::register();
    let ours = Message::parse(text.as_str()).unwrap();
    let theirs = rsip::Request::try_from(text.as_bytes()).unwrap();
    assert_eq!(ours.method().as_str(), theirs.method().to_string());
    assert_eq!(ours.request_uri().unwrap(), theirs.uri().to_string());
    assert_eq!(ours.call_id(), theirs.call_id_header().unwrap().value());
    assert_eq!(ours.first(Name::From).unwrap(), theirs.from_header().unwrap().value());
    assert_eq!(ours.first(Name::To).unwrap(), theirs.to_header().unwrap().value());
    assert_eq!(ours.first(Name::CSeq).unwrap(), theirs.cseq_header().unwrap().value());
    let via = ours.top_via().unwrap();
    let their_via = theirs.via_header().unwrap().typed().unwrap();
    assert_eq!(via.branch(), their_via.branch().map(|branch| branch.value()));
    assert_eq!(via.sent_by(), their_via.uri.host_with_port.to_string());
    assert_eq!(ours.fields().count(), theirs.headers().iter().count());
}

#[test]
fn what_we_print_they_read() {
    let ours = Message::parse(samples::register()).unwrap();
    let mut draft = sip::Draft::reply(&ours, 200, "OK", Some("abc"));
    draft
        .push(Name::ServiceRoute, "<sip:orig@scscf.example;lr>")
        .push_other("X-Test", "1")
        .body("text/plain", &b"hi"[..]);
    let printed = draft.finish().bytes();
    let theirs = rsip::Response::try_from(printed.as_ref()).unwrap();
    assert_eq!(theirs.status_code().code(), 200);
    assert_eq!(theirs.body(), b"hi");
    assert_eq!(
        theirs.to_header().unwrap().typed().unwrap().tag().map(|tag| tag.value().to_owned()),
        Some("abc".into())
    );
}

/// Our reader takes `text`.
fn ours(text: &str) -> Message {
    Message::parse(text).unwrap_or_else(|error| panic!("failed to {error}"))
}

fn with(line: &str, instead: &str) -> String {
    let text = samples::register();
    let old = text.lines().find(|found| found.starts_with(line)).unwrap_or_default().to_owned();
    assert!(!old.is_empty());
    text.replace(&old, instead)
}

const CAUGHT_UP: &str = "rsip has caught up here: look again at the choice in dependencies.md";

#[test]
fn rsip_rejects_ipv6_in_via() {
    let text = with("Via", "Via: SIP/2.0/UDP [2001:db8::9:1]:7002;branch=z9hG4bK1;rport");
    assert_eq!(ours(&text).top_via().unwrap().port, Some(7002));
    let typed = rsip::Request::try_from(text.as_bytes()).ok().and_then(|r| r.via_header().ok()?.typed().ok());
    let right = typed.is_some_and(|via| via.uri.to_string().contains("[2001:db8::9:1]:7002"));
    assert!(!right, "{CAUGHT_UP}");
}

#[test]
fn rsip_rejects_ipv6_in_uris() {
    let text = with("REGISTER", "REGISTER sip:[2001:db8::1]:5060 SIP/2.0");
    assert_eq!(ours(&text).request_uri(), Some("sip:[2001:db8::1]:5060"));
    let theirs = rsip::Request::try_from(text.as_bytes());
    assert!(theirs.is_err() || theirs.unwrap().uri().to_string() != "sip:[2001:db8::1]:5060", "{CAUGHT_UP}");
}

#[test]
fn rsip_rejects_folded_headers() {
    let text = with("Supported", "Supported: path,\r\n gruu");
    let supported: Vec<_> = ours(&text).values(Name::Supported).map(str::to_owned).collect();
    assert_eq!(supported, ["path", "gruu"]);
    assert!(rsip::Request::try_from(text.as_bytes()).is_err(), "{CAUGHT_UP}");
}

#[test]
fn rsip_loses_the_plus_of_tel_uris_or_the_uri() {
    let uri = sip::Uri::parse("tel:+4930123").unwrap();
    assert_eq!(uri.identity(), "tel:+4930123");
    let theirs = rsip::Uri::try_from("tel:+4930123").map(|uri| uri.to_string());
    assert!(theirs.map_or(true, |printed| printed != "tel:+4930123"), "{CAUGHT_UP}");
}

#[test]
fn rsip_loses_uri_headers() {
    let text = "sip:a@b.example;lr?subject=x";
    let uri = sip::Uri::parse(text).unwrap();
    assert_eq!((uri.headers, uri.lr()), (Some("subject=x"), true));
    let theirs = rsip::Uri::try_from(text).map(|uri| uri.to_string());
    assert!(theirs.map_or(true, |printed| printed != text), "{CAUGHT_UP}");
}

#[test]
fn rsip_typed_authorization_refuses_aka() {
    let text = samples::register();
    let message = ours(&text);
    let credentials = message.authorization().unwrap().unwrap();
    assert_eq!(credentials.algorithm.as_deref(), Some("AKAv1-MD5"));
    let theirs = rsip::Request::try_from(text.as_bytes()).unwrap();
    let typed = theirs.authorization_header().unwrap().typed();
    let right =
        typed.is_ok_and(|typed| typed.algorithm.is_some_and(|found| found.to_string() == "AKAv1-MD5"));
    assert!(!right, "{CAUGHT_UP}");
}

#[test]
fn rsip_errors_hold_the_message() {
    let text = with("CSeq", "CSeq 2 REGISTER secret-of-the-message");
    let error = Message::parse(text.as_str()).unwrap_err();
    assert!(!error.to_string().contains("secret-of"));
    let theirs = rsip::Request::try_from(text.as_bytes());
    assert!(theirs.is_err_and(|error| error.to_string().contains("secret-of")), "{CAUGHT_UP}");
}
