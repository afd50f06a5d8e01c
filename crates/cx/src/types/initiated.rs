//! RTR/RTA and PPR/PPA: what the HSS tells an S-CSCF of its own accord.

use std::sync::Arc;

use aka::{Impi, Impu};

use crate::UserData;

/// RTR: these identities are no longer registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationTerminationRequest {
    pub impi: Impi,
    /// Empty: all identities of the user.
    pub impus: Vec<Impu>,
    /// Associated-Identities: further private identities whose registrations end.
    pub associated: Vec<Impi>,
    pub reason: ReasonCode,
    /// Reason-Info, for the user to read.
    pub info: Option<Arc<str>>,
}

/// Reason-Code of a Deregistration-Reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReasonCode {
    PermanentTermination,
    NewServerAssigned,
    ServerChange,
    RemoveScscf,
}

impl ReasonCode {
    pub const ALL: [Self; 4] =
        [Self::PermanentTermination, Self::NewServerAssigned, Self::ServerChange, Self::RemoveScscf];

    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    pub const fn code(self) -> u32 {
        self as u32
    }
}

/// RTA, when the answer is yes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrationTermination {
    /// Associated-Identities: private identities that share an identity with the one that was named.
    pub associated: Vec<Impi>,
}

/// PPR: the profile has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushProfileRequest {
    pub impi: Impi,
    pub user_data: Option<UserData>,
}
