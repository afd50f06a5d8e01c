//! The registered users: one contact for each private identity, found by either identity.

use crate::register::Contact;
use aka::{Impi, Impu};
use cx::{IdentityType, UserData};
use sip::{Instant, NameAddr, Uri};
use std::collections::HashMap;
use std::time::Duration;

/// Where a user is reached.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    /// `<uri>;param=value`
    pub(crate) contact: String,
    /// The Route of terminating requests, top first.
    pub(crate) path: Vec<String>,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    /// What the UE was told.
    pub(crate) until: Instant,
}

/// One private identity's registration.
#[derive(Debug)]
pub(crate) struct Registration {
    /// The identity that was registered explicitly.
    pub(crate) impu: Impu,
    /// The implicit registration set, barred identities included.
    pub(crate) set: Vec<Impu>,
    /// The set without barred identities and wildcards, default first.
    pub(crate) associated: Vec<Impu>,
    pub(crate) binding: Binding,
    /// When it ends here.
    pub(crate) ends: Instant,
}

/// A registered user, as the operator may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredUser {
    pub impi: Impi,
    pub associated: Vec<Impu>,
    /// `<uri>;param=value`
    pub contact: String,
    /// Path as received: the Route of terminating requests.
    pub path: Vec<String>,
    /// Time left of what the UE was told.
    pub remaining: Duration,
}

/// All registrations.
#[derive(Debug, Default)]
pub(crate) struct Registrar {
    users: HashMap<Impi, Registration>,
    /// Who has registered an identity; more than one for a shared identity.
    owners: HashMap<Impu, Vec<Impi>>,
}

impl Registrar {
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    pub(crate) fn user(&self, impi: &Impi) -> Option<&Registration> {
        self.users.get(impi)
    }

    pub(crate) fn user_mut(&mut self, impi: &Impi) -> Option<&mut Registration> {
        self.users.get_mut(impi)
    }

    pub(crate) fn is_registered(&self, impu: &Impu) -> bool {
        self.owners.contains_key(impu)
    }

    /// Whether this private identity has registered this public one.
    pub(crate) fn holds(&self, impi: &Impi, impu: &Impu) -> bool {
        self.users.get(impi).is_some_and(|user| user.set.contains(impu))
    }

    /// A new contact replaces the old one of the same private identity.
    pub(crate) fn insert(&mut self, impi: Impi, registration: Registration) {
        self.remove(&impi);
        for impu in &registration.set {
            self.owners.entry(impu.clone()).or_default().push(impi.clone());
        }
        self.users.insert(impi, registration);
    }

    pub(crate) fn remove(&mut self, impi: &Impi) -> Option<Registration> {
        let registration = self.users.remove(impi)?;
        for impu in &registration.set {
            if let Some(owners) = self.owners.get_mut(impu) {
                owners.retain(|owner| owner != impi);
                if owners.is_empty() {
                    self.owners.remove(impu);
                }
            }
        }
        Some(registration)
    }

    /// The Contact values of an identity, each with the seconds left.
    pub(crate) fn contacts(&self, impu: &Impu, now: Instant) -> Vec<String> {
        let owners = self.owners.get(impu).into_iter().flatten();
        let bindings = owners.filter_map(|impi| self.users.get(impi)).map(|user| &user.binding);
        let left = |binding: &Binding| (binding.until - now).as_secs();
        bindings.map(|binding| format!("{};expires={}", binding.contact, left(binding))).collect()
    }

    pub(crate) fn list(&self, now: Instant) -> impl Iterator<Item = RegisteredUser> {
        self.users.iter().map(move |(impi, user)| RegisteredUser {
            impi: impi.clone(),
            associated: user.associated.clone(),
            contact: user.binding.contact.clone(),
            path: user.binding.path.clone(),
            remaining: user.binding.until - now,
        })
    }
}

impl Binding {
    /// Whether the binding is to this contact URI (RFC 3261 19.1.4).
    pub(crate) fn is_to(&self, uri: &str) -> bool {
        let bound = NameAddr::parse(&self.contact).and_then(|contact| contact.parse_uri().ok());
        match (bound, Uri::parse(uri)) {
            (Some(bound), Ok(uri)) => bound.equals(&uri),
            _ => false,
        }
    }

    pub(crate) fn new(now: Instant, contact: &Contact, message: &sip::Message, cseq: u32) -> Self {
        Self {
            contact: contact.value.clone(),
            path: message.values(sip::Name::Path).map(str::to_owned).collect(),
            call_id: message.call_id().to_owned(),
            cseq,
            until: now + Duration::from_secs(contact.expires.into()),
        }
    }
}

/// The whole set and the part a UE is told.
pub(crate) fn identities(profile: &UserData, impu: &Impu) -> (Vec<Impu>, Vec<Impu>) {
    let mut set: Vec<Impu> = profile.identities().map(|found| found.identity.clone()).collect();
    if !set.contains(impu) {
        set.push(impu.clone());
    }
    //= TS 24.229 5.4.1.2.2
    let usable =
        profile.identities().filter(|found| !found.barred && found.kind == IdentityType::DistinctUser);
    (set, usable.map(|found| found.identity.clone()).collect())
}
