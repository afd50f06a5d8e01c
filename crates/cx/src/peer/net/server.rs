//! The HSS's end: accepts peers, answers them out of one [`Server`], and reaches each of them by its name.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::shared::{REMEMBERED, Shared};
use super::{Tls, stream, tls};
use crate::peer::calling::Target;
use crate::peer::connection::Side;
use crate::peer::node::Settings;
use crate::peer::{Origin, ServerConfig};
use crate::{PeerLink, Reply, Request, Server};

/// Connections that have not introduced themselves, at most.
const MOST_STRANGERS: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The CSCFs that are connected. Cheap to clone; exists before the server, which may need it.
#[derive(Debug, Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

impl Peers {
    pub fn new(config: ServerConfig) -> Self {
        Self { shared: Shared::new(settings(config)) }
    }

    /// Answers every peer of `listeners` until `shutdown` ends, then says goodbye to them. Once only.
    pub async fn serve(
        &self,
        listeners: Vec<impl Into<Listener>>,
        server: Arc<dyn Server>,
        shutdown: impl Future<Output = ()>,
    ) {
        let _ = self.shared.server.set(server);
        self.shared.start(None);
        let mut accepting = JoinSet::new();
        let strangers = Arc::new(Semaphore::new(MOST_STRANGERS));
        for listener in listeners {
            let (shared, strangers) = (Arc::clone(&self.shared), Arc::clone(&strangers));
            accepting.spawn(accept_all(shared, listener.into(), strangers));
        }
        shutdown.await;
        accepting.shutdown().await;
        self.shared.with(|node, now| node.stop(now));
        self.shared.over().await;
    }
}

impl PeerLink for Peers {
    fn call(&self, to: &Origin, request: Request, reply: Reply) {
        self.shared.call(Target::Host(to.clone()), request, reply);
    }
}

/// Answers every peer of `listener` until `shutdown` ends, for a server that asks nothing of its own accord.
pub async fn serve(
    listener: TcpListener,
    config: ServerConfig,
    server: Arc<dyn Server>,
    shutdown: impl Future<Output = ()>,
) {
    Peers::new(config).serve(vec![listener], server, shutdown).await;
}

fn settings(config: ServerConfig) -> Settings {
    Settings {
        origin: config.origin,
        watchdog: config.watchdog,
        dial: Vec::new(),
        shortest_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        destination_realm: String::new(),
        destination_host: None,
        request_timeout: config.request_timeout,
        max_in_flight: config.max_in_flight,
        serves: config.serves,
        max_in_progress: config.max_in_progress,
        remembered: REMEMBERED,
        allowed: config.allowed_peers,
        max_peers: config.max_peers,
    }
}

/// A socket peers connect to, and how they speak there.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
}

impl Listener {
    pub fn tls(socket: TcpListener, tls: Tls) -> Self {
        Self { socket, tls: Some(tls) }
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self { socket, tls: None }
    }
}

/// Ends with the task; the connections go on.
async fn accept_all(shared: Arc<Shared>, listener: Listener, strangers: Arc<Semaphore>) {
    loop {
        match listener.socket.accept().await {
            Ok((stream, remote)) => match Arc::clone(&strangers).try_acquire_owned() {
                Ok(place) => {
                    tokio::spawn(meet(Arc::clone(&shared), stream, remote, listener.tls.clone(), place));
                }
                Err(_) => tracing::warn!(%remote, "too many Diameter connections, turned one away"),
            },
            Err(error) => {
                // Out of descriptors, most likely: accepting again at once would only spin.
                tracing::warn!(%error, "failed to accept a Diameter peer");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Runs one connection. It keeps its `place` until it has introduced itself or is gone.
async fn meet(
    shared: Arc<Shared>,
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<Tls>,
    place: OwnedSemaphorePermit,
) {
    let local = match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
        Ok(local) => local.ip(),
        Err(error) => return tracing::debug!(%remote, %error, "a Diameter connection went at once"),
    };
    let Some(tls) = tls else {
        return stream::run(shared, stream, Side::Accepted, local, None, Some(place)).await;
    };
    match timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => {
            let proof = tls::proof(stream.get_ref().1);
            stream::run(shared, stream, Side::Accepted, local, Some(proof), Some(place)).await;
        }
        Ok(Err(error)) => tracing::warn!(%remote, %error, "failed to start TLS with a Diameter peer"),
        Err(_) => tracing::warn!(%remote, "failed to start TLS with a Diameter peer: it says nothing"),
    }
}
