//! UEs over real sockets and the kernel: one, or thousands that share one socket set and one XFRM engine.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use aka::Isim;
use anyhow::Context;
use node::{Arrival, Clock, Endpoints};
use sec_agree::{Algorithms, Associations};
use sip::{Flow, Instant};
use xfrm::{
    Change, Engine, Extend, Install, KernelEvent, KernelState, Lifetime, Monitor, Protection, XfrmError,
};

use crate::core::{Command, Config, Failure, Input, Output, SetId, Step, Ue};
use crate::nat::NatHost;

/// Messages taken from the sockets before their kernel work is done in one batch.
const BATCH: usize = 64;

#[derive(Debug)]
struct Member {
    ue: Ue,
    deadline: Option<Instant>,
}

/// UEs with addresses of their own, in the network namespace of the thread that started them.
#[derive(Debug)]
pub struct Fleet {
    members: Vec<Member>,
    by_address: HashMap<IpAddr, usize>,
    /// Members behind a NAT by the protected ends they have at its address, which they share.
    by_public_end: HashMap<SocketAddr, usize>,
    nat: NatHost,
    deadlines: BTreeSet<(Instant, usize)>,
    clock: Clock,
    endpoints: Endpoints,
    engine: Engine,
    /// Until it fails.
    monitor: Option<Monitor>,
    protections: Vec<Protection>,
    /// Members that have been given something and must be polled.
    stirred: Vec<usize>,
    steps: VecDeque<(usize, Step)>,
}

/// What there is to do.
enum Woken {
    Deadline,
    Arrival(Arrival),
    Kernel(Result<KernelEvent, XfrmError>),
}

async fn next_event(monitor: &mut Option<Monitor>) -> Result<KernelEvent, XfrmError> {
    match monitor {
        Some(monitor) => monitor.next().await,
        None => std::future::pending().await,
    }
}

impl Fleet {
    /// Protects the ports, binds each UE's unprotected port. `protections` must cover every UE's protected ports.
    pub fn start(ues: Vec<(Config, Isim)>, protections: Vec<Protection>) -> anyhow::Result<Self> {
        let mut engine = Engine::open().context("start the UE")?;
        let monitor = Monitor::open().context("start the UE")?;
        for protection in &protections {
            engine
                .protect(protection)
                .with_context(|| format!("protect the ports of {}", protection.local))?;
        }
        let mut endpoints = Endpoints::new(node::Limits::default());
        let (mut members, mut by_address) = (Vec::new(), HashMap::new());
        let mut required: Vec<(bool, Algorithms)> = Vec::new();
        for (config, isim) in ues {
            for pair in &config.algorithms {
                if !required.contains(&(config.address.is_ipv4(), *pair)) {
                    engine.require(config.address, &[*pair]).context("start the UE")?;
                    required.push((config.address.is_ipv4(), *pair));
                }
            }
            let clear = SocketAddr::new(config.address, config.clear_port);
            endpoints.bind_udp(clear).with_context(|| format!("bind UDP {clear}"))?;
            let server = SocketAddr::new(config.address, config.server_port.get());
            endpoints.bind_udp(server).with_context(|| format!("bind UDP {server}"))?;
            endpoints.bind_tcp(server).with_context(|| format!("listen on TCP {server}"))?;
            anyhow::ensure!(
                by_address.insert(config.address, members.len()).is_none(),
                "two UEs cannot share the address {}",
                config.address
            );
            members.push(Member { ue: Ue::new(config, isim, node::seed()?), deadline: None });
        }
        Ok(Self {
            members,
            by_address,
            by_public_end: HashMap::new(),
            nat: NatHost::default(),
            deadlines: BTreeSet::new(),
            clock: Clock::start(),
            endpoints,
            engine,
            monitor: Some(monitor),
            protections,
            stirred: Vec::new(),
            steps: VecDeque::new(),
        })
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn ue(&self, member: usize) -> Option<&Ue> {
        self.members.get(member).map(|member| &member.ue)
    }

    /// Tells a UE to do something; [`Fleet::step`] tells what became of it.
    pub fn command(&mut self, member: usize, command: Command) {
        self.clock.tick();
        if let Command::Move { address } = command
            && let Err(error) = self.settle(member, address)
        {
            let cause = format!("{error:#}").into();
            return self.steps.push_back((member, Step::Failed(Failure::Address { cause })));
        }
        self.give(member, Input::Command(command));
    }

    /// Protects and binds what a UE needs at its new address. What it had at the old one stays protected and bound:
    /// it may come back.
    fn settle(&mut self, member: usize, address: IpAddr) -> anyhow::Result<()> {
        let config = self.members.get(member).context("there is no such UE")?.ue.config();
        anyhow::ensure!(
            self.by_address.get(&address).is_none_or(|owner| *owner == member),
            "two UEs cannot share the address {address}"
        );
        anyhow::ensure!(
            address.is_ipv4() == config.p_cscf.is_ipv4(),
            "the P-CSCF at {} cannot be reached from {address}",
            config.p_cscf.ip()
        );
        let clear = SocketAddr::new(address, config.clear_port);
        let server = SocketAddr::new(address, config.server_port.get());
        let protection = Protection::of_address(address, config.server_port, config.client_ports);
        if !self.protections.contains(&protection) {
            let what = || format!("protect the ports of {address}");
            self.engine.protect(&protection).with_context(what)?;
            self.protections.push(protection);
        }
        if !self.endpoints.is_bound(clear) {
            self.endpoints.bind_udp(clear).with_context(|| format!("bind UDP {clear}"))?;
        }
        if !self.endpoints.is_bound(server) {
            self.endpoints.bind_udp(server).with_context(|| format!("bind UDP {server}"))?;
            self.endpoints.bind_tcp(server).with_context(|| format!("listen on TCP {server}"))?;
        }
        self.by_address.retain(|_, owner| *owner != member);
        self.by_address.insert(address, member);
        Ok(())
    }

    /// Now, as the UEs count it.
    pub fn now(&self) -> Instant {
        self.clock.tick();
        self.clock.now()
    }

    /// Runs all UEs until one of them has something to tell.
    pub async fn step(&mut self) -> (usize, Step) {
        loop {
            self.carry_out();
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            let deadline =
                self.deadlines.first().map(|(at, _)| *at).into_iter().chain(self.nat.next_beat()).min();
            let woken = tokio::select! {
                () = self.clock.sleep_until(deadline) => Woken::Deadline,
                arrival = self.endpoints.next() => Woken::Arrival(arrival),
                event = next_event(&mut self.monitor) => Woken::Kernel(event),
            };
            self.clock.tick();
            match woken {
                Woken::Deadline => self.wake(),
                Woken::Arrival(arrival) => self.take_batch(arrival),
                Woken::Kernel(event) => self.take_kernel_event(event),
            }
        }
    }

    /// What the kernel holds for all of them.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    fn give(&mut self, member: usize, input: Input) {
        let now = self.clock.now();
        if let Some(entry) = self.members.get_mut(member) {
            entry.ue.handle(now, input);
            self.stirred.push(member);
        }
    }

