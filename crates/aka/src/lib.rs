//! AKA for IMS: Milenage and TUAK, authentication vectors, sequence numbers of both ends, a soft ISIM, and Digest-AKA.
//!
//! What it never does: draw a random number (RAND is an argument), read a clock, keep a subscriber, open a
//! socket, or show a key. K, OP, OPc, TOP, TOPc, CK, IK and RES print as `<secret>` and are wiped when dropped.
//!
//! Where to start reading: [`Algorithm::vector`] is what an AuC does, [`Isim::authenticate`] what a card answers,
//! [`digest`] how the result travels in SIP.
#![forbid(unsafe_code)]

mod algorithm;
pub mod digest;
mod error;
mod identity;
mod isim;
mod milenage;
mod secret;
mod sqn;
mod tuak;
mod types;
mod vector;

pub use algorithm::Algorithm;
pub use digest::{DigestAlgorithm, DigestInput, DigestResponse, Nonce, Password, QopInput};
pub use error::AkaError;
pub use identity::{Impi, Impu};
pub use isim::{Isim, IsimFailure, IsimResponse};
pub use milenage::Milenage;
pub use secret::{Ck, Ik, K, Op, Opc, Res, ResLength, Top, Topc, TuakK};
pub use sqn::{IndRange, SqnArray, SqnGenerator};
pub use tuak::{Tuak, TuakSettings};
pub use types::{Amf, Autn, Auts, Mac, Rand, Sqn};
pub use vector::AuthVector;
