//! A Diameter node as a value: its connections, whom it dials, its requests and those it answers. Both ends are the
//! same; they differ in who dials and what they serve.
//!
//! [`Node`] gets what happens, with the time, and leaves what is to be done in [`Node::outputs`] and in the outbox of
//! each connection. Here: how connections come, live and go. `calling.rs`: our requests. `serving.rs`: the peers'.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::base::{self, Capabilities, Cause};
use super::calling::Calls;
use super::connection::{Connection, End, Phase, Proof, Side};
use super::dial::Dial;
use super::duplicates::{Duplicates, Limits};
use super::random::Random;
use super::serving::Ticket;
use super::watchdog::{Due, Watchdog};
use super::{Now, Origin};
use crate::diameter::{Command, Header, Ids, Wire, decode};
use crate::{Answer, BaseCode, CxError, LinkError, Request};

/// A connection without a capabilities exchange ends by then.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// So long a peer has for its DPA.
const GOODBYE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) origin: Origin,
    pub(super) watchdog: Duration,
    /// The peers we connect to, preferred first; each with the Origin-Host it must have, where that is known.
    pub(super) dial: Vec<Option<String>>,
    pub(super) shortest_pause: Duration,
    pub(super) longest_pause: Duration,
    pub(super) destination_realm: String,
    pub(super) destination_host: Option<String>,
    pub(super) request_timeout: Duration,
    pub(super) max_in_flight: usize,
    /// What the peers may ask.
    pub(super) serves: &'static [Command],
    /// Of one peer at a time.
    pub(super) max_in_progress: usize,
    pub(super) remembered: Limits,
    /// Origin-Hosts that may connect to us; all when absent.
    pub(super) allowed: Option<Vec<String>>,
    /// That connected to us.
    pub(super) max_peers: usize,
}

/// What the shell has to do.
pub(super) enum Output<R> {
    /// Connect to this peer of the configuration.
    Dial(usize),
    /// This connection has something to write, or is to be closed after what it has.
    Write(u64),
    Serve(Box<Asked>),
    Reply {
        to: R,
        result: Result<Answer, LinkError>,
    },
}

/// A request for the server.
pub(super) struct Asked {
    pub(super) ticket: Ticket,
    pub(super) from: Origin,
    pub(super) request: Request,
}

/// `R` is where the answer to a request of ours goes.
pub(super) struct Node<R> {
    pub(super) settings: Settings,
    pub(super) random: Random,
    /// By age: a later one has a higher number.
    pub(super) connections: BTreeMap<u64, Connection>,
    pub(super) dials: Vec<Dial>,
    pub(super) calls: Calls<R>,
    pub(super) duplicates: Duplicates,
    pub(super) outputs: VecDeque<Output<R>>,
    pub(super) stopping: bool,
    next_connection: u64,
    /// Not later than the first deadline there is.
    earliest: Option<Now>,
}

impl<R> Node<R> {
    pub(super) fn new(settings: Settings, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let dials = settings.dial.iter().map(|_| Dial::new(&settings)).collect();
        Self {
            calls: Calls::new(&mut random),
            duplicates: Duplicates::new(settings.remembered),
            connections: BTreeMap::new(),
            dials,
            outputs: VecDeque::new(),
            stopping: false,
            next_connection: 0,
            earliest: None,
            settings,
            random,
        }
    }

    pub(super) fn start(&mut self) {
        self.outputs.extend((0..self.dials.len()).map(Output::Dial));
    }

    /// When [`Self::expire`] is to be called, at the latest.
    pub(super) const fn deadline(&self) -> Option<Now> {
        self.earliest
    }

    /// Whether some peer takes requests.
    pub(super) fn is_usable(&self) -> bool {
        self.connections.values().any(|connection| connection.rank().is_some())
    }

