//! Subscribers out of a CSV file, sequence numbers in a journal beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aka::{AkaError, Impi, Impu, IndRange, Sqn};

use super::journal::Journal;
use super::{MemoryStore, SubscriberStore};
use crate::{HssError, Subscriber, csv};

/// How many vectors one write to the disk pays for. A crash skips at most this many numbers of a subscriber.
const BLOCK: u64 = 64;

/// Loses no sequence number: each is reserved on the disk before it leaves.
///
/// The CSV file is read once, at start, and never written. Its `sqn` column counts only as long as the journal
/// knows nothing of the subscriber.
#[derive(Debug)]
pub struct FileStore {
    subscribers: MemoryStore,
    /// The highest SEQ of each subscriber that the disk knows may have left.
    reserved: HashMap<Impi, u64>,
    journal: Journal,
}

impl FileStore {
    pub fn open(subscribers: &Path, range: IndRange) -> Result<Self, HssError> {
        Self::with(csv::import(subscribers)?, subscribers, range)
    }

    /// Of rows that have been read already from `subscribers`.
    pub fn with(imported: Vec<csv::Imported>, subscribers: &Path, range: IndRange) -> Result<Self, HssError> {
        let path = Self::journal_path(subscribers);
        let (lock, past) = Journal::lock_and_read(&path)?;

        // Every subscriber gets its first block here, so that after a start the disk is not the bottleneck.
        let mut store = MemoryStore::new();
        let mut lines = past.clone();
        let mut reserved = HashMap::new();
        for row in imported {
            let impi = row.subscriber.impi.clone();
            let last = past.get(&impi).copied().unwrap_or(row.sqn);
            let block = end_of_block(last);
            lines.insert(impi.clone(), block);
            reserved.insert(impi, block.seq());
            store.insert(row.subscriber, last, range);
        }
        let journal = Journal::start(&path, lock, lines.iter().map(|(impi, sqn)| (impi, *sqn)))?;
        Ok(Self { subscribers: store, reserved, journal })
    }

    /// Where the sequence numbers of a subscriber file live.
    pub fn journal_path(subscribers: &Path) -> PathBuf {
        let mut path = subscribers.as_os_str().to_owned();
        path.push(".sqn");
        path.into()
    }

    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    fn reserve_after(&mut self, impi: &Impi, last: Sqn) -> Result<(), HssError> {
        let block = end_of_block(last);
        self.journal.append(impi, block)?;
        self.reserved.insert(impi.clone(), block.seq());
        Ok(())
    }
}

fn end_of_block(last: Sqn) -> Sqn {
    let seq = last.seq().saturating_add(BLOCK).min(Sqn::MAX_SEQ);
    Sqn::from_parts(seq, last.ind()).unwrap_or(last)
}

impl SubscriberStore for FileStore {
    fn subscriber(&self, impi: &Impi) -> Option<Arc<Subscriber>> {
        self.subscribers.subscriber(impi)
    }

    fn holders(&self, impu: &Impu) -> &[Impi] {
        self.subscribers.holders(impu)
    }

    fn next_sqn(&mut self, impi: &Impi) -> Result<Sqn, HssError> {
        let last = self.subscribers.generator(impi)?.last();
        if last.seq() >= Sqn::MAX_SEQ {
            return Err(AkaError::SqnExhausted.into());
        }
        if self.reserved.get(impi).is_none_or(|reserved| last.seq() >= *reserved) {
            self.reserve_after(impi, last)?;
        }
        self.subscribers.next_sqn(impi)
    }

    fn resynchronise(&mut self, impi: &Impi, sqn_ms: Sqn) -> Result<(), HssError> {
        let mut after = self.subscribers.generator(impi)?.clone();
        if after.resynchronise(sqn_ms) {
            self.reserve_after(impi, after.last())?;
            *self.subscribers.generator(impi)? = after;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
