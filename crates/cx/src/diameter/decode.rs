//! Octets to requests and answers.

use aka::{AuthVector, Autn, Auts, Ck, Ik, Impi, Impu, Rand, Res};

use super::dictionary::{self as d, Definition};
use super::{Avp, Avps, Command, Header, Ids};
use crate::{
    Answer, AuthScheme, BaseCode, CxError, CxFailure, ExperimentalCode, FailedAvp, LocationInfo,
    LocationInfoRequest, MultimediaAuth, MultimediaAuthRequest, Origin, PushProfileRequest, ReasonCode,
    RegistrationTermination, RegistrationTerminationRequest, Request, RestorationInfo, RestoredContact,
    RestoredSubscription, ServerAssignment, ServerAssignmentRequest, ServerAssignmentType,
    ServerCapabilities, ServerName, UserAuthorization, UserAuthorizationRequest, UserAuthorizationType,
    UserData, VisitedNetwork,
};

/// A User-Authorization-Type that UAR and LIR share.
const REGISTRATION_AND_CAPABILITIES: u32 = 2;
/// More AVPs than any Cx message has: a bound on the work one message can cause.
const MOST_AVPS: usize = 1024;

/// A request and what its answer must repeat.
#[derive(Debug, PartialEq, Eq)]
pub struct Incoming {
    pub ids: Ids,
    pub session_id: String,
    /// As they stood in the request: they go back unchanged.
    pub proxy_info: Vec<u8>,
    /// Origin-Host and Origin-Realm of the sender.
    pub origin: Origin,
    pub request: Request,
}

/// Reads a Cx request. `avps` is what [`Header::parse`] left.
pub fn request(header: &Header, avps: &[u8]) -> Result<Incoming, CxError> {
    let fields = Fields::read(avps)?;
    let session_id = fields.text(d::SESSION_ID)?.to_owned();
    let origin = Origin {
        host: fields.text(d::ORIGIN_HOST)?.to_owned(),
        realm: fields.text(d::ORIGIN_REALM)?.to_owned(),
    };
    fields.text(d::DESTINATION_REALM)?;
    let request = match header.command {
        Command::UserAuthorization => Request::Uar(user_authorization_request(&fields)?),
        Command::ServerAssignment => Request::Sar(server_assignment_request(&fields)?),
        Command::LocationInfo => Request::Lir(location_info_request(&fields)?),
        Command::MultimediaAuth => Request::Mar(multimedia_auth_request(&fields)?),
        Command::RegistrationTermination => Request::Rtr(registration_termination_request(&fields)?),
        Command::PushProfile => Request::Ppr(push_profile_request(&fields)?),
        other => return Err(CxError::CommandUnsupported(other.code())),
    };
    let proxy_info = proxy_info(avps);
    Ok(Incoming { ids: header.ids, session_id, proxy_info, origin, request })
}

/// What a refusal can still repeat of a request that did not decode: Session-Id and Proxy-Info, where readable.
pub fn remains(avps: &[u8]) -> (String, Vec<u8>) {
    let mut readable = Avps::new(avps).map_while(Result::ok);
    let session_id = readable.find(|avp| avp.key == d::SESSION_ID.key);
    let session_id = session_id.and_then(|avp| std::str::from_utf8(avp.data).ok()).unwrap_or_default();
    (session_id.to_owned(), proxy_info(avps))
}

fn proxy_info(avps: &[u8]) -> Vec<u8> {
    let all = Avps::new(avps).map_while(Result::ok);
    all.filter(|avp| avp.key == d::PROXY_INFO.key).flat_map(|avp| avp.whole).copied().collect()
}

/// How an answer ended, for answers that are not of one Cx command.
pub fn result_code(avps: &[u8]) -> Result<BaseCode, CxError> {
    let fields = Fields::read_tolerantly(avps)?;
    Ok(BaseCode::from_code(fields.number(d::RESULT_CODE)?))
}

/// Reads a Cx answer.
pub fn answer(header: &Header, avps: &[u8]) -> Result<Answer, CxError> {
    let fields = Fields::read(avps)?;
    let outcome = outcome(&fields)?;
    Ok(match header.command {
        Command::UserAuthorization => Answer::Uaa(user_authorization(&fields, outcome)?),
        Command::ServerAssignment => Answer::Saa(server_assignment(&fields, outcome)?),
        Command::LocationInfo => Answer::Lia(location_info(&fields, outcome)?),
        Command::MultimediaAuth => Answer::Maa(multimedia_auth(&fields, outcome)?),
        Command::RegistrationTermination => Answer::Rta(registration_termination(&fields, outcome)?),
        Command::PushProfile => Answer::Ppa(match outcome {
            Outcome::Base(code) if code.is_success() => Ok(()),
            failed => Err(failed.failure(&fields)?),
        }),
        other => return Err(CxError::CommandUnsupported(other.code())),
    })
}

