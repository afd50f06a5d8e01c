//! The operator's end of a control socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::Lines;
use super::protocol::{Answer, LONGEST_ANSWER, line};

/// Why there is no result. Text fits after "failed to ".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AskError {
    #[error("reach a daemon at {path}: {source}")]
    Unreachable { path: PathBuf, source: io::Error },
    #[error("understand the daemon's answer")]
    Malformed,
    /// The daemon has understood, and says why it did nothing.
    #[error("{0}")]
    Refused(Box<str>),
    /// The daemon has not understood.
    #[error("be understood by the daemon: {0}")]
    NotUnderstood(Box<str>),
}

/// Asks the daemon at `path` one thing. `patience` bounds each read and write.
pub fn ask(path: &Path, request: &impl Serialize, patience: Duration) -> Result<Value, AskError> {
    let unreachable = |source| AskError::Unreachable { path: path.to_owned(), source };
    let answer = exchange(path, request, patience).map_err(unreachable)?;
    match serde_json::from_slice(&answer).map_err(|_| AskError::Malformed)? {
        Answer::Done { result } => Ok(result),
        Answer::Refused { error } => Err(AskError::Refused(error.into())),
        Answer::Malformed { error } => Err(AskError::NotUnderstood(error.into())),
    }
}

fn exchange(path: &Path, request: &impl Serialize, patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(&line(request))?;
    let mut lines = Lines::new(LONGEST_ANSWER);
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => lines.push(chunk.get(..read).unwrap_or_default()),
        }
        if let Some(line) = lines.next_line().map_err(io::Error::other)? {
            return Ok(line.to_vec());
        }
    }
}
