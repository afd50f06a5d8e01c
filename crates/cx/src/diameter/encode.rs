//! Requests and answers to octets.

use super::avp::{Wire, Writer};
use super::dictionary as d;
use super::{Application, Command, Header, Ids};
use crate::{
    Answer, AuthScheme, BaseCode, CxError, CxFailure, ExperimentalCode, FailedAvp, MultimediaAuth,
    MultimediaAuthRequest, Origin, Request, ServerAssignment, ServerAssignmentRequest, ServerCapabilities,
    UserAuthorization, UserAuthorizationRequest, UserAuthorizationType, UserData,
};

/// NO_STATE_MAINTAINED.
const NO_STATE: u32 = 1;

/// What surrounds a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestContext<'a> {
    pub ids: Ids,
    pub session_id: &'a str,
    pub origin: &'a Origin,
    pub destination_realm: &'a str,
    /// Only when the HSS is known.
    pub destination_host: Option<&'a str>,
}

/// What surrounds an answer: mostly what the request had.
#[derive(Debug, Clone, Copy)]
pub struct AnswerContext<'a> {
    pub ids: Ids,
    pub session_id: &'a str,
    pub origin: &'a Origin,
    /// The Proxy-Info AVPs of the request, as they stood there.
    pub proxy_info: &'a [u8],
}

impl Request {
    pub const fn command(&self) -> Command {
        match self {
            Self::Uar(_) => Command::UserAuthorization,
            Self::Mar(_) => Command::MultimediaAuth,
            Self::Sar(_) => Command::ServerAssignment,
        }
    }
}

impl Answer {
    pub const fn command(&self) -> Command {
        match self {
            Self::Uaa(_) => Command::UserAuthorization,
            Self::Maa(_) => Command::MultimediaAuth,
            Self::Saa(_) => Command::ServerAssignment,
        }
    }
}

//= TS 29.229 6.1
pub fn request(request: &Request, context: &RequestContext<'_>) -> Result<Wire, CxError> {
    let header = Header {
        request: true,
        proxiable: true,
        error: false,
        command: request.command(),
        application: Application::Cx,
        ids: context.ids,
    };
    let mut writer = Writer::new(header, 1024);
    writer.text(d::SESSION_ID, context.session_id);
    common(&mut writer, context.origin);
    writer.text(d::DESTINATION_REALM, context.destination_realm);
    if let Some(host) = context.destination_host {
        writer.text(d::DESTINATION_HOST, host);
    }
    match request {
        Request::Uar(uar) => user_authorization_request(&mut writer, uar),
        Request::Mar(mar) => multimedia_auth_request(&mut writer, mar),
        Request::Sar(sar) => server_assignment_request(&mut writer, sar),
    }
    writer.finish()
}

pub fn answer(answer: &Answer, context: &AnswerContext<'_>) -> Result<Wire, CxError> {
    // Room for every vector in one allocation: a buffer that grows leaves keys behind.
    let vectors = if let Answer::Maa(Ok(maa)) = answer { maa.vectors.len() } else { 0 };
    let code = match answer {
        Answer::Uaa(Err(failure)) | Answer::Maa(Err(failure)) | Answer::Saa(Err(failure)) => {
            failure_code(failure)
        }
        Answer::Uaa(Ok(uaa)) => user_authorization_code(uaa),
        Answer::Maa(Ok(_)) => Code::Base(BaseCode::Success),
        Answer::Saa(Ok(saa)) if saa.server_name_not_stored => {
            Code::Experimental(ExperimentalCode::ServerNameNotStored)
        }
        Answer::Saa(Ok(_)) => Code::Base(BaseCode::Success),
    };
    let mut writer = start_answer(answer.command(), context, code, 1024 + 256 * vectors);
    match answer {
        Answer::Uaa(Ok(uaa)) => user_authorization(&mut writer, uaa),
        Answer::Maa(Ok(maa)) => multimedia_auth(&mut writer, maa),
        Answer::Saa(Ok(saa)) => server_assignment(&mut writer, saa)?,
        Answer::Uaa(Err(failure)) | Answer::Maa(Err(failure)) | Answer::Saa(Err(failure)) => {
            if let CxFailure::AlreadyRegistered { server_name } = failure {
                writer.text(d::SERVER_NAME, server_name.as_str());
            }
        }
    }
    writer.raw(context.proxy_info);
    writer.finish()
}

