//! One subscriber as an import file has it.

use aka::{Algorithm, Amf, Impi, Impu};
use cx::Anonymity;

/// A private identity, its keys, and its public identities, which form one implicit registration set.
#[derive(Debug)]
pub struct Subscriber {
    pub impi: Impi,
    pub algorithm: Algorithm,
    pub amf: Amf,
    /// In order: the first that is not barred is the default.
    pub impus: Vec<SubscriberImpu>,
    pub anonymity: Anonymity,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberImpu {
    pub impu: Impu,
    pub barred: bool,
}
