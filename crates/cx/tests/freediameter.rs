//! freeDiameter as a peer of ours at both ends, and as a relay between our two ends.

mod certificates;
mod free_diameter;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aka::{AuthVector, Autn, Ck, Ik, Impi, Impu, Rand, Res};
use certificates::Authority;
use cx::diameter::{Application, Avps, Command, Header, Ids, Writer, decode, dictionary as d};
use cx::peer::{Listener, RemotePeer};
use cx::{
    Answer, AnswerWith, AuthScheme, BaseCode, ClientConfig, DiameterClient, ExperimentalCode, Link,
    LinkError, LocationInfo, LocationInfoRequest, MultimediaAuth, MultimediaAuthRequest, Origin, PeerLink,
    Peers, PushProfileRequest, ReasonCode, RegistrationTermination, RegistrationTerminationRequest, Request,
    Server, ServerAssignment, ServerAssignmentRequest, ServerAssignmentType, ServerConfig, ServerName,
    UserAuthorization, UserAuthorizationRequest, UserAuthorizationType, VisitedNetwork,
};
use free_diameter::{ConnectTo, FreeDiameter, From, LONG, Wire, local, read_message};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

fn origin(host: &str) -> Origin {
    Origin { host: format!("{host}.home.example"), realm: "home.example".into() }
}

fn impi() -> Impi {
    Impi::new("a@home.example").unwrap()
}

fn impu() -> Impu {
    Impu::new("sip:a@home.example").unwrap()
}

fn s_cscf() -> ServerName {
    ServerName::new("sip:scscf.home.example").unwrap()
}

/// One server for both ends: each operation has an answer that can be told from the others.
struct Everything;

impl Server for Everything {
    fn handle(&self, _: &Origin, request: Request, answer: AnswerWith) {
        answer(match request {
            Request::Uar(_) => Answer::Uaa(Ok(UserAuthorization::Subsequent { server_name: s_cscf() })),
            Request::Sar(_) => Answer::Saa(Ok(ServerAssignment { impi: Some(impi()), ..Default::default() })),
            Request::Lir(_) => Answer::Lia(Ok(LocationInfo::Served { server_name: s_cscf() })),
            Request::Mar(mar) => Answer::Maa(Ok(MultimediaAuth {
                vectors: (0..mar.items).map(|number| vector(u128::from(number))).collect(),
            })),
            Request::Rtr(_) => Answer::Rta(Ok(RegistrationTermination { associated: vec![impi()] })),
            Request::Ppr(_) => Answer::Ppa(Err(ExperimentalCode::TooMuchData.into())),
        });
    }
}

fn vector(number: u128) -> AuthVector {
    AuthVector {
        rand: Rand::from_bytes(number.to_be_bytes()),
        autn: Autn::from_bytes([2; 16]),
        xres: Res::new(&[3; 8]).unwrap(),
        ck: Ck::from_bytes([4; 16]),
        ik: Ik::from_bytes([5; 16]),
    }
}

fn mar(items: u32) -> Request {
    Request::Mar(MultimediaAuthRequest {
        impi: impi(),
        impu: impu(),
        server_name: s_cscf(),
        items,
        scheme: AuthScheme::DigestAka,
        resync: None,
    })
}

fn ask(
    call: impl FnOnce(Box<dyn FnOnce(Result<Answer, LinkError>) + Send>),
) -> impl Future<Output = Result<Answer, LinkError>> {
    let (tell, told) = oneshot::channel();
    call(Box::new(move |answer| drop(tell.send(answer))));
    async { timeout(LONG, told).await.expect("the reply must be called").expect("exactly once") }
}

fn client_config(host: &str, address: SocketAddr, watchdog: u64) -> ClientConfig {
    let mut config = ClientConfig::new(origin(host), address, "home.example".into());
    config.watchdog = Duration::from_secs(watchdog);
    config.shortest_pause = Duration::from_millis(100);
    config.longest_pause = Duration::from_millis(500);
    config
}

async fn connected(config: ClientConfig) -> DiameterClient {
    let client = DiameterClient::start_with_server(config, Arc::new(Everything));
    timeout(LONG, client.wait_until_connected()).await.expect("the client must connect");
    client
}

struct Hss {
    peers: Peers,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

impl Hss {
    async fn start(host: &str, watchdog: u64) -> Self {
        Self::on(host, watchdog, TcpListener::bind(local(0)).await.unwrap().into())
    }

