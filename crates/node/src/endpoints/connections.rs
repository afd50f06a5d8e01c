//! The table of stream connections.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sip::{ConnectionId, Flow, Transport};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::stream::{self, Opened};
use super::tls::Partner;
use super::{Arrival, Limits, tcp, tls};

/// The TCP and TLS connections of a role, found by id or by their two ends.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    limits: Limits,
    arrivals: mpsc::Sender<Arrival>,
    /// Places for strangers who have not proved who they are.
    handshakes: Arc<Semaphore>,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    by_id: HashMap<ConnectionId, Connection>,
    /// Connections by the flow they were asked for: its local address (port 0: any) and the remote one. Only one of
    /// several between the same two ends is found here; answers name theirs by id.
    by_flow: HashMap<Flow, ConnectionId>,
    by_local: HashMap<SocketAddr, HashSet<ConnectionId>>,
    /// Those that peers have opened, by their host: connections, and handshakes of TLS under way.
    by_host: HashMap<IpAddr, Taken>,
    /// All that peers have opened.
    taken: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    connections: usize,
    handshakes: usize,
}

/// One host may have this part of what there is for all peers.
const SHARE: usize = 16;

#[derive(Debug)]
struct Connection {
    asked: Flow,
    by: OpenedBy,
    outgoing: mpsc::Sender<Bytes>,
    task: tokio::task::AbortHandle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenedBy {
    Us,
    Peer,
}

impl Connections {
    pub(super) fn new(limits: Limits, arrivals: mpsc::Sender<Arrival>) -> Self {
        let handshakes = Arc::new(Semaphore::new(limits.handshakes));
        Self { limits, arrivals, handshakes, table: Arc::default() }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        // Nothing panics while it holds the lock; were it so, the table would still be whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        self.table().by_id.len() >= self.limits.connections
    }

    /// Peers may take half of the table: what we open ourselves finds room. And one host no more than its share.
    fn is_full_for(&self, host: IpAddr) -> bool {
        let (table, limit) = (self.table(), self.limits.connections / 2);
        let own = table.by_host.get(&host).map_or(0, |taken| taken.connections);
        table.taken >= limit.max(1) || own >= (limit / SHARE).max(1)
    }

    fn may_shake_hands(&self, host: IpAddr) -> bool {
        let under_way = self.table().by_host.get(&host).map_or(0, |taken| taken.handshakes);
        under_way < (self.limits.handshakes / SHARE).max(1)
    }

    pub(super) fn adopt(&self, stream: TcpStream, local: SocketAddr, remote: SocketAddr) {
        if self.is_full_for(remote.ip()) {
            tracing::warn!(%local, %remote, limit = self.limits.connections, "too many TCP connections, closed one");
            return;
        }
        self.start(Flow::tcp(local, remote), OpenedBy::Peer, async { Ok(Opened::Clear(stream)) });
    }

    /// Takes a connection whose peer has yet to prove who it is.
    pub(super) fn adopt_tls(
        &self,
        stream: TcpStream,
        local: SocketAddr,
        remote: SocketAddr,
        acceptor: TlsAcceptor,
    ) {
        let place = Arc::clone(&self.handshakes).try_acquire_owned();
        let full = self.is_full_for(remote.ip()) || !self.may_shake_hands(remote.ip());
        let (Ok(place), false) = (place, full) else {
            let (limit, handshakes) = (self.limits.connections, self.limits.handshakes);
            tracing::warn!(%local, %remote, limit, handshakes, "too many TLS connections, closed one");
            return;
        };
        let limit = self.limits.handshake_timeout;
        let place = Handshake::begin(self.clone(), remote.ip(), place);
        self.start(Flow::tls(local, remote), OpenedBy::Peer, async move {
            let verified = tls::accept(stream, acceptor, limit).await;
            drop(place);
            verified.map(Opened::Secured).inspect_err(|error| {
                tracing::info!(%local, %remote, %error, "refused a peer");
            })
        });
    }

    /// Queues the bytes on the connection that the flow names, or opens one from the flow's local address: in TLS only
    /// to a `partner`.
    pub(super) fn send(&self, flow: Flow, bytes: Bytes, partner: Option<&Partner>) -> io::Result<()> {
        let outgoing = {
            let table = self.table();
            let id = flow.connection.or_else(|| table.by_flow.get(&flow).copied());
            let found = id.and_then(|id| table.by_id.get(&id));
            // What is to be secret never leaves on a connection in clear.
            let found = found.filter(|connection| connection.asked.transport == flow.transport);
            found.map(|connection| connection.outgoing.clone())
        };
        let outgoing = match outgoing {
            Some(outgoing) => outgoing,
            None if flow.connection.is_some() => {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the connection has ended"));
            }
            None if self.is_full() => {
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many TCP connections"));
            }
            None => self.open(flow, partner)?,
        };
        outgoing
            .try_send(bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::WouldBlock, "the connection's queue is full"))
    }

