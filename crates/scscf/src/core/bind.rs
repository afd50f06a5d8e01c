//! Contacts come and go, and who watches is told.

use super::notify::Notice;
use super::{Deregistration, Event, Pending, Scscf, Timer};
use crate::binding::Binding;
use crate::news::News;
use crate::register::{Contact, Register};
use crate::registrar::{Backup, Identities, Registration};
use aka::Impi;
use cx::{Request, ServerAssignmentType};
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
        self.leave_other_set(now, impi, &identities);
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

    /// A private identity has one implicit set registered at a time. Who watched another one, perhaps that of a name
    /// which must not be seen beside this one, hears of its end and of nothing else.
    fn leave_other_set(&mut self, now: Instant, impi: &Impi, identities: &Identities) {
        let Some(user) = self.registrar.user(impi) else { return };
        if user.identities.set.iter().any(|impu| identities.set.contains(impu)) {
            return;
        }
        let impu = user.impu.clone();
        let request = self.assignment(ServerAssignmentType::UserDeregistration, impi, &impu);
        self.ask(Request::Sar(request), Pending::Report);
        let notice = self.unbind(impi, |_| true, ContactEvent::Unregistered, None);
        self.event(Event::Deregistered { impi: impi.clone(), impu, cause: Deregistration::User });
        self.tell(now, &notice);
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
