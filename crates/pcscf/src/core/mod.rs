//! The state machine of the P-CSCF.

mod answer;
mod challenge;
mod config;
mod dialogs;
mod event;
mod fate;
mod nat;
mod outward;
mod rate;
mod refusal;
mod register;
mod registration;
mod relay;
mod restore;
mod sa_table;
mod saved;
mod subscription;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use aka::Impi;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sec_agree::{Associations, SaSet, SecurityClient, SpiPool};
use sip::proxy::Cause;
use sip::{
    ClientId, Draft, Flow, Instant, Message, Method, Name, Proxy, Received, ServerId, Timers, Transactions,
    Transmit,
};

pub use self::config::{Config, GmAddress, Limits, Rate};
use self::dialogs::Dialogs;
pub use self::dialogs::{Dialog, PeerPrivacy, Purpose, Usage};
pub use self::event::Event;
pub use self::fate::{Fate, KernelTold};
use self::rate::SourceRate;
pub use self::refusal::Refusal;
use self::registration::Registrations;
pub use self::registration::{Device, Registration};
use self::relay::{PrivacyMemories, Relayed};
pub use self::restore::{HeldState, Restored};
use self::sa_table::{SaTable, SetEntry};
pub use self::sa_table::{SetId, Stage};
pub use self::saved::{SavedDevice, SavedSet};
use self::subscription::Subscriptions;

/// What happens to the P-CSCF.
#[derive(Debug)]
pub enum Input {
    Received {
        flow: Flow,
        message: Message,
    },
    /// The kernel holds all four associations of the set.
    SasInstalled {
        set: SetId,
    },
    /// The kernel holds none of them.
    SasFailed {
        set: SetId,
        cause: Box<str>,
    },
    TransportFailed {
        flow: Flow,
    },
    Kernel(KernelTold),
    Timeout,
}

/// What the P-CSCF wants done.
#[derive(Debug)]
pub enum Output {
    Send(Transmit),
    /// Answer with [`Input::SasInstalled`] or [`Input::SasFailed`].
    InstallSas {
        set: SetId,
        sas: SaSet,
        lifetime: Duration,
    },
    /// Move the end of life of a set that was installed `age` ago.
    ExtendSas {
        associations: Associations,
        age: Duration,
        lifetime: Duration,
    },
    RemoveSas {
        associations: Associations,
    },
    /// Write down before anything else leaves.
    Save(Box<SavedDevice>),
    Event(Event),
    WaitUntil(Option<Instant>),
}

/// How a request reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    Unprotected,
    /// Over this set's association from the UE's client port to our server port.
    Over(SetId),
}

/// A REGISTER on its way to the core network.
#[derive(Debug)]
struct Forwarded {
    server: ServerId,
    request: Message,
    flow: Flow,
    arrival: Arrival,
    device: Device,
    /// Absent only where no challenge can follow.
    offer: Option<SecurityClient>,
}

/// A 401 that waits for the kernel.
#[derive(Debug)]
struct WaitingChallenge {
    server: ServerId,
    request: Message,
    response: Message,
    reply: Option<Flow>,
}

/// A request of ours that waits for its answer.
#[derive(Debug)]
enum Asked {
    Register(Box<Forwarded>),
    /// Our own subscription to the reg event of this user, in the dialog of this Call-ID.
    Subscribe {
        impi: Impi,
        call_id: String,
    },
}

/// The P-CSCF as a value.
#[derive(Debug)]
pub struct PCscf {
    config: Config,
    rng: ChaCha20Rng,
    transactions: Transactions,
    sets: SaTable,
    registrations: Registrations,
    subscriptions: Subscriptions,
    asked: HashMap<ClientId, Asked>,
    /// Requests other than REGISTER on their way.
    proxy: Proxy<Relayed>,
    dialogs: Dialogs,
    privacy: PrivacyMemories,
    /// Of REGISTERs in clear.
    rate: SourceRate,
    /// Makes the loop hashes in our branches ours.
    loop_key: u64,
    waiting: HashMap<SetId, WaitingChallenge>,
    outputs: VecDeque<Output>,
    /// What must outlive the process is told as it changes.
    saving: bool,
}

