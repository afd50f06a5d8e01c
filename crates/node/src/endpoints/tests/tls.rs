//! TLS between operators, over the loopback interface.

use std::sync::Arc;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls::TlsFiles;
use crate::tls::tests::{Authority, dns, uri};

const A: &str = "border.a.example";
const B: &str = "border.b.example";

/// A role that listens with these files.
fn server(files: &TlsFiles) -> (Endpoints, SocketAddr) {
    server_with(files, Limits::default())
}

fn server_with(files: &TlsFiles, limits: Limits) -> (Endpoints, SocketAddr) {
    let mut server = Endpoints::new(limits);
    let address = server.bind_tls(any(), &files.load().unwrap()).unwrap();
    (server, address)
}

/// A role that may call one partner, under the name it expects there.
fn client(files: &TlsFiles, address: SocketAddr, expected: &str) -> Endpoints {
    let mut client = endpoints();
    client.tls_partners(&files.load().unwrap(), [(address, expected)]).unwrap();
    client
}

fn call(client: &mut Endpoints, address: SocketAddr, call_id: &str) {
    let transmit = Transmit { flow: Flow::tls(any(), address), bytes: request(call_id) };
    client.send(transmit).unwrap();
}

async fn proven(endpoints: &mut Endpoints) -> (Flow, Message, Vec<String>) {
    match next(endpoints).await {
        Arrival::Message { flow, message, peer: Some(names) } => {
            (flow, message, names.iter().map(|name| name.to_string()).collect())
        }
        other => panic!("no message of a proven peer: {other:?}"),
    }
}

async fn failed(endpoints: &mut Endpoints) -> (Flow, String) {
    match next(endpoints).await {
        Arrival::Failed { flow, error } => (flow, error.to_string()),
        other => panic!("no failure: {other:?}"),
    }
}

/// Both ends refuse, say so, and nothing gets through.
async fn refused(client: &mut Endpoints, server: &mut Endpoints, address: SocketAddr) -> (String, String) {
    call(client, address, "must-not-arrive");
    let (flow, at_server) = failed(server).await;
    assert_eq!((flow.transport, flow.local), (Transport::Tls, address));
    let (flow, at_client) = failed(client).await;
    assert_eq!(flow, Flow::tls(any(), address), "the flow that the core had asked for");
    (at_client, at_server)
}

#[tokio::test]
async fn prv_12_both_ends_prove_their_names() {
    let authority = Authority::new();
    let (mut server, address) = server(&authority.host(B));
    let mut client = client(&authority.sign(&[dns(A), dns("a.example")], |_| {}), address, B);
    call(&mut client, address, "hello");
    let (flow, message, names) = proven(&mut server).await;
    assert_eq!((flow.transport, flow.local, message.call_id()), (Transport::Tls, address, "hello"));
    assert_eq!(names, ["a.example", A]);
    // The answer takes the connection of its request.
    server.send(Transmit { flow, bytes: request("back") }).unwrap();
    let (flow, message, names) = proven(&mut client).await;
    assert_eq!((flow.transport, flow.remote, message.call_id()), (Transport::Tls, address, "back"));
    assert_eq!(names, [B]);
}

#[tokio::test]
async fn prv_12_a_sip_uri_is_the_name_and_the_verified_dns_name_is_told_with_it() {
    let authority = Authority::new();
    let (mut server, address) = server(&authority.sign(&[dns(B), uri("sip:b.example")], |_| {}));
    let mut client = client(&authority.sign(&[dns(A), uri("sip:a.example")], |_| {}), address, B);
    call(&mut client, address, "hello");
    let (flow, _, names) = proven(&mut server).await;
    assert_eq!(names, ["a.example"]);
    server.send(Transmit { flow, bytes: request("back") }).unwrap();
    assert_eq!(proven(&mut client).await.2, ["b.example", B]);
}

