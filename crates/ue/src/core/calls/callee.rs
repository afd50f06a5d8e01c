//! A call of somebody else until we answer it.

use std::time::Duration;

use rand_chacha::rand_core::Rng;
use sip::{Dialog, Instant, Message, Method, Name, OptionTags, ServerId};

use super::talk::Talking;
use super::{CALLS, Session, Stage};
use crate::core::asked::{ALLOW, Asked, SUPPORTED, Verdict};
use crate::core::command::in_brackets;
use crate::core::{Body, CallAnswer, CallId, CallStep, EndedBy, Identity, Ue};

/// An INVITE that we have not answered.
#[derive(Debug)]
pub(super) struct Ringing {
    pub(super) asked: Asked,
    pub(super) dialog: Dialog,
    /// When to say that it rings.
    ring_at: Option<Instant>,
    /// When to answer; kept while a provisional answer waits for its PRACK.
    answer_at: Option<Instant>,
    /// The caller takes provisional answers reliably.
    reliable: bool,
    provisional: Option<Provisional>,
}

/// A provisional answer that is repeated until its PRACK comes.
#[derive(Debug)]
struct Provisional {
    rseq: u32,
    confirmed: bool,
    response: Message,
    next: Instant,
    interval: Duration,
    gives_up: Instant,
}

impl Ringing {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self.provisional.as_ref().filter(|one| !one.confirmed) {
            Some(unconfirmed) => Some(unconfirmed.next.min(unconfirmed.gives_up)),
            None => [self.ring_at, self.answer_at].into_iter().flatten().min(),
        }
    }

    /// Our answer to the caller's offer is with the caller: it was in a provisional answer that is confirmed.
    pub(super) fn has_answered_offer(&self) -> bool {
        self.provisional.as_ref().is_some_and(|one| one.confirmed)
    }
}

impl Ue {
    /// An INVITE that begins a call.
    pub(in crate::core) fn invited(&mut self, now: Instant, asked: Asked) {
        let tag = self.token();
        let dialog = match self.admit(&asked.request, &tag) {
            Ok(dialog) => dialog,
            Err(verdict) => return self.answer(now, &asked, &verdict, None),
        };
        let answering = self.config.answering.clone();
        let (rings, answers) = match &answering.with {
            CallAnswer::Answer | CallAnswer::Decline => (true, true),
            CallAnswer::Silence => (true, false),
            CallAnswer::Busy | CallAnswer::Redirect(_) | CallAnswer::Refuse { .. } => (false, true),
        };
        let wait = if rings { answering.answer_after } else { Duration::ZERO };
        let identity = Identity {
            from: None,
            preferred: answering.preferred.into_iter().collect(),
            asserted: answering.asserted.into_iter().collect(),
            privacy: answering.privacy,
        };
        let insists = OptionTags::of(&asked.request, Name::Require).contains("100rel");
        let can = OptionTags::of(&asked.request, Name::Supported).contains("100rel");
        let id = self.next_call();
        self.received_step(&asked.request, Some(id), None);
        self.call_step(id, CallStep::Incoming);
        let ringing = Ringing {
            asked,
            dialog,
            ring_at: rings.then(|| now + answering.ring_after),
            answer_at: answers.then(|| now + wait),
            reliable: insists || (can && answering.reliable),
            provisional: None,
        };
        let stage = Stage::Ringing(Box::new(ringing));
        self.calls.list.insert(id, Session { identity, body: Body::session(), stage });
        self.calls_timeout(now);
    }

    fn admit(&self, invite: &Message, tag: &str) -> Result<Dialog, Verdict> {
        //= RFC 3261 8.2.2.2: the same request by another way is refused
        let merged = self.calls.list.values().any(|session| {
            matches!(&session.stage, Stage::Ringing(ringing) if is_copy(invite, &ringing.asked.request))
        });
        if merged {
            return Err(Verdict::new(482, "Loop Detected"));
        }
        if self.calls.list.len() >= CALLS {
            return Err(Verdict::new(486, "Busy Here"));
        }
        Dialog::uas(invite, tag).map_err(|_| Verdict::new(400, "Bad Request"))
    }

