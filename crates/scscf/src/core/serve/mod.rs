//! Requests that are not for us: of our users, to our users, and within their dialogs (TS 24.229 5.4.3).
//!
//! [`Scscf::serve`] follows one of them: the checks of a proxy, our own Route entry, then `originating.rs`,
//! `terminating.rs` or `within.rs`, and out. `answers.rs` is the way back.

mod answers;
mod cancel;
mod originating;
mod terminating;
mod within;

use super::restore::Waiting;
use super::{Event, Scscf};
use crate::Refusal;
use aka::Impu;
use rand_chacha::rand_core::Rng;
use sip::proxy::{Full, Relay, Sender};
use sip::{Draft, Flow, Hop, Host, Instant, Message, Method, Name, ServerId, Transport, Uri, routing};
use std::net::SocketAddr;

pub(super) use answers::Leg;

/// The user part of our Service-Route.
//= TS 24.229 5.4.1.2.2F
pub(crate) const ORIGINATING: &str = "orig";
/// The user parts of our Record-Route entries: which of the two users of a dialog we stand beside.
const BESIDE_CALLER: &str = "caller";
const BESIDE_CALLEE: &str = "callee";

/// A request that goes on.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) server: ServerId,
    pub(super) flow: Flow,
    pub(super) request: Message,
    /// What the HSS has said about the user, who was not known here.
    pub(super) asked: Option<Told>,
}

/// What the HSS says of a user it was asked for, and who is not registered here after that either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// There is no such user, or nobody may reach it.
    Nobody,
    NotRegistered,
}

/// What our topmost Route entry says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// A user of ours makes it.
    Originating,
    /// It is in a dialog that we stand beside.
    Dialog,
    /// An I-CSCF has put us there.
    Plain,
}

/// Why a request does not go on.
#[derive(Debug)]
enum Stop {
    /// This user is not known here, but perhaps at the HSS.
    Ask(Impu),
    Routing(routing::Refusal),
    Refuse(Refusal),
}

impl From<routing::Refusal> for Stop {
    fn from(refusal: routing::Refusal) -> Self {
        Self::Routing(refusal)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl Scscf {
    pub(super) fn serve(&mut self, now: Instant, inbound: Inbound) {
        let branch = self.branch(&inbound.request);
        match self.next(&inbound, &branch) {
            Ok((hop, leg)) => {
                let Inbound { server, request, .. } = inbound;
                self.send_on(now, Relay { server, request, context: leg }, hop);
            }
            Err(Stop::Ask(impu)) => {
                self.waiting.insert(inbound.server, inbound.request.clone());
                self.ask_what_was(None, &impu, Waiting::Serve(Box::new(inbound)));
            }
            Err(Stop::Routing(refusal)) => {
                let answer = refusal.reply(&inbound.request, &self.tag());
                self.transactions.respond(now, inbound.server, answer);
                let (status, _) = refusal.status();
                self.event(Event::Refused { impi: None, status, refusal: Refusal::Routing });
            }
            Err(Stop::Refuse(refusal)) => {
                self.refuse_message(now, inbound.server, &inbound.request, None, refusal);
            }
        }
    }

    /// The HSS has answered. Nobody waits any more when the request was cancelled meanwhile.
    pub(super) fn serve_again(&mut self, now: Instant, inbound: Inbound) {
        if self.waiting.remove(&inbound.server).is_some() {
            self.serve(now, inbound);
        }
    }

    /// Where the request goes, and in which form.
    fn next(&self, inbound: &Inbound, branch: &str) -> Result<(Hop, Leg), Stop> {
        let Inbound { flow, request, asked, .. } = inbound;
        self.check(flow, request)?;
        let sender = Sender { address: flow.local, branch };
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        match self.arrived(request, flow.local)? {
            (draft, Some(Mark::Originating)) => self.originating(request, *asked, draft, sender),
            (draft, Some(_)) if in_dialog => self.within(draft, sender),
            (_, Some(Mark::Dialog)) => Err(Refusal::OutsideItsDialog.into()),
            (_, None) if in_dialog => Err(Refusal::RouteMissing.into()),
            (draft, _) => self.terminating(request, *asked, draft, sender),
        }
    }

    /// The checks of a proxy, in their order.
    //= RFC 3261 16.3
    fn check(&self, flow: &Flow, request: &Message) -> Result<(), Stop> {
        routing::request_uri(request)?;
        routing::max_forwards(request)?;
        let own = |host: Host<'_>, port: Option<u16>| {
            host.ip() == Some(flow.local.ip()) && port.unwrap_or(5060) == flow.local.port()
        };
        routing::check_loop(request, routing::loop_hash(request, self.loop_key), own)?;
        routing::proxy_require(request, &[])?;
        //= TS 33.203 Annex J: only CSCFs of ours send to us, and only their word counts for who a user is
        if self.config.trusted_peers.contains(&flow.remote.ip()) {
            Ok(())
        } else {
            Err(Refusal::UntrustedPeer.into())
        }
    }

    /// The request with one hop less and without our Route entries, and what the first of them says.
    fn arrived<'a>(
        &self,
        request: &'a Message,
        local: SocketAddr,
    ) -> Result<(Draft<'a>, Option<Mark>), routing::Refusal> {
        let mut draft = Draft::forward(request);
        let own = |uri: &Uri<'_>| self.is_own(uri, local);
        // A strict router before us has put our entry into the Request-URI.
        let rewritten = Uri::parse(request.request_uri().unwrap_or_default()).ok();
        let rewritten = rewritten.filter(|uri| own(uri) && uri.lr());
        let taken = routing::consume_routes(request, &mut draft, own)?;
        draft.set(Name::MaxForwards, routing::max_forwards(request)?.to_string());
        let first = rewritten.as_ref().or(taken.first());
        let mark = first.map(|uri| match uri.user {
            Some(ORIGINATING) => Mark::Originating,
            Some(BESIDE_CALLER | BESIDE_CALLEE) => Mark::Dialog,
            _ => Mark::Plain,
        });
        Ok((draft, mark))
    }

