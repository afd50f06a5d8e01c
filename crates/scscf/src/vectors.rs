//! Authentication vectors that wait for their turn: first in, first out, each for one challenge.

use aka::{AuthVector, Impi};
use std::collections::{HashMap, VecDeque};

/// The unused vectors of each private identity. Their keys are wiped when they are dropped.
#[derive(Debug)]
pub(crate) struct Vectors {
    waiting: HashMap<Impi, VecDeque<AuthVector>>,
    /// Private identities that may have some.
    limit: usize,
}

impl Vectors {
    pub(crate) fn new(limit: usize) -> Self {
        Self { waiting: HashMap::new(), limit }
    }

    /// The next one. It is not here any more.
    //= TS 33.203 6.1.1
    pub(crate) fn take(&mut self, impi: &Impi) -> Option<AuthVector> {
        let waiting = self.waiting.get_mut(impi)?;
        let vector = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(impi);
        }
        vector
    }

    /// A batch of the HSS in its order; what was left of an earlier one goes.
    pub(crate) fn replace(&mut self, impi: &Impi, batch: impl Iterator<Item = AuthVector>) {
        self.forget(impi);
        let batch: VecDeque<AuthVector> = batch.collect();
        if !batch.is_empty() && self.waiting.len() < self.limit {
            self.waiting.insert(impi.clone(), batch);
        }
    }

    pub(crate) fn forget(&mut self, impi: &Impi) {
        self.waiting.remove(impi);
    }
}
