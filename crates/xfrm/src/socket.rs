use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_xfrm::XfrmMessage;
use netlink_sys::protocols::NETLINK_XFRM;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, NetlinkAddr, recvmmsg, setsockopt, sockopt};
use nix::sys::time::TimeVal;
use zeroize::{Zeroize, Zeroizing};

use crate::{XfrmError, state};

/// The answer to one message: nothing, or the error with the kernel's words.
pub(crate) type Answer = Result<(), (Errno, Option<Box<str>>)>;

/// A netlink socket in the network namespace of the thread that opened it.
pub(crate) struct XfrmSocket {
    socket: Socket,
    /// Sequence number of the last message sent.
    sequence: u32,
    outgoing: Zeroizing<Vec<u8>>,
    incoming: Vec<[u8; ANSWER_BYTES]>,
}

/// An acknowledgement with its text fits many times; a longer text is cut, not lost.
const ANSWER_BYTES: usize = 1024;
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

impl XfrmSocket {
    pub(crate) fn open() -> Result<Self, XfrmError> {
        let open = || -> std::io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_XFRM)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_cap_ack(true)?;
            socket.set_ext_ack(true)?;
            socket.set_rx_buf_sz(RECEIVE_BUFFER_BYTES)?;
            // The kernel answers within `send`; this only keeps a kernel bug from stopping the process for ever.
            setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(5, 0))?;
            Ok(socket)
        };
        let socket = open().map_err(|error| XfrmError::Socket(errno_of(&error)))?;
        Ok(Self { socket, sequence: 0, outgoing: Zeroizing::default(), incoming: Vec::new() })
    }

    /// Sends all messages at once and returns the kernel's answer to each; `None` where none came.
    pub(crate) fn exchange(
        &mut self,
        messages: &mut [XfrmMessage],
    ) -> Result<Vec<Option<Answer>>, XfrmError> {
        let first = self.sequence.wrapping_add(1);
        for message in messages.iter_mut() {
            self.append(message);
        }
        let sent = self.socket.send(&self.outgoing, 0);
        // Only what was written: what lies behind it was wiped before.
        self.outgoing.as_mut_slice().zeroize();
        self.outgoing.clear();
        sent.map_err(|error| XfrmError::Netlink(errno_of(&error)))?;
        let mut answers = vec![None; messages.len()];
        let mut missing = messages.len();
        while missing > 0 {
            let received = self.receive(missing)?;
            for at in 0..received {
                let Some((sequence, answer)) = self.incoming.get(at).and_then(|bytes| parse_answer(bytes))
                else {
                    return Err(XfrmError::MalformedAnswer);
                };
                // An answer to an earlier, abandoned exchange has a number outside of ours.
                let place =
                    usize::try_from(sequence.wrapping_sub(first)).ok().and_then(|at| answers.get_mut(at));
                if let Some(place @ None) = place {
                    *place = Some(answer);
                    missing -= 1;
                }
            }
        }
        Ok(answers)
    }

    fn append(&mut self, message: &mut XfrmMessage) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet =
            NetlinkMessage::from(std::mem::replace(message, XfrmMessage::Other((0, Vec::new()))));
        packet.header.flags = NLM_F_REQUEST | NLM_F_ACK | create_flags(&packet.payload);
        packet.header.sequence_number = self.sequence;
        packet.finalize();
        let start = self.outgoing.len();
        let end = start + packet.buffer_len();
        self.reserve(end);
        self.outgoing.resize(end, 0);
        packet.serialize(&mut self.outgoing[start..]);
        if let NetlinkPayload::InnerMessage(inner) = &mut packet.payload {
            state::wipe(inner);
        }
    }

    /// Grows the buffer without leaving the old one, with its keys, behind in the heap.
    fn reserve(&mut self, bytes: usize) {
        if bytes > self.outgoing.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes.next_power_of_two().max(64 << 10)));
            larger.extend_from_slice(&self.outgoing);
            self.outgoing = larger;
        }
    }

    /// Waits for at least one datagram, takes up to `at_most` that are there.
    fn receive(&mut self, at_most: usize) -> Result<usize, XfrmError> {
        if self.incoming.len() < at_most {
            self.incoming.resize(at_most, [0; ANSWER_BYTES]);
        }
        for buffer in &mut self.incoming[..at_most] {
            buffer[..16].fill(0);
        }
        let mut headers = MultiHeaders::<NetlinkAddr>::preallocate(at_most, None);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.incoming[..at_most].iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        match recvmmsg(
            self.socket.as_raw_fd(),
            &mut headers,
            slices.iter_mut(),
            MsgFlags::MSG_WAITFORONE,
            None,
        ) {
            Ok(results) => Ok(results.count()),
            Err(Errno::EINTR) => Ok(0),
            Err(errno) => Err(XfrmError::Netlink(errno)),
        }
    }

    /// Sends one request and hands every answer message to `each` until the kernel says it is done.
    pub(crate) fn dump(
        &mut self,
        message: &XfrmMessage,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), XfrmError> {
        use netlink_packet_core::{NLM_F_DUMP, NLMSG_DONE, NLMSG_ERROR};
        let mut packet = NetlinkMessage::from(message.clone());
        self.sequence = self.sequence.wrapping_add(1);
        packet.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        packet.header.sequence_number = self.sequence;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        let netlink = |error: std::io::Error| XfrmError::Netlink(errno_of(&error));
        self.socket.send(&bytes, 0).map_err(netlink)?;
        loop {
            let datagram = Zeroizing::new(self.socket.recv_from_full().map_err(netlink)?.0);
            let mut rest = datagram.as_slice();
            while let Some((kind, sequence, payload, next)) = split_message(rest) {
                rest = next;
                match kind {
                    _ if sequence != self.sequence => {}
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {
                        let errno = read_i32(payload, 0).map_or(Errno::EPROTO, |code| Errno::from_raw(-code));
                        return Err(XfrmError::Refused { operation: crate::Operation::DumpStates, errno });
                    }
                    _ => each(payload),
                }
            }
        }
    }
}

