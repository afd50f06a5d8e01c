//! SAR and SAA (TS 29.229 clauses 6.1.3 and 6.1.4).

use super::dictionary::{self as d, Definition};
use super::encode::Code;
use super::fields::{Fields, group, impi, number, wrong};
use super::outcome::Outcome;
use super::ppr::{read_user_data, write_user_data};
use super::restoration::{read_restoration, write_restoration};
use super::{Avp, Writer};
use crate::{
    BaseCode, ChargingInformation, CxError, CxFailure, ExperimentalCode, ServerAssignment,
    ServerAssignmentRequest, ServerAssignmentType,
};

pub(super) fn write_request(writer: &mut Writer, sar: &ServerAssignmentRequest) {
    if let Some(impi) = &sar.impi {
        writer.text(d::USER_NAME, impi.as_str());
    }
    sar.impus.iter().for_each(|impu| writer.text(d::PUBLIC_IDENTITY, impu.as_str()));
    writer.text(d::SERVER_NAME, sar.server_name.as_str());
    writer.number(d::SERVER_ASSIGNMENT_TYPE, sar.assignment.code());
    writer.number(d::USER_DATA_ALREADY_AVAILABLE, u32::from(sar.user_data_already_available));
    sar.restoration.iter().for_each(|info| write_restoration(writer, info));
}

pub(super) fn read_request(fields: &Fields<'_>) -> Result<ServerAssignmentRequest, CxError> {
    let assignment = fields.one(d::SERVER_ASSIGNMENT_TYPE)?;
    let available = fields.one(d::USER_DATA_ALREADY_AVAILABLE)?;
    Ok(ServerAssignmentRequest {
        impi: fields.optional(d::USER_NAME)?.map(impi).transpose()?,
        impus: fields.impus()?,
        server_name: fields.server_name()?,
        assignment: ServerAssignmentType::from_code(number(assignment)?).ok_or_else(|| wrong(assignment))?,
        user_data_already_available: match number(available)? {
            0 => false,
            1 => true,
            _ => return Err(wrong(available)),
        },
        restoration: fields.optional(d::SCSCF_RESTORATION_INFO)?.map(read_restoration).transpose()?,
    })
}

pub(super) fn code(saa: &ServerAssignment) -> Code {
    if saa.server_name_not_stored {
        ExperimentalCode::ServerNameNotStored.into()
    } else {
        BaseCode::Success.into()
    }
}

pub(super) fn write_answer(writer: &mut Writer, saa: &ServerAssignment) -> Result<(), CxError> {
    if let Some(impi) = &saa.impi {
        writer.text(d::USER_NAME, impi.as_str());
    }
    write_user_data(writer, saa.user_data.as_ref())?;
    if let Some(charging) = &saa.charging {
        write_charging(writer, charging);
    }
    saa.restoration.iter().for_each(|info| write_restoration(writer, info));
    Ok(())
}

pub(super) fn read_answer(
    fields: &Fields<'_>,
    outcome: Outcome,
) -> Result<Result<ServerAssignment, CxFailure>, CxError> {
    let server_name_not_stored = match outcome {
        Outcome::Base(code) if code.is_success() => false,
        Outcome::Cx(ExperimentalCode::ServerNameNotStored) => true,
        failed => return Ok(Err(failed.failure(fields)?)),
    };
    Ok(Ok(ServerAssignment {
        impi: fields.optional(d::USER_NAME)?.map(impi).transpose()?,
        user_data: read_user_data(fields)?,
        charging: fields.optional(d::CHARGING_INFORMATION)?.map(read_charging).transpose()?.map(Box::new),
        server_name_not_stored,
        restoration: fields.all(d::SCSCF_RESTORATION_INFO).map(read_restoration).collect::<Result<_, _>>()?,
    }))
}

fn write_charging(writer: &mut Writer, charging: &ChargingInformation) {
    writer.group(d::CHARGING_INFORMATION, |group| {
        let mut name = |definition: Definition, name: &Option<String>| {
            name.iter().for_each(|name| group.text(definition, name));
        };
        name(d::PRIMARY_EVENT_CHARGING_FUNCTION_NAME, &charging.primary_event);
        name(d::SECONDARY_EVENT_CHARGING_FUNCTION_NAME, &charging.secondary_event);
        name(d::PRIMARY_CHARGING_COLLECTION_FUNCTION_NAME, &charging.primary_collection);
        name(d::SECONDARY_CHARGING_COLLECTION_FUNCTION_NAME, &charging.secondary_collection);
    });
}

fn read_charging(avp: Avp<'_>) -> Result<ChargingInformation, CxError> {
    group(avp, |fields| {
        Ok(ChargingInformation {
            primary_event: fields.optional_text(d::PRIMARY_EVENT_CHARGING_FUNCTION_NAME)?,
            secondary_event: fields.optional_text(d::SECONDARY_EVENT_CHARGING_FUNCTION_NAME)?,
            primary_collection: fields.optional_text(d::PRIMARY_CHARGING_COLLECTION_FUNCTION_NAME)?,
            secondary_collection: fields.optional_text(d::SECONDARY_CHARGING_COLLECTION_FUNCTION_NAME)?,
        })
    })
}