    fn on(host: &str, watchdog: u64, listener: Listener) -> Self {
        let mut config = ServerConfig::new(origin(host));
        config.watchdog = Duration::from_secs(watchdog);
        let (peers, address) = (Peers::new(config), listener.address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let serving = peers.clone();
        let done = tokio::spawn(async move {
            let until = async {
                let _ = stopped.await;
            };
            serving.serve(vec![listener], Arc::new(Everything), until).await;
        });
        Self { peers, address, stop, done }
    }
}

/// How long both ends watch each other: several minutes, with timers of 3 s here and 6 s there.
const WATCHED: Duration = Duration::from_secs(150);

/// Both ends with freeDiameter, each once with our watchdog the quicker one and once with freeDiameter's.
#[tokio::test]
#[ignore = "needs freeDiameter; cargo xtask test runs it"]
async fn cx_1_capabilities_and_watchdog_at_both_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (quick_hss, patient_hss) = (Hss::start("hss1", 3).await, Hss::start("hss2", 30).await);
    let (quick_in, patient_in) = (Wire::to(quick_hss.address).await, Wire::to(patient_hss.address).await);
    let peers = [
        ConnectTo { host: "hss1.home.example", address: quick_in.address },
        ConnectTo { host: "hss2.home.example", address: patient_in.address },
    ];
    let freed = FreeDiameter::start(folder.path(), &peers, None).await;
    let (quick_out, patient_out) = (Wire::to(freed.address).await, Wire::to(freed.address).await);
    let quick = connected(client_config("scscf1", quick_out.address, 3)).await;
    let patient = connected(client_config("scscf2", patient_out.address, 30)).await;

    let (dialler, listener) = (From::Dialler, From::Listener);
    let watchdog = Command::DeviceWatchdog;
    tokio::time::sleep(WATCHED).await;
    for (wire, asks) in
        [(&quick_in, listener), (&patient_in, dialler), (&quick_out, dialler), (&patient_out, listener)]
    {
        let answers = if asks == dialler { listener } else { dialler };
        // The slower of the two asks every 4 to 8 s.
        let expected = usize::try_from(WATCHED.as_secs() / 8).unwrap();
        wire.wait_for(asks, watchdog, true, expected).await;
        wire.wait_for(answers, watchdog, false, expected).await;
        for answer in wire.messages(answers, watchdog, false) {
            assert_eq!(decode::result_code(&answer[20..]), Ok(BaseCode::Success));
        }
        assert_eq!(
            wire.count(dialler, Command::CapabilitiesExchange, true),
            1,
            "one connection all the time"
        );
        assert_eq!(wire.count(listener, Command::CapabilitiesExchange, false), 1);
    }
    assert!(quick.is_connected() && patient.is_connected());
}

#[tokio::test]
#[ignore = "needs freeDiameter; cargo xtask test runs it"]
async fn cx_1_cx_12_goodbyes_kills_and_what_comes_after() {
    let folder = tempfile::tempdir().unwrap();
    let hss = Hss::start("hss", 30).await;
    let inward = Wire::to(hss.address).await;
    let peers = [ConnectTo { host: "hss.home.example", address: inward.address }];
    let mut freed = FreeDiameter::start(folder.path(), &peers, None).await;
    let outward = Wire::to(freed.address).await;
    let client = connected(client_config("scscf", outward.address, 30)).await;
    inward.wait_for(From::Listener, Command::CapabilitiesExchange, false, 1).await;

    // freeDiameter says goodbye to both our ends, and finds them again.
    freed.stop().await;
    assert_eq!(outward.count(From::Listener, Command::DisconnectPeer, true), 1);
    assert_eq!(outward.count(From::Dialler, Command::DisconnectPeer, false), 1);
    assert_eq!(inward.count(From::Dialler, Command::DisconnectPeer, true), 1);
    assert_eq!(inward.count(From::Listener, Command::DisconnectPeer, false), 1);
    assert!(!client.is_connected());
    freed.run().await;
    timeout(LONG, client.wait_until_connected()).await.expect("the client must come back");
    inward.wait_for(From::Listener, Command::CapabilitiesExchange, false, 2).await;

    // It is killed, and found again.
    freed.kill();
    let lost = async {
        while client.is_connected() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, lost).await.expect("the client must notice");
    freed.run().await;
    timeout(LONG, client.wait_until_connected()).await.expect("the client must come back");
    inward.wait_for(From::Listener, Command::CapabilitiesExchange, false, 3).await;

    // Our ends say goodbye.
    drop(client);
    outward.wait_for(From::Listener, Command::DisconnectPeer, false, 1).await;
    let listener_address = hss.address;
    hss.stop.send(()).unwrap();
    timeout(LONG, hss.done).await.expect("serve must end").unwrap();
    assert_eq!(inward.count(From::Listener, Command::DisconnectPeer, true), 1);
    assert_eq!(inward.count(From::Dialler, Command::DisconnectPeer, false), 1);
    let client = connected(client_config("scscf", outward.address, 30)).await;
    assert!(client.is_connected());
    let again = TcpListener::bind(listener_address).await.unwrap();
    let _again = Hss::on("hss", 30, again.into());
    inward.wait_for(From::Listener, Command::CapabilitiesExchange, false, 4).await;
}

/// The relay between our two ends.
struct Relay {
    _folder: tempfile::TempDir,
    freed: FreeDiameter,
    hss: Hss,
    inward: Wire,
    client: DiameterClient,
    outward: Wire,
}

impl Relay {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hss = Hss::start("hss", 30).await;
        let inward = Wire::to(hss.address).await;
        let peers = [ConnectTo { host: "hss.home.example", address: inward.address }];
        let freed = FreeDiameter::start(folder.path(), &peers, None).await;
        inward.wait_for(From::Listener, Command::CapabilitiesExchange, false, 1).await;
        let outward = Wire::to(freed.address).await;
        let mut config = client_config("scscf", outward.address, 30);
        config.destination_host = Some("hss.home.example".into());
        let client = connected(config).await;
        Self { _folder: folder, freed, hss, inward, client, outward }
    }

