//! One connection to the database, kept up.

use std::sync::Arc;
use std::time::Duration;

use aka::{AkaError, Impi, Sqn};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Statement};

use super::super::rows::{self, Parts};
use super::super::seal::MasterKey;
use super::super::{
    Change, Committed, Counts, IfPresent, Inserted, Key, Loaded, Replacement, SqnTake, SubscriptionId,
    document,
};
use super::job::{Job, Work};
use super::{PostgresConfig, changes, statements as sql};
use crate::{NewSubscription, StoreError, Subscription};

/// Pauses between attempts to connect.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const SCHEMA_VERSION: &[u8] = b"1";

/// Makes the tables, and checks that the key is the one they were made with.
pub(super) async fn prepare_database(config: &PostgresConfig, key: &MasterKey) -> Result<(), StoreError> {
    let (client, connection) =
        config.server.connect(NoTls).await.map_err(|error| database("reach PostgreSQL", error))?;
    let driver = tokio::spawn(connection);
    let prepared = async {
        client.batch_execute(sql::SCHEMA).await.map_err(|error| database("make the tables", error))?;
        let version = SCHEMA_VERSION.to_vec();
        let kept = meta(&client, "schema", &version).await?;
        if kept != version {
            return Err(StoreError::Database {
                doing: "use the tables",
                source: "another version of akasec has made them".into(),
                remedy: "; use the version that made them, or another database",
            });
        }
        let kept = meta(&client, "key_check", &key.check_value()?).await?;
        if !key.matches(&kept) {
            return Err(StoreError::Database {
                doing: "use the subscribers' keys",
                source: "they were sealed under another key".into(),
                remedy: "; give every HSS of this database the key file of the first",
            });
        }
        Ok(())
    };
    let prepared = prepared.await;
    driver.abort();
    prepared
}

/// The value in the database, which is the one given when there was none.
async fn meta(client: &Client, name: &str, value: &Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let failed = |error| database("read the table meta", error);
    client.query_one(sql::META, &[&name, value]).await.map_err(failed)?.try_get(0).map_err(failed)
}

