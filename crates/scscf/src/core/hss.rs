//! What the HSS asks of its own accord: the end of registrations (RTR) and another profile (PPR).

use super::notify::Notice;
use super::{Deregistration, Event, Initiator, Output, Pending, Removal, Scscf, SubscriptionEnd};
use crate::registrar::{Identities, Registration};
use aka::{Impi, Impu};
use cx::{
    Answer, BaseCode, CxFailure, ExperimentalCode, PushProfileRequest, ReasonCode, RegistrationTermination,
    RegistrationTerminationRequest, Request, ServerAssignmentType,
};
use sip::Instant;
use sip::reginfo::ContactEvent;
use std::collections::BTreeSet;

/// Names a request of the HSS until its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CxRequestId(pub u64);

impl Scscf {
    pub(super) fn cx_request(&mut self, now: Instant, id: CxRequestId, request: Request) {
        let answer = match request {
            Request::Rtr(rtr) => Answer::Rta(self.terminate(now, &rtr)),
            Request::Ppr(ppr) => Answer::Ppa(self.take_profile(now, &ppr)),
            other => other.refused(BaseCode::CommandUnsupported),
        };
        self.outputs.push_back(Output::CxAnswer { id, answer });
    }

    //= TS 29.228 6.1.3.1
    fn terminate(
        &mut self,
        now: Instant,
        rtr: &RegistrationTerminationRequest,
    ) -> Result<RegistrationTermination, CxFailure> {
        let named: BTreeSet<&Impi> = rtr.associated.iter().chain([&rtr.impi]).collect();
        let meant = |impu: &Impu| rtr.impus.is_empty() || rtr.impus.contains(impu);
        let registered: Vec<&Impi> = named
            .iter()
            .copied()
            .filter(|impi| {
                self.registrar.user(impi).is_some_and(|user| user.identities.set.iter().any(meant))
            })
            .collect();
        let begun: Vec<&Impi> =
            named.iter().copied().filter(|impi| self.has_begun(impi).is_some_and(meant)).collect();
        if registered.is_empty() && begun.is_empty() {
            return Err(ExperimentalCode::UserUnknown.into());
        }
        //= TS 29.228 6.1.3.1: REMOVE_S-CSCF is for users who are not registered
        if rtr.reason == ReasonCode::RemoveScscf && !registered.is_empty() {
            return Err(BaseCode::UnableToComply.into());
        }
        let associated = self.sharing(&registered, &named);
        for impi in begun {
            self.end_attempts(impi, Initiator::Hss);
            self.vectors.forget(impi);
        }
        for impi in registered {
            match rtr.reason {
                ReasonCode::PermanentTermination => {
                    self.remove_user(now, impi, Removal::Rejected, Initiator::Hss);
                }
                ReasonCode::ServerChange => {
                    self.remove_user(now, impi, Removal::Deactivated, Initiator::Hss);
                }
                ReasonCode::NewServerAssigned | ReasonCode::RemoveScscf => self.forget(now, impi),
            }
        }
        Ok(RegistrationTermination { associated })
    }

    /// The public identity this private one is being authenticated or registered for.
    fn has_begun(&self, impi: &Impi) -> Option<&Impu> {
        if let Some(attempt) = self.attempts.get(impi) {
            return Some(&attempt.impu);
        }
        self.pending.values().find_map(|pending| match pending {
            Pending::Register { register, cancelled: None, .. } if register.impi == *impi => {
                Some(&register.impu)
            }
            _ => None,
        })
    }

    /// Other private identities that have a public identity of these registered.
    fn sharing(&self, ended: &[&Impi], named: &BTreeSet<&Impi>) -> Vec<Impi> {
        let users = ended.iter().filter_map(|impi| self.registrar.user(impi));
        let owners = users.flat_map(|user| &user.identities.set).flat_map(|impu| self.registrar.owners(impu));
        let others: BTreeSet<&Impi> =
            owners.map(|(impi, _)| impi).filter(|impi| !named.contains(impi)).collect();
        others.into_iter().cloned().collect()
    }

