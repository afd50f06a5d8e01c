use std::net::SocketAddr;
use std::time::Duration;

use sec_agree::{Association, Associations, Port, SecurityServer, Setup, SpiPool};
use sip::{Flow, Instant, Timers, Transport};

use super::{Attempt, Config, Output};

/// A set of four security associations at the UE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetId(u64);

/// What a request goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    Clear,
    Set(SetId),
}

/// A set and the agreement that made it.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) id: SetId,
    pub(super) associations: Associations,
    pub(super) server: SecurityServer,
    installed: Instant,
    expires: Instant,
    /// The P-CSCF has sent over it since SM12.
    used: bool,
    /// Its connections are closed.
    closed: bool,
}

impl Set {
    /// Whether the P-CSCF has sent over it what came by `flow`.
    fn sends(&self, flow: &Flow) -> bool {
        let Associations { pc_to_us, ps_to_uc, .. } = self.associations;
        let over = |sa: Association| (flow.remote, flow.local) == (sa.source, sa.destination);
        over(pc_to_us) || (flow.transport != Transport::Udp && over(ps_to_uc))
    }

    /// A moment before its end.
    fn closes(&self) -> Instant {
        Instant::from_epoch(self.expires.since_epoch().saturating_sub(Timers::GM.t1))
    }
}

/// A set whose time was over.
#[derive(Debug)]
pub(super) struct Expired {
    pub(super) associations: Associations,
    pub(super) was_current: bool,
}

/// At most three: of the challenge under way, of the latest success, and of the one before.
#[derive(Debug)]
pub(super) struct Sets {
    spis: SpiPool,
    last: u64,
    temporary: Option<Set>,
    current: Option<Set>,
    old: Option<Set>,
    /// Client ports of sets that ended here since the latest success. The P-CSCF may hold those sets longer and would
    /// refuse their ports.
    ended: Vec<u16>,
}

const KERNEL_MARGIN: Duration = Duration::from_secs(60);
//= TS 24.229 5.1.1: the lifetime of a set is the registration's and 30 seconds
const REGISTRATION_MARGIN: Duration = Duration::from_secs(30);
//= TS 24.229 7.8: reg-await-auth
const AWAIT_AUTH: Duration = Duration::from_secs(240);

impl Sets {
    pub(super) fn new(spis: SpiPool) -> Self {
        Self { spis, last: 0, temporary: None, current: None, old: None, ended: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        [&self.temporary, &self.current, &self.old].into_iter().flatten().count()
    }

    pub(super) fn current(&self) -> Option<&Set> {
        self.current.as_ref()
    }

    pub(super) fn get(&self, id: SetId) -> Option<&Set> {
        [&self.temporary, &self.current, &self.old].into_iter().flatten().find(|set| set.id == id)
    }

    /// Whether a set lives that sends from this address.
    pub(super) fn sends_from(&self, local: SocketAddr) -> bool {
        let mut sets = [&self.current, &self.old].into_iter().flatten();
        sets.any(|set| set.associations.uc_to_ps.source == local)
    }

    /// The flow that answers a request which came over a set in force; none when it did not.
    //= TS 33.203 7.1: over UDP from our client port to the P-CSCF's server port, over TCP on the connection
    pub(super) fn reply_flow(&self, flow: &Flow) -> Option<Flow> {
        let set = [&self.current, &self.old].into_iter().flatten().find(|set| set.sends(flow))?;
        if flow.transport == Transport::Udp {
            let sa = set.associations.uc_to_ps;
            Some(Flow::udp(sa.source, sa.destination))
        } else {
            Some(*flow)
        }
    }

    /// New SPIs and a client port that no set of ours uses.
    //= TS 33.203 7.4: SPIs and client port are new for every authentication, the server port stays
    pub(super) fn draw(&mut self, config: &Config, random: u64) -> Option<Setup> {
        let in_use = |port: Port| {
            let sets = [&self.temporary, &self.current, &self.old].into_iter().flatten();
            sets.into_iter().any(|set| set.associations.uc_to_ps.source.port() == port.get())
        };
        let mut free: Vec<Port> = config.client_ports.iter().filter(|port| !in_use(*port)).collect();
        if free.iter().any(|port| !self.ended.contains(&port.get())) {
            free.retain(|port| !self.ended.contains(&port.get()));
        }
        let at = usize::try_from(random).unwrap_or(0).checked_rem(free.len())?;
        let port_c = *free.get(at)?;
        let spi_c = self.spis.draw(&[])?;
        let Some(spi_s) = self.spis.draw(&[]) else {
            self.spis.give_back(spi_c);
            return None;
        };
        Some(Setup { spi_c, spi_s, port_c, port_s: config.server_port })
    }

    /// An offer that led to no set.
    pub(super) fn give_back(&mut self, setup: &Setup) {
        self.spis.give_back(setup.spi_c);
        self.spis.give_back(setup.spi_s);
    }

    /// Enters the set of a challenge. The caller has removed an earlier one.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        associations: Associations,
        server: SecurityServer,
    ) -> (SetId, Duration) {
        self.last += 1;
        let id = SetId(self.last);
        self.temporary = Some(Set {
            id,
            associations,
            server,
            installed: now,
            expires: now + AWAIT_AUTH,
            used: false,
            closed: false,
        });
        (id, AWAIT_AUTH + KERNEL_MARGIN)
    }

