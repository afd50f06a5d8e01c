//! UDP: many datagrams a system call, both ways.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use sip::{Flow, Message, Transmit};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::Arrival;

const MAX_DATAGRAM: usize = 65_535;
/// Datagrams that one system call takes or gives.
const BATCH: usize = 16;
/// Room for a burst of registrations while the core works off another.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

thread_local! {
    /// All sockets of a thread are read one after the other, so they share the memory datagrams land in.
    static SCRATCH: RefCell<Vec<Vec<u8>>> = RefCell::new(vec![vec![0; MAX_DATAGRAM]; BATCH]);
}

pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

pub(super) async fn read(socket: Arc<UdpSocket>, local: SocketAddr, arrivals: mpsc::Sender<Arrival>) {
    loop {
        if socket.readable().await.is_ok() {
            // Whoever is sending may go on first: more datagrams then come with one call, where CPUs are few.
            std::thread::yield_now();
        }
        let received = match socket.async_io(Interest::READABLE, || receive(&socket, local)).await {
            Ok(received) => received,
            // An ICMP error of an earlier datagram: the transaction's timer tells the core.
            Err(error) => {
                tracing::debug!(%local, %error, "UDP receive");
                continue;
            }
        };
        if received.len() < BATCH {
            // The queue is empty: tell the reactor, instead of asking the kernel once more to hear so.
            let empty = || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) };
            let _ = socket.try_io(Interest::READABLE, empty);
        }
        for arrival in received.into_iter().flatten() {
            if arrivals.send(arrival).await.is_err() {
                return;
            }
        }
    }
}

/// What has arrived, up to a batch; `None` for a datagram without a message.
fn receive(socket: &UdpSocket, local: SocketAddr) -> io::Result<Vec<Option<Arrival>>> {
    SCRATCH.with_borrow_mut(|buffers| {
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let results = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?;
        let received = results.map(|message| {
            let datagram: Vec<u8> = message.iovs().flatten().copied().collect();
            Some(arrival(Flow::udp(local, address_of(message.address.as_ref()?)?), datagram))
        });
        Ok(received.map(Option::flatten).collect())
    })
}

fn arrival(flow: Flow, datagram: Vec<u8>) -> Option<Arrival> {
    // RFC 5626 keep-alives and empty datagrams carry no message.
    if datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return None;
    }
    // Parsing takes the datagram; one that is no SIP is rare enough to be kept by a copy of its head.
    match Message::parse(datagram.as_slice()) {
        Ok(message) => Some(Arrival::Message { flow, message, peer: None }),
        Err(error) => Some(Arrival::Malformed { flow, error, octets: datagram }),
    }
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}

/// Sends datagrams from one socket in their order; answers those that could not leave.
///
/// Straight to the operating system: tokio's own `try_send_to` refuses until the reactor has once reported the socket
/// as writable, which for a socket bound a moment ago it has not.
pub(super) fn send_all(socket: &UdpSocket, mut outgoing: &[Transmit]) -> Vec<(Flow, io::Error)> {
    let mut failed = Vec::new();
    while let Some(first) = outgoing.first() {
        let sent = match send_some(socket, outgoing) {
            Ok(sent) => sent.max(1),
            // The error is the first datagram's; the others have not been tried.
            Err(error) => {
                failed.push((first.flow, error));
                1
            }
        };
        outgoing = outgoing.get(sent..).unwrap_or_default();
    }
    failed
}

fn send_some(socket: &UdpSocket, outgoing: &[Transmit]) -> io::Result<usize> {
    if let [single] = outgoing {
        return SockRef::from(socket).send_to(&single.bytes, &single.flow.remote.into()).map(|_| 1);
    }
    let batch = outgoing.get(..BATCH).unwrap_or(outgoing);
    let slices: Vec<[IoSlice<'_>; 1]> =
        batch.iter().map(|datagram| [IoSlice::new(&datagram.bytes)]).collect();
    let remotes: Vec<Option<SockaddrStorage>> =
        batch.iter().map(|datagram| Some(SockaddrStorage::from(datagram.flow.remote))).collect();
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(batch.len(), None);
    let flags = MsgFlags::MSG_DONTWAIT;
    let results = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, &remotes, [], flags);
    results.map(Iterator::count).map_err(|errno: Errno| errno.into())
}
