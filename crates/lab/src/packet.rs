//! As much of Ethernet, IP, UDP and TCP as the tap needs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) content: Content<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Esp,
    /// ESP inside UDP, around a NAT.
    EspInUdp,
    /// What keeps a NAT's mapping alive (RFC 3948 2.3).
    KeepAlive,
    /// The first line of a SIP message.
    Sip(&'a str),
    /// UDP or TCP octets that do not start a SIP message.
    Payload,
    /// Neighbour discovery, ICMP, a bare TCP acknowledgement.
    Nothing,
}

const ETHERNET_BYTES: usize = 14;
pub(crate) const ESP: u8 = 50;
pub(crate) const UDP: u8 = 17;
pub(crate) const TCP: u8 = 6;
/// Of ESP inside UDP.
const ENCAPSULATION_PORT: [u8; 2] = 4500_u16.to_be_bytes();

/// What an IP packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ip<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) fragment: Option<Fragment>,
    pub(crate) payload: &'a [u8],
}

/// Which piece of a packet this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) id: u32,
    /// In octets.
    pub(crate) offset: usize,
    pub(crate) more: bool,
}

/// `None` for what is not IP, or is cut.
pub(crate) fn of_frame(frame: &[u8]) -> Option<Packet<'_>> {
    let ip = ip(frame)?;
    // A later fragment has no header of the next layer; of ESP it is ESP all the same.
    let is_later = ip.fragment.is_some_and(|fragment| fragment.offset != 0);
    let content =
        if is_later && ip.protocol != ESP { Content::Payload } else { content(ip.protocol, ip.payload) };
    Some(Packet { source: ip.source, destination: ip.destination, content })
}

/// `None` for what is not IP, or is cut.
pub(crate) fn ip(frame: &[u8]) -> Option<Ip<'_>> {
    let packet = frame.get(ETHERNET_BYTES..)?;
    match frame.get(12..ETHERNET_BYTES)? {
        [0x08, 0x00] => ipv4(packet),
        [0x86, 0xdd] => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Ip<'_>> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let number = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let (id, place) = (number(4)?, number(6)?);
    let (offset, more) = (usize::from(place & 0x1fff) * 8, place & 0x2000 != 0);
    let fragment = (offset != 0 || more).then_some(Fragment { id: id.into(), offset, more });
    Some(Ip {
        source: address(12)?.into(),
        destination: address(16)?.into(),
        protocol: *packet.get(9)?,
        fragment,
        payload: packet.get(header..usize::from(number(2)?))?,
    })
}

fn ipv6(packet: &[u8]) -> Option<Ip<'_>> {
    let length = usize::from(u16::from_be_bytes(packet.get(4..6)?.try_into().ok()?));
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
    let mut payload = packet.get(40..40 + length)?;
    let mut protocol = *packet.get(6)?;
    let mut fragment = None;
    if protocol == 44 {
        let place = u16::from_be_bytes(payload.get(2..4)?.try_into().ok()?);
        let id = u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?);
        fragment = Some(Fragment { id, offset: usize::from(place & 0xfff8), more: place & 1 != 0 });
        protocol = *payload.first()?;
        payload = payload.get(8..)?;
    }
    Some(Ip { source: address(8)?.into(), destination: address(24)?.into(), protocol, fragment, payload })
}

fn content(protocol: u8, payload: &[u8]) -> Content<'_> {
    let body = match protocol {
        ESP => return Content::Esp,
        UDP => payload.get(8..),
        TCP => payload.get(12).and_then(|offset| payload.get(usize::from(offset >> 4) * 4..)),
        _ => None,
    };
    let Some(body) = body.filter(|body| !body.is_empty()) else { return Content::Nothing };
    let ports = (payload.get(..2), payload.get(2..4));
    if protocol == UDP && [ports.0, ports.1].contains(&Some(&ENCAPSULATION_PORT)) {
        // Without an SPI, which is never 0, it is no ESP (RFC 3948 2.2, 2.3).
        return match body {
            [0, 0, 0, 0, ..] => Content::Payload,
            [0xff] => Content::KeepAlive,
            _ => Content::EspInUdp,
        };
    }
    let line = body.split(|byte| *byte == b'\r').next().unwrap_or_default();
    match std::str::from_utf8(line) {
        Ok(line) if line.starts_with("SIP/2.0 ") || line.ends_with(" SIP/2.0") => Content::Sip(line),
        _ => Content::Payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp_frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend(u16::try_from(28 + payload.len()).unwrap().to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0; 8]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn a_clear_sip_message_is_seen_by_its_first_line() {
        let seen = |payload: &[u8]| {
            let frame = udp_frame(payload);
            format!("{:?}", of_frame(&frame).unwrap().content)
        };
        assert_eq!(seen(b"REGISTER sip:a SIP/2.0\r\nVia: x\r\n"), r#"Sip("REGISTER sip:a SIP/2.0")"#);
        assert_eq!(seen(b"SIP/2.0 401 Unauthorized\r\n"), r#"Sip("SIP/2.0 401 Unauthorized")"#);
        assert_eq!(seen(b"Via: x\r\n"), "Payload");
        assert_eq!(seen(b""), "Nothing");
        let mut esp = udp_frame(b"12345678");
        esp[ETHERNET_BYTES + 9] = ESP;
        assert_eq!(of_frame(&esp).unwrap().content, Content::Esp);
    }

    #[test]
    fn nat_esp_inside_udp_is_seen_by_its_port_and_spi() {
        let seen = |payload: &[u8], ports: [u16; 2]| {
            let mut frame = udp_frame(payload);
            for (at, port) in [34, 36].into_iter().zip(ports) {
                frame[at..at + 2].copy_from_slice(&port.to_be_bytes());
            }
            format!("{:?}", of_frame(&frame).unwrap().content)
        };
        let esp = [1, 0, 0, 1, 0, 0, 0, 1, 9, 9];
        for ports in [[4500, 40_000], [40_000, 4500], [4500, 4500]] {
            assert_eq!(seen(&esp, ports), "EspInUdp");
            assert_eq!(seen(&[0xff], ports), "KeepAlive");
            assert_eq!(seen(&[0, 0, 0, 0, 1], ports), "Payload");
        }
        assert_eq!(seen(&esp, [5060, 40_000]), "Payload");
    }

    #[test]
    fn a_cut_frame_is_none_and_never_a_panic() {
        let frame = udp_frame(b"REGISTER sip:a SIP/2.0\r\n");
        for end in 0..frame.len() {
            let _ = of_frame(&frame[..end]);
        }
        for at in 0..frame.len() {
            for value in [0, 0x0f, 0x45, 0x6f, 0x86, 0xdd, 44, 0xff] {
                let mut changed = frame.clone();
                changed[at] = value;
                let _ = of_frame(&changed);
            }
        }
    }
}