#[derive(Clone, Copy)]
enum Outcome {
    Base(BaseCode),
    Cx(ExperimentalCode),
}

impl Outcome {
    fn failure(self, fields: &Fields<'_>) -> Result<CxFailure, CxError> {
        Ok(match self {
            Self::Base(code) => CxFailure::Base(code),
            Self::Cx(ExperimentalCode::IdentityAlreadyRegistered) => {
                CxFailure::AlreadyRegistered { server_name: fields.server_name()? }
            }
            Self::Cx(code) => CxFailure::Experimental(code),
        })
    }
}

fn outcome(fields: &Fields<'_>) -> Result<Outcome, CxError> {
    let base = fields.optional(d::RESULT_CODE)?;
    let experimental = fields.optional(d::EXPERIMENTAL_RESULT)?;
    match (base, experimental) {
        (Some(avp), None) => Ok(Outcome::Base(BaseCode::from_code(number(avp)?))),
        (None, Some(avp)) => {
            let group = Fields::read(avp.data)?;
            if group.number(d::VENDOR_ID)? != d::VENDOR_3GPP {
                return Err(wrong(avp));
            }
            Ok(Outcome::Cx(ExperimentalCode::from_code(group.number(d::EXPERIMENTAL_RESULT_CODE)?)))
        }
        (Some(_), Some(_)) => Err(CxError::TwoResults),
        (None, None) => Err(CxError::AvpMissing(d::RESULT_CODE.key)),
    }
}

fn user_authorization_request(fields: &Fields<'_>) -> Result<UserAuthorizationRequest, CxError> {
    let kind = match fields.optional(d::USER_AUTHORIZATION_TYPE)? {
        None => UserAuthorizationType::Registration,
        Some(avp) => match number(avp)? {
            0 => UserAuthorizationType::Registration,
            1 => UserAuthorizationType::DeRegistration,
            2 => UserAuthorizationType::RegistrationAndCapabilities,
            _ => return Err(wrong(avp)),
        },
    };
    let emergency = match fields.optional(d::UAR_FLAGS)? {
        Some(avp) => number(avp)? & 1 != 0,
        None => false,
    };
    let visited = fields.one(d::VISITED_NETWORK_IDENTIFIER)?;
    Ok(UserAuthorizationRequest {
        impi: fields.impi()?,
        impu: impu(fields.one(d::PUBLIC_IDENTITY)?)?,
        visited_network: VisitedNetwork::new(text(visited)?).map_err(|_| wrong(visited))?,
        kind,
        emergency,
    })
}

fn multimedia_auth_request(fields: &Fields<'_>) -> Result<MultimediaAuthRequest, CxError> {
    let item = Fields::read(fields.one(d::SIP_AUTH_DATA_ITEM)?.data)?;
    let resync = match item.optional(d::SIP_AUTHORIZATION)? {
        None => None,
        Some(avp) => {
            let (rand, auts) = avp.data.split_first_chunk().ok_or_else(|| wrong(avp))?;
            let auts = Auts::try_from(auts).map_err(|_| wrong(avp))?;
            Some((Rand::from_bytes(*rand), auts))
        }
    };
    Ok(MultimediaAuthRequest {
        impi: fields.impi()?,
        impu: impu(fields.one(d::PUBLIC_IDENTITY)?)?,
        server_name: fields.server_name()?,
        items: fields.number(d::SIP_NUMBER_AUTH_ITEMS)?,
        scheme: AuthScheme::from(item.text(d::SIP_AUTHENTICATION_SCHEME)?),
        resync,
    })
}

