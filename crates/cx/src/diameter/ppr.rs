//! PPR and PPA (TS 29.229 clauses 6.1.11 and 6.1.12), and the profile that SAA carries as well.

use super::Writer;
use super::dictionary as d;
use super::fields::Fields;
use super::outcome::Outcome;
use crate::{CxError, CxFailure, PushProfileRequest, UserData};

pub(super) fn write_request(writer: &mut Writer, ppr: &PushProfileRequest) -> Result<(), CxError> {
    writer.text(d::USER_NAME, ppr.impi.as_str());
    write_user_data(writer, ppr.user_data.as_ref())
}

pub(super) fn read_request(fields: &Fields<'_>) -> Result<PushProfileRequest, CxError> {
    Ok(PushProfileRequest { impi: fields.impi()?, user_data: read_user_data(fields)? })
}

pub(super) fn read_answer(fields: &Fields<'_>, outcome: Outcome) -> Result<Result<(), CxFailure>, CxError> {
    Ok(match outcome {
        Outcome::Base(code) if code.is_success() => Ok(()),
        failed => Err(failed.failure(fields)?),
    })
}

pub(super) fn write_user_data(writer: &mut Writer, profile: Option<&UserData>) -> Result<(), CxError> {
    let Some(profile) = profile else { return Ok(()) };
    let xml = profile.to_xml();
    if xml.len() > UserData::LARGEST {
        return Err(CxError::UserDataTooLarge);
    }
    writer.octets(d::USER_DATA, &xml);
    Ok(())
}

pub(super) fn read_user_data(fields: &Fields<'_>) -> Result<Option<UserData>, CxError> {
    let Some(avp) = fields.optional(d::USER_DATA)? else { return Ok(None) };
    UserData::from_xml(avp.data).map(Some)
}