    fn wake(&mut self) {
        let now = self.clock.now();
        self.nat.beat(now);
        while let Some((at, member)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, member));
            if let Some(entry) = self.members.get_mut(member) {
                entry.deadline = None;
            }
            self.give(member, Input::Timeout);
        }
    }

    fn take_batch(&mut self, first: Arrival) {
        self.take(first);
        for _ in 1..BATCH {
            let Some(arrival) = self.endpoints.try_next() else { break };
            self.take(arrival);
        }
    }

    fn take(&mut self, arrival: Arrival) {
        let (flow, input) = match arrival {
            Arrival::Message { flow, message, .. } => (flow, Input::Received { flow, message }),
            Arrival::Malformed { flow, .. } => (flow, Input::Malformed { flow }),
            Arrival::Failed { flow, .. } => (flow, Input::TransportFailed { flow }),
        };
        self.give_to(flow, input);
    }

    /// A state that ends here tells for its whole set.
    fn take_kernel_event(&mut self, event: Result<KernelEvent, XfrmError>) {
        match event {
            Ok(KernelEvent::Expired { spi, destination, hard: true }) => {
                if let Some(member) = self.by_address.get(&destination).copied() {
                    self.give(member, Input::SaExpired { spi });
                }
            }
            Ok(KernelEvent::Overflow) => match self.engine.states() {
                Ok(states) => self.reconcile(&states),
                Err(error) => tracing::warn!(%error, "cannot find out what the kernel holds"),
            },
            Ok(KernelEvent::Expired { .. } | KernelEvent::Mapped { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, "hears nothing of the kernel any more");
                self.monitor = None;
            }
        }
    }

    fn reconcile(&mut self, states: &[KernelState]) {
        let held: HashSet<(IpAddr, u32)> =
            states.iter().map(|state| (state.outer_destination(), state.spi)).collect();
        for at in 0..self.members.len() {
            let Some(ue) = self.ue(at) else { continue };
            let address = ue.config().address;
            let missing: Vec<u32> = ue.spis().filter(|spi| !held.contains(&(address, *spi))).collect();
            missing.into_iter().for_each(|spi| self.give(at, Input::SaExpired { spi }));
        }
    }

    fn give_to(&mut self, flow: Flow, input: Input) {
        let by_public_end = || self.by_public_end.get(&flow.local);
        if let Some(member) = self.by_address.get(&flow.local.ip()).or_else(by_public_end).copied() {
            self.give(member, input);
        }
    }

    /// Does what the stirred UEs want until they only want to wait.
    fn carry_out(&mut self) {
        while !self.stirred.is_empty() {
            let mut changes = Vec::new();
            for member in std::mem::take(&mut self.stirred) {
                self.poll(member, &mut changes);
            }
            // Before the kernel changes: a request leaves over the set that goes after it.
            for (flow, error) in self.endpoints.flush() {
                tracing::debug!(local = %flow.local, remote = %flow.remote, %error, "cannot send");
                self.give_to(flow, Input::TransportFailed { flow });
            }
            for ((member, set, associations), result) in self.engine.carry_out(changes) {
                let input = match result {
                    Ok(()) => {
                        if let Some(entry) = self.members.get(member) {
                            node::wire::note(entry.ue.config().address, "the kernel has accepted four SAs");
                        }
                        Input::SasInstalled { set }
                    }
                    Err(error) => {
                        self.nat.removed(&associations);
                        Input::SasFailed { set, cause: error.to_string().into() }
                    }
                };
                self.give(member, input);
            }
        }
    }

    fn poll(&mut self, member: usize, changes: &mut Vec<Change<(usize, SetId, Associations)>>) {
        loop {
            let Some(entry) = self.members.get_mut(member) else { return };
            match entry.ue.poll() {
                Output::Send(transmit) => {
                    let flow = transmit.flow;
                    if let Err(error) = self.endpoints.send(transmit) {
                        tracing::debug!(local = %flow.local, remote = %flow.remote, %error, "cannot send");
                        self.give(member, Input::TransportFailed { flow });
                    }
                }
                Output::InstallSas { set, sas, lifetime } => {
                    if let Err(error) = self.make_room(member, &sas.associations) {
                        self.nat.removed(&sas.associations);
                        self.give(member, Input::SasFailed { set, cause: format!("{error:#}").into() });
                        continue;
                    }
                    let named = (member, set, sas.associations);
                    let install = Install { set: sas, lifetime: Lifetime::new(lifetime) };
                    changes.push(Change::Install { set: named, install });
                }
                Output::ExtendSas { associations, age, lifetime } => {
                    changes.push(Change::Extend(Extend { associations, age, lifetime }));
                }
                Output::RemoveSas { associations } => {
                    self.nat.removed(&associations);
                    changes.push(Change::Remove { associations });
                }
                Output::Close { local } => self.endpoints.close_connections_from(local),
                Output::Step(step) => self.steps.push_back((member, step)),
                Output::WaitUntil(deadline) => return self.wait(member, deadline),
            }
        }
    }

    /// Opens what a set needs of this host. A client port is bound at its first use and stays: the port is this UE's
    /// as long as it lives.
    fn make_room(&mut self, member: usize, set: &Associations) -> anyhow::Result<()> {
        let (client, server) = (set.uc_to_ps.source, set.pc_to_us.destination);
        if set.encapsulation.is_some() {
            self.nat.prepare(self.clock.now(), set)?;
            self.protect_public(member, server)?;
            for end in [client, server] {
                let owner = *self.by_public_end.entry(end).or_insert(member);
                anyhow::ensure!(owner == member, "two UEs behind one NAT cannot share {end}");
            }
            if !self.endpoints.is_bound(server) {
                self.endpoints.bind_udp(server).with_context(|| format!("bind UDP {server}"))?;
                self.endpoints.bind_tcp(server).with_context(|| format!("listen on TCP {server}"))?;
            }
        }
        if !self.endpoints.is_bound(client) {
            self.endpoints.bind_udp(client).with_context(|| format!("bind UDP {client}"))?;
        }
        Ok(())
    }

    /// The constant policies for the address by which the NAT is seen: what is not in the tunnel stays out.
    fn protect_public(&mut self, member: usize, end: SocketAddr) -> anyhow::Result<()> {
        let Some(entry) = self.members.get(member) else { return Ok(()) };
        let config = entry.ue.config();
        let protection = Protection::of_address(end.ip(), config.server_port, config.client_ports);
        if !self.protections.contains(&protection) {
            self.engine.protect(&protection).with_context(|| format!("protect the ports of {}", end.ip()))?;
            self.protections.push(protection);
        }
        Ok(())
    }

    fn wait(&mut self, member: usize, deadline: Option<Instant>) {
        let Some(entry) = self.members.get_mut(member) else { return };
        if entry.deadline == deadline {
            return;
        }
        if let Some(earlier) = std::mem::replace(&mut entry.deadline, deadline) {
            self.deadlines.remove(&(earlier, member));
        }
        self.deadlines.extend(deadline.map(|at| (at, member)));
    }

    /// Takes all states and policies out of the kernel.
    pub fn end(mut self) -> anyhow::Result<()> {
        for member in 0..self.members.len() {
            if let Some(entry) = self.members.get_mut(member) {
                entry.ue.end();
                self.stirred.push(member);
            }
        }
        self.carry_out();
        // The sockets close before the policies go: nothing may pass these ports in clear.
        drop(self.endpoints);
        for protection in &self.protections {
            self.engine.unprotect(protection).context("remove the policies")?;
        }
        Ok(())
    }
}
