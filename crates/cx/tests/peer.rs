//! Client and server against each other on loopback, and each against a peer that misbehaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aka::{AuthVector, Autn, Ck, Ik, Impi, Impu, Rand, Res};
use cx::diameter::{Application, Command, Header, Ids, Writer, decode, dictionary};
use cx::peer::{RemotePeer, serve};
use cx::{
    Answer, AnswerWith, AuthScheme, BaseCode, ClientConfig, DiameterClient, Link, LinkError, Local,
    MultimediaAuth, MultimediaAuthRequest, Origin, Request, Server, ServerConfig, ServerName,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

/// Answers a MAR with one vector whose RAND repeats the number of items asked for.
struct Echo(Arc<AtomicUsize>);

impl Server for Echo {
    fn handle(&self, _from: &Origin, request: Request, answer: AnswerWith) {
        self.0.fetch_add(1, Ordering::Relaxed);
        let Request::Mar(mar) = request else { panic!("only MAR here") };
        let vector = AuthVector {
            rand: Rand::from_bytes(u128::from(mar.items).to_be_bytes()),
            autn: Autn::from_bytes([2; 16]),
            xres: Res::new(&[3; 8]).unwrap(),
            ck: Ck::from_bytes([4; 16]),
            ik: Ik::from_bytes([5; 16]),
        };
        answer(Answer::Maa(Ok(MultimediaAuth { vectors: vec![vector] })));
    }
}

fn origin(host: &str) -> Origin {
    Origin { host: format!("{host}.home.example"), realm: "home.example".into() }
}

fn mar(items: u32) -> Request {
    Request::Mar(MultimediaAuthRequest {
        impi: Impi::new("a@home.example").unwrap(),
        impu: Impu::new("sip:a@home.example").unwrap(),
        server_name: ServerName::new("sip:scscf.home.example").unwrap(),
        items,
        scheme: AuthScheme::DigestAka,
        resync: None,
    })
}

fn echoed(answer: &Result<Answer, LinkError>) -> u128 {
    match answer {
        Ok(Answer::Maa(Ok(maa))) => u128::from_be_bytes(*maa.vectors[0].rand.as_bytes()),
        other => panic!("{other:?}"),
    }
}

fn ask(link: &dyn Link, request: Request) -> oneshot::Receiver<Result<Answer, LinkError>> {
    let (tell, told) = oneshot::channel();
    link.call(request, Box::new(move |answer| drop(tell.send(answer))));
    told
}

async fn answer_of(told: oneshot::Receiver<Result<Answer, LinkError>>) -> Result<Answer, LinkError> {
    timeout(LONG, told).await.expect("the reply must be called").expect("exactly once")
}

struct Running {
    address: SocketAddr,
    handled: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

async fn start_server(watchdog: Duration) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handled = Arc::new(AtomicUsize::new(0));
    let server = Arc::new(Echo(Arc::clone(&handled)));
    let mut config = ServerConfig::new(origin("hss"));
    config.watchdog = watchdog;
    let (stop, stopped) = oneshot::channel();
    let done = tokio::spawn(serve(listener, config, server, async {
        let _ = stopped.await;
    }));
    Running { address, handled, stop, done }
}

fn client_config(remote: SocketAddr) -> ClientConfig {
    let mut config = ClientConfig::new(origin("scscf"), remote, "home.example".into());
    config.shortest_pause = Duration::from_millis(20);
    config.longest_pause = Duration::from_millis(40);
    config
}

async fn connected(config: ClientConfig) -> DiameterClient {
    let client = DiameterClient::start(config);
    timeout(LONG, client.wait_until_connected()).await.expect("the client must connect");
    client
}

#[test]
fn local_link_answers_in_place() {
    let link = Local::new(origin("scscf"), Arc::new(Echo(Arc::default())));
    let mut told = ask(&link, mar(7));
    assert_eq!(echoed(&told.try_recv().expect("before call returns")), 7);
}

#[tokio::test]
async fn cx_1_pipelined_requests_get_their_own_answers() {
    let server = start_server(LONG).await;
    let client = connected(client_config(server.address)).await;
    let asked: Vec<_> = (0..200).map(|number| ask(&client, mar(number))).collect();
    for (number, told) in (0..).zip(asked) {
        assert_eq!(echoed(&answer_of(told).await), number);
    }
    assert_eq!(server.handled.load(Ordering::Relaxed), 200);
}

#[tokio::test]
async fn cx_1_both_ends_say_goodbye() {
    let server = start_server(LONG).await;
    let client = connected(client_config(server.address)).await;
    server.stop.send(()).unwrap();
    timeout(LONG, server.done).await.expect("serve must end").unwrap();
    timeout(LONG, async {
        while client.is_connected() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the client must notice");
    assert_eq!(answer_of(ask(&client, mar(1))).await, Err(LinkError::NotConnected));

    // And the other way round: a client that goes is not missed.
    let server = start_server(LONG).await;
    let mut raw = accept_by_hand(server.address).await;
    raw.write_all(&base_request(Command::DisconnectPeer)).await.unwrap();
    let answer = read_message(&mut raw).await.unwrap();
    let (header, avps) = Header::parse(&answer).unwrap();
    assert_eq!((header.request, header.command), (false, Command::DisconnectPeer));
    assert_eq!(decode::result_code(avps), Ok(BaseCode::Success));
    assert_eq!(read_message(&mut raw).await, None, "then the server closes");
}

#[tokio::test]
async fn cx_12_what_was_outstanding_is_sent_again_after_a_loss_or_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = client_config(address);
    config.request_timeout = Duration::from_secs(2);
    let (client, mut peer) = tokio::join!(connected(config), accept_client(&listener));
    let outstanding = ask(&client, mar(1));
    let first = read_message(&mut peer).await.unwrap();
    drop(peer);

    // It comes back by itself, and brings the request with it: the same but for the T flag and Hop-by-Hop.
    let mut peer = timeout(LONG, accept_client(&listener)).await.expect("the client must come back");
    let again = next_request(&mut peer).await;
    let (before, after) = (header_of(&first), header_of(&again));
    assert!(!before.retransmitted && after.retransmitted);
    assert_eq!(before.ids.end_to_end, after.ids.end_to_end);
    assert_eq!(first[20..], again[20..]);
    peer.write_all(&result_answer(after, 5012)).await.unwrap();
    assert_eq!(answer_of(outstanding).await, Ok(Answer::Maa(Err(BaseCode::UnableToComply.into()))));

    // When the peer stays away, the request ends in an error, and further ones at once.
    let outstanding = ask(&client, mar(2));
    read_message(&mut peer).await.unwrap();
    drop((peer, listener));
    assert_eq!(answer_of(outstanding).await, Err(LinkError::ConnectionLost));
    assert_eq!(answer_of(ask(&client, mar(3))).await, Err(LinkError::NotConnected));
}

#[tokio::test]
async fn cx_12_what_one_hss_does_not_answer_the_other_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = start_server(LONG).await;
    let mut config = client_config(listener.local_addr().unwrap());
    config.peers.push(RemotePeer { address: second.address, host: Some("hss.home.example".into()) });
    let client = DiameterClient::start(config);
    let mut first = accept_client(&listener).await;
    // A watchdog of the peer's own comes back after its capabilities were taken.
    first.write_all(&base_request(Command::DeviceWatchdog)).await.unwrap();
    assert_eq!(header_of(&read_message(&mut first).await.unwrap()).command, Command::DeviceWatchdog);
    let asked: Vec<_> = (1..=20).map(|number| ask(&client, mar(number))).collect();
    for _ in 0..20 {
        assert_eq!(header_of(&next_request(&mut first).await).command, Command::MultimediaAuth);
    }
    assert_eq!(second.handled.load(Ordering::Relaxed), 0, "the preferred one is asked");
    drop((first, listener));
    for (number, told) in (1..=20).zip(asked) {
        assert_eq!(echoed(&answer_of(told).await), number);
    }
    assert_eq!(second.handled.load(Ordering::Relaxed), 20);
}

#[tokio::test]
async fn cx_12_silence_ends_in_a_timeout_and_a_late_answer_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = client_config(listener.local_addr().unwrap());
    config.request_timeout = Duration::from_millis(500);
    let (client, mut peer) = tokio::join!(connected(config), accept_client(&listener));
    let first = ask(&client, mar(1));
    let header = header_of(&read_message(&mut peer).await.unwrap());
    assert_eq!(answer_of(first).await, Err(LinkError::Timeout));
    peer.write_all(&result_answer(header, 5012)).await.unwrap();

    let second = ask(&client, mar(2));
    let header = header_of(&read_message(&mut peer).await.unwrap());
    peer.write_all(&result_answer(header, 2001)).await.unwrap();
    assert_eq!(answer_of(second).await, Ok(Answer::Maa(Ok(MultimediaAuth::default()))));
}

