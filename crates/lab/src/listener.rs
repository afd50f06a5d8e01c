//! Every frame of a link, read from a packet socket by a thread of its own.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::namespace::Namespace;

/// Listens on a link until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const RECEIVE_BUFFER_BYTES: usize = 8 << 20;
/// A frame that the kernel would cut into segments later is longer than any on a wire.
const MAX_FRAME: usize = 70_000;

impl Listener {
    /// `each` gets the frames, of both directions, in their order.
    pub(crate) fn start(
        namespace: &Namespace,
        link: &'static str,
        each: impl FnMut(&[u8]) + Send + 'static,
    ) -> Result<Self> {
        let (socket, index) = namespace.run(|| {
            let index = if_nametoindex(link).with_context(|| format!("find link {link}"))?;
            let socket =
                socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
                    .context("open a packet socket")?;
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES)?;
            setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 50_000))?;
            Ok((socket, usize::try_from(index)?))
        })?;
        let stop = Arc::<AtomicBool>::default();
        let thread = std::thread::Builder::new().name("tap".into()).spawn({
            let stop = Arc::clone(&stop);
            move || read(&socket, index, &stop, each)
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(socket: &OwnedFd, index: usize, stop: &AtomicBool, mut each: impl FnMut(&[u8])) {
    let mut buffer = vec![0; MAX_FRAME];
    while !stop.load(Ordering::Relaxed) {
        match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok((length, Some(from))) if from.ifindex() == index => {
                each(buffer.get(..length).unwrap_or_default());
            }
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return tracing::error!(%errno, "the tap ends"),
        }
    }
}
