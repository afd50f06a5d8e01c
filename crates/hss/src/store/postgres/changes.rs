//! Subscriptions that come, and those that become others: several statements, one transaction.

use std::collections::HashSet;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Transaction};

use super::super::rows::{self, Private};
use super::super::seal::MasterKey;
use super::super::{Committed, IfPresent, Inserted, Replacement, document};
use super::connection::{database, done_or_conflict, stored};
use super::statements as sql;
use crate::{NewSubscription, State, StoreError};

/// All of a batch, or nothing.
pub(super) async fn insert(
    transaction: Transaction<'_>,
    key: &MasterKey,
    batch: &[NewSubscription],
    present: IfPresent,
) -> Result<Inserted, StoreError> {
    let (asked, mut in_part) = (batch.len(), 0);
    let mut taken = taken(&transaction, batch).await?;
    let mut new: Vec<&NewSubscription> = Vec::new();
    for one in batch {
        match (identities(one).find(|identity| taken.contains(*identity)), present) {
            (Some(identity), IfPresent::Fail) => return Err(StoreError::IdentityTaken(identity.into())),
            (Some(_), IfPresent::Skip) => {
                let mut private = one.subscription.private().iter();
                in_part += usize::from(private.any(|one| !taken.contains(one.impi.as_str())));
            }
            (None, _) => {
                taken.extend(identities(one).map(str::to_owned));
                new.push(one);
            }
        }
    }
    let state = document::write_state(&State::default());
    let profiles = new.iter().map(|new| document::write_profile(&new.subscription)).collect::<Vec<_>>();
    let states = vec![state.as_str(); profiles.len()];
    let ids = query(&transaction, sql::INSERT, &[&profiles, &states]).await?;
    // An INSERT answers in the order of its rows, and hands out growing numbers; in the order of the numbers it is safe.
    let mut ids: Vec<i64> = ids.iter().map(|row| row.get(0)).collect();
    ids.sort_unstable();
    let (mut private, mut public) = (Columns::default(), (Vec::new(), Vec::new()));
    for (id, new) in ids.into_iter().zip(&new) {
        for row in rows::private(new, key)? {
            private.push(id, row);
        }
        for held in new.subscription.public() {
            public.0.push(id);
            public.1.push(held.impu.as_str());
        }
    }
    let Columns { subscription, impi, sealed, amf, seq, ind } = &private;
    execute(&transaction, sql::INSERT_PRIVATE, &[subscription, impi, sealed, amf, seq, ind]).await?;
    execute(&transaction, sql::INSERT_PUBLIC, &[&public.0, &public.1]).await?;
    let inserted = new.len();
    commit(transaction).await?;
    Ok(Inserted { inserted, present: asked - inserted, in_part })
}

fn identities(new: &NewSubscription) -> impl Iterator<Item = &str> {
    let private = new.subscription.private().iter().map(|one| one.impi.as_str());
    private.chain(new.subscription.public().iter().map(|held| held.impu.as_str()))
}

/// The identities of the batch that are in the store. A private one is no URI, so that the two never look alike.
async fn taken(
    transaction: &Transaction<'_>,
    batch: &[NewSubscription],
) -> Result<HashSet<String>, StoreError> {
    let wanted: Vec<&str> = batch.iter().flat_map(identities).collect();
    let mut taken = HashSet::new();
    for statement in [sql::PRESENT_PRIVATE, sql::PRESENT_PUBLIC] {
        let found = query(transaction, statement, &[&wanted]).await?;
        taken.extend(found.iter().map(|row| row.get::<_, String>(0)));
    }
    Ok(taken)
}

pub(super) async fn replace(
    transaction: Transaction<'_>,
    key: &MasterKey,
    replacement: &Replacement,
) -> Result<Committed, StoreError> {
    let (id, new) = (replacement.id.0, &replacement.subscription);
    let (profile, state) =
        (document::write_profile(&new.subscription), document::write_state(&replacement.state));
    let revision = stored(replacement.revision);
    if execute(&transaction, sql::REPLACE, &[&id, &revision, &profile, &state]).await? == 0 {
        return Ok(done_or_conflict(false));
    }
    let mut private = Columns::default();
    for row in rows::private(new, key)? {
        private.push(id, row);
    }
    let public: Vec<&str> = new.subscription.public().iter().map(|held| held.impu.as_str()).collect();
    let Columns { impi, sealed, amf, seq, ind, .. } = &private;
    execute(&transaction, sql::LEAVE_PRIVATE, &[&id, impi]).await?;
    execute(&transaction, sql::LEAVE_PUBLIC, &[&id, &public]).await?;
    let entered = execute(&transaction, sql::ENTER_PRIVATE, &[&id, impi, sealed, amf, seq, ind]).await?;
    let known = execute(&transaction, sql::ENTER_PUBLIC, &[&id, &public]).await?;
    if entered != impi.len() as u64 || known != public.len() as u64 {
        return Err(StoreError::IdentityTaken("an identity".into()));
    }
    commit(transaction).await?;
    Ok(done_or_conflict(true))
}

/// Rows of private identities as columns.
#[derive(Default)]
struct Columns {
    subscription: Vec<i64>,
    impi: Vec<String>,
    sealed: Vec<Vec<u8>>,
    amf: Vec<i32>,
    seq: Vec<i64>,
    ind: Vec<i32>,
}

impl Columns {
    fn push(&mut self, subscription: i64, row: Private) {
        self.subscription.push(subscription);
        self.impi.push(row.impi);
        self.sealed.push(row.sealed);
        self.amf.push(row.amf);
        self.seq.push(row.seq);
        self.ind.push(row.ind);
    }
}

async fn query(
    transaction: &Transaction<'_>,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StoreError> {
    transaction.query(statement, parameters).await.map_err(failed)
}

async fn execute(
    transaction: &Transaction<'_>,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<u64, StoreError> {
    transaction.execute(statement, parameters).await.map_err(failed)
}

async fn commit(transaction: Transaction<'_>) -> Result<(), StoreError> {
    transaction.commit().await.map_err(failed)
}

/// Another HSS may have added an identity since it was looked for.
fn failed(error: tokio_postgres::Error) -> StoreError {
    match error.code() {
        Some(&SqlState::UNIQUE_VIOLATION) => StoreError::IdentityTaken("an identity".into()),
        _ => database("write subscriptions", error),
    }
}