#[tokio::test]
async fn the_number_in_flight_is_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = client_config(listener.local_addr().unwrap());
    config.max_in_flight = 2;
    config.request_timeout = Duration::from_millis(500);
    let (client, mut peer) = tokio::join!(connected(config), accept_client(&listener));
    let first = [ask(&client, mar(1)), ask(&client, mar(2))];
    for _ in 0..2 {
        read_message(&mut peer).await.unwrap();
    }
    assert_eq!(answer_of(ask(&client, mar(3))).await, Err(LinkError::Busy));
    drop((peer, listener));
    for told in first {
        assert_eq!(answer_of(told).await, Err(LinkError::ConnectionLost));
    }
}

#[tokio::test]
async fn cx_12_watchdog_keeps_a_quiet_connection_and_drops_a_dead_one() {
    let server = start_server(Duration::from_millis(150)).await;
    let mut raw = accept_by_hand(server.address).await;
    for _ in 0..3 {
        let header = header_of(&read_message(&mut raw).await.unwrap());
        assert!(header.request);
        assert_eq!(header.command, Command::DeviceWatchdog);
        raw.write_all(&result_answer(header, 2001)).await.unwrap();
    }
    let header = header_of(&read_message(&mut raw).await.unwrap());
    assert_eq!(header.command, Command::DeviceWatchdog);
    assert_eq!(read_message(&mut raw).await, None, "no answer to the watchdog: closed");

    // Our own client answers, so it stays.
    let mut config = client_config(server.address);
    config.watchdog = Duration::from_millis(150);
    let client = connected(config).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(echoed(&answer_of(ask(&client, mar(9))).await), 9);
}

