//! Profiles and states as JSON documents, for stores that keep texts. Keys and sequence numbers are in neither.
//!
//! What is read was written by anybody: sizes, identities and references are checked, unknown members refused, and
//! an error says whose document it is but nothing of its content.

use std::collections::HashMap;

use aka::{Impi, Impu};
use cx::{
    Anonymity, FilterCriteria, IdentityType, Origin, RestorationInfo, RestoredContact, RestoredSubscription,
    ServerCapabilities, ServerName, VisitedNetwork,
};
use serde::{Deserialize, Serialize};

use crate::state::{Holder, Registration};
use crate::{HeldIdentity, ImplicitSet, PrivateIdentity, Profile, State, StoreError, Subscription, UnixTime};

const VERSION: u32 = 1;
/// Of a document in octets: far more than the bounds of [`Subscription`] and [`State`] allow.
pub const LARGEST: usize = 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileDocument {
    version: u32,
    private: Vec<String>,
    public: Vec<HeldDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sets: Vec<SetDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capabilities: Option<CapabilitiesDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    visited_networks: Option<Vec<String>>,
    /// A word of [`Anonymity`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anonymity: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeldDocument {
    impu: String,
    #[serde(default, skip_serializing_if = "is_default")]
    barred: bool,
    /// IdentityType of TS 29.228 Annex E.
    #[serde(default, skip_serializing_if = "is_default")]
    kind: u8,
    #[serde(default, skip_serializing_if = "is_default")]
    set: u32,
    held_by: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetDocument {
    number: u32,
    filter_criteria: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    unregistered_services: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CapabilitiesDocument {
    mandatory: Vec<u32>,
    optional: Vec<u32>,
    server_names: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateDocument {
    version: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    registrations: Vec<RegistrationDocument>,
    #[serde(default, skip_serializing_if = "is_default")]
    reassignment: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    restoration: Vec<RestorationDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistrationDocument {
    impu: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<HolderDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    registered: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    unregistered: bool,
    /// With the time in seconds since 1970.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pending: Vec<(String, u64)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HolderDocument {
    name: String,
    host: String,
    realm: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RestorationDocument {
    by: String,
    impi: String,
    contacts: Vec<ContactDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactDocument {
    path: String,
    contact: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    initial_cseq: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subscription: Option<SubscriptionDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p_cscf_subscription: Option<SubscriptionDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionDocument {
    call_id: String,
    from: String,
    to: String,
    record_route: String,
    contact: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub fn write_profile(subscription: &Subscription) -> String {
    let profile = subscription.profile();
    let text = |xml: &FilterCriteria| String::from_utf8_lossy(&xml.xml).into_owned();
    let document = ProfileDocument {
        version: VERSION,
        private: subscription.private().iter().map(|one| one.impi.to_string()).collect(),
        public: profile.public.iter().map(HeldDocument::of).collect(),
        sets: profile
            .sets
            .iter()
            .map(|set| SetDocument {
                number: set.number,
                filter_criteria: set.filter_criteria.iter().map(text).collect(),
                unregistered_services: set.unregistered_services,
            })
            .collect(),
        capabilities: profile.capabilities.as_ref().map(|listed| CapabilitiesDocument {
            mandatory: listed.mandatory.clone(),
            optional: listed.optional.clone(),
            server_names: listed.server_names.iter().map(ServerName::to_string).collect(),
        }),
        visited_networks: profile.visited_networks.as_ref().map(|networks| strings(networks)),
        anonymity: Some(profile.anonymity)
            .filter(|anonymity| *anonymity != Anonymity::default())
            .map(|anonymity| anonymity.as_str().to_owned()),
    };
    serialize(&document)
}

/// `private` are the private identities with their keys, in any order: those of the document and no others.
pub fn read_profile(
    whose: &str,
    text: &str,
    private: Vec<PrivateIdentity>,
) -> Result<Subscription, StoreError> {
    let damaged = || StoreError::damaged(whose, "profile");
    let document: ProfileDocument = parse(text).ok_or_else(damaged)?;
    let mut with_keys: HashMap<Impi, PrivateIdentity> =
        private.into_iter().map(|one| (one.impi.clone(), one)).collect();
    let ordered = document.private.iter().map(|impi| with_keys.remove(&Impi::new(impi).ok()?));
    let ordered = ordered.collect::<Option<Vec<_>>>().ok_or_else(damaged)?;
    let profile = document.profile().ok_or_else(damaged)?;
    if document.version != VERSION || !with_keys.is_empty() {
        return Err(damaged());
    }
    Subscription::stored(ordered, profile).map_err(|_| damaged())
}

pub fn write_state(state: &State) -> String {
    let registrations = state.registrations.iter().map(|(impu, one)| RegistrationDocument {
        impu: impu.to_string(),
        server: one.server.as_ref().map(ServerName::to_string),
        holder: one.holder.as_ref().map(|holder| HolderDocument {
            name: holder.name.to_string(),
            host: holder.origin.host.clone(),
            realm: holder.origin.realm.clone(),
        }),
        registered: strings(&one.registered),
        unregistered: one.unregistered,
        pending: one.pending.iter().map(|(impi, since)| (impi.to_string(), since.0)).collect(),
    });
    let restoration = state.restoration.iter().map(|(by, info)| RestorationDocument {
        by: by.to_string(),
        impi: info.impi.to_string(),
        contacts: info.contacts.iter().map(ContactDocument::of).collect(),
    });
    serialize(&StateDocument {
        version: VERSION,
        registrations: registrations.collect(),
        reassignment: state.reassignment,
        restoration: restoration.collect(),
    })
}

pub fn read_state(whose: &str, text: &str) -> Result<State, StoreError> {
    parse(text).and_then(StateDocument::state).ok_or_else(|| StoreError::damaged(whose, "state"))
}

impl ProfileDocument {
    fn profile(&self) -> Option<Profile> {
        let sets = self.sets.iter().map(|set| ImplicitSet {
            number: set.number,
            filter_criteria: set
                .filter_criteria
                .iter()
                .map(|xml| FilterCriteria { xml: xml.clone().into_bytes() })
                .collect(),
            unregistered_services: set.unregistered_services,
        });
        let capabilities = match &self.capabilities {
            None => None,
            Some(listed) => Some(ServerCapabilities {
                mandatory: listed.mandatory.clone(),
                optional: listed.optional.clone(),
                server_names: all(&listed.server_names, |text| ServerName::new(text).ok())?,
            }),
        };
        let visited_networks = match &self.visited_networks {
            None => None,
            Some(networks) => Some(all(networks, |text| VisitedNetwork::new(text).ok())?),
        };
        let public = self.public.iter().map(HeldDocument::held).collect::<Option<Vec<_>>>()?;
        let anonymity = self.anonymity.as_deref().map_or(Some(Anonymity::default()), Anonymity::parse)?;
        Some(Profile { public, sets: sets.collect(), capabilities, visited_networks, anonymity })
    }
}

impl HeldDocument {
    fn of(held: &HeldIdentity) -> Self {
        Self {
            impu: held.impu.to_string(),
            barred: held.barred,
            kind: held.kind.code(),
            set: held.set,
            held_by: strings(&held.held_by),
        }
    }

    fn held(&self) -> Option<HeldIdentity> {
        Some(HeldIdentity {
            impu: canonical(&self.impu)?,
            barred: self.barred,
            kind: IdentityType::from_code(self.kind),
            set: self.set,
            held_by: all(&self.held_by, |text| Impi::new(text).ok())?,
        })
    }
}

impl StateDocument {
    fn state(self) -> Option<State> {
        let fits = self.registrations.len() <= Subscription::MOST_PUBLIC
            && self.restoration.len() <= Subscription::MOST_PRIVATE;
        if self.version != VERSION || !fits {
            return None;
        }
        let mut state = State { reassignment: self.reassignment, ..State::default() };
        for one in self.registrations {
            let (impu, registration) = one.registration()?;
            if state.get(&impu).is_some() {
                return None;
            }
            state.registrations.push((impu, registration));
        }
        for one in self.restoration {
            let (by, impi) = (ServerName::new(&one.by).ok()?, Impi::new(&one.impi).ok()?);
            if one.contacts.len() > State::MOST_CONTACTS {
                return None;
            }
            let contacts = one.contacts.into_iter().map(ContactDocument::contact).collect();
            state.restoration.push((by, RestorationInfo { impi, contacts }));
        }
        Some(state)
    }
}

impl RegistrationDocument {
    fn registration(self) -> Option<(Impu, Registration)> {
        let most = Subscription::MOST_PRIVATE;
        if self.registered.len() > most || self.pending.len() > most {
            return None;
        }
        let holder = match self.holder {
            None => None,
            Some(holder) => Some(Holder {
                name: ServerName::new(&holder.name).ok()?,
                origin: Origin { host: diameter_name(holder.host)?, realm: diameter_name(holder.realm)? },
            }),
        };
        let pending =
            self.pending.iter().map(|(impi, since)| Some((Impi::new(impi).ok()?, UnixTime(*since))));
        let registration = Registration {
            server: self.server.map(|name| ServerName::new(&name)).transpose().ok()?,
            holder,
            registered: all(&self.registered, |text| Impi::new(text).ok())?,
            unregistered: self.unregistered,
            pending: pending.collect::<Option<_>>()?,
        };
        Some((canonical(&self.impu)?, registration))
    }
}

impl ContactDocument {
    fn of(contact: &RestoredContact) -> Self {
        Self {
            path: contact.path.clone(),
            contact: contact.contact.clone(),
            initial_cseq: contact.initial_cseq,
            call_id: contact.call_id.clone(),
            subscription: contact.subscription.as_ref().map(SubscriptionDocument::of),
            p_cscf_subscription: contact.p_cscf_subscription.as_ref().map(SubscriptionDocument::of),
        }
    }

    fn contact(self) -> RestoredContact {
        RestoredContact {
            path: self.path,
            contact: self.contact,
            initial_cseq: self.initial_cseq,
            call_id: self.call_id,
            subscription: self.subscription.map(SubscriptionDocument::subscription),
            p_cscf_subscription: self.p_cscf_subscription.map(SubscriptionDocument::subscription),
        }
    }
}

impl SubscriptionDocument {
    fn of(one: &RestoredSubscription) -> Self {
        Self {
            call_id: one.call_id.clone(),
            from: one.from.clone(),
            to: one.to.clone(),
            record_route: one.record_route.clone(),
            contact: one.contact.clone(),
        }
    }

    fn subscription(self) -> RestoredSubscription {
        let Self { call_id, from, to, record_route, contact } = self;
        RestoredSubscription { call_id, from, to, record_route, contact }
    }
}

/// Another spelling of an identity would never be found again.
fn canonical(text: &str) -> Option<Impu> {
    Impu::new(text).ok().filter(|impu| impu.as_str() == text)
}

fn diameter_name(text: String) -> Option<String> {
    ((1..=255).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic())).then_some(text)
}

fn strings<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

fn all<T>(texts: &[String], read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    texts.iter().map(|text| read(text)).collect()
}

/// These documents are text, numbers and lists: writing them cannot fail.
fn serialize(document: &impl Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    if text.len() > LARGEST {
        return None;
    }
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests;
