//! Where a message came from, or must leave.

use bytes::Bytes;
use std::net::SocketAddr;

/// The transport under SIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    /// The word in a Via.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// A byte stream: no retransmission on our side (RFC 3261 17.1.2.2), framing needed.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls].into_iter().find(|t| t.as_str().eq_ignore_ascii_case(word))
    }
}

/// One stream connection of the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// The socket pair a message came over or must leave by. For TCP without a connection the shell opens one from
/// `local` (port 0 = any) to `remote`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    pub transport: Transport,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub connection: Option<ConnectionId>,
}

impl Flow {
    /// A datagram flow.
    pub const fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { transport: Transport::Udp, local, remote, connection: None }
    }

    /// A stream flow whose connection the shell finds or opens.
    pub const fn tcp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { transport: Transport::Tcp, local, remote, connection: None }
    }

    /// A stream flow inside TLS. The shell opens its connection only to a partner that it can check.
    pub const fn tls(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { transport: Transport::Tls, local, remote, connection: None }
    }
}

/// Bytes that must leave.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    pub flow: Flow,
    pub bytes: Bytes,
}

impl std::fmt::Debug for Transmit {
    /// The bytes may hold ik, ck or a response: only their number is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transmit {{ {:?}, {} octets }}", self.flow, self.bytes.len())
    }
}
