//! A capture file that Wireshark reads: one section, an interface for each link.

use crate::recorder::Frame;

/// The file of these links and their frames.
pub(crate) fn file(links: &[(String, Vec<Frame>)]) -> Vec<u8> {
    const SECTION: u32 = 0x0a0d_0d0a;
    const INTERFACE: u32 = 1;
    const PACKET: u32 = 6;
    let mut out = Vec::new();
    // Byte order, version 1.0, a length that is not told.
    let section = [[0x4d, 0x3c, 0x2b, 0x1a], [1, 0, 0, 0], [0xff; 4], [0xff; 4]].concat();
    block(&mut out, SECTION, &section);
    for (name, _) in links {
        // Ethernet, packets of any length.
        let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0];
        // Its name, and the end of the options.
        body.extend([2, 0]);
        body.extend(u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
        padded(&mut body, name.as_bytes());
        body.extend([0; 4]);
        block(&mut out, INTERFACE, &body);
    }
    let mut frames: Vec<_> = (0u32..)
        .zip(links)
        .flat_map(|(interface, (_, frames))| frames.iter().map(move |(at, frame)| (*at, interface, frame)))
        .collect();
    frames.sort_by_key(|(at, ..)| *at);
    for (at, interface, frame) in frames {
        let microseconds = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let length = u32::try_from(frame.len()).unwrap_or(0);
        let mut body = interface.to_le_bytes().to_vec();
        body.extend(u32::try_from(microseconds >> 32).unwrap_or(0).to_le_bytes());
        body.extend(u32::try_from(microseconds & 0xffff_ffff).unwrap_or(0).to_le_bytes());
        body.extend([length.to_le_bytes(), length.to_le_bytes()].concat());
        padded(&mut body, frame);
        block(&mut out, PACKET, &body);
    }
    out
}

fn padded(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend(octets);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A body of whole words; its length stands before and after it.
fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = u32::try_from(body.len() + 12).unwrap_or(0).to_le_bytes();
    out.extend(kind.to_le_bytes());
    out.extend(length);
    out.extend(body);
    out.extend(length);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_block_has_its_length_at_both_ends() {
        let frame = (Duration::from_micros(0x1_0000_0002), vec![7; 5].into());
        let out = file(&[("to-x".into(), vec![frame]), ("b".into(), vec![])]);
        let word = |at: usize| u32::from_le_bytes(out[at..at + 4].try_into().unwrap());
        let (mut at, mut kinds) = (0, Vec::new());
        while at < out.len() {
            let length = usize::try_from(word(at + 4)).unwrap();
            assert_eq!(usize::try_from(word(at + length - 4)).unwrap(), length);
            kinds.push(word(at));
            at += length;
        }
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 1, 6]);
        // The last block: interface 0, the time in two halves, both lengths, the frame and its padding.
        let packet = out.len() - (12 + 20 + 8);
        assert_eq!([8, 12, 16, 20, 24].map(|offset| word(packet + offset)), [0, 1, 2, 5, 5]);
        assert_eq!(out[packet + 28..packet + 36], [7, 7, 7, 7, 7, 0, 0, 0]);
    }
}
