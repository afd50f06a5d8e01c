//! A subscription as rows of SQL tables.

use std::sync::Arc;

use aka::{Amf, Impi, Sqn};

use super::seal::MasterKey;
use super::{Loaded, SubscriptionId, document};
use crate::{NewSubscription, PrivateIdentity, StoreError};

/// What the tables hold of one subscription, as they hold it.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) id: i64,
    pub(super) revision: i64,
    pub(super) profile: String,
    pub(super) state: String,
    pub(super) private: Vec<Private>,
}

/// A row of `private_identities`.
#[derive(Debug)]
pub(super) struct Private {
    pub(super) impi: String,
    pub(super) sealed: Vec<u8>,
    pub(super) amf: i32,
    pub(super) seq: i64,
    pub(super) ind: i32,
}

/// Believes nothing of it.
pub(super) fn read(parts: Parts, key: &MasterKey) -> Result<Loaded, StoreError> {
    let whose = parts.private.first().map_or_else(|| "nobody".to_owned(), |one| one.impi.clone());
    let damaged = |what| StoreError::damaged(&whose, what);
    let mut private = Vec::with_capacity(parts.private.len());
    let mut numbers = Vec::with_capacity(parts.private.len());
    for row in &parts.private {
        let impi = Impi::new(&row.impi).map_err(|_| damaged("private identity"))?;
        let amf = u16::try_from(row.amf).map_err(|_| damaged("AMF"))?;
        let algorithm = Arc::new(key.open(&impi, &row.sealed)?);
        numbers.push((impi.clone(), sqn(&row.impi, row.seq, row.ind)?));
        private.push(PrivateIdentity { impi, algorithm, amf: Amf::from_bytes(amf.to_be_bytes()) });
    }
    let subscription = document::read_profile(&whose, &parts.profile, private)?;
    let state = document::read_state(&whose, &parts.state)?;
    // The document gives the order.
    let of = |impi: &Impi| {
        numbers.iter().find(|(whose, _)| whose == impi).map(|(_, sqn)| *sqn).unwrap_or_default()
    };
    let sqns = subscription.private().iter().map(|one| of(&one.impi)).collect();
    Ok(Loaded {
        id: SubscriptionId(parts.id),
        revision: u64::try_from(parts.revision).map_err(|_| damaged("revision"))?,
        subscription: Arc::new(subscription),
        state: Arc::new(state),
        sqns,
    })
}

/// A sequence number that a table holds.
pub(super) fn sqn(whose: &str, seq: i64, ind: i32) -> Result<Sqn, StoreError> {
    let parts = u64::try_from(seq).ok().zip(u8::try_from(ind).ok());
    let sqn = parts.and_then(|(seq, ind)| Sqn::from_parts(seq, ind).ok());
    sqn.ok_or_else(|| StoreError::damaged(whose, "sequence number"))
}

pub(super) fn private(new: &NewSubscription, key: &MasterKey) -> Result<Vec<Private>, StoreError> {
    let numbers = new.sqns.iter().copied().chain(std::iter::repeat(Sqn::default()));
    let rows = new.subscription.private().iter().zip(numbers).map(|(one, sqn)| {
        let (seq, ind) = columns(sqn);
        Ok(Private {
            impi: one.impi.to_string(),
            sealed: key.seal(&one.impi, &one.algorithm)?,
            amf: i32::from(u16::from_be_bytes(*one.amf.as_bytes())),
            seq,
            ind,
        })
    });
    rows.collect()
}

/// SEQ and IND. 43 bits fit.
pub(super) fn columns(sqn: Sqn) -> (i64, i32) {
    (i64::try_from(sqn.seq()).unwrap_or(i64::MAX), i32::from(sqn.ind()))
}
