//! The HSS as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// Killed, not asked, when it goes.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Daemon {
    /// Returns once it listens. Where it does is fixed by its configuration, so that it comes back at the same place.
    pub(crate) fn start(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hss"))
            .arg("--config")
            .arg(config)
            .args(["--log", "info"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let log = Arc::new(Mutex::new(String::new()));
        let line = lines.by_ref().find(|line| {
            keep(&log, line);
            line.contains("the HSS answers")
        });
        let Some(line) = line else { panic!("the HSS does not start: {}", log.lock().unwrap()) };
        let after = line.split("127.0.0.1:").nth(1).expect("the line names the address");
        let port: String = after.chars().take_while(char::is_ascii_digit).collect();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| keep(&kept, &line)));
        Self { child, address: format!("127.0.0.1:{port}").parse().unwrap(), log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

fn keep(log: &Mutex<String>, line: &str) {
    let mut log = log.lock().unwrap();
    log.push_str(line);
    log.push('\n');
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    pub(crate) socket: PathBuf,
}

impl Files {
    /// `hss.toml` of one of the HSSs. All have the key, the password and the subscribers in common.
    pub(crate) fn config(&self, name: &str) -> PathBuf {
        let path = self.folder.join(format!("{name}.toml"));
        let shown = |file: &str| self.folder.join(file).display().to_string();
        let text = format!(
            "listen = \"127.0.0.1:{}\"\norigin_host = \"{name}.home.example\"\norigin_realm = \"home.example\"\n\
             subscribers = {:?}\n[store]\nkind = \"postgres\"\nhost = {:?}\ndatabase = \"postgres\"\nuser = {:?}\n\
             password_file = {:?}\nkey_file = {:?}\n",
            free_port(),
            shown("subscribers.csv"),
            self.socket.display().to_string(),
            super::server::USER,
            shown("password"),
            shown("key"),
        );
        std::fs::write(&path, text).unwrap();
        path
    }
}
