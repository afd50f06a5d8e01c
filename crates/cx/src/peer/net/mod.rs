//! The sockets, tasks and clocks under a node.

mod client;
mod file;
mod server;
mod shared;
mod stream;

pub use client::DiameterClient;
pub use file::{PeerFile, UnknownPeer};
pub use server::{Peers, serve};
