//! A network that can be started, used and measured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cx::Server;
use sec_agree::{Algorithms, Encapsulation, Policy};
use ue::core::{Command, Step, TransportChoice};
use xfrm::{Engine, KernelState, Statistics};

use crate::border::Border;
use crate::cards;
use crate::cscfs::{start_icscf, start_pcscf, start_scscf};
use crate::cx_link::{self, Spent};
use crate::namespace::Namespace;
use crate::nat::Nat;
use crate::network::Network;
use crate::plan::{self, Family};
use crate::role::Role;
use crate::tap::Tap;
use crate::ues::{Finished, Ues};

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
    /// How UEs answer others.
    pub answering: ue::core::Answering,
    /// The border of an operator among several.
    pub border: Option<Border>,
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
            answering: ue::core::Answering::default(),
            border: None,
            tap: true,
            seed: 1,
            patience: Duration::from_secs(60),
        }
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
    ues: Option<Ues>,
    pcscf: Option<Role>,
    icscf: Role,
    scscf: Role,
    tap: Option<Tap>,
    hss_time: [Spent; 2],
    nat: Option<Nat>,
    network: Network,
    options: Options,
}

impl Lab {
    pub fn start(options: Options) -> Result<Self> {
        let network = if options.nat { Network::behind_nat()? } else { Network::new()? };
        Self::start_in(network, options)
    }

    /// One operator's roles in its network.
    pub(crate) fn start_in(network: Network, options: Options) -> Result<Self> {
        // Three sockets a UE.
        node::raise_open_files();
        let nat = network.nat.as_ref().map(|(inside, outside)| start_nat(inside, outside)).transpose()?;
        let hss = cards::hss(network.operator, options.seed, options.ues)?;
        let (asks_scscf, requests) = scscf::shell::cx_requests();
        hss.reach(cx_link::to_scscf(&network.operator.home_domain(), asks_scscf));
        let hss: Arc<dyn Server> = Arc::new(hss);
        let (scscf, scscf_spent) = start_scscf(&network, &options, Arc::clone(&hss), requests)?;
        let (icscf, icscf_spent) = start_icscf(&network, &options, hss)?;
        let pcscf = if options.p_cscf { Some(start_pcscf(&network, &options)?) } else { None };
        let (wire, link) = network.wire();
        let tap = if options.tap { Some(Tap::listen(wire, link)?) } else { None };
        let ues = Ues::start(&network, &options)?;
        let hss_time = [icscf_spent, scscf_spent];
        Ok(Self { ues: Some(ues), pcscf, icscf, scscf, tap, nat, hss_time, network, options })
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
        cards::vector(self.network.operator, self.options.seed, member, rand)
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
        let members = members.into_iter().collect();
        let ues = self.ues.as_ref().context("the UEs have ended")?;
        ues.run(command, members, at_once, self.options.patience)?.into_iter().for_each(&mut each);
        Ok(())
    }

    /// Takes the first step that fits of what a UE tells without being told anything, also if it is yet to come.
    pub fn hear(&self, member: usize, fits: impl Fn(&Step) -> bool) -> Result<Step> {
        let ues = self.ues.as_ref().context("the UEs have ended")?;
        ues.hear(member, self.options.patience, fits)
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
            ue: self.ues.as_ref().map(Ues::cpu).unwrap_or_default(),
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
        self.ues.take().map_or(Ok(()), Ues::stop)
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

fn start_nat(inside: &Namespace, outside: &Namespace) -> Result<Nat> {
    let p_cscf = plan::p_cscf(Family::V4);
    let encapsulated = SocketAddr::new(p_cscf.ip(), Encapsulation::PORT);
    Nat::start(inside, outside, plan::NAT, &[p_cscf, encapsulated])
}
