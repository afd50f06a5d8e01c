//! The I-CSCF: the entry of the home network. It asks the HSS which S-CSCF serves a user and forwards there, to another
//! one when that does not answer.
//!
//! What it never does: remember a user between two messages. A REGISTER and the next are two unrelated requests to
//! it, and restarting it in between loses nothing; what it remembers is which S-CSCFs answer.
//!
//! Where to start: `core.rs`, then in the order a request passes `core/{arrive,route,locate,forward,leave,answers}.rs`; `pool.rs`
//! picks an S-CSCF by capabilities and load, `border.rs` says what other networks are to this one.

#![forbid(unsafe_code)]

mod border;
mod config;
mod core;
pub mod file;
mod pool;
mod refusal;
pub mod shell;

pub use self::border::{Border, Partner};
pub use self::config::{Config, SCscf};
pub use self::core::{CxId, Event, ICscf, Input, Output};
pub use self::refusal::Refusal;
