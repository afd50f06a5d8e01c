//! What crosses the wire between UEs and the P-CSCF, seen by neither of them: a packet socket on the link.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::listener::Listener;
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
    _listener: Listener,
}

/// First lines kept for one address; a flood does not fill the memory.
const KEPT_LINES: usize = 64;

impl Tap {
    pub(crate) fn listen(namespace: &Namespace, link: &'static str) -> Result<Self> {
        let wire = Arc::<Mutex<Wire>>::default();
        let counted = Arc::clone(&wire);
        let listener = Listener::start(namespace, link, move |frame| {
            if let Some(seen) = packet::of_frame(frame) {
                count(&mut counted.lock().unwrap_or_else(PoisonError::into_inner), seen);
            }
        })?;
        Ok(Self { wire, _listener: listener })
    }

    /// What has crossed so far. Give the last packet a moment to be read.
    pub(crate) fn wire(&self) -> Wire {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
