//! What every daemon shares around its pure core: configuration, sockets, the clock, logging, shutdown.
//!
//! What it never does: understand a registration. It moves messages and time between the operating system and a
//! state machine, and knows SIP only as far as framing needs it.
//!
//! Where to start: [`daemon::Daemon`] is the command line and life of a role; [`Endpoints`] are its sockets.

#![forbid(unsafe_code)]

mod clock;
pub mod config;
pub mod control;
pub mod cpu;
pub mod daemon;
mod endpoints;
pub mod logging;
mod open_files;
mod seed;
mod shutdown;
pub mod sip_shell;
mod tls;
pub mod wire;

pub use clock::{Clock, boot_id};
pub use endpoints::{Arrival, Endpoints, Limits};
pub use open_files::raise_open_files;
pub use seed::seed;
pub use shutdown::{Shutdown, ShutdownHandle};
pub use tls::{PeerNames, TlsError, TlsFiles, TlsIdentity};
