//! The response contexts of a stateful proxy with one branch at a time (RFC 3261 clause 16), beside the transactions.
//!
//! The owner says where a request goes ([`Proxy::forward`]) and writes what it passes back; the proxy remembers which
//! request an answer is for, absorbs what must not go on, cancels, and keeps Timer C.

mod hop;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::{ClientId, Draft, Instant, Message, Method, Name, ServerId, Transactions};

pub use hop::{Hop, Sender};

/// Timer C: longer than three minutes.
//= RFC 3261 16.6
pub const TIMER_C: Duration = Duration::from_secs(185);

/// A request on its way, and what its owner must know when the answer comes.
#[derive(Debug)]
pub struct Relay<T> {
    pub server: ServerId,
    /// As it came.
    pub request: Message,
    pub context: T,
}

/// How a request ended that no final response ended.
#[derive(Debug)]
pub struct Failure<T> {
    pub id: ClientId,
    pub relay: Arc<Relay<T>>,
    pub cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No final response in time. Answered with 408, which the transaction layer keeps back where it is not allowed.
    Silent,
    /// It could not be delivered.
    Unreachable,
    /// It was cancelled, and the other side has not confirmed it. Answered with 487.
    Cancelled,
}

/// The request cannot be forwarded: too many are under way. Answered with 503.
#[derive(Debug)]
pub struct Full<T>(pub Arc<Relay<T>>);

#[derive(Debug)]
struct Entry<T> {
    relay: Arc<Relay<T>>,
    hop: Hop,
    deadline: Instant,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing has come back yet.
    Trying { cancelled: bool },
    /// A provisional response came: a CANCEL may be sent.
    Proceeding,
    /// A CANCEL was sent.
    Cancelled,
    /// A 2xx has passed; those of other ends or its repetitions may follow.
    //= RFC 6026 7.2
    Accepted,
}

/// All requests a proxy has under way. As many as the transaction layer allows; each entry has an end.
#[derive(Debug)]
pub struct Proxy<T> {
    entries: HashMap<ClientId, Entry<T>>,
    /// The INVITEs among them that have no final response, for CANCEL.
    by_server: HashMap<ServerId, ClientId>,
    deadlines: BTreeSet<(Instant, ClientId)>,
}

impl<T> Default for Proxy<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), by_server: HashMap::new(), deadlines: BTreeSet::new() }
    }
}

impl<T> Proxy<T> {
    /// Requests under way, and INVITEs whose 2xx may still be repeated.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What was remembered of the request of ours that has this transaction.
    pub fn context(&self, id: ClientId) -> Option<&T> {
        self.entries.get(&id).map(|entry| &entry.relay.context)
    }

    /// The INVITE that came in this transaction, while it has no final response.
    pub fn pending(&self, server: ServerId) -> Option<&Relay<T>> {
        self.by_server.get(&server).and_then(|id| self.entries.get(id)).map(|entry| &*entry.relay)
    }

    /// Sends a request on. To be called again for the same one after it has failed elsewhere.
    pub fn forward(
        &mut self,
        now: Instant,
        transactions: &mut Transactions,
        relay: Relay<T>,
        hop: Hop,
    ) -> Result<ClientId, Full<T>> {
        self.send(now, transactions, Arc::new(relay), hop, Stage::Trying { cancelled: false })
    }

    /// A response to a request of ours came. What is to be passed on gets the relay it belongs to.
    //= RFC 3261 16.7
    pub fn answered(
        &mut self,
        now: Instant,
        transactions: &mut Transactions,
        id: ClientId,
        status: u16,
    ) -> Option<Arc<Relay<T>>> {
        let entry = self.entries.get_mut(&id)?;
        let is_invite = entry.hop.message.method() == Method::Invite;
        match (status, entry.stage) {
            (..200, Stage::Trying { .. } | Stage::Proceeding) if is_invite => {
                let cancelled = entry.stage == Stage::Trying { cancelled: true };
                entry.stage = Stage::Proceeding;
                let relay = Arc::clone(&entry.relay);
                if cancelled {
                    self.send_cancel(now, transactions, id, None);
                    return None;
                }
                // A 100 tells only that the next hop is there (RFC 3261 16.7): Timer C goes on.
                if status == 100 {
                    return None;
                }
                self.set_deadline(id, now + TIMER_C);
                Some(relay)
            }
            //= RFC 4320 4.1: to anything but INVITE each hop says 100 by itself, and nothing else
            (..200, _) => None,
            (200..300, _) if is_invite => {
                entry.stage = Stage::Accepted;
                let (relay, life) = (Arc::clone(&entry.relay), entry.hop.timers.t1 * 64);
                if self.by_server.remove(&relay.server).is_some() {
                    self.set_deadline(id, now + life);
                }
                Some(relay)
            }
            _ => self.take(id).map(|entry| entry.relay),
        }
    }

    /// The transaction layer has given a request of ours up, or could not deliver it.
    pub fn failed(
        &mut self,
        now: Instant,
        transactions: &mut Transactions,
        id: ClientId,
        cause: Cause,
    ) -> Option<Failure<T>> {
        let entry = self.take(id)?;
        let Entry { relay, mut hop, stage, .. } = entry;
        match (stage, hop.instead.take()) {
            // What came before the failure has been passed on; only the 2xx are still awaited then.
            (Stage::Accepted, _) => None,
            (Stage::Trying { cancelled: false }, Some(instead)) if cause == Cause::Unreachable => {
                let sent = self.send(now, transactions, relay, *instead, stage);
                sent.err().map(|Full(relay)| Failure { id, relay, cause })
            }
            (Stage::Trying { cancelled: true } | Stage::Cancelled, _) => {
                Some(Failure { id, relay, cause: Cause::Cancelled })
            }
            _ => Some(Failure { id, relay, cause }),
        }
    }

