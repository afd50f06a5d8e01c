//! What crosses the wire between UEs and the P-CSCF, seen by neither of them: a packet socket on the link.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::namespace::Namespace;
use crate::packet::{self, Content};

/// What one UE address sent and received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    pub esp_packets: u64,
    /// ESP packets inside UDP, around a NAT.
    pub udp_encapsulated: u64,
    pub keep_alives: u64,
    /// First lines of SIP messages that crossed in clear, in order.
    pub clear_sip: Vec<String>,
    /// Other UDP and TCP packets with a payload.
    pub other: u64,
}

/// Traffic by address; each packet counts for both its ends.
pub type Wire = BTreeMap<IpAddr, Traffic>;

/// Listens on a link until it is dropped.
#[derive(Debug)]
pub(crate) struct Tap {
    wire: Arc<Mutex<Wire>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// First lines kept for one address; a flood does not fill the memory.
const KEPT_LINES: usize = 64;
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

impl Tap {
    pub(crate) fn listen(namespace: &Namespace, link: &'static str) -> Result<Self> {
        let (socket, index) = namespace.run(|| {
            let index = if_nametoindex(link).with_context(|| format!("find link {link}"))?;
            let socket =
                socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
                    .context("open a packet socket")?;
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES)?;
            setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 50_000))?;
            Ok((socket, usize::try_from(index)?))
        })?;
        let (wire, stop) = (Arc::<Mutex<Wire>>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::Builder::new().name("tap".into()).spawn({
            let (wire, stop) = (Arc::clone(&wire), Arc::clone(&stop));
            move || read(&socket, index, &wire, &stop)
        })?;
        Ok(Self { wire, stop, thread: Some(thread) })
    }

    /// What has crossed so far. Give the last packet a moment to be read.
    pub(crate) fn wire(&self) -> Wire {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(socket: &OwnedFd, index: usize, wire: &Mutex<Wire>, stop: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok((length, Some(from))) if from.ifindex() == index => {
                if let Some(seen) = buffer.get(..length).and_then(packet::of_frame) {
                    count(&mut wire.lock().unwrap_or_else(PoisonError::into_inner), seen);
                }
            }
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return tracing::error!(%errno, "the tap ends"),
        }
    }
}

fn count(wire: &mut Wire, seen: packet::Packet<'_>) {
    for address in [seen.source, seen.destination] {
        let traffic = wire.entry(address).or_default();
        match &seen.content {
            Content::Esp => traffic.esp_packets += 1,
            Content::EspInUdp => traffic.udp_encapsulated += 1,
            Content::KeepAlive => traffic.keep_alives += 1,
            Content::Sip(line) if traffic.clear_sip.len() < KEPT_LINES => {
                traffic.clear_sip.push((*line).to_owned())
            }
            Content::Sip(_) | Content::Payload => traffic.other += 1,
            Content::Nothing => {}
        }
    }
}
