//! Sockets, clock and kernel around the state machine.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

use anyhow::Context;
use node::{Arrival, Clock, Endpoints, Shutdown};
use sec_agree::{Encapsulation, Spi};
use sip::{Flow, Transmit};
use xfrm::{
    Change, EncapSocket, Engine, Extend, Install, KernelEvent, KernelState, Lifetime, Monitor, Protection,
};

use crate::core::{
    Config, Event, Fate, GmAddress, HeldState, Input, KernelTold, Output, PCscf, Restored, SetId,
};
use crate::store::{Found, StateFile};

/// Messages taken from the sockets before their kernel work is done in one batch.
const BATCH: usize = 64;

/// A P-CSCF that is bound and ready; see [`Shell::run`].
#[derive(Debug)]
pub struct Shell {
    core: PCscf,
    clock: Clock,
    endpoints: Endpoints,
    engine: Engine,
    monitor: Monitor,
    protections: Vec<Protection>,
    /// Where UEs behind a NAT are served.
    tunnels: Vec<EncapSocket>,
    store: Option<StateFile>,
    /// Of the events that tell what happened here.
    address: IpAddr,
}

/// What there is to do.
enum Woken {
    Deadline,
    Arrival(Arrival),
    Kernel(KernelEvent),
}

impl Shell {
    /// Asks the kernel what it can do, protects the ports, takes over what an earlier run has left, binds the
    /// sockets. In the network namespace of the calling thread, inside a runtime. `state` is the file that outlives
    /// the run.
    pub fn start(config: Config, state: Option<&Path>) -> anyhow::Result<Self> {
        let mut engine = Engine::open().context("start the P-CSCF")?;
        // Before anything is read from the kernel, so that nothing it does afterwards is missed.
        let monitor = Monitor::open().context("start the P-CSCF")?;
        let mut protections = Vec::new();
        for gm in &config.gm {
            let address = gm.clear.ip();
            engine.require(address, config.policy.algorithms()).context("start the P-CSCF")?;
            // Before any protected socket is open, so that nothing in clear ever reaches one. The policies of an
            // earlier run are replaced, so that there is no moment without them.
            let protection = protection(gm);
            engine.protect(&protection).with_context(|| format!("protect the ports of {address}"))?;
            protections.push(protection);
        }
        let (gm, mw, nat_traversal) = (config.gm.clone(), config.mw, config.policy.nat_traversal());
        let clock = Clock::start();
        let mut core = PCscf::new(config, node::seed()?);
        let store = take_over(&mut core, &clock, &mut engine, state)?;
        for gm in &gm {
            let in_use = engine.spis_towards(gm.clear.ip()).context("read the kernel's states")?;
            in_use.into_iter().filter_map(|spi| Spi::new(spi).ok()).for_each(|spi| core.reserve_spi(spi));
        }
        let tunnels = if nat_traversal { bind_tunnels(&gm)? } else { Vec::new() };
        let endpoints = bind(&gm, mw)?;
        Ok(Self { core, clock, endpoints, engine, monitor, protections, tunnels, store, address: mw.ip() })
    }

    /// Serves until told to end. With a state file everything stays in the kernel for the next run, else it is taken
    /// out.
    pub async fn run(mut self, mut shutdown: Shutdown) -> anyhow::Result<()> {
        let mut deadline = self.carry_out();
        loop {
            let woken = tokio::select! {
                () = shutdown.requested() => break,
                () = self.clock.sleep_until(deadline) => Woken::Deadline,
                arrival = self.endpoints.next() => Woken::Arrival(arrival),
                event = self.monitor.next() => Woken::Kernel(event.context("listen to the kernel")?),
            };
            self.clock.tick();
            match woken {
                Woken::Deadline => self.core.handle(self.clock.now(), Input::Timeout),
                Woken::Arrival(arrival) => {
                    self.follow_nats()?;
                    self.take_batch(arrival);
                }
                Woken::Kernel(event) => self.take_kernel_events(event)?,
            }
            deadline = self.carry_out();
        }
        self.end()
    }