    pub(super) fn is_introduced(&self, id: u64) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.peer.is_some())
    }

    /// After [`Self::stop`]: nothing is left to be done.
    pub(super) fn is_over(&self) -> bool {
        self.stopping && self.connections.is_empty()
    }

    pub(super) fn note(&mut self, deadline: Now) {
        self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
    }

    /// A transport connection is up. `proof` is there when TLS is.
    pub(super) fn opened(&mut self, now: Now, side: Side, local: IpAddr, proof: Option<Proof>) -> u64 {
        self.next_connection += 1;
        let id = self.next_connection;
        let until = now + INTRODUCTION;
        self.note(until);
        let watchdog = match side {
            Side::Dialled(place) => self.dials.get(place).map(|dial| dial.watchdog.clone()),
            Side::Accepted => None,
        };
        let watchdog = watchdog.unwrap_or_else(|| Watchdog::new(self.settings.watchdog));
        let phase = Phase::AwaitsCer { until };
        let connection = Connection::new(side, local, proof, phase, watchdog, self.random.half());
        self.connections.insert(id, connection);
        if self.stopping {
            self.end(now, id, End::Stopping);
        } else if let Side::Dialled(_) = side {
            self.ask(id, |node, ids| base::capabilities_request(&node.settings.origin, local, ids));
        }
        id
    }

    pub(super) fn dial_failed(&mut self, now: Now, place: usize) {
        if let Some(dial) = self.dials.get_mut(place)
            && let Some(at) = dial.failed(now, &mut self.random)
        {
            self.note(at);
        }
    }

    /// A whole message.
    pub(super) fn received(&mut self, now: Now, id: u64, message: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id).filter(|one| one.ended.is_none()) else {
            return;
        };
        let (header, avps) = match Header::parse(message) {
            Ok(parsed) => parsed,
            Err(error) => return self.end(now, id, error.into()),
        };
        let introduction = header.command == Command::CapabilitiesExchange;
        match connection.phase {
            Phase::AwaitsCer { .. } if introduction && header.request => self.cer(now, id, &header, avps),
            Phase::AwaitsCea { ids, .. } if introduction && !header.request && header.ids == ids => {
                if let Err(end) = self.cea(now, id, avps) {
                    self.end(now, id, end);
                }
            }
            Phase::AwaitsCer { .. } | Phase::AwaitsCea { .. } => self.end(now, id, End::NotIntroduced),
            Phase::Open | Phase::AwaitsDpa { .. } => {
                let watchdog_answer = !header.request && header.command == Command::DeviceWatchdog;
                if connection.watchdog.heard(now, watchdog_answer, &mut self.random) {
                    self.send_waiting();
                }
                if header.request {
                    self.request(now, id, &header, avps);
                } else if header.command == Command::DisconnectPeer {
                    self.end(now, id, End::Stopping);
                } else {
                    self.answer(id, &header, avps);
                }
            }
        }
    }

    /// The transport connection is gone.
    pub(super) fn closed(&mut self, now: Now, id: u64, why: End) {
        self.end(now, id, why);
        self.connections.remove(&id);
    }

    /// What to write now, and whether to close afterwards.
    pub(super) fn take(&mut self, id: u64) -> (Vec<Wire>, bool) {
        let Some(connection) = self.connections.get_mut(&id) else { return (Vec::new(), true) };
        let (was_full, wires) = (connection.full(), connection.take());
        let ended = connection.ended.is_some();
        if was_full {
            self.send_waiting();
        }
        (wires, ended)
    }

    pub(super) fn backlogged(&self, id: u64) -> bool {
        self.connections.get(&id).is_some_and(Connection::backlogged)
    }

    /// Something is due.
    pub(super) fn expire(&mut self, now: Now) {
        let due: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.deadline().is_some_and(|deadline| deadline <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.connection_due(now, id);
        }
        for (place, dial) in self.dials.iter_mut().enumerate() {
            if dial.due(now) && !self.stopping {
                self.outputs.push_back(Output::Dial(place));
            }
        }
        self.expire_calls(now);
        self.duplicates.expire(now);
        self.earliest = None;
        let connections = self.connections.values().filter_map(Connection::deadline);
        let dials = self.dials.iter().filter_map(Dial::deadline);
        let rest = [self.calls.deadline(), self.duplicates.deadline()];
        self.earliest = connections.chain(dials).chain(rest.into_iter().flatten()).min();
    }

    fn connection_due(&mut self, now: Now, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match connection.phase {
            Phase::AwaitsCer { .. } | Phase::AwaitsCea { .. } => self.end(now, id, End::Silent),
            Phase::AwaitsDpa { .. } => self.end(now, id, End::Stopping),
            Phase::Open => match connection.watchdog.expired(now, &mut self.random) {
                Due::Nothing => {}
                Due::Ask => self.ask_for_life(id),
                Due::Failover => self.fail_over(id),
                Due::Close => self.end(now, id, End::Silent),
            },
        }
    }

    /// Says goodbye to every peer. What has no answer yet gets none.
    pub(super) fn stop(&mut self, now: Now) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        let until = now + GOODBYE;
        self.note(until);
        let cause = if self.dials.is_empty() { Cause::Rebooting } else { Cause::DoNotWantToTalkToYou };
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            let open = self.connections.get(&id).is_some_and(Connection::is_open);
            if !open {
                self.end(now, id, End::Stopping);
                continue;
            }
            self.ask(id, |node, ids| base::disconnect_request(&node.settings.origin, ids, cause));
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.phase = Phase::AwaitsDpa { until };
            }
        }
        self.abandon();
    }

    //= RFC 6733 5.3
    fn cer(&mut self, now: Now, id: u64, header: &Header, avps: &[u8]) {
        let capabilities = match base::read_capabilities(avps) {
            Ok(capabilities) => capabilities,
            Err(error) => return self.end(now, id, error.into()),
        };
        let (code, refused) = match self.meet(id, &capabilities) {
            Ok(()) => (BaseCode::Success, None),
            Err(refusal) => (refusal.0, Some(refusal.1)),
        };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match base::capabilities_answer(&self.settings.origin, connection.local, header.ids, code) {
            Ok(wire) => self.send(id, wire),
            Err(error) => return self.end(now, id, error.into()),
        }
        match refused {
            Some(end) => self.end(now, id, end),
            None => self.introduced(now, id, capabilities),
        }
    }

    /// Whether the peer that introduces itself may stay.
    fn meet(&self, id: u64, peer: &Capabilities) -> Result<(), (BaseCode, End)> {
        self.check_identity(id, &peer.origin).map_err(|end| (BaseCode::UnknownPeer, end))?;
        let settings = &self.settings;
        let listed = |host: &String| host.eq_ignore_ascii_case(&peer.origin.host);
        if settings.allowed.as_ref().is_some_and(|allowed| !allowed.iter().any(listed)) {
            return Err((BaseCode::UnknownPeer, End::UnknownPeer));
        }
        let secure = self.connections.get(&id).is_some_and(|connection| connection.proof.is_some());
        if peer.inband_tls_only && !secure {
            return Err((BaseCode::NoCommonSecurity, End::NoCommonSecurity));
        }
        if !peer.cx {
            return Err((BaseCode::NoCommonApplication, End::NoCommonApplication));
        }
        let accepted = self.connections.values().filter(|one| one.is_open() && one.side == Side::Accepted);
        if accepted.count() >= settings.max_peers {
            return Err((BaseCode::TooBusy, End::TooManyPeers));
        }
        Ok(())
    }

    fn check_identity(&self, id: u64, peer: &Origin) -> Result<(), End> {
        if peer.host.eq_ignore_ascii_case(&self.settings.origin.host) {
            return Err(End::OurName);
        }
        let proof = self.connections.get(&id).and_then(|connection| connection.proof.as_ref());
        match proof {
            Some(proof) if !proof(&peer.host) => Err(End::WrongCertificate),
            _ => Ok(()),
        }
    }

    fn cea(&mut self, now: Now, id: u64, avps: &[u8]) -> Result<(), End> {
        let code = decode::result_code(avps)?;
        if !code.is_success() {
            return Err(End::Refused(code));
        }
        let capabilities = base::read_capabilities(avps)?;
        self.check_identity(id, &capabilities.origin)?;
        let side = self.connections.get(&id).map(|connection| connection.side);
        if let Some(Side::Dialled(place)) = side
            && let Some(Some(name)) = self.settings.dial.get(place)
            && !name.eq_ignore_ascii_case(&capabilities.origin.host)
        {
            return Err(End::WrongName);
        }
        if !capabilities.cx {
            return Err(End::NoCommonApplication);
        }
        self.introduced(now, id, capabilities);
        Ok(())
    }

    fn introduced(&mut self, now: Now, id: u64, capabilities: Capabilities) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let host = &capabilities.origin.host;
        tracing::info!(peer = %host, tls = connection.proof.is_some(), "a Diameter peer is connected");
        connection.peer = Some(capabilities);
        connection.phase = Phase::Open;
        let due = connection.watchdog.up(now, &mut self.random);
        let deadline = connection.watchdog.deadline();
        if let Side::Dialled(place) = connection.side
            && let Some(dial) = self.dials.get_mut(place)
        {
            dial.connected(now);
        }
        if let Some(deadline) = deadline {
            self.note(deadline);
        }
        if due == Due::Ask {
            self.ask_for_life(id);
        }
        self.send_waiting();
    }

    /// Ends a connection once what it has to write is written. Its requests go elsewhere.
    pub(super) fn end(&mut self, now: Now, id: u64, why: End) {
        let Some(connection) = self.connections.get_mut(&id).filter(|one| one.ended.is_none()) else {
            return;
        };
        connection.ended = Some(why);
        let host = connection.peer.as_ref().map_or("not introduced", |peer| peer.origin.host.as_str());
        match why {
            End::Closed | End::Goodbye | End::Stopping => {
                tracing::info!(peer = host, reason = %why, "a Diameter connection ended");
            }
            why => tracing::warn!(peer = host, reason = %why, "a Diameter connection ended"),
        }
        connection.watchdog.down();
        if let Side::Dialled(place) = connection.side
            && let Some(dial) = self.dials.get_mut(place)
        {
            dial.watchdog = connection.watchdog.clone();
            if let Some(at) = dial.failed(now, &mut self.random) {
                self.note(at);
            }
        }
        self.outputs.push_back(Output::Write(id));
        self.connection_lost(id);
    }

    fn ask_for_life(&mut self, id: u64) {
        self.ask(id, |node, ids| base::watchdog_request(&node.settings.origin, ids));
    }

    /// Sends a request of the base protocol.
    fn ask(&mut self, id: u64, wire: impl FnOnce(&Self, Ids) -> Result<Wire, CxError>) {
        let end_to_end = self.calls.next_end_to_end();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let ids = Ids { hop_by_hop: connection.next_hop_by_hop(), end_to_end };
        if let (Side::Dialled(_), Phase::AwaitsCer { until }) = (connection.side, connection.phase) {
            connection.phase = Phase::AwaitsCea { until, ids };
        }
        match wire(self, ids) {
            Ok(wire) => self.send(id, wire),
            Err(error) => tracing::error!(%error, "a message of ours does not fit"),
        }
    }

    pub(super) fn send(&mut self, id: u64, wire: Wire) {
        if let Some(connection) = self.connections.get_mut(&id).filter(|one| one.ended.is_none())
            && connection.push(wire)
        {
            self.outputs.push_back(Output::Write(id));
        }
    }
}
