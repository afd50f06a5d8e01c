//! What a link has carried, read: SIP messages out of datagrams and streams, and the rest by its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sip::Message;
use sip::Transport;
use sip::framing::{Frame as SipFrame, Framer};

use crate::packet::{self, ESP, Ip, TCP, UDP};
use crate::recorder::Frame;

/// A SIP message that crossed in clear.
#[derive(Debug, Clone)]
pub struct Captured {
    /// Since the epoch; of its last packet.
    pub at: Duration,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub transport: Transport,
    pub message: Message,
}

/// What a link has carried.
#[derive(Debug, Default)]
pub struct Recording {
    /// In the order they were complete.
    pub messages: Vec<Captured>,
    /// Every address that an IP packet came from or went to.
    pub addresses: BTreeSet<IpAddr>,
    pub esp_packets: u64,
    /// Datagrams, and streams, that held something else than SIP: of TLS for example.
    pub opaque: Vec<(SocketAddr, SocketAddr)>,
    /// Frames that nobody kept, because there were too many.
    pub lost: u64,
    /// The octets of each datagram, and of each direction of each TCP connection.
    contents: Vec<Vec<u8>>,
}

const BODY_LIMIT: usize = 64 * 1024;

impl Recording {
    pub(crate) fn of(frames: &[Frame], lost: u64) -> Self {
        let mut reader = Reader { recording: Self { lost, ..Self::default() }, ..Reader::default() };
        for (at, frame) in frames {
            if let Some(ip) = packet::ip(frame) {
                reader.packet(*at, ip);
            }
        }
        let Reader { mut recording, streams, .. } = reader;
        for (ends, stream) in streams {
            if stream.opaque {
                recording.opaque.push(ends);
            }
            recording.contents.push(stream.octets);
        }
        recording
    }

    /// Whether these octets crossed in clear, letters in whatever case; also where a packet ends amid them.
    pub fn holds(&self, octets: &[u8]) -> bool {
        let found = |content: &Vec<u8>| {
            content.windows(octets.len().max(1)).any(|window| window.eq_ignore_ascii_case(octets))
        };
        self.contents.iter().any(found)
    }

    /// The octets of each datagram, and of each direction of each TCP connection.
    pub fn contents(&self) -> impl Iterator<Item = &[u8]> {
        self.contents.iter().map(Vec::as_slice)
    }

    /// The requests of this method.
    pub fn requests<'a>(&'a self, method: &'a str) -> impl Iterator<Item = &'a Captured> {
        self.messages
            .iter()
            .filter(move |seen| seen.message.is_request() && seen.message.method().as_str() == method)
    }
}

#[derive(Debug, Default)]
struct Reader {
    recording: Recording,
    streams: BTreeMap<(SocketAddr, SocketAddr), Stream>,
    pieces: BTreeMap<(IpAddr, IpAddr, u32), Pieces>,
}

impl Reader {
    fn packet(&mut self, at: Duration, ip: Ip<'_>) {
        self.recording.addresses.extend([ip.source, ip.destination]);
        let whole = match ip.fragment {
            None => ip.payload.to_vec(),
            Some(fragment) => {
                let key = (ip.source, ip.destination, fragment.id);
                let pieces = self.pieces.entry(key).or_default();
                pieces.parts.insert(fragment.offset, ip.payload.to_vec());
                if !fragment.more {
                    pieces.length = Some(fragment.offset + ip.payload.len());
                }
                let Some(whole) = pieces.whole() else { return };
                self.pieces.remove(&key);
                whole
            }
        };
        match ip.protocol {
            ESP => self.recording.esp_packets += 1,
            UDP => self.datagram(at, ip.source, ip.destination, &whole),
            TCP => self.segment(at, ip.source, ip.destination, &whole),
            _ => {}
        }
    }