    /// The kernel tells of a NAT's new port before it hands over what came from there: the answer shall find it.
    fn follow_nats(&mut self) -> anyhow::Result<()> {
        if self.tunnels.is_empty() {
            return Ok(());
        }
        if let Some(event) = self.monitor.try_next().context("listen to the kernel")? {
            self.take_kernel_events(event)?;
            self.carry_out();
        }
        Ok(())
    }

    fn take_kernel_events(&mut self, first: KernelEvent) -> anyhow::Result<()> {
        self.take_kernel_event(first)?;
        for _ in 1..BATCH {
            let Some(event) = self.monitor.try_next().context("listen to the kernel")? else { break };
            self.take_kernel_event(event)?;
        }
        Ok(())
    }

    fn take_kernel_event(&mut self, event: KernelEvent) -> anyhow::Result<()> {
        let told = match event {
            KernelEvent::Expired { spi, destination, hard } => KernelTold::Expired { destination, spi, hard },
            KernelEvent::Overflow => {
                tracing::warn!("the kernel told more than could be heard; reading all states");
                let states = self.engine.states().context("read the kernel's states")?;
                KernelTold::Holds(states.iter().map(|state| (state.outer_destination(), state.spi)).collect())
            }
            KernelEvent::Mapped { spi, destination, now: outer, .. } => {
                KernelTold::Mapped { destination, spi, outer }
            }
        };
        self.core.handle(self.clock.now(), Input::Kernel(told));
        Ok(())
    }

    fn take_batch(&mut self, first: Arrival) {
        self.take(first);
        for _ in 1..BATCH {
            let Some(arrival) = self.endpoints.try_next() else { break };
            self.take(arrival);
        }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Message { flow, message, .. } => {
                self.core.handle(self.clock.now(), Input::Received { flow, message });
            }
            Arrival::Malformed { flow, error, octets } => self.answer_malformed(flow, error, octets),
            Arrival::Failed { flow, error } => self.failed(flow, &error),
        }
    }

    /// 400 where the head could be read, over UDP straight back: such a peer has no association to answer over.
    fn answer_malformed(&mut self, flow: Flow, error: sip::ParseError, octets: Vec<u8>) {
        tracing::info!(remote = %flow.remote, local = %flow.local, %error, "not SIP, failed to");
        if error.answerable()
            && let Some(response) = sip::refusal(octets, "malformed")
        {
            self.send(Transmit { flow, bytes: response.bytes() });
        }
    }

    fn failed(&mut self, flow: Flow, error: &std::io::Error) {
        tracing::debug!(remote = %flow.remote, local = %flow.local, %error, "a flow ended");
        self.core.handle(self.clock.now(), Input::TransportFailed { flow });
    }

    /// Does what the core wants until it only wants to wait; answers until when.
    fn carry_out(&mut self) -> Option<sip::Instant> {
        loop {
            let mut changes: Vec<Change<SetId>> = Vec::new();
            let deadline = loop {
                match self.core.poll() {
                    Output::Send(transmit) => {
                        self.save();
                        self.send(transmit);
                    }
                    Output::InstallSas { set, sas, lifetime } => {
                        let install = Install { set: sas, lifetime: Lifetime::new(lifetime) };
                        changes.push(Change::Install { set, install });
                    }
                    Output::ExtendSas { associations, age, lifetime } => {
                        changes.push(Change::Extend(Extend { associations, age, lifetime }));
                    }
                    Output::RemoveSas { associations } => changes.push(Change::Remove { associations }),
                    Output::Save(device) => {
                        if let Some(store) = &mut self.store {
                            store.note(&device);
                        }
                    }
                    Output::Event(event) => log(&event),
                    Output::WaitUntil(deadline) => break deadline,
                }
            };
            self.save();
            // Before the kernel changes: an answer leaves over the set that goes after it.
            let failed = self.endpoints.flush();
            if changes.is_empty() && failed.is_empty() {
                return deadline;
            }
            for (flow, error) in failed {
                self.failed(flow, &error);
            }
            for (set, result) in self.engine.carry_out(changes) {
                let input = match result {
                    Ok(()) => {
                        node::wire::note(self.address, "the kernel has accepted four SAs");
                        Input::SasInstalled { set }
                    }
                    Err(error) => Input::SasFailed { set, cause: error.to_string().into() },
                };
                self.core.handle(self.clock.now(), input);
            }
        }
    }

    /// What was told to be kept is in the file before anybody hears of it.
    fn save(&mut self) {
        if let Some(store) = &mut self.store {
            store.flush(|| self.core.saved());
        }
    }

    fn send(&mut self, transmit: Transmit) {
        let flow = transmit.flow;
        if let Err(error) = self.endpoints.send(transmit) {
            self.failed(flow, &error);
        }
    }

    fn end(mut self) -> anyhow::Result<()> {
        if let Some(store) = &mut self.store {
            // The policies stay as well: until the next run, nothing passes the ports in clear.
            store.rewrite(self.core.saved())?;
            tracing::info!(sets = self.core.sets(), "left everything in the kernel for the next run");
            return Ok(());
        }
        self.core.end();
        self.carry_out();
        // The sockets close before the policies go: nothing may pass these ports in clear.
        drop(self.endpoints);
        for protection in &self.protections {
            self.engine.unprotect(protection).context("remove the policies")?;
        }
        Ok(())
    }
}

