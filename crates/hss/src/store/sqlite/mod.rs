//! Subscriptions in one SQLite file: what the HSS keeps when it is told nothing else.

mod schema;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use aka::{Impi, Sqn};

use super::seal::MasterKey;
use super::{
    Change, Committed, Counts, Done, IfPresent, Inserted, Key, Loaded, Replacement, Store, SubscriptionId,
};
use crate::{HssError, NewSubscription, StoreError, Subscription};
use tables::Tables;

/// What may wait for the disk. Beyond it the answer is [`StoreError::Busy`].
const QUEUE: usize = 16 * 1024;
/// How many jobs share one write to the disk.
const GROUP: usize = 256;

/// One thread owns the connection, and the file: a second process is turned away. Jobs that come while the disk is
/// busy are written together, and nobody is answered before the disk has confirmed.
#[derive(Debug)]
pub struct SqliteStore {
    queue: Option<SyncSender<Box<dyn Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens the file, or makes it. `key` must be the one it was made with.
    pub fn open(path: &Path, key: MasterKey) -> Result<Self, HssError> {
        Self::with(Tables::open(path, key)?, path)
    }

    fn with(tables: Tables, path: &Path) -> Result<Self, HssError> {
        let (queue, jobs) = sync_channel(QUEUE);
        let thread =
            thread::Builder::new().name("hss-store".into()).spawn(move || Worker { tables }.run(&jobs));
        let thread = thread.map_err(|source| HssError::Open { path: PathBuf::from(path), source })?;
        Ok(Self { queue: Some(queue), thread: Mutex::new(Some(thread)) })
    }

    fn submit<T, W>(&self, work: W, done: Done<T>)
    where
        T: Send + 'static,
        W: FnOnce(&mut Tables) -> Result<T, StoreError> + Send + 'static,
    {
        let job: Box<dyn Job> = Box::new(Work { work, done });
        let Some(queue) = &self.queue else { return job.refuse(StoreError::Closed) };
        match queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => job.refuse(StoreError::Busy),
            Err(TrySendError::Disconnected(job)) => job.refuse(StoreError::Closed),
        }
    }
}

impl Drop for SqliteStore {
    /// What is waiting is still written and answered.
    fn drop(&mut self) {
        self.queue = None;
        let thread = self.thread.get_mut().ok().and_then(Option::take);
        if let Some(thread) = thread.filter(|handle| handle.thread().id() != thread::current().id()) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

trait Job: Send {
    /// Does the work within the open transaction.
    fn run(self: Box<Self>, tables: &mut Tables) -> Deferred;

    fn refuse(self: Box<Self>, error: StoreError);
}

/// Answers, once it is known whether the transaction is on the disk.
type Deferred = Box<dyn FnOnce(Result<(), StoreError>)>;

struct Work<T, W> {
    work: W,
    done: Done<T>,
}

impl<T, W> Job for Work<T, W>
where
    T: Send + 'static,
    W: FnOnce(&mut Tables) -> Result<T, StoreError> + Send,
{
    fn run(self: Box<Self>, tables: &mut Tables) -> Deferred {
        let Self { work, done } = *self;
        let result = work(tables);
        Box::new(move |written| done(result.and_then(|value| written.map(|()| value))))
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        (self.done)(Err(error));
    }
}

struct Worker {
    tables: Tables,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = jobs.recv() {
            if let Err(error) = self.tables.begin() {
                first.refuse(error);
                continue;
            }
            let mut deferred = vec![first.run(&mut self.tables)];
            while deferred.len() < GROUP && self.tables.is_open() {
                let Ok(job) = jobs.try_recv() else { break };
                deferred.push(job.run(&mut self.tables));
            }
            let written = self.tables.end();
            for answer in deferred {
                answer(written.as_ref().map_err(tables::Lost::again).copied());
            }
        }
    }
}

impl Store for SqliteStore {
    fn load(&self, key: Key, done: Done<Option<Loaded>>) {
        self.submit(move |tables| tables.load(&key), done);
    }

    fn commit(&self, change: Change, done: Done<Committed>) {
        self.submit(move |tables| tables.change(|tables| tables.commit(&change)), done);
    }

    fn insert(&self, batch: Vec<NewSubscription>, present: IfPresent, done: Done<Inserted>) {
        if batch.len() > Subscription::MOST_AT_ONCE {
            return done(Err(StoreError::TooMany));
        }
        self.submit(move |tables| tables.change(|tables| tables.insert(&batch, present)), done);
    }

    fn replace(&self, replacement: Replacement, done: Done<Committed>) {
        self.submit(move |tables| tables.change(|tables| tables.replace(&replacement)), done);
    }

    fn remove(&self, id: SubscriptionId, revision: u64, done: Done<Committed>) {
        self.submit(move |tables| tables.change(|tables| tables.remove(id, revision)), done);
    }

    fn list(&self, after: Option<SubscriptionId>, limit: usize, done: Done<Vec<Loaded>>) {
        self.submit(move |tables| tables.list(after, limit.min(Subscription::MOST_AT_ONCE)), done);
    }

    fn count(&self, done: Done<Counts>) {
        self.submit(|tables| tables.count(), done);
    }

    fn set_sqn(&self, impi: Impi, sqn: Sqn, done: Done<bool>) {
        self.submit(move |tables| tables.change(|tables| tables.set_sqn(&impi, sqn)), done);
    }
}

#[cfg(test)]
mod tests;
