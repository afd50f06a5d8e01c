//! One contact of a user: where it is reached, over which proxies, and for how long.

use crate::register::{Contact, OutboundFlow};
use sip::reginfo::ContactEvent;
use sip::{Instant, Message, Name, NameAddr, Uri};
use std::time::Duration;

/// Where a user is reached.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    /// Names it in reginfo; never given twice.
    pub(crate) number: u64,
    /// `<uri>;param=value`
    pub(crate) contact: String,
    /// +sip.instance
    pub(crate) instance: Option<String>,
    /// Set where the UE holds several flows (RFC 5626).
    pub(crate) flow: Option<OutboundFlow>,
    /// The Route of terminating requests, top first.
    pub(crate) path: Vec<String>,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    /// Seconds the UE was given.
    pub(crate) granted: u32,
    /// What the UE was told.
    pub(crate) until: Instant,
    /// When it ends here.
    pub(crate) ends: Instant,
    /// What happened to it last.
    pub(crate) event: ContactEvent,
    /// The network wants this contact authenticated again.
    pub(crate) demand: Option<Demand>,
}

/// A re-authentication the network wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Seconds the UE has.
    pub(crate) expires: u32,
    /// How often it is repeated before silence ends the contact.
    pub(crate) repeats: u8,
}

impl Binding {
    pub(crate) fn new(
        number: u64,
        now: Instant,
        contact: &Contact,
        message: &Message,
        margin: Duration,
    ) -> Self {
        let until = now + Duration::from_secs(contact.expires.into());
        Self {
            number,
            contact: contact.value.clone(),
            instance: contact.instance.clone(),
            flow: contact.flow.clone(),
            path: message.values(Name::Path).map(str::to_owned).collect(),
            call_id: message.call_id().to_owned(),
            cseq: message.cseq().map_or(0, |cseq| cseq.number),
            granted: contact.expires,
            until,
            ends: until + margin,
            event: ContactEvent::Registered,
            demand: None,
        }
    }

    /// The contact's URI alone.
    pub(crate) fn uri(&self) -> &str {
        NameAddr::parse(&self.contact).map_or("", |contact| contact.uri)
    }

    /// Whether the binding is to this contact URI (RFC 3261 19.1.4).
    pub(crate) fn is_to(&self, uri: &str) -> bool {
        match (Uri::parse(self.uri()), Uri::parse(uri)) {
            (Ok(bound), Ok(uri)) => bound.equals(&uri),
            _ => false,
        }
    }

    /// Whether this contact only prolongs the binding.
    pub(crate) fn is_same(&self, contact: &Contact) -> bool {
        self.flow == contact.flow && self.is_to(contact.uri())
    }

    /// Whether the binding goes when this contact of the same private identity comes.
    //= TS 24.229 5.4.1.2.2F
    pub(crate) fn yields_to(&self, contact: &Contact) -> bool {
        match (&self.flow, &contact.flow) {
            (Some(old), Some(new)) => old == new,
            (None, None) => true,
            // A device that changes between one contact and several flows leaves nothing behind.
            (Some(_), None) => self.instance.is_some() && self.instance == contact.instance,
            (None, Some(_)) => {
                self.instance.is_some() && self.instance == contact.instance || self.is_to(contact.uri())
            }
        }
    }

    /// The preference of the UE, 0 to 1.
    //= RFC 3261 20.10
    pub(crate) fn q(&self) -> f32 {
        let text = NameAddr::parse(&self.contact).and_then(|contact| contact.params.value("q"));
        let value =
            text.and_then(|text| text.parse::<f32>().ok()).filter(|value| (0.0..=1.0).contains(value));
        value.unwrap_or(1.0)
    }

    /// When it was made or prolonged.
    pub(crate) fn since(&self) -> Duration {
        (self.until - Instant::ZERO).saturating_sub(Duration::from_secs(self.granted.into()))
    }

    /// Seconds left of what the UE was told.
    pub(crate) fn seconds_left(&self, now: Instant) -> u32 {
        u32::try_from((self.until - now).as_secs()).unwrap_or(u32::MAX)
    }
}
