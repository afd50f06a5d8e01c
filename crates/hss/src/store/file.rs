//! Subscribers out of a CSV file, sequence numbers in a journal beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aka::{Impi, Sqn};

use super::journal::Journal;
use super::{
    Change, Committed, Counts, Done, IfPresent, Inserted, Key, Loaded, MemoryStore, Replacement, Store,
    SubscriptionId,
};
use crate::csv::Imported;
use crate::{HssError, NewSubscription, StoreError, csv};

/// How many vectors one write to the disk pays for. A crash skips at most this many numbers of a subscriber.
const BLOCK: u64 = 64;

/// Loses no sequence number: each is reserved on the disk before it leaves. Everything else that changes is
/// forgotten with the process.
#[derive(Debug)]
pub struct FileStore {
    subscriptions: MemoryStore,
    reserved: Mutex<Reserved>,
}

#[derive(Debug)]
struct Reserved {
    /// The highest SEQ of each subscriber that the disk knows may have left.
    highest: HashMap<Impi, u64>,
    journal: Journal,
}

impl FileStore {
    pub fn open(subscribers: &Path) -> Result<Self, HssError> {
        Self::with(csv::import(subscribers)?, subscribers)
    }

    /// Of rows that have been read already from `subscribers`.
    pub fn with(mut imported: Vec<Imported>, subscribers: &Path) -> Result<Self, HssError> {
        let path = Self::journal_path(subscribers);
        let (lock, past) = Journal::lock_and_read(&path)?;
        // Every subscriber gets its first block here, so that after a start the disk is not the bottleneck.
        let mut lines = past.clone();
        let mut highest = HashMap::new();
        for row in &mut imported {
            let impi = &row.subscriber.impi;
            row.sqn = past.get(impi).copied().unwrap_or(row.sqn);
            let block = end_of_block(row.sqn);
            lines.insert(impi.clone(), block);
            highest.insert(impi.clone(), block.seq());
        }
        let subscriptions = MemoryStore::with(crate::subscriptions(imported)?)?;
        let journal = Journal::start(&path, lock, lines.iter().map(|(impi, sqn)| (impi, *sqn)))?;
        Ok(Self { subscriptions, reserved: Mutex::new(Reserved { highest, journal }) })
    }

    /// Where the sequence numbers of a subscriber file live.
    pub fn journal_path(subscribers: &Path) -> PathBuf {
        let mut path = subscribers.as_os_str().to_owned();
        path.push(".sqn");
        path.into()
    }

    /// Puts a block on the disk when the last of the numbers lies behind the one that is there.
    fn reserve(&self, impi: &Impi, last: Sqn, resynchronised: bool) -> Result<(), StoreError> {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if !resynchronised && reserved.highest.get(impi).is_some_and(|highest| last.seq() <= *highest) {
            return Ok(());
        }
        let block = end_of_block(last);
        let failed = |error: HssError| StoreError::Database {
            doing: "reserve sequence numbers",
            source: error.into(),
            remedy: "",
        };
        reserved.journal.append(impi, block).map_err(failed)?;
        reserved.highest.insert(impi.clone(), block.seq());
        Ok(())
    }
}

fn end_of_block(last: Sqn) -> Sqn {
    let seq = last.seq().saturating_add(BLOCK).min(Sqn::MAX_SEQ);
    Sqn::from_parts(seq, last.ind()).unwrap_or(last)
}

impl Store for FileStore {
    fn load(&self, key: Key, done: Done<Option<Loaded>>) {
        self.subscriptions.load(key, done);
    }

    fn commit(&self, change: Change, done: Done<Committed>) {
        let take = change.take.clone();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        self.subscriptions.commit(change, Box::new(move |committed| drop(tell.try_send(committed))));
        let committed = told.try_recv().unwrap_or(Err(StoreError::Closed));
        done(committed.and_then(|committed| {
            if let (Committed::Done { sqns }, Some(take)) = (&committed, &take)
                && let Some(last) = sqns.last()
            {
                self.reserve(&take.impi, *last, take.resynchronise.is_some())?;
            }
            Ok(committed)
        }));
    }

    fn insert(&self, batch: Vec<NewSubscription>, present: IfPresent, done: Done<Inserted>) {
        self.subscriptions.insert(batch, present, done);
    }

    fn replace(&self, replacement: Replacement, done: Done<Committed>) {
        self.subscriptions.replace(replacement, done);
    }

    fn remove(&self, id: SubscriptionId, revision: u64, done: Done<Committed>) {
        self.subscriptions.remove(id, revision, done);
    }

    fn list(&self, after: Option<SubscriptionId>, limit: usize, done: Done<Vec<Loaded>>) {
        self.subscriptions.list(after, limit, done);
    }

    fn count(&self, done: Done<Counts>) {
        self.subscriptions.count(done);
    }

    fn set_sqn(&self, impi: Impi, sqn: Sqn, done: Done<bool>) {
        let reserved = self.reserve(&impi, sqn, true);
        match reserved {
            Ok(()) => self.subscriptions.set_sqn(impi, sqn, done),
            Err(error) => done(Err(error)),
        }
    }
}
