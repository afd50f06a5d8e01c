use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sip::framing::{Frame, Framer};
use sip::{ConnectionId, Flow, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Arrival, Limits};

const BACKLOG: u32 = 1024;
const READ_BYTES: usize = 16 << 10;
/// RFC 5626 4.4.1: the answer to a CRLF CRLF ping.
const PONG: &[u8] = b"\r\n";

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
    by_ends: HashMap<(IpAddr, u16, SocketAddr), ConnectionId>,
}

#[derive(Debug)]
struct Connection {
    local: SocketAddr,
    remote: SocketAddr,
    /// The port asked for: 0 where any would do.
    asked_port: u16,
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

    fn adopt(&self, stream: TcpStream, local: SocketAddr, remote: SocketAddr) {
        if self.table().by_id.len() >= self.limits.connections {
            tracing::warn!(%local, %remote, limit = self.limits.connections, "too many TCP connections, closed one");
            return;
        }
        // Without port 0 nobody asks for "any connection from here": answers name the connection they go to.
        self.start(local, remote, local.port(), |_| async { Ok(stream) });
    }

    /// Queues the bytes on the connection that the flow names, or opens one from the flow's local address.
    pub(super) fn send(&self, flow: Flow, bytes: Bytes) -> io::Result<()> {
        let outgoing = {
            let table = self.table();
            let id = match flow.connection {
                Some(id) => Some(id),
                None => table.by_ends.get(&(flow.local.ip(), flow.local.port(), flow.remote)).copied(),
            };
            id.and_then(|id| table.by_id.get(&id)).map(|connection| connection.outgoing.clone())
        };
        let outgoing = match outgoing {
            Some(outgoing) => outgoing,
            None if flow.connection.is_some() => {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the connection has ended"));
            }
            None if self.table().by_id.len() >= self.limits.connections => {
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many TCP connections"));
            }
            None => self.connect(flow.local, flow.remote),
        };
        outgoing.try_send(bytes).map_err(|_| io::Error::new(io::ErrorKind::WouldBlock, "the connection's queue is full"))
    }

    fn connect(&self, local: SocketAddr, remote: SocketAddr) -> mpsc::Sender<Bytes> {
        let limit = self.limits.connect_timeout;
        // The socket is made here, in the namespace of the role's thread.
        let socket = socket_for(local).and_then(|socket| {
            socket.bind(local)?;
            Ok(socket)
        });
        self.start(local, remote, local.port(), move |_| async move {
            timeout(limit, socket?.connect(remote)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }

    fn start<F>(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        asked_port: u16,
        open: impl FnOnce(ConnectionId) -> F,
    ) -> mpsc::Sender<Bytes>
    where
        F: Future<Output = io::Result<TcpStream>> + Send + 'static,
    {
        let (outgoing, queue) = mpsc::channel(self.limits.connection_queue);
        let mut table = self.table();
        table.last += 1;
        let id = ConnectionId(table.last);
        let task = tokio::spawn(run(self.clone(), id, open(id), local, remote, queue, outgoing.clone()));
        let connection =
            Connection { local, remote, asked_port, outgoing: outgoing.clone(), task: task.abort_handle() };
        table.by_id.insert(id, connection);
        table.by_ends.insert((local.ip(), asked_port, remote), id);
        outgoing
    }

    fn forget(&self, id: ConnectionId) {
        let mut table = self.table();
        if let Some(connection) = table.by_id.remove(&id) {
            let ends = (connection.local.ip(), connection.asked_port, connection.remote);
            if table.by_ends.get(&ends) == Some(&id) {
                table.by_ends.remove(&ends);
            }
        }
    }

    pub(super) fn close_from(&self, local: SocketAddr) {
        let ids: Vec<ConnectionId> = {
            let table = self.table();
            let ours = table.by_id.iter().filter(|(_, connection)| connection.local == local);
            ours.inspect(|(_, connection)| connection.task.abort()).map(|(id, _)| *id).collect()
        };
        ids.into_iter().for_each(|id| self.forget(id));
    }

    pub(super) fn close_all(&self) {
        let mut table = self.table();
        table.by_id.drain().for_each(|(_, connection)| connection.task.abort());
        table.by_ends.clear();
    }
}

async fn run(
    connections: Connections,
    id: ConnectionId,
    open: impl Future<Output = io::Result<TcpStream>>,
    local: SocketAddr,
    remote: SocketAddr,
    queue: mpsc::Receiver<Bytes>,
    outgoing: mpsc::Sender<Bytes>,
) {
    let mut flow = Flow { transport: Transport::Tcp, local, remote, connection: Some(id) };
    let ended = match open.await {
        Ok(stream) => {
            flow.local = stream.local_addr().unwrap_or(local);
            converse(&connections, flow, stream, queue, outgoing).await
        }
        Err(error) => Err(error),
    };
    connections.forget(id);
    let error = ended.err().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into());
    // The core knows a flow that it asked for without the id.
    let _ = connections.arrivals.send(Arrival::Failed { flow, error }).await;
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
            let length = timeout(idle, reader.read(&mut buffer)).await.map_err(|_| io::ErrorKind::TimedOut)??;
            let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
            framer.push(bytes);
            loop {
                let arrival = match framer.next() {
                    Ok(Some(Frame::Message(message))) => Arrival::Message { flow, message },
                    Ok(Some(Frame::KeepAlivePing)) => {
                        let _ = outgoing.try_send(Bytes::from_static(PONG));
                        continue;
                    }
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