    async fn ask(&self, request: Request) -> Result<Answer, LinkError> {
        ask(|reply| self.client.call(request, reply)).await
    }
}

fn has(message: &[u8], definition: d::Definition) -> bool {
    Avps::new(&message[20..]).map(Result::unwrap).any(|avp| avp.key == definition.key)
}

#[tokio::test]
#[ignore = "needs freeDiameter; cargo xtask test runs it"]
async fn cx_1_every_operation_passes_a_relay() {
    let relay = Relay::start().await;
    let uar = Request::Uar(UserAuthorizationRequest {
        impi: impi(),
        impu: impu(),
        visited_network: VisitedNetwork::new("home.example").unwrap(),
        kind: UserAuthorizationType::Registration,
        emergency: false,
    });
    let sar = Request::Sar(ServerAssignmentRequest {
        impi: Some(impi()),
        impus: vec![impu()],
        server_name: s_cscf(),
        assignment: ServerAssignmentType::Registration,
        user_data_already_available: false,
        restoration: None,
    });
    let lir = Request::Lir(LocationInfoRequest { impu: impu(), originating: false, capabilities: false });
    let subsequent = UserAuthorization::Subsequent { server_name: s_cscf() };
    assert_eq!(relay.ask(uar).await, Ok(Answer::Uaa(Ok(subsequent))));
    let expected = ServerAssignment { impi: Some(impi()), ..Default::default() };
    assert_eq!(relay.ask(sar).await, Ok(Answer::Saa(Ok(expected))));
    assert_eq!(relay.ask(lir).await, Ok(Answer::Lia(Ok(LocationInfo::Served { server_name: s_cscf() }))));
    let expected = MultimediaAuth { vectors: vec![vector(0), vector(1)] };
    assert_eq!(relay.ask(mar(2)).await, Ok(Answer::Maa(Ok(expected))));

    // The other way: the HSS knows the S-CSCF by its name only.
    let to = origin("scscf");
    let rtr = Request::Rtr(RegistrationTerminationRequest {
        impi: impi(),
        impus: vec![impu()],
        associated: Vec::new(),
        reason: ReasonCode::ServerChange,
        info: Some("moving".into()),
    });
    let rta = ask(|reply| relay.hss.peers.call(&to, rtr, reply)).await;
    assert_eq!(rta, Ok(Answer::Rta(Ok(RegistrationTermination { associated: vec![impi()] }))));
    let ppr = Request::Ppr(PushProfileRequest { impi: impi(), user_data: None });
    let ppa = ask(|reply| relay.hss.peers.call(&to, ppr, reply)).await;
    assert_eq!(ppa, Ok(Answer::Ppa(Err(ExperimentalCode::TooMuchData.into()))));

    // It was a relay: the same End-to-End identifier, a Route-Record, another Hop-by-Hop identifier.
    let before = relay.outward.messages(From::Dialler, Command::MultimediaAuth, true);
    let after = relay.inward.messages(From::Dialler, Command::MultimediaAuth, true);
    let (sent, came) = (Header::parse(&before[0]).unwrap().0, Header::parse(&after[0]).unwrap().0);
    assert_eq!(sent.ids.end_to_end, came.ids.end_to_end);
    assert!(!has(&before[0], d::ROUTE_RECORD) && has(&after[0], d::ROUTE_RECORD));
    let to_us = relay.outward.messages(From::Listener, Command::RegistrationTermination, true);
    assert!(has(&to_us[0], d::ROUTE_RECORD));

    // Many at once.
    let client = &relay.client;
    let one = |items| ask(move |reply| client.call(mar(items), reply));
    let asked: Vec<_> = (1..=200).map(|items| one(items % 5 + 1)).collect();
    for (items, answer) in (1..=200).zip(asked) {
        match answer.await {
            Ok(Answer::Maa(Ok(maa))) => assert_eq!(maa.vectors.len(), items % 5 + 1),
            other => panic!("{other:?}"),
        }
    }
}

