//! SIP for the IMS registration: messages as byte ranges over one buffer, the headers as types, stream framing,
//! the transaction state machines of RFC 3261 clause 17, and the routing rules a proxy needs.
//!
//! What it never does: open a socket, read a clock, draw a random number, or start a task. It never panics on
//! bytes from outside, and `Debug` never prints what a header holds (`response`, `ik` and `ck` live there).
//!
//! Where to start reading: [`Message`] (what came in), [`Draft`] (what goes out), then
//! [`transaction::Transactions`], which sits between the two and the wire.
#![forbid(unsafe_code)]

pub mod dialog;
mod draft;
mod flow;
pub mod framing;
pub mod header;
mod instant;
mod message;
mod method;
mod name;
mod parse;
pub mod proxy;
pub mod reginfo;
pub mod routing;
pub mod text;
pub mod transaction;

pub use dialog::{Dialog, DialogError, SubscriptionState};
pub use draft::Draft;
pub use flow::{ConnectionId, Flow, Transmit, Transport};
pub use header::{
    CSeq, Challenge, Contacts, Credentials, Host, KeyParams, NameAddr, OptionTags, PChargingVector, Scheme,
    Uri, Via,
};
pub use instant::Instant;
pub use message::Message;
pub use method::Method;
pub use name::Name;
pub use parse::{ParseError, refusal};
pub use proxy::{Hop, Proxy, Relay};
pub use transaction::{ClientId, Event, Received, ServerId, Timers, TransactionError, Transactions};