    fn ringing(&mut self, id: CallId) -> Option<&mut Ringing> {
        match self.calls.list.get_mut(&id).map(|session| &mut session.stage) {
            Some(Stage::Ringing(ringing)) => Some(ringing),
            _ => None,
        }
    }

    pub(super) fn ringing_timeout(&mut self, now: Instant, id: CallId) {
        let Some(ringing) = self.ringing(id) else { return };
        if ringing.provisional.as_ref().is_some_and(|one| !one.confirmed) {
            return self.repeat_provisional(now, id);
        }
        if ringing.ring_at.take_if(|at| *at <= now).is_some() {
            self.ring(now, id);
        }
        let Some(ringing) = self.ringing(id) else { return };
        let waits = ringing.provisional.as_ref().is_some_and(|one| !one.confirmed);
        if !waits && ringing.answer_at.is_some_and(|at| at <= now) {
            self.answer_call(now, id);
        }
    }

    /// Says that it rings; reliably with our answer to the caller's offer.
    //= RFC 3262 3
    fn ring(&mut self, now: Instant, id: CallId) {
        let rseq = 1 + u32::try_from(self.rng.next_u64() % 0xffff).unwrap_or(0);
        let contact = self.current_contact();
        let Some(session) = self.calls.list.get(&id) else { return };
        let Stage::Ringing(ringing) = &session.stage else { return };
        let (asked, reliable) = (ringing.asked.clone(), ringing.reliable);
        let mut draft = self.reply(&asked.request, 180, "Ringing", &ringing.dialog.local_tag);
        for route in asked.request.lines(Name::RecordRoute) {
            draft.push(Name::RecordRoute, route);
        }
        draft.push(Name::Contact, contact).push(Name::Allow, ALLOW);
        if reliable {
            draft.push(Name::Require, SUPPORTED).push(Name::RSeq, rseq.to_string());
            draft.body(session.body.content_type.to_string(), session.body.octets.clone());
        }
        let response = draft.finish();
        let t1 = self.config.timers.t1;
        if let Some(ringing) = self.ringing(id).filter(|_| reliable) {
            ringing.provisional = Some(Provisional {
                rseq,
                confirmed: false,
                response: response.clone(),
                next: now + t1,
                interval: t1,
                gives_up: now + t1 * 64,
            });
        }
        self.respond_to(now, &asked, response);
        self.call_step(id, CallStep::Ringing { status: 180, reliable });
    }

    fn repeat_provisional(&mut self, now: Instant, id: CallId) {
        let Some(ringing) = self.ringing(id) else { return };
        let asked = ringing.asked.clone();
        let Some(provisional) = &mut ringing.provisional else { return };
        if provisional.gives_up <= now {
            //= RFC 3262 3: a provisional answer that nobody confirms ends the call
            return self.decline(now, id, &Verdict::new(504, "Server Time-out"));
        }
        provisional.interval *= 2;
        provisional.next = now + provisional.interval;
        let response = provisional.response.clone();
        self.respond_to(now, &asked, response);
    }

    //= RFC 3262 3: a PRACK that confirms nothing gets 481
    pub(super) fn pracked(&mut self, now: Instant, id: CallId, asked: &Asked) {
        let rack = asked.request.first(Name::RAck).and_then(rack);
        let confirms = self.ringing(id).and_then(|ringing| {
            let invite = ringing.asked.request.cseq().ok()?.number;
            let provisional = ringing.provisional.as_mut().filter(|one| !one.confirmed)?;
            let expected = (provisional.rseq, invite);
            (rack == Some(expected)).then(|| provisional.confirmed = true)
        });
        if confirms.is_none() {
            return self.answer(now, asked, &Verdict::no_dialog(), Some(id));
        }
        self.answer(now, asked, &Verdict::ok(), Some(id));
        self.ringing_timeout(now, id);
    }

