//! Where subscriptions, their state and their sequence numbers live.

#[cfg(test)]
pub(crate) mod contract;
pub mod document;
pub(crate) mod journal;
mod memory;
mod postgres;
mod rows;
pub mod seal;
mod sqlite;

use std::sync::Arc;

use aka::{AkaError, Impi, Impu, IndRange, Sqn, SqnGenerator};

pub use memory::MemoryStore;
pub use postgres::{PostgresConfig, PostgresStore};
pub use sqlite::SqliteStore;

use crate::{NewSubscription, State, StoreError, Subscription};

/// A store of subscriptions. Every operation may answer at once, in the caller's thread, or later from another one;
/// it never blocks the caller on a disk or a network. `done` is called exactly once: also when the store is full,
/// broken or about to end.
///
/// # What a store promises
///
/// 1. **Revisions.** Each subscription has a revision, which grows with every change of its profile or state.
///    [`commit`](Store::commit), [`replace`](Store::replace) and [`remove`](Store::remove) name the revision they
///    have seen; if it is no longer the present one, or the subscription is gone, nothing at all happens and the
///    answer is [`Committed::Conflict`]. So each of them is one transaction, and two HSS processes on one database
///    never overwrite each other. A `commit` that only takes sequence numbers checks the revision and leaves it.
/// 2. **Sequence numbers.** A number that [`commit`](Store::commit) has answered with is on the disk before `done`
///    is called, and never comes again: not after a crash, and not from another process. Numbers may be skipped.
///    [`SqnTake::apply`] is the rule, in Rust; a database does it in one statement (below), because reading and
///    then writing would let two processes read the same number.
/// 3. **Identities.** A private identity, and a public one, belongs to one subscription. An insertion or replacement
///    that would break this changes nothing and fails with [`StoreError::IdentityTaken`].
/// 4. **Looking up** by either identity takes the same time whatever the number of subscribers.
/// 5. **Order.** What is asked for after `done` of something else sees its effect. Nothing else is promised about
///    the order of operations.
/// 6. **Hostile content.** What a database holds is checked like what a network brings: [`document`] reads
///    documents, [`seal`] opens keys, and an error of either is [`StoreError::Damaged`]. Keys are in no error.
/// 7. **Bounds.** A store refuses what it cannot begin with [`StoreError::Busy`] instead of queueing without end.
///
/// # In SQL
///
/// ```sql
/// CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);            -- schema version, key check value
/// CREATE TABLE subscriptions (id INTEGER PRIMARY KEY,                        -- handed out by the database
///     revision INTEGER NOT NULL, profile TEXT NOT NULL, state TEXT NOT NULL);  -- texts of `document`
/// CREATE TABLE private_identities (impi TEXT PRIMARY KEY, subscription INTEGER NOT NULL REFERENCES subscriptions(id)
///     ON DELETE CASCADE, sealed BLOB NOT NULL, amf INTEGER NOT NULL, seq INTEGER NOT NULL, ind INTEGER NOT NULL);
/// CREATE TABLE public_identities (impu TEXT PRIMARY KEY, subscription INTEGER NOT NULL REFERENCES subscriptions(id)
///     ON DELETE CASCADE);
/// ```
///
/// with an index on both `subscription` columns. The order of a subscription's private identities is the one in its
/// profile document. Sequence numbers leave by this statement; without a resynchronisation `:ms` is NULL and the
/// base is the row's own number. Inside the transaction of a `commit` it stands beside
/// `UPDATE subscriptions SET revision = revision + 1, state = :state WHERE id = :id AND revision = :revision`, or,
/// when there is no state to write, beside a locking read of that row (`SELECT ... FOR SHARE`):
///
/// ```sql
/// UPDATE private_identities SET
///   seq = base_seq + :count,
///   ind = CASE WHEN base_ind BETWEEN :first AND :last
///              THEN :first + (base_ind - :first + :count) % (:last - :first + 1)
///              ELSE :first + (:count - 1) % (:last - :first + 1) END
/// FROM (SELECT impi AS whose,
///     CASE WHEN :ms_seq IS NULL OR (seq + 1 > :ms_seq AND seq + 1 - :ms_seq <= 268435456)
///          THEN seq ELSE :ms_seq END AS base_seq,
///     CASE WHEN :ms_seq IS NULL OR (seq + 1 > :ms_seq AND seq + 1 - :ms_seq <= 268435456)
///          THEN ind ELSE :ms_ind END AS base_ind
///   FROM private_identities WHERE impi = :impi FOR UPDATE) AS base   -- no FOR UPDATE in SQLite, which has one writer
/// WHERE impi = whose AND base_seq + :count <= 8796093022207
/// RETURNING seq, ind;
/// ```
///
/// No row means that the numbers have come to their end, [`AkaError::SqnExhausted`] (or that the identity is gone:
/// the revision has been checked, so it is not). [`SqnTake::taken`] makes the numbers of what is returned.
/// A test plays random takes against [`SqnTake::apply`] and the statement; copy it for a new store.
pub trait Store: Send + Sync + 'static {
    /// The subscription that holds an identity, and its state; None when nobody holds it.
    fn load(&self, key: Key, done: Done<Option<Loaded>>);

    /// Writes a state and takes sequence numbers: both or neither.
    fn commit(&self, change: Change, done: Done<Committed>);

    /// Adds many at once: all, or, after an error, none. `present` says what happens to one of whose identities
    /// any is already in the store. At most [`Subscription::MOST_AT_ONCE`] a call.
    fn insert(&self, batch: Vec<NewSubscription>, present: IfPresent, done: Done<Inserted>);

    /// Exchanges profile, keys and state of a subscription. Private identities that stay keep their sequence numbers,
    /// new ones begin with those of `replacement`.
    fn replace(&self, replacement: Replacement, done: Done<Committed>);

    fn remove(&self, id: SubscriptionId, revision: u64, done: Done<Committed>);

    /// At most `limit` subscriptions (and never more than [`Subscription::MOST_AT_ONCE`]) with a larger id than
    /// `after`, in the order of ids. To list all, call again with the last id until nothing comes.
    fn list(&self, after: Option<SubscriptionId>, limit: usize, done: Done<Vec<Loaded>>);

    fn count(&self, done: Done<Counts>);

    /// Sets the last used sequence number, whatever it was; false when nobody has that identity. This is the one
    /// way to have a number leave twice, and is for an operator who knows what the card has seen.
    fn set_sqn(&self, impi: Impi, sqn: Sqn, done: Done<bool>);
}

