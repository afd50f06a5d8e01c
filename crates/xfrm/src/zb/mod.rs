//! ESP with manual keys between two hosts of the network: a Zb interface of TS 33.210, for labs.
//!
//! Fails closed: from the moment the policies stand, clear text from the peer is dropped (XfrmInTmplMismatch) and none
//! leaves. The states have no lifetime, so that this stays so when the process dies; the next run takes over.

mod error;
mod file;
mod interfaces;

use std::net::{IpAddr, SocketAddr};

use netlink_packet_xfrm::{LifetimeConfig, Selector, XFRM_MODE_TRANSPORT, XFRM_MODE_TUNNEL, XfrmMessage};
use nix::errno::Errno;
use sec_agree::{Algorithms, EspKeys, Spi};
use serde::{Deserialize, Serialize};

pub use error::ZbError;
pub use file::ZbFile;
pub use interfaces::ZbInterfaces;

use crate::engine::gone;
use crate::policy;
use crate::selector::{self, Direction};
use crate::state::{self, State};
use crate::{Engine, KernelState, Operation, XfrmError, dump};

/// In the selectors of these objects, where those of UEs have [`MARK`](crate::MARK): neither is taken for the other.
/// ("akz" and a version.)
pub const ZB_MARK: u32 = 0x616b_7a01;

/// Behind the policies of UEs: what has a protected port of ours is theirs.
const PRIORITY: u32 = 2048;
/// What must pass in clear comes before it.
const EXEMPT_PRIORITY: u32 = PRIORITY - 1;

//= RFC 4303 3.3.3: no anti-replay with manual keys. An end that starts again counts from 1 again.
const NO_REPLAY_WINDOW: u8 = 0;

/// What is around a packet between the two hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZbMode {
    #[default]
    Transport,
    /// The whole packet travels inside another one between the same two hosts.
    Tunnel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZbProtocol {
    Udp,
    Tcp,
}

/// A protected pair of hosts, without its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZbLink {
    pub local: IpAddr,
    pub peer: IpAddr,
    /// What the peer sends with.
    pub spi_in: Spi,
    /// What we send with.
    pub spi_out: Spi,
    pub algorithms: Algorithms,
    pub mode: ZbMode,
    /// Both, and all else, when absent.
    pub protocol: Option<ZbProtocol>,
    /// Only what has this port at one end, ours or the peer's.
    pub port: Option<u16>,
}

/// A protected pair of hosts.
#[derive(Debug)]
pub struct Zb {
    pub link: ZbLink,
    pub key_in: EspKeys,
    pub key_out: EspKeys,
}

impl ZbMode {
    fn code(self) -> u8 {
        match self {
            Self::Transport => XFRM_MODE_TRANSPORT,
            Self::Tunnel => XFRM_MODE_TUNNEL,
        }
    }
}

impl ZbProtocol {
    fn number(self) -> u8 {
        match self {
            Self::Udp => 17,
            Self::Tcp => 6,
        }
    }
}

impl Engine {
    /// Puts policies and states of a pair in place; those of a run before are replaced, and answers whether there were
    /// any. When the kernel refuses one nothing stays, but what a run before had shut out stays shut out. The pair must
    /// be nobody else's: see [`ZbInterfaces`].
    pub(crate) fn secure(&mut self, zb: &Zb) -> Result<bool, ZbError> {
        let taken_over = !self.policies_of(&zb.link)?.is_empty();
        self.require(zb.link.local, &[zb.link.algorithms])?;
        // First the policies: what has no state yet is dropped, and never leaves in clear.
        let policies = self.policies(Operation::AddPolicy, zb.link.policies().map(Policy::add).collect());
        let added = policies.map_err(ZbError::from).and_then(|()| {
            let ours: Vec<_> = zb.link.policies().map(|policy| (policy.direction, policy.selector)).collect();
            self.remove_policies_of(&zb.link, &ours)?;
            self.replace_states(zb)
        });
        if added.is_err() {
            let undone = if taken_over { self.shut(&zb.link) } else { self.unsecure(&zb.link) };
            if let Err(error) = undone {
                tracing::error!(%error, peer = %zb.link.peer, "rollback failed; clear text to and from this peer stays shut out");
            }
        }
        added.map(|()| taken_over)
    }

