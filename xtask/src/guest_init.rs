//! Process 1 of the guest kernel: mounts what a program expects, loads the IPsec modules, runs the job, reports its
//! status, powers off.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};

use crate::guest::{GuestJob, own_path, quoted, write_script};
use crate::kernel_modules;

/// The rest (ciphers, authenc, seqiv, drbg) the kernel asks for itself through the loader.
const MODULES: [&str; 7] = ["xfrm_user", "esp4", "esp6", "veth", "bridge", "dummy", "af_packet"];

pub fn run(job: &Path) -> Result<ExitCode> {
    anyhow::ensure!(
        std::process::id() == 1,
        "guest-init is process 1 of the guest kernel, not a command to call"
    );
    let code = match work(job) {
        Ok(code) => code,
        Err(error) => {
            // The console is a file that the host shows when there is no status.
            println!("guest-init: {error:#}");
            power_off()
        }
    };
    let report = || -> Result<()> {
        let folder = job.parent().context("find the job's folder")?;
        let written = folder.join("status.new");
        fs::write(&written, code.to_string())?;
        fs::rename(written, folder.join(GuestJob::STATUS))?;
        Ok(())
    };
    if let Err(error) = report() {
        println!("guest-init: report the status: {error:#}");
    }
    power_off()
}

fn work(job: &Path) -> Result<i32> {
    let job: GuestJob = serde_json::from_slice(&fs::read(job).context("read the job")?)?;
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")] {
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("mount {at}"))?;
    }
    let loader = Path::new("/run/modprobe");
    let call = format!("exec {} guest-modprobe {} \"$@\"", quoted(&own_path()?), quoted(&job.modules));
    write_script(loader, &call)?;
    fs::write("/proc/sys/kernel/modprobe", loader.as_os_str().as_encoded_bytes())
        .context("set the module loader")?;
    for module in MODULES {
        // What is built in has no file.
        if let Err(error) = kernel_modules::load(&job.modules, module) {
            println!("guest-init: module {module}: {error:#}");
        }
    }
    let output = |name| fs::File::create(job.folder.join(name));
    let status = Command::new(&job.program)
        .args(&job.arguments)
        .envs(job.environment.iter().map(|(key, value)| (key, value)))
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/run")
        .env("TMPDIR", "/run")
        .env("AKASEC_GUEST", "1")
        .current_dir(&job.working_directory)
        .stdout(output(GuestJob::STDOUT)?)
        .stderr(output(GuestJob::STDERR)?)
        .status()
        .with_context(|| format!("start {}", job.program.display()))?;
    Ok(status.code().unwrap_or(-1))
}

fn power_off() -> ! {
    nix::unistd::sync();
    let error = reboot(RebootMode::RB_POWER_OFF);
    // The host ends a guest that does not go by itself.
    println!("guest-init: power off: {error:?}");
    loop {
        std::thread::park();
    }
}
