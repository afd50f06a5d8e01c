//! All transactions of one node: finds the one a message belongs to, answers retransmissions, runs the timers.

use super::client_invite::ClientInvite;
use super::client_non_invite::ClientNonInvite;
use super::messages::{ack, reply_flow, stamped};
use super::server_invite::ServerInvite;
use super::server_non_invite::ServerNonInvite;
use super::{ClientTick, Delivery, ServerTick, Timers, key};
use crate::{Draft, Flow, Instant, Message, Method, Transmit};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// A request we sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

/// A request we received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(u64);

/// Why a request cannot become a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    #[error("hold another transaction: the limit is reached")]
    TooMany,
    #[error("find a top Via with a branch in the request")]
    NoBranch,
    #[error("use the branch again: its transaction is still running")]
    BranchInUse,
    #[error("make a transaction of a response or an ACK")]
    NotARequest,
}

/// What a received message is to the transaction user.
#[derive(Debug)]
pub enum Received {
    /// A new request; answer it by its id.
    Request { id: ServerId, request: Message },
    /// An ACK of a 2xx, or of nothing we know: it travels on by its Route.
    Ack { request: Message },
    /// A CANCEL (answer it: 200, or 481 when there is no `invite`) and the INVITE it is about.
    Cancel { id: ServerId, invite: Option<ServerId>, request: Message },
    /// A response to a request of ours.
    Response { id: ClientId, response: Message },
    /// A retransmission, or an ACK the transaction was waiting for.
    Absorbed,
    /// A response to nothing we sent, also one whose top Via is not ours: drop it.
    Stray(Message),
    /// A new request over the limit. It has no transaction; a 503 may be sent without one.
    Overloaded(Message),
}

/// What happened without a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// No final response within 64 T1.
    ClientTimeout(ClientId),
    /// The transport could not deliver the request.
    ClientTransportError(ClientId),
    /// The server transaction ended before its time: nobody answered it, or no ACK came.
    ServerGone(ServerId),
}

#[derive(Debug)]
enum ClientMachine {
    Invite(ClientInvite),
    NonInvite(ClientNonInvite),
}

#[derive(Debug)]
enum ServerMachine {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

#[derive(Debug)]
struct Client {
    machine: ClientMachine,
    key: Box<str>,
    flow: Flow,
    request: Message,
    armed: Option<Instant>,
}

#[derive(Debug)]
struct Server {
    machine: ServerMachine,
    key: Box<str>,
    flow: Flow,
    reply_flow: Flow,
    /// Until the final response: a 100 is made of it.
    request: Option<Message>,
    last: Option<Transmit>,
    armed: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Client(ClientId),
    Server(ServerId),
}

/// The transaction layer. Every call costs the logarithm of the number of transactions at most.
#[derive(Debug)]
pub struct Transactions {
    limit: usize,
    next: u64,
    clients: HashMap<ClientId, Client>,
    servers: HashMap<ServerId, Server>,
    client_keys: HashMap<Box<str>, ClientId>,
    server_keys: HashMap<Box<str>, ServerId>,
    by_flow: HashMap<Flow, HashSet<ClientId>>,
    timers: BTreeSet<(Instant, Owner)>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Transactions {
    /// `limit`: transactions held at once, both sides together.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            next: 0,
            clients: HashMap::new(),
            servers: HashMap::new(),
            client_keys: HashMap::new(),
            server_keys: HashMap::new(),
            by_flow: HashMap::new(),
            timers: BTreeSet::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Transactions held now.
    pub fn len(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A message from the wire. Requests come back with `received` and `rport` in their top Via.
    pub fn receive(&mut self, now: Instant, flow: Flow, timers: Timers, message: Message) -> Received {
        if message.is_request() {
            self.request_in(now, flow, timers, message)
        } else {
            self.response_in(now, message)
        }
    }

    /// Sends a request. The caller has put its own Via with a fresh branch on top.
    pub fn request(
        &mut self,
        now: Instant,
        flow: Flow,
        timers: Timers,
        request: Message,
    ) -> Result<ClientId, TransactionError> {
        let method = request.method();
        if !request.is_request() || method == Method::Ack {
            return Err(TransactionError::NotARequest);
        }
        if self.len() >= self.limit {
            return Err(TransactionError::TooMany);
        }
        let via = request.top_via().map_err(|_| TransactionError::NoBranch)?;
        let key = key::client(&via, method).ok_or(TransactionError::NoBranch)?;
        if self.client_keys.contains_key(&key) {
            return Err(TransactionError::BranchInUse);
        }
        let reliable = flow.transport.is_reliable();
        let machine = match method {
            Method::Invite => ClientMachine::Invite(ClientInvite::new(now, timers, reliable)),
            _ => ClientMachine::NonInvite(ClientNonInvite::new(now, timers, reliable)),
        };
        let id = ClientId(self.fresh());
        self.transmits.push_back(Transmit { flow, bytes: request.bytes() });
        self.client_keys.insert(key.clone(), id);
        self.by_flow.entry(flow).or_default().insert(id);
        self.clients.insert(id, Client { machine, key, flow, request, armed: None });
        self.arm_client(id);
        Ok(id)
    }

    /// Answers along the Via of the request (RFC 3261 18.2.2, RFC 3581 4).
    pub fn respond(&mut self, now: Instant, id: ServerId, response: Message) {
        if let Some(flow) = self.servers.get(&id).map(|server| server.reply_flow) {
            self.respond_on(now, id, flow, response);
        }
    }

    /// Answers over this flow: a protected UDP answer leaves from another socket than the request came to. A
    /// response the transaction must not send (late, 408, or an early 100) is dropped.
    pub fn respond_on(&mut self, now: Instant, id: ServerId, flow: Flow, response: Message) {
        let (Some(server), Some(status)) = (self.servers.get_mut(&id), response.status()) else { return };
        let send = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.respond(now, status),
            ServerMachine::NonInvite(machine) => machine.respond(now, status),
        };
        if send {
            let transmit = Transmit { flow, bytes: response.bytes() };
            server.last = Some(transmit.clone());
            server.reply_flow = flow;
            self.transmits.push_back(transmit);
        }
        if status >= 200 {
            server.request = None;
        }
        self.arm_server(id);
    }

    /// Lets whatever the transaction sends by itself (the 100 of RFC 4320) take this flow too.
    pub fn reply_over(&mut self, id: ServerId, flow: Flow) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.reply_flow = flow;
        }
    }

