//! Calls: INVITE dialogs, begun here or by others.
//!
//! A call is first `Calling` (`caller.rs`) or `Ringing` (`callee.rs`), then `Talking` (`talk.rs`), and `Leaving` while its
//! BYE waits for an answer.

mod callee;
mod caller;
mod talk;

use std::collections::{BTreeMap, VecDeque};

use sip::{ClientId, Dialog, Draft, Flow, Instant, Message, Method, Name};

use self::callee::Ringing;
use self::caller::Calling;
use self::talk::{Confirmation, Leaving, Pending, Talking};
use super::command::Body;
use super::outside::{Departure, add_identity};
use super::{CallId, CallStep, Command, EndedBy, Failure, Identity, Step, Ue};

/// Calls at once; another that comes in finds us busy.
const CALLS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Calls {
    last: u32,
    list: BTreeMap<CallId, Session>,
    /// The ACKs of 2xx that may come again, oldest first.
    confirmations: VecDeque<Confirmation>,
    /// INVITEs whose call has ended before their answer came, and when they are given up; oldest first.
    orphans: VecDeque<(Instant, ClientId)>,
}

/// One call.
#[derive(Debug)]
struct Session {
    /// What our requests say of us.
    identity: Identity,
    /// Our side of the session.
    body: Body,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Calling(Box<Calling>),
    Ringing(Box<Ringing>),
    Talking(Box<Talking>),
    Leaving(Box<Leaving>),
}

impl Session {
    /// Every dialog that this call has now: more than one while several phones ring for our call.
    fn dialogs(&mut self) -> impl Iterator<Item = &mut Dialog> {
        let (early, one) = match &mut self.stage {
            Stage::Calling(calling) => (Some(&mut calling.early), None),
            Stage::Ringing(ringing) => (None, Some(&mut ringing.dialog)),
            Stage::Talking(talking) => (None, Some(&mut talking.dialog)),
            Stage::Leaving(leaving) => (None, Some(&mut leaving.dialog)),
        };
        early.into_iter().flatten().map(|early| &mut early.dialog).chain(one)
    }

    fn next_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Calling(calling) => Some(calling.gives_up),
            Stage::Ringing(ringing) => ringing.next_timeout(),
            Stage::Talking(talking) => talking.next_timeout(),
            Stage::Leaving(_) => None,
        }
    }

    /// What waits for an answer of the other side besides an INVITE of ours that began the call.
    fn pending(&mut self) -> Option<&mut Vec<Pending>> {
        match &mut self.stage {
            Stage::Calling(calling) => Some(&mut calling.pending),
            Stage::Talking(talking) => Some(&mut talking.pending),
            Stage::Ringing(_) | Stage::Leaving(_) => None,
        }
    }
}

impl Ue {
    /// Calls that have not ended yet.
    pub fn calls(&self) -> usize {
        self.calls.list.len()
    }

    /// A command about a call.
    pub(super) fn call_command(&mut self, now: Instant, command: Command) {
        let (call, done) = match command {
            Command::Call(call) => return self.place(now, *call),
            Command::HangUp { call } => (call, self.hang_up(now, call, EndedBy::Us)),
            Command::Cancel { call } => (call, self.take_back(now, call)),
            Command::Reinvite { call } => (call, self.offer_again(now, call, Method::Invite)),
            Command::Update { call } => (call, self.offer_again(now, call, Method::Update)),
            Command::Inform { call, body } => (call, self.inform(now, call, body)),
            _ => return,
        };
        if let Err(failure) = done {
            self.call_step(call, CallStep::Failed(failure));
        }
    }

    pub(super) fn calls_next_timeout(&self) -> Option<Instant> {
        let orphan = self.calls.orphans.front().map(|(at, _)| *at);
        self.calls.list.values().filter_map(Session::next_timeout).chain(orphan).min()
    }

    pub(super) fn calls_timeout(&mut self, now: Instant) {
        self.calls.confirmations.retain(|confirmation| confirmation.until > now);
        while let Some((_, client)) = self.calls.orphans.front().copied().filter(|(at, _)| *at <= now) {
            self.calls.orphans.pop_front();
            self.transactions.abandon(client);
        }
        let due = |(id, session): (&CallId, &Session)| {
            session.next_timeout().is_some_and(|at| at <= now).then_some(*id)
        };
        let ids: Vec<CallId> = self.calls.list.iter().filter_map(due).collect();
        for id in ids {
            match self.calls.list.get(&id).map(|session| &session.stage) {
                Some(Stage::Calling(_)) => self.calling_timeout(now, id),
                Some(Stage::Ringing(_)) => self.ringing_timeout(now, id),
                Some(Stage::Talking(_)) => self.talking_timeout(now, id),
                Some(Stage::Leaving(_)) | None => {}
            }
        }
    }

    /// An answer to a request of ours that belongs to a call.
    pub(super) fn call_answered(&mut self, now: Instant, client: ClientId, status: u16, response: &Message) {
        if (200..300).contains(&status) && self.confirm_again(now, client, response) {
            return;
        }
        let owner = self.calls.list.iter().find_map(|(id, session)| {
            matches!(&session.stage, Stage::Calling(calling) if calling.departure.client == client)
                .then_some(*id)
        });
        match owner {
            Some(id) => self.invite_answered(now, id, status, response),
            None if status >= 200 => self.pending_answered(now, client, Ok(response)),
            None => {}
        }
    }

