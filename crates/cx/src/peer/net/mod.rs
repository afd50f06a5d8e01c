//! The sockets, tasks and clocks under a node.

mod client;
mod file;
mod server;
mod shared;
mod stream;
mod tls;

pub use client::DiameterClient;
pub use file::{FileError, PeerFile, RemoteFile, ServerFile};
pub use server::{Listener, Peers, serve};
pub use tls::{Tls, TlsError, TlsFile};
