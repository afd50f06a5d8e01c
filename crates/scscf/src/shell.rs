//! Sockets, clock and Cx link around the state machine.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use cx::{Answer, AnswerWith, BaseCode, Link, LinkError, Origin, Server};
use node::control::{Asked, Control, ReplyTo};
use node::sip_shell::{self, Callers, SipCore, Want};
use node::{Endpoints, Shutdown};
use sip::{Flow, Instant, Message};
use tokio::sync::mpsc;

use crate::control::{self, Request};
use crate::{CommandId, Config, CxId, CxRequestId, Event, Input, Output, Scscf};

/// Requests of the HSS that wait for the S-CSCF at once; more are turned down.
const WAITING: usize = 256;

/// What the HSS asks, with its way back.
struct Asking {
    request: cx::Request,
    answer: AnswerWith,
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("request", &self.request).finish_non_exhaustive()
    }
}

/// The end at which the HSS's requests come in.
struct Inlet(mpsc::Sender<Asking>);

/// The requests of the HSS, for [`Shell::with_cx_requests`].
#[derive(Debug)]
pub struct CxRequests(mpsc::Receiver<Asking>);

/// What a Cx link serves the HSS's requests with, and the queue it puts them in.
pub fn cx_requests() -> (Arc<dyn Server>, CxRequests) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Arc::new(Inlet(sender)), CxRequests(receiver))
}

impl Server for Inlet {
    fn handle(&self, _from: &Origin, request: cx::Request, answer: AnswerWith) {
        if let Err(refused) = self.0.try_send(Asking { request, answer }) {
            let Asking { request, answer } = refused.into_inner();
            answer(request.refused(BaseCode::UnableToComply));
        }
    }
}

/// An S-CSCF that is bound and ready; see [`Shell::run`].
pub struct Shell {
    core: Scscf,
    endpoints: Endpoints,
    control: Option<Control<Request>>,
    requests: Option<CxRequests>,
    link: Arc<dyn Link>,
}

impl Shell {
    /// Binds UDP and TCP. In the network namespace of the calling thread, inside a runtime.
    pub fn start(config: Config, listen: SocketAddr, link: Arc<dyn Link>) -> anyhow::Result<Self> {
        let (core, endpoints) = (Scscf::new(config, node::seed()?), sip_shell::bind(listen)?);
        Ok(Self { core, endpoints, control: None, requests: None, link })
    }

    /// Lets an operator ask at this path too.
    pub fn with_control(self, path: &Path) -> anyhow::Result<Self> {
        Ok(Self { control: Some(Control::listen(path)?), ..self })
    }

    /// Lets the HSS ask too.
    pub fn with_cx_requests(self, requests: CxRequests) -> Self {
        Self { requests: Some(requests), ..self }
    }

    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let link = self.link;
        let ask = |request, answer: sip_shell::AnswerTo<CxId, _>| {
            link.call(request, Box::new(move |result| answer.give(result)));
        };
        let core = Served {
            core: self.core,
            replies: HashMap::new(),
            last_command: 0,
            answers: HashMap::new(),
            last_request: 0,
        };
        let callers = Callers { control: self.control, peer: self.requests.map(|requests| requests.0) };
        sip_shell::serve(core, self.endpoints, callers, ask, shutdown).await;
        Ok(())
    }
}

impl std::fmt::Debug for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell").field("core", &self.core).finish_non_exhaustive()
    }
}

/// The core, and the operators and the HSS who wait for it.
struct Served {
    core: Scscf,
    replies: HashMap<CommandId, ReplyTo>,
    last_command: u64,
    answers: HashMap<CxRequestId, AnswerWith>,
    last_request: u64,
}

impl SipCore for Served {
    type QuestionId = CxId;
    type Question = cx::Request;
    type Answer = Result<Answer, LinkError>;
    type Request = Request;
    type PeerRequest = Asking;

    fn receive(&mut self, now: Instant, flow: Flow, message: Message, _names: &[Box<str>]) {
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

    fn peer_asked(&mut self, now: Instant, asking: Asking) {
        self.last_request += 1;
        let id = CxRequestId(self.last_request);
        self.answers.insert(id, asking.answer);
        self.core.handle(now, Input::CxRequest { id, request: asking.request });
    }

    fn poll(&mut self) -> Want<CxId, cx::Request> {
        loop {
            match self.core.poll() {
                Output::Send(transmit) => return Want::Send(transmit),
                Output::Cx { id, request } => return Want::Ask(id, request),
                Output::WaitUntil(deadline) => return Want::Wait(deadline),
                Output::CxAnswer { id, answer } => {
                    if let Some(answer_with) = self.answers.remove(&id) {
                        answer_with(answer);
                    }
                }
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
        Event::Restored { impi, contacts, subscriptions } => {
            tracing::warn!(%impi, contacts, subscriptions, "taken over from an S-CSCF that is gone");
        }
        Event::ProfileReplaced { impi } => tracing::info!(%impi, "the HSS has sent another profile"),
        Event::ReportFailed => tracing::warn!("the HSS did not take a report"),
    }
}