    /// Nobody answered a request of ours that belongs to a call, or it could not be sent.
    pub(super) fn call_failed(&mut self, now: Instant, client: ClientId, transport_failed: bool) {
        let owner = self.calls.list.iter().find_map(|(id, session)| {
            matches!(&session.stage, Stage::Calling(calling) if calling.departure.client == client)
                .then_some(*id)
        });
        match owner {
            Some(id) => self.invite_failed(now, id, transport_failed),
            None => self.pending_answered(now, client, Err(transport_failed)),
        }
    }

    /// The call a request of the other side belongs to.
    fn call_of(&mut self, request: &Message) -> Option<CallId> {
        let mut calls = self.calls.list.iter_mut();
        calls.find_map(|(id, session)| session.dialogs().any(|dialog| dialog.owns(request)).then_some(*id))
    }

    /// Before the UE leaves: every call is hung up while there is a set for it.
    pub(super) fn hang_up_all(&mut self, now: Instant) {
        let ids: Vec<CallId> = self.calls.list.keys().copied().collect();
        for id in ids {
            // One that is ending already ends.
            let _ = self.hang_up(now, id, EndedBy::Us);
        }
    }

    /// The registration is over, and no set carries a call any more.
    pub(super) fn drop_calls(&mut self) {
        self.calls.confirmations.clear();
        self.calls.orphans.clear();
        for (id, session) in std::mem::take(&mut self.calls.list) {
            let by = match session.stage {
                Stage::Calling(calling) => {
                    self.transactions.abandon(calling.departure.client);
                    EndedBy::Registration
                }
                Stage::Ringing(ringing) => {
                    self.transactions.discard(ringing.asked.id);
                    EndedBy::Registration
                }
                Stage::Talking(_) => EndedBy::Registration,
                Stage::Leaving(leaving) => leaving.by,
            };
            self.call_step(id, CallStep::Ended { by });
        }
    }

    /// The call of these has ended. An INVITE that has seen a 1xx would wait for its answer for ever.
    fn orphan(&mut self, now: Instant, pending: &[Pending]) {
        let at = now + self.config.timers.t1 * 64;
        let invites = pending.iter().filter(|one| one.method == Method::Invite);
        self.calls.orphans.extend(invites.map(|one| (at, one.departure.client)));
    }

    fn next_call(&mut self) -> CallId {
        self.calls.last = self.calls.last.wrapping_add(1);
        CallId(self.calls.last)
    }

    fn call_step(&mut self, call: CallId, step: CallStep) {
        self.step(Step::Call { call, step });
    }

    /// Sends a request within a dialog.
    fn send_within(
        &mut self,
        now: Instant,
        dialog: &mut Dialog,
        method: Method<'static>,
        identity: &Identity,
        complete: impl FnOnce(&mut Draft<'static>),
    ) -> Result<Departure, Failure> {
        let mut draft = dialog.request(method);
        add_identity(&mut draft, identity);
        complete(&mut draft);
        self.send_protected(now, draft)
    }

    /// Sends the ACK of a 2xx, and keeps it: the 2xx may come again.
    //= RFC 3261 13.2.2.4
    fn confirm(&mut self, now: Instant, client: ClientId, invite: &Message, dialog: &Dialog) {
        let cseq = invite.cseq().map_or(0, |cseq| cseq.number);
        let Some((flow, ack)) = self.frame_current(dialog.ack(cseq)) else { return };
        self.transactions.pass(flow, &ack);
        // A confirmation outlives its call; the transactions whose 2xx may come again are as many at most.
        if self.calls.confirmations.len() >= 2 * CALLS {
            self.calls.confirmations.pop_front();
        }
        self.calls.confirmations.push_back(Confirmation {
            client,
            invite: invite.clone(),
            remote_tag: dialog.remote_tag.clone(),
            flow,
            ack,
            until: now + self.config.timers.t1 * 64,
        });
    }

    /// Whether it was a 2xx that came again. One with another tag is another phone that has answered: it is hung up.
    fn confirm_again(&mut self, now: Instant, client: ClientId, response: &Message) -> bool {
        let mut confirmations = self.calls.confirmations.iter();
        let tag = response.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let Some(first) = confirmations.find(|one| one.client == client) else { return false };
        let invite = first.invite.clone();
        let known = self.calls.confirmations.iter().find(|one| one.client == client && one.remote_tag == tag);
        if let Some(Confirmation { flow, ack, .. }) = known {
            let (flow, ack) = (*flow, ack.clone());
            let flow = self.flow_now(flow);
            self.transactions.pass(flow, &ack);
        } else if let Ok(mut dialog) = Dialog::uac(&invite, response) {
            self.confirm(now, client, &invite, &dialog);
            // Its answer says nothing to anybody.
            let _ = self.send_within(now, &mut dialog, Method::Bye, &Identity::default(), |_| {});
        }
        true
    }

    /// The flow that a message takes which belongs to what left by `flow`: the same while its set lives.
    fn flow_now(&self, flow: Flow) -> Flow {
        let alive = self.sets.sends_from(flow.local);
        let current = self.sets.current().filter(|_| !alive).map(|set| set.associations.uc_to_ps);
        current.map_or(flow, |sa| Flow { local: sa.source, remote: sa.destination, ..flow })
    }
}

/// What an offer carries besides its session.
fn add_offer(draft: &mut Draft<'_>, contact: String, body: &Body) {
    draft
        .push(Name::Contact, contact)
        .push(Name::Allow, super::asked::ALLOW)
        .body(body.content_type.to_string(), body.octets.clone());
}
