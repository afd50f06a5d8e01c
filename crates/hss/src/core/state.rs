//! The registration state of every public identity (TS 29.228 clause 6).

use std::collections::HashMap;

use aka::{Impi, Impu};
use cx::ServerName;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    NotRegistered,
    Unregistered,
    Registered,
}

/// An identity nobody has an entry for is not registered, with no S-CSCF.
#[derive(Debug, Default)]
pub(super) struct Registrations(HashMap<Impu, Registration>);

/// Two private identities may share a public one: each registers, and is challenged, for itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Registration {
    server_name: Option<ServerName>,
    registered: Vec<Impi>,
    unregistered: bool,
    /// The authentication-pending flags.
    pending: Vec<Impi>,
}

impl Registration {
    fn status(&self) -> Status {
        if !self.registered.is_empty() {
            Status::Registered
        } else if self.unregistered {
            Status::Unregistered
        } else {
            Status::NotRegistered
        }
    }

    /// An S-CSCF name means something only with a state or a challenge it belongs to.
    fn drop_unused_name(&mut self) {
        if self.status() == Status::NotRegistered && self.pending.is_empty() {
            self.server_name = None;
        }
    }
}

impl Registrations {
    pub(super) fn status(&self, impu: &Impu) -> Status {
        self.0.get(impu).map_or(Status::NotRegistered, Registration::status)
    }

    pub(super) fn stored_name(&self, impu: &Impu) -> Option<&ServerName> {
        self.0.get(impu)?.server_name.as_ref()
    }

    /// The S-CSCF of this identity, as far as this private identity may know: during a challenge only its own counts.
    pub(super) fn server_of(&self, impu: &Impu, impi: &Impi) -> Option<ServerName> {
        let registration = self.0.get(impu)?;
        let counts = registration.status() != Status::NotRegistered || registration.pending.contains(impi);
        registration.server_name.clone().filter(|_| counts)
    }

    pub(super) fn server_of_any<'a>(&self, set: impl Iterator<Item = &'a Impu>) -> Option<ServerName> {
        let mut served = set.filter(|impu| self.status(impu) != Status::NotRegistered);
        served.find_map(|impu| self.stored_name(impu).cloned())
    }

    /// A MAR was answered with vectors. The flag and the name cover the implicit set.
    //= TS 29.228 6.3.1
    //= TS 29.228 6.5.1.3
    pub(super) fn challenged<'a>(
        &mut self,
        set: impl Iterator<Item = &'a Impu>,
        impu: &Impu,
        impi: &Impi,
        name: &ServerName,
    ) {
        if self.status(impu) == Status::Registered && self.stored_name(impu) == Some(name) {
            return;
        }
        for impu in set {
            let registration = self.0.entry(impu.clone()).or_default();
            registration.server_name = Some(name.clone());
            if !registration.pending.contains(impi) {
                registration.pending.push(impi.clone());
            }
        }
    }

    pub(super) fn registered(&mut self, set: &[&Impu], impi: &Impi, name: &ServerName) {
        self.each(set, |registration| {
            registration.server_name = Some(name.clone());
            registration.unregistered = false;
            registration.pending.retain(|pending| pending != impi);
            if !registration.registered.contains(impi) {
                registration.registered.push(impi.clone());
            }
        });
    }

    pub(super) fn unregistered(&mut self, set: &[&Impu], name: &ServerName) {
        self.each(set, |registration| {
            registration.server_name = Some(name.clone());
            registration.registered.clear();
            registration.unregistered = true;
        });
    }

    /// With `keep_name` the S-CSCF stays assigned and keeps the profile, once the last private identity is gone.
    pub(super) fn deregistered(&mut self, set: &[&Impu], impi: &Impi, keep_name: bool) {
        self.each(set, |registration| {
            registration.registered.retain(|registered| registered != impi);
            registration.unregistered = keep_name && registration.registered.is_empty();
        });
    }

    pub(super) fn challenge_failed(&mut self, set: &[&Impu], impi: &Impi) {
        self.each(set, |registration| registration.pending.retain(|pending| pending != impi));
    }

    /// Changes every identity of a set, and forgets those about which nothing is left to say.
    fn each(&mut self, set: &[&Impu], change: impl Fn(&mut Registration)) {
        for impu in set {
            let registration = self.0.entry((*impu).clone()).or_default();
            change(registration);
            registration.drop_unused_name();
            if *registration == Registration::default() {
                self.0.remove(*impu);
            }
        }
    }
}

#[cfg(test)]
impl Registrations {
    pub(super) fn is_pending(&self, impu: &Impu, impi: &Impi) -> bool {
        self.0.get(impu).is_some_and(|registration| registration.pending.contains(impi))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
