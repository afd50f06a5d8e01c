//! The registered users, found by either identity.

use crate::binding::Binding;
use crate::register::Wish;
use aka::{Impi, Impu};
use cx::{Anonymity, FilterCriteria, IdentityType, UserData};
use sip::Instant;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// One private identity's registration.
#[derive(Debug)]
pub(crate) struct Registration {
    /// The identity that was registered explicitly.
    pub(crate) impu: Impu,
    pub(crate) identities: Identities,
    /// Never empty; one for each flow or device, few.
    pub(crate) bindings: Vec<Binding>,
    pub(crate) backup: Backup,
}

/// What the HSS keeps of a registration.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backup {
    /// The fingerprint of what it has.
    pub(crate) stored: Option<u64>,
    /// When it will be told of a change.
    pub(crate) due: Option<Instant>,
    /// It is being told now.
    pub(crate) asking: bool,
}

/// What the profile makes of a user.
#[derive(Debug, Clone)]
pub(crate) struct Identities {
    /// The implicit registration set, barred identities included.
    pub(crate) set: Vec<Impu>,
    /// The set without barred identities and wildcards, default first.
    pub(crate) associated: Vec<Impu>,
    /// For whoever triggers services: kept, and shown to the operator.
    pub(crate) criteria: Arc<[FilterCriteria]>,
    /// What the subscription adds to Privacy.
    pub(crate) anonymity: Anonymity,
}

impl Identities {
    pub(crate) fn new(profile: &UserData) -> Self {
        //= TS 24.229 5.4.1.2.2
        let usable =
            profile.identities().filter(|found| !found.barred && found.kind == IdentityType::DistinctUser);
        let criteria = profile.profiles.iter().flat_map(|one| one.filter_criteria.iter().cloned());
        Self {
            set: once(profile.identities().map(|found| &found.identity)),
            associated: once(usable.map(|found| &found.identity)),
            criteria: criteria.collect(),
            anonymity: profile.profiles.iter().fold(Anonymity::default(), |all, one| all.or(one.anonymity)),
        }
    }

    /// The set holds this identity too: it is the one that was registered.
    pub(crate) fn with(mut self, impu: &Impu) -> Self {
        if !self.set.contains(impu) {
            self.set.push(impu.clone());
        }
        self
    }
}

/// A registered user, as the operator may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredUser {
    pub impi: Impi,
    pub associated: Vec<Impu>,
    /// The filter criteria of its profile.
    pub criteria: Arc<[FilterCriteria]>,
    pub contacts: Vec<RegisteredContact>,
}

/// One contact of a registered user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredContact {
    /// `<uri>;param=value`
    pub contact: String,
    /// Path as received: the Route of terminating requests.
    pub path: Vec<String>,
    /// Time left of what the UE was told.
    pub remaining: Duration,
}

/// A public identity as reginfo names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Aor {
    /// Stays while anybody has the identity registered.
    pub(crate) number: u64,
    pub(crate) impu: Impu,
}

/// Who has registered an identity; more than one for a shared identity.
#[derive(Debug)]
struct Owners {
    number: u64,
    impis: Vec<Impi>,
}

