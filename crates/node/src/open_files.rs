use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that a busy role wants open: sockets of many peers.
const WANTED: u64 = 262_144;

/// Lets this process open as many files as it may; root may raise the bound itself. Answers the limit in force.
pub fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    let tries = [(WANTED.max(hard), WANTED.max(hard)), (hard, hard)];
    for (soft, hard) in tries {
        if setrlimit(Resource::RLIMIT_NOFILE, soft, hard).is_ok() {
            return soft;
        }
    }
    soft
}
