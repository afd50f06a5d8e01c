//! RTR and RTA (TS 29.229 clauses 6.1.9 and 6.1.10).

use aka::Impi;

use super::Writer;
use super::dictionary as d;
use super::fields::{Fields, group, impi, number, text, wrong};
use super::outcome::Outcome;
use crate::{CxError, CxFailure, ReasonCode, RegistrationTermination, RegistrationTerminationRequest};

pub(super) fn write_request(writer: &mut Writer, rtr: &RegistrationTerminationRequest) {
    writer.text(d::USER_NAME, rtr.impi.as_str());
    write_associated(writer, &rtr.associated);
    rtr.impus.iter().for_each(|impu| writer.text(d::PUBLIC_IDENTITY, impu.as_str()));
    writer.group(d::DEREGISTRATION_REASON, |group| {
        group.number(d::REASON_CODE, rtr.reason.code());
        if let Some(info) = &rtr.info {
            group.text(d::REASON_INFO, info);
        }
    });
}

pub(super) fn read_request(fields: &Fields<'_>) -> Result<RegistrationTerminationRequest, CxError> {
    let (reason, info) = group(fields.one(d::DEREGISTRATION_REASON)?, |fields| {
        let code = fields.one(d::REASON_CODE)?;
        let reason = ReasonCode::from_code(number(code)?).ok_or_else(|| wrong(code))?;
        Ok((reason, fields.optional(d::REASON_INFO)?.map(text).transpose()?.map(Into::into)))
    })?;
    Ok(RegistrationTerminationRequest {
        impi: fields.impi()?,
        impus: fields.impus()?,
        associated: read_associated(fields)?,
        reason,
        info,
    })
}

pub(super) fn write_answer(writer: &mut Writer, rta: &RegistrationTermination) {
    write_associated(writer, &rta.associated);
}

pub(super) fn read_answer(
    fields: &Fields<'_>,
    outcome: Outcome,
) -> Result<Result<RegistrationTermination, CxFailure>, CxError> {
    Ok(match outcome {
        Outcome::Base(code) if code.is_success() => {
            Ok(RegistrationTermination { associated: read_associated(fields)? })
        }
        failed => Err(failed.failure(fields)?),
    })
}

fn write_associated(writer: &mut Writer, impis: &[Impi]) {
    if !impis.is_empty() {
        writer.group(d::ASSOCIATED_IDENTITIES, |group| {
            impis.iter().for_each(|impi| group.text(d::USER_NAME, impi.as_str()));
        });
    }
}

fn read_associated(fields: &Fields<'_>) -> Result<Vec<Impi>, CxError> {
    let Some(avp) = fields.optional(d::ASSOCIATED_IDENTITIES)? else { return Ok(Vec::new()) };
    group(avp, |fields| fields.all(d::USER_NAME).map(impi).collect())
}
