//! Requests and answers to octets: what all commands have in common. Each command has its own file.

use super::avp::{Wire, Writer};
use super::dictionary as d;
use super::{Application, Command, Extra, FailedAvp, Header, Ids, SupportedFeatures};
use super::{lir, mar, ppr, rtr, sar, uar};
use crate::{Answer, BaseCode, CxError, CxFailure, ExperimentalCode, Origin, Request};

/// NO_STATE_MAINTAINED.
const NO_STATE: u32 = 1;

/// What surrounds a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestContext<'a> {
    pub ids: Ids,
    /// Whether it has been sent before, over a connection that broke.
    pub retransmitted: bool,
    pub session_id: &'a str,
    pub origin: &'a Origin,
    pub destination_realm: &'a str,
    /// To an HSS only when it is known; what an HSS sends must have it.
    pub destination_host: Option<&'a str>,
}

/// What surrounds an answer: mostly what the request had.
#[derive(Debug, Clone, Copy)]
pub struct AnswerContext<'a> {
    pub ids: Ids,
    pub session_id: &'a str,
    pub origin: &'a Origin,
    /// AVPs of the request, as they stood there.
    pub repeated: &'a [u8],
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

pub fn request(request: &Request, context: &RequestContext<'_>) -> Result<Wire, CxError> {
    request_with(request, context, &Extra::default())
}

/// A request with AVPs that its type has no place for.
//= TS 29.229 6.1
pub fn request_with(request: &Request, context: &RequestContext<'_>, extra: &Extra) -> Result<Wire, CxError> {
    let header = Header {
        request: true,
        proxiable: true,
        error: false,
        retransmitted: context.retransmitted,
        command: request.command(),
        application: Application::Cx,
        ids: context.ids,
    };
    let mut writer = Writer::new(header, 1024 + extra.wire().len());
    writer.text(d::SESSION_ID, context.session_id);
    common(&mut writer, context.origin);
    if let Some(host) = context.destination_host {
        writer.text(d::DESTINATION_HOST, host);
    } else if comes_from_hss(request.command()) {
        return Err(CxError::AvpMissing(FailedAvp::example(d::DESTINATION_HOST)));
    }
    writer.text(d::DESTINATION_REALM, context.destination_realm);
    match request {
        Request::Uar(uar) => uar::write_request(&mut writer, uar),
        Request::Sar(sar) => sar::write_request(&mut writer, sar),
        Request::Lir(lir) => lir::write_request(&mut writer, lir),
        Request::Mar(mar) => mar::write_request(&mut writer, mar),
        Request::Rtr(rtr) => rtr::write_request(&mut writer, rtr),
        Request::Ppr(ppr) => ppr::write_request(&mut writer, ppr)?,
    }
    writer.raw(extra.wire());
    writer.finish()
}

/// RTR and PPR, which must name the S-CSCF.
//= TS 29.229 5.5
pub(super) const fn comes_from_hss(command: Command) -> bool {
    matches!(command, Command::RegistrationTermination | Command::PushProfile)
}

pub fn answer(answer: &Answer, context: &AnswerContext<'_>) -> Result<Wire, CxError> {
    answer_with(answer, context, &Extra::default())
}

/// An answer with AVPs that its type has no place for.
//= TS 29.229 6.1
pub fn answer_with(answer: &Answer, context: &AnswerContext<'_>, extra: &Extra) -> Result<Wire, CxError> {
    // Room for every vector in one allocation: a buffer that grows leaves keys behind.
    let vectors = if let Answer::Maa(Ok(maa)) = answer { maa.vectors.len() } else { 0 };
    let code = match answer {
        Answer::Uaa(Ok(uaa)) => uar::code(uaa),
        Answer::Saa(Ok(saa)) => sar::code(saa),
        Answer::Lia(Ok(lia)) => lir::code(lia),
        answer => answer.failure().map_or(BaseCode::Success.into(), Code::of),
    };
    let capacity = 1024 + 256 * vectors + extra.wire().len() + context.repeated.len();
    let mut writer = start_answer(answer.command(), context, code, capacity);
    match answer {
        Answer::Uaa(Ok(uaa)) => uar::write_answer(&mut writer, uaa),
        Answer::Saa(Ok(saa)) => sar::write_answer(&mut writer, saa)?,
        Answer::Lia(Ok(lia)) => lir::write_answer(&mut writer, lia),
        Answer::Maa(Ok(maa)) => mar::write_answer(&mut writer, maa),
        Answer::Rta(Ok(rta)) => rtr::write_answer(&mut writer, rta),
        Answer::Ppa(Ok(())) => {}
        answer => {
            if let Some(CxFailure::AlreadyRegistered { server_name }) = answer.failure() {
                writer.text(d::SERVER_NAME, server_name.as_str());
            }
        }
    }
    writer.raw(extra.wire());
    writer.raw(context.repeated);
    writer.finish()
}

