//! Keeping in the HSS what another S-CSCF would need (TS 23.380 4.2): with the SAR that is sent anyway, and a moment
//! after something else has changed.

use super::{Event, Pending, Scscf, Timer};
use crate::binding::Binding;
use crate::register::{Contact, Register};
use crate::registrar::Backup;
use crate::restoration;
use aka::{Impi, Impu};
use cx::{Answer, LinkError, Request, RestorationInfo, ServerAssignmentType};
use sip::Instant;
use std::collections::BTreeSet;

impl Scscf {
    /// What the HSS shall keep once this REGISTER has bound its contact.
    pub(super) fn backup_with(
        &self,
        now: Instant,
        register: &Register,
        contact: &Contact,
    ) -> Option<RestorationInfo> {
        // Contacts and watchers of another set go when this one is bound: nothing of theirs is kept under its name.
        let user = self.registrar.user(&register.impi);
        if user.is_some() && !self.registrar.holds(&register.impi, &register.impu) {
            self.config.restoration?;
            let new = Binding::new(0, now, contact, &register.message, self.config.expiry_margin);
            return Some(restoration::write(&register.impi, &[&new], &[], &[]));
        }
        let others = user.into_iter().flat_map(|user| &user.bindings);
        let others = others.filter(|binding| !binding.yields_to(contact));
        let new = Binding::new(0, now, contact, &register.message, self.config.expiry_margin);
        let bindings: Vec<&Binding> = others.chain([&new]).collect();
        self.written(&register.impi, &bindings)
    }

    fn backup(&self, impi: &Impi) -> Option<RestorationInfo> {
        let bindings: Vec<&Binding> = self.registrar.user(impi)?.bindings.iter().collect();
        self.written(impi, &bindings)
    }

    fn written(&self, impi: &Impi, bindings: &[&Binding]) -> Option<RestorationInfo> {
        self.config.restoration?;
        let set = self.registrar.user(impi).map(|user| user.identities.set.as_slice()).unwrap_or_default();
        let watched: BTreeSet<Impu> = set.iter().cloned().collect();
        let ids = self.subscriptions.of(&watched);
        let watching: Vec<_> = ids.iter().filter_map(|id| self.subscriptions.get(*id)).collect();
        Some(restoration::write(impi, bindings, set, &watching))
    }

    /// The HSS has taken this with a SAR of another purpose.
    pub(super) fn backed_up(&mut self, impi: &Impi, stored: Option<u64>) {
        if let (Some(user), Some(stored)) = (self.registrar.user_mut(impi), stored) {
            user.backup.stored = Some(stored);
        }
    }

    /// Something may have changed that the HSS keeps: one question soon, whatever else changes until then.
    pub(super) fn back_up_later(&mut self, now: Instant, impi: &Impi) {
        let Some(delay) = self.config.restoration else { return };
        let Some(Backup { stored, due, asking }) = self.registrar.user(impi).map(|user| user.backup) else {
            return;
        };
        let current = self.backup(impi).as_ref().map(restoration::fingerprint);
        if due.is_some() || asking || current.is_none() || current == stored {
            return;
        }
        let at = now + delay;
        if let Some(user) = self.registrar.user_mut(impi) {
            user.backup.due = Some(at);
            self.timers.insert((at, Timer::Backup(impi.clone())));
        }
    }

    /// The same for everybody who has registered this identity.
    pub(super) fn back_up_owners(&mut self, now: Instant, impu: &Impu) {
        let owners: Vec<Impi> = self.registrar.owners(impu).map(|(impi, _)| impi.clone()).collect();
        for impi in owners {
            self.back_up_later(now, &impi);
        }
    }

    //= TS 29.228 6.1.2.1: RE_REGISTRATION, with the profile known, changes nothing but what is kept
    pub(super) fn back_up(&mut self, impi: &Impi) {
        let Some(user) = self.registrar.user_mut(impi) else { return };
        user.backup.due = None;
        let (impu, before) = (user.impu.clone(), user.backup.stored);
        let Some(info) = self.backup(impi) else { return };
        let fingerprint = restoration::fingerprint(&info);
        if before == Some(fingerprint) {
            return;
        }
        if let Some(user) = self.registrar.user_mut(impi) {
            user.backup.asking = true;
        }
        let mut request = self.assignment(ServerAssignmentType::ReRegistration, impi, &impu);
        request.restoration = Some(info);
        self.ask(Request::Sar(request), Pending::Backup { impi: impi.clone(), impu, fingerprint });
    }

    pub(super) fn back_up_answered(
        &mut self,
        now: Instant,
        impi: &Impi,
        impu: &Impu,
        fingerprint: u64,
        answer: Result<Answer, LinkError>,
    ) {
        let stored = matches!(answer, Ok(Answer::Saa(Ok(_))));
        match self.registrar.user_mut(impi) {
            Some(user) => {
                user.backup.asking = false;
                if stored {
                    user.backup.stored = Some(fingerprint);
                    return self.back_up_later(now, impi);
                }
            }
            // Registered at the HSS once more, perhaps after the end that came meanwhile.
            None if stored => self.undo(impi, impu),
            None => {}
        }
        if !stored {
            self.event(Event::ReportFailed);
        }
    }
}