/// freeDiameter answers for whom it cannot reach.
#[tokio::test]
#[ignore = "needs freeDiameter; cargo xtask test runs it"]
async fn cx_1_what_a_relay_cannot_deliver_and_what_it_must_not_upset() {
    let mut relay = Relay::start().await;
    let nobody = origin("nobody");
    let ppr = Request::Ppr(PushProfileRequest { impi: impi(), user_data: None });
    let answer = ask(|reply| relay.hss.peers.call(&nobody, ppr, reply)).await;
    assert_eq!(answer, Err(LinkError::Protocol(BaseCode::UnableToDeliver)));

    // Commands, applications and AVPs that nobody knows, through the relay to our server.
    let mut raw = raw_peer(relay.outward.address, "raw").await;
    // Code 9999 of 3GPP, with the flags V and M.
    let unknown_avp = [0, 0, 0x27, 0x0f, 0xc0, 0, 0, 16, 0, 0, 0x28, 0xaf, 0, 0, 0, 1];
    let cases: [(Command, Application, &[u8], BaseCode); 4] = [
        (Command::Other(8_388_000), Application::Cx, &[], BaseCode::CommandUnsupported),
        (Command::RegistrationTermination, Application::Cx, &[], BaseCode::CommandUnsupported),
        (Command::MultimediaAuth, Application::Cx, &[], BaseCode::MissingAvp),
        (Command::MultimediaAuth, Application::Cx, &unknown_avp, BaseCode::AvpUnsupported),
    ];
    for (number, (command, application, extra, expected)) in (10..).zip(cases) {
        let request = raw_request(command, application, number, extra);
        let answer = raw_ask(&mut raw, &request).await;
        let (header, avps) = Header::parse(&answer).unwrap();
        assert_eq!(decode::result_code(avps), Ok(expected), "{command:?}");
        assert_eq!((header.command, header.ids.end_to_end), (command, number));
        assert_eq!(header.error, expected.is_protocol_error());
        let origin = Avps::new(avps).map(Result::unwrap).find(|avp| avp.key == d::ORIGIN_HOST.key).unwrap();
        assert_eq!(origin.data, b"hss.home.example", "our server's answer, not the relay's");
    }
    // An application our server has not advertised does not come through.
    let request = raw_request(Command::Other(316), Application::Other(16_777_251), 20, &[]);
    let answer = raw_ask(&mut raw, &request).await;
    let (header, avps) = Header::parse(&answer).unwrap();
    assert!(header.error && decode::result_code(avps).unwrap().is_protocol_error());

    // Garbage costs the one who sends it his connection, and nobody else anything.
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[1, 0, 0, 21, 0x80, 0, 1, 24]] {
        let mut other = TcpStream::connect(relay.freed.address).await.unwrap();
        let _ = other.write_all(garbage).await;
        drop(other);
    }
    assert!(relay.freed.is_running());
    let answer = relay.ask(mar(1)).await;
    assert_eq!(answer, Ok(Answer::Maa(Ok(MultimediaAuth { vectors: vec![vector(0)] }))));
    assert_eq!(relay.inward.count(From::Dialler, Command::CapabilitiesExchange, true), 1);
    assert!(!relay.hss.stop.is_closed());
}

