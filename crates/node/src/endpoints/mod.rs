//! The sockets of one role: UDP sockets, listeners and connections of TCP and TLS behind one queue.

mod connections;
mod stream;
mod tcp;
mod tls;
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

use crate::tls::{PeerNames, TlsError, TlsIdentity};
use crate::wire;
use connections::Connections;
use tls::Partner;

/// Bounds on what strangers can make a role hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Messages that wait for the core; a full queue stops reading.
    pub queue: usize,
    pub connections: usize,
    /// Messages that wait for one connection to take them.
    pub connection_queue: usize,
    pub connect_timeout: Duration,
    /// Peers that have called us in TLS and not yet proved who they are.
    pub handshakes: usize,
    pub handshake_timeout: Duration,
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
            handshakes: 256,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(1800),
        }
    }
}

/// What the sockets have to tell.
pub enum Arrival {
    Message {
        flow: Flow,
        message: Message,
        /// What its sender has proved to be; `None` where nothing proves anything.
        peer: Option<PeerNames>,
    },
    /// Octets that are no SIP message; [`sip::refusal`] may make an answer of them.
    Malformed { flow: Flow, error: ParseError, octets: Vec<u8> },
    /// A message could not leave, or its connection ended.
    Failed { flow: Flow, error: io::Error },
}

/// All sockets of one role, in the network namespace of the thread that bound them.
#[derive(Debug)]
pub struct Endpoints {
    limits: Limits,
    udp: HashMap<SocketAddr, UdpEntry>,
    /// Local addresses with datagrams that wait for [`Endpoints::flush`], in the order of their first.
    waiting: Vec<SocketAddr>,
    listeners: HashMap<SocketAddr, AbortHandle>,
    connections: Connections,
    partners: HashMap<SocketAddr, Partner>,
    arrivals: mpsc::Receiver<Arrival>,
    sender: mpsc::Sender<Arrival>,
}

impl std::fmt::Debug for Arrival {
    /// What is no SIP may still hold ik, ck or a response: only the number of its octets is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message { flow, message, peer } => {
                write!(f, "Message {{ {flow:?}, {message:?}, {peer:?} }}")
            }
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
        let connections = Connections::new(limits, sender.clone());
        Self {
            limits,
            udp: HashMap::new(),
            waiting: Vec::new(),
            listeners: HashMap::new(),
            connections,
            partners: HashMap::new(),
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
        let connections = self.connections.clone();
        let adopt = move |stream, remote| connections.adopt(stream, local, remote);
        self.listeners.insert(local, tokio::spawn(tcp::accept(listener, local, adopt)).abort_handle());
        Ok(local)
    }

    /// Listens on TLS: whoever calls must show a certificate of an authority that `identity` believes. Answers the
    /// address bound, for port 0.
    pub fn bind_tls(&mut self, address: SocketAddr, identity: &TlsIdentity) -> io::Result<SocketAddr> {
        let listener = tcp::listen(address)?;
        let local = listener.local_addr()?;
        let (connections, acceptor) = (self.connections.clone(), identity.acceptor());
        let adopt = move |stream, remote| connections.adopt_tls(stream, local, remote, acceptor.clone());
        self.listeners.insert(local, tokio::spawn(tcp::accept(listener, local, adopt)).abort_handle());
        Ok(local)
    }

    /// Whom we may call in TLS: the DNS name that the certificate at each address must carry.
    pub fn tls_partners<'a>(
        &mut self,
        identity: &TlsIdentity,
        partners: impl IntoIterator<Item = (SocketAddr, &'a str)>,
    ) -> Result<(), TlsError> {
        for (address, name) in partners {
            let (server_name, name) = crate::tls::partner(name)?;
            self.partners.insert(address, Partner { server_name, name, connector: identity.connector() });
        }
        Ok(())
    }

    /// Whether a UDP socket is bound to this address.
    pub fn is_bound(&self, address: SocketAddr) -> bool {
        self.udp.contains_key(&address)
    }

    /// Closes the UDP socket and the listener of an address; connections from it stay.
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
            Transport::Tcp => self.connections.send(flow, transmit.bytes, None),
            // Never in clear instead.
            Transport::Tls => self.connections.send(flow, transmit.bytes, self.partners.get(&flow.remote)),
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
    if let Arrival::Message { flow, message, .. } = &arrival {
        wire::received(*flow, message);
    }
    arrival
}

fn no_socket(local: SocketAddr) -> io::Error {
    io::Error::new(io::ErrorKind::AddrNotAvailable, format!("no UDP socket is bound to {local}"))
}

#[cfg(test)]
mod tests;
