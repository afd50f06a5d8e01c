//! Building and forwarding: a list of lines, mostly borrowed, written into one buffer at the end.
//!
//! Header injection is impossible by construction: whatever a value holds, CR, LF and NUL are written as spaces,
//! a Request-URI is written without blanks or controls (they become `%XX`), and a name keeps its token octets only.

use crate::message::Message;
use crate::parse::{Field, Span, Start, Table};
use crate::{Method, Name, text};
use memchr::memchr3;
use std::borrow::Cow;

/// A message in the making.
pub struct Draft<'a> {
    start: Opening<'a>,
    lines: Vec<Line<'a>>,
    body: Cow<'a, [u8]>,
}

enum Opening<'a> {
    Request { method: Cow<'a, str>, uri: Cow<'a, str> },
    Response { status: u16, reason: Cow<'a, str> },
}

struct Line<'a> {
    name: Name,
    spelling: Cow<'a, str>,
    value: Cow<'a, str>,
}

impl<'a> Line<'a> {
    fn known(name: Name, value: Cow<'a, str>) -> Self {
        Self { name, spelling: Cow::Borrowed(name.as_str()), value }
    }
}

impl<'a> Draft<'a> {
    /// A request without any header yet.
    pub fn request(method: Method<'a>, uri: impl Into<Cow<'a, str>>) -> Self {
        let start = Opening::Request { method: Cow::Borrowed(method.as_str()), uri: uri.into() };
        Self { start, lines: Vec::with_capacity(16), body: Cow::Borrowed(&[]) }
    }

    /// A response to `request`: its Via lines, From, To (with `to_tag` when it has no tag), Call-ID, CSeq.
    pub fn reply(
        request: &'a Message,
        status: u16,
        reason: impl Into<Cow<'a, str>>,
        to_tag: Option<&str>,
    ) -> Self {
        //= RFC 3261 8.2.6.2
        let mut lines = Vec::with_capacity(16);
        lines.extend(request.lines(Name::Via).map(|via| Line::known(Name::Via, Cow::Borrowed(via))));
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            let Some(value) = request.first(name) else { continue };
            let tagged = name != Name::To || request.to().is_ok_and(|to| to.tag().is_some());
            let value = match to_tag {
                Some(tag) if !tagged => Cow::Owned(format!("{value};tag={tag}")),
                _ => Cow::Borrowed(value),
            };
            lines.push(Line::known(name, value));
        }
        Self { start: Opening::Response { status, reason: reason.into() }, lines, body: Cow::Borrowed(&[]) }
    }

    /// A copy of `message`, all lines and the body borrowed.
    pub fn forward(message: &'a Message) -> Self {
        let start = match (message.request_uri(), message.status()) {
            (Some(uri), _) => {
                Opening::Request { method: Cow::Borrowed(message.method().as_str()), uri: Cow::Borrowed(uri) }
            }
            (None, status) => Opening::Response {
                status: status.unwrap_or(500),
                reason: Cow::Borrowed(message.reason().unwrap_or_default()),
            },
        };
        let mut lines = Vec::with_capacity(32);
        lines.extend(message.fields().map(|(name, spelling, value)| Line {
            name,
            spelling: Cow::Borrowed(if name == Name::Other { spelling } else { name.as_str() }),
            value: Cow::Borrowed(value),
        }));
        Self { start, lines, body: Cow::Borrowed(message.body()) }
    }

    pub const fn is_request(&self) -> bool {
        matches!(self.start, Opening::Request { .. })
    }

    /// The method as written; `None` for a response.
    pub fn method(&self) -> Option<&str> {
        match &self.start {
            Opening::Request { method, .. } => Some(method),
            Opening::Response { .. } => None,
        }
    }

    /// All lines of that name as they stand, in order.
    pub fn lines(&self, name: Name) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |line| line.name == name).map(|line| line.value.as_ref())
    }

    /// The first line of that name as it stands.
    pub fn first(&self, name: Name) -> Option<&str> {
        self.lines(name).next()
    }

    /// No effect on a response.
    pub fn set_request_uri(&mut self, to: impl Into<Cow<'a, str>>) -> &mut Self {
        if let Opening::Request { uri, .. } = &mut self.start {
            *uri = to.into();
        }
        self
    }

    /// No effect on a request.
    pub fn set_status(&mut self, to: u16, because: impl Into<Cow<'a, str>>) -> &mut Self {
        if let Opening::Response { status, reason } = &mut self.start {
            (*status, *reason) = (to, because.into());
        }
        self
    }

    /// Adds a line at the end.
    pub fn push(&mut self, name: Name, value: impl Into<Cow<'a, str>>) -> &mut Self {
        self.lines.push(Line::known(name, value.into()));
        self
    }

    /// Adds a line before the first of that name, or at the very top.
    pub fn push_front(&mut self, name: Name, value: impl Into<Cow<'a, str>>) -> &mut Self {
        let at = self.position(name).unwrap_or(0);
        self.lines.insert(at, Line::known(name, value.into()));
        self
    }

    /// One line of that name, in the place of the first; the others go.
    pub fn set(&mut self, name: Name, value: impl Into<Cow<'a, str>>) -> &mut Self {
        self.replace_values(name, [value.into()])
    }

    /// Removes every line of that name.
    pub fn remove(&mut self, name: Name) -> &mut Self {
        self.lines.retain(|line| line.name != name);
        self
    }

    /// Removes every line of that name, known or not.
    pub fn remove_named(&mut self, name: &str) -> &mut Self {
        match Name::parse(name.as_bytes()) {
            Name::Other => self.lines.retain(|line| !line.spelling.eq_ignore_ascii_case(name)),
            known => self.lines.retain(|line| line.name != known),
        }
        self
    }

    /// Removes the first value (the top Via, the top Route), also when its line holds more than one.
    pub fn remove_first_value(&mut self, name: Name) -> &mut Self {
        let Some(at) = self.position(name) else { return self };
        let line = &mut self.lines[at];
        let rest = match &line.value {
            Cow::Borrowed(value) => Cow::Borrowed(after_first(value)),
            Cow::Owned(value) => Cow::Owned(after_first(value).to_owned()),
        };
        if name.is_list() && !rest.is_empty() {
            line.value = rest;
        } else {
            self.lines.remove(at);
        }
        self
    }

    /// One line for each value, in the place of the first line of that name; none when there are no values.
    pub fn replace_values<V: Into<Cow<'a, str>>>(
        &mut self,
        name: Name,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        let at = self.position(name).unwrap_or(self.lines.len());
        self.remove(name);
        let lines = values.into_iter().map(|value| Line::known(name, value.into()));
        self.lines.splice(at..at, lines);
        self
    }

    /// Adds a line whose name may be unknown to us.
    pub fn push_other(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> &mut Self {
        let mut spelling = name.into();
        if !text::is_token(&spelling) {
            // What is left may be a name we know: it is named after the cleaning.
            let legal = |letter: &char| u8::try_from(*letter).is_ok_and(text::is_token_octet);
            spelling = Cow::Owned(spelling.chars().filter(legal).collect());
        }
        let line = match Name::parse(spelling.as_bytes()) {
            Name::Other => Line { name: Name::Other, spelling, value: value.into() },
            known => Line::known(known, value.into()),
        };
        self.lines.push(line);
        self
    }

    /// Replaces the body; without octets there is no Content-Type either.
    pub fn body(
        &mut self,
        content_type: impl Into<Cow<'a, str>>,
        body: impl Into<Cow<'a, [u8]>>,
    ) -> &mut Self {
        self.body = body.into();
        if self.body.is_empty() {
            self.remove(Name::ContentType)
        } else {
            self.set(Name::ContentType, content_type)
        }
    }

    /// Writes the message. Content-Length is always there, and always right.
    pub fn finish(&self) -> Message {
        let size: usize = self.lines.iter().map(|line| line.spelling.len() + line.value.len() + 4).sum();
        let mut buffer = Vec::with_capacity(size + self.body.len() + 256);
        let start = self.write_start(&mut buffer);
        let mut fields = Vec::with_capacity(self.lines.len() + 1);
        for line in &self.lines {
            if line.name != Name::ContentLength {
                fields.extend(write_line(&mut buffer, line.name, &line.spelling, &line.value));
            }
        }
        let length = self.body.len().to_string();
        let name = Name::ContentLength;
        fields.extend(write_line(&mut buffer, name, name.as_str(), &length));
        buffer.extend_from_slice(b"\r\n");
        let body = buffer.len();
        buffer.extend_from_slice(&self.body);
        let body = body..buffer.len();
        Message::unchecked(buffer, Table { start, fields, body })
    }

    fn position(&self, name: Name) -> Option<usize> {
        self.lines.iter().position(|line| line.name == name)
    }

    fn write_start(&self, buffer: &mut Vec<u8>) -> Start {
        match &self.start {
            Opening::Request { method, uri } => {
                let octets = method.bytes().filter(|octet| text::is_token_octet(*octet));
                let method = span(buffer, |buffer| buffer.extend(octets));
                buffer.push(b' ');
                let uri = span(buffer, |buffer| write_uri(buffer, uri));
                buffer.extend_from_slice(b" SIP/2.0\r\n");
                Start::Request { method, uri }
            }
            Opening::Response { status, reason } => {
                let status = (*status).clamp(100, 699);
                buffer.extend_from_slice(format!("SIP/2.0 {status} ").as_bytes());
                let reason = span(buffer, |buffer| write_clean(buffer, reason));
                buffer.extend_from_slice(b"\r\n");
                Start::Response { status, reason }
            }
        }
    }
}