/// Makes one of what the file says and what the kernel holds.
fn take_over(
    core: &mut PCscf,
    clock: &Clock,
    engine: &mut Engine,
    state: Option<&Path>,
) -> anyhow::Result<Option<StateFile>> {
    let (mut store, found) = match state {
        Some(path) => {
            let (store, found) = StateFile::open(path, node::boot_id()?)?;
            (Some(store), found)
        }
        None => (None, Found::default()),
    };
    let Found { devices, damaged, torn, of_earlier_boot } = found;
    if damaged > 0 || torn || of_earlier_boot > 0 {
        tracing::warn!(damaged, torn, of_earlier_boot, "not everything in the state file can be used");
    }
    let states = engine.states().context("read the kernel's states")?;
    let held: Vec<HeldState> = states
        .iter()
        .map(|state| HeldState { source: state.source, destination: state.destination, spi: state.spi })
        .collect();
    let Restored { adopted, forgotten, orphans } = core.restore(clock.now(), devices, &held);
    let orphans: Vec<&KernelState> = orphans.into_iter().filter_map(|at| states.get(at)).collect();
    for state in &orphans {
        let KernelState { source, destination, spi, .. } = state;
        tracing::debug!(%source, %destination, spi, "a state of a dead run has no owner");
    }
    engine.remove_states(&orphans).context("remove what a dead run left")?;
    if !orphans.is_empty() {
        tracing::warn!(
            states = orphans.len(),
            "removed the kernel states that a dead run left without an owner"
        );
    }
    if let Some(store) = &mut store {
        tracing::info!(adopted, forgotten, "took over the sets of the earlier run");
        core.save_changes();
        store.rewrite(core.saved())?;
    }
    Ok(store)
}

/// After the policies stand.
fn bind(gm: &[GmAddress], mw: SocketAddr) -> anyhow::Result<Endpoints> {
    let mut endpoints = Endpoints::new(node::Limits::default());
    for gm in gm {
        let at = |port| SocketAddr::new(gm.clear.ip(), port);
        for local in [gm.clear, at(gm.server_port.get())] {
            endpoints.bind_udp(local).with_context(|| format!("bind UDP {local}"))?;
            endpoints.bind_tcp(local).with_context(|| format!("listen on TCP {local}"))?;
        }
        for local in gm.client_ports.iter().map(|port| at(port.get())) {
            endpoints.bind_udp(local).with_context(|| format!("bind UDP {local}"))?;
        }
    }
    endpoints.bind_udp(mw).with_context(|| format!("bind UDP {mw}"))?;
    endpoints.bind_tcp(mw).with_context(|| format!("listen on TCP {mw}"))?;
    Ok(endpoints)
}