/// Who writes another's domain into the message has the names of its certificate and no others.
#[tokio::test]
async fn prv_13_a_certificate_for_b_does_not_give_the_name_a() {
    let authority = Authority::new();
    let (mut server, address) = server(&authority.host("c.example"));
    let mut rogue = client(&authority.host("b.example"), address, "c.example");
    let text = String::from_utf8(request("spoof").to_vec()).unwrap();
    let bytes = text.replace("127.0.0.1", "a.example").replace("a@b.example", "x@a.example").into();
    rogue.send(Transmit { flow: Flow::tls(any(), address), bytes }).unwrap();
    let (_, message, names) = proven(&mut server).await;
    assert!(message.bytes().starts_with(b"OPTIONS sip:a@a.example"));
    assert_eq!(names, ["b.example"]);
}

#[tokio::test]
async fn prv_12_a_server_of_another_name_gets_nothing() {
    let authority = Authority::new();
    for (names, change) in [
        (vec![dns("b.example")], None),
        (vec![dns("*.b.example")], Some(dns("b.example"))),
        (vec![uri("sip:border.b.example")], None),
    ] {
        let names: Vec<SanType> = names.into_iter().chain(change).collect();
        let (mut server, address) = server(&authority.sign(&names, |_| {}));
        let mut client = client(&authority.host(A), address, B);
        let (at_client, _) = refused(&mut client, &mut server, address).await;
        assert!(at_client.contains("certificate") && at_client.contains(B), "{at_client}");
    }
}

#[tokio::test]
async fn prv_12_a_peer_of_an_unknown_authority_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (mut server, address) = server(&ours.host(B));
    let foreign = TlsFiles { ca: ours.certificate(), ..theirs.host(A) };
    let (_, at_server) = refused(&mut client(&foreign, address, B), &mut server, address).await;
    assert!(at_server.contains("UnknownIssuer"), "{at_server}");
    let distrusting = TlsFiles { ca: theirs.certificate(), ..ours.host(A) };
    let (at_client, _) = refused(&mut client(&distrusting, address, B), &mut server, address).await;
    assert!(at_client.contains("UnknownIssuer"), "{at_client}");
}

#[tokio::test]
async fn prv_12_a_certificate_that_has_expired_or_is_for_another_purpose_is_refused() {
    let authority = Authority::new();
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2001, 1, 1);
    let (mut good, address) = server(&authority.host(B));
    let old = authority.sign(&[dns(A)], expired);
    let (_, at_server) = refused(&mut client(&old, address, B), &mut good, address).await;
    assert!(at_server.contains("expired"), "{at_server}");
    let server_only = authority.sign(&[dns(A)], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let (_, at_server) = refused(&mut client(&server_only, address, B), &mut good, address).await;
    assert!(at_server.to_lowercase().contains("usage"), "{at_server}");

    let (mut old, address) = server(&authority.sign(&[dns(B)], expired));
    let (at_client, _) = refused(&mut client(&authority.host(A), address, B), &mut old, address).await;
    assert!(at_client.contains("expired"), "{at_client}");
}

#[tokio::test]
async fn prv_12_a_client_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let (mut server, address) = server(&authority.host(B));
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(authority.certificate()).unwrap();
    roots.add(PemObject::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let attempt = async {
        let name = rustls::pki_types::ServerName::try_from(B).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, peer(address).await).await?;
        stream.write_all(&request("anonymous")).await?;
        stream.read_u8().await
    };
    let error = timeout(LONG, attempt).await.unwrap().expect_err("must be refused");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    let (_, at_server) = failed(&mut server).await;
    assert!(at_server.contains("no certificate"), "{at_server}");
}

