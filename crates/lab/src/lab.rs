//! A network that can be started, used and measured.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc as blocking};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use cx::{Server, ServerName};
use scscf::shell::CxRequests;
use sec_agree::{Algorithms, Encapsulation, Policy, Spi};
use sip::Timers;
use tokio::sync::mpsc;
use ue::core::{Command, Step, TransportChoice};
use ue::fleet::Fleet;
use xfrm::{Engine, KernelState, Protection, Statistics};

use crate::cards;
use crate::cx_link::{self, MeteredLink, Spent};
use crate::namespace::Namespace;
use crate::nat::Nat;
use crate::network::Network;
use crate::plan::{self, Family};
use crate::role::Role;
use crate::tap::Tap;

/// What a lab is made of.
#[derive(Debug, Clone)]
pub struct Options {
    pub ues: u16,
    pub family: Family,
    pub transport: TransportChoice,
    /// The P-CSCF's list, best first.
    pub policy: Vec<Algorithms>,
    /// What the UEs offer: the n-th entry is the n-th UE's, over again from the first when there are more UEs.
    pub offers: Vec<Vec<Algorithms>>,
    pub digest: aka::DigestAlgorithm,
    pub qop: bool,
    pub reauthenticate: scscf::Reauthenticate,
    /// The P-CSCF draws its SPIs from here.
    pub p_cscf_spis: (u32, u32),
    /// A NAT stands between UEs and P-CSCF. IPv4 and UDP only.
    pub nat: bool,
    /// Whether the UEs offer UDP-enc-tun, and whether the P-CSCF allows it.
    pub ue_nat_traversal: bool,
    pub p_cscf_nat_traversal: bool,
    /// Life at the P-CSCF of a set whose challenge nobody has answered.
    pub reg_await_auth: Duration,
    /// Start a P-CSCF; without, whoever made the lab starts one in the namespace `access`.
    pub p_cscf: bool,
    /// UEs subscribe to the reg event; and refresh that so often that there is always something under way.
    pub subscribe: bool,
    pub refresh_subscription: Option<Duration>,
    /// UEs register again by themselves.
    pub stay_registered: bool,
    /// The control socket of the S-CSCF.
    pub scscf_control: Option<PathBuf>,
    /// Listen on the wire between UE and P-CSCF.
    pub tap: bool,
    /// Makes the cards.
    pub seed: u64,
    /// A UE's step that takes longer has failed.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let algorithms = Policy::default().algorithms().to_vec();
        Self {
            ues: 1,
            family: Family::V4,
            transport: TransportChoice::BySize,
            policy: algorithms.clone(),
            offers: vec![algorithms],
            digest: aka::DigestAlgorithm::AkaV1Md5,
            qop: false,
            reauthenticate: scscf::Reauthenticate::Always,
            p_cscf_spis: (0x0100_0000, 0x01ff_ffff),
            nat: false,
            ue_nat_traversal: false,
            p_cscf_nat_traversal: false,
            reg_await_auth: Duration::from_secs(240),
            p_cscf: true,
            subscribe: false,
            refresh_subscription: None,
            stay_registered: false,
            scscf_control: None,
            tap: true,
            seed: 1,
            patience: Duration::from_secs(60),
        }
    }
}

/// Something for several UEs to do.
#[derive(Debug)]
struct Job {
    command: Command,
    members: Vec<usize>,
    at_once: usize,
}

impl Job {
    async fn run(self, fleet: &mut Fleet) -> Vec<Finished> {
        let mut waiting = self.members.into_iter();
        let mut under_way: HashMap<usize, (Instant, Vec<Step>)> = HashMap::new();
        let mut all = Vec::new();
        loop {
            while under_way.len() < self.at_once.max(1) {
                let Some(member) = waiting.next() else { break };
                fleet.command(member, self.command.clone());
                under_way.insert(member, (Instant::now(), Vec::new()));
            }
            if under_way.is_empty() {
                return all;
            }
            let (member, step) = fleet.step().await;
            let Some((_, steps)) = under_way.get_mut(&member) else { continue };
            let ends = step.ends();
            steps.push(step);
            if ends && let Some((started, steps)) = under_way.remove(&member) {
                all.push(Finished { member, steps, took: started.elapsed() });
            }
        }
    }
}

