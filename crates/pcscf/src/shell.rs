//! Sockets, clock and kernel around the state machine.

use std::net::IpAddr;

use anyhow::Context;
use node::{Arrival, Clock, Endpoints, Shutdown};
use sec_agree::Spi;
use sip::{Flow, Transmit};
use xfrm::{Change, Engine, Extend, Install, Lifetime, Protection};

use crate::core::{Config, Event, Input, Output, PCscf, SetId};

/// Messages taken from the sockets before their kernel work is done in one batch.
const BATCH: usize = 64;

/// A P-CSCF that is bound and ready; see [`Shell::run`].
#[derive(Debug)]
pub struct Shell {
    core: PCscf,
    clock: Clock,
    endpoints: Endpoints,
    engine: Engine,
    protections: Vec<Protection>,
    /// Of the events that tell what happened here.
    address: IpAddr,
}

impl Shell {
    /// Asks the kernel what it can do, protects the ports, binds the sockets. In the network namespace of the calling
    /// thread, inside a runtime.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        let mut engine = Engine::open().context("start the P-CSCF")?;
        let mut endpoints = Endpoints::new(node::Limits::default());
        let mut protections = Vec::new();
        for gm in &config.gm {
            let address = gm.clear.ip();
            engine.require(address, config.policy.algorithms()).context("start the P-CSCF")?;
            // Before any protected socket is open, so that nothing in clear ever reaches one.
            let protection = Protection::of_address(address, gm.server_port, gm.client_ports);
            engine.protect(&protection).with_context(|| format!("protect the ports of {address}"))?;
            protections.push(protection);
            let server = std::net::SocketAddr::new(address, gm.server_port.get());
            for local in [gm.clear, server] {
                endpoints.bind_udp(local).with_context(|| format!("bind UDP {local}"))?;
                endpoints.bind_tcp(local).with_context(|| format!("listen on TCP {local}"))?;
            }
            for port in gm.client_ports.iter() {
                let local = std::net::SocketAddr::new(address, port.get());
                endpoints.bind_udp(local).with_context(|| format!("bind UDP {local}"))?;
            }
            // These ports are ours alone, so what a dead run left on them has no owner.
            let is_orphan = |state: &xfrm::KernelState| {
                let ours = |end: std::net::SocketAddr| {
                    let port = end.port();
                    end.ip() == address && (port == gm.server_port.get() || gm.client_ports.contains(port))
                };
                ours(state.source) || ours(state.destination)
            };
            let orphans = engine.remove_orphans(is_orphan).context("remove what a dead run left")?;
            if orphans > 0 {
                tracing::warn!(%address, states = orphans, "removed the kernel states that a dead run left");
            }
        }
        endpoints.bind_udp(config.mw).with_context(|| format!("bind UDP {}", config.mw))?;
        endpoints.bind_tcp(config.mw).with_context(|| format!("listen on TCP {}", config.mw))?;
        let address = config.mw.ip();
        let gm_addresses: Vec<IpAddr> = config.gm.iter().map(|gm| gm.clear.ip()).collect();
        let mut core = PCscf::new(config, node::seed()?);
        for address in gm_addresses {
            let in_use = engine.spis_towards(address).context("read the kernel's states")?;
            in_use.into_iter().filter_map(|spi| Spi::new(spi).ok()).for_each(|spi| core.reserve_spi(spi));
        }
        Ok(Self { core, clock: Clock::start(), endpoints, engine, protections, address })
    }

    /// Serves until told to end; then takes its states and policies out of the kernel.
    pub async fn run(mut self, mut shutdown: Shutdown) -> anyhow::Result<()> {
        let mut deadline = self.carry_out();
        loop {
            let arrival = tokio::select! {
                () = shutdown.requested() => break,
                () = self.clock.sleep_until(deadline) => None,
                arrival = self.endpoints.next() => Some(arrival),
            };
            self.clock.tick();
            match arrival {
                Some(arrival) => self.take_batch(arrival),
                None => self.core.handle(self.clock.now(), Input::Timeout),
            }
            deadline = self.carry_out();
        }
        self.end()
    }

    fn take_batch(&mut self, first: Arrival) {
        let mut next = Some(first);
        for _ in 0..BATCH {
            let Some(arrival) = next else { break };
            match arrival {
                Arrival::Message { flow, message } => {
                    self.core.handle(self.clock.now(), Input::Received { flow, message });
                }
                Arrival::Malformed { flow, error, octets } => self.answer_malformed(flow, error, octets),
                Arrival::Failed { flow, error } => self.failed(flow, &error),
            }
            next = self.endpoints.try_next();
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
                    Output::Send(transmit) => self.send(transmit),
                    Output::InstallSas { set, sas, lifetime } => {
                        let install = Install { set: sas, lifetime: Lifetime::new(lifetime) };
                        changes.push(Change::Install { set, install });
                    }
                    Output::ExtendSas { associations, age, lifetime } => {
                        changes.push(Change::Extend(Extend { associations, age, lifetime }));
                    }
                    Output::RemoveSas { associations } => changes.push(Change::Remove { associations }),
                    Output::Event(event) => log(&event),
                    Output::WaitUntil(deadline) => break deadline,
                }
            };
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

    fn send(&mut self, transmit: Transmit) {
        let flow = transmit.flow;
        if let Err(error) = self.endpoints.send(transmit) {
            self.failed(flow, &error);
        }
    }

    fn end(mut self) -> anyhow::Result<()> {
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
        Event::Dropped { flow, reason } => {
            tracing::info!(remote = %flow.remote, local = %flow.local, "dropped a message: {reason}");
        }
    }
}
