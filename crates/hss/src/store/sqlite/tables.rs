//! The operations of a store as SQL, within a transaction that somebody else ends.

use std::path::Path;

use aka::{AkaError, Impi, Sqn};
use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, Params, named_params, params};

use super::schema;
use crate::store::rows::{self, Parts, Private};
use crate::store::seal::MasterKey;
use crate::store::{
    Change, Committed, Counts, IfPresent, Inserted, Key, Loaded, Replacement, SqnTake, SubscriptionId,
    document,
};
use crate::{HssError, NewSubscription, State, StoreError};

pub(super) struct Tables {
    connection: Connection,
    key: MasterKey,
    /// Whether a sync has failed: what is on the disk since then, nobody knows.
    is_broken: bool,
    /// Why SQLite has given the transaction up.
    given_up: Option<Lost>,
}

/// A transaction that is not on the disk. Each of those who took part is told.
pub(super) struct Lost {
    doing: &'static str,
    text: Box<str>,
    remedy: &'static str,
}

impl Lost {
    fn of(doing: &'static str, error: &rusqlite::Error) -> Self {
        Self { doing, text: error.to_string().into(), remedy: remedy(error) }
    }

    pub(super) fn again(&self) -> StoreError {
        StoreError::Database {
            doing: self.doing,
            source: self.text.clone().into_string().into(),
            remedy: self.remedy,
        }
    }
}

/// What SQLite says never holds a value, so no key either.
pub(super) fn failed(doing: &'static str, error: &rusqlite::Error) -> StoreError {
    Lost::of(doing, error).again()
}

fn remedy(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "; make room on the disk, then it goes on by itself",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "; the file is damaged: restore it from a backup, and let the cards resynchronise"
        }
        Some(ErrorCode::SystemIoFailure) => "; check the disk, then start the HSS again",
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            "; the HSS must be able to write the file and its folder"
        }
        _ => "",
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        failed("use the database", &error)
    }
}

impl Tables {
    pub(super) fn open(path: &Path, key: MasterKey) -> Result<Self, HssError> {
        Ok(Self { connection: schema::open(path, &key)?, key, is_broken: false, given_up: None })
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        if self.is_broken {
            return Err(StoreError::Database {
                doing: "use the database",
                source: "an earlier write failed".into(),
                remedy: "; check the disk, then start the HSS again",
            });
        }
        Ok(self.connection.execute_batch("BEGIN")?)
    }

