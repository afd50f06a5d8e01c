//! The octets of one connection, in and out.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sip::Flow;
use sip::framing::{Frame, Framer, PONG};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Arrival;
use super::tls::Verified;
use crate::tls::PeerNames;

const READ_BYTES: usize = 16 << 10;
/// So long the end of TLS has to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection that is ready for SIP.
pub(super) enum Opened {
    Clear(TcpStream),
    Secured(Verified),
}

impl Opened {
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Clear(stream) => stream.local_addr(),
            Self::Secured((stream, _)) => stream.get_ref().0.local_addr(),
        }
    }
}

/// Reads and writes until either side ends.
pub(super) async fn converse(
    opened: Opened,
    flow: Flow,
    idle: Duration,
    arrivals: &mpsc::Sender<Arrival>,
    mut queue: mpsc::Receiver<Bytes>,
    outgoing: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    match opened {
        Opened::Clear(stream) => {
            stream.set_nodelay(true)?;
            let (reader, mut writer) = stream.into_split();
            tokio::select! {
                ended = read(reader, flow, None, idle, arrivals, outgoing) => ended,
                ended = write(&mut writer, &mut queue) => ended,
            }
        }
        Opened::Secured((stream, names)) => {
            let (reader, mut writer) = tokio::io::split(*stream);
            let ended = tokio::select! {
                ended = read(reader, flow, Some(names), idle, arrivals, outgoing) => ended,
                ended = write(&mut writer, &mut queue) => ended,
            };
            let _ = timeout(LAST_WORDS, writer.shutdown()).await;
            // In TLS 1.3 a peer that refuses our certificate says so only now.
            ended.inspect_err(|error| {
                if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                    tracing::warn!(remote = %flow.remote, local = %flow.local, %error, "TLS ended");
                }
            })
        }
    }
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), queue: &mut mpsc::Receiver<Bytes>) -> io::Result<()> {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, 64).await > 0 {
        // Messages that wait together leave together.
        if let [single] = batch.as_slice() {
            writer.write_all(single).await?;
        } else {
            writer.write_all(&batch.concat()).await?;
        }
        // TLS keeps what the socket does not take at once.
        writer.flush().await?;
        batch.clear();
    }
    Ok(())
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    flow: Flow,
    peer: Option<PeerNames>,
    idle: Duration,
    arrivals: &mpsc::Sender<Arrival>,
    outgoing: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let mut framer = Framer::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = timeout(idle, reader.read(&mut buffer)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        framer.push(bytes);
        loop {
            let arrival = match framer.next() {
                Ok(Some(Frame::Message(message))) => Arrival::Message { flow, message, peer: peer.clone() },
                Ok(Some(Frame::KeepAlivePing)) => {
                    let _ = outgoing.try_send(Bytes::from_static(PONG));
                    continue;
                }
                Ok(Some(Frame::KeepAlivePong)) => continue,
                Ok(Some(Frame::Malformed(error, octets))) => Arrival::Malformed { flow, error, octets },
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(local = %flow.local, remote = %flow.remote, %error, "stream is not SIP, closed");
                    return Err(io::ErrorKind::InvalidData.into());
                }
            };
            if arrivals.send(arrival).await.is_err() {
                return Ok(());
            }
        }
    }
}