    fn datagram(&mut self, at: Duration, source: IpAddr, destination: IpAddr, datagram: &[u8]) {
        let (Some(ends), Some(content)) = (ends(source, destination, datagram), datagram.get(8..)) else {
            return;
        };
        // Octets of CR and LF keep a way open.
        if content.iter().all(|octet| matches!(octet, b'\r' | b'\n')) {
            return;
        }
        self.recording.contents.push(content.to_vec());
        match Message::parse(content) {
            Ok(message) => self.take(at, ends, Transport::Udp, message),
            Err(_) => self.recording.opaque.push(ends),
        }
    }

    fn segment(&mut self, at: Duration, source: IpAddr, destination: IpAddr, segment: &[u8]) {
        const SYN: u8 = 2;
        let read = || {
            let number = u32::from_be_bytes(segment.get(4..8)?.try_into().ok()?);
            let header = usize::from(segment.get(12)? >> 4) * 4;
            Some((ends(source, destination, segment)?, number, *segment.get(13)?, segment.get(header..)?))
        };
        let Some((ends, number, flags, content)) = read() else { return };
        let stream = self.streams.entry(ends).or_default();
        if flags & SYN != 0 {
            // The ports may have served an earlier connection.
            let earlier = std::mem::replace(stream, Stream::from(number.wrapping_add(1)));
            self.recording.contents.push(earlier.octets);
            return;
        }
        for message in stream.push(number, content) {
            self.take(at, ends, Transport::Tcp, message);
        }
    }

    fn take(
        &mut self,
        at: Duration,
        (from, to): (SocketAddr, SocketAddr),
        transport: Transport,
        message: Message,
    ) {
        self.recording.messages.push(Captured { at, from, to, transport, message });
    }
}

/// Ports lie at the same place in UDP and TCP.
fn ends(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let port = |at: usize| Some(u16::from_be_bytes(payload.get(at..at + 2)?.try_into().ok()?));
    Some((SocketAddr::new(source, port(0)?), SocketAddr::new(destination, port(2)?)))
}

/// The fragments of one packet.
#[derive(Debug, Default)]
struct Pieces {
    parts: BTreeMap<usize, Vec<u8>>,
    length: Option<usize>,
}

impl Pieces {
    fn whole(&self) -> Option<Vec<u8>> {
        let mut whole = Vec::new();
        for (offset, part) in &self.parts {
            if *offset != whole.len() {
                return None;
            }
            whole.extend(part);
        }
        (Some(whole.len()) == self.length).then_some(whole)
    }
}

/// One direction of a TCP connection.
#[derive(Debug)]
struct Stream {
    /// Of the first octet that has not come yet.
    next: Option<u32>,
    /// By their distance from the first octet of all: octets that came too early.
    early: BTreeMap<u32, Vec<u8>>,
    octets: Vec<u8>,
    framer: Framer,
    opaque: bool,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            next: None,
            early: BTreeMap::new(),
            octets: Vec::new(),
            framer: Framer::new(BODY_LIMIT),
            opaque: false,
        }
    }
}

impl Stream {
    fn from(first: u32) -> Self {
        Self { next: Some(first), ..Self::default() }
    }

    /// The messages that are whole by now.
    fn push(&mut self, number: u32, content: &[u8]) -> Vec<Message> {
        if content.is_empty() {
            return Vec::new();
        }
        self.early.insert(number, content.to_vec());
        let mut messages = Vec::new();
        while let Some(content) = self.following() {
            self.framer.push(&content);
            self.octets.extend(content);
            loop {
                match self.framer.next() {
                    Ok(None) => break,
                    Ok(Some(SipFrame::Message(message))) => messages.push(message),
                    Ok(Some(SipFrame::Malformed(..))) => self.opaque = true,
                    Ok(Some(_)) => {}
                    Err(_) => {
                        self.opaque = true;
                        break;
                    }
                }
            }
        }
        // A connection whose start nobody saw, or something else than SIP, ends no head.
        self.opaque |= self.framer.buffered() > 0 && !self.octets.is_ascii();
        messages
    }

