//! A freeDiameter process with a configuration of its own, and a wire that writes down what passes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cx::diameter::{Command, Header};
use cx::peer::TlsFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Long enough for whatever must happen.
pub(crate) const LONG: Duration = Duration::from_secs(40);

/// A peer that freeDiameter connects to.
pub(crate) struct ConnectTo<'a> {
    pub(crate) host: &'a str,
    pub(crate) address: SocketAddr,
}

pub(crate) struct FreeDiameter {
    folder: PathBuf,
    child: Option<Child>,
    /// In clear text, or with TLS when it has certificates.
    pub(crate) address: SocketAddr,
}

impl FreeDiameter {
    /// Its identity is `fd.home.example`.
    pub(crate) async fn start(folder: &Path, peers: &[ConnectTo<'_>], tls: Option<&TlsFile>) -> Self {
        let (clear, secure) = (free_port(), free_port());
        let mut config = format!(
            "Identity = \"fd.home.example\";\nRealm = \"home.example\";\nPort = {clear};\n\
             ListenOn = \"127.0.0.1\";\nNo_SCTP;\nNo_IPv6;\nTwTimer = 6;\nTcTimer = 1;\nAppServThreads = 2;\n\
             LoadExtension = \"dbg_msg_dumps.fdx\" : \"0x8888\";\n\
             LoadExtension = \"acl_wl.fdx\" : \"{}\";\n",
            folder.join("acl.conf").display()
        );
        match tls {
            Some(tls) => config.push_str(&format!(
                "SecPort = {secure};\nTLS_Cred = \"{}\", \"{}\";\nTLS_CA = \"{}\";\n",
                tls.certificate.display(),
                tls.key.display(),
                tls.ca.display()
            )),
            None => config.push_str("SecPort = 0;\n"),
        }
        for peer in peers {
            let no_tls = if tls.is_none() { "No_TLS; " } else { "" };
            config.push_str(&format!(
                "ConnectPeer = \"{}\" {{ {no_tls}ConnectTo = \"127.0.0.1\"; Port = {}; }};\n",
                peer.host,
                peer.address.port()
            ));
        }
        std::fs::write(folder.join("freediameter.conf"), config).unwrap();
        // freeDiameter's word for a peer without TLS.
        let allow = if tls.is_some() { "" } else { "ALLOW_IPSEC " };
        std::fs::write(folder.join("acl.conf"), format!("{allow}*.home.example\n")).unwrap();
        let port = if tls.is_some() { secure } else { clear };
        let mut started = Self { folder: folder.to_owned(), child: None, address: local(port) };
        started.run().await;
        started
    }

    /// Starts the process, again after [`Self::kill`] or [`Self::stop`]; returns when it listens.
    pub(crate) async fn run(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("freediameter.log"))
            .unwrap();
        let child = Process::new("freeDiameterd")
            .arg("-c")
            .arg(self.folder.join("freediameter.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("start freeDiameterd");
        self.child = Some(child);
        let listens = async {
            while TcpStream::connect(self.address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LONG, listens).await.unwrap_or_else(|_| panic!("freeDiameter must listen:\n{}", self.log()));
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// As an operator would; it says goodbye to its peers.
    pub(crate) async fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = child.id().to_string();
        assert!(Process::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
        timeout(LONG, ended).await.expect("freeDiameter must stop").unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("freediameter.log")).unwrap_or_default()
    }
}

impl Drop for FreeDiameter {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- freeDiameter's log ---\n{}", self.log());
        }
    }
}

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Nobody's port, and none that the kernel gives to a connection meanwhile: freeDiameter takes numbers only.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 500).unwrap() * 20;
    for _ in 0..200 {
        let port = 20_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        // On every address, as freeDiameter does in spite of ListenOn.
        if std::net::TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// Who sent a message over a wire: the end that connected, or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Dialler,
    Listener,
}

type Seen = Arc<Mutex<Vec<(From, Header, Vec<u8>)>>>;

/// Connections to its own address go on to another; what passes is written down.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    seen: Seen,
}

impl Wire {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(local(0)).await.unwrap();
        let wire = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&wire.seen);
        tokio::spawn(async move {
            while let Ok((dialled, _)) = listener.accept().await {
                let Ok(onward) = TcpStream::connect(target).await else { continue };
                let (dialled_in, dialled_out) = dialled.into_split();
                let (onward_in, onward_out) = onward.into_split();
                tokio::spawn(carry(From::Dialler, dialled_in, onward_out, Arc::clone(&seen)));
                tokio::spawn(carry(From::Listener, onward_in, dialled_out, Arc::clone(&seen)));
            }
        });
        wire
    }

    pub(crate) fn messages(&self, from: From, command: Command, request: bool) -> Vec<Vec<u8>> {
        let seen = self.seen.lock().unwrap();
        let matching = seen.iter().filter(|(sender, header, _)| {
            (*sender, header.command, header.request) == (from, command, request)
        });
        matching.map(|(_, _, message)| message.clone()).collect()
    }

    pub(crate) fn count(&self, from: From, command: Command, request: bool) -> usize {
        self.messages(from, command, request).len()
    }

    pub(crate) async fn wait_for(&self, from: From, command: Command, request: bool, count: usize) {
        let wait = async {
            while self.count(from, command, request) < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, wait).await.unwrap_or_else(|_| {
            let found = self.count(from, command, request);
            panic!("{command:?} (request: {request}) from the {from:?}: {found} instead of {count}")
        });
    }
}

async fn carry(from: From, mut reader: OwnedReadHalf, mut writer: OwnedWriteHalf, seen: Seen) {
    while let Some(message) = read_message(&mut reader).await {
        let (header, _) = Header::parse(&message).unwrap();
        seen.lock().unwrap().push((from, header, message.clone()));
        if writer.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// None at the end of the connection.
pub(crate) async fn read_message(reader: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    reader.read_exact(&mut head).await.ok()?;
    let mut message = vec![0; Header::message_length(&head).ok()??];
    message[..4].copy_from_slice(&head);
    reader.read_exact(&mut message[4..]).await.ok()?;
    Some(message)
}
