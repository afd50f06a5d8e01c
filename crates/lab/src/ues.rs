//! The UEs of a lab: what they are told to do, what they tell.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc as blocking};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use sec_agree::Spi;
use sip::Timers;
use tokio::sync::mpsc;
use ue::core::{Command, Step};
use ue::fleet::Fleet;
use xfrm::Protection;

use crate::cards;
use crate::lab::Options;
use crate::network::Network;
use crate::plan;
use crate::role::Role;

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

/// Something for several UEs to do.
#[derive(Debug)]
struct Job {
    command: Command,
    members: Vec<usize>,
    at_once: usize,
}

impl Job {
    async fn run(self, fleet: &mut Fleet, heard: &Heard) -> Vec<Finished> {
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
            let Some((_, steps)) = under_way.get_mut(&member) else {
                heard.push(member, step);
                continue;
            };
            let ends = step.ends();
            steps.push(step);
            if ends && let Some((started, steps)) = under_way.remove(&member) {
                all.push(Finished { member, steps, took: started.elapsed() });
            }
        }
    }
}

/// What UEs told that were not told anything: latest last.
#[derive(Debug, Default)]
struct Heard {
    steps: Mutex<VecDeque<(usize, Step)>>,
    more: Condvar,
}

/// Steps kept for whoever asks; older ones go.
const KEPT_STEPS: usize = 4096;

impl Heard {
    fn push(&self, member: usize, step: Step) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.len() >= KEPT_STEPS {
            steps.pop_front();
        }
        steps.push_back((member, step));
        self.more.notify_all();
    }

    /// Takes the first step of `member` that fits, also one that is yet to come.
    fn take(&self, member: usize, patience: Duration, fits: impl Fn(&Step) -> bool) -> Result<Step> {
        let of_member = |(of, step): &(usize, Step)| *of == member && fits(step);
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + patience;
        loop {
            if let Some(at) = steps.iter().position(of_member) {
                return steps.remove(at).map(|(_, step)| step).context("take a step");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(anyhow!("UE {member} told something else: {steps:?}"));
            }
            steps = self.more.wait_timeout(steps, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The UEs of one network, in a thread of their own.
#[derive(Debug)]
pub(crate) struct Ues {
    fleet: Role,
    jobs: mpsc::UnboundedSender<Job>,
    finished: blocking::Receiver<Vec<Finished>>,
    heard: Arc<Heard>,
}

impl Ues {
    pub(crate) fn start(network: &Network, options: &Options) -> Result<Self> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let (told, finished) = blocking::channel();
        let heard = Arc::<Heard>::default();
        let fleet = start_fleet(network, options, queue, told, Arc::clone(&heard))?;
        Ok(Self { fleet, jobs, finished, heard })
    }

    pub(crate) fn run(
        &self,
        command: Command,
        members: Vec<usize>,
        at_once: usize,
        patience: Duration,
    ) -> Result<Vec<Finished>> {
        let patience = patience * u32::try_from(members.len() / at_once.max(1) + 4)?;
        self.jobs.send(Job { command, members, at_once }).map_err(|_| anyhow!("the UEs have ended"))?;
        self.finished.recv_timeout(patience).context("the UEs tell nothing")
    }

    pub(crate) fn hear(
        &self,
        member: usize,
        patience: Duration,
        fits: impl Fn(&Step) -> bool,
    ) -> Result<Step> {
        self.heard.take(member, patience, fits)
    }

    pub(crate) fn cpu(&self) -> Duration {
        self.fleet.cpu()
    }

    pub(crate) fn stop(self) -> Result<()> {
        self.fleet.stop()
    }
}

fn start_fleet(
    network: &Network,
    options: &Options,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    told: blocking::Sender<Vec<Finished>>,
    heard: Arc<Heard>,
) -> Result<Role> {
    let (members, protections) = members(network, options)?;
    let start = move || Fleet::start(members, protections);
    Role::start("UE", &network.ue, start, async move |mut fleet, mut shutdown| {
        loop {
            tokio::select! {
                () = shutdown.requested() => break,
                job = jobs.recv() => {
                    let Some(job) = job else { break };
                    let finished = tokio::select! {
                        () = shutdown.requested() => break,
                        finished = job.run(&mut fleet, &heard) => finished,
                    };
                    if told.send(finished).is_err() {
                        break;
                    }
                }
                // Between jobs the UEs live on: sets expire, answers are repeated, others call.
                (member, step) = fleet.step() => heard.push(member, step),
            }
        }
        fleet.end()
    })
}

type Members = (Vec<(ue::core::Config, aka::Isim)>, Vec<Protection>);

fn members(network: &Network, options: &Options) -> Result<Members> {
    let operator = network.operator;
    let mut protections = Vec::new();
    let mut members = Vec::new();
    for (n, offer) in (0..options.ues).zip(options.offers.iter().cycle()) {
        let address = operator.ue_address(options.family, n);
        let (server_port, client_ports) =
            if options.nat { plan::ue_ports_behind_nat(n) } else { plan::ue_ports() };
        if options.nat {
            protections.push(Protection::of_address(address, server_port, client_ports));
        }
        let config = ue::core::Config {
            impi: aka::Impi::new(&operator.impi(n))?,
            impu: aka::Impu::new(&operator.impu(n))?,
            home_domain: operator.home_domain().into(),
            address,
            clear_port: 5060,
            p_cscf: operator.p_cscf(options.family),
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
            answering: options.answering.clone(),
        };
        members.push((config, cards::card(operator, options.seed, n)));
    }
    if !options.nat {
        let ((local, prefix), (server, clients)) = (operator.ue_prefix(options.family), plan::ue_ports());
        protections.push(Protection { local, prefix, server, clients });
    }
    Ok((members, protections))
}
