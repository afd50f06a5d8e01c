//! Octets to requests and answers: what all commands have in common. Each command has its own file.

pub(crate) use super::fields::{Fields, number, text, wrong};

use super::dictionary::{self as d, Definition};
use super::encode::comes_from_hss;
use super::outcome::Outcome;
use super::{Avp, Avps, Command, Extra, Header, Ids};
use super::{lir, mar, ppr, rtr, sar, uar};
use crate::{Answer, BaseCode, CxError, Origin, Request};

/// A request and what its answer must repeat.
#[derive(Debug, PartialEq, Eq)]
pub struct Incoming {
    pub ids: Ids,
    pub session_id: String,
    /// AVPs that the answer has as they stood in the request.
    pub repeated: Vec<u8>,
    /// Origin-Host and Origin-Realm of the sender.
    pub origin: Origin,
    pub request: Request,
    /// The AVPs that `request` has no place for.
    pub extra: Extra,
}

/// An answer and what else it said.
#[derive(Debug, PartialEq, Eq)]
pub struct IncomingAnswer {
    /// Who has answered; a protocol error may come from a relay.
    pub origin: Option<Origin>,
    pub answer: Answer,
    /// The AVPs that `answer` has no place for, Failed-AVP and Error-Message among them.
    pub extra: Extra,
}

/// Reads a Cx request. `avps` is what [`Header::parse`] left.
///
/// Vendor-Specific-Application-Id and Auth-Session-State, which always say the same, may be absent.
pub fn request(header: &Header, avps: &[u8]) -> Result<Incoming, CxError> {
    //= RFC 6733 3
    if header.error {
        return Err(CxError::HeaderFlags);
    }
    let fields = Fields::read(avps)?;
    let session_id = fields.text(d::SESSION_ID)?.to_owned();
    let origin = Origin {
        host: fields.text(d::ORIGIN_HOST)?.to_owned(),
        realm: fields.text(d::ORIGIN_REALM)?.to_owned(),
    };
    fields.text(d::DESTINATION_REALM)?;
    if comes_from_hss(header.command) {
        fields.text(d::DESTINATION_HOST)?;
    }
    pass_over_common(&fields)?;
    fields.optional(d::DESTINATION_HOST)?;
    let request = match header.command {
        Command::UserAuthorization => Request::Uar(uar::read_request(&fields)?),
        Command::ServerAssignment => Request::Sar(sar::read_request(&fields)?),
        Command::LocationInfo => Request::Lir(lir::read_request(&fields)?),
        Command::MultimediaAuth => Request::Mar(mar::read_request(&fields)?),
        Command::RegistrationTermination => Request::Rtr(rtr::read_request(&fields)?),
        Command::PushProfile => Request::Ppr(ppr::read_request(&fields)?),
        other => return Err(CxError::CommandUnsupported(other.code())),
    };
    let extra = fields.extra();
    if extra.supported_features()?.into_iter().any(super::SupportedFeatures::ask_too_much) {
        return Err(CxError::FeatureUnsupported);
    }
    let repeated = repeated(header.command, avps);
    Ok(Incoming { ids: header.ids, session_id, repeated, origin, request, extra })
}

fn pass_over_common(fields: &Fields<'_>) -> Result<(), CxError> {
    fields.optional(d::VENDOR_SPECIFIC_APPLICATION_ID)?;
    fields.optional(d::AUTH_SESSION_STATE)?;
    fields.all(d::PROXY_INFO).for_each(drop);
    fields.all(d::ROUTE_RECORD).for_each(drop);
    Ok(())
}

/// What a refusal can still repeat of a request that did not decode: Session-Id and Proxy-Info, where readable.
pub fn remains(avps: &[u8]) -> (String, Vec<u8>) {
    let mut readable = Avps::new(avps).map_while(Result::ok);
    let session_id = readable.find(|avp| avp.key == d::SESSION_ID.key);
    let session_id = session_id.and_then(|avp| std::str::from_utf8(avp.data).ok()).unwrap_or_default();
    (session_id.to_owned(), copied(&[d::PROXY_INFO], avps))
}

/// Proxy-Info, and in MAA the identities: Kamailio takes none without them.
//= TS 29.229 6.1.8
fn repeated(command: Command, avps: &[u8]) -> Vec<u8> {
    match command {
        Command::MultimediaAuth => copied(&[d::USER_NAME, d::PUBLIC_IDENTITY, d::PROXY_INFO], avps),
        _ => copied(&[d::PROXY_INFO], avps),
    }
}

fn copied(wanted: &[Definition], avps: &[u8]) -> Vec<u8> {
    let is_wanted = |avp: &Avp<'_>| wanted.iter().any(|definition| definition.key == avp.key);
    Avps::new(avps).map_while(Result::ok).filter(is_wanted).flat_map(|avp| avp.whole).copied().collect()
}

/// How an answer ended, for answers that are not of one Cx command.
pub fn result_code(avps: &[u8]) -> Result<BaseCode, CxError> {
    let fields = Fields::read_tolerantly(avps)?;
    Ok(BaseCode::from_code(fields.number(d::RESULT_CODE)?))
}

/// Reads a Cx answer.
pub fn answer(header: &Header, avps: &[u8]) -> Result<Answer, CxError> {
    whole_answer(header, avps).map(|incoming| incoming.answer)
}

/// Reads a Cx answer and what else it said.
pub fn whole_answer(header: &Header, avps: &[u8]) -> Result<IncomingAnswer, CxError> {
    let fields = Fields::read(avps)?;
    let outcome = Outcome::read(&fields)?;
    let answer = match header.command {
        Command::UserAuthorization => Answer::Uaa(uar::read_answer(&fields, outcome)?),
        Command::ServerAssignment => Answer::Saa(sar::read_answer(&fields, outcome)?),
        Command::LocationInfo => Answer::Lia(lir::read_answer(&fields, outcome)?),
        Command::MultimediaAuth => Answer::Maa(mar::read_answer(&fields, outcome)?),
        Command::RegistrationTermination => Answer::Rta(rtr::read_answer(&fields, outcome)?),
        Command::PushProfile => Answer::Ppa(ppr::read_answer(&fields, outcome)?),
        other => return Err(CxError::CommandUnsupported(other.code())),
    };
    let (host, realm) = (fields.optional_text(d::ORIGIN_HOST)?, fields.optional_text(d::ORIGIN_REALM)?);
    let origin = host.zip(realm).map(|(host, realm)| Origin { host, realm });
    fields.optional(d::SESSION_ID)?;
    pass_over_common(&fields)?;
    Ok(IncomingAnswer { origin, answer, extra: fields.extra() })
}
