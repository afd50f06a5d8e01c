//! The real binaries as processes in a namespace.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lab::Namespace;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// A running binary; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    output: tempfile::TempDir,
}

/// A binary of this workspace; `cargo xtask test` builds them all.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    folder.join(name)
}

impl Process {
    pub fn start(
        namespace: &Namespace,
        name: &'static str,
        arguments: &[&str],
        folder: &Path,
    ) -> Result<Self> {
        Self::run(namespace, name, Command::new(binary(name)).args(arguments).current_dir(folder), None)
    }

    /// Starts a program of somebody else's, which finds `hosts` in the place of /etc/hosts.
    pub fn foreign(
        namespace: &Namespace,
        name: &'static str,
        command: &mut Command,
        hosts: &Path,
    ) -> Result<Self> {
        Self::run(namespace, name, command, Some(hosts))
    }

    /// Starts a program of somebody else's that looks up no names.
    pub fn program(namespace: &Namespace, name: &'static str, command: &mut Command) -> Result<Self> {
        Self::run(namespace, name, command, None)
    }

    fn run(
        namespace: &Namespace,
        name: &'static str,
        command: &mut Command,
        hosts: Option<&Path>,
    ) -> Result<Self> {
        let output = tempfile::tempdir()?;
        let file = |name| std::fs::File::create(output.path().join(name));
        command
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(file("stdout")?)
            .stderr(file("stderr")?)
            // Whatever it starts itself ends with it.
            .process_group(0);
        // A child is born into the namespaces of the thread that starts it.
        let child = namespace.run(|| {
            if let Some(hosts) = hosts {
                unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace")?;
                let none = None::<&str>;
                mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("keep mounts")?;
                mount(Some(hosts), "/etc/hosts", none, MsFlags::MS_BIND, none).context("cover /etc/hosts")?;
            }
            command.spawn().with_context(|| format!("start {}", command.get_program().to_string_lossy()))
        })?;
        Ok(Self { name, child, output })
    }

    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.output.path().join("stdout")).unwrap_or_default()
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.output.path().join("stderr")).unwrap_or_default()
    }

    /// Waits until the log says so.
    pub fn wait_for_log(&mut self, words: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.stderr().contains(words) {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) before it said {words:?}:\n{}", self.name, self.stderr());
            }
            if Instant::now() > deadline {
                bail!("{} never said {words:?}:\n{}", self.name, self.stderr());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} has not ended within {limit:?}:\n{}{}", self.name, self.stdout(), self.stderr());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL: it cannot do anything about it.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and the status it ends with.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        self.wait(Duration::from_secs(20))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Ok(None) = self.child.try_wait()
        {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}
