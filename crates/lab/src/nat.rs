//! A NAT in user space, for UDP: what comes from inside leaves outside from an address and ports that it chooses.
//!
//! It needs nothing of the kernel but sockets. Inside it holds the servers' addresses, so that what is sent to them
//! reaches it; outside each inner source gets a port of its own towards each server. That is all that a NAT does to
//! UDP; ESP, TCP and everything else find nobody.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use node::Shutdown;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};

use crate::namespace::Namespace;
use crate::role::Role;

const MAX_DATAGRAM: usize = 65_535;
/// Inner sources towards one server.
const MAX_MAPPINGS: usize = 1024;

/// A running NAT. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Nat {
    _role: Role,
    mappings: Mappings,
}

/// By server and inner source.
type Mappings = Arc<Mutex<HashMap<(SocketAddr, SocketAddr), Mapping>>>;

#[derive(Debug)]
struct Mapping {
    outside: Arc<UdpSocket>,
    back: AbortHandle,
}

impl Nat {
    /// Serves the way to `servers`, whose addresses `inside` has as its own; outside everything comes from `public`.
    pub(crate) fn start(
        inside: &Namespace,
        outside: &Namespace,
        public: IpAddr,
        servers: &[SocketAddr],
    ) -> Result<Self> {
        let bind = |server: &SocketAddr| -> Result<(SocketAddr, StdUdpSocket)> {
            let socket = StdUdpSocket::bind(server).with_context(|| format!("stand in for {server}"))?;
            socket.set_nonblocking(true)?;
            Ok((*server, socket))
        };
        let doors = inside.run(|| servers.iter().map(bind).collect::<Result<Vec<_>>>())?;
        let mappings = Mappings::default();
        let known = Arc::clone(&mappings);
        let start = move || {
            let mut tasks = JoinSet::new();
            for (server, socket) in doors {
                let socket = Arc::new(UdpSocket::from_std(socket)?);
                tasks.spawn(outwards(server, socket, public, Arc::clone(&known)));
            }
            Ok(tasks)
        };
        let role = Role::start("NAT", outside, start, async |tasks, mut shutdown: Shutdown| {
            shutdown.requested().await;
            drop(tasks);
            Ok(())
        })?;
        Ok(Self { _role: role, mappings })
    }

    /// Forgets every mapping, as a NAT does that was restarted: what comes next gets another port.
    pub(crate) fn forget(&self) {
        let mut mappings = self.mappings.lock().unwrap_or_else(PoisonError::into_inner);
        mappings.drain().for_each(|(_, mapping)| mapping.back.abort());
    }
}

/// Carries what comes to `server` from inside, and starts the way back for each new source.
async fn outwards(server: SocketAddr, door: Arc<UdpSocket>, public: IpAddr, mappings: Mappings) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let (length, source) = match door.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An ICMP error of an earlier datagram.
            Err(_) => continue,
        };
        let key = (server, source);
        let known = {
            let mappings = mappings.lock().unwrap_or_else(PoisonError::into_inner);
            if !mappings.contains_key(&key) && mappings.len() >= MAX_MAPPINGS {
                continue;
            }
            mappings.get(&key).map(|mapping| Arc::clone(&mapping.outside))
        };
        let outside = match known {
            Some(outside) => outside,
            None => match map(server, public).await {
                Ok(outside) => {
                    let back = tokio::spawn(inwards(Arc::clone(&outside), Arc::clone(&door), source));
                    let mapping = Mapping { outside: Arc::clone(&outside), back: back.abort_handle() };
                    mappings.lock().unwrap_or_else(PoisonError::into_inner).insert(key, mapping);
                    outside
                }
                Err(error) => {
                    tracing::warn!(%source, %server, %error, "the NAT has no port");
                    continue;
                }
            },
        };
        let _ = outside.send(buffer.get(..length).unwrap_or_default()).await;
    }
}

/// A port of the NAT that only the server may use.
async fn map(server: SocketAddr, public: IpAddr) -> std::io::Result<Arc<UdpSocket>> {
    let socket = UdpSocket::bind(SocketAddr::new(public, 0)).await?;
    socket.connect(server).await?;
    Ok(Arc::new(socket))
}

async fn inwards(outside: Arc<UdpSocket>, door: Arc<UdpSocket>, source: SocketAddr) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        if let Ok(length) = outside.recv(&mut buffer).await {
            let _ = door.send_to(buffer.get(..length).unwrap_or_default(), source).await;
        }
    }
}
