//! Our requests: to which connection, how often, and until when.
//!
//! A request whose connection is lost is sent again, to another peer or to the same one after it is back, with the T
//! flag and the same End-to-End identifier and Session-Id. That holds for every Cx request. UAR and LIR change
//! nothing; SAR, RTR and PPR set a state, and set it a second time to the same; MAR costs one more vector at worst,
//! which the HSS may give out at any time. A receiver that remembers its answers gives the same one again.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

use super::node::{Node, Output};
use super::random::Random;
use super::{Now, Origin};
use crate::diameter::{Command, Header, Ids, decode, encode};
use crate::{BaseCode, LinkError, Request};

/// To whom a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The first usable peer of the configuration.
    Configured,
    /// This host: over its own connection, else through a relay.
    Host(Origin),
}

pub(super) struct Calls<R> {
    by_end_to_end: HashMap<u32, Call<R>>,
    /// All wait equally long, so the oldest is first to expire. Answered calls stay here for a while.
    order: VecDeque<(Now, u32)>,
    /// Some call is on no connection.
    some_wait: bool,
    end_to_end: u32,
    session_high: u32,
    session_low: u32,
}

struct Call<R> {
    request: Request,
    session_id: String,
    target: Target,
    deadline: Now,
    /// The connection it is on, and the Hop-by-Hop identifier there.
    sent: Option<(u64, u32)>,
    retransmitted: bool,
    /// Connections whose peer could not take it, and what the last one said.
    refused: Vec<u64>,
    refusal: Option<BaseCode>,
    to: R,
}

enum Choice {
    Connection(u64),
    /// There is one, and it takes nothing at the moment.
    Busy,
    None,
}

impl<R> Calls<R> {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            by_end_to_end: HashMap::new(),
            order: VecDeque::new(),
            some_wait: false,
            end_to_end: random.half(),
            session_high: random.half(),
            session_low: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_end_to_end.len()
    }

    pub(super) fn deadline(&self) -> Option<Now> {
        self.order.front().map(|(deadline, _)| *deadline)
    }

    pub(super) const fn next_end_to_end(&mut self) -> u32 {
        self.end_to_end = self.end_to_end.wrapping_add(1);
        self.end_to_end
    }

    //= RFC 6733 8.8
    fn session_id(&mut self, host: &str) -> String {
        self.session_low = self.session_low.wrapping_add(1);
        format!("{host};{};{}", self.session_high, self.session_low)
    }

    fn insert(&mut self, number: u32, call: Call<R>) {
        while let Some((_, front)) = self.order.front()
            && !self.by_end_to_end.contains_key(front)
        {
            self.order.pop_front();
        }
        if self.order.len() > 2 * self.by_end_to_end.len() + 64 {
            self.order.retain(|(_, number)| self.by_end_to_end.contains_key(number));
        }
        self.order.push_back((call.deadline, number));
        self.by_end_to_end.insert(number, call);
    }

    /// The identifiers of the newest call.
    #[cfg(test)]
    pub(super) fn ids_of_last(&self) -> (Ids, String) {
        let (_, number) = self.order.back().unwrap();
        let call = &self.by_end_to_end[number];
        (Ids { hop_by_hop: call.sent.unwrap().1, end_to_end: *number }, call.session_id.clone())
    }

    /// The calls that `filter` picks, oldest first.
    fn numbers(&self, filter: impl Fn(&Call<R>) -> bool) -> Vec<u32> {
        let live =
            self.order.iter().filter(|(_, number)| self.by_end_to_end.get(number).is_some_and(&filter));
        live.map(|(_, number)| *number).collect()
    }
}

impl<R> Node<R> {
    pub(super) fn call(&mut self, now: Now, target: Target, request: Request, to: R) {
        let result = self.try_call(now, target, request, to);
        if let Err((to, error)) = result {
            self.outputs.push_back(Output::Reply { to, result: Err(error) });
        }
    }

    fn try_call(&mut self, now: Now, target: Target, request: Request, to: R) -> Result<(), (R, LinkError)> {
        if self.stopping {
            return Err((to, LinkError::NotConnected));
        }
        if self.calls.len() >= self.settings.max_in_flight {
            return Err((to, LinkError::Busy));
        }
        let connection = match self.choose(&target, &[]) {
            Choice::Connection(id) => id,
            Choice::Busy => return Err((to, LinkError::Busy)),
            Choice::None => return Err((to, LinkError::NotConnected)),
        };
        let deadline = now + self.settings.request_timeout;
        let call = Call {
            request,
            session_id: self.calls.session_id(&self.settings.origin.host),
            target,
            deadline,
            sent: None,
            retransmitted: false,
            refused: Vec::new(),
            refusal: None,
            to,
        };
        let number = self.calls.next_end_to_end();
        self.calls.insert(number, call);
        self.note(deadline);
        self.send_call(number, connection);
        Ok(())
    }

    /// The best connection to the target but for those in `refused`.
    fn choose(&self, target: &Target, refused: &[u64]) -> Choice {
        let mut busy = false;
        let usable = self.connections.iter().filter_map(|(id, connection)| {
            let state = connection.rank()?;
            let peer = connection.peer.as_ref()?;
            let place = match target {
                Target::Configured => (state, connection.side.place()?, 0),
                Target::Host(to) if to.host.eq_ignore_ascii_case(&peer.origin.host) => (0, 0, state),
                Target::Host(_) if peer.relay => (1, 0, state),
                Target::Host(_) => return None,
            };
            if refused.contains(id) {
                return None;
            }
            if connection.full() {
                busy = true;
                return None;
            }
            // Of equal ones the newest: the host may have lost the older one already.
            Some((place, Reverse(*id)))
        });
        match usable.min() {
            Some((_, Reverse(id))) => Choice::Connection(id),
            None if busy => Choice::Busy,
            None => Choice::None,
        }
    }