    /// Takes the set of a challenge out: this one, or whichever there is.
    pub(super) fn remove_temporary(&mut self, id: Option<SetId>) -> Option<Set> {
        let set = self.temporary.take_if(|set| id.is_none_or(|id| set.id == id))?;
        self.free(&set);
        Some(set)
    }

    /// After SM12: the temporary set becomes the current one. Answers what to tell the kernel.
    //= TS 33.203 7.4.1a
    pub(super) fn promote(&mut self, now: Instant, initial: bool, expires: u32) -> Vec<Output> {
        let mut outputs = Vec::new();
        let Some(mut new) = self.temporary.take() else { return outputs };
        let mut gone: Vec<Set> = self.old.take().into_iter().collect();
        let mut until = now + Duration::from_secs(expires.into()) + REGISTRATION_MARGIN;
        if let Some(old) = self.current.take() {
            until = until.max(old.expires);
            if initial {
                gone.push(old);
            } else {
                self.old = Some(old);
            }
        }
        new.expires = until;
        outputs.push(extend(now, &new));
        self.current = Some(new);
        for set in gone {
            self.free(&set);
            outputs.push(Output::RemoveSas { associations: set.associations });
        }
        // At this success the P-CSCF has let go of all sets but these two as well.
        self.ended.clear();
        outputs
    }

    /// The P-CSCF has sent over a set. Its first message over a new one after SM12 ends the old one, once what is
    /// under way over that has ended.
    //= TS 33.203 7.4.1a
    pub(super) fn heard(&mut self, now: Instant, flow: &Flow) -> Option<Output> {
        let current = self.current.as_mut().filter(|set| !set.used && set.sends(flow))?;
        current.used = true;
        let old = self.old.as_mut()?;
        old.expires = old.expires.min(now + Timers::GM.t1 * 64);
        Some(extend(now, old))
    }

    /// What the connections of the old set still have to say, they say while it lives.
    pub(super) fn take_closing(&mut self, now: Instant) -> Option<Output> {
        let old = self.old.as_mut().filter(|old| !old.closed && old.closes() <= now)?;
        old.closed = true;
        Some(Output::Close { local: old.associations.uc_to_ps.source })
    }

    /// A registration without a new challenge.
    pub(super) fn prolong(&mut self, now: Instant, expires: u32) -> Option<Output> {
        let set = self.current.as_mut()?;
        set.expires = set.expires.max(now + Duration::from_secs(expires.into()) + REGISTRATION_MARGIN);
        Some(extend(now, set))
    }

    /// The registration ends in this many seconds: no set outlives it.
    pub(super) fn shorten(&mut self, now: Instant, expires: u32) -> Vec<Output> {
        let until = now + Duration::from_secs(expires.into()) + REGISTRATION_MARGIN;
        let mut outputs = Vec::new();
        for set in [&mut self.current, &mut self.old].into_iter().flatten().filter(|set| set.expires > until)
        {
            set.expires = until;
            outputs.push(extend(now, set));
        }
        outputs
    }