    /// SQLite itself ends a transaction that it cannot go on with.
    pub(super) fn is_open(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// When this is Ok, everything since [`Tables::begin`] outlives the machine's power.
    pub(super) fn end(&mut self) -> Result<(), Lost> {
        if !self.is_open() {
            let unknown = || Lost { doing: "write to the database", text: "given up".into(), remedy: "" };
            return Err(self.given_up.take().unwrap_or_else(unknown));
        }
        let committed = self.connection.execute_batch("COMMIT");
        committed.map_err(|error| {
            self.is_broken = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
            if self.is_open() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            Lost::of("write to the database", &error)
        })
    }

    /// Does all of `work` or nothing, whatever becomes of the rest of the transaction.
    pub(super) fn change<T>(
        &mut self,
        work: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.execute("SAVEPOINT job", [])?;
        let result = work(self);
        if self.is_open() {
            let undone = if result.is_err() { self.execute("ROLLBACK TO job", []) } else { Ok(0) };
            if let Err(error) = undone.and_then(|_| self.execute("RELEASE job", [])) {
                // Half a job must not be written with the rest.
                let _ = self.connection.execute_batch("ROLLBACK");
                return Err(error);
            }
        } else if let Err(StoreError::Database { doing, source, remedy }) = &result {
            self.given_up = Some(Lost { doing, text: source.to_string().into(), remedy });
        }
        result
    }

    fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    fn execute(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        Ok(self.prepare(sql)?.execute(params)?)
    }

    pub(super) fn load(&self, key: &Key) -> Result<Option<Loaded>, StoreError> {
        let (sql, identity) = match key {
            Key::Impi(impi) => (
                "SELECT s.id, s.revision, s.profile, s.state FROM private_identities AS p \
                 JOIN subscriptions AS s ON s.id = p.subscription WHERE p.impi = ?1",
                impi.as_str(),
            ),
            Key::Impu(impu) => (
                "SELECT s.id, s.revision, s.profile, s.state FROM public_identities AS p \
                 JOIN subscriptions AS s ON s.id = p.subscription WHERE p.impu = ?1",
                impu.as_str(),
            ),
        };
        let found = self.prepare(sql)?.query_row([identity], parts).optional()?;
        found.map(|parts| self.loaded(parts)).transpose()
    }

    fn loaded(&self, mut parts: Parts) -> Result<Loaded, StoreError> {
        let sql = "SELECT impi, sealed, amf, seq, ind FROM private_identities WHERE subscription = ?1";
        let mut statement = self.prepare(sql)?;
        let rows = statement.query_map([parts.id], |row| {
            Ok(Private {
                impi: row.get(0)?,
                sealed: row.get(1)?,
                amf: row.get(2)?,
                seq: row.get(3)?,
                ind: row.get(4)?,
            })
        })?;
        parts.private = rows.collect::<Result<_, _>>()?;
        rows::read(parts, &self.key)
    }

    pub(super) fn commit(&self, change: &Change) -> Result<Committed, StoreError> {
        let (id, revision) = (change.id.0, number(change.revision)?);
        let current = match &change.state {
            Some(state) => {
                let sql = "UPDATE subscriptions SET revision = revision + 1, state = ?3 WHERE id = ?1 AND revision = ?2";
                self.execute(sql, params![id, revision, document::write_state(state)])? == 1
            }
            None => {
                let sql = "SELECT 1 FROM subscriptions WHERE id = ?1 AND revision = ?2";
                self.prepare(sql)?.exists([id, revision])?
            }
        };
        if !current {
            return Ok(Committed::Conflict);
        }
        let sqns = match &change.take {
            Some(take) => self.take(take)?,
            None => Vec::new(),
        };
        Ok(Committed::Done { sqns })
    }

    fn take(&self, take: &SqnTake) -> Result<Vec<Sqn>, StoreError> {
        let mut statement = self.prepare(TAKE)?;
        let ms = take.resynchronise;
        let taken = statement.query_row(
            named_params! {
                ":impi": take.impi.as_str(),
                ":count": take.count,
                ":first": take.range.first(),
                ":last": take.range.last(),
                ":ms_seq": ms.map(|sqn| number(sqn.seq())).transpose()?,
                ":ms_ind": ms.map(Sqn::ind),
            },
            |row| Ok((row.get(0)?, row.get(1)?)),
        );
        match taken.optional()? {
            Some((seq, ind)) => Ok(take.taken(rows::sqn(take.impi.as_str(), seq, ind)?)?),
            None if self
                .is_present("SELECT 1 FROM private_identities WHERE impi = ?1", take.impi.as_str())? =>
            {
                Err(AkaError::SqnExhausted.into())
            }
            None => Err(StoreError::UnknownIdentity(take.impi.clone())),
        }
    }

    fn is_present(&self, sql: &str, identity: &str) -> Result<bool, StoreError> {
        Ok(self.prepare(sql)?.exists([identity])?)
    }

    pub(super) fn insert(
        &self,
        batch: &[NewSubscription],
        present: IfPresent,
    ) -> Result<Inserted, StoreError> {
        let mut counted = Inserted::default();
        for new in batch {
            let known = |impi: &Impi| self.owner(PRIVATE_OWNER, impi.as_str());
            match (self.taken(new, None)?, present) {
                (Some(_), IfPresent::Skip) => {
                    counted.present += 1;
                    let mut private = new.subscription.private().iter();
                    let all = private
                        .try_fold(true, |all, one| known(&one.impi).map(|owner| all && owner.is_some()))?;
                    counted.in_part += usize::from(!all);
                }
                (Some(identity), IfPresent::Fail) => return Err(StoreError::IdentityTaken(identity)),
                (None, _) => {
                    let sql = "INSERT INTO subscriptions (revision, profile, state) VALUES (1, ?1, ?2)";
                    let profile = document::write_profile(&new.subscription);
                    self.execute(sql, params![profile, document::write_state(&State::default())])?;
                    self.insert_identities(self.connection.last_insert_rowid(), new, &[])?;
                    counted.inserted += 1;
                }
            }
        }
        Ok(counted)
    }

    /// An identity that another subscription than `but` has.
    fn taken(&self, new: &NewSubscription, but: Option<i64>) -> Result<Option<Box<str>>, StoreError> {
        let private = new.subscription.private().iter().map(|one| (PRIVATE_OWNER, one.impi.as_str()));
        let public = new.subscription.public().iter().map(|held| (PUBLIC_OWNER, held.impu.as_str()));
        for (sql, identity) in private.chain(public) {
            if self.owner(sql, identity)?.is_some_and(|owner| Some(owner) != but) {
                return Ok(Some(identity.into()));
            }
        }
        Ok(None)
    }

    fn owner(&self, sql: &str, identity: &str) -> Result<Option<i64>, StoreError> {
        Ok(self.prepare(sql)?.query_row([identity], |row| row.get(0)).optional()?)
    }

    /// Sequence numbers in `kept` come before those of `new`.
    fn insert_identities(
        &self,
        id: i64,
        new: &NewSubscription,
        kept: &[(String, i64, i32)],
    ) -> Result<(), StoreError> {
        for Private { impi, sealed, amf, seq, ind } in rows::private(new, &self.key)? {
            let known = kept.iter().find(|(kept, ..)| *kept == impi).map(|(_, seq, ind)| (*seq, *ind));
            let (seq, ind) = known.unwrap_or((seq, ind));
            let sql = "INSERT INTO private_identities (impi, subscription, sealed, amf, seq, ind) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            self.execute(sql, params![impi, id, sealed, amf, seq, ind])?;
        }
        for held in new.subscription.public() {
            let sql = "INSERT INTO public_identities (impu, subscription) VALUES (?1, ?2)";
            self.execute(sql, params![held.impu.as_str(), id])?;
        }
        Ok(())
    }

    pub(super) fn replace(&self, replacement: &Replacement) -> Result<Committed, StoreError> {
        let Replacement { id, revision, subscription: new, state } = replacement;
        let (profile, state) = (document::write_profile(&new.subscription), document::write_state(state));
        let sql = "UPDATE subscriptions SET revision = revision + 1, profile = ?3, state = ?4 \
                   WHERE id = ?1 AND revision = ?2";
        if self.execute(sql, params![id.0, number(*revision)?, profile, state])? == 0 {
            return Ok(Committed::Conflict);
        }
        if let Some(identity) = self.taken(new, Some(id.0))? {
            return Err(StoreError::IdentityTaken(identity));
        }
        let mut statement =
            self.prepare("SELECT impi, seq, ind FROM private_identities WHERE subscription = ?1")?;
        let rows = statement.query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let kept = rows.collect::<Result<Vec<_>, _>>()?;
        self.execute("DELETE FROM private_identities WHERE subscription = ?1", [id.0])?;
        self.execute("DELETE FROM public_identities WHERE subscription = ?1", [id.0])?;
        self.insert_identities(id.0, new, &kept)?;
        Ok(Committed::Done { sqns: Vec::new() })
    }

    pub(super) fn remove(&self, id: SubscriptionId, revision: u64) -> Result<Committed, StoreError> {
        let sql = "DELETE FROM subscriptions WHERE id = ?1 AND revision = ?2";
        let removed = self.execute(sql, [id.0, number(revision)?])?;
        Ok(if removed == 1 { Committed::Done { sqns: Vec::new() } } else { Committed::Conflict })
    }

    pub(super) fn list(
        &self,
        after: Option<SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<Loaded>, StoreError> {
        let sql = "SELECT id, revision, profile, state FROM subscriptions WHERE id > ?1 ORDER BY id LIMIT ?2";
        let mut statement = self.prepare(sql)?;
        let after = after.map_or(i64::MIN, |id| id.0);
        let found = statement.query_map([after, number(limit as u64)?], parts)?;
        found.map(|parts| self.loaded(parts?)).collect()
    }

    pub(super) fn count(&self) -> Result<Counts, StoreError> {
        let count = |sql: &str| -> Result<u64, StoreError> {
            let count: i64 = self.prepare(sql)?.query_row([], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or_default())
        };
        Ok(Counts {
            subscriptions: count("SELECT count(*) FROM subscriptions")?,
            private_identities: count("SELECT count(*) FROM private_identities")?,
            public_identities: count("SELECT count(*) FROM public_identities")?,
        })
    }

    pub(super) fn set_sqn(&self, impi: &Impi, sqn: Sqn) -> Result<bool, StoreError> {
        let sql = "UPDATE private_identities SET seq = ?2, ind = ?3 WHERE impi = ?1";
        let (seq, ind) = rows::columns(sqn);
        Ok(self.execute(sql, params![impi.as_str(), seq, ind])? == 1)
    }
}

const PRIVATE_OWNER: &str = "SELECT subscription FROM private_identities WHERE impi = ?1";
const PUBLIC_OWNER: &str = "SELECT subscription FROM public_identities WHERE impu = ?1";

/// As the trait has it; one writer needs no FOR UPDATE.
//= TS 33.102 6.3.5
const TAKE: &str = "
UPDATE private_identities SET
  seq = base_seq + :count,
  ind = CASE WHEN base_ind BETWEEN :first AND :last
             THEN :first + (base_ind - :first + :count) % (:last - :first + 1)
             ELSE :first + (:count - 1) % (:last - :first + 1) END
FROM (SELECT impi AS whose,
    CASE WHEN :ms_seq IS NULL OR (seq + 1 > :ms_seq AND seq + 1 - :ms_seq <= 268435456)
         THEN seq ELSE :ms_seq END AS base_seq,
    CASE WHEN :ms_seq IS NULL OR (seq + 1 > :ms_seq AND seq + 1 - :ms_seq <= 268435456)
         THEN ind ELSE :ms_ind END AS base_ind
  FROM private_identities WHERE impi = :impi)
WHERE impi = whose AND base_seq + :count <= 8796093022207
RETURNING seq, ind";

/// A row of `subscriptions`.
fn parts(row: &rusqlite::Row<'_>) -> rusqlite::Result<Parts> {
    let private = Vec::new();
    Ok(Parts { id: row.get(0)?, revision: row.get(1)?, profile: row.get(2)?, state: row.get(3)?, private })
}

/// Ids, revisions and sequence numbers lie far below the end of SQLite's integers.
fn number(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::damaged("the store", "number"))
}
