//! The server end: accepts peers and answers them out of one [`Server`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use super::ServerConfig;
use super::base::{self, Cause};
use super::connection::{Connection, Counter, End, Watchdog};
use crate::diameter::{Application, Command, Header, Ids, Wire, decode, encode};
use crate::{BaseCode, CxError, Server};

/// A peer that has not introduced itself by then is turned away.
const INTRODUCTION_TIMEOUT: Duration = Duration::from_secs(10);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Answers every peer of `listener` until `shutdown` ends, then says goodbye to them.
///
/// One request of a peer at a time reaches `server`, in the order they came in.
pub async fn serve(
    listener: TcpListener,
    config: ServerConfig,
    server: Arc<dyn Server>,
    shutdown: impl Future<Output = ()>,
) {
    let config = Arc::new(config);
    let (stop, stopping) = watch::channel(false);
    let mut peers = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = peers.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((_, remote)) if peers.len() >= config.max_peers => {
                    tracing::warn!(%remote, "too many Diameter peers, turned one away");
                }
                Ok((stream, remote)) => {
                    let peer = Peer {
                        config: Arc::clone(&config),
                        server: Arc::clone(&server),
                        stopping: stopping.clone(),
                        remote,
                        counter: Counter::new(),
                    };
                    peers.spawn(peer.run(stream));
                }
                Err(error) => {
                    // Out of descriptors, most likely: accepting again at once would only spin.
                    tracing::warn!(%error, "failed to accept a Diameter peer");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    stop.send_replace(true);
    while peers.join_next().await.is_some() {}
}

struct Peer {
    config: Arc<ServerConfig>,
    server: Arc<dyn Server>,
    stopping: watch::Receiver<bool>,
    remote: SocketAddr,
    counter: Counter,
}

impl Peer {
    async fn run(mut self, stream: TcpStream) {
        let remote = self.remote;
        let end = match Connection::new(stream) {
            Ok(mut connection) => match self.introduce(&mut connection).await {
                Ok(()) => self.talk(&mut connection).await,
                Err(end) => end,
            },
            Err(error) => End::Io(error),
        };
        match end {
            End::Closed | End::Goodbye | End::Stopping => {
                tracing::info!(%remote, reason = %end, "a Diameter peer left");
            }
            end => tracing::warn!(%remote, reason = %end, "closed the connection of a Diameter peer"),
        }
    }

    async fn introduce(&mut self, connection: &mut Connection) -> Result<(), End> {
        let mut stopping = self.stopping.clone();
        let message = tokio::select! {
            message = timeout(INTRODUCTION_TIMEOUT, connection.reader.next()) => {
                message.map_err(|_| End::Silent)??
            }
            () = stopped(&mut stopping) => return Err(End::Stopping),
        };
        let (header, avps) = Header::parse(&message)?;
        if !header.request || header.command != Command::CapabilitiesExchange {
            return Err(End::NotIntroduced);
        }
        let origin = &self.config.origin;
        let (peer, speaks_cx) = base::read_capabilities(avps)?;
        let code = if speaks_cx { BaseCode::Success } else { BaseCode::NoCommonApplication };
        connection.send(base::capabilities_answer(origin, connection.local, header.ids, code)?).await?;
        if !speaks_cx {
            return Err(End::NoCommonApplication);
        }
        tracing::info!(remote = %self.remote, peer = %peer.host.escape_debug(), "a Diameter peer came");
        Ok(())
    }

    async fn talk(&mut self, connection: &mut Connection) -> End {
        let mut watchdog = Watchdog::new(self.config.watchdog);
        let mut stopping = self.stopping.clone();
        loop {
            let step = tokio::select! {
                message = connection.reader.next() => match message {
                    Ok(message) => {
                        watchdog.heard();
                        self.receive(connection, &message).await
                    }
                    Err(end) => Err(end),
                },
                () = sleep_until(watchdog.deadline) => self.ask_for_life(connection, &mut watchdog).await,
                () = stopped(&mut stopping) => {
                    self.say_goodbye(connection).await;
                    Err(End::Stopping)
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn receive(&mut self, connection: &Connection, message: &[u8]) -> Result<(), End> {
        let (header, avps) = Header::parse(message)?;
        if !header.request {
            // DWA, or an answer to nothing we asked: a sign of life either way.
            return Ok(());
        }
        let origin = &self.config.origin;
        match (header.application, header.command) {
            (_, Command::DeviceWatchdog) => {
                connection.send(base::success(header.command, origin, header.ids)?).await
            }
            (_, Command::DisconnectPeer) => {
                connection.send(base::success(header.command, origin, header.ids)?).await?;
                Err(End::Goodbye)
            }
            (
                Application::Cx,
                Command::UserAuthorization
                | Command::ServerAssignment
                | Command::LocationInfo
                | Command::MultimediaAuth,
            ) => connection.send(self.answer(&header, avps).await?).await,
            (Application::Other(id), _) => {
                self.refuse(connection, &header, avps, &CxError::ApplicationUnsupported(id)).await
            }
            (_, command) => {
                self.refuse(connection, &header, avps, &CxError::CommandUnsupported(command.code())).await
            }
        }
    }

    async fn refuse(
        &self,
        connection: &Connection,
        header: &Header,
        avps: &[u8],
        error: &CxError,
    ) -> Result<(), End> {
        tracing::warn!(remote = %self.remote, %error, "refused a Diameter request");
        let (session_id, _) = decode::remains(avps);
        connection.send(base::protocol_error(header, &session_id, &self.config.origin, error)?).await
    }

    async fn answer(&self, header: &Header, avps: &[u8]) -> Result<Wire, CxError> {
        match decode::request(header, avps) {
            Ok(incoming) => {
                let decode::Incoming { ids, session_id, proxy_info, origin, request } = incoming;
                let unable = request.refused(BaseCode::UnableToComply);
                let (tell, told) = oneshot::channel();
                self.server.handle(&origin, request, Box::new(move |answer| drop(tell.send(answer))));
                let context = self.context(ids, &session_id, &proxy_info);
                let Ok(answer) = told.await else { return encode::answer(&unable, &context) };
                encode::answer(&answer, &context).or_else(|error| {
                    tracing::error!(%error, "an answer does not fit a message");
                    encode::answer(&unable, &context)
                })
            }
            Err(error) => {
                tracing::warn!(remote = %self.remote, %error, "refused a Cx request");
                let (session_id, proxy_info) = decode::remains(avps);
                let context = self.context(header.ids, &session_id, &proxy_info);
                encode::refusal(header.command, &context, &error)
            }
        }
    }

    fn context<'a>(
        &'a self,
        ids: Ids,
        session_id: &'a str,
        proxy_info: &'a [u8],
    ) -> encode::AnswerContext<'a> {
        encode::AnswerContext { ids, session_id, origin: &self.config.origin, proxy_info }
    }

    async fn ask_for_life(&mut self, connection: &Connection, watchdog: &mut Watchdog) -> Result<(), End> {
        watchdog.expired()?;
        connection.send(base::watchdog_request(&self.config.origin, self.counter.next())?).await
    }

    async fn say_goodbye(&mut self, connection: &mut Connection) {
        let ids = self.counter.next();
        let Ok(wire) = base::disconnect_request(&self.config.origin, ids, Cause::Rebooting) else { return };
        if connection.send(wire).await.is_ok() {
            // Whatever comes, DPA or the end: this connection is over.
            let _ = timeout(GOODBYE_TIMEOUT, connection.reader.next()).await;
        }
    }
}

/// A sender that is gone means stopping as well.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