/// The answer to a request that could not be understood.
pub fn refusal(command: Command, context: &AnswerContext<'_>, error: &CxError) -> Result<Wire, CxError> {
    let code = error.experimental_code().map_or(error.code().into(), Code::Experimental);
    let mut writer = start_answer(command, context, code, 1024);
    if *error == CxError::FeatureUnsupported {
        //= TS 29.229 7.2.1
        let ours = SupportedFeatures::OURS;
        writer.group(d::SUPPORTED_FEATURES, |group| {
            group.number(d::VENDOR_ID, ours.vendor);
            group.number(d::FEATURE_LIST_ID, ours.list);
            group.number(d::FEATURE_LIST, ours.features);
        });
    }
    if let Some(failed) = error.failed_avp() {
        failed_avp(&mut writer, failed);
    }
    writer.raw(context.repeated);
    writer.finish()
}

#[derive(Clone, Copy)]
pub(super) enum Code {
    Base(BaseCode),
    Experimental(ExperimentalCode),
}

impl From<BaseCode> for Code {
    fn from(code: BaseCode) -> Self {
        Self::Base(code)
    }
}

impl From<ExperimentalCode> for Code {
    fn from(code: ExperimentalCode) -> Self {
        Self::Experimental(code)
    }
}

impl Code {
    fn of(failure: &CxFailure) -> Self {
        match failure {
            CxFailure::Base(code) => Self::Base(*code),
            CxFailure::Experimental(code) => Self::Experimental(*code),
            CxFailure::AlreadyRegistered { .. } => ExperimentalCode::IdentityAlreadyRegistered.into(),
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
    match code {
        // The grammar of every error, whatever the command.
        //= RFC 6733 7.2
        Code::Base(code) if error => {
            identify(&mut writer, context.origin);
            writer.number(d::RESULT_CODE, code.code());
        }
        //= TS 29.229 6.2
        Code::Base(code) => {
            application(&mut writer);
            writer.number(d::RESULT_CODE, code.code());
            stateless(&mut writer, context.origin);
        }
        Code::Experimental(code) => {
            application(&mut writer);
            writer.group(d::EXPERIMENTAL_RESULT, |group| {
                group.number(d::VENDOR_ID, d::VENDOR_3GPP);
                group.number(d::EXPERIMENTAL_RESULT_CODE, code.code());
            });
            stateless(&mut writer, context.origin);
        }
    }
    writer
}

fn common(writer: &mut Writer, origin: &Origin) {
    application(writer);
    stateless(writer, origin);
}

fn application(writer: &mut Writer) {
    writer.group(d::VENDOR_SPECIFIC_APPLICATION_ID, |group| {
        group.number(d::VENDOR_ID, d::VENDOR_3GPP);
        group.number(d::AUTH_APPLICATION_ID, Application::Cx.code());
    });
}

fn stateless(writer: &mut Writer, origin: &Origin) {
    writer.number(d::AUTH_SESSION_STATE, NO_STATE);
    identify(writer, origin);
}

fn identify(writer: &mut Writer, origin: &Origin) {
    writer.text(d::ORIGIN_HOST, &origin.host);
    writer.text(d::ORIGIN_REALM, &origin.realm);
}

pub(crate) fn failed_avp(writer: &mut Writer, failed: &FailedAvp) {
    writer.group(d::FAILED_AVP, |group| group.raw(failed.wire()));
}
