//! The daemon as a process, and a client that asks it for vectors.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aka::{Algorithm, AuthVector, Impi, Impu, K, Opc};
use cx::{
    Answer, AuthScheme, ClientConfig, DiameterClient, Link, LinkError, MultimediaAuthRequest, Origin,
    Request, ServerName,
};
use tokio::time::timeout;

pub const LONG: Duration = Duration::from_secs(20);
pub const K1: &str = "465b5ce8b199b49faa5f0a2ee238a6bc";
pub const OPC: &str = "cd63cb71954a9f4e48a5994e37a02baf";

pub fn algorithm() -> Algorithm {
    Algorithm::milenage(K::from_hex(K1).unwrap(), Opc::from_hex(OPC).unwrap())
}

/// The n-th subscriber; all have the same keys.
pub fn impi(n: usize) -> String {
    format!("00101{n:010}@ims.mnc001.mcc001.3gppnetwork.org")
}

/// A subscriber file of so many.
pub fn subscribers(count: usize) -> String {
    let rows = (1..=count).map(|n| format!("00101{n:010},{K1},{OPC}\n"));
    std::iter::once("imsi,k,opc\n".to_owned()).chain(rows).collect()
}

pub fn write_files(folder: &Path, subscribers: &str) -> PathBuf {
    let csv = folder.join("subscribers.csv");
    std::fs::write(&csv, subscribers).unwrap();
    let config = folder.join("hss.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\norigin_host = \"hss.home.example\"\norigin_realm = \"home.example\"\nsubscribers = {:?}\n",
        csv.display().to_string()
    );
    std::fs::write(&config, text).unwrap();
    config
}

pub fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hss"));
    command.arg("--config").arg(config).stdin(Stdio::null());
    command
}

/// Killed, not asked, when it goes: that is the point.
pub struct Daemon {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    pub fn start(config: &Path) -> Self {
        Self::of(command(config))
    }

    pub fn of(mut command: Command) -> Self {
        let mut child = command.args(["--log", "info", "--log-json"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let log = Arc::<Mutex<Vec<String>>>::default();
        let line = lines.by_ref().inspect(|line| log.lock().unwrap().push(line.clone()));
        let line = line.into_iter().find(|line| line.contains("the HSS answers"));
        let line = line.unwrap_or_else(|| panic!("the daemon must start: {:?}", log.lock().unwrap()));
        let after = line.split("127.0.0.1:").nth(1).unwrap();
        let port: String = after.chars().take_while(char::is_ascii_digit).collect();
        // The rest of the log is read too: the daemon never blocks on a full pipe.
        let kept = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| kept.lock().unwrap().push(line)));
        Self { child, address: format!("127.0.0.1:{port}").parse().unwrap(), log }
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn client(&self) -> DiameterClient {
        self.client_with(Duration::from_secs(5)).await
    }

    /// After `patience` a request has failed.
    pub async fn client_with(&self, patience: Duration) -> DiameterClient {
        let origin = Origin { host: "scscf.home.example".into(), realm: "home.example".into() };
        let mut config = ClientConfig::new(origin, self.address, "home.example".into());
        config.request_timeout = patience;
        let client = DiameterClient::start(config);
        timeout(LONG, client.wait_until_connected()).await.unwrap();
        client
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Why there is none: the daemon is gone.
pub async fn vectors(client: &DiameterClient, impi: &str, items: u32) -> Result<Vec<AuthVector>, LinkError> {
    let request = Request::Mar(MultimediaAuthRequest {
        impi: Impi::new(impi).unwrap(),
        impu: Impu::new(&format!("sip:{impi}")).unwrap(),
        server_name: ServerName::new("sip:scscf.home.example").unwrap(),
        items,
        scheme: AuthScheme::DigestAka,
        resync: None,
    });
    let (tell, told) = tokio::sync::oneshot::channel();
    client.call(request, Box::new(move |answer| drop(tell.send(answer))));
    match timeout(LONG, told).await.unwrap().unwrap() {
        Ok(Answer::Maa(Ok(maa))) => Ok(maa.vectors),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}
