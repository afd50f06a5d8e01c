//! Security mechanism agreement of IMS: RFC 3329 as profiled by TS 33.203 clause 7.2 and Annexes H and I.
//!
//! What it is: the Security-Client, Security-Server and Security-Verify headers as types, the choice of
//! algorithms at both ends, the expansion of CK and IK to ESP keys, and the [`SaSet`], the four security
//! associations that follow from all of it, as plain data.
//!
//! What it never does: open a socket, ask the kernel, draw an SPI or look at a clock. The numbers come in from
//! the state machine that uses it; the kernel is the business of the `xfrm` crate.
//!
//! Where to start: [`SecurityClient::parse`] reads the offer of SM1, [`Policy::choose`] picks for the P-CSCF,
//! [`SecurityServer`] prints the answer of SM6, [`SecurityServer::choose`] picks for the UE,
//! [`EspKeys::expand`] and [`SaSet::new`] give what the kernel must hold.

#![forbid(unsafe_code)]

mod algorithm;
mod association;
mod encapsulation;
mod error;
mod keys;
mod mechanism;
mod mode;
mod offer;
mod policy;
mod pool;
mod setup;

pub use algorithm::{Alg, Algorithms, Ealg};
pub use association::{Association, Associations, End, Role, SaSet};
pub use encapsulation::{Encapsulation, Side};
pub use error::SecAgreeError;
pub use keys::{EspKeys, Secret};
pub use mechanism::Mechanism;
pub use mode::Mode;
pub use offer::{SecurityClient, SecurityServer, SecurityVerify};
pub use policy::{Encryption, Policy};
pub use pool::{ClientPorts, SpiPool};
pub use setup::{Port, Setup, Spi};
