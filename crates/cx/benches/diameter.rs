//! MAR and MAA over one connection on loopback, with a server that answers at once: what the Diameter layer itself
//! can carry, and what a pair costs both ends together. Timings are printed, never asserted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aka::{AuthVector, Autn, Ck, Ik, Impi, Impu, Rand, Res};
use cx::peer::serve;
use cx::{
    Answer, AnswerWith, AuthScheme, ClientConfig, DiameterClient, Link, MultimediaAuth,
    MultimediaAuthRequest, Origin, Request, Server, ServerConfig, ServerName,
};
use tokio::sync::Notify;

/// Of `/proc/self/stat`; the same on every Linux that matters.
const TICKS_PER_SECOND: u64 = 100;

struct Instantly;

impl Server for Instantly {
    fn handle(&self, _: &Origin, _: Request, answer: AnswerWith) {
        let vector = AuthVector {
            rand: Rand::from_bytes([1; 16]),
            autn: Autn::from_bytes([2; 16]),
            xres: Res::new(&[3; 8]).unwrap(),
            ck: Ck::from_bytes([4; 16]),
            ik: Ik::from_bytes([5; 16]),
        };
        answer(Answer::Maa(Ok(MultimediaAuth { vectors: vec![vector] })));
    }
}

fn main() {
    let address = start_server();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = ClientConfig::new(origin("scscf"), address, "home.example".into());
        config.max_in_flight = 4096;
        let client = DiameterClient::start(config);
        client.wait_until_connected().await;
        run(&client, 256, 20_000).await;
        eprintln!("MAR/MAA pairs over one connection, each end a thread:");
        for (in_flight, pairs) in [(1, 20_000), (16, 100_000), (256, 200_000), (1000, 200_000)] {
            let (before, begin) = (cpu(), Instant::now());
            run(&client, in_flight, pairs).await;
            let (time, busy) = (begin.elapsed(), cpu() - before);
            let rate = pairs as f64 / time.as_secs_f64();
            let each = busy.as_secs_f64() * 1e6 / pairs as f64;
            eprintln!(
                "{in_flight:5} in flight: {rate:8.0} pairs a second, {each:5.1} us CPU a pair (both ends)"
            );
        }
        eprintln!("memory of the process, the remembered answers included: {} MiB", resident() / 1024 / 1024);
    });
}

fn start_server() -> std::net::SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let config = ServerConfig::new(origin("hss"));
            serve(listener, config, Arc::new(Instantly), std::future::pending()).await;
        });
    });
    told.recv().unwrap()
}

fn origin(host: &str) -> Origin {
    Origin { host: format!("{host}.home.example"), realm: "home.example".into() }
}

struct Driver {
    link: DiameterClient,
    to_ask: AtomicUsize,
    to_come: AtomicUsize,
    done: Notify,
}

async fn run(link: &DiameterClient, in_flight: usize, pairs: usize) {
    let driver = Arc::new(Driver {
        link: link.clone(),
        to_ask: AtomicUsize::new(pairs),
        to_come: AtomicUsize::new(pairs),
        done: Notify::new(),
    });
    for _ in 0..in_flight {
        next(&driver);
    }
    driver.done.notified().await;
}

fn next(driver: &Arc<Driver>) {
    let ask = |left: usize| left.checked_sub(1);
    if driver.to_ask.fetch_update(Ordering::Relaxed, Ordering::Relaxed, ask).is_err() {
        return;
    }
    let request = Request::Mar(MultimediaAuthRequest {
        impi: Impi::new("001010000000001@ims.mnc001.mcc001.3gppnetwork.org").unwrap(),
        impu: Impu::new("sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org").unwrap(),
        server_name: ServerName::new("sip:scscf.ims.mnc001.mcc001.3gppnetwork.org:6060").unwrap(),
        items: 1,
        scheme: AuthScheme::DigestAka,
        resync: None,
    });
    let again = Arc::clone(driver);
    driver.link.call(
        request,
        Box::new(move |answer| {
            assert!(matches!(answer, Ok(Answer::Maa(Ok(_)))), "{answer:?}");
            if again.to_come.fetch_sub(1, Ordering::Relaxed) == 1 {
                again.done.notify_one();
            }
            next(&again);
        }),
    );
}

/// User and system time of the process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).map(|part| part.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