    /// Ends the sets of a registration that is over, after the last packets over them have passed. The set of a
    /// challenge goes with them, but for one of a registration that follows.
    pub(super) fn retire(&mut self, now: Instant, with_temporary: bool) -> Vec<Output> {
        let soon = now + Timers::GM.t1;
        let temporary = self.temporary.as_mut().filter(|_| with_temporary);
        let sets = [temporary, self.current.as_mut(), self.old.as_mut()].into_iter().flatten();
        sets.map(|set| {
            set.expires = set.expires.min(soon);
            Output::Close { local: set.associations.uc_to_ps.source }
        })
        .collect()
    }

    /// All sets, at the end of the UE.
    pub(super) fn remove_all(&mut self) -> Vec<Associations> {
        let sets: Vec<Set> =
            [self.temporary.take(), self.current.take(), self.old.take()].into_iter().flatten().collect();
        sets.iter().for_each(|set| self.free(set));
        sets.into_iter().map(|set| set.associations).collect()
    }

    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Expired> {
        let due = |set: &mut Set| set.expires <= now;
        let (set, was_current) = match self.old.take_if(due).or_else(|| self.temporary.take_if(due)) {
            Some(set) => (set, false),
            None => (self.current.take_if(due)?, true),
        };
        self.free(&set);
        Some(Expired { associations: set.associations, was_current })
    }

    /// The time of the set of this SPI of ours is over.
    pub(super) fn end(&mut self, spi: u32) -> bool {
        let mut sets = [&mut self.temporary, &mut self.current, &mut self.old].into_iter().flatten();
        let ended = sets.find(|set| spis_of(set).contains(&spi));
        ended.map(|set| set.expires = Instant::ZERO).is_some()
    }

    pub(super) fn spis(&self) -> impl Iterator<Item = u32> {
        [&self.temporary, &self.current, &self.old].into_iter().flatten().flat_map(spis_of)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let closing = self.old.as_ref().filter(|old| !old.closed).map(Set::closes);
        let sets = [&self.temporary, &self.current, &self.old].into_iter().flatten();
        sets.map(|set| set.expires).chain(closing).min()
    }

    fn free(&mut self, set: &Set) {
        self.spis.give_back(set.associations.ps_to_uc.spi);
        self.spis.give_back(set.associations.pc_to_us.spi);
        let port = set.associations.uc_to_ps.source.port();
        if !self.ended.contains(&port) {
            self.ended.push(port);
        }
    }
}

/// Those that arrive here.
fn spis_of(set: &Set) -> [u32; 2] {
    [set.associations.ps_to_uc.spi.get(), set.associations.pc_to_us.spi.get()]
}

fn extend(now: Instant, set: &Set) -> Output {
    let lifetime = (set.expires - now) + KERNEL_MARGIN;
    Output::ExtendSas { associations: set.associations, age: now - set.installed, lifetime }
}

impl Via {
    /// The flow that a request takes. TCP in clear leaves from any port, over a set from the client port.
    pub(super) fn flow(self, config: &Config, sets: &Sets, transport: Transport) -> Option<Flow> {
        let (local, remote) = match self {
            Self::Clear => {
                let port = if transport == Transport::Udp { config.clear_port } else { 0 };
                (SocketAddr::new(config.address, port), config.p_cscf)
            }
            Self::Set(id) => {
                let sa = sets.get(id)?.associations.uc_to_ps;
                (sa.source, sa.destination)
            }
        };
        Some(Flow { transport, local, remote, connection: None })
    }

    /// Whether an answer that came over `flow` came the way it must.
    //= TS 33.203 7.1: over UDP from the P-CSCF's client port to our server port, over TCP on the connection
    pub(super) fn may_answer(self, config: &Config, sets: &Sets, flow: &Flow) -> bool {
        match self {
            Self::Clear => flow.remote == config.p_cscf && flow.local.ip() == config.address,
            Self::Set(id) => sets.get(id).is_some_and(|set| {
                let sa = if flow.transport == Transport::Udp {
                    set.associations.pc_to_us
                } else {
                    set.associations.ps_to_uc
                };
                (flow.remote, flow.local) == (sa.source, sa.destination)
            }),
        }
    }
}

impl Attempt {
    /// Whether an answer with this status came the way it must.
    //= TS 33.203 7.4.1a: the refusal of a protected registration comes over the set that SM1 went over
    pub(super) fn may_be_answered(&self, config: &Config, sets: &Sets, flow: &Flow, status: u16) -> bool {
        self.via.may_answer(config, sets, flow)
            || (status >= 300 && !self.is_initial() && self.first_via.may_answer(config, sets, flow))
    }
}
