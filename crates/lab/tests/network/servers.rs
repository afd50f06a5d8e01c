//! The S-CSCFs, which may die, and what the HSS tells them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use aka::Impi;
use cx::{LinkError, Origin, PeerLink, Reply};
use rand_chacha::rand_core::Rng;

use super::{Happening, Network, Node, Options};

/// What the HSS has sent and nobody has carried yet.
#[derive(Default)]
pub(super) struct Outbox(Mutex<VecDeque<(Origin, cx::Request, Reply)>>);

impl PeerLink for Outbox {
    fn call(&self, to: &Origin, request: cx::Request, reply: Reply) {
        self.0.lock().unwrap().push_back((to.clone(), request, reply));
    }
}

impl Outbox {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }
}

impl Network {
    pub(super) fn server(&mut self, node: Node) -> &mut scscf::Scscf {
        self.scscfs.get_mut(&node).unwrap_or_else(|| panic!("{node:?} is no S-CSCF"))
    }

    /// The node is gone, with all it knew; what is sent to it is lost, and connections are refused.
    pub(crate) fn kill(&mut self, node: Node) {
        self.trace.push(format!("{node:?} dies"));
        self.dead.insert(node);
        self.deadlines.remove(&node);
        self.answers.retain(|(at, _), _| *at != node);
        let now = self.now;
        let lost: Vec<(Impi, aka::Impu)> = self
            .server(node)
            .registrations(now)
            .filter_map(|user| Some((user.impi, user.associated.first()?.clone())))
            .collect();
        for (impi, impu) in lost {
            let cause = scscf::Deregistration::Moved;
            self.happened(node, scscf::Event::Deregistered { impi, impu, cause });
        }
        let mut ended: Vec<_> = self.connections.keys().copied().collect();
        ended.retain(|(at, ..)| *at == node);
        ended.sort_unstable();
        for (_, local, _) in ended {
            self.close(node, local);
        }
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let config = self.options.scscf(node);
        *self.server(node) = scscf::Scscf::new(config, seed);
    }

    /// Nothing is heard of the node any more, and it hears nothing.
    pub(crate) fn silence(&mut self, node: Node) {
        self.trace.push(format!("{node} falls silent"));
        self.dead.insert(node);
        self.deadlines.remove(&node);
    }

    /// The S-CSCF whose operator must act: where the user is registered, else the first.
    pub(super) fn server_of(&self, command: &scscf::Command) -> Node {
        let user = match command {
            scscf::Command::Deregister { user, .. } | scscf::Command::Reauthenticate { user, .. } => user,
            scscf::Command::List { .. } => return Node::S_CSCF,
        };
        let serves = |server: &scscf::Scscf| {
            server.registrations(self.now).any(|registered| match user {
                scscf::User::Impi(impi) => registered.impi == *impi,
                scscf::User::Impu(impu) => registered.associated.contains(impu),
            })
        };
        let mut found = self.alive().filter(|(_, server)| serves(server)).map(|(node, _)| node);
        found.next_back().unwrap_or(Node::S_CSCF)
    }

    fn alive(&self) -> impl DoubleEndedIterator<Item = (Node, &scscf::Scscf)> {
        let all = self.scscfs.iter().map(|(node, server)| (*node, server));
        all.filter(|(node, _)| !self.dead.contains(node))
    }

    /// It is back, and knows nobody.
    pub(crate) fn revive(&mut self, node: Node) {
        self.trace.push(format!("{node:?} is back"));
        self.dead.remove(&node);
    }

    /// Who is registered at an S-CSCF that lives.
    pub(crate) fn registered(&self) -> BTreeSet<Impi> {
        self.alive().flat_map(|(_, server)| server.registrations(self.now)).map(|user| user.impi).collect()
    }

    /// The same with the S-CSCF of each, also of one that is dead.
    pub(crate) fn registered_where(&self) -> BTreeSet<(Node, String)> {
        let users = |(node, server): (&Node, &scscf::Scscf)| -> Vec<(Node, String)> {
            server.registrations(self.now).map(|user| (*node, user.impi.to_string())).collect()
        };
        self.scscfs.iter().flat_map(users).collect()
    }

    /// The operator of the first HSS does something; the S-CSCFs hear of it.
    pub(crate) fn at_hss(&mut self, act: impl FnOnce(&hss::Hss<hss::MemoryStore>)) {
        act(&self.homes[0].hss);
        self.carry_notices();
    }

    pub(super) fn carry_notices(&mut self) {
        loop {
            let next = self.homes.iter().find_map(|home| home.outbox.0.lock().unwrap().pop_front());
            let Some((to, request, reply)) = next else { return };
            let mut nodes = self.scscfs.keys().copied();
            let called = nodes.find(|node| node.to_string().eq_ignore_ascii_case(&to.host));
            let node = called.unwrap_or_else(|| panic!("the HSS calls {}", to.host));
            self.trace.push(format!("HSS {} to {node:?}", request.name()));
            if self.dead.contains(&node) || self.cx_failure.is_some() {
                reply(Err(LinkError::NotConnected));
                continue;
            }
            self.order += 1;
            let id = scscf::CxRequestId(self.order);
            self.answers.insert((node, id), reply);
            self.push(self.now + self.wire.cx_latency, Happening::HssAsks { node, id, request });
        }
    }

    fn happened(&mut self, node: Node, event: scscf::Event) {
        self.scscf_events.push(event);
        self.scscf_nodes.push(node);
    }

    pub(super) fn carry_out_scscf(&mut self, node: Node) -> Option<sip::Instant> {
        loop {
            match self.server(node).poll() {
                scscf::Output::Send(transmit) => self.send(node, &transmit),
                scscf::Output::Cx { id, request } => {
                    let answer = self.ask_hss(node, request);
                    self.push(self.now + self.wire.cx_latency, Happening::ToSCscf { node, id, answer });
                    self.carry_notices();
                }
                scscf::Output::CxAnswer { id, answer } => {
                    if let Some(reply) = self.answers.remove(&(node, id)) {
                        reply(Ok(answer));
                    }
                }
                scscf::Output::Event(event) => self.happened(node, event),
                scscf::Output::Done { result, .. } => self.done.push(result),
                scscf::Output::WaitUntil(deadline) => return deadline,
            }
        }
    }
}

impl Options {
    /// The S-CSCFs that the I-CSCFs of this operator know.
    pub(super) fn servers(&self, operator: u8) -> Vec<Node> {
        [0, 1].into_iter().take(self.s_cscfs).map(|which| Node::SCscf(operator, which)).collect()
    }
}