/// The answer to a request that could not be understood.
pub fn refusal(command: Command, context: &AnswerContext<'_>, error: &CxError) -> Result<Wire, CxError> {
    let mut writer = start_answer(command, context, Code::Base(error.code()), 1024);
    if let Some(failed) = error.failed_avp() {
        failed_avp(&mut writer, &failed);
    }
    writer.raw(context.proxy_info);
    writer.finish()
}

enum Code {
    Base(BaseCode),
    Experimental(ExperimentalCode),
}

fn failure_code(failure: &CxFailure) -> Code {
    match failure {
        CxFailure::Base(code) => Code::Base(*code),
        CxFailure::Experimental(code) => Code::Experimental(*code),
        CxFailure::AlreadyRegistered { .. } => {
            Code::Experimental(ExperimentalCode::IdentityAlreadyRegistered)
        }
    }
}

fn start_answer(command: Command, context: &AnswerContext<'_>, code: Code, capacity: usize) -> Writer {
    let error = matches!(code, Code::Base(code) if code.is_protocol_error());
    let header = Header {
        request: false,
        proxiable: true,
        error,
        command,
        application: Application::Cx,
        ids: context.ids,
    };
    let mut writer = Writer::new(header, capacity);
    if !context.session_id.is_empty() {
        writer.text(d::SESSION_ID, context.session_id);
    }
    // Exactly one of the two: their codes overlap.
    //= TS 29.229 6.2
    match code {
        Code::Base(code) => writer.number(d::RESULT_CODE, code.code()),
        Code::Experimental(code) => writer.group(d::EXPERIMENTAL_RESULT, |group| {
            group.number(d::VENDOR_ID, d::VENDOR_3GPP);
            group.number(d::EXPERIMENTAL_RESULT_CODE, code.code());
        }),
    }
    common(&mut writer, context.origin);
    writer
}

fn common(writer: &mut Writer, origin: &Origin) {
    writer.group(d::VENDOR_SPECIFIC_APPLICATION_ID, |group| {
        group.number(d::VENDOR_ID, d::VENDOR_3GPP);
        group.number(d::AUTH_APPLICATION_ID, Application::Cx.code());
    });
    writer.number(d::AUTH_SESSION_STATE, NO_STATE);
    writer.text(d::ORIGIN_HOST, &origin.host);
    writer.text(d::ORIGIN_REALM, &origin.realm);
}

pub(crate) fn failed_avp(writer: &mut Writer, failed: &FailedAvp) {
    let definition = d::Definition { key: failed.key, mandatory: false };
    writer.group(d::FAILED_AVP, |group| group.octets(definition, &failed.data));
}

fn user_authorization_request(writer: &mut Writer, uar: &UserAuthorizationRequest) {
    writer.text(d::USER_NAME, uar.impi.as_str());
    writer.text(d::PUBLIC_IDENTITY, uar.impu.as_str());
    writer.text(d::VISITED_NETWORK_IDENTIFIER, uar.visited_network.as_str());
    writer.number(
        d::USER_AUTHORIZATION_TYPE,
        match uar.kind {
            UserAuthorizationType::Registration => 0,
            UserAuthorizationType::DeRegistration => 1,
            UserAuthorizationType::RegistrationAndCapabilities => 2,
        },
    );
    if uar.emergency {
        writer.number(d::UAR_FLAGS, 1);
    }
}

fn user_authorization_code(uaa: &UserAuthorization) -> Code {
    match uaa {
        UserAuthorization::FirstRegistration { .. } => {
            Code::Experimental(ExperimentalCode::FirstRegistration)
        }
        UserAuthorization::Subsequent { .. } => Code::Experimental(ExperimentalCode::SubsequentRegistration),
        UserAuthorization::DeRegistration { .. } | UserAuthorization::Capabilities { .. } => {
            Code::Base(BaseCode::Success)
        }
    }
}

