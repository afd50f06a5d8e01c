//! The I-CSCF: the entry of the home network. It asks the HSS which S-CSCF serves a user and forwards there.
//!
//! What it never does: remember a user between two messages. A REGISTER and its answer are two unrelated requests to
//! it, and restarting it in between loses nothing.
//!
//! Where to start: `core.rs`, in the order a REGISTER passes; `selection.rs` picks an S-CSCF by its capabilities.

#![forbid(unsafe_code)]

mod config;
mod core;
pub mod file;
mod refusal;
mod selection;
pub mod shell;

pub use self::config::{Config, SCscf};
pub use self::core::{CxId, Event, ICscf, Input, Output};
pub use self::refusal::Refusal;
