//! The P-CSCF: the first hop of a UE and the end of its ESP.
//!
//! What it is: a pure state machine ([`core::PCscf`]) that forwards registrations, takes IK and CK out of the
//! challenge, agrees algorithms with the UE and owns the sets of security associations; and a thin shell
//! ([`shell`]) that gives it sockets, a clock and the kernel.
//!
//! What it never does: let ck or ik through to a UE, send a 401 before the kernel has accepted all four
//! associations, or take a protected message for anybody but the owner of the association it came over.
//!
//! Where to start: follow one REGISTER: `core/register.rs` (SM1 and SM7 from the UE), `core/challenge.rs` (SM5 to
//! SM6), `core/answer.rs` (SM11 to SM12). `core/sa_table.rs` holds the life of the sets.

#![forbid(unsafe_code)]

pub mod config;
pub mod core;
pub mod shell;
pub mod store;
