//! Sockets, clock and Cx link around the state machine.

use std::sync::Arc;

use cx::{Answer, Link, LinkError};
use node::control::Asked;
use node::control::protocol::Nothing;
use node::sip_shell::{self, Callers, Listeners, SipCore, TlsListeners, Want};
use node::{Endpoints, Shutdown};
use sip::{Flow, Instant, Message};

use crate::{Config, CxId, Event, ICscf, Input, Output};

/// An I-CSCF that is bound and ready; see [`Shell::run`].
pub struct Shell {
    core: ICscf,
    endpoints: Endpoints,
    link: Arc<dyn Link>,
}

impl Shell {
    /// Binds UDP and TCP inside and at the border, and TLS there as `tls` says. In the network namespace of the calling
    /// thread, inside a runtime.
    pub fn start(config: Config, tls: Vec<TlsListeners>, link: Arc<dyn Link>) -> anyhow::Result<Self> {
        let border = config.border.iter();
        let border = border.flat_map(|border| {
            border.interfaces.iter().filter(|interface| !border.secure.contains(interface))
        });
        let clear = [config.address].iter().chain(border).copied().collect();
        let endpoints = sip_shell::bind(Listeners { clear, tls })?;
        Ok(Self { core: ICscf::new(config, node::seed()?), endpoints, link })
    }

    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let link = self.link;
        let ask = |request, answer: sip_shell::AnswerTo<CxId, _>| {
            link.call(request, Box::new(move |result| answer.give(result)));
        };
        sip_shell::serve(self.core, self.endpoints, Callers::NONE, ask, shutdown).await;
        Ok(())
    }
}

impl std::fmt::Debug for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell").field("core", &self.core).finish_non_exhaustive()
    }
}

impl SipCore for ICscf {
    type QuestionId = CxId;
    type Question = cx::Request;
    type Answer = Result<Answer, LinkError>;
    type Request = Nothing;
    type PeerRequest = Nothing;

    fn receive(&mut self, now: Instant, flow: Flow, message: Message, names: &[Box<str>]) {
        self.handle(now, Input::Received { flow, message, names: names.into() });
    }

    fn answer(&mut self, now: Instant, id: CxId, answer: Self::Answer) {
        self.handle(now, Input::CxAnswer { id, answer });
    }

    fn transport_failed(&mut self, now: Instant, flow: Flow) {
        self.handle(now, Input::TransportFailed { flow });
    }

    fn timeout(&mut self, now: Instant) {
        self.handle(now, Input::Timeout);
    }

    fn asked(&mut self, _now: Instant, asked: Asked<Nothing>) {
        match asked.request {}
    }

    fn peer_asked(&mut self, _now: Instant, request: Nothing) {
        match request {}
    }

    fn poll(&mut self) -> Want<CxId, cx::Request> {
        loop {
            match ICscf::poll(self) {
                Output::Send(transmit) => return Want::Send(transmit),
                Output::Cx { id, request } => return Want::Ask(id, request),
                Output::WaitUntil(deadline) => return Want::Wait(deadline),
                Output::Event(event) => log(&event),
            }
        }
    }
}

fn log(event: &Event) {
    match event {
        Event::Forwarded { impu, to } => tracing::info!(%impu, %to, "forwarded"),
        Event::Left { to, trusted } => tracing::info!(%to, trusted, "left the network"),
        Event::Refused { impi, refusal } => {
            let impi = impi.as_ref().map(aka::Impi::as_str);
            tracing::warn!(impi, status = refusal.status().0, "refused: {refusal}");
        }
        Event::Passed { name } => tracing::warn!(%name, "the S-CSCF did not take the request"),
        Event::LeftOut { name, busy } => tracing::warn!(%name, busy, "the S-CSCF is left out for a while"),
        Event::BackIn { name } => tracing::info!(%name, "the S-CSCF answers again"),
    }
}
