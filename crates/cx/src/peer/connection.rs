//! What both ends of a connection need: whole messages in and out, the watchdog, identifiers.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use crate::CxError;
use crate::diameter::{Header, Ids, LONGEST_MESSAGE, Wire};

/// Messages that wait for the peer to read. Beyond that the reader waits as well.
const WAITING_WIRES: usize = 64;
/// A peer that takes nothing for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the peer said goodbye")]
    Goodbye,
    #[error("this end is going away")]
    Stopping,
    #[error("the peer gave no sign of life")]
    Silent,
    #[error("the peer does not speak Cx")]
    NoCommonApplication,
    #[error("the peer's first message was not a capabilities exchange")]
    NotIntroduced,
    #[error("the peer refused us: {0:?}")]
    Refused(crate::BaseCode),
    #[error("the peer sent what cannot be read: {0}")]
    Unreadable(#[from] CxError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

pub(super) struct Connection {
    pub(super) reader: Reader,
    pub(super) writer: mpsc::Sender<Wire>,
    pub(super) local: IpAddr,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?.ip();
        let (read_half, write_half) = stream.into_split();
        let (writer, wires) = mpsc::channel(WAITING_WIRES);
        tokio::spawn(write_all(write_half, wires));
        Ok(Self { reader: Reader::new(read_half), writer, local })
    }

    pub(super) async fn send(&self, wire: Wire) -> Result<(), End> {
        self.writer.send(wire).await.map_err(|_| End::Closed)
    }
}

/// Ends when the connection is dropped and what was queued has left, or the peer takes nothing any more.
async fn write_all(mut half: OwnedWriteHalf, mut wires: mpsc::Receiver<Wire>) {
    while let Some(wire) = wires.recv().await {
        match timeout(WRITE_TIMEOUT, half.write_all(wire.as_bytes())).await {
            Ok(Ok(())) => {}
            // The reader sees the end of the connection as well and reports it.
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// Cuts the octets of a connection into messages.
pub(super) struct Reader {
    half: OwnedReadHalf,
    /// Never grows, so no copy with keys in it stays behind.
    buffer: Zeroizing<Vec<u8>>,
    taken: usize,
}

impl Reader {
    fn new(half: OwnedReadHalf) -> Self {
        Self { half, buffer: Zeroizing::new(Vec::with_capacity(2 * LONGEST_MESSAGE)), taken: 0 }
    }

    /// The next whole message. Safe to drop and call again: what has been read stays.
    pub(super) async fn next(&mut self) -> Result<Zeroizing<Vec<u8>>, End> {
        loop {
            let unread = self.buffer.get(self.taken..).unwrap_or_default();
            if let Some(length) = Header::message_length(unread)?
                && let Some(message) = unread.get(..length)
            {
                let message = Zeroizing::new(message.to_vec());
                self.taken += length;
                return Ok(message);
            }
            self.buffer.drain(..self.taken);
            self.taken = 0;
            if self.half.read_buf(&mut *self.buffer).await? == 0 {
                return Err(End::Closed);
            }
        }
    }
}

/// Tells when to ask a silent peer for a sign of life, and when to give it up.
//= RFC 3539 3.4.1
pub(super) struct Watchdog {
    interval: Duration,
    pub(super) deadline: Instant,
    asked: bool,
}

impl Watchdog {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, deadline: Instant::now() + jittered(interval), asked: false }
    }

    pub(super) fn heard(&mut self) {
        self.deadline = Instant::now() + jittered(self.interval);
        self.asked = false;
    }

    /// At the deadline: whether to ask now. The second time in a row the peer is dead.
    pub(super) fn expired(&mut self) -> Result<(), End> {
        if self.asked {
            return Err(End::Silent);
        }
        self.heard();
        self.asked = true;
        Ok(())
    }
}

/// 30 s give 28 to 32 s.
fn jittered(interval: Duration) -> Duration {
    let spread = interval / 15;
    let part = f64::from(u32::try_from(random() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    interval - spread + spread.mul_f64(2.0 * part)
}

/// Unpredictable enough to keep two nodes out of step; no key depends on it.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Hop-by-Hop and End-to-End identifiers of the requests of one node.
pub(super) struct Counter {
    hop_by_hop: u32,
    end_to_end: u32,
    session_high: u32,
    session_low: u32,
}

impl Counter {
    pub(super) fn new() -> Self {
        let [a, b, c, d, e, f, g, h] = random().to_be_bytes();
        let session = u32::try_from(random() >> 32).unwrap_or(0);
        Self {
            hop_by_hop: u32::from_be_bytes([a, b, c, d]),
            end_to_end: u32::from_be_bytes([e, f, g, h]),
            session_high: session,
            session_low: 0,
        }
    }

    pub(super) fn next(&mut self) -> Ids {
        self.hop_by_hop = self.hop_by_hop.wrapping_add(1);
        self.end_to_end = self.end_to_end.wrapping_add(1);
        Ids { hop_by_hop: self.hop_by_hop, end_to_end: self.end_to_end }
    }

    //= RFC 6733 8.8
    pub(super) fn session_id(&mut self, host: &str) -> String {
        self.session_low = self.session_low.wrapping_add(1);
        format!("{host};{};{}", self.session_high, self.session_low)
    }
}