fn server_assignment_request(fields: &Fields<'_>) -> Result<ServerAssignmentRequest, CxError> {
    let assignment = fields.one(d::SERVER_ASSIGNMENT_TYPE)?;
    let available = fields.one(d::USER_DATA_ALREADY_AVAILABLE)?;
    Ok(ServerAssignmentRequest {
        impi: fields.optional(d::USER_NAME)?.map(impi).transpose()?,
        impus: fields.all(d::PUBLIC_IDENTITY).map(impu).collect::<Result<_, _>>()?,
        server_name: fields.server_name()?,
        assignment: ServerAssignmentType::from_code(number(assignment)?).ok_or_else(|| wrong(assignment))?,
        user_data_already_available: match number(available)? {
            0 => false,
            1 => true,
            _ => return Err(wrong(available)),
        },
        restoration: fields.optional(d::SCSCF_RESTORATION_INFO)?.map(restoration_info).transpose()?,
    })
}

fn restoration_info(avp: Avp<'_>) -> Result<RestorationInfo, CxError> {
    let group = Fields::read(avp.data)?;
    Ok(RestorationInfo {
        impi: group.impi()?,
        contacts: group.all(d::RESTORATION_INFO).map(restored_contact).collect::<Result<_, _>>()?,
    })
}

fn restored_contact(avp: Avp<'_>) -> Result<RestoredContact, CxError> {
    let group = Fields::read(avp.data)?;
    let subscription = |definition| group.optional(definition)?.map(restored_subscription).transpose();
    Ok(RestoredContact {
        path: group.text(d::PATH)?.to_owned(),
        contact: group.text(d::CONTACT)?.to_owned(),
        initial_cseq: group.optional(d::INITIAL_CSEQ_SEQUENCE_NUMBER)?.map(number).transpose()?,
        call_id: group.optional(d::CALL_ID_SIP_HEADER)?.map(text).transpose()?.map(str::to_owned),
        subscription: subscription(d::SUBSCRIPTION_INFO)?,
        p_cscf_subscription: subscription(d::P_CSCF_SUBSCRIPTION_INFO)?,
    })
}

fn restored_subscription(avp: Avp<'_>) -> Result<RestoredSubscription, CxError> {
    let group = Fields::read(avp.data)?;
    let text = |definition| group.text(definition).map(str::to_owned);
    Ok(RestoredSubscription {
        call_id: text(d::CALL_ID_SIP_HEADER)?,
        from: text(d::FROM_SIP_HEADER)?,
        to: text(d::TO_SIP_HEADER)?,
        record_route: text(d::RECORD_ROUTE)?,
        contact: text(d::CONTACT)?,
    })
}

fn location_info_request(fields: &Fields<'_>) -> Result<LocationInfoRequest, CxError> {
    let originating = match fields.optional(d::ORIGINATING_REQUEST)? {
        None => false,
        Some(avp) if number(avp)? == 0 => true,
        Some(avp) => return Err(wrong(avp)),
    };
    let kind = fields.optional(d::USER_AUTHORIZATION_TYPE)?.map(number).transpose()?;
    Ok(LocationInfoRequest {
        impu: impu(fields.one(d::PUBLIC_IDENTITY)?)?,
        originating,
        capabilities: kind == Some(REGISTRATION_AND_CAPABILITIES),
    })
}

fn registration_termination_request(fields: &Fields<'_>) -> Result<RegistrationTerminationRequest, CxError> {
    let reason = Fields::read(fields.one(d::DEREGISTRATION_REASON)?.data)?;
    let code = reason.one(d::REASON_CODE)?;
    Ok(RegistrationTerminationRequest {
        impi: fields.impi()?,
        impus: fields.all(d::PUBLIC_IDENTITY).map(impu).collect::<Result<_, _>>()?,
        associated: associated_identities(fields)?,
        reason: ReasonCode::from_code(number(code)?).ok_or_else(|| wrong(code))?,
        info: reason.optional(d::REASON_INFO)?.map(text).transpose()?.map(Into::into),
    })
}

fn associated_identities(fields: &Fields<'_>) -> Result<Vec<Impi>, CxError> {
    let Some(avp) = fields.optional(d::ASSOCIATED_IDENTITIES)? else { return Ok(Vec::new()) };
    Fields::read(avp.data)?.all(d::USER_NAME).map(impi).collect()
}

fn push_profile_request(fields: &Fields<'_>) -> Result<PushProfileRequest, CxError> {
    Ok(PushProfileRequest { impi: fields.impi()?, user_data: user_data(fields)? })
}

fn user_data(fields: &Fields<'_>) -> Result<Option<UserData>, CxError> {
    fields.optional(d::USER_DATA)?.map(|avp| UserData::from_xml(avp.data)).transpose()
}

