//! Where a message came from, what its sender is to us, and what of it is believed.

use std::net::SocketAddr;
use std::sync::Arc;

use sip::{Draft, Flow, Instant, Message, Transport};
use trust::{Direction, Peer, Trust, border};

use super::ICscf;
use crate::Refusal;
use crate::border::Border;

/// Where a request came from, and where its answers go.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) flow: Flow,
    /// Of the certificate on its connection.
    pub(super) names: Arc<[Box<str>]>,
    /// The interface that it came by; `None`: inside the network.
    pub(super) interface: Option<SocketAddr>,
    /// What the sender is to us.
    pub(super) trust: Trust,
}

impl Origin {
    pub(super) fn is_outside(&self) -> bool {
        self.interface.is_some()
    }
}

impl ICscf {
    //= TS 33.203 Annex J: a UE must not reach the home network around its P-CSCF
    pub(super) fn origin(&self, flow: Flow, names: Arc<[Box<str>]>) -> Result<Origin, Refusal> {
        let Some((border, interface)) = self.interface(flow) else {
            let inside = self.config.trusted_peers.contains(&flow.remote.ip());
            let origin = Origin { flow, names, interface: None, trust: Trust::Own };
            return if inside { Ok(origin) } else { Err(Refusal::UntrustedPeer) };
        };
        let trust = trust(border, Direction::Incoming, interface, flow, &names);
        Ok(Origin { flow, names, interface: Some(interface), trust })
    }

    /// Within the network only its nodes answer: a branch is no secret, and what an answer asserts is believed there.
    pub(super) fn may_answer(&self, flow: Flow) -> bool {
        let host = flow.remote.ip();
        self.interface(flow).is_some()
            || self.config.trusted_peers.contains(&host)
            || self.config.s_cscfs.iter().any(|s_cscf| s_cscf.address.ip() == host)
    }

    /// The interface at the border that this local end belongs to; `None` for the inside of the network. (A connection
    /// that we have opened has a port of its own.)
    pub(super) fn interface(&self, flow: Flow) -> Option<(&Border, SocketAddr)> {
        let border = self.config.border.as_ref().filter(|_| flow.local != self.config.address)?;
        let is_secure = flow.transport == Transport::Tls;
        let fits = |interface: &SocketAddr| border.secure.contains(interface) == is_secure;
        let interfaces = || border.interfaces.iter().copied().filter(fits);
        let exact = interfaces().find(|interface| *interface == flow.local);
        let found = exact.or_else(|| interfaces().find(|interface| interface.ip() == flow.local.ip()));
        found.map(|interface| (border, interface))
    }

    /// The request without what an untrusted sender may not say, and what this network had hidden restored.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        origin: &Origin,
        request: &Message,
    ) -> Result<Message, Refusal> {
        let Some(border) = self.config.border.as_ref().filter(|_| origin.is_outside()) else {
            return Ok(request.clone());
        };
        //= TS 33.203 6.4
        let restored = border.hiding.as_ref().map(|hiding| hiding.restore(now, request)).transpose();
        let restored = restored.map_err(|_| Refusal::BadToken)?.flatten();
        let message = restored.unwrap_or_else(|| request.clone());
        if origin.trust != Trust::Untrusted {
            return Ok(message);
        }
        let mut draft = Draft::forward(&message);
        border::strip_incoming(&mut draft);
        self.memory.inward(now, &message, &mut draft);
        Ok(draft.finish())
    }

    /// As [`Self::admit`], of an answer; one with a broken token is dropped.
    pub(super) fn admit_answer(
        &self,
        now: Instant,
        flow: Flow,
        names: &[Box<str>],
        response: Message,
    ) -> Option<Message> {
        let Some((border, interface)) = self.interface(flow) else { return Some(response) };
        let restored = match &border.hiding {
            Some(hiding) => hiding.restore(now, &response).ok()?,
            None => None,
        };
        let trust = trust(border, Direction::Incoming, interface, flow, names);
        Some(believed(trust, restored.unwrap_or(response)))
    }
}

/// What the peer at the other end of this flow is. A response is judged by the way it takes itself.
pub(super) fn trust(
    border: &Border,
    direction: Direction,
    interface: SocketAddr,
    flow: Flow,
    names: &[Box<str>],
) -> Trust {
    let route = border.partner_at(flow.remote.ip()).and_then(|partner| partner.role);
    let (remote, transport) = (flow.remote.ip(), flow.transport);
    border.trust.decide(direction, &Peer { interface: Some(interface), remote, transport, names, route })
}

fn believed(trust: Trust, message: Message) -> Message {
    if trust != Trust::Untrusted {
        return message;
    }
    //= RFC 3325 5
    let mut draft = Draft::forward(&message);
    border::strip_incoming(&mut draft);
    draft.finish()
}
