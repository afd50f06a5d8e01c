//! Subscriptions in memory, for labs, tests and demos.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aka::{Impi, Impu, Sqn};

use super::{
    Change, Committed, Counts, Done, IfPresent, Inserted, Key, Loaded, Replacement, Store, SubscriptionId,
};
use crate::{NewSubscription, State, StoreError, Subscription};

/// Answers at once, in the caller's thread, and forgets everything with the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    subscriptions: BTreeMap<SubscriptionId, Entry>,
    by_impi: HashMap<Impi, SubscriptionId>,
    by_impu: HashMap<Impu, SubscriptionId>,
    last: i64,
}

#[derive(Debug)]
struct Entry {
    revision: u64,
    subscription: Arc<Subscription>,
    state: Arc<State>,
    sqns: Vec<Sqn>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// A store of these; fails when two of them share an identity.
    pub fn with(subscriptions: Vec<NewSubscription>) -> Result<Self, StoreError> {
        let store = Self::new();
        for new in subscriptions {
            store.tables().insert_one(new, IfPresent::Fail)?;
        }
        Ok(store)
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn loaded(&self, id: SubscriptionId) -> Option<Loaded> {
        let entry = self.subscriptions.get(&id)?;
        Some(Loaded {
            id,
            revision: entry.revision,
            subscription: Arc::clone(&entry.subscription),
            state: Arc::clone(&entry.state),
            sqns: entry.sqns.clone(),
        })
    }

    fn current(&mut self, id: SubscriptionId, revision: u64) -> Option<&mut Entry> {
        self.subscriptions.get_mut(&id).filter(|entry| entry.revision == revision)
    }

    fn commit(&mut self, change: Change) -> Result<Committed, StoreError> {
        let Some(entry) = self.current(change.id, change.revision) else { return Ok(Committed::Conflict) };
        let mut sqns = Vec::new();
        if let Some(take) = &change.take {
            let at = entry.subscription.private().iter().position(|one| one.impi == take.impi);
            let slot = at.and_then(|at| entry.sqns.get_mut(at));
            let slot = slot.ok_or_else(|| StoreError::UnknownIdentity(take.impi.clone()))?;
            let last = take.apply(*slot)?;
            sqns = take.taken(last)?;
            *slot = last;
        }
        if let Some(state) = change.state {
            entry.state = Arc::new(state);
            entry.revision += 1;
        }
        Ok(Committed::Done { sqns })
    }

    /// An identity of `new` that another subscription than `but` has.
    fn taken(&self, new: &Subscription, but: Option<SubscriptionId>) -> Option<StoreError> {
        let elsewhere = |id: Option<&SubscriptionId>| id.is_some_and(|id| Some(*id) != but);
        let private = new.private().iter().find(|one| elsewhere(self.by_impi.get(&one.impi)));
        let public = new.public().iter().find(|held| elsewhere(self.by_impu.get(&held.impu)));
        let private = private.map(|one| StoreError::IdentityTaken(one.impi.as_str().into()));
        private.or_else(|| public.map(|held| StoreError::IdentityTaken(held.impu.as_str().into())))
    }

    fn insert_one(&mut self, new: NewSubscription, present: IfPresent) -> Result<bool, StoreError> {
        match (self.taken(&new.subscription, None), present) {
            (Some(_), IfPresent::Skip) => return Ok(false),
            (Some(error), IfPresent::Fail) => return Err(error),
            (None, _) => {}
        }
        self.last += 1;
        self.put(SubscriptionId(self.last), 1, new, State::default());
        Ok(true)
    }

    fn put(&mut self, id: SubscriptionId, revision: u64, new: NewSubscription, state: State) {
        let NewSubscription { subscription, mut sqns } = new;
        sqns.resize(subscription.private().len(), Sqn::default());
        self.by_impi.extend(subscription.private().iter().map(|one| (one.impi.clone(), id)));
        self.by_impu.extend(subscription.public().iter().map(|held| (held.impu.clone(), id)));
        let (subscription, state) = (Arc::new(subscription), Arc::new(state));
        self.subscriptions.insert(id, Entry { revision, subscription, state, sqns });
    }

    fn take_out(&mut self, id: SubscriptionId) -> Option<Entry> {
        let entry = self.subscriptions.remove(&id)?;
        for one in entry.subscription.private() {
            self.by_impi.remove(&one.impi);
        }
        for held in entry.subscription.public() {
            self.by_impu.remove(&held.impu);
        }
        Some(entry)
    }

    fn insert(&mut self, batch: Vec<NewSubscription>, present: IfPresent) -> Result<Inserted, StoreError> {
        let mut counted = Inserted::default();
        let before = self.last;
        for new in batch {
            let is_whole = new.subscription.private().iter().all(|one| self.by_impi.contains_key(&one.impi));
            match self.insert_one(new, present) {
                Ok(true) => counted.inserted += 1,
                Ok(false) => {
                    counted.present += 1;
                    counted.in_part += usize::from(!is_whole);
                }
                Err(error) => {
                    (before + 1..=self.last).for_each(|id| drop(self.take_out(SubscriptionId(id))));
                    return Err(error);
                }
            }
        }
        Ok(counted)
    }

    fn replace(&mut self, replacement: Replacement) -> Result<Committed, StoreError> {
        let Replacement { id, revision, subscription: mut new, state } = replacement;
        if self.current(id, revision).is_none() {
            return Ok(Committed::Conflict);
        }
        if let Some(error) = self.taken(&new.subscription, Some(id)) {
            return Err(error);
        }
        let Some(old) = self.take_out(id) else { return Ok(Committed::Conflict) };
        new.sqns.resize(new.subscription.private().len(), Sqn::default());
        for (one, sqn) in new.subscription.private().iter().zip(&mut new.sqns) {
            let mut before = old.subscription.private().iter().zip(&old.sqns);
            if let Some((_, last)) = before.find(|(old, _)| old.impi == one.impi) {
                *sqn = *last;
            }
        }
        self.put(id, revision + 1, new, state);
        Ok(Committed::Done { sqns: Vec::new() })
    }

    fn set_sqn(&mut self, impi: &Impi, sqn: Sqn) -> bool {
        let id = self.by_impi.get(impi).copied();
        let Some(entry) = id.and_then(|id| self.subscriptions.get_mut(&id)) else { return false };
        let at = entry.subscription.private().iter().position(|one| one.impi == *impi);
        let slot = at.and_then(|at| entry.sqns.get_mut(at));
        slot.map(|slot| *slot = sqn).is_some()
    }
}

// Each call drops the lock before `done` runs: it may come back with the next one.
impl Store for MemoryStore {
    fn load(&self, key: Key, done: Done<Option<Loaded>>) {
        let tables = self.tables();
        let id = match &key {
            Key::Impi(impi) => tables.by_impi.get(impi),
            Key::Impu(impu) => tables.by_impu.get(impu),
        };
        let loaded = id.and_then(|id| tables.loaded(*id));
        drop(tables);
        done(Ok(loaded));
    }

