//! The handshake of TLS on both ends; afterwards a connection is one like any other.

use std::io;
use std::time::Duration;

use rustls::CommonState;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::tls::{self, PeerNames};

/// A partner that we may call: what its certificate must carry, and with what we introduce ourselves.
#[derive(Clone)]
pub(super) struct Partner {
    pub(super) server_name: ServerName<'static>,
    pub(super) name: Box<str>,
    pub(super) connector: TlsConnector,
}

impl std::fmt::Debug for Partner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partner").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A connection whose peer is verified, and what it has proved to be.
pub(super) type Verified = (Box<TlsStream<TcpStream>>, PeerNames);

/// Whoever calls must show a certificate of an authority that we believe; the verifier sees to it.
pub(super) async fn accept(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    limit: Duration,
) -> io::Result<Verified> {
    stream.set_nodelay(true)?;
    let stream = within(limit, acceptor.accept(stream)).await?;
    let names = names(stream.get_ref().1);
    Ok((Box::new(stream.into()), names.into()))
}

/// Whom we call must prove to be the one we mean.
pub(super) async fn connect(stream: TcpStream, partner: Partner, limit: Duration) -> io::Result<Verified> {
    stream.set_nodelay(true)?;
    let Partner { server_name, name, connector } = partner;
    let stream = within(limit, connector.connect(server_name, stream)).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    if !shown.is_some_and(|certificate| tls::carries(certificate, &name)) {
        let text = format!("the peer's certificate has {name} through a wildcard only");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut names = names(stream.get_ref().1);
    if !names.contains(&name) {
        names.push(name);
    }
    Ok((Box::new(stream.into()), names.into()))
}

fn names(connection: &CommonState) -> Vec<Box<str>> {
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    shown.map(tls::domains).unwrap_or_default()
}

async fn within<T>(limit: Duration, handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(limit, handshake).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(io::Error::new(error.kind(), format!("TLS handshake: {}", explained(&error)))),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "TLS handshake: the peer takes too long")),
    }
}

fn explained(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidMessage(_)) => format!("the peer does not speak TLS ({error})"),
        Some(rustls::Error::NoCertificatesPresented) => format!("the peer shows no certificate ({error})"),
        _ => error.to_string(),
    }
}
