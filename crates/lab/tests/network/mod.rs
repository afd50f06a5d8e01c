//! The whole registration chain as values on a virtual clock: no socket, no kernel, no thread.

pub(crate) mod check;
mod diameter;
mod kernel;
mod map;
mod plan;
mod servers;
mod wire;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::pcscf::core as p;
use ::ue::core as u;
use cx::LinkError;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sec_agree::{Associations, SaSet};
use sip::{ConnectionId, Flow, Instant, Message};

use self::map::protects;
pub(crate) use kernel::Kernel;
pub(crate) use map::Node;
pub(crate) use plan::{Options, Wire};

/// A message as it left a node.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) from: Node,
    pub(crate) to: Node,
    /// It left inside ESP.
    pub(crate) protected: bool,
    pub(crate) message: Message,
}

/// A message on the wire, with the state it left in.
#[derive(Debug)]
struct Packet {
    to: Node,
    flow: Flow,
    message: Message,
    esp: Option<(sec_agree::Spi, kernel::State)>,
}

#[derive(Debug)]
enum Happening {
    Arrives(Box<Packet>),
    FlowEnds { at: Node, flow: Flow },
    UeKernel { ue: u16, set: u::SetId, done: Result<(), &'static str> },
    PCscfKernel { set: p::SetId, done: Result<(), &'static str> },
    ToICscf { id: icscf::CxId, answer: Result<cx::Answer, LinkError> },
    HssAsks { node: Node, id: scscf::CxRequestId, request: cx::Request },
    ToSCscf { node: Node, id: scscf::CxId, answer: Result<cx::Answer, LinkError> },
    Command { ue: u16, command: u::Command },
    Operator { command: scscf::Command },
}

struct Entry(Instant, u64, Happening);

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Entry {}

/// Somebody on the wire between UE and P-CSCF: what becomes of a message in clear, from and to whom.
pub(crate) type Tamper = Box<dyn FnMut(Node, Node, Message) -> Vec<Message>>;

/// A change of a kernel, carried out after what the core sends: as the shells do.
enum Change<Set> {
    Install(Set, SaSet, Duration),
    Extend(Associations, Duration, Duration),
    Remove(Associations),
    Close(SocketAddr),
}

pub(crate) struct Network {
    pub(crate) now: Instant,
    pub(crate) ues: Vec<u::Ue>,
    pub(crate) pcscf: p::PCscf,
    pub(crate) icscf: icscf::ICscf,
    pub(crate) scscf: scscf::Scscf,
    /// Known to the I-CSCF where the options say so.
    pub(crate) second: scscf::Scscf,
    dead: HashSet<Node>,
    outbox: Arc<servers::Outbox>,
    /// Where the answers to what the HSS asks go.
    answers: HashMap<(Node, scscf::CxRequestId), cx::Reply>,
    options: Options,
    hss: hss::Hss<hss::MemoryStore>,
    pub(crate) kernels: HashMap<Node, Kernel>,
    /// Everything that left a node, also what the wire then lost.
    pub(crate) sent: Vec<Sent>,
    /// One line a message and Cx request, in order, repetitions included.
    pub(crate) trace: Vec<String>,
    pub(crate) steps: Vec<Vec<u::Step>>,
    pub(crate) events: Vec<p::Event>,
    pub(crate) scscf_events: Vec<scscf::Event>,
    /// Of whom each of them is.
    pub(crate) scscf_nodes: Vec<Node>,
    /// Results of the operator's commands.
    pub(crate) done: Vec<Result<scscf::Done, scscf::CommandError>>,
    pub(crate) tamper: Option<Tamper>,
    /// Dropped by a kernel because the two ends did not hold the same state.
    pub(crate) unprotected_drops: u32,
    /// Why Cx carries nothing now.
    pub(crate) cx_failure: Option<LinkError>,
    wire: Wire,
    rng: ChaCha20Rng,
    queue: BinaryHeap<Reverse<Entry>>,
    order: u64,
    deadlines: HashMap<Node, Instant>,
    connections: HashMap<(Node, SocketAddr, SocketAddr), (ConnectionId, SocketAddr)>,
    last_on: HashMap<(ConnectionId, Node), Instant>,
    /// Who has closed which connection.
    closed: HashMap<ConnectionId, Node>,
    next_connection: u64,
}

impl Network {
    pub(crate) fn new(options: &Options) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(options.seed);
        let mut seed = || {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            seed
        };
        let ues: Vec<u::Ue> =
            (0..options.ues).map(|n| u::Ue::new(options.ue(n), options.card(n), seed())).collect();
        let pcscf = p::PCscf::new(options.pcscf(), seed());
        let icscf = icscf::ICscf::new(options.icscf(), seed());
        let scscf = scscf::Scscf::new(options.scscf(Node::SCscf), seed());
        let second = scscf::Scscf::new(options.scscf(Node::SCscf2), seed());
        let hss = options.hss(seed());
        let outbox = servers::Outbox::new();
        hss.reach(Arc::clone(&outbox) as Arc<dyn cx::PeerLink>);
        let kernels = (0..options.ues).map(Node::Ue).chain([Node::PCscf]);
        Self {
            now: Instant::from_epoch(Duration::from_secs(1)),
            steps: vec![Vec::new(); ues.len()],
            kernels: kernels.map(|node| (node, Kernel::default())).collect(),
            ues,
            pcscf,
            icscf,
            scscf,
            second,
            dead: HashSet::new(),
            outbox,
            answers: HashMap::new(),
            options: options.clone(),
            hss,
            sent: Vec::new(),
            trace: Vec::new(),
            events: Vec::new(),
            scscf_events: Vec::new(),
            scscf_nodes: Vec::new(),
            done: Vec::new(),
            tamper: None,
            unprotected_drops: 0,
            cx_failure: None,
            wire: options.wire,
            rng,
            queue: BinaryHeap::new(),
            order: 0,
            deadlines: HashMap::new(),
            connections: HashMap::new(),
            last_on: HashMap::new(),
            closed: HashMap::new(),
            next_connection: 0,
        }
    }

    pub(crate) fn kernel(&mut self, node: Node) -> &mut Kernel {
        self.kernels.get_mut(&node).expect("only UEs and the P-CSCF have kernels")
    }

    pub(crate) fn command_at(&mut self, at: Instant, ue: u16, command: u::Command) {
        self.push(at, Happening::Command { ue, command });
    }

    /// Has the S-CSCF's operator do something.
    pub(crate) fn operator_at(&mut self, at: Instant, command: scscf::Command) {
        self.push(at, Happening::Operator { command });
    }

    /// Puts a message on the wire that no role has sent, in clear, as if it came by `flow` (seen from its receiver).
    pub(crate) fn inject(&mut self, to: Node, flow: Flow, message: Message) {
        let at = self.now + self.wire.latency;
        self.push(at, Happening::Arrives(Box::new(Packet { to, flow, message, esp: None })));
    }

    /// Has a UE do something and runs until it is done; answers the steps.
    pub(crate) fn command(&mut self, ue: u16, command: u::Command) -> Vec<u::Step> {
        let (from, limit) = (self.steps[usize::from(ue)].len(), self.now + Duration::from_secs(600));
        self.command_at(self.now, ue, command);
        loop {
            let steps = &self.steps[usize::from(ue)][from..];
            if steps.last().is_some_and(u::Step::ends) {
                return steps.to_vec();
            }
            if !self.advance(limit) {
                panic!("no outcome within ten minutes: {:?}\n{:#?}", self.steps, self.trace);
            }
        }
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.advance(until) {}
        self.now = until;
    }

    /// From now on the wire loses, repeats and delays nothing, and timers are in time.
    pub(crate) fn mend(&mut self) {
        self.wire = Wire::default();
    }

    /// The next thing that happens, unless it happens after `until`.
    fn advance(&mut self, until: Instant) -> bool {
        let timer = self.deadlines.iter().map(|(node, at)| (*at, *node)).min();
        let queued = self.queue.peek().map(|Reverse(entry)| entry.0);
        let at = match (timer.map(|(at, _)| at), queued) {
            (Some(timer), Some(queued)) => timer.min(queued),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return false,
        };
        if at > until {
            return false;
        }
        self.now = self.now.max(at);
        if queued == Some(at) {
            if let Some(Reverse(Entry(_, _, happening))) = self.queue.pop() {
                self.happen(happening);
            }
        } else if let Some((_, node)) = timer {
            self.deadlines.remove(&node);
            self.time_out(node);
        }
        true
    }

    fn push(&mut self, at: Instant, happening: Happening) {
        self.order += 1;
        self.queue.push(Reverse(Entry(at, self.order, happening)));
    }

    fn time_out(&mut self, node: Node) {
        match node {
            Node::Ue(n) => self.ues[usize::from(n)].handle(self.now, u::Input::Timeout),
            Node::PCscf => self.pcscf.handle(self.now, p::Input::Timeout),
            Node::ICscf => self.icscf.handle(self.now, icscf::Input::Timeout),
            Node::SCscf | Node::SCscf2 => {
                let now = self.now;
                self.server(node).handle(now, scscf::Input::Timeout);
            }
        }
        self.carry_out(node);
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now;
        let node = match happening {
            Happening::Arrives(packet) => {
                let Packet { to, flow, message, esp } = *packet;
                if self.dead.contains(&to) {
                    return;
                }
                // What is not in ESP does not pass the policies of a protected port.
                let taken = match esp {
                    Some((spi, state)) => self.kernels[&to].takes(spi, &state),
                    None => !protects(flow.local),
                };
                if !taken {
                    self.unprotected_drops += 1;
                    return;
                }
                match to {
                    Node::Ue(n) => self.ues[usize::from(n)].handle(now, u::Input::Received { flow, message }),
                    Node::PCscf => self.pcscf.handle(now, p::Input::Received { flow, message }),
                    Node::ICscf => self.icscf.handle(now, icscf::Input::Received { flow, message }),
                    Node::SCscf | Node::SCscf2 => {
                        self.server(to).handle(now, scscf::Input::Received { flow, message });
                    }
                }
                to
            }
            Happening::FlowEnds { at, flow } => {
                if self.dead.contains(&at) {
                    return;
                }
                match at {
                    Node::Ue(n) => self.ues[usize::from(n)].handle(now, u::Input::TransportFailed { flow }),
                    Node::PCscf => self.pcscf.handle(now, p::Input::TransportFailed { flow }),
                    Node::ICscf => self.icscf.handle(now, icscf::Input::TransportFailed { flow }),
                    Node::SCscf | Node::SCscf2 => {
                        self.server(at).handle(now, scscf::Input::TransportFailed { flow });
                    }
                }
                at
            }
            Happening::UeKernel { ue, set, done } => {
                let input = match done {
                    Ok(()) => u::Input::SasInstalled { set },
                    Err(cause) => u::Input::SasFailed { set, cause: cause.into() },
                };
                self.ues[usize::from(ue)].handle(now, input);
                Node::Ue(ue)
            }
            Happening::PCscfKernel { set, done } => {
                let input = match done {
                    Ok(()) => p::Input::SasInstalled { set },
                    Err(cause) => p::Input::SasFailed { set, cause: cause.into() },
                };
                self.pcscf.handle(now, input);
                Node::PCscf
            }
            Happening::ToICscf { id, answer } => {
                self.icscf.handle(now, icscf::Input::CxAnswer { id, answer });
                Node::ICscf
            }
            Happening::HssAsks { node, id, request } => {
                // One that has died since has taken its answers along.
                if !self.answers.contains_key(&(node, id)) {
                    return;
                }
                self.server(node).handle(now, scscf::Input::CxRequest { id, request });
                node
            }
            Happening::ToSCscf { node, id, answer } => {
                if self.dead.contains(&node) {
                    return;
                }
                self.server(node).handle(now, scscf::Input::CxAnswer { id, answer });
                node
            }
            Happening::Operator { command } => {
                // At the one that serves the user.
                let id = scscf::CommandId(self.order);
                let node = self.server_of(&command);
                self.server(node).handle(now, scscf::Input::Command { id, command });
                node
            }
            Happening::Command { ue, command } => {
                self.ues[usize::from(ue)].handle(now, u::Input::Command(command));
                Node::Ue(ue)
            }
        };
        self.carry_out(node);
    }

    fn carry_out(&mut self, node: Node) {
        let deadline = match node {
            Node::Ue(n) => self.carry_out_ue(n),
            Node::PCscf => self.carry_out_pcscf(),
            Node::ICscf => loop {
                match self.icscf.poll() {
                    icscf::Output::Send(transmit) => self.send(node, &transmit),
                    icscf::Output::Cx { id, request } => {
                        let answer = self.ask("I-CSCF", request);
                        self.push(self.now + self.wire.cx_latency, Happening::ToICscf { id, answer });
                        self.carry_notices();
                    }
                    icscf::Output::Event(_) => {}
                    icscf::Output::WaitUntil(deadline) => break deadline,
                }
            },
            Node::SCscf | Node::SCscf2 => self.carry_out_scscf(node),
        };
        // A busy machine fires its timers late.
        let late = self.wire.lateness;
        let late =
            if late.is_zero() { late } else { late.mul_f64(f64::from(self.rng.next_u32() % 1000) / 1000.0) };
        match deadline.map(|at| at.max(self.now) + late) {
            Some(at) => self.deadlines.insert(node, at),
            None => self.deadlines.remove(&node),
        };
    }

    fn carry_out_ue(&mut self, n: u16) -> Option<Instant> {
        let mut changes = Vec::new();
        let deadline = loop {
            match self.ues[usize::from(n)].poll() {
                u::Output::Send(transmit) => self.send(Node::Ue(n), &transmit),
                u::Output::InstallSas { set, sas, lifetime } => {
                    changes.push(Change::Install(set, sas, lifetime));
                }
                u::Output::ExtendSas { associations, age, lifetime } => {
                    changes.push(Change::Extend(associations, age, lifetime));
                }
                u::Output::RemoveSas { associations } => changes.push(Change::Remove(associations)),
                u::Output::Close { local } => changes.push(Change::Close(local)),
                u::Output::Step(step) => self.steps[usize::from(n)].push(step),
                u::Output::WaitUntil(deadline) => break deadline,
            }
        };
        self.change(Node::Ue(n), changes, |set, done| Happening::UeKernel { ue: n, set, done });
        deadline
    }

    fn carry_out_pcscf(&mut self) -> Option<Instant> {
        let mut changes = Vec::new();
        let deadline = loop {
            match self.pcscf.poll() {
                p::Output::Send(transmit) => self.send(Node::PCscf, &transmit),
                p::Output::InstallSas { set, sas, lifetime } => {
                    changes.push(Change::Install(set, sas, lifetime));
                }
                p::Output::ExtendSas { associations, age, lifetime } => {
                    changes.push(Change::Extend(associations, age, lifetime));
                }
                p::Output::RemoveSas { associations } => changes.push(Change::Remove(associations)),
                p::Output::Save(_) => {}
                p::Output::Event(event) => self.events.push(event),
                p::Output::WaitUntil(deadline) => break deadline,
            }
        };
        self.change(Node::PCscf, changes, |set, done| Happening::PCscfKernel { set, done });
        deadline
    }

    fn change<Set>(
        &mut self,
        node: Node,
        changes: Vec<Change<Set>>,
        answer: impl Fn(Set, Result<(), &'static str>) -> Happening,
    ) {
        let now = self.now;
        for change in changes {
            match change {
                Change::Install(set, sas, lifetime) => {
                    let done = self.kernel(node).install(now, &sas, lifetime);
                    self.push(now + self.wire.kernel_latency, answer(set, done));
                }
                Change::Extend(set, age, lifetime) => self.kernel(node).extend(now, &set, age, lifetime),
                Change::Remove(set) => {
                    assert!(
                        self.kernel(node).remove(now, &set),
                        "{node:?} removes what is not there: {set:?}"
                    );
                }
                Change::Close(local) => self.close(node, local),
            }
        }
    }

    fn ask(&mut self, caller: &str, request: cx::Request) -> Result<cx::Answer, LinkError> {
        self.trace.push(format!("{caller} {}", request.name()));
        let from = cx::Origin { host: caller.to_ascii_lowercase(), realm: ::lab::plan::HOME_DOMAIN.into() };
        let hss = &mut self.hss;
        self.cx_failure
            .map_or_else(|| Ok(diameter::carried(&from, request, |request| hss.answer(&from, request))), Err)
    }
}
