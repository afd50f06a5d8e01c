//! A call that is answered: what both sides may still say in it, and its end.

use std::time::Duration;

use rand_chacha::rand_core::Rng;
use sip::{ClientId, Dialog, DialogError, Flow, Instant, Message, Method, Name};

use super::callee::Ringing;
use super::{Session, Stage, add_offer};
use crate::core::asked::{Asked, SUPPORTED, Verdict};
use crate::core::outside::Departure;
use crate::core::{Answer, Body, CallId, CallStep, EndedBy, Failure, Ue};

#[derive(Debug)]
pub(super) struct Talking {
    pub(super) dialog: Dialog,
    pub(super) pending: Vec<Pending>,
    /// Our 2xx that the other side has not confirmed yet.
    unconfirmed: Option<Unconfirmed>,
    /// It is to end as soon as our 2xx is confirmed.
    ends: bool,
    /// The first 2xx of a call that came in is confirmed, or the call was ours.
    confirmed: bool,
}

/// A request of ours that waits for its answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) departure: Departure,
    pub(super) method: Method<'static>,
}

/// A 2xx of ours that is repeated until its ACK comes.
//= RFC 3261 13.3.1.4
#[derive(Debug)]
pub(super) struct Unconfirmed {
    pub(super) asked: Asked,
    pub(super) response: Message,
    pub(super) cseq: u32,
    pub(super) next: Instant,
    pub(super) interval: Duration,
    pub(super) gives_up: Instant,
}

/// Our BYE waits for its answer.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) dialog: Dialog,
    departure: Departure,
    pub(super) by: EndedBy,
}

/// An ACK of ours, while the 2xx may come again.
#[derive(Debug)]
pub(super) struct Confirmation {
    pub(super) client: ClientId,
    pub(super) invite: Message,
    pub(super) remote_tag: String,
    pub(super) flow: Flow,
    pub(super) ack: Message,
    pub(super) until: Instant,
}

/// More requests of ours wait for no answer in one call.
const PENDING: usize = 8;

impl Talking {
    pub(super) fn new(dialog: Dialog, pending: Vec<Pending>) -> Self {
        Self { dialog, pending, unconfirmed: None, ends: false, confirmed: true }
    }

    /// Of a call that came in and that this 2xx answers.
    pub(super) fn answered(dialog: Dialog, unconfirmed: Unconfirmed) -> Self {
        Self { unconfirmed: Some(unconfirmed), confirmed: false, ..Self::new(dialog, Vec::new()) }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.unconfirmed.as_ref().map(|one| one.next.min(one.gives_up))
    }

    /// An offer of ours waits for its answer.
    fn offers(&self) -> bool {
        self.pending.iter().any(|one| matches!(one.method, Method::Invite | Method::Update))
    }
}

impl Ue {
    fn talking(&mut self, id: CallId) -> Option<&mut Talking> {
        match self.calls.list.get_mut(&id).map(|session| &mut session.stage) {
            Some(Stage::Talking(talking)) => Some(talking),
            _ => None,
        }
    }

    /// Ends a call as its stage wants it.
    pub(super) fn hang_up(&mut self, now: Instant, id: CallId, by: EndedBy) -> Result<(), Failure> {
        match self.calls.list.get_mut(&id).map(|session| &mut session.stage) {
            None => Err(Failure::NoSuchCall),
            Some(Stage::Calling(_)) => self.take_back(now, id),
            Some(Stage::Ringing(_)) => {
                self.decline(now, id, &Verdict::new(480, "Temporarily Unavailable"));
                Ok(())
            }
            //= RFC 3261 15: who has answered a call sends no BYE before the ACK
            Some(Stage::Talking(talking)) if talking.unconfirmed.is_some() && by == EndedBy::Us => {
                talking.ends = true;
                Ok(())
            }
            Some(Stage::Talking(_)) => {
                self.leave(now, id, by);
                Ok(())
            }
            Some(Stage::Leaving(_)) => Err(Failure::NotNow("it is ending")),
        }
    }

