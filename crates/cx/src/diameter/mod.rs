//! Diameter coding (RFC 6733) of the Cx application (TS 29.229).
//!
//! [`encode`] writes, [`decode`] reads; [`dictionary`] knows the AVPs. Every length is checked before it is used.

mod avp;
pub mod decode;
pub mod dictionary;
pub mod encode;
mod header;

pub use avp::{Avp, AvpKey, Avps, Wire, Writer};
pub use header::{Application, Command, Header, Ids, LONGEST_MESSAGE};

#[cfg(test)]
mod tests;
