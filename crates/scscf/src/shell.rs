//! Sockets, clock and Cx link around the state machine.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use cx::{Answer, Link, LinkError};
use node::sip_shell::{self, SipCore, Want};
use node::{Endpoints, Limits, Shutdown};
use sip::{Flow, Instant, Message};

use crate::{Config, CxId, Event, Input, Output, Scscf};

/// An S-CSCF that is bound and ready; see [`Shell::run`].
pub struct Shell {
    core: Scscf,
    endpoints: Endpoints,
    link: Arc<dyn Link>,
}

impl Shell {
    /// Binds UDP and TCP. In the network namespace of the calling thread, inside a runtime.
    pub fn start(config: Config, listen: SocketAddr, link: Arc<dyn Link>) -> anyhow::Result<Self> {
        let mut endpoints = Endpoints::new(Limits::default());
        endpoints.bind_udp(listen).with_context(|| format!("bind UDP {listen}"))?;
        endpoints.bind_tcp(listen).with_context(|| format!("listen on TCP {listen}"))?;
        Ok(Self { core: Scscf::new(config, node::seed()?), endpoints, link })
    }

    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let link = self.link;
        let ask = |request, answer: sip_shell::AnswerTo<CxId, _>| {
            link.call(request, Box::new(move |result| answer.give(result)));
        };
        sip_shell::serve(self.core, self.endpoints, ask, shutdown).await;
        Ok(())
    }
}

impl std::fmt::Debug for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell").field("core", &self.core).finish_non_exhaustive()
    }
}

impl SipCore for Scscf {
    type QuestionId = CxId;
    type Question = cx::Request;
    type Answer = Result<Answer, LinkError>;

    fn receive(&mut self, now: Instant, flow: Flow, message: Message) {
        self.handle(now, Input::Received { flow, message });
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

    fn poll(&mut self) -> Want<CxId, cx::Request> {
        loop {
            match Scscf::poll(self) {
                Output::Send(transmit) => return Want::Send(transmit),
                Output::Cx { id, request } => return Want::Ask(id, request),
                Output::WaitUntil(deadline) => return Want::Wait(deadline),
                Output::Event(event) => log(&event),
                Output::Done { .. } => {}
            }
        }
    }
}

fn log(event: &Event) {
    match event {
        Event::Challenged { impi, impu } => tracing::info!(%impi, %impu, "challenged"),
        Event::Resynchronising { impi } => tracing::warn!(%impi, "the card refused the SQN; resynchronising"),
        Event::Registered { impi, impu, contact, expires } => {
            tracing::info!(%impi, %impu, contact, expires, "registered");
        }
        Event::Refreshed { impi, impu, expires } => tracing::info!(%impi, %impu, expires, "refreshed"),
        Event::Deregistered { impi, impu, cause } => tracing::info!(%impi, %impu, ?cause, "de-registered"),
        Event::ReauthenticationDemanded { impi, impu, expires } => {
            tracing::info!(%impi, %impu, expires, "must authenticate again");
        }
        Event::ContactRemoved { impi, impu } => tracing::info!(%impi, %impu, "one contact removed"),
        Event::Subscribed { impu, subscriber, expires } => {
            tracing::info!(%impu, subscriber, expires, "subscribed to the reg event");
        }
        Event::SubscriptionEnded { impu, subscriber, cause } => {
            tracing::info!(%impu, subscriber, ?cause, "subscription to the reg event ended");
        }
        Event::AuthenticationTimedOut { impi, impu } => {
            tracing::warn!(%impi, %impu, "nobody answered the challenge");
        }
        Event::Refused { impi, status, refusal } => {
            let impi = impi.as_ref().map(aka::Impi::as_str);
            tracing::warn!(impi, status, "refused: {refusal}");
        }
        Event::ReportFailed => tracing::warn!("the HSS did not take a report"),
    }
}