    /// The final answer, as the configuration has it.
    fn answer_call(&mut self, now: Instant, id: CallId) {
        let with = self.config.answering.with.clone();
        if let Some((status, reason, contact)) = with.refusal() {
            let mut verdict = Verdict::new(status, reason);
            if let Some(contact) = contact {
                verdict = verdict.with(Name::Contact, in_brackets(contact));
            }
            return self.decline(now, id, &verdict);
        }
        let Some(session) = self.calls.list.remove(&id) else { return };
        let Session { identity, body, stage: Stage::Ringing(ringing) } = session else { return };
        let unconfirmed = self.accept(now, &ringing.asked, &ringing.dialog.local_tag, &body);
        let stage = Stage::Talking(Box::new(Talking::answered(ringing.dialog, unconfirmed)));
        self.calls.list.insert(id, Session { identity, body, stage });
    }

    /// Refuses a call that rings here.
    pub(super) fn decline(&mut self, now: Instant, id: CallId, verdict: &Verdict) {
        let session = self.calls.list.remove(&id);
        let Some(Session { stage: Stage::Ringing(ringing), .. }) = session else { return };
        self.refuse_invite(now, &ringing, verdict);
        self.call_step(id, CallStep::Declined { status: verdict.status });
    }

    pub(super) fn refuse_invite(&mut self, now: Instant, ringing: &Ringing, verdict: &Verdict) {
        let Ringing { asked, dialog, .. } = ringing;
        let mut draft = self.reply(&asked.request, verdict.status, &verdict.reason, &dialog.local_tag);
        for (name, value) in &verdict.lines {
            draft.push(*name, value.clone());
        }
        let response = draft.finish();
        self.respond_to(now, asked, response);
    }

    /// The caller takes its call back.
    //= RFC 3261 9.2
    pub(in crate::core) fn cancelled(&mut self, now: Instant, asked: &Asked, invite: Option<ServerId>) {
        let of_invite = |session: &Session| match &session.stage {
            Stage::Ringing(ringing) => Some(ringing.asked.id) == invite,
            _ => false,
        };
        let id = self.calls.list.iter().find_map(|(id, session)| of_invite(session).then_some(*id));
        let verdict = if invite.is_some() { Verdict::ok() } else { Verdict::no_dialog() };
        self.answer(now, asked, &verdict, id);
        let Some(id) = id else { return };
        let session = self.calls.list.remove(&id);
        if let Some(Session { stage: Stage::Ringing(ringing), .. }) = session {
            self.refuse_invite(now, &ringing, &Verdict::new(487, "Request Terminated"));
            self.call_step(id, CallStep::Cancelled);
        }
    }

    /// The transaction of an INVITE has ended that we had not answered.
    pub(in crate::core) fn invite_gone(&mut self, server: ServerId) {
        let of_it = |session: &Session| match &session.stage {
            Stage::Ringing(ringing) => ringing.asked.id == server,
            _ => false,
        };
        let id = self.calls.list.iter().find_map(|(id, session)| of_it(session).then_some(*id));
        if let Some(id) = id {
            self.calls.list.remove(&id);
            self.call_step(id, CallStep::Ended { by: EndedBy::Lost });
        }
    }
}

fn is_copy(one: &Message, other: &Message) -> bool {
    let tag = |message: &Message| message.from().ok().and_then(|from| from.tag().map(str::to_owned));
    let number = |message: &Message| message.cseq().map(|cseq| cseq.number).ok();
    one.call_id() == other.call_id() && tag(one) == tag(other) && number(one) == number(other)
}

/// RSeq and CSeq that a RAck names, if it is about an INVITE.
fn rack(value: &str) -> Option<(u32, u32)> {
    let mut words = value.split_ascii_whitespace();
    let (rseq, cseq) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let about = words.next().map(Method::parse) == Some(Method::Invite) && words.next().is_none();
    about.then_some((rseq, cseq))
}
