//! Carrying a decision out, and going on when the HSS has answered.

use super::decide::Step;
use super::lifetime::SPENT;
use super::restore::Waiting;
use super::{CxId, Deregistration, Event, Initiator, Pending, Scscf};
use crate::binding::Binding;
use crate::challenge::{Attempt, Challenge, State};
use crate::register::Register;
use crate::registrar::Identities;
use crate::{Refusal, answer, restoration};
use aka::{AuthVector, Auts, Impi, Rand};
use cx::{
    Answer, AuthScheme, BaseCode, CxFailure, ExperimentalCode, LinkError, MultimediaAuthRequest,
    ServerAssignment, ServerAssignmentType,
};
use sip::Instant;
use sip::reginfo::ContactEvent;

impl Scscf {
    pub(super) fn register(&mut self, now: Instant, mut register: Register) {
        match self.decide(&register) {
            Step::Refuse(refusal) => {
                if refusal.is_authentication_failure() {
                    self.authentication_failed(now, &register.impi);
                }
                self.refuse(now, &register, refusal);
            }
            Step::Challenge => self.begin_challenge(now, register, None),
            Step::Resynchronise(rand, auts) => self.begin_challenge(now, register, Some((rand, auts))),
            Step::Register => {
                register.authentication_info = self.authentication_info(&register);
                self.spend(now, &register.impi);
                let known = self.registrar.holds(&register.impi, &register.impu);
                let kind = if known {
                    ServerAssignmentType::ReRegistration
                } else {
                    ServerAssignmentType::Registration
                };
                let mut request = self.assignment(kind, &register.impi, &register.impu);
                request.restoration =
                    register.contact().and_then(|contact| self.backup_with(now, &register, contact));
                let backup = request.restoration.as_ref().map(restoration::fingerprint);
                self.ask(cx::Request::Sar(request), Pending::Register { register, cancelled: None, backup });
            }
            Step::Restore => {
                let (impi, impu) = (register.impi.clone(), register.impu.clone());
                self.ask_what_was(Some(impi), &impu, Waiting::Register(register));
            }
            Step::Refresh => self.refresh(now, register),
            Step::Deregister => {
                self.spend(now, &register.impi);
                if self.leaves_others(&register) {
                    return self.removed(now, &register);
                }
                let kind = ServerAssignmentType::UserDeregistration;
                let request = self.assignment(kind, &register.impi, &register.impu);
                self.ask(cx::Request::Sar(request), Pending::Deregister(register));
            }
            Step::Query => self.answer_registered(now, &register),
        }
    }

    pub(super) fn cx_answer(&mut self, now: Instant, id: CxId, answer: Result<Answer, LinkError>) {
        match (self.pending.remove(&id), answer) {
            (None, _) => {}
            (Some(Pending::Vector { register, attempt, resync }), answer) => {
                let vector = match answer {
                    Ok(Answer::Maa(Ok(auth))) => self.batch_came(&register.impi, attempt, auth.vectors),
                    Ok(Answer::Maa(Err(_))) if resync => Err(Refusal::HssRefused),
                    Ok(Answer::Maa(Err(failure))) => Err(refusal_of(&failure)),
                    Ok(_) => Err(Refusal::HssFailed),
                    Err(_) => Err(Refusal::HssUnreachable),
                };
                let refused = resync && vector.as_ref().is_err_and(|refusal| *refusal == Refusal::HssRefused);
                if refused {
                    // AUTS did not verify at the HSS: the attempt is over, and the pending flag there too.
                    let kind = ServerAssignmentType::AuthenticationFailure;
                    self.report(kind, &register.impi, &register.impu);
                }
                self.vector_came(now, register, attempt, vector);
            }
            (Some(Pending::Register { register, cancelled: Some(by), .. }), answer) => {
                self.refuse(now, &register, Refusal::Superseded);
                if by == Initiator::Hss && assignment(answer).is_ok() {
                    self.undo(&register.impi, &register.impu);
                }
            }
            (Some(Pending::Register { register, backup, .. }), answer) => match assignment(answer) {
                Ok(assignment) => self.registered_at_hss(now, register, &assignment, backup),
                Err(refusal) => self.refuse(now, &register, refusal),
            },
            (Some(Pending::Deregister(register)), answer) => match assignment(answer) {
                Ok(_) => self.deregistered_at_hss(now, &register),
                Err(refusal) => self.refuse(now, &register, refusal),
            },
            (Some(Pending::Restore { impi, impu, waiting, first }), answer) => {
                self.what_was(now, (impi, &impu), waiting, first, answer);
            }
            (Some(Pending::Backup { impi, impu, fingerprint }), answer) => {
                self.back_up_answered(now, &impi, &impu, fingerprint, answer);
            }
            (Some(Pending::Report), answer) => {
                if assignment(answer).is_err() {
                    self.event(Event::ReportFailed);
                }
            }
        }
    }

