//! Who is trusted, and what may be said to whom: the trust domain of RFC 3324 as the seed cuts it (`spec/07`), the
//! Privacy header, the headers that stop at a border, the identities a P-CSCF may assert.
//!
//! What it never does: resolve a name, read a certificate, keep a dialog of its own accord. It is told what is known
//! of a peer and answers; nothing a message says about itself (Via, From) is ever taken for proof.
//!
//! Where to start reading: [`TrustDomain::decide`], then [`border`] for what the answer means to a message, and
//! [`Privacy`] for what its sender wants.
#![forbid(unsafe_code)]

pub mod border;
pub mod declaration;
mod dialogs;
mod domain;
pub mod identity;
mod prefix;
mod privacy;

pub use border::{BorderPolicy, WithoutPrivacy};
pub use dialogs::{MemoryError, MemoryLimits, PrivacyMemory};
pub use domain::{
    Certificate, Direction, Interface, Method, Peer, Protection, Rule, RuleError, Trust, TrustDomain,
};
pub use prefix::{Prefix, PrefixError};
pub use privacy::{OnBehalf, Privacy, PrivacyError, Service, Unmet, Value, answer_as_asked, on_behalf};
