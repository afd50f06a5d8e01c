//! What the SQLite store costs: looking a subscriber up among so many, and MAR after MAR on the disk.
//!
//! `AKASEC_SUBSCRIBERS=1000000` adds a step; without it 100,000 are the most. Criterion cannot do it: the store is
//! made once, and what counts is many callers at a time.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aka::{Algorithm, Amf, Impi, Impu, K, Opc, Sqn};
use cx::{Answer, AuthScheme, MultimediaAuthRequest, Origin, Request, Server, ServerName};
use hss::csv::Imported;
use hss::store::seal::MasterKey;
use hss::store::{Done, IfPresent, Key, SqliteStore, Store};
use hss::{Hss, Policy, StoreError, Subscriber, SubscriberImpu, Subscription};

const LOOK_UPS: usize = 20_000;

fn main() {
    let most = std::env::var("AKASEC_SUBSCRIBERS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hss.db");
    let store = open(&path);
    let mut present = 0;
    say("subscribers   insert   look-up by IMPI   by IMPU");
    for count in [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|count| *count <= most) {
        let started = Instant::now();
        insert(&store, present, count);
        let each = started.elapsed() / u32::try_from(count - present).expect("few enough");
        present = count;
        let by_impi = look_up(&store, count, |n| Key::Impi(impi(n)));
        let by_impu = look_up(&store, count, |n| Key::Impu(impu(n)));
        say(&format!("{count:>11} {each:>8.1?} {by_impi:>17.1?} {by_impu:>9.1?}"));
    }
    let hss = Hss::new(Policy::default(), store, [7; 32], hss::shell::wall_clock());
    say("MAR at a time    MAR/s   time of one");
    for at_once in [1, 8, 64, 256] {
        let (rate, each) = challenge(&hss, at_once, present);
        say(&format!("{at_once:>13} {rate:>8.0} {each:>13.1?}"));
    }
}

#[expect(clippy::print_stdout, reason = "that is what a bench is for")]
fn say(line: &str) {
    println!("{line}");
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, MasterKey::from_bytes(&[9; 32])).expect("a store")
}

fn impi(n: usize) -> Impi {
    Impi::new(&format!("00101{n:010}@ims.mnc001.mcc001.3gppnetwork.org")).expect("an identity")
}

fn impu(n: usize) -> Impu {
    Impu::new(&format!("sip:00101{n:010}@ims.mnc001.mcc001.3gppnetwork.org")).expect("an identity")
}

fn ask<T: Send + 'static>(operation: impl FnOnce(Done<T>)) -> Result<T, StoreError> {
    let (tell, told) = mpsc::sync_channel(1);
    operation(Box::new(move |result| drop(tell.try_send(result))));
    told.recv().unwrap_or(Err(StoreError::Closed))
}

fn insert(store: &SqliteStore, from: usize, to: usize) {
    let numbers: Vec<usize> = (from..to).collect();
    for batch in numbers.chunks(Subscription::MOST_AT_ONCE) {
        let rows = batch.iter().map(|n| {
            let subscriber = Subscriber {
                impi: impi(*n),
                algorithm: Algorithm::milenage(K::from_bytes([1; 16]), Opc::from_bytes([2; 16])),
                amf: Amf::from_bytes([0x80, 0]),
                impus: vec![SubscriberImpu { impu: impu(*n), barred: false }],
                anonymity: cx::Anonymity::default(),
            };
            Imported { subscriber, sqn: Sqn::default() }
        });
        let batch = hss::subscriptions(rows.collect()).expect("subscriptions");
        ask(|done| store.insert(batch, IfPresent::Fail, done)).expect("an insertion");
    }
}

/// All over the file, one after the other.
fn look_up(store: &SqliteStore, count: usize, key: impl Fn(usize) -> Key) -> Duration {
    let started = Instant::now();
    for n in 0..LOOK_UPS {
        let found = ask(|done| store.load(key(n * 7_919 % count), done)).expect("an answer");
        assert!(found.is_some(), "everybody is there");
    }
    started.elapsed() / u32::try_from(LOOK_UPS).expect("few enough")
}

/// So many callers, each of which waits for its vector before it asks for the next.
fn challenge(hss: &Hss<SqliteStore>, at_once: usize, count: usize) -> (f64, Duration) {
    let each = (20_000 / at_once.max(8)).max(100);
    let started = Instant::now();
    let callers: Vec<_> = (0..at_once)
        .map(|caller| {
            let hss = hss.clone();
            std::thread::spawn(move || {
                let from = Origin { host: "scscf.home.example".into(), realm: "home.example".into() };
                for n in 0..each {
                    let (tell, told) = mpsc::sync_channel(1);
                    let request = mar((caller * each + n) * 7_919 % count);
                    hss.handle(&from, request, Box::new(move |answer| drop(tell.try_send(answer))));
                    assert!(matches!(told.recv(), Ok(Answer::Maa(Ok(_)))), "a vector");
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().expect("a caller"));
    let (took, all) = (started.elapsed(), at_once * each);
    (all as f64 / took.as_secs_f64(), took / u32::try_from(each).expect("few enough"))
}

fn mar(n: usize) -> Request {
    Request::Mar(MultimediaAuthRequest {
        impi: impi(n),
        impu: impu(n),
        server_name: ServerName::new("sip:scscf.home.example").expect("a name"),
        items: 1,
        scheme: AuthScheme::DigestAka,
        resync: None,
    })
}
