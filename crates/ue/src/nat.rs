//! What UEs behind a NAT need of their host: the address that the P-CSCF sees, and sockets for ESP inside UDP.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::{AddressMessageBuilder, Handle};
use sec_agree::{Associations, Encapsulation, Spi};
use sip::Instant;
use xfrm::EncapSocket;

/// How often a NAT is told that its mapping is still in use.
//= RFC 3948 4: the default is 20 seconds
const BEAT: Duration = Duration::from_secs(20);

/// The sockets and addresses of all UEs of a fleet that a NAT hides.
#[derive(Debug, Default)]
pub(crate) struct NatHost {
    sockets: HashMap<SocketAddr, EncapSocket>,
    /// Outer ends and the sets between them.
    tunnels: HashMap<(SocketAddr, SocketAddr), HashSet<Spi>>,
    addresses: HashMap<IpAddr, OwnAddress>,
    next_beat: Option<Instant>,
}

impl NatHost {
    /// Makes the inner address of a set our own and opens the socket of its tunnel, if it has one.
    pub(crate) fn prepare(&mut self, now: Instant, set: &Associations) -> Result<()> {
        let Some(Encapsulation { ue, p_cscf, .. }) = set.encapsulation else { return Ok(()) };
        let inner = set.ue_address();
        if let Entry::Vacant(place) = self.addresses.entry(inner) {
            place.insert(OwnAddress::add(inner)?);
        }
        if let Entry::Vacant(place) = self.sockets.entry(ue) {
            let bound = EncapSocket::bind(ue);
            place.insert(bound.with_context(|| format!("bind UDP {ue} for ESP inside UDP"))?);
        }
        self.tunnels.entry((ue, p_cscf)).or_default().insert(set.uc_to_ps.spi);
        self.next_beat.get_or_insert(now + BEAT);
        Ok(())
    }

    /// A set has gone. The socket stays for the next one.
    pub(crate) fn removed(&mut self, set: &Associations) {
        let Some(Encapsulation { ue, p_cscf, .. }) = set.encapsulation else { return };
        if let Some(sets) = self.tunnels.get_mut(&(ue, p_cscf)) {
            sets.remove(&set.uc_to_ps.spi);
            if sets.is_empty() {
                self.tunnels.remove(&(ue, p_cscf));
            }
        }
        if self.tunnels.is_empty() {
            self.next_beat = None;
        }
    }

    pub(crate) fn next_beat(&self) -> Option<Instant> {
        self.next_beat
    }

    /// Keeps the NAT's mappings alive when it is time.
    pub(crate) fn beat(&mut self, now: Instant) {
        if self.next_beat.is_none_or(|at| at > now) {
            return;
        }
        for (local, remote) in self.tunnels.keys() {
            let sent = self.sockets.get(local).map(|socket| socket.keep_alive(*remote));
            if let Some(Err(error)) = sent {
                tracing::debug!(%local, %remote, %error, "cannot keep the NAT's mapping alive");
            }
        }
        self.next_beat = Some(now + BEAT);
    }
}

/// An address that this host has been given for the packets inside a tunnel; taken away again when dropped.
#[derive(Debug)]
struct OwnAddress {
    address: IpAddr,
    added: bool,
}

impl OwnAddress {
    fn add(address: IpAddr) -> Result<Self> {
        let prefix = on_loopback(address).header.prefix_len;
        let added = with_routes(async move |handle| {
            match handle.address().add(LOOPBACK, address, prefix).execute().await {
                Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::EEXIST => Ok(false),
                result => Ok(result.map(|()| true)?),
            }
        });
        let added = added.with_context(|| format!("take the address {address}, which the P-CSCF sees"))?;
        Ok(Self { address, added })
    }
}

impl Drop for OwnAddress {
    fn drop(&mut self) {
        if !self.added {
            return;
        }
        let (address, message) = (self.address, on_loopback(self.address));
        let removed = with_routes(async move |handle| Ok(handle.address().del(message).execute().await?));
        if let Err(error) = removed {
            tracing::warn!(%address, %error, "the address of a UE behind a NAT stays on this host");
        }
    }
}

const LOOPBACK: u32 = 1;

fn on_loopback(address: IpAddr) -> AddressMessage {
    match address {
        IpAddr::V4(v4) => AddressMessageBuilder::<Ipv4Addr>::new().index(LOOPBACK).address(v4, 32).build(),
        IpAddr::V6(v6) => AddressMessageBuilder::<Ipv6Addr>::new().index(LOOPBACK).address(v6, 128).build(),
    }
}

/// Runs `work` with a route netlink handle in the namespace of the calling thread, and waits for it: a set is not
/// ready before its address is.
fn with_routes<T: Send, F>(work: impl FnOnce(Handle) -> F + Send) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    // A runtime of its own, since the caller is in the middle of one; a thread is born into its parent's namespace.
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (connection, handle, _) =
                rtnetlink::new_connection().context("open a route netlink socket")?;
            let connection = tokio::spawn(connection);
            let done = work(handle).await;
            connection.abort();
            done
        })
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|_| Err(anyhow!("the thread that talks to the kernel panicked")))
}
