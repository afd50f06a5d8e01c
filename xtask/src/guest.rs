//! The guest kernel: Debian's user-mode Linux on the host's own file system. Needs no root, no KVM, and changes
//! nothing on the host: package lists, package and kernel all lie below the build folder.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::cargo;
use crate::kernel::{Job, Outcome};

#[derive(Debug)]
pub struct GuestKernel {
    kernel: PathBuf,
    modules: PathBuf,
}

/// What process 1 of the guest reads. Written by the host into the job's folder.
#[derive(Debug, Serialize, Deserialize)]
pub struct GuestJob {
    pub modules: PathBuf,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub folder: PathBuf,
    pub working_directory: PathBuf,
}

impl GuestJob {
    pub const FILE: &str = "job.json";
    pub const STDOUT: &str = "stdout";
    pub const STDERR: &str = "stderr";
    /// Holds the exit code once the job has ended: the guest kernel's own status says nothing.
    pub const STATUS: &str = "status";
}

const PACKAGE: &str = "user-mode-linux";

impl GuestKernel {
    pub fn obtain(given: Option<&Path>) -> Result<Self> {
        let root = match given {
            Some(kernel) => {
                let kernel = kernel.canonicalize().with_context(|| format!("find {}", kernel.display()))?;
                // bin/linux.uml -> the folder that holds bin/ and lib/
                let root =
                    kernel.parent().and_then(Path::parent).context("find the folder of the guest kernel")?;
                return Self::in_folder(kernel.clone(), root);
            }
            None => cargo::target().join("guest-kernel"),
        };
        let kernel = root.join("root/usr/bin/linux.uml");
        if !kernel.exists() {
            fetch(&root)?;
        }
        Self::in_folder(kernel, &root.join("root/usr"))
    }

    fn in_folder(kernel: PathBuf, usr: &Path) -> Result<Self> {
        let versions = usr.join("lib/uml/modules");
        let mut found = fs::read_dir(&versions).with_context(|| format!("read {}", versions.display()))?;
        let modules = found.next().context("find the modules of the guest kernel")??.path();
        Ok(Self { kernel, modules })
    }

    pub fn kernel(&self) -> &Path {
        &self.kernel
    }

    pub fn modules(&self) -> &Path {
        &self.modules
    }

    /// Starts the guest, runs the job as its only work, and ends with it.
    pub fn run(&self, job: &Job) -> Result<Outcome> {
        let folder = cargo::target().join("guest-jobs").join(format!("{}-{}", std::process::id(), unique()));
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let guard = RemoveFolder(&folder);
        let guest_job = GuestJob {
            modules: self.modules.clone(),
            program: job.program.clone(),
            arguments: job.arguments.clone(),
            environment: job.environment.clone(),
            folder: folder.clone(),
            working_directory: cargo::root().to_owned(),
        };
        let job_file = folder.join(GuestJob::FILE);
        fs::write(&job_file, serde_json::to_vec(&guest_job)?)?;
        let init = folder.join("init");
        // A copy: cargo may replace the running xtask by a new one while the job is on.
        let xtask = folder.join("xtask");
        fs::copy("/proc/self/exe", &xtask).context("copy xtask for the guest")?;
        write_script(&init, &format!("exec {} guest-init {}", quoted(&xtask), quoted(&job_file)))?;
        let outcome = self.boot(&init, &folder, job.limit)?;
        drop(guard);
        Ok(outcome)
    }

