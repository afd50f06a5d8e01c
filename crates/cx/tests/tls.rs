//! TLS between client and server, and everything that must not pass.

mod certificates;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aka::Impu;
use certificates::{Authority, set_mode};
use cx::peer::{FileError, Listener, PeerFile, RemotePeer, ServerFile, TlsError, TlsFile};
use cx::{
    Answer, AnswerWith, BaseCode, ClientConfig, DiameterClient, Link, LinkError, LocationInfoRequest, Origin,
    PeerLink, Peers, Request, Server, ServerConfig,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);
/// Long enough for a connection that must not come about to come about.
const WHILE: Duration = Duration::from_millis(300);

struct Refuse;

impl Server for Refuse {
    fn handle(&self, _: &Origin, request: Request, answer: AnswerWith) {
        answer(request.refused(BaseCode::UnableToComply));
    }
}

fn origin(host: &str) -> Origin {
    Origin { host: host.into(), realm: "home.example".into() }
}

fn lir() -> Request {
    let impu = Impu::new("sip:a@home.example").unwrap();
    Request::Lir(LocationInfoRequest { impu, originating: false, capabilities: false })
}

async fn ask(link: &DiameterClient) -> Result<Answer, LinkError> {
    let (tell, told) = oneshot::channel();
    link.call(lir(), Box::new(move |answer| drop(tell.send(answer))));
    timeout(LONG, told).await.unwrap().unwrap()
}

async fn hss(tls: Option<&TlsFile>) -> (SocketAddr, Peers) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = match tls {
        Some(file) => Listener::tls(socket, file.load("hss.home.example").unwrap()),
        None => Listener::from(socket),
    };
    let address = listener.address().unwrap();
    let peers = Peers::new(ServerConfig::new(origin("hss.home.example")));
    let serving = peers.clone();
    tokio::spawn(
        async move { serving.serve(vec![listener], Arc::new(Refuse), std::future::pending()).await },
    );
    (address, peers)
}

/// `named` is whom the certificate is for, `host` whom the client says it is.
fn cscf(file: &TlsFile, named: &str, host: &str, address: SocketAddr, expected: &str) -> ClientConfig {
    ClientConfig {
        peers: vec![RemotePeer { address, host: Some(expected.into()) }],
        tls: Some(file.load(named).unwrap()),
        shortest_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(40),
        ..ClientConfig::to(origin(host), "home.example".into())
    }
}

async fn must_not_connect(config: ClientConfig, why: &str) {
    let client = DiameterClient::start(config);
    assert!(timeout(WHILE, client.wait_until_connected()).await.is_err(), "{why}");
    assert_eq!(ask(&client).await, Err(LinkError::NotConnected), "{why}");
}

#[tokio::test]
async fn cx_1_both_ends_prove_who_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (server, client) = (authority.sign("hss.home.example"), authority.sign("scscf.home.example"));
    let (address, peers) = hss(Some(&server)).await;
    let scscf = "scscf.home.example";
    let config = cscf(&client, scscf, scscf, address, "hss.home.example");
    let link = DiameterClient::start_with_server(config, Arc::new(Refuse));
    timeout(LONG, link.wait_until_connected()).await.expect("must connect");
    let refused = Ok(Answer::Lia(Err(BaseCode::UnableToComply.into())));
    assert_eq!(ask(&link).await, refused);
    let (tell, told) = oneshot::channel();
    let ppr = cx::PushProfileRequest { impi: aka::Impi::new("a@home.example").unwrap(), user_data: None };
    peers.call(&origin(scscf), Request::Ppr(ppr), Box::new(move |answer| drop(tell.send(answer))));
    let answer = timeout(LONG, told).await.unwrap().unwrap();
    assert_eq!(answer, Ok(Answer::Ppa(Err(BaseCode::UnableToComply.into()))), "and the other way");
}