    /// Sends BYE. Without a set for it the call ends all the same.
    fn leave(&mut self, now: Instant, id: CallId, by: EndedBy) {
        let Some(session) = self.calls.list.remove(&id) else { return };
        let Session { identity, body, stage: Stage::Talking(talking) } = session else { return };
        self.orphan(now, &talking.pending);
        let mut dialog = talking.dialog;
        match self.send_within(now, &mut dialog, Method::Bye, &identity, |_| {}) {
            Ok(departure) => {
                let stage = Stage::Leaving(Box::new(Leaving { dialog, departure, by }));
                self.calls.list.insert(id, Session { identity, body, stage });
            }
            Err(_) => self.call_step(id, CallStep::Ended { by }),
        }
    }

    /// Offers the session again, by INVITE or UPDATE.
    pub(super) fn offer_again(
        &mut self,
        now: Instant,
        id: CallId,
        method: Method<'static>,
    ) -> Result<(), Failure> {
        let session = self.calls.list.get_mut(&id).ok_or(Failure::NoSuchCall)?;
        let mut dialog = match &session.stage {
            Stage::Talking(talking) if talking.offers() || talking.unconfirmed.is_some() => {
                return Err(Failure::NotNow("an offer is under way"));
            }
            Stage::Talking(talking) => talking.dialog.clone(),
            Stage::Calling(calling) if method == Method::Update => {
                if calling.pending.iter().any(|one| one.method == Method::Update) {
                    return Err(Failure::NotNow("an offer is under way"));
                }
                let dialog = calling.negotiated().cloned();
                dialog.ok_or(Failure::NotNow("nobody rings who has answered our offer"))?
            }
            _ => return Err(Failure::NotNow("it is not answered")),
        };
        let (identity, body) = (session.identity.clone(), session.body.clone());
        let contact = self.current_contact();
        let departure = self.send_within(now, &mut dialog, method, &identity, |draft| {
            add_offer(draft, contact, &body);
        })?;
        self.wait_for(id, dialog, Pending { departure, method });
        Ok(())
    }

    /// Says something within the call, with INFO.
    pub(super) fn inform(&mut self, now: Instant, id: CallId, body: Body) -> Result<(), Failure> {
        let session = self.calls.list.get_mut(&id).ok_or(Failure::NoSuchCall)?;
        let identity = session.identity.clone();
        let Stage::Talking(talking) = &mut session.stage else {
            return Err(Failure::NotNow("it is not answered"));
        };
        if talking.pending.len() >= PENDING {
            return Err(Failure::TooMany);
        }
        let mut dialog = talking.dialog.clone();
        let departure = self.send_within(now, &mut dialog, Method::Info, &identity, |draft| {
            draft.body(body.content_type.into_string(), body.octets);
        })?;
        self.wait_for(id, dialog, Pending { departure, method: Method::Info });
        Ok(())
    }

    /// Takes note of a request that has left, and of the dialog's new count.
    fn wait_for(&mut self, id: CallId, dialog: Dialog, pending: Pending) {
        let Some(session) = self.calls.list.get_mut(&id) else { return };
        if let Some(known) = session.dialogs().find(|known| known.remote_tag == dialog.remote_tag) {
            *known = dialog;
        }
        if let Some(list) = session.pending() {
            list.push(pending);
        }
    }

    /// The final answer to a request within a call, or that there is none.
    pub(super) fn pending_answered(
        &mut self,
        now: Instant,
        client: ClientId,
        response: Result<&Message, bool>,
    ) {
        let answer = response.map_or_else(Answer::local, Answer::of);
        let mut found = None;
        for (id, session) in &mut self.calls.list {
            if let Stage::Leaving(leaving) = &session.stage
                && leaving.departure.client == client
            {
                found = Some((*id, None, leaving.by));
                break;
            }
            let Some(pending) = session.pending() else { continue };
            if let Some(at) = pending.iter().position(|one| one.departure.client == client) {
                found = Some((*id, Some(pending.remove(at)), EndedBy::Us));
                break;
            }
        }
        match found {
            None => {}
            Some((id, None, by)) => {
                self.calls.list.remove(&id);
                self.call_step(id, CallStep::Ended { by });
            }
            Some((id, Some(pending), _)) => self.changed(now, id, &pending, response.ok(), answer),
        }
    }

