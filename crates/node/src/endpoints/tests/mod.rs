//! UDP and TCP over the loopback interface.

mod tls;

use std::net::UdpSocket;

use bytes::Bytes;
use sip::ConnectionId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(10);

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn request(call_id: &str) -> Bytes {
    let text = format!(
        "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK{call_id}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@b.example>;tag=1\r\nTo: <sip:a@b.example>\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    text.into()
}

fn endpoints() -> Endpoints {
    Endpoints::new(Limits::default())
}

async fn next(endpoints: &mut Endpoints) -> Arrival {
    timeout(LONG, endpoints.next()).await.expect("something arrives")
}

async fn message(endpoints: &mut Endpoints) -> (Flow, Message) {
    match next(endpoints).await {
        Arrival::Message { flow, message, peer: None } => (flow, message),
        other => panic!("no message: {other:?}"),
    }
}

async fn nothing(endpoints: &mut Endpoints) {
    let arrival = timeout(SHORT, endpoints.next()).await;
    assert!(arrival.is_err(), "{arrival:?}");
}

async fn peer(server: SocketAddr) -> TcpStream {
    TcpStream::connect(server).await.unwrap()
}

async fn listener() -> TcpListener {
    TcpListener::bind(any()).await.unwrap()
}

async fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut octets = vec![0; length];
    timeout(LONG, stream.read_exact(&mut octets)).await.expect("octets arrive").unwrap();
    octets
}

async fn closed(stream: &mut TcpStream) {
    let mut buffer = [0; 16];
    let end = timeout(LONG, stream.read(&mut buffer)).await.expect("the connection ends");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn a_datagram_arrives_and_its_answer_goes_back() {
    let mut endpoints = endpoints();
    let local = endpoints.bind_udp(any()).unwrap();
    assert!(endpoints.is_bound(local));
    let socket = UdpSocket::bind(any()).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let remote = socket.local_addr().unwrap();
    socket.send_to(&request("udp"), local).unwrap();
    let (flow, received) = message(&mut endpoints).await;
    assert_eq!((flow, received.call_id()), (Flow::udp(local, remote), "udp"));
    endpoints.send(Transmit { flow, bytes: request("one") }).unwrap();
    endpoints.send(Transmit { flow, bytes: request("two") }).unwrap();
    assert!(endpoints.flush().is_empty());
    let mut buffer = [0; 2000];
    for expected in ["one", "two"] {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&*request(expected), local));
    }
}

#[tokio::test]
async fn a_datagram_that_is_no_sip_is_malformed_and_a_keep_alive_is_nothing() {
    let mut endpoints = endpoints();
    let local = endpoints.bind_udp(any()).unwrap();
    let socket = UdpSocket::bind(any()).unwrap();
    for datagram in [&b"\r\n\r\n"[..], b"", b"\0\0", b"garbage"] {
        socket.send_to(datagram, local).unwrap();
    }
    match next(&mut endpoints).await {
        Arrival::Malformed { flow, octets, .. } => {
            assert_eq!((flow.local, octets.as_slice()), (local, &b"garbage"[..]));
        }
        other => panic!("{other:?}"),
    }
    nothing(&mut endpoints).await;
}

#[tokio::test]
async fn no_other_socket_stands_in_for_one_that_is_not_bound() {
    let mut endpoints = endpoints();
    let local = endpoints.bind_udp(any()).unwrap();
    let peer = UdpSocket::bind(any()).unwrap().local_addr().unwrap();
    endpoints.unbind(local);
    assert!(!endpoints.is_bound(local));
    let error = endpoints.send(Transmit { flow: Flow::udp(local, peer), bytes: request("x") }).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
}

#[tokio::test]
async fn more_datagrams_than_one_system_call_takes_keep_their_order_both_ways() {
    let mut endpoints = endpoints();
    let local = endpoints.bind_udp(any()).unwrap();
    let socket = UdpSocket::bind(any()).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    for n in 0..100 {
        socket.send_to(&request(&format!("c{n}")), local).unwrap();
    }
    for n in 0..100 {
        assert_eq!(message(&mut endpoints).await.1.call_id(), format!("c{n}"));
    }
    let flow = Flow::udp(local, socket.local_addr().unwrap());
    for n in 0..40u8 {
        endpoints.send(Transmit { flow, bytes: vec![n; 10].into() }).unwrap();
    }
    assert!(endpoints.flush().is_empty());
    let mut buffer = [0; 100];
    for n in 0..40u8 {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&[n; 10][..], local));
    }
}

