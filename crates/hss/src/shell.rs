//! What the daemon, and a lab, give the HSS of the outside world.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::csv::Imported;
use crate::store::seal::MasterKey;
use crate::store::{Done, IfPresent, Inserted, PostgresConfig, PostgresStore, SqliteStore, Store, journal};
use crate::{Clock, HssError, NewSubscription, StoreError, Subscription, UnixTime, subscriptions};

/// The date of this machine. Several HSSs on one database should agree on it to a minute.
pub fn wall_clock() -> Clock {
    Box::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        UnixTime(since.map(|since| since.as_secs()).unwrap_or_default())
    })
}

/// Where the master key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file of 64 hex digits, for its owner alone.
    File(PathBuf),
    /// The name of a systemd credential.
    Credential(String),
}

/// Opens the SQLite file at `path`. Where neither it nor the key file is there yet, both are made.
pub fn open_sqlite(path: &Path, key: &KeySource) -> Result<SqliteStore, HssError> {
    let key = match key {
        KeySource::Credential(name) => MasterKey::from_credential(name)?,
        KeySource::File(file) if !file.exists() && !path.exists() => {
            let key = MasterKey::create(file)?;
            tracing::warn!(
                file = %file.display(),
                "made a new key for the subscribers' keys; keep a copy of it, but not beside the database's"
            );
            key
        }
        KeySource::File(file) => MasterKey::from_file(file)?,
    };
    SqliteStore::open(path, key)
}

/// Where a PostgreSQL is, and as whom to come.
#[derive(Clone)]
pub struct PostgresPlace {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Option<Zeroizing<String>>,
    pub connections: usize,
}

impl fmt::Display for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL at {}, port {}, database {}", self.host, self.port, self.database)
    }
}

impl fmt::Debug for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A password from a file that only its owner may read.
pub fn password(path: &Path) -> Result<Zeroizing<String>, HssError> {
    let open = |source| HssError::Open { path: path.to_owned(), source };
    let file = File::open(path).map_err(open)?;
    if file.metadata().map_err(open)?.mode() & 0o077 != 0 {
        return Err(HssError::Permissions { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::with_capacity(1024));
    file.take(1000).read_to_string(&mut text).map_err(open)?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Reaches the database, which must be there. Its key is the operator's to make: every HSS needs the same.
pub async fn open_postgres(place: PostgresPlace, key: &KeySource) -> Result<PostgresStore, HssError> {
    let key = match key {
        KeySource::Credential(name) => MasterKey::from_credential(name)?,
        KeySource::File(file) => MasterKey::from_file(file)?,
    };
    let mut server = tokio_postgres::Config::new();
    server.host(&place.host).port(place.port).dbname(&place.database).user(&place.user);
    if let Some(password) = &place.password {
        server.password(password.as_bytes());
    }
    let config = PostgresConfig { connections: place.connections, ..PostgresConfig::new(server) };
    Ok(PostgresStore::connect(config, key).await?)
}

/// One operation of a store, awaited.
pub async fn ask<T: Send + 'static>(operation: impl FnOnce(Done<T>)) -> Result<T, StoreError> {
    let (tell, told) = oneshot::channel();
    operation(Box::new(move |result| drop(tell.send(result))));
    told.await.unwrap_or(Err(StoreError::Closed))
}

/// What an import has done, in subscriptions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportReport {
    pub inserted: usize,
    /// They were there, and are as they were.
    pub present: usize,
    /// Of those: a private identity of the file is not in the store, because one it shares with others is.
    pub in_part: usize,
}

/// Adds the rows of the file at `path` whose subscribers the store does not have yet.
///
/// Sequence numbers that an earlier version has kept in `<file>.sqn` are the floor of those rows, and the file is then
/// renamed: later it would be wrong.
pub async fn import(
    store: &impl Store,
    mut rows: Vec<Imported>,
    path: &Path,
) -> Result<ImportReport, HssError> {
    let past = journal::Past::of(path)?;
    if let Some(past) = &past {
        for row in &mut rows {
            row.sqn = past.get(&row.subscriber.impi).unwrap_or(row.sqn);
        }
    }
    let mut report = ImportReport::default();
    let mut waiting = subscriptions(rows)?.into_iter();
    loop {
        let batch: Vec<NewSubscription> = waiting.by_ref().take(Subscription::MOST_AT_ONCE).collect();
        if batch.is_empty() {
            break;
        }
        let Inserted { inserted, present, in_part } =
            ask(|done| store.insert(batch, IfPresent::Skip, done)).await?;
        report.inserted += inserted;
        report.present += present;
        report.in_part += in_part;
    }
    if let Some(past) = past {
        past.taken_over()?;
    }
    Ok(report)
}
