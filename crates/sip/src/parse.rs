//! From a datagram to the table of its lines. Everything a [`Message`] promises is checked here, once.

use crate::header::{CSeq, NameAddr, Via};
use crate::{Draft, Message, Method, Name, text};
use memchr::{memchr, memchr_iter};
use std::ops::Range;

/// Longest head accepted, in octets (`spec/09` section 7).
pub(crate) const HEAD_LIMIT: usize = 64 * 1024;
const LINE_LIMIT: usize = 8 * 1024;
const LINES_LIMIT: usize = 1024;
/// A message with more lines costs one allocation more.
const USUAL_LINES: usize = 32;
const VALUES_LIMIT: usize = 100;

/// Why bytes are not a SIP message, or a value not what its header wants. Never holds message content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    #[error("find the end of the head")]
    HeadUnterminated,
    #[error("accept a head over the size limit")]
    HeadTooLarge,
    #[error("accept a header line over the size limit")]
    LineTooLong,
    #[error("accept that many header lines")]
    TooManyLines,
    #[error("accept a NUL octet in the head")]
    Nul,
    #[error("read the head as UTF-8")]
    NotUtf8,
    #[error("accept a line end that is not CR LF")]
    BareLineEnd,
    #[error("read the start line")]
    StartLine,
    #[error("read a header name")]
    HeaderName,
    #[error("find the mandatory header {}", .0.as_str())]
    Missing(Name),
    #[error("accept the repeated header {}", .0.as_str())]
    Repeated(Name),
    #[error("read the header {}", .0.as_str())]
    Malformed(Name),
    #[error("accept that many values of {}", .0.as_str())]
    TooManyValues(Name),
    #[error("match the CSeq method with the request")]
    MethodMismatch,
    #[error("find the whole body")]
    BodyTruncated,
    #[error("read the URI")]
    Uri,
    #[error("read the authentication parameters")]
    AuthParams,
}

impl ParseError {
    /// Whether the head could be taken apart, so that [`refusal`] may be able to answer 400.
    pub const fn answerable(self) -> bool {
        matches!(
            self,
            Self::Missing(_)
                | Self::Repeated(_)
                | Self::Malformed(_)
                | Self::TooManyValues(_)
                | Self::MethodMismatch
                | Self::BodyTruncated
        )
    }
}

/// A stretch of the buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) fn new(range: Range<usize>) -> Self {
        // A head is at most 64 KiB, a body 4 GiB: a longer buffer yields an empty span, not a wrong one.
        match (u32::try_from(range.start), u32::try_from(range.end)) {
            (Ok(start), Ok(end)) if start <= end => Self { start, end },
            _ => Self { start: 0, end: 0 },
        }
    }

    pub(crate) const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: Name,
    pub(crate) spelling: Span,
    pub(crate) value: Span,
}

#[derive(Clone, Copy)]
pub(crate) enum Start {
    Request { method: Span, uri: Span },
    Response { status: u16, reason: Span },
}

pub(crate) struct Table {
    pub(crate) start: Start,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: Range<usize>,
}

/// Takes the head apart in one pass; unfolds in place (CR LF before white space becomes two spaces).
pub(crate) fn scan(buffer: &mut [u8]) -> Result<Table, ParseError> {
    let mut at = 0;
    // RFC 3261 7.5: CRLF before the start line is ignored.
    while buffer.get(at..).is_some_and(|rest| rest.starts_with(b"\r\n")) {
        at += 2;
    }
    let first = at;
    let limit = buffer.len().min(at + HEAD_LIMIT);
    let over = buffer.len() > limit;
    let unterminated = if over { ParseError::HeadTooLarge } else { ParseError::HeadUnterminated };
    let mut head = Head { bytes: &mut buffer[..limit], line_ends: 0, unterminated };
    let line_end = head.line_end(at)?;
    let start = start_line(head.bytes, at..line_end)?;
    at = line_end + 2;
    let mut fields = Vec::with_capacity(USUAL_LINES);
    loop {
        let line_end = head.unfolded_end(at)?;
        if line_end == at {
            break;
        }
        if line_end - at > LINE_LIMIT {
            return Err(ParseError::LineTooLong);
        }
        if fields.len() == LINES_LIMIT {
            return Err(ParseError::TooManyLines);
        }
        fields.push(field(head.bytes, at..line_end)?);
        at = line_end + 2;
    }
    let line_ends = head.line_ends;
    let head = &buffer[first..at + 2];
    if memchr(0, head).is_some() {
        return Err(ParseError::Nul);
    }
    if std::str::from_utf8(head).is_err() {
        return Err(ParseError::NotUtf8);
    }
    // Each LF follows a CR, so equal numbers mean that no CR stands alone.
    if memchr_iter(b'\r', head).count() != line_ends {
        return Err(ParseError::BareLineEnd);
    }
    Ok(Table { start, fields, body: at + 2..buffer.len() })
}

