//! Where a request goes: to a user of this network, along its Route, or to another network.

use std::net::SocketAddr;

use sip::{Draft, Host, Instant, Message, Method, Name, NameAddr, Scheme, Transport, Uri, routing};
use trust::Trust;

use super::arrive::Origin;
use super::leave::Exit;
use super::read::Question;
use super::{ICscf, Search, Task, Way};
use crate::Refusal;
use crate::border::Border;

#[derive(Debug)]
pub(super) enum Target {
    /// Whoever the HSS names.
    SCscf(Box<Question>),
    /// A node of this network.
    Inside(SocketAddr, Option<Transport>),
    Exit(Exit),
}

impl ICscf {
    /// The request as far as every way wants it, and its way.
    pub(super) fn route(
        &mut self,
        now: Instant,
        origin: &Origin,
        request: &Message,
    ) -> Result<(Message, Target), Refusal> {
        //= RFC 3261 16.3
        routing::request_uri(request)?;
        routing::max_forwards(request)?;
        routing::check_loop(request, routing::loop_hash(request, self.loop_key), |host, port| {
            self.owns(host, port)
        })?;
        self.check_hidden(origin, request)?;
        let admitted = self.admit(now, origin, request)?;
        let mut draft = Draft::forward(&admitted);
        routing::consume_routes(&admitted, &mut draft, |uri| self.owns(uri.host, uri.port))?;
        let message = draft.finish();
        let target = self.target(origin, &message)?;
        Ok((message, target))
    }

    /// Who is outside the trust domain and sees tokens only has no business with the nodes behind them.
    fn check_hidden(&self, origin: &Origin, request: &Message) -> Result<(), Refusal> {
        let border = self.config.border.as_ref().filter(|_| origin.trust == Trust::Untrusted);
        let Some(hiding) = border.and_then(|border| border.hides_from(origin.flow.remote.ip())) else {
            return Ok(());
        };
        let mut routes = request.addresses(Name::Route).filter_map(|route| route.ok()?.parse_uri().ok());
        let named = routes.any(|uri| hiding.is_inside(uri.host, uri.port));
        if named { Err(Refusal::UntrustedRoute) } else { Ok(()) }
    }

    fn target(&self, origin: &Origin, message: &Message) -> Result<Target, Refusal> {
        if message.method() == Method::Register {
            return self.target_of_register(origin, message);
        }
        let in_dialog = message.address(Name::To).is_ok_and(|to| to.tag().is_some());
        let route = message.address(Name::Route).ok();
        if route.is_none() && !in_dialog {
            return self.target_of_first(origin, message);
        }
        //= TS 33.203 Annex J: who is outside the trust domain does not say which way a first request takes inside
        if !in_dialog && origin.trust == Trust::Untrusted {
            return Err(Refusal::UntrustedRoute);
        }
        let next = route.map_or(message.request_uri().unwrap_or_default(), |route: NameAddr<'_>| route.uri);
        let next = Uri::parse(next).map_err(routing::Refusal::from)?;
        if let Some((address, transport)) = self.inside(&next) {
            return Ok(Target::Inside(address, transport));
        }
        let own_user = message.address(Name::Route).is_err() && self.is_own_domain(&next);
        if own_user {
            return Err(Refusal::InDialog);
        }
        self.exit(origin, |border| border.partner_of(&next).map(|partner| Exit::to(partner, &next)))
    }

    fn target_of_register(&self, origin: &Origin, message: &Message) -> Result<Target, Refusal> {
        let home = routing::request_uri(message)?;
        // A network of ours alone has no other: what the HSS knows decides.
        if self.config.border.is_none() || self.is_own_domain(&home) {
            //= TS 33.203 5.3: registrations come from the trust domain only
            if origin.trust == Trust::Untrusted {
                return Err(Refusal::UntrustedPeer);
            }
            return Question::of_register(message, &self.config)
                .map(|question| Target::SCscf(question.into()));
        }
        routing::proxy_require(message, &["path"])?;
        self.exit(origin, |border| border.partner_for(&home).map(Exit::first))
    }

    /// Of a request outside dialogs without a Route.
    //= TS 24.229 5.3.2.1
    fn target_of_first(&self, origin: &Origin, message: &Message) -> Result<Target, Refusal> {
        routing::proxy_require(message, &["privacy"])?;
        let uri = routing::request_uri(message)?;
        let own = uri.scheme == Scheme::Tel || self.config.border.is_none() || self.is_own_domain(&uri);
        if own {
            return Question::of_location(message).map(|question| Target::SCscf(question.into()));
        }
        self.exit(origin, |border| border.partner_for(&uri).map(Exit::first))
    }

    fn exit<'a>(
        &'a self,
        origin: &Origin,
        find: impl FnOnce(&'a Border) -> Option<Exit>,
    ) -> Result<Target, Refusal> {
        let exit = self.config.border.as_ref().and_then(find).ok_or(Refusal::NoPartner)?;
        // Nobody uses this network as a way between two others.
        if origin.is_outside() { Err(Refusal::Transit) } else { Ok(Target::Exit(exit)) }
    }

    /// A node of this network that requests may be sent to: never an address just because a message names it.
    fn inside(&self, uri: &Uri<'_>) -> Option<(SocketAddr, Option<Transport>)> {
        let named = |name: &str| Uri::parse(name).is_ok_and(|name| name.host.is(uri.host));
        let transport = uri.transport();
        if let Some(s_cscf) = self.config.s_cscfs.iter().find(|s_cscf| named(s_cscf.name.as_str())) {
            return Some((s_cscf.address, transport.or(s_cscf.transport)));
        }
        let address = uri.host.ip().filter(|address| self.config.trusted_peers.contains(address))?;
        Some((SocketAddr::new(address, uri.port.unwrap_or(5060)), transport))
    }

    fn is_own_domain(&self, uri: &Uri<'_>) -> bool {
        let home = Host::parse(&self.config.home_domain).is_some_and(|home| home.is(uri.host));
        home || self.owns(uri.host, uri.port)
    }

    /// Whether a Route entry or a Via is ours, or that of an I-CSCF that stands in for us.
    pub(super) fn owns(&self, host: Host<'_>, port: Option<u16>) -> bool {
        let is = |own: SocketAddr, default: u16| {
            host.ip() == Some(own.ip()) && port.unwrap_or(default) == own.port()
        };
        let border = self.config.border.as_ref();
        let mut others = border.into_iter().flat_map(|border| border.interfaces.iter().chain(&border.alike));
        is(self.config.address, 5060) || others.any(|own| is(*own, 5060) || is(*own, 5061))
    }

    /// Sets a request on its way.
    pub(super) fn go(&mut self, now: Instant, task: Task, target: Target) {
        match target {
            Target::SCscf(question) => {
                let search = Search { question: *question, tried: Vec::new(), wanted: None, busy: false };
                self.locate(now, task, search);
            }
            Target::Inside(..) => self.send(now, task, &target, Way::Inside),
            Target::Exit(ref exit) => {
                let way = Way::Exit(exit.clone());
                self.send(now, task, &target, way);
            }
        }
    }
}
