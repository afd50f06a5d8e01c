//! The file: opened for this process alone, checked, and brought to the present form.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::tables::failed;
use crate::store::seal::{MasterKey, sync_folder};
use crate::{HssError, StoreError};

/// `HSSa`: tells our files from other people's.
const APPLICATION: i32 = 0x4853_5361;
/// The form of the tables. A change adds a step to [`STEPS`].
const VERSION: i64 = STEPS.len() as i64;

/// What leads from each form to the next; the first from an empty file.
const STEPS: [&str; 1] = ["
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE subscriptions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision INTEGER NOT NULL,
    profile TEXT NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE TABLE private_identities (
    impi TEXT PRIMARY KEY,
    subscription INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
    sealed BLOB NOT NULL,
    amf INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    ind INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX private_of ON private_identities (subscription);
CREATE TABLE public_identities (
    impu TEXT PRIMARY KEY,
    subscription INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX public_of ON public_identities (subscription);
"];

/// How long a start waits for a process that is about to end.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn open(path: &Path, key: &MasterKey) -> Result<Connection, HssError> {
    let refused = |source| HssError::Open { path: path.to_owned(), source };
    // SQLite gives its other files the mode of this one.
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(refused)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(refused)?;
    let prepared = prepare(path, key);
    prepared.map_err(|problem| problem.at(path))
}

enum Problem {
    Sqlite(rusqlite::Error),
    Store(StoreError),
    Io(std::io::Error),
    NotOurs,
    Newer(i64),
    WrongKey,
    NotDurable,
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Problem {
    fn at(self, path: &Path) -> HssError {
        let path = path.to_owned();
        match self {
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                HssError::InUse { path }
            }
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                HssError::NotOurs { path }
            }
            Self::Sqlite(error) => failed("open the database", &error).into(),
            Self::Store(error) => error.into(),
            Self::Io(source) => HssError::Open { path, source },
            Self::NotOurs => HssError::NotOurs { path },
            Self::Newer(found) => HssError::NewerStore { path, found },
            Self::WrongKey => HssError::WrongKey { path },
            Self::NotDurable => HssError::NotDurable { path },
        }
    }
}

fn prepare(path: &Path, key: &MasterKey) -> Result<Connection, Problem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // Before the journal is touched: then no shared memory is used, and a second process finds the lock.
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    let journal: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if journal != "wal" || synchronous != 2 {
        return Err(Problem::NotDurable);
    }
    connection.set_prepared_statement_cache_capacity(64);

    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    migrate(&transaction)?;
    check_key(&transaction, key)?;
    transaction.commit()?;
    sync_folder(path).map_err(Problem::Io)?;
    Ok(connection)
}

fn migrate(connection: &Connection) -> Result<(), Problem> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = application == 0 && found == 0 && tables == 0;
    if !is_new && application != APPLICATION {
        return Err(Problem::NotOurs);
    }
    let done = usize::try_from(found).map_err(|_| Problem::NotOurs)?;
    let steps = STEPS.get(done..).ok_or(Problem::Newer(found))?;
    for step in steps {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    Ok(())
}

fn check_key(connection: &Connection, key: &MasterKey) -> Result<(), Problem> {
    let select = "SELECT value FROM meta WHERE name = 'key check'";
    let known: Option<Vec<u8>> = connection.query_row(select, [], |row| row.get(0)).optional()?;
    match known {
        Some(value) if key.matches(&value) => Ok(()),
        Some(_) => Err(Problem::WrongKey),
        None => {
            let value = key.check_value().map_err(Problem::Store)?;
            let insert = "INSERT INTO meta (name, value) VALUES ('key check', ?1)";
            connection.execute(insert, params![value])?;
            Ok(())
        }
    }
}