#[tokio::test]
async fn cx_1_who_does_not_prove_it_stays_out() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "theirs"));
    let (address, _) = hss(Some(&authority.sign("hss.home.example"))).await;
    let (scscf, rogue, hss_name) = ("scscf.home.example", "rogue.home.example", "hss.home.example");

    let good = authority.sign(scscf);
    let mut foreign = other.sign(scscf);
    foreign.ca = authority.certificate();
    let config = cscf(&foreign, scscf, scscf, address, hss_name);
    must_not_connect(config, "a client of another authority").await;
    let config = cscf(&authority.sign(rogue), rogue, scscf, address, hss_name);
    must_not_connect(config, "a client with the certificate of another").await;
    let config = cscf(&good, scscf, scscf, address, "other.home.example");
    must_not_connect(config, "an HSS of another name").await;
    let mut distrusting = good.clone();
    distrusting.ca = other.certificate();
    let config = cscf(&distrusting, scscf, scscf, address, hss_name);
    must_not_connect(config, "an HSS of another authority").await;
    let mut config = cscf(&good, scscf, scscf, address, hss_name);
    config.peers[0].host = None;
    must_not_connect(config, "an HSS that nobody can check").await;

    let config = ClientConfig::new(origin(scscf), address, "home.example".into());
    must_not_connect(config, "a client in clear text").await;
    let (clear, _) = hss(None).await;
    must_not_connect(cscf(&good, scscf, scscf, clear, hss_name), "an HSS in clear text").await;

    let config = cscf(&good, scscf, scscf, address, hss_name);
    let link = DiameterClient::start(config);
    timeout(LONG, link.wait_until_connected()).await.expect("all that did not harm the others");
}

/// What a client with TLS sends to a peer that does not speak it.
#[tokio::test]
async fn nothing_falls_back_to_clear_text() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (scscf, address) = ("scscf.home.example", listener.local_addr().unwrap());
    let _link =
        DiameterClient::start(cscf(&authority.sign(scscf), scscf, scscf, address, "hss.home.example"));
    for _ in 0..3 {
        let (mut stream, _) = timeout(LONG, listener.accept()).await.unwrap().unwrap();
        let mut sent = vec![0; 4096];
        let length = timeout(LONG, stream.read(&mut sent)).await.unwrap().unwrap();
        assert_eq!(sent[0], 22, "a TLS handshake record");
        assert!(!sent[..length].windows(scscf.len()).any(|part| part == scscf.as_bytes()), "no Origin-Host");
        // A capabilities answer in clear text is no TLS.
        stream.write_all(&[1, 0, 0, 20, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
    }
}

/// A client that shows no certificate.
#[tokio::test]
async fn a_certificate_is_asked_of_every_client() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (address, _) = hss(Some(&authority.sign("hss.home.example"))).await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(authority.certificate()).unwrap();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("hss.home.example").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let outcome = async {
        let mut stream = connector.connect(name, stream).await?;
        // With TLS 1.3 the refusal comes after the client's last word.
        stream.read_u8().await
    };
    let error = timeout(LONG, outcome).await.unwrap().expect_err("must be refused");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
}

