//! A capture file of one Diameter connection, as tcpdump would have written it.

use std::io::{self, Write};
use std::path::Path;

const CLIENT: [u8; 4] = [192, 0, 2, 1];
const SERVER: [u8; 4] = [192, 0, 2, 2];
const CLIENT_PORT: u16 = 50_000;
const DIAMETER_PORT: u16 = 3868;
/// LINKTYPE_RAW: each packet starts with its IP header.
const RAW_IP: u32 = 101;

/// Which end a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Client,
    Server,
}

/// One segment for each message, so that the number of a packet is that of its message.
pub(crate) fn write<'a>(path: &Path, messages: impl Iterator<Item = (From, &'a [u8])>) -> io::Result<()> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4u32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    file.extend([0; 8]);
    file.extend(0x0004_0000u32.to_le_bytes());
    file.extend(RAW_IP.to_le_bytes());
    let mut sent = [1u32, 1u32];
    for (number, (from, message)) in (0u32..).zip(messages) {
        let (own, other) = if from == From::Client { (0, 1) } else { (1, 0) };
        let packet = packet(from, sent[own], sent[other], message);
        sent[own] += u32::try_from(message.len()).unwrap();
        let length = u32::try_from(packet.len()).unwrap();
        for field in [number, 0, length, length] {
            file.extend(field.to_le_bytes());
        }
        file.extend(packet);
    }
    std::fs::File::create(path)?.write_all(&file)
}

fn packet(from: From, sequence: u32, acknowledged: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(40 + data.len()).expect("a sample fits one packet");
    let (source, target, ports) = match from {
        From::Client => (CLIENT, SERVER, [CLIENT_PORT, DIAMETER_PORT]),
        From::Server => (SERVER, CLIENT, [DIAMETER_PORT, CLIENT_PORT]),
    };
    let mut ip = vec![0x45, 0];
    ip.extend(length.to_be_bytes());
    // No fragments, a lifetime of 64, TCP.
    ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    ip.extend(source);
    ip.extend(target);
    let checksum = checksum(&ip);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    for port in ports {
        ip.extend(port.to_be_bytes());
    }
    ip.extend(sequence.to_be_bytes());
    ip.extend(acknowledged.to_be_bytes());
    // A header of five words, PSH and ACK, a window; tshark does not look at the checksum unless it is told to.
    ip.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    ip.extend(data);
    ip
}

fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}
