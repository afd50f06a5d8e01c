//! The daemon as a process: its configuration, Cx over a socket, and `kill -9`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aka::{Algorithm, Impi, Impu, Isim, K, Opc, SqnArray};
use cx::{
    Answer, AuthScheme, ClientConfig, DiameterClient, Link, MultimediaAuthRequest, Origin, Request,
    ServerName,
};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);
const K1: &str = "465b5ce8b199b49faa5f0a2ee238a6bc";
const OPC: &str = "cd63cb71954a9f4e48a5994e37a02baf";
const IMPI: &str = "001010000000001@ims.mnc001.mcc001.3gppnetwork.org";

fn write_files(folder: &Path, subscribers: &str) -> PathBuf {
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

fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hss"));
    command.arg("--config").arg(config).stdin(Stdio::null());
    command
}

/// Killed, not asked, when it goes: that is the point.
struct Daemon {
    child: Child,
    address: SocketAddr,
}

impl Daemon {
    fn start(config: &Path) -> Self {
        let mut child =
            command(config).args(["--log", "info", "--log-json"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains("the HSS answers"));
        let line = line.expect("the daemon must start");
        let after = line.split("127.0.0.1:").nth(1).unwrap();
        let port: String = after.chars().take_while(char::is_ascii_digit).collect();
        // The rest of the log is read so that the daemon never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: format!("127.0.0.1:{port}").parse().unwrap() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn vector(client: &DiameterClient) -> aka::AuthVector {
    let request = Request::Mar(MultimediaAuthRequest {
        impi: Impi::new(IMPI).unwrap(),
        impu: Impu::new(&format!("sip:{IMPI}")).unwrap(),
        server_name: ServerName::new("sip:scscf.home.example").unwrap(),
        items: 1,
        scheme: AuthScheme::DigestAka,
        resync: None,
    });
    let (tell, told) = tokio::sync::oneshot::channel();
    client.call(request, Box::new(move |answer| drop(tell.send(answer))));
    match timeout(LONG, told).await.unwrap().unwrap() {
        Ok(Answer::Maa(Ok(mut maa))) => maa.vectors.remove(0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn aka_5_a_card_accepts_every_vector_across_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &format!("imsi,k,opc\n001010000000001,{K1},{OPC}\n"));
    let algorithm = Algorithm::milenage(K::from_hex(K1).unwrap(), Opc::from_hex(OPC).unwrap());
    let mut card = Isim::new(algorithm, SqnArray::new());
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let daemon = Daemon::start(&config);
        let origin = Origin { host: "scscf.home.example".into(), realm: "home.example".into() };
        let client = DiameterClient::start(ClientConfig::new(origin, daemon.address, "home.example".into()));
        timeout(LONG, client.wait_until_connected()).await.unwrap();
        for _ in 0..100 {
            let vector = vector(&client).await;
            assert!(seen.insert(vector.autn));
            let answer = card.authenticate(&vector.rand, &vector.autn).expect("the card must accept");
            assert_eq!(answer.res, vector.xres);
        }
    }
}

#[test]
fn check_prints_the_configuration_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &format!("imsi,k,opc\n001010000000001,{K1},{OPC}\n"));
    let output = command(&config).arg("--check").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(shown.contains("most_vectors = 5") && shown.contains("hss.home.example"), "{shown}");
    let journal = hss::store::FileStore::journal_path(&folder.path().join("subscribers.csv"));
    assert!(!journal.exists(), "a check changes nothing");
}

#[test]
fn aka_13_a_wrong_subscriber_file_is_told_by_line_without_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &format!("imsi,k,opc\n001010000000001,{K1}0,{OPC}\n"));
    for arguments in [&["--check"][..], &[]] {
        let mut child =
            command(&config).args(arguments).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut errors, mut output) = (String::new(), String::new());
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(errors.contains("line 2: column k: 32 hex digits wanted"), "{errors}");
        assert!(!errors.contains("465b") && !output.contains("465b"), "{errors}");
    }
}
