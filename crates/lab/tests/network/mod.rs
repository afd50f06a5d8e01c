//! The networks of several operators as values on a virtual clock: no socket, no kernel, no thread.

mod borders;
pub(crate) mod check;
mod diameter;
mod happen;
mod kernel;
mod map;
pub(crate) mod partner;
pub(crate) mod plan;
mod servers;
pub(crate) mod sites;
mod users;
mod wire;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::pcscf::core as p;
use ::ue::core as u;
use cx::LinkError;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sip::{ConnectionId, Flow, Instant, Message};

use self::partner::Partner;
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
    PCscfKernel { node: Node, set: p::SetId, done: Result<(), &'static str> },
    ToICscf { node: Node, id: icscf::CxId, answer: Result<cx::Answer, LinkError> },
    HssAsks { node: Node, id: scscf::CxRequestId, request: cx::Request },
    ToSCscf { node: Node, id: scscf::CxId, answer: Result<cx::Answer, LinkError> },
    Command { ue: u16, command: u::Command },
    Operator { command: scscf::Command },
    Partner { act: partner::Act },
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

/// What an operator knows of its subscribers.
struct Home {
    hss: hss::Hss<hss::MemoryStore>,
    outbox: Arc<servers::Outbox>,
}

pub(crate) struct Network {
    pub(crate) now: Instant,
    pub(crate) ues: Vec<u::Ue>,
    pub(crate) pcscfs: BTreeMap<Node, p::PCscf>,
    pub(crate) icscfs: BTreeMap<Node, icscf::ICscf>,
    /// Two for each operator; the I-CSCF knows the second where the options say so.
    pub(crate) scscfs: BTreeMap<Node, scscf::Scscf>,
    pub(crate) partner: Partner,
    dead: HashSet<Node>,
    homes: Vec<Home>,
    /// Where the answers to what the HSS asks go.
    answers: HashMap<(Node, scscf::CxRequestId), cx::Reply>,
    options: Options,
    pub(crate) kernels: HashMap<Node, Kernel>,
    /// Everything that left a node, also what the wire then lost.
    pub(crate) sent: Vec<Sent>,
    /// Whether it is kept, and the trace: not where there is too much of it.
    pub(crate) keep: bool,
    /// One line a message and Cx request, in order, repetitions included.
    pub(crate) trace: Vec<String>,
    pub(crate) steps: Vec<Vec<u::Step>>,
    pub(crate) events: Vec<p::Event>,
    pub(crate) icscf_events: Vec<(Node, icscf::Event)>,
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
    pub(crate) wire: Wire,
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
        let (mut pcscfs, mut icscfs, mut scscfs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut homes = Vec::new();
        for operator in 0..options.operators {
            pcscfs.extend((0..options.p_cscfs).map(|which| {
                let node = Node::PCscf(operator, which);
                (node, p::PCscf::new(options.pcscf(node), seed()))
            }));
            icscfs.extend((0..options.i_cscfs).map(|which| {
                let node = Node::ICscf(operator, which);
                (node, icscf::ICscf::new(options.icscf(node), seed()))
            }));
            scscfs.extend((0..2).map(|which| {
                let node = Node::SCscf(operator, which);
                (node, scscf::Scscf::new(options.scscf(node), seed()))
            }));
            let (hss, outbox) = (options.hss(operator, seed()), servers::Outbox::new());
            hss.reach(Arc::clone(&outbox) as Arc<dyn cx::PeerLink>);
            homes.push(Home { hss, outbox });
        }
        let kernels = (0..options.ues).map(Node::Ue).chain(pcscfs.keys().copied());
        Self {
            now: Instant::from_epoch(Duration::from_secs(1)),
            steps: vec![Vec::new(); ues.len()],
            kernels: kernels.map(|node| (node, Kernel::default())).collect(),
            ues,
            pcscfs,
            icscfs,
            scscfs,
            partner: Partner::new(),
            dead: HashSet::new(),
            homes,
            answers: HashMap::new(),
            options: options.clone(),
            sent: Vec::new(),
            keep: true,
            trace: Vec::new(),
            events: Vec::new(),
            icscf_events: Vec::new(),
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

    /// The P-CSCF of the first operator.
    pub(crate) fn pcscf(&self) -> &p::PCscf {
        &self.pcscfs[&Node::P_CSCF]
    }

    /// The S-CSCF of the first operator.
    pub(crate) fn scscf(&self) -> &scscf::Scscf {
        &self.scscfs[&Node::S_CSCF]
    }

    /// The other one.
    pub(crate) fn second(&self) -> &scscf::Scscf {
        &self.scscfs[&Node::S_CSCF_2]
    }

    fn pcscf_mut(&mut self, node: Node) -> &mut p::PCscf {
        self.pcscfs.get_mut(&node).unwrap_or_else(|| panic!("there is no {node:?}"))
    }

    fn icscf_mut(&mut self, node: Node) -> &mut icscf::ICscf {
        self.icscfs.get_mut(&node).unwrap_or_else(|| panic!("there is no {node:?}"))
    }

    /// The P-CSCF that this UE uses.
    pub(crate) fn p_cscf_of(&self, ue: u16) -> Node {
        self.options.attachment(ue).p_cscf()
    }

    pub(crate) fn kernel(&mut self, node: Node) -> &mut Kernel {
        self.kernels.get_mut(&node).expect("only UEs and P-CSCFs have kernels")
    }

    pub(crate) fn command_at(&mut self, at: Instant, ue: u16, command: u::Command) {
        self.push(at, Happening::Command { ue, command });
    }

    /// Has the S-CSCF's operator do something.
    pub(crate) fn operator_at(&mut self, at: Instant, command: scscf::Command) {
        self.push(at, Happening::Operator { command });
    }

    /// Has the partner do something now.
    pub(crate) fn partner_does(&mut self, act: partner::Act) {
        self.push(self.now, Happening::Partner { act });
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
}
