//! MAR/MAA per second over one Diameter connection to the `hss` program, and the CPU time of a pair: with SQLite, and with
//! PostgreSQL where Debian's packages of it are there. The subscribers are taken in turn.
//!
//! `AKASEC_MARS` sets how many there are of each kind (20,000).

#[path = "../tests/postgres/server.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod server;

#[path = "../tests/process/mod.rs"]
mod process;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aka::{Impi, Impu};
use cx::{
    Answer, AuthScheme, ClientConfig, DiameterClient, Link, MultimediaAuthRequest, Origin, Request,
    ServerName,
};
use process::Daemon;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

const SUBSCRIBERS: usize = 1_000;

fn main() {
    let mars = std::env::var("AKASEC_MARS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "subscribers.csv", &subscribers());
    write(folder.path(), "key", &"7f".repeat(32));
    write(folder.path(), "password", server::PASSWORD);
    say("store       in flight    MAR/s   hss CPU a pair   database CPU a pair");
    let sqlite = config(
        folder.path(),
        "sqlite",
        "kind = \"sqlite\"\npath = \"FOLDER/hss.db\"\nkey_file = \"FOLDER/key\"",
    );
    runtime.block_on(measure("sqlite", &sqlite, mars, None));
    if !Path::new("/usr/lib/postgresql").exists() {
        return say("postgres    left out: the package postgresql is not installed");
    }
    let postgres = server::Postgres::started();
    let text = format!(
        "kind = \"postgres\"\nhost = {:?}\ndatabase = \"postgres\"\nuser = {:?}\npassword_file = \"FOLDER/password\"\n\
         key_file = \"FOLDER/key\"",
        postgres.socket().display().to_string(),
        server::USER
    );
    let config = config(folder.path(), "postgres", &text);
    runtime.block_on(measure("postgres", &config, mars, Some(&postgres)));
}

#[expect(clippy::print_stdout, reason = "that is what a bench is for")]
fn say(line: &str) {
    println!("{line}");
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("write a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set its mode");
}

fn config(folder: &Path, name: &str, store: &str) -> PathBuf {
    let text = format!(
        "listen = \"127.0.0.1:0\"\norigin_host = \"hss.home.example\"\norigin_realm = \"home.example\"\n\
         subscribers = \"FOLDER/subscribers.csv\"\n[store]\n{store}\n"
    );
    write(folder, &format!("{name}.toml"), &text.replace("FOLDER", &folder.display().to_string()));
    folder.join(format!("{name}.toml"))
}

fn user(n: usize) -> String {
    format!("00101{n:010}@ims.mnc001.mcc001.3gppnetwork.org")
}

fn subscribers() -> String {
    let rows = (0..SUBSCRIBERS)
        .map(|n| format!("{},{},{},sip:u{n}@home.example\n", user(n), "46".repeat(16), "cd".repeat(16)));
    std::iter::once("impi,k,opc,impus\n".to_owned()).chain(rows).collect()
}

async fn measure(store: &str, config: &Path, mars: usize, postgres: Option<&server::Postgres>) {
    let daemon = Daemon::start(config);
    let origin = Origin { host: "scscf.home.example".into(), realm: "home.example".into() };
    let mut config = ClientConfig::new(origin, daemon.address(), "home.example".into());
    config.request_timeout = Duration::from_secs(60);
    let client = DiameterClient::start(config);
    client.wait_until_connected().await;
    for at_once in [1, 16, 256] {
        let mars = if at_once == 1 { mars / 10 } else { mars };
        let before = (Instant::now(), server::cpu_of(daemon.id()), postgres.map(server::Postgres::cpu));
        storm(&client, at_once, mars).await;
        let took = before.0.elapsed();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count(mars);
        let hss = each(server::cpu_of(daemon.id()).saturating_sub(before.1));
        let database = postgres.zip(before.2).map(|(postgres, before)| postgres.cpu().saturating_sub(before));
        let database =
            database.map_or_else(|| "in the hss".to_owned(), |time| format!("{:.0} us", each(time)));
        let rate = count(mars) / took.as_secs_f64();
        say(&format!("{store:<11} {at_once:>9} {rate:>8.0} {hss:>13.0} us {database:>21}"));
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

async fn storm(client: &DiameterClient, at_once: usize, mars: usize) {
    let places = Arc::new(Semaphore::new(at_once));
    let mut asked = JoinSet::new();
    for n in 0..mars {
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        while asked.try_join_next().is_some() {}
        let client = client.clone();
        asked.spawn(async move {
            let (tell, told) = oneshot::channel();
            client.call(mar(n % SUBSCRIBERS), Box::new(move |answer| drop(tell.send(answer))));
            let answer = told.await.expect("exactly once");
            assert!(matches!(&answer, Ok(Answer::Maa(Ok(maa))) if maa.vectors.len() == 1), "{answer:?}");
            drop(place);
        });
    }
    asked.join_all().await;
}

fn mar(n: usize) -> Request {
    Request::Mar(MultimediaAuthRequest {
        impi: Impi::new(&user(n)).expect("an identity"),
        impu: Impu::new(&format!("sip:u{n}@home.example")).expect("an identity"),
        server_name: ServerName::new("sip:scscf.home.example").expect("a name"),
        items: 1,
        scheme: AuthScheme::DigestAka,
        resync: None,
    })
}
