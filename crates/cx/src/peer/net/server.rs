//! The HSS's end: accepts peers, answers them out of one [`Server`], and reaches each of them by its name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::shared::{REMEMBERED, Shared};
use super::stream;
use crate::peer::calling::Target;
use crate::peer::connection::Side;
use crate::peer::node::Settings;
use crate::peer::{Origin, ServerConfig};
use crate::{PeerLink, Reply, Request, Server};

/// Connections that have not introduced themselves, at most.
const MOST_STRANGERS: usize = 64;

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
        listeners: Vec<TcpListener>,
        server: Arc<dyn Server>,
        shutdown: impl Future<Output = ()>,
    ) {
        let _ = self.shared.server.set(server);
        self.shared.start(None);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept_all(Arc::clone(&self.shared), listener));
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

/// Ends with the task, which ends its handshakes; the connections go on.
async fn accept_all(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((_, remote)) if shared.with(|node, _| node.strangers()) >= MOST_STRANGERS => {
                tracing::warn!(%remote, "too many Diameter connections, turned one away");
            }
            Ok((stream, remote)) => meet(&shared, stream, remote),
            Err(error) => {
                // Out of descriptors, most likely: accepting again at once would only spin.
                tracing::warn!(%error, "failed to accept a Diameter peer");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn meet(shared: &Arc<Shared>, stream: TcpStream, remote: SocketAddr) {
    let local = stream.set_nodelay(true).and_then(|()| stream.local_addr());
    match local {
        Ok(local) => {
            tracing::debug!(%remote, "a Diameter connection came");
            tokio::spawn(stream::run(Arc::clone(shared), stream, Side::Accepted, local.ip(), None));
        }
        Err(error) => tracing::debug!(%remote, %error, "a Diameter connection went at once"),
    }
}
