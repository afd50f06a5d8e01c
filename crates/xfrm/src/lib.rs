//! The security-association engine: a [`sec_agree::SaSet`] goes into Linux XFRM, whole or not at all.
//!
//! What it is: a synchronous netlink client. The kernel works off XFRM messages inside `send`, so every answer is
//! there when `send` returns; batches of up to [`Engine::BATCH`] sets share one `send`, every answer is read, and a
//! set of which one state was refused is rolled back before the caller hears of it.
//!
//! What it never does: flush a table, touch an object without our [`MARK`] or [`ZB_MARK`], print a key, install a
//! state of a UE without a lifetime, or report success for something the kernel did not confirm.
//!
//! Where to start: [`Engine::open`] and [`Engine::probe`], then [`Engine::protect`] for the constant policies of a
//! local address and [`Engine::install`] for the states; [`Monitor`] hears what the kernel does by
//! itself. `state.rs` and `policy.rs` say what the messages hold. [`ZbInterfaces`] is something
//! else: manual keys between two nodes of the network.

// One socket option that no crate offers: see `encap_socket.rs`.
#![deny(unsafe_code)]

mod change;
mod dump;
mod encap_socket;
mod engine;
mod error;
mod event;
mod monitor;
mod policy;
mod probe;
mod selector;
mod socket;
mod state;
mod statistics;
mod tunnel;
mod zb;

pub use change::{Change, Extend};
pub use dump::{KernelState, StateAlgorithm};
pub use encap_socket::EncapSocket;
pub use engine::{Engine, Install};
pub use error::{Operation, XfrmError};
pub use event::KernelEvent;
pub use monitor::Monitor;
pub use policy::Protection;
pub use probe::Capabilities;
pub use selector::MARK;
pub use state::Lifetime;
pub use statistics::Statistics;
pub use zb::{ZB_MARK, Zb, ZbError, ZbFile, ZbInterfaces, ZbLink, ZbMode, ZbProtocol};