#[tokio::test]
async fn cx_1_application_and_command_are_checked() {
    let server = start_server(LONG).await;

    let mut raw = TcpStream::connect(server.address).await.unwrap();
    raw.write_all(&capabilities(16_777_217)).await.unwrap();
    let answer = read_message(&mut raw).await.unwrap();
    let (_, avps) = Header::parse(&answer).unwrap();
    assert_eq!(decode::result_code(avps), Ok(BaseCode::NoCommonApplication));
    assert_eq!(read_message(&mut raw).await, None);

    let mut raw = accept_by_hand(server.address).await;
    let ids = Ids { hop_by_hop: 77, end_to_end: 78 };
    let unknown = [
        (Command::Other(999), Application::Cx, BaseCode::CommandUnsupported),
        (Command::MultimediaAuth, Application::Other(5), BaseCode::ApplicationUnsupported),
    ];
    for (command, application, expected) in unknown {
        let header = Header {
            request: true,
            proxiable: true,
            error: false,
            retransmitted: false,
            command,
            application,
            ids,
        };
        let mut writer = Writer::new(header, 64);
        writer.text(dictionary::SESSION_ID, "a;1;2");
        raw.write_all(writer.finish().unwrap().as_bytes()).await.unwrap();
        let answer = read_message(&mut raw).await.unwrap();
        let (header, avps) = Header::parse(&answer).unwrap();
        assert!(header.error && !header.request);
        assert_eq!((header.command, header.ids), (command, ids));
        assert_eq!(decode::result_code(avps), Ok(expected));
    }
    // A Cx request with an AVP missing keeps the connection.
    let header = Header {
        request: true,
        proxiable: true,
        error: false,
        retransmitted: false,
        command: Command::MultimediaAuth,
        application: Application::Cx,
        ids,
    };
    raw.write_all(Writer::new(header, 64).finish().unwrap().as_bytes()).await.unwrap();
    let answer = read_message(&mut raw).await.unwrap();
    let (header, avps) = Header::parse(&answer).unwrap();
    assert!(!header.error);
    assert_eq!(decode::answer(&header, avps), Ok(Answer::Maa(Err(BaseCode::MissingAvp.into()))));
    assert_eq!(server.handled.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn garbage_closes_the_connection_and_nothing_else() {
    let server = start_server(LONG).await;
    let good = connected(client_config(server.address)).await;
    let cer_then = |tail: &[u8]| [capabilities(16_777_216).as_slice(), tail].concat();
    let cases = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 3000],
        vec![1, 0, 0, 4, 0, 0, 0, 0],
        vec![1, 0xff, 0xff, 0xfc, 0x80, 0, 1, 1],
        base_request(Command::DeviceWatchdog),
        cer_then(&[1, 0, 0, 21, 0x80, 0, 1, 24]),
        cer_then(b"\x02\x00\x00\x14"),
    ];
    for case in cases {
        let mut raw = TcpStream::connect(server.address).await.unwrap();
        raw.write_all(&case).await.unwrap();
        while read_message(&mut raw).await.is_some() {}
    }
    assert_eq!(echoed(&answer_of(ask(&good, mar(5))).await), 5);
}

