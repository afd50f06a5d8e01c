//! What an operator may ask of a running HSS over its control socket. Keys come in with `add`, and never go out.

use std::fmt;

use aka::{Impi, Impu};
use cx::ReasonCode;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::store::Key;

/// Rows in one `add`: a line must fit the socket's bound.
pub const MOST_ROWS: usize = 256;

/// One line of the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Rows of a CSV file, each with the columns of its header line.
    Add {
        header: String,
        rows: Vec<Row>,
        /// What happens with a subscriber that is there already.
        #[serde(default)]
        existing: Existing,
    },
    /// Subscriptions in the order they came in.
    List {
        /// Those after the one with this number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<i64>,
        most: usize,
    },
    Show {
        user: String,
    },
    Remove {
        user: String,
    },
    /// Changes the profile; the S-CSCF that serves the user hears of it (PPR).
    Change {
        user: String,
        change: Change,
    },
    /// Ends the registration; the S-CSCF that serves the user hears of it (RTR).
    Deregister {
        user: String,
        reason: Reason,
        /// For the user to read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        info: Option<String>,
    },
    /// The last sequence number that was used, 12 hex digits.
    SetSqn {
        user: String,
        sqn: String,
    },
}

/// A row with a key in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Where it stands in the operator's file, for errors.
    pub line: u64,
    pub text: Zeroizing<String>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the row on line {}", self.line)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Existing {
    /// Nothing of the rows is added.
    #[default]
    Refuse,
    /// It stays as it is.
    Keep,
    /// Keys and identities become the row's; sequence number, filter criteria and registration stay.
    Replace,
}

/// Changes of one subscriber, carried out together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Public identities that may no longer be used, and those that may again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bar: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unbar: Vec<String>,
    /// Public identities that come and go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// InitialFilterCriteria elements, in the place of those that were; empty removes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criteria: Option<String>,
}

/// Reason-Code of the RTR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The user must stay away.
    PermanentTermination,
    /// The user registers again, perhaps at another S-CSCF.
    ServerChange,
    /// The S-CSCF forgets the user without telling it.
    RemoveScscf,
}

impl From<Reason> for ReasonCode {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::PermanentTermination => Self::PermanentTermination,
            Reason::ServerChange => Self::ServerChange,
            Reason::RemoveScscf => Self::RemoveScscf,
        }
    }
}

/// The result of `add`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    pub added: usize,
    pub replaced: usize,
    pub kept: usize,
}

/// The result of `list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Of all private identities, listed or not.
    pub subscribers: u64,
    pub users: Vec<Shown>,
    /// Where the next list goes on; none at the end.
    pub next: Option<i64>,
}

/// The result of `show`: a subscription, which several private identities may share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub private: Vec<ShownPrivate>,
    pub public: Vec<ShownPublic>,
    pub sets: Vec<ShownSet>,
    /// What the S-CSCF adds to the Privacy of the user's requests: `none`, `id`, `user` or `both`.
    pub anonymous: String,
    /// Another S-CSCF may take the user over.
    pub reassignment_pending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownPrivate {
    pub impi: String,
    /// `milenage` or `tuak`.
    pub algorithm: String,
    /// 4 hex digits.
    pub amf: String,
    /// The last sequence number that may have left, 12 hex digits.
    pub sqn: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownPublic {
    pub impu: String,
    pub barred: bool,
    /// The number of its implicit registration set.
    pub set: u32,
    /// `registered`, `unregistered` (with an S-CSCF for its services) or `not registered`.
    pub state: String,
    pub server_name: Option<String>,
    /// The private identities that have registered it.
    pub registered_by: Vec<String>,
    /// Those that have been challenged and have not answered.
    pub pending: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownSet {
    pub number: u32,
    /// Initial filter criteria, one line each.
    pub criteria: Vec<String>,
}

/// The result of what an S-CSCF had to hear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The public identities it concerned.
    pub impus: Vec<String>,
    pub told: Vec<Told>,
}

/// A message to an S-CSCF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its Diameter name.
    pub host: String,
    /// `RTR` or `PPR`.
    pub message: String,
    /// `delivered`, or why not.
    pub result: String,
}

/// Why a request makes no sense. The texts fit after "failed to …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    #[error("read the user as a private identity (user@realm) or a public one (sip:, sips: or tel:)")]
    User,
    #[error("read {0} as a public identity (sip:, sips: or tel:)")]
    Impu(String),
    #[error("read the sequence number: 12 hex digits wanted")]
    Sqn,
    #[error("set a sequence number: a private identity (user@realm) wanted, each has its own")]
    SqnOfImpu,
    #[error("take more than {MOST_ROWS} rows at once")]
    TooManyRows,
    #[error("change the subscriber: no change is named")]
    NoChange,
    #[error("read the filter criteria: InitialFilterCriteria elements wanted (TS 29.228 Annex E)")]
    Criteria,
    #[error("{what} {impu}: {why}")]
    Identity { what: &'static str, impu: String, why: &'static str },
}

/// A user as the operator names it: a private identity is no URI, so that one text never means both.
pub(crate) fn user(text: &str) -> Result<Key, RequestError> {
    match (Impi::new(text), Impu::new(text)) {
        (Ok(impi), _) => Ok(Key::Impi(impi)),
        (Err(_), Ok(impu)) => Ok(Key::Impu(impu)),
        _ => Err(RequestError::User),
    }
}