#[tokio::test]
async fn what_is_no_tls_is_refused_without_an_answer_in_clear() {
    let authority = Authority::new();
    let (mut server, address) = server(&authority.host(B));
    let garbage = [&b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03"[..], &[0xff; 70_000]].concat();
    for octets in [request("clear").to_vec(), b"\r\n\r\n".repeat(4), vec![0; 100], garbage] {
        let mut stream = peer(address).await;
        stream.write_all(&octets).await.ok();
        let (_, at_server) = failed(&mut server).await;
        assert!(at_server.contains("TLS"), "{at_server}");
        let mut answer = Vec::new();
        let _ = timeout(LONG, stream.read_to_end(&mut answer)).await.expect("the connection ends");
        assert!(!answer.windows(3).any(|part| part == b"SIP"), "an alert at most");
    }
}

#[tokio::test]
async fn tls_is_never_replaced_by_clear_text() {
    let authority = Authority::new();
    // A server that does not speak TLS.
    let listener = listener().await;
    let address = listener.local_addr().unwrap();
    let mut client = client(&authority.host(A), address, B);
    call(&mut client, address, "secret");
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut sent = vec![0; 4096];
    let length = timeout(LONG, stream.read(&mut sent)).await.unwrap().unwrap();
    assert_eq!(sent[0], 22, "a TLS handshake record");
    assert!(!sent[..length].windows(6).any(|part| part == b"secret"));
    stream.write_all(b"SIP/2.0 200 OK\r\n\r\n").await.unwrap();
    let (flow, error) = failed(&mut client).await;
    assert_eq!(flow, Flow::tls(any(), address));
    assert!(error.contains("does not speak TLS"), "{error}");
    // Nor does the connection of a TCP flow carry what TLS should.
    client.send(Transmit { flow: Flow::tcp(any(), address), bytes: request("open") }).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    read(&mut stream, request("open").len()).await;
    stream.write_all(&request("back")).await.unwrap();
    let (flow, _) = message(&mut client).await;
    let flow = Flow { transport: Transport::Tls, ..flow };
    assert!(client.send(Transmit { flow, bytes: request("x") }).is_err());
    nothing(&mut client).await;
}

#[tokio::test]
async fn nobody_is_called_whose_name_is_not_configured() {
    let authority = Authority::new();
    let (mut server, address) = server(&authority.host(B));
    let mut other: SocketAddr = address;
    other.set_ip("127.0.0.2".parse().unwrap());
    let mut client = client(&authority.host(A), other, B);
    let error = client
        .send(Transmit { flow: Flow::tls(any(), address), bytes: request("x") })
        .expect_err("must be refused");
    assert!(error.to_string().contains("no certificate name is configured"), "{error}");
    nothing(&mut server).await;
}

#[tokio::test]
async fn our_connection_is_used_again_and_that_of_a_peer_only_for_answers() {
    let authority = Authority::new();
    let (mut server, address) = server(&authority.host(B));
    let mut client = client(&authority.host(A), address, B);
    call(&mut client, address, "one");
    call(&mut client, address, "two");
    let (first, _, _) = proven(&mut server).await;
    call(&mut client, address, "three");
    for expected in ["two", "three"] {
        let (flow, message, _) = proven(&mut server).await;
        assert_eq!((flow, message.call_id()), (first, expected), "the same connection");
    }
    let request_back = Flow { connection: None, ..first };
    assert!(server.send(Transmit { flow: request_back, bytes: request("x") }).is_err());
    // Also not where the peer is one that may be called.
    server.tls_partners(&authority.host(B).load().unwrap(), [(first.remote, A)]).unwrap();
    server.send(Transmit { flow: Flow::tls(any(), first.remote), bytes: request("x") }).unwrap();
    let (flow, _) = failed(&mut server).await;
    assert_eq!(flow.remote, first.remote, "nobody listens where a client calls from");
}

#[tokio::test]
async fn a_connection_that_the_peer_closes_is_told_and_opened_anew() {
    let authority = Authority::new();
    let files = authority.host(B);
    let (mut first, address) = server(&files);
    let mut client = client(&authority.host(A), address, B);
    call(&mut client, address, "one");
    let (late, _, _) = proven(&mut first).await;
    drop(first);
    let (flow, _) = failed(&mut client).await;
    assert_eq!(flow, Flow::tls(any(), address));
    let mut second = endpoints();
    second.bind_tls(address, &files.load().unwrap()).unwrap();
    call(&mut client, address, "two");
    assert_eq!(proven(&mut second).await.1.call_id(), "two");
    // What was to go back on the connection that has ended goes nowhere else.
    let gone = Flow { connection: Some(ConnectionId(99)), ..late };
    let error = second.send(Transmit { flow: gone, bytes: request("x") }).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
}

#[tokio::test]
async fn messages_are_cut_however_records_carry_them() {
    let authority = Authority::new();
    let (mut server, address) = server(&authority.host(B));
    let identity = authority.host(A).load().unwrap();
    let name = rustls::pki_types::ServerName::try_from(B).unwrap();
    let mut stream = identity.connector().connect(name, peer(address).await).await.unwrap();
    // Two in one record.
    stream.write_all(&[request("a"), request("b")].concat()).await.unwrap();
    stream.flush().await.unwrap();
    for expected in ["a", "b"] {
        assert_eq!(proven(&mut server).await.1.call_id(), expected);
    }
    // One in many records.
    for part in request("split").chunks(7) {
        stream.write_all(part).await.unwrap();
        stream.flush().await.unwrap();
    }
    assert_eq!(proven(&mut server).await.1.call_id(), "split");
    // A keep-alive.
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    timeout(LONG, stream.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(&pong, b"\r\n");
    // One of many records, and its answer of the same size.
    let body = "x".repeat(60_000);
    let text = String::from_utf8(request("big").to_vec()).unwrap();
    let big = text.replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: 60000\r\n\r\n{body}"));
    stream.write_all(big.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let (flow, message, _) = proven(&mut server).await;
    assert_eq!((message.call_id(), message.body().len()), ("big", 60_000));
    server.send(Transmit { flow, bytes: big.clone().into() }).unwrap();
    let mut back = vec![0; big.len()];
    timeout(LONG, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, big.as_bytes());
    // The end of TLS ends the connection.
    stream.shutdown().await.unwrap();
    assert_eq!(failed(&mut server).await.0.transport, Transport::Tls);
}

#[tokio::test]
async fn a_peer_that_never_ends_its_handshake_is_dropped_and_its_place_is_free() {
    let authority = Authority::new();
    let limits = Limits { handshakes: 1, handshake_timeout: SHORT, ..Limits::default() };
    let (mut server, address) = server_with(&authority.host(B), limits);
    for _ in 0..2 {
        let mut silent = peer(address).await;
        silent.write_all(&[22, 3, 1]).await.unwrap();
        let (_, error) = failed(&mut server).await;
        assert!(error.contains("takes too long"), "{error}");
        closed(&mut silent).await;
    }
}

#[tokio::test]
async fn no_more_handshakes_than_the_limit_are_under_way() {
    let authority = Authority::new();
    let limits = Limits { handshakes: 1, ..Limits::default() };
    let (mut server, address) = server_with(&authority.host(B), limits);
    let silent = peer(address).await;
    closed(&mut peer(address).await).await;
    drop(silent);
    failed(&mut server).await;
    // A proven peer takes no place.
    let mut clients = [(); 2].map(|()| client(&authority.host(A), address, B));
    for (client, call_id) in clients.iter_mut().zip(["first", "second"]) {
        call(client, address, call_id);
        assert_eq!(proven(&mut server).await.1.call_id(), call_id);
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let authority = Authority::new();
    let limits = Limits { idle_timeout: SHORT, ..Limits::default() };
    let (mut server, address) = server_with(&authority.host(B), limits);
    let mut client = client(&authority.host(A), address, B);
    call(&mut client, address, "one");
    let ended = loop {
        match next(&mut server).await {
            Arrival::Failed { flow, error } => break (flow.transport, error.kind()),
            _ => continue,
        }
    };
    assert_eq!(ended, (Transport::Tls, io::ErrorKind::TimedOut));
    assert_eq!(failed(&mut client).await.0, Flow::tls(any(), address));
}
