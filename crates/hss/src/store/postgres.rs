//! Subscriptions in PostgreSQL, for several HSSs on one database.
//!
//! [`PostgresStore`] hands each job to one of some connections; [`connection`] keeps one of them up and carries its
//! jobs out, one at a time, with the SQL of [`statements`]. What a connection was about to do when it broke is
//! answered with an error: whether it was done, nobody knows, and an HSS that asks again gets other numbers.

mod changes;
mod connection;
mod job;
mod statements;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aka::{Impi, Sqn};
use tokio::sync::mpsc;

use super::seal::MasterKey;
use super::{
    Change, Committed, Counts, Done, IfPresent, Inserted, Key, Loaded, Replacement, Store, SubscriptionId,
};
use crate::{NewSubscription, StoreError};
use job::{Job, Reply, Work};

/// How a PostgreSQL is reached.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// Holds the password; its `Debug` does not show it.
    pub server: tokio_postgres::Config,
    /// Connections; the database's commits wait for its disk, and that together.
    pub connections: usize,
    /// Jobs that wait for one connection.
    pub queue: usize,
    /// A job that has waited this long for the database fails.
    pub patience: Duration,
    /// A job that the database works on for longer has failed; its connection is given up.
    pub job_patience: Duration,
}

impl PostgresConfig {
    pub fn new(mut server: tokio_postgres::Config) -> Self {
        server.connect_timeout(Duration::from_secs(5)).application_name("akasec-hss");
        Self {
            server,
            connections: 16,
            queue: 256,
            patience: Duration::from_secs(3),
            job_patience: Duration::from_secs(10),
        }
    }
}

/// Ends its connections when it is dropped.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Vec<mpsc::Sender<Job>>,
}

impl PostgresStore {
    /// Returns when the database has been reached and its tables are there. In a runtime, which then does the work.
    pub async fn connect(config: PostgresConfig, key: MasterKey) -> Result<Self, StoreError> {
        let key = Arc::new(key);
        connection::prepare_database(&config, &key).await?;
        let connections = (0..config.connections.max(1)).map(|_| {
            let (sender, jobs) = mpsc::channel(config.queue.max(1));
            tokio::spawn(connection::keep(config.clone(), Arc::clone(&key), jobs));
            sender
        });
        Ok(Self { connections: connections.collect() })
    }

    /// What concerns one identity goes one way, so that jobs about it do not overtake each other.
    fn send(&self, about: impl Hash, work: Work) {
        let mut hasher = DefaultHasher::new();
        about.hash(&mut hasher);
        let number = usize::try_from(hasher.finish() % (self.connections.len() as u64)).unwrap_or(0);
        let job = Job { work, since: Instant::now() };
        // Dropped, it says that the store has ended.
        let Some(connection) = self.connections.get(number) else { return };
        if let Err(mpsc::error::TrySendError::Full(job)) = connection.try_send(job) {
            job.work.fail(StoreError::Busy);
        }
    }
}

impl Store for PostgresStore {
    fn load(&self, key: Key, done: Done<Option<Loaded>>) {
        self.send(key.clone(), Work::Load(key, Reply::new(done)));
    }

    fn commit(&self, change: Change, done: Done<Committed>) {
        self.send(change.id, Work::Commit(change, Reply::new(done)));
    }

    fn insert(&self, batch: Vec<NewSubscription>, present: IfPresent, done: Done<Inserted>) {
        self.send(0, Work::Insert(batch, present, Reply::new(done)));
    }

    fn replace(&self, replacement: Replacement, done: Done<Committed>) {
        self.send(replacement.id, Work::Replace(Box::new(replacement), Reply::new(done)));
    }

    fn remove(&self, id: SubscriptionId, revision: u64, done: Done<Committed>) {
        self.send(id, Work::Remove(id, revision, Reply::new(done)));
    }

    fn list(&self, after: Option<SubscriptionId>, limit: usize, done: Done<Vec<Loaded>>) {
        self.send(0, Work::List(after, limit, Reply::new(done)));
    }

    fn count(&self, done: Done<Counts>) {
        self.send(0, Work::Count(Reply::new(done)));
    }

    fn set_sqn(&self, impi: Impi, sqn: Sqn, done: Done<bool>) {
        self.send(Key::Impi(impi.clone()), Work::SetSqn(impi, sqn, Reply::new(done)));
    }
}
