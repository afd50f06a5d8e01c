use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};

/// A UDP socket at which the kernel takes ESP out of UDP and hands it to the states in UDP-enc-tun.
///
/// What the kernel leaves at it is IKE, which nobody here speaks: nothing reads the socket, and what does not fit its
/// small buffer is dropped.
#[derive(Debug)]
pub struct EncapSocket {
    socket: UdpSocket,
}

/// `UDP_ENCAP` and `UDP_ENCAP_ESPINUDP` of linux/udp.h.
const UDP_ENCAP: libc::c_int = 100;
const UDP_ENCAP_ESPINUDP: libc::c_int = 2;

//= RFC 3948 2.3: one octet 0xFF
const KEEP_ALIVE: [u8; 1] = [0xff];

impl EncapSocket {
    /// In the network namespace of the calling thread; the port is [`sec_agree::Encapsulation::PORT`].
    pub fn bind(local: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if local.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The kernel raises it to its minimum.
        socket.set_recv_buffer_size(1)?;
        take_esp(&socket)?;
        socket.bind(&local.into())?;
        Ok(Self { socket: socket.into() })
    }

    /// Tells the NAT that its mapping is still in use. A peer's kernel takes no notice of it.
    //= RFC 3948 4
    pub fn keep_alive(&self, remote: SocketAddr) -> io::Result<()> {
        self.socket.send_to(&KEEP_ALIVE, remote).map(drop)
    }
}

#[allow(unsafe_code)]
fn take_esp(socket: &Socket) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for the whole call, and the value is read from a live int of this length.
    let result = unsafe {
        let value: *const libc::c_int = &UDP_ENCAP_ESPINUDP;
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_UDP, UDP_ENCAP, value.cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