fn bind_tunnels(gm: &[GmAddress]) -> anyhow::Result<Vec<EncapSocket>> {
    let bind = |gm: &GmAddress| {
        let local = SocketAddr::new(gm.clear.ip(), Encapsulation::PORT);
        EncapSocket::bind(local).with_context(|| format!("bind UDP {local} for ESP inside UDP"))
    };
    gm.iter().map(bind).collect()
}

fn protection(gm: &GmAddress) -> Protection {
    Protection::of_address(gm.clear.ip(), gm.server_port, gm.client_ports)
}

/// Removes what runs on these addresses have left: states, policies, the state file. Answers how many states there
/// were. Refused while a P-CSCF serves one of them.
pub fn forget(gm: &[GmAddress], state: Option<&Path>) -> anyhow::Result<usize> {
    let mut guards = Vec::new();
    for gm in gm {
        let local = SocketAddr::new(gm.clear.ip(), gm.server_port.get());
        guards.push(
            UdpSocket::bind(local)
                .with_context(|| format!("forget: is a P-CSCF running? bind UDP {local}"))?,
        );
    }
    if let Some(path) = state {
        StateFile::remove(path)?;
    }
    let mut engine = Engine::open()?;
    let states = engine.states()?;
    let ours = |end| gm.iter().any(|gm| gm.protects(end));
    let states: Vec<&KernelState> =
        states.iter().filter(|state| ours(state.source) || ours(state.destination)).collect();
    engine.remove_states(&states)?;
    drop(guards);
    for gm in gm {
        engine.unprotect(&protection(gm))?;
    }
    Ok(states.len())
}

fn log(event: &Event) {
    match event {
        Event::Challenged { impi, ue, set, associations } => {
            let spis: Vec<u32> = associations.iter().map(|sa| sa.spi.get()).collect();
            tracing::info!(%impi, %ue, %set, algorithms = %associations.algorithms, ?spis, "challenged, SAs installed");
        }
        Event::Registered { impi, ue, set, expires, initial } => {
            tracing::info!(%impi, %ue, %set, expires, initial, "registered");
        }
        Event::Refreshed { impi, set, expires } => tracing::info!(%impi, %set, expires, "refreshed"),
        Event::Deregistered { impi } => tracing::info!(%impi, "de-registered"),
        Event::Shortened { impi, expires } => {
            tracing::info!(%impi, expires, "the network wants a new authentication");
        }
        Event::NotSubscribed { impi, reason } => {
            tracing::warn!(%impi, "cannot subscribe to the reg event: {reason}");
        }
        Event::Refused { ue, impi, refusal, cause } => {
            let impi = impi.as_ref().map(aka::Impi::as_str);
            tracing::warn!(%ue, impi, status = refusal.status().0, cause, "refused: {refusal}");
        }
        Event::Rejected { impi, status } => tracing::info!(%impi, status, "the core network refused"),
        Event::SetRemoved { impi, set, stage } => tracing::debug!(%impi, %set, ?stage, "set removed"),
        Event::SetFate {
            impi,
            ue,
            fate: fate @ (Fate::Adopted | Fate::Expiring { .. } | Fate::Mapped { .. }),
        } => {
            tracing::debug!(%impi, %ue, "a set {fate}");
        }
        Event::SetFate { impi, ue, fate } => tracing::warn!(%impi, %ue, "a set {fate}"),
        Event::Dropped { flow, reason } => {
            tracing::info!(remote = %flow.remote, local = %flow.local, "dropped a message: {reason}");
        }
    }
}
