//! How an answer ended: Result-Code or Experimental-Result.

use super::dictionary as d;
use super::fields::{Fields, group, number, wrong};
use crate::{BaseCode, CxError, CxFailure, ExperimentalCode};

#[derive(Clone, Copy)]
pub(super) enum Outcome {
    Base(BaseCode),
    Cx(ExperimentalCode),
}

impl Outcome {
    /// Exactly one of the two: their codes overlap.
    //= TS 29.229 6.2
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, CxError> {
        let base = fields.optional(d::RESULT_CODE)?;
        let experimental = fields.optional(d::EXPERIMENTAL_RESULT)?;
        match (base, experimental) {
            (Some(avp), None) => Ok(Self::Base(BaseCode::from_code(number(avp)?))),
            (None, Some(avp)) => group(avp, |fields| {
                let vendor = fields.one(d::VENDOR_ID)?;
                if number(vendor)? != d::VENDOR_3GPP {
                    return Err(wrong(vendor));
                }
                Ok(Self::Cx(ExperimentalCode::from_code(fields.number(d::EXPERIMENTAL_RESULT_CODE)?)))
            }),
            (Some(_), Some(_)) => Err(CxError::TwoResults),
            (None, None) => Err(fields.one(d::RESULT_CODE).err().unwrap_or(CxError::TwoResults)),
        }
    }

    pub(super) fn failure(self, fields: &Fields<'_>) -> Result<CxFailure, CxError> {
        Ok(match self {
            Self::Base(code) => CxFailure::Base(code),
            Self::Cx(ExperimentalCode::IdentityAlreadyRegistered) => {
                CxFailure::AlreadyRegistered { server_name: fields.server_name()? }
            }
            Self::Cx(code) => CxFailure::Experimental(code),
        })
    }
}
