//! Where subscribers and their sequence numbers live.

mod file;
mod journal;
mod memory;

use std::sync::Arc;

use aka::{Impi, Impu, Sqn};

pub use file::FileStore;
pub use memory::MemoryStore;

use crate::{HssError, Subscriber};

/// What the core needs of a store. Every look-up takes constant time.
pub trait SubscriberStore: Send {
    fn subscriber(&self, impi: &Impi) -> Option<Arc<Subscriber>>;

    /// The private identities that share a public one; empty when nobody has it.
    fn holders(&self, impu: &Impu) -> &[Impi];

    /// The next sequence number. When this returns, no later call returns it again, whatever happens to the process.
    fn next_sqn(&mut self, impi: &Impi) -> Result<Sqn, HssError>;

    /// Takes over the card's sequence number where needed. The caller has verified MAC-S.
    fn resynchronise(&mut self, impi: &Impi, sqn_ms: Sqn) -> Result<(), HssError>;
}
