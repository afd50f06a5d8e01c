//! One connection to a peer, as the node sees it. The shell moves the octets.

use std::fmt;
use std::net::IpAddr;

use super::Now;
use super::base::Capabilities;
use super::watchdog::{State, Watchdog};
use crate::diameter::{Ids, Wire};
use crate::{BaseCode, CxError};

/// Nothing is read from a peer that lets so many octets wait.
pub(super) const BACKLOG: usize = 256 * 1024;
/// And it gets no requests: more than the usual bound of requests in flight, should all be made at once.
pub(super) const FULL: usize = 1024 * 1024;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum End {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the peer said goodbye")]
    Goodbye,
    #[error("this end is going away")]
    Stopping,
    #[error("the peer gave no sign of life")]
    Silent,
    #[error("the peer takes nothing any more")]
    Stuck,
    #[error("the peer does not speak Cx")]
    NoCommonApplication,
    #[error(
        "the peer wants TLS after the capabilities exchange; only TLS from the first octet is spoken here"
    )]
    NoCommonSecurity,
    #[error("the peer's first message was not a capabilities exchange")]
    NotIntroduced,
    #[error("the peer refused us: {0:?}")]
    Refused(BaseCode),
    #[error("the peer is not in the list of allowed peers")]
    UnknownPeer,
    #[error("the peer calls itself by another name than expected")]
    WrongName,
    #[error("the peer calls itself by our name")]
    OurName,
    #[error("the peer's certificate is for another name than the one it calls itself by")]
    WrongCertificate,
    #[error("there are too many peers")]
    TooManyPeers,
    #[error("the peer sent what cannot be read: {0:?}")]
    Unreadable(BaseCode),
    #[error("{0}")]
    Io(std::io::ErrorKind),
}

impl From<CxError> for End {
    fn from(error: CxError) -> Self {
        Self::Unreadable(error.code())
    }
}

/// How far the conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    AwaitsCer {
        until: Now,
    },
    AwaitsCea {
        until: Now,
        ids: Ids,
    },
    Open,
    /// We have said goodbye.
    AwaitsDpa {
        until: Now,
    },
}

/// Whether the other end's certificate is good for a name.
pub(super) type Proof = Box<dyn Fn(&str) -> bool + Send>;

/// Which end asked for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// We did; the number is the peer's place in the configuration.
    Dialled(usize),
    Accepted,
}

impl Side {
    pub(super) const fn place(self) -> Option<usize> {
        match self {
            Self::Dialled(place) => Some(place),
            Self::Accepted => None,
        }
    }
}

pub(super) struct Connection {
    pub(super) side: Side,
    pub(super) local: IpAddr,
    /// None: clear text.
    pub(super) proof: Option<Proof>,
    pub(super) phase: Phase,
    pub(super) peer: Option<Capabilities>,
    pub(super) watchdog: Watchdog,
    /// Requests of the peer that the server works on.
    pub(super) in_progress: usize,
    pub(super) ended: Option<End>,
    hop_by_hop: u32,
    outbox: Vec<Wire>,
    octets: usize,
}

impl Connection {
    pub(super) fn new(
        side: Side,
        local: IpAddr,
        proof: Option<Proof>,
        phase: Phase,
        watchdog: Watchdog,
        hop_by_hop: u32,
    ) -> Self {
        Self {
            side,
            local,
            proof,
            phase,
            peer: None,
            watchdog,
            in_progress: 0,
            ended: None,
            hop_by_hop,
            outbox: Vec::new(),
            octets: 0,
        }
    }

    pub(super) fn next_hop_by_hop(&mut self) -> u32 {
        self.hop_by_hop = self.hop_by_hop.wrapping_add(1);
        self.hop_by_hop
    }

    /// Whether the writer must be woken for it.
    pub(super) fn push(&mut self, wire: Wire) -> bool {
        let first = self.outbox.is_empty();
        self.octets += wire.as_bytes().len();
        self.outbox.push(wire);
        first
    }

    pub(super) fn take(&mut self) -> Vec<Wire> {
        self.octets = 0;
        std::mem::take(&mut self.outbox)
    }

    pub(super) const fn backlogged(&self) -> bool {
        self.octets > BACKLOG
    }

    pub(super) const fn full(&self) -> bool {
        self.octets > FULL
    }

    #[cfg(test)]
    pub(super) const fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn is_open(&self) -> bool {
        self.ended.is_none() && self.phase == Phase::Open
    }

    /// Lower is better. None: gets no requests.
    pub(super) fn rank(&self) -> Option<u8> {
        match self.watchdog.state() {
            _ if !self.is_open() => None,
            State::Okay => Some(0),
            State::Reopen => Some(1),
            State::Initial | State::Suspect | State::Down => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Now> {
        match self.phase {
            _ if self.ended.is_some() => None,
            Phase::AwaitsCer { until } | Phase::AwaitsCea { until, .. } | Phase::AwaitsDpa { until } => {
                Some(until)
            }
            Phase::Open => self.watchdog.deadline(),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.peer.as_ref().map(|peer| peer.origin.host.as_str());
        write!(f, "{:?} {host:?} {:?}, {} octets wait", self.side, self.phase, self.octets)
    }
}
