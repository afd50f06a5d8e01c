//! Calls of cargo, and where things lie.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The folder that cargo builds into.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs `command` and fails with `what` when it does.
pub fn check(command: &mut Command, what: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("start: {what}"))?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// An executable that cargo built.
#[derive(Debug, Clone)]
pub struct Executable {
    pub package: String,
    pub target: String,
    /// An integration test, not a library's or a binary's own.
    pub is_integration_test: bool,
    pub path: PathBuf,
}

impl Executable {
    /// Names of the ignored tests of an integration test that contain `filter`.
    pub fn ignored_tests(&self, filter: Option<&str>) -> Result<Vec<String>> {
        let mut list = Command::new(&self.path);
        list.args(["--ignored", "--list", "--format=terse"]).args(filter);
        let output = list.output().with_context(|| format!("list the tests of {}", self.target))?;
        let names = String::from_utf8_lossy(&output.stdout);
        Ok(names.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }
}

#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
    package_id: String,
    target: ArtifactTarget,
}

#[derive(Deserialize)]
struct ArtifactTarget {
    name: String,
    kind: Vec<String>,
}

/// Builds with `arguments` and answers the executables. cargo's own words go to standard error.
pub fn build(arguments: &[&str]) -> Result<Vec<Executable>> {
    let mut command = cargo();
    command.args(arguments).arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let output = command.spawn().and_then(std::process::Child::wait_with_output).context("start cargo")?;
    if !output.status.success() {
        bail!("cargo {} failed ({})", arguments.join(" "), output.status);
    }
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let artifacts = lines.filter_map(|line| serde_json::from_slice::<Artifact>(line).ok());
    Ok(artifacts
        .filter_map(|artifact| {
            Some(Executable {
                package: package_name(&artifact.package_id),
                is_integration_test: artifact.target.kind.iter().any(|kind| kind == "test"),
                target: artifact.target.name,
                path: artifact.executable?,
            })
        })
        .collect())
}

/// `path+file:///x/crates/xfrm#0.1.0` and `...#xfrm@0.1.0` both name xfrm.
fn package_name(id: &str) -> String {
    let (path, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => path.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}
