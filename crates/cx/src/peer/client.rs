//! The client end: one connection, kept up, with many requests on their way at once.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::base::{self, Cause};
use super::connection::{Connection, Counter, End, Watchdog};
use super::{ClientConfig, Origin};
use crate::diameter::{Application, Command, Header, Ids, decode, encode};
use crate::{Answer, BaseCode, CxError, Link, LinkError, Reply, Request};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection to an HSS. Cheap to clone; the last clone to go says goodbye to the peer.
#[derive(Debug, Clone)]
pub struct DiameterClient {
    calls: mpsc::Sender<Call>,
    connected: watch::Receiver<bool>,
}

impl DiameterClient {
    /// Starts connecting. Runs on the tokio runtime this is called in.
    pub fn start(config: ClientConfig) -> Self {
        let (calls, queue) = mpsc::channel(config.max_in_flight.max(1));
        let (state, connected) = watch::channel(false);
        let keeper = Keeper { config, queue, state, counter: Counter::new() };
        tokio::spawn(keeper.run());
        Self { calls, connected }
    }

    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Returns once the HSS has accepted us; never when it never does.
    pub async fn wait_until_connected(&self) {
        // The sender lives as long as the calls channel, so an error means the runtime is shutting down.
        let _ = self.connected.clone().wait_for(|connected| *connected).await;
    }
}

impl Link for DiameterClient {
    fn call(&self, request: Request, reply: Reply) {
        let call = Call { request, reply: Once::new(reply) };
        match self.calls.try_send(call) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(call)) => call.reply.end(Err(LinkError::Busy)),
            Err(mpsc::error::TrySendError::Closed(call)) => call.reply.end(Err(LinkError::NotConnected)),
        }
    }
}

#[derive(Debug)]
struct Call {
    request: Request,
    reply: Once,
}

/// Makes sure that every reply is called, also when a connection or the runtime goes away under it.
struct Once(Option<Reply>);

impl Once {
    fn new(reply: Reply) -> Self {
        Self(Some(reply))
    }

    fn end(mut self, result: Result<Answer, LinkError>) {
        if let Some(reply) = self.0.take() {
            reply(result);
        }
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply(Err(LinkError::ConnectionLost));
        }
    }
}

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a reply")
    }
}

/// Owns the connection and connects again when it is lost.
struct Keeper {
    config: ClientConfig,
    queue: mpsc::Receiver<Call>,
    state: watch::Sender<bool>,
    counter: Counter,
}

impl Keeper {
    async fn run(mut self) {
        let remote = self.config.remote;
        let mut pause = self.config.shortest_pause;
        loop {
            match self.connect().await {
                None => return,
                Some(Ok((connection, peer))) => {
                    tracing::info!(%remote, peer = %peer.host, "connected to the HSS");
                    pause = self.config.shortest_pause;
                    self.state.send_replace(true);
                    let end = self.talk(connection).await;
                    self.state.send_replace(false);
                    if matches!(end, End::Stopping) {
                        return;
                    }
                    tracing::warn!(%remote, reason = %end, "lost the connection to the HSS");
                }
                Some(Err(end)) => tracing::warn!(%remote, reason = %end, "failed to connect to the HSS"),
            }
            if !self.refuse_until(Instant::now() + pause).await {
                return;
            }
            pause = (pause * 2).min(self.config.longest_pause);
        }
    }

