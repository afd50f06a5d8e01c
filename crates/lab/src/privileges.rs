//! CAP_NET_ADMIN and CAP_SYS_ADMIN for namespaces of our own, as root or in a user namespace.

use std::fs;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

/// To be called at the very start of a program, while it has one thread: an ordinary user becomes root of a user
/// namespace, which changes nothing outside of it.
pub fn obtain() -> Result<()> {
    // Tried in a thread that ends, so that the process itself stays where it is.
    let tried = std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET)).join();
    match tried.unwrap_or(Err(Errno::EPERM)) {
        Ok(()) => return Ok(()),
        Err(Errno::EPERM) => {}
        Err(errno) => return Err(errno).context("make a network namespace"),
    }
    let (uid, gid) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER).context(
        "make a user namespace (needed by ordinary users; the host may forbid it: \
         sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, or run as root)",
    )?;
    let map = |file: &str, text: String| fs::write(file, text).with_context(|| format!("write {file}"));
    map("/proc/self/uid_map", format!("0 {uid} 1"))?;
    map("/proc/self/setgroups", "deny".into())?;
    map("/proc/self/gid_map", format!("0 {gid} 1"))
}
