//! Diameter coding (RFC 6733) of the Cx application (TS 29.229).
//!
//! [`encode`] writes, [`decode`] reads: what all commands share. Each command has a file of its own, named after its
//! request; [`dictionary`] knows the AVPs. Every length is checked before it is used.

mod avp;
pub mod decode;
pub mod dictionary;
pub mod encode;
mod extra;
mod failed;
mod fields;
mod header;
mod lir;
mod mar;
mod outcome;
mod ppr;
mod restoration;
mod rtr;
mod sar;
mod uar;

pub use avp::{Avp, AvpKey, Avps, Wire, Writer};
pub use extra::{Extra, SupportedFeatures};
pub use failed::FailedAvp;
pub use header::{Application, Command, Header, Ids, LONGEST_MESSAGE};

#[cfg(test)]
mod tests;
