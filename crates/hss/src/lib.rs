//! The home subscriber server: the subscribers, their keys and sequence numbers, and what Cx asks about them.
//!
//! [`Hss`] decides and holds no socket, clock or file; a [`SubscriberStore`] keeps subscribers and makes sure that
//! no sequence number leaves twice, also when the machine loses power. What it never does: show a key, in a log,
//! an error or an answer, or take OP for OPc.
//!
//! Where to start reading: [`Hss`] and its `handle` for the decisions, [`FileStore`] for what survives a crash,
//! [`csv`] for the file an operator writes.
#![forbid(unsafe_code)]

mod config;
mod core;
pub mod csv;
mod error;
mod store;
mod subscriber;

pub use config::HssConfig;
pub use core::{Hss, Policy, Shared};
pub use error::{HssError, RowError};
pub use store::{FileStore, MemoryStore, SubscriberStore};
pub use subscriber::{Subscriber, SubscriberImpu};