    fn send_call(&mut self, number: u32, id: u64) {
        let Some(call) = self.calls.by_end_to_end.get_mut(&number) else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let hop_by_hop = connection.next_hop_by_hop();
        let settings = &self.settings;
        let (realm, host) = match &call.target {
            Target::Configured => (&settings.destination_realm, settings.destination_host.as_deref()),
            Target::Host(to) => (&to.realm, Some(to.host.as_str())),
        };
        let context = encode::RequestContext {
            ids: Ids { hop_by_hop, end_to_end: number },
            session_id: &call.session_id,
            origin: &settings.origin,
            destination_realm: realm,
            destination_host: host,
            retransmitted: call.retransmitted,
        };
        match encode::request(&call.request, &context) {
            Ok(wire) => {
                call.sent = Some((id, hop_by_hop));
                self.send(id, wire);
            }
            Err(error) => {
                tracing::warn!(%error, "a request does not fit a message");
                self.reply(number, Err(LinkError::Request));
            }
        }
    }

    fn reply(&mut self, number: u32, result: Result<crate::Answer, LinkError>) {
        if let Some(call) = self.calls.by_end_to_end.remove(&number) {
            self.outputs.push_back(Output::Reply { to: call.to, result });
        }
    }

    /// An answer of the Cx application, or to something of the base protocol.
    pub(super) fn answer(&mut self, id: u64, header: &Header, avps: &[u8]) {
        let number = header.ids.end_to_end;
        let call = self.calls.by_end_to_end.get_mut(&number).filter(|call| {
            call.sent == Some((id, header.ids.hop_by_hop)) && call.request.command() == header.command
        });
        let Some(call) = call else {
            if header.command != Command::DeviceWatchdog {
                tracing::debug!(command = header.command.code(), "an answer nobody waits for");
            }
            return;
        };
        if !header.error {
            let result = decode::answer(header, avps).map_err(|error| {
                tracing::warn!(%error, "a peer sent an answer that cannot be read");
                LinkError::Answer(error.code())
            });
            return self.reply(number, result);
        }
        let code = decode::result_code(avps).unwrap_or(BaseCode::Other(0));
        if matches!(code, BaseCode::UnableToDeliver | BaseCode::TooBusy) {
            call.refused.push(id);
            call.refusal = Some(code);
            call.sent = None;
            return self.send_again(number);
        }
        self.reply(number, Err(LinkError::Protocol(code)));
    }

    /// Sends a call that is on no connection to the best one there is, or lets it wait.
    fn send_again(&mut self, number: u32) {
        let Some(call) = self.calls.by_end_to_end.get(&number) else { return };
        match (self.choose(&call.target, &call.refused), call.refusal) {
            (Choice::Connection(id), _) => self.send_call(number, id),
            (_, Some(code)) => self.reply(number, Err(LinkError::Protocol(code))),
            (Choice::Busy | Choice::None, None) => self.calls.some_wait = true,
        }
    }

    /// A connection has become usable.
    pub(super) fn send_waiting(&mut self) {
        if std::mem::take(&mut self.calls.some_wait) {
            for number in self.calls.numbers(|call| call.sent.is_none()) {
                self.send_again(number);
            }
        }
    }

    /// The calls on this connection have lost their way.
    pub(super) fn connection_lost(&mut self, id: u64) {
        for number in self.calls.numbers(|call| call.sent.is_some_and(|(on, _)| on == id)) {
            if let Some(call) = self.calls.by_end_to_end.get_mut(&number) {
                call.sent = None;
                call.retransmitted = true;
            }
            self.send_again(number);
        }
    }

    /// The peer is silent: its calls go to another one where there is one, and wait for it where not.
    //= RFC 6733 5.5.4
    pub(super) fn fail_over(&mut self, id: u64) {
        for number in self.calls.numbers(|call| call.sent.is_some_and(|(on, _)| on == id)) {
            let Some(call) = self.calls.by_end_to_end.get_mut(&number) else { continue };
            call.retransmitted = true;
            let (target, refused) = (call.target.clone(), call.refused.clone());
            if let Choice::Connection(other) = self.choose(&target, &refused) {
                self.send_call(number, other);
            }
        }
    }

    pub(super) fn expire_calls(&mut self, now: Now) {
        while let Some((deadline, number)) = self.calls.order.front().copied() {
            let Some(call) = self.calls.by_end_to_end.get(&number) else {
                self.calls.order.pop_front();
                continue;
            };
            if deadline > now {
                return;
            }
            let error = if call.sent.is_some() { LinkError::Timeout } else { LinkError::ConnectionLost };
            self.calls.order.pop_front();
            self.reply(number, Err(error));
        }
    }

    /// Ends every call; further ones end at once.
    pub(super) fn abandon(&mut self) {
        self.stopping = true;
        for number in self.calls.numbers(|_| true) {
            self.reply(number, Err(LinkError::ConnectionLost));
        }
    }
}
