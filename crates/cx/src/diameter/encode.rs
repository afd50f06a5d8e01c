//! Requests and answers to octets.

use aka::Impi;

use super::avp::{Wire, Writer};
use super::dictionary as d;
use super::{Application, Command, Header, Ids};
use crate::{
    Answer, AuthScheme, BaseCode, CxError, CxFailure, ExperimentalCode, FailedAvp, LocationInfo,
    LocationInfoRequest, MultimediaAuth, MultimediaAuthRequest, Origin, PushProfileRequest,
    RegistrationTerminationRequest, Request, RestorationInfo, RestoredContact, ServerAssignment,
    ServerAssignmentRequest, ServerCapabilities, UserAuthorization, UserAuthorizationRequest,
    UserAuthorizationType, UserData,
};

/// NO_STATE_MAINTAINED.
const NO_STATE: u32 = 1;
/// A User-Authorization-Type that UAR and LIR share.
const REGISTRATION_AND_CAPABILITIES: u32 = 2;

/// What surrounds a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestContext<'a> {
    pub ids: Ids,
    /// Whether it has been sent before, over a connection that broke.
    pub retransmitted: bool,
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
            Self::Sar(_) => Command::ServerAssignment,
            Self::Lir(_) => Command::LocationInfo,
            Self::Mar(_) => Command::MultimediaAuth,
            Self::Rtr(_) => Command::RegistrationTermination,
            Self::Ppr(_) => Command::PushProfile,
        }
    }
}

impl Answer {
    pub const fn command(&self) -> Command {
        match self {
            Self::Uaa(_) => Command::UserAuthorization,
            Self::Saa(_) => Command::ServerAssignment,
            Self::Lia(_) => Command::LocationInfo,
            Self::Maa(_) => Command::MultimediaAuth,
            Self::Rta(_) => Command::RegistrationTermination,
            Self::Ppa(_) => Command::PushProfile,
        }
    }
}

//= TS 29.229 6.1
pub fn request(request: &Request, context: &RequestContext<'_>) -> Result<Wire, CxError> {
    let header = Header {
        request: true,
        proxiable: true,
        error: false,
        retransmitted: context.retransmitted,
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
        Request::Sar(sar) => server_assignment_request(&mut writer, sar),
        Request::Lir(lir) => location_info_request(&mut writer, lir),
        Request::Mar(mar) => multimedia_auth_request(&mut writer, mar),
        Request::Rtr(rtr) => registration_termination_request(&mut writer, rtr),
        Request::Ppr(ppr) => push_profile_request(&mut writer, ppr)?,
    }
    writer.finish()
}

