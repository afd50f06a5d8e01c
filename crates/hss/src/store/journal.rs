//! The file of reserved sequence numbers: one line a reservation, the last line of a subscriber counts.
//!
//! A line is `<sqn, 12 hex digits> <CRC-32, 8 hex digits> <IMPI>`. It says that every sequence number up to this one
//! may have left. A line is on the disk before any of its numbers is handed out, so a torn last line, which is all
//! a crash can leave, reserved nothing that anybody saw.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use aka::{Impi, Sqn};

use crate::HssError;

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// How much of the file is whole lines.
    length: u64,
    usable: bool,
    /// Held as long as the journal lives: two processes would hand out the same numbers.
    _lock: File,
}

impl Journal {
    /// Locks the journal and returns what it says about every subscriber, past ones included.
    pub(super) fn lock_and_read(path: &Path) -> Result<(File, HashMap<Impi, Sqn>), HssError> {
        let open = |source| HssError::Open { path: path.to_owned(), source };
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = OpenOptions::new().create(true).append(true).open(lock_path).map_err(open)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(HssError::InUse { path: path.to_owned() }),
            Err(fs::TryLockError::Error(source)) => return Err(open(source)),
        }
        let octets = match fs::read(path) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(open(source)),
        };
        Ok((lock, read(path, &octets)?))
    }

    /// Writes the file anew with one line a subscriber, and keeps it open for more.
    pub(super) fn start<'a>(
        path: &Path,
        lock: File,
        reserved: impl Iterator<Item = (&'a Impi, Sqn)>,
    ) -> Result<Self, HssError> {
        let mut lines = Vec::new();
        for (impi, sqn) in reserved {
            lines.extend_from_slice(line(impi, sqn).as_bytes());
        }
        let file =
            replace(path, &lines).map_err(|source| HssError::Journal { path: path.to_owned(), source })?;
        let length = lines.len() as u64;
        Ok(Self { path: path.to_owned(), file, length, usable: true, _lock: lock })
    }

    /// When this returns, the reservation outlives the machine's power.
    pub(super) fn append(&mut self, impi: &Impi, sqn: Sqn) -> Result<(), HssError> {
        if !self.usable {
            return Err(HssError::JournalUnusable { path: self.path.clone() });
        }
        let line = line(impi, sqn);
        let failed = |source| HssError::Journal { path: self.path.clone(), source };
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            // A full disk may be full in the middle of a line; later lines must not follow a torn one.
            self.usable = self.file.set_len(self.length).is_ok()
                && self.file.seek(io::SeekFrom::Start(self.length)).is_ok();
            return Err(failed(error));
        }
        if let Err(error) = self.file.sync_data() {
            // What is on the disk after a failed sync, nobody knows; trying again would only seem to work.
            self.usable = false;
            return Err(failed(error));
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

/// Writes beside the file, then renames: a crash leaves the old or the new file, never half of one.
fn replace(path: &Path, octets: &[u8]) -> io::Result<File> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&beside)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()?;
    Ok(file)
}

fn read(path: &Path, octets: &[u8]) -> Result<HashMap<Impi, Sqn>, HssError> {
    let mut reserved = HashMap::new();
    let mut rest = octets;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let end = rest.iter().position(|octet| *octet == b'\n');
        let (text, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        let parsed = text.strip_suffix(b"\n").and_then(parse);
        match parsed {
            Some((impi, sqn)) => {
                reserved.insert(impi, sqn);
            }
            None if after.is_empty() => {
                tracing::warn!(path = %path.display(), line = number, "dropped a torn last line of the sequence numbers");
            }
            None => return Err(HssError::JournalDamaged { path: path.to_owned(), line: number }),
        }
        rest = after;
    }
    Ok(reserved)
}

fn line(impi: &Impi, sqn: Sqn) -> String {
    format!("{sqn} {:08x} {impi}\n", checksum(sqn, impi))
}

fn parse(line: &[u8]) -> Option<(Impi, Sqn)> {
    let mut fields = std::str::from_utf8(line).ok()?.splitn(3, ' ');
    let sqn = Sqn::from_hex(fields.next()?).ok()?;
    let sum = u32::from_str_radix(fields.next()?, 16).ok()?;
    let impi = Impi::new(fields.next()?).ok()?;
    (sum == checksum(sqn, &impi)).then_some((impi, sqn))
}

fn checksum(sqn: Sqn, impi: &Impi) -> u32 {
    let octets = sqn.to_bytes().into_iter().chain(impi.as_str().bytes());
    !octets.fold(!0, |crc: u32, octet| {
        (0..8).fold(
            crc ^ u32::from(octet),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}
