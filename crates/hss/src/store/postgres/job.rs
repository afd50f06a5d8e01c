//! What waits for a connection.

use std::fmt;
use std::time::Instant;

use aka::{Impi, Sqn};

use super::super::{
    Change, Committed, Counts, Done, IfPresent, Inserted, Key, Loaded, Replacement, SubscriptionId,
};
use crate::{NewSubscription, StoreError};

pub(super) struct Job {
    pub(super) work: Work,
    pub(super) since: Instant,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a job")
    }
}

pub(super) enum Work {
    Load(Key, Reply<Option<Loaded>>),
    Commit(Change, Reply<Committed>),
    Insert(Vec<NewSubscription>, IfPresent, Reply<Inserted>),
    Replace(Box<Replacement>, Reply<Committed>),
    Remove(SubscriptionId, u64, Reply<Committed>),
    List(Option<SubscriptionId>, usize, Reply<Vec<Loaded>>),
    Count(Reply<Counts>),
    SetSqn(Impi, Sqn, Reply<bool>),
}

impl Work {
    pub(super) fn fail(self, error: StoreError) {
        match self {
            Self::Load(_, reply) => reply.end(Err(error)),
            Self::Commit(_, reply) => reply.end(Err(error)),
            Self::Insert(_, _, reply) => reply.end(Err(error)),
            Self::Replace(_, reply) => reply.end(Err(error)),
            Self::Remove(_, _, reply) => reply.end(Err(error)),
            Self::List(_, _, reply) => reply.end(Err(error)),
            Self::Count(reply) => reply.end(Err(error)),
            Self::SetSqn(_, _, reply) => reply.end(Err(error)),
        }
    }
}

/// Calls its `Done` whatever happens: dropped, with the store or with a connection that is given up, it says so.
pub(super) struct Reply<T>(Option<Done<T>>);

impl<T> Reply<T> {
    pub(super) fn new(done: Done<T>) -> Self {
        Self(Some(done))
    }

    pub(super) fn end(mut self, result: Result<T, StoreError>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(StoreError::Closed));
        }
    }
}