    fn begin_challenge(&mut self, now: Instant, register: Register, resync: Option<(Rand, Auts)>) {
        let known = self.attempts.contains_key(&register.impi);
        let full = self.attempts.len() >= self.config.limits.challenges && !known
            || self.registrar.len() >= self.config.limits.registrations
                && self.registrar.user(&register.impi).is_none();
        if full {
            return self.refuse(now, &register, Refusal::Overloaded);
        }
        // An earlier attempt ends here: its vector is never used again, its answer never accepted.
        //= TS 33.203 6.1.2.3
        self.arm_attempt(&register.impi, None);
        self.next_attempt += 1;
        let earlier = self.attempts.get(&register.impi).map_or(0, |attempt| attempt.resyncs);
        let attempt = Attempt {
            number: self.next_attempt,
            impu: register.impu.clone(),
            call_id: register.message.call_id().to_owned(),
            resyncs: if resync.is_some() { earlier.saturating_add(1) } else { 0 },
            state: State::Fetching,
            deadline: None,
        };
        self.attempts.insert(register.impi.clone(), attempt);
        if resync.is_some() {
            self.event(Event::Resynchronising { impi: register.impi.clone() });
        }
        let number = self.next_attempt;
        if resync.is_some() {
            // Vectors the card would refuse too.
            self.vectors.forget(&register.impi);
        } else if let Some(vector) = self.vectors.take(&register.impi) {
            return self.vector_came(now, register, number, Ok(vector));
        }
        let request = MultimediaAuthRequest {
            impi: register.impi.clone(),
            impu: register.impu.clone(),
            server_name: self.config.server_name.clone(),
            items: self.config.vectors_per_request.max(1),
            scheme: AuthScheme::DigestAka,
            resync,
        };
        let (attempt, resync) = (number, resync.is_some());
        self.ask(cx::Request::Mar(request), Pending::Vector { register, attempt, resync });
    }

    /// The first vector of a batch; the rest waits. More than were asked for would only age here, and those of an
    /// attempt that was replaced are older than what its successor uses.
    fn batch_came(
        &mut self,
        impi: &Impi,
        number: u64,
        vectors: Vec<AuthVector>,
    ) -> Result<AuthVector, Refusal> {
        let wanted = usize::try_from(self.config.vectors_per_request.max(1)).unwrap_or(usize::MAX);
        let mut batch = vectors.into_iter().take(wanted);
        let first = batch.next().ok_or(Refusal::HssFailed)?;
        if self.attempts.get(impi).is_some_and(|attempt| attempt.number == number) {
            self.vectors.replace(impi, batch);
        }
        Ok(first)
    }