impl std::fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft of {} lines", self.lines.len())
    }
}

fn after_first(value: &str) -> &str {
    let mut list = text::list(value);
    list.next();
    list.rest().trim_matches(|letter| text::is_blank(letter) || letter == ',')
}

fn span(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Span {
    let from = buffer.len();
    write(buffer);
    Span::new(from..buffer.len())
}

fn write_line(buffer: &mut Vec<u8>, name: Name, spelling: &str, value: &str) -> Option<Field> {
    let from = buffer.len();
    buffer.extend(spelling.bytes().filter(|octet| text::is_token_octet(*octet)));
    if buffer.len() == from {
        return None;
    }
    let spelling = Span::new(from..buffer.len());
    buffer.extend_from_slice(b": ");
    let value = span(buffer, |buffer| write_clean(buffer, value.trim_ascii()));
    buffer.extend_from_slice(b"\r\n");
    Some(Field { name, spelling, value })
}

fn write_clean(buffer: &mut Vec<u8>, value: &str) {
    if memchr3(b'\r', b'\n', 0, value.as_bytes()).is_none() {
        buffer.extend_from_slice(value.as_bytes());
    } else {
        let value = value.trim_matches(['\r', '\n', '\0', ' ', '\t']);
        buffer
            .extend(value.bytes().map(|octet| if matches!(octet, b'\r' | b'\n' | 0) { b' ' } else { octet }));
    }
}

fn write_uri(buffer: &mut Vec<u8>, uri: &str) {
    for octet in uri.bytes() {
        if octet <= b' ' || octet == 0x7f {
            buffer.extend_from_slice(format!("%{octet:02X}").as_bytes());
        } else {
            buffer.push(octet);
        }
    }
}
