//! A REGISTER read: who, which contact, for how long, protected or not.

use crate::{Config, Refusal};
use aka::{Impi, Impu};
use sip::header::PVisitedNetworkId;
use sip::{Contacts, Credentials, Message, Name, NameAddr, OptionTags, ServerId};

/// What the REGISTER wants of the bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    Bind(Contact),
    /// The contact with this URI, or all of them.
    Unbind(Option<String>),
    /// No Contact: the list of bindings.
    Query,
}

/// A contact as it goes into the binding, without its expires parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    /// `<uri>;param=value`
    pub(crate) value: String,
    /// Seconds, within the configured bounds.
    pub(crate) expires: u32,
    /// +sip.instance
    pub(crate) instance: Option<String>,
    pub(crate) flow: Option<OutboundFlow>,
}

/// What tells the flows of a private identity apart (RFC 5626).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutboundFlow {
    pub(crate) instance: String,
    pub(crate) reg_id: u32,
}

impl Contact {
    /// As it was written, but for its expires.
    pub(crate) fn of(contact: &NameAddr<'_>, expires: u32, flow: Option<OutboundFlow>) -> Self {
        let instance = contact.params.value("+sip.instance").map(str::to_owned);
        let mut value = format!("<{}>", contact.uri);
        for (name, parameter) in contact.params {
            if name.eq_ignore_ascii_case("expires") {
                continue;
            }
            value.push(';');
            value.push_str(name);
            if let Some(parameter) = parameter {
                value.push('=');
                value.push_str(parameter);
            }
        }
        Self { value, expires, instance, flow }
    }

    /// The URI alone.
    pub(crate) fn uri(&self) -> &str {
        NameAddr::parse(&self.value).map_or("", |contact| contact.uri)
    }
}

/// A REGISTER under way.
#[derive(Debug)]
pub(crate) struct Register {
    pub(crate) id: ServerId,
    pub(crate) message: Message,
    pub(crate) impi: Impi,
    pub(crate) impu: Impu,
    pub(crate) wish: Wish,
    /// integrity-protected="yes"
    pub(crate) protected: bool,
    /// What the 200 says of the authentication, where it says it.
    pub(crate) authentication_info: Option<String>,
    /// The HSS was asked already whether it knows of the user.
    pub(crate) restored: bool,
}

impl Register {
    /// The checks that need no state, in the order of `spec/05` section 4.
    pub(crate) fn read(id: ServerId, message: Message, config: &Config) -> Result<Self, (Message, Refusal)> {
        match Parts::read(&message, config) {
            Ok(Parts { impi, impu, wish, protected }) => Ok(Self {
                id,
                message,
                impi,
                impu,
                wish,
                protected,
                authentication_info: None,
                restored: false,
            }),
            Err(refusal) => Err((message, refusal)),
        }
    }

    /// The Digest credentials, when there are any.
    pub(crate) fn credentials(&self) -> Option<Credentials<'_>> {
        self.message.authorization().and_then(Result::ok)
    }

    pub(crate) fn cseq(&self) -> u32 {
        self.message.cseq().map_or(0, |cseq| cseq.number)
    }
}

struct Parts {
    impi: Impi,
    impu: Impu,
    wish: Wish,
    protected: bool,
}

impl Parts {
    fn read(message: &Message, config: &Config) -> Result<Self, Refusal> {
        let mut required = OptionTags::of(message, Name::Require);
        required.remove("path");
        if !required.is_empty() {
            return Err(Refusal::BadExtension);
        }
        let to = message.to().and_then(|to| to.parse_uri()).map_err(|_| Refusal::PublicIdentityMalformed)?;
        let impu = Impu::new(&to.identity()).map_err(|_| Refusal::PublicIdentityMalformed)?;
        let malformed = Refusal::PrivateIdentityMalformed;
        let (impi, protected) = match message.authorization() {
            Some(credentials) => {
                let credentials = credentials.map_err(|_| malformed)?;
                let impi = Impi::new(&credentials.username).map_err(|_| malformed)?;
                let protected = credentials.integrity_protected.as_deref();
                (impi, protected.is_some_and(|value| value.eq_ignore_ascii_case("yes")))
            }
            //= TS 24.229 5.4.1.2.1
            None => {
                let derived = to.user_at_host().ok_or(malformed)?;
                (Impi::new(&derived).map_err(|_| malformed)?, false)
            }
        };
        let wish = wish(message, config)?;
        if let (Some(allowed), Some(visited)) = (&config.visited_networks, PVisitedNetworkId::of(message))
            && !allowed.iter().any(|network| network.eq_ignore_ascii_case(&visited.0))
        {
            return Err(Refusal::RoamingNotAllowed);
        }
        Ok(Self { impi, impu, wish, protected })
    }
}

fn wish(message: &Message, config: &Config) -> Result<Wish, Refusal> {
    let header = message.expires();
    let contacts = match message.contacts().map_err(|_| Refusal::ContactMalformed)? {
        //= RFC 3261 10.3
        Contacts::Star if header == Some(0) => return Ok(Wish::Unbind(None)),
        Contacts::Star => return Err(Refusal::StarWithoutExpiresZero),
        Contacts::List(contacts) => contacts,
    };
    let contact = match contacts.as_slice() {
        [] => return Ok(Wish::Query),
        [contact] => contact,
        _ => return Err(Refusal::TooManyContacts),
    };
    contact.parse_uri().map_err(|_| Refusal::ContactMalformed)?;
    let expires = contact.expires().or(header).unwrap_or(config.default_expires);
    if expires == 0 {
        return Ok(Wish::Unbind(Some(contact.uri.to_owned())));
    }
    if expires < config.min_expires {
        return Err(Refusal::IntervalTooBrief);
    }
    let flow = flow(message, contact)?;
    Ok(Wish::Bind(Contact::of(contact, expires.min(config.max_expires), flow)))
}

/// The flow a contact with reg-id stands for; without +sip.instance a reg-id means nothing.
//= RFC 5626 6
fn flow(message: &Message, contact: &NameAddr<'_>) -> Result<Option<OutboundFlow>, Refusal> {
    let reg_id = contact.params.value("reg-id").and_then(sip::header::delta_seconds).filter(|id| *id > 0);
    let (Some(reg_id), Some(instance)) = (reg_id, contact.params.value("+sip.instance")) else {
        return Ok(None);
    };
    // Each proxy puts its entry on top: the first hop's is the last.
    let first_hop = message.values(Name::Path).last().and_then(NameAddr::parse);
    let has_outbound =
        first_hop.and_then(|path| path.parse_uri().ok()).is_some_and(|uri| uri.params.has("ob"));
    if !has_outbound {
        return Err(Refusal::FirstHopLacksOutbound);
    }
    Ok(Some(OutboundFlow { instance: instance.to_owned(), reg_id }))
}