fn location_info(fields: &Fields<'_>, outcome: Outcome) -> Result<Result<LocationInfo, CxFailure>, CxError> {
    let capabilities = || server_capabilities(fields);
    Ok(Ok(match outcome {
        Outcome::Cx(ExperimentalCode::UnregisteredService) => {
            // With a name where the HSS has one for the unregistered state.
            match fields.optional(d::SERVER_NAME)? {
                Some(avp) => LocationInfo::Served { server_name: server_name(avp)? },
                None => LocationInfo::UnregisteredService { capabilities: capabilities()? },
            }
        }
        Outcome::Base(code) if code.is_success() => match fields.optional(d::SERVER_NAME)? {
            Some(avp) => LocationInfo::Served { server_name: server_name(avp)? },
            None => LocationInfo::Capabilities { capabilities: capabilities()? },
        },
        failed => return Ok(Err(failed.failure(fields)?)),
    }))
}

fn registration_termination(
    fields: &Fields<'_>,
    outcome: Outcome,
) -> Result<Result<RegistrationTermination, CxFailure>, CxError> {
    Ok(match outcome {
        Outcome::Base(code) if code.is_success() => {
            Ok(RegistrationTermination { associated: associated_identities(fields)? })
        }
        failed => Err(failed.failure(fields)?),
    })
}

fn user_authorization(
    fields: &Fields<'_>,
    outcome: Outcome,
) -> Result<Result<UserAuthorization, CxFailure>, CxError> {
    Ok(Ok(match outcome {
        Outcome::Cx(ExperimentalCode::FirstRegistration) => {
            UserAuthorization::FirstRegistration { capabilities: server_capabilities(fields)? }
        }
        Outcome::Cx(ExperimentalCode::SubsequentRegistration) => {
            UserAuthorization::Subsequent { server_name: fields.server_name()? }
        }
        // A name answers a de-registration; without one the capabilities were asked for.
        Outcome::Base(code) if code.is_success() => match fields.optional(d::SERVER_NAME)? {
            Some(avp) => UserAuthorization::DeRegistration { server_name: server_name(avp)? },
            None => UserAuthorization::Capabilities { capabilities: server_capabilities(fields)? },
        },
        failed => return Ok(Err(failed.failure(fields)?)),
    }))
}

fn server_capabilities(fields: &Fields<'_>) -> Result<ServerCapabilities, CxError> {
    let Some(avp) = fields.optional(d::SERVER_CAPABILITIES)? else {
        return Ok(ServerCapabilities::default());
    };
    let group = Fields::read(avp.data)?;
    Ok(ServerCapabilities {
        mandatory: group.all(d::MANDATORY_CAPABILITY).map(number).collect::<Result<_, _>>()?,
        optional: group.all(d::OPTIONAL_CAPABILITY).map(number).collect::<Result<_, _>>()?,
        server_names: group.all(d::SERVER_NAME).map(server_name).collect::<Result<_, _>>()?,
    })
}

fn multimedia_auth(
    fields: &Fields<'_>,
    outcome: Outcome,
) -> Result<Result<MultimediaAuth, CxFailure>, CxError> {
    if !matches!(outcome, Outcome::Base(code) if code.is_success()) {
        return Ok(Err(outcome.failure(fields)?));
    }
    let mut items = Vec::new();
    for avp in fields.all(d::SIP_AUTH_DATA_ITEM) {
        let item = Fields::read(avp.data)?;
        let place = item.optional(d::SIP_ITEM_NUMBER)?.map(number).transpose()?.unwrap_or(0);
        items.push((place, vector(&item)?));
    }
    // Stable: items without a number keep the order they came in.
    items.sort_by_key(|(place, _)| *place);
    Ok(Ok(MultimediaAuth { vectors: items.into_iter().map(|(_, vector)| vector).collect() }))
}

//= TS 29.229 6.3.10
//= TS 29.229 6.3.11
fn vector(item: &Fields<'_>) -> Result<AuthVector, CxError> {
    let scheme = item.one(d::SIP_AUTHENTICATION_SCHEME)?;
    if text(scheme)? != AuthScheme::DigestAka.as_str() {
        return Err(wrong(scheme));
    }
    let challenge = item.one(d::SIP_AUTHENTICATE)?;
    let (rand, autn) = challenge.data.split_first_chunk().ok_or_else(|| wrong(challenge))?;
    let xres = item.one(d::SIP_AUTHORIZATION)?;
    let ck = item.one(d::CONFIDENTIALITY_KEY)?;
    let ik = item.one(d::INTEGRITY_KEY)?;
    Ok(AuthVector {
        rand: Rand::from_bytes(*rand),
        autn: Autn::try_from(autn).map_err(|_| wrong(challenge))?,
        xres: Res::new(xres.data).map_err(|_| wrong_secret(xres))?,
        ck: Ck::try_from(ck.data).map_err(|_| wrong_secret(ck))?,
        ik: Ik::try_from(ik.data).map_err(|_| wrong_secret(ik))?,
    })
}

