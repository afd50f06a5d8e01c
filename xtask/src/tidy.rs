//! House rules that a machine can check.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo;

/// Crates that hold no sockets, clocks, threads, randomness, files or async, but for what [`SHELLS`] names.
const PURE: [&str; 11] =
    ["aka", "sip", "sec-agree", "cx", "hiding", "hss", "pcscf", "icscf", "scscf", "trust", "ue"];

/// The shells of crates whose core is pure: binaries, sockets, configuration files, stores.
const SHELLS: [&str; 11] = [
    "/main.rs",
    "/shell.rs",
    "/fleet.rs",
    "ue/src/nat.rs",
    "/file.rs",
    "/config.rs",
    "icscf/src/file/",
    "cx/src/peer/net/",
    "hss/src/store/",
    "hss/src/csv",
    "pcscf/src/store",
];

/// What a pure file may not name, and why.
const IMPURE: [(&str, &str); 10] = [
    ("std::time::Instant", "a clock"),
    ("SystemTime", "a clock"),
    ("std::thread", "threads"),
    ("tokio", "async"),
    ("async fn", "async"),
    ("std::fs", "files"),
    ("UdpSocket", "sockets"),
    ("TcpStream", "sockets"),
    ("getrandom", "randomness"),
    ("OsRng", "randomness"),
];

const MAX_LINES: usize = 500;

pub fn run() -> Result<()> {
    let root = cargo::root();
    let mut faults = Vec::new();
    for file in rust_files(&root.join("crates"))?.into_iter().chain(rust_files(&root.join("netns-tests"))?) {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        faults.extend(of_file(&name, &text));
    }
    for page in
        ["README.md", "CHANGELOG.md", "docs/architecture.md", "docs/checklists.md", "docs/deviations.md"]
    {
        if !root.join(page).exists() {
            faults.push(format!("{page}: is missing"));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("tidy found {} faults:\n  {}", faults.len(), faults.join("\n  "))
}

fn of_file(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        faults.push(format!("{name}: {lines} lines, at most {MAX_LINES} (one concept a file)"));
    }
    let is_test = name.contains("/tests/") || name.ends_with("tests.rs") || name.contains("/benches/");
    let in_pure_crate = PURE.iter().any(|pure| name.starts_with(&format!("crates/{pure}/src/")));
    let pure = in_pure_crate && !is_test && !SHELLS.iter().any(|shell| name.contains(shell));
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        // Tests stand last in a file and may use what they like.
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        for (word, what) in IMPURE.iter().filter(|(word, _)| pure && code.contains(word)) {
            faults.push(format!("{name}:{number}: {word} brings {what} into a pure crate"));
        }
        if code.contains("todo!(") || code.contains("unimplemented!(") {
            faults.push(format!("{name}:{number}: unfinished"));
        }
    }
    faults
}

/// Every Rust file below `folder`, in order of path.
pub fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.append(&mut rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_a_pure_crate_is_a_fault() {
        let text = "fn now() { std::time::Instant::now(); }\n";
        assert_eq!(of_file("crates/sip/src/x.rs", text).len(), 1);
        assert!(of_file("crates/node/src/x.rs", text).is_empty());
        assert!(
            of_file("crates/sip/src/x.rs", &format!("#[cfg(test)]\nmod tests {{\n{text}}}\n")).is_empty()
        );
        assert!(of_file("crates/sip/src/x.rs", &format!("// {text}")).is_empty());
    }

    #[test]
    fn a_long_file_and_an_unfinished_one_are_faults() {
        assert_eq!(of_file("crates/node/src/x.rs", &"\n".repeat(MAX_LINES + 1)).len(), 1);
        assert_eq!(of_file("crates/node/src/x.rs", "todo!()\n").len(), 1);
    }
}