    fn open(&self, flow: Flow, partner: Option<&Partner>) -> io::Result<mpsc::Sender<Bytes>> {
        let limits = self.limits;
        // The socket is made here, in the namespace of the role's thread.
        let socket = tcp::bind(flow.local);
        let connect = async move {
            let opened = timeout(limits.connect_timeout, socket?.connect(flow.remote)).await;
            opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match (flow.transport, partner.cloned()) {
            (Transport::Tls, Some(partner)) => Ok(self.start(flow, OpenedBy::Us, async move {
                let expected = partner.name.clone();
                let verified = tls::connect(connect.await?, partner, limits.handshake_timeout).await;
                verified.map(Opened::Secured).inspect_err(|error| {
                    tracing::warn!(remote = %flow.remote, expected = &*expected, %error, "refused a partner");
                })
            })),
            (Transport::Tcp, _) => {
                Ok(self.start(flow, OpenedBy::Us, async { Ok(Opened::Clear(connect.await?)) }))
            }
            _ => {
                let text = format!("no certificate name is configured for {}", flow.remote);
                Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
            }
        }
    }

    fn start(
        &self,
        asked: Flow,
        by: OpenedBy,
        open: impl Future<Output = io::Result<Opened>> + Send + 'static,
    ) -> mpsc::Sender<Bytes> {
        let (outgoing, queue) = mpsc::channel(self.limits.connection_queue);
        let mut table = self.table();
        table.last += 1;
        let id = ConnectionId(table.last);
        let task = tokio::spawn(run(self.clone(), id, asked, open, queue, outgoing.clone())).abort_handle();
        if by == OpenedBy::Peer {
            table.taken += 1;
            table.by_host.entry(asked.remote.ip()).or_default().connections += 1;
        }
        table.by_id.insert(id, Connection { asked, by, outgoing: outgoing.clone(), task });
        // Whoever calls us in TLS has not been checked to be the partner that this address belongs to.
        if by == OpenedBy::Us || asked.transport == Transport::Tcp {
            table.by_flow.insert(asked, id);
        }
        table.by_local.entry(asked.local).or_default().insert(id);
        outgoing
    }

    fn forget(&self, id: ConnectionId) {
        let mut table = self.table();
        let Some(Connection { asked, by, .. }) = table.by_id.remove(&id) else { return };
        if by == OpenedBy::Peer {
            table.taken = table.taken.saturating_sub(1);
            table.give_back(asked.remote.ip(), |taken| &mut taken.connections);
        }
        if table.by_flow.get(&asked) == Some(&id) {
            table.by_flow.remove(&asked);
        }
        if let Some(ids) = table.by_local.get_mut(&asked.local) {
            ids.remove(&id);
            if ids.is_empty() {
                table.by_local.remove(&asked.local);
            }
        }
    }

    pub(super) fn close_from(&self, local: SocketAddr) {
        let ids = self.table().by_local.get(&local).cloned().unwrap_or_default();
        for id in ids {
            if let Some(connection) = self.table().by_id.get(&id) {
                connection.task.abort();
            }
            self.forget(id);
        }
    }

    pub(super) fn close_all(&self) {
        let mut table = self.table();
        table.by_id.drain().for_each(|(_, connection)| connection.task.abort());
        table.by_flow.clear();
        table.by_local.clear();
        table.taken = 0;
        table.by_host.clear();
    }
}

impl Table {
    fn give_back(&mut self, host: IpAddr, count: impl FnOnce(&mut Taken) -> &mut usize) {
        let Some(taken) = self.by_host.get_mut(&host) else { return };
        let count = count(taken);
        *count = count.saturating_sub(1);
        if *taken == Taken::default() {
            self.by_host.remove(&host);
        }
    }
}

/// A place among the handshakes under way, until it is dropped.
struct Handshake {
    connections: Connections,
    host: IpAddr,
    _place: OwnedSemaphorePermit,
}

impl Handshake {
    fn begin(connections: Connections, host: IpAddr, place: OwnedSemaphorePermit) -> Self {
        connections.table().by_host.entry(host).or_default().handshakes += 1;
        Self { connections, host, _place: place }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.connections.table().give_back(self.host, |taken| &mut taken.handshakes);
    }
}

async fn run(
    connections: Connections,
    id: ConnectionId,
    asked: Flow,
    open: impl Future<Output = io::Result<Opened>>,
    queue: mpsc::Receiver<Bytes>,
    outgoing: mpsc::Sender<Bytes>,
) {
    let ended = match open.await {
        Ok(opened) => {
            let local = opened.local_addr().unwrap_or(asked.local);
            let flow = Flow { local, connection: Some(id), ..asked };
            let idle = connections.limits.idle_timeout;
            stream::converse(opened, flow, idle, &connections.arrivals, queue, outgoing).await
        }
        Err(error) => Err(error),
    };
    connections.forget(id);
    let error = ended.err().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into());
    // What the core sent over it, it sent over the flow it asked for.
    let _ = connections.arrivals.send(Arrival::Failed { flow: asked, error }).await;
}