    fn vector_came(
        &mut self,
        now: Instant,
        register: Register,
        number: u64,
        vector: Result<AuthVector, Refusal>,
    ) {
        let Some(attempt) = self.attempts.get_mut(&register.impi).filter(|attempt| attempt.number == number)
        else {
            return self.refuse(now, &register, Refusal::Superseded);
        };
        let vector = match vector {
            Ok(vector) => vector,
            Err(refusal) => {
                self.attempts.remove(&register.impi);
                return self.refuse(now, &register, refusal);
            }
        };
        // Stored before the 401 leaves: an answer can never be faster than the memory of its challenge.
        let challenge = Challenge::new(self.config.algorithm, &vector);
        let nonce = challenge.nonce.clone();
        attempt.state = State::Waiting(challenge);
        self.arm_attempt(&register.impi, Some(now + self.config.reg_await_auth));
        let tag = self.tag();
        let challenge = answer::challenge(&register.message, &self.config, &nonce, &vector, &tag);
        self.transactions.respond(now, register.id, challenge);
        self.event(Event::Challenged { impi: register.impi, impu: register.impu });
    }

    fn registered_at_hss(
        &mut self,
        now: Instant,
        register: Register,
        assignment: &ServerAssignment,
        backup: Option<u64>,
    ) {
        let Some(contact) = register.contact() else { return };
        self.restore_beside(now, &register, assignment);
        let current = self.registrar.user(&register.impi);
        let identities = match (&assignment.user_data, current) {
            (Some(profile), _) if !self.config.limits.allows(profile) => {
                return self.too_much(now, &register);
            }
            (Some(profile), _) => Identities::new(profile).with(&register.impu),
            // The HSS relied on a profile that has been replaced since by that of another set.
            (None, Some(user)) if !user.identities.set.contains(&register.impu) => {
                return self.refuse(now, &register, Refusal::Superseded);
            }
            (None, Some(user)) => user.identities.clone(),
            (None, None) => return self.refuse(now, &register, Refusal::HssFailed),
        };
        if identities.associated.is_empty() {
            return self.refuse(now, &register, Refusal::NothingAssociated);
        }
        let event = Event::Registered {
            impi: register.impi.clone(),
            impu: register.impu.clone(),
            contact: contact.value.clone(),
            expires: contact.expires,
        };
        let notice = self.bind(now, &register, contact, identities);
        self.backed_up(&register.impi, backup);
        self.answer_registered(now, &register);
        self.event(event);
        self.tell(now, &notice);
        self.back_up_later(now, &register.impi);
    }

    /// The profile is larger than what this S-CSCF holds for one user.
    //= TS 29.228 6.1.2.1
    fn too_much(&mut self, now: Instant, register: &Register) {
        let kind = ServerAssignmentType::DeregistrationTooMuchData;
        let request = self.assignment(kind, &register.impi, &register.impu);
        self.ask(cx::Request::Sar(request), Pending::Report);
        self.refuse(now, register, Refusal::ProfileTooLarge);
    }

    fn refresh(&mut self, now: Instant, register: Register) {
        let (Some(contact), Some(user)) = (register.contact(), self.registrar.user(&register.impi)) else {
            return;
        };
        let expires = contact.expires;
        let identities = user.identities.clone();
        let notice = self.bind(now, &register, contact, identities);
        self.answer_registered(now, &register);
        self.back_up_later(now, &register.impi);
        self.event(Event::Refreshed { impi: register.impi, impu: register.impu, expires });
        self.tell(now, &notice);
    }

    /// Whether contacts stay that this REGISTER does not remove: then the HSS has nothing to hear.
    fn leaves_others(&self, register: &Register) -> bool {
        let user = self.registrar.user(&register.impi);
        user.is_some_and(|user| user.touched(&register.wish).count() < user.bindings.len())
    }

    /// Some contacts go, others stay.
    fn removed(&mut self, now: Instant, register: &Register) {
        let Some(user) = self.registrar.user(&register.impi) else { return };
        let going: Vec<u64> = user.touched(&register.wish).map(|binding| binding.number).collect();
        let goes = |binding: &Binding| going.contains(&binding.number);
        let notice = self.unbind(&register.impi, goes, ContactEvent::Unregistered, None);
        self.answer_removed(now, register);
        self.event(Event::ContactRemoved { impi: register.impi.clone(), impu: register.impu.clone() });
        self.tell(now, &notice);
        self.back_up_later(now, &register.impi);
    }

