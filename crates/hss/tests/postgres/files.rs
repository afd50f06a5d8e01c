//! The files of several HSSs on one database.

use std::path::PathBuf;

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
