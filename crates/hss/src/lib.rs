//! The home subscriber server: the subscribers, their keys and sequence numbers, and what Cx asks about them.
//!
//! [`Hss`] decides and holds no socket, clock or file; a [`store::Store`] keeps subscriptions and makes sure that
//! no sequence number leaves twice, also when the machine loses power. What it never does: show a key, in a log,
//! an error or an answer, or take OP for OPc.
//!
//! Where to start reading: [`Subscription`] and [`State`] are what is kept, [`store::Store`] by whom, [`Hss`] the
//! decisions, [`csv`] the file an operator writes.
#![forbid(unsafe_code)]

mod config;
pub mod control;
mod core;
pub mod csv;
mod error;
pub mod operator;
pub mod shell;
mod state;
pub mod store;
mod subscriber;
mod subscription;

pub use config::{HssConfig, StoreConfig};
pub use core::{Clock, Delivery, Edit, Hss, Policy, Report, ReportTo, Told};
pub use error::{HssError, OperationError, RowError, StoreError};
pub use state::{State, Status, UnixTime};
pub use store::MemoryStore;
pub use subscriber::{Subscriber, SubscriberImpu};
pub use subscription::{
    HeldIdentity, ImplicitSet, NewSubscription, PrivateIdentity, Profile, ProfileError, Subscription,
    subscriptions,
};