fn user_authorization(writer: &mut Writer, uaa: &UserAuthorization) {
    match uaa {
        UserAuthorization::FirstRegistration { capabilities }
        | UserAuthorization::Capabilities { capabilities } => {
            server_capabilities(writer, capabilities);
        }
        UserAuthorization::Subsequent { server_name } | UserAuthorization::DeRegistration { server_name } => {
            writer.text(d::SERVER_NAME, server_name.as_str());
        }
    }
}

/// Left out when empty: any S-CSCF will do.
fn server_capabilities(writer: &mut Writer, capabilities: &ServerCapabilities) {
    if *capabilities == ServerCapabilities::default() {
        return;
    }
    writer.group(d::SERVER_CAPABILITIES, |group| {
        capabilities.mandatory.iter().for_each(|number| group.number(d::MANDATORY_CAPABILITY, *number));
        capabilities.optional.iter().for_each(|number| group.number(d::OPTIONAL_CAPABILITY, *number));
        capabilities.server_names.iter().for_each(|name| group.text(d::SERVER_NAME, name.as_str()));
    });
}

fn multimedia_auth_request(writer: &mut Writer, mar: &MultimediaAuthRequest) {
    writer.text(d::USER_NAME, mar.impi.as_str());
    writer.text(d::PUBLIC_IDENTITY, mar.impu.as_str());
    writer.group(d::SIP_AUTH_DATA_ITEM, |group| {
        group.text(d::SIP_AUTHENTICATION_SCHEME, mar.scheme.as_str());
        if let Some((rand, auts)) = &mar.resync {
            //= TS 29.229 6.3.11
            let octets = [rand.as_bytes().as_slice(), auts.as_bytes().as_slice()].concat();
            group.octets(d::SIP_AUTHORIZATION, &octets);
        }
    });
    writer.number(d::SIP_NUMBER_AUTH_ITEMS, mar.items);
    writer.text(d::SERVER_NAME, mar.server_name.as_str());
}

fn multimedia_auth(writer: &mut Writer, maa: &MultimediaAuth) {
    let count = u32::try_from(maa.vectors.len()).unwrap_or(u32::MAX);
    writer.number(d::SIP_NUMBER_AUTH_ITEMS, count);
    for (number, vector) in (1u32..).zip(&maa.vectors) {
        writer.group(d::SIP_AUTH_DATA_ITEM, |group| {
            // Lowest first; always there, so that a receiver need not guess from the order of AVPs.
            //= TS 29.229 6.3.14
            group.number(d::SIP_ITEM_NUMBER, number);
            group.text(d::SIP_AUTHENTICATION_SCHEME, AuthScheme::DigestAka.as_str());
            let challenge = [vector.rand.as_bytes().as_slice(), vector.autn.as_bytes().as_slice()].concat();
            group.octets(d::SIP_AUTHENTICATE, &challenge);
            group.octets(d::SIP_AUTHORIZATION, vector.xres.as_bytes());
            group.octets(d::CONFIDENTIALITY_KEY, vector.ck.as_bytes());
            group.octets(d::INTEGRITY_KEY, vector.ik.as_bytes());
        });
    }
}

fn server_assignment_request(writer: &mut Writer, sar: &ServerAssignmentRequest) {
    if let Some(impi) = &sar.impi {
        writer.text(d::USER_NAME, impi.as_str());
    }
    sar.impus.iter().for_each(|impu| writer.text(d::PUBLIC_IDENTITY, impu.as_str()));
    writer.text(d::SERVER_NAME, sar.server_name.as_str());
    writer.number(d::SERVER_ASSIGNMENT_TYPE, sar.assignment.code());
    writer.number(d::USER_DATA_ALREADY_AVAILABLE, u32::from(sar.user_data_already_available));
}

fn server_assignment(writer: &mut Writer, saa: &ServerAssignment) -> Result<(), CxError> {
    if let Some(impi) = &saa.impi {
        writer.text(d::USER_NAME, impi.as_str());
    }
    if let Some(user_data) = &saa.user_data {
        let xml = user_data.to_xml();
        if xml.len() > UserData::LARGEST {
            return Err(CxError::UserDataTooLarge);
        }
        writer.octets(d::USER_DATA, &xml);
    }
    Ok(())
}
