//! What can go wrong around the subscribers. A field's value is never repeated: it may be a key.

use std::path::PathBuf;

use aka::{AkaError, Impi};

use crate::ProfileError;
use crate::store::seal::KeyError;

/// Every error of this crate. The texts fit after "failed to …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HssError {
    #[error("open {path}: {source}")]
    Open { path: PathBuf, source: std::io::Error },
    #[error("use {path}: others than its owner may read or write it; `chmod 600 {path}`")]
    Permissions { path: PathBuf },
    #[error("import {path}, line {line}: {error}")]
    Import { path: PathBuf, line: u64, error: RowError },
    #[error("use {path}: another process uses it")]
    InUse { path: PathBuf },
    #[error(
        "read the sequence numbers in {path}: line {line} is damaged; restore the file from a backup, or remove it \
         and let every card resynchronise"
    )]
    JournalDamaged { path: PathBuf, line: usize },
    #[error(
        "use {path}: it is no database of this HSS; give another path, or restore the file from a backup"
    )]
    NotOurs { path: PathBuf },
    #[error("use {path}: a newer version has written it (form {found}); use that version")]
    NewerStore { path: PathBuf, found: i64 },
    #[error("use {path}: its keys are sealed under another key; give the key file it was made with")]
    WrongKey { path: PathBuf },
    #[error("use {path}: the file system cannot keep a write-ahead log; put the database on a local disk")]
    NotDurable { path: PathBuf },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a store says when it cannot do what it was asked. The texts fit after "failed to …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("use the store: too much is waiting for it; try again")]
    Busy,
    #[error("change a subscription: others keep changing it; try again")]
    Contended,
    #[error("use the store: it has ended, or does not answer in time")]
    Closed,
    #[error("store a subscription: {0} belongs to another one")]
    IdentityTaken(Box<str>),
    #[error("find {0} in the store")]
    UnknownIdentity(Impi),
    #[error("take sequence numbers: {0}")]
    Aka(#[from] AkaError),
    #[error("use the store: more than {} subscriptions at once", crate::Subscription::MOST_AT_ONCE)]
    TooMany,
    #[error(
        "read the stored data of {whose}: the {what} is damaged or not of this version; restore it from a backup"
    )]
    Damaged { whose: Box<str>, what: &'static str },
    #[error("{doing}: {source}{remedy}")]
    Database {
        doing: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Empty, or what to do about it, after a separator.
        remedy: &'static str,
    },
}

impl StoreError {
    /// The `what` of `whose` cannot be read.
    pub fn damaged(whose: impl AsRef<str>, what: &'static str) -> Self {
        Self::Damaged { whose: whose.as_ref().into(), what }
    }
}

/// Why an operator's command was not carried out. The texts fit after "failed to …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    #[error("find the subscriber: nobody has that identity")]
    UnknownSubscriber,
    #[error(
        "change the profile: the default identity of a registered set would be another one; de-register the user first"
    )]
    DefaultIdentityChanges,
    #[error("replace the subscriber: {0} shares its identities and must be given with it")]
    LeftOut(Impi),
    /// What the operator wants does not go with what is there. Fits after "failed to …".
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with one line of the import file, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    #[error("not a line of comma-separated UTF-8 text with as many fields as the header line")]
    Malformed,
    #[error(
        "column {position} of the header is none of imsi, impi, algorithm, k, op, opc, top, topc, iterations, res_bits, \
         amf, sqn, impus, mnc_digits; the first line must name the columns"
    )]
    UnknownColumn { position: usize },
    #[error("column {column} stands twice in the header; remove one")]
    RepeatedColumn { column: &'static str },
    #[error("column {column} is missing in the header")]
    MissingColumn { column: &'static str },
    #[error("column {column}: {wanted} wanted")]
    Value { column: &'static str, wanted: &'static str },
    #[error(
        "both op and opc are given; leave the one empty that is not the card's (OPc is made from OP and K)"
    )]
    BothOpAndOpc,
    #[error("neither op nor opc is given; fill in the one the card was made with")]
    NeitherOpNorOpc,
    #[error(
        "both top and topc are given; leave the one empty that is not the card's (TOPc is made from TOP and K)"
    )]
    BothTopAndTopc,
    #[error("neither top nor topc is given; fill in the one the card was made with")]
    NeitherTopNorTopc,
    #[error(
        "column {column} says nothing with algorithm {algorithm}; leave it empty or change the algorithm"
    )]
    OtherAlgorithm { column: &'static str, algorithm: &'static str },
    #[error("both imsi and impi are given; leave one empty")]
    BothIdentities,
    #[error("neither imsi nor impi is given")]
    NoIdentity,
    #[error("column impus: a subscriber given by impi needs at least one public identity")]
    NoImpu,
    #[error("the subscriber already stands on line {first}; remove one of the two")]
    RepeatedSubscriber { first: u64 },
}
