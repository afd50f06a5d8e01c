use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sip::framing::{Frame, Framer, PONG};
use sip::{ConnectionId, Flow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Arrival, Limits};

const BACKLOG: u32 = 1024;
const READ_BYTES: usize = 16 << 10;

pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket_for(address)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Several connections leave from one protected client port, and a restarted daemon takes its ports back.
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

pub(super) async fn accept(listener: TcpListener, local: SocketAddr, connections: Connections) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => connections.adopt(stream, local, remote),
            Err(error) => {
                // Out of file descriptors, or the peer has gone: give others time to end.
                tracing::warn!(%local, %error, "TCP accept");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

/// The TCP connections of a role, found by id or by their two ends.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    limits: Limits,
    arrivals: mpsc::Sender<Arrival>,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    by_id: HashMap<ConnectionId, Connection>,
    /// Connections by the local address they were asked for (port 0: any) and the remote one. Only one of several
    /// between the same two ends is found here; answers name theirs by id.
    by_ends: HashMap<(SocketAddr, SocketAddr), ConnectionId>,
    by_local: HashMap<SocketAddr, HashSet<ConnectionId>>,
}

#[derive(Debug)]
struct Connection {
    asked: Flow,
    outgoing: mpsc::Sender<Bytes>,
    task: tokio::task::AbortHandle,
}

impl Connections {
    pub(super) fn new(limits: Limits, arrivals: mpsc::Sender<Arrival>) -> Self {
        Self { limits, arrivals, table: Arc::default() }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        // Nothing panics while it holds the lock; were it so, the table would still be whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        self.table().by_id.len() >= self.limits.connections
    }

    fn adopt(&self, stream: TcpStream, local: SocketAddr, remote: SocketAddr) {
        if self.is_full() {
            tracing::warn!(%local, %remote, limit = self.limits.connections, "too many TCP connections, closed one");
            return;
        }
        self.start(Flow::tcp(local, remote), async { Ok(stream) });
    }

    /// Queues the bytes on the connection that the flow names, or opens one from the flow's local address.
    pub(super) fn send(&self, flow: Flow, bytes: Bytes) -> io::Result<()> {
        let outgoing = {
            let table = self.table();
            let id = flow.connection.or_else(|| table.by_ends.get(&(flow.local, flow.remote)).copied());
            id.and_then(|id| table.by_id.get(&id)).map(|connection| connection.outgoing.clone())
        };
        let outgoing = match outgoing {
            Some(outgoing) => outgoing,
            None if flow.connection.is_some() => {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the connection has ended"));
            }
            None if self.is_full() => {
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many TCP connections"));
            }
            None => self.connect(flow),
        };
        outgoing
            .try_send(bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::WouldBlock, "the connection's queue is full"))
    }

    fn connect(&self, flow: Flow) -> mpsc::Sender<Bytes> {
        let limit = self.limits.connect_timeout;
        // The socket is made here, in the namespace of the role's thread.
        let socket = socket_for(flow.local).and_then(|socket| {
            socket.bind(flow.local)?;
            Ok(socket)
        });
        self.start(flow, async move {
            let opened = timeout(limit, socket?.connect(flow.remote)).await;
            opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }

    fn start(
        &self,
        asked: Flow,
        open: impl Future<Output = io::Result<TcpStream>> + Send + 'static,
    ) -> mpsc::Sender<Bytes> {
        let (outgoing, queue) = mpsc::channel(self.limits.connection_queue);
        let mut table = self.table();
        table.last += 1;
        let id = ConnectionId(table.last);
        let task = tokio::spawn(run(self.clone(), id, asked, open, queue, outgoing.clone())).abort_handle();
        table.by_id.insert(id, Connection { asked, outgoing: outgoing.clone(), task });
        table.by_ends.insert((asked.local, asked.remote), id);
        table.by_local.entry(asked.local).or_default().insert(id);
        outgoing
    }

    fn forget(&self, id: ConnectionId) {
        let mut table = self.table();
        let Some(Connection { asked, .. }) = table.by_id.remove(&id) else { return };
        if table.by_ends.get(&(asked.local, asked.remote)) == Some(&id) {
            table.by_ends.remove(&(asked.local, asked.remote));
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
        table.by_ends.clear();
        table.by_local.clear();
    }
}

async fn run(
    connections: Connections,
    id: ConnectionId,
    asked: Flow,
    open: impl Future<Output = io::Result<TcpStream>>,
    queue: mpsc::Receiver<Bytes>,
    outgoing: mpsc::Sender<Bytes>,
) {
    let ended = match open.await {
        Ok(stream) => {
            let local = stream.local_addr().unwrap_or(asked.local);
            let flow = Flow { local, connection: Some(id), ..asked };
            converse(&connections, flow, stream, queue, outgoing).await
        }
        Err(error) => Err(error),
    };
    connections.forget(id);
    let error = ended.err().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into());
    // What the core sent over it, it sent over the flow it asked for.
    let _ = connections.arrivals.send(Arrival::Failed { flow: asked, error }).await;
}

/// Reads and writes until either side ends.
async fn converse(
    connections: &Connections,
    flow: Flow,
    stream: TcpStream,
    mut queue: mpsc::Receiver<Bytes>,
    outgoing: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, 64).await > 0 {
            // Messages that wait together leave together.
            if let [single] = batch.as_slice() {
                writer.write_all(single).await?;
            } else {
                writer.write_all(&batch.concat()).await?;
            }
            batch.clear();
        }
        Ok::<(), io::Error>(())
    };
    let read = async {
        let mut framer = Framer::default();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let idle = connections.limits.idle_timeout;
            let length =
                timeout(idle, reader.read(&mut buffer)).await.map_err(|_| io::ErrorKind::TimedOut)??;
            let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
            framer.push(bytes);
            loop {
                let arrival = match framer.next() {
                    Ok(Some(Frame::Message(message))) => Arrival::Message { flow, message },
                    Ok(Some(Frame::KeepAlivePing)) => {
                        let _ = outgoing.try_send(Bytes::from_static(PONG));
                        continue;
                    }
                    Ok(Some(Frame::KeepAlivePong)) => continue,
                    Ok(Some(Frame::Malformed(error, octets))) => Arrival::Malformed { flow, error, octets },
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(local = %flow.local, remote = %flow.remote, %error, "TCP stream is not SIP, closed");
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                };
                if connections.arrivals.send(arrival).await.is_err() {
                    return Ok(());
                }
            }
        }
    };
    tokio::select! {
        ended = read => ended,
        ended = write => ended,
    }
}