    /// None when nobody holds a client any more.
    async fn connect(&mut self) -> Option<Result<(Connection, Origin), End>> {
        let attempt = introduce(&self.config, self.counter.next());
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                result = &mut attempt => return Some(result),
                call = self.queue.recv() => call?.reply.end(Err(LinkError::NotConnected)),
            }
        }
    }

    async fn refuse_until(&mut self, deadline: Instant) -> bool {
        loop {
            tokio::select! {
                () = sleep_until(deadline) => return true,
                call = self.queue.recv() => match call {
                    Some(call) => call.reply.end(Err(LinkError::NotConnected)),
                    None => return false,
                },
            }
        }
    }

    async fn talk(&mut self, mut connection: Connection) -> End {
        let mut waiting = Waiting::default();
        let mut watchdog = Watchdog::new(self.config.watchdog);
        loop {
            let timeout_at = waiting.next_deadline();
            let step = tokio::select! {
                message = connection.reader.next() => match message {
                    Ok(message) => {
                        watchdog.heard();
                        receive(&self.config.origin, &connection, &mut waiting, &message).await
                    }
                    Err(end) => Err(end),
                },
                call = self.queue.recv() => match call {
                    Some(call) => self.send(&connection, &mut waiting, call).await,
                    None => {
                        self.say_goodbye(&mut connection).await;
                        Err(End::Stopping)
                    }
                },
                () = sleep_until(watchdog.deadline) => self.ask_for_life(&connection, &mut watchdog).await,
                () = sleep_until(timeout_at.unwrap_or_else(Instant::now)), if timeout_at.is_some() => {
                    waiting.expire(Instant::now());
                    Ok(())
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn send(&mut self, connection: &Connection, waiting: &mut Waiting, call: Call) -> Result<(), End> {
        if waiting.by_id.len() >= self.config.max_in_flight {
            call.reply.end(Err(LinkError::Busy));
            return Ok(());
        }
        let ids = self.counter.next();
        let session_id = self.counter.session_id(&self.config.origin.host);
        let context = encode::RequestContext {
            ids,
            retransmitted: false,
            session_id: &session_id,
            origin: &self.config.origin,
            destination_realm: &self.config.destination_realm,
            destination_host: self.config.destination_host.as_deref(),
        };
        match encode::request(&call.request, &context) {
            Ok(wire) => {
                waiting.add(ids, call, Instant::now() + self.config.request_timeout);
                connection.send(wire).await
            }
            Err(error) => {
                tracing::warn!(%error, "a request does not fit a message");
                call.reply.end(Err(LinkError::Request));
                Ok(())
            }
        }
    }

    async fn ask_for_life(&mut self, connection: &Connection, watchdog: &mut Watchdog) -> Result<(), End> {
        watchdog.expired()?;
        connection.send(base::watchdog_request(&self.config.origin, self.counter.next())?).await
    }

    async fn say_goodbye(&mut self, connection: &mut Connection) {
        let ids = self.counter.next();
        let Ok(wire) = base::disconnect_request(&self.config.origin, ids, Cause::DoNotWantToTalkToYou) else {
            return;
        };
        if connection.send(wire).await.is_ok() {
            // Whatever comes, DPA or the end: this connection is over.
            let _ = timeout(GOODBYE_TIMEOUT, connection.reader.next()).await;
        }
    }
}

async fn introduce(config: &ClientConfig, ids: Ids) -> Result<(Connection, Origin), End> {
    let introduction = async {
        let mut connection = Connection::new(TcpStream::connect(config.remote).await?)?;
        connection.send(base::capabilities_request(&config.origin, connection.local, ids)?).await?;
        let message = connection.reader.next().await?;
        let (header, avps) = Header::parse(&message)?;
        if header.request || header.command != Command::CapabilitiesExchange || header.ids != ids {
            return Err(End::NotIntroduced);
        }
        let code = decode::result_code(avps)?;
        if !code.is_success() {
            return Err(End::Refused(code));
        }
        let (peer, speaks_cx) = base::read_capabilities(avps)?;
        if !speaks_cx {
            return Err(End::NoCommonApplication);
        }
        Ok((connection, peer))
    };
    match timeout(CONNECT_TIMEOUT, introduction).await {
        Ok(result) => result,
        Err(_) => Err(End::Silent),
    }
}

async fn receive(
    origin: &Origin,
    connection: &Connection,
    waiting: &mut Waiting,
    message: &[u8],
) -> Result<(), End> {
    let (header, avps) = Header::parse(message)?;
    if !header.request {
        waiting.answer(&header, avps);
        return Ok(());
    }
    match header.command {
        Command::DeviceWatchdog => connection.send(base::success(header.command, origin, header.ids)?).await,
        Command::DisconnectPeer => {
            connection.send(base::success(header.command, origin, header.ids)?).await?;
            Err(End::Goodbye)
        }
        other => {
            let error = match header.application {
                Application::Other(id) => CxError::ApplicationUnsupported(id),
                _ => CxError::CommandUnsupported(other.code()),
            };
            let (session_id, _) = decode::remains(avps);
            connection.send(base::protocol_error(&header, &session_id, origin, &error)?).await
        }
    }
}

/// The requests without an answer yet. All wait equally long, so the oldest is always first to expire.
#[derive(Default)]
struct Waiting {
    by_id: HashMap<u32, Pending>,
    deadlines: VecDeque<(Instant, u32)>,
}

struct Pending {
    ids: Ids,
    command: Command,
    reply: Once,
}

impl Waiting {
    fn add(&mut self, ids: Ids, call: Call, deadline: Instant) {
        let pending = Pending { ids, command: call.request.command(), reply: call.reply };
        self.by_id.insert(ids.hop_by_hop, pending);
        self.deadlines.push_back((deadline, ids.hop_by_hop));
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        // Answered requests leave their deadline behind; the front is the only place where that matters.
        while let Some((deadline, id)) = self.deadlines.front() {
            if self.by_id.contains_key(id) {
                return Some(*deadline);
            }
            self.deadlines.pop_front();
        }
        None
    }

    fn expire(&mut self, now: Instant) {
        while let Some((deadline, id)) = self.deadlines.front().copied() {
            if deadline > now {
                return;
            }
            self.deadlines.pop_front();
            if let Some(pending) = self.by_id.remove(&id) {
                pending.reply.end(Err(LinkError::Timeout));
            }
        }
    }

    fn answer(&mut self, header: &Header, avps: &[u8]) {
        let matches = self
            .by_id
            .get(&header.ids.hop_by_hop)
            .is_some_and(|pending| pending.ids == header.ids && pending.command == header.command);
        let Some(pending) = matches.then(|| self.by_id.remove(&header.ids.hop_by_hop)).flatten() else {
            // DWA and DPA, and answers after their time.
            tracing::debug!(command = header.command.code(), "an answer nobody waits for");
            return;
        };
        let result = if header.error {
            Err(LinkError::Protocol(decode::result_code(avps).unwrap_or(BaseCode::Other(0))))
        } else {
            decode::answer(header, avps).map_err(|error| {
                tracing::warn!(%error, "the HSS sent an answer that cannot be read");
                LinkError::Answer(error.code())
            })
        };
        pending.reply.end(result);
    }
}
