//! The decisions of the HSS on Cx (TS 29.228 clause 6), and what carries them through a store.

mod assign;
mod authenticate;
mod authorize;
mod locate;
mod operations;
mod procedure;
mod request;
mod termination;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use aka::IndRange;
use cx::{Answer, AnswerWith, Origin, PeerLink, Request, Server, ServerCapabilities, VisitedNetwork};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

pub use operations::{Delivery, Edit, Report, ReportTo, Told};

use crate::UnixTime;
use crate::store::{MemoryStore, Store};
use procedure::Run;
use request::Asked;

/// What an operator decides once for all subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Of users that have no capabilities of their own.
    pub capabilities: ServerCapabilities,
    /// Networks users may register from, unless they have a list of their own; empty means all.
    pub visited_networks: HashSet<VisitedNetwork>,
    /// At most this many vectors in one answer, however many are asked for.
    pub most_vectors: u32,
    /// Whether an S-CSCF that asks to stay assigned after a de-registration does.
    pub keep_server_name: bool,
    /// The IND values for IMS. Narrow it when the same K also serves EPS.
    pub ind: IndRange,
    /// A challenge that nobody has answered for so long is over.
    pub pending_lifetime: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            capabilities: ServerCapabilities::default(),
            visited_networks: HashSet::new(),
            most_vectors: 5,
            keep_server_name: true,
            ind: IndRange::ALL,
            pending_lifetime: Duration::from_secs(600),
        }
    }
}

/// Tells the time, in the shell's name.
pub type Clock = Box<dyn Fn() -> UnixTime + Send + Sync>;

/// The HSS: a store of subscriptions, and the AuC. A handle; clones are the same HSS.
///
/// It answers many requests at once. The revisions of the store keep those of one subscription apart.
pub struct Hss<S>(Arc<Inner<S>>);

struct Inner<S> {
    policy: Policy,
    store: S,
    clock: Clock,
    random: Mutex<ChaCha20Rng>,
    peers: RwLock<Option<Arc<dyn PeerLink>>>,
}

impl<S> Inner<S> {
    fn random(&self) -> MutexGuard<'_, ChaCha20Rng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Hss<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> std::fmt::Debug for Hss<S> {
    /// The generator's state would tell the challenges to come.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hss").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}

impl<S: Store> Hss<S> {
    /// `seed` makes the RANDs: it must be unpredictable and never used before.
    pub fn new(policy: Policy, store: S, seed: [u8; 32], clock: Clock) -> Self {
        let random = Mutex::new(ChaCha20Rng::from_seed(seed));
        Self(Arc::new(Inner { policy, store, clock, random, peers: RwLock::default() }))
    }

    /// The way to the S-CSCFs: from now on they hear of de-registrations and of other profiles.
    pub fn reach(&self, peers: Arc<dyn PeerLink>) {
        *self.0.peers.write().unwrap_or_else(PoisonError::into_inner) = Some(peers);
    }

    /// Undoes [`Hss::reach`].
    pub fn leave(&self) {
        *self.0.peers.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// For operators' commands that need no decision: insert, list, count, set a sequence number.
    pub fn store(&self) -> &S {
        &self.0.store
    }
}

impl<S: Store> Server for Hss<S> {
    fn handle(&self, from: &Origin, request: Request, answer: AnswerWith) {
        let hss = self.clone();
        let done: Box<dyn FnOnce(request::Outcome) + Send> = Box::new(move |outcome| {
            // The S-CSCF that came is told first; the one that has lost the user hears of it afterwards.
            answer(outcome.answer);
            for notice in outcome.notices {
                hss.tell(notice, Box::new(|_| ()));
            }
        });
        match Asked::new(from, request) {
            Ok(asked) => Run::start(Arc::clone(&self.0), asked, done),
            Err(refused) => done(request::Outcome { answer: refused, notices: Vec::new() }),
        }
    }
}

impl Hss<MemoryStore> {
    /// The answer at once, which a store in memory can give.
    pub fn answer(&self, from: &Origin, request: Request) -> Answer {
        let refused = request.refused(cx::BaseCode::UnableToComply);
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        self.handle(from, request, Box::new(move |answer| drop(tell.try_send(answer))));
        told.try_recv().unwrap_or(refused)
    }
}

#[cfg(test)]
mod tests;