/// A command that is done.
#[derive(Debug)]
pub struct Finished {
    pub member: usize,
    pub steps: Vec<Step>,
    pub took: Duration,
}

impl Finished {
    /// The step that ended it.
    pub fn last(&self) -> Option<&Step> {
        self.steps.last()
    }
}

/// CPU time that each role has used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub ue: Duration,
    pub pcscf: Duration,
    pub icscf: Duration,
    pub scscf: Duration,
    pub hss: Duration,
}

/// A running network. Ends, and leaves nothing, when dropped.
#[derive(Debug)]
pub struct Lab {
    // Dropped in this order: the UEs end before the network does.
    fleet: Option<Role>,
    pcscf: Option<Role>,
    icscf: Role,
    scscf: Role,
    tap: Option<Tap>,
    jobs: mpsc::UnboundedSender<Job>,
    finished: blocking::Receiver<Vec<Finished>>,
    hss_time: [Spent; 2],
    nat: Option<Nat>,
    network: Network,
    options: Options,
}

impl Lab {
    pub fn start(options: Options) -> Result<Self> {
        // Three sockets a UE.
        node::raise_open_files();
        let network = if options.nat { Network::behind_nat()? } else { Network::new()? };
        let Network { ue, access, core, nat } = &network;
        let nat = nat.as_ref().map(|(inside, outside)| start_nat(inside, outside)).transpose()?;
        let hss = cards::hss(options.seed, options.ues)?;
        let (asks_scscf, requests) = scscf::shell::cx_requests();
        hss.reach(cx_link::to_scscf(asks_scscf));
        let hss: Arc<dyn Server> = Arc::new(hss);
        let (scscf, scscf_spent) = start_scscf(core, &options, Arc::clone(&hss), requests)?;
        let (icscf, icscf_spent) = start_icscf(core, hss)?;
        let pcscf = if options.p_cscf { Some(start_pcscf(access, &options)?) } else { None };
        let (wire, link) = network.wire();
        let tap = if options.tap { Some(Tap::listen(wire, link)?) } else { None };
        let (jobs, queue) = mpsc::unbounded_channel();
        let (told, finished) = blocking::channel();
        let fleet = start_fleet(ue, &options, queue, told)?;
        Ok(Self {
            fleet: Some(fleet),
            pcscf,
            icscf,
            scscf,
            tap,
            jobs,
            finished,
            nat,
            hss_time: [icscf_spent, scscf_spent],
            network,
            options,
        })
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The namespaces, for whoever wants to look or to send something.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What a UE's card makes of a challenge.
    pub fn vector(&self, member: u16, rand: aka::Rand) -> aka::AuthVector {
        cards::vector(self.options.seed, member, rand)
    }

    /// Has one UE do something and waits until it is done.
    pub fn command(&mut self, member: usize, command: Command) -> Result<Finished> {
        let mut done = None;
        self.run(command, [member], 1, |finished| done = Some(finished))?;
        done.context("the UE tells nothing")
    }

    /// Has many UEs do something, `at_once` at a time; `each` hears of every one when all are done.
    pub fn run(
        &mut self,
        command: Command,
        members: impl IntoIterator<Item = usize>,
        at_once: usize,
        mut each: impl FnMut(Finished),
    ) -> Result<()> {
        let job = Job { command, members: members.into_iter().collect(), at_once };
        let patience = self.options.patience * u32::try_from(job.members.len() / at_once.max(1) + 4)?;
        self.jobs.send(job).map_err(|_| anyhow!("the UEs have ended"))?;
        let finished = self.finished.recv_timeout(patience).context("the UEs tell nothing")?;
        finished.into_iter().for_each(&mut each);
        Ok(())
    }

    /// What crossed the wire between UEs and P-CSCF.
    pub fn wire(&self) -> crate::tap::Wire {
        // The tap reads behind the wire; what was sent is there a moment later.
        std::thread::sleep(Duration::from_millis(100));
        self.tap.as_ref().map(Tap::wire).unwrap_or_default()
    }

    /// The kernel states at the UEs and at the P-CSCF.
    pub fn kernel_states(&self) -> Result<(Vec<KernelState>, Vec<KernelState>)> {
        let states = |namespace: &Namespace| namespace.run(|| Ok(Engine::open()?.states()?));
        Ok((states(&self.network.ue)?, states(&self.network.access)?))
    }

    /// The kernel's XFRM error counters at the UEs and at the P-CSCF.
    pub fn kernel_errors(&self) -> Result<(Statistics, Statistics)> {
        let errors = |namespace: &Namespace| namespace.run(|| Ok(Statistics::read()?));
        Ok((errors(&self.network.ue)?, errors(&self.network.access)?))
    }

    pub fn cpu(&self) -> Cpu {
        let [of_icscf, of_scscf] = self.hss_time.each_ref().map(Spent::time);
        Cpu {
            ue: self.fleet.as_ref().map(Role::cpu).unwrap_or_default(),
            pcscf: self.pcscf.as_ref().map(Role::cpu).unwrap_or_default(),
            icscf: self.icscf.cpu().saturating_sub(of_icscf),
            scscf: self.scscf.cpu().saturating_sub(of_scscf),
            hss: of_icscf + of_scscf,
        }
    }

    /// The NAT loses its memory: what comes next from inside gets another port.
    pub fn nat_forgets(&self) {
        self.nat.iter().for_each(Nat::forget);
    }

    /// Ends the UEs only: what the P-CSCF does then can be watched.
    pub fn stop_ues(&mut self) -> Result<()> {
        self.fleet.take().map_or(Ok(()), Role::stop)
    }

    /// Lines for a person who wants to look into a lab that stands still.
    pub fn nsenter(&self) -> String {
        self.network.nsenter()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the lab ends on a panic; what its namespaces held:");
            match self.kernel_states() {
                Ok((ue, access)) => eprintln!("ue: {ue:#?}\naccess: {access:#?}"),
                Err(error) => eprintln!("  not readable: {error:#}"),
            }
            eprintln!("wire: {:#?}\nto look into a lab that stands still:\n{}", self.wire(), self.nsenter());
        }
    }
}