#[tokio::test]
#[ignore = "needs freeDiameter; cargo xtask test runs it"]
async fn cx_1_tls_with_certificates_at_both_ends() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let tls = authority.sign("hss.home.example").load("hss.home.example").unwrap();
    let hss = Hss::on("hss", 30, Listener::tls(TcpListener::bind(local(0)).await.unwrap(), tls));
    let peers = [ConnectTo { host: "hss.home.example", address: hss.address }];
    let files = authority.sign("fd.home.example");
    let freed = FreeDiameter::start(folder.path(), &peers, Some(&files)).await;
    let mut config = client_config("scscf", freed.address, 30);
    config.peers = vec![RemotePeer { address: freed.address, host: Some("fd.home.example".into()) }];
    config.destination_host = Some("hss.home.example".into());
    config.tls = Some(authority.sign("scscf.home.example").load("scscf.home.example").unwrap());
    let client = connected(config).await;
    let there = async {
        loop {
            match ask(|reply| client.call(mar(1), reply)).await {
                Ok(answer) => return answer,
                // Until freeDiameter has found the HSS.
                Err(LinkError::Protocol(BaseCode::UnableToDeliver)) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    let answer = timeout(LONG, there).await.expect("freeDiameter must connect to us");
    assert_eq!(answer, Answer::Maa(Ok(MultimediaAuth { vectors: vec![vector(0)] })));

    // Without a certificate that its authority signed, freeDiameter does not let us in, nor we it.
    let other = Authority::new(folder.path(), "other");
    let mut foreign = other.sign("scscf2.home.example");
    foreign.ca = authority.certificate();
    let mut config = client_config("scscf2", freed.address, 30);
    config.peers = vec![RemotePeer { address: freed.address, host: Some("fd.home.example".into()) }];
    config.tls = Some(foreign.load("scscf2.home.example").unwrap());
    let stranger = DiameterClient::start(config);
    assert!(timeout(Duration::from_secs(1), stranger.wait_until_connected()).await.is_err());
}

/// A peer by hand, up to the end of the capabilities exchange.
async fn raw_peer(address: SocketAddr, host: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut writer = raw_writer(Command::CapabilitiesExchange, Application::Base, 1);
    raw_identity(&mut writer, host);
    writer.octets(d::HOST_IP_ADDRESS, &[0, 1, 127, 0, 0, 1]);
    writer.number(d::VENDOR_ID, 0);
    writer.text(d::PRODUCT_NAME, "raw");
    writer.number(d::SUPPORTED_VENDOR_ID, d::VENDOR_3GPP);
    writer.group(d::VENDOR_SPECIFIC_APPLICATION_ID, |group| {
        group.number(d::VENDOR_ID, d::VENDOR_3GPP);
        group.number(d::AUTH_APPLICATION_ID, Application::Cx.code());
    });
    let answer = raw_ask(&mut stream, writer.finish().unwrap().as_bytes()).await;
    assert_eq!(decode::result_code(&answer[20..]), Ok(BaseCode::Success));
    stream
}

fn raw_writer(command: Command, application: Application, end_to_end: u32) -> Writer {
    let header = Header {
        request: true,
        proxiable: application != Application::Base,
        error: false,
        retransmitted: false,
        command,
        application,
        ids: Ids { hop_by_hop: end_to_end, end_to_end },
    };
    Writer::new(header, 512)
}

fn raw_identity(writer: &mut Writer, host: &str) {
    writer.text(d::ORIGIN_HOST, &format!("{host}.home.example"));
    writer.text(d::ORIGIN_REALM, "home.example");
}

fn raw_request(command: Command, application: Application, end_to_end: u32, extra: &[u8]) -> Vec<u8> {
    let mut writer = raw_writer(command, application, end_to_end);
    writer.text(d::SESSION_ID, &format!("raw.home.example;1;{end_to_end}"));
    raw_identity(&mut writer, "raw");
    writer.text(d::DESTINATION_REALM, "home.example");
    writer.text(d::DESTINATION_HOST, "hss.home.example");
    writer.raw(extra);
    writer.finish().unwrap().as_bytes().to_vec()
}

/// The answer; a watchdog that comes first is answered.
async fn raw_ask(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    let (wanted, _) = Header::parse(request).unwrap();
    let answer = async {
        loop {
            let message = read_message(stream).await.expect("an answer must come");
            let (header, _) = Header::parse(&message).unwrap();
            if !header.request && header.ids == wanted.ids {
                return message;
            }
            if header.command == Command::DeviceWatchdog && header.request {
                let mut writer = Writer::new(Header { request: false, ..header }, 256);
                writer.number(d::RESULT_CODE, 2001);
                raw_identity(&mut writer, "raw");
                stream.write_all(writer.finish().unwrap().as_bytes()).await.unwrap();
            }
        }
    };
    timeout(LONG, answer).await.expect("an answer in time")
}
