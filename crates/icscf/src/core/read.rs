//! What to ask the HSS about a request.

use aka::{Impi, Impu};
use cx::{LocationInfoRequest, UserAuthorizationRequest, UserAuthorizationType, VisitedNetwork};
use sip::header::PVisitedNetworkId;
use sip::routing;
use sip::{Contacts, Message, Name};

use crate::{Config, Refusal};

/// The question whose answer names the S-CSCF.
#[derive(Debug, Clone)]
pub(super) enum Question {
    /// UAR, of a REGISTER.
    Authorization(UserAuthorizationRequest),
    /// LIR, of any other request.
    Location(LocationInfoRequest),
}

impl Question {
    pub(super) fn of_register(request: &Message, config: &Config) -> Result<Self, Refusal> {
        authorization(request, config).map(Self::Authorization)
    }

    /// Of any other request for a user of this network.
    pub(super) fn of_location(request: &Message) -> Result<Self, Refusal> {
        location(request).map(Self::Location)
    }

    pub(super) fn request(&self) -> cx::Request {
        match self {
            Self::Authorization(uar) => cx::Request::Uar(uar.clone()),
            Self::Location(lir) => cx::Request::Lir(lir.clone()),
        }
    }

    pub(super) fn impu(&self) -> &Impu {
        match self {
            Self::Authorization(uar) => &uar.impu,
            Self::Location(lir) => &lir.impu,
        }
    }

    /// The question for what another S-CSCF must be able to do, unless that was asked already.
    //= TS 29.228 6.1.1.1, 6.1.4.1
    pub(super) fn for_another(self) -> Option<Self> {
        match self {
            Self::Authorization(uar) if uar.kind == UserAuthorizationType::RegistrationAndCapabilities => {
                None
            }
            Self::Authorization(uar) => {
                let kind = UserAuthorizationType::RegistrationAndCapabilities;
                Some(Self::Authorization(UserAuthorizationRequest { kind, ..uar }))
            }
            Self::Location(lir) if lir.capabilities => None,
            Self::Location(lir) => Some(Self::Location(LocationInfoRequest { capabilities: true, ..lir })),
        }
    }
}

fn authorization(request: &Message, config: &Config) -> Result<UserAuthorizationRequest, Refusal> {
    routing::proxy_require(request, &["path"])?;
    let impi = identity(request).ok_or(Refusal::NoIdentity)?;
    let to = request.to().and_then(|to| to.parse_uri()).map_err(|_| Refusal::NoIdentity)?;
    let impu = Impu::new(&to.identity()).map_err(|_| Refusal::NoIdentity)?;
    let named = PVisitedNetworkId::of(request);
    let visited = named.as_ref().map_or(&*config.home_domain, |network| &network.0);
    let visited_network = VisitedNetwork::new(visited).map_err(|_| Refusal::BadVisitedNetwork)?;
    let kind = if ends_registration(request) {
        UserAuthorizationType::DeRegistration
    } else {
        UserAuthorizationType::Registration
    };
    Ok(UserAuthorizationRequest { impi, impu, visited_network, kind, emergency: false })
}

//= TS 24.229 5.3.2.1
fn location(request: &Message) -> Result<LocationInfoRequest, Refusal> {
    // Requests within a dialog go by its route set, in which we are not.
    if request.address(Name::To).map_err(|_| Refusal::NoIdentity)?.tag().is_some() {
        return Err(Refusal::InDialog);
    }
    let target = routing::request_uri(request)?;
    let impu = Impu::new(&target.identity()).map_err(|_| Refusal::NoIdentity)?;
    Ok(LocationInfoRequest { impu, originating: false, capabilities: false })
}

/// The private identity: from Authorization, else derived from To.
//= TS 24.229 5.3.1.2
pub(super) fn identity(request: &Message) -> Option<Impi> {
    let username = match request.authorization() {
        Some(credentials) => credentials.ok()?.username.into_owned(),
        None => request.to().ok()?.parse_uri().ok()?.user_at_host()?,
    };
    Impi::new(&username).ok()
}

/// Expires 0, in the contact or, where that says nothing, in the header.
fn ends_registration(request: &Message) -> bool {
    let of_header = request.expires();
    match request.contacts() {
        Ok(Contacts::Star) => true,
        Ok(Contacts::List(list)) if !list.is_empty() => {
            list.iter().all(|contact| contact.expires().or(of_header) == Some(0))
        }
        _ => of_header == Some(0),
    }
}
