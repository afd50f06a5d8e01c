use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use sip::{Flow, Message};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::Arrival;

const MAX_DATAGRAM: usize = 65_535;
/// Room for a burst of registrations while the core works off another.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

pub(super) async fn read(socket: Arc<UdpSocket>, local: SocketAddr, arrivals: mpsc::Sender<Arrival>) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let (length, remote) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An ICMP error of an earlier datagram: the transaction's timer tells the core.
            Err(error) => {
                tracing::debug!(%local, %error, "UDP receive");
                continue;
            }
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        // RFC 5626 keep-alives and empty datagrams carry no message.
        if datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            continue;
        }
        let flow = Flow::udp(local, remote);
        let arrival = match Message::parse(datagram.to_vec()) {
            Ok(message) => Arrival::Message { flow, message },
            Err(error) => Arrival::Malformed { flow, error, octets: datagram.to_vec() },
        };
        if arrivals.send(arrival).await.is_err() {
            return;
        }
    }
}

pub(super) fn send(socket: &UdpSocket, bytes: &[u8], remote: SocketAddr) -> io::Result<()> {
    socket.try_send_to(bytes, remote).map(drop)
}
