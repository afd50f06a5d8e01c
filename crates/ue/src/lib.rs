//! The UE: a simulator of a phone's IMS registration, with a soft ISIM and kernel IPsec of its own.
//!
//! What it is: a pure state machine ([`core::Ue`]) that registers, re-registers and de-registers one subscriber, and
//! a shell ([`fleet`]) that runs one of them or thousands over real sockets and the kernel's security associations.
//!
//! What it never does: take an answer over another association than the one it must come over, or answer a
//! challenge that the card refuses as if it were good.
//!
//! Where to start: `core/mod.rs` and then, in the order of a registration, `core/request.rs` (SM1), `core/challenge.rs`
//! (SM6 to SM7), `core/answer.rs` (SM12).

#![forbid(unsafe_code)]

pub mod config;
pub mod core;
pub mod fleet;
mod nat;
pub mod scenario;
