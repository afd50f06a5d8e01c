//! S-CSCF restoration information (TS 23.380): what another S-CSCF needs to go on with a registration.

use aka::Impi;

/// SCSCF-Restoration-Info: one private identity's contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorationInfo {
    pub impi: Impi,
    /// Never empty on the wire.
    pub contacts: Vec<RestoredContact>,
}

/// Restoration-Info: one contact. The texts are header values as the S-CSCF has received them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoredContact {
    /// The Path header values, separated by commas.
    pub path: String,
    /// The Contact header value, its parameters included.
    pub contact: String,
    pub initial_cseq: Option<u32>,
    /// Call-ID of the REGISTER.
    pub call_id: Option<String>,
    /// The UE's subscription to its registration state.
    pub subscription: Option<RestoredSubscription>,
    /// The P-CSCF's.
    pub p_cscf_subscription: Option<RestoredSubscription>,
}

/// Subscription-Info: the dialog, as the S-CSCF sees it. The texts are header values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoredSubscription {
    pub call_id: String,
    pub from: String,
    pub to: String,
    pub record_route: String,
    pub contact: String,
}