#[test]
fn files_that_are_wrong_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let good = authority.sign("hss.home.example");
    let load = |file: &TlsFile| file.load("hss.home.example").map(drop);
    load(&good).unwrap();

    for mode in [0o604, 0o644, 0o620, 0o666] {
        set_mode(&good.key, mode);
        let error = load(&good).unwrap_err();
        assert!(matches!(error, TlsError::Exposed { mode: found, .. } if found == mode), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    set_mode(&good.key, 0o640);
    load(&good).unwrap();

    let other = authority.sign("other.home.example");
    assert!(matches!(load(&other), Err(TlsError::WrongName { .. })));
    let mixed = TlsFile { key: other.key, ..good.clone() };
    assert!(matches!(load(&mixed), Err(TlsError::Mismatch { .. })));
    let swapped = TlsFile { certificate: good.key.clone(), ..good.clone() };
    assert!(matches!(load(&swapped), Err(TlsError::NoCertificate { .. })));
    let no_key = folder.path().join("no-key.pem");
    std::fs::copy(&good.certificate, &no_key).unwrap();
    set_mode(&no_key, 0o600);
    assert!(matches!(load(&TlsFile { key: no_key, ..good.clone() }), Err(TlsError::NoKey { .. })));
    let missing = TlsFile { ca: folder.path().join("missing.pem"), ..good };
    assert!(load(&missing).unwrap_err().to_string().contains("missing.pem"));
}

fn peer_file(extra: &str) -> PeerFile {
    let least = "origin_host = \"scscf.home.example\"\norigin_realm = \"home.example\"\n\
                 destination_realm = \"home.example\"\n";
    toml::from_str(&format!("{least}{extra}")).unwrap()
}

fn tls_table(folder: &Path) -> String {
    let file = Authority::new(folder, "authority").sign("scscf.home.example");
    format!("[tls]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n", file.ca, file.certificate, file.key)
}

#[tokio::test]
async fn values_of_the_client_file() {
    let config = peer_file("peer = \"127.0.0.1:3868\"").config().await.unwrap();
    assert_eq!(config.peers, [RemotePeer { address: "127.0.0.1:3868".parse().unwrap(), host: None }]);
    assert_eq!((config.watchdog, config.max_in_flight), (Duration::from_secs(30), 1024));
    let all = "destination_host = \"hss.home.example\"\nwatchdog_seconds = 6\nrequest_timeout_ms = 700\n\
               max_in_flight = 9\npeers = [{ address = \"127.0.0.1:1\", host = \"hss1.home.example\" }, \
               { address = \"[::1]:2\" }]\n";
    let config = peer_file(all).config().await.unwrap();
    assert_eq!(config.peers.len(), 2);
    assert_eq!(config.peers[0].host.as_deref(), Some("hss1.home.example"));
    assert_eq!(config.request_timeout, Duration::from_millis(700));
    assert_eq!(config.destination_host.as_deref(), Some("hss.home.example"));
    for (wrong, key) in [
        ("", "cx.peers"),
        ("peer = \"127.0.0.1:1\"\npeers = [{ address = \"127.0.0.1:1\" }]", "cx.peer"),
        ("peer = \"127.0.0.1:1\"\nwatchdog_seconds = 5", "watchdog_seconds"),
        ("peer = \"127.0.0.1:1\"\nrequest_timeout_ms = 99", "request_timeout_ms"),
        ("peer = \"127.0.0.1:1\"\nmax_in_flight = 0", "max_in_flight"),
        ("peer = \"127.0.0.1:1\"\ndestination_host = \"a b\"", "cx.destination_host"),
        ("peers = [{ address = \"127.0.0.1:1\", host = \"\" }]", "cx.peers.host"),
    ] {
        match peer_file(wrong).config().await {
            Err(FileError::BadValue { key: found, .. }) => assert_eq!(found, key),
            other => panic!("{wrong}: {other:?}"),
        }
    }
    let error = peer_file("peer = \"127.0.0.1\"").config().await.unwrap_err();
    assert!(error.to_string().contains("HOST:PORT"), "{error}");
}

#[tokio::test]
async fn with_tls_every_peer_has_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let table = tls_table(folder.path());
    let named = "peers = [{ address = \"127.0.0.1:1\", host = \"hss.home.example\" }]\n";
    let config = peer_file(&format!("{named}{table}")).config().await.unwrap();
    assert!(config.tls.is_some());
    let by_address = peer_file(&format!("peer = \"localhost:5658\"\n{table}")).config().await.unwrap();
    assert_eq!(by_address.peers[0].host.as_deref(), Some("localhost"));
    for address in ["127.0.0.1:5658", "[::1]:5658"] {
        let error = peer_file(&format!("peer = \"{address}\"\n{table}")).config().await.unwrap_err();
        assert!(error.to_string().contains("Origin-Host"), "{error}");
    }
    let printed = toml::to_string_pretty(&peer_file(&format!("{named}{table}"))).unwrap();
    assert_eq!(toml::from_str::<PeerFile>(&printed).unwrap(), peer_file(&format!("{named}{table}")));
}

#[tokio::test]
async fn values_of_the_server_file() {
    let read = |extra: &str| {
        let least = "origin_host = \"scscf.home.example\"\norigin_realm = \"home.example\"\n";
        toml::from_str::<ServerFile>(&format!("{least}{extra}")).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let table = tls_table(folder.path());
    let both = read(&format!("listen = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n{table}"));
    both.config().unwrap();
    let listeners = both.listen().await.unwrap();
    assert_eq!(listeners.iter().map(Listener::is_tls).collect::<Vec<_>>(), [false, true]);
    let taken = format!("listen = [\"{}\"]", listeners[0].address().unwrap());
    assert!(matches!(read(&taken).listen().await, Err(FileError::Listen { .. })));
    for (wrong, key) in [
        ("", "listen"),
        ("listen_tls = [\"127.0.0.1:0\"]", "listen_tls"),
        (&format!("listen = [\"127.0.0.1:0\"]\n{table}"), "listen_tls"),
        ("listen = [\"127.0.0.1:0\"]\nmax_peers = 0", "max_peers"),
        ("listen = [\"127.0.0.1:0\"]\nallowed_peers = [\"a\", \"\"]", "allowed_peers"),
        ("listen = [\"127.0.0.1:0\"]\nwatchdog_seconds = 1", "watchdog_seconds"),
    ] {
        match read(wrong).config() {
            Err(FileError::BadValue { key: found, .. }) => assert_eq!(found, key),
            other => panic!("{wrong}: {other:?}"),
        }
    }
}
