//! SIP-4 and SIP-5: the checks and the Route rules of a proxy.

use sip::routing::{self, NextHop, Refusal};
use sip::{Draft, Host, Message, Name, ParseError, Transport, Uri};

fn request(uri: &str, lines: &str) -> Message {
    let text = format!(
        "SUBSCRIBE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.17;branch=z9hG4bK1\r\nFrom: <sip:a@b.example>;tag=f\r\n\
         To: <sip:a@b.example>\r\nCall-ID: c1\r\nCSeq: 1 SUBSCRIBE\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    Message::parse(text).unwrap()
}

fn own(uri: &Uri<'_>) -> bool {
    uri.host == Host::Name("pcscf.example")
}

#[test]
fn sip_4_400() {
    let broken = request("sip:b.example", "Route: <sip:>\r\n");
    assert_eq!(routing::next_hop(&broken), Err(Refusal::Malformed(ParseError::Uri)));
    assert_eq!(Refusal::Malformed(ParseError::Uri).status().0, 400);
}

#[test]
fn sip_4_416() {
    for (uri, ok) in
        [("sip:a@b", true), ("sips:b", true), ("tel:+1", true), ("http://b", false), ("urn:x:y", false)]
    {
        assert_eq!(routing::request_uri(&request(uri, "")).is_ok(), ok, "{uri}");
    }
    assert_eq!(Refusal::UnsupportedScheme.status().0, 416);
    assert_eq!(routing::next_hop(&request("tel:+1", "")), Err(Refusal::UnsupportedScheme));
}

#[test]
fn sip_4_483() {
    for (line, hops) in [
        ("", Ok(70)),
        ("Max-Forwards: 70\r\n", Ok(69)),
        ("Max-Forwards: 1\r\n", Ok(0)),
        ("Max-Forwards: 4000000000\r\n", Ok(255)),
        ("Max-Forwards: 0\r\n", Err(Refusal::TooManyHops)),
    ] {
        assert_eq!(routing::max_forwards(&request("sip:b", line)), hops, "{line}");
    }
    let answer = Refusal::TooManyHops.reply(&request("sip:b", ""), "t");
    assert_eq!(answer.status(), Some(483));
}

#[test]
fn sip_4_482() {
    let first = request("sip:b.example", "");
    let hash = routing::loop_hash(&first, 99);
    let mine = |host: Host<'_>, port| host == Host::Name("pcscf.example") && port == Some(5060);
    assert_eq!(routing::check_loop(&first, hash, mine), Ok(()));
    let via = format!("SIP/2.0/UDP pcscf.example:5060;branch={}", routing::branch(1, hash));
    let back = Draft::forward(&first).push_front(Name::Via, via).finish();
    assert_eq!(routing::loop_hash(&back, 99), hash);
    assert_eq!(routing::check_loop(&back, hash, mine), Err(Refusal::Loop));
    let spiral = Draft::forward(&back).set_request_uri("sip:c.example").finish();
    assert_eq!(routing::check_loop(&spiral, routing::loop_hash(&spiral, 99), mine), Ok(()));
    assert_eq!(routing::check_loop(&back, hash, |_, _| false), Ok(()), "a foreign Via is no loop");
}

#[test]
fn sip_4_420() {
    let message = request("sip:b", "Proxy-Require: sec-agree, magic\r\nProxy-Require: foo\r\n");
    let refusal = routing::proxy_require(&message, &["sec-agree"]).unwrap_err();
    let answer = refusal.reply(&message, "t");
    assert_eq!((answer.status(), answer.first(Name::Unsupported)), (Some(420), Some("magic, foo")));
    assert_eq!(routing::proxy_require(&message, &["sec-agree", "MAGIC", "foo"]), Ok(()));
}

#[test]
fn sip_5_two_consecutive_own_routes() {
    let message = request(
        "sip:user@home.example",
        "Route: <sip:pcscf.example:6101;lr>, <sip:orig@pcscf.example;lr>\r\nRoute: <sip:scscf.example;lr>, <sip:pcscf.example;lr>\r\n",
    );
    let mut draft = Draft::forward(&message);
    let taken = routing::consume_routes(&message, &mut draft, own).unwrap();
    assert_eq!(
        taken.iter().map(|uri| (uri.user, uri.port)).collect::<Vec<_>>(),
        [(None, Some(6101)), (Some("orig"), None)]
    );
    let sent = draft.finish();
    assert_eq!(
        sent.values(Name::Route).collect::<Vec<_>>(),
        ["<sip:scscf.example;lr>", "<sip:pcscf.example;lr>"]
    );
    let hop = routing::next_hop(&sent).unwrap();
    assert_eq!(hop, NextHop { host: Host::Name("scscf.example"), port: None, transport: None });
}

#[test]
fn sip_5_strict_router_before_us() {
    let message = request(
        "sip:pcscf.example;lr",
        "Route: <sip:scscf.example;lr>, <sip:ue@192.0.2.5:7002;transport=tcp>\r\n",
    );
    let mut draft = Draft::forward(&message);
    routing::consume_routes(&message, &mut draft, own).unwrap();
    let sent = draft.finish();
    assert_eq!(sent.request_uri(), Some("sip:ue@192.0.2.5:7002;transport=tcp"));
    assert_eq!(sent.values(Name::Route).collect::<Vec<_>>(), ["<sip:scscf.example;lr>"]);
}

#[test]
fn sip_5_strict_router_after_us() {
    let message = request("sip:user@home.example", "Route: <sip:old.example>, <sip:scscf.example;lr>\r\n");
    let sent = routing::strict_next_hop(&message).unwrap().unwrap();
    assert_eq!(sent.request_uri(), Some("sip:old.example"));
    assert_eq!(
        sent.values(Name::Route).collect::<Vec<_>>(),
        ["<sip:scscf.example;lr>", "<sip:user@home.example>"]
    );
    let loose = request("sip:user@home.example", "Route: <sip:scscf.example;lr>\r\n");
    assert!(routing::strict_next_hop(&loose).unwrap().is_none());
}

#[test]
fn next_hop_of_literals_and_transports() {
    for (uri, host, port, transport) in [
        ("sip:192.0.2.1", "192.0.2.1", None, None),
        ("sip:[2001:db8::1]:5080;transport=tcp", "[2001:db8::1]", Some(5080), Some(Transport::Tcp)),
        ("sips:a@b.example;transport=tcp", "b.example", None, Some(Transport::Tls)),
    ] {
        let message = request(uri, "");
        let hop = routing::next_hop(&message).unwrap();
        assert_eq!((hop.host.to_string().as_str(), hop.port, hop.transport), (host, port, transport));
    }
}

#[test]
fn branches_carry_the_cookie() {
    assert_eq!(routing::branch(1, 0xab), "z9hG4bK000000000000000100000000000000ab");
}
