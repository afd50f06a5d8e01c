//! Over loopback, on real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use sip::{ConnectionId, Flow, Method, Transmit, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::*;

const LOOPBACK: &str = "127.0.0.1:0";

fn message(n: u32) -> String {
    format!(
        "REGISTER sip:example SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK{n}\r\nFrom: <sip:a@b>;tag=f\r\n\
         To: <sip:a@b>\r\nCall-ID: c{n}\r\nCSeq: {n} REGISTER\r\nContent-Length: 0\r\n\r\n"
    )
}

fn any() -> SocketAddr {
    LOOPBACK.parse().unwrap()
}

async fn next(endpoints: &mut Endpoints) -> Arrival {
    timeout(Duration::from_secs(5), endpoints.next()).await.expect("something arrives")
}

async fn next_message(endpoints: &mut Endpoints) -> (Flow, Message) {
    match next(endpoints).await {
        Arrival::Message { flow, message } => (flow, message),
        other => panic!("a message, not {other:?}"),
    }
}

#[tokio::test]
async fn a_datagram_arrives_with_its_flow_and_an_answer_leaves_from_the_same_address() {
    let mut endpoints = Endpoints::new(Limits::default());
    let local = endpoints.bind_udp(any()).unwrap();
    let peer = UdpSocket::bind(any()).await.unwrap();
    peer.send_to(b"\r\n\r\n", local).await.unwrap();
    peer.send_to(message(1).as_bytes(), local).await.unwrap();
    let (flow, message) = next_message(&mut endpoints).await;
    assert_eq!(flow, Flow::udp(local, peer.local_addr().unwrap()));
    assert_eq!(message.method(), Method::Register);
    // Right after the bind: the first datagram of a new socket is not lost.
    let mut buffer = [0; 100];
    for n in 0..40u8 {
        endpoints.send(Transmit { flow, bytes: vec![n; 10].into() }).unwrap();
    }
    assert!(endpoints.flush().is_empty());
    for n in 0..40u8 {
        let received = timeout(Duration::from_secs(5), peer.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((received, buffer[0]), ((10, local), n), "in order");
    }
}

#[tokio::test]
async fn many_datagrams_at_once_all_arrive() {
    let mut endpoints = Endpoints::new(Limits::default());
    let local = endpoints.bind_udp(any()).unwrap();
    let peer = UdpSocket::bind(any()).await.unwrap();
    for n in 0..100 {
        peer.send_to(message(n).as_bytes(), local).await.unwrap();
    }
    for n in 0..100 {
        assert_eq!(next_message(&mut endpoints).await.1.call_id(), format!("c{n}"));
    }
    peer.send_to(b"garbage", local).await.unwrap();
    assert!(matches!(next(&mut endpoints).await, Arrival::Malformed { octets, .. } if octets == b"garbage"));
}

#[tokio::test]
async fn a_datagram_needs_a_socket_of_its_own_address() {
    let mut endpoints = Endpoints::new(Limits::default());
    let local = endpoints.bind_udp(any()).unwrap();
    assert!(endpoints.is_bound(local));
    endpoints.unbind(local);
    let flow = Flow::udp(local, local);
    let error = endpoints.send(Transmit { flow, bytes: "x".into() }).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
}

#[tokio::test]
async fn a_stream_is_framed_pinged_and_answered_on_its_connection() {
    let mut endpoints = Endpoints::new(Limits::default());
    let local = endpoints.bind_tcp(any()).unwrap();
    let mut peer = TcpStream::connect(local).await.unwrap();
    let both = message(1) + &message(2);
    let (head, tail) = both.split_at(30);
    peer.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    peer.write_all(tail.as_bytes()).await.unwrap();
    let (flow, first) = next_message(&mut endpoints).await;
    assert_eq!((flow.local, flow.remote), (local, peer.local_addr().unwrap()));
    assert_eq!(first.call_id(), "c1");
    assert_eq!(next_message(&mut endpoints).await.1.call_id(), "c2");
    let mut answer = [0; 6];
    endpoints.send(Transmit { flow, bytes: "answer".into() }).unwrap();
    timeout(Duration::from_secs(5), peer.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"answer");
    peer.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    timeout(Duration::from_secs(5), peer.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(&pong, b"\r\n");
    // What is no SIP ends the connection, and the core hears of it.
    peer.write_all(&[0; 200_000]).await.unwrap();
    let failed = next(&mut endpoints).await;
    assert!(matches!(failed, Arrival::Failed { .. }), "{failed:?}");
    let gone = endpoints.send(Transmit { flow, bytes: "late".into() }).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotConnected);
}

#[tokio::test]
async fn a_connection_is_opened_from_the_port_asked_for_used_again_and_closed() {
    let mut endpoints = Endpoints::new(Limits::default());
    let listener = TcpListener::bind(any()).await.unwrap();
    // A free port that stays free long enough for a test.
    let local = std::net::TcpListener::bind(any()).unwrap().local_addr().unwrap();
    let flow = Flow::tcp(local, listener.local_addr().unwrap());
    endpoints.send(Transmit { flow, bytes: "one".into() }).unwrap();
    let (mut peer, from) = timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
    assert_eq!(from, local);
    endpoints.send(Transmit { flow, bytes: "two".into() }).unwrap();
    let mut both = [0; 6];
    timeout(Duration::from_secs(5), peer.read_exact(&mut both)).await.unwrap().unwrap();
    assert_eq!(&both, b"onetwo");
    endpoints.close_connections_from(local);
    assert_eq!(timeout(Duration::from_secs(5), peer.read(&mut both)).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_fails_by_the_flow_that_was_asked_for() {
    let mut endpoints = Endpoints::new(Limits::default());
    let closed = std::net::TcpListener::bind(any()).unwrap().local_addr().unwrap();
    let flow = Flow::tcp(any(), closed);
    endpoints.send(Transmit { flow, bytes: "x".into() }).unwrap();
    let Arrival::Failed { flow: failed, .. } = next(&mut endpoints).await else { panic!("a failure") };
    assert_eq!(failed, flow);
}

#[tokio::test]
async fn strangers_cannot_hold_more_connections_than_the_limit() {
    let mut endpoints = Endpoints::new(Limits { connections: 2, ..Limits::default() });
    let local = endpoints.bind_tcp(any()).unwrap();
    let mut peers = Vec::new();
    for _ in 0..2 {
        peers.push(TcpStream::connect(local).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut third = TcpStream::connect(local).await.unwrap();
    let mut buffer = [0; 1];
    let read = timeout(Duration::from_secs(5), third.read(&mut buffer)).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "closed at once");
    peers[0].write_all(message(1).as_bytes()).await.unwrap();
    next_message(&mut endpoints).await;
}

#[tokio::test]
async fn tls_and_unknown_connections_are_errors_not_silence() {
    let mut endpoints = Endpoints::new(Limits::default());
    let flow = Flow { transport: Transport::Tls, ..Flow::tcp(any(), any()) };
    assert!(endpoints.send(Transmit { flow, bytes: "x".into() }).is_err());
    let flow = Flow { connection: Some(ConnectionId(99)), ..Flow::tcp(any(), any()) };
    assert!(endpoints.send(Transmit { flow, bytes: "x".into() }).is_err());
}
