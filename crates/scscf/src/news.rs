//! What reginfo says: one document about everything a subscriber may see, or about what changed.

use crate::binding::Binding;
use crate::registrar::{Aor, Registrar};
use aka::Impu;
use sip::Instant;
use sip::reginfo::{ContactEvent, ContactInfo, Reginfo, RegistrationInfo, RegistrationState};
use std::collections::BTreeMap;

/// Something that happened to one contact.
#[derive(Debug, Clone)]
pub(crate) struct News {
    /// The binding's number.
    pub(crate) binding: u64,
    uri: String,
    pub(crate) event: ContactEvent,
    until: Instant,
    retry_after: Option<u32>,
    /// The identity that was registered explicitly.
    explicit: Impu,
    /// The identities that are or were bound to the contact.
    aors: Vec<Aor>,
}

impl News {
    /// `aors`: taken before a registration goes.
    pub(crate) fn new(binding: &Binding, event: ContactEvent, explicit: &Impu, aors: Vec<Aor>) -> Self {
        let uri = binding.uri().to_owned();
        let explicit = explicit.clone();
        Self { binding: binding.number, uri, event, until: binding.until, retry_after: None, explicit, aors }
    }

    pub(crate) fn with_retry_after(self, retry_after: Option<u32>) -> Self {
        Self { retry_after, ..self }
    }

    fn contact(&self, now: Instant, aor: &Aor) -> ContactInfo {
        let left = u32::try_from((self.until - now).as_secs()).unwrap_or(u32::MAX);
        ContactInfo {
            id: contact_id(aor, self.binding),
            uri: self.uri.clone(),
            event: event_for(self.event, aor, &self.explicit),
            expires: self.event.is_active().then_some(left),
            retry_after: self.retry_after,
        }
    }
}

/// Ids are unique in the whole document, contacts' also across identities.
fn contact_id(aor: &Aor, binding: u64) -> String {
    format!("c{}.{binding}", aor.number)
}

/// An identity that came along with its set was created, not registered.
//= TS 24.229 5.4.2.1.2
fn event_for(event: ContactEvent, aor: &Aor, explicit: &Impu) -> ContactEvent {
    if event == ContactEvent::Registered && aor.impu != *explicit { ContactEvent::Created } else { event }
}

fn registration(aor: &Aor, state: RegistrationState, contacts: Vec<ContactInfo>) -> RegistrationInfo {
    RegistrationInfo { aor: aor.impu.as_str().to_owned(), id: format!("r{}", aor.number), state, contacts }
}

/// Everything about the sets this identity is in. One element for each identity.
pub(crate) fn everything(registrar: &Registrar, now: Instant, watched: &Impu, version: u32) -> Reginfo {
    let mut aors: Vec<Aor> = Vec::new();
    for (impi, _) in registrar.owners(watched) {
        aors.extend(registrar.aors(impi));
    }
    aors.sort();
    aors.dedup();
    let registrations = aors.iter().map(|aor| {
        let bindings = registrar.owners(&aor.impu).flat_map(|(_, user)| {
            user.bindings.iter().map(|binding| News::new(binding, binding.event, &user.impu, Vec::new()))
        });
        let contacts = bindings.map(|binding| binding.contact(now, aor)).collect();
        registration(aor, RegistrationState::Active, contacts)
    });
    Reginfo { version, full: true, registrations: registrations.collect() }
}

/// Only what changed.
pub(crate) fn changes(registrar: &Registrar, now: Instant, news: &[News], version: u32) -> Reginfo {
    let mut contacts: BTreeMap<&Aor, Vec<ContactInfo>> = BTreeMap::new();
    for one in news {
        for aor in &one.aors {
            contacts.entry(aor).or_default().push(one.contact(now, aor));
        }
    }
    let registrations = contacts.into_iter().map(|(aor, contacts)| {
        // An identity that was registered anew meanwhile has another number.
        let lives = registrar.aor(&aor.impu).is_some_and(|living| living == *aor);
        let state = if lives { RegistrationState::Active } else { RegistrationState::Terminated };
        registration(aor, state, contacts)
    });
    Reginfo { version, full: false, registrations: registrations.collect() }
}
