//! Sockets and clock around a core that speaks SIP and asks somebody else questions (the CSCFs and Cx), and that an
//! operator may ask.

use std::io;
use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use sip::{Flow, Instant, Message, Transmit};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::control::{self, Asked, Control};
use crate::{Arrival, Clock, Endpoints, Limits, Shutdown, TlsError, TlsIdentity};

/// Messages taken from the sockets before what they led to is sent.
const BATCH: usize = 64;

/// A pure core with SIP on one side and questions on the other.
pub trait SipCore {
    type QuestionId: Send + 'static;
    type Question;
    type Answer: Send + 'static;
    /// What an operator may ask; [`Nothing`](crate::control::protocol::Nothing) where there is no control socket.
    type Request: DeserializeOwned + Send + 'static;
    /// What the other side of the questions may ask of its own accord; [`Nothing`](crate::control::protocol::Nothing)
    /// where it does not.
    type PeerRequest: Send + 'static;

    /// `names` is what the sender has proved to be in TLS: nothing, where it came otherwise.
    fn receive(&mut self, now: Instant, flow: Flow, message: Message, names: &[Box<str>]);
    fn answer(&mut self, now: Instant, id: Self::QuestionId, answer: Self::Answer);
    fn transport_failed(&mut self, now: Instant, flow: Flow);
    fn timeout(&mut self, now: Instant);
    fn asked(&mut self, now: Instant, asked: Asked<Self::Request>);
    fn peer_asked(&mut self, now: Instant, request: Self::PeerRequest);
    /// Called until it answers [`Want::Wait`].
    fn poll(&mut self) -> Want<Self::QuestionId, Self::Question>;
}

/// What a core wants done. Facts for the log it logs itself.
#[derive(Debug)]
pub enum Want<Id, Question> {
    Send(Transmit),
    Ask(Id, Question),
    Wait(Option<Instant>),
}

/// Takes the answer to one question, from any thread.
#[derive(Debug)]
pub struct AnswerTo<Id, Answer> {
    id: Id,
    answers: mpsc::UnboundedSender<(Id, Answer)>,
}

impl<Id, Answer> AnswerTo<Id, Answer> {
    pub fn give(self, answer: Answer) {
        // A shell that has ended needs no answers.
        let _ = self.answers.send((self.id, answer));
    }
}

/// Who else may speak to a core.
pub struct Callers<C: SipCore> {
    pub control: Option<Control<C::Request>>,
    pub peer: Option<mpsc::Receiver<C::PeerRequest>>,
}

impl<C: SipCore> Callers<C> {
    /// Nobody.
    pub const NONE: Self = Self { control: None, peer: None };
}

impl<C: SipCore> std::fmt::Debug for Callers<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callers").finish_non_exhaustive()
    }
}

/// What a role listens on, and whom it may call in TLS.
#[derive(Debug, Clone, Default)]
pub struct Listeners {
    /// UDP and TCP.
    pub clear: Vec<SocketAddr>,
    pub tls: Vec<TlsListeners>,
}

/// One identity in TLS: often the only one.
#[derive(Debug, Clone)]
pub struct TlsListeners {
    pub identity: TlsIdentity,
    pub listen: Vec<SocketAddr>,
    /// Those we may call, each with the DNS name that its certificate must carry.
    pub partners: Vec<(SocketAddr, Box<str>)>,
}

impl From<SocketAddr> for Listeners {
    fn from(clear: SocketAddr) -> Self {
        Self { clear: vec![clear], tls: Vec::new() }
    }
}