    /// Removes the states only: nothing passes, in ESP or in clear.
    pub(crate) fn shut(&mut self, link: &ZbLink) -> Result<(), ZbError> {
        self.remove_states_of(link)
    }

    /// Removes what [`Engine::secure`] has put in place. From then on packets pass in clear.
    pub(crate) fn unsecure(&mut self, link: &ZbLink) -> Result<(), ZbError> {
        self.remove_states_of(link)?;
        self.remove_policies_of(link, &[])
    }

    /// The states of protected pairs in the kernel, also those of other processes, without their keys.
    pub fn zb_states(&mut self) -> Result<Vec<KernelState>, XfrmError> {
        dump::states(&mut self.socket, ZB_MARK)
    }

    fn replace_states(&mut self, zb: &Zb) -> Result<(), ZbError> {
        self.remove_states_of(&zb.link)?;
        let mut messages = zb.states();
        let ends = zb.link.ends();
        for ((source, destination, spi), answer) in ends.into_iter().zip(self.socket.exchange(&mut messages)?)
        {
            match answer {
                Some(Ok(())) => {}
                Some(Err((Errno::EEXIST, _))) => return Err(ZbError::SpiInUse { destination, spi }),
                Some(Err((errno, explanation))) => {
                    return Err(refused(Operation::AddState, (source, destination, spi), errno, explanation));
                }
                None => return Err(XfrmError::NoAnswer { operation: Operation::AddState }.into()),
            }
        }
        Ok(())
    }

    /// Whatever they select: an earlier run may have protected more, or less.
    fn remove_policies_of(&mut self, link: &ZbLink, but: &[(Direction, Selector)]) -> Result<(), ZbError> {
        let held = self.policies_of(link)?;
        let removed = held.into_iter().filter(|policy| !but.contains(policy));
        let message = |(direction, selector)| (link.end(), policy::delete(direction, selector));
        Ok(self.policies(Operation::DeletePolicy, removed.map(message).collect())?)
    }

    fn policies_of(&mut self, link: &ZbLink) -> Result<Vec<(Direction, Selector)>, ZbError> {
        let mut held = dump::policies(&mut self.socket, ZB_MARK)?;
        held.retain(|(_, selector)| {
            let ends = selector::ends(selector);
            link.is_between(ends.0, ends.1)
        });
        Ok(held)
    }

    /// Whatever their SPIs: an earlier run may have had others.
    fn remove_states_of(&mut self, link: &ZbLink) -> Result<(), ZbError> {
        let held: Vec<_> = self
            .zb_states()?
            .iter()
            .map(|state| (state.source.ip(), state.destination.ip(), state.spi))
            .filter(|(source, destination, _)| link.is_between(*source, *destination))
            .collect();
        if held.is_empty() {
            return Ok(());
        }
        let mut messages: Vec<XfrmMessage> =
            held.iter().map(|(_, destination, spi)| state::delete_by_id(*destination, *spi)).collect();
        for (ends, answer) in held.into_iter().zip(self.socket.exchange(&mut messages)?) {
            match answer {
                Some(answer) if gone(&answer) => {}
                Some(Err((errno, explanation))) => {
                    return Err(refused(Operation::DeleteState, ends, errno, explanation));
                }
                _ => return Err(XfrmError::NoAnswer { operation: Operation::DeleteState }.into()),
            }
        }
        Ok(())
    }
}

fn refused(
    operation: Operation,
    (source_address, destination, spi): (IpAddr, IpAddr, u32),
    errno: Errno,
    explanation: Option<Box<str>>,
) -> ZbError {
    XfrmError::StateRefused { operation, spi, source_address, destination, errno, explanation }.into()
}

impl Zb {
    fn states(&self) -> Vec<XfrmMessage> {
        let link = &self.link;
        let [incoming, outgoing] = link.ends();
        [(incoming, &self.key_in), (outgoing, &self.key_out)]
            .map(|((source, destination, spi), keys)| {
                let state = State {
                    selector: selector::between_hosts(source, destination, ZB_MARK),
                    source,
                    destination,
                    spi,
                    mode: link.mode.code(),
                    reqid: spi,
                    replay_window: NO_REPLAY_WINDOW,
                    lifetime: LifetimeConfig::default(),
                    algorithms: link.algorithms,
                    keys,
                };
                XfrmMessage::AddSa(state.message())
            })
            .into()
    }
}