/// Works until the store is dropped.
pub(super) async fn keep(config: PostgresConfig, key: Arc<MasterKey>, mut jobs: mpsc::Receiver<Job>) {
    let mut pause = SHORTEST_PAUSE;
    let mut held = None;
    loop {
        match Session::open(&config, Arc::clone(&key)).await {
            Ok(mut session) => {
                pause = SHORTEST_PAUSE;
                if session.work(&mut held, &mut jobs).await == Ended::StoreDropped {
                    return;
                }
                tracing::warn!("lost a connection to PostgreSQL");
            }
            Err(error) => tracing::warn!(%error, "no connection to PostgreSQL, trying again"),
        }
        if wait(pause, config.patience, &mut held, &mut jobs).await == Ended::StoreDropped {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[derive(PartialEq, Eq)]
enum Ended {
    StoreDropped,
    Otherwise,
}

/// While there is no connection, a job waits only so long. The oldest is held, those behind it wait in the queue.
async fn wait(
    pause: Duration,
    patience: Duration,
    held: &mut Option<Job>,
    jobs: &mut mpsc::Receiver<Job>,
) -> Ended {
    let pause = sleep(pause);
    tokio::pin!(pause);
    loop {
        let left = held.as_ref().map(|job| patience.saturating_sub(job.since.elapsed()));
        tokio::select! {
            () = &mut pause => return Ended::Otherwise,
            () = sleep(left.unwrap_or_default()), if left.is_some() => {
                if let Some(job) = held.take() {
                    job.work.fail(unreachable());
                }
            }
            job = jobs.recv(), if left.is_none() => match job {
                Some(job) => *held = Some(job),
                None => return Ended::StoreDropped,
            },
        }
    }
}

fn unreachable() -> StoreError {
    StoreError::Database {
        doing: "reach PostgreSQL",
        source: "no connection".into(),
        remedy: "; it is tried again by itself",
    }
}

pub(super) fn database(doing: &'static str, source: tokio_postgres::Error) -> StoreError {
    StoreError::Database { doing, source: Box::new(source), remedy: "" }
}

/// A connection that is up, with its statements.
struct Session {
    client: Client,
    driver: JoinHandle<Result<(), tokio_postgres::Error>>,
    key: Arc<MasterKey>,
    /// A job that takes longer has failed, and the connection with it.
    patience: Duration,
    load_by_impi: Statement,
    load_by_impu: Statement,
    commit_state: Statement,
    take: Statement,
    commit_state_and_take: Statement,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    async fn open(config: &PostgresConfig, key: Arc<MasterKey>) -> Result<Self, StoreError> {
        let reach = |error| database("reach PostgreSQL", error);
        let (client, connection) = config.server.connect(NoTls).await.map_err(reach)?;
        let driver = tokio::spawn(connection);
        let prepare =
            async |text| client.prepare(text).await.map_err(|error| database("use the tables", error));
        Ok(Self {
            load_by_impi: prepare(sql::LOAD_BY_IMPI).await?,
            load_by_impu: prepare(sql::LOAD_BY_IMPU).await?,
            commit_state: prepare(sql::COMMIT_STATE).await?,
            take: prepare(sql::TAKE).await?,
            commit_state_and_take: prepare(sql::COMMIT_STATE_AND_TAKE).await?,
            client,
            driver,
            key,
            patience: config.job_patience,
        })
    }

    async fn work(&mut self, held: &mut Option<Job>, jobs: &mut mpsc::Receiver<Job>) -> Ended {
        loop {
            let job = match held.take() {
                Some(job) => Some(job),
                None => tokio::select! {
                    job = jobs.recv() => job,
                    _ = &mut self.driver => return Ended::Otherwise,
                },
            };
            let Some(job) = job else { return Ended::StoreDropped };
            // Given up, the job answers by itself.
            let in_time = timeout(self.patience, self.carry_out(job.work)).await.is_ok();
            if !in_time || self.client.is_closed() {
                return Ended::Otherwise;
            }
        }
    }

    async fn carry_out(&mut self, work: Work) {
        match work {
            Work::Load(whom, reply) => reply.end(self.load(&whom).await),
            Work::Commit(change, reply) => reply.end(self.commit(&change).await),
            Work::Insert(batch, present, reply) => reply.end(self.insert(batch, present).await),
            Work::Replace(replacement, reply) => reply.end(self.replace(&replacement).await),
            Work::Remove(id, revision, reply) => reply.end(self.remove(id, revision).await),
            Work::List(after, limit, reply) => reply.end(self.list(after, limit).await),
            Work::Count(reply) => reply.end(self.count().await),
            Work::SetSqn(impi, sqn, reply) => reply.end(self.set_sqn(&impi, sqn).await),
        }
    }

    async fn load(&self, whom: &Key) -> Result<Option<Loaded>, StoreError> {
        let (statement, text) = match whom {
            Key::Impi(impi) => (&self.load_by_impi, impi.as_str()),
            Key::Impu(impu) => (&self.load_by_impu, impu.as_str()),
        };
        let found = self.client.query(statement, &[&text]).await;
        let found = found.map_err(|error| database("look up a subscription", error))?;
        if found.is_empty() { Ok(None) } else { self.read(&found).map(Some) }
    }

    /// The rows of one subscription.
    fn read(&self, found: &[Row]) -> Result<Loaded, StoreError> {
        let get = || StoreError::damaged("a subscription", "row");
        let first = found.first().ok_or_else(get)?;
        let private = found.iter().map(|row| {
            Ok(rows::Private {
                impi: row.try_get(4)?,
                sealed: row.try_get(5)?,
                amf: row.try_get(6)?,
                seq: row.try_get(7)?,
                ind: row.try_get(8)?,
            })
        });
        let private: Result<Vec<_>, tokio_postgres::Error> = private.collect();
        let parts = Parts {
            id: first.try_get(0).map_err(|_| get())?,
            revision: first.try_get(1).map_err(|_| get())?,
            profile: first.try_get(2).map_err(|_| get())?,
            state: first.try_get(3).map_err(|_| get())?,
            private: private.map_err(|_| get())?,
        };
        rows::read(parts, &self.key)
    }

    async fn commit(&self, change: &Change) -> Result<Committed, StoreError> {
        let failed = |error| database("change a subscription", error);
        let state = change.state.as_ref().map(document::write_state);
        let (id, revision) = (change.id.0, stored(change.revision));
        let Some(take) = &change.take else {
            let Some(state) = state else { return Ok(Committed::Done { sqns: Vec::new() }) };
            let rows =
                self.client.execute(&self.commit_state, &[&id, &revision, &state]).await.map_err(failed)?;
            return Ok(done_or_conflict(rows == 1));
        };
        let (count, range) = (i32::try_from(take.count).map_err(|_| AkaError::SqnExhausted)?, take.range);
        let (first, last) = (i32::from(range.first()), i32::from(range.last()));
        let ms = take.resynchronise.map(rows::columns);
        let (ms_seq, ms_ind) = (ms.map(|(seq, _)| seq), ms.map(|(_, ind)| ind));
        let impi = take.impi.as_str();
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            vec![&id, &revision, &impi, &count, &first, &last, &ms_seq, &ms_ind];
        let statement = match &state {
            Some(state) => {
                parameters.push(state);
                &self.commit_state_and_take
            }
            None => &self.take,
        };
        let row = self.client.query_one(statement, &parameters).await.map_err(failed)?;
        match (row.try_get(1).map_err(failed)?, row.try_get(2).map_err(failed)?) {
            (Some(seq), Some(ind)) => self.taken(take, seq, ind),
            _ => match self.client.query_opt(sql::IS_PRESENT, &[&id, &revision]).await.map_err(failed)? {
                Some(_) => Err(AkaError::SqnExhausted.into()),
                None => Ok(Committed::Conflict),
            },
        }
    }

    fn taken(&self, take: &SqnTake, seq: i64, ind: i32) -> Result<Committed, StoreError> {
        let last = rows::sqn(take.impi.as_str(), seq, ind)?;
        Ok(Committed::Done { sqns: take.taken(last)? })
    }

    async fn remove(&self, id: SubscriptionId, revision: u64) -> Result<Committed, StoreError> {
        let removed = self.client.execute(sql::REMOVE, &[&id.0, &stored(revision)]).await;
        Ok(done_or_conflict(removed.map_err(|error| database("remove a subscription", error))? == 1))
    }

    async fn set_sqn(&self, impi: &Impi, sqn: Sqn) -> Result<bool, StoreError> {
        let (seq, ind) = rows::columns(sqn);
        let set = self.client.execute(sql::SET_SQN, &[&impi.as_str(), &seq, &ind]).await;
        Ok(set.map_err(|error| database("set a sequence number", error))? == 1)
    }

    async fn list(&self, after: Option<SubscriptionId>, limit: usize) -> Result<Vec<Loaded>, StoreError> {
        let limit = i64::try_from(limit.min(Subscription::MOST_AT_ONCE)).unwrap_or(0);
        let found = self.client.query(sql::LIST, &[&after.map_or(i64::MIN, |after| after.0), &limit]).await;
        let found = found.map_err(|error| database("list subscriptions", error))?;
        found
            .chunk_by(|one, other| one.get::<_, i64>(0) == other.get::<_, i64>(0))
            .map(|rows| self.read(rows))
            .collect()
    }

    async fn count(&self) -> Result<Counts, StoreError> {
        let row = self.client.query_one(sql::COUNT, &[]).await;
        let row = row.map_err(|error| database("count the subscriptions", error))?;
        let number = |at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or(0);
        Ok(Counts { subscriptions: number(0), private_identities: number(1), public_identities: number(2) })
    }

    async fn insert(
        &mut self,
        batch: Vec<NewSubscription>,
        present: IfPresent,
    ) -> Result<Inserted, StoreError> {
        if batch.len() > Subscription::MOST_AT_ONCE {
            return Err(StoreError::TooMany);
        }
        let key = Arc::clone(&self.key);
        for attempt in 1.. {
            let transaction = self.client.transaction().await;
            let transaction = transaction.map_err(|error| database("add subscriptions", error))?;
            match changes::insert(transaction, &key, &batch, present).await {
                // Another HSS was faster; now it shows which of them are there.
                Err(StoreError::IdentityTaken(_)) if present == IfPresent::Skip && attempt < 3 => {}
                result => return result,
            }
        }
        Err(StoreError::Contended)
    }

    async fn replace(&mut self, replacement: &Replacement) -> Result<Committed, StoreError> {
        let key = Arc::clone(&self.key);
        let transaction =
            self.client.transaction().await.map_err(|error| database("change a subscription", error))?;
        changes::replace(transaction, &key, replacement).await
    }
}

pub(super) fn done_or_conflict(done: bool) -> Committed {
    if done { Committed::Done { sqns: Vec::new() } } else { Committed::Conflict }
}

/// As the database holds it; a revision never gets that large.
pub(super) fn stored(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
