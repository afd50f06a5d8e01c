//! Sockets, clock and Cx link around the state machine.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use cx::{Answer, Link, LinkError};
use node::control::{Asked, Control, ReplyTo};
use node::sip_shell::{self, SipCore, Want};
use node::{Endpoints, Limits, Shutdown};
use sip::{Flow, Instant, Message};

use crate::control::{self, Request};
use crate::{CommandId, Config, CxId, Event, Input, Output, Scscf};

/// An S-CSCF that is bound and ready; see [`Shell::run`].
pub struct Shell {
    core: Scscf,
    endpoints: Endpoints,
    control: Option<Control<Request>>,
    link: Arc<dyn Link>,
}

impl Shell {
    /// Binds UDP and TCP. In the network namespace of the calling thread, inside a runtime.
    pub fn start(config: Config, listen: SocketAddr, link: Arc<dyn Link>) -> anyhow::Result<Self> {
        let mut endpoints = Endpoints::new(Limits::default());
        endpoints.bind_udp(listen).with_context(|| format!("bind UDP {listen}"))?;
        endpoints.bind_tcp(listen).with_context(|| format!("listen on TCP {listen}"))?;
        Ok(Self { core: Scscf::new(config, node::seed()?), endpoints, control: None, link })
    }

    /// Lets an operator ask at this path too.
    pub fn with_control(self, path: &Path) -> anyhow::Result<Self> {
        Ok(Self { control: Some(Control::listen(path)?), ..self })
    }

    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let link = self.link;
        let ask = |request, answer: sip_shell::AnswerTo<CxId, _>| {
            link.call(request, Box::new(move |result| answer.give(result)));
        };
        let core = Served { core: self.core, replies: HashMap::new(), last_command: 0 };
        sip_shell::serve(core, self.endpoints, self.control, ask, shutdown).await;
        Ok(())
    }
}

impl std::fmt::Debug for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell").field("core", &self.core).finish_non_exhaustive()
    }
}

/// The core, and the operators who wait for it.
struct Served {
    core: Scscf,
    replies: HashMap<CommandId, ReplyTo>,
    last_command: u64,
}

impl SipCore for Served {
    type QuestionId = CxId;
    type Question = cx::Request;
    type Answer = Result<Answer, LinkError>;
    type Request = Request;

    fn receive(&mut self, now: Instant, flow: Flow, message: Message) {
        self.core.handle(now, Input::Received { flow, message });
    }

    fn answer(&mut self, now: Instant, id: CxId, answer: Self::Answer) {
        self.core.handle(now, Input::CxAnswer { id, answer });
    }

    fn transport_failed(&mut self, now: Instant, flow: Flow) {
        self.core.handle(now, Input::TransportFailed { flow });
    }

    fn timeout(&mut self, now: Instant) {
        self.core.handle(now, Input::Timeout);
    }

    fn asked(&mut self, now: Instant, asked: Asked<Request>) {
        match asked.request.command() {
            Ok(command) => {
                self.last_command += 1;
                let id = CommandId(self.last_command);
                self.replies.insert(id, asked.reply);
                self.core.handle(now, Input::Command { id, command });
            }
            Err(error) => asked.reply.refuse(&error),
        }
    }

    fn poll(&mut self) -> Want<CxId, cx::Request> {
        loop {
            match self.core.poll() {
                Output::Send(transmit) => return Want::Send(transmit),
                Output::Cx { id, request } => return Want::Ask(id, request),
                Output::WaitUntil(deadline) => return Want::Wait(deadline),
                Output::Event(event) => log(&event),
                Output::Done { id, result } => {
                    if let Some(reply) = self.replies.remove(&id) {
                        control::answer(reply, result);
                    }
                }
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
