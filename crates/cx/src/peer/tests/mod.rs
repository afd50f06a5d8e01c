//! Nodes on a virtual clock, with wires between them that can be cut and frozen.

mod failover;
mod random;
mod serving;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use aka::{Impi, Impu};

use super::calling::Target;
use super::connection::{End, Side};
use super::duplicates::Limits;
use super::node::{Asked, Node, Output, Settings};
use super::watchdog::State;
use super::{Now, Origin};
use crate::diameter::{Command, Header};
use crate::{
    Answer, AuthScheme, BaseCode, LinkError, MultimediaAuth, MultimediaAuthRequest, Request, ServerName,
};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CX: &[Command] = &[
    Command::UserAuthorization,
    Command::ServerAssignment,
    Command::LocationInfo,
    Command::MultimediaAuth,
    Command::RegistrationTermination,
];

fn origin(host: &str) -> Origin {
    Origin { host: format!("{host}.home.example"), realm: "home.example".into() }
}

fn settings(host: &str, peers: usize) -> Settings {
    Settings {
        origin: origin(host),
        watchdog: Duration::from_secs(6),
        dial: vec![None; peers],
        shortest_pause: Duration::from_millis(500),
        longest_pause: Duration::from_secs(8),
        destination_realm: "home.example".into(),
        destination_host: None,
        request_timeout: Duration::from_secs(60),
        max_in_flight: 100,
        serves: CX,
        max_in_progress: 10,
        remembered: Limits { time: Duration::from_secs(30), entries: 1000, octets: 1_000_000 },
        allowed: None,
        max_peers: 10,
    }
}

fn mar(items: u32) -> Request {
    Request::Mar(MultimediaAuthRequest {
        impi: Impi::new("a@home.example").unwrap(),
        impu: Impu::new("sip:a@home.example").unwrap(),
        server_name: ServerName::new("sip:scscf.home.example").unwrap(),
        items,
        scheme: AuthScheme::DigestAka,
        resync: None,
    })
}

fn maa() -> Answer {
    Answer::Maa(Ok(MultimediaAuth::default()))
}

/// A wire between two connections.
struct Wire {
    ends: [(usize, u64); 2],
    /// What is written on it is lost, and nobody is told.
    frozen: bool,
}

/// Node 0 dials; node n is its peer n - 1.
struct World {
    now: Now,
    nodes: Vec<Node<u32>>,
    /// Whether node n takes connections.
    listens: Vec<bool>,
    wires: Vec<Wire>,
    /// Requests the server of node n has not answered.
    held: Vec<Vec<Asked>>,
    /// Whether the server of node n holds them, or answers at once.
    holds: Vec<bool>,
    served: Vec<usize>,
    replies: Vec<(u32, Result<Answer, LinkError>)>,
    /// Every Cx request that was on a wire: from, to, its header.
    requests: Vec<(usize, usize, Header)>,
    dials: Vec<(Now, usize)>,
    next_call: u32,
}

impl World {
    fn new(peers: usize) -> Self {
        let mut all = vec![settings("scscf", peers)];
        all.extend((1..=peers).map(|number| settings(&format!("hss{number}"), 0)));
        Self::of(all)
    }

    fn of(settings: Vec<Settings>) -> Self {
        let count = settings.len();
        let mut nodes: Vec<_> =
            settings.into_iter().zip(1..).map(|(one, seed)| Node::new(one, seed)).collect();
        nodes[0].start();
        Self {
            now: Now::ZERO,
            nodes,
            listens: vec![true; count],
            wires: Vec::new(),
            held: (0..count).map(|_| Vec::new()).collect(),
            holds: vec![false; count],
            served: vec![0; count],
            replies: Vec::new(),
            requests: Vec::new(),
            dials: Vec::new(),
            next_call: 0,
        }
    }

    fn call(&mut self, node: usize, target: Target) -> u32 {
        self.next_call += 1;
        self.nodes[node].call(self.now, target, mar(self.next_call), self.next_call);
        self.settle();
        self.next_call
    }

