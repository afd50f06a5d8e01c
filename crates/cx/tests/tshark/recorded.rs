//! A connection between our two ends over a relay that keeps every message.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aka::{Impi, Impu};
use cx::diameter::Header;
use cx::peer::serve;
use cx::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::pcap::From;

const LONG: Duration = Duration::from_secs(20);
/// Short, for a test that waits for it.
const WATCHDOG: Duration = Duration::from_millis(300);

pub(crate) type Recording = Arc<Mutex<Vec<(From, Vec<u8>)>>>;

/// Knows nobody.
struct Empty;

impl Server for Empty {
    fn handle(&self, _from: &Origin, request: Request, answer: AnswerWith) {
        answer(request.refused(ExperimentalCode::UserUnknown));
    }
}

fn origin(host: &str) -> Origin {
    Origin { host: format!("{host}.home.example"), realm: "home.example".into() }
}

/// From the first message to the last: an introduction, two requests, a watchdog, the end.
pub(crate) async fn connection() -> Vec<(From, Vec<u8>)> {
    let recording = Recording::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let config = ServerConfig::new(origin("hss"));
    tokio::spawn(serve(listener, config, Arc::new(Empty), std::future::pending()));
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = relay.local_addr().unwrap();
    let kept = Arc::clone(&recording);
    let relaying = tokio::spawn(async move {
        let (client, _) = relay.accept().await.unwrap();
        let server = TcpStream::connect(server).await.unwrap();
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::join!(
            pass(From::Client, from_client, to_server, Arc::clone(&kept)),
            pass(From::Server, from_server, to_client, kept),
        );
    });
    let mut config = ClientConfig::new(origin("scscf"), address, "home.example".into());
    config.watchdog = WATCHDOG;
    let client = DiameterClient::start(config);
    timeout(LONG, client.wait_until_connected()).await.expect("the client must connect");
    for request in requests() {
        let (tell, told) = oneshot::channel();
        client.call(request, Box::new(move |answer| drop(tell.send(answer))));
        let answer =
            timeout(LONG, told).await.expect("an answer").expect("exactly once").expect("a good link");
        assert_eq!(answer.failure(), Some(&ExperimentalCode::UserUnknown.into()));
    }
    let watched = async {
        let has_dwa = |(_, message): &(From, Vec<u8>)| {
            Header::parse(message).is_ok_and(|(header, _)| !header.request && header.command.code() == 280)
        };
        while !recording.lock().unwrap().iter().any(has_dwa) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, watched).await.expect("a quiet connection is watched");
    drop(client);
    timeout(LONG, relaying).await.expect("the client must say goodbye").unwrap();
    std::mem::take(&mut *recording.lock().unwrap())
}

fn requests() -> [Request; 2] {
    let impi = || Impi::new("a@home.example").unwrap();
    let impu = || Impu::new("sip:a@home.example").unwrap();
    [
        Request::Uar(UserAuthorizationRequest {
            impi: impi(),
            impu: impu(),
            visited_network: VisitedNetwork::new("home.example").unwrap(),
            kind: UserAuthorizationType::Registration,
            emergency: false,
        }),
        Request::Mar(MultimediaAuthRequest {
            impi: impi(),
            impu: impu(),
            server_name: ServerName::new("sip:scscf.home.example").unwrap(),
            items: 1,
            scheme: AuthScheme::DigestAka,
            resync: None,
        }),
    ]
}

/// Message by message until the end of the one side, which becomes the end of the other.
async fn pass(
    from: From,
    mut source: tokio::net::tcp::OwnedReadHalf,
    mut target: tokio::net::tcp::OwnedWriteHalf,
    kept: Recording,
) {
    loop {
        let mut message = vec![0; 4];
        if source.read_exact(&mut message).await.is_err() {
            let _ = target.shutdown().await;
            return;
        }
        let length = Header::message_length(&message).unwrap().unwrap();
        message.resize(length, 0);
        source.read_exact(&mut message[4..]).await.unwrap();
        kept.lock().unwrap().push((from, message.clone()));
        if target.write_all(&message).await.is_err() {
            return;
        }
    }
}