#[tokio::test]
async fn garbage_from_the_hss_answers_what_was_outstanding() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = client_config(listener.local_addr().unwrap());
    config.request_timeout = Duration::from_millis(500);
    let (client, mut peer) = tokio::join!(connected(config), accept_client(&listener));
    let outstanding = ask(&client, mar(1));
    let header = header_of(&read_message(&mut peer).await.unwrap());
    // A whole message whose AVPs make no sense is one bad answer…
    let mut answer = result_answer(header, 2001);
    answer[27] = 99;
    peer.write_all(&answer).await.unwrap();
    assert_eq!(answer_of(outstanding).await, Err(LinkError::Answer(BaseCode::InvalidAvpLength)));
    // …octets that are no message end the connection.
    let outstanding = ask(&client, mar(2));
    read_message(&mut peer).await.unwrap();
    peer.write_all(b"garbage").await.unwrap();
    drop(listener);
    assert_eq!(answer_of(outstanding).await, Err(LinkError::ConnectionLost));
}

#[tokio::test]
async fn protocol_errors_are_told_apart_from_refusals() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, mut peer) = tokio::join!(connected(client_config(address)), accept_client(&listener));
    let outstanding = ask(&client, mar(1));
    let header = header_of(&read_message(&mut peer).await.unwrap());
    peer.write_all(&result_answer(header, 3002)).await.unwrap();
    assert_eq!(answer_of(outstanding).await, Err(LinkError::Protocol(BaseCode::UnableToDeliver)));
}

#[tokio::test]
async fn messages_may_arrive_octet_by_octet() {
    let server = start_server(LONG).await;
    let mut raw = TcpStream::connect(server.address).await.unwrap();
    for octet in capabilities(16_777_216) {
        raw.write_all(&[octet]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(header_of(&read_message(&mut raw).await.unwrap()).command, Command::CapabilitiesExchange);
}

fn base_header(command: Command) -> Header {
    let ids = Ids { hop_by_hop: 1, end_to_end: 2 };
    Header {
        request: true,
        proxiable: false,
        error: false,
        retransmitted: false,
        command,
        application: Application::Base,
        ids,
    }
}

fn base_request(command: Command) -> Vec<u8> {
    let mut writer = Writer::new(base_header(command), 256);
    writer.text(dictionary::ORIGIN_HOST, "raw.home.example");
    writer.text(dictionary::ORIGIN_REALM, "home.example");
    writer.number(dictionary::DISCONNECT_CAUSE, 0);
    writer.finish().unwrap().as_bytes().to_vec()
}

fn capabilities(application: u32) -> Vec<u8> {
    let mut writer = Writer::new(base_header(Command::CapabilitiesExchange), 256);
    writer.text(dictionary::ORIGIN_HOST, "raw.home.example");
    writer.text(dictionary::ORIGIN_REALM, "home.example");
    writer.octets(dictionary::HOST_IP_ADDRESS, &[0, 1, 127, 0, 0, 1]);
    writer.number(dictionary::VENDOR_ID, 0);
    writer.text(dictionary::PRODUCT_NAME, "raw");
    writer.number(dictionary::AUTH_APPLICATION_ID, application);
    writer.finish().unwrap().as_bytes().to_vec()
}

fn result_answer(request: Header, code: u32) -> Vec<u8> {
    let error = (3000..4000).contains(&code);
    let mut writer = Writer::new(Header { request: false, error, ..request }, 256);
    writer.number(dictionary::RESULT_CODE, code);
    writer.text(dictionary::ORIGIN_HOST, "raw.home.example");
    writer.text(dictionary::ORIGIN_REALM, "home.example");
    writer.number(dictionary::AUTH_APPLICATION_ID, 16_777_216);
    writer.finish().unwrap().as_bytes().to_vec()
}

/// Plays a server up to the end of the capabilities exchange.
async fn accept_client(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let header = header_of(&read_message(&mut stream).await.unwrap());
    assert_eq!(header.command, Command::CapabilitiesExchange);
    stream.write_all(&result_answer(header, 2001)).await.unwrap();
    stream
}

/// Plays a client up to the end of the capabilities exchange.
async fn accept_by_hand(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&capabilities(16_777_216)).await.unwrap();
    let answer = read_message(&mut stream).await.unwrap();
    let (_, avps) = Header::parse(&answer).unwrap();
    assert_eq!(decode::result_code(avps), Ok(BaseCode::Success));
    stream
}

/// The next Cx request; the watchdog is answered.
async fn next_request(stream: &mut TcpStream) -> Vec<u8> {
    loop {
        let message = read_message(stream).await.expect("a request must come");
        let header = header_of(&message);
        if header.command != Command::DeviceWatchdog {
            return message;
        }
        stream.write_all(&result_answer(header, 2001)).await.unwrap();
    }
}

fn header_of(message: &[u8]) -> Header {
    Header::parse(message).unwrap().0
}

/// None at the end of the connection.
async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let read = async {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.ok()?;
        let mut message = vec![0; Header::message_length(&head).ok()??];
        message[..4].copy_from_slice(&head);
        stream.read_exact(&mut message[4..]).await.ok()?;
        Some(message)
    };
    timeout(LONG, read).await.expect("a message or the end must come")
}