    /// Forgets a request as if it had never come: nothing answers it, and a repetition is new.
    pub fn discard(&mut self, id: ServerId) {
        let Some(server) = self.servers.remove(&id) else { return };
        self.server_keys.remove(&server.key);
        if let Some(at) = server.armed {
            self.timers.remove(&(at, Owner::Server(id)));
        }
    }

    /// The shell could not send on this flow: its client transactions end (RFC 3261 8.1.3.1).
    pub fn transport_failed(&mut self, _now: Instant, flow: &Flow) {
        for id in self.by_flow.get(flow).cloned().unwrap_or_default() {
            self.drop_client(id);
            self.events.push_back(Event::ClientTransportError(id));
        }
    }

    /// Sends a message that makes no transaction: the ACK of a 2xx on its way along the Route, an answer that is
    /// forwarded by its Via alone.
    pub fn pass(&mut self, flow: Flow, message: &Message) {
        self.transmits.push_back(Transmit { flow, bytes: message.bytes() });
    }

    /// Forgets a request that we sent: whatever answers it is a stray.
    pub fn abandon(&mut self, id: ClientId) {
        self.drop_client(id);
    }

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, owner)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            match owner {
                Owner::Client(id) => self.tick_client(at, id),
                Owner::Server(id) => self.tick_server(at, id),
            }
        }
    }

    pub fn next_timeout(&mut self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Where the request came from.
    pub fn request_flow(&self, id: ServerId) -> Option<Flow> {
        self.servers.get(&id).map(|server| server.flow)
    }

    fn request_in(&mut self, now: Instant, flow: Flow, timers: Timers, message: Message) -> Received {
        let method = message.method();
        let Some(key) = key::server(&flow, &message, method) else { return Received::Stray(message) };
        let known = self.server_keys.get(&key).copied();
        if method == Method::Ack {
            let acked = known.is_some_and(|id| self.ack(now, id));
            return if acked {
                Received::Absorbed
            } else {
                Received::Ack { request: stamped(message, &flow) }
            };
        }
        if let Some(id) = known {
            self.repeat(id);
            return Received::Absorbed;
        }
        if self.len() >= self.limit {
            return Received::Overloaded(stamped(message, &flow));
        }
        let invite = (method == Method::Cancel)
            .then(|| key::server(&flow, &message, Method::Invite))
            .flatten()
            .and_then(|key| self.server_keys.get(&key).copied());
        let reliable = flow.transport.is_reliable();
        let machine = match method {
            Method::Invite => ServerMachine::Invite(ServerInvite::new(now, timers, reliable)),
            _ => ServerMachine::NonInvite(ServerNonInvite::new(now, timers, reliable)),
        };
        let cancel = method == Method::Cancel;
        let request = stamped(message, &flow);
        let id = ServerId(self.fresh());
        self.server_keys.insert(key.clone(), id);
        let reply_flow = reply_flow(&flow, &request);
        let kept = Some(request.clone());
        self.servers
            .insert(id, Server { machine, key, flow, reply_flow, request: kept, last: None, armed: None });
        self.arm_server(id);
        if cancel { Received::Cancel { id, invite, request } } else { Received::Request { id, request } }
    }

    fn response_in(&mut self, now: Instant, response: Message) -> Received {
        let key = response.top_via().ok().and_then(|via| key::client(&via, response.method()));
        let id = key.and_then(|key| self.client_keys.get(&key).copied());
        let (Some(id), Some(status)) = (id, response.status()) else { return Received::Stray(response) };
        let Some(client) = self.clients.get_mut(&id) else { return Received::Stray(response) };
        let delivery = match &mut client.machine {
            ClientMachine::Invite(machine) => machine.response(now, status),
            ClientMachine::NonInvite(machine) => machine.response(now, status),
        };
        if matches!(delivery, Delivery::Ack | Delivery::PassAndAck) {
            let bytes = ack(&client.request, &response).bytes();
            self.transmits.push_back(Transmit { flow: client.flow, bytes });
        }
        self.arm_client(id);
        match delivery {
            Delivery::Pass | Delivery::PassAndAck => Received::Response { id, response },
            Delivery::Ack | Delivery::Absorb => Received::Absorbed,
        }
    }

    fn ack(&mut self, now: Instant, id: ServerId) -> bool {
        let Some(server) = self.servers.get_mut(&id) else { return false };
        let acked = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.ack(now),
            ServerMachine::NonInvite(_) => false,
        };
        self.arm_server(id);
        acked
    }

    /// The request came again: so does the last response, byte for byte.
    fn repeat(&mut self, id: ServerId) {
        let Some(server) = self.servers.get(&id) else { return };
        let repeats = match &server.machine {
            ServerMachine::Invite(machine) => machine.repeats(),
            ServerMachine::NonInvite(_) => true,
        };
        if repeats {
            self.transmits.extend(server.last.clone());
        }
    }

    fn tick_client(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.armed = None;
        let tick = match &mut client.machine {
            ClientMachine::Invite(machine) => machine.tick(now),
            ClientMachine::NonInvite(machine) => machine.tick(now),
        };
        match tick {
            ClientTick::Nothing => {}
            ClientTick::Retransmit => {
                self.transmits.push_back(Transmit { flow: client.flow, bytes: client.request.bytes() });
            }
            ClientTick::TimedOut | ClientTick::Gone => {
                self.drop_client(id);
                if tick == ClientTick::TimedOut {
                    self.events.push_back(Event::ClientTimeout(id));
                }
                return;
            }
        }
        self.arm_client(id);
    }

    fn tick_server(&mut self, now: Instant, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        server.armed = None;
        let tick = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.tick(now),
            ServerMachine::NonInvite(machine) => machine.tick(now),
        };
        match tick {
            ServerTick::Nothing => {}
            ServerTick::Trying => {
                if let Some(request) = &server.request {
                    let trying = Draft::reply(request, 100, "Trying", None).finish();
                    let transmit = Transmit { flow: server.reply_flow, bytes: trying.bytes() };
                    server.last = Some(transmit.clone());
                    self.transmits.push_back(transmit);
                }
            }
            ServerTick::Retransmit => self.transmits.extend(server.last.clone()),
            ServerTick::Gone { early } => {
                if let Some(server) = self.servers.remove(&id) {
                    self.server_keys.remove(&server.key);
                }
                if early {
                    self.events.push_back(Event::ServerGone(id));
                }
                return;
            }
        }
        self.arm_server(id);
    }

    fn drop_client(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        self.client_keys.remove(&client.key);
        if let Some(at) = client.armed {
            self.timers.remove(&(at, Owner::Client(id)));
        }
        if let Some(ids) = self.by_flow.get_mut(&client.flow) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_flow.remove(&client.flow);
            }
        }
    }

    fn arm_client(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let deadline = match &client.machine {
            ClientMachine::Invite(machine) => machine.deadline(),
            ClientMachine::NonInvite(machine) => machine.deadline(),
        };
        rearm(&mut self.timers, Owner::Client(id), &mut client.armed, deadline);
    }

    fn arm_server(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let deadline = match &server.machine {
            ServerMachine::Invite(machine) => machine.deadline(),
            ServerMachine::NonInvite(machine) => machine.deadline(),
        };
        rearm(&mut self.timers, Owner::Server(id), &mut server.armed, deadline);
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

fn rearm(
    timers: &mut BTreeSet<(Instant, Owner)>,
    owner: Owner,
    armed: &mut Option<Instant>,
    deadline: Option<Instant>,
) {
    if *armed == deadline {
        return;
    }
    if let Some(at) = armed.take() {
        timers.remove(&(at, owner));
    }
    if let Some(at) = deadline {
        timers.insert((at, owner));
    }
    *armed = deadline;
}