fn start_scscf(
    core: &Namespace,
    options: &Options,
    hss: Arc<dyn Server>,
    requests: CxRequests,
) -> Result<(Role, Spent)> {
    let (link, spent) = MeteredLink::new(cx_link::S_CSCF, hss);
    let config = scscf::Config {
        trusted_peers: vec![plan::I_CSCF.ip(), plan::P_CSCF_MW.ip()],
        algorithm: options.digest,
        qop: options.qop,
        reauthenticate: options.reauthenticate,
        ..scscf::Config::new(ServerName::new(plan::S_CSCF_NAME)?, plan::HOME_DOMAIN)
    };
    let control = options.scscf_control.clone();
    let start = move || {
        let shell = scscf::shell::Shell::start(config, plan::S_CSCF, Arc::new(link))?;
        let shell = shell.with_cx_requests(requests);
        match control {
            Some(path) => shell.with_control(&path),
            None => Ok(shell),
        }
    };
    Ok((Role::start("S-CSCF", core, start, scscf::shell::Shell::run)?, spent))
}

fn start_icscf(core: &Namespace, hss: Arc<dyn Server>) -> Result<(Role, Spent)> {
    let (link, spent) = MeteredLink::new("I-CSCF", hss);
    let config = plan::icscf()?;
    let start = move || icscf::shell::Shell::start(config, Arc::new(link));
    Ok((Role::start("I-CSCF", core, start, icscf::shell::Shell::run)?, spent))
}

