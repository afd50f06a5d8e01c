//! A whole network in one process: namespaces `ue`, `access` and `core`, every role in its own thread and namespace,
//! real sockets, the kernel's real IPsec, and a tap on the wire between UE and P-CSCF.
//!
//! What it never does: touch the namespace it was started in, mount anything, or leave anything behind, also when a
//! test panics.
//!
//! Where to start: [`Lab`]; `privileges` for what a program must do first.

#![forbid(unsafe_code)]

mod border;
mod cards;
mod cscfs;
mod cx_link;
mod lab;
pub mod ladder;
pub mod links;
mod listener;
mod namespace;
mod nat;
mod network;
pub mod observer;
mod operator;
mod operators;
mod packet;
mod pcapng;
pub mod plan;
pub mod privileges;
mod recorder;
mod recording;
mod role;
mod tap;
mod ues;

pub use border::{Border, inside};
pub use lab::{Cpu, Lab, Options};
pub use namespace::Namespace;
pub use network::Network;
pub use operator::Operator;
pub use operators::{Link, Operators};
pub use recording::{Captured, Recording};
pub use tap::{Traffic, Wire};
pub use ues::Finished;