fn server_assignment(
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
        user_data: user_data(fields)?,
        server_name_not_stored,
        restoration: fields.all(d::SCSCF_RESTORATION_INFO).map(restoration_info).collect::<Result<_, _>>()?,
    }))
}

/// The AVPs of a message or group, all of them well-formed and none unknown with the M flag.
pub(crate) struct Fields<'a>(Vec<Avp<'a>>);

impl<'a> Fields<'a> {
    //= RFC 6733 4.1
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, CxError> {
        let fields = Self::read_tolerantly(bytes)?;
        match fields.0.iter().find(|avp| avp.mandatory && d::name(avp.key).is_none()) {
            Some(unknown) => Err(CxError::AvpUnsupported(failed(*unknown))),
            None => Ok(fields),
        }
    }

    /// Takes AVPs of any kind, for messages about the connection itself.
    pub(crate) fn read_tolerantly(bytes: &'a [u8]) -> Result<Self, CxError> {
        let avps: Vec<_> = Avps::new(bytes).take(MOST_AVPS + 1).collect::<Result<_, _>>()?;
        match avps.get(MOST_AVPS) {
            Some(extra) => Err(CxError::AvpTooOften(extra.key)),
            None => Ok(Self(avps)),
        }
    }

    pub(crate) fn all(&self, definition: Definition) -> impl Iterator<Item = Avp<'a>> {
        self.0.iter().copied().filter(move |avp| avp.key == definition.key)
    }

    pub(crate) fn optional(&self, definition: Definition) -> Result<Option<Avp<'a>>, CxError> {
        let mut matching = self.all(definition);
        match (matching.next(), matching.next()) {
            (Some(_), Some(_)) => Err(CxError::AvpTooOften(definition.key)),
            (first, _) => Ok(first),
        }
    }

    pub(crate) fn one(&self, definition: Definition) -> Result<Avp<'a>, CxError> {
        self.optional(definition)?.ok_or(CxError::AvpMissing(definition.key))
    }

    pub(crate) fn text(&self, definition: Definition) -> Result<&'a str, CxError> {
        text(self.one(definition)?)
    }

    pub(crate) fn number(&self, definition: Definition) -> Result<u32, CxError> {
        number(self.one(definition)?)
    }

    fn impi(&self) -> Result<Impi, CxError> {
        impi(self.one(d::USER_NAME)?)
    }

    fn server_name(&self) -> Result<ServerName, CxError> {
        server_name(self.one(d::SERVER_NAME)?)
    }
}

fn failed(avp: Avp<'_>) -> FailedAvp {
    FailedAvp { key: avp.key, data: avp.data.to_vec() }
}

pub(crate) fn wrong(avp: Avp<'_>) -> CxError {
    CxError::AvpValue(failed(avp))
}

/// Without the content: an error must not carry a key about.
fn wrong_secret(avp: Avp<'_>) -> CxError {
    CxError::AvpValue(FailedAvp { key: avp.key, data: Vec::new() })
}

pub(crate) fn text<'a>(avp: Avp<'a>) -> Result<&'a str, CxError> {
    std::str::from_utf8(avp.data).map_err(|_| wrong(avp))
}

pub(crate) fn number(avp: Avp<'_>) -> Result<u32, CxError> {
    Ok(u32::from_be_bytes(avp.data.try_into().map_err(|_| wrong(avp))?))
}

fn impi(avp: Avp<'_>) -> Result<Impi, CxError> {
    Impi::new(text(avp)?).map_err(|_| wrong(avp))
}

fn impu(avp: Avp<'_>) -> Result<Impu, CxError> {
    Impu::new(text(avp)?).map_err(|_| wrong(avp))
}

fn server_name(avp: Avp<'_>) -> Result<ServerName, CxError> {
    ServerName::new(text(avp)?).map_err(|_| wrong(avp))
}
