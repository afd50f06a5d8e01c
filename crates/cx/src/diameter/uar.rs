//! UAR and UAA (TS 29.229 clauses 6.1.1 and 6.1.2).

use super::Writer;
use super::dictionary as d;
use super::encode::Code;
use super::fields::{Fields, group, number, server_name, text, wrong};
use super::outcome::Outcome;
use crate::{
    BaseCode, CxError, CxFailure, ExperimentalCode, ServerCapabilities, UserAuthorization,
    UserAuthorizationRequest, UserAuthorizationType, VisitedNetwork,
};

/// A User-Authorization-Type that LIR uses as well.
pub(super) const REGISTRATION_AND_CAPABILITIES: u32 = 2;
/// UAR-Flags.
const EMERGENCY: u32 = 1;

pub(super) fn write_request(writer: &mut Writer, uar: &UserAuthorizationRequest) {
    writer.text(d::USER_NAME, uar.impi.as_str());
    writer.text(d::PUBLIC_IDENTITY, uar.impu.as_str());
    writer.text(d::VISITED_NETWORK_IDENTIFIER, uar.visited_network.as_str());
    writer.number(
        d::USER_AUTHORIZATION_TYPE,
        match uar.kind {
            UserAuthorizationType::Registration => 0,
            UserAuthorizationType::DeRegistration => 1,
            UserAuthorizationType::RegistrationAndCapabilities => REGISTRATION_AND_CAPABILITIES,
        },
    );
    if uar.emergency {
        writer.number(d::UAR_FLAGS, EMERGENCY);
    }
}

pub(super) fn read_request(fields: &Fields<'_>) -> Result<UserAuthorizationRequest, CxError> {
    let kind = match fields.optional(d::USER_AUTHORIZATION_TYPE)? {
        None => UserAuthorizationType::Registration,
        Some(avp) => match number(avp)? {
            0 => UserAuthorizationType::Registration,
            1 => UserAuthorizationType::DeRegistration,
            REGISTRATION_AND_CAPABILITIES => UserAuthorizationType::RegistrationAndCapabilities,
            _ => return Err(wrong(avp)),
        },
    };
    let flags = fields.optional(d::UAR_FLAGS)?.map(number).transpose()?.unwrap_or(0);
    let visited = fields.one(d::VISITED_NETWORK_IDENTIFIER)?;
    Ok(UserAuthorizationRequest {
        impi: fields.impi()?,
        impu: fields.impu()?,
        visited_network: VisitedNetwork::received(text(visited)?).map_err(|_| wrong(visited))?,
        kind,
        emergency: flags & EMERGENCY != 0,
    })
}

pub(super) fn code(uaa: &UserAuthorization) -> Code {
    match uaa {
        UserAuthorization::FirstRegistration { .. } => ExperimentalCode::FirstRegistration.into(),
        UserAuthorization::Subsequent { .. } => ExperimentalCode::SubsequentRegistration.into(),
        UserAuthorization::DeRegistration { .. } | UserAuthorization::Capabilities { .. } => {
            BaseCode::Success.into()
        }
    }
}

pub(super) fn write_answer(writer: &mut Writer, uaa: &UserAuthorization) {
    match uaa {
        UserAuthorization::FirstRegistration { capabilities }
        | UserAuthorization::Capabilities { capabilities } => {
            write_capabilities(writer, capabilities);
        }
        UserAuthorization::Subsequent { server_name } | UserAuthorization::DeRegistration { server_name } => {
            writer.text(d::SERVER_NAME, server_name.as_str());
        }
    }
}

pub(super) fn read_answer(
    fields: &Fields<'_>,
    outcome: Outcome,
) -> Result<Result<UserAuthorization, CxFailure>, CxError> {
    Ok(Ok(match outcome {
        Outcome::Cx(ExperimentalCode::FirstRegistration) => {
            UserAuthorization::FirstRegistration { capabilities: read_capabilities(fields)? }
        }
        Outcome::Cx(ExperimentalCode::SubsequentRegistration) => {
            UserAuthorization::Subsequent { server_name: fields.server_name()? }
        }
        // A name answers a de-registration; without one the capabilities were asked for.
        Outcome::Base(code) if code.is_success() => match fields.optional(d::SERVER_NAME)? {
            Some(avp) => UserAuthorization::DeRegistration { server_name: server_name(avp)? },
            None => UserAuthorization::Capabilities { capabilities: read_capabilities(fields)? },
        },
        failed => return Ok(Err(failed.failure(fields)?)),
    }))
}

/// Left out when empty: any S-CSCF will do.
pub(super) fn write_capabilities(writer: &mut Writer, capabilities: &ServerCapabilities) {
    if *capabilities == ServerCapabilities::default() {
        return;
    }
    writer.group(d::SERVER_CAPABILITIES, |group| {
        capabilities.mandatory.iter().for_each(|number| group.number(d::MANDATORY_CAPABILITY, *number));
        capabilities.optional.iter().for_each(|number| group.number(d::OPTIONAL_CAPABILITY, *number));
        capabilities.server_names.iter().for_each(|name| group.text(d::SERVER_NAME, name.as_str()));
    });
}

pub(super) fn read_capabilities(fields: &Fields<'_>) -> Result<ServerCapabilities, CxError> {
    let Some(avp) = fields.optional(d::SERVER_CAPABILITIES)? else {
        return Ok(ServerCapabilities::default());
    };
    group(avp, |fields| {
        Ok(ServerCapabilities {
            mandatory: fields.all(d::MANDATORY_CAPABILITY).map(number).collect::<Result<_, _>>()?,
            optional: fields.all(d::OPTIONAL_CAPABILITY).map(number).collect::<Result<_, _>>()?,
            server_names: fields.all(d::SERVER_NAME).map(server_name).collect::<Result<_, _>>()?,
        })
    })
}
