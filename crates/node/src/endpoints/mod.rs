//! The sockets of one role: UDP sockets, TCP listeners and TCP connections behind one queue.

mod tcp;
mod udp;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sip::{Flow, Message, ParseError, Transmit, Transport};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::wire;

/// Bounds on what strangers can make a role hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Messages that wait for the core; a full queue stops reading.
    pub queue: usize,
    pub connections: usize,
    /// Messages that wait for one connection to take them.
    pub connection_queue: usize,
    pub connect_timeout: Duration,
    /// A connection that carried nothing for this long is closed.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: 4096,
            connections: 16_384,
            connection_queue: 256,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(1800),
        }
    }
}

/// What the sockets have to tell.
pub enum Arrival {
    Message {
        flow: Flow,
        message: Message,
    },
    /// Octets that are no SIP message; [`sip::refusal`] may make an answer of them.
    Malformed {
        flow: Flow,
        error: ParseError,
        octets: Vec<u8>,
    },
    /// A message could not leave, or its connection ended.
    Failed {
        flow: Flow,
        error: io::Error,
    },
}

/// All sockets of one role, in the network namespace of the thread that bound them.
#[derive(Debug)]
pub struct Endpoints {
    limits: Limits,
    udp: HashMap<SocketAddr, UdpEntry>,
    /// Local addresses with datagrams that wait for [`Endpoints::flush`], in the order of their first.
    waiting: Vec<SocketAddr>,
    listeners: HashMap<SocketAddr, AbortHandle>,
    connections: tcp::Connections,
    arrivals: mpsc::Receiver<Arrival>,
    sender: mpsc::Sender<Arrival>,
}

impl std::fmt::Debug for Arrival {
    /// What is no SIP may still hold ik, ck or a response: only the number of its octets is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message { flow, message } => write!(f, "Message {{ {flow:?}, {message:?} }}"),
            Self::Malformed { flow, error, octets } => {
                write!(f, "Malformed {{ {flow:?}, {error:?}, {} octets }}", octets.len())
            }
            Self::Failed { flow, error } => write!(f, "Failed {{ {flow:?}, {error:?} }}"),
        }
    }
}

#[derive(Debug)]
struct UdpEntry {
    socket: Arc<UdpSocket>,
    reader: AbortHandle,
    outgoing: Vec<Transmit>,
}

impl Endpoints {
    pub fn new(limits: Limits) -> Self {
        let (sender, arrivals) = mpsc::channel(limits.queue);
        let connections = tcp::Connections::new(limits, sender.clone());
        Self {
            limits,
            udp: HashMap::new(),
            waiting: Vec::new(),
            listeners: HashMap::new(),
            connections,
            arrivals,
            sender,
        }
    }

    /// Binds UDP and starts reading. Answers the address bound, for port 0.
    pub fn bind_udp(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = Arc::new(udp::bind(address)?);
        let local = if address.port() == 0 { socket.local_addr()? } else { address };
        let reader = tokio::spawn(udp::read(Arc::clone(&socket), local, self.sender.clone())).abort_handle();
        self.udp.insert(local, UdpEntry { socket, reader, outgoing: Vec::new() });
        Ok(local)
    }

    /// Listens on TCP. Answers the address bound, for port 0.
    pub fn bind_tcp(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = tcp::listen(address)?;
        let local = listener.local_addr()?;
        let acceptor = tokio::spawn(tcp::accept(listener, local, self.connections.clone()));
        self.listeners.insert(local, acceptor.abort_handle());
        Ok(local)
    }

    /// Whether a UDP socket is bound to this address.
    pub fn is_bound(&self, address: SocketAddr) -> bool {
        self.udp.contains_key(&address)
    }

    /// Closes the UDP socket and the TCP listener of an address; connections from it stay.
    pub fn unbind(&mut self, address: SocketAddr) {
        if let Some(entry) = self.udp.remove(&address) {
            entry.reader.abort();
        }
        if let Some(acceptor) = self.listeners.remove(&address) {
            acceptor.abort();
        }
    }

    /// Closes the connections from a local address: their security associations are gone.
    pub fn close_connections_from(&self, local: SocketAddr) {
        self.connections.close_from(local);
    }

    pub async fn next(&mut self) -> Arrival {
        match self.arrivals.recv().await {
            Some(arrival) => traced(arrival),
            // Cannot be while `self.sender` lives.
            None => std::future::pending().await,
        }
    }

    pub fn try_next(&mut self) -> Option<Arrival> {
        self.arrivals.try_recv().ok().map(traced)
    }

    /// Sends from exactly the local address of the flow: the port decides about the security association, so no
    /// other socket may stand in. Datagrams leave with the next [`Endpoints::flush`]; what goes wrong later with a
    /// connection comes back as [`Arrival::Failed`].
    pub fn send(&mut self, transmit: Transmit) -> io::Result<()> {
        let flow = transmit.flow;
        match flow.transport {
            Transport::Udp => {
                let entry = self.udp.get_mut(&flow.local).ok_or_else(|| no_socket(flow.local))?;
                if entry.outgoing.is_empty() {
                    self.waiting.push(flow.local);
                }
                entry.outgoing.push(transmit);
                Ok(())
            }
            Transport::Tcp => self.connections.send(flow, transmit.bytes),
            Transport::Tls => Err(io::Error::new(io::ErrorKind::Unsupported, "TLS is not served here")),
        }
    }

    /// Lets the waiting datagrams leave, those of one socket together. Answers the flows that cannot send. A full
    /// socket buffer is no failure but a lost datagram: its transaction sends it again.
    pub fn flush(&mut self) -> Vec<(Flow, io::Error)> {
        let mut failed = Vec::new();
        for local in self.waiting.drain(..) {
            let Some(entry) = self.udp.get_mut(&local) else { continue };
            failed.extend(udp::send_all(&entry.socket, &entry.outgoing));
            entry.outgoing.clear();
        }
        failed.retain(|(_, error)| error.kind() != io::ErrorKind::WouldBlock);
        failed
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        // What a role said last still leaves.
        self.flush();
        let readers = self.udp.values().map(|entry| &entry.reader);
        readers.chain(self.listeners.values()).for_each(AbortHandle::abort);
        self.connections.close_all();
    }
}

fn traced(arrival: Arrival) -> Arrival {
    if let Arrival::Message { flow, message } = &arrival {
        wire::received(*flow, message);
    }
    arrival
}

fn no_socket(local: SocketAddr) -> io::Error {
    io::Error::new(io::ErrorKind::AddrNotAvailable, format!("no UDP socket is bound to {local}"))
}

#[cfg(test)]
mod tests;