struct Head<'a> {
    bytes: &'a mut [u8],
    /// CR LF pairs still in the bytes.
    line_ends: usize,
    unterminated: ParseError,
}

impl Head<'_> {
    /// Where the CR of this line stands.
    fn line_end(&mut self, at: usize) -> Result<usize, ParseError> {
        let line = memchr(b'\n', self.bytes.get(at..).unwrap_or_default()).ok_or(self.unterminated)?;
        self.line_ends += 1;
        if line > 0 && self.bytes[at + line - 1] == b'\r' {
            Ok(at + line - 1)
        } else {
            Err(ParseError::BareLineEnd)
        }
    }

    fn unfolded_end(&mut self, at: usize) -> Result<usize, ParseError> {
        let mut from = at;
        loop {
            let end = self.line_end(from)?;
            // The empty line ends the head, whatever the body begins with.
            if end == at || !matches!(self.bytes.get(end + 2), Some(b' ' | b'\t')) {
                return Ok(end);
            }
            self.bytes[end] = b' ';
            self.bytes[end + 1] = b' ';
            self.line_ends -= 1;
            from = end + 2;
        }
    }
}

fn start_line(head: &[u8], line: Range<usize>) -> Result<Start, ParseError> {
    let bytes = &head[line.clone()];
    if matches!(head.get(line.end + 2), Some(b' ' | b'\t')) || bytes.len() > LINE_LIMIT {
        return Err(ParseError::StartLine);
    }
    if let Some(rest) = bytes.strip_prefix(b"SIP/2.0 ") {
        let (digits, reason) = rest.split_at_checked(3).ok_or(ParseError::StartLine)?;
        let digits = std::str::from_utf8(digits).map_err(|_| ParseError::StartLine)?;
        let status = text::number::<u16>(digits).filter(|status| (100..700).contains(status));
        let reason = match reason {
            [] => line.end..line.end,
            [b' ', ..] => line.end - reason.len() + 1..line.end,
            _ => return Err(ParseError::StartLine),
        };
        return Ok(Start::Response {
            status: status.ok_or(ParseError::StartLine)?,
            reason: Span::new(reason),
        });
    }
    let space = memchr(b' ', bytes).ok_or(ParseError::StartLine)?;
    let uri = bytes[space + 1..].strip_suffix(b" SIP/2.0").ok_or(ParseError::StartLine)?;
    let method = &bytes[..space];
    if method.is_empty() || !method.iter().copied().all(text::is_token_octet) {
        return Err(ParseError::StartLine);
    }
    // RFC 3261 7.1: no white space or control characters in the Request-URI.
    if uri.is_empty() || uri.iter().any(|octet| *octet <= b' ' || *octet == 0x7f) {
        return Err(ParseError::StartLine);
    }
    let uri_at = line.start + space + 1;
    Ok(Start::Request {
        method: Span::new(line.start..line.start + space),
        uri: Span::new(uri_at..uri_at + uri.len()),
    })
}