    fn changed(
        &mut self,
        now: Instant,
        id: CallId,
        pending: &Pending,
        response: Option<&Message>,
        answer: Answer,
    ) {
        let Pending { departure, method } = pending;
        let offered = matches!(method, Method::Invite | Method::Update);
        if let (Some(response), true) = (response.filter(|_| offered), answer.is_success()) {
            let tag = response.to().ok().and_then(|to| to.tag()).unwrap_or_default();
            let session = self.calls.list.get_mut(&id);
            let dialog = session.and_then(|one| one.dialogs().find(|dialog| dialog.remote_tag == tag));
            if let Some(dialog) = dialog {
                dialog.retarget(response);
                let dialog = dialog.clone();
                if *method == Method::Invite {
                    self.confirm(now, departure.client, &departure.message, &dialog);
                }
            }
        }
        let lost = matches!(answer.status, 408 | 481);
        if *method != Method::Prack {
            self.call_step(id, CallStep::Changed { method: *method, answer: Box::new(answer) });
        }
        if lost && self.talking(id).is_some() {
            //= RFC 3261 12.2.1.2: after 481 and 408 the dialog ends
            self.leave(now, id, EndedBy::Lost);
        }
    }

    /// An ACK of a 2xx.
    pub(in crate::core) fn acked(&mut self, now: Instant, ack: &Message) {
        let Some(id) = self.call_of(ack) else { return };
        let Some(talking) = self.talking(id) else { return };
        let number = ack.cseq().map_or(0, |cseq| cseq.number);
        if talking.unconfirmed.take_if(|one| one.cseq == number).is_none() {
            return;
        }
        self.confirmed(now, id);
    }

    /// The other side has our 2xx.
    fn confirmed(&mut self, now: Instant, id: CallId) {
        let Some(talking) = self.talking(id) else { return };
        let (first, ends) = (!talking.confirmed, talking.ends);
        talking.confirmed = true;
        if first {
            self.call_step(id, CallStep::Confirmed);
        }
        if ends {
            self.leave(now, id, EndedBy::Us);
        }
    }

    pub(super) fn talking_timeout(&mut self, now: Instant, id: CallId) {
        let timers = self.config.timers;
        let Some(talking) = self.talking(id) else { return };
        let Some(unconfirmed) = &mut talking.unconfirmed else { return };
        if unconfirmed.gives_up <= now {
            talking.unconfirmed = None;
            return self.leave(now, id, EndedBy::NoAck);
        }
        unconfirmed.interval = (unconfirmed.interval * 2).min(timers.t2);
        unconfirmed.next = now + unconfirmed.interval;
        let (asked, response) = (unconfirmed.asked.clone(), unconfirmed.response.clone());
        self.respond_to(now, &asked, response);
    }

    /// A request of the other side within a call.
    pub(in crate::core) fn asked_within(&mut self, now: Instant, asked: Asked) {
        let Some(id) = self.call_of(&asked.request) else {
            return self.answer(now, &asked, &Verdict::no_dialog(), None);
        };
        let Some(session) = self.calls.list.get_mut(&id) else { return };
        let dialog = session.dialogs().find(|dialog| dialog.owns(&asked.request));
        let verdict = match dialog.map(|dialog| dialog.take(&asked.request)) {
            Some(Ok(())) => None,
            Some(Err(DialogError::OutOfOrder)) => Some(Verdict::new(500, "Server Internal Error")),
            _ => Some(Verdict::new(400, "Bad Request")),
        };
        match (verdict, asked.request.method()) {
            (Some(verdict), _) => self.answer(now, &asked, &verdict, Some(id)),
            (None, Method::Bye) => self.hung_up(now, id, &asked),
            (None, Method::Invite) => self.reinvited(now, id, asked),
            (None, Method::Update) => self.updated(now, id, &asked),
            (None, Method::Prack) => self.pracked(now, id, &asked),
            (None, Method::Info | Method::Message) => {
                self.answer(now, &asked, &Verdict::ok(), Some(id));
            }
            (None, Method::Options) => self.answer(now, &asked, &self.abilities(), Some(id)),
            (None, _) => {
                self.answer(now, &asked, &Verdict::new(489, "Bad Event"), Some(id));
            }
        }
    }