impl PCscf {
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let pool = SpiPool::new(config.spi_first, config.spi_last, rng.next_u32());
        // Config checks the range; an empty one would only mean that no set can be made.
        let pool = pool.unwrap_or_else(|_| unreachable!("the configuration refuses an empty SPI range"));
        Self {
            transactions: Transactions::new(config.limits.transactions),
            sets: SaTable::new(pool),
            registrations: Registrations::default(),
            subscriptions: Subscriptions::default(),
            asked: HashMap::new(),
            proxy: Proxy::default(),
            dialogs: Dialogs::default(),
            privacy: PrivacyMemories::default(),
            rate: SourceRate::new(config.limits.registers),
            loop_key: rng.next_u64(),
            waiting: HashMap::new(),
            outputs: VecDeque::new(),
            saving: false,
            rng,
            config,
        }
    }

    pub fn registration(&self, device: &Device) -> Option<&Registration> {
        self.registrations.get(device).filter(|registration| !registration.ended)
    }

    /// Whether a contact of this private identity is registered.
    pub fn is_registered(&self, impi: &Impi) -> bool {
        self.registrations.of(impi).any(|(_, registration)| !registration.ended)
    }

    /// Transactions held now.
    pub fn open_transactions(&self) -> usize {
        self.transactions.len()
    }

    /// Requests between UEs and the core network that are under way, and INVITEs whose 2xx may still be repeated.
    pub fn open_relays(&self) -> usize {
        self.proxy.len()
    }

    /// Dialogs of registered UEs, early ones among them.
    pub fn open_dialogs(&self) -> usize {
        self.dialogs.len()
    }

    /// Ends of dialogs whose wish for privacy is remembered.
    pub fn open_privacy(&self) -> usize {
        self.privacy.len()
    }

    /// Sets held now, whatever their stage.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Received { flow, message } => self.received(now, flow, message),
            Input::SasInstalled { set } => self.sas_installed(now, set),
            Input::SasFailed { set, cause } => self.sas_failed(now, set, cause),
            Input::TransportFailed { flow } => self.transactions.transport_failed(now, &flow),
            Input::Kernel(told) => self.kernel_told(now, told),
            Input::Timeout => {
                self.transactions.handle_timeout(now);
                for failure in self.proxy.handle_timeout(now, &mut self.transactions) {
                    self.relay_failed(now, &failure);
                }
                self.dialogs.expire(now);
                self.privacy.expire(now);
                while let Some(set) = self.sets.expired(now) {
                    self.remove_set(set);
                }
            }
        }
        self.transaction_events(now);
        for dialog in self.dialogs.take_ended() {
            self.privacy.end_of(&dialog);
        }
        self.save();
    }

    /// Takes every set out of the kernel: the end of the daemon.
    pub fn end(&mut self) {
        for set in self.sets.all() {
            self.remove_set(set);
        }
    }

    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if let Some(transmit) = self.transactions.poll_transmit() {
            return Output::Send(transmit);
        }
        let deadlines = [
            self.transactions.next_timeout(),
            self.proxy.next_timeout(),
            self.dialogs.next_timeout(),
            self.privacy.next_timeout(),
            self.sets.next_timeout(),
        ];
        Output::WaitUntil(deadlines.into_iter().flatten().min())
    }

    fn received(&mut self, now: Instant, flow: Flow, message: Message) {
        let from_core = flow.local.ip() == self.config.mw.ip() && flow.local.port() == self.config.mw.port();
        // A TCP connection to the core that we opened has a port of its own; the transaction knows its answers.
        let gm = !from_core
            && self.config.gm_address(flow.local.ip()).is_some_and(|gm| gm.owns(flow.local.port()));
        let timers = if gm { Timers::GM } else { Timers::CORE };
        //= TS 33.203 7.1: the association a message came over is known before anything is read from it
        let arrival = if gm { self.arrival(flow, message.is_request()) } else { None };
        if gm && arrival.is_none() {
            return self
                .event(Event::Dropped { flow, reason: "it came to a protected port over no association" });
        }
        match (self.transactions.receive(now, flow, timers, message), arrival) {
            (Received::Request { id, request }, Some(arrival)) => {
                self.ue_asked(now, id, request, flow, arrival)
            }
            (Received::Request { id, request }, None) => self.core_asked(now, id, request, flow),
            (Received::Cancel { id, invite, request }, arrival) => {
                self.cancelled(now, id, invite, &request, flow, arrival);
            }
            (Received::Ack { request }, Some(Arrival::Over(set))) => {
                self.heard_over(now, Arrival::Over(set));
                self.ack_from_ue(now, &request, flow, set);
            }
            (Received::Ack { request }, None) => self.ack_from_core(now, &request, flow),
            (Received::Response { id, response }, Some(arrival)) => {
                self.ue_answered(now, id, &response, flow, arrival);
            }
            (Received::Response { id, response }, None) => self.core_answered(now, id, response),
            (Received::Overloaded(_), _) => {
                self.event(Event::Dropped { flow, reason: "too many transactions are open" });
            }
            (Received::Stray(_), _) => {
                self.event(Event::Dropped { flow, reason: "no transaction expects it" })
            }
            (Received::Ack { .. } | Received::Absorbed, _) => {}
        }
    }

    /// Which association a message came over; `None` when it may not have come at all. The kernel drops what is not
    /// in ESP on the protected ports, and what does not fit the selector of its association; so the UE's address and
    /// port name the set.
    fn arrival(&self, flow: Flow, is_request: bool) -> Option<Arrival> {
        let gm = self.config.gm_address(flow.local.ip())?;
        if flow.local.port() == gm.clear.port() {
            return Some(Arrival::Unprotected);
        }
        if flow.local.port() == gm.server_port.get() {
            return self.sets.find(flow.remote).map(Arrival::Over);
        }
        // On a connection that we opened from a client port only answers come.
        let ours = |entry: &SetEntry| entry.associations.us_to_pc.destination == flow.local;
        let set = self.sets.at_server(flow.remote).find(|(_, entry)| ours(entry)).map(|(id, _)| id);
        set.filter(|_| !is_request && flow.transport.is_reliable()).map(Arrival::Over)
    }

    fn ue_asked(&mut self, now: Instant, id: ServerId, request: Message, flow: Flow, arrival: Arrival) {
        self.heard_over(now, arrival);
        let reply = self.reply_flow(flow, arrival);
        if let Some(flow) = reply {
            self.transactions.reply_over(id, flow);
        }
        match (request.method(), arrival) {
            (Method::Register, Arrival::Unprotected) if !self.rate.take(now, flow.remote.ip()) => {
                self.turn_away(now, id, &request, Refusal::TooFast);
            }
            (Method::Register, _) => self.register(now, id, request, flow, arrival),
            (_, Arrival::Unprotected) => self.turn_away(now, id, &request, Refusal::Unprotected),
            (_, Arrival::Over(set)) => self.relay_from_ue(now, id, request, flow, set),
        }
    }

    /// Refuses a stranger and keeps nothing of it: neither a transaction nor repetitions of the answer.
    fn turn_away(&mut self, now: Instant, id: ServerId, request: &Message, refusal: Refusal) {
        self.refuse(now, id, request, None, refusal, None);
        self.transactions.discard(id);
    }

    /// The first message over a new set ends the old one.
    fn heard_over(&mut self, now: Instant, arrival: Arrival) {
        if let Arrival::Over(set) = arrival
            && let Some(change) = self.sets.used(now, set)
        {
            self.outputs.push_back(change);
        }
    }

    /// Protected answers over UDP leave from our client port to the UE's server port; over TCP on the connection
    /// of the request. `None`: as the Via of the request says.
    //= TS 33.203 7.1
    fn reply_flow(&self, flow: Flow, arrival: Arrival) -> Option<Flow> {
        let Arrival::Over(set) = arrival else { return None };
        if flow.transport.is_reliable() {
            return Some(flow);
        }
        let sa = self.sets.get(set)?.associations.pc_to_us;
        Some(Flow::udp(sa.source, sa.destination))
    }

    fn respond(&mut self, now: Instant, id: ServerId, reply: Option<Flow>, response: Message) {
        match reply {
            Some(flow) => self.transactions.respond_on(now, id, flow, response),
            None => self.transactions.respond(now, id, response),
        }
    }

    fn refuse(
        &mut self,
        now: Instant,
        id: ServerId,
        request: &Message,
        reply: Option<Flow>,
        refusal: Refusal,
        cause: Option<Box<str>>,
    ) {
        let (status, reason) = refusal.status();
        let (tag, is_register) = (self.token(), request.method() == Method::Register);
        let mut draft = Draft::reply(request, status, reason, Some(&tag));
        for (name, value) in refusal.headers(&self.config) {
            draft.push(name, value);
        }
        let response = draft.finish();
        if let Some(flow) = self.transactions.request_flow(id) {
            let owner = self.sets.find(flow.remote).and_then(|set| self.sets.get(set));
            let owner = owner.map(|entry| entry.device.impi.clone());
            let impi = owner.or_else(|| register::identity(request).filter(|_| is_register));
            self.event(Event::Refused { ue: flow.remote, impi, refusal, cause });
        }
        self.respond(now, id, reply, response);
    }

    fn transaction_events(&mut self, now: Instant) {
        while let Some(event) = self.transactions.poll_event() {
            let (id, cause) = match event {
                sip::Event::ClientTimeout(id) => (id, Cause::Silent),
                sip::Event::ClientTransportError(id) => (id, Cause::Unreachable),
                sip::Event::ServerGone(id) => {
                    self.proxy.sender_gone(now, &mut self.transactions, id);
                    continue;
                }
            };
            match self.asked.remove(&id) {
                None => self.proxy_failed(now, id, cause),
                Some(Asked::Register(forwarded)) => {
                    let reply = self.reply_flow(forwarded.flow, forwarded.arrival);
                    //= RFC 4320 4.2: never a 408 to a REGISTER
                    self.refuse(now, forwarded.server, &forwarded.request, reply, Refusal::CoreSilent, None);
                    self.drop_temporary(now, &forwarded);
                }
                Some(Asked::Subscribe { impi, call_id }) => self.subscribe_failed(now, &impi, &call_id),
            }
        }
    }

    /// The set of an attempt that failed serves no purpose any more, but to bring the answer: what is written to a
    /// stream leaves later, and would find no set.
    fn drop_temporary(&mut self, now: Instant, forwarded: &Forwarded) {
        if let Arrival::Over(set) = forwarded.arrival
            && self.sets.get(set).is_some_and(|entry| entry.stage == Stage::Temporary)
        {
            if forwarded.flow.transport.is_reliable() {
                let change = self.sets.end_soon(now, set);
                self.outputs.extend(change);
            } else {
                self.remove_set(set);
            }
        }
    }

    fn remove_set(&mut self, set: SetId) {
        let Some(entry) = self.sets.remove(set) else { return };
        self.waiting.remove(&set);
        // Also while the kernel has not answered for it: outputs are carried out in their order.
        self.outputs.push_back(Output::RemoveSas { associations: entry.associations });
        if self.sets.of(&entry.device).next().is_none() {
            self.registered_no_more(&entry.device);
        }
        self.event(Event::SetRemoved { impi: entry.device.impi, set, stage: entry.stage });
    }

    /// Forgets a registration, and with the last one of the user the subscription to it.
    fn registered_no_more(&mut self, device: &Device) {
        self.registrations.remove(device);
        self.dialogs.remove_all(device);
        if self.registrations.of(&device.impi).next().is_none() {
            self.subscriptions.remove(&device.impi);
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// 16 random hex digits: tags, icid.
    fn token(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }

    fn own_route(&self, uri: &sip::Uri<'_>) -> bool {
        let port = uri.port.unwrap_or(5060);
        let own = |address: SocketAddr| uri.host.ip() == Some(address.ip()) && port == address.port();
        own(self.config.mw)
            || uri.host.is(sip::Host::Name(&self.config.host))
            || self
                .config
                .gm
                .iter()
                .any(|gm| own(gm.clear) || own(SocketAddr::new(gm.clear.ip(), gm.server_port.get())))
    }
}

/// Removes one option tag from a header, and the header when nothing is left in it.
fn remove_tag<'a>(draft: &mut Draft<'a>, request: &'a Message, name: Name, tag: &str) {
    let mut tags = sip::OptionTags::of(request, name);
    if tags.remove(tag) {
        match tags.value() {
            Some(value) => draft.set(name, value),
            None => draft.remove(name),
        };
    }
}
