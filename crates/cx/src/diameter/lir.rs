//! LIR and LIA (TS 29.229 clauses 6.1.5 and 6.1.6).

use super::Writer;
use super::dictionary as d;
use super::encode::Code;
use super::fields::{Fields, number, server_name, wrong};
use super::outcome::Outcome;
use super::uar::{REGISTRATION_AND_CAPABILITIES, read_capabilities, write_capabilities};
use crate::{BaseCode, CxError, CxFailure, ExperimentalCode, LocationInfo, LocationInfoRequest};

pub(super) fn write_request(writer: &mut Writer, lir: &LocationInfoRequest) {
    if lir.originating {
        writer.number(d::ORIGINATING_REQUEST, 0);
    }
    writer.text(d::PUBLIC_IDENTITY, lir.impu.as_str());
    if lir.capabilities {
        writer.number(d::USER_AUTHORIZATION_TYPE, REGISTRATION_AND_CAPABILITIES);
    }
}

pub(super) fn read_request(fields: &Fields<'_>) -> Result<LocationInfoRequest, CxError> {
    let originating = match fields.optional(d::ORIGINATING_REQUEST)? {
        None => false,
        Some(avp) if number(avp)? == 0 => true,
        Some(avp) => return Err(wrong(avp)),
    };
    let kind = fields.optional(d::USER_AUTHORIZATION_TYPE)?.map(number).transpose()?;
    Ok(LocationInfoRequest {
        impu: fields.impu()?,
        originating,
        capabilities: kind == Some(REGISTRATION_AND_CAPABILITIES),
    })
}

pub(super) fn code(lia: &LocationInfo) -> Code {
    match lia {
        LocationInfo::UnregisteredService { .. } => ExperimentalCode::UnregisteredService.into(),
        LocationInfo::Served { .. } | LocationInfo::Capabilities { .. } => BaseCode::Success.into(),
    }
}

pub(super) fn write_answer(writer: &mut Writer, lia: &LocationInfo) {
    match lia {
        LocationInfo::Served { server_name } => writer.text(d::SERVER_NAME, server_name.as_str()),
        LocationInfo::Capabilities { capabilities } | LocationInfo::UnregisteredService { capabilities } => {
            write_capabilities(writer, capabilities);
        }
    }
}

pub(super) fn read_answer(
    fields: &Fields<'_>,
    outcome: Outcome,
) -> Result<Result<LocationInfo, CxFailure>, CxError> {
    let unregistered = match outcome {
        Outcome::Cx(ExperimentalCode::UnregisteredService) => true,
        Outcome::Base(code) if code.is_success() => false,
        failed => return Ok(Err(failed.failure(fields)?)),
    };
    // With a name where the HSS has one, also for the unregistered state.
    if let Some(avp) = fields.optional(d::SERVER_NAME)? {
        return Ok(Ok(LocationInfo::Served { server_name: server_name(avp)? }));
    }
    let capabilities = read_capabilities(fields)?;
    Ok(Ok(if unregistered {
        LocationInfo::UnregisteredService { capabilities }
    } else {
        LocationInfo::Capabilities { capabilities }
    }))
}