    fn hung_up(&mut self, now: Instant, id: CallId, asked: &Asked) {
        let by = match self.calls.list.get(&id).map(|session| &session.stage) {
            // Who is called says no BYE before it has answered.
            Some(Stage::Calling(_)) | None => {
                return self.answer(now, asked, &Verdict::no_dialog(), Some(id));
            }
            Some(Stage::Leaving(leaving)) => leaving.by,
            Some(Stage::Ringing(_) | Stage::Talking(_)) => EndedBy::Peer,
        };
        self.answer(now, asked, &Verdict::ok(), Some(id));
        match self.calls.list.remove(&id).map(|session| session.stage) {
            //= RFC 3261 15.1.2: what waits for an answer in the dialog gets 487
            Some(Stage::Ringing(ringing)) => {
                self.refuse_invite(now, &ringing, &Verdict::new(487, "Request Terminated"));
            }
            Some(Stage::Talking(talking)) => self.orphan(now, &talking.pending),
            _ => {}
        }
        self.call_step(id, CallStep::Ended { by });
    }

    //= RFC 3261 14.2
    fn reinvited(&mut self, now: Instant, id: CallId, asked: Asked) {
        let wait = self.rng.next_u64() % 11;
        let verdict = match self.calls.list.get(&id).map(|session| &session.stage) {
            Some(Stage::Talking(talking)) if talking.offers() => Verdict::new(491, "Request Pending"),
            Some(Stage::Talking(_)) => return self.accept_again(now, id, asked),
            Some(Stage::Ringing(_)) => {
                Verdict::new(500, "Server Internal Error").with(Name::RetryAfter, wait.to_string())
            }
            _ => Verdict::no_dialog(),
        };
        self.answer(now, &asked, &verdict, Some(id));
    }

    fn accept_again(&mut self, now: Instant, id: CallId, asked: Asked) {
        // Whoever offers again has our last 2xx, though its ACK may be lost.
        if let Some(talking) = self.talking(id)
            && talking.unconfirmed.take().is_some()
        {
            self.confirmed(now, id);
        }
        let Some(session) = self.calls.list.get(&id) else { return };
        let Stage::Talking(talking) = &session.stage else {
            return self.answer(now, &asked, &Verdict::no_dialog(), Some(id));
        };
        let (tag, body) = (talking.dialog.local_tag.clone(), session.body.clone());
        let unconfirmed = self.accept(now, &asked, &tag, &body);
        self.received_step(&asked.request, Some(id), Some(200));
        if let Some(talking) = self.talking(id) {
            talking.unconfirmed = Some(unconfirmed);
        }
    }

    /// Sends the 2xx to an INVITE.
    pub(super) fn accept(&mut self, now: Instant, asked: &Asked, tag: &str, body: &Body) -> Unconfirmed {
        let contact = self.current_contact();
        let mut draft = self.reply(&asked.request, 200, "OK", tag);
        for route in asked.request.lines(Name::RecordRoute) {
            draft.push(Name::RecordRoute, route.to_owned());
        }
        draft.push(Name::Supported, SUPPORTED);
        add_offer(&mut draft, contact, body);
        let response = draft.finish();
        self.respond_to(now, asked, response.clone());
        let t1 = self.config.timers.t1;
        Unconfirmed {
            cseq: asked.request.cseq().map_or(0, |cseq| cseq.number),
            asked: asked.clone(),
            response,
            next: now + t1,
            interval: t1,
            gives_up: now + t1 * 64,
        }
    }

    //= RFC 3311 5.2
    fn updated(&mut self, now: Instant, id: CallId, asked: &Asked) {
        let offers = !asked.request.body().is_empty();
        let wait = self.rng.next_u64() % 11;
        let Some(session) = self.calls.list.get(&id) else { return };
        let verdict = match &session.stage {
            Stage::Talking(talking) if offers && talking.offers() => Verdict::new(491, "Request Pending"),
            Stage::Ringing(ringing) if offers && !Ringing::has_answered_offer(ringing) => {
                Verdict::new(500, "Server Internal Error").with(Name::RetryAfter, wait.to_string())
            }
            Stage::Leaving(_) => Verdict::no_dialog(),
            _ => {
                let mut verdict = Verdict::ok().with(Name::Contact, self.current_contact());
                verdict.body = offers.then(|| session.body.clone());
                verdict
            }
        };
        self.answer(now, asked, &verdict, Some(id));
    }
}
