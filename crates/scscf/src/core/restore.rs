//! Taking a user over whom another S-CSCF, or this one before it lost its memory, has left (TS 23.380).

use super::serve::{Inbound, Told};
use super::{Pending, Scscf, Timer};
use crate::register::Register;
use crate::registrar::{Backup, Identities, Registration};
use crate::subscribe::Subscribe;
use crate::{Event, Refusal, restoration};
use aka::{Impi, Impu};
use cx::{
    Answer, CxFailure, ExperimentalCode, LinkError, Request, RestorationInfo, ServerAssignment,
    ServerAssignmentRequest, ServerAssignmentType,
};
use sip::{Instant, ServerId};
use std::net::SocketAddr;

/// Private identities taken over with one question.
const MOST: usize = 8;

/// What goes on once the HSS has said whom it knows.
#[derive(Debug)]
pub(super) enum Waiting {
    Register(Register),
    Subscribe(Subscribe),
    Serve(Box<Inbound>),
    /// The request that led here is answered already; this is where it came to.
    Nobody(SocketAddr),
}

impl Waiting {
    fn server(&self) -> Option<ServerId> {
        match self {
            Self::Register(register) => Some(register.id),
            Self::Subscribe(subscribe) => Some(subscribe.id),
            Self::Serve(inbound) => Some(inbound.server),
            Self::Nobody(_) => None,
        }
    }
}

impl Scscf {
    /// Asks the HSS what there is of a user who is unknown here. `impi`: `None`, whoever has the public identity.
    //= TS 29.228 6.1.2.1: NO_ASSIGNMENT, which brings the restoration information
    pub(super) fn ask_what_was(&mut self, impi: Option<Impi>, impu: &Impu, waiting: Waiting) {
        self.ask_once_more(impi, impu, waiting, true);
    }

    /// `first`: the answer may lead to further questions.
    fn ask_once_more(&mut self, impi: Option<Impi>, impu: &Impu, waiting: Waiting, first: bool) {
        let question = ServerAssignmentRequest {
            impi: impi.clone(),
            impus: vec![impu.clone()],
            server_name: self.config.server_name.clone(),
            assignment: ServerAssignmentType::NoAssignment,
            user_data_already_available: false,
            restoration: None,
        };
        self.ask(Request::Sar(question), Pending::Restore { impi, impu: impu.clone(), waiting, first });
    }

    pub(super) fn what_was(
        &mut self,
        now: Instant,
        (asked, impu): (Option<Impi>, &Impu),
        waiting: Waiting,
        first: bool,
        answer: Result<Answer, LinkError>,
    ) {
        let (mut others, told) = (Vec::new(), told(&answer, impu));
        match answer {
            Ok(Answer::Saa(Ok(assignment))) => {
                if let (Some(impi), Some(local)) = (asked.or(assignment.impi.clone()), self.local(&waiting)) {
                    others = self.restore(now, &impi, impu, &assignment, local);
                }
            }
            // Nobody serves the user, or another S-CSCF that lives.
            Ok(_) => {}
            Err(_) => return self.nothing_known(now, waiting),
        }
        // The last question carries what waits: by then everybody is there.
        if let Some(last) = others.pop().filter(|_| first) {
            if let Some(local) = self.local(&waiting) {
                for impi in others {
                    self.ask_once_more(Some(impi), impu, Waiting::Nobody(local), false);
                }
            }
            return self.ask_once_more(Some(last), impu, waiting, false);
        }
        match waiting {
            Waiting::Register(register) => self.register(now, Register { restored: true, ..register }),
            Waiting::Subscribe(subscribe) => {
                self.subscribe(now, Subscribe { restored: true, ..subscribe });
            }
            Waiting::Serve(inbound) => self.serve_again(now, Inbound { asked: Some(told), ..*inbound }),
            Waiting::Nobody(_) => {}
        }
    }

    fn nothing_known(&mut self, now: Instant, waiting: Waiting) {
        match waiting {
            Waiting::Register(register) => self.refuse(now, &register, Refusal::HssUnreachable),
            Waiting::Subscribe(subscribe) => {
                self.refuse_message(now, subscribe.id, &subscribe.message, None, Refusal::HssUnreachable);
            }
            Waiting::Serve(inbound) => {
                if self.waiting.remove(&inbound.server).is_some() {
                    let Inbound { server, request, .. } = *inbound;
                    self.refuse_message(now, server, &request, None, Refusal::HssUnreachable);
                }
            }
            Waiting::Nobody(_) => self.event(Event::ReportFailed),
        }
    }