pub fn answer(answer: &Answer, context: &AnswerContext<'_>) -> Result<Wire, CxError> {
    // Room for every vector in one allocation: a buffer that grows leaves keys behind.
    let vectors = if let Answer::Maa(Ok(maa)) = answer { maa.vectors.len() } else { 0 };
    let code = match answer {
        Answer::Uaa(Ok(uaa)) => user_authorization_code(uaa),
        Answer::Saa(Ok(saa)) if saa.server_name_not_stored => {
            Code::Experimental(ExperimentalCode::ServerNameNotStored)
        }
        Answer::Lia(Ok(LocationInfo::UnregisteredService { .. })) => {
            Code::Experimental(ExperimentalCode::UnregisteredService)
        }
        answer => answer.failure().map_or(Code::Base(BaseCode::Success), failure_code),
    };
    let mut writer = start_answer(answer.command(), context, code, 1024 + 256 * vectors);
    match answer {
        Answer::Uaa(Ok(uaa)) => user_authorization(&mut writer, uaa),
        Answer::Saa(Ok(saa)) => server_assignment(&mut writer, saa)?,
        Answer::Lia(Ok(lia)) => location_info(&mut writer, lia),
        Answer::Maa(Ok(maa)) => multimedia_auth(&mut writer, maa),
        Answer::Rta(Ok(rta)) => associated_identities(&mut writer, &rta.associated),
        Answer::Ppa(Ok(())) => {}
        answer => {
            if let Some(CxFailure::AlreadyRegistered { server_name }) = answer.failure() {
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
        retransmitted: false,
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
            UserAuthorizationType::RegistrationAndCapabilities => REGISTRATION_AND_CAPABILITIES,
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
    sar.restoration.iter().for_each(|info| restoration_info(writer, info));
}

fn server_assignment(writer: &mut Writer, saa: &ServerAssignment) -> Result<(), CxError> {
    if let Some(impi) = &saa.impi {
        writer.text(d::USER_NAME, impi.as_str());
    }
    if let Some(profile) = &saa.user_data {
        user_data(writer, profile)?;
    }
    saa.restoration.iter().for_each(|info| restoration_info(writer, info));
    Ok(())
}

fn user_data(writer: &mut Writer, profile: &UserData) -> Result<(), CxError> {
    let xml = profile.to_xml();
    if xml.len() > UserData::LARGEST {
        return Err(CxError::UserDataTooLarge);
    }
    writer.octets(d::USER_DATA, &xml);
    Ok(())
}

fn restoration_info(writer: &mut Writer, info: &RestorationInfo) {
    writer.group(d::SCSCF_RESTORATION_INFO, |group| {
        group.text(d::USER_NAME, info.impi.as_str());
        for contact in &info.contacts {
            group.group(d::RESTORATION_INFO, |group| restored_contact(group, contact));
        }
    });
}

fn restored_contact(group: &mut Writer, contact: &RestoredContact) {
    group.text(d::PATH, &contact.path);
    group.text(d::CONTACT, &contact.contact);
    if let Some(cseq) = contact.initial_cseq {
        group.number(d::INITIAL_CSEQ_SEQUENCE_NUMBER, cseq);
    }
    if let Some(call_id) = &contact.call_id {
        group.text(d::CALL_ID_SIP_HEADER, call_id);
    }
    let subscriptions = [
        (d::SUBSCRIPTION_INFO, &contact.subscription),
        (d::P_CSCF_SUBSCRIPTION_INFO, &contact.p_cscf_subscription),
    ];
    for (definition, subscription) in subscriptions {
        let Some(subscription) = subscription else { continue };
        group.group(definition, |group| {
            group.text(d::CALL_ID_SIP_HEADER, &subscription.call_id);
            group.text(d::FROM_SIP_HEADER, &subscription.from);
            group.text(d::TO_SIP_HEADER, &subscription.to);
            group.text(d::RECORD_ROUTE, &subscription.record_route);
            group.text(d::CONTACT, &subscription.contact);
        });
    }
}

fn location_info_request(writer: &mut Writer, lir: &LocationInfoRequest) {
    if lir.originating {
        writer.number(d::ORIGINATING_REQUEST, 0);
    }
    writer.text(d::PUBLIC_IDENTITY, lir.impu.as_str());
    if lir.capabilities {
        writer.number(d::USER_AUTHORIZATION_TYPE, REGISTRATION_AND_CAPABILITIES);
    }
}

fn location_info(writer: &mut Writer, lia: &LocationInfo) {
    match lia {
        LocationInfo::Served { server_name } => writer.text(d::SERVER_NAME, server_name.as_str()),
        LocationInfo::Capabilities { capabilities } | LocationInfo::UnregisteredService { capabilities } => {
            server_capabilities(writer, capabilities);
        }
    }
}

fn registration_termination_request(writer: &mut Writer, rtr: &RegistrationTerminationRequest) {
    writer.text(d::USER_NAME, rtr.impi.as_str());
    associated_identities(writer, &rtr.associated);
    rtr.impus.iter().for_each(|impu| writer.text(d::PUBLIC_IDENTITY, impu.as_str()));
    writer.group(d::DEREGISTRATION_REASON, |group| {
        group.number(d::REASON_CODE, rtr.reason.code());
        if let Some(info) = &rtr.info {
            group.text(d::REASON_INFO, info);
        }
    });
}

fn associated_identities(writer: &mut Writer, impis: &[Impi]) {
    if !impis.is_empty() {
        writer.group(d::ASSOCIATED_IDENTITIES, |group| {
            impis.iter().for_each(|impi| group.text(d::USER_NAME, impi.as_str()));
        });
    }
}

fn push_profile_request(writer: &mut Writer, ppr: &PushProfileRequest) -> Result<(), CxError> {
    writer.text(d::USER_NAME, ppr.impi.as_str());
    match &ppr.user_data {
        Some(profile) => user_data(writer, profile),
        None => Ok(()),
    }
}
