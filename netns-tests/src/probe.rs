//! Packets that no honest UE sends.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::Namespace;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use socket2::{Domain, Protocol, Socket, Type};

/// Sends a datagram from exactly this address.
pub fn send_udp(namespace: &Namespace, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Result<()> {
    namespace.run(|| {
        let socket = Socket::new(Domain::for_address(from), Type::DGRAM, Some(Protocol::UDP))?;
        // The honest UE holds the port; a datagram leaves all the same.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&from.into()).with_context(|| format!("bind {from}"))?;
        UdpSocket::from(socket).send_to(payload, to).context("send")?;
        Ok(())
    })
}

const ETHERNET_BYTES: usize = 14;
const ESP: u8 = 50;

/// The first IPv4 ESP packet that `meanwhile` makes cross a link of the namespace towards `to`.
pub fn capture_esp(
    namespace: &Namespace,
    to: std::net::Ipv4Addr,
    meanwhile: impl FnOnce(),
) -> Result<Vec<u8>> {
    let socket = namespace.run(|| {
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(5, 0))?;
        Ok(socket)
    })?;
    meanwhile();
    let mut frame = vec![0; 65_536];
    for _ in 0..10_000 {
        let (length, _) =
            recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame).context("wait for an ESP packet")?;
        let packet = frame.get(ETHERNET_BYTES..length).unwrap_or_default();
        let is_ipv4 = frame.get(12..14) == Some([0x08, 0x00].as_slice());
        if is_ipv4 && packet.get(9) == Some(&ESP) && packet.get(16..20) == Some(to.octets().as_slice()) {
            return Ok(packet.to_vec());
        }
    }
    bail!("no ESP packet to {to}")
}

/// Sends an IPv4 packet as it is, header and all.
pub fn inject(namespace: &Namespace, packet: &[u8]) -> Result<()> {
    const RAW: i32 = 255;
    let to =
        packet.get(16..20).and_then(|octets| <[u8; 4]>::try_from(octets).ok()).context("read the packet")?;
    namespace.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
        socket.send_to(packet, &SocketAddrV4::new(to.into(), 0).into()).context("send the packet")?;
        // Lets the other side work it off.
        std::thread::sleep(Duration::from_millis(100));
        Ok(())
    })
}