    /// Whether a URI names us: as the HSS stores our name, or by the address the request came to.
    fn is_own(&self, uri: &Uri<'_>, local: SocketAddr) -> bool {
        let port = uri.port.unwrap_or(5060);
        let named = Uri::parse(self.config.server_name.as_str())
            .is_ok_and(|own| own.host.is(uri.host) && own.port.unwrap_or(5060) == port);
        named || uri.host.ip() == Some(local.ip()) && port == local.port()
    }

    /// Whether the domain is one that our I-CSCF finds users of.
    fn is_home(&self, host: Host<'_>) -> bool {
        let domains = self.config.domains.iter().map(String::as_str);
        domains.chain([self.config.home_domain.as_str()]).any(|domain| host.is(Host::Name(domain)))
    }

    /// The address of a hop that the request names, when it is one of ours to send to: a name in a Route or a Path is
    /// never looked up.
    fn address(&self, hop: &routing::NextHop<'_>) -> Option<SocketAddr> {
        let ip = hop.host.ip().filter(|_| hop.transport != Some(Transport::Tls))?;
        self.config.knows(ip).then(|| SocketAddr::new(ip, hop.port.unwrap_or(5060)))
    }

    fn hop(
        &self,
        mut draft: Draft<'_>,
        sender: Sender<'_>,
        to: SocketAddr,
        transport: Option<Transport>,
    ) -> Hop {
        Hop::new(&mut draft, sender, to, transport, self.config.timers)
    }

    /// With what tells a loop from a second visit.
    fn branch(&mut self, request: &Message) -> String {
        routing::branch(self.rng.next_u64(), routing::loop_hash(request, self.loop_key))
    }

    fn send_on(&mut self, now: Instant, relay: Relay<Leg>, hop: Hop) {
        if let Err(Full(relay)) = self.proxy.forward(now, &mut self.transactions, relay, hop) {
            self.refuse_message(now, relay.server, &relay.request, None, Refusal::Overloaded);
        }
    }
}

/// We stay on the way of the dialog that this request may make.
//= TS 24.229 5.4.3.2
fn record_route(request: &Message, draft: &mut Draft<'_>, sender: Sender<'_>, beside: &str) {
    if matches!(request.method(), Method::Invite | Method::Subscribe | Method::Refer) {
        draft.push_front(Name::RecordRoute, format!("<sip:{beside}@{};lr>", sender.address));
    }
}