    fn commit(&self, change: Change, done: Done<Committed>) {
        let committed = self.tables().commit(change);
        done(committed);
    }

    fn insert(&self, batch: Vec<NewSubscription>, present: IfPresent, done: Done<Inserted>) {
        if batch.len() > Subscription::MOST_AT_ONCE {
            return done(Err(StoreError::TooMany));
        }
        let inserted = self.tables().insert(batch, present);
        done(inserted);
    }

    fn replace(&self, replacement: Replacement, done: Done<Committed>) {
        let replaced = self.tables().replace(replacement);
        done(replaced);
    }

    fn remove(&self, id: SubscriptionId, revision: u64, done: Done<Committed>) {
        let mut tables = self.tables();
        let removed = tables.current(id, revision).is_some() && tables.take_out(id).is_some();
        drop(tables);
        done(Ok(if removed { Committed::Done { sqns: Vec::new() } } else { Committed::Conflict }));
    }

    fn list(&self, after: Option<SubscriptionId>, limit: usize, done: Done<Vec<Loaded>>) {
        let tables = self.tables();
        let first = SubscriptionId(after.map_or(i64::MIN, |SubscriptionId(id)| id.saturating_add(1)));
        let ids = tables.subscriptions.range(first..).map(|(id, _)| *id);
        let page =
            ids.take(limit.min(Subscription::MOST_AT_ONCE)).filter_map(|id| tables.loaded(id)).collect();
        drop(tables);
        done(Ok(page));
    }

    fn count(&self, done: Done<Counts>) {
        let tables = self.tables();
        let counts = Counts {
            subscriptions: tables.subscriptions.len() as u64,
            private_identities: tables.by_impi.len() as u64,
            public_identities: tables.by_impu.len() as u64,
        };
        drop(tables);
        done(Ok(counts));
    }

    fn set_sqn(&self, impi: Impi, sqn: Sqn, done: Done<bool>) {
        let set = self.tables().set_sqn(&impi, sqn);
        done(Ok(set));
    }
}