    /// Until nothing moves.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for node in 0..self.nodes.len() {
                while let Some(output) = self.nodes[node].outputs.pop_front() {
                    moved = true;
                    self.carry_out(node, output);
                }
            }
            for wire in 0..self.wires.len() {
                moved |= self.carry(wire, 0) | self.carry(wire, 1);
            }
            self.wires.retain(|wire| {
                wire.ends.iter().any(|(node, id)| self.nodes[*node].connections.contains_key(id))
            });
            if !moved {
                return;
            }
        }
    }

    fn carry_out(&mut self, node: usize, output: Output<u32>) {
        match output {
            Output::Write(_) => {}
            Output::Dial(place) => {
                self.dials.push((self.now, place));
                let peer = place + 1;
                if !self.listens[peer] {
                    return self.nodes[node].dial_failed(self.now, place);
                }
                let ours = self.nodes[node].opened(self.now, Side::Dialled(place), LOCAL, None);
                let theirs = self.nodes[peer].opened(self.now, Side::Accepted, LOCAL, None);
                self.wires.push(Wire { ends: [(node, ours), (peer, theirs)], frozen: false });
            }
            Output::Serve(asked) => {
                self.served[node] += 1;
                if self.holds[node] {
                    self.held[node].push(*asked);
                } else {
                    self.nodes[node].answered(asked.ticket, Some(maa()));
                }
            }
            Output::Reply { to, result } => self.replies.push((to, result)),
        }
    }

    fn carry(&mut self, wire: usize, end: usize) -> bool {
        let Wire { ends, frozen } = &self.wires[wire];
        let (frozen, (from, id), (to, other)) = (*frozen, ends[end], ends[1 - end]);
        if !self.nodes[from].connections.contains_key(&id) {
            return false;
        }
        let (messages, ended) = self.nodes[from].take(id);
        for message in messages.iter().filter(|_| !frozen) {
            let (header, _) = Header::parse(message.as_bytes()).unwrap();
            if header.request && CX.contains(&header.command) {
                self.requests.push((from, to, header));
            }
            self.nodes[to].received(self.now, other, message.as_bytes());
        }
        if ended {
            self.nodes[from].closed(self.now, id, End::Closed);
            if !frozen {
                self.nodes[to].closed(self.now, other, End::Closed);
            }
        }
        ended || !messages.is_empty()
    }

    /// Lets time pass, from deadline to deadline.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        self.settle();
        loop {
            let next = self.nodes.iter().filter_map(Node::deadline).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            for node in &mut self.nodes {
                if node.deadline().is_some_and(|deadline| deadline <= self.now) {
                    node.expire(self.now);
                    assert!(node.deadline().is_none_or(|deadline| deadline > self.now), "a busy loop");
                }
            }
            self.settle();
        }
        self.now = until;
    }

    /// Node n is gone: its connections break and it takes no new ones.
    fn kill(&mut self, node: usize) {
        self.listens[node] = false;
        for wire in std::mem::take(&mut self.wires) {
            if wire.ends.iter().any(|(one, _)| *one == node) {
                for (one, id) in wire.ends {
                    self.nodes[one].closed(self.now, id, End::Closed);
                }
            } else {
                self.wires.push(wire);
            }
        }
        self.settle();
    }

    fn freeze(&mut self, node: usize, frozen: bool) {
        for wire in &mut self.wires {
            if wire.ends.iter().any(|(one, _)| *one == node) {
                wire.frozen = frozen;
            }
        }
    }

    /// The state of each peer of node 0.
    fn states(&self) -> Vec<State> {
        let node = &self.nodes[0];
        let mut states: Vec<_> = node.dials.iter().map(|dial| dial.watchdog.state()).collect();
        for connection in node.connections.values().filter(|one| one.ended.is_none()) {
            if let Side::Dialled(place) = connection.side {
                states[place] = connection.watchdog.state();
            }
        }
        states
    }

    fn answer_held(&mut self, node: usize) {
        for asked in std::mem::take(&mut self.held[node]) {
            self.nodes[node].answered(asked.ticket, Some(maa()));
        }
        self.settle();
    }

    fn reply(&mut self) -> Option<(u32, Result<Answer, LinkError>)> {
        assert!(self.replies.len() <= 1, "{:?}", self.replies);
        self.replies.pop()
    }
}
