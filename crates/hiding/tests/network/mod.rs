//! Two networks, their borders, and messages between them.
#![allow(dead_code, reason = "each test file uses some")]

use std::time::Duration;

use hiding::{Hiding, Inside, Key, Keys};
use sip::{Instant, Message, Name};

pub(crate) fn now() -> Instant {
    Instant::from_epoch(Duration::from_secs(1000))
}

/// An I-CSCF of the network `homeN.example`: names below `core.homeN.example` and addresses in 10.N/16 and
/// 2001:db8:N::/48 are inside, its border is `icscf.core.homeN.example`.
pub(crate) fn network(number: u8, keys: Keys) -> Hiding {
    let core = format!("core.home{number}.example");
    let inside = Inside::new(
        [core.as_str()],
        [format!("10.{number}.0.0/16").as_str(), format!("2001:db8:{number}::/48").as_str()],
        [format!("icscf.{core}").as_str()],
    );
    Hiding::new(&format!("home{number}.example"), inside.unwrap(), keys).unwrap()
}

pub(crate) fn keys(octet: u8) -> Keys {
    Keys::one(octet, Key::new(&[octet; 16]))
}

pub(crate) fn home() -> Hiding {
    network(1, keys(1))
}

pub(crate) fn other() -> Hiding {
    network(2, keys(2))
}

/// IVs that differ.
pub(crate) fn fresh() -> impl FnMut() -> [u8; 16] {
    let mut number = 0_u128;
    move || {
        number += 0x0123_4567_89ab_cdef_1122_3344_5566_7701;
        number.to_be_bytes()
    }
}

pub(crate) fn hide(hiding: &Hiding, message: &Message) -> Message {
    let hidden = hiding.hide(message, fresh()).expect("something is hidden");
    // As it is read at the other end.
    Message::parse(hidden.bytes()).unwrap()
}

pub(crate) fn restore(hiding: &Hiding, message: &Message) -> Message {
    hiding.restore(now(), message).unwrap().expect("something is restored")
}

pub(crate) fn message(start: &str, lines: &[&str]) -> Message {
    let method = start.split(' ').next().filter(|word| !word.contains('/')).unwrap_or("INVITE");
    let mut text = format!("{start}\r\n");
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str(&format!(
        "From: <sip:alice@home1.example>;tag=a\r\nTo: <sip:bob@home2.example>\r\nCall-ID: c1\r\nCSeq: 1 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    ));
    Message::parse(text).unwrap()
}

pub(crate) fn values(message: &Message, name: Name) -> Vec<&str> {
    message.values(name).collect()
}

/// An INVITE of alice, as it stands at the border of home 1.
pub(crate) fn invite() -> Message {
    message(
        "INVITE sip:bob@home2.example SIP/2.0",
        &[
            "Via: SIP/2.0/UDP icscf.core.home1.example:5060;branch=z9hG4bKborder",
            "Via: SIP/2.0/UDP scscf1.core.home1.example;branch=z9hG4bKs.scscf1.core.home1.example;rport=5061;received=10.1.0.3",
            "Via: SIP/2.0/TCP 10.1.0.1:5060;branch=z9hG4bKp, SIP/2.0/UDP 192.0.2.7:7100;branch=z9hG4bKue;rport=7100",
            "Max-Forwards: 66",
            "Record-Route: <sip:icscf.core.home1.example:5060;lr>",
            "Record-Route: <sip:scscf1.core.home1.example:5060;lr>, <sip:mo@10.1.0.1:5060;lr>",
            "Contact: <sip:alice@192.0.2.7:7100>",
        ],
    )
}
