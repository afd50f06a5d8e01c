//! The transaction layer on a virtual clock.

use sip::{
    Draft, Event, Flow, Instant, Message, Method, Name, Received, ServerId, Timers, TransactionError,
    Transactions, routing,
};
use std::net::SocketAddr;
use std::time::Duration;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn at(seconds: f64) -> Instant {
    Instant::from_epoch(Duration::from_secs_f64(seconds))
}

fn udp() -> Flow {
    Flow::udp(address("192.0.2.1:5060"), address("192.0.2.17:40000"))
}

fn tcp() -> Flow {
    Flow {
        connection: Some(sip::ConnectionId(7)),
        ..Flow::tcp(address("192.0.2.1:5060"), address("192.0.2.17:40000"))
    }
}

fn request(method: Method<'_>, via: &str) -> Message {
    let draft = format!(
        "{method} sip:home.example SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@home.example>;tag=f\r\nTo: <sip:a@home.example>\r\n\
         Call-ID: c1\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    Message::parse(draft).unwrap()
}

fn reply(request: &Message, status: u16) -> Message {
    Draft::reply(request, status, "Any", Some("t")).finish()
}

const VIA: &str = "SIP/2.0/UDP 192.0.2.17:7002;branch=z9hG4bK77";

fn new(layer: &mut Transactions, now: Instant, flow: Flow, message: &Message) -> (ServerId, Message) {
    match layer.receive(now, flow, Timers::CORE, message.clone()) {
        Received::Request { id, request } => (id, request),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sip_2_a_repeated_request_gets_the_same_bytes_and_reaches_nobody() {
    let mut layer = Transactions::new(10);
    let register = request(Method::Register, VIA);
    let (id, stamped) = new(&mut layer, at(0.0), udp(), &register);
    assert!(matches!(layer.receive(at(0.5), udp(), Timers::CORE, register.clone()), Received::Absorbed));
    assert!(layer.poll_transmit().is_none(), "no answer yet");
    layer.respond(at(1.0), id, reply(&stamped, 401));
    let first = layer.poll_transmit().unwrap();
    for repeat in 0..3 {
        let received = layer.receive(at(2.0 + f64::from(repeat)), udp(), Timers::CORE, register.clone());
        assert!(matches!(received, Received::Absorbed));
        assert_eq!(layer.poll_transmit().unwrap(), first);
    }
    layer.respond(at(5.0), id, reply(&stamped, 200));
    assert!(layer.poll_transmit().is_none(), "one final response only");
    layer.handle_timeout(at(33.0));
    assert!(layer.is_empty());
    new(&mut layer, at(34.0), udp(), &register);
}

#[test]
fn sip_3_where_answers_go() {
    for (via, flow, goes_to) in [
        ("SIP/2.0/UDP 192.0.2.17:7002;branch=z9hG4bK1", udp(), "192.0.2.17:7002"),
        ("SIP/2.0/UDP 192.0.2.17;branch=z9hG4bK2", udp(), "192.0.2.17:5060"),
        ("SIP/2.0/UDP 10.0.0.1:7002;branch=z9hG4bK3", udp(), "192.0.2.17:7002"),
        ("SIP/2.0/UDP 10.0.0.1:7002;branch=z9hG4bK4;rport", udp(), "192.0.2.17:40000"),
        ("SIP/2.0/UDP 10.0.0.1:7002;branch=z9hG4bK5;maddr=203.0.113.1", udp(), "192.0.2.17:7002"),
        ("SIP/2.0/TCP 10.0.0.1:7002;branch=z9hG4bK6", tcp(), "192.0.2.17:40000"),
    ] {
        let mut layer = Transactions::new(10);
        let (id, stamped) = new(&mut layer, at(0.0), flow, &request(Method::Register, via));
        layer.respond(at(0.0), id, reply(&stamped, 200));
        let transmit = layer.poll_transmit().unwrap();
        assert_eq!(transmit.flow, Flow { remote: address(goes_to), ..flow }, "{via}");
    }
}

#[test]
fn sip_3_gm_exception_answers_leave_from_another_socket() {
    let mut layer = Transactions::new(10);
    let register = request(Method::Register, "SIP/2.0/UDP 192.0.2.17:7002;branch=z9hG4bK1;rport");
    let (id, stamped) = new(&mut layer, at(0.0), udp(), &register);
    let protected = Flow::udp(address("192.0.2.1:6101"), address("192.0.2.17:7002"));
    layer.respond_on(at(0.0), id, protected, reply(&stamped, 200));
    assert_eq!(layer.poll_transmit().unwrap().flow, protected);
    layer.receive(at(1.0), udp(), Timers::GM, register);
    assert_eq!(layer.poll_transmit().unwrap().flow, protected, "the repetition too");
    assert_eq!(layer.request_flow(id), Some(udp()));
}

#[test]
fn sip_12_trying_leaves_at_3_5_s_on_udp_and_never_on_tcp() {
    for (flow, expected) in [(udp(), Some(100)), (tcp(), None)] {
        let mut layer = Transactions::new(10);
        let (id, stamped) = new(&mut layer, at(0.0), flow, &request(Method::Register, VIA));
        layer.respond(at(0.1), id, reply(&stamped, 183));
        layer.handle_timeout(at(3.4));
        assert!(layer.poll_transmit().is_none());
        layer.handle_timeout(at(3.5));
        let trying = layer.poll_transmit().map(|transmit| Message::parse(transmit.bytes).unwrap());
        assert_eq!(trying.as_ref().and_then(Message::status), expected);
        assert!(trying.is_none_or(|trying| trying.to().unwrap().tag().is_none()));
        layer.respond(at(31.0), id, reply(&stamped, 408));
        assert!(layer.poll_transmit().is_none(), "never 408");
        layer.handle_timeout(at(31.0));
        assert!(layer.is_empty());
    }
}

#[test]
fn an_unanswered_request_is_forgotten_and_told() {
    let mut layer = Transactions::new(10);
    let (id, _) = new(&mut layer, at(0.0), udp(), &request(Method::Register, VIA));
    layer.handle_timeout(at(32.0));
    assert_eq!(layer.poll_event(), Some(Event::ServerGone(id)));
    assert!(layer.is_empty() && layer.next_timeout().is_none());
}

#[test]
fn client_retransmits_delivers_once_and_absorbs() {
    let mut layer = Transactions::new(10);
    let register = request(Method::Register, VIA);
    let id = layer.request(at(0.0), udp(), Timers::CORE, register.clone()).unwrap();
    let first = layer.poll_transmit().unwrap();
    assert_eq!(
        layer.request(at(0.0), udp(), Timers::CORE, register.clone()),
        Err(TransactionError::BranchInUse)
    );
    assert_eq!(layer.next_timeout(), Some(at(0.5)));
    layer.handle_timeout(at(0.5));
    assert_eq!(layer.poll_transmit().unwrap(), first);
    let Received::Response { id: answered, response } =
        layer.receive(at(0.6), udp(), Timers::CORE, reply(&register, 200))
    else {
        panic!("a response")
    };
    assert_eq!((answered, response.status()), (id, Some(200)));
    assert!(matches!(layer.receive(at(0.7), udp(), Timers::CORE, reply(&register, 200)), Received::Absorbed));
    layer.handle_timeout(at(6.0));
    assert!(layer.is_empty() && layer.poll_transmit().is_none() && layer.poll_event().is_none());
    assert!(matches!(layer.receive(at(7.0), udp(), Timers::CORE, reply(&register, 200)), Received::Stray(_)));
}

#[test]
fn client_times_out_and_fails() {
    let mut layer = Transactions::new(10);
    let one = layer.request(at(0.0), udp(), Timers::CORE, request(Method::Register, VIA)).unwrap();
    layer.handle_timeout(at(32.0));
    assert_eq!(layer.poll_event(), Some(Event::ClientTimeout(one)));
    let two = layer.request(at(40.0), tcp(), Timers::CORE, request(Method::Register, VIA)).unwrap();
    layer.transport_failed(at(40.0), &udp());
    assert_eq!(layer.poll_event(), None);
    layer.transport_failed(at(40.0), &tcp());
    assert_eq!(layer.poll_event(), Some(Event::ClientTransportError(two)));
    assert!(layer.is_empty() && layer.next_timeout().is_none());
}

#[test]
fn sip_20_a_foreign_top_via_matches_nothing() {
    let mut layer = Transactions::new(10);
    let register = request(Method::Register, VIA);
    layer.request(at(0.0), udp(), Timers::CORE, register.clone()).unwrap();
    for via in [
        "SIP/2.0/UDP 192.0.2.99:7002;branch=z9hG4bK77",
        "SIP/2.0/UDP 192.0.2.17:7003;branch=z9hG4bK77",
        "SIP/2.0/UDP 192.0.2.17:7002;branch=z9hG4bK78",
        "SIP/2.0/UDP 192.0.2.17:7002",
    ] {
        let mut draft = Draft::reply(&register, 200, "OK", Some("t"));
        let response = draft.set(Name::Via, via).finish();
        assert!(matches!(layer.receive(at(0.0), udp(), Timers::CORE, response), Received::Stray(_)), "{via}");
    }
    let other_method = Draft::reply(&register, 200, "OK", Some("t")).set(Name::CSeq, "1 INVITE").finish();
    assert!(matches!(layer.receive(at(0.0), udp(), Timers::CORE, other_method), Received::Stray(_)));
}

#[test]
fn another_host_cannot_reach_a_transaction() {
    let mut layer = Transactions::new(10);
    let register = request(Method::Register, VIA);
    let (id, stamped) = new(&mut layer, at(0.0), udp(), &register);
    layer.respond(at(0.0), id, reply(&stamped, 401));
    layer.poll_transmit();
    let attacker = Flow::udp(address("192.0.2.1:5060"), address("203.0.113.66:5060"));
    assert!(matches!(layer.receive(at(0.1), attacker, Timers::CORE, register), Received::Request { .. }));
    assert!(layer.poll_transmit().is_none());
}

#[test]
fn sip_19_invite_cancel_ack() {
    let mut layer = Transactions::new(10);
    let invite = request(Method::Invite, VIA);
    let (id, stamped) = new(&mut layer, at(0.0), udp(), &invite);
    layer.handle_timeout(at(0.2));
    let trying = Message::parse(layer.poll_transmit().unwrap().bytes).unwrap();
    assert_eq!(trying.status(), Some(100));
    let cancel = request(Method::Cancel, VIA);
    let Received::Cancel { invite: found, id: cancel_id, .. } =
        layer.receive(at(1.0), udp(), Timers::CORE, cancel)
    else {
        panic!("a cancel")
    };
    assert_eq!(found, Some(id));
    layer.respond(at(1.0), cancel_id, reply(&stamped, 200));
    layer.respond(at(1.0), id, reply(&stamped, 487));
    assert_eq!((layer.poll_transmit().is_some(), layer.poll_transmit().is_some()), (true, true));
    layer.handle_timeout(at(1.5));
    assert!(layer.poll_transmit().is_some(), "Timer G");
    let ack = request(Method::Ack, VIA);
    assert!(matches!(layer.receive(at(1.6), udp(), Timers::CORE, ack.clone()), Received::Absorbed));
    layer.handle_timeout(at(6.6));
    assert!(matches!(layer.receive(at(7.0), udp(), Timers::CORE, ack), Received::Ack { .. }));
    let lone = request(Method::Cancel, "SIP/2.0/UDP 192.0.2.17:7002;branch=z9hG4bK99");
    assert!(matches!(
        layer.receive(at(7.0), udp(), Timers::CORE, lone),
        Received::Cancel { invite: None, .. }
    ));
}

#[test]
fn sip_19_client_acks_a_non_2xx_final() {
    let mut layer = Transactions::new(10);
    let invite = request(Method::Invite, VIA);
    layer.request(at(0.0), udp(), Timers::CORE, invite.clone()).unwrap();
    layer.poll_transmit();
    for first in [true, false] {
        let received = layer.receive(at(1.0), udp(), Timers::CORE, reply(&invite, 486));
        assert_eq!(matches!(received, Received::Response { .. }), first);
        let ack = Message::parse(layer.poll_transmit().unwrap().bytes).unwrap();
        assert_eq!((ack.method(), ack.first(Name::Via)), (Method::Ack, invite.first(Name::Via)));
        assert_eq!((ack.to().unwrap().tag(), ack.first(Name::CSeq)), (Some("t"), Some("1 ACK")));
    }
}

#[test]
fn the_number_of_transactions_is_bounded() {
    let mut layer = Transactions::new(2);
    let via = |n: u64| format!("SIP/2.0/UDP 192.0.2.17:7002;branch={}", routing::branch(n, 0));
    new(&mut layer, at(0.0), udp(), &request(Method::Register, &via(1)));
    layer.request(at(0.0), udp(), Timers::CORE, request(Method::Register, &via(2))).unwrap();
    let third = request(Method::Register, &via(3));
    assert!(matches!(layer.receive(at(0.0), udp(), Timers::CORE, third.clone()), Received::Overloaded(_)));
    assert_eq!(layer.request(at(0.0), udp(), Timers::CORE, third), Err(TransactionError::TooMany));
    let again = request(Method::Register, &via(1));
    assert!(matches!(layer.receive(at(0.0), udp(), Timers::CORE, again), Received::Absorbed));
}

#[test]
fn rfc_2543_requests_match_without_a_cookie() {
    let mut layer = Transactions::new(10);
    let old = request(Method::Register, "SIP/2.0/UDP 192.0.2.17:7002;branch=1");
    new(&mut layer, at(0.0), udp(), &old);
    assert!(matches!(layer.receive(at(0.1), udp(), Timers::CORE, old.clone()), Received::Absorbed));
    let next = Draft::forward(&old).set(Name::CSeq, "2 REGISTER").finish();
    new(&mut layer, at(0.2), udp(), &next);
}
