//! Two HSSs on one PostgreSQL: a real one, started here on a socket of its own.

mod files;
#[path = "../process/mod.rs"]
mod process;
mod server;
mod store;
mod storm;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cx::{ClientConfig, DiameterClient, Origin};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use files::Files;
use process::Daemon;
use server::{PASSWORD, Postgres};
use storm::{Got, PATIENCE, SUBSCRIBERS};

const MARS: usize = 10_000;
/// Of each client, at a time.
const AT_ONCE: usize = 400;

fn files(folder: &tempfile::TempDir, postgres: &Postgres) -> Files {
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("subscribers.csv", &storm::csv());
    write("password", PASSWORD);
    write("key", &"7f".repeat(32));
    Files { folder: folder.path().to_owned(), socket: postgres.socket() }
}

async fn client(name: &str, daemon: &Daemon) -> DiameterClient {
    let origin = Origin { host: format!("{name}.home.example"), realm: "home.example".into() };
    let mut config = ClientConfig::new(origin, daemon.address(), "home.example".into());
    config.shortest_pause = Duration::from_millis(20);
    config.longest_pause = Duration::from_millis(200);
    // A busy machine may be slow: that is another test's business.
    config.request_timeout = PATIENCE;
    let client = DiameterClient::start(config);
    timeout(PATIENCE, client.wait_until_connected()).await.expect("the HSS accepts us");
    client
}

/// `MARS` vectors, however many failures it takes, which are counted. Every other one is asked of the other HSS; the
/// subscribers in turn.
async fn storm(clients: [DiameterClient; 2], got: Arc<std::sync::Mutex<Vec<Got>>>) -> usize {
    let places = [AT_ONCE, AT_ONCE].map(|places| Arc::new(Semaphore::new(places)));
    let mut asked = JoinSet::new();
    for number in 0..MARS {
        let (client, places) = (clients[number % 2].clone(), Arc::clone(&places[number % 2]));
        let got = Arc::clone(&got);
        asked.spawn(async move {
            let mut failures = 0;
            loop {
                let place = places.acquire().await.unwrap();
                // The subscribers do not alternate between the HSSs: both serve each of them.
                let vector = storm::vector(&client, number / 2 % SUBSCRIBERS).await;
                drop(place);
                match vector {
                    Some(vector) => {
                        got.lock().unwrap().push(vector);
                        return failures;
                    }
                    None => {
                        failures += 1;
                        sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        });
    }
    asked.join_all().await.into_iter().sum()
}

#[tokio::test]
#[ignore = "needs PostgreSQL; cargo xtask test runs it"]
async fn aka_5_cx_4_two_hss_on_one_database_never_hand_out_the_same_number() {
    let postgres = Postgres::started();
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder, &postgres);
    let daemons = ["hss1", "hss2"].map(|name| Daemon::start(&files.config(name)));
    let clients = [client("scscf1", &daemons[0]).await, client("scscf2", &daemons[1]).await];
    let got = Arc::default();
    let started = Instant::now();
    let failures = storm(clients, Arc::clone(&got)).await;
    let logs = daemons.each_ref().map(Daemon::log);
    assert_eq!(failures, 0, "an MAR failed and nothing had happened: {logs:#?}");
    eprintln!("{MARS} MARs to two HSSs: {:.2} s", started.elapsed().as_secs_f64());
    let seqs = storm::judge(&got.lock().unwrap());
    assert_eq!(seqs.len(), SUBSCRIBERS);
    for (subscriber, seqs) in seqs {
        let expected: Vec<u64> = (1..).take(MARS / SUBSCRIBERS).collect();
        assert_eq!(seqs, expected, "subscriber {subscriber}: each number once, and none left out");
    }

    // And what is at rest is no key.
    let dump = postgres.dump();
    for n in 0..SUBSCRIBERS {
        for key in storm::key_texts(n) {
            assert!(
                !dump.windows(key.len()).any(|part| part == key),
                "a key of subscriber {n} is in the database"
            );
        }
    }
    for daemon in &daemons {
        assert!(!daemon.log().contains(&hex::encode([0xcd; 16])), "nor in a log");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL; cargo xtask test runs it"]
async fn aka_5_nothing_comes_twice_when_an_hss_and_the_database_are_killed() {
    let mut postgres = Postgres::started();
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder, &postgres);
    let configs = ["hss1", "hss2"].map(|name| files.config(name));
    let mut first = Daemon::start(&configs[0]);
    let second = Daemon::start(&configs[1]);
    let clients = [client("scscf1", &first).await, client("scscf2", &second).await];
    let got: Arc<std::sync::Mutex<Vec<Got>>> = Arc::default();
    let storming = tokio::spawn(storm(clients, Arc::clone(&got)));
    let reached = async |count: usize| {
        let until = Instant::now() + PATIENCE;
        while got.lock().unwrap().len() < count {
            assert!(Instant::now() < until, "only {} of {count} vectors came", got.lock().unwrap().len());
            sleep(Duration::from_millis(2)).await;
        }
    };

    reached(MARS / 5).await;
    drop(first);
    reached(2 * MARS / 5).await;
    first = Daemon::start(&configs[0]);
    reached(3 * MARS / 5).await;
    postgres.kill();
    sleep(Duration::from_millis(500)).await;
    postgres.start();

    let failures = timeout(2 * PATIENCE, storming).await.expect("service comes back by itself").unwrap();
    let all = got.lock().unwrap();
    assert_eq!(all.len(), MARS);
    eprintln!("{MARS} vectors, {failures} failed attempts on the way");
    assert!(failures > 0, "something was killed in the middle");
    let seqs = storm::judge(&all);
    let highest: u64 = seqs.values().filter_map(|seqs| seqs.last()).sum();
    eprintln!("{} numbers were skipped", highest - MARS as u64);
    drop((first, second));
}