    /// Another S-CSCF serves the user, and speaks for the network from now on: nobody hears anything from here.
    fn forget(&mut self, now: Instant, impi: &Impi) {
        let Some(impu) = self.registrar.user(impi).map(|user| user.impu.clone()) else { return };
        self.end_attempts(impi, Initiator::Hss);
        let notice = self.unbind(impi, |_| true, ContactEvent::Deactivated, None);
        for id in self.subscriptions.of(&notice.audience) {
            let watched = self.subscriptions.get(id).map(|one| one.impu.clone());
            if watched.is_some_and(|impu| self.registrar.is_registered(&impu)) {
                if let Some(subscription) = self.subscriptions.get_mut(id) {
                    subscription.tell_all();
                }
                self.notify(now, id);
            } else {
                self.drop_subscription(id, SubscriptionEnd::Moved);
            }
        }
        self.event(Event::Deregistered { impi: impi.clone(), impu, cause: Deregistration::Moved });
    }

    /// The HSS has taken the registration that it had ended before: it must not stay there, with nobody here.
    pub(super) fn undo(&mut self, impi: &Impi, impu: &Impu) {
        let again = self.pending.values().any(
            |pending| matches!(pending, Pending::Register { register: other, .. } if other.impi == *impi),
        );
        if !again && self.registrar.user(impi).is_none() {
            let kind = ServerAssignmentType::AdministrativeDeregistration;
            let request = self.assignment(kind, impi, impu);
            self.ask(Request::Sar(request), Pending::Report);
        }
    }

    //= TS 29.228 6.2.2.1, 6.6.2
    fn take_profile(&mut self, now: Instant, ppr: &PushProfileRequest) -> Result<(), CxFailure> {
        let user = self.registrar.user(&ppr.impi).ok_or(ExperimentalCode::UserUnknown)?;
        // Without User-Data it is about charging or passwords, of which nothing is kept here.
        let Some(profile) = &ppr.user_data else { return Ok(()) };
        if !self.config.limits.allows(profile) {
            return Err(ExperimentalCode::TooMuchData.into());
        }
        let identities = Identities::new(profile);
        let set = &user.identities.set;
        if !identities.set.iter().any(|impu| set.contains(impu)) {
            return Err(ExperimentalCode::NotSupportedUserData.into());
        }
        // One set has one profile, whoever of those that share it is named.
        let same = self.registrar.owners(&user.impu).filter(|(_, other)| other.identities.set == *set);
        let sharing: Vec<Impi> = same.map(|(impi, _)| impi.clone()).collect();
        for impi in sharing {
            self.replace_profile(now, &impi, &identities);
        }
        Ok(())
    }

    fn replace_profile(&mut self, now: Instant, impi: &Impi, identities: &Identities) {
        let Some(default) = identities.associated.first() else {
            // Nobody can be reached any more. The HSS has changed the profile, not the state.
            self.remove_user(now, impi, Removal::Rejected, Initiator::Operator);
            return;
        };
        let mut audience = self.registrar.audience(impi);
        let Some(user) = self.registrar.user_mut(impi) else { return };
        let told = user.identities.associated != identities.associated;
        let impu = if identities.set.contains(&user.impu) { &user.impu } else { default }.clone();
        let (bindings, backup) = (std::mem::take(&mut user.bindings), user.backup);
        let registration = Registration { impu, identities: identities.clone(), bindings, backup };
        self.registrar.insert(impi.clone(), registration);
        audience.append(&mut self.registrar.audience(impi));
        self.event(Event::ProfileReplaced { impi: impi.clone() });
        //= TS 24.229 5.4.2.1.2: what the set is now, as a whole
        self.tell(now, &Notice { audience, news: Vec::new(), full: told });
    }
}