    /// The sender of an INVITE takes it back. `Some`: it is not under way here (any more); the owner answers an INVITE
    /// that it still holds itself with 487. The CANCEL is answered by the owner: 200 where its transaction names an
    /// INVITE, else 481.
    //= RFC 3261 16.10
    pub fn cancel(
        &mut self,
        now: Instant,
        transactions: &mut Transactions,
        invite: ServerId,
        cancel: &Message,
    ) -> Option<ServerId> {
        let Some(id) = self.by_server.get(&invite).copied() else { return Some(invite) };
        self.take_back(now, transactions, id, cancel.first(Name::Reason));
        None
    }

    /// Forgets a request as if it had not been sent on: it goes another way.
    pub fn withdraw(&mut self, transactions: &mut Transactions, id: ClientId) -> Option<Arc<Relay<T>>> {
        let entry = self.take(id)?;
        transactions.abandon(id);
        Some(entry.relay)
    }

    /// The request's own transaction has ended: nobody waits for an answer.
    pub fn sender_gone(&mut self, now: Instant, transactions: &mut Transactions, server: ServerId) {
        if let Some(id) = self.by_server.get(&server).copied() {
            self.take_back(now, transactions, id, None);
        }
    }

    /// Runs Timer C and the ends of what was cancelled. Answers those that have ended.
    pub fn handle_timeout(&mut self, now: Instant, transactions: &mut Transactions) -> Vec<Failure<T>> {
        let mut failures = Vec::new();
        while let Some((_, id)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            let Some(stage) = self.entries.get(&id).map(|entry| entry.stage) else {
                self.deadlines.pop_first();
                continue;
            };
            if stage == Stage::Proceeding {
                //= RFC 3261 16.8: Timer C cancels, and the 487 comes back
                self.send_cancel(now, transactions, id, None);
                continue;
            }
            let Some(entry) = self.take(id) else { continue };
            let cause = match stage {
                Stage::Accepted => continue,
                Stage::Cancelled | Stage::Trying { cancelled: true } => Cause::Cancelled,
                Stage::Trying { .. } | Stage::Proceeding => Cause::Silent,
            };
            transactions.abandon(id);
            failures.push(Failure { id, relay: entry.relay, cause });
        }
        failures
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn send(
        &mut self,
        now: Instant,
        transactions: &mut Transactions,
        relay: Arc<Relay<T>>,
        hop: Hop,
        stage: Stage,
    ) -> Result<ClientId, Full<T>> {
        let Ok(id) = transactions.request(now, hop.flow, hop.timers, hop.message.clone()) else {
            return Err(Full(relay));
        };
        if hop.message.method() == Method::Invite {
            self.by_server.insert(relay.server, id);
        }
        let deadline = now + TIMER_C;
        self.deadlines.insert((deadline, id));
        self.entries.insert(id, Entry { relay, hop, deadline, stage });
        Ok(id)
    }

    fn take_back(
        &mut self,
        now: Instant,
        transactions: &mut Transactions,
        id: ClientId,
        reason: Option<&str>,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match &mut entry.stage {
            //= RFC 3261 9.1: not before a provisional response
            Stage::Trying { cancelled } => *cancelled = true,
            Stage::Proceeding => self.send_cancel(now, transactions, id, reason),
            Stage::Cancelled | Stage::Accepted => {}
        }
    }

    /// From now on the answer has 64*T1 to come.
    //= RFC 3261 9.1
    fn send_cancel(
        &mut self,
        now: Instant,
        transactions: &mut Transactions,
        id: ClientId,
        reason: Option<&str>,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.stage = Stage::Cancelled;
        let (message, flow, timers) = (cancel(&entry.hop.message, reason), entry.hop.flow, entry.hop.timers);
        // Where there is no room for one more transaction, the end of the INVITE's own time must do.
        let _ = transactions.request(now, flow, timers, message);
        self.set_deadline(id, now + timers.t1 * 64);
    }

    fn set_deadline(&mut self, id: ClientId, at: Instant) {
        if let Some(entry) = self.entries.get_mut(&id) {
            self.deadlines.remove(&(entry.deadline, id));
            entry.deadline = at;
            self.deadlines.insert((at, id));
        }
    }

    fn take(&mut self, id: ClientId) -> Option<Entry<T>> {
        let entry = self.entries.remove(&id)?;
        self.deadlines.remove(&(entry.deadline, id));
        if self.by_server.get(&entry.relay.server) == Some(&id) {
            self.by_server.remove(&entry.relay.server);
        }
        Some(entry)
    }
}

/// The status as it goes on upstream: that one server is overloaded says nothing about us.
//= RFC 3261 16.7
pub fn upstream(status: u16) -> Option<(u16, &'static str)> {
    (status == 503).then_some((500, "Server Internal Error"))
}

/// The CANCEL of an INVITE as it left.
//= RFC 3261 9.1
pub fn cancel(invite: &Message, reason: Option<&str>) -> Message {
    let mut draft = Draft::request(Method::Cancel, invite.request_uri().unwrap_or_default());
    draft.push(Name::Via, invite.values(Name::Via).next().unwrap_or_default());
    for route in invite.lines(Name::Route) {
        draft.push(Name::Route, route);
    }
    draft.push(Name::MaxForwards, "70");
    for name in [Name::From, Name::To, Name::CallId] {
        draft.push(name, invite.first(name).unwrap_or_default());
    }
    draft.push(Name::CSeq, format!("{} CANCEL", invite.cseq().map_or(0, |cseq| cseq.number)));
    if let Some(reason) = reason {
        //= RFC 3326 2
        draft.push(Name::Reason, reason);
    }
    draft.finish()
}