/// All registrations.
#[derive(Debug, Default)]
pub(crate) struct Registrar {
    users: HashMap<Impi, Registration>,
    owners: HashMap<Impu, Owners>,
    last_number: u64,
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
        self.users.get(impi).is_some_and(|user| user.identities.set.contains(impu))
    }

    /// The private identities that have registered this public one.
    pub(crate) fn owners(&self, impu: &Impu) -> impl Iterator<Item = (&Impi, &Registration)> {
        let impis = self.owners.get(impu).map(|owners| owners.impis.as_slice()).unwrap_or_default();
        impis.iter().filter_map(|impi| Some((impi, self.users.get(impi)?)))
    }

    /// A number for a new binding or identity.
    pub(crate) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Replaces what the private identity had.
    pub(crate) fn insert(&mut self, impi: Impi, registration: Registration) {
        for impu in &registration.identities.set {
            if !self.holds(&impi, impu) {
                let number = self.number();
                let owners = Owners { number, impis: Vec::new() };
                self.owners.entry(impu.clone()).or_insert(owners).impis.push(impi.clone());
            }
        }
        let set = registration.identities.set.clone();
        if let Some(old) = self.users.insert(impi.clone(), registration) {
            self.disown(&impi, old.identities.set.iter().filter(|impu| !set.contains(impu)));
        }
    }

    pub(crate) fn remove(&mut self, impi: &Impi) -> Option<Registration> {
        let registration = self.users.remove(impi)?;
        self.disown(impi, registration.identities.set.iter());
        Some(registration)
    }

    fn disown<'a>(&mut self, impi: &Impi, set: impl Iterator<Item = &'a Impu>) {
        for impu in set {
            if let Some(owners) = self.owners.get_mut(impu) {
                owners.impis.retain(|owner| owner != impi);
                if owners.impis.is_empty() {
                    self.owners.remove(impu);
                }
            }
        }
    }

    /// The identity as reginfo names it, while it is registered.
    pub(crate) fn aor(&self, impu: &Impu) -> Option<Aor> {
        self.owners.get(impu).map(|owners| Aor { number: owners.number, impu: impu.clone() })
    }

    /// The identities a user is told, as reginfo names them.
    pub(crate) fn aors(&self, impi: &Impi) -> Vec<Aor> {
        let associated = self.users.get(impi).into_iter().flat_map(|user| &user.identities.associated);
        associated.filter_map(|impu| self.aor(impu)).collect()
    }

    /// The identities whose subscribers see the user's contacts: those of its set, and through a shared identity
    /// those of the others' sets.
    pub(crate) fn audience(&self, impi: &Impi) -> BTreeSet<Impu> {
        let own = self.users.get(impi).into_iter().flat_map(|user| &user.identities.associated);
        let owners = own.flat_map(|impu| self.owners(impu));
        owners.flat_map(|(_, user)| user.identities.associated.iter().cloned()).collect()
    }

    /// The Contact values of an identity, each with the seconds left.
    pub(crate) fn contacts(&self, impu: &Impu, now: Instant) -> Vec<String> {
        let bindings = self.owners(impu).flat_map(|(_, user)| &user.bindings);
        bindings.map(|binding| format!("{};expires={}", binding.contact, binding.seconds_left(now))).collect()
    }

    pub(crate) fn list(&self, now: Instant) -> impl Iterator<Item = RegisteredUser> {
        self.users.iter().map(move |(impi, user)| user.listed(impi, now))
    }

    pub(crate) fn listed(&self, impi: &Impi, now: Instant) -> Option<RegisteredUser> {
        self.users.get(impi).map(|user| user.listed(impi, now))
    }
}

impl Registration {
    /// The bindings a REGISTER with this wish replaces, prolongs or removes.
    pub(crate) fn touched<'a>(&'a self, wish: &'a Wish) -> impl Iterator<Item = &'a Binding> {
        self.bindings.iter().filter(move |binding| match wish {
            Wish::Bind(contact) => binding.yields_to(contact),
            Wish::Unbind(Some(uri)) => binding.is_to(uri),
            Wish::Unbind(None) => true,
            Wish::Query => false,
        })
    }

    fn listed(&self, impi: &Impi, now: Instant) -> RegisteredUser {
        let contacts = self.bindings.iter().map(|binding| RegisteredContact {
            contact: binding.contact.clone(),
            path: binding.path.clone(),
            remaining: binding.until - now,
        });
        let Identities { associated, criteria, .. } = self.identities.clone();
        RegisteredUser { impi: impi.clone(), associated, criteria, contacts: contacts.collect() }
    }

    pub(crate) fn binding(&self, number: u64) -> Option<&Binding> {
        self.bindings.iter().find(|binding| binding.number == number)
    }
}

/// Without repetitions, in the order of the first ones.
fn once<'a>(identities: impl Iterator<Item = &'a Impu>) -> Vec<Impu> {
    let mut seen = BTreeSet::new();
    identities.filter(|impu| seen.insert(*impu)).cloned().collect()
}