impl std::fmt::Debug for XfrmSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XfrmSocket").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

fn create_flags(payload: &NetlinkPayload<XfrmMessage>) -> u16 {
    use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
    match payload {
        NetlinkPayload::InnerMessage(XfrmMessage::AddSa(_)) => NLM_F_CREATE | NLM_F_EXCL,
        _ => 0,
    }
}

pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

const HEADER_BYTES: usize = 16;

/// Type, sequence number and payload of the first message, and what follows it.
pub(crate) fn split_message(bytes: &[u8]) -> Option<(u16, u32, &[u8], &[u8])> {
    let length = usize::try_from(read_u32(bytes, 0)?).ok()?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let sequence = read_u32(bytes, 8)?;
    let payload = bytes.get(HEADER_BYTES..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, sequence, payload, next))
}

/// An NLMSG_ERROR message: its sequence number, and success or the error.
fn parse_answer(bytes: &[u8]) -> Option<(u32, Answer)> {
    let length = usize::try_from(read_u32(bytes, 0)?).ok()?.min(bytes.len());
    let flags = u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?);
    let (kind, sequence, payload, _) = split_message(bytes.get(..length)?)?;
    if kind != netlink_packet_core::NLMSG_ERROR {
        return None;
    }
    let code = read_i32(payload, 0)?;
    if code == 0 {
        return Some((sequence, Ok(())));
    }
    let capped = flags & NLM_F_CAPPED != 0;
    let text = if flags & NLM_F_ACK_TLVS != 0 { explanation(payload.get(4..)?, capped) } else { None };
    Some((sequence, Err((Errno::from_raw(code.checked_neg()?), text))))
}

const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The text attribute behind the echoed header (and, unless capped, the echoed message).
fn explanation(echoed: &[u8], capped: bool) -> Option<Box<str>> {
    let echoed_length = if capped { HEADER_BYTES } else { usize::try_from(read_u32(echoed, 0)?).ok()? };
    let mut rest = echoed.get(echoed_length.next_multiple_of(4)..)?;
    while let Some((kind, value, next)) = split_attribute(rest) {
        if kind == NLMSGERR_ATTR_MSG {
            let text = String::from_utf8_lossy(value);
            return Some(text.trim_end_matches('\0').into());
        }
        rest = next;
    }
    None
}

/// Kind and value of the first attribute, and what follows it.
pub(crate) fn split_attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
    let value = bytes.get(4..length)?;
    Some((kind, value, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn read_i32(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_message(code: i32, flags: u16, text: &str) -> Vec<u8> {
        let mut bytes = vec![0; 36];
        bytes[4..6].copy_from_slice(&2u16.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&7u32.to_ne_bytes());
        bytes[16..20].copy_from_slice(&code.to_ne_bytes());
        bytes.extend_from_slice(&u16::try_from(4 + text.len() + 1).unwrap().to_ne_bytes());
        bytes.extend_from_slice(&1u16.to_ne_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn the_kernels_words_are_read() {
        let bytes = error_message(-17, NLM_F_CAPPED | NLM_F_ACK_TLVS, "State exists");
        assert_eq!(parse_answer(&bytes), Some((7, Err((Errno::EEXIST, Some("State exists".into()))))));
        assert_eq!(parse_answer(&error_message(0, NLM_F_CAPPED, "")), Some((7, Ok(()))));
    }

    #[test]
    fn a_truncated_or_lying_answer_is_none_and_never_a_panic() {
        let bytes = error_message(-17, NLM_F_CAPPED | NLM_F_ACK_TLVS, "State exists");
        for end in 0..36 {
            assert_eq!(parse_answer(&bytes[..end]), None);
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = parse_answer(&changed);
                let _ = split_message(&changed);
                let _ = split_attribute(&changed);
            }
        }
    }
}