    fn boot(&self, init: &Path, folder: &Path, limit: Duration) -> Result<Outcome> {
        let console = fs::File::create(folder.join("console"))?;
        let started = Instant::now();
        let mut guest = Command::new(&self.kernel)
            .args([
                "mem=3G",
                "root=/dev/root",
                "rootfstype=hostfs",
                "rw",
                "con=null",
                "con0=fd:0,fd:1",
                "quiet",
            ])
            .arg(format!("init={}", init.display()))
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .spawn()
            .with_context(|| format!("start the guest kernel {}", self.kernel.display()))?;
        let mut streams = [
            Follow::new(folder.join(GuestJob::STDOUT), Box::new(std::io::stdout())),
            Follow::new(folder.join(GuestJob::STDERR), Box::new(std::io::stderr())),
        ];
        let status_file = folder.join(GuestJob::STATUS);
        // The status file says that the job has ended; the kernel may take a moment longer.
        let ended = loop {
            streams.iter_mut().try_for_each(Follow::copy)?;
            if status_file.exists() || guest.try_wait()?.is_some() {
                break true;
            }
            if started.elapsed() > limit {
                break false;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        stop(&mut guest, if ended { Duration::from_secs(5) } else { Duration::ZERO })?;
        streams.iter_mut().try_for_each(Follow::copy)?;
        if !ended {
            return Ok(Outcome::TimedOut);
        }
        match fs::read_to_string(&status_file).ok().and_then(|text| text.trim().parse().ok()) {
            Some(code) => Ok(Outcome::Exited(code)),
            None => {
                let console = fs::read_to_string(folder.join("console")).unwrap_or_default();
                bail!("the guest kernel ended without a result; its console said:\n{}", console.trim())
            }
        }
    }
}

/// Waits for the guest to power off, then ends it and the processes it runs its own in.
fn stop(guest: &mut std::process::Child, patience: Duration) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < patience {
        if guest.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    guest.kill()?;
    guest.wait()?;
    Ok(())
}

/// Copies a growing file to a stream of ours.
struct Follow {
    path: PathBuf,
    file: Option<fs::File>,
    to: Box<dyn Write>,
}

impl Follow {
    fn new(path: PathBuf, to: Box<dyn Write>) -> Self {
        Self { path, file: None, to }
    }

    fn copy(&mut self) -> Result<()> {
        if self.file.is_none() {
            self.file = fs::File::open(&self.path).ok();
        }
        if let Some(file) = &mut self.file {
            let mut news = Vec::new();
            file.read_to_end(&mut news)?;
            self.to.write_all(&news)?;
            self.to.flush()?;
        }
        Ok(())
    }
}

struct RemoveFolder<'a>(&'a Path);

impl Drop for RemoveFolder<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0);
    }
}

/// Downloads the package with apt's own lists in our folder, so that an ordinary user can do it on a fresh machine.
fn fetch(folder: &Path) -> Result<()> {
    if !Path::new("/usr/bin/apt-get").exists() || !Path::new("/usr/bin/dpkg").exists() {
        bail!(
            "this kernel has no ESP and this is no Debian or Ubuntu, so the guest kernel cannot be fetched; \
             install a user-mode Linux kernel with esp4, esp6, veth and their modules, and name it with \
             --guest-kernel, or use a kernel with CONFIG_INET_ESP"
        );
    }
    eprintln!("kernel: fetching {PACKAGE} (40 MB, once) into {}", folder.display());
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(folder.join(part)).with_context(|| format!("make {}", folder.display()))?;
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .current_dir(folder)
            .arg(format!("-oDir::State::Lists={}", folder.join("lists").display()))
            .arg(format!("-oDir::Cache={}", folder.join("cache").display()))
            .args(["-oAPT::Sandbox::User=", "-oDebug::NoLocking=1", "-qq"])
            .args(arguments)
            .stdout(Stdio::null());
        command
    };
    cargo::check(&mut apt(&["update"]), "apt-get update (with lists of our own)")?;
    cargo::check(&mut apt(&["download", PACKAGE]), "apt-get download user-mode-linux")?;
    let package = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("find the downloaded package")?;
    // Unpacked beside, then moved: an interrupted run leaves nothing that looks whole.
    let unpacked = folder.join("unpacking");
    let _ = fs::remove_dir_all(&unpacked);
    cargo::check(Command::new("dpkg").arg("-x").arg(&package).arg(&unpacked), "dpkg -x user-mode-linux")?;
    fs::rename(&unpacked, folder.join("root")).context("put the guest kernel in its place")?;
    fs::remove_file(package)?;
    fs::remove_dir_all(folder.join("lists"))?;
    fs::remove_dir_all(folder.join("cache"))?;
    Ok(())
}

pub fn own_path() -> Result<PathBuf> {
    std::env::current_exe().context("find the path of xtask")
}

pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

pub fn write_script(path: &Path, line: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, format!("#!/bin/sh\n{line}\n")).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn unique() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_nanos())
}