    /// The address of ours that NOTIFYs leave from. None when nobody waits any more.
    fn local(&self, waiting: &Waiting) -> Option<SocketAddr> {
        match waiting {
            Waiting::Nobody(local) => Some(*local),
            other => self.transactions.request_flow(other.server()?).map(|flow| flow.local),
        }
    }

    /// The same from the answer to a registration: what there is of other contacts. Others who share the identity are
    /// asked for.
    pub(super) fn restore_beside(
        &mut self,
        now: Instant,
        register: &Register,
        assignment: &ServerAssignment,
    ) {
        if assignment.restoration.is_empty() || self.registrar.user(&register.impi).is_some() {
            return;
        }
        let Some(local) = self.transactions.request_flow(register.id).map(|flow| flow.local) else { return };
        for impi in self.restore(now, &register.impi, &register.impu, assignment, local) {
            self.ask_once_more(Some(impi), &register.impu, Waiting::Nobody(local), false);
        }
    }

    /// Goes on with the contacts and subscriptions of `impi`. Answers who else there is to take over: what this profile
    /// makes of them only the HSS knows.
    fn restore(
        &mut self,
        now: Instant,
        impi: &Impi,
        impu: &Impu,
        assignment: &ServerAssignment,
        local: SocketAddr,
    ) -> Vec<Impi> {
        let (own, others): (Vec<&RestorationInfo>, Vec<_>) =
            assignment.restoration.iter().take(MOST).partition(|info| info.impi == *impi);
        if let (Some(info), Some(profile)) = (own.first(), &assignment.user_data)
            && self.config.limits.allows(profile)
        {
            self.restore_user(now, info, impu, Identities::new(profile).with(impu), local);
        }
        let unknown = others.iter().filter(|info| self.registrar.user(&info.impi).is_none());
        unknown.map(|info| info.impi.clone()).collect()
    }

    fn restore_user(
        &mut self,
        now: Instant,
        info: &RestorationInfo,
        impu: &Impu,
        identities: Identities,
        local: SocketAddr,
    ) {
        let full = self.registrar.len() >= self.config.limits.registrations;
        if full || self.registrar.user(&info.impi).is_some() || identities.associated.is_empty() {
            return;
        }
        let kept: Vec<_> = info.contacts.iter().take(self.config.limits.bindings).collect();
        let mut bindings = Vec::new();
        for contact in &kept {
            let number = self.registrar.number();
            bindings.extend(restoration::binding(number, now, contact, &self.config));
        }
        let Some(ends) = bindings.iter().map(|binding| binding.ends).max() else { return };
        for binding in &bindings {
            self.timers.insert((binding.ends, Timer::Expiry(info.impi.clone(), binding.number)));
        }
        let contacts = bindings.len();
        let watched = identities.associated.first().unwrap_or(impu).clone();
        let set = identities.set.clone();
        let registration =
            Registration { impu: impu.clone(), identities, bindings, backup: Backup::default() };
        self.registrar.insert(info.impi.clone(), registration);
        let mut subscriptions = 0;
        for one in kept.iter().flat_map(|contact| [&contact.subscription, &contact.p_cscf_subscription]) {
            let Some(kept) = one else { continue };
            // Whom it watches is its To, as long as that is of the set.
            let to = sip::NameAddr::parse(&kept.to).and_then(|to| Some(to.parse_uri().ok()?.identity()));
            let to = to.and_then(|identity| set.iter().find(|impu| impu.as_str() == identity));
            let watched = to.unwrap_or(&watched);
            let read = restoration::subscription(kept, watched, ends, local, &self.config);
            let Some((id, subscription)) = read else { continue };
            let room = self.subscriptions.len() < self.config.limits.subscriptions;
            if !room || self.subscriptions.get(id).is_some() {
                continue;
            }
            self.timers.insert((subscription.until, Timer::Subscription(id)));
            self.subscriptions.insert(id, subscription);
            subscriptions += 1;
            // At once: the subscriber learns where its dialog lives now.
            self.notify(now, id);
        }
        self.event(Event::Restored { impi: info.impi.clone(), contacts, subscriptions });
        self.back_up_later(now, &info.impi);
    }
}

/// What the answer says of a user who is not registered here after it.
fn told(answer: &Result<Answer, LinkError>, impu: &Impu) -> Told {
    let nobody = match answer {
        Ok(Answer::Saa(Ok(assignment))) => {
            let profile = assignment.user_data.as_ref();
            profile.is_some_and(|profile| {
                profile.identities().any(|found| found.barred && found.identity == *impu)
            })
        }
        Ok(Answer::Saa(Err(failure))) => *failure == CxFailure::Experimental(ExperimentalCode::UserUnknown),
        Ok(_) | Err(_) => false,
    };
    if nobody { Told::Nobody } else { Told::NotRegistered }
}
