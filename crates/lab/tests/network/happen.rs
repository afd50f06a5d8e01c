//! What happens at a node, and what the node wants done then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::pcscf::core as p;
use ::ue::core as u;
use cx::LinkError;
use rand_chacha::rand_core::Rng;
use sec_agree::{Associations, SaSet};
use sip::{Flow, Instant, Message, Transport};

use super::map::protects;
use super::{Happening, Network, Node, Packet, diameter, sites};

/// A change of a kernel, carried out after what the core sends: as the shells do.
enum Change<Set> {
    Install(Set, SaSet, Duration),
    Extend(Associations, Duration, Duration),
    Remove(Associations),
    Close(SocketAddr),
}

impl Network {
    pub(super) fn time_out(&mut self, node: Node) {
        let now = self.now;
        match node {
            Node::Ue(n) => self.ues[usize::from(n)].handle(now, u::Input::Timeout),
            Node::PCscf(..) => self.pcscf_mut(node).handle(now, p::Input::Timeout),
            Node::ICscf(..) => self.icscf_mut(node).handle(now, icscf::Input::Timeout),
            Node::SCscf(..) => self.server(node).handle(now, scscf::Input::Timeout),
            Node::Partner => self.partner.time_out(now),
        }
        self.carry_out(node);
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        let now = self.now;
        let node = match happening {
            Happening::Arrives(packet) => match self.arrives(*packet) {
                Some(node) => node,
                None => return,
            },
            Happening::FlowEnds { at, .. } if self.dead.contains(&at) => return,
            Happening::FlowEnds { at, flow } => {
                self.flow_ends(at, flow);
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
            Happening::PCscfKernel { node, set, done } => {
                let input = match done {
                    Ok(()) => p::Input::SasInstalled { set },
                    Err(cause) => p::Input::SasFailed { set, cause: cause.into() },
                };
                self.pcscf_mut(node).handle(now, input);
                node
            }
            Happening::ToICscf { node, id, answer } => {
                self.icscf_mut(node).handle(now, icscf::Input::CxAnswer { id, answer });
                node
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
            Happening::Partner { act } => {
                self.partner.act(now, act);
                Node::Partner
            }
        };
        self.carry_out(node);
    }

    /// Where it was taken.
    fn arrives(&mut self, packet: Packet) -> Option<Node> {
        let Packet { to, flow, message, esp } = packet;
        if self.dead.contains(&to) {
            return None;
        }
        // What is not in ESP does not pass the policies of a protected port.
        let taken = match esp {
            Some((spi, state)) => self.kernels[&to].takes(spi, &state),
            None => !protects(flow.local),
        };
        if !taken {
            self.unprotected_drops += 1;
            return None;
        }
        self.deliver(to, flow, message);
        Some(to)
    }

    fn deliver(&mut self, node: Node, flow: Flow, message: Message) {
        let now = self.now;
        match node {
            Node::Ue(n) => self.ues[usize::from(n)].handle(now, u::Input::Received { flow, message }),
            Node::PCscf(..) => self.pcscf_mut(node).handle(now, p::Input::Received { flow, message }),
            Node::ICscf(..) => {
                let names = certificate(flow);
                self.icscf_mut(node).handle(now, icscf::Input::Received { flow, message, names });
            }
            Node::SCscf(..) => self.server(node).handle(now, scscf::Input::Received { flow, message }),
            Node::Partner => self.partner.received(now, flow, message),
        }
    }

    fn flow_ends(&mut self, node: Node, flow: Flow) {
        let now = self.now;
        match node {
            Node::Ue(n) => self.ues[usize::from(n)].handle(now, u::Input::TransportFailed { flow }),
            Node::PCscf(..) => self.pcscf_mut(node).handle(now, p::Input::TransportFailed { flow }),
            Node::ICscf(..) => self.icscf_mut(node).handle(now, icscf::Input::TransportFailed { flow }),
            Node::SCscf(..) => self.server(node).handle(now, scscf::Input::TransportFailed { flow }),
            Node::Partner => self.partner.flow_ended(now, flow),
        }
    }

    pub(super) fn carry_out(&mut self, node: Node) {
        let deadline = match node {
            Node::Ue(n) => self.carry_out_ue(n),
            Node::PCscf(..) => self.carry_out_pcscf(node),
            Node::ICscf(..) => self.carry_out_icscf(node),
            Node::SCscf(..) => self.carry_out_scscf(node),
            Node::Partner => {
                while let Some(transmit) = self.partner.poll() {
                    self.send(node, &transmit);
                }
                self.partner.next_timeout()
            }
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

    fn carry_out_pcscf(&mut self, node: Node) -> Option<Instant> {
        let mut changes = Vec::new();
        let deadline = loop {
            match self.pcscf_mut(node).poll() {
                p::Output::Send(transmit) => self.send(node, &transmit),
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
        self.change(node, changes, |set, done| Happening::PCscfKernel { node, set, done });
        deadline
    }

    fn carry_out_icscf(&mut self, node: Node) -> Option<Instant> {
        loop {
            match self.icscf_mut(node).poll() {
                icscf::Output::Send(transmit) => self.send(node, &transmit),
                icscf::Output::Cx { id, request } => {
                    let answer = self.ask_hss(node, request);
                    self.push(self.now + self.wire.cx_latency, Happening::ToICscf { node, id, answer });
                    self.carry_notices();
                }
                icscf::Output::Event(event) => self.icscf_events.push((node, event)),
                icscf::Output::WaitUntil(deadline) => return deadline,
            }
        }
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

    /// A node asks the HSS of its own network.
    pub(super) fn ask_hss(&mut self, node: Node, request: cx::Request) -> Result<cx::Answer, LinkError> {
        self.trace.push(format!("{node} {}", request.name()));
        let operator = node.operator().expect("only CSCFs ask an HSS");
        let from =
            cx::Origin { host: node.to_string().to_ascii_lowercase(), realm: sites::domain(operator).into() };
        let hss = &self.homes[usize::from(operator)].hss;
        self.cx_failure
            .map_or_else(|| Ok(diameter::carried(&from, request, |request| hss.answer(&from, request))), Err)
    }
}

/// The names that the sender's certificate has.
fn certificate(flow: Flow) -> Arc<[Box<str>]> {
    if flow.transport != Transport::Tls {
        return [].into();
    }
    let node = sites::owner(flow.remote);
    let host =
        matches!(node, Node::PCscf(..) | Node::ICscf(..) | Node::SCscf(..)).then(|| sites::host(node).into());
    host.into_iter().collect()
}
