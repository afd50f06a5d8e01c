use std::io;
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::{Zb, ZbError, ZbLink};
use crate::Engine;

/// The protected pairs of one role, until it is dropped. No key stays in it.
#[derive(Debug, Default)]
pub struct ZbInterfaces {
    /// None where nothing is protected: then no right and no ESP is needed.
    engine: Option<Engine>,
    held: Vec<Held>,
    started: bool,
}

#[derive(Debug)]
struct Held {
    link: ZbLink,
    /// A run before, which was killed, had protected it: nothing passes in clear until this one ends in good order.
    taken_over: bool,
    /// The kernel lets go of it with our process, however that ends.
    _reservation: UnixDatagram,
}

impl ZbInterfaces {
    /// Protects all of these pairs or none, in the network namespace of the calling thread. Bind sockets after it.
    pub fn secure(pairs: Vec<Zb>) -> Result<Self, ZbError> {
        let mut interfaces = Self::default();
        if pairs.is_empty() {
            return Ok(interfaces);
        }
        let engine = interfaces.engine.insert(Engine::open()?);
        for zb in &pairs {
            let reservation = reserve(zb.link.local, zb.link.peer)?;
            let taken_over = engine.secure(zb)?;
            let ZbLink { local, peer, algorithms, mode, .. } = zb.link;
            tracing::info!(%local, %peer, %algorithms, ?mode, "ESP with manual keys");
            interfaces.held.push(Held { link: zb.link, taken_over, _reservation: reservation });
        }
        Ok(interfaces)
    }

    /// The role serves: from now on its end is an end in good order.
    pub fn started(&mut self) {
        self.started = true;
    }
}

impl Drop for ZbInterfaces {
    fn drop(&mut self) {
        let Some(engine) = &mut self.engine else { return };
        for Held { link, taken_over, .. } in &self.held {
            let stays_shut = *taken_over && !self.started;
            let removed = if stays_shut { engine.shut(link) } else { engine.unsecure(link) };
            if let Err(error) = removed {
                tracing::error!(peer = %link.peer, %error, "the kernel keeps what protects a pair, failed to");
            }
        }
    }
}

/// An abstract socket belongs to the network namespace, as the states do: whoever binds it has the pair.
fn reserve(local: IpAddr, peer: IpAddr) -> Result<UnixDatagram, ZbError> {
    let name = format!("akasec zb {local} {peer}");
    let bound = SocketAddr::from_abstract_name(name).and_then(|name| UnixDatagram::bind_addr(&name));
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ZbError::Held { local, peer },
        _ => ZbError::Reserve { local, peer, source },
    })
}
