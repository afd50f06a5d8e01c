//! Messages out of a byte stream. Where two readers could disagree about where a message ends, the stream ends
//! instead (RFC 3261 18.3; `spec/09` section 5).

use crate::parse::HEAD_LIMIT;
use crate::{Message, Name, ParseError, text};
use memchr::{memchr, memmem};

/// Why a stream cannot be read on. The connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    #[error("accept a head over the size limit")]
    HeadTooLarge,
    #[error("accept a body over the size limit")]
    BodyTooLarge,
    #[error("find Content-Length")]
    LengthMissing,
    #[error("accept more than one Content-Length")]
    LengthRepeated,
    #[error("read Content-Length")]
    LengthMalformed,
    #[error("read the lines of the head")]
    Head,
}

impl FramingError {
    /// The status to answer with before closing, where an answer can be made.
    pub const fn status(self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::BodyTooLarge => 513,
            _ => 400,
        }
    }
}

/// What the stream held next.
pub enum Frame {
    Message(Message),
    /// CRLF CRLF between messages; answer with [`PONG`] (RFC 5626 4.4.1).
    KeepAlivePing,
    /// One CRLF between messages: the answer to a ping of ours.
    KeepAlivePong,
    /// The frame was sound, the message in it was not. The octets are there for [`crate::refusal`].
    Malformed(ParseError, Vec<u8>),
}

impl std::fmt::Debug for Frame {
    /// What is malformed may still hold ik, ck or a response: only the number of its octets is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(message) => write!(f, "Message({message:?})"),
            Self::KeepAlivePing => f.write_str("KeepAlivePing"),
            Self::KeepAlivePong => f.write_str("KeepAlivePong"),
            Self::Malformed(error, octets) => write!(f, "Malformed({error:?}, {} octets)", octets.len()),
        }
    }
}

/// The answer to [`Frame::KeepAlivePing`].
pub const PONG: &[u8] = b"\r\n";

/// Collects stream octets and hands out frames.
pub struct Framer {
    buffer: Vec<u8>,
    /// Octets of the buffer already handed out.
    taken: usize,
    /// Up to here (from `taken`) there is no end of head.
    searched: usize,
    /// Length of the frame whose head has been read.
    expected: Option<usize>,
    body_limit: usize,
    failed: Option<FramingError>,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(64 * 1024)
    }
}

impl Framer {
    /// `body_limit` in octets.
    pub const fn new(body_limit: usize) -> Self {
        Self { buffer: Vec::new(), taken: 0, searched: 0, expected: None, body_limit, failed: None }
    }

    /// Call [`Framer::next`] until it has no more before pushing again: that bounds the memory.
    pub fn push(&mut self, octets: &[u8]) {
        if self.failed.is_none() {
            self.buffer.drain(..self.taken);
            self.taken = 0;
            self.buffer.extend_from_slice(octets);
        }
    }

    /// `Ok(None)`: more octets needed. After an error, the same error for ever.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Frame>, FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.frame().inspect_err(|error| {
            self.failed = Some(*error);
            self.buffer = Vec::new();
            self.taken = 0;
        })
    }

    /// Octets waiting for the rest of their frame.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.taken
    }

    fn frame(&mut self) -> Result<Option<Frame>, FramingError> {
        let waiting = &self.buffer[self.taken..];
        if self.expected.is_none() {
            match waiting {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.taken += 4;
                    return Ok(Some(Frame::KeepAlivePing));
                }
                // It may become a ping: wait for the next octets.
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] => {
                    self.taken += 2;
                    return Ok(Some(Frame::KeepAlivePong));
                }
                _ => {}
            }
        }
        let end = match self.expected {
            Some(end) => end,
            None => {
                let window = &waiting[..waiting.len().min(HEAD_LIMIT)];
                let Some(found) = memmem::find(&window[self.searched..], b"\r\n\r\n") else {
                    if waiting.len() >= HEAD_LIMIT {
                        return Err(FramingError::HeadTooLarge);
                    }
                    self.searched = waiting.len().saturating_sub(3);
                    return Ok(None);
                };
                let head_end = self.searched + found + 4;
                let length = content_length(&waiting[..head_end - 2])?;
                if length > self.body_limit {
                    return Err(FramingError::BodyTooLarge);
                }
                *self.expected.insert(head_end + length)
            }
        };
        let Some(frame) = waiting.get(..end) else { return Ok(None) };
        let parsed = match Message::parse(frame) {
            Ok(message) => Frame::Message(message),
            Err(error) => Frame::Malformed(error, frame.to_vec()),
        };
        self.taken += end;
        self.searched = 0;
        self.expected = None;
        Ok(Some(parsed))
    }
}

impl std::fmt::Debug for Framer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Framer {{ {} octets, failed: {:?} }}", self.buffered(), self.failed)
    }
}

/// Exactly one Content-Length, in digits. A bare CR or LF, or a line that is no header, is refused: another reader
/// might end the head there.
fn content_length(head: &[u8]) -> Result<usize, FramingError> {
    if memchr(0, head).is_some() {
        return Err(FramingError::Head);
    }
    let mut length = None;
    let mut last_was_length = false;
    let mut lines = head.strip_suffix(b"\r\n").unwrap_or(head);
    let mut first = true;
    loop {
        let end = memmem::find(lines, b"\r\n").unwrap_or(lines.len());
        let line = &lines[..end];
        if line.iter().any(|octet| matches!(octet, b'\r' | b'\n')) {
            return Err(FramingError::Head);
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            // A folded number is two numbers to some, one to others.
            if first || last_was_length && !line.trim_ascii().is_empty() {
                return Err(FramingError::LengthMalformed);
            }
        } else if !first {
            let colon = memchr(b':', line).ok_or(FramingError::Head)?;
            let name = line[..colon].trim_ascii_end();
            if name.is_empty() || !name.iter().copied().all(text::is_token_octet) {
                return Err(FramingError::Head);
            }
            last_was_length = Name::parse(name) == Name::ContentLength;
            if last_was_length && length.replace(digits(&line[colon + 1..])?).is_some() {
                return Err(FramingError::LengthRepeated);
            }
        }
        first = false;
        match lines.get(end + 2..) {
            Some(rest) => lines = rest,
            None => return length.ok_or(FramingError::LengthMissing),
        }
    }
}

fn digits(value: &[u8]) -> Result<usize, FramingError> {
    let value = std::str::from_utf8(value).map_err(|_| FramingError::Head)?;
    text::number(value.trim_ascii()).ok_or(FramingError::LengthMalformed)
}
