//! The octets of one connection, in and out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::shared::Shared;
use crate::diameter::{Header, LONGEST_MESSAGE, Wire};
use crate::peer::connection::{End, Proof, Side};

/// A peer that takes nothing for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// So long the last octets have to leave after the peer has closed its end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What is written at once, at most: many small messages, or one of the longest.
const BATCH: usize = LONGEST_MESSAGE;

/// Runs a connection until it ends. `stranger` goes when the peer has introduced itself.
pub(super) async fn run(
    shared: Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    side: Side,
    local: IpAddr,
    proof: Option<Proof>,
    stranger: Option<OwnedSemaphorePermit>,
) {
    let (id, wake) = shared.opened(side, local, proof);
    let mut closed = Closed { shared: Arc::clone(&shared), id, why: End::Stopping };
    let (reader, writer) = tokio::io::split(stream);
    let written = Notify::new();
    let writing = write_all(&shared, id, writer, &wake, &written);
    tokio::pin!(writing);
    closed.why = tokio::select! {
        why = read_all(&shared, id, reader, &written, stranger) => {
            shared.with(|node, now| node.end(now, id, why));
            let _ = timeout(LAST_WORDS, &mut writing).await;
            why
        }
        why = &mut writing => why,
    };
}

/// Tells the node, also when the task is dropped.
struct Closed {
    shared: Arc<Shared>,
    id: u64,
    why: End,
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.shared.with(|node, now| node.closed(now, self.id, self.why));
        self.shared.forget(self.id);
    }
}

/// Cuts what comes into messages. All that have come at once are handed over at once.
async fn read_all(
    shared: &Arc<Shared>,
    id: u64,
    mut reader: impl AsyncRead + Unpin,
    written: &Notify,
    mut stranger: Option<OwnedSemaphorePermit>,
) -> End {
    // Never grows, so no copy with keys in it stays behind: less than one message is left in it before each read.
    let mut buffer = Zeroizing::new(Vec::with_capacity(2 * LONGEST_MESSAGE));
    loop {
        while shared.with(|node, _| node.backlogged(id)) {
            written.notified().await;
        }
        match reader.read_buf(&mut *buffer).await {
            Ok(0) => return End::Closed,
            Ok(_) => {}
            Err(error) => return End::Io(error.kind()),
        }
        let taken = shared.with(|node, now| {
            let mut taken = 0;
            loop {
                let unread = buffer.get(taken..).unwrap_or_default();
                let Some(length) = Header::message_length(unread)? else { return Ok(taken) };
                let Some(message) = unread.get(..length) else { return Ok(taken) };
                node.received(now, id, message);
                taken += length;
            }
        });
        if stranger.is_some() && shared.with(|node, _| node.is_introduced(id)) {
            stranger = None;
        }
        match taken {
            Ok(taken) => drop(buffer.drain(..taken)),
            Err(error) => return crate::CxError::into(error),
        }
    }
}

/// Ends when the connection is to be closed and what it had to say is said.
async fn write_all(
    shared: &Arc<Shared>,
    id: u64,
    mut writer: impl AsyncWrite + Unpin,
    wake: &Notify,
    written: &Notify,
) -> End {
    // Never grows, for the same reason.
    let mut batch = Zeroizing::new(Vec::with_capacity(BATCH));
    loop {
        let (wires, ended) = shared.with(|node, _| node.take(id));
        if wires.is_empty() {
            if ended {
                let _ = timeout(LAST_WORDS, writer.shutdown()).await;
                return End::Closed;
            }
            wake.notified().await;
            continue;
        }
        for wire in wires.iter().map(Wire::as_bytes) {
            if batch.len() + wire.len() > BATCH
                && let Err(end) = write(&mut writer, &mut batch).await
            {
                return end;
            }
            batch.extend_from_slice(wire);
        }
        if let Err(end) = write(&mut writer, &mut batch).await {
            return end;
        }
        written.notify_one();
    }
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), batch: &mut Vec<u8>) -> Result<(), End> {
    let writing = async {
        writer.write_all(batch).await?;
        writer.flush().await
    };
    match timeout(WRITE_TIMEOUT, writing).await {
        Ok(Ok(())) => {
            batch.clear();
            Ok(())
        }
        Ok(Err(error)) => Err(End::Io(error.kind())),
        Err(_) => Err(End::Stuck),
    }
}
