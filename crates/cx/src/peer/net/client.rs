//! The CSCF's end: connections to the HSS peers, kept up, with many requests on their way at once.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::shared::{REMEMBERED, Shared};
use super::{Tls, stream, tls};
use crate::peer::calling::Target;
use crate::peer::connection::Side;
use crate::peer::node::Settings;
use crate::peer::{ClientConfig, RemotePeer};
use crate::{Link, Reply, Request, Server};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The way to the HSS. Cheap to clone; the last clone to go says goodbye to the peers.
#[derive(Debug, Clone)]
pub struct DiameterClient {
    holder: Arc<Holder>,
}

#[derive(Debug)]
struct Holder(Arc<Shared>);

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.with(|node, now| node.stop(now));
    }
}

impl DiameterClient {
    /// Starts connecting. Runs on the tokio runtime this is called in. What the HSS asks is refused.
    pub fn start(config: ClientConfig) -> Self {
        Self::run(ClientConfig { serves: &[], ..config }, None)
    }

    /// Like [`Self::start`]; `server` answers what the HSS asks.
    pub fn start_with_server(config: ClientConfig, server: Arc<dyn Server>) -> Self {
        Self::run(config, Some(server))
    }

    fn run(config: ClientConfig, server: Option<Arc<dyn Server>>) -> Self {
        let shared = Shared::new(settings(&config));
        if let Some(server) = server {
            let _ = shared.server.set(server);
        }
        let (runtime, dialling) = (Handle::current(), Arc::downgrade(&shared));
        let dial = move |place: usize| {
            if let (Some(shared), Some(peer)) = (dialling.upgrade(), config.peers.get(place)) {
                runtime.spawn(connect(shared, place, peer.clone(), config.tls.clone()));
            }
        };
        shared.start(Some(Box::new(dial)));
        Self { holder: Arc::new(Holder(shared)) }
    }

    /// Whether some peer takes requests.
    pub fn is_connected(&self) -> bool {
        *self.holder.0.usable.borrow()
    }

    /// Returns once an HSS has accepted us; never when none ever does.
    pub async fn wait_until_connected(&self) {
        let _ = self.holder.0.usable.subscribe().wait_for(|usable| *usable).await;
    }
}

impl Link for DiameterClient {
    fn call(&self, request: Request, reply: Reply) {
        self.holder.0.call(Target::Configured, request, reply);
    }
}

fn settings(config: &ClientConfig) -> Settings {
    Settings {
        origin: config.origin.clone(),
        watchdog: config.watchdog,
        dial: config.peers.iter().map(|peer| peer.host.clone()).collect(),
        shortest_pause: config.shortest_pause,
        longest_pause: config.longest_pause,
        destination_realm: config.destination_realm.clone(),
        destination_host: config.destination_host.clone(),
        request_timeout: config.request_timeout,
        max_in_flight: config.max_in_flight,
        serves: config.serves,
        max_in_progress: config.max_in_progress,
        remembered: REMEMBERED,
        allowed: None,
        max_peers: 0,
    }
}

async fn connect(shared: Arc<Shared>, place: usize, peer: RemotePeer, tls: Option<Tls>) {
    match timeout(CONNECT_TIMEOUT, open(&peer, tls.as_ref())).await {
        Ok(Ok((local, Stream::Tcp(stream)))) => {
            stream::run(shared, stream, Side::Dialled(place), local, None, None).await;
        }
        Ok(Ok((local, Stream::Tls(stream)))) => {
            let proof = tls::proof(stream.get_ref().1);
            stream::run(shared, stream, Side::Dialled(place), local, Some(proof), None).await;
        }
        failed => {
            let remote = peer.address;
            match failed {
                Ok(Err(error)) => tracing::warn!(%remote, %error, "failed to connect to a Diameter peer"),
                _ => tracing::warn!(%remote, "failed to connect to a Diameter peer: no answer"),
            }
            shared.with(|node, now| node.dial_failed(now, place));
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

async fn open(peer: &RemotePeer, tls: Option<&Tls>) -> io::Result<(IpAddr, Stream)> {
    let stream = TcpStream::connect(peer.address).await?;
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?.ip();
    let Some(tls) = tls else { return Ok((local, Stream::Tcp(stream))) };
    let nameless = || io::Error::other("its Origin-Host is not known, which its certificate must name");
    let name = peer.host.clone().and_then(|host| ServerName::try_from(host).ok()).ok_or_else(nameless)?;
    let stream = tls.connector().connect(name, stream).await?;
    Ok((local, Stream::Tls(Box::new(stream))))
}
