//! Our call until it is answered.

use std::time::Duration;

use sip::{Dialog, Instant, Message, Method, Name, OptionTags, proxy};

use super::talk::{Pending, Talking};
use super::{CALLS, Session, Stage, add_offer};
use crate::core::asked::SUPPORTED;
use crate::core::outside::{Departure, add_headers};
use crate::core::{Answer, Call, CallId, CallStep, EndedBy, Failure, Identity, Ue};

/// An INVITE of ours that waits for its final answer.
#[derive(Debug)]
pub(super) struct Calling {
    pub(super) departure: Departure,
    /// The other side has given a sign of life, also 100.
    proceeding: bool,
    cancel: Cancel,
    /// With each phone that rings.
    pub(super) early: Vec<Early>,
    pub(super) pending: Vec<Pending>,
    pub(super) gives_up: Instant,
}

/// A dialog that a provisional answer has made.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) dialog: Dialog,
    /// Of the last provisional answer that we have confirmed with PRACK.
    rseq: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cancel {
    No,
    Wanted,
    Sent,
}

/// So long a call rings at most. Timer C of the proxies is over before.
const RINGS: Duration = Duration::from_secs(600);
/// More phones do not ring for one call.
const PHONES: usize = 8;

impl Ue {
    pub(super) fn place(&mut self, now: Instant, call: Call) {
        let id = self.next_call();
        match self.send_invite(now, &call) {
            Ok(departure) => {
                let calling = Calling {
                    departure,
                    proceeding: false,
                    cancel: Cancel::No,
                    early: Vec::new(),
                    pending: Vec::new(),
                    gives_up: now + RINGS,
                };
                let stage = Stage::Calling(Box::new(calling));
                let session = Session { identity: within(call.identity), body: call.session, stage };
                self.calls.list.insert(id, session);
                self.call_step(id, CallStep::Calling);
            }
            Err(failure) => self.call_step(id, CallStep::Failed(failure)),
        }
    }

    fn send_invite(&mut self, now: Instant, call: &Call) -> Result<Departure, Failure> {
        if self.calls.list.len() >= CALLS {
            return Err(Failure::TooMany);
        }
        let mut draft = self.opening(Method::Invite, &call.to, &call.identity)?;
        if call.reliable {
            draft.push(Name::Supported, SUPPORTED);
        }
        add_offer(&mut draft, self.current_contact(), &call.session);
        add_headers(&mut draft, &call.headers);
        self.send_protected(now, draft)
    }

    fn calling(&mut self, id: CallId) -> Option<&mut Calling> {
        match self.calls.list.get_mut(&id).map(|session| &mut session.stage) {
            Some(Stage::Calling(calling)) => Some(calling),
            _ => None,
        }
    }

    pub(super) fn invite_answered(&mut self, now: Instant, id: CallId, status: u16, response: &Message) {
        match status {
            ..200 => {
                let Some(calling) = self.calling(id) else { return };
                calling.proceeding = true;
                if calling.cancel == Cancel::Wanted {
                    self.send_cancel(now, id);
                }
                if status > 100 {
                    self.rings(now, id, status, response);
                }
            }
            200..300 => self.call_accepted(now, id, response),
            _ => {
                self.calls.list.remove(&id);
                self.call_step(id, CallStep::Refused(Box::new(Answer::of(response))));
            }
        }
    }

    /// A provisional answer: it makes an early dialog, and one that is sent reliably wants a PRACK.
    //= RFC 3262 4
    fn rings(&mut self, now: Instant, id: CallId, status: u16, response: &Message) {
        let Some(calling) = self.calling(id) else { return };
        let reliable = OptionTags::of(response, Name::Require).contains("100rel");
        let rseq = response.first(Name::RSeq).filter(|_| reliable);
        let rseq = rseq.and_then(|rseq| rseq.trim().parse::<u32>().ok());
        let early = calling.early_of(response);
        match (early, rseq) {
            (Some(early), Some(rseq)) => {
                //= RFC 3262 4: one that is not the next in order is not confirmed, and not taken
                if early.rseq.is_some_and(|last| last.checked_add(1) != Some(rseq)) {
                    return;
                }
                early.rseq = Some(rseq);
                let dialog = early.dialog.clone();
                self.send_prack(now, id, dialog, rseq);
            }
            (None, Some(_)) => return,
            (_, None) => {}
        }
        self.call_step(id, CallStep::Ringing { status, reliable: rseq.is_some() });
    }

    fn send_prack(&mut self, now: Instant, id: CallId, mut dialog: Dialog, rseq: u32) {
        let Some(session) = self.calls.list.get(&id) else { return };
        let identity = session.identity.clone();
        let Stage::Calling(calling) = &session.stage else { return };
        let cseq = calling.departure.message.cseq().map_or(0, |cseq| cseq.number);
        let sent = self.send_within(now, &mut dialog, Method::Prack, &identity, |draft| {
            draft.push(Name::RAck, format!("{rseq} {cseq} INVITE"));
        });
        let Some(calling) = self.calling(id) else { return };
        if let Some(early) = calling.early.iter_mut().find(|one| one.dialog.remote_tag == dialog.remote_tag) {
            early.dialog = dialog;
        }
        calling.pending.extend(sent.map(|departure| Pending { departure, method: Method::Prack }));
    }