    /// The octets that come next, if they are there; what was sent again is passed over.
    fn following(&mut self) -> Option<Vec<u8>> {
        loop {
            let next = *self.next.get_or_insert(*self.early.keys().next()?);
            let (number, content) = self.early.iter().find_map(|(number, content)| {
                let already = usize::try_from(next.wrapping_sub(*number)).ok()?;
                (already <= content.len()).then(|| (*number, content.clone()))
            })?;
            self.early.remove(&number);
            let already = usize::try_from(next.wrapping_sub(number)).ok()?;
            let fresh = content.get(already..)?.to_vec();
            if !fresh.is_empty() {
                self.next = Some(next.wrapping_add(u32::try_from(fresh.len()).ok()?));
                return Some(fresh);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "MESSAGE sip:b@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n\
                           From: <sip:a@example.org>;tag=1\r\nTo: <sip:b@example.org>\r\nCall-ID: c\r\n\
                           CSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Length: 2\r\n\r\nhi";

    fn frame(protocol: u8, place: u16, payload: &[u8]) -> Frame {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend(u16::try_from(20 + payload.len()).unwrap().to_be_bytes());
        frame.extend([0, 7]);
        frame.extend(place.to_be_bytes());
        frame.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend(payload);
        (Duration::ZERO, frame.into())
    }

    fn udp(content: &[u8]) -> Vec<u8> {
        [&[0x13, 0xc4, 0x13, 0xc4, 0, 0, 0, 0], content].concat()
    }

    fn tcp(number: u32, flags: u8, content: &[u8]) -> Frame {
        let mut segment = vec![0x13, 0xc4, 0x13, 0xc4];
        segment.extend(number.to_be_bytes());
        segment.extend([0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        segment.extend(content);
        frame(TCP, 0, &segment)
    }

    #[test]
    fn a_datagram_in_fragments_is_one_message() {
        let whole = udp(MESSAGE.as_bytes());
        let (head, tail) = whole.split_at(64);
        for pieces in [
            vec![frame(UDP, 0, &whole)],
            vec![frame(UDP, 0x2000, head), frame(UDP, 8, tail)],
            vec![frame(UDP, 8, tail), frame(UDP, 0x2000, head)],
        ] {
            let recording = Recording::of(&pieces, 0);
            assert_eq!(recording.messages.len(), 1);
            assert_eq!(recording.requests("MESSAGE").count(), 1);
            assert_eq!(recording.messages[0].message.body(), b"hi");
            assert!(recording.holds(b"SIP:B@EXAMPLE") && !recording.holds(b"sip:c@example"));
            assert!(recording.opaque.is_empty());
        }
        assert!(Recording::of(&[frame(UDP, 0x2000, head)], 0).messages.is_empty());
    }

    #[test]
    fn a_stream_is_read_across_segments_that_come_late_or_twice() {
        let first = u32::MAX - 20;
        let twice = [MESSAGE, MESSAGE].concat();
        let parts: Vec<_> = (0u32..).zip(twice.as_bytes().chunks(37)).collect();
        let mut frames = vec![tcp(first.wrapping_sub(1), 2, b"")];
        for (n, part) in &parts {
            frames.push(tcp(first.wrapping_add(n * 37), 0x10, part));
            frames.push(tcp(first.wrapping_add(n * 37), 0x10, part));
        }
        frames.swap(5, 9);
        let recording = Recording::of(&frames, 0);
        assert_eq!(recording.requests("MESSAGE").count(), 2);
        assert!(recording.opaque.is_empty());
        // Segments end within it.
        assert!(recording.holds(b"From: <sip:a@example.org>;tag=1\r\nTo: <sip:b@example.org>"));
    }

    #[test]
    fn what_is_no_sip_is_opaque() {
        let hello = [0x16, 3, 1, 2, 0, 1, 0, 0x80, 0xff];
        let frames =
            [tcp(0, 2, b""), tcp(1, 0x10, &hello), frame(ESP, 0, b"12345678"), frame(UDP, 0, &udp(b"x"))];
        let recording = Recording::of(&frames, 3);
        assert_eq!((recording.opaque.len(), recording.esp_packets, recording.lost), (2, 1, 3));
        assert!(recording.messages.is_empty());
        assert_eq!(recording.addresses.len(), 2);
    }
}
