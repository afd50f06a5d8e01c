//! The wire: who hears what a node sends, and when.

use std::net::SocketAddr;

use rand_chacha::rand_core::Rng;
use sip::{ConnectionId, Flow, Message, Transmit, Transport};

use super::map::{line, protects};
use super::sites::owner;
use super::{Happening, Network, Node, Packet, Sent};

impl Network {
    pub(super) fn send(&mut self, from: Node, transmit: &Transmit) {
        let message = Message::parse(transmit.bytes.to_vec()).expect("what a core sends is SIP");
        let asked = transmit.flow;
        let to = owner(asked.remote);
        let found = match asked.transport {
            Transport::Udp => Some((asked, None)),
            _ => self.connection(from, to, asked),
        };
        let found = found.filter(|(_, connection)| connection.is_none() || !self.dead.contains(&to));
        let Some((flow, connection)) = found else {
            return self.push(self.now, Happening::FlowEnds { at: from, flow: asked });
        };
        let protected = protects(flow.local) || protects(flow.remote);
        if self.keep {
            self.trace.push(line(from, to, &message, protected));
        }
        let esp = if protected && from != to {
            let outgoing = self.kernels[&from].outgoing(flow.local, flow.remote);
            outgoing.map(|(spi, state)| (spi, state.clone()))
        } else {
            None
        };
        let leaves = !protected || esp.is_some();
        let there = Flow { local: flow.remote, remote: flow.local, connection, ..flow };
        if self.keep {
            self.sent.push(Sent { from, to, protected, message: message.clone() });
        }
        if !leaves {
            self.unprotected_drops += 1;
            return;
        }
        let copies = match connection {
            Some(_) => 1,
            None if self.percent(self.wire.loss_percent) => 0,
            None if self.percent(self.wire.duplicate_percent) => 2,
            None => 1,
        };
        let messages = match &mut self.tamper {
            Some(tamper) if is_gm(from, to) && !protected => tamper(from, to, message.clone()),
            _ => vec![message],
        };
        for message in std::iter::repeat_n(messages, copies).flatten() {
            let mut at = self.now + self.wire.latency;
            if !self.wire.jitter.is_zero() {
                at += self.wire.jitter.mul_f64(f64::from(self.rng.next_u32() % 1000) / 1000.0);
            }
            if let Some(id) = connection {
                let last = self.last_on.entry((id, to)).or_insert(at);
                at = at.max(*last);
                *last = at;
            }
            let esp = esp.clone();
            self.push(at, Happening::Arrives(Box::new(Packet { to, flow: there, message, esp })));
        }
    }

    /// The two real ends of a stream flow, and the connection between them, which may be new.
    /// None when the other end has closed it.
    fn connection(&mut self, from: Node, to: Node, asked: Flow) -> Option<(Flow, Option<ConnectionId>)> {
        if let Some(id) = asked.connection {
            let closed_by = self.closed.get(&id);
            assert_ne!(closed_by, Some(&from), "it answers on a connection that it has closed: {asked:?}");
            return closed_by.is_none().then_some((asked, Some(id)));
        }
        let key = (from, asked.local, asked.remote);
        let (id, local) = match self.connections.get(&key) {
            Some(known) => *known,
            None => {
                self.next_connection += 1;
                let id = ConnectionId(self.next_connection);
                let ephemeral = 40_000 + u16::try_from(self.next_connection % 20_000).unwrap_or(0);
                let port = if asked.local.port() == 0 { ephemeral } else { asked.local.port() };
                let local = SocketAddr::new(asked.local.ip(), port);
                self.connections.insert(key, (id, local));
                self.connections.insert((to, asked.remote, local), (id, asked.remote));
                (id, local)
            }
        };
        Some((Flow { local, ..asked }, Some(id)))
    }

    pub(super) fn close(&mut self, node: Node, local: SocketAddr) {
        let gone: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter_map(|((at, asked, _), (id, _))| (*at == node && *asked == local).then_some(*id))
            .collect();
        let mut ended: Vec<(Node, SocketAddr, SocketAddr)> =
            self.connections.iter().filter(|(_, (id, _))| gone.contains(id)).map(|(key, _)| *key).collect();
        ended.sort_unstable();
        for key in ended {
            self.connections.remove(&key);
            let (at, local, remote) = key;
            self.closed.extend(gone.iter().map(|id| (*id, node)));
            if at != node {
                let at_then = self.now + self.wire.latency;
                self.push(at_then, Happening::FlowEnds { at, flow: Flow::tcp(local, remote) });
            }
        }
    }

    fn percent(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.next_u32() % 100 < percent
    }
}

fn is_gm(from: Node, to: Node) -> bool {
    matches!((from, to), (Node::Ue(_), Node::PCscf(..)) | (Node::PCscf(..), Node::Ue(_)))
}
