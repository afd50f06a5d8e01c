//! The S-CSCF: registrar and authenticator. It challenges with a vector of the HSS, verifies the answer, and keeps
//! who is registered where.
//!
//! What it never does: use a vector twice, verify an answer twice, hand ik and ck to a peer it does not trust, or
//! let a failed authentication touch a registration.
//!
//! Where to start reading: [`Scscf::handle`](Scscf) and the decision table in `core.rs`; `challenge.rs` judges an
//! answer, `answer.rs` writes what leaves.
#![forbid(unsafe_code)]

mod answer;
mod binding;
mod challenge;
mod config;
pub mod control;
mod core;
pub mod file;
mod news;
mod refusal;
mod register;
mod registrar;
mod restoration;
pub mod shell;
mod subscribe;
mod subscriptions;
mod vectors;

pub use self::core::{
    Command, CommandError, CommandId, CxId, CxRequestId, Deregistration, Done, Event, Initiator, Input,
    Output, Removal, Scscf, SubscriptionEnd, User,
};
pub use config::{Config, Limits, Reauthenticate, Unanswered};
pub use refusal::Refusal;
pub use registrar::{RegisteredContact, RegisteredUser};
