//! A PostgreSQL of the test's own, on a socket of its own.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Gid, Pid, Uid, User, chown, geteuid};
use tempfile::TempDir;

pub(crate) const USER: &str = "akasec";
pub(crate) const PASSWORD: &str = "not-a-secret-of-anybody";
const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    /// Whom it runs as: PostgreSQL refuses to be root.
    user: Option<(Uid, Gid)>,
    running: Option<Child>,
}

impl Postgres {
    /// A new cluster, not yet running.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let user = geteuid().is_root().then(|| {
            let user =
                User::from_name("postgres").unwrap().expect("Debian's postgresql makes the user postgres");
            (user.uid, user.gid)
        });
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let postgres = Self { programs: programs(), user, running: None, folder };
        for part in ["data", "socket"] {
            let path = postgres.folder.path().join(part);
            fs::create_dir(&path).unwrap();
            postgres.give(&path);
        }
        let password = postgres.folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        postgres.give(&password);
        let mut initdb = postgres.command("initdb");
        initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        initdb.arg(format!("--username={USER}")).arg("--pwfile").arg(&password);
        let output = initdb.arg("--pgdata").arg(postgres.data()).output().unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        postgres
    }

    pub(crate) fn started() -> Self {
        let mut postgres = Self::new();
        postgres.start();
        postgres
    }

    /// Where its socket lies: `host` of a connection.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Returns when it takes connections.
    pub(crate) fn start(&mut self) {
        let until = Instant::now() + LONG;
        // A killed server's children may still hold its memory: then the new one ends, and the next may not.
        while Instant::now() < until {
            let mut command = self.command("postgres");
            command.arg("-D").arg(self.data()).arg("-k").arg(self.socket());
            command.args(["-c", "listen_addresses=", "-c", "max_connections=60"]);
            // A group of its own, so that it can be killed whole.
            command.process_group(0).stdin(Stdio::null());
            let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
            let mut child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
            while child.try_wait().unwrap().is_none() {
                if self.is_ready() {
                    self.running = Some(child);
                    return;
                }
                assert!(Instant::now() < until, "no connections: {}", self.log());
                std::thread::sleep(Duration::from_millis(50));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("PostgreSQL does not start: {}", self.log());
    }

    /// As the power going, for the processes: nothing is written any more.
    pub(crate) fn kill(&mut self) {
        let mut child = self.running.take().expect("it runs");
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap());
        killpg(group, Signal::SIGKILL).unwrap();
        child.wait().unwrap();
    }

    /// It is there and says nothing; or goes on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let group = Pid::from_raw(i32::try_from(self.running.as_ref().expect("it runs").id()).unwrap());
        let children = self.children();
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        for process in children.into_iter().map(|id| Pid::from_raw(i32::try_from(id).unwrap())).chain([group])
        {
            // A child may have ended by itself.
            let _ = kill(process, signal);
        }
    }

    fn children(&self) -> Vec<u32> {
        let Some(child) = &self.running else { return Vec::new() };
        let children =
            fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap_or_default();
        children.split_whitespace().filter_map(|id| id.parse().ok()).collect()
    }

    /// User and system time of all its processes so far, those included that have ended.
    #[allow(dead_code, reason = "the bench `mar` uses it")]
    pub(crate) fn cpu(&self) -> Duration {
        let Some(child) = &self.running else { return Duration::ZERO };
        let children =
            fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok()).map(cpu_of);
        cpu_of(child.id()) + children.sum::<Duration>()
    }

    pub(crate) fn dump(&self) -> Vec<u8> {
        let mut command = self.command("pg_dumpall");
        command.arg("-h").arg(self.socket()).args(["-U", USER]).env("PGPASSWORD", PASSWORD);
        let output = command.output().unwrap();
        assert!(output.status.success(), "pg_dumpall: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn is_ready(&self) -> bool {
        let mut command = self.command("pg_isready");
        command.arg("-h").arg(self.socket()).args(["-U", USER, "-d", "postgres", "-q"]);
        command.status().unwrap().success()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn give(&self, path: &Path) {
        if let Some((uid, gid)) = self.user {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path());
        if let Some((uid, gid)) = self.user {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

/// Debian keeps the server's programs out of PATH, a folder for each version.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let found = folders
        .into_iter()
        .find(|folder| ["initdb", "postgres"].iter().all(|name| folder.join(name).exists()));
    found.expect("PostgreSQL's initdb: install the package postgresql, or run `cargo xtask test`, which does")
}

/// User and system time of a process and of its children that have ended.
#[allow(dead_code, reason = "the bench `mar` uses it")]
pub(crate) fn cpu_of(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name, which may hold anything, the third field is next; times are fields 14 to 17, in hundredths.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}