    fn deregistered_at_hss(&mut self, now: Instant, register: &Register) {
        // The whole implicit set goes with one of its identities.
        //= TS 29.228 6.5.1.2
        let registered = self.registrar.user(&register.impi).is_some();
        let notice = self.unbind(&register.impi, |_| true, ContactEvent::Unregistered, None);
        self.answer_removed(now, register);
        // Somebody else may have ended the registration while the HSS was asked.
        if registered {
            let cause = Deregistration::User;
            self.event(Event::Deregistered {
                impi: register.impi.clone(),
                impu: register.impu.clone(),
                cause,
            });
        }
        self.tell(now, &notice);
    }

    fn answer_removed(&mut self, now: Instant, register: &Register) {
        let contacts = self.registrar.contacts(&register.impu, now);
        let tag = self.tag();
        let answer = answer::deregistered(register, &self.config, contacts, &tag);
        self.transactions.respond(now, register.id, answer);
    }

    fn answer_registered(&mut self, now: Instant, register: &Register) {
        let tag = self.tag();
        let Some(user) = self.registrar.user(&register.impi) else { return };
        let contacts = self.registrar.contacts(&register.impu, now);
        let answer = answer::registered(register, &self.config, user, contacts, &tag);
        self.transactions.respond(now, register.id, answer);
    }

    /// Made now, while the challenge still knows the password.
    fn authentication_info(&self, register: &Register) -> Option<String> {
        let State::Waiting(challenge) = &self.attempts.get(&register.impi)?.state else { return None };
        let credentials = register.credentials().filter(|_| self.config.authentication_info)?;
        challenge.authentication_info(&self.config.home_domain, &credentials)
    }

    /// The attempt is over without success; the registration, if there is one, is not touched.
    fn authentication_failed(&mut self, now: Instant, impi: &Impi) {
        let Some(impu) = self.attempts.get(impi).map(|attempt| attempt.impu.clone()) else { return };
        self.spend(now, impi);
        self.report(ServerAssignmentType::AuthenticationFailure, impi, &impu);
    }

    /// Stops reg-await-auth; from now on an answer to this challenge is refused.
    fn spend(&mut self, now: Instant, impi: &Impi) {
        let Some(attempt) = self.attempts.get_mut(impi) else { return };
        if let State::Waiting(challenge) = &mut attempt.state {
            attempt.state = State::Spent { nonce: std::mem::take(&mut challenge.nonce) };
            self.arm_attempt(impi, Some(now + SPENT));
        }
    }
}

fn assignment(answer: Result<Answer, LinkError>) -> Result<ServerAssignment, Refusal> {
    match answer {
        Ok(Answer::Saa(Ok(assignment))) => Ok(assignment),
        Ok(Answer::Saa(Err(failure))) => Err(refusal_of(&failure)),
        Ok(_) => Err(Refusal::HssFailed),
        Err(_) => Err(Refusal::HssUnreachable),
    }
}

fn refusal_of(failure: &CxFailure) -> Refusal {
    match failure {
        CxFailure::Base(BaseCode::AuthorizationRejected)
        | CxFailure::Experimental(
            ExperimentalCode::UserUnknown
            | ExperimentalCode::IdentitiesDontMatch
            | ExperimentalCode::RoamingNotAllowed
            | ExperimentalCode::AuthSchemeNotSupported,
        ) => Refusal::HssRefused,
        // Another S-CSCF has the user: the next attempt will be routed there.
        CxFailure::AlreadyRegistered { .. } => Refusal::HssUnreachable,
        _ => Refusal::HssFailed,
    }
}