fn field(head: &[u8], line: Range<usize>) -> Result<Field, ParseError> {
    let bytes = &head[line.clone()];
    let colon = memchr(b':', bytes).ok_or(ParseError::HeaderName)?;
    let spelling = bytes[..colon].trim_ascii_end();
    let name = Name::parse(spelling);
    let token = || !spelling.is_empty() && spelling.iter().copied().all(text::is_token_octet);
    if name == Name::Other && !token() {
        return Err(ParseError::HeaderName);
    }
    let value = bytes[colon + 1..].trim_ascii_start();
    let value_at = line.end - value.len();
    let value = value.trim_ascii_end();
    Ok(Field {
        name,
        spelling: Span::new(line.start..line.start + spelling.len()),
        value: Span::new(value_at..value_at + value.len()),
    })
}

/// What a message promises beyond the shape of its lines.
pub(crate) fn check(message: &Message) -> Result<(), ParseError> {
    let mut seen = 0_u128;
    let (mut vias, mut routes) = (0, 0);
    for (name, value) in message.spans() {
        let bit = 1_u128 << (name as u8);
        if seen & bit != 0 && name.is_single() {
            return Err(ParseError::Repeated(name));
        }
        seen |= bit;
        match name {
            Name::Via => vias += text::list(message.text(value)).count(),
            Name::Route => routes += text::list(message.text(value)).count(),
            Name::MaxForwards => {
                text::number::<u32>(message.text(value)).ok_or(ParseError::Malformed(name))?;
            }
            Name::From | Name::To | Name::CallId | Name::CSeq => {
                mandatory(message, name, message.text(value))?
            }
            _ => {}
        }
    }
    if vias > VALUES_LIMIT {
        return Err(ParseError::TooManyValues(Name::Via));
    }
    if routes > VALUES_LIMIT {
        return Err(ParseError::TooManyValues(Name::Route));
    }
    let missing = MANDATORY.into_iter().find(|name| seen & 1 << (*name as u8) == 0);
    missing.map_or_else(|| top_via(message), |name| Err(ParseError::Missing(name)))
}

const MANDATORY: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

fn mandatory(message: &Message, name: Name, value: &str) -> Result<(), ParseError> {
    match name {
        Name::CallId if value.is_empty() || value.bytes().any(|octet| octet <= b' ') => {
            Err(ParseError::Malformed(name))
        }
        Name::CallId => Ok(()),
        Name::CSeq => {
            let cseq = CSeq::parse(value)?;
            let same = !message.is_request() || message.method() == cseq.method;
            if same { Ok(()) } else { Err(ParseError::MethodMismatch) }
        }
        _ => NameAddr::parse(value).map(|_| ()).ok_or(ParseError::Malformed(name)),
    }
}

fn top_via(message: &Message) -> Result<(), ParseError> {
    let via = message.values(Name::Via).next().ok_or(ParseError::Malformed(Name::Via))?;
    Via::parse(via).map(|_| ())
}

/// The body RFC 3261 18.3 lets a datagram have.
pub(crate) fn body(message: &Message, available: Range<usize>) -> Result<Range<usize>, ParseError> {
    let Some(length) = message.first(Name::ContentLength) else {
        return Ok(available);
    };
    let length = text::number::<usize>(length).ok_or(ParseError::Malformed(Name::ContentLength))?;
    if length > available.len() {
        return Err(ParseError::BodyTruncated);
    }
    Ok(available.start..available.start + length)
}

/// The 400 for a datagram that [`Message::parse`] refused, when it is a request whose Via, From, To, Call-ID and
/// CSeq can be copied. Never for ACK (RFC 3261 17).
pub fn refusal(datagram: impl Into<Vec<u8>>, to_tag: &str) -> Option<Message> {
    let mut buffer = datagram.into();
    let table = scan(&mut buffer).ok()?;
    let message = Message::unchecked(buffer, table);
    if !message.is_request() || message.method() == Method::Ack {
        return None;
    }
    top_via(&message).ok()?;
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        match mandatory(&message, name, message.first(name)?) {
            Ok(()) | Err(ParseError::MethodMismatch) => {}
            Err(_) => return None,
        }
    }
    Some(Draft::reply(&message, 400, "Bad Request", Some(to_tag)).finish())
}
