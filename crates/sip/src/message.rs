//! A SIP message as byte ranges over the one buffer it came in.

use crate::header::{AuthParams, CSeq, Challenge, Contacts, Credentials, NameAddr, Via};
use crate::parse::{self, Field, Span, Start, Table};
use crate::{Method, Name, ParseError, text};
use bytes::Bytes;
use std::fmt;

/// A message that exists has a valid start line, a UTF-8 head without NUL, and Via, From, To, Call-ID and CSeq that
/// parse. (One made by [`Draft::finish`](crate::Draft::finish) has what its maker put in.) No value holds CR or LF.
#[derive(Clone)]
pub struct Message {
    buffer: Bytes,
    start: Start,
    fields: Vec<Field>,
    body: Span,
}

impl Message {
    /// Reads a whole datagram, or one frame of a stream. Allocates the header table and nothing else when handed a
    /// `Vec<u8>` without spare capacity.
    pub fn parse(buffer: impl Into<Vec<u8>>) -> Result<Self, ParseError> {
        let mut buffer = buffer.into();
        let table = parse::scan(&mut buffer)?;
        let available = table.body.clone();
        let mut message = Self::unchecked(buffer, table);
        parse::check(&message)?;
        message.body = Span::new(parse::body(&message, available)?);
        Ok(message)
    }

    pub(crate) fn unchecked(buffer: Vec<u8>, table: Table) -> Self {
        Self { buffer: buffer.into(), start: table.start, fields: table.fields, body: Span::new(table.body) }
    }

    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The request's method, or for a response the one in CSeq.
    pub fn method(&self) -> Method<'_> {
        match self.start {
            Start::Request { method, .. } => Method::parse(self.text(method)),
            Start::Response { .. } => self.cseq().map_or(Method::Other(""), |cseq| cseq.method),
        }
    }

    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Response { status, .. } => Some(status),
            Start::Request { .. } => None,
        }
    }

    pub fn reason(&self) -> Option<&str> {
        match self.start {
            Start::Response { reason, .. } => Some(self.text(reason)),
            Start::Request { .. } => None,
        }
    }

    pub fn request_uri(&self) -> Option<&str> {
        match self.start {
            Start::Request { uri, .. } => Some(self.text(uri)),
            Start::Response { .. } => None,
        }
    }

    /// The first line of that name, trimmed.
    pub fn first(&self, name: Name) -> Option<&str> {
        self.fields.iter().find(|field| field.name == name).map(|field| self.text(field.value))
    }

    /// All lines of that name, in order.
    pub fn lines(&self, name: Name) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |field| field.name == name).map(|field| self.text(field.value))
    }

    /// All values of that name over all its lines, in order; comma lists are split where the header is one.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &str> {
        self.lines(name).flat_map(move |line| {
            let (single, list) =
                if name.is_list() { (None, text::list(line)) } else { (Some(line), text::list("")) };
            single.into_iter().chain(list)
        })
    }

    /// The first line of a name we have no enum value for, case-insensitive.
    pub fn named(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|field| self.text(field.spelling).eq_ignore_ascii_case(name))
            .map(|field| self.text(field.value))
    }

    /// Every line: name, name as written, value.
    pub fn fields(&self) -> impl Iterator<Item = (Name, &str, &str)> {
        self.fields.iter().map(|field| (field.name, self.text(field.spelling), self.text(field.value)))
    }

    pub(crate) fn spans(&self) -> impl Iterator<Item = (Name, Span)> {
        self.fields.iter().map(|field| (field.name, field.value))
    }

    pub fn body(&self) -> &[u8] {
        self.buffer.get(self.body.range()).unwrap_or_default()
    }

    /// The whole message as it goes on the wire.
    pub fn bytes(&self) -> Bytes {
        self.buffer.slice(..self.body.range().end.min(self.buffer.len()))
    }

    pub fn top_via(&self) -> Result<Via<'_>, ParseError> {
        Via::parse(self.values(Name::Via).next().ok_or(ParseError::Missing(Name::Via))?)
    }

    pub fn from(&self) -> Result<NameAddr<'_>, ParseError> {
        self.address(Name::From)
    }

    pub fn to(&self) -> Result<NameAddr<'_>, ParseError> {
        self.address(Name::To)
    }

    /// The first value of a header that holds addresses.
    pub fn address(&self, name: Name) -> Result<NameAddr<'_>, ParseError> {
        let value = self.values(name).next().ok_or(ParseError::Missing(name))?;
        NameAddr::parse(value).ok_or(ParseError::Malformed(name))
    }

    /// All values of a header that holds addresses (Route, Path, P-Asserted-Identity...).
    pub fn addresses(&self, name: Name) -> impl Iterator<Item = Result<NameAddr<'_>, ParseError>> {
        self.values(name).map(move |value| NameAddr::parse(value).ok_or(ParseError::Malformed(name)))
    }

    /// Empty only in a message a draft made without one.
    pub fn call_id(&self) -> &str {
        self.first(Name::CallId).unwrap_or_default()
    }

    pub fn cseq(&self) -> Result<CSeq<'_>, ParseError> {
        CSeq::parse(self.first(Name::CSeq).ok_or(ParseError::Missing(Name::CSeq))?)
    }

    pub fn contacts(&self) -> Result<Contacts<'_>, ParseError> {
        Contacts::parse(self.values(Name::Contact))
    }

    /// The Expires header, in seconds; `None` when absent or not a number (RFC 3261 20.19: then the default holds).
    pub fn expires(&self) -> Option<u32> {
        self.first(Name::Expires).and_then(crate::header::delta_seconds)
    }

    pub fn max_forwards(&self) -> Option<u32> {
        self.first(Name::MaxForwards).and_then(text::number)
    }

    /// The first Digest credentials.
    pub fn authorization(&self) -> Option<Result<Credentials<'_>, ParseError>> {
        self.first(Name::Authorization).map(Credentials::parse)
    }

    /// The first Digest challenge, as RFC 8760 has it for several header lines; an error where there are only others.
    pub fn www_authenticate(&self) -> Option<Result<Challenge<'_>, ParseError>> {
        let mut lines = self.lines(Name::WwwAuthenticate);
        let digest = lines.find(|line| AuthParams::digest(line).is_some());
        digest.or_else(|| self.first(Name::WwwAuthenticate)).map(Challenge::parse)
    }

    /// The span was validated as UTF-8 with its head; a slice that is not (none is) reads as empty.
    pub(crate) fn text(&self, span: Span) -> &str {
        self.buffer.get(span.range()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for Message {
    /// The start line and the Call-ID only: ik, ck and the response live in the other lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start {
            Start::Request { method, uri } => write!(f, "{} {}", self.text(method), self.text(uri))?,
            Start::Response { status, reason } => write!(f, "{status} {}", self.text(reason))?,
        }
        write!(f, " ({})", self.call_id())
    }
}
