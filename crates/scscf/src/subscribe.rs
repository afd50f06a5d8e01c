//! A SUBSCRIBE read: who is watched, by whom, for how long, and where NOTIFY goes.

use crate::subscriptions::{Peer, SubscriptionId};
use crate::{Config, Refusal};
use aka::Impu;
use sip::dialog::event_package;
use sip::routing::NextHop;
use sip::{Flow, Message, Name, NameAddr, OptionTags, ServerId, Transport, Uri, reginfo};
use std::net::SocketAddr;

/// RFC 6665 4.2.1.1: only an interval of less than an hour may be called too brief.
const BRIEF: u32 = 3600;

/// A SUBSCRIBE under way.
#[derive(Debug)]
pub(crate) struct Subscribe {
    pub(crate) id: ServerId,
    pub(crate) flow: Flow,
    pub(crate) message: Message,
    /// Seconds, within the configured bounds; 0: one NOTIFY and no more.
    pub(crate) expires: u32,
    pub(crate) place: Place,
    /// The HSS was asked already whether it knows of the user.
    pub(crate) restored: bool,
}

/// Where the SUBSCRIBE stands.
#[derive(Debug)]
pub(crate) enum Place {
    /// It asks for a dialog about this identity.
    Outside(Impu),
    /// It is in a dialog.
    Inside(SubscriptionId),
}

impl Subscribe {
    /// The checks that need no state.
    pub(crate) fn read(
        id: ServerId,
        flow: Flow,
        message: Message,
        config: &Config,
    ) -> Result<Self, (Message, Refusal)> {
        let read = || {
            check(&message, config)?;
            Ok((expires(&message, config)?, place(&message)?))
        };
        match read() {
            Ok((expires, place)) => Ok(Self { id, flow, message, expires, place, restored: false }),
            Err(refusal) => Err((message, refusal)),
        }
    }

    /// The Event value as written: its id parameter belongs to the subscription.
    pub(crate) fn event(&self) -> &str {
        self.message.first(Name::Event).unwrap_or(reginfo::PACKAGE)
    }

    pub(crate) fn peer(&self, config: &Config) -> Result<Peer, Refusal> {
        peer(&self.message, self.flow.local, config)
    }

    /// Whom a SUBSCRIBE within a dialog is about.
    pub(crate) fn watched(&self) -> Option<Impu> {
        Impu::new(&self.message.to().ok()?.parse_uri().ok()?.identity()).ok()
    }

    /// Who asks, by the word of the P-CSCF.
    pub(crate) fn asserted(&self) -> impl Iterator<Item = Uri<'_>> {
        self.message.addresses(Name::PAssertedIdentity).filter_map(|asserted| asserted.ok()?.parse_uri().ok())
    }

    /// Whether a P-CSCF asks for itself: by the URI, the name or the address of one of these Path entries.
    //= TS 24.229 5.2.3: it asserts the URI that it has put into Path
    pub(crate) fn is_from_proxy<'a>(&self, paths: impl Iterator<Item = &'a str>) -> bool {
        let asserted: Vec<Uri<'_>> = self.asserted().collect();
        // It may have come by an I-CSCF.
        let contact = self.message.address(Name::Contact).ok();
        let contact = contact.and_then(|contact| contact.parse_uri().ok()?.host.ip());
        let source = self.flow.remote.ip();
        paths.filter_map(|path| NameAddr::parse(path)?.parse_uri().ok()).any(|path| {
            let is_there = path.host.ip().is_some_and(|host| host == source || contact == Some(host));
            asserted.iter().any(|proxy| {
                let is_no_user = proxy.user.is_none() || proxy.user == path.user;
                is_no_user && (is_there || proxy.host.is(path.host))
            })
        })
    }
}

/// Where the NOTIFYs of the dialog go that this SUBSCRIBE makes: over the first hop of its route set, and only to a
/// CSCF of ours.
pub(crate) fn peer(subscribe: &Message, local: SocketAddr, config: &Config) -> Result<Peer, Refusal> {
    let first = subscribe.values(Name::RecordRoute).next();
    let first = first.or_else(|| subscribe.values(Name::Contact).next()).and_then(NameAddr::parse);
    let hop = first.and_then(|hop| NextHop::of(&hop.parse_uri().ok()?).ok());
    let hop = hop.ok_or(Refusal::RouteUnusable)?;
    let address = hop.host.ip().filter(|address| config.trusted_peers.contains(address));
    let address = address.ok_or(Refusal::RouteUnusable)?;
    if hop.transport == Some(Transport::Tls) {
        return Err(Refusal::RouteUnusable);
    }
    let remote = SocketAddr::new(address, hop.port.unwrap_or(5060));
    Ok(Peer { local, remote, transport: hop.transport })
}

fn check(message: &Message, config: &Config) -> Result<(), Refusal> {
    if !OptionTags::of(message, Name::Require).is_empty() {
        return Err(Refusal::BadExtension);
    }
    if event_package(message).is_none_or(|package| !package.eq_ignore_ascii_case(reginfo::PACKAGE)) {
        return Err(Refusal::BadEvent);
    }
    if !accepts_reginfo(message) {
        return Err(Refusal::NotAcceptable);
    }
    // The Service-Route we gave is consumed here: we are the end of the way.
    let foreign = message
        .addresses(Name::Route)
        .any(|route| route.and_then(|route| route.parse_uri()).map_or(true, |uri| !is_own(&uri, config)));
    if foreign { Err(Refusal::RouteForeign) } else { Ok(()) }
}

/// The package's default type is meant when there is no Accept (RFC 6665).
fn accepts_reginfo(message: &Message) -> bool {
    let mut values = message.values(Name::Accept).peekable();
    values.peek().is_none()
        || values.any(|value| {
            let range = value.split(';').next().unwrap_or_default().trim();
            [reginfo::MIME, "application/*", "*/*"].iter().any(|ours| ours.eq_ignore_ascii_case(range))
        })
}

fn is_own(uri: &Uri<'_>, config: &Config) -> bool {
    Uri::parse(config.server_name.as_str())
        .is_ok_and(|own| own.host.is(uri.host) && own.port.unwrap_or(5060) == uri.port.unwrap_or(5060))
}

fn expires(message: &Message, config: &Config) -> Result<u32, Refusal> {
    match message.expires().unwrap_or(reginfo::DEFAULT_EXPIRES) {
        brief if brief > 0 && brief < BRIEF && brief < config.min_subscription => {
            Err(Refusal::SubscriptionTooBrief)
        }
        expires => Ok(expires.min(config.max_subscription)),
    }
}

fn place(message: &Message) -> Result<Place, Refusal> {
    let to = message.to().map_err(|_| Refusal::SubscribeMalformed)?;
    if let Some(tag) = to.tag() {
        return SubscriptionId::of_tag(tag).map(Place::Inside).ok_or(Refusal::DialogUnknown);
    }
    //= TS 24.229 5.4.2.1.1
    let uri = Uri::parse(message.request_uri().unwrap_or_default());
    let uri = uri.map_err(|_| Refusal::SubscribeMalformed)?;
    Impu::new(&uri.identity()).map(Place::Outside).map_err(|_| Refusal::SubscribeMalformed)
}
