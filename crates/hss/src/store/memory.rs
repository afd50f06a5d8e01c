//! Subscribers in memory, for tests, demos and as the working set of [`super::FileStore`].

use std::collections::HashMap;
use std::sync::Arc;

use aka::{Impi, Impu, IndRange, Sqn, SqnGenerator};

use super::SubscriberStore;
use crate::{HssError, Subscriber};

/// Forgets its sequence numbers with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    by_impi: HashMap<Impi, Entry>,
    by_impu: HashMap<Impu, Vec<Impi>>,
}

#[derive(Debug)]
struct Entry {
    subscriber: Arc<Subscriber>,
    sqn: SqnGenerator,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subscriber whose sequence numbers continue after `last`. Replaces one with the same private identity.
    pub fn insert(&mut self, subscriber: Subscriber, last: Sqn, range: IndRange) {
        self.remove(&subscriber.impi);
        for held in &subscriber.impus {
            self.by_impu.entry(held.impu.clone()).or_default().push(subscriber.impi.clone());
        }
        let sqn = SqnGenerator::new(last, range);
        let impi = subscriber.impi.clone();
        self.by_impi.insert(impi, Entry { subscriber: Arc::new(subscriber), sqn });
    }

    pub fn len(&self) -> usize {
        self.by_impi.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_impi.is_empty()
    }

    pub(super) fn generator(&mut self, impi: &Impi) -> Result<&mut SqnGenerator, HssError> {
        let entry = self.by_impi.get_mut(impi).ok_or_else(|| HssError::UnknownSubscriber(impi.clone()))?;
        Ok(&mut entry.sqn)
    }

    fn remove(&mut self, impi: &Impi) {
        let Some(entry) = self.by_impi.remove(impi) else { return };
        for held in &entry.subscriber.impus {
            if let Some(holders) = self.by_impu.get_mut(&held.impu) {
                holders.retain(|holder| holder != impi);
                if holders.is_empty() {
                    self.by_impu.remove(&held.impu);
                }
            }
        }
    }
}

impl SubscriberStore for MemoryStore {
    fn subscriber(&self, impi: &Impi) -> Option<Arc<Subscriber>> {
        self.by_impi.get(impi).map(|entry| Arc::clone(&entry.subscriber))
    }

    fn holders(&self, impu: &Impu) -> &[Impi] {
        self.by_impu.get(impu).map_or(&[], Vec::as_slice)
    }

    fn next_sqn(&mut self, impi: &Impi) -> Result<Sqn, HssError> {
        Ok(self.generator(impi)?.next()?)
    }

    fn resynchronise(&mut self, impi: &Impi, sqn_ms: Sqn) -> Result<(), HssError> {
        self.generator(impi)?.resynchronise(sqn_ms);
        Ok(())
    }
}

#[cfg(test)]
impl MemoryStore {
    pub(crate) fn generator_state(&self, impi: &Impi) -> Option<SqnGenerator> {
        self.by_impi.get(impi).map(|entry| entry.sqn.clone())
    }
}
