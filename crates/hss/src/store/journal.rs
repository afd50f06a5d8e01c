//! The sequence numbers an earlier version has kept beside its subscriber file, to be taken over once.
//!
//! A line is `<sqn, 12 hex digits> <CRC-32, 8 hex digits> <IMPI>`. It says that every sequence number up to this one
//! may have left. The last line of a subscriber counts; a torn last line reserved nothing that anybody saw.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use aka::{Impi, Sqn};

use super::seal::sync_folder;
use crate::HssError;

#[derive(Debug)]
pub(crate) struct Past {
    path: PathBuf,
    reserved: HashMap<Impi, Sqn>,
}

impl Past {
    /// Those of a subscriber file; None when there are none.
    pub(crate) fn of(subscribers: &Path) -> Result<Option<Self>, HssError> {
        let path = with_end(subscribers, ".sqn");
        let open = |source| HssError::Open { path: path.clone(), source };
        let octets = match fs::read(&path) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(open(source)),
        };
        // The earlier version may still be running, and hand numbers out.
        match OpenOptions::new().append(true).open(with_end(&path, ".lock")) {
            Ok(lock) => match lock.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Err(HssError::InUse { path }),
                Err(fs::TryLockError::Error(source)) => return Err(open(source)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(open(source)),
        }
        let reserved = read(&path, &octets)?;
        Ok(Some(Self { path, reserved }))
    }

    pub(crate) fn get(&self, impi: &Impi) -> Option<Sqn> {
        self.reserved.get(impi).copied()
    }

    /// The store has the numbers: the file is put aside, so that it never counts again.
    pub(crate) fn taken_over(self) -> Result<(), HssError> {
        let aside = with_end(&self.path, ".taken-over");
        let renamed = fs::rename(&self.path, &aside).and_then(|()| sync_folder(&self.path));
        renamed.map_err(|source| HssError::Open { path: self.path, source })?;
        tracing::info!(file = %aside.display(), numbers = self.reserved.len(), "took the sequence numbers over");
        Ok(())
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sqn: &str, impi: &str) -> String {
        let (sqn, impi) = (Sqn::from_hex(sqn).unwrap(), Impi::new(impi).unwrap());
        format!("{sqn} {:08x} {impi}\n", checksum(sqn, &impi))
    }

    #[test]
    fn the_last_line_of_a_subscriber_counts_and_a_torn_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let csv = folder.path().join("subscribers.csv");
        assert!(Past::of(&csv).unwrap().is_none());
        let whole = [
            line("000000000020", "a@home.example"),
            line("000000000820", "b@home.example"),
            line("000000001020", "a@home.example"),
        ];
        let journal = folder.path().join("subscribers.csv.sqn");
        let a = Impi::new("a@home.example").unwrap();
        for torn in ["", "0", "00000000ffff 12345678 a@home.example\n", "\0\0\0\0"] {
            fs::write(&journal, whole.concat() + torn).unwrap();
            let past = Past::of(&csv).unwrap().unwrap();
            assert_eq!(past.get(&a), Some(Sqn::from_hex("000000001020").unwrap()), "{torn:?}");
        }
        Past::of(&csv).unwrap().unwrap().taken_over().unwrap();
        assert!(Past::of(&csv).unwrap().is_none(), "once");

        let damaged = whole.concat().replacen("0820", "0821", 1);
        fs::write(&journal, damaged).unwrap();
        assert!(matches!(Past::of(&csv), Err(HssError::JournalDamaged { line: 2, .. })));
    }

    #[test]
    fn a_journal_in_use_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let csv = folder.path().join("subscribers.csv");
        fs::write(folder.path().join("subscribers.csv.sqn"), line("000000000020", "a@home.example")).unwrap();
        let lock = fs::File::create(folder.path().join("subscribers.csv.sqn.lock")).unwrap();
        lock.try_lock().unwrap();
        assert!(matches!(Past::of(&csv), Err(HssError::InUse { .. })));
        drop(lock);
        assert!(Past::of(&csv).unwrap().is_some());
    }
}
