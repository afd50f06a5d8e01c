//! Contacts come and go, and who watches is told.

use super::notify::Notice;
use super::{Scscf, Timer};
use crate::binding::Binding;
use crate::news::News;
use crate::register::{Contact, Register};
use crate::registrar::{Backup, Identities, Registration};
use aka::Impi;
use sip::Instant;
use sip::reginfo::ContactEvent;

impl Scscf {
    /// Binds the contact of the REGISTER in the place of those that yield to it. The notice is for after the answer.
    pub(super) fn bind(
        &mut self,
        now: Instant,
        register: &Register,
        contact: &Contact,
        identities: Identities,
    ) -> Notice {
        let impi = &register.impi;
        let (mut audience, aors) = (self.registrar.audience(impi), self.registrar.aors(impi));
        let number = self.registrar.number();
        let mut binding = Binding::new(number, now, contact, &register.message, self.config.expiry_margin);
        let (mut bindings, mut news, mut full) = (Vec::new(), Vec::new(), false);
        let mut backup = Backup::default();
        if let Some(user) = self.registrar.user_mut(impi) {
            backup = user.backup;
            full = user.identities.associated != identities.associated;
            for old in std::mem::take(&mut user.bindings) {
                if !old.yields_to(contact) {
                    bindings.push(old);
                    continue;
                }
                self.timers.remove(&(old.ends, Timer::Expiry(impi.clone(), old.number)));
                if old.is_same(contact) {
                    binding.number = old.number;
                    binding.event = ContactEvent::Refreshed;
                } else {
                    //= TS 24.229 5.4.1.2.2F
                    news.push(News::new(&old, ContactEvent::Deactivated, &user.impu, aors.clone()));
                }
            }
        }
        self.timers.insert((binding.ends, Timer::Expiry(impi.clone(), binding.number)));
        let told = binding.clone();
        bindings.push(binding);
        let registration = Registration { impu: register.impu.clone(), identities, bindings, backup };
        self.registrar.insert(impi.clone(), registration);
        audience.append(&mut self.registrar.audience(impi));
        news.push(News::new(&told, told.event, &register.impu, self.registrar.aors(impi)));
        Notice { audience, news, full }
    }

    /// Takes bindings away, and the registration with the last of them.
    pub(super) fn unbind(
        &mut self,
        impi: &Impi,
        goes: impl Fn(&Binding) -> bool,
        event: ContactEvent,
        retry_after: Option<u32>,
    ) -> Notice {
        let (audience, aors) = (self.registrar.audience(impi), self.registrar.aors(impi));
        let Some(user) = self.registrar.user_mut(impi) else { return Notice::default() };
        let mut news = Vec::new();
        for binding in user.bindings.extract_if(.., |binding| goes(binding)) {
            self.timers.remove(&(binding.ends, Timer::Expiry(impi.clone(), binding.number)));
            news.push(News::new(&binding, event, &user.impu, aors.clone()).with_retry_after(retry_after));
        }
        if user.bindings.is_empty() {
            let due = self.registrar.remove(impi).and_then(|gone| gone.backup.due);
            if let Some(at) = due {
                self.timers.remove(&(at, Timer::Backup(impi.clone())));
            }
            self.vectors.forget(impi);
        }
        Notice { audience, news, full: false }
    }
}