impl ZbLink {
    /// Source, destination and SPI of what comes in and what goes out.
    fn ends(&self) -> [(IpAddr, IpAddr, u32); 2] {
        [(self.peer, self.local, self.spi_in.get()), (self.local, self.peer, self.spi_out.get())]
    }

    /// Of ours, for whoever reads an error.
    fn end(&self) -> SocketAddr {
        SocketAddr::new(self.local, self.port.unwrap_or(0))
    }

    fn is_between(&self, source: IpAddr, destination: IpAddr) -> bool {
        (source, destination) == (self.peer, self.local) || (source, destination) == (self.local, self.peer)
    }

    fn policies(&self) -> impl Iterator<Item = Policy<'_>> {
        let protected = self.protected().into_iter().map(|(direction, selector)| Policy {
            link: self,
            direction,
            selector,
            exempt: false,
        });
        let exempt = self.exempt().into_iter().map(|(direction, selector)| Policy {
            link: self,
            direction,
            selector,
            exempt: true,
        });
        // What must pass passes before anything is held up.
        exempt.chain(protected)
    }

    fn protected(&self) -> Vec<(Direction, Selector)> {
        let mut selectors = Vec::new();
        for direction in [Direction::In, Direction::Out] {
            let (source, destination) = self.way(direction);
            let mut selector = selector::between_hosts(source, destination, ZB_MARK);
            selector.proto = self.protocol.map_or(0, ZbProtocol::number);
            match self.port {
                None => selectors.push((direction, selector)),
                // A connection has the port at one end only.
                Some(port) => selectors.extend([
                    (direction, Selector { sport: port, sport_mask: u16::MAX, ..selector }),
                    (direction, Selector { dport: port, dport_mask: u16::MAX, ..selector }),
                ]),
            }
        }
        selectors
    }

    /// Neighbour discovery between two hosts on one IPv6 link: without it no packet with ESP would find its way.
    fn exempt(&self) -> Vec<(Direction, Selector)> {
        const ICMPV6: u8 = 58;
        /// Neighbour solicitation and advertisement; a policy has an ICMP type in the place of the source port.
        const TYPES: [u16; 2] = [135, 136];
        if self.local.is_ipv4() || self.protocol.is_some() || self.port.is_some() {
            return Vec::new();
        }
        let selector = |direction, kind| {
            let (source, destination) = self.way(direction);
            let selector = selector::between_hosts(source, destination, ZB_MARK);
            Selector { proto: ICMPV6, sport: kind, sport_mask: u16::MAX, ..selector }
        };
        let both = [Direction::In, Direction::Out];
        both.into_iter().flat_map(|way| TYPES.map(|kind| (way, selector(way, kind)))).collect()
    }

    fn way(&self, direction: Direction) -> (IpAddr, IpAddr) {
        match direction {
            Direction::In => (self.peer, self.local),
            Direction::Out => (self.local, self.peer),
        }
    }
}

struct Policy<'a> {
    link: &'a ZbLink,
    direction: Direction,
    selector: Selector,
    exempt: bool,
}

impl Policy<'_> {
    /// The local end and the message.
    fn add(self) -> (SocketAddr, XfrmMessage) {
        let (end, priority) = (self.link.end(), if self.exempt { EXEMPT_PRIORITY } else { PRIORITY });
        let template = (!self.exempt).then(|| {
            let (source, destination) = self.link.way(self.direction);
            let mut template = policy::template(self.link.mode.code(), selector::family(self.link.local));
            template.saddr = netlink_packet_xfrm::Address::from_ip(&source);
            template.id.daddr = netlink_packet_xfrm::Address::from_ip(&destination);
            // No other association will do, least of all one of a UE.
            template.reqid = match self.direction {
                Direction::In => self.link.spi_in.get(),
                Direction::Out => self.link.spi_out.get(),
            };
            template
        });
        let lifetime = LifetimeConfig::default();
        (end, policy::update(self.direction, self.selector, priority, lifetime, template))
    }
}

#[cfg(test)]
mod tests;