    /// The 2xx: it makes the dialog, whatever the early one was like.
    //= RFC 3261 13.2.2.4
    fn call_accepted(&mut self, now: Instant, id: CallId, response: &Message) {
        let Some(Session { identity, body, stage: Stage::Calling(calling) }) = self.calls.list.remove(&id)
        else {
            return;
        };
        let Departure { client, message: invite, .. } = &calling.departure;
        let Ok(mut dialog) = Dialog::uac(invite, response) else {
            let failure = Failure::BadAnswer("its 2xx makes no dialog");
            self.call_step(id, CallStep::Failed(failure));
            return self.call_step(id, CallStep::Ended { by: EndedBy::Lost });
        };
        if let Some(early) = calling.early.iter().find(|one| one.dialog.remote_tag == dialog.remote_tag) {
            dialog.local_cseq = early.dialog.local_cseq;
            dialog.remote_cseq = early.dialog.remote_cseq;
        }
        self.confirm(now, *client, invite, &dialog);
        let talking = Talking::new(dialog, calling.pending);
        self.calls.list.insert(id, Session { identity, body, stage: Stage::Talking(Box::new(talking)) });
        self.call_step(id, CallStep::Answered(Box::new(Answer::of(response))));
        if calling.cancel != Cancel::No {
            //= RFC 3261 15: the answer has overtaken our CANCEL, so BYE ends the call
            let _ = self.hang_up(now, id, EndedBy::Us);
        }
    }

    pub(super) fn invite_failed(&mut self, now: Instant, id: CallId, transport_failed: bool) {
        let Some(calling) = self.calling(id) else { return };
        let invite = calling.departure.message.clone();
        if transport_failed
            && let Some(departure) = self.send_as_datagram(now, &invite)
            && let Some(calling) = self.calling(id)
        {
            calling.departure = departure;
            return;
        }
        self.calls.list.remove(&id);
        self.call_step(id, CallStep::Refused(Box::new(Answer::local(transport_failed))));
    }

    /// Takes the call back: at once, or as soon as the other side has given a sign of life.
    //= RFC 3261 9.1
    pub(super) fn take_back(&mut self, now: Instant, id: CallId) -> Result<(), Failure> {
        if !self.calls.list.contains_key(&id) {
            return Err(Failure::NoSuchCall);
        }
        let calling = self.calling(id).ok_or(Failure::NotNow("it is no call of ours that rings"))?;
        if calling.cancel == Cancel::No {
            calling.cancel = Cancel::Wanted;
            if calling.proceeding {
                self.send_cancel(now, id);
            }
        }
        Ok(())
    }

    fn send_cancel(&mut self, now: Instant, id: CallId) {
        let timers = self.config.timers;
        let Some(calling) = self.calling(id) else { return };
        calling.cancel = Cancel::Sent;
        //= RFC 3261 9.1: without a final answer 64 T1 after the CANCEL, the INVITE is held to be cancelled
        calling.gives_up = now + timers.t1 * 64;
        let (flow, cancel) = (calling.departure.flow, proxy::cancel(&calling.departure.message, None));
        let flow = self.flow_now(flow);
        // What comes of it, the INVITE's answer tells.
        let _ = self.transactions.request(now, flow, timers, cancel);
    }

    pub(super) fn calling_timeout(&mut self, now: Instant, id: CallId) {
        let Some(calling) = self.calling(id) else { return };
        if calling.cancel == Cancel::No && calling.proceeding {
            return self.send_cancel(now, id);
        }
        let client = calling.departure.client;
        self.transactions.abandon(client);
        self.calls.list.remove(&id);
        self.call_step(id, CallStep::Refused(Box::new(Answer::local(false))));
    }
}

impl Calling {
    /// The early dialog that a provisional answer belongs to, or makes.
    fn early_of(&mut self, response: &Message) -> Option<&mut Early> {
        let tag = response.to().ok()?.tag()?.to_owned();
        let known = self.early.iter().position(|early| early.dialog.remote_tag == tag);
        let at = match known {
            Some(at) => at,
            None if self.early.len() >= PHONES => return None,
            None => {
                let dialog = Dialog::uac(&self.departure.message, response).ok()?;
                self.early.push(Early { dialog, rseq: None });
                self.early.len() - 1
            }
        };
        self.early.get_mut(at)
    }

    /// The dialog in which an offer may be made before the call is answered: the other side's answer to the first
    /// offer came reliably.
    //= RFC 3311 5.1
    pub(super) fn negotiated(&self) -> Option<&Dialog> {
        self.early.iter().find(|early| early.rseq.is_some()).map(|early| &early.dialog)
    }
}

/// The identity as the requests within the call have it: From is the dialog's.
fn within(identity: Identity) -> Identity {
    Identity { from: None, ..identity }
}
