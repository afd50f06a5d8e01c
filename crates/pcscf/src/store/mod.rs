//! The state file: what a P-CSCF remembers between two runs.
//!
//! A journal of JSON lines, the latest line of a device counts. The first line names the format and the start of the
//! machine that it belongs to. It holds no key: those are in the kernel, and so are the sequence numbers. A line is
//! written before the message leaves that tells others of the change, so the end of the process loses nothing; and
//! as the kernel's states do not outlive the machine, nothing is forced to the disk.

mod line;
mod read;

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use thiserror::Error;

use self::line::DeviceLine;
pub use self::read::{Found, read};
use crate::core::SavedDevice;

/// Why a state file cannot be used. Text fits after "failed to ".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("open {path}: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("use {path}: another P-CSCF uses it")]
    InUse { path: PathBuf },
    #[error("use {path}: it must be a file of our own user that nobody else may touch (mode 0600)")]
    NotOurs { path: PathBuf },
    #[error("read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("read {path}: it is no state file of this version; move it away to start without it")]
    WrongFormat { path: PathBuf },
    #[error("write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// The open file of a running P-CSCF.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    boot: String,
    file: File,
    /// How much of it is whole lines.
    length: u64,
    /// How much it had when it was last written anew.
    compact: u64,
    /// A line could not be written since, so the file must be written anew before it is true again.
    stale: bool,
    /// Lines that wait to be written.
    pending: Vec<u8>,
    /// Two processes would take over the same sets.
    _lock: File,
}

/// A file that has grown by this much, and to several times its size, is written anew.
const GROWTH: u64 = 1 << 20;
/// After a failed write, so many octets of changes are let pass before the next try.
const RETRY: u64 = 64 << 10;

impl StateFile {
    /// Locks the file and reads what an earlier run has left. To be followed by [`StateFile::rewrite`].
    pub fn open(path: &Path, boot: String) -> Result<(Self, Found), StoreError> {
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let lock = lock(path)?;
        let file = options().create(true).append(true).read(true).open(path).map_err(failed)?;
        check(path, &file)?;
        let length = file.metadata().map_err(failed)?.len();
        let found = read(BufReader::new(&file), &boot);
        let found = found.map_err(|source| StoreError::Read { path: path.to_owned(), source })?;
        let found = found.ok_or_else(|| StoreError::WrongFormat { path: path.to_owned() })?;
        let path = path.to_owned();
        let state =
            Self { path, boot, file, length, compact: 0, stale: false, pending: Vec::new(), _lock: lock };
        Ok((state, found))
    }

    /// Whether [`StateFile::open`] would take the file, as far as that shows without locking it.
    pub fn check(path: &Path, boot: &str) -> Result<(), StoreError> {
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let file = match options().read(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return fs::metadata(folder_of(path)).map(drop).map_err(failed);
            }
            Err(error) => return Err(failed(error)),
        };
        check(path, &file)?;
        let found = read(BufReader::new(&file), boot);
        let found = found.map_err(|source| StoreError::Read { path: path.to_owned(), source })?;
        found.map(drop).ok_or_else(|| StoreError::WrongFormat { path: path.to_owned() })
    }

    /// Removes the file, if there is one that nobody uses.
    pub fn remove(path: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let _lock = lock(path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fs::remove_file(beside(path, ".lock")).map_err(failed)
    }

    /// Notes a change; it is in the file after the next [`StateFile::flush`].
    pub fn note(&mut self, saved: &SavedDevice) {
        match encode(saved) {
            Some(line) => self.pending.extend_from_slice(&line),
            None => {
                tracing::error!(
                    impi = saved.device.impi.as_str(),
                    "a device is too large for the state file: it will have to register anew after a restart"
                );
                let gone = SavedDevice { registration: None, sets: Vec::new(), ..saved.clone() };
                self.pending.extend(encode(&gone).unwrap_or_default());
            }
        }
    }

    /// Writes what was noted. `all` is asked when the file is to be written anew.
    pub fn flush<I>(&mut self, all: impl FnOnce() -> I)
    where
        I: Iterator<Item = SavedDevice>,
    {
        if self.pending.is_empty() {
            return;
        }
        let grown = (self.length + self.pending.len() as u64).saturating_sub(self.compact);
        let due = if self.stale { RETRY } else { GROWTH.max(self.compact.saturating_mul(3)) };
        let result = if grown > due {
            self.rewrite(all())
        } else if self.stale {
            self.length += self.pending.len() as u64;
            Ok(())
        } else {
            self.append()
        };
        self.pending.clear();
        if let Err(error) = result {
            tracing::error!(%error, "registrations since then will not outlive a restart");
        }
    }

    fn append(&mut self) -> Result<(), StoreError> {
        match self.file.write_all(&self.pending) {
            Ok(()) => {
                self.length += self.pending.len() as u64;
                Ok(())
            }
            Err(source) => {
                self.stale = true;
                // What is there of the last line must not become part of the next one.
                let _ = self.file.set_len(self.length);
                // From here on `length` counts what should have been written.
                self.compact = self.length;
                Err(StoreError::Write { path: self.path.clone(), source })
            }
        }
    }

    /// Writes the file anew, beside the old one, which it then replaces.
    pub fn rewrite(&mut self, all: impl Iterator<Item = SavedDevice>) -> Result<(), StoreError> {
        self.pending.clear();
        match self.replace(all) {
            Ok((file, length)) => {
                (self.file, self.length, self.compact, self.stale) = (file, length, length, false);
                Ok(())
            }
            Err(source) => {
                (self.stale, self.compact) = (true, self.length);
                Err(StoreError::Write { path: self.path.clone(), source })
            }
        }
    }

    fn replace(&self, all: impl Iterator<Item = SavedDevice>) -> io::Result<(File, u64)> {
        let new = beside(&self.path, ".new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = options().create_new(true).append(true).open(&new)?;
        let mut writer = io::BufWriter::new(file);
        let header = read::header(&self.boot)?;
        writer.write_all(&header)?;
        let mut length = header.len() as u64;
        for line in all.filter_map(|saved| encode(&saved)) {
            writer.write_all(&line)?;
            length += line.len() as u64;
        }
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        fs::rename(&new, &self.path)?;
        Ok((file, length))
    }
}

/// One line; `None` where it would be longer than what is read back.
fn encode(saved: &SavedDevice) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(&DeviceLine::of(saved)).ok()?;
    line.push(b'\n');
    (line.len() <= read::MAX_LINE).then_some(line)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Not through a link: the name may stand in a folder that others write to.
    options.mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    options
}

fn check(path: &Path, file: &File) -> Result<(), StoreError> {
    let metadata = file.metadata().map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    let ours =
        metadata.is_file() && metadata.uid() == Uid::effective().as_raw() && metadata.mode() & 0o077 == 0;
    if ours { Ok(()) } else { Err(StoreError::NotOurs { path: path.to_owned() }) }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::Open { path: path.to_owned(), source };
    let lock = options().create(true).append(true).open(beside(path, ".lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
