use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;

use netlink_sys::protocols::NETLINK_XFRM;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{NetlinkAddr, recvfrom, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::socket::errno_of;
use crate::{KernelEvent, XfrmError};

/// Listens to what the kernel tells about states: ends of life and new addresses behind a NAT.
///
/// It has a socket of its own, so that what the kernel tells and what it answers never mix.
#[derive(Debug)]
pub struct Monitor {
    socket: AsyncFd<Socket>,
    /// Of the last datagram, which holds few.
    events: VecDeque<KernelEvent>,
}

/// An event has fewer than 300 bytes; the kernel sends one a datagram.
const DATAGRAM_BYTES: usize = 4096;
/// Room for the ends of a thousand sets that expire together. What does not fit is reported as an overflow.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// The mask of a bind has the bit `group - 1`.
const GROUPS: [u32; 2] = [XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING];
const XFRMNLGRP_EXPIRE: u32 = 2;
const XFRMNLGRP_MAPPING: u32 = 8;

impl Monitor {
    /// In the network namespace of the calling thread, inside a runtime.
    pub fn open() -> Result<Self, XfrmError> {
        Self::with_receive_buffer(RECEIVE_BUFFER_BYTES)
    }

    /// With room for so many bytes of events that nobody has read yet.
    pub fn with_receive_buffer(bytes: usize) -> Result<Self, XfrmError> {
        let open = || -> io::Result<AsyncFd<Socket>> {
            let mut socket = Socket::new(NETLINK_XFRM)?;
            let groups = GROUPS.iter().fold(0, |mask, group| mask | 1 << (group - 1));
            socket.bind(&SocketAddr::new(0, groups))?;
            // Only root of the machine may go beyond `rmem_max`.
            setsockopt(&socket, sockopt::RcvBufForce, &bytes)
                .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &bytes))?;
            socket.set_non_blocking(true)?;
            // Its successor is unsafe for types that could change their descriptor; this one never does.
            #[expect(deprecated)]
            AsyncFd::with_interest(socket, Interest::READABLE)
        };
        let socket = open().map_err(|error| match errno_of(&error) {
            Errno::EPERM => XfrmError::NoCapNetAdmin,
            errno => XfrmError::Socket(errno),
        })?;
        Ok(Self { socket, events: VecDeque::new() })
    }

    /// The next event. Nothing is lost when the future is dropped before it is ready.
    pub async fn next(&mut self) -> Result<KernelEvent, XfrmError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let mut ready = self.socket.readable().await.map_err(|error| netlink(&error))?;
            let Ok(received) = ready.try_io(|socket| receive(socket.get_ref())) else { continue };
            self.events.extend(received.map_err(|error| netlink(&error))?);
        }
    }

    /// An event that is there already.
    pub fn try_next(&mut self) -> Result<Option<KernelEvent>, XfrmError> {
        while self.events.is_empty() {
            match receive(self.socket.get_ref()) {
                Ok(events) => self.events.extend(events),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(netlink(&error)),
            }
        }
        Ok(self.events.pop_front())
    }
}

/// The events of one datagram, if it is the kernel's.
fn receive(socket: &Socket) -> io::Result<Vec<KernelEvent>> {
    let mut datagram = [0; DATAGRAM_BYTES];
    match recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut datagram) {
        Ok((length, Some(sender))) if sender.pid() == 0 => {
            Ok(KernelEvent::read(datagram.get(..length).unwrap_or_default()))
        }
        Ok(_) | Err(Errno::EINTR) => Ok(Vec::new()),
        // The kernel says once that it had to drop something.
        Err(Errno::ENOBUFS) => Ok(vec![KernelEvent::Overflow]),
        Err(errno) => Err(errno.into()),
    }
}

fn netlink(error: &io::Error) -> XfrmError {
    XfrmError::Netlink(errno_of(error))
}