/// Why a role cannot have its sockets. The texts fit after "failed to …".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    #[error("{operation} {address}: {source}")]
    Socket { operation: &'static str, address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// In the network namespace of the calling thread, inside a runtime.
pub fn bind(listeners: impl Into<Listeners>) -> Result<Endpoints, BindError> {
    let Listeners { clear, tls } = listeners.into();
    let failed = |operation, address| move |source| BindError::Socket { operation, address, source };
    let mut endpoints = Endpoints::new(Limits::default());
    for address in clear {
        endpoints.bind_udp(address).map_err(failed("bind UDP", address))?;
        endpoints.bind_tcp(address).map_err(failed("listen on TCP", address))?;
    }
    for TlsListeners { identity, listen, partners } in tls {
        for address in listen {
            endpoints.bind_tls(address, &identity).map_err(failed("listen on TLS", address))?;
        }
        endpoints.tls_partners(&identity, partners.iter().map(|(address, name)| (*address, &**name)))?;
    }
    Ok(endpoints)
}

/// Serves until told to end. `ask` sends a question on its way.
pub async fn serve<C: SipCore>(
    mut core: C,
    mut endpoints: Endpoints,
    callers: Callers<C>,
    mut ask: impl FnMut(C::Question, AnswerTo<C::QuestionId, C::Answer>),
    mut shutdown: Shutdown,
) {
    let clock = Clock::start();
    let Callers { mut control, mut peer } = callers;
    // As many answers wait as questions were asked, and the core bounds those.
    let (sender, mut answers) = mpsc::unbounded_channel();
    loop {
        let deadline = loop {
            match core.poll() {
                Want::Send(transmit) => send(&mut core, &mut endpoints, &clock, transmit),
                Want::Ask(id, question) => ask(question, AnswerTo { id, answers: sender.clone() }),
                Want::Wait(deadline) => {
                    if let Ok((id, answer)) = answers.try_recv() {
                        core.answer(clock.now(), id, answer);
                        continue;
                    }
                    let failed = endpoints.flush();
                    if failed.is_empty() {
                        break deadline;
                    }
                    for (flow, error) in failed {
                        cannot_send(&mut core, &clock, flow, &error);
                    }
                }
            }
        };
        let woken = tokio::select! {
            () = shutdown.requested() => return,
            () = clock.sleep_until(deadline) => Woken::Time,
            Some((id, answer)) = answers.recv() => Woken::Answer(id, answer),
            asked = control::next(&mut control) => Woken::Asked(asked),
            request = next(&mut peer) => Woken::PeerAsked(request),
            arrival = endpoints.next() => Woken::Arrival(arrival),
        };
        clock.tick();
        match woken {
            Woken::Time => core.timeout(clock.now()),
            Woken::Answer(id, answer) => core.answer(clock.now(), id, answer),
            Woken::Asked(asked) => core.asked(clock.now(), asked),
            Woken::PeerAsked(request) => core.peer_asked(clock.now(), request),
            Woken::Arrival(arrival) => {
                take(&mut core, &clock, arrival);
                for _ in 1..BATCH {
                    let Some(arrival) = endpoints.try_next() else { break };
                    take(&mut core, &clock, arrival);
                }
            }
        }
    }
}

enum Woken<Id, Answer, Request, PeerRequest> {
    Time,
    Answer(Id, Answer),
    Asked(Asked<Request>),
    PeerAsked(PeerRequest),
    Arrival(Arrival),
}

/// Never, where nobody asks or will ask again.
async fn next<T>(queue: &mut Option<mpsc::Receiver<T>>) -> T {
    if let Some(receiver) = queue {
        if let Some(request) = receiver.recv().await {
            return request;
        }
        *queue = None;
    }
    std::future::pending().await
}

fn take<C: SipCore>(core: &mut C, clock: &Clock, arrival: Arrival) {
    match arrival {
        Arrival::Message { flow, message, peer } => {
            core.receive(clock.now(), flow, message, peer.as_deref().unwrap_or_default());
        }
        Arrival::Malformed { flow, error, .. } => {
            tracing::info!(remote = %flow.remote, local = %flow.local, %error, "not SIP, failed to");
        }
        Arrival::Failed { flow, error } => {
            tracing::debug!(remote = %flow.remote, local = %flow.local, %error, "a flow ended");
            core.transport_failed(clock.now(), flow);
        }
    }
}

fn send<C: SipCore>(core: &mut C, endpoints: &mut Endpoints, clock: &Clock, transmit: Transmit) {
    let flow = transmit.flow;
    if let Err(error) = endpoints.send(transmit) {
        cannot_send(core, clock, flow, &error);
    }
}

fn cannot_send<C: SipCore>(core: &mut C, clock: &Clock, flow: Flow, error: &io::Error) {
    tracing::debug!(remote = %flow.remote, local = %flow.local, %error, "cannot send");
    core.transport_failed(clock.now(), flow);
}
