use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::MARK;
use crate::socket::split_message;

/// What the kernel tells about states of its own accord. Destination and SPI name the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelEvent {
    /// One of our states has reached its soft limit, or its hard one, and is gone then.
    Expired { spi: u32, destination: IpAddr, hard: bool },
    /// A packet that passed a state in UDP came from another outer address than those before it: a NAT has forgotten
    /// its mapping. The message has no mark, so the state may be somebody else's.
    Mapped { spi: u32, destination: IpAddr, before: SocketAddr, now: SocketAddr },
    /// The kernel had more to tell than the socket could hold: what it holds now must be read from it.
    Overflow,
}

// Numbers and layouts of `linux/xfrm.h`.
const XFRM_MSG_EXPIRE: u16 = 0x18;
const XFRM_MSG_MAPPING: u16 = 0x26;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

impl KernelEvent {
    /// The events of one datagram. What is not about a state of ours, or cannot be read, is left out.
    pub fn read(datagram: &[u8]) -> Vec<Self> {
        let mut events = Vec::new();
        let mut rest = datagram;
        while let Some((kind, _, payload, next)) = split_message(rest) {
            events.extend(match kind {
                XFRM_MSG_EXPIRE => expired(payload),
                XFRM_MSG_MAPPING => mapped(payload),
                _ => None,
            });
            rest = next;
        }
        events
    }
}

/// `struct xfrm_user_expire`: a whole `xfrm_usersa_info` of 224 bytes, then whether the limit was the hard one.
fn expired(payload: &[u8]) -> Option<KernelEvent> {
    // `selector.user`: our mark, in the byte order of this machine.
    let mark = u32::from_ne_bytes(array(payload, 52)?);
    let family = u16::from_ne_bytes(array(payload, 212)?);
    let destination = address(payload, 56, family)?;
    let spi = u32::from_be_bytes(array(payload, 72)?);
    let hard = *payload.get(224)? != 0;
    (mark == MARK).then_some(KernelEvent::Expired { spi, destination, hard })
}

/// `struct xfrm_user_mapping`: the state's id of 24 bytes, reqid, old and new source address, old and new port.
fn mapped(payload: &[u8]) -> Option<KernelEvent> {
    let family = u16::from_ne_bytes(array(payload, 20)?);
    let destination = address(payload, 0, family)?;
    let spi = u32::from_be_bytes(array(payload, 16)?);
    let outer = |at, port| {
        Some(SocketAddr::new(address(payload, at, family)?, u16::from_be_bytes(array(payload, port)?)))
    };
    Some(KernelEvent::Mapped { spi, destination, before: outer(28, 60)?, now: outer(44, 62)? })
}

/// An `xfrm_address_t`: 16 bytes, of which IPv4 uses the first four.
fn address(bytes: &[u8], at: usize, family: u16) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::from(array::<4>(bytes, at)?).into()),
        AF_INET6 => Some(Ipv6Addr::from(array::<16>(bytes, at)?).into()),
        _ => None,
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Linux 6.12 told these when states with a hard limit of two seconds ended; selector, lifetimes and all.
    const HARD_V4: &str = "\
     f80000001800000000000000000000000a0900010000000000000000000000000a090002000000000000000000000000\
     1770ffff1b59ffff02002020000000000000000001616b610a090001000000000000000000000000000007d032000000\
     0a090002000000000000000000000000ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
     020000000000000002000000000000000000000000000000000000000000000000000000000000000000000000000000\
     63b0056b0000000000000000000000000000000000000000000000000000000000000000020000200000000000000000\
     0100000000000000";
    const HARD_V6: &str = "\
     f8000000180000000000000000000000fd000000000000000000000000000002fd000000000000000000000000000001\
     1b59ffff1770ffff0a008080000000000000000001616b61fd000000000000000000000000000002000003e932000000\
     fd000000000000000000000000000001ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
     020000000000000002000000000000000000000000000000000000000000000000000000000000000000000000000000\
     65b0056b00000000000000000000000000000000000000000000000000000000000000000a0000200000000000000000\
     0100000000000000";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// As `xfrm_user.c` builds it: 10.9.0.2 has been seen from 192.0.2.7:4500 and is seen from port 31000 now.
    fn mapping() -> Vec<u8> {
        let mut message = [80u16.to_ne_bytes(), 0u16.to_ne_bytes(), XFRM_MSG_MAPPING.to_ne_bytes()].concat();
        message.resize(16, 0);
        message.extend([10, 9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xd1]);
        message.extend(AF_INET.to_ne_bytes());
        message.extend([50, 0, 0, 0, 0, 0]);
        for _ in 0..2 {
            message.extend([192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        message.extend([4500u16.to_be_bytes(), 31000u16.to_be_bytes()].concat());
        message
    }

    #[test]
    fn the_end_of_a_state_is_read() {
        let ended = |spi, destination: &str| {
            let destination = destination.parse().unwrap();
            vec![KernelEvent::Expired { spi, destination, hard: true }]
        };
        assert_eq!(KernelEvent::read(&bytes(HARD_V4)), ended(2000, "10.9.0.1"));
        assert_eq!(KernelEvent::read(&bytes(HARD_V6)), ended(1001, "fd00::2"));
        let mut soft = bytes(HARD_V4);
        soft[16 + 224] = 0;
        assert!(matches!(KernelEvent::read(&soft)[..], [KernelEvent::Expired { hard: false, .. }]));
    }

    #[test]
    fn a_state_without_our_mark_is_left_alone() {
        let mut foreign = bytes(HARD_V4);
        foreign[16 + 52] ^= 1;
        assert_eq!(KernelEvent::read(&foreign), []);
    }

    #[test]
    fn a_new_address_behind_a_nat_is_read() {
        let outer = |port| SocketAddr::new("192.0.2.7".parse().unwrap(), port);
        let destination = "10.9.0.1".parse().unwrap();
        let mapped = KernelEvent::Mapped { spi: 2001, destination, before: outer(4500), now: outer(31000) };
        let together = [mapping(), bytes(HARD_V4), mapping()].concat();
        let events = KernelEvent::read(&together);
        assert_eq!((events.len(), events[0], events[2]), (3, mapped, mapped));
    }

    #[test]
    fn truncated_or_lying_messages_are_never_a_panic() {
        for whole in [bytes(HARD_V4), bytes(HARD_V6), mapping()] {
            for end in 0..whole.len() {
                // A cut message still claims its whole length, so nothing is read from it.
                assert_eq!(KernelEvent::read(&whole[..end]), []);
                let mut short = whole[..end].to_vec();
                if let Some(length) = short.get_mut(..4) {
                    length.copy_from_slice(&u32::try_from(end).unwrap().to_ne_bytes());
                }
                let _ = KernelEvent::read(&short);
            }
            for at in 0..whole.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = whole.clone();
                    changed[at] = value;
                    let _ = KernelEvent::read(&changed);
                }
            }
        }
    }
}
