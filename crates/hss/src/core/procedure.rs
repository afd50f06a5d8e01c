//! What every decision has in common: look up, decide, write if nobody was faster, else look again.

use std::sync::Arc;

use aka::Sqn;
use rand_chacha::ChaCha20Rng;

use super::{Inner, Policy};
use crate::store::{Change, Committed, Key, Loaded, Replacement, Store, SubscriptionId};
use crate::{StoreError, UnixTime};

/// A decision as a value: it is told what the store says and says what is to be done next.
pub(super) trait Procedure: Send + 'static {
    type Outcome: Send + 'static;

    /// Begins, or begins again from nothing.
    fn start(&mut self) -> Step<Self::Outcome>;

    /// What was asked for.
    fn loaded(&mut self, loaded: Option<Loaded>, given: &Given<'_>) -> Step<Self::Outcome>;

    /// What was to be written is written.
    fn written(&mut self, sqns: Vec<Sqn>, random: &mut ChaCha20Rng) -> Self::Outcome;

    fn failed(&mut self, error: StoreError) -> Self::Outcome;
}

/// What a decision may look at besides the subscription.
pub(super) struct Given<'a> {
    pub(super) policy: &'a Policy,
    pub(super) now: UnixTime,
}

pub(super) enum Step<T> {
    Load(Key),
    Commit(Change),
    Replace(Box<Replacement>),
    Remove(SubscriptionId, u64),
    Done(T),
}

/// Whoever loses as often as this is told so.
const MOST_ATTEMPTS: u32 = 16;

/// Carries a procedure through the store, from callback to callback.
pub(super) struct Run<S, P: Procedure> {
    pub(super) hss: Arc<Inner<S>>,
    pub(super) procedure: P,
    pub(super) attempts: u32,
    pub(super) done: Box<dyn FnOnce(P::Outcome) + Send>,
}

impl<S: Store, P: Procedure> Run<S, P> {
    pub(super) fn start(hss: Arc<Inner<S>>, mut procedure: P, done: Box<dyn FnOnce(P::Outcome) + Send>) {
        let step = procedure.start();
        Self { hss, procedure, attempts: 0, done }.carry_out(step);
    }

    fn carry_out(self, step: Step<P::Outcome>) {
        let hss = Arc::clone(&self.hss);
        match step {
            Step::Load(key) => hss.store.load(key, Box::new(move |loaded| self.loaded(loaded))),
            Step::Commit(change) => hss.store.commit(change, Box::new(move |written| self.written(written))),
            Step::Replace(replacement) => {
                hss.store.replace(*replacement, Box::new(move |written| self.written(written)));
            }
            Step::Remove(id, revision) => {
                hss.store.remove(id, revision, Box::new(move |written| self.written(written)));
            }
            Step::Done(outcome) => (self.done)(outcome),
        }
    }

    fn loaded(mut self, loaded: Result<Option<Loaded>, StoreError>) {
        let step = match loaded {
            Ok(loaded) => {
                let given = Given { policy: &self.hss.policy, now: (self.hss.clock)() };
                self.procedure.loaded(loaded, &given)
            }
            Err(error) => Step::Done(self.procedure.failed(error)),
        };
        self.carry_out(step);
    }

    fn written(mut self, written: Result<Committed, StoreError>) {
        self.attempts += 1;
        let step = match written {
            Ok(Committed::Done { sqns }) => Step::Done(self.procedure.written(sqns, &mut self.hss.random())),
            Ok(Committed::Conflict) if self.attempts >= MOST_ATTEMPTS => {
                Step::Done(self.procedure.failed(StoreError::Contended))
            }
            Ok(Committed::Conflict) => self.procedure.start(),
            Err(error) => Step::Done(self.procedure.failed(error)),
        };
        self.carry_out(step);
    }
}
