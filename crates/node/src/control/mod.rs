//! The control socket of a daemon: a Unix-domain socket that only its owner may open. One line of JSON asks, one line
//! of JSON answers.
//!
//! [`Control`] listens inside the daemon, [`ask`] is the operator's end. What the lines hold is [`protocol`]'s and the
//! role's business.

mod client;
mod lines;
pub mod protocol;
mod server;

pub use client::{AskError, ask};
pub use lines::{Lines, TooLong};
pub use server::{Asked, Control, ControlError, ReplyTo, next};
