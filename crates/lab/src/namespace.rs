//! Network namespaces, held by an open file and entered by threads. Nothing is mounted, so nothing is left behind:
//! a namespace ends with its last file and thread.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace of ours.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: &'static str,
    file: Arc<File>,
}

impl Namespace {
    pub fn new(name: &'static str) -> Result<Self> {
        let made = std::thread::spawn(|| -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
            // Addresses are ready at once, and a simulator may send from any address of its prefix.
            for (setting, value) in [("conf/default/accept_dad", "0"), ("ip_nonlocal_bind", "1")] {
                let path = format!("/proc/sys/net/ipv6/{setting}");
                std::fs::write(&path, value).with_context(|| format!("write {path}"))?;
            }
            File::open("/proc/thread-self/ns/net").context("open the network namespace")
        });
        let file = made.join().map_err(|_| anyhow!("the thread that makes a namespace panicked"))??;
        Ok(Self { name, file: Arc::new(file) })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Moves the calling thread into the namespace. What it opens there stays there.
    pub fn enter(&self) -> Result<()> {
        setns(&*self.file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("enter the namespace {}", self.name))
    }

    /// Runs `work` in the namespace, on a thread of its own.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// How a person looks into it while this process lives.
    pub fn nsenter(&self) -> String {
        format!("nsenter --net=/proc/{}/fd/{}  # {}", std::process::id(), self.file.as_raw_fd(), self.name)
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