#[tokio::test]
async fn what_waits_to_leave_or_is_no_sip_never_prints() {
    let mut endpoints = endpoints();
    let local = endpoints.bind_udp(any()).unwrap();
    let secret = "ck=00112233";
    endpoints.send(Transmit { flow: Flow::udp(local, local), bytes: secret.into() }).unwrap();
    let waiting = format!("{endpoints:?}");
    assert!(waiting.contains("11 octets") && !waiting.contains("00112233"), "{waiting}");
    endpoints.flush();
    let arrived = format!("{:?}", next(&mut endpoints).await);
    assert!(arrived.contains("11 octets") && !arrived.contains("48, 48"), "{arrived}");
}

#[tokio::test]
async fn a_stream_is_cut_into_messages_however_it_is_segmented() {
    let mut endpoints = endpoints();
    let local = endpoints.bind_tcp(any()).unwrap();
    let mut stream = peer(local).await;
    // Three in one segment.
    stream.write_all(&[request("a"), request("b"), request("c")].concat()).await.unwrap();
    for expected in ["a", "b", "c"] {
        let (flow, received) = message(&mut endpoints).await;
        assert_eq!((flow.local, flow.remote), (local, stream.local_addr().unwrap()));
        assert!(flow.connection.is_some());
        assert_eq!(received.call_id(), expected);
    }
    // One in three segments.
    stream.set_nodelay(true).unwrap();
    let octets = request("split");
    for part in [&octets[..10], &octets[10..100]] {
        stream.write_all(part).await.unwrap();
        nothing(&mut endpoints).await;
    }
    stream.write_all(&octets[100..]).await.unwrap();
    assert_eq!(message(&mut endpoints).await.1.call_id(), "split");
}

#[tokio::test]
async fn a_ping_gets_a_pong_and_is_no_message() {
    let mut endpoints = endpoints();
    let local = endpoints.bind_tcp(any()).unwrap();
    let mut stream = peer(local).await;
    stream.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut stream, 2).await, b"\r\n");
    nothing(&mut endpoints).await;
}

#[tokio::test]
async fn a_stream_that_is_no_sip_is_closed() {
    let mut endpoints = endpoints();
    let local = endpoints.bind_tcp(any()).unwrap();
    let mut stream = peer(local).await;
    let remote = stream.local_addr().unwrap();
    // No length can be found in it, so nothing that follows can be a message either.
    stream.write_all(&vec![b'x'; 200_000]).await.ok();
    match next(&mut endpoints).await {
        Arrival::Failed { flow, error } => {
            assert_eq!(flow, Flow::tcp(local, remote));
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        other => panic!("{other:?}"),
    }
    closed(&mut stream).await;
    let late = Flow { connection: Some(ConnectionId(1)), ..Flow::tcp(local, remote) };
    let error = endpoints.send(Transmit { flow: late, bytes: request("late") }).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
}

#[tokio::test]
async fn an_answer_takes_the_connection_of_its_request() {
    let mut endpoints = endpoints();
    let local = endpoints.bind_tcp(any()).unwrap();
    let mut streams = [peer(local).await, peer(local).await];
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&request(&format!("from-{n}"))).await.unwrap();
    }
    for _ in 0..2 {
        let (flow, received) = message(&mut endpoints).await;
        let bytes = request(&received.call_id().replace("from", "back"));
        endpoints.send(Transmit { flow, bytes }).unwrap();
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        let expected = request(&format!("back-{n}"));
        assert_eq!(read(stream, expected.len()).await, expected);
    }
}

