//! Runs a command with a time limit, and ends with it everything that it started.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kernel::Outcome;

pub fn run(command: &mut Command, limit: Duration) -> Result<Outcome> {
    let mut child =
        command.spawn().with_context(|| format!("start {}", command.get_program().to_string_lossy()))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Outcome::of(status));
        }
        if Instant::now() > deadline {
            // Before the child: what outlives its parent is no longer known as its.
            for descendant in descendants(child.id()) {
                let _ = kill(Pid::from_raw(descendant), Signal::SIGKILL);
            }
            child.kill()?;
            child.wait()?;
            return Ok(Outcome::TimedOut);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes below `ancestor`, itself left out.
fn descendants(ancestor: u32) -> Vec<i32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let parents: Vec<(i32, i32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found: Vec<i32> = i32::try_from(ancestor).into_iter().collect();
    let mut at = 0;
    while let Some(&above) = found.get(at) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| pid));
        at += 1;
    }
    found.into_iter().skip(1).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; state and parent follow it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_takes_too_long_ends_with_its_children() {
        let folder = std::env::temp_dir().join(format!("akasec-limited-{}", std::process::id()));
        let script = format!("sh -c 'sleep 600; true' & echo $! > {}; wait", folder.display());
        let started = Instant::now();
        let outcome = run(Command::new("sh").args(["-c", &script]), Duration::from_secs(1)).unwrap();
        let child: i32 = std::fs::read_to_string(&folder).unwrap().trim().parse().unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(outcome, Outcome::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(300));
        // Gone, or a zombie that waits for whoever collects orphans.
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }

    #[test]
    fn a_command_that_ends_in_time_has_its_own_status() {
        let run = |script| run(Command::new("sh").args(["-c", script]), Duration::from_secs(60)).unwrap();
        assert_eq!(run("exit 3"), Outcome::Exited(3));
        assert!(run("true").success());
    }
}