fn start_pcscf(access: &Namespace, options: &Options) -> Result<Role> {
    let (server_port, client_ports) = plan::p_cscf_ports();
    let gm = [Family::V4, Family::V6].map(|family| pcscf::core::GmAddress {
        clear: plan::p_cscf(family),
        server_port,
        client_ports,
    });
    let config = pcscf::core::Config {
        host: plan::P_CSCF_NAME.into(),
        network: plan::VISITED_NETWORK.into(),
        gm: gm.to_vec(),
        mw: plan::P_CSCF_MW,
        entry_points: vec![(plan::HOME_DOMAIN.into(), plan::I_CSCF)],
        neighbours: vec![(plan::S_CSCF_HOST.into(), plan::S_CSCF)],
        policy: p_cscf_policy(options)?,
        spi_first: Spi::new(options.p_cscf_spis.0)?,
        spi_last: Spi::new(options.p_cscf_spis.1)?,
        reg_await_auth: options.reg_await_auth,
        limits: pcscf::core::Limits::default(),
    };
    Role::start("P-CSCF", access, move || pcscf::shell::Shell::start(config, None), pcscf::shell::Shell::run)
}

fn start_nat(inside: &Namespace, outside: &Namespace) -> Result<Nat> {
    let p_cscf = plan::p_cscf(Family::V4);
    let encapsulated = SocketAddr::new(p_cscf.ip(), Encapsulation::PORT);
    Nat::start(inside, outside, plan::NAT, &[p_cscf, encapsulated])
}

fn p_cscf_policy(options: &Options) -> Result<Policy> {
    let policy = Policy::new(&options.policy)?;
    Ok(if options.p_cscf_nat_traversal { policy.with_nat_traversal() } else { policy })
}

fn start_fleet(
    namespace: &Namespace,
    options: &Options,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    told: blocking::Sender<Vec<Finished>>,
) -> Result<Role> {
    let mut protections = Vec::new();
    let mut members = Vec::new();
    for (n, offer) in (0..options.ues).zip(options.offers.iter().cycle()) {
        let address = plan::ue_address(options.family, n);
        let (server_port, client_ports) =
            if options.nat { plan::ue_ports_behind_nat(n) } else { plan::ue_ports() };
        if options.nat {
            protections.push(Protection::of_address(address, server_port, client_ports));
        }
        let config = ue::core::Config {
            impi: aka::Impi::new(&plan::impi(n))?,
            impu: aka::Impu::new(&plan::impu(n))?,
            home_domain: plan::HOME_DOMAIN.into(),
            address,
            clear_port: 5060,
            p_cscf: plan::p_cscf(options.family),
            transport: options.transport,
            algorithms: offer.clone(),
            nat_traversal: options.ue_nat_traversal,
            server_port,
            client_ports,
            spi_first: Spi::new(ue::config::SPI_FIRST)?,
            spi_last: Spi::new(ue::config::SPI_LAST)?,
            expires: 600_000,
            access_network: Some("3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000001".into()),
            timers: Timers::GM,
            patience: options.patience,
            stay_registered: options.stay_registered,
            subscribe: options.subscribe,
            refresh_subscription: options.refresh_subscription,
            answering: ue::core::Answering::default(),
        };
        members.push((config, cards::card(options.seed, n)));
    }
    if !options.nat {
        let ((local, prefix), (server, clients)) = (plan::ue_prefix(options.family), plan::ue_ports());
        protections.push(Protection { local, prefix, server, clients });
    }
    let start = move || Fleet::start(members, protections);
    Role::start("UE", namespace, start, async move |mut fleet, mut shutdown| {
        loop {
            tokio::select! {
                () = shutdown.requested() => break,
                job = jobs.recv() => {
                    let Some(job) = job else { break };
                    let finished = tokio::select! {
                        () = shutdown.requested() => break,
                        finished = job.run(&mut fleet) => finished,
                    };
                    if told.send(finished).is_err() {
                        break;
                    }
                }
                // Between jobs the UEs live on: sets expire, answers are repeated.
                _ = fleet.step() => {}
            }
        }
        fleet.end()
    })
}
