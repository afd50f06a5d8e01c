//! What the core says about its doings.

use crate::Refusal;
use aka::{Impi, Impu};

/// Facts for the log and for tests. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    Challenged {
        impi: Impi,
        impu: Impu,
    },
    Resynchronising {
        impi: Impi,
    },
    Registered {
        impi: Impi,
        impu: Impu,
        contact: String,
        expires: u32,
    },
    /// Prolonged without a challenge.
    Refreshed {
        impi: Impi,
        impu: Impu,
        expires: u32,
    },
    Deregistered {
        impi: Impi,
        impu: Impu,
        cause: Deregistration,
    },
    /// The network wants the user authenticated again within this many seconds.
    ReauthenticationDemanded {
        impi: Impi,
        impu: Impu,
        expires: u32,
    },
    /// One contact went, others of the user stay.
    ContactRemoved {
        impi: Impi,
        impu: Impu,
    },
    /// reg-await-auth expired.
    AuthenticationTimedOut {
        impi: Impi,
        impu: Impu,
    },
    Refused {
        impi: Option<Impi>,
        status: u16,
        refusal: Refusal,
    },
    /// Somebody watches an identity.
    Subscribed {
        impu: Impu,
        subscriber: String,
        expires: u32,
    },
    /// Nobody hears of this identity in this dialog any more.
    SubscriptionEnded {
        impu: Impu,
        subscriber: String,
        cause: SubscriptionEnd,
    },
    /// The user was registered at an S-CSCF that is gone, or here before a restart.
    Restored {
        impi: Impi,
        contacts: usize,
        subscriptions: usize,
    },
    /// The HSS has sent another profile.
    ProfileReplaced {
        impi: Impi,
    },
    /// The HSS did not take a report of a failed authentication or an expiry.
    ReportFailed,
}

/// Who ended a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deregistration {
    User,
    Expiry,
    Operator,
    Hss,
    /// Another S-CSCF has the user now: nobody was told anything.
    Moved,
}

/// Why a subscription is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionEnd {
    /// The last NOTIFY said so.
    Told,
    /// The subscriber does not know it any more.
    Refused { status: u16 },
    /// Another S-CSCF has the user now.
    Moved,
    /// Nobody answered NOTIFY, or it could not be sent.
    Unreachable,
}