/// What to do with an answer of a store. It runs in a thread of the store and must not block.
pub type Done<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// How a subscription is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Impi(Impi),
    Impu(Impu),
}

/// The store's own name of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub i64);

/// A subscription as it was a moment ago.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub id: SubscriptionId,
    pub revision: u64,
    pub subscription: Arc<Subscription>,
    pub state: Arc<State>,
    /// The last used sequence number of each private identity, for people to look at. Never count on from it.
    pub sqns: Vec<Sqn>,
}

/// What a decision writes.
#[derive(Debug, Clone)]
pub struct Change {
    pub id: SubscriptionId,
    pub revision: u64,
    pub state: Option<State>,
    pub take: Option<SqnTake>,
}

/// Another content for a subscription.
#[derive(Debug, Clone)]
pub struct Replacement {
    pub id: SubscriptionId,
    pub revision: u64,
    pub subscription: NewSubscription,
    pub state: State,
}

/// Sequence numbers wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqnTake {
    pub impi: Impi,
    pub count: u32,
    pub range: IndRange,
    /// SQN_MS of a card that is out of step, out of an AUTS whose MAC-S has been verified.
    pub resynchronise: Option<Sqn>,
}

impl SqnTake {
    /// What this makes of the last used number: the new last one.
    //= TS 33.102 6.3.5
    pub fn apply(&self, last: Sqn) -> Result<Sqn, AkaError> {
        let mut generator = SqnGenerator::new(last, self.range);
        if let Some(sqn_ms) = self.resynchronise {
            generator.resynchronise(sqn_ms);
        }
        let end = generator.last().seq().saturating_add(u64::from(self.count));
        if end > Sqn::MAX_SEQ {
            return Err(AkaError::SqnExhausted);
        }
        for _ in 0..self.count {
            generator.next()?;
        }
        Ok(generator.last())
    }

    /// The numbers that were taken, given the last of them.
    pub fn taken(&self, last: Sqn) -> Result<Vec<Sqn>, AkaError> {
        let (first, width) =
            (u32::from(self.range.first()), u32::from(self.range.last() - self.range.first()) + 1);
        let back = |by: u32| {
            let seq = last.seq().checked_sub(u64::from(by)).ok_or(AkaError::SqnParts)?;
            let ind = u32::from(last.ind()).checked_sub(first).ok_or(AkaError::SqnParts)?;
            let ind = first + (ind + width - by % width) % width;
            Sqn::from_parts(seq, u8::try_from(ind).map_err(|_| AkaError::SqnParts)?)
        };
        (0..self.count).rev().map(back).collect()
    }
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Done, and durable. The sequence numbers are in the order to be used; none when none were asked for.
    Done { sqns: Vec<Sqn> },
    /// Somebody else was faster, or the subscription is gone: nothing has changed.
    Conflict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfPresent {
    /// The one in the store stays as it is.
    Skip,
    /// Nothing is inserted, and the error is [`StoreError::IdentityTaken`].
    Fail,
}

/// How many subscriptions of a batch were inserted, and how many left out because an identity of theirs was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inserted {
    pub inserted: usize,
    pub present: usize,
    /// Of those left out: with a private identity that is not in the store.
    pub in_part: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub subscriptions: u64,
    pub private_identities: u64,
    pub public_identities: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn taken_numbers_are_those_the_generator_makes(
            seq in 0u64..1 << 40, ind in 0u8..32, first in 0u8..32, width in 0u8..32, count in 1u32..80,
            ms in proptest::option::of((0u64..1 << 40, 0u8..32)),
        ) {
            let range = IndRange::new(first, (first + width).min(31)).unwrap();
            let resynchronise = ms.map(|(seq, ind)| Sqn::from_parts(seq, ind).unwrap());
            let impi = Impi::new("a@home.example").unwrap();
            let take = SqnTake { impi, count, range, resynchronise };
            let mut generator = SqnGenerator::new(Sqn::from_parts(seq, ind).unwrap(), range);
            if let Some(sqn_ms) = resynchronise {
                generator.resynchronise(sqn_ms);
            }
            let expected: Vec<Sqn> = (0..count).map(|_| generator.next().unwrap()).collect();
            let last = take.apply(Sqn::from_parts(seq, ind).unwrap()).unwrap();
            prop_assert_eq!(Some(&last), expected.last());
            prop_assert_eq!(take.taken(last).unwrap(), expected);
        }
    }
}