/// A port that nothing uses now.
fn free_port() -> SocketAddr {
    std::net::TcpListener::bind(any()).unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_connection_leaves_from_the_local_port_asked_for_and_is_used_again() {
    let listener = listener().await;
    let (local, remote) = (free_port(), listener.local_addr().unwrap());
    let mut endpoints = endpoints();
    let flow = Flow::tcp(local, remote);
    endpoints.send(Transmit { flow, bytes: request("one") }).unwrap();
    let (mut stream, from) = listener.accept().await.unwrap();
    assert_eq!(from, local);
    endpoints.send(Transmit { flow, bytes: request("two") }).unwrap();
    let both = [request("one"), request("two")].concat();
    assert_eq!(read(&mut stream, both.len()).await, both);
    // What comes back comes on the connection.
    stream.write_all(&request("back")).await.unwrap();
    let (answer, _) = message(&mut endpoints).await;
    assert_eq!((answer.local, answer.remote, answer.connection.is_some()), (local, remote, true));
}

#[tokio::test]
async fn connections_from_one_address_close_and_others_stay() {
    let listener = listener().await;
    let remote = listener.local_addr().unwrap();
    let (gone, kept) = (Flow::tcp(free_port(), remote), Flow::tcp(free_port(), remote));
    let mut endpoints = endpoints();
    let mut accepted = Vec::new();
    for flow in [gone, kept] {
        endpoints.send(Transmit { flow, bytes: request("x") }).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream, request("x").len()).await;
        accepted.push(stream);
    }
    endpoints.close_connections_from(gone.local);
    closed(&mut accepted[0]).await;
    endpoints.send(Transmit { flow: kept, bytes: request("y") }).unwrap();
    assert_eq!(read(&mut accepted[1], request("y").len()).await, request("y"));
    nothing(&mut endpoints).await;
}

#[tokio::test]
async fn a_closed_port_fails_the_flow_that_was_asked_for() {
    let mut endpoints = endpoints();
    let flow = Flow::tcp(any(), free_port());
    endpoints.send(Transmit { flow, bytes: request("x") }).unwrap();
    match next(&mut endpoints).await {
        Arrival::Failed { flow: failed, error } => {
            assert_eq!((failed, error.kind()), (flow, io::ErrorKind::ConnectionRefused));
            assert_eq!(failed.connection, None);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_connection_that_has_ended_is_not_opened_again_for_an_answer() {
    let mut endpoints = endpoints();
    let flow = Flow { connection: Some(ConnectionId(77)), ..Flow::tcp(any(), free_port()) };
    let error = endpoints.send(Transmit { flow, bytes: request("x") }).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
}

/// Of 64 places peers have 32, and one host two of them. What we open ourselves is not counted.
#[tokio::test]
async fn one_host_does_not_shut_the_others_out() {
    let mut endpoints = Endpoints::new(Limits { connections: 64, ..Limits::default() });
    let local = endpoints.bind_tcp(any()).unwrap();
    let mut held = Vec::new();
    for call_id in ["first", "second"] {
        let mut stream = peer(local).await;
        stream.write_all(&request(call_id)).await.unwrap();
        assert_eq!(message(&mut endpoints).await.1.call_id(), call_id);
        held.push(stream);
    }
    closed(&mut peer(local).await).await;
    // Another host finds a place.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(local).await.unwrap();
    other.write_all(&request("other")).await.unwrap();
    assert_eq!(message(&mut endpoints).await.1.call_id(), "other");
    // And the first one again, when it has given one back.
    held.pop();
    assert!(matches!(next(&mut endpoints).await, Arrival::Failed { .. }));
    peer(local).await.write_all(&request("third")).await.unwrap();
    assert_eq!(message(&mut endpoints).await.1.call_id(), "third");
}

#[tokio::test]
async fn no_more_connections_than_the_limit_are_held() {
    let mut endpoints = Endpoints::new(Limits { connections: 1, ..Limits::default() });
    let local = endpoints.bind_tcp(any()).unwrap();
    let mut first = peer(local).await;
    first.write_all(&request("first")).await.unwrap();
    message(&mut endpoints).await;
    let mut second = peer(local).await;
    closed(&mut second).await;
    let own = endpoints.send(Transmit { flow: Flow::tcp(any(), local), bytes: request("x") });
    assert_eq!(own.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
    // The one that goes makes room.
    drop(first);
    assert!(matches!(next(&mut endpoints).await, Arrival::Failed { .. }));
    peer(local).await.write_all(&request("third")).await.unwrap();
    assert_eq!(message(&mut endpoints).await.1.call_id(), "third");
}
