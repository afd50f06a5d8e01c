//! The headers as types that borrow from the message.

mod address;
mod auth;
mod authentication_info;
mod challenge;
mod credentials;
mod cseq;
mod ims;
mod option_tags;
mod uri;
mod via;

pub use address::{Contacts, NameAddr};
pub use auth::{AuthParam, AuthParams, without_params};
pub use authentication_info::AuthenticationInfo;
pub use challenge::{Challenge, KeyParams, strip_keys};
pub use credentials::{Credentials, with_integrity_protected};
pub use cseq::CSeq;
pub use ims::{PAccessNetworkInfo, PAssociatedUri, PChargingVector, PVisitedNetworkId};
pub use option_tags::OptionTags;
pub use uri::{Host, Scheme, Uri};
pub(crate) use via::MAGIC_COOKIE;
pub use via::{Via, stamp};

use crate::text;

/// Delta-seconds of Expires, Min-Expires, Retry-After and the expires parameter (RFC 3261 20.19): a number over
/// the 32-bit range counts as its end.
pub fn delta_seconds(value: &str) -> Option<u32> {
    let digits = value.split([';', '(', ' ', '\t']).next().unwrap_or_default();
    text::number::<u128>(digits).map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
}
